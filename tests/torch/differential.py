"""Random cases by the hundred thousand: ``python -m tests.torch.differential --cases 100000``.

Every tests/torch/test_*.py has a dict ``CASES`` of name: function(rng, torch, quantnn) -> (elements,
mismatches), which draws one random case, computes it with both libraries and compares. The cases asked for
are spread over all names, instruction-set levels and thread counts. Each has a seed of its own, printed
with every mismatch, so that ``--names NAME --levels LEVEL --threads N --seed SEED --cases 1`` repeats it.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import shlex
import sys
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import quantnn
from quantnn import _dispatch

Case = Callable[[np.random.Generator, Any, Any], tuple[int, int]]


def collect() -> tuple[dict[str, Case], dict[str, str]]:
    """All cases by name, "family.name" where two families use one; and the modules that failed to import."""
    found: dict[str, list[tuple[str, Case]]] = defaultdict(list)
    failed: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        family = path.stem.removeprefix("test_")
        try:
            module = importlib.import_module(f"{__package__}.{path.stem}")
        except Exception as e:  # the others can still run
            failed[family] = f"{type(e).__name__}: {e}"
            continue
        for name, case in getattr(module, "CASES", {}).items():
            found[name].append((family, case))
    cases: dict[str, Case] = {}
    for name, entries in found.items():
        for family, case in entries:
            cases[name if len(entries) == 1 else f"{family}.{name}"] = case
    return cases, failed


def load_torch() -> Any:
    """torch as the tests want it: 2.13, one thread, the fbgemm engine."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        import torch
    except ImportError:
        sys.exit("torch is not installed: nothing to compare with")
    if not torch.__version__.startswith("2.13."):
        sys.exit(f"compares with torch 2.13, found {torch.__version__}")
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    return torch


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torch.differential", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="at least so many in all (default 100000)")
    parser.add_argument("--names", help="only these, comma-separated")
    parser.add_argument("--levels", help=f"of {', '.join(_dispatch.AVAILABLE)} (default: all)")
    parser.add_argument("--threads", default="1,2", help="thread counts of quantnn (default 1,2)")
    parser.add_argument("--seed", type=int, default=0, help="of the first case of each name (default 0)")
    options = parser.parse_args()

    torch = load_torch()
    cases, failed = collect()
    names = list(cases)
    if options.names:
        names = [options.names] if options.names in cases else options.names.split(",")
    levels = options.levels.split(",") if options.levels else list(_dispatch.AVAILABLE)
    threads = [int(n) for n in options.threads.split(",")]
    if unknown := [n for n in names if n not in cases]:
        parser.error(f"no such name: {', '.join(unknown)}; the names are {', '.join(cases)}")
    if unknown := [x for x in levels if x not in _dispatch.AVAILABLE]:
        parser.error(f"no such level here: {', '.join(unknown)}")
    if not names:
        parser.error("no cases found")

    tally = Tally(names, levels)
    rounds = max(1, -(-options.cases // (len(names) * len(levels) * len(threads))))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed = options.seed
        for _, level in itertools.product(range(rounds), levels):
            with _dispatch.use_level(level):
                for n in threads:
                    for name in names:
                        tally.run(name, level, n, seed, cases[name], torch)
                    seed += 1
    tally.show(time.perf_counter() - start, threads)
    for family, reason in failed.items():
        print(f"tests/torch/test_{family}.py could not be imported: {reason}")
    return 1 if tally.wrong or failed else 0


class Tally:
    """Cases, elements and mismatches per name and level."""

    def __init__(self, names: list[str], levels: list[str]) -> None:
        self.names, self.levels = names, levels
        self.counts = {(n, x): [0, 0, 0] for n in names for x in levels}
        self.wrong = 0

    def run(self, name: str, level: str, threads: int, seed: int, case: Case, torch: Any) -> None:
        rng = np.random.default_rng([seed, *name.encode()])
        try:
            with quantnn.num_threads(threads):
                elements, mismatches = case(rng, torch, quantnn)
        except Exception:  # a case that cannot run is a mismatch of its own
            elements, mismatches = 0, 1
            if self.wrong < 10:
                traceback.print_exc()
        count = self.counts[name, level]
        for i, n in enumerate((1, elements, mismatches)):
            count[i] += int(n)
        if mismatches:
            self.wrong += 1
            if self.wrong <= 50:
                print(
                    f"{name}: {mismatches} of {elements} elements differ: --names {shlex.quote(name)} "
                    f"--levels {level} --threads {threads} --seed {seed} --cases 1",
                    flush=True,
                )

    def show(self, seconds: float, threads: list[int]) -> None:
        width = max(map(len, [*self.names, "all names"])) + 2
        print("\ncases / elements / mismatches")
        print(f"{'':<{width}}" + "".join(f"{x:>26}" for x in [*self.levels, "all levels"]))
        for name in [*self.names, "all names"]:
            cells = []
            for level in [*self.levels, "all levels"]:
                mine = [
                    c
                    for (n, x), c in self.counts.items()
                    if (name in (n, "all names")) and (level in (x, "all levels"))
                ]
                cells.append("{:,} / {:,} / {:,}".format(*(sum(c[i] for c in mine) for i in range(3))))
            print(f"{name:<{width}}" + "".join(f"{c:>26}" for c in cells))
        cases = sum(c[0] for c in self.counts.values())
        print(
            f"{cases:,} cases in {seconds:.0f} s, threads {', '.join(map(str, threads))}: "
            f"{self.wrong:,} cases with mismatches"
        )


if __name__ == "__main__":
    sys.exit(main())
