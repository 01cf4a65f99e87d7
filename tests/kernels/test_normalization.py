"""Normalization against the reference and torch's stored results, and bad arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import tensor
from quantnn.ops import _normalization as ops
from quantnn.tensor import QTensor, qint8, qint32, quint8

from ..reference import normalization as reference

DATA = Path(__file__).parent.parent / "data" / "normalization.npz"
RANGES = {quint8: (0, 255), qint8: (-128, 127), qint32: (-5000, 5000)}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run with one thread, and with two however little there is to do."""
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)
    return int(request.param)


def in_order(ints: np.ndarray, channels_last: bool) -> np.ndarray:
    """The same array, with the channels innermost in memory if asked for."""
    if not channels_last:
        return np.ascontiguousarray(ints)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(ints, 1, -1)), -1, 1)


def draw_scale(rng: np.random.Generator) -> float:
    return float(rng.choice([2.0 ** rng.integers(-8, 2), rng.uniform(0.001, 0.5)]))


def draw(rng: np.random.Generator, shape: tuple[int, ...], channels_last: bool = False) -> QTensor:
    dtype = list(RANGES)[rng.integers(3)]
    lo, hi = RANGES[dtype]
    if rng.random() < 0.3:  # little variance
        lo = int(rng.integers(lo, hi))
        hi = min(hi, lo + int(rng.integers(0, 5)))
    if rng.random() < 0.1 and dtype is qint32:  # S2 needs more than 64 bits
        lo, hi = -(2**31), 2**31 - 1
    ints = rng.integers(lo, hi + 1, shape).astype(dtype.numpy)
    z = int(rng.integers(*RANGES[dtype]))
    return QTensor(in_order(ints, channels_last), dtype, draw_scale(rng), z)


def draw_parameters(rng: np.random.Generator, shape: Any, n: int = 2) -> list[np.ndarray]:
    if rng.random() < 0.3:
        return [(rng.integers(-8, 9, shape) / 4).astype(np.float32) for _ in range(n)]
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(n)]


def draw_affine(rng: np.random.Generator, shape: Any) -> list[np.ndarray | None]:
    parameters: list[np.ndarray | None] = [*draw_parameters(rng, shape)]
    return [None if rng.random() < 0.25 else p for p in parameters]


def draw_output(rng: np.random.Generator, x: QTensor) -> tuple[float, int]:
    if x.dtype is qint32 and rng.random() < 0.3:  # shows the float32 bits
        return 2.0**-27, 0
    return draw_scale(rng), int(rng.integers(*RANGES[x.dtype]))


def check(y: QTensor, want: np.ndarray, x: QTensor, so: float, zo: int, channels_last: bool) -> None:
    np.testing.assert_array_equal(y.int_repr(), want)
    assert (y.dtype, y.q_scale(), y.q_zero_point()) == (x.dtype, so, zo)
    assert y.int_repr().dtype == x.int_repr().dtype
    assert y.int_repr().strides == in_order(want, channels_last).strides or 1 in want.shape


def channels_last_image(x: QTensor) -> bool:
    return x.ndim == 4 and np.moveaxis(x.int_repr(), 1, -1).flags.c_contiguous


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm(rank: int, relu: bool, level: str, threads: int, rng: np.random.Generator) -> None:
    name = {2: "batch_norm1d", 3: "batch_norm1d", 4: "batch_norm2d", 5: "batch_norm3d"}[rank]
    for _ in range(7):
        c = int(rng.choice([rng.integers(1, 20), rng.integers(20, 90), 600]))
        shape = (int(rng.integers(1, 4)), c, *(int(n) for n in rng.integers(1, 5, rank - 2)))
        x = draw(rng, shape, rank > 2 and rng.random() < 0.5)
        w, b, m = draw_parameters(rng, c, 3)
        v, eps = rng.uniform(0.1, 3, c).astype(np.float32), float(rng.choice([0, 1e-5, 0.5]))
        so, zo = draw_output(rng, x)
        y = getattr(ops, name + "_relu" * relu)(x, w, b, m, v, eps, so, zo)
        want = reference.batch_norm(x.int_repr(), x.q_scale(), x.q_zero_point(), w, b, m, v, eps, so, zo, x.dtype, relu)
        check(y, want, x, so, zo, rank > 3)
        generic = (ops.batch_norm_relu if relu else ops.batch_norm)(x, w, b, m, v, eps, so, zo)
        np.testing.assert_array_equal(generic.int_repr(), want)


