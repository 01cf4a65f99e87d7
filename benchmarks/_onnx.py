"""ONNX models of a few nodes, written as protobuf by hand: the peers need no other package than themselves.

Only what the benchmarks use: nodes with numbers as attributes, initializers, one input and output or more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
MICROSOFT = "com.microsoft"


class Node(NamedTuple):
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = {}  # noqa: RUF012
    domain: str = ""


def channels_first(name: str, out: str, ndim: int) -> Node:
    """The transposition from (N, *spatial, C)."""
    return Node("Transpose", [name], [out], {"perm": [0, ndim - 1, *range(1, ndim - 1)]})


def channels_last(name: str, out: str, ndim: int) -> Node:
    """The transposition to (N, *spatial, C)."""
    return Node("Transpose", [name], [out], {"perm": [0, *range(2, ndim), 1]})


def model(
    nodes: list[Node],
    inputs: dict[str, tuple[str, tuple[int, ...]]],
    outputs: dict[str, tuple[str, tuple[int, ...]]],
    constants: dict[str, Any],
    opset: int = 17,
) -> bytes:
    """A serialized ModelProto. Inputs and outputs are name: (dtype, shape), constants name: array."""
    graph = b"".join(_message(1, _node(n)) for n in nodes) + _text(2, "benchmark")
    graph += b"".join(_message(5, _tensor(name, np.asarray(value))) for name, value in constants.items())
    graph += b"".join(_message(11, _value(name, *v)) for name, v in inputs.items())
    graph += b"".join(_message(12, _value(name, *v)) for name, v in outputs.items())
    opsets = _message(8, _text(1, "") + _integer(2, opset)) + _message(8, _text(1, MICROSOFT) + _integer(2, 1))
    return _integer(1, 8) + _message(7, graph) + opsets


def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + np.float32(value).tobytes()


def _tensor(name: str, array: np.ndarray) -> bytes:
    body = b"".join(_integer(1, n) for n in array.shape) + _integer(2, TYPES[array.dtype.name])
    return body + _text(8, name) + _message(9, array.tobytes())


def _value(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_message(1, _integer(1, n)) for n in shape)
    return _text(1, name) + _message(2, _message(1, _integer(1, TYPES[dtype]) + _message(2, dims)))


def _node(node: Node) -> bytes:
    body = b"".join(_text(1, n) for n in node.inputs) + b"".join(_text(2, n) for n in node.outputs)
    body += _text(4, node.op) + b"".join(_message(5, _attribute(k, v)) for k, v in node.attributes.items())
    return body + (_text(7, node.domain) if node.domain else b"")


def _attribute(name: str, value: Any) -> bytes:
    head = _text(1, name)
    if isinstance(value, float):
        return head + _float(2, value) + _integer(20, 1)
    if isinstance(value, int):
        return head + _integer(3, value) + _integer(20, 2)
    if isinstance(value, str):
        return head + _text(4, value) + _integer(20, 3)
    return head + b"".join(_integer(8, n) for n in value) + _integer(20, 7)
