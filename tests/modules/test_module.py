"""Module and the containers, without torch."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import Flatten, Identity, Module, ModuleDict, ModuleList, ReLU, Sequential
from quantnn.modules.module import StateDictError
from quantnn.tensor import QTensor, qint8, quint8


class Net(Module):
    """A network with every kind of state."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("weight", np.arange(3, dtype=np.float32))
        self.register_parameter("bias", None)
        self.register_buffer("count", np.array(7, dtype=np.int64))
        self.register_buffer("hidden", np.zeros(1, dtype=np.float32), persistent=False)
        self.layers = Sequential(Identity(), ReLU())
        self.plain = 5

    def forward(self, x: Any, add: Any = 0) -> Any:
        return self.layers(x) + add


class Frame(Module):
    """What a layer with its own state does."""

    def __init__(self) -> None:
        super().__init__()
        self.q = QTensor(np.array([1, 2], dtype=np.int8), qint8, 0.5, 0)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool = False) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "q"] = (self.q, None, qint8)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        self.q, nothing, self.dtype = state_dict.pop(prefix + "q")
        assert nothing is None
        self.loaded_version = local_metadata.get("version")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def test_call() -> None:
    net = Net()
    x = np.array([-1.0, 2.0], dtype=np.float32)
    assert net(x).tolist() == [0, 2]
    assert net(x, 1).tolist() == net(x=x, add=1).tolist() == [1, 3]


def test_forward_is_needed() -> None:
    class Empty(Module):
        pass

    with pytest.raises(NotImplementedError, match=r'Module \[Empty\] is missing the required "forward"'):
        Empty()(1)
    with pytest.raises(NotImplementedError, match="ModuleList"):
        ModuleList()(1)


class Base(Module):
    def forward(self, x: Any) -> Any:
        return "base", x


def test_call_finds_the_right_forward() -> None:
    class Inherits(Base):
        pass

    class Overrides(Base):
        def forward(self, x: Any) -> Any:
            return "own", super().forward(x)

    class Mixin:
        def forward(self, x: Any) -> Any:
            return "mixin", x

    class Mixed(Mixin, Base):
        pass

    class Static(Base):
        forward = staticmethod(lambda x: ("static", x))  # type: ignore[assignment]

    class Callable(Base):
        forward = Identity()  # type: ignore[assignment]

    assert Inherits()(1) == ("base", 1)
    assert Overrides()(1) == ("own", ("base", 1))
    assert Mixed()(1) == ("mixin", 1)
    assert Static()(1) == ("static", 1)
    assert Callable()(1) == 1

    class Calls(Base):
        def __call__(self, x: Any) -> Any:
            return "call", super().__call__(x)

        def forward(self, x: Any) -> Any:
            return "own", x

    class BelowCalls(Calls):
        def forward(self, x: Any) -> Any:
            return "below", x

    assert Calls()(1) == ("call", ("own", 1))
    assert BelowCalls()(1) == ("call", ("below", 1))
    assert Base()(1) == ("base", 1)


def test_forward_of_an_instance() -> None:
    class Other(Base):
        pass

    a, b = Other(), Other()
    a.forward = lambda x: ("new", x)
    assert a(1) == ("new", 1)
    assert b(1) == ("base", 1)
    del a.forward
    assert a(1) == ("base", 1)


def test_attributes() -> None:
    net = Net()
    assert net.weight is net._parameters["weight"]
    assert net.bias is None
    assert "weight" not in vars(net)
    assert {"weight", "bias", "count", "layers", "plain", "forward", "hidden"} <= set(dir(net))
    assert not any(name[0].isdigit() for name in dir(net.layers))
    net.weight = np.ones(2, dtype=np.float32)
    assert net.weight.shape == (2,)
    net.count = None
    assert list(net.state_dict()) == ["weight"]
    net.layers = None
    assert net.layers is None
    net.plain = ReLU()  # a plain attribute becomes a child
    assert "plain" not in vars(net)
    assert list(dict(net.named_children())) == ["plain"]
    net.weight = ReLU()
    assert list(net.state_dict()) == []
    del net.plain
    del net.count
    del net.hidden
    for name in ("plain", "count", "nothing"):
        with pytest.raises(AttributeError, match=f"'Net' object has no attribute '{name}'"):
            getattr(net, name)
    with pytest.raises(AttributeError):
        del net.nothing


