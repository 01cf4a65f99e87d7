"""Operators of one tensor, element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx
from ._measure import Form, Row


def rows() -> Iterator[Row]:
    def clip(low: int, high: int) -> Callable[[e.Tensor], Form]:
        def onnxruntime(x: e.Tensor) -> Form:
            constants = {"low": np.uint8(low), "high": np.uint8(high)}
            node = _onnx.Node("Clip", ["x", "low", "high"], ["y"])
            return e.onnx(node, {"x": x.pixels}, constants, (x.pixels.shape, "uint8"), True)

        return onnxruntime

    six = round(e.ZERO + 6 / e.SCALE)
    yield _row("relu", quantnn.ops.relu, lambda t: t.relu, (), clip(e.ZERO, 255))
    yield _row("relu6", quantnn.ops.relu6, lambda t: t.ops.quantized.relu6, (), clip(e.ZERO, six))
    yield _row(
        "clamp",
        quantnn.ops.clamp,
        lambda t: t.ops.quantized.clamp,
        (-1.0, 2.0),
        clip(e.ZERO - 20, e.ZERO + 40),
    )
    yield _row("hardswish", quantnn.ops.hardswish, lambda t: t.ops.quantized.hardswish, (0.04, 10))
    yield _row("elu", quantnn.ops.elu, lambda t: t.ops.quantized.elu, (0.05, 30))


def _row(
    name: str,
    ours: Callable[..., Any],
    torch: Callable[[Any], Callable[..., Any]],
    arguments: tuple[Any, ...],
    onnxruntime: Callable[[e.Tensor], Form] | None = None,
) -> Row:
    x = e.tensor(1)
    return e.row(
        "unary", f"{name}, 64 at 56", x.ints.size * 2,
        lambda: partial(ours, x.ours(), *arguments),
        lambda t: partial(torch(t), x.torch(t), *arguments),
        None if onnxruntime is None else lambda: onnxruntime(x),
    )  # fmt: skip
