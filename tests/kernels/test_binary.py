"""Binary operators against their reference and stored results of torch, and what they do with bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import _layout
from quantnn.ops import _binary as ops
from quantnn.tensor import QTensor, per_channel_affine, qint8, qint32, quint8

from ..data.elementwise import assert_same, load
from ..reference import binary as reference
from ..reference import draw
from ..reference.unary import memory_order

DATA = Path(__file__).parents[1] / "data" / "binary.npz"


def operand(x: QTensor) -> tuple[np.ndarray, float, int]:
    return x._ints, x._scale, x._zero_point


def example(ints: Any = (0, 9, 10, 90), dtype: Any = quint8) -> QTensor:
    return QTensor(np.array(ints, dtype.numpy), dtype, 0.5, 10)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)
    return int(request.param)


def test_add_and_mul_equal_the_reference(level: str, rng: np.random.Generator, threads: int) -> None:
    for i in range(60 if threads == 1 else 9):
        dtype = draw.DTYPES[i % 3]
        ties = i % 2 == 0
        shape = draw.shape(rng)
        other = shape if i % 4 < 2 else tuple(1 if rng.random() < 0.5 else n for n in shape)
        layout = str(rng.choice(["contiguous", "last"])) if i % 5 else None
        _, a = draw.tensor(rng, None, shape, dtype, ties, layout)
        _, b = draw.tensor(rng, None, other, dtype, ties, layout)
        if rng.random() < 0.3:
            a, b = b, a
        scale, zero_point = draw.scale(rng, ties), draw.zero_point(rng, dtype)
        for relu in (False, True):
            y = (ops.add_relu if relu else ops.add)(a, b, scale, zero_point)
            order = memory_order(y._ints)
            want = reference.add(operand(a), operand(b), scale, zero_point, dtype, order, relu)
            np.testing.assert_array_equal(y.int_repr(), want, strict=True)
            y = (ops.mul_relu if relu else ops.mul)(a, b, scale, zero_point)
            want = reference.mul(operand(a), operand(b), scale, zero_point, dtype, relu)
            np.testing.assert_array_equal(y.int_repr(), want, strict=True)


def test_scalars_equal_the_reference(level: str, rng: np.random.Generator, threads: int) -> None:
    for i in range(45 if threads == 1 else 9):
        dtype = draw.DTYPES[i % 3]
        _, a = draw.tensor(rng, None, draw.shape(rng), dtype, i % 2 == 0)
        number = float(rng.normal() * rng.choice([0, 1, 10, 100]))
        for name in ("add_scalar", "mul_scalar"):
            for relu in (False, True):
                y = getattr(ops, name + "_relu" * relu)(a, number)
                want, scale, zero_point = getattr(reference, name)(operand(a), number, dtype, relu)
                np.testing.assert_array_equal(y.int_repr(), want, strict=True)
                assert (y.q_scale(), y.q_zero_point()) == (scale, zero_point)


def test_cat_equals_the_reference(level: str, rng: np.random.Generator, threads: int) -> None:
    for i in range(45 if threads == 1 else 9):
        dtype = draw.DTYPES[i % 3]
        ties = i % 2 == 0
        rank = int(rng.integers(1, 6))
        shape = [min(n, 8) for n in draw.shape(rng, rank)]
        dim = int(rng.integers(rank))
        nhwc = rank == 4 and i % 3 == 0
        if nhwc:
            dim = 1
        tensors = []
        for _ in range(int(rng.integers(1, 4))):
            shape[dim] = int(rng.integers(0, 70 if nhwc else 9))
            tensors.append(draw.tensor(rng, None, tuple(shape), dtype, ties, "last" if nhwc else None)[1])
        nhwc = dim == 1 and rank == 4 and all(_layout.is_channels_last(t._ints) for t in tensors)
        scale, zero_point = draw.scale(rng, ties), draw.zero_point(rng, dtype)
        operands = [operand(x) for x in tensors]
        for relu in (False, True):
            y = (ops.cat_relu if relu else ops.cat)(tensors, dim, scale, zero_point)
            if nhwc:
                want = reference.cat_channels_last(operands, scale, zero_point, dtype, relu)
            else:
                want = reference.cat(operands, dim, scale, zero_point, dtype, relu)
            np.testing.assert_array_equal(y.int_repr(), want, strict=True)


def test_equals_what_torch_gave(level: str) -> None:
    for case in load(DATA):
        tensors = [case.tensors] if case.op.startswith("cat") else case.tensors
        assert_same(getattr(ops, case.op)(*tensors, *case.arguments), case.want)


def test_many_elements_on_two_threads(level: str, rng: np.random.Generator) -> None:
    for dtype in draw.DTYPES:
        a = QTensor(draw.integers(rng, (3, 5, 150, 99), dtype), dtype, 0.25, 3)
        b = QTensor(draw.integers(rng, (5, 1, 1), dtype), dtype, 0.125, 5)
        results = []
        for n in (1, 2):
            with quantnn.num_threads(n):
                results.append(
                    [
                        ops.add(a, a, 0.5, 7)._ints,
                        ops.add(a, b, 0.5, 7)._ints,
                        ops.mul(b, a, 0.5, 7)._ints,
                        ops.add_scalar(a, 1e6)._ints,
                        ops.mul_scalar(a, -1.0)._ints,
                        ops.cat([a, a], 1, 0.5, 7)._ints,
                    ]
                )
        for one, two in zip(*results, strict=True):
            np.testing.assert_array_equal(one, two)


def test_memory_format() -> None:
    plain = QTensor(np.zeros((2, 5, 3, 4), np.uint8), quint8, 0.1, 3)
    last = QTensor(np.zeros((2, 3, 4, 5), np.uint8).transpose(0, 3, 1, 2), quint8, 0.1, 3)
    channel = QTensor(np.zeros((1, 5, 1, 1), np.uint8), quint8, 0.1, 3)
    for function in (ops.add, ops.mul):
        assert function(plain, last, 1, 0)._ints.strides == plain._ints.strides
        assert function(last, plain, 1, 0)._ints.strides == last._ints.strides
        assert function(last, channel, 1, 0)._ints.strides == last._ints.strides
    # where torch's add resizes its output, the strides of the larger operand decide
    assert ops.add(channel, last, 1, 0)._ints.strides == last._ints.strides
    assert ops.mul(channel, last, 1, 0)._ints.strides == plain._ints.strides
    assert ops.cat([last, last], 2)._ints.strides == (120, 1, 20, 5)
    assert ops.cat([last, plain], 2)._ints.flags.c_contiguous


def test_repeated_operands(level: str) -> None:
    row = np.arange(5, dtype=np.uint8)
    wide = QTensor(np.broadcast_to(row, (7, 5)), quint8, 1.0, 0)
    tall = QTensor(np.broadcast_to(row[:, None], (5, 70)), quint8, 1.0, 0)
    one = QTensor(np.ones((1, 1, 1), np.uint8), quint8, 1.0, 0)
    np.testing.assert_array_equal(ops.add(wide, one, 1, 0).int_repr()[0], wide.int_repr() + 1)
    np.testing.assert_array_equal(ops.add(tall, one, 1, 0).int_repr()[0], tall.int_repr() + 1)
    np.testing.assert_array_equal(ops.mul(one, wide, 1, 0).int_repr()[0], wide.int_repr())
    strip = QTensor(np.broadcast_to(row[:1], (1, 5)), quint8, 1.0, 0)
    square = QTensor(np.zeros((3, 5), np.uint8), quint8, 1.0, 0)
    np.testing.assert_array_equal(ops.add(square, strip, 1, 9).int_repr(), 9)
    back = QTensor(np.arange(200, dtype=np.uint8)[::-1], quint8, 1.0, 0)
    assert ops.add(back, back, 2, 0).int_repr().tolist() == list(range(199, -1, -1))


def test_read_only_and_empty_and_scalar(level: str) -> None:
    for ints in ([], [[]], 200, [5]):
        x = example(ints)
        x._ints.flags.writeable = False
        for y in (
            ops.add(x, x, 1, 0),
            ops.mul(x, x, 1, 0),
            ops.add_scalar(x, 999.0),
            ops.mul_scalar(x, -1.0),
            ops.mul_scalar(x, 0.0),
        ):
            assert y.shape == x.shape
    empty = QTensor(np.zeros((0, 3), np.int8), qint8, 1.0, 0)
    assert ops.add(empty, example([1], qint8), 1, 0).shape == (0, 3)
    assert ops.cat([empty, empty], 0).shape == (0, 3)
    assert ops.cat([empty, empty], 1).shape == (0, 6)
    assert ops.cat([example([], quint8), example([[1]], quint8)], 1).shape == (1, 1)


def test_products_beyond_int32_saturate(level: str) -> None:
    for dtype in draw.DTYPES:
        high = QTensor(np.full(70, 100, dtype.numpy), dtype, 1e10, 0)
        low = QTensor(np.full(70, 0, dtype.numpy), dtype, 1e10, 100)
        for zero_point in (dtype.qmin, dtype.qmax):
            assert (ops.mul(high, high, 1e-10, zero_point).int_repr() == dtype.qmax).all()
            assert (ops.mul(high, low, 1e-10, zero_point).int_repr() == dtype.qmin).all()


def test_numbers() -> None:
    x = example()
    for number in (2, 2.0, np.float32(2), np.int64(2), np.array([2.0])):
        assert ops.mul_scalar(x, number).q_scale() == 1.0
        assert ops.add_scalar(x, number).q_zero_point() == 6
    for number in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="b must be finite"):
            ops.add_scalar(x, number)
        with pytest.raises(ValueError, match="b must be finite"):
            ops.mul_scalar(x, number)
    for wrong in ("2", None, True, [2.0], np.zeros(2)):
        with pytest.raises(TypeError, match="b must be a number"):
            ops.add_scalar(x, wrong)
    for number in (1e300, -1e300, 2.0**30):
        with pytest.raises(ValueError, match="must round to an int32"):
            ops.add_scalar(x, number)
    with pytest.raises(ValueError, match="the scale of the result must be"):
        ops.mul_scalar(x, 1e300)


def test_extreme_numbers(level: str) -> None:
    for dtype in draw.DTYPES:
        x = QTensor(np.array([dtype.qmin, 0, dtype.qmax] * 30, dtype.numpy), dtype, 1.0, dtype.qmax)
        for number in (2.0**31 - 1, -(2.0**31)):
            y = ops.add_scalar(x, number)
            want, scale, zero_point = reference.add_scalar(operand(x), number, dtype)
            np.testing.assert_array_equal(y.int_repr(), want)
            assert (y.q_scale(), y.q_zero_point()) == (scale, zero_point)


@pytest.mark.parametrize("name", ["add", "add_relu", "mul", "mul_relu"])
def test_wrong_operands(name: str) -> None:
    function = getattr(ops, name)
    x = example()
    for wrong in (np.zeros(3, np.float32), None, 3, [1.0]):
        with pytest.raises(TypeError, match=f"{name}: qa must be a QTensor"):
            function(wrong, x, 1.0, 0)
        with pytest.raises(TypeError, match=f"{name}: qb must be a QTensor"):
            function(x, wrong, 1.0, 0)
    with pytest.raises(TypeError, match=f"{name}: qb must have qa's dtype, quint8; got qint8"):
        function(x, example([1], qint8), 1.0, 0)
    with pytest.raises(ValueError, match=rf"{name}: .* broadcast; got \(4,\) and \(3,\)"):
        function(x, example([1, 2, 3]), 1.0, 0)
    per_channel = QTensor(
        np.zeros((2, 2), np.uint8), quint8, np.array([0.1, 0.2]), np.array([0, 0]), per_channel_affine, 0
    )
    with pytest.raises(ValueError, match="per tensor"):
        function(x, per_channel, 1.0, 0)
    for scale in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{name}: scale must be"):
            function(x, x, scale, 0)
    with pytest.raises(ValueError, match=f"{name}: zero_point must be in"):
        function(x, x, 1.0, 256)


def test_wrong_concatenations() -> None:
    x = example([[1, 2], [3, 4]])
    for wrong in (None, x, 3):
        with pytest.raises(TypeError, match="cat: qx must be a list or tuple"):
            ops.cat(wrong, 0)
    with pytest.raises(ValueError, match="at least one QTensor; got none"):
        ops.cat([], 0)
    with pytest.raises(TypeError, match=r"qx\[1\] must be a QTensor"):
        ops.cat([x, np.zeros((2, 2), np.float32)], 0)
    with pytest.raises(TypeError, match=r"qx\[1\] must have qx\[0\]'s dtype"):
        ops.cat([x, example([[1, 2]], qint32)], 0)
    with pytest.raises(ValueError, match=r"equal shapes except in dimension 1; got \(2, 2\) and \(1, 2\)"):
        ops.cat([x, example([[1, 2]])], 1)
    with pytest.raises(ValueError, match="equal shapes"):
        ops.cat([x, example([1, 2])], 0)
    with pytest.raises(ValueError, match="0-d"):
        ops.cat([example(1)], 0)
    for dim in (2, -3):
        with pytest.raises(IndexError, match=r"cat: dim must be in \[-2, 1\]"):
            ops.cat([x], dim)
    with pytest.raises(TypeError, match="dim must be an int"):
        ops.cat([x], 0.5)
    with pytest.raises(ValueError, match="cat: scale must be"):
        ops.cat([x], 0, -1.0, 0)
    with pytest.raises(ValueError, match="cat: zero_point must be"):
        ops.cat([x], 0, None, 256)


def test_plans_are_bounded() -> None:
    assert ops._plan.cache_info().maxsize is not None


def test_out_of_another_kind(rng: np.random.Generator) -> None:
    x = quantnn.make_per_tensor_quantized_tensor(rng.integers(0, 256, (2, 3), np.uint8), 0.5, 3)
    with pytest.raises(ValueError, match="add_out: out must be quint8 of shape"):
        quantnn.ops.add_out(x, x, quantnn.make_per_tensor_quantized_tensor(np.zeros(3, np.uint8), 0.5, 3))
    ints = np.zeros((4, 3), np.uint8)
    ints.flags.writeable = False
    with pytest.raises(ValueError, match="cat_out: the integers are read-only"):
        quantnn.ops.cat_out([x, x], 0, QTensor(ints, quint8, 0.5, 3))
    # in place, into strides of its own
    out = quantnn.make_per_tensor_quantized_tensor(np.zeros((3, 2), np.uint8), 0.25, 5).t()
    assert quantnn.ops.mul_out(x, x, out) is out
    np.testing.assert_array_equal(out.int_repr(), quantnn.ops.mul(x, x, 0.25, 5).int_repr())
    want = quantnn.ops.add_scalar(x, 2.0)
    assert quantnn.ops.add_scalar_out(x, 2.0, x).equal(want)
