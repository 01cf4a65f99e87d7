"""Files that somebody thought of: each must be refused, or open harmlessly, in little time and memory."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn

from . import fuzz
from .write import Call, File, Global, New, Persistent, Raw, pickled, zipped

V2 = Global("torch._utils", "_rebuild_tensor_v2")
OPENED = "opened"


def checkpoint(data: bytes) -> bytes:
    """A state dict whose pickle is given."""
    return zipped({"data.pkl": b"\x80\x02" + data + b".", "version": b"3\n"})


def tensor(size: Any, stride: Any, offset: Any = 0, more: bytes = b"") -> bytes:
    """A state dict with one tensor of 6 elements."""
    file = File()
    return file.zip({"x": Call(V2, (file.storage(np.zeros(6, np.float32)), offset, size, stride, False, Raw(b"}")))})


def quantized(size: Any, quantizer: Any, dtype: str = "qint8", elements: int = 6, offset: int = 0) -> bytes:
    """A state dict with one quantized tensor; arrays in its quantizer are written."""
    file = File()
    storage = file.storage(np.zeros(elements, np.uint8 if dtype[1] == "u" else np.int8), dtype)
    stride = tuple(int(np.prod(size[i + 1 :])) for i in range(len(size)))
    scheme, *values = quantizer
    written = (Global("torch", scheme), *map(file.value, values))
    return file.zip({"x": file.qtensor_of(storage, offset, size, stride, written)})


def claimed(numel: int) -> bytes:
    file = File()
    file.storage(np.zeros(6, np.float32))
    storage = Persistent(("storage", Global("torch", "FloatStorage"), "0", "cpu", numel))
    return file.zip({"x": Call(V2, (storage, 0, (6,), (1,), False, Raw(b"}")))})


def overlapping() -> bytes:
    """Two names in the directory for the same record, of which the second is the first's with another name."""
    file = File()
    state = {"x": file.tensor(np.zeros(6)), "y": file.tensor(np.zeros(6))}
    data = bytearray(zipped({"data.pkl": pickled(state), "data/0": bytes(48), "data/1": bytes(48)}, alignment=1))
    first = data.find(b"archive/data/0")
    second = data.rfind(b"PK\1\2")
    struct.pack_into("<I", data, second + 42, first - 30)
    return bytes(data)


def twice() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a/data.pkl", pickled({}))
        archive.writestr("a/data.pkl", pickled({"x": 1}))
    return buffer.getvalue()


