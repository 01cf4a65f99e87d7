"""QTensor without torch: views share memory, every wrong argument is a clear error."""

from __future__ import annotations

import copy
import doctest
import pickle
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import QTensor, _layout, quint8
from quantnn import tensor as qt


@pytest.fixture
def a() -> QTensor:
    return quantnn.make_per_tensor_quantized_tensor(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), 0.5, 3)


@pytest.fixture
def c() -> QTensor:
    ints = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    return quantnn.make_per_channel_quantized_tensor(ints, np.array([0.5, 0.25, 2.0]), np.array([1, 2, 3]), 1)


@pytest.fixture
def packed() -> QTensor:
    x = np.arange(10, dtype=np.float32).reshape(2, 5)
    return quantnn.quantize_per_tensor(x, 0.5, 1, quantnn.quint4x2)


def test_doctests() -> None:
    assert doctest.testmod(qt).failed == 0


def test_description(a: QTensor, c: QTensor) -> None:
    assert (a.shape, a.size(), a.size(-1), a.ndim, a.dim(), a.numel(), a.nelement()) == (
        (2, 3, 4),
        (2, 3, 4),
        4,
        3,
        3,
        24,
        24,
    )
    assert (a.dtype, a.is_quantized, a.requires_grad, a.element_size(), len(a)) == (quint8, True, False, 1, 2)
    assert (a.stride(), a.stride(1), a.q_scale(), a.q_zero_point()) == ((12, 4, 1), 4, 0.5, 3)
    assert a.qscheme() is quantnn.per_tensor_affine
    assert c.qscheme() is quantnn.per_channel_affine
    assert c.q_per_channel_axis() == 1
    assert c.q_per_channel_scales().dtype == np.float64
    assert c.q_per_channel_zero_points().dtype == np.int64
    assert a[0, 0, 1].item() == -1.0 == float(a[0, 0, 1])
    assert int(a[0, 0, 1]) == -1
    assert not a[0, 0, 3]
    assert a.cpu() is a


def test_views_share_memory(a: QTensor) -> None:
    for view in (
        a.view(6, 4),
        a.reshape(-1),
        a.flatten(1),
        a.permute(2, 0, 1),
        a.transpose(0, 1),
        a[0].t(),
        a.T,
        a.mT,
        a.squeeze(),
        a.unsqueeze(1),
        a.detach(),
        a[:, 1:],
        a[None, ..., 0],
        a.chunk(2, 1)[1],
        a.split([1, 2], 1)[0],
        a.unbind(2)[3],
        a.select(0, 1),
        a.narrow(1, 1, 2),
        a[:1].expand(5, 3, 4),
        a.movedim(0, -1),
        a.unflatten(2, (2, 2)),
        a.view_as(a),
        copy.copy(a),
    ):
        assert np.shares_memory(view.int_repr(), a.int_repr())
        assert (view.q_scale(), view.q_zero_point()) == (0.5, 3)
    a[0, 0, 0] = 20.0
    assert a.view(-1).int_repr()[0] == 43
    for other in (a.clone(), a.contiguous(memory_format=qt.contiguous_format).clone(), a.flip(0), a.repeat(1, 1, 1)):
        assert not np.shares_memory(other.int_repr(), a.int_repr())
    assert a.contiguous() is a


def test_no_silent_conversion(a: QTensor) -> None:
    with pytest.raises(TypeError, match=r"dequantize\(\).*int_repr\(\)"):
        np.asarray(a)
    with pytest.raises(TypeError):
        np.add(a, 1)
    with pytest.raises(TypeError):
        a + a  # type: ignore[operator]


def test_comparisons(a: QTensor) -> None:
    x = a.dequantize()
    for got, want in (
        (a == a, np.ones(x.shape, bool)),
        (a != x, np.zeros(x.shape, bool)),
        (x == a, np.ones(x.shape, bool)),
        (x < a, np.zeros(x.shape, bool)),
        (a > 2, x > 2),
        (a >= np.int64(2), x >= 2),
        (a < a[0, 0], x < x[0, 0]),
        (a <= 1e300, np.ones(x.shape, bool)),
        (a <= 10**400, np.ones(x.shape, bool)),
    ):
        assert got.dtype == bool
        np.testing.assert_array_equal(got, want)
    assert (a == None) is False  # noqa: E711
    assert (a == "x") is False
    assert len({a, a}) == 1
    assert -1.5 in a
    assert 99 not in a
    with pytest.raises(ValueError, match="broadcast"):
        a == np.ones(5)  # noqa: B015


