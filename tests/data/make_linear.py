"""Write linear.npz and conv.npz: torch 2.13's outputs of linear and the convolutions.

    python -m tests.data.make_linear

Needs torch 2.13.0. Each case has the inputs, the weights and the parameters as arrays, and torch's integers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent

# (batch, channels, size), (output channels, kernel), stride, padding, dilation, groups, largest activation
CONVS = [
    ((1, 8, 5, 6), (12, 3, 3), 1, 1, 1, 1, 255),
    ((2, 20, 4, 4), (33, 1, 1), 1, 0, 1, 1, 255),
    ((1, 3, 9, 11), (16, 7, 7), 2, 3, 1, 1, 255),
    ((1, 5, 9, 8), (9, 3, 2), 2, 1, 2, 1, 255),
    ((1, 12, 6, 6), (20, 3, 3), 1, 1, 1, 4, 255),
    ((1, 37, 5, 5), (37, 3, 3), 1, 1, 1, 37, 255),
    ((1, 40, 7, 6), (40, 3, 3), 2, 1, 1, 40, 127),
    ((2, 10, 20), (21, 5), 2, 2, 1, 1, 255),
    ((1, 1, 30), (6, 9), 1, 0, 1, 1, 255),
    ((1, 5, 3, 4, 5), (7, 3, 3, 3), 1, 1, 1, 1, 255),
    ((1, 4, 4, 4, 4), (4, 2, 2, 2), 1, 0, 1, 2, 255),
]
LINEARS = [(1, 1, 1), (3, 8, 8), (5, 17, 33), (2, 64, 65), (9, 130, 20), (1, 256, 10)]


def parameters(rng: np.random.Generator, shape: tuple[int, ...], i: int) -> dict[str, Any]:
    """A weight, a bias (in two of three cases) and output parameters."""
    n, k = shape[0], int(np.prod(shape[1:]))
    per_channel = i % 2 == 0
    w_scale = np.exp(rng.uniform(-6, -3, n if per_channel else 1))
    x_scale = float(2.0 ** -int(rng.integers(3, 7)))
    scale = float(x_scale * np.mean(w_scale) * np.sqrt(k) * 120)
    case = {
        "w": rng.integers(-128, 128, shape).astype(np.int8),
        "w_scale": w_scale,
        "w_zero_point": rng.integers(-20, 20, len(w_scale)) * (i % 3 == 0),
        "meta": {
            "per_channel": per_channel, "relu": i % 4 == 1, "x_scale": x_scale,
            "x_zero_point": int(rng.integers(0, 100)), "scale": scale, "zero_point": int(rng.integers(0, 256)),
        },
    }  # fmt: skip
    if i % 3:
        case["bias"] = (rng.standard_normal(n) * 30 * scale).astype(np.float32)
    return case


def tensors(torch: Any, case: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The case's input, weight and bias as torch has them."""
    meta = case["meta"]
    x = torch._make_per_tensor_quantized_tensor(torch.from_numpy(case["x"]), meta["x_scale"], meta["x_zero_point"])
    ints, scale, zero_point = (torch.from_numpy(case[k]) for k in ("w", "w_scale", "w_zero_point"))
    if meta["per_channel"]:
        w = torch._make_per_channel_quantized_tensor(ints, scale, zero_point, 0)
    else:
        w = torch._make_per_tensor_quantized_tensor(ints, float(scale), int(zero_point))
    return x, w, torch.from_numpy(case["bias"]) if "bias" in case else None


def save(name: str, cases: list[dict[str, Any]]) -> None:
    """One archive of all cases; the plain values as JSON."""
    arrays = {f"{i}.{key}": v for i, case in enumerate(cases) for key, v in case.items() if key != "meta"}
    np.savez_compressed(HERE / name, meta=json.dumps([case["meta"] for case in cases]), **arrays)


def main() -> None:
    """Write both files."""
    import torch

    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    ops = torch.ops.quantized
    rng = np.random.default_rng(2026)
    cases = []
    for i, (m, k, n) in enumerate(LINEARS):
        case = parameters(rng, (n, k), i)
        case["x"] = rng.integers(0, 256, (m, k)).astype(np.uint8)
        x, w, bias = tensors(torch, case)
        meta = case["meta"]
        run = ops.linear_relu if meta["relu"] else ops.linear
        case["y"] = run(x, ops.linear_prepack(w, bias), meta["scale"], meta["zero_point"]).int_repr().numpy()
        cases.append(case)
    save("linear.npz", cases)
    cases = []
    for i, (shape, (k, *kernel), stride, padding, dilation, groups, top) in enumerate(CONVS):
        dims = len(kernel)
        case = parameters(rng, (k, shape[1] // groups, *kernel), i)
        case["x"] = rng.integers(0, top + 1, shape).astype(np.uint8)
        meta = case["meta"]
        meta |= {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        x, w, bias = tensors(torch, case)
        geometry = ([stride] * dims, [padding] * dims, [dilation] * dims, groups)
        packed = getattr(ops, f"conv{dims}d_prepack")(w, bias, *geometry)
        run = getattr(ops, f"conv{dims}d_relu" if meta["relu"] else f"conv{dims}d")
        case["y"] = run(x, packed, meta["scale"], meta["zero_point"]).int_repr().numpy()
        cases.append(case)
    save("conv.npz", cases)


if __name__ == "__main__":
    main()
