"""One hash per operator of what it computes on fixed inputs: the same at every level, on every machine.

``python -m tests.golden`` compares them with data/golden.json at every level of this machine with one and two
threads; ``--write`` writes that file, if all levels agree. The inputs come from integers alone, so that they depend on
no version of NumPy and on no C library.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import itertools
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import quantnn
from quantnn import QTensor, _dispatch, functional, ops

PATH = Path(__file__).parent / "data" / "golden.json"
F32 = np.float32
SCALES = (0.0078125, 0.05, 0.02357, 0.3125)
DTYPES = (quantnn.quint8, quantnn.qint8, quantnn.qint32)


class Draw:
    """Random numbers from a name: splitmix64."""

    def __init__(self, name: str) -> None:
        self._state = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")

    def integers(self, shape: tuple[int, ...], least: int, most: int) -> np.ndarray:
        """int64 numbers from `least` to `most`, both included."""
        n = math.prod(shape)
        step = 0x9E3779B97F4A7C15
        z = np.full(n, self._state, np.uint64) + np.arange(1, n + 1, dtype=np.uint64) * np.full(n, step, np.uint64)
        self._state = (self._state + n * step) % 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.full(n, factor, np.uint64)
        z ^= z >> np.uint64(31)
        return ((z >> np.uint64(8)) % np.uint64(most - least + 1)).astype(np.int64).reshape(shape) + least

    def integer(self, least: int, most: int) -> int:
        return int(self.integers((1,), least, most)[0])

    def one_of(self, *values: Any) -> Any:
        return values[self.integer(0, len(values) - 1)]

    def floats(self, *shape: int, most: float = 4.0) -> np.ndarray:
        """float32 from -`most`, a power of two, to `most`."""
        return self.integers(shape, -(2**12), 2**12).astype(F32) * F32(most / 2**12)

    def variances(self, n: int) -> np.ndarray:
        return self.integers((n,), 1, 2**12).astype(F32) / F32(2**10)

    def tensor(self, *shape: int, dtype: Any = quantnn.quint8, scale: float | None = None) -> QTensor:
        """A tensor of the dtype's whole range; of qint32, of what sums of products are like."""
        ints = self.integers(shape, max(dtype.qmin, -(2**17)), min(dtype.qmax, 2**17)).astype(dtype.numpy)
        zero_point = self.one_of(max(dtype.qmin, -100), min(dtype.qmax, 255), 3, 100)
        return QTensor(ints, dtype, self.one_of(*SCALES) if scale is None else scale, zero_point)

    def image(self, *shape: int, dtype: Any = quantnn.quint8) -> QTensor:
        """A tensor in either memory format."""
        x = self.tensor(*shape, dtype=dtype)
        if self.integer(0, 1) and len(shape) in (4, 5):
            x = x.contiguous(memory_format=quantnn.channels_last if len(shape) == 4 else quantnn.channels_last_3d)
        return x

    def weight(self, *shape: int, axis: int = 0, per_channel: bool = True) -> QTensor:
        ints = self.integers(shape, -128, 127).astype(np.int8)
        if not per_channel:
            return quantnn.make_per_tensor_quantized_tensor(ints, 0.0123, 0)
        scales = self.integers((shape[axis],), 1, 2**10).astype(np.float64) / 2**16
        return quantnn.make_per_channel_quantized_tensor(ints, scales, np.zeros(shape[axis], np.int64), axis)

    def table(self, rows: int, columns: int, dtype: Any) -> QTensor:
        scales, zero_points = self.variances(rows) / F32(64), self.floats(rows)
        x = self.floats(rows, columns, most=8.0)
        return quantnn.quantize_per_channel(x, scales, zero_points, 0, dtype)


Case = Callable[[Draw], Iterator[Any]]
CASES: dict[str, Case] = {}


