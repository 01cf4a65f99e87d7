"""Conv1d, Conv2d, Conv3d: torch.ao.nn.quantized's convolutions."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from .. import _checks
from ..ops import _conv
from ..ops._packing import zeros
from ..tensor import QTensor, quint8
from .output import OutputModule
from .utils import (
    check_attributes,
    check_float_module,
    check_reference_module,
    first_layer,
    from_torch,
    load_weight,
    observer_dtype,
    post_process_qparams,
    qint8_weight,
)


class _ConvNd(OutputModule):
    """What the convolutions share. A subclass sets the number of dimensions and the padding modes it has."""

    _ndim: int
    _padding_modes: tuple[str, ...]
    _relu: ClassVar[bool] = False
    _float_names: ClassVar[tuple[str, ...]]  # what from_float takes
    _trained_names: ClassVar[tuple[str, ...]]  # and after quantization-aware training

    transposed: ClassVar[bool] = False
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    _packed_params: Any  # what _pack makes

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode)

    def _set_up(
        self, in_channels: Any, out_channels: Any, kernel_size: Any, stride: Any, padding: Any, output_padding: Any,
        dilation: Any, groups: Any, bias: Any, padding_mode: Any,
    ) -> None:  # fmt: skip
        op, n = type(self).__name__, self._ndim
        self.in_channels = _checks.integer(op, "in_channels", in_channels, 1)
        self.out_channels = _checks.integer(op, "out_channels", out_channels, 1)
        self.groups = _checks.integer(op, "groups", groups, 1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{op}: {name} must be divisible by groups; got {getattr(self, name)} and {groups}")
        self.kernel_size = _checks.integers(op, "kernel_size", kernel_size, n, 1)
        self.stride = _checks.integers(op, "stride", stride, n, 1)
        self.padding = _checks.integers(op, "padding", padding, n, 0)
        self.output_padding = _checks.integers(op, "output_padding", output_padding, n, 0)
        self.dilation = _checks.integers(op, "dilation", dilation, n, 1)
        if not isinstance(padding_mode, str) or padding_mode not in self._padding_modes:
            raise ValueError(
                f"{op}: padding_mode must be {' or '.join(self._padding_modes)}; got {_checks.kind(padding_mode)}"
            )
        self.padding_mode = padding_mode
        has_bias = _checks.truth(op, "bias", bias)
        _checks.fits_memory(op, self._weight_shape())
        self.set_weight_bias(zeros(self._weight_shape()), np.zeros(self.out_channels, np.float32) if has_bias else None)
        self.scale = 1.0
        self.zero_point = 0

    def _get_name(self) -> str:
        return f"QuantizedConv{self._ndim}d"

    def extra_repr(self) -> str:
        """The arguments, as torch prints them."""
        n = self._ndim
        s = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"scale={self.scale}, zero_point={self.zero_point}"
        )
        if self.padding != (0,) * n:
            s += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            s += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            s += f", output_padding={self.output_padding}"
        if self.groups != 1:
            s += f", groups={self.groups}"
        if self._packed_params._bias is None:
            s += ", bias=False"
        return s

    def forward(self, input: QTensor) -> QTensor:
        """Apply the convolution.

        Parameters
        ----------
        input : QTensor
            quint8, shape (N, C, *size), in any memory order.

        Returns
        -------
        QTensor
            quint8, shape (N, K, *output size), channels-last in memory.
        """
        if self.padding_mode != "zeros":
            input = self._reflect(input)
        return _conv.run_conv(
            type(self).__name__, self._ndim, input, self._packed_params, self.scale, self.zero_point, self._relu
        )

    def _reflect(self, input: QTensor) -> QTensor:
        # the integers are mirrored; the convolution then pads no more
        _checks.qtensor(type(self).__name__, "input", input, (quint8,))
        ints = np.pad(input._ints, self._reflection(input.shape), mode="reflect")
        return QTensor(ints, quint8, input._scale, input._zero_point)

    def _reflection(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        """What is reflected of an input of this shape, at both ends of each axis."""
        size = shape[2:]
        if len(size) != self._ndim or any(p >= i for p, i in zip(self.padding, size, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: input must have {self._ndim + 2} dimensions, larger than the padding "
                f"{self.padding} that is reflected; got shape {shape}"
            )
        return [(0, 0), (0, 0), *((p, p) for p in self.padding)]

    def _weight_bias(self) -> tuple[QTensor, np.ndarray | None]:
        found: tuple[QTensor, np.ndarray | None] = self._packed_params.unpack()
        return found

    def weight(self) -> QTensor:
        """The weight: qint8, shape (K, C / groups, *kernel), unpacked anew at each call.

        Of a transposed convolution (C, K / groups, *kernel). The memory order is torch's.
        """
        return self._weight_bias()[0]

    def bias(self) -> np.ndarray | None:
        """The bias: float32, shape (K,), or None."""
        bias = self._packed_params._bias
        return None if bias is None else bias.copy()

    def set_weight_bias(self, w: QTensor, b: np.ndarray | None) -> None:
        """Set and pack the weight and the bias.

        Parameters
        ----------
        w : QTensor
            qint8, shape (K, C / groups, *kernel), per tensor or per channel along axis 0; of a transposed convolution
            (C, K / groups, *kernel), along axis 1. Its scales are rounded to float32.
        b : numpy.ndarray or None
            float32, shape (K,).

        Raises
        ------
        TypeError, ValueError
            Naming the argument that is wrong.
        """
        op = f"{type(self).__name__}.set_weight_bias"
        w = from_torch(w)
        here = self._weight_shape()
        if isinstance(w, QTensor) and w.ndim == self._ndim + 2 and w.shape != here:
            raise ValueError(f"{op}: w must have shape {here}; got {w.shape}")
        self._packed_params = self._pack(w, from_torch(b), op)

    def _pack(self, w: QTensor, b: np.ndarray | None, op: str) -> Any:
        padding = self.padding if self.padding_mode == "zeros" else (0,) * self._ndim
        return _conv.PackedConv(self._ndim, w, b, self.stride, padding, self.dilation, self.groups, op)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        destination[prefix + "weight"], destination[prefix + "bias"] = self._weight_bias()
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
        if prefix + "bias" not in state_dict:
            missing_keys.append(prefix + "bias")
        bias = state_dict.pop(prefix + "bias", None)
        if key not in state_dict:
            missing_keys.append(key)
        else:
            weight = state_dict.pop(key)
            load_weight(key, weight, self._weight_shape(), lambda: self.set_weight_bias(weight, bias), error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from an observed float one.

        Parameters
        ----------
        mod : module
            torch.nn's convolution of the same name (or its form for quantization-aware training, a batch norm in it
            is folded) as `prepare` and calibration leave it: with a ``qconfig`` and an
            ``activation_post_process``. Without the latter the output keeps scale 1.0 and zero point 0.
        use_precomputed_fake_quant : bool
            Take the weight's fake-quantize as it is, without showing it the weight once more.

        Returns
        -------
        module
            Of this class.

        Raises
        ------
        TypeError
            `mod` is another class, has no qconfig, or its weight observer's dtype is not qint8.
        """
        op = f"{cls.__name__}.from_float"
        trained = cls._trained_names if hasattr(mod, "weight_fake_quant") else ()
        check_float_module(op, mod, *cls._float_names, *trained)
        layer = first_layer(op, mod)
        check_attributes(op, layer, "bias")
        weight, bias = qint8_weight(op, layer, use_precomputed_fake_quant)
        module = cls._like(layer, bias is not None)
        module.set_weight_bias(weight, bias)
        output = getattr(mod, "activation_post_process", None)
        if output is not None and observer_dtype(output) is not None:
            module.scale, module.zero_point = post_process_qparams(mod, op)
        return module

    @classmethod
    def from_reference(cls, ref_qconv: Any, output_scale: float, output_zero_point: int) -> Self:
        """Make the module from a reference quantized one of torch.

        Parameters
        ----------
        ref_qconv : module
            With ``get_quantized_weight()``, ``bias`` and the geometry.
        output_scale, output_zero_point : float, int
            Of the output.

        Returns
        -------
        module
            Of this class.
        """
        op = f"{cls.__name__}.from_reference"
        layer = first_layer(op, ref_qconv)
        check_reference_module(op, layer)
        module = cls._like(layer, layer.bias is not None)
        module.set_weight_bias(from_torch(layer.get_quantized_weight()), from_torch(layer.bias))
        module.scale, module.zero_point = _checks.qparams(op, output_scale, output_zero_point, quint8)
        return module

    @classmethod
    def _like(cls, mod: Any, bias: bool) -> Self:
        names: tuple[str, ...] = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        if cls.transposed:
            names += ("output_padding",)
        check_attributes(cls.__name__, mod, "in_channels", "out_channels", *names)
        if isinstance(mod.padding, str):
            raise ValueError(
                f"{cls.__name__}: padding must be an int or {cls._ndim} ints; got {mod.padding!r}. Give the numbers"
            )
        return cls(mod.in_channels, mod.out_channels, bias=bias, **{name: getattr(mod, name) for name in names})


