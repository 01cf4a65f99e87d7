"""LinearReLU, LinearLeakyReLU and LinearTanh."""

from __future__ import annotations

from typing import Any, Self

from .. import _checks
from ..modules.linear import Linear
from ..modules.utils import check_attributes
from ..ops import _fused
from ..tensor import QTensor, qint8


class LinearReLU(Linear):
    """`Linear` and a relu in one step.

    Parameters
    ----------
    in_features, out_features : int
        K and N.
    bias : bool
        Whether there is a bias.
    dtype : DType
        qint8.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.LinearReLU. The integers are those of `quantnn.ops.linear_relu`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.LinearReLU(3, 4)
    QuantizedLinearReLU(in_features=3, out_features=4, scale=1.0, zero_point=0, qscheme=torch.per_tensor_affine)
    """

    _relu = True
    _float_names = ("LinearReLU",)

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = qint8) -> None:
        super().__init__(in_features, out_features, bias, dtype)

    def _get_name(self) -> str:
        return "QuantizedLinearReLU"


class LinearLeakyReLU(Linear):
    """`Linear` and a leaky relu in one step, rounded once.

    Parameters
    ----------
    in_features, out_features : int
        K and N.
    negative_slope : float
        The factor of negative values.
    bias : bool
        Whether there is a bias.
    dtype : DType
        qint8.

    Attributes
    ----------
    negative_slope : float

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.LinearLeakyReLU, which torch runs with its onednn engine only. The integers are
    those of `quantnn.ops.linear_leaky_relu`. As in torch the slope is not in the state dict.

    Examples
    --------
    >>> import quantnn
    >>> m = quantnn.intrinsic.LinearLeakyReLU(3, 4, 0.1)
    >>> m
    QuantizedLinearLeakyReLU(in_features=3, out_features=4, scale=1.0, zero_point=0, qscheme=torch.per_tensor_affine)
    """

    _float_names = ("LinearLeakyReLU",)

    negative_slope: float

    def __init__(
        self, in_features: int, out_features: int, negative_slope: float, bias: bool = True, dtype: Any = qint8
    ) -> None:
        super().__init__(in_features, out_features, bias, dtype)
        self.negative_slope = _checks.number(type(self).__name__, "negative_slope", negative_slope)

    def _get_name(self) -> str:
        return "QuantizedLinearLeakyReLU"

    def forward(self, x: QTensor) -> QTensor:
        """Apply the layer to a quint8 QTensor of shape (*, K)."""
        packed = self._packed_params._packed_params
        scale, zero_point = self.scale, self.zero_point
        return _fused.run_linear_fused(
            "LinearLeakyReLU", "LEAKY_RELU", x, packed, scale, zero_point, self.negative_slope
        )

    @classmethod
    def _like(cls, mod: Any, layer: Any) -> Self:
        try:
            activation = mod[1]
        except (TypeError, IndexError, KeyError) as e:
            raise TypeError(f"{cls.__name__}: mod must hold a leaky relu; got {_checks.kind(mod)}") from e
        check_attributes(cls.__name__, activation, "negative_slope")
        return cls(layer.in_features, layer.out_features, activation.negative_slope)


class LinearTanh(Linear):
    """`Linear` and the hyperbolic tangent in one step, rounded once.

    Parameters
    ----------
    in_features, out_features : int
        K and N.
    bias : bool
        Whether there is a bias.
    dtype : DType
        qint8.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.LinearTanh, which torch runs with its onednn engine only. The integers are those of
    `quantnn.ops.linear_tanh`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.LinearTanh(3, 4)
    QuantizedLinearTanh(in_features=3, out_features=4, scale=1.0, zero_point=0, qscheme=torch.per_tensor_affine)
    """

    _float_names = ("LinearTanh",)

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = qint8) -> None:
        super().__init__(in_features, out_features, bias, dtype)

    def _get_name(self) -> str:
        return "QuantizedLinearTanh"

    def forward(self, x: QTensor) -> QTensor:
        """Apply the layer to a quint8 QTensor of shape (*, K)."""
        packed = self._packed_params._packed_params
        return _fused.run_linear_fused("LinearTanh", "TANH", x, packed, self.scale, self.zero_point)
