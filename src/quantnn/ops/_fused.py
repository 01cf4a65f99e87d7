"""Operators that torch has for its onednn engine only: linear with leaky relu or tanh, conv2d with an addition.

Their sums are exact integers as everywhere; what follows is float32, and rounded once more at the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from ..tensor import QTensor, quint8
from ._conv import PackedConv, conv_output_size
from ._dynamic import threads_for
from ._linear import PackedLinear

_GRAIN = 1 << 13


def linear_leaky_relu(
    X: QTensor, W_prepack: PackedLinear, Y_scale_i: float, Y_zero_point_i: int, negative_slope: float
) -> QTensor:
    """Linear followed by a leaky relu, rounded once.

    Parameters
    ----------
    X : QTensor
        quint8, shape (*, K) with at least two dimensions.
    W_prepack : PackedLinear
        From `linear_prepack`.
    Y_scale_i, Y_zero_point_i : float, int
        Of the output.
    negative_slope : float
        The factor of negative values.

    Returns
    -------
    QTensor
        quint8, shape (*, N).

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``y = fma(sum, x_scale * w_scale, bias)``, then ``y if y > 0 else y * negative_slope``, quantized; all in float32.
    ``torch.ops.quantized.linear_leaky_relu``, which is there with torch's onednn engine.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> packed = quantnn.ops.linear_prepack(quantnn.quantize_per_tensor(np.float32([[1], [-4]]), 1, 0, quantnn.qint8))
    >>> x = quantnn.quantize_per_tensor(np.float32([[5]]), 1, 0, quantnn.quint8)
    >>> quantnn.ops.linear_leaky_relu(x, packed, 1.0, 10, 0.1).dequantize()
    array([[ 5., -2.]], dtype=float32)
    """
    return run_linear_fused("linear_leaky_relu", "LEAKY_RELU", X, W_prepack, Y_scale_i, Y_zero_point_i, negative_slope)


def linear_tanh(X: QTensor, W_prepack: PackedLinear, Y_scale_i: float, Y_zero_point_i: int) -> QTensor:
    """Linear followed by the hyperbolic tangent, rounded once.

    Parameters
    ----------
    X : QTensor
        quint8, shape (*, K) with at least two dimensions.
    W_prepack : PackedLinear
        From `linear_prepack`.
    Y_scale_i, Y_zero_point_i : float, int
        Of the output.

    Returns
    -------
    QTensor
        quint8, shape (*, N).

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``tanh(fma(sum, x_scale * w_scale, bias))``, quantized. ``torch.ops.quantized.linear_tanh``, which is there with
    torch's onednn engine.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> packed = quantnn.ops.linear_prepack(quantnn.quantize_per_tensor(np.float32([[1], [-4]]), 1, 0, quantnn.qint8))
    >>> x = quantnn.quantize_per_tensor(np.float32([[5]]), 1, 0, quantnn.quint8)
    >>> quantnn.ops.linear_tanh(x, packed, 1 / 128, 128).int_repr()
    array([[255,   0]], dtype=uint8)
    """
    return run_linear_fused("linear_tanh", "TANH", X, W_prepack, Y_scale_i, Y_zero_point_i)


def conv2d_add(
    qx: QTensor, qaccum: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int
) -> QTensor:
    """A convolution in two dimensions and an addition, rounded once.

    Parameters
    ----------
    qx : QTensor
        quint8, shape (N, C, H, W), in any memory order.
    qaccum : QTensor
        quint8, of the shape of the result: what is added.
    packed_weight : PackedConv
        From `conv2d_prepack`.
    output_scale, output_zero_point : float, int
        Of the output.

    Returns
    -------
    QTensor
        quint8, channels-last in memory.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``fma(sum, x_scale * w_scale, bias) + dequantize(qaccum)``, quantized; all in float32.
    ``torch.ops.quantized.conv2d_add``, which is there with torch's onednn engine.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 1, 1, 1), np.float32), 1, 0, quantnn.qint8)
    >>> packed = quantnn.ops.conv2d_prepack(w, None, 1, 0, 1, 1)
    >>> x = quantnn.quantize_per_tensor(np.float32([[[[5, 6]]]]), 1, 0, quantnn.quint8)
    >>> quantnn.ops.conv2d_add(x, x, packed, 2.0, 0).int_repr()
    array([[[[5, 6]]]], dtype=uint8)
    """
    return run_conv2d_add("conv2d_add", "NONE", qx, qaccum, packed_weight, output_scale, output_zero_point)


def conv2d_add_relu(
    qx: QTensor, qaccum: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int
) -> QTensor:
    """`conv2d_add` followed by relu (``torch.ops.quantized.conv2d_add_relu``).

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(-np.ones((1, 1, 1, 1), np.float32), 1, 0, quantnn.qint8)
    >>> packed = quantnn.ops.conv2d_prepack(w, np.float32([1]), 1, 0, 1, 1)
    >>> x = quantnn.quantize_per_tensor(np.float32([[[[5, 6]]]]), 1, 0, quantnn.quint8)
    >>> addend = quantnn.quantize_per_tensor(np.float32([[[[9, 2]]]]), 1, 0, quantnn.quint8)
    >>> quantnn.ops.conv2d_add_relu(x, addend, packed, 1.0, 0).int_repr()
    array([[[[5, 0]]]], dtype=uint8)
    """
    return run_conv2d_add("conv2d_add_relu", "RELU", qx, qaccum, packed_weight, output_scale, output_zero_point)


def run_linear_fused(
    op: str, function: str, x: Any, packed: Any, scale: Any, zero_point: Any, slope: Any = 0.0
) -> QTensor:
    """A linear layer and a function of its float result, under the name that errors give it."""
    _checks.qtensor(op, "input", x, (quint8,))
    if type(packed) is not PackedLinear:
        raise TypeError(f"{op}: W_prepack must be what linear_prepack returns; got {_checks.kind(packed)}")
    scale, zero_point = _checks.qparams(op, scale, zero_point, quint8)
    slope = _checks.number(op, "negative_slope", slope)
    if x.ndim < 2 or x.shape[-1] != packed.in_features:
        raise ValueError(
            f"{op}: input must have shape (*, {packed.in_features}) with at least 2 dimensions; got {x.shape}"
        )
    rows = np.ascontiguousarray(x._ints).reshape(math.prod(x.shape[:-1]), packed.in_features)
    y = _float_linear(x, rows, packed).reshape(*x.shape[:-1], packed.out_features)
    return QTensor(_finish(function, y, None, slope, scale, zero_point), quint8, scale, zero_point)


def run_conv2d_add(op: str, function: str, x: Any, addend: Any, packed: Any, scale: Any, zero_point: Any) -> QTensor:
    """A convolution and an addition, under the name that errors give it."""
    _checks.qtensor(op, "qx", x, (quint8,))
    _checks.qtensor(op, "qaccum", addend, (quint8,))
    if type(packed) is not PackedConv or packed.ndim != 2:
        raise TypeError(f"{op}: packed_weight must be what conv2d_prepack returns; got {_checks.kind(packed)}")
    scale, zero_point = _checks.qparams(op, scale, zero_point, quint8)
    if x.ndim != 4 or x.shape[1] != packed.in_channels:
        raise ValueError(f"{op}: qx must have shape (N, {packed.in_channels}, H, W); got {x.shape}")
    size = conv_output_size(op, x.shape[2:], packed.kernel_size, packed.stride, packed.padding, packed.dilation)
    shape = (x.shape[0], packed.out_channels, *size)
    if addend.shape != shape:
        raise ValueError(f"{op}: qaccum must have the shape of the result, {shape}; got {addend.shape}")
    out = _finish(function, _float_conv2d(x, packed, size), addend, 0.0, scale, zero_point)
    return QTensor(_layout.channels_first(out), quint8, scale, zero_point)


def _float_linear(x: QTensor, rows: np.ndarray, packed: PackedLinear) -> np.ndarray:
    """The float result (M, N) for rows (M, K) of integers quantized as `x` is."""
    packed.ready()
    out = _layout.empty((rows.shape[0], packed.out_features), np.float32)
    threads = threads_for(rows.size * packed.out_features, packed)
    kernels.dynamic.linear_bytes(packed._kernel, rows, out, x._scale, x._zero_point, threads)
    return out


def _float_conv2d(x: QTensor, packed: PackedConv, size: tuple[int, ...]) -> np.ndarray:
    """The float result (N, H, W, K) of a convolution, by a linear layer for each group of what the kernel sees."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = packed.kernel_size, packed.stride, packed.padding, packed.dilation
    image = _layout.channels_last(x._ints)
    if ph or pw:
        image = np.pad(image, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=x._zero_point)
    seen = np.lib.stride_tricks.sliding_window_view(image, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), (1, 2))
    seen = seen[:, ::sh, ::sw, :, ::dh, ::dw].transpose(0, 1, 2, 4, 5, 3)  # N, H, W, kH, kW, C
    pixels, c = math.prod(seen.shape[:3]), packed.in_channels // packed.groups
    parts = []
    for g, layer in enumerate(_layers(packed)):
        taps = np.ascontiguousarray(seen[..., g * c : (g + 1) * c]).reshape(pixels, kh * kw * c)
        parts.append(_float_linear(x, taps, layer))
    out = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
    return out.reshape(x.shape[0], *size, packed.out_channels)


