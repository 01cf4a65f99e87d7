"""LSTM on quantized tensors: torch.ao.nn.quantized.LSTM."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NoReturn, Self

import numpy as np

from .. import _checks
from ..ops import _tensor, _unary
from ..tensor import DType, QTensor, quint8
from .activation import Sigmoid, Tanh
from .container import ModuleDict, ModuleList
from .functional_modules import QFunctional
from .linear import Linear
from .module import Module
from .utils import as_dtype, check_attributes, is_module, observer_dtype

_GATES = ("input", "forget", "cell", "output")
_States = tuple[QTensor, QTensor]


class _FixedSigmoid(Module):
    """The sigmoid with torch's fixed parameters."""

    def forward(self, input: QTensor) -> QTensor:
        return _unary.sigmoid(input)

    def _get_name(self) -> str:
        return "Sigmoid"


class LSTMCell(Module):
    """One step of an `LSTM` layer in one direction.

    Parameters
    ----------
    input_dim, hidden_dim : int
        I and H.
    bias : bool
        Whether the linear layers have biases.
    device, dtype
        Accepted as in torch and ignored.
    split_gates : bool
        Have a linear layer for each gate instead of one for all four.

    Attributes
    ----------
    initial_hidden_state_qparams, initial_cell_state_qparams : tuple of float and int
        The scale and zero point of the zeros to begin with; (1.0, 0) at first.
    hidden_state_dtype, cell_state_dtype : DType
        Their dtypes; quint8 at first.

    Notes
    -----
    torch.ao.nn.quantizable.LSTMCell as conversion leaves it.
    """

    igates: Any
    hgates: Any
    gates: Any
    fgate_cx: QFunctional
    igate_cgate: QFunctional
    fgate_cx_igate_cgate: QFunctional
    ogate_cy: QFunctional

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        split_gates: bool = False,
    ) -> None:
        super().__init__()
        op = "LSTM"
        self.input_size = _checks.integer(op, "input_size", input_dim, 1)
        self.hidden_size = _checks.integer(op, "hidden_size", hidden_dim, 1)
        self.bias = _checks.truth(op, "bias", bias)
        self.split_gates = _checks.truth(op, "split_gates", split_gates)
        parts: tuple[Callable[[], Module], ...] = (
            lambda: Linear(self.input_size, self.hidden_size * self._fold, self.bias),
            lambda: Linear(self.hidden_size, self.hidden_size * self._fold, self.bias),
            QFunctional,
        )
        for name, make in zip(("igates", "hgates", "gates"), parts, strict=True):
            setattr(self, name, ModuleDict({g: make() for g in _GATES}) if self.split_gates else make())
        self.input_gate: Module = _FixedSigmoid()
        self.forget_gate: Module = _FixedSigmoid()
        self.cell_gate: Module = Tanh()
        self.output_gate: Module = _FixedSigmoid()
        self.fgate_cx = QFunctional()
        self.igate_cgate = QFunctional()
        self.fgate_cx_igate_cgate = QFunctional()
        self.ogate_cy = QFunctional()
        self.initial_hidden_state_qparams: tuple[float, int] = (1.0, 0)
        self.initial_cell_state_qparams: tuple[float, int] = (1.0, 0)
        self.hidden_state_dtype: DType = quint8
        self.cell_state_dtype: DType = quint8

    @property
    def _fold(self) -> int:
        """Gates to a linear layer."""
        return 1 if self.split_gates else 4

    def forward(self, x: QTensor, hidden: _States | None = None) -> _States:
        """One step.

        Parameters
        ----------
        x : QTensor
            quint8, shape (N, I).
        hidden : tuple of QTensor, optional
            Hidden and cell state, each (N, H); zeros without them.

        Returns
        -------
        tuple of QTensor
            The new hidden and cell state.
        """
        return self.step(self.project(x), hidden)

    def project(self, x: QTensor) -> tuple[QTensor, ...]:
        """What the gates take of the input, of any number of steps at once."""
        if self.split_gates:
            return tuple(self.igates[g](x) for g in _GATES)
        return (self.igates(x),)

    def step(self, projected: tuple[QTensor, ...], hidden: _States | None) -> _States:
        """`forward` of an input that was projected before."""
        if hidden is None or hidden[0] is None or hidden[1] is None:
            hidden = self.initialize_hidden(projected[0].shape[0])
        hx, cx = hidden
        if self.split_gates:
            i, f, g, o = (self.gates[n].add(x, self.hgates[n](hx)) for n, x in zip(_GATES, projected, strict=True))
        else:
            i, f, g, o = self.gates.add(projected[0], self.hgates(hx)).chunk(4, 1)
        kept = self.fgate_cx.mul(self.forget_gate(f), cx)
        added = self.igate_cgate.mul(self.input_gate(i), self.cell_gate(g))
        cy: QTensor = self.fgate_cx_igate_cgate.add(kept, added)
        return self.ogate_cy.mul(self.output_gate(o), _unary.tanh(cy)), cy

    def initialize_hidden(self, batch_size: int, is_quantized: bool = True) -> _States:
        """Zeros for `batch_size` rows, with the initial parameters."""
        hidden, cell = self.initial_hidden_state_qparams, self.initial_cell_state_qparams
        shape = (batch_size, self.hidden_size)
        return _zeros(shape, self.hidden_state_dtype, *hidden), _zeros(shape, self.cell_state_dtype, *cell)

    def _get_name(self) -> str:
        return "QuantizableLSTMCell"

    @classmethod
    def _from_observed(cls, op: str, cell: Any) -> Self:
        functionals = ("fgate_cx", "igate_cgate", "fgate_cx_igate_cgate", "ogate_cy")
        activations = ("input_gate", "forget_gate", "cell_gate", "output_gate")
        sizes = ("input_size", "hidden_size", "bias", "split_gates")
        check_attributes(op, cell, *sizes, *functionals, *activations, "igates", "hgates", "gates")
        made = cls(cell.input_size, cell.hidden_size, cell.bias, split_gates=cell.split_gates)
        for name, kind in (("igates", Linear), ("hgates", Linear), ("gates", QFunctional)):
            part = getattr(cell, name)
            if made.split_gates:
                setattr(made, name, ModuleDict({g: kind.from_float(part[g]) for g in _GATES}))
            else:
                setattr(made, name, kind.from_float(part))
        for name in functionals:
            setattr(made, name, QFunctional.from_float(getattr(cell, name)))
        for name in activations:
            gate = getattr(cell, name)
            observer = getattr(gate, "activation_post_process", None)
            # torch keeps an observed Tanh as it is, with its fixed parameters
            if observer is not None and observer_dtype(observer) is not None and name != "cell_gate":
                setattr(made, name, Sigmoid.from_float(gate))
        for name in ("initial_hidden_state_qparams", "initial_cell_state_qparams"):
            scale, zero_point = getattr(cell, name, (1.0, 0))
            setattr(made, name, (float(scale), int(zero_point)))
        for name in ("hidden_state_dtype", "cell_state_dtype"):
            setattr(made, name, as_dtype(getattr(cell, name, quint8)) or quint8)
        return made


