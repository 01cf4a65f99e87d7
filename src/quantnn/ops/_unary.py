"""Operators of one tensor, element by element: relu, relu6, clamp, hardswish, elu."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from ..tensor import DType, QTensor, qint8, qint32, quint8

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
    return _clamped(input, input._zero_point, input._dtype.qmax)


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
        return _clamped(input, input._zero_point, most)
    ints = input._ints
    if not ints.flags.writeable:
        raise ValueError(
            "relu6: input must be writable with inplace=True; got read-only memory. Call input.clone() first"
        )
    if _layout.dense(ints) is ints:
        _clamp(input._dtype, ints, ints, input._zero_point, most)
    else:
        ints[...] = _clamped(input, input._zero_point, most)._ints
    return input


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
    return _clamped(input, least, most)


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
    return _computed("HARDSWISH", input, scale, zero_point)


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
    return _computed("ELU", input, scale, zero_point, alpha, keep_format=False)


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


def _clamp(dtype: DType, ints: np.ndarray, out: np.ndarray, least: int, most: int) -> None:
    threads = _threads.threads_for(ints.size, _GRAIN)
    kernels.typed("unary", "clamp", dtype.ctype)(_layout.flat(ints), _layout.flat(out), least, most, threads)


def _clamped(x: QTensor, least: int, most: int) -> QTensor:
    flat, out, flat_out, _, _ = arrange(x._ints)
    threads = _threads.threads_for(flat.size, _GRAIN)
    kernels.typed("unary", "clamp", x._dtype.ctype)(flat, flat_out, least, most, threads)
    return QTensor(out, x._dtype, x._scale, x._zero_point)


def arrange(ints: np.ndarray, keep_format: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """Prepare the input and output memory of an element-wise operator.

    The output is channels-last if torch's would be, which `keep_format` tells, else contiguous.

    Returns
    -------
    flat : ndarray
        The input's integers in the output's memory order.
    out : ndarray
        The new output, of the input's shape.
    flat_out : ndarray
        `out` in memory order, as a view of one dimension.
    run, n_vector : int
        torch's position rule: the elements come in runs of `run`, and the first `n_vector` of each go
        through its vector loop.
    """
    group = 64 // ints.itemsize
    channels_last = keep_format and _layout.suggests_channels_last(ints.shape, ints.strides)
    if ints.flags.c_contiguous and not channels_last:
        out = np.empty(ints.shape, ints.dtype)
        n = ints.size
        return ints.reshape(-1), out, out.reshape(-1), n, n - n % group
    moved = ints.transpose((0, *range(2, ints.ndim), 1)) if channels_last else ints
    base = np.empty(moved.shape, ints.dtype)
    out = _layout.channels_first(base) if channels_last else base
    # the innermost dimensions that lie in the input's memory as in the output's are one run
    run, step = 1, 0
    for size, stride in zip(reversed(moved.shape), reversed(moved.strides), strict=True):
        if size != 1:
            if run == 1:
                step = stride
            elif stride != step * run:
                break
            run *= size
    n_vector = run - run % group if step == ints.itemsize else 0
    return np.ascontiguousarray(moved).reshape(-1), out, base.reshape(-1), run, n_vector


def _computed(
    name: str, x: QTensor, scale: float, zero_point: int, alpha: float = 0.0, keep_format: bool = True
) -> QTensor:
    """Apply the function `name` of _kernels/unary.pyx."""
    dtype = x._dtype
    flat, out, flat_out, run, n_vector = arrange(x._ints, keep_format)
    threads = _threads.threads_for(flat.size, _GRAIN)
    arguments = (x._scale, x._zero_point, scale, zero_point, dtype.qmin, dtype.qmax, alpha)
    if dtype is qint32:
        kernel = kernels.typed("unary", "compute", dtype.ctype)
        kernel(getattr(kernels.unary, name), flat, flat_out, *arguments, run, n_vector, threads)
    else:
        vector, scalar = _tables(kernels.level, name, dtype, *arguments)
        if dtype is qint8:
            flat, flat_out = flat.view(np.uint8), flat_out.view(np.uint8)
        kernels.unary.lookup(flat, flat_out, vector, scalar, run, n_vector, threads)
    return QTensor(out, dtype, scale, zero_point)


@functools.lru_cache(maxsize=256)
def _tables(level: str, name: str, dtype: DType, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of each of the 256 bytes, as a vector element and as another."""
    every = np.arange(256, dtype=np.uint8)
    vector, scalar = np.empty(256, np.uint8), np.empty(256, np.uint8)
    kernel = kernels.typed("unary", "compute", dtype.ctype)
    for table, n_vector in ((vector, 256), (scalar, 0)):
        function = getattr(kernels.unary, name)
        kernel(function, every.view(dtype.numpy), table.view(dtype.numpy), *arguments, 256, n_vector, 1)
    return vector, scalar
