"""The text of a QTensor, in the form in which torch prints a quantized tensor.

torch's defaults: 4 digits, 80 columns, more than 1000 elements are summarized by the first and last 3 of each axis.
Values whose magnitudes are far apart or extreme are printed in scientific notation, whole numbers as ``1.``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .tensor import QTensor

DIGITS = 4
COLUMNS = 80
EDGE = 3
THRESHOLD = 1000


class _Style:
    """How the numbers of one array are written: the same width and notation for all."""

    def __init__(self, values: np.ndarray) -> None:
        self.integers = values.dtype.kind in "iub"
        self.width = 1
        self.whole = True
        self.scientific = False
        if self.integers:
            self.width = max([1, *(len(str(v)) for v in values.ravel().tolist())])
            return
        shown = [v for v in values.ravel().tolist() if math.isfinite(v) and v != 0]
        if not shown:
            return
        self.whole = all(v == math.ceil(v) for v in shown)
        largest, smallest = max(map(abs, shown)), min(map(abs, shown))
        self.scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        self.width = max(1, *(len(self.number(v)) for v in shown))

    def number(self, v: Any) -> str:
        if self.integers:
            return str(v)
        if self.scientific:
            return f"{v:.{DIGITS}e}"
        if self.whole:
            return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"
        return f"{v:.{DIGITS}f}"

    def __call__(self, v: Any) -> str:
        return self.number(v).rjust(self.width)


def _edges(values: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    # the longest axis first; numpy.take would copy all of an array that is not contiguous
    for axis in sorted(range(values.ndim), key=lambda i: -values.shape[i]):
        n = values.shape[axis]
        if n > 2 * EDGE:
            values = values[(slice(None),) * axis + ([*range(EDGE), *range(n - EDGE, n)],)]
    return values


def _rows(values: np.ndarray, indent: int, style: _Style, cuts: tuple[bool, ...]) -> str:
    if values.ndim == 0:
        return style(values.item())
    cut = cuts[0]
    if values.ndim == 1:
        if cut:
            parts = [*map(style, values[:EDGE].tolist()), " ...", *map(style, values[-EDGE:].tolist())]
        else:
            parts = [style(v) for v in values.tolist()]
        per_line = max(1, (COLUMNS - indent) // (style.width + 2))
        lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    inner = [*values[:EDGE], *values[-EDGE:]] if cut else list(values)
    parts = [_rows(v, indent + 1, style, cuts[1:]) for v in inner]
    if cut:
        parts.insert(EDGE, "...")
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def numbers(values: np.ndarray, indent: int, shape: tuple[int, ...] | None = None) -> str:
    """The nested brackets of an array; lines after the first begin with `indent` blanks.

    Of an array with many elements the edges are enough, and the `shape` that it has.
    """
    shape = values.shape if shape is None else shape
    if 0 in shape:
        return "[]"
    summary = math.prod(shape) > THRESHOLD
    values = _edges(values) if summary else values
    return _rows(values, indent, _Style(values), tuple(summary and n > 2 * EDGE for n in shape))


def with_fields(text: str, fields: list[str], indent: int) -> str:
    """Append named fields, each on the last line if it fits there."""
    used = len(text) - text.rfind("\n") + 1
    for field in fields:
        if used + len(field) + 2 > COLUMNS:
            text += ",\n" + " " * indent + field
            used = indent + len(field)
        else:
            text += ", " + field
            used += len(field) + 2
    return text + ")"


def array(values: np.ndarray) -> str:
    """An array as torch prints a tensor; float32 and int64 are torch's defaults and not named."""
    fields = []
    if values.size == 0 and values.ndim != 1:
        fields.append(f"size={values.shape}")
    named = values.dtype.type not in ((np.float32,) if values.size == 0 else (np.float32, np.int64, np.bool_))
    if named:
        fields.append(f"dtype=torch.{values.dtype.name}")
    return with_fields("tensor(" + numbers(values, 7), fields, 7)


def qtensor(x: QTensor) -> str:
    """A QTensor as torch prints a quantized tensor."""
    fields = [f"size={x.shape}", f"dtype={x.dtype!r}", f"quantization_scheme={x.qscheme()!r}"]
    if x._qscheme.name.startswith("per_tensor"):
        fields += [f"scale={x.q_scale()}", f"zero_point={x.q_zero_point()}"]
    else:
        fields += [
            f"scale={array(x.q_per_channel_scales())}",
            f"zero_point={array(x.q_per_channel_zero_points())}",
            f"axis={x.q_per_channel_axis()}",
        ]
    seen = x
    if x.numel() > THRESHOLD and x._shape is None and not x._channelled:
        seen = x._like(_edges(x._ints))  # no need to dequantize the others
    return with_fields("tensor(" + numbers(seen.dequantize(), 7, x.shape), fields, 7)
