"""Make softmax.npz: results of torch 2.13's softmax. Run as ``python -m tests.data.make_softmax``."""

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
    for shape, dim, layout in (((3, 150), 1, "contiguous"), ((7,), 0, "contiguous"), ((1, 5, 3, 7), 1, "last")):
        for dtype in draw.DTYPES:
            t, q = draw.tensor(rng, torch, shape, dtype, False, layout, most=3000)
            arguments = [dim, 1 / 256, draw.zero_point(rng, dtype)]
            cases.append(Stored("softmax", [q], arguments, from_torch(torch.ops.quantized.softmax(t, *arguments))))
    save(Path(__file__).with_name("softmax.npz"), cases)


if __name__ == "__main__":
    main()
