"""conv1d, conv2d and conv3d against torch, without torch's wrong corners.

torch adds the products of its fast depthwise kernels (and only there) in pairs that saturate at int16. For those shapes
the activations stay below 128, where nothing saturates, and the images are no smaller than the kernel: for smaller
ones its three-dimensional fast path writes out of bounds.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import quantnn

from . import weights

KINDS = ("dense", "few channels", "pointwise", "grouped", "depthwise", "depthwise fast", "multiplier")


def _geometry(rng: np.random.Generator, ndim: int) -> dict[str, Any]:
    kind = str(rng.choice(KINDS))
    kernel = [int(v) for v in rng.integers(1, 5, ndim)]
    stride = [int(v) for v in rng.integers(1, 4, ndim)]
    padding = [int(v) for v in rng.integers(0, 4, ndim)]
    dilation = [int(v) for v in (rng.integers(1, 4, ndim) if rng.random() < 0.3 else np.ones(ndim))]
    groups = 1
    c, k = int(rng.integers(1, 70)), int(rng.integers(1, 140))
    if kind == "few channels":
        c = int(rng.integers(1, 5))
    elif kind == "pointwise":
        kernel, padding, dilation = [1] * ndim, [0] * ndim, [1] * ndim
    elif kind == "grouped":
        groups = int(rng.choice([2, 3, 4]))
        c, k = groups * int(rng.integers(2, 12)), groups * int(rng.integers(1, 20))
    elif kind == "depthwise":
        groups = c = k = int(rng.integers(2, 150))
    elif kind == "depthwise fast":
        groups = c = k = 8 * int(rng.integers(1, 13))
        edge = int(rng.choice([3, 5]))
        kernel, padding, dilation = [edge] * ndim, [edge // 2] * ndim, [1] * ndim
        stride = [int(rng.integers(1, 3))] * ndim
    elif kind == "multiplier":
        groups = c = int(rng.integers(2, 20))
        k = c * int(rng.integers(2, 4))
    saturates = groups == c and groups > 1 and c % 8 == 0
    size = [
        max(1, d * (w - 1) + 1 - (0 if saturates else 2 * p)) + int(rng.integers(0, 9))
        for w, p, d in zip(kernel, padding, dilation, strict=True)
    ]
    return {
        "shape": (int(rng.integers(1, 3)), c, *size),
        "weight": (k, c // groups, *kernel),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "top": 127 if saturates else 255,
    }


def _case(rng: np.random.Generator, torch: Any, quantnn: Any, ndim: int, form: str) -> tuple[int, int]:
    g = _geometry(rng, ndim)
    x = weights.activation(rng, torch, g["shape"], g["top"])
    w = weights.weight(rng, torch, g["weight"])
    bias, scale, zero_point = weights.output(rng, x.quantnn, w.quantnn, torch)
    name = f"conv{ndim}d"
    geometry = (g["stride"], g["padding"], g["dilation"], g["groups"])
    if form == "functional":
        extra = ("zeros", scale, zero_point)
        functional = getattr(torch.ao.nn.quantized.functional, name)
        theirs = functional(x.torch, w.torch, bias.torch, *geometry, *extra)
        ours = getattr(quantnn.functional, name)(x.quantnn, w.quantnn, bias.quantnn, *geometry, *extra)
        return weights.compare(theirs, ours)
    if form == "relu":
        ops = torch.ops.quantized
        packed = getattr(ops, f"{name}_prepack")(w.torch, bias.torch, *geometry)
        theirs = getattr(ops, f"{name}_relu")(x.torch, packed, scale, zero_point)
        packed = getattr(quantnn.ops, f"{name}_prepack")(w.quantnn, bias.quantnn, *geometry)
        ours = getattr(quantnn.ops, f"{name}_relu")(x.quantnn, packed, scale, zero_point)
        return weights.compare(theirs, ours)
    k, c, *kernel = g["weight"]
    arguments = (c * g["groups"], k, tuple(kernel), *(tuple(v) for v in geometry[:3]), g["groups"])
    module = getattr(torch.ao.nn.quantized, f"Conv{ndim}d")(*arguments, bias.torch is not None)
    module.set_weight_bias(w.torch, bias.torch)
    module.scale, module.zero_point = float(np.float32(scale)), zero_point
    mine = getattr(quantnn, f"Conv{ndim}d")(*arguments)
    mine.load_state_dict(module.state_dict())
    wrong = repr(mine) != repr(module)
    elements, mismatches = weights.compare(module(x.torch), mine(x.quantnn))
    return elements, mismatches + wrong


def _cases(ndim: int) -> dict[str, Any]:
    return {
        f"conv{ndim}d": lambda rng, torch, q: _case(rng, torch, q, ndim, "functional"),
        f"conv{ndim}d_relu": lambda rng, torch, q: _case(rng, torch, q, ndim, "relu"),
        f"Conv{ndim}d": lambda rng, torch, q: _case(rng, torch, q, ndim, "module"),
    }


CASES = _cases(1) | _cases(2) | _cases(3)


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    weights.assert_no_mismatch(CASES[name], torch, rng, n_cases)


@pytest.mark.parametrize("ndim", [1, 2])
def test_reflect_padding(torch: Any, rng: np.random.Generator, ndim: int) -> None:
    x = weights.activation(rng, torch, (2, 3, *[7] * ndim))
    w = weights.weight(rng, torch, (5, 3, *[3] * ndim))
    arguments = {"stride": 2, "padding": 2, "padding_mode": "reflect"}
    theirs = getattr(torch.ao.nn.quantized, f"Conv{ndim}d")(3, 5, 3, **arguments)
    ours = getattr(quantnn, f"Conv{ndim}d")(3, 5, 3, **arguments)
    for module, weight in ((theirs, w.torch), (ours, w.quantnn)):
        module.set_weight_bias(weight, None)
        module.scale, module.zero_point = 8.0, 100
    assert weights.compare(theirs(x.torch), ours(x.quantnn))[1] == 0


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_from_float(torch: Any, ndim: int, per_channel: bool) -> None:
    q = torch.ao.quantization
    weight = q.default_per_channel_weight_observer if per_channel else q.default_weight_observer
    mod = getattr(torch.nn, f"Conv{ndim}d")(4, 6, 3, stride=2, padding=1, groups=2)
    mod.qconfig = q.QConfig(activation=q.HistogramObserver.with_args(reduce_range=True), weight=weight)
    mod = q.prepare(torch.nn.Sequential(mod))[0]
    mod(torch.randn(2, 4, *[9] * ndim))
    name = f"Conv{ndim}d"
    theirs = getattr(torch.ao.nn.quantized, name).from_float(mod)
    ours = getattr(quantnn, name).from_float(mod)
    assert repr(ours) == repr(theirs)
    np.testing.assert_array_equal(ours.weight().int_repr(), theirs.weight().int_repr().numpy())
    strides = [s // ours.weight().int_repr().itemsize for s in ours.weight().int_repr().strides]
    assert strides == list(theirs.weight().stride())
    np.testing.assert_array_equal(ours.bias(), theirs.bias().detach().numpy())
    del mod.activation_post_process
    assert repr(getattr(quantnn, name).from_float(mod)) == repr(getattr(torch.ao.nn.quantized, name).from_float(mod))


@pytest.mark.parametrize("bias", [False, True])
def test_from_float_folds_a_batch_norm(torch: Any, bias: bool) -> None:
    q = torch.ao.quantization
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, bias=bias), torch.nn.BatchNorm2d(5))
    net.qconfig = q.get_default_qat_qconfig("fbgemm")
    net = q.prepare_qat(q.fuse_modules_qat(net.train(), [["0", "1"]]))
    for _ in range(3):
        net(torch.randn(4, 3, 8, 8) * 2 + 1)
    net.eval()
    # the observers average over calls, so that each library gets its own
    ours = quantnn.Conv2d.from_float(copy.deepcopy(net[0]))
    theirs = torch.ao.nn.quantized.Conv2d.from_float(net[0])
    assert repr(ours) == repr(theirs)
    np.testing.assert_array_equal(ours.weight().int_repr(), theirs.weight().int_repr().numpy())
    np.testing.assert_array_equal(ours.bias(), theirs.bias().detach().numpy())


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_state_dict_has_torchs_keys(torch: Any, ndim: int) -> None:
    name = f"Conv{ndim}d"
    theirs = getattr(torch.ao.nn.quantized, name)(3, 2, 3).state_dict()
    ours = getattr(quantnn, name)(3, 2, 3).state_dict()
    assert list(ours) == list(theirs)
    assert dict(ours._metadata) == dict(theirs._metadata)
