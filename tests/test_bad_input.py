"""Whatever is passed to a public function, a result or an error that says what is wrong comes back.

Every argument of a valid call is replaced in turn by every nasty value. What may come back is a sound result or one of
a few exceptions that quantnn raises on purpose, with a message that names the operator. No crash, no hang, no message
from inside NumPy or Cython, no change of the arguments, no result that shares an operator's input.

The table runs in a process of its own with little memory, so that a huge size is a MemoryError and a crash is seen.
"""

from __future__ import annotations

import contextlib
import copy
import decimal
import faulthandler
import inspect
import linecache
import math
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, _dispatch, functional, ops

MEMORY = 6 << 30
SECONDS = 20.0  # longer than this a call hangs
ACCEPTED = (TypeError, ValueError, IndexError, NotImplementedError, MemoryError)
PACKAGE = str(Path(quantnn.__file__).parent)

# ---- what is passed ------------------------------------------------------------------------------------------------

F32 = np.float32


def floats(*shape: int) -> np.ndarray:
    return (np.arange(math.prod(shape), dtype=F32) % 7 - 3).reshape(shape)


def qtensor(*shape: int, dtype: Any = quantnn.quint8) -> QTensor:
    return quantnn.quantize_per_tensor(floats(*shape), 0.5, 3, dtype)


def weight(*shape: int) -> QTensor:
    return quantnn.quantize_per_tensor(floats(*shape), 0.25, 0, quantnn.qint8)


def channels(*shape: int, axis: int = 0, dtype: Any = quantnn.qint8) -> QTensor:
    n = shape[axis]
    return quantnn.quantize_per_channel(floats(*shape), np.full(n, 0.5), np.zeros(n, np.int64), axis, dtype)


def table(rows: int, dim: int, dtype: Any = quantnn.quint8) -> QTensor:
    return quantnn.quantize_per_channel(floats(rows, dim), np.full(rows, 0.5, F32), np.zeros(rows, F32), 0, dtype)


