"""Any function of one number, for 8-bit tensors: unary, and silu, gelu, mish and others made with it.

The results for the 256 integers are worked out once, by the function itself, and then looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _checks
from .._dispatch import planned
from .._form import Form
from ..tensor import DType, QTensor, qint8, quantize_per_tensor, quint8
from ._unary import Plan, run, tabled

_DTYPES = (quint8, qint8)
_MOST = float(np.finfo(np.float32).max)


def unary(input: QTensor, f: Callable[[float], float], scale: Any, zero_point: Any) -> QTensor:
    """Compute any function of one number, element by element.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8 or qint8, quantized per tensor.
    f : callable
        Takes a Python float and returns a number, always the same one for the same float. It is called once for each
        of the 256 values that an element can have; what it returns is kept for the last calls with the same `f`,
        quantization parameters and memory order. So pass the same object again, not a new lambda each time.
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
        If `input` is not such a tensor, the quantization parameters are out of range, or `f` cannot be called, raises
        an exception or returns something else than a number, or NaN, for one of the 256 values.

    Notes
    -----
    ``quantize(f(dequantize(input)))``, with f in float64 and its result rounded to float32: exact. torch has nothing
    like it.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([8, 10, 12, 14], np.uint8), 0.5, 10)
    >>> quantnn.functional.unary(x, math.cosh, 0.125, 0).dequantize()
    array([1.5 , 1.  , 1.5 , 3.75], dtype=float32)
    """
    return _applied("unary", input, f, scale, zero_point)


def silu(input: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Compute ``x * sigmoid(x)``, also known as swish.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8 or qint8, quantized per tensor.
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
    ``quantize(silu(dequantize(input)))``, computed in float64 and rounded to float32. torch has it for floats only.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.silu(x, 0.0625, 10).int_repr()
    array([ 8,  6, 10, 73], dtype=uint8)
    """
    return _applied("silu", input, _silu, scale, zero_point)


def gelu(input: QTensor, scale: Any, zero_point: Any, approximate: str = "none") -> QTensor:
    """Compute ``x * P(X <= x)`` with X of the standard normal distribution.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8 or qint8, quantized per tensor.
    scale : float
        Of the result.
    zero_point : int
        Of the result.
    approximate : str
        'none', or 'tanh' for ``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``.

    Returns
    -------
    QTensor
        With the dtype and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, the quantization parameters are out of range, or `approximate` is another
        word.

    Notes
    -----
    ``quantize(gelu(dequantize(input)))``, computed in float64 and rounded to float32. torch has it for floats only.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.gelu(x, 0.0625, 10).int_repr()
    array([10,  7, 10, 74], dtype=uint8)
    """
    if not isinstance(approximate, str):
        raise TypeError(f"gelu: approximate must be 'none' or 'tanh'; got {_checks.kind(approximate)}")
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh'; got {approximate!r}")
    return _applied("gelu", input, _gelu if approximate == "none" else _gelu_tanh, scale, zero_point)


def mish(input: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Compute ``x * tanh(log(1 + exp(x)))``.

    Parameters, result and errors are those of `silu`.

    Notes
    -----
    ``quantize(mish(dequantize(input)))``, computed in float64 and rounded to float32. torch has it for floats only.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.mish(x, 0.0625, 10).int_repr()
    array([ 8,  5, 10, 74], dtype=uint8)
    """
    return _applied("mish", input, _mish, scale, zero_point)


def softplus(input: QTensor, scale: Any, zero_point: Any, beta: Any = 1.0, threshold: Any = 20.0) -> QTensor:
    """Compute ``log(1 + exp(beta * x)) / beta``.

    Parameters
    ----------
    input : QTensor
        Any shape; quint8 or qint8, quantized per tensor.
    scale : float
        Of the result.
    zero_point : int
        Of the result.
    beta : float
        Not 0.
    threshold : float
        Where ``beta * x`` is above it, the result is x.

    Returns
    -------
    QTensor
        With the dtype and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        If `input` is not such a tensor, the quantization parameters are out of range, or `beta` or `threshold` is not
        such a number.

    Notes
    -----
    ``quantize(softplus(dequantize(input)))``, computed in float64 and rounded to float32. torch has it for floats
    only.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.functional.softplus(x, 0.0625, 0).int_repr()
    array([ 1,  5, 11, 64], dtype=uint8)
    """
    beta, threshold = _checks.finite("softplus", "beta", beta), _checks.finite("softplus", "threshold", threshold)
    if abs(beta) < 1e-30:
        raise ValueError(f"softplus: beta must not be 0; got {beta}")
    return _applied("softplus", input, _softplus, scale, zero_point, beta, threshold)


def _sigmoid(x: float) -> float:
    """Without overflow for large negative x."""
    if x < 0.0:
        e = math.exp(x)
        return e / (1.0 + e)
    return 1.0 / (1.0 + math.exp(-x))


def _silu(x: float) -> float:
    return x * _sigmoid(x)


def _gelu(x: float) -> float:
    return 0.5 * x * math.erfc(-x * math.sqrt(0.5))


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _mish(x: float) -> float:
    return x * math.tanh(_softplus(x, 1.0, math.inf))


def _softplus(x: float, beta: float, threshold: float) -> float:
    if beta * x > threshold:
        return x
    return (max(beta * x, 0.0) + math.log1p(math.exp(-abs(beta * x)))) / beta


def _applied(
    op: str, input: Any, f: Callable[..., float], scale: Any, zero_point: Any, *parameters: float
) -> QTensor:  # fmt: skip
    dtype = _checks.qtensor(op, "input", input, _DTYPES)._dtype
    scale, zero_point = _checks.qparams(op, scale, zero_point, dtype)
    try:
        hash(f)
    except Exception as e:
        raise TypeError(f"{op}: f must be a function of a float; got {_checks.kind(f)}") from e
    p = _plan(op, f, parameters, input._form or input._formed(), input._scale, input._zero_point, scale, zero_point)
    return run(p, input, scale, zero_point)


@planned
def _plan(
    op: str, f: Callable[..., float], parameters: tuple[float, ...], x: Form, x_scale: float, x_zero_point: int,
    scale: float, zero_point: int,
) -> Plan:  # fmt: skip
    return tabled(x, _table(op, f, parameters, x.dtype, x_scale, x_zero_point, scale, zero_point))


@planned
def _table(
    op: str, f: Callable[..., float], parameters: tuple[float, ...], dtype: DType, x_scale: float, x_zero_point: int,
    scale: float, zero_point: int,
) -> np.ndarray:  # fmt: skip
    """What becomes of each of the 256 bytes."""
    if not callable(f):
        raise TypeError(f"{op}: f must be a function of a float; got {_checks.kind(f)}")
    every = np.arange(256, dtype=np.uint8).view(dtype.numpy)
    results = np.empty(256, np.float32)
    for i, x in enumerate(QTensor(every, dtype, x_scale, x_zero_point).dequantize().tolist()):
        try:
            y = f(x, *parameters)
        except Exception as e:
            raise ValueError(f"{op}: f must be defined for every value of input; got {type(e).__name__} for {x}") from e
        y = _checks.number(op, "what f returns", y)
        if math.isnan(y):
            raise ValueError(f"{op}: f must return a number for every value of input; got NaN for {x}")
        results[i] = min(max(y, -_MOST), _MOST)
    table: np.ndarray = quantize_per_tensor(results, scale, zero_point, dtype)._ints.view(np.uint8)
    return table
