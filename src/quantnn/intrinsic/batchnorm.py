"""BNReLU2d and BNReLU3d."""

from __future__ import annotations

from ..modules.batchnorm import BatchNorm2d, BatchNorm3d


class BNReLU2d(BatchNorm2d):
    """`BatchNorm2d` and a relu in one step.

    Parameters
    ----------
    num_features, eps, momentum, device, dtype
        As of `BatchNorm2d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.BNReLU2d. The integers are those of `quantnn.ops.batch_norm2d_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.BNReLU2d(3)
    QuantizedBNReLU2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _op = "batch_norm2d_relu"

    def _get_name(self) -> str:
        return "QuantizedBNReLU2d"


class BNReLU3d(BatchNorm3d):
    """`BatchNorm3d` and a relu in one step.

    Parameters
    ----------
    num_features, eps, momentum, device, dtype
        As of `BatchNorm3d`.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.BNReLU3d. The integers are those of `quantnn.ops.batch_norm3d_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.BNReLU3d(3)
    QuantizedBNReLU3d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _op = "batch_norm3d_relu"

    def _get_name(self) -> str:
        return "QuantizedBNReLU3d"
