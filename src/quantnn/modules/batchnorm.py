"""BatchNorm2d and BatchNorm3d: torch.ao.nn.quantized's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from .. import _checks
from ..ops import _normalization
from ..tensor import QTensor
from .module import Module
from .utils import check_attributes, first_layer, post_process_qparams, to_numpy


class _BatchNorm(Module):
    """What BatchNorm2d and BatchNorm3d share."""

    _version = 2
    _op: ClassVar[str]

    num_features: int
    eps: float
    momentum: float | None
    weight: np.ndarray
    bias: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray
    num_batches_tracked: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.num_features = _checks.integer(op, "num_features", num_features, 0, 2**31 - 1)
        self.eps = _normalization.check_eps(op, eps)
        self.momentum = None if momentum is None else _checks.number(op, "momentum", momentum)
        self.affine = True
        self.track_running_stats = True
        self.register_parameter("weight", np.ones(self.num_features, np.float32))
        self.register_parameter("bias", np.zeros(self.num_features, np.float32))
        self.register_buffer("running_mean", np.zeros(self.num_features, np.float32))
        self.register_buffer("running_var", np.ones(self.num_features, np.float32))
        self.register_buffer("num_batches_tracked", np.array(0, np.int64))
        self.register_buffer("scale", np.array(1.0, np.float32))
        self.register_buffer("zero_point", np.array(0, np.int64))

    def forward(self, input: QTensor) -> QTensor:
        """Normalize each channel by the running statistics.

        Parameters
        ----------
        input : QTensor
            quint8, qint8 or qint32, shape (N, C, *spatial).

        Returns
        -------
        QTensor
            Of the same shape and dtype, channels-last in memory.
        """
        d = self.__dict__  # quicker than the attributes
        parameters, buffers = d["_parameters"], d["_buffers"]
        return _normalization.run_batch_norm(
            self._op,
            input,
            parameters["weight"],
            parameters["bias"],
            buffers["running_mean"],
            buffers["running_var"],
            d["eps"],
            buffers["scale"].item(),
            buffers["zero_point"].item(),
        )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        # version 1 had no num_batches_tracked
        if (local_metadata.get("version") or 1) < 2:
            state_dict.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed float one.

        Parameters
        ----------
        mod : module
            A batch norm, or one fused with a ReLU, torch's or quantnn's, whose ``activation_post_process`` is an
            observer or FakeQuantize.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        Module

        Raises
        ------
        TypeError
            `mod` is something else, or has no observer.
        ValueError
            It has no weight and bias, or no running statistics.
        """
        op = f"{cls.__name__}.from_float"
        scale, zero_point = post_process_qparams(mod, op)
        return cls._from(op, first_layer(op, mod), scale, zero_point)

    @classmethod
    def from_reference(cls, bn: Any, output_scale: float, output_zero_point: int) -> Self:
        """Make the module from a float one and the output's qparams.

        Parameters
        ----------
        bn : module
            A batch norm, torch's or quantnn's.
        output_scale : float
            Scale of the output.
        output_zero_point : int
            Zero point of the output.

        Returns
        -------
        Module
        """
        op = f"{cls.__name__}.from_reference"
        return cls._from(op, first_layer(op, bn), output_scale, output_zero_point)

    @classmethod
    def _from(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        if not all(hasattr(mod, name) for name in ("num_features", "eps", "running_mean", "running_var")):
            raise TypeError(f"{op}: mod must be a batch norm; got {_checks.kind(mod)}")
        check_attributes(op, mod, "momentum", "weight", "bias")
        new = cls(mod.num_features, mod.eps, mod.momentum)
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(mod, name)
            if value is None:
                raise ValueError(f"{op}: mod must have weight, bias and running statistics; got {name}=None")
            array = to_numpy(value)
            if array.dtype.kind != "f":
                raise TypeError(f"{op}: {name} must be a float array; got {_checks.kind(array)}")
            with np.errstate(over="ignore"):
                array = np.array(array, np.float32)
            setattr(new, name, _checks.float_array(op, name, array, (new.num_features,)))
        new.scale = np.array(_checks.scale(op, "scale", scale), np.float32)
        new.zero_point = np.array(_checks.integer(op, "zero_point", zero_point, -(2**31), 2**31 - 1), np.int64)
        return new


class BatchNorm2d(_BatchNorm):
    """Batch normalization of quantized images by running statistics.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        Kept for the repr.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias, running_mean, running_var : numpy.ndarray
        float32, shape (C,).
    num_batches_tracked : numpy.ndarray
        int64, shape ().
    scale, zero_point : numpy.ndarray
        float32 and int64, shape (): of the output.

    Notes
    -----
    torch.ao.nn.quantized.BatchNorm2d. The integers are those of `quantnn.ops.batch_norm2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.BatchNorm2d(3)
    >>> m
    QuantizedBatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    >>> x = quantnn.quantize_per_tensor(np.ones((1, 3, 2, 2), np.float32), 0.5, 0, quantnn.quint8)
    >>> m(x).shape
    (1, 3, 2, 2)
    """

    _op = "batch_norm2d"

    def _get_name(self) -> str:
        return "QuantizedBatchNorm2d"


class BatchNorm3d(_BatchNorm):
    """Batch normalization of quantized volumes by running statistics.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        Kept for the repr.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias, running_mean, running_var : numpy.ndarray
        float32, shape (C,).
    num_batches_tracked : numpy.ndarray
        int64, shape ().
    scale, zero_point : numpy.ndarray
        float32 and int64, shape (): of the output.

    Notes
    -----
    torch.ao.nn.quantized.BatchNorm3d. The integers are those of `quantnn.ops.batch_norm3d`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.BatchNorm3d(3)
    QuantizedBatchNorm3d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _op = "batch_norm3d"

    def _get_name(self) -> str:
        return "QuantizedBatchNorm3d"