def large_record(size: int) -> bytes:
    """A record that claims so many bytes in a zip64 field."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("a/data.pkl")
        info.extra = struct.pack("<HHQQ", 1, 16, size, size)
        archive.writestr(info, pickled({}))
    data = bytearray(buffer.getvalue())
    struct.pack_into("<II", data, data.rfind(b"PK\1\2") + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    return bytes(data)


def many_records() -> bytes:
    data = bytearray(zipped({"data.pkl": pickled({})}))
    struct.pack_into("<HH", data, data.rfind(b"PK\5\6") + 8, 0xFFFF, 0xFFFF)
    return bytes(data)


def views(count: int) -> bytes:
    """Many tensors that repeat one small storage."""
    file = File()
    storage = file.storage(np.zeros(6, np.float32))
    return file.zip({str(i): Call(V2, (storage, 0, (256, 256), (0, 0), False, Raw(b"}"))) for i in range(count)})


def untyped() -> bytes:
    file = File()
    file.storage(np.zeros(6, np.uint8))
    storage = Persistent(("storage", Global("torch.storage", "UntypedStorage"), "0", "cpu", 6))
    rebuild = Global("torch._utils", "_rebuild_tensor_v3")
    return file.zip({"x": Call(rebuild, (storage, 0, (3,), (1,), False, Raw(b"}"), Global("torch", "float64")))})


ONES = np.ones(2, np.float32)
ZEROS = np.zeros(2, np.int64)
CHECKPOINTS: dict[str, Callable[[], bytes]] = {
    "a list in itself": lambda: checkpoint(b"}X\1\0\0\0x]q\0h\0as"),
    "a tuple in its own list": lambda: checkpoint(b"}X\1\0\0\0x]q\0h\0\x85as"),
    "metadata in itself": lambda: checkpoint(b"ccollections\nOrderedDict\n)Rq\0}X\x09\0\0\0_metadatah\0sb"),
    "20,000 tuples": lambda: checkpoint(b"}X\1\0\0\0xN" + b"\x85" * 20_000 + b"s"),
    "20,000 dicts": lambda: checkpoint(b"}X\1\0\0\0x" * 20_000 + b"N" + b"s" * 20_000),
    "20,000 marks": lambda: checkpoint(b"(" * 20_000 + b"t" * 20_000),
    "a string of 10^7": lambda: zipped({"data.pkl": pickled({"x": "a" * 10**7})}, deflated=True),
    "a string claimed": lambda: checkpoint(b"}X\1\0\0\0x\x8d" + struct.pack("<Q", 1 << 63) + b"s"),
    "doubled tuples": lambda: checkpoint(b"}X\1\0\0\0x)q\0" + b"0h\0h\0\x86q\0" * 99 + b"s"),
    "doubled dicts": lambda: checkpoint(b"}q\0" + b"0}(X\1\0\0\0ah\0X\1\0\0\0bh\0uq\0" * 99),
    "overlapping records": overlapping,
    "a record twice": twice,
    "a record of 2^63 bytes": lambda: large_record(1 << 63),
    "a record of 2^64 - 1 bytes": lambda: large_record((1 << 64) - 1),
    "65,535 records": many_records,
    "a storage of 2^62": lambda: claimed(1 << 62),
    "a storage of -1": lambda: claimed(-1),
    "10^12 elements by strides of 0": lambda: tensor((10**6, 10**6), (0, 0)),
    "sizes whose product overflows": lambda: tensor((1 << 61, 1 << 61), (0, 0)),
    "an offset of 2^61": lambda: tensor((1,), (1,), 1 << 61),
    "a size that is a float": lambda: tensor((2.0, 3), (3, 1)),
    "a size that is True": lambda: tensor((True, 3), (3, 1)),
    "33 dimensions": lambda: tensor((1,) * 33, (1,) * 33),
    "a scale of nan": lambda: quantized((6,), ("per_tensor_affine", float("nan"), 0)),
    "a scale of inf": lambda: quantized((6,), ("per_tensor_affine", float("inf"), 0)),
    "a scale of 0": lambda: quantized((6,), ("per_tensor_affine", 0.0, 0)),
    "a scale of 10^300": lambda: quantized((6,), ("per_tensor_affine", 1e300, 0)),
    "a zero point of 128": lambda: quantized((6,), ("per_tensor_affine", 1.0, 128)),
    "a zero point of 2^62": lambda: quantized((6,), ("per_tensor_affine", 1.0, 1 << 62)),
    "scales of nan": lambda: quantized((2, 3), ("per_channel_affine", ONES * np.nan, ZEROS, 0)),
    "zero points of 300": lambda: quantized((2, 3), ("per_channel_affine", ONES, ZEROS + 300, 0)),
    "an axis of 2": lambda: quantized((2, 3), ("per_channel_affine", ONES, ZEROS, 2)),
    "an axis of -9": lambda: quantized((2, 3), ("per_channel_affine", ONES, ZEROS, -9)),
    "scales of another axis": lambda: quantized((2, 3), ("per_channel_affine", ONES, ZEROS, 1)),
    "zero points that are fewer": lambda: quantized((2, 3), ("per_channel_affine", ONES, ZEROS[:1], 0)),
    "complex scales": lambda: quantized((2, 3), ("per_channel_affine", np.ones(2, np.float64), np.ones((2, 1)), 0)),
    "4 bits, too few": lambda: quantized((3, 5), ("per_channel_affine", np.ones(3), np.zeros(3), 0), "quint4x2", 7),
    "4 bits from the middle of a byte": lambda: quantized((3,), ("per_tensor_affine", 1.0, 0), "quint4x2", 6, 1),
    "2^62 elements of 4 bits": lambda: quantized((1 << 31, 1 << 31), ("per_tensor_affine", 1.0, 0), "quint4x2"),
    "floats over 6 bytes": untyped,
    "a tensor as a storage": lambda: File().zip({"x": Call(V2, (3, 0, (1,), (1,)))}),
    "a tensor of nothing": lambda: File().zip({"x": Call(V2, ())}),
    "a state twice": lambda: checkpoint(b"}X\1\0\0\0xctorch\nScriptObject\n)\x81NbNbs"),
    "a class as a value": lambda: checkpoint(b"}X\1\0\0\0xctorch._utils\n_rebuild_tensor\ns"),
    "keys of 10^5 lists": lambda: checkpoint(b"}" + b"]Ns" * 100_000),
}
HARMLESS_CHECKPOINTS: dict[str, Callable[[], bytes]] = {
    "4 bits, odd columns": lambda: quantized((3, 5), ("per_channel_affine", np.ones(3), np.zeros(3), 0), "quint4x2", 8),
    "nothing at all": lambda: tensor((0, 1 << 40), (1, 1)),
    "1,000 views": lambda: views(1000),
}


def script(text: str, state: Any = None, constants: Any = (), name: str = "__torch__", **records: bytes) -> bytes:
    """A TorchScript file: class Net of a text, and the attributes of one object."""
    root = state if isinstance(state, (New, Raw)) else New(Global("__torch__", "Net"), state or {"training": False})
    found = {"data.pkl": pickled(root), "constants.pkl": pickled(constants), f"code/{name}.py": text.encode()}
    return zipped({**found, **records, "version": b"3\n"})


def forward(body: str) -> str:
    return f"class Net(Module):\n  def forward(self, x):\n    {body}\n"


def setter(body: str, more: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"class Net(Module):\n  def __setstate__(self, s):\n{lines}{more}"


PLAIN = forward("return x")
STATE = New(Global("__torch__", "Net"), (1, 2, 3))
DOUBLED = "a = [1]\nb = [1]\n" + "\n".join("a = [a, a]\nb = [b, b]" for _ in range(50)) + "\n_0 = torch.eq(a, b)"
LARGE = New(Global("__torch__", "Net"), ([0] * 10_000,))


def packed(kind: str, state: Any) -> Any:
    return {"w": New(Global("__torch__.torch.classes.quantized", kind), state)}


def long_numbers() -> bytes:
    """Packed weights of many convolutions, of old version, whose numbers are one long tensor."""
    file = File()
    kind = Global("__torch__.torch.classes.quantized", "Conv2dPackedParamsBase")
    weight = file.qtensor(quantnn.QTensor(np.zeros((2, 2, 1, 1), np.int8), quantnn.qint8, 0.5, 0))
    numbers = file.tensor(np.zeros(1 << 18, np.int64))
    state = {f"w{i}": New(kind, ("2", [numbers, weight], [None])) for i in range(1000)}
    return script(PLAIN, state, **{f"data/{k}": v for k, v in file.storages.items()})


def many_packings() -> bytes:
    """Many objects that pack a small weight many times."""
    file = File()
    weight = file.qtensor(quantnn.QTensor(np.zeros((2, 2), np.int8), quantnn.qint8, 0.5, 0))
    text = setter("\n".join(["a = ops.quantized.linear_prepack((s)[0], None)"] * 50)) + "class Tree(Module):\n  pass\n"
    state = {f"a{i}": New(Global("__torch__", "Net"), (weight,)) for i in range(1000)}
    records = {f"data/{k}": v for k, v in file.storages.items()}
    return script(text, New(Global("__torch__", "Tree"), state), **records)


def conv(**changes: int) -> bytes:
    """Packed weights of a convolution, with other numbers."""
    numbers = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0} | changes
    values = [2, *(v for k in ("stride", "padding", "dilation", "output_padding") for v in [numbers[k]] * 2)]
    file = File()
    weight = file.qtensor(quantnn.QTensor(np.zeros((2, 2, 1, 1), np.int8), quantnn.qint8, 0.5, 0))
    state = 3, [*values, changes.get("groups", 1), bool(changes.get("transposed"))], [None, weight, None]
    records = {f"data/{k}": v for k, v in file.storages.items()}
    return script(PLAIN, packed("Conv2dPackedParamsBase", state), **records)


PROGRAMS: dict[str, Callable[[], bytes]] = {
    "a module in itself": lambda: script(PLAIN, Raw(b"c__torch__\nNet\n)\x81q\0}X\1\0\0\0ah\0sb")),
    "a module that puts itself into itself": lambda: script(setter("self.a = self"), STATE),
    "modules in 2^50 places": lambda: script(
        setter("self.a = (s)[0]\nself.b = (s)[0]"),
        New(Global("__torch__", "Net"), nested(50)),
    ),
    "constants in themselves": lambda: script(PLAIN, constants=Raw(b"]q\0h\0a\x85")),
    "constants that are no tuple": lambda: script(PLAIN, constants=[1]),
    "a number of 10^6 digits": lambda: script(forward("return " + "9" * 10**6)),
    "a default of 10^6 digits": lambda: script(f"def f(x: int={'9' * 10**6}):\n  return x\n{PLAIN}"),
    "10^6 brackets": lambda: script(forward("return " + "[" * 10**6)),
    "10^5 minus signs": lambda: script(forward("return " + "-" * 10**5 + "1")),
    "10^5 attributes": lambda: script(forward("return x" + ".a" * 10**5)),
    "elif 10^4 times": lambda: script(forward("if x:\n      pass\n" + "    elif x:\n      pass\n" * 10**4)),
    "an f-string": lambda: script(forward("return f'" + "{x}" * 10**5 + "'")),
    "text hidden in strings": lambda: script(forward("a = ''' ' '''," + "x," * 10**5 + "1 #'")),
    "10^6 names": lambda: script(forward("a = [" + "x," * 10**6 + "]")),
    "10^6 lines": lambda: script(forward("    pass\n" * 10**6)),
    "10^7 spaces": lambda: zipped(
        {"constants.pkl": pickled(()), "data.pkl": pickled(0), "code/__torch__.py": b" " * 10**7}, deflated=True
    ),
    "not UTF-8": lambda: script(PLAIN, **{"code/b.py": b"\xff"}),
    "a null": lambda: script(PLAIN + "\0"),
    "a path": lambda: script(PLAIN, **{"code/../../etc/cron.d/x.py": b""}),
    "a class twice": lambda: script(PLAIN + PLAIN),
    "a class that is no class": lambda: script("class Net(os.system):\n  pass\n"),
    "10^4 unknown operators": lambda: script(
        forward("\n".join(f"    _ = torch.f{i}(x)" for i in range(10**4)).strip())
    ),
    "a long unknown operator": lambda: script(forward(f"return torch.{'a' * 10**5}(x)")),
    "prim operators of torch": lambda: script(forward("return ops.prim.PythonOp(x)")),
    "an import": lambda: script(forward("return __import__('os').system('touch executed')")),
    "a dunder": lambda: script(forward("return (x).__class__")),
    "a dunder by getattr": lambda: script(forward("return getattr(x, '__globals__')")),
    "a setter that loops": lambda: script(setter("while True:\n  pass"), STATE),
    "a setter that calls itself": lambda: script(
        setter("(self).f(s, )", "  def f(self, s):\n    (self).f(s, )\n    (self).f(s, )\n"), STATE
    ),
    "a setter that compares doubled lists": lambda: script(setter(DOUBLED), STATE),
    "a setter that copies a list": lambda: script(setter("\n".join(f"a{i} = (s)[0][:]" for i in range(999))), LARGE),
    "a setter that prints": lambda: script(setter("print(s)"), STATE),
    "a setter that writes text": lambda: script(setter("self.a = str(s)"), STATE),
    "a setter that raises": lambda: script(setter("ops.prim.RaiseException('a' )"), STATE),
    "a setter that keeps much": lambda: script(
        setter("self.a = [" + "[]," * 4000 + "]\nself.b = (s)[0]\nself.c = (s)[1]"),
        New(Global("__torch__", "Net"), chain(200)),
    ),
    "a setter that asks for tensors": lambda: script(setter("self.a = torch.zeros([99999, 99999], dtype=6)"), STATE),
    "1,000 setters that pack 50 weights": many_packings,
    "1,000 convolutions of a long tensor": long_numbers,
    "groups of 0": lambda: conv(groups=0),
    "groups of 2^40": lambda: conv(groups=1 << 40),
    "strides of 0": lambda: conv(stride=0),
    "padding of -1": lambda: conv(padding=-1),
    "dilation of 2^62": lambda: conv(dilation=1 << 62),
    "output padding of -1": lambda: conv(output_padding=-1, transposed=1),
    "packed weights of nothing": lambda: script(PLAIN, packed("LinearPackedParamsBase", (None, None))),
    "packed weights of a unknown class": lambda: script(PLAIN, packed("XnnpackConv2dOpContext", ())),
    "a module that is a number": lambda: script(PLAIN, Raw(b"K\1")),
    "a state that is a number": lambda: script(PLAIN, New(Global("__torch__", "Net"), 3)),
    "an attribute with dots": lambda: script(PLAIN, {"a.b": 1}),
    "an attribute with underscores": lambda: script(PLAIN, {"__dict__": {}}),
    "a buffer that is a string": lambda: script(f"class Net(Module):\n  __buffers__ = ['a']\n{PLAIN[19:]}", {"a": "b"}),
    "a named tuple with a field missing": lambda: script(
        PLAIN + "class Pair(NamedTuple):\n  a : int\n  b : int\n", {"p": Call(Global("__torch__", "Pair"), (1,))}
    ),
}
HARMLESS_PROGRAMS: dict[str, Callable[[], bytes]] = {
    "forward that calls itself": lambda: script(forward("return (self).forward(x, )")),
    "forward that never ends": lambda: script(forward("while True:\n      pass")),
    "classes named like Python's": lambda: script(
        PLAIN + "".join(f"class {name}(Module):\n  pass\n" for name in ("int", "Tensor", "list", "object", "type"))
    ),
    "functions named like Python's": lambda: script("def eval(x):\n  return x\ndef print(x):\n  return x\n" + PLAIN),
    "attributes named like ours": lambda: script(
        PLAIN, dict.fromkeys(("_values", "_methods", "_modules", "training", "class_name", "forward", "sources"), 1)
    ),
    "a hexadecimal number of 10^5 digits": lambda: script(forward("return 0x" + "f" * 10**5)),
    "a float of 10^5 digits": lambda: script(forward("return 0." + "1" * 10**5)),
    "a string of 10^6 letters": lambda: script(forward(f"return '{'a' * 10**6}'")),
    "a name of 10^5 letters": lambda: script(forward(f"{'a' * 10**5} = 1")),
    "2,000 classes that call one another": lambda: script(
        PLAIN + "".join(f"class A{i}(Module):\n  def forward(self):\n    (self).forward()\n" for i in range(2000)),
        {f"a{i}": New(Global("__torch__", f"A{i}"), {}) for i in range(2000)},
    ),
    "1,000 modules with a setter": lambda: script(
        setter("self.a = (s)[0]\nself.training = False") + "class Tree(Module):\n  pass\n",
        New(Global("__torch__", "Tree"), {str(i): New(Global("__torch__", "Net"), (i,)) for i in range(1000)}),
    ),
}


def nested(depth: int) -> tuple[Any, ...]:
    return (New(Global("__torch__", "Net"), nested(depth - 1)),) if depth else (1,)


def chain(count: int) -> tuple[Any, ...]:
    """The states of many objects, none deep in another."""
    leaf = New(Global("__torch__", "Net"), (1, 1))
    return [leaf] * count, 1


def npz(header: Any, **arrays: Any) -> bytes:
    """quantnn's own file; arrays may be the bytes of a record."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("quantnn.json", header if isinstance(header, (str, bytes)) else json.dumps(header))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                if isinstance(array, bytes):
                    file.write(array)
                else:
                    np.lib.format.write_array(file, array)
    return buffer.getvalue()


