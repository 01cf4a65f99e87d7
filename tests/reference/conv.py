"""Convolution in any number of dimensions: one shifted product per tap, then the requantize."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .requantize import requantize


def conv(
    x: np.ndarray, x_scale: float, x_zero_point: int, w: np.ndarray, w_scale: Any, w_zero_point: Any,
    bias: np.ndarray | None, per_channel: bool, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], groups: int, scale: float, zero_point: int, relu: bool = False,
) -> np.ndarray:  # fmt: skip
    """x (N, C, *size) uint8, w (K, C / groups, *kernel) int8; returns (N, K, *output size)."""
    acc = accumulate(x, x_zero_point, w, w_zero_point, stride, padding, dilation, groups)
    last = np.moveaxis(acc, 1, -1)
    return np.moveaxis(requantize(last, x_scale, w_scale, bias, per_channel, scale, zero_point, relu), -1, 1)


def accumulate(
    x: np.ndarray, x_zero_point: int, w: np.ndarray, w_zero_point: Any, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> np.ndarray:  # fmt: skip
    """The sums of products (N, K, *output size)."""
    dims = x.ndim - 2
    a = x.astype(np.int64) - x_zero_point
    a = np.pad(a, [(0, 0), (0, 0), *((p, p) for p in padding)])  # the zero point is now 0
    b = w.astype(np.int64) - np.asarray(w_zero_point).reshape((-1,) + (1,) * (dims + 1))
    kernel = w.shape[2:]
    size = [(a.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(dims)]
    n, c, k = x.shape[0], x.shape[1] // groups, w.shape[0] // groups
    acc = np.zeros((n, groups, k, int(np.prod(size))), np.int64)
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, size, stride, strict=True)
        )
        pixels = a[(slice(None), slice(None), *window)].reshape(n, groups, c, -1)
        weight = b[(slice(None), slice(None), *tap)].reshape(groups, k, c)
        acc += np.einsum("ngcp,gkc->ngkp", pixels, weight)
    return acc.reshape(n, groups * k, *size)
