"""The bits of every operator are those of data/golden.json, at every level, on every machine."""

from __future__ import annotations

import pytest

from quantnn import _dispatch

from . import golden


def test_every_operator_has_a_hash() -> None:
    covered = {golden.resolve(name) for name in golden.CASES}
    assert not [name for name, operator in golden.operators().items() if operator not in covered]
    assert golden.CASES.keys() == golden.stored().keys()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", _dispatch.AVAILABLE)
def test_same_bits(level: str, threads: int) -> None:
    found, expected = golden.hashes(level, threads), golden.stored()
    assert not [name for name in expected if found[name] != expected[name]]
