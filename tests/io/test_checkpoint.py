"""load_state_dict: files that torch 2.13 saved, files as older versions wrote them, and what modules make of them."""

from __future__ import annotations

import contextlib
import gc
import struct
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import QTensor, qint8, quint8

from ..data.checkpoint_modules import NORMS, layers
from .write import Call, File, Global, New, Persistent, Raw, operations, pickled, strides, zipped

FOLDER = Path(__file__).parents[1] / "data" / "checkpoints"
Open = Callable[[bytes], Any]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Write bytes to a file and load it."""

    def load(data: bytes) -> Any:
        (tmp_path / "model.pth").write_bytes(data)
        return quantnn.load_state_dict(tmp_path / "model.pth")

    return load


def values(key: str, x: Any) -> dict[str, Any]:
    """As in make_checkpoints, of quantnn's values."""
    if isinstance(x, (tuple, list)):
        return {k: v for i, part in enumerate(x) for k, v in values(f"{key}/{i}", part).items()}
    if isinstance(x, dict):
        return {k: v for name, part in x.items() for k, v in values(f"{key}/{name}" if key else name, part).items()}
    if isinstance(x, QTensor):
        axis = x._axis if isinstance(x._scale, np.ndarray) else -1
        return {
            f"{key}.ints": x.int_repr(),
            f"{key}.scale": x._scale,
            f"{key}.zero_point": x._zero_point,
            f"{key}.axis": axis,
        }
    if x is np.float16:
        return {key: "torch.float16"}
    return {key: x if isinstance(x, np.ndarray) else str(x) if isinstance(x, quantnn.tensor.DType) or x is None else x}


def check(found: Any, name: str) -> None:
    """Compare what was loaded with what torch has loaded."""
    mine = values("", found)
    with np.load(FOLDER / name) as expected:
        assert list(mine) == list(expected)
        for key in expected:
            array = np.asarray(mine[key])
            assert array.dtype == expected[key].dtype, key
            np.testing.assert_array_equal(array, expected[key], err_msg=key)


@pytest.fixture
def network() -> quantnn.Module:
    """All kinds of modules, as they are before anything is loaded."""
    net = quantnn.Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dynamic convolutions'
        for name, (space, cls, arguments, options) in layers(qint8, np.float16, quint8, quantnn.quint4x2).items():
            place: Any = quantnn
            for part in space.split(".") if space else ():
                place = getattr(place, part)
            net.add_module(name, getattr(place, cls)(*arguments, **options))
    for name, (cls, sizes) in NORMS.items():
        parameters = [np.zeros(4, np.float32) for _ in range(2)]
        net.add_module(name, getattr(quantnn, cls)(*sizes, *parameters, 1.0, 0))
    return net


@pytest.mark.parametrize("name", ["modules", "legacy"])
def test_modules(name: str, network: quantnn.Module) -> None:
    state = quantnn.load_state_dict(FOLDER / f"{name}.pth")
    assert type(state) is OrderedDict
    check(state, "modules.npz")
    assert repr(network.load_state_dict(state)) == "<All keys matched successfully>"
    again = network.state_dict()
    for name in ("scale", "zero_point"):
        del again[f"elu.{name}"]  # which torch loses
    assert list(again) == list(state)
    assert again._metadata == state._metadata
    for key, value in values("", again).items():
        expected = values("", state)[key]
        if key.endswith(".scale") and key.startswith(("linear", "conv", "dynamic", "lstm", "gru", "rnn")):
            expected = np.float32(expected)  # packing rounds them, as in torch
        if "16" in key and np.ndim(value) == 2:
            expected = expected.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(value, expected, err_msg=key)


def test_tensors() -> None:
    state = quantnn.load_state_dict(FOLDER / "tensors.pth")
    assert type(state) is dict
    check(state, "tensors.npz")
    assert np.shares_memory(state["base"], state["columns"])
    assert np.shares_memory(state["quint8"].int_repr(), state["slice"].int_repr())
    assert state["channels_last"].stride() == (60, 1, 15, 3)
    assert not state["base"].flags.writeable
    assert state["nested"]["dtype"] is qint8
    assert isinstance(state["nested"]["list"], list)


