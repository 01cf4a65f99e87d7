"""linear and the convolutions against torch's outputs, stored by tests/data/make_linear.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import QTensor, per_channel_affine, qint8, quint8

DATA = Path(__file__).parent.parent / "data"


def load(name: str) -> list[dict[str, Any]]:
    """The cases of an archive."""
    with np.load(DATA / name) as archive:
        cases = json.loads(str(archive["meta"]))
        for key in archive.files:
            if key != "meta":
                i, field = key.split(".")
                cases[int(i)][field] = archive[key]
    return cases


def tensors(case: dict[str, Any]) -> tuple[QTensor, QTensor, np.ndarray | None]:
    """The case's input, weight and bias."""
    x = QTensor(case["x"], quint8, case["x_scale"], case["x_zero_point"])
    if case["per_channel"]:
        w = QTensor(case["w"], qint8, case["w_scale"], case["w_zero_point"], per_channel_affine, 0)
    else:
        w = QTensor(case["w"], qint8, float(case["w_scale"][0]), int(case["w_zero_point"][0]))
    return x, w, case.get("bias")


@pytest.mark.parametrize("case", load("linear.npz"), ids=lambda c: f"{c['x'].shape}{c['w'].shape}")
def test_linear(level: str, case: dict[str, Any]) -> None:
    x, w, bias = tensors(case)
    run = quantnn.ops.linear_relu if case["relu"] else quantnn.ops.linear
    y = run(x, quantnn.ops.linear_prepack(w, bias), case["scale"], case["zero_point"])
    np.testing.assert_array_equal(y.int_repr(), case["y"])


@pytest.mark.parametrize("case", load("conv.npz"), ids=lambda c: f"{c['x'].shape}{c['w'].shape}")
def test_conv(level: str, case: dict[str, Any]) -> None:
    x, w, bias = tensors(case)
    name = f"conv{x.ndim - 2}d"
    packed = getattr(quantnn.ops, f"{name}_prepack")(
        w, bias, case["stride"], case["padding"], case["dilation"], case["groups"]
    )
    run = getattr(quantnn.ops, f"{name}_relu" if case["relu"] else name)
    y = run(x, packed, case["scale"], case["zero_point"])
    np.testing.assert_array_equal(y.int_repr(), case["y"])
