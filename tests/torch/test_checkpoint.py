"""load_state_dict next to torch's own load: random state dicts, whole modules, and what loading says."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.modules.utils import from_torch
from quantnn.tensor import QTensor

Case = Callable[[np.random.Generator, Any, Any], tuple[int, int]]

FLOATS = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def differences(want: Any, got: Any) -> tuple[int, int]:
    """Elements, and how many of them differ, of torch's and quantnn's value."""
    if type(want).__name__ == "ScriptObject":
        want = want.__getstate__()[0]
    if isinstance(want, Mapping):
        if type(got) is not type(want) or list(got) != list(want):
            return 1, 1
        return total(differences(want[key], got[key]) for key in want)
    if isinstance(want, (tuple, list)):
        if type(got) is not type(want) or len(got) != len(want):
            return 1, 1
        return total(map(differences, want, got))
    want = from_torch(want)
    if isinstance(want, QTensor):
        same = (
            isinstance(got, QTensor)
            and (want.shape, want.dtype, want.qscheme(), want._axis) == (got.shape, got.dtype, got.qscheme(), got._axis)
            and np.array_equal(want._scale, got._scale)
            and np.array_equal(want._zero_point, got._zero_point)
        )
        return differences(want.int_repr(), got.int_repr()) if same else (want.numel(), want.numel())
    if isinstance(want, np.ndarray):
        if not isinstance(got, np.ndarray) or got.dtype != want.dtype or got.shape != want.shape:
            return max(1, want.size), max(1, want.size)
        return want.size, int((want != got).sum())
    return 1, int(not (got == want or got is want))


def total(counts: Any) -> tuple[int, int]:
    elements = mismatches = 0
    for n, wrong in counts:
        elements, mismatches = elements + n, mismatches + wrong
    return elements, mismatches


def tensor(rng: np.random.Generator, torch: Any) -> Any:
    shape = tuple(int(n) for n in rng.integers(0, 6, int(rng.integers(0, 5))))
    floats = torch.from_numpy(np.asarray(rng.standard_normal(shape) * 50, np.float32))
    kind = int(rng.integers(0, 4))
    if kind == 0 or not shape:
        return floats.to(getattr(torch, str(rng.choice(FLOATS))))
    dtype = getattr(torch, str(rng.choice(["quint8", "qint8", "qint32"])))
    if kind == 1:
        q = torch.quantize_per_tensor(floats, float(rng.uniform(0.01, 2)), int(rng.integers(0, 99)), dtype)
    else:
        axis = int(rng.integers(0, len(shape)))
        scales = torch.from_numpy(rng.uniform(0.01, 2, shape[axis]))
        if kind == 2:
            zero_points = torch.from_numpy(rng.integers(0, 99, shape[axis]))
            q = torch.quantize_per_channel(floats, scales, zero_points, axis, dtype)
        else:
            dtype = torch.quint4x2 if rng.random() < 0.5 else torch.quint8
            zero_points = torch.from_numpy(rng.uniform(0, 9, shape[axis]).astype(np.float32))
            return torch.quantize_per_channel(floats, scales.float(), zero_points, axis, dtype)
    return q


def viewed(rng: np.random.Generator, torch: Any, x: Any) -> Any:
    """Sometimes a view: transposed, stepped, channels-last, or a parameter."""
    choice = int(rng.integers(0, 6))
    plain = not x.is_quantized or x.qscheme() == torch.per_tensor_affine
    if plain and x.ndim and choice == 0:
        return x[..., :: int(rng.integers(1, 3))]
    if plain and x.ndim > 1 and choice == 1:
        return x.transpose(0, x.ndim - 1)
    floats = x.is_quantized and x.qscheme() == torch.per_channel_affine_float_qparams
    if x.ndim == 4 and choice == 2 and not floats:
        return x.contiguous(memory_format=torch.channels_last)
    if x.is_floating_point() and choice == 3:
        return torch.nn.Parameter(x)
    return x


def case_checkpoint(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    tensors = [tensor(rng, torch) for _ in range(int(rng.integers(1, 6)))]
    state: OrderedDict[str, Any] = OrderedDict()
    for i in range(int(rng.integers(1, 9))):
        value = viewed(rng, torch, tensors[int(rng.integers(0, len(tensors)))])
        state[f"layer{i}.weight"] = (value, None) if rng.random() < 0.2 else value
    state["more"] = {"epoch": int(rng.integers(0, 1 << 40)), "list": [1.5, None, True, "text", torch.qint8]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save(state, path, _use_new_zipfile_serialization=bool(rng.random() < 0.5))
        return differences(torch.load(path, weights_only=False), quantnn.load_state_dict(path))


CASES: dict[str, Case] = {"checkpoint": case_checkpoint}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(4 * n_cases):
        _, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False])
def test_pickle_protocols(torch: Any, tmp_path: Path, protocol: int, new: bool) -> None:
    state = torch.nn.Linear(3, 4).state_dict()
    torch.save(state, tmp_path / "m", pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    assert differences(state, quantnn.load_state_dict(tmp_path / "m")) == (16, 0)


def test_networks_from_files(torch: Any, tmp_path: Path) -> None:
    """A convolutional network as convert makes it: the file in quantnn's modules gives torch's integers."""
    q = torch.ao.quantization
    net = torch.nn.Sequential(
        q.QuantStub(),
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, groups=8),
        torch.nn.Hardswish(),
        torch.nn.ConvTranspose2d(8, 4, 2, 2),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 12 * 12, 5),
        q.DeQuantStub(),
    ).eval()
    torch.manual_seed(0)
    net.qconfig = q.get_default_qconfig("fbgemm")
    net[6].qconfig = q.QConfig(activation=net.qconfig.activation, weight=q.default_weight_observer)
    net = q.fuse_modules(net, ["1", "2", "3"])
    observed = q.prepare(net)
    observed(torch.randn(4, 3, 8, 8))
    quantized = q.convert(observed)
    torch.save(quantized.state_dict(), tmp_path / "net.pth")
    ours = quantnn.Sequential(
        quantnn.Quantize(1.0, 0, quantnn.quint8),
        quantnn.intrinsic.ConvReLU2d(3, 8, 3, padding=1),
        quantnn.Identity(),
        quantnn.Identity(),
        quantnn.Conv2d(8, 8, 3, groups=8),
        quantnn.Hardswish(1.0, 0),
        quantnn.ConvTranspose2d(8, 4, 2, 2),
        quantnn.Flatten(),
        quantnn.Linear(4 * 12 * 12, 5),
        quantnn.DeQuantize(),
    )
    ours.load_state_dict(quantnn.load_state_dict(tmp_path / "net.pth"))
    x = torch.randn(4, 3, 8, 8)
    np.testing.assert_array_equal(ours(x.numpy()), quantized(x).numpy())


@pytest.mark.parametrize("cls", ["LSTM", "GRU"])
def test_recurrent_networks_from_files(torch: Any, tmp_path: Path, cls: str) -> None:
    theirs = getattr(torch.ao.nn.quantized.dynamic, cls)(5, 7, 2, bidirectional=True)
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    ours = getattr(quantnn.dynamic, cls)(5, 7, 2, bidirectional=True)
    ours.load_state_dict(quantnn.load_state_dict(tmp_path / "net.pth"))
    x = torch.randn(3, 2, 5)
    np.testing.assert_allclose(ours(x.numpy())[0], theirs(x)[0].numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("cls", ["BatchNorm2d", "Quantize", "Hardswish", "QFunctional"])
def test_messages(torch: Any, cls: str, strict: bool) -> None:
    """Missing and unexpected keys, wrong shapes: torch's words."""
    arguments: dict[str, tuple[Any, ...]] = {"BatchNorm2d": (3,), "Hardswish": (0.5, 3), "QFunctional": ()}
    theirs = getattr(torch.ao.nn.quantized, cls)(*arguments.get(cls, (0.5, 3, torch.quint8)))
    ours = getattr(quantnn, cls)(*arguments.get(cls, (0.5, 3, quantnn.quint8)))
    state = theirs.state_dict()
    for change in ("missing", "unexpected", "shape", "all"):
        changed = OrderedDict(state)
        if change in ("missing", "all"):
            del changed["scale"]
        if change in ("unexpected", "all"):
            changed["other"] = changed["more.weight"] = torch.zeros(2)
        if change in ("shape", "all") and cls == "BatchNorm2d":
            changed["running_mean"] = torch.zeros(4)
        found = []
        for module in (theirs, ours):
            try:
                result = module.load_state_dict(changed, strict=strict)
                found.append((list(result.missing_keys), list(result.unexpected_keys)))
            except (RuntimeError, KeyError) as e:
                found.append((str(e).replace(type(module).__name__, cls), None))
        if isinstance(found[0][0], str) and not found[0][0].startswith("Error"):
            continue  # a KeyError out of torch's own code
        assert found[1] == found[0], change