def test_equal(a: QTensor, c: QTensor, packed: QTensor) -> None:
    assert a.equal(a.clone())
    assert c.equal(c.clone())
    assert packed.equal(copy.deepcopy(packed))
    assert not a.equal(c)
    assert not a.equal(a.dequantize())
    assert not a.equal(a[:1])
    assert not a.equal(QTensor(a.int_repr(), quint8, 0.25, 3))


def test_channels_last() -> None:
    x = quantnn.quantize_per_tensor(np.ones((2, 3, 4, 5), np.float32), 0.5, 0, quint8)
    y = x.contiguous(memory_format=qt.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert y.is_contiguous(memory_format=qt.channels_last)
    assert not y.is_contiguous()
    assert y.contiguous().stride() == y.clone().stride() == x.stride()
    assert y.clone(memory_format=qt.preserve_format).stride() == y.stride()
    for same in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert same.stride() == y.stride()
        assert same.equal(y)
    assert _layout.strides_in_elements(y.dequantize()) == y.stride()
    z = quantnn.quantize_per_tensor(np.ones((2, 3, 4, 5, 6), np.float32), 0.5, 0, quint8)
    assert z.contiguous(memory_format=qt.channels_last_3d).stride() == (360, 1, 90, 18, 3)
    with pytest.raises(ValueError, match="4 axes"):
        z.contiguous(memory_format=qt.channels_last)
    with pytest.raises(TypeError, match="memory_format"):
        z.contiguous(memory_format="channels_last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="preserve_format"):
        z.contiguous(memory_format=qt.preserve_format)


def test_per_channel(c: QTensor) -> None:
    one = c[:, 1]
    assert (one.qscheme(), one.q_scale(), one.q_zero_point()) == (qt.per_tensor_affine, 0.25, 2)
    assert c[:, 1:2].qscheme() is qt.per_tensor_affine
    assert c[:, ::2].q_per_channel_scales().tolist() == [0.5, 2.0]
    # torch keeps a wrong axis here
    assert c[0].q_per_channel_axis() == 0
    assert c[..., 0].q_per_channel_axis() == 1
    assert c.unsqueeze(0).q_per_channel_axis() == 2
    assert c[:1].squeeze(0).q_per_channel_axis() == 0
    np.testing.assert_array_equal(c[0].dequantize(), c.dequantize()[0])
    np.testing.assert_array_equal(c[..., 2].dequantize(), c.dequantize()[..., 2])
    assert c.clone().fill_(1.0).int_repr()[0, :, 0].tolist() == [3, 6, 4]
    assert c.flatten(2).equal(c)
    for refused in (
        lambda: c.flatten(),
        lambda: c.view(3, 2, 4),
        lambda: c.view(2, 12),
        lambda: c.permute(1, 0, 2),
        lambda: c[0].t(),
        lambda: c.flip(0),
        lambda: c.mean(),
        lambda: c.max(),
        lambda: c.sort(),
        lambda: c.topk(1),
        lambda: c[[0, 1]],
        lambda: c.q_scale(),
        lambda: c.q_zero_point(),
        lambda: c.expand(2, 2, 3, 4),
        lambda: c.copy_(c[:, 0]),
    ):
        with pytest.raises(ValueError, match=r"per tensor|channel axis|per_channel|quantized as"):
            refused()


def test_sub_byte(packed: QTensor) -> None:
    assert packed.shape == (2, 5)
    assert packed.stride() == (5, 1)
    assert packed.int_repr().tolist() == [0x31, 0x75, 0xB9, 0xFD, 0xFF]
    want = np.minimum(np.arange(10, dtype=np.float32), 7).reshape(2, 5)
    for same in (
        packed,
        packed.clone(),
        copy.deepcopy(packed),
        pickle.loads(pickle.dumps(packed)),
        packed.contiguous(),
    ):
        np.testing.assert_array_equal(same.dequantize(), want)
    assert packed.view(-1).shape == (10,)
    assert packed.unsqueeze(0).squeeze(0).shape == (2, 5)
    assert packed[:].shape == (2, 5)
    assert packed.clone().fill_(1.0).int_repr().tolist() == [0x33] * 5
    assert repr(packed).startswith("tensor([[0., 1., 2., 3., 4.],\n")
    for refused in (lambda: packed[0], lambda: packed.t(), lambda: packed.max(), lambda: packed.sort()):
        with pytest.raises(NotImplementedError, match="packs"):
            refused()


def test_writing(a: QTensor) -> None:
    a.fill_(1.0)
    assert (a == 1.0).all()
    a[0, 1:] = np.full(4, 2.0, np.float32)
    a[[0, 1], 0] = -1.0
    a[a == 2.0] = 100.0
    assert a[0].dequantize()[:, 0].tolist() == [-1.0, 100.0, 100.0]
    a[1] = a[0]
    assert a[1].equal(a[0])
    b = a.clone().copy_(QTensor(np.zeros((3, 4), np.uint8), quint8, 2.0, 0))
    assert (b.q_scale(), b.q_zero_point(), b.int_repr().max()) == (2.0, 0, 0)
    assert (a.masked_fill(np.ones((3, 1), bool), 0.0) == 0).all()
    with pytest.raises(ValueError, match="same dtype and quantization parameters"):
        a[0] = b[0]
    with pytest.raises(ValueError, match="read-only"):
        a[:1].expand(3, 3, 4).fill_(0.0)
    with pytest.raises(ValueError, match="shape"):
        a.copy_(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="float32"):
        a.copy_(np.ones((2, 3, 4)))
    with pytest.raises(TypeError, match="quint8"):
        a.copy_(QTensor(np.zeros((2, 3, 4), np.int8), qt.qint8, 2.0, 0))
    with pytest.raises(TypeError, match="bool"):
        a.masked_fill(np.ones(4), 0.0)
    with pytest.raises(ValueError, match="broadcast"):
        a.masked_fill(np.ones(5, bool), 0.0)
    with pytest.raises(TypeError, match="number"):
        a.fill_("x")
    with pytest.raises(ValueError, match="fit"):
        a[0] = np.ones(5, np.float32)


def test_order(a: QTensor) -> None:
    q = quantnn.make_per_tensor_quantized_tensor(np.array([3, 1, 3, 1, 2], np.uint8), 0.5, 3)
    values, indices = q.sort()
    assert (values.int_repr().tolist(), indices.tolist()) == ([1, 1, 2, 3, 3], [1, 3, 4, 0, 2])
    values, indices = q.sort(descending=True)
    assert (values.int_repr().tolist(), indices.tolist()) == ([3, 3, 2, 1, 1], [0, 2, 4, 1, 3])
    assert q.topk(3).indices.tolist() == [0, 2, 4]
    assert q.topk(2, largest=False).indices.tolist() == [1, 3]
    assert (q.max().item(), q.min().item()) == (0.0, -1.0)
    found = a.max(1, keepdim=True)
    assert found.values.shape == (2, 1, 4)
    assert found.indices.dtype == np.int64
    for call, error in (
        (lambda: q.topk(6), ValueError),
        (lambda: q.topk(-1), ValueError),
        (lambda: q[:0].max(), ValueError),
        (lambda: q[:0].max(0), IndexError),
        (lambda: q.max(3), IndexError),
        (lambda: q.max(q), NotImplementedError),
        (lambda: q.mean(dtype=qt.qint8), TypeError),
        (lambda: q.mean((0, 0)), ValueError),
        (lambda: q.mean("x"), TypeError),
        (lambda: q.std(correction=float("nan")), ValueError),
    ):
        with pytest.raises(error):
            call()
    assert q[:0].mean().int_repr() == 255  # NaN quantized


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (5, IndexError),
        (-3, IndexError),
        ((0, 0, 0, 0), IndexError),
        ((..., ...), IndexError),
        (1.0, TypeError),
        ("x", TypeError),
        (True, TypeError),
        (slice(None, None, -1), ValueError),
        (slice(None, None, 0), ValueError),
        (slice(0.5), TypeError),
        ([0, 5], IndexError),
        ([0.5], TypeError),
        ([[0], [0, 1]], TypeError),
        ([None], TypeError),
        (np.array([0, 1], np.uint8), TypeError),
        (np.ones(3, bool), IndexError),
        (([0, 1], [0, 1, 2]), IndexError),
        (2**70, IndexError),
        ({}, TypeError),
    ],
)
def test_wrong_index(a: QTensor, index: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        a[index]
    with pytest.raises(error):
        a[index] = 1.0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda a: a.view(5), ValueError),
        (lambda a: a.view(-1, -1), ValueError),
        (lambda a: a.view(-2, -12), ValueError),
        (lambda a: a.view(), TypeError),
        (lambda a: a.view(2.5), TypeError),
        (lambda a: a.permute(2, 0, 1).view(-1), ValueError),
        (lambda a: a.view(2**80), ValueError),
        (lambda a: a[:0].reshape(0, -1), ValueError),
        (lambda a: a.flatten(1, 0), ValueError),
        (lambda a: a.flatten(4), IndexError),
        (lambda a: a.permute(0, 0, 1), ValueError),
        (lambda a: a.permute(0, 1), ValueError),
        (lambda a: a.transpose(0, 3), IndexError),
        (lambda a: a.t(), ValueError),
        (lambda a: a.unsqueeze(5), IndexError),
        (lambda a: a.squeeze(3), IndexError),
        (lambda a: a.expand(3, 3, 4), ValueError),
        (lambda a: a.expand(4), ValueError),
        (lambda a: a[:1].expand(-2, 3, 4), ValueError),
        (lambda a: a[:1].expand(2**61, 3, 4), (ValueError, MemoryError)),
        (lambda a: a.repeat(2, 2), ValueError),
        (lambda a: a.repeat(2**61, 1, 1), MemoryError),
        (lambda a: a.repeat(-1, 1, 1), ValueError),
        (lambda a: a.flip(0, 0), ValueError),
        (lambda a: a.chunk(0), ValueError),
        (lambda a: a.chunk(2, 3), IndexError),
        (lambda a: a.split(0), ValueError),
        (lambda a: a.split([1, 2]), ValueError),
        (lambda a: a.narrow(0, 1, 2), ValueError),
        (lambda a: a.index_select(0, [2]), IndexError),
        (lambda a: a.index_select(0, [-1]), IndexError),
        (lambda a: a.index_select(0, [[0]]), ValueError),
        (lambda a: a.index_select(0, [0.5]), TypeError),
        (lambda a: a.item(), ValueError),
        (bool, ValueError),
        (lambda a: len(a[0, 0, 0]), TypeError),
        (lambda a: list(a[0, 0, 0]), TypeError),
        (lambda a: a[0, 0, 0].unbind(), IndexError),
        (lambda a: a.size(3), IndexError),
        (lambda a: a.q_per_channel_scales(), ValueError),
        (lambda a: a.unflatten(2, (3, 2)), ValueError),
        (lambda a: a.view_as(3), TypeError),
    ],
)
def test_wrong_argument(a: QTensor, call: Any, error: Any) -> None:
    with pytest.raises(error):
        call(a)


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: qt.quantize_per_tensor(X, 0.0, 0, quint8), ValueError, "scale must be a positive"),
        (lambda: qt.quantize_per_tensor(X, -1.0, 0, quint8), ValueError, "scale must be a positive"),
        (lambda: qt.quantize_per_tensor(X, float("nan"), 0, quint8), ValueError, "scale must be a positive"),
        (lambda: qt.quantize_per_tensor(X, float("inf"), 0, quint8), ValueError, "scale must be a positive"),
        (lambda: qt.quantize_per_tensor(X, 1e-60, 0, quint8), ValueError, "scale must be a positive"),
        (lambda: qt.quantize_per_tensor(X, "1", 0, quint8), TypeError, "scale must be a number"),
        (lambda: qt.quantize_per_tensor(X, np.ones(2), 0, quint8), TypeError, "scale must be a number"),
        (lambda: qt.quantize_per_tensor(X, 1.0, 256, quint8), ValueError, "zero_point must be in"),
        (lambda: qt.quantize_per_tensor(X, 1.0, -1, quint8), ValueError, "zero_point must be in"),
        (lambda: qt.quantize_per_tensor(X, 1.0, 16, qt.quint4x2), ValueError, "zero_point must be in"),
        (lambda: qt.quantize_per_tensor(X, 1.0, 0.5, quint8), TypeError, "zero_point must be an int"),
        (lambda: qt.quantize_per_tensor(X, 1.0, True, quint8), TypeError, "zero_point must be an int"),
        (lambda: qt.quantize_per_tensor(X, 1.0, 0, np.uint8), TypeError, "dtype must be one of"),
        (lambda: qt.quantize_per_tensor(X.astype(float), 1.0, 0, quint8), TypeError, "astype"),
        (lambda: qt.quantize_per_tensor([X], 1.0, 0, quint8), ValueError, "vectors"),
        (
            lambda: qt.quantize_per_tensor(qt.quantize_per_tensor(X, 1.0, 0, quint8), 1.0, 0, quint8),
            TypeError,
            "dequantize",
        ),
        (lambda: qt.quantize_per_channel(X, np.ones(2), np.zeros(2, int), 2, quint8), IndexError, "axis"),
        (lambda: qt.quantize_per_channel(X, np.ones(3), np.zeros(3, int), -1, quint8), IndexError, "axis"),
        (lambda: qt.quantize_per_channel(X, np.ones(3), np.zeros(2, int), 0, quint8), ValueError, "scales must have"),
        (lambda: qt.quantize_per_channel(X, np.ones(2), np.zeros(3, int), 0, quint8), ValueError, "zero_points must"),
        (lambda: qt.quantize_per_channel(X, np.zeros(2), np.zeros(2, int), 0, quint8), ValueError, "positive"),
        (lambda: qt.quantize_per_channel(X, np.ones(2, int), np.zeros(2, int), 0, quint8), TypeError, "floats"),
        (lambda: qt.quantize_per_channel(X, np.ones(2), np.array([0, 256]), 0, quint8), ValueError, "in \\[0, 255\\]"),
        (lambda: qt.quantize_per_channel(X, np.ones(2), np.zeros(2, int), 0, qt.quint4x2), TypeError, "dtype"),
        (lambda: qt.quantize_per_channel(X, np.ones(2), np.zeros(2), 0, qt.qint32), TypeError, "dtype"),
        (lambda: qt.quantize_per_channel(X, np.ones(2), np.array([0, np.nan]), 0, quint8), ValueError, "finite"),
        (lambda: qt.quantize_per_tensor_dynamic(X * np.float32("nan"), quint8, False), ValueError, "finite"),
        (lambda: qt.quantize_per_tensor_dynamic(X[:0], quint8, False), ValueError, "elements"),
        (lambda: qt.quantize_per_tensor_dynamic(X, qt.qint32, False), TypeError, "dtype"),
        (lambda: qt.quantize_per_tensor_dynamic(X, quint8, 1), TypeError, "reduce_range"),
        (lambda: qt.make_per_tensor_quantized_tensor(X, 1.0, 0), TypeError, "uint8, int8 or int32"),
        (lambda: qt.make_per_tensor_quantized_tensor(np.ones(2, np.int64), 1.0, 0), TypeError, "uint8"),
        (lambda: qt.make_per_tensor_quantized_tensor(np.ones(2, np.int8), 1.0, 128), ValueError, "zero_point"),
        (lambda: qt.dequantize(np.ones(2)), TypeError, "float32"),
        (lambda: qt.dequantize("x"), TypeError, "float32"),
    ],
)
def test_wrong_construction(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_inputs_of_every_memory(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 6)).astype(np.float32)
    want = qt.quantize_per_tensor(x, 0.1, 10, quint8).int_repr()
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.repeat(x, 2, 1)[:, ::2]
    for same in (read_only, x.astype(">f4"), wide, np.asfortranarray(x), np.flip(np.flip(x, 0).copy(), 0)):
        q = qt.quantize_per_tensor(same, 0.1, 10, quint8)
        np.testing.assert_array_equal(q.int_repr(), want)
        assert q.is_contiguous()
        scales = np.full(6, 0.1).astype(">f8")
        c = qt.quantize_per_channel(same, scales, np.full(6, 10, ">i8"), 1, quint8)
        assert c.q_per_channel_scales().dtype == np.float64
        assert c.shape == (4, 6)
    ints = want.astype(">i4")
    assert qt.make_per_tensor_quantized_tensor(ints, 0.1, 0).dtype is qt.qint32
    want.flags.writeable = False
    made = qt.make_per_tensor_quantized_tensor(want, 0.1, 10)
    assert made.fill_(0.0).equal(made)
    view = QTensor(want, quint8, 0.1, 10)
    np.testing.assert_array_equal(view.dequantize(), made.copy_(view).dequantize())
    with pytest.raises(ValueError, match="read-only"):
        view.fill_(0.0)