def read_only(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


def nasty() -> dict[str, Any]:
    """Values by name; made anew for every process, shared by all calls, which must not change them."""
    values: dict[str, Any] = {repr(v): v for v in (
        None, "text", "", b"bytes", True, False, float("nan"), math.inf, -math.inf, -1, 0, 1, 2, 7, 2**31, 2**31 - 1,
        2**62, 2**63, 2**64 - 1, 2**70, -(2**31), -(2**63), -(2**70), 1.5, -0.0, 1e300, 1e-50, 1e39, 1j, ..., (), [],
        (1,), [2], (1, 2), (1, 2, 3), (1, 1, 1, 1, 1, 1, 1), (-1, -1), (2**31, 2**31), (2**70,), (None, None), ("a",),
        (1.5, 1.5), (math.nan, math.nan), [[1], [2, 3]], [[[]]], [None], {}, {1: 2}, slice(None), range(3),
    )}  # fmt: skip
    values |= {repr(v): v for v in (np.bool_(True), np.int64(2), np.uint8(3), F32(0.5), np.float64("nan"))}
    values |= {
        "complex64": np.complex64(1 + 2j),
        "datetime64": np.datetime64("2020-01-01"),
        "timedelta64": np.timedelta64(3, "s"),
        "Decimal": decimal.Decimal("1.5"),
        "digits": 10**5000,
        "int class": int,
        "ndarray class": np.ndarray,
        "QTensor class": QTensor,
        "lambda": lambda *_: 1,
        "object": object(),
        "set": {1, 2},
        "module": quantnn.ReLU(),
        "generator": (i for i in ()),
        "memoryview": memoryview(b"abc"),
        # arrays
        "object array": np.array([None, 1], object),
        "float64": np.ones((2, 3)),
        "float16": np.ones((2, 3), np.float16),
        "complex array": np.ones(3, np.complex64),
        "string array": np.array(["a", "b"]),
        "bool array": np.array([True, False]),
        "int8": np.ones((2, 3), np.int8),
        "int64": np.array([5, -1, 2**40]),
        "uint64": np.array([2**64 - 1], np.uint64),
        "int64, one": np.array([1]),
        "float32, one": np.array([0.5], F32),
        "0-d float32": np.array(0.5, F32),
        "0-d int64": np.array(2),
        "0-d bool": np.array(True),
        "empty float32": np.empty(0, F32),
        "empty rank 4": np.empty((0, 3, 0, 2), F32),
        "rank 6": np.ones((1, 2, 1, 2, 1, 2), F32),
        "rank 20": np.ones((1,) * 20, F32),
        "NaN": np.full((2, 3), np.nan, F32),
        "big-endian float32": np.ones(3, ">f4"),
        "big-endian int64": np.array([0, 1, 2], ">i8"),
        "negative strides": floats(2, 3, 4, 5)[::-1, ::-1, ::-1, ::-1],
        "transposed": floats(2, 3, 4, 5).transpose(3, 1, 0, 2),
        "strided": floats(4, 6, 8)[::2, ::3, ::2],
        "read-only": read_only(floats(2, 3, 4, 5)),
        "structured": np.zeros(2, [("a", F32)]),
        "masked": np.ma.masked_array(np.ones(3, F32), [True, False, True]),
        # QTensors
        "quint8": qtensor(2, 3),
        "quint8 (1, 2, 4, 4)": qtensor(1, 2, 4, 4),
        "quint8, one": qtensor(1),
        "quint8, 0-d": qtensor(),
        "qint8": qtensor(1, 2, 4, 4, dtype=quantnn.qint8),
        "qint32": qtensor(1, 2, 4, 4, dtype=quantnn.qint32),
        "quint4x2": qtensor(2, 3, dtype=quantnn.quint4x2),
        "quint2x4": qtensor(2, 3, dtype=quantnn.quint2x4),
        "per channel": channels(2, 3),
        "per channel, axis 1": channels(2, 3, 2, 2, axis=1, dtype=quantnn.quint8),
        "float qparams": table(4, 6),
        "float qparams, quint4x2": table(4, 6, quantnn.quint4x2),
        "no batch": qtensor(0, 2, 4, 4),
        "no channels": qtensor(2, 0, 4, 4),
        "no pixels": qtensor(2, 2, 0, 4),
        "no weight": weight(0, 0),
        "rank 6 QTensor": qtensor(1, 2, 1, 2, 1, 2),
        "expanded": qtensor(1, 1, 1).expand(2, 3, 4),
        "channels-last": qtensor(2, 3, 4, 5).contiguous(memory_format=quantnn.channels_last),
        "transposed QTensor": qtensor(2, 3, 4, 5).transpose(1, 3),
        "sliced QTensor": qtensor(4, 6, 8, 8)[::3, ::2, 1:7:2, ::3],
    }
    if torch := sys.modules.get("torch"):
        values |= {
            "torch float": torch.ones(2, 3),
            "torch grad": torch.ones(3, requires_grad=True),
            "torch int": torch.arange(3),
            "torch 0-d": torch.tensor(1.5),
            "torch bool": torch.tensor(True),
            "torch complex": torch.ones(1, dtype=torch.complex64),
            "torch bfloat16": torch.ones(2, dtype=torch.bfloat16),
            "torch meta": torch.ones(2, device="meta"),
            "torch sparse": torch.eye(2).to_sparse(),
            "torch quantized": torch.quantize_per_tensor(torch.ones(2, 3), 0.5, 0, torch.quint8),
            "torch dtype": torch.quint8,
        }
    return values


# ---- what is called ------------------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A valid call, and what its arguments may be replaced by."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    new: bool = True  # results have memory of their own
    named: bool = True  # messages name the operator
    changes: bool = False  # changes its arguments


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Call:
    """A function, or the constructor of a module, with all of its arguments."""
    parameters = list(inspect.signature(function).parameters)
    assert len(parameters) >= len(args), function
    prefix = "ops." if getattr(ops, function.__name__, None) is function else ""
    return Call(prefix + function.__name__, function, dict(zip(parameters, args, strict=False)), **options)


def method(x: QTensor, name: str, *args: Any, **options: Any) -> Call:
    """A method, of any QTensor."""

    def function(self: Any, *args: Any) -> Any:
        return getattr(self, name)(*args) if isinstance(self, QTensor) else None

    arguments = {"self": x, **{str(i): a for i, a in enumerate(args)}}
    positional = lambda **given: function(*given.values())  # noqa: E731
    return Call(f"QTensor.{name}", positional, arguments, new=False, **options)


def forward(module: Any, *args: Any, **options: Any) -> Call:
    names = list(inspect.signature(module.forward).parameters)
    return Call(f"{type(module).__name__}.forward", module.forward, dict(zip(names, args, strict=False)), **options)


def calls() -> Iterator[Call]:
    x2, x3, x4, x5 = qtensor(2, 4), qtensor(1, 4, 5), qtensor(2, 4, 5, 5), qtensor(1, 4, 3, 3, 3)
    ones, zeros = np.ones(4, F32), np.zeros(4, F32)
    yield from _functions(x2, x3, x4, x5, ones, zeros)
    yield from _modules(x2, x3, x4, x5, ones, zeros)
    yield from _tensors(x4)
    yield from _fused(x2, x3, x4, x5)
    yield from _dynamic()


def _dynamic() -> Iterator[Call]:
    x, bias = floats(2, 4), np.ones(3, F32)
    packed, half = ops.linear_prepack(weight(3, 4), bias), ops.linear_prepack_fp16(floats(3, 4), bias)
    yield call(ops.linear_dynamic, x, packed, False)
    yield call(ops.linear_relu_dynamic, x, packed, False)
    yield call(ops.linear_prepack_fp16, floats(3, 4), bias)
    yield call(ops.linear_unpack_fp16, half)
    yield call(ops.linear_dynamic_fp16, x, half)
    yield call(ops.linear_relu_dynamic_fp16, x, half)
    yield call(ops.linear_dynamic_fp16_unpacked_weight, x, floats(3, 4), bias)
    yield call(ops.linear_with_input_q_dq_qweight_dq_output_fp32, x, 0.1, 3, packed)
    yield call(ops.linear_with_input_q_dq_qweight_dq_relu_output_fp32, x, 0.1, 3, packed)
    for n in (1, 2, 3):
        image, kernel = floats(1, 4, *(5,) * n), (2,) * n
        conv = getattr(ops, f"conv{n}d_prepack")(weight(3, 4, *kernel), bias, (1,) * n, (1,) * n, (1,) * n, 1)
        yield call(getattr(ops, f"conv{n}d_dynamic"), image, conv, False)
        prepack = getattr(ops, f"conv_transpose{n}d_prepack")
        transposed = prepack(weight(4, 3, *kernel), bias, (2,) * n, (1,) * n, (1,) * n, (1,) * n, 1)
        yield call(getattr(ops, f"conv_transpose{n}d_dynamic"), image, transposed, False)
    h = floats(2, 3)
    for gates, cell in (
        (4, ops.quantized_lstm_cell_dynamic), (3, ops.quantized_gru_cell_dynamic),
        (1, ops.quantized_rnn_relu_cell_dynamic), (1, ops.quantized_rnn_tanh_cell_dynamic),
    ):  # fmt: skip
        w = [ops.linear_prepack(weight(3 * gates, k), np.ones(3 * gates, F32)) for k in (4, 3)]
        yield call(cell, x, (h, h) if gates == 4 else h, *w)
        halves = [ops.linear_prepack_fp16(floats(3 * gates, k), np.ones(3 * gates, F32)) for k in (4, 3)]
        yield call(ops.make_quantized_cell_params_dynamic, *w, None, None, False)
        yield call(ops.make_quantized_cell_params_fp16, *halves)
        rows = np.ones(3 * gates, F32)
        yield call(ops.make_quantized_cell_params, floats(3 * gates, 4), floats(3 * gates, 3), rows, rows)
        params = [ops.make_quantized_cell_params_dynamic(*w)]
        steps, state = floats(5, 2, 4), floats(1, 2, 3)
        if gates == 4:
            yield call(ops.quantized_lstm, steps, (state, state), params, True, 1, 0.0, False, False)
        if gates == 3:
            yield call(ops.quantized_gru, steps, state, params, True, 1, 0.0, False, False)
    d = quantnn.dynamic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convolutions say that they are of little use
        for n in (1, 2, 3):
            for name in (f"Conv{n}d", f"ConvTranspose{n}d"):
                yield forward(getattr(d, name)(4, 3, 2), floats(1, 4, *(5,) * n), True)
    for dtype in (quantnn.qint8, np.float16):
        module: Any = d.Linear(4, 3, dtype=dtype)
        yield call(d.Linear, 4, 3, True, dtype)
        yield forward(module, x)
        given = {"w": weight(3, 4) if dtype is quantnn.qint8 else floats(3, 4), "b": bias}
        yield Call("Linear.set_weight_bias", module.set_weight_bias, given)
        for layers in (d.LSTM, d.GRU):
            yield call(layers, 4, 3, 1, True, False, 0.0, False, dtype)
            module = layers(4, 3, dtype=dtype)
            hx = (state, state) if layers is d.LSTM else state
            yield forward(module, steps, hx, [3, 5])
            yield from _loading(module, module.get_weight() | module.get_bias())
        for cell_class in (d.LSTMCell, d.GRUCell, d.RNNCell):
            yield call(cell_class, 4, 3, True, *(["relu"] if cell_class is d.RNNCell else []), dtype)
            module = cell_class(4, 3, dtype=dtype)
            yield forward(module, x, (h, h) if cell_class is d.LSTMCell else h)
            yield from _loading(module, module._weight_bias())
    for module_class in (d.Linear, d.LSTM, d.GRU, d.LSTMCell, d.GRUCell, d.RNNCell):
        for name in ("from_float", "from_reference"):
            make = lambda module_class=module_class, name=name, **given: getattr(module_class, name)(*given.values())  # noqa: E731
            yield Call(f"{module_class.__name__}.{name}", make, {"mod": None})


def _loading(module: Any, weights: dict[str, Any]) -> Iterator[Call]:
    """A recurrent module's state and weights: every value of every key."""
    name = type(module).__name__
    yield Call(f"{name}.load_state_dict", lambda **state: module.load_state_dict(state), dict(module.state_dict()))
    yield Call(f"{name}.set_weight_bias", module.set_weight_bias, {"weight_bias_dict": weights})
    yield Call(f"{name}.set_weight_bias", lambda **given: module.set_weight_bias(given), weights)


def _functions(
    x2: QTensor, x3: QTensor, x4: QTensor, x5: QTensor, ones: np.ndarray, zeros: np.ndarray
) -> Iterator[Call]:
    f, bias = functional, np.ones(3, F32)
    yield call(f.linear, x2, weight(3, 4), bias, 1.0, 0)
    yield call(f.conv1d, x3, weight(3, 4, 2), bias, 1, 1, 1, 1, "zeros", 1.0, 0, quantnn.quint8)
    yield call(f.conv2d, x4, weight(3, 4, 2, 2), bias, 1, 1, 1, 1, "zeros", 1.0, 0, quantnn.quint8)
    yield call(f.conv2d, x4, weight(4, 1, 2, 2), ones, 1, 1, 1, 4, "zeros", 1.0, 0, quantnn.quint8)
    yield call(f.conv3d, x5, weight(3, 4, 2, 2, 2), bias, 1, 1, 1, 1, "zeros", 1.0, 0, quantnn.quint8)
    yield call(f.clamp, x4, -1.0, 1.0)
    yield call(f.hardswish, x4, 0.5, 3)
    yield call(f.elu, x4, 0.5, 3, 1.0)
    yield call(f.celu, x4, 0.5, 3, 1.0)
    yield call(f.leaky_relu, x4, 0.1, False, 0.5, 3)
    yield call(f.leaky_relu, x4, 0.1, True, None, None, new=False, changes=True)
    yield call(f.hardtanh, x4, -1.0, 1.0, False, new=False, changes=True)
    yield call(f.hardsigmoid, x4, False, new=False, changes=True)
    yield call(f.threshold, x4, 0.5, 2.0)
    yield call(f.unary, x4, math.sin, 0.5, 3)
    yield call(f.silu, x4, 0.5, 3)
    yield call(f.gelu, x4, 0.5, 3, "none")
    yield call(f.mish, x4, 0.5, 3)
    yield call(f.softplus, x4, 0.5, 3, 1.0, 20.0)
    yield call(f.max_pool2d, x4, 2, 1, 1, 1, False, False)
    yield call(f.max_pool2d, floats(1, 2, 4, 4), 2, 1, 1, 1, False, False)
    yield call(f.avg_pool2d, x4, 2, 1, 1, False, True, None)
    yield call(f.adaptive_avg_pool2d, x4, (2, 2))
    yield call(f.max_pool1d, x3, 2, 1, 1, 1, False, False)
    yield call(ops.max_pool3d, x5, 2, 1, 1, 1, False, False)
    yield call(f.avg_pool3d, x5, 2, 1, 1, False, True, None)
    yield call(f.adaptive_avg_pool3d, x5, (2, 2, 2))
    for mode, corners in (("nearest", None), ("nearest-exact", None), ("bilinear", True), ("area", None)):
        yield call(f.interpolate, x4, (3, 3), None, mode, corners, None, False)
        yield call(f.interpolate, x4, None, 1.5, mode, corners, False, False)
    yield call(f.upsample, x4, (3, 3), None, "nearest", None)
    yield call(f.upsample_bilinear, x4, (3, 3), None)
    yield call(f.upsample_nearest, x4, None, 2)
    for binary in (ops.add, ops.add_relu, ops.mul, ops.mul_relu):
        yield call(binary, x4, x4, 0.5, 3)
    for scalar in (ops.add_scalar, ops.add_scalar_relu, ops.mul_scalar, ops.mul_scalar_relu):
        yield call(scalar, x4, 1.5)
    for cat in (ops.cat, ops.cat_relu):
        yield call(cat, [x4, x4], 1, 0.5, 3)
    for name in ("add_out", "add_relu_out", "mul_out", "mul_relu_out"):
        yield call(getattr(ops, name), x4, x4, qtensor(*x4.shape), new=False, changes=True)
    for name in ("add_scalar_out", "add_scalar_relu_out", "mul_scalar_out", "mul_scalar_relu_out"):
        yield call(getattr(ops, name), x4, 1.5, qtensor(*x4.shape), new=False, changes=True)
    for cat in (ops.cat_out, ops.cat_relu_out):
        yield call(cat, [x2, x2], 0, qtensor(2 * x2.shape[0], x2.shape[1]), new=False, changes=True)
    # each element of the list
    yield Call("cat", lambda a, b: ops.cat([a, b], 1), {"a": x4, "b": x4})
    yield call(ops.prelu, x4, qtensor(4), 0.5, 3)
    yield call(ops.leaky_relu, x4, 0.1, False, 0.5, 3)
    yield call(ops.sigmoid, x4, 0.5, 3)
    yield call(ops.tanh, x4)
    yield call(ops.softmax, x4, 1, 0.5, 3)
    yield call(ops.matmul, x4, qtensor(2, 1, 5, 3), 0.5, 3)
    yield call(ops.relu, x4)
    yield call(ops.dropout, x4, 0.5, 3, 0.5, True, new=False)
    yield call(ops.relu6, x4, False, new=False, changes=True)
    yield call(ops.clamp, x4, -1.0, 1.0)
    yield call(ops.linear_prepack, weight(3, 4), bias)
    yield call(ops.linear_unpack, ops.linear_prepack(weight(3, 4), bias))
    for linear in (ops.linear, ops.linear_relu):
        yield call(linear, x2, ops.linear_prepack(weight(3, 4), bias), 1.0, 0)
    for n, x in ((1, x3), (2, x4), (3, x5)):
        prepack = getattr(ops, f"conv{n}d_prepack")
        for groups, w, b in ((1, weight(3, 4, *(2,) * n), bias), (4, weight(4, 1, *(2,) * n), ones)):
            yield call(prepack, w, b, (1,) * n, (1,) * n, (1,) * n, groups)
            packed = prepack(w, b, (1,) * n, (1,) * n, (1,) * n, groups)
            yield call(getattr(ops, f"conv{n}d_unpack"), packed)
            if n > 1:
                for part in ("stride", "padding", "output_padding", "dilation", "groups", "transpose"):
                    yield call(getattr(ops, f"conv{n}d_{part}"), packed)
            yield call(ops.conv2d_unpack_sizes, packed)
            yield call(getattr(ops, f"conv{n}d"), x, packed, 1.0, 0)
            yield call(getattr(ops, f"conv{n}d_relu"), x, packed, 1.0, 0)
        prepack = getattr(ops, f"conv_transpose{n}d_prepack")
        for groups, w, b in ((1, weight(4, 3, *(2,) * n), bias), (4, channels(4, 1, *(2,) * n, axis=1), ones)):
            yield call(prepack, w, b, (2,) * n, (1,) * n, (1,) * n, (1,) * n, groups)
            packed = prepack(w, b, (2,) * n, (1,) * n, (1,) * n, (1,) * n, groups)
            yield call(getattr(ops, f"conv_transpose{n}d_unpack"), packed)
            yield call(getattr(ops, f"conv_transpose{n}d"), x, packed, 1.0, 0)
    for name, x in (("batch_norm", x3), ("batch_norm1d", x2), ("batch_norm2d", x4), ("batch_norm3d", x5)):
        for relu in ("", "_relu"):
            yield call(getattr(ops, name + relu), x, ones, zeros, zeros, ones, 1e-5, 0.5, 3)
    yield call(ops.layer_norm, x4, [5, 5], np.ones((5, 5), F32), np.ones((5, 5), F32), 1e-5, 0.5, 3)
    yield call(ops.group_norm, x4, 2, ones, zeros, 1e-5, 0.5, 3)
    yield call(ops.instance_norm, x4, ones, zeros, 1e-5, 0.5, 3)
    indices, offsets = np.array([3, 0, 2]), np.array([0, 2])
    for bits, dtype in (("byte", quantnn.quint8), ("4bit", quantnn.quint4x2)):
        yield call(ops.embedding_bag_prepack, table(4, 6, dtype))
        packed = ops.embedding_bag_prepack(table(4, 6, dtype))
        yield call(ops.embedding_bag_unpack, packed)
        yield call(getattr(ops, f"embedding_{bits}"), packed, indices, False)
        bag = getattr(ops, f"embedding_bag_{bits}")
        yield call(bag, packed, indices, offsets, False, 0, False, np.ones(3, F32), None, False)
        mapping = np.array([1, -1, 0, 3], np.int32)
        yield call(bag, packed, indices, offsets, False, 0, True, None, mapping, True)
    for bits in ("byte", "4bit", "2bit"):
        search = () if bits == "byte" else (True, 4, 0.5)
        yield call(getattr(ops, f"embedding_bag_{bits}_prepack"), floats(4, 8), *search)
        limits = np.array([[0, 1]] * 4, F32)
        yield call(getattr(ops, f"embedding_bag_{bits}_prepack_with_rowwise_min_max"), floats(4, 8), limits, *search)
        rows = getattr(ops, f"embedding_bag_{bits}_prepack")(floats(4, 8))
        yield call(getattr(ops, f"embedding_bag_{bits}_unpack"), rows)
        bag = getattr(ops, f"embedding_bag_{bits}_rowwise_offsets")
        yield call(
            bag, rows, indices, offsets, False, 0, True, np.ones(3, F32), np.array([1, -1, 0, 3], np.int32), True
        )


def _fused(x2: QTensor, x3: QTensor, x4: QTensor, x5: QTensor) -> Iterator[Call]:
    """quantnn.intrinsic, what stands behind it, and the modules made of many operators."""
    fused, bias = quantnn.intrinsic, np.ones(3, F32)
    packed = ops.linear_prepack(weight(3, 4), bias)
    yield call(ops.linear_leaky_relu, x2, packed, 1.0, 0, 0.1)
    yield call(ops.linear_tanh, x2, packed, 1.0, 0)
    packed = ops.conv2d_prepack(weight(3, 4, 2, 2), bias, 1, 1, 1, 1)
    for name in ("conv2d_add", "conv2d_add_relu"):
        yield call(getattr(ops, name), x4, qtensor(2, 3, 6, 6), packed, 1.0, 0)
    for n, x in ((1, x3), (2, x4), (3, x5)):
        yield call(getattr(fused, f"ConvReLU{n}d"), 4, 4, 2, 1, 1, 1, 2, True, "zeros", None, None)
        yield forward(getattr(fused, f"ConvReLU{n}d")(4, 4, 2), x)
    for add in (fused.ConvAdd2d, fused.ConvAddReLU2d):
        yield call(add, 4, 4, 2, 1, 1, 1, 2, True, "zeros", None, None)
        yield forward(add(4, 4, 1), x4, x4)
    for norm, x in ((fused.BNReLU2d, x4), (fused.BNReLU3d, x5)):
        yield call(norm, 4, 1e-5, 0.1, None, None)
        yield forward(norm(4), x)
    for linear, *more in ((fused.LinearReLU,), (fused.LinearTanh,), (fused.LinearLeakyReLU, 0.1)):
        yield call(linear, 4, 3, *more, True, quantnn.qint8)
        yield forward(linear(4, 3, *more), x2)
    steps, state = qtensor(3, 2, 4), qtensor(1, 2, 3)
    yield call(quantnn.LSTM, 4, 3, 1, True, False, 0.0, False, None, None, False)
    yield forward(quantnn.LSTM(4, 3), steps, (state, state))
    yield Call("LSTM.forward", lambda h, c: quantnn.LSTM(4, 3)(steps, (h, c)), {"h": state, "c": state})
    yield call(quantnn.MultiheadAttention, 4, 2, 0.0, True, False, False, 4, 4, False)
    attention = quantnn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True)
    yield forward(attention, steps, steps, steps, np.zeros((2, 3), bool), True, np.zeros((3, 3), F32), True, False)


