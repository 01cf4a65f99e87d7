"""TorchScript files that torch made, run without torch. ``tests/data/make_jit.py`` made them."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import jit
from quantnn.tensor import QTensor

FOLDER = Path(__file__).parents[1] / "data" / "jit"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
# with float layers between the quantized ones, whose last bits are NumPy's
WITH_FLOATS = ("filetype", "speaker", "transformer")


def stored(name: str) -> tuple[np.ndarray, list[np.ndarray]]:
    with np.load(FOLDER / f"{name}.npz") as f:
        return f["input"], [f[f"output{i}"] for i in range(len(f.files) - 1)]


def run(program: Any, x: np.ndarray) -> list[np.ndarray]:
    y = program(x)
    return list(y) if isinstance(y, tuple) else [y]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_torch_s(name: str) -> None:
    x, expected = stored(name)
    found = run(jit.load(FOLDER / f"{name}.pt"), x)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if name.startswith(WITH_FLOATS):
            # a float on the edge between two integers may fall to either side
            assert np.mean(np.abs(a - b) > 1e-5) <= 0.02
            assert np.abs(a - b).max() <= 0.05 * np.abs(b).max()
        else:
            np.testing.assert_array_equal(a, b)


def test_every_network_and_way_is_there() -> None:
    assert len(NAMES) == 15
    for way in ("script", "trace", "freeze"):
        assert any(name.endswith(way) for name in NAMES)


@pytest.fixture
def digits() -> jit.Program:
    return jit.load(FOLDER / "digits_script.pt")


def test_a_program_is_a_module(digits: jit.Program) -> None:
    assert isinstance(digits, quantnn.Module)
    names = dict(digits.named_modules())
    assert list(names)[:4] == ["", "quant", "dequant", "conv1"]
    assert isinstance(digits.conv1, jit.ScriptModule)
    assert digits.conv1.class_name.endswith(".ConvReLU2d")
    assert digits.conv1.kernel_size == (3, 3)
    assert digits.eval() is digits
    assert not digits.conv1.training
    assert repr(digits).startswith("Digits(\n  (quant): Quantize()")
    assert list(digits.state_dict()) == ["quant.scale", "quant.zero_point"]
    assert "def forward(self" in digits.code
    assert "quantize_per_tensor" in digits.quant.code
    with pytest.raises(AttributeError, match="conv9"):
        _ = digits.conv9


def test_state_can_be_loaded(digits: jit.Program) -> None:
    x, (expected,) = stored("digits_script")
    state = {key: value.copy() for key, value in digits.state_dict().items()}
    state["quant.scale"] *= 2
    digits.load_state_dict(state)
    assert not np.array_equal(digits(x), expected)


def test_submodules_can_be_replaced_and_called(digits: jit.Program) -> None:
    x, (expected,) = stored("digits_script")
    q = digits.quant(x)
    assert isinstance(q, QTensor)
    assert digits.pool1(digits.conv1(q)).shape == (2, 4, 14, 14)
    digits.pool1 = quantnn.MaxPool2d(2)
    np.testing.assert_array_equal(digits(x), expected)


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_programs(digits: jit.Program, remake: Any) -> None:
    x, (expected,) = stored("digits_script")
    np.testing.assert_array_equal(remake(digits)(x), expected)


def test_own_files_hold_programs(tmp_path: Path) -> None:
    for name in ("digits_script", "digits_freeze", "mobilenet_v2_script"):
        x, (expected,) = stored(name)
        quantnn.save(jit.load(FOLDER / f"{name}.pt"), tmp_path / "program.npz")
        np.testing.assert_array_equal(quantnn.load(tmp_path / "program.npz")(x), expected)


def test_operators_are_listed(digits: jit.Program) -> None:
    uses = jit.operators(digits)
    relu = next(use for use in uses if use.name == "quantized::conv2d_relu")
    assert relu.supported
    assert relu.place.file == "code/__torch__/torch/ao/nn/intrinsic/quantized/modules/conv_relu.py"
    assert relu.place.function.endswith(".ConvReLU2d.forward")
    assert digits.operators["quantized::conv2d_relu"] == 1
    assert "quantized::conv2d_prepack" not in digits.operators  # no call comes to it


def test_control_flow() -> None:
    program = jit.load(FOLDER / "branches.pt")
    image = quantnn.quantize_per_tensor(np.ones((1, 2, 3, 3), np.float32), 0.1, 3, quantnn.quint8)
    row = quantnn.quantize_per_tensor(np.ones((2, 4), np.float32), 0.1, 3, quantnn.quint8)
    assert program(image)[1] == [0, 3]
    assert program(image, times=3)[1] == [0, 3, 6]
    assert program(row, 4)[1] == [4]
    assert program(row, 4, name="b")[1] == [4]
    assert program(row, 4, "c")[1] == [0]
    assert program.twice(row).shape == (2, 4)
    assert program.names == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="too many: 4") as e:
        program(image, 4)
    assert "in __torch__" in e.value.__notes__[0]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "argument x is missing"),
        ((1, 2), {}, "takes 2 arguments; got 3"),
        ((1,), {"x": 2}, "x must be one of its arguments"),
        ((1,), {"y": 2}, "y must be one of its arguments"),
    ],
)
def test_wrong_arguments(digits: jit.Program, args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        digits(*args, **kwargs)


def test_wrong_input(digits: jit.Program) -> None:
    with pytest.raises(TypeError, match="input must be"):
        digits("a picture")
    with pytest.raises(ValueError, match="channels"):
        digits(np.zeros((1, 2, 28, 28), np.float32))


def test_bytes_are_files_too() -> None:
    data = io.BytesIO((FOLDER / "digits_freeze.pt").read_bytes()).getvalue()
    x, (expected,) = stored("digits_freeze")
    np.testing.assert_array_equal(jit._program.load_archive(data)(x), expected)
