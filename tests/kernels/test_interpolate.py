"""Resizing against the reference and torch's stored results, and bad arguments."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _interpolate, _pool
from quantnn.tensor import QTensor, make_per_tensor_quantized_tensor

from ..reference import interpolate as reference
from ..reference import pool as pool_reference
from .test_pool import check, in_order, is_in_order, random_tensor, stored


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run with one thread and with two, however little the work."""
    monkeypatch.setattr(_pool, "_GRAIN", 1)
    monkeypatch.setattr(_interpolate, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)
    return int(request.param)


def random_case(
    rng: np.random.Generator, dimensions: int
) -> tuple[QTensor, bool, tuple[int, ...], Any, dict[str, Any]]:
    """A tensor, its rule, the output size, the factors that set positions, and the arguments."""
    spatial = tuple(int(v) for v in rng.integers(1, 8, dimensions))
    channels = int(rng.choice([1, 2, 5, 8, 19, 64] if dimensions == 2 else [1, 3, 9]))
    x = random_tensor(rng, (int(rng.integers(1, 3)), channels, *spatial), bool(rng.integers(2)))
    channels_last = is_in_order(x.int_repr(), True)
    if rng.integers(2):
        out = tuple(int(v) for v in rng.integers(1, 13, dimensions))
        return x, channels_last, out, None, {"size": out}
    factors = tuple(float(v) for v in rng.uniform(0.3, 3, dimensions))
    out = tuple(max(1, math.floor(n * f)) for n, f in zip(spatial, factors, strict=True))
    factors = tuple(f if n * f >= 1 else 1 / n for n, f in zip(spatial, factors, strict=True))
    out = tuple(math.floor(n * f) for n, f in zip(spatial, factors, strict=True))
    if min(out) < 1:
        return random_case(rng, dimensions)
    recompute = bool(rng.integers(2))
    arguments = {"scale_factor": factors, "recompute_scale_factor": recompute}
    return x, channels_last, out, None if recompute else factors, arguments


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest(level: str, rng: np.random.Generator, threads: int, mode: str, dimensions: int) -> None:
    for _ in range(12):
        x, channels_last, out, factors, arguments = random_case(rng, dimensions)
        want = reference.nearest(x.int_repr(), out, factors, mode == "nearest-exact")
        check(_interpolate.interpolate(x, mode=mode, **arguments), want, x, channels_last)


@pytest.mark.parametrize("align_corners", [None, True])
def test_bilinear(level: str, rng: np.random.Generator, threads: int, align_corners: bool | None) -> None:
    for _ in range(20):
        x, channels_last, out, factors, arguments = random_case(rng, 2)
        want = reference.bilinear(
            x.int_repr(), x.q_zero_point(), x.dtype, out, factors, bool(align_corners), channels_last
        )
        y = _interpolate.interpolate(x, mode="bilinear", align_corners=align_corners, **arguments)
        check(y, want, x, channels_last)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_area(level: str, rng: np.random.Generator, threads: int, dimensions: int) -> None:
    for _ in range(8):
        x, channels_last, out, _factors, arguments = random_case(rng, dimensions)
        want = pool_reference.adaptive_avg_pool(x.int_repr(), x.q_zero_point(), x.dtype, out, channels_last)
        check(_interpolate.interpolate(x, mode="area", **arguments), want, x, channels_last)


def test_area_1d(level: str, rng: np.random.Generator) -> None:
    x = random_tensor(rng, (2, 5, 9), False)
    want = pool_reference.adaptive_avg_pool(x.int_repr(), x.q_zero_point(), x.dtype, (4,), False)
    check(_interpolate.interpolate(x, 4, mode="area"), want, x, False)


@pytest.mark.parametrize(
    "case",
    stored("interpolate.npz"),
    ids=lambda c: f"{c['arguments'].get('mode', 'nearest')}-{c['x'].dtype}-{c['x'].shape}",
)
def test_stored(level: str, case: dict[str, Any]) -> None:
    x = make_per_tensor_quantized_tensor(in_order(case["x"], case["channels_last"]), 0.5, case["zero_point"])
    check(_interpolate.interpolate(x, **case["arguments"]), case["y"], x, case["channels_last"])


X = make_per_tensor_quantized_tensor(np.arange(180, dtype=np.uint8).reshape(2, 3, 6, 5), 0.5, 3)


def test_same_size_is_a_copy() -> None:
    for mode in ("nearest", "bilinear"):
        y = _interpolate.interpolate(X, (6, 5), mode=mode)
        np.testing.assert_array_equal(y.int_repr(), X.int_repr())
        assert not np.shares_memory(y.int_repr(), X.int_repr())


def test_empty_and_read_only(level: str) -> None:
    none = QTensor(np.empty((0, 2, 4, 4), np.uint8), quantnn.quint8, 0.5, 3)
    for mode in ("nearest", "bilinear", "area"):
        assert _interpolate.interpolate(none, 3, mode=mode).shape == (0, 2, 3, 3)
    ints = np.array([[[[1, 2]]]], np.uint8)
    ints.flags.writeable = False
    x = QTensor(ints, quantnn.quint8, 0.5, 3)
    assert _interpolate.interpolate(x, (1, 4)).int_repr().ravel().tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("name", ["upsample", "upsample_bilinear", "upsample_nearest"])
