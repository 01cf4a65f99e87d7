"""Linear: construction, state, copies, old checkpoints and bad input."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import QTensor, per_channel_affine, qint8, quint8
from tests.kernels.test_linear import random_weight


def filled(rng: np.random.Generator, per_channel: bool = True) -> quantnn.Linear:
    module = quantnn.Linear(5, 3)
    module.set_weight_bias(random_weight(rng, (3, 5), per_channel), rng.standard_normal(3).astype(np.float32))
    module.scale, module.zero_point = 0.25, 7
    return module


def same(a: quantnn.Linear, b: quantnn.Linear) -> None:
    assert (a.scale, a.zero_point, repr(a)) == (b.scale, b.zero_point, repr(b))
    np.testing.assert_array_equal(a.weight().int_repr(), b.weight().int_repr())
    np.testing.assert_array_equal(a.bias(), b.bias())
    x = QTensor(np.arange(20, dtype=np.uint8).reshape(4, 5), quint8, 0.1, 3)
    np.testing.assert_array_equal(a(x).int_repr(), b(x).int_repr())


def test_default() -> None:
    m = quantnn.Linear(3, 4)
    assert repr(m) == (
        "QuantizedLinear(in_features=3, out_features=4, scale=1.0, zero_point=0, qscheme=torch.per_tensor_affine)"
    )
    assert m.weight().shape == (4, 3)
    assert not m.weight().int_repr().any()
    assert m.bias().tolist() == [0, 0, 0, 0]
    assert quantnn.Linear(3, 4, bias_=False).bias() is None
    y = m(QTensor(np.ones((2, 3), np.uint8), quint8, 1.0, 0))
    assert y.int_repr().tolist() == [[0] * 4] * 2


def test_weights_keep_float32_scales() -> None:
    m = quantnn.Linear(2, 1)
    m.set_weight_bias(QTensor(np.ones((1, 2), np.int8), qint8, 1 / 3, 0), None)
    assert m.weight().q_scale() == 0.3333333432674408


def test_state_dict(rng: np.random.Generator) -> None:
    m = filled(rng)
    state = m.state_dict()
    assert list(state) == ["scale", "zero_point", "_packed_params.dtype", "_packed_params._packed_params"]
    assert (state["scale"].dtype, state["scale"].shape) == (np.float32, ())
    assert (state["zero_point"].dtype, state["zero_point"].shape) == (np.int64, ())
    assert dict(state._metadata) == {"": {"version": 3}, "_packed_params": {"version": 3}}
    other = quantnn.Linear(5, 3)
    assert repr(other.load_state_dict(state)) == "<All keys matched successfully>"
    same(m, other)


def test_copies(rng: np.random.Generator) -> None:
    m = filled(rng)
    for other in (copy.deepcopy(m), copy.copy(m), pickle.loads(pickle.dumps(m))):
        same(m, other)
    other.scale = 9.0
    assert m.scale == 0.25


@pytest.mark.parametrize("version", [None, 1, 2])
def test_older_state_dicts(rng: np.random.Generator, version: int | None) -> None:
    m = filled(rng, per_channel=False)
    prefix = "" if version in (None, 1) else "_packed_params."
    state: Any = OrderedDict(
        {
            "scale": np.float32(0.25),
            "zero_point": np.int64(7),
            f"{prefix}weight": m.weight(),
            f"{prefix}bias": m.bias(),
        }
    )
    if version == 2:
        state["_packed_params.dtype"] = qint8
    if version is not None:
        state._metadata = {"": {"version": version}, "_packed_params": {"version": version}}
    other = quantnn.Linear(5, 3)
    other.load_state_dict(state)
    same(m, other)


def test_state_dicts_that_do_not_fit(rng: np.random.Generator) -> None:
    state = filled(rng).state_dict()
    with pytest.raises(ValueError, match=r"size mismatch for _packed_params\._packed_params"):
        quantnn.Linear(5, 4).load_state_dict(state)
    for key in state:
        if key.endswith("dtype"):
            continue
        short = OrderedDict((k, v) for k, v in state.items() if k != key)
        with pytest.raises(ValueError, match="Missing key"):
            quantnn.Linear(5, 3).load_state_dict(short)
    wrong = OrderedDict(state)
    wrong["_packed_params._packed_params"] = (np.zeros((3, 5), np.float32), None)
    with pytest.raises(ValueError, match="weight must be a QTensor"):
        quantnn.Linear(5, 3).load_state_dict(wrong)
    wrong["_packed_params._packed_params"] = 3
    with pytest.raises(ValueError, match="must be a tuple"):
        quantnn.Linear(5, 3).load_state_dict(wrong)
    more = OrderedDict(state)
    more["other"] = np.zeros(1)
    quantnn.Linear(5, 3).load_state_dict(more)  # as in torch


AXIS1 = QTensor(np.ones((3, 5), np.int8), qint8, np.ones(5), np.zeros(5, int), per_channel_affine, 1)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: quantnn.Linear(-1, 2), ValueError, "in_features"),
        (lambda: quantnn.Linear(2.5, 2), TypeError, "in_features"),
        (lambda: quantnn.Linear(2, "3"), TypeError, "out_features"),
        (lambda: quantnn.Linear(2, 3, dtype=quint8), TypeError, "dtype must be qint8"),
        (
            lambda: quantnn.Linear(5, 3)(np.ones((2, 5), np.float32)),
            TypeError,
            "Linear: input must be a QTensor",
        ),
        (lambda: quantnn.Linear(5, 3).set_weight_bias(AXIS1, None), ValueError, "axis 0"),
        (lambda: quantnn.Linear(5, 4).set_weight_bias(AXIS1, None), ValueError, "shape"),
        (lambda: quantnn.Linear.from_float(quantnn.Identity()), TypeError, "must be a Linear"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