def test_mnist_cnn() -> None:
    """A real network, written as its author wrote it for torch, gives torch's integers in every layer."""

    class Net(quantnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = quantnn.Quantize(1.0, 0, quint8), quantnn.DeQuantize()
            self.conv1 = quantnn.intrinsic.ConvReLU2d(1, 16, 3, padding=1)
            self.pool1 = quantnn.MaxPool2d(2)
            self.conv2 = quantnn.intrinsic.ConvReLU2d(16, 32, 3, padding=1)
            self.pool2 = quantnn.MaxPool2d(2)
            self.conv3 = quantnn.intrinsic.ConvReLU2d(32, 64, 3, stride=2, padding=1)
            self.fc1 = quantnn.intrinsic.LinearReLU(1024, 64)
            self.fc2 = quantnn.Linear(64, 10)

        def forward(self, x: np.ndarray) -> np.ndarray:
            self.seen: dict[str, QTensor] = {}
            y: Any = x
            for name in ("quant", "conv1", "pool1", "conv2", "pool2", "conv3", "fc1", "fc2"):
                y = getattr(self, name)(quantnn.flatten(y, 1) if name == "fc1" else y)
                self.seen[name] = y
            found: np.ndarray = self.dequant(y)
            return found

    net = Net()
    net.load_state_dict(quantnn.load_state_dict(FOLDER / "mnist_cnn.pth"))
    with np.load(FOLDER.parent / "mnist_cnn.npz") as f:
        images, logits = f["x_test"], f["logits_int8"]
    x = (images[:200].astype(np.float32) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    np.testing.assert_array_equal(net(x), logits[:200])
    net(x[:16])
    with np.load(FOLDER.parent / "mnist_cnn_layers.npz") as expected:
        for name, y in net.seen.items():
            np.testing.assert_array_equal(y.int_repr(), expected[f"{name}.int_repr"], err_msg=name)
            assert (y.q_scale(), y.q_zero_point()) == (expected[f"{name}.scale"], expected[f"{name}.zero_point"])


# Layouts of older versions


def linear_values() -> tuple[QTensor, np.ndarray]:
    ints = np.arange(12, dtype=np.int8).reshape(4, 3) - 5
    return QTensor(ints, qint8, 0.25, 0), np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("format", ["zip", "zip1_6", "legacy", "deflated", "big-endian", "unaligned"])
def test_linear_layouts(opened: Open, format: str) -> None:
    """Linear of version 1, 2 and 3, in all containers."""
    weight, bias = linear_values()
    output = {"fc.scale": np.float32(0.5), "fc.zero_point": np.int64(7)}
    layouts: dict[int, dict[str, Any]] = {
        1: {"fc.weight": weight, "fc.bias": bias, **output},
        2: {"fc._packed_params.weight": weight, "fc._packed_params.bias": bias, **output},
        3: {
            **output,
            "fc._packed_params.dtype": Global("torch", "qint8"),
            "fc._packed_params._packed_params": (weight, bias),
        },
    }
    for version, layout in layouts.items():
        file = File(">" if format == "big-endian" else "<")
        state = file.state(layout, {"": 1, "fc": version, "fc._packed_params": version})
        if format == "legacy":
            data = file.legacy(state)
        else:
            alignment = 1 if format == "unaligned" else 64
            data = file.zip(state, format != "zip1_6", deflated=format == "deflated", alignment=alignment)
        net = quantnn.Module()
        net.fc = quantnn.Linear(3, 4)
        net.load_state_dict(opened(data))
        np.testing.assert_array_equal(net.fc.weight().int_repr(), weight.int_repr())
        np.testing.assert_array_equal(net.fc.bias(), bias)
        assert (net.fc.scale, net.fc.zero_point) == (0.5, 7)


def test_versions(opened: Open) -> None:
    """dynamic.Linear below version 4 quantizes to eight bits; the other versions to seven."""
    weight, bias = linear_values()
    x = np.linspace(-1, 2, 6, dtype=np.float32).reshape(2, 3)
    found = {}
    for version in (3, 4):
        file = File()
        layout = {
            "scale": np.float32(1),
            "zero_point": np.int64(0),
            "_packed_params.dtype": Global("torch", "qint8"),
            "_packed_params._packed_params": (weight, bias),
        }
        layer = quantnn.dynamic.Linear(3, 4)
        layer.load_state_dict(opened(file.zip(file.state(layout, {"": version, "_packed_params": 3}))))
        assert layer.version == version
        found[version] = layer(x)
    np.testing.assert_array_equal(
        found[3], quantnn.ops.linear_dynamic(x, quantnn.ops.linear_prepack(weight, bias), False)
    )
    np.testing.assert_array_equal(
        found[4], quantnn.ops.linear_dynamic(x, quantnn.ops.linear_prepack(weight, bias), True)
    )


@pytest.mark.parametrize("shape", [(), (1,)])
def test_scales_of_one_element(opened: Open, shape: tuple[int, ...]) -> None:
    file = File()
    values = {"scale": np.full(shape, 0.5, np.float32), "zero_point": np.full(shape, 7)}
    state = opened(file.zip(file.state(values)))
    for module in (quantnn.Quantize(1.0, 0, quint8), quantnn.Hardswish(1.0, 0), quantnn.QFunctional()):
        module.load_state_dict(state)
        assert (np.asarray(module.scale).item(), np.asarray(module.zero_point).item()) == (0.5, 7)


def test_script_objects(opened: Open) -> None:
    weight, bias = linear_values()
    file = File()

    def script(state: Any, name: str) -> New:
        return New(Global("torch", "ScriptObject"), (state, f"__torch__.torch.classes.{name}"))

    packed = [script((file.qtensor(weight), file.parameter(bias)), "quantized.LinearPackedParamsBase") for _ in "ab"]
    biases = [file.tensor(bias), file.tensor(bias)]
    cell = script(("quantized_dynamic", biases, [], [1], packed), "rnn.CellParamsBase")
    other = script((1, [2]), "quantized.Other")
    state = opened(file.zip(OrderedDict({"cell": cell, "linear": packed[0], "other": other})))
    assert type(state["linear"]) is tuple
    assert state["linear"][0].shape == (4, 3)
    kind, found, empty, reduce_range, weights = state["cell"]
    assert (kind, empty, reduce_range) == ("quantized_dynamic", [], [1])
    np.testing.assert_array_equal(found[1], bias)
    np.testing.assert_array_equal(weights[1][0].int_repr(), weight.int_repr())
    assert state["other"] == ((1, [2]), "__torch__.torch.classes.quantized.Other")


@pytest.mark.parametrize("version", ["", "_v2"])
def test_old_rebuild_functions(opened: Open, version: str) -> None:
    file = File()
    state = opened(file.zip({"x": file.tensor(np.arange(6.0).reshape(2, 3), version=version)}))
    np.testing.assert_array_equal(state["x"], np.arange(6.0).reshape(2, 3))


def test_other_protocols(tmp_path: Path) -> None:
    import pickle

    value = {
        "text": "a" * 300,
        "numbers": [1, -2, 70000, 2**40, 1.5, True, None],
        "bytes": b"xyz",
        "tuple": (1, 2, 3, 4),
    }
    for protocol in (3, 4, 5):
        path = tmp_path / "model.pth"
        path.write_bytes(zipped({"data.pkl": pickle.dumps(value, protocol), "version": b"3\n"}))
        assert quantnn.load_state_dict(path) == value


def test_zip_of_four_gigabytes_by_its_fields(opened: Open) -> None:
    """Sizes in zip64's extra field, as large files have them."""
    file = File()
    data = bytearray(file.zip({"x": file.tensor(np.arange(3.0))}, alignment=1))
    end = data.rfind(b"PK\5\6")
    count, _, start = struct.unpack_from("<10xHII", data, end)
    entry = start + data[start:end].rfind(b"PK\1\2")
    packed, full, length = struct.unpack_from("<20xIIH", data, entry)
    offset = struct.unpack_from("<42xI", data, entry)[0]
    struct.pack_into("<II", data, entry + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", data, entry + 30, 28)
    struct.pack_into("<I", data, entry + 42, 0xFFFFFFFF)
    extra = struct.pack("<HHQQQ", 1, 24, full, packed, offset)
    directory = data[start : entry + 46 + length] + extra
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, start + len(directory), 1)
    last = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    state = opened(bytes(data[:start] + directory + end64 + locator + last))
    np.testing.assert_array_equal(state["x"], np.arange(3.0))


def test_large_files_are_mapped(tmp_path: Path) -> None:
    file = File()
    tensors = {f"{i}": file.tensor(np.full(1 << 18, i, np.float32)) for i in range(8)}
    q = file.qtensor(QTensor(np.ones((1 << 10, 1 << 10), np.int8), qint8, 0.5, 0))
    (tmp_path / "large.pth").write_bytes(file.zip({**tensors, "q": q}))
    import tracemalloc

    quantnn.load_state_dict(tmp_path / "large.pth")
    tracemalloc.start()
    state = quantnn.load_state_dict(tmp_path / "large.pth")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
    gc.collect()
    assert state["7"][-1] == 7
    assert state["q"].int_repr()[-1, -1] == 1


def resnet50() -> bytes:
    """A file of the size and with the tensors of a quantized ResNet-50."""
    file = File()
    values: dict[str, Any] = {}

    def conv(name: str, *shape: int) -> None:
        n = shape[0]
        q = QTensor(np.zeros(shape, np.int8), qint8, np.ones(n), np.zeros(n, np.int64), quantnn.per_channel_affine, 0)
        values.update({f"{name}.weight": q, f"{name}.bias": np.zeros(n, np.float32)})
        values.update({f"{name}.scale": np.float32(1), f"{name}.zero_point": np.int64(0)})

    conv("conv1", 64, 3, 7, 7)
    before = 64
    for layer, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            conv(f"{name}.conv1", width, before, 1, 1)
            conv(f"{name}.conv2", width, width, 3, 3)
            conv(f"{name}.conv3", 4 * width, width, 1, 1)
            values.update({f"{name}.add.scale": np.float32(1), f"{name}.add.zero_point": np.int64(0)})
            if block == 0:
                conv(f"{name}.downsample.0", 4 * width, before, 1, 1)
            before = 4 * width
    conv("fc", 1000, 2048)
    return file.zip(file.state(values))


@pytest.mark.slow
def test_resnet50_opens_at_once(tmp_path: Path) -> None:
    data = resnet50()
    (tmp_path / "resnet50.pth").write_bytes(data)
    assert 25e6 < len(data) < 27e6
    times = []
    for _ in range(7):
        start = time.process_time()
        state = quantnn.load_state_dict(tmp_path / "resnet50.pth")
        times.append(time.process_time() - start)
    assert len(state) == 248
    assert min(times) < 0.05


# What modules say


def test_missing_unexpected_and_wrong_shapes(opened: Open) -> None:
    state = quantnn.load_state_dict(FOLDER / "modules.pth")
    part = OrderedDict((k.removeprefix("linear."), v) for k, v in state.items() if k.startswith("linear."))
    with pytest.raises(RuntimeError, match=r"size mismatch for _packed_params._packed_params"):
        quantnn.Linear(5, 4).load_state_dict(part)
    net = quantnn.Sequential(quantnn.Linear(3, 4), quantnn.BatchNorm2d(4))
    state = OrderedDict((f"0.{k}", v) for k, v in part.items() if k != "scale")
    state |= {f"1.{k}": v for k, v in quantnn.BatchNorm2d(4).state_dict().items() if k != "bias"}
    state["1.more"] = np.zeros(1)
    with pytest.raises(
        ValueError, match=r'(?s)Missing key\(s\) in state_dict: "0.scale", "1.bias".*Unexpected.*"1.more"'
    ):
        net.load_state_dict(state)
    result = net.load_state_dict(state, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["0.scale", "1.bias"], ["1.more"])


def test_wrong_paths() -> None:
    for path in (3, None, np.zeros(3), b"x", "a\0b"):
        with pytest.raises((TypeError, ValueError, FileNotFoundError)):
            quantnn.load_state_dict(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("metadata", [3, {"": 3}, {"": {"version": "4"}}, {"": {"version": None}}, {3: {}}])
def test_odd_metadata(metadata: Any) -> None:
    """Versions that are no versions count as missing ones."""
    for layer in (quantnn.dynamic.Linear(3, 4), quantnn.dynamic.LSTM(3, 4), quantnn.BatchNorm2d(3)):
        state = OrderedDict(layer.state_dict())
        state._metadata = metadata  # type: ignore[attr-defined]
        layer.load_state_dict(state)
        assert getattr(layer, "version", None) is None


# What is refused


def refused(opened: Open, data: bytes, *words: str) -> str:
    with pytest.raises(quantnn.FileError) as e:
        opened(data)
    text = str(e.value)
    assert "model.pth: " in text
    for word in words:
        assert word in text, text
    return text


CALLS = [
    Global("os", "system"),
    Global("posix", "system"),
    Global("builtins", "eval"),
    Global("__builtin__", "eval"),
    Global("builtins", "getattr"),
    Global("numpy.core.multiarray", "_reconstruct"),
    Global("numpy", "ndarray"),
    Global("torch", "load"),
    Global("torch.jit", "load"),
    Global("__torch__.Net", "forward"),
    Global("copyreg", "_reconstructor"),
    Global("functools", "partial"),
    Global("quantnn.io.checkpoint", "load_state_dict"),
    Global("torch.FloatStorage", "__class__"),
    Global("torch", "FloatStorage.__init__"),
]


@pytest.mark.parametrize("function", CALLS, ids=".".join)
def test_malicious_globals(opened: Open, function: Global, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    call = {"x": Call(function, (f"touch {trap}",))}
    for data in (File().zip(call), File().legacy(call)):
        refused(opened, data, f"{function.module}.{function.name}", "no part of a state dict")
    assert not trap.exists()


def test_constants_are_not_called(opened: Open) -> None:
    for name in ("float32", "FloatStorage", "qint8", "per_tensor_affine"):
        refused(opened, File().zip({"x": Call(Global("torch", name), ())}), "must have a Constructor")
    refused(opened, File().zip({"x": Call("text", ())}), "got a str")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module",
    [Global("torch.ao.nn.quantized.modules.conv", "Conv2d"), Global("__main__", "Net"), Global("my.net", "Net")],
)
def test_whole_modules(opened: Open, module: Global) -> None:
    text = refused(opened, File().zip(New(module, {"training": False})), f"{module.module}.{module.name}")
    assert "torch.save(model.state_dict(), path)" in text
    file = File()
    text = refused(
        opened, file.legacy(Persistent(("module", "Net", "net.py", "class Net: ..."))), "whole pickled module"
    )


def test_torchscript(opened: Open) -> None:
    refused(
        opened, zipped({"data.pkl": pickled({}), "constants.pkl": pickled(()), "version": b"3"}), "quantnn.jit.load"
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello world" * 30, "starts with b'hello wo'"),
        (pickled({"x": 1}), "a pickle of Python's own"),
        (bytes(257) + b"ustar" + bytes(300), "tar file"),
        (b"PK\3\4" + bytes(100), "no zip file, or its end is cut off"),
        (zipped({"version": b"3"}), "no record data.pkl"),
        (zipped({"data.pkl": pickled(5)}), "must hold a state dict; got a int"),
        (zipped({"data.pkl": pickled({"x": Global("torch", "FloatStorage")})}), "must not hold functions or classes"),
        (zipped({"data.pkl": pickled({}), "byteorder": b"middle"}), "byteorder must be little or big"),
        (zipped({"data.pkl": pickled({}), "../../etc/passwd": b""}), "a name inside the archive"),
        (zipped({"data.pkl": pickled({}), "a\\..\\b": b""}, stem=""), "a name inside the archive"),
        (zipped({"data.pkl": b"\x80\x02}"}), "no end at byte 3"),
        (zipped({"data.pkl": b"\x80\x02\xff."}), "unknown operation 0xff at byte 2"),
    ],
)
def test_no_state_dict(opened: Open, data: bytes, words: str) -> None:
    refused(opened, data, words)


def tensor(size: Any = (2, 3), stride: Any = (3, 1), offset: Any = 0, claimed: Any = 6, stored: int = 6) -> bytes:
    file = File()
    file.storage(np.zeros(stored, np.float32))
    storage = Persistent(("storage", Global("torch", "FloatStorage"), "0", "cpu", claimed))
    arguments = storage, offset, size, stride, False, OrderedDict()
    return file.zip({"x": Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tensor(claimed=7), "must have 7 elements of 4 bytes, as claimed; got 24 bytes"),
        (tensor(claimed=1 << 60), "as claimed"),
        (tensor(claimed=-1), "a persistent id must be"),
        (tensor(claimed=True), "a persistent id must be"),
        (tensor(size=(3, 3)), "must lie within its storage 0 of 6 elements"),
        (tensor(offset=1), "must lie within its storage"),
        (tensor(offset=-1), "offset that is not negative"),
        (tensor(stride=(-3, 1)), "integers that are not negative; got -3"),
        (tensor(size=(-2, 3)), "integers that are not negative; got -2"),
        (tensor(size=(2.0, 3)), "got a float"),
        (tensor(size=(2,)), "as many strides as sizes"),
        (tensor(size=[[2, 3]]), "got a list"),
        (tensor(size=(1 << 40, 1 << 40), stride=(0, 0)), "not have many more elements"),
        (tensor(size=(1 << 61, 3), stride=(1 << 61, 1)), "must lie within its storage"),
        (tensor(size=(1,) * 33, stride=(1,) * 33), "at most 32 integers"),
        (tensor(size="23"), "tuple of at most 32 integers"),
    ],
)
def test_wrong_tensors(opened: Open, data: bytes, words: str) -> None:
    refused(opened, data, words)


def qtensor(*quantizer: Any, dtype: str = "qint8", size: tuple[int, ...] = (2, 3), stride: Any = None) -> bytes:
    file = File()
    storage = file.storage(np.zeros(6, np.uint8), dtype)
    converted = tuple(file.value(v) for v in quantizer)
    return file.zip({"x": file.qtensor_of(storage, 0, size, stride or strides(size), converted)})


AFFINE, CHANNEL = Global("torch", "per_tensor_affine"), Global("torch", "per_channel_affine")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (qtensor(AFFINE, 0.0, 0), "scale must be a positive, finite number"),
        (qtensor(AFFINE, float("nan"), 0), "scale must be a positive, finite number"),
        (qtensor(AFFINE, 0.5, 200), "zero_point must be in [-128, 127]"),
        (qtensor(AFFINE, "0.5", 0), "must be numbers; got a str"),
        (qtensor(AFFINE, 0.5), "got 1 values"),
        (qtensor(0.5, 0), "must have a quantizer"),
        (qtensor(CHANNEL, np.ones(3), np.zeros(3, np.int64), 0), "one number for each of the 2 channels"),
        (qtensor(CHANNEL, np.ones(2), np.zeros(2, np.int64), 2), "axis must be in [0, 2)"),
        (qtensor(CHANNEL, np.ones(2), np.zeros(2, np.int64), -1), "axis must be in [0, 2)"),
        (qtensor(CHANNEL, 1.0, 0, 0), "must be tensors"),
        (qtensor(AFFINE, 0.5, 0, dtype="uint8"), "must have a quantized storage"),
        (qtensor(AFFINE, 0.5, 0, dtype="quint4x2", size=(13,)), "lie within its storage 0 of 6 bytes"),
        (qtensor(AFFINE, 0.5, 0, dtype="quint4x2", size=(3, 2), stride=(1, 3)), "must be contiguous"),
    ],
)
def test_wrong_quantized_tensors(opened: Open, data: bytes, words: str) -> None:
    refused(opened, data, words)


