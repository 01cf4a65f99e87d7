"""Files as torch writes them, old, new and hostile ones, without torch."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import quantnn
from quantnn.tensor import QTensor

STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "qint8": "QInt8Storage", "quint8": "QUInt8Storage",
    "qint32": "QInt32Storage", "quint4x2": "QUInt4x2Storage", "quint2x4": "QUInt2x4Storage",
}  # fmt: skip


class Global(NamedTuple):
    """What a pickle names."""

    module: str
    name: str


class Call(NamedTuple):
    """What a pickle calls."""

    function: Global
    arguments: tuple[Any, ...]


class New(NamedTuple):
    """An object that a pickle makes and gives a state."""

    kind: Global
    state: Any


class Persistent(NamedTuple):
    """A persistent id."""

    id: Any


class Raw(NamedTuple):
    """Operations as they are."""

    data: bytes


def pickled(value: Any) -> bytes:
    """A pickle of protocol 2, without memo."""
    return b"\x80\x02" + operations(value) + b"."


def operations(value: Any) -> bytes:
    """What pushes a value."""
    match value:
        case Raw(data):
            return data
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return operations(function) + operations(arguments) + b"R"
        case New(kind, state):
            return operations(kind) + b")\x81" + operations(state) + b"b"
        case Persistent(id):
            return operations(id) + b"Q"
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            if -(2**31) <= value < 2**31:
                return b"J" + struct.pack("<i", value)
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(operations, value)) + b"t"
        case list():
            return b"](" + b"".join(map(operations, value)) + b"e"
        case OrderedDict():
            start = operations(Call(Global("collections", "OrderedDict"), ())) + items(value)
            metadata = getattr(value, "_metadata", None)
            return start + (b"" if metadata is None else operations({"_metadata": metadata}) + b"b")
        case dict():
            return b"}" + items(value)
    raise TypeError(type(value))


def items(value: Mapping[Any, Any]) -> bytes:
    return b"(" + b"".join(operations(k) + operations(v) for k, v in value.items()) + b"u"


class File:
    """A file in the making: its storages, and the values that name them."""

    def __init__(self, byteorder: str = "<") -> None:
        self.storages: dict[str, bytes] = {}
        self.byteorder = byteorder

    def storage(self, array: np.ndarray, dtype: str | None = None) -> Persistent:
        """A new storage of the elements of an array."""
        key = str(len(self.storages))
        self.storages[key] = array.astype(array.dtype.newbyteorder(self.byteorder)).tobytes()
        kind = Global("torch", STORAGES[dtype or array.dtype.name])
        return Persistent(("storage", kind, key, "cpu", array.size))

    def tensor(self, array: Any, dtype: str | None = None, version: str = "_v2") -> Call:
        array = np.asarray(array)
        arguments = self.storage(array, dtype), 0, array.shape, strides(array.shape)
        more = (False, OrderedDict()) if version else ()
        return Call(Global("torch._utils", f"_rebuild_tensor{version}"), (*arguments, *more))

    def parameter(self, array: Any) -> Call:
        return Call(Global("torch._utils", "_rebuild_parameter"), (self.tensor(array), True, OrderedDict()))

    def qtensor(self, q: QTensor) -> Call:
        ints = np.ascontiguousarray(q.int_repr())
        quantizer: tuple[Any, ...]
        if q.qscheme() is quantnn.per_tensor_affine:
            quantizer = Global("torch", "per_tensor_affine"), q.q_scale(), q.q_zero_point()
        else:
            scales, zero_points = q.q_per_channel_scales(), q.q_per_channel_zero_points()
            axis = q.q_per_channel_axis()
            quantizer = Global("torch", "per_channel_affine"), self.tensor(scales), self.tensor(zero_points), axis
        return self.qtensor_of(self.storage(ints, q.dtype.name), 0, q.shape, strides(q.shape), quantizer)

    @staticmethod
    def qtensor_of(storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any) -> Call:
        arguments = storage, offset, size, stride, quantizer, False, OrderedDict()
        return Call(Global("torch._utils", "_rebuild_qtensor"), arguments)

    def state(self, values: Mapping[str, Any], versions: Mapping[str, int] | None = None) -> OrderedDict[str, Any]:
        """A state dict of arrays and QTensors, and of what is here already, with the versions of modules."""
        found: OrderedDict[str, Any] = OrderedDict((k, self.value(v)) for k, v in values.items())
        if versions is not None:
            found._metadata = OrderedDict((k, {"version": v}) for k, v in versions.items())  # type: ignore[attr-defined]
        return found

    def value(self, value: Any) -> Any:
        if isinstance(value, QTensor):
            return self.qtensor(value)
        if isinstance(value, (np.ndarray, np.generic)):
            return self.tensor(value)
        if type(value) in (tuple, list):
            return type(value)(map(self.value, value))
        return value

    def zip(self, value: Any, new: bool = True, **options: Any) -> bytes:
        """The file in torch's zip format, with or without what torch 2 adds."""
        records = {"data.pkl": pickled(value)}
        if new:
            order = b"little" if self.byteorder == "<" else b"big"
            records |= {".format_version": b"1", ".storage_alignment": b"64", "byteorder": order}
        records |= {f"data/{key}": data for key, data in self.storages.items()}
        return zipped({**records, "version": b"3\n"}, **options)

    def legacy(self, value: Any) -> bytes:
        """The file in the format before."""
        magic = pickled(Raw(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"))
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        keys = sorted(self.storages)
        sizes = sizes_of(value) if keys else {}
        start = magic + pickled(1001) + pickled(system) + pickled(value) + pickled(keys)
        return start + b"".join(struct.pack("<q", sizes[key]) + self.storages[key] for key in keys)


def sizes_of(value: Any) -> dict[str, int]:
    """The claimed sizes of the storages in a value."""
    if isinstance(value, Persistent):
        return {value.id[2]: value.id[4]}
    found: dict[str, int] = {}
    metadata = getattr(value, "_metadata", ())
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ():
        found |= sizes_of(part)
    return found | (sizes_of(metadata) if metadata else {})


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape)))


def zipped(records: Mapping[str, bytes], stem: str = "archive", deflated: bool = False, alignment: int = 64) -> bytes:
    """A zip file of records, as torch aligns them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in records.items():
            info = zipfile.ZipInfo(f"{stem}/{name}" if stem else name)
            info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            at = buffer.tell() + 30 + len(info.filename.encode()) + 4
            if alignment > 1:
                info.extra = b"FB" + struct.pack("<H", -at % alignment) + bytes(-at % alignment)
            archive.writestr(info, data)
    return buffer.getvalue()
