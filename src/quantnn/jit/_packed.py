"""Packed weights in TorchScript files: script objects, whose states are tuples of tensors and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..io._errors import FileError
from ..tensor import QTensor

#: Operators that may run when a file is opened.
HARMLESS = (
    "aten::eq", "aten::ne", "aten::__contains__", "aten::__is__", "aten::__isnot__", "aten::__not__", "aten::len",
    "prim::RaiseException",
)  # fmt: skip
#: Those of them that take no time, whatever they get.
QUICK = ("aten::__is__", "aten::__isnot__", "aten::len", "prim::RaiseException")
#: Those that may as well, and take memory for the weight that is their first argument.
PACKING = (
    *(f"quantized::conv{n}d_prepack" for n in (1, 2, 3)),
    *(f"quantized::conv_transpose{n}d_prepack" for n in (1, 2, 3)),
    "quantized::linear_prepack",
    "quantized::linear_prepack_fp16",
    "quantized::embedding_bag_prepack",
)

_CLASSES = "__torch__.torch.classes."


def packed(name: str, state: Any, charge: Callable[[Any], None]) -> Any:
    """The packed weights of a class and a state; `charge` is told of each weight before it is packed."""
    short = name.removeprefix(_CLASSES)
    if short == "quantized.LinearPackedParamsBase":
        return _linear(state, charge)
    if short == "quantized.Conv2dPackedParamsBase":
        return _conv(2, state, charge)
    if short == "quantized.Conv3dPackedParamsBase":
        return _conv(3, state, charge)
    if short == "quantized.EmbeddingPackedParamsBase":
        match state:
            case (int(), [QTensor() as weight], list(), list()):
                charge(weight)
                return ops.embedding_bag_prepack(weight)
        raise FileError("packed embeddings must have a version, a weight and two lists")
    if short == "rnn.CellParamsBase":
        return _cell(state)
    raise FileError(f"the class {short} is not supported"[:300])


def _linear(state: Any, charge: Callable[[Any], None]) -> Any:
    match state:
        case (QTensor() | np.ndarray() as weight, bias):
            charge(weight)
            return (
                ops.linear_prepack(weight, bias)
                if isinstance(weight, QTensor)
                else ops.linear_prepack_fp16(weight, bias)
            )
    raise FileError("packed linear weights must have a weight and a bias")


def _conv(n: int, state: Any, charge: Callable[[Any], None]) -> Any:
    """Of all versions: 1 has a tensor for each number, 2 one tensor of all numbers, 3 a list of numbers."""
    bias: Any = None
    match state:
        case ("2", [np.ndarray() as numbers, QTensor() as weight], [bias]):
            values = _numbers(numbers)
        case (3, [*values], [None, QTensor() as weight, bias]):
            pass
        case (QTensor() as weight, bias, stride, padding, output_padding, dilation, groups, transposed):
            found = [_numbers(v) for v in (stride, padding, dilation, output_padding, groups, transposed)]
            values = [n, *(v for numbers in found for v in numbers)]
        case _:
            raise FileError(f"packed weights of a convolution of {n} dimensions must have a state of versions 1 to 3")
    if len(values) != 4 * n + 3 or values[0] != n or not all(type(v) in (int, bool) for v in values):
        raise FileError(f"packed weights of a convolution must have {4 * n + 3} numbers, {n} first; got {len(values)}")
    stride, padding, dilation, output_padding = (values[1 + i * n : 1 + (i + 1) * n] for i in range(4))
    groups, transposed = values[-2:]
    charge(weight)
    if transposed:
        prepack = (ops.conv_transpose2d_prepack, ops.conv_transpose3d_prepack)[n - 2]
        return prepack(weight, bias, stride, padding, output_padding, dilation, groups)
    return (ops.conv2d_prepack, ops.conv3d_prepack)[n - 2](weight, bias, stride, padding, dilation, groups)


def _numbers(x: Any) -> list[Any]:
    if isinstance(x, (list, tuple)):
        return [v for part in x for v in _numbers(part)]
    return x.ravel().tolist() if isinstance(x, np.ndarray) and x.dtype.kind in "biu" and x.size < 64 else [x]


def _cell(state: Any) -> Any:
    match state:
        case ("quantized_dynamic", [_, _], [], [reduce_range], [w_ih, w_hh]):
            return ops.make_quantized_cell_params_dynamic(w_ih, w_hh, None, None, bool(reduce_range))
        case ("quantized_fp16", list(), [], [], [w_ih, w_hh]):
            return ops.make_quantized_cell_params_fp16(w_ih, w_hh)
    raise FileError("the parameters of a cell must be those of a dynamically quantized or a float16 one")
