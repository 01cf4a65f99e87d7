"""Activation modules: they are their function, with torch's attributes, state and repr."""

from __future__ import annotations

import copy
import math
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.modules.activation import ELU, Hardswish, ReLU6
from quantnn.modules.container import Sequential
from quantnn.modules.module import Module, StateDictError
from quantnn.ops import _function, _softmax, _unary
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


MADE: tuple[Any, ...] = (
    (quantnn.CELU(0.1, 3, 0.5), _unary.celu(X, 0.1, 3, 0.5), "QuantizedCELU(alpha=0.5)"),
    (quantnn.Sigmoid(0.1, 3), _unary.sigmoid(X, 0.1, 3), "Sigmoid()"),
    (quantnn.Softmax(0, 0.01, 3), _softmax.softmax(X, 0, 0.01, 3), "QuantizedSoftmax(dim=0)"),
    (quantnn.SiLU(0.1, 3), _function.silu(X, 0.1, 3), "QuantizedSiLU()"),
    (quantnn.Mish(0.1, 3), _function.mish(X, 0.1, 3), "QuantizedMish()"),
    (
        quantnn.GELU(0.1, 3, "tanh"),
        _function.gelu(X, 0.1, 3, "tanh"),
        "QuantizedGELU(approximate='tanh')",
    ),
    (
        quantnn.Softplus(0.1, 3, 2.0),
        _function.softplus(X, 0.1, 3, 2.0),
        "QuantizedSoftplus(beta=2.0, threshold=20.0)",
    ),
    (quantnn.Unary(math.sin, 0.1, 30), _function.unary(X, math.sin, 0.1, 30), "QuantizedUnary()"),
    (
        quantnn.LeakyReLU(0.125, 3, 0.2),
        _unary.leaky_relu(X, 0.2, False, 0.125, 3),
        "QuantizedLeakyReLU(negative_slope=0.2)",
    ),
    (quantnn.Tanh(), _unary.tanh(X), "Tanh()"),
    (quantnn.Hardsigmoid(), _unary.hardsigmoid(X), "Hardsigmoid()"),
    (quantnn.Hardtanh(-0.5, 2.0), _unary.hardtanh(X, -0.5, 2.0), "Hardtanh(min_val=-0.5, max_val=2.0)"),
    (quantnn.Threshold(0.5, 2.0), _unary.threshold(X, 0.5, 2.0), "Threshold(threshold=0.5, value=2.0)"),
)


@pytest.mark.parametrize(("module", "want", "shown"), MADE, ids=[type(m).__name__ for m, *_ in MADE])
def test_other_modules(module: Module, want: QTensor, shown: str) -> None:
    assert_equal(module(X), want)
    assert repr(module) == shown
    for same in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_equal(same(X), want)
    state = module.state_dict()
    assert list(state) == (["scale", "zero_point"] if hasattr(module, "scale") else [])
    if state:
        other = copy.deepcopy(module)
        other.load_state_dict({"scale": np.float32(0.5), "zero_point": np.int64(9)})
        assert (other(X).q_scale(), other(X).q_zero_point()) == (0.5, 9)
        if not isinstance(module, quantnn.LeakyReLU):
            module.load_state_dict({})
    with pytest.raises(TypeError, match="must be a QTensor"):
        module(np.zeros(3, np.float32))


def test_sigmoid_has_torchs_names() -> None:
    module = quantnn.Sigmoid(0.5, 3)
    module.output_scale, module.output_zero_point = 0.25, 4
    y = module(X)
    assert (y.q_scale(), y.q_zero_point()) == (module.scale, module.zero_point) == (0.25, 4)
    assert (module.output_scale, module.output_zero_point) == (0.25, 4)


def test_softmax_without_dim() -> None:
    for shape, dim in (((6,), 0), ((2, 3), 1), ((1, 2, 3), 0), ((1, 1, 2, 3), 1)):
        x = QTensor(np.arange(6, dtype=np.uint8).reshape(shape), quint8, 0.5, 0)
        with pytest.warns(UserWarning, match=f"dim={dim}"):
            assert_equal(quantnn.Softmax()(x), _softmax.softmax(x, dim, 1.0, 0))


def test_prelu() -> None:
    module = quantnn.PReLU(0.1, 3, 2)
    weight = quantnn.quantize_per_tensor(np.array([0.5, 0.25], np.float32), 1 / 128, 0, quint8)
    module.set_weight(weight)
    x = X.view(-1, 2, 1) if X.numel() % 2 == 0 else X[:-1].view(-1, 2, 1)
    assert_equal(module(x), quantnn.ops.prelu(x, weight, 0.1, 3))
    assert repr(module) == "QuantizedPReLU()"
    state = module.state_dict()
    assert list(state) == ["weight", "scale", "zero_point"]
    other = quantnn.PReLU(1.0, 0, 2)
    other.load_state_dict(state)
    assert_equal(other(x)[:, :1], quantnn.ops.prelu(x, weight, float(np.float32(0.1)), 3)[:, :1])
    other.load_state_dict({})  # torch's is empty
    with pytest.raises(StateDictError, match="size mismatch for weight"):
        quantnn.PReLU(1.0, 0).load_state_dict(state)
    with pytest.raises(StateDictError, match=r"weight: PReLU\.set_weight: w must be a QTensor"):
        other.load_state_dict({**state, "weight": np.ones(2)})
    with pytest.raises(ValueError, match=r"PReLU.set_weight: w must have shape \(2,\); got \(1,\)"):
        module.set_weight(weight[:1])
    with pytest.raises(ValueError, match="num_parameters must be at least 1"):
        quantnn.PReLU(1.0, 0, 0)


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
    assert repr(quantnn.LeakyReLU.from_float(Observed(negative_slope=0.3, inplace=True))).endswith("0.3, inplace=True)")
    assert quantnn.Softmax.from_float(Observed(dim=2)).dim == 2
    assert quantnn.Softmax.from_reference(Observed(dim=None), 0.5, 1).scale == 0.5
    assert quantnn.Sigmoid.from_float(Observed()).output_zero_point == 7
    assert quantnn.GELU.from_float(Observed(approximate="tanh")).approximate == "tanh"
    with pytest.raises(NotImplementedError, match=r"Unary\.from_float"):
        quantnn.Unary.from_float(Observed())
    with pytest.raises(TypeError, match=r"PReLU\.from_float: mod must be a module with num_parameters"):
        quantnn.PReLU.from_float(Observed())
    with pytest.raises(TypeError, match=r"PReLU\.from_float: mod must have a qconfig"):
        quantnn.PReLU.from_float(Observed(num_parameters=1, weight=np.ones(1)))
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
