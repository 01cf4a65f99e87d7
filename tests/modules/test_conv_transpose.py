"""ConvTranspose1d, ConvTranspose2d, ConvTranspose3d: construction, state, copies and bad input."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import quantnn
from tests.kernels.test_conv_transpose import random_weight
from tests.modules.test_conv import same

CLASSES = {1: quantnn.ConvTranspose1d, 2: quantnn.ConvTranspose2d, 3: quantnn.ConvTranspose3d}


def filled(rng: np.random.Generator, ndim: int, per_channel: bool) -> Any:
    module = CLASSES[ndim](4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    module.set_weight_bias(
        random_weight(rng, (4, 3, *[3] * ndim), per_channel), rng.standard_normal(6).astype(np.float32)
    )
    module.scale, module.zero_point = 0.25, 7
    return module


def test_repr() -> None:
    assert repr(quantnn.ConvTranspose2d(3, 4, 3)) == (
        "QuantizedConvTranspose2d(3, 4, kernel_size=(3, 3), stride=(1, 1), scale=1.0, zero_point=0)"
    )
    assert repr(quantnn.ConvTranspose1d(4, 4, 3, 2, 1, 1, 4, False, 2)) == (
        "QuantizedConvTranspose1d(4, 4, kernel_size=(3,), stride=(2,), scale=1.0, zero_point=0, padding=(1,), "
        "dilation=(2,), output_padding=(1,), groups=4, bias=False)"
    )
    assert quantnn.ConvTranspose3d(1, 1, 2).output_padding == (0, 0, 0)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_state_dict(rng: np.random.Generator, ndim: int, per_channel: bool) -> None:
    m = filled(rng, ndim, per_channel)
    state = m.state_dict()
    assert list(state) == ["weight", "bias", "scale", "zero_point"]
    assert dict(state._metadata) == {"": {"version": 1}}
    assert state["weight"].shape == (4, 3, *[3] * ndim)
    other = CLASSES[ndim](4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    other.load_state_dict(state)
    same(m, other, ndim)
    with pytest.raises(ValueError, match="size mismatch for weight"):
        CLASSES[ndim](6, 4, 3, groups=2).load_state_dict(state)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_copies(rng: np.random.Generator, ndim: int) -> None:
    m = filled(rng, ndim, True)
    for other in (copy.deepcopy(m), copy.copy(m), pickle.loads(pickle.dumps(m))):
        same(m, other, ndim)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: quantnn.ConvTranspose2d(0, 4, 3), ValueError, "in_channels must be at least 1"),
        (lambda: quantnn.ConvTranspose2d(4, 4, (3, 3, 3)), ValueError, "2 ints"),
        (lambda: quantnn.ConvTranspose2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible"),
        (lambda: quantnn.ConvTranspose2d(4, 4, 3, output_padding=-1), ValueError, "output_padding must be at least 0"),
        (lambda: quantnn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), ValueError, "padding_mode must be zeros"),
        (
            lambda: quantnn.ConvTranspose2d(4, 4, 3)(np.ones((1, 4, 5, 5), np.float32)),
            TypeError,
            "ConvTranspose2d: input must be",
        ),
        (lambda: quantnn.ConvTranspose2d.from_float(quantnn.Identity()), TypeError, "must be a ConvTranspose2d"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
