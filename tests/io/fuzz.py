"""Broken and hostile files by the hundred thousand: ``python -m tests.io.fuzz --files 200000``.

Every file is a good one of `seeds`, changed: its bytes, the records of its zip, the operations of its pickles, its JSON
or its program's text, the checksums made right again. Whatever is opened must open or raise FileError, within 2 s, with
at most 4 times the file's size and 5 MiB of memory (of programs 64 MiB more, for the tree of their text), and without
running anything. Programs are opened, not run.
``--seed N --files 1`` repeats one file. What fails goes to ``--keep FOLDER``; tests/data/corpus has what once failed.
"""

from __future__ import annotations

import argparse
import io
import json
import pickletools
import re
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import quantnn
import quantnn.io.checkpoint
import quantnn.io.own
import quantnn.jit._code  # all now, as importing runs code
from quantnn.tensor import QTensor

from .write import Call, File, Global, operations, zipped

DATA = Path(__file__).parents[1] / "data"
SECONDS = 2.0
SPARE = 5 << 20  # beyond 4 times the file
PROGRAM_SPARE = SPARE + quantnn.jit._code.SPARE


class Seed(NamedTuple):
    """A good file, and how it is opened."""

    name: str
    data: bytes
    open: Callable[[Path], Any]
    spare: int = SPARE


def open_checkpoint(path: Path) -> None:
    """Load it, look at all its numbers, and give it to modules."""
    state = quantnn.load_state_dict(path)
    for value in tree(state):
        if isinstance(value, np.ndarray) and value.size < 1 << 16:
            value.sum()
        elif isinstance(value, QTensor) and value.numel() < 1 << 16:
            value.dequantize()
            if value.numel() < 99:
                repr(value)
    for prefix, module in MODULES.items():
        part = {k.removeprefix(prefix): v for k, v in state.items() if type(k) is str and k.startswith(prefix)}
        try:
            module().load_state_dict(part, strict=False)
        except quantnn.modules.module.StateDictError:
            pass
        except TypeError as e:  # a dict with integers as keys
            if "must be strings" not in str(e):
                raise


MODULES: dict[str, Callable[[], quantnn.Module]] = {
    "linear.": lambda: quantnn.Linear(3, 4),
    "conv2.": lambda: quantnn.Conv2d(4, 6, (3, 2), groups=2),
    "embedding.": lambda: quantnn.Embedding(5, 4),
    "lstm.": lambda: quantnn.dynamic.LSTM(3, 4, 2, bidirectional=True),
    "lstm_cell16.": lambda: quantnn.dynamic.LSTMCell(3, 4, dtype=np.float16),
    "dynamic_linear.": lambda: quantnn.dynamic.Linear(3, 4),
    "batch_norm2.": lambda: quantnn.BatchNorm2d(4),
    "quantize.": lambda: quantnn.Quantize(1.0, 0, quantnn.quint8),
}


def tree(value: Any) -> Iterator[Any]:
    yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ():
        yield from tree(part)


def small_checkpoints() -> Iterator[Seed]:
    """A few tensors in every container."""
    weight = QTensor(np.arange(12, dtype=np.int8).reshape(4, 3), quantnn.qint8, 0.25, 0)
    rows = quantnn.quantize_per_channel(
        np.ones((5, 4), np.float32), np.ones(5, np.float32), np.ones(5, np.float32), 0, quantnn.quint8
    )
    for order in "<>":
        for form in ("zip", "deflated", "legacy"):
            file = File(order if form != "legacy" else "<")
            values = {
                "linear.scale": np.float32(0.5),
                "linear.zero_point": np.int64(3),
                "linear._packed_params.dtype": Global("torch", "qint8"),
                "linear._packed_params._packed_params": (weight, np.zeros(4, np.float32)),
                "embedding._packed_params._packed_weight": rows,
                "bfloat16": file.tensor(np.arange(4, dtype=np.uint16), "bfloat16"),
                "bool": np.array([True, False]),
                "epoch": 3,
            }
            state = file.state(values, {"": 1, "linear": 3})
            data = file.legacy(state) if form == "legacy" else file.zip(state, deflated=form == "deflated")
            yield Seed(f"small {form} {order}", data, open_checkpoint)


