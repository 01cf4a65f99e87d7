"""Functions of the text as trees of closures: each takes the frame, the list of a call's local values.

A tree is checked while it is compiled: what is not in the subset (see `_program`) is refused with its place. Operators
that there are not are noted, and raise when they are run.
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..modules.module import Module
from ._code import Class, Code, Definition, Place, described, refuse
from ._operators import CHANGE_LISTS, RESHAPE_IN_PLACE, TABLE, is_tensor, item

Frame = list[Any]
Run = Callable[[Frame], Any]


class Use(NamedTuple):
    """An operator in the text."""

    name: str
    place: Place
    supported: bool
    certain: bool  # whether every run of the function comes to it: it stands in no branch or loop


class NamedTupleBase(tuple):  # type: ignore[type-arg]
    """A named tuple of the text."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({values})"

    def __getattr__(self, name: str) -> Any:
        if name in self._fields:
            return self[self._fields.index(name)]
        raise AttributeError(f"'{type(self).__name__}' has no field '{name}'")


class Function:
    """A function or method of the text, compiled when it is first needed."""

    __slots__ = (
        "_definition", "_linker", "body", "called", "defaults", "lines", "loops", "name", "names", "pad", "place",
        "result", "uses",
    )  # fmt: skip

    body: list[Run]
    result: Run
    pad: list[None]
    defaults: list[Any]

    def __init__(self, definition: Definition, linker: Linker) -> None:
        node = definition.node
        self._definition: Definition | None = definition
        self._linker = linker
        self.name = definition.name
        self.place = Place(definition.file, definition.name, node.lineno)
        self.lines = (node.lineno, node.end_lineno or node.lineno)
        self.names = [a.arg for a in node.args.args]
        self.uses: list[Use] = []
        self.called: dict[str, bool] = {}  # functions, and methods as ".name": whether every run does it
        self.loops = False

    def compile(self) -> None:
        """Make the closures, once.

        Raises
        ------
        FileError
            Something in the function is not in the subset.
        """
        if self._definition is not None:
            _Compiler(self, self._definition, self._linker).compile()
            self._definition = None  # its tree takes much memory

    def run(self, args: list[Any]) -> Any:
        """Call it with all positional arguments in a list."""
        if self._definition is not None:
            self.compile()
        if len(args) != len(self.names):
            args = self.bind(args, {})
        frame = args + self.pad
        step = self.result
        try:
            for step in self.body:
                step(frame)
            return self.result(frame)
        except Exception as e:
            if not hasattr(e, "__notes__"):
                e.add_note(f"at {self.place}")
            raise

    def text(self) -> str:
        """Its text."""
        module = self.place.file.removeprefix("code/").removesuffix(".py").replace("/", ".")
        first, last = self.lines
        return textwrap.dedent("\n".join(self._linker.sources[module].split("\n")[first - 1 : last])) + "\n"

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """The list of all arguments, the defaults among them."""
        self.compile()
        names = self.names
        if len(args) > len(names):
            raise TypeError(f"{self.name}: it takes {len(names)} arguments; got {len(args)}")
        found = dict(zip(names[len(names) - len(self.defaults) :], self.defaults, strict=True))
        given = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key in given or key not in names:
                raise TypeError(
                    f"{self.name}: {key} must be one of its arguments, given once; got {key} again or unknown"
                )
            given[key] = value
        found |= given
        for name in names:
            if name not in found:
                raise TypeError(f"{self.name}: the argument {name} is missing")
        return [found[name] for name in names]


class Linker:
    """What names in the text stand for.

    Parameters
    ----------
    code : Code
    constants : sequence
        ``CONSTANTS.c0`` and so on.
    """

    operators: dict[str, Callable[..., Any]] = TABLE
    kind: type[Function] = Function
    sources: Mapping[str, str]

    def __init__(self, code: Code, constants: Sequence[Any]) -> None:
        self.classes = code.classes
        self.constants = constants
        self.functions = {name: self.kind(d, self) for name, d in code.functions.items()}
        self.tuples = {name: _tuple_type(c) for name, c in code.classes.items() if c.fields is not None}
        self.methods = {name: {n: self.kind(d, self) for n, d in c.methods.items()} for name, c in code.classes.items()}

    def builtin(self, name: str) -> Callable[..., Any] | None:
        """The function of Python's that the text may call by this name."""
        return _BUILTINS.get(name)

    def foreign(self, owner: Any, name: str, args: list[Any]) -> Any:
        """``x.name(…)`` where the text does not define it."""
        return call_foreign(owner, name, args)

    def all_functions(self) -> Iterator[Function]:
        """Every function and method."""
        yield from self.functions.values()
        for methods in self.methods.values():
            yield from methods.values()


