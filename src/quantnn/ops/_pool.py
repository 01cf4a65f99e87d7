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
_FLOAT = DType("float32", np.float32, -math.inf, math.inf, 32, "float")

# Input elements that a thread should have to itself.
_GRAIN = 1 << 15

# Fewer channels than this need scratch memory for averages; as in _kernels/pool.pyx.
_FEW = 64

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


def images(x: Form, out: tuple[int, ...]) -> Images:
    """How to go through `x`, whose last dimensions are those of images, for a result of the spatial sizes `out`."""
    shape, strides, itemsize = x.shape, x.strides, x.numpy.itemsize
    n, spatial = len(shape), len(out)
    lead, ones = shape[:-spatial], (1,) * (3 - spatial)
    contiguous = lies(shape, strides, range(n), itemsize)
    order: tuple[int, ...] | None = None
    channels, copies = 1, False
    last = len(lead) == 2 and lies(shape, strides, channels_last(n), itemsize)
    if last:
        order, channels = channels_last(n), lead[1]
        if contiguous and not _layout.suggests_channels_last(shape, strides):
            # C = 1 or 1x1 images: both orders hold them, and torch's choice is the contiguous one
            copies = channels > 1 and math.prod(out) > 1
            order = order if copies else None
    count = math.prod(lead) // channels if channels else lead[0]
    return Images(
        None if last or contiguous else tuple(range(n)),
        (count, *ones, *shape[-spatial:], channels),
        last,
        (count, *ones, *out, channels),
        laid(x.dtype, (*lead, *out), order),
        copies,
    )


