"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import quantnn
from quantnn import _dispatch


@pytest.fixture(params=_dispatch.AVAILABLE)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test at every instruction-set level that this machine can run."""
    with _dispatch.use_level(request.param):
        yield request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same for a test each time it runs."""
    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = quantnn.get_num_threads()
    yield
    quantnn.set_num_threads(before)
