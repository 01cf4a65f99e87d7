"""quantnn.jit against torch.jit: every public quantized module scripted, traced and frozen, networks, random ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantnn import jit
from quantnn.modules.utils import from_torch
from quantnn.tensor import QTensor

torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

import torch.ao.nn.intrinsic.quantized as nniq  # noqa: E402
import torch.ao.nn.quantized as nnq  # noqa: E402
import torch.ao.nn.quantized.dynamic as nnqd  # noqa: E402
from torch import nn  # noqa: E402

from tests.torch import jit_networks  # noqa: E402

WAYS = ("script", "trace", "freeze", "freeze trace")
WITH_FLOATS = ("filetype", "speaker", "transformer")


def flat(x: Any) -> Iterator[Any]:
    if isinstance(x, (tuple, list)):
        for v in x:
            yield from flat(v)
    else:
        yield x


def same(found: Any, expected: Any, tolerance: float = 0) -> int:
    """Check results against torch's; how many elements."""
    ours, theirs = list(flat(found)), list(flat(from_torch(expected)))
    assert len(ours) == len(theirs)
    count = 0
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, QTensor):
            assert (a.shape, a.dtype, a.q_scale(), a.q_zero_point()) == (
                b.shape, b.dtype, b.q_scale(), b.q_zero_point(),
            )  # fmt: skip
            np.testing.assert_array_equal(a.int_repr(), b.int_repr())
            count += b.numel()
        elif isinstance(b, np.ndarray):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(float(np.abs(b).max(initial=0)), 1e-30))
            count += b.size
        else:
            assert a == b
    return count


def compare(net: Any, inputs: tuple[Any, ...], way: str, path: Path, tolerance: float = 0) -> int:
    """Save a program, run it in both, and compare."""
    made = jit_networks.script(net, inputs, way)
    torch.jit.save(made, str(path))
    with torch.no_grad():
        expected = made(*(x.clone() for x in inputs))
    return same(jit.load(path)(*(from_torch(x) for x in inputs)), expected, tolerance)


def quantized(*shape: int, scale: float = 0.05, zero_point: int = 100) -> Any:
    return torch.quantize_per_tensor(torch.randn(*shape), scale, zero_point, torch.quint8)


SHAPES = {1: (2, 4, 9), 2: (2, 4, 7, 6), 3: (2, 4, 5, 4, 6)}


def weighted(module: Any) -> Any:
    """Random weights and output parameters."""
    w, b = module._weight_bias()
    if w.dtype == torch.qint8:
        module.set_weight_bias(
            torch.quantize_per_tensor(torch.randn(w.shape) * 0.3, 0.02, 0, torch.qint8), torch.randn(b.shape)
        )
    else:
        module.set_weight_bias(torch.randn(w.shape), torch.randn(b.shape))
    if "dynamic" not in type(module).__module__:
        module.scale, module.zero_point = 0.1, 60
    return module


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nnq.QFunctional()


class Add(Functional):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.f.add_relu(self.f.add(x, y), self.f.mul(x, y))


class Cat(Functional):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.f.add_scalar(self.f.mul_scalar(self.f.cat([x, y], dim=1), 1.5), -0.3)


class MatMul(Functional):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.f.matmul(x, y.transpose(2, 3))


def embedding(cls: Any, **kwargs: Any) -> Any:
    float_one = getattr(nn, cls.__name__)(10, 8, **kwargs)
    float_one.qconfig = torch.ao.quantization.float_qparams_weight_only_qconfig
    return cls.from_float(float_one)


def dynamic(module: Any, dtype: Any = None) -> Any:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(module), {type(module)}, dtype=dtype or torch.qint8)


def parameter(*shape: int) -> Any:
    return nn.Parameter(torch.randn(*shape))


