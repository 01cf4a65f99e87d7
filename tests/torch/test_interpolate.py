"""Resizing against torch."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quantnn.ops import _interpolate

from .test_pool import degenerate, mismatches, random_pair, random_shape


def _case(rng: Any, torch: Any, mode: str, dimensions: int) -> tuple[int, int]:
    spatial = [int(v) for v in rng.integers(1, 9, dimensions)]
    shape, channels_last = random_shape(rng, spatial)
    while len(shape) != dimensions + 2:
        shape, channels_last = random_shape(rng, spatial)
    if dimensions == 3 and shape[1] > 40:
        shape = (shape[0], 5, *spatial)
    if dimensions == 1:
        channels_last = False
    options: dict[str, Any] = {"mode": mode}
    if mode == "bilinear":
        options["align_corners"] = [None, False, True][rng.integers(3)]
    if rng.random() < 0.5:
        out = [int(v) for v in rng.integers(1, 16, dimensions)]
        if rng.random() < 0.2:
            out = spatial
        options["size"] = out if dimensions > 1 or rng.random() < 0.5 else out[0]
    else:
        kinds = rng.integers(0, 3, dimensions)
        factors = [float([rng.uniform(0.3, 3), rng.integers(1, 4), 1.0][k]) for k in kinds]
        out = [math.floor(n * f) for n, f in zip(spatial, factors, strict=True)]
        if min(out) < 1:
            return 0, 0
        options["scale_factor"] = factors
        if rng.random() < 0.3:
            options["recompute_scale_factor"] = bool(rng.integers(2))
    if degenerate(shape, out, dimensions):
        return 0, 0
    if dimensions == 3 and mode != "area" and out == spatial:
        # torch copies only the first image of a channels-last batch and leaves the others uninitialized
        shape = (1, *shape[1:])
    theirs, ours = random_pair(rng, torch, shape, channels_last)
    want = torch.nn.functional.interpolate(theirs, **options)
    return mismatches(want, _interpolate.interpolate(ours, **options))


def case_nearest(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case(rng, torch, "nearest", int(rng.integers(2, 4)))


def case_nearest_exact(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case(rng, torch, "nearest-exact", int(rng.integers(2, 4)))


def case_bilinear(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case(rng, torch, "bilinear", 2)


def case_area(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case(rng, torch, "area", int(rng.integers(1, 4)))


CASES = {
    "nearest": case_nearest,
    "nearest-exact": case_nearest_exact,
    "bilinear": case_bilinear,
    "area": case_area,
}


@pytest.mark.parametrize("name", CASES)
def test_like_torch(name: str, level: str, rng: Any, torch: Any, n_cases: int) -> None:
    import quantnn

    for _ in range(n_cases):
        _elements, wrong = CASES[name](rng, torch, quantnn)
        assert wrong == 0
