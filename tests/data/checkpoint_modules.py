"""The modules in checkpoints/modules.pth: name, namespace, class, arguments. The same for torch and quantnn."""

from __future__ import annotations

from typing import Any

QUANTIZED = ""
DYNAMIC = "dynamic"
INTRINSIC = "intrinsic"
INTRINSIC_DYNAMIC = "intrinsic.dynamic"


def layers(
    qint8: Any, float16: Any, quint8: Any, quint4x2: Any
) -> dict[str, tuple[str, str, tuple[Any, ...], dict[str, Any]]]:
    """By their names in the file; the dtypes are torch's or quantnn's."""
    found: dict[str, tuple[str, str, tuple[Any, ...], dict[str, Any]]] = {
        "linear": (QUANTIZED, "Linear", (3, 4), {}),
        "linear_without_bias": (QUANTIZED, "Linear", (3, 4), {"bias_": False}),
        "linear_relu": (INTRINSIC, "LinearReLU", (3, 4), {}),
        "batch_norm2": (QUANTIZED, "BatchNorm2d", (4,), {}),
        "batch_norm3": (QUANTIZED, "BatchNorm3d", (4,), {}),
        "bn_relu2": (INTRINSIC, "BNReLU2d", (4,), {}),
        "bn_relu3": (INTRINSIC, "BNReLU3d", (4,), {}),
        "hardswish": (QUANTIZED, "Hardswish", (0.5, 3), {}),
        "leaky_relu": (QUANTIZED, "LeakyReLU", (0.5, 3), {}),
        "elu": (QUANTIZED, "ELU", (0.5, 3), {}),
        "relu6": (QUANTIZED, "ReLU6", (), {}),
        "quantize": (QUANTIZED, "Quantize", (0.5, 3, quint8), {}),
        "dequantize": (QUANTIZED, "DeQuantize", (), {}),
        "q_functional": (QUANTIZED, "QFunctional", (), {}),
        "float_functional": (QUANTIZED, "FloatFunctional", (), {}),
        "embedding": (QUANTIZED, "Embedding", (5, 4), {}),
        "embedding4": (QUANTIZED, "Embedding", (5, 4), {"dtype": quint4x2}),
        "embedding_bag": (QUANTIZED, "EmbeddingBag", (5, 4), {"dtype": quint8}),
        "dynamic_linear": (DYNAMIC, "Linear", (3, 4), {}),
        "dynamic_linear16": (DYNAMIC, "Linear", (3, 4), {"dtype": float16}),
        "dynamic_linear_relu": (INTRINSIC_DYNAMIC, "LinearReLU", (3, 4), {}),
        "lstm": (DYNAMIC, "LSTM", (3, 4, 2), {"bidirectional": True}),
        "lstm16": (DYNAMIC, "LSTM", (3, 4), {"dtype": float16}),
        "gru": (DYNAMIC, "GRU", (3, 4), {"bidirectional": True}),
        "gru16": (DYNAMIC, "GRU", (3, 4), {"dtype": float16}),
        "lstm_cell": (DYNAMIC, "LSTMCell", (3, 4), {}),
        "lstm_cell16": (DYNAMIC, "LSTMCell", (3, 4), {"dtype": float16}),
        "gru_cell": (DYNAMIC, "GRUCell", (3, 4), {}),
        "rnn_cell": (DYNAMIC, "RNNCell", (3, 4), {}),
    }
    for n in (1, 2, 3):
        kernel = (3, 2, 1)[:n]
        found |= {
            f"conv{n}": (QUANTIZED, f"Conv{n}d", (4, 6, kernel), {"groups": 2}),
            f"conv{n}_relu": (INTRINSIC, f"ConvReLU{n}d", (4, 6, kernel), {"bias": False}),
            f"conv{n}_transpose": (QUANTIZED, f"ConvTranspose{n}d", (4, 6, kernel), {}),
            f"conv{n}_dynamic": (DYNAMIC, f"Conv{n}d", (4, 6, kernel), {}),
            f"conv{n}_transpose_dynamic": (DYNAMIC, f"ConvTranspose{n}d", (4, 6, kernel), {}),
        }
    found["conv_add"] = (INTRINSIC, "ConvAdd2d", (4, 6, 2), {})
    found["conv_add_relu"] = (INTRINSIC, "ConvAddReLU2d", (4, 6, 2), {})
    found["linear_leaky_relu"] = (INTRINSIC, "LinearLeakyReLU", (3, 4, 0.1), {})
    found["linear_tanh"] = (INTRINSIC, "LinearTanh", (3, 4), {})
    return found


NORMS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "layer_norm": ("LayerNorm", ((4,),)),
    "group_norm": ("GroupNorm", (2, 4)),
    "instance_norm1": ("InstanceNorm1d", (4,)),
    "instance_norm2": ("InstanceNorm2d", (4,)),
    "instance_norm3": ("InstanceNorm3d", (4,)),
}
