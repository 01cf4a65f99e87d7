"""The operators of programs: torch's names, and what runs them.

Quantized ones are quantnn's own. What moves elements or computes with floats and numbers is here, with NumPy, under the
arguments' names and defaults of torch. Every function takes tensors (arrays and QTensors) and Python's numbers, and
gives such.
"""

from __future__ import annotations

import builtins
import math
import operator as _operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import functional, ops
from .. import tensor as _tensor
from ..ops._conv import PackedConv
from ..ops._conv_transpose import PackedConvTranspose
from ..tensor import QTensor
from . import _floats

Function = Callable[..., Any]

#: torch's numbers of dtypes.
DTYPES: dict[int, Any] = {
    0: np.dtype(np.uint8), 1: np.dtype(np.int8), 2: np.dtype(np.int16), 3: np.dtype(np.int32), 4: np.dtype(np.int64),
    5: np.dtype(np.float16), 6: np.dtype(np.float32), 7: np.dtype(np.float64), 11: np.dtype(np.bool_),
    12: _tensor.qint8, 13: _tensor.quint8, 14: _tensor.qint32, 15: np.dtype(np.float32), 16: _tensor.quint4x2,
    17: _tensor.quint2x4,
}  # fmt: skip
_NUMBERS = {dtype: number for number, dtype in reversed(DTYPES.items()) if number != 15}
_FORMATS = (
    _tensor.contiguous_format, _tensor.preserve_format, _tensor.channels_last, _tensor.channels_last_3d,
)  # fmt: skip
_FLOAT32 = np.dtype(np.float32)

TABLE: dict[str, Function] = {}

#: Those that change or keep a list they get: it must be a new one at each call.
CHANGE_LISTS = frozenset(f"aten::{name}" for name in ("append", "extend", "insert", "_set_item", "list", "copy"))

#: Those that turn a tensor into another view of itself: what they are called with ``_``, and without.
RESHAPE_IN_PLACE = {
    f"aten::{name}_": f"aten::{name}" for name in ("squeeze", "unsqueeze", "transpose", "swapaxes", "t")
}


def register(*names: str, inplace: bool = False) -> Callable[[Function], Function]:
    """Put a function into the table; names without a namespace are of aten. `inplace` adds ``name_``."""

    def put(function: Function) -> Function:
        for name in names:
            full = name if "::" in name else f"aten::{name}"
            TABLE[full] = function
            if inplace:
                TABLE[f"{full}_"] = _in_place(function)
        return function

    return put


def _in_place(function: Function) -> Function:
    def assign(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = function(self, *args, **kwargs)
        if isinstance(self, QTensor):
            return self.copy_(found)
        np.copyto(self, found, casting="same_kind")
        return self

    return assign


# Values


def is_tensor(x: Any) -> bool:
    """Whether a value is a tensor."""
    return isinstance(x, (np.ndarray, QTensor))


def item(x: Any) -> Any:
    """The number in a tensor of one element; numbers as they are."""
    if isinstance(x, (bool, int, float)):
        return x
    if isinstance(x, np.ndarray) and x.size == 1:
        return x.item()
    if isinstance(x, QTensor):
        return x.item()
    raise TypeError(f"there must be a number, or a tensor of one element; got {described(x)}")


def described(x: Any) -> str:
    """A value for a message."""
    return f"{type(x).__name__} of shape {tuple(x.shape)}" if is_tensor(x) else f"{type(x).__name__}"


def _floats_only(op: str, x: Any) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{op}: input must be an array of floats; got {described(x)}")
    return x if x.dtype.kind == "f" else x.astype(_FLOAT32)


def _array(op: str, x: Any) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{op}: input must be an array; got {described(x)}")
    return x


def _q(op: str, x: Any) -> QTensor:
    if not isinstance(x, QTensor):
        raise TypeError(f"{op}: input must be a QTensor; got {described(x)}")
    return x


def _numpy_dtype(op: str, number: Any) -> Any:
    dtype = DTYPES.get(number) if type(number) is int else None
    if not isinstance(dtype, np.dtype):
        raise NotImplementedError(f"{op}: dtype must be one that NumPy has; got torch's number {number}")
    return dtype


_CATEGORIES = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
_OF_NUMBERS = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: _FLOAT32}


def result_dtype(*values: Any) -> Any:
    """The dtype that torch computes in: tensors with axes count most, then those without, then numbers."""
    levels: list[Any] = [None, None, None]
    for x in values:
        level = 2 if not isinstance(x, np.ndarray) else 0 if x.ndim else 1
        levels[level] = _promoted(levels[level], x.dtype if level < 2 else _OF_NUMBERS[type(x)])
    found: Any = None
    for dtype in levels:
        if dtype is not None and (found is None or _CATEGORIES[dtype.kind] > _CATEGORIES[found.kind]):
            found = dtype
    return found


def _promoted(a: Any, b: Any) -> Any:
    if a is None or _CATEGORIES[b.kind] > _CATEGORIES[a.kind]:
        return b
    return a if _CATEGORIES[a.kind] > _CATEGORIES[b.kind] else np.promote_types(a, b)


def _elementwise(ufunc: Any, number: Function, to_float: bool = False) -> Function:
    """A function of two numbers or tensors."""

    def compute(self: Any, other: Any, *_: Any) -> Any:
        a, b = type(self) is np.ndarray, type(other) is np.ndarray
        if a and b and self.dtype is other.dtype and self.ndim and (not to_float or self.dtype.kind == "f"):
            return ufunc(self, other)
        if not (a or b):
            if isinstance(self, QTensor) or isinstance(other, QTensor):
                raise TypeError(f"{ufunc.__name__}: there is no such operator of quantized tensors")
            return number(self, other)
        dtype = result_dtype(self, other)
        if to_float and dtype.kind != "f":
            dtype = _FLOAT32
        return np.asarray(ufunc(np.asarray(self, dtype), np.asarray(other, dtype)))

    return compute


def _remainder(a: Any, b: Any) -> Any:
    return a % b


