"""Dynamic LSTM and GRU layers with int8 weights, one direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import quantnn

from . import _onnx, _peers
from ._measure import Row
from ._peers import Form

# kind, I, H, T, B
SHAPES = (
    ("LSTM", 256, 512, 50, 1), ("LSTM", 40, 256, 160, 16), ("LSTM", 64, 64, 20, 1), ("LSTM", 256, 256, 100, 8),
    ("GRU", 256, 512, 50, 1), ("GRU", 64, 64, 20, 1),
)  # fmt: skip


def rows() -> Iterator[Row]:
    for kind, i, h, t, b in SHAPES:
        yield _row(kind, i, h, t, b)


def _row(kind: str, i: int, h: int, t: int, b: int) -> Row:
    rng = np.random.default_rng(1)
    gates = 4 if kind == "LSTM" else 3
    x = rng.standard_normal((t, b, i)).astype(np.float32)
    weights = {
        f"weight_{name}_l0": rng.integers(-128, 128, (gates * h, k)).astype(np.int8)
        for name, k in (("ih", i), ("hh", h))
    }
    biases = {f"bias_{name}_l0": rng.standard_normal(gates * h).astype(np.float32) for name in ("ih", "hh")}
    scale = 2.0**-11

    def ours() -> Form:
        module = getattr(quantnn.dynamic, kind)(i, h)
        make = quantnn.make_per_tensor_quantized_tensor
        module.set_weight_bias({key: make(w, scale, 0) for key, w in weights.items()} | biases)
        return _peers.ours(lambda: module(x)[0])

    def torch(m: Any) -> Callable[[], object]:
        module, tx = getattr(m.ao.nn.quantized.dynamic, kind)(i, h), m.from_numpy(x)
        make = m._make_per_tensor_quantized_tensor
        module.set_weight_bias(
            {key: make(m.from_numpy(w), scale, 0) for key, w in weights.items()}
            | {key: m.from_numpy(v) for key, v in biases.items()}
        )
        return lambda: module(tx)[0]

    def onnxruntime() -> Form:
        def turned(a: np.ndarray) -> np.ndarray:
            """The gates in ONNX's order: i, o, f, c."""
            return np.concatenate([np.split(a, 4)[g] for g in (0, 3, 1, 2)])

        constants: dict[str, Any] = {
            name: np.ascontiguousarray(turned(w).T)[None] for name, w in zip("wr", weights.values(), strict=True)
        }
        constants["b"] = np.concatenate([turned(v) for v in biases.values()])[None]
        constants |= {"s": np.full(1, scale, np.float32), "z": np.zeros(1, np.int8)}
        node = _onnx.Node(
            "DynamicQuantizeLSTM", ["x", "w", "r", "b", "", "", "", "", "s", "z", "s", "z"], ["y"], {"hidden_size": h},
            _onnx.MICROSOFT,
        )  # fmt: skip
        border = {"x": ("float32", (t, b, i))}, {"y": ("float32", (t, 1, b, h))}
        return _peers.onnxruntime(_onnx.model([node], *border, constants), {"x": x}, lambda y: y[:, 0])

    forms: dict[str, Callable[[], Form]] = {"quantnn": ours, **_peers.torch_forms(torch)}
    if kind == "LSTM":
        forms["onnxruntime"] = onnxruntime
    macs = t * b * gates * h * (i + h)
    # the weights of a step are read at each; an integer that rounds to its other neighbour moves what follows
    moved = gates * h * (i + t * h) + 4 * t * b * (i + h)
    return Row(f"dynamic {kind}", f"{i}->{h} T={t} B={b}", macs, moved, forms, tolerance=0.05)
