"""Programs from text: what the subset has, and what is refused."""

from __future__ import annotations

import contextlib
import io
import random
import textwrap
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import jit
from quantnn.io._errors import FileError
from quantnn.jit import Program, ScriptModule, _program
from quantnn.jit._code import memory
from quantnn.jit._operators import TABLE

FOLDER = Path(__file__).parents[1] / "data" / "jit"


def program(body: str, arguments: str = "x", more: str = "", **attributes: Any) -> Program:
    """A module whose forward has a body."""
    text = f"class Net(Module):\n  def forward(self, {arguments}):\n{textwrap.indent(textwrap.dedent(body), '    ')}"
    return Program.from_parts({"__torch__": f"{text}\n{more}"}, ScriptModule("__torch__.Net", attributes))


MORE = """\
  def helper(self, a):
    return torch.add(a, 1)
def double(a: int, b: int=2) -> int:
  return torch.mul(a, b)
class Pair(NamedTuple):
  first : int
  second : int
"""
X = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", 1),
        ("return (1, -2.5, [True, None], 'a', {'b': 2})", (1, -2.5, [True, None], "a", {"b": 2})),
        ("a, b, = (1, 2)\nreturn [b, a]", [2, 1]),
        ("a = [1, 2]\n_0 = torch.append(a, 3)\nreturn a", [1, 2, 3]),
        ("a = [1, 2, 3]\nreturn (a[1], a[-1], a[1:], torch.len(a))", (2, 3, [2, 3], 3)),
        ("return -inf", float("-inf")),
        ("y = annotate(List[int], [])\nfor i in range(3):\n  _0 = torch.append(y, i)\nreturn y", [0, 1, 2]),
        ("i = 0\ngo = True\nwhile go:\n  i = torch.add(i, 2)\n  go = torch.lt(i, 5)\nreturn i", 6),
        ("if torch.eq(torch.size(x, 1), 3):\n  y = 'yes'\nelse:\n  y = 'no'\nreturn y", "yes"),
        ("y : int = unchecked_cast(int, 3)\nreturn y", 3),
        ("return isinstance(x, Tensor)", True),
        ("return isinstance(x, [int, float])", False),
        ("return torch.format('{} and {}', 1, 'b')", "1 and b"),
        ("return __torch__.double(21, )", 42),
        ("f = __torch__.double\nreturn f(4, )", 8),
        ("p = __torch__.Pair(1, 2)\nreturn (p.second, p[0])", (2, 1)),
        ("return (self).helper(5, )", 6),
        ("self.count = 7\nreturn self.count", 7),
        ("return getattr(self, '0')", "zero"),
        ("return (float('inf'), int(2.7), bool(0), str(3))", (float("inf"), 2, False, "3")),
        ("return torch.__contains__([1, 2], 2)", True),
        ("return (torch.floordiv(7, 2), torch.div(7, 2), torch.remainder(-7, 2))", (3, 3.5, 1)),
        ("pass", None),
    ],
)
def test_the_subset(body: str, expected: Any) -> None:
    text = textwrap.indent(textwrap.dedent(body), "    ")
    made = Program.from_parts(
        {"__torch__": f"class Net(Module):\n  def forward(self, x):\n{text}\n{MORE}"},
        ScriptModule("__torch__.Net", {"count": 1, "0": "zero"}),
    )
    found = made(X)
    assert found == expected
    assert type(found) is type(expected)


def test_leaves_are_called() -> None:
    linear = quantnn.Linear(3, 2)
    q = quantnn.quantize_per_tensor(X, 0.1, 100, quantnn.quint8)
    made = program("y = (self.linear).forward(x, )\nreturn (y, self.linear.scale)", linear=linear)
    y, scale = made(q)
    assert y.equal(linear(q))
    assert scale == 1.0


def test_lists_are_new_at_each_call() -> None:
    made = program("a = [1]\n_0 = torch.append(a, x)\nreturn a")
    assert made(2) == [1, 2]
    assert made(3) == [1, 3]


def test_views_in_place() -> None:
    made = program("y = torch.unsqueeze(x, 0)\n_0 = torch.squeeze_(y, 0)\nreturn torch.add_(y, 1)")
    x = X.copy()
    np.testing.assert_array_equal(made(x), X + 1)
    np.testing.assert_array_equal(x, X + 1)


def test_parameters_and_buffers_are_state() -> None:
    text = (
        "class Net(Module):\n  __parameters__ = ['w']\n  __buffers__ = ['b']\n  def forward(self):\n    return self.b\n"
    )
    root = ScriptModule("__torch__.Net", {"w": X, "b": X, "c": X})
    made = Program.from_parts({"__torch__": text}, root)
    assert list(made.state_dict()) == ["w", "b"]
    assert [name for name, _ in made.named_parameters()] == ["w"]
    assert set(made.attributes()) == {"w", "b", "c"}
    assert made() is made.b


