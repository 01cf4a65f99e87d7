"""Packed embedding rows, lookups and bags in NumPy: what torch 2.13 computes."""

from __future__ import annotations

import numpy as np

from .rounding import f32, fma


def row_parameters(scales: np.ndarray, zero_points: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The scale and the bias that a packed row keeps: float32, or float16 for 4 bits."""
    bias = -(zero_points * scales)
    if bits == 4:
        with np.errstate(all="ignore"):
            return scales.astype(np.float16).astype(f32), bias.astype(np.float16).astype(f32)
    return scales, bias


def bag(
    ints: np.ndarray,
    scales: np.ndarray,
    zero_points: np.ndarray,
    bits: int,
    bags: list[list[int]],
    weights: list[list[float]] | None = None,
    mapping: np.ndarray | None = None,
) -> np.ndarray:
    """The sum of each bag, a list of indices; index -1 of a mapping adds nothing."""
    scale, bias = row_parameters(scales, zero_points, bits)
    out = np.zeros((len(bags), ints.shape[1]), f32)
    with np.errstate(all="ignore"):
        for b, indices in enumerate(bags):
            for k, i in enumerate(indices):
                row = i if mapping is None else mapping[i]
                if row == -1:
                    continue
                w = f32(1 if weights is None else weights[b][k])
                out[b] = fma(scale[row] * w, ints[row].astype(f32), out[b] + bias[row] * w)
    return out
