"""Pooling of channels-last images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import quantnn

from . import _elementwise as e
from . import _onnx
from ._measure import Form, Row


def rows() -> Iterator[Row]:
    yield _max()
    yield _average()
    yield _adaptive((1, 2048, 7, 7), 1)
    yield _adaptive((1, 512, 14, 14), 7)


def _max() -> Row:
    x = e.tensor(1, (1, 64, 112, 112))

    def onnxruntime() -> Form:
        attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "channels_last": 1}
        node = _onnx.Node("NhwcMaxPool", ["x"], ["y"], attributes, _onnx.MICROSOFT)
        attributes.pop("channels_last")
        return e.onnx(node, {"x": x.pixels}, {}, ((1, 56, 56, 64), "uint8"), True)

    arguments = ([3, 3], [2, 2], [1, 1])
    return e.row(
        "pool", "max 3x3 s2, 64 at 112", x.ints.size + x.ints.size // 4,
        lambda: partial(quantnn.functional.max_pool2d, x.ours(), *arguments),
        lambda t: partial(t.ops.quantized.max_pool2d, x.torch(t), *arguments, [1, 1], False),
        onnxruntime,
    )  # fmt: skip


def _average() -> Row:
    x = e.tensor(2)

    def onnxruntime() -> Form:
        attributes = {"kernel_shape": [2, 2], "strides": [2, 2], "channels_last": 1}
        node = _onnx.Node("QLinearAveragePool", ["x", "sx", "zx", "sx", "zx"], ["y"], attributes, _onnx.MICROSOFT)
        return e.onnx(node, {"x": x.pixels}, x.constants("x"), ((1, 28, 28, 64), "uint8"), True)

    return e.row(
        "pool", "average 2x2, 64 at 56", x.ints.size + x.ints.size // 4,
        lambda: partial(quantnn.functional.avg_pool2d, x.ours(), 2, 2),
        lambda t: partial(t.ao.nn.quantized.functional.avg_pool2d, x.torch(t), 2, 2),
        onnxruntime,
    )  # fmt: skip


def _adaptive(shape: tuple[int, ...], size: int) -> Row:
    x = e.tensor(3, shape)

    def onnxruntime() -> Form:
        names = ["x", "sx", "zx", "sx", "zx"]
        node = _onnx.Node("QLinearGlobalAveragePool", names, ["y"], {"channels_last": 1}, _onnx.MICROSOFT)
        return e.onnx(node, {"x": x.pixels}, x.constants("x"), ((1, 1, 1, shape[1]), "uint8"), True)

    return e.row(
        "pool", f"adaptive average to {size}, {shape[1]} at {shape[2]}", x.ints.size + shape[1] * size * size,
        lambda: partial(quantnn.functional.adaptive_avg_pool2d, x.ours(), size),
        lambda t: partial(t.ao.nn.quantized.functional.adaptive_avg_pool2d, x.torch(t), size),
        onnxruntime if size == 1 else None,
    )  # fmt: skip