def _power(a: Any, b: Any) -> Any:
    if type(a) is int and type(b) is int and (abs(b) > 64 or abs(a) > 1 << 31):
        raise ValueError(f"pow: the result must fit 64 bits; got {a} to the power of {b}"[:100])
    return a**b


_plus = _elementwise(np.add, _operator.add)
_minus = _elementwise(np.subtract, _operator.sub)
_times = _elementwise(np.multiply, _operator.mul)
_over = _elementwise(np.divide, _operator.truediv, to_float=True)
_floor_over = _elementwise(np.floor_divide, _operator.floordiv)

register("remainder", inplace=True)(_elementwise(np.remainder, _remainder))
register("pow", inplace=True)(_elementwise(np.power, _power))
register("floor_divide", "floordiv", inplace=True)(_floor_over)
register("__and__", "logical_and", "bitwise_and")(_elementwise(np.bitwise_and, _operator.and_))
register("__or__", "logical_or", "bitwise_or")(_elementwise(np.bitwise_or, _operator.or_))
register("maximum")(_elementwise(np.maximum, builtins.max))
register("minimum")(_elementwise(np.minimum, builtins.min))
register("rsub")(lambda self, other, alpha=1: _minus(other, self if alpha == 1 else _times(self, alpha)))
for _name, _sign in (
    ("eq", _operator.eq), ("ne", _operator.ne), ("lt", _operator.lt), ("le", _operator.le), ("gt", _operator.gt),
    ("ge", _operator.ge),
):  # fmt: skip

    def _compare(self: Any, other: Any, sign: Function = _sign) -> Any:
        found = sign(self, other)
        return np.asarray(found) if type(found) is np.bool_ else found

    register(_name)(_compare)


@register("add", inplace=True)
def _add(self: Any, other: Any, alpha: Any = 1) -> Any:
    if type(self) is list:
        return self + other
    return _plus(self, other if type(alpha) is int and alpha == 1 else _times(other, alpha))


@register("sub", inplace=True)
def _sub(self: Any, other: Any, alpha: Any = 1) -> Any:
    return _minus(self, other if type(alpha) is int and alpha == 1 else _times(other, alpha))


@register("mul", inplace=True)
def _mul(self: Any, other: Any) -> Any:
    if type(self) is list or type(other) is list:
        raise NotImplementedError("mul: lists can't be repeated")
    return _times(self, other)


@register("div", "true_divide", inplace=True)
def _div(self: Any, other: Any, rounding_mode: Any = None) -> Any:
    if rounding_mode is None:
        return _over(self, other)
    if rounding_mode == "floor":
        return _floor_over(self, other)
    found = np.trunc(_over(self, other))
    return found.astype(result_dtype(self, other)) if is_tensor(self) or is_tensor(other) else item(np.asarray(found))


@register("neg", inplace=True)
def _neg(self: Any) -> Any:
    return -self if isinstance(self, (int, float, np.ndarray)) else _array("neg", self)


# Numbers, strings, lists, dicts

register("len")(lambda a: a.shape[0] if is_tensor(a) else len(a))
register("__is__")(lambda self, obj: self is obj)
register("__isnot__")(lambda self, obj: self is not obj)
register("__not__")(lambda self: not item(self))
register("__contains__")(lambda list, item: item in list)
register("list")(lambda values: list(values))
register("copy")(lambda self: self.copy())
register("keys")(lambda self: list(self.keys()))
register("values")(lambda self: list(self.values()))
register("items")(lambda self: list(self.items()))
register("get")(lambda self, key, default_value=None: self.get(key, default_value))
register("str")(lambda elem: str(elem))
register("Int", "IntImplicit")(lambda a: int(item(a)))
register("Float", "FloatImplicit")(lambda a: float(item(a)))
register("Bool")(lambda a: bool(item(a)))
register("ScalarImplicit", "item")(item)
register("prim::unchecked_unwrap_optional")(lambda x: x)


@register("append")
def _append(self: list[Any], el: Any) -> list[Any]:
    self.append(el)
    return self


@register("extend")
def _extend(self: list[Any], other: list[Any]) -> None:
    self.extend(other)


@register("insert")
def _insert(self: list[Any], idx: int, el: Any) -> None:
    self.insert(idx, el)


@register("_set_item")
def _set_item(self: Any, idx: Any, el: Any) -> Any:
    if type(self) not in (list, dict):
        raise TypeError(f"an item of a list or dict must be set; got {described(self)}")
    self[idx] = el
    return self


@register("format")
def _format(self: str, *args: Any) -> str:
    pieces = str(self).split("{}")
    texts = [*(str(a)[:1000] for a in args), *[""] * len(pieces)]
    return "".join(piece + text for piece, text in zip(pieces, [*texts[: len(pieces) - 1], ""], strict=True))


@register("_unwrap_optional")
def _unwrap(optional: Any) -> Any:
    if optional is None:
        raise ValueError("an optional value must be there; got None")
    return optional


_ERRORS = {
    e.__name__: e
    for e in (ValueError, TypeError, RuntimeError, NotImplementedError, IndexError, KeyError, AssertionError)
}


@register("prim::RaiseException")
def _raise(msg: Any, cls: Any = None) -> None:
    name = str(cls).rpartition(".")[2]
    raise _ERRORS.get(name, RuntimeError)(msg)


@register("warn")
def _warn(message: str, stacklevel: int = 2) -> None:
    """Warnings of the program are about how it was written."""


@register("prim::min")
def _number_min(self: Any, other: Any = None) -> Any:
    return min(self) if other is None else min(self, other)


@register("prim::max")
def _number_max(self: Any, other: Any = None) -> Any:
    return max(self) if other is None else max(self, other)


# What tensors say of themselves

