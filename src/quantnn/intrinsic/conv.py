"""ConvReLU1d, ConvReLU2d, ConvReLU3d, ConvAdd2d and ConvAddReLU2d."""

from __future__ import annotations

from typing import ClassVar

from ..modules.conv import Conv1d, Conv2d, Conv3d
from ..ops import _fused
from ..tensor import QTensor


class ConvReLU1d(Conv1d):
    """`Conv1d` and a relu in one step.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv1d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.ConvReLU1d. The integers are those of `quantnn.ops.conv1d_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.ConvReLU1d(3, 4, 3)
    QuantizedConvReLU1d(3, 4, kernel_size=(3,), stride=(1,), scale=1.0, zero_point=0)
    """

    _relu = True
    _float_names = ("ConvReLU1d",)
    _trained_names = ("ConvBnReLU1d",)

    def _get_name(self) -> str:
        return "QuantizedConvReLU1d"


class ConvReLU2d(Conv2d):
    """`Conv2d` and a relu in one step.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv2d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.ConvReLU2d. The integers are those of `quantnn.ops.conv2d_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.ConvReLU2d(3, 4, 3)
    QuantizedConvReLU2d(3, 4, kernel_size=(3, 3), stride=(1, 1), scale=1.0, zero_point=0)
    """

    _relu = True
    _float_names = ("ConvReLU2d",)
    _trained_names = ("ConvBnReLU2d",)

    def _get_name(self) -> str:
        return "QuantizedConvReLU2d"


class ConvReLU3d(Conv3d):
    """`Conv3d` and a relu in one step.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv3d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.ConvReLU3d. The integers are those of `quantnn.ops.conv3d_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.ConvReLU3d(3, 4, 3)
    QuantizedConvReLU3d(3, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1), scale=1.0, zero_point=0)
    """

    _relu = True
    _float_names = ("ConvReLU3d",)
    _trained_names = ("ConvBnReLU3d",)

    def _get_name(self) -> str:
        return "QuantizedConvReLU3d"


class _ConvAdd2d(Conv2d):
    """What the convolutions with an addition share."""

    _function: ClassVar[str]  # what follows the addition
    _trained_names = ()

    def forward(self, input: QTensor, extra_input: QTensor) -> QTensor:  # type: ignore[override]
        """Apply the convolution and add.

        Parameters
        ----------
        input : QTensor
            quint8, shape (N, C, H, W), in any memory order.
        extra_input : QTensor
            quint8, of the shape of the result.

        Returns
        -------
        QTensor
            quint8, shape (N, K, *output size), channels-last in memory.
        """
        if self.padding_mode != "zeros":
            input = self._reflect(input)
        return _fused.run_conv2d_add(
            type(self).__name__,
            self._function,
            input,
            extra_input,
            self._packed_params,
            self.scale,
            self.zero_point,
        )


class ConvAdd2d(_ConvAdd2d):
    """`Conv2d` and an addition in one step, rounded once.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv2d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.ConvAdd2d, which torch runs with its onednn engine only. The integers are those of
    `quantnn.ops.conv2d_add`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.intrinsic.ConvAdd2d(3, 3, 3, padding=1)
    >>> m
    QuantizedConvAdd2d(3, 3, kernel_size=(3, 3), stride=(1, 1), scale=1.0, zero_point=0, padding=(1, 1))
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 3, 2, 2), np.float32), 0.5, 0, quantnn.quint8)
    >>> m(x, x).int_repr()[0, 0]
    array([[1, 1],
           [1, 1]], dtype=uint8)
    """

    _function = "NONE"
    _float_names = ("ConvAdd2d",)

    def _get_name(self) -> str:
        return "QuantizedConvAdd2d"


class ConvAddReLU2d(_ConvAdd2d):
    """`Conv2d`, an addition and a relu in one step, rounded once.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv2d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.ConvAddReLU2d, which torch runs with its onednn engine only. The integers are those
    of `quantnn.ops.conv2d_add_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.ConvAddReLU2d(3, 4, 3)
    QuantizedConvAddReLU2d(3, 4, kernel_size=(3, 3), stride=(1, 1), scale=1.0, zero_point=0)
    """

    _function = "RELU"
    _float_names = ("ConvAddReLU2d",)

    def _get_name(self) -> str:
        return "QuantizedConvAddReLU2d"
