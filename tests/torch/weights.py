"""Random quantized activations and weights, the same for torch and quantnn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import quantnn
from quantnn.tensor import QTensor, per_channel_affine, qint8, quint8


class Pair(NamedTuple):
    """One tensor in both libraries."""

    torch: Any
    quantnn: Any


def random_scale(rng: np.random.Generator, low: float = -6, high: float = -1) -> float:
    """A scale; every second one a power of two, where ties are common."""
    value = np.exp(rng.uniform(low, high))
    return float(2.0 ** np.round(np.log2(value))) if rng.random() < 0.5 else float(value)


def activation(rng: np.random.Generator, torch: Any, shape: tuple[int, ...], top: int = 255) -> Pair:
    """A quint8 tensor of integers (its zero point too) up to `top`, sometimes channels-last or a stepped view."""
    ints = rng.integers(0, top + 1, shape).astype(np.uint8)
    if rng.random() < 0.2:
        ints = rng.choice(np.array([0, top], np.uint8), shape)
    if len(shape) > 2 and rng.random() < 0.5:
        ints = np.moveaxis(np.ascontiguousarray(np.moveaxis(ints, 1, -1)), -1, 1)
    elif rng.random() < 0.2:
        ints = np.repeat(ints, 2, axis=-1)[..., ::2]
    scale, zero_point = random_scale(rng), int(rng.choice([0, top, rng.integers(0, top + 1)]))
    theirs = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), scale, zero_point)
    return Pair(theirs, QTensor(ints, quint8, scale, zero_point))


def weight(rng: np.random.Generator, torch: Any, shape: tuple[int, ...]) -> Pair:
    """A qint8 weight, per tensor or per channel, sometimes with zero points other than 0."""
    ints = rng.integers(-128, 128, shape).astype(np.int8)
    if rng.random() < 0.2:
        ints = rng.choice(np.array([-128, 127], np.int8), shape)
    n = shape[0]
    zero_points = rng.integers(-128, 128, n) if rng.random() < 0.3 else np.zeros(n, np.int64)
    if rng.random() < 0.5:
        scales = np.array([random_scale(rng) for _ in range(n)])
        theirs = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(ints), torch.from_numpy(scales), torch.from_numpy(zero_points), 0
        )
        return Pair(theirs, QTensor(ints, qint8, scales, zero_points, per_channel_affine, 0))
    scale, zero_point = random_scale(rng), int(zero_points[0])
    theirs = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), scale, zero_point)
    return Pair(theirs, QTensor(ints, qint8, scale, zero_point))


def output(rng: np.random.Generator, x: QTensor, w: QTensor, torch: Any) -> tuple[Pair, float, int]:
    """A bias (or None) and output parameters with which most results are inside the range."""
    n, k = w.shape[0], max(1, int(np.prod(w.shape[1:])))
    spread = x._scale * float(np.mean(w._scale)) * np.sqrt(k) * 5000
    scale = random_scale(rng, np.log(spread / 100), np.log(spread / 20))
    if rng.random() < 0.3:
        return Pair(None, None), scale, int(rng.integers(0, 256))
    bias = (rng.standard_normal(n) * scale * 40).astype(np.float32)
    if rng.random() < 0.3:  # halves, where a tie is near
        bias = (np.round(bias / scale) * np.float32(scale) + np.float32(scale / 2)).astype(np.float32)
    return Pair(torch.from_numpy(bias), bias), scale, int(rng.integers(0, 256))


def compare(theirs: Any, ours: QTensor) -> tuple[int, int]:
    """Elements and mismatches; a wrong scale, zero point, dtype, shape or memory order counts as a mismatch of all."""
    want, got = theirs.int_repr().numpy(), ours.int_repr()
    same = (
        want.shape == got.shape
        and theirs.q_scale() == ours.q_scale()
        and theirs.q_zero_point() == ours.q_zero_point()
        and str(theirs.dtype) == repr(ours.dtype)
        and all(
            n == 1 or a == b // got.itemsize for n, a, b in zip(got.shape, theirs.stride(), got.strides, strict=True)
        )
    )
    if want.size == 0:
        return 0, int(theirs.shape != tuple(got.shape))
    return want.size, int((want != got).sum()) if same else want.size


def assert_no_mismatch(case: Callable[..., tuple[int, int]], torch: Any, rng: np.random.Generator, n: int) -> None:
    """Draw and run n random cases, in turns with one thread and with two."""
    for i in range(n):
        with quantnn.num_threads(1 + i % 2):
            elements, mismatches = case(rng, torch, quantnn)
        assert mismatches == 0, f"case {i}: {mismatches} of {elements} differ"
