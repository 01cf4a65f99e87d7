"""The classes of modules that can be written down: by which arguments each is made, and what it holds beside its state.

The same table serves torch's modules, which have the same attributes, and quantnn's own.
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import quantnn

from .. import _checks
from ..intrinsic import dynamic as _intrinsic_dynamic
from ..modules.module import Module
from ..modules.utils import as_dtype, from_torch, is_float16
from ..tensor import QTensor

_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_LINEAR = ("in_features", "out_features")
_QPARAMS = ("scale", "zero_point")
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")
_AVG_POOL = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
_INSTANCE_NORM = ("num_features", "weight", "bias", *_QPARAMS, "eps", "momentum", "affine", "track_running_stats")
_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
_CELL = ("input_size", "hidden_size", "bias", "dtype:weight_dtype")
_ATTENTION = ("embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first")
_BATCH_NORM = ("num_features", "eps", "momentum")

# The arguments of each class. An argument's value is the attribute of that name, or of the one after the colon.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    **{f"{where}Conv{n}d": _CONV for where in ("", "dynamic.") for n in (1, 2, 3)},
    **{f"{where}ConvTranspose{n}d": (*_CONV, "output_padding") for where in ("", "dynamic.") for n in (1, 2, 3)},
    **{f"intrinsic.{name}": _CONV for name in ("ConvReLU1d", "ConvReLU2d", "ConvReLU3d", "ConvAdd2d", "ConvAddReLU2d")},
    **dict.fromkeys(("Linear", "dynamic.Linear", "intrinsic.LinearReLU", "intrinsic.LinearTanh"), _LINEAR),
    "intrinsic.dynamic.LinearReLU": _LINEAR,
    "intrinsic.LinearLeakyReLU": (*_LINEAR, "negative_slope"),
    **dict.fromkeys(("BatchNorm2d", "BatchNorm3d", "intrinsic.BNReLU2d", "intrinsic.BNReLU3d"), _BATCH_NORM),
    "LayerNorm": ("normalized_shape", "weight", "bias", *_QPARAMS, "eps", "elementwise_affine"),
    "GroupNorm": ("num_groups", "num_channels", "weight", "bias", *_QPARAMS, "eps", "affine"),
    **{f"InstanceNorm{n}d": _INSTANCE_NORM for n in (1, 2, 3)},
    "Embedding": ("num_embeddings", "embedding_dim", "dtype"),
    "EmbeddingBag": ("num_embeddings", "embedding_dim", "mode", "include_last_offset", "dtype"),
    "Quantize": (*_QPARAMS, "dtype"),
    "DeQuantize": (),
    **dict.fromkeys(("Hardswish", "SiLU", "Mish"), _QPARAMS),
    **dict.fromkeys(("ELU", "CELU"), (*_QPARAMS, "alpha")),
    "LeakyReLU": (*_QPARAMS, "negative_slope", "inplace"),
    "GELU": (*_QPARAMS, "approximate"),
    "Softplus": (*_QPARAMS, "beta", "threshold"),
    "Softmax": ("dim", *_QPARAMS),
    "Sigmoid": ("output_scale:scale", "output_zero_point:zero_point"),
    "PReLU": ("output_scale:scale", "output_zero_point:zero_point", "num_parameters"),
    **dict.fromkeys(("ReLU", "ReLU6", "Hardsigmoid"), ("inplace",)),
    "Hardtanh": ("min_val", "max_val", "inplace"),
    "Threshold": ("threshold", "value", "inplace"),
    "Tanh": (),
    "Dropout": ("p", "inplace"),
    "Identity": (),
    "Flatten": ("start_dim", "end_dim"),
    **{f"MaxPool{n}d": _MAX_POOL for n in (1, 2, 3)},
    **{f"AvgPool{n}d": _AVG_POOL for n in (2, 3)},
    **{f"AdaptiveAvgPool{n}d": ("output_size",) for n in (2, 3)},
    "QFunctional": (),
    "FloatFunctional": (),
    "FXFloatFunctional": (),
    "LSTM": _RECURRENT,
    "MultiheadAttention": _ATTENTION,
    **{f"dynamic.{name}": (*_RECURRENT, "dtype") for name in ("LSTM", "GRU")},
    **dict.fromkeys(("dynamic.LSTMCell", "dynamic.GRUCell"), _CELL),
    "dynamic.RNNCell": (*_CELL, "nonlinearity"),
}

#: Modules that are only their children, by name.
CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")

# What modules hold in plain attributes, which their state lacks or rounds to float32.
_ATTRIBUTES = {
    "scale",
    "zero_point",
    "version",
    "pruned_weights",
    "initial_hidden_state_qparams",
    "initial_cell_state_qparams",
    "hidden_state_dtype",
    "cell_state_dtype",
}

# Sizes, by which a module's memory is bounded before it is made.
_SIZES = {
    "in_channels", "out_channels", "in_features", "out_features", "num_embeddings", "embedding_dim", "num_features",
    "num_channels", "num_parameters", "input_size", "hidden_size", "embed_dim", "kdim", "vdim", "num_layers",
}  # fmt: skip
_GATES = {"LSTM": 4, "GRU": 3}


class Description(NamedTuple):
    """What makes a module again, but for its state."""

    name: str  # of the class, such as intrinsic.ConvReLU2d
    arguments: dict[str, Any]
    attributes: dict[str, Any]  # by their path below the module


@cache
def classes() -> dict[str, type[Module]]:
    """All classes that can be written down, by their name in quantnn."""
    found: dict[str, type[Module]] = {}
    places = {"": quantnn, "dynamic.": quantnn.dynamic, "intrinsic.": quantnn.intrinsic}
    places["intrinsic.dynamic."] = _intrinsic_dynamic
    for name in (*_ARGUMENTS, *CONTAINERS):
        where, dot, short = name.rpartition(".")
        found[name] = getattr(places[where + dot], short)
    return found


@cache
def _names() -> dict[type[Module], str]:
    return {cls: name for name, cls in classes().items()}


def name_of(module: Module) -> str | None:
    """The name of a quantnn module's class; None if it is none of the table's."""
    return _names().get(type(module))


def describe(name: str, module: Any) -> Description:
    """Read of a module, torch's or quantnn's, what makes it again as the class `name`."""
    arguments = {}
    for entry in _ARGUMENTS[name]:
        argument, _, other = entry.partition(":")
        found = getattr(module, argument) if hasattr(module, argument) else getattr(module, other or argument)
        arguments[argument] = _plain(argument, found)
    if name == "LSTM":
        arguments["split_gates"] = hasattr(module.layers[0].layer_fw.cell.gates, "keys")
        arguments["gates"] = dict(_gates(module))
    elif name == "MultiheadAttention":
        arguments["add_bias_kv"] = module.bias_k is not None
    attributes = {}
    for path, part in module.named_modules():
        for key, value in vars(part).items():
            if key in _ATTRIBUTES and not isinstance(value, Module):
                attributes[f"{path}.{key}" if path else key] = _plain(key, value)
    return Description(name, arguments, attributes)


def _gates(lstm: Any) -> Iterator[tuple[str, tuple[float, int]]]:
    """The sigmoids of an LSTM that have qparams of their own; the others have fixed ones."""
    for path, part in lstm.named_modules():
        if type(part).__name__ == "Sigmoid":
            for scale, zero_point in (("output_scale", "output_zero_point"), _QPARAMS):
                if hasattr(part, scale):
                    yield path, (float(getattr(part, scale)), int(getattr(part, zero_point)))
                    break


def _plain(key: str, value: Any) -> Any:
    """The value of an attribute as quantnn's and Python's: no tensors nor dtypes of torch's."""
    if key.endswith(("scale", "zero_point")):
        number = value.item() if hasattr(value, "item") else value
        return float(number) if key.endswith("scale") else int(number)
    if is_float16(value):
        return np.float16
    return as_dtype(value) or from_torch(value)


