"""from_float and from_reference of every module take torch's own objects: the same repr and state as torch's result."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import quantnn

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

#: Name in quantnn, how torch's float module is made, and which of from_float and from_reference torch has for it.
MODULES: dict[str, tuple[Any, str]] = {
    "Linear": (lambda nn: nn.Linear(3, 4), "fr"),
    **{f"Conv{n}d": (lambda nn, n=n: getattr(nn, f"Conv{n}d")(4, 6, 3, groups=2, padding=1), "fr") for n in (1, 2, 3)},
    **{
        f"ConvTranspose{n}d": (lambda nn, n=n: getattr(nn, f"ConvTranspose{n}d")(4, 6, 3, 2, 1, 1, groups=2), "fr")
        for n in (1, 2, 3)
    },
    **{f"BatchNorm{n}d": (lambda nn, n=n: getattr(nn, f"BatchNorm{n}d")(4).eval(), "f") for n in (2, 3)},
    "LayerNorm": (lambda nn: nn.LayerNorm([3, 4]), "fr"),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), "f"),
    **{
        f"InstanceNorm{n}d": (lambda nn, n=n: getattr(nn, f"InstanceNorm{n}d")(4, affine=True), "fr") for n in (1, 2, 3)
    },
    "ELU": (lambda nn: nn.ELU(0.5), "fr"),
    "Hardswish": (lambda nn: nn.Hardswish(), "fr"),
    "LeakyReLU": (lambda nn: nn.LeakyReLU(0.2), "fr"),
    "Sigmoid": (lambda nn: nn.Sigmoid(), "f"),
    "Softmax": (lambda nn: nn.Softmax(1), "fr"),
    "PReLU": (lambda nn: nn.PReLU(4), "fr"),
    "ReLU6": (lambda nn: nn.ReLU6(), "f"),
    "Dropout": (lambda nn: nn.Dropout(0.3), "fr"),
    "Embedding": (lambda nn: nn.Embedding(5, 6), "f"),
    "EmbeddingBag": (lambda nn: nn.EmbeddingBag(5, 6, mode="sum"), "f"),
    "QFunctional": (lambda nn: None, "f"),
    "Quantize": (lambda nn: None, "f"),
    "DeQuantize": (lambda nn: None, "f"),
    "dynamic.Linear": (lambda nn: nn.Linear(3, 4), "fr"),
    **{f"dynamic.Conv{n}d": (lambda nn, n=n: getattr(nn, f"Conv{n}d")(4, 6, 3), "f") for n in (1, 2, 3)},
    **{
        f"dynamic.ConvTranspose{n}d": (lambda nn, n=n: getattr(nn, f"ConvTranspose{n}d")(4, 6, 3), "f")
        for n in (1, 2, 3)
    },
    "dynamic.LSTM": (lambda nn: nn.LSTM(3, 4, 2), "f"),
    "dynamic.GRU": (lambda nn: nn.GRU(3, 4, bidirectional=True), "f"),
    "dynamic.LSTMCell": (lambda nn: nn.LSTMCell(3, 4), "f"),
    "dynamic.GRUCell": (lambda nn: nn.GRUCell(3, 4), "f"),
    "dynamic.RNNCell": (lambda nn: nn.RNNCell(3, 4), "f"),
}


def get(namespace: Any, name: str) -> Any:
    for part in name.split("."):
        namespace = getattr(namespace, part)
    return namespace


def float_module(name: str, torch: Any) -> Any:
    """torch's float module with what prepare and calibration give it."""
    quantization = torch.ao.quantization
    special = {
        "QFunctional": torch.ao.nn.quantized.FloatFunctional,
        "Quantize": quantization.QuantStub,
        "DeQuantize": quantization.DeQuantStub,
    }
    module = special[name]() if name in special else MODULES[name][0](torch.nn)
    if name == "PReLU":
        weight: Any = quantization.MinMaxObserver.with_args(dtype=torch.quint8)
    elif name.startswith("Embedding"):
        module.qconfig = quantization.float_qparams_weight_only_qconfig
        return module
    else:
        weight = quantization.default_weight_observer
    module.qconfig = quantization.QConfig(activation=quantization.MinMaxObserver, weight=weight)
    module.activation_post_process = quantization.MinMaxObserver(dtype=torch.quint8)
    module.activation_post_process(torch.randn(100))
    return module


def check(ours: Any, theirs: Any) -> None:
    if not type(theirs).__name__.startswith("InstanceNorm"):  # torch takes affine for the momentum there
        assert repr(ours) == repr(theirs)
    mine, state = ours.state_dict(), theirs.state_dict()
    if type(theirs).__name__ not in ("ELU", "Sigmoid", "Softmax", "PReLU"):  # whose parameters torch loses
        assert list(mine) == list(state)
    for key, value in state.items():
        if hasattr(value, "is_quantized") and value.is_quantized:
            np.testing.assert_array_equal(mine[key].int_repr(), value.int_repr().numpy())
        elif hasattr(value, "numpy"):
            np.testing.assert_array_equal(mine[key], value.detach().numpy())


@pytest.mark.parametrize("name", [n for n, (_, has) in MODULES.items() if "f" in has])
def test_from_float(name: str, torch: Any) -> None:
    module = float_module(name, torch)
    theirs = get(torch.ao.nn.quantized, name).from_float(copy.deepcopy(module))
    check(get(quantnn, name).from_float(module), theirs)


@pytest.mark.parametrize("name", [n for n, (_, has) in MODULES.items() if "r" in has])
def test_from_reference(name: str, torch: Any) -> None:
    module = float_module(name, torch)
    plain = name.split(".")[-1]
    args: list[Any] = [0.125, 100]
    if plain.startswith(("Linear", "Conv")):
        qparams = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, "scale": 0.01, "zero_point": 0}
        module = getattr(torch.ao.nn.quantized.reference, plain).from_float(module, qparams)
    if name.startswith("dynamic"):
        args = []
    theirs = get(torch.ao.nn.quantized, name).from_reference(copy.deepcopy(module), *args)
    check(get(quantnn, name).from_reference(module, *args), theirs)