@pytest.mark.parametrize(
    "body",
    [
        "import os", "from os import system", "return x + 1", "return x.__class__", "return (x).__init__()",
        "return getattr(x, '__class__')", "return [i for i in x]", "return lambda: 1", "return eval('1')",
        "return __import__('os')", "return open('/etc/passwd')", "return exec('1')", "return x if x else x",
        "return f'{x}'", "global y", "del x", "with x:\n  pass", "try:\n  pass\nexcept Error:\n  pass", "raise x",
        "return x\ny = 1", "if x:\n  return 1\nelse:\n  pass", "x.y.__z__ = 1", "x[0] = 1", "a = b = 1", "x += 1",
        "for i in x:\n  pass", "return (yield x)", "return x(*x)", "return torch.relu(**x)", "return torch",
        "return ops.a",
        "return __torch__.nothing", "return __torch__.nothing()", "return y", "return CONSTANTS.c0", "return 1j",
        "return b'a'", "return ...", "return x < 1", "return not x", "return x and x", "def g():\n  pass",
        "class A:\n  pass", "return {**x}", "assert x", "async def f():\n  pass", "return -x",
        "return x[1, 2:3].a.__b__",
        "nonlocal z", "return isinstance(x, os)", "while x:\n  break", "x: int", "(y := 1)",
        "return torch.device(x, x)",
    ],
)  # fmt: skip
def test_everything_else_is_refused(body: str) -> None:
    with pytest.raises(FileError, match=r"code/__torch__\.py"):
        program(body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os", "only functions and classes can stand there; got an import"),
        ("print(1)", "only functions and classes"),
        ("x = 1", "only functions and classes"),
        ("class A(object):\n  pass", "must be a Module or a NamedTuple"),
        ("class A(Module, metaclass=M):\n  pass", "must be a Module or a NamedTuple"),
        ("@f\nclass A(Module):\n  pass", "no decorator"),
        ("@f\ndef a():\n  pass", "no decorator"),
        ("def a(*b):\n  pass", "plain arguments"),
        ("def a():\n  pass\ndef a():\n  pass", "defined twice"),
        ("class Net(Module):\n  def a(self, b=c):\n    pass", "c is not defined"),
        ("class A(Module):\n  print(1)", "can't stand in a class"),
        ("class A(Module):\n  __buffers__ = [1]", "a list of names"),
        ("def a(:\n", "can't be read"),
        ("def a():\n  return " + "(" * 100, "nested at most 60"),
        ("def a():\n  return " + "-" * 9000 + "1", "can't be read|nested at most"),
        ("def a(x):\n  return x" + ".b" * 200, "nested at most 80"),
        ("def a(x):\n  return x" + ".b" * 50000, "can't be read|nested at most"),
        ("".join(f"{'  ' * i}if x:\n" for i in range(120)), "can't be read|nested at most"),
        ("a" * 5_000_000, "at most 4194304 characters"),
        ("x = [" + "0," * 300_000 + "]", "not take more than 256 MiB"),
        ("def a():\n  return f'{a}'", "line 2: strings must be plain"),
        ("def a():\n  return 'b''c'", "line 2: strings must be plain"),
        ("def a():\n  return ''' ' '''", "line 2: strings must be plain"),
        ("def a():\n  return '\\\n'", "line 2: strings must be plain"),
        ("def a():\n  return 1  # '\r", "line 2: strings must be plain"),
        ("def a():\n  return " + "9" * 5000, "can't be read"),
        ("\0", "can't be read"),
        ("def a():\n  return '\\d'\x0c", "defined|class"),
    ],
)
def test_refused_texts(text: str, message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(FileError, match=message):
        Program.from_parts({"__torch__": text}, ScriptModule("__torch__.Net", {}))
    assert time.perf_counter() - start < 2


COSTLY = {
    "lines": "x\n", "names": "a=[" + "x," * 99 + "]\n", "lists": "a=[" + "[]," * 99 + "]\n", "lambdas": "lambda:x\n",
    "slices": "a=[" + "x[:]," * 99 + "]\n", "minus": "a=[" + "-1," * 99 + "]\n", "stars": "a=[" + "*x," * 99 + "]\n",
    "statements": "x;" * 99 + "x\n", "calls": "torch.f()\n", "methods": "a=x.f(1)\n", "assignments": "a=x\n",
}  # fmt: skip


@pytest.mark.parametrize("line", COSTLY.values(), ids=COSTLY)
def test_memory_is_known_before(line: str) -> None:
    lines = textwrap.indent(line * (40_000 // len(line)), "    ")
    text = f"class Net(Module):\n  def forward(self, x):\n{lines}"
    tracemalloc.start()
    with contextlib.suppress(FileError):
        Program.from_parts({"__torch__": text}, ScriptModule("__torch__.Net", {}))
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < memory({"__torch__": text})


@pytest.mark.parametrize("sources", [None, [], {"a": 1}, {1: "a"}])
def test_wrong_sources(sources: Any) -> None:
    with pytest.raises(FileError, match="must be a dict"):
        Program.from_parts(sources, ScriptModule("a", {}))


def test_wrong_objects() -> None:
    with pytest.raises(FileError, match="root of a program"):
        Program.from_parts({}, quantnn.Linear(1, 1))  # type: ignore[arg-type]
    for name in ("", "a.b", "__class__"):
        with pytest.raises(FileError, match="name without dots"):
            ScriptModule("__torch__.Net", {name: 1})
    deep = ScriptModule("__torch__.Net", {})
    for _ in range(100):
        deep = ScriptModule("__torch__.Net", {"a": deep})
    with pytest.raises(FileError, match="nested at most 64"):
        Program.from_parts({"__torch__": "class Net(Module):\n  pass\n"}, deep)
    with pytest.raises(FileError, match="must be a tensor"):
        Program.from_parts(
            {"__torch__": "class Net(Module):\n  __buffers__ = ['b']\n"}, ScriptModule("__torch__.Net", {"b": 1})
        )


def test_missing_operators_are_all_listed() -> None:
    with pytest.raises(FileError) as e:
        program("y = torch.fft_fft(x)\nif y:\n  z = ops.mine.op(y)\nelse:\n  z = y\nreturn torch.fft_fft(z)")
    assert str(e.value).splitlines() == [
        "operators that are not supported: aten::fft_fft, mine::op",
        "  aten::fft_fft (code/__torch__.py, line 3 in __torch__.Net.forward)",
        "  mine::op (code/__torch__.py, line 5 in __torch__.Net.forward)",
        "  aten::fft_fft (code/__torch__.py, line 8 in __torch__.Net.forward)",
    ]


def test_missing_operators_in_branches_wait() -> None:
    made = program("if x:\n  y = torch.fft_fft(x)\nelse:\n  y = 1\nreturn y")
    assert made(False) == 1
    with pytest.raises(NotImplementedError, match=r"aten::fft_fft is not supported \(code/__torch__.py, line 4"):
        made(True)
    (use,) = jit.operators(made)
    assert (use.name, use.supported, use.certain) == ("aten::fft_fft", False, False)


def test_missing_operators_that_no_call_reaches_do_not_count() -> None:
    made = program("return 1", more="def unused(x):\n  return torch.fft_fft(x)")
    assert jit.operators(made) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return (self).forward(x, )", ValueError),  # recursion
        ("return torch.relu('a')", TypeError),
        ("return self.nothing", TypeError),
        ("return (x).pop()", TypeError),
        ("return (self.x).conv(x, )", TypeError),
        ("y = 1\nreturn y(x, )", TypeError),
        ("a, b, = x\nreturn a", ValueError),
        ("return torch.floordiv(1, 0)", ValueError),
        ("return torch.add('a', 1)", TypeError),
        ("return torch.pow(9, 999999999)", ValueError),
        ("d = {'a': 1}\nreturn d['b']", ValueError),
        ("a = [1]\nreturn a[5]", IndexError),
        ("return torch.select(x, 0, 99)", IndexError),
        ("ops.prim.RaiseException('stop', 'builtins.ValueError')\nreturn x", ValueError),
        ("ops.prim.RaiseException('stop', 'os.system')\nreturn x", RuntimeError),
        ("x.y = 1\nreturn x", TypeError),
    ],
)
def test_errors_at_run_time(body: str, kind: type[Exception]) -> None:
    made = program(body, x=X)
    with pytest.raises(kind) as e:
        made(X)
    assert type(e.value) in (ValueError, TypeError, RuntimeError, IndexError)
    assert "code/__torch__.py" in "".join(getattr(e.value, "__notes__", ())) + str(e.value)


def test_operators_are_functions() -> None:
    assert len(TABLE) > 350
    assert all(callable(function) and "::" in name for name, function in TABLE.items())


# Files


def rewritten(path: Path, name: str, change: dict[str, str]) -> Path:
    """A stored file with texts replaced in its code."""
    with zipfile.ZipFile(FOLDER / f"{name}.pt") as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith(".py"):
                text = data.decode()
                for before, after in change.items():
                    text = text.replace(before, after)
                data = text.encode()
            new.writestr(info.filename, data)
    return path


SETTER = "    self.in_channels = (state)[0]\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({SETTER: "    go = True\n    while go:\n      pass\n"}, "no loop"),
        ({SETTER: "    for i in range(1000000000):\n      pass\n"}, "no loop"),
        ({SETTER: "    _0 = (self).__setstate__(state, )\n"}, "can't be used"),
        ({SETTER: "    _0 = (self)._weight_bias()\n" * 80}, "at most 64 functions|__setstate__"),
        ({SETTER: "    y = torch.zeros([1000000000000])\n"}, "aten::zeros is not supported"),
        ({SETTER: "    self.in_channels = (state)[99]\n"}, "IndexError"),
        ({SETTER: "    (state).x = 1\n"}, "TypeError"),
        ({"def forward": "import os\n  def forward"}, "can't stand in a class"),
        ({"torch.flatten": "torch.dance"}, "aten::dance .code/__torch__/tests/torch/jit_networks.py, line"),
        ({"class Quantize(": "class Quantise("}, "has no class __torch__.torch.ao.nn.quantized.modules.Quantize"),
    ],
)
def test_hostile_code(tmp_path: Path, change: dict[str, str], message: str) -> None:
    path = rewritten(tmp_path / "hostile.pt", "digits_script", change)
    with pytest.raises(FileError, match=message) as e:
        jit.load(path)
    assert str(e.value).startswith(f"{path}: ")


