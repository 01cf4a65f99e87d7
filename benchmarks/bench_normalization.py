"""Batch, layer, group and instance normalization."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from . import _onnx
from ._measure import Row
from ._peers import Form

EPSILON = float(np.float32(1e-5))
QPARAMS = (0.03, 120)


def rows() -> Iterator[Row]:
    image, text = e.tensor(1), e.tensor(2, (128, 768))
    channels = image.ints.shape[1]
    rng = np.random.default_rng(3)
    weight, bias, mean = (rng.standard_normal(channels).astype(np.float32) for _ in range(3))
    var = rng.uniform(0.5, 2, channels).astype(np.float32)
    scale, shift = (rng.standard_normal(768).astype(np.float32) for _ in range(2))
    yield _row(
        "batch_norm2d", "64 at 56", image, (), (weight, bias, mean, var),
        _peers(image, "BatchNormalization", {}, (weight, bias, mean, var)),
    )  # fmt: skip
    yield _row(
        "layer_norm", "128 x 768", text, ([768],), (scale, shift),
        _peers(text, "LayerNormalization", {"axis": -1}, (scale, shift)),
    )  # fmt: skip
    # of a large channels-last image torch sums in float32, quantnn exactly
    planes = e.Tensor(np.ascontiguousarray(image.ints), image.scale, image.zero_point)
    for name, first, op, attributes in (
        ("group_norm", (8,), "GroupNormalization", {"num_groups": 8}),
        ("instance_norm", (), "InstanceNormalization", {}),
    ):
        peers = _peers(planes, op, attributes, (weight, bias))
        yield _row(name, "64 at 56, contiguous", planes, first, (weight, bias), peers)
        peers = _peers(image, op, attributes, (weight, bias))
        yield _row(name, "64 at 56", image, first, (weight, bias), peers, tolerance=1.0)


def _peers(
    x: e.Tensor, op: str, attributes: dict[str, Any], arrays: tuple[np.ndarray, ...]
) -> dict[str, Callable[[], Form]]:
    constants = {f"p{i}": a for i, a in enumerate(arrays)}
    node = _onnx.Node(op, ["fx", *constants], ["fy"], attributes | {"epsilon": EPSILON})
    constants |= e.qparams("y", *QPARAMS)
    return e.around([node], {"x": x}, constants, x.ints.shape, not x.ints.flags.c_contiguous, opset=21)


def _row(
    name: str,
    shape: str,
    x: e.Tensor,
    first: tuple[Any, ...],
    arrays: tuple[np.ndarray, ...],
    peers: dict[str, Callable[[], Form]],
    tolerance: float = 0.0,
) -> Row:
    arguments = (*first, *arrays, EPSILON, *QPARAMS)

    def torch(t: Any) -> Any:
        f, q, tensors = getattr(t.ops.quantized, name), x.torch(t), [t.from_numpy(a) for a in arrays]
        return lambda: f(q, *first, *tensors, EPSILON, *QPARAMS)

    f = getattr(quantnn.ops, name)
    group = name.replace("2d", "").replace("_", " ")
    return e.row(group, shape, x.ints.size * 2, lambda: partial(f, x.ours(), *arguments), torch, peers, tolerance)
