"""Archive: torch's container, a zip file whose records are mostly stored as they are.

The file is mapped into memory; a stored record is a view of the map. Nothing is trusted: every offset and size is
checked against the file before it is used.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from typing import Any

from ._budget import Budget
from ._errors import FileError

_END, _END64, _END64_LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_CENTRAL, _LOCAL = b"PK\1\2", b"PK\3\4"
_CENTRAL_SIZE, _LOCAL_SIZE = 46, 30
_MOST_RECORDS = 1 << 16
_LONGEST_NAME = 1000
_RECORD = 256  # bytes of memory for each
_CHECKED = 1 << 20  # larger records are used without reading them through for their checksum
_STORED, _DEFLATED = 0, 8


class MappedFile:
    """A file mapped into memory, for reading.

    Parameters
    ----------
    path : str or path-like

    Attributes
    ----------
    path : str
    data : memoryview
        All bytes of the file, read-only. Arrays over it keep the map alive; the file must not be shortened meanwhile.
    budget : Budget
        For what is built from it.

    Raises
    ------
    FileError
        If the file is empty.
    OSError
        If it can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path = os.fsdecode(path)
        except TypeError as e:
            raise TypeError(f"path must be a string or a path; got a {type(path).__name__}") from e
        with open(self.path, "rb") as file:
            try:
                self._map: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as e:
                raise FileError(f"{self.path}: the file is empty") from e
        self.data = memoryview(self._map)
        self.budget = Budget(len(self.data))

    @classmethod
    def of(cls, data: bytes, name: str) -> MappedFile:
        """The same of bytes in memory, which messages call `name`."""
        file = object.__new__(cls)
        file.path, file._map, file.data, file.budget = name, data, memoryview(data), Budget(len(data))
        return file

    def find_end(self, mark: bytes, within: int) -> int:
        """Where `mark` stands last within the last bytes of the file; -1 if nowhere."""
        return self._map.rfind(mark, max(0, len(self._map) - within))


