"""What ``python -m quantnn inspect``, ``convert`` and ``run`` do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from .. import tensor as _tensor
from ..modules.module import Module
from ..tensor import DType, QTensor
from . import _classes, own
from ._archive import Archive, MappedFile
from ._errors import FileError
from .checkpoint import load_state_dict


class Row(NamedTuple):
    """A line of `inspect`'s table."""

    name: str
    kind: str
    dtype: str
    shape: str
    size: int | None  # in bytes
    supported: bool


TITLES = ("", "class", "dtype", "shape", "bytes", "supported")


class Progress:
    """A bar on stderr, if that is a terminal. Use it as a context; call it with what is done, and of how much."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()
        self._drawn = False
        self._next = time.monotonic() + 0.5  # what is done by then needs no bar

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, of: int) -> None:
        if self._shown and time.monotonic() >= self._next:
            full = 30 * done // max(of, 1)
            sys.stderr.write(f"\r{self._what} [{'#' * full}{'.' * (30 - full)}] {100 * done // max(of, 1)}%")
            sys.stderr.flush()
            self._drawn = True
            self._next = time.monotonic() + 0.1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r" + " " * (len(self._what) + 40) + "\r")
            sys.stderr.flush()


def kind_of(path: str) -> str:
    """What a file is: ``"own"`` of `save`, ``"script"`` of torch.jit.save, ``"checkpoint"`` of torch.save."""
    file = MappedFile(path)
    start = bytes(file.data[:4])
    if start[:2] != b"PK":
        return "own" if bytes(file.data[8:9]) == b"{" else "checkpoint"
    names = Archive(file).names
    if own.HEADER in names:
        return "own"
    if "constants.pkl" in names:
        return "script"
    if "data.pkl" in names:
        return "checkpoint"
    raise FileError(
        f"{path}: it is a zip file, but none of quantnn.save, torch.save or torch.jit.save (it has no {own.HEADER} and "
        "no data.pkl)"
    )


class Loaded(NamedTuple):
    """What a file of any kind holds."""

    value: Any  # a module, a program or a state dict
    classes: list[str]  # of the code that a state dict needs, as far as the file knows


def load(path: str, kind: str | None = None) -> Loaded:
    """Load a file; its kind is found out unless it is known."""
    kind = kind or kind_of(path)
    if kind == "own":
        file = own.read(path)
        return Loaded(file.value(), [str(name) for name in file.header.get("classes") or ()])
    if kind == "checkpoint":
        return Loaded(load_state_dict(path), [])
    from .. import jit

    return Loaded(jit.load(path), [])


def inspect(path: str) -> bool:
    """Print what a file holds; whether all of it is supported."""
    kind = kind_of(path)
    if kind == "script":
        from ..jit import _program

        program = _program.survey(path)
        print(f"{path}: TorchScript, {_bytes(os.path.getsize(path))}")
        return _table(list(_modules("", program)), TITLES) and _operators(program.operators)
    value, classes = load(path, kind)
    if isinstance(value, dict):
        print(f"{path}: state dict, {_bytes(os.path.getsize(path))}")
        if classes:
            print(f"Its code is not in the file; needed: {', '.join(classes)}")
        return _table(list(_entries("", value)), TITLES)
    is_program = _classes.name_of(value) is None
    print(f"{path}: {'program' if is_program else 'modules'}, {_bytes(os.path.getsize(path))}")
    supported = _table(list(_modules("", value)), TITLES)
    return supported and _operators(value.operators) if is_program else supported


def _operators(operators: dict[str, int]) -> bool:
    from ..jit._operators import TABLE

    rows = sorted(operators.items())
    print()
    width = max((len(name) for name, _ in rows), default=0)
    print(f"{'operator':{width}}  uses  supported")
    for name, count in rows:
        print(f"{name:{width}}  {count:4}  {_yes(name in TABLE)}")
    return all(name in TABLE for name in operators)


def _entries(path: str, value: Any) -> Iterator[Row]:
    """A row for each entry of a state dict, and of those inside it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entries(f"{path}.{key}" if path else str(key), inner)
        return
    arrays = list(_arrays(value))
    single = arrays[0] if len(arrays) == 1 else None
    dtype = ", ".join(dict.fromkeys(_dtype(a) for a in arrays))
    shape = _shape(single) if single is not None else f"{len(arrays)} arrays" if arrays else ""
    known = bool(arrays) or value is None or isinstance(value, (bool, int, float, str, list, tuple, DType, type))
    kind = type(value).__name__ if not isinstance(value, DType) else value.name
    yield Row(path, kind, dtype, shape, sum(map(_size, arrays)), known)