def case(*names: str) -> Callable[[Callable[..., Iterator[Any]]], Callable[..., Iterator[Any]]]:
    """Register a function for operators; it gets the operator and the draw, and yields results."""

    def register(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        for name in names:
            operator = resolve(name)
            CASES[name] = lambda draw, operator=operator: function(operator, draw)
        return function

    return register


def resolve(name: str) -> Any:
    """What a dotted name stands for in quantnn."""
    found: Any = quantnn
    for part in name.split("."):
        found = getattr(found, part)
    return found


def operators() -> dict[str, Any]:
    """Every public function that computes or moves data, under its first name."""
    homes = ("quantnn.ops.", "quantnn.functional", "quantnn.tensor")
    found: dict[str, Any] = {}
    for prefix, namespace in (("ops.", ops), ("functional.", functional), ("", quantnn)):
        for name, value in vars(namespace).items():
            if not inspect.isfunction(value) or name.startswith(("_", "run_")):
                continue
            reads_only = value.__module__ == "quantnn.ops._geometry"
            if value.__module__.startswith(homes) and not reads_only and value not in found.values():
                found[prefix + name] = value
    return found


# ---- element by element --------------------------------------------------------------------------------------------


def images(draw: Draw, dtypes: tuple[Any, ...] = DTYPES) -> Iterator[QTensor]:
    """Tensors of all dtypes: odd and even sizes, flat, permuted, and large enough for two threads."""
    for dtype in dtypes:
        yield draw.tensor(1037, dtype=dtype)
        yield draw.image(2, 5, 7, 9, dtype=dtype)
        yield draw.image(2, 64, 5, 6, dtype=dtype)
        yield draw.tensor(3, 11, 34, dtype=dtype).transpose(0, 2)


BYTES = (quantnn.quint8, quantnn.qint8)


@case("ops.relu", "ops.relu6", "ops.tanh", "functional.hardsigmoid", "functional.hardtanh")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x)


@case("ops.clamp", "functional.clamp", "functional.threshold")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, -1.25, 2.5)


@case("ops.hardtanh", "ops.hardsigmoid")  # in place where asked
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, inplace=f is not ops.hardtanh), x


@case("ops.threshold")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, 0.25, -1.5)


@case("ops.hardswish", "ops.elu", "ops.celu", "ops.sigmoid", "functional.silu", "functional.gelu", "functional.mish",
      "functional.softplus")  # fmt: skip
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw, BYTES if f.__module__.endswith("_function") else DTYPES):
        yield f(x, 0.0371, 11)


@case("ops.dropout")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, 0.0371, 11)


