"""Linear with leaky relu or tanh and conv2d with an addition against torch's onednn engine, which alone has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import quantnn

from .weights import activation, output, weight
from .weights import compare as compare_integers

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")


@contextmanager
def onednn(torch: Any) -> Iterator[None]:
    torch.backends.quantized.engine = "onednn"
    try:
        yield
    finally:
        torch.backends.quantized.engine = "fbgemm"


def compare(theirs: Any, ours: Any) -> tuple[int, int]:
    """As everywhere, but 1 is allowed: onednn's roundings of floats differ in about one of 100,000 elements."""
    elements, wrong = compare_integers(theirs, ours)
    if wrong == elements:
        return elements, wrong
    return elements, int((abs(theirs.int_repr().numpy().astype(int) - ours.int_repr()) > 1).sum())


def symmetric_weight(rng: np.random.Generator, torch: Any, shape: tuple[int, ...]) -> Any:
    """One whose zero points are 0, as onednn wants them."""
    while True:
        w = weight(rng, torch, shape)
        if not np.any(w.quantnn._zero_point):
            return w


def linear(name: str) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        m, k, n = int(rng.integers(1, 8)), int(rng.integers(1, 70)), int(rng.integers(1, 40))
        x, w = activation(rng, torch, (m, k)), symmetric_weight(rng, torch, (n, k))
        bias, scale, zero_point = output(rng, x.quantnn, w.quantnn, torch)
        more = (float(rng.choice([0.01, 0.25, rng.uniform(0, 2)])),) if "leaky" in name else ()
        if "tanh" in name:
            scale = float(rng.choice([1 / 128, 0.009]))
        with onednn(torch):
            packed = torch.ops.quantized.linear_prepack(w.torch, bias.torch)
            want = getattr(torch.ops.quantized, name)(x.torch, packed, scale, zero_point, *more)
        packed = quantnn.ops.linear_prepack(w.quantnn, bias.quantnn)
        return compare(want, getattr(quantnn.ops, name)(x.quantnn, packed, scale, zero_point, *more))

    return case


def conv(name: str) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        # with more groups, or a single channel, torch adds what happens to lie in memory: each run gives another result
        groups = 1
        c, k = int(rng.integers(2, 16)), int(rng.integers(1, 16))
        kernel, stride, dilation = (tuple(int(i) for i in rng.integers(1, high, 2)) for high in (4, 3, 3))
        padding = tuple(int(i) for i in rng.integers(0, 3, 2))
        x = activation(rng, torch, (int(rng.integers(1, 3)), c, 8, 7))
        w = symmetric_weight(rng, torch, (k, c, *kernel))
        bias, scale, zero_point = output(rng, x.quantnn, w.quantnn, torch)
        packed = quantnn.ops.conv2d_prepack(w.quantnn, bias.quantnn, stride, padding, dilation, groups)
        shape = quantnn.ops.conv2d(x.quantnn, packed, scale, zero_point).shape
        addend = activation(rng, torch, shape)
        last = addend.torch.contiguous(memory_format=torch.channels_last)
        with onednn(torch):
            theirs = torch.ops.quantized.conv2d_prepack(w.torch, bias.torch, stride, padding, dilation, groups)
            want = getattr(torch.ops.quantized, name)(x.torch, last, theirs, scale, zero_point)
        got = getattr(quantnn.ops, name)(x.quantnn, addend.quantnn, packed, scale, zero_point)
        return compare(want.contiguous(), got.contiguous())

    return case


#: Each draws one random case, runs both and returns (elements, mismatches).
CASES = {
    **{name: linear(name) for name in ("linear_leaky_relu", "linear_tanh")},
    **{name: conv(name) for name in ("conv2d_add", "conv2d_add_relu")},
}


@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    for _ in range(n_cases):
        _, wrong = CASES[name](rng, torch, quantnn)
        assert wrong == 0
