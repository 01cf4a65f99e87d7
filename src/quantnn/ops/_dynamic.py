"""Dynamic quantization: torch.ops.quantized.linear_dynamic, its float16 counterpart, conv_dynamic and their packing.

Activations come and go as float32 arrays; inside a call they are quantized by their own range.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from .._form import channels_last
from ..tensor import _float_input, _quantize, quint8
from ._conv import PackedConv, run_conv
from ._conv_transpose import PackedConvTranspose, run_conv_transpose
from ._linear import WEIGHTS, PackedLinear
from ._packing import SIZES

# multiply-adds of floats that are worth a thread of their own
_GRAIN_FP16 = 1 << 20


class PackedLinearFp16:
    """The packed float16 weight and the bias of a linear layer: what `linear_prepack_fp16` makes.

    Immutable, and bound to the instruction-set level that packed it. It pickles as its weight and bias.
    """

    __slots__ = ("_bias", "_kernel", "in_features", "out_features")

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None = None, op: str = "linear_prepack_fp16") -> None:
        w = _checks.float_array(op, "weight", weight)
        if w.ndim != 2:
            raise ValueError(f"{op}: weight must have 2 dimensions (N, K); got shape {w.shape}")
        self.out_features, self.in_features = w.shape
        b = None if bias is None else _checks.float_array(op, "bias", bias, (self.out_features,))
        self._bias = None if b is None else b.copy()
        self._kernel = kernels.dynamic.Halves(w, b)

    def unpack(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The weight (N, K), rounded to float16, as float32, and the bias (N) or None."""
        halves = np.empty((self.out_features, self.in_features), np.uint16)
        self._kernel.unpack(halves)
        return halves.view(np.float16).astype(np.float32), None if self._bias is None else self._bias.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedLinearFp16, self.unpack()


def linear_prepack_fp16(W: np.ndarray, B: np.ndarray | None = None) -> PackedLinearFp16:
    """Pack a weight in float16 and a bias for `linear_dynamic_fp16`.

    Parameters
    ----------
    W : numpy.ndarray
        float32, shape (N, K). Values beyond float16 become its greatest or least, NaN its least.
    B : numpy.ndarray, optional
        float32, shape (N,).

    Returns
    -------
    PackedLinearFp16

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.linear_prepack_fp16``; `W` is left as it is, where torch writes the clipped values into it.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> packed = quantnn.ops.linear_prepack_fp16(np.ones((2, 3), np.float32))
    >>> packed.out_features, packed.in_features
    (2, 3)
    """
    return PackedLinearFp16(W, B)


def linear_unpack_fp16(W_prepack: PackedLinearFp16) -> tuple[np.ndarray, np.ndarray | None]:
    """The weight, float32 values of float16, and the bias (``torch.ops.quantized.linear_unpack_fp16``).

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> quantnn.ops.linear_unpack_fp16(quantnn.ops.linear_prepack_fp16(np.float32([[0.1]])))
    (array([[0.09997559]], dtype=float32), None)
    """
    _check_packed("linear_unpack_fp16", W_prepack, PackedLinearFp16)
    return W_prepack.unpack()


def _check_packed(op: str, packed: Any, kind: type) -> None:
    if type(packed) is not kind:
        maker = "linear_prepack" if kind is PackedLinear else "linear_prepack_fp16"
        raise TypeError(f"{op}: W_prepack must be what {maker} returns; got {_checks.kind(packed)}")


def linear_dynamic(X: np.ndarray, W_prepack: PackedLinear, reduce_range: bool = False) -> np.ndarray:
    """Linear on floats, which are quantized by their own range.

    Parameters
    ----------
    X : numpy.ndarray
        float32, shape (*, K) with at least two dimensions; finite.
    W_prepack : PackedLinear
        From `linear_prepack`.
    reduce_range : bool
        Quantize to seven bits instead of eight.

    Returns
    -------
    numpy.ndarray
        float32, shape (*, N).

    Raises
    ------
    TypeError
        If `X` is not float32 or `W_prepack` something else.
    ValueError
        If the last dimension of `X` is not K, or not all of it is finite.

    Notes
    -----
    ``y = fma(sum((q - zero_point) * (w - zw)), scale * sw, bias)`` with the quint8 ``q`` of
    `quantnn.quantize_per_tensor_dynamic`. ``torch.ops.quantized.linear_dynamic``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> quantnn.ops.linear_dynamic(np.float32([[0, 127.5, 255]]), quantnn.ops.linear_prepack(w))
    array([[383., 383.]], dtype=float32)
    """
    return run_linear_dynamic("linear_dynamic", PackedLinear, X, W_prepack, reduce_range, False)


