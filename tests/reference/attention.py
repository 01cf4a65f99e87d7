"""The float middle of attention in NumPy, one head of one row at a time."""

from __future__ import annotations

import numpy as np

from .rounding import f32, f64, fma


def chain(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x (n) times y (n, m): chains of fused multiply-adds over at most 384 n, whose results are added in order."""
    n = len(x)
    parts = -(-n // 384)
    size = -(-n // parts)
    total = np.zeros(y.shape[1], f32)
    for p in range(parts):
        part = np.zeros(y.shape[1], f32)
        for i in range(p * size, min((p + 1) * size, n)):
            part = fma(np.broadcast_to(x[i], part.shape), y[i], part)
        total = part if p == 0 else total + part
    return total


def attend(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, padding: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Floats (L, heads, D), (S, heads, D) twice; the results (L, heads, D) and (heads, L, S)."""
    size, heads, _ = q.shape
    out, weights = np.empty(q.shape, f32), np.empty((heads, size, len(k)), f32)
    for h in range(heads):
        for i in range(size):
            score = chain(q[i, h], np.ascontiguousarray(k[:, h].T))
            if mask is not None:
                score = score + mask[h % len(mask), i]
            if padding is not None:
                score = score + padding[h // (heads // len(padding))]
            with np.errstate(invalid="ignore"):
                e = np.exp(score.astype(f64) - f64(score.max()))
            weights[h, i] = (e / e.sum()).astype(f32)
            out[i, h] = chain(weights[h, i], v[:, h])
    return out, weights