def modules() -> dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]]:
    """Every public quantized module, and functions that quantized networks call, with inputs."""
    found: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {}

    def add(name: str, make: Callable[[], Any], *inputs: Callable[[], Any]) -> None:
        found[name] = lambda: (make(), tuple(i() for i in inputs))

    def image(n: int) -> Callable[[], Any]:
        return lambda: quantized(*SHAPES[n])

    for n in (1, 2, 3):
        conv, relu = getattr(nnq, f"Conv{n}d"), getattr(nniq, f"ConvReLU{n}d")
        transposed = getattr(nnq, f"ConvTranspose{n}d")
        add(f"Conv{n}d", lambda c=conv: weighted(c(4, 6, 3, stride=2, padding=1, groups=2)), image(n))
        add(f"ConvReLU{n}d", lambda c=relu: weighted(c(4, 6, 3)), image(n))
        add(f"ConvTranspose{n}d", lambda c=transposed: weighted(c(4, 6, 3, stride=2, output_padding=1)), image(n))
        for kind in ("Conv", "ConvTranspose"):
            cls = getattr(nnqd, f"{kind}{n}d")
            add(f"dynamic {kind}{n}d", lambda c=cls: weighted(c(4, 6, 3)), lambda n=n: torch.randn(*SHAPES[n]))
        if n < 3:
            add(f"Conv{n}d reflect", lambda c=conv: weighted(c(4, 6, 3, padding=1, padding_mode="reflect")), image(n))
        norm = getattr(nnq, f"InstanceNorm{n}d")
        add(f"InstanceNorm{n}d", lambda c=norm: c(4, parameter(4), parameter(4), 0.1, 50), image(n))
    for name, cls in (("Linear", nnq.Linear), ("LinearReLU", nniq.LinearReLU)):
        add(name, lambda c=cls: weighted(c(5, 6)), lambda: quantized(3, 5))
    for cls in (nnqd.Linear, nniq.dynamic.LinearReLU if hasattr(nniq, "dynamic") else nnqd.Linear):
        add(f"dynamic {cls.__name__}", lambda c=cls: weighted(c(5, 6)), lambda: torch.randn(3, 5))
    add("dynamic Linear fp16", lambda: weighted(nnqd.Linear(5, 6, dtype=torch.float16)), lambda: torch.randn(3, 5))
    for name, n in (("BatchNorm2d", 2), ("BatchNorm3d", 3)):
        add(name, lambda name=name: getattr(nnq, name)(4), image(n))
    add("BNReLU2d", lambda: nniq.BNReLU2d(4), image(2))
    add("BNReLU3d", lambda: nniq.BNReLU3d(4), image(3))
    add("LayerNorm", lambda: nnq.LayerNorm((6,), parameter(6), parameter(6), 0.1, 50), image(2))
    add("GroupNorm", lambda: nnq.GroupNorm(2, 4, parameter(4), parameter(4), 0.1, 50), image(2))
    for name, args in (
        ("Hardswish", (0.1, 3)), ("LeakyReLU", (0.1, 30)), ("ELU", (0.1, 30)), ("Sigmoid", (1 / 256, 0)),
        ("Softmax", (1, 1 / 256, 0)), ("ReLU6", ()), ("Dropout", (0.3,)), ("DeQuantize", ()),
    ):  # fmt: skip
        add(name, lambda name=name, a=args: getattr(nnq, name)(*a), image(2))
    add("Quantize", lambda: nnq.Quantize(0.1, 30, torch.quint8), lambda: torch.randn(3, 4))
    for cls in (Add, Cat, MatMul):
        add(f"QFunctional {cls.__name__}", cls, image(2), lambda: quantized(*SHAPES[2], scale=0.07, zero_point=90))
    add("Embedding", lambda: embedding(nnq.Embedding), lambda: torch.randint(0, 10, (3, 4)))
    add(
        "EmbeddingBag",
        lambda: embedding(nnq.EmbeddingBag, mode="sum", include_last_offset=True),
        lambda: torch.randint(0, 10, (12,)),
        lambda: torch.tensor([0, 3, 7, 12]),
    )
    for kind in (nn.LSTM, nn.GRU):
        for dtype in (torch.qint8, torch.float16):
            add(
                f"dynamic {kind.__name__} {dtype}",
                lambda k=kind, d=dtype: dynamic(k(5, 7, 2, bidirectional=True), d),
                lambda: torch.randn(6, 2, 5),
            )
    for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell):
        add(f"dynamic {kind.__name__}", lambda k=kind: dynamic(k(5, 7)), lambda: torch.randn(3, 5))
    for module in (
        nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, 3)), nn.AdaptiveAvgPool2d(1),
        nn.ReLU(), nn.ReLU(inplace=True), nn.Hardtanh(-1.0, 1.0), nn.Sigmoid(), nn.Tanh(), nn.Flatten(),
        nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.PixelShuffle(2), nn.ChannelShuffle(2), nn.ZeroPad2d(1), nn.ReLU6(inplace=True), nn.Hardsigmoid(),
        nn.Threshold(0.1, 0.0),
    ):  # fmt: skip
        add(f"quantized {module}", lambda m=module: m, image(2))
    return found


