"""Real networks, too large for this repository: ``QUANTNN_MODELS=folder pytest tests/test_models.py``.

The folder has ``speaker_lstm`` (the speaker embedding of PyPI's Resemblyzer 0.1.4) and ``filetype_bytes`` (the
file-type recogniser of PyPI's magika 1.0.3), both Apache-2.0: weights, inputs and torch's results as .npz, and for the
latter torch's int8 state dict. Their float parts are NumPy here.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import QTensor, qint8

FOLDER = Path(os.environ.get("QUANTNN_MODELS", "."))
pytestmark = pytest.mark.skipif("QUANTNN_MODELS" not in os.environ, reason="QUANTNN_MODELS is not set")


def read(model: str, name: str) -> dict[str, Any]:
    path = FOLDER / model / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    with np.load(path) as f:
        return dict(f)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) + np.float32(0.5) * np.tanh(x / 2)


def float_lstm(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """(B, T, I): one layer, float32."""
    n = w["lstm0.weight_hh_l0"].shape[1]
    h = c = np.zeros((len(x), n), np.float32)
    ih = x @ w["lstm0.weight_ih_l0"].T + w["lstm0.bias_ih_l0"]
    out = np.empty((*x.shape[:2], n), np.float32)
    for t in range(x.shape[1]):
        i, f, g, o = np.split(ih[:, t] + h @ w["lstm0.weight_hh_l0"].T + w["lstm0.bias_hh_l0"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        out[:, t] = h = sigmoid(o) * np.tanh(c)
    return out


class Speaker(quantnn.Module):
    """What follows the float layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = quantnn.dynamic.LSTM(256, 256, 2, batch_first=True)
        self.linear = quantnn.dynamic.Linear(256, 256)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        output, (h, _) = self.lstm(x)
        e = np.maximum(self.linear(h[-1]), 0)
        return e / np.linalg.norm(e, axis=1, keepdims=True), output


def test_speaker_lstm(level: str) -> None:
    packed, data = read("speaker_lstm", "int8_weights"), read("speaker_lstm", "data")
    net = Speaker()

    def weight(name: str) -> QTensor:
        return QTensor(packed[f"{name}.int_repr"], qint8, float(packed[f"{name}.scale"]), 0)

    names = [f"{what}_l{layer}" for layer in (0, 1) for what in ("ih", "hh")]
    net.lstm.set_weight_bias(
        {f"weight_{n}": weight(f"lstm.weight_{n}") for n in names}
        | {f"bias_{n}": packed[f"lstm.bias_{n}"] for n in names}
    )
    net.linear.set_weight_bias(weight("linear.weight"), packed["linear.bias"])
    embedding, output = net(float_lstm(data["mels"], read("speaker_lstm", "weights_float")))
    # The float layer here differs from torch's by 1e-6. An integer flips now and then, and over 160 steps that grows:
    # torch's own layers on this input are as far from torch's stored results.
    np.testing.assert_allclose(output[0, :3], data["lstm_out_int8_0"][:3], rtol=0, atol=2e-3)
    assert (embedding * data["emb_int8"]).sum(1).min() > 0.998
    assert (embedding * data["emb_float"]).sum(1).min() > 0.99
    likeness = embedding @ embedding.T
    pairs = np.triu(np.ones_like(likeness, bool), 1)
    same = data["speaker"][:, None] == data["speaker"]
    auc = (likeness[same & pairs][:, None] > likeness[~same & pairs]).mean()
    assert auc == pytest.approx(0.934, abs=0.005)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x**3)))


class FileType(quantnn.Module):
    def __init__(self, w: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.w = w
        self.emb = quantnn.Embedding(257, 64)
        self.quant, self.quant1 = (quantnn.Quantize(1.0, 0, quantnn.quint8) for _ in range(2))
        self.conv = quantnn.Conv1d(256, 512, 5)
        self.fc = quantnn.Linear(512, 214)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def forward(self, tokens: np.ndarray) -> np.ndarray:
        x = gelu(self.emb(tokens)).reshape(-1, 512, 256)
        x = self.norm(np.ascontiguousarray(x.swapaxes(1, 2)), "ln0")
        x = gelu(self.conv(self.quant(x.astype(np.float32))).dequantize())
        logits: np.ndarray = self.fc(self.quant1(self.norm(x.max(2), "ln1").astype(np.float32))).dequantize()
        return logits


def test_filetype_bytes() -> None:
    torch = pytest.importorskip("torch")
    data, net = read("filetype_bytes", "data"), FileType(read("filetype_bytes", "weights_float"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about its own storages
        state = torch.load(FOLDER / "filetype_bytes" / "int8_state_dict.pth", weights_only=True)
    net.load_state_dict({key: value for key, value in state.items() if not key.startswith("ln")})
    tokens = data["tokens"].astype(np.int64)
    logits = np.concatenate([net(tokens[i : i + 8]) for i in range(0, len(tokens), 8)])
    assert (logits.argmax(1) == data["labels"]).mean() >= 133 / 135
    assert (logits.argmax(1) == data["logits_int8"].argmax(1)).mean() >= 134 / 135
    # one last step of the output is what float32's other sums may change
    step = np.min(np.diff(np.unique(data["logits_int8"])))
    assert np.abs(logits - data["logits_int8"]).max() < 12 * step
