"""Binary operators, operators with a number and concatenation against torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.modules import functional_modules
from quantnn.ops import _binary as ops

from ..reference import draw
from .elementwise import compare

Case = Callable[[np.random.Generator, Any, Any], tuple[int, int]]


def _broadcast(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast; equal in half of the cases."""
    shape = draw.shape(rng)
    other = list(shape)
    if rng.random() < 0.5:
        return shape, shape
    for d in range(len(other)):
        if rng.random() < 0.5:
            other[d] = 1
    other = other[int(rng.integers(len(other) + 1)) if rng.random() < 0.3 else 0 :]
    first = list(shape)
    if rng.random() < 0.2 and first:
        first[int(rng.integers(len(first)))] = 1
    pair = (tuple(first), tuple(other))
    return pair if rng.random() < 0.7 else pair[::-1]


def _pair(rng: np.random.Generator, torch: Any, most: int = 100000) -> tuple[Any, ...]:
    dtype = draw.DTYPES[int(rng.integers(3))]
    ties = bool(rng.integers(2))
    first, second = _broadcast(rng)
    layouts: list[str | None] = [None, None]
    if rng.random() < 0.5:  # most often both are alike
        layouts = [str(rng.choice(["contiguous", "last"]))] * 2
    a, qa = draw.tensor(rng, torch, first, dtype, ties, layouts[0], most)
    b, qb = draw.tensor(rng, torch, second, dtype, ties, layouts[1], most)
    return a, b, qa, qb, draw.scale(rng, ties), draw.zero_point(rng, dtype)


def _binary(name: str, most: int) -> Case:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        a, b, qa, qb, scale, zero_point = _pair(rng, torch, most)
        got = getattr(ops, name)(qa, qb, scale, zero_point)
        try:
            want = getattr(torch.ops.quantized, name)(a, b, scale, zero_point)
        except RuntimeError as error:
            if "to use channels_last format" in str(error):  # its mul, if the result has more dimensions
                return 0, 0
            raise
        return compare(want, got)

    return case


def _scalar(name: str) -> Case:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        dtype = draw.DTYPES[int(rng.integers(3))]
        ties = bool(rng.integers(2))
        theirs, ours = draw.tensor(rng, torch, draw.shape(rng), dtype, ties)
        number = float(rng.normal() * rng.choice([0.1, 1, 10, 100]))
        if ties:
            number = float(rng.integers(-400, 400)) * 0.125
        if rng.random() < 0.1:
            number = 0.0
        return compare(getattr(torch.ops.quantized, name)(theirs, number), getattr(ops, name)(ours, number))

    return case


def _target(rng: np.random.Generator, torch: Any, want: Any) -> tuple[Any, Any]:
    """A tensor of the shape and dtype of one of torch's, which it overwrites, and the same in quantnn."""
    dtype = next(d for d in draw.DTYPES if str(want.dtype) == f"torch.{d.name}")
    theirs, ours = draw.tensor(rng, torch, tuple(want.shape), dtype, bool(rng.integers(2)), "contiguous")
    return theirs.clone(), ours.clone()


