"""Resizing operators."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form
from ..tensor import QTensor, formed, qint8, qint32, quint8
from ._pool import adaptive, check_fits, images

_DTYPES = (quint8, qint8, qint32)
_MODES = ("nearest", "nearest-exact", "bilinear", "area")
_OTHER_MODES = ("linear", "trilinear", "bicubic", "lanczos")  # torch has them for float tensors

# Output elements that a thread should have to itself.
_GRAIN = 1 << 15

# Channels in one step of torch's vector loop, which rounds differently from what is left over.
_BILINEAR_GROUP = 8


def _sizes(op: str, size: Any, n: int) -> tuple[int, ...]:
    if isinstance(size, (tuple, list)) and len(size) != n:
        raise ValueError(f"{op}: size must have one int for each of the {n} spatial dimensions; got {tuple(size)}")
    return _checks.integers(op, "size", size, n, 1)


def _factors(op: str, scale_factor: Any, n: int) -> tuple[float, ...]:
    if isinstance(scale_factor, (tuple, list)):
        if len(scale_factor) != n:
            raise ValueError(
                f"{op}: scale_factor must have one number for each of the {n} spatial dimensions; "
                f"got {tuple(scale_factor)}"
            )
        factors = tuple(_checks.number(op, "scale_factor", v) for v in scale_factor)
    else:
        factors = (_checks.number(op, "scale_factor", scale_factor),) * n
    if not all(math.isfinite(f) and f > 0 for f in factors):
        raise ValueError(f"{op}: scale_factor must be positive and finite; got {scale_factor}")
    return factors


def _scaled(op: str, sizes: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    wanted = [n * f for n, f in zip(sizes, factors, strict=True)]
    if min(wanted) < 1 or max(wanted) >= 2**31:
        raise ValueError(
            f"{op}: scale_factor must give sizes from 1 to 2**31 - 1; got {factors} for an input of size {sizes}"
        )
    return tuple(map(math.floor, wanted))


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: Any = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: Any = False,
) -> QTensor:
    """Resize an image.

    Parameters
    ----------
    input : QTensor
        quint8, qint8 or qint32, of shape (N, C, H, W) or (N, C, D, H, W); (N, C, L) for the mode ``'area'`` alone.
    size : int or tuple of ints, optional
        The spatial size of the result.
    scale_factor : float or tuple of floats, optional
        The spatial size of the result divided by that of `input`; fractions of an element are dropped. Exactly one of
        `size` and `scale_factor` must be given.
    mode : str
        ``'nearest'``, ``'nearest-exact'``, ``'bilinear'`` (only (N, C, H, W)) or ``'area'``.
    align_corners : bool, optional
        Only for ``'bilinear'``: whether the centers of the corner elements of `input` and of the result coincide. None
        is false.
    recompute_scale_factor : bool, optional
        Whether positions follow from the sizes of `input` and the result, in place of `scale_factor`.
    antialias : bool
        Must be false.

    Returns
    -------
    QTensor
        With the dtype, scale, zero point and memory order of `input`.

    Raises
    ------
    TypeError
        If `input` is no QTensor, or another argument has the wrong type.
    ValueError
        If the number of dimensions, a size, the mode or the combination of arguments is wrong.
    NotImplementedError
        For what torch has for float tensors only: the modes ``'linear'``, ``'trilinear'`` and ``'bicubic'``,
        `antialias`, and nearest neighbours of (N, C, L).

    Notes
    -----
    ``'nearest'`` takes element ``floor(o*r)`` and ``'nearest-exact'`` ``floor((o + 0.5)*r)``, where r is
    ``1/scale_factor``, or the quotient of the sizes. ``'bilinear'`` takes position ``(o + 0.5)*r - 0.5``, or
    ``o*(in - 1)/(out - 1)`` with `align_corners`, and rounds to the nearest integer, as torch does in the same memory
    order. ``'area'`` is `adaptive_avg_pool2d`. torch's ``torch.nn.quantized.functional.interpolate``, with the last two
    arguments of ``torch.nn.functional.interpolate``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[[[0, 40], [80, 120]]]], dtype=np.uint8), 0.5, 0)
    >>> quantnn.functional.interpolate(x, size=(2, 4)).int_repr()
    array([[[[  0,   0,  40,  40],
             [ 80,  80, 120, 120]]]], dtype=uint8)
    >>> quantnn.functional.interpolate(x, scale_factor=(1, 2), mode='bilinear', align_corners=False).int_repr()
    array([[[[  0,  10,  30,  40],
             [ 80,  90, 110, 120]]]], dtype=uint8)
    """
    op = "interpolate"
    x = _checks.qtensor(op, "input", input, _DTYPES)
    plain = (
        type(mode) is str
        and (size is None or type(size) is int or (type(size) is tuple and {*map(type, size)} == {int}))
        and (scale_factor is None or type(scale_factor) is float or type(scale_factor) is int)
        and (align_corners is None or type(align_corners) is bool)
        and (recompute_scale_factor is None or type(recompute_scale_factor) is bool)
        and type(antialias) is bool
    )
    plan = (_plan if plain else _plan.__wrapped__)(
        x._form or x._formed(),
        x._zero_point,
        size,
        scale_factor,
        mode,
        align_corners,
        recompute_scale_factor,
        antialias,
    )
    if mode == "area":
        if x.ndim == 3:
            # one row of an image
            row = QTensor(x._ints[:, :, None], x._dtype, x._scale, x._zero_point)
            return adaptive(op, plan.cause, row, (1, *plan.size)).squeeze(2)
        return adaptive(op, plan.cause, x, plan.size)
    _, _, order, form, copies, kernel, arguments, threads = plan
    out = _layout.empty((form.size,), form.numpy)
    if threads:
        block = x._block if order is None else _layout.ordered(x._ints, order)
        kernel(block, out, *arguments, _threads.at_most(threads))
    y = formed(out, form, x._scale, x._zero_point)
    return y.contiguous() if copies else y


class _Plan(NamedTuple):
    """What a resizing does with inputs of one form."""

    cause: str  # the argument that gave the size
    size: tuple[int, ...]  # of the result's images
    order: tuple[int, ...] | None  # the axes by which the input is read; None: as it lies
    form: Form  # of the result
    copies: bool  # whether it then goes from channels-last to contiguous memory
    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]  # of the kernel
    threads: int  # at most; 0 without elements


@planned
def _plan(
    x: Form, zero_point: int, size: Any, scale_factor: Any, mode: Any, align_corners: Any,
    recompute_scale_factor: Any, antialias: Any,
) -> _Plan:  # fmt: skip
    op = "interpolate"
    if mode not in _MODES + _OTHER_MODES if isinstance(mode, str) else True:
        error = ValueError if isinstance(mode, str) else TypeError
        accepted = ", ".join(map(repr, _MODES))
        raise error(f"{op}: mode must be one of {accepted}; got {_checks.kind(mode)}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"{op}: align_corners must be None in mode {mode!r}; got {_checks.kind(align_corners)}")
    corners = align_corners is not None and _checks.flag(op, "align_corners", align_corners)
    recompute = recompute_scale_factor is not None and _checks.flag(
        op, "recompute_scale_factor", recompute_scale_factor
    )
    if _checks.flag(op, "antialias", antialias):
        if mode not in ("bilinear", "bicubic", "lanczos"):
            raise ValueError(f"{op}: antialias must be False in mode {mode!r}")
        raise NotImplementedError(f"{op}: antialias is not implemented for quantized tensors; leave it False")
    if mode in _OTHER_MODES:
        raise NotImplementedError(f"{op}: mode {mode!r} is not implemented for quantized tensors; use one of {_MODES}")
    shape = x.shape
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"{op}: input must have shape (N, C, H, W) or (N, C, D, H, W); got {shape}")
    if mode == "bilinear" and len(shape) != 4:
        raise ValueError(f"{op}: input must have shape (N, C, H, W) in mode 'bilinear'; got {shape}")
    if mode != "area" and len(shape) == 3:
        raise NotImplementedError(
            f"{op}: mode {mode!r} is not implemented for quantized tensors of shape (N, C, L); use 4 dimensions"
        )
    if 0 in shape[1:]:
        raise ValueError(f"{op}: input must have no dimension of size 0 except the batch; got shape {shape}")
    spatial = shape[2:]
    if (size is None) == (scale_factor is None):
        got = "neither" if size is None else "both"
        raise ValueError(f"{op}: exactly one of size and scale_factor must be given; got {got}")
    factors: tuple[float, ...] | None = None
    if size is not None:
        if recompute:
            raise ValueError(f"{op}: recompute_scale_factor must be None or False with an explicit size; got True")
        out_size = _sizes(op, size, len(spatial))
    else:
        factors = _factors(op, scale_factor, len(spatial))
        out_size = _scaled(op, spatial, factors)
        if recompute:
            factors = None
    cause = "size" if scale_factor is None else "scale_factor"
    check_fits(op, cause, shape, out_size)
    how = images(x, out_size)
    form, channels, dtype = how.form, how.block[4], x.dtype
    kernel: Callable[..., Any] = _copy
    arguments: tuple[Any, ...] = ()
    if mode == "bilinear" and (out_size != spatial or how.channels_last):
        vector = how.channels_last and dtype is not qint32
        split = channels // _BILINEAR_GROUP * _BILINEAR_GROUP if vector else 0
        kernel = kernels.interpolate.bilinear
        arguments = (spatial, out_size, channels, _rates(spatial, out_size, factors, corners), corners)
        arguments += (how.channels_last, split, zero_point, dtype.qmin, dtype.qmax)
    elif mode != "area" and out_size != spatial:
        rates = _rates(spatial, out_size, factors)
        kernel = kernels.interpolate.nearest
        arguments = (how.block[1:4], how.out[1:4], channels, (1.0,) * (3 - len(rates)) + rates, mode == "nearest-exact")
    threads = max(1, form.size // _GRAIN) if form.size else 0
    return _Plan(cause, out_size, how.order, form, how.copies, kernel, arguments, threads)


def _rates(
    sizes: tuple[int, ...], out_size: tuple[int, ...], factors: tuple[float, ...] | None, corners: bool = False
) -> tuple[float, ...]:
    """Input elements per output element and axis, float32 values."""
    f32 = np.float32
    if corners:
        return tuple(float(f32(n - 1) / f32(o - 1)) if o > 1 else 0.0 for n, o in zip(sizes, out_size, strict=True))
    if factors is not None:
        return tuple(1.0 / f for f in factors)  # the kernel takes a float32
    return tuple(float(f32(n) / f32(o)) for n, o in zip(sizes, out_size, strict=True))


def _copy(block: np.ndarray, out: np.ndarray, threads: int) -> None:
    out[...] = block


def _deprecated(name: str) -> None:
    warnings.warn(f"quantnn.functional.{name} is deprecated. Use quantnn.functional.interpolate instead.", stacklevel=3)


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: Any = "nearest", align_corners: Any = None
) -> QTensor:
    """Resize an image; deprecated, use `interpolate`.

    Parameters
    ----------
    input, size, scale_factor, mode, align_corners
        As in `interpolate`.

    Returns
    -------
    QTensor
        As `interpolate` returns.

    Warns
    -----
    UserWarning
        Always, as torch's ``torch.nn.quantized.functional.upsample``.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[[[0, 40]]]], dtype=np.uint8), 0.5, 0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     quantnn.functional.upsample(x, size=(1, 4)).int_repr()
    array([[[[ 0,  0, 40, 40]]]], dtype=uint8)
    """
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> QTensor:
    """Resize an image by bilinear interpolation with `align_corners`; deprecated, use `interpolate`.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, H, W); quint8, qint8 or qint32.
    size, scale_factor
        As in `interpolate`.

    Returns
    -------
    QTensor
        ``interpolate(input, size, scale_factor, 'bilinear', align_corners=True)``.

    Warns
    -----
    UserWarning
        Always, as torch's ``torch.nn.quantized.functional.upsample_bilinear``.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[[[0, 40]]]], dtype=np.uint8), 0.5, 0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     quantnn.functional.upsample_bilinear(x, size=(1, 5)).int_repr()
    array([[[[ 0, 10, 20, 30, 40]]]], dtype=uint8)
    """
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> QTensor:
    """Resize an image by nearest neighbours; deprecated, use `interpolate`.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, H, W) or (N, C, D, H, W); quint8, qint8 or qint32.
    size, scale_factor
        As in `interpolate`.

    Returns
    -------
    QTensor
        ``interpolate(input, size, scale_factor, 'nearest')``.

    Warns
    -----
    UserWarning
        Always, as torch's ``torch.nn.quantized.functional.upsample_nearest``.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[[[0, 40]]]], dtype=np.uint8), 0.5, 0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     quantnn.functional.upsample_nearest(x, scale_factor=(1, 2)).int_repr()
    array([[[[ 0,  0, 40, 40]]]], dtype=uint8)
    """
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")
