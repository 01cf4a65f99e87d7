"""Unary operators against their reference and stored results of torch, and what they do with bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _unary as ops
from quantnn.tensor import QTensor, per_channel_affine, qint8, qint32, quint4x2, quint8

from ..data.elementwise import assert_same, load
from ..reference import draw
from ..reference import unary as reference

DATA = Path(__file__).parents[1] / "data" / "unary.npz"


def example(ints: Any = (0, 9, 10, 90), dtype: Any = quint8) -> QTensor:
    return QTensor(np.array(ints, dtype.numpy), dtype, 0.5, 10)


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_reference(
    level: str, rng: np.random.Generator, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(threads)
    for i in range(60 if threads == 1 else 9):
        dtype = draw.DTYPES[i % 3]
        ties = i % 2 == 0
        _, x = draw.tensor(rng, None, draw.shape(rng), dtype, ties)
        q = x._ints
        args = (q, x._scale, x._zero_point, dtype)
        scale, zero_point = draw.scale(rng, ties), draw.zero_point(rng, dtype)
        np.testing.assert_array_equal(ops.relu(x).int_repr(), reference.relu(*args))
        np.testing.assert_array_equal(ops.relu6(x).int_repr(), reference.relu6(*args))
        least, most = float(rng.normal()), float(rng.normal())
        for bounds in ((least, most), (None, most), (least, None), (-np.inf, np.inf)):
            np.testing.assert_array_equal(
                ops.clamp(x, *bounds).int_repr(), reference.clamp(*args, *bounds), strict=True
            )
        y = ops.hardswish(x, scale, zero_point)
        want = reference.hardswish(*args, scale, zero_point, reference.memory_order(y._ints))
        np.testing.assert_array_equal(y.int_repr(), want)
        alpha = float(rng.uniform(-1, 2))
        y = ops.elu(x, scale, zero_point, alpha)
        assert y._ints.flags.c_contiguous
        want = reference.elu(*args, scale, zero_point, alpha, range(q.ndim))
        np.testing.assert_array_equal(y.int_repr(), want)
        y = ops.celu(x, scale, zero_point, alpha)
        assert y._ints.flags.c_contiguous
        want = reference.celu(*args, scale, zero_point, alpha, range(q.ndim))
        np.testing.assert_array_equal(y.int_repr(), want)
        y = ops.threshold(x, least, most)
        order = reference.memory_order(y._ints)
        np.testing.assert_array_equal(y.int_repr(), reference.threshold(*args, least, most, order))
        y = ops.sigmoid(x, scale, zero_point)
        np.testing.assert_array_equal(y.int_repr(), reference.sigmoid(*args, scale, zero_point, order))
        y = ops.sigmoid(x)
        qparams = reference.UNIT[dtype.name]
        assert (y.q_scale(), y.q_zero_point()) == qparams
        np.testing.assert_array_equal(y.int_repr(), reference.sigmoid(*args, *qparams, order))
        for function in ("tanh", "hardsigmoid"):
            y = getattr(ops, function)(x)
            want, *qparams = getattr(reference, function)(*args, order)
            assert [y.q_scale(), y.q_zero_point()] == qparams
            np.testing.assert_array_equal(y.int_repr(), want)
        np.testing.assert_array_equal(ops.hardtanh(x, least, most).int_repr(), reference.hardtanh(*args, least, most))


@pytest.mark.parametrize("threads", [1, 2])
def test_leaky_relu_equals_the_reference(
    level: str, rng: np.random.Generator, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(threads)
    for i in range(60 if threads == 1 else 9):
        dtype = draw.DTYPES[i % 3]
        ties = i % 2 == 0
        _, x = draw.tensor(rng, None, draw.shape(rng), dtype, ties)
        q = x._ints
        args = (q, x._scale, x._zero_point, dtype, float(rng.uniform(-1, 2)))
        qparams = draw.scale(rng, ties), draw.zero_point(rng, dtype)
        # the operator makes its input dense first, the function with a scale does not
        y = ops.leaky_relu(x, args[-1], False, *qparams)
        dense = np.empty_like(y._ints)
        dense[...] = q
        want = reference.leaky_relu(dense, *args[1:], *qparams, reference.memory_order(y._ints))
        np.testing.assert_array_equal(y.int_repr(), want)
        y = quantnn.functional.leaky_relu(x, args[-1], scale=qparams[0], zero_point=qparams[1])
        assert y._ints.flags.c_contiguous
        np.testing.assert_array_equal(y.int_repr(), reference.leaky_relu(*args, *qparams, range(q.ndim)))
        y = quantnn.functional.leaky_relu(x, args[-1])
        want = reference.leaky_relu(dense, *args[1:], *args[1:3], reference.memory_order(y._ints))
        np.testing.assert_array_equal(y.int_repr(), want)
        want = reference.leaky_relu(*args, *args[1:3], reference.memory_order(q))
        assert quantnn.functional.leaky_relu(x, args[-1], inplace=True) is x
        np.testing.assert_array_equal(x.int_repr(), want)


def test_equals_what_torch_gave(level: str) -> None:
    for case in load(DATA):
        assert_same(getattr(ops, case.op)(*case.tensors, *case.arguments), case.want)


def test_many_elements_on_two_threads(level: str, rng: np.random.Generator) -> None:
    for dtype in draw.DTYPES:
        n = 300007
        x = QTensor(draw.integers(rng, (n,), dtype), dtype, 0.25, 3)
        results = []
        for threads in (1, 2):
            with quantnn.num_threads(threads):
                results.append(
                    [
                        ops.relu(x)._ints,
                        ops.clamp(x, -1.0, 1.0)._ints,
                        ops.hardswish(x, 0.125, 7)._ints,
                        ops.elu(x, 0.125, 7)._ints,
                        ops.sigmoid(x, 0.125, 7)._ints,
                        ops.leaky_relu(x, 0.1, False, 0.125, 7)._ints,
                    ]
                )
        for one, two in zip(*results, strict=True):
            np.testing.assert_array_equal(one, two)


def test_qparams_and_memory_format() -> None:
    x = QTensor(np.zeros((2, 3, 4, 5), np.uint8).transpose(0, 3, 1, 2), quint8, 0.1, 3)
    for y in (ops.relu(x), ops.relu6(x), ops.clamp(x, 0, 1)):
        assert (y.q_scale(), y.q_zero_point(), y.dtype) == (0.1, 3, quint8)
        assert y._ints.strides == x._ints.strides
    y = ops.hardswish(x, 0.2, 4)
    assert (y.q_scale(), y.q_zero_point(), y._ints.strides) == (0.2, 4, x._ints.strides)


def test_relu6_in_place(level: str) -> None:
    x = example()
    assert ops.relu6(x, inplace=True) is x
    assert x.int_repr().tolist() == [10, 10, 10, 22]
    base = np.array([[0, 9, 10, 90], [0, 0, 0, 255]], np.uint8)
    view = QTensor(base[:, ::2], quint8, 0.5, 10)
    ops.relu6(view, inplace=True)
    assert base.tolist() == [[10, 9, 10, 90], [10, 0, 10, 255]]
    x.int_repr().flags.writeable = False
    with pytest.raises(ValueError, match=r"relu6: input must be writable .*clone"):
        ops.relu6(x, inplace=True)


def test_read_only_and_empty_and_scalar(level: str) -> None:
    for ints in ([], [[]], 200, [5]):
        x = example(ints)
        x._ints.flags.writeable = False
        for y in (
            ops.relu(x), ops.relu6(x), ops.clamp(x, 0), ops.hardswish(x, 1, 0), ops.elu(x, 1, 0), ops.celu(x, 1, 0),
            ops.sigmoid(x), ops.tanh(x), ops.hardsigmoid(x), ops.hardtanh(x), ops.threshold(x, 0, 0),
            ops.leaky_relu(x, 0.1, False, 1, 0), quantnn.functional.leaky_relu(x),
        ):  # fmt: skip
            assert y.shape == x.shape


def test_extreme_parameters(level: str) -> None:
    for dtype in draw.DTYPES:
        for scale in (1e-44, 1e-30, 1.0, 3e38):
            x = QTensor(np.array([dtype.qmin, 0, dtype.qmax] * 30, dtype.numpy), dtype, scale, 0)
            for out_scale in (1e-44, 1.0, 3e38):
                for zero_point in (dtype.qmin, dtype.qmax):
                    ops.hardswish(x, out_scale, zero_point)
                    ops.elu(x, out_scale, zero_point, -3e38)
                    ops.celu(x, out_scale, zero_point, 1e-45)
                    ops.sigmoid(x, out_scale, zero_point)
                    ops.leaky_relu(x, -3e38, False, out_scale, zero_point)
            ops.threshold(x, -np.inf, np.inf)
            assert ops.clamp(x, -1e300, 1e300).int_repr().tolist() == x.int_repr().tolist()


def test_tables_are_made_once_and_bounded() -> None:
    x = example()
    ops._tables.cache_clear()
    ops.hardswish(x, 0.25, 1)
    ops.hardswish(x.unsqueeze(0), 0.25, 1)
    info = ops._tables.cache_info()
    assert (info.hits, info.misses) == (1, 1)
    assert info.maxsize is not None


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "relu": (), "relu6": (), "clamp": (0.0, 1.0), "hardswish": (1.0, 0), "elu": (1.0, 0), "celu": (1.0, 0),
    "hardtanh": (), "hardsigmoid": (), "threshold": (0.0, 1.0), "tanh": (), "sigmoid": (1.0, 0),
    "leaky_relu": (0.1, False, 1.0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_tensors(name: str) -> None:
    arguments = ARGUMENTS[name]
    function = getattr(ops, name)
    for wrong in (np.zeros(3, np.float32), None, 3, [1.0]):
        with pytest.raises(TypeError, match=f"{name}: (input|qx) must be a QTensor; got"):
            function(wrong, *arguments)
    per_channel = QTensor(
        np.zeros((2, 2), np.int8), qint8, np.array([0.1, 0.2]), np.array([0, 0]), per_channel_affine, 0
    )
    with pytest.raises(ValueError, match="per tensor"):
        function(per_channel, *arguments)
    packed = QTensor(np.zeros(2, np.uint8), quint4x2, 0.1, 0, shape=(4,))
    with pytest.raises(TypeError, match=r"must be quint8 or qint8 or qint32; got quint4x2"):
        function(packed, *arguments)


@pytest.mark.parametrize("name", ["hardswish", "elu", "celu", "sigmoid", "leaky_relu"])
def test_wrong_qparams(name: str) -> None:
    first = (0.1, False) if name == "leaky_relu" else ()
    prefix = "output_" if name in ("leaky_relu", "sigmoid") else ""

    def function(scale: Any, zero_point: Any) -> QTensor:
        return getattr(ops, name)(example(), *first, scale, zero_point)

    for scale in (0.0, -1.0, np.nan, np.inf, 1e300):
        with pytest.raises(ValueError, match=f"{name}: {prefix}scale must be"):
            function(scale, 0)
    for scale in ("1", None, True):
        with pytest.raises(TypeError, match=f"{name}: {prefix}scale must be a number"):
            function(scale, 0)
    for zero_point in (-1, 256, 2**70):
        with pytest.raises(ValueError, match=f"{name}: {prefix}zero_point must be in"):
            function(1.0, zero_point)
    for zero_point in (1.5, None, False):
        with pytest.raises(TypeError, match=f"{name}: {prefix}zero_point must be an int"):
            function(1.0, zero_point)


@pytest.mark.parametrize("name", ["hardtanh", "hardsigmoid", "leaky_relu"])
def test_in_place(name: str, level: str) -> None:
    function = getattr(quantnn.functional, name)
    for dtype in draw.DTYPES:
        base = np.arange(48, dtype=dtype.numpy).reshape(4, 12)
        x = QTensor(base[:, ::2], dtype, 0.5, 10)
        want = function(QTensor(base[:, ::2].copy(), dtype, 0.5, 10))
        assert function(x, inplace=True) is x
        assert_same(x.clone(), want)
        assert (base[:, 1::2] == np.arange(48).reshape(4, 12)[:, 1::2]).all()
    x = example()
    x.int_repr().flags.writeable = False
    with pytest.raises(ValueError, match=rf"{name}: input must be writable .*clone"):
        function(x, inplace=True)
    with pytest.raises(TypeError, match=f"{name}: inplace must be a bool"):
        function(x, inplace=1)


def test_leaky_relu_in_place_keeps_its_scale() -> None:
    with pytest.raises(ValueError, match="leaky_relu: inplace must be False with a scale"):
        quantnn.functional.leaky_relu(example(), 0.1, True, 1.0, 0)
    with pytest.warns(UserWarning, match="inplace=True is ignored"):
        ops.leaky_relu(example(), 0.1, True, 1.0, 0)


def test_wrong_numbers() -> None:
    with pytest.raises(ValueError, match="min or max must be a number; got None for both"):
        ops.clamp(example())
    with pytest.raises(ValueError, match="max must not be NaN"):
        ops.clamp(example(), 0.0, np.nan)
    with pytest.raises(TypeError, match="min must be a number"):
        ops.clamp(example(), "0")
    for alpha in (np.nan, np.inf, 1e39):
        with pytest.raises(ValueError, match="elu: alpha must be finite"):
            ops.elu(example(), 1.0, 0, alpha)
        with pytest.raises(ValueError, match="negative_slope must be finite"):
            quantnn.functional.leaky_relu(example(), alpha)
    with pytest.raises(ValueError, match="celu: alpha must not be 0"):
        ops.celu(example(), 1.0, 0, 0)
    with pytest.raises(ValueError, match="threshold: value must not be NaN"):
        ops.threshold(example(), 0.0, np.nan)


def test_qint32_bounds_saturate(level: str) -> None:
    x = QTensor(np.array([-(2**31), 0, 2**31 - 1], np.int32), qint32, 1e-3, 2**31 - 1)
    assert ops.clamp(x, -1e30, 1e30).int_repr().tolist() == [-(2**31), 0, 2**31 - 1]
    assert ops.relu(x).int_repr().tolist() == [2**31 - 1] * 3
