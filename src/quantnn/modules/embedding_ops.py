"""Embedding and EmbeddingBag: torch.ao.nn.quantized's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any, Self

import numpy as np

from .. import _checks
from ..ops import _embedding
from ..tensor import DType, QTensor, per_channel_affine_float_qparams, quint4x2, quint8
from .module import Module
from .utils import (
    as_dtype,
    as_qscheme,
    check_attributes,
    check_float_module,
    from_torch,
    observer_dtype,
    quantize_weight,
    size_repr,
    to_numpy,
    weight_observer,
)


def _table_dtype(op: str, dtype: Any) -> DType:
    found = as_dtype(dtype)
    if found is not quint8 and found is not quint4x2:
        raise TypeError(f"{op}: dtype must be quint8 or quint4x2; got {_checks.kind(dtype)}")
    return found


class EmbeddingPackedParams(Module):
    """The packed table of an `Embedding`, a child module so that the state dict has torch's nesting.

    Parameters
    ----------
    num_embeddings : int
        Number of rows.
    embedding_dim : int
        Elements of a row; even for quint4x2.
    dtype : DType
        quint8 or quint4x2.

    Notes
    -----
    torch.ao.nn.quantized.modules.embedding_ops.EmbeddingPackedParams. The table is 0 with scales 1 at first.
    """

    _version = 1

    dtype: DType
    _packed_weight: _embedding.PackedEmbedding

    def __init__(self, num_embeddings: int, embedding_dim: int, dtype: Any = quint8) -> None:
        super().__init__()
        op = "EmbeddingPackedParams"
        rows = _checks.integer(op, "num_embeddings", num_embeddings, 0)
        dim = _checks.integer(op, "embedding_dim", embedding_dim, 0)
        self.dtype = _table_dtype(op, dtype)
        _checks.fits_memory(op, (rows, dim))
        ints = np.zeros((rows, dim) if self.dtype is quint8 else (rows * dim + 1) // 2, np.uint8)
        shape = None if self.dtype is quint8 else (rows, dim)
        scales, zero_points = np.ones(rows, np.float32), np.zeros(rows, np.float32)
        self.set_weight(QTensor(ints, self.dtype, scales, zero_points, per_channel_affine_float_qparams, 0, shape))

    def set_weight(self, weight: Any) -> None:
        """Pack a table: a QTensor, or a quantized torch tensor."""
        weight = from_torch(weight)
        if isinstance(weight, QTensor) and weight.dtype is not self.dtype:
            raise TypeError(
                f"set_weight: weight must be {self.dtype.name}, the dtype of the module; got {weight.dtype.name}"
            )
        self._packed_weight = _embedding.embedding_bag_prepack(weight)

    def _weight(self) -> QTensor:
        return _embedding.embedding_bag_unpack(self._packed_weight)

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        return x

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "dtype"] = self.dtype
        destination[prefix + "_packed_weight"] = self._weight()

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
        key = prefix + "_packed_weight"
        weight = state_dict.pop(key, None)
        dtype = state_dict.pop(prefix + "dtype", None)
        if weight is None:
            missing_keys.append(key)
        if dtype is None:
            missing_keys.append(prefix + "dtype")
        if weight is not None and dtype is not None:
            try:
                table = _embedding.embedding_bag_prepack(weight)
            except (TypeError, ValueError) as e:
                error_msgs.append(f"{key}: {e}")
            else:
                here = self._packed_weight.shape
                if as_dtype(dtype) is not table.dtype:
                    error_msgs.append(
                        f"{prefix}dtype must be that of the weight, {table.dtype.name}; got {_checks.kind(dtype)}"
                    )
                elif table.shape != here:
                    error_msgs.append(
                        f"size mismatch for {key}: copying a param with shape {size_repr(table.shape)} from "
                        f"checkpoint, the shape in current model is {size_repr(here)}."
                    )
                else:
                    self.dtype, self._packed_weight = table.dtype, table
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, False, missing_keys, unexpected_keys, error_msgs
        )

    def __repr__(self) -> str:
        return repr(self._weight())


class Embedding(Module):
    """A table of quantized rows, looked up by index.

    Parameters
    ----------
    num_embeddings : int
        R, the number of rows.
    embedding_dim : int
        D, the elements of a row; even for quint4x2.
    padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        Accepted as in torch and without effect.
    _weight : QTensor, optional
        The table, as in `set_weight`; zeros without it.
    dtype : DType
        quint8 or quint4x2.

    Attributes
    ----------
    num_embeddings, embedding_dim : int
    dtype : DType

    Notes
    -----
    torch.ao.nn.quantized.Embedding. The floats are those of `quantnn.ops.embedding_byte` and
    `quantnn.ops.embedding_4bit`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.Embedding(num_embeddings=10, embedding_dim=12)
    >>> m
    QuantizedEmbedding(num_embeddings=10, embedding_dim=12, dtype=torch.quint8, \
qscheme=torch.per_channel_affine_float_qparams)
    >>> m(np.array([9, 6, 5, 7, 8, 8, 9, 2, 8])).shape
    (9, 12)
    """

    _version = 1
    _float_name = "Embedding"
    _float_attributes: tuple[str, ...] = ()

    num_embeddings: int
    embedding_dim: int
    _packed_params: EmbeddingPackedParams

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        dtype: Any = quint8,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.num_embeddings = _checks.integer(op, "num_embeddings", num_embeddings, 0)
        self.embedding_dim = _checks.integer(op, "embedding_dim", embedding_dim, 0)
        self._packed_params = EmbeddingPackedParams(self.num_embeddings, self.embedding_dim, _table_dtype(op, dtype))
        if _weight is not None:
            self.set_weight(_weight)

    @property
    def dtype(self) -> DType:
        """quint8 or quint4x2."""
        return self._packed_params.dtype

    def forward(self, indices: Any) -> np.ndarray:
        """Look up rows.

        Parameters
        ----------
        indices : numpy.ndarray
            int32 or int64, one or two dimensions, in [0, R).

        Returns
        -------
        numpy.ndarray
            float32, shape ``(*indices.shape, D)``.
        """
        params: Any = self._modules["_packed_params"]  # quicker than the attribute
        return _embedding.run_embedding(params._packed_weight, indices)

    def _get_name(self) -> str:
        return "QuantizedEmbedding"

    def extra_repr(self) -> str:
        return (
            f"num_embeddings={self.num_embeddings}, embedding_dim={self.embedding_dim}, dtype={self.dtype}, "
            f"qscheme={per_channel_affine_float_qparams}"
        )

    def __repr__(self) -> str:
        # without the packed parameters
        return f"{self._get_name()}({self.extra_repr()})"

    def set_weight(self, w: Any) -> None:
        """Set the table.

        Parameters
        ----------
        w : QTensor
            Shape (R, D), of the module's dtype, quantized per row with float zero points (scheme
            ``per_channel_affine_float_qparams``, axis 0). A quantized torch tensor is converted.

        Raises
        ------
        TypeError
            `w` has another dtype or is no QTensor.
        ValueError
            It has another shape, scheme or axis.
        """
        w = from_torch(w)
        shape = (self.num_embeddings, self.embedding_dim)
        if isinstance(w, QTensor) and tuple(w.shape) != shape:
            raise ValueError(f"set_weight: w must have shape {shape}; got {tuple(w.shape)}")
        self._packed_params.set_weight(w)

    def weight(self) -> QTensor:
        """The table: a QTensor of shape (R, D)."""
        return self._packed_params._weight()

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Quantize a float module.

        Parameters
        ----------
        mod : module
            torch's or quantnn's float module of the same name with a ``qconfig``, whose weight observer has scheme
            per_channel_affine_float_qparams and dtype quint8 or quint4x2; without one, torch's default for 8 bits
            counts. Or one with a ``weight_fake_quant``.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        Module

        Raises
        ------
        TypeError
            `mod` is another module, or its observer another one.
        """
        op = f"{cls.__name__}.from_float"
        check_float_module(op, mod, cls._float_name)
        check_attributes(op, mod, "num_embeddings", "embedding_dim", "weight", *cls._float_attributes)
        observer = _observer(op, mod)
        dtype = observer_dtype(observer)
        qscheme = as_qscheme(getattr(observer, "qscheme", None))
        if qscheme is not per_channel_affine_float_qparams or (dtype is not quint8 and dtype is not quint4x2):
            raise TypeError(
                f"{op}: mod's weight observer must have scheme per_channel_affine_float_qparams and dtype quint8 or "
                f"quint4x2; got {getattr(observer, 'qscheme', None)}, {getattr(observer, 'dtype', None)}. "
                "Set mod.qconfig to float_qparams_weight_only_qconfig"
            )
        return cls._from_weight(mod, quantize_weight(mod.weight, observer, op), dtype)

    @classmethod
    def from_reference(cls, ref_embedding: Any) -> Self:
        """Make the module from a reference module of torch, which has a quantized weight."""
        if not hasattr(ref_embedding, "get_quantized_weight"):
            raise TypeError(
                f"{cls.__name__}.from_reference: ref_embedding must be a reference module; "
                f"got {_checks.kind(ref_embedding)}"
            )
        names = ("num_embeddings", "embedding_dim", "weight_dtype", *cls._float_attributes)
        check_attributes(f"{cls.__name__}.from_reference", ref_embedding, *names)
        weight = from_torch(ref_embedding.get_quantized_weight())
        return cls._from_weight(ref_embedding, weight, ref_embedding.weight_dtype)

    @classmethod
    def _from_weight(cls, mod: Any, weight: QTensor, dtype: Any) -> Self:
        return cls(mod.num_embeddings, mod.embedding_dim, _weight=weight, dtype=dtype)


