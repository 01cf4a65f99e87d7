"""Resizing of channels-last images to twice their size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx
from ._measure import Form, Row


def rows() -> Iterator[Row]:
    for mode in ("nearest", "bilinear"):
        yield _row(mode)


def _row(mode: str) -> Row:
    x = e.tensor(1)
    arguments = (None, 2, mode)

    def onnxruntime() -> Form:
        attributes = {
            "mode": "linear" if mode == "bilinear" else mode,
            "coordinate_transformation_mode": "half_pixel" if mode == "bilinear" else "asymmetric",
        }
        if mode == "nearest":
            attributes["nearest_mode"] = "floor"
        node = _onnx.Node("Resize", ["x", "", "scales"], ["y"], attributes)
        constants = {"scales": np.array([1, 2, 2, 1], np.float32)}
        return e.onnx(node, {"x": x.pixels}, constants, ((1, 112, 112, 64), "uint8"), True)

    return e.row(
        "interpolate", f"{mode} x2, 64 at 56", x.ints.size * 5,
        lambda: partial(quantnn.functional.interpolate, x.ours(), *arguments),
        lambda t: partial(t.ao.nn.quantized.functional.interpolate, x.torch(t), *arguments),
        onnxruntime,
    )  # fmt: skip
