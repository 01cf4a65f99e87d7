"""quantnn.save and quantnn.load."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.io import own
from quantnn.io._classes import CONTAINERS, classes
from quantnn.modules.module import Module
from quantnn.tensor import QTensor


@pytest.fixture(params=["npz", "safetensors"])
def ending(request: pytest.FixtureRequest) -> Any:
    if request.param == "safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    return request.param


def random(*shape: int, dtype: Any = np.int8) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.random.default_rng(0).integers(info.min, info.max, shape, dtype, endpoint=True)


def per_channel(*shape: int, axis: int = 0) -> QTensor:
    n = shape[axis]
    return quantnn.make_per_channel_quantized_tensor(
        random(*shape), np.linspace(0.01, 0.02, n), np.zeros(n, np.int64), axis
    )


def network() -> quantnn.Sequential:
    conv, linear = quantnn.intrinsic.ConvReLU2d(3, 8, 3), quantnn.Linear(72, 5)
    conv.set_weight_bias(per_channel(8, 3, 3, 3), np.linspace(-1, 1, 8, dtype=np.float32))
    conv.scale, conv.zero_point = 1 / 3, 7
    linear.set_weight_bias(per_channel(5, 72), None)
    linear.scale = 2.0
    layers = OrderedDict(quant=quantnn.Quantize(0.02, 100, quantnn.quint8), conv=conv, pool=quantnn.MaxPool2d(2))
    layers |= {"flat": quantnn.Flatten(), "fc": linear, "dequant": quantnn.DeQuantize()}
    return quantnn.Sequential(layers)


IMAGES = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, (tuple, list)):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        same(list(a.values()), list(b.values()))
    elif isinstance(a, QTensor):
        assert (a.dtype, a.qscheme(), a.shape, a._axis) == (b.dtype, b.qscheme(), b.shape, b._axis)
        same(a._ints, b._ints)
        same(np.asarray(a._scale), np.asarray(b._scale))
        same(np.asarray(a._zero_point), np.asarray(b._zero_point))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b or (a != a and b != b)


def test_a_network(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"net.{ending}"
    net = network()
    quantnn.save(net, path)
    again = quantnn.load(path)
    assert repr(again) == repr(net)
    assert again.conv.scale == 1 / 3  # a state dict would have rounded it
    same(again(IMAGES), net(IMAGES))
    same(again.state_dict(), net.state_dict())
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_dict(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"state.{ending}"
    four = np.array([0x21, 0x43, 0x05], np.uint8)
    table = QTensor(
        four,
        quantnn.quint4x2,
        np.float32([0.5]),
        np.float32([1.25]),
        quantnn.per_channel_affine_float_qparams,
        0,
        (1, 5),
    )
    state: Any = OrderedDict(
        weight=per_channel(4, 3, 2, axis=1),
        single=quantnn.make_per_tensor_quantized_tensor(random(2, 3, dtype=np.uint8), 1 / 3, 250),
        wide=quantnn.make_per_tensor_quantized_tensor(random(3, dtype=np.int32), 1e-9, 0),
        table=table,
        floats=np.float32([1, math.nan, math.inf]),
        transposed=np.arange(6, dtype=np.float64).reshape(2, 3).T,
        halves=np.float16([[1], [2]]),
        complex=np.complex64([1j]) if ending == "npz" else None,
        counts=np.arange(4),
        flags=np.array([True, False]),
        nothing=np.zeros((0, 3), np.float32),
        number=np.array(3),
        packed=(per_channel(2, 2), None),
        other=[1, 2.5, "text", True, {"a": (1,), 3: math.inf}, quantnn.qint8, np.float16],
    )
    state["odd/key \\ ü"] = np.ones(1)
    state["odd_key____"] = np.zeros(1)
    state._metadata = {"": {"version": 1}, "packed": {"version": 3}}
    quantnn.save(state, path)
    again = quantnn.load(path)
    assert isinstance(again, OrderedDict)
    same(dict(again), {k: np.ascontiguousarray(v) if k == "transposed" else v for k, v in state.items()})
    assert again._metadata == state._metadata
    with pytest.raises(ValueError, match="read-only"):
        again["floats"][0] = 2


def test_the_documented_keys(tmp_path: Path) -> None:
    quantnn.save(network(), tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["conv.weight.int_repr"], random(8, 3, 3, 3))
        np.testing.assert_array_equal(file["conv.weight.scale"], np.float32(np.linspace(0.01, 0.02, 8)))
        assert file["conv.weight.zero_point"].dtype == np.int64
        assert file["conv.weight.axis"] == 0
        header = json.loads(file["quantnn.json"])
    assert (header["format"], header["version"], header["kind"]) == ("quantnn", 1, "module")
    quantnn.save(network(), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "net.npz") as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


EXAMPLES: dict[str, Any] = {
    "Conv1d": (2, 4, 3), "Conv2d": (2, 4, 3), "Conv3d": (2, 4, 3), "ConvTranspose1d": (2, 4, 3),
    "ConvTranspose2d": (2, 4, 3, 2, 1, 1), "ConvTranspose3d": (2, 4, 3), "ConvReLU1d": (2, 4, 3),
    "ConvReLU2d": (2, 4, 3), "ConvReLU3d": (2, 4, 3), "ConvAdd2d": (2, 4, 3), "ConvAddReLU2d": (2, 4, 3),
    "Linear": (3, 4), "LinearReLU": (3, 4), "LinearTanh": (3, 4), "LinearLeakyReLU": (3, 4, 0.2),
    "BatchNorm2d": (3,), "BatchNorm3d": (3,), "BNReLU2d": (3,), "BNReLU3d": (3,),
    "LayerNorm": ((2, 3), None, None, 0.1, 3), "GroupNorm": (2, 4, *(np.ones(4, np.float32),) * 2, 0.1, 3),
    **{f"InstanceNorm{n}d": (4, None, None, 0.1, 3, 1e-5, None, False, True) for n in (1, 2, 3)},
    "Embedding": (3, 4), "EmbeddingBag": (3, 4), "Quantize": (0.1, 3, quantnn.qint32), "Hardswish": (0.1, 3),
    "LeakyReLU": (0.1, 3), "ELU": (0.1, 3, 0.5), "CELU": (0.1, 3, 0.5), "SiLU": (0.1, 3), "Mish": (0.1, 3),
    "GELU": (0.1, 3, "tanh"), "Softplus": (0.1, 3, 2.0), "Softmax": (1, 0.1, 3),
    "Sigmoid": (0.1, 3), "PReLU": (0.1, 3, 2),
    "Hardtanh": (-2.0, 3.0), "Threshold": (0.5, 0.25), "MaxPool1d": (2,), "MaxPool2d": ((2, 3),), "MaxPool3d": (2,),
    "AvgPool2d": (2,), "AvgPool3d": (2,), "AdaptiveAvgPool2d": ((1, None),), "AdaptiveAvgPool3d": (1,),
    "LSTM": (3, 4, 2), "GRU": (3, 4), "LSTMCell": (3, 4), "GRUCell": (3, 4, False), "RNNCell": (3, 4, True, "relu"),
    "MultiheadAttention": (4, 2, 0.0, True, True),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(classes()) - set(CONTAINERS)))
def test_every_class(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of dynamic convolutions' accuracy
        module = classes()[name](*EXAMPLES.get(name.split(".")[-1], ()))
    quantnn.save(module, tmp_path / "module.npz")
    again = quantnn.load(tmp_path / "module.npz")
    assert type(again) is type(module)
    assert repr(again) == repr(module)
    same(again.state_dict(), module.state_dict())
    plain = {k: v for k, v in vars(module).items() if type(v) in (int, float, str, tuple, bool) and k != "training"}
    same({k: getattr(again, k) for k in plain}, plain)


def test_modules_with_parts(tmp_path: Path) -> None:
    lstm = quantnn.LSTM(3, 4, 2, bidirectional=True, split_gates=True)
    lstm.layers[1].layer_bw.cell.input_gate = quantnn.Sigmoid(0.1, 3)
    lstm.layers[0].layer_fw.cell.initial_cell_state_qparams = (0.25, 4)
    shared = quantnn.ReLU()
    net = quantnn.ModuleDict({"lstm": lstm, "list": quantnn.ModuleList([shared, shared])})
    old = quantnn.dynamic.Linear(3, 4)
    old.version = None
    net["old"] = old
    quantnn.save(net, tmp_path / "net.npz")
    again = quantnn.load(tmp_path / "net.npz")
    assert repr(again) == repr(net)
    cell = again["lstm"].layers[1].layer_bw.cell
    assert (cell.input_gate.scale, cell.input_gate.zero_point) == (0.1, 3)
    assert again["lstm"].layers[0].layer_fw.cell.initial_cell_state_qparams == (0.25, 4)
    assert again["list"][0] is again["list"][1]
    assert again["old"].version is None


class Net(Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = quantnn.Linear(3, 4)

    def forward(self, x: Any) -> Any:
        return self.fc(x)


@pytest.mark.parametrize("make", [Net, lambda: quantnn.Sequential(quantnn.ReLU(), Net())])
def test_own_classes_are_saved_as_their_state(make: Any, tmp_path: Path) -> None:
    net, path = make(), tmp_path / "net.npz"
    quantnn.save(net, path)
    state = quantnn.load(path)
    assert isinstance(state, OrderedDict)
    assert repr(make().load_state_dict(state)) == "<All keys matched successfully>"
    assert own.read(path).header["classes"] == [f"{'the model' if isinstance(net, Net) else '1'} ({__name__}.Net)"]


def test_it_is_mapped_and_packed_at_the_first_call(tmp_path: Path) -> None:
    layer = quantnn.Linear(1000, 4000)
    layer.set_weight_bias(per_channel(4000, 1000), None)
    x = quantnn.make_per_tensor_quantized_tensor(random(2, 1000, dtype=np.uint8), 0.1, 3)
    quantnn.save(layer, tmp_path / "layer.npz")
    gc.collect()
    tracemalloc.start()
    again = quantnn.load(tmp_path / "layer.npz")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20  # of 4 MB
    tracemalloc.stop()
    same(again(x), layer(x))
    # a saved file may be replaced by what was loaded from it
    third = quantnn.load(tmp_path / "layer.npz")
    quantnn.save(third, tmp_path / "layer.npz")
    same(third(x), layer(x))
    same(quantnn.load(tmp_path / "layer.npz")(x), layer(x))


def test_a_weight_that_may_change_is_packed_at_once() -> None:
    layer, w = quantnn.Linear(4, 2), per_channel(2, 4)
    x = quantnn.make_per_tensor_quantized_tensor(random(3, 4, dtype=np.uint8), 0.1, 3)
    layer.set_weight_bias(w, None)
    before = layer(x)
    w._ints[:] = 0
    layer.set_weight_bias(layer.weight(), None)
    same(layer(x), before)
    view = per_channel(2, 4)
    view._ints.flags.writeable = False  # its owner's memory still is writable
    readonly = QTensor(view._ints[:], quantnn.qint8, view._scale, view._zero_point, view.qscheme(), 0)
    layer.set_weight_bias(readonly, None)
    view._ints.flags.writeable = True
    view._ints[:] = 0
    same(layer(x), before)


@pytest.mark.slow
def test_a_resnet50_opens_without_packing(tmp_path: Path) -> None:
    layers = [(3, 64, 7)]
    width = 64
    for blocks, inner in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            layers += [(width, inner, 1), (inner, inner, 3), (inner, 4 * inner, 1)]
            layers += [(width, 4 * inner, 1)] if block == 0 else []
            width = 4 * inner
    net = quantnn.Sequential(*(quantnn.Conv2d(*layer) for layer in layers), quantnn.Linear(2048, 1000))
    for layer in net:
        layer.set_weight_bias(per_channel(*layer.weight().shape), layer.bias())
    quantnn.save(net, tmp_path / "net.npz")
    packed = [getattr(m, "_packed_params", None) for m in quantnn.load(tmp_path / "net.npz").modules()]
    waiting = [p._waiting is not None for p in packed if hasattr(p, "_waiting")]
    assert len(waiting) == len(net)
    assert all(waiting)  # so it takes some 15 ms, whatever the weights' size


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, TypeError, "model_or_state must be a Module, a Program or a state dict; got int 3"),
        ({1: 2}, TypeError, "keys of a state dict must be strings"),
        ({"a": object()}, TypeError, "a must be an array, QTensor, number, string or module"),
        ({"a": np.array([object()])}, TypeError, "a must be an array of numbers"),
        ({"a": np.zeros(2, np.longdouble)}, TypeError, "a must be an array of numbers"),
    ],
)
def test_what_cannot_be_saved(model: Any, error: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        quantnn.save(model, tmp_path / "file.npz")
    assert not list(tmp_path.iterdir())


def test_other_endings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path must end with .npz or .safetensors; got"):
        quantnn.save({}, tmp_path / "file.pth")
    with pytest.raises(OSError, match="No such file"):
        quantnn.save({}, tmp_path / "nowhere" / "file.npz")
    with pytest.raises(OSError, match="No such file"):
        quantnn.load(tmp_path / "file.npz")


def test_what_safetensors_lacks(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    with pytest.raises(TypeError, match=r"a must not be complex64 in a .safetensors file; save as .npz"):
        quantnn.save({"a": np.zeros(2, np.complex64)}, tmp_path / "file.safetensors")


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'quantnn\[safetensors\]', or save as .npz"):
        quantnn.save({}, tmp_path / "file.safetensors")
    assert not list(tmp_path.iterdir())


def write(path: Path, header: Any, **arrays: np.ndarray) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("quantnn.json", header if isinstance(header, (str, bytes)) else json.dumps(header))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return path


def file(kind: str = "state_dict", **more: Any) -> dict[str, Any]:
    return {"format": "quantnn", "version": 1, "kind": kind, "state": {}, "metadata": {}} | more


def conv(**changes: Any) -> dict[str, Any]:
    arguments = {"in_channels": 1, "out_channels": 2, "kernel_size": 1, "padding_mode": "zeros"} | changes
    weight = {"quantized": "w", "dtype": "qint8", "scheme": "per_tensor_affine", "scale": "s", "zero_point": "z"}
    state = {"weight": weight, "bias": None, "scale": 1.0, "zero_point": 0}
    record = {"class": "Conv2d", "arguments": arguments, "state": state}
    return file("module", objects=[record], root={"object": 0})


W = {"w": np.zeros((2, 1, 1, 1), np.int8), "s": np.array(0.5), "z": np.array(0)}
LAYERS = {"input_size": 1, "hidden_size": 1, "num_layers": 1 << 19}
BAD: list[tuple[str, Any, dict[str, np.ndarray], str]] = [
    ("no JSON", "{", {}, "the header is no JSON"),
    ("deep JSON", "[" * 100_000, {}, "header"),
    ("much JSON", "[" + "[]," * 1_000_000 + "1]", {}, "the header must not take much more memory"),
    ("no object", [], {}, "the header must be that of quantnn"),
    ("another format", {"format": "other"}, {}, "the header must be that of quantnn"),
    ("a later version", file() | {"version": 2}, {}, "must be version 1; got 2. Read it with a newer quantnn"),
    ("unknown kind", file("os.system"), {}, "kind must be state_dict, module or program; got 'os.system'"),
    ("no state", file(state=3), {}, "state must be a dict; got 3"),
    ("missing array", file(state={"a": {"array": "b"}}), {}, "the array b is missing"),
    ("unknown tag", file(state={"a": {"call": "os.system"}}), {}, "a value must be JSON as docs/format.md has it"),
    ("deep values", file(state={"a": json.loads("[" * 200 + "]" * 200)}), {}, "nested at most 64 deep"),
    ("object before it is there", file(state={"a": {"object": 0}}), {}, "a value must be JSON"),
    ("unhashable key", file(state={"a": {"dict": [[[], 1]]}}), {}, "a key must be a string or a number"),
    ("unknown class", file("module", objects=[{"class": "os.system"}]), {}, "there is no class quantnn.os.system"),
    ("no module", file("module", root=3), {}, "its root must be a module"),
    ("wrong argument", conv(nonsense=3), W, "unexpected keyword argument 'nonsense'"),
    ("wrong kind of argument", conv(kernel_size="3"), W, "Conv2d: kernel_size must be"),
    ("huge sizes", conv(in_channels=1 << 20, out_channels=1 << 20), W, "the arguments of Conv2d must fit its state"),
    ("huge kernel", conv(kernel_size=1 << 40), W, "Conv2d"),
    ("wrong shape", conv(out_channels=3), W, "size mismatch for weight"),
    ("wrong dtype", conv(), W | {"w": np.zeros((2, 1, 1, 1), np.uint8)}, "the array w must be int8; got uint8"),
    ("wrong scale", conv(), W | {"s": np.array(-1.0)}, "the quantized tensor w: scale must be"),
    ("wrong zero point", conv(), W | {"z": np.array(1000)}, "the quantized tensor w: zero_point must be"),
    ("unknown packing", file("module", objects=[{"packed": "x", "arguments": {}}]), {}, "packed weights must be one"),
    (
        "many layers",
        file("module", objects=[{"class": "dynamic.LSTM", "arguments": LAYERS}]),
        {},
        "the arguments of dynamic.LSTM must fit its state",
    ),
    (
        "unknown attribute",
        file("module", objects=[{"class": "ReLU", "attributes": {"forward": 3}}]),
        {},
        "ReLU has no attribute forward",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "header", "arrays", "message"), BAD, ids=[name for name, *_ in BAD])
def test_bad_files(name: str, header: Any, arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.npz", header, **arrays)
    with pytest.raises(quantnn.FileError, match=f"bad.npz: .*{message.replace('.', '[.]')}"):
        quantnn.load(path)


def test_a_good_file_of_that_kind(tmp_path: Path) -> None:
    assert quantnn.load(write(tmp_path / "good.npz", conv(), **W)).weight().shape == (2, 1, 1, 1)
    big = {k: v.astype(v.dtype.newbyteorder(">")) for k, v in W.items()}
    assert quantnn.load(write(tmp_path / "big.npz", conv(), **big)).weight().q_scale() == 0.5


def test_what_weights_are_used_often(tmp_path: Path) -> None:
    # each would be a few bytes in the file and keep a scale for each of its channels
    weight = conv()["objects"][0]["state"]["weight"]
    packed = {"packed": "linear", "arguments": {"weight": weight, "bias": None}}
    arrays = W | {"w": np.zeros((100_000, 1), np.int8)}
    path = write(tmp_path / "bad.npz", file("module", objects=[packed] * 1000), **arrays)
    with pytest.raises(quantnn.FileError, match="must not take much more memory"):
        quantnn.load(path)


def test_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text.npz").write_bytes(b"hello, world")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickled.npz", a=np.array([object()]))
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "other.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    for name, message in {
        "empty": "the file is empty",
        "text.npz": "it is neither a .npz nor a .safetensors file",
        "other.npz": "it has no record quantnn.json",
        "pickled.npz": "it has no record quantnn.json",
        "other.safetensors": "it is no .safetensors file that quantnn.save wrote",
    }.items():
        with pytest.raises(quantnn.FileError, match=message):
            quantnn.load(tmp_path / name)


def test_every_cut_and_many_flips(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    quantnn.save(quantnn.Sequential(quantnn.Conv2d(1, 2, 1), quantnn.dynamic.LSTM(2, 1), quantnn.Embedding(2, 2)), path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    cuts = [good[:n] for n in range(0, len(good), 97)]
    flips = []
    for _ in range(300):
        changed = bytearray(good)
        changed[rng.integers(len(good))] ^= 1 << rng.integers(8)
        flips.append(bytes(changed))
    for data in cuts + flips:
        path.unlink()  # a mapped file is not written to
        path.write_bytes(data)
        with contextlib.suppress(quantnn.FileError):
            quantnn.load(path)


def test_only_what_is_needed_is_imported() -> None:
    code = "import sys, quantnn; print([m for m in ('json', 'zipfile', 'pickle', 'ast', 'mmap') if m in sys.modules])"
    before = subprocess.run([sys.executable, "-c", "import sys, numpy; " + code.replace("quantnn", "numpy", 1)],
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == before
