"""How many threads a kernel may use: the only file that knows OpenMP.

A kernel takes its number of threads as an argument and enters an OpenMP region only if that is more than one, so
``set_num_threads(1)`` never touches the OpenMP runtime.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import _cpu


def _cgroup_quota(root: str = "/sys/fs/cgroup") -> float:
    """The processors that a container's quota allows, infinity without one."""
    try:
        with open(f"{root}/cpu.max") as f:  # cgroup v2
            quota, period = f.read().split()[:2]
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        with open(f"{root}/cpu/cpu.cfs_quota_us") as f:  # cgroup v1
            quota = f.read()
        with open(f"{root}/cpu/cpu.cfs_period_us") as f:
            period = f.read()
        return math.inf if int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _default() -> int:
    """The affinity mask and the container's quota, rounded down, capped by OMP_NUM_THREADS; 1 without OpenMP."""
    if not _cpu.openmp():
        return 1
    try:
        n: float = len(os.sched_getaffinity(0))  # type: ignore[attr-defined,unused-ignore]
    except (AttributeError, OSError):
        n = os.cpu_count() or 1
    n = min(n, _cgroup_quota())
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isascii() and asked.isdecimal() and 0 < len(asked) < 10 and int(asked) > 0:
        n = min(n, int(asked))
    return max(1, int(n))


_number = _default()
_forked = False


def get_num_threads() -> int:
    """Return the number of threads that kernels may use.

    The default is the number of processors in the affinity mask, lowered to the container's CPU quota (rounded down)
    and to ``OMP_NUM_THREADS``. torch's ``torch.get_num_threads``.

    Returns
    -------
    int

    Examples
    --------
    >>> import quantnn
    >>> quantnn.get_num_threads() >= 1
    True
    """
    return _number


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels may use, for the whole process.

    Results never depend on it. With 1, no kernel enters an OpenMP region. torch's ``torch.set_num_threads``.

    Parameters
    ----------
    n : int
        At least 1. A build without OpenMP, and a process made by ``fork``, stay at one thread.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1 or more than 1024.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.set_num_threads(1)
    >>> quantnn.get_num_threads()
    1
    """
    global _number
    try:
        value = operator.index(n)
    except Exception:  # torch's tensors raise other errors than TypeError
        value = None
    if value is None or isinstance(n, bool):
        raise TypeError(f"set_num_threads: n must be an int; got {type(n).__name__}")
    if not 1 <= value <= 1024:
        got = value if abs(value) < 1 << 63 else "a number of more than 64 bits"
        raise ValueError(f"set_num_threads: n must be from 1 to 1024; got {got}")
    _number = value if _cpu.openmp() and not _forked else 1


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Set the number of threads inside a ``with`` block and restore it afterwards.

    Parameters
    ----------
    n : int
        As in `set_num_threads`.

    Examples
    --------
    >>> import quantnn
    >>> with quantnn.num_threads(1):
    ...     quantnn.get_num_threads()
    1
    """
    before = _number
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def threads_for(work: int, grain: int) -> int:
    """How many threads to use for `work` units of which at least `grain` should go to each."""
    if _number == 1 or work < 2 * grain:
        return 1
    return min(_number, work // grain)


def at_most(n: int) -> int:
    """How many threads to use for work that is worth `n` of them."""
    return n if n < _number else _number


def _after_fork() -> None:
    # libgomp's threads do not survive a fork; a parallel region in the child would wait for them for ever.
    global _number, _forked
    _number, _forked = 1, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
