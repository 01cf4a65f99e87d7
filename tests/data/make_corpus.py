"""Write corpus/: small hostile files that every version must refuse.

    python -m tests.data.make_corpus

What the fuzzer finds is put beside them by hand, named after what it did. The ending says how a file is opened:
.pth by load_state_dict, .npz and .safetensors by load, .pt by jit.load.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..io.test_hostile import PROGRAMS
from ..io.write import Call, File, Global, Persistent, Raw, pickled, zipped

FOLDER = Path(__file__).parent / "corpus"
# of tests/io/test_hostile.py, as they are now: later versions must refuse these files, too
KEPT = (
    "an import",
    "a module that puts itself into itself",
    "a setter that compares doubled lists",
    "a setter that calls itself",
    "modules in 2^50 places",
)


def tensor(size: Any, stride: Any, claimed: int) -> bytes:
    file = File()
    file.storage(np.zeros(6, np.float32))
    storage = Persistent(("storage", Global("torch", "FloatStorage"), "0", "cpu", claimed))
    return file.zip({"x": Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, size, stride, False, ()))})


def program(data: bytes) -> bytes:
    return zipped({"data.pkl": b"\x80\x02" + data, "version": b"3\n"})


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    system = {"x": Call(Global("os", "system"), ("touch executed",))}
    evaluated = {"x": Call(Global("builtins", "eval"), ("open('executed', 'w')",))}
    zeros = File()
    bomb = zeros.zip({"x": zeros.tensor(np.zeros(1 << 20))}, deflated=True)
    files = {
        "os_system": File().zip(system),
        "os_system_legacy": File().legacy(system),
        "eval": File().zip(evaluated),
        "class_by_path": File().zip({"x": Call(Global("torch.FloatStorage.__init__", "__globals__"), ())}),
        "zip_bomb": bomb,
        "path_traversal": zipped({"data.pkl": pickled({}), "../../etc/passwd": b"root"}),
        "negative_stride": tensor((2, 3), (-3, 1), 6),
        "short_storage": tensor((2, 3), (3, 1), 1 << 40),
        "huge_size": tensor((1 << 40, 1 << 20), (0, 0), 6),
        "contains_itself": program(b"}q\x00X\x01\x00\x00\x00xh\x00s."),
        "billion_laughs": program(b")q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"."),
        "deep": program(b"N" + b"\x85" * 5000 + b"."),
        "memo": program(b"Nr\xff\xff\xff\x7f."),
        "many_lists": program(b"]" * 100_000 + b"."),
        "long_number": program(b"\x8a\xff" + b"\x7f" * 255 + b"."),
        "module": File().legacy(Persistent(("module", Raw(b"N"), "net.py", "import os"))),
    }
    for name, data in files.items():
        (FOLDER / f"{name}.pth").write_bytes(data)
    for name in KEPT:
        (FOLDER / f"{name.replace(' ', '_').replace('^', '_')}.pt").write_bytes(PROGRAMS[name]())


if __name__ == "__main__":
    main()