def _modules(x2: QTensor, x3: QTensor, x4: QTensor, x5: QTensor, ones: np.ndarray, zeros: np.ndarray) -> Iterator[Call]:
    q, indices, offsets = quantnn, np.array([3, 0, 2]), np.array([0, 2])
    yield call(q.Linear, 4, 3, True, q.qint8)
    yield forward(q.Linear(4, 3), x2)
    yield Call("Linear.set_weight_bias", q.Linear(4, 3).set_weight_bias, {"w": weight(3, 4), "b": None})
    for n, x in ((1, x3), (2, x4), (3, x5)):
        conv = getattr(q, f"Conv{n}d")
        yield call(conv, 4, 4, 2, 1, 1, 1, 2, True, "zeros", None, None)
        yield forward(conv(4, 4, 2), x)
        if n < 3:
            yield forward(conv(4, 4, 2, padding=1, padding_mode="reflect"), x)
        shape = (4, 4, *(2,) * n)
        yield Call(f"Conv{n}d.set_weight_bias", conv(4, 4, 2).set_weight_bias, {"w": weight(*shape), "b": None})
        conv = getattr(q, f"ConvTranspose{n}d")
        yield call(conv, 4, 4, 2, 2, 1, 1, 2, True, 1, "zeros", None, None)
        yield forward(conv(4, 4, 2, 2), x)
        change = conv(4, 4, 2).set_weight_bias
        yield Call(f"ConvTranspose{n}d.set_weight_bias", change, {"w": weight(*shape), "b": None})
    for embedding in (q.Embedding, q.EmbeddingBag):
        for dtype in (q.quint8, q.quint4x2):
            name = embedding.__name__
            make = lambda embedding=embedding, **given: embedding(**given)  # noqa: E731
            given = {"num_embeddings": 4, "embedding_dim": 6, "_weight": table(4, 6, dtype), "dtype": dtype}
            yield Call(name, make, given)
            made = embedding(**given)
            yield Call(f"{name}.set_weight", made.set_weight, {"w": table(4, 6, dtype)})
            if embedding is q.Embedding:
                yield forward(made, indices)
            else:
                yield Call(name, make, {**given, "mode": "sum", "include_last_offset": False})
                yield forward(made, indices, offsets, np.ones(3, F32), None)
    for norm, x in ((q.BatchNorm2d, x4), (q.BatchNorm3d, x5)):
        yield call(norm, 4, 1e-5, 0.1, None, None)
        yield forward(norm(4), x)
    yield call(q.LayerNorm, (5, 5), np.ones((5, 5), F32), np.ones((5, 5), F32), 0.5, 3, 1e-5, True)
    yield call(q.LayerNorm, (5, 5), None, None, 0.5, 3)
    yield forward(q.LayerNorm((5, 5), None, None, 0.5, 3), x4)
    yield call(q.GroupNorm, 2, 4, ones, zeros, 0.5, 3, 1e-5, True)
    yield call(q.GroupNorm, 2, 4, None, None, 0.5, 3)
    yield forward(q.GroupNorm(2, 4, None, None, 0.5, 3), x4)
    for n, x in ((1, x3), (2, x4), (3, x5)):
        norm = getattr(q, f"InstanceNorm{n}d")
        yield call(norm, 4, ones, zeros, 0.5, 3, 1e-5, 0.1, False, True)
        yield call(norm, 4, None, None, 0.5, 3)
        yield forward(norm(4, None, None, 0.5, 3), x)
    yield call(q.Quantize, 0.5, 3, q.quint8)
    yield forward(q.Quantize(0.5, 3, q.quint8), floats(2, 3))
    yield forward(q.DeQuantize(), x4, new=False)
    yield call(q.Hardswish, 0.5, 3)
    yield forward(q.Hardswish(0.5, 3), x4)
    yield call(q.ELU, 0.5, 3, 1.0)
    yield forward(q.ELU(0.5, 3), x4)
    for activation, *arguments in (
        (q.CELU, 0.5, 3, 1.0), (q.LeakyReLU, 0.5, 3, 0.1, False), (q.Sigmoid, 0.5, 3), (q.Softmax, 1, 0.5, 3),
        (q.PReLU, 0.5, 3, 4), (q.SiLU, 0.5, 3), (q.GELU, 0.5, 3, "none"), (q.Mish, 0.5, 3),
        (q.Softplus, 0.5, 3, 1.0, 20.0), (q.Unary, math.sin, 0.5, 3), (q.Tanh,), (q.Hardsigmoid, False),
        (q.Hardtanh, -1.0, 1.0, False), (q.Threshold, 0.5, 1.0, False),
    ):  # fmt: skip
        yield call(activation, *arguments)
        yield forward(activation(*arguments), x4)
    yield Call("PReLU.set_weight", q.PReLU(0.5, 3, 4).set_weight, {"w": qtensor(4)})
    yield call(q.ReLU6, False)
    yield forward(q.ReLU6(), x4)
    yield call(q.ReLU, False)
    yield forward(q.ReLU(), x4)
    yield forward(q.ReLU(inplace=True), x4, new=False, changes=True)
    yield forward(q.ReLU6(inplace=True), x4, new=False, changes=True)
    yield call(q.Flatten, 1, -1)
    yield forward(q.Flatten(), x4, new=False)
    yield call(q.Dropout, 0.5, False)
    yield forward(q.MaxPool1d(2), x3)
    yield forward(q.MaxPool3d(2), x5)
    yield forward(q.AvgPool3d(2), x5)
    yield forward(q.AdaptiveAvgPool3d(2), x5)
    yield call(q.MaxPool2d, 2, 1, 0, 1, False, False)
    yield forward(q.MaxPool2d(2), x4)
    yield call(q.AvgPool2d, 2, 1, 0, False, True, None)
    yield forward(q.AvgPool2d(2), x4)
    yield call(q.AdaptiveAvgPool2d, 2)
    yield forward(q.AdaptiveAvgPool2d(2), x4)
    fx = q.FXFloatFunctional()
    yield Call("FXFloatFunctional.add", fx.add, {"x": ones, "y": ones})
    yield Call("FXFloatFunctional.mul_scalar", fx.mul_scalar, {"x": ones, "y": 2.0})
    f, x = q.QFunctional(), q.FloatFunctional()
    yield Call("FloatFunctional.matmul", x.matmul, {"x": floats(2, 3), "y": floats(3, 2)})
    yield Call("QFunctional.matmul", f.matmul, {"x": qtensor(2, 3), "y": qtensor(3, 2)})
    for name in ("add", "mul", "add_relu"):
        yield Call(f"QFunctional.{name}", getattr(f, name), {"x": x4, "y": x4})
        yield Call(f"FloatFunctional.{name}", getattr(x, name), {"x": ones, "y": ones})
    for name in ("add_scalar", "mul_scalar"):
        yield Call(f"QFunctional.{name}", getattr(f, name), {"x": x4, "y": 2.0})
        yield Call(f"FloatFunctional.{name}", getattr(x, name), {"x": ones, "y": 2.0})
    yield Call("QFunctional.cat", f.cat, {"x": [x4, x4], "dim": 0})
    yield Call("FloatFunctional.cat", x.cat, {"x": [ones, ones], "dim": 0})
    yield Call("Sequential", q.Sequential, {}, named=False)
    for container in (q.Sequential, q.ModuleList, q.ModuleDict):
        make = lambda modules, container=container: container(modules)  # noqa: E731
        given = {q.Sequential: q.ReLU(), q.ModuleList: [q.ReLU()], q.ModuleDict: {"a": q.ReLU()}}[container]
        yield Call(container.__name__, make, {"modules": given}, named=False)
    yield forward(q.Sequential(q.ReLU(), q.ReLU6()), x4)
    yield forward(q.Identity(), x4, new=False)
    yield call(q.Identity, 1)
    # state dicts: every value of every key
    for module in (
        q.Linear(4, 3), q.Conv2d(4, 4, 2), q.Embedding(4, 6), q.EmbeddingBag(4, 6, dtype=q.quint4x2),
        q.BatchNorm2d(4), q.LayerNorm(4, ones, zeros, 0.5, 3), q.Quantize(0.5, 3, q.quint8), q.ELU(0.5, 3),
        q.Hardswish(0.5, 3), q.QFunctional(), q.LeakyReLU(0.5, 3), q.PReLU(0.5, 3, 4), q.Softmax(1, 0.5, 3),
    ):  # fmt: skip
        load = lambda module=module, **state: module.load_state_dict(state)  # noqa: E731
        yield Call(f"{type(module).__name__}.load_state_dict", load, dict(module.state_dict()))
        yield Call("load_state_dict", module.load_state_dict, {"state_dict": module.state_dict()}, named=False)
        from_float = getattr(module, "from_float", None)
        if from_float is not None:
            yield Call(f"{type(module).__name__}.from_float", from_float, {"mod": None})
    for module_class in (
        q.Linear, q.Conv1d, q.Conv2d, q.Conv3d, q.Embedding, q.BatchNorm2d, q.LayerNorm, q.InstanceNorm1d, q.Hardswish,
        q.ELU, q.Dropout,
    ):  # fmt: skip
        args = {"mod": None} if module_class is q.Embedding else {"mod": None, "scale": 0.5, "zero_point": 3}
        make = lambda module_class=module_class, **given: module_class.from_reference(*given.values())  # noqa: E731
        yield Call(f"{module_class.__name__}.from_reference", make, args)