def safetensors(header: Any, tensors: Mapping[str, Any] | None = None, body: bytes = b"", **more: Any) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    found = json.dumps({"__metadata__": {"quantnn.json": text}, **(tensors or {})}).encode()
    return struct.pack("<Q", more.get("claimed", len(found))) + found + body


def own(kind: str = "state_dict", **more: Any) -> dict[str, Any]:
    return {"format": "quantnn", "version": 1, "kind": kind, "state": {}, "metadata": {}} | more


def module(name: str, arguments: Any = None, state: Any = None, **more: Any) -> dict[str, Any]:
    record = {"class": name, "arguments": arguments or {}, "state": state or {}}
    return own("module", objects=[record | more], root={"object": 0})


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def q(**changes: Any) -> dict[str, Any]:
    found = {"quantized": "w", "dtype": "qint8", "scheme": "per_channel_affine", "scale": "s", "zero_point": "z"}
    return own(state={"a": found | {"axis": "a"} | changes})


def arrays(**changes: Any) -> dict[str, Any]:
    return {"w": np.zeros((2, 3), np.int8), "s": np.ones(2), "z": np.zeros(2, np.int64), "a": np.int64(0)} | changes


A = {"array": "x"}
CONV = {"in_channels": 1, "out_channels": 1, "kernel_size": {"tuple": [1, 1]}}
LSTM = {"input_size": 1, "hidden_size": 1, "num_layers": 1}
TREE = [{"class": "Sequential", "children": {}}] + [
    {"class": "Sequential", "children": {"a": {"object": i}, "b": {"object": i}}} for i in range(60)
]
SCRIPTS = [{"script": "__torch__.Net", "attributes": {}}] + [
    {"script": "__torch__.Net", "attributes": {"a": {"object": i}, "b": {"object": i}}} for i in range(60)
]
DEEP = [{"class": "Sequential", "children": {}}] + [
    {"class": "Sequential", "children": {"a": {"object": i}}} for i in range(5000)
]
HEADERS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "modules in 2^60 places": lambda: (own("module", objects=TREE, root={"object": 60}), {}),
    "5,000 modules in one another": lambda: (own("module", objects=DEEP, root={"object": 5000}), {}),
    "script modules in 2^60 places": lambda: (
        own("program", objects=SCRIPTS, root={"object": 60}, sources={"__torch__": PLAIN}, constants={"tuple": []}),
        {},
    ),
    "an object of itself": lambda: (
        own("module", objects=[{"class": "Sequential", "children": {"a": {"object": 0}}}]),
        {},
    ),
    "an object of -1": lambda: (own("module", objects=[{"class": "ReLU"}], root={"object": -1}), {}),
    "a number of 10^6 digits": lambda: ('{"format": ' + "9" * 10**6 + "}", {}),
    "half a letter": lambda: (own(state={"\ud800": {"array": "\ud800"}}), {}),
    "an array with a long name": lambda: (own(state={"a": {"array": "x" * 10**5}}), {}),
    "half a letter as a kind": lambda: (own("\ud800"), {}),
    "a text that never ends": lambda: (own("program", sources={"a": "x" * 10**6}, root=1, constants={"tuple": []}), {}),
    "a text of 10^6 names": lambda: (
        own("program", sources={"a": "x = [" + "x," * 10**6}, root=1, constants={"tuple": []}),
        {},
    ),
    "a text with an import": lambda: (
        own(
            "program",
            sources={"a": "import os"},
            objects=[{"script": "a.Net"}],
            root={"object": 0},
            constants={"tuple": []},
        ),
        {},
    ),
    "a channel number in an array": lambda: (
        module("Linear", {"in_features": A, "out_features": A}),
        {"x": np.int64(1 << 16)},
    ),
    "a convolution with 10^9 groups": lambda: (
        module("Conv2d", CONV | dict.fromkeys(("in_channels", "out_channels", "groups"), 10**9)),
        {},
    ),
    "a kernel of 20,000 x 20,000": lambda: (module("Conv2d", CONV | {"kernel_size": {"tuple": [20_000, 20_000]}}), {}),
    "a kernel of 20,000": lambda: (module("Conv2d", CONV | {"kernel_size": 20_000}), {}),
    "a kernel of text": lambda: (module("Conv3d", CONV | {"kernel_size": "abc"}), {}),
    "an LSTM of 10^6": lambda: (module("dynamic.LSTM", LSTM | {"hidden_size": 10**6}), {}),
    "an LSTM of 1,000 layers of 30": lambda: (
        module("dynamic.LSTM", LSTM | {"hidden_size": 30, "num_layers": 999}, {str(i): 1 for i in range(1000)}),
        {},
    ),
    "attention of 10^6": lambda: (module("MultiheadAttention", {"embed_dim": 10**6, "num_heads": 1}), {}),
    "an embedding of 10^9": lambda: (module("Embedding", {"num_embeddings": 10**9, "embedding_dim": 1}), {}),
    "an embedding of -1": lambda: (module("Embedding", {"num_embeddings": -1, "embedding_dim": -1}), {}),
    "an odd embedding of 4 bits": lambda: (
        module("Embedding", {"num_embeddings": 3, "embedding_dim": 1 << 40, "dtype": {"dtype": "quint4x2"}}),
        {},
    ),
    "batch norm of 10^9": lambda: (module("BatchNorm2d", {"num_features": 10**9}), {}),
    "layer norm of a float": lambda: (module("LayerNorm", {"normalized_shape": 1.5}), {}),
    "pooling without a kernel": lambda: (module("MaxPool2d", {}), {}),
    "an attribute of nothing": lambda: (module("ReLU", attributes={"a.b.c": 1}), {}),
    "an attribute of Python's": lambda: (module("ReLU", attributes={"__class__": 1}), {}),
    "packed weights of 2^30 dimensions": lambda: (
        own("module", objects=[{"packed": "conv", "arguments": packing(dimensions=1 << 30)}], root={"object": 0}),
        {},
    ),
    "packed weights of text": lambda: (
        own("module", objects=[{"packed": "cell", "arguments": {"w_ih": "a", "w_hh": 1, "reduce_range": []}}]),
        {},
    ),
    "a shape of 10^18 x 10^18": lambda: (own(state={"a": A}), {"x": npy("<i8", f"({10**17}, {10**17})")}),
    "no elements of 10^17": lambda: (own(state={"a": A}), {"x": npy("<f8", f"(0, {10**17}, {10**17})")}),
    "a dtype of Python's": lambda: (own(state={"a": A}), {"x": npy("|O8", "(1,)", bytes(8))}),
    "a dtype that is not": lambda: (own(state={"a": A}), {"x": npy("<b16", "(1,)", bytes(16))}),
    "a pickle for an array": lambda: (own(state={"a": A}), {"x": pickled({})}),
    "an axis of 5": lambda: (q(), arrays(a=np.int64(5))),
    "an axis of 2^63 - 1": lambda: (q(), arrays(a=np.int64((1 << 63) - 1))),
    "scales of nan": lambda: (q(), arrays(s=np.full(2, np.nan))),
    "scales of inf": lambda: (q(), arrays(s=np.full(2, np.inf))),
    "complex scales": lambda: (q(), arrays(s=np.ones(2, np.complex64))),
    "zero points of 1,000": lambda: (q(), arrays(z=np.full(2, 1000))),
    "scales of another size": lambda: (q(), arrays(s=np.ones(3))),
    "a scheme of the other kind": lambda: (q(scheme="per_tensor_affine"), arrays()),
    "4 bits, too few": lambda: (
        q(dtype="quint4x2", shape=[3, 5]),
        arrays(w=np.zeros(7, np.uint8), s=np.ones(3), z=np.zeros(3)),
    ),
    "4 bits of -1": lambda: (q(dtype="quint4x2", shape=[-1, -6]), arrays(w=np.zeros(3, np.uint8))),
    "4 bits of 2^80": lambda: (q(dtype="quint4x2", shape=[1 << 80, 0]), arrays(w=np.zeros(0, np.uint8))),
}


