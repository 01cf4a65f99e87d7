"""load_state_dict: what torch.save wrote, without torch."""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from typing import Any

from ._archive import Archive, MappedFile
from ._budget import Budget
from ._errors import FileError
from ._pickle import Constructor, Object, load, load_first
from ._torch import Storages, StorageType, storage_id, torch_constructors

_ZIP = b"PK\3\4"
_MAGIC_NUMBER = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # what files of the format before torch 1.6 start with, pickled
_LEGACY_VERSION = 1001
# Script objects that are their state, for quantnn's own state dicts have that, too.
_PLAIN = {
    "__torch__.torch.classes.quantized.LinearPackedParamsBase",
    "__torch__.torch.classes.rnn.CellParamsBase",
}


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what ``torch.save(model.state_dict(), path)`` wrote, without torch.

    Nothing in the file is executed. Large tensors are not copied: they are views of the file, which is mapped into
    memory and must stay as it is while they are used.

    Parameters
    ----------
    path : str or path-like
        A file of torch 1.5 or later, in its zip format or the one before (``_use_new_zipfile_serialization=False``).

    Returns
    -------
    dict
        The OrderedDict that was saved, with torch's keys and the attribute ``_metadata``: the versions of the modules.
        Or another dict, say a checkpoint with an epoch and several state dicts. In it, quantized tensors are
        `QTensor`s, others arrays, both read-only; parameters are their tensors. bfloat16 tensors become float32.
        Quantized dtypes are `DType`s, others NumPy's. The packed parameters of recurrent layers are tuples, as in
        quantnn's own state dicts: ``(weight, bias)``, and
        ``("quantized_dynamic", biases, [], [reduce_range], packed weights)``.

    Raises
    ------
    FileError
        The file is damaged, is no file of torch's, holds something else than a dict, or names anything that is no part
        of a state dict, such as a whole pickled module. Also where a tensor does not lie within its storage, or takes
        much more memory than the file. A FileError is a ValueError.
    OSError
        The file can't be opened.

    Notes
    -----
    torch's ``torch.load``. Big-endian files, compressed ones and shared storages are read as well.

    Examples
    --------
    >>> import quantnn
    >>> state = quantnn.load_state_dict("model.pth")  # doctest: +SKIP
    >>> model.load_state_dict(state)  # doctest: +SKIP
    <All keys matched successfully>
    """
    file = MappedFile(path)
    if bytes(file.data[:4]) == _ZIP:
        value = _load_zip(file)
    elif _MAGIC_NUMBER in bytes(file.data[:32]):
        value = _load_legacy(file)
    elif bytes(file.data[257:262]) == b"ustar":
        raise FileError(f"{file.path}: it is a tar file, as torch before 0.1.10 wrote them. {_SAVE_AGAIN}")
    else:
        raise FileError(f"{file.path}: it must be a file that torch.save wrote; it starts with {_start(file)}")
    value = _plain(value, file.path)
    if not isinstance(value, dict):
        raise FileError(f"{file.path}: it must hold a state dict; got a {type(value).__name__}. {_SAVE_AGAIN}")
    return value


_SAVE_AGAIN = "In a process that has torch: torch.save(model.state_dict(), path)"


def _start(file: MappedFile) -> str:
    start = bytes(file.data[:8])
    return f"{start!r}, the start of a pickle of Python's own" if start[:1] == b"\x80" else f"{start!r}"


def _plain(value: Any, path: str) -> Any:
    """A value of a state dict without script objects."""
    if isinstance(value, Object):
        state = value.state
        if type(state) is not tuple or len(state) != 2 or type(state[1]) is not str:
            raise FileError(f"{path}: a script object must have a state and the name of its class")
        return _plain(state[0] if state[1] in _PLAIN else state, path)
    if type(value) is tuple or type(value) is list:
        return type(value)(_plain(v, path) for v in value)
    if type(value) is dict:
        return {k: _plain(v, path) for k, v in value.items()}
    if type(value) is OrderedDict:
        found: OrderedDict[Any, Any] = OrderedDict((k, _plain(v, path)) for k, v in value.items())
        if hasattr(value, "_metadata"):
            found._metadata = _plain(value._metadata, path)  # type: ignore[attr-defined]
        return found
    if isinstance(value, (Constructor, StorageType)):
        raise FileError(f"{path}: a state dict must not hold functions or classes")
    return value


def _load_zip(file: MappedFile) -> Any:
    archive = Archive(file)
    if "constants.pkl" in archive.names:
        raise FileError(f"{file.path}: it is a whole TorchScript program. Open it with quantnn.jit.load(path)")
    data = archive.read("data.pkl")
    return load(data, torch_constructors, Storages.of(archive).persistent, f"{file.path}: data.pkl", file.budget)


def _load_legacy(file: MappedFile) -> Any:
    """Read the format before torch 1.6: pickles one after the other, then the storages."""
    data = file.data
    at = bytes(data[:32]).find(_MAGIC_NUMBER) + len(_MAGIC_NUMBER)
    claimed: dict[str, tuple[StorageType, int]] = {}

    def note(id: Any) -> None:
        kind, key, numel = storage_id(id)
        if claimed.setdefault(key, (kind, numel)) != (kind, numel):
            raise FileError(f"the storage {key[:40]!r} must have one type and size")

    def next_pickle(what: str) -> Any:
        nonlocal at
        value, size = load_first(data[at:], _nothing, note, f"{file.path}: {what}", Budget(len(data)))
        at += size
        return value

    if next_pickle("the version") != _LEGACY_VERSION:
        raise FileError(f"{file.path}: the version of its format must be {_LEGACY_VERSION}")
    next_pickle("the system information")
    start = at
    next_pickle("the pickle")  # where the storages lie stands behind it: so it is read twice
    keys = next_pickle("the list of storages")
    if type(keys) is not list or any(type(key) is not str for key in keys) or set(keys) != claimed.keys():
        raise FileError(f"{file.path}: the list of storages must name those that its tensors have")
    records: dict[str, memoryview] = {}
    for key in keys:
        kind, numel = claimed[key]
        size = numel * kind.itemsize
        if at + 8 + size > len(data) or struct.unpack_from("<q", data, at)[0] != numel:
            raise FileError(
                f"{file.path}: the storage {key[:40]!r} must have the {numel} elements that are claimed: "
                "the file is cut off or damaged"
            )
        records[key] = data[at + 8 : at + 8 + size]
        at += 8 + size
    storages = Storages(records.__getitem__, "<", file.budget)
    return load(data[start:], torch_constructors, storages.persistent, f"{file.path}: the pickle", file.budget)


def _nothing(module: str, name: str) -> Any:
    """What globals stand for while a pickle is only read through."""
    found = torch_constructors(module, name)
    if isinstance(found, Constructor) and name != "OrderedDict":
        return Constructor(lambda *_: Object(name))
    return found
