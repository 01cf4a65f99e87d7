"""A small convolutional network for handwritten digits: an example of a network written with quantnn.

Trained and quantized with torch (eager mode, engine fbgemm); network.npz has the arrays of its state dict:

- ``quant.scale``, ``quant.zero_point``: of the quantized input;
- for each of conv1, conv2, conv3, fc1 and fc2: ``<layer>.weight`` (int8, in torch's shape) with
  ``<layer>.weight_scale`` (float32) and ``<layer>.weight_zero_point`` (int64, all 0) of every output channel,
  ``<layer>.bias`` (float32), and ``<layer>.scale`` and ``<layer>.zero_point`` of the layer's output.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np

import quantnn


class DigitNet(quantnn.Module):
    """Three convolutions and two linear layers: 28x28 grey pixels in, ten logits out."""

    def __init__(self, scale: float, zero_point: int) -> None:
        super().__init__()
        self.quant = quantnn.Quantize(scale, zero_point, quantnn.quint8)
        self.conv1 = quantnn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = quantnn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = quantnn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.fc1 = quantnn.Linear(64 * 4 * 4, 64)
        self.fc2 = quantnn.Linear(64, 10)
        self.relu = quantnn.ReLU()
        self.pool = quantnn.MaxPool2d(2)
        self.flatten = quantnn.Flatten()
        self.dequant = quantnn.DeQuantize()

    def forward(self, x: np.ndarray) -> np.ndarray:
        x = self.quant(x)  # float32 becomes quint8
        x = self.pool(self.relu(self.conv1(x)))  # (N, 16, 14, 14)
        x = self.pool(self.relu(self.conv2(x)))  # (N, 32, 7, 7)
        x = self.relu(self.conv3(x))  # (N, 64, 4, 4)
        x = self.relu(self.fc1(self.flatten(x)))  # (N, 64)
        x = self.fc2(x)  # (N, 10)
        return self.dequant(x)  # type: ignore[no-any-return]


def load_network() -> DigitNet:
    """The trained network."""
    with files(__package__).joinpath("network.npz").open("rb") as f:
        arrays: dict[str, Any] = dict(np.load(f))
    net = DigitNet(arrays["quant.scale"], arrays["quant.zero_point"])
    for name in ("conv1", "conv2", "conv3", "fc1", "fc2"):
        weight = quantnn.make_per_channel_quantized_tensor(
            arrays[f"{name}.weight"],
            arrays[f"{name}.weight_scale"],
            arrays[f"{name}.weight_zero_point"],
            axis=0,
        )
        layer = getattr(net, name)
        layer.set_weight_bias(weight, arrays[f"{name}.bias"])
        layer.scale = float(arrays[f"{name}.scale"])
        layer.zero_point = int(arrays[f"{name}.zero_point"])
    net.eval()
    return net


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """200 digits that the network was not trained on: (200, 28, 28) uint8 pixels and (200,) uint8 labels."""
    with files(__package__).joinpath("digits.npz").open("rb") as f:
        arrays = np.load(f)
        return arrays["images"], arrays["labels"]


def normalize(images: np.ndarray) -> np.ndarray:
    """Bytes of (N, 28, 28) pixels as the (N, 1, 28, 28) float32 that the network was trained with."""
    x = (images.astype(np.float32) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    return x[:, None]
