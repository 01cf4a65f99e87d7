"""Linear: torch.ops.quantized.linear and its packing."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from .._form import Form, laid
from ..tensor import QTensor, formed, per_tensor_affine, quint8
from ._packing import Packed, Weight, check_weight, keep_plan, unpacked

#: Bytes of weights whose reading is worth a thread of its own, however few the rows.
WEIGHTS = 3 << 18


class PackedLinear(Packed):
    """The packed weight and bias of a linear layer: what `linear_prepack` makes.

    Immutable, and bound to the instruction-set level that packed it (at the first use, if the weight's memory is
    read-only for good). It pickles as its weight and bias.
    """

    __slots__ = (
        "_bias",
        "_per_channel",
        "_plans",
        "_scale",
        "_zero_point",
        "in_features",
        "out_features",
    )

    def __init__(self, weight: QTensor, bias: np.ndarray | None = None) -> None:
        w = check_weight("linear_prepack", weight, bias, 2, "(N, K)")
        self.out_features, self.in_features = w.ints.shape
        self._scale, self._zero_point, self._per_channel = w.scale, w.zero_point, w.per_channel
        self._bias = w.bias
        self._plans: dict[Form, _Plan] = {}
        self._pack_or_wait(w)

    def _pack(self, w: Weight) -> None:
        module = kernels.linear
        self._run = module.linear
        self._kernel = module.pack(
            np.ascontiguousarray(w.ints), self.out_features, self.in_features, w.scale, w.zero_point, w.bias,
            w.per_channel,
        )  # fmt: skip

    def unpack(self) -> tuple[QTensor, np.ndarray | None]:
        """The weight (N, K), its scales rounded to float32, and the bias (N) or None."""
        self.ready()
        ints = np.empty((self.out_features, self.in_features), np.int8)
        self._kernel.unpack(ints)
        bias = None if self._bias is None else self._bias.copy()
        return unpacked(ints, self._scale, self._zero_point, self._per_channel), bias

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedLinear, self.unpack()


def linear_prepack(W: QTensor, B: np.ndarray | None = None) -> PackedLinear:
    """Pack a weight and a bias for `linear`.

    Parameters
    ----------
    W : QTensor
        qint8, shape (N, K), per tensor or per channel along axis 0.
    B : numpy.ndarray, optional
        float32, shape (N,).

    Returns
    -------
    PackedLinear

    Raises
    ------
    TypeError
        If `W` is not a qint8 QTensor or `B` not float32.
    ValueError
        If a shape or the axis is wrong.

    Notes
    -----
    ``torch.ops.quantized.linear_prepack``. As there, the scales are rounded to float32.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed = quantnn.ops.linear_prepack(w)
    >>> packed.out_features, packed.in_features
    (2, 3)
    """
    return PackedLinear(W, B)


def linear_unpack(W_prepack: PackedLinear) -> tuple[QTensor, np.ndarray | None]:
    """The weight and the bias of a packed linear layer (``torch.ops.quantized.linear_unpack``).

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> weight, bias = quantnn.ops.linear_unpack(quantnn.ops.linear_prepack(w))
    >>> weight.equal(w), bias
    (True, None)
    """
    return _packed("linear_unpack", W_prepack).unpack()


def _packed(op: str, packed: Any) -> PackedLinear:
    if not isinstance(packed, PackedLinear):
        raise TypeError(f"{op}: W_prepack must be what linear_prepack returns; got {_checks.kind(packed)}")
    return packed


def linear(X: QTensor, W_prepack: PackedLinear, Y_scale_i: float, Y_zero_point_i: int) -> QTensor:
    """Linear with a packed weight.

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
    TypeError
        If `X` is not a quint8 QTensor.
    ValueError
        If its last dimension is not K, or the qparams are out of range.

    Notes
    -----
    ``y = clamp(rne((sum((x - zx) * (w - zw)) + bias / (sx * sw)) * (sx * sw / scale)) + zero_point)`` with float32
    roundings as torch has them. ``torch.ops.quantized.linear``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 3), np.float32), 0.5, 0, quantnn.quint8)
    >>> quantnn.ops.linear(x, quantnn.ops.linear_prepack(w), 1.0, 0).dequantize()
    array([[3., 3.]], dtype=float32)
    """
    return run_linear("linear", X, W_prepack, Y_scale_i, Y_zero_point_i, False)


def linear_relu(X: QTensor, W_prepack: PackedLinear, Y_scale_i: float, Y_zero_point_i: int) -> QTensor:
    """`linear` followed by relu, in one step (``torch.ops.quantized.linear_relu``).

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(-np.ones((2, 3), np.float32), 0.5, 0, quantnn.qint8)
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 3), np.float32), 0.5, 0, quantnn.quint8)
    >>> quantnn.ops.linear_relu(x, quantnn.ops.linear_prepack(w), 1.0, 10).dequantize()
    array([[0., 0.]], dtype=float32)
    """
    return run_linear("linear_relu", X, W_prepack, Y_scale_i, Y_zero_point_i, True)


def run_linear(op: str, x: QTensor, packed: PackedLinear, scale: float, zero_point: int, relu: bool) -> QTensor:
    """`linear` under the name that errors give it."""
    if type(x) is not QTensor or x._dtype is not quint8 or x._qscheme is not per_tensor_affine:
        _checks.qtensor(op, "input", x, (quint8,))
    if type(packed) is not PackedLinear:
        _packed(op, packed)
    scale, zero_point = _checks.qparams(op, scale, zero_point, quint8)
    form = x._form or x._formed()
    plan = packed._plans.get(form) or keep_plan(packed._plans, form, _plan(op, packed, form))
    plain, size, result, threads = plan
    out = _layout.empty(size, result.numpy)
    packed._run(
        packed._kernel, x._block if plain else np.ascontiguousarray(x._ints), out,
        x._scale, x._zero_point, scale, zero_point, relu, _threads.at_most(threads),
    )  # fmt: skip
    return formed(out, result, scale, zero_point)


class _Plan(NamedTuple):
    """What a linear layer does with inputs of one form."""

    plain: bool  # the input is contiguous
    size: tuple[int]  # of the result's block
    form: Form  # of the result
    threads: int  # at most


def _plan(op: str, packed: PackedLinear, x: Form) -> _Plan:
    """Check an input's shape and plan for it."""
    n, k = packed.out_features, packed.in_features
    shape = x.shape
    if len(shape) < 2 or shape[-1] != k:
        raise ValueError(f"{op}: input must have shape (*, {k}) with at least 2 dimensions; got {shape}")
    packed.ready()
    rows = math.prod(shape[:-1])
    return _Plan(
        x.plain,
        (rows * n,),
        laid(quint8, (*shape[:-1], n)),
        max(1, int(n * k * (rows / kernels.grain + 1 / WEIGHTS))) if rows else 1,
    )
