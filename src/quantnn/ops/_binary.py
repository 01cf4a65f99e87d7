"""Operators of two tensors, of a tensor and a number, and concatenation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, channels_last, laid, lies
from ..tensor import DType, QTensor, formed, per_tensor_affine, qint8, qint32, quint8
from ._unary import Plan, clamped, plan, run, tabled

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
    return combined("add", qa, qb, scale, zero_point)


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
    return combined("add_relu", qa, qb, scale, zero_point)


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
    return combined("mul", qa, qb, scale, zero_point)


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
    return combined("mul_relu", qa, qb, scale, zero_point)


def prelu(qx: QTensor, weight: QTensor, output_scale: Any, output_zero_point: Any) -> QTensor:
    """Compute ``x`` where ``x > 0``, else ``weight * x``.

    Parameters
    ----------
    qx : QTensor
        Shape (N, C, *) or (C,); quint8, qint8 or qint32, quantized per tensor.
    weight : QTensor
        Of the same dtype, quantized per tensor; shape (1,), one factor for all, or (C,).
    output_scale : float
        Of the result.
    output_zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype and memory format of `qx`.

    Raises
    ------
    TypeError, ValueError
        If `qx` and `weight` are not such tensors or the quantization parameters are out of range.

    Notes
    -----
    With z and zw the zero points of `qx` and `weight` and ``one = quantize(1) - zw`` in the qparams of `weight`:
    ``clamp(rne(((max(q, z) - z) * one + (min(q, z) - z) * (qw - zw)) * m) + output_zero_point)`` with
    ``m = scale * weight_scale / output_scale`` in float32. So positive values are right only if `weight` can hold 1.
    Exactly torch's ``torch.ops.quantized.prelu``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[0, 2, 8], [9, 10, 18]], np.uint8), 0.5, 10)
    >>> w = quantnn.make_per_tensor_quantized_tensor(np.array([0, 64, 128], np.uint8), 1 / 256, 0)
    >>> quantnn.ops.prelu(x, w, 0.5, 10).int_repr()
    array([[10,  8,  9],
           [10, 10, 18]], dtype=uint8)
    """
    op = "prelu"
    dtype = _checks.qtensor(op, "qx", qx, _DTYPES)._dtype
    if _checks.qtensor(op, "weight", weight, _DTYPES)._dtype is not dtype:
        raise TypeError(f"{op}: weight must have qx's dtype, {dtype.name}; got {weight._dtype.name}")
    scale = _checks.scale(op, "output_scale", output_scale)
    zero_point = _checks.zero_point(op, "output_zero_point", output_zero_point, dtype)
    form = qx._form or qx._formed()
    factors = weight._ints
    if not form.shape or factors.ndim != 1 or factors.size not in (1, form.shape[1 if len(form.shape) > 1 else 0]):
        raise ValueError(
            f"{op}: weight must have shape (1,) or (C,) for the channels of qx, its dimension 1; got shapes "
            f"{factors.shape} and {form.shape}"
        )
    qparams = (weight._scale, weight._zero_point, qx._scale, qx._zero_point, scale, zero_point)
    if factors.size == 1 and dtype is not qint32:
        return run(_prelu_plan(form, factors.item(), *qparams), qx, scale, zero_point)
    p = plan("binary", "prelu", form, _GRAIN)
    # how many elements lie side by side that have one weight
    inner = form.size if factors.size == 1 else p.form.strides[1 if len(form.shape) > 1 else 0] // form.numpy.itemsize
    return run(p, qx, scale, zero_point, *_prelu_arguments(factors, max(1, inner), dtype, *qparams))


def _prelu_arguments(
    weight: np.ndarray, inner: int, dtype: DType, weight_scale: float, weight_zero: int, x_scale: float, x_zero: int,
    scale: float, zero_point: int,
) -> tuple[Any, ...]:  # fmt: skip
    """Those of the kernel, after the elements and the place of their results."""
    one = kernels.unary.bound(1.0, weight_scale, weight_zero, dtype.qmin, dtype.qmax) - weight_zero
    factors = (weight.astype(np.int64) - weight_zero).astype(np.int32)  # a few numbers; they wrap as torch's do
    wrapped = (one + 2**31) % 2**32 - 2**31
    return factors, inner, wrapped, x_scale, x_zero, weight_scale, scale, zero_point, dtype.qmin, dtype.qmax


@planned
def _prelu_plan(x: Form, weight: int, *qparams: Any) -> Plan:
    """Plan for 8-bit integers and one weight: a table."""
    every, table = np.arange(256, dtype=np.uint8), np.empty(256, x.dtype.numpy)
    kernels.binary.prelu(every, table, *_prelu_arguments(np.array([weight]), 256, x.dtype, *qparams), 1)
    return tabled(x, table)


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
    return run_cat("cat", qx, dim, scale, zero_point)


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
    return run_cat("cat_relu", qx, dim, scale, zero_point)


def combined(op: str, qa: Any, qb: Any, scale: Any, zero_point: Any) -> QTensor:
    """`add`, `mul` and their forms with relu, by name."""
    dtype = _checks.qtensor(op, "qa", qa, _DTYPES)._dtype
    if _checks.qtensor(op, "qb", qb, _DTYPES)._dtype is not dtype:
        raise TypeError(f"{op}: qb must have qa's dtype, {dtype.name}; got {qb._dtype.name}")
    if type(scale) is not float or type(zero_point) is not int:
        scale, zero_point = _checks.qparams(op, scale, zero_point, dtype)
    a, b = qa._form or qa._formed(), qb._form or qb._formed()
    p = _plan(op, a, qa._scale, qa._zero_point, b, qb._scale, qb._zero_point, scale, zero_point)
    kernel, arguments, swap, order_a, order_b, form, threads = p
    out = _layout.empty((form.size,), form.numpy)
    if threads:
        if swap:
            qa, qb = qb, qa
        kernel(
            qa._block if order_a is None else _layout.ordered(qa._ints, order_a),
            qb._block if order_b is None else _layout.ordered(qb._ints, order_b),
            out, *arguments, _threads.at_most(threads),
        )  # fmt: skip
    return formed(out, form, scale, zero_point)


class _Plan(NamedTuple):
    """How `add` and `mul` go through their memory; see _kernels/binary.pyx.

    The operands are a and b after swapping them if `swap` says so. `order_a` and `order_b` are the axes of
    each operand from the outermost in memory to the innermost (None: it is dense and read as it lies).
    """

    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]  # of the kernel, after the operands and the place of the result
    swap: bool
    order_a: tuple[int, ...] | None
    order_b: tuple[int, ...] | None
    form: Form  # of the result
    threads: int  # at most; 0 without elements


@planned
def _plan(
    op: str, a: Form, scale_a: float, zero_a: int, b: Form, scale_b: float, zero_b: int, scale: float, zero_point: int
) -> _Plan:
    """Check the output's qparams and the shapes, and plan.

    The output's memory order is torch's: channels-last if the first operand is. But torch's add makes an
    output of the first operand's shape and resizes it where that is not the result's: then the order
    follows the strides of both operands.
    """
    dtype = a.dtype
    _checks.qparams(op, scale, zero_point, dtype)
    shape_a, strides_a, shape_b, strides_b = a.shape, a.strides, b.shape, b.strides
    try:
        shape = np.broadcast_shapes(shape_a, shape_b)
    except (ValueError, RuntimeError):  # the latter for more than 32 dimensions
        _checks.rank(op, max(len(shape_a), len(shape_b)))
        raise ValueError(f"{op}: qa and qb must have shapes that broadcast; got {shape_a} and {shape_b}") from None
    name = op.removesuffix("_relu")
    adds, relu = name == "add", op != name
    itemsize = a.numpy.itemsize
    n = len(shape)
    across_a, across_b = _across(shape, shape_a, strides_a), _across(shape, shape_b, strides_b)
    if adds and shape_a != shape:
        order = tuple(_layout.iteration_order(shape, [across_a, across_b]))
    elif n == len(shape_a) and _layout.suggests_channels_last(shape_a, strides_a):
        order = channels_last(n)
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
    swap = inner_a == 0
    outer = np.array([[g[0], *g[3:]] for g in groups[1:]], np.intp) if groups[1:] else None
    qparams_a, qparams_b = (scale_a, zero_a), (scale_b, zero_b)
    if swap:
        outer = None if outer is None else np.ascontiguousarray(outer[:, [0, 2, 1]])
        order_a, order_b, inner_a, inner_b = order_b, order_a, inner_b, inner_a
        qparams_a, qparams_b = qparams_b, qparams_a
    arguments: tuple[Any, ...] = (outer, inner_a, inner_b, run)
    qparams = (*qparams_a, *qparams_b, scale, zero_point)
    if adds:
        vector = {stride_a, stride_b} <= {0, itemsize} and (stride_a or stride_b)
        arguments += (run - run % (64 // itemsize) if vector else 0, *qparams, dtype.qmin, dtype.qmax, relu)
    else:
        arguments += (*qparams, zero_point if relu else dtype.qmin, dtype.qmax)
    size = math.prod(shape)
    return _Plan(
        getattr(kernels.binary, name),
        arguments,
        swap,
        order_a,
        order_b,
        laid(dtype, shape, order),
        max(1, size // _GRAIN) if size else 0,
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
    """The axes by which an operand is read, and its steps (elements) along the output's dimensions.

    A dense operand is read as it lies, another is copied into the output's order.
    """
    missing = len(shape) - len(own)
    axes = sorted(range(len(own)), key=lambda i: (-strides[i], i))
    as_it_lies = lies(own, strides, axes, itemsize)
    if not as_it_lies:
        axes = [d - missing for d in order if d >= missing]
    steps = [0] * len(shape)
    step = 1
    for axis in reversed(axes):
        if own[axis] != 1:
            steps[axis + missing] = step
        step *= own[axis]
    return None if as_it_lies else tuple(axes), steps


def _add_scalar(op: str, qa: Any, b: Any, relu: bool) -> QTensor:
    _checks.qtensor(op, "qa", qa, _DTYPES)
    b = _checks.finite(op, "b", b)
    dtype, scale, zero_point = qa._dtype, qa._scale, qa._zero_point
    qmin, qmax = dtype.qmin, dtype.qmax
    quanta = b / scale
    if not -(2.0**31) - 0.5 <= quanta < 2.0**31 - 0.5:
        raise ValueError(f"{op}: b / qa.q_scale() must round to an int32; got {quanta}")
    c = round(quanta)
    moved = zero_point - c
    if qmin <= moved <= qmax:
        return clamped(qa, moved if relu else qmin, qmax, scale, moved)
    if moved < qmin:
        scale, moved = (float(qmax) - moved) / (float(qmax) - qmin) * scale, qmin
    else:
        scale, moved = (float(moved) - qmin) / (float(qmax) - qmin) * scale, qmax
    scale = _checks.scale(op, "the scale of the result", scale)
    p = plan("binary", "shift", qa._form or qa._formed(), _GRAIN)
    return run(p, qa, scale, moved, qa._scale, zero_point, c, scale, moved, moved if relu else qmin, qmax)


def _mul_scalar(op: str, qa: Any, b: Any, relu: bool) -> QTensor:
    _checks.qtensor(op, "qa", qa, _DTYPES)
    b = _checks.finite(op, "b", b)
    dtype, zero_point = qa._dtype, qa._zero_point
    if b == 0.0:
        return clamped(qa, 0, 0, 1.0, 0)
    scale = _checks.scale(op, "the scale of the result", abs(b) * qa._scale)
    if b > 0.0:
        return clamped(qa, zero_point if relu else dtype.qmin, dtype.qmax, scale, zero_point)
    zero_point = dtype.qmax - (zero_point - dtype.qmin)
    p = plan("binary", "reflect", qa._form or qa._formed(), _GRAIN)
    return run(p, qa, scale, zero_point, zero_point if relu else dtype.qmin)


def run_cat(op: str, qx: Any, dim: Any, scale: Any, zero_point: Any) -> QTensor:
    """`cat` and `cat_relu` by name."""
    if not isinstance(qx, (list, tuple)):
        raise TypeError(f"{op}: qx must be a list or tuple of QTensors; got {_checks.kind(qx)}")
    if not qx:
        raise ValueError(f"{op}: qx must hold at least one QTensor; got none")
    given: list[Any] = []
    for i, x in enumerate(qx):
        if type(x) is not QTensor or x._qscheme is not per_tensor_affine or x._dtype not in _DTYPES:
            _checks.qtensor(op, f"qx[{i}]", x, _DTYPES)
        given += (x._form or x._formed(), x._scale, x._zero_point)
    dtype = qx[0]._dtype
    scale = given[1] if scale is None else scale if type(scale) is float else _checks.scale(op, "scale", scale)
    if type(zero_point) is not int:
        zero_point = given[2] if zero_point is None else _checks.zero_point(op, "zero_point", zero_point, dtype)
    if type(dim) is not int:
        dim = _checks.integer(op, "dim", dim)
    p = _cat_plan(op, dim, scale, zero_point, *given)
    parts, form = p
    out = _layout.empty((form.size,), form.numpy)
    for kernel, arguments, i, order, threads in parts:
        x = qx[i]
        block = x._block if order is None else _layout.ordered(x._ints, order)
        kernel(block, out, *arguments, _threads.at_most(threads))
    return formed(out, form, scale, zero_point)


class _Part(NamedTuple):
    """What `cat` does with one of its tensors."""

    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]  # of the kernel, after the tensor and the place of the result
    tensor: int  # its place among them
    order: tuple[int, ...] | None  # the axes by which it is read; None: as it lies
    threads: int  # at most


class _CatPlan(NamedTuple):
    """How `cat` goes through memory: what it does with each tensor that has elements."""

    parts: list[_Part]
    form: Form  # of the result, whose rows hold those of the parts side by side


@planned
def _cat_plan(op: str, dim: int, scale: float, zero_point: int, *given: Any) -> _CatPlan:
    """Check the qparams and shapes and plan; `given` are the form, scale and zero point of each tensor."""
    forms: tuple[Form, ...] = given[::3]
    dtype = forms[0].dtype
    for i, x in enumerate(forms):
        if x.dtype is not dtype:
            raise TypeError(f"{op}: qx[{i}] must have qx[0]'s dtype, {dtype.name}; got {x.dtype.name}")
        if not x.shape:
            raise ValueError(f"{op}: qx[{i}] must have at least one dimension; got a 0-d QTensor")
    _checks.scale(op, "scale", scale)
    _checks.zero_point(op, "zero_point", zero_point, dtype)
    _checks.integer(op, "dim", dim)
    shapes = [x.shape for x in forms if x.shape != (0,)] or [forms[0].shape]
    shape = shapes[0]
    n = len(shape)
    if not -n <= dim < n:
        raise IndexError(f"{op}: dim must be in [{-n}, {n - 1}] for {n}-dimensional tensors; got {dim}")
    axis = dim % n
    for s in shapes:
        if len(s) != n or (*s[:axis], *s[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
            raise ValueError(f"{op}: qx must have equal shapes except in dimension {axis}; got {shape} and {s}")
    order = channels_last(n) if n > 1 else (0,)
    itemsize = forms[0].numpy.itemsize
    # dim=-3 does not lead to torch's kernel for channels-last images
    nhwc = dim == 1 and n == 4 and len(shapes) == len(forms)
    nhwc = nhwc and all(lies(x.shape, x.strides, order, itemsize) for x in forms)
    if not nhwc and not all(_layout.suggests_channels_last(x.shape, x.strides) for x in forms):
        order = tuple(range(n))
    rows = math.prod(shape[i] for i in order[: order.index(axis)])
    result = (*shape[:axis], sum(s[axis] for s in shapes), *shape[axis + 1 :])
    width = math.prod(result) // rows if rows else 0
    parts = []
    start = 0
    for i, x in enumerate(forms):
        if rows and x.size:
            columns = x.size // rows
            reads = None if lies(x.shape, x.strides, order, itemsize) else order
            qparams = (*given[3 * i + 1 : 3 * i + 3], scale, zero_point)
            kernel, arguments = _cat_kernel(nhwc, op == "cat_relu", dtype, *qparams)
            threads = min(rows, max(1, x.size // _GRAIN))
            parts.append(_Part(kernel, (columns, start, width, *arguments), i, reads, threads))
            start += columns
    return _CatPlan(parts, laid(dtype, result, order))


def _cat_kernel(nhwc: bool, relu: bool, dtype: DType, *qparams: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What requantizes the integers of a tensor, and its arguments after those that tell where they go."""
    same = nhwc and not relu and qparams[:2] == qparams[2:]
    if dtype is qint32:
        if same:
            return kernels.binary.cat_copy, ()
        kernel = kernels.binary.cat_nhwc if nhwc else kernels.binary.cat_rows
        return kernel, (*qparams, dtype.qmin, dtype.qmax, relu)
    tables, copied = _cat_tables(nhwc, relu, dtype, *qparams)
    return (kernels.binary.cat_copy, ()) if same or copied else (kernels.binary.cat_lookup, (tables,))


@planned
def _cat_tables(nhwc: bool, relu: bool, dtype: DType, *qparams: Any) -> tuple[np.ndarray, bool]:
    """What becomes of each of the 256 bytes, as a vector element and then as another; whether that is itself."""
    every, tables = np.arange(256, dtype=np.uint8), np.empty((2, 256), np.uint8)
    kernel = kernels.binary.cat_nhwc if nhwc else kernels.binary.cat_rows
    for table, columns in zip(tables.view(dtype.numpy), (256, 1), strict=True):
        kernel(every, table, columns, 0, columns, *qparams, dtype.qmin, dtype.qmax, relu, 1)
    return tables, bool((tables == every).all())
