"""Transposed convolution: torch.ops.quantized.conv_transpose{1,2,3}d and their packing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._dispatch import kernels
from .._form import Form
from ..tensor import QTensor, per_tensor_affine, quint8
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


class PackedConvTranspose(PackedNd):
    """The packed weight, bias and geometry of a transposed convolution: what `conv_transpose2d_prepack` makes.

    Immutable, and bound to the instruction-set level that packed it. It pickles as its weight, bias and geometry.
    """

    __slots__ = ("output_padding",)

    def __init__(
        self,
        ndim: int,
        weight: QTensor,
        bias: np.ndarray | None,
        stride: int | Sequence[int],
        padding: int | Sequence[int],
        output_padding: int | Sequence[int],
        dilation: int | Sequence[int],
        groups: int,
        op: str | None = None,
    ) -> None:
        op = op or f"conv_transpose{ndim}d_prepack"
        self.groups = _checks.integer(op, "groups", groups, 1)
        if isinstance(weight, QTensor) and weight.ndim == ndim + 2:  # else check_weight raises
            if 0 in weight.shape:
                raise ValueError(f"{op}: weight must have no dimension of size 0; got shape {weight.shape}")
            if weight.shape[0] % self.groups:
                raise ValueError(
                    f"{op}: weight's input channels must be divisible by groups; "
                    f"got {weight.shape[0]} and {_checks.shown(self.groups)}"
                )
        w = check_weight(op, weight, bias, ndim + 2, "(C, K / groups, *kernel)", 1, self.groups)
        self._keep(op, ndim, w, stride, padding, dilation)
        self.output_padding = _checks.integers(op, "output_padding", output_padding, ndim, 0)
        self.in_channels, n = w.ints.shape[:2]
        self.out_channels = n * self.groups
        self._pack_or_wait(w)

    def _pack(self, w: Weight) -> None:
        self._run = kernels.conv_transpose.conv_transpose
        c, n = self.in_channels // self.groups, self.out_channels // self.groups
        # (groups, inputs, outputs, taps) to (groups, outputs, taps, inputs)
        wide = self._merge(w.ints.reshape(self.groups, c, n, -1).transpose(0, 2, 3, 1))
        lead = 3 - self.ndim  # one dimension is three with a depth and a height of one
        self._kernel = kernels.conv_transpose.ConvTranspose(
            wide.reshape(self.out_channels, *(1,) * lead, *self.kernel_size, -1), wide.shape[0],
            w.scale, w.zero_point, w.bias, w.per_channel,
            (1,) * lead + self.stride, (0,) * lead + self.padding, (1,) * lead + self.dilation,
        )  # fmt: skip

    def unpack(self) -> tuple[QTensor, np.ndarray | None]:
        """The weight (C, K / groups, *kernel) in torch's memory order, scales in float32, and the bias or None."""
        self.ready()
        wide = np.empty(self._wide(), np.int8)
        lead = (1,) * (3 - self.ndim)
        self._kernel.unpack(wide.reshape(self.out_channels, *lead, *self.kernel_size, -1))
        n = self.out_channels // self.groups
        ints = own_weights(wide).reshape(self.groups, n, -1, self.in_channels // self.groups)
        # torch keeps the memory of a weight whose first two axes are exchanged, channels-last
        ints = np.ascontiguousarray(ints.transpose(1, 2, 0, 3)).reshape(n, *self.kernel_size, self.in_channels)
        ints = ints.transpose(self.ndim + 1, 0, *range(1, self.ndim + 1))
        return unpacked(ints, self._scale, self._zero_point, self._per_channel, 1), self._bias_copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedConvTranspose, (
            self.ndim, *self.unpack(), self.stride, self.padding, self.output_padding, self.dilation, self.groups,
        )  # fmt: skip


def conv_transpose_output_size(op: str, size: Sequence[int], packed: PackedConvTranspose) -> tuple[int, ...]:
    """The output size of a transposed convolution, each of which must be positive."""
    geometry = zip(
        size, packed.kernel_size, packed.stride, packed.padding, packed.output_padding, packed.dilation, strict=True
    )
    out = tuple((i - 1) * s - 2 * p + d * (k - 1) + e + 1 for i, k, s, p, e, d in geometry)
    if min(out) < 1:
        raise ValueError(
            f"{op}: input must be large enough for one output; got size {tuple(size)} with kernel "
            f"{packed.kernel_size}, stride {packed.stride}, padding {packed.padding}, output padding "
            f"{packed.output_padding}, dilation {packed.dilation}: output size {out}"
        )
    return out


def _plan(op: str, packed: PackedConvTranspose, x: Form) -> ConvPlan:
    """Check an input's shape and plan for it."""
    check_image(op, packed, x.shape)
    size = conv_transpose_output_size(op, x.shape[2:], packed)
    _checks.fits_memory(op, (x.shape[0], packed.out_channels, *size))
    products = math.prod(x.shape) * packed.out_channels // packed.groups * math.prod(packed.kernel_size)
    return conv_plan(packed, x, size, products, kernels.grain)


def run_conv_transpose(
    op: str, ndim: int, x: QTensor, packed: PackedConvTranspose, scale: float, zero_point: int
) -> QTensor:
    """A transposed convolution with packed weights, under the name that errors give it."""
    if type(x) is not QTensor or x._dtype is not quint8 or x._qscheme is not per_tensor_affine:
        _checks.qtensor(op, "input", x, (quint8,))
    if type(packed) is not PackedConvTranspose or packed.ndim != ndim:
        raise TypeError(
            f"{op}: packed_weight must be what conv_transpose{ndim}d_prepack returns; got {_checks.kind(packed)}"
        )
    scale, zero_point = _checks.qparams(op, scale, zero_point, quint8)
    form = x._form or x._formed()
    plan = packed._plans.get(form) or keep_plan(packed._plans, form, _plan(op, packed, form))
    return packed._run_plan(op, plan, "stride", x, scale, zero_point)


def _prepack_doc(ndim: int) -> str:
    return f"""Pack a weight, a bias and a geometry for `conv_transpose{ndim}d`.

    Parameters
    ----------
    weight : QTensor
        qint8, shape (C, K / groups, *kernel), per tensor or per channel along axis 1. The channels of axis 1 have their
        scales and zero points in every group.
    bias : numpy.ndarray or None
        float32, shape (K,).
    stride, padding, output_padding, dilation : int or sequence of {ndim} ints
        Stride and dilation at least 1, the paddings at least 0.
    groups : int
        Divides C.

    Returns
    -------
    PackedConvTranspose

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.conv_transpose{ndim}d_prepack``, which takes weights per tensor only. As there, the scales are
    rounded to float32.
    """


def _conv_doc(ndim: int) -> str:
    ones = ", ".join("1" * ndim)
    return f"""Transposed convolution with packed weights.

    Parameters
    ----------
    qx : QTensor
        quint8, shape {SIZES[ndim]}, in any memory order (channels-last needs no copy).
    packed_weight : PackedConvTranspose
        From `conv_transpose{ndim}d_prepack`.
    output_scale, output_zero_point : float, int
        Of the output.

    Returns
    -------
    QTensor
        quint8, channels-last in memory; each of its sizes is
        ``(in - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.
    MemoryError
        If the output is too large.

    Notes
    -----
    ``torch.ops.quantized.conv_transpose{ndim}d``, exact also where its engine fbgemm is not. Each input is added to
    the outputs at ``i * stride - padding + tap * dilation``; outputs that none reaches are their bias.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> ints = np.full(({ones}, 1, 2), 3, np.uint8)
    >>> x = quantnn.make_per_tensor_quantized_tensor(ints, 1.0, 0)
    >>> w = quantnn.make_per_tensor_quantized_tensor(np.ones((1, {ones}, 2), np.int8), 1.0, 0)
    >>> packed = quantnn.ops.conv_transpose{ndim}d_prepack(w, None, 2, 0, 0, 1, 1)
    >>> quantnn.ops.conv_transpose{ndim}d(x, packed, 1.0, 0).int_repr().ravel()
    array([3, 3, 3, 3], dtype=uint8)
    """


def conv_transpose1d_prepack(
    weight: QTensor, bias: np.ndarray | None, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> PackedConvTranspose:
    return PackedConvTranspose(1, weight, bias, stride, padding, output_padding, dilation, groups)


def conv_transpose2d_prepack(
    weight: QTensor, bias: np.ndarray | None, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> PackedConvTranspose:
    return PackedConvTranspose(2, weight, bias, stride, padding, output_padding, dilation, groups)


def conv_transpose3d_prepack(
    weight: QTensor, bias: np.ndarray | None, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> PackedConvTranspose:
    return PackedConvTranspose(3, weight, bias, stride, padding, output_padding, dilation, groups)


def conv_transpose1d(
    qx: QTensor, packed_weight: PackedConvTranspose, output_scale: float, output_zero_point: int
) -> QTensor:
    return run_conv_transpose("conv_transpose1d", 1, qx, packed_weight, output_scale, output_zero_point)


def conv_transpose2d(
    qx: QTensor, packed_weight: PackedConvTranspose, output_scale: float, output_zero_point: int
) -> QTensor:
    return run_conv_transpose("conv_transpose2d", 2, qx, packed_weight, output_scale, output_zero_point)


def conv_transpose3d(
    qx: QTensor, packed_weight: PackedConvTranspose, output_scale: float, output_zero_point: int
) -> QTensor:
    return run_conv_transpose("conv_transpose3d", 3, qx, packed_weight, output_scale, output_zero_point)


for _ndim, _prepack, _run in (
    (1, conv_transpose1d_prepack, conv_transpose1d),
    (2, conv_transpose2d_prepack, conv_transpose2d),
    (3, conv_transpose3d_prepack, conv_transpose3d),
):
    _prepack.__doc__ = _prepack_doc(_ndim)
    _run.__doc__ = _conv_doc(_ndim)


def conv_transpose_unpack(packed_weights: PackedConvTranspose) -> tuple[QTensor, np.ndarray | None]:
    """The weight and the bias of a packed transposed convolution.

    ``torch.ops.quantized.conv_transpose2d_unpack`` and its like.
    """
    if not isinstance(packed_weights, PackedConvTranspose):
        raise TypeError(
            "conv_transpose_unpack: packed_weights must be what conv_transpose2d_prepack returns; "
            f"got {_checks.kind(packed_weights)}"
        )
    return packed_weights.unpack()
