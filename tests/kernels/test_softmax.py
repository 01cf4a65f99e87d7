"""softmax against its reference and stored results of torch, and what it does with bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import quantnn
from quantnn.ops import _softmax as ops
from quantnn.tensor import QTensor, quint8

from ..data.elementwise import assert_same, load
from ..reference import draw
from ..reference import softmax as reference

DATA = Path(__file__).parents[1] / "data" / "softmax.npz"


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_reference(
    level: str, rng: np.random.Generator, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "_GRAIN", 1)
    quantnn.set_num_threads(threads)
    for i in range(60 if threads == 1 else 12):
        dtype = draw.DTYPES[i % 3]
        shape = draw.shape(rng, i % 5)
        _, x = draw.tensor(rng, None, shape, dtype, i % 2 == 0, most=3000)
        dim = int(rng.integers(-max(len(shape), 1), max(len(shape), 1)))
        qparams = float(rng.choice([1 / 256, 0.003])), draw.zero_point(rng, dtype)
        y = ops.softmax(x, dim, *qparams)
        assert y._ints.flags.c_contiguous
        assert (y.q_scale(), y.q_zero_point(), y.dtype) == (*qparams, dtype)
        if x.numel():
            want = reference.softmax(np.atleast_1d(x._ints), x._scale, x._zero_point, dtype, dim, *qparams)
            np.testing.assert_array_equal(y.int_repr(), want.reshape(shape), strict=True)


def test_equals_what_torch_gave(level: str) -> None:
    for case in load(DATA):
        assert_same(ops.softmax(*case.tensors, *case.arguments), case.want)


def test_extremes(level: str) -> None:
    for dtype in draw.DTYPES:
        ints = np.array([[dtype.qmin, dtype.qmax] * 60, [dtype.qmax] * 120], dtype.numpy)
        for scale in (1e-44, 1.0, 3e38):
            for out_scale in (1e-44, 1.0, 3e38):
                ops.softmax(QTensor(ints, dtype, scale, 0), 1, out_scale, dtype.qmax)
    x = QTensor(np.arange(8, dtype=np.uint8), quint8, 100.0, 0)
    assert ops.softmax(x, 0, 1 / 255, 0).int_repr().tolist() == [0] * 7 + [255]


def test_wrong_arguments() -> None:
    x = QTensor(np.zeros((2, 3), np.uint8), quint8, 0.5, 0)
    for dim in (-3, 2, 2**70):
        with pytest.raises(IndexError, match=r"softmax: dim must be in \[-2, 1\]"):
            ops.softmax(x, dim, 0.1, 0)
    with pytest.raises(TypeError, match="softmax: dim must be an int"):
        ops.softmax(x, 0.5, 0.1, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="softmax: output_scale must be"):
        ops.softmax(x, 0, 0.0, 0)
    with pytest.raises(ValueError, match="softmax: output_zero_point must be in"):
        ops.softmax(x, 0, 0.1, 256)
    with pytest.raises(TypeError, match="softmax: qx must be a QTensor"):
        ops.softmax(np.zeros(3, np.float32), 0, 0.1, 0)  # type: ignore[arg-type]