@case("ops.leaky_relu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, 0.1, False, 0.0371, 11)


@case("functional.leaky_relu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, 0.3, False, 0.0371, 11)
        yield f(x, 0.3, True)


@case("functional.unary")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw, BYTES):
        yield f(x, lambda v: v * v - v, 0.0371, 11)


@case("ops.prelu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw, BYTES):
        if x.ndim > 1:
            yield f(x, draw.tensor(x.shape[1], dtype=x.dtype), 0.0371, 11)


@case("ops.softmax")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw, (quantnn.quint8, quantnn.qint8)):
        yield f(x, -1, 1 / 256, 0)
        if x.ndim == 4:
            yield f(x, 1, 1 / 256, 0)


# ---- two tensors and several ---------------------------------------------------------------------------------------


@case("ops.add", "ops.add_relu", "ops.mul", "ops.mul_relu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for a in images(draw):
        yield f(a, draw.image(*a.shape, dtype=a.dtype), 0.0731, 7)
        yield f(a, draw.tensor(*(n if i % 2 else 1 for i, n in enumerate(a.shape)), dtype=a.dtype), 0.0731, 7)


@case("ops.add_scalar", "ops.add_scalar_relu", "ops.mul_scalar", "ops.mul_scalar_relu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        for b in (1.5, -0.37, 3):
            yield f(x, b)


@case("ops.cat", "ops.cat_relu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        others = [x, draw.image(*x.shape, dtype=x.dtype)]
        yield f(others, x.ndim // 3, 0.0371, 11)
        yield f(others, x.ndim - 1)


@case(*(f"ops.{name}{relu}_out" for name in ("add", "mul") for relu in ("", "_relu")))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for a in images(draw):
        yield f(a, draw.image(*a.shape, dtype=a.dtype), out := draw.tensor(*a.shape, dtype=a.dtype)), out


@case(*(f"ops.{name}_scalar{relu}_out" for name in ("add", "mul") for relu in ("", "_relu")))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, 1.5, out := draw.tensor(*x.shape, dtype=x.dtype)), out


@case("ops.cat_out", "ops.cat_relu_out")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        out = draw.tensor(2 * x.shape[0], *x.shape[1:], dtype=x.dtype)
        yield f([x, draw.image(*x.shape, dtype=x.dtype)], 0, out), out


@case("ops.matmul")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for (m, k, n), dtype in itertools.product(((1, 9, 7), (17, 33, 40), (5, 200, 64)), BYTES):
        yield f(draw.tensor(2, m, k, dtype=dtype), draw.tensor(2, k, n, dtype=dtype), 0.731, 30)
        yield f(draw.tensor(m, k, dtype=dtype), draw.tensor(n, k, dtype=dtype).transpose(0, 1), 0.731, 30)


# ---- quantizing ----------------------------------------------------------------------------------------------------


@case("quantize_per_tensor")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    x = draw.floats(3, 5, 131, most=32.0)
    for dtype in (*DTYPES, quantnn.quint4x2, quantnn.quint2x4):
        for scale in SCALES:
            yield f(x, scale, 2, dtype)
            yield f(x.transpose(2, 0, 1), scale, 1, dtype)


@case("quantize_per_channel")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    x = draw.floats(4, 6, 35)
    for dtype, axis in itertools.product((*DTYPES, quantnn.quint4x2), (0, 1, 2)):
        n = x.shape[axis]
        if dtype is not quantnn.quint4x2:
            yield f(x, draw.variances(n).astype(np.float64) / 37, draw.integers((n,), 0, 9), axis, dtype)
        if dtype is not quantnn.qint32 and axis == 0:
            yield f(x, draw.variances(n), draw.floats(n), axis, dtype)


@case("quantize_per_tensor_dynamic")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for n, dtype, reduce in itertools.product((1, 67, 4111), BYTES, (False, True)):
        yield f(draw.floats(n), dtype, reduce)


@case("dequantize")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x)
    for axis in (0, 1):
        yield f(draw.weight(9, 13, 11, axis=axis))
    for dtype in (quantnn.quint8, quantnn.quint4x2):
        yield f(draw.table(7, 18, dtype))


@case("make_per_tensor_quantized_tensor")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    yield f(draw.integers((3, 5), 0, 255).astype(np.uint8), 0.25, 7)


@case("make_per_channel_quantized_tensor")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    yield draw.weight(3, 5, axis=1)


# ---- matrix products and convolutions ------------------------------------------------------------------------------

LINEAR = ((1, 1, 1), (1, 64, 16), (7, 33, 21), (40, 256, 130), (1, 1027, 69))


@case("ops.linear", "ops.linear_relu", "functional.linear", "ops.linear_leaky_relu", "ops.linear_tanh")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for (rows, k, n), per_channel in itertools.product(LINEAR, (False, True)):
        x, w = draw.tensor(rows, k), draw.weight(n, k, per_channel=per_channel)
        b = draw.floats(n) if draw.integer(0, 2) else None
        more = (0.1,) if f is ops.linear_leaky_relu else ()
        if f is functional.linear:
            yield f(x, w, b, 1.37, 60)
        else:
            yield f(x, ops.linear_prepack(w, b), 1.37, 60, *more)


@case("ops.linear_prepack", "ops.linear_unpack")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for (_, k, n), per_channel in itertools.product(LINEAR, (False, True)):
        yield ops.linear_unpack(ops.linear_prepack(draw.weight(n, k, per_channel=per_channel), draw.floats(n)))


# batch, channels, filters, groups, size, kernel, stride, padding, dilation
CONV = (
    (1, 3, 8, 1, 17, 3, 2, 1, 1),
    (2, 64, 40, 1, 6, 1, 1, 0, 1),
    (1, 32, 33, 1, 7, 3, 1, 1, 1),
    (1, 12, 18, 3, 9, 3, 1, 2, 2),
    (1, 40, 40, 40, 10, 3, 1, 1, 1),
    (2, 16, 32, 16, 8, 3, 2, 1, 1),
    (1, 7, 5, 1, 6, 2, 1, 1, 1),
)


def convolutions(draw: Draw, n: int, transposed: bool = False) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The shape of an input and packed weights."""
    for batch, channels, filters, groups, size, kernel, stride, padding, dilation in CONV:
        size = min(size, (17, 10, 6)[n - 1])
        shape = (batch, channels, *(size + i for i in range(n)))
        per_channel = bool(draw.integer(0, 1))
        bias = draw.floats(filters) if draw.integer(0, 2) else None
        weights = (channels, filters // groups) if transposed else (filters, channels // groups)
        w = draw.weight(*weights, *(kernel,) * n, axis=int(transposed), per_channel=per_channel)
        arguments = [(stride,) * n, (padding,) * n, (0,) * n, (dilation,) * n]
        if transposed:
            yield shape, getattr(ops, f"conv_transpose{n}d_prepack")(w, bias, *arguments, groups)
        else:
            del arguments[2]
            yield shape, getattr(ops, f"conv{n}d_prepack")(w, bias, *arguments, groups)


def _dimensions(name: str) -> int:
    return next(n for n in (1, 2, 3) if f"{n}d" in name)


@case(*(f"ops.conv{n}d{relu}" for n in (1, 2, 3) for relu in ("", "_relu")),
      *(f"ops.conv_transpose{n}d" for n in (1, 2, 3)))  # fmt: skip
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for shape, packed in convolutions(draw, _dimensions(f.__name__), "transpose" in f.__name__):
        yield f(draw.image(*shape), packed, 2.7, 90)


@case(*(f"ops.conv{n}d_dynamic" for n in (1, 2, 3)), *(f"ops.conv_transpose{n}d_dynamic" for n in (1, 2, 3)))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for shape, packed in convolutions(draw, _dimensions(f.__name__), "transpose" in f.__name__):
        yield f(draw.floats(*shape), packed)


@case(*(f"functional.conv{n}d" for n in (1, 2, 3)))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    n = _dimensions(f.__name__)
    x, w = draw.image(1, 6, *(9,) * n), draw.weight(8, 3, *(3,) * n)
    yield f(x, w, draw.floats(8), 2, 1, 1, 2, "zeros", 1.9, 100)


@case(*(f"ops.conv{n}d_prepack" for n in (1, 2, 3)), *(f"ops.conv_transpose{n}d_prepack" for n in (1, 2, 3)),
      "ops.conv_unpack", "ops.conv_transpose_unpack")  # fmt: skip
def _(f: Any, draw: Draw) -> Iterator[Any]:
    name = f.__name__
    transposed = "transpose" in name
    for _, packed in convolutions(draw, 2 if "unpack" in name else _dimensions(name), transposed):
        yield (ops.conv_transpose_unpack if transposed else ops.conv_unpack)(packed)


@case("ops.conv2d_add", "ops.conv2d_add_relu")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for shape, packed in convolutions(draw, 2):
        x = draw.image(*shape)
        yield f(x, draw.image(*ops.conv2d(x, packed, 1.0, 0).shape), packed, 2.7, 90)


# ---- float layers with integer weights -----------------------------------------------------------------------------


@case("ops.linear_dynamic", "ops.linear_relu_dynamic")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for (rows, k, n), per_channel in itertools.product(LINEAR, (False, True)):
        packed = ops.linear_prepack(draw.weight(n, k, per_channel=per_channel), draw.floats(n))
        yield f(draw.floats(rows, k), packed, bool(draw.integer(0, 1)))


@case("ops.linear_dynamic_fp16", "ops.linear_relu_dynamic_fp16", "ops.linear_prepack_fp16", "ops.linear_unpack_fp16")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for rows, k, n in LINEAR:
        packed = ops.linear_prepack_fp16(draw.floats(n, k), draw.floats(n))
        yield f(draw.floats(rows, k), packed) if "dynamic" in f.__name__ else ops.linear_unpack_fp16(packed)


@case("ops.linear_dynamic_fp16_unpacked_weight")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for rows, k, n in LINEAR:
        yield f(draw.floats(rows, k), draw.floats(n, k), draw.floats(n))


@case("ops.linear_with_input_q_dq_qweight_dq_output_fp32", "ops.linear_with_input_q_dq_qweight_dq_relu_output_fp32")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for rows, k, n in LINEAR:
        yield f(draw.floats(rows, k), 0.0371, 100, ops.linear_prepack(draw.weight(n, k), draw.floats(n)))


@case("ops.make_quantized_cell_params")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for inputs, hidden in ((5, 7), (40, 33)):
        weights = draw.floats(4 * hidden, inputs, most=0.5), draw.floats(4 * hidden, hidden, most=0.5)
        params = f(*weights, draw.floats(4 * hidden), draw.floats(4 * hidden))
        state = draw.floats(1, 3, hidden, most=1.0)
        yield ops.quantized_lstm(draw.floats(6, 3, inputs), (state, state), [params], True, 1, 0.0, False, False)


GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def _packed_rnn(draw: Draw, gates: int, inputs: int, hidden: int, half: bool) -> tuple[Any, Any]:
    both = []
    for k in (inputs, hidden):
        bias = draw.floats(gates * hidden, most=1.0)
        if half:
            both.append(ops.linear_prepack_fp16(draw.floats(gates * hidden, k, most=0.25), bias))
        else:
            both.append(ops.linear_prepack(draw.weight(gates * hidden, k, per_channel=False), bias))
    return both[0], both[1]


@case("ops.quantized_lstm_cell_dynamic", "ops.quantized_gru_cell_dynamic", "ops.quantized_rnn_tanh_cell_dynamic",
      "ops.quantized_rnn_relu_cell_dynamic")  # fmt: skip
def _(f: Any, draw: Draw) -> Iterator[Any]:
    gates = GATES[f.__name__.split("_")[1]]
    for (batch, inputs, hidden), half in itertools.product(((1, 5, 7), (3, 40, 33)), (False, True)):
        h = [draw.floats(batch, hidden, most=1.0) for _ in range(2)]
        weights = _packed_rnn(draw, gates, inputs, hidden, half)
        yield f(draw.floats(batch, inputs), h if gates == 4 else h[0], *weights)


@case("ops.quantized_lstm", "ops.quantized_gru", "ops.make_quantized_cell_params_dynamic",
      "ops.make_quantized_cell_params_fp16")  # fmt: skip
def _(f: Any, draw: Draw) -> Iterator[Any]:
    lstm = f is not ops.quantized_gru
    halves = [f is ops.make_quantized_cell_params_fp16] if "make" in f.__name__ else [False, True]
    for half, (steps, batch, inputs, hidden) in itertools.product(halves, ((4, 1, 5, 7), (6, 3, 40, 33))):
        params = []
        for size in (inputs, inputs, 2 * hidden, 2 * hidden):
            weights = _packed_rnn(draw, 4 if lstm else 3, size, hidden, half)
            make = ops.make_quantized_cell_params_fp16 if half else ops.make_quantized_cell_params_dynamic
            params.append(make(*weights))
        h = [draw.floats(4, batch, hidden, most=1.0) for _ in range(2)]
        run = ops.quantized_lstm if lstm else ops.quantized_gru
        yield run(draw.floats(steps, batch, inputs), h if lstm else h[0], params, True, 2, 0.0, False, True)


@case("LSTM")
def _(module: Any, draw: Draw) -> Iterator[Any]:
    m = module(6, 9, num_layers=2, bidirectional=True)
    for part in m.modules():
        if isinstance(part, quantnn.Linear):
            part.set_weight_bias(draw.weight(*part.weight().shape, per_channel=False), draw.floats(part.out_features))
        if isinstance(part, (quantnn.Linear, quantnn.QFunctional)):
            part.scale, part.zero_point = draw.one_of(0.05, 0.02), draw.integer(100, 150)
    yield m(draw.tensor(5, 3, 6), (draw.tensor(4, 3, 9), draw.tensor(4, 3, 9)))


@case("MultiheadAttention")
def _(module: Any, draw: Draw) -> Iterator[Any]:
    m = module(24, 3)
    for linear in (m.linear_Q, m.linear_K, m.linear_V, m.out_proj):
        linear.set_weight_bias(draw.weight(24, 24), draw.floats(24))
        linear.scale, linear.zero_point = 0.7, 128
    m.quant_attn_output, m.quant_attn_output_weights = (
        quantnn.Quantize(scale, zero_point, quantnn.quint8) for scale, zero_point in ((0.3, 128), (1 / 256, 0))
    )
    q, k, v = draw.tensor(5, 2, 24), draw.tensor(13, 2, 24), draw.tensor(13, 2, 24)
    yield m(q, k, v)
    yield m(q, k, v, attn_mask=draw.floats(5, 13))
    yield m(q, k, v, key_padding_mask=draw.integers((2, 13), 0, 2) == 0, average_attn_weights=False)


# ---- pooling, resizing, normalization ------------------------------------------------------------------------------


@case("ops.max_pool1d", "ops.max_pool2d", "ops.max_pool3d", "functional.avg_pool2d", "functional.avg_pool3d")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    n = _dimensions(f.__name__)
    for dtype, channels, (kernel, stride, padding) in itertools.product(
        (quantnn.quint8, quantnn.qint8), (5, 64), ((2, 2, 0), (3, 1, 1), (3, 2, 1))
    ):
        yield f(draw.image(2, channels, *(7 + i for i in range(n)), dtype=dtype), kernel, stride, padding)


@case("functional.adaptive_avg_pool2d", "functional.adaptive_avg_pool3d")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    n = _dimensions(f.__name__)
    for dtype, channels, size in itertools.product((quantnn.quint8, quantnn.qint8), (5, 64), (1, 3, 4)):
        yield f(draw.image(2, channels, *(7 + i for i in range(n)), dtype=dtype), (size,) * n)


@case("functional.interpolate", "functional.upsample")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    modes = [("nearest", None), ("bilinear", True), ("bilinear", False)]
    if f is functional.interpolate:
        modes += [("nearest-exact", None), ("area", None)]
    for (mode, corners), dtype, channels in itertools.product(modes, BYTES, (5, 64)):
        x = draw.image(2, channels, 6, 7, dtype=dtype)
        yield f(x, (11, 4), None, mode, corners)
        yield f(x, None, 1.7, mode, corners)


@case("functional.upsample_bilinear", "functional.upsample_nearest")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for dtype, channels in itertools.product(BYTES, (5, 64)):
        yield f(draw.image(2, channels, 6, 7, dtype=dtype), scale_factor=2)


@case(*(f"ops.batch_norm{n}{relu}" for n in ("", "1d", "2d", "3d") for relu in ("", "_relu")))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    rank = 2 + (2 if "_norm" in f.__name__ and not any(c.isdigit() for c in f.__name__) else _dimensions(f.__name__))
    for dtype, channels in itertools.product(BYTES, (5, 64)):
        x = draw.image(2, channels, *(6, 5, 4)[: rank - 2], dtype=dtype)
        vectors = draw.floats(channels), draw.floats(channels), draw.floats(channels), draw.variances(channels)
        yield f(x, *vectors, 1e-5, 0.0371, 100)


@case("ops.layer_norm")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for dtype, last in itertools.product(BYTES, (7, 64, 201)):
        yield f(draw.tensor(2, 5, last, dtype=dtype), [last], draw.floats(last), draw.floats(last), 1e-5, 0.0371, 100)


@case("ops.group_norm", "ops.instance_norm")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for dtype, channels in itertools.product(BYTES, (6, 64)):
        x = draw.image(2, channels, 6, 5, dtype=dtype)
        groups = (2,) if f is ops.group_norm else ()
        yield f(x, *groups, draw.floats(channels), draw.floats(channels), 1e-5, 0.0371, 100)


# ---- tables --------------------------------------------------------------------------------------------------------


@case("ops.embedding_bag_prepack", "ops.embedding_bag_unpack")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for dtype in (quantnn.quint8, quantnn.quint4x2):
        yield ops.embedding_bag_unpack(ops.embedding_bag_prepack(draw.table(9, 34, dtype)))


@case("ops.embedding_byte", "ops.embedding_4bit", "ops.embedding_bag_byte", "ops.embedding_bag_4bit")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    dtype = quantnn.quint8 if "byte" in f.__name__ else quantnn.quint4x2
    for columns in (2, 34, 128):
        packed, indices = ops.embedding_bag_prepack(draw.table(23, columns, dtype)), draw.integers((50,), 0, 22)
        yield f(packed, indices) if "bag" not in f.__name__ else f(packed, indices, np.array([0, 0, 7, 9, 40]))
        if "bag" in f.__name__:
            weights = draw.floats(50)
            yield f(packed, indices, np.array([0, 20, 30]), per_sample_weights=weights)


WIDTHS = ("byte", "4bit", "2bit")


@case(*(f"ops.embedding_bag_{w}_prepack" for w in WIDTHS))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for columns in (4, 36, 128):
        x = draw.floats(6, columns)
        yield f(x)
        if "byte" not in f.__name__:
            yield f(x, True)


@case(*(f"ops.embedding_bag_{w}_prepack_with_rowwise_min_max" for w in WIDTHS))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    limits = np.stack([-draw.variances(6), draw.variances(6)], 1)
    yield f(draw.floats(6, 36), limits)


@case(*(f"ops.embedding_bag_{w}_{what}" for w in WIDTHS for what in ("unpack", "rowwise_offsets")))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    prepack = resolve("ops.embedding_bag_" + f.__name__.split("_")[2] + "_prepack")
    for columns in (4, 36, 128):
        rows = prepack(draw.floats(23, columns))
        if f.__name__.endswith("unpack"):
            yield f(rows)
        else:
            yield f(rows, draw.integers((50,), 0, 22), np.array([0, 0, 7, 40]), per_sample_weights=draw.floats(50))


# ---- shapes --------------------------------------------------------------------------------------------------------


MOVED: dict[str, tuple[Any, ...]] = {
    "channel_shuffle": (4,), "chunk": (3, 1), "flatten": (1,), "flip": ((0, 2),), "index_select": (1, [3, 0, 3]),
    "movedim": (0, 2), "narrow": (1, 2, 3), "permute": ((3, 1, 0, 2),), "pixel_shuffle": (2,), "pixel_unshuffle": (2,),
    "reshape": ((4, -1),), "select": (1, 2), "split": (3, 1), "squeeze": (), "transpose": (1, 3), "unbind": (0,),
    "unflatten": (1, (2, -1)), "unsqueeze": (1,), "max": (), "min": (), "mean": ((2, 3),), "std": (1,), "sort": (1,),
    "topk": (5, 1),
}  # fmt: skip


@case(*(f"ops.{name}" for name in MOVED))
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for dtype, channels in itertools.product(BYTES, (8, 64)):
        x = draw.image(2, channels, 6, 4, dtype=dtype)
        yield f(x, *MOVED[f.__name__])
        if f.__name__ in ("max", "min", "mean", "std"):
            yield f(x, 2)


@case("cat", "ops.stack")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f([x, draw.image(*x.shape, dtype=x.dtype)], 0)


@case("ops.pad")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw, BYTES):
        if x.ndim == 4:
            for mode in ("constant", "reflect"):
                yield f(x, (1, 2, 3, 1), mode)


@case("ops.masked_fill")
def _(f: Any, draw: Draw) -> Iterator[Any]:
    for x in images(draw):
        yield f(x, draw.integers(x.shape, 0, 1).astype(bool), 0.75)


# ---- hashes --------------------------------------------------------------------------------------------------------


def _feed(hasher: Any, result: Any) -> None:
    """Add all that a result says: kinds, shapes, parameters, bits."""
    if isinstance(result, QTensor):
        hasher.update(f"{result.dtype} {result.qscheme()} {result.shape}".encode())
        if result.qscheme() is quantnn.per_tensor_affine:
            _feed(hasher, (result.q_scale(), result.q_zero_point()))
        else:
            _feed(hasher, (result.q_per_channel_scales(), result.q_per_channel_zero_points()))
            _feed(hasher, result.q_per_channel_axis())
        _feed(hasher, result.int_repr())
    elif isinstance(result, np.ndarray):
        little = np.ascontiguousarray(result).astype(result.dtype.newbyteorder("<"))
        hasher.update(f"{little.dtype.kind}{little.dtype.itemsize} {result.shape}".encode() + little.tobytes())
    elif isinstance(result, (tuple, list)):
        hasher.update(f"{len(result)}".encode())
        for part in result:
            _feed(hasher, part)
    elif isinstance(result, float):
        hasher.update(result.hex().encode())
    elif isinstance(result, (int, type(None))):
        hasher.update(repr(result).encode())
    else:
        raise TypeError(f"no way to hash {type(result).__name__}")


def hash_of(name: str) -> str:
    hasher = hashlib.sha256()
    for result in CASES[name](Draw(name)):
        _feed(hasher, result)
    return hasher.hexdigest()[:16]


@contextmanager
def small_grains() -> Iterator[None]:
    """Give every thread work, however little there is of it."""
    modules = [m for name, m in sys.modules.items() if name.startswith("quantnn.ops.")]
    grains = [(m, n, v) for m in modules for n, v in vars(m).items() if n.startswith("_GRAIN")]
    grains.append((_dispatch.kernels, "grain", _dispatch.kernels.grain))
    for module, name, _ in grains:
        setattr(module, name, 1)
    try:
        yield
    finally:
        for module, name, value in grains:
            setattr(module, name, value)


def hashes(level: str, threads: int) -> dict[str, str]:
    """The hash of each operator at a level, with a number of threads."""
    with _dispatch.use_level(level), small_grains(), quantnn.num_threads(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's own, of upsample
        return {name: hash_of(name) for name in sorted(CASES)}


def stored() -> dict[str, str]:
    found: dict[str, str] = json.loads(PATH.read_text())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write data/{PATH.name}")
    arguments = parser.parse_args()
    found: dict[tuple[str, int], dict[str, str]] = {
        (level, threads): hashes(level, threads) for level in _dispatch.AVAILABLE for threads in (1, 2)
    }
    first = found[_dispatch.AVAILABLE[0], 1]
    expected = first if arguments.write else stored()
    different = 0
    for (level, threads), those in found.items():
        names = sorted(n for n in expected.keys() | those.keys() if expected.get(n) != those.get(n))
        different += len(names)
        print(f"{level}, threads {threads}: {len(those) - len(names)} of {len(those)} as expected", *names)
    if arguments.write and not different:
        PATH.write_text(json.dumps(first, indent=0) + "\n")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
