"""Embedding and EmbeddingBag."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn import tensor
from quantnn.modules.container import Sequential
from quantnn.modules.embedding_ops import Embedding as QuantizedEmbedding
from quantnn.modules.embedding_ops import EmbeddingBag as QuantizedEmbeddingBag
from quantnn.modules.embedding_ops import EmbeddingPackedParams
from quantnn.tensor import QTensor, quint4x2, quint8

MODULES = (QuantizedEmbedding, QuantizedEmbeddingBag)
FLOATS = tensor.per_channel_affine_float_qparams


def table(rng: np.random.Generator, rows: int, dim: int, dtype: Any) -> QTensor:
    w = rng.standard_normal((rows, dim)).astype(np.float32)
    scales = ((w.max(1) - w.min(1)) / np.float32(dtype.qmax)).astype(np.float32)
    return tensor.quantize_per_channel(w, scales, -w.min(1) / scales, 0, dtype)


def call(m: Any, indices: np.ndarray) -> np.ndarray:
    return m(indices, np.array([0])) if isinstance(m, QuantizedEmbeddingBag) else m(indices)


@pytest.mark.parametrize("cls", MODULES)
@pytest.mark.parametrize("dtype", [quint8, quint4x2])
def test_weight_and_state(cls: Any, dtype: Any, rng: np.random.Generator) -> None:
    w = table(rng, 6, 10, dtype)
    indices = np.array([5, 0, 3])
    m = cls(6, 10, _weight=w, dtype=dtype)
    want = call(m, indices)
    exact = w.dequantize()[indices]
    near = exact if cls is QuantizedEmbedding else exact.sum(0, keepdims=True)
    assert want.dtype == np.float32
    np.testing.assert_allclose(want, near, atol=0.02)
    assert m.weight().equal(w)
    state = m.state_dict()
    assert list(state) == ["_packed_params.dtype", "_packed_params._packed_weight"]
    assert state["_packed_params.dtype"] is dtype
    assert state._metadata == {"": {"version": 1}, "_packed_params": {"version": 1}}
    loaded = cls(6, 10)  # the dtype of the state counts
    loaded.load_state_dict(state)
    assert loaded.dtype is dtype
    set_later = cls(6, 10, dtype=dtype)
    set_later.set_weight(w)
    nested = Sequential(OrderedDict(table=cls(6, 10)))
    nested.load_state_dict({f"table.{k}": v for k, v in state.items()})
    for same in (loaded, set_later, nested.table, copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        np.testing.assert_array_equal(call(same, indices), want)
    assert repr(m) == (
        f"{m._get_name()}(num_embeddings=6, embedding_dim=10, dtype=torch.{dtype.name}, "
        "qscheme=torch.per_channel_affine_float_qparams)"
    )
    assert repr(m._packed_params) == repr(w)


@pytest.mark.parametrize("dtype", [quint8, quint4x2])
def test_default_is_zero(dtype: Any) -> None:
    m = QuantizedEmbedding(3, 4, dtype=dtype)
    assert m._get_name() == "QuantizedEmbedding"
    assert not m(np.array([[0, 1], [2, 2]], np.int32)).any()
    w = m.weight()
    assert (w.shape, w.dtype, w.qscheme()) == ((3, 4), dtype, FLOATS)
    np.testing.assert_array_equal(w._scale, np.ones(3))
    np.testing.assert_array_equal(w._zero_point, np.zeros(3))


def test_bag_options(rng: np.random.Generator) -> None:
    w = table(rng, 6, 4, quint8)
    m = QuantizedEmbeddingBag(6, 4, include_last_offset=True, _weight=w)
    assert (m.mode, m.include_last_offset, m.pruned_weights) == ("sum", True, False)
    rows = QuantizedEmbedding(6, 4, _weight=w)(np.array([1, 2]))
    y = m(np.array([1, 2]), np.array([0, 1, 1, 2]), np.array([1, 2], np.float32))
    np.testing.assert_array_equal(y[0], rows[0])
    np.testing.assert_array_equal(y[1], np.zeros(4))
    np.testing.assert_allclose(y[2], 2 * rows[1], rtol=1e-6)
    m.pruned_weights = True
    y = m(np.array([1, 0]), np.array([0, 2]), None, np.array([1, -1], np.int32))
    np.testing.assert_array_equal(y[0], rows[0])


def test_modes() -> None:
    for mode in ("mean", "max"):
        with pytest.warns(UserWarning, match="summed"):
            assert QuantizedEmbeddingBag(3, 4, mode=mode).mode == mode
    with pytest.raises(ValueError, match="mode must be"):
        QuantizedEmbeddingBag(3, 4, mode="sums")


class RowObserver:
    """As much of torch's per-channel observer as from_float needs."""

    qscheme = FLOATS
    ch_axis = 0

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.quant_min, self.quant_max = dtype.qmin, dtype.qmax

    def __call__(self, weight: np.ndarray) -> None:
        self.weight = weight

    def calculate_qparams(self) -> Any:
        low, high = self.weight.min(1), self.weight.max(1)
        scale = ((high - low) / np.float32(self.quant_max)).astype(np.float32)
        return scale, (-low / scale).astype(np.float32)


