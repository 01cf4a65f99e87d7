"""Dynamic modules: construction, state, copies, lengths and bad input."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import dynamic
from quantnn.tensor import QTensor, qint8, quint8
from tests.kernels.test_linear import random_weight

F32 = np.float32


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(F32)


def linear(rng: np.random.Generator, half: bool) -> dynamic.Linear:
    m = dynamic.Linear(5, 3, dtype=np.float16 if half else qint8)
    m.set_weight_bias(floats(rng, 3, 5) if half else random_weight(rng, (3, 5), True), floats(rng, 3))
    return m


def recurrent(rng: np.random.Generator, name: str, half: bool = False, **options: Any) -> Any:
    """A layer or a cell with random weights."""
    m = getattr(dynamic, name)(5, 4, dtype=np.float16 if half else qint8, **options)
    weights = {
        key: floats(rng, *w.shape) if half else random_weight(rng, w.shape, False) for key, w in m.get_weight().items()
    }
    biases = {key: floats(rng, len(b)) for key, b in m.get_bias().items()}
    m.set_weight_bias({"weight": weights, "bias": biases} if "Cell" in name else weights | biases)
    return m


def outputs(y: Any) -> list[np.ndarray]:
    """All arrays of a result."""
    return [y] if isinstance(y, np.ndarray) else [a for part in y for a in outputs(part)]


def same(a: Any, b: Any, x: np.ndarray) -> None:
    assert repr(a) == repr(b)
    for u, v in zip(outputs(a(x)), outputs(b(x)), strict=True):
        np.testing.assert_array_equal(u, v)


def test_default() -> None:
    m = dynamic.Linear(3, 4)
    assert repr(m) == (
        "DynamicQuantizedLinear(in_features=3, out_features=4, dtype=torch.qint8, qscheme=torch.per_tensor_affine)"
    )
    assert m(np.ones((2, 3), F32)).tolist() == [[0] * 4] * 2
    assert repr(dynamic.Linear(3, 4, dtype=np.dtype("float16"))) == (
        "DynamicQuantizedLinear(in_features=3, out_features=4, dtype=torch.float16)"
    )
    assert dynamic.Linear(3, 4, bias_=False).bias() is None
    assert (
        repr(dynamic.GRU(3, 4, 2, bidirectional=True)) == "DynamicQuantizedGRU(3, 4, num_layers=2, bidirectional=True)"
    )
    assert repr(dynamic.RNNCell(3, 4, nonlinearity="relu")) == "DynamicQuantizedRNNCell(3, 4, nonlinearity=relu)"
    assert not dynamic.LSTM(3, 4)(np.ones((2, 1, 3), F32))[0].any()
    assert dynamic.LSTMCell(3, 4, bias=False).bias_ih is None
    with pytest.warns(UserWarning, match="dropout"):
        dynamic.LSTM(3, 4, dropout=0.5)


@pytest.mark.parametrize("half", [False, True])
def test_linear_state(rng: np.random.Generator, half: bool) -> None:
    m, x = linear(rng, half), floats(rng, 7, 5)
    state = m.state_dict()
    assert list(state) == ["scale", "zero_point", "_packed_params.dtype", "_packed_params._packed_params"]
    assert state["_packed_params.dtype"] is (np.float16 if half else qint8)
    assert dict(state._metadata) == {"": {"version": 4}, "_packed_params": {"version": 3}}
    other = dynamic.Linear(5, 3)  # the state tells the dtype
    other.load_state_dict(state)
    same(m, other, x)
    for again in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        same(m, again, x)
    wrong = dynamic.Linear(5, 4)
    with pytest.raises(ValueError, match="size mismatch"):
        wrong.load_state_dict(state)


def test_before_version_4_activations_had_eight_bits(rng: np.random.Generator) -> None:
    m, x = linear(rng, False), floats(rng, 7, 5)
    for version in (None, 3):
        state = m.state_dict()
        state._metadata = {} if version is None else {"": {"version": version}}
        other = dynamic.Linear(5, 3)
        other.load_state_dict(state)
        packed = other._packed_params._packed_params
        np.testing.assert_array_equal(other(x), quantnn.ops.linear_dynamic(x, packed, False))
        assert (other(x) != m(x)).any()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"])
def test_recurrent_state(rng: np.random.Generator, name: str, half: bool) -> None:
    options: dict[str, Any] = {} if "Cell" in name else {"num_layers": 2, "bidirectional": True}
    m = recurrent(rng, name, half, **options)
    x = floats(rng, 3, 5) if "Cell" in name else floats(rng, 4, 3, 5)
    state = m.state_dict()
    keys = [f"_all_weight_values.{i}.param" for i in range(4)]
    assert list(state) == (["_packed_weight_ih", "_packed_weight_hh"] if "Cell" in name else keys)
    other = getattr(dynamic, name)(5, 4, dtype=np.float16 if half else qint8, **options)
    other.load_state_dict(state)
    for again in (other, copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        same(m, again, x)
    for key in state:
        short = OrderedDict((k, v) for k, v in state.items() if k != key)
        with pytest.raises(ValueError, match="Missing key"):
            other.load_state_dict(short)
        for wrong in (3, None, (1, 2), ("quantized_dynamic", [], [], [], [1, 2]), [], np.zeros(3)):
            with pytest.raises(ValueError, match=key.replace(".", r"\.")):
                other.load_state_dict(OrderedDict(state) | {key: wrong})
    bigger = getattr(dynamic, name)(5, 6, **options)
    with pytest.raises(ValueError, match="size mismatch"):
        bigger.load_state_dict(state)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_lengths(rng: np.random.Generator, name: str) -> None:
    """Rows of full length are as without lengths, and what lies behind a row's end does not count."""
    m, x = recurrent(rng, name, num_layers=2, bidirectional=True), floats(rng, 6, 4, 5)
    h = [floats(rng, 4, 4, 4) for _ in range(2 if name == "LSTM" else 1)]
    hx = tuple(h) if name == "LSTM" else h[0]
    for a, b in zip(outputs(m(x, hx)), outputs(m(x, hx, [6, 6, 6, 6])), strict=True):
        np.testing.assert_array_equal(a, b)
    lengths = np.array([2, 6, 1, 4])
    y, *last = outputs(m(x, hx, lengths))
    other = x.copy()
    for b, n in enumerate(lengths):
        assert not y[n:, b].any()
        other[n:, b] = np.nan
    for a, b in zip([y, *last], outputs(m(other, hx, lengths)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(y[lengths - 1, np.arange(4), :4], last[0][2])  # forwards, the last layer's
    first = recurrent(np.random.default_rng(0), name, batch_first=True)
    second = recurrent(np.random.default_rng(0), name)
    for a, b in zip(outputs(first(x.swapaxes(0, 1), None, lengths)), outputs(second(x, None, lengths)), strict=True):
        np.testing.assert_array_equal(a.swapaxes(0, 1) if a.shape == (4, 6, 4) else a, b)


def test_the_input_stays(rng: np.random.Generator) -> None:
    m, x = recurrent(rng, "LSTM"), floats(rng, 3, 2, 5)
    h, c = floats(rng, 1, 2, 4), floats(rng, 1, 2, 4)
    before = [a.copy() for a in (x, h, c)]
    for a in (x, h, c):
        a.flags.writeable = False
    m(x, (h, c))
    m(x, (h, c), [1, 3])
    for a, b in zip((x, h, c), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_empty_batch(rng: np.random.Generator) -> None:
    y, (h, c) = recurrent(rng, "LSTM")(np.empty((3, 0, 5), F32))
    assert (y.shape, h.shape, c.shape) == ((3, 0, 4), (1, 0, 4), (1, 0, 4))
    assert recurrent(rng, "GRUCell")(np.empty((0, 5), F32)).shape == (0, 4)


X, H = np.ones((3, 2, 5), F32), np.zeros((1, 2, 4), F32)
LSTM, GRU, CELL = dynamic.LSTM(5, 4), dynamic.GRU(5, 4), dynamic.LSTMCell(5, 4)
ops = quantnn.ops
PACKED = ops.linear_prepack(QTensor(np.ones((16, 4), np.int8), qint8, 1.0, 0))
HALF = ops.linear_prepack_fp16(np.ones((16, 4), F32))
PARAMS = ops.make_quantized_cell_params_dynamic(PACKED, PACKED)
X4, H4 = np.ones((3, 2, 4), F32), np.zeros((1, 2, 4), F32)


def run_lstm(
    x: Any = X4, hx: Any = (H4, H4), params: Any = (PARAMS,), layers: Any = 1, both: Any = False, **more: Any
) -> Any:
    return ops.quantized_lstm(x, hx, params, True, layers, 0.0, False, both, False, **more)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "dtype": (lambda: dynamic.Linear(2, 3, dtype=quint8), TypeError, "qint8 or float16"),
    "QTensor": (lambda: dynamic.Linear(5, 3)(quantnn.quantize_per_tensor(X, 0.1, 0, quint8)), TypeError, "dequantize"),
    "float64": (lambda: dynamic.Linear(5, 3)(np.ones((2, 5))), TypeError, "astype"),
    "K": (lambda: dynamic.Linear(5, 3)(np.ones((2, 4), F32)), ValueError, "Linear: X must have shape"),
    "rank": (lambda: dynamic.Linear(5, 3)(np.ones(5, F32)), ValueError, "2 dimensions"),
    "NaN": (lambda: dynamic.Linear(1, 3)(np.full((2, 1), np.nan, F32)), ValueError, "finite"),
    "weight shape": (
        lambda: dynamic.Linear(5, 3, dtype=np.float16).set_weight_bias(np.ones((3, 4), F32), None), ValueError, "shape",
    ),
    "weight kind": (
        lambda: dynamic.Linear(5, 3).set_weight_bias(np.ones((3, 5), F32), None), TypeError, "weight must be a QTensor",
    ),
    "packed": (lambda: ops.linear_dynamic(X, HALF), TypeError, "linear_prepack returns"),
    "packed fp16": (lambda: ops.linear_dynamic_fp16(X, PACKED), TypeError, "linear_prepack_fp16 returns"),
    "packed conv": (lambda: ops.conv1d_dynamic(X, PACKED), TypeError, "conv1d_prepack returns"),
    "reduce_range": (lambda: ops.linear_dynamic(X4, PACKED, 1), TypeError, "reduce_range"),
    "fp16 bias": (lambda: ops.linear_prepack_fp16(np.ones((2, 2), F32), np.ones(3, F32)), ValueError, "bias"),
    "fp16 rank": (lambda: ops.linear_prepack_fp16(np.ones(2, F32)), ValueError, "2 dimensions"),
    "fp16 float64": (lambda: ops.linear_prepack_fp16(np.ones((2, 2))), TypeError, "astype"),
    "LSTM input": (lambda: LSTM(np.ones((3, 2, 4), F32)), ValueError, "I = 5"),
    "LSTM unbatched": (lambda: LSTM(np.ones((3, 5), F32)), ValueError, "shape"),
    "LSTM without steps": (lambda: LSTM(np.ones((0, 2, 5), F32)), ValueError, "T > 0"),
    "LSTM hx": (lambda: LSTM(X, H), TypeError, "tuple of two"),
    "LSTM hx shape": (lambda: LSTM(X, (H, H[:, :1])), ValueError, r"hx\[1\]"),
    "GRU hx": (lambda: GRU(X, (H, H)), ValueError, "hx"),
    "LSTM NaN": (lambda: LSTM(X * F32(np.nan)), ValueError, "finite"),
    "LSTM infinite h": (lambda: LSTM(X, (H + F32(np.inf), H)), ValueError, "finite"),
    "lengths": (lambda: LSTM(X, None, [1, 4]), ValueError, r"\[1, 3\]"),
    "no lengths": (lambda: LSTM(X, None, [0, 3]), ValueError, r"\[1, 3\]"),
    "lengths' number": (lambda: LSTM(X, None, [3]), ValueError, "2 integers"),
    "lengths' dtype": (lambda: LSTM(X, None, [1.0, 2.0]), ValueError, "integers"),
    "cell input": (lambda: CELL(np.ones((2, 4), F32)), ValueError, r"\(B, 5\)"),
    "cell hx": (lambda: CELL(np.ones((2, 5), F32), np.ones((2, 4), F32)), TypeError, "tuple of two"),
    "cell batch": (lambda: CELL(np.ones((2, 5), F32), (H[0, :1], H[0, :1])), ValueError, "shape"),
    "sizes": (lambda: dynamic.LSTM(0, 4), ValueError, "input_size"),
    "layers": (lambda: dynamic.GRU(2, 4, 0), ValueError, "num_layers"),
    "dropout": (lambda: dynamic.GRU(2, 4, 2, dropout=1.5), ValueError, "dropout"),
    "nonlinearity": (lambda: dynamic.RNNCell(2, 4, nonlinearity="elu"), ValueError, "tanh"),
    "a weight is missing": (lambda: LSTM.set_weight_bias({}), ValueError, "weight_ih_l0"),
    "weights' shape": (
        lambda: LSTM.set_weight_bias(LSTM.get_weight() | LSTM.get_bias() | {"weight_hh_l0": np.ones((2, 2), F32)}),
        ValueError, "weight_hh_l0 must have shape",
    ),
    "two dtypes": (
        lambda: LSTM.set_weight_bias(LSTM.get_weight() | LSTM.get_bias() | {"weight_hh_l0": np.ones((16, 4), F32)}),
        TypeError, "one dtype",
    ),
    "cell's weights": (lambda: CELL.set_weight_bias({"weight": 3}), TypeError, "int 3 for weight"),
    "params": (lambda: run_lstm(params=[PACKED]), TypeError, "params"),
    "params' number": (lambda: run_lstm(layers=2), ValueError, "params must have one for each"),
    "params' shape": (lambda: run_lstm(np.ones((3, 2, 5), F32)), ValueError, "input weights"),
    "hidden size": (lambda: run_lstm(hx=(H4[..., :3], H4[..., :3])), ValueError, "weights must have shape"),
    "hx of one": (lambda: run_lstm(hx=(H4,)), ValueError, "two arrays"),
    "batch sizes grow": (
        lambda: run_lstm(X4.reshape(6, 4), (H4[:, :1], H4[:, :1]), batch_sizes=[1, 2, 3]), ValueError, "growing",
    ),
    "batch sizes": (lambda: run_lstm(X4.reshape(6, 4), (H4, H4), batch_sizes=[2, 2]), ValueError, "sum up"),
    "float batch sizes": (lambda: run_lstm(X4.reshape(6, 4), batch_sizes=[2.0, 4.0]), TypeError, "integers"),
    "w_ih": (lambda: ops.make_quantized_cell_params_dynamic(HALF, HALF), TypeError, "w_ih"),
    "w_hh": (lambda: ops.quantized_gru_cell_dynamic(X[0], H[0], PACKED, 3), TypeError, "w_hh"),
    "mixed cell": (lambda: ops.quantized_gru_cell_dynamic(X[0], H[0], PACKED, HALF), TypeError, "one dtype"),
    "from_float": (lambda: dynamic.LSTM.from_float(quantnn.Identity()), TypeError, "must be a LSTM"),
    "from_reference": (lambda: dynamic.GRU.from_reference(3), TypeError, "reference"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()


def test_convolutions_warn() -> None:
    for n, transposed in ((1, False), (2, False), (3, False), (1, True), (2, True), (3, True)):
        name = f"Conv{'Transpose' if transposed else ''}{n}d"
        with pytest.warns(UserWarning, match="accuracy is poor") as caught:
            m = getattr(dynamic, name)(4, 6, 3)
        assert caught[0].filename == __file__ or n == 1
        assert repr(m).startswith(f"DynamicQuantized{name}(4, 6, kernel_size=")
        x = np.ones((2, 4, *(5,) * n), F32)
        assert not m(x).any()
        with pytest.raises(ValueError, match="finite"):
            m(x * F32(np.nan))
        with pytest.raises(TypeError, match="dequantize"):
            m(quantnn.quantize_per_tensor(x, 0.1, 0, quint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m = dynamic.Conv2d(4, 6, 3, padding=2, padding_mode="reflect")
    with pytest.raises(ValueError, match="reflected"):
        m(np.ones((1, 4, 2, 2), F32))
