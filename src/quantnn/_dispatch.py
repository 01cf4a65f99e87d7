"""Which instruction-set level runs: the only file that knows their names.

Every kernel exists once per level, as ``quantnn._kernels.<level>.<kernel>``; where levels differ by their dot product
only, the kernels that gain nothing by it are those of the level below. At import the highest level that was
built and that this processor offers is chosen; the environment variable ``QUANTNN_ISA`` can lower it, never raise it.
Operators reach their kernel through `kernels`: ``kernels.conv`` is the conv module of the chosen level, imported when
it is first used.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from . import _cpu


class Level(NamedTuple):
    """An instruction-set level and the processor features that its compiler flags presume."""

    name: str
    machine: str
    features: tuple[str, ...]
    grain: int  # multiply-adds that are worth a thread of their own: about ten microseconds of a convolution
    below: str = ""  # the level whose modules serve the kernels ...
    own: tuple[str, ...] = ()  # ... that are not among these: the others would be the same code once more


_AVX2 = ("avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt", "movbe")
_AVX512 = ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

_DOTS = ("linear", "conv", "conv_transpose", "depthwise", "dynamic", "rnn")

#: From the lowest to the highest of each machine. Adding a level is a row here, its flags in CMakeLists.txt and a
#: section in _kernels/simd.h.
LEVELS = (
    Level("baseline", "any", (), 1 << 19),
    Level("avx2", "x86-64", _AVX2, 1 << 20),
    Level("avxvnni", "x86-64", (*_AVX2, "avxvnni"), 1 << 21, "avx2", ("linear", "conv", "depthwise", "dynamic")),
    Level("avx512vnni", "x86-64", (*_AVX2, *_AVX512, "avx512vnni"), 1 << 22),
    Level(
        "amx",
        "x86-64",
        (*_AVX2, *_AVX512, "avx512vnni", "amxtile", "amxint8"),
        1 << 23,
        "avx512vnni",
        ("linear", "conv", "conv_transpose", "dynamic", "rnn"),
    ),
    Level("neon", "aarch64", (), 1 << 19),
    Level("neondot", "aarch64", ("dotprod",), 1 << 21, "neon", _DOTS),
    Level("i8mm", "aarch64", ("dotprod", "i8mm"), 1 << 21, "neon", _DOTS),
)


def owner(level: str, kernel: str) -> str:
    """The level whose module of a kernel serves `level`."""
    row = next(x for x in LEVELS if x.name == level)
    return row.below if row.below and kernel not in row.own else level


def offered(has: Callable[[str], bool], built: tuple[str, ...]) -> tuple[str, ...]:
    """The built levels whose every feature the processor has, lowest first."""
    return tuple(x.name for x in LEVELS if x.name in built and all(map(has, x.features)))


def choose(levels: tuple[str, ...], wanted: str | None) -> str:
    """The level to run: the highest of `levels`, lowered to `wanted` (the value of ``QUANTNN_ISA``) if that is set."""
    if not wanted:
        return levels[-1]
    names = [x.name for x in LEVELS]
    if wanted not in names:
        warnings.warn(
            f"QUANTNN_ISA={wanted!r} is not a level and is ignored; the levels are {', '.join(names)}",
            RuntimeWarning,
            stacklevel=2,
        )
        return levels[-1]
    if wanted not in levels:
        warnings.warn(
            f"QUANTNN_ISA={wanted!r} is ignored: this processor or build offers only {', '.join(levels)}",
            RuntimeWarning,
            stacklevel=2,
        )
        return levels[-1]
    return wanted


class _Kernels:
    """The kernel modules of one level, imported on first use."""

    level: str
    grain: int

    def __init__(self, level: str) -> None:
        self.level = level
        self.grain = next(x.grain for x in LEVELS if x.name == level)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # no kernel: copy, pickle and inspect look for such names
            raise AttributeError(name)
        module = load(self.level, name)
        setattr(self, name, module)
        return module


def load(level: str, kernel: str) -> ModuleType:
    """Import one kernel module of one level."""
    return importlib.import_module(f"quantnn._kernels.{owner(level, kernel)}.{kernel}")


#: The levels that can run here, lowest first.
AVAILABLE = offered(_cpu.has, _cpu.built_levels())

kernels = _Kernels(choose(AVAILABLE, os.environ.get("QUANTNN_ISA")))


_R = TypeVar("_R")
_plans: list[Any] = []


def planned(work_out: Callable[..., _R]) -> functools._lru_cache_wrapper[_R]:
    """Keep what a function works out: its plans, for the last arguments that it was called with.

    A plan is all that follows from the form of an operator's arguments: shapes, strides, dtypes and numbers, not what
    arrays hold. It may hold kernels, so it belongs to a level. Arguments that are equal share a plan: they must be of
    the same types. What the function raises is not kept.
    """
    kept = functools.lru_cache(maxsize=1024)(work_out)
    _plans.append(kept)
    return kept


@contextmanager
def use_level(level: str) -> Iterator[None]:
    """Run a block at another available level (for tests and benchmarks; not thread-safe).

    Packed weights belong to the level that packed them, so make modules inside the block.
    """
    if level not in AVAILABLE:
        raise ValueError(f"level must be one of {', '.join(AVAILABLE)}; got {level!r}")
    before = dict(vars(kernels))
    _replace(vars(_Kernels(level)))
    try:
        yield
    finally:
        _replace(before)


def _replace(those: dict[str, Any]) -> None:
    vars(kernels).clear()
    vars(kernels).update(those)
    for plan in _plans:
        plan.cache_clear()
