"""Linear layers: rows of activations by columns of weights, per-channel scales, a bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import quantnn

from . import _onnx, _peers, _tflite
from ._measure import Row
from ._peers import Form

# K, N: the classifiers of ResNet-18, MobileNetV2 and ResNet-50, then layers of transformers
ONE_ROW = ((512, 1000), (1280, 1000), (2048, 1000), (768, 768), (768, 3072), (3072, 768), (1024, 1024), (1024, 4096))
# M, K, N
MORE_ROWS = (
    (8, 768, 768), (8, 1024, 4096), (16, 1024, 1024), (16, 768, 3072), (32, 768, 768), (32, 3072, 768),
    (64, 768, 768), (64, 768, 3072), (64, 1024, 1024), (128, 768, 768), (128, 768, 3072), (128, 3072, 768),
    (256, 768, 768), (256, 1024, 1024),
)  # fmt: skip
# Powers of two, so that peers with other orders of float32 operations still give the same integers.
# Activations below 128: with larger ones torch and ONNX Runtime saturate where there is no byte dot product.
X_SCALE, X_ZERO, Y_ZERO = 2.0**-7, 3, 60


def rows() -> Iterator[Row]:
    for k, n in ONE_ROW:
        yield _row("linear, batch 1", 1, k, n)
    for m, k, n in MORE_ROWS:
        yield _row("linear, M = 8…256", m, k, n)


def _row(group: str, m: int, k: int, n: int) -> Row:
    rng = np.random.default_rng(1)
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
        return _peers.openvino(_onnx.model(nodes, *border, constants | {"b": bias}), {"x": x})

    def litert() -> Form:
        tensors = {
            "x": _tflite.activation((m, k), X_SCALE, X_ZERO), "w": _tflite.constant(w, scales),
            "b": _tflite.constant(counts, X_SCALE * scales), "y": _tflite.activation((m, n), y_scale, Y_ZERO),
        }  # fmt: skip
        operator = _tflite.Operator("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnectedOptions")
        return _peers.litert([operator], tensors, {"x": x})

    forms = {
        "quantnn": ours, **_peers.torch_forms(torch), "onnxruntime": onnxruntime, "openvino": openvino,
        "litert": litert,
    }  # fmt: skip
    return Row(group, f"M={m} K={k} N={n}", m * k * n, m * k + k * n + m * n, forms, reference)
