"""Functions of whole tensors that torch serves on quantized ones too: they move integers, or are methods of QTensor."""

from __future__ import annotations

import builtins
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _checks, _layout
from ..tensor import QTensor, channels_last, contiguous_format
from ._binary import run_cat


def cat(tensors: Sequence[QTensor], dim: int = 0) -> QTensor:
    """Concatenate QTensors.

    Parameters
    ----------
    tensors : list or tuple of QTensor
        One dtype, any quantization parameters per tensor, equal shapes except along `dim`.
    dim : int

    Returns
    -------
    QTensor
        With the parameters of the first. The others are quantized anew where theirs differ.

    Raises
    ------
    TypeError, ValueError, IndexError
        Naming the argument that is wrong.

    Notes
    -----
    torch's ``torch.cat``: `quantnn.ops.cat` without output parameters.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([3, 4], np.uint8), 1.0, 0)
    >>> quantnn.cat([a, a]).int_repr()
    array([3, 4, 3, 4], dtype=uint8)
    """
    first = tensors[0] if isinstance(tensors, (list, tuple)) and tensors else None
    if isinstance(first, QTensor) and type(dim) is int and -first.ndim <= dim < 0:
        dim += first.ndim  # to the kernel of quantnn.ops.cat, as in torch, -3 is not 1
    return run_cat("cat", tensors, dim, None, None)


def stack(tensors: Sequence[QTensor], dim: int = 0) -> QTensor:
    """Concatenate QTensors of equal shape along a new axis.

    Parameters
    ----------
    tensors : list or tuple of QTensor
        One dtype and shape, any quantization parameters per tensor.
    dim : int
        Where the new axis stands.

    Returns
    -------
    QTensor
        With the parameters of the first. The others are quantized anew where theirs differ.

    Raises
    ------
    TypeError, ValueError, IndexError
        Naming the argument that is wrong.

    Notes
    -----
    torch's ``torch.stack``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([3, 4], np.uint8), 1.0, 0)
    >>> quantnn.stack([a, a], 1).int_repr()
    array([[3, 3],
           [4, 4]], dtype=uint8)
    """
    op = "stack"
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(f"{op}: tensors must be a list or tuple of QTensors; got {_checks.kind(tensors)}")
    given = [_checks.qtensor(op, f"tensors[{i}]", x) for i, x in enumerate(tensors)]
    if not given:
        raise ValueError(f"{op}: tensors must hold at least one QTensor; got none")
    shape = given[0].shape
    for i, x in enumerate(given):
        if x.shape != shape:
            raise ValueError(f"{op}: tensors[{i}] must have the shape of the first, {shape}; got {x.shape}")
    n = len(shape) + 1
    at = _checks.integer(op, "dim", dim)
    if not -n <= at < n:
        raise IndexError(f"{op}: dim must be in [{-n}, {n - 1}]; got {dim}")
    at %= n
    if at < n - 1 and shape[at]:  # as torch does it: the joined axis is split
        return run_cat(op, given, at, None, None).unflatten(at, (len(given), shape[at]))
    return run_cat(op, [x.unsqueeze(at) for x in given], at, None, None)


