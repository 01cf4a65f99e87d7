"""Trees of modules that a file describes: bounded, as nothing else keeps them from containing themselves."""

from __future__ import annotations

from ..modules.module import Module
from ._errors import FileError

_DEEPEST = 64
_MOST = 1 << 16


def check_nesting(root: Module) -> None:
    """Refuse modules that contain themselves, are nested too deeply, or stand in too many places.

    Raises
    ------
    FileError
        What goes over all children would not end, or take very long.
    """
    seen: dict[int, tuple[int, int]] = {}  # the levels of a module, and in how many places modules are below it

    def visit(module: Module, depth: int) -> tuple[int, int]:
        if depth > _DEEPEST:
            raise FileError(f"modules must be nested at most {_DEEPEST} deep, and must not contain themselves")
        if id(module) not in seen:
            below = [visit(child, depth + 1) for child in module._modules.values() if child is not None]
            seen[id(module)] = 1 + max((levels for levels, _ in below), default=0), 1 + sum(n for _, n in below)
        return seen[id(module)]

    levels, places = visit(root, 1)
    if levels > _DEEPEST:
        raise FileError(f"modules must be nested at most {_DEEPEST} deep")
    if places > _MOST:
        raise FileError(f"modules must stand in at most {_MOST} places; got {places:.3g}")
