"""Dynamic linear layers: float rows by int8 or float16 weights, with a bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import quantnn

from . import _onnx, _peers
from ._measure import Row
from ._peers import Form

# M, K, N
SHAPES = (
    (1, 512, 512), (1, 768, 3072), (1, 1024, 4096), (8, 768, 768), (16, 1024, 1024), (128, 768, 768), (128, 768, 3072),
    (128, 3072, 768),
)  # fmt: skip


def rows() -> Iterator[Row]:
    for half in (False, True):
        for m, k, n in SHAPES:
            yield _row(half, m, k, n)


def _row(half: bool, m: int, k: int, n: int) -> Row:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((m, k)).astype(np.float32)
    w = rng.integers(-128, 128, (n, k)).astype(np.int8)
    scale, bias = 2.0**-9, rng.standard_normal(n).astype(np.float32)
    floats = w.astype(np.float32) * np.float32(scale)

    def ours() -> Form:
        ops = quantnn.ops
        if half:
            packed_half, run = ops.linear_prepack_fp16(floats, bias), ops.linear_dynamic_fp16
            return _peers.ours(lambda: run(x, packed_half))
        packed = ops.linear_prepack(quantnn.make_per_tensor_quantized_tensor(w, scale, 0), bias)
        linear = ops.linear_dynamic
        return _peers.ours(lambda: linear(x, packed, True))

    def torch(t: Any) -> Callable[[], object]:
        ops, tx, b = t.ops.quantized, t.from_numpy(x), t.from_numpy(bias)
        if half:
            packed = ops.linear_prepack_fp16(t.from_numpy(floats.copy()), b)
            return lambda: ops.linear_dynamic_fp16(tx, packed)
        packed = ops.linear_prepack(t._make_per_tensor_quantized_tensor(t.from_numpy(w), scale, 0), b)
        return lambda: ops.linear_dynamic(tx, packed, True)

    def onnxruntime() -> Form:
        constants = {
            "w": np.ascontiguousarray(w.T), "sw": np.float32(scale), "zw": np.int8(0), "b": bias,
        }  # fmt: skip
        node = _onnx.Node("DynamicQuantizeMatMul", ["x", "w", "sw", "zw", "b"], ["y"], {}, _onnx.MICROSOFT)
        border = {"x": ("float32", (m, k))}, {"y": ("float32", (m, n))}
        return _peers.onnxruntime(_onnx.model([node], *border, constants), {"x": x})

    forms: dict[str, Callable[[], Form]] = {"quantnn": ours, **_peers.torch_forms(torch)}
    if half:
        del forms["torch-onednn"]  # its sums are in another order
    else:
        forms["onnxruntime"] = onnxruntime
    moved = 4 * m * k + (2 if half else 1) * k * n + 4 * m * n
    name = "dynamic linear, float16" if half else "dynamic linear"
    return Row(name, f"M={m} K={k} N={n}", 0 if half else m * k * n, moved, forms)
