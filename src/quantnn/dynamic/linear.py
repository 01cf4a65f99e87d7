"""Linear and LinearReLU on float arrays: torch.ao.nn.quantized.dynamic and torch.ao.nn.intrinsic.quantized.dynamic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from .. import _checks
from ..modules.linear import Linear as StaticLinear
from ..modules.linear import LinearPackedParams
from ..modules.utils import (
    as_dtype,
    check_attributes,
    check_float_module,
    check_reference_module,
    first_layer,
    from_torch,
    is_float16,
    observer_dtype,
    quantize_weight,
    to_numpy,
    weight_observer,
)
from ..ops import _dynamic, _linear
from ..tensor import qint8


class _PackedParams(LinearPackedParams):
    """`LinearPackedParams` of qint8 or float16."""

    _accepted = "qint8 or float16"

    @staticmethod
    def _known(dtype: Any) -> Any:
        return np.float16 if is_float16(dtype) else LinearPackedParams._known(dtype)

    def set_weight_bias(self, weight: Any, bias: Any) -> None:
        """Pack a weight and a bias."""
        if self.dtype is np.float16:
            self._packed_params = _dynamic.linear_prepack_fp16(to_numpy(weight), from_torch(bias))
        else:
            super().set_weight_bias(weight, bias)


class Linear(StaticLinear):
    """A linear layer on float arrays, which are quantized by their own range at each call.

    Parameters
    ----------
    in_features, out_features : int
        K and N.
    bias_ : bool
        Whether there is a bias.
    dtype : DType or type
        Of the weight: qint8, or ``numpy.float16`` (torch.float16), with which nothing else is quantized.

    Attributes
    ----------
    in_features, out_features : int
    version : int or None
        Of the state that it holds; below 4, activations are quantized to eight bits instead of seven.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.Linear. The weight is 0 and the bias 0 until `set_weight_bias`, `from_float` or
    `load_state_dict` sets them. Floats are those of `quantnn.ops.linear_dynamic` or `linear_dynamic_fp16`. As in torch,
    its state has a scale and a zero point that mean nothing.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.dynamic.Linear(20, 30)
    >>> m(np.random.default_rng(0).standard_normal((128, 20)).astype(np.float32)).shape
    (128, 30)
    """

    _version = 4
    _params = _PackedParams
    _float_names: ClassVar[tuple[str, ...]] = ("Linear", "NonDynamicallyQuantizableLinear", "LinearReLU")

    version: int | None

    def __init__(self, in_features: int, out_features: int, bias_: bool = True, dtype: Any = qint8) -> None:
        super().__init__(in_features, out_features, bias_, dtype)
        self.version = 4

    def _get_name(self) -> str:
        return "DynamicQuantizedLinear"

    def extra_repr(self) -> str:
        """The arguments, as torch prints them."""
        s = f"in_features={self.in_features}, out_features={self.out_features}, dtype="
        if self._packed_params.dtype is np.float16:
            return s + "torch.float16"
        return f"{s}torch.qint8, qscheme={self._qscheme()}"

    def forward(self, x: Any) -> Any:
        """Apply the layer.

        Parameters
        ----------
        x : numpy.ndarray
            float32, shape (*, K) with at least two dimensions; finite.

        Returns
        -------
        numpy.ndarray
            float32, shape (*, N).
        """
        params: Any = self._modules["_packed_params"]  # quicker than the attribute
        packed = params._packed_params
        if params.dtype is qint8:
            reduce_range = self.version is not None and self.version >= 4
            kind: type = _linear.PackedLinear
        else:
            reduce_range, kind = False, _dynamic.PackedLinearFp16
        return _dynamic.run_linear_dynamic(type(self).__name__, kind, x, packed, reduce_range, self._relu)

    def set_weight_bias(self, w: Any, b: Any) -> None:
        """Set and pack the weight and the bias.

        Parameters
        ----------
        w : QTensor or numpy.ndarray
            qint8, shape (N, K), per tensor or per channel along axis 0; or float32 if the dtype is float16.
        b : numpy.ndarray or None
            float32, shape (N,).

        Raises
        ------
        TypeError, ValueError
            Naming the argument that is wrong.
        """
        w = from_torch(w)
        here = (self.out_features, self.in_features)
        if isinstance(w, np.ndarray) and w.ndim == 2 and w.shape != here:
            raise ValueError(f"{type(self).__name__}.set_weight_bias: w must have shape {here}; got {w.shape}")
        super().set_weight_bias(w, b)

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
        self.version = local_metadata.get("version")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from a float one with a ``qconfig``.

        Parameters
        ----------
        mod : module
            torch.nn.Linear, or its form fused with a relu or for quantization-aware training. The weight observer of
            its ``qconfig`` has the dtype qint8 or float16.
        use_precomputed_fake_quant : bool
            Take the weight's fake-quantize as it is, without showing it the weight once more.

        Returns
        -------
        Linear

        Raises
        ------
        TypeError
            `mod` is another class, has no qconfig, or its weight observer another dtype.
        """
        op = f"{cls.__name__}.from_float"
        check_float_module(op, mod, *cls._float_names)
        layer = first_layer(op, mod)
        check_attributes(op, layer, "in_features", "out_features", "bias")
        weight, dtype = dynamic_weight(op, layer, layer.weight, use_precomputed_fake_quant)
        module = cls(layer.in_features, layer.out_features, dtype=dtype)
        module.set_weight_bias(weight, from_torch(layer.bias))
        return module

    @classmethod
    def from_reference(cls, ref_qlinear: Any) -> Self:  # type: ignore[override]
        """Make the module from a reference quantized one of torch.

        Parameters
        ----------
        ref_qlinear : module
            With ``get_quantized_weight()``, ``weight_dtype``, ``bias``, ``in_features`` and ``out_features``.

        Returns
        -------
        Linear
        """
        op = f"{cls.__name__}.from_reference"
        layer = first_layer(op, ref_qlinear)
        check_reference_module(op, layer)
        check_attributes(op, layer, "in_features", "out_features", "weight_dtype")
        module = cls(layer.in_features, layer.out_features, dtype=layer.weight_dtype)
        module.set_weight_bias(from_torch(layer.get_quantized_weight()), from_torch(layer.bias))
        return module


