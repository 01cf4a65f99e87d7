"""Program: source text and a tree of objects, which together are a model.

The text
--------
Functions and classes in the subset of Python that TorchScript writes into its archives. `sources` maps the name of a
module (``__torch__``, ``__torch__.torch.nn.functional``) to its text. A module holds

- functions: ``def pad(input: Tensor, pad: List[int], mode: str="constant") -> Tensor:``;
- classes of modules, ``class Net(Module):``, with ``__parameters__`` and ``__buffers__`` (lists of names; they say
  which attributes are in the state dict), lines ``name : type`` (ignored, may be missing) and methods, whose first
  argument is the object;
- classes of named tuples, ``class Pair(NamedTuple):``, with one line ``name : type`` for each field.

Types are not checked, and may be left out of arguments.

Statements: ``x = …``, ``a, b, = …``, ``self.x = …``, a call, ``if``/``else``, ``while x:``, ``for i in range(n):``,
``pass``, and one ``return …`` as the last statement of a function.

Expressions: names, numbers, strings, None, True, False, ``-1``, lists, tuples, dicts, ``x[i]``, ``x[1:2]``, ``x.name``,
``getattr(x, "0")`` for names that are no identifiers, ``CONSTANTS.c0``, and calls of

- operators: ``torch.relu(x)`` is ``aten::relu``, ``ops.quantized.conv2d(x, w, 0.1, 3)`` is ``quantized::conv2d``,
  ``ops.prim.RaiseException(…)``; `_operators.TABLE` has those that there are, and their arguments have torch's names;
- ``float``, ``int``, ``bool``, ``str``, ``annotate(type, x)``, ``unchecked_cast(type, x)``, ``uninitialized(type)``,
  ``isinstance(x, type)``, ``print``;
- functions by their full name, ``__torch__.torch.nn.functional.pad(x, [1, 1], )``, and named tuples likewise;
- methods, ``(self.conv1).forward(x, )``.

There are no ``+``, ``==``, ``and``: ``torch.add(a, b)``, ``torch.eq(a, b)``, ``torch.__and__(a, b)``. dtypes are
torch's numbers (float32 6, quint8 13; `_operators.DTYPES`), memory formats too (channels_last 2).

The objects
-----------
A `ScriptModule` has a class of the text and attributes: arrays, QTensors, numbers, strings, None, lists, tuples, dicts,
packed weights (what `quantnn.ops.linear_prepack` and the like return) and modules. A module below it is a ScriptModule
or any other quantnn module, such as `quantnn.Conv2d`: a leaf, of which the text can call ``forward`` alone, which is
calling the module, and read attributes. Leaves need no class in the text.

Building one::

    root = ScriptModule("__torch__.Net", {"conv": quantnn.Conv2d(1, 4, 3), "training": False})
    program = Program.from_parts({"__torch__": text}, root, constants=())
    program(x)  # runs Net.forward

The program is the outermost module, and takes over what `root` had. And back: ``program.sources``,
``program.constants``, and for each module that is a ScriptModule, the program too, ``module.class_name`` and
``module.attributes()``.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..io._archive import Archive, MappedFile
from ..io._budget import Budget
from ..io._errors import FileError
from ..io._nesting import check_nesting
from ..io._pickle import Constructor, Object
from ..io._pickle import load as load_pickle
from ..io._torch import Storages, torch_constructors
from ..modules.module import Module
from ..tensor import QTensor
from . import _packed
from ._code import Code, Place, parse, refuse
from ._interpreter import Function, Linker, Use

_MOST_CALLS = 64  # of functions, for each object whose state a class sets itself
_MOST_WORK = 1 << 22  # pieces of the text that are run for that, for all objects
_PACKING = 256  # pieces that take as long as packing a small weight
_SHOWN = 40  # places of operators that an error lists
_LONGEST, _LETTERS = 60, 1300  # letters of a name in messages, and of all names


class ScriptModule(Module):
    """A module whose code is text.

    Its attributes are those of the text; methods that the text defines are called like Python's.

    Parameters
    ----------
    class_name : str
        The full name of its class in the text, such as ``__torch__.Net``.
    attributes : dict
        Arrays, QTensors, numbers, strings, None, lists, tuples, dicts, packed weights and modules.
    """

    class_name: str
    _values: dict[str, Any]  # attributes that are neither modules nor in the state dict
    _methods: dict[str, Function]

    def __init__(self, class_name: str, attributes: Mapping[str, Any]) -> None:
        super().__init__()
        d = self.__dict__
        d["class_name"] = class_name
        d["_values"] = {}
        d["_methods"] = {}
        for name, value in attributes.items():
            if not name or "." in name or name.startswith("__"):
                raise FileError(f"{class_name}: an attribute must have a name without dots; got {name!r:.80}")
            self.put(name, value)

    def put(self, name: str, value: Any) -> None:
        """Set an attribute of the text."""
        d = self.__dict__
        if isinstance(value, Module):
            d["_values"].pop(name, None)
            d["_modules"][name] = value
        elif name in d["_buffers"]:
            d["_buffers"][name] = value
        elif name in d["_parameters"]:
            d["_parameters"][name] = value
        else:
            d["_modules"].pop(name, None)
            d["_values"][name] = value
            if name == "training" and type(value) is bool:
                d["training"] = value

    def attributes(self) -> dict[str, Any]:
        """All attributes, modules among them."""
        return {**self._values, **self._parameters, **self._buffers, **self._modules}

    def __getattr__(self, name: str) -> Any:
        d = self.__dict__
        if name in d.get("_values", ()):
            return d["_values"][name]
        if name in (methods := d.get("_methods", {})):
            function: Function = methods[name]
            return lambda *args, **kwargs: _called(function, self, args, kwargs)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_values", ()):
            self.put(name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the text's ``forward``."""
        function = self._methods.get("forward")
        if function is None:
            raise NotImplementedError(
                f"{self.class_name} has no forward; it has {', '.join(self._methods) or 'no method'}"
            )
        return _called(function, self, args, kwargs)

    @property
    def code(self) -> str:
        """The text of ``forward``, empty if there is none."""
        function = self._methods.get("forward")
        return "" if function is None else function.text()

    def __reduce__(self) -> tuple[Any, ...]:
        return ScriptModule, (self.class_name, self.attributes())

    def _get_name(self) -> str:
        return self.class_name.rpartition(".")[2]

    def _link(self, linker: Linker) -> None:
        """Take the methods of the class, and tell parameters and buffers from other attributes."""
        found = linker.classes.get(self.class_name)
        if found is None or found.fields is not None:
            raise FileError(f"the text has no class {self.class_name}"[:300])
        d = self.__dict__
        d["_methods"] = linker.methods[self.class_name]
        for group, names in (("_parameters", found.parameters), ("_buffers", found.buffers)):
            for name in [n for n in d["_values"] if n in names]:
                value = d["_values"].pop(name)
                if value is not None and not isinstance(value, (np.ndarray, QTensor)):
                    raise FileError(f"{self.class_name}.{name} must be a tensor; got a {type(value).__name__}")
                d[group][name] = value


