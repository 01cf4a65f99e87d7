"""Linear: torch.ao.nn.quantized.Linear."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar, Self

import numpy as np

from .. import _checks
from ..ops import _linear
from ..ops._packing import zeros
from ..tensor import QScheme, QTensor, per_channel_affine, per_tensor_affine, qint8, quint8
from .module import Module
from .output import OutputModule
from .utils import (
    as_dtype,
    check_attributes,
    check_float_module,
    check_reference_module,
    first_layer,
    from_torch,
    load_weight,
    post_process_qparams,
    qint8_weight,
)


class LinearPackedParams(Module):
    """The packed weight and bias of a `Linear`, a child module so that the state dict has torch's nesting.

    Parameters
    ----------
    dtype : DType
        qint8.
    """

    _version = 3

    _accepted: ClassVar[str] = "qint8"

    dtype: Any
    _packed_params: Any

    def __init__(self, dtype: Any = qint8, op: str = "LinearPackedParams") -> None:
        super().__init__()
        self.dtype = self._known(dtype)
        if self.dtype is None:
            raise TypeError(f"{op}: dtype must be {self._accepted}; got {_checks.kind(dtype)}")
        self.set_weight_bias(zeros((1, 1)), None)

    def set_weight_bias(self, weight: Any, bias: Any) -> None:
        """Pack a weight and a bias."""
        self._packed_params = _linear.linear_prepack(from_torch(weight), from_torch(bias))

    @staticmethod
    def _known(dtype: Any) -> Any:
        """The dtype if it is one of the weight's, else None."""
        return qint8 if as_dtype(dtype) is qint8 else None

    def _weight_bias(self) -> tuple[Any, np.ndarray | None]:
        weight, bias = self._packed_params.unpack()
        return weight, bias

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        return x

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "dtype"] = self.dtype
        destination[prefix + "_packed_params"] = self._weight_bias()

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
        # version 1 and 2 had weight and bias here, version 1 without dtype; what is there decides, as old files may
        # have lost their version
        dtype = state_dict.pop(prefix + "dtype", qint8)
        packed = prefix + "_packed_params"
        weight: Any = None
        bias: Any = None
        key = packed
        if packed in state_dict:
            value = state_dict.pop(packed)
            if isinstance(value, tuple) and len(value) == 2 and value[0] is not None:
                weight, bias = value
            else:
                error_msgs.append(f"{packed} must be a tuple (weight, bias); got {_checks.kind(value)}")
        elif prefix + "weight" in state_dict:
            key = prefix + "weight"
            weight = state_dict.pop(key)
            bias = state_dict.pop(prefix + "bias", None)
        else:
            missing_keys.append(packed)
        known = self._known(dtype)
        if known is None:
            error_msgs.append(f"{prefix}dtype must be {self._accepted}; got {_checks.kind(dtype)}")
        elif weight is not None:
            self.dtype = known
            here = (self._packed_params.out_features, self._packed_params.in_features)
            load_weight(key, weight, here, lambda: self.set_weight_bias(weight, bias), error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, False, missing_keys, unexpected_keys, error_msgs
        )

    def __repr__(self) -> str:
        return repr(self._weight_bias())