@pytest.mark.parametrize("register", ["register_buffer", "register_parameter", "add_module", "register_module"])
def test_registration_errors(register: str) -> None:
    net = Net()
    value = ReLU() if "module" in register else np.zeros(1, dtype=np.float32)
    with pytest.raises(KeyError, match="already exists"):
        getattr(net, register)("forward", value)
    with pytest.raises(KeyError, match="t contain"):
        getattr(net, register)("a.b", value)
    with pytest.raises(KeyError, match="empty"):
        getattr(net, register)("", value)
    with pytest.raises(TypeError, match="name should be a string"):
        getattr(net, register)(3, value)
    with pytest.raises(TypeError, match="list"):
        getattr(net, register)("x", [1.0])


def test_assignment_errors() -> None:
    net = Net()
    with pytest.raises(TypeError, match="as child module 'layers'"):
        net.layers = 3
    with pytest.raises(TypeError, match="buffer 'count'"):
        net.count = 3
    with pytest.raises(TypeError, match="parameter 'weight'"):
        net.weight = "x"
    net.count = np.int64(4)
    assert net.count.shape == ()


def test_before_init() -> None:
    class Early(Module):
        def __init__(self, value: Any) -> None:
            self.plain = 1
            self.value = value

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early(ReLU())
    early = Early(1)
    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        early.register_buffer("b", None)
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        early.other  # noqa: B018
    with pytest.raises(TypeError, match="takes no arguments"):
        Module(1)
    with pytest.raises(TypeError, match="takes no arguments"):
        Module(x=1)


def test_state_dict() -> None:
    net = Net()
    state = net.state_dict()
    assert type(state) is OrderedDict
    assert list(state) == ["weight", "count"]
    assert state["weight"] is net.weight
    assert state._metadata == {
        "": {"version": 2},
        "layers": {"version": 1},
        "layers.0": {"version": 1},
        "layers.1": {"version": 1},
    }
    mine: dict[str, Any] = {}
    assert net.state_dict(destination=mine, prefix="a.") is mine
    assert list(mine) == ["a.weight", "a.count"]


