"""Embedding lookups and bags against the reference and torch's stored results, and bad arguments."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import tensor
from quantnn.ops import _embedding as ops
from quantnn.tensor import QTensor, quint4x2, quint8

from ..reference import embedding as reference
from ..reference.rounding import fma

DATA = Path(__file__).parent.parent / "data" / "embedding.npz"


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run with one thread, and with two however little there is to do."""
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)
    return int(request.param)


def table(ints: np.ndarray, scales: np.ndarray, zero_points: np.ndarray, bits: int) -> QTensor:
    """A table of these integers, one to an element of `ints`."""
    scheme = tensor.per_channel_affine_float_qparams
    if bits == 8:
        return QTensor(ints, quint8, scales, zero_points, scheme, 0)
    flat = ints.reshape(-1)
    return QTensor(flat[::2] | flat[1::2] << 4, quint4x2, scales, zero_points, scheme, 0, ints.shape)


def draw(rng: np.random.Generator, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, dim = int(rng.integers(1, 20)), int(rng.choice([rng.integers(1, 100), 32, 64, 128])) * (8 // bits)
    ints = rng.integers(0, 2**bits, (rows, dim), dtype=np.uint8)
    scales = (10.0 ** rng.uniform(-9 if rng.random() < 0.3 else -3, 3, rows)).astype(np.float32)
    zero_points = (rng.uniform(-0.5, 1.5, rows) * 2**bits).astype(np.float32)
    return ints, scales, zero_points


def of(bits: int) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    if bits == 8:
        return ops.embedding_byte, ops.embedding_bag_byte
    return ops.embedding_4bit, ops.embedding_bag_4bit


def check(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == np.float32
    assert got.shape == want.shape
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan)
    np.testing.assert_array_equal(got.view(np.int32)[~nan], want.view(np.int32)[~nan])


@pytest.mark.parametrize("bits", [8, 4])
def test_lookup(bits: int, level: str, threads: int, rng: np.random.Generator) -> None:
    for _ in range(8):
        parts = draw(rng, bits)
        packed = ops.embedding_bag_prepack(table(*parts, bits))
        shape = tuple(int(n) for n in rng.integers(0, 9, rng.integers(1, 3)))
        indices = rng.integers(0, len(parts[0]), shape).astype(rng.choice([np.int32, np.int64, ">i8", ">i4"]))
        want = reference.bag(*parts, bits, [[i] for i in indices.reshape(-1)])
        check(of(bits)[0](packed, indices), want.reshape(*shape, parts[0].shape[1]))
        twice = np.repeat(indices, 2, axis=0)
        check(of(bits)[0](packed, twice[::2]), want.reshape(*shape, parts[0].shape[1]))


@pytest.mark.parametrize("bits", [8, 4])
def test_bag(bits: int, level: str, threads: int, rng: np.random.Generator) -> None:
    for _ in range(12):
        parts = draw(rng, bits)
        packed = ops.embedding_bag_prepack(table(*parts, bits))
        rows = len(parts[0])
        mapping = None
        size = rows
        if rng.random() < 0.3:
            size = rows + int(rng.integers(1, 9))
            mapping = np.full(size, -1, np.int32)
            mapping[rng.permutation(size)[:rows]] = np.arange(rows)
        bags = [list(rng.integers(0, size, rng.integers(0, 60 if rng.random() < 0.1 else 6))) for _ in range(6)]
        weights = [list(rng.standard_normal(len(b)).astype(np.float32)) for b in bags] if rng.random() < 0.5 else None
        flat = np.array([i for b in bags for i in b]).astype(rng.choice([np.int32, np.int64]))
        last = bool(rng.random() < 0.5)
        ends = np.cumsum([0, *map(len, bags)])
        offsets = (ends if last else ends[:-1]).astype(rng.choice([np.int32, np.int64]))
        w = None if weights is None else np.array([v for b in weights for v in b], np.float32)
        got = of(bits)[1](packed, flat, offsets, False, 0, mapping is not None, w, mapping, last)
        check(got, reference.bag(*parts, bits, bags, weights, mapping))


@pytest.mark.parametrize("bits", [8, 4])
def test_bags_of_equal_size(bits: int, level: str, rng: np.random.Generator) -> None:
    parts = draw(rng, bits)
    packed = ops.embedding_bag_prepack(table(*parts, bits))
    indices = rng.integers(0, len(parts[0]), (5, 3))
    weights = rng.standard_normal((5, 3)).astype(np.float32)
    want = reference.bag(*parts, bits, indices.tolist(), weights.tolist())
    check(of(bits)[1](packed, indices, per_sample_weights=weights), want)
    check(of(bits)[1](packed, indices, per_sample_weights=weights.reshape(-1)), want)
    # torch counts the start of the last bag as the end, too
    check(of(bits)[1](packed, indices, per_sample_weights=weights, include_last_offset=True), want[:-1])
    assert not of(bits)[1](packed, indices[:, :0]).any()
    assert of(bits)[1](packed, indices[:0]).shape == (0, parts[0].shape[1])


@pytest.mark.parametrize("bits", [8, 4])
def test_pack_and_unpack(bits: int, level: str, rng: np.random.Generator) -> None:
    for _ in range(10):
        weight = table(*draw(rng, bits), bits)
        packed = ops.embedding_bag_prepack(weight)
        for p in (packed, pickle.loads(pickle.dumps(packed))):
            back = ops.embedding_bag_unpack(p)
            assert (back.dtype, back.shape, back.qscheme(), back._axis) == (
                weight.dtype,
                weight.shape,
                weight.qscheme(),
                0,
            )
            np.testing.assert_array_equal(back._ints, weight._ints)
            np.testing.assert_array_equal(back._scale, weight._scale)
            np.testing.assert_array_equal(back._zero_point, weight._zero_point)


def test_half_precision(level: str) -> None:
    # all float16, their neighbours and what lies half-way between, as scale and as bias
    half = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (half[:-1].astype(np.float64) + half[1:]) / 2
    values = np.concatenate([half, middle, np.nextafter(middle.astype(np.float32), np.float32(0))]).astype(np.float32)
    values = np.concatenate([values, np.nextafter(middle.astype(np.float32), np.float32(np.inf)), [65519, 65520, 1e38]])
    values = values.astype(np.float32)
    n = len(values)
    ints = np.tile(np.array([[0, 1]], np.uint8), (n, 1))
    for scales, zero_points in ((values, np.zeros(n, np.float32)), (np.ones(n, np.float32), -values)):
        packed = ops.embedding_bag_prepack(table(ints, scales, zero_points, 4))
        rows = packed._rows[:, 1:].copy().view(np.float16)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(rows[:, 0], scales.astype(np.float16))
            np.testing.assert_array_equal(rows[:, 1], (-(zero_points * scales)).astype(np.float16))
        scale, bias = (v[:, None] for v in reference.row_parameters(scales, zero_points, 4))
        check(ops.embedding_4bit(packed, np.arange(n)), fma(scale, ints.astype(np.float32), bias))


def test_same_as_stored_torch(level: str) -> None:
    with np.load(DATA) as archive:
        arrays = dict(archive)
    for i, (bits, rows, dim) in enumerate(json.loads(str(arrays["meta"]))):
        a = {k.split(".")[1]: v for k, v in arrays.items() if k.startswith(f"{i}.")}
        dtype, shape = (quint8, None) if bits == 8 else (quint4x2, (rows, dim))
        scheme = tensor.per_channel_affine_float_qparams
        packed = ops.embedding_bag_prepack(QTensor(a["ints"], dtype, a["scales"], a["zero_points"], scheme, 0, shape))
        lookup, bag = of(bits)
        check(lookup(packed, a["indices"]), a["lookup"])
        check(bag(packed, a["indices"], a["offsets"]), a["bag"])
        check(bag(packed, a["indices"], a["offsets"], per_sample_weights=a["weights"]), a["weighted"])
        check(
            bag(packed, a["indices"], a["offsets"], pruned_weights=True, compressed_indices_mapping=a["mapping"]),
            a["pruned"],
        )


TABLE = table(np.zeros((3, 4), np.uint8), np.ones(3, np.float32), np.zeros(3, np.float32), 8)
PACKED = ops.embedding_bag_prepack(TABLE)
PER_TENSOR = QTensor(np.zeros((3, 4), np.uint8), quint8, 1.0, 0)
INTS = np.array([0, 1, 2])
START = np.array([0])


def bag(indices: Any = INTS, offsets: Any = START, **kwargs: Any) -> np.ndarray:
    return ops.embedding_bag_byte(PACKED, indices, offsets, **kwargs)


def mapped(mapping: Any, indices: Any = INTS) -> np.ndarray:
    return bag(indices, pruned_weights=True, compressed_indices_mapping=mapping)


QINT8 = QTensor(np.zeros((3, 4), np.int8), tensor.qint8, 1.0, 0)
COLUMNS = QTensor(np.zeros((3, 4), np.uint8), quint8, np.ones(4), np.ones(4), TABLE.qscheme(), 1)
ODD = QTensor(np.zeros(8, np.uint8), quint4x2, np.ones(3), np.ones(3), TABLE.qscheme(), 0, (3, 5))
BAD: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (TypeError, "weight must be a QTensor", lambda: ops.embedding_bag_prepack(np.zeros((3, 4), np.float32))),
    (TypeError, "quint8 or quint4x2", lambda: ops.embedding_bag_prepack(QINT8)),
    (ValueError, "per_channel_affine_float_qparams", lambda: ops.embedding_bag_prepack(PER_TENSOR)),
    (ValueError, "axis 0", lambda: ops.embedding_bag_prepack(COLUMNS)),
    (ValueError, "even last dimension", lambda: ops.embedding_bag_prepack(ODD)),
    (TypeError, "packed table", lambda: ops.embedding_bag_unpack(TABLE)),
    (TypeError, "packed table", lambda: ops.embedding_byte(TABLE, INTS)),
    (TypeError, "packed quint4x2 table", lambda: ops.embedding_4bit(PACKED, INTS)),
    (TypeError, "int32 or int64", lambda: ops.embedding_byte(PACKED, INTS.astype(np.float32))),
    (TypeError, "int32 or int64", lambda: ops.embedding_byte(PACKED, INTS.astype(np.int16))),
    (TypeError, "int32 or int64", lambda: ops.embedding_byte(PACKED, INTS > 1)),
    (TypeError, "int32 or int64", lambda: ops.embedding_byte(PACKED, None)),
    (ValueError, "1 or 2 dimensions", lambda: ops.embedding_byte(PACKED, np.array(1))),
    (ValueError, "1 or 2 dimensions", lambda: ops.embedding_byte(PACKED, np.zeros((1, 1, 1), np.int64))),
    (IndexError, r"in \[0, 2\].*got 3 at position 1", lambda: ops.embedding_byte(PACKED, np.array([1, 3]))),
    (IndexError, "got -1 at position 0", lambda: ops.embedding_byte(PACKED, np.array([-1, 3]))),
    (IndexError, "got -9223372036854775808", lambda: ops.embedding_byte(PACKED, np.array([-(2**63)]))),
    (NotImplementedError, "pruned_weights", lambda: ops.embedding_byte(PACKED, INTS, True)),
    (IndexError, "got 9 at position 2", lambda: bag(np.array([0, 1, 9]))),
    (ValueError, "offsets must be an array", lambda: bag(INTS, None)),
    (ValueError, "offsets must be None", lambda: bag(INTS.reshape(1, 3))),
    (ValueError, "offsets must have one dimension", lambda: bag(offsets=np.zeros((1, 1), np.int64))),
    (ValueError, "start at 0.*got 1 at position 0", lambda: bag(offsets=np.array([1]))),
    (ValueError, "never decrease.*got 1 at position 2", lambda: bag(offsets=np.array([0, 2, 1]))),
    (ValueError, "at most 3.*got 4 at position 1", lambda: bag(offsets=np.array([0, 4]))),
    (ValueError, "at least one element", lambda: bag(offsets=np.array([], np.int64), include_last_offset=True)),
    (ValueError, "at least one row", lambda: bag(np.zeros((0, 2), np.int64), None, include_last_offset=True)),
    (TypeError, "offsets must be an int32", lambda: bag(offsets=np.array([0.0]))),
    (ValueError, "1 or 2 dimensions", lambda: bag(np.zeros((1, 1, 1), np.int64))),
    (TypeError, "per_sample_weights must be a float32", lambda: bag(per_sample_weights=np.ones(3))),
    (ValueError, "per_sample_weights must have", lambda: bag(per_sample_weights=np.ones(2, np.float32))),
    (ValueError, "mode must be at most 2", lambda: bag(mode=3)),
    (ValueError, "compressed_indices_mapping must be an int32", lambda: mapped(None)),
    (TypeError, "compressed_indices_mapping must be an int32", lambda: mapped(INTS)),
    (ValueError, "compressed_indices_mapping must have one", lambda: mapped(np.zeros((1, 3), np.int32))),
    (IndexError, r"mapping must be in \[-1, 2\]; got 3", lambda: mapped(np.array([0, 3, 0], np.int32))),
    (IndexError, r"in \[0, 1\].*got 2", lambda: mapped(np.array([0, -1], np.int32))),
]


@pytest.mark.parametrize(("error", "message", "call"), BAD)
def test_bad_arguments(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_modes_warn() -> None:
    with pytest.warns(UserWarning, match="summed"):
        assert bag(mode=1).shape == (1, 4)


def test_empty_table() -> None:
    weight = table(np.zeros((0, 4), np.uint8), np.ones(0, np.float32), np.zeros(0, np.float32), 8)
    packed = ops.embedding_bag_prepack(weight)
    assert ops.embedding_byte(packed, np.zeros(0, np.int64)).shape == (0, 4)
    assert not ops.embedding_bag_byte(packed, np.zeros(0, np.int64), np.zeros(2, np.int64)).any()
    with pytest.raises(IndexError, match="no rows"):
        ops.embedding_byte(packed, np.zeros(1, np.int64))
    assert ops.embedding_byte(PACKED, []).shape == (0, 4)


NAMES = {8: "byte", 4: "4bit", 2: "2bit"}


@pytest.mark.parametrize("bits", NAMES)
def test_rows_of_floats(bits: int, level: str, threads: int, rng: np.random.Generator) -> None:
    name = f"embedding_bag_{NAMES[bits]}"
    for i in range(6):
        rows, dim = int(rng.integers(1, 8)), int(rng.integers(1, 40)) * (8 // bits)
        w = (rng.standard_normal((rows, dim)) * 10 ** rng.uniform(-3, 2)).astype(rng.choice([np.float32, np.float16]))
        w[0] = w[0, 0]
        packed = getattr(ops, f"{name}_prepack")(w)
        np.testing.assert_array_equal(packed, reference.pack_floats(w, bits))
        np.testing.assert_array_equal(getattr(ops, f"{name}_prepack")(w[::-1])[::-1], packed)
        limits = np.stack([w.min(1) - 1, w.max(1) - 0.01 * i], 1).astype(np.float32)
        got = getattr(ops, f"{name}_prepack_with_rowwise_min_max")(w.astype(np.float32), limits)
        np.testing.assert_array_equal(got, reference.pack_floats(w, bits, limits))
        if bits < 8 and i < 2:
            got = getattr(ops, f"{name}_prepack")(w, True, 20, 0.4)
            np.testing.assert_array_equal(got, reference.pack_floats(w, bits, search=(20, 0.4)))
        ints, scale, bias = reference.unpack_floats(packed, bits)
        check(getattr(ops, f"{name}_unpack")(packed), fma(ints.astype(np.float32), scale[:, None], bias[:, None]))

        n, bags = int(rng.integers(0, 30)), int(rng.integers(1, 6))
        indices, offsets = rng.integers(0, rows, n), np.sort(rng.integers(0, n + 1, bags))
        offsets[0] = 0
        want = np.zeros((bags, dim), np.float32)
        for b, (start, stop) in enumerate(zip(offsets, [*offsets[1:], n], strict=True)):
            for r in indices[start:stop]:
                want[b] = fma(scale[r], ints[r].astype(np.float32), want[b] + bias[r])
        check(getattr(ops, f"{name}_rowwise_offsets")(packed, indices, offsets), want)


def test_rows_of_floats_refused() -> None:
    with pytest.raises(TypeError, match="float32 or float16"):
        ops.embedding_bag_byte_prepack(np.ones((2, 2)))
    with pytest.raises(ValueError, match="a multiple of 4"):
        ops.embedding_bag_2bit_prepack(np.ones((2, 6), np.float32))
    with pytest.raises(ValueError, match="finite"):
        ops.embedding_bag_byte_prepack(np.full((1, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="at least 8"):
        ops.embedding_bag_byte_unpack(np.ones((1, 7), np.uint8))
    with pytest.raises(IndexError, match=r"in \[0, 1\]"):
        ops.embedding_bag_4bit_rowwise_offsets(np.ones((2, 8), np.uint8), np.array([2]), np.array([0]))


@pytest.mark.parametrize("bits", NAMES)
def test_rows_stored(bits: int, level: str) -> None:
    with np.load(DATA) as archive:
        case = {k.split(".")[1]: archive[k] for k in archive.files if k.startswith(f"{NAMES[bits]}.")}
    name = f"embedding_bag_{NAMES[bits]}"
    np.testing.assert_array_equal(getattr(ops, f"{name}_prepack")(case["floats"]), case["rows"])
    if bits < 8:
        np.testing.assert_array_equal(getattr(ops, f"{name}_prepack")(case["floats"], True, 50, 0.3), case["searched"])
    check(getattr(ops, f"{name}_unpack")(case["rows"]), case["unpacked"])
    check(getattr(ops, f"{name}_rowwise_offsets")(case["rows"], case["indices"], case["offsets"]), case["sums"])
