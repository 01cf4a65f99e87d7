"""Reading the text of programs: Python's parser makes a tree of it, which is looked at and never run.

Everything that is not in the subset (see `_program`) is refused with the file and the line.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from ..io._budget import Budget
from ..io._errors import FileError

_MOST_CHARACTERS = 4 << 20
#: Bytes of memory that a file's text may take in any case. What is more is charged to the file's budget.
SPARE = 64 << 20
_MOST = 256 << 20  # and at all; a traced MobileNetV2 of 54 layers is taken to need 30 MiB
# What a piece of the text takes at most, in bytes: while its file is parsed, and afterwards, as a tree or as closures.
# tests/jit/test_text.py measures it.
_WORD, _BRACKET, _END, _UNARY, _SIGN = (1450, 520), (1800, 1200), (900, 800), (450, 450), (150, 150)
_SIGNS = {**dict.fromkeys("([{", _BRACKET), **dict.fromkeys("\n;", _END), **dict.fromkeys("+-*~", _UNARY)}
_LONGEST = 200  # letters of a name in messages
_DEEPEST = 80  # levels of the tree
_DEEPEST_BRACKETS = 60


class Place(NamedTuple):
    """Where something stands in the text."""

    file: str
    function: str
    line: int

    def __str__(self) -> str:
        within = f" in {self.function[-_LONGEST:]}" if self.function else ""
        return f"{self.file[-_LONGEST:]}, line {self.line}{within}"


class Definition(NamedTuple):
    """A function or method of the text, not yet compiled."""

    name: str  # with its module and class
    file: str
    node: ast.FunctionDef


class Class(NamedTuple):
    """A class of the text."""

    name: str
    methods: dict[str, Definition]
    parameters: frozenset[str]
    buffers: frozenset[str]
    fields: tuple[str, ...] | None  # of a named tuple


class Code(NamedTuple):
    """What the texts define, by full name."""

    functions: dict[str, Definition]
    classes: dict[str, Class]

    def clear(self) -> None:
        """Forget all functions and methods."""
        self.functions.clear()
        for c in self.classes.values():
            c.methods.clear()


def file_name(module: str) -> str:
    """The file in an archive that has a module's text."""
    return f"code/{module.replace('.', '/')}.py"


def refuse(place: Place, what: str) -> NoReturn:
    raise FileError(f"{place}: {what}"[:900])


def parse(sources: Mapping[str, str], budget: Budget | None = None) -> Code:
    """Find the functions and classes in the texts of modules.

    Parameters
    ----------
    sources : dict of str to str
        The texts.
    budget : Budget, optional
        Of the file that they come from.

    Raises
    ------
    FileError
        A text is too large or too deeply nested, is not Python, or holds something at its outer levels that programs
        don't have.
    """
    code = Code({}, {})
    needed = memory(sources, _MOST if budget is None else min(_MOST, SPARE + max(budget.left, 0)))
    if budget is not None:
        budget.charge(max(needed - SPARE, 0), "the program's text")
    for module, text in sources.items():
        file = file_name(module)
        for node in _tree(file, text).body:
            place = Place(file, "", getattr(node, "lineno", 0))
            if isinstance(node, ast.FunctionDef):
                found: Any = _function(place, module, node)
                into: dict[str, Any] = code.functions
            elif isinstance(node, ast.ClassDef):
                found, into = _class(place, module, node), code.classes
            else:
                refuse(place, f"only functions and classes can stand there; got {described(node)}")
            if found.name in code.functions or found.name in code.classes:
                refuse(place, f"{found.name} is defined twice")
            into[found.name] = found
    return code


# A string, a name or number, the end of a line, or another sign. Strings have no prefix, end on their line, and are not
# of three quotes, nor are there comments: so Python's parser sees the same pieces, and nothing hides from the count.
_PIECES = re.compile(
    r"""(?<!["'\w])(?:"(?:[^"\\\r\n]++|\\[^\r\n])*+"|'(?:[^'\\\r\n]++|\\[^\r\n])*+')(?!["'])|\w++|([^\w\s]|[\r\n])"""
)


