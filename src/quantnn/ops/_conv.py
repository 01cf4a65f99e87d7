"""Convolution: torch.ops.quantized.conv{1,2,3}d and their packing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._dispatch import kernels
from .._form import Form
from ..tensor import QTensor, per_tensor_affine, quint8
from ._linear import PackedLinear
from ._packing import (
    SIZES,
    ConvPlan,
    PackedNd,
    Weight,
    check_image,
    check_weight,
    conv_plan,
    keep_plan,
    own_weights,
    unpacked,
)

# multiply-adds of a depthwise convolution that are worth a thread of their own
_GRAIN_DEPTHWISE = 1 << 19


class PackedConv(PackedNd):
    """The packed weight, bias and geometry of a convolution: what `conv2d_prepack` and its like make.

    Immutable, and bound to the instruction-set level that packed it. It pickles as its weight, bias and geometry.
    """

    __slots__ = ("_depthwise", "_layers")

    _layers: tuple[PackedLinear, ...] | None  # the same weights as a linear layer for each group, once they are needed

    def __init__(
        self,
        ndim: int,
        weight: QTensor,
        bias: np.ndarray | None,
        stride: int | Sequence[int],
        padding: int | Sequence[int],
        dilation: int | Sequence[int],
        groups: int,
        op: str | None = None,
    ) -> None:
        op = op or f"conv{ndim}d_prepack"
        w = check_weight(op, weight, bias, ndim + 2, "(K, C / groups, *kernel)")
        self._keep(op, ndim, w, stride, padding, dilation)
        self.groups = _checks.integer(op, "groups", groups, 1)
        self.out_channels, c = w.ints.shape[:2]
        self.in_channels = c * self.groups
        if w.ints.size == 0:
            raise ValueError(f"{op}: weight must have no dimension of size 0; got shape {w.ints.shape}")
        if self.out_channels % self.groups:
            raise ValueError(
                f"{op}: weight's output channels must be divisible by groups; got {self.out_channels} and {self.groups}"
            )
        self._layers = None
        self._depthwise = self.groups > 1 and c == 1 and self.out_channels == self.groups
        self._pack_or_wait(w)

    def _pack(self, w: Weight) -> None:
        ints = np.ascontiguousarray(np.moveaxis(w.ints, 1, -1)).reshape(-1)
        lead = 3 - self.ndim  # a conv1d is a conv3d with a depth and a height of one
        geometry = (
            (1,) * lead + self.kernel_size, (1,) * lead + self.stride,
            (0,) * lead + self.padding, (1,) * lead + self.dilation,
        )  # fmt: skip
        columns = (w.scale, w.zero_point, w.bias, w.per_channel)
        if self._depthwise:
            self._run = kernels.depthwise.depthwise
            self._kernel = kernels.depthwise.Depthwise(ints, self.groups, *columns, *geometry)
        else:
            self._run = kernels.conv.conv
            wide = self._merge(ints)
            groups, m, n, _, _, c = wide.shape
            self._kernel = kernels.conv.Conv(wide, groups, m * n, m * c, *columns, *geometry)

    def unpack(self) -> tuple[QTensor, np.ndarray | None]:
        """The weight (K, C / groups, *kernel) in channels-last order, scales in float32, and the bias or None."""
        self.ready()
        c = self.in_channels // self.groups
        if self._depthwise:
            ints = np.empty(self.out_channels * math.prod(self.kernel_size), np.int8)
            self._kernel.unpack(ints)
        else:
            wide = np.empty(self._wide(), np.int8)
            self._kernel.packed.unpack(wide)
            ints = own_weights(wide)
        ints = ints.reshape(self.out_channels, *self.kernel_size, c)
        weight = unpacked(np.moveaxis(ints, -1, 1), self._scale, self._zero_point, self._per_channel)
        return weight, self._bias_copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedConv, (self.ndim, *self.unpack(), self.stride, self.padding, self.dilation, self.groups)


def conv_output_size(
    op: str, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:  # fmt: skip
    """The output size of a convolution, each of which must be positive."""
    out = tuple(
        (i + 2 * p - d * (k - 1) - 1) // s + 1
        for i, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"{op}: input must be large enough for one output; got size {tuple(size)} with kernel {tuple(kernel)}, "
            f"stride {tuple(stride)}, padding {tuple(padding)}, dilation {tuple(dilation)}: output size {out}"
        )
    return out


def _plan(op: str, packed: PackedConv, x: Form) -> ConvPlan:
    """Check an input's shape and plan for it."""
    check_image(op, packed, x.shape)
    size = conv_output_size(op, x.shape[2:], packed.kernel_size, packed.stride, packed.padding, packed.dilation)
    outputs = x.shape[0] * math.prod(size) * packed.out_channels
    products = outputs * packed.in_channels // packed.groups * math.prod(packed.kernel_size)
    return conv_plan(packed, x, size, products, _GRAIN_DEPTHWISE if packed._depthwise else kernels.grain)


