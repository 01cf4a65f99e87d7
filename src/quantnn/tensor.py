"""QTensor, its dtypes and schemes, and the functions that make one.

A QTensor holds integers, their quantization parameters and a shape; it never holds floats. Its memory order is that
of torch: channels-last after convolutions and pools, whatever the logical shape says.
"""

from __future__ import annotations

import builtins
import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _layout, _repr, _threads
from ._buffers import formed as formed
from ._buffers import formed_as
from ._dispatch import kernels, planned
from ._form import Form, form, laid, walk

_GRAIN = 1 << 16
_FLOAT32 = np.dtype(np.float32)


class DType:
    """A quantized dtype, such as `quint8`.

    Attributes
    ----------
    name : str
        The name in torch and here.
    qmin, qmax : int
        The range of the integers.
    numpy : type
        The NumPy scalar type that stores them; bytes of packed elements for the sub-byte dtypes.
    bits : int
        Bits per element.
    """

    __slots__ = ("bits", "name", "numpy", "qmax", "qmin")

    def __init__(self, name: str, numpy: type[np.generic], qmin: Any, qmax: Any, bits: int) -> None:
        self.name = name
        self.numpy = numpy
        self.qmin = qmin
        self.qmax = qmax
        self.bits = bits

    def __repr__(self) -> str:
        # torch's form, so that a printed model reads as it did
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class QScheme:
    """A quantization scheme, such as `per_tensor_affine`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class MemoryFormat:
    """An order of axes in memory, such as `channels_last`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


quint8 = DType("quint8", np.uint8, 0, 255, 8)
qint8 = DType("qint8", np.int8, -128, 127, 8)
qint32 = DType("qint32", np.int32, -(2**31), 2**31 - 1, 32)
quint4x2 = DType("quint4x2", np.uint8, 0, 15, 4)
quint2x4 = DType("quint2x4", np.uint8, 0, 3, 2)

per_tensor_affine = QScheme("per_tensor_affine")
per_channel_affine = QScheme("per_channel_affine")
per_tensor_symmetric = QScheme("per_tensor_symmetric")
per_channel_symmetric = QScheme("per_channel_symmetric")
per_channel_affine_float_qparams = QScheme("per_channel_affine_float_qparams")

contiguous_format = MemoryFormat("contiguous_format")
channels_last = MemoryFormat("channels_last")
channels_last_3d = MemoryFormat("channels_last_3d")
preserve_format = MemoryFormat("preserve_format")


class ValuesIndices(NamedTuple):
    """What `QTensor.max`, `min`, `sort` and `topk` give along an axis."""

    values: QTensor
    indices: np.ndarray


