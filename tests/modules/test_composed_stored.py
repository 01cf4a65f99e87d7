"""The static LSTM, attention and the fused operators give torch's stored results, with torch's stored weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, ops
from quantnn.tensor import per_channel_affine, qint8, quint8


@pytest.fixture(scope="module")
def stored() -> Iterator[dict[str, np.ndarray]]:
    with np.load(Path(__file__).parent.parent / "data" / "composed.npz") as archive:
        yield dict(archive)


def quantized(stored: dict[str, np.ndarray], name: str) -> QTensor:
    ints, scale, zero_point = (stored[f"{name}.{k}"] for k in ("ints", "scale", "zero_point"))
    dtype = quint8 if ints.dtype == np.uint8 else qint8
    if scale.ndim:
        return QTensor(ints, dtype, scale, zero_point, per_channel_affine, 0)
    return QTensor(ints, dtype, float(scale), int(zero_point))


def state(stored: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    """A state dict: three arrays make a weight, a fourth is its bias."""
    entries: dict[str, Any] = {}
    for key, value in stored.items():
        if not key.startswith(f"{name}.state."):
            continue
        short = key.removeprefix(f"{name}.state.")
        if "_packed_params._packed_params" not in short:
            entries[short] = value
        elif short.endswith(".ints"):
            short, key = short.removesuffix(".ints"), key.removesuffix(".ints")
            entries[short] = (quantized(stored, key), stored[f"{key}.bias"])
            entries[short.removesuffix("_packed_params") + "dtype"] = qint8
    return entries


def same(got: QTensor, stored: dict[str, np.ndarray], name: str) -> None:
    want = quantized(stored, name)
    assert (got.q_scale(), got.q_zero_point()) == (want.q_scale(), want.q_zero_point())
    np.testing.assert_array_equal(got.int_repr(), want.int_repr())


def test_lstm(stored: dict[str, np.ndarray], level: str) -> None:
    module = quantnn.LSTM(6, 5, 2, bidirectional=True)
    module.load_state_dict(state(stored, "lstm"))
    y, (h, c) = module(quantized(stored, "x"))
    for name, value in (("y", y), ("h", h), ("c", c)):
        same(value, stored, f"lstm.{name}")


def test_attention(stored: dict[str, np.ndarray], level: str) -> None:
    module = quantnn.MultiheadAttention(6, 2)
    module.load_state_dict(state(stored, "attention"))
    x = quantized(stored, "x")
    y, weights = module(x, x, x)
    same(y, stored, "attention.y")
    same(weights, stored, "attention.weights")


def test_fused(stored: dict[str, np.ndarray], level: str) -> None:
    x, packed = quantized(stored, "x")[0], ops.linear_prepack(quantized(stored, "linear"), stored["linear.bias"])
    same(ops.linear_leaky_relu(x, packed, 0.02, 50, 0.2), stored, "linear_leaky_relu")
    same(ops.linear_tanh(x, packed, 1 / 128, 128), stored, "linear_tanh")
    image = quantized(stored, "image")
    conv = ops.conv2d_prepack(quantized(stored, "conv"), stored["conv.bias"], 1, 1, 1, 1)
    same(ops.conv2d_add(image, image, conv, 0.05, 90), stored, "conv2d_add")
    same(ops.conv2d_add_relu(image, image, conv, 0.05, 90), stored, "conv2d_add_relu")
