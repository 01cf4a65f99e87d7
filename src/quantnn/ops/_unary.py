"""Operators of one tensor, element by element, that torch has: relu, clamp, sigmoid, elu and others like them."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, laid, lies, walk
from ..tensor import DType, QTensor, formed, qint8, qint32, quint8

DTYPES = (quint8, qint8, qint32)
_GRAIN = 1 << 17

# The scale and zero point that torch gives to results within [0, 1] and [-1, 1].
_UNIT = {quint8: (2.0**-8, 0), qint8: (2.0**-8, -128), qint32: (2.0**-32, 0)}
_SIGNED_UNIT = {quint8: (2.0**-7, 128), qint8: (2.0**-7, 0), qint32: (2.0**-31, 0)}


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
    _checks.qtensor("relu", "input", input, DTYPES)
    return clamped(input, input._zero_point, input._dtype.qmax, input._scale, input._zero_point)


def relu_(input: QTensor) -> QTensor:
    """`relu` in the writable memory of `input`, which is returned."""
    _checks.qtensor("relu", "input", input, DTYPES)
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
    _checks.qtensor("relu6", "input", input, DTYPES)
    most = _bound(6.0, input)
    if inplace is not True and not _checks.flag("relu6", "inplace", inplace):
        return clamped(input, input._zero_point, most, input._scale, input._zero_point)
    _check_writable("relu6", input)
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
    _checks.qtensor("clamp", "input", input, DTYPES)
    if min is None and max is None:
        raise ValueError("clamp: min or max must be a number; got None for both")
    least, most = input._dtype.qmin, input._dtype.qmax
    if min is not None:
        least = _bound(_number("clamp", "min", min), input)
    if max is not None:
        most = _bound(_number("clamp", "max", max), input)
    return clamped(input, least, most, input._scale, input._zero_point)


def hardtanh(input: QTensor, min_val: Any = -1.0, max_val: Any = 1.0, inplace: bool = False) -> QTensor:
    """Limit values to [min_val, max_val].

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    min_val, max_val : float
        The bounds. Where min_val > max_val, every value becomes max_val.
    inplace : bool
        Change the integers of `input` and return it.

    Returns
    -------
    QTensor
        With the scale, zero point and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, a bound is not a number or NaN, or the memory of `input` is read-only and
        `inplace` is true.

    Notes
    -----
    `clamp` under another name: exactly torch's ``torch.ao.nn.quantized.functional.hardtanh``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([0, 9, 10, 90], np.uint8), 0.5, 10)
    >>> quantnn.functional.hardtanh(x).int_repr()
    array([ 8,  9, 10, 12], dtype=uint8)
    """
    _checks.qtensor("hardtanh", "input", input, DTYPES)
    least = _bound(_number("hardtanh", "min_val", min_val), input)
    most = _bound(_number("hardtanh", "max_val", max_val), input)
    if inplace is not True and not _checks.flag("hardtanh", "inplace", inplace):
        return clamped(input, least, most, input._scale, input._zero_point)
    _check_writable("hardtanh", input)
    return clamp_inplace(input, least, most)


def threshold(input: QTensor, threshold: Any, value: Any) -> QTensor:
    """Replace values that are not above a threshold.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    threshold : float
        Values above it stay.
    value : float
        What the others become.

    Returns
    -------
    QTensor
        With the scale, zero point and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, or `threshold` or `value` is not a number or NaN.

    Notes
    -----
    ``x > threshold ? x : value`` in float32: exactly torch's ``torch.ops.quantized.threshold``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([9, 10, 11, 90], np.uint8), 0.5, 10)
    >>> quantnn.functional.threshold(x, 0.0, 2.0).int_repr()
    array([14, 14, 11, 90], dtype=uint8)
    """
    _checks.qtensor("threshold", "input", input, DTYPES)
    a, b = _number("threshold", "threshold", threshold), _number("threshold", "value", value)
    return _computed("THRESHOLD", _KEEP, input, input._scale, input._zero_point, a, b)


def sigmoid(qx: QTensor, output_scale: Any = None, output_zero_point: Any = None) -> QTensor:
    """Compute ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    qx : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    output_scale : float, optional
        Of the result.
    output_zero_point : int, optional
        Of the result. Without both, they are such that the dtype holds [0, 1): 1/256 and 0 for quint8, 1/256 and
        -128 for qint8, 2**-32 and 0 for qint32.

    Returns
    -------
    QTensor
        With the dtype and memory format of `qx`.

    Raises
    ------
    TypeError, ValueError
        If `qx` is not such a tensor, the quantization parameters are out of range, or only one of them is given.

    Notes
    -----
    The exponential is computed in float64, the rest in float32 as in torch: ``torch.ops.quantized.sigmoid``, or
    ``torch.sigmoid`` without quantization parameters, to the integer for 8-bit dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.ops.sigmoid(x).int_repr()
    array([ 12,  69, 128, 251], dtype=uint8)
    >>> quantnn.ops.sigmoid(x, 0.125, 3).int_repr()
    array([ 3,  5,  7, 11], dtype=uint8)
    """
    dtype = _checks.qtensor("sigmoid", "qx", qx, DTYPES)._dtype
    if output_scale is None and output_zero_point is None:
        scale, zero_point = _UNIT[dtype]
    else:
        scale, zero_point = _output_qparams("sigmoid", output_scale, output_zero_point, dtype)
    return _computed("SIGMOID", _KEEP, qx, scale, zero_point)


def tanh(input: QTensor) -> QTensor:
    """Compute the hyperbolic tangent.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.

    Returns
    -------
    QTensor
        With the dtype and memory format of `input`. Its scale and zero point are such that the dtype holds [-1, 1):
        1/128 and 128 for quint8, 1/128 and 0 for qint8, 2**-31 and 0 for qint32.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor.

    Notes
    -----
    Computed in float64 and rounded to float32: torch's ``torch.tanh``, to the integer for 8-bit dtypes. For other
    quantization parameters there is `quantnn.functional.unary`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.ops.tanh(x).int_repr()
    array([  1,  31, 128, 255], dtype=uint8)
    """
    dtype = _checks.qtensor("tanh", "input", input, DTYPES)._dtype
    return _computed("TANH", _KEEP, input, *_SIGNED_UNIT[dtype])


def dropout(self: QTensor, output_scale: Any, output_zero_point: Any, p: Any = 0.5, training: bool = False) -> QTensor:
    """Return the input: dropout does nothing on quantized tensors, in training either.

    Parameters
    ----------
    self : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    output_scale, output_zero_point, p, training
        Have no effect, as in torch.

    Returns
    -------
    QTensor
        `self`.

    Raises
    ------
    TypeError, ValueError
        If `self` is not such a tensor.

    Notes
    -----
    ``torch.ops.quantized.dropout``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([0, 9], np.uint8), 0.5, 10)
    >>> quantnn.ops.dropout(x, 0.5, 10, 0.3, True).int_repr()
    array([0, 9], dtype=uint8)
    """
    return _checks.qtensor("dropout", "self", self, DTYPES)


def hardsigmoid(input: QTensor, inplace: bool = False) -> QTensor:
    """Compute ``min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    inplace : bool
        Change the integers, scale and zero point of `input` and return it.

    Returns
    -------
    QTensor
        With the dtype and memory format of `input`. Its scale and zero point are such that the dtype holds [0, 1):
        1/256 and 0 for quint8, 1/256 and -128 for qint8, 2**-32 and 0 for qint32.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, or its memory is read-only and `inplace` is true.

    Notes
    -----
    Computed in float32 on dequantized values: exactly torch's
    ``torch.ao.nn.quantized.functional.hardsigmoid``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.hardsigmoid(x).int_repr()
    array([  0,  85, 128, 255], dtype=uint8)
    """
    dtype = _checks.qtensor("hardsigmoid", "input", input, DTYPES)._dtype
    result = _computed("HARDSIGMOID", _KEEP, input, *_UNIT[dtype])
    if inplace is not True and not _checks.flag("hardsigmoid", "inplace", inplace):
        return result
    _check_writable("hardsigmoid", input)
    return input.copy_(result)


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
    _checks.qtensor("hardswish", "input", input, DTYPES)
    scale, zero_point = _checks.qparams("hardswish", scale, zero_point, input._dtype)
    return _computed("HARDSWISH", _KEEP, input, scale, zero_point)


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
    _checks.qtensor("elu", "input", input, DTYPES)
    scale, zero_point = _checks.qparams("elu", scale, zero_point, input._dtype)
    return _computed("ELU", _CONTIGUOUS, input, scale, zero_point, _factor("elu", "alpha", alpha), 1.0)


def celu(input: QTensor, scale: Any, zero_point: Any, alpha: Any = 1.0) -> QTensor:
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    scale : float
        Of the result.
    zero_point : int
        Of the result.
    alpha : float
        The limit of the negative side, with its sign turned. Not 0.

    Returns
    -------
    QTensor
        With the dtype of `input`, contiguous.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, the quantization parameters are out of range or `alpha` is 0 or not
        finite.

    Notes
    -----
    The exponential is computed in float64: torch's ``torch.ops.quantized.celu`` to the integer for 8-bit
    dtypes. As there, the result is contiguous in memory even if `input` is channels-last.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.celu(x, 0.125, 10, 0.5).int_repr()
    array([ 6,  7, 10, 42], dtype=uint8)
    """
    _checks.qtensor("celu", "input", input, DTYPES)
    scale, zero_point = _checks.qparams("celu", scale, zero_point, input._dtype)
    alpha = _factor("celu", "alpha", alpha)
    if alpha == 0.0:
        raise ValueError("celu: alpha must not be 0; got 0")
    return _computed("ELU", _CONTIGUOUS, input, scale, zero_point, alpha, 1.0 / alpha)