class QTensor:
    """Integers with quantization parameters: torch's quantized tensor.

    An element stands for the number ``(q - zero_point) * scale``. Make one with `quantize_per_tensor`,
    `quantize_per_channel`, `make_per_tensor_quantized_tensor` or `make_per_channel_quantized_tensor`. Indexing, slicing
    and the shape methods give views of the same integers, as in torch.

    Attributes
    ----------
    shape : tuple of int
    ndim : int
    dtype : DType
    is_quantized : bool
        Always true.
    T, mT : QTensor
        The view with all axes, or the last two, reversed.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = np.array([[-1.0, 0.0], [0.5, 1.0]], np.float32)
    >>> q = quantnn.quantize_per_tensor(x, 0.5, 10, quantnn.quint8)
    >>> q.int_repr()
    array([[ 8, 10],
           [11, 12]], dtype=uint8)
    >>> q[1]
    tensor([0.5000, 1.0000], size=(2,), dtype=torch.quint8,
           quantization_scheme=torch.per_tensor_affine, scale=0.5, zero_point=10)
    """

    # The integers are an array of the logical shape, or a block of memory and the form that its elements have. What
    # there is not is made when it is needed: operators work with the latter and need no array.
    __slots__ = (
        "__weakref__",
        "_array",
        "_axis",
        "_block",
        "_dtype",
        "_form",
        "_qscheme",
        "_scale",
        "_shape",
        "_zero_point",
    )

    # NumPy must neither convert a QTensor nor take over its comparisons.
    __array_ufunc__ = None

    _array: np.ndarray | None
    _block: Any  # of one dimension; None if there is no form yet, or it is not dense
    _form: Any
    _dtype: DType
    _qscheme: QScheme
    _scale: Any
    _zero_point: Any
    _axis: int
    _shape: tuple[int, ...] | None

    def __init__(
        self,
        ints: np.ndarray,
        dtype: DType,
        scale: Any,
        zero_point: Any,
        qscheme: QScheme = per_tensor_affine,
        axis: int = 0,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        # Arguments are not checked: use quantize_per_tensor, make_per_tensor_quantized_tensor and the like.
        self._array = ints
        self._block = self._form = None
        self._dtype = dtype
        self._scale = scale
        self._zero_point = zero_point
        self._qscheme = qscheme
        self._axis = axis
        self._shape = shape  # only sub-byte dtypes: _ints then is the flat vector of bytes

    @property
    def _ints(self) -> np.ndarray:
        """The array of the logical shape."""
        array = self._array
        if array is None:
            array = self._array = self._form.view(self._block)
        return array

    def _formed(self) -> Form:
        """Make the form and the block: ``x._form or x._formed()`` is the form."""
        array = self._ints
        found = form(self._dtype, array.shape, array.strides)
        self._block = array.ravel("K") if found.dense else None
        self._form = found
        return found

    # ---- what it is ----------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self._ints.shape if self._shape is None else self._shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> DType:
        return self._dtype

    @property
    def is_quantized(self) -> bool:
        return True

    @property
    def requires_grad(self) -> bool:
        return False

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[self._along("size", dim)]

    def dim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element (1 for the sub-byte dtypes, as torch says)."""
        return self._ints.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """The strides counted in elements, or that of one axis."""
        if self._shape is None:
            strides = _layout.strides_in_elements(self._ints)
        else:
            strides = tuple(math.prod(self._shape[i + 1 :]) for i in range(len(self._shape)))
        return strides if dim is None else strides[self._along("stride", dim)]

    def qscheme(self) -> QScheme:
        """The quantization scheme."""
        return self._qscheme

    def q_scale(self) -> float:
        """The scale of a per-tensor QTensor."""
        self._per_tensor("q_scale")
        return float(self._scale)

    def q_zero_point(self) -> int:
        """The zero point of a per-tensor QTensor."""
        self._per_tensor("q_zero_point")
        return int(self._zero_point)

    def q_per_channel_scales(self) -> np.ndarray:
        """The scales of a per-channel QTensor: float64 (float32 with float zero points), one per channel."""
        self._per_channel("q_per_channel_scales")
        scales: np.ndarray = self._scale
        return scales

    def q_per_channel_zero_points(self) -> np.ndarray:
        """The zero points of a per-channel QTensor: int64, or float32, one per channel."""
        self._per_channel("q_per_channel_zero_points")
        zero_points: np.ndarray = self._zero_point
        return zero_points

    def q_per_channel_axis(self) -> int:
        """The axis along which a per-channel QTensor's parameters change."""
        self._per_channel("q_per_channel_axis")
        return self._axis

    # ---- its numbers ---------------------------------------------------------------------------------------

    def int_repr(self) -> np.ndarray:
        """The integers, sharing memory.

        Returns
        -------
        ndarray of uint8, int8 or int32
            Of the logical shape; for the sub-byte dtypes the flat vector of bytes.
        """
        return self._ints

    def dequantize(self) -> np.ndarray:
        """The numbers that the integers stand for.

        Returns
        -------
        ndarray of float32
            Of the same shape. Channels-last stays channels-last.

        Notes
        -----
        ``f32(scale * f32(q - zero_point))``; per channel ``f32((q - zero_point) * scale)`` with a float64 scale.
        torch's ``Tensor.dequantize``.
        """
        if self._shape is not None:
            return self._unpacked().dequantize()
        if self._qscheme is per_tensor_affine:
            plan = _dequantize_plan(self._form or self._formed())
            block = self._block if plan.order is None else _layout.ordered(self._ints, plan.order)
            base = _layout.empty(plan.shape, np.float32)
            plan.kernel(block, base, self._scale, self._zero_point, _threads.at_most(plan.threads))
            return base if plan.back is None else base.transpose(plan.back)
        ints = _layout.standard(self._ints)
        out = _layout.empty_like(ints, np.float32)
        scales = np.ascontiguousarray(self._scale, np.float64)
        zero_points = np.ascontiguousarray(self._zero_point, np.float32)
        is_float = self._qscheme is per_channel_affine_float_qparams
        _check_channels("dequantize", ints.shape, self._axis, scales, zero_points)
        kernels.quantize.dequantize_channels(
            _by_channel(ints, self._axis), _by_channel(out, self._axis), scales, zero_points, is_float
        )
        return out

    def item(self) -> float:
        """The number that a QTensor of one element stands for, as a Python float."""
        if self.numel() != 1:
            raise ValueError(f"item: the QTensor must have one element; got shape {self.shape}")
        return float(self.dequantize().reshape(()))

    def __float__(self) -> float:
        return self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ValueError(
                f"bool: the truth of a QTensor with more than one element is ambiguous; got shape {self.shape}"
            )
        return self.item() != 0.0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            "a QTensor does not become a NumPy array by itself: call dequantize() for the numbers or int_repr() for "
            "the integers"
        )

    # ---- views ---------------------------------------------------------------------------------------------

    def view(self, *shape: Any) -> QTensor:
        """A view of another shape.

        Parameters
        ----------
        *shape : int, or one tuple of int
            One of them may be -1.

        Raises
        ------
        ValueError
            If the strides do not allow it (use `reshape`) or the number of elements differs.
        """
        return self._reshaped("view", _sizes("view", shape), may_copy=False)

    def reshape(self, *shape: Any) -> QTensor:
        """A view of another shape, or a copy where the strides allow no view. `shape` as in `view`."""
        return self._reshaped("reshape", _sizes("reshape", shape), may_copy=True)

    def view_as(self, other: QTensor) -> QTensor:
        """`view` to the shape of another."""
        return self.view(_shape_of("view_as", other))

    def reshape_as(self, other: QTensor) -> QTensor:
        """`reshape` to the shape of another."""
        return self.reshape(_shape_of("reshape_as", other))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> QTensor:
        """Merge the axes from `start_dim` to `end_dim` into one; a view where the strides allow it."""
        start_dim, end_dim = (
            _checks.integer("flatten", "start_dim", start_dim),
            _checks.integer("flatten", "end_dim", end_dim),
        )
        shape = _flattened(self.shape, start_dim, end_dim)
        if self._channelled or self._shape is not None:
            return self._reshaped("flatten", shape, may_copy=True)
        return QTensor(self._ints.reshape(shape), self._dtype, self._scale, self._zero_point)

    def ravel(self) -> QTensor:
        """All elements in one axis; a copy unless contiguous."""
        return self.contiguous().view(-1)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> QTensor:
        """Split one axis into several."""
        at = self._along("unflatten", dim)
        if not isinstance(sizes, (tuple, list)):
            raise TypeError(f"unflatten: sizes must be a tuple or list of ints; got {_checks.kind(sizes)}")
        split = _sizes("unflatten", (tuple(sizes),))
        known = math.prod(s for s in split if s != -1)
        length = self.shape[at]
        if (length % known if -1 in split and known else length != known) or split.count(-1) > 1:
            raise ValueError(f"unflatten: sizes must multiply to {length}, the length of axis {dim}; got {split}")
        split = tuple(length // known if s == -1 else s for s in split)
        return self._reshaped("unflatten", (*self.shape[:at], *split, *self.shape[at + 1 :]), may_copy=False)

    def permute(self, *dims: Any) -> QTensor:
        """The view with the axes in another order."""
        order = _ints_of("permute", "dims", dims)
        if len(order) != self.ndim:
            raise ValueError(f"permute: dims must name all {self.ndim} axes; got {order}")
        order = tuple(self._wrap("permute", d) for d in order)
        if len(set(order)) != len(order):
            raise ValueError(f"permute: dims must name each axis once; got {order}")
        if order == tuple(range(self.ndim)):
            return self._like(self._ints) if self._shape is None else self._shaped(self._shape)
        self._per_tensor("permute")
        return self._like(self._whole("permute").transpose(order))

    def transpose(self, dim0: int, dim1: int) -> QTensor:
        """The view with two axes exchanged."""
        order = list(range(self.ndim))
        a, b = self._wrap("transpose", dim0, "dim0"), self._wrap("transpose", dim1, "dim1")
        if order:
            order[a], order[b] = order[b], order[a]
        return self.permute(order)

    swapaxes = swapdims = transpose

    def movedim(self, source: Any, destination: Any) -> QTensor:
        """The view with axes moved to other positions."""
        src = self._axes("movedim", source, "source")
        dst = self._axes("movedim", destination, "destination")
        if len(src) != len(dst):
            raise ValueError(
                f"movedim: source and destination must have the same length; got {source} and {destination}"
            )
        if not self.ndim:
            return self.permute(())
        order = [i for i in range(self.ndim) if i not in src]
        for d, s in sorted(zip(dst, src, strict=True)):
            order.insert(d, s)
        return self.permute(order)

    def t(self) -> QTensor:
        """The transpose of a QTensor with at most two axes."""
        if self.ndim > 2:
            raise ValueError(f"t: the QTensor must have at most 2 axes; got shape {self.shape}")
        return self.permute(list(range(self.ndim))[::-1])

    @property
    def T(self) -> QTensor:
        return self.permute(list(range(self.ndim))[::-1])

    @property
    def mT(self) -> QTensor:
        if self.ndim < 2:
            raise ValueError(f"mT: the QTensor must have at least 2 axes; got shape {self.shape}")
        return self.transpose(-2, -1)

    def squeeze(self, dim: Any = None) -> QTensor:
        """The view without axes of length 1: all of them, or those of `dim` (an int or a tuple of int)."""
        axes = range(self.ndim) if dim is None else self._axes("squeeze", dim)
        gone = {i for i in axes if self.shape[i : i + 1] == (1,)}
        if self._channelled and self._axis in gone:
            if dim is not None:
                raise ValueError("squeeze: the channel axis of a per-channel QTensor cannot go")
            gone.discard(self._axis)
        if self._shape is not None:
            out = self._shaped(tuple(n for i, n in enumerate(self.shape) if i not in gone))
        else:
            out = self._like(self._ints.squeeze(tuple(gone)))
        out._axis -= sum(i < self._axis for i in gone)
        return out

    def unsqueeze(self, dim: int) -> QTensor:
        """The view with a new axis of length 1 at `dim`."""
        at = _wrap_axis("unsqueeze", "dim", dim, self.ndim + 1)
        _checks.rank("unsqueeze", self.ndim + 1)
        if self._shape is not None:
            out = self._shaped((*self._shape[:at], 1, *self._shape[at:]))
        else:
            out = self._like(np.expand_dims(self._ints, at))
        if self._channelled and at <= self._axis:
            out._axis += 1
        return out

    def expand(self, *sizes: Any) -> QTensor:
        """The view that repeats axes of length 1 without copying; -1 keeps an axis. The integers are read-only.

        Raises
        ------
        ValueError
            If an axis whose length is not 1 would change.
        """
        wanted = _ints_of("expand", "sizes", sizes)
        self._per_tensor("expand")
        ints = self._whole("expand")
        lead = len(wanted) - ints.ndim
        old = (1,) * lead + ints.shape
        new = tuple(o if w == -1 and i >= lead else w for i, (w, o) in enumerate(zip(wanted, old, strict=False)))
        if lead < 0 or any(w < 0 or (o not in (1, w)) for w, o in zip(new, old, strict=True)):
            raise ValueError(f"expand: shape {self.shape} cannot be expanded to {wanted}")
        _checks.rank("expand", len(new))
        _checks.fits_memory("expand", new, ints.itemsize)
        return self._like(np.broadcast_to(ints, new))

    def expand_as(self, other: Any) -> QTensor:
        """`expand` to the shape of another."""
        return self.expand(_shape_of("expand_as", other))

    broadcast_to = expand

    def select(self, dim: int, index: int) -> QTensor:
        """The view at one position of an axis."""
        return self[(slice(None),) * self._wrap("select", dim) + (_checks.integer("select", "index", index),)]

    def narrow(self, dim: int, start: int, length: int) -> QTensor:
        """The view of `length` positions of an axis from `start` on."""
        at = self._wrap("narrow", dim)
        n = self.shape[at] if self.ndim else 0
        start = _checks.integer("narrow", "start", start, -n, n)
        start += n if start < 0 else 0
        length = _checks.integer("narrow", "length", length, 0, n - start)
        return self[(slice(None),) * at + (slice(start, start + length),)]

    def split(self, split_size: Any, dim: int = 0) -> tuple[QTensor, ...]:
        """Views of consecutive parts of an axis.

        Parameters
        ----------
        split_size : int or sequence of int
            The length of every part but the last, or of each part.
        dim : int
        """
        at = self._wrap("split", dim)
        if not self.ndim:
            raise ValueError("split: the QTensor must have an axis; got shape ()")
        n = self.shape[at]
        if isinstance(split_size, (tuple, list)):
            parts = tuple(_checks.integer("split", "split_size", s, 0) for s in split_size)
            if sum(parts) != n:
                raise ValueError(f"split: split_size must sum to {n}, the length of axis {dim}; got {split_size}")
        else:
            size = _checks.integer("split", "split_size", split_size, 1 if n else 0)
            parts = tuple(min(size, n - i) for i in range(0, n, size)) if n else (0,)
        ends = [sum(parts[: i + 1]) for i in range(len(parts))]
        return tuple(self.narrow(at, e - p, p) for e, p in zip(ends, parts, strict=True))

    def chunk(self, chunks: int, dim: int = 0) -> tuple[QTensor, ...]:
        """At most `chunks` views of equal consecutive parts of an axis (the last may be shorter)."""
        chunks = _checks.integer("chunk", "chunks", chunks, 1, 1 << 24)
        at = self._wrap("chunk", dim)
        if not self.ndim:
            raise ValueError("chunk: the QTensor must have an axis; got shape ()")
        if self.shape[at] == 0:
            _checks.integer("chunk", "chunks of an empty axis", chunks, 1, 1 << 16)
            return tuple(self.narrow(at, 0, 0) for _ in range(chunks))
        return self.split(-(-self.shape[at] // chunks), at)

    def unbind(self, dim: int = 0) -> tuple[QTensor, ...]:
        """The views at every position of an axis."""
        at = self._wrap("unbind", dim)
        if not self.ndim:
            raise IndexError("unbind: the QTensor must have an axis; got shape ()")
        return tuple(self.select(at, i) for i in range(self.shape[at]))

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: a QTensor of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[QTensor]:
        if not self.ndim:
            raise TypeError("iter: a QTensor of shape () cannot be iterated over")
        return iter(self.unbind(0))

    def detach(self) -> QTensor:
        """A view of the same shape; there are no gradients to detach from."""
        return self._like(self._ints) if self._shape is None else self._shaped(self._shape)

    def cpu(self) -> QTensor:
        """The QTensor itself."""
        return self

    # ---- memory --------------------------------------------------------------------------------------------

    def is_contiguous(self, memory_format: MemoryFormat = contiguous_format) -> bool:
        """Whether the integers lie in memory in the order of `memory_format`."""
        if not isinstance(memory_format, MemoryFormat):
            raise TypeError(f"is_contiguous: memory_format must be a memory format; got {_checks.kind(memory_format)}")
        channels = memory_format in (channels_last, channels_last_3d)
        if channels and self.ndim != (4 if memory_format is channels_last else 5):
            return False
        return self._shape is not None or _layout.has_format(self._ints, channels)

    def contiguous(self, memory_format: MemoryFormat = contiguous_format) -> QTensor:
        """The QTensor itself if its integers lie in memory in the order of `memory_format`, else a copy that does.

        Raises
        ------
        ValueError
            If `channels_last` is asked of other than 4 axes or `channels_last_3d` of other than 5.
        """
        if memory_format is preserve_format:
            raise ValueError("contiguous: memory_format must not be preserve_format")
        if self.is_contiguous(memory_format):
            return self
        return self._like(self._copied("contiguous", memory_format))

    def clone(self, *, memory_format: MemoryFormat = contiguous_format) -> QTensor:
        """A copy with its own integers, contiguous unless `memory_format` says otherwise.

        `preserve_format` keeps channels-last.
        """
        if self._shape is not None:
            scale, zero_point = self._scale, self._zero_point
            out = QTensor(self._ints.copy(), self._dtype, scale, zero_point, self._qscheme, self._axis, self._shape)
        else:
            out = self._like(self._copied("clone", memory_format))
        if self._channelled:
            out._scale, out._zero_point = self._scale.copy(), self._zero_point.copy()
        return out

    def copy_(self, src: Any, non_blocking: bool = False) -> QTensor:
        """Overwrite the integers in place.

        Parameters
        ----------
        src : QTensor or ndarray of float32
            Floats, of the same shape, are quantized with this QTensor's parameters. A QTensor must have the same dtype
            and scheme; its integers are copied (repeated where its shape is smaller) **and its parameters taken over**.

        Returns
        -------
        QTensor
            Itself.
        """
        if isinstance(src, QTensor):
            if src._dtype is not self._dtype:
                raise TypeError(f"copy_: src must be {self._dtype.name}; got {_checks.kind(src)}")
            if src._qscheme is not self._qscheme:
                raise ValueError(f"copy_: src must be quantized as {self._qscheme.name}; got {src._qscheme.name}")
            if (self._channelled or self._shape is not None) and (src.shape, src._axis) != (
                self.shape,
                self._axis,
            ):
                raise ValueError(
                    f"copy_: src must have shape {self.shape} and axis {self._axis}; got {_checks.kind(src)}"
                )
            self._assign("copy_", self._ints, src._ints)
            self._scale, self._zero_point = copy.copy(src._scale), copy.copy(src._zero_point)
            return self
        x = _float_input("copy_", "src", src)
        if x.shape != self.shape:
            raise ValueError(f"copy_: src must have shape {self.shape}; got {x.shape}")
        self._assign("copy_", self._ints, self._quantized(x))
        return self

    def fill_(self, value: Any) -> QTensor:
        """Set all elements to a number, quantized with this QTensor's parameters. Returns itself."""
        self._put("fill_", self, (), value)
        return self

    def __copy__(self) -> QTensor:
        return self.detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> QTensor:
        out = self.clone(memory_format=preserve_format)
        if self._shape is None:
            out = out._like(_layout.copy(_layout.dense(self._ints)))
        memo[id(self)] = out
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        # NumPy pickles only C and Fortran order; the order of the axes goes beside.
        ints = _layout.dense(self._ints)
        order = _layout.memory_order(ints)
        args = (np.ascontiguousarray(ints.transpose(order)), order, ints.shape, self._dtype, self._scale)
        return _rebuild, (*args, self._zero_point, self._qscheme, self._axis, self._shape)

    # ---- indexing ------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> QTensor:
        view, arrays = self._indexed("index", index)
        if not arrays:
            return view
        view._per_tensor("indexing with a list or an array")
        source = _layout.standard(view._ints)
        ints = _take("index", source, arrays)
        ints = _layout.in_order(ints, _result_order(source, arrays, ints.shape))
        return self._like(_layout.standard(ints))

    def __setitem__(self, index: Any, value: Any) -> None:
        view, arrays = self._indexed("index assignment", index)
        if arrays:
            view._per_tensor("assignment to a list or an array of indices")
        self._put("index assignment", view, arrays, value)

    def index_select(self, dim: int, index: Any) -> QTensor:
        """A copy of the given positions of an axis.

        Parameters
        ----------
        dim : int
        index : 1-D array or list of int
            Not negative.
        """
        at = self._wrap("index_select", dim)
        self._per_tensor("index_select")
        ints = self._whole("index_select")
        chosen = _index_array("index_select", index)
        if chosen.dtype.kind == "b" or chosen.ndim > 1:
            raise ValueError(f"index_select: index must be a vector of integers; got {_checks.kind(chosen)}")
        chosen = chosen.reshape(-1)
        n = ints.shape[at] if ints.ndim else 1
        if chosen.size and (chosen.min() < 0 or chosen.max() >= n):
            raise IndexError(f"index_select: index must be in [0, {n}); got {chosen.min()} to {chosen.max()}")
        return self._like(np.ascontiguousarray(np.take(ints, chosen, at)) if ints.ndim else ints.copy())

    def masked_fill(self, mask: Any, value: Any) -> QTensor:
        """A copy in which the elements where `mask` (bool, broadcast) is true are `value`, quantized."""
        self._per_tensor("masked_fill")
        return self.clone().masked_fill_(mask, value)

    def masked_fill_(self, mask: Any, value: Any) -> QTensor:
        """`masked_fill` in place. Returns itself."""
        self._per_tensor("masked_fill_")
        ints = self._whole("masked_fill_")
        where = _checks.array("masked_fill", "mask", mask)
        if where.dtype.kind != "b":
            raise TypeError(f"masked_fill: mask must be a bool array; got {_checks.kind(where)}")
        try:
            where = np.broadcast_to(where, ints.shape)
        except ValueError as e:
            raise ValueError(f"masked_fill: mask must broadcast to {ints.shape}; got shape {where.shape}") from e
        self._put("masked_fill", self, (where,), _checks.number("masked_fill", "value", value))
        return self

    def flip(self, *dims: Any) -> QTensor:
        """A copy with the order of elements reversed along the given axes."""
        self._per_tensor("flip")
        axes = self._axes("flip", _ints_of("flip", "dims", dims))
        ints = _layout.standard(self._whole("flip"))
        out = _layout.empty_like(ints, ints.dtype)
        out[...] = np.flip(ints, axes) if ints.ndim else ints
        return self._like(out)

    def repeat(self, *repeats: Any) -> QTensor:
        """A copy repeated along each axis; there may be more numbers than axes."""
        self._per_tensor("repeat")
        times = tuple(_checks.integer("repeat", "repeats", r, 0) for r in _ints_of("repeat", "repeats", repeats))
        ints = self._whole("repeat")
        if len(times) < ints.ndim:
            raise ValueError(f"repeat: repeats must have at least {ints.ndim} numbers; got {times}")
        _checks.rank("repeat", len(times))
        lead = (1,) * (len(times) - ints.ndim) + ints.shape
        _checks.fits_memory("repeat", tuple(n * r for n, r in zip(lead, times, strict=True)), ints.itemsize)
        return self._like(
            np.ascontiguousarray(np.tile(ints, times)).reshape([n * r for n, r in zip(lead, times, strict=True)])
        )

    # ---- comparisons ---------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Any:
        return self._compared(np.equal, other)

    def __ne__(self, other: object) -> Any:
        return self._compared(np.not_equal, other)

    def __lt__(self, other: object) -> Any:
        return self._compared(np.less, other)

    def __le__(self, other: object) -> Any:
        return self._compared(np.less_equal, other)

    def __gt__(self, other: object) -> Any:
        return self._compared(np.greater, other)

    def __ge__(self, other: object) -> Any:
        return self._compared(np.greater_equal, other)

    __hash__ = object.__hash__

    def __contains__(self, value: object) -> bool:
        found = self._compared(np.equal, value)
        return found is not NotImplemented and builtins.bool(found.any())

    def equal(self, other: Any) -> bool:
        """Whether dtype, scheme, shape, parameters and integers are all equal. torch's ``torch.equal``."""
        if not isinstance(other, QTensor):
            return False
        same = (self._dtype, self._qscheme, self.shape) == (other._dtype, other._qscheme, other.shape)
        if not same or (self._channelled and self._axis != other._axis):
            return False
        params = np.array_equal(self._scale, other._scale) and np.array_equal(self._zero_point, other._zero_point)
        return params and np.array_equal(self._ints, other._ints)

    # ---- reductions, order ---------------------------------------------------------------------------------

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element, or the largest along an axis with its index.

        Parameters
        ----------
        dim : int, optional
        keepdim : bool
            Keep `dim` with length 1.

        Returns
        -------
        QTensor
            Without `dim`.
        ValuesIndices
            With `dim`: ``values`` (QTensor) and ``indices`` (int64), the first of equals.
        """
        return self._extreme("max", dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element, or the smallest along an axis with its index. As `max`."""
        return self._extreme("min", dim, keepdim)

    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> QTensor:
        """The mean over all elements or over axes, with the same quantization parameters.

        Parameters
        ----------
        dim : int or tuple of int, optional
            The axes to reduce; all of them by default.
        keepdim : bool
            Keep them with length 1.
        dtype : DType, optional
            Only the QTensor's own.

        Notes
        -----
        The innermost axes of a contiguous QTensor: ``clamp(rne(f32(f32(sum q) / N)))``. Otherwise the numbers are
        dequantized, summed in float32, divided and quantized. torch's ``Tensor.mean``.
        """
        if dtype is not None and dtype is not self._dtype:
            raise TypeError(f"mean: dtype must be {self._dtype.name}; got {dtype}")
        return self._reduced("mean", dim, keepdim, 0.0)

    def std(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> QTensor:
        """The standard deviation over all elements or over axes, with the same quantization parameters.

        Parameters
        ----------
        dim : int or tuple of int, optional
            The axes to reduce; all of them by default.
        unbiased : bool
            Divide by N - 1 rather than N.
        keepdim : bool
            Keep the reduced axes with length 1.
        correction : float, optional
            Divide by N - correction; goes before `unbiased`.
        """
        if correction is None:
            correction = 1.0 if _checks.truth("std", "unbiased", unbiased) else 0.0
        number = _checks.number("std", "correction", correction)
        if not math.isfinite(number):
            raise ValueError(f"std: correction must be finite; got {number}")
        return self._reduced("std", dim, keepdim, number)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesIndices:
        """Sort along an axis; equal elements keep their order.

        Returns
        -------
        ValuesIndices
            ``values`` (QTensor) and ``indices`` (int64).
        """
        at = self._wrap("sort", dim)
        descending = _checks.truth("sort", "descending", descending)
        self._per_tensor("sort")
        ints = _layout.standard(self._whole("sort"))
        values, indices = _layout.empty_like(ints, ints.dtype), _layout.empty_like(ints, np.int64)
        if ints.ndim:
            indices[...] = _stable_order(ints, at, descending)
            values[...] = np.take_along_axis(ints, indices, at)
        else:
            values[...], indices[...] = ints, 0
        return ValuesIndices(self._like(values), indices)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
        """The `k` largest (or smallest) elements along an axis, in order; of equals the first.

        Returns
        -------
        ValuesIndices
            ``values`` (QTensor) and ``indices`` (int64).
        """
        at = self._wrap("topk", dim)
        largest = _checks.truth("topk", "largest", largest)
        self._per_tensor("topk")
        ints = self._whole("topk")
        k = _checks.integer("topk", "k", k, 0, ints.shape[at] if ints.ndim else 1)
        if not ints.ndim:
            return ValuesIndices(self._like(ints.copy()), np.zeros((), np.int64))
        order = _stable_order(ints, at, largest)
        indices = np.ascontiguousarray(order[(slice(None),) * at + (slice(0, k),)])
        return ValuesIndices(self._like(np.ascontiguousarray(np.take_along_axis(ints, indices, at))), indices)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> np.ndarray:
        """The indices of `sort`."""
        return self.sort(dim, descending, stable).indices

    # ---- activations ---------------------------------------------------------------------------------------

    def relu(self) -> QTensor:
        """Negative values replaced by zero: `quantnn.ops.relu`."""
        from .ops import _unary

        return _unary.relu(self)

    def relu_(self) -> QTensor:
        """`relu` in place. Returns itself."""
        from .ops import _unary

        if not self._ints.flags.writeable:
            raise ValueError("relu_: the integers are read-only; clone() first")
        return _unary.relu_(self)

    def clamp(self, min: float | None = None, max: float | None = None) -> QTensor:
        """Values limited to [min, max]: `quantnn.ops.clamp`."""
        from .ops import _unary

        return _unary.clamp(self, min, max)

    clip = clamp

    def sigmoid(self) -> QTensor:
        """The sigmoid, with torch's fixed parameters: `quantnn.ops.sigmoid` without any."""
        from .ops import _unary

        return _unary.sigmoid(self)

    def tanh(self) -> QTensor:
        """The hyperbolic tangent, with torch's fixed parameters: `quantnn.ops.tanh`."""
        from .ops import _unary

        return _unary.tanh(self)

    def __repr__(self) -> str:
        return _repr.qtensor(self)

    # ---- inside --------------------------------------------------------------------------------------------

    @property
    def _channelled(self) -> bool:
        return self._qscheme is not per_tensor_affine

    def _like(self, ints: np.ndarray) -> QTensor:
        """Other integers with the same parameters."""
        return QTensor(ints, self._dtype, self._scale, self._zero_point, self._qscheme, self._axis)

    def _shaped(self, shape: tuple[int, ...]) -> QTensor:
        """The same packed bytes with another shape (sub-byte dtypes)."""
        return QTensor(self._ints, self._dtype, self._scale, self._zero_point, self._qscheme, self._axis, shape)

    def _unpacked(self) -> QTensor:
        """A sub-byte QTensor with one element per byte; itself otherwise."""
        if self._shape is None:
            return self
        values = _layout.empty(self._shape, np.uint8)
        if self._ints.size * 8 // self._dtype.bits < values.size:
            raise ValueError(f"QTensor: ints must hold {values.size} elements; got {self._ints.size} bytes")
        kernels.quantize.unpack(np.ascontiguousarray(self._ints), values, self._dtype.bits)
        return self._like(values)

    def _whole(self, op: str) -> np.ndarray:
        """The integers, one element each."""
        if self._shape is not None:
            raise NotImplementedError(
                f"{op}: not defined for {self._dtype.name}, which packs several elements in a byte; dequantize() first"
            )
        return self._ints

    def _per_tensor(self, op: str) -> None:
        if self._qscheme is not per_tensor_affine:
            raise ValueError(f"{op}: the QTensor must be quantized per tensor; got {self._qscheme.name}")

    def _per_channel(self, op: str) -> None:
        if self._qscheme is per_tensor_affine:
            raise ValueError(f"{op}: the QTensor must be quantized per channel; got {self._qscheme.name}")

    def _wrap(self, op: str, dim: Any, name: str = "dim") -> int:
        return _wrap_axis(op, name, dim, self.ndim)

    def _along(self, op: str, dim: Any) -> int:
        """`_wrap` where a QTensor of shape () has no axis."""
        at = self._wrap(op, dim)
        if not self.ndim:
            raise IndexError(f"{op}: the QTensor must have an axis; got shape ()")
        return at

    def _axes(self, op: str, dim: Any, name: str = "dim") -> tuple[int, ...]:
        given = dim if isinstance(dim, (tuple, list)) else (dim,)
        axes = tuple(self._wrap(op, d, name) for d in given)
        if len(set(axes)) != len(axes):
            raise ValueError(f"{op}: {name} must name each axis once; got {dim}")
        return axes

    def _reshaped(self, op: str, shape: tuple[int, ...], may_copy: bool) -> QTensor:
        n = self.numel()
        if shape.count(-1) > 1 or any(s < -1 for s in shape):
            raise ValueError(f"{op}: shape must have no negative numbers but one -1; got {shape}")
        if -1 in shape:
            known = math.prod(s for s in shape if s != -1)
            if known == 0 or n % known:
                raise ValueError(f"{op}: {n} elements cannot have the shape {shape}")
            shape = tuple(n // known if s == -1 else s for s in shape)
        if math.prod(shape) != n:
            raise ValueError(f"{op}: {n} elements cannot have the shape {shape}")
        if self._channelled:
            at, old = self._axis, self.shape
            kept = len(shape) > at and shape[at] == old[at] and math.prod(shape[:at]) == math.prod(old[:at])
            if not kept:
                raise ValueError(f"{op}: the channel axis {at} of shape {old} must stay as it is; got {shape}")
        _checks.rank(op, len(shape))
        if not n:
            _checks.fits_memory(op, shape, self._ints.itemsize)
        if self._shape is not None:
            return self._shaped(shape)
        ints = self._ints.reshape(shape)
        if n and not np.may_share_memory(ints, self._ints):
            if not may_copy:
                raise ValueError(
                    f"{op}: a view of shape {self.shape} and strides {self.stride()} cannot have the shape {shape}; "
                    "use reshape"
                )
            ints = np.ascontiguousarray(ints).reshape(shape)
        return self._like(ints)

    def _copied(self, op: str, memory_format: MemoryFormat) -> np.ndarray:
        if not isinstance(memory_format, MemoryFormat):
            raise TypeError(f"{op}: memory_format must be a memory format; got {_checks.kind(memory_format)}")
        ints = self._whole(op)
        if memory_format is preserve_format:
            channels = not ints.flags.c_contiguous and _layout.suggests_channels_last(ints.shape, ints.strides)
        elif memory_format is contiguous_format:
            channels = False
        else:
            rank = 4 if memory_format is channels_last else 5
            if ints.ndim != rank:
                raise ValueError(f"{op}: {memory_format.name} needs {rank} axes; got shape {self.shape}")
            channels = True
        if not channels:
            if ints.flags.c_contiguous:
                return ints.copy()
            return _layout.ordered(ints, tuple(range(ints.ndim))).reshape(ints.shape)
        out = _layout.channels_first(_layout.empty_channels_last(ints.shape, self._dtype.numpy))
        out[...] = ints
        return out

    def _quantized(self, x: np.ndarray) -> np.ndarray:
        """Floats of the QTensor's own shape as integers with its parameters."""
        if self._channelled:
            return _quantize_channels(x, self._scale, self._zero_point, self._axis, self._dtype)._ints
        return _quantize("quantize", x, self._dtype, self._scale, self._zero_point)._ints

    def _assign(self, op: str, target: np.ndarray, ints: np.ndarray) -> None:
        if not target.flags.writeable:
            raise ValueError(f"{op}: the integers are read-only; clone() first")
        try:
            target[...] = ints
        except ValueError as e:
            raise ValueError(f"{op}: a value of shape {ints.shape} does not fit into shape {target.shape}") from e

    def _put(self, op: str, view: QTensor, arrays: tuple[Any, ...], value: Any) -> None:
        """Write a number, floats or a QTensor into `view`, or into the elements of it that index arrays choose."""
        if isinstance(value, QTensor):
            same = (value._dtype, value._qscheme) == (self._dtype, self._qscheme)
            if not same or self._channelled or (value._scale, value._zero_point) != (self._scale, self._zero_point):
                raise ValueError(
                    f"{op}: a QTensor value must have the same dtype and quantization parameters; "
                    f"got {_checks.kind(value)}. dequantize() it to quantize it anew"
                )
            ints = value._whole(op)
        elif hasattr(value, "__array__") and not isinstance(value, np.generic) and np.ndim(value):
            x = _float_input(op, "value", value)
            if view._channelled or view._shape is not None:
                try:
                    x = np.ascontiguousarray(np.broadcast_to(x, view.shape)).reshape(view.shape)
                except ValueError as e:
                    raise ValueError(f"{op}: a value of shape {x.shape} does not fit into {view.shape}") from e
            ints = view._quantized(x)
        else:
            number = (
                builtins.float(value)
                if isinstance(value, (builtins.bool, np.bool_))
                else _checks.number(op, "value", value)
            )
            with np.errstate(over="ignore"):
                number32 = np.float32(number)
            if view._channelled or view._shape is not None:
                ints = view._quantized(np.full(view.shape, number32, np.float32))
            else:
                ints = view._quantized(np.full((), number32, np.float32))
        target = view._ints
        if not arrays:
            self._assign(op, target, ints)
            return
        if not target.flags.writeable:
            raise ValueError(f"{op}: the integers are read-only; clone() first")
        try:
            target[arrays] = ints
        except IndexError as e:
            shapes = ", ".join(str(a.shape) for a in arrays if isinstance(a, np.ndarray))
            raise IndexError(f"{op}: index arrays must have shapes that broadcast; got {shapes}") from e
        except ValueError as e:
            raise ValueError(f"{op}: a value of shape {ints.shape} does not fit into what the index chooses") from e

    def _indexed(self, op: str, index: Any) -> tuple[QTensor, tuple[Any, ...]]:
        """Apply ints, slices, None and ...; give the view and what is left: index arrays and full slices."""
        items = index if isinstance(index, tuple) else (index,)
        items = tuple(_index_item(op, i) for i in items)
        used = sum(
            i.ndim if isinstance(i, np.ndarray) and i.dtype.kind == "b" else 1
            for i in items
            if i is not None and i is not Ellipsis
        )
        shape = self.shape
        if used > len(shape):
            raise IndexError(f"{op}: too many indices for shape {shape}; got {used}")
        dots = [n for n, i in enumerate(items) if i is Ellipsis]
        if len(dots) > 1:
            raise IndexError(f"{op}: only one ... is possible")
        rest = (slice(None),) * (len(shape) - used)
        items = (*items[: dots[0]], *rest, *items[dots[0] + 1 :]) if dots else (*items, *rest)
        if self._shape is not None:
            if all(isinstance(i, slice) and i == slice(None) for i in items):
                return self._shaped(self._shape), ()
            self._whole(op)

        basic: list[Any] = []
        arrays: list[Any] = []
        at = 0
        axis, scale, zero_point, scheme = -1, self._scale, self._zero_point, self._qscheme
        for item in items:
            if item is None:
                basic.append(None)
                arrays.append(slice(None))
                continue
            if isinstance(item, np.ndarray):
                spans = item.ndim if item.dtype.kind == "b" else 1
                _check_index(op, item, shape[at : at + spans], at)
                basic.extend([slice(None)] * spans)
                arrays.append(item)
                at += spans
                continue
            on_channels = self._channelled and at == self._axis
            if isinstance(item, slice):
                if on_channels:
                    axis = len(arrays)
                    if item != slice(None):
                        scale, zero_point = scale[item], zero_point[item]
                        if len(scale) == 1 and scheme is per_channel_affine:
                            scheme, scale, zero_point = per_tensor_affine, float(scale[0]), int(zero_point[0])
                basic.append(item)
                arrays.append(slice(None))
            else:
                if not -shape[at] <= item < shape[at]:
                    raise IndexError(f"{op}: index {item} is out of range for axis {at} of length {shape[at]}")
                if on_channels:
                    if scheme is not per_channel_affine:
                        raise NotImplementedError(
                            f"{op}: one channel of {scheme.name} cannot be taken; take a slice of length 1"
                        )
                    scheme, scale, zero_point = per_tensor_affine, float(scale[item]), int(zero_point[item])
                basic.append(item)
            at += 1
        if axis < 0 and scheme is not per_tensor_affine:
            axis = 0  # an index array on the channel axis: refused by the caller
        _checks.rank(op, len(basic))
        view = QTensor(self._ints[(*basic, Ellipsis)], self._dtype, scale, zero_point, scheme, max(axis, 0))
        return view, tuple(arrays) if any(isinstance(i, np.ndarray) for i in arrays) else ()

    def _compared(self, compare: Any, other: Any) -> Any:
        if isinstance(other, QTensor):
            operand: Any = other.dequantize()
        elif isinstance(other, np.ndarray) and other.dtype.kind in "fiub":
            operand = other if other.dtype.kind == "f" else other.astype(np.float32)
        elif isinstance(other, (int, float, np.integer, np.floating, np.bool_)):
            with np.errstate(over="ignore"):
                try:
                    operand = np.float32(other)
                except OverflowError:
                    operand = np.float32(math.inf if other > 0 else -math.inf)
        else:
            return NotImplemented
        mine = self.dequantize()
        try:
            return np.asarray(compare(mine, operand))
        except ValueError as e:
            raise ValueError(f"comparison: shapes {mine.shape} and {operand.shape} do not broadcast") from e

    def _extreme(self, op: str, dim: Any, keepdim: Any) -> Any:
        if isinstance(dim, (QTensor, np.ndarray)):
            raise NotImplementedError(f"{op}: of two tensors is not defined for quantized ones")
        self._per_tensor(op)
        ints = self._whole(op)
        if dim is None:
            if not ints.size:
                raise ValueError(f"{op}: the QTensor must have elements; got shape {self.shape}")
            return self._like(np.asarray(getattr(ints, op)()))
        at = self._wrap(op, dim)
        keepdim = _checks.truth(op, "keepdim", keepdim)
        if not ints.ndim:
            return ValuesIndices(self._like(ints.copy()), np.zeros((), np.int64))
        if not ints.shape[at]:
            raise IndexError(f"{op}: axis {dim} must have elements; got shape {self.shape}")
        indices = np.expand_dims(np.asarray(getattr(ints, "arg" + op)(at)), at)
        values = np.take_along_axis(ints, indices, at)
        if not keepdim:
            values, indices = values.squeeze(at), indices.squeeze(at)
        values = np.ascontiguousarray(values).reshape(values.shape)
        return ValuesIndices(self._like(values), np.ascontiguousarray(indices, np.int64).reshape(values.shape))

    def _reduced(self, op: str, dim: Any, keepdim: Any, correction: float) -> QTensor:
        self._per_tensor(op)
        keepdim = _checks.truth(op, "keepdim", keepdim)
        ints = self._whole(op)
        everything = tuple(range(ints.ndim))
        axes = everything if dim is None or (isinstance(dim, (tuple, list)) and not dim) else self._axes(op, dim)
        axes = tuple(sorted(axes)) if ints.ndim else ()
        kept = tuple(i for i in everything if i not in axes)
        shape = tuple(ints.shape[i] for i in kept)
        count = math.prod(ints.shape[i] for i in axes)
        s, z, lo, hi = float(self._scale), int(self._zero_point), self._dtype.qmin, self._dtype.qmax
        if (
            count
            and ints.flags.c_contiguous
            and axes == everything[len(kept) :]
            and not (op == "std" and count <= correction)
        ):
            out = np.empty(shape, self._dtype.numpy)
            if op == "mean":
                kernels.quantize.mean(ints, out, lo, hi)
            else:
                kernels.quantize.std(ints, out, correction, s, _inverse(s), z, lo, hi)
        else:
            x = self.dequantize()
            floats = np.empty(shape, np.float32)
            if op == "mean":
                _mean_floats(x, axes, floats)
            else:
                mean = np.zeros((), np.float32)
                if floats.size == 1:
                    _mean_floats(x, everything, mean)
                by_row = np.ascontiguousarray(x.transpose((*kept, *axes)))
                kernels.quantize.std_floats(by_row, floats, correction, floats.size == 1, mean)
            out = _quantize(op, floats, self._dtype, s, z)._ints
        if keepdim:
            out = out.reshape([1 if i in axes else n for i, n in enumerate(ints.shape)])
        return self._like(out)


# It needs QTensor, and QTensor's methods need it.
from . import _checks  # noqa: E402

# ---- helpers of the methods --------------------------------------------------------------------------------


formed_as(QTensor, per_tensor_affine)


def _rebuild(
    ints: np.ndarray,
    order: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: DType,
    scale: Any,
    zero_point: Any,
    qscheme: QScheme,
    axis: int,
    packed_shape: tuple[int, ...] | None,
) -> QTensor:
    """Unpickle a QTensor."""
    back = sorted(range(len(order)), key=order.__getitem__)
    laid = ints.reshape([shape[i] for i in order]).transpose(back)
    return QTensor(laid, dtype, scale, zero_point, qscheme, axis, packed_shape)


@planned
def _flattened(shape: tuple[int, ...], start_dim: int, end_dim: int) -> tuple[int, ...]:
    """A shape with the axes from `start_dim` to `end_dim` merged."""
    start = _wrap_axis("flatten", "start_dim", start_dim, len(shape))
    end = _wrap_axis("flatten", "end_dim", end_dim, len(shape))
    if start > end:
        raise ValueError(f"flatten: start_dim must not come after end_dim; got {start_dim} and {end_dim}")
    shape = shape or (1,)
    return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


def _wrap_axis(op: str, name: str, dim: Any, ndim: int) -> int:
    axis = _checks.integer(op, name, dim)
    n = max(ndim, 1)
    if not -n <= axis < n:
        raise IndexError(f"{op}: {name} must be in [{-n}, {n - 1}]; got {axis}")
    return axis + n if axis < 0 else axis


def _ints_of(op: str, name: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """The integers of a call ``f(2, 3)`` or ``f((2, 3))``."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(_checks.integer(op, name, a, maximum=1 << 62) for a in args)


def _shape_of(op: str, other: Any) -> tuple[int, ...]:
    if not isinstance(other, (QTensor, np.ndarray)):
        raise TypeError(f"{op}: other must be a QTensor or an array; got {_checks.kind(other)}")
    return tuple(other.shape)


def _sizes(op: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    if not args:
        raise TypeError(f"{op}: a shape must be given")
    return _ints_of(op, "shape", args)


def _index_array(op: str, index: Any) -> np.ndarray:
    """Index positions: an array of integers or bools."""
    array = _checks.array(op, "an index", index)
    if isinstance(index, (list, tuple)) and not array.size:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub" or array.dtype == np.uint8:
        fix = (
            "; a uint8 array is ambiguous: use bool for a mask and int64 for positions"
            if array.dtype == np.uint8
            else ""
        )
        raise TypeError(f"{op}: an index array must hold integers or bools; got {array.dtype}{fix}")
    return array if array.dtype.kind == "b" else array.astype(np.int64)


def _index_item(op: str, item: Any) -> Any:
    """An index in one of the forms int, slice of ints, None, ..., or array."""
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        parts = [
            None if p is None else _checks.integer(op, "a slice bound", p) for p in (item.start, item.stop, item.step)
        ]
        if parts[2] is not None and parts[2] <= 0:
            raise ValueError(f"{op}: the step of a slice must be greater than zero; got {parts[2]}")
        return slice(*parts)
    if isinstance(item, (builtins.bool, np.bool_, QTensor, builtins.float, str, bytes)):
        raise TypeError(f"{op}: an index must be an int, a slice, None, ... or an array; got {_checks.kind(item)}")
    if not isinstance(item, np.generic) and (isinstance(item, (list, tuple)) or hasattr(item, "__array__")):
        array = _index_array(op, item)
        if array.ndim or array.dtype.kind == "b":
            return array
        item = array[()]
    return _checks.integer(op, "an index", item)


def _check_index(op: str, item: np.ndarray, shape: tuple[int, ...], axis: int) -> None:
    if item.dtype.kind == "b":
        if item.shape != shape:
            raise IndexError(
                f"{op}: a mask of shape {item.shape} does not fit axes of shape {shape} from axis {axis} on"
            )
    elif item.size and not (-shape[0] <= item.min() and item.max() < shape[0]):
        raise IndexError(
            f"{op}: index {item.min()} to {item.max()} is out of range for axis {axis} of length {shape[0]}"
        )


def _take(op: str, ints: np.ndarray, arrays: tuple[Any, ...]) -> np.ndarray:
    try:
        return np.asarray(ints[arrays])
    except IndexError as e:
        shapes = ", ".join(str(a.shape) for a in arrays if isinstance(a, np.ndarray))
        raise IndexError(f"{op}: index arrays must have shapes that broadcast; got {shapes}") from e


def _result_order(ints: np.ndarray, arrays: tuple[Any, ...], shape: tuple[int, ...]) -> list[int]:
    """The memory order of what index arrays take from `ints`: that of the axes which they leave alone."""
    dims: list[int] = []  # the axis of `ints` of each axis of the result, -1 for those of the index arrays
    at, places = 0, []
    for item in arrays:
        if isinstance(item, np.ndarray):
            places.append(len(dims))
            at += item.ndim if item.dtype.kind == "b" else 1
        else:
            dims.append(at)
            at += 1
    together = len(set(places)) == 1
    rank = len(shape) - len(dims)
    start = places[0] if together else 0
    dims[start:start] = [-1] * rank
    return _layout.iteration_order(shape, [tuple(0 if d < 0 else ints.strides[d] for d in dims)])


def _stable_order(ints: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """The order of elements along an axis in which equals keep theirs."""
    if not descending:
        return np.argsort(ints, axis, kind="stable")
    # of the reversed array, reversed
    order = np.flip(np.argsort(np.flip(ints, axis), axis, kind="stable"), axis)
    positions: np.ndarray = ints.shape[axis] - 1 - order
    return positions


@planned
def inverse(scale: float) -> float:
    """The float32 reciprocal of a scale, divided in float32."""
    return float(_inverse(scale))


def _inverse(scale: Any) -> Any:
    """The float32 reciprocal of scales, divided in float32."""
    with np.errstate(all="ignore"):
        return np.float32(1.0) / np.float32(scale)


def _check_channels(op: str, shape: tuple[int, ...], axis: int, scales: np.ndarray, zero_points: np.ndarray) -> None:
    """Refuse a QTensor made with other numbers of parameters than it has channels: a kernel would read past them."""
    if not 0 <= axis < len(shape) or not scales.shape == zero_points.shape == (shape[axis],):
        raise ValueError(
            f"{op}: the QTensor must have one scale and zero point for each channel; "
            f"got {scales.shape} and {zero_points.shape} for axis {axis} of shape {shape}"
        )


def _by_channel(a: np.ndarray, axis: int) -> np.ndarray:
    """A dense array as (outer, channels, inner) in its memory order."""
    order = _layout.memory_order(a)
    at = order.index(axis)
    shape = [a.shape[i] for i in order]
    return a.transpose(order).reshape(math.prod(shape[:at]), shape[at], math.prod(shape[at + 1 :]))


def _float_input(op: str, name: str, x: Any) -> np.ndarray:
    """A float32 array in native byte order and torch's memory order for what is made of it."""
    return _layout.standard(_floats(op, name, x))


def _floats(op: str, name: str, x: Any) -> np.ndarray:
    """A float32 array in native byte order."""
    if type(x) is np.ndarray and x.dtype is _FLOAT32:
        return x  # nearly every call ends here
    if isinstance(x, QTensor):
        raise TypeError(f"{op}: {name} must be a float32 array; got {_checks.kind(x)}. Call dequantize() first")
    array = _checks.array(op, name, x)
    if array.dtype.type is not np.float32:
        raise TypeError(
            f"{op}: {name} must be a float32 array; got {_checks.kind(array)}. Convert it with .astype(numpy.float32)"
        )
    return array.astype(np.float32, copy=False)


class _Plan(NamedTuple):
    """What quantize and dequantize do with one form."""

    kernel: Any
    order: tuple[int, ...] | None  # the axes by which the input is read; None: as it lies
    shape: tuple[int, ...]  # of the result in memory order
    back: tuple[int, ...] | None  # its axes from there; None: as they are
    threads: int  # at most


def _plan(
    function: str, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[_Plan, tuple[int, ...]]:
    order, as_it_lies = walk(shape, strides, itemsize)
    back = tuple(sorted(range(len(shape)), key=order.__getitem__))
    plan = _Plan(
        getattr(kernels.quantize, function),
        None if as_it_lies else order,
        tuple(shape[i] for i in order),
        None if back == order else back,
        max(1, math.prod(shape) // _GRAIN),
    )
    return plan, order


@planned
def _dequantize_plan(x: Form) -> _Plan:
    return _plan("dequantize", x.shape, x.strides, x.numpy.itemsize)[0]


@planned
def _quantize_plan(
    op: str, dtype: DType, scale: float, zero_point: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[_Plan, Form, tuple[Any, ...]]:
    """Check the qparams and plan for floats of this shape; the form of the result, and the kernel's numbers."""
    _checks.qparams(op, scale, zero_point, dtype)
    plan, order = _plan("quantize", shape, strides, 4)
    return plan, laid(dtype, shape, order), (inverse(scale), zero_point, dtype.qmin, dtype.qmax)


def _quantize(op: str, x: np.ndarray, dtype: DType, scale: float, zero_point: int) -> QTensor:
    """A float32 array as a QTensor, in torch's memory order."""
    if dtype.bits < 8:
        _checks.qparams(op, scale, zero_point, dtype)
        values = _layout.empty(x.shape, np.uint8)
        numbers = (inverse(scale), zero_point, dtype.qmin, dtype.qmax)
        kernels.quantize.quantize_after(np.ascontiguousarray(x), values, *numbers)
        return QTensor(_packed(values, dtype), dtype, scale, zero_point, shape=x.shape)
    plan, form, numbers = _quantize_plan(op, dtype, scale, zero_point, x.shape, x.strides)
    if plan.order is not None:
        x = _layout.ordered(x, plan.order)
    elif plan.back is not None:
        x = x.ravel("K")
    out = _layout.empty((form.size,), form.numpy)
    plan.kernel(x, out, *numbers, _threads.at_most(plan.threads))
    return formed(out, form, scale, zero_point)


def _packed(values: np.ndarray, dtype: DType) -> np.ndarray:
    """Elements of a sub-byte dtype, one per byte, as packed bytes."""
    per = 8 // dtype.bits
    out = np.empty(-(-values.size // per), np.uint8)
    kernels.quantize.pack(values, out, dtype.bits)
    return out


def _quantize_channels(x: np.ndarray, scales: np.ndarray, zero_points: np.ndarray, axis: int, dtype: DType) -> QTensor:
    """A float32 array with checked parameters of each channel."""
    is_float = zero_points.dtype.kind == "f"
    scheme = per_channel_affine_float_qparams if is_float else per_channel_affine
    if dtype.bits < 8 or is_float:
        x = np.ascontiguousarray(x).reshape(x.shape)
    out = _layout.empty_like(x, dtype.numpy)
    threads = _threads.threads_for(x.size, _GRAIN)
    inverse = np.ascontiguousarray(_inverse(scales))
    offsets = np.ascontiguousarray(zero_points, np.float32)
    _check_channels("quantize_per_channel", x.shape, axis, inverse, offsets)
    kernels.quantize.quantize_channels(
        _by_channel(x, axis), _by_channel(out, axis), inverse, offsets, dtype.qmin, dtype.qmax, threads
    )
    if dtype.bits < 8:
        return QTensor(_packed(out, dtype), dtype, scales, zero_points, scheme, axis, x.shape)
    return QTensor(out, dtype, scales, zero_points, scheme, axis)


def _mean_floats(x: np.ndarray, axes: tuple[int, ...], out: np.ndarray) -> None:
    """The mean of a dense float32 array over axes; `out` is contiguous. The sum is made in torch's order."""
    kept = [i for i in range(x.ndim) if i not in axes]
    steps = _layout.strides_in_elements(x)
    out_steps = [0] * x.ndim
    for axis, step in zip(kept, _layout.strides_in_elements(out), strict=True):
        out_steps[axis] = step
    # As torch's iterator does: axes in the order of their steps, neighbours merged where both arrays allow it.
    merged: list[list[int]] = []
    for i in _layout.iteration_order(x.shape, [tuple(out_steps), steps], axes)[::-1]:
        n, step, out_step = x.shape[i], steps[i], out_steps[i]
        if merged:
            last = merged[-1]
            follows = last[0] * last[1] == step and last[0] * last[2] == out_step
            if last[0] == 1 or n == 1 or follows:
                if last[0] == 1:
                    last[1:] = step, out_step
                last[0] *= n
                continue
        merged.append([n, step, out_step])
    while len(merged) < 2:
        merged.append([1, 0, 0])
    if merged[0][2]:
        # nothing to sum, or the reduced axis comes second
        merged.insert(0, [1, 0, 0] if merged[1][2] else merged.pop(1))
    count = math.prod(x.shape[i] for i in axes)
    shapes = [np.array(column, np.int64) for column in zip(*merged, strict=True)]
    kernels.quantize.mean_floats(_layout.flat(x), out, *shapes, count)


# ---- functions ---------------------------------------------------------------------------------------------


def _dtype(op: str, dtype: Any, accepted: tuple[DType, ...] = (quint8, qint8, qint32, quint4x2, quint2x4)) -> DType:
    if not isinstance(dtype, DType) or dtype not in accepted:
        names = ", ".join(d.name for d in accepted)
        got = dtype.name if isinstance(dtype, DType) else _checks.kind(dtype)
        raise TypeError(f"{op}: dtype must be one of {names}; got {got}")
    return dtype


def _scalar_qparams(op: str, scale: Any, zero_point: Any, dtype: DType) -> tuple[float, int]:
    if type(scale) is not float and hasattr(scale, "__array__") and not isinstance(scale, np.generic):
        # a scale that comes as a tensor is float32 in torch
        with np.errstate(over="ignore"):
            scale = float(np.float32(_checks.number(op, "scale", scale)))
    return _checks.qparams(op, scale, zero_point, dtype)


def quantize_per_tensor(input: Any, scale: Any, zero_point: Any, dtype: DType) -> Any:
    """Quantize floats with one scale and zero point.

    Parameters
    ----------
    input : ndarray of float32, or a list of them
        Any shape and strides. Channels-last stays channels-last.
    scale : float
        Positive and finite. An array of one element is rounded to float32, as in torch. With a list, one per array.
    zero_point : int
        Within the range of `dtype`. With a list, one per array.
    dtype : DType
        `quint8`, `qint8`, `qint32`, `quint4x2` or `quint2x4`.

    Returns
    -------
    QTensor
        A tuple of them if `input` is a list.

    Raises
    ------
    TypeError
        If `input` is not float32 or `dtype` is not a quantized dtype.
    ValueError
        If `scale` or `zero_point` is out of range.

    Notes
    -----
    ``q = clamp(rne(fma(x, f32(1/scale), zero_point)))``, ties to even; NaN gives the largest integer. `qint32` rounds
    the product first, the sub-byte dtypes add the zero point after rounding. torch's ``torch.quantize_per_tensor``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = np.array([-1.0, 0.0, 0.3, 100.0], np.float32)
    >>> quantnn.quantize_per_tensor(x, scale=0.25, zero_point=10, dtype=quantnn.quint8)
    tensor([-1.0000,  0.0000,  0.2500, 61.2500], size=(4,), dtype=torch.quint8,
           quantization_scheme=torch.per_tensor_affine, scale=0.25, zero_point=10)
    """
    op = "quantize_per_tensor"
    dtype = _dtype(op, dtype)
    if type(input) is not np.ndarray and isinstance(input, (list, tuple)):
        scales, zero_points = _checks.array(op, "scale", scale), _checks.array(op, "zero_point", zero_point)
        if scales.shape != (len(input),) or zero_points.shape != (len(input),):
            raise ValueError(
                f"{op}: scale and zero_point must be vectors with one number for each of the {len(input)} arrays; "
                f"got shapes {scales.shape} and {zero_points.shape}"
            )
        return tuple(quantize_per_tensor(x, scales[i : i + 1], zero_points[i], dtype) for i, x in enumerate(input))
    x = _floats(op, "input", input)
    if type(scale) is not float or type(zero_point) is not int:
        scale, zero_point = _scalar_qparams(op, scale, zero_point, dtype)
    return _quantize(op, x, dtype, scale, zero_point)


def quantize_per_channel(input: Any, scales: Any, zero_points: Any, axis: int, dtype: DType) -> QTensor:
    """Quantize floats with a scale and zero point for each position of one axis.

    Parameters
    ----------
    input : ndarray of float32
        Any shape and strides. Channels-last stays channels-last (with integer zero points).
    scales : vector of float
        Positive and finite, one per channel. Kept as float64.
    zero_points : vector of int or float
        One per channel. Integers lie in the range of `dtype`. Floats give the scheme
        `per_channel_affine_float_qparams`, whose scales and zero points are float32.
    axis : int
        Not negative.
    dtype : DType
        `quint8`, `qint8`, `qint32`; with float zero points `quint8`, `qint8`, `quint4x2` or `quint2x4`.

    Returns
    -------
    QTensor

    Raises
    ------
    TypeError, ValueError, IndexError

    Notes
    -----
    ``q = clamp(rne(f32(zero_point + f32(x * f32(1/scale)))))``. torch's ``torch.quantize_per_channel``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = np.array([[1.0, -1.0], [2.0, 0.5]], np.float32)
    >>> q = quantnn.quantize_per_channel(x, np.array([0.25, 0.5]), np.array([1, 2]), 0, quantnn.qint8)
    >>> q.int_repr()
    array([[ 5, -3],
           [ 6,  3]], dtype=int8)
    """
    op = "quantize_per_channel"
    dtype = _dtype(op, dtype)
    x = _float_input(op, "input", input)
    s, z, axis = _channel_qparams(op, scales, zero_points, axis, x.shape, dtype, "scales", "zero_points")
    return _quantize_channels(x, s, z, axis, dtype)


def _channel_qparams(
    op: str,
    scales: Any,
    zero_points: Any,
    axis: Any,
    shape: tuple[int, ...],
    dtype: DType,
    s_name: str,
    z_name: str,
) -> tuple[np.ndarray, np.ndarray, int]:
    axis = _checks.integer(op, "axis", axis)
    if not 0 <= axis < len(shape):
        raise IndexError(f"{op}: axis must be in [0, {len(shape)}); got {axis}")
    s, z = _checks.array(op, s_name, scales), _checks.array(op, z_name, zero_points)
    if s.dtype.kind != "f":
        raise TypeError(f"{op}: {s_name} must be a vector of floats; got {_checks.kind(s)}")
    if z.dtype.kind not in "iuf":
        raise TypeError(f"{op}: {z_name} must be a vector of integers or floats; got {_checks.kind(z)}")
    for name, v in ((s_name, s), (z_name, z)):
        if v.shape != (shape[axis],):
            raise ValueError(
                f"{op}: {name} must have one number for each of the {shape[axis]} channels; got shape {v.shape}"
            )
    is_float = z.dtype.kind == "f"
    with np.errstate(over="ignore"):
        s32 = s.astype(np.float32)
        if not (np.isfinite(s32).all() and (s32 > 0).all()):
            raise ValueError(f"{op}: {s_name} must be positive, finite numbers within float32's range; got {s}"[:200])
        if is_float:
            if dtype is qint32:
                raise TypeError(
                    f"{op}: dtype must be quint8, qint8, quint4x2 or quint2x4 with float {z_name}; got qint32"
                )
            z = z.astype(np.float32)
            if not np.isfinite(z).all():
                raise ValueError(f"{op}: {z_name} must be finite; got {z}"[:200])
            return s32, z, axis
    if dtype.bits < 8:
        raise TypeError(f"{op}: dtype must be quint8, qint8 or qint32 with integer {z_name}; got {dtype.name}")
    if z.size and not (dtype.qmin <= int(z.min()) and int(z.max()) <= dtype.qmax):
        raise ValueError(
            f"{op}: {z_name} must be in [{dtype.qmin}, {dtype.qmax}], the range of {dtype.name}; "
            f"got {z.min()} to {z.max()}"
        )
    return s.astype(np.float64), z.astype(np.int64), axis


def choose_qparams(
    minimum: Any, maximum: Any, qmin: int, qmax: int, reduce_range: bool = False, op: str = "choose_qparams"
) -> tuple[float, int]:
    """The scale and zero point that torch's dynamic quantization takes for values from `minimum` to `maximum`.

    Raises
    ------
    ValueError
        If a bound is NaN or infinite or `minimum` is greater than `maximum`.
    """
    lo, hi = np.float32(minimum), np.float32(maximum)
    if not (np.isfinite(lo) and np.isfinite(hi) and lo <= hi):
        raise ValueError(f"{op}: input must hold finite numbers; got values from {lo} to {hi}")
    if reduce_range:
        qmin, qmax = int(qmin / 2), int(qmax / 2)
    lo, hi = min(lo, np.float32(0)), max(hi, np.float32(0))
    with np.errstate(all="ignore"):
        scale = (float(hi) - float(lo)) / (qmax - qmin)
        if np.float32(scale) == 0 or np.isinf(np.float32(1) / np.float32(scale)):
            scale = 0.1
        small = np.float32(6.1e-5)
        if scale < small:
            # widen the range so that the scale is not smaller than this
            before = np.float32(scale)
            scale = float(small)
            if lo == 0:
                hi = small * np.float32(qmax - qmin)
            elif hi == 0:
                lo = -small * np.float32(qmax - qmin)
            else:
                lo, hi = lo * (small / before), hi * (small / before)
    at_lo, at_hi = qmin - float(lo) / scale, qmax - float(hi) / scale
    error_lo = abs(qmin) - abs(float(lo) / scale)
    error_hi = abs(qmax) - abs(float(hi) / scale)
    zero_point = at_lo if error_lo < error_hi else at_hi
    return scale, min(max(round(zero_point), qmin), qmax)


def quantize_per_tensor_dynamic(input: Any, dtype: DType, reduce_range: bool) -> QTensor:
    """Quantize floats with the scale and zero point that their own range asks for.

    Parameters
    ----------
    input : ndarray of float32
        At least one element, all finite.
    dtype : DType
        `quint8` or `qint8`.
    reduce_range : bool
        Choose for a range with one bit less.

    Returns
    -------
    QTensor

    Notes
    -----
    torch's ``torch.quantize_per_tensor_dynamic``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> q = quantnn.quantize_per_tensor_dynamic(np.array([-1.0, 2.0], np.float32), quantnn.quint8, False)
    >>> q.q_zero_point()
    85
    """
    op = "quantize_per_tensor_dynamic"
    dtype = _dtype(op, dtype, (quint8, qint8))
    if not isinstance(reduce_range, (builtins.bool, np.bool_)):
        raise TypeError(f"{op}: reduce_range must be a bool; got {_checks.kind(reduce_range)}")
    x = _float_input(op, "input", input)
    if not x.size:
        raise ValueError(f"{op}: input must have elements; got shape {x.shape}")
    s, z = choose_qparams(x.min(), x.max(), dtype.qmin, dtype.qmax, builtins.bool(reduce_range), op)
    return _quantize(op, x, dtype, s, z)


def dequantize(tensor: Any) -> Any:
    """The numbers that quantized integers stand for.

    Parameters
    ----------
    tensor : QTensor, ndarray of float32, or a list or tuple of them
        A float32 array comes back as it is.

    Returns
    -------
    ndarray of float32
        A list or tuple of them if `tensor` is one.

    Notes
    -----
    torch's ``torch.dequantize``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> q = quantnn.quantize_per_tensor(np.array([0.3], np.float32), 0.25, 0, quantnn.quint8)
    >>> quantnn.dequantize(q)
    array([0.25], dtype=float32)
    """
    if isinstance(tensor, QTensor):
        return tensor.dequantize()
    if isinstance(tensor, (list, tuple)):
        return (
            type(tensor)(map(dequantize, tensor)) if type(tensor) in (list, tuple) else tuple(map(dequantize, tensor))
        )
    array = _checks.array("dequantize", "tensor", tensor)
    if array.dtype.type is not np.float32:
        raise TypeError(f"dequantize: tensor must be a QTensor or a float32 array; got {_checks.kind(tensor)}")
    return tensor


def _integers(op: str, x: Any) -> tuple[np.ndarray, DType]:
    if isinstance(x, QTensor):
        raise TypeError(f"{op}: input must be an array of integers; got {_checks.kind(x)}. Call int_repr() first")
    ints = _checks.array(op, "input", x)
    for dtype in (quint8, qint8, qint32):
        if ints.dtype.type is dtype.numpy:
            return ints.astype(dtype.numpy, copy=False), dtype
    raise TypeError(f"{op}: input must be an array of uint8, int8 or int32; got {_checks.kind(ints)}")


def make_per_tensor_quantized_tensor(input: Any, scale: float, zero_point: int) -> QTensor:
    """A QTensor from integers, which are copied.

    Parameters
    ----------
    input : ndarray of uint8, int8 or int32
        Makes `quint8`, `qint8` or `qint32`. Channels-last stays channels-last.
    scale : float
        Positive and finite.
    zero_point : int
        Within the range of the dtype.

    Returns
    -------
    QTensor

    Notes
    -----
    torch's ``torch._make_per_tensor_quantized_tensor``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> q = quantnn.make_per_tensor_quantized_tensor(np.array([8, 12], np.uint8), 0.5, 10)
    >>> q.dequantize()
    array([-1.,  1.], dtype=float32)
    """
    op = "make_per_tensor_quantized_tensor"
    ints, dtype = _integers(op, input)
    s, z = _checks.qparams(op, scale, zero_point, dtype)
    return QTensor(_layout.copy(_layout.standard(ints)), dtype, s, z)


def make_per_channel_quantized_tensor(input: Any, scale: Any, zero_point: Any, axis: int) -> QTensor:
    """A QTensor from integers, which are copied, with a scale and zero point for each position of one axis.

    Parameters
    ----------
    input : ndarray of uint8, int8 or int32
        Makes `quint8`, `qint8` or `qint32`.
    scale : vector of float
        Positive and finite, one per channel.
    zero_point : vector of int or float
        One per channel; floats give the scheme `per_channel_affine_float_qparams`.
    axis : int
        Not negative.

    Returns
    -------
    QTensor
        Contiguous.

    Notes
    -----
    torch's ``torch._make_per_channel_quantized_tensor``.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> w = np.array([[1, 2], [3, 4]], np.int8)
    >>> quantnn.make_per_channel_quantized_tensor(w, np.array([0.5, 0.25]), np.array([0, 0]), 0).dequantize()
    array([[0.5 , 1.  ],
           [0.75, 1.  ]], dtype=float32)
    """
    op = "make_per_channel_quantized_tensor"
    ints, dtype = _integers(op, input)
    s, z, axis = _channel_qparams(op, scale, zero_point, axis, ints.shape, dtype, "scale", "zero_point")
    scheme = per_channel_affine_float_qparams if z.dtype.kind == "f" else per_channel_affine
    return QTensor(ints.copy(order="C"), dtype, s, z, scheme, axis)
