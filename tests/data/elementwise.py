"""Stored results of torch's element-wise operators: writing and reading."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quantnn._layout import suggests_channels_last
from quantnn.tensor import QTensor, qint8, qint32, quint8

_DTYPES = {d.name: d for d in (quint8, qint8, qint32)}


class Stored(NamedTuple):
    """An operator, its tensors and other arguments, and torch's result."""

    op: str
    tensors: list[QTensor]
    arguments: list[Any]
    want: QTensor


def save(path: Path, cases: list[Stored]) -> None:
    """Write cases, whose tensors are contiguous or channels-last."""
    index: list[Any] = []
    ints: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES}
    for case in cases:
        tensors = []
        for x in (*case.tensors, case.want):
            name = x.dtype.name
            ints[name].append(np.ascontiguousarray(x._ints).reshape(-1))
            tensors.append(
                [name, x.shape, x.q_scale(), x.q_zero_point(), suggests_channels_last(x._ints.shape, x._ints.strides)]
            )
        index.append([case.op, tensors, case.arguments])
    arrays = {name: np.concatenate([np.empty(0, _DTYPES[name].numpy), *parts]) for name, parts in ints.items()}
    np.savez_compressed(path, index=np.array(json.dumps(index)), **arrays)


def load(path: Path) -> list[Stored]:
    """Read what `save` wrote."""
    cases = []
    with np.load(path) as file:
        left = {name: file[name] for name in _DTYPES}
        for op, described, arguments in json.loads(str(file["index"])):
            tensors = []
            for name, shape, scale, zero_point, last in described:
                n = math.prod(shape)
                ints, left[name] = left[name][:n].reshape(shape), left[name][n:]
                if last:
                    order = (0, *range(2, ints.ndim), 1)
                    ints = ints.transpose(order).copy().transpose(np.argsort(order))
                tensors.append(QTensor(ints, _DTYPES[name], scale, zero_point))
            cases.append(Stored(op, tensors[:-1], arguments, tensors[-1]))
    return cases


def from_torch(t: Any) -> QTensor:
    """A quantized torch tensor as a QTensor of the same strides."""
    dtype = _DTYPES[str(t.dtype).removeprefix("torch.")]
    return QTensor(t.int_repr().numpy(), dtype, t.q_scale(), t.q_zero_point())


def assert_same(got: QTensor, want: QTensor) -> None:
    """Equal integers, quantization parameters and memory order."""
    assert got.dtype is want.dtype
    assert got.q_scale() == want.q_scale()
    assert got.q_zero_point() == want.q_zero_point()
    np.testing.assert_array_equal(got.int_repr(), want.int_repr(), strict=True)
    for size, ours, theirs in zip(got.shape, got._ints.strides, want._ints.strides, strict=True):
        assert size == 1 or ours == theirs