def test_load_state_dict() -> None:
    net, other = Net(), Net()
    other.weight = np.array([4, 5, 6], dtype=np.float32)
    before = net.state_dict()
    result = net.load_state_dict(other.state_dict())
    assert result == ([], [])
    assert repr(result) == "<All keys matched successfully>"
    assert net.weight.tolist() == [4, 5, 6]
    assert before["weight"].tolist() == [0, 1, 2]
    assert not np.shares_memory(net.weight, other.weight)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1, 2, 3], dtype=np.float64), [1, 2, 3]),
        (np.array([1, 2, 3], dtype=">f4"), [1, 2, 3]),
        (np.array([1, 2, 3]), [1, 2, 3]),
        (np.array([1e300, 0, -1e300]), [np.inf, 0, -np.inf]),
        (np.array([1, 9, 2, 9, 3, 9], dtype=np.float32)[::2], [1, 2, 3]),
    ],
)
def test_load_converts(value: np.ndarray, expected: list[float]) -> None:
    net = Net()
    value.flags.writeable = False
    net.load_state_dict({"weight": value, "count": np.array([3.0])})
    assert net.weight.dtype == np.dtype("=f4")
    assert net.weight.tolist() == expected
    assert net.weight.flags.writeable
    assert net.count.dtype == np.int64
    assert net.count == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.zeros((3, 1), dtype=np.float32)}, "size mismatch for weight"),
        ({"weight": [1.0, 2.0, 3.0]}, "but received <class 'list'>"),
        ({"weight": np.zeros(3, dtype=complex)}, "complex128 in the checkpoint can't become float32"),
        ({"weight": np.array(["a", "b", "c"])}, "can't become float32"),
        ({"count": np.array(0.5)}, "can't become int64"),
        ({"count": np.array(np.nan)}, "can't become int64"),
        ({"weight": QTensor(np.zeros(3, dtype=np.int8), qint8, 1.0, 0)}, "qint8 in the checkpoint"),
        ({"a.b": 1, "layers.5.x": 1}, r'Unexpected key\(s\) in state_dict: "a.b", "layers.5.x"\. '),
    ],
)
def test_load_errors(changes: dict[str, Any], message: str) -> None:
    net = Net()
    state = {**net.state_dict(), **changes}
    with pytest.raises(ValueError, match=message) as error:
        net.load_state_dict(state)
    assert isinstance(error.value, StateDictError)
    assert isinstance(error.value, RuntimeError)
    assert str(error.value).startswith("Error(s) in loading state_dict for Net:\n\t")
    if "Unexpected" in message:
        assert net.load_state_dict(state, strict=False).unexpected_keys == ["a.b", "layers.5.x"]


def test_load_integers_out_of_range() -> None:
    with pytest.raises(ValueError, match="can't become int64"):
        Net().load_state_dict({"weight": np.zeros(3, dtype=np.float32), "count": np.array(1e30)})


def test_load_wrong_kind() -> None:
    with pytest.raises(TypeError, match="dict-like"):
        Net().load_state_dict(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Missing"):
        Net().load_state_dict({})
    assert repr(Net().load_state_dict({}, strict=False)) == (
        "_IncompatibleKeys(missing_keys=['weight', 'count'], unexpected_keys=[])"
    )


def test_own_state() -> None:
    a, b = Sequential(Frame(), Frame()), Sequential(Frame(), Frame())
    a[1].q = QTensor(np.array([3, 4], dtype=np.int8), qint8, 0.25, 0)
    assert list(a.state_dict()) == ["0.q", "1.q"]
    assert b.load_state_dict(a.state_dict()) == ([], [])
    assert b[1].q is a[1].q
    assert b[1].dtype is qint8
    assert b[1].loaded_version == 1
    b.load_state_dict(dict(a.state_dict()))
    assert b[1].loaded_version is None


def test_traversal() -> None:
    net = Net()
    net.again = net.layers
    names = ["", "layers", "layers.0", "layers.1"]
    assert [name for name, _ in net.named_modules()] == names
    assert [name for name, _ in net.named_modules(prefix="p")] == ["p", *("p." + n for n in names[1:])]
    assert len(list(net.named_modules(remove_duplicate=False))) == 7
    assert [name for name, _ in net.named_children()] == ["layers"]
    assert list(net.modules())[1] is net.layers
    assert list(net.children()) == [net.layers]
    assert [name for name, _ in net.named_parameters()] == ["weight"]
    assert [name for name, _ in Sequential(net).named_buffers()] == ["0.count", "0.hidden"]
    assert list(Sequential(net).parameters(recurse=False)) == []
    assert next(net.buffers()) is net.count
    seen: list[Module] = []
    assert net.apply(seen.append) is net
    assert [type(m) for m in seen] == [Identity, ReLU, Sequential, Net]


def test_get_submodule() -> None:
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("layers.1") is net.layers[1]
    with pytest.raises(AttributeError, match="Sequential has no attribute `2`"):
        net.get_submodule("layers.2")
    with pytest.raises(AttributeError, match="`plain` is not a Module"):
        net.get_submodule("plain.x")


def test_train_eval_cpu() -> None:
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not net.layers[0].training
    assert net.train() is net
    assert net.layers[0].training
    assert net.cpu() is net
    with pytest.raises(ValueError, match="bool"):
        net.train(1)  # type: ignore[arg-type]


def test_repr() -> None:
    assert repr(Net()) == "Net(\n  (layers): Sequential(\n    (0): Identity()\n    (1): ReLU()\n  )\n)"
    assert repr(Module()) == "Module()"


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), copy.copy])
def test_copies(how: Any) -> None:
    net = Net()
    other = how(net)
    assert type(other) is Net
    assert repr(other) == repr(net)
    assert other.weight.tolist() == net.weight.tolist()
    assert other.plain == 5
    assert other(np.ones(1, dtype=np.float32)).tolist() == [1]
    other.plain = 6
    assert net.plain == 5
    if how is not copy.copy:
        other.layers[0] = Flatten()
        other.weight[0] = 9
        assert net.weight[0] == 0
        assert isinstance(net.layers[0], Identity)


