"""Linear: the sum of (x - zx) * (w - zw) in integers, then the requantize."""

from __future__ import annotations

from typing import Any

import numpy as np

from .requantize import requantize


def linear(
    x: np.ndarray, x_scale: float, x_zero_point: int, w: np.ndarray, w_scale: Any, w_zero_point: Any,
    bias: np.ndarray | None, per_channel: bool, scale: float, zero_point: int, relu: bool = False,
) -> np.ndarray:  # fmt: skip
    """x (*, K) uint8, w (N, K) int8, w_scale and w_zero_point a number or (N)."""
    a = x.astype(np.int64) - x_zero_point
    b = w.astype(np.int64) - np.asarray(w_zero_point).reshape(-1, 1)
    return requantize(a @ b.T, x_scale, w_scale, bias, per_channel, scale, zero_point, relu)