def test_upsample(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name} is deprecated") as caught:
        y = getattr(_interpolate, name)(X, size=9)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "upsample_bilinear":
            want = _interpolate.interpolate(X, 9, mode="bilinear", align_corners=True)
        else:
            want = _interpolate.interpolate(X, 9)
    np.testing.assert_array_equal(y.int_repr(), want.int_repr())


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({}, ValueError, "exactly one of size and scale_factor"),
        ({"size": 2, "scale_factor": 2}, ValueError, "exactly one of size and scale_factor"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": -3}, ValueError, "size must be at least 1"),
        ({"size": 2**31}, ValueError, "size must be at most"),
        ({"size": 2**31 - 1}, ValueError, "size must leave a result that fits into memory"),
        ({"size": 2.0}, TypeError, "size must be an int"),
        ({"size": (1, 2, 3)}, ValueError, "size must have one int for each"),
        ({"size": (3,)}, ValueError, "size must have one int for each"),
        ({"scale_factor": 0}, ValueError, "scale_factor must be positive and finite"),
        ({"scale_factor": -1.0}, ValueError, "scale_factor must be positive and finite"),
        ({"scale_factor": float("nan")}, ValueError, "scale_factor must be positive and finite"),
        ({"scale_factor": float("inf")}, ValueError, "scale_factor must be positive and finite"),
        ({"scale_factor": 0.01}, ValueError, "scale_factor must give sizes from 1"),
        ({"scale_factor": 1e300}, ValueError, "scale_factor must give sizes from 1"),
        ({"scale_factor": (1, 2, 3)}, ValueError, "scale_factor must have one number for each"),
        ({"scale_factor": "2"}, TypeError, "scale_factor must be a number"),
        ({"size": 2, "mode": "foo"}, ValueError, "mode must be one of"),
        ({"size": 2, "mode": 3}, TypeError, "mode must be one of"),
        ({"size": 2, "align_corners": False}, ValueError, "align_corners must be None in mode 'nearest'"),
        ({"size": 2, "mode": "area", "align_corners": True}, ValueError, "align_corners must be None"),
        ({"size": 2, "mode": "bilinear", "align_corners": 1}, TypeError, "align_corners must be a bool"),
        ({"size": 2, "recompute_scale_factor": True}, ValueError, "recompute_scale_factor must be None or False"),
        ({"size": 2, "recompute_scale_factor": 2}, TypeError, "recompute_scale_factor must be a bool"),
        ({"size": 2, "antialias": True}, ValueError, "antialias must be False in mode 'nearest'"),
        ({"size": 2, "mode": "bilinear", "antialias": True}, NotImplementedError, "antialias is not implemented"),
        ({"size": 2, "mode": "bicubic"}, NotImplementedError, "mode 'bicubic' is not implemented"),
        ({"size": 2, "mode": "linear"}, NotImplementedError, "mode 'linear' is not implemented"),
        ({"size": 2, "mode": "trilinear"}, NotImplementedError, "mode 'trilinear' is not implemented"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"interpolate: {text}"):
        _interpolate.interpolate(X, **kwargs)


def test_bad_input() -> None:
    run = _interpolate.interpolate
    for value in (np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.uint8), None, 3):
        with pytest.raises(TypeError, match="interpolate: input must be a QTensor"):
            run(value, 2)
    for shape in ((), (4,), (4, 4), (1, 1, 1, 1, 4, 4)):
        with pytest.raises(ValueError, match="input must have shape"):
            run(QTensor(np.zeros(shape, np.uint8), quantnn.quint8, 1.0, 0), 2)
    with pytest.raises(ValueError, match="mode 'bilinear'"):
        run(QTensor(np.zeros((1, 1, 2, 4, 4), np.uint8), quantnn.quint8, 1.0, 0), 2, mode="bilinear")
    with pytest.raises(NotImplementedError, match="mode 'nearest' is not implemented"):
        run(QTensor(np.zeros((1, 2, 4), np.uint8), quantnn.quint8, 1.0, 0), 2)
    with pytest.raises(ValueError, match="no dimension of size 0"):
        run(QTensor(np.zeros((1, 0, 4, 4), np.uint8), quantnn.quint8, 1.0, 0), 2)
    w = np.zeros((2, 3, 4, 4), np.float32)
    per_channel = quantnn.quantize_per_channel(w, np.ones(3), np.zeros(3, np.int64), 1, quantnn.quint8)
    with pytest.raises(ValueError, match="per tensor"):
        run(per_channel, 2)
    with pytest.raises(TypeError, match="quint8 or qint8 or qint32"):
        run(quantnn.quantize_per_tensor(w, 1.0, 0, quantnn.quint4x2), 2)
