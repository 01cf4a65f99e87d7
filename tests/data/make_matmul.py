"""Make matmul.npz: results of torch 2.13's matmul. Run as ``python -m tests.data.make_matmul``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..reference import draw
from .elementwise import Stored, from_torch, save


def main() -> None:
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    rng = np.random.default_rng(7)
    cases = []
    for first, second in (((5, 40), (40, 17)), ((2, 3, 7), (7, 4)), ((1, 2, 8, 5), (3, 1, 5, 2)), ((3, 800), (800, 2))):
        for dtype in draw.DTYPES[:2]:
            for ties in (False, True):
                a, qa = draw.tensor(rng, torch, first, dtype, ties, "contiguous")
                b, qb = draw.tensor(rng, torch, second, dtype, ties, "contiguous")
                qparams = [a.q_scale() * 20 * int(first[-1] ** 0.5), draw.zero_point(rng, dtype)]
                want = torch.ops.quantized.matmul(a, b, *qparams)
                cases.append(Stored("matmul", [qa, qb], qparams, from_torch(want)))
    save(Path(__file__).with_name("matmul.npz"), cases)


if __name__ == "__main__":
    main()
