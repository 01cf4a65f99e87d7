"""Recurrent layers and cells on float arrays: torch.ao.nn.quantized.dynamic's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, ClassVar, Self

import numpy as np

from .. import _checks
from ..modules.container import ModuleList
from ..modules.module import Module
from ..modules.utils import as_dtype, check_attributes, check_float_module, from_torch, is_float16, is_module
from ..ops import _dynamic, _linear, _rnn
from ..tensor import QTensor, qint8
from .linear import dynamic_weight


def _checked_dtype(op: str, dtype: Any) -> Any:
    if is_float16(dtype):
        return np.float16
    if as_dtype(dtype) is not qint8:
        raise TypeError(f"{op}: dtype must be qint8 or float16; got {_checks.kind(dtype)}")
    return qint8


def _pack(weight: Any, bias: Any) -> _rnn.Packed:
    """A weight and its bias, packed as the weight's kind asks for."""
    weight, bias = from_torch(weight), from_torch(bias)
    if isinstance(weight, QTensor):
        return _linear.linear_prepack(weight, bias)
    return _dynamic.linear_prepack_fp16(weight, bias)


def _zeros(op: str, dtype: Any, shape: tuple[int, int], bias: bool) -> _rnn.Packed:
    _checks.fits_memory(op, shape, 4)
    weight: Any = np.zeros(shape, np.float32)
    if dtype is qint8:
        weight = QTensor(np.zeros(shape, np.int8), qint8, 1.0, 0)
    return _pack(weight, np.zeros(shape[0], np.float32) if bias else None)


def _params(w_ih: _rnn.Packed, w_hh: _rnn.Packed, reduce_range: bool = True) -> _rnn.CellParams:
    if isinstance(w_ih, _linear.PackedLinear) and isinstance(w_hh, _linear.PackedLinear):
        return _rnn.make_quantized_cell_params_dynamic(w_ih, w_hh, None, None, reduce_range)
    if isinstance(w_ih, _dynamic.PackedLinearFp16) and isinstance(w_hh, _dynamic.PackedLinearFp16):
        return _rnn.make_quantized_cell_params_fp16(w_ih, w_hh)
    raise TypeError("the weights must be of one dtype; got qint8 and float16")


# Packed weights in state dicts. torch keeps script objects there, whose states are tuples: quantnn keeps those tuples,
# and takes the objects, too.


def _script_state(value: Any) -> Any:
    """The state of a script object of torch, or that state itself, with or without the name of its class."""
    if type(value).__name__ == "ScriptObject":
        value = value.__getstate__()
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        value = value[0]
    return value


def _load_packed(value: Any, shape: tuple[int, int]) -> _rnn.Packed:
    """Packed weights of a state dict: (weight, bias)."""
    state = _script_state(value)
    if not (isinstance(state, tuple) and len(state) == 2):
        raise TypeError(f"there must be a tuple (weight, bias); got {_checks.kind(value)}")
    weight, bias = (from_torch(v) for v in state)
    if tuple(getattr(weight, "shape", shape)) != shape:
        raise ValueError(f"size mismatch: the weight must have shape {shape}; got {tuple(weight.shape)}")
    return _pack(weight, bias)


def _save_params(params: _rnn.CellParams) -> tuple[Any, ...]:
    packed = [params.w_ih.unpack(), params.w_hh.unpack()]
    if isinstance(params.w_ih, _dynamic.PackedLinearFp16):
        return "quantized_fp16", [], [], [], packed
    return "quantized_dynamic", [bias for _, bias in packed], [], [int(params.reduce_range)], packed


def _load_params(value: Any, shapes: tuple[tuple[int, int], tuple[int, int]]) -> _rnn.CellParams:
    """A cell's parameters of a state dict: (kind, biases, scales, [reduce_range], [packed weights])."""
    state = _script_state(value)
    if not (
        isinstance(state, tuple)
        and len(state) == 5
        and state[0] in ("quantized_dynamic", "quantized_fp16")
        and isinstance(state[3], (list, tuple))
        and isinstance(state[4], (list, tuple))
        and len(state[4]) == 2
    ):
        raise TypeError(f"there must be the state of a dynamically quantized cell; got {_checks.kind(value)}")
    ih, hh = (_load_packed(packed, shape) for packed, shape in zip(state[4], shapes, strict=True))
    return _params(ih, hh, any(bool(v) for v in state[3]))