register("dim")(lambda self: self.ndim)
register("numel")(lambda self: math.prod(self.shape))
register("prim::NumToTensor")(lambda a: np.asarray(a, _OF_NUMBERS[type(a)]))
register("prim::device")(lambda a: "cpu")
register("prim::type")(lambda self: self)
register("prim::layout")(lambda a: 0)
register("prim::is_cuda", "prim::requires_grad", "prim::is_mkldnn", "prim::is_sparse")(lambda a: False)
register("prim::is_quantized")(lambda a: isinstance(a, QTensor))
register("is_floating_point")(lambda self: isinstance(self, np.ndarray) and self.dtype.kind == "f")
register("prim::shape")(lambda a: list(a.shape))
register("q_scale")(lambda self: _q("q_scale", self).q_scale())
register("q_zero_point")(lambda self: _q("q_zero_point", self).q_zero_point())
register("q_per_channel_scales")(lambda self: _q("q_per_channel_scales", self).q_per_channel_scales())
register("q_per_channel_zero_points")(lambda self: _q("q_per_channel_zero_points", self).q_per_channel_zero_points())
register("q_per_channel_axis")(lambda self: _q("q_per_channel_axis", self).q_per_channel_axis())
register("int_repr")(lambda self: _q("int_repr", self).int_repr().copy())


@register("size")
def _size(self: Any, dim: Any = None) -> Any:
    return list(self.shape) if dim is None else self.shape[item(dim)]


@register("prim::dtype")
def _dtype(a: Any) -> int:
    return _NUMBERS[a.dtype]


# Shapes


