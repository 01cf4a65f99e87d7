"""Reading float modules and observers, with stand-ins for torch's objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantnn import ReLU
from quantnn.modules import utils
from quantnn.tensor import (
    QTensor,
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    qint8,
    quint4x2,
    quint8,
)


class Named:
    """Something with torch's repr."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Tensor:
    """What is read of a torch tensor."""

    is_quantized = False

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self.array


class Observer:
    """What is read of an observer."""

    def __init__(self, scale: Any, zero_point: Any, **attributes: Any) -> None:
        self.qparams = scale, zero_point
        self.seen: list[Any] = []
        vars(self).update(attributes)

    def __call__(self, x: Any) -> None:
        self.seen.append(x)

    def calculate_qparams(self) -> tuple[Any, Any]:
        return self.qparams


def test_to_numpy() -> None:
    a = np.ones(3)
    assert utils.to_numpy(a) is a
    assert utils.to_numpy(Tensor(a)) is a
    assert utils.to_numpy(3.5).shape == ()
    q = QTensor(np.array([3], dtype=np.uint8), quint8, 0.5, 1)
    assert utils.to_numpy(q).tolist() == [1]
    assert utils.is_tensor(Tensor(a))
    assert not any(utils.is_tensor(x) for x in (a, q, 3, None, Tensor, ReLU()))


def test_names() -> None:
    assert utils.as_dtype(qint8) is utils.as_dtype(Named("torch.qint8")) is qint8
    assert utils.as_dtype(Named("torch.float16")) is utils.as_dtype("qint8") is utils.as_dtype(None) is None
    assert utils.as_qscheme(per_tensor_affine) is utils.as_qscheme(Named("torch.per_tensor_affine"))
    assert utils.as_qscheme(None) is None
    assert utils.size_repr((np.int64(2), 3)) == "torch.Size([2, 3])"
    assert utils.type_name(3) == "int"
    assert utils.type_name(np.zeros(1)) == "numpy.ndarray"


def test_from_torch_leaves_the_rest() -> None:
    for x in (np.zeros(1), qint8, None, 3, "x", {"a": 1}):
        assert utils.from_torch(x) is x
    q = QTensor(np.array([3], dtype=np.uint8), quint8, 0.5, 1)
    assert utils.from_torch_qtensor(q) is q
    for x in (np.zeros(1), None, Tensor(np.zeros(1))):
        with pytest.raises(TypeError, match="must be a quantized"):
            utils.from_torch_qtensor(x)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1000"),
        (1.0, "1."),
        (0.0, "0."),
        (-2.5, "-2.5000"),
        (1e-5, "1.0000e-05"),
        (2e8, "2.0000e+08"),
        (123456.0, "123456."),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_format_float(value: float, text: str) -> None:
    assert utils.format_float(value) == text


def test_post_process_qparams() -> None:
    mod = SimpleNamespace(activation_post_process=Observer(np.array([0.1]), np.array([3])))
    assert utils.post_process_qparams(mod) == (float(np.float32(0.1)), 3)
    mod.activation_post_process = Observer(Tensor(0.5), Tensor(0))
    assert utils.post_process_qparams(mod) == (0.5, 0)
    assert type(utils.post_process_qparams(mod)[1]) is int
    for bad in (np.nan, np.inf):
        mod.activation_post_process = Observer(np.array(bad), np.array(0))
        with pytest.raises(ValueError, match="finite"):
            utils.post_process_qparams(mod)
    mod.activation_post_process = Observer(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match="per tensor"):
        utils.post_process_qparams(mod)
    mod.activation_post_process = 3
    with pytest.raises(TypeError, match="calculate_qparams"):
        utils.post_process_qparams(mod)
    for nothing in (SimpleNamespace(), SimpleNamespace(activation_post_process=None)):
        with pytest.raises(TypeError, match=r"Linear\.from_float: mod must have an observer"):
            utils.post_process_qparams(nothing, "Linear.from_float")


def test_weight_observer() -> None:
    observer = Observer(1.0, 0)
    mod = SimpleNamespace(weight=np.ones(1), qconfig=SimpleNamespace(weight=lambda: observer))
    assert utils.weight_observer(mod) is observer
    assert observer.seen == [mod.weight]
    assert utils.weight_observer(mod, use_precomputed_fake_quant=True) is observer
    assert len(observer.seen) == 1
    mod.weight_fake_quant = Observer(2.0, 0)
    assert utils.weight_observer(mod) is mod.weight_fake_quant
    for bad in (
        SimpleNamespace(weight=1),
        SimpleNamespace(weight=1, qconfig=None),
        SimpleNamespace(weight=1, qconfig=3),
        SimpleNamespace(qconfig=mod.qconfig),
    ):
        with pytest.raises(TypeError, match="mod must have a"):
            utils.weight_observer(bad)


