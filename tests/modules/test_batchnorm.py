"""BatchNorm2d and BatchNorm3d."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn.modules.batchnorm import BatchNorm2d, BatchNorm3d
from quantnn.ops import _normalization as ops
from quantnn.tensor import QTensor, quint8

CASES = ((BatchNorm2d, (2, 4, 3, 5), ops.batch_norm2d), (BatchNorm3d, (2, 4, 3, 5, 2), ops.batch_norm3d))


class Observer:
    """As much of an observer as from_float needs."""

    def __init__(self, scale: float, zero_point: int) -> None:
        self.result = np.array([scale], np.float32), np.array([zero_point])

    def calculate_qparams(self) -> Any:
        return self.result


def float_module(rng: np.random.Generator, **changes: Any) -> SimpleNamespace:
    w, b, m = rng.standard_normal((3, 4)).astype(np.float32)
    values = {
        "num_features": 4,
        "eps": 0.01,
        "momentum": 0.3,
        "weight": w,
        "bias": b,
        "running_mean": m,
        "running_var": rng.uniform(0.5, 2, 4).astype(np.float32),
        "activation_post_process": Observer(0.1, 20),
    }
    return SimpleNamespace(**{**values, **changes})


@pytest.mark.parametrize(("cls", "shape", "op"), CASES)
def test_from_float_and_state(cls: Any, shape: tuple[int, ...], op: Any, rng: np.random.Generator) -> None:
    f = float_module(rng)
    x = QTensor(rng.integers(0, 256, shape).astype(np.uint8), quint8, 0.05, 100)
    want = op(x, f.weight, f.bias, f.running_mean, f.running_var, 0.01, np.float32(0.1), 20)
    m = cls.from_float(f)
    assert (m.momentum, m.scale.dtype, m.scale.shape, m.zero_point.dtype) == (0.3, np.float32, (), np.int64)
    loaded = cls(4, 0.01)
    loaded.load_state_dict(m.state_dict())
    reference = cls.from_reference(f, 0.1, 20)
    for same in (m, loaded, reference, copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        y = same(x)
        np.testing.assert_array_equal(y.int_repr(), want.int_repr())
        assert (y.q_scale(), y.q_zero_point()) == (float(np.float32(0.1)), 20)


@pytest.mark.parametrize(("cls", "shape", "op"), CASES)
def test_default(cls: Any, shape: tuple[int, ...], op: Any) -> None:
    m = cls(4)
    name = f"Quantized{cls.__name__}"
    assert repr(m) == f"{name}(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
    state = m.state_dict()
    keys = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "scale", "zero_point"]
    assert list(state) == keys
    assert state._metadata == {"": {"version": 2}}
    assert [state[k].shape for k in keys] == [(4,)] * 4 + [()] * 3
    assert state["num_batches_tracked"].dtype == np.int64
    y = m(QTensor(np.full(shape, 7, np.uint8), quint8, 1.0, 0))
    assert (y.int_repr() == 7).all()
    assert y.int_repr().transpose((0, *range(2, len(shape)), 1)).flags.c_contiguous


def test_old_state() -> None:
    # version 1 had no num_batches_tracked; observed modules of torch keep scale and zero point in one dimension
    state = BatchNorm2d(4).state_dict()
    del state["num_batches_tracked"]
    state["scale"], state["zero_point"] = np.array([0.5], np.float32), np.array([3])
    with pytest.raises(ValueError, match="num_batches_tracked"):
        BatchNorm2d(4).load_state_dict(state)
    state._metadata[""] = {"version": 1}
    m = BatchNorm2d(4)
    m.load_state_dict(state)
    assert (m.scale.shape, m.scale.item(), m.zero_point.item()) == ((), 0.5, 3)


def test_fused_with_relu(rng: np.random.Generator) -> None:
    class BNReLU2d:
        activation_post_process = Observer(0.1, 20)

        def __getitem__(self, i: int) -> Any:
            return (float_module(rng), None)[i]

    assert BatchNorm2d.from_float(BNReLU2d()).zero_point.item() == 20


def test_bad_arguments(rng: np.random.Generator) -> None:
    for args, message in (((-1,), "num_features"), ((4, float("nan")), "eps"), ((4, -1.0), "eps")):
        with pytest.raises(ValueError, match=message):
            BatchNorm2d(*args)
    with pytest.raises(TypeError, match="num_features"):
        BatchNorm2d(4.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a batch norm"):
        BatchNorm2d.from_float(SimpleNamespace(activation_post_process=Observer(1, 0)))
    with pytest.raises(TypeError, match="observer"):
        BatchNorm2d.from_float(float_module(rng, activation_post_process=None))
    with pytest.raises(ValueError, match="bias=None"):
        BatchNorm2d.from_float(float_module(rng, bias=None))
    with pytest.raises(ValueError, match="scale"):
        BatchNorm2d.from_reference(float_module(rng), 0.0, 3)
    with pytest.raises(ValueError, match=r"must have shape \(3,\)"):
        BatchNorm2d(4)(QTensor(np.zeros((1, 3, 2, 2), np.uint8), quint8, 1.0, 0))