def case_out(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """The operators that write into a tensor."""
    quantized = torch.ops.quantized
    relu = str(rng.choice(["", "_relu"]))
    kind = int(rng.integers(3))
    if kind == 0:
        name = str(rng.choice(["add", "mul"])) + relu
        dtype, ties = draw.DTYPES[int(rng.integers(3))], bool(rng.integers(2))
        first, second = _broadcast(rng)
        a, qa = draw.tensor(rng, torch, first, dtype, ties, "contiguous", 3000)
        b, qb = draw.tensor(rng, torch, second, dtype, ties, "contiguous", 3000)
        theirs, ours = (a, b), (qa, qb)
        want = getattr(quantized, name)(a, b, 1.0, 0)
    elif kind == 1:
        name = str(rng.choice(["add_scalar", "mul_scalar"])) + relu
        a, qa = draw.tensor(rng, torch, draw.shape(rng), draw.DTYPES[int(rng.integers(3))], False, "contiguous")
        number = float(rng.normal() * 10)
        theirs, ours = (a, number), (qa, number)
        want = a
    else:
        name = "cat" + relu
        a, qa = draw.tensor(rng, torch, draw.shape(rng, 3), draw.DTYPES[int(rng.integers(3))], False, "contiguous")
        dim = int(rng.integers(-3, 3))
        theirs, ours = ([a, a], dim), ([qa, qa], dim)
        want = quantized.cat([a, a], dim, 1.0, 0)
    out, own = _target(rng, torch, want)
    result = getattr(quantnn.ops, f"{name}_out")(*ours, own)
    assert result is own
    return compare(getattr(quantized, f"{name}_out")(*theirs, out), own)


def _concatenation(name: str) -> Case:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        dtype = draw.DTYPES[int(rng.integers(3))]
        ties = bool(rng.integers(2))
        rank = int(rng.choice([1, 2, 3, 4, 4, 4, 5]))
        shape = [min(v, 16) for v in draw.shape(rng, rank)]
        dim = 1 if rank > 1 and rng.random() < 0.5 else int(rng.integers(-rank, rank))
        layout = rng.choice([None, "contiguous", "last", "last"])
        theirs, ours = [], []
        for _ in range(int(rng.integers(1, 4))):
            shape[dim] = int(rng.integers(1, 90 if rank < 5 else 10))
            t, q = draw.tensor(rng, torch, tuple(shape), dtype, ties, layout)
            theirs.append(t)
            ours.append(q)
        if rng.random() < 0.05:
            empty = np.empty(0, dtype.numpy)
            theirs.append(torch._make_per_tensor_quantized_tensor(torch.from_numpy(empty), 1.0, 0))
            ours.append(type(ours[0])(empty, dtype, 1.0, 0))
        scale: float | None = draw.scale(rng, ties)
        zero_point: int | None = draw.zero_point(rng, dtype)
        if rng.random() < 0.4:
            scale = None
        if rng.random() < 0.4:
            zero_point = None
        want = getattr(torch.ops.quantized, name)(theirs, dim, scale, zero_point)
        return compare(want, getattr(ops, name)(ours, dim, scale, zero_point))

    return case


def case_prelu(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    dtype = draw.DTYPES[int(rng.integers(3))]
    ties = bool(rng.integers(2))
    shape = draw.shape(rng, int(rng.choice([1, 2, 3, 4, 4, 5])))
    theirs, ours = draw.tensor(rng, torch, shape, dtype, ties, most=3000)
    n = 1 if rng.random() < 0.5 else shape[1 if len(shape) > 1 else 0]
    weight, our_weight = draw.tensor(rng, torch, (n,), dtype, ties, most=3000)
    qparams = draw.scale(rng, ties), draw.zero_point(rng, dtype)
    return compare(torch.ops.quantized.prelu(theirs, weight, *qparams), ops.prelu(ours, our_weight, *qparams))


#: qint32 products stay within int32 and their results too: beyond, torch's vector and scalar loops differ.
CASES: dict[str, Case] = {
    "add": _binary("add", 100000),
    "add_relu": _binary("add_relu", 100000),
    "mul": _binary("mul", 3000),
    "mul_relu": _binary("mul_relu", 3000),
    "prelu": case_prelu,
    "add_scalar": _scalar("add_scalar"),
    "add_scalar_relu": _scalar("add_scalar_relu"),
    "mul_scalar": _scalar("mul_scalar"),
    "mul_scalar_relu": _scalar("mul_scalar_relu"),
    "cat": _concatenation("cat"),
    "cat_relu": _concatenation("cat_relu"),
    "out": case_out,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(n_cases):
        _, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0


def test_functional_modules(torch: Any, rng: np.random.Generator) -> None:
    theirs, ours = torch.ao.nn.quantized, functional_modules
    float_functional = theirs.FloatFunctional()
    float_functional.activation_post_process = torch.ao.quantization.MinMaxObserver()
    x = torch.linspace(-2, 5, 100)
    float_functional.add(x, x)
    a, b = theirs.QFunctional.from_float(float_functional), ours.QFunctional.from_float(float_functional)
    assert repr(a) == repr(b)
    x, q = draw.tensor(rng, torch, (2, 5, 7, 9), draw.DTYPES[0], False, "last")
    for name in ("add", "mul", "add_relu"):
        assert compare(getattr(a, name)(x, x), getattr(b, name)(q, q))[1] == 0
    for name in ("add_scalar", "mul_scalar"):
        assert compare(getattr(a, name)(x, -3.5), getattr(b, name)(q, -3.5))[1] == 0
    assert compare(a.cat([x, x], 1), b.cat([q, q], 1))[1] == 0
    state = a.state_dict()
    assert {k: (v.item(), tuple(v.shape)) for k, v in state.items()} == {
        k: (v.item(), v.shape) for k, v in b.state_dict().items()
    }
    b = ours.QFunctional()
    b.load_state_dict(state)
    assert repr(a) == repr(b)
    for module in (a, b, theirs.FloatFunctional(), ours.FloatFunctional()):
        with pytest.raises(RuntimeError, match="is not intended to use the 'forward'"):
            module(x)
    for name in ("add", "mul", "add_relu"):
        v, w = (rng.normal(size=(3, 4)).astype(np.float32) for _ in range(2))
        want = getattr(theirs.FloatFunctional(), name)(torch.from_numpy(v), torch.from_numpy(w))
        np.testing.assert_array_equal(getattr(ours.FloatFunctional(), name)(v, w), want.numpy(), strict=True)