def test_quantized_storage_without_quantizer(opened: Open) -> None:
    file = File()
    refused(opened, file.zip({"x": file.tensor(np.zeros(3, np.int8), "qint8")}), "without a quantizer")


def test_zip_bombs(opened: Open) -> None:
    file = File()
    data = file.zip({"x": file.tensor(np.zeros(1 << 22))}, deflated=True)
    refused(opened, data, "must not take much more memory")
    # one that claims less than it holds, and one that claims more
    file = File()
    data = file.zip({"x": file.tensor(np.zeros(1 << 10))}, deflated=True)
    entry = data.find(b"archive/data/0", data.find(b"PK\1\2")) - 46
    for size in (10, 1 << 20):
        changed = bytearray(data)
        changed[entry + 24 : entry + 28] = size.to_bytes(4, "little")
        refused(opened, bytes(changed), f"must inflate to the {size} bytes that it claims")


def test_flipped_bytes(opened: Open) -> None:
    """Checksums find it, or the container's own fields do; or it is one that says nothing."""
    data = tensor()
    good = opened(data)["x"]
    for i in range(0, len(data), 3):
        changed = bytearray(data)
        changed[i] ^= 0x41
        with contextlib.suppress(quantnn.FileError):
            np.testing.assert_array_equal(opened(bytes(changed))["x"], good)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"]q\x00h\x00a.", "contain themselves"),
        (b"]q\x00X\x01\x00\x00\x00xh\x00a.", "must have a list"),
        (b"}q\x00X\x01\x00\x00\x00xh\x00s.", "contain themselves"),
        (b"(" * 10 + b"N" + b"t" * 10 + b".", "must hold a state dict"),
        (b"N" + b"\x85" * 100 + b".", "at most 64 deep"),
        (b"]q\x00" + b"(h\x00h\x00lq\x00" * 30 + b".", "unknown operation"),
        (b")q\x00" + b"0h\x00h\x00\x86q\x00" * 40 + b".", "too often"),
        (b"r\xff\xff\xff\x7f.", "missing"),
        (b"Nr\xff\xff\xff\x7f.", "much more memory"),
        (b"h\x05.", "asks for value 5"),
        (b"X\xff\xff\xff\xffabc.", "cut off"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "cut off"),
        (b"\x8a\xff" + b"\x01" * 255 + b".", "at most 8 bytes"),
        (b"a.", "a value is missing"),
        (b"e.", "a mark is missing"),
        (b"(R.", "a value is missing"),
        (b"NN.", "leaves values behind"),
        (b"NNb.", "sets the state of a NoneType"),
        (b"}(NNu.", "strings or small integers as keys"),
        (b"}(J\xff\xff\xff\xffNu.", "strings or small integers as keys; got int -1"),
        (b"NQ.", "a persistent id must be"),
        (b"cos\nsystem\n(X\x02\x00\x00\x00lstR.", "'os.system'"),
        (b"cos" + b"x" * 2000 + b"\n.", "name without an end"),
        (b"ccollections\nOrderedDict\nNR.", "must have a tuple"),
        (b"ccollections\nOrderedDict\nN\x85R.", "can't be read: TypeError"),
        (b"X\x02\x00\x00\x00\xff\xfe.", "UnicodeDecodeError"),
        (b"]" * 200_000 + b".", "much more memory"),
        (b"N0" * (1 << 19) + b".", "operations"),
    ],
)
def test_games_with_pickles(opened: Open, code: bytes, words: str) -> None:
    refused(opened, zipped({"data.pkl": b"\x80\x02" + code}), words)


