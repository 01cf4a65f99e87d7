"""Fused modules made from torch's float, trained and reference ones, against torch's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import intrinsic

from .test_fused import onednn
from .weights import activation, compare

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

SHAPES = {1: (2, 4, 9), 2: (2, 4, 6, 5), 3: (1, 4, 3, 4, 5)}
#: Name, shape of the input, and whether torch has it for onednn only.
MODULES = {
    **{f"ConvReLU{n}d": (SHAPES[n], False) for n in (1, 2, 3)},
    **{f"BNReLU{n}d": (SHAPES[n], False) for n in (2, 3)},
    "LinearReLU": ((3, 7), False),
    "LinearLeakyReLU": ((3, 7), True),
    "LinearTanh": ((3, 7), True),
    "ConvAdd2d": (SHAPES[2], True),
    "ConvAddReLU2d": (SHAPES[2], True),
}


def float_module(name: str, torch: Any) -> Any:
    nn, fused = torch.nn, torch.ao.nn.intrinsic
    if name.startswith("Linear"):
        follower = {"LinearReLU": nn.ReLU(), "LinearLeakyReLU": nn.LeakyReLU(0.2), "LinearTanh": nn.Tanh()}[name]
        return getattr(fused, name)(nn.Linear(7, 5), follower)
    if name.startswith("BN"):
        norm = getattr(nn, f"BatchNorm{name[-2]}d")(4)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        return getattr(fused, name)(norm.eval(), nn.ReLU())
    conv = getattr(nn, f"Conv{name[-2]}d")(4, 4, 3, padding=1, bias=name != "ConvReLU1d")
    if name == "ConvAddReLU2d":
        return fused.ConvAddReLU2d(conv, torch.add, nn.ReLU())
    return fused.ConvAdd2d(conv, torch.add) if name == "ConvAdd2d" else getattr(fused, name)(conv, nn.ReLU())


def observed(name: str, torch: Any) -> Any:
    module = float_module(name, torch)
    qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    for part in module.modules():
        part.qconfig = qconfig
    module.activation_post_process = qconfig.activation()
    module.activation_post_process(torch.randn(1000) * 3)
    return module


def check(name: str, ours: Any, theirs: Any, rng: np.random.Generator, torch: Any) -> None:
    """The same repr, state dict and integers; also of a module that loads torch's state."""
    shape, only_onednn = MODULES[name]
    assert repr(ours) == repr(theirs)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    assert dict(ours.state_dict()._metadata) == dict(state._metadata)
    x = activation(rng, torch, shape)
    inputs = (x, x) if "Add" in name else (x,)
    if only_onednn:
        with onednn(torch):
            theirs.set_weight_bias(*theirs._weight_bias())
            want = theirs(*(i.torch.contiguous() for i in inputs))
    else:
        want = theirs(*(i.torch for i in inputs))
    args = {"Conv": (4, 4, 3), "BNRe": (4,), "Line": (7, 5)}[name[:4]]
    options: dict[str, Any] = {"padding": 1} if name.startswith("Conv") else {}
    if name == "LinearLeakyReLU":
        options["negative_slope"] = 0.2
    loaded = getattr(intrinsic, name)(*args, **options)
    loaded.load_state_dict(state)
    for module in (ours, loaded):
        _, wrong = compare(want.contiguous(), module(*(i.quantnn for i in inputs)).contiguous())
        assert wrong == 0


@pytest.mark.parametrize("name", MODULES)
def test_from_float(name: str, torch: Any, rng: np.random.Generator) -> None:
    module = observed(name, torch)
    theirs = getattr(torch.ao.nn.intrinsic.quantized, name).from_float(copy.deepcopy(module))
    check(name, getattr(intrinsic, name).from_float(module), theirs, rng, torch)
    plain = {"Conv": "Conv2d", "BNRe": "BatchNorm2d", "Line": "Linear"}[name[:4]]
    if plain != "BatchNorm2d":
        with pytest.raises(TypeError, match=f"must be a {plain}"):
            getattr(quantnn, plain).from_float(module)


@pytest.mark.parametrize("name", [n for n in MODULES if not n.startswith("BN")])
def test_from_reference(name: str, torch: Any, rng: np.random.Generator) -> None:
    module = float_module(name, torch)
    qparams = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, "scale": 0.01, "zero_point": 0}
    reference = torch.ao.nn.quantized.reference
    module[0] = getattr(reference, type(module[0]).__name__).from_float(module[0], qparams)
    args = (module, 0.125, 100)
    theirs = getattr(torch.ao.nn.intrinsic.quantized, name).from_reference(*args)
    check(name, getattr(intrinsic, name).from_reference(*args), theirs, rng, torch)


@pytest.mark.parametrize("name", ["BNReLU2d", "BNReLU3d"])
def test_norm_from_reference(name: str, torch: Any, rng: np.random.Generator) -> None:
    module = float_module(name, torch)
    theirs = getattr(torch.ao.nn.intrinsic.quantized, name).from_reference(
        module, torch.tensor(0.125), torch.tensor(100)
    )
    check(name, getattr(intrinsic, name).from_reference(module, 0.125, 100), theirs, rng, torch)


@pytest.mark.parametrize("name", ["ConvReLU2d", "ConvBnReLU2d", "LinearReLU"])
def test_from_trained(name: str, torch: Any, rng: np.random.Generator) -> None:
    quantization, qat = torch.ao.quantization, torch.ao.nn.intrinsic.qat
    args = (7, 5) if name == "LinearReLU" else (4, 4, 3)
    options = {} if name == "LinearReLU" else {"padding": 1}
    module = getattr(qat, name)(*args, **options, qconfig=quantization.get_default_qat_qconfig("fbgemm"))
    module.activation_post_process = quantization.get_default_qat_qconfig("fbgemm").activation()
    goal = name.replace("Bn", "")
    for _ in range(3):
        module.activation_post_process(module(torch.randn(MODULES[goal][0])))
    module.eval()
    ours = getattr(intrinsic, goal).from_float(copy.deepcopy(module))
    theirs = getattr(torch.ao.nn.intrinsic.quantized, goal).from_float(copy.deepcopy(module))
    check(goal, ours, theirs, rng, torch)
