"""LiteRT models of a few operators, in the schema that the package brings.

LiteRT's integers are signed: of a quint8 tensor 128 less, its zero point too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Tensor(NamedTuple):
    """A tensor of a model: a constant if it has `data`."""

    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: Any = None  # a number, or one for each channel along `axis`
    zero_point: int = 0
    axis: int = 0
    data: np.ndarray | None = None


class Operator(NamedTuple):
    """An operator by its name in the schema; inputs and outputs are names of tensors."""

    name: str
    inputs: list[str]
    outputs: list[str]
    options: str = ""  # the name of its table of options
    fields: dict[str, Any] = {}  # noqa: RUF012
    version: int = 5  # one that knows int8


def activation(shape: tuple[int, ...], scale: float, zero_point: int) -> Tensor:
    """A tensor of quint8's qparams."""
    return Tensor(shape, "int8", scale, zero_point - 128)


def constant(data: np.ndarray, scale: Any = None, axis: int = 0) -> Tensor:
    return Tensor(data.shape, data.dtype.name, scale, 0, axis, data)


def signed(ints: np.ndarray) -> np.ndarray:
    """LiteRT's integers for quint8's."""
    return np.ascontiguousarray(ints ^ 128).view(np.int8)


def unsigned(ints: np.ndarray) -> np.ndarray:
    """quint8's integers for LiteRT's."""
    return ints.view(np.uint8) ^ 128


def model(operators: list[Operator], tensors: dict[str, Tensor], inputs: list[str], output: str) -> bytes:
    """A serialized model."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    made = schema.ModelT()
    made.version = 3
    made.buffers = [schema.BufferT()]  # the first one is empty: what has no data
    graph = schema.SubGraphT()
    numbers = {name: i for i, name in enumerate(tensors)}
    graph.tensors = []
    for name, tensor in tensors.items():
        entry = schema.TensorT()
        entry.name, entry.shape = name, list(tensor.shape)
        entry.type = getattr(schema.TensorType, tensor.dtype.upper())
        if tensor.scale is not None:
            scales = np.atleast_1d(np.asarray(tensor.scale, np.float32))
            entry.quantization = schema.QuantizationParametersT()
            entry.quantization.scale = scales.tolist()
            entry.quantization.zeroPoint = [tensor.zero_point] * len(scales)
            entry.quantization.quantizedDimension = tensor.axis
        if tensor.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(tensor.data.tobytes(), np.uint8)
            entry.buffer = len(made.buffers)
            made.buffers.append(buffer)
        graph.tensors.append(entry)
    graph.inputs, graph.outputs = [numbers[n] for n in inputs], [numbers[output]]
    made.operatorCodes, graph.operators = [], []
    for operator in operators:
        code, entry = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, operator.name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = operator.version
        entry.opcodeIndex = len(made.operatorCodes)
        entry.inputs, entry.outputs = ([numbers[n] for n in names] for names in (operator.inputs, operator.outputs))
        if operator.options:
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, operator.options)
            entry.builtinOptions = getattr(schema, f"{operator.options}T")()
            for field, value in operator.fields.items():
                setattr(entry.builtinOptions, field, value)
        made.operatorCodes.append(code)
        graph.operators.append(entry)
    made.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())