def _check_shape(op: str, shape: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    if len(shape) not in ranks:
        names = {3: "(C, H, W)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}
        accepted = " or ".join(names[r] for r in ranks)
        raise ValueError(f"{op}: input must have shape {accepted}; got {shape}")
    batched = len(shape) == ranks[-1]
    if 0 in shape[batched:]:
        raise ValueError(f"{op}: input must have no dimension of size 0 except the batch; got shape {shape}")


def check_fits(op: str, name: str, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    """Refuse sizes of a result that no memory has."""
    if math.prod((*shape[: -len(out)], *out)) >= 2**60:
        raise ValueError(f"{op}: {name} must leave a result that fits into memory; got {out}")


def _steps(op: str, stride: Any) -> tuple[int, ...] | None:
    if isinstance(stride, (tuple, list)) and not stride:
        return None
    return _checks.integers(op, "stride", stride, 2, 1)


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
    op = "max_pool2d"
    if return_indices is not False and _checks.flag(op, "return_indices", return_indices):
        raise NotImplementedError("max_pool2d: return_indices is not implemented for quantized tensors; leave it False")
    floats = isinstance(input, np.ndarray)
    if floats:
        if input.dtype.type is not np.float32:
            raise TypeError(f"{op}: input must be a QTensor or a float32 array; got {_checks.kind(input)}")
        x = QTensor(input.astype(np.float32, copy=False), _FLOAT, 1.0, 0)
    else:
        x = _checks.qtensor(op, "input", input, _DTYPES)
    plan = _max_plan(
        x._form or x._formed(),
        kernel_size if type(kernel_size) is int else _checks.integers(op, "kernel_size", kernel_size, 2, 1),
        stride if stride is None or type(stride) is int else _steps(op, stride),
        padding if type(padding) is int else _checks.integers(op, "padding", padding, 2, 0),
        dilation if type(dilation) is int else _checks.integers(op, "dilation", dilation, 2, 1),
        ceil_mode if type(ceil_mode) is bool else _checks.flag(op, "ceil_mode", ceil_mode),
    )
    y = _pooled(x, plan)
    return y._ints if floats else y


class _Plan(NamedTuple):
    """What a pooling does with inputs of one form."""

    kernel: Any
    how: Images
    scratch: int  # elements of scratch memory for each thread
    dtype: np.dtype  # their type
    arguments: tuple[Any, ...]  # of the kernel, after the scratch
    threads: int  # at most; 0 without elements


def _pooled(x: QTensor, plan: _Plan) -> QTensor:
    kernel, how, size, dtype, arguments, most = plan
    order, shape, _, out_shape, form, copies = how
    out = _layout.empty(out_shape, form.numpy)
    if most:
        block = (x._block if order is None else x._ints.ravel()).reshape(shape)
        threads = _threads.at_most(most)
        kernel(block, out, np.empty((threads, size), dtype), *arguments, threads)
    y = formed(out.ravel(), form, x._scale, x._zero_point)
    return y.contiguous() if copies else y


@planned
def _max_plan(
    x: Form,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] | None,
    padding: int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    ceil_mode: bool,
) -> _Plan:
    op = "max_pool2d"
    _check_shape(op, x.shape, (3, 4))
    kernel = _checks.integers(op, "kernel_size", kernel_size, 2, 1)
    steps = kernel if stride is None else _checks.integers(op, "stride", stride, 2, 1)
    pad = _padding(op, padding, kernel)
    holes = _checks.integers(op, "dilation", dilation, 2, 1)
    how = images(x, _out_sizes(op, x.shape[-2:], kernel, steps, pad, holes, ceil_mode))
    return _Plan(
        kernels.typed("pool", "max_pool", x.dtype.ctype),
        how,
        how.block[3] * how.block[4],
        x.numpy,
        ((1, *kernel), (1, *steps), (0, *pad), (1, *holes), x.dtype.qmin),
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
        kernels.typed("pool", "average", dtype.ctype),
        how,
        how.block[3] * channels if channels < _FEW else 1,
        np.dtype(np.int32),
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
    op = "avg_pool2d"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    if divisor_override is not None:
        divisor_override = _checks.integer(op, "divisor_override", divisor_override, -(2**63), 2**63 - 1)
    plan = _avg_plan(
        x._form or x._formed(),
        x._zero_point,
        kernel_size if type(kernel_size) is int else _checks.integers(op, "kernel_size", kernel_size, 2, 1),
        stride if stride is None or type(stride) is int else _steps(op, stride),
        padding if type(padding) is int else _checks.integers(op, "padding", padding, 2, 0),
        ceil_mode if type(ceil_mode) is bool else _checks.flag(op, "ceil_mode", ceil_mode),
        count_include_pad
        if type(count_include_pad) is bool
        else _checks.flag(op, "count_include_pad", count_include_pad),
        divisor_override,
    )
    return _pooled(x, plan)


@planned
def _avg_plan(
    x: Form,
    zero_point: int,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] | None,
    padding: int | tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> _Plan:
    op = "avg_pool2d"
    _check_shape(op, x.shape, (3, 4))
    kernel = _checks.integers(op, "kernel_size", kernel_size, 2, 1)
    steps = kernel if stride is None else _checks.integers(op, "stride", stride, 2, 1)
    pad = _padding(op, padding, kernel)
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override must not be 0")
    how = images(x, _out_sizes(op, x.shape[-2:], kernel, steps, pad, (1, 1), ceil_mode))
    windows = ((1, *kernel), (1, *steps), (0, *pad))
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
    op = "adaptive_avg_pool2d"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    form = x._form or x._formed()
    if type(output_size) is not int:
        _check_shape(op, form.shape, (3, 4))
        if output_size is None:
            raise TypeError(f"{op}: output_size must be an int or 2 ints; got None. Use (None, None) to keep the size")
        wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        if len(wanted) != 2:
            raise ValueError(f"{op}: output_size must be an int or 2 ints; got {len(wanted)} of them")
        output_size = tuple(
            n if v is None else _checks.integer(op, "output_size", v, 1, 2**31 - 1)
            for v, n in zip(wanted, form.shape[-2:], strict=True)
        )
    return _pooled(x, _adaptive_2d_plan(form, x._zero_point, output_size))


@planned
def _adaptive_2d_plan(x: Form, zero_point: int, output_size: int | tuple[int, ...]) -> _Plan:
    op = "adaptive_avg_pool2d"
    _check_shape(op, x.shape, (3, 4))
    return _adaptive_plan(op, "output_size", x, zero_point, _checks.integers(op, "output_size", output_size, 2, 1))