def _tensors(x4: QTensor) -> Iterator[Call]:
    q = quantnn
    vector = q.quantize_per_tensor(floats(4), 0.5, 3, q.qint8)
    yield call(q.quantize_per_tensor, floats(2, 3), 0.5, 3, q.quint8)
    yield call(q.quantize_per_tensor, floats(2, 3), 0.5, 3, q.quint4x2)
    yield call(q.quantize_per_tensor, [floats(2)], np.array([0.5], F32), np.array([3]), q.quint8)
    yield call(q.quantize_per_channel, floats(2, 3), np.ones(3), np.zeros(3, np.int64), 1, q.qint8)
    yield call(q.quantize_per_channel, floats(2, 3), np.ones(3, F32), np.zeros(3, F32), 1, q.quint4x2)
    yield call(q.quantize_per_tensor_dynamic, floats(2, 3), q.quint8, False)
    yield call(q.make_per_tensor_quantized_tensor, np.ones((2, 3), np.uint8), 0.5, 3)
    yield call(q.make_per_channel_quantized_tensor, np.ones((2, 3), np.int8), np.ones(2), np.zeros(2, np.int64), 0)
    yield call(q.dequantize, x4, new=False)
    yield call(q.set_num_threads, 2)
    yield call(q.num_threads, 2)
    for name in (
        "size", "dim", "numel", "element_size", "stride", "qscheme", "q_scale", "q_zero_point", "q_per_channel_scales",
        "q_per_channel_zero_points", "q_per_channel_axis", "int_repr", "dequantize", "item", "__float__", "__int__",
        "__bool__", "t", "__len__", "detach", "cpu", "__repr__", "max", "min", "mean", "std", "sort", "ravel",
        "is_contiguous", "contiguous", "clone", "flatten", "squeeze", "__copy__", "__reduce__",
    ):  # fmt: skip
        yield method(x4, name)
    for name in ("T", "mT"):
        get = lambda self, name=name: getattr(self, name) if isinstance(self, QTensor) else None  # noqa: E731
        yield Call(f"QTensor.{name}", get, {"self": x4}, new=False)
    for name in ("view", "reshape", "expand", "repeat"):
        yield method(x4, name, (2, 4, 5, 5))
        yield method(x4, name, 2, 4, 5, 5)
    for name in ("view_as", "reshape_as", "expand_as"):
        yield method(x4, name, x4)
    for name in ("size", "stride", "squeeze", "unsqueeze", "unbind", "sort", "max", "min", "mean", "std", "flip"):
        yield method(x4, name, 1)
    for name in ("relu", "sigmoid", "tanh"):
        yield method(x4, name)
    yield method(x4, "argsort", 1, True, True)
    yield method(x4, "clamp", -1.0, 1.0)
    yield Call(
        "QTensor.relu_", lambda x: x.relu_() if isinstance(x, QTensor) else None, {"x": x4}, new=False, changes=True
    )
    yield call(q.cat, [x4, x4], 1)
    yield call(ops.stack, [x4, x4], 1)
    yield call(ops.pad, x4, (1, 2), "constant", 0.5)
    yield call(ops.pad, x4, (1, 2, 0, 1), "reflect", None)
    yield call(ops.channel_shuffle, x4, 2)
    yield call(ops.pixel_shuffle, x4, 2)
    yield call(ops.pixel_unshuffle, x4, 5)
    for name, *arguments in (
        ("chunk", 2, 1), ("flatten", 1, 2), ("flip", (1,)), ("index_select", 1, [0, 2]),
        ("masked_fill", np.ones((5, 5), bool), 1.0), ("max", 1, True), ("mean", 1, True), ("min", 1, True),
        ("movedim", 1, 2), ("narrow", 1, 1, 2), ("permute", (3, 1, 0, 2)), ("reshape", (2, -1)), ("select", 1, 2),
        ("sort", 1, True, True), ("split", 2, 1), ("squeeze", 1), ("std", 1), ("topk", 2, 1), ("transpose", 1, 2),
        ("unbind", 1), ("unflatten", 1, (2, 2)), ("unsqueeze", 1),
    ):  # fmt: skip
        yield call(getattr(ops, name), x4, *arguments, new=False)
    yield method(x4, "flatten", 1, 2)
    yield method(x4, "unflatten", 1, (2, 2))
    yield method(x4, "permute", 3, 1, 0, 2)
    yield method(x4, "permute", (3, 1, 0, 2))
    yield method(x4, "transpose", 1, 2)
    yield method(x4, "movedim", 1, 2)
    yield method(x4, "movedim", (0, 1), (1, 0))
    yield method(x4, "select", 1, 2)
    yield method(x4, "narrow", 1, 1, 2)
    yield method(x4, "split", 2, 1)
    yield method(x4, "split", (1, 3), 1)
    yield method(x4, "chunk", 2, 1)
    yield method(x4, "is_contiguous", q.channels_last)
    yield method(x4, "contiguous", q.channels_last)
    yield method(x4, "index_select", 1, [0, 2])
    yield method(x4, "masked_fill", np.ones((5, 5), bool), 1.0)
    yield Call("masked_fill_", lambda mask, value: x4.clone().masked_fill_(mask, value), {"mask": True, "value": 1.0})
    yield method(x4, "max", 1, True)
    yield method(x4, "mean", (1, 2), True)
    yield method(x4, "std", (1, 2), True, True)
    yield method(x4, "sort", 1, True, True)
    yield method(x4, "topk", 2, 1, True, True)
    yield method(x4, "equal", x4)
    for name in ("__eq__", "__lt__", "__ge__", "__ne__", "__contains__"):
        yield method(x4, name, 1.0)
    for index in (0, slice(0, 2), [0, 1], (0, 1, 2, 3), (slice(None), [0, 1])):
        yield method(x4, "__getitem__", index)
    for name in ("copy_", "fill_"):
        yield Call(f"QTensor.{name}", lambda x, name=name: getattr(x4.clone(), name)(x), {"x": 1.0}, new=False)
        yield Call(f"QTensor.{name}", lambda x, name=name: getattr(vector[:], name)(x), {"x": 1.0}, new=False)
    parts = {"start": 0, "stop": 4, "step": 1}
    yield Call("index", lambda **s: x4[:, slice(*s.values())], parts, new=False)
    yield Call("index", lambda i, j: x4[:, i, j], {"i": 1, "j": [0, 1]}, new=False)

    def assign(index: Any, value: Any) -> None:
        x4.clone()[index] = value

    yield Call("index assignment", assign, {"index": 0, "value": 1.0})
    yield Call("index assignment", assign, {"index": ([0, 1], [1, 2]), "value": 1.0})


