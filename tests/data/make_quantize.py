"""Record torch's results for tests/kernels/test_quantize.py: python tests/data/make_quantize.py (needs torch)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch


def main() -> None:
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    rng = np.random.default_rng(8)
    x = np.concatenate(
        [rng.standard_normal(192) * 60, rng.integers(-150, 150, 186) + 0.5, [0, -0.0, 3e9, -3e9, 1e30, -1e30]]
    )
    x = x.astype(np.float32)
    out = {"x": x, "scale": np.array([0.25, 0.0371, 1.0]), "zero_point": np.array([10, 101, 0])}
    out["scales"] = np.exp(rng.uniform(-4, 2, 8))
    out["zero_points"] = rng.integers(0, 15, 8)
    scales, zero_points = torch.from_numpy(out["scales"]), torch.from_numpy(out["zero_points"])
    rows = torch.from_numpy(x.reshape(8, -1))
    for dtype in ("quint8", "qint8", "qint32"):
        for i, (s, z) in enumerate(zip(out["scale"], out["zero_point"], strict=True)):
            q = torch.quantize_per_tensor(torch.from_numpy(x * np.float32(s)), s, z, getattr(torch, dtype))
            out[f"{dtype}_{i}"], out[f"{dtype}_{i}_floats"] = q.int_repr().numpy(), q.dequantize().numpy()
        c = torch.quantize_per_channel(rows, scales, zero_points, 0, getattr(torch, dtype))
        out[f"{dtype}_channels"], out[f"{dtype}_channels_floats"] = c.int_repr().numpy(), c.dequantize().numpy()
    rows = rows.clamp(-1e4, 1e4)  # beyond int32 torch's float zero points give garbage
    for dtype in ("quint4x2", "quint2x4"):
        c = torch.quantize_per_channel(rows, scales.float(), zero_points.float() / 2, 0, getattr(torch, dtype))
        out[f"{dtype}_channels"], out[f"{dtype}_channels_floats"] = c.int_repr().numpy(), c.dequantize().numpy()
    m = torch._make_per_tensor_quantized_tensor(torch.from_numpy(out["quint8_0"]).reshape(2, 3, 8, 8), 0.1, 3)
    m = m.contiguous(memory_format=torch.channels_last)
    for i, dims in enumerate(((2, 3), (0,), (1,), (0, 2), (0, 1, 2, 3))):
        out[f"mean_{i}"], out[f"std_{i}"] = m.mean(dims).int_repr().numpy(), m.std(dims).int_repr().numpy()
    np.savez_compressed(Path(__file__).parent / "quantize.npz", **out)


if __name__ == "__main__":
    main()
