"""The machine's own limits, measured before anything else, and what they allow a row.

A row can do no better than the longer of two times: its multiply-adds by the peak of the level's byte dot
product, and its bytes by the bandwidth of *reading* in the cache level that holds them all. The peak is that
of the level in use, also for peers that choose their instructions themselves.

The sizes of the first two caches and of the third are what the system says; a hypervisor may say the third
of another machine, so its bandwidth is measured on four times the second one's size.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WIDTHS = {"amx": 64, "avx512vnni": 64, "avxvnni": 32, "avx2": 32}  # bytes of a level's vectors; 16 else
MEMORY = 256 << 20  # bytes that no cache holds
SECONDS, TRIES = 0.02, 5  # of one measurement; the best of the tries counts


class Limits(NamedTuple):
    """Rates a second by number of threads, bandwidths also by cache level: "L1", "L2", "L3", "DRAM"."""

    level: str
    sizes: dict[str, int]  # bytes that a cache level holds
    shared: tuple[str, ...]  # those that all threads share
    peak: dict[int, float]  # multiply-adds; 0: unknown
    reading: dict[int, dict[str, float]]
    copying: dict[int, dict[str, float]]

    def cache(self, moved: float, threads: int) -> str:
        """The first cache level that holds so many bytes, cut up among the threads."""
        for name, size in self.sizes.items():
            if moved <= size * (1 if name in self.shared else threads):
                return name
        return "DRAM"

    def of(self, macs: float, moved: float, threads: int) -> tuple[float, str] | None:
        """The least seconds of so many multiply-adds and bytes, and what binds; None: unknown."""
        if not moved or (macs and not self.peak[threads]):
            return None
        cache = self.cache(moved, threads)
        reading = moved / self.reading[threads][cache], cache
        return max(reading, (macs / self.peak[threads], "peak")) if macs else reading

    def __str__(self) -> str:
        lines = [f"limits of {self.level}, threads:" + "".join(f"{t:>12}" for t in self.peak)]
        peaks = "".join(f"{p / 1e9:>12.0f}" if p else f"{'unknown':>12}" for p in self.peak.values())
        lines.append(f"  peak, GMAC/s          {peaks}")
        for what, rates in (("reading", self.reading), ("copying", self.copying)):
            for cache in (*self.sizes, "DRAM"):
                numbers = "".join(f"{rates[t][cache] / 1e9:>12.0f}" for t in rates)
                size = f"{self.sizes[cache] >> 10} KiB" if cache in self.sizes else ""
                lines.append(f"  {what} {cache}, GB/s".ljust(24) + f"{numbers}   {size if what == 'reading' else ''}")
        return "\n".join(lines)


def measure(level: str, threads: list[int]) -> Limits | str:
    """The limits of this machine at a level, or why they are not known."""
    with tempfile.TemporaryDirectory() as folder:
        library = _compile(Path(folder))
        return library if isinstance(library, str) else _measure(library, level, threads)


def _compile(folder: Path) -> ctypes.CDLL | str:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return "there is no C compiler"
    target = folder / f"limits{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    source = Path(__file__).with_name("limits.c")
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return f"{compiler} cannot compile limits.c: {done.stderr.strip().splitlines()[0]}"
    return ctypes.CDLL(str(target))


def _measure(library: ctypes.CDLL, level: str, threads: list[int]) -> Limits:
    for name in ("peak", "reading", "copying"):
        getattr(library, name).restype = ctypes.c_double
    sizes, shared = cache_sizes()
    spans = {name: size // 2 for name, size in sizes.items()}  # what surely stays in
    if "L3" in sizes:
        spans["L3"] = min(spans["L3"], 4 * sizes["L2"])
    spans["DRAM"] = MEMORY
    width, seconds = ctypes.c_int(WIDTHS.get(level, 16)), ctypes.c_double(SECONDS)
    buffers = [(_buffer(MEMORY), _buffer(MEMORY // 2)) for _ in range(max(threads))]

    def reading(thread: int, span: int) -> float:
        return float(library.reading(buffers[thread][0], ctypes.c_size_t(span & -256), width, seconds))

    def copying(thread: int, span: int) -> float:
        from_, to = buffers[thread]
        return float(library.copying(to, from_, ctypes.c_size_t(span // 2 & -256), width, seconds))

    def bandwidths(read: Callable[[int, int], float]) -> dict[int, dict[str, float]]:
        return {t: {c: _together(t, lambda i, s=s: read(i, s)) for c, s in spans.items()} for t in threads}

    return Limits(
        level, sizes, shared,
        {t: _together(t, lambda _: float(library.peak(level.encode(), seconds))) for t in threads},
        bandwidths(reading), bandwidths(copying),
    )  # fmt: skip


def _together(threads: int, rate: Callable[[int], float]) -> float:
    """The sum of the rates of so many threads at the same time; the best of a few tries."""
    barrier = threading.Barrier(threads)

    def run(i: int) -> float:
        barrier.wait()
        return rate(i)

    with ThreadPoolExecutor(threads) as pool:
        return max(sum(pool.map(run, range(threads))) for _ in range(TRIES))


def _buffer(size: int) -> Any:
    """Memory at the start of a page, every page touched."""
    array = np.ones(size + 4096, np.uint8)
    array = array[-array.ctypes.data % 4096 :]
    return array.ctypes.data_as(ctypes.c_void_p)


def cache_sizes() -> tuple[dict[str, int], tuple[str, ...]]:
    """The bytes of the data caches by level, as the system says, and which all processors share."""
    sizes: dict[str, int] = {}
    shared = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level, size = ((folder / f).read_text().strip() for f in ("type", "level", "size"))
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size.removesuffix("K")) << 10
            if (folder / "shared_cpu_list").read_text().strip() != "0":
                shared.append(f"L{level}")
    for name, key in (("L1", "SC_LEVEL1_DCACHE_SIZE"), ("L2", "SC_LEVEL2_CACHE_SIZE"), ("L3", "SC_LEVEL3_CACHE_SIZE")):
        if name not in sizes and key in getattr(os, "sysconf_names", {}):
            size_ = os.sysconf(key)
            if size_ > 0:
                sizes[name] = size_
    # nothing known (not Linux): what most processors have
    return sizes or {"L1": 32 << 10, "L2": 512 << 10, "L3": 8 << 20}, tuple(shared)