def leaky_relu(
    qx: QTensor, negative_slope: Any, inplace: bool, output_scale: Any, output_zero_point: Any
) -> QTensor:  # fmt: skip
    """Compute ``x`` where ``x > 0``, else ``negative_slope * x``.

    Parameters
    ----------
    qx : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    negative_slope : float
        The factor of negative values.
    inplace : bool
        Ignored, with a warning, as in torch.
    output_scale : float
        Of the result.
    output_zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype and memory format of `qx`.

    Raises
    ------
    TypeError, ValueError
        If `qx` is not such a tensor, `negative_slope` is not finite or the quantization parameters are out of
        range.

    Notes
    -----
    Computed in float32 on dequantized values: exactly torch's ``torch.ops.quantized.leaky_relu``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([2, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.ops.leaky_relu(x, 0.25, False, 0.25, 10).int_repr()
    array([ 6,  9, 10, 26], dtype=uint8)
    """
    dtype = _checks.qtensor("leaky_relu", "qx", qx, DTYPES)._dtype
    slope = _factor("leaky_relu", "negative_slope", negative_slope)
    if inplace is not False and _checks.flag("leaky_relu", "inplace", inplace):
        warnings.warn("leaky_relu: inplace=True is ignored where the result has a scale", UserWarning, stacklevel=2)
    scale, zero_point = _output_qparams("leaky_relu", output_scale, output_zero_point, dtype)
    return _computed("LEAKY_RELU", _DENSE, qx, scale, zero_point, slope)