W = np.array([[-1.0, 0.25, 0.75], [2.0, -0.5, 100.0]], dtype=np.float32)


def test_quantize_weight_per_tensor() -> None:
    for scheme in (per_tensor_affine, per_tensor_symmetric, Named("torch.per_tensor_symmetric")):
        observer = Observer(np.array([0.5]), np.array([0]), dtype=qint8, qscheme=scheme)
        for weight in (W, W.astype(np.float64), W.astype(np.float16), Tensor(W)):
            q = utils.quantize_weight(weight, observer)
            assert q.int_repr().tolist() == [[-2, 0, 2], [4, -1, 127]]
            assert q.dtype is qint8
            assert q.qscheme() is per_tensor_affine
            assert (q.q_scale(), q.q_zero_point()) == (0.5, 0)


def test_quantize_weight_per_channel() -> None:
    scales = np.array([0.25, 1.0], dtype=np.float32)
    zeros = np.array([1, 0], dtype=np.int32)
    for scheme in (per_channel_affine, per_channel_symmetric):
        observer = Observer(scales, zeros, dtype=qint8, qscheme=scheme, ch_axis=0)
        q = utils.quantize_weight(W, observer)
        assert q.int_repr().tolist() == [[-3, 2, 4], [2, 0, 100]]
        assert q.qscheme() is per_channel_affine
        assert q.q_per_channel_scales().dtype == np.float64
        assert q.q_per_channel_zero_points().dtype == np.int64
        assert q.q_per_channel_axis() == 0


def test_quantize_weight_float_qparams() -> None:
    observer = Observer(
        np.array([0.25, 1.0], dtype=np.float32),
        np.array([4.5, 0.5], dtype=np.float32),
        dtype=quint4x2,
        qscheme=per_channel_affine_float_qparams,
        ch_axis=0,
        quant_min=0,
        quant_max=15,
    )
    q = utils.quantize_weight(W[:, :2], observer)
    assert q.dtype is quint4x2
    assert q.shape == (2, 2)
    assert q.int_repr().tolist() == [0 + 16 * 6, 2 + 16 * 0]


def test_quantize_weight_clamps() -> None:
    ranges = {"quant_min": -1, "quant_max": 3}
    observer = Observer(0.5, 0, dtype=qint8, qscheme=per_tensor_affine, **ranges)
    assert utils.quantize_weight(W, observer).int_repr().tolist() == [[-1, 0, 2], [3, -1, 3]]
    fake = Observer(0.5, 0, dtype=qint8, qscheme=per_tensor_affine, activation_post_process=observer)
    assert utils.quantize_weight(W, fake).int_repr().tolist() == [[-1, 0, 2], [3, -1, 3]]
    channels = Observer(
        np.array([0.5, 0.5]), np.zeros(2), dtype=qint8, qscheme=per_channel_symmetric, ch_axis=0, **ranges
    )
    assert utils.quantize_weight(W, channels).int_repr().tolist() == [[-1, 0, 2], [3, -1, 3]]


def test_quantize_weight_errors() -> None:
    with pytest.raises(TypeError, match="quantized dtype and a qscheme"):
        utils.quantize_weight(W, Observer(0.5, 0, dtype=np.float32, qscheme=per_tensor_affine))
    with pytest.raises(TypeError, match="quantized dtype and a qscheme"):
        utils.quantize_weight(W, Observer(0.5, 0, dtype=qint8))
    with pytest.raises(TypeError, match="float array"):
        utils.quantize_weight(np.ones((2, 2), int), Observer(0.5, 0, dtype=qint8, qscheme=per_tensor_affine))
    with pytest.raises(ValueError, match="one scale"):
        utils.quantize_weight(W, Observer(np.ones(2), np.zeros(2), dtype=qint8, qscheme=per_tensor_affine))
    for scale in (np.nan, 0.0, -1.0):
        with pytest.raises(ValueError, match="scale"):
            utils.quantize_weight(W, Observer(scale, 0, dtype=qint8, qscheme=per_tensor_affine))
    with pytest.raises(ValueError, match="zero"):
        utils.quantize_weight(W, Observer(1.0, np.nan, dtype=qint8, qscheme=per_tensor_affine))


def test_check_float_module() -> None:
    assert utils.check_float_module("op", ReLU(), "Linear", "ReLU") == "ReLU"
    with pytest.raises(TypeError, match="op: mod must be a Linear or LinearReLU; got ReLU"):
        utils.check_float_module("op", ReLU(), "Linear", "LinearReLU")
    with pytest.raises(TypeError, match="got int 3"):
        utils.check_float_module("op", 3, "Linear")