def test_layer_norm(level: str, threads: int, rng: np.random.Generator) -> None:
    for _ in range(25):
        shape = (*(int(n) for n in rng.integers(1, 6, rng.integers(0, 3))), int(rng.integers(1, 200)))
        k = int(rng.integers(1, len(shape) + 1))
        x = draw(rng, shape, len(shape) > 2 and rng.random() < 0.3)
        w, b = draw_affine(rng, shape[-k:])
        eps, (so, zo) = float(rng.choice([0, 1e-5, 0.5])), draw_output(rng, x)
        y = ops.layer_norm(x, shape[-k:], w, b, eps, so, zo)
        want = reference.layer_norm(x.int_repr(), x.q_scale(), x.q_zero_point(), k, w, b, eps, so, zo, x.dtype)
        check(y, want, x, so, zo, False)


@pytest.mark.parametrize("instance", [False, True])
def test_group_norm(instance: bool, level: str, threads: int, rng: np.random.Generator) -> None:
    for i in range(25):
        groups = int(rng.integers(1, 5))
        per_group = int(rng.choice([rng.integers(1, 10), rng.integers(10, 40), 32, 64]))
        if instance:
            groups, per_group = groups * per_group, 1
        spatial = tuple(int(n) for n in rng.integers(1, 7, rng.integers(1, 4)))
        if i % 10 == 0:
            spatial = (17, 31) if i else (33, 37)  # long enough for a table
        shape = (int(rng.integers(1, 3)), groups * per_group, *spatial)
        x = draw(rng, shape, rng.random() < 0.5)
        last = channels_last_image(x)
        w, b = draw_affine(rng, shape[1])
        eps, (so, zo) = float(rng.choice([0, 1e-5, 0.5])), draw_output(rng, x)
        y = ops.instance_norm(x, w, b, eps, so, zo) if instance else ops.group_norm(x, groups, w, b, eps, so, zo)
        want = reference.group_norm(
            x.int_repr(), x.q_scale(), x.q_zero_point(), groups, w, b, eps, so, zo, x.dtype, last
        )
        check(y, want, x, so, zo, last)


def test_sums_beyond_32_bits(level: str) -> None:
    # 8-bit sums are added in blocks of 32 bits, each for the contiguous and the channels-last form
    x = QTensor(np.full((1, 1, 300, 300), 255, np.uint8), quint8, 0.5, 0)
    x.int_repr()[0, 0, 0, 0] = 254
    for ints in (x.int_repr(), in_order(np.repeat(x.int_repr(), 2, axis=1), True), np.repeat(x.int_repr(), 2, axis=1)):
        y = ops.instance_norm(QTensor(ints, quint8, 0.5, 0), None, None, 1e-5, 0.5, 100)
        last = np.moveaxis(ints, 1, -1).flags.c_contiguous
        want = reference.group_norm(ints, 0.5, 0, ints.shape[1], None, None, 1e-5, 0.5, 100, quint8, last)
        np.testing.assert_array_equal(y.int_repr(), want)


