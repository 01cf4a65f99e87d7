"""``python -m benchmarks.instructions``: how many instructions each kernel executes for a small fixed workload.

Counts repeat where times do not, to a few in ten thousand. What is counted is the compiled kernel function with ready
arguments, its Python wrapper included, less an empty call; after a first call that is not counted, with one thread.
valgrind's callgrind counts what valgrind knows, baseline and avx2; a kernel that it does not know is executed one
instruction at a time under ptrace, natively, which gives the same counts within a percent. Those recorded are in
instructions.json, a run prints them beside its own. They depend on the compiler. Linux with a C compiler only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import quantnn
from quantnn import _cpu, _dispatch

from ._kernel_calls import kernel_calls

RECORD = Path(__file__).with_name("instructions.json")
VALGRIND = ("baseline", "avx2")
NOT_VALGRIND = ("embedding",)  # valgrind 3.19 misses a form of vmovq
LIBRARY = "./instructions.so"
NO_RANDOMIZE = 0x0040000  # of personality(2)


class Workload(NamedTuple):
    kernel: str
    text: str
    make: Callable[[], Callable[[], Any]]


def workloads() -> list[Workload]:
    ops, functional = quantnn.ops, quantnn.functional
    image, odd = _tensor(1, 32, 8, 8), _tensor(1, 3, 16, 16)
    flat, text = _tensor(4000), _tensor(4, 256)
    ones, zeros = np.ones(32, np.float32), np.zeros(32, np.float32)
    floats = np.linspace(-3, 3, 4000, dtype=np.float32)
    y = (0.1, 100)
    return [
        Workload("linear", "1 x 256 -> 64", partial(_linear, 1, 256, 64)),
        Workload("linear", "16 x 256 -> 64", partial(_linear, 16, 256, 64)),
        Workload("linear", "7 x 30 -> 20", partial(_linear, 7, 30, 20)),
        Workload("conv", "3x3, 32 -> 32 at 8", partial(_conv, image, 32, 3)),
        Workload("conv", "1x1, 32 -> 64 at 8", partial(_conv, image, 64, 1)),
        Workload("conv", "3x3 s2, 3 -> 16 at 16", partial(_conv, odd, 16, 3, 2)),
        Workload("conv", "3x3, 32 -> 32 at 8, 8 groups", partial(_conv, image, 32, 3, 1, 8)),
        Workload("depthwise", "3x3, 32 at 8", partial(_conv, image, 32, 3, 1, 32)),
        Workload("depthwise", "3x3 s2, 32 at 8", partial(_conv, image, 32, 3, 2, 32)),
        Workload("pool", "max 3x3 s2, 32 at 8", lambda: partial(functional.max_pool2d, image, 3, 2, 1)),
        Workload("pool", "average 2x2, 32 at 8", lambda: partial(functional.avg_pool2d, image, 2, 2)),
        Workload("pool", "global average, 32 at 8", lambda: partial(functional.adaptive_avg_pool2d, image, 1)),
        Workload("interpolate", "nearest x2, 32 at 8", lambda: partial(functional.interpolate, image, None, 2)),
        Workload("interpolate", "bilinear x2, 32 at 8",
                 lambda: partial(functional.interpolate, image, None, 2, "bilinear")),
        Workload("normalization", "batch norm, 32 at 8",
                 lambda: partial(ops.batch_norm2d, image, ones, zeros, zeros, ones, 1e-5, *y)),
        Workload("normalization", "layer norm, 4 x 256",
                 lambda: partial(ops.layer_norm, text, [256], None, None, 1e-5, *y)),
        Workload("normalization", "group norm, 32 at 8, 8 groups",
                 lambda: partial(ops.group_norm, image, 8, ones, zeros, 1e-5, *y)),
        Workload("embedding", "bag, 8 bits, 4 x 10 of 64", partial(_bag, "byte", quantnn.quint8)),
        Workload("embedding", "bag, 4 bits, 4 x 10 of 64", partial(_bag, "4bit", quantnn.quint4x2)),
        Workload("binary", "add, 4000", lambda: partial(ops.add, flat, flat, *y)),
        Workload("binary", "mul, 4000", lambda: partial(ops.mul, flat, flat, *y)),
        Workload("binary", "cat of channels, 2 x 32 at 8", lambda: partial(ops.cat, [image, image], 1, *y)),
        Workload("unary", "relu, 4000", lambda: partial(ops.relu, flat)),
        Workload("unary", "hardswish, 4000", lambda: partial(ops.hardswish, flat, *y)),
        Workload("unary", "elu, 4000", lambda: partial(ops.elu, flat, *y)),
        Workload("softmax", "8 x 128", lambda: partial(ops.softmax, _tensor(8, 128), 1, 1 / 256, 0)),
        Workload("matmul", "24 x 64 x 48", lambda: partial(ops.matmul, _tensor(24, 64), _tensor(64, 48), *y)),
        Workload("quantize", "quantize, 4000",
                 lambda: partial(quantnn.quantize_per_tensor, floats, *y, quantnn.quint8)),
        Workload("quantize", "dequantize, 4000", lambda: flat.dequantize),
    ]  # fmt: skip


def _tensor(*shape: int) -> Any:
    """Activations; channels-last in memory where they are an image."""
    ints = (np.arange(np.prod(shape)) * 37 % 256).astype(np.uint8)
    if len(shape) == 4:
        n, c, *size = shape
        return quantnn.make_per_tensor_quantized_tensor(np.moveaxis(ints.reshape(n, *size, c), -1, 1), 0.05, 100)
    return quantnn.make_per_tensor_quantized_tensor(ints.reshape(shape), 0.05, 100)


def _weight(*shape: int) -> Any:
    ints = (np.arange(np.prod(shape)) * 37 % 255 - 127).astype(np.int8).reshape(shape)
    return quantnn.make_per_tensor_quantized_tensor(ints, 0.01, 0)


def _linear(m: int, k: int, n: int) -> Callable[[], Any]:
    packed = quantnn.ops.linear_prepack(_weight(n, k), np.ones(n, np.float32))
    return partial(quantnn.ops.linear, _tensor(m, k), packed, 0.5, 100)


def _conv(x: Any, out: int, size: int, stride: int = 1, groups: int = 1) -> Callable[[], Any]:
    weight = _weight(out, x.shape[1] // groups, size, size)
    geometry = ([stride] * 2, [size // 2] * 2, [1, 1], groups)
    packed = quantnn.ops.conv2d_prepack(weight, np.ones(out, np.float32), *geometry)
    return partial(quantnn.ops.conv2d, x, packed, 0.5, 100)


def _bag(name: str, dtype: Any) -> Callable[[], Any]:
    floats = np.linspace(-1, 1, 100 * 64, dtype=np.float32).reshape(100, 64)
    scales, zero_points = np.full(100, 0.2, np.float32), np.full(100, 5.0, np.float32)
    packed = quantnn.ops.embedding_bag_prepack(quantnn.quantize_per_channel(floats, scales, zero_points, 0, dtype))
    indices, offsets = np.arange(40) * 7 % 100, np.arange(0, 40, 10)
    return partial(getattr(quantnn.ops, f"embedding_bag_{name}"), packed, indices, offsets)


def counted(level: str) -> list[Workload]:
    """The workloads whose kernels a level has of its own."""
    return [w for w in workloads() if _dispatch.owner(level, w.kernel) == level]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__, allow_abbrev=False)
    parser.add_argument("--level", action="append", choices=_dispatch.AVAILABLE, help="only these (default: all)")
    parser.add_argument("--write", action="store_true", help=f"record the counts in {RECORD.name}")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)  # what the counted process does
    options = parser.parse_args()
    if options.child:
        _child(*options.child)
        return 0
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"compiler": _cpu.compiler(), "counts": {}}
    if record["compiler"] != _cpu.compiler():
        print(f"recorded with {record['compiler']}, this build with {_cpu.compiler()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = Path(__file__).with_name("instructions.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", folder / LIBRARY, source], check=True)
        for level in options.level or _dispatch.AVAILABLE:
            print(f"\n{level:<46}{'instructions':>14}{'recorded':>12}")
            for workload, count in _counts(level, folder).items():
                found = record["counts"].setdefault(workload, {})
                change = f"{found[level]:>12}{count / found[level] - 1:>+9.2%}" if level in found else ""
                print(f"{workload:<46}{count:>14}{change}", flush=True)
                found[level] = count
    if options.write:
        RECORD.write_text(json.dumps(record | {"compiler": _cpu.compiler()}, indent=1) + "\n")
    return 0


def _counts(level: str, folder: Path) -> dict[str, int]:
    """The instructions of each workload of a level."""
    found = {}
    kernels = list(dict.fromkeys(w.kernel for w in counted(level)))
    known = level in VALGRIND and shutil.which("valgrind") is not None
    for count, mine in (
        (_callgrind, [k for k in kernels if known and k not in NOT_VALGRIND]),
        (_step, [k for k in kernels if not known or k in NOT_VALGRIND]),
    ):
        empty, *counts = count(level, mine, folder)
        texts = [f"{w.kernel}: {w.text}" for w in counted(level) if w.kernel in mine]
        found |= {text: n - empty for text, n in zip(texts, counts, strict=True)}
    return found


def _child(function: str, kernels: str) -> None:
    """Run an empty call and the workloads of some kernels within a function of instructions.c."""
    run = getattr(ctypes.PyDLL(LIBRARY), function)
    run.restype, run.argtypes = ctypes.py_object, [ctypes.py_object]
    run(partial(len, ()))
    for workload in counted(_dispatch.kernels.level):
        if workload.kernel in kernels.split(","):
            run(kernel_calls(workload.make))


def _command(function: str, kernels: list[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "benchmarks.instructions", "--child", function, ",".join(kernels)]


def _environment(level: str) -> dict[str, str]:
    """Nothing else: what the environment holds moves what lies in memory."""
    return {
        "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0", "QUANTNN_ISA": level, "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip


def _callgrind(level: str, kernels: list[str], folder: Path) -> list[int]:
    options = [f"--callgrind-out-file={level}", "--collect-atstart=no"]
    command = [shutil.which("valgrind") or "", "--tool=callgrind", *options, *_command("collected", kernels)]
    done = subprocess.run(command, env=_environment(level), cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    dumps = sorted(folder.glob(f"{level}.*"), key=lambda p: int(p.suffix[1:]))
    return [_total(p.read_text()) for p in dumps]


def _total(dump: str) -> int:
    """The instructions of a callgrind dump."""
    return next(int(line.split()[1]) for line in dump.splitlines() if line.startswith("totals:"))


def _step(level: str, kernels: list[str], folder: Path) -> list[int]:
    tracer = ctypes.CDLL(str(folder / LIBRARY))
    tracer.count.restype = ctypes.c_long

    def prepare() -> None:
        ctypes.CDLL(None).personality(NO_RANDOMIZE)
        tracer.trace_me()

    command = _command("stepped", kernels)
    with subprocess.Popen(command, env=_environment(level), cwd=folder, preexec_fn=prepare) as child:
        os.waitpid(child.pid, 0)  # it stops where it begins
        return list(iter(lambda: tracer.count(child.pid), -1))


if __name__ == "__main__":
    sys.exit(main())
