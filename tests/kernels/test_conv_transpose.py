"""conv_transpose1d, 2d and 3d against their reference, and what they do with bad input."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import _dispatch
from quantnn.tensor import QTensor, per_channel_affine, qint8, quint8
from tests.kernels.test_conv import of
from tests.kernels.test_linear_conv_stored import load, tensors
from tests.reference.conv_transpose import conv_transpose as reference

# (batch, channels, size), (output channels, kernel), stride, padding, output padding, dilation, groups
GEOMETRIES = {
    "2x2, stride 2": ((2, 8, 5, 6), (12, 2, 2), 2, 0, 0, 1, 1),
    "2x2, stride 2, 64 channels": ((1, 64, 9, 21), (70, 2, 2), 2, 0, 0, 1, 1),
    "2x2, stride 2, cropped": ((1, 64, 4, 5), (40, 2, 2), 2, 1, 0, 1, 1),
    "4x4, stride 2": ((1, 16, 6, 7), (33, 4, 4), 2, 1, 0, 1, 1),
    "4x4, stride 2, 128 channels": ((2, 128, 7, 14), (40, 4, 4), 2, 1, 0, 1, 1),
    "4x4, stride 2, long rows": ((1, 64, 3, 40), (20, 4, 4), 2, 1, 0, 1, 1),
    "3x3, stride 2, output padding": ((1, 72, 5, 20), (20, 3, 3), 2, 1, 1, 1, 1),
    "stride 1": ((1, 20, 6, 5), (17, 3, 3), 1, 1, 0, 1, 1),
    "1x1": ((2, 12, 5, 4), (9, 1, 1), 1, 0, 0, 1, 1),
    "1x1, stride 3: outputs without a tap": ((1, 64, 4, 5), (6, 1, 1), 3, 0, 2, 1, 1),
    "stride beyond the kernel": ((1, 6, 3, 4), (5, 2, 3), (5, 4), (1, 0), 3, 1, 1),
    "3 channels": ((1, 3, 5, 6), (4, 5, 4), (2, 3), 2, (1, 2), 1, 1),
    "one channel": ((2, 1, 5, 4), (1, 3, 3), 2, 1, 1, 1, 1),
    "dilated": ((1, 68, 6, 7), (10, 3, 3), 2, 2, 1, 2, 1),
    "dilated beyond the stride": ((1, 16, 5, 6), (10, 3, 2), (2, 3), 3, 1, (3, 5), 1),
    "dilated far": ((1, 64, 2, 2), (7, 2, 2), 1, 3, 0, 9, 1),
    "padding beyond the kernel": ((1, 64, 9, 9), (5, 2, 2), 2, 5, 0, 1, 1),
    "padding leaves one output": ((1, 4, 9, 9), (5, 3, 3), 1, 5, 0, 1, 1),
    "output padding beyond all": ((1, 64, 2, 3), (5, 2, 2), 2, 0, 7, 1, 1),
    "192 channels, rows of 48": ((1, 192, 3, 48), (70, 4, 4), 2, 1, 0, 1, 1),
    "192 channels, rows of 48, stride 3": ((1, 192, 3, 48), (9, 6, 6), 3, 2, 1, 1, 1),
    "one pixel": ((1, 100, 1, 1), (50, 4, 4), 1, 0, 0, 1, 1),
    "grouped": ((2, 12, 4, 5), (20, 3, 3), 2, 1, 1, 1, 4),
    "grouped, 64 channels each": ((1, 128, 5, 18), (40, 4, 4), 2, 1, 0, 1, 2),
    "grouped, 6 channels each": ((1, 18, 5, 4), (21, 2, 2), 2, 0, 0, 1, 3),
    "depthwise": ((1, 37, 6, 7), (37, 4, 4), 2, 1, 0, 1, 37),
    "depthwise, multiplier": ((2, 6, 5, 5), (18, 3, 3), 2, 1, 1, 1, 6),
    "rows longer than a run": ((1, 16, 2, 211), (17, 3, 3), 2, 1, 0, 1, 1),
    "1d": ((2, 10, 30), (21, 5), 2, 2, 1, 1, 1),
    "1d, stride 8": ((2, 64, 30), (32, 16), 8, 4, 0, 1, 1),
    "3d": ((1, 5, 3, 4, 5), (7, 3, 3, 3), 2, 1, 1, 1, 1),
    "3d, 64 channels": ((2, 64, 2, 4, 3), (20, 2, 4, 2), (1, 2, 2), (0, 1, 0), 0, 1, 1),
    "3d dilated, grouped": ((1, 6, 3, 4, 2), (4, 2, 2, 3), (2, 1, 3), 1, 1, (1, 2, 3), 2),
}


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], per_channel: bool) -> QTensor:
    """A weight with axis 1 as its channels, in two of three cases with zero points."""
    ints = rng.integers(-128, 128, shape).astype(np.int8)
    n = shape[1]
    zero_points = rng.integers(-30, 30, n) if rng.random() < 0.6 else np.zeros(n, np.int64)
    if per_channel:
        return QTensor(ints, qint8, np.exp(rng.uniform(-7, -3, n)), zero_points, per_channel_affine, 1)
    return QTensor(ints, qint8, float(np.exp(rng.uniform(-7, -3))), int(zero_points[0]))


def geometry_of(name: str) -> tuple[Any, ...]:
    """A geometry's lists, as the operators take them."""
    _, (_, *kernel), *lists, groups = GEOMETRIES[name]
    return (*(of(v, len(kernel)) for v in lists), groups)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_equals_the_reference(level: str, rng: np.random.Generator, name: str, threads: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(_dispatch.kernels, "grain", 1)
    quantnn.set_num_threads(threads)
    shape, (k, *kernel), *_, groups = GEOMETRIES[name]
    n, geometry = len(kernel), geometry_of(name)
    for per_channel in (False, True):
        x = QTensor(rng.integers(0, 256, shape).astype(np.uint8), quint8, 0.05, int(rng.integers(256)))
        w = random_weight(rng, (shape[1], k // groups, *kernel), per_channel)
        scale = float(0.05 * np.mean(w._scale) * np.sqrt(w.numel() / k) * 100)
        zero_point = int(rng.integers(256))
        bias = (rng.standard_normal(k) * 30 * scale).astype(np.float32) if rng.random() < 0.7 else None
        want = reference(
            x._ints, x._scale, x._zero_point, w._ints, w._scale, w._zero_point, bias, per_channel, *geometry,
            scale, zero_point,
        )  # fmt: skip
        packed = getattr(quantnn.ops, f"conv_transpose{n}d_prepack")(w, bias, *geometry)
        run = getattr(quantnn.ops, f"conv_transpose{n}d")
        last = np.ascontiguousarray(np.moveaxis(x._ints, 1, -1))
        last.flags.writeable = False
        for ints in (x._ints, np.moveaxis(last, -1, 1), np.repeat(x._ints, 2, -1)[..., ::2]):
            y = run(QTensor(ints, quint8, x._scale, x._zero_point), packed, scale, zero_point)
            np.testing.assert_array_equal(y.int_repr(), want)
            assert np.moveaxis(y.int_repr(), 1, -1).flags.c_contiguous
            assert (y.q_scale(), y.q_zero_point(), y.dtype) == (scale, zero_point, quint8)


@pytest.mark.parametrize("case", load("conv_transpose.npz"), ids=lambda c: f"{c['x'].shape}{c['w'].shape}")
def test_equals_torchs_stored_outputs(level: str, case: dict[str, Any]) -> None:
    x, w, bias = tensors(case)
    name = f"conv_transpose{x.ndim - 2}d"
    geometry = (case[key] for key in ("stride", "padding", "output_padding", "dilation", "groups"))
    packed = getattr(quantnn.ops, f"{name}_prepack")(w, bias, *geometry)
    y = getattr(quantnn.ops, name)(x, packed, case["scale"], case["zero_point"])
    np.testing.assert_array_equal(y.int_repr(), case["y"])


def test_extreme_values_do_not_saturate(level: str) -> None:
    x = QTensor(np.full((1, 64, 5, 5), 255, np.uint8), quint8, 1.0, 0)
    for value in (127, -128):
        w = QTensor(np.full((64, 64, 2, 2), value, np.int8), qint8, 1.0, 0)
        packed = quantnn.ops.conv_transpose2d_prepack(w, None, 2, 0, 0, 1, 1)
        y = quantnn.ops.conv_transpose2d(x, packed, abs(value) * 255.0 * 64 / 100, 128)
        assert (y.int_repr() == 128 + np.sign(value) * 100).all()


def test_empty_images(level: str) -> None:
    w = QTensor(np.ones((4, 8, 3, 3), np.int8), qint8, 1.0, 0)
    packed = quantnn.ops.conv_transpose2d_prepack(w, np.full(8, 5, np.float32), 1, 0, 0, 1, 1)
    x = QTensor(np.empty((0, 4, 5, 5), np.uint8), quint8, 1.0, 0)
    assert quantnn.ops.conv_transpose2d(x, packed, 1.0, 0).shape == (0, 8, 7, 7)
    x = QTensor(np.empty((1, 4, 0, 5), np.uint8), quint8, 1.0, 0)
    y = quantnn.ops.conv_transpose2d(x, packed, 1.0, 1).int_repr()
    assert y.shape == (1, 8, 2, 7)
    assert (y == 6).all()


@pytest.mark.parametrize("name", GEOMETRIES)
def test_packing_round_trip(level: str, rng: np.random.Generator, name: str) -> None:
    shape, (k, *kernel), *_, groups = GEOMETRIES[name]
    n, geometry = len(kernel), geometry_of(name)
    w = random_weight(rng, (shape[1], k // groups, *kernel), True)
    bias = rng.standard_normal(k).astype(np.float32)
    packed = getattr(quantnn.ops, f"conv_transpose{n}d_prepack")(w, bias, *geometry)
    for p in (packed, pickle.loads(pickle.dumps(packed))):
        weight, b = getattr(quantnn.ops, f"conv_transpose{n}d_unpack")(p)
        np.testing.assert_array_equal(weight.int_repr(), w.int_repr())
        assert weight.q_per_channel_axis() == 1
        np.testing.assert_array_equal(weight.q_per_channel_scales(), np.float32(w._scale).astype(np.float64))
        np.testing.assert_array_equal(weight.q_per_channel_zero_points(), w._zero_point)
        np.testing.assert_array_equal(b, bias)
        assert (p.stride, p.padding, p.output_padding, p.dilation, p.groups) == geometry


def test_huge_strides_and_dilations(level: str) -> None:
    x = QTensor(np.full((1, 2, 1, 1), 2, np.uint8), quint8, 1.0, 1)
    most = 2**31 - 1
    for groups in (1, 2):
        w = QTensor(np.ones((2, 2 // groups, 1, 1), np.int8), qint8, 1.0, 0)
        packed = quantnn.ops.conv_transpose2d_prepack(w, None, most, 0, 3, most, groups)
        y = quantnn.ops.conv_transpose2d(x, packed, 1.0, 7).int_repr()
        assert y.shape == (1, 2, 4, 4)
        assert (y[..., 0, 0] == 7 + 2 // groups).all()
        assert (y.sum((2, 3)) == 16 * 7 + 2 // groups).all()
    # all but the middle is cut away
    w = QTensor(np.ones((1, 1, 3), np.int8), qint8, 1.0, 0)
    packed = quantnn.ops.conv_transpose1d_prepack(w, None, most, most - 2, 0, most - 1, 1)
    x = QTensor(np.full((1, 1, 1), 9, np.uint8), quint8, 1.0, 0)
    assert quantnn.ops.conv_transpose1d(x, packed, 1.0, 1).int_repr().tolist() == [[[1, 10, 1]]]


def test_outputs_that_no_memory_has(level: str) -> None:
    x = QTensor(np.ones((1, 1, 1000, 1000), np.uint8), quint8, 1.0, 0)
    w = QTensor(np.ones((1, 1, 1, 1), np.int8), qint8, 1.0, 0)
    for stride in (2**20, 2**31 - 1):
        packed = quantnn.ops.conv_transpose2d_prepack(w, None, stride, 0, 0, 1, 1)
        with pytest.raises(MemoryError, match="too large"):
            quantnn.ops.conv_transpose2d(x, packed, 1.0, 0)


X = QTensor(np.ones((1, 4, 5, 5), np.uint8), quint8, 1.0, 0)
W = QTensor(np.ones((4, 6, 3, 3), np.int8), qint8, 1.0, 0)
AXIS0 = QTensor(np.ones((4, 6, 3, 3), np.int8), qint8, np.ones(4), np.zeros(4, int), per_channel_affine, 0)


def call(
    x: Any = X, w: Any = W, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    dilation: Any = 1, groups: Any = 1, scale: Any = 1.0, zero_point: Any = 0,
) -> QTensor:  # fmt: skip
    packed = quantnn.ops.conv_transpose2d_prepack(w, bias, stride, padding, output_padding, dilation, groups)
    return quantnn.ops.conv_transpose2d(x, packed, scale, zero_point)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"x": np.ones((1, 4, 5, 5), np.float32)}, TypeError, "quantize_per_tensor"),
        ({"x": None}, TypeError, "input"),
        ({"x": W}, TypeError, "quint8"),
        ({"x": QTensor(np.ones((4, 5, 5), np.uint8), quint8, 1.0, 0)}, ValueError, "N, C, H, W"),
        ({"x": QTensor(np.ones((1, 6, 5, 5), np.uint8), quint8, 1.0, 0)}, ValueError, "4 channels"),
        ({"w": np.ones((4, 6, 3, 3), np.int8)}, TypeError, "weight must be a QTensor"),
        ({"w": X}, TypeError, "qint8"),
        ({"w": QTensor(np.ones((4, 6, 3), np.int8), qint8, 1.0, 0)}, ValueError, "4 dimensions"),
        ({"w": QTensor(np.ones((4, 6, 0, 3), np.int8), qint8, 1.0, 0)}, ValueError, "size 0"),
        ({"w": AXIS0}, ValueError, "axis 1"),
        ({"bias": np.ones(5, np.float32)}, ValueError, "bias"),
        ({"bias": np.ones(6, np.float32), "groups": 2}, ValueError, "bias"),
        ({"bias": np.ones(6)}, TypeError, "float32"),
        ({"stride": 0}, ValueError, "stride must be at least 1"),
        ({"stride": 2**31}, ValueError, "stride must be at most"),
        ({"stride": (1, 1, 1)}, ValueError, "stride must be an int or 2 ints"),
        ({"stride": 1.0}, TypeError, "stride must be an int"),
        ({"padding": -1}, ValueError, "padding must be at least 0"),
        ({"padding": "same"}, TypeError, "padding"),
        ({"output_padding": -1}, ValueError, "output_padding must be at least 0"),
        ({"output_padding": 2**70}, ValueError, "output_padding must be at most"),
        ({"dilation": 0}, ValueError, "dilation must be at least 1"),
        ({"groups": 0}, ValueError, "groups must be at least 1"),
        ({"groups": 3}, ValueError, "divisible by groups"),
        ({"groups": 2**60}, ValueError, "divisible by groups"),
        ({"groups": True}, TypeError, "groups must be an int"),
        ({"padding": 4}, ValueError, "large enough"),
        ({"scale": 0.0}, ValueError, "scale"),
        ({"zero_point": 256}, ValueError, "zero_point"),
    ],
)
def test_bad_input(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(**arguments)


def test_bad_packed_weights() -> None:
    one = QTensor(np.ones((1, 1, 1), np.int8), qint8, 1.0, 0)
    for packed in (None, W, quantnn.ops.conv_transpose1d_prepack(one, None, 1, 0, 0, 1, 1)):
        with pytest.raises(TypeError, match="conv_transpose2d_prepack"):
            quantnn.ops.conv_transpose2d(X, packed, 1.0, 0)
    with pytest.raises(TypeError, match="conv_transpose2d_prepack"):
        quantnn.ops.conv_transpose_unpack(W)
