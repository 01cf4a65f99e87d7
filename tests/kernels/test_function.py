"""Functions by tables: against the function itself, and what they do with bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _function as ops
from quantnn.tensor import QTensor, qint8, qint32, quint8

from ..data.elementwise import assert_same
from ..reference import draw
from ..reference.rounding import dequantize_ds, quantize_qt

F = quantnn.functional
X = QTensor(np.arange(256, dtype=np.uint8), quint8, 0.1, 100)


def cube(x: float) -> float:
    return x**3


def of_floats(f: Callable[[float], float], x: QTensor, scale: float, zero_point: int) -> np.ndarray:
    floats = [f(v) for v in dequantize_ds(x._ints, x._scale, x._zero_point).ravel().tolist()]
    return quantize_qt(np.array(floats, np.float32).reshape(x.shape), scale, zero_point, x.dtype)


def sigmoid(x: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * x)


FUNCTIONS: tuple[tuple[Callable[..., QTensor], Callable[[float], float]], ...] = (
    (lambda x, *qparams: F.unary(x, cube, *qparams), cube),
    (F.silu, lambda x: x * sigmoid(x)),
    (F.gelu, lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    (F.mish, lambda x: x * math.tanh(math.log1p(math.exp(x)))),
    (F.softplus, lambda x: math.log1p(math.exp(x)) if x <= 20 else x),
    (
        lambda x, *qparams: F.softplus(x, *qparams, 2.0, 3.0),
        lambda x: math.log1p(math.exp(2 * x)) / 2 if x <= 1.5 else x,
    ),
)  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_function(
    level: str, rng: np.random.Generator, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantnn.ops._unary, "_GRAIN", 1)
    quantnn.set_num_threads(threads)
    for i, (function, f) in enumerate(FUNCTIONS):
        dtype = (quint8, qint8)[i % 2]
        _, x = draw.tensor(rng, None, draw.shape(rng, 4), dtype, False)
        qparams = 0.0371, draw.zero_point(rng, dtype)
        y = function(x, *qparams)
        assert (y.q_scale(), y.q_zero_point(), y.dtype) == (*qparams, dtype)
        assert y._ints.strides == quantnn.ops.sigmoid(x)._ints.strides
        np.testing.assert_array_equal(y.int_repr(), of_floats(f, x, *qparams), strict=True)


def test_far_from_zero() -> None:
    for dtype in (quint8, qint8):
        x = QTensor(np.arange(256, dtype=np.uint8).view(dtype.numpy), dtype, 1e30, 0)
        for function in (F.silu, F.gelu, F.mish, F.softplus):
            positive = x.int_repr() > 0
            y = function(x, 1e30, 0).int_repr()
            assert (y[positive] == x.int_repr()[positive]).all()
            assert (y[~positive] == 0).all()
    assert F.unary(X, lambda x: math.inf * (x + 1e-9), 1.0, 9).int_repr().tolist() == [0] * 100 + [255] * 156


def test_the_function_is_called_once_a_value() -> None:
    calls = []

    def f(x: float) -> float:
        calls.append(x)
        return x

    for x in (X, X, X.view(2, 128)):
        F.unary(x, f, 0.1, 100)
    assert len(calls) == 256
    assert_same(F.unary(X, f, 0.1, 100), X)
    assert calls == X.dequantize().tolist()
    assert ops._table.cache_info().maxsize is not None


def test_empty_and_read_only() -> None:
    x = QTensor(np.zeros((0, 3), np.uint8), quint8, 0.5, 0)
    assert F.silu(x, 0.1, 0).shape == (0, 3)
    ints = np.zeros((), np.uint8)
    ints.flags.writeable = False
    assert F.unary(QTensor(ints, quint8, 0.5, 0), math.cos, 0.25, 0).item() == 1.0


@pytest.mark.parametrize("f", [None, 3, "abs", [1], np.ones(2), math.pi])
def test_no_function(f: Any) -> None:
    with pytest.raises(TypeError, match="unary: f must be a function of a float"):
        F.unary(X, f, 0.1, 0)


def test_functions_that_fail() -> None:
    for f, message in (
        (math.sqrt, "must be defined for every value of input; got ValueError for -10.0"),
        (lambda x: 1 / x, "got ZeroDivisionError for 0.0"),
        (lambda: 1, "got TypeError"),
        (lambda x: math.nan, "must return a number for every value of input; got NaN"),
    ):
        with pytest.raises(ValueError, match=f"unary: f .*{message}"):
            F.unary(X, f, 0.1, 0)
    for result in ("1", None, 1j, [1.0, 2.0], True):
        with pytest.raises(TypeError, match="unary: what f returns must be a number"):
            F.unary(X, lambda x, result=result: result, 0.1, 0)


def test_wrong_arguments() -> None:
    for function in (F.silu, F.gelu, F.mish, F.softplus):
        with pytest.raises(TypeError, match="input must be quint8 or qint8; got qint32"):
            function(QTensor(np.zeros(3, np.int32), qint32, 0.1, 0), 0.1, 0)
        with pytest.raises(ValueError, match="scale must be"):
            function(X, 0.0, 0)
        with pytest.raises(ValueError, match="zero_point must be in"):
            function(X, 0.1, 256)
    with pytest.raises(ValueError, match="gelu: approximate must be 'none' or 'tanh'; got 'erf'"):
        F.gelu(X, 0.1, 0, "erf")
    with pytest.raises(TypeError, match="gelu: approximate must be 'none' or 'tanh'; got int 3"):
        F.gelu(X, 0.1, 0, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="softplus: beta must not be 0"):
        F.softplus(X, 0.1, 0, 0.0)
    with pytest.raises(ValueError, match="softplus: threshold must be finite"):
        F.softplus(X, 0.1, 0, 1.0, math.inf)
