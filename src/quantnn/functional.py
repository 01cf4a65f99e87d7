"""Functions on quantized tensors: torch.ao.nn.quantized.functional.

Weights are packed at each call; a module packs them once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _checks, ops
from .ops._conv import PackedConv, run_conv
from .ops._function import gelu as gelu
from .ops._function import mish as mish
from .ops._function import silu as silu
from .ops._function import softplus as softplus
from .ops._function import unary as unary
from .ops._interpolate import interpolate as interpolate
from .ops._interpolate import upsample as upsample
from .ops._interpolate import upsample_bilinear as upsample_bilinear
from .ops._interpolate import upsample_nearest as upsample_nearest
from .ops._linear import PackedLinear, run_linear
from .ops._pool import adaptive_avg_pool2d as adaptive_avg_pool2d
from .ops._pool import adaptive_avg_pool3d as adaptive_avg_pool3d
from .ops._pool import avg_pool2d as avg_pool2d
from .ops._pool import avg_pool3d as avg_pool3d
from .ops._pool import max_pool1d as max_pool1d
from .ops._pool import max_pool2d as max_pool2d
from .ops._unary import celu as celu
from .ops._unary import elu as elu
from .ops._unary import functional_leaky_relu as leaky_relu  # noqa: F401
from .ops._unary import hardsigmoid as hardsigmoid
from .ops._unary import hardswish as hardswish
from .ops._unary import hardtanh as hardtanh
from .ops._unary import threshold as threshold
from .tensor import QTensor, quint8


def linear(
    input: QTensor,
    weight: QTensor,
    bias: np.ndarray | None = None,
    scale: float | None = None,
    zero_point: int | None = None,
) -> QTensor:
    """Linear: ``input @ weight.T + bias``.

    Parameters
    ----------
    input : QTensor
        quint8, shape (*, K) with at least two dimensions.
    weight : QTensor
        qint8, shape (N, K), per tensor or per channel along axis 0.
    bias : numpy.ndarray, optional
        float32, shape (N,).
    scale, zero_point : float, int, optional
        Of the output; those of `input` if not given.

    Returns
    -------
    QTensor
        quint8, shape (*, N).

    Raises
    ------
    TypeError
        If `input` is not a quint8 QTensor, `weight` not a qint8 one or `bias` not float32.
    ValueError
        If a shape or qparam is wrong.

    Notes
    -----
    ``torch.ao.nn.quantized.functional.linear``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 3), np.float32), 0.5, 0, quantnn.quint8)
    >>> w = quantnn.quantize_per_tensor(np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> quantnn.functional.linear(x, w, scale=1.0, zero_point=0).dequantize()
    array([[3., 3.]], dtype=float32)
    """
    _checks.qtensor("linear", "input", input, (quint8,))
    return run_linear(
        "linear",
        input,
        PackedLinear(weight, bias),
        input._scale if scale is None else scale,
        input._zero_point if zero_point is None else zero_point,
        False,
    )


def _conv(
    ndim: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    padding_mode: str, scale: Any, zero_point: Any,
) -> QTensor:  # fmt: skip
    op = f"conv{ndim}d"
    if not isinstance(padding_mode, str):
        raise TypeError(f"{op}: padding_mode must be 'zeros'; got {_checks.kind(padding_mode)}")
    if padding_mode != "zeros":
        raise NotImplementedError(
            f"{op}: padding_mode must be 'zeros'; got {padding_mode!r}. The module Conv{ndim}d has 'reflect'"
        )
    _checks.qtensor(op, "input", input, (quint8,))
    packed = PackedConv(ndim, weight, bias, stride, padding, dilation, groups, op)
    return run_conv(op, ndim, input, packed, scale, zero_point, False)


def conv1d(
    input: QTensor,
    weight: QTensor,
    bias: np.ndarray | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    scale: float = 1.0,
    zero_point: int = 0,
    dtype: Any = quint8,
) -> QTensor:
    """Convolution in one dimension.

    Parameters
    ----------
    input : QTensor
        quint8, shape (N, C, L).
    weight : QTensor
        qint8, shape (K, C / groups, k), per tensor or per channel along axis 0.
    bias : numpy.ndarray or None
        float32, shape (K,).
    stride, padding, dilation : int or tuple of 1 int
        Stride and dilation at least 1, padding at least 0.
    groups : int
        Divides C and K.
    padding_mode : str
        'zeros', which is the zero point.
    scale, zero_point : float, int
        Of the output.
    dtype
        Ignored, as in torch: the output is quint8.

    Returns
    -------
    QTensor
        quint8, shape (N, K, output length).

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ao.nn.quantized.functional.conv1d``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 2, 4), np.float32), 0.5, 0, quantnn.quint8)
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> quantnn.functional.conv1d(x, w, None, padding=1).int_repr()
    array([[[4, 6, 6, 4]]], dtype=uint8)
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups, padding_mode, scale, zero_point)


