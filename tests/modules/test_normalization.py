"""LayerNorm, GroupNorm and the instance norms."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn.modules.normalization import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm
from quantnn.ops import _normalization as ops
from quantnn.tensor import QTensor, quint8

from .test_batchnorm import Observer

INSTANCE = ((InstanceNorm1d, 1), (InstanceNorm2d, 2), (InstanceNorm3d, 3))


def image(rng: np.random.Generator, shape: tuple[int, ...]) -> QTensor:
    return QTensor(rng.integers(0, 256, shape).astype(np.uint8), quint8, 0.05, 100)


def check(cls: Any, make: tuple[Any, ...], f: SimpleNamespace, x: QTensor, want: QTensor, rng: Any) -> None:
    """A module made in each way gives `want`; `make` are its arguments before weight and bias."""
    weight, bias = f.weight, f.bias
    m = cls.from_float(f)
    loaded = cls(*make, np.ones_like(weight), np.zeros_like(bias), 1.0, 0, f.eps)
    loaded.load_state_dict(m.state_dict())
    direct = cls(*make, weight, bias, np.array([0.1], np.float32), np.int64(20), f.eps)
    for same in (m, loaded, direct, copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        y = same(x)
        np.testing.assert_array_equal(y.int_repr(), want.int_repr())
        assert (y.q_scale(), y.q_zero_point()) == (float(np.float32(0.1)), 20)
    state = m.state_dict()
    assert list(state) == ["weight", "bias", "scale", "zero_point"]
    assert (state["scale"].dtype, state["zero_point"].dtype, state["scale"].shape) == (np.float32, np.int64, ())
    assert list(cls(*make, None, None, 0.1, 20).state_dict()) == ["scale", "zero_point"]


def parameters(rng: np.random.Generator, shape: Any) -> Any:
    return rng.standard_normal((2, *shape)).astype(np.float32)


def test_layer_norm(rng: np.random.Generator) -> None:
    w, b = parameters(rng, (4, 6))
    f = SimpleNamespace(
        normalized_shape=(4, 6), weight=w, bias=b, eps=0.01, elementwise_affine=True,
        activation_post_process=Observer(0.1, 20),
    )  # fmt: skip
    x = image(rng, (3, 4, 6))
    want = ops.layer_norm(x, (4, 6), w, b, 0.01, float(np.float32(0.1)), 20)
    check(LayerNorm, ([4, 6],), f, x, want, rng)
    np.testing.assert_array_equal(LayerNorm.from_reference(f, 0.1, 20)(x).int_repr(), want.int_repr())
    assert repr(LayerNorm(4, None, None, 0.1, 3)) == (
        "QuantizedLayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=False)"
    )
    assert LayerNorm(4, None, None, 0.1, 3).state_dict()._metadata == {"": {"version": 1}}


def test_group_norm(rng: np.random.Generator) -> None:
    w, b = parameters(rng, (6,))
    f = SimpleNamespace(
        num_groups=3, num_channels=6, weight=w, bias=b, eps=0.01, affine=True,
        activation_post_process=Observer(0.1, 20),
    )  # fmt: skip
    x = image(rng, (2, 6, 4, 3))
    check(GroupNorm, (3, 6), f, x, ops.group_norm(x, 3, w, b, 0.01, float(np.float32(0.1)), 20), rng)
    m = GroupNorm(2, 4, np.ones(4, np.float32), np.ones(4, np.float32), 0.1, 3)
    assert repr(m) == "QuantizedGroupNorm(2, 4, eps=1e-05, affine=True, bias=True)"
    assert m.state_dict()._metadata == {"": {"version": 1}}


@pytest.mark.parametrize(("cls", "n"), INSTANCE)
def test_instance_norm(cls: Any, n: int, rng: np.random.Generator) -> None:
    w, b = parameters(rng, (5,))
    f = SimpleNamespace(
        num_features=5, weight=w, bias=b, eps=0.01, momentum=0.1, affine=True, track_running_stats=False,
        activation_post_process=Observer(0.1, 20),
    )  # fmt: skip
    x = image(rng, (2, 5, 4, 3, 2)[: 2 + n])
    want = ops.instance_norm(x, w, b, 0.01, float(np.float32(0.1)), 20)
    check(cls, (5,), f, x, want, rng)
    np.testing.assert_array_equal(cls.from_reference(f, 0.1, 20)(x).int_repr(), want.int_repr())
    m = cls(5, w, b, 0.1, 3)
    text = "(5, eps=1e-05, momentum=0.1, affine=False, bias=True, track_running_stats=False)"
    assert repr(m) == f"QuantizedInstanceNorm{n}d{text}"
    assert m.state_dict()._metadata == {"": {"version": 2}}
    tracked = cls(5, None, None, 0.1, 3, track_running_stats=True).state_dict()
    assert list(tracked) == ["running_mean", "running_var", "num_batches_tracked", "scale", "zero_point"]


def test_bad_arguments() -> None:
    one = np.ones(4, np.float32)
    for message, call in (
        ("num_groups must divide", lambda: GroupNorm(3, 4, None, None, 0.1, 3)),
        ("num_groups must be at least 1", lambda: GroupNorm(0, 4, None, None, 0.1, 3)),
        ("weight must have shape", lambda: GroupNorm(2, 6, one, one, 0.1, 3)),
        ("bias must have shape", lambda: LayerNorm([2, 2], None, one, 0.1, 3)),
        ("normalized_shape", lambda: LayerNorm([], None, None, 0.1, 3)),
        ("scale", lambda: LayerNorm([4], one, one, float("nan"), 3)),
        ("zero_point", lambda: InstanceNorm2d(4, one, one, 0.1, 2**40)),
        (
            "zero_point",
            lambda: LayerNorm([4], None, None, 0.1, 300)(QTensor(np.zeros((1, 4), np.uint8), quint8, 1.0, 0)),
        ),
        ("eps", lambda: InstanceNorm1d(4, one, one, 0.1, 3, eps=float("inf"))),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    for message, call in (
        ("weight must be a float32", lambda: LayerNorm([4], np.ones(4), None, 0.1, 3)),
        ("scale", lambda: LayerNorm([4], None, None, None, 3)),  # type: ignore[arg-type]
        ("zero_point", lambda: LayerNorm([4], None, None, 0.1, 3.5)),  # type: ignore[arg-type]
        ("must be a LayerNorm", lambda: LayerNorm.from_reference(3, 0.1, 3)),
        ("must be a QTensor", lambda: LayerNorm([4], None, None, 0.1, 3)(one)),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_change_in_place_is_seen() -> None:
    x = QTensor(np.arange(8, dtype=np.uint8).reshape(2, 4, 1), quint8, 1.0, 0)
    for make in (
        lambda w, b: LayerNorm((4, 1), w.reshape(4, 1), b.reshape(4, 1), 0.1, 100),
        lambda w, b: GroupNorm(2, 4, w, b, 0.1, 100),
    ):
        m = make(np.ones(4, np.float32), np.zeros(4, np.float32))
        m(x)
        m.weight[...], m.bias[...] = 2, 3
        want = make(np.full(4, 2, np.float32), np.full(4, 3, np.float32))(x)
        np.testing.assert_array_equal(m(x).int_repr(), want.int_repr())
