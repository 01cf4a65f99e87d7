"""Pooling modules: they are their function, with torch's attributes and repr."""

from __future__ import annotations

import numpy as np
import pytest

from quantnn.modules.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from quantnn.ops import _pool
from quantnn.tensor import QTensor, make_per_tensor_quantized_tensor


@pytest.fixture
def x(rng: np.random.Generator) -> QTensor:
    return make_per_tensor_quantized_tensor(rng.integers(0, 256, (2, 5, 9, 8)).astype(np.uint8), 0.25, 17)


def test_repr() -> None:
    assert repr(MaxPool2d(3, stride=2)) == "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(MaxPool2d((3, 2), padding=(1, 0), dilation=2, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=(3, 2), stride=(3, 2), padding=(1, 0), dilation=2, ceil_mode=True)"
    )
    assert repr(AvgPool2d((2, 3), padding=1)) == "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=1)"
    assert repr(AdaptiveAvgPool2d((None, 2))) == "AdaptiveAvgPool2d(output_size=(None, 2))"


def test_like_functions(x: QTensor) -> None:
    pairs = [
        (MaxPool2d(3, 2, 1, 1, False, True)(x), _pool.max_pool2d(x, 3, 2, 1, 1, True)),
        (AvgPool2d(3, 2, 1, True, False, 5)(x), _pool.avg_pool2d(x, 3, 2, 1, True, False, 5)),
        (AdaptiveAvgPool2d((None, 2))(x), _pool.adaptive_avg_pool2d(x, (None, 2))),
    ]
    y = x[:, :, :8].unflatten(2, (2, 4))
    pairs += [
        (MaxPool1d(3, 2, 1)(x[0]), _pool.max_pool1d(x[0], 3, 2, 1)),
        (MaxPool3d((2, 3, 1), 2, (1, 1, 0))(y), _pool.max_pool3d(y, (2, 3, 1), 2, (1, 1, 0))),
        (AvgPool3d((2, 3, 1), 2, 0, True)(y), _pool.avg_pool3d(y, (2, 3, 1), 2, 0, True)),
        (AdaptiveAvgPool3d((None, 2, 3))(y), _pool.adaptive_avg_pool3d(y, (None, 2, 3))),
    ]
    for module, function in pairs:
        np.testing.assert_array_equal(module.int_repr(), function.int_repr())
        assert (module.q_scale(), module.q_zero_point()) == (0.25, 17)


def test_no_state() -> None:
    assert len(MaxPool2d(2).state_dict()) == 0
    assert len(AvgPool2d(2).state_dict()) == 0
    assert len(AdaptiveAvgPool2d(1).state_dict()) == 0


def test_return_indices(x: QTensor) -> None:
    module = MaxPool2d(2, return_indices=True)
    with pytest.raises(NotImplementedError, match="return_indices"):
        module(x)


def test_float() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    np.testing.assert_array_equal(MaxPool2d(2)(image), np.array([[[5, 7], [13, 15]]], np.float32))
    with pytest.raises(TypeError, match="avg_pool2d: input must be a QTensor"):
        AvgPool2d(2)(image)
