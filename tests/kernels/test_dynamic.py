"""Dynamic linear layers and recurrent layers against their reference, at every level."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn._dispatch import kernels
from quantnn.ops import _dynamic
from quantnn.tensor import QTensor, per_channel_affine, qint8
from tests.kernels.test_linear import random_weight
from tests.reference import dynamic as reference

F32 = np.float32
SIZES = [(1, 1, 1), (1, 4, 64), (2, 3, 65), (7, 5, 17), (13, 64, 128), (25, 130, 200), (1, 300, 33), (400, 9, 5)]
ops = quantnn.ops


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, level: str, monkeypatch: Any) -> int:
    """One thread, or two for small work as well."""
    monkeypatch.setattr(kernels, "grain", 1)
    monkeypatch.setattr(_dynamic, "_GRAIN_FP16", 1)
    quantnn.set_num_threads(request.param)
    return int(request.param)


def random_floats(rng: np.random.Generator, shape: tuple[int, ...], i: int) -> np.ndarray:
    """Both signs, one, none, tiny ones, many ties."""
    x = (rng.standard_normal(shape) * 10.0 ** rng.uniform(-2, 2)).astype(F32)
    return (x, np.abs(x), -np.abs(x), x * F32(0), x * F32(1e-7), (np.round(x * 2) / 2).astype(F32))[i % 6]


def test_linear(threads: int, rng: np.random.Generator) -> None:
    for i, (m, k, n) in enumerate(SIZES + [tuple(int(v) for v in rng.integers(1, 80, 3)) for _ in range(8)]):
        x, w = random_floats(rng, (m, k), i), random_weight(rng, (n, k), i % 2 == 0)
        bias = None if i % 3 == 0 else rng.standard_normal(n).astype(F32)
        packed = ops.linear_prepack(w, bias)
        for reduce_range in (False, True):
            got = ops.linear_dynamic(x, packed, reduce_range)
            np.testing.assert_array_equal(got, reference.linear(x, w, bias, reduce_range), err_msg=f"{m, k, n}")
            got = ops.linear_relu_dynamic(x, packed, reduce_range)
            np.testing.assert_array_equal(got, reference.linear(x, w, bias, reduce_range, True))
        got = ops.linear_with_input_q_dq_qweight_dq_output_fp32(x, 0.25, 7, packed)
        np.testing.assert_array_equal(got, reference.linear(x, w, bias, qparams=(0.25, 7)))
        got = ops.linear_with_input_q_dq_qweight_dq_relu_output_fp32(x, 0.25, 7, packed)
        np.testing.assert_array_equal(got, reference.linear(x, w, bias, relu=True, qparams=(0.25, 7)))


def test_linear_fp16(threads: int, rng: np.random.Generator) -> None:
    sizes = [*SIZES[:4], (13, 20, 130), (30, 15, 96), (3, 520, 40), (14, 150, 72)]
    for i, (m, k, n) in enumerate(sizes + [tuple(int(v) for v in rng.integers(1, 40, 3)) for _ in range(3)]):
        x = rng.standard_normal((m, k)).astype(F32)
        w = (rng.standard_normal((n, k)) * 10.0 ** rng.uniform(-9, 5)).astype(F32)
        bias = None if i % 3 == 0 else rng.standard_normal(n).astype(F32)
        packed = ops.linear_prepack_fp16(w, bias)
        np.testing.assert_array_equal(
            ops.linear_dynamic_fp16(x, packed), reference.linear_fp16(x, w, bias), err_msg=f"{m, k, n}"
        )
        np.testing.assert_array_equal(
            ops.linear_relu_dynamic_fp16(x, packed), reference.linear_fp16(x, w, bias, True)
        )  # fmt: skip
        np.testing.assert_array_equal(
            ops.linear_dynamic_fp16_unpacked_weight(x, w, bias), ops.linear_dynamic_fp16(x, packed)
        )
        for p in (packed, pickle.loads(pickle.dumps(packed))):
            weight, b = ops.linear_unpack_fp16(p)
            np.testing.assert_array_equal(weight, reference.halves(w))
            assert (b is None) == (bias is None)


def test_float16_keeps_what_it_can(level: str) -> None:
    w = np.array([[1e6, -1e6, np.nan, np.inf, 6e-8, 1e-9]], F32)
    packed = ops.linear_prepack_fp16(w)
    np.testing.assert_array_equal(
        ops.linear_unpack_fp16(packed)[0], np.array([[65504, -65504, -65504, 65504, 2.0**-24, 0]], F32)
    )
    assert np.isnan(w[0, 2])
    assert ops.linear_dynamic_fp16(np.full((1, 6), np.inf, F32), packed).shape == (1, 1)  # nothing is quantized


def test_shapes_and_strides(level: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 5, 4)).astype(F32)
    for packed, run in (
        (ops.linear_prepack(random_weight(rng, (7, 6), True)), ops.linear_dynamic),
        (ops.linear_prepack_fp16(rng.standard_normal((7, 6)).astype(F32)), ops.linear_dynamic_fp16),
    ):
        for view in (np.moveaxis(x, 0, -1), np.moveaxis(x, 0, -1)[::-1, ::2], np.moveaxis(x, 0, -1)[:, :, ::-1]):
            view.flags.writeable = False
            got = run(view, packed)
            np.testing.assert_array_equal(got, run(view.copy("C"), packed))
            assert got.shape == (*view.shape[:-1], 7)
        for shape in ((0, 6), (2, 0, 6)):
            assert run(np.empty(shape, F32), packed).shape == (*shape[:-1], 7)


def test_without_inputs_there_is_the_bias(level: str) -> None:
    x, bias = np.empty((2, 0), F32), np.array([1, 2, 3], F32)
    packed = ops.linear_prepack(QTensor(np.empty((3, 0), np.int8), qint8, 1.0, 0), bias)
    np.testing.assert_array_equal(ops.linear_dynamic(x, packed), [bias] * 2)
    half = ops.linear_prepack_fp16(np.empty((3, 0), F32), bias)
    np.testing.assert_array_equal(ops.linear_dynamic_fp16(x, half), [bias] * 2)
    none = ops.linear_prepack(QTensor(np.empty((0, 4), np.int8), qint8, 1.0, 0))
    assert ops.linear_dynamic(np.ones((2, 4), F32), none).shape == (2, 0)
    assert ops.linear_dynamic_fp16(np.ones((2, 4), F32), ops.linear_prepack_fp16(np.empty((0, 4), F32))).shape == (2, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 3, 70, 199])
def test_what_is_not_finite_has_no_range(threads: int, value: float, at: int) -> None:
    x = np.ones((2, 100), F32)
    x.flat[at] = value
    packed = ops.linear_prepack(QTensor(np.ones((3, 100), np.int8), qint8, 1.0, 0))
    with pytest.raises(ValueError, match="finite"):
        ops.linear_dynamic(x, packed)


def test_qparams(level: str, rng: np.random.Generator) -> None:
    for i in range(500):
        x = random_floats(rng, (int(rng.integers(0, 200)),), i)
        for reduce_range in (False, True):
            assert kernels.dynamic.qparams(x, reduce_range) == reference.choose_qparams(x, reduce_range)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolution(level: str, rng: np.random.Generator, ndim: int, transposed: bool) -> None:
    """It is the static one between a quantize and a dequantize with the same parameters."""
    name = f"conv{'_transpose' if transposed else ''}{ndim}d"
    w = QTensor(rng.integers(-128, 128, (4, 4, *(3,) * ndim)).astype(np.int8), qint8, 0.01, 0)
    more = [[0] * ndim] if transposed else []
    packed = getattr(ops, f"{name}_prepack")(w, None, [2] * ndim, [1] * ndim, *more, [1] * ndim, 1)
    x = rng.standard_normal((2, 4, *(6,) * ndim)).astype(F32)
    for reduce_range in (False, True):
        scale, zero_point = reference.choose_qparams(x, reduce_range)
        q = quantnn.quantize_per_tensor(x, scale, zero_point, quantnn.quint8)
        got = getattr(ops, f"{name}_dynamic")(x, packed, reduce_range)
        np.testing.assert_array_equal(got, getattr(ops, name)(q, packed, scale, zero_point).dequantize())
        assert np.moveaxis(got, 1, -1).flags.c_contiguous
    with pytest.raises(ValueError, match="finite"):
        getattr(ops, f"{name}_dynamic")(np.full_like(x, np.nan), packed)


# ---- recurrent layers ------------------------------------------------------------------------------------------
GATES = {"LSTM": 4, "GRU": 3, "tanh": 1, "relu": 1}
#: From sigmoid and tanh rounded from float64, for states that come from the same ones.
BOUND = 3e-7


def random_cell(rng: np.random.Generator, kind: str, i: int, h: int, half: bool) -> tuple[Any, ...]:
    """w_ih, b_ih, w_hh, b_hh for the reference, and both packed."""
    given: list[Any] = []
    packed: list[Any] = []
    for k in (i, h):
        n = GATES[kind] * h
        bias = rng.standard_normal(n).astype(F32)
        w: Any = (rng.standard_normal((n, k)) * 0.4).astype(F32)
        if not half:
            w = QTensor(
                rng.integers(-128, 128, (n, k)).astype(np.int8), qint8,
                np.exp(rng.uniform(-6, -5, n)), np.zeros(n, np.int64), per_channel_affine, 0,
            )  # fmt: skip
        given += [w, bias]
        packed.append(ops.linear_prepack_fp16(w, bias) if half else ops.linear_prepack(w, bias))
    return (*given, *packed)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_cells(threads: int, rng: np.random.Generator, kind: str, half: bool) -> None:
    name = {"LSTM": "lstm", "GRU": "gru", "tanh": "rnn_tanh", "relu": "rnn_relu"}[kind]
    run = getattr(ops, f"quantized_{name}_cell_dynamic")
    for b, i, h in ((1, 1, 1), (1, 5, 16), (3, 8, 33), (9, 40, 20)):
        *weights, w_ih, w_hh = random_cell(rng, kind, i, h, half)
        x = rng.standard_normal((b, i)).astype(F32)
        states = [rng.standard_normal((b, h)).astype(F32) for _ in range(2 if kind == "LSTM" else 1)]
        before = [s.copy() for s in states]
        got = run(x, states if kind == "LSTM" else states[0], w_ih, w_hh)
        _, want = reference.layer(kind, *weights, [x], states, False, True)
        for a, b_ in zip(got if kind == "LSTM" else [got], want, strict=True):
            np.testing.assert_allclose(a, b_, rtol=0 if kind == "relu" else BOUND, atol=0 if kind == "relu" else BOUND)
        np.testing.assert_array_equal(states, before)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_layers(threads: int, rng: np.random.Generator, kind: str, half: bool) -> None:
    """Steps with fewer and fewer rows, in both directions; the input is that of all steps, quantized at once."""
    for i, h, sizes in ((3, 4, (2,)), (8, 16, (3, 3, 3)), (5, 9, (4, 2, 2, 1))):
        x = [rng.standard_normal((n, i)).astype(F32) for n in sizes]
        cells = [random_cell(rng, kind, i, h, half) for _ in range(2)]
        params = [
            ops.make_quantized_cell_params_fp16(*c[4:]) if half
            else ops.make_quantized_cell_params_dynamic(*c[4:], None, None, True)
            for c in cells
        ]  # fmt: skip
        states = [
            rng.uniform(-1, 1, (2, sizes[0], h)).astype(F32) for _ in range(2 if kind == "LSTM" else 1)
        ]  # fmt: skip
        run = ops.quantized_lstm if kind == "LSTM" else ops.quantized_gru
        y, *last = run(
            np.concatenate(x), states if kind == "LSTM" else states[0], params, True, 1, 0.0, False, True,
            batch_sizes=np.array(sizes),
        )  # fmt: skip
        for d in range(2):
            want, final = reference.layer(kind, *cells[d][:4], x, [s[d] for s in states], d == 1, True)
            np.testing.assert_allclose(y[:, d * h : (d + 1) * h], np.concatenate(want), rtol=0, atol=4 * BOUND)
            for a, b in zip(last, final, strict=True):
                np.testing.assert_allclose(a[d], b, rtol=0, atol=4 * BOUND)


def test_a_scale_for_each_step_would_be_seen(rng: np.random.Generator) -> None:
    """The input's range is that of all steps: another one changes the results much more than the bound."""
    *_, w_ih, w_hh = random_cell(rng, "LSTM", 6, 8, False)
    params = [ops.make_quantized_cell_params_dynamic(w_ih, w_hh, None, None, True)]
    x = rng.standard_normal((2, 1, 6)).astype(F32) * np.array([1, 30], F32).reshape(2, 1, 1)
    zeros = np.zeros((1, 1, 8), F32)
    both, *_ = ops.quantized_lstm(x, (zeros, zeros), params, True, 1, 0.0, False, False)
    first, *_ = ops.quantized_lstm(x[:1], (zeros, zeros), params, True, 1, 0.0, False, False)
    assert np.abs(both[0] - first[0]).max() > 1e-3