class Embedding(SimpleNamespace):
    named_children = forward = None


class EmbeddingBag(Embedding):
    pass


@pytest.mark.parametrize("dtype", [quint8, quint4x2, None])
def test_from_float(dtype: Any, rng: np.random.Generator) -> None:
    weight = rng.standard_normal((5, 6)).astype(np.float32)
    common = {
        "weight": weight,
        "num_embeddings": 5,
        "embedding_dim": 6,
        "qconfig": None if dtype is None else SimpleNamespace(weight=lambda: RowObserver(dtype)),
    }
    m = QuantizedEmbedding.from_float(Embedding(**common))
    b = QuantizedEmbeddingBag.from_float(EmbeddingBag(**common, mode="sum", include_last_offset=True))
    assert m.dtype is b.dtype is (dtype or quint8)
    assert b.include_last_offset
    want = RowObserver(dtype or quint8)
    want(weight)
    q = tensor.quantize_per_channel(weight, *want.calculate_qparams(), 0, dtype or quint8)
    assert m.weight().equal(q)
    assert b.weight().equal(q)


def test_from_reference(rng: np.random.Generator) -> None:
    w = table(rng, 5, 6, quint4x2)
    ref = SimpleNamespace(
        num_embeddings=5, embedding_dim=6, mode="sum", include_last_offset=False, weight_dtype=quint4x2,
        get_quantized_weight=lambda: w,
    )  # fmt: skip
    for cls in MODULES:
        assert cls.from_reference(ref).weight().equal(w)


def observed(dtype: Any) -> Embedding:
    """A float module with an observer of a dtype."""
    qconfig = SimpleNamespace(weight=lambda: RowObserver(dtype))
    return Embedding(weight=np.ones((3, 4), np.float32), num_embeddings=3, embedding_dim=4, qconfig=qconfig)


def test_bad_arguments(rng: np.random.Generator) -> None:
    w = table(rng, 3, 4, quint8)
    for error, message, bad in (
        (ValueError, "num_embeddings must be at least 0", lambda: QuantizedEmbedding(-1, 4)),
        (TypeError, "embedding_dim must be an int", lambda: QuantizedEmbedding(3, 4.0)),  # type: ignore[arg-type]
        (TypeError, "dtype must be quint8 or quint4x2", lambda: QuantizedEmbedding(3, 4, dtype=tensor.qint8)),
        (TypeError, "dtype must be quint8 or quint4x2", lambda: EmbeddingPackedParams(3, 4, None)),
        (ValueError, "even last dimension", lambda: QuantizedEmbedding(3, 5, dtype=quint4x2)),
        (ValueError, r"w must have shape \(4, 4\)", lambda: QuantizedEmbedding(4, 4, _weight=w)),
        (TypeError, "weight must be quint4x2", lambda: QuantizedEmbedding(3, 4, _weight=w, dtype=quint4x2)),
        (TypeError, "weight must be a QTensor", lambda: QuantizedEmbedding(3, 4).set_weight(w.dequantize())),
        (IndexError, "indices must be in", lambda: QuantizedEmbedding(3, 4)(np.array([3]))),
        (TypeError, "must be a Embedding", lambda: QuantizedEmbedding.from_float(EmbeddingBag())),
        (TypeError, "must be a EmbeddingBag", lambda: QuantizedEmbeddingBag.from_float(3)),
        (TypeError, "observer must have scheme", lambda: QuantizedEmbedding.from_float(observed(tensor.qint8))),
        (TypeError, "reference module", lambda: QuantizedEmbedding.from_reference(3)),
    ):
        with pytest.raises(error, match=message):
            bad()


def test_bad_state(rng: np.random.Generator) -> None:
    state = QuantizedEmbedding(3, 4, _weight=table(rng, 3, 4, quint8)).state_dict()
    weight, dtype = "_packed_params._packed_weight", "_packed_params.dtype"
    for change, message in (
        ({weight: None}, "Missing key"),
        ({dtype: None}, "Missing key"),
        ({dtype: quint4x2}, "dtype must be that of the weight"),
        ({weight: table(rng, 4, 4, quint8)}, "size mismatch"),
        ({weight: np.zeros((3, 4), np.float32)}, "must be a QTensor"),
        ({"other": np.zeros(3)}, "Unexpected key"),
    ):
        changed = {k: v for k, v in {**state, **change}.items() if v is not None}
        with pytest.raises(ValueError, match=message):
            QuantizedEmbedding(3, 4).load_state_dict(changed)
