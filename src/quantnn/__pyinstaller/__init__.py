"""Where PyInstaller finds the hook for quantnn (entry point ``pyinstaller40``)."""

from __future__ import annotations

import os


def hook_dirs() -> list[str]:
    """The folders with hooks."""
    return [os.path.dirname(__file__)]
