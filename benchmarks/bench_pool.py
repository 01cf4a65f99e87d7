"""Pooling of channels-last images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx, _peers, _tflite
from ._measure import Row


def rows() -> Iterator[Row]:
    yield _max()
    yield _average()
    yield _adaptive("average pool 2x2", (1, 512, 14, 14), 7)
    yield _adaptive("average pool, global", (1, 2048, 7, 7), 1)


def _max() -> Row:
    x = e.tensor(1, (1, 64, 112, 112))
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    node = _onnx.Node("NhwcMaxPool", ["x"], ["y"], attributes, _onnx.MICROSOFT)
    native = e.onnx([node], {"x": x.pixels}, {}, ((1, 56, 56, 64), "uint8"))
    floats = _onnx.Node("MaxPool", ["fx"], ["fy"], attributes)
    peers = e.around([floats], {"x": x}, x.constants("y"), (1, 64, 56, 56), channels_first=True)
    fields = {"strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}
    operator = _tflite.Operator("MAX_POOL_2D", ["x"], ["y"], "Pool2DOptions", fields, 2)
    # LiteRT pads at the end only, torch at the start only: the image is mirrored
    mirror = (slice(None), slice(None, None, -1), slice(None, None, -1))
    tensors = {
        "x": _tflite.activation(x.pixels.shape, x.scale, x.zero_point),
        "y": _tflite.activation((1, 56, 56, 64), x.scale, x.zero_point),
    }
    peers["litert"] = lambda: _peers.litert(
        [operator], tensors, {"x": x.pixels[mirror]}, lambda y: np.moveaxis(y[mirror], -1, 1)
    )
    arguments = ([3, 3], [2, 2], [1, 1])
    return e.row(
        "max pool 3x3 s2", "64 at 112", x.ints.size + x.ints.size // 4,
        lambda: partial(quantnn.functional.max_pool2d, x.ours(), *arguments),
        lambda t: partial(t.ops.quantized.max_pool2d, x.torch(t), *arguments, [1, 1], False),
        peers | {"onnxruntime": native["onnxruntime"]},
    )  # fmt: skip


def _average() -> Row:
    x = e.tensor(2)
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]}
    names = ["x", "sx", "zx", "sx", "zx"]
    node = _onnx.Node("QLinearAveragePool", names, ["y"], attributes | {"channels_last": 1}, _onnx.MICROSOFT)
    native = e.onnx([node], {"x": x.pixels}, x.constants("x"), ((1, 28, 28, 64), "uint8"))
    floats = _onnx.Node("AveragePool", ["fx"], ["fy"], attributes)
    peers = e.around([floats], {"x": x}, x.constants("y"), (1, 64, 28, 28), channels_first=True)
    fields = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    operator = _tflite.Operator("AVERAGE_POOL_2D", ["x"], ["y"], "Pool2DOptions", fields, 2)
    peers |= e.litert(operator, {"x": x}, {"y": _tflite.activation((1, 28, 28, 64), x.scale, x.zero_point)})
    return e.row(
        "average pool 2x2", "64 at 56", x.ints.size + x.ints.size // 4,
        lambda: partial(quantnn.functional.avg_pool2d, x.ours(), 2, 2),
        lambda t: partial(t.ao.nn.quantized.functional.avg_pool2d, x.torch(t), 2, 2),
        peers | {"onnxruntime": native["onnxruntime"]},
    )  # fmt: skip


def _adaptive(group: str, shape: tuple[int, ...], size: int) -> Row:
    x = e.tensor(3, shape)
    channels = shape[1]
    peers = {}
    if size == 1:
        names = ["x", "sx", "zx", "sx", "zx"]
        node = _onnx.Node("QLinearGlobalAveragePool", names, ["y"], {"channels_last": 1}, _onnx.MICROSOFT)
        native = e.onnx([node], {"x": x.pixels}, x.constants("x"), ((1, 1, 1, channels), "uint8"))
        floats = _onnx.Node("GlobalAveragePool", ["fx"], ["fy"])
        peers = e.around([floats], {"x": x}, x.constants("y"), (1, channels, 1, 1), channels_first=True)
        peers["onnxruntime"] = native["onnxruntime"]
        operator = _tflite.Operator("MEAN", ["x", "axes"], ["y"], "ReducerOptions", {"keepDims": True}, 2)
        y = _tflite.activation((1, 1, 1, channels), x.scale, x.zero_point)
        peers |= e.litert(operator, {"x": x}, {"axes": _tflite.constant(np.array([1, 2], np.int32)), "y": y})
    return e.row(
        group, f"adaptive, {channels} at {shape[2]}", x.ints.size + channels * size * size,
        lambda: partial(quantnn.functional.adaptive_avg_pool2d, x.ours(), size),
        lambda t: partial(t.ao.nn.quantized.functional.adaptive_avg_pool2d, x.torch(t), size),
        peers,
    )  # fmt: skip
