"""Operators of two tensors or of a tensor and a number that write their result into a given tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _checks
from ..tensor import QTensor, qint8, qint32, quint8
from . import _binary as plain

_DTYPES = (quint8, qint8, qint32)


def _target(op: str, out: Any) -> QTensor:
    return _checks.qtensor(op, "out", out, _DTYPES)


def _written(op: str, out: QTensor, y: QTensor) -> QTensor:
    """`out` with the integers, scale and zero point of `y`."""
    if (out._dtype, out.shape) != (y._dtype, y.shape):
        raise ValueError(f"{op}: out must be {y._dtype.name} of shape {y.shape}; got {_checks.kind(out)}")
    out._assign(op, out._ints, y._ints)
    out._scale, out._zero_point = y._scale, y._zero_point
    return out


def add_out(qa: QTensor, qb: QTensor, out: QTensor) -> QTensor:
    """`add` into a tensor that is there, with its scale and zero point.

    Parameters
    ----------
    qa, qb : QTensor
        As for `add`.
    out : QTensor
        With the dtype and shape of the result, writable; any strides.

    Returns
    -------
    QTensor
        `out`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.add_out``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([1, 2], np.uint8), 0.5, 0)
    >>> out = quantnn.make_per_tensor_quantized_tensor(np.zeros(2, np.uint8), 0.25, 10)
    >>> quantnn.ops.add_out(a, a, out).int_repr()
    array([14, 18], dtype=uint8)
    """
    return _combined("add", qa, qb, out)


def add_relu_out(qa: QTensor, qb: QTensor, out: QTensor) -> QTensor:
    """`add_out` followed by relu (``torch.ops.quantized.add_relu_out``)."""
    return _combined("add_relu", qa, qb, out)


def mul_out(qa: QTensor, qb: QTensor, out: QTensor) -> QTensor:
    """`mul` into a tensor that is there, as `add_out` (``torch.ops.quantized.mul_out``)."""
    return _combined("mul", qa, qb, out)


def mul_relu_out(qa: QTensor, qb: QTensor, out: QTensor) -> QTensor:
    """`mul_out` followed by relu (``torch.ops.quantized.mul_relu_out``)."""
    return _combined("mul_relu", qa, qb, out)


def _combined(name: str, qa: Any, qb: Any, out: Any) -> QTensor:
    op = f"{name}_out"
    _target(op, out)
    return _written(op, out, plain.combined(name, qa, qb, out._scale, out._zero_point))


def add_scalar_out(qa: QTensor, b: Any, out: QTensor) -> QTensor:
    """`add_scalar` into a tensor that is there, whose scale and zero point become those of the result.

    Parameters
    ----------
    qa : QTensor
        As for `add_scalar`.
    b : float
        What is added.
    out : QTensor
        With the dtype and shape of `qa`, writable; any strides.

    Returns
    -------
    QTensor
        `out`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.add_scalar_out``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([1, 2], np.uint8), 0.5, 10)
    >>> out = a.clone()
    >>> quantnn.ops.add_scalar_out(a, 2.0, out).q_zero_point()
    6
    """
    return _with_number(plain.add_scalar, qa, b, out)


def add_scalar_relu_out(qa: QTensor, b: Any, out: QTensor) -> QTensor:
    """`add_scalar_out` followed by relu (``torch.ops.quantized.add_scalar_relu_out``)."""
    return _with_number(plain.add_scalar_relu, qa, b, out)


def mul_scalar_out(qa: QTensor, b: Any, out: QTensor) -> QTensor:
    """`mul_scalar` into a tensor that is there, as `add_scalar_out` (``torch.ops.quantized.mul_scalar_out``)."""
    return _with_number(plain.mul_scalar, qa, b, out)


def mul_scalar_relu_out(qa: QTensor, b: Any, out: QTensor) -> QTensor:
    """`mul_scalar_out` followed by relu (``torch.ops.quantized.mul_scalar_relu_out``)."""
    return _with_number(plain.mul_scalar_relu, qa, b, out)


def _with_number(operator: Callable[[QTensor, Any], QTensor], qa: Any, b: Any, out: Any) -> QTensor:
    op = f"{operator.__name__}_out"
    return _written(op, _target(op, out), operator(qa, b))


def cat_out(qx: Sequence[QTensor], dim: int, out: QTensor) -> QTensor:
    """`cat` into a tensor that is there, with its scale and zero point.

    Parameters
    ----------
    qx, dim
        As for `cat`.
    out : QTensor
        With the dtype and shape of the result, writable; any strides.

    Returns
    -------
    QTensor
        `out`.

    Raises
    ------
    TypeError, ValueError, IndexError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.cat_out``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([1, 2], np.uint8), 0.5, 0)
    >>> out = quantnn.make_per_tensor_quantized_tensor(np.zeros(4, np.uint8), 0.25, 10)
    >>> quantnn.ops.cat_out([a, a], 0, out).int_repr()
    array([12, 14, 12, 14], dtype=uint8)
    """
    return _joined("cat", qx, dim, out)


def cat_relu_out(qx: Sequence[QTensor], dim: int, out: QTensor) -> QTensor:
    """`cat_out` followed by relu (``torch.ops.quantized.cat_relu_out``)."""
    return _joined("cat_relu", qx, dim, out)


def _joined(name: str, qx: Any, dim: Any, out: Any) -> QTensor:
    op = f"{name}_out"
    _target(op, out)
    return _written(op, out, plain.run_cat(name, qx, dim, out._scale, out._zero_point))
