"""Packed embedding rows, of tables and of floats, lookups and bags in NumPy: what torch 2.13 computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rounding import f32, fma


def row_parameters(scales: np.ndarray, zero_points: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The scale and the bias that a packed row keeps: float32, or float16 for 4 bits."""
    bias = -(zero_points * scales)
    if bits == 4:
        with np.errstate(all="ignore"):
            return scales.astype(np.float16).astype(f32), bias.astype(np.float16).astype(f32)
    return scales, bias


def bag(
    ints: np.ndarray,
    scales: np.ndarray,
    zero_points: np.ndarray,
    bits: int,
    bags: list[list[int]],
    weights: list[list[float]] | None = None,
    mapping: np.ndarray | None = None,
) -> np.ndarray:
    """The sum of each bag, a list of indices; index -1 of a mapping adds nothing."""
    scale, bias = row_parameters(scales, zero_points, bits)
    out = np.zeros((len(bags), ints.shape[1]), f32)
    with np.errstate(all="ignore"):
        for b, indices in enumerate(bags):
            for k, i in enumerate(indices):
                row = i if mapping is None else mapping[i]
                if row == -1:
                    continue
                w = f32(1 if weights is None else weights[b][k])
                out[b] = fma(scale[row] * w, ints[row].astype(f32), out[b] + bias[row] * w)
    return out


def row_quantizer(least: f32, greatest: f32, bits: int) -> tuple[f32, f32, f32]:
    """Scale, inverse and bias of a row of floats in this range."""
    most = f32(2**bits - 1)
    with np.errstate(all="ignore"):
        if bits == 8:
            span = f32(greatest - least)
            return f32(span / most), f32(most / f32(span + f32(1e-8))), f32(least)
        bias = f32(np.float16(least))
        span = f32(greatest - bias)
        scale = f32(1) if span == 0 else f32(np.float16(span / most))
        inverse = f32(f32(1) / scale)
        if scale == 0 or np.isinf(inverse):
            scale = inverse = f32(1)
    return scale, inverse, bias


def row_integers(x: np.ndarray, least: f32, greatest: f32, bits: int) -> np.ndarray:
    _, inverse, bias = row_quantizer(least, greatest, bits)
    return np.clip(np.rint((x - bias) * inverse), 0, 2**bits - 1).astype(np.uint8)


def narrowed(x: np.ndarray, bits: int, bins: int, ratio: float) -> tuple[f32, f32]:
    """The range of a row that torch's search ends with."""

    def loss(lo: f32, hi: f32) -> f32:
        scale, _, bias = row_quantizer(lo, hi, bits)
        errors = x - fma(row_integers(x, lo, hi, bits).astype(f32), scale, bias)
        total = f32(0)
        for e in errors:
            total += e * e
        return np.sqrt(total)

    lo, hi = least, greatest = x.min(), x.max()
    step = f32(f32(hi - lo) / f32(bins))
    here = best = loss(lo, hi)
    stop = f32(bins * (1 - float(f32(ratio)))) * step
    while lo + stop < hi:
        from_below, from_above = loss(lo + step, hi), loss(lo, hi - step)
        if here < from_below and here < from_above and here < best:
            best, least, greatest = here, lo, hi
        if from_below < from_above:
            lo, here = lo + step, from_below
        else:
            hi, here = hi - step, from_above
    return least, greatest


def pack_floats(w: np.ndarray, bits: int, limits: np.ndarray | None = None, search: Any = None) -> np.ndarray:
    """Rows of floats as packed rows; `search` is (bins, ratio)."""
    out = []
    for r, x in enumerate(w.astype(f32)):
        least, greatest = (x.min(), x.max()) if limits is None else limits[r]
        if search:
            least, greatest = narrowed(x, bits, *search)
        scale, _, bias = row_quantizer(least, greatest, bits)
        ints = row_integers(x, least, greatest, bits).reshape(-1, 8 // bits)
        tail = np.array([scale, bias]).astype(f32 if bits == 8 else np.float16).view(np.uint8)
        out.append(np.concatenate([(ints << np.arange(0, 8, bits, np.uint8)).sum(1, dtype=np.uint8), tail]))
    return np.stack(out)


def unpack_floats(rows: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The integers, scales and biases of packed rows."""
    width = rows.shape[1] - (8 if bits == 8 else 4)
    ints = rows[:, :width, None] >> np.arange(0, 8, bits, np.uint8) & (2**bits - 1)
    tail = np.ascontiguousarray(rows[:, width:]).view(f32 if bits == 8 else np.float16).astype(f32)
    return ints.reshape(len(rows), -1), tail[:, 0], tail[:, 1]