def memory(sources: Mapping[str, str], most: int = _MOST) -> int:
    """How much memory parsing and compiling the texts takes, at most; refuse what would take more than `most`."""
    if sum(map(len, sources.values())) > _MOST_CHARACTERS:
        raise FileError(f"the text must have at most {_MOST_CHARACTERS} characters")
    kept = more = 0
    for module, text in sources.items():
        depth, line, before, parsing = 0, 1, kept, 0
        for found in _PIECES.finditer(text):
            sign = found[1]
            first, later = _WORD if sign is None else _SIGNS.get(sign, _SIGN)
            parsing, kept = parsing + first, kept + later
            if before + parsing > most:
                break
            if sign is None:
                continue
            if sign in "'\"#\r":
                refuse(
                    Place(file_name(module), "", line),
                    "strings must be plain ones that end on their line, and there must be no comments",
                )
            line += sign == "\n"
            depth += (sign in "([{") - (sign in ")]}")
            if depth > _DEEPEST_BRACKETS:
                refuse(Place(file_name(module), "", line), f"brackets must be nested at most {_DEEPEST_BRACKETS} deep")
        more = max(more, before + parsing - kept)
        if kept + more > most:
            raise FileError(f"the text must not take more than {most >> 20} MiB of memory once it is read")
    return kept + more


def _tree(file: str, text: str) -> ast.Module:
    place = Place(file, "", 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings
            tree = ast.parse(text, file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        what = f"{e.msg} (line {e.lineno})" if isinstance(e, SyntaxError) else f"{type(e).__name__}: {e}"
        raise FileError(f"{file}: the text can't be read: {what}"[:300]) from None
    _check_depth(place, tree)
    return tree


def _check_depth(place: Place, tree: ast.Module) -> None:
    nodes: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        nodes = [child for node in nodes for child in ast.iter_child_nodes(node)]
        if not nodes:
            return
    refuse(place._replace(line=getattr(nodes[0], "lineno", 1)), f"the text must be nested at most {_DEEPEST} deep")


def _function(place: Place, scope: str, node: ast.FunctionDef) -> Definition:
    a = node.args
    if a.vararg or a.kwarg or a.kwonlyargs or a.posonlyargs or node.decorator_list:
        refuse(place, f"{node.name} must have plain arguments and no decorator")
    node.returns = None  # types are not looked at, and take memory
    for argument in a.args:
        argument.annotation = None
    return Definition(f"{scope}.{node.name}", place.file, node)


def _class(place: Place, module: str, node: ast.ClassDef) -> Class:
    name = f"{module}.{node.name}"
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    if bases not in (["Module"], ["NamedTuple"]) or len(bases) != len(node.bases) or node.keywords:
        refuse(place, f"{node.name} must be a Module or a NamedTuple: other classes are not supported")
    if node.decorator_list:
        refuse(place, f"{node.name} must have no decorator")
    methods: dict[str, Definition] = {}
    names: dict[str, frozenset[str]] = {}
    fields: list[str] = []
    for item in node.body:
        here = place._replace(line=item.lineno)
        match item:
            case ast.FunctionDef():
                if item.name in methods:
                    refuse(here, f"{name}.{item.name} is defined twice")
                methods[item.name] = _function(here, name, item)
            case ast.AnnAssign(target=ast.Name(id=field)):
                fields.append(field)
            case ast.Assign(targets=[ast.Name(id=list_name)], value=ast.List(elts=elements)) if list_name.startswith(
                "__"
            ):
                names[list_name] = frozenset(_strings(here, elements))
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="__annotations__"))]) | ast.Pass():
                pass
            case _:
                refuse(here, f"{described(item)} can't stand in a class")
    return Class(
        name,
        methods,
        names.get("__parameters__", frozenset()),
        names.get("__buffers__", frozenset()),
        tuple(fields) if bases == ["NamedTuple"] else None,
    )


def _strings(place: Place, elements: list[ast.expr]) -> Iterator[str]:
    for element in elements:
        if not (isinstance(element, ast.Constant) and isinstance(element.value, str)):
            refuse(place, f"a list of names must have strings; got {described(element)}")
        yield element.value


_WORDS = {
    "Import": "an import", "ImportFrom": "an import", "Assign": "an assignment", "Expr": "an expression",
    "BinOp": "an operator sign", "Compare": "a comparison sign", "BoolOp": "'and' or 'or'", "Lambda": "a lambda",
    "ListComp": "a comprehension", "DictComp": "a comprehension", "SetComp": "a comprehension",
    "GeneratorExp": "a generator", "With": "a with block", "Try": "a try block", "Raise": "a raise statement",
    "Return": "a return that is not the last statement", "JoinedStr": "an f-string", "Starred": "a star",
    "IfExp": "a conditional expression", "Delete": "a del statement", "Global": "a global statement",
}  # fmt: skip


def described(node: ast.AST) -> str:
    """What a node is, for messages."""
    name = type(node).__name__
    return _WORDS.get(name, f"a {name}")
