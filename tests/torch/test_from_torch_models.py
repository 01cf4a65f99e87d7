"""from_torch: every quantized module, and whole networks in eager mode, FX graph mode and dynamic, against torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.modules.utils import from_torch as value_of

torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

from . import networks  # noqa: E402

nn, nnq, nnqd = torch.nn, torch.ao.nn.quantized, torch.ao.nn.quantized.dynamic
nniq, nniqd = torch.ao.nn.intrinsic.quantized, torch.ao.nn.intrinsic.quantized.dynamic


def weight(*shape: int, axis: int | None = None) -> Any:
    w = torch.randn(shape)
    if axis is None:
        return torch.quantize_per_tensor(w, 0.021, 0, torch.qint8)
    n = shape[axis]
    return torch.quantize_per_channel(
        w, torch.rand(n) * 0.02 + 0.01, torch.zeros(n, dtype=torch.int64), axis, torch.qint8
    )


def filled(module: Any, w: Any, scale: float | None = 0.0371, zero_point: int = 61) -> Any:
    module.set_weight_bias(
        w, torch.randn(module.out_features if hasattr(module, "in_features") else module.out_channels)
    )
    if scale is not None:
        module.scale, module.zero_point = scale, zero_point
    return module


def normalized(module: Any) -> Any:
    for name, p in module.state_dict().items():
        if p.dtype is torch.float32 and p.ndim:
            p.copy_(torch.rand(p.shape) + 0.5)
        if name == "scale":
            p.fill_(0.04)
        if name == "zero_point":
            p.fill_(101)
    return module


def bias(n: int = 6) -> Any:
    return nn.Parameter(torch.rand(n) + 0.5)


def recurrent(name: str, dtype: Any, **arguments: Any) -> Any:
    return torch.ao.quantization.quantize_dynamic(
        nn.Sequential(getattr(nn, name)(4, 5, **arguments)), {getattr(nn, name)}, dtype=dtype
    )[0]


def observed(module: Any, example: tuple[Any, ...], convert: bool = True) -> Any:
    module.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    holder = nn.Sequential(module)
    prepared = torch.ao.quantization.prepare(holder)
    prepared[0](*example)
    return torch.ao.quantization.convert(prepared)[0]


def prelu() -> Any:
    module = nnq.PReLU(0.03, 90, 6)
    module.set_weight(torch.quantize_per_tensor(torch.rand(6), 0.01, 3, torch.quint8))
    return module


def embedding(cls: Any, dtype: Any) -> Any:
    w = torch.randn(9, 8)
    observer = torch.ao.quantization.PerChannelMinMaxObserver(
        dtype=dtype, qscheme=torch.per_channel_affine_float_qparams, ch_axis=0
    )
    observer(w)
    q = torch.quantize_per_channel(w, *observer.calculate_qparams(), 0, dtype)
    return cls(9, 8, _weight=q, dtype=dtype)


def image(*shape: int) -> Callable[[], Any]:
    return lambda: (torch.quantize_per_tensor(torch.randn(shape), 0.02, 117, torch.quint8),)


def floats(*shape: int) -> Callable[[], Any]:
    return lambda: (torch.randn(shape),)


SIZES: dict[int, tuple[int, ...]] = {1: (9,), 2: (9, 8), 3: (5, 6, 7)}


def convolutions() -> Any:
    for n in (1, 2, 3):
        for static in (True, False):
            where, x = (nnq if static else nnqd), (image if static else floats)
            scale = 0.0371 if static else None
            k = (3,) * n
            yield (
                f"{'' if static else 'dynamic.'}Conv{n}d",
                lambda n=n, w=where, s=scale, k=k: filled(
                    getattr(w, f"Conv{n}d")(4, 6, 3, 2, 1, groups=2), weight(6, 2, *k, axis=0), s
                ),
                x(2, 4, *SIZES[n]),
            )
            if n < 3 or static:
                yield (
                    f"{'' if static else 'dynamic.'}ConvTranspose{n}d",
                    lambda n=n, w=where, s=scale, k=k: filled(
                        getattr(w, f"ConvTranspose{n}d")(4, 6, 3, 2, 1, 1), weight(4, 6, *k), s
                    ),
                    x(2, 4, *SIZES[n]),
                )
        yield (
            f"intrinsic.ConvReLU{n}d",
            lambda n=n: filled(getattr(nniq, f"ConvReLU{n}d")(4, 6, 3, bias=True), weight(6, 4, *(3,) * n)),
            image(2, 4, *SIZES[n]),
        )


MODULE_CASES: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
    *convolutions(),
    ("Conv2d", lambda: filled(nnq.Conv2d(6, 6, 3, padding=1, groups=6), weight(6, 1, 3, 3, axis=0)), image(1, 6, 7, 7)),
    (
        "Conv2d",
        lambda: filled(nnq.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), weight(6, 4, 3, 3)),
        image(1, 4, 7, 7),
    ),
    ("Linear", lambda: filled(nnq.Linear(5, 6), weight(6, 5, axis=0)), image(3, 5)),
    ("Linear", lambda: filled(nnq.Linear(5, 6), weight(6, 5), 1 / 3), image(3, 5)),
    ("intrinsic.LinearReLU", lambda: filled(nniq.LinearReLU(5, 6), weight(6, 5)), image(3, 5)),
    ("dynamic.Linear", lambda: filled(nnqd.Linear(5, 6), weight(6, 5), None), floats(3, 5)),
    ("intrinsic.dynamic.LinearReLU", lambda: filled(nniqd.LinearReLU(5, 6), weight(6, 5), None), floats(3, 5)),
    ("dynamic.Linear", lambda: filled(nnqd.Linear(5, 6, dtype=torch.float16), torch.randn(6, 5), None), floats(3, 5)),
    ("BatchNorm2d", lambda: normalized(nnq.BatchNorm2d(6)), image(2, 6, 4, 4)),
    ("BatchNorm3d", lambda: normalized(nnq.BatchNorm3d(6, eps=1e-3)), image(2, 6, 4, 4, 2)),
    ("intrinsic.BNReLU2d", lambda: normalized(nniq.BNReLU2d(6)), image(2, 6, 4, 4)),
    ("intrinsic.BNReLU3d", lambda: normalized(nniq.BNReLU3d(6)), image(2, 6, 4, 4, 2)),
    ("LayerNorm", lambda: nnq.LayerNorm((6,), bias(), bias(), 0.03, 110), image(4, 6)),
    ("GroupNorm", lambda: nnq.GroupNorm(2, 6, bias(), bias(), 0.03, 110), image(2, 6, 5)),
    ("InstanceNorm1d", lambda: nnq.InstanceNorm1d(6, bias(), bias(), 0.03, 110), image(2, 6, 5)),
    ("InstanceNorm2d", lambda: nnq.InstanceNorm2d(6, bias(), bias(), 0.03, 110), image(2, 6, 5, 4)),
    ("InstanceNorm3d", lambda: nnq.InstanceNorm3d(6, bias(), bias(), 0.03, 110), image(2, 6, 5, 4, 3)),
    ("Quantize", lambda: nnq.Quantize(1 / 3, 7, torch.quint8), floats(4, 5)),
    ("DeQuantize", lambda: nnq.DeQuantize(), image(4, 5)),
    ("Hardswish", lambda: nnq.Hardswish(0.05, 100), image(4, 5)),
    ("LeakyReLU", lambda: nnq.LeakyReLU(0.05, 100, 0.2), image(4, 5)),
    ("ELU", lambda: nnq.ELU(0.05, 100, 0.7), image(4, 5)),
    ("Sigmoid", lambda: nnq.Sigmoid(0.004, 3), image(4, 5)),
    ("Softmax", lambda: nnq.Softmax(1, 0.004, 3), image(4, 5)),
    ("PReLU", prelu, image(2, 6, 3)),
    ("ReLU6", lambda: nnq.ReLU6(), image(4, 5)),
    ("Dropout", lambda: nnq.Dropout(0.4), image(4, 5)),
    ("Dropout", lambda: nn.Dropout2d(0.4).eval(), floats(4, 5, 2, 2)),
    ("ReLU", lambda: nn.ReLU(), image(4, 5)),
    ("Flatten", lambda: nn.Flatten(), image(4, 5, 2)),
    ("Identity", lambda: nn.Identity(), image(4, 5, 2)),
    ("Hardtanh", lambda: nn.Hardtanh(-0.3, 0.5), image(4, 5)),
    ("MaxPool2d", lambda: nn.MaxPool2d(2, ceil_mode=True), image(1, 2, 5, 5)),
    ("MaxPool2d", lambda: nn.MaxPool2d(3, 1, 1), floats(1, 2, 5, 5)),
    ("AvgPool2d", lambda: nn.AvgPool2d(2), image(1, 2, 5, 5)),
    ("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d(2), image(1, 2, 5, 5)),
    *((f"dynamic.{n}", lambda n=n: recurrent(n, torch.qint8), floats(3, 2, 4)) for n in ("LSTM", "GRU")),
    ("dynamic.LSTM", lambda: recurrent("LSTM", torch.float16, num_layers=2, bidirectional=True), floats(3, 2, 4)),
    *(
        (f"dynamic.{n}", lambda n=n: recurrent(n, torch.qint8), floats(3, 4))
        for n in ("LSTMCell", "GRUCell", "RNNCell")
    ),
    ("Embedding", lambda: embedding(nnq.Embedding, torch.quint8), lambda: (torch.tensor([[1, 8], [3, 3]]),)),
    ("Embedding", lambda: embedding(nnq.Embedding, torch.quint4x2), lambda: (torch.tensor([1, 8, 3]),)),
    (
        "EmbeddingBag",
        lambda: embedding(nnq.EmbeddingBag, torch.quint8),
        lambda: (torch.tensor([1, 8, 3]), torch.tensor([0, 2])),
    ),
    ("LSTM", lambda: observed(torch.ao.nn.quantizable.LSTM(4, 5, 2), (torch.randn(3, 2, 4),)), image(3, 2, 4)),
    (
        "MultiheadAttention",
        lambda: observed(torch.ao.nn.quantizable.MultiheadAttention(8, 2), (torch.randn(3, 2, 8),) * 3),
        lambda: image(3, 2, 8)() * 3,
    ),
]


def same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, (tuple, list)):
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    elif theirs is None:
        assert ours is None
    elif theirs.is_quantized:
        assert ours.q_scale() == theirs.q_scale()
        assert ours.q_zero_point() == theirs.q_zero_point()
        np.testing.assert_array_equal(ours.int_repr(), theirs.int_repr().numpy())
    else:
        np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize(
    ("name", "make", "inputs"), MODULE_CASES, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(MODULE_CASES)]
)
def test_modules(name: str, make: Callable[[], Any], inputs: Callable[[], Any], tmp_path: Path, torch: Any) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        theirs, x = make(), inputs()
        ours = quantnn.from_torch(theirs)
        assert f"{type(ours).__module__}.{type(ours).__name__}".split(".")[-1] == name.split(".")[-1]
        want, given = theirs(*x), [value_of(v) for v in x]
        recurrent_layer = name in (
            "dynamic.LSTM",
            "dynamic.GRU",
            "dynamic.LSTMCell",
            "dynamic.GRUCell",
            "dynamic.RNNCell",
        )
        if recurrent_layer:  # floats of exp and tanh: numerics.md's bound
            for a, b in zip(flat(ours(*given)), flat(want), strict=True):
                np.testing.assert_allclose(a, b.numpy(), rtol=0, atol=1e-6)
        else:
            same(ours(*given), want)
        quantnn.save(ours, tmp_path / "module.npz")
        again = quantnn.load(tmp_path / "module.npz")
        assert repr(again) == repr(ours)
        equal(again(*given), ours(*given))


def flat(x: Any) -> list[Any]:
    return [v for y in x for v in flat(y)] if isinstance(x, (tuple, list)) else [x]


def equal(a: Any, b: Any) -> None:
    for x, y in zip(flat(a), flat(b), strict=True):
        if isinstance(y, quantnn.QTensor):
            assert x.q_scale() == y.q_scale()
            np.testing.assert_array_equal(x.int_repr(), y.int_repr())
        else:
            np.testing.assert_array_equal(x, y)


def test_every_class_is_converted() -> None:
    from quantnn.io._classes import CONTAINERS, classes

    only_here = {"CELU", "GELU", "Mish", "SiLU", "Softplus", "intrinsic.ConvAdd2d", "intrinsic.ConvAddReLU2d"}
    only_here |= {"intrinsic.LinearLeakyReLU", "intrinsic.LinearTanh", "dynamic.ConvTranspose3d"}
    of_floats = {"Hardsigmoid", "Tanh", "Threshold", "MaxPool1d", "MaxPool3d", "AvgPool3d", "AdaptiveAvgPool3d"}
    functionals = {"QFunctional", "FloatFunctional", "FXFloatFunctional"}
    assert {name for name, *_ in MODULE_CASES} == set(classes()) - set(CONTAINERS) - only_here - of_floats - functionals


def test_containers(torch: Any) -> None:
    shared = nn.ReLU()
    model = nn.Sequential()
    model.add_module("first", filled(nnq.Linear(5, 6), weight(6, 5)))
    model.add_module("rest", nn.Sequential(shared, nnq.Linear(6, 6), shared))
    ours = quantnn.from_torch(model)
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in model.named_modules()]
    assert ours.rest[0] is ours.rest[2]
    x = image(3, 5)()
    same(ours(value_of(x[0])), model(*x))
    assert not ours.training


def test_what_is_no_module() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module; got"):
        quantnn.from_torch(quantnn.ReLU())
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module; got"):
        quantnn.from_torch({})


# Networks


EXACT = ("mnist_cnn", "face_tiny", "resnet18", "mobilenet_v2")
NETWORK_CASES = [(name, mode) for name, network in networks.NETWORKS.items() for mode in network.modes]


@pytest.mark.parametrize(("name", "mode"), NETWORK_CASES)
def test_networks(name: str, mode: str, tmp_path: Path, torch: Any) -> None:
    theirs, x = networks.quantized(name, mode)
    ours = quantnn.from_torch(theirs)
    quantnn.save(ours, tmp_path / "net.npz")
    again = quantnn.load(tmp_path / "net.npz")
    with torch.no_grad():
        for inputs in (x, x[:1]):
            got, want = flat(ours(inputs.numpy())), [v.numpy() for v in flat(theirs(inputs))]
            for a, b in zip(got, want, strict=True):
                if name in EXACT and mode != "dynamic":
                    np.testing.assert_array_equal(a, b)
                else:  # between its quantized layers are float ones, whose last bits differ and may move an integer
                    np.testing.assert_allclose(a, b, rtol=0, atol=0.02 * np.abs(b).max())
                    assert np.abs(a - b).mean() < 1e-3 * np.abs(b).max()
                    np.testing.assert_array_equal(a.argmax(-1), b.argmax(-1))
            equal(again(inputs.numpy()), ours(inputs.numpy()))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = filled(nnq.Linear(5, 5), weight(5, 5))
        self.dequant = nnq.DeQuantize()

    def forward(self, x):  # type: ignore[no-untyped-def]
        for _ in range(2 if bool(self.dequant(x).sum() > 0) else 1):
            x = self.fc(x)
        return x


def test_control_flow_is_scripted(torch: Any) -> None:
    theirs = Branches()
    ours = quantnn.from_torch(theirs)
    for sign in (1, -1):
        x = torch.quantize_per_tensor(sign * torch.rand(3, 5), 0.02, 117, torch.quint8)
        same(ours(value_of(x)), theirs(x))


class Odd(nn.Module):
    def forward(self, x):  # type: ignore[no-untyped-def]
        return x if x.sum() > 0 else {1, 2}


def test_what_cannot_be_read_is_named(torch: Any) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(Odd(), nn.ReLU(), Odd()))
    with pytest.raises(ValueError, match=r"1\.0 \(Odd\), 1\.2 \(Odd\)\. Give example_inputs"):
        quantnn.from_torch(model)
    traced = quantnn.from_torch(model, torch.ones(2, 3))
    np.testing.assert_array_equal(traced(np.ones((2, 3), np.float32)), 1)


def test_unsupported_operators_are_named(torch: Any) -> None:
    class Fft(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return torch.fft.rfft(x).abs()

    with pytest.raises(quantnn.FileError, match="fft_rfft"):
        quantnn.from_torch(nn.Sequential(nn.ReLU(), Fft()))