def functional_leaky_relu(
    input: QTensor,
    negative_slope: Any = 0.01,
    inplace: bool = False,
    scale: Any = None,
    zero_point: Any = None,
) -> QTensor:
    """Compute ``x`` where ``x > 0``, else ``negative_slope * x``.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    negative_slope : float
        The factor of negative values.
    inplace : bool
        Change the integers of `input` and return it; only where the result has the scale of `input`.
    scale : float, optional
        Of the result.
    zero_point : int, optional
        Of the result. Without both, they are those of `input`.

    Returns
    -------
    QTensor
        With the dtype of `input`; contiguous if `scale` and `zero_point` are given, else with its memory format.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, `negative_slope` is not finite, the quantization parameters are out of
        range, or `inplace` is true and there are quantization parameters or the memory is read-only.

    Notes
    -----
    Computed in float32 on dequantized values: exactly torch's
    ``torch.ao.nn.quantized.functional.leaky_relu``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([2, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.leaky_relu(x, 0.25).int_repr()
    array([ 8, 10, 10, 18], dtype=uint8)
    """
    dtype = _checks.qtensor("leaky_relu", "input", input, DTYPES)._dtype
    slope = _factor("leaky_relu", "negative_slope", negative_slope)
    inplace = inplace is not False and _checks.flag("leaky_relu", "inplace", inplace)
    if scale is not None and zero_point is not None:
        if inplace:
            raise ValueError("leaky_relu: inplace must be False with a scale and zero_point; got True")
        scale, zero_point = _checks.qparams("leaky_relu", scale, zero_point, dtype)
        return _computed("LEAKY_RELU", _CONTIGUOUS, input, scale, zero_point, slope)
    if not inplace:
        return _computed("LEAKY_RELU", _DENSE, input, input._scale, input._zero_point, slope)
    _check_writable("leaky_relu", input)
    input._ints[...] = _computed("LEAKY_RELU", _AS_IT_LIES, input, input._scale, input._zero_point, slope)._ints
    return input


functional_leaky_relu.__name__ = functional_leaky_relu.__qualname__ = "leaky_relu"


def _check_writable(op: str, x: QTensor) -> None:
    if not x._ints.flags.writeable:
        raise ValueError(
            f"{op}: input must be writable with inplace=True; got read-only memory. Call input.clone() first"
        )


def _output_qparams(op: str, scale: Any, zero_point: Any, dtype: DType) -> tuple[float, int]:
    """The quantization parameters that torch's operators call output_scale and output_zero_point."""
    scale = _checks.scale(op, "output_scale", scale)
    return scale, _checks.zero_point(op, "output_zero_point", zero_point, dtype)


