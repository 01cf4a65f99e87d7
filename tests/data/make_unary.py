"""Make unary.npz: results of torch 2.13's unary operators. Run as ``python -m tests.data.make_unary``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..reference import draw
from .elementwise import Stored, from_torch, save


def main() -> None:
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    ops = torch.ops.quantized
    rng = np.random.default_rng(1)
    cases = []
    for shape, layout in (((150,), "contiguous"), ((2, 5, 3, 7), "last"), ((1, 3, 9, 5), "contiguous")):
        for dtype in draw.DTYPES:
            for ties in (False, True):
                t, q = draw.tensor(rng, torch, shape, dtype, ties, layout)
                scale, zero_point = draw.scale(rng, ties), draw.zero_point(rng, dtype)
                for op, function, arguments in (
                    ("relu", torch.relu, []),
                    ("relu6", ops.relu6, []),
                    ("clamp", ops.clamp, [-0.7, 1.3]),
                    ("hardswish", ops.hardswish, [scale, zero_point]),
                    ("elu", ops.elu, [scale, zero_point, 0.75]),
                    ("celu", ops.celu, [scale, zero_point, 0.75]),
                    ("leaky_relu", ops.leaky_relu, [0.2, False, scale, zero_point]),
                    ("threshold", ops.threshold, [-0.3, 0.9]),
                    ("hardtanh", torch.ao.nn.quantized.functional.hardtanh, [-0.7, 1.3]),
                    ("hardsigmoid", torch.ao.nn.quantized.functional.hardsigmoid, []),
                    ("sigmoid", ops.sigmoid, [scale, zero_point]),
                    ("sigmoid", torch.sigmoid, []),
                    ("tanh", torch.tanh, []),
                ):
                    if dtype is not draw.DTYPES[2] or op not in ("sigmoid", "tanh"):  # torch's qint32 is off by an ulp
                        cases.append(Stored(op, [q], arguments, from_torch(function(t, *arguments))))
    save(Path(__file__).with_name("unary.npz"), cases)


if __name__ == "__main__":
    main()
