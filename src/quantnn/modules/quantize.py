"""Quantize and DeQuantize: the doors between float arrays and QTensors in a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks
from .. import tensor as _tensor
from ..tensor import DType, QTensor
from .module import Module
from .utils import as_dtype, format_float, from_torch, is_tensor, post_process_qparams


class Quantize(Module):
    """Quantize a float array, per tensor.

    Parameters
    ----------
    scale : float
        The scale, positive and finite. It is kept as float32.
    zero_point : int
        The zero point, within the range of `dtype`.
    dtype : DType
        quint8, qint8 or qint32.
    factory_kwargs : dict, optional
        Accepted as in torch and ignored.

    Attributes
    ----------
    scale : numpy.ndarray
        float32, shape (1,).
    zero_point : numpy.ndarray
        int64, shape (1,).
    dtype : DType

    Notes
    -----
    torch.ao.nn.quantized.Quantize. The result is that of ``quantnn.quantize_per_tensor(x, float(scale),
    int(zero_point), dtype)`` with the scale rounded to float32.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> quantize = quantnn.Quantize(1.0, 2, quantnn.qint8)
    >>> quantize
    Quantize(scale=tensor([1.]), zero_point=tensor([2]), dtype=torch.qint8)
    >>> quantize(np.array([[1.0, -1.0]], dtype=np.float32)).int_repr()
    array([[3, 1]], dtype=int8)
    """

    scale: np.ndarray
    zero_point: np.ndarray
    dtype: DType

    def __init__(self, scale: Any, zero_point: Any, dtype: Any, factory_kwargs: Any = None) -> None:
        super().__init__()
        quantized = as_dtype(dtype)
        if quantized is None:
            raise TypeError(f"Quantize: dtype must be quint8, qint8 or qint32; got {_checks.kind(dtype)}")
        scale, zero_point = (from_torch(v) if is_tensor(v) else v for v in (scale, zero_point))
        scale, zero_point = _checks.qparams("Quantize", scale, zero_point, quantized)
        self.dtype = quantized
        self.register_buffer("scale", np.array([scale], dtype=np.float32))
        self.register_buffer("zero_point", np.array([zero_point], dtype=np.int64))

    def forward(self, X: Any) -> QTensor:
        """Quantize `X`.

        Parameters
        ----------
        X : numpy.ndarray
            float32, any shape.

        Returns
        -------
        QTensor
            Of the same shape; channels-last if `X` is.
        """
        if isinstance(X, (list, tuple)):
            raise TypeError(f"Quantize: X must be a float32 array; got {_checks.kind(X)}")
        buffers = self._buffers  # attribute access would be slower
        scale, zero_point = buffers["scale"].item(), buffers["zero_point"].item()
        q: QTensor = _tensor.quantize_per_tensor(X, scale, zero_point, self.dtype)
        return q

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
        for name in ("scale", "zero_point"):
            value = state_dict.get(prefix + name)
            if isinstance(value, (np.ndarray, np.generic)) and value.shape == ():
                state_dict[prefix + name] = np.reshape(value, (1,))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> Quantize:
        """Make the module from an observed ``QuantStub``.

        Parameters
        ----------
        mod : module
            A module whose ``activation_post_process`` is an observer or FakeQuantize, torch's or quantnn's.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        Quantize
        """
        scale, zero_point = post_process_qparams(mod, "Quantize.from_float")
        return Quantize(scale, zero_point, getattr(mod.activation_post_process, "dtype", None))

    def extra_repr(self) -> str:
        scale = format_float(self.scale.item())
        return f"scale=tensor([{scale}]), zero_point=tensor([{self.zero_point.item()}]), dtype={self.dtype}"


class DeQuantize(Module):
    """Turn a QTensor into a float array.

    Notes
    -----
    torch.ao.nn.quantized.DeQuantize.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> q = quantnn.Quantize(1.0, 2, quantnn.qint8)(np.array([1.0, -1.0], dtype=np.float32))
    >>> quantnn.DeQuantize()(q)
    array([ 1., -1.], dtype=float32)
    """

    def forward(self, Xq: Any) -> np.ndarray:
        """The float32 array that the QTensor `Xq` stands for."""
        if not isinstance(Xq, QTensor):
            # torch's dequantize() returns a float tensor as it is
            if isinstance(Xq, np.ndarray) and Xq.dtype.type is np.float32:
                return Xq
            raise TypeError(f"DeQuantize: Xq must be a QTensor; got {_checks.kind(Xq)}")
        return Xq.dequantize()

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> DeQuantize:
        """Make the module from a ``DeQuantStub``."""
        return DeQuantize()
