"""The modules' frame next to torch's: repr, state dicts, what loading says, quantized values from torch."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.modules import utils

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, of quantized tensors


def net(nn: Any, array: Any) -> Any:
    """The same network from torch.nn or quantnn; `array` makes a tensor or an array of floats."""

    class Block(nn.Module):
        _version = 3

        def __init__(self, n: int) -> None:
            super().__init__()
            self.register_buffer("mean", array([float(n)] * n))
            self.register_buffer("hidden", array([0.0]), persistent=False)
            self.register_buffer("nothing", None)
            self.relu = nn.ReLU(inplace=n == 2)
            self.register_buffer("count", array([1.0]))
            self.n = n

        def extra_repr(self) -> str:
            return f"n={self.n}" if self.n < 3 else f"n={self.n}\nlines"

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Sequential(OrderedDict([("a", Block(1)), ("b", nn.Sequential(nn.Identity(4)))]))
            self.blocks = nn.ModuleList([Block(2), Block(2), nn.Identity(), nn.Identity(), Block(3)])
            self.dict = nn.ModuleDict({"x": nn.ReLU(), "y": nn.Flatten(0, 2)})
            self.empty = nn.ModuleList()
            self.tail = nn.Sequential()
            self.shared = self.head
            self.register_module("none", None)

    return Net()


@pytest.fixture
def nets(torch: Any) -> tuple[Any, Any]:
    return net(torch.nn, torch.tensor), net(quantnn, lambda values: np.array(values, dtype=np.float32))


def test_repr(nets: tuple[Any, Any]) -> None:
    theirs, ours = nets
    assert repr(ours) == repr(theirs)
    for (name, a), (name_b, b) in zip(ours.named_modules(), theirs.named_modules(), strict=True):
        assert name == name_b
        assert repr(a) == repr(b)


def test_repr_of_changed_containers(torch: Any) -> None:
    def build(nn: Any) -> list[Any]:
        out = []
        s = nn.Sequential(nn.ReLU(), nn.Identity())
        s.append(nn.Flatten()).insert(1, nn.ReLU(True))
        out.append(copy.deepcopy(s))
        s.insert(-1, nn.Identity())
        out += [s[1:], s[::2], s[-1], s + nn.Sequential(nn.ReLU()), s * 2, 2 * s[:1], len(s)]
        del s[0]
        out.append(copy.deepcopy(s))
        out.append(s.pop(-1))
        s[0] = nn.Flatten(2)
        s += s[:1]
        s *= 2
        del s[1:3]
        out.append(s)
        m = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Flatten()])
        m.insert(1, nn.Identity())
        out += [m[1:], m[-1], m + list(m[:1])]
        m += [nn.ReLU(), nn.ReLU()]
        m.extend(nn.Sequential(nn.ReLU()))
        del m[::2]
        out += [m, m.pop(0), len(m)]
        d = nn.ModuleDict([["b", nn.ReLU()], ("a", nn.Flatten())])
        d.update({"c": nn.Identity(), "b": nn.Flatten(3)})
        out += [d.pop("a"), d, list(d), list(d.keys()), list(d.values()), list(d.items()), "c" in d, "a" in d]
        return out

    assert [repr(x) for x in build(quantnn)] == [repr(x) for x in build(torch.nn)]


def test_state_dict(nets: tuple[Any, Any]) -> None:
    theirs, ours = (n.state_dict() for n in nets)
    assert type(ours) is type(theirs) is OrderedDict
    assert list(ours) == list(theirs)
    assert ours._metadata == theirs._metadata
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key].numpy())
    theirs, ours = (n.state_dict(prefix="p.") for n in nets)
    assert list(ours) == list(theirs)
    assert list(ours._metadata.items()) == list(theirs._metadata.items())


@pytest.mark.parametrize("what", ["parameters", "buffers", "modules", "children"])
def test_names(nets: tuple[Any, Any], what: str) -> None:
    theirs, ours = ([name for name, _ in getattr(n, f"named_{what}")()] for n in nets)
    assert ours == theirs
    theirs, ours = ([type(x).__name__ for x in getattr(n, what)()] for n in nets)
    if what in ("modules", "children"):
        assert ours == theirs
    assert len(ours) == len(theirs)


def test_load_from_torch(nets: tuple[Any, Any], torch: Any) -> None:
    theirs, ours = nets
    torch.nn.init.constant_(theirs.blocks[1].mean, 7.0)
    result = ours.load_state_dict(theirs.state_dict())
    assert repr(result) == str(result) == "<All keys matched successfully>"
    mean = ours.blocks[1].mean
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, [7.0, 7.0])
    theirs.blocks[1].mean.fill_(8.0)
    np.testing.assert_array_equal(mean, [7.0, 7.0])  # a copy


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", range(7))
def test_load_messages(nets: tuple[Any, Any], torch: Any, case: int, strict: bool) -> None:
    texts = []
    for n in nets:
        state = n.state_dict()
        if case == 0:
            del state["head.a.mean"]
        elif case == 1:
            state["head.a.more"] = state["head.a.mean"]
            state["new.deep"] = state["head.a.mean"]
            state["top"] = state["head.a.mean"]
        elif case == 2:
            state["blocks.0.mean"] = state["blocks.4.mean"]
        elif case == 3:
            del state["blocks.0.mean"]
            state["blocks.0.old"] = state["blocks.1.mean"]
            state["head.a.mean"] = state["blocks.4.mean"].reshape(1, 3)
        elif case == 4:
            state.clear()
        elif case == 5:
            state = dict(state)  # no metadata
        elif case == 6:
            state["blocks.0.mean.deeper"] = state["blocks.1.mean"]
        try:
            texts.append(repr(n.load_state_dict(state, strict=strict)))
        except RuntimeError as e:
            texts.append(str(e))
    assert texts[1] == texts[0]


def test_load_wrong_kind(nets: tuple[Any, Any]) -> None:
    messages = []
    for n in nets:
        with pytest.raises(TypeError) as error:
            n.load_state_dict([1])
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_scalar_state(torch: Any) -> None:
    class Ours(quantnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", np.array(0, dtype=np.int64))

    module = Ours()
    module.load_state_dict({"n": torch.tensor([5])})
    assert module.n.shape == ()
    assert module.n.dtype == np.int64
    assert module.n == 5


def test_quantize_module(torch: Any, rng: np.random.Generator) -> None:
    nnq = torch.ao.nn.quantized
    for name in ("quint8", "qint8", "qint32"):
        for scale, zero_point in ((0.1, 3), (1 / 3, 0), (2.0, 5), (1e-6, 1), (2e8, 1), (123456.7, 0)):
            theirs = nnq.Quantize(scale, zero_point, getattr(torch, name))
            ours = quantnn.Quantize(scale, zero_point, getattr(quantnn.tensor, name))
            assert repr(ours) == repr(theirs)
            assert list(ours.state_dict()) == list(theirs.state_dict())
            assert ours.state_dict()._metadata == theirs.state_dict()._metadata
            x = (rng.normal(size=(3, 5)) * 100 * scale).astype(np.float32)
            a, b = ours(x), theirs(torch.from_numpy(x))
            np.testing.assert_array_equal(a.int_repr(), b.int_repr().numpy())
            assert a.q_scale() == b.q_scale()
            assert a.q_zero_point() == b.q_zero_point()
            np.testing.assert_array_equal(quantnn.DeQuantize()(a), nnq.DeQuantize()(b).numpy())
            other = quantnn.Quantize(1.0, 0, getattr(quantnn.tensor, name))
            other.load_state_dict(theirs.state_dict())
            assert repr(other) == repr(theirs)
    assert repr(quantnn.DeQuantize()) == repr(nnq.DeQuantize())
    assert repr(quantnn.Dropout(0.3)) == repr(nnq.Dropout(0.3))


def observers(torch: Any) -> dict[str, Any]:
    q = torch.ao.quantization
    return {
        "minmax": q.MinMaxObserver,
        "moving": q.MovingAverageMinMaxObserver,
        "histogram": q.HistogramObserver,
        "qint8": q.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric),
        "fixed": q.FixedQParamsObserver.with_args(scale=1 / 256, zero_point=0),
        "fake": q.FakeQuantize,
        "fake_fixed": q.default_fixed_qparams_range_0to1_fake_quant,
        "fused": q.FusedMovingAvgObsFakeQuantize,
    }


def test_quantize_from_float(torch: Any, rng: np.random.Generator) -> None:
    for make in observers(torch).values():
        stub = torch.ao.quantization.QuantStub()
        stub.activation_post_process = make()
        stub.activation_post_process(torch.from_numpy(rng.normal(size=(4, 50)).astype(np.float32)))
        ours = quantnn.Quantize.from_float(stub)
        assert repr(ours) == repr(torch.ao.nn.quantized.Quantize.from_float(stub))
        scale, zero_point = stub.activation_post_process.calculate_qparams()
        assert utils.post_process_qparams(stub) == (float(scale), int(zero_point))
    assert repr(quantnn.DeQuantize.from_float(torch.ao.quantization.DeQuantStub())) == "DeQuantize()"


def test_from_float_without_qparams(torch: Any) -> None:
    stub = torch.ao.quantization.QuantStub()
    with pytest.raises(TypeError, match="activation_post_process"):
        quantnn.Quantize.from_float(stub)
    stub.activation_post_process = torch.ao.quantization.PlaceholderObserver()
    with pytest.raises(TypeError, match="PlaceholderObserver"):
        quantnn.Quantize.from_float(stub)
    stub.activation_post_process = torch.ao.quantization.MinMaxObserver()
    stub.activation_post_process(torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match="finite"):
        quantnn.Quantize.from_float(stub)
    stub.activation_post_process = torch.ao.quantization.PerChannelMinMaxObserver()
    stub.activation_post_process(torch.ones(2, 3))
    with pytest.raises(ValueError, match="per tensor"):
        quantnn.Quantize.from_float(stub)


def weight_observers(torch: Any) -> dict[str, Any]:
    q = torch.ao.quantization
    symmetric, channels = torch.per_tensor_symmetric, torch.per_channel_symmetric
    floats = torch.per_channel_affine_float_qparams
    fake = q.FakeQuantize.with_args
    return {
        "tensor": q.default_weight_observer,
        "affine": q.MinMaxObserver.with_args(dtype=torch.qint8),
        "channel": q.default_per_channel_weight_observer,
        "channel_affine": q.PerChannelMinMaxObserver.with_args(dtype=torch.qint8),
        "axis 1": q.PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=channels, ch_axis=1),
        "narrow": q.weight_observer_range_neg_127_to_127,
        "narrow channel": q.per_channel_weight_observer_range_neg_127_to_127,
        "4 bits": q.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=symmetric, quant_min=-8, quant_max=7),
        "reduced": q.PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=channels, reduce_range=True),
        "fake": fake(
            observer=q.MovingAverageMinMaxObserver,
            quant_min=-128,
            quant_max=127,
            dtype=torch.qint8,
            qscheme=symmetric,
        ),
        "fake channel": fake(
            observer=q.MovingAveragePerChannelMinMaxObserver,
            quant_min=-100,
            quant_max=90,
            dtype=torch.qint8,
            qscheme=channels,
        ),
        "embedding": q.default_float_qparams_observer,
        "embedding 4 bits": q.default_float_qparams_observer_4bit,
        "float qint8": q.PerChannelMinMaxObserver.with_args(dtype=torch.quint8, qscheme=floats, ch_axis=0),
    }


def same(ours: quantnn.tensor.QTensor, theirs: Any) -> None:
    """Compare a QTensor with a quantized torch tensor in every respect."""
    assert repr(ours.dtype) == repr(theirs.dtype)
    assert repr(ours.qscheme()) == repr(theirs.qscheme())
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_array_equal(ours.int_repr(), theirs.int_repr().numpy())
    if "channel" in repr(theirs.qscheme()):
        for name in ("q_per_channel_scales", "q_per_channel_zero_points"):
            a, b = getattr(ours, name)(), getattr(theirs, name)().numpy()
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        assert ours.q_per_channel_axis() == theirs.q_per_channel_axis()
    else:
        assert ours.q_scale() == theirs.q_scale()
        assert ours.q_zero_point() == theirs.q_zero_point()


def differing(ours: Any, theirs: Any) -> int:
    """How many integers differ; all of them if anything else does."""
    try:
        same(ours, theirs)
    except AssertionError:
        a, b = ours.int_repr(), theirs.int_repr().numpy()
        wrong = int((a != b).sum()) if a.shape == b.shape else 0
        return wrong or max(1, b.size)
    return 0


def quantize_weight_case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """The weight of a float module, quantized with a random observer."""
    from torch.ao.nn.quantized.modules.utils import _quantize_weight

    w = rng.normal(size=(int(rng.integers(1, 9)), 2 * int(rng.integers(1, 20)))).astype(np.float32)
    if rng.integers(2):  # many ties
        w = np.round(w * 8).astype(np.float32) / 16
    makers = weight_observers(torch)
    make = makers[str(rng.choice(list(makers)))]
    mod = torch.nn.Linear(w.shape[1], w.shape[0])
    mod.weight = torch.nn.Parameter(torch.from_numpy(w))
    mod.qconfig = torch.ao.quantization.QConfig(activation=torch.ao.quantization.MinMaxObserver, weight=make)
    observer = utils.weight_observer(mod)
    ours = utils.quantize_weight(mod.weight, observer)
    return w.size, differing(ours, _quantize_weight(mod.weight.float(), observer))


def quantize_case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """Quantize and DeQuantize, made by hand or from an observed stub."""
    nnq = torch.ao.nn.quantized
    x = (rng.normal(size=tuple(rng.integers(0, 9, size=int(rng.integers(1, 4))))) * 10).astype(np.float32)
    t = torch.from_numpy(x)
    if rng.integers(2):
        stub = torch.ao.quantization.QuantStub()
        makers = observers(torch)
        stub.activation_post_process = makers[str(rng.choice(list(makers)))]()
        stub.activation_post_process(torch.cat([t.reshape(-1), torch.tensor([1.0, -0.5])]))
        ours, theirs = quantnn.Quantize.from_float(stub), nnq.Quantize.from_float(stub)
    else:
        name = str(rng.choice(["quint8", "qint8", "qint32"]))
        scale = float(2.0 ** rng.integers(-6, 2) if rng.integers(2) else rng.uniform(0.01, 1))
        zero_point = int(rng.integers(0, 128))
        ours = quantnn.Quantize(scale, zero_point, utils.DTYPES[name])
        theirs = nnq.Quantize(scale, zero_point, getattr(torch, name))
    if rng.integers(2):  # ties
        step = ours.scale.item() / 2
        x = (np.round(x / step) * step).astype(np.float32)
        t = torch.from_numpy(x)
    a, b = ours(x), theirs(t)
    floats = quantnn.DeQuantize()(a), nnq.DeQuantize()(b).numpy()
    wrong = differing(a, b) + int((floats[0].view(np.int32) != floats[1].view(np.int32)).sum())
    return max(1, x.size), wrong + (repr(ours) != repr(theirs))


CASES = {"Quantize": quantize_case, "quantize_weight": quantize_weight_case}


@pytest.mark.parametrize("name", CASES)
def test_cases(level: str, torch: Any, rng: np.random.Generator, n_cases: int, name: str) -> None:
    results = [CASES[name](rng, torch, quantnn) for _ in range(n_cases)]
    assert sum(elements for elements, _ in results) > 0
    assert sum(wrong for _, wrong in results) == 0


def test_quantize_weight_refuses(torch: Any) -> None:
    q = torch.ao.quantization
    w = torch.ones(2, 3)
    with pytest.raises(TypeError, match="float16"):
        utils.quantize_weight(w, q.PlaceholderObserver(dtype=torch.float16))
    with pytest.raises(TypeError, match="float array"):
        utils.quantize_weight(torch.ones(2, 3, dtype=torch.int64), q.default_weight_observer())
    mod = torch.nn.Linear(2, 3)
    with pytest.raises(TypeError, match="qconfig"):
        utils.weight_observer(mod)
    observer = q.default_weight_observer()
    observer(torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match="scale"):
        utils.quantize_weight(w, observer)


def test_from_torch_qtensor(torch: Any, rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.normal(size=(2, 4, 3, 6)).astype(np.float32))
    last = x.contiguous(memory_format=torch.channels_last)
    for name in ("quint8", "qint8", "qint32"):
        dtype = getattr(torch, name)
        for t in (x, last, x[:, :1], x[:0], x[0, 0, 0, 0]):
            q = torch.quantize_per_tensor(t, 0.1, 3, dtype)
            ours = utils.from_torch_qtensor(q)
            same(ours, q)
            assert all(
                a == b * ours.int_repr().itemsize
                for n, a, b in zip(q.shape, ours.int_repr().strides, q.stride(), strict=True)
                if n > 1 and q.numel()
            )
        scales = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
        same(*both(torch.quantize_per_channel(x, scales, torch.tensor([0, 1, 2, 3]), 1, dtype)))
    scales, zeros = torch.tensor([0.1, 0.2]), torch.tensor([0.5, 1.5])
    for name in ("quint8", "quint4x2"):
        same(*both(torch.quantize_per_channel(x[:, :, 0, 0], scales, zeros, 0, getattr(torch, name))))
    for name in ("quint4x2", "quint2x4"):
        same(*both(torch.quantize_per_tensor(x, 0.5, 1, getattr(torch, name))))
    with pytest.raises(TypeError, match=r"quantized torch\.Tensor"):
        utils.from_torch_qtensor(x)


def both(q: Any) -> tuple[quantnn.tensor.QTensor, Any]:
    return utils.from_torch_qtensor(q), q


def test_to_numpy(torch: Any) -> None:
    t = torch.nn.Parameter(torch.ones(2, 3))
    a = utils.to_numpy(t)
    assert type(a) is np.ndarray
    assert a.dtype == np.float32
    assert np.shares_memory(a, t.detach().numpy())
    assert utils.to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    assert utils.to_numpy(torch.quantize_per_tensor(torch.ones(2), 0.5, 1, torch.quint8)).tolist() == [1, 1]
    assert utils.from_torch((t, None, torch.qint8))[2] is quantnn.tensor.qint8
    assert utils.from_torch(torch.float16) is torch.float16
    assert not np.shares_memory(utils.from_torch(t), t.detach().numpy())


def test_register_torch_tensors(torch: Any) -> None:
    module = quantnn.Module()
    module.register_buffer("b", torch.ones(2))
    module.register_parameter("p", torch.nn.Parameter(torch.ones(3)))
    assert type(module.b) is type(module.p) is np.ndarray
    module.b = torch.zeros(4)
    assert type(module.b) is np.ndarray


def test_relu_and_flatten(torch: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    q = quantnn.Quantize(0.1, 3, quantnn.tensor.quint8)(x)
    t = torch.quantize_per_tensor(torch.from_numpy(x), float(np.float32(0.1)), 3, torch.quint8)
    same(quantnn.ReLU()(q), torch.nn.ReLU()(t))
    np.testing.assert_array_equal(quantnn.ReLU()(x), torch.nn.ReLU()(torch.from_numpy(x)).numpy())
    for start, end in ((1, -1), (0, 1), (0, -1), (2, 3), (-2, -1), (1, 1)):
        same(quantnn.Flatten(start, end)(q), torch.nn.Flatten(start, end)(t))
        ours = quantnn.Flatten(start, end)(x)
        assert ours.shape == tuple(torch.nn.Flatten(start, end)(torch.from_numpy(x)).shape)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(quantnn.Flatten()(last), quantnn.Flatten()(x))
