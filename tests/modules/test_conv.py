"""Conv1d, Conv2d, Conv3d: construction, state, copies and bad input."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import QTensor, quint8
from tests.kernels.test_linear import random_weight

CLASSES = {1: quantnn.Conv1d, 2: quantnn.Conv2d, 3: quantnn.Conv3d}


def filled(rng: np.random.Generator, ndim: int) -> Any:
    module = CLASSES[ndim](4, 6, 3, stride=2, padding=1, groups=2)
    weight = random_weight(rng, (6, 2, *[3] * ndim), True)
    module.set_weight_bias(weight, rng.standard_normal(6).astype(np.float32))
    module.scale, module.zero_point = 0.25, 7
    return module


def same(a: Any, b: Any, ndim: int) -> None:
    assert (a.scale, a.zero_point, repr(a)) == (b.scale, b.zero_point, repr(b))
    np.testing.assert_array_equal(a.weight().int_repr(), b.weight().int_repr())
    np.testing.assert_array_equal(a.bias(), b.bias())
    ints = np.random.default_rng(0).integers(0, 256, (2, 4, *[5] * ndim)).astype(np.uint8)
    x = QTensor(ints, quint8, 0.1, 3)
    np.testing.assert_array_equal(a(x).int_repr(), b(x).int_repr())


def test_repr() -> None:
    assert repr(quantnn.Conv2d(3, 4, 3)) == (
        "QuantizedConv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), scale=1.0, zero_point=0)"
    )
    assert repr(quantnn.Conv1d(4, 4, 3, 2, 1, 2, 4, False)) == (
        "QuantizedConv1d(4, 4, kernel_size=(3,), stride=(2,), scale=1.0, zero_point=0, padding=(1,), dilation=(2,), "
        "groups=4, bias=False)"
    )
    assert quantnn.Conv3d(1, 1, (1, 2, 3)).kernel_size == (1, 2, 3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_state_dict(rng: np.random.Generator, ndim: int) -> None:
    m = filled(rng, ndim)
    state = m.state_dict()
    assert list(state) == ["weight", "bias", "scale", "zero_point"]
    assert dict(state._metadata) == {"": {"version": 1}}
    other = CLASSES[ndim](4, 6, 3, stride=2, padding=1, groups=2)
    other.load_state_dict(state)
    same(m, other, ndim)
    # without a bias the key stays, with None
    m = CLASSES[ndim](4, 6, 3, bias=False)
    state = m.state_dict()
    assert state["bias"] is None
    other = CLASSES[ndim](4, 6, 3)
    other.load_state_dict(state)
    assert other.bias() is None


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_copies(rng: np.random.Generator, ndim: int) -> None:
    m = filled(rng, ndim)
    for other in (copy.deepcopy(m), copy.copy(m), pickle.loads(pickle.dumps(m))):
        same(m, other, ndim)


def test_state_dicts_that_do_not_fit(rng: np.random.Generator) -> None:
    state = filled(rng, 2).state_dict()
    with pytest.raises(ValueError, match="size mismatch for weight"):
        quantnn.Conv2d(4, 6, 5, groups=2).load_state_dict(state)
    for key in state:
        short = OrderedDict((k, v) for k, v in state.items() if k != key)
        with pytest.raises(ValueError, match="Missing key"):
            quantnn.Conv2d(4, 6, 3, groups=2).load_state_dict(short)
    wrong = OrderedDict(state)
    wrong["weight"] = np.zeros((6, 2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="must be a QTensor"):
        quantnn.Conv2d(4, 6, 3, groups=2).load_state_dict(wrong)


def test_reflect_padding(rng: np.random.Generator) -> None:
    m = quantnn.Conv2d(3, 4, 3, padding=2, padding_mode="reflect")
    plain = quantnn.Conv2d(3, 4, 3)
    weight = random_weight(rng, (4, 3, 3, 3), True)
    for module in (m, plain):
        module.set_weight_bias(weight, None)
    x = QTensor(rng.integers(0, 256, (2, 3, 5, 6)).astype(np.uint8), quint8, 0.01, 5)
    padded = QTensor(np.pad(x._ints, ((0, 0), (0, 0), (2, 2), (2, 2)), "reflect"), quint8, 0.01, 5)
    np.testing.assert_array_equal(m(x).int_repr(), plain(padded).int_repr())
    with pytest.raises(ValueError, match="larger than the padding"):
        m(QTensor(np.ones((1, 3, 2, 5), np.uint8), quint8, 1.0, 0))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: quantnn.Conv2d(0, 4, 3), ValueError, "in_channels must be at least 1"),
        (lambda: quantnn.Conv2d(4, 0, 3), ValueError, "out_channels must be at least 1"),
        (lambda: quantnn.Conv2d(4, 4, 0), ValueError, "kernel_size must be at least 1"),
        (lambda: quantnn.Conv2d(4, 4, (3, 3, 3)), ValueError, "2 ints"),
        (lambda: quantnn.Conv2d(4, 4, 3.0), TypeError, "kernel_size must be an int"),
        (lambda: quantnn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible"),
        (lambda: quantnn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible"),
        (lambda: quantnn.Conv2d(4, 4, 3, groups=0), ValueError, "groups must be at least 1"),
        (lambda: quantnn.Conv2d(4, 4, 3, stride=0), ValueError, "stride must be at least 1"),
        (lambda: quantnn.Conv2d(4, 4, 3, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: quantnn.Conv2d(4, 4, 3, padding="same"), TypeError, "padding"),
        (lambda: quantnn.Conv2d(4, 4, 3, padding_mode="circular"), ValueError, "padding_mode"),
        (lambda: quantnn.Conv3d(4, 4, 3, padding_mode="reflect"), ValueError, "padding_mode"),
        (
            lambda: quantnn.Conv2d(4, 4, 3)(np.ones((1, 4, 5, 5), np.float32)),
            TypeError,
            "Conv2d: input must be",
        ),
        (lambda: quantnn.Conv2d.from_float(quantnn.Identity()), TypeError, "must be a Conv2d"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
