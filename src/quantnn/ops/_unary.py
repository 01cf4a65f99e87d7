"""Operators of one tensor, element by element: relu, relu6, clamp, hardswish, elu."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, laid, walk
from ..tensor import DType, QTensor, formed, qint8, qint32, quint8

_DTYPES = (quint8, qint8, qint32)
_GRAIN = 1 << 17


def relu(input: QTensor) -> QTensor:
    """Replace negative values by zero.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.

    Returns
    -------
    QTensor
        With the scale, zero point and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor.

    Notes
    -----
    ``q' = max(q, zero_point)``: exact. torch's ``torch.relu``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([0, 9, 10, 11], np.uint8), 0.5, 10)
    >>> quantnn.ops.relu(x).int_repr()
    array([10, 10, 10, 11], dtype=uint8)
    """
    _checks.qtensor("relu", "input", input, _DTYPES)
    return clamped(input, input._zero_point, input._dtype.qmax, input._scale, input._zero_point)


def relu_(input: QTensor) -> QTensor:
    """`relu` in the writable memory of `input`, which is returned."""
    _checks.qtensor("relu", "input", input, _DTYPES)
    return clamp_inplace(input, input._zero_point, input._dtype.qmax)


def relu6(input: QTensor, inplace: bool = False) -> QTensor:
    """Limit values to [0, 6].

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    inplace : bool
        Change the integers of `input` and return it.

    Returns
    -------
    QTensor
        With the scale, zero point and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, or its memory is read-only and `inplace` is true.

    Notes
    -----
    ``q' = min(max(q, zero_point), quantize(6))``: exact. torch's ``torch.ops.quantized.relu6``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([9, 10, 11, 90], np.uint8), 0.5, 10)
    >>> quantnn.ops.relu6(x).int_repr()
    array([10, 10, 11, 22], dtype=uint8)
    """
    _checks.qtensor("relu6", "input", input, _DTYPES)
    most = _bound(6.0, input)
    if inplace is not True and not _checks.flag("relu6", "inplace", inplace):
        return clamped(input, input._zero_point, most, input._scale, input._zero_point)
    if not input._ints.flags.writeable:
        raise ValueError(
            "relu6: input must be writable with inplace=True; got read-only memory. Call input.clone() first"
        )
    return clamp_inplace(input, input._zero_point, most)


def clamp(input: QTensor, min: Any = None, max: Any = None) -> QTensor:
    """Limit values to [min, max].

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    min, max : float or None
        The bounds; one of them may be None. Where min > max, every value becomes max.

    Returns
    -------
    QTensor
        With the scale, zero point and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, or the bounds are not numbers, NaN, or both None.

    Notes
    -----
    ``q' = min(max(q, quantize(min)), quantize(max))``: exact. torch's ``torch.ops.quantized.clamp``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([0, 9, 10, 90], np.uint8), 0.5, 10)
    >>> quantnn.ops.clamp(x, -1.0, 2.0).int_repr()
    array([ 8,  9, 10, 14], dtype=uint8)
    """
    _checks.qtensor("clamp", "input", input, _DTYPES)
    if min is None and max is None:
        raise ValueError("clamp: min or max must be a number; got None for both")
    least, most = input._dtype.qmin, input._dtype.qmax
    if min is not None:
        least = _bound(_number("clamp", "min", min), input)
    if max is not None:
        most = _bound(_number("clamp", "max", max), input)
    return clamped(input, least, most, input._scale, input._zero_point)


def hardswish(input: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Compute ``x * min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    scale : float
        Of the result.
    zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor or the quantization parameters are out of range.

    Notes
    -----
    Computed in float32 on dequantized values: exactly torch's ``torch.ops.quantized.hardswish``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.ops.hardswish(x, 0.125, 3).int_repr()
    array([ 3,  0,  3, 35], dtype=uint8)
    """
    _checks.qtensor("hardswish", "input", input, _DTYPES)
    scale, zero_point = _checks.qparams("hardswish", scale, zero_point, input._dtype)
    return _computed("HARDSWISH", True, input, scale, zero_point, 0.0)


