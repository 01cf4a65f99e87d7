"""Unary operators against torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _unary as ops

from ..reference import draw
from .elementwise import compare

Case = Callable[[np.random.Generator, Any, Any], tuple[int, int]]


def _draw(rng: np.random.Generator, torch: Any) -> tuple[Any, Any, float, int]:
    dtype = draw.DTYPES[int(rng.integers(3))]
    ties = bool(rng.integers(2))
    theirs, ours = draw.tensor(rng, torch, draw.shape(rng), dtype, ties)
    return theirs, ours, draw.scale(rng, ties), draw.zero_point(rng, dtype)


def case_relu(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    return compare(torch.relu(theirs), ops.relu(ours))


def case_relu6(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    if rng.random() < 0.5:
        return compare(torch.ops.quantized.relu6(theirs), ops.relu6(ours))
    want = torch.ops.quantized.relu6(theirs).int_repr().numpy()  # torch's in-place form needs a clone
    got = ops.relu6(ours, inplace=True)
    assert got is ours
    return want.size, int((want != ours.int_repr()).sum())


def case_clamp(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    bounds: list[float | None] = [float(v) for v in rng.normal(size=2) * 2]
    which = int(rng.integers(4))
    if which < 2:
        bounds[which] = None
    return compare(torch.ops.quantized.clamp(theirs, *bounds), ops.clamp(ours, *bounds))


def case_hardswish(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, scale, zero_point = _draw(rng, torch)
    return compare(torch.ops.quantized.hardswish(theirs, scale, zero_point), ops.hardswish(ours, scale, zero_point))


def case_elu(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, scale, zero_point = _draw(rng, torch)
    alpha = float(rng.choice([1.0, 0.5, rng.uniform(0.01, 2), rng.uniform(-2, 0)]))
    return compare(torch.ops.quantized.elu(theirs, scale, zero_point, alpha), ops.elu(ours, scale, zero_point, alpha))


def case_celu(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, scale, zero_point = _draw(rng, torch)
    alpha = float(rng.choice([1.0, 0.5, rng.uniform(0.01, 2), rng.uniform(-2, -0.1)]))
    return _nearly(torch.ops.quantized.celu(theirs, scale, zero_point, alpha), ops.celu(ours, scale, zero_point, alpha))


def case_leaky_relu(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, scale, zero_point = _draw(rng, torch)
    slope = float(rng.choice([0.01, 0.25, rng.uniform(0, 2), rng.uniform(-2, 0)]))
    qparams, form = (scale, zero_point), int(rng.integers(4))
    their, our = torch.ao.nn.quantized.functional.leaky_relu, quantnn.functional.leaky_relu
    if form == 0:
        want = torch.ops.quantized.leaky_relu(theirs, slope, False, *qparams)
        return compare(want, ops.leaky_relu(ours, slope, False, *qparams))
    if form == 1:
        return compare(their(theirs, slope, False, *qparams), our(ours, slope, False, *qparams))
    if form == 2 or 0 in ours.shape:
        return compare(their(theirs, slope), our(ours, slope))
    assert our(ours, slope, inplace=True) is ours
    return compare(their(theirs, slope, inplace=True), ours)


def case_threshold(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    numbers = [float(v) for v in rng.normal(size=2) * 2]
    return compare(torch.ops.quantized.threshold(theirs, *numbers), ops.threshold(ours, *numbers))


def case_hardtanh(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    least, most = sorted(float(v) for v in rng.normal(size=2) * 2)
    inplace = bool(rng.integers(2))
    got = ops.hardtanh(ours, least, most, inplace)
    assert (got is ours) == inplace
    if inplace:  # torch's in-place form gives the result another memory than it had
        want = torch.ao.nn.quantized.functional.hardtanh(theirs, least, most).int_repr().numpy()
        return want.size, int((want != ours.int_repr()).sum())
    return compare(torch.ao.nn.quantized.functional.hardtanh(theirs, least, most), got)


def case_hardsigmoid(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    inplace = bool(rng.integers(2))
    got = ops.hardsigmoid(ours, inplace)
    assert (got is ours) == inplace
    return compare(torch.ao.nn.quantized.functional.hardsigmoid(theirs, inplace), got)


def case_sigmoid(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, scale, zero_point = _draw(rng, torch)
    if rng.random() < 0.5:
        return _nearly(torch.sigmoid(theirs), ops.sigmoid(ours))
    return _nearly(torch.ops.quantized.sigmoid(theirs, scale, zero_point), ops.sigmoid(ours, scale, zero_point))


def case_tanh(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, _, _ = _draw(rng, torch)
    return _nearly(torch.tanh(theirs), ops.tanh(ours))


def _nearly(theirs: Any, ours: Any) -> tuple[int, int]:
    """`compare`, but for the last bits of qint32, as torch's float32 functions are off by an ulp here and there."""
    n, wrong = compare(theirs, ours)
    if 0 < wrong < n and ours.dtype.name == "qint32":
        wrong = int((np.abs(theirs.int_repr().numpy().astype(np.int64) - ours.int_repr()) > 256).sum())
    return n, wrong


