"""Operators of two tensors, of a tensor and a number, and concatenation."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from ..tensor import DType, QTensor, qint8, qint32, quint8
from ._unary import arrange

_DTYPES = (quint8, qint8, qint32)
_GRAIN = 1 << 16


def add(qa: QTensor, qb: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Add two tensors.

    Parameters
    ----------
    qa, qb : QTensor
        Of one dtype (quint8, qint8 or qint32), quantized per tensor; shapes that broadcast as NumPy's do.
    scale : float
        Of the result.
    zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype of the operands and the memory format of `qa`.

    Raises
    ------
    TypeError, ValueError
        If the operands are not such tensors or the quantization parameters are out of range.

    Notes
    -----
    ``quantize(dequantize(qa) + dequantize(qb))`` in float32: exactly torch's ``torch.ops.quantized.add``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 2], np.uint8), 0.5, 0)
    >>> b = quantnn.make_per_tensor_quantized_tensor(np.array([[0], [20]], np.uint8), 0.25, 4)
    >>> quantnn.ops.add(a, b, 0.5, 10).int_repr()
    array([[ 8,  9, 10],
           [18, 19, 20]], dtype=uint8)
    """
    return _add("add", qa, qb, scale, zero_point, False)


def add_relu(qa: QTensor, qb: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Add two tensors and replace negative sums by zero.

    Parameters, result and errors are those of `add`.

    Notes
    -----
    torch's ``torch.ops.quantized.add_relu``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.add_relu(a, a, 0.5, 10).int_repr()
    array([10, 10, 14], dtype=uint8)
    """
    return _add("add_relu", qa, qb, scale, zero_point, True)


def mul(qa: QTensor, qb: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Multiply two tensors element by element.

    Parameters
    ----------
    qa, qb : QTensor
        Of one dtype (quint8, qint8 or qint32), quantized per tensor; shapes that broadcast as NumPy's do.
    scale : float
        Of the result.
    zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype of the operands and the memory format of `qa`.

    Raises
    ------
    TypeError, ValueError
        If the operands are not such tensors or the quantization parameters are out of range.

    Notes
    -----
    ``clamp(rne(f32((qa - za) * (qb - zb)) * m) + zero_point)`` with ``m = sa * sb / scale`` in float32:
    exactly torch's ``torch.ops.quantized.mul``. Results beyond int32 saturate.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.mul(a, a, 0.25, 10).int_repr()
    array([14, 11, 14], dtype=uint8)
    """
    return _mul("mul", qa, qb, scale, zero_point, False)


def mul_relu(qa: QTensor, qb: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Multiply two tensors element by element and replace negative products by zero.

    Parameters, result and errors are those of `mul`.

    Notes
    -----
    torch's ``torch.ops.quantized.mul_relu``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> b = quantnn.make_per_tensor_quantized_tensor(np.array([3], np.uint8), 0.5, 2)
    >>> quantnn.ops.mul_relu(a, b, 0.25, 10).int_repr()
    array([10, 10, 12], dtype=uint8)
    """
    return _mul("mul_relu", qa, qb, scale, zero_point, True)


def add_scalar(qa: QTensor, b: Any) -> QTensor:
    """Add a number to a tensor.

    Parameters
    ----------
    qa : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    b : float
        A finite number.

    Returns
    -------
    QTensor
        With the dtype and memory format of `qa`, and quantization parameters that follow from `qa` and `b`.

    Raises
    ------
    TypeError, ValueError
        If `qa` is not such a tensor, or `b` not a finite number, or beyond int32 when counted in quanta of
        `qa`.

    Notes
    -----
    With ``c = rne(b / scale)`` the zero point becomes ``zero_point - c``; the integers stay. Where that is
    outside the dtype's range, they are requantized to a wider scale. torch's
    ``torch.ops.quantized.add_scalar``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.add_scalar(a, 1.0).q_zero_point()
    0
    """
    return _add_scalar("add_scalar", qa, b, False)


def add_scalar_relu(qa: QTensor, b: Any) -> QTensor:
    """Add a number to a tensor and replace negative sums by zero.

    Parameters, result and errors are those of `add_scalar`.

    Notes
    -----
    torch's ``torch.ops.quantized.add_scalar_relu``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.add_scalar_relu(a, 0.5).int_repr()
    array([1, 1, 4], dtype=uint8)
    """
    return _add_scalar("add_scalar_relu", qa, b, True)


def mul_scalar(qa: QTensor, b: Any) -> QTensor:
    """Multiply a tensor by a number.

    Parameters
    ----------
    qa : QTensor
        Any shape; quint8, qint8 or qint32, quantized per tensor.
    b : float
        A finite number.

    Returns
    -------
    QTensor
        With the dtype and memory format of `qa`, and quantization parameters that follow from `qa` and `b`.

    Raises
    ------
    TypeError, ValueError
        If `qa` is not such a tensor, or `b` not a finite number, or the new scale is outside float32's range.

    Notes
    -----
    The scale is multiplied by ``|b|``. If `b` is negative, the integers and the zero point are mirrored; if
    it is zero, all become 0, with scale 1. torch's ``torch.ops.quantized.mul_scalar``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.mul_scalar(a, -2.0).dequantize()
    array([ 2.,  1., -2.], dtype=float32)
    """
    return _mul_scalar("mul_scalar", qa, b, False)


def mul_scalar_relu(qa: QTensor, b: Any) -> QTensor:
    """Multiply a tensor by a number and replace negative products by zero.

    Parameters, result and errors are those of `mul_scalar`.

    Notes
    -----
    torch's ``torch.ops.quantized.mul_scalar_relu``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.mul_scalar_relu(a, 3.0).dequantize()
    array([0., 0., 3.], dtype=float32)
    """
    return _mul_scalar("mul_scalar_relu", qa, b, True)


def cat(qx: Sequence[QTensor], dim: int, scale: Any = None, zero_point: Any = None) -> QTensor:
    """Concatenate tensors along a dimension.

    Parameters
    ----------
    qx : sequence of QTensor
        At least one; of one dtype (quint8, qint8 or qint32), quantized per tensor; shapes that are equal
        but for `dim`. Tensors of shape (0,) are left out.
    dim : int
        The dimension; negative counts from the last.
    scale : float, optional
        Of the result; that of the first tensor by default.
    zero_point : int, optional
        Of the result; that of the first tensor by default.

    Returns
    -------
    QTensor
        Channels-last if all tensors are, else contiguous.

    Raises
    ------
    TypeError, ValueError, IndexError
        If the tensors are not such, the quantization parameters or `dim` out of range.

    Notes
    -----
    Each tensor is dequantized and quantized with the result's parameters: exactly torch's
    ``torch.ops.quantized.cat``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> b = quantnn.make_per_tensor_quantized_tensor(np.array([7, 8], np.uint8), 1.0, 7)
    >>> quantnn.ops.cat([a, b], 0).int_repr()
    array([0, 1, 4, 2, 4], dtype=uint8)
    """
    return _cat("cat", qx, dim, scale, zero_point, False)


def cat_relu(qx: Sequence[QTensor], dim: int, scale: Any = None, zero_point: Any = None) -> QTensor:
    """Concatenate tensors along a dimension and replace negative values by zero.

    Parameters, result and errors are those of `cat`.

    Notes
    -----
    torch's ``torch.ops.quantized.cat_relu``, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([0, 1, 4], np.uint8), 0.5, 2)
    >>> quantnn.ops.cat_relu([a, a], 0).int_repr()
    array([2, 2, 4, 2, 2, 4], dtype=uint8)
    """
    return _cat("cat_relu", qx, dim, scale, zero_point, True)


def _add(op: str, qa: Any, qb: Any, scale: Any, zero_point: Any, relu: bool) -> QTensor:
    dtype = _operands(op, qa, qb)
    scale, zero_point = _checks.qparams(op, scale, zero_point, dtype)
    plan = _plan_for(op, qa._ints, qb._ints, True)
    if plan.swap:
        qa, qb = qb, qa
    out, flat_out = plan.new(dtype.numpy)
    n = flat_out.size
    if n:
        kernels.typed("binary", "add", dtype.ctype)(
            _flat(qa._ints, plan.order_a),
            _flat(qb._ints, plan.order_b),
            flat_out,
            plan.outer,
            plan.step_a,
            plan.step_b,
            plan.run,
            plan.n_vector,
            qa._scale,
            qa._zero_point,
            qb._scale,
            qb._zero_point,
            scale,
            zero_point,
            dtype.qmin,
            dtype.qmax,
            relu,
            _threads.threads_for(n, _GRAIN),
        )
    return QTensor(out, dtype, scale, zero_point)


def _mul(op: str, qa: Any, qb: Any, scale: Any, zero_point: Any, relu: bool) -> QTensor:
    dtype = _operands(op, qa, qb)
    scale, zero_point = _checks.qparams(op, scale, zero_point, dtype)
    plan = _plan_for(op, qa._ints, qb._ints, False)
    if plan.swap:
        qa, qb = qb, qa
    out, flat_out = plan.new(dtype.numpy)
    n = flat_out.size
    if n:
        kernels.typed("binary", "mul", dtype.ctype)(
            _flat(qa._ints, plan.order_a),
            _flat(qb._ints, plan.order_b),
            flat_out,
            plan.outer,
            plan.step_a,
            plan.step_b,
            plan.run,
            qa._scale,
            qa._zero_point,
            qb._scale,
            qb._zero_point,
            scale,
            zero_point,
            zero_point if relu else dtype.qmin,
            dtype.qmax,
            _threads.threads_for(n, _GRAIN),
        )
    return QTensor(out, dtype, scale, zero_point)


def _operands(op: str, qa: Any, qb: Any) -> DType:
    dtype = _checks.qtensor(op, "qa", qa, _DTYPES).dtype
    other = _checks.qtensor(op, "qb", qb, _DTYPES).dtype
    if other is not dtype:
        raise TypeError(f"{op}: qb must have qa's dtype, {dtype.name}; got {other.name}")
    return dtype


class _Plan(NamedTuple):
    """How `add` and `mul` go through their memory; see _kernels/binary.pyx.

    The operands are a and b after swapping them if `swap` says so. `order_a` and `order_b` are the axes of
    each operand from the outermost in memory to the innermost (None: C order). `shape` is the output's in
    memory order, `order` brings its axes back from there.
    """

    swap: bool
    shape: tuple[int, ...]
    order: tuple[int, ...] | None
    order_a: tuple[int, ...] | None
    order_b: tuple[int, ...] | None
    outer: np.ndarray
    step_a: int
    step_b: int
    run: int
    n_vector: int

    def new(self, dtype: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
        """The output, and it in memory order as a view of one dimension."""
        if self.order is None:
            out = np.empty(self.shape, dtype)
            return out, out.reshape(-1)
        base = np.empty(self.shape, dtype)
        return base.transpose(self.order), base.reshape(-1)


def _flat(ints: np.ndarray, order: tuple[int, ...] | None) -> np.ndarray:
    """The integers in memory order, as a view; as a copy where they are not dense."""
    if order is None:
        return ints.ravel()
    return np.ascontiguousarray(ints.transpose(order)).reshape(-1)


def _plan_for(op: str, a: np.ndarray, b: np.ndarray, resizes: bool) -> _Plan:
    plan = _plan(a.shape, a.strides, b.shape, b.strides, a.itemsize, resizes)
    if plan is None:
        _checks.rank(op, max(a.ndim, b.ndim))
        raise ValueError(f"{op}: qa and qb must have shapes that broadcast; got {a.shape} and {b.shape}")
    return plan


@functools.lru_cache(maxsize=512)
def _plan(
    shape_a: tuple[int, ...],
    strides_a: tuple[int, ...],
    shape_b: tuple[int, ...],
    strides_b: tuple[int, ...],
    itemsize: int,
    resizes: bool,
) -> _Plan | None:
    """Plan for operands of these shapes and strides (bytes); None if the shapes do not broadcast.

    The output's memory order is torch's: channels-last if the first operand is. But torch's add makes an
    output of the first operand's shape and `resizes` it where that is not the result's: then the order
    follows the strides of both operands.
    """
    try:
        shape = np.broadcast_shapes(shape_a, shape_b)
    except (ValueError, RuntimeError):  # the latter for more than 32 dimensions
        return None
    n = len(shape)
    across_a, across_b = _across(shape, shape_a, strides_a), _across(shape, shape_b, strides_b)
    if resizes and shape_a != shape:
        order = tuple(_layout.iteration_order(shape, [across_a, across_b]))
    elif n == len(shape_a) and _layout.suggests_channels_last(shape_a, strides_a):
        order = (0, *range(2, n), 1)
    else:
        order = tuple(range(n))
    order_a, step_a = _memory(shape, shape_a, strides_a, order, itemsize)
    order_b, step_b = _memory(shape, shape_b, strides_b, order, itemsize)

    # merge the dimensions that both operands and the output pass in one go, from the innermost outwards
    steps = (across_a, across_b, step_a, step_b)
    groups: list[list[int]] = []  # size, then the four steps
    for d in reversed(order):
        if shape[d] == 1:
            continue
        if groups:
            size = groups[-1][0]
            if all(s[d] == size * t for s, t in zip(steps, groups[-1][1:], strict=True)):
                groups[-1][0] *= shape[d]
                continue
        groups.append([shape[d], *(s[d] for s in steps)])
    run, stride_a, stride_b, inner_a, inner_b = groups[0] if groups else (1, 0, 0, 0, 0)
    vector = {stride_a, stride_b} <= {0, itemsize} and (stride_a or stride_b)
    swap = inner_a == 0
    outer = np.array([[g[0], *g[3:]] for g in groups[1:]], np.intp).reshape(-1, 3)
    if swap:
        outer = np.ascontiguousarray(outer[:, [0, 2, 1]])
        order_a, order_b, inner_a, inner_b = order_b, order_a, inner_b, inner_a
    group = 64 // itemsize
    return _Plan(
        swap,
        tuple(shape[d] for d in order),
        None if order == tuple(range(n)) else tuple(map(int, np.argsort(order))),
        order_a,
        order_b,
        outer,
        inner_a,
        inner_b,
        run,
        run - run % group if vector else 0,
    )


def _across(shape: tuple[int, ...], own: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """An operand's strides along the dimensions of the broadcast shape; 0 where it is repeated."""
    missing = len(shape) - len(own)
    kept = [0 if o == 1 and s != 1 else t for s, o, t in zip(shape[missing:], own, strides, strict=True)]
    return (*(0,) * missing, *kept)


def _memory(
    shape: tuple[int, ...],
    own: tuple[int, ...],
    strides: tuple[int, ...],
    order: tuple[int, ...],
    itemsize: int,
) -> tuple[tuple[int, ...] | None, list[int]]:
    """The axes by which `_flat` reads an operand, and its steps (elements) along the output's dimensions.

    A dense operand is read as it lies, another is copied into the output's order.
    """
    missing = len(shape) - len(own)
    axes = tuple(sorted(range(len(own)), key=lambda i: (-strides[i], i)))
    step = itemsize
    for axis in reversed(axes):
        if own[axis] != 1 and strides[axis] != step:
            axes = tuple(d - missing for d in order if d >= missing)
            break
        step *= own[axis]
    steps = [0] * len(shape)
    step = 1
    for axis in reversed(axes):
        if own[axis] != 1:
            steps[axis + missing] = step
        step *= own[axis]
    return None if axes == tuple(range(len(own))) else axes, steps


def _add_scalar(op: str, qa: Any, b: Any, relu: bool) -> QTensor:
    _checks.qtensor(op, "qa", qa, _DTYPES)
    b = _finite(op, b)
    dtype, scale, zero_point = qa._dtype, qa.q_scale(), qa.q_zero_point()
    qmin, qmax = dtype.qmin, dtype.qmax
    quanta = b / scale
    if not -(2.0**31) - 0.5 <= quanta < 2.0**31 - 0.5:
        raise ValueError(f"{op}: b / qa.q_scale() must round to an int32; got {quanta}")
    c = round(quanta)
    moved = zero_point - c
    if qmin <= moved <= qmax:
        return _limited(qa, dtype, scale, moved, moved if relu else qmin)
    if moved < qmin:
        scale, moved = (float(qmax) - moved) / (float(qmax) - qmin) * scale, qmin
    else:
        scale, moved = (float(moved) - qmin) / (float(qmax) - qmin) * scale, qmax
    scale = _checks.scale(op, "the scale of the result", scale)
    flat, out, flat_out, _, _ = arrange(qa._ints)
    threads = _threads.threads_for(flat.size, _GRAIN)
    kernel = kernels.typed("binary", "shift", dtype.ctype)
    lo = moved if relu else qmin
    kernel(flat, flat_out, qa._scale, zero_point, c, scale, moved, lo, qmax, threads)
    return QTensor(out, dtype, scale, moved)


def _mul_scalar(op: str, qa: Any, b: Any, relu: bool) -> QTensor:
    _checks.qtensor(op, "qa", qa, _DTYPES)
    b = _finite(op, b)
    dtype, zero_point = qa._dtype, qa.q_zero_point()
    if b == 0.0:
        _, out, flat_out, _, _ = arrange(qa._ints)
        flat_out[...] = 0
        return QTensor(out, dtype, 1.0, 0)
    scale = _checks.scale(op, "the scale of the result", abs(b) * qa.q_scale())
    if b > 0.0:
        return _limited(qa, dtype, scale, zero_point, zero_point if relu else dtype.qmin)
    zero_point = dtype.qmax - (zero_point - dtype.qmin)
    flat, out, flat_out, _, _ = arrange(qa._ints)
    threads = _threads.threads_for(flat.size, _GRAIN)
    kernel = kernels.typed("binary", "reflect", dtype.ctype)
    kernel(flat, flat_out, zero_point if relu else dtype.qmin, threads)
    return QTensor(out, dtype, scale, zero_point)


def _finite(op: str, b: Any) -> float:
    value = _checks.number(op, "b", b)
    if not math.isfinite(value):
        raise ValueError(f"{op}: b must be finite; got {value}")
    return value


def _limited(x: QTensor, dtype: DType, scale: float, zero_point: int, lo: int) -> QTensor:
    """The integers of `x`, at least `lo`, with other quantization parameters."""
    flat, out, flat_out, _, _ = arrange(x._ints)
    threads = _threads.threads_for(flat.size, _GRAIN)
    kernels.typed("unary", "clamp", dtype.ctype)(flat, flat_out, lo, dtype.qmax, threads)
    return QTensor(out, dtype, scale, zero_point)


def _cat(op: str, qx: Any, dim: Any, scale: Any, zero_point: Any, relu: bool) -> QTensor:
    if not isinstance(qx, (list, tuple)):
        raise TypeError(f"{op}: qx must be a list or tuple of QTensors; got {_checks.kind(qx)}")
    if not qx:
        raise ValueError(f"{op}: qx must hold at least one QTensor; got none")
    for i, x in enumerate(qx):
        _checks.qtensor(op, f"qx[{i}]", x, _DTYPES)
        if x._dtype is not qx[0]._dtype:
            raise TypeError(f"{op}: qx[{i}] must have qx[0]'s dtype, {qx[0]._dtype.name}; got {x._dtype.name}")
        if x.ndim == 0:
            raise ValueError(f"{op}: qx[{i}] must have at least one dimension; got a 0-d QTensor")
    first = qx[0]
    dtype = first._dtype
    scale = first.q_scale() if scale is None else _checks.scale(op, "scale", scale)
    zero_point = first.q_zero_point() if zero_point is None else _checks.zero_point(op, "zero_point", zero_point, dtype)
    tensors = [x for x in qx if x.shape != (0,)] or [first]
    dim = _checks.integer(op, "dim", dim)
    shape = tensors[0].shape
    n = len(shape)
    if not -n <= dim < n:
        raise IndexError(f"{op}: dim must be in [{-n}, {n - 1}] for {n}-dimensional tensors; got {dim}")
    axis = dim % n
    for x in tensors:
        if x.ndim != n or (*x.shape[:axis], *x.shape[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
            raise ValueError(f"{op}: qx must have equal shapes except in dimension {axis}; got {shape} and {x.shape}")
    # torch has a kernel of its own for channels-last images; dim=-3 does not lead to it
    arrays = [x._ints for x in tensors]
    nhwc = dim == 1 and n == 4 and len(tensors) == len(qx) and all(map(_layout.is_channels_last, arrays))
    last = nhwc or all(_layout.suggests_channels_last(x._ints.shape, x._ints.strides) for x in qx)
    out_shape = [*shape[:axis], sum(a.shape[axis] for a in arrays), *shape[axis + 1 :]]
    if last:
        arrays = [_layout.channels_last(a) for a in arrays]
        out_shape = [out_shape[0], *out_shape[2:], out_shape[1]]
        axis = {0: 0, 1: n - 1}.get(axis, axis - 1)
    base = np.empty(out_shape, dtype.numpy)
    if base.size:
        rows = math.prod(out_shape[:axis])
        table = base.reshape(rows, -1)
        kernel = kernels.typed("binary", "cat_nhwc" if nhwc else "cat_rows", dtype.ctype)
        start = 0
        for x, a in zip(tensors, arrays, strict=True):
            part = np.ascontiguousarray(a).reshape(rows, -1)
            stop = start + part.shape[1]
            if nhwc and not relu and x._scale == scale and x._zero_point == zero_point:
                table[:, start:stop] = part
            else:
                threads = min(rows, _threads.threads_for(part.size, _GRAIN))
                qparams = (x._scale, x._zero_point, scale, zero_point)
                kernel(part, table, start, *qparams, dtype.qmin, dtype.qmax, relu, threads)
            start = stop
    return QTensor(_layout.channels_first(base) if last else base, dtype, scale, zero_point)
