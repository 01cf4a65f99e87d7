"""LayerNorm, GroupNorm and InstanceNorm: torch.ao.nn.quantized's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .. import _checks
from ..ops import _normalization
from ..tensor import QTensor
from .module import Module
from .utils import from_torch, is_tensor, post_process_qparams


class _Norm(Module):
    """What the normalizations share: weight and bias, which may be missing, and the output's qparams."""

    weight: np.ndarray | None
    bias: np.ndarray | None
    scale: np.ndarray
    zero_point: np.ndarray
    eps: float

    def _set_affine(self, op: str, weight: Any, bias: Any, shape: tuple[int, ...]) -> None:
        for name, value in (("weight", weight), ("bias", bias)):
            if value is not None:
                value = _checks.float_array(op, name, from_torch(value), shape).copy()
            self.register_parameter(name, value)

    def _set_qparams(self, op: str, scale: Any, zero_point: Any) -> None:
        scale, zero_point = (from_torch(v) if is_tensor(v) else v for v in (scale, zero_point))
        zero_point = _checks.integer(op, "zero_point", zero_point, -(2**31), 2**31 - 1)
        self.register_buffer("scale", np.array(_checks.scale(op, "scale", scale), np.float32))
        self.register_buffer("zero_point", np.array(zero_point, np.int64))


def _attributes(op: str, what: str, mod: Any, *names: str) -> list[Any]:
    """Attributes of a float module."""
    if not all(hasattr(mod, name) for name in names):
        raise TypeError(f"{op}: mod must be a {what}; got {_checks.kind(mod)}")
    return [getattr(mod, name) for name in names]


