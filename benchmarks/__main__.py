"""``python -m benchmarks``: run the families asked for and print what each peer needs beside quantnn."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import pkgutil
import platform
import sys
from pathlib import Path

from quantnn import _dispatch
from quantnn._config import version

from . import _limits, _measure, _peers, _plot, _report

FAMILIES = sorted(
    m.name.removeprefix("bench_")
    for m in pkgutil.iter_modules([str(Path(__file__).parent)])
    if m.name.startswith("bench_")
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("family", nargs="*", help=f"of {', '.join(FAMILIES)} (default: all)")
    parser.add_argument("--rows", metavar="TEXT", default="", help="only rows whose family and shape contain it")
    parser.add_argument("--against", help=f"peers, of {', '.join(_peers.NAMES)} (default: what is installed)")
    parser.add_argument("--threads", default="1", help="of quantnn and of every peer: numbers as 1,2 (default 1)")
    parser.add_argument("--rounds", type=int, default=11, help="alternating rounds per row (default 11)")
    parser.add_argument("--budget", type=float, default=10.0, help="milliseconds of a round (default 10)")
    parser.add_argument("--level", choices=_dispatch.AVAILABLE, default=_dispatch.kernels.level)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the shares of the limit: .svg or .png")
    options = parser.parse_args()
    families = options.family or FAMILIES
    if unknown := set(families) - set(FAMILIES):
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    peers = options.against.split(",") if options.against else list(_peers.NAMES)
    if unknown := set(peers) - set(_peers.NAMES):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    threads = [int(n) if n.isdecimal() else 0 for n in options.threads.split(",")]
    if min(threads) < 1:
        parser.error(f"--threads must be numbers as 1,2; got {options.threads}")
    if options.plot and not importlib.util.find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install 'quantnn[benchmark]'")

    versions = {p: _peers.installed(p) for p in peers}
    for peer, found in versions.items():
        print(f"{peer} {found or 'is not installed: left out'}")
    peers = [p for p in peers if versions[p]]
    machine = f"{_processor()}, level {options.level}"
    print(f"quantnn {version()}, Python {platform.python_version()}, {machine}")
    measured = _limits.measure(options.level, threads)
    limits = None if isinstance(measured, str) else measured
    print(limits or f"no shares of the limit: {measured}")

    results: dict[str, list[_measure.Result]] = {}
    timing = _measure.Timing(options.rounds, options.budget / 1e3)
    with _dispatch.use_level(options.level):
        for family in families:
            rows = importlib.import_module(f".bench_{family}", __package__).rows()
            wanted = (r for r in rows if options.rows in f"{r.group} {r.shape}")
            results[family] = _report.run_family(family, wanted, peers, threads, timing, limits)
    everything = [r for rs in results.values() for r in rs]
    groups = _measure.means(everything)
    if len(families) > 1:
        print("\nall families")
        _report.print_means(groups)
    if options.json:
        report = {
            "machine": _processor(), "python": platform.python_version(), "quantnn": version(), "peers": versions,
            "level": options.level, "threads": threads, "rounds": options.rounds,
            "limits": limits._asdict() if limits else None,
            "rows": {f: [r._asdict() for r in rs] for f, rs in results.items()},
            "means": [m._asdict() for m in groups],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        _plot.plot(options.plot, groups, ["quantnn", *peers], machine)
    wrong = sum(r.exact is False for r in everything)
    if wrong:
        print(f"\n{wrong} line(s) with WRONG integers", file=sys.stderr)
    return 1 if wrong else 0


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
