"""The command line, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quantnn
from quantnn import _dispatch
from quantnn.__main__ import main


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantnn", *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        cwd=cwd,
        timeout=120,
        check=False,
    )


def test_alone_it_prints_help() -> None:
    done = run()
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m quantnn")
    assert "info" in done.stdout
    assert "demo" in done.stdout
    assert done.stderr == ""


def test_info_prints_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    quantnn.show_config()
    assert printed == capsys.readouterr().out
    assert f"level chosen:     {_dispatch.kernels.level}\n" in printed


def test_info_obeys_the_environment() -> None:
    lowest = _dispatch.AVAILABLE[0]
    done = run("info", QUANTNN_ISA=lowest, OMP_NUM_THREADS="1")
    assert done.returncode == 0
    assert f"level chosen:     {lowest}\n" in done.stdout
    assert f"QUANTNN_ISA:      '{lowest}'\n" in done.stdout
    assert "threads:          1\n" in done.stdout


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("quantnn ")


def test_demo() -> None:
    done = run("demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "▄" in done.stdout
    assert "right answers:   199 of 200 (99.5 %)" in done.stdout


def test_demo_in_an_ascii_terminal() -> None:
    done = run("demo", "--level", _dispatch.AVAILABLE[0], PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "right answers:   199 of 200 (99.5 %)" in done.stdout
    assert f"instruction set: {_dispatch.AVAILABLE[0]} " in done.stdout


def test_demo_writes_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    done = run("demo", "--picture", "digits.PNG", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "picture:         digits.PNG\n" in done.stdout
    assert (tmp_path / "digits.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--level", "sse9"], "argument --level: invalid choice: 'sse9'"),
        (["demo", "--picture"], "argument --picture: expected one argument"),
        (["demo", "digits.png"], "unrecognized arguments: digits.png"),
        (["demo", "--pic", "digits.png"], "unrecognized arguments: --pic"),
        (["info", "--all"], "unrecognized arguments: --all"),
        (["demo", "--picture", "no/such/folder/digits.png"], "--picture"),
        (["demo", "--picture", "digits.gif"], "--picture"),
    ],
)
def test_mistakes_end_with_status_2_and_a_message(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error on Windows")
def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "quantnn", "info"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_with_a_message() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "quantnn", "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("python -m quantnn: error: ")
    assert "Traceback" not in done.stderr