MODULES = modules()
FLOATS = {
    "Linear": lambda: nn.Linear(6, 3), "Conv2d": lambda: nn.Conv2d(4, 6, 3, padding=1, stride=2, groups=2),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    "LayerNorm": lambda: nn.LayerNorm(6), "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4), "GELU": nn.GELU, "GELU tanh": lambda: nn.GELU("tanh"), "SiLU": nn.SiLU,
    "Mish": nn.Mish, "Softplus": nn.Softplus, "ELU": nn.ELU, "LeakyReLU": nn.LeakyReLU, "Hardswish": nn.Hardswish,
    "Hardsigmoid": nn.Hardsigmoid, "ReLU6": nn.ReLU6, "Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh, "PReLU": nn.PReLU,
    "Softmax": lambda: nn.Softmax(-1), "LogSoftmax": lambda: nn.LogSoftmax(1), "Dropout": nn.Dropout,
    "MaxPool2d": lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), "AvgPool2d": lambda: nn.AvgPool2d(3, 2, 1, True),
    "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d((3, 2)), "Upsample": lambda: nn.Upsample(scale_factor=2),
    "PixelShuffle": lambda: nn.PixelShuffle(2), "ReflectionPad2d": lambda: nn.ReflectionPad2d(1),
}  # fmt: skip


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, inputs = MODULES[name]()
    net.eval()
    for way in WAYS:
        tolerance = 3e-7 if "dynamic" in name else 0
        assert compare(net, inputs, way, tmp_path / "a.pt", tolerance) > 0


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("name", FLOATS)
def test_floats_between_quantized_layers(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = FLOATS[name]().eval()
    for way in WAYS:
        assert compare(net, (torch.randn(2, 4, 7, 6),), way, tmp_path / "a.pt", 5e-7) > 0


@pytest.mark.usefixtures("torch")
def test_float_recurrent_layers(tmp_path: Path) -> None:
    torch.manual_seed(3)
    for net in (nn.LSTM(5, 7, 2, bidirectional=True), nn.GRU(5, 7, batch_first=True)):
        assert compare(net, (torch.randn(6, 2, 5),), "trace", tmp_path / "a.pt", 5e-7) > 0
    for cell in (nn.LSTMCell(5, 7), nn.GRUCell(5, 7)):
        for way in WAYS:
            assert compare(cell, (torch.randn(3, 5),), way, tmp_path / "a.pt", 5e-7) > 0


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    torch.backends.quantized.engine = "fbgemm"
    return jit_networks.networks()


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("way", WAYS)
def test_networks(networks: dict[str, Any], way: str, tmp_path: Path) -> None:
    for name, (net, x) in networks.items():
        if name == "speaker" and way == "freeze":
            continue  # torch itself fails
        assert compare(net, (x,), way, tmp_path / "a.pt", 0.05 if name in WITH_FLOATS else 0) > 0


def drawn(rng: random.Random) -> tuple[Any, Any]:
    """A random network of quantized layers and its input."""
    channels, layers = rng.choice((1, 3, 4)), []
    x = quantized(rng.randint(1, 3), channels, rng.randint(9, 16), rng.randint(9, 16))
    for _ in range(rng.randint(1, 5)):
        match rng.randrange(6):
            case 0 | 1:
                out = rng.choice((2, 4, 6))
                cls = rng.choice((nnq.Conv2d, nniq.ConvReLU2d))
                layers.append(weighted(cls(channels, out, rng.choice((1, 3)), padding=1, stride=rng.choice((1, 1, 2)))))
                channels = out
            case 2:
                layers.append(rng.choice((nn.ReLU(), nnq.ReLU6(), nnq.Hardswish(0.1, 40), nnq.LeakyReLU(0.1, 40))))
            case 3:
                layers.append(rng.choice((nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 1, 1), nn.Hardsigmoid())))
            case 4:
                layers.append(nnq.BatchNorm2d(channels))
            case _:
                layers.append(nnq.ConvTranspose2d(channels, channels, 2))
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), weighted(nnq.Linear(4 * channels, 3)), nnq.DeQuantize()]
    return nn.Sequential(*layers).eval(), x


@pytest.mark.usefixtures("torch")
def test_random_networks(n_cases: int, tmp_path: Path) -> None:
    for seed in range(n_cases):
        torch.manual_seed(seed)
        net, x = drawn(random.Random(seed))
        assert compare(net, (x,), WAYS[seed % len(WAYS)], tmp_path / "a.pt") > 0, f"seed {seed}"