class Conv1d(_ConvNd):
    """A convolution over (N, C, L) quint8 tensors, with a qint8 weight.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, dilation : int or tuple of 1 int
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros' (really the zero point) or 'reflect'.
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
    torch.ao.nn.quantized.Conv1d. Integers are those of `quantnn.ops.conv1d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.Conv1d(16, 33, 3, stride=2)
    >>> x = np.random.default_rng(0).standard_normal((20, 16, 100)).astype(np.float32)
    >>> m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8)).shape
    (20, 33, 49)
    """

    _ndim = 1
    _padding_modes = ("zeros", "reflect")
    _float_names: ClassVar[tuple[str, ...]] = ("Conv1d",)
    _trained_names: ClassVar[tuple[str, ...]] = ("ConvBn1d",)


class Conv2d(_ConvNd):
    """A convolution over (N, C, H, W) quint8 tensors, with a qint8 weight.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, dilation : int or tuple of 2 ints
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros' (really the zero point) or 'reflect'.
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
    torch.ao.nn.quantized.Conv2d. Integers are those of `quantnn.ops.conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
    >>> x = np.random.default_rng(0).standard_normal((20, 16, 50, 100)).astype(np.float32)
    >>> m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8)).shape
    (20, 33, 26, 100)
    """

    _ndim = 2
    _padding_modes = ("zeros", "reflect")
    _float_names: ClassVar[tuple[str, ...]] = ("Conv2d",)
    _trained_names: ClassVar[tuple[str, ...]] = ("ConvBn2d",)


class Conv3d(_ConvNd):
    """A convolution over (N, C, D, H, W) quint8 tensors, with a qint8 weight.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, padding, dilation : int or tuple of 3 ints
    groups : int
        Divides C and K.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        'zeros' (really the zero point).
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
    torch.ao.nn.quantized.Conv3d. Integers are those of `quantnn.ops.conv3d`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.Conv3d(16, 33, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), dilation=(1, 2, 2))
    >>> x = np.random.default_rng(0).standard_normal((2, 16, 6, 26, 26)).astype(np.float32)
    >>> m(quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8)).shape
    (2, 33, 6, 11, 11)
    """

    _ndim = 3
    _padding_modes = ("zeros",)
    _float_names: ClassVar[tuple[str, ...]] = ("Conv3d",)
    _trained_names: ClassVar[tuple[str, ...]] = ("ConvBn3d",)
