"""The static LSTM and attention, which are made of many operators, and tables of floats packed for lookups."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import quantnn

from . import _elementwise as e
from ._measure import Row


def rows() -> Iterator[Row]:
    options = {"input_size": 64, "hidden_size": 128}
    yield _module("LSTM", "32 steps, 1 x 64 to 128", options, (32, 1, 64), 1)
    yield _module("LSTM", "32 steps, 16 x 64 to 128", options, (32, 16, 64), 1)
    options = {"embed_dim": 128, "num_heads": 4}
    yield _module("MultiheadAttention", "64 x 4 x 128, 4 heads", options, (64, 4, 128), 3)
    for name in ("byte", "4bit", "2bit"):
        yield _prepack(f"embedding_bag_{name}_prepack")


def _module(name: str, shape_name: str, options: dict[str, int], shape: tuple[int, ...], inputs: int) -> Row:
    x = e.tensor(1, shape)

    def ours() -> Any:
        module = getattr(quantnn, name)(**options)
        _fill(module, lambda ints, scale: quantnn.make_per_tensor_quantized_tensor(ints, scale, 0), np.asarray)
        given = [x.ours()] * inputs
        return lambda: module(*given)[0]

    def torch(t: Any) -> Any:
        floats = getattr(t.nn, name)(**options).eval()
        floats.qconfig = t.ao.quantization.default_qconfig
        observed = getattr(t.ao.nn.quantizable, name).from_float(floats)
        with t.no_grad():
            observed(*[t.randn(shape)] * inputs)
        module = getattr(t.ao.nn.quantized, name).from_observed(observed)
        quantized = t._make_per_tensor_quantized_tensor
        _fill(module, lambda ints, scale: quantized(t.from_numpy(ints), scale, 0), t.from_numpy)
        given = [x.torch(t)] * inputs
        return lambda: module(*given)[0]

    # the floats of attention may differ in their last bits
    return e.row(f"{name}, static", shape_name, 0, ours, torch, {}, tolerance=1.0)


def _fill(module: Any, weight: Callable[[np.ndarray, float], Any], array: Callable[[np.ndarray], Any]) -> None:
    """Give the parts of a module weights and quantization parameters that follow from their names."""
    for name, part in module.named_modules():
        if hasattr(part, "out_features") and hasattr(part, "set_weight_bias"):
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            ints = rng.integers(-60, 61, (part.out_features, part.in_features), np.int8)
            part.set_weight_bias(weight(ints, 0.004), array(rng.normal(0, 0.1, part.out_features).astype(np.float32)))
            part.scale, part.zero_point = 0.03, 128
        elif type(part).__name__ == "QFunctional":
            part.scale, part.zero_point = 0.03, 128
        elif type(part).__name__ == "Quantize":
            part.scale, part.zero_point = array(np.float32([0.02])), array(np.array([100]))


def _prepack(name: str) -> Row:
    floats = np.random.default_rng(1).standard_normal((10_000, 64)).astype(np.float32)
    return e.row(
        name, "10000 x 64", floats.nbytes,
        lambda: partial(getattr(quantnn.ops, name), floats),
        lambda t: partial(getattr(t.ops.quantized, name), t.from_numpy(floats)),
    )  # fmt: skip
