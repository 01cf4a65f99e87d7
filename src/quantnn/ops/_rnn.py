"""Recurrent layers and cells: torch.quantized_lstm, torch.quantized_gru, torch.ops.quantized's cells.

The rows of a time step lie together and the steps one behind the other, as in torch's packed sequences: a padded batch
without lengths is the case in which every step has all rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout
from .._dispatch import kernels
from ..tensor import choose_qparams, qint8, quantize_per_tensor
from ._dynamic import PackedLinearFp16, threads_for
from ._linear import PackedLinear

#: Gates of a cell, by its kind: the number by which rnn.pyx knows it.
LSTM, GRU, TANH, RELU = range(4)
_GATES = (4, 3, 1, 1)

# gates of the input that are computed together: so many stay in the second-level cache
_ROOM = 1 << 16

Packed = PackedLinear | PackedLinearFp16


class CellParams:
    """The packed weights of one direction of a recurrent layer: what `make_quantized_cell_params_dynamic` makes.

    Attributes
    ----------
    w_ih, w_hh : PackedLinear or PackedLinearFp16
        Of the input and of the hidden state, each with its bias.
    reduce_range : bool
        Whether activations are quantized to seven bits.
    """

    __slots__ = ("reduce_range", "w_hh", "w_ih")

    def __init__(self, w_ih: Packed, w_hh: Packed, reduce_range: bool) -> None:
        for w in (w_ih, w_hh):
            if isinstance(w, PackedLinear):
                w.ready()
        self.w_ih, self.w_hh, self.reduce_range = w_ih, w_hh, reduce_range

    def __reduce__(self) -> tuple[Any, ...]:
        return CellParams, (self.w_ih, self.w_hh, self.reduce_range)


def make_quantized_cell_params_dynamic(
    w_ih: PackedLinear, w_hh: PackedLinear, bias_ih: Any = None, bias_hh: Any = None, reduce_range: bool = False
) -> CellParams:
    """The parameters of one direction of a layer, for `quantized_lstm` and `quantized_gru`.

    Parameters
    ----------
    w_ih, w_hh : PackedLinear
        From `linear_prepack`: (G * H, I) and (G * H, H), with their biases.
    bias_ih, bias_hh
        Ignored, as in torch: the biases are those that were packed.
    reduce_range : bool
        Quantize activations to seven bits instead of eight.

    Returns
    -------
    CellParams

    Raises
    ------
    TypeError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.make_quantized_cell_params_dynamic``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((4, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed = quantnn.ops.linear_prepack(w, np.zeros(4, np.float32))
    >>> quantnn.ops.make_quantized_cell_params_dynamic(packed, packed, None, None, True).reduce_range
    True
    """
    op = "make_quantized_cell_params_dynamic"
    for name, w in (("w_ih", w_ih), ("w_hh", w_hh)):
        if type(w) is not PackedLinear:
            raise TypeError(f"{op}: {name} must be what linear_prepack returns; got {_checks.kind(w)}")
    return CellParams(w_ih, w_hh, _checks.flag(op, "reduce_range", reduce_range))


def make_quantized_cell_params(w_ih: np.ndarray, w_hh: np.ndarray, b_ih: np.ndarray, b_hh: np.ndarray) -> CellParams:
    """`make_quantized_cell_params_dynamic` of float weights, which are quantized by their range.

    Parameters
    ----------
    w_ih, w_hh : numpy.ndarray
        float32, shapes (G * H, I) and (G * H, H); finite.
    b_ih, b_hh : numpy.ndarray
        float32, shape (G * H,).

    Returns
    -------
    CellParams

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.make_quantized_cell_params``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w, b = np.float32([[1], [2], [3], [4]]), np.zeros(4, np.float32)
    >>> params = quantnn.ops.make_quantized_cell_params(w, w, b, b)
    """
    op = "make_quantized_cell_params"

    def packed(name: str, w: Any, b: Any) -> PackedLinear:
        w = _checks.float_array(op, f"w_{name}", w)
        if w.ndim != 2 or not w.size:
            raise ValueError(f"{op}: w_{name} must have two dimensions and elements; got shape {w.shape}")
        q = quantize_per_tensor(w, *choose_qparams(w.min(), w.max(), -128, 127, False, op), qint8)
        return PackedLinear(q, _checks.float_array(op, f"b_{name}", b, (w.shape[0],)))

    return CellParams(packed("ih", w_ih, b_ih), packed("hh", w_hh, b_hh), False)


def make_quantized_cell_params_fp16(w_ih: PackedLinearFp16, w_hh: PackedLinearFp16) -> CellParams:
    """`make_quantized_cell_params_dynamic` of float16 weights.

    ``torch.ops.quantized.make_quantized_cell_params_fp16``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> packed = quantnn.ops.linear_prepack_fp16(np.ones((4, 1), np.float32), np.zeros(4, np.float32))
    >>> params = quantnn.ops.make_quantized_cell_params_fp16(packed, packed)
    """
    op = "make_quantized_cell_params_fp16"
    for name, w in (("w_ih", w_ih), ("w_hh", w_hh)):
        if type(w) is not PackedLinearFp16:
            raise TypeError(f"{op}: {name} must be what linear_prepack_fp16 returns; got {_checks.kind(w)}")
    return CellParams(w_ih, w_hh, False)


class Steps(NamedTuple):
    """The time steps of a batch."""

    sizes: np.ndarray  # int64: rows of each step, never growing
    batch: int  # rows of the first


@functools.lru_cache(maxsize=64)
def even_steps(length: int, batch: int) -> Steps:
    """Steps that all have all rows."""
    return Steps(np.full(length, batch, np.int64), batch)


def _layer(
    op: str, kind: int, params: CellParams, x: np.ndarray, steps: Steps, h: np.ndarray, c: np.ndarray, out: np.ndarray,
    first: int, reverse: bool,
) -> None:  # fmt: skip
    """One direction of a layer: h and c become the last ones, `out` gets every h from column `first` on."""
    w_ih, w_hh = params.w_ih, params.w_hh
    rows, hidden = x.shape[0], h.shape[1]
    gates = _GATES[kind] * hidden
    for name, w, size in (("input", w_ih, x.shape[1]), ("hidden", w_hh, hidden)):
        if (w.out_features, w.in_features) != (gates, size):
            raise ValueError(
                f"{op}: the {name} weights must have shape {(gates, size)}, of hidden size {hidden}; "
                f"got {(w.out_features, w.in_features)}"
            )
    room = min(rows, max(steps.batch, 32, _ROOM // max(gates, 1)))
    ih = _layout.empty((room, gates), np.float32)
    halves = type(w_ih) is PackedLinearFp16
    finite = kernels.rnn.layer(
        kind, w_ih._kernel, w_hh._kernel, halves, x, steps.sizes, ih, h, c, out, first, reverse, params.reduce_range,
        threads_for(room * gates * x.shape[1], w_ih), threads_for(steps.batch * gates * hidden, w_hh),
    )  # fmt: skip
    if not finite:
        raise ValueError(f"{op}: input and hidden state must hold finite numbers only; got some that are not")


def run_steps(
    op: str, kind: int, params: Sequence[CellParams], directions: int, x: np.ndarray, steps: Steps,
    states: list[np.ndarray],
) -> np.ndarray:  # fmt: skip
    """All layers over the rows of all steps; the states are (layers * directions, B, H) and become the last ones."""
    h, c = states[0], states[-1]
    hidden = h.shape[2]
    for i in range(len(params) // directions):
        out = _layout.empty((x.shape[0], directions * hidden), np.float32)
        for d in range(directions):
            k = i * directions + d
            _layer(op, kind, params[k], x, steps, h[k], c[k], out, d * hidden, d == 1)
        x = out
    return x


def _run(
    op: str, kind: int, params: Any, num_layers: Any, bidirectional: Any, input: Any, hx: Sequence[Any],
    batch_first: Any, batch_sizes: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """`quantized_lstm` and `quantized_gru` under the name that errors give them; hx as a list."""
    num_layers = _checks.integer(op, "num_layers", num_layers, 1, 1 << 20)
    bidirectional = _checks.truth(op, "bidirectional", bidirectional)
    count = num_layers * (1 + bidirectional)
    if not isinstance(params, (list, tuple)) or any(type(p) is not CellParams for p in params):
        raise TypeError(
            f"{op}: params must be a list of what make_quantized_cell_params_dynamic returns; "
            f"got {_checks.kind(params)}"
        )
    if len(params) != count:
        raise ValueError(f"{op}: params must have one for each layer and direction, {count}; got {len(params)}")
    x = _checks.float_array(op, "input", input)
    rank = 3 if batch_sizes is None else 2
    if x.ndim != rank:
        raise ValueError(f"{op}: input must have {rank} dimensions; got shape {x.shape}")
    if batch_sizes is None:
        if _checks.truth(op, "batch_first", batch_first):
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        length, batch = x.shape[:2]
        if length == 0:
            raise ValueError(f"{op}: input must have at least one time step; got shape {x.shape}")
        steps = even_steps(length, batch)
        x = x.reshape(length * batch, x.shape[2])
    else:
        steps = _packed_steps(op, batch_sizes, x.shape[0])
    states = []
    for i, h in enumerate(hx):
        name = f"hx[{i}]" if len(hx) > 1 else "hx"
        h = _checks.float_array(op, name, h)
        if h.ndim != 3 or h.shape[:2] != (count, steps.batch):
            raise ValueError(f"{op}: {name} must have shape {(count, steps.batch, 'H')}; got {h.shape}")
        if h.shape != np.shape(hx[0]):
            raise ValueError(f"{op}: hx must hold arrays of one shape; got {h.shape} and {np.shape(hx[0])}")
        states.append(h.copy())
    y = run_steps(op, kind, params, 1 + bidirectional, x, steps, states)
    if batch_sizes is None:
        y = y.reshape(length, batch, y.shape[1])
        y = y.swapaxes(0, 1) if batch_first else y
    return (y, *states)


def _packed_steps(op: str, batch_sizes: Any, rows: int) -> Steps:
    sizes = _checks.array(op, "batch_sizes", batch_sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu":
        raise TypeError(f"{op}: batch_sizes must be a vector of integers; got {_checks.kind(sizes)}")
    sizes = sizes.astype(np.int64)
    inside = sizes.size and sizes.min() >= 1 and sizes.max() <= rows
    if not inside or (sizes[1:] > sizes[:-1]).any() or sizes.sum() != rows:
        raise ValueError(
            f"{op}: batch_sizes must be positive, never growing and sum up to the {rows} rows of the input; got {sizes}"
        )
    return Steps(sizes, int(sizes[0]))


def quantized_lstm(
    input: np.ndarray,
    hx: Sequence[np.ndarray],
    params: Sequence[CellParams],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
    *,
    dtype: Any = None,
    use_dynamic: bool = False,
    batch_sizes: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LSTM layers.

    Parameters
    ----------
    input : numpy.ndarray
        float32, shape (T, B, I), or (B, T, I) if `batch_first`; with `batch_sizes`: the data of a packed sequence,
        (rows, I).
    hx : sequence of two numpy.ndarray
        The initial h and c: float32, shape (layers * directions, B, H).
    params : list of CellParams
        Of each layer and direction, the layer first.
    has_biases, dropout, train, dtype, use_dynamic
        Ignored: the parameters know their dtype and biases, and there is no training.
    num_layers : int
        At least 1.
    bidirectional, batch_first : bool
    batch_sizes : array of int, optional
        How many rows each step of a packed sequence has.

    Returns
    -------
    output : numpy.ndarray
        float32, as `input` with directions * H at the end.
    h, c : numpy.ndarray
        The last states, as `hx`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.quantized_lstm``; its overload for packed sequences takes `batch_sizes` as its second argument. The products
    are those of `linear_dynamic`, the input's of a layer once for all steps; ``i, f, o = sigmoid(ih + hh)``,
    ``g = tanh(ih + hh)``, ``c = f * c + i * g``, ``h = o * tanh(c)``. sigmoid and tanh are within 1.2e-7 of the exact
    values, not torch's bits.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((4, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed = quantnn.ops.linear_prepack(w, np.zeros(4, np.float32))
    >>> params = [quantnn.ops.make_quantized_cell_params_dynamic(packed, packed)]
    >>> zeros = np.zeros((1, 1, 1), np.float32)
    >>> y, h, c = quantnn.ops.quantized_lstm(zeros, (zeros, zeros), params, True, 1, 0.0, False, False, False)
    >>> y
    array([[[0.]]], dtype=float32)
    """
    if not isinstance(hx, (tuple, list)):
        raise TypeError(f"quantized_lstm: hx must be a tuple of two arrays; got {_checks.kind(hx)}")
    if len(hx) != 2:
        raise ValueError(f"quantized_lstm: hx must hold two arrays; got {len(hx)}")
    y, h, c = _run(
        "quantized_lstm", LSTM, params, num_layers, bidirectional, input, hx, batch_first, batch_sizes
    )  # fmt: skip
    return y, h, c


def quantized_gru(
    input: np.ndarray,
    hx: np.ndarray,
    params: Sequence[CellParams],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
    *,
    batch_sizes: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """GRU layers.

    Parameters
    ----------
    input, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, batch_sizes
        As in `quantized_lstm`; weights have three gates.
    hx : numpy.ndarray
        The initial h: float32, shape (layers * directions, B, H).

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

    Notes
    -----
    ``torch.quantized_gru``. ``r, z = sigmoid(ih + hh)``, ``n = tanh(ih + r * hh)``, ``h = (h - n) * z + n``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((3, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed = quantnn.ops.linear_prepack(w, np.zeros(3, np.float32))
    >>> params = [quantnn.ops.make_quantized_cell_params_dynamic(packed, packed)]
    >>> zeros = np.zeros((1, 1, 1), np.float32)
    >>> y, h = quantnn.ops.quantized_gru(zeros, zeros, params, True, 1, 0.0, False, False, False)
    >>> y
    array([[[0.]]], dtype=float32)
    """
    run = "quantized_gru", GRU, params, num_layers, bidirectional
    y, h = _run(*run, input, [hx], batch_first, batch_sizes)
    return y, h


def run_cell(op: str, kind: int, input: Any, hx: Sequence[Any], w_ih: Any, w_hh: Any) -> list[np.ndarray]:
    """A cell under the name that errors give it: the new states."""
    for name, w in (("w_ih", w_ih), ("w_hh", w_hh)):
        if type(w) not in (PackedLinear, PackedLinearFp16):
            raise TypeError(f"{op}: {name} must be what linear_prepack returns; got {_checks.kind(w)}")
    if type(w_ih) is not type(w_hh):
        raise TypeError(f"{op}: w_ih and w_hh must be of one dtype; got {_checks.kind(w_ih)} and {_checks.kind(w_hh)}")
    x = _checks.float_array(op, "input", input)
    if x.ndim != 2:
        raise ValueError(f"{op}: input must have 2 dimensions (B, I); got shape {x.shape}")
    shape = x.shape[0], w_hh.in_features
    states = [_checks.float_array(op, f"hx[{i}]" if len(hx) > 1 else "hx", h, shape).copy() for i, h in enumerate(hx)]
    steps = even_steps(1, shape[0])
    out = _layout.empty(shape, np.float32)
    _layer(op, kind, CellParams(w_ih, w_hh, True), x, steps, states[0], states[-1], out, 0, False)
    return states


def quantized_lstm_cell_dynamic(
    input: np.ndarray, hx: Sequence[np.ndarray], w_ih: Packed, w_hh: Packed, bias_ih: Any = None, bias_hh: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """One step of an LSTM.

    Parameters
    ----------
    input : numpy.ndarray
        float32, shape (B, I).
    hx : sequence of two numpy.ndarray
        h and c: float32, shape (B, H).
    w_ih, w_hh : PackedLinear or PackedLinearFp16
        (4 * H, I) and (4 * H, H) with their biases, the gates in the order i, f, g, o.
    bias_ih, bias_hh
        Ignored, as in torch: the biases are those that were packed.

    Returns
    -------
    h, c : numpy.ndarray
        float32, shape (B, H).

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.quantized_lstm_cell_dynamic``, as `quantized_lstm`; activations are quantized to seven bits.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((4, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed, zeros = quantnn.ops.linear_prepack(w, np.zeros(4, np.float32)), np.zeros((1, 1), np.float32)
    >>> quantnn.ops.quantized_lstm_cell_dynamic(zeros, (zeros, zeros), packed, packed)
    (array([[0.]], dtype=float32), array([[0.]], dtype=float32))
    """
    op = "quantized_lstm_cell_dynamic"
    if not isinstance(hx, (tuple, list)):
        raise TypeError(f"{op}: hx must be a tuple of two arrays; got {_checks.kind(hx)}")
    if len(hx) != 2:
        raise ValueError(f"{op}: hx must hold two arrays; got {len(hx)}")
    h, c = run_cell(op, LSTM, input, hx, w_ih, w_hh)
    return h, c


def quantized_gru_cell_dynamic(
    input: np.ndarray, hx: np.ndarray, w_ih: Packed, w_hh: Packed, b_ih: Any = None, b_hh: Any = None
) -> np.ndarray:
    """One step of a GRU.

    Parameters
    ----------
    input : numpy.ndarray
        float32, shape (B, I).
    hx : numpy.ndarray
        float32, shape (B, H).
    w_ih, w_hh : PackedLinear or PackedLinearFp16
        (3 * H, I) and (3 * H, H) with their biases, the gates in the order r, z, n.
    b_ih, b_hh
        Ignored, as in torch: the biases are those that were packed.

    Returns
    -------
    numpy.ndarray
        float32, shape (B, H).

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.

    Notes
    -----
    ``torch.ops.quantized.quantized_gru_cell_dynamic``, as `quantized_gru`; activations are quantized to seven bits.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((3, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed, zeros = quantnn.ops.linear_prepack(w, np.zeros(3, np.float32)), np.zeros((1, 1), np.float32)
    >>> quantnn.ops.quantized_gru_cell_dynamic(zeros, zeros, packed, packed)
    array([[0.]], dtype=float32)
    """
    return run_cell("quantized_gru_cell_dynamic", GRU, input, [hx], w_ih, w_hh)[0]


def quantized_rnn_tanh_cell_dynamic(
    input: np.ndarray, hx: np.ndarray, w_ih: Packed, w_hh: Packed, b_ih: Any = None, b_hh: Any = None
) -> np.ndarray:
    """One step of an Elman network, ``h = tanh(ih + hh)``.

    As `quantized_gru_cell_dynamic` with weights (H, I) and (H, H).
    ``torch.ops.quantized.quantized_rnn_tanh_cell_dynamic``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed, zeros = quantnn.ops.linear_prepack(w, np.zeros(1, np.float32)), np.zeros((1, 1), np.float32)
    >>> quantnn.ops.quantized_rnn_tanh_cell_dynamic(zeros, zeros, packed, packed)
    array([[0.]], dtype=float32)
    """
    return run_cell("quantized_rnn_tanh_cell_dynamic", TANH, input, [hx], w_ih, w_hh)[0]


def quantized_rnn_relu_cell_dynamic(
    input: np.ndarray, hx: np.ndarray, w_ih: Packed, w_hh: Packed, b_ih: Any = None, b_hh: Any = None
) -> np.ndarray:
    """One step of an Elman network, ``h = max(ih + hh, 0)``.

    As `quantized_gru_cell_dynamic` with weights (H, I) and (H, H).
    ``torch.ops.quantized.quantized_rnn_relu_cell_dynamic``.

    Examples
    --------
    >>> import numpy as np, quantnn
    >>> w = quantnn.quantize_per_tensor(np.ones((1, 1), np.float32), 0.5, 0, quantnn.qint8)
    >>> packed, zeros = quantnn.ops.linear_prepack(w, np.zeros(1, np.float32)), np.zeros((1, 1), np.float32)
    >>> quantnn.ops.quantized_rnn_relu_cell_dynamic(zeros, zeros, packed, packed)
    array([[0.]], dtype=float32)
    """
    return run_cell("quantized_rnn_relu_cell_dynamic", RELU, input, [hx], w_ih, w_hh)[0]
