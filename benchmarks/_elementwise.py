"""What the families without weights share: a tensor in every library's form, rows by bytes moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import quantnn

from . import _onnx, _peers
from ._measure import Form, Row

SCALE, ZERO = 0.05, 100
IMAGE = (1, 64, 56, 56)  # an early layer's activations


class Tensor(NamedTuple):
    """Random quint8 integers, channels-last where they are an image, and their qparams."""

    ints: np.ndarray
    scale: float
    zero_point: int

    def ours(self) -> Any:
        return quantnn.make_per_tensor_quantized_tensor(self.ints, self.scale, self.zero_point)

    def torch(self, module: Any) -> Any:
        return _peers.torch_tensor(module, self.ints, self.scale, self.zero_point)

    @property
    def pixels(self) -> np.ndarray:
        """The integers (N, *spatial, C) of an image."""
        return np.ascontiguousarray(np.moveaxis(self.ints, 1, -1))

    def constants(self, name: str) -> dict[str, Any]:
        """The qparams for an ONNX model, as s`name` and z`name`."""
        return {f"s{name}": np.float32(self.scale), f"z{name}": np.uint8(self.zero_point)}


def tensor(seed: int, shape: tuple[int, ...] = IMAGE, scale: float = SCALE, zero_point: int = ZERO) -> Tensor:
    ints = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return Tensor(_peers.channels_last(ints) if ints.ndim > 3 else ints, scale, zero_point)


def row(
    group: str,
    shape: str,
    moved: int,
    ours: Callable[[], Callable[[], Any]],
    torch: Callable[[Any], Callable[[], Any]],
    onnxruntime: Callable[[], Form] | None = None,
    tolerance: float = 0.0,
) -> Row:
    """A row whose work is the bytes that it reads and writes."""
    forms = {"quantnn": lambda: _peers.ours(ours()), **_peers.torch_forms(torch)}
    if onnxruntime is not None:
        forms["onnxruntime"] = onnxruntime
    return Row(group, shape, moved, "GB/s", forms, tolerance=tolerance)


def onnx(
    node: _onnx.Node,
    feeds: dict[str, np.ndarray],
    constants: dict[str, Any],
    out: tuple[tuple[int, ...], str],
    images: bool = False,
    opset: int = 17,
) -> Form:
    """ONNX Runtime's form of one node; its output "y" has a shape and dtype, (N, *spatial, C) if `images`."""
    inputs = {name: (a.dtype.name, a.shape) for name, a in feeds.items()}
    model = _onnx.model([node], inputs, {"y": (out[1], out[0])}, constants, opset)
    return _peers.onnxruntime(model, feeds, (lambda y: np.moveaxis(y, -1, 1)) if images else None)