def test_absurd_parameters(level: str, rng: np.random.Generator) -> None:
    # results beyond int32, infinity and NaN: as the rules say, no crash
    x = QTensor(rng.integers(0, 256, (2, 40, 3, 3)).astype(np.uint8), quint8, 0.5, 7)
    last = QTensor(in_order(x.int_repr(), True), quint8, 0.5, 7)
    w = np.array([0, 1e30, -1e30, np.inf, np.nan, 1e9, -1e9, 1] * 5, np.float32)
    b = np.roll(w, 3)
    for zo in (0, 200):
        for q in (x, last):
            args = (w, b, 0.0, 1e-3, zo)
            want = reference.group_norm(q.int_repr(), 0.5, 7, 2, w, b, 0.0, 1e-3, zo, quint8, channels_last_image(q))
            np.testing.assert_array_equal(ops.group_norm(q, 2, *args).int_repr(), want)
        y = ops.layer_norm(QTensor(x.int_repr().reshape(18, 40), quint8, 0.5, 7), 40, w, b, 0.0, 1e-3, zo)
        want = reference.layer_norm(x.int_repr().reshape(18, 40), 0.5, 7, 1, w, b, 0.0, 1e-3, zo, quint8)
        np.testing.assert_array_equal(y.int_repr(), want)
        ops.batch_norm2d(x, w, b, b, w, 0.0, 1e-3, zo)


def test_no_variance(level: str) -> None:
    x = QTensor(np.full((1, 40), 7, np.uint8), quint8, 0.1, 0)
    assert (ops.layer_norm(x, [40], None, None, 1e-5, 0.1, 5).int_repr() == 5).all()
    # 0/0: NaN is the largest float in torch's vector loop and 0 after it
    y = ops.layer_norm(x, [40], None, None, 0.0, 0.1, 5).int_repr()[0]
    assert (y[:32] == 255).all()
    assert (y[32:] == 0).all()


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (2, 4, 0, 3)])
def test_empty(shape: tuple[int, ...], level: str) -> None:
    x = QTensor(np.empty(shape, np.uint8), quint8, 0.1, 3)
    one = np.ones(4, np.float32)
    for y in (
        ops.batch_norm2d(x, one, one, one, one, 1e-5, 0.5, 7),
        ops.layer_norm(x, shape[-1:], None, None, 1e-5, 0.5, 7),
        ops.group_norm(x, 2, None, None, 1e-5, 0.5, 7),
        ops.instance_norm(x, None, None, 1e-5, 0.5, 7),
    ):
        assert (y.shape, y.q_scale(), y.q_zero_point()) == (shape, 0.5, 7)


def test_any_strides(level: str, rng: np.random.Generator) -> None:
    base = rng.integers(0, 256, (3, 5, 4, 6)).astype(np.uint8)
    big_endian = np.arange(5, dtype=">f4")
    one = np.ones(5, np.float32)
    for ints in (base[:, :, ::2], base.transpose(0, 1, 3, 2), base[::-1]):
        a, b = QTensor(ints, quint8, 0.1, 3), QTensor(np.ascontiguousarray(ints), quint8, 0.1, 3)
        for f in (
            lambda x: ops.batch_norm2d(x, one, big_endian, one, one, 1e-5, 0.5, 7),
            lambda x: ops.layer_norm(x, x.shape[-1:], None, None, 1e-5, 0.01, 7),
            lambda x: ops.group_norm(x, 5, one, big_endian, 1e-5, 0.01, 7),
        ):
            np.testing.assert_array_equal(f(a).int_repr(), f(b).int_repr())
    base.flags.writeable = False
    ops.group_norm(QTensor(base, quint8, 0.1, 3), 5, None, None, 1e-5, 0.01, 7)


def stored() -> list[tuple[int, list[Any]]]:
    with np.load(DATA) as archive:
        return list(enumerate(json.loads(str(archive["meta"]))))


def test_same_as_stored_torch(level: str) -> None:
    with np.load(DATA) as archive:
        arrays = dict(archive)
    for i, (op, name, scale, z, channels_last, before, parameters, eps, so, zo) in stored():
        dtype = getattr(tensor, name)
        x = QTensor(in_order(arrays[f"{i}.x"], channels_last), dtype, scale, z)
        args = [arrays.get(f"{i}.{p}") for p in parameters]
        y = getattr(ops, op)(x, *before, *args, eps, so, zo)
        np.testing.assert_array_equal(y.int_repr(), arrays[f"{i}.y"], f"{i} {op}")