def linear_relu_dynamic(X: np.ndarray, W_prepack: PackedLinear, reduce_range: bool = False) -> np.ndarray:
    """`linear_dynamic` followed by relu, in one step (``torch.ops.quantized.linear_relu_dynamic``).

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(-np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> quantnn.ops.linear_relu_dynamic(np.ones((1, 3), np.float32), quantnn.ops.linear_prepack(w))
    array([[0., 0.]], dtype=float32)
    """
    return run_linear_dynamic("linear_relu_dynamic", PackedLinear, X, W_prepack, reduce_range, True)


def linear_dynamic_fp16(X: np.ndarray, W_prepack: PackedLinearFp16) -> np.ndarray:
    """Linear on floats, with a weight in float16.

    Parameters
    ----------
    X : numpy.ndarray
        float32, shape (*, K) with at least two dimensions.
    W_prepack : PackedLinearFp16
        From `linear_prepack_fp16`.

    Returns
    -------
    numpy.ndarray
        float32, shape (*, N).

    Raises
    ------
    TypeError
        If `X` is not float32 or `W_prepack` something else.
    ValueError
        If the last dimension of `X` is not K.

    Notes
    -----
    ``y = x @ w.T + bias`` in float32, summed as torch does where it has AVX-512.
    ``torch.ops.quantized.linear_dynamic_fp16``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> packed = quantnn.ops.linear_prepack_fp16(np.ones((2, 3), np.float32))
    >>> quantnn.ops.linear_dynamic_fp16(np.float32([[1, 2, 3]]), packed)
    array([[6., 6.]], dtype=float32)
    """
    return run_linear_dynamic("linear_dynamic_fp16", PackedLinearFp16, X, W_prepack, False, False)


def linear_relu_dynamic_fp16(X: np.ndarray, W_prepack: PackedLinearFp16) -> np.ndarray:
    """`linear_dynamic_fp16` followed by relu, in one step (``torch.ops.quantized.linear_relu_dynamic_fp16``).

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> packed = quantnn.ops.linear_prepack_fp16(-np.ones((2, 3), np.float32))
    >>> quantnn.ops.linear_relu_dynamic_fp16(np.float32([[1, 2, 3]]), packed)
    array([[0., 0.]], dtype=float32)
    """
    return run_linear_dynamic("linear_relu_dynamic_fp16", PackedLinearFp16, X, W_prepack, False, True)