class PackedParameter(Module):
    """The parameters of one direction of a layer, a module so that the state dict has torch's nesting.

    Parameters
    ----------
    param : CellParams
    """

    def __init__(self, param: _rnn.CellParams) -> None:
        super().__init__()
        self.param = param

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "param"] = _save_params(self.param)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + "param"
        if key not in state_dict:
            missing_keys.append(key)
        else:
            ih, hh = self.param.w_ih, self.param.w_hh
            shapes = (ih.out_features, ih.in_features), (hh.out_features, hh.in_features)
            try:
                self.param = _load_params(state_dict.pop(key), shapes)
            except (TypeError, ValueError) as e:
                error_msgs.append(f"{key}: {e}")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, False, missing_keys, unexpected_keys, error_msgs
        )


class RNNBase(Module):
    """What `LSTM` and `GRU` share."""

    _version = 2
    _kind: ClassVar[int]
    _gates: ClassVar[int]

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    dtype: Any
    version: int | None

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.mode = mode
        self.input_size = _checks.integer(op, "input_size", input_size, 1)
        self.hidden_size = _checks.integer(op, "hidden_size", hidden_size, 1)
        self.num_layers = _checks.integer(op, "num_layers", num_layers, 1, 1 << 20)
        self.bias = _checks.truth(op, "bias", bias)
        self.batch_first = _checks.truth(op, "batch_first", batch_first)
        self.dropout = _checks.number(op, "dropout", dropout)
        self.bidirectional = _checks.truth(op, "bidirectional", bidirectional)
        self.dtype = _checked_dtype(op, dtype)
        self.version = 2
        self.training = False
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"{op}: dropout must be in [0, 1]; got {dropout}")
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                f"{op}: dropout comes after all layers but the last: it does nothing with one layer; got {dropout}",
                stacklevel=3,
            )
        self._all_weight_values = ModuleList(
            [
                PackedParameter(_params(_zeros(op, self.dtype, ih, True), _zeros(op, self.dtype, hh, True)))
                for _, (ih, hh) in self._places()
            ]
        )

    def _places(self) -> Iterator[tuple[str, tuple[tuple[int, int], tuple[int, int]]]]:
        """What each direction of each layer is called in torch.nn, and the shapes of its weights."""
        directions = 1 + self.bidirectional
        gates = self._gates * self.hidden_size
        for layer in range(self.num_layers):
            size = self.input_size if layer == 0 else directions * self.hidden_size
            for suffix in ("", "_reverse")[:directions]:
                yield f"l{layer}{suffix}", ((gates, size), (gates, self.hidden_size))

    def _get_name(self) -> str:
        return f"DynamicQuantized{self.mode}"

    def extra_repr(self) -> str:
        """The arguments, as torch prints them."""
        s = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != default:
                s += f", {name}={getattr(self, name)}"
        return s

    def __repr__(self) -> str:
        return f"{self._get_name()}({self.extra_repr()})"

    def _all_params(self) -> list[_rnn.CellParams]:
        modules: Any = self._modules["_all_weight_values"]  # quicker than the attributes
        return [m.param for m in modules._modules.values()]

    def _run(self, input: Any, hx: list[Any] | None, lengths: Any, states: int) -> tuple[np.ndarray, ...]:
        """The output and the last states; hx are the initial ones, `states` of them, or None."""
        op = type(self).__name__
        x = _checks.float_array(op, "input", input)
        first, directions = self.batch_first, 1 + self.bidirectional
        if x.ndim != 3 or x.shape[2] != self.input_size or x.shape[1 if first else 0] == 0:
            axes = "(B, T, I)" if first else "(T, B, I)"
            raise ValueError(f"{op}: input must have shape {axes} with T > 0 and I = {self.input_size}; got {x.shape}")
        if first:
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        length, batch, size = x.shape
        shape = self.num_layers * directions, batch, self.hidden_size
        if hx is None:
            last = [np.zeros(shape, np.float32) for _ in range(states)]
        else:
            names = ["hx"] if states == 1 else [f"hx[{i}]" for i in range(states)]
            last = [_checks.float_array(op, name, h, shape).copy() for name, h in zip(names, hx, strict=True)]
        if lengths is None:
            steps, x = _rnn.even_steps(length, batch), x.reshape(length * batch, size)
            y = _rnn.run_steps(op, self._kind, self._all_params(), directions, x, steps, last)
            y = y.reshape(length, batch, directions * self.hidden_size)
            return (y.swapaxes(0, 1) if first else y, *last)
        sizes = _checks.array(op, "lengths", from_torch(lengths))
        if sizes.dtype.kind not in "iu" or sizes.shape != (batch,):
            raise ValueError(f"{op}: lengths must be {batch} integers, one for each row; got {_checks.kind(lengths)}")
        if batch == 0 or sizes.min() < 1 or sizes.max() > length:
            raise ValueError(f"{op}: lengths must be in [1, {length}], each for a row; got {sizes}")
        # the longest first, so that the rows of each step are the first ones
        order = np.argsort(-sizes.astype(np.int64), kind="stable")
        back = np.argsort(order)
        inside = np.arange(length)[:, None] < sizes[order]
        steps = _rnn.Steps(inside.sum(1)[: int(sizes.max())].astype(np.int64), batch)
        last = [np.ascontiguousarray(h[:, order]) for h in last]
        y = np.zeros((length, batch, directions * self.hidden_size), np.float32)
        x = np.ascontiguousarray(x[:, order][inside])
        y[inside] = _rnn.run_steps(op, self._kind, self._all_params(), directions, x, steps, last)
        y = y[:, back]
        return (y.swapaxes(0, 1) if first else y, *(h[:, back] for h in last))

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {"weight": {}, "bias": {}}
        for params, (name, _) in zip(self._all_params(), self._places(), strict=True):
            for what, packed in (("ih", params.w_ih), ("hh", params.w_hh)):
                found["weight"][f"weight_{what}_{name}"], found["bias"][f"bias_{what}_{name}"] = packed.unpack()
        return found

    def get_weight(self) -> dict[str, Any]:
        """The weights by their names in torch.nn, such as ``weight_ih_l0_reverse``: QTensors, or float32 of float16."""
        return self._weight_bias()["weight"]

    def get_bias(self) -> dict[str, Any]:
        """The biases by their names in torch.nn, such as ``bias_hh_l0``: float32."""
        return self._weight_bias()["bias"]

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Any]) -> None:
        """Set and pack all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            By their names in torch.nn: weights (G * H, I) and (G * H, H), qint8 or, for float16, float32; biases
            float32, (G * H,).

        Raises
        ------
        TypeError, ValueError
            Naming what is missing or wrong.
        """
        op = f"{type(self).__name__}.set_weight_bias"
        if not isinstance(weight_bias_dict, Mapping):
            raise TypeError(f"{op}: weight_bias_dict must be a dict; got {_checks.kind(weight_bias_dict)}")
        reduce_range = self.version is not None and self.version >= 2
        values = []
        for name, shapes in self._places():
            packed = []
            for what, shape in zip(("ih", "hh"), shapes, strict=True):
                keys = f"weight_{what}_{name}", f"bias_{what}_{name}"
                packed.append(_packed_of(op, weight_bias_dict, weight_bias_dict, *keys, shape))
            values.append(PackedParameter(_params(packed[0], packed[1], reduce_range)))
        self._all_weight_values = ModuleList(values)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        self.version = local_metadata.get("version")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, False, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from a float one with a ``qconfig``.

        Parameters
        ----------
        mod : module
            torch.nn's module of the same name. The weight observer of its ``qconfig`` has the dtype qint8 or float16.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        LSTM or GRU

        Raises
        ------
        TypeError
            `mod` is another class, has no qconfig, or its weight observer another dtype.
        ValueError
            `mod` has no biases, or projections: torch doesn't convert such modules either.
        """
        op = f"{cls.__name__}.from_float"
        check_float_module(op, mod, cls.__name__)
        check_attributes(op, mod, *_ARGUMENTS)
        if not mod.bias or getattr(mod, "proj_size", None):
            raise ValueError(f"{op}: mod must have biases and no projections; got {mod}"[:200])
        weights: dict[str, Any] = {}
        dtype: Any = None
        for name in _weight_names(mod.num_layers, mod.bidirectional):
            check_attributes(op, mod, f"weight_{name}", f"bias_{name}")
            weights[f"weight_{name}"], dtype = dynamic_weight(op, mod, getattr(mod, f"weight_{name}"))
            weights[f"bias_{name}"] = from_torch(getattr(mod, f"bias_{name}"))
        return cls._filled(mod, dtype, weights)

    @classmethod
    def from_reference(cls, ref_mod: Any) -> Self:
        """Make the module from a reference quantized one of torch.

        Parameters
        ----------
        ref_mod : module
            With ``get_quantized_weight_bias_dict()`` and the arguments of the constructor.

        Returns
        -------
        LSTM or GRU
        """
        op = f"{cls.__name__}.from_reference"
        if not is_module(ref_mod) or not hasattr(ref_mod, "get_quantized_weight_bias_dict"):
            raise TypeError(f"{op}: the module must be a reference quantized one; got {_checks.kind(ref_mod)}")
        check_attributes(op, ref_mod, *_ARGUMENTS, "weight_ih_l0_dtype")
        return cls._filled(ref_mod, ref_mod.weight_ih_l0_dtype, ref_mod.get_quantized_weight_bias_dict())

    @classmethod
    def _filled(cls, mod: Any, dtype: Any, weights: Mapping[str, Any]) -> Self:
        arguments: dict[str, Any] = {name: getattr(mod, name) for name in _ARGUMENTS}
        module = cls(**arguments, dtype=dtype)
        module.set_weight_bias(weights)
        return module


_ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")


def _weight_names(layers: int, bidirectional: bool) -> Iterator[str]:
    for layer in range(layers):
        for suffix in ("", "_reverse")[: 1 + bool(bidirectional)]:
            yield from (f"ih_l{layer}{suffix}", f"hh_l{layer}{suffix}")


def _packed_of(
    op: str, weights: Mapping[str, Any], biases: Mapping[str, Any], weight: str, bias: str, shape: tuple[int, int]
) -> _rnn.Packed:
    """Pack a weight and a bias that are found under two keys."""
    for where, key in ((weights, weight), (biases, bias)):
        if key not in where:
            raise ValueError(f"{op}: there must be {key}; got {', '.join(map(str, where)) or 'nothing'}"[:200])
    w = from_torch(weights[weight])
    if not isinstance(w, (QTensor, np.ndarray)):
        raise TypeError(f"{op}: {weight} must be a QTensor or a float32 array; got {_checks.kind(w)}")
    if w.shape != shape:
        raise ValueError(f"{op}: {weight} must have shape {shape}; got {w.shape}")
    return _pack(w, biases[bias])


class LSTM(RNNBase):
    """LSTM layers on float arrays, with dynamically quantized products.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers : int
    bias : bool
        Accepted as in torch; the biases are 0 at first.
    batch_first : bool
        Whether inputs and outputs are (B, T, *) instead of (T, B, *).
    dropout : float
        Kept as in torch: there is no training, so it does nothing.
    bidirectional : bool
        Whether each layer runs in both directions.
    dtype : DType or type
        Of the weights: qint8 or ``numpy.float16`` (torch.float16).

    Notes
    -----
    torch.ao.nn.quantized.dynamic.LSTM. All numbers are those of `quantnn.ops.quantized_lstm`. Its weights are 0 until
    `set_weight_bias`, `from_float` or `load_state_dict` sets them. There are no projections, as in torch. What torch
    does with packed sequences, `lengths` does: only what is within them counts, also for the range of the input.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rnn = quantnn.dynamic.LSTM(10, 20, 2)
    >>> rng = np.random.default_rng(0)
    >>> input = rng.standard_normal((5, 3, 10)).astype(np.float32)
    >>> h0, c0 = rng.standard_normal((2, 2, 3, 20)).astype(np.float32)
    >>> output, (hn, cn) = rnn(input, (h0, c0))
    >>> output.shape
    (5, 3, 20)
    >>> output, (hn, cn) = rnn(input, lengths=[5, 2, 3])
    """

    _kind = _rnn.LSTM
    _gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )  # fmt: skip

    def forward(
        self, input: Any, hx: Any = None, lengths: Any = None
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Run the layers.

        Parameters
        ----------
        input : numpy.ndarray
            float32, shape (T, B, I), or (B, T, I) if `batch_first`; finite.
        hx : tuple of two numpy.ndarray, optional
            The initial h and c: float32, shape (layers * directions, B, H). Zeros by default.
        lengths : array of int, optional
            How many steps of each row count, in any order. The rest of `output` is 0, the last states are those of each
            row's last step.

        Returns
        -------
        output : numpy.ndarray
            float32, as `input` with directions * H at the end.
        (h, c) : tuple of two numpy.ndarray
            The last states, as `hx`.

        Raises
        ------
        TypeError, ValueError
            Naming the argument that is wrong.
        """
        if hx is not None:
            hx = _two("LSTM", hx)
        y, h, c = self._run(input, hx, lengths, 2)
        return y, (h, c)


