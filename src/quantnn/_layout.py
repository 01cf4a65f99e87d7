"""Memory order: the few functions that turn arrays of any strides into the dense order a kernel wants.

They move data and never compute. Where an array is dense already they return a view. Arrays for results come from
`empty`, which keeps the memory of freed ones for the next.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from . import _threads
from ._buffers import empty as empty
from ._dispatch import kernels, planned

#: Bytes whose rearranging is worth a thread of its own; what the other threads read next comes slowly from this one.
GRAIN = 1 << 15


def memory_order(a: np.ndarray) -> tuple[int, ...]:
    """The axes from the outermost in memory to the innermost (axes of length 1 keep their place)."""
    if a.flags.c_contiguous:
        return tuple(range(a.ndim))
    return _orders(a.strides)[0]


@functools.lru_cache(maxsize=512)
def _orders(strides: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes from the outermost in memory to the innermost, and the way back from there."""
    order = tuple(sorted(range(len(strides)), key=lambda i: (-abs(strides[i]), i)))
    return order, tuple(sorted(range(len(strides)), key=order.__getitem__))


def dense(a: np.ndarray) -> np.ndarray:
    """`a` itself if its elements fill a block of memory in some axis order, else a C-contiguous copy."""
    if a.flags.c_contiguous or a.transpose(memory_order(a)).flags.c_contiguous:
        return a
    return np.ascontiguousarray(a)


def flat(a: np.ndarray) -> np.ndarray:
    """The elements of a dense array in memory order, as a view of one dimension."""
    if a.flags.c_contiguous:
        return a.reshape(-1)
    return a.transpose(memory_order(a)).reshape(-1)


