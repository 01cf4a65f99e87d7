"""Comparison with torch itself, where torch 2.13.0 is installed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def n_cases() -> int:
    """Random cases per name and level."""
    return int(os.environ.get("QUANTNN_CASES", "25"))


@pytest.fixture(scope="session")
def torch() -> Iterator[Any]:
    """torch 2.13 with one thread and the fbgemm engine."""
    module = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    if not module.__version__.startswith("2.13."):
        pytest.skip(f"compares with torch 2.13, found {module.__version__}")
    module.set_num_threads(1)
    module.backends.quantized.engine = "fbgemm"
    return module


@pytest.fixture(autouse=True)
def _torch_warns() -> Iterator[None]:
    """Let torch announce the end of its quantized tensors without failing the tests."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        yield
