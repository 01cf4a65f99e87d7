"""Convolutions: the distinct ones of ResNet-50 and MobileNetV2 at batch 1, depthwise ones included.

Per-channel scales, a bias, channels-last images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import quantnn

from . import _onnx, _peers
from ._measure import Form, Row
from .bench_linear import X_SCALE, X_ZERO, Y_ZERO


class Shape(NamedTuple):
    channels: int
    out_channels: int
    size: int  # height and width of the image
    kernel: int
    stride: int
    groups: int


def resnet50() -> list[Shape]:
    """Torchvision's ResNet-50: the stride is in a block's 3x3 convolution."""
    shapes = [Shape(3, 64, 224, 7, 2, 1)]
    channels, size = 64, 56
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            shapes.append(Shape(channels, width, size, 1, 1, 1))
            shapes.append(Shape(width, width, size, 3, stride, 1))
            shapes.append(Shape(width, 4 * width, size // stride, 1, 1, 1))
            if block == 0:
                shapes.append(Shape(channels, 4 * width, size, 1, stride, 1))
            channels, size = 4 * width, size // stride
    return list(dict.fromkeys(shapes))


def mobilenetv2() -> list[Shape]:
    """Torchvision's MobileNetV2 with a width of 1."""
    shapes = [Shape(3, 32, 224, 3, 2, 1)]
    channels, size = 32, 112
    for expand, out, blocks, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            hidden = channels * expand
            if expand != 1:
                shapes.append(Shape(channels, hidden, size, 1, 1, 1))
            shapes.append(Shape(hidden, hidden, size, 3, stride, hidden))
            size //= stride
            shapes.append(Shape(hidden, out, size, 1, 1, 1))
            channels = out
    shapes.append(Shape(320, 1280, 7, 1, 1, 1))
    return list(dict.fromkeys(shapes))


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(2)
    for group, shapes in (("resnet50", resnet50()), ("mobilenetv2", mobilenetv2())):
        for shape in shapes:
            yield _row(rng, group, shape)


def _row(rng: np.random.Generator, group: str, s: Shape) -> Row:
    depthwise = s.groups > 1
    # torch's depthwise kernel sums in 16 bits, saturating: keep its sums below 2**15
    largest, weight = (32, 64) if depthwise else (128, 128)
    padding, k = s.kernel // 2, s.kernel
    c = s.channels // s.groups
    out = (s.size + 2 * padding - k) // s.stride + 1
    x = _peers.channels_last(rng.integers(0, largest, (1, s.channels, s.size, s.size)).astype(np.uint8))
    w = rng.integers(-weight, weight, (s.out_channels, c, k, k)).astype(np.int8)
    scales = (2.0 ** rng.integers(-10, -7, s.out_channels)).astype(np.float32)
    counts = rng.integers(-2000, 2000, s.out_channels).astype(np.int32)  # the bias in units of X_SCALE * scale
    bias = (counts * (X_SCALE * scales)).astype(np.float32)
    y_scale = float(2.0 ** round(np.log2((c * k * k) ** 0.5 * largest * weight / 3 * X_SCALE * 2**-9 / 40)))

    def reference() -> np.ndarray:
        image = np.pad(x[0].astype(np.float64) - X_ZERO, ((0, 0), (padding, padding), (padding, padding)))
        windows = np.lib.stride_tricks.sliding_window_view(image, (k, k), axis=(1, 2))
        windows = windows[:, :: s.stride, :: s.stride]
        if depthwise:
            sums = np.einsum("chwij,cij->chw", windows, w[:, 0].astype(np.float64))
        else:
            sums = np.tensordot(w.astype(np.float64), windows, ((1, 2, 3), (0, 3, 4)))
        column = (slice(None), None, None)
        y = np.rint((sums + counts[column]) * (X_SCALE * scales / y_scale)[column]) + Y_ZERO
        return np.clip(y, 0, 255).astype(np.uint8)[None]

    geometry = ([s.stride] * 2, [padding] * 2, [1] * 2, s.groups)

    def ours() -> Form:
        zero_points = np.zeros(s.out_channels, np.int64)
        qw = quantnn.make_per_channel_quantized_tensor(w, scales.astype(np.float64), zero_points, 0)
        packed = quantnn.ops.conv2d_prepack(qw, bias, *geometry)
        qx = quantnn.make_per_tensor_quantized_tensor(x, X_SCALE, X_ZERO)
        conv2d = quantnn.ops.conv2d
        return _peers.ours(lambda: conv2d(qx, packed, y_scale, Y_ZERO))

    def torch(t: Any) -> Callable[[], object]:
        packed = t.ops.quantized.conv2d_prepack(_peers.torch_weight(t, w, scales), t.from_numpy(bias), *geometry)
        qx = _peers.torch_tensor(t, x, X_SCALE, X_ZERO)
        conv2d = t.ops.quantized.conv2d
        return lambda: conv2d(qx, packed, y_scale, Y_ZERO)

    attributes = {
        "kernel_shape": [k, k], "strides": [s.stride] * 2, "pads": [padding] * 4, "dilations": [1, 1],
        "group": s.groups,
    }  # fmt: skip
    constants = {
        "sx": np.float32(X_SCALE), "zx": np.uint8(X_ZERO), "w": w, "sw": scales,
        "zw": np.zeros(s.out_channels, np.int8),
        "sy": np.float32(y_scale), "zy": np.uint8(Y_ZERO), "b": counts,
    }  # fmt: skip
    pixels = np.ascontiguousarray(np.moveaxis(x, 1, -1))

    def first(y: np.ndarray) -> np.ndarray:
        return np.moveaxis(y, -1, 1)

    def onnxruntime() -> Form:
        border = {"x": ("uint8", pixels.shape)}, {"y": ("uint8", (1, out, out, s.out_channels))}
        names = ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"]
        node = _onnx.Node("QLinearConv", names, ["y"], attributes | {"channels_last": 1}, _onnx.MICROSOFT)
        return _peers.onnxruntime(_onnx.model([node], *border, constants), {"x": pixels}, first)

    def openvino() -> Form:
        border = {"x": ("uint8", x.shape)}, {"y": ("uint8", (1, s.out_channels, out, out))}
        nodes = [
            _onnx.Node("DequantizeLinear", ["x", "sx", "zx"], ["fx"]),
            _onnx.Node("DequantizeLinear", ["w", "sw", "zw"], ["fw"], {"axis": 0}),
            _onnx.Node("Conv", ["fx", "fw", "b"], ["fy"], attributes),
            _onnx.Node("QuantizeLinear", ["fy", "sy", "zy"], ["y"]),
        ]
        return _peers.openvino(_onnx.model(nodes, *border, constants | {"b": bias}), pixels, first)

    forms = {"quantnn": ours, **_peers.torch_forms(torch), "onnxruntime": onnxruntime, "openvino": openvino}
    kind = "depthwise" if depthwise else f"{k}x{k}"
    text = f"{s.channels}->{s.out_channels} {kind} s{s.stride} at {s.size}"
    return Row(group, text, out * out * s.out_channels * c * k * k, "GMAC/s", forms, reference)