# ---- the judge -----------------------------------------------------------------------------------------------------

# What only NumPy, Cython or the interpreter say.
INTERNAL = re.compile(
    r"Buffer |only integer|cannot reshape|could not be broadcast|has no attribute|object is not [^a]|"
    r"unsupported operand|truth value|inhomogeneous|out of bounds|not supported between|too large to convert|"
    r"C long|cannot convert|"
    r"Maximum allowed|too big|array element|invalid literal|0-dimensional|size-1|real number|required positional|"
    r"unexpected keyword|ndarray is currently|not iterable|numpy\.core|tuple index"
)


def _wrong_error(e: BaseException, case: Call) -> str:
    """What is wrong with an exception; empty if nothing is."""
    if not isinstance(e, ACCEPTED):
        return "is none of the accepted kinds"
    if isinstance(e, MemoryError):
        return ""
    if found := INTERNAL.search(str(e)):
        return f"says {found[0]!r}"
    frame = e.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is not None:
        file = frame.tb_frame.f_code.co_filename
        line = linecache.getline(file, frame.tb_lineno).strip()
        if not file.startswith(PACKAGE) or not line.startswith("raise"):
            return f"is not raised by quantnn: {file}:{frame.tb_lineno}: {line}"
    if case.named and not re.match(r"[A-Za-z_][\w. ]*: |Error\(s\) in loading state_dict for \w+:\n", str(e)):
        return "does not name the operator"
    return ""


