"""Operators that end in float32: linear with leaky relu or tanh, conv2d with an addition."""

from __future__ import annotations

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, ops
from quantnn.ops import _fused
from quantnn.tensor import qint8, quint8

from ..reference import conv as conv_reference
from ..reference import fused as reference


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fused, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)


def weight(rng: np.random.Generator, shape: tuple[int, ...]) -> QTensor:
    ints = rng.integers(-128, 128, shape, np.int8)
    if rng.random() < 0.5:
        return QTensor(ints, qint8, float(rng.uniform(1e-3, 1e-2)), 0)
    scales = rng.uniform(1e-3, 1e-2, shape[0])
    return quantnn.make_per_channel_quantized_tensor(ints, scales, np.zeros(shape[0], np.int64), 0)


def activation(rng: np.random.Generator, shape: tuple[int, ...]) -> QTensor:
    return QTensor(rng.integers(0, 256, shape, np.uint8), quint8, float(rng.uniform(0.01, 0.1)), int(rng.integers(256)))


@pytest.mark.parametrize("name", ["linear_leaky_relu", "linear_tanh"])
def test_linear(name: str, level: str, rng: np.random.Generator) -> None:
    for _ in range(8):
        m, k, n = (int(i) for i in rng.integers(1, 40, 3))
        x, w = activation(rng, (m, k)), weight(rng, (n, k))
        bias = rng.standard_normal(n).astype(np.float32) if rng.random() < 0.7 else None
        scale, zero_point = (
            (0.01, 128) if name == "linear_tanh" else (float(rng.uniform(0.05, 1)), int(rng.integers(256)))
        )
        slope = () if name == "linear_tanh" else (0.125,)
        got = getattr(ops, name)(x, ops.linear_prepack(w, bias), scale, zero_point, *slope)
        acc = (x._ints.astype(np.int64) - x._zero_point) @ w._ints.astype(np.int64).T
        w_scale = np.broadcast_to(np.asarray(w._scale), (n,))
        y = reference.float_result(acc, x._scale, w_scale, np.zeros(n, np.float32) if bias is None else bias)
        function = name.removeprefix("linear_").upper()
        want = reference.finish(function, y, None, *(slope or (0.0,)), scale, zero_point)
        np.testing.assert_array_equal(got.int_repr(), want)
        assert (got.q_scale(), got.q_zero_point()) == (scale, zero_point)


@pytest.mark.parametrize("relu", [False, True])
def test_conv2d_add(relu: bool, level: str, rng: np.random.Generator) -> None:
    for _ in range(6):
        groups = int(rng.integers(1, 4))
        n, c, k = int(rng.integers(1, 3)), groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
        stride, padding, dilation = (tuple(int(i) for i in rng.integers(lo, 3, 2)) for lo in (1, 0, 1))
        x, w = activation(rng, (n, c, 7, 8)), weight(rng, (k, c // groups, 3, 2))
        bias = rng.standard_normal(k).astype(np.float32)
        acc = conv_reference.accumulate(x._ints, x._zero_point, w._ints, 0, stride, padding, dilation, groups)
        addend = activation(rng, acc.shape)
        packed = ops.conv2d_prepack(w, bias, stride, padding, dilation, groups)
        scale, zero_point = float(rng.uniform(0.05, 1)), int(rng.integers(256))
        if rng.random() < 0.5:
            addend = addend.contiguous(memory_format=quantnn.channels_last)
        got = (ops.conv2d_add_relu if relu else ops.conv2d_add)(x, addend, packed, scale, zero_point)
        w_scale = np.broadcast_to(np.asarray(w._scale), (k,))
        y = reference.float_result(np.moveaxis(acc, 1, -1), x._scale, w_scale, bias)
        more = np.moveaxis(addend.dequantize(), 1, -1)
        want = reference.finish("RELU" if relu else "NONE", y, more, 0.0, scale, zero_point)
        np.testing.assert_array_equal(got.int_repr(), np.moveaxis(want, -1, 1))
        assert got.is_contiguous(memory_format=quantnn.channels_last)


def test_refused(rng: np.random.Generator) -> None:
    x, packed = activation(rng, (2, 3)), ops.linear_prepack(weight(rng, (4, 3)))
    with pytest.raises(ValueError, match="linear_tanh: input must have shape"):
        ops.linear_tanh(activation(rng, (2, 4)), packed, 0.1, 0)
    with pytest.raises(TypeError, match="negative_slope"):
        ops.linear_leaky_relu(x, packed, 0.1, 0, "a")
    conv = ops.conv2d_prepack(weight(rng, (4, 3, 1, 1)), None, 1, 0, 1, 1)
    with pytest.raises(ValueError, match="qaccum must have the shape"):
        ops.conv2d_add(activation(rng, (1, 3, 2, 2)), activation(rng, (1, 3, 2, 2)), conv, 0.1, 0)
