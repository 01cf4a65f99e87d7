"""Convolution: torch.ops.quantized.conv{1,2,3}d and their packing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from .._form import Form, channels_last, laid, lies
from ..tensor import QTensor, formed, per_tensor_affine, quint8
from ._packing import check_weight, keep_plan, unpacked

# multiply-adds of a depthwise convolution that are worth a thread of their own
_GRAIN_DEPTHWISE = 1 << 19

# of a weight with merged groups, what belongs to a group's own inputs; einsum gives a view
_OWN = "gmnkmc->gmnkc"

_SIZES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


class PackedConv:
    """The packed weight, bias and geometry of a convolution: what `conv2d_prepack` and its like make.

    Immutable, and bound to the instruction-set level that packed it. It pickles as its weight, bias and geometry.
    """

    __slots__ = (
        "_bias",
        "_depthwise",
        "_kernel",
        "_merged",
        "_per_channel",
        "_plans",
        "_run",
        "_scale",
        "_zero_point",
        "dilation",
        "groups",
        "in_channels",
        "kernel_size",
        "ndim",
        "out_channels",
        "padding",
        "stride",
    )  # fmt: skip

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
        self.ndim = ndim
        self.stride = _checks.integers(op, "stride", stride, ndim, 1)
        self.padding = _checks.integers(op, "padding", padding, ndim, 0)
        self.dilation = _checks.integers(op, "dilation", dilation, ndim, 1)
        self.groups = _checks.integer(op, "groups", groups, 1)
        self.out_channels, c = w.ints.shape[:2]
        self.kernel_size = w.ints.shape[2:]
        self.in_channels = c * self.groups
        if w.ints.size == 0:
            raise ValueError(f"{op}: weight must have no dimension of size 0; got shape {w.ints.shape}")
        if self.out_channels % self.groups:
            raise ValueError(
                f"{op}: weight's output channels must be divisible by groups; got {self.out_channels} and {self.groups}"
            )
        self._scale, self._zero_point, self._per_channel = w.scale, w.zero_point, w.per_channel
        self._plans: dict[Form, _Plan] = {}
        self._bias = None if w.bias is None else w.bias.copy()
        self._depthwise = self.groups > 1 and c == 1 and self.out_channels == self.groups
        ints = np.ascontiguousarray(np.moveaxis(w.ints, 1, -1)).reshape(-1)
        lead = 3 - ndim  # a conv1d is a conv3d with a depth and a height of one
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
            n = self.out_channels // self.groups
            self._merged = m = kernels.conv.merged(self.groups, n, c)
            if m > 1:
                wide = np.empty(self._wide(m), np.int8)
                wide[...] = w.zero_point.reshape(self.groups // m, m, n, 1, 1, 1)
                np.einsum(_OWN, wide)[...] = ints.reshape(self.groups // m, m, n, -1, c)
                ints = wide.reshape(-1)
            self._kernel = kernels.conv.Conv(ints, self.groups // m, m * n, m * c, *columns, *geometry)

    def _wide(self, m: int) -> tuple[int, ...]:
        """The weight's shape with every m groups made one: (groups, m, outputs, taps, m, inputs)."""
        n, c = self.out_channels // self.groups, self.in_channels // self.groups
        return self.groups // m, m, n, math.prod(self.kernel_size), m, c

    def unpack(self) -> tuple[QTensor, np.ndarray | None]:
        """The weight (K, C / groups, *kernel) in channels-last order, scales in float32, and the bias or None."""
        c = self.in_channels // self.groups
        if self._depthwise:
            ints = np.empty(self.out_channels * math.prod(self.kernel_size), np.int8)
            self._kernel.unpack(ints)
        else:
            wide = np.empty(self._wide(self._merged), np.int8)
            self._kernel.packed.unpack(wide.reshape(-1))
            ints = np.einsum(_OWN, wide)
        ints = ints.reshape(self.out_channels, *self.kernel_size, c)
        bias = None if self._bias is None else self._bias.copy()
        return unpacked(np.moveaxis(ints, -1, 1), self._scale, self._zero_point, self._per_channel), bias

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


class _Plan(NamedTuple):
    """What a convolution does with inputs of one form."""

    order: tuple[int, ...] | None  # the axes by which the input is read; None: as it lies
    x: tuple[int, ...]  # (N, D, H, W, C)
    out: tuple[int, ...]  # (N, D, H, W, K)
    form: Form  # of the result
    threads: int  # at most