def open_own(path: Path) -> None:
    """Load a file of quantnn.save, and unpack all its weights."""
    value = quantnn.load(path)
    if isinstance(value, quantnn.Module):
        value.state_dict()
        repr(value)


def own_files() -> Iterator[Seed]:
    """quantnn's own files: modules of many kinds, and a state dict."""
    models = {
        "convolutions": quantnn.Sequential(
            quantnn.Quantize(0.1, 3, quantnn.quint8),
            quantnn.Conv2d(4, 4, 3, groups=2),
            quantnn.ConvTranspose1d(2, 3, 2),
            quantnn.BatchNorm2d(3),
            quantnn.LayerNorm((3,), np.ones(3, np.float32), None, 0.1, 3),
        ),
        "others": quantnn.ModuleDict(
            {
                "lstm": quantnn.dynamic.LSTM(2, 3, 2),
                "half": quantnn.dynamic.Linear(2, 3, dtype=np.float16),
                "gates": quantnn.LSTM(2, 2, split_gates=True),
                "attention": quantnn.MultiheadAttention(4, 2, add_bias_kv=True),
                "embedding": quantnn.Embedding(3, 4, dtype=quantnn.quint4x2),
            }
        ),
        "state": {"a": np.ones(3), "b": (quantnn.qint8, [1, None, float("inf")]), "c": np.array([True])},
    }
    models["program"] = quantnn.jit.load(DATA / "guide" / "digits.pt")
    endings = [".npz"] + [".safetensors"] * (find_spec("safetensors") is not None)
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            for ending in endings:
                quantnn.save(model, path := Path(folder, f"own {name}{ending}"))
                yield Seed(path.name, path.read_bytes(), open_own, PROGRAM_SPARE if name == "program" else SPARE)


def open_program(path: Path) -> None:
    """Load a program and look at it; nothing bounds what running one takes."""
    program = quantnn.jit.load(path)
    program.state_dict()
    repr(program)
    quantnn.jit.operators(program)


def seeds() -> list[Seed]:
    """All good files. Readers of other formats add theirs here."""
    found = [*small_checkpoints(), *own_files()]
    found += [
        Seed(path.name, path.read_bytes(), open_checkpoint)
        for path in sorted((DATA / "checkpoints").glob("*.pth"))
        if path.stat().st_size < 90_000
    ]
    found += [
        Seed(path.name, path.read_bytes(), open_program, PROGRAM_SPARE)
        for path in sorted((DATA / "jit").glob("*.pt"))
        if path.stat().st_size < 60_000
    ]
    return found


# Changes


NUMBERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
NUMBERS += [1 << 40, (1 << 62) - 1, (1 << 63) - 1]
Random = np.random.Generator


