"""Convolutions on float arrays: torch.ao.nn.quantized.dynamic's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from ..modules import conv as _conv
from ..modules import conv_transpose as _conv_transpose
from ..ops import _dynamic


class _Dynamic(_conv._ConvNd):
    """What makes a dynamic convolution of a static one: it comes first among the bases."""

    def _set_up(self, *args: Any) -> None:
        warnings.warn(
            f"{type(self).__name__}: a dynamic convolution quantizes its result with the scale of its input, as in "
            "torch, and cuts it off at the input's range: its accuracy is poor",
            stacklevel=3,
        )
        super()._set_up(*args)

    def _get_name(self) -> str:
        return f"Dynamic{super()._get_name()}"

    def forward(self, input: Any, reduce_range: bool = True) -> np.ndarray:  # type: ignore[override]
        """Apply the convolution.

        Parameters
        ----------
        input : numpy.ndarray
            float32, shape (N, C, *size), in any memory order; finite.
        reduce_range : bool
            Quantize to seven bits instead of eight.

        Returns
        -------
        numpy.ndarray
            float32, shape (N, K, *output size), channels-last in memory.
        """
        op = type(self).__name__
        if self.padding_mode != "zeros":
            input = _checks.float_array(op, "input", input)
            input = np.pad(input, self._reflection(input.shape), mode="reflect")
        return _dynamic.run_conv_dynamic(op, self._ndim, self.transposed, input, self._packed_params, reduce_range)


class Conv1d(_Dynamic, _conv.Conv1d):
    """A convolution over (N, C, L) float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, dilation : int or tuple of 1 int
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros' or 'reflect'.
    device, dtype
        Accepted as in torch and ignored.
    reduce_range : bool
        Accepted as in torch and ignored: `forward` takes it.

    Warns
    -----
    UserWarning
        At construction, as in torch: the accuracy is poor.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.Conv1d. Floats are those of `quantnn.ops.conv1d_dynamic`. As in
    torch, its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = quantnn.dynamic.Conv1d(16, 33, 3, stride=2)
    >>> m(np.random.default_rng(0).standard_normal((20, 16, 100)).astype(np.float32)).shape
    (20, 33, 49)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        reduce_range: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)


class Conv2d(_Dynamic, _conv.Conv2d):
    """A convolution over (N, C, H, W) float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, dilation : int or tuple of 2 ints
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros' or 'reflect'.
    device, dtype
        Accepted as in torch and ignored.

    Warns
    -----
    UserWarning
        At construction, as in torch: the accuracy is poor.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.Conv2d. Floats are those of `quantnn.ops.conv2d_dynamic`. As in
    torch, its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = quantnn.dynamic.Conv2d(16, 33, 3, stride=2)
    >>> m(np.random.default_rng(0).standard_normal((20, 16, 50, 100)).astype(np.float32)).shape
    (20, 33, 24, 49)
    """


class Conv3d(_Dynamic, _conv.Conv3d):
    """A convolution over (N, C, D, H, W) float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, dilation : int or tuple of 3 ints
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros'.
    device, dtype
        Accepted as in torch and ignored.

    Warns
    -----
    UserWarning
        At construction, as in torch: the accuracy is poor.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.Conv3d. Floats are those of `quantnn.ops.conv3d_dynamic`. As in
    torch, its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = quantnn.dynamic.Conv3d(16, 33, 3, stride=2)
    >>> m(np.random.default_rng(0).standard_normal((2, 16, 10, 20, 20)).astype(np.float32)).shape
    (2, 33, 4, 9, 9)
    """


class ConvTranspose1d(_Dynamic, _conv_transpose.ConvTranspose1d):  # type: ignore[misc]
    """A transposed convolution over (N, C, L) float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, output_padding, dilation : int or tuple of 1 int
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros'.
    device, dtype
        Accepted as in torch and ignored.

    Warns
    -----
    UserWarning
        At construction, as in torch: the accuracy is poor.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.ConvTranspose1d. Floats are those of `quantnn.ops.conv_transpose1d_dynamic`. As in
    torch, its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = quantnn.dynamic.ConvTranspose1d(16, 33, 3, stride=2)
    >>> m(np.random.default_rng(0).standard_normal((20, 16, 50)).astype(np.float32)).shape
    (20, 33, 101)
    """


class ConvTranspose2d(_Dynamic, _conv_transpose.ConvTranspose2d):  # type: ignore[misc]
    """A transposed convolution over (N, C, H, W) float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, output_padding, dilation : int or tuple of 2 ints
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros'.
    device, dtype
        Accepted as in torch and ignored.

    Warns
    -----
    UserWarning
        At construction, as in torch: the accuracy is poor.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.ConvTranspose2d. Floats are those of `quantnn.ops.conv_transpose2d_dynamic`. As in
    torch, its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = quantnn.dynamic.ConvTranspose2d(16, 33, 3, stride=2)
    >>> m(np.random.default_rng(0).standard_normal((2, 16, 10, 20)).astype(np.float32)).shape
    (2, 33, 21, 41)
    """


class ConvTranspose3d(_Dynamic, _conv_transpose.ConvTranspose3d):  # type: ignore[misc]
    """A transposed convolution over (N, C, D, H, W) float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, output_padding, dilation : int or tuple of 3 ints
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros'.
    device, dtype
        Accepted as in torch and ignored.

    Warns
    -----
    UserWarning
        At construction, as in torch: the accuracy is poor.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.ConvTranspose3d. Floats are those of `quantnn.ops.conv_transpose3d_dynamic`. As in
    torch, its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import quantnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = quantnn.dynamic.ConvTranspose3d(16, 33, 3, stride=2)
    >>> m(np.random.default_rng(0).standard_normal((1, 16, 4, 5, 6)).astype(np.float32)).shape
    (1, 33, 9, 11, 13)
    """