def _layers(packed: PackedConv) -> tuple[PackedLinear, ...]:
    """The linear layer of each group: rows are what the kernel sees, (taps, inputs)."""
    if packed._layers is None:
        weight, bias = packed.unpack()
        k = packed.out_channels // packed.groups
        layers = []
        for at in range(0, packed.out_channels, k):
            w = weight[at : at + k]
            ints = np.ascontiguousarray(np.moveaxis(w._ints, 1, -1)).reshape(k, -1)
            flat = QTensor(ints, w._dtype, w._scale, w._zero_point, w._qscheme)
            layers.append(PackedLinear(flat, None if bias is None else bias[at : at + k]))
        packed._layers = tuple(layers)
    return packed._layers


def _finish(
    function: str, y: np.ndarray, addend: QTensor | None, slope: float, scale: float, zero_point: int
) -> np.ndarray:
    """The float result `y` as integers; `addend` (N, K, H, W) is added to y (N, H, W, K) first."""
    out = _layout.empty(y.shape, np.uint8)
    if not y.size:
        return out
    q = (None, 1.0, 0) if addend is None else (_layout.channels_last(addend._ints), addend._scale, addend._zero_point)
    kernels.fused.finish(
        getattr(kernels.fused, function), y, q[0], out, *q[1:], slope, scale, zero_point,
        _threads.threads_for(y.size, _GRAIN),
    )  # fmt: skip
    return out
