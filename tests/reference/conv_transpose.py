"""Transposed convolution in any number of dimensions: each tap adds to the outputs it reaches, then the requantize."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .requantize import requantize


def conv_transpose(
    x: np.ndarray, x_scale: float, x_zero_point: int, w: np.ndarray, w_scale: Any, w_zero_point: Any,
    bias: np.ndarray | None, per_channel: bool, stride: Sequence[int], padding: Sequence[int],
    output_padding: Sequence[int], dilation: Sequence[int], groups: int, scale: float, zero_point: int,
) -> np.ndarray:  # fmt: skip
    """x (N, C, *size) uint8, w (C, K / groups, *kernel) int8; returns (N, K, *output size).

    Scales and zero points of the weight: numbers, or one of each for the K / groups channels.
    """
    n, c, *size = x.shape
    k, kernel = w.shape[1], w.shape[2:]
    a = (x.astype(np.int64) - x_zero_point).reshape(n, groups, c // groups, -1)
    b = w.astype(np.int64) - np.asarray(w_zero_point).reshape((1, -1) + (1,) * len(kernel))
    b = b.reshape(groups, c // groups, k, *kernel)
    geometry = list(zip(size, kernel, stride, padding, output_padding, dilation, strict=True))
    whole = [(i - 1) * s + d * (t - 1) + e + 1 for i, t, s, _, e, d in geometry]
    acc = np.zeros((n, groups, k, *whole), np.int64)
    for tap in itertools.product(*map(range, kernel)):
        reached = tuple(
            slice(t * d, t * d + (i - 1) * s + 1, s) for t, (i, _, s, _, _, d) in zip(tap, geometry, strict=True)
        )
        products = np.einsum("ngcp,gck->ngkp", a, b[(..., *tap)])
        acc[(..., *reached)] += products.reshape(n, groups, k, *size)
    kept = tuple(slice(p, m - p) for m, (_, _, _, p, _, _) in zip(whole, geometry, strict=True))
    acc = acc[(..., *kept)]
    last = np.moveaxis(acc.reshape(n, groups * k, *acc.shape[3:]), 1, -1)
    scales = np.tile(w_scale, groups) if per_channel else w_scale
    return np.moveaxis(requantize(last, x_scale, scales, bias, per_channel, scale, zero_point, False), -1, 1)
