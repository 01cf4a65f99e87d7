"""Pooling operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import lt
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from ..tensor import QTensor, qint8, qint32, quint8

_DTYPES = (quint8, qint8, qint32)

# Input elements that a thread should have to itself.
_GRAIN = 1 << 15

# Fewer channels than this need scratch memory for averages; as in _kernels/pool.pyx.
_FEW = 64

# Channels in one step of torch's vector loops, which round differently from what is left over.
_AVERAGE_GROUP = 16
_ADAPTIVE_GROUP = 8


# By the number of spatial dimensions: ones for the missing ones, and the axes to channels-last order and back.
_ONES = {1: (1, 1), 2: (1,), 3: ()}
_TO_LAST = {2: (0, 2, 3, 1), 3: (0, 2, 3, 4, 1)}
_TO_FIRST = {2: (0, 3, 1, 2), 3: (0, 4, 1, 2, 3)}


class Images(NamedTuple):
    """A tensor with spatial dimensions as the kernels want it."""

    block: np.ndarray  # (images, D, H, W, channels); channels is 1 unless channels-last
    channels_last: bool  # which of torch's two rules applies
    lead: tuple[int, ...]  # (N, C), or (C,) without a batch
    as_channels_last: bool  # the order of the result


def images(a: np.ndarray, spatial: int) -> Images:
    """View `a`, whose last `spatial` dimensions are those of images, as a block; copy it only if it is not dense."""
    shape = a.shape
    lead, size = shape[:-spatial], _ONES[spatial] + shape[-spatial:]
    if len(lead) == 2:
        last = a.transpose(_TO_LAST[spatial])
        if last.flags.c_contiguous:
            # NumPy's copies may change the stride of a dimension of size 1: look at strides only where both orders fit
            order = not a.flags.c_contiguous or _layout.suggests_channels_last(shape, a.strides)
            return Images(last.reshape((lead[0], *size, lead[1])), True, lead, order)
    count = math.prod(lead)
    return Images(np.ascontiguousarray(a).reshape((count, *size, 1)), False, lead, False)


def empty(x: Images, out: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
    """The block of a result with spatial sizes `out`."""
    shape = x.block.shape
    return np.empty((shape[0], *_ONES[len(out)], *out, shape[4]), dtype)


def logical(x: Images, block: np.ndarray, out: Sequence[int]) -> np.ndarray:
    """A result's block in the logical shape (N, C, ...), in torch's memory order."""
    if not x.channels_last:
        return block.reshape((*x.lead, *out))
    n, channels = x.lead
    array = block.reshape((n, *out, channels)).transpose(_TO_FIRST[len(out)])
    if x.as_channels_last:
        return array
    # C = 1 or a 1x1 input: both orders hold it, and torch's choice is the contiguous one
    return np.ascontiguousarray(array).reshape(-1).reshape(n, channels, *out)


def _check_shape(op: str, shape: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    if len(shape) not in ranks:
        names = {3: "(C, H, W)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}
        accepted = " or ".join(names[r] for r in ranks)
        raise ValueError(f"{op}: input must have shape {accepted}; got {shape}")
    batched = len(shape) == ranks[-1]
    if 0 in shape[batched:]:
        raise ValueError(f"{op}: input must have no dimension of size 0 except the batch; got shape {shape}")


def check_fits(op: str, name: str, x: Images, out: Sequence[int]) -> None:
    """Refuse sizes of a result that no memory has."""
    if math.prod(out) * x.block.shape[0] * x.block.shape[4] >= 2**60:
        raise ValueError(f"{op}: {name} must leave a result that fits into memory; got {tuple(out)}")


def _stride(op: str, stride: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    if stride is None or (isinstance(stride, (tuple, list)) and not stride):
        return kernel
    return _checks.integers(op, "stride", stride, len(kernel), 1)


def _padding(op: str, padding: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    result = _checks.integers(op, "padding", padding, len(kernel), 0)
    if any(map(lt, kernel, [2 * p for p in result])):
        raise ValueError(
            f"{op}: padding must be at most half of kernel_size; got padding {result} for kernel_size {kernel}"
        )
    return result


def _out_sizes(
    op: str,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
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
    if _checks.flag(op, "return_indices", return_indices):
        raise NotImplementedError("max_pool2d: return_indices is not implemented for quantized tensors; leave it False")
    if isinstance(input, np.ndarray):
        if input.dtype.type is not np.float32:
            raise TypeError(f"{op}: input must be a QTensor or a float32 array; got {_checks.kind(input)}")
        native = input.dtype.newbyteorder("=")
        ints, ctype, lowest = input.astype(native, copy=False), "float", -np.inf
    else:
        x = _checks.qtensor(op, "input", input, _DTYPES)
        ints, ctype, lowest = x._ints, x._dtype.ctype, x._dtype.qmin
    _check_shape(op, ints.shape, (3, 4))
    kernel = _checks.integers(op, "kernel_size", kernel_size, 2, 1)
    steps = _stride(op, stride, kernel)
    pad = _padding(op, padding, kernel)
    holes = _checks.integers(op, "dilation", dilation, 2, 1)
    out_size = _out_sizes(op, ints.shape[-2:], kernel, steps, pad, holes, _checks.flag(op, "ceil_mode", ceil_mode))
    source = images(ints, 2)
    block = source.block
    out = empty(source, out_size, ints.dtype)
    if block.size:
        threads = _threads.threads_for(block.size, _GRAIN)
        scratch = np.empty((threads, block.shape[3] * block.shape[4]), ints.dtype)
        run = kernels.typed("pool", "max_pool", ctype)
        run(block, out, scratch, (1, *kernel), (1, *steps), (0, *pad), (1, *holes), lowest, threads)
    result = logical(source, out, out_size)
    if isinstance(input, np.ndarray):
        return result
    return QTensor(result, x._dtype, x._scale, x._zero_point)


def _average(
    x: QTensor,
    source: Images,
    out_size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    count_include_pad: bool,
    divisor: int,
    group: int,
) -> np.ndarray:
    """Run the kernel of averages; a kernel size of 0 is an adaptive window."""
    block, dtype = source.block, x._dtype
    out = empty(source, out_size, block.dtype)
    if block.size:
        channels = block.shape[4]
        vector = source.channels_last and dtype is not qint32
        split = channels // group * group if vector else 0
        threads = _threads.threads_for(block.size, _GRAIN)
        scratch = np.empty((threads, block.shape[3] * channels if channels < _FEW else 1), np.int32)
        run = kernels.typed("pool", "average", dtype.ctype)
        run(
            block,
            out,
            scratch,
            kernel,
            stride,
            padding,
            source.channels_last,
            count_include_pad,
            divisor,
            split,
            x._zero_point,
            dtype.qmin,
            dtype.qmax,
            threads,
        )
    return logical(source, out, out_size)


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
    ints = x._ints
    _check_shape(op, ints.shape, (3, 4))
    kernel = _checks.integers(op, "kernel_size", kernel_size, 2, 1)
    steps = _stride(op, stride, kernel)
    pad = _padding(op, padding, kernel)
    divisor = 0
    if divisor_override is not None:
        divisor = _checks.integer(op, "divisor_override", divisor_override, -(2**63), 2**63 - 1)
        if divisor == 0:
            raise ValueError(f"{op}: divisor_override must not be 0")
    out_size = _out_sizes(op, ints.shape[-2:], kernel, steps, pad, (1, 1), _checks.flag(op, "ceil_mode", ceil_mode))
    result = _average(
        x,
        images(ints, 2),
        out_size,
        (1, *kernel),
        (1, *steps),
        (0, *pad),
        _checks.flag(op, "count_include_pad", count_include_pad),
        divisor,
        _AVERAGE_GROUP,
    )
    return QTensor(result, x._dtype, x._scale, x._zero_point)


def adaptive(op: str, name: str, x: QTensor, ints: np.ndarray, out_size: tuple[int, ...]) -> np.ndarray:
    """Average windows that divide the last dimensions of `ints` (x's integers, perhaps reshaped) into `out_size`.

    `name` is the argument that asked for the size.
    """
    zeros = (0, 0, 0)
    source = images(ints, len(out_size))
    check_fits(op, name, source, out_size)
    return _average(x, source, out_size, zeros, zeros, zeros, True, 0, _ADAPTIVE_GROUP)


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
    ints = x._ints
    _check_shape(op, ints.shape, (3, 4))
    if isinstance(output_size, (tuple, list)):
        if len(output_size) != 2:
            raise ValueError(f"{op}: output_size must be an int or 2 ints; got {len(output_size)} of them")
        wanted = output_size
    else:
        wanted = (output_size, output_size)
        if output_size is None:
            raise TypeError(f"{op}: output_size must be an int or 2 ints; got None. Use (None, None) to keep the size")
    out_size = tuple(
        n if v is None else _checks.integer(op, "output_size", v, 1, 2**31 - 1)
        for v, n in zip(wanted, ints.shape[-2:], strict=True)
    )
    return QTensor(adaptive(op, "output_size", x, ints, out_size), x._dtype, x._scale, x._zero_point)
