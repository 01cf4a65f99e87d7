"""The quantize kernels against the NumPy reference and torch's recorded results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import tensor as qt
from tests.reference import quantize as ref

DTYPES = ("quint8", "qint8", "qint32")
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1000)
EXTREMES = np.array(
    [np.nan, np.inf, -np.inf, 3e9, -3e9, 1e38, -1e38, 2147483520, 2147483648, -2147483648, 0.0, -0.0, 1e-45, 3e38],
    np.float32,
)
DATA = Path(__file__).parent.parent / "data" / "quantize.npz"


def draw(rng: np.random.Generator, n: Any, scale: Any) -> np.ndarray:
    """Ordinary numbers, ties and extremes together."""
    x = rng.standard_normal(n) * 100 * scale
    ties = (rng.integers(-300, 300, n) + 0.5) * scale
    kind = rng.integers(0, 5, n)
    return np.where(kind < 2, x, np.where(kind < 4, ties, rng.choice(EXTREMES, n))).astype(np.float32)


def draw_params(rng: np.random.Generator, dtype: str) -> tuple[float, int]:
    d = getattr(qt, dtype)
    s = 2.0 ** rng.integers(-10, 4) if rng.random() < 0.5 else np.exp(rng.uniform(-11, 2))
    return float(s), int(rng.integers(max(d.qmin, -1000), min(d.qmax, 1000) + 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_per_tensor(dtype: str, level: str, rng: np.random.Generator) -> None:
    for n in SIZES:
        s, z = draw_params(rng, dtype)
        x = draw(rng, n, s)
        q = qt.quantize_per_tensor(x, s, z, getattr(qt, dtype))
        np.testing.assert_array_equal(q.int_repr(), ref.quantize_per_tensor(x, s, z, dtype))
        np.testing.assert_array_equal(q.dequantize(), ref.dequantize_per_tensor(q.int_repr(), s, z))


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(dtype: str, level: str, rng: np.random.Generator) -> None:
    s, z = draw_params(rng, dtype)
    x = draw(rng, (3, 1 << 17), s)[:, 1:]
    scales, zero_points = (np.array(v) for v in zip(*(draw_params(rng, dtype) for _ in range(3)), strict=True))
    results = []
    for threads in (1, 2, 3):
        quantnn.set_num_threads(threads)
        q = qt.quantize_per_tensor(x, s, z, getattr(qt, dtype))
        c = qt.quantize_per_channel(x, scales, zero_points, 0, getattr(qt, dtype))
        results.append((q.int_repr(), q.dequantize(), c.int_repr()))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["quint4x2", "quint2x4"])
def test_sub_byte(dtype: str, level: str, rng: np.random.Generator) -> None:
    d = getattr(qt, dtype)
    for n in SIZES:
        s, z = draw_params(rng, dtype)
        x = (rng.integers(-20, 20, n) * 0.5 * s).astype(np.float32)
        want = ref.quantize_per_tensor(x, s, z, dtype)
        q = qt.quantize_per_tensor(x, s, z, d)
        assert q.shape == (n,)
        np.testing.assert_array_equal(q.int_repr(), ref.pack(want, d.bits))
        np.testing.assert_array_equal(q.dequantize(), ref.dequantize_per_tensor(want, s, z))


@pytest.mark.parametrize("dtype", DTYPES)
def test_per_channel(dtype: str, level: str, rng: np.random.Generator) -> None:
    for _ in range(30):
        shape = tuple(int(n) for n in rng.integers(1, 8, rng.integers(1, 5)))
        axis = int(rng.integers(len(shape)))
        s, z = (np.array(v) for v in zip(*(draw_params(rng, dtype) for _ in range(shape[axis])), strict=True))
        x = draw(rng, shape, ref.along(s, axis, len(shape)))
        if x.ndim == 4:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        q = qt.quantize_per_channel(x, s, z, axis, getattr(qt, dtype))
        np.testing.assert_array_equal(q.int_repr(), ref.quantize_per_channel(x, s, z, axis, dtype))
        np.testing.assert_array_equal(q.dequantize(), ref.dequantize_per_channel(q.int_repr(), s, z, axis))
        assert x.ndim != 4 or q.is_contiguous(memory_format=qt.channels_last)


@pytest.mark.parametrize("dtype", ["quint8", "quint4x2", "quint2x4"])
def test_float_qparams(dtype: str, level: str, rng: np.random.Generator) -> None:
    d = getattr(qt, dtype)
    for _ in range(20):
        shape = int(rng.integers(1, 9)), int(rng.integers(1, 20))
        s = (2.0 ** rng.integers(-4, 3, shape[0])).astype(np.float32)
        z = (rng.integers(0, 2 * d.qmax, shape[0]) / 2).astype(np.float32)
        x = (rng.integers(-400, 400, shape) / 8).astype(np.float32)
        q = qt.quantize_per_channel(x, s, z, 0, d)
        want = ref.quantize_per_channel(x, s, z, 0, dtype)
        np.testing.assert_array_equal(q.int_repr(), want if d.bits == 8 else ref.pack(want, d.bits))
        np.testing.assert_array_equal(q.dequantize(), ref.dequantize_per_channel(want, s, z, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_and_std(dtype: str, level: str, rng: np.random.Generator) -> None:
    d = getattr(qt, dtype)
    for n in SIZES[2:]:
        s, z = draw_params(rng, dtype)
        ints = rng.integers(d.qmin, d.qmax + 1, (5, n)).astype(d.numpy)
        q = qt.make_per_tensor_quantized_tensor(ints, s, z)
        np.testing.assert_array_equal(q.mean(1).int_repr(), ref.mean_rows(ints, dtype))
        if dtype != "qint32":
            for c in (0, 1):
                want = ref.std_rows(ints, s, z, dtype, c)
                np.testing.assert_array_equal(q.std(1, correction=c).int_repr(), want)


def test_dynamic(level: str, rng: np.random.Generator) -> None:
    for i in range(300):
        x = (rng.standard_normal(5) * 10.0 ** rng.integers(-12, 8)).astype(np.float32)
        x = np.abs(x) if i % 4 == 0 else -np.abs(x) if i % 4 == 1 else x
        for dtype, reduce_range, bounds in (
            ("quint8", False, (0, 255)),
            ("quint8", True, (0, 127)),
            ("qint8", False, (-128, 127)),
            ("qint8", True, (-64, 63)),
        ):
            q = qt.quantize_per_tensor_dynamic(x, getattr(qt, dtype), reduce_range)
            assert (q.q_scale(), q.q_zero_point()) == ref.choose_qparams(x.min(), x.max(), *bounds)
            want = ref.quantize_per_tensor(x, q.q_scale(), q.q_zero_point(), dtype)
            np.testing.assert_array_equal(q.int_repr(), want)


def test_recorded_torch_results(level: str) -> None:
    with np.load(DATA) as data:
        x, scales, zero_points = data["x"], data["scales"], data["zero_points"]
        for dtype in DTYPES:
            for i, (s, z) in enumerate(zip(data["scale"], data["zero_point"], strict=True)):
                q = qt.quantize_per_tensor(x * np.float32(s), float(s), int(z), getattr(qt, dtype))
                np.testing.assert_array_equal(q.int_repr(), data[f"{dtype}_{i}"])
                np.testing.assert_array_equal(q.dequantize(), data[f"{dtype}_{i}_floats"])
            c = qt.quantize_per_channel(x.reshape(8, -1), scales, zero_points, 0, getattr(qt, dtype))
            np.testing.assert_array_equal(c.int_repr(), data[f"{dtype}_channels"])
            np.testing.assert_array_equal(c.dequantize(), data[f"{dtype}_channels_floats"])
        for dtype in ("quint4x2", "quint2x4"):
            f = qt.quantize_per_channel(
                np.clip(x.reshape(8, -1), -1e4, 1e4),
                scales.astype("f4"),
                zero_points.astype("f4") / 2,
                0,
                getattr(qt, dtype),
            )
            np.testing.assert_array_equal(f.int_repr(), data[f"{dtype}_channels"])
            np.testing.assert_array_equal(f.dequantize(), data[f"{dtype}_channels_floats"])
        m = qt.make_per_tensor_quantized_tensor(data["quint8_0"].reshape(2, 3, 8, 8), 0.1, 3)
        m = m.contiguous(memory_format=qt.channels_last)
        for i, dims in enumerate(((2, 3), (0,), (1,), (0, 2), (0, 1, 2, 3))):
            np.testing.assert_array_equal(m.mean(dims).int_repr(), data[f"mean_{i}"])
            np.testing.assert_array_equal(m.std(dims).int_repr(), data[f"std_{i}"])
