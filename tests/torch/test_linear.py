"""linear and linear_relu against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn

from . import weights


def _case(rng: np.random.Generator, torch: Any, quantnn: Any, relu: bool) -> tuple[int, int]:
    k, n = int(rng.integers(1, 140)), int(rng.integers(1, 140))
    leading = tuple(int(v) for v in rng.integers(0 if rng.random() < 0.05 else 1, 9, rng.integers(1, 4)))
    x = weights.activation(rng, torch, (*leading, k))
    w = weights.weight(rng, torch, (n, k))
    bias, scale, zero_point = weights.output(rng, x.quantnn, w.quantnn, torch)
    if relu:
        theirs = torch.ops.quantized.linear_relu(
            x.torch, torch.ops.quantized.linear_prepack(w.torch, bias.torch), scale, zero_point
        )
        packed = quantnn.ops.linear_prepack(w.quantnn, bias.quantnn)
        return weights.compare(theirs, quantnn.ops.linear_relu(x.quantnn, packed, scale, zero_point))
    theirs = torch.ao.nn.quantized.functional.linear(x.torch, w.torch, bias.torch, scale, zero_point)
    ours = quantnn.functional.linear(x.quantnn, w.quantnn, bias.quantnn, scale, zero_point)
    return weights.compare(theirs, ours)


def case_linear(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case(rng, torch, quantnn, False)


def case_linear_relu(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case(rng, torch, quantnn, True)


def case_linear_module(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """The module, filled from torch's state dict."""
    k, n = (int(v) for v in rng.integers(1, 80, 2))
    x = weights.activation(rng, torch, (int(rng.integers(1, 9)), k))
    w = weights.weight(rng, torch, (n, k))
    bias, scale, zero_point = weights.output(rng, x.quantnn, w.quantnn, torch)
    theirs = torch.ao.nn.quantized.Linear(k, n, bias.torch is not None)
    theirs.set_weight_bias(w.torch, bias.torch)
    theirs.scale, theirs.zero_point = float(np.float32(scale)), zero_point
    ours = quantnn.Linear(k, n)
    ours.load_state_dict(theirs.state_dict())
    wrong = repr(ours) != repr(theirs)
    elements, mismatches = weights.compare(theirs(x.torch), ours(x.quantnn))
    return elements, mismatches + wrong


CASES = {
    "linear": case_linear,
    "linear_relu": case_linear_relu,
    "Linear": case_linear_module,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    weights.assert_no_mismatch(CASES[name], torch, rng, n_cases)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_from_float(torch: Any, rng: np.random.Generator, per_channel: bool, bias: bool) -> None:
    q = torch.ao.quantization
    weight = q.default_per_channel_weight_observer if per_channel else q.default_weight_observer
    mod = torch.nn.Linear(13, 7, bias=bias)
    mod.qconfig = q.QConfig(activation=q.HistogramObserver.with_args(reduce_range=True), weight=weight)
    mod = q.prepare(torch.nn.Sequential(mod))[0]
    mod(torch.randn(20, 13))
    theirs = torch.ao.nn.quantized.Linear.from_float(mod)
    ours = quantnn.Linear.from_float(mod)
    assert repr(ours) == repr(theirs)
    assert (ours.scale, ours.zero_point) == (theirs.scale, theirs.zero_point)
    np.testing.assert_array_equal(ours.weight().int_repr(), theirs.weight().int_repr().numpy())
    if per_channel:
        np.testing.assert_array_equal(
            ours.weight().q_per_channel_scales(), theirs.weight().q_per_channel_scales().numpy()
        )
    else:
        assert ours.weight().q_scale() == theirs.weight().q_scale()
    if bias:
        np.testing.assert_array_equal(ours.bias(), theirs.bias().detach().numpy())
    else:
        assert ours.bias() is None


def test_from_float_after_training_with_fake_quantize(torch: Any) -> None:
    q = torch.ao.quantization
    model = torch.nn.Sequential(torch.nn.Linear(5, 4))
    model.qconfig = q.get_default_qat_qconfig("fbgemm")
    model = q.prepare_qat(model.train())
    model(torch.randn(9, 5))
    theirs = torch.ao.nn.quantized.Linear.from_float(model[0])
    ours = quantnn.Linear.from_float(model[0])
    assert repr(ours) == repr(theirs)
    np.testing.assert_array_equal(ours.weight().int_repr(), theirs.weight().int_repr().numpy())


def test_state_dict_has_torchs_keys(torch: Any) -> None:
    theirs, ours = torch.ao.nn.quantized.Linear(3, 2).state_dict(), quantnn.Linear(3, 2).state_dict()
    assert list(ours) == list(theirs)
    assert dict(ours._metadata) == dict(theirs._metadata)
    for key, value in theirs.items():
        if isinstance(value, torch.Tensor):
            assert str(value.dtype) == f"torch.{ours[key].dtype}"
            assert tuple(value.shape) == ours[key].shape
