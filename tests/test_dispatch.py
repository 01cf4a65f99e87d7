"""The choice of an instruction-set level, with made-up processors and against what Linux says of this one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import quantnn
from quantnn import _cpu, _dispatch

X86 = ("baseline", "avx2", "avxvnni", "avx512vnni", "amx")
ARM = ("neon", "neondot", "i8mm")
ROWS = {row.name: row for row in _dispatch.LEVELS}


def processor(*levels: str, without: str = "") -> set[str]:
    """The features of a processor that offers these levels, less one."""
    return {feature for name in levels for feature in ROWS[name].features} - {without}


@pytest.mark.parametrize(
    ("features", "built", "expected"),
    [
        (processor(), X86, ("baseline",)),
        (processor("avx2"), X86, ("baseline", "avx2")),
        (processor("avx2", "avxvnni"), X86, ("baseline", "avx2", "avxvnni")),
        (processor("avx512vnni"), X86, ("baseline", "avx2", "avx512vnni")),
        (processor("avxvnni", "avx512vnni"), X86, X86[:-1]),
        (processor("avxvnni", "amx"), X86, X86),
        (processor("avxvnni", "amx", without="amxint8"), X86, X86[:-1]),
        # one feature missing rules a level out, and those above that presume it
        (processor("avx512vnni", without="avx512vl"), X86, ("baseline", "avx2")),
        (processor("avx512vnni", without="avx512vnni"), X86, ("baseline", "avx2")),
        (processor("avxvnni", "avx512vnni", without="fma"), X86, ("baseline",)),
        (processor("avxvnni", "avx512vnni", without="movbe"), X86, ("baseline",)),
        # only what was built
        (processor("avxvnni", "avx512vnni"), ("baseline",), ("baseline",)),
        (processor("avxvnni", "avx512vnni"), ("baseline", "avx2"), ("baseline", "avx2")),
        (processor(), ARM, ("neon",)),
        (processor("neondot"), ARM, ("neon", "neondot")),
        (processor("i8mm"), ARM, ARM),
        (processor("i8mm", without="dotprod"), ARM, ("neon",)),
    ],
)
def test_offered(features: set[str], built: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert _dispatch.offered(features.__contains__, built) == expected


def test_the_highest_level_is_chosen() -> None:
    assert _dispatch.choose(X86, None) == "amx"
    assert _dispatch.choose(X86, "") == "amx"
    assert _dispatch.choose(("baseline",), None) == "baseline"


@pytest.mark.parametrize("wanted", X86)
def test_the_level_can_be_lowered(wanted: str) -> None:
    assert _dispatch.choose(X86, wanted) == wanted


def test_an_unknown_level_is_ignored_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="QUANTNN_ISA='sse9' is not a level and is ignored"):
        assert _dispatch.choose(X86, "sse9") == "amx"


def test_the_level_cannot_be_raised() -> None:
    with pytest.warns(RuntimeWarning, match=r"QUANTNN_ISA='avx512vnni' is ignored.*only baseline, avx2$"):
        assert _dispatch.choose(("baseline", "avx2"), "avx512vnni") == "avx2"


def test_an_alien_level_is_ignored_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="QUANTNN_ISA='i8mm' is ignored"):
        assert _dispatch.choose(X86, "i8mm") == "amx"


def test_levels_are_rows_of_one_table() -> None:
    assert len(ROWS) == len(_dispatch.LEVELS)
    assert set(_cpu.built_levels()) <= set(ROWS)
    assert _dispatch.AVAILABLE[0] == _cpu.built_levels()[0]
    assert set(_dispatch.AVAILABLE) <= set(_cpu.built_levels())
    assert _dispatch.kernels.level in _dispatch.AVAILABLE


def test_every_kernel_loads_at_every_level() -> None:
    for level in _dispatch.AVAILABLE:
        below = ROWS[level].below
        assert not below or below in _dispatch.AVAILABLE
        for kernel in ("linear", "conv", "depthwise", "pool", "unary", "binary", "quantize"):
            module = _dispatch.load(level, kernel)
            own = not below or kernel in ROWS[level].own
            assert Path(str(module.__file__)).parent.name == (level if own else below)


# Linux's names where they are not ours.
CPUINFO = {
    "lzcnt": "abm",
    "avxvnni": "avx_vnni",
    "avx512vnni": "avx512_vnni",
    "amxtile": "amx_tile",
    "amxint8": "amx_int8",
    "dotprod": "asimddp",
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/cpuinfo is Linux's")
@pytest.mark.skipif("QUANTNN_EXPECT_ISA" in os.environ, reason="an emulator's /proc/cpuinfo is the host's")
def test_detection_agrees_with_linux() -> None:
    machine = {"x86_64": "x86-64", "aarch64": "aarch64"}.get(platform.machine())
    if machine is None:
        pytest.skip(f"no levels for {platform.machine()}")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    kernel = next(set(line.split()[2:]) for line in lines if line.startswith(("flags", "Features")))
    features = sorted({f for row in _dispatch.LEVELS if row.machine == machine for f in row.features})
    detected = {f for f in features if _cpu.has(f)}
    told = {f for f in features if CPUINFO.get(f, f) in kernel}
    assert detected == told, f"detected {sorted(detected)}, /proc/cpuinfo has {sorted(told)} of {features}"


@pytest.mark.skipif("QUANTNN_EXPECT_ISA" not in os.environ, reason="QUANTNN_EXPECT_ISA is not set")
def test_the_expected_level_is_the_highest_available() -> None:
    expected = os.environ["QUANTNN_EXPECT_ISA"]
    has = {f: _cpu.has(f) for row in _dispatch.LEVELS for f in row.features}
    assert _dispatch.kernels.level == expected, f"built {_cpu.built_levels()}, features {has}"


def test_no_feature_is_claimed_that_does_not_exist() -> None:
    assert not _cpu.has("")
    assert not _cpu.has("no such feature")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


PRINT_LEVEL = """
import numpy, quantnn
x = quantnn.quantize_per_tensor(numpy.ones(3, numpy.float32), 0.5, 1, quantnn.quint8)
level = quantnn.show_config(as_dict=True)["level"]
print(level, x.int_repr().tolist(), quantnn._dispatch.kernels.quantize.__name__)
"""


@pytest.mark.parametrize("wanted", _dispatch.AVAILABLE)
def test_the_environment_variable_takes_effect(wanted: str) -> None:
    done = run_python(PRINT_LEVEL, QUANTNN_ISA=wanted)
    module = f"quantnn._kernels.{ROWS[wanted].below or wanted}.quantize"
    assert done.stdout.strip() == f"{wanted} [3, 3, 3] {module}", done.stderr
    assert done.stderr == ""


def test_a_wrong_environment_variable_warns_and_changes_nothing() -> None:
    done = run_python(PRINT_LEVEL, QUANTNN_ISA="AVX3")
    assert done.returncode == 0
    assert done.stdout.startswith(_dispatch.AVAILABLE[-1] + " ")
    assert "RuntimeWarning: QUANTNN_ISA='AVX3' is not a level" in done.stderr


def test_use_level() -> None:
    before = _dispatch.kernels.level
    for name in _dispatch.AVAILABLE:
        with _dispatch.use_level(name):
            assert _dispatch.kernels.level == name
            assert f".{name}." in _dispatch.kernels.linear.__name__
            assert f".{ROWS[name].below or name}." in _dispatch.kernels.quantize.__name__
    assert _dispatch.kernels.level == before
    with pytest.raises(ValueError, match="level must be one of"), _dispatch.use_level("sse9"):
        pass


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    facts = quantnn.show_config(as_dict=True)
    assert facts is not None
    assert facts["levels_built"] == _cpu.built_levels()
    assert facts["levels_available"] == _dispatch.AVAILABLE
    assert facts["level"] == _dispatch.kernels.level
    assert facts["QUANTNN_ISA"] == os.environ.get("QUANTNN_ISA")
    assert facts["threads"] == quantnn.get_num_threads()
    if sys.platform == "linux" and facts["openmp"]:
        assert facts["openmp_runtimes"]
        assert all(Path(p).exists() for p in facts["openmp_runtimes"])
    assert capsys.readouterr().out == ""

    assert quantnn.show_config() is None
    printed = capsys.readouterr().out
    for value in (facts["version"], facts["python"], facts["numpy"], facts["compiler"], facts["level"]):
        assert value in printed


def test_openmp_runtimes(tmp_path: Path) -> None:
    from quantnn._config import openmp_runtimes

    maps = tmp_path / "maps"
    maps.write_text(
        "7f00-7f01 r-xp 00000000 08:01 17 /usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0\n"
        "7f01-7f02 r--p 00001000 08:01 17 /usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0\n"
        "7f02-7f03 r-xp 00000000 08:01 18 /a b/quantnn.libs/libgomp-24e2ab19.so.1.0.0\n"
        "7f03-7f04 r-xp 00000000 08:01 19 /opt/libiomp5.so\n"
        "7f04-7f05 r-xp 00000000 08:01 20 /opt/libomp.so.5\n"
        "7f05-7f06 r-xp 00000000 08:01 21 /opt/libompl.so\n"
        "7f06-7f07 rw-p 00000000 00:00 0\n"
        "7f07-7f08 rw-p 00000000 00:00 0 [stack]\n"
    )
    assert openmp_runtimes(str(maps)) == [
        "/a b/quantnn.libs/libgomp-24e2ab19.so.1.0.0",
        "/opt/libiomp5.so",
        "/opt/libomp.so.5",
        "/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0",
    ]
    assert openmp_runtimes(str(tmp_path / "nothing")) is None
