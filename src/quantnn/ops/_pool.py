"""Pooling operators."""

from __future__ import annotations

import math
from operator import lt
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, channels_last, laid, lies
from ..tensor import DType, QTensor, formed, qint8, qint32, quint8

_DTYPES = (quint8, qint8, qint32)

# Float arrays, as far as maxima are concerned.
_FLOAT = DType("float32", np.float32, -math.inf, math.inf, 32)

# Input elements that a thread should have to itself.
_GRAIN = 1 << 16

# Channels in one step of torch's vector loops, which round differently from what is left over.
_AVERAGE_GROUP = 16
_ADAPTIVE_GROUP = 8


class Images(NamedTuple):
    """How kernels go through a tensor with spatial dimensions."""

    order: tuple[int, ...] | None  # the axes by which it is read; None: as it lies
    block: tuple[int, ...]  # (images, D, H, W, channels) then; channels is 1 unless channels-last
    channels_last: bool  # which of torch's two rules applies
    out: tuple[int, ...]  # the same of the result
    form: Form  # of the result
    copies: bool  # whether the result then goes from channels-last to contiguous memory


def images(x: Form, out: tuple[int, ...], to_channels_last: bool = False) -> Images:
    """How to go through `x`, whose last dimensions are those of images, for a result of the spatial sizes `out`.

    With `to_channels_last` it becomes channels-last, whatever it is.
    """
    shape, strides, itemsize = x.shape, x.strides, x.numpy.itemsize
    n, spatial = len(shape), len(out)
    lead, ones = shape[:-spatial], (1,) * (3 - spatial)
    contiguous = lies(shape, strides, range(n), itemsize)
    order: tuple[int, ...] | None = None
    channels, copies = 1, False
    as_it_lies = contiguous
    last = len(lead) == 2 and (to_channels_last or lies(shape, strides, channels_last(n), itemsize))
    if to_channels_last:
        order, channels = channels_last(n), lead[1]
        as_it_lies = lies(shape, strides, order, itemsize)
    elif last:
        as_it_lies = True
        order, channels = channels_last(n), lead[1]
        if contiguous and not _layout.suggests_channels_last(shape, strides):
            # C = 1 or 1x1 images: both orders hold them, and torch's choice is the contiguous one
            copies = channels > 1 and math.prod(out) > 1
            order = order if copies else None
    count = math.prod(lead) // channels if channels else lead[0]
    return Images(
        None if as_it_lies else order if to_channels_last else tuple(range(n)),
        (count, *ones, *shape[-spatial:], channels),
        last,
        (count, *ones, *out, channels),
        laid(x.dtype, (*lead, *out), order),
        copies,
    )


