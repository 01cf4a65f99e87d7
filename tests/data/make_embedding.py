"""Write embedding.npz: torch 2.13's lookups and sums of quantized embedding rows.

    python -m tests.data.make_embedding

Needs torch 2.13.0. Each case has the table's integers, scales and zero points, the arguments and torch's floats. Beside
them stand floats as torch packs them in rows of 8, 4 and 2 bits, with its sums of those.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import torch


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    ops = torch.ops.quantized
    arrays: dict[str, np.ndarray] = {}
    meta = []
    for bits in (8, 4):
        for dim in (2, 10, 64, 66, 130):
            rows = 7
            scales = np.exp(rng.uniform(np.log(1e-6), np.log(10), rows)).astype(np.float32)
            zero_points = (rng.uniform(-0.5, 1.5, rows) * (2**bits - 1)).astype(np.float32)
            ints = rng.integers(0, 2**bits, (rows, dim)).astype(np.float32)
            floats = (ints - zero_points[:, None]) * scales[:, None]
            dtype = torch.quint8 if bits == 8 else torch.quint4x2
            weight = torch.quantize_per_channel(
                torch.from_numpy(floats), torch.from_numpy(scales), torch.from_numpy(zero_points), 0, dtype
            )
            packed = ops.embedding_bag_prepack(weight)
            indices = rng.integers(0, rows, 11)
            offsets = np.array([0, 3, 3, 9])
            weights = rng.standard_normal(11).astype(np.float32)
            mapping = np.array([3, -1, 0, 6, -1, 2, 5, 1, 4], np.int32)
            name = "byte" if bits == 8 else "4bit"
            ti, to, tw, tm = map(torch.from_numpy, (indices, offsets, weights, mapping))
            lookup, bag = getattr(ops, f"embedding_{name}"), getattr(ops, f"embedding_bag_{name}")
            i = len(meta)
            meta.append([bits, rows, dim])
            case = {
                "ints": weight.int_repr().numpy(),
                "scales": scales,
                "zero_points": zero_points,
                "indices": indices,
                "offsets": offsets,
                "weights": weights,
                "mapping": mapping,
                "lookup": lookup(packed, ti).numpy(),
                "bag": bag(packed, ti, to).numpy(),
                "weighted": bag(packed, ti, to, per_sample_weights=tw).numpy(),
                "pruned": bag(packed, ti, to, pruned_weights=True, compressed_indices_mapping=tm).numpy(),
            }
            arrays.update({f"{i}.{k}": v for k, v in case.items()})
    for name in ("byte", "4bit", "2bit"):
        floats = rng.standard_normal((5, 24)).astype(np.float32)
        tf, ti, to = map(torch.from_numpy, (floats, rng.integers(0, 5, 11), np.array([0, 3, 3, 9])))
        prepack = getattr(ops, f"embedding_bag_{name}_prepack")
        rows = prepack(tf)
        case = {"floats": floats, "indices": ti.numpy(), "offsets": to.numpy(), "rows": rows.numpy()}
        if name != "byte":
            case["searched"] = prepack(tf, True, 50, 0.3).numpy()
        case["unpacked"] = getattr(ops, f"embedding_bag_{name}_unpack")(rows).numpy()
        case["sums"] = getattr(ops, f"embedding_bag_{name}_rowwise_offsets")(rows, ti, to).numpy()
        arrays.update({f"{name}.{k}": v for k, v in case.items()})
    path = Path(__file__).with_name("embedding.npz")
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)
    print(f"{path.name}: {len(meta)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
