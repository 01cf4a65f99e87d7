"""The float middle of attention on quantized tensors."""

from __future__ import annotations

import numpy as np

from .. import _layout, _threads
from .._dispatch import kernels
from ..tensor import QTensor

_GRAIN = 1 << 14


def attend(
    q: QTensor, k: QTensor, v: QTensor, mask: np.ndarray | None, padding: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Attention of every head of every sequence.

    Parameters
    ----------
    q, k, v : QTensor
        Checked: quint8, shapes (L, heads, D), (S, heads, D) and (S, heads, D) with L, S and D at least 1.
    mask : numpy.ndarray, optional
        float32, shape (1 or heads, L, S): what is added to the scores.
    padding : numpy.ndarray, optional
        float32, shape (sequences, S): what is added to the scores of all heads of a sequence.

    Returns
    -------
    out, weights : numpy.ndarray
        float32, shapes (L, heads, D) and (heads, L, S).
    """
    size, heads, d = q.shape
    s = k.shape[0]
    out = _layout.empty((size, heads, d), np.float32)
    weights = _layout.empty((heads, size, s), np.float32)
    if heads:
        threads = _threads.threads_for(heads * size * s * d, _GRAIN)
        scratch = np.empty(threads * kernels.attention.scratch(s, d), np.float32)
        floats = (np.ascontiguousarray(x.dequantize()) for x in (q, k, v))
        kernels.attention.attention(*floats, mask, padding, weights, out, scratch, threads)
    return out, weights
