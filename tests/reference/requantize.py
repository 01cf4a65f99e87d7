"""The requantize of linear and convolution, in torch's order of operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import f32, fma, rne


def requantize(
    acc: np.ndarray,
    x_scale: float,
    w_scale: Any,
    bias: np.ndarray | None,
    per_channel: bool,
    scale: float,
    zero_point: int,
    relu: bool,
) -> np.ndarray:
    """Accumulators (..., N) to quint8 integers; `w_scale` is one number or one per column."""
    with np.errstate(all="ignore"):
        aw = f32(x_scale) * np.asarray(w_scale, np.float64).astype(f32)
        m = aw / f32(scale)
        x = acc.astype(f32)
        if bias is not None:
            x = x + bias / aw if per_channel else fma(bias, f32(1) / aw, x)
        r = rne((x * m).astype(f32))
    y = np.clip(np.clip(r, -32768, 32767) + zero_point, -32768, 32767)
    return np.clip(y, zero_point if relu else 0, 255).astype(np.uint8)
