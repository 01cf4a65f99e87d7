"""Pooling against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quantnn import _dispatch
from quantnn.ops import _pool
from quantnn.tensor import QTensor, make_per_tensor_quantized_tensor

Case = Callable[[Any, Any, Any], tuple[int, int]]

RANGE = {np.uint8: (0, 255), np.int8: (-128, 127), np.int32: (-3000, 3000)}


def random_pair(rng: Any, torch: Any, shape: tuple[int, ...], channels_last: bool) -> tuple[Any, QTensor]:
    """The same random tensor in torch and quantnn."""
    dtype = [np.uint8, np.uint8, np.int8, np.int8, np.int32][rng.integers(5)]
    lo, hi = RANGE[dtype]
    spread = rng.integers(4)
    if spread == 0:  # the ends of the range
        ints = rng.choice([lo, lo + 1, hi - 1, hi], shape)
    elif spread == 1:  # few neighbours, so that averages end in one half often
        middle = rng.integers(lo, hi)
        ints = rng.integers(middle, middle + 2, shape)
    else:
        ints = rng.integers(lo, hi + 1, shape)
    ints = ints.astype(dtype)
    scale = float(2.0 ** rng.integers(-8, 2)) if rng.random() < 0.5 else float(np.exp(rng.uniform(-8, 1)))
    zero_point = int(rng.integers(lo, hi + 1))
    if channels_last:
        axes = (0, *range(2, len(shape)), 1)
        ints = np.ascontiguousarray(ints.transpose(axes)).transpose((0, len(shape) - 1, *range(1, len(shape) - 1)))
    theirs = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), scale, zero_point)
    return theirs, make_per_tensor_quantized_tensor(ints, scale, zero_point)


def mismatches(theirs: Any, ours: QTensor) -> tuple[int, int]:
    """Compare two results; anything but the integers counts as one more mismatch."""
    want, got = theirs.int_repr().numpy(), ours.int_repr()
    if want.shape != got.shape:
        return want.size, max(1, want.size)
    same = theirs.q_scale() == ours.q_scale() and theirs.q_zero_point() == ours.q_zero_point()
    same &= str(theirs.dtype) == f"torch.{ours.dtype.name}"
    if want.size:
        steps = [s // got.itemsize for s in got.strides]
        same &= all(n == 1 or a == b for n, a, b in zip(got.shape, theirs.stride(), steps, strict=True))
    return want.size, int((want != got).sum()) + (not same)


def random_shape(rng: Any, spatial: list[int]) -> tuple[tuple[int, ...], bool]:
    """A shape and whether its memory is channels-last."""
    channels = int(rng.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 40, 64, 70, 260]))
    if len(spatial) < 3 and rng.random() < 0.15:
        return (channels, *spatial), False
    return (int(rng.integers(1, 4)), channels, *spatial), bool(rng.random() < 0.6)


def degenerate(shape: tuple[int, ...], out: Any, spatial: int) -> bool:
    """Whether torch permutes the data: a 1x1 image of several channels, resized."""
    one = all(n == 1 for n in shape[-spatial:]) and not all(n == 1 for n in out)
    return one and len(shape) == spatial + 2 and shape[1] > 1


def _window(rng: Any, n: int = 2, largest: int = 5) -> tuple[list[int], list[int], list[int]]:
    kernel = [int(rng.integers(1, largest)) for _ in range(n)]
    return kernel, [int(rng.integers(1, 4)) for _ in range(n)], [int(rng.integers(0, k // 2 + 1)) for k in kernel]


def _max_pool(n: int) -> Case:
    def case(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
        kernel, stride, padding = _window(rng, n)
        dilation = [int(rng.integers(1, 3)) for _ in range(n)]
        spatial = [(k - 1) * d + 1 + int(rng.integers(0, 12 // n + 3)) for k, d in zip(kernel, dilation, strict=True)]
        ceil_mode = bool(rng.random() < 0.5)
        shape, channels_last = random_shape(rng, spatial)
        theirs, ours = random_pair(rng, torch, shape, channels_last)
        arguments = (kernel, stride if rng.random() < 0.8 else None, padding, dilation, ceil_mode)
        functional = torch.nn.functional if n == 3 else torch.ao.nn.quantized.functional
        want = getattr(functional, f"max_pool{n}d")(theirs, *arguments)
        if degenerate(shape, want.shape[-n:], n):
            return 0, 0
        return mismatches(want, getattr(_pool, f"max_pool{n}d")(ours, *arguments))

    return case


def _avg_pool(n: int) -> Case:
    def case(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
        kernel, stride, padding = _window(rng, n)
        if rng.random() < 0.1:
            kernel = [7] * n
        spatial = [k + int(rng.integers(0, 8 // n + 3)) for k in kernel]
        shape, channels_last = random_shape(rng, spatial)
        theirs, ours = random_pair(rng, torch, shape, channels_last)
        divisor = int(rng.integers(1, 13)) if rng.random() < 0.3 else None
        flags = [bool(b) for b in rng.integers(0, 2, 2)]
        arguments = (kernel, stride if rng.random() < 0.8 else None, padding, *flags, divisor)
        want = getattr(torch.ao.nn.quantized.functional, f"avg_pool{n}d")(theirs, *arguments)
        if degenerate(shape, want.shape[-n:], n):
            return 0, 0
        return mismatches(want, getattr(_pool, f"avg_pool{n}d")(ours, *arguments))

    return case


def _adaptive_avg_pool(n: int) -> Case:
    def case(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
        spatial = [int(v) for v in rng.integers(1, 12 - 2 * n, n)]
        out: list[int | None] = [int(v) for v in rng.integers(1, 8, n)] if rng.random() < 0.7 else [1] * n
        if rng.random() < 0.1:
            out[int(rng.integers(n))] = None
        shape, channels_last = random_shape(rng, spatial)
        if n == 3 and rng.random() < 0.15:
            shape, channels_last = shape[1:], False
            if spatial[0] == 1 or spatial[1:] == [1, 1]:  # torch takes it for channels-last images with D channels
                return 0, 0
        if degenerate(shape, [1 if size is None else size for size in out], n):
            return 0, 0
        theirs, ours = random_pair(rng, torch, shape, channels_last)
        want = getattr(torch.ao.nn.quantized.functional, f"adaptive_avg_pool{n}d")(theirs, out)
        return mismatches(want, getattr(_pool, f"adaptive_avg_pool{n}d")(ours, tuple(out)))

    return case


def case_max_pool2d_float(rng: Any, torch: Any, quantnn: Any) -> tuple[int, int]:
    kernel, stride, padding = _window(rng)
    x = rng.standard_normal((2, int(rng.integers(1, 20)), *(k + int(rng.integers(0, 7)) for k in kernel)))
    x = x.astype(np.float32)
    x[rng.random(x.shape) < 0.02] = np.nan
    arguments = (kernel, stride, padding, 1, bool(rng.random() < 0.5))
    want = torch.ao.nn.quantized.functional.max_pool2d(torch.from_numpy(x), *arguments).numpy()
    return want.size, int((want.view(np.int32) != _pool.max_pool2d(x, *arguments).view(np.int32)).sum())


CASES = {
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
    "max_pool3d": _max_pool(3),
    "max_pool2d_float": case_max_pool2d_float,
    "avg_pool2d": _avg_pool(2),
    "avg_pool3d": _avg_pool(3),
    "adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "adaptive_avg_pool3d": _adaptive_avg_pool(3),
}


@pytest.mark.parametrize("name", CASES)
def test_like_torch(name: str, level: str, rng: Any, torch: Any, n_cases: int) -> None:
    import quantnn

    assert _dispatch.kernels.level == level
    for _ in range(n_cases):
        _elements, wrong = CASES[name](rng, torch, quantnn)
        assert wrong == 0
