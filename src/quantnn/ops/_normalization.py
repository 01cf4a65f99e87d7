"""Batch, layer, group and instance normalization: ``torch.ops.quantized.batch_norm2d`` and the like."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, channels_last, laid, lies
from ..tensor import QTensor, formed, inverse, per_tensor_affine, qint8, qint32, quint8

_DTYPES = (quint8, qint8, qint32)
_GRAIN = 1 << 14  # elements for each thread
_ROW = 512  # elements that a kernel's inner loop should have at least
_NOTHING = object()


def check_eps(op: str, eps: Any) -> float:
    """`eps` as a finite float that is not negative."""
    value = _checks.number(op, "eps", eps)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{op}: eps must be a finite number, at least 0; got {value}")
    return value


class _Plan(NamedTuple):
    """What a normalization does with inputs of one form and the numbers of one layer."""

    kernel: Callable[..., Any]
    order: tuple[int, ...] | None  # the axes by which the input is read; None: as it lies
    form: Form  # of the result
    copies: bool  # whether it then goes from channels-last to contiguous memory
    vector: tuple[int, ...]  # the shape of weight, bias and the like
    known: list[tuple[Any, ...]]  # the last of these that were found right, and what the kernel gets for them
    arguments: tuple[Any, ...]  # of the kernel
    threads: int  # at most; 0 without elements


def _reading(x: Form, order: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if lies(x.shape, x.strides, order, x.numpy.itemsize) else order


# By the name of the operator: the numbers of dimensions that it takes.
_RANKS = {"batch_norm": (2, 3, 4, 5), "batch_norm1d": (2, 3), "batch_norm2d": (4,), "batch_norm3d": (5,)}


def run_batch_norm(
    op: str, qx: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: Any, scale: Any, zero_point: Any
) -> QTensor:
    """A batch norm by its name."""
    x = qx
    if type(x) is not QTensor or x._qscheme is not per_tensor_affine or x._dtype not in _DTYPES:
        x = _checks.qtensor(op, "qx", qx, _DTYPES)
    if type(eps) is not float:
        eps = check_eps(op, eps)
    if type(scale) is not float or type(zero_point) is not int:
        scale, zero_point = _checks.qparams(op, scale, zero_point, x._dtype)
    p = _batch_plan(op, x._form or x._formed(), x._scale, x._zero_point, eps, scale, zero_point)
    w, b, m, v, vectors = p.known[0]
    if weight is not w or bias is not b or mean is not m or var is not v:
        vectors = _vectors(op, p, weight=weight, bias=bias, mean=mean, var=var)
    return _run(p, x, vectors, scale, zero_point)


def _run(p: _Plan, x: QTensor, vectors: Any, scale: float, zero_point: int) -> QTensor:
    kernel, order, form, copies, _, _, arguments, threads = p
    out = _layout.empty((form.size,), form.numpy)
    if threads:
        block = x._block if order is None else _layout.ordered(x._ints, order)
        kernel(block, out, vectors, *arguments, _threads.at_most(threads))
    y = formed(out, form, scale, zero_point)
    return y.contiguous() if copies else y


def _vectors(op: str, p: _Plan, **given: Any) -> Any:
    """Check weight, bias and the like; those that need no conversion are known the next time."""
    arrays = []
    for name, x in given.items():
        if x is None:
            raise ValueError(f"{op}: {name} must be a float32 array of shape {p.vector}; got None")
        arrays.append(_checks.float_array(op, name, x, p.vector))
    vectors = kernels.normalization.Vectors(*arrays)
    if all(map(operator.is_, arrays, given.values())):
        p.known[0] = (*given.values(), vectors)
    return vectors


@planned
def _batch_plan(
    op: str, x: Form, x_scale: float, x_zero_point: int, eps: float, scale: float, zero_point: int
) -> _Plan:
    dtype, shape = x.dtype, x.shape
    name = op.removesuffix("_relu")
    n = len(shape)
    if n not in _RANKS[name]:
        accepted = " or ".join(map(str, _RANKS[name]))
        raise ValueError(f"{op}: qx must have {accepted} dimensions, (N, C, ...); got shape {shape}")
    check_eps(op, eps)
    _checks.qparams(op, scale, zero_point, dtype)
    channels = shape[1]
    # several pixels of few channels are one row to the kernel
    row = channels * (1 if dtype is qint32 else max(1, _ROW // max(1, channels)))
    order = channels_last(n)
    lo = max(dtype.qmin, zero_point) if op != name else dtype.qmin
    return _Plan(
        kernels.normalization.batch_norm,
        _reading(x, order),
        laid(dtype, shape, order),
        n == 3,
        (channels,),
        [(_NOTHING,) * 5],
        (eps, x_scale, scale, row, x_zero_point, zero_point, lo, dtype.qmax),
        max(1, x.size // _GRAIN) if x.size else 0,
    )


def batch_norm(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """Normalize each channel by given statistics, for an input of any of the ranks 2 to 5.

    Parameters
    ----------
    qx : QTensor
        quint8, qint8 or qint32, shape (N, C, ...).
    weight, bias, mean, var : ndarray
        float32, shape (C,).
    eps : float
        Added to the variance; at least 0.
    output_scale : float
        Scale of the result.
    output_zero_point : int
        Zero point of the result.

    Returns
    -------
    QTensor
        The input's shape and dtype; channels-last in memory if the rank is 4 or 5, else contiguous.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind or dtype.
    ValueError
        If a shape, `eps`, the scale or the zero point is not acceptable.

    Notes
    -----
    ``q = clamp(rne(fma(alpha, q - z, beta)) + output_zero_point)``, where `alpha` and `beta` fold the statistics, the
    affine parameters and both scales. torch's ``torch.ops.quantized.batch_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.quantize_per_tensor(np.array([[1, 2], [3, 6]], np.float32), 0.5, 0, quantnn.quint8)
    >>> one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    >>> quantnn.ops.batch_norm(x, one, zero, zero, one, 0.0, 0.25, 3).int_repr()
    array([[ 7, 11],
           [15, 27]], dtype=uint8)
    """
    return run_batch_norm("batch_norm", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm_relu(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm`, then ReLU. torch's ``torch.ops.quantized.batch_norm_relu``."""
    return run_batch_norm("batch_norm_relu", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm1d(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm` for (N, C) and (N, C, L). torch's ``torch.ops.quantized.batch_norm1d``."""
    return run_batch_norm("batch_norm1d", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm1d_relu(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm1d`, then ReLU. torch's ``torch.ops.quantized.batch_norm1d_relu``."""
    return run_batch_norm("batch_norm1d_relu", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm2d(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm` for (N, C, H, W). torch's ``torch.ops.quantized.batch_norm2d``."""
    return run_batch_norm("batch_norm2d", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm2d_relu(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm2d`, then ReLU. torch's ``torch.ops.quantized.batch_norm2d_relu``."""
    return run_batch_norm("batch_norm2d_relu", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm3d(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm` for (N, C, D, H, W). torch's ``torch.ops.quantized.batch_norm3d``."""
    return run_batch_norm("batch_norm3d", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def batch_norm3d_relu(
    qx: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """`batch_norm3d`, then ReLU. torch's ``torch.ops.quantized.batch_norm3d_relu``."""
    return run_batch_norm("batch_norm3d_relu", qx, weight, bias, mean, var, eps, output_scale, output_zero_point)


def check_normalized_shape(op: str, shape: Any) -> tuple[int, ...]:
    """`normalized_shape` as a tuple of at least one dimension."""
    dims = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not dims:
        raise ValueError(f"{op}: normalized_shape must have at least one dimension; got {shape}")
    return tuple(_checks.integer(op, "normalized_shape", n, 0) for n in dims)


def _affine(op: str, p: _Plan, weight: Any, bias: Any) -> Any:
    """Check a weight and a bias, 1 and 0 where they are missing; the same as `_vectors`."""
    arrays = (
        np.ones(p.vector, np.float32) if weight is None else _checks.float_array(op, "weight", weight, p.vector),
        np.zeros(p.vector, np.float32) if bias is None else _checks.float_array(op, "bias", bias, p.vector),
    )
    vectors = kernels.normalization.Vectors(*arrays)
    if (weight is None or weight is arrays[0]) and (bias is None or bias is arrays[1]):
        p.known[0] = (weight, bias, vectors)
    return vectors


def layer_norm(
    input: QTensor,
    normalized_shape: int | Sequence[int],
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """Normalize over the last dimensions.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, shape (..., *normalized_shape).
    normalized_shape : int or sequence of int
        The last dimensions of the input.
    weight, bias : ndarray or None
        float32, shape `normalized_shape`; missing ones are 1 and 0.
    eps : float
        Added to the variance; at least 0.
    output_scale : float
        Scale of the result.
    output_zero_point : int
        Zero point of the result.

    Returns
    -------
    QTensor
        The input's shape and dtype, contiguous.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind or dtype.
    ValueError
        If a shape, `eps`, the scale or the zero point is not acceptable.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with the mean and the variance of the integers, whose sums are
    exact. torch's ``torch.ops.quantized.layer_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.quantize_per_tensor(np.array([[1, 2, 3, 4]], np.float32), 0.5, 0, quantnn.quint8)
    >>> quantnn.ops.layer_norm(x, [4], None, None, 1e-5, 0.01, 128).int_repr()
    array([[  0,  83, 173, 255]], dtype=uint8)
    """
    shape = check_normalized_shape("layer_norm", normalized_shape)
    return run_layer_norm(input, shape, weight, bias, eps, output_scale, output_zero_point)


def run_layer_norm(
    input: Any, shape: tuple[int, ...], weight: Any, bias: Any, eps: Any, scale: Any, zero_point: Any
) -> QTensor:
    """Layer norm over a checked shape."""
    op = "layer_norm"
    x = input
    if type(x) is not QTensor or x._qscheme is not per_tensor_affine or x._dtype not in _DTYPES:
        x = _checks.qtensor(op, "input", input, _DTYPES)
    if type(eps) is not float:
        eps = check_eps(op, eps)
    if type(scale) is not float or type(zero_point) is not int:
        scale, zero_point = _checks.qparams(op, scale, zero_point, x._dtype)
    p = _layer_plan(x._form or x._formed(), x._scale, x._zero_point, shape, eps, scale, zero_point)
    w, b, vectors = p.known[0]
    if weight is not w or bias is not b:
        vectors = _affine(op, p, weight, bias)
    return _run(p, x, vectors, scale, zero_point)


@planned
def _layer_plan(
    x: Form, x_scale: float, x_zero_point: int, shape: tuple[int, ...], eps: float, scale: float, zero_point: int
) -> _Plan:
    op, dtype = "layer_norm", x.dtype
    if x.shape[-len(shape) :] != shape:
        raise ValueError(f"{op}: input must have a shape that ends in normalized_shape, {shape}; got {x.shape}")
    check_eps(op, eps)
    _checks.qparams(op, scale, zero_point, dtype)
    return _Plan(
        kernels.normalization.layer_norm,
        _reading(x, tuple(range(len(x.shape)))),
        laid(dtype, x.shape),
        False,
        shape,
        [(_NOTHING,) * 3],
        (x_scale, x_zero_point, eps, inverse(scale), zero_point, dtype.qmin, dtype.qmax),
        max(1, x.size // _GRAIN) if x.size else 0,
    )


def run_group_norm(
    op: str, input: Any, groups: int | None, weight: Any, bias: Any, eps: Any, scale: Any, zero_point: Any
) -> QTensor:
    """Group norm under the name that errors give it; without `groups`, each channel is one."""
    x = input
    if type(x) is not QTensor or x._qscheme is not per_tensor_affine or x._dtype not in _DTYPES:
        x = _checks.qtensor(op, "input", input, _DTYPES)
    if groups is not None and type(groups) is not int:
        groups = _checks.integer(op, "num_groups", groups, 1)
    if type(eps) is not float:
        eps = check_eps(op, eps)
    if type(scale) is not float or type(zero_point) is not int:
        scale, zero_point = _checks.qparams(op, scale, zero_point, x._dtype)
    form = x._form or x._formed()
    p = _group_plan(op, form, x._scale, x._zero_point, groups, weight is not None, eps, scale, zero_point)
    w, b, vectors = p.known[0]
    if weight is not w or bias is not b:
        vectors = _affine(op, p, weight, bias)
    return _run(p, x, vectors, scale, zero_point)


@planned
def _group_plan(
    op: str, x: Form, x_scale: float, x_zero_point: int, groups: int | None, weighted: bool, eps: float, scale: float,
    zero_point: int,
) -> _Plan:  # fmt: skip
    dtype, shape = x.dtype, x.shape
    if len(shape) < 3:
        raise ValueError(f"{op}: input must have at least 3 dimensions, (N, C, ...); got shape {shape}")
    channels, pixels = shape[1], math.prod(shape[2:])
    groups = max(1, channels) if groups is None else _checks.integer(op, "num_groups", groups, 1)
    if channels % groups:
        raise ValueError(f"{op}: num_groups must divide the {channels} channels of input; got {groups}")
    check_eps(op, eps)
    _checks.qparams(op, scale, zero_point, dtype)
    order = channels_last(len(shape))
    last = len(shape) == 4 and lies(shape, x.strides, order, x.numpy.itemsize)
    arguments: tuple[Any, ...] = (pixels, groups)
    if last:
        # which channels torch's vector loops reach depends on the number of pixels
        run = channels // groups
        if pixels >= 512 or run % 32 == 0:
            run = channels
        vectors = run // 32 * 32
        if vectors == 0:
            run = channels
        row = channels
        if run == channels and vectors in (0, channels) and dtype is not qint32:
            # several pixels of few channels are one row to the kernel
            run = row = channels * max(1, _ROW // max(1, channels))
            vectors = row if vectors else 0
        arguments += (row, weighted, run, vectors)
    else:
        order = tuple(range(len(shape)))
    return _Plan(
        kernels.normalization.group_norm_last if last else kernels.normalization.group_norm,
        None if last else _reading(x, order),
        laid(dtype, shape, order),
        False,
        (channels,),
        [(_NOTHING,) * 3],
        (*arguments, x_scale, x_zero_point, eps, inverse(scale), zero_point, dtype.qmin, dtype.qmax),
        max(1, x.size // _GRAIN) if x.size else 0,
    )


def group_norm(
    input: QTensor,
    num_groups: int,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """Normalize over groups of channels of each sample.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, shape (N, C, ...), of rank 3 or more.
    num_groups : int
        A divisor of C.
    weight, bias : ndarray or None
        float32, shape (C,); missing ones are 1 and 0.
    eps : float
        Added to the variance; at least 0.
    output_scale : float
        Scale of the result.
    output_zero_point : int
        Zero point of the result.

    Returns
    -------
    QTensor
        The input's shape and dtype; channels-last in memory if the input is a channels-last image, else contiguous.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind or dtype.
    ValueError
        If a shape, `num_groups`, `eps`, the scale or the zero point is not acceptable.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with the mean and the variance of the integers, whose sums are
    exact. torch's ``torch.ops.quantized.group_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.quantize_per_tensor(np.array([[[1, 2], [3, 7]]], np.float32), 0.5, 0, quantnn.quint8)
    >>> quantnn.ops.group_norm(x, 2, None, None, 1e-5, 0.01, 128).int_repr()
    array([[[ 28, 228],
            [ 28, 228]]], dtype=uint8)
    """
    if num_groups is None:
        raise TypeError("group_norm: num_groups must be an int; got None")
    return run_group_norm("group_norm", input, num_groups, weight, bias, eps, output_scale, output_zero_point)


def instance_norm(
    input: QTensor,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    output_scale: float,
    output_zero_point: int,
) -> QTensor:
    """Normalize each channel of each sample: a `group_norm` with as many groups as channels.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, shape (N, C, ...), of rank 3 or more.
    weight, bias : ndarray or None
        float32, shape (C,); missing ones are 1 and 0.
    eps : float
        Added to the variance; at least 0.
    output_scale : float
        Scale of the result.
    output_zero_point : int
        Zero point of the result.

    Returns
    -------
    QTensor
        The input's shape and dtype; channels-last in memory if the input is a channels-last image, else contiguous.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind or dtype.
    ValueError
        If a shape, `eps`, the scale or the zero point is not acceptable.

    Notes
    -----
    See `group_norm`. torch's ``torch.ops.quantized.instance_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.quantize_per_tensor(np.array([[[1, 2], [3, 7]]], np.float32), 0.5, 0, quantnn.quint8)
    >>> quantnn.ops.instance_norm(x, None, None, 1e-5, 0.01, 128).int_repr()
    array([[[ 28, 228],
            [ 28, 228]]], dtype=uint8)
    """
    return run_group_norm("instance_norm", input, None, weight, bias, eps, output_scale, output_zero_point)
