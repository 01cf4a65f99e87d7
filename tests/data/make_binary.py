"""Make binary.npz: results of torch 2.13's binary operators. Run as ``python -m tests.data.make_binary``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..reference import draw
from .elementwise import Stored, from_torch, save

SHAPES = (
    ((140,), (140,), "contiguous"),
    ((1, 5, 3, 7), (1, 5, 3, 7), "last"),
    ((1, 2, 9, 8), (1, 2, 1, 1), "contiguous"),
    ((1, 70, 1, 1), (1, 70, 1, 2), "last"),
)


def main() -> None:
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    rng = np.random.default_rng(2)
    cases = []
    for first, second, layout in SHAPES:
        for dtype in draw.DTYPES:
            for ties in (False, True):
                most = 3000  # no product of qint32 overflows
                a, qa = draw.tensor(rng, torch, first, dtype, ties, layout, most)
                b, qb = draw.tensor(rng, torch, second, dtype, ties, layout, most)
                qparams = [draw.scale(rng, ties), draw.zero_point(rng, dtype)]
                for op in ("add", "add_relu", "mul", "mul_relu"):
                    want = getattr(torch.ops.quantized, op)(a, b, *qparams)
                    cases.append(Stored(op, [qa, qb], qparams, from_torch(want)))
                if first == second:
                    w, qw = draw.tensor(rng, torch, first[1:2] or (1,), dtype, ties, most=most)
                    for i in (1, w.numel()):
                        want = torch.ops.quantized.prelu(a, w[:i], *qparams)
                        cases.append(Stored("prelu", [qa, qw[:i]], qparams, from_torch(want)))
                for op in ("add_scalar", "add_scalar_relu", "mul_scalar", "mul_scalar_relu"):
                    number = float(rng.normal() * 20)
                    want = getattr(torch.ops.quantized, op)(a, number)
                    cases.append(Stored(op, [qa], [number], from_torch(want)))
                if len(first) == 1 or first[2:] == second[2:]:
                    for op in ("cat", "cat_relu"):
                        dim = min(1, len(first) - 1)
                        want = getattr(torch.ops.quantized, op)([a, b], dim, *qparams)
                        cases.append(Stored(op, [qa, qb], [dim, *qparams], from_torch(want)))
    save(Path(__file__).with_name("binary.npz"), cases)


if __name__ == "__main__":
    main()
