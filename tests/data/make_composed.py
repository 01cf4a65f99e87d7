"""Write composed.npz: torch 2.13's static LSTM and attention, with their weights, and its fused operators.

    python -m tests.data.make_composed

Needs torch 2.13.0. A module is stored as its state dict: a quantized tensor as integers, scales and zero points.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch


def quantized(x: Any) -> dict[str, np.ndarray]:
    if x.qscheme() == torch.per_tensor_affine:
        scale, zero_point = np.float64(x.q_scale()), np.int64(x.q_zero_point())
    else:
        scale, zero_point = x.q_per_channel_scales().numpy(), x.q_per_channel_zero_points().numpy()
    return {"ints": x.int_repr().numpy(), "scale": np.asarray(scale), "zero_point": np.asarray(zero_point)}


def state(module: Any) -> dict[str, np.ndarray]:
    arrays = {}
    for key, value in module.state_dict().items():
        if isinstance(value, tuple):
            weight, bias = value
            arrays.update({f"{key}.{k}": v for k, v in quantized(weight).items()})
            arrays[f"{key}.bias"] = bias.detach().numpy()
        elif isinstance(value, torch.Tensor):
            arrays[key] = value.detach().numpy()
    return arrays


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    quantization = torch.ao.quantization
    qconfig = quantization.QConfig(
        activation=quantization.MinMaxObserver.with_args(quant_min=0, quant_max=127),
        weight=quantization.default_per_channel_weight_observer,
    )
    arrays: dict[str, np.ndarray] = {}

    def store(prefix: str, values: dict[str, np.ndarray]) -> None:
        arrays.update({f"{prefix}.{k}": v for k, v in values.items()})

    with torch.no_grad():
        x = torch.quantize_per_tensor(torch.randn(5, 3, 6), 0.03, 60, torch.quint8)
        store("x", quantized(x))

        lstm = torch.nn.LSTM(6, 5, 2, bidirectional=True).eval()
        lstm.qconfig = qconfig
        observed = torch.ao.nn.quantizable.LSTM.from_float(lstm)
        observed(torch.randn(5, 3, 6))
        lstm = torch.ao.nn.quantized.LSTM.from_observed(observed)
        store("lstm.state", state(lstm))
        y, (h, c) = lstm(x)
        for name, value in (("y", y), ("h", h), ("c", c)):
            store(f"lstm.{name}", quantized(value))

        attention = torch.nn.MultiheadAttention(6, 2).eval()
        attention.qconfig = qconfig
        observed = torch.ao.nn.quantizable.MultiheadAttention.from_float(attention)
        observed(*[torch.randn(5, 3, 6)] * 3)
        attention = torch.ao.nn.quantized.MultiheadAttention.from_observed(observed)
        store("attention.state", state(attention))
        y, weights = attention(x, x, x)
        store("attention.y", quantized(y))
        store("attention.weights", quantized(weights))

        torch.backends.quantized.engine = "onednn"
        weight = torch.quantize_per_tensor(torch.randn(8, 6) * 0.3, 0.01, 0, torch.qint8)
        bias = torch.randn(8)
        store("linear", {**quantized(weight), "bias": bias.numpy()})
        packed = torch.ops.quantized.linear_prepack(weight, bias)
        store("linear_leaky_relu", quantized(torch.ops.quantized.linear_leaky_relu(x[0], packed, 0.02, 50, 0.2)))
        store("linear_tanh", quantized(torch.ops.quantized.linear_tanh(x[0], packed, 1 / 128, 128)))

        image = torch.quantize_per_tensor(torch.randn(1, 4, 6, 5), 0.03, 60, torch.quint8)
        weight = torch.quantize_per_tensor(torch.randn(4, 4, 3, 3) * 0.3, 0.01, 0, torch.qint8)
        bias = torch.randn(4)
        store("image", quantized(image))
        store("conv", {**quantized(weight), "bias": bias.numpy()})
        for name in ("conv2d_add", "conv2d_add_relu"):
            # its first use decides what weights can be used for
            packed = torch.ops.quantized.conv2d_prepack(weight, bias, [1, 1], [1, 1], [1, 1], 1)
            addend = image.contiguous(memory_format=torch.channels_last).clone(memory_format=torch.channels_last)
            store(name, quantized(getattr(torch.ops.quantized, name)(image, addend, packed, 0.05, 90)))
    path = Path(__file__).with_name("composed.npz")
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
