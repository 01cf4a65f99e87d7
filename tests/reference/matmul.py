"""Reference of matmul: sums of chains of fused multiply-adds over at most 384 k, cut as MKL cuts them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import dequantize_ds, f32, fma, quantize_qt

Operand = tuple[np.ndarray, float, int]


def matmul(a: Operand, b: Operand, scale: float, zero_point: int, dtype: Any) -> np.ndarray:
    x, y = dequantize_ds(*a), dequantize_ds(*b)
    row, column = x.ndim == 1, y.ndim == 1
    x, y = x[None] if row else x, y[:, None] if column else y
    k = x.shape[-1]
    shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
    total = np.zeros(shape, f32)
    start = 0
    while start < k:
        left = k - start
        length = left if left <= 384 else 384 if left > 768 else (left + 1) // 2
        chain = np.zeros(shape, f32)
        for i in range(start, start + length):
            row_of_x, row_of_y = np.broadcast_to(x[..., i, None], shape), np.broadcast_to(y[..., i, None, :], shape)
            chain = fma(row_of_x, row_of_y, chain)
        total = total + chain
        start += length
    if row:
        total = total[..., 0, :]
    if column:
        total = total[..., 0]
    return quantize_qt(total, scale, zero_point, dtype)