def test_dequantize_of_other_things() -> None:
    x = np.ones(3, np.float32)
    q = qt.quantize_per_tensor(x, 0.5, 0, quint8)
    assert qt.dequantize(x) is x
    assert isinstance(qt.dequantize([q, x]), list)
    assert isinstance(qt.dequantize((q,)), tuple)
    assert qt.quantize_per_tensor([x, x], np.array([0.5, 0.1]), np.array([0, 3]), quint8)[1].q_scale() == np.float32(
        0.1
    )


def test_repr() -> None:
    x = np.array([[1.0, -1.0, 0.3], [2.0, 0.5, 100.0]], np.float32)
    a = qt.quantize_per_tensor(x, 0.25, 10, quint8)
    assert repr(a) == (
        "tensor([[ 1.0000, -1.0000,  0.2500],\n"
        "        [ 2.0000,  0.5000, 61.2500]], size=(2, 3), dtype=torch.quint8,\n"
        "       quantization_scheme=torch.per_tensor_affine, scale=0.25, zero_point=10)"
    )
    c = qt.quantize_per_channel(x, np.array([0.25, 0.5]), np.array([1, 2]), 0, qt.qint8)
    assert repr(c) == (
        "tensor([[ 1.0000, -1.0000,  0.2500],\n"
        "        [ 2.0000,  0.5000, 62.5000]], size=(2, 3), dtype=torch.qint8,\n"
        "       quantization_scheme=torch.per_channel_affine,\n"
        "       scale=tensor([0.2500, 0.5000], dtype=torch.float64),\n"
        "       zero_point=tensor([1, 2]), axis=0)"
    )
    assert repr(a[0, 0]) == (
        "tensor(1., size=(), dtype=torch.quint8,\n"
        "       quantization_scheme=torch.per_tensor_affine, scale=0.25, zero_point=10)"
    )
    empty = qt.quantize_per_tensor(np.zeros(0, np.float32), 0.1, 0, quint8)
    assert repr(empty) == (
        "tensor([], size=(0,), dtype=torch.quint8,\n"
        "       quantization_scheme=torch.per_tensor_affine, scale=0.1, zero_point=0)"
    )
    wide = qt.quantize_per_tensor(np.zeros((1001,), np.float32), 0.1, 0, quint8)
    assert repr(wide).startswith("tensor([0., 0., 0.,  ..., 0., 0., 0.], size=(1001,), dtype=torch.quint8,\n")
    assert (repr(qt.quint8), repr(qt.channels_last)) == ("torch.quint8", "torch.channels_last")


def test_names_pickle_as_themselves() -> None:
    for thing in (quint8, qt.per_tensor_affine, qt.channels_last):
        assert pickle.loads(pickle.dumps(thing)) is thing
        assert copy.deepcopy(thing) is thing