def _check_shape(op: str, shape: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    if len(shape) not in ranks:
        sizes = ("D", "H", "W")[5 - ranks[-1] :] if ranks[-1] > 3 else ("L",)
        accepted = " or ".join(f"({', '.join((*('N', 'C')[ranks[-1] - r :], *sizes))})" for r in ranks)
        raise ValueError(f"{op}: input must have shape {accepted}; got {shape}")
    batched = len(shape) == ranks[-1]
    if 0 in shape[batched:]:
        raise ValueError(f"{op}: input must have no dimension of size 0 except the batch; got shape {shape}")


def check_fits(op: str, name: str, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    """Refuse sizes of a result that no memory has."""
    if math.prod((*shape[: -len(out)], *out)) >= 2**60:
        raise ValueError(f"{op}: {name} must leave a result that fits into memory; got {out}")


def _steps(op: str, stride: Any, n: int) -> tuple[int, ...] | None:
    if isinstance(stride, (tuple, list)) and not stride:
        return None
    return _checks.integers(op, "stride", stride, n, 1)


def _padding(op: str, padding: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    result = _checks.integers(op, "padding", padding, len(kernel), 0)
    if any(map(lt, kernel, [2 * p for p in result])):
        raise ValueError(
            f"{op}: padding must be at most half of kernel_size; got padding {result} for kernel_size {kernel}"
        )
    return result


def _out_sizes(
    op: str,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> tuple[int, ...]:
    sizes = []
    for i, n in enumerate(size):
        s, p = stride[i], padding[i]
        out = (n + 2 * p - dilation[i] * (kernel[i] - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (out - 1) * s >= n + p:
            out -= 1  # the last window would lie in the padding alone
        sizes.append(out)
    if min(sizes) < 1:
        raise ValueError(
            f"{op}: input must be at least as large as the window; got size {tuple(size)} for kernel_size "
            f"{tuple(kernel)}, padding {tuple(padding)}, dilation {tuple(dilation)}, which leave an output of "
            f"size {tuple(sizes)}"
        )
    return tuple(sizes)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: Any = False,
) -> Any:
    """Take the maximum of each window of an image.

    Parameters
    ----------
    input : QTensor or numpy.ndarray
        Shape (N, C, H, W) or (C, H, W); quint8, qint8, qint32, or a float32 array.
    kernel_size : int or tuple of 2 ints
        Height and width of the window.
    stride : int or tuple of 2 ints, optional
        Steps of the window; `kernel_size` if None or empty.
    padding : int or tuple of 2 ints
        Rows and columns added at every edge, at most half of `kernel_size`. They are never the maximum.
    dilation : int or tuple of 2 ints
        Steps between the elements of a window.
    ceil_mode : bool
        Whether a last window that reaches past the edge counts, if it begins inside the image or its padding.
    return_indices : bool
        Must be false.

    Returns
    -------
    QTensor or numpy.ndarray
        Shape (N, C, H_out, W_out) or (C, H_out, W_out), with the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError
        If `input` is no QTensor and no float32 array, or another argument is no integer.
    ValueError
        If a size is out of range, or no output is left.
    NotImplementedError
        If `return_indices` is true.

    Notes
    -----
    ``H_out = (H + 2*padding - dilation*(kernel_size - 1) - 1) // stride + 1``, rounded up with `ceil_mode`. A window
    without an element gives the smallest value of the dtype. torch's ``torch.nn.quantized.functional.max_pool2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4), 0.5, 0)
    >>> quantnn.functional.max_pool2d(x, 2).int_repr()
    array([[[[ 5,  7],
             [13, 15]]]], dtype=uint8)
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: Any = False,
) -> Any:
    """Take the maximum of each window of a sequence.

    Parameters
    ----------
    input : QTensor or numpy.ndarray
        Shape (N, C, L) or (C, L); quint8, qint8, qint32, or a float32 array.
    kernel_size, stride, padding, dilation : int or tuple of 1 int
        As for `max_pool2d`.
    ceil_mode, return_indices : bool
        As for `max_pool2d`.

    Returns
    -------
    QTensor or numpy.ndarray
        Shape (N, C, L_out) or (C, L_out), with the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As `max_pool2d`.

    Notes
    -----
    Exactly torch's ``torch.ao.nn.quantized.functional.max_pool1d``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[1, 5, 3, 2, 4]], np.uint8), 0.5, 0)
    >>> quantnn.functional.max_pool1d(x, 3, 2, 1).int_repr()
    array([[5, 5, 4]], dtype=uint8)
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: Any = False,
) -> Any:
    """Take the maximum of each window of a volume.

    Parameters
    ----------
    input : QTensor or numpy.ndarray
        Shape (N, C, D, H, W); quint8, qint8, qint32, or a float32 array.
    kernel_size, stride, padding, dilation : int or tuple of 3 ints
        As for `max_pool2d`.
    ceil_mode, return_indices : bool
        As for `max_pool2d`.

    Returns
    -------
    QTensor or numpy.ndarray
        Shape (N, C, D_out, H_out, W_out), with the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As `max_pool2d`.

    Notes
    -----
    Exactly torch's ``torch.nn.functional.max_pool3d`` of a quantized tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 2, 2), 0.5, 0)
    >>> quantnn.ops.max_pool3d(x, (1, 2, 2)).int_repr().ravel()
    array([3, 7], dtype=uint8)
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(
    n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any, return_indices: Any
) -> Any:
    op = f"max_pool{n}d"
    if return_indices is not False and _checks.flag(op, "return_indices", return_indices):
        raise NotImplementedError(f"{op}: return_indices is not implemented for quantized tensors; leave it False")
    floats = isinstance(input, np.ndarray)
    if floats:
        if input.dtype.type is not np.float32:
            raise TypeError(f"{op}: input must be a QTensor or a float32 array; got {_checks.kind(input)}")
        x = QTensor(input.astype(np.float32, copy=False), _FLOAT, 1.0, 0)
    else:
        x = _checks.qtensor(op, "input", input, _DTYPES)
    plan = _max_plan(
        n,
        x._form or x._formed(),
        kernel_size if type(kernel_size) is int else _checks.integers(op, "kernel_size", kernel_size, n, 1),
        stride if stride is None or type(stride) is int else _steps(op, stride, n),
        padding if type(padding) is int else _checks.integers(op, "padding", padding, n, 0),
        dilation if type(dilation) is int else _checks.integers(op, "dilation", dilation, n, 1),
        ceil_mode if type(ceil_mode) is bool else _checks.flag(op, "ceil_mode", ceil_mode),
    )
    y = _pooled(x, plan)
    return y._ints if floats else y


class _Plan(NamedTuple):
    """What a pooling does with inputs of one form."""

    kernel: Any
    how: Images
    arguments: tuple[Any, ...]  # of the kernel, after the shapes
    threads: int  # at most; 0 without elements


def _pooled(x: QTensor, plan: _Plan) -> QTensor:
    kernel, how, arguments, most = plan
    order, shape, _, sizes, form, copies = how
    out = _layout.empty((form.size,), form.numpy)
    if most:
        block = x._block if order is None else _layout.ordered(x._ints, order)
        kernel(block, out, shape, sizes, *arguments, _threads.at_most(most))
    y = formed(out, form, x._scale, x._zero_point)
    return y.contiguous() if copies else y


@planned
def _max_plan(
    n: int,
    x: Form,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] | None,
    padding: int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    ceil_mode: bool,
) -> _Plan:
    op = f"max_pool{n}d"
    _check_shape(op, x.shape, (n + 1, n + 2) if n < 3 else (5,))
    kernel = _checks.integers(op, "kernel_size", kernel_size, n, 1)
    steps = kernel if stride is None else _checks.integers(op, "stride", stride, n, 1)
    pad = _padding(op, padding, kernel)
    holes = _checks.integers(op, "dilation", dilation, n, 1)
    how = images(x, _out_sizes(op, x.shape[-n:], kernel, steps, pad, holes, ceil_mode))
    ones = (1,) * (3 - n)
    return _Plan(
        kernels.pool.max_pool,
        how,
        ((*ones, *kernel), (*ones, *steps), (*(0 for _ in ones), *pad), (*ones, *holes), x.dtype.qmin),
        _threads_for(x),
    )


def _threads_for(x: Form) -> int:
    return max(1, x.size // _GRAIN) if x.size else 0


def _average_plan(
    x: Form,
    how: Images,
    windows: tuple[tuple[int, ...], ...],
    count_include_pad: bool,
    divisor: int,
    group: int,
    zero_point: int,
) -> _Plan:
    """Plan for averages; `windows` are kernel, stride and padding. A kernel size of 0 is an adaptive window."""
    dtype, channels = x.dtype, how.block[4]
    vector = how.channels_last and dtype is not qint32
    split = channels // group * group if vector else 0
    numbers = (how.channels_last, count_include_pad, divisor, split, zero_point, dtype.qmin, dtype.qmax)
    return _Plan(
        kernels.pool.average,
        how,
        (*windows, *numbers),
        _threads_for(x),
    )


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> QTensor:
    """Take the average of each window of an image.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, H, W) or (C, H, W); quint8, qint8 or qint32.
    kernel_size : int or tuple of 2 ints
        Height and width of the window.
    stride : int or tuple of 2 ints, optional
        Steps of the window; `kernel_size` if None or empty.
    padding : int or tuple of 2 ints
        Rows and columns of zeros added at every edge, at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window that reaches past the edge counts, if it begins inside the image or its padding.
    count_include_pad : bool
        Whether the padding counts as elements of the window.
    divisor_override : int, optional
        What to divide a window's sum by, in place of the number of its elements. Not 0.

    Returns
    -------
    QTensor
        Shape (N, C, H_out, W_out) or (C, H_out, W_out), with the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError
        If `input` is no QTensor, or another argument is no integer.
    ValueError
        If a size is out of range, the divisor is 0, or no output is left.

    Notes
    -----
    ``q = clamp(rne((sum(q_i) - zero_point*count) / divisor + zero_point))``, in float32. Where the result lies halfway
    between two integers the rounding depends on the memory order and the channel, as in torch. torch's
    ``torch.nn.quantized.functional.avg_pool2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(0, 32, 2, dtype=np.uint8).reshape(1, 1, 4, 4), 0.5, 0)
    >>> quantnn.functional.avg_pool2d(x, 2).int_repr()
    array([[[[ 5,  9],
             [21, 25]]]], dtype=uint8)
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> QTensor:
    """Take the average of each window of a volume.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, D, H, W); quint8, qint8 or qint32.
    kernel_size, stride, padding : int or tuple of 3 ints
        As for `avg_pool2d`.
    ceil_mode, count_include_pad : bool
        As for `avg_pool2d`.
    divisor_override : int, optional
        What to divide a window's sum by, in place of the number of its elements. Not 0.

    Returns
    -------
    QTensor
        Shape (N, C, D_out, H_out, W_out), with the dtype, scale and zero point of `input`, channels-last in memory.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Notes
    -----
    The formula is that of `avg_pool2d`. Exactly torch's ``torch.ao.nn.quantized.functional.avg_pool3d``, which gives
    the result channels-last memory.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 2, 2), 0.5, 0)
    >>> quantnn.functional.avg_pool3d(x, (2, 1, 1)).int_repr().ravel()
    array([2, 3, 4, 5], dtype=uint8)
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _avg_pool(
    n: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> QTensor:
    op = f"avg_pool{n}d"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    if divisor_override is not None:
        divisor_override = _checks.integer(op, "divisor_override", divisor_override, -(2**63), 2**63 - 1)
    plan = _avg_plan(
        n,
        x._form or x._formed(),
        x._zero_point,
        kernel_size if type(kernel_size) is int else _checks.integers(op, "kernel_size", kernel_size, n, 1),
        stride if stride is None or type(stride) is int else _steps(op, stride, n),
        padding if type(padding) is int else _checks.integers(op, "padding", padding, n, 0),
        ceil_mode if type(ceil_mode) is bool else _checks.flag(op, "ceil_mode", ceil_mode),
        count_include_pad
        if type(count_include_pad) is bool
        else _checks.flag(op, "count_include_pad", count_include_pad),
        divisor_override,
    )
    return _pooled(x, plan)


@planned
def _avg_plan(
    n: int,
    x: Form,
    zero_point: int,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] | None,
    padding: int | tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> _Plan:
    op = f"avg_pool{n}d"
    _check_shape(op, x.shape, (3, 4) if n == 2 else (5,))
    kernel = _checks.integers(op, "kernel_size", kernel_size, n, 1)
    steps = kernel if stride is None else _checks.integers(op, "stride", stride, n, 1)
    pad = _padding(op, padding, kernel)
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override must not be 0")
    how = images(x, _out_sizes(op, x.shape[-n:], kernel, steps, pad, (1,) * n, ceil_mode), n == 3)
    ones = (1,) * (3 - n)
    windows = ((*ones, *kernel), (*ones, *steps), (*(0 for _ in ones), *pad))
    return _average_plan(x, how, windows, count_include_pad, divisor or 0, _AVERAGE_GROUP, zero_point)


def adaptive(op: str, name: str, x: QTensor, out_size: tuple[int, ...]) -> QTensor:
    """Average windows that divide the last dimensions of `x` into `out_size`.

    `name` is the argument that asked for the size.
    """
    return _pooled(x, _adaptive_plan(op, name, x._form or x._formed(), x._zero_point, out_size))


@planned
def _adaptive_plan(op: str, name: str, x: Form, zero_point: int, out_size: tuple[int, ...]) -> _Plan:
    check_fits(op, name, x.shape, out_size)
    return _average_plan(x, images(x, out_size), ((0, 0, 0),) * 3, True, 0, _ADAPTIVE_GROUP, zero_point)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> QTensor:
    """Take averages of windows such that the result has a given size.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, H, W) or (C, H, W); quint8, qint8 or qint32.
    output_size : int or tuple of 2 ints or None
        Height and width of the result; None in the tuple keeps that of `input`.

    Returns
    -------
    QTensor
        Shape (N, C, *output_size) or (C, *output_size), with the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError
        If `input` is no QTensor, or a size is no integer.
    ValueError
        If a size is less than 1, or `input` has another number of dimensions.

    Notes
    -----
    Output element o of an axis is the average of the input elements from ``floor(o*in/out)`` to
    ``ceil((o + 1)*in/out)``, exclusive. Halfway cases are rounded as torch rounds them in the same memory order.
    torch's ``torch.nn.quantized.functional.adaptive_avg_pool2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(0, 32, 2, dtype=np.uint8).reshape(1, 1, 4, 4), 0.5, 0)
    >>> quantnn.functional.adaptive_avg_pool2d(x, (None, 1)).int_repr().ravel()
    array([ 3, 11, 19, 27], dtype=uint8)
    """
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> QTensor:
    """Take averages of windows such that the result has a given size.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, D, H, W) or (C, D, H, W); quint8, qint8 or qint32.
    output_size : int or tuple of 3 ints or None
        Depth, height and width of the result; None in the tuple keeps that of `input`.

    Returns
    -------
    QTensor
        Shape (N, C, *output_size) or (C, *output_size), with the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError, ValueError
        As `adaptive_avg_pool2d`.

    Notes
    -----
    The windows are those of `adaptive_avg_pool2d`. Exactly torch's
    ``torch.ao.nn.quantized.functional.adaptive_avg_pool3d``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 2, 2), 0.5, 0)
    >>> quantnn.functional.adaptive_avg_pool3d(x, (1, None, 1)).int_repr().ravel()
    array([2, 4], dtype=uint8)
    """
    return _adaptive_avg_pool(3, input, output_size)


def _adaptive_avg_pool(n: int, input: Any, output_size: Any) -> QTensor:
    op = f"adaptive_avg_pool{n}d"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    form = x._form or x._formed()
    if type(output_size) is not int:
        _check_shape(op, form.shape, (n + 1, n + 2))
        if output_size is None:
            keep = ", ".join(("None",) * n)
            raise TypeError(f"{op}: output_size must be an int or {n} ints; got None. Use ({keep}) to keep the size")
        wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
        if len(wanted) != n:
            raise ValueError(f"{op}: output_size must be an int or {n} ints; got {len(wanted)} of them")
        output_size = tuple(
            size if v is None else _checks.integer(op, "output_size", v, 1, 2**31 - 1)
            for v, size in zip(wanted, form.shape[-n:], strict=True)
        )
    plan = _sized_plan(n, form, x._zero_point, output_size)
    if n == 3 and plan.how.out[1:4] == (1, 1, 1) and form.size:  # torch takes the mean then, which divides
        return formed(x.mean((-3, -2, -1))._ints.ravel(), plan.how.form, x._scale, x._zero_point)
    return _pooled(x, plan)


@planned
def _sized_plan(n: int, x: Form, zero_point: int, output_size: int | tuple[int, ...]) -> _Plan:
    op = f"adaptive_avg_pool{n}d"
    _check_shape(op, x.shape, (n + 1, n + 2))
    return _adaptive_plan(op, "output_size", x, zero_point, _checks.integers(op, "output_size", output_size, n, 1))
