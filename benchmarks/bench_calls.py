"""The smallest calls, where everything but the arithmetic counts: modules on a handful of elements.

Beside a module's call stands its kernel's: the same compiled functions with the same arguments, again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx, _peers, _tflite
from ._kernel_calls import kernel_calls
from ._measure import Row
from ._peers import Form

Forms = dict[str, Callable[[], Form]]

Y = (0.5, 100)


def rows() -> Iterator[Row]:
    row, image, ten = e.tensor(1, (1, 8)), e.tensor(2, (1, 8, 4, 4)), e.tensor(3, (10,))
    weight, bias = (np.random.default_rng(4).standard_normal(8).astype(np.float32) for _ in range(2))
    yield _linear(row)
    yield _conv(image)
    yield _weighted("Conv2d", (8, 8, 3, 1, 0, 1, 8), (8, 1, 3, 3), image)
    yield _module("ReLU", (), ten, _integers("Clip", ten, {"low": np.uint8(e.ZERO), "high": np.uint8(255)}))
    relu6 = _integers("Clip", ten, {"low": np.uint8(e.ZERO), "high": np.uint8(220)})
    same = {"y": _tflite.activation(ten.ints.shape, ten.scale, ten.zero_point)}
    relu6 |= e.litert(_tflite.Operator("RELU6", ["x"], ["y"], version=1), {"x": ten}, same)
    yield _module("ReLU6", (), ten, relu6)
    yield _module("Hardswish", Y, ten)
    yield _module("ELU", Y, ten)
    yield _function("add", ten, "QLinearAdd")
    yield _function("mul", ten, "QLinearMul")
    yield _module("MaxPool2d", (2,), image)
    yield _module("AvgPool2d", (2,), image)
    yield _module("AdaptiveAvgPool2d", (1,), image)
    yield _module("BatchNorm2d", (8,), image)
    yield _module("LayerNorm", ((8,), weight, bias, *Y), row)
    yield _module("GroupNorm", (2, 8, weight, bias, *Y), image)
    yield _module("Flatten", (), image)
    yield _quantize()
    yield _module("DeQuantize", (), ten, _integers("DequantizeLinear", ten, ten.constants("x"), "float32"))


def _row(
    shape: str,
    ours: Callable[[], Callable[[], Any]],
    torch: Callable[[Any], Callable[[], Any]],
    peers: Forms | None = None,
) -> Row:
    row = e.row("call", shape, 0, ours, torch, peers)
    return row._replace(forms={"kernel": lambda: Form(kernel_calls(ours), None)} | row.forms)


def _text(name: str, arguments: tuple[Any, ...], x: e.Tensor) -> str:
    numbers = ", ".join(str(a) for a in arguments if not isinstance(a, np.ndarray))
    return f"{name}({numbers}) of {'x'.join(map(str, x.ints.shape))}"


def _integers(op: str, x: e.Tensor, constants: dict[str, Any], dtype: str = "uint8") -> Forms:
    node = _onnx.Node(op, ["x", *constants], ["y"])
    return e.onnx([node], {"x": x.ints}, constants, (x.ints.shape, dtype))


def _module(name: str, arguments: tuple[Any, ...], x: e.Tensor, peers: Forms | None = None) -> Row:
    """A module that both libraries make from the same arguments."""

    def torch(t: Any) -> Callable[[], Any]:
        cls = getattr(t.ao.nn.quantized, name, None) or getattr(t.nn, name)
        made = cls(*(t.nn.Parameter(t.from_numpy(a)) if isinstance(a, np.ndarray) else a for a in arguments))
        return partial(made.eval(), x.torch(t))

    return _row(
        _text(name, arguments, x),
        lambda: partial(getattr(quantnn, name)(*arguments).eval(), x.ours()),
        torch,
        peers,
    )


def _function(name: str, x: e.Tensor, op: str) -> Row:
    node = _onnx.Node(op, ["x", "sx", "zx", "x", "sx", "zx", "sy", "zy"], ["y"], {}, _onnx.MICROSOFT)
    constants = x.constants("x") | e.qparams("y", 1.0, 0)
    native = e.onnx([node], {"x": x.ints}, constants, (x.ints.shape, "uint8"))
    return _row(
        f"QFunctional().{name} of {x.ints.size}",
        lambda: partial(getattr(quantnn.QFunctional(), name), x.ours(), x.ours()),
        lambda t: partial(getattr(t.ao.nn.quantized.QFunctional(), name), x.torch(t), x.torch(t)),
        {"onnxruntime": native["onnxruntime"]},
    )


def _quantize() -> Row:
    floats = np.random.default_rng(5).standard_normal(10).astype(np.float32)
    node = _onnx.Node("QuantizeLinear", ["x", "sy", "zy"], ["y"])
    return _row(
        f"Quantize{Y} of {floats.size}",
        lambda: partial(quantnn.Quantize(*Y, quantnn.quint8), floats),
        lambda t: partial(t.ao.nn.quantized.Quantize(*Y, t.quint8), t.from_numpy(floats)),
        e.onnx([node], {"x": floats}, e.qparams("y", *Y), (floats.shape, "uint8")),
    )


def _weights(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ints = np.random.default_rng(6).integers(-128, 128, shape).astype(np.int8)
    return ints, np.full(shape[0], 2.0**-6, np.float32), np.zeros(shape[0], np.float32)


def _weighted(
    name: str, arguments: tuple[Any, ...], shape: tuple[int, ...], x: e.Tensor, peers: Forms | None = None
) -> Row:
    """A module with weights of a shape."""
    ints, scales, bias = _weights(shape)

    def module(library: Any, weight: Any, bias: Any) -> Any:
        made = getattr(library, name)(*arguments)
        made.set_weight_bias(weight, bias)
        made.scale, made.zero_point = Y
        return made

    def ours() -> Callable[[], Any]:
        zero_points = np.zeros(shape[0], np.int64)
        weight = quantnn.make_per_channel_quantized_tensor(ints, scales.astype(np.float64), zero_points, 0)
        return partial(module(quantnn, weight, bias), x.ours())

    def torch(t: Any) -> Callable[[], Any]:
        weight = _peers.torch_weight(t, ints, scales)
        return partial(module(t.ao.nn.quantized, weight, t.from_numpy(bias)), x.torch(t))

    return _row(_text(name, arguments, x), ours, torch, peers)


def _litert_constants(ints: np.ndarray, scales: np.ndarray, x: e.Tensor) -> dict[str, _tflite.Tensor]:
    bias = _tflite.constant(np.zeros(len(scales), np.int32), np.float32(x.scale) * scales)
    return {"w": _tflite.constant(ints, scales), "b": bias}


def _linear(x: e.Tensor) -> Row:
    ints, scales, _ = _weights((8, 8))
    constants = x.constants("x") | e.qparams("y", *Y) | {
        "w": np.ascontiguousarray(ints.T), "sw": scales, "zw": np.zeros(8, np.int8), "b": np.zeros(8, np.int32),
    }  # fmt: skip
    names = ["x", "sx", "zx", "w", "sw", "zw", "b", "sy", "zy"]
    node = _onnx.Node("QGemm", names, ["y"], {"transB": 0}, _onnx.MICROSOFT)
    native = e.onnx([node], {"x": x.ints}, constants, ((1, 8), "uint8"))
    floats = [
        _onnx.Node("DequantizeLinear", ["w", "sw", "zw"], ["fw"], {"axis": 1}),
        _onnx.Node("MatMul", ["fx", "fw"], ["fy"]),
    ]
    peers = e.around(floats, {"x": x}, constants, (1, 8))
    operator = _tflite.Operator("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnectedOptions")
    peers |= e.litert(operator, {"x": x}, _litert_constants(ints, scales, x) | {"y": _tflite.activation((1, 8), *Y)})
    return _weighted("Linear", (8, 8), (8, 8), x, peers | {"onnxruntime": native["onnxruntime"]})


def _conv(x: e.Tensor) -> Row:
    ints, scales, _ = _weights((8, 8, 3, 3))
    constants = x.constants("x") | e.qparams("y", *Y) | {"w": ints, "sw": scales, "zw": np.zeros(8, np.int8)}
    attributes = {"kernel_shape": [3, 3]}
    names = ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy"]
    node = _onnx.Node("QLinearConv", names, ["y"], attributes | {"channels_last": 1}, _onnx.MICROSOFT)
    native = e.onnx([node], {"x": x.pixels}, constants, ((1, 2, 2, 8), "uint8"))
    floats = [
        _onnx.Node("DequantizeLinear", ["w", "sw", "zw"], ["fw"], {"axis": 0}),
        _onnx.Node("Conv", ["fx", "fw"], ["fy"], attributes),
    ]
    peers = e.around(floats, {"x": x}, constants, (1, 8, 2, 2), channels_first=True)
    fields = {"strideH": 1, "strideW": 1, "padding": 1}
    operator = _tflite.Operator("CONV_2D", ["x", "w", "b"], ["y"], "Conv2DOptions", fields)
    others = _litert_constants(np.ascontiguousarray(np.moveaxis(ints, 1, -1)), scales, x)
    peers |= e.litert(operator, {"x": x}, others | {"y": _tflite.activation((1, 2, 2, 8), *Y)})
    return _weighted("Conv2d", (8, 8, 3), (8, 8, 3, 3), x, peers | {"onnxruntime": native["onnxruntime"]})
