"""Write conv_transpose.npz: torch 2.13's outputs of the transposed convolutions.

    python -m tests.data.make_conv_transpose

Needs torch 2.13.0. Each case has the inputs, the weights and the parameters as arrays, and torch's integers.
"""

from __future__ import annotations

import numpy as np

from .make_linear import save, tensors

# (batch, channels, size), (output channels, kernel), stride, padding, output padding, dilation, groups
CASES = [
    ((1, 8, 5, 6), (12, 4, 4), 2, 1, 0, 1, 1),
    ((1, 70, 3, 17), (9, 2, 2), 2, 0, 0, 1, 1),
    ((2, 20, 4, 4), (17, 3, 3), 2, 1, 1, 1, 1),
    ((1, 5, 5, 4), (9, 3, 2), 3, 2, 2, 2, 1),
    ((1, 12, 4, 5), (20, 3, 3), 1, 1, 0, 1, 4),
    ((1, 13, 5, 5), (13, 4, 4), 2, 1, 0, 1, 13),
    ((2, 10, 20), (21, 5), 2, 2, 1, 1, 1),
    ((1, 64, 18), (6, 16), 8, 4, 0, 1, 1),
    ((1, 5, 3, 4, 5), (7, 3, 3, 3), 2, 1, 1, 1, 1),
    ((1, 4, 2, 4, 3), (4, 2, 2, 2), 2, 0, 0, 1, 2),
]


def main() -> None:
    """Write the file."""
    import torch

    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    ops = torch.ops.quantized
    rng = np.random.default_rng(2026)
    cases = []
    for i, (shape, (k, *kernel), stride, padding, output_padding, dilation, groups) in enumerate(CASES):
        dims = len(kernel)
        x_scale, w_scale = 2.0 ** -int(rng.integers(3, 7)), np.exp(rng.uniform(-6, -3, 1))
        taps = shape[1] // groups * np.prod(kernel) / stride**dims
        scale = float(x_scale * w_scale[0] * np.sqrt(taps) * 120)
        case = {
            "x": rng.integers(0, 256, shape).astype(np.uint8),
            "w": rng.integers(-128, 128, (shape[1], k // groups, *kernel)).astype(np.int8),
            "w_scale": w_scale,
            "w_zero_point": rng.integers(-20, 20, 1) * (i % 3 == 0),
            "meta": {
                "per_channel": False, "x_scale": x_scale, "x_zero_point": int(rng.integers(0, 100)), "scale": scale,
                "zero_point": int(rng.integers(0, 256)), "stride": stride, "padding": padding,
                "output_padding": output_padding, "dilation": dilation, "groups": groups,
            },
        }  # fmt: skip
        if i % 3:
            case["bias"] = (rng.standard_normal(k) * 30 * scale).astype(np.float32)
        x, w, bias = tensors(torch, case)
        lists = [[v] * dims for v in (stride, padding, output_padding, dilation)]
        packed = getattr(ops, f"conv_transpose{dims}d_prepack")(w, bias, *lists, groups)
        run = getattr(ops, f"conv_transpose{dims}d")
        case["y"] = run(x, packed, scale, case["meta"]["zero_point"]).int_repr().numpy()
        cases.append(case)
    save("conv_transpose.npz", cases)


if __name__ == "__main__":
    main()
