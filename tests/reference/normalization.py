"""Batch, layer, group and instance norm in NumPy: what torch 2.13's fbgemm engine computes.

Integers come as arrays of any shape, and `scale` and `zero_point` are the input's, `so` and `zo` the output's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import f32, f64, fma, qrange, quantize_qs, quantize_qv, store


def batch_norm(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    so: float,
    zo: int,
    dtype: Any,
    relu: bool = False,
) -> np.ndarray:
    """Normalize each channel, dimension 1, by given statistics."""
    inverse = (1.0 / np.sqrt(var + f32(eps)).astype(f64)).astype(f32)
    alpha = ((inverse * weight).astype(f64) * (scale / so)).astype(f32)
    beta = ((bias - mean * inverse * weight).astype(f64) / so).astype(f32)
    channels = (-1,) + (1,) * (q.ndim - 2)
    alpha, beta = alpha.reshape(channels), beta.reshape(channels)
    y = fma(alpha, (q.astype(np.int64) - zero_point).astype(f32), beta)
    result = store(np.rint(y).astype(f64) + zo, dtype)
    if qrange(dtype)[1] > 255:
        # qint32: torch's vector loop, of eight channels at a time, subtracts in float32 and adds the zero point before
        # rounding
        y = fma(alpha, q.astype(f32) - f32(zero_point), beta)
        before = store(np.rint(f32(zo) + y), dtype)
        vector = np.arange(q.shape[1]) < q.shape[1] // 8 * 8
        result = np.where(vector.reshape(channels), before, result)
    return np.maximum(result, result.dtype.type(max(zo, qrange(dtype)[0]))) if relu else result


def statistics(q: np.ndarray, scale: float, zero_point: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """For each group, a row of `q`: the mean of q - z, and scale / standard deviation."""
    values = q.astype(object if q.itemsize > 1 else np.int64)  # Python's integers never overflow
    n = f32(q.shape[1])
    with np.errstate(all="ignore"):
        local = np.array([float_of(int(total)) / n for total in values.sum(axis=1)])
        squares = np.array([float_of(int(total)) / n for total in (values * values).sum(axis=1)])
        var = np.maximum(fma(-local, local, squares), f32(0))
        s = f32(scale)
        rs = (f64(s) / np.sqrt((var * s * s).astype(f64) + eps)).astype(f32)
        return local - f32(zero_point), rs


def float_of(n: int) -> np.float32:
    """An integer rounded once to float32."""
    bits = abs(n).bit_length()
    if bits <= 53:
        return f32(n)
    # keep what float32 needs, and whether anything was lost
    shift = bits - 40
    kept = (abs(n) >> shift) | (abs(n) & ((1 << shift) - 1) != 0)
    return f32(float(kept) * 2.0**shift * (1 if n >= 0 else -1))


def layer_norm(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    normalized: int,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    so: float,
    zo: int,
    dtype: Any,
) -> np.ndarray:
    """Normalize over the last `normalized` dimensions."""
    rows = q.reshape(-1, int(np.prod(q.shape[q.ndim - normalized :])))
    n = rows.shape[1]
    mean, rs = statistics(rows, scale, zero_point, eps)
    with np.errstate(all="ignore"):
        t = ((rows.astype(np.int64) - zero_point).astype(f32) - mean[:, None]) * rs[:, None]
        w = np.ones(n, f32) if weight is None else weight.reshape(-1)
        b = np.zeros(n, f32) if bias is None else bias.reshape(-1)
        y = fma(t, w, b)
    vector = np.arange(n) < n // 32 * 32
    return np.where(vector, quantize_qv(y, so, zo, dtype), quantize_qs(y, so, zo, dtype)).reshape(q.shape)


def group_norm(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    groups: int,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    so: float,
    zo: int,
    dtype: Any,
    channels_last: bool,
) -> np.ndarray:
    """Normalize over groups of channels; `channels_last` if the input is an image that lies so in memory."""
    n, channels = q.shape[:2]
    per_group = channels // groups
    mean, rs = statistics(q.reshape(n * groups, -1), scale, zero_point, eps)
    mean = np.repeat(mean.reshape(n, groups), per_group, axis=1)[:, :, None]
    rs = np.repeat(rs.reshape(n, groups), per_group, axis=1)[:, :, None]
    d = (q.astype(np.int64) - zero_point).astype(f32).reshape(n, channels, -1)
    w = np.ones((1, channels, 1), f32) if weight is None else weight.reshape(1, -1, 1)
    b = np.zeros((1, channels, 1), f32) if bias is None else bias.reshape(1, -1, 1)
    with np.errstate(all="ignore"):
        g = rs * w
        if not channels_last:
            return quantize_qv(fma(d - mean, g, b), so, zo, dtype).reshape(q.shape)
        # torch's compiler fuses the offset only where there is a weight
        offset = b - g * mean if weight is None else fma(-g, mean, b)
        y = fma(d, g, offset)
    index = np.arange(channels)
    if d.shape[2] >= 512:
        vector = index < channels // 32 * 32
    else:
        vector = index % per_group < per_group // 32 * 32
    v, s = quantize_qv(y, so, zo, dtype), quantize_qs(y, so, zo, dtype)
    return np.where(vector[None, :, None], v, s).reshape(q.shape)
