"""What the families without weights share: a tensor in every library's form, rows by bytes moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import quantnn

from . import _onnx, _peers, _tflite
from ._measure import Row
from ._peers import Form

SCALE, ZERO = 0.05, 100
IMAGE = (1, 64, 56, 56)  # an early layer's activations


class Tensor(NamedTuple):
    """Random quint8 integers, channels-last where they are an image, and their qparams."""

    ints: np.ndarray
    scale: float
    zero_point: int

    def ours(self) -> Any:
        return quantnn.make_per_tensor_quantized_tensor(self.ints, self.scale, self.zero_point)

    def torch(self, module: Any) -> Any:
        return _peers.torch_tensor(module, self.ints, self.scale, self.zero_point)

    @property
    def pixels(self) -> np.ndarray:
        """The integers in memory order: (N, *spatial, C) of an image."""
        return self.ints if self.ints.flags.c_contiguous else np.ascontiguousarray(np.moveaxis(self.ints, 1, -1))

    def constants(self, name: str) -> dict[str, Any]:
        """The qparams for an ONNX model, as s`name` and z`name`."""
        return qparams(name, self.scale, self.zero_point)


def tensor(seed: int, shape: tuple[int, ...] = IMAGE, scale: float = SCALE, zero_point: int = ZERO) -> Tensor:
    ints = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return Tensor(_peers.channels_last(ints) if ints.ndim > 3 else ints, scale, zero_point)


def qparams(name: str, scale: float, zero_point: int) -> dict[str, Any]:
    return {f"s{name}": np.float32(scale), f"z{name}": np.uint8(zero_point)}


def row(
    group: str,
    shape: str,
    moved: int,
    ours: Callable[[], Callable[[], Any]],
    torch: Callable[[Any], Callable[[], Any]],
    peers: dict[str, Callable[[], Form]] | None = None,
    tolerance: float = 0.0,
) -> Row:
    """A row whose work is the bytes that it reads and writes; `peers` are those without torch's two."""
    forms = {"quantnn": lambda: _peers.ours(ours()), **_peers.torch_forms(torch), **(peers or {})}
    return Row(group, shape, 0, moved, forms, tolerance=tolerance)


def onnx(
    nodes: list[_onnx.Node],
    feeds: dict[str, np.ndarray],
    constants: dict[str, Any],
    out: tuple[tuple[int, ...], str],
    opset: int = 17,
    images: bool = True,
) -> dict[str, Callable[[], Form]]:
    """ONNX Runtime's and OpenVINO's forms of one model; its output "y" has a shape and dtype.

    If that has more than three dimensions, it is channels-last `images`.
    """
    inputs = {name: (a.dtype.name, a.shape) for name, a in feeds.items()}
    ints = _channels_first if images else np.asarray

    def form(peer: Callable[..., Form]) -> Form:
        return peer(_onnx.model(nodes, inputs, {"y": (out[1], out[0])}, constants, opset), feeds, ints)

    return {"onnxruntime": lambda: form(_peers.onnxruntime), "openvino": lambda: form(_peers.openvino)}


def around(
    nodes: list[_onnx.Node],
    tensors: dict[str, Tensor],
    constants: dict[str, Any],
    shape: tuple[int, ...],
    channels_first: bool = False,
    opset: int = 17,
) -> dict[str, Callable[[], Form]]:
    """The forms of float nodes between dequantize and quantize: from f`name` to "fy", which has a `shape`.

    `constants` has "sy" and "zy". The nodes see images in memory order, or else `channels_first`: then OpenVINO
    gets channels-last images and transposes them, which it does without moving data; ONNX Runtime does not, it gets
    channels-first ones.
    """
    constants = constants | {k: v for n, t in tensors.items() for k, v in t.constants(n).items()}
    pixels = {n: t.pixels for n, t in tensors.items()}
    before = [_onnx.Node("DequantizeLinear", [n, f"s{n}", f"z{n}"], [f"f{n}"]) for n in tensors]
    after = [_onnx.Node("QuantizeLinear", ["fy", "sy", "zy"], ["y"])]
    if not channels_first:
        images = not any(t.ints.flags.c_contiguous for t in tensors.values())
        return onnx([*before, *nodes, *after], pixels, constants, (shape, "uint8"), opset, images)

    dims = len(shape)
    last = [
        *(node._replace(outputs=[f"{node.outputs[0]}_last"]) for node in before),
        *(_onnx.channels_first(f"f{n}_last", f"f{n}", dims) for n in tensors),
        *nodes,
        after[0]._replace(outputs=["y_first"]),
        _onnx.channels_last("y_first", "y", dims),
    ]
    forms = onnx(last, pixels, constants, ((shape[0], *shape[2:], shape[1]), "uint8"), opset)
    planes = {n: np.ascontiguousarray(t.ints) for n, t in tensors.items()}
    inputs = {n: ("uint8", a.shape) for n, a in planes.items()}

    def onnxruntime() -> Form:
        model = _onnx.model([*before, *nodes, *after], inputs, {"y": ("uint8", shape)}, constants, opset)
        return _peers.onnxruntime(model, planes)

    return forms | {"onnxruntime": onnxruntime}


def litert(
    operator: _tflite.Operator | list[_tflite.Operator],
    tensors: dict[str, Tensor],
    others: dict[str, _tflite.Tensor],
) -> dict[str, Callable[[], Form]]:
    """LiteRT's form of operators on `tensors`; `others` are the constants and the output "y", images channels-last."""
    operators = operator if isinstance(operator, list) else [operator]
    pixels = {n: t.pixels for n, t in tensors.items()}
    inputs = {n: _tflite.activation(pixels[n].shape, t.scale, t.zero_point) for n, t in tensors.items()}
    return {"litert": lambda: _peers.litert(operators, inputs | others, pixels, _channels_first)}


def _channels_first(y: np.ndarray) -> np.ndarray:
    return np.moveaxis(y, -1, 1) if y.ndim > 3 else y
