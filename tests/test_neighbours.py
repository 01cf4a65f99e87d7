"""quantnn in one process with torch and scikit-learn, which bring OpenMP libraries of their own."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys

import pytest

NEIGHBOURS = [name for name in ("torch", "sklearn") if importlib.util.find_spec(name)]
ORDERS = list(itertools.permutations(["quantnn", *NEIGHBOURS])) if NEIGHBOURS else []

# Each in turn does work in two threads, twice: with the other libraries still to come and with all of them there.
CODE = """
import importlib, sys, warnings
import numpy

x = numpy.linspace(-4, 4, 1 << 18, dtype=numpy.float32)

def quantnn_work(quantnn):
    quantnn.set_num_threads(2)
    q = quantnn.quantize_per_tensor(x, 1 / 32, 128, quantnn.quint8)
    assert numpy.abs(q.dequantize() - x).max() <= 1 / 32, "quantnn"

def torch_work(torch):
    torch.set_num_threads(2)
    a = torch.from_numpy(x.reshape(512, 512))
    assert torch.isfinite((a @ a).softmax(1)).all(), "torch"

def sklearn_work(sklearn):
    from sklearn.cluster import KMeans
    assert KMeans(3, n_init=1, random_state=0).fit(x[:4096].reshape(-1, 2)).inertia_ > 0, "sklearn"

loaded = []
for name in sys.argv[1:]:
    loaded.append((globals()[name + "_work"], importlib.import_module(name)))
    for work, module in loaded:
        work(module)
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not NEIGHBOURS, reason="neither torch nor scikit-learn is installed")
@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_any_order_of_imports(order: tuple[str, ...]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "KMP_DUPLICATE_LIB_OK"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *order],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
