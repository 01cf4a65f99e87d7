"""matmul against torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _matmul as ops

from ..reference import draw
from .elementwise import compare

Case = Callable[[np.random.Generator, Any, Any], tuple[int, int]]


def case_matmul(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    dtype = draw.DTYPES[int(rng.integers(2))]
    ties = bool(rng.integers(2))
    m, n = (int(rng.choice([1, rng.integers(2, 40)], p=[0.1, 0.9])) for _ in range(2))
    k = int(
        rng.choice(
            [0, 1, rng.integers(2, 20), rng.integers(20, 400), rng.integers(400, 1500)], p=[0.02, 0.1, 0.5, 0.3, 0.08]
        )
    )
    lead = draw.shape(rng, int(rng.integers(0, 3)))
    lead = tuple(min(v, 3) for v in lead)
    leads = [tuple(1 if rng.random() < 0.3 else v for v in lead)[int(rng.integers(len(lead) + 1)) :] for _ in range(2)]
    shapes = [(*leads[0], m, k), (*leads[1], k, n)]
    for i in range(2):
        if rng.random() < 0.1:
            shapes[i] = (k,)
    a, qa = draw.tensor(rng, torch, shapes[0], dtype, ties)
    b, qb = draw.tensor(rng, torch, shapes[1], dtype, ties)
    scale = float(rng.choice([a.q_scale(), b.q_scale(), a.q_scale() * b.q_scale(), draw.scale(rng, ties)]))
    scale *= max(1, int(20 * k**0.5))
    zero_point = draw.zero_point(rng, dtype)
    want = torch.ops.quantized.matmul(a, b, scale, zero_point)
    got = ops.matmul(qa, qb, scale, zero_point)
    count, wrong = compare(want, got)
    small = m * n * k < 400 and len(want.shape) > 2
    if 0 < wrong < count and (small or 1 in (m, n) or (k,) in shapes):  # torch goes past MKL, or to its vector product
        wrong = int((np.abs(want.int_repr().numpy().astype(int) - got.int_repr()) > 1).sum())
    return count, wrong


CASES: dict[str, Case] = {"matmul": case_matmul}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(n_cases):
        _, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0
