"""The smallest calls, where everything but the arithmetic counts: modules on a handful of elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx, _peers
from ._measure import Form, Row


def rows() -> Iterator[Row]:
    x = e.tensor(1, (1, 8))
    ten = e.tensor(2, (10,))
    image = e.tensor(3, (1, 8, 4, 4))
    floats = np.random.default_rng(4).standard_normal(10).astype(np.float32)
    yield _linear(x)
    yield _conv(image)
    yield _row(
        "ReLU6()(10 elements)",
        lambda: partial(quantnn.ReLU6(), ten.ours()),
        lambda t: partial(t.ao.nn.quantized.ReLU6(), ten.torch(t)),
    )
    yield _row(
        "QFunctional().add(10 elements)",
        lambda: partial(quantnn.QFunctional().add, ten.ours(), ten.ours()),
        lambda t: partial(t.ao.nn.quantized.QFunctional().add, ten.torch(t), ten.torch(t)),
    )
    yield _row(
        "Quantize(0.05, 100, quint8)(10 elements)",
        lambda: partial(quantnn.Quantize(e.SCALE, e.ZERO, quantnn.quint8), floats),
        lambda t: partial(t.ao.nn.quantized.Quantize(e.SCALE, e.ZERO, t.quint8), t.from_numpy(floats)),
    )
    yield _row(
        "DeQuantize()(10 elements)",
        lambda: partial(quantnn.DeQuantize(), ten.ours()),
        lambda t: partial(t.ao.nn.quantized.DeQuantize(), ten.torch(t)),
    )


def _row(
    shape: str,
    ours: Callable[[], Callable[[], Any]],
    torch: Callable[[Any], Callable[[], Any]],
    onnxruntime: Callable[[], Form] | None = None,
) -> Row:
    return e.row("calls", shape, 0, ours, torch, onnxruntime)


def _weights(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    scales = np.full(shape[0], 2.0**-6, np.float32)
    return rng.integers(-128, 128, shape).astype(np.int8), scales, np.zeros(shape[0], np.float32)


def _module(library: Any, name: str, arguments: tuple[Any, ...], weight: Any, bias: Any) -> Any:
    module = getattr(library, name)(*arguments)
    module.set_weight_bias(weight, bias)
    module.scale, module.zero_point = 0.5, 100
    return module


def _modules(
    name: str, arguments: tuple[Any, ...], shape: tuple[int, ...], x: e.Tensor
) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """A module with weights in quantnn and in torch."""
    ints, scales, bias = _weights(shape)

    def ours() -> Callable[[], Any]:
        zero_points = np.zeros(shape[0], np.int64)
        weight = quantnn.make_per_channel_quantized_tensor(ints, scales.astype(np.float64), zero_points, 0)
        module, q = _module(quantnn, name, arguments, weight, bias), x.ours()
        return lambda: module(q)

    def torch(t: Any) -> Callable[[], Any]:
        weight = _peers.torch_weight(t, ints, scales)
        module, q = _module(t.ao.nn.quantized, name, arguments, weight, t.from_numpy(bias)), x.torch(t)
        return lambda: module(q)

    return ours, torch


def _linear(x: e.Tensor) -> Row:
    ints, scales, _ = _weights((8, 8))

    def onnxruntime() -> Form:
        constants = x.constants("x") | {
            "w": np.ascontiguousarray(ints.T), "sw": scales, "zw": np.zeros(8, np.int8),
            "b": np.zeros(8, np.int32), "sy": np.float32(0.5), "zy": np.uint8(100),
        }  # fmt: skip
        names = ["x", "sx", "zx", "w", "sw", "zw", "b", "sy", "zy"]
        node = _onnx.Node("QGemm", names, ["y"], {"transB": 0}, _onnx.MICROSOFT)
        return e.onnx(node, {"x": x.ints}, constants, ((1, 8), "uint8"))

    return _row("Linear(8, 8)(1 row)", *_modules("Linear", (8, 8), (8, 8), x), onnxruntime)


def _conv(x: e.Tensor) -> Row:
    return _row("Conv2d(8, 8, 3)(4x4)", *_modules("Conv2d", (8, 8, 3), (8, 8, 3, 3), x))