def _wrong_result(x: Any, case: Call, arguments: dict[str, Any]) -> str:
    """What is wrong with a result; empty if nothing is."""
    if isinstance(x, (tuple, list)):
        return next(filter(None, (_wrong_result(v, case, arguments) for v in x)), "")
    if isinstance(x, np.ndarray):
        array = x
    elif isinstance(x, QTensor):
        array = x._ints
        scale, zero_point = np.asarray(x._scale), np.asarray(x._zero_point)
        if array.dtype != x.dtype.numpy or (x._shape is None and array.shape != x.shape):
            return f"has {array.dtype} integers of shape {array.shape} for {x.dtype} and {x.shape}"
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            return f"has the scale {scale}"
        if zero_point.dtype.kind == "i" and not ((zero_point >= x.dtype.qmin) & (zero_point <= x.dtype.qmax)).all():
            return f"has the zero point {zero_point}"
        if x._channelled and not scale.shape == zero_point.shape == (x.shape[x._axis],):
            return f"has scales of shape {scale.shape} for axis {x._axis} of {x.shape}"
        if x.numel() < 1000:
            repr(x)
    else:
        return ""
    if case.new and array.size:
        for name, value in arguments.items():
            for given in value if isinstance(value, (list, tuple)) else [value]:
                given = given._ints if isinstance(given, QTensor) else given
                if isinstance(given, np.ndarray) and np.may_share_memory(array, given):
                    return f"shares memory with {name}"
    return ""