def _two(op: str, hx: Any) -> list[Any]:
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise TypeError(f"{op}: hx must be a tuple of two arrays, h and c; got {_checks.kind(hx)}")
    return list(hx)


class GRU(RNNBase):
    """GRU layers on float arrays, with dynamically quantized products.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        As in `LSTM`.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.GRU. All numbers are those of `quantnn.ops.quantized_gru`. As `LSTM` otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rnn = quantnn.dynamic.GRU(10, 20, 2)
    >>> rng = np.random.default_rng(0)
    >>> input = rng.standard_normal((5, 3, 10)).astype(np.float32)
    >>> output, hn = rnn(input, rng.standard_normal((2, 3, 20)).astype(np.float32))
    >>> output.shape, hn.shape
    ((5, 3, 20), (2, 3, 20))
    """

    _kind = _rnn.GRU
    _gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )  # fmt: skip

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Run the layers.

        Parameters
        ----------
        input, lengths
            As in `LSTM.forward`.
        hx : numpy.ndarray, optional
            The initial h: float32, shape (layers * directions, B, H). Zeros by default.

        Returns
        -------
        output : numpy.ndarray
            float32, as `input` with directions * H at the end.
        h : numpy.ndarray
            The last state, as `hx`.

        Raises
        ------
        TypeError, ValueError
            Naming the argument that is wrong.
        """
        y, h = self._run(input, None if hx is None else [hx], lengths, 1)
        return y, h


class RNNCellBase(Module):
    """What the cells share.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool
        Whether there are biases.
    num_chunks : int
        Gates.
    dtype : DType or type
        Of the weights: qint8 or ``numpy.float16``.
    """

    input_size: int
    hidden_size: int
    bias: bool
    weight_dtype: Any
    _packed_weight_ih: _rnn.Packed
    _packed_weight_hh: _rnn.Packed

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, num_chunks: int = 4, dtype: Any = qint8
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.input_size = _checks.integer(op, "input_size", input_size, 1)
        self.hidden_size = _checks.integer(op, "hidden_size", hidden_size, 1)
        self.bias = _checks.truth(op, "bias", bias)
        self.weight_dtype = _checked_dtype(op, dtype)
        gates = _checks.integer(op, "num_chunks", num_chunks, 1) * self.hidden_size
        self._packed_weight_ih = _zeros(op, self.weight_dtype, (gates, self.input_size), self.bias)
        self._packed_weight_hh = _zeros(op, self.weight_dtype, (gates, self.hidden_size), self.bias)

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"

    def extra_repr(self) -> str:
        """The arguments, as torch prints them."""
        s = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            s += ", bias=False"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            s += f", nonlinearity={self.nonlinearity}"
        return s

    def _run(self, kind: int, input: Any, hx: list[Any] | None, states: int) -> list[np.ndarray]:
        """The new states; hx are the ones before, `states` of them, or None."""
        op = type(self).__name__
        x = _checks.float_array(op, "input", input)
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"{op}: input must have shape (B, {self.input_size}); got {x.shape}")
        if hx is None:
            hx = [np.zeros((x.shape[0], self.hidden_size), np.float32)] * states
        return _rnn.run_cell(op, kind, x, hx, self._packed_weight_ih, self._packed_weight_hh)

    @property
    def bias_ih(self) -> np.ndarray | None:
        """The bias of the input's product: float32, or None."""
        bias: np.ndarray | None = self._packed_weight_ih.unpack()[1]
        return bias

    @property
    def bias_hh(self) -> np.ndarray | None:
        """The bias of the hidden state's product: float32, or None."""
        bias: np.ndarray | None = self._packed_weight_hh.unpack()[1]
        return bias

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {"weight": {}, "bias": {}}
        for what, packed in (("ih", self._packed_weight_ih), ("hh", self._packed_weight_hh)):
            found["weight"][f"weight_{what}"], found["bias"][f"bias_{what}"] = packed.unpack()
        return found

    def get_weight(self) -> dict[str, Any]:
        """``weight_ih`` and ``weight_hh``: QTensors, or float32 of float16."""
        return self._weight_bias()["weight"]

    def get_bias(self) -> dict[str, Any]:
        """``bias_ih`` and ``bias_hh``: float32, or None."""
        return self._weight_bias()["bias"]

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Any]) -> None:
        """Set and pack the weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {"weight_ih": …, "weight_hh": …}, "bias": {"bias_ih": …, "bias_hh": …}}``, as `get_weight` and
            `get_bias` return them.

        Raises
        ------
        TypeError, ValueError
            Naming what is missing or wrong.
        """
        op = f"{type(self).__name__}.set_weight_bias"
        if not isinstance(weight_bias_dict, Mapping):
            raise TypeError(f"{op}: weight_bias_dict must be a dict; got {_checks.kind(weight_bias_dict)}")
        for key in ("weight", "bias"):
            if not isinstance(weight_bias_dict.get(key), Mapping):
                got = _checks.kind(weight_bias_dict.get(key))
                raise TypeError(f"{op}: weight_bias_dict must hold the dicts weight and bias; got {got} for {key}")
        weights, biases = weight_bias_dict["weight"], weight_bias_dict["bias"]
        packed = [
            _packed_of(op, weights, biases, f"weight_{what}", f"bias_{what}", (old.out_features, old.in_features))
            for what, old in (("ih", self._packed_weight_ih), ("hh", self._packed_weight_hh))
        ]
        self._packed_weight_ih, self._packed_weight_hh = packed

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in ("_packed_weight_ih", "_packed_weight_hh"):
            destination[prefix + name] = getattr(self, name).unpack()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for name in ("_packed_weight_ih", "_packed_weight_hh"):
            key, old = prefix + name, getattr(self, name)
            if key not in state_dict:
                missing_keys.append(key)
                continue
            try:
                setattr(self, name, _load_packed(state_dict.pop(key), (old.out_features, old.in_features)))
            except (TypeError, ValueError) as e:
                error_msgs.append(f"{key}: {e}")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, False, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from a float one with a ``qconfig``.

        Parameters
        ----------
        mod : module
            torch.nn's cell of the same name. The weight observer of its ``qconfig`` has the dtype qint8 or float16.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        LSTMCell, GRUCell or RNNCell

        Raises
        ------
        TypeError
            `mod` is another class, has no qconfig, or its weight observer another dtype.
        ValueError
            `mod` has no biases: torch doesn't convert such modules either.
        """
        op = f"{cls.__name__}.from_float"
        check_float_module(op, mod, cls.__name__)
        check_attributes(op, mod, "input_size", "hidden_size", "bias", "weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if not mod.bias:
            raise ValueError(f"{op}: mod must have biases; got {mod}"[:200])
        weights: dict[str, Any] = {}
        dtype: Any = None
        for name in ("weight_ih", "weight_hh"):
            weights[name], dtype = dynamic_weight(op, mod, getattr(mod, name))
        return cls._filled(mod, dtype, weights)

    @classmethod
    def from_reference(cls, ref_mod: Any) -> Self:
        """Make the module from a reference quantized one of torch.

        Parameters
        ----------
        ref_mod : module
            With ``get_quantized_weight_ih()``, ``get_quantized_weight_hh()``, the biases and the sizes.

        Returns
        -------
        LSTMCell, GRUCell or RNNCell
        """
        op = f"{cls.__name__}.from_reference"
        if not is_module(ref_mod) or not hasattr(ref_mod, "get_quantized_weight_ih"):
            raise TypeError(f"{op}: the module must be a reference quantized one; got {_checks.kind(ref_mod)}")
        check_attributes(op, ref_mod, "input_size", "hidden_size", "bias", "bias_ih", "bias_hh", "weight_ih_dtype")
        weights = {"weight_ih": ref_mod.get_quantized_weight_ih(), "weight_hh": ref_mod.get_quantized_weight_hh()}
        return cls._filled(ref_mod, ref_mod.weight_ih_dtype, weights)

    @classmethod
    def _filled(cls, mod: Any, dtype: Any, weights: Mapping[str, Any]) -> Self:
        more = {"nonlinearity": mod.nonlinearity} if hasattr(mod, "nonlinearity") else {}
        module = cls(mod.input_size, mod.hidden_size, bool(mod.bias), dtype=dtype, **more)
        module.set_weight_bias({"weight": weights, "bias": {"bias_ih": mod.bias_ih, "bias_hh": mod.bias_hh}})
        return module


class RNNCell(RNNCellBase):
    """One step of an Elman network on float arrays, with dynamically quantized products.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool
        Whether there are biases.
    nonlinearity : str
        'tanh' or 'relu'.
    dtype : DType or type
        Of the weights: qint8 or ``numpy.float16`` (torch.float16).

    Notes
    -----
    torch.ao.nn.quantized.dynamic.RNNCell. All numbers are those of `quantnn.ops.quantized_rnn_tanh_cell_dynamic` or
    `quantized_rnn_relu_cell_dynamic`. Its weights are 0 until `set_weight_bias`, `from_float` or `load_state_dict` sets
    them.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rnn = quantnn.dynamic.RNNCell(10, 20)
    >>> rng = np.random.default_rng(0)
    >>> input = rng.standard_normal((6, 3, 10)).astype(np.float32)
    >>> hx = rng.standard_normal((3, 20)).astype(np.float32)
    >>> for i in range(6):
    ...     hx = rnn(input[i], hx)
    >>> hx.shape
    (3, 20)
    """

    nonlinearity: str

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: Any = qint8
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, dtype)
        if not isinstance(nonlinearity, str) or nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu'; got {_checks.kind(nonlinearity)}")
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> np.ndarray:
        """Do a step.

        Parameters
        ----------
        input : numpy.ndarray
            float32, shape (B, I); finite.
        hx : numpy.ndarray, optional
            h before it: float32, shape (B, H). Zeros by default.

        Returns
        -------
        numpy.ndarray
            h after it: float32, shape (B, H).
        """
        kind = _rnn.TANH if self.nonlinearity == "tanh" else _rnn.RELU
        return self._run(kind, input, None if hx is None else [hx], 1)[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM on float arrays, with dynamically quantized products.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    bias : bool
        Whether there are biases.
    dtype : DType or type
        Of the weights: qint8 or ``numpy.float16`` (torch.float16).

    Notes
    -----
    torch.ao.nn.quantized.dynamic.LSTMCell. All numbers are those of `quantnn.ops.quantized_lstm_cell_dynamic`. Its
    weights are 0 until `set_weight_bias`, `from_float` or `load_state_dict` sets them.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rnn = quantnn.dynamic.LSTMCell(10, 20)
    >>> rng = np.random.default_rng(0)
    >>> input = rng.standard_normal((6, 3, 10)).astype(np.float32)
    >>> hx, cx = rng.standard_normal((2, 3, 20)).astype(np.float32)
    >>> for i in range(6):
    ...     hx, cx = rnn(input[i], (hx, cx))
    >>> hx.shape, cx.shape
    ((3, 20), (3, 20))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = qint8) -> None:
        super().__init__(input_size, hidden_size, bias, 4, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Do a step.

        Parameters
        ----------
        input : numpy.ndarray
            float32, shape (B, I); finite.
        hx : tuple of two numpy.ndarray, optional
            h and c before it: float32, shape (B, H). Zeros by default.

        Returns
        -------
        h, c : numpy.ndarray
            After it: float32, shape (B, H).
        """
        h, c = self._run(_rnn.LSTM, input, None if hx is None else _two("LSTMCell", hx), 2)
        return h, c