def ordered(a: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The elements of an array with its axes in `order`, as a new block of one dimension.

    Images of bytes that go to or from channels-last memory have a kernel of their own.
    """
    if a.itemsize == 1 and a.size >= 1024 and a.ndim > 2:
        turn = _turn(a.shape, a.strides, order)
        if turn is not None:
            axes, *shape, threads = turn
            out = empty((a.size,), a.dtype)
            kernels.transpose.transpose(
                a if axes is None else a.transpose(axes), out, *shape, _threads.at_most(threads)
            )
            return out
    return np.ascontiguousarray(a.transpose(order)).ravel()  # quicker than ravel alone


@planned
def _turn(
    shape: tuple[int, ...], strides: tuple[int, ...], order: tuple[int, ...]
) -> tuple[tuple[int, ...] | None, int, int, int, int] | None:
    """How to bring bytes into `order` by transposing matrices, if that is all there is to do.

    The axes by which the array is C-contiguous (None: as they are); the number of matrices, their rows and columns; and
    how many threads that is worth.
    """
    n, axes = len(shape), None
    if not lies(shape, strides, range(n), 1):
        axes = _turned(n, 2)
        if not lies(shape, strides, axes, 1):
            return None
        shape, order = tuple(shape[i] for i in axes), tuple(axes.index(i) for i in order)
    at = order[1]
    if at < 2 or order != _turned(n, at):
        return None
    return axes, shape[0], math.prod(shape[1:at]), math.prod(shape[at:]), max(1, math.prod(shape) // GRAIN)


def _turned(n: int, at: int) -> tuple[int, ...]:
    """The order that exchanges axes 1 to `at` with those from `at` on."""
    return (0, *range(at, n), *range(1, at))


def is_channels_last(a: np.ndarray) -> bool:
    """Whether a (N, C, *spatial) array lies in memory as (N, *spatial, C).

    True for C = 1 and for 1x1 images too.
    """
    return a.ndim > 2 and lies(a.shape, a.strides, (0, *range(2, a.ndim), 1), a.itemsize)


def lies(shape: tuple[int, ...], strides: tuple[int, ...], order: Sequence[int], itemsize: int) -> bool:
    """Whether elements fill a block of memory with the axes in `order`, the outermost first."""
    expected = itemsize
    for i in reversed(order):
        if shape[i] != 1 and strides[i] != expected:
            return 0 in shape
        expected *= shape[i]
    return True


def channels_last(a: np.ndarray) -> np.ndarray:
    """A (N, C, *spatial) array as a C-contiguous (N, *spatial, C) one: a view where the memory allows it."""
    return np.ascontiguousarray(a.transpose((0, *range(2, a.ndim), 1)))


def empty_channels_last(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """A new C-contiguous (N, *spatial, C) array for the logical shape (N, C, *spatial).

    Give its `channels_first` view to a QTensor.
    """
    return empty((shape[0], *shape[2:], shape[1]), dtype)


def channels_first(a: np.ndarray) -> np.ndarray:
    """The (N, C, *spatial) view of a (N, *spatial, C) array."""
    return a.transpose((0, a.ndim - 1, *range(1, a.ndim - 1)))


@functools.lru_cache(maxsize=512)
def suggests_channels_last(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether torch gives the result of an operator on such an array channels-last memory.

    This is torch's ``suggest_memory_format``, for 4-D and 5-D arrays and by the strides alone, dense or not.
    """
    n = len(shape)
    if n not in (4, 5) or strides[1] == 0 or strides[-1] < strides[1]:
        return False
    least = 0
    for d in (1, *range(n - 1, 1, -1), 0):
        if shape[d] == 0 or strides[d] < least or (d == 0 and least == strides[1]):
            return False
        least = strides[d] * shape[d]
    return True


def standard(a: np.ndarray) -> np.ndarray:
    """An array in the memory order that torch gives to what it makes of it.

    Channels-last if the strides say so, else contiguous; `a` itself where it is that already.
    """
    if a.flags.c_contiguous:
        return a
    if suggests_channels_last(a.shape, a.strides):
        return channels_first(channels_last(a))
    return np.ascontiguousarray(a)


def empty_like(a: np.ndarray, dtype: type[np.generic] | np.dtype) -> np.ndarray:
    """A new array with the shape and memory order of a dense one.

    ``numpy.empty_like`` gives axes of length 1 other strides where the array is in Fortran order, and then the strides
    no longer say channels-last.
    """
    if a.flags.c_contiguous:
        return empty(a.shape, dtype)
    order, back = _orders(a.strides)
    return empty([a.shape[i] for i in order], dtype).transpose(back)


def copy(a: np.ndarray) -> np.ndarray:
    """A copy of a dense array in its memory order."""
    out = empty_like(a, a.dtype)
    out[...] = a
    return out


def has_format(a: np.ndarray, channels: bool) -> bool:
    """Whether an array is channels-last (if `channels`) or contiguous."""
    return is_channels_last(a) if channels else bool(a.flags.c_contiguous)


def strides_in_elements(a: np.ndarray) -> tuple[int, ...]:
    """The strides, counted in elements."""
    return tuple(s // a.itemsize for s in a.strides)


def iteration_order(
    shape: tuple[int, ...], operands: list[tuple[int, ...]], reduced: tuple[int, ...] = ()
) -> list[int]:
    """The axes from the outermost to the innermost, as torch's iterator orders them by its operands' strides.

    A stride of 0 leaves the decision to the next operand, and to the axes' own order after the last. Axes that are
    reduced come innermost.
    """
    order = list(range(len(shape)))[::-1]

    def later(i: int, j: int) -> int:
        if (i in reduced) != (j in reduced):
            return 1 if j in reduced else -1
        for strides in operands:
            if strides[i] and strides[j]:
                if strides[i] != strides[j]:
                    return 1 if strides[i] > strides[j] else -1
                if shape[i] > shape[j]:
                    return 1
        return 0

    for i in range(1, len(order)):
        at = i
        for k in range(i - 1, -1, -1):
            compared = later(order[k], order[at])
            if compared > 0:
                order[k], order[at] = order[at], order[k]
                at = k
            elif compared < 0:
                break
    return order[::-1]


def in_order(a: np.ndarray, order: list[int]) -> np.ndarray:
    """A copy of an array whose axes lie in memory in `order`, outermost first."""
    back = sorted(range(a.ndim), key=order.__getitem__)
    return np.ascontiguousarray(a.transpose(order)).reshape([a.shape[i] for i in order]).transpose(back)
