"""python -m quantnn inspect, convert and run."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import quantnn
from quantnn.__main__ import main
from quantnn.io import _commands

from .test_own import IMAGES, Net, network

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"


@pytest.fixture
def net(tmp_path: Path) -> str:
    quantnn.save(network(), tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", IMAGES)
    return str(tmp_path / "net.npz")


def test_inspect_lists_modules(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", net]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{net}: modules, ")
    assert "conv     intrinsic.ConvReLU2d  qint8 per_channel_affine  8×3×3×3    260  yes" in lines
    assert "7 entries" in lines[-1] or "6 entries" in lines[-1]


def test_inspect_lists_states(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "net.npz")
    quantnn.save(Net(), path)
    assert main(["inspect", path]) == 0
    printed = capsys.readouterr().out
    assert "needed: the model (" in printed
    assert "fc._packed_params._packed_params  tuple" in printed


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.glob("*.pt*")) if CHECKPOINTS.exists() else [])
def test_checkpoints_become_own_files(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        state = quantnn.load_state_dict(path)
    except quantnn.FileError:
        pytest.skip("it is one of those that are refused")
    out = str(tmp_path / "out.npz")
    assert main(["inspect", str(path)]) == 0
    assert main(["convert", str(path), out]) == 0
    assert list(quantnn.load(out)) == list(state)
    assert capsys.readouterr().err == ""


def test_convert_and_run(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again, x, y = (str(tmp_path / name) for name in ("again.npz", "x.npy", "y.npy"))
    assert main(["convert", net, again]) == 0
    assert main(["run", again, "--input", x, "--output", y]) == 0
    np.testing.assert_array_equal(np.load(y), network()(IMAGES))
    np.save(x, IMAGES.astype(np.float64))
    assert main(["run", net, "--input", x, "--output", y]) == 0
    np.testing.assert_array_equal(np.load(y), network()(IMAGES))
    assert capsys.readouterr() == ("", "")


def test_run_with_quantized_tensors(tmp_path: Path) -> None:
    model, x, y = (str(tmp_path / name) for name in ("net.npz", "x.npz", "y.npz"))
    quantnn.save(quantnn.LSTM(3, 4), model)
    q = quantnn.quantize_per_tensor(np.ones((5, 2, 3), np.float32), 0.1, 3, quantnn.quint8)
    np.savez(x, int_repr=q.int_repr(), scale=q.q_scale(), zero_point=q.q_zero_point())
    assert main(["run", model, "--input", x, "--output", y]) == 0
    output, (h, _) = quantnn.LSTM(3, 4)(q)
    with np.load(y) as found:
        assert set(found) == {
            f"output.{i}.{p}" for i in ("0", "1.0", "1.1") for p in ("int_repr", "scale", "zero_point")
        }
        np.testing.assert_array_equal(found["output.0.int_repr"], output.int_repr())
        assert found["output.1.0.scale"] == h.q_scale()
    quantnn.save(quantnn.ReLU(), model)
    assert main(["run", model, "--input", x, "--output", str(tmp_path / "y.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), quantnn.ReLU()(q).dequantize())


def test_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guide = Path(__file__).parents[1] / "data" / "guide"
    script, own, y = str(guide / "digits.pt"), str(tmp_path / "own.npz"), str(tmp_path / "y.npy")
    assert main(["inspect", script]) == 0
    printed = capsys.readouterr().out
    assert "conv1               ConvReLU2d          qint8 per_channel_affine  4×1×3×3     52  yes" in printed
    assert "quantized::linear_relu        1  yes" in printed
    assert main(["convert", script, own]) == 0
    assert main(["inspect", own]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == printed.splitlines()[1:]
    for model in (script, own):
        assert main(["run", model, "--input", str(guide / "images.npy"), "--output", y]) == 0
        np.testing.assert_array_equal(np.load(y), np.load(guide / "scores.npy"))


def test_what_is_not_supported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, other = Path(__file__).parents[1] / "data" / "guide" / "digits.pt", tmp_path / "other.pt"
    with zipfile.ZipFile(script) as good, zipfile.ZipFile(other, "w") as changed:
        for name in good.namelist():
            changed.writestr(name, good.read(name).replace(b"torch.flatten(", b"torch.flatter("))
    assert main(["inspect", str(other)]) == 3
    assert "aten::flatter                 1  no" in capsys.readouterr().out
    assert main(["convert", str(other), str(tmp_path / "own.npz")]) == 2
    assert "operators that are not supported: aten::flatter" in capsys.readouterr().err


def test_errors_are_one_line(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, x, pickled, state = (str(tmp_path / name) for name in ("text", "x.npy", "pickled.npy", "state.npz"))
    Path(text).write_text("hello")
    np.save(pickled, np.array([object()]), allow_pickle=True)
    quantnn.save(Net(), state)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    y = ["--output", str(tmp_path / "y.npy")]
    for arguments, message in [
        (["inspect", str(tmp_path / "nothing")], "No such file"),
        (["inspect", str(tmp_path)], "directory"),
        (["inspect", text], "must be a file that torch.save wrote"),
        (["inspect", str(tmp_path / "other.npz")], "none of quantnn.save, torch.save or torch.jit.save"),
        (["convert", net, str(tmp_path / "out.pth")], "path must end with .npz or .safetensors"),
        (["run", state, "--input", x, *y], "state dict of the model (tests.io.test_own.Net), without code to run"),
        (["run", net, "--input", pickled, *y], "pickled.npy: "),
        (["run", net, "--input", str(tmp_path / "other.npz"), *y], "it must have int_repr, scale and zero_point"),
        (["run", net, "--input", x, "--output", str(tmp_path / "y.txt")], "--output must end with .npy or .npz"),
        (["run", net, "--input", x, "--input", x, *y], "positional argument"),
    ]:
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"python -m quantnn {arguments[0]}: error: ")
        assert message in printed.err
        assert printed.err.count("\n") == 1
    assert not (tmp_path / "y.npy").exists()


def test_several_results_want_npz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, x = str(tmp_path / "net.npz"), str(tmp_path / "x.npy")
    quantnn.save(quantnn.dynamic.LSTM(3, 4), model)
    np.save(x, np.ones((5, 2, 3), np.float32))
    assert main(["run", model, "--input", x, "--output", str(tmp_path / "y.npy")]) == 2
    assert "--output must end with .npz for 3 results" in capsys.readouterr().err
    assert main(["run", model, "--input", x, "--output", str(tmp_path / "y.npz")]) == 0
    with np.load(tmp_path / "y.npz") as found:
        assert found["output.0"].shape == (5, 2, 4)


def test_progress_is_shown_on_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(_commands.time, "monotonic", iter(range(100)).__next__)
        with _commands.Progress("writing") as progress:
            progress(1, 2)
            progress(2, 2)
        assert ("writing [###############...............] 50%" in stream.getvalue()) == shown
        assert stream.getvalue().endswith("\r") == shown
