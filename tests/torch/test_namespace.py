"""Every name of torch's quantized namespaces is here, with torch's arguments.

``python -m tests.torch.test_namespace`` prints what differs. What is meant to differ stands in `DIFFERENCES` and, with
its reason, in the README.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMESPACES = {
    "torch.ao.nn.quantized": "quantnn",
    "torch.ao.nn.quantized.functional": "quantnn.functional",
    "torch.ao.nn.quantized.dynamic": "quantnn.dynamic",
    "torch.ao.nn.intrinsic.quantized": "quantnn.intrinsic",
    "torch.ao.nn.intrinsic.quantized.dynamic": "quantnn.intrinsic.dynamic",
}

#: Patterns of names whose arguments differ from torch's or that are missing, and what the README says of them.
DIFFERENCES: dict[str, str] = {
    r".*\.(ConvTranspose[123]d|EmbeddingBag|BNReLU[23]d|Linear(ReLU|LeakyReLU|Tanh))\.from_reference": "The first "
    "argument of `from_reference` has the base class's name",
    r".*\.get_qconv": "`get_qconv`",
    r".*\.dynamic\.(LSTM|GRU)\.(forward_(impl|tensor|packed)|permute_hidden|check_.*|get_expected_hidden_size)": "the "
    "recurrent layers' `forward_impl`, `permute_hidden`, `check_*` and the like",
    r".*\.dynamic\.\w+Cell\.check_forward_(input|hidden)": "the recurrent layers' `forward_impl`, `permute_hidden`, "
    "`check_*` and the like",
    r"quantnn\.dynamic\.(LSTM|GRU)\.forward": "take the `lengths` of padded sequences in place of a `PackedSequence`",
    r"quantnn\.functional\.interpolate": "`interpolate` also takes `recompute_scale_factor` and `antialias`",
    r"quantnn\.ops\.(relu6|clamp|threshold|hardswish|elu|celu|max_pool[12]d)": "operators that `functional` has too "
    "take its names of arguments",
    r"quantnn\.ops\.elu": "`ops.elu` has no `input_scale`",
    r"quantnn\.ops\.linear_prepack(_fp16)?_legacy": "`linear_prepack_legacy`, `linear_prepack_fp16_legacy`",
    r"quantnn\.ops\.int4mm_packed_weight_cpu": "`int4mm_packed_weight_cpu`",
    r"quantnn\.MultiheadAttention\.dequantize": "`MultiheadAttention.dequantize`, which makes a float torch module",
}

_README = Path(__file__).parent.parent.parent / "README.md"
# what torch.nn.Module and its like bring along
_OWN = re.compile(r"torch\.(ao\.)?nn\.(quantized|intrinsic|quantizable|ao)|torch\.ao\.nn")


def names(namespace: Any) -> list[str]:
    """The public names of one of torch's namespaces."""
    listed = getattr(namespace, "__all__", None) or [n for n in vars(namespace) if not n.startswith("_")]
    return [n for n in listed if not inspect.ismodule(getattr(namespace, n))]


def arguments(function: Any) -> list[tuple[str, str, str]]:
    """Name, kind and default of each argument but self and cls."""
    parameters = list(inspect.signature(function).parameters.values())
    return [
        (p.name, p.kind.name, "" if p.default is p.empty else repr(p.default))
        for p in parameters
        if p.name not in ("self", "cls")
    ]


def methods(cls: Any) -> Iterator[str]:
    """The public methods that torch's quantized class itself, or a quantized base of it, defines."""
    seen = set()
    for base in cls.__mro__:
        if not _OWN.match(base.__module__) or base.__module__.startswith("torch.nn."):
            continue
        for name, value in vars(base).items():
            callable_ = callable(value) or isinstance(value, (classmethod, staticmethod))
            if callable_ and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name


def compare(where: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    """The name and what differs, for a function or a class."""
    if not inspect.isclass(theirs):
        if arguments(theirs) != arguments(ours):
            yield where, difference(theirs, ours)
        return
    try:
        constructor = arguments(theirs.__init__)
    except ValueError:
        constructor = []
    anything = [kind for _, kind, _ in constructor] == ["VAR_POSITIONAL", "VAR_KEYWORD"]
    if not anything and constructor != arguments(ours.__init__):
        yield where, difference(theirs.__init__, ours.__init__)
    for name in methods(theirs):
        mine = getattr(ours, name, None)
        if mine is None:
            yield f"{where}.{name}", "missing"
        elif arguments(getattr(theirs, name)) != arguments(mine):
            yield f"{where}.{name}", difference(getattr(theirs, name), mine)


def difference(theirs: Any, ours: Any) -> str:
    def text(function: Any) -> str:
        return ", ".join(f"{name}={default}" if default else name for name, _, default in arguments(function))

    return f"({text(theirs)}) is ({text(ours)})"


def operators(torch: Any) -> dict[str, list[Any]]:
    """The schemas of each of torch's quantized operators."""
    found: dict[str, list[Any]] = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace == "quantized":
            found.setdefault(name, []).append(schema)
    return found


def takes(ours: Any, schema: Any) -> bool:
    """Whether a function takes every call that torch's schema allows, and means the same.

    Its own defaults may be more. `self` has no name, as it comes first.
    """
    parameters = list(inspect.signature(ours).parameters.values())
    if len(parameters) < len(schema.arguments):
        return False
    for p, argument in zip(parameters, schema.arguments, strict=False):
        if p.name != argument.name and argument.name != "self":
            return False
        if argument.has_default_value() and p.default != argument.default_value:
            return False
    return all(p.default is not p.empty for p in parameters[len(schema.arguments) :])


def compare_operators(torch: Any) -> Iterator[tuple[str, str]]:
    """Each operator that is missing, or that takes the calls of none of its overloads."""
    ops = importlib.import_module("quantnn.ops")
    for name, schemas in operators(torch).items():
        where = f"quantnn.ops.{name}"
        if not hasattr(ops, name):
            yield where, "missing"
        elif not any(takes(getattr(ops, name), schema) for schema in schemas):
            yield where, f"{' or '.join(map(str, schemas))} is {inspect.signature(getattr(ops, name))}"


def differences() -> dict[str, str]:
    """Everything that is missing or has other arguments."""
    found = dict(compare_operators(importlib.import_module("torch")))
    for theirs, ours in NAMESPACES.items():
        there, here = importlib.import_module(theirs), importlib.import_module(ours)
        for name in names(there):
            where = f"{ours}.{name}"
            if not hasattr(here, name):
                found[where] = "missing"
            else:
                found.update(compare(where, getattr(there, name), getattr(here, name)))
    return found


def test_nothing_differs(torch: Any) -> None:
    found = differences()
    assert {k: v for k, v in found.items() if not any(re.fullmatch(p, k) for p in DIFFERENCES)} == {}
    unused = [p for p in DIFFERENCES if not any(re.fullmatch(p, k) for k in found)]
    assert unused == [], "listed, but no longer different"


@pytest.mark.parametrize("pattern", DIFFERENCES)
def test_the_readme_has_it(pattern: str) -> None:
    text = " ".join(_README.read_text().split())
    assert DIFFERENCES[pattern] in text, f"README.md does not say of {pattern}: {DIFFERENCES[pattern]}"


if __name__ == "__main__":
    for where, what in differences().items():
        print(f"{where}: {what}")