def test_functions_that_call_each_other_twice_are_stopped(tmp_path: Path) -> None:
    call = "__torch__.torch.ao.nn.quantized.modules.conv.f{}(x, )"
    calls = [call.format(i + 1) for i in range(40)]
    more = "".join(f"def f{i}(x):\n  _0 = {c}\n  return {c}\n" for i, c in enumerate(calls))
    more += "def f40(x):\n  return x\n"
    change = {
        SETTER: "    _0 = __torch__.torch.ao.nn.quantized.modules.conv.f0(state, )\n",
        "def _reverse_repeat_padding": f"{more}def _reverse_repeat_padding",
    }
    start = time.perf_counter()
    with pytest.raises(FileError, match="at most 64 functions"):
        jit.load(rewritten(tmp_path / "hostile.pt", "digits_script", change))
    assert time.perf_counter() - start < 2


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        jit.load(tmp_path / "nothing.pt")
    (tmp_path / "text.pt").write_text("no file of torch's")
    with pytest.raises(FileError, match="no zip file"):
        jit.load(tmp_path / "text.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as f:
        f.writestr("a/data.pkl", b"\x80\x02).")
    with pytest.raises(FileError, match=r"no TorchScript file .* quantnn\.load_state_dict"):
        jit.load(tmp_path / "other.pt")


def test_a_survey_lists_what_is_missing(tmp_path: Path) -> None:
    found = _program.survey(rewritten(tmp_path / "a.pt", "digits_script", {"torch.flatten": "torch.dance"}))
    assert found.operators["aten::dance"] == 1


TAME = (FileError, ValueError, TypeError, IndexError, NotImplementedError, RuntimeError, MemoryError, OSError)


def mutated(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        found += b"." if not found else b""
        at = rng.randrange(len(found))
        match rng.randrange(4):
            case 0:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                found[at] = rng.choice(b"\x00\xff().,[]{}019_q")
            case 2:
                del found[at : at + rng.randint(1, 40)]
            case _:
                found[at:at] = found[max(0, at - 20) : at]
    return bytes(found)


def fuzz(seconds: float, seed: int = 0) -> int:
    """Change bytes of records of a stored file, and open and run what comes out. How many files were tried."""
    rng, count, end = random.Random(seed), 0, time.perf_counter() + seconds
    names = ("digits_script", "speaker_freeze_trace", "branches")
    records = {}
    for name in names:
        with zipfile.ZipFile(FOLDER / f"{name}.pt") as f:
            records[name] = {i.filename: f.read(i) for i in f.infolist() if not i.filename.endswith("debug_pkl")}
    x = {"digits_script": np.zeros((1, 1, 28, 28), np.float32), "speaker_freeze_trace": np.ones((1, 2, 5), np.float32)}
    x["branches"] = np.ones((1, 2, 3, 3), np.float32)
    while time.perf_counter() < end:
        name = rng.choice(names)
        chosen = rng.choice([n for n, data in records[name].items() if n.endswith((".py", ".pkl")) and len(data) > 8])
        changed = {**records[name], chosen: mutated(records[name][chosen], rng)}
        buffer = _zipped(changed)
        count += 1
        start = time.perf_counter()
        try:
            loaded = _program.load_archive(buffer, "mutated")
        except FileError:
            continue
        finally:
            assert time.perf_counter() - start < 2, (seed, count)
        if "while" in str(changed[chosen]):
            continue  # it may run for ever, as in torch
        with contextlib.suppress(*TAME):
            loaded(x[name])
    return count


def _zipped(records: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as f:
        for name, data in records.items():
            f.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_changed_bytes_give_errors() -> None:
    assert fuzz(3) > 50