def _both(name: str, plain: Function) -> Function:
    """A function that QTensor has as a method, and NumPy as `plain`."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, QTensor):
            return getattr(self, name)(*args, **kwargs)
        return plain(_array(name, self), *args, **kwargs)

    return call


def _ints(values: Any) -> tuple[int, ...]:
    return tuple([item(v) for v in values]) if isinstance(values, (list, tuple)) else (item(values),)


register("transpose", "swapaxes")(_both("transpose", lambda x, dim0, dim1: x.swapaxes(dim0, dim1)))
register("permute")(
    lambda self, dims: self.permute(_ints(dims)) if isinstance(self, QTensor) else self.transpose(_ints(dims))
)
register("t")(_both("t", lambda x: x.T))
register("unsqueeze")(_both("unsqueeze", lambda x, dim: np.expand_dims(x, item(dim))))
register("flatten")(
    _both("flatten", lambda x, start_dim=0, end_dim=-1: x.reshape(_tensor._flattened(x.shape, start_dim, end_dim)))
)
register("detach", "alias", "cpu")(lambda self: self)
register("clone")(lambda self, memory_format=None: self.clone() if isinstance(self, QTensor) else self.copy(order="K"))
register("expand_as")(lambda self, other: _expand(self, other.shape))
register("view_as", "reshape_as")(lambda self, other: _reshape(self, other.shape))


@register("reshape", "view", "_reshape_alias", "_unsafe_view")
def _reshape(self: Any, shape: Any, *_: Any) -> Any:
    return self.reshape(_ints(shape))


@register("squeeze")
def _squeeze(self: Any, dim: Any = None) -> Any:
    if isinstance(self, QTensor):
        return self.squeeze(dim)
    if dim is None:
        return self.squeeze()
    dims = [d % self.ndim for d in _ints(dim)] if self.ndim else []
    return self.squeeze(tuple(d for d in dims if self.shape[d] == 1))


@register("expand")
def _expand(self: Any, size: Any, implicit: bool = False) -> Any:
    sizes = _ints(size)
    if isinstance(self, QTensor):
        return self.expand(*sizes)
    lead = len(sizes) - self.ndim
    kept = [s if n == -1 else n for n, s in zip(sizes[lead:], self.shape, strict=True)]
    return np.broadcast_to(self, (*sizes[:lead], *kept))


@register("repeat")
def _repeat(self: Any, repeats: Any) -> Any:
    return self.repeat(*_ints(repeats)) if isinstance(self, QTensor) else np.tile(self, _ints(repeats))


@register("contiguous")
def _contiguous(self: Any, memory_format: int = 0) -> Any:
    if isinstance(self, QTensor):
        return self.contiguous(_FORMATS[memory_format])
    return np.ascontiguousarray(self)


@register("select")
def _select(self: Any, dim: Any, index: Any = None) -> Any:
    if type(self) in (list, tuple):
        return self[item(dim)]
    dim, index = item(dim), item(index)
    if isinstance(self, QTensor):
        return self.select(dim, index)
    if not -self.shape[dim] <= index < self.shape[dim]:
        raise IndexError(f"select: index must be within the axis {dim} of shape {self.shape}; got {index}")
    return self[(slice(None),) * (dim % self.ndim) + (index, ...)]


@register("slice")
def _slice(self: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    if isinstance(self, (list, tuple, str)):
        return self[_limit(dim) : _limit(start) : 1 if end is None else item(end)]
    cut = slice(_limit(start), _limit(end), item(step))
    return self[(slice(None),) * (item(dim) % self.ndim) + (cut,)]


def _limit(x: Any) -> Any:
    return None if x is None else item(x)


@register("narrow")
def _narrow(self: Any, dim: int, start: Any, length: int) -> Any:
    return _slice(self, dim, start, item(start) + length)


@register("index")
def _index(self: Any, indices: Sequence[Any]) -> Any:
    return self[tuple(slice(None) if i is None else i for i in indices)]


@register("index_select")
def _index_select(self: Any, dim: int, index: Any) -> Any:
    if isinstance(self, QTensor):
        return self.index_select(dim, index)
    if index.size and (index.min() < 0 or index.max() >= self.shape[dim]):
        raise IndexError(f"index_select: index must be within the axis {dim} of shape {self.shape}")
    return self.take(index, dim)


def _quantized_list(tensors: Sequence[Any]) -> bool:
    return bool(tensors) and isinstance(tensors[0], QTensor)


@register("cat", "concat")
def _cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    if _quantized_list(tensors):
        return ops._tensor.cat(tensors, dim)
    dtype = result_dtype(*tensors)
    return np.concatenate([t for t in tensors if t.shape != (0,)] or list(tensors), dim).astype(dtype, copy=False)


@register("stack")
def _stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    return ops._tensor.stack(tensors, dim) if _quantized_list(tensors) else np.stack(tensors, dim)


@register("chunk", "unsafe_chunk")
def _chunk(self: Any, chunks: int, dim: int = 0) -> Any:
    if isinstance(self, QTensor):
        return list(self.chunk(chunks, dim))
    return _split(self, max(-(-self.shape[dim] // chunks), 1), dim)


@register("split", "split_with_sizes", "unsafe_split")
def _split(self: Any, split_size: Any, dim: int = 0) -> Any:
    if isinstance(self, QTensor):
        return list(self.split(split_size, dim))
    length = self.shape[dim]
    if isinstance(split_size, (list, tuple)):
        ends = np.cumsum(_ints(split_size))
    else:
        ends = np.arange(item(split_size), length + item(split_size), item(split_size))
    if not len(ends) or (isinstance(split_size, (list, tuple)) and ends[-1] != length):
        raise ValueError(f"split: split_size must sum up to the length {length} of the axis; got {split_size}")
    return np.split(self, ends[:-1], dim)


@register("unbind")
def _unbind(self: Any, dim: int = 0) -> list[Any]:
    if isinstance(self, QTensor):
        return list(self.unbind(dim))
    return list(np.moveaxis(self, dim, 0))


@register("pad", "constant_pad_nd")
def _pad(self: Any, pad: Any, mode: Any = "constant", value: Any = None) -> Any:
    if type(mode) is not str:  # of constant_pad_nd
        mode, value = "constant", mode
    pad = _ints(pad)
    if isinstance(self, QTensor):
        if mode == "constant":
            return ops.pad(self, pad, mode, value)
        return _like(self, np.pad(self._ints, _numpy_padding(self, pad), _PADDINGS[mode]))  # type: ignore[call-overload]
    widths = _numpy_padding(self, pad)
    if mode == "constant":
        return np.pad(self, widths, constant_values=0 if value is None else value)
    return np.pad(self, widths, _PADDINGS[mode])  # type: ignore[call-overload]


register("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")(
    lambda self, padding: _pad(self, padding, "reflect")
)
register("replication_pad1d", "replication_pad2d", "replication_pad3d")(
    lambda self, padding: _pad(self, padding, "replicate")
)
_PADDINGS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _numpy_padding(x: Any, pad: tuple[int, ...]) -> list[tuple[int, int]]:
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    if len(widths) != x.ndim or any(w < 0 for pair in widths for w in pair):
        raise ValueError(
            f"pad: pad must be pairs of numbers that are not negative, one for each axis at most; got {pad}"
        )
    return widths


def _like(x: QTensor, ints: np.ndarray) -> QTensor:
    return _tensor.make_per_tensor_quantized_tensor(ints, x.q_scale(), x.q_zero_point())


@register("pixel_shuffle")
def _pixel_shuffle(self: Any, upscale_factor: int) -> Any:
    if isinstance(self, QTensor):
        return ops._tensor.pixel_shuffle(self, upscale_factor)
    *lead, c, h, w = self.shape
    r = upscale_factor
    split = self.reshape(-1, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(*lead, c // r**2, h * r, w * r)


@register("channel_shuffle")
def _channel_shuffle(self: Any, groups: int) -> Any:
    if isinstance(self, QTensor):
        return ops._tensor.channel_shuffle(self, groups)
    n, c, *rest = self.shape
    return self.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(self.shape)


@register("flip")
def _flip(self: Any, dims: Any) -> Any:
    return self.flip(*_ints(dims)) if isinstance(self, QTensor) else np.flip(self, _ints(dims)).copy()


# Making and converting tensors


@register("to", "_to_copy")
def _to(self: Any, *args: Any, **kwargs: Any) -> Any:
    wanted = kwargs.get("dtype")
    for arg in args[:2]:
        if type(arg) is int:
            wanted = arg
        elif is_tensor(arg):
            wanted = _dtype(arg)
    if wanted is None or DTYPES.get(wanted) is self.dtype:
        return self
    return _array("to", self).astype(_numpy_dtype("to", wanted))


register("type_as")(lambda self, other: _to(self, _dtype(other)))


def _made(make: Function) -> Function:
    def call(size: Any, *_: Any, dtype: Any = None, **__: Any) -> np.ndarray:
        found: np.ndarray = make(_ints(size), _FLOAT32 if dtype is None else _numpy_dtype("zeros", dtype))
        return found

    return call


def _made_like(make: Function) -> Function:
    def call(self: Any, *_: Any, dtype: Any = None, **__: Any) -> np.ndarray:
        found: np.ndarray = make(
            self.shape, _array("zeros_like", self).dtype if dtype is None else _numpy_dtype("zeros_like", dtype)
        )
        return found

    return call


register("zeros", "empty")(_made(np.zeros))
register("ones")(_made(np.ones))
register("zeros_like", "empty_like")(_made_like(np.zeros))
register("ones_like")(_made_like(np.ones))
register("new_zeros")(
    lambda self, size, *_, dtype=None, **__: np.zeros(
        _ints(size), self.dtype if dtype is None else _numpy_dtype("new_zeros", dtype)
    )
)


@register("full")
def _full(size: Any, fill_value: Any, *_: Any, dtype: Any = None, **__: Any) -> np.ndarray:
    chosen = _OF_NUMBERS[type(fill_value)] if dtype is None else _numpy_dtype("full", dtype)
    return np.full(_ints(size), fill_value, chosen)


@register("tensor", "scalar_tensor")
def _tensor_of(data: Any, *_: Any, dtype: Any = None, **__: Any) -> np.ndarray:
    found = np.asarray(data)
    if dtype is not None:
        return found.astype(_numpy_dtype("tensor", dtype))
    return found.astype(_FLOAT32) if found.dtype.kind == "f" and not is_tensor(data) else found


@register("arange")
def _arange(*args: Any, dtype: Any = None, **_: Any) -> np.ndarray:
    limits: list[Any] = []
    for arg in args:  # behind the limits stand dtype, layout, device and pin_memory
        if arg is None or isinstance(arg, (str, bool)) or len(limits) == 3:
            break
        limits.append(item(arg))
    if dtype is None and len(args) - len(limits) < 4 and len(args) >= 5:
        dtype = limits.pop() if len(args) - len(limits) == 3 else None
    found = np.arange(*limits)
    if dtype is not None:
        return found.astype(_numpy_dtype("arange", dtype))
    return found.astype(_FLOAT32) if found.dtype.kind == "f" else found


@register("quantize_per_tensor")
def _quantize_per_tensor(input: Any, scale: Any, zero_point: Any, dtype: int) -> Any:
    if type(scale) is not float or type(zero_point) is not int:
        scale, zero_point = float(item(scale)), int(item(zero_point))
    return _tensor.quantize_per_tensor(input, scale, zero_point, DTYPES.get(dtype))  # type: ignore[arg-type]


@register("quantize_per_channel")
def _quantize_per_channel(input: Any, scales: Any, zero_points: Any, axis: int, dtype: int) -> Any:
    return _tensor.quantize_per_channel(input, scales, zero_points, axis, DTYPES.get(dtype))  # type: ignore[arg-type]


@register("quantize_per_tensor_dynamic")
def _quantize_per_tensor_dynamic(input: Any, dtype: int, reduce_range: bool) -> Any:
    return _tensor.quantize_per_tensor_dynamic(input, DTYPES.get(dtype), reduce_range)  # type: ignore[arg-type]


register("dequantize")(_tensor.dequantize)
register("_make_per_tensor_quantized_tensor")(_tensor.make_per_tensor_quantized_tensor)
register("_make_per_channel_quantized_tensor")(_tensor.make_per_channel_quantized_tensor)


# Reductions


def _reduced(op: str, ufunc: Function, method: str = "") -> Function:
    def call(self: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None, **_: Any) -> Any:
        if isinstance(self, QTensor):
            if not method:
                raise TypeError(f"{op}: there is no such operator of quantized tensors")
            return getattr(self, method)(dim, keepdim)
        axes = None if dim is None or dim == [] else _ints(dim)
        return np.asarray(ufunc(_array(op, self), axes, bool(keepdim)))

    return call


def _sum(x: np.ndarray, axes: Any, keepdims: bool) -> Any:
    if x.dtype.kind == "f":
        return x.sum(axes, np.float64, keepdims=keepdims).astype(x.dtype)
    return x.sum(axes, np.int64, keepdims=keepdims)


def _mean(x: np.ndarray, axes: Any, keepdims: bool) -> Any:
    if x.dtype.kind != "f":
        raise TypeError(f"mean: input must be floats; got {x.dtype}")
    return x.mean(axes, np.float64, keepdims=keepdims).astype(x.dtype)


register("sum")(_reduced("sum", _sum))
register("mean")(_reduced("mean", _mean, "mean"))
register("amax")(_reduced("amax", lambda x, axes, keepdims: x.max(axes, keepdims=keepdims)))
register("amin")(_reduced("amin", lambda x, axes, keepdims: x.min(axes, keepdims=keepdims)))


def _extreme(name: str, of_two: Function) -> Function:
    def call(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if is_tensor(dim):
            return of_two(self, dim)
        if isinstance(self, QTensor):
            found = getattr(self, name)(dim, keepdim)
            return found if dim is None else (found.values, found.indices)
        x = _array(name, self)
        if dim is None:
            return np.asarray(getattr(x, name)())
        index = np.expand_dims(getattr(x, f"arg{name}")(dim), dim)
        values = np.take_along_axis(x, index, dim)
        return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))

    return call


register("max")(_extreme("max", TABLE["aten::maximum"]))
register("min")(_extreme("min", TABLE["aten::minimum"]))


@register("argmax")
def _argmax(self: Any, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return np.asarray(np.argmax(_array("argmax", self), dim, keepdims=bool(keepdim)))


@register("argmin")
def _argmin(self: Any, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return np.asarray(np.argmin(_array("argmin", self), dim, keepdims=bool(keepdim)))


@register("linalg_vector_norm")
def _vector_norm(self: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> np.ndarray:
    x = _floats_only("norm", self)
    axes = tuple(range(x.ndim)) if dim is None or dim == [] else _ints(dim)
    wide = np.abs(x.astype(np.float64))
    if math.isinf(ord):
        found = (wide.max if ord > 0 else wide.min)(axes, keepdims=bool(keepdim))
    elif ord == 0:
        found = (wide != 0).sum(axes, keepdims=bool(keepdim))
    else:
        found = (wide**ord).sum(axes, keepdims=bool(keepdim)) ** (1 / ord)
    return np.asarray(found, x.dtype)


@register("norm")
def _norm(self: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return _vector_norm(self, 2 if p is None else p, dim, keepdim)


@register("frobenius_norm")
def _frobenius_norm(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return _vector_norm(self, 2, dim, keepdim)


@register("where")
def _where(condition: Any, self: Any, other: Any) -> Any:
    dtype = result_dtype(self, other)
    return np.where(condition, np.asarray(self, dtype), np.asarray(other, dtype))


@register("masked_fill", inplace=True)
def _masked_fill(self: Any, mask: Any, value: Any) -> Any:
    if isinstance(self, QTensor):
        return self.masked_fill(mask, value)
    return np.where(mask, np.asarray(item(value), self.dtype), self)


@register("copy_")
def _copy(self: Any, src: Any, non_blocking: bool = False) -> Any:
    if isinstance(self, QTensor):
        return self.copy_(src)
    np.copyto(self, src, casting="unsafe")
    return self


# Functions of floats, and those that quantized tensors have too


def _float_or(name: str, plain: Function, quantized: Function | None = None) -> Function:
    """`plain` of arrays; `quantized` of QTensors."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, QTensor) and quantized is not None:
            return quantized(self, *args, **kwargs)
        return np.asarray(plain(_floats_only(name, self), *args, **kwargs))

    return call


