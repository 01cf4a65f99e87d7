"""Products of matrices that are both activations, as attention has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import quantnn

from . import _elementwise as e
from . import _peers
from ._measure import Row

QPARAMS = (0.5, 100)


def rows() -> Iterator[Row]:
    yield _row("8 x 128 x 64 x 128", (8, 128, 64), (8, 64, 128))
    yield _row("8 x 128 x 128 x 64", (8, 128, 128), (8, 128, 64))
    yield _row("256 x 256 x 256", (256, 256), (256, 256))


def _row(name: str, first: tuple[int, ...], second: tuple[int, ...]) -> Row:
    a, b = e.tensor(1, first), e.tensor(2, second, 0.03, 130)
    products = a.ints.size * second[-1]
    moved = a.ints.size + b.ints.size + products // first[-1]
    forms = {
        "quantnn": lambda: _peers.ours(partial(quantnn.ops.matmul, a.ours(), b.ours(), *QPARAMS)),
        **_peers.torch_forms(lambda t: partial(t.ops.quantized.matmul, a.torch(t), b.torch(t), *QPARAMS)),
    }
    return Row("matmul", name, products, moved, forms)
