"""The rounding rules of torch 2.13's quantized operators in NumPy, element by element.

Every reference in this folder is written with these. Dtypes are given by quantnn's `DType` objects or by their names;
the integers that come and go are NumPy arrays (uint8, int8, int32).

    fma             a*b+c with one float32 rounding
    rne             nearest integer, ties to even, of a float32; outside int32 and NaN give -2**31
    quantize_qt     zero point added before rounding, fused        (quantize_per_tensor)
    quantize_qs     zero point added before rounding, not fused    (quantize_per_channel, scalar loops)
    quantize_qv     zero point added after rounding                (vector loops)
    dequantize_ds   subtract first                                 (dequantize, scalar loops)
    dequantize_dv   one fused multiply-add                         (vector loops)
"""

from __future__ import annotations

from typing import Any

import numpy as np

f32 = np.float32
f64 = np.float64

RANGE = {
    "quint8": (0, 255),
    "qint8": (-128, 127),
    "qint32": (-(2**31), 2**31 - 1),
    "quint4x2": (0, 15),
    "quint2x4": (0, 3),
}
NUMPY = {"quint8": np.uint8, "qint8": np.int8, "qint32": np.int32, "quint4x2": np.uint8, "quint2x4": np.uint8}

#: The largest float32 below 2**31.
INT_MAX_F = f32(2147483520.0)


def name_of(dtype: Any) -> str:
    """The name of a dtype given by name or as a `DType`."""
    return dtype if isinstance(dtype, str) else str(dtype.name)


def qrange(dtype: Any) -> tuple[int, int]:
    """The smallest and the largest integer of a dtype."""
    return RANGE[name_of(dtype)]


def store(values: Any, dtype: Any) -> np.ndarray:
    """Clamp integers (or integral floats without NaN) to a dtype's range and give them its NumPy type."""
    lo, hi = qrange(dtype)
    clamped = np.clip(np.asarray(values, f64), lo, hi)
    return clamped.astype(np.int64).astype(NUMPY[name_of(dtype)])


def fma(a: Any, b: Any, c: Any) -> np.ndarray:
    """``a*b+c`` of float32 values, rounded once to float32."""
    with np.errstate(all="ignore"):
        a, b, c = np.broadcast_arrays(*(np.asarray(v, f32).astype(f64) for v in (a, b, c)))
        p = a * b  # exact
        s = p + c
        t = s - p
        e = (p - (s - t)) + (c - t)  # what the sum lost
        # Rounding the float64 sum to odd makes the second rounding, to float32, the only one that counts.
        bits = np.array(s, f64).reshape(-1).view(np.int64)
        e, flat = e.reshape(-1), s.reshape(-1)
        nudge = (e != 0) & (bits & 1 == 0) & np.isfinite(flat)
        bits = np.where(nudge, bits + np.where((e > 0) == (flat > 0), 1, -1), bits)
        return bits.view(f64).reshape(s.shape).astype(f32)


def wrap32(x: Any) -> np.ndarray:
    """int64 values wrapped to int32's range, as int64."""
    return (np.asarray(x, np.int64) + 2**31) % 2**32 - 2**31


def rne(x: Any) -> np.ndarray:
    """Nearest integer of a float32, ties to even, as int64; outside int32 and NaN give -2**31."""
    x = np.asarray(x, f32)
    inside = (x >= f32(-2147483648.0)) & (x < f32(2147483648.0))
    return np.where(inside, np.rint(np.where(inside, x, f32(0))).astype(np.int64), -(2**31))


def minimum(a: Any, b: Any) -> np.ndarray:
    """``a < b ? a : b``: `b` if either is NaN."""
    a, b = np.asarray(a, f32), np.asarray(b, f32)
    return np.where(a < b, a, b)


def maximum(a: Any, b: Any) -> np.ndarray:
    """``a > b ? a : b``: `b` if either is NaN."""
    a, b = np.asarray(a, f32), np.asarray(b, f32)
    return np.where(a > b, a, b)


def inv32(scale: Any) -> Any:
    """The reciprocal of a scale, divided in float32."""
    with np.errstate(all="ignore"):
        return f32(1) / np.asarray(scale, f64).astype(f32)[()]


def inv64(scale: Any) -> Any:
    """The reciprocal of a scale, divided in float64 and rounded to float32."""
    with np.errstate(all="ignore"):
        return (1.0 / np.asarray(scale, f64)).astype(f32)[()]


def quantize_qt(x: Any, scale: float, zero_point: int, dtype: Any) -> np.ndarray:
    """Rule QT. NaN gives qmax (8-bit) or -2**31 (qint32)."""
    if name_of(dtype) == "qint32":
        return quantize_qs(x, scale, zero_point, dtype)
    t = minimum(fma(x, inv32(scale), f32(zero_point)), INT_MAX_F)
    return store(np.rint(t), dtype)


def quantize_qs(x: Any, scale: Any, zero_point: Any, dtype: Any, inv: Any = None) -> np.ndarray:
    """Rule QS, with the reciprocal `inv` if given (else `inv32`). NaN gives 0 (8-bit) or -2**31 (qint32)."""
    with np.errstate(all="ignore"):
        inv = inv32(scale) if inv is None else np.asarray(inv, f32)
        t = np.asarray(zero_point).astype(f32) + np.asarray(x, f32) * inv
        nan = qrange(dtype)[0] if name_of(dtype) == "qint32" else 0
        return store(np.where(np.isnan(t), f32(nan), np.rint(t)), dtype)


def quantize_qv(x: Any, scale: float, zero_point: int, dtype: Any, inv: Any = None) -> np.ndarray:
    """Rule QV, with the reciprocal `inv` if given (else `inv32`)."""
    with np.errstate(all="ignore"):
        inv = inv32(scale) if inv is None else np.asarray(inv, f32)
        if name_of(dtype) == "qint32":
            return quantize_qs(x, scale, zero_point, dtype, inv)
        t = minimum(np.asarray(x, f32) * inv, INT_MAX_F)
        return store(wrap32(rne(t) + int(zero_point)), dtype)


def dequantize_ds(q: Any, scale: float, zero_point: int) -> np.ndarray:
    """Rule DS."""
    with np.errstate(all="ignore"):
        return f32(scale) * wrap32(np.asarray(q, np.int64) - zero_point).astype(f32)


def dequantize_dv(q: Any, scale: float, zero_point: int) -> np.ndarray:
    """Rule DV."""
    with np.errstate(all="ignore"):
        return fma(f32(scale), np.asarray(q).astype(f32), f32(scale) * -f32(zero_point))
