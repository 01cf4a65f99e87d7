"""How many threads there are, how to set them, and that neither fork nor Python threads do harm."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import _cpu, _threads

openmp = pytest.mark.skipif(not _cpu.openmp(), reason="this build has no OpenMP")

# ---- the default


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set what the system says of its processors; call with processors, quota and OMP_NUM_THREADS."""

    def pretend(processors: int, quota: float = math.inf, asked: str | None = None) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
        monkeypatch.setattr(_threads, "_cgroup_quota", lambda: quota)
        if asked is None:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", asked)
        return _threads._default()

    return pretend


@openmp
@pytest.mark.parametrize(
    ("processors", "quota", "asked", "expected"),
    [
        (8, math.inf, None, 8),
        (1, math.inf, None, 1),
        (8, 2.0, None, 2),
        (8, 2.9, None, 2),  # rounded down
        (8, 0.5, None, 1),  # but at least one
        (8, 64.0, None, 8),
        (8, math.inf, "3", 3),
        (8, math.inf, " 3 ", 3),
        (8, math.inf, "3,2", 3),  # levels of nesting
        (8, math.inf, "64", 8),  # never raises it
        (8, 2.0, "3", 2),
        (8, math.inf, "", 8),
        (8, math.inf, "0", 8),
        (8, math.inf, "-1", 8),
        (8, math.inf, "many", 8),
        (8, math.inf, "\u00b2", 8),
        (8, math.inf, "9" * 5000, 8),
    ],
)
def test_default(machine: Any, processors: int, quota: float, asked: str | None, expected: int) -> None:
    assert machine(processors, quota, asked) == expected


@openmp
def test_default_without_an_affinity_mask(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(8)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert _threads._default() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _threads._default() == 1


def test_without_openmp_there_is_one_thread(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoOpenMP:
        @staticmethod
        def openmp() -> int:
            return 0

    monkeypatch.setattr(_threads, "_cpu", NoOpenMP)
    assert machine(8) == 1
    quantnn.set_num_threads(4)
    assert quantnn.get_num_threads() == 1


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": ""}, math.inf),
        ({"cpu.max": "what 100000"}, math.inf),
        ({"cpu.max": "200000 0"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "0\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "150000\n"}, math.inf),
    ],
)
def test_cgroup_quota(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert _threads._cgroup_quota(str(tmp_path)) == quota


@openmp
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_the_affinity_mask_lowers_the_default() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "import quantnn; print(quantnn.get_num_threads())"
    )
    assert run_python(code).strip() == "1"


# ---- setting


@openmp
@pytest.mark.parametrize("n", [1, 2, 1024, np.int64(3)])
def test_set_num_threads(n: Any) -> None:
    quantnn.set_num_threads(n)
    assert quantnn.get_num_threads() == n


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "from 1 to 1024; got 0"),
        (-1, ValueError, "from 1 to 1024; got -1"),
        (1025, ValueError, "from 1 to 1024; got 1025"),
        (10**30, ValueError, "from 1 to 1024"),
        (2.0, TypeError, "must be an int; got float"),
        ("2", TypeError, "must be an int; got str"),
        (None, TypeError, "must be an int; got NoneType"),
        (True, TypeError, "must be an int; got bool"),
    ],
)
def test_set_num_threads_refuses(n: Any, error: type[Exception], message: str) -> None:
    before = quantnn.get_num_threads()
    with pytest.raises(error, match=f"set_num_threads: n must be .*{message.split('be ')[-1]}"):
        quantnn.set_num_threads(n)
    with pytest.raises(error), quantnn.num_threads(n):
        pass
    assert quantnn.get_num_threads() == before


@openmp
def test_num_threads_restores() -> None:
    quantnn.set_num_threads(3)
    with quantnn.num_threads(2):
        assert quantnn.get_num_threads() == 2
        with quantnn.num_threads(1):
            assert quantnn.get_num_threads() == 1
        assert quantnn.get_num_threads() == 2
    assert quantnn.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), quantnn.num_threads(2):
        raise ZeroDivisionError
    assert quantnn.get_num_threads() == 3


@openmp
def test_threads_for() -> None:
    quantnn.set_num_threads(4)
    assert _threads.threads_for(0, 100) == 1
    assert _threads.threads_for(199, 100) == 1
    assert _threads.threads_for(200, 100) == 2
    assert _threads.threads_for(10**9, 100) == 4
    quantnn.set_num_threads(1)
    assert _threads.threads_for(10**9, 100) == 1


# ---- processes and Python threads


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
import os, signal, warnings
import numpy, quantnn
warnings.simplefilter("ignore")  # Python's own of forking with threads

x = numpy.arange(1 << 20, dtype=numpy.float32) / 4096
quantnn.set_num_threads(2)
expected = quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8).int_repr().sum()
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that hangs
    assert quantnn.get_num_threads() == 1
    found = quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8).int_repr().sum()
    quantnn.set_num_threads(2)  # must not bring the hang back
    again = quantnn.quantize_per_tensor(x, 1.0, 0, quantnn.quint8).int_repr().sum()
    os._exit(0 if found == again == expected else 3)
print("child", os.waitpid(child, 0)[1], "parent", quantnn.get_num_threads())
"""


@openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_after_a_parallel_region_does_not_hang() -> None:
    assert run_python(FORK).strip() == "child 0 parent 2"


@pytest.mark.parametrize("threads", [1, 2])
def test_one_module_in_many_python_threads(level: str, rng: np.random.Generator, threads: int) -> None:
    quantnn.set_num_threads(threads)
    m = quantnn.Conv2d(8, 16, 3, padding=1)
    w = (rng.standard_normal((16, 8, 3, 3)) / 8).astype(np.float32)
    m.set_weight_bias(quantnn.quantize_per_tensor(w, 0.01, 0, quantnn.qint8), None)
    m.scale, m.zero_point = 0.1, 128
    inputs = [
        quantnn.quantize_per_tensor(rng.standard_normal((2, 8, 19, 17)).astype(np.float32), 0.03, 100, quantnn.quint8)
        for _ in range(8)
    ]
    expected = [m(x).int_repr() for x in inputs]
    start = threading.Barrier(8)

    def work(i: int) -> bool:
        start.wait()
        return all(np.array_equal(m(inputs[i]).int_repr(), expected[i]) for _ in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