def packing(**changes: Any) -> dict[str, Any]:
    found = dict.fromkeys(("dimensions", "weight", "bias", "stride", "padding", "dilation", "groups"), 1)
    return found | {"weight": None} | changes


RAW: dict[str, Callable[[], bytes]] = {
    "a header of 2^63 bytes": lambda: safetensors(own(), claimed=1 << 63),
    "a header of 1 byte": lambda: safetensors(own(), claimed=1),
    "no header": lambda: struct.pack("<Q", 2) + b"{}",
    "metadata that is a list": lambda: struct.pack("<Q", 19) + b'{"__metadata__":[]}',
    "half a letter": lambda: safetensors(json.dumps(own(state={"a": "\ud800"}))[:-1] + ', "b": "\ud800"'),
    "offsets behind the end": lambda: safetensors(own(state={"a": A}), {"x": entry(offsets=[0, 1 << 62])}),
    "offsets backwards": lambda: safetensors(own(state={"a": A}), {"x": entry(offsets=[8, 0])}, bytes(8)),
    "three offsets": lambda: safetensors(own(state={"a": A}), {"x": entry(offsets=[0, 4, 8])}, bytes(8)),
    "offsets that are floats": lambda: safetensors(own(state={"a": A}), {"x": entry(offsets=[0.0, 4.0])}, bytes(8)),
    "a shape of -1": lambda: safetensors(own(state={"a": A}), {"x": entry(shape=[-1])}, bytes(8)),
    "a shape of 2^63": lambda: safetensors(own(state={"a": A}), {"x": entry(shape=[1 << 63])}, bytes(8)),
    "a shape of 2^200 and 0": lambda: safetensors(
        own(state={"a": A}), {"x": entry(shape=[1 << 200, 0], offsets=[0, 0])}
    ),
    "1,000 dimensions": lambda: safetensors(own(state={"a": A}), {"x": entry(shape=[1] * 1000)}, bytes(8)),
    "an unknown dtype": lambda: safetensors(own(state={"a": A}), {"x": entry(dtype="F8_E4M3")}, bytes(8)),
    "the metadata as an array": lambda: safetensors(own(state={"a": {"array": "__metadata__"}})),
}


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def opens(path: Path, data: bytes, open: Callable[[Path], Any], spare: int, expected: str) -> None:
    outcome = fuzz.run(fuzz.Seed(path.name, b"", open, spare), data, path, path.parent / "executed")
    assert (outcome.kind, outcome.failure) == (expected, "")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(name: str, tmp_path: Path) -> None:
    opens(tmp_path / "a.pth", CHECKPOINTS[name](), fuzz.open_checkpoint, fuzz.SPARE, "FileError")