def test_sequential() -> None:
    a, b, c = Identity(), ReLU(), Flatten()
    s = Sequential(OrderedDict([("a", a), ("b", b)]))
    assert s.a is s[0] is s[-2] is a
    assert list(s[:1].state_dict()._metadata) == ["", "a"]
    s["1" == "1"] = c  # a bool is an index
    assert s.b is c
    for i in (2, -3):
        with pytest.raises(IndexError, match="out of range"):
            s[i]
        with pytest.raises(IndexError, match="out of range"):
            del s[i]
    for i in ("a", 1.0, None):
        with pytest.raises(TypeError, match="index must be an int"):
            s[i]
    with pytest.raises(TypeError, match="not a Module"):
        s.append(3)
    with pytest.raises(TypeError, match="not a Module"):
        Sequential([a, b])
    with pytest.raises(TypeError, match="must be a Module"):
        s.insert(0, 3)
    with pytest.raises(IndexError, match="Index out of range: 5"):
        s.insert(5, a)
    with pytest.raises(ValueError, match="only objects of Sequential"):
        s.__add__([a])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="only objects of Sequential"):
        s += [a]
    for factor, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("a", TypeError)):
        with pytest.raises(error):
            s * factor
        with pytest.raises(error):
            s *= factor
    with pytest.raises(TypeError, match="iterable"):
        s.extend(3)
    s.extend(s)
    assert list(s) == [a, c, a, c]
    assert isinstance(s.pop(slice(0, 2)), Sequential)
    assert list(s._modules) == ["0", "1"]


def test_sequential_subclass() -> None:
    class Pair(Sequential):
        pass

    assert type(Pair(ReLU(), ReLU())[:1]) is Pair
    assert repr(Pair(ReLU())) == "Pair(\n  (0): ReLU()\n)"
    x = np.array([-1.0], dtype=np.float32)
    assert Sequential()(x) is x
    assert Pair(ReLU())(x).tolist() == [0]


def test_module_list() -> None:
    a, b, c = Identity(), ReLU(), Flatten()
    m = ModuleList([a, b])
    m.insert(0, c)
    m += [a]
    assert list(m) == [c, a, b, a]
    assert len(m) == 4
    assert a in m
    assert type(m[1:]) is ModuleList
    assert m.pop(-1) is a
    m[0] = b
    assert list(m) == [b, a, b]
    del m[::2]
    assert list(m._modules) == ["0"]
    assert list(m + [b]) == [a, b]  # noqa: RUF005
    with pytest.raises(IndexError):
        m[1]
    with pytest.raises(TypeError, match=r"ModuleList\.extend should be called with an iterable, but got int"):
        m.extend(3)
    with pytest.raises(TypeError, match="not a Module"):
        ModuleList([3])