class _LSTMSingleLayer(Module):
    """A layer in one direction: a cell for all steps."""

    cell: LSTMCell

    def __init__(self, input_dim: int, hidden_dim: int, bias: bool = True, *, split_gates: bool = False) -> None:
        super().__init__()
        self.cell = LSTMCell(input_dim, hidden_dim, bias, split_gates=split_gates)

    def forward(self, x: QTensor, hidden: _States | None = None) -> tuple[QTensor, _States]:
        """The outputs (T, N, H) and the last states of an input (T, N, I)."""
        cell = self.cell
        projected = cell.project(x)  # row by row, so all steps can be taken at once
        result = []
        for t in range(x.shape[0]):
            hidden = cell.step(tuple(p[t] for p in projected), hidden)
            result.append(hidden[0])
        assert hidden is not None
        return _tensor.stack(result, 0), hidden


class _LSTMLayer(Module):
    """A layer in one or two directions."""

    layer_fw: _LSTMSingleLayer
    layer_bw: _LSTMSingleLayer

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        *,
        split_gates: bool = False,
    ) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.bidirectional = bidirectional
        self.layer_fw = _LSTMSingleLayer(input_dim, hidden_dim, bias, split_gates=split_gates)
        if bidirectional:
            self.layer_bw = _LSTMSingleLayer(input_dim, hidden_dim, bias, split_gates=split_gates)

    def forward(self, x: QTensor, hidden: _States) -> tuple[QTensor, _States]:
        """The outputs (T, N, directions * H) and the last states, with an axis of directions if there are two."""
        if not self.bidirectional:
            return self.layer_fw.forward(x, hidden)
        forth, (h, c) = self.layer_fw(x, (hidden[0][0], hidden[1][0]))
        back, (h_back, c_back) = self.layer_bw(x.flip(0), (hidden[0][1], hidden[1][1]))
        states = _tensor.stack([h, h_back], 0), _tensor.stack([c, c_back], 0)
        return _tensor.cat([forth, back.flip(0)], -1), states


