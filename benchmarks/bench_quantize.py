"""Quantize and dequantize."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx, _peers, _tflite
from ._measure import Row

SHAPE = (256, 1024)


def rows() -> Iterator[Row]:
    yield _quantize()
    yield _channels()
    yield _dequantize()


def _floats() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


def _quantize() -> Row:
    x = _floats()
    scale = float(np.float32(e.SCALE))
    node = _onnx.Node("QuantizeLinear", ["x", "sy", "zy"], ["y"])
    tensors = {"x": _tflite.Tensor(SHAPE, "float32"), "y": _tflite.activation(SHAPE, scale, e.ZERO)}
    operator = _tflite.Operator("QUANTIZE", ["x"], ["y"], "QuantizeOptions", {}, 2)
    peers = e.onnx([node], {"x": x}, e.qparams("y", scale, e.ZERO), (SHAPE, "uint8"))
    peers["litert"] = lambda: _peers.litert([operator], tensors, {"x": x})
    return e.row(
        "quantize", "per tensor, 256 x 1024", x.size * 5,
        lambda: partial(quantnn.quantize_per_tensor, x, scale, e.ZERO, quantnn.quint8),
        lambda t: partial(t.quantize_per_tensor, t.from_numpy(x), scale, e.ZERO, t.quint8),
        peers,
    )  # fmt: skip


def _channels() -> Row:
    x = _floats()
    scales = np.random.default_rng(2).uniform(0.01, 0.05, SHAPE[0])
    zero_points = np.zeros(SHAPE[0], np.int64)

    def torch(t: Any) -> Any:
        q, s, z = (t.from_numpy(a) for a in (x, scales, zero_points))
        return partial(t.quantize_per_channel, q, s, z, 0, t.qint8)

    return e.row(
        "quantize per channel", "256 x 1024", x.size * 5,
        lambda: partial(quantnn.quantize_per_channel, x, scales, zero_points, 0, quantnn.qint8),
        torch,
    )  # fmt: skip


def _dequantize() -> Row:
    x = e.tensor(3, SHAPE)
    node = _onnx.Node("DequantizeLinear", ["x", "sx", "zx"], ["y"])
    operator = _tflite.Operator("DEQUANTIZE", ["x"], ["y"], "DequantizeOptions", {}, 2)
    peers = e.onnx([node], {"x": x.ints}, x.constants("x"), (SHAPE, "float32"))
    peers |= e.litert(operator, {"x": x}, {"y": _tflite.Tensor(SHAPE, "float32")})
    return e.row(
        "dequantize", "256 x 1024", x.ints.size * 5,
        lambda: x.ours().dequantize,
        lambda t: x.torch(t).dequantize,
        peers,
    )  # fmt: skip
