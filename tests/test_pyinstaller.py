"""A program that PyInstaller freezes has all kernels inside."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantnn import _dispatch

PROGRAM = """
import sys
import numpy as np
import quantnn
from quantnn import _dispatch

assert getattr(sys, "frozen", False)
x = np.arange(-8, 8, dtype=np.float32).reshape(4, 4)
for level in _dispatch.AVAILABLE:
    with _dispatch.use_level(level):
        q = quantnn.quantize_per_tensor(x, 0.25, 32, quantnn.quint8)
        w = quantnn.quantize_per_tensor(x, 0.125, 0, quantnn.qint8)
        y = quantnn.functional.linear(q, w, None, 1.0, 128)
        print(level, int(y.int_repr().sum()))
print(quantnn.show_config(as_dict=True)["version"])
"""


@pytest.mark.slow
def test_frozen_program(tmp_path: Path) -> None:
    pytest.importorskip("PyInstaller", reason="PyInstaller is not installed")
    try:
        distribution = importlib.metadata.distribution("quantnn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("quantnn is not installed")
    if not any(e.group == "pyinstaller40" for e in distribution.entry_points):
        pytest.skip("the installed quantnn does not name its hook: install it again")
    if "editable" in (distribution.read_text("direct_url.json") or ""):
        pytest.skip("PyInstaller does not follow editable installations")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "PyInstaller", "--onedir", "--log-level", "WARN", "program.py"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=600)
    program = tmp_path / "dist" / "program" / ("program.exe" if os.name == "nt" else "program")
    done = subprocess.run([program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines[:-1]] == list(_dispatch.AVAILABLE)
    assert len({line[1] for line in lines[:-1]}) == 1
    assert lines[-1] == [distribution.version]