class Linear(OutputModule):
    """A linear layer on quint8 tensors, with a qint8 weight.

    Parameters
    ----------
    in_features, out_features : int
        K and N.
    bias_ : bool
        Whether there is a bias.
    dtype : DType
        qint8.

    Attributes
    ----------
    in_features, out_features : int
    scale : float
        Of the output, 1.0 at first.
    zero_point : int
        Of the output, 0 at first.

    Notes
    -----
    torch.ao.nn.quantized.Linear. The weight is 0 and the bias 0 until `set_weight_bias`, `from_float` or
    `load_state_dict` sets them. Integers are those of `quantnn.ops.linear`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.Linear(20, 30)
    >>> x = np.random.default_rng(0).standard_normal((128, 20)).astype(np.float32)
    >>> output = m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8))
    >>> output.size()
    (128, 30)
    """

    _version = 3
    _params: ClassVar[type[LinearPackedParams]] = LinearPackedParams
    _relu: ClassVar[bool] = False
    _float_names: ClassVar[tuple[str, ...]] = ("Linear", "NonDynamicallyQuantizableLinear")

    in_features: int
    out_features: int
    _packed_params: LinearPackedParams

    def __init__(self, in_features: int, out_features: int, bias_: bool = True, dtype: Any = qint8) -> None:
        super().__init__()
        op = type(self).__name__
        has_bias = _checks.truth(op, "bias_", bias_)
        self.in_features = _checks.integer(op, "in_features", in_features, 0)
        self.out_features = _checks.integer(op, "out_features", out_features, 0)
        _checks.fits_memory(op, (self.out_features, self.in_features))
        self._packed_params = self._params(dtype, op)
        weight = zeros((self.out_features, self.in_features))
        self.set_weight_bias(weight, np.zeros(self.out_features, np.float32) if has_bias else None)
        self.scale = 1.0
        self.zero_point = 0

    def _get_name(self) -> str:
        return "QuantizedLinear"

    def extra_repr(self) -> str:
        """The arguments, as torch prints them."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, scale={self.scale}, "
            f"zero_point={self.zero_point}, qscheme={self._qscheme()}"
        )

    def _qscheme(self) -> QScheme:
        return per_channel_affine if self._packed_params._packed_params._per_channel else per_tensor_affine

    def __repr__(self) -> str:
        return f"{self._get_name()}({self.extra_repr()})"

    def forward(self, x: QTensor) -> QTensor:
        """Apply the layer.

        Parameters
        ----------
        x : QTensor
            quint8, shape (*, K) with at least two dimensions.

        Returns
        -------
        QTensor
            quint8, shape (*, N).
        """
        packed: Any = self._modules["_packed_params"]  # quicker than the attribute
        return _linear.run_linear("Linear", x, packed._packed_params, self.scale, self.zero_point, self._relu)

    def _weight_bias(self) -> tuple[QTensor, np.ndarray | None]:
        return self._packed_params._weight_bias()

    def weight(self) -> QTensor:
        """The weight: qint8, shape (N, K), unpacked anew at each call."""
        return self._weight_bias()[0]

    def bias(self) -> np.ndarray | None:
        """The bias: float32, shape (N,), or None."""
        return self._weight_bias()[1]

    def set_weight_bias(self, w: QTensor, b: np.ndarray | None) -> None:
        """Set and pack the weight and the bias.

        Parameters
        ----------
        w : QTensor
            qint8, shape (N, K), per tensor or per channel along axis 0. Its scales are rounded to float32.
        b : numpy.ndarray or None
            float32, shape (N,).

        Raises
        ------
        TypeError, ValueError
            Naming the argument that is wrong.
        """
        w = from_torch(w)
        here = (self.out_features, self.in_features)
        if isinstance(w, QTensor) and w.ndim == 2 and w.shape != here:
            raise ValueError(f"{type(self).__name__}.set_weight_bias: w must have shape {here}; got {w.shape}")
        self._packed_params.set_weight_bias(w, b)

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
        if prefix + "weight" in state_dict:  # version 1 had no child module
            for name in ("weight", "bias"):
                if prefix + name in state_dict:
                    state_dict[f"{prefix}_packed_params.{name}"] = state_dict.pop(prefix + name)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed float one.

        Parameters
        ----------
        mod : module
            torch.nn.Linear (or its form for quantization-aware training) as `prepare` and calibration leave it: with a
            ``qconfig`` and an ``activation_post_process``.
        use_precomputed_fake_quant : bool
            Take the weight's fake-quantize as it is, without showing it the weight once more.

        Returns
        -------
        Linear

        Raises
        ------
        TypeError
            `mod` is another class, has no observers, or its weight observer's dtype is not qint8.
        """
        op = f"{cls.__name__}.from_float"
        if not hasattr(mod, "weight_fake_quant"):
            check_float_module(op, mod, *cls._float_names)
        layer = first_layer(op, mod)
        check_attributes(op, layer, "in_features", "out_features", "bias")
        scale, zero_point = post_process_qparams(mod, op)
        weight, bias = qint8_weight(op, layer, use_precomputed_fake_quant)
        module = cls._like(mod, layer)
        module.set_weight_bias(weight, bias)
        module.scale, module.zero_point = scale, zero_point
        return module

    @classmethod
    def from_reference(cls, ref_qlinear: Any, output_scale: float, output_zero_point: int) -> Self:
        """Make the module from a reference quantized one of torch.

        Parameters
        ----------
        ref_qlinear : module
            With ``get_quantized_weight()``, ``bias``, ``in_features`` and ``out_features``.
        output_scale, output_zero_point : float, int
            Of the output.

        Returns
        -------
        Linear
        """
        op = f"{cls.__name__}.from_reference"
        layer = first_layer(op, ref_qlinear)
        check_reference_module(op, layer)
        check_attributes(op, layer, "in_features", "out_features")
        module = cls._like(ref_qlinear, layer)
        module.set_weight_bias(from_torch(layer.get_quantized_weight()), from_torch(layer.bias))
        module.scale, module.zero_point = _checks.qparams(op, output_scale, output_zero_point, quint8)
        return module

    @classmethod
    def _like(cls, mod: Any, layer: Any) -> Self:
        """An empty module of the size of `layer`, which is `mod` or the first part of it."""
        return cls(layer.in_features, layer.out_features)
