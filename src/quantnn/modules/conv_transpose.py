"""ConvTranspose1d, ConvTranspose2d, ConvTranspose3d: torch.ao.nn.quantized's transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..ops import _conv_transpose
from ..tensor import QTensor
from .conv import _ConvNd


class _ConvTransposeNd(_ConvNd):
    """What the transposed convolutions share beside what all convolutions do."""

    transposed: ClassVar[bool] = True
    _padding_modes = ("zeros",)
    _trained_names = ()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super(_ConvNd, self).__init__()
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias,
            padding_mode,
        )  # fmt: skip

    def _get_name(self) -> str:
        return f"QuantizedConvTranspose{self._ndim}d"

    def forward(self, input: QTensor) -> QTensor:
        """Apply the transposed convolution.

        Parameters
        ----------
        input : QTensor
            quint8, shape (N, C, *size), in any memory order.

        Returns
        -------
        QTensor
            quint8, shape (N, K, *output size), channels-last in memory.
        """
        return _conv_transpose.run_conv_transpose(
            type(self).__name__, self._ndim, input, self._packed_params, self.scale, self.zero_point
        )

    def _pack(self, w: QTensor, b: np.ndarray | None, op: str) -> Any:
        return _conv_transpose.PackedConvTranspose(
            self._ndim, w, b, self.stride, self.padding, self.output_padding, self.dilation, self.groups, op
        )

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)


class ConvTranspose1d(_ConvTransposeNd):
    """A transposed convolution over (N, C, L) quint8 tensors, with a qint8 weight.

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

    Attributes
    ----------
    scale : float
        Of the output, 1.0 at first.
    zero_point : int
        Of the output, 0 at first.

    Notes
    -----
    torch.ao.nn.quantized.ConvTranspose1d, with weights per channel too. Integers are those of
    `quantnn.ops.conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.ConvTranspose1d(16, 33, 3, stride=2)
    >>> x = np.random.default_rng(0).standard_normal((20, 16, 50)).astype(np.float32)
    >>> m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8)).shape
    (20, 33, 101)
    """

    _ndim = 1
    _float_names = ("ConvTranspose1d",)


class ConvTranspose2d(_ConvTransposeNd):
    """A transposed convolution over (N, C, H, W) quint8 tensors, with a qint8 weight.

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

    Attributes
    ----------
    scale : float
        Of the output, 1.0 at first.
    zero_point : int
        Of the output, 0 at first.

    Notes
    -----
    torch.ao.nn.quantized.ConvTranspose2d, with weights per channel too. Integers are those of
    `quantnn.ops.conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.ConvTranspose2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))
    >>> x = np.random.default_rng(0).standard_normal((2, 16, 20, 30)).astype(np.float32)
    >>> m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8)).shape
    (2, 33, 33, 30)
    """

    _ndim = 2
    _float_names = ("ConvTranspose2d",)


class ConvTranspose3d(_ConvTransposeNd):
    """A transposed convolution over (N, C, D, H, W) quint8 tensors, with a qint8 weight.

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

    Attributes
    ----------
    scale : float
        Of the output, 1.0 at first.
    zero_point : int
        Of the output, 0 at first.

    Notes
    -----
    torch.ao.nn.quantized.ConvTranspose3d, with weights per channel too. Integers are those of
    `quantnn.ops.conv_transpose3d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.ConvTranspose3d(16, 33, (3, 5, 2), stride=(2, 1, 1), padding=(0, 4, 2))
    >>> x = np.random.default_rng(0).standard_normal((1, 16, 6, 12, 12)).astype(np.float32)
    >>> m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8)).shape
    (1, 33, 13, 8, 9)
    """

    _ndim = 3
    _float_names = ("ConvTranspose3d",)