@pytest.mark.parametrize("name", HARMLESS_CHECKPOINTS)
def test_harmless_checkpoints(name: str, tmp_path: Path) -> None:
    opens(tmp_path / "a.pth", HARMLESS_CHECKPOINTS[name](), fuzz.open_checkpoint, fuzz.SPARE, OPENED)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, tmp_path: Path) -> None:
    opens(tmp_path / "a.pt", PROGRAMS[name](), fuzz.open_program, fuzz.PROGRAM_SPARE, "FileError")


@pytest.mark.parametrize("name", HARMLESS_PROGRAMS)
def test_harmless_programs(name: str, tmp_path: Path) -> None:
    opens(tmp_path / "a.pt", HARMLESS_PROGRAMS[name](), fuzz.open_program, fuzz.PROGRAM_SPARE, OPENED)


@pytest.mark.parametrize("name", HEADERS)
def test_own_npz_files(name: str, tmp_path: Path) -> None:
    header, found = HEADERS[name]()
    opens(tmp_path / "a.npz", npz(header, **found), fuzz.open_own, fuzz.PROGRAM_SPARE, "FileError")


@pytest.mark.parametrize("name", [name for name in HEADERS if not HEADERS[name]()[1]])
def test_own_safetensors_files(name: str, tmp_path: Path) -> None:
    header, _ = HEADERS[name]()
    opens(tmp_path / "a.safetensors", safetensors(header), fuzz.open_own, fuzz.PROGRAM_SPARE, "FileError")


@pytest.mark.parametrize("name", RAW)
def test_safetensors_headers(name: str, tmp_path: Path) -> None:
    opens(tmp_path / "a.safetensors", RAW[name](), fuzz.open_own, fuzz.SPARE, "FileError")