def change_bytes(rng: Random, data: bytes) -> bytes:
    """Some bytes otherwise: cut, flipped, overwritten, moved, inserted."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        size = len(changed)
        at = int(rng.integers(0, size + 1))
        length = int(min(rng.geometric(0.1), size))
        match int(rng.integers(0, 9)):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = rng.bytes(length)
            case 3:
                changed[at : at + length] = rng.bytes(min(length, size - at))
            case 4:
                changed[at:at] = changed[at : at + length]
            case 5 if at < size:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            case 6 if at < size:
                changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(0, 256)]))
            case 7:
                width = int(rng.choice([2, 4, 8]))
                number = int(rng.choice(np.array(NUMBERS, np.uint64))) & ((1 << 8 * width) - 1)
                changed[at : at + width] = number.to_bytes(width, "little")
            case _:
                start = int(rng.integers(0, size + 1))
                changed[at : at + length] = changed[start : start + length]
        if not changed:
            break
    return bytes(changed)


HOSTILE: list[Any] = [
    Call(Global("os", "system"), ("touch {trap}",)),
    Call(Global("posix", "system"), ("touch {trap}",)),
    Call(Global("builtins", "eval"), ("open('{trap}', 'w')",)),
    Call(Global("builtins", "exec"), ("open('{trap}', 'w')",)),
    Call(Global("subprocess", "Popen"), (["touch", "{trap}"],)),
    Call(Global("pathlib", "Path"), ("{trap}",)),
    Call(Global("builtins", "getattr"), (Global("torch", "Size"), "function")),
    Call(Global("torch._utils", "_rebuild_tensor_v2.__globals__"), ()),
    Call(Global("quantnn", "load_state_dict"), ("{trap}",)),
    Call(Global("numpy.core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), "b")),
    Call(Global("__torch__.os", "system"), ("touch {trap}",)),
    Call(Global("torch", "Size"), ((1 << 40, 1 << 40),)),
    Call(Global("torch", "ScriptObject"), ()),
    Call(Global("collections", "OrderedDict"), ()),
    Global("torch", "FloatStorage"),
    Global("torch", "float16"),
    Global("torch.storage", "UntypedStorage"),
    (1 << 62, -1, -(1 << 63), 1.5, float("nan"), float("inf"), "text", None, True),
]


def change_pickle(rng: Random, data: bytes, trap: str) -> bytes:
    """Some operations otherwise: other numbers, others left out, twice or exchanged, hostile ones put in."""
    try:
        starts = [at for _, _, at in pickletools.genops(data)]
    except Exception:  # changed already
        return change_bytes(rng, data)
    ends = [*starts[1:], starts[-1] + 1]
    parts = [data[a:b] for a, b in zip(starts, ends, strict=True)]
    rest = data[ends[-1] :]
    for _ in range(int(rng.integers(1, 4))):
        i, j = (int(rng.integers(0, len(parts))) for _ in "ij")
        match int(rng.integers(0, 9)):
            case 0:
                del parts[i]
            case 1:
                parts.insert(i, parts[j])
            case 2:
                parts[i], parts[j] = parts[j], parts[i]
            case 3 | 4:
                numbers = [k for k, part in enumerate(parts) if part[:1] in (b"K", b"M", b"J", b"\x8a", b"h", b"q")]
                if numbers:
                    k = int(rng.choice(numbers))
                    number = int(rng.choice(np.array(NUMBERS, np.uint64))) * int(rng.choice([1, 1, -1]))
                    parts[k] = operations(number) if parts[k][:1] not in b"hq" else parts[k][:1] + bytes([number & 255])
            case 5:
                parts[i] = parts[i][:1] + change_bytes(rng, parts[i][1:] or b"\0")
            case 6:
                chosen = operations(HOSTILE[int(rng.integers(0, len(HOSTILE)))])
                parts.insert(i, chosen.replace(b"{trap}", trap.encode()))
            case 7:
                parts[i] = bytes(rng.choice(np.frombuffer(b"(.0]})Nabehijqrstu\x81\x85\x86\x87\x88QRc", np.uint8), 1))
            case _:
                parts[i:j] = parts[i:j] * 2
        if not parts:
            break
    return b"".join(parts) + rest


WORDS = [
    "1", "0", "-1", "9" * 5000, "0x" + "f" * 9999, "1e999", "inf", "nan", "1j", "None", "True", "...", "''", "b'a'",
    "f'{x}'", "'" + "a" * 9999 + "'", "'''", "#", "\\", "\0", "\r", "\t", "\f", "\u202e", "\ud800", "é", ";",
    "a" * 9999, "self", "self.self", "x", "CONSTANTS", "CONSTANTS.c0", "CONSTANTS.c99999999", "torch", "ops",
    "__torch__", "Tensor", "__class__", "forward", "__setstate__", "training", "Module", "NamedTuple", "int", "str",
    "print", "len", "lambda", "while True:", "for i in range(1 << 60):", "if x:", "else:", "return", "class", "def",
    "import", "yield", "await", "async", "with", "try:", "raise", "global", "del", "assert", "not", "and", "*", "**",
    "@", ":=", "->", "<", "==", "+", "[]", "()", "{}", "[0] * 9", "x[:]", "x[::0]", "x.a.b",
]  # fmt: skip
CALLS = [
    "__import__('os').system('touch {trap}')", "eval(\"open('{trap}', 'w')\")", "exec(\"open('{trap}', 'w')\")",
    "open('{trap}', 'w')", "getattr(self, '__class__')", "getattr(self, '_modules')", "self._modules", "self.__dict__",
    "().__class__.__bases__", "print(self)", "str(self)", "torch.unknown(x)", "ops.os.system('touch {trap}')",
    "ops.prim.RaiseException('a')", "ops.prim.PythonOp('os.system')", "ops.prim.abs(-1)", "(self).forward(x, )",
    "(self).__setstate__(self, )", "torch.zeros([9999999, 9999999, 99], dtype=6)", "torch.mul('a', 999999999999)",
    "torch.pow(9, 999999999)", "ops.quantized.conv2d_prepack(x, x, [1], [1], [1], 0)", "torch.load('{trap}')",
    "torch.save(x, '{trap}')", "annotate(int, x)", "unchecked_cast(Tensor, 1)", "uninitialized(x)", "isinstance(x, x)",
    "int('9' * 99999)", "float('x')", "torch.device('cuda')", "__torch__.os.system('touch {trap}')",
]  # fmt: skip
AROUND = [("(", ")"), ("[", "]"), ("{1: ", "}"), ("f(", ")"), ("x[", "]"), ("-", ""), ("x.", ""), ("(", ""), ("", ".a")]


def change_text(rng: Random, data: bytes, trap: str) -> bytes:
    """Some names, numbers, signs and lines of a program otherwise."""

    def one(choices: list[str]) -> str:
        return choices[int(rng.integers(0, len(choices)))].replace("{trap}", trap)

    text = data.decode(errors="replace")
    for _ in range(int(rng.integers(1, 5))):
        by_line = rng.random() < 0.3
        parts = text.splitlines(True) if by_line else re.findall(r"\w+|\s+|[^\w\s]", text)
        if not parts:
            break
        i, j = (int(rng.integers(0, len(parts))) for _ in "ij")
        match int(rng.integers(0, 10)):
            case 0:
                del parts[i]
            case 1:
                parts[i] = parts[j]
            case 2:
                parts[i], parts[j] = parts[j], parts[i]
            case 3 if by_line:
                parts.insert(i, " " * int(rng.integers(0, 7)) + one(["", "a = ", "self.a = "]) + one(CALLS) + "\n")
            case 3:
                parts[i] = one(WORDS)
            case 4:
                parts[i] = one(CALLS)
            case 5:
                numbers = [n for n, part in enumerate(parts) if part.isdecimal()]
                if numbers:
                    parts[int(rng.choice(numbers))] = str(NUMBERS[int(rng.integers(0, len(NUMBERS)))])
            case 6:
                left, right = AROUND[int(rng.integers(0, len(AROUND)))]
                often = int(rng.choice([2, 9, 99, 9999]))
                parts[i] = left * often + parts[i] + right * often
            case 7:
                parts[i] *= int(rng.choice([2, 99, 9999]))
            case 8:
                parts[i:i] = parts[i : i + int(rng.integers(1, 50))] * int(rng.choice([2, 9, 999]))
            case _:
                parts[i] = change_bytes(rng, parts[i].encode(errors="replace")).decode(errors="replace")
        text = "".join(parts)
    return text.encode(errors="surrogatepass")


def change_json(rng: Random, data: bytes, trap: str) -> bytes:
    """Some values of a JSON text otherwise."""
    try:
        value = json.loads(data)
    except ValueError:  # changed already
        return change_bytes(rng, data)
    for _ in range(int(rng.integers(1, 4))):
        places: list[tuple[Any, Any]] = []
        todo = [value]
        for part in todo:
            keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
            places += [(part, key) for key in keys]
            todo += [part[key] for key in keys]
        if not places:
            break
        (part, key), (other, name) = (places[int(rng.integers(0, len(places)))] for _ in "ab")
        match int(rng.integers(0, 6)):
            case 0:
                del part[key]
            case 1:
                part[key] = json.loads(json.dumps(other[name]))
            case 2 if isinstance(part, dict):
                part[str(rng.choice(["class", "packed", "script", "array", "tuple", "os.system"]))] = part[key]
            case 3:
                part[key] = NUMBERS[int(rng.integers(0, len(NUMBERS)))] * int(rng.choice([1, 1, -1]))
            case 4:
                sources = value.get("sources") if isinstance(value, dict) else None
                if isinstance(sources, dict) and sources:
                    chosen = list(sources)[int(rng.integers(0, len(sources)))]
                    sources[chosen] = change_text(rng, str(sources[chosen]).encode(), trap).decode(errors="replace")
            case _:
                part[key] = [None, True, 1.5, "text", "__class__", [], {}, [[]] * 9][int(rng.integers(0, 8))]
    return json.dumps(value).encode()


NAMES = [
    "../../{}",
    "/{}",
    "..\\{}",
    "{}\0",
    "{}/",
    "C:{}",
    "\u202e{}",
    "x" * 300 + "{}",
    "data.pkl",
    "data/0",
    "byteorder",
    "",
]


def change_records(rng: Random, data: bytes, trap: str) -> bytes:
    """The zip's records otherwise: their content, names, number, compression; with checksums that are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        stem = archive.namelist()[0].split("/")[0]
        records = {name.removeprefix(f"{stem}/"): archive.read(name) for name in archive.namelist()}
    names = list(records)
    for _ in range(int(rng.integers(1, 3))):
        name = names[int(rng.integers(0, len(names)))]
        match int(rng.integers(0, 12)):
            case 0 if name in records:
                records[NAMES[int(rng.integers(0, len(NAMES)))].format(name)] = records.pop(name)
            case 1:
                records.pop(name, None)
            case 2:
                records[name] = records.get(name, b"")[: int(rng.integers(0, 99))]
            case 3:
                records[name] = bytes(int(rng.choice([0, 1 << 16, 1 << 20])))
            case 4:
                records["byteorder"] = bytes(rng.choice([b"big", b"little", b"", b"x"]))
            case 5:
                records[name] = change_bytes(rng, records.get(name, b"\0"))
            case _:
                pickles = [n for n in records if n.endswith("pkl")]
                texts = [n for n in records if n.endswith(".py")]
                if "quantnn.json" in records:
                    records["quantnn.json"] = change_json(rng, records["quantnn.json"], trap)
                elif texts and rng.random() < 0.7:
                    chosen = texts[int(rng.integers(0, len(texts)))]
                    records[chosen] = change_text(rng, records[chosen], trap)
                elif pickles:
                    chosen = pickles[int(rng.integers(0, len(pickles)))]
                    records[chosen] = change_pickle(rng, records[chosen], trap)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of names that are there twice
        return zipped(records, stem, deflated=rng.random() < 0.3, alignment=int(rng.choice([1, 64])))