CASES: dict[str, Case] = {
    "relu": case_relu,
    "relu6": case_relu6,
    "clamp": case_clamp,
    "hardswish": case_hardswish,
    "elu": case_elu,
    "celu": case_celu,
    "leaky_relu": case_leaky_relu,
    "threshold": case_threshold,
    "hardtanh": case_hardtanh,
    "hardsigmoid": case_hardsigmoid,
    "sigmoid": case_sigmoid,
    "tanh": case_tanh,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(n_cases):
        _, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0


def _observed(torch: Any, module: Any) -> Any:
    module.activation_post_process = torch.ao.quantization.MinMaxObserver()
    module.activation_post_process(torch.linspace(-2, 5, 100))
    return module


def test_modules(torch: Any, rng: np.random.Generator) -> None:
    theirs = torch.ao.nn.quantized
    for name, make in (
        ("ReLU6", lambda: torch.nn.ReLU6(True)),
        ("Hardswish", torch.nn.Hardswish),
        ("ELU", lambda: torch.nn.ELU(0.7)),
        ("LeakyReLU", lambda: torch.nn.LeakyReLU(0.2)),
        ("Sigmoid", torch.nn.Sigmoid),
        ("Softmax", lambda: torch.nn.Softmax(1)),
        ("Dropout", lambda: torch.nn.Dropout(0.3)),
    ):
        float_module = _observed(torch, make())
        a = getattr(theirs, name).from_float(float_module)
        b = getattr(quantnn, name).from_float(float_module)
        assert repr(a) == repr(b)
        x, q = draw.tensor(rng, torch, (2, 5, 7, 9), draw.DTYPES[0], False, "last")
        assert compare(a(x), b(q))[1] == 0
        b.load_state_dict(a.state_dict())
        if name in ("Hardswish", "LeakyReLU"):
            assert list(a.state_dict()) == list(b.state_dict())
            assert compare(getattr(theirs, name)(0.1, 3)(x), getattr(quantnn, name)(0.1, 3)(q))[1] == 0
    for name, arguments in (("Tanh", ()), ("Hardsigmoid", ()), ("Hardtanh", (-0.5, 2.0)), ("Threshold", (0.1, 1.5))):
        a, b = getattr(torch.nn, name)(*arguments), getattr(quantnn, name)(*arguments)
        assert repr(a) == repr(b)
        assert compare(a(x), b(q))[1] == 0


def test_prelu(torch: Any, rng: np.random.Generator) -> None:
    x, q = draw.tensor(rng, torch, (2, 5, 7, 9), draw.DTYPES[0], False, "last")
    for n in (1, 5):
        float_module = _observed(torch, torch.nn.PReLU(n))
        with torch.no_grad():
            float_module.weight += torch.linspace(0, 1, n)
        float_module.qconfig = torch.ao.quantization.QConfig(
            activation=torch.ao.quantization.MinMaxObserver, weight=torch.ao.quantization.MinMaxObserver
        )
        a = torch.ao.nn.quantized.PReLU.from_float(float_module)
        for b in (quantnn.PReLU.from_float(float_module), quantnn.PReLU(a.scale, a.zero_point, n)):
            b.set_weight(a.weight)
            assert repr(a) == repr(b)
            assert compare(a.weight, b.weight)[1] == 0
            assert compare(a(x), b(q))[1] == 0
        b = quantnn.PReLU.from_float(float_module)
        assert compare(a.weight, b.weight)[1] == 0
        b.load_state_dict(a.state_dict())
        float_module.qconfig = torch.ao.quantization.default_qconfig
        with pytest.warns(UserWarning, match="dtype quint8; got torch.qint8"):
            quantnn.PReLU.from_reference(float_module, 0.1, 3)
