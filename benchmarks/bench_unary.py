"""Operators of one tensor, element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx, _tflite
from ._measure import Row
from ._peers import Form

Peers = dict[str, Callable[[], Form]]


def rows() -> Iterator[Row]:
    x = e.tensor(1)
    six = round(e.ZERO + 6 / e.SCALE)
    relu = _clip(x, e.ZERO, 255) | _litert(x, "RELU", x.scale, x.zero_point)
    yield _row("relu", x, quantnn.ops.relu, lambda t: t.relu, (), relu)
    relu6 = _clip(x, e.ZERO, six) | _litert(x, "RELU6", x.scale, x.zero_point)
    yield _row("relu6", x, quantnn.ops.relu6, lambda t: t.ops.quantized.relu6, (), relu6)
    clamp = _clip(x, e.ZERO - 20, e.ZERO + 40)
    yield _row("clamp", x, quantnn.ops.clamp, lambda t: t.ops.quantized.clamp, (-1.0, 2.0), clamp)
    hardswish = _float(x, "HardSwish", 0.04, 10) | _litert(x, "HARD_SWISH", 0.04, 10)
    yield _row("hardswish", x, quantnn.ops.hardswish, lambda t: t.ops.quantized.hardswish, (0.04, 10), hardswish)
    elu = _float(x, "Elu", 0.05, 30) | _litert(x, "ELU", 0.05, 30)
    yield _row("elu", x, quantnn.ops.elu, lambda t: t.ops.quantized.elu, (0.05, 30), elu)
    yield from _tables(e.tensor(2, (1, 256, 28, 28)))


def _tables(x: e.Tensor) -> Iterator[Row]:
    """What goes through a table of 256 integers."""
    functional = quantnn.functional
    unit = (1 / 256, 0)
    sigmoid = _float(x, "Sigmoid", *unit) | _litert(x, "LOGISTIC", *unit)
    yield _row("sigmoid", x, quantnn.ops.sigmoid, lambda t: t.ops.quantized.sigmoid, unit, sigmoid)
    tanh = _float(x, "Tanh", 1 / 128, 128) | _litert(x, "TANH", 1 / 128, 128)
    yield _row("tanh", x, quantnn.ops.tanh, lambda t: t.tanh, (), tanh)
    hardsigmoid = _float(x, "HardSigmoid", *unit, {"alpha": 1 / 6})
    yield _row(
        "hardsigmoid", x, functional.hardsigmoid, lambda t: t.ao.nn.quantized.functional.hardsigmoid, (), hardsigmoid
    )
    hardswish = _float(x, "HardSwish", 0.04, 10) | _litert(x, "HARD_SWISH", 0.04, 10)
    yield _row("hardswish", x, quantnn.ops.hardswish, lambda t: t.ops.quantized.hardswish, (0.04, 10), hardswish)
    elu = _float(x, "Elu", 0.05, 30) | _litert(x, "ELU", 0.05, 30)
    yield _row("elu", x, quantnn.ops.elu, lambda t: t.ops.quantized.elu, (0.05, 30), elu)
    celu = _float(x, "Celu", 0.05, 30)
    yield _row("celu", x, functional.celu, lambda t: t.ops.quantized.celu, (0.05, 30), celu)
    leaky = _float(x, "LeakyRelu", 0.04, 60, {"alpha": 0.2})
    arguments = (0.2, False, 0.04, 60)
    yield _row("leaky_relu", x, quantnn.ops.leaky_relu, lambda t: t.ops.quantized.leaky_relu, arguments, leaky)
    yield _row("threshold", x, functional.threshold, lambda t: t.ops.quantized.threshold, (0.5, 1.0), {})


def _clip(x: e.Tensor, low: int, high: int) -> Peers:
    """ONNX Runtime clips integers, OpenVINO fuses it with its neighbours."""
    integers = _onnx.Node("Clip", ["x", "low", "high"], ["y"])
    constants = {"low": np.uint8(low), "high": np.uint8(high)}
    native = e.onnx([integers], {"x": x.pixels}, constants, (x.pixels.shape, "uint8"))
    floats = {f"f{name}": np.float32((value - e.ZERO) * e.SCALE) for name, value in (("low", low), ("high", high))}
    node = _onnx.Node("Clip", ["fx", "flow", "fhigh"], ["fy"])
    peers = e.around([node], {"x": x}, floats | x.constants("y"), x.pixels.shape)
    return peers | {"onnxruntime": native["onnxruntime"]}


def _float(x: e.Tensor, op: str, scale: float, zero_point: int, attributes: dict[str, float] | None = None) -> Peers:
    node = _onnx.Node(op, ["fx"], ["fy"], attributes or {})
    return e.around([node], {"x": x}, e.qparams("y", scale, zero_point), x.pixels.shape)


def _litert(x: e.Tensor, op: str, scale: float, zero_point: int) -> Peers:
    operator = _tflite.Operator(op, ["x"], ["y"], version=1)
    return e.litert(operator, {"x": x}, {"y": _tflite.activation(x.pixels.shape, scale, zero_point)})


def _row(
    name: str,
    x: e.Tensor,
    ours: Callable[..., Any],
    torch: Callable[[Any], Callable[..., Any]],
    arguments: tuple[Any, ...],
    peers: Peers,
) -> Row:
    return e.row(
        name, f"{x.ints.shape[1]} at {x.ints.shape[2]}", x.ints.size * 2,
        lambda: partial(ours, x.ours(), *arguments),
        lambda t: partial(torch(t), x.torch(t), *arguments),
        peers,
    )  # fmt: skip
