"""Activations: ReLU6, ELU, Hardswish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks
from ..ops import _unary
from ..tensor import QTensor
from .module import Module
from .output import OutputModule
from .utils import is_module, post_process_qparams


def _attribute(op: str, mod: Any, name: str) -> Any:
    """An attribute that the float module `mod` must have."""
    if not is_module(mod) or not hasattr(mod, name):
        raise TypeError(f"{op}: mod must be a module with {name}; got {_checks.kind(mod)}")
    return getattr(mod, name)


class ReLU6(Module):
    """Limit values to [0, 6].

    Parameters
    ----------
    inplace : bool
        Change the input and return it.

    Notes
    -----
    torch.ao.nn.quantized.ReLU6. The scale and zero point are those of the input.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([9, 10, 11, 90], np.uint8), 0.5, 10)
    >>> quantnn.ReLU6()(x).int_repr()
    array([10, 10, 11, 22], dtype=uint8)
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = _checks.truth("ReLU6", "inplace", inplace)

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.relu6(input, self.inplace)

    def _get_name(self) -> str:
        return "QuantizedReLU6"

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> ReLU6:
        """Make the module from a float ``ReLU6``.

        Parameters
        ----------
        mod : module
            torch's or quantnn's; its `inplace` is taken over.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        ReLU6
        """
        return ReLU6(_attribute("ReLU6.from_float", mod, "inplace"))


class Hardswish(Module):
    """Compute ``x * min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite. It is kept as float32.
    zero_point : int
        Of the output.
    device, dtype : optional
        Accepted as in torch and ignored.

    Attributes
    ----------
    scale : numpy.ndarray
        float32, shape ().
    zero_point : numpy.ndarray
        int64, shape ().

    Notes
    -----
    torch.ao.nn.quantized.Hardswish.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.Hardswish(0.125, 3)(x).int_repr()
    array([ 3,  0,  3, 35], dtype=uint8)
    """

    scale: np.ndarray
    zero_point: np.ndarray

    def __init__(self, scale: Any, zero_point: Any, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        scale = _checks.scale("Hardswish", "scale", scale)
        zero_point = _checks.integer("Hardswish", "zero_point", zero_point, -(2**31), 2**31 - 1)
        self.register_buffer("scale", np.array(scale, dtype=np.float32))
        self.register_buffer("zero_point", np.array(zero_point, dtype=np.int64))

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        buffers = self._buffers
        return _unary.hardswish(input, buffers["scale"].item(), buffers["zero_point"].item())

    def _get_name(self) -> str:
        return "QuantizedHardswish"

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> Hardswish:
        """Make the module from an observed float ``Hardswish``.

        Parameters
        ----------
        mod : module
            torch's or quantnn's, with an observer as `activation_post_process`.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        Hardswish
        """
        return Hardswish(*post_process_qparams(mod, "Hardswish.from_float"))

    @classmethod
    def from_reference(cls, mod: Any, scale: Any, zero_point: Any) -> Hardswish:
        """Make the module from a float ``Hardswish`` and the quantization parameters of its output."""
        return cls(scale, zero_point)


class ELU(OutputModule):
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.
    alpha : float
        The limit of the negative side, with its sign turned.

    Notes
    -----
    torch.ao.nn.quantized.ELU. Unlike there, `scale` (as float32) and `zero_point` are part of the state
    dict; one without them, saved by torch, loads too.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.ELU(0.125, 10)(x).int_repr()
    array([ 2,  5, 10, 42], dtype=uint8)
    """

    def __init__(self, scale: Any, zero_point: Any, alpha: float = 1.0) -> None:
        super().__init__()
        self.scale = _checks.scale("ELU", "scale", scale)
        self.zero_point = _checks.integer("ELU", "zero_point", zero_point, -(2**31), 2**31 - 1)
        self.alpha = alpha

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.elu(input, self.scale, self.zero_point, self.alpha)

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
        if prefix + "scale" not in state_dict and prefix + "zero_point" not in state_dict:  # torch's has neither
            state_dict |= {prefix + "scale": self.scale, prefix + "zero_point": self.zero_point}
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _get_name(self) -> str:
        return "QuantizedELU"

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> ELU:
        """Make the module from an observed float ``ELU``.

        Parameters
        ----------
        mod : module
            torch's or quantnn's, with an observer as `activation_post_process`; its `alpha` is taken over.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        ELU
        """
        alpha = _attribute("ELU.from_float", mod, "alpha")
        return ELU(*post_process_qparams(mod, "ELU.from_float"), alpha)

    @classmethod
    def from_reference(cls, mod: Any, scale: Any, zero_point: Any) -> ELU:
        """Make the module from a float ``ELU`` and the quantization parameters of its output."""
        return cls(scale, zero_point, _attribute("ELU.from_reference", mod, "alpha"))