def _state(x: Any) -> Any:
    if isinstance(x, QTensor):
        return x._ints.tobytes(), x._ints.shape, repr(x._scale), repr(x._zero_point)
    if isinstance(x, np.ndarray):
        return x.tobytes(), x.shape, x.strides
    return [_state(v) for v in x] if isinstance(x, (list, tuple)) else None


def _run(case: Call, arguments: dict[str, Any], replaced: str) -> str:
    """Call once; what is wrong."""
    refused = case.name.startswith("QTensor.") or case.name.endswith((".from_float", ".from_reference"))
    valid = not replaced and not refused
    before = {name: _state(value) for name, value in arguments.items()}
    started = time.perf_counter()
    wrong = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # ours, and torch's of its quantized tensors
            result = case.function(**arguments)
            wrong = _wrong_result(result, case, arguments)
            wrong = wrong and f"the result {wrong}"
    except Exception as e:
        wrong = "is not valid" if valid else _wrong_error(e, case)
        wrong = wrong and f"{type(e).__name__} {wrong}: {e}"
    seconds = time.perf_counter() - started
    if seconds > SECONDS:
        wrong = wrong or f"took {seconds:.1f} s"
    if not case.changes and any(_state(value) != before[name] for name, value in arguments.items()):
        wrong = wrong or "changed its arguments"
    return wrong and f"{case.name}, {replaced or 'valid'}: {wrong[:300]}"


def fuzz(level: str, progress: str) -> list[str]:
    """Run the whole table; what went wrong. `progress` is a file that tells the current call."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its quantized tensors
        values = nasty()
    count = 0
    fd = os.open(progress, os.O_RDWR | os.O_CREAT)
    with _dispatch.use_level(level):
        for case in calls():
            for name in case.arguments:
                for label, value in [("", case.arguments[name]), *values.items()]:
                    if case.changes and isinstance(value, (QTensor, np.ndarray)):
                        value = copy.deepcopy(value)
                    replaced = f"{name}={label}" if label else ""
                    os.pwrite(fd, f"{level}: {case.name}, {replaced}".encode()[:200].ljust(200), 0)
                    wrong = _run(case, {**case.arguments, name: value}, replaced)
                    count += 1
                    if wrong:
                        found.append(wrong)
    os.close(fd)
    print(f"{level}: {count} calls, {len(found)} wrong", file=sys.stderr)
    return found


def main(progress: str, levels: list[str]) -> int:
    import resource

    faulthandler.enable()
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # the sanitizer reserves terabytes and has a limit of its own
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "The truth value of an empty array")  # an error since NumPy 2.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ImportError):
            import torch  # noqa: F401
    found = [f"{level}: {wrong}" for level in levels for wrong in fuzz(level, progress)]
    print("\n".join(found))
    return int(bool(found))


def test_any_argument(tmp_path: Path) -> None:
    """At the highest level; name others at the command line: python -m tests.test_bad_input FILE LEVEL..."""
    pytest.importorskip("resource", reason="needs a limit for a process's memory")
    progress = tmp_path / "progress"
    command = [sys.executable, "-m", "tests.test_bad_input", str(progress), _dispatch.kernels.level]
    root = Path(__file__).parent.parent
    try:
        run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.fail(f"hangs in {progress.read_text().strip()}")
    assert run.returncode in (0, 1), f"crashes in {progress.read_text().strip()}: {run.stderr[-3000:]}"
    assert run.stdout == "\n", f"{run.stdout.count(chr(10))} wrong:\n{run.stdout[:20000]}"


# ---- what came back wrong or not at all, and the table does not see -----------------------------------------------


def test_complex_numbers_are_not_scales() -> None:
    for number in (np.complex64(0.5), np.complex128(0.5), np.array(0.5 + 1j, np.complex64)):
        with pytest.raises(TypeError, match="quantize_per_tensor: scale must be a number"):
            quantnn.quantize_per_tensor(floats(2), number, 0, quantnn.quint8)


def test_a_module_keeps_its_own_weight() -> None:
    given = np.ones(4, F32)
    for module in (
        quantnn.LayerNorm(4, given, given, 0.5, 3),
        quantnn.GroupNorm(2, 4, given, given, 0.5, 3),
        quantnn.InstanceNorm2d(4, given, given, 0.5, 3),
    ):
        assert not np.shares_memory(module.weight, given)
        assert not np.shares_memory(copy.deepcopy(module).weight, module.weight)
    linear = quantnn.Linear(4, 4)
    linear.set_weight_bias(weight(4, 4), given)
    other = copy.deepcopy(linear)
    other.set_weight_bias(weight(4, 4), None)
    given[:] = 7
    assert linear.bias() is not None
    assert linear.bias().max() == 1


def test_a_state_dict_without_weight() -> None:
    linear = quantnn.Linear(4, 3)
    state = {**linear.state_dict(), "_packed_params._packed_params": (None, None)}
    with pytest.raises(ValueError, match=r"_packed_params must be a tuple \(weight, bias\)"):
        linear.load_state_dict(state)
    for name, value in (("zero_point", np.array(np.nan)), ("scale", np.array("a")), ("zero_point", np.array([1, 2]))):
        with pytest.raises(ValueError, match=f"{name}: the value must be"):
            linear.load_state_dict({**linear.state_dict(), name: value})
    with pytest.raises(TypeError, match="the keys of state_dict must be strings"):
        linear.load_state_dict({1: np.ones(3)})


def test_a_mapping_without_elements_is_no_mapping() -> None:
    packed = ops.embedding_bag_prepack(table(4, 6))
    with pytest.raises(ValueError, match="compressed_indices_mapping must have one dimension and an element"):
        ops.embedding_bag_byte(
            packed, np.array([1]), np.array([0]), pruned_weights=True, compressed_indices_mapping=np.empty(0, np.int32)
        )


def test_huge_padding_takes_no_memory(level: str) -> None:
    x, w = qtensor(1, 2, 6, 6), weight(3, 2, 2, 2)
    far = 2**31 - 1
    out = functional.conv2d(x, w, None, far, far)  # windows in the padding, one of them on the image's corner
    assert out.shape == (1, 3, 3, 3)
    padded = np.zeros((1, 2, 2, 2), np.int64)  # rows and columns far - padding = 0 and 1 of the image
    padded[:] = x.int_repr()[:, :, :2, :2].astype(np.int64) - 3
    acc = np.einsum("nchw,kchw->nk", padded, w.int_repr().astype(np.int64))
    expected = np.zeros((1, 3, 3, 3))
    expected[:, :, 1, 1] = np.clip(np.rint(acc * 0.125), 0, 255)
    np.testing.assert_array_equal(out.int_repr(), expected)


def test_padding_as_wide_as_the_kernel(level: str) -> None:
    x, w = qtensor(2, 3, 5, 6), weight(4, 3, 2, 2)
    wide = functional.conv2d(x, w, None, 1, (2, 4), scale=0.5, zero_point=9).int_repr()
    narrow = functional.conv2d(x, w, None, 1, 1, scale=0.5, zero_point=9).int_repr()
    np.testing.assert_array_equal(wide[:, :, 1:-1, 3:-3], narrow)
    wide[:, :, 1:-1, 3:-3] = 9
    assert (wide == 9).all()


def test_too_many_dimensions() -> None:
    x = qtensor(1)
    ones = (1,) * 33
    for make in (
        lambda: x.view(ones),
        lambda: x.expand(ones),
        lambda: x.repeat(ones),
        lambda: x[(None,) * 32],
        lambda: x.view((1,) * 32).unsqueeze(0),
    ):
        with pytest.raises(ValueError, match="at most 32 dimensions; got 33"):
            make()
    with pytest.raises(MemoryError, match="view: shape"):
        qtensor(0).view(0, 2**61, 4)
    with pytest.raises(ValueError, match="chunks of an empty axis must be at most"):
        qtensor(0).chunk(1 << 20)


def test_parameters_that_do_not_fit_are_not_read() -> None:
    ints = np.ones((100, 50), np.int8)
    x = QTensor(ints, quantnn.qint8, np.ones(1), np.zeros(1, np.int64), quantnn.per_channel_affine, 0)
    for use in (x.dequantize, lambda: x.copy_(floats(100, 50)), lambda: functional.linear(qtensor(2, 50), x)):
        with pytest.raises(ValueError, match="must have one scale and zero point for each"):
            use()
    with pytest.raises(ValueError, match="ints must hold 100000 elements; got 1 bytes"):
        QTensor(np.zeros(1, np.uint8), quantnn.quint4x2, 1.0, 0, shape=(100000,)).dequantize()


class Observer:
    """What `from_float` reads of torch's observers."""

    dtype: Any = quantnn.quint8
    qscheme: Any = quantnn.per_tensor_affine

    def __init__(self, scale: Any = 0.5, zero_point: Any = 3, dtype: Any = quantnn.quint8) -> None:
        self.qparams, self.dtype = (scale, zero_point), dtype

    def calculate_qparams(self) -> Any:
        return self.qparams

    def __call__(self, x: Any) -> Any:
        return x