def _plan(op: str, packed: PackedConv, x: Form) -> _Plan:
    """Check an input's shape and plan for it."""
    ndim, shape = packed.ndim, x.shape
    if len(shape) != ndim + 2:
        raise ValueError(f"{op}: input must have shape {_SIZES[ndim]}; got {shape}")
    if shape[1] != packed.in_channels:
        raise ValueError(f"{op}: input must have {packed.in_channels} channels; got shape {shape}")
    size = conv_output_size(op, shape[2:], packed.kernel_size, packed.stride, packed.padding, packed.dilation)
    y = (shape[0], *size, packed.out_channels)
    lead = (1,) * (3 - ndim)
    work = math.prod(y) * packed.in_channels // packed.groups * math.prod(packed.kernel_size)
    order = channels_last(ndim + 2)
    return _Plan(
        None if lies(shape, x.strides, order, 1) else order,
        (shape[0], *lead, *shape[2:], shape[1]),
        (shape[0], *lead, *y[1:]),
        laid(quint8, (shape[0], packed.out_channels, *size), order),
        max(1, work // (_GRAIN_DEPTHWISE if packed._depthwise else kernels.grain)),
    )


def run_conv(op: str, ndim: int, x: QTensor, packed: PackedConv, scale: float, zero_point: int, relu: bool) -> QTensor:
    """A convolution with packed weights, under the name that errors give it."""
    if type(x) is not QTensor or x._dtype is not quint8 or x._qscheme is not per_tensor_affine:
        _checks.qtensor(op, "input", x, (quint8,))
    if type(packed) is not PackedConv or packed.ndim != ndim:
        raise TypeError(f"{op}: packed must be what conv{ndim}d_prepack returns; got {_checks.kind(packed)}")
    scale, zero_point = _checks.qparams(op, scale, zero_point, quint8)
    form = x._form or x._formed()
    plan = packed._plans.get(form) or keep_plan(packed._plans, form, _plan(op, packed, form))
    order, shape, out_shape, result, threads = plan
    block = x._block if order is None else _layout.ordered(x._ints, order)
    try:
        out = _layout.empty((result.size,), result.numpy)
    except (ValueError, MemoryError) as e:
        raise MemoryError(
            f"{op}: an output of shape {result.shape}, channels last, is too large; the padding is {packed.padding}"
        ) from e
    packed._run(
        packed._kernel, block, out, shape, out_shape,
        x._scale, x._zero_point, scale, zero_point, relu, _threads.at_most(threads),
    )  # fmt: skip
    return formed(out, result, scale, zero_point)


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
    x : QTensor
        quint8, shape {_SIZES[ndim]}, in any memory order (channels-last needs no copy).
    packed : PackedConv
        From `conv{ndim}d_prepack`.
    scale, zero_point : float, int
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


def conv1d(x: QTensor, packed: PackedConv, scale: float, zero_point: int) -> QTensor:
    return run_conv("conv1d", 1, x, packed, scale, zero_point, False)


def conv2d(x: QTensor, packed: PackedConv, scale: float, zero_point: int) -> QTensor:
    return run_conv("conv2d", 2, x, packed, scale, zero_point, False)


def conv3d(x: QTensor, packed: PackedConv, scale: float, zero_point: int) -> QTensor:
    return run_conv("conv3d", 3, x, packed, scale, zero_point, False)


def conv1d_relu(x: QTensor, packed: PackedConv, scale: float, zero_point: int) -> QTensor:
    return run_conv("conv1d_relu", 1, x, packed, scale, zero_point, True)


def conv2d_relu(x: QTensor, packed: PackedConv, scale: float, zero_point: int) -> QTensor:
    return run_conv("conv2d_relu", 2, x, packed, scale, zero_point, True)


def conv3d_relu(x: QTensor, packed: PackedConv, scale: float, zero_point: int) -> QTensor:
    return run_conv("conv3d_relu", 3, x, packed, scale, zero_point, True)


for _ndim, _prepack, _plain, _relu in (
    (1, conv1d_prepack, conv1d, conv1d_relu),
    (2, conv2d_prepack, conv2d, conv2d_relu),
    (3, conv3d_prepack, conv3d, conv3d_relu),
):
    _prepack.__doc__ = _prepack_doc(_ndim)
    _plain.__doc__ = _conv_doc(_ndim, False)
    _relu.__doc__ = _conv_doc(_ndim, True)


def conv_unpack(packed: PackedConv) -> tuple[QTensor, np.ndarray | None]:
    """The weight and the bias of a packed convolution (``torch.ops.quantized.conv2d_unpack`` and its like)."""
    if not isinstance(packed, PackedConv):
        raise TypeError(f"conv_unpack: packed must be what conv2d_prepack returns; got {_checks.kind(packed)}")
    return packed.unpack()
