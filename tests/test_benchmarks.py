"""The benchmark tool's own logic: means, limits, the rows' definitions. No timing is asserted."""

from __future__ import annotations

import importlib
import itertools
import math

import numpy as np
import pytest

from benchmarks import _limits, _measure, _onnx, _tflite, bench_conv, bench_conv_transpose, bench_linear
from benchmarks.__main__ import FAMILIES

LIMITS = _limits.Limits(
    "a level",
    {"L1": 100, "L2": 1000},
    ("L2",),
    {1: 1e9, 2: 2e9},
    {1: {"L1": 4e2, "L2": 2e2, "DRAM": 1e2}, 2: {"L1": 8e2, "L2": 4e2, "DRAM": 1e2}},
    {1: {}, 2: {}},
)


def _result(group: str, threads: int, seconds: dict[str, float], limit: float | None = 1.0) -> _measure.Result:
    ratios = {n: s / seconds["quantnn"] for n, s in seconds.items() if n != "quantnn"}
    shares = {n: limit / s for n, s in seconds.items()} if limit else {}
    best = min(ratios, key=lambda n: ratios[n]) if ratios else None
    return _measure.Result(
        group, "", threads, 0, 1, limit, "L1", seconds, seconds, {}, shares, ratios, best, None, {}, {}, True
    )


def test_geometric_mean() -> None:
    assert _measure.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert _measure.geometric_mean([]) is None


def test_means_by_group_and_threads() -> None:
    results = [
        _result("a", 1, {"quantnn": 2.0, "x": 4.0, "y": 8.0}),
        _result("a", 1, {"quantnn": 2.0, "x": 16.0}),
        _result("a", 2, {"quantnn": 1.0, "x": 1.0}),
        _result("b", 1, {"quantnn": 1.0}, None),
    ]
    one, two, alone = _measure.means(results)
    assert (one.group, one.threads, one.rows) == ("a", 1, 2)
    assert one.ratios == pytest.approx({"x": 4.0, "y": 4.0})  # a mean is over the rows that the peer ran
    assert one.best == pytest.approx(4.0)  # 2 and 8
    assert one.shares == pytest.approx({"quantnn": 0.5, "x": 0.125, "y": 0.125})
    assert one.best_share == pytest.approx(0.125)
    assert (two.threads, two.best) == (2, pytest.approx(1.0))
    assert (alone.ratios, alone.best, alone.shares, alone.best_share) == ({}, None, {}, None)


@pytest.mark.parametrize(
    ("moved", "threads", "cache"),
    [(100, 1, "L1"), (101, 1, "L2"), (200, 2, "L1"), (1000, 1, "L2"), (1001, 2, "DRAM")],
)
def test_the_cache_that_holds_a_row(moved: int, threads: int, cache: str) -> None:
    assert LIMITS.cache(moved, threads) == cache


def test_the_limit_is_the_longer_time() -> None:
    assert LIMITS.of(0, 40, 1) == (pytest.approx(0.1), "L1")
    assert LIMITS.of(1, 40, 1) == (pytest.approx(0.1), "L1")
    assert LIMITS.of(10**9, 40, 1) == (pytest.approx(1.0), "peak")
    assert LIMITS.of(10**9, 40, 2) == (pytest.approx(0.5), "peak")
    assert LIMITS.of(0, 0, 1) is None


def test_an_unknown_peak_gives_no_limit_to_a_product() -> None:
    limits = LIMITS._replace(peak={1: 0.0})
    assert limits.of(1, 40, 1) is None
    assert limits.of(0, 40, 1) == (pytest.approx(0.1), "L1")


def test_cache_sizes_grow() -> None:
    sizes, shared = _limits.cache_sizes()
    assert list(sizes.values()) == sorted(sizes.values())
    assert set(shared) <= set(sizes)


@pytest.mark.parametrize(
    "shape",
    [
        bench_conv.Shape(4, 6, (5, 7), 3),
        bench_conv.Shape(4, 6, (6, 8), 3, 2),
        bench_conv.Shape(8, 8, (9,), 5, 1, 4, 2),
        bench_conv.Shape(2, 2, (3, 4, 5), 3, 1, 2, 1, 2),
    ],
)
def test_macs_are_those_outside_of_padding(shape: bench_conv.Shape) -> None:
    taps = 0
    for at in itertools.product(*map(range, shape.out)):
        for tap in itertools.product(range(shape.kernel), repeat=len(at)):
            place = [o * shape.stride - shape.padding + k * shape.dilation for o, k in zip(at, tap, strict=True)]
            taps += all(0 <= p < n for p, n in zip(place, shape.size, strict=True))
    assert shape.macs == shape.batch * shape.out_channels * shape.channels // shape.groups * taps


def test_bytes_of_a_convolution() -> None:
    shape = bench_conv.Shape(4, 8, (6, 6), 3, 2, 2, 1, 3)
    assert shape.out == (3, 3)
    assert shape.moved == 3 * (4 * 36 + 8 * 9) + 8 * 2 * 9


