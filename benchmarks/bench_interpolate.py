"""Resizing of channels-last images to twice their size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx, _tflite
from ._measure import Row


def rows() -> Iterator[Row]:
    for mode in ("nearest", "bilinear"):
        yield _row(mode)


def _row(mode: str) -> Row:
    x = e.tensor(1)
    attributes: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if mode == "nearest":
        attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    node = _onnx.Node("Resize", ["x", "", "scales"], ["y"], attributes)
    scales = {"scales": np.array([1, 2, 2, 1], np.float32)}
    native = e.onnx([node], {"x": x.pixels}, scales, ((1, 112, 112, 64), "uint8"))
    floats = node._replace(inputs=["fx", "", "scales"], outputs=["fy"])
    constants = x.constants("y") | {"scales": np.array([1, 1, 2, 2], np.float32)}
    peers = e.around([floats], {"x": x}, constants, (1, 64, 112, 112), channels_first=True)
    bilinear = mode == "bilinear"
    operator = _tflite.Operator(
        "RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR", ["x", "size"], ["y"],
        "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions", {"halfPixelCenters": bilinear}, 3,
    )  # fmt: skip
    size = _tflite.constant(np.array([112, 112], np.int32))
    y = _tflite.activation((1, 112, 112, 64), x.scale, x.zero_point)
    peers |= e.litert(operator, {"x": x}, {"size": size, "y": y})
    arguments = (None, 2, mode)
    return e.row(
        f"resize {mode} x2", "64 at 56", x.ints.size * 5,
        lambda: partial(quantnn.functional.interpolate, x.ours(), *arguments),
        lambda t: partial(t.ao.nn.quantized.functional.interpolate, x.torch(t), *arguments),
        peers | {"onnxruntime": native["onnxruntime"]},
    )  # fmt: skip