def mutated(rng: Random, data: bytes, trap: str) -> bytes:
    """A file made of a good one."""
    if data[:4] == b"PK\3\4":
        kind = rng.random()
        if kind < 0.6:
            data = change_records(rng, data, trap)
        return data if kind < 0.5 else change_bytes(rng, data)
    if data[8:9] == b"{" and rng.random() < 0.5:  # safetensors
        size = int.from_bytes(data[:8], "little")
        tensors = json.loads(data[8 : 8 + size])
        inner = tensors["__metadata__"]["quantnn.json"].encode()
        if rng.random() < 0.7:
            tensors["__metadata__"]["quantnn.json"] = change_json(rng, inner, trap).decode(errors="replace")
            header = json.dumps(tensors).encode()
        else:
            header = change_json(rng, data[8 : 8 + size], trap)
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    if rng.random() < 0.5:  # pickles one after the other
        starts = [i for i in range(len(data)) if data[i : i + 2] == b"\x80\x02"] or [0]
        at = int(rng.choice(starts))
        return data[:at] + change_pickle(rng, data[at:], trap)
    return change_bytes(rng, data)


# Running


class Outcome(NamedTuple):
    """What became of one file."""

    kind: str  # "opened", or the name of the error
    failure: str  # empty if all was as it should be
    seconds: float
    memory: int


