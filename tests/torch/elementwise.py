"""Comparison of element-wise results."""

from __future__ import annotations

from typing import Any

from quantnn.tensor import QTensor


def compare(theirs: Any, ours: QTensor) -> tuple[int, int]:
    """Elements, and how many of them differ: all, if quantization parameters, shape or memory order do."""
    a, b = theirs.int_repr().numpy(), ours.int_repr()
    n = max(a.size, 1)
    if theirs.q_scale() != ours.q_scale() or theirs.q_zero_point() != ours.q_zero_point():
        return n, n
    if a.shape != b.shape or a.dtype != b.dtype or str(theirs.dtype) != f"torch.{ours.dtype.name}":
        return n, n
    strides = [s // b.itemsize for s in b.strides]
    if a.size and any(size > 1 and s != t for size, s, t in zip(a.shape, strides, theirs.stride(), strict=True)):
        return n, n
    return a.size, int((a != b).sum())