def test_the_same_bits_everywhere(rng: np.random.Generator) -> None:
    """sigmoid and tanh are within a bound, but the same at every level, for whole vectors and tails."""
    from quantnn import _dispatch

    x = rng.standard_normal((5, 3, 21)).astype(F32) * 4
    results = []
    for level in _dispatch.AVAILABLE:
        with _dispatch.use_level(level):
            again = np.random.default_rng(5)
            for kind in ("LSTM", "GRU"):
                *_, w_ih, w_hh = random_cell(again, kind, 21, 37, False)
                params = [ops.make_quantized_cell_params_dynamic(w_ih, w_hh)]
                zeros = np.zeros((1, 3, 37), F32)
                run = ops.quantized_lstm if kind == "LSTM" else ops.quantized_gru
                y, *_ = run(x, (zeros, zeros) if kind == "LSTM" else zeros, params, True, 1, 0.0, False, False)
                results.append((kind, y))
    for kind, y in results:
        np.testing.assert_array_equal(y, next(other for k, other in results if k == kind))


def test_sigmoid_and_tanh(level: str, rng: np.random.Generator) -> None:
    """Through a cell whose products are exact: of any size, NaN stays NaN."""
    special = [0, -0.0, 0.625, -0.625, 87, -87, 88.5, -90, 1e30, -1e30]
    x = np.concatenate([rng.standard_normal(200) * 10.0 ** rng.uniform(-6, 2, 200), special]).astype(F32)
    n, one = len(x), np.ones((1, 1), F32)

    def given(gates: np.ndarray) -> Any:
        """Weights of 0: the biases are what comes out."""
        return ops.linear_prepack_fp16(np.zeros((len(gates), 1), F32), gates)

    def nothing(gates: int) -> Any:
        return ops.linear_prepack_fp16(np.zeros((gates * n, n), F32))

    h = np.zeros((1, n), F32)
    got = ops.quantized_rnn_tanh_cell_dynamic(one, h, given(x), nothing(1))
    np.testing.assert_allclose(got[0], np.tanh(x.astype(float)), rtol=2e-7, atol=0)
    assert np.isnan(ops.quantized_rnn_tanh_cell_dynamic(one, h, given(x * F32(np.nan)), nothing(1))).all()
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-x.astype(float)))
    # c = sigmoid(x) * 1 + sigmoid(-1000) * tanh(x)
    gates = np.concatenate([np.full(n, -1000, F32), x, x, x])
    _, c = ops.quantized_lstm_cell_dynamic(one, (h, h + 1), given(gates), nothing(4))
    np.testing.assert_allclose(c[0], sigmoid, rtol=0, atol=1.3e-7)
    _, c = ops.quantized_lstm_cell_dynamic(one, (h, h + 1), given(gates * F32(np.nan)), nothing(4))
    assert np.isnan(c).all()


