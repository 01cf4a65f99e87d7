"""Linear layers: rows of activations by columns of weights, per-channel scales, a bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import quantnn

from . import _onnx, _peers
from ._measure import Form, Row

SHAPES = [  # M, K, N
    (1, 768, 768),
    (16, 768, 3072),
    (128, 768, 768),
    (128, 3072, 768),
    (16, 1024, 1024),
    (1, 2048, 1000),
]
# Powers of two, so that peers with other orders of float32 operations still give the same integers.
# Activations below 128: with larger ones torch and ONNX Runtime saturate where there is no byte dot product.
X_SCALE, X_ZERO, Y_ZERO = 2.0**-7, 3, 60


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(1)
    for m, k, n in SHAPES:
        yield _row(rng, m, k, n)


def _row(rng: np.random.Generator, m: int, k: int, n: int) -> Row:
    x = rng.integers(0, 128, (m, k)).astype(np.uint8)
    w = rng.integers(-128, 128, (n, k)).astype(np.int8)
    scales = (2.0 ** rng.integers(-10, -7, n)).astype(np.float32)
    counts = rng.integers(-5000, 5000, n).astype(np.int32)  # the bias in units of X_SCALE * scale
    bias = (counts * (X_SCALE * scales)).astype(np.float32)
    y_scale = float(2.0 ** round(np.log2(k**0.5 * 80 * 74 * X_SCALE * 2**-9 / 40)))

    def reference() -> np.ndarray:
        sums = (x.astype(np.float64) - X_ZERO) @ w.T.astype(np.float64) + counts
        return np.clip(np.rint(sums * (X_SCALE * scales / y_scale)) + Y_ZERO, 0, 255).astype(np.uint8)

    def ours() -> Form:
        weight = quantnn.make_per_channel_quantized_tensor(w, scales.astype(np.float64), np.zeros(n, np.int64), 0)
        packed = quantnn.ops.linear_prepack(weight, bias)
        qx = quantnn.make_per_tensor_quantized_tensor(x, X_SCALE, X_ZERO)
        linear = quantnn.ops.linear
        return _peers.ours(lambda: linear(qx, packed, y_scale, Y_ZERO))

    def torch(t: Any) -> Callable[[], object]:
        packed = t.ops.quantized.linear_prepack(_peers.torch_weight(t, w, scales), t.from_numpy(bias))
        qx = _peers.torch_tensor(t, x, X_SCALE, X_ZERO)
        linear = t.ops.quantized.linear
        return lambda: linear(qx, packed, y_scale, Y_ZERO)

    constants = {
        "sx": np.float32(X_SCALE), "zx": np.uint8(X_ZERO), "w": np.ascontiguousarray(w.T), "sw": scales,
        "zw": np.zeros(n, np.int8), "b": counts, "sy": np.float32(y_scale), "zy": np.uint8(Y_ZERO),
    }  # fmt: skip
    border = {"x": ("uint8", (m, k))}, {"y": ("uint8", (m, n))}

    def onnxruntime() -> Form:
        names = ["x", "sx", "zx", "w", "sw", "zw", "b", "sy", "zy"]
        node = _onnx.Node("QGemm", names, ["y"], {"transB": 0}, _onnx.MICROSOFT)
        return _peers.onnxruntime(_onnx.model([node], *border, constants), {"x": x})

    def openvino() -> Form:
        nodes = [
            _onnx.Node("DequantizeLinear", ["x", "sx", "zx"], ["fx"]),
            _onnx.Node("DequantizeLinear", ["w", "sw", "zw"], ["fw"], {"axis": 1}),
            _onnx.Node("MatMul", ["fx", "fw"], ["fy"]),
            _onnx.Node("Add", ["fy", "b"], ["fz"]),
            _onnx.Node("QuantizeLinear", ["fz", "sy", "zy"], ["y"]),
        ]
        return _peers.openvino(_onnx.model(nodes, *border, constants | {"b": bias}), x)

    forms = {"quantnn": ours, **_peers.torch_forms(torch), "onnxruntime": onnxruntime, "openvino": openvino}
    return Row("linear", f"M={m} K={k} N={n}", m * k * n, "GMAC/s", forms, reference)
