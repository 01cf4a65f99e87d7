"""What packed convolutions say of themselves: torch.ops.quantized.conv2d_stride and its like.

As in torch, a packed convolution of one dimension is shown as one of two, with a height of one.
"""

from __future__ import annotations

from typing import Any

from .. import _checks
from ._conv import PackedConv
from ._conv_transpose import PackedConvTranspose

Packed = PackedConv | PackedConvTranspose


def _packed(op: str, packed: Any) -> Packed:
    if not isinstance(packed, (PackedConv, PackedConvTranspose)):
        raise TypeError(f"{op}: packed_weights must be a packed convolution; got {_checks.kind(packed)}")
    return packed


def _sizes(sizes: tuple[int, ...], first: int) -> list[int]:
    return [*sizes] if len(sizes) > 1 else [first, *sizes]


def conv_stride(packed_weights: Packed) -> list[int]:
    """The stride of a packed convolution, transposed or not.

    Parameters
    ----------
    packed_weights : PackedConv or PackedConvTranspose
        From `conv2d_prepack`, `conv_transpose2d_prepack` or their like.

    Returns
    -------
    list of int
        Two, for three-dimensional convolutions three.

    Raises
    ------
    TypeError
        If `packed_weights` is something else.

    Notes
    -----
    ``torch.ops.quantized.conv2d_stride``, ``conv3d_stride``, ``conv_transpose2d_stride``, ``conv_transpose3d_stride``:
    all four names are this function. So it is with padding, dilation and the others.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.make_per_tensor_quantized_tensor(np.ones((1, 1, 3), np.int8), 0.5, 0)
    >>> packed = quantnn.ops.conv1d_prepack(w, None, 2, 1, 1, 1)
    >>> quantnn.ops.conv2d_stride(packed), quantnn.ops.conv2d_padding(packed), quantnn.ops.conv2d_unpack_sizes(packed)
    ([1, 2], [0, 1], ([1, 1, 1, 3], None, [1, 2], [0, 1], [1, 1], 1))
    """
    return _sizes(_packed("conv_stride", packed_weights).stride, 1)


def conv_padding(packed_weights: Packed) -> list[int]:
    """The padding of a packed convolution; see `conv_stride`."""
    return _sizes(_packed("conv_padding", packed_weights).padding, 0)


def conv_output_padding(packed_weights: Packed) -> list[int]:
    """The output padding of a packed convolution, 0 of one that is not transposed; see `conv_stride`."""
    packed = _packed("conv_output_padding", packed_weights)
    return _sizes(packed.output_padding if isinstance(packed, PackedConvTranspose) else (0,) * packed.ndim, 0)


def conv_dilation(packed_weights: Packed) -> list[int]:
    """The dilation of a packed convolution; see `conv_stride`."""
    return _sizes(_packed("conv_dilation", packed_weights).dilation, 1)


def conv_groups(packed_weights: Packed) -> int:
    """The groups of a packed convolution; see `conv_stride`."""
    return _packed("conv_groups", packed_weights).groups


def conv_transpose(packed_weights: Packed) -> int:
    """1 of a packed transposed convolution, else 0; see `conv_stride`."""
    return int(isinstance(_packed("conv_transpose", packed_weights), PackedConvTranspose))


def conv_unpack_sizes(
    packed_weights: Packed,
) -> tuple[list[int], list[int] | None, list[int], list[int], list[int], int]:
    """Shape of weight and bias, stride, padding, dilation and groups of a packed convolution; see `conv_stride`.

    torch's ``torch.ops.quantized.conv2d_unpack_sizes``.
    """
    p = _packed("conv_unpack_sizes", packed_weights)
    channels = (p.out_channels, p.in_channels // p.groups)
    if isinstance(p, PackedConvTranspose):
        channels = (p.in_channels, p.out_channels // p.groups)
    return (
        [*channels, *_sizes(p.kernel_size, 1)],
        None if p._bias is None else [p.out_channels],
        conv_stride(p), conv_padding(p), conv_dilation(p), p.groups,
    )  # fmt: skip
