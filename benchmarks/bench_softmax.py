"""softmax, of an output layer, of attention and across an image's channels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import quantnn

from . import _elementwise as e
from . import _onnx, _tflite
from ._measure import Row

QPARAMS = (1 / 256, 0)


def rows() -> Iterator[Row]:
    yield _row("1 x 1000", (1, 1000), 1)
    yield _row("8 x 128 x 128", (8, 128, 128), 2)
    yield _row("of channels, 64 at 56", e.IMAGE, 1)


def _row(shape_name: str, shape: tuple[int, ...], dim: int) -> Row:
    x = e.tensor(1, shape)
    node = _onnx.Node("Softmax", ["fx"], ["fy"], {"axis": -1})  # images lie channels-last there
    peers = e.around([node], {"x": x}, e.qparams("y", *QPARAMS), x.pixels.shape)
    operator = _tflite.Operator("SOFTMAX", ["x"], ["y"], "SoftmaxOptions", {"beta": 1.0}, 2)
    peers |= e.litert(operator, {"x": x}, {"y": _tflite.activation(x.pixels.shape, *QPARAMS)})
    return e.row(
        "softmax", shape_name, x.ints.size * 2,
        lambda: partial(quantnn.ops.softmax, x.ours(), dim, *QPARAMS),
        lambda t: partial(t.ops.quantized.softmax, x.torch(t), dim, *QPARAMS),
        peers,
    )  # fmt: skip
