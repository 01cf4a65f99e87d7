"""Operators of two tensors, of a tensor and a number, and concatenation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx
from ._measure import Form, Row

Y = {"sy": np.float32(0.08), "zy": np.uint8(90)}
QPARAMS = (float(np.float32(0.08)), 90)


def rows() -> Iterator[Row]:
    for name, op in (("add", "QLinearAdd"), ("add_relu", None), ("mul", "QLinearMul")):
        yield _pair(name, op)
    yield _number("add_scalar", 0.7)
    yield _number("mul_scalar", -1.3)
    yield _cat()


def _operands() -> tuple[e.Tensor, e.Tensor]:
    return e.tensor(1), e.tensor(2, scale=0.03, zero_point=130)


def _pair(name: str, op: str | None) -> Row:
    a, b = _operands()

    def onnxruntime() -> Form:
        node = _onnx.Node(op or "", ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"], ["y"], {}, _onnx.MICROSOFT)
        constants = a.constants("a") | b.constants("b") | Y
        return e.onnx(node, {"a": a.pixels, "b": b.pixels}, constants, (a.pixels.shape, "uint8"), True)

    return e.row(
        "binary", f"{name}, 64 at 56", a.ints.size * 3,
        lambda: partial(getattr(quantnn.ops, name), a.ours(), b.ours(), *QPARAMS),
        lambda t: partial(getattr(t.ops.quantized, name), a.torch(t), b.torch(t), *QPARAMS),
        onnxruntime if op else None,
    )  # fmt: skip


def _number(name: str, number: float) -> Row:
    x = e.tensor(1)
    return e.row(
        "binary", f"{name}, 64 at 56", x.ints.size * 2,
        lambda: partial(getattr(quantnn.ops, name), x.ours(), number),
        lambda t: partial(getattr(t.ops.quantized, name), x.torch(t), number),
    )  # fmt: skip


def _cat() -> Row:
    a, b = _operands()

    def onnxruntime() -> Form:
        names = ["sy", "zy", "a", "sa", "za", "b", "sb", "zb"]
        node = _onnx.Node("QLinearConcat", names, ["y"], {"axis": 3}, _onnx.MICROSOFT)
        constants: dict[str, Any] = a.constants("a") | b.constants("b") | Y
        shape = (1, 56, 56, 128)
        return e.onnx(node, {"a": a.pixels, "b": b.pixels}, constants, (shape, "uint8"), True)

    return e.row(
        "binary", "cat of channels, 2 x 64 at 56", a.ints.size * 4,
        lambda: partial(quantnn.ops.cat, [a.ours(), b.ours()], 1, *QPARAMS),
        lambda t: partial(t.ops.quantized.cat, [a.torch(t), b.torch(t)], 1, *QPARAMS),
        onnxruntime,
    )  # fmt: skip