class LayerNorm(_Norm):
    """Layer normalization of a quantized tensor over its last dimensions.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last dimensions of the input.
    weight, bias : numpy.ndarray or None
        float32, shape `normalized_shape`; None stands for 1 and 0.
    scale : float
        Of the output; kept as float32.
    zero_point : int
        Of the output.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Kept for the repr.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias : numpy.ndarray or None
    scale, zero_point : numpy.ndarray
        float32 and int64, shape ().
    normalized_shape : tuple of int

    Notes
    -----
    torch.ao.nn.quantized.LayerNorm. The integers are those of `quantnn.ops.layer_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.LayerNorm([4], np.ones(4, np.float32), np.zeros(4, np.float32), 0.01, 128)
    >>> m
    QuantizedLayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)
    >>> x = quantnn.quantize_per_tensor(np.array([[1, 2, 3, 4]], np.float32), 0.5, 0, quantnn.quint8)
    >>> m(x).int_repr()
    array([[  0,  83, 173, 255]], dtype=uint8)
    """

    normalized_shape: tuple[int, ...]
    eps: float
    elementwise_affine: bool

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        weight: Any,
        bias: Any,
        scale: float,
        zero_point: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        op = "LayerNorm"
        self.normalized_shape = _normalization.check_normalized_shape(op, normalized_shape)
        self.eps = _normalization.check_eps(op, eps)
        self.elementwise_affine = elementwise_affine
        self._set_affine(op, weight, bias, self.normalized_shape)
        self._set_qparams(op, scale, zero_point)

    def forward(self, input: QTensor) -> QTensor:
        """Normalize a QTensor of shape (..., *normalized_shape)."""
        d = self.__dict__  # quicker than the attributes
        p, b = d["_parameters"], d["_buffers"]
        return _normalization.run_layer_norm(
            input, d["normalized_shape"], p["weight"], p["bias"], d["eps"], b["scale"].item(), b["zero_point"].item()
        )

    def _get_name(self) -> str:
        return "QuantizedLayerNorm"

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed LayerNorm, torch's or quantnn's.

        Raises
        ------
        TypeError
            `mod` is something else, or has no observer as ``activation_post_process``.
        """
        op = "LayerNorm.from_float"
        return cls._from(op, mod, *post_process_qparams(mod, op))

    @classmethod
    def from_reference(cls, mod: Any, scale: float, zero_point: int) -> Self:
        """Make the module from a LayerNorm, torch's or quantnn's, and the output's qparams."""
        return cls._from("LayerNorm.from_reference", mod, scale, zero_point)

    @classmethod
    def _from(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        names = ("normalized_shape", "weight", "bias", "eps", "elementwise_affine")
        shape, weight, bias, eps, affine = _attributes(op, "LayerNorm", mod, *names)
        return cls(shape, weight, bias, scale, zero_point, eps, affine)


class GroupNorm(_Norm):
    """Group normalization of a quantized tensor.

    Parameters
    ----------
    num_groups : int
        A divisor of `num_channels`.
    num_channels : int
        C.
    weight, bias : numpy.ndarray or None
        float32, shape (C,); None stands for 1 and 0.
    scale : float
        Of the output; kept as float32.
    zero_point : int
        Of the output.
    eps : float
        Added to the variance.
    affine : bool
        Kept for the repr.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias : numpy.ndarray or None
    scale, zero_point : numpy.ndarray
        float32 and int64, shape ().

    Notes
    -----
    torch.ao.nn.quantized.GroupNorm. The integers are those of `quantnn.ops.group_norm`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.GroupNorm(2, 4, None, None, 0.1, 3)
    QuantizedGroupNorm(2, 4, eps=1e-05, affine=True, bias=False)
    """

    num_groups: int
    num_channels: int
    eps: float
    affine: bool

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        weight: Any,
        bias: Any,
        scale: float,
        zero_point: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        op = "GroupNorm"
        self.num_groups = _checks.integer(op, "num_groups", num_groups, 1)
        self.num_channels = _checks.integer(op, "num_channels", num_channels, 0)
        if self.num_channels % self.num_groups:
            raise ValueError(f"{op}: num_groups must divide num_channels, {num_channels}; got {num_groups}")
        self.eps = _normalization.check_eps(op, eps)
        self.affine = affine
        self._set_affine(op, weight, bias, (self.num_channels,))
        self._set_qparams(op, scale, zero_point)

    def forward(self, input: QTensor) -> QTensor:
        """Normalize a QTensor of shape (N, C, ...)."""
        d = self.__dict__  # quicker than the attributes
        p, b = d["_parameters"], d["_buffers"]
        return _normalization.run_group_norm(
            "group_norm",
            input,
            d["num_groups"],
            p["weight"],
            p["bias"],
            d["eps"],
            b["scale"].item(),
            b["zero_point"].item(),
        )

    def _get_name(self) -> str:
        return "QuantizedGroupNorm"

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed GroupNorm, torch's or quantnn's.

        Raises
        ------
        TypeError
            `mod` is something else, or has no observer as ``activation_post_process``.
        """
        op = "GroupNorm.from_float"
        scale, zero_point = post_process_qparams(mod, op)
        names = ("num_groups", "num_channels", "weight", "bias", "eps", "affine")
        groups, channels, weight, bias, eps, affine = _attributes(op, "GroupNorm", mod, *names)
        return cls(groups, channels, weight, bias, scale, zero_point, eps, affine)


class _InstanceNorm(_Norm):
    """What the three instance norms share."""

    _version = 2

    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool

    def __init__(
        self,
        num_features: int,
        weight: Any,
        bias: Any,
        scale: float,
        zero_point: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.num_features = _checks.integer(op, "num_features", num_features, 0, 2**31 - 1)
        self.eps = _normalization.check_eps(op, eps)
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = _checks.truth(op, "track_running_stats", track_running_stats)
        self._set_affine(op, weight, bias, (self.num_features,))
        if self.track_running_stats:  # state that nothing reads, but that torch saves
            self.register_buffer("running_mean", np.zeros(self.num_features, np.float32))
            self.register_buffer("running_var", np.ones(self.num_features, np.float32))
            self.register_buffer("num_batches_tracked", np.array(0, np.int64))
        self._set_qparams(op, scale, zero_point)

    def forward(self, input: QTensor) -> QTensor:
        """Normalize each channel of each sample of a QTensor of shape (N, C, *spatial)."""
        d = self.__dict__  # quicker than the attributes
        p, b = d["_parameters"], d["_buffers"]
        return _normalization.run_group_norm(
            "instance_norm", input, None, p["weight"], p["bias"], d["eps"], b["scale"].item(), b["zero_point"].item()
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed instance norm, torch's or quantnn's.

        Raises
        ------
        TypeError
            `mod` is something else, or has no observer as ``activation_post_process``.
        """
        op = f"{cls.__name__}.from_float"
        return cls._from(op, mod, *post_process_qparams(mod, op))

    @classmethod
    def from_reference(cls, mod: Any, scale: float, zero_point: int) -> Self:
        """Make the module from an instance norm, torch's or quantnn's, and the output's qparams."""
        return cls._from(f"{cls.__name__}.from_reference", mod, scale, zero_point)

    @classmethod
    def _from(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        names = ("num_features", "weight", "bias", "eps", "momentum", "affine")
        features, weight, bias, eps, momentum, affine = _attributes(op, "instance norm", mod, *names)
        return cls(features, weight, bias, scale, zero_point, eps, momentum, affine)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of a quantized tensor (N, C, L).

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    weight, bias : numpy.ndarray or None
        float32, shape (C,); None stands for 1 and 0.
    scale : float
        Of the output; kept as float32.
    zero_point : int
        Of the output.
    eps : float
        Added to the variance.
    momentum, affine
        Kept for the repr.
    track_running_stats : bool
        Whether the state has running statistics; the result never depends on them.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias : numpy.ndarray or None
    scale, zero_point : numpy.ndarray
        float32 and int64, shape ().

    Notes
    -----
    torch.ao.nn.quantized.InstanceNorm1d. The integers are those of `quantnn.ops.instance_norm`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.InstanceNorm1d(4, None, None, 0.1, 3)
    QuantizedInstanceNorm1d(4, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    def _get_name(self) -> str:
        return "QuantizedInstanceNorm1d"


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of a quantized tensor (N, C, H, W).

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    weight, bias : numpy.ndarray or None
        float32, shape (C,); None stands for 1 and 0.
    scale : float
        Of the output; kept as float32.
    zero_point : int
        Of the output.
    eps : float
        Added to the variance.
    momentum, affine
        Kept for the repr.
    track_running_stats : bool
        Whether the state has running statistics; the result never depends on them.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias : numpy.ndarray or None
    scale, zero_point : numpy.ndarray
        float32 and int64, shape ().

    Notes
    -----
    torch.ao.nn.quantized.InstanceNorm2d. The integers are those of `quantnn.ops.instance_norm`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.InstanceNorm2d(4, None, None, 0.1, 3)
    QuantizedInstanceNorm2d(4, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    def _get_name(self) -> str:
        return "QuantizedInstanceNorm2d"


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of a quantized tensor (N, C, D, H, W).

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    weight, bias : numpy.ndarray or None
        float32, shape (C,); None stands for 1 and 0.
    scale : float
        Of the output; kept as float32.
    zero_point : int
        Of the output.
    eps : float
        Added to the variance.
    momentum, affine
        Kept for the repr.
    track_running_stats : bool
        Whether the state has running statistics; the result never depends on them.
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    weight, bias : numpy.ndarray or None
    scale, zero_point : numpy.ndarray
        float32 and int64, shape ().

    Notes
    -----
    torch.ao.nn.quantized.InstanceNorm3d. The integers are those of `quantnn.ops.instance_norm`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.InstanceNorm3d(4, None, None, 0.1, 3)
    QuantizedInstanceNorm3d(4, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    def _get_name(self) -> str:
        return "QuantizedInstanceNorm3d"