# ---- torch's own results, stored ---------------------------------------------------------------------------------
STORED = Path(__file__).parents[1] / "data" / "dynamic.npz"


def stored() -> list[dict[str, Any]]:
    with np.load(STORED) as f:
        cases = json.loads(str(f["meta"]))
        for i, case in enumerate(cases):
            case |= {key.split(".", 1)[1]: f[key] for key in f.files if key.startswith(f"{i}.")}
    return cases


def test_stored_linear(level: str) -> None:
    for case in stored():
        if case["name"].startswith("linear"):
            bias = case.get("bias")
            if "fp16" in case["name"]:
                got = getattr(ops, case["name"])(case["x"], ops.linear_prepack_fp16(case["w"].astype(F32), bias))
            else:
                w = QTensor(case["w"], qint8, case["w_scale"], case["w_zero_point"], per_channel_affine, 0)
                got = getattr(ops, case["name"])(case["x"], ops.linear_prepack(w, bias), case["reduce_range"])
            np.testing.assert_array_equal(got, case["y"])


def test_stored_layers(level: str) -> None:
    for case in stored():
        if case["name"] in ("LSTM", "GRU"):
            module = getattr(quantnn.dynamic, case["name"])(*case["sizes"], bidirectional=True)
            module.set_weight_bias(
                {
                    key: QTensor(case[key], qint8, case["scales"][key], 0) if key.startswith("weight") else case[key]
                    for key in case
                    if key.startswith(("weight_", "bias_"))
                }
            )
            y, last = module(case["x"])
            np.testing.assert_allclose(y, case["y"], rtol=0, atol=1e-6)
            np.testing.assert_allclose(last[0] if case["name"] == "LSTM" else last, case["h"], rtol=0, atol=1e-6)
