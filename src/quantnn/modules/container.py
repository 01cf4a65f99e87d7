"""Modules that hold modules: Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

from .. import _checks
from .module import Module, indent
from .utils import type_name


def _iterable(x: Any) -> bool:
    """Whether `x` can be iterated over, as an array of no dimensions can't."""
    return isinstance(x, Iterable) and getattr(x, "ndim", 1) != 0


class _Ordered(Module):
    """What Sequential and ModuleList share: children in order, with the names "0", "1", …"""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _key(self, index: Any) -> str:
        """The name of the child at `index`."""
        try:
            i = operator.index(index)
        except TypeError as e:
            raise TypeError(f"{type(self).__name__}: index must be an int or a slice; got {index!r}") from e
        n = len(self._modules)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return list(self._modules)[i]

    def __setitem__(self, index: int, module: Module | None) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        for key in list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]:
            del self._modules[key]
        self._modules = {str(i): module for i, module in enumerate(self._modules.values())}

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Self:
        """Add a module at the end; return this container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; return this container."""
        if not _iterable(modules):
            raise TypeError(
                f"{type(self).__name__}.extend should be called with an iterable, but got {type(modules).__name__}"
            )
        # a list first: the container may be extended by itself
        for module in list(modules):
            self.append(module)
        return self

    def _insert(self, index: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.insert: module must be a Module; got {type_name(module)}")
        n = len(self._modules)
        index = _checks.integer(f"{type(self).__name__}.insert", "index", index)
        if not -n <= index <= n:
            raise IndexError(f"Index out of range: {index}")
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._modules = {str(i): m for i, m in enumerate(modules)}


class Sequential(_Ordered):
    """Modules that run one after the other, each on the result of the one before.

    Parameters
    ----------
    *args : Module
        The modules, or one OrderedDict of names and modules.

    Notes
    -----
    torch.nn.Sequential.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.Sequential(quantnn.Flatten(), quantnn.ReLU())
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named: Iterable[tuple[Any, Any]] = ((str(i), module) for i, module in enumerate(args))
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = args[0].items()
        for name, module in named:
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        """Run the modules."""
        for module in self._modules.values():
            input = module(input)
        return input

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __add__(self, other: Sequential) -> Sequential:
        self._check_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        self._check_sequential(other)
        return self.extend(other)

    @staticmethod
    def _check_sequential(other: Any) -> None:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")

    def _check_factor(self, other: Any) -> None:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")

    def __mul__(self, other: int) -> Sequential:
        self._check_factor(other)
        return Sequential(*list(self) * other)

    def __rmul__(self, other: int) -> Sequential:
        return self * other

    def __imul__(self, other: int) -> Self:
        self._check_factor(other)
        return self.extend(list(self) * (other - 1))

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at `index`; return this container."""
        self._insert(index, module)
        return self

    def pop(self, key: int | slice) -> Module | Self:
        """Remove the module at `key`, or a slice of them, and return it."""
        module = self[key]
        del self[key]
        return module


class ModuleList(_Ordered):
    """A list of modules that are registered, and so part of the state dict.

    Parameters
    ----------
    modules : iterable of Module, optional
        What to start with.

    Notes
    -----
    torch.nn.ModuleList. It can't be called.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.ModuleList([quantnn.ReLU(), quantnn.ReLU()])
    ModuleList(
      (0-1): 2 x ReLU()
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[self._key(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(self).extend(other)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at `index`."""
        self._insert(index, module)

    def pop(self, key: int | slice) -> Module | Self:
        """Remove the module at `key`, or a slice of them, and return it."""
        module = self[key]
        del self[key]
        return module

    def __repr__(self) -> str:
        # runs of modules that print alike are printed once, with their number
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        if not runs:
            return f"{self._get_name()}()"
        lines = [f"{self._get_name()}("]
        for first, last, text in runs:
            label = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
            lines.append(indent(label + text))
        return "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules that are registered, and so part of the state dict.

    Parameters
    ----------
    modules : dict of str to Module, or iterable of pairs, optional
        What to start with.

    Notes
    -----
    torch.nn.ModuleDict. It can't be called.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.ModuleDict({"relu": quantnn.ReLU()})
    ModuleDict(
      (relu): ReLU()
    )
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove the module `key` and return it."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module]:
        """The names and modules."""
        return self._modules.items()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, in place of those of the same name.

        Parameters
        ----------
        modules : dict of str to Module, ModuleDict, or iterable of pairs
            What to add.

        Raises
        ------
        TypeError
            `modules` or one of its elements is not iterable, or a value is not a module.
        ValueError
            An element is not a pair.
        """
        if not _iterable(modules):
            raise TypeError(
                "ModuleDict.update should be called with an iterable of key/value pairs, "
                f"but got {type(modules).__name__}"
            )
        if isinstance(modules, (Mapping, ModuleDict)):
            pairs: Iterable[Any] = modules.items()
        else:
            pairs = modules
        for i, pair in enumerate(pairs):
            if not _iterable(pair):
                raise TypeError(f"ModuleDict update sequence element #{i} should be Iterable; is {type(pair).__name__}")
            pair = tuple(pair)
            if len(pair) != 2:
                raise ValueError(f"ModuleDict update sequence element #{i} has length {len(pair)}; 2 is required")
            self[pair[0]] = pair[1]
