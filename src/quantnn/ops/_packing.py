"""What the packed weights of linear and convolution share."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import _checks
from .._form import Form
from ..tensor import QTensor, per_channel_affine, per_tensor_affine, qint8

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
        bias = _checks.float_array(op, "bias", bias, (n * groups,))
    return Weight(ints, scale, zero_point, bias, per_channel)


def unpacked(ints: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, per_channel: bool, axis: int = 0) -> QTensor:
    """The weight again, with the float32 scales that packing kept; those of the first group if there are several."""
    if per_channel:
        n = ints.shape[axis]
        return QTensor(
            ints, qint8, scale[:n].astype(np.float64), zero_point[:n].astype(np.int64), per_channel_affine, axis
        )
    # a weight without output channels keeps no scale
    return QTensor(ints, qint8, float(scale[0]) if len(scale) else 1.0, int(zero_point[0]) if len(scale) else 0)