class GRUCell(RNNCellBase):
    """One step of a GRU on float arrays, with dynamically quantized products.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype
        As in `LSTMCell`.

    Notes
    -----
    torch.ao.nn.quantized.dynamic.GRUCell. All numbers are those of `quantnn.ops.quantized_gru_cell_dynamic`. Its
    weights are 0 until `set_weight_bias`, `from_float` or `load_state_dict` sets them.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> rnn = quantnn.dynamic.GRUCell(10, 20)
    >>> rng = np.random.default_rng(0)
    >>> input = rng.standard_normal((6, 3, 10)).astype(np.float32)
    >>> hx = rng.standard_normal((3, 20)).astype(np.float32)
    >>> for i in range(6):
    ...     hx = rnn(input[i], hx)
    >>> hx.shape
    (3, 20)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = qint8) -> None:
        super().__init__(input_size, hidden_size, bias, 3, dtype)

    def forward(self, input: Any, hx: Any = None) -> np.ndarray:
        """Do a step.

        Parameters
        ----------
        input : numpy.ndarray
            float32, shape (B, I); finite.
        hx : numpy.ndarray, optional
            h before it: float32, shape (B, H). Zeros by default.

        Returns
        -------
        numpy.ndarray
            h after it: float32, shape (B, H).
        """
        return self._run(_rnn.GRU, input, None if hx is None else [hx], 1)[0]
