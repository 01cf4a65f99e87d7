"""save and load: quantnn's own files, as .npz or .safetensors. docs/format.md describes them."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import sys
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from ..modules.module import Module
from ..modules.utils import DTYPES, QSCHEMES, from_torch, is_tensor
from ..ops._conv import PackedConv
from ..ops._conv_transpose import PackedConvTranspose
from ..ops._dynamic import PackedLinearFp16
from ..ops._embedding import PackedEmbedding, embedding_bag_prepack
from ..ops._linear import PackedLinear
from ..ops._rnn import CellParams
from ..tensor import DType, QScheme, QTensor, _channel_qparams, per_tensor_affine
from . import _classes
from ._archive import Archive, MappedFile
from ._errors import FileError
from ._nesting import check_nesting

FORMAT, VERSION = "quantnn", 1
#: The name of the record with the header.
HEADER = "quantnn.json"

_ALIGNMENT = 64
_DEEPEST = 64
_LONGEST_NAME = 1000


class _Kind(NamedTuple):
    """How packed weights are written: as the arguments that make them."""

    type: type
    make: Callable[..., Any]
    arguments: tuple[str, ...]


_PACKED = {
    "linear": _Kind(PackedLinear, PackedLinear, ("weight", "bias")),
    "linear_fp16": _Kind(PackedLinearFp16, PackedLinearFp16, ("weight", "bias")),
    "conv": _Kind(PackedConv, PackedConv, ("dimensions", "weight", "bias", "stride", "padding", "dilation", "groups")),
    "conv_transpose": _Kind(
        PackedConvTranspose,
        PackedConvTranspose,
        ("dimensions", "weight", "bias", "stride", "padding", "output_padding", "dilation", "groups"),
    ),
    "embedding": _Kind(PackedEmbedding, embedding_bag_prepack, ("weight",)),
    "cell": _Kind(CellParams, CellParams, ("w_ih", "w_hh", "reduce_range")),
}
Progress = Callable[[int, int], None]
_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


# Writing


class _Writer:
    """Turns values into JSON and named arrays; modules and packed weights become numbered objects."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.objects: list[dict[str, Any]] = []
        self.unknown: list[str] = []  # modules of other classes, by their path and class
        self._seen: dict[int, tuple[Any, Any]] = {}  # by id: what was written for which object

    def value(self, path: str, x: Any, depth: int = 0) -> Any:
        """The JSON of a value, whose arrays are named after its path."""
        if x is None or type(x) in (bool, int, str):
            return x
        if isinstance(x, float):
            return float(x) if math.isfinite(x) else {"float": repr(float(x))}
        if depth > _DEEPEST:
            raise ValueError(f"save: {path} must be nested at most {_DEEPEST} deep")
        if isinstance(x, DType):
            return {"dtype": x.name}
        if x is np.float16:
            return {"dtype": "float16"}
        if isinstance(x, QScheme):
            return {"scheme": x.name}
        if isinstance(x, list):
            return [self.value(f"{path}.{i}", v, depth + 1) for i, v in enumerate(x)]
        if isinstance(x, tuple):
            return {"tuple": [self.value(f"{path}.{i}", v, depth + 1) for i, v in enumerate(x)]}
        if isinstance(x, Mapping):
            items = enumerate(x.items())
            named = ((i, k, f"{path}.{k}" if type(k) is str else f"{path}.{i}", v) for i, (k, v) in items)
            return {"dict": [[self.value(path, k, depth + 1), self.value(p, v, depth + 1)] for _, k, p, v in named]}
        if id(x) not in self._seen:
            self._seen[id(x)] = x, self._object(path, x, depth)
        return self._seen[id(x)][1]

    def _object(self, path: str, x: Any, depth: int) -> Any:
        if is_tensor(x):
            x = from_torch(x)
        if isinstance(x, np.generic):
            x = np.asarray(x)
        if isinstance(x, np.ndarray):
            if x.dtype.kind not in "biufc" or x.dtype.itemsize > 16 or x.dtype == np.longdouble:
                raise TypeError(f"save: {path} must be an array of numbers; got {_checks.kind(x)}")
            return {"array": self._array(path, x)}
        if isinstance(x, QTensor):
            return self._qtensor(path, x)
        if isinstance(x, Module):
            return self._add(self._module(path, x, depth))
        for name, kind in _PACKED.items():
            if type(x) is kind.type:
                values = zip(kind.arguments, x.__reduce__()[1], strict=True)
                arguments = {k: self.value(f"{path}.{k}" if path else k, v, depth + 1) for k, v in values}
                return self._add({"packed": name, "arguments": arguments})
        raise TypeError(f"save: {path} must be an array, QTensor, number, string or module; got {_checks.kind(x)}")

    def _add(self, record: dict[str, Any]) -> dict[str, int]:
        self.objects.append(record)
        return {"object": len(self.objects) - 1}

    def _array(self, path: str, x: np.ndarray) -> str:
        name = re.sub(r"[^A-Za-z0-9_.\-]", "_", path).strip(".") or "value"
        while name in self.arrays or name == HEADER:
            name += "_"
        self.arrays[name] = x
        return name

    def _qtensor(self, path: str, x: QTensor) -> dict[str, Any]:
        key = self._array(f"{path}.int_repr", x._ints)
        found: dict[str, Any] = {"quantized": key, "dtype": x.dtype.name, "scheme": x.qscheme().name}
        if x.dtype.bits < 8:
            found["shape"] = list(x.shape)
        if x.qscheme() is per_tensor_affine:
            found["scale"] = self._array(f"{path}.scale", np.asarray(x._scale, np.float64))
            found["zero_point"] = self._array(f"{path}.zero_point", np.asarray(x._zero_point, np.int64))
        else:
            found["scale"] = self._array(f"{path}.scale", x._scale)
            found["zero_point"] = self._array(f"{path}.zero_point", x._zero_point)
            found["axis"] = self._array(f"{path}.axis", np.asarray(x._axis, np.int64))
        return found

    def _module(self, path: str, x: Module, depth: int) -> dict[str, Any]:
        def below(name: str) -> str:
            return f"{path}.{name}" if path else name

        name = _classes.name_of(x)
        if name in _classes.CONTAINERS:
            children = {k: self.value(below(k), child, depth + 1) for k, child in x._modules.items()}
            return {"class": name, "children": children}
        if name is not None:
            _, arguments, attributes = _classes.describe(name, x)
            return {
                "class": name,
                "arguments": {k: self.value(below(k), v) for k, v in arguments.items()},
                "attributes": {k: self.value(below(k), v) for k, v in attributes.items()},
                "state": {k: self.value(below(k), v) for k, v in x.state_dict().items()},
            }
        if _is_program(x, "ScriptModule"):
            values: dict[str, Any] = x.attributes()
            return {
                "script": x.class_name,
                "attributes": {k: self.value(below(k), v, depth + 1) for k, v in values.items()},
            }
        cls = type(x)
        self.unknown.append(f"{path or 'the model'} ({cls.__module__}.{cls.__qualname__})")
        return {}


