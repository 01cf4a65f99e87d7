"""Transposed convolutions that double images: of U-Nets, generators and decoders; in 1-D and 3-D too.

Per-tensor scales, as torch has no others, a bias, channels-last images. torch's engine fbgemm is wrong for 2x2.
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
    """A transposed convolution whose output is `stride` times as large."""

    channels: int
    out_channels: int
    size: tuple[int, ...]
    kernel: int
    stride: int = 2
    groups: int = 1

    @property
    def padding(self) -> int:
        return (self.kernel - self.stride + 1) // 2

    @property
    def output_padding(self) -> int:
        return (self.kernel - self.stride) % 2

    @property
    def out(self) -> tuple[int, ...]:
        return tuple(n * self.stride for n in self.size)

    @property
    def macs(self) -> int:
        """Multiply-adds that reach an output."""
        taps = [
            sum(0 <= i * self.stride - self.padding + k < m for i in range(n) for k in range(self.kernel))
            for n, m in zip(self.size, self.out, strict=True)
        ]
        return self.out_channels * (self.channels // self.groups) * math.prod(taps)

    @property
    def moved(self) -> int:
        """Bytes of input, weight and output."""
        weight = self.out_channels * (self.channels // self.groups) * self.kernel ** len(self.size)
        return self.channels * math.prod(self.size) + self.out_channels * math.prod(self.out) + weight

    def __str__(self) -> str:
        size = self.size[:1] if len(set(self.size)) == 1 else self.size
        return f"{self.channels}->{self.out_channels} k{self.kernel} s{self.stride} at {'x'.join(map(str, size))}"


def families() -> dict[str, list[Shape]]:
    return {
        # of U-Net
        "transposed 2x2": [Shape(256, 128, (28, 28), 2), Shape(128, 64, (56, 56), 2)],
        # of pix2pix and DCGAN
        "transposed 4x4": [Shape(256, 128, (16, 16), 4), Shape(128, 64, (32, 32), 4)],
        # of ENet and CycleGAN; then one that resizes classes, as FCN does
        "transposed 3x3": [Shape(128, 64, (64, 64), 3), Shape(64, 16, (64, 64), 3)],
        "transposed depthwise 4x4": [Shape(64, 64, (28, 28), 4, 2, 64)],
        # of HiFi-GAN
        "transposed 1d": [Shape(256, 128, (256,), 16, 8), Shape(128, 64, (2048,), 4)],
        # of V-Net
        "transposed 3d 2x2x2": [Shape(64, 32, (8, 16, 16), 2)],
    }


def rows() -> Iterator[Row]:
    for group, shapes in families().items():
        for shape in shapes:
            yield row(group, shape)


def row(group: str, s: Shape) -> Row:
    rng = np.random.default_rng(3)
    dims = len(s.size)
    c, k = s.channels // s.groups, s.out_channels // s.groups
    taps = s.kernel**dims
    x = _peers.channels_last(rng.integers(0, 128, (1, s.channels, *s.size)).astype(np.uint8))
    w = rng.integers(-128, 128, (s.channels, k, *[s.kernel] * dims)).astype(np.int8)
    w_scale = 2.0**-9
    counts = rng.integers(-2000, 2000, s.out_channels).astype(np.int32)  # the bias in units of X_SCALE * w_scale
    bias = (counts * (X_SCALE * w_scale)).astype(np.float32)
    y_scale = float(2.0 ** round(np.log2((c * taps / s.stride**dims) ** 0.5 * 5000 * X_SCALE * w_scale / 40)))

    def reference() -> np.ndarray:
        pixels = (np.moveaxis(x, 1, -1).astype(np.float64) - X_ZERO).reshape(-1, s.groups, c)
        whole = [(n - 1) * s.stride + s.kernel + s.output_padding for n in s.size]
        sums = np.zeros((*whole, s.out_channels)) + counts
        kernel = w.astype(np.float64).reshape(s.groups, c, k, taps)
        for tap, at in enumerate(product(range(s.kernel), repeat=dims)):
            where = tuple(slice(i, i + s.stride * (n - 1) + 1, s.stride) for i, n in zip(at, s.size, strict=True))
            products = np.einsum("pgc,gck->pgk", pixels, kernel[..., tap], optimize=True)
            sums[where] += products.reshape(*s.size, s.out_channels)
        sums = sums[tuple(slice(s.padding, s.padding + n) for n in s.out)]
        y = np.rint(sums * (X_SCALE * w_scale / y_scale)) + Y_ZERO
        return np.moveaxis(np.clip(y, 0, 255).astype(np.uint8), -1, 0)[None]

    lists = [[v] * dims for v in (s.stride, s.padding, s.output_padding, 1)]

    def ours() -> Form:
        qw = quantnn.make_per_tensor_quantized_tensor(w, w_scale, 0)
        packed = getattr(quantnn.ops, f"conv_transpose{dims}d_prepack")(qw, bias, *lists, s.groups)
        qx = quantnn.make_per_tensor_quantized_tensor(x, X_SCALE, X_ZERO)
        run = getattr(quantnn.ops, f"conv_transpose{dims}d")
        return _peers.ours(lambda: run(qx, packed, y_scale, Y_ZERO))

    def torch(t: Any) -> Callable[[], object]:
        ops = t.ops.quantized
        qw = t._make_per_tensor_quantized_tensor(t.from_numpy(w), w_scale, 0)
        try:
            packed = getattr(ops, f"conv_transpose{dims}d_prepack")(qw, t.from_numpy(bias), *lists, s.groups)
        except RuntimeError as e:  # the engine onednn has no output padding
            raise _peers.Unavailable(str(e).splitlines()[0]) from e
        qx = _peers.torch_tensor(t, x, X_SCALE, X_ZERO)
        run = getattr(ops, f"conv_transpose{dims}d")
        return lambda: run(qx, packed, y_scale, Y_ZERO)

    attributes = {
        "kernel_shape": [s.kernel] * dims, "strides": lists[0], "pads": [s.padding] * 2 * dims,
        "output_padding": lists[2], "group": s.groups,
    }  # fmt: skip
    constants = {
        "sx": np.float32(X_SCALE), "zx": np.uint8(X_ZERO), "w": w, "sw": np.float32(w_scale), "zw": np.int8(0),
        "sy": np.float32(y_scale), "zy": np.uint8(Y_ZERO), "b": bias,
    }  # fmt: skip
    pixels = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    border = {"x": ("uint8", pixels.shape)}, {"y": ("uint8", (1, *s.out, s.out_channels))}

    def first(y: np.ndarray) -> np.ndarray:
        return np.moveaxis(y, -1, 1)

    def model() -> bytes:
        nodes = [
            _onnx.Node("DequantizeLinear", ["x", "sx", "zx"], ["fx_last"]),
            _onnx.channels_first("fx_last", "fx", x.ndim),
            _onnx.Node("DequantizeLinear", ["w", "sw", "zw"], ["fw"]),
            _onnx.Node("ConvTranspose", ["fx", "fw", "b"], ["fy"], attributes),
            _onnx.Node("QuantizeLinear", ["fy", "sy", "zy"], ["y_first"]),
            _onnx.channels_last("y_first", "y", x.ndim),
        ]
        return _onnx.model(nodes, *border, constants)

    def litert() -> Form:
        if dims > 2 or s.groups > 1:
            raise _peers.Unavailable("has no quantized operator")
        # its padding, where it is odd, has the larger half at the end, torch's at the start: all is mirrored then
        flip = slice(None, None, -1 if s.output_padding else 1)
        image, kernel, out = pixels, np.moveaxis(w, 0, -1), s.out
        if dims == 1:
            image, kernel, out = image[:, None], kernel[:, None], (1, *out)
        y_shape = (1, *out, s.out_channels)
        image, kernel = image[:, flip, flip], np.ascontiguousarray(kernel[:, flip, flip])
        tensors = {
            "shape": _tflite.constant(np.array(y_shape, np.int32)),
            "w": _tflite.constant(kernel, w_scale), "x": _tflite.activation(image.shape, X_SCALE, X_ZERO),
            "b": _tflite.constant(counts, X_SCALE * w_scale), "y": _tflite.activation(y_shape, y_scale, Y_ZERO),
        }  # fmt: skip
        fields = {"strideH": s.stride if dims == 2 else 1, "strideW": s.stride}
        operator = _tflite.Operator("TRANSPOSE_CONV", ["shape", "w", "x", "b"], ["y"], "TransposeConvOptions", fields)
        return _peers.litert(
            [operator], tensors, {"x": image}, lambda y: first(y[:, flip, flip].reshape(1, *s.out, s.out_channels))
        )

    forms = {
        "quantnn": ours, **_peers.torch_forms(torch),
        "onnxruntime": lambda: _peers.onnxruntime(model(), {"x": pixels}, first),
        "openvino": lambda: _peers.openvino(model(), {"x": pixels}, first), "litert": litert,
    }  # fmt: skip
    return Row(group, str(s), s.macs, s.moved, forms, reference)
