"""The programs of docs/guide.md, as a reader runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FILES = ROOT / "tests" / "data" / "guide"
GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
CHECKPOINT, SCRIPT, LIVE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
NO_TORCH = "import sys\nsys.modules['torch'] = None\n"


def run(program: str, folder: Path) -> str:
    for path in FILES.iterdir():
        shutil.copy(path, folder)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def decisions() -> str:
    return str(np.load(FILES / "scores.npy").argmax(axis=1))


def test_a_checkpoint(tmp_path: Path) -> None:
    check = "\nassert (model(images) == np.load('scores.npy')).all()"
    assert run(NO_TORCH + CHECKPOINT + check, tmp_path) == f"{decisions()}\n"


def test_a_script(tmp_path: Path) -> None:
    check = "\nassert (model(images) == np.load('scores.npy')).all()"
    assert run(NO_TORCH + SCRIPT + check, tmp_path) == f"{decisions()}\nTrue\n"


def test_the_command_line(tmp_path: Path) -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    program = NO_TORCH + "import shlex\nfrom quantnn.__main__ import main\n"
    for line in commands.splitlines():
        program += f"assert main(shlex.split({line!r})[3:]) == 0\n"
    assert "quantized::conv2d_relu" in run(program, tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), np.load(FILES / "scores.npy"))


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_live_module(tmp_path: Path) -> None:
    assert run("import warnings\nwarnings.simplefilter('ignore')\n" + LIVE, tmp_path) == "True\n"
    again = "import quantnn, numpy as np\nprint(quantnn.load('net.npz')(np.ones((1, 3, 16, 16), np.float32)).shape)"
    assert run(NO_TORCH + again, tmp_path) == "(1, 5)\n"