def _modules(path: str, module: Any) -> Iterator[Row]:
    """A row for each module but those that are only their children."""
    known = _classes.name_of(module)
    if known in _classes.CONTAINERS or known is None:
        attributes = [] if known else [v for v in module.attributes().values() if not isinstance(v, Module)]
        if attributes:
            yield _module(path, module.class_name.rpartition(".")[2], attributes)
        for name, child in module.named_children():
            yield from _modules(f"{path}.{name}" if path else name, child)
    else:
        yield _module(path, known, list(module.state_dict().values()))


def _module(path: str, name: str, values: list[Any]) -> Row:
    arrays = list(_arrays(values))
    if not arrays:
        return Row(path, name, "", "", 0, True)
    largest = max(arrays, key=_size)
    return Row(path, name, _dtype(largest), _shape(largest), sum(map(_size, arrays)), True)


def _arrays(value: Any) -> Iterator[np.ndarray | QTensor]:
    """The arrays of a value, those of packed weights too."""
    if isinstance(value, (np.ndarray, QTensor)):
        yield value
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from _arrays(inner)
    elif hasattr(value, "unpack"):
        yield from _arrays(value.unpack())
    elif type(value).__module__.startswith("quantnn.ops."):
        yield from _arrays(value.__reduce__()[1])


def _dtype(x: np.ndarray | QTensor) -> str:
    return f"{x.dtype.name} {x.qscheme().name}" if isinstance(x, QTensor) else str(x.dtype)


def _shape(x: np.ndarray | QTensor) -> str:
    return "×".join(map(str, x.shape)) or "()"


def _size(x: np.ndarray | QTensor) -> int:
    return int(x._ints.nbytes if isinstance(x, QTensor) else x.nbytes)


def _bytes(n: int) -> str:
    return f"{n:,} bytes"


def _yes(x: bool) -> str:
    return "yes" if x else "no"


def _table(rows: Sequence[Row], titles: Sequence[str]) -> bool:
    """Print rows in columns; whether all are supported."""
    texts = [titles, *((r.name or "(model)", r.kind, r.dtype, r.shape, f"{r.size:,}", _yes(r.supported)) for r in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        cells = (f"{t:>{w}}" if i == 4 else f"{t:{w}}" for i, (t, w) in enumerate(zip(text, widths, strict=True)))
        print("  ".join(cells).rstrip())
    print(f"\n{len(rows)} entries, {_bytes(sum(r.size or 0 for r in rows))} of numbers")
    return all(r.supported for r in rows)


def convert(source: str, target: str) -> None:
    """Write what a file holds as a file of quantnn's."""
    value = load(source).value
    with Progress(f"writing {target}") as progress:
        own.write(value, target, progress)


def run(path: str, inputs: Iterable[str], output: str) -> None:
    """Call a model with arrays from files and write the result."""
    if os.path.splitext(output)[1] not in (".npy", ".npz"):
        raise ValueError(f"--output must end with .npy or .npz; got {output}")
    model, classes = load(path)
    if isinstance(model, dict):
        of = f" of {', '.join(classes)}" if classes else ""
        raise ValueError(
            f"{path}: it holds a state dict{of}, without code to run. Load it in a program that has the code"
        )
    results = dict(_results("output", model(*map(_input, inputs))))
    if output.endswith(".npz"):
        np.savez(output, **{key: value for name, x in results.items() for key, value in _parts(name, x)})
        return
    if len(results) != 1:
        raise ValueError(f"--output must end with .npz for {len(results)} results; got {output}")
    (result,) = results.values()
    np.save(output, result.dequantize() if isinstance(result, QTensor) else np.asarray(result))


_DTYPES = {"uint8": _tensor.quint8, "int8": _tensor.qint8, "int32": _tensor.qint32}


def _input(path: str) -> Any:
    """An array of a .npy file, float64 as float32; of a .npz file with int_repr, scale and zero_point a QTensor."""
    try:
        found = np.load(path, mmap_mode=None, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found.astype(np.float32) if found.dtype == np.float64 else found
        with found:
            names = ("int_repr", "scale", "zero_point")
            if not set(names) <= set(found.files):
                raise ValueError(f"it must have int_repr, scale and zero_point; got {', '.join(found.files)}")
            ints, scale, zero_point = (found[name] for name in names)
        if str(ints.dtype) not in _DTYPES:
            raise ValueError(f"int_repr must be uint8, int8 or int32; got {ints.dtype}")
        return _tensor.make_per_tensor_quantized_tensor(ints, scale, zero_point)
    except (ValueError, TypeError, EOFError) as e:
        raise FileError(f"{path}: {' '.join(str(e).split())}") from e


def _results(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (tuple, list)):
        for i, inner in enumerate(value):
            yield from _results(f"{name}.{i}", inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _results(f"{name}.{key}", inner)
    elif value is not None:
        yield name, value


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, QTensor):
        yield name, np.asarray(value)
        return
    yield f"{name}.int_repr", value.int_repr()
    yield f"{name}.scale", np.asarray(value._scale)
    yield f"{name}.zero_point", np.asarray(value._zero_point)
