"""What torch's onednn engine does after exact integer sums, in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .rounding import f32, fma

FUNCTIONS: dict[str, Callable[[np.ndarray, f32], np.ndarray]] = {
    "NONE": lambda y, slope: y,
    "RELU": lambda y, slope: np.maximum(y, f32(0)),
    "LEAKY_RELU": lambda y, slope: np.where(y > 0, y, y * slope),
    "TANH": lambda y, slope: np.tanh(y.astype(np.float64)).astype(f32),
}


def finish(
    function: str, y: np.ndarray, addend: np.ndarray | None, slope: float, scale: float, zero_point: int
) -> np.ndarray:
    """A float result with what is added, its function and quint8 at the end."""
    if addend is not None:
        y = y + addend
    inverse = f32(1) / f32(scale)
    y = FUNCTIONS[function](y, f32(slope)).astype(f32)
    return np.clip(np.rint(fma(y, inverse, f32(zero_point))), 0, 255).astype(np.uint8)


def float_result(acc: np.ndarray, x_scale: float, w_scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """What sums (*, N) stand for."""
    return fma(acc.astype(f32), f32(x_scale) * w_scale.astype(f32), bias)