def linear_dynamic_fp16_unpacked_weight(X: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """`linear_dynamic_fp16` that packs `weight` and `bias` at each call.

    ``torch.ops.quantized.linear_dynamic_fp16_unpacked_weight``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = np.ones((2, 3), np.float32)
    >>> quantnn.ops.linear_dynamic_fp16_unpacked_weight(np.float32([[1, 2, 3]]), w, None)
    array([[6., 6.]], dtype=float32)
    """
    op = "linear_dynamic_fp16_unpacked_weight"
    return run_linear_dynamic(op, PackedLinearFp16, X, PackedLinearFp16(weight, bias, op), False, False)


def linear_with_input_q_dq_qweight_dq_output_fp32(
    X: np.ndarray, X_scale: float, X_zero_point: int, W_prepack: PackedLinear
) -> np.ndarray:
    """`linear_dynamic` with given parameters instead of those of the range of `X`.

    Parameters
    ----------
    X : numpy.ndarray
        float32, shape (*, K) with at least two dimensions.
    X_scale, X_zero_point : float, int
        By which `X` is quantized to quint8.
    W_prepack : PackedLinear
        From `linear_prepack`.

    Returns
    -------
    numpy.ndarray
        float32, shape (*, N).

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((2, 3), np.float32), 1.0, 0, quantnn.qint8)
    >>> packed = quantnn.ops.linear_prepack(w)
    >>> quantnn.ops.linear_with_input_q_dq_qweight_dq_output_fp32(np.float32([[1, 2, 2.4]]), 1.0, 0, packed)
    array([[5., 5.]], dtype=float32)
    """
    return _linear_with("linear_with_input_q_dq_qweight_dq_output_fp32", X, X_scale, X_zero_point, W_prepack, False)


def linear_with_input_q_dq_qweight_dq_relu_output_fp32(
    X: np.ndarray, X_scale: float, X_zero_point: int, W_prepack: PackedLinear
) -> np.ndarray:
    """`linear_with_input_q_dq_qweight_dq_output_fp32` followed by relu, in one step.

    ``torch.ops.quantized.linear_with_input_q_dq_qweight_dq_relu_output_fp32``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 1), np.float32), 1.0, 0, quantnn.qint8)
    >>> packed = quantnn.ops.linear_prepack(w)
    >>> quantnn.ops.linear_with_input_q_dq_qweight_dq_relu_output_fp32(np.float32([[-3], [2]]), 1.0, 5, packed)
    array([[0.],
           [2.]], dtype=float32)
    """
    return _linear_with("linear_with_input_q_dq_qweight_dq_relu_output_fp32", X, X_scale, X_zero_point, W_prepack, True)


def _linear_with(op: str, x: Any, scale: Any, zero_point: Any, packed: Any, relu: bool) -> np.ndarray:
    _check_packed(op, packed, PackedLinear)
    packed.ready()
    scale = _checks.scale(op, "X_scale", scale)
    zero_point = _checks.zero_point(op, "X_zero_point", zero_point, quint8)
    x, rows, out = _rows(op, x, packed)
    threads = _threads_for_rows(rows, packed)
    kernels.dynamic.linear_with(packed._kernel, rows, out, relu, scale, zero_point, threads)
    return out.reshape(*x.shape[:-1], packed.out_features)


def run_linear_dynamic(op: str, kind: type, x: Any, packed: Any, reduce_range: Any, relu: bool) -> np.ndarray:
    """A dynamic linear operator with weights of one kind, under the name that errors give it."""
    if type(packed) is not kind:
        _check_packed(op, packed, kind)
    halves = kind is PackedLinearFp16
    if not halves and packed._waiting is not None:
        packed.ready()
    if reduce_range is not False and reduce_range is not True:
        reduce_range = _checks.flag(op, "reduce_range", reduce_range)
    x, rows, out = _rows(op, x, packed)
    threads = _threads_for_rows(rows, packed)
    if not kernels.dynamic.linear(packed._kernel, halves, rows, out, relu, reduce_range, threads):
        raise ValueError(f"{op}: X must hold finite numbers only; got some that are not")
    return out if x.ndim == 2 else out.reshape(*x.shape[:-1], packed.out_features)


def threads_for(products: int, packed: PackedLinear | PackedLinearFp16) -> int:
    """How many threads to use for so many multiply-adds with packed weights."""
    return _threads.threads_for(products, _GRAIN_FP16 if type(packed) is PackedLinearFp16 else kernels.grain)


def _threads_for_rows(rows: np.ndarray, packed: PackedLinear | PackedLinearFp16) -> int:
    """The same for a linear layer, whose weights all are read anew."""
    weights = packed.out_features * packed.in_features * (2 if type(packed) is PackedLinearFp16 else 1)
    more = weights // WEIGHTS if rows.size else 1
    return max(threads_for(rows.size * packed.out_features, packed), _threads.at_most(max(1, more)))


def _rows(op: str, x: Any, packed: PackedLinear | PackedLinearFp16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The checked input, its rows, and the rows of the output."""
    x = _checks.float_array(op, "X", x)
    k = packed.in_features
    if x.ndim < 2 or x.shape[-1] != k:
        raise ValueError(f"{op}: X must have shape (*, {k}) with at least 2 dimensions; got {x.shape}")
    rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), k)
    return x, rows, _layout.empty((rows.shape[0], packed.out_features), np.float32)


def run_conv_dynamic(op: str, ndim: int, transposed: bool, x: Any, packed: Any, reduce_range: Any) -> np.ndarray:
    """A dynamic convolution under the name that errors give it."""
    if type(packed) is not (PackedConvTranspose if transposed else PackedConv) or packed.ndim != ndim:
        maker = f"{_conv_name(ndim, transposed)}_prepack"
        raise TypeError(f"{op}: packed_weight must be what {maker} returns; got {_checks.kind(packed)}")
    reduce_range = _checks.flag(op, "reduce_range", reduce_range)
    x = _float_input(op, "input", x)
    found = kernels.dynamic.qparams(_layout.flat(x), reduce_range)
    if found is None:
        raise ValueError(f"{op}: input must hold finite numbers only; got some that are not")
    scale, zero_point = found
    q = _quantize(op, x, quint8, scale, zero_point)
    if isinstance(packed, PackedConv):
        y = run_conv(op, ndim, q, packed, scale, zero_point, False)
    else:
        y = run_conv_transpose(op, ndim, q, packed, scale, zero_point)
    return _layout.channels_first(y.permute(channels_last(ndim + 2)).dequantize())


def _conv_name(ndim: int, transposed: bool) -> str:
    return f"conv{'_transpose' if transposed else ''}{ndim}d"


def _conv_doc(ndim: int, transposed: bool) -> str:
    name = _conv_name(ndim, transposed)
    ones = ", ".join("1" * ndim)
    geometry = "1, 0, 0, 1, 1" if transposed else "1, 0, 1, 1"
    what = "Transposed convolution" if transposed else "Convolution"
    return f"""{what} on floats, which are quantized by their own range.

    Parameters
    ----------
    qx : numpy.ndarray
        float32, shape {SIZES[ndim]}, in any memory order; finite.
    packed_weight : Packed{"ConvTranspose" if transposed else "Conv"}
        From `{name}_prepack`.
    reduce_range : bool
        Quantize to seven bits instead of eight.

    Returns
    -------
    numpy.ndarray
        float32, channels-last in memory.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    As in torch, the result is quantized with the scale and zero point of the *input*, so it is cut off at the input's
    range: of little use unless that is wide. ``torch.ops.quantized.{name}_dynamic``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.make_per_tensor_quantized_tensor(np.ones((1, 1, {ones}), np.int8), 0.5, 0)
    >>> x = np.full((1, 1, {ones}), 255, np.float32)
    >>> quantnn.ops.{name}_dynamic(x, quantnn.ops.{name}_prepack(w, None, {geometry})).ravel()
    array([128.], dtype=float32)
    """


def conv1d_dynamic(qx: np.ndarray, packed_weight: PackedConv, reduce_range: bool = False) -> np.ndarray:
    return run_conv_dynamic("conv1d_dynamic", 1, False, qx, packed_weight, reduce_range)


def conv2d_dynamic(qx: np.ndarray, packed_weight: PackedConv, reduce_range: bool = False) -> np.ndarray:
    return run_conv_dynamic("conv2d_dynamic", 2, False, qx, packed_weight, reduce_range)


def conv3d_dynamic(qx: np.ndarray, packed_weight: PackedConv, reduce_range: bool = False) -> np.ndarray:
    return run_conv_dynamic("conv3d_dynamic", 3, False, qx, packed_weight, reduce_range)


def conv_transpose1d_dynamic(
    qx: np.ndarray, packed_weight: PackedConvTranspose, reduce_range: bool = False
) -> np.ndarray:
    return run_conv_dynamic("conv_transpose1d_dynamic", 1, True, qx, packed_weight, reduce_range)


def conv_transpose2d_dynamic(
    qx: np.ndarray, packed_weight: PackedConvTranspose, reduce_range: bool = False
) -> np.ndarray:
    return run_conv_dynamic("conv_transpose2d_dynamic", 2, True, qx, packed_weight, reduce_range)


def conv_transpose3d_dynamic(
    qx: np.ndarray, packed_weight: PackedConvTranspose, reduce_range: bool = False
) -> np.ndarray:
    return run_conv_dynamic("conv_transpose3d_dynamic", 3, True, qx, packed_weight, reduce_range)


for _ndim, _plain, _transposed in (
    (1, conv1d_dynamic, conv_transpose1d_dynamic),
    (2, conv2d_dynamic, conv_transpose2d_dynamic),
    (3, conv3d_dynamic, conv_transpose3d_dynamic),
):
    _plain.__doc__ = _conv_doc(_ndim, False)
    _transposed.__doc__ = _conv_doc(_ndim, True)