class EmbeddingBag(Embedding):
    """A table of quantized rows, of which bags are summed.

    Parameters
    ----------
    num_embeddings : int
        R, the number of rows.
    embedding_dim : int
        D, the elements of a row; even for quint4x2.
    max_norm, norm_type, scale_grad_by_freq, sparse
        Accepted as in torch and without effect.
    mode : str
        ``"sum"``. ``"mean"`` and ``"max"`` sum too, as in torch, with a warning.
    _weight : QTensor, optional
        The table, as in `set_weight`; zeros without it.
    include_last_offset : bool
        Whether the last offset is the end of the last bag, not the start of another one.
    dtype : DType
        quint8 or quint4x2.

    Attributes
    ----------
    num_embeddings, embedding_dim : int
    mode : str
    include_last_offset, pruned_weights : bool
    dtype : DType

    Notes
    -----
    torch.ao.nn.quantized.EmbeddingBag. The floats are those of `quantnn.ops.embedding_bag_byte` and
    `quantnn.ops.embedding_bag_4bit`.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> m = quantnn.EmbeddingBag(num_embeddings=10, embedding_dim=12, include_last_offset=True, mode="sum")
    >>> m(np.array([9, 6, 5, 7, 8, 8, 9, 2, 8]), np.array([0, 4, 4, 9])).shape
    (3, 12)
    """

    _float_name = "EmbeddingBag"
    _float_attributes = ("mode", "include_last_offset")

    mode: str
    pruned_weights: bool
    include_last_offset: bool

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "sum",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        dtype: Any = quint8,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, _weight=_weight, dtype=dtype)
        if not isinstance(mode, str) or mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode must be 'sum', 'mean' or 'max'; got {_checks.kind(mode)}")
        if mode != "sum":
            warnings.warn(
                f"EmbeddingBag: mode {mode!r} is ignored, as in torch: the rows of a bag are summed", stacklevel=2
            )
        self.mode = mode
        self.pruned_weights = False
        self.include_last_offset = _checks.truth("EmbeddingBag", "include_last_offset", include_last_offset)

    def forward(
        self,
        indices: Any,
        offsets: Any = None,
        per_sample_weights: Any = None,
        compressed_indices_mapping: Any = None,
    ) -> np.ndarray:
        """Sum bags of rows.

        Parameters
        ----------
        indices : numpy.ndarray
            int32 or int64, in [0, R): all bags one after the other, shape (n,), or bags of equal size, shape (B, n).
        offsets : numpy.ndarray, optional
            int32 or int64, shape (B,): where each bag starts in one-dimensional `indices`.
        per_sample_weights : numpy.ndarray, optional
            float32, the shape of `indices`: a factor for each row.
        compressed_indices_mapping : numpy.ndarray, optional
            int32, if `pruned_weights` is set: the row for each index, -1 where there is none.

        Returns
        -------
        numpy.ndarray
            float32, shape (B, D).
        """
        params: Any = self._modules["_packed_params"]  # quicker than the attribute
        packed = params._packed_weight
        op = _embedding.embedding_bag_4bit if packed.dtype is quint4x2 else _embedding.embedding_bag_byte
        return op(
            packed,
            indices,
            offsets,
            False,
            0,
            self.pruned_weights,
            per_sample_weights,
            compressed_indices_mapping,
            self.include_last_offset,
        )

    def _get_name(self) -> str:
        return "QuantizedEmbeddingBag"

    @classmethod
    def _from_weight(cls, mod: Any, weight: QTensor, dtype: Any) -> Self:
        return cls(
            mod.num_embeddings,
            mod.embedding_dim,
            mode=mod.mode,
            _weight=weight,
            include_last_offset=mod.include_last_offset,
            dtype=dtype,
        )