def pad(input: QTensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> QTensor:
    """Pad the last axes.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, quantized per tensor.
    pad : sequence of int
        How many elements to add before and after the last axis, then the one before it, and so on. With `mode`
        'constant' negative ones take elements away.
    mode : str
        'constant' or 'reflect'. The latter pads the last axis of 2 or 3, or the last two axes of 3 or 4, by less than
        their length.
    value : float, optional
        What to pad with, quantized; 0 by default. Only with `mode` 'constant'.

    Returns
    -------
    QTensor
        With the parameters of `input`; contiguous, or channels-last where constants pad a channels-last input.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.
    NotImplementedError
        With another `mode`, as in torch.

    Notes
    -----
    torch's ``torch.nn.functional.pad``. Integers are moved; 0 is the zero point.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([[3, 4, 5]], np.uint8), 1.0, 2)
    >>> quantnn.ops.pad(a, (1, 2)).int_repr()
    array([[2, 3, 4, 5, 2, 2]], dtype=uint8)
    >>> quantnn.ops.pad(a, (1, 2), "reflect").int_repr()
    array([[4, 3, 4, 5, 4, 3]], dtype=uint8)
    """
    op = "pad"
    x = _checks.qtensor(op, "input", input)
    ints = x._whole(op)
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"{op}: pad must be a tuple or list of ints; got {_checks.kind(pad)}")
    amounts = [_checks.integer(op, "pad", p, -(2**31), 2**31 - 1) for p in pad]
    if len(amounts) % 2 or len(amounts) > 2 * ints.ndim:
        raise ValueError(f"{op}: pad must be two numbers for each of at most {ints.ndim} axes; got {pad}")
    if not isinstance(mode, str):
        raise TypeError(f"{op}: mode must be 'constant' or 'reflect'; got {_checks.kind(mode)}")
    widths = [(0, 0)] * (ints.ndim - len(amounts) // 2)
    widths += list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    shape = tuple(n + before + after for n, (before, after) in zip(ints.shape, widths, strict=True))
    _checks.fits_memory(op, shape, ints.itemsize)
    if mode == "reflect":
        if value is not None:
            raise ValueError(f"{op}: value must be None with mode 'reflect'; got {_checks.kind(value)}")
        padded = len(amounts) // 2
        if padded not in (1, 2) or ints.ndim not in (padded + 1, padded + 2):
            raise ValueError(
                f"{op}: mode 'reflect' must pad the last axis of 2 or 3 or the last two axes of 3 or 4; got "
                f"{padded} of {ints.ndim}"
            )
        if any(not 0 <= p < n for n, w in zip(ints.shape[-padded:], widths[-padded:], strict=True) for p in w):
            raise ValueError(f"{op}: pad must be in [0, length of its axis) with mode 'reflect'; got {pad}")
        return x._like(np.pad(np.ascontiguousarray(ints), widths, "reflect"))
    if mode != "constant":
        raise NotImplementedError(f"{op}: mode must be 'constant' or 'reflect'; got {mode!r}")
    if any(n < 0 for n in shape):
        raise ValueError(f"{op}: pad must leave lengths of at least 0; got shape {shape}")
    number = 0.0 if value is None else _checks.number(op, "value", value)
    last = ints.ndim == 4 and not ints.flags.c_contiguous and _layout.suggests_channels_last(ints.shape, ints.strides)
    out = (
        _layout.channels_first(_layout.empty_channels_last(shape, x._dtype.numpy))
        if last
        else np.empty(shape, ints.dtype)
    )
    result = x._like(out)
    result.fill_(number)
    inside = tuple(slice(builtins.max(b, 0), n - builtins.max(a, 0)) for n, (b, a) in zip(shape, widths, strict=True))
    kept = tuple(
        slice(builtins.max(-b, 0), n - builtins.max(-a, 0)) for n, (b, a) in zip(ints.shape, widths, strict=True)
    )
    if 0 not in out.shape:
        out[inside] = ints[kept]
    return result


def channel_shuffle(input: QTensor, groups: int) -> QTensor:
    """Take the channels in turn from each of `groups` groups.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, quantized per tensor, shape (N, C, *spatial).
    groups : int
        Divides C.

    Returns
    -------
    QTensor
        Of the same shape and parameters; channels-last where `input` is.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    Channel ``j`` of group ``i`` becomes channel ``j * groups + i``. torch's ``torch.channel_shuffle``, which takes
    quint8 images only.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(6, dtype=np.uint8).reshape(1, 6, 1, 1), 1.0, 0)
    >>> quantnn.ops.channel_shuffle(x, 2).int_repr().ravel()
    array([0, 3, 1, 4, 2, 5], dtype=uint8)
    """
    op = "channel_shuffle"
    x = _checks.qtensor(op, "input", input)
    ints = x._whole(op)
    if ints.ndim < 3:
        raise ValueError(f"{op}: input must have shape (N, C, *spatial); got {ints.shape}")
    groups = _checks.integer(op, "groups", groups, 1)
    c = ints.shape[1]
    if c % groups:
        raise ValueError(f"{op}: groups must divide the {c} channels; got {groups}")
    order = np.arange(c).reshape(groups, c // groups).T.ravel()
    if x.is_contiguous(memory_format=channels_last) and not ints.flags.c_contiguous:
        return x._like(_layout.channels_first(np.take(_layout.channels_last(ints), order, -1)))
    return x._like(np.take(np.ascontiguousarray(ints), order, 1))


def pixel_shuffle(input: QTensor, upscale_factor: int) -> QTensor:
    """Make channels pixels: (*, C r^2, H, W) to (*, C, H r, W r).

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, quantized per tensor, at least three axes.
    upscale_factor : int
        r.

    Returns
    -------
    QTensor
        With the parameters of `input`, contiguous.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    torch's ``torch.pixel_shuffle``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(4, dtype=np.uint8).reshape(4, 1, 1), 1.0, 0)
    >>> quantnn.ops.pixel_shuffle(x, 2).int_repr()
    array([[[0, 1],
            [2, 3]]], dtype=uint8)
    """
    op = "pixel_shuffle"
    x, ints, r = _image(op, input, "upscale_factor", upscale_factor)
    *lead, c, h, w = ints.shape
    if c % (r * r):
        raise ValueError(f"{op}: upscale_factor must have a square that divides the {c} channels; got {r}")
    split = ints.reshape(math.prod(lead), c // (r * r), r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x._like(split.copy(order="C").reshape(*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: QTensor, downscale_factor: int) -> QTensor:
    """Make pixels channels: (*, C, H r, W r) to (*, C r^2, H, W), the reverse of `pixel_shuffle`.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, quantized per tensor, at least three axes.
    downscale_factor : int
        r, which divides the last two.

    Returns
    -------
    QTensor
        With the parameters of `input`, contiguous.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    torch's ``torch.pixel_unshuffle``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), 1.0, 0)
    >>> quantnn.ops.pixel_unshuffle(x, 2).int_repr().ravel()
    array([0, 1, 2, 3], dtype=uint8)
    """
    op = "pixel_unshuffle"
    x, ints, r = _image(op, input, "downscale_factor", downscale_factor)
    *lead, c, h, w = ints.shape
    if h % r or w % r:
        raise ValueError(f"{op}: downscale_factor must divide height and width, {h} and {w}; got {r}")
    split = ints.reshape(math.prod(lead), c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return x._like(split.copy(order="C").reshape(*lead, c * r * r, h // r, w // r))


def _image(op: str, input: Any, name: str, factor: Any) -> tuple[QTensor, np.ndarray, int]:
    x = _checks.qtensor(op, "input", input)
    ints = x.contiguous(memory_format=contiguous_format)._whole(op)
    if ints.ndim < 3:
        raise ValueError(f"{op}: input must have at least 3 axes; got shape {ints.shape}")
    return x, ints, _checks.integer(op, name, factor, 1, 1 << 20)


def _method(name: str) -> Callable[..., Any]:
    """The function of torch that is a method of QTensor. What a method takes as ``*dims`` it takes as ``dims``."""
    method = getattr(QTensor, name)
    own, *others = inspect.signature(method).parameters.values()
    several = others[0].name if others[0].kind is inspect.Parameter.VAR_POSITIONAL else ""

    def function(input: QTensor, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, QTensor):
            raise TypeError(f"{name}: input must be a QTensor; got {_checks.kind(input)}")
        if several in kwargs:
            args = (*args, kwargs.pop(several))
        return method(input, *args, **kwargs)

    parameters = [own.replace(name="input", annotation=QTensor)]
    parameters += [p.replace(kind=own.kind) if p.name == several else p for p in others]
    signature = inspect.signature(method).replace(parameters=parameters)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = f"`QTensor.{name}` as a function: torch's ``torch.{name}``."
    return function


chunk = _method("chunk")
flatten = _method("flatten")
flip = _method("flip")
index_select = _method("index_select")
masked_fill = _method("masked_fill")
max = _method("max")
mean = _method("mean")
min = _method("min")
movedim = _method("movedim")
narrow = _method("narrow")
permute = _method("permute")
reshape = _method("reshape")
select = _method("select")
sort = _method("sort")
split = _method("split")
squeeze = _method("squeeze")
std = _method("std")
topk = _method("topk")
transpose = _method("transpose")
unbind = _method("unbind")
unflatten = _method("unflatten")
unsqueeze = _method("unsqueeze")
