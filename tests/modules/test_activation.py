"""ReLU6, Hardswish and ELU."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn.modules.activation import ELU, Hardswish, ReLU6
from quantnn.modules.container import Sequential
from quantnn.modules.module import Module, StateDictError
from quantnn.ops import _unary
from quantnn.tensor import QTensor, qint8, quint8

X = QTensor(np.arange(0, 256, 3, dtype=np.uint8), quint8, 0.1, 100)


class Observed(Module):
    """A float module after calibration."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)
        self.activation_post_process = SimpleNamespace(calculate_qparams=lambda: (np.float32([0.1]), np.int64([7])))

    def forward(self, x: Any) -> Any:
        return x


def assert_equal(got: QTensor, want: QTensor) -> None:
    np.testing.assert_array_equal(got.int_repr(), want.int_repr())
    assert (got.q_scale(), got.q_zero_point()) == (want.q_scale(), want.q_zero_point())


def test_forward_is_the_operator(level: str) -> None:
    assert_equal(ReLU6()(X), _unary.relu6(X))
    assert_equal(Hardswish(0.1, 3)(X), _unary.hardswish(X, float(np.float32(0.1)), 3))
    assert_equal(ELU(0.1, 3, 0.5)(X), _unary.elu(X, 0.1, 3, 0.5))
    y = QTensor(X._ints.copy(), quint8, 0.1, 100)
    assert ReLU6(inplace=True)(y) is y
    assert_equal(y, _unary.relu6(X))


def test_repr() -> None:
    assert repr(ReLU6()) == "QuantizedReLU6()"
    assert repr(ReLU6(True)) == "QuantizedReLU6(inplace=True)"
    assert repr(Hardswish(0.1, 3)) == "QuantizedHardswish()"
    assert repr(ELU(0.1, 3)) == "QuantizedELU(alpha=1.0)"


def test_state() -> None:
    assert ReLU6().state_dict() == {}
    for made, blank in ((Hardswish(0.1, 3), Hardswish(1.0, 0)), (ELU(0.1, 3), ELU(1.0, 0))):
        state = made.state_dict()
        assert list(state) == ["scale", "zero_point"]
        assert (state["scale"].dtype, state["scale"].shape) == (np.float32, ())
        assert (state["zero_point"].dtype, state["zero_point"].shape) == (np.int64, ())
        blank.load_state_dict(state)
        y = blank(X)
        assert (y.q_scale(), y.q_zero_point()) == (float(np.float32(0.1)), 3)
        for same in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert_equal(same(X), made(X))


def test_elu_loads_torchs_state_that_lacks_it() -> None:
    net = Sequential(ELU(0.1, 3))
    net.load_state_dict({})
    assert net[0].scale == 0.1
    with pytest.raises(StateDictError, match=r"0\.zero_point"):
        net.load_state_dict({"0.scale": np.float32(1)})
    with pytest.raises(StateDictError):
        Hardswish(0.1, 3).load_state_dict({})


def test_from_float() -> None:
    assert ReLU6.from_float(Observed(inplace=True)).inplace is True
    hardswish = Hardswish.from_float(Observed(), use_precomputed_fake_quant=True)
    assert (hardswish.scale.item(), hardswish.zero_point.item()) == (float(np.float32(0.1)), 7)
    elu = ELU.from_float(Observed(alpha=0.5))
    assert (elu.scale, elu.zero_point, elu.alpha) == (float(np.float32(0.1)), 7, 0.5)
    assert ELU.from_reference(Observed(alpha=2.0), 0.5, 1).alpha == 2.0
    assert Hardswish.from_reference(Observed(), 0.5, 1).scale == 0.5
    with pytest.raises(TypeError, match=r"ReLU6\.from_float: mod must be a module with inplace"):
        ReLU6.from_float(Observed())
    with pytest.raises(TypeError, match=r"ELU\.from_float: mod must be a module with alpha"):
        ELU.from_float(3)
    with pytest.raises(TypeError, match=r"Hardswish\.from_float: mod must have an observer"):
        Hardswish.from_float(ReLU6())


def test_bad_arguments() -> None:
    for make in (Hardswish, ELU):
        for scale in (0.0, -1.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="scale must be"):
                make(scale, 0)
        with pytest.raises(TypeError, match="zero_point must be an int"):
            make(1.0, 0.5)
        with pytest.raises(ValueError, match="zero_point must be in"):
            make(1.0, 200)(QTensor(X._ints.view(np.int8), qint8, 0.1, 0))
        with pytest.raises(TypeError, match="input must be a QTensor"):
            make(1.0, 0)(np.zeros(3, np.float32))
    Hardswish(1.0, 0, device="cpu", dtype=None)
