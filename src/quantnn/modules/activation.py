"""Activations.

Those with a scale and zero point of their own keep them in the state dict. torch's do so in part; where they don't, a
state dict without them loads too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Self

import numpy as np

from .. import _checks
from ..ops import _binary, _function, _softmax, _unary
from ..tensor import QTensor, quantize_per_tensor, quint8
from .module import Module
from .output import OutputModule
from .utils import (
    from_torch,
    is_module,
    load_weight,
    observer_dtype,
    observer_qparams,
    post_process_qparams,
    to_numpy,
    weight_observer,
)


def _attribute(op: str, mod: Any, name: str) -> Any:
    """An attribute that the float module `mod` must have."""
    if not is_module(mod) or not hasattr(mod, name):
        raise TypeError(f"{op}: mod must be a module with {name}; got {_checks.kind(mod)}")
    return getattr(mod, name)


class _Quantized(Module):
    """What activations with a scale and zero point of their own share: how they come from float modules."""

    _copied: tuple[str, ...] = ()  # attributes of a float module that become arguments

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed float one.

        Parameters
        ----------
        mod : module
            torch's or quantnn's of the same name, with an observer as `activation_post_process`.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        module
            Of this class.

        Raises
        ------
        TypeError, ValueError
            If `mod` lacks an observer or an attribute.
        """
        op = f"{cls.__name__}.from_float"
        for name in cls._copied:
            _attribute(op, mod, name)
        return cls._of(op, mod, *post_process_qparams(mod, op))

    @classmethod
    def from_reference(cls, mod: Any, scale: Any, zero_point: Any) -> Self:
        """Make the module from a float one and the quantization parameters of its output."""
        return cls._of(f"{cls.__name__}.from_reference", mod, scale, zero_point)

    @classmethod
    def _of(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        return cls(scale, zero_point, *(_attribute(op, mod, name) for name in cls._copied))


def _zero_point(op: str, zero_point: Any) -> int:
    """A zero point that is checked against the input's dtype later."""
    return _checks.integer(op, "zero_point", zero_point, -(2**31), 2**31 - 1)


class _BufferModule(_Quantized):
    """An activation with its output's scale and zero point as buffers: float32 and int64, shape ()."""

    scale: np.ndarray
    zero_point: np.ndarray

    def __init__(self, scale: Any, zero_point: Any) -> None:
        super().__init__()
        op = type(self).__name__
        self.register_buffer("scale", np.array(_checks.scale(op, "scale", scale), dtype=np.float32))
        self.register_buffer("zero_point", np.array(_zero_point(op, zero_point), dtype=np.int64))


class _NumberModule(_Quantized, OutputModule):
    """An activation with its output's scale and zero point as numbers."""

    def __init__(self, scale: Any, zero_point: Any) -> None:
        super().__init__()
        op = type(self).__name__
        self.scale = _checks.scale(op, "scale", scale)
        self.zero_point = _zero_point(op, zero_point)

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
        return f"Quantized{type(self).__name__}"


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


class Hardswish(_BufferModule):
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

    def __init__(self, scale: Any, zero_point: Any, device: Any = None, dtype: Any = None) -> None:
        super().__init__(scale, zero_point)

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        buffers = self._buffers
        return _unary.hardswish(input, buffers["scale"].item(), buffers["zero_point"].item())

    def _get_name(self) -> str:
        return "QuantizedHardswish"


class LeakyReLU(_BufferModule):
    """Compute ``x`` where ``x > 0``, else ``negative_slope * x``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite. It is kept as float32.
    zero_point : int
        Of the output.
    negative_slope : float
        The factor of negative values.
    inplace : bool
        Kept as in torch; the output is a new tensor, since it has a scale of its own.
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
    torch.ao.nn.quantized.LeakyReLU.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([2, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.LeakyReLU(0.25, 10, 0.25)(x).int_repr()
    array([ 6,  9, 10, 26], dtype=uint8)
    """

    _copied = ("negative_slope", "inplace")

    def __init__(
        self,
        scale: float,
        zero_point: int,
        negative_slope: float = 1e-2,
        inplace: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(scale, zero_point)
        self.negative_slope = negative_slope
        self.inplace = _checks.truth("LeakyReLU", "inplace", inplace)

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        buffers = self._buffers
        qparams = buffers["scale"].item(), buffers["zero_point"].item()
        return _unary.leaky_relu(input, self.negative_slope, False, *qparams)

    def _get_name(self) -> str:
        return "QuantizedLeakyReLU"

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(_NumberModule):
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

    _copied = ("alpha",)

    def __init__(self, scale: Any, zero_point: Any, alpha: float = 1.0) -> None:
        super().__init__(scale, zero_point)
        self.alpha = alpha

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.elu(input, self.scale, self.zero_point, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class CELU(ELU):
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.
    alpha : float
        The limit of the negative side, with its sign turned. Not 0.

    Notes
    -----
    `quantnn.functional.celu` as a module; torch has only the function. The state dict has `scale` and `zero_point`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.CELU(0.125, 10, 0.5)(x).int_repr()
    array([ 6,  7, 10, 42], dtype=uint8)
    """

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.celu(input, self.scale, self.zero_point, self.alpha)


class Sigmoid(_NumberModule):
    """Compute ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    output_scale : float
        Of the output, positive and finite.
    output_zero_point : int
        Of the output.

    Notes
    -----
    torch.ao.nn.quantized.Sigmoid. Unlike there, the scale (as float32) and zero point are part of the state dict, as
    `scale` and `zero_point`; one without them, saved by torch, loads too.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.Sigmoid(1 / 256, 0)(x).int_repr()
    array([ 12,  69, 128, 251], dtype=uint8)
    """

    def __init__(self, output_scale: float, output_zero_point: int) -> None:
        super().__init__(output_scale, output_zero_point)

    @property
    def output_scale(self) -> float:
        """The output's scale."""
        return self.scale

    @output_scale.setter
    def output_scale(self, scale: float) -> None:
        self.scale = scale

    @property
    def output_zero_point(self) -> int:
        """The output's zero point."""
        return self.zero_point

    @output_zero_point.setter
    def output_zero_point(self, zero_point: int) -> None:
        self.zero_point = zero_point

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.sigmoid(input, self.scale, self.zero_point)

    def _get_name(self) -> str:
        return "Sigmoid"


class Softmax(_NumberModule):
    """Compute ``exp(x) / sum(exp(x))`` along a dimension.

    Parameters
    ----------
    dim : int, optional
        The dimension. Without it a call warns and takes 0 for tensors of 0, 1 or 3 dimensions, else 1.
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.

    Notes
    -----
    torch.ao.nn.quantized.Softmax; see `quantnn.ops.softmax`. Unlike there, `scale` (as float32) and `zero_point` are
    part of the state dict; one without them, saved by torch, loads too.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[9, 10, 11]], np.uint8), 0.5, 10)
    >>> quantnn.Softmax(1, 1 / 256, 0)(x).int_repr()
    array([[ 48,  79, 130]], dtype=uint8)
    """

    _copied = ("dim",)

    def __init__(self, dim: int | None = None, scale: float = 1.0, zero_point: int = 0) -> None:
        super().__init__(scale, zero_point)
        self.dim = dim

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        dim = self.dim
        if dim is None:
            dim = 0 if isinstance(input, QTensor) and input.ndim in (0, 1, 3) else 1
            warnings.warn(f"Softmax: dim should be given; without it dim={dim} is taken", UserWarning, stacklevel=2)
        return _softmax.softmax(input, dim, self.scale, self.zero_point)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"

    @classmethod
    def _of(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        return cls(_attribute(op, mod, "dim"), scale, zero_point)


class PReLU(_NumberModule):
    """Compute ``x`` where ``x > 0``, else ``weight * x``.

    Parameters
    ----------
    output_scale : float
        Of the output, positive and finite.
    output_zero_point : int
        Of the output.
    num_parameters : int
        1, or the number of the input's channels.

    Attributes
    ----------
    weight : QTensor
        Shape (num_parameters,), of the input's dtype; quint8 zeros with scale 1 at first.
    scale, zero_point : float, int
        Of the output.

    Notes
    -----
    torch.ao.nn.quantized.PReLU; see `quantnn.ops.prelu`. Unlike there, `weight`, `scale` (as float32) and `zero_point`
    are part of the state dict; one without them, saved by torch, loads too.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> prelu = quantnn.PReLU(0.5, 10)
    >>> prelu.set_weight(quantnn.quantize_per_tensor(np.array([0.25], np.float32), 1 / 128, 0, quantnn.quint8))
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[2, 6, 10, 18]], np.uint8), 0.5, 10)
    >>> prelu(x).int_repr()
    array([[ 8,  9, 10, 18]], dtype=uint8)
    """

    _copied = ("num_parameters",)

    def __init__(self, output_scale: float, output_zero_point: int, num_parameters: int = 1) -> None:
        super().__init__(output_scale, output_zero_point)
        self.num_parameters = _checks.integer("PReLU", "num_parameters", num_parameters, 1, 2**31 - 1)
        self.set_weight(QTensor(np.zeros(self.num_parameters, np.uint8), quint8, 1.0, 0))

    def set_weight(self, w: QTensor) -> None:
        """Take a weight: a per-tensor quantized QTensor (or torch's) of shape (num_parameters,)."""
        weight = _checks.qtensor("PReLU.set_weight", "w", from_torch(w), _unary.DTYPES)
        if weight.shape != (self.num_parameters,):
            raise ValueError(f"PReLU.set_weight: w must have shape ({self.num_parameters},); got {weight.shape}")
        self.weight = weight

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of shape (N, C, *)."""
        return _binary.prelu(input, self.weight, self.scale, self.zero_point)

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        destination[prefix + "weight"] = self.weight
        super()._save_to_state_dict(destination, prefix, keep_vars)

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
        key = prefix + "weight"
        if key in state_dict:
            weight = state_dict.pop(key)
            load_weight(key, weight, (self.num_parameters,), lambda: self.set_weight(weight), error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def _of(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        module = cls(scale, zero_point, _attribute(op, mod, "num_parameters"))
        observer = weight_observer(mod, op)
        if observer_dtype(observer) is not quint8:
            warnings.warn(
                f"{op}: mod's weight observer should have the dtype quint8; got {getattr(observer, 'dtype', None)}",
                UserWarning,
                stacklevel=3,
            )
        weight = to_numpy(mod.weight).astype(np.float32)
        weight_scale, weight_zero_point = observer_qparams(observer, op)
        if weight_scale.size != 1 or weight_zero_point.size != 1:
            raise ValueError(f"{op}: mod's weight observer must observe per tensor; got {weight_scale.size} scales")
        qparams = float(weight_scale.reshape(())), int(weight_zero_point.reshape(()))
        module.set_weight(quantize_per_tensor(weight, *qparams, quint8))
        return module


class SiLU(_NumberModule):
    """Compute ``x * sigmoid(x)``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.

    Notes
    -----
    `quantnn.functional.silu` as a module, for 8-bit tensors; torch has it for floats only. The state dict has `scale`
    and `zero_point`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.SiLU(0.0625, 10)(x).int_repr()
    array([ 8,  6, 10, 73], dtype=uint8)
    """

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _function.silu(input, self.scale, self.zero_point)


class Mish(_NumberModule):
    """Compute ``x * tanh(log(1 + exp(x)))``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.

    Notes
    -----
    `quantnn.functional.mish` as a module, for 8-bit tensors; torch has it for floats only. The state dict has `scale`
    and `zero_point`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.Mish(0.0625, 10)(x).int_repr()
    array([ 8,  5, 10, 74], dtype=uint8)
    """

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _function.mish(input, self.scale, self.zero_point)


class GELU(_NumberModule):
    """Compute ``x * P(X <= x)`` with X of the standard normal distribution.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.
    approximate : str
        'none' or 'tanh'.

    Notes
    -----
    `quantnn.functional.gelu` as a module, for 8-bit tensors; torch has it for floats only. The state dict has `scale`
    and `zero_point`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.GELU(0.0625, 10)(x).int_repr()
    array([10,  7, 10, 74], dtype=uint8)
    """

    _copied = ("approximate",)

    def __init__(self, scale: Any, zero_point: Any, approximate: str = "none") -> None:
        super().__init__(scale, zero_point)
        self.approximate = approximate

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _function.gelu(input, self.scale, self.zero_point, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(_NumberModule):
    """Compute ``log(1 + exp(beta * x)) / beta``.

    Parameters
    ----------
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.
    beta : float
        Not 0.
    threshold : float
        Where ``beta * x`` is above it, the result is x.

    Notes
    -----
    `quantnn.functional.softplus` as a module, for 8-bit tensors; torch has it for floats only. The state dict has
    `scale` and `zero_point`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.Softplus(0.0625, 0)(x).int_repr()
    array([ 1,  5, 11, 64], dtype=uint8)
    """

    _copied = ("beta", "threshold")

    def __init__(self, scale: Any, zero_point: Any, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__(scale, zero_point)
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _function.softplus(input, self.scale, self.zero_point, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Unary(_NumberModule):
    """Compute any function of one number.

    Parameters
    ----------
    f : callable
        Takes a float and returns a number, as for `quantnn.functional.unary`.
    scale : float
        Of the output, positive and finite.
    zero_point : int
        Of the output.

    Notes
    -----
    For 8-bit tensors. torch has nothing like it. The state dict has `scale` and `zero_point`, not `f`.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([8, 10, 12, 14], np.uint8), 0.5, 10)
    >>> quantnn.Unary(math.cosh, 0.125, 0)(x).dequantize()
    array([1.5 , 1.  , 1.5 , 3.75], dtype=float32)
    """

    def __init__(self, f: Callable[[float], float], scale: Any, zero_point: Any) -> None:
        super().__init__(scale, zero_point)
        if not callable(f):
            raise TypeError(f"Unary: f must be a function of a float; got {_checks.kind(f)}")
        self.f = f

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _function.unary(input, self.f, self.scale, self.zero_point)

    @classmethod
    def _of(cls, op: str, mod: Any, scale: Any, zero_point: Any) -> Self:
        raise NotImplementedError(f"{op}: a Unary cannot be made of a module; call Unary(f, scale, zero_point)")


class Tanh(Module):
    """Compute the hyperbolic tangent.

    Notes
    -----
    torch.nn.Tanh on quantized tensors: `quantnn.ops.tanh`, with a scale and zero point such that the dtype holds
    [-1, 1).

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.Tanh()(x).int_repr()
    array([  1,  31, 128, 255], dtype=uint8)
    """

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.tanh(input)


class Hardsigmoid(Module):
    """Compute ``min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    inplace : bool
        Change the input and return it.

    Notes
    -----
    torch.nn.Hardsigmoid on quantized tensors: `quantnn.functional.hardsigmoid`, with a scale and zero point such that
    the dtype holds [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([4, 8, 10, 18], np.uint8), 0.5, 10)
    >>> quantnn.Hardsigmoid()(x).int_repr()
    array([  0,  85, 128, 255], dtype=uint8)
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = _checks.truth("Hardsigmoid", "inplace", inplace)

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.hardsigmoid(input, self.inplace)


class Hardtanh(Module):
    """Limit values to [min_val, max_val].

    Parameters
    ----------
    min_val, max_val : float
        The bounds.
    inplace : bool
        Change the input and return it.

    Notes
    -----
    torch.nn.Hardtanh on quantized tensors: `quantnn.functional.hardtanh`. The scale and zero point are those of the
    input.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([0, 9, 10, 90], np.uint8), 0.5, 10)
    >>> quantnn.Hardtanh()(x).int_repr()
    array([ 8,  9, 10, 12], dtype=uint8)
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = _checks.truth("Hardtanh", "inplace", inplace)

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class Threshold(Module):
    """Replace values that are not above a threshold.

    Parameters
    ----------
    threshold : float
        Values above it stay.
    value : float
        What the others become.
    inplace : bool
        Kept as in torch; the output is a new tensor.

    Notes
    -----
    torch.nn.Threshold on quantized tensors: `quantnn.functional.threshold`. The scale and zero point are those of the
    input.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([9, 10, 11, 90], np.uint8), 0.5, 10)
    >>> quantnn.Threshold(0.0, 2.0)(x).int_repr()
    array([14, 14, 11, 90], dtype=uint8)
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = _checks.truth("Threshold", "inplace", inplace)

    def forward(self, input: QTensor) -> QTensor:
        """Apply it to a QTensor of any shape."""
        return _unary.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")