def test_overlapping_records(opened: Open) -> None:
    """Many records over the same bytes: to look at each of them would take long."""
    n, size = 2000, 1 << 20
    file = File()
    values = OrderedDict()
    for i in range(n):
        storage = Persistent(("storage", Global("torch", "ByteStorage"), str(i), "cpu", size - 100 * n))
        values[str(i)] = Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, (1,), (1,), False, ()))
    file.storages = {str(i): b"" for i in range(n)}
    data = bytearray(file.zip(values, alignment=1))
    start = struct.unpack_from("<16xI", data, data.rfind(b"PK\5\6"))[0]
    data[start:start] = bytes(size)
    end = data.rfind(b"PK\5\6")
    struct.pack_into("<I", data, end + 16, start + size)
    at = start + size
    while data[at : at + 4] == b"PK\1\2":
        if data[at + 46 :].startswith(b"archive/data/"):
            struct.pack_into("<III", data, at + 16, 0, size - 100 * n, size - 100 * n)
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))
    refused(opened, bytes(data), "must not overlap")


@pytest.mark.parametrize("again", [b"", b"0"])
def test_much_work_in_few_bytes(opened: Open, again: bytes) -> None:
    """The scales of a large tensor copied again and again; a tree that grows in a pickle with a long text."""
    file = File()
    scales, zero_points = file.tensor(np.ones(1 << 16)), file.tensor(np.zeros(1 << 16, np.int64))
    storage = file.storage(np.zeros(1 << 16, np.int8), "qint8")
    quantizer = Global("torch", "per_channel_affine"), scales, zero_points, 0
    call = file.qtensor_of(storage, 0, (1 << 16,), (1,), quantizer)
    function, arguments = operations(call.function), operations(call.arguments)
    repeated = function + b"q\x00" + arguments + b"q\x01R0" + b"h\x00h\x01R0" * 50_000
    start = time.process_time()
    refused(opened, file.zip({"x": Raw(repeated + b"N")}), "its scales must not take much more memory")
    text = operations("x" * (1 << 22)) + again
    tree = b")q\x00" + b"0h\x00h\x00\x86q\x00" * 40
    with pytest.raises(quantnn.FileError):
        opened(zipped({"data.pkl": b"\x80\x02" + text + tree + b"."}))
    assert time.process_time() - start < 2


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        quantnn.load_state_dict(tmp_path / "nothing.pth")
    with pytest.raises(OSError, match=r"."):
        quantnn.load_state_dict(tmp_path)


def test_truncations(opened: Open) -> None:
    for name in ("tensors.pth", "legacy.pth"):
        data = (FOLDER / name).read_bytes()
        for size in {*range(0, len(data), 997), len(data) - 1, len(data) - 100}:
            refused(opened, data[:size])


def test_fileerror_is_a_value_error() -> None:
    assert issubclass(quantnn.FileError, ValueError)
