"""Forms, plans, and QTensors that are a block of memory with a form."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, _dispatch, functional, qint32, quint8
from quantnn._form import channels_last, form, laid
from quantnn.tensor import formed


def tensor(*shape: int) -> QTensor:
    ints = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return quantnn.make_per_tensor_quantized_tensor(ints, 0.5, 3)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (1, 8, 1, 1), (2, 3, 4, 5), (2, 1, 4, 5), (0, 3, 2, 2)])
def test_a_form_views_its_block_as_numpy_would(shape: tuple[int, ...]) -> None:
    for order in (None, channels_last(len(shape)) if len(shape) > 2 else None):
        f = laid(qint32, shape, order)
        axes = order or tuple(range(len(shape)))
        block = np.arange(f.size, dtype=np.int32)
        want = block.reshape([shape[i] for i in axes]).transpose(np.argsort(axes))
        got = f.view(block)
        assert np.array_equal(got, want)
        assert got.strides == want.strides
        assert f.dense
        assert f is form(qint32, shape, got.strides if f.size else f.strides)


def test_what_is_dense() -> None:
    x = tensor(4, 6)
    for view, dense in ((x, True), (x.t(), True), (x[:, ::2], False), (x[1:3], True), (x[:1].expand(3, 6), False)):
        assert view._formed().dense is dense
        assert np.array_equal(quantnn.ops.relu(view).int_repr(), np.maximum(view.int_repr(), 3))


def test_results_share_nothing_and_views_share_memory() -> None:
    x = tensor(2, 3, 4, 5)
    y = quantnn.ops.relu(x)
    y.int_repr()[...] = 7
    z = quantnn.ops.relu6(y)  # the block and the array are the same memory
    assert (z.int_repr() == 7).all()
    assert y.int_repr() is y.int_repr()
    made = formed(np.arange(6, dtype=np.uint8), laid(quint8, (2, 3)), 0.5, 0)
    assert made.shape == (2, 3)
    assert made[1].int_repr().tolist() == [3, 4, 5]


def test_equal_arguments_of_other_types_are_still_refused() -> None:
    x = tensor(1, 2, 4, 4)
    functional.max_pool2d(x, 1)
    functional.interpolate(x, 1)
    quantnn.ops.layer_norm(x, (4,), None, None, 1e-5, 1.0, 0)
    for wrong in (True, 1.0):
        with pytest.raises(TypeError, match="kernel_size"):
            functional.max_pool2d(x, wrong)
        with pytest.raises(TypeError, match="size"):
            functional.interpolate(x, wrong)
        with pytest.raises(TypeError, match="size"):
            functional.interpolate(x, (wrong, 1))
    with pytest.raises(TypeError, match="normalized_shape"):
        quantnn.ops.layer_norm(x, (4.0,), None, None, 1e-5, 1.0, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="scale"):
        quantnn.ops.hardswish(x, True, 0)


def test_normalization_looks_at_other_weights() -> None:
    x, right = tensor(1, 2, 4, 4), np.ones(2, np.float32)
    args = (1e-5, 0.1, 3)
    first = quantnn.ops.group_norm(x, 2, right, right, *args)
    with pytest.raises(ValueError, match="weight must have shape"):
        quantnn.ops.group_norm(x, 2, np.ones(3, np.float32), right, *args)
    doubled = quantnn.ops.group_norm(x, 2, 2 * right, right, *args)
    assert not doubled.equal(first)
    right *= 2  # the same array with other values
    assert quantnn.ops.group_norm(x, 2, right, right / 2, *args).equal(doubled)
    batch = (np.zeros(2, np.float32), right, 0.0, 0.1, 3)
    quantnn.ops.batch_norm2d(x, right, right, *batch)
    with pytest.raises(ValueError, match="bias must be a float32 array"):
        quantnn.ops.batch_norm2d(x, right, None, *batch)


def test_plans_are_bounded_and_belong_to_a_level() -> None:
    assert all(plan.cache_info().maxsize is not None for plan in _dispatch._plans)
    quantnn.ops.relu(tensor(3))
    with _dispatch.use_level(_dispatch.AVAILABLE[0]):
        assert not any(plan.cache_info().currsize for plan in _dispatch._plans)
        quantnn.ops.relu(tensor(3))
    assert not any(plan.cache_info().currsize for plan in _dispatch._plans)


def test_threads_share_modules() -> None:
    modules = [quantnn.Linear(8, 8), quantnn.Conv2d(8, 8, 3), quantnn.ReLU6(), quantnn.BatchNorm2d(8)]
    inputs = [[tensor(n, 8) for n in range(1, 20)], *([[tensor(1, 8, n, n) for n in range(3, 20)]] * 3)]
    want = [[m(x).int_repr() for x in xs] for m, xs in zip(modules, inputs, strict=True)]
    wrong: list[tuple[int, int]] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(300):
            i = int(rng.integers(len(modules)))
            j = int(rng.integers(len(inputs[i])))
            if not np.array_equal(modules[i](inputs[i][j]).int_repr(), want[i][j]):
                wrong.append((i, j))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