def _is_program(x: Any, part: str = "Program") -> bool:
    """Whether it is a program, or a part of one; nothing is, if none was made in this process."""
    module = sys.modules.get("quantnn.jit._program")
    return module is not None and isinstance(x, getattr(module, part))


def save(model_or_state: Any, path: str | os.PathLike[str]) -> None:
    """Write a model or a state dict to a file.

    Parameters
    ----------
    model_or_state : Module, Program or dict
        A model made of quantnn's modules, what `quantnn.jit.load` or `quantnn.from_torch` returned, or a state dict:
        names and arrays, QTensors and whatever else state dicts hold.
    path : str or path-like
        Ends with ``.npz`` or ``.safetensors``; the latter needs the package safetensors.

    Raises
    ------
    TypeError
        `model_or_state` or a part of it is something else.
    ValueError
        `path` has another ending.
    ImportError
        safetensors is not installed.
    OSError
        The file can't be written.

    Notes
    -----
    A module of a class of your own has code that no file holds: of a model with such modules the state dict is saved,
    and `load` returns it, for `Module.load_state_dict`. ``docs/format.md`` describes the files. An older file at `path`
    is replaced once the new one is complete.

    Examples
    --------
    >>> import os, tempfile
    >>> import quantnn
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> quantnn.save(quantnn.Sequential(quantnn.Conv2d(1, 4, 3), quantnn.ReLU()), path)
    >>> quantnn.load(path)
    Sequential(
      (0): QuantizedConv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), scale=1.0, zero_point=0)
      (1): ReLU()
    )
    """
    write(model_or_state, path)


