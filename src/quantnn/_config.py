"""show_config: what this installation is, what the processor offers and what was chosen."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from typing import Any

import numpy as np

from . import _cpu, _dispatch, _threads

# The value of the macro _OPENMP and the version of the specification that it stands for.
_OPENMP_VERSIONS = {
    200203: "2.0",
    200505: "2.5",
    200805: "3.0",
    201107: "3.1",
    201307: "4.0",
    201511: "4.5",
    201811: "5.0",
    202011: "5.1",
    202111: "5.2",
    202411: "6.0",
}

_RUNTIME = re.compile(r"/lib(gomp|omp|iomp5)\b[^/]*$")


def version() -> str:
    """The version of the installed package, ``"unknown"`` in a source tree that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("quantnn")
    except PackageNotFoundError:
        return "unknown"


def openmp_runtimes(maps: str = "/proc/self/maps") -> list[str] | None:
    """The OpenMP runtimes loaded in this process; None where the system does not tell, as Linux does."""
    try:
        with open(maps, encoding="utf-8", errors="surrogateescape") as f:
            # address, permissions, offset, device, inode, path
            columns = [line.rstrip("\n").split(None, 5) for line in f]
    except OSError:
        return None
    return sorted({c[5] for c in columns if len(c) == 6 and _RUNTIME.search(c[5])})


def config() -> dict[str, Any]:
    """What `show_config` shows, as a dict."""
    chosen = _dispatch.kernels.level
    if _cpu.openmp():
        with suppress(ImportError):
            _dispatch.load(chosen, "quantize")  # kernels are what brings the OpenMP runtime along
    return {
        "version": version(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "platform": platform.platform(),
        "compiler": _cpu.compiler(),
        "openmp": _cpu.openmp() or None,
        "openmp_runtimes": openmp_runtimes() if _cpu.openmp() else None,
        "levels_built": _cpu.built_levels(),
        "levels_available": _dispatch.AVAILABLE,
        "level": chosen,
        "QUANTNN_ISA": os.environ.get("QUANTNN_ISA"),
        "threads": _threads.get_num_threads(),
    }


def show_config(as_dict: bool = False) -> dict[str, Any] | None:
    """Print what this installation is made of: put it into a bug report.

    Parameters
    ----------
    as_dict : bool
        Return the facts instead of printing them.

    Returns
    -------
    dict or None
        None if they are printed. Else a dict with the keys ``version``, ``python``, ``numpy``, ``platform``,
        ``compiler``, ``openmp`` (the value of the compiler's ``_OPENMP``, None in a build without it),
        ``openmp_runtimes`` (paths of the OpenMP libraries loaded in this process, None if the system does not
        tell), ``levels_built`` (the instruction-set levels in this build, lowest first), ``levels_available``
        (those that this processor can run), ``level`` (the chosen one), ``QUANTNN_ISA`` (the environment
        variable or None) and ``threads``.

    Examples
    --------
    >>> import quantnn
    >>> facts = quantnn.show_config(as_dict=True)
    >>> facts["level"] in facts["levels_available"]
    True
    """
    facts = config()
    if as_dict:
        return facts
    openmp = "none"
    if facts["openmp"] is not None:
        openmp = _OPENMP_VERSIONS.get(facts["openmp"], str(facts["openmp"]))
        openmp += "".join(f", {path}" for path in facts["openmp_runtimes"] or ["runtime not known"])
    isa = facts["QUANTNN_ISA"]
    lines = {
        "quantnn": facts["version"],
        "Python": facts["python"],
        "NumPy": facts["numpy"],
        "platform": facts["platform"],
        "compiler": facts["compiler"],
        "OpenMP": openmp,
        "levels built": " ".join(facts["levels_built"]),
        "levels available": " ".join(facts["levels_available"]),
        "level chosen": facts["level"],
        "QUANTNN_ISA": "not set" if isa is None else repr(isa),
        "threads": facts["threads"],
    }
    for name, value in lines.items():
        print(f"{name + ':':<18}{value}")
    return None