class LinearReLU(Linear):
    """`Linear` and a relu in one step.

    Parameters
    ----------
    in_features, out_features : int
        K and N.
    bias : bool
        Whether there is a bias.
    dtype : DType or type
        qint8 or ``numpy.float16``.

    Notes
    -----
    torch.ao.nn.intrinsic.quantized.dynamic.LinearReLU. Floats are those of `quantnn.ops.linear_relu_dynamic` or
    `linear_relu_dynamic_fp16`.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.intrinsic.dynamic.LinearReLU(2, 3)
    DynamicQuantizedLinearReLU(in_features=2, out_features=3, dtype=torch.qint8, qscheme=torch.per_tensor_affine)
    """

    _relu = True
    _float_names = ("LinearReLU",)

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = qint8) -> None:
        super().__init__(in_features, out_features, bias, dtype)

    def _get_name(self) -> str:
        return "DynamicQuantizedLinearReLU"


def dynamic_weight(op: str, mod: Any, weight: Any, use_precomputed_fake_quant: bool = False) -> tuple[Any, Any]:
    """A float weight of a module as its observer wants it, and the dtype: qint8, or float16, whose weights stay float.

    Raises
    ------
    TypeError
        There is no observer, or it has another dtype.
    """
    observer = weight_observer(mod, op, use_precomputed_fake_quant, weight)
    dtype = getattr(observer, "dtype", None)
    if is_float16(dtype):
        return np.asarray(to_numpy(weight), np.float32), np.float16
    if observer_dtype(observer) is not qint8:
        raise TypeError(f"{op}: the weight observer must have dtype qint8 or float16; got {_checks.kind(dtype)}")
    return quantize_weight(weight, observer, op), as_dtype(dtype)