def float_module(name: str, **attributes: Any) -> Any:
    """A float module of which `from_float` sees the attributes alone."""
    module = type(name, (), {"forward": None, "named_children": None})()
    vars(module).update(attributes)
    return module


def test_float_modules_without_what_they_need() -> None:
    config = lambda weight: type("QConfig", (), {"weight": staticmethod(weight)})  # noqa: E731
    common = {
        "weight": np.ones((2, 2, 1, 1), F32),
        "bias": np.ones(2, F32),
        "qconfig": config(lambda: Observer(0.5, 0, quantnn.qint8)),
        "activation_post_process": Observer(),
    }
    conv = {"in_channels": 2, "out_channels": 2, "kernel_size": (1, 1), "stride": (1, 1), "padding": (0, 0),
            "dilation": (1, 1), "groups": 1, "padding_mode": "zeros"}  # fmt: skip
    norm = {"num_features": 2, "eps": 1e-5, "momentum": 0.1, "running_mean": np.ones(2), "running_var": np.ones(2)}
    embedding = {"num_embeddings": 2, "embedding_dim": 2, "mode": "sum", "include_last_offset": False}
    cases: list[tuple[Any, str, dict[str, Any]]] = [
        (quantnn.Linear, "Linear", {**common, "in_features": 2, "out_features": 2, "weight": np.ones((2, 2), F32)}),
        (quantnn.Conv2d, "Conv2d", {**common, **conv}),
        (quantnn.ConvTranspose2d, "ConvTranspose2d", {**common, **conv, "output_padding": (0, 0)}),
        (quantnn.BatchNorm2d, "BatchNorm2d", {**common, **norm, "weight": np.ones(2)}),
        (quantnn.EmbeddingBag, "EmbeddingBag", {**embedding, "qconfig": None, "weight": np.ones((2, 2), F32)}),
        (quantnn.Hardswish, "Hardswish", {"activation_post_process": Observer()}),
    ]
    wrong = [None, "x", -1, np.full(3, np.nan), lambda: None, object(), Observer(np.nan), Observer(0.0),
             Observer(0.5, 1.5), Observer("x"), Observer([0.5, 1.0]), config(None), config(lambda: None)]  # fmt: skip
    found: list[str] = []
    for module, name, attributes in cases:
        module.from_float(float_module(name, **attributes))
        for key in attributes:
            rest = {k: v for k, v in attributes.items() if k != key}
            for given in [rest, *({**rest, key: value} for value in wrong)]:
                try:
                    module.from_float(float_module(name, **given))
                except Exception as e:
                    why = _wrong_error(e, Call(name, module.from_float, {}))
                    found += [f"{name}, {key}={given.get(key)!r}: {type(e).__name__} {why}: {e}"] if why else []
    assert not found, "\n".join(found)


def test_the_text_of_a_huge_tensor() -> None:
    text = repr(qtensor(2).view(1, 2).expand(2**40, 2))
    assert text.startswith("tensor([[-1.5000, -1.5000],\n        [-1.5000, -1.5000],")
    assert "...,\n" in text
    assert "size=(1099511627776, 2)" in text


def test_copied_parameters_are_copies() -> None:
    a, b = channels(2, 3), channels(2, 3)
    a.copy_(b)
    assert not np.shares_memory(a.q_per_channel_scales(), b.q_per_channel_scales())


def test_the_number_of_threads_may_change_during_calls() -> None:
    import threading

    x = qtensor(4, 16, 40, 40)
    pool = functional.max_pool2d(x, 3)
    norm = ops.group_norm(x, 4, None, None, 1e-5, 0.05, 100)
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            quantnn.set_num_threads(1 + n % 4)
            n += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            assert functional.max_pool2d(x, 3).equal(pool)
            assert ops.group_norm(x, 4, None, None, 1e-5, 0.05, 100).equal(norm)
    finally:
        stop.set()
        thread.join()


def test_the_table_is_complete() -> None:
    called = {case.name.removesuffix(".forward") for case in calls()}
    public = {name for name, x in vars(quantnn).items() if callable(x) and not name.startswith("_")}
    public |= {name for name, x in vars(functional).items() if callable(x) and x.__module__.startswith("quantnn")}
    public |= {f"ops.{name}" for name, x in vars(ops).items() if callable(x) and not isinstance(x, type)}
    public -= {"PackedLinear", "PackedConv", "PackedConvTranspose", "run_linear", "run_conv"}
    public |= {f"QTensor.{name}" for name in vars(QTensor) if not name.startswith("_")}
    public -= {name for name in public if name.split(".")[-1].startswith("_") or f"ops.{name}" in called}
    # other names of what is called, such as ops.conv2d_stride of ops.conv_stride
    same = {f"ops.{name}" for name, x in vars(ops).items() if callable(x) and x.__name__ != name}
    same |= {f"QTensor.{name}" for name in ("swapaxes", "swapdims", "broadcast_to", "nelement", "masked_fill_", "clip")}
    plain = {f"QTensor.{name}" for name in ("shape", "ndim", "dtype", "is_quantized", "requires_grad")}
    plain |= {
        "Module",
        "QTensor",
        "FloatFunctional",
        "FXFloatFunctional",
        "QFunctional",
        "show_config",
        "get_num_threads",
    }
    assert public - called - same == plain


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
