"""MultiheadAttention on quantized tensors: torch.ao.nn.quantized.MultiheadAttention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn, Self

import numpy as np

from .. import _checks
from ..ops import _attention, _tensor
from ..tensor import QTensor, choose_qparams, quantize_per_tensor, quint8
from .functional_modules import QFunctional
from .linear import Linear
from .module import Module
from .quantize import DeQuantize, Quantize
from .utils import check_attributes, is_module, to_numpy


class MultiheadAttention(Module):
    """Attention of several heads on quint8 tensors.

    Parameters
    ----------
    embed_dim : int
        E, the features of the query.
    num_heads : int
        Divides E.
    dropout : float
        Kept as an attribute; it has no effect.
    bias : bool
        Whether the linear layers have biases.
    add_bias_kv : bool
        Add a position to keys and values, which `bias_k` and `bias_v` hold.
    add_zero_attn : bool
        Add a position of zeros to keys and values.
    kdim, vdim : int, optional
        The features of keys and values; E by default.
    batch_first : bool
        Shapes are (N, L, E), not (L, N, E).
    device, dtype
        Accepted as in torch and ignored.

    Attributes
    ----------
    linear_Q, linear_K, linear_V, out_proj : Linear
    quant_attn_output, quant_attn_output_weights : Quantize
    bias_k, bias_v : QTensor or None
        quint8, shape (1, 1, E).

    Notes
    -----
    torch.ao.nn.quantized.MultiheadAttention. Queries, keys and values come from quantized linear layers; scores,
    softmax and their product with the values are float32, which is quantized before `out_proj`. Sums of floats may
    differ from torch's in the last bits, so an integer may differ by one where a float lies between two. Unlike in
    torch `batch_first` works with more than one head, and `bias_k` and `bias_v` are in the state dict.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> attention = quantnn.MultiheadAttention(8, 2)
    >>> x = quantnn.quantize_per_tensor(np.ones((5, 3, 8), np.float32), 0.1, 0, quantnn.quint8)
    >>> output, weights = attention(x, x, x)
    >>> output.shape, weights.shape
    ((5, 3, 8), (3, 5, 5))
    """

    out_proj: Linear
    linear_Q: Linear
    linear_K: Linear
    linear_V: Linear
    q_scaling_product: QFunctional
    quant_attn_output: Quantize
    quant_attn_output_weights: Quantize
    bias_k: QTensor | None
    bias_v: QTensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        op = "MultiheadAttention"
        self.embed_dim = _checks.integer(op, "embed_dim", embed_dim, 1)
        self.num_heads = _checks.integer(op, "num_heads", num_heads, 1)
        self.kdim = self.embed_dim if kdim is None else _checks.integer(op, "kdim", kdim, 1)
        self.vdim = self.embed_dim if vdim is None else _checks.integer(op, "vdim", vdim, 1)
        if self.embed_dim % self.num_heads:
            raise ValueError(f"{op}: num_heads must divide embed_dim; got {num_heads} and {embed_dim}")
        self.head_dim = self.embed_dim // self.num_heads
        self.dropout = _checks.number(op, "dropout", dropout)
        self.batch_first = _checks.truth(op, "batch_first", batch_first)
        self.add_zero_attn = _checks.truth(op, "add_zero_attn", add_zero_attn)
        has_bias = _checks.truth(op, "bias", bias)
        _checks.fits_memory(op, (self.embed_dim, max(self.embed_dim, self.kdim, self.vdim)))
        zeros = QTensor(np.zeros((1, 1, self.embed_dim), np.uint8), quint8, 1.0, 0)
        for name in ("bias_k", "bias_v"):
            self.register_buffer(name, zeros.clone() if _checks.truth(op, "add_bias_kv", add_bias_kv) else None)
        self.out_proj = Linear(self.embed_dim, self.embed_dim, has_bias)
        self.linear_Q = Linear(self.embed_dim, self.embed_dim, has_bias)
        self.linear_K = Linear(self.kdim, self.embed_dim, has_bias)
        self.linear_V = Linear(self.vdim, self.embed_dim, has_bias)
        self.q_scaling_product = QFunctional()
        self.quant_attn_output = Quantize(1.0, 0, quint8)
        self.quant_attn_output_weights = Quantize(1.0, 0, quint8)
        self.dequant_q = DeQuantize()
        self.dequant_k = DeQuantize()
        self.dequant_v = DeQuantize()

    def _get_name(self) -> str:
        return "QuantizedMultiheadAttention"

    def forward(
        self,
        query: QTensor,
        key: QTensor,
        value: QTensor,
        key_padding_mask: np.ndarray | None = None,
        need_weights: bool = True,
        attn_mask: np.ndarray | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[QTensor, QTensor | None]:
        """Attend to keys and values.

        Parameters
        ----------
        query, key, value : QTensor
            quint8, shapes (L, N, E), (S, N, kdim) and (S, N, vdim), or with the first two axes exchanged if
            `batch_first`; L and S at least 1.
        key_padding_mask : numpy.ndarray, optional
            bool, shape (N, S): True where a key is not attended to.
        need_weights : bool
            Whether to return the weights.
        attn_mask : numpy.ndarray, optional
            Shape (L, S) or (N * num_heads, L, S): bool, True where nothing is attended to, or float32, what is added to
            the scores.
        average_attn_weights : bool
            Return the mean of the weights of all heads.
        is_causal : bool
            Must be False, as in torch.

        Returns
        -------
        output : QTensor
            quint8, the shape of `query`.
        weights : QTensor or None
            quint8, shape (N, L, S), or (N, num_heads, L, S) without the mean. S counts added positions.

        Raises
        ------
        TypeError, ValueError, NotImplementedError
            Naming the argument that is wrong.
        """
        op = "MultiheadAttention"
        if _checks.truth(op, "is_causal", is_causal):
            raise NotImplementedError(f"{op}: is_causal must be False, as in torch; give an attn_mask")
        need_weights = _checks.truth(op, "need_weights", need_weights)
        average_attn_weights = _checks.truth(op, "average_attn_weights", average_attn_weights)
        given = {"query": (query, self.embed_dim), "key": (key, self.kdim), "value": (value, self.vdim)}
        parts = []
        for name, (x, features) in given.items():
            _checks.qtensor(op, name, x, (quint8,))
            if x.ndim != 3 or x.shape[2] != features or not all(x.shape):
                raise ValueError(f"{op}: {name} must have 3 axes, the last of {features}, and elements; got {x.shape}")
            parts.append(x.transpose(0, 1) if self.batch_first else x)
        size, batch, _ = parts[0].shape
        s = parts[1].shape[0]
        if parts[1].shape[:2] != parts[2].shape[:2] or parts[1].shape[1] != batch:
            raise ValueError(
                f"{op}: key and value must have as many sequences as query, {batch}, and one length; got shapes "
                f"{key.shape} and {value.shape}"
            )
        mask = self._mask(op, attn_mask, (size, s), batch)
        padding = None
        if key_padding_mask is not None:
            padding = self._bools(op, "key_padding_mask", key_padding_mask)
            if padding.shape != (batch, s):
                raise ValueError(f"{op}: key_padding_mask must have shape {(batch, s)}; got {padding.shape}")
            padding = _minus_infinity(padding)

        heads = (batch * self.num_heads, self.head_dim)
        q = self.q_scaling_product.mul_scalar(self.linear_Q(parts[0]), float(self.head_dim) ** -0.5)
        k, v = self.linear_K(parts[1]), self.linear_V(parts[2])
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (_tensor.cat([x, b.repeat(1, batch, 1)]) for x, b in ((k, self.bias_k), (v, self.bias_v)))
        q, k, v = (x.contiguous().view(-1, *heads) for x in (q, k, v))
        if self.add_zero_attn:
            k, v = (_tensor.pad(x, (0, 0, 0, 0, 0, 1)) for x in (k, v))
        more = k.shape[0] - s
        if more:
            mask, padding = (
                None if x is None else np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, more)]) for x in (mask, padding)
            )
        floats, weights = _attention.attend(q, k, v, mask, padding)
        output = self.out_proj(self.quant_attn_output(floats.reshape(size, batch, self.embed_dim)))
        if self.batch_first:
            output = output.transpose(0, 1).contiguous()
        if not need_weights:
            return output, None
        attended = self.quant_attn_output_weights(weights).view(batch, self.num_heads, size, k.shape[0])
        return output, attended.mean(dim=1) if average_attn_weights else attended

    def _mask(self, op: str, mask: Any, shape: tuple[int, int], batch: int) -> np.ndarray | None:
        if mask is None:
            return None
        given = _checks.array(op, "attn_mask", mask)
        if given.dtype.type is np.float32:
            floats = np.ascontiguousarray(given, np.float32)
        else:
            floats = _minus_infinity(self._bools(op, "attn_mask", given, " or float32"))
        both = (shape, (batch * self.num_heads, *shape))
        if floats.shape not in both:
            raise ValueError(f"{op}: attn_mask must have shape {both[0]} or {both[1]}; got {floats.shape}")
        return floats.reshape(-1, *shape)

    @staticmethod
    def _bools(op: str, name: str, x: Any, more: str = "") -> np.ndarray:
        array = _checks.array(op, name, x)
        if array.dtype.kind != "b":
            raise TypeError(f"{op}: {name} must be a bool{more} array; got {_checks.kind(array)}")
        return array

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
        # torch leaves float weights there that nothing uses, and does not save the biases
        for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
            state_dict.pop(prefix + name, None)
        for name in ("bias_k", "bias_v"):
            if getattr(self, name) is not None:
                state_dict.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, other: Any) -> NoReturn:
        """Raise an error: a float module must be observed first."""
        raise NotImplementedError(
            "MultiheadAttention.from_float: a float module must be observed. Call "
            "torch.ao.nn.quantizable.MultiheadAttention.from_float, run the result on sample inputs, and pass it to "
            "from_observed"
        )

    @classmethod
    def from_observed(cls, other: Any) -> Self:
        """Make the module from an observed one.

        Parameters
        ----------
        other : module
            torch.ao.nn.quantizable.MultiheadAttention, prepared and calibrated.

        Returns
        -------
        MultiheadAttention

        Raises
        ------
        TypeError
            `other` is something else, or was not observed.
        """
        op = "MultiheadAttention.from_observed"
        if not is_module(other) or not hasattr(other, "linear_Q"):
            raise TypeError(
                f"{op}: other must be a torch.ao.nn.quantizable.MultiheadAttention with observers; "
                f"got {_checks.kind(other)}"
            )
        linears = ("linear_Q", "linear_K", "linear_V", "out_proj")
        quantizers = ("quant_attn_output", "quant_attn_output_weights")
        sizes = ("embed_dim", "num_heads", "dropout", "kdim", "vdim", "batch_first", "add_zero_attn")
        check_attributes(op, other, *sizes, *linears, *quantizers, "bias_k", "bias_v")
        made = cls(
            other.embed_dim, other.num_heads, other.dropout, other.linear_Q.bias is not None,
            other.bias_k is not None, other.add_zero_attn, other.kdim, other.vdim, other.batch_first,
        )  # fmt: skip
        for name in linears:
            setattr(made, name, Linear.from_float(getattr(other, name)))
        for name in quantizers:
            setattr(made, name, Quantize.from_float(getattr(other, name)))
        if other.bias_k is not None and other.bias_v is not None:
            made.bias_k = _quantized_by_range(to_numpy(other.bias_k))
            # as in torch, by the range of the other
            made.bias_v = _quantized_by_range(to_numpy(other.bias_v), made.bias_k.dequantize())
        return made


def _minus_infinity(where: np.ndarray) -> np.ndarray:
    return np.where(where, np.float32(-math.inf), np.float32(0))


def _quantized_by_range(x: np.ndarray, of: np.ndarray | None = None) -> QTensor:
    of = x if of is None else of
    q: QTensor = quantize_per_tensor(np.float32(x), *choose_qparams(of.min(), of.max(), 0, 255), quint8)
    return q
