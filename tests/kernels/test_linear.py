"""linear against its reference, and what it does with bad input."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn._dispatch import kernels
from quantnn.tensor import QTensor, per_channel_affine, qint8, qint32, quint8
from tests.reference.linear import linear as reference


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], per_channel: bool) -> QTensor:
    """A qint8 weight with zero points other than 0 in every second case."""
    ints = rng.integers(-128, 128, shape).astype(np.int8)
    zero_points = rng.integers(-128, 128, shape[0]) * int(rng.integers(2))
    scales = np.exp(rng.uniform(-6, -3, shape[0]))
    if per_channel:
        return QTensor(ints, qint8, scales, zero_points, per_channel_affine, 0)
    return QTensor(ints, qint8, float(scales[0]), int(zero_points[0]))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_reference(
    level: str, rng: np.random.Generator, threads: int, per_channel: bool, relu: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(kernels, "grain", 1)  # small work goes to two threads as well
    quantnn.set_num_threads(threads)
    run = quantnn.ops.linear_relu if relu else quantnn.ops.linear
    sizes = [(1, 1, 1), (1, 4, 64), (2, 3, 65), (7, 5, 17), (13, 64, 128), (25, 130, 200), (400, 9, 5)]
    for m, k, n in sizes + [tuple(int(v) for v in rng.integers(1, 80, 3)) for _ in range(8)]:
        x = QTensor(rng.integers(0, 256, (m, k)).astype(np.uint8), quint8, 0.05, int(rng.integers(256)))
        w = random_weight(rng, (n, k), per_channel)
        scale, zero_point = float(0.05 * np.mean(w._scale) * np.sqrt(k) * 100), int(rng.integers(256))
        bias = (rng.standard_normal(n) * 30 * scale).astype(np.float32) if rng.random() < 0.7 else None
        y = run(x, quantnn.ops.linear_prepack(w, bias), scale, zero_point)
        want = reference(
            x._ints, x._scale, x._zero_point, w._ints, w._scale, w._zero_point, bias, per_channel, scale,
            zero_point, relu,
        )  # fmt: skip
        np.testing.assert_array_equal(y.int_repr(), want, err_msg=f"M, K, N = {m, k, n}")
        assert (y.q_scale(), y.q_zero_point(), y.dtype) == (scale, zero_point, quint8)


def test_extreme_values_do_not_saturate(level: str) -> None:
    # 255 * 127 + 255 * 127 does not fit into int16
    k = 1000
    x = QTensor(np.full((3, k), 255, np.uint8), quint8, 1.0, 0)
    for value in (127, -128):
        w = QTensor(np.full((5, k), value, np.int8), qint8, 1.0, 0)
        y = quantnn.ops.linear(x, quantnn.ops.linear_prepack(w), abs(value) * 255.0 * k / 100, 128)
        assert (y.int_repr() == 128 + np.sign(value) * 100).all()


def test_strides_and_leading_dimensions(level: str, rng: np.random.Generator) -> None:
    ints = rng.integers(0, 256, (6, 5, 4)).astype(np.uint8)
    packed = quantnn.ops.linear_prepack(random_weight(rng, (7, 6), True))
    views = [
        np.moveaxis(ints, 0, -1),
        np.moveaxis(ints, 0, -1)[::-1, ::2],
        np.moveaxis(ints, 0, -1)[:, :, ::-1],
    ]
    for view in views:
        view.flags.writeable = False
        got = quantnn.ops.linear(QTensor(view, quint8, 0.1, 3), packed, 0.5, 9)
        want = quantnn.ops.linear(QTensor(view.copy("C"), quint8, 0.1, 3), packed, 0.5, 9)
        np.testing.assert_array_equal(got.int_repr(), want.int_repr())
        assert got.shape == (*view.shape[:-1], 7)


def test_empty(level: str) -> None:
    packed = quantnn.ops.linear_prepack(QTensor(np.ones((3, 4), np.int8), qint8, 1.0, 0))
    assert quantnn.ops.linear(QTensor(np.empty((0, 4), np.uint8), quint8, 1.0, 0), packed, 1.0, 0).shape == (
        0,
        3,
    )
    assert quantnn.ops.linear(QTensor(np.empty((2, 0, 4), np.uint8), quint8, 1.0, 0), packed, 1.0, 0).shape == (2, 0, 3)
    none = quantnn.ops.linear_prepack(QTensor(np.empty((0, 4), np.int8), qint8, 1.0, 0))
    assert quantnn.ops.linear(QTensor(np.ones((2, 4), np.uint8), quint8, 1.0, 0), none, 1.0, 0).shape == (
        2,
        0,
    )
    # K = 0: the bias is all there is
    only_bias = quantnn.ops.linear_prepack(QTensor(np.empty((3, 0), np.int8), qint8, 1.0, 0), np.float32([1, 2, 3]))
    y = quantnn.ops.linear(QTensor(np.empty((2, 0), np.uint8), quint8, 1.0, 0), only_bias, 1.0, 10)
    np.testing.assert_array_equal(y.int_repr(), [[11, 12, 13]] * 2)


def test_packing_round_trip(level: str, rng: np.random.Generator) -> None:
    for n, k in ((1, 1), (5, 3), (64, 64), (70, 130)):
        w, bias = random_weight(rng, (n, k), True), rng.standard_normal(n).astype(np.float32)
        packed = quantnn.ops.linear_prepack(w, bias)
        for p in (packed, pickle.loads(pickle.dumps(packed))):
            weight, b = quantnn.ops.linear_unpack(p)
            np.testing.assert_array_equal(weight.int_repr(), w.int_repr())
            np.testing.assert_array_equal(weight.q_per_channel_scales(), np.float32(w._scale).astype(np.float64))
            np.testing.assert_array_equal(b, bias)


def test_a_packed_weight_does_not_change_with_its_source() -> None:
    bias = np.ones(2, np.float32)
    packed = quantnn.ops.linear_prepack(QTensor(np.ones((2, 3), np.int8), qint8, 1.0, 0), bias)
    bias[:] = 5
    assert quantnn.ops.linear_unpack(packed)[1].tolist() == [1, 1]


X = QTensor(np.ones((2, 4), np.uint8), quint8, 1.0, 0)
W = QTensor(np.ones((3, 4), np.int8), qint8, 1.0, 0)
PER_CHANNEL_X = QTensor(np.ones((2, 4), np.uint8), quint8, np.ones(2), np.zeros(2, int), per_channel_affine, 0)
PER_CHANNEL_W1 = QTensor(np.ones((3, 4), np.int8), qint8, np.ones(4), np.zeros(4, int), per_channel_affine, 1)
BAD = {
    "float input": (
        lambda: quantnn.functional.linear(np.ones((2, 4), np.float32), W), TypeError, "quantize_per_tensor",
    ),
    "qint8 input": (lambda: quantnn.functional.linear(W, W), TypeError, "input must be quint8"),
    "per-channel input": (lambda: quantnn.functional.linear(PER_CHANNEL_X, W), ValueError, "per tensor"),
    "one dimension": (
        lambda: quantnn.functional.linear(QTensor(np.ones(4, np.uint8), quint8, 1.0, 0), W), ValueError, "2 dimensions",
    ),
    "K": (lambda: quantnn.functional.linear(QTensor(np.ones((2, 5), np.uint8), quint8, 1.0, 0), W), ValueError, "4"),
    "float weight": (lambda: quantnn.functional.linear(X, np.ones((3, 4), np.float32)), TypeError, "weight"),
    "quint8 weight": (lambda: quantnn.functional.linear(X, X), TypeError, "weight must be qint8"),
    "weight rank": (
        lambda: quantnn.functional.linear(X, QTensor(np.ones((3, 4, 1), np.int8), qint8, 1.0, 0)),
        ValueError, "2 dimensions",
    ),
    "weight axis": (lambda: quantnn.functional.linear(X, PER_CHANNEL_W1), ValueError, "axis 0"),
    "bias length": (lambda: quantnn.functional.linear(X, W, np.ones(2, np.float32)), ValueError, "bias"),
    "bias rank": (lambda: quantnn.functional.linear(X, W, np.ones((3, 1), np.float32)), ValueError, "bias"),
    "bias dtype": (lambda: quantnn.functional.linear(X, W, np.ones(3)), TypeError, "astype"),
    "bias kind": (lambda: quantnn.functional.linear(X, W, W), TypeError, "bias"),
    "packed": (lambda: quantnn.ops.linear(X, W, 1.0, 0), TypeError, "linear_prepack"),
    "scale 0": (lambda: quantnn.functional.linear(X, W, scale=0.0), ValueError, "scale"),
    "scale nan": (lambda: quantnn.functional.linear(X, W, scale=float("nan")), ValueError, "scale"),
    "scale inf": (lambda: quantnn.functional.linear(X, W, scale=float("inf")), ValueError, "scale"),
    "scale < 0": (lambda: quantnn.functional.linear(X, W, scale=-1.0), ValueError, "scale"),
    "scale huge": (lambda: quantnn.functional.linear(X, W, scale=1e300), ValueError, "scale"),
    "scale text": (lambda: quantnn.functional.linear(X, W, scale="1"), TypeError, "scale"),
    "zero point": (lambda: quantnn.functional.linear(X, W, zero_point=300), ValueError, "zero_point"),
    "zero point < 0": (lambda: quantnn.functional.linear(X, W, zero_point=-1), ValueError, "zero_point"),
    "zero point float": (lambda: quantnn.functional.linear(X, W, zero_point=1.5), TypeError, "zero_point"),
    "qint32": (
        lambda: quantnn.functional.linear(QTensor(np.ones((2, 4), np.int32), qint32, 1.0, 0), W), TypeError, "quint8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()


def test_big_endian_bias() -> None:
    bias = np.array([1, 2, 3], ">f4")
    got = quantnn.functional.linear(X, W, bias, scale=1.0, zero_point=0)
    np.testing.assert_array_equal(got.int_repr(), [[5, 6, 7]] * 2)
