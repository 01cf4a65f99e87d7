"""What torch's pickles name: storages, tensors, quantized tensors, dtypes, and how they become quantnn's and NumPy's.

Nothing is built before its sizes, strides and offset are checked against the storage.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _checks
from ..modules.utils import DTYPES, QSCHEMES
from ..tensor import DType, QScheme, QTensor, _channel_qparams, per_channel_affine, per_channel_affine_float_qparams
from ._archive import Archive
from ._budget import Budget
from ._errors import FileError
from ._pickle import Constructor, Object

_MOST_DIMENSIONS = 32
_OVERHEAD = 400  # bytes of memory for a storage or a tensor and what keeps it
_EXPANDED = 1 << 16  # so many elements may a tensor have that repeats a smaller storage

# How elements lie in files, by the name of their dtype in torch. bfloat16, which NumPy lacks, becomes float32.
_BFLOAT16 = "bfloat16"
_ELEMENTS: dict[str, Any] = {
    **DTYPES,
    **{
        name: np.dtype(name)
        for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16")
    },
    "uint8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
    "complex64": np.dtype(np.complex64),
    "complex128": np.dtype(np.complex128),
    _BFLOAT16: _BFLOAT16,
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
_ALIASES = {"double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32"}
_ALIASES |= {"short": "int16", "cfloat": "complex64", "cdouble": "complex128"}


class StorageType:
    """A class of storages, such as ``torch.QInt8Storage``; ``torch.storage.UntypedStorage`` counts bytes.

    Attributes
    ----------
    name : str
        torch's name.
    element : DType, numpy.dtype or str
        What its elements are.
    """

    __slots__ = ("element", "name")

    def __init__(self, name: str, element: Any) -> None:
        self.name = name
        self.element = element

    @property
    def itemsize(self) -> int:
        """Bytes per element as torch counts them in `numel`."""
        return 2 if self.element == _BFLOAT16 else _stored(self.element).itemsize


class Storage:
    """The elements of a storage: what tensors are views of.

    Attributes
    ----------
    name : str
        Of its record, for messages.
    dtype : DType or numpy.dtype
        Of the tensors.
    array : ndarray
        One axis, read-only, in native byte order; a view of the file wherever that is possible. Of the sub-byte
        dtypes the packed bytes.
    budget : Budget
        The file's: what tensors take is charged to it.
    """

    __slots__ = ("array", "budget", "dtype", "name")

    def __init__(self, name: str, dtype: Any, array: np.ndarray, budget: Budget) -> None:
        self.name = name
        self.dtype = dtype
        self.array = array
        self.budget = budget


class Storages:
    """The storages of one pickle. Its `persistent` is what `_pickle.load` wants as such.

    Parameters
    ----------
    read : callable
        ``read(key)`` gives the bytes of the storage with this key.
    byteorder : str
        ``"<"`` or ``">"``.
    budget : Budget
        The file's: for copies, where byte order, alignment or dtype ask for them.
    """

    def __init__(self, read: Callable[[str], memoryview], byteorder: str, budget: Budget) -> None:
        self._read = read
        self._byteorder = byteorder
        self._budget = budget
        self._found: dict[str, tuple[Storage, Any]] = {}

    @classmethod
    def of(cls, archive: Archive, folder: str = "data") -> Storages:
        """Those in a folder of an archive: ``data`` for state dicts and modules, ``constants`` of TorchScript."""
        return cls(lambda key: archive.read(f"{folder}/{key}"), archive.byteorder, archive.budget)

    def persistent(self, id: Any) -> Storage:
        """The storage of ``("storage", type, key, location, numel)``, as torch's pickles name it."""
        kind, key, numel = storage_id(id)
        if key in self._found:
            storage, known = self._found[key]
            if known != (kind.name, numel):
                raise FileError(f"the storage {key} must have one type and size; got {kind.name} of {numel}")
            return storage
        if kind.name == "UntypedStorage" and not np.dtype(f"{self._byteorder}i2").isnative:
            raise FileError(f"the storage {key} must have a type, as its bytes lie in another order than here")
        data = self._read(key)
        self._charge(_OVERHEAD)
        if numel * kind.itemsize > len(data):
            raise FileError(
                f"the storage {key} must have {numel} elements of {kind.itemsize} bytes, as claimed; "
                f"got {len(data)} bytes: the file is damaged"
            )
        storage = Storage(key, *self._elements(kind.element, data[: numel * kind.itemsize]), self._budget)
        self._found[key] = storage, (kind.name, numel)
        return storage

    def _elements(self, element: Any, data: memoryview) -> tuple[Any, np.ndarray]:
        """The dtype and the array of a storage's bytes."""
        if element == _BFLOAT16:
            self._charge(2 * len(data))
            upper = np.frombuffer(data, f"{self._byteorder}u2").astype(np.uint32)
            upper <<= 16
            return np.dtype(np.float32), _frozen(upper.view(np.float32))
        stored = _stored(element)
        array = np.frombuffer(data, self._byteorder + stored.str[1:])
        if stored.kind == "b":  # bytes other than 0 and 1 must not become bools as they are
            self._charge(len(data))
            return element, _frozen(np.frombuffer(data, np.uint8) != 0)
        if not (array.dtype.isnative and array.flags.aligned):
            self._charge(len(data))
            array = _frozen(array.astype(stored))
        return element, array

    def _charge(self, size: int) -> None:
        self._budget.charge(size, "its storages, converted,")


