"""Whole networks at batch 1, module by module; ONNX Runtime and OpenVINO run them as one graph that they fuse.

torch's depthwise convolutions may saturate, so MobileNetV2 may be off there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from . import _networks, _peers
from ._measure import Row
from ._peers import Form


def rows() -> Iterator[Row]:
    for name in _networks.NETWORKS:
        yield _row(name)


def _row(name: str) -> Row:
    build = _networks.NETWORKS[name]
    image = _networks.image()
    planes = np.ascontiguousarray(image)

    def ours() -> Form:
        return _peers.ours(partial(_networks.filled(build, _networks.quantnn_library()), image))

    def torch(engine: str) -> Form:
        module = _peers.torch(engine)
        net = _networks.filled(build, _networks.torch_library(module))
        x = module.from_numpy(planes).contiguous(memory_format=module.channels_last)
        return Form(partial(net, x), lambda y: y.numpy())

    forms = {
        "quantnn": ours,
        "torch": lambda: torch("fbgemm"),
        "torch-onednn": lambda: torch("onednn"),
        "onnxruntime": lambda: _peers.onnxruntime(_networks.onnx(build), {"x": planes}),
        "openvino": lambda: _peers.openvino(_networks.onnx(build), {"x": planes}),
    }
    return Row("whole network", name, 0, 0, forms, tolerance=np.inf if name == "MobileNetV2" else 0.0)
