"""What the packed weights of linear and convolution share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from .._form import Form, channels_last, laid, lies
from ..tensor import QTensor, formed, per_channel_affine, per_tensor_affine, qint8, quint8

_P = TypeVar("_P")


def keep_plan(plans: dict[Form, _P], form: Form, plan: _P) -> _P:
    """Keep a packed layer's plan for inputs of one form, of which it has a few."""
    if len(plans) >= 16:
        plans.clear()
    plans[form] = plan
    return plan


class Weight(NamedTuple):
    """A checked weight, ready for a kernel's packing."""

    ints: np.ndarray  # int8, logical shape
    scale: np.ndarray  # float32, one per output channel
    zero_point: np.ndarray  # int32, one per output channel
    bias: np.ndarray | None  # float32
    per_channel: bool


def check_weight(op: str, weight: Any, bias: Any, ndim: int, shape: str, axis: int = 0, groups: int = 1) -> Weight:
    """Check a weight (qint8, per tensor or per channel along `axis`) and a bias (float32 or None).

    `axis` has the output channels of one of `groups`; the others have the same scales and zero points.
    """
    if not isinstance(weight, QTensor):
        raise TypeError(
            f"{op}: weight must be a QTensor (qint8); got {_checks.kind(weight)}. "
            "Call quantnn.quantize_per_tensor or quantnn.quantize_per_channel first"
        )
    if weight._dtype is not qint8:
        raise TypeError(f"{op}: weight must be qint8; got {weight._dtype.name}")
    ints = weight._ints
    if ints.ndim != ndim:
        raise ValueError(f"{op}: weight must have {ndim} dimensions {shape}; got shape {ints.shape}")
    n = ints.shape[axis]
    if weight._qscheme is per_tensor_affine:
        scale = np.full(n * groups, weight._scale, np.float32)
        zero_point = np.full(n * groups, weight._zero_point, np.int32)
        per_channel = False
    elif weight._qscheme is per_channel_affine:
        if weight._axis != axis:
            raise ValueError(
                f"{op}: weight must be quantized along axis {axis}, its output channels; got {weight._axis}"
            )
        scale = np.asarray(weight._scale).astype(np.float32)
        zero_point = np.asarray(weight._zero_point).astype(np.int32)
        if not scale.shape == zero_point.shape == (n,):
            raise ValueError(f"{op}: weight must have one scale and zero point for each of its {n} output channels")
        scale, zero_point = np.tile(scale, groups), np.tile(zero_point, groups)
        per_channel = True
    else:
        raise ValueError(
            f"{op}: weight must be quantized per tensor or per channel with integer zero points; "
            f"got {weight._qscheme.name}"
        )
    if bias is not None:
        bias = _checks.float_array(op, "bias", bias, (n * groups,)).copy()
    return Weight(ints, scale, zero_point, bias, per_channel)


_ZERO = np.frombuffer(bytes(1), np.int8).reshape(())


def zeros(shape: tuple[int, ...]) -> QTensor:
    """A qint8 weight of zeros, which takes no memory: that of a module before its weight is set."""
    return QTensor(np.broadcast_to(_ZERO, shape), qint8, 1.0, 0)


def _fixed(array: np.ndarray) -> bool:
    """Whether nobody can change the array: it lies in a file that is mapped for reading, or in bytes."""
    memory: Any = array
    while isinstance(memory, np.ndarray):
        memory = memory.base
    return memory is not None and memoryview(memory).readonly


class Packed:
    """Packed weights. They are packed at once, or at the first use if the weight's memory can't change until then.

    So a network in a mapped file is there at once, and its weights are read when they are needed.
    """

    __slots__ = ("_kernel", "_run", "_waiting")

    _waiting: Weight | None
    _kernel: Any
    _run: Any

    def _pack_or_wait(self, w: Weight) -> None:
        self._waiting = w
        if not _fixed(w.ints):
            self.ready()

    def ready(self) -> None:
        """Pack what waits. Two threads that come at the same time do it twice, to the same end."""
        w = self._waiting
        if w is not None:
            self._pack(w)
            self._waiting = None

    def _pack(self, w: Weight) -> None:
        """Make `_kernel` and `_run`."""
        raise NotImplementedError


def unpacked(ints: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, per_channel: bool, axis: int = 0) -> QTensor:
    """The weight again, with the float32 scales that packing kept; those of the first group if there are several."""
    if per_channel:
        n = ints.shape[axis]
        return QTensor(
            ints, qint8, scale[:n].astype(np.float64), zero_point[:n].astype(np.int64), per_channel_affine, axis
        )
    # a weight without output channels keeps no scale
    return QTensor(ints, qint8, float(scale[0]) if len(scale) else 1.0, int(zero_point[0]) if len(scale) else 0)


#: The sizes of images with one to three dimensions, as errors and docstrings write them.
SIZES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}

