"""Make tests/data/guide: the files that docs/guide.md reads. ``python -m tests.data.make_guide``, with torch 2.13.

A network for digits with random weights (tests/torch/networks.py), quantized in eager mode.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from tests.torch import networks

FOLDER = Path(__file__).parent / "guide"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    torch.backends.quantized.engine = "fbgemm"
    net, images = networks.quantized("mnist_cnn", "eager")
    torch.save(net.state_dict(), FOLDER / "digits.pth")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net), FOLDER / "digits.pt")
        np.save(FOLDER / "images.npy", images.numpy())
        np.save(FOLDER / "scores.npy", net(images).numpy())


if __name__ == "__main__":
    main()