def _called(function: Function, module: Module, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A call from outside."""
    if kwargs or len(args) + 1 != len(function.names):
        frame = function.bind([module, *args], kwargs)
    else:
        frame = [module, *args]
    try:
        with np.errstate(all="ignore"):
            return function.run(frame)
    except (AttributeError, AssertionError, ArithmeticError, LookupError, RecursionError) as e:
        if isinstance(e, IndexError):
            raise
        notes = " ".join(getattr(e, "__notes__", ()))
        raise ValueError(f"{function.name}: {type(e).__name__}: {e} {notes}".strip()) from e


class Program(ScriptModule):
    """A model made of text: the root of its tree of modules. `quantnn.jit.load` gives one, and `from_parts`.

    Attributes
    ----------
    sources : dict of str to str
        The text of each module.
    constants : tuple
        ``CONSTANTS.c0`` and so on.
    """

    sources: dict[str, str]
    constants: tuple[Any, ...]
    _uses: list[Use]

    @classmethod
    def from_parts(cls, sources: Mapping[str, str], root: ScriptModule, constants: Sequence[Any] = ()) -> Program:
        """Make a program that can be called.

        Parameters
        ----------
        sources : dict of str to str
            The text of each module.
        root : ScriptModule
            The outermost module, whose attributes the program takes over.
        constants : tuple
            ``CONSTANTS.c0`` and so on.

        Returns
        -------
        Program

        Raises
        ------
        FileError
            The text is not in the subset, a module's class is not in the text, or operators are missing. These are all
            named, with their places.
        """
        return cls._of_file(sources, root, constants, None)

    @classmethod
    def _of_file(cls, sources: Any, root: Any, constants: Sequence[Any], budget: Budget | None) -> Program:
        """`from_parts` of parts that a file has; its budget bounds what the text takes."""
        code, program = _parsed(sources, budget), cls._made(sources, root, constants)
        program._compile(code)
        program._check_operators()
        return program

    @classmethod
    def _made(cls, sources: Mapping[str, str], root: Any, constants: Sequence[Any]) -> Program:
        if not isinstance(root, ScriptModule):
            raise FileError(f"the root of a program must be one of its modules; got a {type(root).__name__}")
        program = cls(root.class_name, {})
        for name in ("training", "_parameters", "_buffers", "_modules", "_values"):
            program.__dict__[name] = root.__dict__[name]
        program.__dict__.update(sources=dict(sources), constants=tuple(constants))
        return program

    def __reduce__(self) -> tuple[Any, ...]:
        return Program.from_parts, (self.sources, ScriptModule(self.class_name, self.attributes()), self.constants)

    @property
    def root(self) -> Program:
        """The outermost module, which is the program."""
        return self

    @property
    def operators(self) -> dict[str, int]:
        """How often each operator stands in the text that calls of public methods can reach."""
        return dict(Counter(use.name for use in self._uses))

    def _compile(self, code: Code) -> None:
        linker = Linker(code, self.constants)
        linker.sources = self.sources
        modules = _script_modules(self)
        code.clear()  # the trees of functions take much memory: each is kept until it is compiled
        for module in modules:
            module._link(linker)
        for function in linker.all_functions():
            function.compile()
        self.__dict__["_uses"] = _reached(linker, self, {m.class_name for m in modules})

    def _check_operators(self) -> None:
        missing = [use for use in self._uses if not use.supported]
        if any(use.certain for use in missing):
            rows = [f"{use.name[:_LONGEST]} ({use.place})" for use in missing[:_SHOWN]]
            names = sorted({use.name[:_LONGEST] for use in missing})
            fitting = sum(letters < _LETTERS for letters in accumulate(len(name) + 2 for name in names))
            found = ", ".join(names[:fitting]) + _more(names, fitting)
            places = "\n  ".join(rows) + _more(missing, _SHOWN)
            raise FileError(f"operators that are not supported: {found}\n  {places}")


def _more(names: Sequence[Any], shown: int) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def operators(program: Program) -> list[Use]:
    """The operators in the text that calls of public methods can reach.

    Parameters
    ----------
    program : Program

    Returns
    -------
    list of Use
        ``name``, such as ``aten::relu``; ``place``, with ``file``, ``function`` and ``line``; ``supported``; and
        ``certain``, whether every call of the program comes to it, as far as the text tells.
    """
    return list(program._uses)


def _script_modules(root: ScriptModule) -> list[ScriptModule]:
    """The script modules, each once."""
    check_nesting(root)
    return [module for module in root.modules() if isinstance(module, ScriptModule)]


def _reached(linker: Linker, root: ScriptModule, classes: set[str]) -> list[Use]:
    """The uses of operators that public methods of the root can reach; their `certain` is over all calls."""
    by_name: dict[str, list[Function]] = {}
    for class_name in sorted(classes):
        for name, function in linker.methods[class_name].items():
            by_name.setdefault(f".{name}", []).append(function)
    reached: dict[str, tuple[Function, bool]] = {}
    done: set[tuple[str, bool]] = set()
    waiting = [(function, True) for name, function in root._methods.items() if not name.startswith("_")]
    while waiting:
        function, certain = waiting.pop()
        if function.name in reached and (reached[function.name][1] or not certain):
            continue
        reached[function.name] = function, certain
        for called, always in function.called.items():
            step = called, certain and always
            if step not in done:
                done.add(step)
                found = by_name.get(called, []) if called[0] == "." else [linker.functions[called]]
                waiting.extend((f, step[1]) for f in found)
    return [
        use._replace(certain=use.certain and certain)
        for name, (function, certain) in sorted(reached.items())
        for use in function.uses
    ]


# Files


def load_archive(source: str | os.PathLike[str] | bytes, name: str = "the program") -> Program:
    """The program in a file that torch.jit.save wrote, or in its bytes, which messages call `name`."""
    program = survey(source, name)
    try:
        program._check_operators()
    except FileError as e:
        raise FileError(f"{_path(source, name)}: {e}") from None
    return program


def survey(source: str | os.PathLike[str] | bytes, name: str = "the program") -> Program:
    """`load_archive` of a program that may have operators that are not supported."""
    try:
        archive = Archive(MappedFile.of(source, name) if isinstance(source, bytes) else source)
        return _read(archive)
    except FileError as e:
        path = _path(source, name)
        raise FileError(f"{e}" if f"{e}".startswith(f"{path}:") else f"{path}: {e}") from None


def _path(source: str | os.PathLike[str] | bytes, name: str) -> str:
    return name if isinstance(source, bytes) else os.fsdecode(source)


def _parsed(sources: Any, budget: Budget | None) -> Code:
    if not isinstance(sources, Mapping) or not all(type(k) is type(v) is str for k, v in sources.items()):
        raise FileError("the text of a program must be a dict of names and strings")
    return parse(sources, budget)


def _read(archive: Archive) -> Program:
    if "constants.pkl" not in archive.names or "data.pkl" not in archive.names:
        raise FileError(
            "it is no TorchScript file (it has no constants.pkl). Open a state dict with quantnn.load_state_dict"
        )
    sources = {}
    for name in sorted(archive.names):
        if name.startswith("code/") and name.endswith(".py"):
            data = archive.read(name)
            try:
                text = str(data, "utf-8")
            except UnicodeDecodeError:
                raise FileError(f"{name} is not UTF-8 text") from None
            archive.budget.charge(sys.getsizeof(text) + len(data), "the program's text")  # the parser copies it
            sources[name[5:-3].replace("/", ".")] = text
    code = _parsed(sources, archive.budget)
    reader = _Reader(archive, code)
    constants = reader.read("constants.pkl", "constants")
    if type(constants) is not tuple:
        raise FileError(f"constants.pkl must hold a tuple; got a {type(constants).__name__}")
    reader.guard.constants = constants
    program = Program._made(sources, reader.read("data.pkl", "data"), constants)
    del reader  # which has its own functions
    program._compile(code)
    return program


def _is_small(x: Any) -> bool:
    return x is None or type(x) in (bool, int, float) or (type(x) is str and len(x) < 1000)


def _values(values: Any, *_: Any) -> Any:
    """Lists with a type: what ``torch.jit._pickle.build_intlist`` and its like return."""
    if type(values) not in (list, dict):
        raise FileError(f"a typed list must be a list; got a {type(values).__name__}")
    return values


_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")


class _Reader:
    """Makes the objects that the pickles of an archive describe."""

    def __init__(self, archive: Archive, code: Code) -> None:
        self.archive = archive
        self.guard = _Guard(code, archive)
        self._made: dict[int, tuple[Any, Any]] = {}  # by id: what was made of what

    def read(self, name: str, folder: str) -> Any:
        archive = self.archive
        storages = Storages.of(archive, folder)
        found = load_pickle(
            archive.read(name), self._constructors, storages.persistent, f"{archive.path}: {name}", archive.budget
        )
        return self._value(found)

    def _constructors(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return Constructor(lambda *fields: self._object(f"{module}.{name}", fields))
        if module == "torch.jit._pickle" and name in _LISTS:
            return Constructor(_values)
        if (module, name) == ("torch", "device"):
            return Constructor(lambda *device: "cpu")
        return torch_constructors(module, name)

    def _object(self, class_name: str, fields: tuple[Any, ...]) -> Any:
        found = Object(class_name)
        if class_name in self.guard.tuples:
            found.state = fields
        elif fields:
            raise FileError(f"{class_name} must be made without arguments"[:300])
        return found

    def _value(self, x: Any) -> Any:
        """A value of a pickle, with its objects made. The pickle's reader has seen that it is a small tree."""
        if type(x) is tuple:
            return tuple(self._value(v) for v in x)
        if not isinstance(x, (list, dict, Object)):
            if isinstance(x, Constructor):
                raise FileError("a class must not be a value")
            return x
        if id(x) not in self._made:
            self._made[id(x)] = x, self._make(x)
        return self._made[id(x)][1]

    def _make(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self._value(v) for v in x]
        if isinstance(x, dict):
            return {k: self._value(v) for k, v in x.items()}
        name, state = x.class_name, self._value(x.state)
        if name.startswith("__torch__.torch.classes."):
            return self.guard.packed(name, state)
        if name in self.guard.tuples:
            made = self.guard.tuples[name]
            if len(state) != len(made._fields):
                raise FileError(f"{name} must have {len(made._fields)} fields; got {len(state)}"[:300])
            return made(state)
        return self._module(name, state)

    def _module(self, name: str, state: Any) -> ScriptModule:
        setter = self.guard.methods.get(name, {}).get("__setstate__")
        if setter is None:
            if type(state) is not dict:
                raise FileError(f"{name} must have a dict of attributes; got a {type(state).__name__}"[:300])
            return ScriptModule(name, state)
        module = ScriptModule(name, {})
        module.__dict__["_methods"] = self.guard.methods[name]
        self.guard.calls_left = _MOST_CALLS
        try:
            setter.run([module, state])
        except FileError:
            raise
        except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError, MemoryError, AttributeError) as e:
            raise FileError(f"{name}.__setstate__: {type(e).__name__}: {e}"[:400]) from None
        return module