class LSTM(Module):
    """A long short-term memory on quint8 tensors, whose every step is quantized.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers : int
    bias : bool
        Whether the linear layers have biases.
    batch_first : bool
        The input is (N, T, I), not (T, N, I), and so is the output.
    dropout : float
        Has no effect, which a warning says.
    bidirectional : bool
        Go through the sequence in both directions.
    device, dtype
        Accepted as in torch and ignored.
    split_gates : bool
        Have a linear layer for each gate instead of one for all four.

    Attributes
    ----------
    layers : ModuleList
        The layers; ``layers[0].layer_fw.cell`` has the linear layers `igates` and `hgates` of the input and of the
        hidden state, and a `QFunctional` for each addition and product.

    Notes
    -----
    torch.ao.nn.quantized.LSTM, with its state dict. Weights are 0 and scales 1 until `from_observed` or
    `load_state_dict` sets them. The sigmoids and hyperbolic tangents have torch's fixed quantization parameters. States
    to begin with are zeros, with scale 1 and zero point 0. `quantnn.dynamic.LSTM` keeps its states in float.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> lstm = quantnn.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> x = quantnn.quantize_per_tensor(np.ones((5, 2, 3), np.float32), 0.1, 0, quantnn.quint8)
    >>> output, (h, c) = lstm(x)
    >>> output.shape, h.shape, c.shape
    ((5, 2, 8), (4, 2, 4), (4, 2, 4))
    """

    layers: ModuleList

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        split_gates: bool = False,
    ) -> None:
        super().__init__()
        op = "LSTM"
        self.input_size = _checks.integer(op, "input_size", input_size, 1)
        self.hidden_size = _checks.integer(op, "hidden_size", hidden_size, 1)
        self.num_layers = _checks.integer(op, "num_layers", num_layers, 1, 1 << 16)
        self.bias = _checks.truth(op, "bias", bias)
        self.batch_first = _checks.truth(op, "batch_first", batch_first)
        self.dropout = _checks.number(op, "dropout", dropout)
        self.bidirectional = _checks.truth(op, "bidirectional", bidirectional)
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"{op}: dropout must be in [0, 1]; got {dropout}")
        if self.dropout:
            warnings.warn("LSTM: dropout has no effect in a quantized network", stacklevel=2)
        self.training = False
        directions = 2 if self.bidirectional else 1
        self.layers = ModuleList(
            _LSTMLayer(
                self.hidden_size * directions if i else self.input_size,
                self.hidden_size,
                self.bias,
                bidirectional=self.bidirectional,
                split_gates=split_gates,
            )
            for i in range(self.num_layers)
        )

    def forward(self, x: QTensor, hidden: Any = None) -> tuple[QTensor, _States]:
        """Apply it to sequences.

        Parameters
        ----------
        x : QTensor
            quint8, shape (T, N, I), or (N, T, I) if `batch_first`; T at least 1.
        hidden : tuple of QTensor, optional
            Hidden and cell state, each (num_layers * directions, N, H) and quint8; or such a pair for each layer, each
            (N, H) or (directions, N, H). Zeros without them.

        Returns
        -------
        output : QTensor
            Shape (T, N, directions * H), or (N, T, directions * H) if `batch_first`.
        tuple of QTensor
            Hidden and cell state after the last step, each (num_layers * directions, N, H).

        Raises
        ------
        TypeError, ValueError
            Naming the argument that is wrong.
        """
        op = "LSTM"
        _checks.qtensor(op, "x", x, (quint8,))
        if x.ndim != 3 or x.shape[2] != self.input_size:
            order = "(N, T, {})" if self.batch_first else "(T, N, {})"
            raise ValueError(f"{op}: x must have shape {order.format(self.input_size)}; got {x.shape}")
        if self.batch_first:
            x = x.transpose(0, 1)
        if not x.shape[0]:
            raise ValueError(f"{op}: x must have at least one step; got shape {x.shape}")
        h, c = [], []
        for layer, states in zip(self.layers, self._states(op, hidden, x.shape[1]), strict=True):
            x, (hx, cx) = layer(x, states)
            h.append(hx)
            c.append(cx)
        shape = (-1, *h[0].shape[-2:])
        last = _tensor.stack(h).reshape(shape), _tensor.stack(c).reshape(shape)
        return (x.transpose(0, 1) if self.batch_first else x), last

    def _states(self, op: str, hidden: Any, batch: int) -> list[_States]:
        """The states to begin with of each layer, each (N, H), or (2, N, H) with two directions."""
        directions = 2 if self.bidirectional else 1
        shape = (2, batch, self.hidden_size) if self.bidirectional else (batch, self.hidden_size)
        if hidden is None:
            zeros = _zeros(shape, quint8, 1.0, 0)
            return [(zeros, zeros)] * self.num_layers
        if not isinstance(hidden, (tuple, list)) or not hidden:
            raise TypeError(f"{op}: hidden must be a tuple (h, c) of QTensors; got {_checks.kind(hidden)}")
        if isinstance(hidden[0], QTensor):
            hidden = [self._state(op, s, (self.num_layers * directions, *shape[-2:])) for s in _pair(op, hidden)]
            h, c = (s.reshape(self.num_layers, *shape).unbind(0) for s in hidden)
            return list(zip(h, c, strict=True))
        if len(hidden) != self.num_layers:
            raise ValueError(f"{op}: hidden must have states for {self.num_layers} layers; got {len(hidden)}")
        return [(self._state(op, h, shape), self._state(op, c, shape)) for h, c in (_pair(op, s) for s in hidden)]

    @staticmethod
    def _state(op: str, state: Any, shape: tuple[int, ...]) -> QTensor:
        x = _checks.qtensor(op, "hidden", state, (quint8,))
        if x.shape != shape:
            raise ValueError(f"{op}: hidden must have states of shape {shape}; got {x.shape}")
        return x

    def _get_name(self) -> str:
        return "QuantizedLSTM"

    @classmethod
    def from_float(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise an error: a float LSTM must be observed first."""
        raise NotImplementedError(
            "LSTM.from_float: a float LSTM must be observed. Call torch.ao.nn.quantizable.LSTM.from_float, run the "
            "result on sample inputs, and pass it to from_observed"
        )

    @classmethod
    def from_observed(cls, other: Any) -> Self:
        """Make the module from an observed one.

        Parameters
        ----------
        other : module
            torch.ao.nn.quantizable.LSTM, prepared and calibrated.

        Returns
        -------
        LSTM

        Raises
        ------
        TypeError
            `other` is something else, or was not observed.
        """
        op = "LSTM.from_observed"
        if not is_module(other) or not hasattr(other, "layers"):
            raise TypeError(
                f"{op}: other must be a torch.ao.nn.quantizable.LSTM with observers; got {_checks.kind(other)}"
            )
        names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
        check_attributes(op, other, *names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dropout: torch said it
            made = cls(*(getattr(other, name) for name in names))
        for layer, theirs in zip(made.layers, other.layers, strict=True):
            for name in ("layer_fw", "layer_bw") if made.bidirectional else ("layer_fw",):
                check_attributes(op, theirs, name)
                getattr(layer, name).cell = LSTMCell._from_observed(op, getattr(theirs, name).cell)
        return made


def _zeros(shape: tuple[int, ...], dtype: DType, scale: float, zero_point: int) -> QTensor:
    return QTensor(np.full(shape, zero_point, dtype.numpy), dtype, scale, zero_point)


def _pair(op: str, states: Any) -> tuple[Any, Any]:
    if not isinstance(states, (tuple, list)) or len(states) != 2:
        raise TypeError(f"{op}: hidden must be a tuple (h, c) of QTensors; got {_checks.kind(states)}")
    return states[0], states[1]
