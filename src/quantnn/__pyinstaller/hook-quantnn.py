"""PyInstaller's hook: the kernels are chosen at run time, so that no import statement names them."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from PyInstaller.utils.hooks import collect_data_files, copy_metadata

import quantnn

_package = Path(quantnn.__file__).parent
_modules = [path for path in _package.rglob("*") if path.name.endswith(tuple(EXTENSION_SUFFIXES))]

hiddenimports = sorted(
    ".".join(("quantnn", *path.relative_to(_package).parent.parts, path.name.split(".")[0])) for path in _modules
)
datas = collect_data_files("quantnn") + copy_metadata("quantnn")