def elu(input: QTensor, scale: Any, zero_point: Any, alpha: Any = 1.0) -> QTensor:
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    scale : float
        Of the result.
    zero_point : int
        Of the result.
    alpha : float
        The limit of the negative side, with its sign turned.

    Returns
    -------
    QTensor
        With the dtype of `input`, contiguous.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, the quantization parameters are out of range or `alpha` is not
        finite.

    Notes
    -----
    The exponential is computed in float64: torch's ``torch.ops.quantized.elu`` to the integer for 8-bit
    dtypes. As there, the result is contiguous in memory even if `input` is channels-last.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.ops.elu(x, 0.125, 10).int_repr()
    array([ 2,  5, 10, 42], dtype=uint8)
    """
    _checks.qtensor("elu", "input", input, _DTYPES)
    scale, zero_point = _checks.qparams("elu", scale, zero_point, input._dtype)
    alpha = _checks.number("elu", "alpha", alpha)
    if not abs(alpha) < 2.0**128:
        raise ValueError(f"elu: alpha must be finite and within float32's range; got {alpha}")
    return _computed("ELU", False, input, scale, zero_point, alpha)


def _number(op: str, name: str, x: Any) -> float:
    value = _checks.number(op, name, x)
    if math.isnan(value):
        raise ValueError(f"{op}: {name} must not be NaN; got nan")
    return value


def _bound(value: float, x: QTensor) -> int:
    """The integer that stands for `value` in `x`."""
    dtype = x._dtype
    bound: int = kernels.unary.bound(value, x._scale, x._zero_point, dtype.qmin, dtype.qmax)
    return bound


class Plan(NamedTuple):
    """What an operator of one tensor, element by element, does with inputs of one form."""

    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]  # of the kernel, after the elements and the place of their results
    order: tuple[int, ...] | None  # the axes by which the input is read; None: as it lies
    form: Form  # of the result
    threads: int  # at most


@planned
def plan(family: str, function: str, x: Form, grain: int) -> Plan:
    """Plan for a kernel's fused function, a thread of which should have `grain` elements."""
    order, as_it_lies = walk(x.shape, x.strides, x.numpy.itemsize)
    kernel = kernels.typed(family, function, x.dtype.ctype)
    return Plan(kernel, (), None if as_it_lies else order, laid(x.dtype, x.shape, order), max(1, x.size // grain))


def run(p: Plan, x: QTensor, scale: float, zero_point: int, *arguments: Any) -> QTensor:
    """What the plan's kernel makes of a tensor, with the result's qparams; `arguments` follow those of the plan."""
    kernel, first, order, form, threads = p
    out = _layout.empty((form.size,), form.numpy)
    block = x._block if order is None else _layout.ordered(x._ints, order)
    kernel(block, out, *first, *arguments, _threads.at_most(threads))
    return formed(out, form, scale, zero_point)


def clamped(x: QTensor, least: int, most: int, scale: float, zero_point: int) -> QTensor:
    """The integers of `x` within bounds, with other qparams."""
    return run(plan("unary", "clamp", x._form or x._formed(), _GRAIN), x, scale, zero_point, least, most)


def clamp_inplace(x: QTensor, least: int, most: int) -> QTensor:
    """`x` with its integers, in writable memory, within bounds."""
    ints = x._ints
    block = ints.ravel("K")
    if block.base is None:  # a copy, as the elements are scattered in memory
        ints[...] = clamped(x, least, most, x._scale, x._zero_point)._ints
    else:
        threads = _threads.threads_for(block.size, _GRAIN)
        kernels.typed("unary", "clamp", x._dtype.ctype)(block, block, least, most, threads)
    return x


def _computed(name: str, keep_format: bool, x: QTensor, scale: float, zero_point: int, alpha: float) -> QTensor:
    p = _plan(name, keep_format, x._form or x._formed(), x._scale, x._zero_point, scale, zero_point, alpha)
    return run(p, x, scale, zero_point)


@planned
def _plan(
    name: str, keep_format: bool, x: Form, x_scale: float, x_zero_point: int, scale: float, zero_point: int,
    alpha: float,
) -> Plan:  # fmt: skip
    """Plan for the function `name` of _kernels/unary.pyx."""
    dtype, shape, strides, itemsize = x.dtype, x.shape, x.strides, x.numpy.itemsize
    order, as_it_lies = walk(shape, strides, itemsize, keep_format)
    # torch's position rule: the elements come in runs, and the first `n_vector` of each go through its vector loop. The
    # innermost dimensions that lie in the input's memory as in the output's are one run.
    run, step = 1, itemsize
    for i in reversed(order):
        if shape[i] != 1:
            if run == 1:
                step = strides[i]
            elif strides[i] != step * run:
                break
            run *= shape[i]
    n_vector = run - run % (64 // itemsize) if step == itemsize else 0
    arguments: tuple[Any, ...] = (x_scale, x_zero_point, scale, zero_point, dtype.qmin, dtype.qmax, alpha)
    kernel: Callable[..., Any]
    if dtype is qint32:
        kernel = functools.partial(kernels.typed("unary", "compute", dtype.ctype), getattr(kernels.unary, name))
    else:
        kernel = kernels.unary.lookup if dtype is quint8 else _lookup_int8
        arguments = _tables(name, dtype, *arguments)
    result = laid(dtype, shape, order)
    return Plan(kernel, (*arguments, run, n_vector), None if as_it_lies else order, result, max(1, x.size // _GRAIN))


def _lookup_int8(q: np.ndarray, out: np.ndarray, *arguments: Any) -> None:
    kernels.unary.lookup(q.view(np.uint8), out.view(np.uint8), *arguments)


@planned
def _tables(name: str, dtype: DType, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of each of the 256 bytes, as a vector element and as another."""
    every = np.arange(256, dtype=np.uint8)
    vector, scalar = np.empty(256, np.uint8), np.empty(256, np.uint8)
    kernel = kernels.typed("unary", "compute", dtype.ctype)
    for table, n_vector in ((vector, 256), (scalar, 0)):
        function = getattr(kernels.unary, name)
        kernel(function, every.view(dtype.numpy), table.view(dtype.numpy), *arguments, 256, n_vector, 1)
    return vector, scalar
