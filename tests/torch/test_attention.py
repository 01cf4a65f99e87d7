"""MultiheadAttention, made from torch's observed one, against torch's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import quantnn

from .weights import activation

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")


def draw_options(rng: np.random.Generator) -> dict[str, Any]:
    heads = int(rng.integers(1, 4))
    options: dict[str, Any] = {"embed_dim": heads * int(rng.integers(1, 12)), "num_heads": heads}
    for name in ("bias", "add_bias_kv", "add_zero_attn"):
        options[name] = bool(rng.random() < 0.5)
    if rng.random() < 0.5:
        options |= {"kdim": int(rng.integers(1, 9)), "vdim": int(rng.integers(1, 9))}
    options["batch_first"] = heads == 1 and bool(rng.random() < 0.5)  # torch mixes several heads up
    return options


def shapes(options: dict[str, Any], size: int, s: int, batch: int) -> list[tuple[int, int, int]]:
    features = (
        options["embed_dim"],
        options.get("kdim", options["embed_dim"]),
        options.get("vdim", options["embed_dim"]),
    )
    order = (lambda t: (batch, t)) if options["batch_first"] else (lambda t: (t, batch))
    return [(*order(t), f) for t, f in zip((size, s, s), features, strict=True)]


def observed(rng: np.random.Generator, torch: Any, options: dict[str, Any]) -> Any:
    torch.manual_seed(int(rng.integers(1 << 30)))
    module = torch.nn.MultiheadAttention(**options).eval()
    module.qconfig = torch.ao.quantization.QConfig(
        activation=torch.ao.quantization.MinMaxObserver.with_args(quant_min=0, quant_max=127),
        weight=torch.ao.quantization.default_per_channel_weight_observer,
    )
    module = torch.ao.nn.quantizable.MultiheadAttention.from_float(module)
    with torch.no_grad():
        for _ in range(2):
            module(*(torch.randn(shape) * 2 for shape in shapes(options, 4, 5, 3)))
    return module


def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    options = draw_options(rng)
    module = observed(rng, torch, options)
    theirs = torch.ao.nn.quantized.MultiheadAttention.from_observed(copy.deepcopy(module))
    ours = quantnn.MultiheadAttention.from_observed(module)
    size, s, batch = (int(i) for i in rng.integers(2, 9, 3))
    inputs = [activation(rng, torch, shape, 127) for shape in shapes(options, size, s, batch)]
    masks: dict[str, np.ndarray] = {}
    if rng.random() < 0.5:
        masks["key_padding_mask"] = rng.random((batch, s)) < 0.3
        masks["key_padding_mask"][:, 0] = False
    if rng.random() < 0.5:
        shape = (size, s) if rng.random() < 0.5 else (batch * options["num_heads"], size, s)
        masks["attn_mask"] = rng.normal(size=shape).astype(np.float32)
        if rng.random() < 0.5:
            masks["attn_mask"] = rng.random(shape) < 0.3
            masks["attn_mask"][..., 0] = False
    average = bool(rng.random() < 0.5)
    with torch.no_grad():
        want = theirs(
            *(i.torch for i in inputs),
            **{k: torch.from_numpy(v) for k, v in masks.items()},
            average_attn_weights=average,
        )
    got = ours(*(i.quantnn for i in inputs), **masks, average_attn_weights=average)
    elements = wrong = 0
    for a, b in zip(want, got, strict=True):
        integers, mine = a.int_repr().numpy().astype(int), b.int_repr()
        assert integers.shape == mine.shape
        assert (a.q_scale(), a.q_zero_point()) == (b.q_scale(), b.q_zero_point())
        elements += mine.size
        wrong += int((abs(integers - mine) > 1).sum())  # torch's float32 sums have another order
    return elements, wrong


#: Draws one random case, runs both and returns (elements, mismatches).
CASES = {"MultiheadAttention": case}


def test_same_as_torch(level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    for _ in range(max(1, n_cases // 5)):
        _, wrong = case(rng, torch, quantnn)
        assert wrong == 0


def test_module(torch: Any, rng: np.random.Generator) -> None:
    options = {"embed_dim": 6, "num_heads": 2, "kdim": 3, "vdim": 4, "add_bias_kv": True, "batch_first": True}
    module = observed(rng, torch, options)
    theirs = torch.ao.nn.quantized.MultiheadAttention.from_observed(copy.deepcopy(module))
    ours = quantnn.MultiheadAttention.from_observed(module)
    assert repr(ours) == repr(theirs)
    state = theirs.state_dict()
    more = {"bias_k", "bias_v"}
    assert [k for k in ours.state_dict() if k not in more] == [k for k in state if not k.endswith("_proj_weight")]
    for name in more:
        want, got = getattr(theirs, name), getattr(ours, name)
        assert (want.q_scale(), want.q_zero_point()) == (got.q_scale(), got.q_zero_point())
        assert (want.int_repr().numpy() == got.int_repr()).all()
    # what batch_first means, which torch's heads do not survive
    inputs = [activation(rng, torch, shape).quantnn for shape in shapes(options, 4, 5, 3)]
    loaded = quantnn.MultiheadAttention(**options)
    loaded.load_state_dict(state)
    loaded.load_state_dict(ours.state_dict())
    output, weights = loaded(*inputs)
    loaded.batch_first = False
    straight, same = loaded(*(x.transpose(0, 1) for x in inputs))
    np.testing.assert_array_equal(output.int_repr(), straight.transpose(0, 1).int_repr())
    np.testing.assert_array_equal(weights.int_repr(), same.int_repr())
    with pytest.raises(NotImplementedError, match="from_observed"):
        quantnn.MultiheadAttention.from_float(module)
    with pytest.raises(TypeError, match="quantizable"):
        quantnn.MultiheadAttention.from_observed(torch.nn.MultiheadAttention(4, 2))
