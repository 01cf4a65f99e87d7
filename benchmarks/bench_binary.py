"""Operators of two tensors, of a tensor and a number, and concatenation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import quantnn

from . import _elementwise as e
from . import _onnx, _tflite
from ._measure import Row

QPARAMS = (0.0625, 90)
Y = e.qparams("y", *QPARAMS)


def rows() -> Iterator[Row]:
    yield _pair("add", "Add", "QLinearAdd")
    yield _pair("add_relu", "Add", None)
    yield _pair("mul", "Mul", "QLinearMul")
    yield _pair("mul_relu", "Mul", None)
    yield _prelu(1)
    yield _prelu(64)
    yield _number("add_scalar", 0.7)
    yield _number("mul_scalar", -1.3)
    yield _cat()


def _operands() -> tuple[e.Tensor, e.Tensor]:
    return e.tensor(1), e.tensor(2, scale=0.03, zero_point=130)


def _pair(name: str, op: str, quantized: str | None) -> Row:
    a, b = _operands()
    relu = name.endswith("_relu")
    nodes = [_onnx.Node(op, ["fa", "fb"], ["fz" if relu else "fy"])]
    if relu:
        nodes.append(_onnx.Node("Relu", ["fz"], ["fy"]))
    peers = e.around(nodes, {"a": a, "b": b}, Y, a.pixels.shape)
    if quantized:
        names = ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"]
        node = _onnx.Node(quantized, names, ["y"], {}, _onnx.MICROSOFT)
        constants = a.constants("a") | b.constants("b") | Y
        native = e.onnx([node], {"a": a.pixels, "b": b.pixels}, constants, (a.pixels.shape, "uint8"))
        peers["onnxruntime"] = native["onnxruntime"]
    fields = {"fusedActivationFunction": 1 if relu else 0}
    operator = _tflite.Operator(op.upper(), ["a", "b"], ["y"], f"{op}Options", fields, 2)
    peers |= e.litert(operator, {"a": a, "b": b}, {"y": _tflite.activation(a.pixels.shape, *QPARAMS)})
    return e.row(
        name, "64 at 56", a.ints.size * 3,
        lambda: partial(getattr(quantnn.ops, name), a.ours(), b.ours(), *QPARAMS),
        lambda t: partial(getattr(t.ops.quantized, name), a.torch(t), b.torch(t), *QPARAMS),
        peers,
    )  # fmt: skip


def _prelu(channels: int) -> Row:
    x, weight = e.tensor(1), e.tensor(3, (channels,), 1 / 256, 0)
    return e.row(
        "prelu", "one weight, 64 at 56" if channels == 1 else "64 at 56", x.ints.size * 2,
        lambda: partial(quantnn.ops.prelu, x.ours(), weight.ours(), *QPARAMS),
        lambda t: partial(t.ops.quantized.prelu, x.torch(t), weight.torch(t), *QPARAMS),
    )  # fmt: skip


def _number(name: str, number: float) -> Row:
    x = e.tensor(1)
    return e.row(
        name, "64 at 56", x.ints.size * 2,
        lambda: partial(getattr(quantnn.ops, name), x.ours(), number),
        lambda t: partial(getattr(t.ops.quantized, name), x.torch(t), number),
    )  # fmt: skip


def _cat() -> Row:
    a, b = _operands()
    out = (1, 56, 56, 128)
    names = ["sy", "zy", "a", "sa", "za", "b", "sb", "zb"]
    node = _onnx.Node("QLinearConcat", names, ["y"], {"axis": 3}, _onnx.MICROSOFT)
    constants = a.constants("a") | b.constants("b") | Y
    native = e.onnx([node], {"a": a.pixels, "b": b.pixels}, constants, (out, "uint8"))
    floats = _onnx.Node("Concat", ["fa", "fb"], ["fy"], {"axis": 3})
    peers = e.around([floats], {"a": a, "b": b}, Y, out) | {"onnxruntime": native["onnxruntime"]}
    # LiteRT joins tensors of the same qparams only
    operators = [
        _tflite.Operator("QUANTIZE", ["a"], ["qa"], "QuantizeOptions", {}, 2),
        _tflite.Operator("QUANTIZE", ["b"], ["qb"], "QuantizeOptions", {}, 2),
        _tflite.Operator("CONCATENATION", ["qa", "qb"], ["y"], "ConcatenationOptions", {"axis": 3}, 2),
    ]
    same = _tflite.activation(a.pixels.shape, *QPARAMS)
    peers |= e.litert(operators, {"a": a, "b": b}, {"qa": same, "qb": same, "y": _tflite.activation(out, *QPARAMS)})
    return e.row(
        "cat", "of channels, 2 x 64 at 56", a.ints.size * 4,
        lambda: partial(quantnn.ops.cat, [a.ours(), b.ours()], 1, *QPARAMS),
        lambda t: partial(t.ops.quantized.cat, [a.torch(t), b.torch(t)], 1, *QPARAMS),
        peers,
    )  # fmt: skip
