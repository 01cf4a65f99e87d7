"""Write pool.npz and pool_1d_3d.npz: torch 2.13's pooling results.

    python -m tests.data.make_pool

Needs torch 2.13.0. Each case has the input's integers, torch's, and the arguments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent

# name, shape, arguments
CASES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("max_pool2d", (1, 19, 7, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", (1, 3, 9, 8), {"kernel_size": [3, 2], "dilation": [2, 3], "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (5, 8, 8), {"kernel_size": 5, "stride": 1, "padding": 2}),
    ("avg_pool2d", (1, 35, 5, 6), {"kernel_size": 2}),
    ("avg_pool2d", (2, 21, 6, 5), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (1, 40, 4, 5), {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", (4, 9, 9), {"kernel_size": [4, 3], "stride": [2, 3], "divisor_override": 7}),
    ("avg_pool2d", (2, 1, 6, 6), {"kernel_size": 2, "stride": 1}),
    ("adaptive_avg_pool2d", (1, 43, 5, 5), {"output_size": 1}),
    ("adaptive_avg_pool2d", (1, 20, 6, 5), {"output_size": [4, 3]}),
    ("adaptive_avg_pool2d", (5, 8, 6), {"output_size": [None, 4]}),
]


OTHERS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("max_pool1d", (2, 5, 19), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ("max_pool1d", (3, 20), {"kernel_size": 4, "ceil_mode": True}),
    ("max_pool3d", (1, 18, 3, 4, 5), {"kernel_size": [2, 3, 2], "stride": [1, 2, 2], "padding": 1}),
    ("avg_pool3d", (1, 21, 3, 4, 5), {"kernel_size": 2}),
    ("avg_pool3d", (1, 5, 4, 4, 3), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    ("adaptive_avg_pool3d", (1, 19, 3, 4, 5), {"output_size": [2, 3, 2]}),
    ("adaptive_avg_pool3d", (2, 9, 2, 3, 3), {"output_size": 1}),
]


def write(path: Path, cases: list[tuple[str, tuple[int, ...], dict[str, Any]]], run: Callable[..., Any]) -> None:
    """Run every case at two or three dtypes and both memory orders."""
    import torch

    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    meta = []
    for name, shape, arguments in cases:
        for dtype, lo, hi in ((np.uint8, 0, 255), (np.int8, -128, 127), (np.int32, -5000, 5000)):
            for channels_last in (False, True)[: len(shape) - 2]:
                ints = rng.integers(lo, hi + 1, shape).astype(dtype)
                zero_point = int(rng.integers(lo, hi + 1))
                x = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), 0.5, zero_point)
                if channels_last:
                    order = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
                    x = x.contiguous(memory_format=order)
                arrays[f"{len(meta)}.x"] = ints
                arrays[f"{len(meta)}.y"] = run(torch, name, x, arguments).int_repr().numpy()
                meta.append(
                    {"name": name, "arguments": arguments, "channels_last": channels_last, "zero_point": zero_point}
                )
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)


def main() -> None:
    def run(torch: Any, name: str, x: Any, arguments: dict[str, Any]) -> Any:
        functional = torch.nn.functional if name == "max_pool3d" else torch.ao.nn.quantized.functional
        return getattr(functional, name)(x, **arguments)

    write(HERE / "pool.npz", CASES, run)
    write(HERE / "pool_1d_3d.npz", OTHERS, run)


if __name__ == "__main__":
    main()
