"""The peers: each function makes one ready to run, or raises `Unavailable` with the reason.

torch                 eager quantized operators, engine fbgemm; weights prepacked, images channels-last
torch-onednn          the same with the engine onednn
onnxruntime           QLinear operators on the CPU, images channels-last where the operator knows them
openvino              the quantize-dequantize form of the same model, images channels-last at the border
"""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import quantnn

from ._measure import Form, Unavailable

NAMES = ("torch", "torch-onednn", "onnxruntime", "openvino")

#: Threads that every peer may use; set once by `prepare`.
_threads = 1


def prepare(threads: int) -> None:
    """Give quantnn and every installed peer its number of threads."""
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
        module = importlib.import_module(name.split("-")[0])
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
    """A per-tensor quantized torch tensor with the strides of `ints`."""
    tensor = module._make_per_tensor_quantized_tensor(module.from_numpy(np.array(ints, order="K")), scale, zero_point)
    last = {4: module.channels_last, 5: module.channels_last_3d}.get(ints.ndim)
    moved = np.moveaxis(ints, 1, -1) if ints.ndim > 3 else ints
    if last is not None and moved.flags.c_contiguous and not ints.flags.c_contiguous:
        tensor = tensor.contiguous(memory_format=last)
    return tensor


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
    if _threads > 1:  # threads that spin between calls would slow the other peers down
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = module.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # its exceptions have no common base
        raise Unavailable(f"cannot run the model: {str(e).splitlines()[0][:150]}") from e
    run = session.run
    return Form(lambda: run(None, feeds), lambda y: (ints or np.asarray)(y[0]))


# ---- OpenVINO ----------------------------------------------------------------------------------------------
def openvino(model: bytes, feed: np.ndarray, ints: Callable[[Any], np.ndarray] | None = None) -> Form:
    """A compiled model with a bound request, one input and one output; images are (N, H, W, C) there."""
    try:
        import openvino as module
        from openvino.preprocess import PrePostProcessor
    except ImportError:
        raise Unavailable("is not installed") from None
    core = module.Core()
    network = core.read_model(io.BytesIO(model))
    if feed.ndim == 4:
        border = PrePostProcessor(network)
        border.input().tensor().set_layout(module.Layout("NHWC"))
        border.input().model().set_layout(module.Layout("NCHW"))
        border.output().tensor().set_layout(module.Layout("NHWC"))
        border.output().model().set_layout(module.Layout("NCHW"))
        network = border.build()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": _threads, "NUM_STREAMS": 1}
    try:
        compiled = core.compile_model(network, "CPU", settings)
    except RuntimeError as e:
        raise Unavailable(f"cannot run the model: {str(e).splitlines()[-1][:150]}") from e
    request = compiled.create_infer_request()
    request.set_input_tensor(module.Tensor(feed, shared_memory=True))
    infer = request.infer
    output = request.get_output_tensor()

    def result(_: Any) -> np.ndarray:
        return (ints or np.asarray)(output.data)

    return Form(infer, result)
