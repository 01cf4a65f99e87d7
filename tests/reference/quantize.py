"""Quantize and dequantize, per tensor and per channel; the reductions of a quantized tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import dequantize_ds, f32, f64, inv32, qrange, quantize_qs, quantize_qt, rne, store


def quantize_per_tensor(x: np.ndarray, scale: float, zero_point: int, dtype: Any) -> np.ndarray:
    """Rule QT; the sub-byte dtypes round before they add the zero point. One element per array element."""
    if qrange(dtype)[1] > 15:
        return quantize_qt(x, scale, zero_point, dtype)
    with np.errstate(all="ignore"):
        return store(rne(x * inv32(scale)) + zero_point, dtype)


def quantize_per_channel(x: np.ndarray, scales: Any, zero_points: Any, axis: int, dtype: Any) -> np.ndarray:
    """Rule QS with the parameters of each channel; zero points are integers or float32."""
    return quantize_qs(x, along(scales, axis, x.ndim), along(zero_points, axis, x.ndim), dtype)


def along(values: Any, axis: int, rank: int) -> np.ndarray:
    """A vector shaped to broadcast along one axis."""
    return np.asarray(values).reshape([-1 if i == axis else 1 for i in range(rank)])


dequantize_per_tensor = dequantize_ds


def dequantize_per_channel(q: np.ndarray, scales: Any, zero_points: Any, axis: int) -> np.ndarray:
    """Integer zero points: the product in float64. Float zero points: all in float32."""
    s, z = along(scales, axis, q.ndim), along(zero_points, axis, q.ndim)
    difference = q.astype(f32) - z.astype(f32)
    if z.dtype.kind == "f":
        return difference * s.astype(f32)
    return (difference.astype(f64) * s).astype(f32)


def pack(q: np.ndarray, bits: int) -> np.ndarray:
    """Elements of 4 or 2 bits as bytes, the first in the lowest bits."""
    per = 8 // bits
    padded = np.zeros(-(-q.size // per) * per, np.int64)
    padded[: q.size] = q.reshape(-1)
    return (padded.reshape(-1, per) << (bits * np.arange(per))).sum(1).astype(np.uint8)


def mean_rows(q: np.ndarray, dtype: Any) -> np.ndarray:
    """The mean over the last axis of a contiguous tensor."""
    total = q.astype(np.int64).sum(-1).astype(f32)
    return store(np.rint(total / f32(q.shape[-1])), dtype)


def std_rows(q: np.ndarray, scale: float, zero_point: int, dtype: Any, correction: float) -> np.ndarray:
    """The standard deviation over the last axis of a contiguous 8-bit tensor."""
    v = q.astype(f64)
    n = q.shape[-1]
    d = n - correction
    total, squares = v.sum(-1), (v * v).sum(-1)
    variance = squares / d - 2 * (total / n) * (total / d) + (total / n) ** 2 * n / d
    y = np.sqrt(np.maximum(variance, 0)) * scale
    return quantize_qs(y.astype(f32), scale, zero_point, dtype)


def choose_qparams(lo: float, hi: float, qmin: int, qmax: int) -> tuple[float, int]:
    """Scale and zero point for float32 values from lo to hi."""
    lo, hi = min(f32(lo), f32(0)), max(f32(hi), f32(0))
    scale = (f64(hi) - f64(lo)) / (qmax - qmin)
    with np.errstate(all="ignore"):
        if f32(scale) == 0 or np.isinf(f32(1) / f32(scale)):
            scale = f64(0.1)
        least = f32(6.1e-5)
        if scale < least:
            grow = least / f32(scale)
            if lo == 0:
                hi = least * f32(qmax - qmin)
            elif hi == 0:
                lo = -least * f32(qmax - qmin)
            else:
                lo, hi = lo * grow, hi * grow
            scale = f64(least)
    from_lo, from_hi = f64(lo) / scale, f64(hi) / scale
    zero_point = qmin - from_lo if abs(qmin) - abs(from_lo) < abs(qmax) - abs(from_hi) else qmax - from_hi
    return float(scale), int(np.rint(np.clip(zero_point, qmin, qmax)))
