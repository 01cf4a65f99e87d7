"""Write normalization.npz: torch 2.13's normalizations.

    python -m tests.data.make_normalization

Needs torch 2.13.0. Each case has the input's integers, the parameters, torch's integers, and the other arguments.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

RANGES = {"quint8": (0, 255), "qint8": (-128, 127), "qint32": (-500, 500)}
NUMPY = {"quint8": np.uint8, "qint8": np.int8, "qint32": np.int32}

#: operator, shape, channels-last, argument after the input
CASES: list[tuple[str, tuple[int, ...], bool, Any]] = [
    ("batch_norm1d", (5, 37), False, None),
    ("batch_norm1d_relu", (2, 19, 3), False, None),
    ("batch_norm2d", (2, 21, 3, 4), False, None),
    ("batch_norm2d_relu", (1, 33, 3, 4), True, None),
    ("batch_norm3d", (1, 12, 2, 3, 4), True, None),
    ("batch_norm3d_relu", (2, 7, 2, 2, 3), False, None),
    ("layer_norm", (4, 71), False, [71]),
    ("layer_norm", (3, 2, 48), False, [2, 48]),
    ("layer_norm", (2, 3, 4, 5), True, [3, 4, 5]),
    ("group_norm", (2, 12, 7), False, 3),
    ("group_norm", (2, 12, 3, 5), False, 2),
    ("group_norm", (1, 70, 3, 3), True, 2),
    ("group_norm", (1, 3, 23, 23), True, 3),
    ("group_norm", (2, 6, 2, 3, 4), True, 2),
    ("instance_norm", (2, 5, 11), False, None),
    ("instance_norm", (2, 34, 3, 3), True, None),
    ("instance_norm", (1, 4, 2, 3, 4), False, None),
]


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    meta = []
    for op, shape, channels_last, extra in CASES:
        for dtype, ties in (("quint8", False), ("quint8", True), ("qint8", True), ("qint32", False)):
            lo, hi = RANGES[dtype]
            i = len(meta)
            x = rng.integers(lo, hi + 1, shape).astype(NUMPY[dtype])
            if channels_last:
                x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
            scale, so = (0.25, 0.125) if ties else (float(v) for v in rng.uniform(0.01, 0.2, 2))
            z, zo = (int(v) for v in rng.integers(lo, hi + 1, 2))
            eps = 0.0 if ties and op.startswith("batch") else 1e-5
            size = extra if op == "layer_norm" else shape[1]
            w, b, m = (
                (rng.integers(-8, 9, size) / 4 if ties else rng.standard_normal(size)).astype(np.float32)
                for _ in range(3)
            )
            v = np.ones(size, np.float32) if ties else rng.uniform(0.1, 3, size).astype(np.float32)
            qx = torch._make_per_tensor_quantized_tensor(torch.from_numpy(x), scale, z)
            parameters: dict[str, np.ndarray | None] = {"w": w, "b": b}
            if op.startswith("batch"):
                parameters.update(m=m, v=v)
            else:
                if i % 5 in (1, 2):
                    parameters["w"] = None
                if i % 5 in (2, 3):
                    parameters["b"] = None
            args = [None if a is None else torch.from_numpy(a) for a in parameters.values()]
            before = [] if extra is None else [extra]
            y = getattr(torch.ops.quantized, op)(qx, *before, *args, eps, so, zo)
            for name, a in {"x": x, "y": y.int_repr().numpy(), **parameters}.items():
                if a is not None:
                    arrays[f"{i}.{name}"] = a
            meta.append([op, dtype, scale, z, channels_last, before, list(parameters), eps, so, zo])
    path = Path(__file__).with_name("normalization.npz")
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)
    print(f"{path.name}: {len(meta)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
