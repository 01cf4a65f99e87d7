"""The demo's network gives torch's integers for all 2,000 held-out digits; what it prints and paints."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn._demo import network, show

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def held_out() -> dict[str, np.ndarray]:
    with np.load(DATA / "mnist_cnn.npz") as f:
        return dict(f)


@pytest.fixture(scope="module")
def layers() -> dict[str, np.ndarray]:
    with np.load(DATA / "mnist_cnn_layers.npz") as f:
        return dict(f)


# ---- the network


@pytest.mark.parametrize("threads", [1, 2])
def test_every_logit_is_torchs(level: str, held_out: dict[str, np.ndarray], threads: int) -> None:
    quantnn.set_num_threads(threads)
    net = network.load_network()
    images = network.normalize(held_out["x_test"][:, 0])
    logits = np.concatenate([net(images[i : i + 250]) for i in range(0, len(images), 250)])
    np.testing.assert_array_equal(logits, held_out["logits_int8"])
    assert (logits.argmax(1) == held_out["y_test"]).sum() == 1986


@pytest.mark.parametrize("batch", [1, 3, 2000])
def test_the_batch_size_does_not_matter(held_out: dict[str, np.ndarray], batch: int) -> None:
    net = network.load_network()
    images = network.normalize(held_out["x_test"][:, 0])
    end = min(len(images), 10 * batch)
    logits = np.concatenate([net(images[i : i + batch]) for i in range(0, end, batch)])
    np.testing.assert_array_equal(logits, held_out["logits_int8"][:end])


def test_every_layer_is_torchs(level: str, held_out: dict[str, np.ndarray], layers: dict[str, np.ndarray]) -> None:
    net = network.load_network()
    relu, pool = net.relu, net.pool
    x = net.quant(network.normalize(held_out["x_test"][:16, 0]))
    outputs = {"quant": x}
    outputs["conv1"] = x = relu(net.conv1(x))
    outputs["pool1"] = x = pool(x)
    outputs["conv2"] = x = relu(net.conv2(x))
    outputs["pool2"] = x = pool(x)
    outputs["conv3"] = x = relu(net.conv3(x))
    outputs["fc1"] = x = relu(net.fc1(net.flatten(x)))
    outputs["fc2"] = x = net.fc2(x)
    for name, output in outputs.items():
        assert output.q_scale() == layers[f"{name}.scale"], name
        assert output.q_zero_point() == layers[f"{name}.zero_point"], name
        np.testing.assert_array_equal(output.int_repr(), layers[f"{name}.int_repr"], err_msg=name)
    np.testing.assert_array_equal(net.dequant(x), layers["output"])


def test_the_shipped_digits_are_the_first_of_the_held_out(held_out: dict[str, np.ndarray]) -> None:
    images, labels = network.load_digits()
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images, held_out["x_test"][:200, 0])
    np.testing.assert_array_equal(labels, held_out["y_test"][:200])


def test_the_licences_are_beside_the_data() -> None:
    for text in (Path(network.__file__).with_name("digits.txt"), DATA / "mnist_cnn.txt"):
        assert "Attribution-ShareAlike 3.0" in text.read_text()
        assert "Yann LeCun and Corinna Cortes" in text.read_text()


# ---- what is printed

IMAGES, LABELS = network.load_digits()


def test_blocks() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[0:2, 0:2] = image[2:4, 2:4] = image[0:4, 4:6] = 255
    lines = show._draw_digit(image, blocks=True)
    assert len(lines) == 7
    assert {len(line) for line in lines} == {14}
    assert lines[0] == "▀▄█" + 11 * " "
    assert not "".join(lines[1:]).strip()


def test_ascii() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:8, 2:4] = 255
    lines = show._draw_digit(image, blocks=False)
    assert len(lines) == 7
    assert lines[1] == " @" + 12 * " "
    assert all(line.isascii() for line in show._draw_digit(IMAGES[0], blocks=False))


def test_answers_are_below_their_digits() -> None:
    drawn = show._draw(IMAGES[:3], np.array([4, 1, 7]), np.array([4, 2, 7]), blocks=False, columns=2)
    lines = drawn.split("\n")
    assert len(lines) == 2 * (7 + 1 + 1)
    assert lines[7].split() == ["a", "4", "a", "1,", "but", "is", "2"]
    assert lines[16].strip() == "a 7"
    assert max(map(len, lines)) <= 2 * 15


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("cp437", True), ("ascii", False), ("cp1252", False), ("???", False)],
)
def test_the_terminals_encoding_decides(monkeypatch: pytest.MonkeyPatch, encoding: str, can: bool) -> None:
    class Terminal(io.StringIO):
        @property
        def encoding(self) -> str:  # type: ignore[override]
            return encoding

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert show._can_encode(show._BLOCKS) is can


def test_wheel_size() -> None:
    size = show._wheel_size()
    package = Path(network.__file__).parent.parent
    data = sum(p.stat().st_size for p in package.rglob("*.npz"))
    walk = os.walk(package, followlinks=True)
    everything = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in walk for name in names)
    assert data < size < everything  # the arrays are compressed already, the modules are not


def test_demo_prints_all_facts(level: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(show, "_wheel_size", lambda: 2_340_000)
    monkeypatch.setattr(show, "_per_second", lambda run, images: run() is None or 1234.5 * images)
    show.demo(level=level)
    out = capsys.readouterr().out
    assert "right answers:   199 of 200 (99.5 %)" in out
    assert "1,234 images per second one by one, 246,900 in batches of 200" in out
    assert f"instruction set: {level} (built: " in out
    assert f"threads:         {quantnn.get_num_threads()}" in out
    assert "quantnn's size:  2.3 MB (its installed files, compressed as in a wheel)" in out
    assert max(map(len, out.splitlines())) <= 80


# ---- the picture


def test_picture(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    path = tmp_path / "digits.png"
    answers = LABELS.copy()
    answers[7] = (answers[7] + 1) % 10
    show._check_picture(str(path))
    show._paint(str(path), IMAGES, answers, LABELS)
    with image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (6 + 20 * 48, 6 + 10 * 62)
        pixels = np.asarray(picture)
    red = (pixels == (255, 0, 0)).all(2)
    assert red.any()
    columns = np.flatnonzero(red.any(0))
    assert 6 + 7 * 48 - 12 < columns.min() < columns.max() < 6 + 8 * 48 + 12  # only around the eighth digit


def check_and_paint(path: str) -> None:
    show._check_picture(path)
    show._paint(path, IMAGES[:3], LABELS[:3], LABELS[:3])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("digits.jpg", "must be a file name that ends in .png; got 'digits.jpg'"),
        ("", "must be a file name that ends in .png; got ''"),
        ("nowhere/digits.png", "there is no directory 'nowhere'"),
        ("folder.png", "'folder.png' is a directory"),
        ("a\0b.png", "cannot be written|is no usable path"),
        ("x" * 300 + ".png", "cannot be written|is no usable path"),
    ],
)
def test_picture_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, message: str) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(show.DemoError, match=message):
        check_and_paint(path)


def test_without_pillow_the_message_tells_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(show.DemoError, match=r"needs Pillow; install it with: pip install 'quantnn\[picture\]'"):
        show.demo("digits.png")


def test_the_demo_needs_no_pillow() -> None:
    code = "import sys; sys.modules['PIL'] = None; import quantnn._demo.show as s; s.demo()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
