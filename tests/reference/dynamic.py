"""Dynamic linear layers, convolutions and recurrent cells, step by step.

Weights come as a QTensor or, for float16, as a float32 array. Everything is torch's to the bit but sigmoid and tanh,
which are rounded from float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantnn.tensor import QTensor
from tests.reference.rounding import f32, f64, fma, maximum, quantize_qt


def choose_qparams(x: np.ndarray, reduce_range: bool) -> tuple[float, int]:
    """The scale (float64) and zero point of quint8 for all of x and 0."""
    top = 127 if reduce_range else 255
    lo, hi = (f32(0), f32(0)) if x.size == 0 else (min(x.min(), f32(0)), max(x.max(), f32(0)))
    with np.errstate(all="ignore"):
        scale = (float(hi) - float(lo)) / top
        if f32(scale) == 0 or np.isinf(f32(1) / f32(scale)):
            scale = 0.1
        least = f32(6.1e-5)
        if scale < least:
            ratio, scale = least / f32(scale), float(least)
            if lo == 0:
                hi = least * f32(top)
            elif hi == 0:
                lo = -least * f32(top)
            else:
                lo, hi = lo * ratio, hi * ratio
    at_lo, at_hi = float(lo) / scale, float(hi) / scale
    zero_point = -at_lo if -abs(at_lo) < top - abs(at_hi) else top - at_hi
    return scale, int(np.clip(np.rint(zero_point), 0, top))


def linear(
    x: np.ndarray,
    w: QTensor,
    bias: np.ndarray | None,
    reduce_range: bool = False,
    relu: bool = False,
    qparams: Any = None,
) -> np.ndarray:
    """linear_dynamic of rows, or with given qparams of the activation."""
    scale, zero_point = qparams or choose_qparams(x, reduce_range)
    q = quantize_qt(x, scale, zero_point, "quint8").astype(np.int64) - zero_point
    weight = w._ints.astype(np.int64) - np.reshape(w._zero_point, (-1, 1))
    acc = (q @ weight.T).astype(f32)
    m = f32(scale) * np.broadcast_to(np.asarray(w._scale).astype(f32), w.shape[:1])
    y = fma(acc, m, f32(0) if bias is None else bias)
    return maximum(y, f32(0)) if relu else y


def halves(w: np.ndarray) -> np.ndarray:
    """What float16 keeps of a weight."""
    return np.clip(np.where(np.isnan(w), f32(-65504), w), -65504, 65504).astype(np.float16).astype(f32)


def linear_fp16(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool = False) -> np.ndarray:
    """linear_dynamic_fp16 of rows: the columns of whole groups of 32 in one chain, the others in chains of 512."""
    w, k = halves(w), x.shape[1]
    whole = len(w) // 32 * 32
    y = np.empty((len(x), len(w)), f32)
    for columns, chain in ((slice(0, whole), max(k, 1)), (slice(whole, None), 512)):
        part = w[columns]
        total = np.zeros((len(x), len(part)), f32)
        for start in range(0, k, chain):
            acc = np.zeros_like(total)
            for i in range(start, min(k, start + chain)):
                acc = fma(x[:, i : i + 1], part[:, i], acc)
            total = acc if start == 0 else total + acc
        y[:, columns] = total
    y = y if bias is None else y + bias
    return maximum(y, f32(0)) if relu else y


def _product(x: np.ndarray, w: Any, bias: np.ndarray | None, reduce_range: bool) -> np.ndarray:
    return linear(x, w, bias, reduce_range) if isinstance(w, QTensor) else linear_fp16(x, w, bias)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-x.astype(f64)))).astype(f32)


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x.astype(f64)).astype(f32)


def cell(kind: str, ih: np.ndarray, hh: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
    """The new states of "LSTM", "GRU", "tanh" or "relu", from both products."""
    n = states[0].shape[1]
    if kind == "LSTM":
        i, f, g, o = np.split(hh + ih, 4, axis=1)
        kept, added = _sigmoid(f) * states[1], _sigmoid(i) * _tanh(g)
        c = kept + added
        return [_sigmoid(o) * _tanh(c), c]
    if kind == "GRU":
        r, z = _sigmoid(hh[:, :n] + ih[:, :n]), _sigmoid(hh[:, n : 2 * n] + ih[:, n : 2 * n])
        fresh = _tanh(ih[:, 2 * n :] + hh[:, 2 * n :] * r)
        return [(states[0] - fresh) * z + fresh]
    return [_tanh(hh + ih) if kind == "tanh" else maximum(hh + ih, f32(0))]


def layer(
    kind: str, w_ih: Any, b_ih: Any, w_hh: Any, b_hh: Any, x: list[np.ndarray], states: list[np.ndarray],
    reverse: bool, reduce_range: bool,
) -> tuple[list[np.ndarray], list[np.ndarray]]:  # fmt: skip
    """One direction of a layer over steps of never more rows: every h, and the last states."""
    every = _product(np.concatenate(x), w_ih, b_ih, reduce_range)
    ih = np.split(every, np.cumsum([len(rows) for rows in x])[:-1])
    states, out = [s.copy() for s in states], list(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        n = len(x[t])
        hh = _product(states[0][:n], w_hh, b_hh, reduce_range)
        new = cell(kind, ih[t], hh, [s[:n] for s in states])
        for s, v in zip(states, new, strict=True):
            s[:n] = v
        out[t] = new[0]
    return out, states
