"""Unary operators against torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.modules import activation
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


CASES: dict[str, Case] = {
    "relu": case_relu,
    "relu6": case_relu6,
    "clamp": case_clamp,
    "hardswish": case_hardswish,
    "elu": case_elu,
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
    ):
        float_module = _observed(torch, make())
        a = getattr(theirs, name).from_float(float_module)
        b = getattr(activation, name).from_float(float_module)
        assert repr(a) == repr(b)
        x, q = draw.tensor(rng, torch, (2, 5, 7, 9), draw.DTYPES[0], False, "last")
        assert compare(a(x), b(q))[1] == 0
        b.load_state_dict(a.state_dict())
        if name == "Hardswish":
            assert list(a.state_dict()) == list(b.state_dict())
            assert compare(theirs.Hardswish(0.1, 3)(x), activation.Hardswish(0.1, 3)(q))[1] == 0
