"""A small machine that reads pickles as data.

It builds numbers, strings, tuples, lists and dicts. Everything else that a pickle names is looked up with a function
of the caller, which gives constants and `Constructor`s or refuses the name; only those constructors are ever called.
Nothing is imported, and no attribute of anything is looked up or set by a name from the file.

Work and memory are bounded: by the number of operations, and by a budget of bytes that everything built is charged to.
"""

from __future__ import annotations

import struct
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from ._budget import Budget
from ._errors import FileError

_MOST_OPERATIONS = 1 << 19
_DEEPEST = 64
_NODE = 128
_LONGEST_NAME = 1000
_LARGEST_KEY = 1 << 16  # integers as keys: few enough that no choice of them makes a dict slow


class Constructor:
    """What a pickle may call: ``Constructor(function)``, given out by the `constructors` of `load`.

    The function gets the pickle's positional arguments, unchecked, and may raise TypeError, ValueError,
    OverflowError, IndexError, KeyError or MemoryError, which `load` tells as a FileError.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


class Object:
    """An object of a class that is only known by its name: what a `Constructor` may return to be filled by BUILD.

    Attributes
    ----------
    class_name : str
    state : Any
        What the pickle gives as its state: of TorchScript's objects mostly a dict of attributes. None before.
    """

    __slots__ = ("class_name", "state")

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.state: Any = None


def load(
    data: memoryview,
    constructors: Callable[[str, str], Any],
    persistent: Callable[[Any], Any],
    name: str,
    budget: Budget | None = None,
) -> Any:
    """Read a pickle.

    Parameters
    ----------
    data : memoryview
        The bytes, from the pickle's first. What follows its end is ignored.
    constructors : callable
        ``constructors(module, name)`` gives what a global stands for: a `Constructor`, which the pickle may call, or
        a constant. It raises FileError, with a text that says what is wrong but not where, for all others.
    persistent : callable
        ``persistent(id)`` gives what a persistent id stands for. It may raise as constructors do.
    name : str
        What all messages start with: the file, or the file and the record.
    budget : Budget, optional
        The file's, ``archive.budget``; by default one for a file of the pickle's size.

    Returns
    -------
    Any
        Numbers, strings, bytes, tuples, lists, dicts, OrderedDicts (with ``_metadata`` if they had it), `Object`s, and
        what `constructors` and `persistent` gave. Seen as a tree of containers and Objects, it is at most 64 deep and
        has no more nodes than the pickle has operations: what contains itself is refused, so recursion over it is safe.

    Raises
    ------
    FileError
        For everything that is wrong with it.
    """
    return load_first(data, constructors, persistent, name, budget)[0]


def load_first(
    data: memoryview,
    constructors: Callable[[str, str], Any],
    persistent: Callable[[Any], Any],
    name: str,
    budget: Budget | None = None,
) -> tuple[Any, int]:
    """Read the first of several pickles, as `load` does; also give the position behind it."""
    machine = _Machine(data, constructors, persistent, budget or Budget(len(data)))
    try:
        value = machine.run()
        _check_tree(value, machine)
    except (TypeError, ValueError, LookupError, ArithmeticError, MemoryError) as e:  # FileError is a ValueError
        raise FileError(_located(e, name)) from None
    return value, machine.at


def _located(e: Exception, name: str) -> str:
    if not isinstance(e, FileError):
        return f"{name}: it can't be read: {type(e).__name__}: {e}"[:500]
    file = name.partition(": ")[0]
    return f"{e}" if f"{e}".startswith(f"{file}: ") else f"{name}: {e}"  # the archive has named the file already


def children(value: Any) -> Iterator[Any]:
    """What a value of a pickle contains: the elements, values and `_metadata` of containers, the state of an Object."""
    kind = type(value)
    if kind is tuple or kind is list:
        yield from value
    elif kind is dict or kind is OrderedDict:
        yield from value.values()
        if "_metadata" in getattr(value, "__dict__", ()):
            yield value._metadata
    elif isinstance(value, Object):
        yield value.state


def _check_tree(value: Any, machine: _Machine) -> None:
    """Refuse what contains itself, is too deep, or repeats its parts too often."""
    left, levels = machine.operations, [iter((value,))]
    while levels:
        found = next(levels[-1], levels)
        if found is levels:  # this level is done
            levels.pop()
            continue
        left -= 1
        machine.charge(_NODE)  # whoever rebuilds the tree takes so much memory
        if left < 0:
            raise FileError("its values contain themselves, or one another, too often")
        if len(levels) > _DEEPEST:
            raise FileError(f"its values must be nested at most {_DEEPEST} deep: they contain themselves, perhaps")
        levels.append(children(found))


_MARK = object()


class _Machine:
    def __init__(
        self,
        data: memoryview,
        constructors: Callable[[str, str], Any],
        persistent: Callable[[Any], Any],
        budget: Budget,
    ) -> None:
        self.data = data
        self.at = 0
        self.operations = 0
        self.constructors = constructors
        self.persistent = persistent
        self.budget = budget
        self.stack: list[Any] = []
        self.memo: list[Any] = []

    def run(self) -> Any:
        operations = _OPERATIONS
        for self.operations in range(1, _MOST_OPERATIONS + 1):
            code = self.data[self.at] if self.at < len(self.data) else -1
            self.at += 1
            if code == _STOP:
                value = self.pop()
                if self.stack:
                    raise FileError("the pickle is damaged: it leaves values behind")
                return value
            operation = operations.get(code)
            if operation is None:
                where = f"at byte {self.at - 1}"
                what = f"unknown operation {code:#04x} {where}" if code >= 0 else f"no end {where}: it is cut off"
                raise FileError(f"the pickle has {what}")
            operation(self)
        raise FileError(f"the pickle must have at most {_MOST_OPERATIONS} operations")

    # Bytes

    def take(self, size: int) -> memoryview:
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise FileError(f"the pickle is cut off: {size} bytes at {start} are claimed, {len(self.data)} are there")
        return self.data[start : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        piece = bytes(self.data[self.at : self.at + _LONGEST_NAME])
        end = piece.find(b"\n")
        if end < 0:
            raise FileError(f"the pickle has a name without an end at byte {self.at}")
        self.at += end + 1
        return piece[:end].decode()

    # The stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_new(self, value: Any) -> None:
        """Push what takes memory."""
        self.charge(sys.getsizeof(value) + 16)
        self.stack.append(value)

    def charge(self, size: int) -> None:
        self.budget.charge(size, "the pickle's values")

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise FileError(f"the pickle is damaged: a value is missing at byte {self.at - 1}")
        return self.stack.pop()

    def pop_of(self, kind: type) -> Any:
        value = self.pop()
        if type(value) is not kind:
            got = type(value).__name__
            raise FileError(f"the pickle must have a {kind.__name__} before byte {self.at - 1}; got a {got}")
        return value

    def pop_to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while at >= 0 and self.stack[at] is not _MARK:
            at -= 1
        if at < 0:
            raise FileError(f"the pickle is damaged: a mark is missing at byte {self.at - 1}")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    # Operations

    def mark(self) -> None:
        self.push(_MARK)

    def ignore_version(self) -> None:
        self.take(1)

    def ignore_frame(self) -> None:
        self.take(8)

    def integer(self, form: str) -> None:
        self.push_new(self.number(form))

    def byte(self) -> None:
        self.push(self.number("<B"))  # Python has these integers already

    def long(self) -> None:
        size = self.number("<B")
        if size > 8:
            raise FileError(f"the pickle must have integers of at most 8 bytes; got one of {size}")
        self.push_new(int.from_bytes(self.take(size), "little", signed=True))

    def text(self, form: str) -> None:
        size = self.number(form)
        data = self.take(size)
        self.charge(size)  # before it is made; up to four times as much is charged then
        self.push_new(str(data, "utf-8", "surrogatepass"))

    def binary(self, form: str) -> None:
        size = self.number(form)
        data = self.take(size)
        self.charge(size)
        self.push_new(bytes(data))

    def tuple_of(self, count: int) -> None:
        found = [self.pop() for _ in range(count)]
        self.push_new(tuple(reversed(found)))

    def tuple_to_mark(self) -> None:
        self.push_new(tuple(self.pop_to_mark()))

    def append(self) -> None:
        self.extend([self.pop()])

    def appends(self) -> None:
        self.extend(self.pop_to_mark())

    def extend(self, values: list[Any]) -> None:
        target = self.pop_of(list)
        self.charge(16 * len(values))
        target.extend(values)
        self.push(target)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.update([key, value])

    def set_items(self) -> None:
        self.update(self.pop_to_mark())

    def update(self, items: list[Any]) -> None:
        target = self.pop()
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise FileError(f"the pickle sets items of a {type(target).__name__} at byte {self.at - 1}")
        self.charge(64 * len(items))
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str and not (type(key) is int and 0 <= key < _LARGEST_KEY):
                raise FileError(f"the pickle's dicts must have strings or small integers as keys; got {_kind(key)}")
            target[key] = value
        self.push(target)

    def put(self, index: int) -> None:
        if not self.stack or self.stack[-1] is _MARK:
            raise FileError(f"the pickle is damaged: a value is missing at byte {self.at - 1}")
        gap = index + 1 - len(self.memo)
        if gap > 0:
            self.charge(16 * gap)
            self.memo.extend([_MARK] * gap)
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index >= len(self.memo) or self.memo[index] is _MARK:
            raise FileError(f"the pickle is damaged: it asks for value {index}, which it has not kept")
        self.push(self.memo[index])

    def global_of(self, module: str, name: str) -> None:
        self.push(self.constructors(module, name))

    def global_on_stack(self) -> None:
        name, module = self.pop_of(str), self.pop_of(str)
        if max(len(name), len(module)) > _LONGEST_NAME:
            raise FileError("the pickle has a name that is too long")
        self.global_of(module, name)

    def call(self) -> None:
        """REDUCE and NEWOBJ, which are the same here."""
        arguments = self.pop_of(tuple)
        constructor = self.pop_of(Constructor)
        self.push_new(constructor.function(*arguments))

    def build(self) -> None:
        state, target = self.pop(), self.pop()
        if isinstance(target, Object) and target.state is None:
            target.state = state
        elif type(target) is OrderedDict and type(state) is dict:
            if "_metadata" in state:  # as torch's state dicts have it; all else is left out
                target._metadata = state["_metadata"]  # type: ignore[attr-defined]
        else:
            raise FileError(f"the pickle sets the state of a {type(target).__name__} at byte {self.at - 1}")
        self.push(target)

    def persistent_id(self) -> None:
        self.push(self.persistent(self.pop()))


def _kind(x: Any) -> str:
    return f"{type(x).__name__} {x!r}"[:60] if isinstance(x, (int, float, str)) else f"a {type(x).__name__}"


_STOP = ord(".")
_OPERATIONS: dict[int, Callable[[_Machine], Any]] = {
    ord(code): operation
    for code, operation in {
        "\x80": _Machine.ignore_version,  # PROTO
        "\x95": _Machine.ignore_frame,  # FRAME
        "(": _Machine.mark,
        "0": _Machine.pop,
        "1": _Machine.pop_to_mark,
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "J": lambda m: m.integer("<i"),  # BININT
        "K": _Machine.byte,  # BININT1
        "M": lambda m: m.integer("<H"),  # BININT2
        "\x8a": _Machine.long,  # LONG1
        "G": lambda m: m.integer(">d"),  # BINFLOAT
        "X": lambda m: m.text("<I"),  # BINUNICODE
        "\x8c": lambda m: m.text("<B"),  # SHORT_BINUNICODE
        "\x8d": lambda m: m.text("<Q"),  # BINUNICODE8
        "B": lambda m: m.binary("<I"),  # BINBYTES
        "C": lambda m: m.binary("<B"),  # SHORT_BINBYTES
        ")": lambda m: m.push(()),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "t": _Machine.tuple_to_mark,
        "]": lambda m: m.push_new([]),
        "a": _Machine.append,
        "e": _Machine.appends,
        "}": lambda m: m.push_new({}),
        "s": _Machine.set_item,
        "u": _Machine.set_items,
        "q": lambda m: m.put(m.number("<B")),  # BINPUT
        "r": lambda m: m.put(m.number("<I")),  # LONG_BINPUT
        "\x94": lambda m: m.put(len(m.memo)),  # MEMOIZE
        "h": lambda m: m.get(m.number("<B")),  # BINGET
        "j": lambda m: m.get(m.number("<I")),  # LONG_BINGET
        "c": lambda m: m.global_of(m.line(), m.line()),  # GLOBAL
        "\x93": _Machine.global_on_stack,
        "R": _Machine.call,  # REDUCE
        "\x81": _Machine.call,  # NEWOBJ
        "b": _Machine.build,
        "Q": _Machine.persistent_id,  # BINPERSID
    }.items()
}