X = QTensor(np.zeros((2, 4, 3, 3), np.uint8), quint8, 0.1, 3)
ROWS = QTensor(np.zeros((2, 4), np.uint8), quint8, 0.1, 3)
CHANNELS = QTensor(
    np.zeros((2, 4, 3, 3), np.uint8), quint8, np.ones(2), np.zeros(2, np.int64), tensor.per_channel_affine, 0
)
P = np.ones(4, np.float32)
BAD: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (TypeError, "qx must be a QTensor", lambda: ops.batch_norm2d(X.dequantize(), P, P, P, P, 1e-5, 1, 0)),
    (ValueError, "per tensor", lambda: ops.batch_norm2d(CHANNELS, P, P, P, P, 1e-5, 1, 0)),
    (ValueError, "4 dimensions", lambda: ops.batch_norm2d(ROWS, P, P, P, P, 1e-5, 1, 0)),
    (ValueError, "2 or 3 dimensions", lambda: ops.batch_norm1d(X, P, P, P, P, 1e-5, 1, 0)),
    (ValueError, "weight must be", lambda: ops.batch_norm2d(X, None, P, P, P, 1e-5, 1, 0)),
    (ValueError, r"var must have shape \(4,\)", lambda: ops.batch_norm2d(X, P, P, P, P[:3], 1e-5, 1, 0)),
    (TypeError, "mean must be a float32", lambda: ops.batch_norm2d(X, P, P, P.astype(float), P, 1e-5, 1, 0)),
    (ValueError, "eps must be", lambda: ops.batch_norm2d(X, P, P, P, P, float("nan"), 1, 0)),
    (ValueError, "eps must be", lambda: ops.layer_norm(X, 3, None, None, -1e-5, 1, 0)),
    (TypeError, "eps must be a number", lambda: ops.layer_norm(X, 3, None, None, "small", 1, 0)),
    (ValueError, "scale must be", lambda: ops.layer_norm(X, 3, None, None, 1e-5, 0, 0)),
    (ValueError, "scale must be", lambda: ops.layer_norm(X, 3, None, None, 1e-5, float("inf"), 0)),
    (ValueError, "zero_point must be", lambda: ops.layer_norm(X, 3, None, None, 1e-5, 1, 256)),
    (TypeError, "zero_point must be an int", lambda: ops.layer_norm(X, 3, None, None, 1e-5, 1, True)),
    (ValueError, "ends in normalized_shape", lambda: ops.layer_norm(ROWS, [3], None, None, 1e-5, 1, 0)),
    (ValueError, "ends in normalized_shape", lambda: ops.layer_norm(ROWS, [1, 2, 4], None, None, 1e-5, 1, 0)),
    (ValueError, "at least one dimension", lambda: ops.layer_norm(ROWS, [], None, None, 1e-5, 1, 0)),
    (ValueError, "normalized_shape must be at least", lambda: ops.layer_norm(ROWS, [-4], None, None, 1e-5, 1, 0)),
    (TypeError, "normalized_shape must be an int", lambda: ops.layer_norm(ROWS, 4.0, None, None, 1e-5, 1, 0)),
    (ValueError, "bias must have shape", lambda: ops.layer_norm(X, [3, 3], None, P, 1e-5, 1, 0)),
    (ValueError, "at least 3 dimensions", lambda: ops.group_norm(ROWS, 2, None, None, 1e-5, 1, 0)),
    (ValueError, "at least 3 dimensions", lambda: ops.instance_norm(ROWS, None, None, 1e-5, 1, 0)),
    (ValueError, "must divide the 4 channels", lambda: ops.group_norm(X, 3, None, None, 1e-5, 1, 0)),
    (ValueError, "num_groups must be at least 1", lambda: ops.group_norm(X, 0, None, None, 1e-5, 1, 0)),
    (TypeError, "num_groups must be an int", lambda: ops.group_norm(X, 2.5, None, None, 1e-5, 1, 0)),
    (ValueError, "weight must have shape", lambda: ops.instance_norm(X, P[:2], None, 1e-5, 1, 0)),
    (TypeError, "weight must be a float32", lambda: ops.instance_norm(X, "w", None, 1e-5, 1, 0)),
]


@pytest.mark.parametrize(("error", "message", "call"), BAD)
def test_bad_arguments(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        call()