def conv2d(
    input: QTensor,
    weight: QTensor,
    bias: np.ndarray | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    scale: float = 1.0,
    zero_point: int = 0,
    dtype: Any = quint8,
) -> QTensor:
    """Convolution in two dimensions.

    Parameters
    ----------
    input : QTensor
        quint8, shape (N, C, H, W), in any memory order.
    weight : QTensor
        qint8, shape (K, C / groups, kH, kW), per tensor or per channel along axis 0.
    bias : numpy.ndarray or None
        float32, shape (K,).
    stride, padding, dilation : int or tuple of 2 ints
        Stride and dilation at least 1, padding at least 0.
    groups : int
        Divides C and K.
    padding_mode : str
        'zeros', which is the zero point.
    scale, zero_point : float, int
        Of the output.
    dtype
        Ignored, as in torch: the output is quint8.

    Returns
    -------
    QTensor
        quint8, shape (N, K, output height, output width), channels-last in memory.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ao.nn.quantized.functional.conv2d``, exact also where torch's depthwise kernels saturate.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 2, 3, 3), np.float32), 0.5, 0, quantnn.quint8)
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 2, 3, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> quantnn.functional.conv2d(x, w, None, padding=1).int_repr()
    array([[[[ 8, 12,  8],
             [12, 18, 12],
             [ 8, 12,  8]]]], dtype=uint8)
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups, padding_mode, scale, zero_point)


def conv3d(
    input: QTensor,
    weight: QTensor,
    bias: np.ndarray | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    scale: float = 1.0,
    zero_point: int = 0,
    dtype: Any = quint8,
) -> QTensor:
    """Convolution in three dimensions.

    Parameters
    ----------
    input : QTensor
        quint8, shape (N, C, D, H, W), in any memory order.
    weight : QTensor
        qint8, shape (K, C / groups, kD, kH, kW), per tensor or per channel along axis 0.
    bias : numpy.ndarray or None
        float32, shape (K,).
    stride, padding, dilation : int or tuple of 3 ints
        Stride and dilation at least 1, padding at least 0.
    groups : int
        Divides C and K.
    padding_mode : str
        'zeros', which is the zero point.
    scale, zero_point : float, int
        Of the output.
    dtype
        Ignored, as in torch: the output is quint8.

    Returns
    -------
    QTensor
        quint8, shape (N, K, output depth, height, width), channels-last in memory.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ao.nn.quantized.functional.conv3d``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 1, 2, 2, 2), np.float32), 0.5, 0, quantnn.quint8)
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 1, 2, 2, 2), np.float32), 0.5, 0, quantnn.qint8)
    >>> quantnn.functional.conv3d(x, w, None).int_repr()
    array([[[[[8]]]]], dtype=uint8)
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups, padding_mode, scale, zero_point)


def clamp(input: QTensor, min_: float | None, max_: float | None) -> QTensor:
    """Limit values to [min_, max_].

    Parameters
    ----------
    input : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    min_, max_ : float or None
        The bounds, of which one may be None. If the lower is above the upper, the upper counts.

    Returns
    -------
    QTensor
        With the scale, zero point and memory format of `input`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ao.nn.quantized.functional.clamp``; `quantnn.ops.clamp` under torch's argument names.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([0, 9, 10, 14], np.uint8), 0.5, 10)
    >>> quantnn.functional.clamp(x, 0.0, 1.0).int_repr()
    array([10, 10, 10, 12], dtype=uint8)
    """
    return ops.clamp(input, min_, max_)
