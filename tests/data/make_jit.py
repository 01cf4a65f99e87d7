"""Store small TorchScript files, inputs and outputs: ``python -m tests.data.make_jit``, with torch 2.13.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.torch.jit_networks import Branches, networks, script

FOLDER = Path(__file__).parent / "jit"
WAYS = {
    "digits": ("script", "trace", "freeze"),
    "face": ("script",),
    "filetype": ("script",),
    "speaker": ("script", "freeze trace"),
    "resnet18": ("script",),
    "mobilenet_v2": ("script",),
    "transformer": ("script", "freeze trace"),
    "fx_digits": ("script", "trace"),
    "fx_resnet18": ("freeze",),
    "fx_mobilenet_v2": ("freeze",),
}


def store(name: str, made: Any, x: torch.Tensor) -> None:
    """Write a program, an input and what it gives."""
    with torch.no_grad():
        y = made(x)
    arrays = {"input": x.numpy()} | {f"output{i}": v.numpy() for i, v in enumerate(y if type(y) is tuple else (y,))}
    torch.jit.save(made, str(FOLDER / f"{name}.pt"))
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


def main() -> None:
    """Write all files."""
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    FOLDER.mkdir(exist_ok=True)
    for name, (net, x) in networks().items():
        for way in WAYS[name]:
            store(f"{name}_{way.replace(' ', '_')}", script(net, x, way), x)
    torch.jit.save(script(Branches(), None, "script"), str(FOLDER / "branches.pt"))


if __name__ == "__main__":
    main()