def test_module_dict() -> None:
    a, b = Identity(), ReLU()
    d = ModuleDict({"a": a})
    d["b"] = b
    assert d["b"] is d.b is b
    assert list(d) == list(d.keys()) == ["a", "b"]
    assert list(d.items()) == [("a", a), ("b", b)]
    assert "a" in d
    assert "c" not in d
    d.update(ModuleDict({"c": a}))
    d.update([("d", b)])
    assert len(d) == 4
    assert d.pop("d") is b
    del d["c"]
    for use in (lambda: d["x"], lambda: d.pop("x"), lambda: d.__delitem__("x")):
        with pytest.raises(KeyError):
            use()
    with pytest.raises(TypeError, match="iterable of key/value pairs, but got int"):
        d.update(3)
    with pytest.raises(TypeError, match="#0 should be Iterable"):
        d.update([3])
    with pytest.raises(ValueError, match="#0 has length 3; 2 is required"):
        d.update([(1, 2, 3)])
    with pytest.raises(TypeError, match="not a Module"):
        d["x"] = 3
    with pytest.raises(TypeError, match="string"):
        d[3] = a
    with pytest.raises(KeyError, match="already exists"):
        d["keys"] = a
    d.clear()
    assert len(d) == 0
    assert repr(d) == "ModuleDict()"


def test_relu_flatten_dropout_identity() -> None:
    x = np.array([[[-1.0, 2.0], [np.nan, -3.0]]], dtype=np.float32)
    np.testing.assert_array_equal(ReLU()(x), [[[0, 2], [np.nan, 0]]])
    assert x[0, 0, 0] == -1
    assert ReLU(inplace=True)(x) is x
    assert x[0, 0, 0] == 0
    q = quantnn.tensor.make_per_tensor_quantized_tensor(np.array([[1, 9]], dtype=np.uint8), 0.5, 3)
    assert ReLU()(q).int_repr().tolist() == [[3, 9]]
    assert q.int_repr().tolist() == [[1, 9]]
    assert ReLU(True)(q) is q
    assert q.int_repr().tolist() == [[3, 9]]
    frozen = QTensor(np.array([1], dtype=np.uint8), quint8, 0.5, 3)
    for array in (x, frozen.int_repr()):
        array.flags.writeable = False
    for value in (x, frozen):
        with pytest.raises(ValueError, match="read-only"):
            ReLU(True)(value)
        ReLU()(value)
    for bad in (x.astype(np.float64), [1.0], None, 3):
        with pytest.raises(TypeError, match="ReLU: input must be"):
            ReLU()(bad)
    assert Flatten()(x).shape == (1, 4)
    assert Flatten(0)(np.ones((), np.float32)).shape == (1,)
    assert Flatten()(np.zeros((0, 3, 4), np.float32)).shape == (0, 12)
    for dims in ((3, -1), (0, 3), (-4, 1)):
        with pytest.raises(IndexError, match="dim must be in"):
            Flatten(*dims)(x)
    with pytest.raises(ValueError, match="start_dim must not be after end_dim"):
        Flatten(2, 1)(x)
    with pytest.raises(TypeError, match="start_dim must be an int"):
        Flatten(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a QTensor or a NumPy array"):
        Flatten()([1])
    for value in (q, x):
        assert quantnn.Dropout()(value) is value
        assert Identity(1, a=2)(value) is value
    assert repr(quantnn.Dropout(0.25, True)) == "QuantizedDropout(p=0.25, inplace=True)"
    assert repr(quantnn.Dropout.from_float(quantnn.Dropout(0.3))) == repr(quantnn.Dropout(0.3))
    assert repr(quantnn.Dropout.from_reference(quantnn.Dropout(0.3), 1.0, 0)) == repr(quantnn.Dropout(0.3))
    assert repr(ReLU(True)) == "ReLU(inplace=True)"
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"p must be in \[0, 1\]"):
            quantnn.Dropout(p)
    with pytest.raises(TypeError, match="p must be a number"):
        quantnn.Dropout("a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a Dropout"):
        quantnn.Dropout.from_float(ReLU())