def _own(function: Function) -> Function:
    """A quantized function that needs output parameters: those of the input, as torch has it."""

    def call(self: QTensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, self.q_scale(), self.q_zero_point(), *args, **kwargs)

    return call


def _clamp(x: np.ndarray, min: Any = None, max: Any = None) -> Any:
    return np.clip(x, *(None if v is None else x.dtype.type(item(v)) for v in (min, max)))


def _threshold(x: np.ndarray, threshold: Any, value: Any) -> np.ndarray:
    return np.where(x <= x.dtype.type(threshold), x.dtype.type(value), x)


def _quantized_elu(x: QTensor, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> QTensor:
    return functional.elu(x, x.q_scale(), x.q_zero_point(), alpha)


def _quantized_leaky(x: QTensor, negative_slope: Any = 0.01) -> QTensor:
    return ops.leaky_relu(x, negative_slope, False, x.q_scale(), x.q_zero_point())


def _relu(self: Any) -> Any:
    if isinstance(self, QTensor):
        return self.relu()
    return np.maximum(_array("relu", self), 0)


register("relu", inplace=True)(_relu)
for _name, _plain, _quantized in (
    ("sigmoid", _floats.sigmoid, ops.sigmoid),
    ("tanh", _floats.tanh, ops.tanh),
    ("gelu", _floats.gelu, _own(functional.gelu)),
    ("silu", _floats.silu, _own(functional.silu)),
    ("mish", _floats.mish, _own(functional.mish)),
    ("softplus", _floats.softplus, None),
    ("elu", _floats.elu, _quantized_elu),
    ("leaky_relu", _floats.leaky_relu, _quantized_leaky),
    ("hardsigmoid", _floats.hardsigmoid, ops.hardsigmoid),
    ("hardswish", _floats.hardswish, _own(ops.hardswish)),
    ("hardtanh", lambda x, min_val=-1, max_val=1: _clamp(x, min_val, max_val), ops.hardtanh),
    ("relu6", lambda x: _clamp(x, 0, 6), ops.relu6),
    ("clamp", _clamp, ops.clamp),
    ("threshold", _threshold, ops.threshold),
    ("exp", np.exp, None),
    ("log", np.log, None),
    ("sqrt", np.sqrt, None),
    ("rsqrt", lambda x: 1 / np.sqrt(x), None),
    ("erf", _floats.erf, None),
    ("sin", np.sin, None),
    ("cos", np.cos, None),
):  # fmt: skip
    register(_name, inplace=True)(_float_or(_name, _plain, _quantized))
register("clamp_min", inplace=True)(lambda self, min: TABLE["aten::clamp"](self, min, None))
register("clamp_max", inplace=True)(lambda self, max: TABLE["aten::clamp"](self, None, max))
register("abs", inplace=True)(lambda self: abs(self) if isinstance(self, (int, float)) else np.abs(_array("abs", self)))
register("prim::abs")(abs)


def _rounded(name: str, plain: Function, number: Function) -> None:
    def call(self: Any) -> Any:
        return number(self) if isinstance(self, (int, float)) else np.asarray(plain(_array(name, self)))

    register(name, inplace=True)(call)


_rounded("floor", np.floor, math.floor)
_rounded("ceil", np.ceil, math.ceil)
_rounded("round", np.round, round)


def _in_float32(function: Function) -> Function:
    """softmax and log_softmax, whose third argument is a dtype."""

    def call(self: Any, dim: int, dtype: Any = None) -> np.ndarray:
        x = _floats_only("softmax", self if dtype is None or type(dtype) is bool else _to(self, dtype))
        found: np.ndarray = function(x, dim)
        return found

    return call


register("softmax", "_softmax")(_in_float32(_floats.softmax))
register("log_softmax", "_log_softmax")(_in_float32(_floats.log_softmax))
register("prelu")(lambda self, weight: np.where(self > 0, self, self * weight.reshape(-1, *[1] * (self.ndim - 2))))


def _dropout(input: Any, p: float, train: bool) -> Any:
    if train and p:
        raise NotImplementedError("dropout: there is no training; call eval() on the model before it is saved")
    return input


for _name in ("dropout", "feature_dropout", "alpha_dropout"):
    register(_name)(_dropout)
    register(f"{_name}_")(_dropout)


# Layers


@register("layer_norm")
def _layer_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    return _floats.layer_norm(_floats_only("layer_norm", input), _ints(normalized_shape), weight, bias, eps)


@register("group_norm")
def _group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    return _floats.group_norm(_floats_only("group_norm", input), num_groups, weight, bias, eps)


@register("batch_norm")
def _batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, cudnn_enabled: bool = True,
) -> Any:  # fmt: skip
    if training:
        raise NotImplementedError("batch_norm: there is no training; call eval() on the model before it is saved")
    return _floats.batch_norm(_floats_only("batch_norm", input), weight, bias, running_mean, running_var, eps)


