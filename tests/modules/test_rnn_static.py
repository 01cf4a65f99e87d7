"""The static LSTM without torch: its steps, states, layers and directions."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, ops


def filled(rng: np.random.Generator, **options: bool | int) -> quantnn.LSTM:
    """A module with weights and parameters."""
    module = quantnn.LSTM(3, 4, **options)
    for part in module.modules():
        if isinstance(part, quantnn.Linear):
            weight = rng.normal(0, 0.5, part.weight().shape).astype(np.float32)
            bias = rng.normal(0, 0.2, part.out_features).astype(np.float32)
            part.set_weight_bias(quantnn.quantize_per_tensor(weight, 0.02, 0, quantnn.qint8), bias)
        if isinstance(part, (quantnn.Linear, quantnn.QFunctional)):
            part.scale, part.zero_point = float(rng.uniform(0.01, 0.05)), int(rng.integers(100, 150))
    return module


def draw(rng: np.random.Generator, *shape: int) -> QTensor:
    return quantnn.quantize_per_tensor(rng.normal(size=shape).astype(np.float32), 0.02, 128, quantnn.quint8)


def by_hand(cell: quantnn.Module, x: QTensor, h: QTensor, c: QTensor) -> tuple[QTensor, QTensor]:
    gates = cell.gates.add(cell.igates(x), cell.hgates(h))
    i, f, g, o = (gates[:, 4 * k : 4 * k + 4].contiguous() for k in range(4))
    kept, added = cell.fgate_cx.mul(ops.sigmoid(f), c), cell.igate_cgate.mul(ops.sigmoid(i), ops.tanh(g))
    c = cell.fgate_cx_igate_cgate.add(kept, added)
    return cell.ogate_cy.mul(ops.sigmoid(o), ops.tanh(c)), c


def test_steps(rng: np.random.Generator) -> None:
    module = filled(rng)
    x, h, c = draw(rng, 5, 2, 3), draw(rng, 1, 2, 4), draw(rng, 1, 2, 4)
    y, (h_n, c_n) = module(x, (h, c))
    cell, h, c = module.layers[0].layer_fw.cell, h[0], c[0]
    for t in range(5):
        h, c = by_hand(cell, x[t], h, c)
        np.testing.assert_array_equal(y[t].int_repr(), h.int_repr())
    assert h_n[0].equal(h)
    assert c_n[0].equal(c)
    one = cell(x[0])
    zeros = quantnn.quantize_per_tensor(np.zeros((2, 4), np.float32), 1.0, 0, quantnn.quint8)
    assert all(a.equal(b) for a, b in zip(one, by_hand(cell, x[0], zeros, zeros), strict=True))


@pytest.mark.parametrize("split_gates", [False, True])
def test_layers_and_directions(split_gates: bool, rng: np.random.Generator) -> None:
    module = filled(rng, num_layers=2, bidirectional=True, split_gates=split_gates)
    x, h, c = draw(rng, 5, 2, 3), draw(rng, 4, 2, 4), draw(rng, 4, 2, 4)
    y, (h_n, c_n) = module(x, (h, c))
    assert (y.shape, h_n.shape, c_n.shape) == ((5, 2, 8), (4, 2, 4), (4, 2, 4))
    pairs = [(h[:2], c[:2]), (h[2:], c[2:])]
    assert module(x, pairs)[0].equal(y)
    module.batch_first = True
    assert module(x.transpose(0, 1), (h, c))[0].transpose(0, 1).equal(y)
    module.batch_first = False
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert other(x, (h, c))[0].equal(y)
    loaded = quantnn.LSTM(3, 4, num_layers=2, bidirectional=True, split_gates=split_gates)
    loaded.load_state_dict(module.state_dict())
    again = loaded(x, (h, c))[0]
    np.testing.assert_array_equal(again.int_repr(), y.int_repr())


def test_refused(rng: np.random.Generator) -> None:
    module = quantnn.LSTM(3, 4)
    with pytest.raises(ValueError, match="x must have shape"):
        module(draw(rng, 5, 2, 4))
    with pytest.raises(ValueError, match="states of shape"):
        module(draw(rng, 5, 2, 3), (draw(rng, 1, 2, 5), draw(rng, 1, 2, 4)))
    with pytest.raises(TypeError, match="hidden must be a tuple"):
        module(draw(rng, 5, 2, 3), 3)
    with pytest.raises(TypeError, match="x must be a QTensor"):
        module(np.zeros((5, 2, 3), np.float32))
    with pytest.warns(UserWarning, match="dropout"):
        quantnn.LSTM(3, 4, dropout=0.5)