def _tuple_type(c: Class) -> type[NamedTupleBase]:
    assert c.fields is not None
    return type(c.name.rpartition(".")[2], (NamedTupleBase,), {"_fields": c.fields, "__slots__": ()})


class _Value(NamedTuple):
    """An expression, compiled."""

    run: Run
    constant: bool = False
    value: Any = None  # of a constant, and of a list of constants that nobody changes
    fixed: bool = False  # it is such a list


def _constant(value: Any) -> _Value:
    return _Value(lambda frame: value, True, value)


def _applied(function: Callable[..., Any], values: list[_Value]) -> Run:
    """A call with positional arguments; those behind the last that is computed are constants."""
    rest = []
    while values and values[-1].constant:
        rest.append(values[-1].value)
        values = values[:-1]
    constants = tuple(reversed(rest))
    runs = [v.run for v in values]
    match runs:
        case []:
            return lambda f: function(*constants)
        case [a]:
            if not constants:
                return lambda f: function(a(f))
            return lambda f: function(a(f), *constants)
        case [a, b]:
            return lambda f: function(a(f), b(f), *constants)
        case [a, b, c]:
            return lambda f: function(a(f), b(f), c(f), *constants)
        case [a, b, c, d]:
            return lambda f: function(a(f), b(f), c(f), d(f), *constants)
    return lambda f: function(*[run(f) for run in runs], *constants)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "Tensor": is_tensor,
    "int": lambda x: type(x) is int,
    "float": lambda x: type(x) is float,
    "number": lambda x: type(x) in (int, float),
    "bool": lambda x: type(x) is bool,
    "str": lambda x: type(x) is str,
    "NoneType": lambda x: x is None,
    "List": lambda x: type(x) is list,
    "Tuple": lambda x: isinstance(x, tuple),
    "Dict": lambda x: type(x) is dict,
}


