"""matmul against its reference and stored results of torch, and what it does with bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import quantnn
from quantnn.ops import _matmul as ops
from quantnn.tensor import QTensor, qint8, qint32, quint8

from ..data.elementwise import assert_same, load
from ..reference import draw
from ..reference import matmul as reference

DATA = Path(__file__).parents[1] / "data" / "matmul.npz"

SHAPES = (
    ((5, 7), (7, 9)), ((13, 16), (16, 33)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 7, 3), (3, 3, 2)),
    ((4,), (4,)), ((2, 4), (4,)), ((4,), (3, 4, 2)), ((1, 50), (50, 1)), ((6, 385), (385, 17)), ((7, 800), (800, 3)),
    ((3, 1207), (1207, 2)), ((0, 4), (4, 3)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 1)),
)  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_reference(
    level: str, rng: np.random.Generator, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(threads)
    for i, (first, second) in enumerate(SHAPES):
        dtype = (quint8, qint8)[i % 2]
        ties = i % 4 < 2
        _, a = draw.tensor(rng, None, first, dtype, ties)
        _, b = draw.tensor(rng, None, second, dtype, ties)
        qparams = draw.scale(rng, ties) * max(1, first[-1]), draw.zero_point(rng, dtype)
        y = ops.matmul(a, b, *qparams)
        want = reference.matmul((a._ints, a._scale, a._zero_point), (b._ints, b._scale, b._zero_point), *qparams, dtype)
        np.testing.assert_array_equal(y.int_repr(), want.reshape(y.shape), strict=True)
        assert (y.q_scale(), y.q_zero_point(), y.dtype, y.shape) == (*qparams, dtype, want.shape)


def test_equals_what_torch_gave(level: str) -> None:
    for case in load(DATA):
        assert_same(ops.matmul(*case.tensors, *case.arguments), case.want)


def test_extremes(level: str) -> None:
    ints = np.array([[0, 255] * 5] * 3, np.uint8)
    for scale in (1e-44, 1.0, 3e38):
        for out_scale in (1e-44, 1.0, 3e38):
            a = QTensor(ints, quint8, scale, 128)
            ops.matmul(a, a.t(), out_scale, 255)


def test_wrong_operands() -> None:
    a = QTensor(np.zeros((2, 3), np.uint8), quint8, 0.5, 0)
    for shape in ((2, 3), (4,), (), (2, 2, 3)):
        b = QTensor(np.zeros(shape, np.uint8), quint8, 0.5, 0)
        with pytest.raises(ValueError, match="matmul: qa and qb must have"):
            ops.matmul(a, b, 1.0, 0)
    stack = QTensor(np.zeros((2, 2, 3), np.uint8), quint8, 0.5, 0)
    with pytest.raises(ValueError, match="matmul: qa and qb must have shapes"):
        ops.matmul(stack, QTensor(np.zeros((3, 3, 3), np.uint8), quint8, 0.5, 0), 1.0, 0)
    with pytest.raises(TypeError, match="qb must have qa's dtype, quint8; got qint8"):
        ops.matmul(a, QTensor(np.zeros((3, 2), np.int8), qint8, 0.5, 0), 1.0, 0)
    with pytest.raises(TypeError, match="qa must be quint8 or qint8; got qint32"):
        ops.matmul(QTensor(np.zeros((2, 3), np.int32), qint32, 0.5, 0), a, 1.0, 0)
    with pytest.raises(ValueError, match="matmul: scale must be"):
        ops.matmul(a, a.t(), 0.0, 0)
