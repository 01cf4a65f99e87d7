"""Quantize and DeQuantize."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn import DeQuantize, Quantize
from quantnn.tensor import qint8, qint32, quantize_per_tensor, quint4x2, quint8


@pytest.mark.parametrize("dtype", [quint8, qint8, qint32])
def test_forward(level: str, rng: np.random.Generator, dtype: Any) -> None:
    x = rng.normal(size=(3, 5)).astype(np.float32)
    module = Quantize(1 / 3, 5, dtype)
    q, expected = module(x), quantize_per_tensor(x, float(np.float32(1 / 3)), 5, dtype)
    assert q.q_scale() == 0.3333333432674408
    assert q.q_zero_point() == 5
    assert q.dtype is dtype
    np.testing.assert_array_equal(q.int_repr(), expected.int_repr())
    np.testing.assert_array_equal(DeQuantize()(q), expected.dequantize())


def test_state() -> None:
    module = Quantize(0.1, 3, quint8)
    assert repr(module) == "Quantize(scale=tensor([0.1000]), zero_point=tensor([3]), dtype=torch.quint8)"
    state = module.state_dict()
    assert list(state) == ["scale", "zero_point"]
    assert (state["scale"].dtype, state["scale"].shape) == (np.float32, (1,))
    assert (state["zero_point"].dtype, state["zero_point"].shape) == (np.int64, (1,))
    assert DeQuantize().state_dict() == {}
    other = Quantize(np.float32(1.0), np.int64(0), quint8)
    other.load_state_dict(state)
    assert repr(other) == repr(module)
    other.load_state_dict({"scale": np.array(0.5, dtype=np.float64), "zero_point": np.int64(4)})
    x = np.ones(2, dtype=np.float32)
    assert other(x).int_repr().tolist() == [6, 6]
    other.scale[0] = 0.25  # attributes are what counts
    assert other(x).int_repr().tolist() == [8, 8]
    other.scale = np.array(1.0, dtype=np.float32)
    assert other(x).int_repr().tolist() == [5, 5]
    for how in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        assert repr(how(module)) == repr(module)
        assert how(module).dtype is quint8


@pytest.mark.parametrize("scale", [0, -0.1, float("nan"), float("inf"), 1e-60, 1e60])
def test_bad_scale(scale: float) -> None:
    with pytest.raises(ValueError, match="Quantize: scale must be a positive, finite number"):
        Quantize(scale, 0, quint8)


def test_bad_arguments() -> None:
    for zero_point in (-1, 256):
        with pytest.raises(ValueError, match=r"Quantize: zero_point must be in \[0, 255\]"):
            Quantize(0.1, zero_point, quint8)
    for zero_point in (0.5, True, "a", None):
        with pytest.raises(TypeError, match="Quantize: zero_point must be an int"):
            Quantize(0.1, zero_point, quint8)
    for dtype in (np.uint8, "quint8", None):
        with pytest.raises(TypeError, match="Quantize: dtype must be quint8, qint8 or qint32"):
            Quantize(0.1, 0, dtype)
    with pytest.raises(TypeError, match="scale must be a number"):
        Quantize("a", 0, quint8)


def test_bad_input() -> None:
    module = Quantize(0.1, 0, quint8)
    for x in ([1.0], None, np.ones(2), module(np.ones(2, dtype=np.float32))):
        with pytest.raises(TypeError):
            module(x)
    for x in ([1.0], None, np.ones(2)):
        with pytest.raises(TypeError, match="DeQuantize: Xq must be a QTensor"):
            DeQuantize()(x)
    x = np.ones(2, dtype=np.float32)
    assert DeQuantize()(x) is x


def test_from_float() -> None:
    observer = SimpleNamespace(
        calculate_qparams=lambda: (np.array([0.5], np.float32), np.array([3], np.int32)), dtype=qint8
    )
    module = Quantize.from_float(SimpleNamespace(activation_post_process=observer))
    assert repr(module) == "Quantize(scale=tensor([0.5000]), zero_point=tensor([3]), dtype=torch.qint8)"
    with pytest.raises(TypeError, match=r"Quantize\.from_float: mod must have an observer"):
        Quantize.from_float(SimpleNamespace())
    observer.dtype = np.float32
    with pytest.raises(TypeError, match="dtype must be"):
        Quantize.from_float(SimpleNamespace(activation_post_process=observer))
    assert isinstance(DeQuantize.from_float(None), DeQuantize)


def test_sub_byte() -> None:
    q = Quantize(1.0, 0, quint4x2)(np.array([1, 2, 3], dtype=np.float32))
    assert q.dtype is quint4x2
    assert DeQuantize()(q).tolist() == [1, 2, 3]