class _Compiler:
    """Compiles one function."""

    def __init__(self, function: Function, definition: Definition, linker: Linker) -> None:
        self.function = function
        self.linker = linker
        self.definition = definition
        self.slots: dict[str, int] = {}
        self.certain = True  # what is compiled now stands in no branch or loop

    def compile(self) -> None:
        """Fill the function."""
        function, node = self.function, self.definition.node
        for name in function.names:
            self._slot(name)
        function.defaults = [self._literal(d) for d in node.args.defaults]
        body = list(node.body)
        last = body.pop() if isinstance(body[-1], ast.Return) else None
        function.body = self._body(body)
        value = last.value if isinstance(last, ast.Return) else None
        function.result = self._expression(value).run if value else lambda frame: None
        function.pad = [None] * (len(self.slots) - len(function.names))

    def _place(self, node: ast.AST) -> Place:
        return Place(self.definition.file, self.definition.name, getattr(node, "lineno", self.definition.node.lineno))

    def _slot(self, name: str) -> int:
        return self.slots.setdefault(name, len(self.slots))

    def _literal(self, node: ast.expr) -> Any:
        value = self._expression(node)
        if not (value.constant or value.fixed):
            refuse(self._place(node), f"a default must be a constant; got {described(node)}")
        return value.value

    # Statements

    def _body(self, nodes: list[ast.stmt]) -> list[Run]:
        steps = [self._statement(node) for node in nodes]
        return [step for step in steps if step is not None]

    def _branch(self, nodes: list[ast.stmt]) -> list[Run]:
        """A body that may not be run."""
        before, self.certain = self.certain, False
        steps = self._body(nodes)
        self.certain = before
        return steps

    def _statement(self, node: ast.stmt) -> Run | None:
        match node:
            case ast.Assign(targets=[target]):
                return self._assignment(target, self._expression(node.value).run)
            case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
                return self._assignment(target, self._expression(value).run)
            case ast.Expr(value=ast.Call()):
                return self._expression(node.value).run
            case ast.If():
                return self._if(node)
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range")) as over, orelse=[]):
                return self._for(node, over, self._slot(name))
            case ast.While(orelse=[]):
                return self._while(node)
            case ast.Pass():
                return None
        refuse(self._place(node), f"{described(node)} can't stand there")

    def _assignment(self, target: ast.expr, value: Run) -> Run:
        match target:
            case ast.Name(id=name):
                slot = self._slot(name)

                def assign(f: Frame) -> None:
                    f[slot] = value(f)

                return assign
            case ast.Tuple(elts=elements) if elements and all(isinstance(e, ast.Name) for e in elements):
                slots = [self._slot(e.id) for e in elements]  # type: ignore[attr-defined]
                count = len(slots)

                def unpack(f: Frame) -> None:
                    found = value(f)
                    if not isinstance(found, (tuple, list)) or len(found) != count:
                        raise ValueError(f"there must be {count} values to unpack; got {type(found).__name__}")
                    for slot, one in zip(slots, found, strict=True):
                        f[slot] = one

                return unpack
            case ast.Attribute(attr=name):
                self._check_name(target, name)
                owner = self._expression(target.value).run

                def put(f: Frame) -> None:
                    set_attribute(owner(f), name, value(f))

                return put
        refuse(self._place(target), f"{described(target)} can't be assigned to")

    def _if(self, node: ast.If) -> Run:
        test = self._expression(node.test).run
        then, other = self._branch(node.body), self._branch(node.orelse)

        def choose(f: Frame) -> None:
            for step in then if truth(test(f)) else other:
                step(f)

        return choose

    def _for(self, node: ast.For, over: ast.Call, slot: int) -> Run:
        self.function.loops = True
        if over.keywords:
            refuse(self._place(over), "range must have positional arguments")
        limits = [self._expression(a).run for a in over.args]
        if not 1 <= len(limits) <= 3:
            refuse(self._place(over), "range must have one to three arguments")
        body = self._branch(node.body)

        def repeat(f: Frame) -> None:
            for i in range(*[item(limit(f)) for limit in limits]):
                f[slot] = i
                for step in body:
                    step(f)

        return repeat

    def _while(self, node: ast.While) -> Run:
        self.function.loops = True
        test, body = self._expression(node.test).run, self._branch(node.body)

        def repeat(f: Frame) -> None:
            while truth(test(f)):
                for step in body:
                    step(f)

        return repeat

    # Expressions

    def _expression(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=value) if value is None or type(value) in (bool, int, float, str):
                return _constant(value)
            case ast.UnaryOp(op=ast.USub(), operand=(ast.Constant() | ast.Name()) as operand):
                number = self._expression(operand).value
                if type(number) not in (int, float):
                    refuse(self._place(node), "only numbers can have a minus sign")
                return _constant(-number)
            case ast.Name(id=name) if name in self.slots:
                return _Value(itemgetter(self.slots[name]))
            case ast.Name(id="inf" | "nan"):
                return _constant(float(node.id))
            case ast.Name(id=name):
                refuse(self._place(node), f"{name} is not defined")
            case ast.List(elts=elements):
                return self._list(elements)
            case ast.Tuple(elts=elements):
                return self._tuple(elements)
            case ast.Dict(keys=keys, values=values):
                return self._dict(node, keys, values)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
        refuse(self._place(node), f"{described(node)} can't stand there")

    def _list(self, elements: list[ast.expr]) -> _Value:
        values = [self._expression(e) for e in elements]
        if all(v.constant for v in values):
            found = [v.value for v in values]
            return _Value(lambda f: found.copy(), value=found, fixed=True)
        runs = [v.run for v in values]
        return _Value(lambda f: [run(f) for run in runs])

    def _tuple(self, elements: list[ast.expr]) -> _Value:
        values = [self._expression(e) for e in elements]
        if all(v.constant for v in values):
            return _constant(tuple(v.value for v in values))
        runs = [v.run for v in values]
        return _Value(lambda f: tuple([run(f) for run in runs]))

    def _dict(self, node: ast.Dict, keys: list[ast.expr | None], values: list[ast.expr]) -> _Value:
        pairs = []
        for key, value in zip(keys, values, strict=True):
            if key is None:
                refuse(self._place(node), "a dict must have keys and values")
            pairs.append((self._expression(key).run, self._expression(value).run))
        return _Value(lambda f: {key(f): value(f) for key, value in pairs})

    def _subscript(self, node: ast.Subscript) -> _Value:
        owner = self._expression(node.value).run
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            lower, upper, step = (self._expression(p).run if p else lambda f: None for p in parts)
            return _Value(lambda f: get_item(owner(f), slice(lower(f), upper(f), step(f))))
        index = self._expression(node.slice)
        if index.constant and type(index.value) is int:
            i = index.value
            return _Value(lambda f: get_item(owner(f), i))
        at = index.run
        return _Value(lambda f: get_item(owner(f), at(f)))

    def _attribute(self, node: ast.Attribute) -> _Value:
        name = node.attr
        if isinstance(node.value, ast.Name) and node.value.id == "CONSTANTS" and "CONSTANTS" not in self.slots:
            number = name[1:]
            if not (
                name[0] == "c" and number.isdecimal() and len(number) < 9 and int(number) < len(self.linker.constants)
            ):
                refuse(self._place(node), f"CONSTANTS.{name} is not defined")
            return _constant(self.linker.constants[int(number)])
        full = self._global(node)
        if full is not None:
            if full not in self.linker.functions:
                refuse(self._place(node), f"{full} is not defined")
            self._note(full)
            return _constant(self.linker.functions[full])
        self._check_name(node, name)
        return self._attribute_of(self._expression(node.value).run, name)

    def _note(self, called: str) -> None:
        self.function.called[called] = self.function.called.get(called, False) or self.certain

    def _attribute_of(self, owner: Run, name: str) -> _Value:
        return _Value(lambda f: get_attribute(owner(f), name))

    def _check_name(self, node: ast.AST, name: str) -> None:
        if name.startswith("__") and name.endswith("__"):
            refuse(self._place(node), f"attributes with names such as {name} can't be used")

    def _global(self, node: ast.expr) -> str | None:
        """The full name if the expression is one: it starts with `__torch__`, `torch`, `ops`."""
        names = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in ("__torch__", "torch", "ops") and node.id not in self.slots:
            return ".".join([node.id, *reversed(names)])
        return None

    def _call(self, node: ast.Call) -> _Value:
        callee = node.func
        if isinstance(callee, ast.Name) and callee.id not in self.slots:
            return self._builtin(node, callee.id)
        full = self._global(callee)
        if full is not None:
            head, _, rest = full.partition(".")
            if head == "__torch__":
                return self._function_call(node, full)
            if head == "torch" and rest == "device":
                return self._device(node)
            name = f"aten::{rest}" if head == "torch" else rest.replace(".", "::", 1)
            return self._operator(node, name)
        if isinstance(callee, ast.Attribute):
            return self._method(node, callee)
        target = self._expression(callee).run  # a function in a variable
        args, keywords = self._arguments(node)
        runs = [v.run for v in args]
        if keywords:
            refuse(self._place(node), "a call of a function must have positional arguments")

        def call(f: Frame) -> Any:
            function = target(f)
            if not isinstance(function, Function):
                raise TypeError(f"a function must be called; got {type(function).__name__}")
            return function.run([run(f) for run in runs])

        return _Value(call)

    def _arguments(self, node: ast.Call) -> tuple[list[_Value], dict[str, _Value]]:
        keywords = {}
        for k in node.keywords:
            if k.arg is None or k.arg in keywords:
                refuse(self._place(node), "a call must have plain arguments")
            keywords[str(k.arg)] = self._expression(k.value)
        return [self._expression(a) for a in node.args], keywords

    def _device(self, node: ast.Call) -> _Value:
        args, keywords = self._arguments(node)
        if len(args) != 1 or keywords:
            refuse(self._place(node), "torch.device must have one argument")
        return args[0]

    def _operator(self, node: ast.Call, name: str) -> _Value:
        if name in RESHAPE_IN_PLACE and node.args and isinstance(node.args[0], ast.Name):
            return self._reshape_in_place(node, name, node.args[0].id)
        args, keywords = self._arguments(node)
        function = self.linker.operators.get(name)
        self.function.uses.append(Use(name, self._place(node), function is not None, self.certain))
        if function is None:
            message = f"{name} is not supported ({self._place(node)})"

            def missing(*_: Any, **__: Any) -> Any:
                raise NotImplementedError(message)

            function = missing
        if name not in CHANGE_LISTS:
            args = [_constant(v.value) if v.fixed else v for v in args]
            keywords = {k: _constant(v.value) if v.fixed else v for k, v in keywords.items()}
        if keywords:
            if all(v.constant for v in keywords.values()):
                function = functools.partial(function, **{k: v.value for k, v in keywords.items()})
            else:
                chosen = function
                runs = [v.run for v in args]
                named = [(k, v.run) for k, v in keywords.items()]
                return _Value(lambda f: chosen(*[run(f) for run in runs], **{k: run(f) for k, run in named}))
        return _Value(_applied(function, args))

    def _reshape_in_place(self, node: ast.Call, name: str, variable: str) -> _Value:
        """Arrays can't be given another shape: the variable gets the new view."""
        run, slot = self._operator(node, RESHAPE_IN_PLACE[name]).run, self.slots[variable]

        def reshape(f: Frame) -> Any:
            f[slot] = found = run(f)
            return found

        return _Value(reshape)

    def _function_call(self, node: ast.Call, full: str) -> _Value:
        args, keywords = self._arguments(node)
        if full in self.linker.tuples:
            made = self.linker.tuples[full]
            fields = made._fields
            ordered = args + [keywords.pop(name) for name in fields[len(args) :] if name in keywords]
            if keywords or len(ordered) != len(fields):
                refuse(self._place(node), f"{full} must have the fields {', '.join(fields)}")
            runs = [v.run for v in ordered]
            return _Value(lambda f: made([run(f) for run in runs]))
        function = self.linker.functions.get(full)
        if function is None:
            refuse(self._place(node), f"{full} is not defined")
        if keywords:
            refuse(self._place(node), "a call of a function must have positional arguments")
        self._note(full)
        runs, run_function = [v.run for v in args], function.run
        return _Value(lambda f: run_function([run(f) for run in runs]))

    def _method(self, node: ast.Call, callee: ast.Attribute) -> _Value:
        name = callee.attr
        self._check_name(node, name)
        owner = self._expression(callee.value).run
        args, keywords = self._arguments(node)
        if keywords:
            refuse(self._place(node), "a call of a method must have positional arguments")
        self._note(f".{name}")
        runs, foreign = [v.run for v in args], self.linker.foreign
        if len(runs) == 1:
            (only,) = runs

            def call_one(f: Frame) -> Any:
                found = owner(f)
                methods = script_methods(found)
                if methods is not None and name in methods:
                    return methods[name].run([found, only(f)])
                return foreign(found, name, [only(f)])

            return _Value(call_one)

        def call(f: Frame) -> Any:
            found = owner(f)
            methods = script_methods(found)
            if methods is not None and name in methods:
                return methods[name].run([found, *[run(f) for run in runs]])
            return foreign(found, name, [run(f) for run in runs])

        return _Value(call)

    def _builtin(self, node: ast.Call, name: str) -> _Value:
        if name == "uninitialized":
            return _constant(None)
        if name in ("annotate", "unchecked_cast") and len(node.args) == 2 and not node.keywords:
            return self._expression(node.args[1])
        if name == "isinstance" and len(node.args) == 2 and not node.keywords:
            value, kinds = self._expression(node.args[0]).run, self._kinds(node.args[1])
            return _Value(lambda f: _is_one_of(value(f), kinds))
        if name == "getattr" and len(node.args) == 2 and not node.keywords:
            attribute = node.args[1]
            if not (isinstance(attribute, ast.Constant) and type(attribute.value) is str):
                refuse(self._place(node), "getattr must have a string as its second argument")
            self._check_name(node, attribute.value)
            return self._attribute_of(self._expression(node.args[0]).run, attribute.value)
        function = self.linker.builtin(name)
        if function is None:
            refuse(self._place(node), f"{name} is not defined")
        args, keywords = self._arguments(node)
        if keywords or (len(args) != 1 and name != "print"):
            refuse(self._place(node), f"{name} must have one argument")
        return _Value(_applied(function, args))

    def _kinds(self, node: ast.expr) -> list[Callable[[Any], bool]]:
        """The tests of a type, or of several in a list or tuple."""
        match node:
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [kind for e in elements for kind in self._kinds(e)]
            case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
                return [*self._kinds(inner), _KINDS["NoneType"]]
            case ast.Subscript(value=ast.Name(id=name)) | ast.Name(id=name) if name in _KINDS:
                return [_KINDS[name]]
        full = self._global(node)
        if full in self.linker.tuples:
            made = self.linker.tuples[full]
            return [lambda x: isinstance(x, made)]
        refuse(self._place(node), "isinstance must have a type that values of programs can have")