class Archive:
    """The records of a zip file that torch wrote.

    ``Archive(path)`` opens it. ``archive.names`` are the records' names without the leading folder, such as
    ``data.pkl``, ``data/0`` and ``code/__torch__.py``. ``archive.read(name)`` gives a record's bytes.

    Parameters
    ----------
    path : str, path-like or MappedFile

    Attributes
    ----------
    path : str
        For messages.
    budget : Budget
        The file's, for all that is built from it: pass it to `_pickle.load`.
    names : frozenset of str
    byteorder : str
        ``"<"`` or ``">"``: of the tensors' records.

    Raises
    ------
    FileError
        If the file is no zip file, damaged, or has names that lead out of a folder.
    OSError
        If the file can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str] | MappedFile) -> None:
        file = path if isinstance(path, MappedFile) else MappedFile(path)
        self.path, self.budget = file.path, file.budget
        self._data, self._size = file.data, len(file.data)
        self._read: dict[str, memoryview] = {}
        self._unread = self._size
        self._stem, self._at = self._directory(file)
        self.names = frozenset(self._at)
        self.byteorder = self._byteorder()

    def _error(self, what: str) -> FileError:
        return FileError(f"{self.path}: {what}")

    def _charge(self, amount: int, what: str) -> None:
        try:
            self.budget.charge(amount, what)
        except FileError as e:
            raise self._error(f"{e}") from None

    def _fields(self, form: str, at: int, what: str) -> tuple[Any, ...]:
        size = struct.calcsize(form)
        if not 0 <= at <= self._size - size:
            raise self._error(f"{what} lies outside the file, which has {self._size} bytes: it is cut off or damaged")
        return struct.unpack_from(form, self._data, at)

    def _directory(self, file: MappedFile) -> tuple[str, dict[str, int]]:
        """The folder that all names start with, and where each name stands in the zip file's directory."""
        end = file.find_end(_END, (1 << 16) + 22)
        if end < 0:
            raise self._error("it is no zip file, or its end is cut off")
        count, size, start = self._fields("<10xHII2x", end, "the end of the zip file")
        if file.data[max(end - 20, 0) : end][:4] == _END64_LOCATOR:
            (at,) = self._fields("<8xQ4x", end - 20, "the directory")
            mark, count, size, start = self._fields("<4s28xQQQ", at, "the directory")
            if mark != _END64:
                raise self._error("the zip file's directory is damaged")
        if start + size > end:
            raise self._error(f"the directory lies outside the file, which has {self._size} bytes: it is damaged")
        if count > _MOST_RECORDS:
            raise self._error(f"it must have at most {_MOST_RECORDS} records; got {count}")
        self._charge(_RECORD * count, "the directory")
        names: dict[str, int] = {}
        at, stem = start, ""
        for i in range(count):
            mark, length, extra, comment = self._fields("<4s24xHHH12x", at, f"record {i} of the directory")
            if mark != _CENTRAL or at + _CENTRAL_SIZE + length > end:
                raise self._error(f"record {i} of the zip file's directory is damaged")
            name = self._name(i, bytes(self._data[at + _CENTRAL_SIZE : at + _CENTRAL_SIZE + length]))
            if i == 0:
                stem = name[: name.find("/") + 1]
            if name.startswith(stem):  # all others were added by somebody else
                name = name[len(stem) :]
                if name in names:
                    raise self._error(f"the record {name} is there twice")
                names[name] = at
            at += _CENTRAL_SIZE + length + extra + comment
        return stem, names

    def _name(self, i: int, raw: bytes) -> str:
        try:
            name = raw.decode()
        except UnicodeDecodeError as e:
            raise self._error(f"record {i} has a name that is not UTF-8: the file is damaged") from e
        inside = not name.startswith("/") and {"..", "."}.isdisjoint(name.split("/")) and "\\" not in name
        if not inside or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise self._error(f"record {i} must have a name inside the archive; got {name[:80]!r}")
        return name

    def _byteorder(self) -> str:
        if "byteorder" not in self.names:
            return "<"
        order = bytes(self.read("byteorder"))
        if order not in (b"little", b"big"):
            raise self._error(f"byteorder must be little or big; got {order[:20]!r}")
        return "<" if order == b"little" else ">"

    def read(self, name: str) -> memoryview:
        """The bytes of a record.

        Parameters
        ----------
        name : str
            One of `names`.

        Returns
        -------
        memoryview
            Read-only. Of a stored record a view of the mapped file, without a copy.

        Raises
        ------
        FileError
            If there is no such record, it does not lie within the file, is compressed with anything but deflate,
            inflates to more than its declared size or to much more than the file, overlaps others, or its checksum is
            wrong. The checksum of records of more than 1 MiB is not looked at, as that would read them.
        """
        if name in self._read:
            return self._read[name]
        if name not in self._at:
            raise self._error(f"it has no record {name}: it is no file of torch's, or damaged")
        at = self._at[name]
        flags, method, crc, packed, size, length, extra, local = self._fields(
            "<8xHH4xIIIHH10xI", at, f"the directory's entry of {name}"
        )
        full = self._data[at + _CENTRAL_SIZE : at + _CENTRAL_SIZE + length]
        more = self._data[at + _CENTRAL_SIZE + length : at + _CENTRAL_SIZE + length + extra]
        size, packed, local = self._zip64(name, bytes(more), size, packed, local)
        mark, length, extra = self._fields("<4s22xHH", local, f"the record {name}")
        start = local + _LOCAL_SIZE + length + extra
        if mark != _LOCAL or self._data[local + _LOCAL_SIZE : local + _LOCAL_SIZE + length] != full:
            raise self._error(f"the header of the record {name} is damaged")
        if start + packed > self._size:
            raise self._error(
                f"the record {name} must lie within the file of {self._size} bytes; "
                f"got {packed} bytes from {start}: it is cut off or damaged"
            )
        self._unread -= packed
        if self._unread < 0:
            raise self._error(f"the record {name} and others must not overlap: the file is damaged")
        if flags & 1:
            raise self._error(f"the record {name} is encrypted: store the file without a password")
        data = self._data[start : start + packed]
        if method == _DEFLATED:
            data = self._inflate(name, data, size)
        elif method != _STORED:
            raise self._error(f"the record {name} must be stored or deflated; got compression method {method}")
        elif packed != size:
            raise self._error(f"the record {name} must have one size; got {packed} and {size} bytes: it is damaged")
        # torch leaves the checksum 0 where it is told not to compute it
        if crc and size <= _CHECKED and zlib.crc32(data) != crc:
            raise self._error(f"the checksum of the record {name} is wrong: the file is damaged")
        self._read[name] = data
        return data

    def _zip64(self, name: str, extra: bytes, *fields: int) -> list[int]:
        """The sizes and the offset of a record; those that don't fit 32 bits stand in an extra field."""
        found = list(fields)
        large = [i for i, field in enumerate(fields) if field == 0xFFFFFFFF]
        at = 0
        while large and at + 4 <= len(extra):
            tag, length = struct.unpack_from("<HH", extra, at)
            if tag == 1 and length >= 8 * len(large) and at + 4 + 8 * len(large) <= len(extra):
                for i, value in zip(large, struct.unpack_from(f"<{len(large)}Q", extra, at + 4), strict=True):
                    found[i] = value
                return found
            at += 4 + length
        if large:
            raise self._error(f"the sizes of the record {name} are missing: the file is damaged")
        return found

    def _inflate(self, name: str, data: memoryview, size: int) -> memoryview:
        self._charge(size, f"the record {name}, inflated,")
        inflater = zlib.decompressobj(-15)
        try:
            found = inflater.decompress(data, size + 1)
        except zlib.error as e:
            raise self._error(f"the record {name} is damaged: {e}") from e
        if len(found) != size or not inflater.eof:
            raise self._error(f"the record {name} must inflate to the {size} bytes that it claims")
        return memoryview(found)
