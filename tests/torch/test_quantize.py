"""quantize, dequantize and the constructors against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn

DTYPES = ("quint8", "qint8", "qint32")
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 3e9, -3e9, 1e38, -1e38, 2147483520, 2147483648, -2147483648, 0.0, -0.0, 1e-45], np.float32
)


def draw_shape(rng: np.random.Generator) -> tuple[int, ...]:
    rank = int(rng.integers(0, 6))
    longest = {0: 1, 1: 300, 2: 40, 3: 12, 4: 7, 5: 5}[rank]
    return tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, longest + 1, rank))


def draw_scale(rng: np.random.Generator) -> float:
    if rng.random() < 0.4:
        return 2.0 ** int(rng.integers(-12, 4))
    return float(np.exp(rng.uniform(np.log(1e-5), np.log(10))))


def draw_zero_point(rng: np.random.Generator, dtype: str) -> int:
    d = getattr(quantnn.tensor, dtype)
    return int(rng.integers(max(d.qmin, -1000), min(d.qmax, 1000) + 1))


def draw_floats(rng: np.random.Generator, shape: tuple[int, ...], scale: Any) -> np.ndarray:
    """Ordinary numbers, ties, or the extremes."""
    kind = rng.integers(0, 5)
    if kind == 0:
        x = rng.choice(SPECIAL, shape)
    elif kind < 3:
        x = (rng.integers(-300, 300, shape) + 0.5) * np.float64(np.float32(scale))
    else:
        x = rng.standard_normal(shape) * 100 * scale
    return np.asarray(x, np.float32)


def draw_layout(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """The same array, contiguous, channels-last, permuted or with gaps."""
    kind = rng.integers(0, 4)
    if kind == 0 and x.ndim in (4, 5):
        order = (0, *range(2, x.ndim), 1)
        return np.ascontiguousarray(x.transpose(order)).transpose((0, x.ndim - 1, *range(1, x.ndim - 1)))
    if kind == 1 and x.ndim:
        order = rng.permutation(x.ndim)
        back = np.argsort(order)
        return np.ascontiguousarray(x.transpose(order)).transpose(back)
    if kind == 2 and x.ndim:
        axis = int(rng.integers(x.ndim))
        wide = np.repeat(x, 2, axis)
        return wide[(slice(None),) * axis + (slice(None, None, 2),)]
    return x


def strides(shape: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(s for n, s in zip(shape, steps, strict=True) if n > 1) if 0 not in shape else ()


def same(got: Any, want: Any) -> int:
    """The number of elements that differ; a difference in anything else counts as all of them and one more."""
    if not isinstance(got, quantnn.tensor.QTensor):
        values = want.numpy()
        laid = strides(got.shape, quantnn.tensor._layout.strides_in_elements(got))
        if (got.dtype, got.shape) != (values.dtype, values.shape) or laid != strides(want.shape, want.stride()):
            return got.size + 1
        return int((~((got == values) | ((got != got) & (values != values)))).sum())
    ints = want.int_repr().numpy()
    if got.int_repr().shape != ints.shape or got.shape != tuple(want.shape) or str(got.dtype) != str(want.dtype):
        return got.numel() + 1
    if str(got.qscheme()) != str(want.qscheme()):
        return got.numel() + 1
    if strides(got.shape, got.stride()) != strides(got.shape, want.stride()):
        return got.numel() + 1
    if got.qscheme() is quantnn.tensor.per_tensor_affine:
        params = (got.q_scale(), got.q_zero_point()) == (want.q_scale(), want.q_zero_point())
    else:
        s, z = want.q_per_channel_scales().numpy(), want.q_per_channel_zero_points().numpy()
        gs, gz = got.q_per_channel_scales(), got.q_per_channel_zero_points()
        params = (gs.dtype, gz.dtype, got.q_per_channel_axis()) == (s.dtype, z.dtype, want.q_per_channel_axis())
        params = params and np.array_equal(gs, s) and np.array_equal(gz, z)
    return int((got.int_repr() != ints).sum()) if params else got.numel() + 1


def per_tensor(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(DTYPES))
    s, z = draw_scale(rng), draw_zero_point(rng, dtype)
    x = draw_layout(rng, draw_floats(rng, draw_shape(rng), s))
    got = qn.tensor.quantize_per_tensor(x, s, z, getattr(qn.tensor, dtype))
    want = torch.quantize_per_tensor(torch.from_numpy(x), s, z, getattr(torch, dtype))
    return x.size, same(got, want) + same(got.dequantize(), want.dequantize())


def per_tensor_array_qparams(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    s, z = np.float32(draw_scale(rng)), draw_zero_point(rng, "quint8")
    x = draw_floats(rng, draw_shape(rng), s)
    got = qn.tensor.quantize_per_tensor(x, np.array(s), np.array(z), qn.tensor.quint8)
    want = torch.quantize_per_tensor(torch.from_numpy(x), torch.tensor(s), torch.tensor(z), torch.quint8)
    scales, zero_points = np.array([s, s * 2], np.float32), np.array([z, z // 2])
    many = qn.tensor.quantize_per_tensor([x, x], scales, zero_points, qn.tensor.quint8)
    wants = torch.quantize_per_tensor(
        [torch.from_numpy(x)] * 2, torch.from_numpy(scales), torch.from_numpy(zero_points), torch.quint8
    )
    return x.size * 3, same(got, want) + sum(map(same, many, wants))


def per_tensor_sub_byte(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(("quint4x2", "quint2x4")))
    s, z = draw_scale(rng), draw_zero_point(rng, dtype)
    shape = draw_shape(rng)
    x = rng.standard_normal(shape) * 8 * s
    if rng.random() < 0.5:
        x = (rng.integers(-20, 20, shape) + 0.5) * np.float64(np.float32(s))
    x = np.asarray(x, np.float32)
    got = qn.tensor.quantize_per_tensor(x, s, z, getattr(qn.tensor, dtype))
    want = torch.quantize_per_tensor(torch.from_numpy(x), s, z, getattr(torch, dtype))
    return x.size, same(got, want) + same(got.dequantize(), want.dequantize())


def per_channel(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(DTYPES))
    shape = draw_shape(rng) or (3,)
    axis = int(rng.integers(len(shape)))
    # 0 channels have no parameters to compare
    n = shape[axis]
    s = np.array([draw_scale(rng) for _ in range(n)])
    z = np.array([draw_zero_point(rng, dtype) for _ in range(n)], np.int64)
    x = draw_floats(rng, shape, s.reshape([-1 if i == axis else 1 for i in range(len(shape))]))
    if axis < 2:  # torch refuses other axes of channels-last arrays
        x = draw_layout(rng, x)
    got = qn.tensor.quantize_per_channel(x, s, z, axis, getattr(qn.tensor, dtype))
    want = torch.quantize_per_channel(
        torch.from_numpy(x), torch.from_numpy(s), torch.from_numpy(z), axis, getattr(torch, dtype)
    )
    bad = same(got, want) + same(got.dequantize(), want.dequantize())
    ints = want.int_repr().contiguous()
    got = qn.tensor.make_per_channel_quantized_tensor(ints.numpy(), s, z, axis)
    want = torch._make_per_channel_quantized_tensor(ints, torch.from_numpy(s), torch.from_numpy(z), axis)
    return x.size, bad + same(got, want)


def float_qparams(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(("quint8", "quint4x2", "quint2x4")))
    rows, columns = int(rng.integers(1, 9)), int(rng.integers(1, 12)) * 4
    top = getattr(qn.tensor, dtype).qmax
    if rng.random() < 0.5:
        s = np.full(rows, 0.5, np.float32)
        z = (rng.integers(0, 2 * top, rows) / 2).astype(np.float32)
        x = (rng.integers(-400, 400, (rows, columns)) / 4).astype(np.float32)
    else:
        x = (rng.standard_normal((rows, columns)) * rng.uniform(0.01, 10)).astype(np.float32)
        s = np.maximum((x.max(1) - x.min(1)) / np.float32(top), np.float32(1e-6))
        z = -x.min(1) / s
    got = qn.tensor.quantize_per_channel(x, s, z, 0, getattr(qn.tensor, dtype))
    want = torch.quantize_per_channel(
        torch.from_numpy(x), torch.from_numpy(s), torch.from_numpy(z), 0, getattr(torch, dtype)
    )
    return x.size, same(got, want) + same(got.dequantize(), want.dequantize())


def make_per_tensor(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(DTYPES))
    d = getattr(qn.tensor, dtype)
    s, z = draw_scale(rng), draw_zero_point(rng, dtype)
    ints = draw_layout(rng, np.asarray(rng.integers(d.qmin, d.qmax + 1, draw_shape(rng)), d.numpy))
    got = qn.tensor.make_per_tensor_quantized_tensor(ints, s, z)
    want = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), s, z)
    return ints.size, same(got, want) + same(got.dequantize(), want.dequantize())


def dynamic(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(("quint8", "qint8")))
    shape = tuple(n + (n == 0) for n in draw_shape(rng))
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-12, 8) + rng.choice([0, 0, 1e-3, -1, 100])
    kind = rng.integers(0, 5)
    x = np.abs(x) if kind == 0 else -np.abs(x) if kind == 1 else x * 0 if kind == 2 and rng.random() < 0.2 else x
    x = draw_layout(rng, np.asarray(x, np.float32))
    reduce_range = bool(rng.integers(2))
    got = qn.tensor.quantize_per_tensor_dynamic(x, getattr(qn.tensor, dtype), reduce_range)
    want = torch.quantize_per_tensor_dynamic(torch.from_numpy(x), getattr(torch, dtype), reduce_range)
    return x.size, same(got, want)


CASES = {
    "quantize_per_tensor": per_tensor,
    "quantize_per_tensor (array qparams)": per_tensor_array_qparams,
    "quantize_per_tensor (sub-byte)": per_tensor_sub_byte,
    "quantize_per_channel": per_channel,
    "quantize_per_channel (float qparams)": float_qparams,
    "make_per_tensor_quantized_tensor": make_per_tensor,
    "quantize_per_tensor_dynamic": dynamic,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(n_cases):
        elements, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0, f"{name}: {mismatches} of {elements} elements differ"