def make(description: Description, children: Mapping[str, Module], state: Mapping[str, Any]) -> Module:
    """Make a module.

    Raises
    ------
    TypeError, ValueError
        If the class is unknown, or an argument, child or part of the state does not fit.
    """
    name, arguments, attributes = description
    if name in CONTAINERS:
        return _container(name, children)
    if name not in _ARGUMENTS:
        raise ValueError(f"there is no class quantnn.{name}"[:200])
    arguments = dict(arguments)
    gates = arguments.pop("gates", {})
    _check_sizes(name, arguments, state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # who made the module first has seen them
        module = classes()[name](**arguments)
    for path, qparams in gates.items():
        where, _, gate = path.rpartition(".")
        setattr(module.get_submodule(where), gate, quantnn.Sigmoid(*qparams))
    values = OrderedDict(state)
    values._metadata = {"": {"version": attributes.get("version")}}  # type: ignore[attr-defined]
    module.load_state_dict(values)
    for path, value in attributes.items():
        where, _, key = path.rpartition(".")
        part = module.get_submodule(where)
        if key not in _ATTRIBUTES or key not in vars(part):
            raise ValueError(f"{name} has no attribute {path}"[:200])
        kinds = (int, type(None)) if key == "version" else (type(getattr(part, key)),)
        if type(value) not in kinds:
            raise TypeError(f"the attribute {path} must be a {kinds[0].__name__}; got {_checks.kind(value)}")
        setattr(part, key, value)
    return module


def _check_sizes(name: str, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Refuse sizes of which a module would need much more memory than its state has: it is made before it is filled."""
    found = {k: v for k, v in arguments.items() if k in _SIZES and v is not None}
    if any(type(v) is not int or v < 0 for v in found.values()):
        raise TypeError(f"the sizes of {name} must be integers that are not negative; got {found}"[:300])
    stored = 1024 + 2 * sum(_elements(value) for value in state.values())
    if _weights(name, found, arguments) > stored or max(found.values(), default=0) > max(stored, 1 << 16):
        raise ValueError(f"the arguments of {name} must fit its state; got {arguments}"[:300])


def _weights(name: str, sizes: Mapping[str, int], arguments: Mapping[str, Any]) -> int:
    """How many weights a module of some sizes has, or a few less."""
    match sizes:
        case {"hidden_size": hidden, "input_size": inputs}:
            gates = next((n for kind, n in _GATES.items() if kind in name), 1)
            more = sizes.get("num_layers", 1) - 1
            return (
                gates * hidden * (inputs + hidden + 2 * hidden * more) * (1 + (arguments.get("bidirectional") is True))
            )
        case {"in_channels": inputs, "out_channels": outputs}:
            kernel: Any
            groups, kernel = arguments.get("groups", 1), arguments.get("kernel_size")
            kernel = (kernel,) * int(name[-2]) if type(kernel) is int else kernel
            if type(groups) is not int or type(kernel) not in (tuple, list) or any(type(k) is not int for k in kernel):
                raise TypeError(f"{name}: kernel_size must be integers, and groups one")
            weights: int = inputs * outputs * math.prod(kernel) // max(groups, 1)
            return weights
        case {"embed_dim": dim}:
            return dim * (2 * dim + sizes.get("kdim", dim) + sizes.get("vdim", dim))
    return math.prod(sizes.values()) if len(sizes) > 1 else 0


def _elements(value: Any) -> int:
    if isinstance(value, (tuple, list)):
        return sum(map(_elements, value))
    return math.prod(value.shape) if isinstance(value, (np.ndarray, QTensor)) else 0


def _container(name: str, children: Mapping[str, Module]) -> Module:
    module = classes()[name]()
    for key, child in children.items():
        module.add_module(key, child)
    return module
