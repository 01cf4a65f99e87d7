"""FloatFunctional and QFunctional."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn.modules.container import Sequential
from quantnn.modules.functional_modules import FloatFunctional, QFunctional
from quantnn.modules.module import Module, StateDictError
from quantnn.ops import _binary
from quantnn.tensor import QTensor, quint8

A = QTensor(np.arange(0, 200, 3, dtype=np.uint8), quint8, 0.1, 100)
B = QTensor(A._ints[::-1].copy(), quint8, 0.2, 50)
X = np.array([1.0, -2.0], np.float32)
Y = np.array([[0.5], [1.0]], np.float32)


class Observer(Module):
    """It counts what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Any) -> Any:
        self.seen += 1
        return x

    def calculate_qparams(self) -> tuple[np.ndarray, np.ndarray]:
        return np.float32([0.1]), np.int64([7])


def assert_equal(got: QTensor, want: QTensor) -> None:
    np.testing.assert_array_equal(got.int_repr(), want.int_repr())
    assert (got.q_scale(), got.q_zero_point()) == (want.q_scale(), want.q_zero_point())


def test_qfunctional_is_the_operator(level: str) -> None:
    q = QFunctional()
    q.scale, q.zero_point = 0.3, 11
    q.activation_post_process = observer = Observer()
    assert_equal(q.add(A, B), _binary.add(A, B, 0.3, 11))
    assert_equal(q.add_relu(A, B), _binary.add_relu(A, B, 0.3, 11))
    assert_equal(q.mul(A, B), _binary.mul(A, B, 0.3, 11))
    assert_equal(q.cat([A, B]), _binary.cat([A, B], 0, 0.3, 11))
    assert observer.seen == 4
    assert_equal(q.add_scalar(A, 2.0), _binary.add_scalar(A, 2.0))
    assert_equal(q.mul_scalar(A, -2.0), _binary.mul_scalar(A, -2.0))
    assert observer.seen == 4


def test_float_functional() -> None:
    f = FloatFunctional()
    f.activation_post_process = observer = Observer()
    np.testing.assert_array_equal(f.add(X, Y), X + Y, strict=True)
    np.testing.assert_array_equal(f.mul(X, Y), X * Y, strict=True)
    np.testing.assert_array_equal(f.add_relu(X, Y), np.maximum(X + Y, np.float32(0)), strict=True)
    np.testing.assert_array_equal(f.cat([Y, Y], 1), np.hstack([Y, Y]), strict=True)
    assert observer.seen == 4
    np.testing.assert_array_equal(f.add_scalar(X, 2), X + np.float32(2), strict=True)
    np.testing.assert_array_equal(f.mul_scalar(X, 0.1), X * np.float32(0.1), strict=True)
    assert observer.seen == 4
    huge = np.full(1, 3e38, np.float32)
    assert f.add(huge, huge) == np.inf
    assert f.add(np.float32(1), np.array(2, np.float32)).shape == ()


def test_forward_raises() -> None:
    with pytest.raises(RuntimeError, match=r"^FloatFunctional is not intended to use the 'forward'"):
        FloatFunctional()(X)
    with pytest.raises(RuntimeError, match=r"^Functional is not intended to use the 'forward'"):
        QFunctional()(A)


def test_repr_and_state() -> None:
    q = QFunctional()
    text = "QFunctional(\n  scale=1.0, zero_point=0\n  (activation_post_process): Identity()\n)"
    assert repr(q) == text
    assert repr(FloatFunctional()) == "FloatFunctional(\n  (activation_post_process): Identity()\n)"
    assert FloatFunctional().state_dict() == {}
    q.scale, q.zero_point = 0.1, 3
    state = Sequential(q).state_dict()
    assert list(state) == ["0.scale", "0.zero_point"]
    assert (state["0.scale"].dtype, state["0.scale"].shape) == (np.float32, ())
    assert (state["0.zero_point"].dtype, state["0.zero_point"].shape) == (np.int64, ())
    net = Sequential(QFunctional())
    net.load_state_dict(state)
    assert (net[0].scale, net[0].zero_point) == (float(np.float32(0.1)), 3)
    with pytest.raises(StateDictError, match=r"0\.zero_point"):
        net.load_state_dict({"0.scale": np.float32(1)})
    for same in (copy.deepcopy(q), pickle.loads(pickle.dumps(q))):
        assert repr(same) == repr(q)


def test_from_float() -> None:
    f = FloatFunctional()
    f.activation_post_process = Observer()
    q = QFunctional.from_float(f, use_precomputed_fake_quant=True)
    assert (q.scale, q.zero_point) == (float(np.float32(0.1)), 7)
    with pytest.raises(TypeError, match=r"QFunctional\.from_float: mod must be a FloatFunctional; got"):
        QFunctional.from_float(SimpleNamespace())
    with pytest.raises(TypeError, match=r"QFunctional\.from_float"):
        QFunctional.from_float(FloatFunctional())  # not observed


def test_bad_input() -> None:
    f, q = FloatFunctional(), QFunctional()
    for wrong in (None, 1.0, X.astype(np.float64), A):
        with pytest.raises(TypeError, match=r"FloatFunctional\.add: y must be a float32 array"):
            f.add(X, wrong)
        with pytest.raises(TypeError, match=r"FloatFunctional\.cat: x\[1\] must be a float32 array"):
            f.cat([X, wrong])
    with pytest.raises(ValueError, match="broadcast"):
        f.mul(X, np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="y must be a number"):
        f.add_scalar(X, "1")
    with pytest.raises(TypeError, match="list or tuple"):
        f.cat([])
    with pytest.raises(IndexError, match="dim must be in"):
        f.cat([X, X], 1)
    with pytest.raises(ValueError, match="equal shapes"):
        f.cat([X, Y])
    with pytest.raises(TypeError, match="add: qa must be a QTensor"):
        q.add(X, A)
    q.scale = 0.0
    with pytest.raises(ValueError, match="mul: scale must be"):
        q.mul(A, A)
