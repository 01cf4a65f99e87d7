"""softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, laid, lies
from ..tensor import QTensor, formed, qint8, qint32, quint8

_DTYPES = (quint8, qint8, qint32)
_GRAIN = 1 << 14


def softmax(qx: QTensor, dim: int, output_scale: Any, output_zero_point: Any) -> QTensor:
    """Compute ``exp(x) / sum(exp(x))`` along a dimension.

    Parameters
    ----------
    qx : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    dim : int
        The dimension; negative counts from the last.
    output_scale : float
        Of the result.
    output_zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype and shape of `qx`, contiguous.

    Raises
    ------
    TypeError, ValueError, IndexError
        If `qx` is not such a tensor, the quantization parameters or `dim` out of range.

    Notes
    -----
    Computed in float64, rounded to float32 and quantized. torch's ``torch.ops.quantized.softmax`` computes in float32;
    an integer may differ by 1 where its quotient lies between two of them.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[9, 10, 11], [7, 7, 7]], np.uint8), 0.5, 10)
    >>> quantnn.ops.softmax(x, -1, 1 / 256, 0).int_repr()
    array([[ 48,  79, 130],
           [ 85,  85,  85]], dtype=uint8)
    """
    dtype = _checks.qtensor("softmax", "qx", qx, _DTYPES)._dtype
    if type(output_scale) is not float or type(output_zero_point) is not int:
        output_scale = _checks.scale("softmax", "output_scale", output_scale)
        output_zero_point = _checks.zero_point("softmax", "output_zero_point", output_zero_point, dtype)
    if type(dim) is not int:
        dim = _checks.integer("softmax", "dim", dim)
    p = _plan(qx._form or qx._formed(), dim, qx._scale, qx._zero_point, output_scale, output_zero_point)
    kernel, arguments, order, form, threads = p
    out = _layout.empty((form.size,), form.numpy)
    if threads:
        block = qx._block if order is None else _layout.ordered(qx._ints, order)
        kernel(block, out, *arguments, _threads.at_most(threads))
    y = formed(out, form, output_scale, output_zero_point)
    return y if form.plain else y.contiguous()


class _Plan(NamedTuple):
    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]  # of the kernel, after the elements and the place of their results
    order: tuple[int, ...] | None  # the axes by which the input is read, the softmax's last; None: as it lies
    form: Form  # of the result, in that order
    threads: int  # at most; 0 without elements


@planned
def _plan(x: Form, dim: int, x_scale: float, x_zero_point: int, scale: float, zero_point: int) -> _Plan:
    dtype, shape, n = x.dtype, x.shape, len(x.shape)
    _checks.scale("softmax", "output_scale", scale)
    _checks.zero_point("softmax", "output_zero_point", zero_point, dtype)
    most = max(n, 1)  # a 0-d tensor has a dimension here
    if not -most <= dim < most:
        raise IndexError(f"softmax: dim must be in [{-most}, {most - 1}] for shape {shape}; got {_checks.shown(dim)}")
    axis = dim % most
    order = (*(i for i in range(n) if i != axis), *((axis,) if n else ()))
    reads = None if lies(shape, x.strides, order, x.numpy.itemsize) else order
    qparams = (x_scale, x_zero_point, scale, zero_point, dtype.qmin, dtype.qmax)
    arguments = (shape[axis] if n else 1, _table(x_scale), *qparams)
    threads = max(1, x.size // _GRAIN) if x.size else 0
    return _Plan(kernels.softmax.softmax, arguments, reads, laid(dtype, shape, order), threads)


@planned
def _table(scale: float) -> np.ndarray:
    """exp(-x) for the 256 differences of 8-bit integers."""
    table = np.empty(256)
    kernels.softmax.table(scale, table)
    return table