# of a weight with merged groups, what belongs to a group's own inputs; einsum gives a view
_OWN = "gmnkmc->gmnkc"


class ConvPlan(NamedTuple):
    """What a convolution does with inputs of one form."""

    order: tuple[int, ...] | None  # the axes by which the input is read; None: as it lies
    x: tuple[int, ...]  # (N, D, H, W, C)
    out: tuple[int, ...]  # (N, D, H, W, K)
    form: Form  # of the result
    threads: int  # at most


class PackedNd(Packed):
    """What the packed weights of convolutions and of transposed ones share."""

    __slots__ = (
        "_bias",
        "_merged",
        "_per_channel",
        "_plans",
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

    ndim: int
    groups: int
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    _plans: dict[Form, ConvPlan]
    _bias: np.ndarray | None
    _merged: int

    def _keep(self, op: str, ndim: int, w: Weight, stride: Any, padding: Any, dilation: Any) -> None:
        """Check and keep the geometry, and keep what belongs to the columns."""
        self.ndim = ndim
        self.stride = _checks.integers(op, "stride", stride, ndim, 1)
        self.padding = _checks.integers(op, "padding", padding, ndim, 0)
        self.dilation = _checks.integers(op, "dilation", dilation, ndim, 1)
        self.kernel_size = w.ints.shape[2:]
        self._scale, self._zero_point, self._per_channel = w.scale, w.zero_point, w.per_channel
        self._bias = w.bias
        self._plans = {}

    def _bias_copy(self) -> np.ndarray | None:
        return None if self._bias is None else self._bias.copy()

    def _wide(self) -> tuple[int, ...]:
        """The weight's shape with every m groups made one: (groups, m, outputs, taps, m, inputs)."""
        m, n, c = self._merged, self.out_channels // self.groups, self.in_channels // self.groups
        return self.groups // m, m, n, math.prod(self.kernel_size), m, c

    def _merge(self, ints: np.ndarray) -> np.ndarray:
        """A weight with the elements of (groups, outputs, taps, inputs), its groups merged as kernels want it."""
        n, c = self.out_channels // self.groups, self.in_channels // self.groups
        self._merged = kernels.conv.merged(self.groups, n, c)
        wide = np.empty(self._wide(), np.int8)
        if self._merged > 1:
            wide[...] = self._zero_point.reshape(*wide.shape[:3], 1, 1, 1)
        own = own_weights(wide)
        own[...] = ints.reshape(own.shape)
        return wide

    def _run_plan(
        self, op: str, plan: ConvPlan, cause: str, x: QTensor, scale: float, zero_point: int, *more: Any
    ) -> QTensor:
        """Run the kernel; `cause` names the attribute that may have made the output too large."""
        order, shape, out_shape, form, threads = plan
        block = x._block if order is None else _layout.ordered(x._ints, order)
        try:
            out = _layout.empty((form.size,), form.numpy)
        except (ValueError, MemoryError) as e:
            raise MemoryError(
                f"{op}: an output of shape {form.shape}, channels last, is too large; "
                f"the {cause} is {getattr(self, cause)}"
            ) from e
        self._run(
            self._kernel, block, out, shape, out_shape,
            x._scale, x._zero_point, scale, zero_point, *more, _threads.at_most(threads),
        )  # fmt: skip
        return formed(out, form, scale, zero_point)


def own_weights(wide: np.ndarray) -> np.ndarray:
    """The weights of a merged weight that belong to a group's own inputs: (groups, m, outputs, taps, inputs)."""
    own: np.ndarray = np.einsum(_OWN, wide)
    return own


def check_image(op: str, packed: PackedNd, shape: tuple[int, ...]) -> None:
    """Check an input's shape."""
    if len(shape) != packed.ndim + 2:
        raise ValueError(f"{op}: input must have shape {SIZES[packed.ndim]}; got {shape}")
    if shape[1] != packed.in_channels:
        raise ValueError(f"{op}: input must have {packed.in_channels} channels; got shape {shape}")


#: Outputs that are worth a thread of their own, whatever they are the sums of.
_OUTPUTS = 1 << 15


def conv_plan(packed: PackedNd, x: Form, size: Sequence[int], products: int, grain: int) -> ConvPlan:
    """The plan for inputs of a form, the output's size and the multiply-adds, `grain` of which are worth a thread."""
    packed.ready()
    lead, (n, c, *here) = (1,) * (3 - packed.ndim), x.shape
    order = channels_last(packed.ndim + 2)
    outputs = n * math.prod(size) * packed.out_channels
    return ConvPlan(
        None if lies(x.shape, x.strides, order, 1) else order,
        (n, *lead, *here, c),
        (n, *lead, *size, packed.out_channels),
        laid(quint8, (n, packed.out_channels, *size), order),
        max(1, int(products / grain + outputs / _OUTPUTS)),
    )
