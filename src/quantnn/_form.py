"""Form: what QTensors of one dtype, shape and memory order have in common.

Equal forms are one object, so that an operator finds its plan for a form quickly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import _layout
from ._dispatch import planned
from ._layout import lies as lies

if TYPE_CHECKING:
    from .tensor import DType


class Form:
    """A dtype, a shape and strides in bytes; get one from `form` or `laid`.

    Attributes
    ----------
    numpy : numpy.dtype
        What stores the elements.
    size : int
        The number of elements.
    dense : bool
        Whether they fill a block of memory in some axis order.
    plain : bool
        Whether that is C order.
    """

    __slots__ = ("dense", "dtype", "numpy", "plain", "shape", "size", "strides")

    def __init__(self, dtype: DType, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.numpy = np.dtype(dtype.numpy)
        self.shape = shape
        self.strides = strides
        self.size = math.prod(shape)
        self.plain = strides == _strides(shape, self.numpy.itemsize)
        self.dense = lies(shape, strides, sorted(range(len(shape)), key=lambda i: -strides[i]), self.numpy.itemsize)

    def view(self, flat: np.ndarray) -> np.ndarray:
        """A block of memory as an array of this form."""
        if self.plain:
            return flat.reshape(self.shape)
        return np.ndarray(self.shape, flat.dtype, flat, 0, self.strides)


#: The form for a dtype, a shape and strides.
form = planned(Form)


@planned
def laid(dtype: DType, shape: tuple[int, ...], order: tuple[int, ...] | None = None) -> Form:
    """The form with the axes in memory in `order`, the outermost first; None: C order."""
    itemsize = np.dtype(dtype.numpy).itemsize
    if order is None:
        return form(dtype, shape, _strides(shape, itemsize))
    strides = dict(zip(order, _strides(tuple(shape[i] for i in order), itemsize), strict=True))
    return form(dtype, shape, tuple(strides[i] for i in range(len(shape))))


def channels_last(n: int) -> tuple[int, ...]:
    """The order of n axes (N, C, ...) in channels-last memory."""
    return (0, *range(2, n), 1)


def walk(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, keep_format: bool = True
) -> tuple[tuple[int, ...], bool]:
    """The axes in the memory order that torch gives to the result of an element-wise operator.

    It is channels-last if the input's strides say so and `keep_format`, else C order. The bool tells whether the input
    lies in the same order.
    """
    n = len(shape)
    keep = keep_format and _layout.suggests_channels_last(shape, strides)
    order = channels_last(n) if keep else tuple(range(n))
    return order, lies(shape, strides, order, itemsize)


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of a C-contiguous array."""
    return tuple(itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))
