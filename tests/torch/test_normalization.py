"""Batch, layer, group and instance normalization against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import tensor
from quantnn.modules import batchnorm, normalization
from quantnn.modules.utils import from_torch
from quantnn.ops import _normalization as ops

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

RANGES = {"quint8": (0, 255), "qint8": (-128, 127), "qint32": (-1000, 1000)}
NUMPY = {"quint8": np.uint8, "qint8": np.int8, "qint32": np.int32}


def scale_of(rng: np.random.Generator) -> float:
    if rng.random() < 0.3:  # many ties
        return float(2.0 ** rng.integers(-8, 2))
    return float(np.exp(rng.uniform(np.log(1e-3), np.log(0.5))))


def pair(rng: np.random.Generator, torch: Any, shape: tuple[int, ...], dtype: str, channels_last: bool) -> Any:
    """The same random tensor for torch and for quantnn, with the same strides."""
    lo, hi = RANGES[dtype]
    if dtype == "qint32" or np.prod(shape[2:]) >= 512:  # torch adds squares in float32: exact up to 2**24
        hi = min(hi, int((2**24 / max(1, np.prod(shape))) ** 0.5))
        lo = max(lo, -hi)
    if rng.random() < 0.3:  # a narrow range makes the variance small
        lo = int(rng.integers(lo, hi + 1))
        hi = min(hi, lo + int(rng.integers(0, 6)))
    ints = rng.integers(lo, hi + 1, shape).astype(NUMPY[dtype])
    scale, zero_point = scale_of(rng), int(rng.integers(RANGES[dtype][0], RANGES[dtype][1] + 1))
    if channels_last:
        ints = np.ascontiguousarray(np.moveaxis(ints, 1, -1))
        ints = np.moveaxis(ints, -1, 1)
    t = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), scale, zero_point)
    return t, tensor.QTensor(ints, getattr(tensor, dtype), scale, zero_point)


def parameters(rng: np.random.Generator, shape: Any) -> np.ndarray:
    if rng.random() < 0.3:
        return (rng.integers(-8, 9, shape) / 4).astype(np.float32)
    return rng.standard_normal(shape).astype(np.float32)


def compare(torch: Any, want: Any, got: Any) -> tuple[int, int]:
    a, b = want.int_repr(), got.int_repr()
    assert tuple(a.shape) == b.shape
    assert [s for s, n in zip(a.stride(), a.shape, strict=True) if n > 1] == [
        s // b.itemsize for s, n in zip(b.strides, b.shape, strict=True) if n > 1
    ]
    assert (want.q_scale(), want.q_zero_point()) == (got.q_scale(), got.q_zero_point())
    assert str(want.dtype) == repr(got.dtype)
    return b.size, int((a.numpy() != b).sum())


def output(rng: np.random.Generator, dtype: str) -> tuple[float, int]:
    lo, hi = RANGES[dtype]
    if dtype == "qint32" and rng.random() < 0.5:  # shows the float32 bits before quantization
        return 2.0**-27, 0
    return scale_of(rng), int(rng.integers(lo, hi + 1))


def batch_norm(name: str, rank: tuple[int, ...]) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        dtype = str(rng.choice(["quint8", "qint8", "qint32"]))
        n, c = int(rng.integers(1, 4)), int(rng.integers(1, 80))
        spatial = [int(rng.integers(1, 6)) for _ in range(int(rng.choice(rank)) - 2)]
        qx, x = pair(rng, torch, (n, c, *spatial), dtype, len(spatial) > 0 and rng.random() < 0.5)
        w, b, m = (parameters(rng, c) for _ in range(3))
        v, eps = rng.uniform(0.1, 3, c).astype(np.float32), float(rng.choice([1e-5, 1e-3]))
        if rng.random() < 0.3:
            m, v, eps = np.zeros(c, np.float32), np.ones(c, np.float32), 0.0
        function = name + str(rng.choice(["", "_relu"]))
        so, zo = output(rng, dtype)
        want = getattr(torch.ops.quantized, function)(qx, *map(torch.from_numpy, (w, b, m, v)), eps, so, zo)
        return compare(torch, want, getattr(ops, function)(x, w, b, m, v, eps, so, zo))

    return case


def affine(rng: np.random.Generator, torch: Any, shape: Any) -> Any:
    """Weight and bias, each of them sometimes missing, for torch and for quantnn."""
    arrays = [None if rng.random() < 0.2 else parameters(rng, shape) for _ in range(2)]
    return [None if a is None else torch.from_numpy(a) for a in arrays], arrays


def layer_norm(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    dtype = str(rng.choice(["quint8", "qint8", "qint32"]))
    shape = (*(int(n) for n in rng.integers(1, 7, rng.integers(0, 3))), int(rng.integers(1, 200)))
    normalized = shape[-int(rng.integers(1, len(shape) + 1)) :]
    qx, x = pair(rng, torch, shape, dtype, len(shape) > 2 and rng.random() < 0.3)
    theirs, ours = affine(rng, torch, normalized)
    eps, (so, zo) = float(rng.choice([1e-5, 1e-3])), output(rng, dtype)
    want = torch.ops.quantized.layer_norm(qx, list(normalized), *theirs, eps, so, zo)
    return compare(torch, want, ops.layer_norm(x, normalized, *ours, eps, so, zo))


def group_norm(instance: bool) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        dtype = str(rng.choice(["quint8", "qint8", "qint32"]))
        groups = int(rng.integers(1, 5))
        channels = groups * int(rng.choice([rng.integers(1, 10), rng.integers(10, 40), 32, 64]))
        spatial = [int(rng.integers(1, 7)) for _ in range(int(rng.integers(1, 4)))]
        if len(spatial) == 2 and rng.random() < 0.1:
            spatial = [23, 24]
        batch = int(rng.integers(1, 3))
        if spatial == [1, 1] and (instance or groups == channels):  # groups of one: torch leaves the second image unset
            batch = 1
        qx, x = pair(rng, torch, (batch, channels, *spatial), dtype, rng.random() < 0.5)
        theirs, ours = affine(rng, torch, channels)
        eps, (so, zo) = float(rng.choice([1e-5, 1e-3])), output(rng, dtype)
        if instance:
            want = torch.ops.quantized.instance_norm(qx, *theirs, eps, so, zo)
            return compare(torch, want, ops.instance_norm(x, *ours, eps, so, zo))
        want = torch.ops.quantized.group_norm(qx, groups, *theirs, eps, so, zo)
        return compare(torch, want, ops.group_norm(x, groups, *ours, eps, so, zo))

    return case


#: Each draws one random case, runs both and returns (elements, mismatches).
CASES = {
    "batch_norm": batch_norm("batch_norm", (4,)),
    "batch_norm1d": batch_norm("batch_norm1d", (2, 3)),
    "batch_norm2d": batch_norm("batch_norm2d", (4,)),
    "batch_norm3d": batch_norm("batch_norm3d", (5,)),
    "layer_norm": layer_norm,
    "group_norm": group_norm(False),
    "instance_norm": group_norm(True),
}


@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    for _ in range(n_cases):
        _, wrong = CASES[name](rng, torch, quantnn)
        assert wrong == 0


MODULES = {
    "BatchNorm2d": ((5,), {}, (2, 5, 4, 3)),
    "BatchNorm3d": ((5,), {}, (2, 5, 4, 3, 2)),
    "LayerNorm": (([4, 6],), {}, (3, 4, 6)),
    "GroupNorm": ((2, 6), {}, (2, 6, 5, 5)),
    "InstanceNorm1d": ((5,), {"affine": True}, (2, 5, 7)),
    "InstanceNorm2d": ((5,), {}, (2, 5, 7, 3)),
    "InstanceNorm3d": ((5,), {"affine": True}, (2, 5, 7, 3, 2)),
}


@pytest.mark.parametrize("name", MODULES)
def test_from_float(name: str, torch: Any) -> None:
    args, kwargs, shape = MODULES[name]
    generator = torch.Generator().manual_seed(0)
    floats = getattr(torch.nn, name)(*args, **kwargs).eval()
    for p in floats.parameters():
        p.data.normal_(generator=generator)
    if name.startswith("Batch"):
        floats.running_mean.normal_(generator=generator)
        floats.running_var.uniform_(0.5, 2, generator=generator)
    floats.activation_post_process = torch.ao.quantization.MinMaxObserver()
    x = torch.randn(shape, generator=generator)
    floats.activation_post_process(floats(x))
    theirs = getattr(torch.ao.nn.quantized, name).from_float(floats)
    cls = getattr(batchnorm if name.startswith("Batch") else normalization, name)
    ours = cls.from_float(floats)
    if not name.startswith("Instance"):  # torch puts `affine` into the place of `momentum`
        assert repr(ours) == repr(theirs)
    qx = torch.quantize_per_tensor(x, 0.03, 100, torch.quint8)
    assert compare(torch, theirs(qx), ours(from_torch(qx)))[1] == 0
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    assert dict(a._metadata) == dict(b._metadata)
    for key, value in a.items():
        np.testing.assert_array_equal(value, b[key].numpy().reshape(value.shape))
    ours.load_state_dict(b)
    assert compare(torch, theirs(qx), ours(from_torch(qx)))[1] == 0
