"""Checks of arguments, so that every wrong input is a clear error and no kernel sees an unchecked one.

Every message has the form ``<operator>: <argument> must be <what is accepted>; got <what came>`` and, where there is
one, the fix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .tensor import DType, QTensor, per_tensor_affine

# Longer integers are refused, and not printed either: Python refuses that.
_LEAST, _MOST = -(2**128), 2**128

_FLOAT32 = np.dtype(np.float32)


def kind(x: Any) -> str:
    """Describe a value for an error message."""
    if isinstance(x, QTensor):
        return f"a QTensor ({x.dtype.name}, shape {tuple(x.shape)})"
    if isinstance(x, np.ndarray):
        return f"a NumPy array ({x.dtype}, shape {x.shape})"
    if x is None:
        return "None"
    if hasattr(x, "is_quantized") and not isinstance(x, type):  # torch's; the repr takes time
        return f"a {type(x).__name__} ({getattr(x, 'dtype', '?')}, shape {tuple(getattr(x, 'shape', ()))})"
    if type(x) is int:
        return f"int {shown(x)}"
    return f"{type(x).__name__} {x!r}"[:80]


def shown(x: int) -> str:
    """An integer for an error message."""
    return str(x) if _LEAST < x < _MOST else f"a number of {x.bit_length()} bits"


def qtensor(op: str, name: str, x: Any, dtypes: tuple[DType, ...] = ()) -> QTensor:
    """`x` if it is a per-tensor quantized QTensor of one of `dtypes` (any if empty)."""
    if type(x) is QTensor and x._qscheme is per_tensor_affine and x._dtype in dtypes:
        return x  # nearly every call ends here
    if not isinstance(x, QTensor):
        fix = ""
        if isinstance(x, np.ndarray) or hasattr(x, "__array__"):
            fix = ". Call quantnn.quantize_per_tensor(x, scale, zero_point, dtype) first"
        raise TypeError(f"{op}: {name} must be a QTensor; got {kind(x)}{fix}")
    if x._qscheme is not per_tensor_affine:
        raise ValueError(f"{op}: {name} must be quantized per tensor; got {x._qscheme.name}")
    if dtypes and x._dtype not in dtypes:
        accepted = " or ".join(d.name for d in dtypes)
        raise TypeError(f"{op}: {name} must be {accepted}; got {x._dtype.name}")
    return x


def number(op: str, name: str, x: Any) -> float:
    """A real number: a Python or NumPy scalar, or an array with one element."""
    if type(x) is float:
        return x
    if isinstance(x, np.ndarray) and x.size == 1:
        x = x.reshape(())[()]
    if isinstance(x, (bool, np.bool_, str, bytes, complex, np.complexfloating)) or not hasattr(x, "__float__"):
        raise TypeError(f"{op}: {name} must be a number; got {kind(x)}")
    try:
        return float(x)
    except (TypeError, ValueError, OverflowError, RuntimeError) as e:  # the last one is torch's
        raise TypeError(f"{op}: {name} must be a number; got {kind(x)}") from e


def finite(op: str, name: str, x: Any) -> float:
    """A finite number, as `number` takes it."""
    value = number(op, name, x)
    if not math.isfinite(value):
        raise ValueError(f"{op}: {name} must be finite; got {value}")
    return value


def integer(op: str, name: str, x: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """An integer in a range: a Python or NumPy integer, or an integer array with one element."""
    if type(x) is not int:
        if isinstance(x, np.ndarray) and x.size == 1 and x.dtype.kind in "iu":
            x = x.reshape(())[()]
        if isinstance(x, (bool, np.bool_)) or not hasattr(type(x), "__index__") or isinstance(x, np.ndarray):
            raise TypeError(f"{op}: {name} must be an int; got {kind(x)}")
        try:
            x = int(x.__index__())
        except Exception as e:  # torch's tensors have __index__ whatever they hold
            raise TypeError(f"{op}: {name} must be an int; got {kind(x)}") from e
    if minimum is not None and x < minimum:
        raise ValueError(f"{op}: {name} must be at least {minimum}; got {shown(x)}")
    if maximum is not None and x > maximum:
        raise ValueError(f"{op}: {name} must be at most {maximum}; got {shown(x)}")
    if not _LEAST < x < _MOST:
        raise ValueError(f"{op}: {name} must be a number of at most 128 bits; got {shown(x)}")
    return int(x)


def integers(
    op: str, name: str, x: Any, n: int, minimum: int | None = None, maximum: int | None = 2**31 - 1
) -> tuple[int, ...]:
    """`n` integers: one for all, or a tuple or list of `n`."""
    if type(x) is int and (minimum is None or x >= minimum) and (maximum is None or x <= maximum):
        return (x,) * n
    if isinstance(x, (tuple, list)):
        if len(x) == 1:
            x = tuple(x) * n
        if len(x) != n:
            raise ValueError(f"{op}: {name} must be an int or {n} ints; got {len(x)} of them: {tuple(x)}")
        return tuple(integer(op, name, v, minimum, maximum) for v in x)
    return (integer(op, name, x, minimum, maximum),) * n


def scale(op: str, name: str, x: Any) -> float:
    """A scale: positive and finite, also as float32."""
    value = number(op, name, x)
    # 2**-149 is the smallest float32, 2**128 the first number that is none
    if not (math.isfinite(value) and 1.401298464324817e-45 <= value < 3.4028235677973366e38):
        raise ValueError(f"{op}: {name} must be a positive, finite number within float32's range; got {value}")
    return value


def zero_point(op: str, name: str, x: Any, dtype: DType) -> int:
    """A zero point within the range of `dtype`."""
    value = x if type(x) is int else integer(op, name, x)
    if not dtype.qmin <= value <= dtype.qmax:
        raise ValueError(
            f"{op}: {name} must be in [{dtype.qmin}, {dtype.qmax}], the range of {dtype.name}; got {shown(value)}"
        )
    return value


def qparams(op: str, scale_: Any, zero_point_: Any, dtype: DType) -> tuple[float, int]:
    """An operator's output `scale` and `zero_point`."""
    plain = type(scale_) is float and type(zero_point_) is int
    if plain and 1e-37 < scale_ < 1e37 and dtype.qmin <= zero_point_ <= dtype.qmax:
        return scale_, zero_point_  # nearly every call ends here; what follows finds out what is wrong
    return scale(op, "scale", scale_), zero_point(op, "zero_point", zero_point_, dtype)