def run_conv(op: str, ndim: int, x: QTensor, packed: PackedConv, scale: float, zero_point: int, relu: bool) -> QTensor:
    """A convolution with packed weights, under the name that errors give it."""
    if type(x) is not QTensor or x._dtype is not quint8 or x._qscheme is not per_tensor_affine:
        _checks.qtensor(op, "input", x, (quint8,))
    if type(packed) is not PackedConv or packed.ndim != ndim:
        raise TypeError(f"{op}: packed_weight must be what conv{ndim}d_prepack returns; got {_checks.kind(packed)}")
    scale, zero_point = _checks.qparams(op, scale, zero_point, quint8)
    form = x._form or x._formed()
    plan = packed._plans.get(form) or keep_plan(packed._plans, form, _plan(op, packed, form))
    return packed._run_plan(op, plan, "padding", x, scale, zero_point, relu)


def _prepack_doc(ndim: int) -> str:
    return f"""Pack a weight, a bias and a geometry for `conv{ndim}d`.

    Parameters
    ----------
    weight : QTensor
        qint8, shape (K, C / groups, *kernel), per tensor or per channel along axis 0.
    bias : numpy.ndarray or None
        float32, shape (K,).
    stride, padding, dilation : int or sequence of {ndim} ints
        Stride and dilation at least 1, padding at least 0.
    groups : int
        Divides K.

    Returns
    -------
    PackedConv

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.conv{ndim}d_prepack``. As there, the scales are rounded to float32.
    """


def _conv_doc(ndim: int, relu: bool) -> str:
    return f"""Convolution with packed weights{", followed by relu in one step" if relu else ""}.

    Parameters
    ----------
    qx : QTensor
        quint8, shape {SIZES[ndim]}, in any memory order (channels-last needs no copy).
    packed_weight : PackedConv
        From `conv{ndim}d_prepack`.
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
    ``torch.ops.quantized.conv{ndim}d{"_relu" if relu else ""}``, exact also where its depthwise kernels saturate.
    """


def conv1d_prepack(
    weight: QTensor, bias: np.ndarray | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> PackedConv:
    return PackedConv(1, weight, bias, stride, padding, dilation, groups)


def conv2d_prepack(
    weight: QTensor, bias: np.ndarray | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> PackedConv:
    return PackedConv(2, weight, bias, stride, padding, dilation, groups)


def conv3d_prepack(
    weight: QTensor, bias: np.ndarray | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> PackedConv:
    return PackedConv(3, weight, bias, stride, padding, dilation, groups)


def conv1d(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    return run_conv("conv1d", 1, qx, packed_weight, output_scale, output_zero_point, False)


def conv2d(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    return run_conv("conv2d", 2, qx, packed_weight, output_scale, output_zero_point, False)


def conv3d(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    return run_conv("conv3d", 3, qx, packed_weight, output_scale, output_zero_point, False)


def conv1d_relu(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    return run_conv("conv1d_relu", 1, qx, packed_weight, output_scale, output_zero_point, True)


def conv2d_relu(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    return run_conv("conv2d_relu", 2, qx, packed_weight, output_scale, output_zero_point, True)


def conv3d_relu(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    return run_conv("conv3d_relu", 3, qx, packed_weight, output_scale, output_zero_point, True)


for _ndim, _prepack, _plain, _relu in (
    (1, conv1d_prepack, conv1d, conv1d_relu),
    (2, conv2d_prepack, conv2d, conv2d_relu),
    (3, conv3d_prepack, conv3d, conv3d_relu),
):
    _prepack.__doc__ = _prepack_doc(_ndim)
    _plain.__doc__ = _conv_doc(_ndim, False)
    _relu.__doc__ = _conv_doc(_ndim, True)


def conv_unpack(packed_weights: PackedConv) -> tuple[QTensor, np.ndarray | None]:
    """The weight and the bias of a packed convolution (``torch.ops.quantized.conv2d_unpack`` and its like)."""
    if not isinstance(packed_weights, PackedConv):
        raise TypeError(
            f"conv_unpack: packed_weights must be what conv2d_prepack returns; got {_checks.kind(packed_weights)}"
        )
    return packed_weights.unpack()