def run(seed: Seed, data: bytes, path: Path, trap: Path) -> Outcome:
    """Open a file and look at what happens."""
    path.write_bytes(data)
    tracemalloc.start()
    kind, failure, seconds = opened(seed, path)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if seconds > SECONDS / 4:  # looking at the memory takes several times as long
        seconds = opened(seed, path)[2]
    if seconds > SECONDS:
        failure = f"{seconds:.1f} s"
    if memory > 4 * len(data) + seed.spare:
        failure = f"{memory} bytes of memory for a file of {len(data)}"
    if trap.exists() or WATCH.seen:
        failure = f"something was executed: {WATCH.seen}"
        trap.unlink(missing_ok=True)
    return Outcome(kind, failure, seconds, memory)


def opened(seed: Seed, path: Path) -> tuple[str, str, float]:
    """What opening a file gave, what is wrong with that, and the seconds of the processor's time that it took."""
    failure, kind = "", "opened"
    WATCH.seen.clear()
    WATCH.on = True
    start = time.process_time()
    try:
        seed.open(path)
    except quantnn.FileError as e:
        kind = type(e).__name__
        if path.name not in str(e):
            failure = f"the message does not name the file: {e}"
        elif (longest := max(map(len, str(e).split("\n")))) > 1500:
            failure = f"the message has a line of {longest} letters"
    except Exception as e:
        kind = type(e).__name__
        failure = f"{kind}: {e}"
    seconds = time.process_time() - start
    WATCH.on = False
    return kind, failure, seconds


