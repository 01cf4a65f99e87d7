"""``python -m benchmarks``: run the families asked for and print what each peer needs beside quantnn."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import sys
from pathlib import Path

from quantnn import _dispatch
from quantnn._config import version

from . import _measure, _peers

FAMILIES = sorted(
    m.name.removeprefix("bench_")
    for m in pkgutil.iter_modules([str(Path(__file__).parent)])
    if m.name.startswith("bench_")
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("family", nargs="*", help=f"of {', '.join(FAMILIES)} (default: all)")
    parser.add_argument("--against", help=f"peers, of {', '.join(_peers.NAMES)} (default: what is installed)")
    parser.add_argument("--threads", type=int, default=1, help="of quantnn and of every peer (default 1)")
    parser.add_argument("--rounds", type=int, default=11, help="alternating rounds per row (default 11)")
    parser.add_argument("--budget", type=float, default=10.0, help="milliseconds of a round (default 10)")
    parser.add_argument("--level", choices=_dispatch.AVAILABLE, default=_dispatch.kernels.level)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    families = options.family or FAMILIES
    if unknown := set(families) - set(FAMILIES):
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    peers = options.against.split(",") if options.against else [p for p in _peers.NAMES if p != "torch-onednn"]
    if unknown := set(peers) - set(_peers.NAMES):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")

    versions = {p: _peers.installed(p) for p in peers}
    for peer, found in versions.items():
        print(f"{peer} {found or 'is not installed: left out'}")
    peers = [p for p in peers if versions[p]]
    _peers.prepare(options.threads)
    print(f"quantnn {version()}, level {options.level}, {options.threads} thread(s), Python "
          f"{platform.python_version()}, {_processor()}")  # fmt: skip

    results: dict[str, list[_measure.Result]] = {}
    means: dict[str, dict[str, dict[str, float]]] = {}
    pause = 0.005 if options.threads > 1 else 0.0
    with _dispatch.use_level(options.level):
        for family in families:
            rows = importlib.import_module(f".bench_{family}", __package__).rows()
            results[family], means[family] = _measure.run_family(
                family, rows, peers, options.rounds, options.budget / 1e3, pause
            )
    if options.json:
        report = {
            "machine": _processor(), "python": platform.python_version(), "quantnn": version(),
            "peers": versions, "level": options.level, "threads": options.threads, "rounds": options.rounds,
            "rows": {f: [r._asdict() for r in rs] for f, rs in results.items()}, "geometric_means": means,
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    wrong = sum(r.exact is False for rs in results.values() for r in rs)
    if wrong:
        print(f"\n{wrong} row(s) with WRONG integers", file=sys.stderr)
    return 1 if wrong else 0


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
