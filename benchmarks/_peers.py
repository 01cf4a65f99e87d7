"""The peers: each function makes one ready to run, or raises `Unavailable` with the reason.

torch                 eager quantized operators, engine fbgemm; weights prepacked, images channels-last
torch-onednn          the same with the engine onednn
onnxruntime           QLinear operators on the CPU, images channels-last where the operator knows them
openvino              float operators between dequantize and quantize, which it fuses; images channels-last
litert                signed integers, the XNNPACK delegate, images channels-last
"""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import quantnn

from . import _tflite

NAMES = ("torch", "torch-onednn", "onnxruntime", "openvino", "litert")
_PACKAGES = {"torch-onednn": "torch", "litert": "ai_edge_litert"}

#: Threads that a form made from now on may use; set by `prepare`.
_threads = 1


class Unavailable(Exception):
    """Why a peer cannot run a row."""


class Form(NamedTuple):
    """An operation ready to run: `call` is timed, `ints` gives the logical array of what it returns."""

    call: Callable[[], Any]
    ints: Callable[[Any], np.ndarray] | None  # None: not to be compared


def prepare(threads: int) -> None:
    """Give quantnn and every installed peer its number of threads; make forms after it."""
    global _threads
    _threads = threads
    quantnn.set_num_threads(threads)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")  # its deprecation of quantized tensors


def installed(name: str) -> str | None:
    """The version of a peer, None if it is not installed."""
    try:
        module = importlib.import_module(_PACKAGES.get(name, name))
    except ImportError:
        return None
    return str(module.__version__)


# ---- quantnn -----------------------------------------------------------------------------------------------
def ours(call: Callable[[], Any]) -> Form:
    """quantnn's form."""
    return Form(call, lambda y: y.int_repr() if isinstance(y, quantnn.QTensor) else y)


def channels_last(ints: np.ndarray) -> np.ndarray:
    """An (N, C, *spatial) array with its memory in channels-last order."""
    moved = np.ascontiguousarray(np.moveaxis(ints, 1, -1))
    return np.moveaxis(moved, -1, 1)


# ---- torch -------------------------------------------------------------------------------------------------
def torch(engine: str = "fbgemm") -> Any:
    """The torch module with its quantized engine set."""
    try:
        import torch as module
    except ImportError:
        raise Unavailable("is not installed") from None
    if engine not in module.backends.quantized.supported_engines:
        raise Unavailable(f"has no engine {engine} here")
    module.backends.quantized.engine = engine
    return module


def torch_forms(make: Callable[[Any], Callable[[], Any]]) -> dict[str, Callable[[], Form]]:
    """The forms "torch" and "torch-onednn" from a function of the torch module that returns the call."""

    def form(engine: str) -> Form:
        module = torch(engine)
        call = make(module)
        return Form(call, lambda y: y.int_repr().numpy() if y.is_quantized else y.numpy())

    return {"torch": lambda: form("fbgemm"), "torch-onednn": lambda: form("onednn")}


def torch_tensor(module: Any, ints: np.ndarray, scale: float, zero_point: int) -> Any:
    """A per-tensor quantized torch tensor with the strides of `ints`: contiguous or channels-last."""

    def make(a: np.ndarray) -> Any:
        return module._make_per_tensor_quantized_tensor(module.from_numpy(np.ascontiguousarray(a)), scale, zero_point)

    if ints.flags.c_contiguous:
        return make(ints)
    return make(np.moveaxis(ints, 1, -1)).permute(0, ints.ndim - 1, *range(1, ints.ndim - 1))


def torch_weight(module: Any, ints: np.ndarray, scales: np.ndarray) -> Any:
    """A weight quantized per channel along axis 0."""
    zero_points = module.zeros(len(scales), dtype=module.long)
    return module._make_per_channel_quantized_tensor(
        module.from_numpy(ints), module.from_numpy(scales.astype(np.float64)), zero_points, 0
    )


# ---- ONNX Runtime ------------------------------------------------------------------------------------------
def onnxruntime(model: bytes, feeds: dict[str, np.ndarray], ints: Callable[[Any], np.ndarray] | None = None) -> Form:
    """A session over a model with one output."""
    try:
        import onnxruntime as module
    except ImportError:
        raise Unavailable("is not installed") from None
    options = module.SessionOptions()
    options.intra_op_num_threads = _threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = module.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # its exceptions have no common base
        raise Unavailable(f"cannot run the model: {str(e).splitlines()[0][:150]}") from e
    run = session.run
    return Form(lambda: run(None, feeds), lambda y: (ints or np.asarray)(y[0]))


# ---- OpenVINO ----------------------------------------------------------------------------------------------
def openvino(model: bytes, feeds: dict[str, np.ndarray], ints: Callable[[Any], np.ndarray] | None = None) -> Form:
    """A compiled model with bound inputs and one output, which it writes again in each call.

    It computes in int8 if channels-last images are transposed after they are dequantized; what is left to floats
    is float32, as its default, bfloat16 on some processors, would give other integers.
    """
    try:
        import openvino as module
    except ImportError:
        raise Unavailable("is not installed") from None
    settings = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": _threads, "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    core = module.Core()
    try:
        compiled = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", settings)
    except RuntimeError as e:
        raise Unavailable(f"cannot run the model: {str(e).strip().splitlines()[-1][:150]}") from e
    request = compiled.create_infer_request()
    for name, feed in feeds.items():
        request.set_tensor(name, module.Tensor(feed, shared_memory=True))
    output = request.get_output_tensor()
    return Form(request.infer, lambda _: (ints or np.asarray)(output.data))


# ---- LiteRT ------------------------------------------------------------------------------------------------
def litert(
    operators: list[_tflite.Operator],
    tensors: dict[str, _tflite.Tensor],
    feeds: dict[str, np.ndarray],
    ints: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Form:
    """An interpreter of a model with the output "y", which each call writes again; quint8 in and out."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise Unavailable("is not installed") from None
    try:
        model = _tflite.model(operators, tensors, list(feeds), "y")
        interpreter = Interpreter(model_content=model, num_threads=_threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as e:
        raise Unavailable(f"cannot run the model: {str(e).strip().splitlines()[0][:150]}") from e
    for detail, feed in zip(interpreter.get_input_details(), feeds.values(), strict=True):
        interpreter.set_tensor(detail["index"], _tflite.signed(feed) if feed.dtype == np.uint8 else feed)
    index = interpreter.get_output_details()[0]["index"]

    def result(_: Any) -> np.ndarray:
        y = interpreter.get_tensor(index)
        return (ints or np.asarray)(_tflite.unsigned(y) if y.dtype == np.int8 else y)

    return Form(interpreter.invoke, result)
