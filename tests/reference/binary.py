"""Reference of the operators of two tensors, of a tensor and a number, and of concatenation.

Operands are given as (integers, scale, zero point), results as integers; those operators that choose their
quantization parameters return all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .rounding import (
    dequantize_ds,
    dequantize_dv,
    f32,
    inv32,
    inv64,
    maximum,
    name_of,
    qrange,
    quantize_qs,
    quantize_qt,
    quantize_qv,
    store,
    wrap32,
)
from .unary import vector_positions

Operand = tuple[np.ndarray, float, int]


def add(
    a: Operand,
    b: Operand,
    scale: float,
    zero_point: int,
    dtype: Any,
    order: Sequence[int],
    relu: bool = False,
) -> np.ndarray:
    floor = f32(0 if relu else -np.inf)
    qa, qb = np.broadcast_arrays(a[0], b[0])
    vector = dequantize_dv(qa, *a[1:]) + dequantize_dv(qb, *b[1:])
    scalar = dequantize_ds(qa, *a[1:]) + dequantize_ds(qb, *b[1:])
    return np.where(
        vector_positions(qa.shape, order, [qa, qb]),
        quantize_qv(maximum(vector, floor), scale, zero_point, dtype),
        quantize_qs(maximum(scalar, floor), scale, zero_point, dtype),
    )


def requantize(c: np.ndarray, m: Any, zero_point: int, dtype: Any) -> np.ndarray:
    """``clamp(rne(c * m) + zero_point)``"""
    return store(np.rint(c.astype(f32) * m).astype(np.float64) + zero_point, dtype)


def mul(a: Operand, b: Operand, scale: float, zero_point: int, dtype: Any, relu: bool = False) -> np.ndarray:
    c = wrap32((a[0].astype(np.int64) - a[2]) * (b[0].astype(np.int64) - b[2]))
    q = requantize(c, f32(a[1]) * f32(b[1]) * inv32(scale), zero_point, dtype)
    return np.maximum(q, zero_point).astype(q.dtype) if relu else q


def prelu(a: Operand, weight: Operand, scale: float, zero_point: int, dtype: Any) -> np.ndarray:
    q, s, z = a
    w, sw, zw = weight
    one = int(quantize_qs(1.0, sw, zw, dtype)) - zw
    x = q.astype(np.int64) - z
    factors = (w.astype(np.int64) - zw).reshape([w.size if d == min(1, q.ndim - 1) else 1 for d in range(q.ndim)])
    c = wrap32(np.maximum(x, 0) * one + np.minimum(x, 0) * factors)
    return requantize(c, f32(s) * f32(sw) * inv32(scale), zero_point, dtype)


def add_scalar(a: Operand, number: float, dtype: Any, relu: bool = False) -> Operand:
    q, scale, zero_point = a
    lo, hi = qrange(dtype)
    c = round(number / scale)
    new_scale, new = scale, zero_point - c
    if not lo <= new <= hi:
        reach, new = (hi - new, lo) if new < lo else (new - lo, hi)
        new_scale = float(reach) / float(hi - lo) * scale
        shifted = wrap32(q.astype(np.int64) - zero_point + c)
        q = requantize(shifted, f32(scale) * inv32(new_scale), new, dtype)
    return (np.maximum(q, q.dtype.type(new)) if relu else q), new_scale, new


def mul_scalar(a: Operand, number: float, dtype: Any, relu: bool = False) -> Operand:
    q, scale, zero_point = a
    lo, hi = qrange(dtype)
    if number == 0:
        return np.zeros_like(q), 1.0, 0
    if number < 0:
        q, zero_point = store(hi + lo - q.astype(np.int64), dtype), hi + lo - zero_point
    return (np.maximum(q, q.dtype.type(zero_point)) if relu else q), abs(number) * scale, zero_point


def cat(operands: list[Operand], dim: int, scale: float, zero_point: int, dtype: Any, relu: bool = False) -> np.ndarray:
    parts = [dequantize_ds(*x) for x in operands]
    q = quantize_qt(np.concatenate(parts, dim), scale, zero_point, dtype)
    return np.maximum(q, q.dtype.type(zero_point)) if relu else q


def cat_channels_last(
    operands: list[Operand], scale: float, zero_point: int, dtype: Any, relu: bool = False
) -> np.ndarray:
    """`cat` of channels-last images along the channels, which is another kernel in torch."""
    floor = f32(0 if relu else -np.inf)
    parts = []
    for q, s, z in operands:
        if (s, z) == (scale, zero_point) and not relu:
            parts.append(q)
            continue
        vector = np.arange(q.shape[1])[:, None, None] < q.shape[1] // 8 * 8
        inv = None if name_of(dtype) == "qint32" else inv64(scale)
        parts.append(
            np.where(
                vector,
                quantize_qv(maximum(dequantize_dv(q, s, z), floor), scale, zero_point, dtype, inv),
                quantize_qs(maximum(dequantize_ds(q, s, z), floor), scale, zero_point, dtype),
            )
        )
    return np.concatenate(parts, 1)
