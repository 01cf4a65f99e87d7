"""``python -m benchmarks.memory``: what a forward pass of ResNet-50 at batch 1 needs above its weights.

Each library runs in a process of its own, with one thread. After a few passes the C library's free memory is given
back to the system and Linux's mark of the highest resident size is reset; then one more pass. What its mark is above
the private memory that the finished network held before its first pass counts: every array, and what the library keeps
from pass to pass (buffers, compiled code), but not the pages of program files. Page faults are counted over passes
that follow each other without such a trim, as they do in use. Linux with glibc only.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import subprocess
import sys
from pathlib import Path

from . import _networks, _peers

LIBRARIES = ("quantnn", "torch", "torch-onednn")
WARM_UP, PASSES = 5, 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__, allow_abbrev=False)
    parser.add_argument("--network", choices=_networks.NETWORKS, default="ResNet-50")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--one", choices=LIBRARIES, help=argparse.SUPPRESS)  # what a process of its own does
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measure(options.one, options.network)))
        return 0
    print(f"{options.network}, batch 1{'':<14}{'weights':>12}{'above them':>12}{'faults a pass':>15}")
    figures = {}
    for library in LIBRARIES:
        command = [sys.executable, "-m", "benchmarks.memory", "--one", library, "--network", options.network]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{library}: {done.stderr.strip().splitlines()[-1]}")
            continue
        figures[library] = found = json.loads(done.stdout)
        numbers = f"{found['weights'] / 2**20:>8.1f} MiB{found['peak'] / 2**20:>8.1f} MiB{found['faults']:>15.1f}"
        print(f"{library:<32}{numbers}")
    if options.json:
        options.json.write_text(json.dumps({"network": options.network, **figures}, indent=1) + "\n")
    return 0


def _measure(library: str, network: str) -> dict[str, float]:
    _peers.prepare(1)
    image = _networks.image()
    if library == "quantnn":
        names = _networks.quantnn_library()
    else:
        module = _peers.torch("onednn" if library == "torch-onednn" else "fbgemm")
        names = _networks.torch_library(module)
        image = module.from_numpy(image)
    empty = _resident(trim=True)["RssAnon"]
    net = _networks.filled(_networks.NETWORKS[network], names)
    built = _resident(trim=True)["RssAnon"]

    def call() -> None:
        net(image)

    for _ in range(WARM_UP):
        call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(PASSES):
        call()
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / PASSES
    _resident(trim=True)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    call()
    after = _resident(trim=False)
    files = after["RssFile"] + after["RssShmem"]
    return {"weights": built - empty, "peak": after["VmHWM"] - files - built, "faults": faults}


def _resident(trim: bool) -> dict[str, int]:
    """The process's resident bytes by kind; `trim`: after what is free has gone back to the system."""
    if trim:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssFile", "RssShmem", "VmHWM")}


if __name__ == "__main__":
    sys.exit(main())