class _Guarded(Function):
    """A function that is run while a file is read: it has no loops, and calls, work and memory are counted."""

    __slots__ = ("_memory", "_work")

    def compile(self) -> None:
        if self._definition is not None:
            self._work, self._memory = _needs(self.place, self._definition.node)
        super().compile()
        if self.loops:
            raise FileError(f"{self.place}: it must have no loop, as it is run when the file is opened")

    def run(self, args: list[Any]) -> Any:
        self.compile()
        guard: Any = self._linker
        guard.calls_left -= 1
        if guard.calls_left < 0:
            raise FileError(f"{self.place}: it must call at most {_MOST_CALLS} functions when the file is opened")
        guard.work(self._work)
        guard.budget.charge(self._memory, "what is run when the file is opened")
        return super().run(args)


def _needs(place: Place, function: ast.FunctionDef) -> tuple[int, int]:
    """How many pieces of a tree running a function comes to, and how many bytes it takes: both at most."""
    work = memory = 0
    for node in ast.walk(function):
        work += 1
        match node:
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts) | ast.Call(args=parts):
                memory += 128 + 16 * len(parts)
            case ast.Slice():
                refuse(place, "it must have no slice, as it is run when the file is opened")
    return work, memory


class _Guard(Linker):
    """What ``__setstate__`` may do: look at the state, pack weights, set attributes."""

    kind = _Guarded

    def __init__(self, code: Code, archive: Archive) -> None:
        self.budget = archive.budget
        self.operators = {name: self._plain(name, Linker.operators[name]) for name in _packed.HARMLESS}
        self.operators |= {name: self._charged(Linker.operators[name]) for name in _packed.PACKING}
        self.calls_left = 0
        self._work_left = _MOST_WORK
        super().__init__(code, ())

    def work(self, pieces: int) -> None:
        """Take some of what may be run."""
        self._work_left -= pieces
        if self._work_left < 0:
            raise FileError("opening it must not run so much of its text")

    def builtin(self, name: str) -> Any:
        return super().builtin(name) if name in ("bool", "len") else None

    def foreign(self, owner: Any, name: str, args: list[Any]) -> Any:
        raise TypeError(f"{name} can't be called when the file is opened")

    def _plain(self, name: str, function: Any) -> Any:
        """An operator that must get no tensors and no long lists: comparing them takes time and memory."""

        def checked(*args: Any) -> Any:
            for x in args:
                parts = x if isinstance(x, (list, tuple)) else (x,)
                self.work(len(parts))
                if not all(_is_small(v) for v in parts):
                    raise TypeError(f"{name} must have numbers and short strings when the file is opened")
            return function(*args)

        return function if name in _packed.QUICK else checked

    def _charged(self, function: Any) -> Any:
        def pack(weight: Any, *args: Any) -> Any:
            self._charge(weight)
            return function(weight, *args)

        return pack

    def _charge(self, weight: Any) -> None:
        size = weight._ints.nbytes if isinstance(weight, QTensor) else getattr(weight, "nbytes", 0)
        self.work(_PACKING)
        self.budget.charge(size, "its packed weights")

    def packed(self, name: str, state: Any) -> Any:
        """The packed weights that a script object is."""
        try:
            return _packed.packed(name, state, self._charge)
        except FileError:
            raise
        except (TypeError, ValueError, LookupError, ArithmeticError) as e:
            raise FileError(f"{name}: {e}"[:400]) from None
