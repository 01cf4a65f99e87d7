"""Convolutions: the distinct ones of ResNet-50 and MobileNetV2, grouped, dilated, batched, in 1-D and 3-D.

Per-channel scales, a bias, channels-last images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import quantnn

from . import _onnx, _peers, _tflite
from ._measure import Row
from ._peers import Form
from .bench_linear import X_SCALE, X_ZERO, Y_ZERO


class Shape(NamedTuple):
    """A convolution with "same" padding."""

    channels: int
    out_channels: int
    size: tuple[int, ...]
    kernel: int
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    batch: int = 1

    @property
    def padding(self) -> int:
        return self.kernel // 2 * self.dilation

    @property
    def out(self) -> tuple[int, ...]:
        span = self.dilation * (self.kernel - 1) + 1
        return tuple((n + 2 * self.padding - span) // self.stride + 1 for n in self.size)

    @property
    def mirrored(self) -> bool:
        """Whether the padding used at the start of an axis is more than half of the padding used."""
        span = self.dilation * (self.kernel - 1) + 1
        return any(
            2 * self.padding > (m - 1) * self.stride + span - n >= 0 for m, n in zip(self.out, self.size, strict=True)
        )

    @property
    def macs(self) -> int:
        """Multiply-adds that don't fall on padding."""
        first = [[o * self.stride - self.padding for o in range(n)] for n in self.out]
        taps = [
            sum(0 <= f + k * self.dilation < n for f in at for k in range(self.kernel))
            for at, n in zip(first, self.size, strict=True)
        ]
        return self.batch * self.out_channels * (self.channels // self.groups) * math.prod(taps)

    @property
    def moved(self) -> int:
        """Bytes of input, weight and output."""
        weight = self.out_channels * (self.channels // self.groups) * self.kernel ** len(self.size)
        inputs, outputs = self.channels * math.prod(self.size), self.out_channels * math.prod(self.out)
        return self.batch * (inputs + outputs) + weight

    def __str__(self) -> str:
        text = f"{self.channels}->{self.out_channels}"
        if self.kernel > 1 or len(self.size) != 2:
            text += f" k{self.kernel}"
        for letter, value in (("s", self.stride), ("d", self.dilation), ("b", self.batch)):
            text += f" {letter}{value}" if value > 1 else ""
        size = self.size[:1] if len(set(self.size)) == 1 else self.size
        return f"{text} at {'x'.join(map(str, size))}"


def resnet50() -> list[Shape]:
    """Torchvision's ResNet-50: the stride is in a block's 3x3 convolution."""
    shapes = [Shape(3, 64, (224, 224), 7, 2)]
    channels, size = 64, 56
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            out = size // stride
            shapes.append(Shape(channels, width, (size, size), 1))
            shapes.append(Shape(width, width, (size, size), 3, stride))
            shapes.append(Shape(width, 4 * width, (out, out), 1))
            if block == 0:
                shapes.append(Shape(channels, 4 * width, (size, size), 1, stride))
            channels, size = 4 * width, out
    return list(dict.fromkeys(shapes))


def mobilenetv2() -> list[Shape]:
    """Torchvision's MobileNetV2 with a width of 1."""
    shapes = [Shape(3, 32, (224, 224), 3, 2)]
    channels, size = 32, 112
    for expand, out, blocks, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            hidden = channels * expand
            if expand != 1:
                shapes.append(Shape(channels, hidden, (size, size), 1))
            shapes.append(Shape(hidden, hidden, (size, size), 3, stride, hidden))
            size //= stride
            shapes.append(Shape(hidden, out, (size, size), 1))
            channels = out
    shapes.append(Shape(320, 1280, (7, 7), 1))
    return list(dict.fromkeys(shapes))


def families() -> dict[str, list[Shape]]:
    resnet, mobilenet = resnet50(), mobilenetv2()
    return {
        "first layer, 3 channels": [resnet[0], mobilenet[0]],
        "ResNet-50 1x1": [s for s in resnet if s.kernel == 1],
        "ResNet-50 3x3": [s for s in resnet if s.kernel == 3],
        "MobileNetV2 depthwise 3x3": [s for s in mobilenet if s.groups > 1],
        "MobileNetV2 pointwise": [s for s in mobilenet if s.kernel == 1],
        # of ResNeXt-50 32x4d
        "grouped 3x3, 32 groups": [
            Shape(c, c, (n, n), 3, 1, 32) for c, n in ((128, 56), (256, 28), (512, 14), (1024, 7))
        ],
        # of DeepLabV3's last stages
        "dilated 3x3": [Shape(256, 256, (28, 28), 3, 1, 1, 2), Shape(512, 512, (28, 28), 3, 1, 1, 4)],
        "batch 8": [
            s._replace(batch=8)
            for s in (
                resnet[0], Shape(64, 64, (56, 56), 3), Shape(256, 64, (56, 56), 1), Shape(256, 1024, (14, 14), 1),
                Shape(144, 144, (56, 56), 3, 1, 144),
            )
        ],
        # of Whisper's and wav2vec 2.0's encoders, and of a text-to-speech model
        "conv1d": [
            Shape(80, 512, (1000,), 3), Shape(512, 512, (1000,), 3, 2), Shape(512, 512, (500,), 1),
            Shape(256, 256, (500,), 9),
        ],
        # of the Conformer
        "depthwise conv1d, k = 31": [Shape(256, 256, (500,), 31, 1, 256)],
        # of R3D-18
        "conv3d": [Shape(64, 64, (8, 28, 28), 3), Shape(128, 128, (4, 14, 14), 3)],
    }  # fmt: skip


def rows() -> Iterator[Row]:
    for group, shapes in families().items():
        for shape in shapes:
            yield row(group, shape)


def row(group: str, s: Shape) -> Row:
    rng = np.random.default_rng(2)
    dims = len(s.size)
    depthwise = s.groups == s.channels > 1
    # torch's depthwise kernel sums in 16 bits, saturating: keep its sums below 2**15
    taps = s.kernel**dims
    largest, weight = (32, min(64, 2**15 // (32 * taps))) if depthwise else (128, 128)
    c = s.channels // s.groups
    x = _peers.channels_last(rng.integers(0, largest, (s.batch, s.channels, *s.size)).astype(np.uint8))
    w = rng.integers(-weight, weight, (s.out_channels, c, *[s.kernel] * dims)).astype(np.int8)
    scales = (2.0 ** rng.integers(-10, -7, s.out_channels)).astype(np.float32)
    counts = rng.integers(-2000, 2000, s.out_channels).astype(np.int32)  # the bias in units of X_SCALE * scale
    bias = (counts * (X_SCALE * scales)).astype(np.float32)
    y_scale = float(2.0 ** round(np.log2((c * taps) ** 0.5 * largest * weight / 3 * X_SCALE * 2**-9 / 40)))

    def reference() -> np.ndarray:
        pixels = np.moveaxis(x, 1, -1).astype(np.float64) - X_ZERO
        pixels = np.pad(pixels, ((0, 0), *[(s.padding, s.padding)] * dims, (0, 0)))
        sums = np.zeros((s.batch, *s.out, s.groups, s.out_channels // s.groups)) + counts.reshape(s.groups, -1)
        kernel = w.astype(np.float64).reshape(s.groups, -1, c, taps)
        for tap, at in enumerate(product(range(s.kernel), repeat=dims)):
            where = (slice(k * s.dilation, k * s.dilation + s.stride * (n - 1) + 1, s.stride)
                     for k, n in zip(at, s.out, strict=True))  # fmt: skip
            taken = pixels[:, *where].reshape(-1, s.groups, c)
            sums += np.einsum("pgc,gkc->pgk", taken, kernel[..., tap], optimize=True).reshape(sums.shape)
        sums = sums.reshape(s.batch, *s.out, s.out_channels)
        y = np.rint(sums * (X_SCALE * scales / y_scale)) + Y_ZERO
        return np.moveaxis(np.clip(y, 0, 255).astype(np.uint8), -1, 1)

    geometry = ([s.stride] * dims, [s.padding] * dims, [s.dilation] * dims, s.groups)

    def ours() -> Form:
        zero_points = np.zeros(s.out_channels, np.int64)
        qw = quantnn.make_per_channel_quantized_tensor(w, scales.astype(np.float64), zero_points, 0)
        packed = getattr(quantnn.ops, f"conv{dims}d_prepack")(qw, bias, *geometry)
        qx = quantnn.make_per_tensor_quantized_tensor(x, X_SCALE, X_ZERO)
        conv = getattr(quantnn.ops, f"conv{dims}d")
        return _peers.ours(lambda: conv(qx, packed, y_scale, Y_ZERO))

    def torch(t: Any) -> Callable[[], object]:
        ops, qw = t.ops.quantized, _peers.torch_weight(t, w, scales)
        packed = getattr(ops, f"conv{dims}d_prepack")(qw, t.from_numpy(bias), *geometry)
        qx = _peers.torch_tensor(t, x, X_SCALE, X_ZERO)
        conv = getattr(ops, f"conv{dims}d")
        return lambda: conv(qx, packed, y_scale, Y_ZERO)

    attributes = {
        "kernel_shape": [s.kernel] * dims, "strides": [s.stride] * dims, "pads": [s.padding] * 2 * dims,
        "dilations": [s.dilation] * dims, "group": s.groups,
    }  # fmt: skip
    constants = {
        "sx": np.float32(X_SCALE), "zx": np.uint8(X_ZERO), "w": w, "sw": scales,
        "zw": np.zeros(s.out_channels, np.int8),
        "sy": np.float32(y_scale), "zy": np.uint8(Y_ZERO), "b": counts,
    }  # fmt: skip
    pixels = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    border = {"x": ("uint8", pixels.shape)}, {"y": ("uint8", (s.batch, *s.out, s.out_channels))}

    def first(y: np.ndarray) -> np.ndarray:
        return np.moveaxis(y, -1, 1)

    def onnxruntime() -> Form:
        names = ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"]
        node = _onnx.Node("QLinearConv", names, ["y"], attributes | {"channels_last": 1}, _onnx.MICROSOFT)
        return _peers.onnxruntime(_onnx.model([node], *border, constants), {"x": pixels}, first)

    def openvino() -> Form:
        nodes = [
            _onnx.Node("DequantizeLinear", ["x", "sx", "zx"], ["fx_last"]),
            _onnx.channels_first("fx_last", "fx", x.ndim),
            _onnx.Node("DequantizeLinear", ["w", "sw", "zw"], ["fw"], {"axis": 0}),
            _onnx.Node("Conv", ["fx", "fw", "b"], ["fy"], attributes),
            _onnx.Node("QuantizeLinear", ["fy", "sy", "zy"], ["y_first"]),
            _onnx.channels_last("y_first", "y", x.ndim),
        ]
        return _peers.openvino(_onnx.model(nodes, *border, constants | {"b": bias}), {"x": pixels}, first)

    def litert() -> Form:
        if dims > 2:
            raise _peers.Unavailable("has no quantized operator")
        # its padding, where it is odd, has the larger half at the end, torch's at the start: all is mirrored then
        flip = slice(None, None, -1 if s.mirrored else 1)
        image, kernel = pixels, np.moveaxis(w, 0, -1) if depthwise else np.moveaxis(w, 1, -1)
        y_shape = (s.batch, *s.out, s.out_channels)
        if dims == 1:
            image, kernel, y_shape = image[:, None], kernel[:, None], (s.batch, 1, *s.out, s.out_channels)
        image, kernel = image[:, flip, flip], np.ascontiguousarray(kernel[:, flip, flip])
        tensors = {
            "x": _tflite.activation(image.shape, X_SCALE, X_ZERO),
            "w": _tflite.constant(kernel, scales, 3 if depthwise else 0),
            "b": _tflite.constant(counts, X_SCALE * scales), "y": _tflite.activation(y_shape, y_scale, Y_ZERO),
        }  # fmt: skip
        fields = {"strideH": s.stride if dims == 2 else 1, "strideW": s.stride, "dilationHFactor": s.dilation,
                  "dilationWFactor": s.dilation}  # fmt: skip
        if depthwise:
            fields["depthMultiplier"] = 1
        name = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
        operator = _tflite.Operator(name[0], ["x", "w", "b"], ["y"], name[1], fields)
        return _peers.litert(
            [operator], tensors, {"x": image}, lambda y: first(y[:, flip, flip].reshape(-1, *s.out, s.out_channels))
        )

    forms = {
        "quantnn": ours, **_peers.torch_forms(torch), "onnxruntime": onnxruntime, "openvino": openvino,
        "litert": litert,
    }  # fmt: skip
    return Row(group, str(s), s.macs, s.moved, forms, reference)
