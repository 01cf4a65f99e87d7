"""Embedding lookups and bags, from tables of 8 and 4 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx
from ._measure import Row

ROWS, COLUMNS, BAGS, PER_BAG = 100_000, 64, 64, 40


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(1)
    indices = rng.integers(0, ROWS, BAGS * PER_BAG)
    offsets = np.arange(0, BAGS * PER_BAG, PER_BAG)
    for bits in (8, 4):
        ints = rng.integers(0, 1 << bits, (ROWS, COLUMNS)).astype(np.uint8)
        yield _row(bits, "bag", ints, indices, offsets)
        yield _row(bits, "lookup", ints, indices, None)


def _row(bits: int, kind: str, ints: np.ndarray, indices: np.ndarray, offsets: np.ndarray | None) -> Row:
    name = ("embedding_bag_" if kind == "bag" else "embedding_") + ("byte" if bits == 8 else "4bit")
    rng = np.random.default_rng(2)
    scales = rng.uniform(0.01, 0.1, ROWS).astype(np.float32)
    floats = (ints * scales[:, None] - 0.4).astype(np.float32)
    zero_points = (0.4 / scales).astype(np.float32)
    dtype = "quint8" if bits == 8 else "quint4x2"

    def ours() -> Any:
        weight = quantnn.quantize_per_channel(floats, scales, zero_points, 0, getattr(quantnn, dtype))
        packed, f = quantnn.ops.embedding_bag_prepack(weight), getattr(quantnn.ops, name)
        return (lambda: f(packed, indices)) if offsets is None else lambda: f(packed, indices, offsets)

    def torch(t: Any) -> Any:
        tensors = [t.from_numpy(a) for a in (floats, scales, zero_points, indices)]
        weight = t.quantize_per_channel(*tensors[:3], 0, getattr(t, dtype))
        packed, f, i = (
            t.ops.quantized.embedding_bag_prepack(weight),
            getattr(t.ops.quantized, name),
            tensors[3],
        )
        if offsets is None:
            return lambda: f(packed, i)
        o = t.from_numpy(offsets)
        return lambda: f(packed, i, o)

    nodes = [
        *(_onnx.Node("Gather", [name, "i"], [f"{name}i"]) for name in ("w", "s", "z")),
        _onnx.Node("Cast", ["wi"], ["fi"], {"to": _onnx.TYPES["float32"]}),
        _onnx.Node("Sub", ["fi", "zi"], ["di"]),
        _onnx.Node("Mul", ["di", "si"], ["y" if offsets is None else "yi"]),
    ]
    index, out = indices, (indices.size, COLUMNS)
    if offsets is not None:
        nodes.append(_onnx.Node("ReduceSum", ["yi", "axis"], ["y"], {"keepdims": 0}))
        index, out = indices.reshape(BAGS, PER_BAG), (BAGS, COLUMNS)
    constants = {"w": ints, "s": scales[:, None], "z": zero_points[:, None], "axis": np.array([1])}
    # they have no table of four bits
    peers = e.onnx(nodes, {"i": index}, constants, (out, "float32")) if bits == 8 else {}

    # an index, a row with its scale and bias: two floats of 32 or 16 bits
    moved = indices.size * (8 + COLUMNS * bits // 8 + bits) + (BAGS if kind == "bag" else indices.size) * COLUMNS * 4
    group = f"embedding bag, {bits} bits" if kind == "bag" else "embedding lookup"
    return e.row(group, f"{bits} bits, {BAGS} x {PER_BAG} of {COLUMNS}", moved, ours, torch, peers)
