"""conv1d, conv2d and conv3d against their reference, and what they do with bad input."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn._dispatch import kernels
from quantnn.ops import _conv
from quantnn.tensor import QTensor, per_channel_affine, qint8, quint8
from tests.kernels.test_linear import random_weight
from tests.reference.conv import conv as reference

# (batch, channels, size), (output channels, kernel), stride, padding, dilation, groups
GEOMETRIES = {
    "3x3": ((2, 8, 9, 10), (12, 3, 3), 1, 1, 1, 1),
    "1x1": ((1, 20, 7, 7), (70, 1, 1), 1, 0, 1, 1),
    "1x1, stride 2": ((2, 16, 7, 8), (33, 1, 1), 2, 0, 1, 1),
    "first layer, 3 channels": ((1, 3, 17, 19), (32, 7, 7), 2, 3, 1, 1),
    "one channel": ((2, 1, 12, 11), (16, 3, 3), 1, 1, 1, 1),
    "17 channels": ((1, 17, 6, 5), (9, 3, 2), 1, (1, 0), 1, 1),
    "dilated": ((1, 16, 14, 13), (10, 3, 3), 1, 2, 2, 1),
    "dilated, 3 channels": ((1, 3, 14, 13), (10, 3, 3), (1, 2), (4, 0), (3, 2), 1),
    "grouped": ((2, 12, 8, 8), (20, 3, 3), 1, 1, 1, 4),
    "grouped, 4 channels each": ((1, 16, 8, 8), (40, 3, 3), 2, 1, 1, 4),
    "depthwise 3x3": ((2, 37, 9, 9), (37, 3, 3), 1, 1, 1, 37),
    "depthwise 3x3, stride 2": ((1, 130, 9, 8), (130, 3, 3), 2, 1, 1, 130),
    "depthwise 5x5, dilated": ((1, 70, 13, 12), (70, 5, 5), 1, (4, 1), 2, 70),
    "depthwise, window wider than the image": ((1, 5, 2, 2), (5, 5, 5), 1, 3, 1, 5),
    "depthwise, multiplier": ((1, 6, 7, 7), (18, 3, 3), 1, 1, 1, 6),
    "padding beyond the kernel": ((1, 4, 3, 3), (5, 2, 2), 1, 5, 1, 1),
    "padding beyond the kernel, 3 channels": ((1, 3, 3, 3), (5, 2, 2), 1, 5, 1, 1),
    "stride beyond the kernel": ((1, 6, 20, 20), (5, 2, 2), 7, 1, 1, 1),
    "kernel as large as the image": ((3, 5, 6, 7), (11, 6, 7), 1, 0, 1, 1),
    "64 channels, short rows": ((2, 64, 9, 10), (33, 3, 3), 1, 1, 1, 1),
    "64 channels, long rows": ((2, 64, 4, 45), (40, 3, 3), 1, 1, 1, 1),
    "72 channels": ((1, 72, 5, 21), (20, 3, 3), (1, 2), 1, 1, 1),
    "1x1, 72 channels": ((2, 72, 5, 7), (50, 1, 1), 1, 0, 1, 1),
    "1x1, 72 channels, padding": ((1, 72, 4, 4), (50, 1, 1), 1, 1, 1, 1),
    "1x1, 72 channels, one pixel": ((1, 72, 1, 1), (50, 1, 1), 1, 0, 1, 1),
    "grouped, 64 channels each": ((1, 128, 5, 18), (40, 3, 3), 1, 1, 1, 2),
    "rows longer than a run": ((1, 16, 3, 211), (17, 3, 3), 1, 1, 1, 1),
    "1d": ((2, 10, 30), (21, 5), 2, 2, 1, 1),
    "1d, one channel": ((2, 1, 30), (21, 9), 1, 0, 1, 1),
    "1d depthwise, 31 taps": ((1, 40, 50), (40, 31), 1, 15, 1, 40),
    "3d": ((1, 5, 4, 6, 5), (7, 3, 3, 3), 1, 1, 1, 1),
    "3d, 4 channels, stride": ((2, 4, 5, 6, 7), (9, 2, 3, 1), (2, 1, 2), (0, 1, 0), 1, 1),
    "3d depthwise": ((1, 12, 4, 5, 6), (12, 3, 3, 3), 1, 1, 1, 12),
    "3d dilated, grouped": ((1, 6, 6, 7, 8), (4, 2, 2, 2), 1, 1, (1, 2, 3), 2),
}


def of(value: Any, n: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * n


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_equals_the_reference(level: str, rng: np.random.Generator, name: str, threads: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(kernels, "grain", 1)
    monkeypatch.setattr(_conv, "_GRAIN_DEPTHWISE", 1)
    quantnn.set_num_threads(threads)
    shape, (k, *kernel), stride, padding, dilation, groups = GEOMETRIES[name]
    n = len(kernel)
    geometry = (of(stride, n), of(padding, n), of(dilation, n), groups)
    for per_channel in (False, True):
        for relu in (False, True):
            x = QTensor(rng.integers(0, 256, shape).astype(np.uint8), quint8, 0.05, int(rng.integers(256)))
            w = random_weight(rng, (k, shape[1] // groups, *kernel), per_channel)
            scale = float(0.05 * np.mean(w._scale) * np.sqrt(np.prod(w.shape[1:])) * 100)
            zero_point = int(rng.integers(256))
            bias = (rng.standard_normal(k) * 30 * scale).astype(np.float32) if rng.random() < 0.7 else None
            want = reference(
                x._ints, x._scale, x._zero_point, w._ints, w._scale, w._zero_point, bias, per_channel, *geometry,
                scale, zero_point, relu,
            )  # fmt: skip
            packed = getattr(quantnn.ops, f"conv{n}d_prepack")(w, bias, *geometry)
            run = getattr(quantnn.ops, f"conv{n}d_relu" if relu else f"conv{n}d")
            last = np.ascontiguousarray(np.moveaxis(x._ints, 1, -1))
            last.flags.writeable = False
            for ints in (x._ints, np.moveaxis(last, -1, 1), np.repeat(x._ints, 2, -1)[..., ::2]):
                y = run(QTensor(ints, quint8, x._scale, x._zero_point), packed, scale, zero_point)
                np.testing.assert_array_equal(y.int_repr(), want)
                assert np.moveaxis(y.int_repr(), 1, -1).flags.c_contiguous
                assert (y.q_scale(), y.q_zero_point(), y.dtype) == (scale, zero_point, quint8)


def test_extreme_values_do_not_saturate(level: str) -> None:
    for groups in (1, 64):
        x = QTensor(np.full((1, 64, 5, 5), 255, np.uint8), quint8, 1.0, 0)
        for value in (127, -128):
            w = QTensor(np.full((64, 64 // groups, 3, 3), value, np.int8), qint8, 1.0, 0)
            scale = abs(value) * 255.0 * 9 * (64 // groups) / 100
            y = quantnn.functional.conv2d(x, w, None, groups=groups, scale=scale, zero_point=128)
            assert (y.int_repr() == 128 + np.sign(value) * 100).all()


def test_empty_batch(level: str) -> None:
    for groups in (1, 4):
        x = QTensor(np.empty((0, 4, 5, 5), np.uint8), quint8, 1.0, 0)
        w = QTensor(np.ones((8 if groups == 1 else 4, 4 // groups, 3, 3), np.int8), qint8, 1.0, 0)
        assert quantnn.functional.conv2d(x, w, None, groups=groups).shape == (0, w.shape[0], 3, 3)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_packing_round_trip(level: str, rng: np.random.Generator, name: str) -> None:
    shape, (k, *kernel), stride, padding, dilation, groups = GEOMETRIES[name]
    n = len(kernel)
    w, bias = (
        random_weight(rng, (k, shape[1] // groups, *kernel), True),
        rng.standard_normal(k).astype(np.float32),
    )
    packed = getattr(quantnn.ops, f"conv{n}d_prepack")(w, bias, of(stride, n), of(padding, n), of(dilation, n), groups)
    for p in (packed, pickle.loads(pickle.dumps(packed))):
        weight, b = quantnn.ops.conv2d_unpack(p)
        np.testing.assert_array_equal(weight.int_repr(), w.int_repr())
        np.testing.assert_array_equal(weight.q_per_channel_scales(), np.float32(w._scale).astype(np.float64))
        np.testing.assert_array_equal(b, bias)
        assert (p.stride, p.padding, p.dilation) == (of(stride, n), of(padding, n), of(dilation, n))


def test_a_huge_kernel() -> None:
    x = QTensor(np.full((1, 1, 300, 300), 2, np.uint8), quint8, 1.0, 1)
    w = QTensor(np.ones((1, 1, 299, 299), np.int8), qint8, 1.0, 0)
    y = quantnn.functional.conv2d(x, w, None, scale=1000.0)
    assert y.int_repr().tolist() == [[[[89, 89], [89, 89]]]]
    depthwise = QTensor(np.full((1, 2, 300, 300), 2, np.uint8), quint8, 1.0, 1)
    w = QTensor(np.ones((2, 1, 299, 299), np.int8), qint8, 1.0, 0)
    assert (quantnn.functional.conv2d(depthwise, w, None, groups=2, scale=1000.0).int_repr() == 89).all()


def test_huge_strides_and_dilations() -> None:
    x = QTensor(np.full((1, 2, 4, 4), 2, np.uint8), quint8, 1.0, 1)
    for groups in (1, 2):
        w = QTensor(np.ones((2, 2 // groups, 1, 1), np.int8), qint8, 1.0, 0)
        y = quantnn.functional.conv2d(x, w, None, stride=2**31 - 1, dilation=2**31 - 1, groups=groups)
        assert y.shape == (1, 2, 1, 1)


X = QTensor(np.ones((1, 4, 5, 5), np.uint8), quint8, 1.0, 0)
W = QTensor(np.ones((6, 4, 3, 3), np.int8), qint8, 1.0, 0)
AXIS1 = QTensor(np.ones((6, 4, 3, 3), np.int8), qint8, np.ones(4), np.zeros(4, int), per_channel_affine, 1)
F = quantnn.functional.conv2d
BAD = {
    "float input": (lambda: F(np.ones((1, 4, 5, 5), np.float32), W, None), TypeError, "quantize_per_tensor"),
    "None": (lambda: F(None, W, None), TypeError, "input"),
    "input dtype": (lambda: F(W, W, None), TypeError, "quint8"),
    "input rank": (lambda: F(QTensor(np.ones((4, 5, 5), np.uint8), quint8, 1.0, 0), W, None), ValueError, "N, C, H, W"),
    "channels": (lambda: F(X, QTensor(np.ones((6, 5, 3, 3), np.int8), qint8, 1.0, 0), None), ValueError, "5 channels"),
    "weight kind": (lambda: F(X, np.ones((6, 4, 3, 3), np.int8), None), TypeError, "weight must be a QTensor"),
    "weight dtype": (lambda: F(X, X, None), TypeError, "qint8"),
    "weight rank": (
        lambda: F(X, QTensor(np.ones((6, 4, 3), np.int8), qint8, 1.0, 0), None), ValueError, "4 dimensions",
    ),
    "weight axis": (lambda: F(X, AXIS1, None), ValueError, "axis 0"),
    "weight empty": (lambda: F(X, QTensor(np.ones((6, 4, 0, 3), np.int8), qint8, 1.0, 0), None), ValueError, "size 0"),
    "bias": (lambda: F(X, W, np.ones(5, np.float32)), ValueError, "bias"),
    "bias dtype": (lambda: F(X, W, np.ones(6)), TypeError, "float32"),
    "stride 0": (lambda: F(X, W, None, stride=0), ValueError, "stride must be at least 1"),
    "stride < 0": (lambda: F(X, W, None, stride=(1, -1)), ValueError, "stride must be at least 1"),
    "stride float": (lambda: F(X, W, None, stride=1.0), TypeError, "stride must be an int"),
    "stride bool": (lambda: F(X, W, None, stride=True), TypeError, "stride must be an int"),
    "stride length": (lambda: F(X, W, None, stride=(1, 1, 1)), ValueError, "stride must be an int or 2 ints"),
    "padding < 0": (lambda: F(X, W, None, padding=-1), ValueError, "padding must be at least 0"),
    "padding text": (lambda: F(X, W, None, padding="same"), TypeError, "padding"),
    "padding huge": (lambda: F(X, W, None, padding=2**70), ValueError, "padding must be at most"),
    "dilation 0": (lambda: F(X, W, None, dilation=0), ValueError, "dilation must be at least 1"),
    "groups 0": (lambda: F(X, W, None, groups=0), ValueError, "groups must be at least 1"),
    "groups": (lambda: F(X, W, None, groups=4), ValueError, "divisible by groups"),
    "groups and channels": (lambda: F(X, W, None, groups=2), ValueError, "8 channels"),
    "output size": (lambda: F(X, W, None, dilation=3), ValueError, "large enough"),
    "padding_mode": (lambda: F(X, W, None, padding_mode="reflect"), NotImplementedError, "zeros"),
    "scale": (lambda: F(X, W, None, scale=0.0), ValueError, "scale"),
    "zero_point": (lambda: F(X, W, None, zero_point=256), ValueError, "zero_point"),
    "packed": (lambda: quantnn.ops.conv2d(X, W, 1.0, 0), TypeError, "conv2d_prepack"),
    "packed of another rank": (
        lambda: quantnn.ops.conv2d(
            X, quantnn.ops.conv1d_prepack(QTensor(np.ones((1, 1, 1), np.int8), qint8, 1.0, 0), None, 1, 0, 1, 1), 1.0, 0
        ), TypeError, "conv2d_prepack",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()
