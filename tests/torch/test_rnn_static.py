"""The static LSTM, made from torch's observed one, against torch's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import quantnn

from .weights import activation, compare

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")


def observed(rng: np.random.Generator, torch: Any, split_gates: bool = False, **options: Any) -> Any:
    """A quantizable LSTM that saw sequences, and its options."""
    torch.manual_seed(int(rng.integers(1 << 30)))
    module = torch.nn.LSTM(**options).eval()
    module.qconfig = torch.ao.quantization.QConfig(
        activation=torch.ao.quantization.MinMaxObserver.with_args(quant_min=0, quant_max=127),
        weight=torch.ao.quantization.default_per_channel_weight_observer
        if rng.random() < 0.5
        else torch.ao.quantization.default_weight_observer,
    )
    module = torch.ao.nn.quantizable.LSTM.from_float(module, split_gates=split_gates)
    with torch.no_grad():
        for _ in range(2):
            module(torch.randn(4, 4, options["input_size"]) * float(rng.uniform(0.5, 3)))
    return module


def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    options = {
        "input_size": int(rng.integers(1, 10)),
        "hidden_size": int(rng.choice([rng.integers(1, 12), 16, 70])),
        "num_layers": int(rng.integers(1, 3)),
        "bias": bool(rng.random() < 0.8),
        "batch_first": bool(rng.random() < 0.5),
        "bidirectional": bool(rng.random() < 0.5),
    }
    module = observed(rng, torch, bool(rng.random() < 0.3), **options)
    theirs = torch.ao.nn.quantized.LSTM.from_observed(copy.deepcopy(module))
    ours = quantnn.LSTM.from_observed(module)
    steps, batch = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    shape = (batch, steps) if options["batch_first"] else (steps, batch)
    x = activation(rng, torch, (*shape, options["input_size"]), 127)
    states: tuple[Any, Any] = ((), ())
    if rng.random() < 0.5:
        lead = options["num_layers"] * (2 if options["bidirectional"] else 1)
        pair = [activation(rng, torch, (lead, batch, options["hidden_size"])) for _ in range(2)]
        states = ((tuple(p.torch for p in pair),), (tuple(p.quantnn for p in pair),))
    with torch.no_grad():
        want, (h, c) = theirs(x.torch, *states[0])
    got, (h2, c2) = ours(x.quantnn, *states[1])
    counts = [compare(a.contiguous(), b.contiguous()) for a, b in ((want, got), (h, h2), (c, c2))]
    return sum(n for n, _ in counts), sum(wrong for _, wrong in counts)


#: Draws one random case, runs both and returns (elements, mismatches).
CASES = {"LSTM (static)": case}


def test_same_as_torch(level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    for _ in range(max(1, n_cases // 5)):
        _, wrong = case(rng, torch, quantnn)
        assert wrong == 0


@pytest.mark.parametrize("split_gates", [False, True])
def test_module(split_gates: bool, torch: Any, rng: np.random.Generator) -> None:
    options = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    module = observed(rng, torch, split_gates, **options)
    theirs = torch.ao.nn.quantized.LSTM.from_observed(copy.deepcopy(module))
    ours = quantnn.LSTM.from_observed(module)
    assert repr(ours) == repr(theirs)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    assert dict(ours.state_dict()._metadata) == dict(state._metadata)
    loaded = quantnn.LSTM(**options, split_gates=split_gates)
    loaded.load_state_dict(state)
    x = activation(rng, torch, (5, 2, 3))
    with torch.no_grad():
        want = theirs(x.torch)[0]
    for module in (ours, loaded):
        assert compare(want, module(x.quantnn)[0])[1] == 0
    with pytest.raises(NotImplementedError, match="from_observed"):
        quantnn.LSTM.from_float(module)
    with pytest.raises(TypeError, match="quantizable"):
        quantnn.LSTM.from_observed(torch.nn.LSTM(3, 4))
    with pytest.raises(TypeError, match="observer"):
        quantnn.LSTM.from_observed(torch.ao.nn.quantizable.LSTM(3, 4))