def _factor(op: str, name: str, x: Any) -> float:
    value = _checks.number(op, name, x)
    if not abs(value) < 2.0**128:
        raise ValueError(f"{op}: {name} must be finite and within float32's range; got {value}")
    return value


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
    """Plan for a kernel's function, a thread of which should have `grain` elements."""
    order, as_it_lies = walk(x.shape, x.strides, x.numpy.itemsize)
    kernel = getattr(getattr(kernels, family), function)
    threads = _threads_for(x, as_it_lies, grain)
    return Plan(kernel, (), None if as_it_lies else order, laid(x.dtype, x.shape, order), threads)


def _threads_for(x: Form, as_it_lies: bool, grain: int) -> int:
    """At most how many threads: what several have reordered is best read by several."""
    return max(1, x.size // (grain if as_it_lies else min(grain, _layout.GRAIN)))


def tabled(x: Form, table: np.ndarray) -> Plan:
    """Plan for what a table makes of each of the 256 bytes."""
    order, as_it_lies = walk(x.shape, x.strides, 1)
    arguments = (table, table, max(1, x.size), x.size)
    result = laid(x.dtype, x.shape, order)
    threads = _threads_for(x, as_it_lies, _GRAIN)
    return Plan(kernels.unary.lookup, arguments, None if as_it_lies else order, result, threads)


def run(p: Plan, x: QTensor, scale: float, zero_point: int, *arguments: Any) -> QTensor:
    """What the plan's kernel makes of a tensor, with the result's qparams; `arguments` follow those of the plan."""
    kernel, first, order, form, threads = p
    if order is None:
        block, out = x._block, _layout.empty((form.size,), form.numpy)
    else:
        block = out = _layout.ordered(x._ints, order)  # a block of its own: each result takes its element's place
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
        kernels.unary.clamp(block, block, least, most, threads)
    return x


# Memory orders of results. Keep: channels-last if the input suggests it; dense: the same, and the input is brought into
# that order first; contiguous: never channels-last; as it lies: the order of the input, whatever it is.
_KEEP, _DENSE, _CONTIGUOUS, _AS_IT_LIES = "keep", "dense", "contiguous", "as it lies"


def _computed(
    name: str, order: str, x: QTensor, scale: float, zero_point: int, a: float = 0.0, b: float = 0.0
) -> QTensor:  # fmt: skip
    """The function `name` of _kernels/unary.pyx with its numbers a and b."""
    p = _plan(name, order, x._form or x._formed(), x._scale, x._zero_point, scale, zero_point, a, b)
    return run(p, x, scale, zero_point)


@planned
def _plan(
    name: str, memory: str, x: Form, x_scale: float, x_zero_point: int, scale: float, zero_point: int, a: float,
    b: float,
) -> Plan:  # fmt: skip
    dtype, shape, strides, itemsize = x.dtype, x.shape, x.strides, x.numpy.itemsize
    if memory == _AS_IT_LIES:
        order = tuple(sorted(range(len(shape)), key=lambda i: -strides[i]))
        as_it_lies = lies(shape, strides, order, itemsize)
    else:
        order, as_it_lies = walk(shape, strides, itemsize, memory != _CONTIGUOUS)
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
    if memory == _DENSE:
        run, step = max(1, x.size), itemsize
    n_vector = run - run % (64 // itemsize) if step == itemsize else 0
    arguments: tuple[Any, ...] = (x_scale, x_zero_point, scale, zero_point, dtype.qmin, dtype.qmax, a, b)
    kernel: Callable[..., Any]
    if dtype is qint32:
        kernel = functools.partial(kernels.unary.compute, getattr(kernels.unary, name))
    else:
        kernel = kernels.unary.lookup
        arguments = _tables(name, dtype, *arguments)
    result = laid(dtype, shape, order)
    threads = _threads_for(x, as_it_lies, _GRAIN)
    return Plan(kernel, (*arguments, run, n_vector), None if as_it_lies else order, result, threads)


@planned
def _tables(name: str, dtype: DType, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of each of the 256 bytes, as a vector element and as another."""
    every = np.arange(256, dtype=np.uint8)
    vector, scalar = np.empty(256, np.uint8), np.empty(256, np.uint8)
    function = getattr(kernels.unary, name)
    for table, n_vector in ((vector, 256), (scalar, 0)):
        kernels.unary.compute(function, every.view(dtype.numpy), table.view(dtype.numpy), *arguments, 256, n_vector, 1)
    return vector, scalar