# What closures do with values


def _is_one_of(x: Any, kinds: list[Callable[[Any], bool]]) -> bool:
    return any(kind(x) for kind in kinds)


def truth(x: Any) -> bool:
    """The truth of a condition."""
    if x is True or x is False:
        return x
    if isinstance(x, (int, float)) or is_tensor(x):
        return bool(item(x))
    raise TypeError(f"a condition must be a number or a tensor; got {type(x).__name__}")


def get_item(owner: Any, index: Any) -> Any:
    """``x[i]``: of lists, tuples, dicts, strings, and modules in a list."""
    if isinstance(owner, (list, tuple, str)):
        if isinstance(index, slice):
            return tuple(owner)[index] if isinstance(owner, tuple) else owner[index]
        return tuple.__getitem__(owner, item(index)) if isinstance(owner, tuple) else owner[item(index)]
    if type(owner) is dict:
        return owner[index]
    raise TypeError(f"a list, tuple or dict must be indexed; got {type(owner).__name__}")


def get_attribute(owner: Any, name: str) -> Any:
    """``x.name``: of modules and named tuples."""
    if isinstance(owner, Module):
        d = owner.__dict__
        values = d.get("_values")
        if values is not None and name in values:
            return values[name]
        for group in ("_modules", "_buffers", "_parameters"):
            if name in d[group]:
                return d[group][name]
        if values is None and name in d and not name.startswith("_"):
            return d[name]
    elif isinstance(owner, NamedTupleBase) and name in owner._fields:
        return owner[owner._fields.index(name)]
    raise TypeError(f"a {type(owner).__name__} has no attribute {name}")


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """``x.name = …``: of the modules of the text."""
    if script_methods(owner) is None:
        raise TypeError(f"attributes of a {type(owner).__name__} can't be set")
    owner.put(name, value)


def script_methods(owner: Any) -> dict[str, Function] | None:
    """The methods that the text gives a module; None for all other values."""
    if isinstance(owner, Module):
        return owner.__dict__.get("_methods")
    return None


def call_foreign(owner: Any, name: str, args: list[Any]) -> Any:
    """``x.name(…)`` where the text does not define it."""
    if isinstance(owner, Module) and name == "forward" and script_methods(owner) is None:
        return owner(*args)
    if name == "unpack" and not args and hasattr(type(owner), "unpack"):  # packed weights
        return owner.unpack()
    if name == "tolist" and not args and isinstance(owner, np.ndarray):
        return owner.tolist()
    raise TypeError(f"a {type(owner).__name__} has no method {name}")


def _bool(x: Any) -> bool:
    return bool(item(x))


def _float(x: Any) -> float:
    return float(x) if type(x) is str else float(item(x))


def _int(x: Any) -> int:
    return int(x) if type(x) is str else int(item(x))


_BUILTINS: dict[str, Callable[..., Any]] = {
    "bool": _bool,
    "float": _float,
    "int": _int,
    "str": str,
    "print": print,
    "len": len,
}
