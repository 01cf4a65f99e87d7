"""Pooling against the reference and torch's stored results, and bad arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _pool
from quantnn.tensor import QTensor, make_per_tensor_quantized_tensor

from ..reference import pool as reference

DATA = Path(__file__).parent.parent / "data"
DTYPES = {np.uint8: (0, 255), np.int8: (-128, 127), np.int32: (-5000, 5000)}


def stored(name: str) -> list[dict[str, Any]]:
    """torch's results of one archive, as tests/data/make_pool.py writes them."""
    with np.load(DATA / name) as archive:
        cases = json.loads(str(archive["meta"]))
        for i, case in enumerate(cases):
            case["x"], case["y"] = archive[f"{i}.x"], archive[f"{i}.y"]
    return list(cases)


def in_order(ints: np.ndarray, channels_last: bool) -> np.ndarray:
    """The same array, with the channels innermost in memory if asked for."""
    if not channels_last:
        return np.ascontiguousarray(ints)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(ints, 1, -1)), -1, 1)


def is_in_order(ints: np.ndarray, channels_last: bool) -> bool:
    return bool((np.moveaxis(ints, 1, -1) if channels_last else ints).flags.c_contiguous)


def random_tensor(rng: np.random.Generator, shape: tuple[int, ...], channels_last: bool) -> QTensor:
    dtype = list(DTYPES)[rng.integers(3)]
    lo, hi = DTYPES[dtype]
    ints = rng.integers(lo, hi + 1, shape).astype(dtype)
    if rng.random() < 0.3:  # near each other: halves are common
        ints = (ints // 64).astype(dtype)
    return make_per_tensor_quantized_tensor(in_order(ints, channels_last), 0.125, int(rng.integers(lo, hi + 1)))


def check(y: QTensor, want: np.ndarray, x: QTensor, channels_last: bool) -> None:
    np.testing.assert_array_equal(y.int_repr(), want)
    assert y.int_repr().dtype == want.dtype == x.int_repr().dtype
    assert (y.dtype, y.q_scale(), y.q_zero_point()) == (x.dtype, x.q_scale(), x.q_zero_point())
    if 1 not in y.shape and 1 not in x.shape:
        assert is_in_order(y.int_repr(), channels_last)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run with one thread and with two, however little the work."""
    monkeypatch.setattr(_pool, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)
    return int(request.param)


def random_images(rng: np.random.Generator, least: list[int]) -> tuple[QTensor, bool]:
    channels = int(rng.choice([1, 2, 5, 8, 16, 19, 33, 64, 70, 530]))
    spatial = [n + int(rng.integers(0, 6)) for n in least]
    if rng.random() < 0.2:
        return random_tensor(rng, (channels, *spatial), False), False
    shape = (int(rng.integers(1, 3)), channels, *spatial)
    channels_last = bool(rng.random() < 0.6)
    x = random_tensor(rng, shape, channels_last)
    # with one channel or a 1x1 image both orders fit: torch then takes the channels-last rule
    return x, is_in_order(x.int_repr(), True)


def random_window(rng: np.random.Generator, n: int = 2) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    kernel = tuple(int(k) for k in rng.integers(1, 6 if n < 3 else 4, n))
    stride = tuple(int(s) for s in rng.integers(1, 4, n))
    return kernel, stride, tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)


def test_max_pool2d(level: str, rng: np.random.Generator, threads: int) -> None:
    for _ in range(25):
        kernel, stride, padding = random_window(rng)
        dilation = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        ceil_mode = bool(rng.integers(2))
        x, channels_last = random_images(rng, [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)])
        want = reference.max_pool(x.int_repr(), kernel, stride, padding, dilation, ceil_mode)
        check(_pool.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode), want, x, channels_last)


def test_avg_pool2d(level: str, rng: np.random.Generator, threads: int) -> None:
    for _ in range(25):
        kernel, stride, padding = random_window(rng)
        ceil_mode, count_include_pad = map(bool, rng.integers(0, 2, 2))
        divisor = int(rng.integers(1, 12)) if rng.random() < 0.3 else None
        x, channels_last = random_images(rng, list(kernel))
        want = reference.avg_pool(
            x.int_repr(), x.q_zero_point(), x.dtype, kernel, stride, padding, ceil_mode, count_include_pad, divisor,
            channels_last,
        )  # fmt: skip
        y = _pool.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor)
        check(y, want, x, channels_last)


def test_adaptive_avg_pool2d(level: str, rng: np.random.Generator, threads: int) -> None:
    for _ in range(25):
        out = (int(rng.integers(1, 8)), int(rng.integers(1, 8))) if rng.random() < 0.7 else (1, 1)
        x, channels_last = random_images(rng, [1, 1])
        want = reference.adaptive_avg_pool(x.int_repr(), x.q_zero_point(), x.dtype, out, channels_last)
        check(_pool.adaptive_avg_pool2d(x, out), want, x, channels_last)


@pytest.mark.parametrize("n", [1, 3])
def test_max_pool_1d_and_3d(n: int, level: str, rng: np.random.Generator, threads: int) -> None:
    for _ in range(10):
        kernel, stride, padding = random_window(rng, n)
        dilation = tuple(int(d) for d in rng.integers(1, 3, n))
        ceil_mode = bool(rng.integers(2))
        least = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        x, channels_last = random_images(rng, least)
        if n == 3 and x.ndim == 4:
            x = x.unsqueeze(0)
        want = reference.max_pool(x.int_repr(), kernel, stride, padding, dilation, ceil_mode)
        y = getattr(_pool, f"max_pool{n}d")(x, kernel, stride, padding, dilation, ceil_mode)
        check(y, want, x, channels_last)


def test_avg_pool3d(level: str, rng: np.random.Generator, threads: int) -> None:
    for _ in range(10):
        kernel, stride, padding = random_window(rng, 3)
        ceil_mode, count_include_pad = map(bool, rng.integers(0, 2, 2))
        divisor = int(rng.integers(1, 12)) if rng.random() < 0.3 else None
        x, _ = random_images(rng, list(kernel))
        x = x.unsqueeze(0) if x.ndim == 4 else x
        want = reference.avg_pool(
            x.int_repr(), x.q_zero_point(), x.dtype, kernel, stride, padding, ceil_mode, count_include_pad, divisor,
            True,
        )  # fmt: skip
        y = _pool.avg_pool3d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor)
        check(y, want, x, True)


def test_adaptive_avg_pool3d(level: str, rng: np.random.Generator, threads: int) -> None:
    for _ in range(10):
        out = (2, *(int(n) for n in rng.integers(1, 5, 2)))
        x, channels_last = random_images(rng, [1, 1, 1])
        want = reference.adaptive_avg_pool(x.int_repr(), x.q_zero_point(), x.dtype, out, channels_last)
        check(_pool.adaptive_avg_pool3d(x, out), want, x, channels_last)
        y = _pool.adaptive_avg_pool3d(x, 1)  # torch's mean
        np.testing.assert_array_equal(y.int_repr(), x.mean((-3, -2, -1), keepdim=True).int_repr())


@pytest.mark.parametrize("name", ["max_pool1d", "max_pool3d", "avg_pool3d", "adaptive_avg_pool3d"])
def test_other_ranks(name: str) -> None:
    function = getattr(_pool, name)
    accepted = {"max_pool1d": r"\(C, L\) or \(N, C, L\)", "adaptive_avg_pool3d": r"\(C, D, H, W\) or \(N, C, D, H, W\)"}
    for rank in (0, 1, 6):
        x = make_per_tensor_quantized_tensor(np.zeros((2,) * rank, np.uint8), 0.5, 0)
        shapes = accepted.get(name, r"\(N, C, D, H, W\)")
        with pytest.raises(ValueError, match=rf"{name}: input must have shape {shapes}; got"):
            function(x, 1)
    x = make_per_tensor_quantized_tensor(np.zeros((2,) * (3 if name == "max_pool1d" else 5), np.uint8), 0.5, 0)
    with pytest.raises(ValueError, match=f"{name}: (kernel_size|output_size) must be"):
        function(x, (1, 1, 1, 1))
    if name != "adaptive_avg_pool3d":
        with pytest.raises(ValueError, match=f"{name}: input must be at least as large"):
            function(x, 3)
        with pytest.raises(ValueError, match=f"{name}: padding must be at most half"):
            function(x, 2, 1, 2)
    else:
        with pytest.raises(TypeError, match=r"Use \(None, None, None\) to keep the size"):
            function(x, None)


STORED = stored("pool.npz") + stored("pool_1d_3d.npz")


@pytest.mark.parametrize("case", STORED, ids=lambda c: f"{c['name']}-{c['x'].dtype}-{c['x'].shape}")
def test_stored(level: str, case: dict[str, Any]) -> None:
    x = make_per_tensor_quantized_tensor(in_order(case["x"], case["channels_last"]), 0.5, case["zero_point"])
    y = getattr(_pool, case["name"])(x, **case["arguments"])
    check(y, case["y"], x, case["channels_last"] or case["name"] == "avg_pool3d")


def test_max_pool2d_float(level: str, rng: np.random.Generator) -> None:
    image = rng.standard_normal((2, 5, 9, 8)).astype(np.float32)
    want = reference.max_pool(image, (3, 2), (2, 1), (1, 1), (1, 2), True)
    got = _pool.max_pool2d(image, (3, 2), (2, 1), (1, 1), (1, 2), True)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(_pool.max_pool2d(image.astype(">f4"), (3, 2), (2, 1), (1, 1), (1, 2), True), want)
    got = _pool.max_pool2d(in_order(image, True), (3, 2), (2, 1), (1, 1), (1, 2), True)
    np.testing.assert_array_equal(got, want)
    assert is_in_order(got, True)
    image[0, 0, 4, 4] = np.nan
    assert np.isnan(_pool.max_pool2d(image, 3)[0, 0, 1, 1])


def test_window_without_elements(level: str) -> None:
    # taps at -1 and 2 of a row of 1
    x = make_per_tensor_quantized_tensor(np.full((1, 1, 1, 2), 9, np.int8), 1.0, 0)
    y = _pool.max_pool2d(x, (2, 1), 1, (1, 0), (2, 1))
    np.testing.assert_array_equal(y.int_repr(), np.full((1, 1, 1, 2), -128, np.int8))


def test_other_strides(level: str, rng: np.random.Generator) -> None:
    """A view that is neither contiguous nor channels-last counts as contiguous."""
    ints = rng.integers(0, 256, (2, 24, 9, 16)).astype(np.uint8)
    for view in (ints[:, :, :, ::2], ints[:, ::-1], ints.transpose(0, 1, 3, 2), in_order(ints, True)[:, 3:20]):
        x, dense = QTensor(view, quantnn.quint8, 0.5, 77), QTensor(np.ascontiguousarray(view), quantnn.quint8, 0.5, 77)
        for run in (
            lambda v: _pool.max_pool2d(v, 3, 2),
            lambda v: _pool.avg_pool2d(v, 2),
            lambda v: _pool.adaptive_avg_pool2d(v, 3),
        ):
            y = run(x).int_repr()
            np.testing.assert_array_equal(y, run(dense).int_repr())
            assert y.flags.c_contiguous


def test_read_only_and_empty(level: str) -> None:
    ints = np.arange(32, dtype=np.uint8).reshape(1, 2, 4, 4)
    ints.flags.writeable = False
    x = QTensor(ints, quantnn.quint8, 0.5, 3)
    assert _pool.max_pool2d(x, 4).int_repr().ravel().tolist() == [15, 31]
    assert _pool.adaptive_avg_pool2d(x, 1).shape == (1, 2, 1, 1)
    none = QTensor(np.empty((0, 2, 4, 4), np.uint8), quantnn.quint8, 0.5, 3)
    assert _pool.max_pool2d(none, 2).shape == (0, 2, 2, 2)
    assert _pool.avg_pool2d(none, 2).shape == (0, 2, 2, 2)
    assert _pool.adaptive_avg_pool2d(none, 3).shape == (0, 2, 3, 3)


def test_order_of_1x1_results() -> None:
    """Where both orders fit, the strides of the input decide, as in torch."""
    ints = np.zeros((2, 3, 4, 5), np.uint8)
    last = _pool.adaptive_avg_pool2d(QTensor(in_order(ints, True), quantnn.quint8, 1.0, 0), 1)
    first = _pool.adaptive_avg_pool2d(QTensor(ints, quantnn.quint8, 1.0, 0), 1)
    assert is_in_order(_pool.adaptive_avg_pool2d(last, 2).int_repr(), True)
    assert is_in_order(_pool.adaptive_avg_pool2d(first, 2).int_repr(), False)


def test_large_windows(level: str) -> None:
    """Sizes beyond memory are clipped to the image; nothing loops over them."""
    huge = 2**31 - 1
    x = make_per_tensor_quantized_tensor(np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4), 1.0, 0)
    y = _pool.max_pool2d(x, huge, huge, 2**30 - 1, 1, True)
    assert y.int_repr().max() == 11
    y = _pool.avg_pool2d(x, huge, huge, 2**30 - 1, True)
    assert y.int_repr().max() == 0
    y = _pool.avg_pool2d(x, huge, huge, 2**30 - 1, True, False)
    assert y.int_repr().ravel().tolist() == [6]
    with pytest.raises(ValueError, match="at least as large"):
        _pool.max_pool2d(x, huge, dilation=huge)
    assert _pool.avg_pool2d(x, 1, divisor_override=-(2**63)).shape == (1, 1, 3, 4)


X = make_per_tensor_quantized_tensor(np.zeros((2, 3, 6, 5), np.uint8), 0.5, 3)


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1; got 0"),
        ({"kernel_size": -2}, ValueError, "kernel_size must be at least 1"),
        ({"kernel_size": 2.0}, TypeError, "kernel_size must be an int"),
        ({"kernel_size": True}, TypeError, "kernel_size must be an int"),
        ({"kernel_size": "2"}, TypeError, "kernel_size must be an int"),
        ({"kernel_size": None}, TypeError, "kernel_size must be an int"),
        ({"kernel_size": (1, 2, 3)}, ValueError, "kernel_size must be an int or 2 ints"),
        ({"kernel_size": ()}, ValueError, "kernel_size must be an int or 2 ints"),
        ({"kernel_size": 2**31}, ValueError, "kernel_size must be at most"),
        ({"kernel_size": 7}, ValueError, "input must be at least as large as the window"),
        ({"kernel_size": 2, "stride": 0}, ValueError, "stride must be at least 1"),
        ({"kernel_size": 2, "stride": -1}, ValueError, "stride must be at least 1"),
        ({"kernel_size": 2, "stride": (1, 2, 3)}, ValueError, "stride must be"),
        ({"kernel_size": 2, "padding": -1}, ValueError, "padding must be at least 0"),
        ({"kernel_size": 3, "padding": 2}, ValueError, "padding must be at most half of kernel_size"),
        ({"kernel_size": 2, "padding": (0, 0, 0)}, ValueError, "padding must be"),
    ],
)
def test_bad_window(kwargs: dict[str, Any], error: type[Exception], text: str) -> None:
    for function in (_pool.max_pool2d, _pool.avg_pool2d):
        with pytest.raises(error, match=f"{function.__name__}: {text}"):
            function(X, **kwargs)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="dilation must be at least 1"):
        _pool.max_pool2d(X, 2, dilation=0)
    with pytest.raises(ValueError, match="dilation must be an int or 2 ints"):
        _pool.max_pool2d(X, 2, dilation=(1, 1, 1))
    with pytest.raises(ValueError, match="output_size must leave a result that fits into memory"):
        _pool.adaptive_avg_pool2d(X, 2**31 - 1)
    with pytest.raises(TypeError, match="max_pool2d: ceil_mode must be a bool"):
        _pool.max_pool2d(X, 2, ceil_mode=None)
    with pytest.raises(TypeError, match="avg_pool2d: count_include_pad must be a bool"):
        _pool.avg_pool2d(X, 2, count_include_pad=1)
    with pytest.raises(NotImplementedError, match="return_indices"):
        _pool.max_pool2d(X, 2, return_indices=True)
    with pytest.raises(ValueError, match="divisor_override must not be 0"):
        _pool.avg_pool2d(X, 2, divisor_override=0)
    with pytest.raises(TypeError, match="divisor_override must be an int"):
        _pool.avg_pool2d(X, 2, divisor_override=1.5)
    with pytest.raises(ValueError, match="divisor_override must be at most"):
        _pool.avg_pool2d(X, 2, divisor_override=2**63)


@pytest.mark.parametrize(
    ("output_size", "error"),
    [
        (0, ValueError), (-1, ValueError), ((1, 0), ValueError), ((1, 2, 3), ValueError), ((2,), ValueError),
        (None, TypeError), (2.0, TypeError), ((1, "2"), TypeError), (2**31, ValueError), (True, TypeError),
    ],
)  # fmt: skip
def test_bad_output_size(output_size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="adaptive_avg_pool2d: output_size must be"):
        _pool.adaptive_avg_pool2d(X, output_size)


@pytest.mark.parametrize(
    "run",
    [lambda v: _pool.max_pool2d(v, 1), lambda v: _pool.avg_pool2d(v, 1), lambda v: _pool.adaptive_avg_pool2d(v, 1)],
)
def test_bad_input(run: Any) -> None:
    for value in (np.zeros((1, 1, 4, 4), np.float64), np.zeros((1, 1, 4, 4), np.uint8), None, [[1]], 3):
        with pytest.raises(TypeError, match="input must be a QTensor"):
            run(value)
    for shape in ((), (4,), (4, 4), (1, 1, 1, 4, 4)):
        with pytest.raises(ValueError, match="input must have shape"):
            run(QTensor(np.zeros(shape, np.uint8), quantnn.quint8, 1.0, 0))
    for shape in ((1, 0, 4, 4), (1, 2, 0, 4), (2, 4, 0), (0, 4, 4)):
        with pytest.raises(ValueError, match="no dimension of size 0"):
            run(QTensor(np.zeros(shape, np.uint8), quantnn.quint8, 1.0, 0))
    w = np.zeros((2, 3, 4, 4), np.float32)
    per_channel = quantnn.quantize_per_channel(w, np.ones(3), np.zeros(3, np.int64), 1, quantnn.quint8)
    with pytest.raises(ValueError, match="per tensor"):
        run(per_channel)
    with pytest.raises(TypeError, match="quint8 or qint8 or qint32"):
        run(quantnn.quantize_per_tensor(w, 1.0, 0, quantnn.quint4x2))
