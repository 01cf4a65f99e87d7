"""from_torch: a live torch module as quantnn's.

torch is never imported here: whoever has a torch module has loaded it.
"""

from __future__ import annotations

import copy
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from .. import _checks
from ..modules.module import Module
from ..modules.utils import from_torch as from_torch_value
from ..modules.utils import is_module
from . import _classes

# Where torch has its classes, in its own releases and in older ones, and what they are called here.
_PLACES = (
    ("nn.intrinsic.quantized.dynamic", "intrinsic.dynamic."),
    ("nn.intrinsic.quantized", "intrinsic."),
    ("nn.quantized.dynamic", "dynamic."),
    ("nn.quantized.modules", ""),
)
# torch.nn's modules that are quantnn's of the same name, whatever they are given
_FLOAT = {
    "Sequential", "ModuleList", "ModuleDict", "Identity", "Flatten", "ReLU", "ReLU6", "Hardsigmoid", "Hardtanh", "Tanh",
    "Threshold", "MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
}  # fmt: skip
_DROPOUTS = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"}


def from_torch(model: Any, example_inputs: Any = None) -> Any:
    """Convert a quantized torch module, in a process that has torch.

    Parameters
    ----------
    model : torch.nn.Module
        Quantized in eager mode, in FX graph mode (a GraphModule) or dynamically, in evaluation mode.
    example_inputs : tuple, optional
        Inputs of a model whose ``forward`` torch can neither trace symbolically nor script: it is run with them and
        recorded (`torch.jit.trace`), control flow as these inputs take it.

    Returns
    -------
    Module or Program
        Of a module that quantnn has, or a Sequential, ModuleList or ModuleDict of such, quantnn's modules with the same
        names. Of a model with a ``forward`` of its own what `quantnn.jit.load` would return for it.

    Raises
    ------
    TypeError
        `model` is no torch module.
    ValueError
        Modules have no counterpart, or ``forward`` can't be read; all of them are named, each with its path and what is
        wrong.
    FileError
        The model uses operators that quantnn lacks; all are named.

    Notes
    -----
    Weights are copied. Outputs equal torch's integer for integer. A ``forward`` is read by ``torch.fx``, or by
    ``torch.jit`` if it has control flow.
    """
    if not is_module(model) or "torch" not in sys.modules or not isinstance(model, sys.modules["torch"].nn.Module):
        raise TypeError(f"from_torch: model must be a torch.nn.Module; got {_checks.kind(model)}")
    if getattr(model, "training", False):
        model = copy.deepcopy(model).eval()
    if next(_unknown("", model), None) is None:
        return _module(model).eval()
    from ..jit import _program

    return _program.load_archive(_scripted(model, example_inputs), type(model).__name__)


def class_name(module: Any) -> str | None:
    """The name of the quantnn class that a torch module becomes; None if there is none."""
    cls = type(module)
    name, place = cls.__name__, cls.__module__
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    found = None
    if place.startswith("torch.nn.modules."):
        if name in _DROPOUTS:
            found = "Dropout"
        elif name in _FLOAT:
            found = name
    elif place.startswith(("torch.ao.nn.", "torch.nn.")):
        short = place.replace("torch.ao.", "torch.").removeprefix("torch.")
        found = next((here + name for there, here in _PLACES if f"{short}.".startswith(f"{there}.")), None)
    if found is None and cls.forward is sys.modules["torch"].nn.Sequential.forward:
        return "Sequential"  # a subclass, such as torchvision's blocks
    return found if found in _classes.classes() else None


def _unknown(path: str, module: Any) -> Iterator[str]:
    """The paths of the modules that have no counterpart."""
    name = class_name(module)
    if name is None:
        yield path
    elif name in _classes.CONTAINERS:
        for key, child in module.named_children():
            yield from _unknown(f"{path}.{key}" if path else key, child)


def _module(module: Any, seen: dict[int, Module] | None = None) -> Module:
    """The counterpart of a module that has one; of a module in two places the same one."""
    seen = {} if seen is None else seen
    found = seen.get(id(module))
    if found is not None:
        return found
    name = class_name(module)
    assert name is not None
    if name in _classes.CONTAINERS:
        children = {key: _module(child, seen) for key, child in module._modules.items()}
        made = _classes.make(_classes.Description(name, {}, {}), children, {})
    else:
        made = _classes.make(_classes.describe(name, module), {}, _state(name, module))
    seen[id(module)] = made
    return made


def _state(name: str, module: Any) -> dict[str, Any]:
    state = module.state_dict()
    # what torch forgets
    for forgotten in {"PReLU": ("weight",), "MultiheadAttention": ("bias_k", "bias_v")}.get(name, ()):
        if getattr(module, forgotten) is not None:
            state[forgotten] = getattr(module, forgotten)
    return {key: from_torch_value(value) for key, value in state.items()}


def _scripted(model: Any, example_inputs: Any) -> bytes:
    """The TorchScript archive of a model."""
    torch = sys.modules["torch"]
    ways: list[Callable[[Any], Any]] = [_traced_symbolically, torch.jit.script]
    if example_inputs is not None:
        inputs = tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
        ways = [lambda m: torch.jit.trace(m, inputs, check_trace=False)]
    reasons = []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's, of the end of its own parts
        for way in ways:
            try:
                made, buffer = way(model), io.BytesIO()
                torch.jit.save(made, buffer)
                return buffer.getvalue()
            except Exception as e:  # torch raises everything
                reasons.append(f"{type(e).__name__}: {str(e).strip()}")
    paths = [path for path in _unknown("", model) if path] or [""]
    named = ", ".join(f"{path or 'the model'} ({type(model.get_submodule(path)).__name__})" for path in paths)
    what = "\n".join(reason[:600] for reason in reasons)
    raise ValueError(
        f"from_torch: the forward of these modules must be one that torch.fx or torch.jit can read: {named}. Give "
        f"example_inputs to record it. torch says:\n{what}"
    )


def _traced_symbolically(model: Any) -> Any:
    """The script of a model's graph, as ``torch.fx`` finds it."""
    torch = sys.modules["torch"]
    graph = (
        torch.fx.Tracer().trace(model) if not isinstance(model, torch.fx.GraphModule) else copy.deepcopy(model.graph)
    )
    for node in graph.nodes:
        node.type = None  # of annotations that are strings torch.jit makes nothing
        if node.op == "call_method" and isinstance(vars(torch.Tensor).get(node.target), FunctionType):
            # a method in Python, which torch.jit does not know; the function of that name it does
            node.op, node.target = "call_function", getattr(torch, node.target)
    return torch.jit.script(torch.fx.GraphModule(model, graph))
