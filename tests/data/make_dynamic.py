"""Write dynamic.npz: torch 2.13's outputs of dynamic linear layers, LSTM and GRU.

    python -m tests.data.make_dynamic

Needs torch 2.13.0 on a processor with AVX-512. The recurrent cases are such that no integer is near a tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.data.make_linear import save
from tests.torch.test_rnn import _may_flip

LINEARS = [(1, 1, 1), (3, 8, 8), (5, 17, 33), (2, 64, 65), (9, 130, 20), (1, 256, 10)]


def linears(torch: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Of each size, with weights of both dtypes."""
    ops, cases = torch.ops.quantized, []
    for i, (m, k, n) in enumerate(LINEARS):
        x = (rng.standard_normal((m, k)) * 10.0 ** rng.uniform(-3, 2)).astype(np.float32)
        relu = "_relu" if i % 2 else ""
        case: dict[str, Any] = {
            "x": x,
            "w": rng.integers(-128, 128, (n, k)).astype(np.int8),
            "w_scale": np.exp(rng.uniform(-6, -3, n)),
            "w_zero_point": rng.integers(-20, 20, n) * (i % 3 == 0),
            "meta": {"name": f"linear{relu}_dynamic", "reduce_range": i % 2 == 0},
        }
        half: dict[str, Any] = {
            "x": x, "w": rng.standard_normal((n, k)).astype(np.float16),
            "meta": {"name": f"linear{relu}_dynamic_fp16"},
        }  # fmt: skip
        bias = None
        if i % 3:
            case["bias"] = half["bias"] = rng.standard_normal(n).astype(np.float32)
            bias = torch.from_numpy(case["bias"])
        w = torch._make_per_channel_quantized_tensor(
            *(torch.from_numpy(case[key]) for key in ("w", "w_scale", "w_zero_point")), 0
        )
        run = getattr(ops, case["meta"]["name"])
        case["y"] = run(torch.from_numpy(x), ops.linear_prepack(w, bias), case["meta"]["reduce_range"]).numpy()
        packed = ops.linear_prepack_fp16(torch.from_numpy(half["w"].astype(np.float32)), bias)
        half["y"] = getattr(ops, half["meta"]["name"])(torch.from_numpy(x), packed).numpy()
        cases += [case, half]
    return cases


def layers(torch: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One layer in both directions."""
    cases = []
    for name in ("LSTM", "GRU", "LSTM", "GRU"):
        while True:
            torch.manual_seed(int(rng.integers(1 << 30)))
            sizes = (5, 6)
            mod = getattr(torch.nn, name)(*sizes, bidirectional=True)
            mod.qconfig = torch.ao.quantization.default_dynamic_qconfig
            mod = getattr(torch.ao.nn.quantized.dynamic, name).from_float(mod)
            x = rng.standard_normal((3, 4, 5)).astype(np.float32)
            y, last = mod(torch.from_numpy(x))
            y = y.detach().numpy()
            if not any(_may_flip(y[t, :, 6 * d : 6 * d + 6]) for t in range(3) for d in range(2)):
                break
        weights = mod.get_weight()
        cases.append(
            {
                "x": x, "y": y, "h": (last[0] if name == "LSTM" else last).detach().numpy(),
                **{key: w.int_repr().numpy() for key, w in weights.items()},
                **{key: b.detach().numpy() for key, b in mod.get_bias().items()},
                "meta": {"name": name, "sizes": sizes, "scales": {key: w.q_scale() for key, w in weights.items()}},
            }
        )  # fmt: skip
    return cases


def main() -> None:
    """Write the file."""
    import torch

    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    rng = np.random.default_rng(2026)
    save("dynamic.npz", linears(torch, rng) + layers(torch, rng))


if __name__ == "__main__":
    main()
