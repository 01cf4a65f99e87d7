"""Whole networks at batch 1, module by module: ResNet-18, ResNet-50 and MobileNetV2 with random weights.

The same classes, written once, are built from torch's modules and from quantnn's, which get torch's state
dict. From the float image to the float logits; every output of a convolution that a relu follows has zero
point 0, which is that relu. torch's depthwise convolutions may saturate, so MobileNetV2 may be off there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import quantnn

from . import _peers
from ._measure import Form, Row

SCALE, LINEAR_ZERO = 0.05, 100  # of every activation; zero point of outputs without relu


def rows() -> Iterator[Row]:
    yield _row("ResNet-18", _resnet((2, 2, 2, 2), bottleneck=False))
    yield _row("ResNet-50", _resnet((3, 4, 6, 3), bottleneck=True))
    yield _row("MobileNetV2", _mobilenet, depthwise=True)


def _row(name: str, build: Callable[[Any], Any], depthwise: bool = False) -> Row:
    image = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)

    def torch_form(engine: str) -> Form:
        torch = _peers.torch(engine)
        net = _filled(build, torch)
        x = torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
        return Form(lambda: net(x), lambda y: y.numpy())

    def our_form() -> Form:
        net = build(_QUANTNN)
        net.load_state_dict(_filled(build, _peers.torch()).state_dict())
        x = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return Form(lambda: net(x), lambda y: y)

    return Row(
        "network",
        name,
        0,
        "",
        {"quantnn": our_form, "torch": partial(torch_form, "fbgemm"), "torch-onednn": partial(torch_form, "onednn")},
        tolerance=np.inf if depthwise else 0.0,
    )


def _filled(build: Callable[[Any], Any], torch: Any) -> Any:
    """The network in torch, with weights that keep the activations spread over their range."""
    rng = np.random.default_rng(2)
    net = build(_torch_library(torch))
    for name, m in net.named_modules():
        if not hasattr(m, "set_weight_bias") or name.endswith("_packed_params"):
            continue
        shape = tuple(m.weight().shape)
        ints = rng.integers(-127, 128, shape).astype(np.int8)
        scale = np.full(shape[0], 1 / (74.0 * np.sqrt(np.prod(shape[1:])) * 1.6))
        weight = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(ints), torch.from_numpy(scale), torch.zeros(shape[0], dtype=torch.long), 0
        )
        m.set_weight_bias(weight, torch.from_numpy(rng.standard_normal(shape[0]).astype(np.float32) * SCALE))
        m.scale = SCALE
    return net


_QUANTNN = SimpleNamespace(
    Module=quantnn.Module, Sequential=quantnn.Sequential, Conv2d=quantnn.Conv2d, Linear=quantnn.Linear,
    QFunctional=quantnn.QFunctional, MaxPool2d=quantnn.MaxPool2d, AdaptiveAvgPool2d=quantnn.AdaptiveAvgPool2d,
    Flatten=quantnn.Flatten, DeQuantize=quantnn.DeQuantize,
    quantize=lambda: quantnn.Quantize(SCALE, 64, quantnn.quint8),
)  # fmt: skip


def _torch_library(torch: Any) -> SimpleNamespace:
    nn, nnq = torch.nn, torch.ao.nn.quantized
    return SimpleNamespace(
        Module=nn.Module, Sequential=nn.Sequential, Conv2d=nnq.Conv2d, Linear=nnq.Linear, QFunctional=nnq.QFunctional,
        MaxPool2d=nn.MaxPool2d, AdaptiveAvgPool2d=nn.AdaptiveAvgPool2d, Flatten=nn.Flatten, DeQuantize=nnq.DeQuantize,
        quantize=lambda: nnq.Quantize(SCALE, 64, torch.quint8),
    )  # fmt: skip


def _conv(lib: Any, c: int, k: int, size: int, stride: int = 1, groups: int = 1, relu: bool = True) -> Any:
    conv = lib.Conv2d(c, k, size, stride=stride, padding=size // 2, groups=groups)
    conv.zero_point = 0 if relu else LINEAR_ZERO
    return conv


def _sum(lib: Any, relu: bool) -> Any:
    add = lib.QFunctional()
    add.scale, add.zero_point = SCALE, 0 if relu else LINEAR_ZERO
    return add


def _resnet(depths: tuple[int, ...], bottleneck: bool) -> Callable[[Any], Any]:
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


def _mobilenet(lib: Any) -> Any:
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
