"""Pooling, one window at a time.

Arrays are the integers in the logical shape (N, C, *spatial) or (C, *spatial); sizes are tuples, one per spatial
dimension. `channels_last` says which of the two rules of rounding applies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .rounding import f32, fma, qrange, store


def out_size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """The number of windows along one axis."""
    out = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
    return out - 1 if ceil_mode and (out - 1) * s >= n + p else out


def positions(sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, sizes))


def max_pool(x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> np.ndarray:
    n = len(kernel)
    sizes = x.shape[-n:]
    lead = x.shape[:-n]
    out = tuple(map(out_size, sizes, kernel, stride, padding, dilation, [ceil_mode] * n))
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    result = np.full(lead + out, lowest, x.dtype)
    for o in positions(out):
        taps = [
            [t for t in range(start, start + kernel[a] * dilation[a], dilation[a]) if 0 <= t < sizes[a]]
            for a, start in enumerate(o[a] * stride[a] - padding[a] for a in range(n))
        ]
        if all(taps):
            result[(..., *o)] = x[(..., *np.ix_(*taps))].reshape(*lead, -1).max(-1)
    return result


def _multiplier(m: Any) -> np.float32:
    """The reciprocal of the reciprocal: channels-last kernels hand over a scale and divide by it."""
    return f32(f32(1) / f32(f32(1) / f32(m)))


def _mixed(first: np.ndarray, rest: np.ndarray, group: int, axis: int) -> np.ndarray:
    """`first` for whole groups of channels, `rest` for the channels left over."""
    channels = first.shape[axis]
    m = channels // group * group
    return np.concatenate([np.take(first, range(m), axis), np.take(rest, range(m, channels), axis)], axis)


def avg_pool(
    x: np.ndarray,
    zero_point: int,
    dtype: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channels_last: bool,
) -> np.ndarray:
    n = len(kernel)
    sizes = x.shape[-n:]
    out = tuple(map(out_size, sizes, kernel, stride, padding, [1] * n, [ceil_mode] * n))
    result = np.empty(x.shape[:-n] + out, x.dtype)
    is_int32 = x.dtype == np.int32
    z = f32(zero_point)
    for o in positions(out):
        start = [o[a] * stride[a] - padding[a] for a in range(n)]
        stop = [min(start[a] + kernel[a], sizes[a] + padding[a]) for a in range(n)]
        padded = math.prod(e - b for b, e in zip(start, stop, strict=True))
        start = [max(b, 0) for b in start]
        stop = [min(stop[a], sizes[a]) for a in range(n)]
        size = math.prod(e - b for b, e in zip(start, stop, strict=True))
        window = x[(..., *map(slice, start, stop))].astype(np.int64)
        acc = (window.sum(tuple(range(-n, 0))) - zero_point * size).astype(f32)
        m = f32(1) / f32(divisor or (padded if count_include_pad else size))
        rest = np.rint(z + acc * _multiplier(m))
        if is_int32:
            q = rest
        elif channels_last:
            q = _mixed(np.rint(acc * m).astype(np.float64) + zero_point, rest, 16, acc.ndim - 1)
        else:
            q = np.rint(acc * m + z)
        result[(..., *o)] = store(q, dtype)
    return result


def adaptive_avg_pool(
    x: np.ndarray, zero_point: int, dtype: Any, out: tuple[int, ...], channels_last: bool
) -> np.ndarray:
    n = len(out)
    sizes = x.shape[-n:]
    result = np.empty(x.shape[:-n] + out, x.dtype)
    lo, hi = qrange(dtype)
    z = f32(zero_point)
    for o in positions(out):
        start = [math.floor(f32(o[a] * sizes[a]) / f32(out[a])) for a in range(n)]
        stop = [math.ceil(f32((o[a] + 1) * sizes[a]) / f32(out[a])) for a in range(n)]
        lengths = [e - b for b, e in zip(start, stop, strict=True)]
        total = x[(..., *map(slice, start, stop))].astype(np.int64).sum(tuple(range(-n, 0)))
        if channels_last:
            size = math.prod(lengths)
            acc = (total - zero_point * size).astype(f32)
            i = _multiplier(f32(1) / f32(size))
            rest = np.rint(z + acc * i)
            if x.dtype == np.int32:
                q = rest
            else:
                q = _mixed(np.rint(fma(acc, i, z)), rest, 8, acc.ndim - 1)
        else:
            m = f32(1)
            for length in lengths:
                m = m / f32(length)
            q = np.rint(total.astype(f32) * m)
        result[(..., *o)] = np.clip(q.astype(np.float64), lo, hi).astype(np.int64)
    return result
