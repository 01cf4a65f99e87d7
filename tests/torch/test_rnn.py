"""Recurrent layers and cells against torch: within a bound, as sigmoid and tanh are not torch's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import choose_qparams

from . import weights

#: A step's states are at most this far from torch's; a few steps of c add up.
BOUND = 1e-6


def _may_flip(x: np.ndarray) -> bool:
    """Whether an element lies so near to a tie that what is within the bound may round to another integer."""
    if not x.size:
        return False
    scale, zero_point = choose_qparams(x.min(), x.max(), 0, 255, True)
    t = x.astype(np.float64) / scale + zero_point
    return bool((np.abs(t - np.floor(t) - 0.5) < 1e-3).any())


def _module(rng: np.random.Generator, torch: Any, name: str, *args: Any, **options: Any) -> tuple[Any, Any, bool]:
    """torch's module and quantnn's, made from the same float one or by the state dict; whether of float16."""
    q = torch.ao.quantization
    kinds = (q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig, q.float16_dynamic_qconfig)
    kind = int(rng.integers(3))
    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(1 << 30)))
        mod = getattr(torch.nn, name)(*args, **options)
    mod.qconfig = kinds[kind]
    theirs = getattr(torch.ao.nn.quantized.dynamic, name).from_float(mod)
    if rng.random() < 0.5:
        ours = getattr(quantnn.dynamic, name).from_float(mod)
    else:
        ours = getattr(quantnn.dynamic, name)(*args, **options, dtype=np.float16 if kind == 2 else quantnn.qint8)
        ours.load_state_dict(theirs.state_dict())
    return theirs, ours, kind == 2


def _count(pairs: Any) -> tuple[int, int]:
    elements = mismatches = 0
    for want, got in pairs:
        want = want.detach().numpy()
        elements += want.size
        same = want.shape == got.shape and got.dtype == np.float32
        mismatches += int((np.abs(want - got) > BOUND).sum()) if same else max(want.size, 1)
    return elements, mismatches


def _case_layers(name: str, rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """One layer, whose states are all in the output: cases with an integer that may flip are left out."""
    i, h = int(rng.integers(1, 40)), int(rng.integers(1, 24))
    bidirectional, batch_first = bool(rng.integers(2)), bool(rng.integers(2))
    theirs, ours, half = _module(rng, torch, name, i, h, batch_first=batch_first, bidirectional=bidirectional)
    wrong = repr(theirs) != repr(ours)
    t, b = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    x = rng.standard_normal((t, b, i)).astype(np.float32)
    states = [(rng.standard_normal((1 + bidirectional, b, h)) * 0.5).astype(np.float32) for _ in range(2)]
    hx: Any = tuple(states) if name == "LSTM" else states[0]
    t_hx: Any = tuple(map(torch.from_numpy, states)) if name == "LSTM" else torch.from_numpy(states[0])
    if rng.random() < 0.3:
        hx = t_hx = None
    lengths = rng.integers(1, t + 1, b) if rng.random() < 0.4 else None
    given = np.ascontiguousarray(x.swapaxes(0, 1)) if batch_first else x
    if lengths is None:
        y, last = theirs(torch.from_numpy(given), t_hx)
        z, ours_last = ours(given, hx)
    else:
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(torch.from_numpy(given), torch.from_numpy(lengths), batch_first, False)
        y, last = theirs(packed, t_hx)
        y, _ = rnn.pad_packed_sequence(y, batch_first, total_length=t)
        z, ours_last = ours(given, hx, lengths)
    steps = z.swapaxes(0, 1) if batch_first else z
    inside = np.arange(t)[:, None] < (np.full(b, t) if lengths is None else lengths)
    if not half and any(
        _may_flip(steps[s, inside[s], d * h : (d + 1) * h]) for s in range(t) for d in range(1 + bidirectional)
    ):
        return 0, int(wrong)
    if name == "LSTM":
        elements, mismatches = _count([(y, z), *zip(last, ours_last, strict=True)])
    else:
        elements, mismatches = _count([(y, z), (last, ours_last)])
    return elements, mismatches + wrong


def case_lstm(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_layers("LSTM", rng, torch, quantnn)


def case_gru(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_layers("GRU", rng, torch, quantnn)


def _case_cell(name: str, rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    i, h, b = (int(v) for v in rng.integers(1, 60, 3))
    options = {"nonlinearity": str(rng.choice(["tanh", "relu"]))} if name == "RNNCell" else {}
    theirs, ours, _ = _module(rng, torch, name, i, h, **options)
    x = rng.standard_normal((b, i)).astype(np.float32)
    states = [rng.standard_normal((b, h)).astype(np.float32) for _ in range(2)]
    wrong = repr(theirs) != repr(ours)
    if rng.random() < 0.2:
        want, got = theirs(torch.from_numpy(x)), ours(x)
    elif name == "LSTMCell":
        want, got = theirs(torch.from_numpy(x), tuple(map(torch.from_numpy, states))), ours(x, tuple(states))
    else:
        want, got = theirs(torch.from_numpy(x), torch.from_numpy(states[0])), ours(x, states[0])
    elements, mismatches = _count(zip(want, got, strict=True) if name == "LSTMCell" else [(want, got)])
    return elements, mismatches + wrong


def case_lstm_cell(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_cell("LSTMCell", rng, torch, quantnn)


def case_gru_cell(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_cell("GRUCell", rng, torch, quantnn)


def case_rnn_cell(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_cell("RNNCell", rng, torch, quantnn)


def case_cell_params(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """A step of a layer whose float weights are quantized on the way."""
    i, h, b = (int(v) for v in rng.integers(1, 40, 3))
    lstm = bool(rng.integers(2))
    gates = (4 if lstm else 3) * h
    shapes = ((gates, i), (gates, h), (gates,), (gates,))
    floats = [(rng.standard_normal(s) * rng.choice([0.01, 1])).astype(np.float32) for s in shapes]
    if rng.random() < 0.1:
        floats[0][...] = abs(floats[0][0, 0])
    x = rng.standard_normal((1, b, i)).astype(np.float32)
    states = [rng.standard_normal((1, b, h)).astype(np.float32) for _ in range(2 if lstm else 1)]
    ours = quantnn.ops.make_quantized_cell_params(*floats)
    theirs = torch.ops.quantized.make_quantized_cell_params(*map(torch.from_numpy, floats))
    more = (True, 1, 0.0, False, False, False)
    run = getattr(quantnn.ops, "quantized_lstm" if lstm else "quantized_gru")
    got = run(x, states if lstm else states[0], [ours], *more[:5])
    hx = [torch.from_numpy(s) for s in states]
    if lstm:
        want = torch.quantized_lstm(torch.from_numpy(x), hx, [theirs], *more)
    else:
        want = torch.quantized_gru(torch.from_numpy(x), hx[0], [theirs], *more)
    return _count(zip(want, got, strict=True))


CASES = {
    "make_quantized_cell_params": case_cell_params,
    "dynamic.LSTM": case_lstm,
    "dynamic.GRU": case_gru,
    "dynamic.LSTMCell": case_lstm_cell,
    "dynamic.GRUCell": case_gru_cell,
    "dynamic.RNNCell": case_rnn_cell,
}


@pytest.mark.parametrize("name", CASES)
def test_near_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    weights.assert_no_mismatch(CASES[name], torch, rng, n_cases)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_layers(torch: Any, rng: np.random.Generator, name: str) -> None:
    """Two layers in both directions; float16, whose products have no integers that flip."""
    mod = getattr(torch.nn, name)(5, 7, 2, bidirectional=True, dropout=0.5, batch_first=True)
    mod.qconfig = torch.ao.quantization.float16_dynamic_qconfig
    theirs = getattr(torch.ao.nn.quantized.dynamic, name).from_float(mod)
    ours = getattr(quantnn.dynamic, name).from_float(mod)
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    y, last = theirs(torch.from_numpy(x))
    z, ours_last = ours(x)
    np.testing.assert_allclose(z, y.detach().numpy(), rtol=0, atol=BOUND)
    for a, b in zip(last, ours_last, strict=True) if name == "LSTM" else [(last, ours_last)]:
        np.testing.assert_allclose(b, a.detach().numpy(), rtol=0, atol=BOUND)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert dict(ours.state_dict()._metadata) == dict(theirs.state_dict()._metadata)
    assert repr(ours) == repr(theirs)


def test_from_reference(torch: Any, rng: np.random.Generator) -> None:
    reference = torch.ao.nn.quantized.reference
    given = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, "scale": 0.02, "zero_point": 0}
    cell_given = {"weight_ih": given, "weight_hh": given, "is_decomposed": False}
    x = rng.standard_normal((3, 4)).astype(np.float32)
    for name in ("LSTMCell", "GRUCell", "RNNCell"):
        mod = getattr(reference, name).from_float(getattr(torch.nn, name)(4, 5), cell_given)
        want = getattr(torch.ao.nn.quantized.dynamic, name).from_reference(mod)(torch.from_numpy(x))
        got = getattr(quantnn.dynamic, name).from_reference(mod)(x)
        assert _count(zip(want, got, strict=True) if name == "LSTMCell" else [(want, got)])[1] == 0
    for name in ("LSTM", "GRU"):
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        mod = getattr(reference, name).from_float(
            getattr(torch.nn, name)(4, 5), {**dict.fromkeys(names, given), "is_decomposed": False}
        )
        ours = getattr(quantnn.dynamic, name).from_reference(mod)
        theirs = getattr(torch.ao.nn.quantized.dynamic, name).from_reference(mod)
        np.testing.assert_array_equal(
            ours.get_weight()["weight_hh_l0"].int_repr(), theirs.get_weight()["weight_hh_l0"].int_repr().numpy()
        )
        assert _count([(theirs(torch.from_numpy(x[None]))[0], ours(x[None])[0])])[1] == 0


def test_what_is_not_converted(torch: Any) -> None:
    mod = torch.nn.LSTM(3, 4, proj_size=2)
    mod.qconfig = torch.ao.quantization.default_dynamic_qconfig
    with pytest.raises(ValueError, match="projections"):
        quantnn.dynamic.LSTM.from_float(mod)
    mod = torch.nn.GRUCell(3, 4, bias=False)
    mod.qconfig = torch.ao.quantization.default_dynamic_qconfig
    with pytest.raises(ValueError, match="biases"):
        quantnn.dynamic.GRUCell.from_float(mod)
    with pytest.raises(TypeError, match="qconfig"):
        quantnn.dynamic.LSTM.from_float(torch.nn.LSTM(3, 4))