def write(model_or_state: Any, path: str | os.PathLike[str], progress: Progress = lambda done, of: None) -> None:
    """`save`, which tells how many of how many bytes of arrays are written."""
    target = os.fspath(path)
    ending = os.path.splitext(target)[1]
    if ending not in (".npz", ".safetensors"):
        raise ValueError(f"save: path must end with .npz or .safetensors; got {target!r}")
    header, arrays = _described(model_or_state)
    text = json.dumps({"format": FORMAT, "version": VERSION, **header}, allow_nan=False)
    with _replaced(target) as temporary:
        if ending == ".npz":
            _write_npz(temporary, text, arrays, progress)
        else:
            _write_safetensors(temporary, text, arrays)


def _described(x: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header's contents and the arrays."""
    writer = _Writer()
    if _is_program(x):
        found = {"kind": "program", "sources": dict(x.sources), "root": writer.value("", x.root)}
        found["constants"] = writer.value("constants", tuple(x.constants))
    elif isinstance(x, Module):
        found = {"kind": "module", "root": writer.value("", x)}
        if writer.unknown:
            found, classes = {"kind": "state_dict"}, writer.unknown
            writer = _Writer()
            found |= {**_state(writer, x.state_dict()), "classes": classes}
    elif isinstance(x, Mapping):
        found = {"kind": "state_dict", **_state(writer, x)}
    else:
        raise TypeError(f"save: model_or_state must be a Module, a Program or a state dict; got {_checks.kind(x)}")
    if writer.unknown:
        raise TypeError(f"save: a program must not have modules of other classes; got {', '.join(writer.unknown)}")
    if found["kind"] != "state_dict" or writer.objects:
        found["objects"] = writer.objects
    return found, writer.arrays


def _state(writer: _Writer, state: Mapping[str, Any]) -> dict[str, Any]:
    for key in state:
        if not isinstance(key, str):
            raise TypeError(f"save: the keys of a state dict must be strings; got {_checks.kind(key)}")
    metadata = getattr(state, "_metadata", {})
    return {
        "state": {key: writer.value(key, value) for key, value in state.items()},
        "metadata": {k: v["version"] for k, v in metadata.items() if type(v.get("version")) is int},
    }


@contextmanager
def _replaced(target: str) -> Iterator[str]:
    """A temporary file, which replaces `target` at the end: the arrays to be written may lie in a map of that."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(target)), suffix=".tmp")
    os.close(handle)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # what open() would have given
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _write_npz(path: str, header: str, arrays: dict[str, np.ndarray], progress: Progress) -> None:
    done, size = 0, sum(array.nbytes for array in arrays.values())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(HEADER), header)  # without a date: the same model makes the same file
        for key, array in arrays.items():
            info = zipfile.ZipInfo(f"{key}.npy")
            info.file_size = array.nbytes + 128
            # a field of zeros, as torch's files have it, so that the array lies at a multiple of 64
            at = archive.fp.tell() + 30 + len(info.filename) + 4  # type: ignore[union-attr]
            fill = -at % _ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", fill) + bytes(fill)
            with archive.open(info, "w") as file:
                native = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
                np.lib.format.write_array(file, native, (1, 0), allow_pickle=False)
            done += array.nbytes
            progress(done, size)


def _write_safetensors(path: str, header: str, arrays: dict[str, np.ndarray]) -> None:
    try:
        from safetensors.numpy import save_file
    except ImportError as e:
        raise ImportError(
            "save: .safetensors files need the package safetensors: pip install 'quantnn[safetensors]', or save as .npz"
        ) from e
    for key, array in arrays.items():
        if array.dtype.newbyteorder("<").str.lstrip("<|") not in _SAFETENSORS.values():
            raise TypeError(f"save: {key} must not be {array.dtype} in a .safetensors file; save as .npz")
    save_file({k: np.ascontiguousarray(v).reshape(v.shape) for k, v in arrays.items()}, path, {HEADER: header})


# Reading


def load(path: str | os.PathLike[str]) -> Any:
    """Read a file of `save`.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Module, Program or collections.OrderedDict
        A model that can be called, or a state dict with ``_metadata``: what was saved as one, or the state of a model
        with modules of classes of its own.

    Raises
    ------
    FileError
        The file is none of these, or is damaged.
    OSError
        It can't be opened.

    Notes
    -----
    Nothing of the file is executed. It is mapped into memory: weights are read, and packed for this processor, when
    they are used first. The file must not be changed meanwhile; replacing it, as `save` does, is fine.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, quantnn
    >>> path = os.path.join(tempfile.mkdtemp(), "state.npz")
    >>> quantnn.save({"weight": np.float32([1, 2])}, path)
    >>> dict(quantnn.load(path))
    {'weight': array([1., 2.], dtype=float32)}
    """
    return read(path).value()


def read(path: str | os.PathLike[str]) -> File:
    """Open a file of `save`, without making anything of it yet."""
    file = MappedFile(path)
    if bytes(file.data[:4]) in (b"PK\3\4", b"PK\5\6"):
        return File(file, *_read_npz(Archive(file)))
    return File(file, *_read_safetensors(file))


def _json(file: MappedFile, text: bytes) -> Any:
    """The value of a JSON text, unless that might take too much memory."""
    count = text.count
    values = 2 * len(text) + 240 * count(b"{") + 64 * count(b"[") + 48 * count(b",") + 64 * count(b":")
    try:
        file.budget.charge(values, "the header")
        return json.loads(text.decode())
    except FileError as e:
        raise FileError(f"{file.path}: {e}") from e
    except (ValueError, RecursionError) as e:
        raise FileError(f"{file.path}: the header is no JSON: the file is damaged, or none of quantnn.save") from e


class File:
    """A file of `save`: its header and how its arrays are read.

    Attributes
    ----------
    header : dict
        As docs/format.md describes it, not checked.
    """

    def __init__(self, file: MappedFile, text: bytes, array: Callable[[str], np.ndarray]) -> None:
        self.path = path = file.path
        self._budget = file.budget
        self._array = array
        self._found: dict[str, np.ndarray] = {}
        self._objects: list[Any] = []
        self.header = _json(file, text)
        if type(self.header) is not dict or self.header.get("format") != FORMAT:
            raise FileError(f"{path}: the header must be that of {FORMAT}: quantnn.save writes such files")
        if self.header.get("version") != VERSION:
            raise FileError(
                f"{path}: its format must be version {VERSION}; got {_shown(self.header.get('version'))}. "
                "Read it with a newer quantnn"
            )

    def value(self) -> Any:
        """What was saved."""
        try:
            return self._value()
        except FileError as e:
            message = str(e)
            raise FileError(message if message.startswith(f"{self.path}:") else f"{self.path}: {message}") from e
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, MemoryError) as e:
            # quantnn's own constructors and load_state_dict say what is wrong
            what = _few_keys(" ".join(str(e).split()))[:1000] or type(e).__name__
            raise FileError(f"{self.path}: {what}") from e

    def _value(self) -> Any:
        header = self.header
        kind = header.get("kind")
        for record in _typed(header.get("objects", []), list, "objects"):
            self._objects.append(self._object(_typed(record, dict, "an object")))
        if kind == "state_dict":
            state: Any = OrderedDict((k, self._decode(v)) for k, v in self._part("state").items())
            versions = self._part("metadata").items()
            state._metadata = OrderedDict((k, {"version": _typed(v, int, "a version")}) for k, v in versions)
            return state
        if kind == "module":
            root = self._decode(header.get("root"))
            if not isinstance(root, Module):
                raise FileError("its root must be a module")
            check_nesting(root)
            return root.eval()
        if kind == "program":
            from ..jit import _program

            constants = _typed(self._decode(header.get("constants")), tuple, "constants")
            root = self._decode(header.get("root"))
            return _program.Program._of_file(self._part("sources"), root, constants, self._budget)
        raise FileError(f"kind must be state_dict, module or program; got {_shown(kind)}")

    def _part(self, name: str) -> dict[str, Any]:
        part: dict[str, Any] = _typed(self.header.get(name), dict, name)
        return part

    def _decode(self, x: Any, depth: int = 0) -> Any:
        if x is None or type(x) in (bool, int, float, str):
            return x
        if depth > _DEEPEST:
            raise FileError(f"its values must be nested at most {_DEEPEST} deep")
        if type(x) is list:
            return [self._decode(v, depth + 1) for v in x]
        if type(x) is not dict or not x:
            raise FileError(f"a value must be JSON as docs/format.md has it; got {_shown(x)}")
        tag, inner = next(iter(x.items()))
        if tag == "quantized":
            return self._qtensor(x)
        if len(x) == 1:
            if tag == "array":
                return self._read(inner)
            if tag == "object" and type(inner) is int and 0 <= inner < len(self._objects):
                return self._objects[inner]
            if tag == "tuple":
                return tuple(self._decode(v, depth + 1) for v in _typed(inner, list, tag))
            if tag == "dict":
                return {
                    self._key(k): self._decode(v, depth + 1) for k, v in (_pair(p) for p in _typed(inner, list, tag))
                }
            if tag == "dtype" and type(inner) is str:
                if inner == "float16":
                    return np.float16
                if inner in DTYPES:
                    return DTYPES[inner]
            if tag == "scheme" and type(inner) is str and inner in QSCHEMES:
                return QSCHEMES[inner]
            if tag == "float" and type(inner) is str and inner in _FLOATS:
                return _FLOATS[inner]
        raise FileError(f"a value must be JSON as docs/format.md has it; got {_shown(x)}")

    def _key(self, x: Any) -> Any:
        key = self._decode(x)
        if type(key) not in (str, int, float, bool):
            raise FileError(f"a key must be a string or a number; got {_shown(x)}")
        return key

    def _read(self, name: Any) -> np.ndarray:
        if type(name) is not str or len(name) > _LONGEST_NAME:
            raise FileError(f"an array must have a name of at most {_LONGEST_NAME} letters; got {_shown(name)}")
        if name not in self._found:
            self._found[name] = self._array(name)
        found = self._found[name]
        # each use may be copied once; in good files there is one of each
        self._budget.charge(found.nbytes, "what is made of its arrays")
        return found

    def _qtensor(self, x: dict[str, Any]) -> QTensor:
        ints = self._read(x["quantized"])
        dtype, scheme = DTYPES.get(str(x.get("dtype"))), QSCHEMES.get(str(x.get("scheme")))
        if dtype is None or scheme is None:
            raise FileError(f"a quantized tensor must have a dtype and a scheme; got {_shown(x)}")
        if ints.dtype != dtype.numpy:
            raise FileError(f"the array {x['quantized']} must be {np.dtype(dtype.numpy)}; got {ints.dtype}")
        shape = None
        if dtype.bits < 8:
            shape = tuple(_typed(n, int, "a shape's number") for n in _typed(x.get("shape"), list, "shape"))
            if ints.ndim != 1 or min(shape, default=0) < 0 or len(ints) != -(-math.prod(shape) * dtype.bits // 8):
                raise FileError(f"the array {x['quantized']} must have the bytes of {shape} {dtype.name} elements")
        scale, zero_point = self._read(x.get("scale")), self._read(x.get("zero_point"))
        what = f"the quantized tensor {x['quantized']}"
        if scheme is per_tensor_affine:
            return QTensor(ints, dtype, *_checks.qparams(what, scale, zero_point, dtype), shape=shape)
        axis = self._read(x.get("axis"))
        if axis.shape != () or axis.dtype.kind != "i":
            raise FileError(f"{what} must have a whole number as its axis")
        scale, zero_point, at = _channel_qparams(
            what, scale, zero_point, int(axis), ints.shape if shape is None else shape, dtype, "scale", "zero_point"
        )
        return QTensor(ints, dtype, scale, zero_point, scheme, at, shape)

    def _object(self, record: dict[str, Any]) -> Any:
        if "packed" in record:
            kind = _PACKED.get(str(record["packed"]))
            arguments = _typed(record.get("arguments"), dict, "arguments")
            if kind is None or tuple(arguments) != kind.arguments:
                raise FileError(f"packed weights must be one of {', '.join(_PACKED)}; got {_shown(record)}")
            return kind.make(*(self._decode(v) for v in arguments.values()))
        if "script" in record:
            from ..jit import _program

            name = _typed(record["script"], str, "script")
            return _program.ScriptModule(name, self._all(record, "attributes"))
        name = _typed(record.get("class"), str, "class")
        parts = (self._all(record, part) for part in ("arguments", "attributes", "children", "state"))
        arguments, attributes, children, state = parts
        return _classes.make(_classes.Description(name, arguments, attributes), children, state)

    def _all(self, record: dict[str, Any], part: str) -> dict[str, Any]:
        return {k: self._decode(v) for k, v in _typed(record.get(part, {}), dict, part).items()}


def _shown(x: Any) -> str:
    return _checks.kind(x) if isinstance(x, (list, dict)) else repr(x)[:80]


def _few_keys(message: str) -> str:
    """A message of load_state_dict with at most three keys in each list of them."""

    def few(found: re.Match[str]) -> str:
        count = found[2].count(', "')
        return f"{found[1]} and {count} more"

    return re.sub(r'("[^"]*"(?:, "[^"]*"){2})((?:, "[^"]*")+)', few, message)


def _typed(x: Any, kind: type, what: str) -> Any:
    if type(x) is not kind:
        raise FileError(f"{what} must be a {kind.__name__}; got {_shown(x)}")
    return x


def _pair(x: Any) -> tuple[Any, Any]:
    if type(x) is not list or len(x) != 2:
        raise FileError(f"an entry of a dict must be a list of two; got {_shown(x)}")
    return x[0], x[1]


# what NumPy writes, and nothing else
_NPY = re.compile(
    rb"\{'descr': '([<>|][biufc](?:1|2|4|8|16))', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)


def _read_npz(archive: Archive) -> tuple[bytes, Callable[[str], np.ndarray]]:
    if HEADER not in archive.names:
        raise FileError(
            f"{archive.path}: it has no record {HEADER}: quantnn.save writes such files. Of torch's, read state dicts "
            "with quantnn.load_state_dict and TorchScript files with quantnn.jit.load"
        )

    def array(name: str) -> np.ndarray:
        if f"{name}.npy" not in archive.names:
            raise FileError(f"the array {name[:80]} is missing")
        data = archive.read(f"{name}.npy")
        magic = bytes(data[:10])
        if len(magic) < 10 or magic[:8] != b"\x93NUMPY\1\0":
            raise FileError(f"the array {name} must be a .npy record of version 1")
        start = 10 + int.from_bytes(magic[8:], "little")
        found = _NPY.fullmatch(bytes(data[10:start]))
        if found is None:
            raise FileError(f"the array {name} must have the header of an array of numbers")
        try:
            dtype = np.dtype(found[1].decode())
        except TypeError as e:
            raise FileError(f"the array {name} must have a dtype that NumPy has; got {found[1].decode()}") from e
        shape = tuple(int(n) for n in found[3].split(b",") if n.strip())
        return _array(name, data[start:], dtype, shape, "F" if found[2] == b"True" else "C")

    return bytes(archive.read(HEADER)), array


_SAFETENSORS = {
    "BOOL": "b1", "U8": "u1", "I8": "i1", "U16": "u2", "I16": "i2", "F16": "f2", "U32": "u4", "I32": "i4", "F32": "f4",
    "U64": "u8", "I64": "i8", "F64": "f8",
}  # fmt: skip


def _read_safetensors(file: MappedFile) -> tuple[bytes, Callable[[str], np.ndarray]]:
    size = int.from_bytes(file.data[:8], "little")
    if not 2 <= size <= len(file.data) - 8:
        raise FileError(f"{file.path}: it is neither a .npz nor a .safetensors file, or its start is damaged")
    tensors = _json(file, bytes(file.data[8 : 8 + size]))
    metadata = tensors.get("__metadata__") if type(tensors) is dict else None
    text = metadata.get(HEADER) if type(metadata) is dict else None
    if type(text) is not str:
        raise FileError(f"{file.path}: it is no .safetensors file that quantnn.save wrote")
    body = file.data[8 + size :]

    def array(name: str) -> np.ndarray:
        entry: Any = tensors.get(name) if name != "__metadata__" else None
        if type(entry) is not dict:
            raise FileError(f"the array {name[:80]} is missing")
        dtype, shape, offsets = entry.get("dtype"), entry.get("shape", 0), entry.get("data_offsets", 0)
        if (
            type(dtype) is not str
            or dtype not in _SAFETENSORS
            or any(type(v) is not list or any(type(n) is not int or n < 0 for n in v) for v in (shape, offsets))
            or len(offsets) != 2
            or not offsets[0] <= offsets[1] <= len(body)
        ):
            raise FileError(f"the array {name} must have a dtype, a shape and offsets within the file")
        stored = np.dtype(_SAFETENSORS[dtype]).newbyteorder("<")
        return _array(name, body[offsets[0] : offsets[1]], stored, tuple(shape), "C")

    return text.encode(errors="surrogatepass"), array


def _array(name: str, data: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> np.ndarray:
    """A read-only view of the data wherever that is possible."""
    if len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(data):
        raise FileError(f"the array {name} must have the data of shape {shape[:32]} {dtype}; got {len(data)} bytes")
    array: np.ndarray
    if dtype.kind == "b":  # other bytes than 0 and 1 must not become bools as they are
        array = np.frombuffer(data, np.uint8) != 0
    else:
        array = np.frombuffer(data, dtype)
        if not (array.dtype.isnative and array.flags.aligned):
            array = array.astype(dtype.newbyteorder("="))
    array.flags.writeable = False
    return array.reshape(shape, order=order)
