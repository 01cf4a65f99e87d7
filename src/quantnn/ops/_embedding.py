"""Quantized embedding tables: packing, lookups and sums of rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels
from ..tensor import DType, QTensor, per_channel_affine_float_qparams, quint2x4, quint4x2, quint8

_GRAIN = 1 << 15  # added elements for each thread
_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)
_NOTHING = np.empty(0, np.float32)


class PackedEmbedding:
    """A packed embedding table: what `embedding_bag_prepack` returns. Immutable.

    Attributes
    ----------
    shape : tuple of int
        Number of rows, and elements of each.
    dtype : DType
        quint8 or quint4x2.
    """

    __slots__ = ("_rows", "_scale", "_zero_point", "dtype", "shape")

    def __init__(
        self, rows: np.ndarray, shape: tuple[int, int], dtype: DType, scale: np.ndarray, zero_point: np.ndarray
    ) -> None:
        self._rows = rows  # uint8, each row its integers, scale and bias: see _kernels/embedding.pyx
        self._scale = scale
        self._zero_point = zero_point
        self.shape = shape
        self.dtype = dtype

    def __repr__(self) -> str:
        return f"PackedEmbedding(shape={self.shape}, dtype={self.dtype})"

    def __reduce__(self) -> Any:
        return embedding_bag_prepack, (embedding_bag_unpack(self),)


def embedding_bag_prepack(weight: QTensor) -> PackedEmbedding:
    """Pack an embedding table for `embedding_byte`, `embedding_4bit` and the bags.

    Parameters
    ----------
    weight : QTensor
        quint8 or quint4x2, shape (R, D), quantized per row with float zero points
        (``per_channel_affine_float_qparams``, axis 0). D is even for quint4x2.

    Returns
    -------
    PackedEmbedding

    Raises
    ------
    TypeError
        If `weight` is not a QTensor of one of these dtypes.
    ValueError
        If its scheme, axis or shape is another one.

    Notes
    -----
    A row keeps its scale and the bias ``-zero_point * scale``; for quint4x2 both are rounded to float16. So a lookup
    can differ from `dequantize` in the last bits. torch's ``torch.ops.quantized.embedding_bag_prepack``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> w = np.array([[1, 2], [3, 5]], np.float32)
    >>> scales, zero_points = np.array([0.5, 0.25], np.float32), np.zeros(2, np.float32)
    >>> q = quantnn.quantize_per_channel(w, scales, zero_points, 0, quantnn.quint8)
    >>> packed = quantnn.ops.embedding_bag_prepack(q)
    >>> quantnn.ops.embedding_byte(packed, np.array([1, 0, 1]))
    array([[3., 5.],
           [1., 2.],
           [3., 5.]], dtype=float32)
    """
    op = "embedding_bag_prepack"
    if not isinstance(weight, QTensor):
        raise TypeError(
            f"{op}: weight must be a QTensor; got {_checks.kind(weight)}. Quantize it with quantize_per_channel and"
            " float32 zero points"
        )
    dtype = weight._dtype
    if dtype not in (quint8, quint4x2):
        raise TypeError(f"{op}: weight must be quint8 or quint4x2; got {dtype.name}")
    if weight._qscheme is not per_channel_affine_float_qparams:
        raise ValueError(
            f"{op}: weight must be quantized with scheme per_channel_affine_float_qparams; got {weight._qscheme.name}."
            " Quantize it with quantize_per_channel and float32 zero points"
        )
    if weight.ndim != 2 or weight._axis != 0:
        raise ValueError(
            f"{op}: weight must have shape (R, D) and axis 0; got shape {tuple(weight.shape)}, axis {weight._axis}"
        )
    rows, dim = (int(n) for n in weight.shape)
    if dtype is quint4x2 and dim % 2:
        raise ValueError(f"{op}: weight must have an even last dimension if it is quint4x2; got {dim}")
    width = dim * dtype.bits // 8
    ints = np.ascontiguousarray(weight._ints).reshape(rows, width)
    scale = np.array(weight._scale, np.float32).reshape(rows)
    zero_point = np.array(weight._zero_point, np.float32).reshape(rows)
    packed = np.empty((rows, width + dtype.bits), np.uint8)
    if rows:
        kernels.embedding.pack(ints, scale, zero_point, packed, dtype.bits)
    return PackedEmbedding(packed, (rows, dim), dtype, scale, zero_point)


def embedding_bag_unpack(W_prepack: PackedEmbedding) -> QTensor:
    """The table that `embedding_bag_prepack` packed: the same integers, scales and zero points.

    Parameters
    ----------
    W_prepack : PackedEmbedding
        What `embedding_bag_prepack` returned.

    Returns
    -------
    QTensor
        quint8 or quint4x2, shape (R, D), scheme ``per_channel_affine_float_qparams``, axis 0.

    Raises
    ------
    TypeError
        If `W_prepack` is something else.

    Notes
    -----
    torch's ``torch.ops.quantized.embedding_bag_unpack``.
    """
    p = _packed("embedding_bag_unpack", W_prepack)
    ints = np.ascontiguousarray(p._rows[:, : p._rows.shape[1] - p.dtype.bits])
    scheme = per_channel_affine_float_qparams
    if p.dtype is quint8:
        return QTensor(ints, p.dtype, p._scale.copy(), p._zero_point.copy(), scheme, 0)
    return QTensor(ints.reshape(-1), p.dtype, p._scale.copy(), p._zero_point.copy(), scheme, 0, p.shape)


def _packed(op: str, weight: Any, dtype: DType | None = None) -> PackedEmbedding:
    if not isinstance(weight, PackedEmbedding):
        raise TypeError(
            f"{op}: weight must be a packed table; got {_checks.kind(weight)}. Call embedding_bag_prepack first"
        )
    if dtype is not None and weight.dtype is not dtype:
        raise TypeError(f"{op}: weight must be a packed {dtype.name} table; got {weight.dtype.name}")
    return weight


def _integers(op: str, name: str, x: Any) -> np.ndarray:
    """Indices or offsets as a C-contiguous int64 array."""
    if type(x) is np.ndarray and x.dtype is _INT64 and x.flags.c_contiguous:
        return x  # nearly every call ends here
    array = _checks.array(op, name, x)
    # an empty list comes as float64
    if array.dtype.type not in (np.int32, np.int64) and not (array.size == 0 and isinstance(x, (list, tuple))):
        raise TypeError(f"{op}: {name} must be an int32 or int64 array; got {_checks.kind(array)}")
    return np.ascontiguousarray(array, dtype=np.int64).reshape(array.shape)


def _bags(
    op: str,
    p: PackedEmbedding,
    indices: np.ndarray,
    offsets: np.ndarray | None,
    fixed: int,
    bags: int,
    weights: np.ndarray | None = None,
    mapping: np.ndarray | None = None,
) -> np.ndarray:
    """Run the kernel, after the check that every index is there."""
    rows, dim = p.shape
    table = rows if mapping is None else mapping.size
    module = kernels.embedding
    bad = module.check_indices(indices, table)
    if bad >= 0:
        accepted = f"in [0, {table - 1}], the rows of the table" if table else "empty, as the table has no rows"
        raise IndexError(f"{op}: indices must be {accepted}; got {indices.flat[bad]} at position {bad}")
    out = _layout.empty((bags, dim), _FLOAT32)
    if out.size:
        threads = _threads.threads_for((indices.size + bags) * dim, _GRAIN)
        module.bag(p._rows, indices, offsets, fixed, weights, mapping, out, p.dtype.bits, threads)
    return out


def run_embedding(weight: Any, indices: Any) -> np.ndarray:
    """The lookup that suits a packed table."""
    if weight.dtype is quint4x2:
        return _embedding("embedding_4bit", quint4x2, weight, indices, False)
    return _embedding("embedding_byte", quint8, weight, indices, False)


def _embedding(op: str, dtype: DType, weight: Any, indices: Any, pruned_weights: Any) -> np.ndarray:
    p = _packed(op, weight, dtype)
    if pruned_weights is not False and _checks.flag(op, "pruned_weights", pruned_weights):
        raise NotImplementedError(
            f"{op}: pruned_weights must be False; got {pruned_weights!r}. Only embedding bags take pruned tables"
        )
    index = _integers(op, "indices", indices)
    if index.ndim not in (1, 2):
        raise ValueError(f"{op}: indices must have 1 or 2 dimensions; got shape {index.shape}")
    out = _bags(op, p, index, None, 1, index.size)
    return out if index.ndim == 1 else out.reshape(*index.shape, p.shape[1])


def embedding_byte(weight: PackedEmbedding, indices: np.ndarray, pruned_weights: bool = False) -> np.ndarray:
    """Look up rows of a packed quint8 table.

    Parameters
    ----------
    weight : PackedEmbedding
        A table (R, D), packed by `embedding_bag_prepack`.
    indices : ndarray
        int32 or int64, one or two dimensions, in [0, R).
    pruned_weights : bool
        Must be False.

    Returns
    -------
    ndarray
        float32, shape ``(*indices.shape, D)``.

    Raises
    ------
    TypeError
        If `weight` or `indices` is of the wrong kind or dtype.
    ValueError
        If `indices` has no or more than two dimensions.
    IndexError
        If an index is out of range.
    NotImplementedError
        If `pruned_weights` is true.

    Notes
    -----
    ``fma(scale, q, bias)`` with ``bias = -zero_point * scale``. torch's ``torch.ops.quantized.embedding_byte``.
    """
    return _embedding("embedding_byte", quint8, weight, indices, pruned_weights)


def embedding_4bit(weight: PackedEmbedding, indices: np.ndarray, pruned_weights: bool = False) -> np.ndarray:
    """`embedding_byte` for a packed quint4x2 table, whose scales and biases are float16.

    torch's ``torch.ops.quantized.embedding_4bit``.
    """
    return _embedding("embedding_4bit", quint4x2, weight, indices, pruned_weights)


def _embedding_bag(
    op: str,
    p: PackedEmbedding,
    indices: Any,
    offsets: Any,
    mode: Any,
    pruned_weights: Any,
    per_sample_weights: Any,
    compressed_indices_mapping: Any,
    include_last_offset: Any,
) -> np.ndarray:
    if (type(mode) is not int or mode != 0) and _checks.integer(op, "mode", mode, 0, 2) != 0:
        warnings.warn(f"{op}: mode {mode} is ignored, as in torch: the rows of a bag are summed", stacklevel=3)
    pruned_weights = _checks.flag(op, "pruned_weights", pruned_weights)
    include_last_offset = _checks.flag(op, "include_last_offset", include_last_offset)
    index = _integers(op, "indices", indices)
    fixed = -1
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(f"{op}: offsets must be None if indices has two dimensions; got {_checks.kind(offsets)}")
        bags, fixed = index.shape
        offset = None
        if include_last_offset:
            if not bags:
                raise ValueError(f"{op}: indices must have at least one row with include_last_offset; got none")
            bags -= 1
    elif index.ndim == 1:
        if offsets is None:
            raise ValueError(f"{op}: offsets must be an array if indices has one dimension; got None")
        offset = _integers(op, "offsets", offsets)
        if offset.ndim != 1:
            raise ValueError(f"{op}: offsets must have one dimension; got shape {offset.shape}")
        bad = kernels.embedding.check_offsets(offset, index.size)
        if bad >= 0:
            raise ValueError(
                f"{op}: offsets must start at 0, never decrease and be at most {index.size}, the number of indices;"
                f" got {offset[bad]} at position {bad}"
            )
        bags = offset.size
        if include_last_offset:
            if not bags:
                raise ValueError(f"{op}: offsets must have at least one element with include_last_offset; got none")
            bags -= 1
    else:
        raise ValueError(f"{op}: indices must have 1 or 2 dimensions; got shape {index.shape}")

    weights: np.ndarray | None = None
    mapping: np.ndarray | None = None
    if per_sample_weights is not None:
        weights = _checks.float_array(op, "per_sample_weights", per_sample_weights)
        if weights.shape not in (index.shape, (index.size,)):
            raise ValueError(
                f"{op}: per_sample_weights must have the shape of indices, {index.shape}; got {weights.shape}"
            )
    if pruned_weights:
        if compressed_indices_mapping is None:
            raise ValueError(f"{op}: compressed_indices_mapping must be an int32 array with pruned_weights; got None")
        mapping = _checks.array(op, "compressed_indices_mapping", compressed_indices_mapping)
        if mapping.dtype.type is not np.int32:
            raise TypeError(f"{op}: compressed_indices_mapping must be an int32 array; got {_checks.kind(mapping)}")
        if mapping.ndim != 1 or not mapping.size:
            raise ValueError(
                f"{op}: compressed_indices_mapping must have one dimension and an element; got shape {mapping.shape}"
            )
        mapping = np.ascontiguousarray(mapping, dtype=np.int32)
        if mapping.size == 1 and mapping[0] == 0:
            mapping = None  # torch's mark of a table that was not pruned
        elif (bad := kernels.embedding.check_mapping(mapping, p.shape[0])) >= 0:
            accepted = f"in [-1, {p.shape[0] - 1}]"
            raise IndexError(
                f"{op}: compressed_indices_mapping must be {accepted}; got {mapping[bad]} at position {bad}"
            )
    return _bags(op, p, index, offset, fixed, bags, weights, mapping)


def embedding_bag_byte(
    weight: PackedEmbedding,
    indices: np.ndarray,
    offsets: np.ndarray | None = None,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    pruned_weights: bool = False,
    per_sample_weights: np.ndarray | None = None,
    compressed_indices_mapping: np.ndarray | None = None,
    include_last_offset: bool = False,
) -> np.ndarray:
    """Sum bags of rows of a packed quint8 table.

    Parameters
    ----------
    weight : PackedEmbedding
        A table (R, D), packed by `embedding_bag_prepack`.
    indices : ndarray
        int32 or int64, in [0, R): all bags one after the other, shape (n,), or bags of equal size, shape (B, n).
    offsets : ndarray, optional
        int32 or int64, shape (B,): where each bag starts in one-dimensional `indices`. It starts at 0 and never
        decreases.
    scale_grad_by_freq : bool
        Has no effect.
    mode : int
        0, the sum. Others give the sum too, as in torch, with a warning.
    pruned_weights : bool
        Whether `compressed_indices_mapping` counts.
    per_sample_weights : ndarray, optional
        float32, the shape of `indices`: a factor for each row.
    compressed_indices_mapping : ndarray, optional
        int32: the row for each index of the unpruned table, or -1 where there is none and nothing is added.
    include_last_offset : bool
        Whether the last offset is the end of the last bag, not the start of another one. As in torch, the last row
        of two-dimensional `indices` then is no bag either.

    Returns
    -------
    ndarray
        float32, shape (B, D). An empty bag gives zeros.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind or dtype.
    ValueError
        If a shape or the offsets are not acceptable.
    IndexError
        If an index is out of range.

    Notes
    -----
    ``out = fma(scale * w, q, out + bias * w)`` for each index in order. torch's
    ``torch.ops.quantized.embedding_bag_byte``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> w = np.array([[1, 2], [3, 5]], np.float32)
    >>> scales, zero_points = np.array([0.5, 0.25], np.float32), np.zeros(2, np.float32)
    >>> q = quantnn.quantize_per_channel(w, scales, zero_points, 0, quantnn.quint8)
    >>> packed = quantnn.ops.embedding_bag_prepack(q)
    >>> quantnn.ops.embedding_bag_byte(packed, np.array([1, 0, 1]), np.array([0, 2]))
    array([[4., 7.],
           [3., 5.]], dtype=float32)
    """
    return _embedding_bag(
        "embedding_bag_byte",
        _packed("embedding_bag_byte", weight, quint8),
        indices,
        offsets,
        mode,
        pruned_weights,
        per_sample_weights,
        compressed_indices_mapping,
        include_last_offset,
    )


def embedding_bag_4bit(
    weight: PackedEmbedding,
    indices: np.ndarray,
    offsets: np.ndarray | None = None,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    pruned_weights: bool = False,
    per_sample_weights: np.ndarray | None = None,
    compressed_indices_mapping: np.ndarray | None = None,
    include_last_offset: bool = False,
) -> np.ndarray:
    """`embedding_bag_byte` for a packed quint4x2 table, whose scales and biases are float16.

    torch's ``torch.ops.quantized.embedding_bag_4bit``.
    """
    return _embedding_bag(
        "embedding_bag_4bit",
        _packed("embedding_bag_4bit", weight, quint4x2),
        indices,
        offsets,
        mode,
        pruned_weights,
        per_sample_weights,
        compressed_indices_mapping,
        include_last_offset,
    )


# ---- rows of floats --------------------------------------------------------------------------------------------


def _pack_floats(
    op: str,
    dtype: DType,
    weight: Any,
    limits: Any = None,
    optimized_qparams: Any = False,
    nbins: Any = 200,
    ratio: Any = 0.16,
) -> np.ndarray:
    w = _checks.array(op, "weight", weight)
    if isinstance(weight, QTensor) or w.dtype.type not in (np.float32, np.float16):
        raise TypeError(f"{op}: weight must be a float32 or float16 array; got {_checks.kind(weight)}")
    per = 8 // dtype.bits
    if w.ndim != 2 or w.shape[1] % per:
        raise ValueError(
            f"{op}: weight must have shape (R, D){f', D a multiple of {per}' if per > 1 else ''}; got {w.shape}"
        )
    w = np.ascontiguousarray(w, np.float32)
    rows, dim = w.shape
    if rows and not dim:
        raise ValueError(f"{op}: weight must have columns; got shape {w.shape}")
    if limits is None:
        bounds = None
    else:
        bounds = _checks.float_array(op, "rowwise_min_max", limits, (rows, 2))
    nbins = _checks.integer(op, "nbins", nbins, 1, 1 << 16)
    ratio = _checks.number(op, "ratio", ratio)
    if not 0 <= ratio <= 1:
        raise ValueError(f"{op}: ratio must be in [0, 1]; got {ratio}")
    ratio = float(np.float32(ratio))
    bins = nbins if _checks.flag(op, "optimized_qparams", optimized_qparams) else 0
    if bounds is not None and not np.isfinite(bounds).all():
        raise ValueError(f"{op}: rowwise_min_max must be finite")
    out = _layout.empty((rows, dim // per + (8 if dtype is quint8 else 4)), np.uint8)
    if rows:
        threads = _threads.threads_for(w.size * (1 + 4 * bins), _GRAIN)
        if not kernels.embedding.pack_floats(w, bounds, out, dtype.bits, bins, ratio, threads):
            raise ValueError(f"{op}: weight must be finite")
    return out


def _rows(op: str, dtype: DType, weight: Any) -> PackedEmbedding:
    """Packed rows, as an array, under the name of a table."""
    rows = _checks.array(op, "weight", weight)
    if isinstance(weight, QTensor) or rows.dtype.type is not np.uint8:
        raise TypeError(f"{op}: weight must be a uint8 array of packed rows; got {_checks.kind(weight)}")
    tail = 8 if dtype is quint8 else 4
    if rows.ndim != 2 or rows.shape[1] < tail:
        raise ValueError(f"{op}: weight must have shape (R, bytes of a row), of at least {tail}; got {rows.shape}")
    shape = rows.shape[0], (rows.shape[1] - tail) * 8 // dtype.bits
    return PackedEmbedding(np.ascontiguousarray(rows), shape, dtype, _NOTHING, _NOTHING)


def _unpack_floats(op: str, dtype: DType, weight: Any) -> np.ndarray:
    p = _rows(op, dtype, weight)
    out = np.empty(p.shape, np.float32)
    if out.size:
        kernels.embedding.unpack_floats(p._rows, out, dtype.bits)
    return out


def embedding_bag_byte_prepack(weight: np.ndarray) -> np.ndarray:
    """Quantize the rows of a float table to 8 bits, each with a scale and a bias of its own.

    Parameters
    ----------
    weight : ndarray
        float32 or float16, shape (R, D), finite.

    Returns
    -------
    ndarray
        uint8, shape (R, D + 8): D integers, then scale and bias as float32.

    Raises
    ------
    TypeError, ValueError
        Naming what is wrong with `weight`.

    Notes
    -----
    The bias is the row's least number, the scale its range / 255. torch's
    ``torch.ops.quantized.embedding_bag_byte_prepack``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rows = quantnn.ops.embedding_bag_byte_prepack(np.array([[0, 128, 255]], np.float32))
    >>> rows[0, :3]
    array([  0, 128, 255], dtype=uint8)
    >>> quantnn.ops.embedding_bag_byte_unpack(rows)
    array([[  0., 128., 255.]], dtype=float32)
    """
    return _pack_floats("embedding_bag_byte_prepack", quint8, weight)


def embedding_bag_4bit_prepack(
    weight: np.ndarray, optimized_qparams: bool = False, nbins: int = 200, ratio: float = 0.16
) -> np.ndarray:
    """Quantize the rows of a float table to 4 bits, each with a scale and a bias of its own.

    Parameters
    ----------
    weight : ndarray
        float32 or float16, shape (R, D), finite; D is even.
    optimized_qparams : bool
        Search for the range of each row that leaves the smallest error, instead of its least and greatest number.
    nbins : int
        The steps of the search, in parts of the range.
    ratio : float
        The part of the range that is left at the end of the search is at most ``1 - ratio``.

    Returns
    -------
    ndarray
        uint8, shape (R, D / 2 + 4): two integers to a byte, the low one first, then scale and bias as float16.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    The bias is the row's least number, the scale its range / 15. torch's
    ``torch.ops.quantized.embedding_bag_4bit_prepack``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rows = quantnn.ops.embedding_bag_4bit_prepack(np.array([[0, 3, 7, 15]], np.float32))
    >>> quantnn.ops.embedding_bag_4bit_unpack(rows)
    array([[ 0.,  3.,  7., 15.]], dtype=float32)
    """
    return _pack_floats("embedding_bag_4bit_prepack", quint4x2, weight, None, optimized_qparams, nbins, ratio)


def embedding_bag_2bit_prepack(
    weight: np.ndarray, optimized_qparams: bool = False, nbins: int = 200, ratio: float = 0.16
) -> np.ndarray:
    """`embedding_bag_4bit_prepack` with 2 bits: D is a multiple of 4, a row has D / 4 + 4 bytes.

    torch's ``torch.ops.quantized.embedding_bag_2bit_prepack``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rows = quantnn.ops.embedding_bag_2bit_prepack(np.array([[0, 1, 2, 3]], np.float32))
    >>> quantnn.ops.embedding_bag_2bit_unpack(rows)
    array([[0., 1., 2., 3.]], dtype=float32)
    """
    return _pack_floats("embedding_bag_2bit_prepack", quint2x4, weight, None, optimized_qparams, nbins, ratio)


def embedding_bag_byte_prepack_with_rowwise_min_max(weight: np.ndarray, rowwise_min_max: np.ndarray) -> np.ndarray:
    """`embedding_bag_byte_prepack` with given bounds: `rowwise_min_max` is float32, shape (R, 2).

    Numbers outside them saturate; torch's integers wrap.

    torch's ``torch.ops.quantized.embedding_bag_byte_prepack_with_rowwise_min_max``.
    """
    return _pack_floats("embedding_bag_byte_prepack_with_rowwise_min_max", quint8, weight, rowwise_min_max)


def embedding_bag_4bit_prepack_with_rowwise_min_max(
    weight: np.ndarray,
    rowwise_min_max: np.ndarray,
    optimized_qparams: bool = False,
    nbins: int = 200,
    ratio: float = 0.16,
) -> np.ndarray:
    """`embedding_bag_4bit_prepack` with given bounds: `rowwise_min_max` is float32, shape (R, 2).

    As in torch, `optimized_qparams` searches from the row's own bounds. torch's
    ``torch.ops.quantized.embedding_bag_4bit_prepack_with_rowwise_min_max``.
    """
    op = "embedding_bag_4bit_prepack_with_rowwise_min_max"
    return _pack_floats(op, quint4x2, weight, rowwise_min_max, optimized_qparams, nbins, ratio)


def embedding_bag_2bit_prepack_with_rowwise_min_max(
    weight: np.ndarray,
    rowwise_min_max: np.ndarray,
    optimized_qparams: bool = False,
    nbins: int = 200,
    ratio: float = 0.16,
) -> np.ndarray:
    """`embedding_bag_2bit_prepack` with given bounds: `rowwise_min_max` is float32, shape (R, 2).

    As in torch, `optimized_qparams` searches from the row's own bounds. torch's
    ``torch.ops.quantized.embedding_bag_2bit_prepack_with_rowwise_min_max``.
    """
    op = "embedding_bag_2bit_prepack_with_rowwise_min_max"
    return _pack_floats(op, quint2x4, weight, rowwise_min_max, optimized_qparams, nbins, ratio)


def embedding_bag_byte_unpack(weight: np.ndarray) -> np.ndarray:
    """The floats that packed 8-bit rows stand for: ``fma(scale, q, bias)``.

    Parameters
    ----------
    weight : ndarray
        uint8, what `embedding_bag_byte_prepack` returns.

    Returns
    -------
    ndarray
        float32, shape (R, D).

    Raises
    ------
    TypeError, ValueError
        Naming what is wrong with `weight`.

    Notes
    -----
    torch's ``torch.ops.quantized.embedding_bag_byte_unpack``.
    """
    return _unpack_floats("embedding_bag_byte_unpack", quint8, weight)


def embedding_bag_4bit_unpack(weight: np.ndarray) -> np.ndarray:
    """`embedding_bag_byte_unpack` for 4-bit rows (``torch.ops.quantized.embedding_bag_4bit_unpack``)."""
    return _unpack_floats("embedding_bag_4bit_unpack", quint4x2, weight)


def embedding_bag_2bit_unpack(weight: np.ndarray) -> np.ndarray:
    """`embedding_bag_byte_unpack` for 2-bit rows (``torch.ops.quantized.embedding_bag_2bit_unpack``)."""
    return _unpack_floats("embedding_bag_2bit_unpack", quint2x4, weight)


def embedding_bag_byte_rowwise_offsets(
    weight: np.ndarray,
    indices: np.ndarray,
    offsets: np.ndarray | None = None,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    pruned_weights: bool = False,
    per_sample_weights: np.ndarray | None = None,
    compressed_indices_mapping: np.ndarray | None = None,
    include_last_offset: bool = False,
) -> np.ndarray:
    """Sum bags of rows of a float table that `embedding_bag_byte_prepack` packed.

    Parameters
    ----------
    weight : ndarray
        uint8, packed rows.
    indices, offsets, scale_grad_by_freq, mode, pruned_weights, per_sample_weights
        As of `embedding_bag_byte`.
    compressed_indices_mapping, include_last_offset
        As of `embedding_bag_byte`.

    Returns
    -------
    ndarray
        float32, shape (B, D).

    Raises
    ------
    TypeError, ValueError, IndexError
        Naming the argument that is wrong.

    Notes
    -----
    torch's ``torch.ops.quantized.embedding_bag_byte_rowwise_offsets``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rows = quantnn.ops.embedding_bag_byte_prepack(np.array([[0, 255], [1, 0]], np.float32))
    >>> quantnn.ops.embedding_bag_byte_rowwise_offsets(rows, np.array([0, 0, 1]), np.array([0, 2]))
    array([[  0., 510.],
           [  1.,   0.]], dtype=float32)
    """
    op = "embedding_bag_byte_rowwise_offsets"
    return _embedding_bag(
        op,
        _rows(op, quint8, weight),
        indices,
        offsets,
        mode,
        pruned_weights,
        per_sample_weights,
        compressed_indices_mapping,
        include_last_offset,
    )


def embedding_bag_4bit_rowwise_offsets(
    weight: np.ndarray,
    indices: np.ndarray,
    offsets: np.ndarray | None = None,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    pruned_weights: bool = False,
    per_sample_weights: np.ndarray | None = None,
    compressed_indices_mapping: np.ndarray | None = None,
    include_last_offset: bool = False,
) -> np.ndarray:
    """`embedding_bag_byte_rowwise_offsets` for 4-bit rows.

    torch's ``torch.ops.quantized.embedding_bag_4bit_rowwise_offsets``.
    """
    op = "embedding_bag_4bit_rowwise_offsets"
    return _embedding_bag(
        op,
        _rows(op, quint4x2, weight),
        indices,
        offsets,
        mode,
        pruned_weights,
        per_sample_weights,
        compressed_indices_mapping,
        include_last_offset,
    )


def embedding_bag_2bit_rowwise_offsets(
    weight: np.ndarray,
    indices: np.ndarray,
    offsets: np.ndarray | None = None,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    pruned_weights: bool = False,
    per_sample_weights: np.ndarray | None = None,
    compressed_indices_mapping: np.ndarray | None = None,
    include_last_offset: bool = False,
) -> np.ndarray:
    """`embedding_bag_byte_rowwise_offsets` for 2-bit rows.

    torch's ``torch.ops.quantized.embedding_bag_2bit_rowwise_offsets``.
    """
    op = "embedding_bag_2bit_rowwise_offsets"
    return _embedding_bag(
        op,
        _rows(op, quint2x4, weight),
        indices,
        offsets,
        mode,
        pruned_weights,
        per_sample_weights,
        compressed_indices_mapping,
        include_last_offset,
    )
