"""Batch, layer, group and instance normalization: ``torch.ops.quantized.batch_norm2d`` and the like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from ..tensor import QTensor, qint8, qint32, quint8

_DTYPES = (quint8, qint8, qint32)
_GRAIN = 1 << 14  # elements for each thread
_ROW = 512  # elements that a kernel's inner loop should have at least


def check_eps(op: str, eps: Any) -> float:
    """`eps` as a finite float that is not negative."""
    value = _checks.number(op, "eps", eps)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{op}: eps must be a finite number, at least 0; got {value}")
    return value


def _batch_norm(
    op: str,
    ranks: tuple[int, ...],
    relu: bool,
    qx: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    eps: Any,
    output_scale: Any,
    output_zero_point: Any,
) -> QTensor:
    x = _checks.qtensor(op, "qx", qx, _DTYPES)
    if x.ndim not in ranks:
        accepted = " or ".join(map(str, ranks))
        raise ValueError(f"{op}: qx must have {accepted} dimensions, (N, C, ...); got shape {tuple(x.shape)}")
    dtype = x._dtype
    channels = (x.shape[1],)
    arrays = []
    for name, value in (("weight", weight), ("bias", bias), ("mean", mean), ("var", var)):
        if value is None:
            raise ValueError(f"{op}: {name} must be a float32 array of shape {channels}; got None")
        arrays.append(_checks.float_array(op, name, value, channels))
    eps = check_eps(op, eps)
    scale, zero_point = _checks.qparams(op, output_scale, output_zero_point, dtype)
    # several pixels of few channels are one row to the kernel
    row = channels[0] * (1 if dtype is qint32 else max(1, _ROW // max(1, channels[0])))
    alpha, beta = np.empty(row, np.float32), np.empty(row, np.float32)
    kernels.normalization.batch_norm_parameters(*arrays, eps, x._scale, scale, alpha, beta)

    ints = x._ints if x.ndim == 2 else _layout.channels_last(x._ints)
    ints = np.ascontiguousarray(ints)
    out = np.empty(ints.shape, dtype.numpy)
    if out.size:
        kernel = kernels.typed("normalization", "batch_norm", dtype.ctype)
        kernel(
            ints.reshape(-1),
            out.reshape(-1),
            alpha,
            beta,
            x._zero_point,
            zero_point,
            max(dtype.qmin, zero_point) if relu else dtype.qmin,
            dtype.qmax,
            _threads.threads_for(out.size, _GRAIN),
        )
    if x.ndim == 3:
        out = np.ascontiguousarray(_layout.channels_first(out))
    elif x.ndim > 3:
        out = _layout.channels_first(out)
    return QTensor(out, dtype, scale, zero_point)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm", (2, 3, 4, 5), False, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm_relu", (2, 3, 4, 5), True, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm1d", (2, 3), False, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm1d_relu", (2, 3), True, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm2d", (4,), False, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm2d_relu", (4,), True, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm3d", (5,), False, *args)


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
    args = (qx, weight, bias, mean, var, eps, output_scale, output_zero_point)
    return _batch_norm("batch_norm3d_relu", (5,), True, *args)


def check_normalized_shape(op: str, shape: Any) -> tuple[int, ...]:
    """`normalized_shape` as a tuple of at least one dimension."""
    dims = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not dims:
        raise ValueError(f"{op}: normalized_shape must have at least one dimension; got {shape}")
    return tuple(_checks.integer(op, "normalized_shape", n, 0) for n in dims)


def _affine(op: str, weight: Any, bias: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """`weight` and `bias` as flat float32 arrays; 1 and 0 where they are missing."""
    if weight is None:
        weight = np.ones(shape, np.float32)
    if bias is None:
        bias = np.zeros(shape, np.float32)
    weight = _checks.float_array(op, "weight", weight, shape)
    bias = _checks.float_array(op, "bias", bias, shape)
    return weight.reshape(-1), bias.reshape(-1)


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
    op = "layer_norm"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    shape = check_normalized_shape(op, normalized_shape)
    if tuple(x.shape[-len(shape) :]) != shape:
        raise ValueError(f"{op}: input must have a shape that ends in normalized_shape, {shape}; got {tuple(x.shape)}")
    dtype = x._dtype
    weight, bias = _affine(op, weight, bias, shape)
    eps = check_eps(op, eps)
    scale, zero_point = _checks.qparams(op, output_scale, output_zero_point, dtype)
    ints = np.ascontiguousarray(x._ints)
    out = np.empty(ints.shape, dtype.numpy)
    if out.size:
        kernel = kernels.typed("normalization", "layer_norm", dtype.ctype)
        kernel(
            ints.reshape(-1, weight.size),
            out.reshape(-1, weight.size),
            weight,
            bias,
            x._scale,
            x._zero_point,
            eps,
            _inverse(scale),
            zero_point,
            dtype.qmin,
            dtype.qmax,
            _threads.threads_for(out.size, _GRAIN),
        )
    return QTensor(out, dtype, scale, zero_point)


def _inverse(scale: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(1) / np.float32(scale)


def _group_norm(
    op: str, x: QTensor, groups: int, weight: Any, bias: Any, eps: Any, output_scale: Any, output_zero_point: Any
) -> QTensor:
    dtype = x._dtype
    n, channels = x.shape[:2]
    weighted = weight is not None
    weight, bias = _affine(op, weight, bias, (channels,))
    eps = check_eps(op, eps)
    scale, zero_point = _checks.qparams(op, output_scale, output_zero_point, dtype)
    common = (
        x._scale,
        x._zero_point,
        eps,
        _inverse(scale),
        zero_point,
        dtype.qmin,
        dtype.qmax,
        _threads.threads_for(x._ints.size, _GRAIN),
    )
    if x.ndim == 4 and _layout.is_channels_last(x._ints):
        ints = _layout.channels_last(x._ints)
        out = np.empty(ints.shape, dtype.numpy)
        if out.size:
            # which channels torch's vector loops reach depends on the number of pixels
            pixels, run = out.shape[1] * out.shape[2], channels // groups
            if pixels >= 512 or run % 32 == 0:
                run = channels
            vectors = run // 32 * 32
            if vectors == 0:
                run = channels
            row = channels
            if run == channels and vectors in (0, channels) and dtype is not qint32:
                # several pixels of few channels are one row to the kernel
                run = row = channels * max(1, _ROW // channels)
                vectors = row if vectors else 0
            parts = -(-common[-1] // n)
            kernels.typed("normalization", "group_norm_last", dtype.ctype)(
                ints.reshape(n, pixels, channels),
                out.reshape(n, pixels, channels),
                weight,
                bias,
                np.empty((n, parts, 3, channels), np.int64),
                np.empty((n, row), np.float32),
                np.empty((n, row), np.float32),
                weighted,
                groups,
                run,
                vectors,
                *common,
            )
        return QTensor(_layout.channels_first(out), dtype, scale, zero_point)
    ints = np.ascontiguousarray(x._ints)
    out = np.empty(ints.shape, dtype.numpy)
    if out.size:
        kernels.typed("normalization", "group_norm", dtype.ctype)(
            ints.reshape(n, channels, -1), out.reshape(n, channels, -1), weight, bias, groups, *common
        )
    return QTensor(out, dtype, scale, zero_point)


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
    op = "group_norm"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    if x.ndim < 3:
        raise ValueError(f"{op}: input must have at least 3 dimensions, (N, C, ...); got shape {tuple(x.shape)}")
    groups = _checks.integer(op, "num_groups", num_groups, 1)
    if x.shape[1] % groups:
        raise ValueError(f"{op}: num_groups must divide the {x.shape[1]} channels of input; got {groups}")
    return _group_norm(op, x, groups, weight, bias, eps, output_scale, output_zero_point)


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
    op = "instance_norm"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    if x.ndim < 3:
        raise ValueError(f"{op}: input must have at least 3 dimensions, (N, C, ...); got shape {tuple(x.shape)}")
    return _group_norm(op, x, max(1, x.shape[1]), weight, bias, eps, output_scale, output_zero_point)