def _observer(op: str, mod: Any) -> Any:
    """The weight observer of a float module after it saw the weight: torch's default one if the qconfig has none."""
    trained = getattr(mod, "weight_fake_quant", None) is not None
    if not trained and hasattr(mod, "qconfig") and (mod.qconfig is None or getattr(mod.qconfig, "weight", 0) is None):
        weight = to_numpy(mod.weight)
        if weight.dtype.kind != "f" or weight.ndim != 2:
            raise TypeError(f"{op}: mod.weight must be a float array (R, D); got {_checks.kind(weight)}")
        return _RowObserver(weight)
    return weight_observer(mod, op)


class _RowObserver:
    """torch's default observer for embedding tables: the smallest and largest value of each row to 0 and 255."""

    dtype = quint8
    qscheme = per_channel_affine_float_qparams
    ch_axis = 0
    quant_min = 0
    quant_max = 255

    def __init__(self, weight: np.ndarray) -> None:
        self._weight = np.asarray(weight, np.float32)

    def calculate_qparams(self) -> tuple[np.ndarray, np.ndarray]:
        if not self._weight.size:
            return np.ones(len(self._weight), np.float32), np.zeros(len(self._weight), np.float32)
        low, high = self._weight.min(axis=1), self._weight.max(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            scale = (high - low) / np.float32(255)
        scale = np.where(scale > np.finfo(np.float32).eps, scale, np.float32(1)).astype(np.float32)
        return scale, -low / scale
