"""A short run of the fuzzer, and the files that are kept of longer ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import fuzz

CORPUS = fuzz.DATA / "corpus"
OPEN = {".pth": fuzz.open_checkpoint, ".pt": fuzz.open_program, ".npz": fuzz.open_own, ".safetensors": fuzz.open_own}


@pytest.mark.slow
def test_fuzz(tmp_path: Path) -> None:
    _, failures = fuzz.fuzz(250, 10**9, fuzz.seeds(), None)
    assert not failures


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_corpus(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seed = fuzz.Seed(path.name, b"", OPEN[path.suffix])
    outcome = fuzz.run(seed, path.read_bytes(), tmp_path / path.name, tmp_path / "executed")
    assert (outcome.kind, outcome.failure) == ("FileError", "")


def test_good_files_open(tmp_path: Path) -> None:
    for seed in fuzz.seeds():
        outcome = fuzz.run(seed, seed.data, tmp_path / "fuzzed.pth", tmp_path / "trap")
        assert (outcome.kind, outcome.failure) == ("opened", ""), seed.name
