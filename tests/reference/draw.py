"""Random tensors in all memory layouts."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantnn.tensor import QTensor, qint8, qint32, quint8

DTYPES = (quint8, qint8, qint32)


def scale(rng: np.random.Generator, ties: bool) -> float:
    """A scale; a power of two where ties are wanted."""
    return 2.0 ** -int(rng.integers(0, 7)) if ties else float(np.exp(rng.uniform(np.log(1e-3), np.log(0.5))))


def zero_point(rng: np.random.Generator, dtype: Any) -> int:
    lo, hi = max(dtype.qmin, -1000), min(dtype.qmax, 1000)
    return int(rng.choice([lo, hi, rng.integers(lo, hi + 1), rng.integers(lo, hi + 1)]))


def shape(rng: np.random.Generator, rank: int | None = None) -> tuple[int, ...]:
    """A shape of up to about a thousand elements, often long enough for torch's vector loops."""
    if rank is None:
        rank = int(rng.choice([0, 1, 1, 2, 2, 3, 4, 4, 4, 5]))
    most = {0: 1, 1: 400, 2: 40, 3: 14, 4: 9, 5: 6}[rank]
    shape = [int(v) for v in rng.integers(1, most, rank)]
    if rank and rng.random() < 0.4:
        shape[int(rng.integers(rank))] = int(rng.choice([1, 1, 16, 64, 67, 130]))
    if rank and rng.random() < 0.02:
        shape[int(rng.integers(rank))] = 0
    return tuple(shape)


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, most: int = 100000) -> np.ndarray:
    lo, hi = max(dtype.qmin, -most), min(dtype.qmax, most)
    return rng.integers(lo, hi + 1, shape).astype(dtype.numpy)


def tensor(
    rng: np.random.Generator,
    torch: Any,
    shape: tuple[int, ...],
    dtype: Any,
    ties: bool,
    layout: str | None = None,
    most: int = 100000,
) -> tuple[Any, QTensor]:
    """A random tensor in quantnn and, if `torch` is not None, the same in torch, with the same strides."""
    n = len(shape)
    if layout is None:
        layout = str(rng.choice(["contiguous", "contiguous", "last", "last", "permuted", "cut", "step"]))
    if (layout == "last" and n < 3) or n == 0:
        layout = "contiguous"
    order = tuple(range(n))
    if layout == "last":
        order = (0, *range(2, n), 1)
    elif layout == "permuted":
        order = tuple(int(d) for d in rng.permutation(n))
    base_shape = [shape[d] for d in order]
    index: tuple[slice, ...] = ()
    if layout == "cut":
        base_shape[-1] += 5
        index = (*(slice(None),) * (n - 1), slice(2, 2 + shape[-1]))
    elif layout == "step":
        base_shape[-1] *= 2
        index = (*(slice(None),) * (n - 1), slice(None, None, 2))
    base = integers(rng, tuple(base_shape), dtype, most)
    s, z = scale(rng, ties), zero_point(rng, dtype)
    back = [int(d) for d in np.argsort(order)]
    theirs = None
    if torch is not None:
        theirs = torch._make_per_tensor_quantized_tensor(torch.from_numpy(base), s, z)
        theirs = theirs[index].permute(back) if n else theirs
    ours = base[index].transpose(back) if n else base
    return theirs, QTensor(ours, dtype, s, z)