_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "exec",
    "pickle.find_class",
)


class Watch:
    """Notes what runs anything while it is on: Python tells its audit hooks, which can't be taken off again."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in _FORBIDDEN and not (event == "exec" and self._imports(arguments[0])):
            self.seen.append(event)

    @staticmethod
    def _imports(code: Any) -> bool:
        """Whether it is a module that is imported late: code of a file that is there."""
        return getattr(code, "co_name", "") == "<module>" and Path(code.co_filename).suffix == ".py"


WATCH = Watch()


class Row:
    """What became of the files of one seed."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.seconds = 0.0  # at most
        self.memory = 0  # at most, beyond 4 times the file

    def add(self, outcome: Outcome, size: int) -> None:
        self.kinds[outcome.kind] += 1
        self.seconds = max(self.seconds, outcome.seconds)
        self.memory = max(self.memory, outcome.memory - 4 * size)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {n}" for kind, n in self.kinds.most_common())
        return f"{self.kinds.total():8} {self.seconds:6.2f} s {self.memory / (1 << 20):6.1f} MiB  {kinds}"


def fuzz(files: int, first: int, chosen: Iterable[Seed], keep: Path | None) -> tuple[dict[str, Row], list[str]]:
    """Try many files; what became of them by seed, and what failed."""
    found = list(chosen)
    shares = np.array([len(seed.data) ** -0.5 for seed in found])  # small ones take less time
    shares /= shares.sum()
    table = {seed.name: Row() for seed in found}
    failures: list[str] = []
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else None) as folder:
        path, trap = Path(folder) / "fuzzed.pth", Path(folder) / "trap"
        for seed in found:  # opens everything that is imported late, before anything is measured
            run(seed, seed.data, path, trap)
        for number in range(first, first + files):
            rng = np.random.default_rng(number)
            seed = found[int(rng.choice(len(found), p=shares))]
            data = mutated(rng, seed.data, str(trap))
            outcome = run(seed, data, path, trap)
            table[seed.name].add(outcome, len(data))
            if outcome.failure:
                failures.append(f"--seed {number} ({seed.name}): {outcome.failure}")
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{number}.{seed.name.replace(' ', '_')}").write_bytes(data)
                    print(failures[-1], flush=True)
    return table, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    parser.add_argument("--names", default="", help="only seeds whose names have this in them")
    parser.add_argument("--keep", type=Path, help="write what fails to this folder")
    options = parser.parse_args()
    start = time.perf_counter()
    chosen = [seed for seed in seeds() if options.names in seed.name]
    keep = options.keep or Path(tempfile.gettempdir()) / "fuzz"
    table, failures = fuzz(options.files, options.seed, chosen, keep)
    print(f"{'':30}    files    worst   over 4 x the file")
    for name, row in table.items():
        print(f"{name:30} {row}")
    print(f"{options.files} files, {len(failures)} failures, {time.perf_counter() - start:.0f} s")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
