"""The float middle of attention against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.ops import _attention
from quantnn.tensor import QTensor, quint8

from ..reference import attention as reference


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_attention, "_GRAIN", 1)
    quantnn.set_num_threads(request.param)


def draw(rng: np.random.Generator, *shape: int) -> QTensor:
    return QTensor(
        rng.integers(0, 256, shape, np.uint8), quint8, float(rng.uniform(0.005, 0.02)), int(rng.integers(256))
    )


def close(got: np.ndarray, want: np.ndarray) -> None:
    """Equal but for the last bits of the C library's and NumPy's exponentials."""
    np.testing.assert_allclose(got, want, rtol=3e-7, atol=3e-7)


def test_attend(level: str, rng: np.random.Generator) -> None:
    for i in range(6):
        size, s, batch, per, d = (int(n) for n in rng.integers(1, 7, 5))
        s = 500 if i == 0 else s
        heads = batch * per
        q, k, v = draw(rng, size, heads, d), draw(rng, s, heads, d), draw(rng, s, heads, d)
        if i % 2:
            k = draw(rng, s, d, heads).transpose(1, 2)
        masks: list[Any] = [None, None]
        if rng.random() < 0.7:
            masks[0] = rng.normal(size=(int(rng.choice([1, heads])), size, s)).astype(np.float32)
        if rng.random() < 0.7:
            masks[1] = np.where(rng.random((batch, s)) < 0.3, np.float32(-np.inf), np.float32(0))
            masks[1][:, 0] = 0
        want, want_weights = reference.attend(*(x.dequantize() for x in (q, k, v)), *masks)
        got, weights = _attention.attend(q, k, v, *masks)
        close(weights, want_weights)
        close(got, want)


def test_module_takes_masks(level: str, rng: np.random.Generator) -> None:
    m = quantnn.MultiheadAttention(4, 2)
    weight = quantnn.quantize_per_tensor(np.eye(4, dtype=np.float32), 1.0, 0, quantnn.qint8)
    for linear in (m.linear_Q, m.linear_K, m.linear_V, m.out_proj):
        linear.set_weight_bias(weight, None)
        linear.scale, linear.zero_point = 0.05, 100
    m.quant_attn_output = quantnn.Quantize(0.05, 100, quint8)
    m.quant_attn_output_weights = quantnn.Quantize(1 / 255, 0, quint8)
    x = quantnn.quantize_per_tensor(rng.normal(size=(3, 2, 4)).astype(np.float32), 0.05, 100, quint8)
    # nothing is seen but the first position
    mask = np.zeros((3, 3), bool)
    mask[:, 1:] = True
    for options in ({"attn_mask": mask}, {"attn_mask": np.where(mask, np.float32(-np.inf), np.float32(0))},
                    {"key_padding_mask": mask[:2]}, {"attn_mask": np.stack([mask] * 4)}):  # fmt: skip
        y, weights = m(x, x, x, **options)
        np.testing.assert_array_equal(y.int_repr(), np.broadcast_to(x[0].int_repr(), (3, 2, 4)))
        np.testing.assert_array_equal(weights.int_repr(), np.broadcast_to(np.uint8([255, 0, 0]), (2, 3, 3)))
    assert m(x, x, x, need_weights=False)[1] is None
    assert m(x, x, x, average_attn_weights=False)[1].shape == (2, 2, 3, 3)
    with pytest.raises(ValueError, match="attn_mask must have shape"):
        m(x, x, x, attn_mask=mask[:2])
    with pytest.raises(NotImplementedError, match="is_causal"):
        m(x, x, x, is_causal=True)
    with pytest.raises(ValueError, match="as many sequences as query"):
        m(x, x[:, :1], x[:, :1])