def flag(op: str, name: str, value: Any) -> bool:
    """A bool, Python's or NumPy's."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{op}: {name} must be a bool; got {kind(value)}")
    return bool(value)


def truth(op: str, name: str, value: Any) -> bool:
    """Anything that is true or false, where torch takes anything."""
    try:
        return bool(value)
    except (TypeError, ValueError, RuntimeError) as e:
        raise TypeError(f"{op}: {name} must be a bool; got {kind(value)}") from e


def fits_memory(op: str, shape: Sequence[int], itemsize: int = 1) -> None:
    """Refuse shapes that no memory has."""
    if math.prod(max(n, 1) for n in shape) * itemsize >= 1 << 62:
        raise MemoryError(f"{op}: shape ({', '.join(map(shown, shape))}) is too large")


def rank(op: str, n: int) -> None:
    """Refuse more dimensions than every NumPy has."""
    if n > 32:
        raise ValueError(f"{op}: a QTensor must have at most 32 dimensions; got {n}")


def array(op: str, name: str, x: Any) -> np.ndarray:
    """What NumPy makes an array of."""
    try:
        return np.asarray(x)
    except ValueError as e:
        raise TypeError(f"{op}: {name} must be an array; got {kind(x)}") from e
    except Exception as e:  # what x itself says, such as torch's tensors that require gradients
        raise TypeError(f"{op}: {name} must be an array; got {kind(x)}: {e}") from e


def float_array(op: str, name: str, x: Any, shape: Sequence[int] | None = None) -> np.ndarray:
    """A C-contiguous float32 array in native byte order, of `shape` if that is given: `x` itself if it is that."""
    if type(x) is np.ndarray and x.dtype is _FLOAT32 and x.flags.c_contiguous and shape in (None, x.shape):
        return x
    if isinstance(x, QTensor):
        raise TypeError(f"{op}: {name} must be a float32 array; got {kind(x)}. Call dequantize() first")
    values = array(op, name, x)
    if values.dtype.type is not np.float32:
        raise TypeError(
            f"{op}: {name} must be a float32 array; got {kind(values)}. Convert it with .astype(numpy.float32)"
        )
    if shape is not None and values.shape != tuple(shape):
        raise ValueError(f"{op}: {name} must have shape {tuple(shape)}; got {values.shape}")
    return np.ascontiguousarray(values, dtype=np.float32).reshape(values.shape)
