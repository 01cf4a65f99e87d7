"""Reference of softmax: torch's formula in float64, the quotient rounded to float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import dequantize_ds, f32, f64, quantize_qt


def softmax(
    q: np.ndarray, scale: float, zero_point: int, dtype: Any, dim: int, out_scale: float, out_zero_point: int
) -> np.ndarray:
    if q.dtype == np.int32:
        x = dequantize_ds(q, scale, zero_point)
        below = x - x.max(dim, keepdims=True)
    else:
        below = f32(scale) * (q.astype(f32) - q.max(dim, keepdims=True).astype(f32))
    e = np.exp(below.astype(f64))
    return quantize_qt((e / e.sum(dim, keepdims=True)).astype(f32), out_scale, out_zero_point, dtype)
