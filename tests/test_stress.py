"""Many Python threads over the same modules and the same tensors: the same results, with the GIL and without."""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, _dispatch, ops

THREADS = 8
ROUNDS = 4


def integers(result: object) -> list[np.ndarray]:
    """The arrays of a result."""
    if isinstance(result, QTensor):
        return [result.int_repr()]
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in integers(part)]
    assert isinstance(result, np.ndarray)
    return [result]


def shared_calls(rng: np.random.Generator) -> list[Callable[[], object]]:
    """Calls over shared modules, packed weights and inputs; some small, some of several megabytes."""

    def floats(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def tensor(*shape: int) -> QTensor:
        return quantnn.quantize_per_tensor(floats(*shape), 0.03, 120, quantnn.quint8)

    def weight(*shape: int) -> QTensor:
        return quantnn.quantize_per_tensor(floats(*shape), 0.02, 0, quantnn.qint8)

    linear, conv = quantnn.Linear(64, 48), quantnn.Conv2d(16, 24, 3, padding=1)
    linear.set_weight_bias(weight(48, 64), floats(48))
    conv.set_weight_bias(weight(24, 16, 3, 3), floats(24))
    linear.scale = conv.scale = 0.3
    linear.zero_point = conv.zero_point = 100
    lstm, dynamic = quantnn.dynamic.LSTM(16, 12), quantnn.dynamic.Linear(64, 48)
    dynamic.set_weight_bias(weight(48, 64), floats(48))
    bag = quantnn.EmbeddingBag(50, 32)
    rows, image, large, steps = tensor(9, 64), tensor(2, 16, 13, 12), floats(1 << 20), floats(5, 3, 16)
    state = floats(1, 3, 12)
    indices, offsets, x = rng.integers(0, 50, 40), np.array([0, 9, 20]), floats(9, 64)
    norm, others = np.ones(16, np.float32), tensor(2, 16, 13, 12)
    return [
        lambda: linear(rows),
        lambda: conv(image),
        lambda: quantnn.quantize_per_tensor(large, 0.01, 128, quantnn.quint8),
        lambda: lstm(steps, (state, state)),
        lambda: dynamic(x),
        lambda: bag(indices, offsets),
        lambda: ops.add(image, others, 0.05, 110),
        lambda: ops.softmax(rows, 1, 1 / 256, 0),
        lambda: ops.matmul(rows, rows.transpose(0, 1), 0.5, 100),
        lambda: ops.batch_norm2d(image, norm, norm, norm, norm, 1e-5, 0.05, 100),
        lambda: quantnn.functional.interpolate(image, (20, 21), mode="bilinear", align_corners=False),
        lambda: ops.max_pool2d(image, 2),
        lambda: ops.sigmoid(image),
        lambda: ops.cat([image, others], 1, 0.05, 100),
        lambda: image.dequantize(),
        lambda: ops.topk(rows, 5),
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_shared_modules(level: str, threads: int, rng: np.random.Generator) -> None:
    quantnn.set_num_threads(threads)
    calls = shared_calls(rng)
    expected = [integers(call()) for call in calls]
    with _dispatch.use_level(level):  # kernels and plans are forgotten: the threads meet in their first use as well
        start = threading.Barrier(THREADS)

        def work(thread: int) -> int:
            start.wait()
            different = 0
            for i in range(ROUNDS * len(calls)):
                which = (i + 2 * thread) % len(calls)
                got = integers(calls[which]())
                different += not all(map(np.array_equal, got, expected[which]))
            return different

        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(work, range(THREADS))) == [0] * THREADS


def test_settings_in_many_threads() -> None:
    """The number of threads is one for the process: whichever thread sets it last."""
    x = np.arange(1 << 17, dtype=np.float32)
    expected = quantnn.quantize_per_tensor(x, 512.0, 0, quantnn.quint8).int_repr()
    start = threading.Barrier(THREADS)

    def work(thread: int) -> bool:
        start.wait()
        same = True
        for i in range(20):
            quantnn.set_num_threads(1 + (i + thread) % 3)
            same &= np.array_equal(quantnn.quantize_per_tensor(x, 512.0, 0, quantnn.quint8).int_repr(), expected)
        return same

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_gil_stays_off() -> None:
    for level in _dispatch.AVAILABLE:
        with _dispatch.use_level(level):
            for call in shared_calls(np.random.default_rng(0)):
                call()
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined,unused-ignore]