@register("linear")
def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    return _floats.linear(_floats_only("linear", input), weight, bias)


@register("matmul", "bmm", "mm")
def _matmul(self: Any, other: Any) -> Any:
    return np.asarray(_array("matmul", self) @ _array("matmul", other))


@register("addmm")
def _addmm(self: Any, mat1: Any, mat2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return np.asarray(beta * self + alpha * (mat1 @ mat2))


@register("conv1d", "conv2d", "conv3d")
def _conv(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = (1,),
    padding: Any = (0,),
    dilation: Any = (1,),
    groups: int = 1,
) -> Any:
    if type(padding) is str:
        raise NotImplementedError(f"conv: padding must be numbers; got {padding!r}")
    return _floats.conv(
        _floats_only("conv", input), weight, bias, _ints(stride), _ints(padding), _ints(dilation), groups
    )


@register("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(
    input: Any, weight: Any, bias: Any = None, stride: Any = (1,), padding: Any = (0,), output_padding: Any = (0,),
    groups: int = 1, dilation: Any = (1,),
) -> Any:  # fmt: skip
    x = _floats_only("conv_transpose", input)
    geometry = _ints(stride), _ints(padding), _ints(output_padding), groups, _ints(dilation)
    return _floats.conv_transpose(x, weight, bias, *geometry)


@register("_convolution", "convolution")
def _convolution(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int, *_: Any,
) -> Any:  # fmt: skip
    if transposed:
        return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _conv(input, weight, bias, stride, padding, dilation, groups)


def _wide(values: Any, n: int, default: Any = None) -> tuple[int, ...]:
    found = _ints(values)
    found = default if not found and default is not None else found
    if len(found) not in (1, n):
        raise ValueError(f"there must be one number or {n}; got {len(found)}")
    return found * (n // len(found))


def _max_pool(n: int) -> Function:
    quantized = (None, ops.max_pool1d, ops.max_pool2d, ops.max_pool3d)[n]

    def call(
        self: Any,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = (0,),
        dilation: Any = (1,),
        ceil_mode: bool = False,
    ) -> Any:
        kernel = _wide(kernel_size, n)
        geometry = _wide(stride, n, kernel), _wide(padding, n), _wide(dilation, n)
        if isinstance(self, QTensor):
            return quantized(self, kernel, *geometry, ceil_mode)  # type: ignore[misc]
        return _floats.max_pool(_floats_only(f"max_pool{n}d", self), kernel, *geometry, ceil_mode)

    return call


def _avg_pool(n: int) -> Function:
    quantized = (None, None, functional.avg_pool2d, functional.avg_pool3d)[n]

    def call(
        self: Any, kernel_size: Any, stride: Any = (), padding: Any = (0,), ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: Any = None,
    ) -> Any:  # fmt: skip
        kernel = _wide(kernel_size, n)
        geometry = _wide(stride, n, kernel), _wide(padding, n)
        rest = ceil_mode, count_include_pad, divisor_override
        if isinstance(self, QTensor) and quantized is not None:
            return quantized(self, kernel, *geometry, *rest)
        return _floats.avg_pool(_floats_only(f"avg_pool{n}d", self), kernel, *geometry, *rest)

    return call


def _adaptive_avg_pool(n: int) -> Function:
    quantized = (None, None, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d)[n]

    def call(self: Any, output_size: Any) -> Any:
        size = _wide(output_size, n)
        if isinstance(self, QTensor) and quantized is not None:
            return quantized(self, size)
        return _floats.adaptive_avg_pool(_floats_only(f"adaptive_avg_pool{n}d", self), size)

    return call


for _n in (1, 2, 3):
    register(f"max_pool{_n}d")(_max_pool(_n))
    register(f"avg_pool{_n}d")(_avg_pool(_n))
    register(f"adaptive_avg_pool{_n}d")(_adaptive_avg_pool(_n))


def _upsample_nearest(n: int) -> Function:
    def call(self: Any, output_size: Any, scale_factors: Any = None, *more: Any) -> Any:
        scales = scale_factors if isinstance(scale_factors, (list, tuple)) else (scale_factors, *more)[:n]
        factors = [float(item(s)) for s in scales if s is not None]
        if isinstance(self, QTensor):
            if output_size is None:
                return functional.interpolate(self, None, tuple(factors), "nearest")
            return functional.interpolate(self, _ints(output_size), None, "nearest")
        x = _floats_only("upsample_nearest", self)
        here = x.shape[2:]
        if output_size is None:
            size = [math.floor(length * s) for length, s in zip(here, factors, strict=True)]
        else:
            size = list(_ints(output_size))
        steps = [1 / s for s in factors] if len(factors) == n else [a / b for a, b in zip(here, size, strict=True)]
        return _floats.upsample_nearest(x, size, steps)

    return call


for _n in (1, 2, 3):
    register(f"upsample_nearest{_n}d")(_upsample_nearest(_n))


@register("upsample_bilinear2d")
def _upsample_bilinear(self: Any, output_size: Any, align_corners: bool, scale_factors: Any = None, *more: Any) -> Any:
    if not isinstance(self, QTensor):
        raise NotImplementedError("upsample_bilinear2d: it is there for quantized tensors only")
    scales = scale_factors if isinstance(scale_factors, (list, tuple)) else (scale_factors, *more)[:2]
    if output_size is None:
        return functional.interpolate(self, None, tuple(scales), "bilinear", align_corners)
    return functional.interpolate(self, _ints(output_size), None, "bilinear", align_corners)


@register("embedding")
def _embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    w = _array("embedding", weight)
    if indices.dtype.kind not in "iu" or (indices.size and (indices.min() < 0 or indices.max() >= len(w))):
        raise IndexError(f"embedding: indices must be integers in [0, {len(w)})")
    return w[indices]


@register("scaled_dot_product_attention")
def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    return _floats.attention(_floats_only("attention", query), key, value, attn_mask, is_causal, scale)


# Recurrent layers


@register("lstm")
def _lstm(
    input: Any, hx: Any, params: Any, has_biases: Any, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool = False,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    if is_tensor(hx):
        raise NotImplementedError("lstm: packed sequences are not supported")
    x = _floats_only("lstm", input)
    return _floats.recurrent(_floats.lstm_cell, x, hx, params, has_biases, num_layers, bidirectional, batch_first)


@register("gru")
def _gru(
    input: Any, hx: Any, params: Any, has_biases: Any, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool = False,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    if not is_tensor(hx):
        raise NotImplementedError("gru: packed sequences are not supported")

    def cell(x: np.ndarray, h: np.ndarray, weights: Any) -> tuple[np.ndarray]:
        return (_floats.gru_cell(x, h, weights),)

    x = _floats_only("gru", input)
    return _floats.recurrent(cell, x, [hx], params, has_biases, num_layers, bidirectional, batch_first)


@register("lstm_cell")
def _lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple[Any, Any]:
    h, c = hx
    return _floats.lstm_cell(_floats_only("lstm_cell", input), h, c, (w_ih, w_hh, b_ih, b_hh))


@register("gru_cell")
def _gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    return _floats.gru_cell(_floats_only("gru_cell", input), hx, (w_ih, w_hh, b_ih, b_hh))


def _packed_sequence(function: Function) -> Function:
    """quantized_lstm and quantized_gru, whose overload for packed sequences has the batch sizes second."""

    def call(input: Any, hx: Any, *args: Any, **kwargs: Any) -> Any:
        second = args[0] if args else None
        lstm_packed = is_tensor(hx) and isinstance(second, (list, tuple)) and second and is_tensor(second[0])
        if lstm_packed or (is_tensor(hx) and is_tensor(second)):
            sizes, hx, params, biases, layers, dropout, train, bidirectional, *_ = hx, *args
            return function(input, hx, params, biases, layers, dropout, train, bidirectional, batch_sizes=sizes)
        return function(input, hx, *args, **kwargs)

    return call


register("quantized_lstm")(_packed_sequence(ops.quantized_lstm))
register("quantized_gru")(_packed_sequence(ops.quantized_gru))


# quantized::


def _one_dimension(wide: Function, function: Function) -> Function:
    """A convolution of one dimension, whose packed weight may be one of two with a height of one, as torch has it."""

    def call(x: Any, packed: Any, *args: Any) -> Any:
        if not (isinstance(packed, (PackedConv, PackedConvTranspose)) and packed.ndim == 2):
            return function(x, packed, *args)
        if not is_tensor(x) or x.ndim != 3:
            raise ValueError(f"conv1d: input must have shape (N, C, L); got {described(x)}")
        if isinstance(x, QTensor):
            return wide(x.unsqueeze(2), packed, *args).squeeze(2)
        return wide(x[:, :, None], packed, *args)[:, :, 0]

    return call


def _unpack_one(packed: Any) -> Any:
    weight, bias = packed.unpack()
    return (weight.squeeze(2) if packed.ndim == 2 else weight), bias


def _conv1d_prepack(weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return ops.conv1d_prepack(
        weight, bias, stride, padding[:1], dilation, groups
    )  # modules that reflect give two zeros


def _elu(
    self: Any, output_scale: Any, output_zero_point: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1
) -> Any:
    return ops.elu(self, output_scale, output_zero_point, alpha)


def _or_scalar(function: Function, scalar: Function) -> Function:
    """An operator on two tensors, or, without a scale, on a tensor and a number, as torch chooses by the types."""

    def call(qa: Any, qb: Any, *qparams: Any, **named: Any) -> Any:
        return function(qa, qb, *qparams, **named) if qparams or named else scalar(qa, qb)

    return call


# torch.ops.quantized has these under the names of quantnn.ops
_SAME = """
    add add_relu add_scalar add_scalar_relu mul mul_relu mul_scalar mul_scalar_relu cat cat_relu matmul
    add_out add_relu_out add_scalar_out add_scalar_relu_out mul_out mul_relu_out mul_scalar_out mul_scalar_relu_out
    cat_out cat_relu_out
    batch_norm batch_norm_relu batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu batch_norm3d
    batch_norm3d_relu layer_norm group_norm instance_norm
    celu dropout hardswish leaky_relu prelu relu6 sigmoid softmax
    conv1d conv1d_relu conv2d conv2d_relu conv3d conv3d_relu conv1d_dynamic conv2d_dynamic conv3d_dynamic conv2d_add
    conv2d_add_relu conv1d_prepack conv2d_prepack conv3d_prepack conv1d_unpack conv2d_unpack conv3d_unpack
    conv_transpose1d conv_transpose2d conv_transpose3d conv_transpose1d_dynamic conv_transpose2d_dynamic
    conv_transpose3d_dynamic conv_transpose1d_prepack conv_transpose2d_prepack conv_transpose3d_prepack
    conv_transpose1d_unpack conv_transpose2d_unpack conv_transpose3d_unpack
    linear linear_relu linear_leaky_relu linear_tanh linear_prepack linear_unpack linear_dynamic linear_relu_dynamic
    linear_dynamic_fp16 linear_relu_dynamic_fp16 linear_prepack_fp16 linear_unpack_fp16
    linear_dynamic_fp16_unpacked_weight linear_with_input_q_dq_qweight_dq_output_fp32
    linear_with_input_q_dq_qweight_dq_relu_output_fp32
    embedding_byte embedding_4bit embedding_bag_byte embedding_bag_4bit embedding_bag_prepack embedding_bag_unpack
    embedding_bag_byte_prepack embedding_bag_byte_unpack embedding_bag_4bit_prepack embedding_bag_4bit_unpack
    embedding_bag_2bit_prepack embedding_bag_2bit_unpack embedding_bag_byte_rowwise_offsets
    embedding_bag_4bit_rowwise_offsets embedding_bag_2bit_rowwise_offsets
    max_pool1d max_pool2d
    make_quantized_cell_params make_quantized_cell_params_dynamic make_quantized_cell_params_fp16
    quantized_lstm_cell_dynamic quantized_gru_cell_dynamic quantized_rnn_relu_cell_dynamic
    quantized_rnn_tanh_cell_dynamic
"""
for _name in _SAME.split():
    TABLE[f"quantized::{_name}"] = getattr(ops, _name)
for _one, _two in (("conv1d", "conv2d"), ("conv_transpose1d", "conv_transpose2d")):
    for _end in ("", "_dynamic") if "transpose" in _one else ("", "_relu", "_dynamic"):
        TABLE[f"quantized::{_one}{_end}"] = _one_dimension(getattr(ops, _two + _end), getattr(ops, _one + _end))
    TABLE[f"quantized::{_one}_unpack"] = _unpack_one
TABLE["quantized::conv1d_prepack"] = _conv1d_prepack
TABLE["quantized::elu"] = _elu
for _name, _scalar in (
    ("add", "add_scalar"), ("add_relu", "add_scalar_relu"), ("mul", "mul_scalar"), ("mul_relu", "mul_scalar_relu"),
):  # fmt: skip
    TABLE[f"quantized::{_name}"] = _or_scalar(getattr(ops, _name), getattr(ops, _scalar))
