"""softmax against torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _softmax as ops

from ..reference import draw
from .elementwise import compare

Case = Callable[[np.random.Generator, Any, Any], tuple[int, int]]


def case_softmax(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    dtype = draw.DTYPES[int(rng.integers(3))]
    most = 3000 if dtype.name == "qint32" else 255
    shape = draw.shape(rng, int(rng.integers(1, 5)))
    theirs, ours = draw.tensor(rng, torch, shape, dtype, bool(rng.integers(2)), most=most)
    dim = int(rng.integers(-len(shape), len(shape)))
    scale = float(rng.choice([1 / 256, 1 / 128, rng.uniform(1e-3, 0.02)]))
    zero_point = draw.zero_point(rng, dtype)
    want = torch.ops.quantized.softmax(theirs, dim, scale, zero_point)
    got = ops.softmax(ours, dim, scale, zero_point)
    n, wrong = compare(want, got)
    if 0 < wrong < n:  # sums in another order: one quantum where the quotient is halfway between two
        wrong = int((np.abs(want.int_repr().numpy().astype(np.int64) - got.int_repr()) > 1).sum())
    return n, wrong


CASES: dict[str, Case] = {"softmax": case_softmax}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(n_cases):
        _, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0
