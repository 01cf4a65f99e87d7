"""Resizing, by index tables.

Arrays are the integers in the logical shape (N, C, *spatial). `out` is the output's spatial size; `factors` the scale
factors, or None where the step follows from the sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import f32, fma, store


def step(n: int, out: int, factor: float | None, align_corners: bool = False) -> np.float32:
    """Input elements per output element."""
    if align_corners:
        return f32(n - 1) / f32(out - 1) if out > 1 else f32(0)
    return f32(n) / f32(out) if factor is None else f32(1.0 / factor)


def nearest(x: np.ndarray, out: Any, factors: Any, exact: bool) -> np.ndarray:
    n = len(out)
    if x.shape[-n:] == tuple(out):
        return x.copy()
    for a in range(n):
        axis = x.ndim - n + a
        size = x.shape[axis]
        r = step(size, out[a], factors[a] if factors else None)
        o = np.arange(out[a])
        source = ((o + 0.5) * np.float64(r)).astype(f32) if exact else o.astype(f32) * r
        x = np.take(x, np.minimum(np.floor(source).astype(np.int64), size - 1), axis)
    return x


def _sources(n: int, out: int, factor: float | None, align_corners: bool, fused: bool) -> tuple[Any, Any, Any]:
    """For each output element the two input elements and the weight of the second."""
    r = step(n, out, factor, align_corners)
    o = np.arange(out).astype(f32)
    if align_corners:
        source = r * o
    elif fused:
        source = np.maximum(fma(r, o + f32(0.5), f32(-0.5)), f32(0))
    else:
        source = np.maximum(r * (o + f32(0.5)) - f32(0.5), f32(0))
    first = source.astype(np.int64)
    return first, np.minimum(first + 1, n - 1), source - first.astype(f32)


def bilinear(
    x: np.ndarray, zero_point: int, dtype: Any, out: Any, factors: Any, align_corners: bool, channels_last: bool
) -> np.ndarray:
    if not channels_last and x.shape[-2:] == tuple(out):
        return x.copy()
    f = factors or (None, None)
    top, bottom, h1 = _sources(x.shape[2], out[0], f[0], align_corners, channels_last)
    left, right, w1 = _sources(x.shape[3], out[1], f[1], align_corners, channels_last)
    h1 = h1[:, None]
    h0, w0 = f32(1) - h1, f32(1) - w1
    v = x.astype(f32)
    p00, p01, p10, p11 = (v[:, :, i][..., j] for i in (top, bottom) for j in (left, right))

    def finish(value: np.ndarray) -> np.ndarray:
        z = f32(zero_point)
        return store(np.rint(z + (value - z)), dtype)

    if not channels_last:
        t0, t1 = w0 * p00 + w1 * p01, w0 * p10 + w1 * p11
        return finish(h0 * t0 + h1 * t1)
    vector = finish(fma(h1, fma(w1, p11, w0 * p10), h0 * fma(w1, p01, w0 * p00)))
    rest = finish(fma(h0, fma(w0, p00, w1 * p01), h1 * fma(w0, p10, w1 * p11)))
    m = 0 if x.dtype == np.int32 else x.shape[1] // 8 * 8
    return np.concatenate([vector[:, :m], rest[:, m:]], 1)