def test_families_of_convolutions() -> None:
    counts = {
        "first layer, 3 channels": 2, "ResNet-50 1x1": 15, "ResNet-50 3x3": 7, "MobileNetV2 depthwise 3x3": 10,
        "MobileNetV2 pointwise": 19, "grouped 3x3, 32 groups": 4, "dilated 3x3": 2, "batch 8": 5, "conv1d": 4,
        "depthwise conv1d, k = 31": 1, "conv3d": 2,
    }  # fmt: skip
    assert {group: len(shapes) for group, shapes in bench_conv.families().items()} == counts


@pytest.mark.parametrize("family", FAMILIES)
def test_rows(family: str) -> None:
    names = set()
    for row in importlib.import_module(f"benchmarks.bench_{family}").rows():
        assert "quantnn" in row.forms
        assert row.macs >= 0 <= row.moved
        assert row.unit == ("GMAC/s" if row.macs else "GB/s" if row.moved else "")
        assert (row.group, row.shape) not in names
        names.add((row.group, row.shape))
    assert names


def test_a_row_is_exact() -> None:
    row = next(bench_linear.rows())
    assert row.macs == 512 * 1000
    assert row.moved == 512 + 512 * 1000 + 1000
    form = row.forms["quantnn"]()
    assert row.reference is not None
    assert form.ints is not None
    np.testing.assert_array_equal(form.ints(form.call()), row.reference())


def test_rows_of_each_kind_of_convolution_are_exact() -> None:
    small = [
        bench_conv.Shape(3, 8, (9, 9), 3, 2),
        bench_conv.Shape(8, 8, (6, 5), 3, 1, 8),
        bench_conv.Shape(8, 8, (6, 5), 3, 1, 4, 2),
        bench_conv.Shape(4, 8, (11,), 5, 2),
        bench_conv.Shape(4, 4, (3, 4, 5), 3, 1, 1, 1, 2),
    ]
    for shape in small:
        row = bench_conv.row("", shape)
        form = row.forms["quantnn"]()
        assert row.reference is not None
        assert form.ints is not None
        np.testing.assert_array_equal(form.ints(form.call()), row.reference(), str(shape))


def test_rows_of_transposed_convolutions() -> None:
    for shape in (
        bench_conv_transpose.Shape(4, 6, (5, 3), 2),
        bench_conv_transpose.Shape(4, 6, (5, 3), 3),
        bench_conv_transpose.Shape(8, 4, (5,), 7, 3, 4),
        bench_conv_transpose.Shape(4, 6, (2, 3, 4), 4),
    ):
        reached = 0
        for at in itertools.product(*map(range, shape.size)):
            for tap in itertools.product(range(shape.kernel), repeat=len(at)):
                place = [i * shape.stride - shape.padding + k for i, k in zip(at, tap, strict=True)]
                reached += all(0 <= p < n for p, n in zip(place, shape.out, strict=True))
        assert shape.macs == shape.out_channels * shape.channels // shape.groups * reached
        row = bench_conv_transpose.row("", shape)
        form = row.forms["quantnn"]()
        assert row.reference is not None
        assert form.ints is not None
        np.testing.assert_array_equal(form.ints(form.call()), row.reference(), str(shape))


@pytest.mark.parametrize(
    ("shape", "mirrored"),
    [
        (bench_conv.Shape(4, 4, (8, 8), 3), False),
        (bench_conv.Shape(4, 4, (8, 8), 3, 2), True),  # one row of padding, which torch has at the start
        (bench_conv.Shape(4, 4, (9, 9), 3, 2), False),
        (bench_conv.Shape(4, 4, (8, 8), 1, 2), False),
        (bench_conv.Shape(3, 64, (224, 224), 7, 2), True),
    ],
)
def test_where_padding_is_mirrored_for_litert(shape: bench_conv.Shape, mirrored: bool) -> None:
    assert shape.mirrored is mirrored


def test_litert_integers() -> None:
    ints = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(_tflite.signed(ints), np.arange(-128, 128))
    np.testing.assert_array_equal(_tflite.unsigned(_tflite.signed(ints)), ints)


def test_onnx_transpositions_undo_each_other() -> None:
    for ndim in (3, 4, 5):
        shape = tuple(range(2, 2 + ndim))
        first = _onnx.channels_first("a", "b", ndim).attributes["perm"]
        last = _onnx.channels_last("b", "c", ndim).attributes["perm"]
        array = np.empty(shape).transpose(first)
        assert array.shape == (shape[0], shape[-1], *shape[1:-1])
        assert array.transpose(last).shape == shape


def test_limits_as_text() -> None:
    copying = {t: dict.fromkeys(("L1", "L2", "DRAM"), 1000000000.0) for t in (1, 2)}
    text = str(LIMITS._replace(copying=copying, peak={1: 0.0, 2: 2e9}))
    assert "unknown" in text
    assert math.isfinite(float(text.splitlines()[1].split()[-1]))