def storage_id(id: Any) -> tuple[StorageType, str, int]:
    """The type, key and number of elements that a persistent id gives, checked."""
    if not (
        type(id) is tuple
        and len(id) >= 5
        and id[0] == "storage"
        and type(id[1]) is StorageType
        and type(id[2]) is str
        and type(id[4]) is int
        and id[4] >= 0
    ):
        if type(id) is tuple and id and id[0] == "module":
            raise FileError(f"it holds a whole pickled module. {_ADVICE}")
        raise FileError("a persistent id must be ('storage', type, key, location, number of elements)")
    if len(id) > 5 and id[5] is not None:
        raise FileError(f"the storage {id[2]!r:.40} is a view of another: save it with torch 1.5 or later")
    return id[1], id[2], id[4]


def _stored(element: Any) -> np.dtype[Any]:
    return np.dtype(element.numpy) if isinstance(element, DType) else element


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


# Tensors


def _lengths(what: str, values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > _MOST_DIMENSIONS:
        raise FileError(f"a tensor's {what} must be a tuple of at most {_MOST_DIMENSIONS} integers")
    for value in values:
        if type(value) is not int or not 0 <= value < 1 << 62:
            raise FileError(f"a tensor's {what} must be integers that are not negative; got {_shown(value)}")
    return tuple(values)


def _shown(value: Any) -> str:
    return str(value) if type(value) is int else f"a {type(value).__name__}"


def strided(storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """The view of a storage that a tensor is; of the sub-byte dtypes the flat bytes."""
    if type(storage) is not Storage:
        raise FileError(f"a tensor must have a storage; got {_shown(storage)}")
    size, stride = _lengths("size", size), _lengths("stride", stride)
    if type(offset) is not int or not 0 <= offset < 1 << 62 or len(size) != len(stride):
        raise FileError(
            f"a tensor must have an offset that is not negative and as many strides as sizes; "
            f"got offset {_shown(offset)}, {len(size)} sizes and {len(stride)} strides"
        )
    storage.budget.charge(_OVERHEAD, "its tensors")
    count = math.prod(size)
    array, dtype = storage.array, storage.dtype
    if isinstance(dtype, DType) and dtype.bits < 8:
        return _packed_bytes(storage, offset, size, stride)
    if count == 0:
        return np.empty(size, array.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= len(array):
        raise FileError(
            f"a tensor must lie within its storage {storage.name} of {len(array)} elements; got size {size}, "
            f"stride {stride} and offset {offset}"
        )
    if count > max(len(array), _EXPANDED):
        raise FileError(
            f"a tensor must not have many more elements than its storage {storage.name} of {len(array)}; "
            f"got size {size}. Save it contiguous"
        )
    itemsize = array.itemsize
    return np.ndarray(size, array.dtype, array, offset * itemsize, tuple(s * itemsize for s in stride))


def _packed_bytes(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    per_byte = 8 // storage.dtype.bits
    dense = tuple(math.prod(size[i + 1 :]) for i in range(len(size)))
    apart = any(s != d for n, s, d in zip(size, stride, dense, strict=True) if n > 1) and math.prod(size) > 0
    if apart or offset % per_byte:
        raise FileError(f"a {storage.dtype.name} tensor must be contiguous; got size {size} and stride {stride}")
    start, length = offset // per_byte, -(-math.prod(size) // per_byte)
    if start + length > len(storage.array):
        raise FileError(
            f"a tensor must lie within its storage {storage.name} of {len(storage.array)} bytes; got size {size} "
            f"of {storage.dtype.name} and offset {offset}"
        )
    return storage.array[start : start + length]


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """An array over a storage: ``torch._utils._rebuild_tensor`` and ``_rebuild_tensor_v2``."""
    found = strided(storage, offset, size, stride)
    if isinstance(storage.dtype, DType):
        raise FileError(f"a tensor without a quantizer must not be {storage.dtype.name}")
    return found


def rebuild_typed_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
) -> np.ndarray:
    """An array over a storage of bytes: ``torch._utils._rebuild_tensor_v3``."""
    if type(storage) is not Storage or type(dtype) is not type or not issubclass(dtype, np.generic):
        raise FileError("a tensor over an untyped storage must have a dtype that NumPy has")
    element = np.dtype(dtype)
    if len(storage.array) % element.itemsize or element.kind == "b" or storage.array.dtype.itemsize != 1:
        raise FileError(f"the storage {storage.name} must be whole elements of {element}")
    if not storage.array.flags.c_contiguous or storage.array.ctypes.data % element.alignment:
        raise FileError(f"the storage {storage.name} must be aligned for {element}")
    return strided(Storage(storage.name, element, storage.array.view(element), storage.budget), offset, size, stride)


def rebuild_qtensor(
    storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any, requires_grad: Any = False, hooks: Any = None
) -> QTensor:
    """A QTensor over a storage: ``torch._utils._rebuild_qtensor``."""
    ints = strided(storage, offset, size, stride)
    dtype, shape = storage.dtype, tuple(size)
    if not isinstance(dtype, DType):
        raise FileError(f"a quantized tensor must have a quantized storage; got {dtype}")
    if type(quantizer) is not tuple or not quantizer or not isinstance(quantizer[0], QScheme):
        raise FileError("a quantized tensor must have a quantizer: (scheme, scale, zero point[, axis])")
    scheme, *qparams = quantizer
    flat = shape if dtype.bits < 8 else None
    if scheme.name.startswith("per_tensor") and len(qparams) == 2:
        scale, zero_point = _checks.qparams("a quantized tensor", _number(qparams[0]), _number(qparams[1]), dtype)
        return QTensor(ints, dtype, scale, zero_point, shape=flat)
    if scheme.name.startswith("per_channel") and len(qparams) == 3:
        scales, zero_points, axis = qparams
        if not (isinstance(scales, np.ndarray) and isinstance(zero_points, np.ndarray) and type(axis) is int):
            raise FileError("a quantized tensor's scales and zero points must be tensors, and its axis an integer")
        storage.budget.charge(8 * (scales.size + zero_points.size), "its scales")
        scales, zero_points, axis = _channel_qparams(
            "a quantized tensor", scales, zero_points, axis, shape, dtype, "scales", "zero_points"
        )
        # files call the scheme with float zero points by the other's name
        floats = zero_points.dtype.kind == "f"
        scheme = per_channel_affine_float_qparams if floats else per_channel_affine
        return QTensor(ints, dtype, scales, zero_points, scheme, axis, flat)
    raise FileError(f"a quantizer must have a scale, a zero point and, per channel, an axis; got {len(qparams)} values")


def _number(value: Any) -> Any:
    if type(value) not in (int, float):
        raise FileError(f"a quantized tensor's scale and zero point must be numbers; got {_shown(value)}")
    return value


def rebuild_parameter(data: Any, *_: Any) -> Any:
    """A parameter is its tensor: ``torch._utils._rebuild_parameter``."""
    if not isinstance(data, (np.ndarray, QTensor)):
        raise FileError(f"a parameter must be a tensor; got {_shown(data)}")
    return data


# Globals

_ADVICE = (
    "Reading that would run its code. In a process that has torch and its classes, save its state instead: "
    "torch.save(model.state_dict(), path)"
)


def _constants() -> dict[str, Any]:
    found: dict[str, Any] = {name: _ELEMENTS[element] for name, element in _STORAGES.items()}
    found = {name: StorageType(name, element) for name, element in found.items()}
    for name, element in _ELEMENTS.items():
        found[name] = element.type if isinstance(element, np.dtype) else element
    found[_BFLOAT16] = np.float32
    found |= {alias: found[name] for alias, name in _ALIASES.items()}
    return found | QSCHEMES


_GLOBALS: dict[tuple[str, str], Any] = {
    **{("torch", name): value for name, value in _constants().items()},
    ("torch.storage", "UntypedStorage"): StorageType("UntypedStorage", np.dtype(np.uint8)),
    ("torch", "UntypedStorage"): StorageType("UntypedStorage", np.dtype(np.uint8)),
    ("torch", "Size"): Constructor(lambda values=(): _lengths("size", values)),
    ("torch", "ScriptObject"): Constructor(lambda: Object("torch.ScriptObject")),
    ("collections", "OrderedDict"): Constructor(lambda: OrderedDict()),
    ("torch._utils", "_rebuild_tensor"): Constructor(rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Constructor(rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Constructor(rebuild_typed_tensor),
    ("torch._utils", "_rebuild_qtensor"): Constructor(rebuild_qtensor),
    ("torch._utils", "_rebuild_parameter"): Constructor(rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Constructor(rebuild_parameter),
}


def torch_constructors(module: str, name: str) -> Any:
    """What a global of torch's state dicts stands for: `_pickle.load`'s `constructors`.

    Tensors become read-only arrays (bfloat16 ones float32), quantized ones QTensors, dtypes `DType`s or NumPy's scalar
    types, schemes `QScheme`s, storage classes `StorageType`s, script objects `Object`s named ``torch.ScriptObject``
    whose state is ``(state, class name)``.

    Raises
    ------
    FileError
        For every other global, by name.
    """
    found = _GLOBALS.get((module, name))
    if found is None:
        full = f"{module}.{name}"[:200]
        raise FileError(f"it names {full!r}, which is no part of a state dict. {_refusal(module)}")
    return found


def _refusal(module: str) -> str:
    if module.startswith(("torch.nn", "torch.ao", "torch.fx", "torch.quantization", "torchvision", "__main__")):
        return f"It holds a whole pickled model, it seems. {_ADVICE}"
    return f"Nothing was executed. If the file holds a whole pickled model: {_ADVICE[0].lower()}{_ADVICE[1:]}"
