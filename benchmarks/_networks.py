"""Whole networks, written once for several libraries: ResNet-18, ResNet-50 and MobileNetV2 with random weights.

A library is a namespace of module classes, torch's names for them. From the float image to the float logits; every
output of a convolution that a relu follows has zero point 0, which is that relu.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import quantnn

from . import _onnx, _peers

SCALE, LINEAR_ZERO = 0.05, 100  # of every activation; zero point of outputs without relu
IMAGE = (1, 3, 224, 224)

Build = Callable[[Any], Any]


def image() -> np.ndarray:
    """A float image, channels-last in memory."""
    floats = np.random.default_rng(1).standard_normal(IMAGE).astype(np.float32)
    return np.ascontiguousarray(floats.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def filled(build: Build, library: Any) -> Any:
    """A network with weights that keep the activations spread over their range; the same in every library."""
    rng = np.random.default_rng(2)
    net = build(library)
    for name, m in net.named_modules():
        if not hasattr(m, "set_weight_bias") or name.endswith("_packed_params"):
            continue
        shape = tuple(m.weight().shape)
        ints = rng.integers(-127, 128, shape).astype(np.int8)
        scales = np.full(shape[0], 1 / (74.0 * np.sqrt(np.prod(shape[1:])) * 1.6))
        bias = rng.standard_normal(shape[0]).astype(np.float32) * np.float32(SCALE)
        m.set_weight_bias(library.weight(ints, scales), library.bias(bias))
        m.scale = SCALE
    return net


# ---- libraries ---------------------------------------------------------------------------------------------
def quantnn_library() -> SimpleNamespace:
    return SimpleNamespace(
        Module=quantnn.Module, Sequential=quantnn.Sequential, Conv2d=quantnn.Conv2d, Linear=quantnn.Linear,
        QFunctional=quantnn.QFunctional, MaxPool2d=quantnn.MaxPool2d, AdaptiveAvgPool2d=quantnn.AdaptiveAvgPool2d,
        Flatten=quantnn.Flatten, DeQuantize=quantnn.DeQuantize,
        quantize=lambda: quantnn.Quantize(SCALE, 64, quantnn.quint8),
        weight=lambda ints, scales: quantnn.make_per_channel_quantized_tensor(
            ints, scales, np.zeros(len(scales), np.int64), 0
        ),
        bias=lambda floats: floats,
    )  # fmt: skip


def torch_library(torch: Any) -> SimpleNamespace:
    nn, nnq = torch.nn, torch.ao.nn.quantized
    return SimpleNamespace(
        Module=nn.Module, Sequential=nn.Sequential, Conv2d=nnq.Conv2d, Linear=nnq.Linear, QFunctional=nnq.QFunctional,
        MaxPool2d=nn.MaxPool2d, AdaptiveAvgPool2d=nn.AdaptiveAvgPool2d, Flatten=nn.Flatten, DeQuantize=nnq.DeQuantize,
        quantize=lambda: nnq.Quantize(SCALE, 64, torch.quint8),
        weight=lambda ints, scales: _peers.torch_weight(torch, ints, scales),
        bias=torch.from_numpy,
    )  # fmt: skip


class _Value(NamedTuple):
    """A tensor of a graph: its name, and its qparams where it is quantized."""

    name: str
    scale: float = 0.0
    zero_point: int = 0


class _Graph:
    """An ONNX model in the making: float operators between dequantize and quantize."""

    def __init__(self) -> None:
        self.nodes: list[_onnx.Node] = []
        self.constants: dict[str, Any] = {}

    def node(self, op: str, inputs: list[str], attributes: dict[str, Any] | None = None) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(_onnx.Node(op, inputs, [out], attributes or {}))
        return out

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def qparams(self, scale: Any, zero_point: np.generic | np.ndarray) -> list[str]:
        return [self.constant(np.asarray(scale, np.float32)), self.constant(zero_point)]

    def quantize(self, name: str, scale: float, zero_point: int) -> _Value:
        out = self.node("QuantizeLinear", [name, *self.qparams(scale, np.uint8(zero_point))])
        return _Value(out, scale, zero_point)

    def dequantize(self, x: _Value) -> str:
        return self.node("DequantizeLinear", [x.name, *self.qparams(x.scale, np.uint8(x.zero_point))])

    def dequantized(self, ints: np.ndarray, scales: np.ndarray) -> str:
        """A constant, quantized along its first axis."""
        names = [self.constant(ints), *self.qparams(scales, np.zeros(len(scales), ints.dtype))]
        return self.node("DequantizeLinear", names, {"axis": 0})

    def model(self, x: str, y: str) -> bytes:
        border = {x: ("float32", IMAGE)}, {y: ("float32", (IMAGE[0], 1000))}
        return _onnx.model(self.nodes, *border, self.constants)


def onnx_library(graph: _Graph) -> SimpleNamespace:
    """Modules whose call adds their nodes to a graph."""

    class Module:
        def __call__(self, *inputs: Any) -> Any:
            return self.forward(*inputs)

        def forward(self, *inputs: Any) -> Any:
            raise NotImplementedError

        def named_modules(self, name: str = "") -> Iterator[tuple[str, Any]]:
            yield name, self
            for key, child in vars(self).items():
                if isinstance(child, Module):
                    yield from child.named_modules(f"{name}.{key}")

    class Sequential(Module):
        def __init__(self, *layers: Any) -> None:
            vars(self).update({str(i): layer for i, layer in enumerate(layers)})

        def forward(self, x: Any) -> Any:
            for layer in vars(self).values():
                x = layer(x)
            return x

    class Weighted(Module):
        scale, zero_point = 1.0, 0

        def __init__(self, *shape: int, **attributes: Any) -> None:
            self.ints, self.attributes = np.zeros(shape, np.int8), attributes

        def weight(self) -> np.ndarray:
            return self.ints

        def set_weight_bias(self, weight: tuple[np.ndarray, np.ndarray], bias: np.ndarray) -> None:
            (self.ints, self.scales), self.floats = weight, bias

        def forward(self, x: _Value) -> _Value:
            bias_scales = np.float32(x.scale) * self.scales
            bias = np.rint(self.floats / bias_scales).astype(np.int32)
            weight = graph.dequantized(self.ints, self.scales), graph.dequantized(bias, bias_scales)
            op = "Conv" if self.ints.ndim == 4 else "Gemm"
            out = graph.node(op, [graph.dequantize(x), *weight], self.attributes)
            return graph.quantize(out, self.scale, self.zero_point)

    def conv(c: int, k: int, size: int, stride: int, padding: int, groups: int) -> Weighted:
        attributes = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [padding] * 4, "group": groups}
        return Weighted(k, c // groups, size, size, **attributes)

    class QFunctional(Module):
        scale, zero_point = 1.0, 0

        def add(self, a: _Value, b: _Value) -> _Value:
            out = graph.node("Add", [graph.dequantize(a), graph.dequantize(b)])
            return graph.quantize(out, self.scale, self.zero_point)

        add_relu = add  # the zero point is the relu

    class Float(Module):
        """A float operator with the qparams of its input."""

        def __init__(self, op: str, attributes: dict[str, Any] | None = None) -> None:
            self.op, self.attributes = op, attributes

        def forward(self, x: _Value) -> _Value:
            return graph.quantize(graph.node(self.op, [graph.dequantize(x)], self.attributes), x.scale, x.zero_point)

    class Border(Module):
        def __init__(self, function: Callable[[Any], Any]) -> None:
            self.function = function

        def forward(self, x: Any) -> Any:
            return self.function(x)

    def max_pool(size: int, stride: int, padding: int) -> Float:
        return Float("MaxPool", {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [padding] * 4})

    return SimpleNamespace(
        Module=Module, Sequential=Sequential, Conv2d=conv, Linear=lambda c, k: Weighted(k, c, transB=1),
        QFunctional=QFunctional, MaxPool2d=max_pool, AdaptiveAvgPool2d=lambda _: Float("GlobalAveragePool"),
        Flatten=lambda: Float("Flatten"), DeQuantize=lambda: Border(graph.dequantize),
        quantize=lambda: Border(lambda x: graph.quantize(x, SCALE, 64)),
        weight=lambda ints, scales: (ints, scales.astype(np.float32)), bias=lambda floats: floats,
    )  # fmt: skip


def onnx(build: Build) -> bytes:
    """The network as an ONNX model from "x", channels first, to its only output."""
    graph = _Graph()
    y = filled(build, onnx_library(graph))("x")
    return graph.model("x", y)


# ---- networks ----------------------------------------------------------------------------------------------
def _conv(lib: Any, c: int, k: int, size: int, stride: int = 1, groups: int = 1, relu: bool = True) -> Any:
    conv = lib.Conv2d(c, k, size, stride=stride, padding=size // 2, groups=groups)
    conv.zero_point = 0 if relu else LINEAR_ZERO
    return conv


def _sum(lib: Any, relu: bool) -> Any:
    add = lib.QFunctional()
    add.scale, add.zero_point = SCALE, 0 if relu else LINEAR_ZERO
    return add


def resnet(depths: tuple[int, ...], bottleneck: bool) -> Build:
    def build(lib: Any) -> Any:
        class Block(lib.Module):  # type: ignore[misc,name-defined]
            def __init__(self, c: int, width: int, k: int, stride: int) -> None:
                super().__init__()
                if bottleneck:
                    self.body = lib.Sequential(
                        _conv(lib, c, width, 1),
                        _conv(lib, width, width, 3, stride),
                        _conv(lib, width, k, 1, relu=False),
                    )
                else:
                    self.body = lib.Sequential(_conv(lib, c, k, 3, stride), _conv(lib, k, k, 3, relu=False))
                self.short = _conv(lib, c, k, 1, stride, relu=False) if c != k or stride != 1 else None
                self.add = _sum(lib, relu=True)

            def forward(self, x: Any) -> Any:
                return self.add.add_relu(self.body(x), x if self.short is None else self.short(x))

        layers = [lib.quantize(), _conv(lib, 3, 64, 7, 2), lib.MaxPool2d(3, 2, 1)]
        c = 64
        for i, depth in enumerate(depths):
            width = 64 << i
            k = width * 4 if bottleneck else width
            for j in range(depth):
                layers.append(Block(c, width, k, 2 if i > 0 and j == 0 else 1))
                c = k
        return lib.Sequential(*layers, lib.AdaptiveAvgPool2d(1), lib.Flatten(), lib.Linear(c, 1000), lib.DeQuantize())

    return build


def mobilenet(lib: Any) -> Any:
    class Block(lib.Module):  # type: ignore[misc,name-defined]
        def __init__(self, c: int, k: int, expand: int, stride: int) -> None:
            super().__init__()
            wide = c * expand
            first = [_conv(lib, c, wide, 1)] if expand > 1 else []
            self.body = lib.Sequential(
                *first, _conv(lib, wide, wide, 3, stride, groups=wide), _conv(lib, wide, k, 1, relu=False)
            )
            self.add = _sum(lib, relu=False) if c == k and stride == 1 else None

        def forward(self, x: Any) -> Any:
            y = self.body(x)
            return y if self.add is None else self.add.add(x, y)

    layers = [lib.quantize(), _conv(lib, 3, 32, 3, 2)]
    c = 32
    for expand, k, depth, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for j in range(depth):
            layers.append(Block(c, k, expand, stride if j == 0 else 1))
            c = k
    layers += [_conv(lib, 320, 1280, 1), lib.AdaptiveAvgPool2d(1), lib.Flatten(), lib.Linear(1280, 1000)]
    return lib.Sequential(*layers, lib.DeQuantize())


NETWORKS: dict[str, Build] = {
    "ResNet-18": resnet((2, 2, 2, 2), bottleneck=False),
    "ResNet-50": resnet((3, 4, 6, 3), bottleneck=True),
    "MobileNetV2": mobilenet,
}
