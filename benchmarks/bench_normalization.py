"""Batch, layer, group and instance normalization."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from ._measure import Row

QPARAMS = (1e-5, 0.03, 120)


def rows() -> Iterator[Row]:
    image, text = e.tensor(1), e.tensor(2, (128, 768))
    channels = image.ints.shape[1]
    rng = np.random.default_rng(3)
    weight, bias, mean = (rng.standard_normal(channels).astype(np.float32) for _ in range(3))
    var = rng.uniform(0.5, 2, channels).astype(np.float32)
    scale, shift = (rng.standard_normal(768).astype(np.float32) for _ in range(2))
    yield _row("batch_norm2d", "64 at 56", image, (), (weight, bias, mean, var))
    yield _row("layer_norm", "128 x 768", text, ([768],), (scale, shift))
    # of a large channels-last image torch sums in float32, quantnn exactly
    planes = e.Tensor(np.ascontiguousarray(image.ints), image.scale, image.zero_point)
    for name, first in (("group_norm", (8,)), ("instance_norm", ())):
        yield _row(name, "64 at 56, contiguous", planes, first, (weight, bias))
        yield _row(name, "64 at 56", image, first, (weight, bias), tolerance=1.0)


def _row(
    name: str,
    shape: str,
    x: e.Tensor,
    first: tuple[Any, ...],
    arrays: tuple[np.ndarray, ...],
    tolerance: float = 0.0,
) -> Row:
    def torch(t: Any) -> Any:
        f, q, tensors = getattr(t.ops.quantized, name), x.torch(t), [t.from_numpy(a) for a in arrays]
        return lambda: f(q, *first, *tensors, *QPARAMS)

    f = getattr(quantnn.ops, name)
    return e.row(
        "normalization", f"{name}, {shape}", x.ints.size * 2,
        lambda: partial(f, x.ours(), *first, *arrays, *QPARAMS),
        torch, tolerance=tolerance,
    )  # fmt: skip
