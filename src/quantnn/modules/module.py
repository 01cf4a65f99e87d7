"""Module: the small part of torch.nn.Module that inference needs.

A module holds named state (arrays and QTensors) and named child modules, and turns them into a state dict and
back with torch's keys. Hooks, devices, gradients and dtype conversion are left out.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import FunctionType
from typing import Any, NamedTuple, Self

import numpy as np

from .._checks import kind
from ..tensor import QTensor
from .utils import from_torch, is_tensor, size_repr, type_name


class StateDictError(ValueError, RuntimeError):
    """A state dict that does not fit the module it is loaded into.

    It is a ValueError, as every wrong value is here, and a RuntimeError, which is what torch raises.
    """


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` returns: the keys that did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"


def indent(text: str) -> str:
    """Indent all lines of `text` but the first by two spaces, as the repr of nested modules does."""
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line if line.strip() else "" for line in rest)])


class Module:
    """Base class of all modules, `torch.nn.Module`'s counterpart.

    Derive from it, call ``super().__init__()`` and define `forward`. A module assigned to an attribute
    becomes a child; arrays registered with `register_buffer` or `register_parameter` become state.

    Attributes
    ----------
    training : bool
        True until `eval` is called. No quantized module behaves differently in training.

    Notes
    -----
    Parameters are plain float32 arrays: there are no gradients. Calling the module is calling `forward`;
    there are no hooks. A new `forward` may be assigned to an instance, but not to a class.

    Examples
    --------
    >>> import numpy as np
    >>> from quantnn.modules.module import Module
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("factor", np.array([2.0], dtype=np.float32))
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(np.ones(2, dtype=np.float32))
    array([2., 2.], dtype=float32)
    >>> list(Scale().state_dict())
    ['factor']
    """

    _version: int = 1

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            got = f"{len(args)} positional arguments" if args else f"the keyword argument {next(iter(kwargs))!r}"
            raise TypeError(f"{type(self).__name__}.__init__: it takes no arguments; got {got}")
        # past __setattr__, which needs these to be there
        d = self.__dict__
        d["training"] = True
        d["_parameters"] = {}
        d["_buffers"] = {}
        d["_non_persistent_buffers_set"] = set()
        d["_modules"] = {}

    # Calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result of a call. Every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A class's __call__ is its forward itself, where nobody could tell: passing any arguments on would
        # take three times as long.
        super().__init_subclass__(**kwargs)
        if "__call__" in cls.__dict__:
            for base in cls.__mro__[1:]:
                _call_through_self(base)  # super().__call__() must find the forward of cls
        elif cls.__call__ is _GENERIC_CALL or _calls_forward(cls):
            static = isinstance(inspect.getattr_static(cls, "forward"), FunctionType)
            cls.__call__ = cls.forward if static else _GENERIC_CALL  # type: ignore[method-assign]

    # Attributes

    def __getattr__(self, name: str) -> Any:
        # only reached for what is not in __dict__ nor in the class
        d = self.__dict__
        if "_modules" in d:
            if name in (modules := d["_modules"]):
                return modules[name]
            if name in (buffers := d["_buffers"]):
                return buffers[name]
            if name in (parameters := d["_parameters"]):
                return parameters[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        modules = d.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            d.pop(name, None)
            self._parameters.pop(name, None)
            self._buffers.pop(name, None)
            self._non_persistent_buffers_set.discard(name)
            modules[name] = value
        elif modules is None:
            object.__setattr__(self, name, value)
        elif name in self._parameters:
            self._parameters[name] = self._checked_state(name, value, "parameter")
        elif name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as child module '{name}' (Module or None expected)"
                )
            modules[name] = None
        elif name in self._buffers:
            self._buffers[name] = self._checked_state(name, value, "buffer")
        else:
            if name == "forward":
                _call_through_self(type(self))
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for group in ("_parameters", "_buffers", "_modules"):
            members = self.__dict__.get(group, {})
            if name in members:
                del members[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        for group in ("_parameters", "_buffers", "_modules"):
            names.update(self.__dict__.get(group, ()))
        return sorted(name for name in names if not name[0].isdigit())

    # Registration

    def _check_name(self, kind: str, name: Any, members: str) -> None:
        if members not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type_name(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in self.__dict__[members] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    @staticmethod
    def _checked_state(name: str, value: Any, kind: str) -> Any:
        if value is None or isinstance(value, (np.ndarray, QTensor)):
            return value
        if isinstance(value, np.generic):
            return np.asarray(value)
        if is_tensor(value):
            return from_torch(value)
        raise TypeError(
            f"cannot assign '{type_name(value)}' object to {kind} '{name}' (NumPy array, QTensor or None required)"
        )

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a buffer: state that is not trained.

        Parameters
        ----------
        name : str
            The attribute that holds it.
        tensor : numpy.ndarray, QTensor or None
            The value. None reserves the name and is left out of the state dict.
        persistent : bool
            False leaves it out of the state dict.
        """
        self._check_name("buffer", name, "_buffers")
        self._buffers[name] = self._checked_state(name, tensor, "buffer")
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Any) -> None:
        """Add a parameter: state that training made, such as a weight.

        Parameters
        ----------
        name : str
            The attribute that holds it.
        param : numpy.ndarray, QTensor or None
            The value. None reserves the name and is left out of the state dict.
        """
        self._check_name("parameter", name, "_parameters")
        self._parameters[name] = self._checked_state(name, param, "parameter")

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under `name`, which need not be an identifier.

        Parameters
        ----------
        name : str
            The attribute that holds it.
        module : Module or None
            The child. None reserves the name.
        """
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    # Traversal

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield the name and module of this module and all modules below it, parents first.

        Parameters
        ----------
        memo : set of Module, optional
            Modules not to yield (again).
        prefix : str
            The name of this module; names below it start with it.
        remove_duplicate : bool
            Yield a module that is in several places once only.
        """
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all modules below it, parents first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the name and module of each child; a child with two names once only."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the child modules."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, group: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else iter([(prefix, self)])
        )
        seen: set[int] = set()
        for path, module in modules:
            for name, value in module.__dict__[group].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield the name and value of each parameter, also of the modules below if `recurse`.

        The weights of quantized modules are not parameters: they are packed, as in torch.
        """
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Yield the parameters, also of the modules below if `recurse`."""
        for _, value in self.named_parameters(recurse=recurse):
            yield value

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield the name and value of each buffer, also of the modules below if `recurse`."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Yield the buffers, also of the modules below if `recurse`."""
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"features.0"``; this module for the empty path.

        Raises
        ------
        AttributeError
            There is nothing at the path, or no module.
        """
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not a Module")
        return module

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below this one, then on this one.

        Returns
        -------
        Module
            This module.
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and in all modules below; return this module."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool; got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set `training` to False here and in all modules below; return this module."""
        return self.train(False)

    def cpu(self) -> Self:
        """Return this module, which is on the CPU."""
        return self

    # State

    def state_dict(
        self,
        *,
        destination: MutableMapping[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> Any:
        """The whole state, with torch's keys in torch's order.

        Parameters
        ----------
        destination : dict, optional
            Add the state to this dict and return it.
        prefix : str
            What all keys start with.
        keep_vars : bool
            Accepted as in torch; there are no gradients to keep.

        Returns
        -------
        collections.OrderedDict
            Arrays, QTensors, dtypes and tuples of these. They are the module's own, not copies. The attribute
            ``_metadata`` has the version of each module.
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None:
            metadata[prefix[:-1]] = {"version": self._version}
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return destination

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        """Write the state of this module, not of those below it, to `destination`."""
        for name, value in self._parameters.items():
            if value is not None:
                destination[prefix + name] = value
        for name, value in self._buffers.items():
            if value is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = value

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Take over a state dict: quantnn's own or, in a process that has torch, torch's.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` of the same network returned, here or in torch.
        strict : bool
            Whether missing and unexpected keys are errors.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        TypeError
            `state_dict` is not a mapping.
        StateDictError
            Keys are missing or unexpected (if `strict`), or values have the wrong kind or shape. It is a
            ValueError and a RuntimeError.

        Notes
        -----
        Values are copied into new arrays, so what an earlier call of `state_dict` returned keeps its values;
        torch writes into the arrays that are there. Everything that fits is loaded before an error is raised,
        as in torch.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        for key in state_dict:
            if not isinstance(key, str):
                raise TypeError(f"load_state_dict: the keys of state_dict must be strings; got {kind(key)}")
        versions = _versions(getattr(state_dict, "_metadata", None))
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []

        def load(module: Module, state: dict[str, Any], prefix: str) -> None:
            module._load_from_state_dict(
                state, prefix, versions.get(prefix[:-1], {}), True, missing, unexpected, errors
            )
            for name, child in module._modules.items():
                if child is not None:
                    start = f"{prefix}{name}."
                    load(child, {k: v for k, v in state.items() if k.startswith(start)}, start)

        load(self, {key: from_torch(value) for key, value in state_dict.items()}, "")
        if strict:
            for title, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    names = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{title} key(s) in state_dict: {names}. ")
        if errors:
            lines = "\n\t".join(errors)
            raise StateDictError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        return IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the state of this module, not of those below it, from `state_dict`.

        Subclasses that keep more state take their keys out of `state_dict`, a copy made for this purpose, and
        call this method for the rest. Its values are arrays, QTensors, DTypes and tuples of these: torch's
        objects have been converted. ``local_metadata.get("version")`` is the version that wrote the state, if
        known.
        """
        local = {
            **self._parameters,
            **{k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set},
        }
        local = {name: value for name, value in local.items() if value is not None}
        for name, old in local.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            new, error = _fitted(key, state_dict[key], old)
            if error:
                error_msgs.append(error)
            elif name in self._parameters:
                self._parameters[name] = new
            else:
                self._buffers[name] = new
        if strict:
            for key in state_dict:
                if key.startswith(prefix):
                    name, *below = key[len(prefix) :].split(".", 1)
                    if name not in (self._modules if below else local):
                        unexpected_keys.append(key)

    # Text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What the repr says of this module besides its children. Subclasses define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): {indent(repr(module))}" for name, module in self._modules.items()]
        if not children and len(extra) < 2:
            return f"{self._get_name()}({''.join(extra)})"
        lines = "".join(f"\n  {line}" for line in [*extra, *children])
        return f"{self._get_name()}({lines}\n)"


_GENERIC_CALL = Module.__call__


def _calls_forward(cls: type) -> bool:
    """Whether calling an instance of `cls` runs the forward of a class directly."""
    return any(cls.__call__ is vars(base).get("forward") for base in cls.__mro__)


def _call_through_self(cls: type) -> None:
    """Make a call of an instance of `cls` look `forward` up in the instance."""
    if issubclass(cls, Module) and _calls_forward(cls):
        cls.__call__ = _GENERIC_CALL  # type: ignore[method-assign]


def _versions(metadata: Any) -> dict[str, Mapping[str, Any]]:
    """The `_metadata` of a state dict where it is as it should be; what else it holds is left out."""
    return {
        prefix: local
        for prefix, local in (metadata.items() if isinstance(metadata, Mapping) else ())
        if isinstance(local, Mapping) and isinstance(local.get("version"), int)
    }


def _fitted(key: str, new: Any, old: Any) -> tuple[Any, str]:
    """A copy of the value `new` of a state dict, to replace the state `old`, or what is wrong with it."""
    if isinstance(new, np.generic):
        new = np.asarray(new)
    if not isinstance(new, (np.ndarray, QTensor)):
        return None, (
            f'While copying the parameter named "{key}", expected a NumPy array, QTensor or torch.Tensor '
            f"from checkpoint but received {type(new)}"
        )
    if old.shape == () and new.shape == (1,):
        new = new[0] if isinstance(new, QTensor) else new.reshape(())
    if tuple(new.shape) != tuple(old.shape):
        return None, (
            f"size mismatch for {key}: copying a param with shape {size_repr(new.shape)} from checkpoint, "
            f"the shape in current model is {size_repr(old.shape)}."
        )
    if isinstance(new, QTensor) or isinstance(old, QTensor):
        if not (isinstance(new, QTensor) and isinstance(old, QTensor) and new.dtype is old.dtype):
            was, came = (x.dtype.name if isinstance(x, QTensor) else str(x.dtype) for x in (old, new))
            return None, f"dtype mismatch for {key}: {came} in the checkpoint can't become {was}."
        return new.clone(), ""
    if new.dtype.kind in "biuf":
        with np.errstate(over="ignore", invalid="ignore"):
            converted = new.astype(old.dtype.newbyteorder("="), order="K")
        # floats may be rounded, integers must not change
        if old.dtype.kind == "f" or np.array_equal(converted, new):
            return converted, ""
    return None, f"dtype mismatch for {key}: {new.dtype} in the checkpoint can't become {old.dtype}."
