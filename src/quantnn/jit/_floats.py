"""Float operators of programs, with NumPy: what stands between quantized layers, not what a network is made of.

Results are within a few units in the last place of torch's: float32 in and out, sums and norms in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_F32 = np.float32


def sigmoid(x: np.ndarray) -> Any:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(x.dtype)


def tanh(x: np.ndarray) -> Any:
    return np.tanh(x.astype(np.float64)).astype(x.dtype)


def erf(x: np.ndarray) -> Any:
    return np.array([math.erf(v) for v in x.ravel().tolist()], x.dtype).reshape(x.shape)


def gelu(x: np.ndarray, approximate: str = "none") -> Any:
    wide = x.astype(np.float64)
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
        return (0.5 * wide * (1 + np.tanh(inner))).astype(x.dtype)
    return (0.5 * wide * (1 + erf(wide / math.sqrt(2)))).astype(x.dtype)


def silu(x: np.ndarray) -> Any:
    wide = x.astype(np.float64)
    return (wide / (1 + np.exp(-wide))).astype(x.dtype)


def softplus(x: np.ndarray, beta: float = 1, threshold: float = 20) -> Any:
    wide = x.astype(np.float64) * beta
    return np.where(wide > threshold, x, np.log1p(np.exp(np.minimum(wide, threshold))) / beta).astype(x.dtype)


def mish(x: np.ndarray) -> Any:
    wide = x.astype(np.float64)
    return (wide * np.tanh(np.logaddexp(wide, 0))).astype(x.dtype)


def elu(x: np.ndarray, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    wide = x.astype(np.float64)
    return np.where(x > 0, wide * scale, np.expm1(np.minimum(wide, 0) * input_scale) * (alpha * scale)).astype(x.dtype)


def leaky_relu(x: np.ndarray, negative_slope: float = 0.01) -> Any:
    return np.where(x > 0, x, x * _F32(negative_slope))


def hardsigmoid(x: np.ndarray) -> Any:
    return np.clip(x + _F32(3), 0, 6) / _F32(6)


def hardswish(x: np.ndarray) -> Any:
    return x * np.clip(x + _F32(3), 0, 6) / _F32(6)


def softmax(x: np.ndarray, dim: int) -> Any:
    e = np.exp((x - x.max(dim, keepdims=True)).astype(np.float64))
    return (e / e.sum(dim, keepdims=True)).astype(x.dtype)


def log_softmax(x: np.ndarray, dim: int) -> Any:
    shifted = (x - x.max(dim, keepdims=True)).astype(np.float64)
    return (shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))).astype(x.dtype)


# Normalisation


def _normalized(x: np.ndarray, axes: tuple[int, ...], eps: float) -> Any:
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)


def layer_norm(x: np.ndarray, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    n = len(normalized_shape)
    if tuple(x.shape[x.ndim - n :]) != tuple(normalized_shape):
        raise ValueError(f"layer_norm: input must have shape [*, {normalized_shape}]; got {x.shape}")
    y = _normalized(x, tuple(range(x.ndim - n, x.ndim)), eps)
    return _affine(y, weight, bias).astype(x.dtype)


def group_norm(x: np.ndarray, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    y = _normalized(x.reshape(x.shape[0], num_groups, -1), (2,), eps).reshape(x.shape)
    return _affine(y, *(_by_channel(v, x.ndim) for v in (weight, bias))).astype(x.dtype)


def batch_norm(x: np.ndarray, weight: Any, bias: Any, mean: np.ndarray, var: np.ndarray, eps: float) -> Any:
    scale = 1 / np.sqrt(var.astype(np.float64) + eps)
    y = (x - _by_channel(mean, x.ndim)) * _by_channel(scale, x.ndim)
    return _affine(y, *(_by_channel(v, x.ndim) for v in (weight, bias))).astype(x.dtype)


def _affine(y: np.ndarray, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _by_channel(v: Any, ndim: int) -> Any:
    return None if v is None else v.reshape(-1, *[1] * (ndim - 2))


# Linear algebra


def linear(x: np.ndarray, weight: np.ndarray, bias: Any = None) -> Any:
    y = x @ weight.T
    return y if bias is None else y + bias


def conv(
    x: np.ndarray, weight: np.ndarray, bias: Any, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], groups: int,
) -> Any:  # fmt: skip
    n = weight.ndim - 2
    stride, padding, dilation = (tuple(v) * (n if len(v) == 1 else 1) for v in (stride, padding, dilation))
    if (
        x.ndim != n + 2
        or x.shape[1] != weight.shape[1] * groups
        or not len(stride) == len(padding) == len(dilation) == n
    ):
        raise ValueError(f"conv{n}d: input must have {n + 2} dimensions and the weight's channels; got {x.shape}")
    windows = _windows(x, weight.shape[2:], stride, [(p, p) for p in padding], dilation, 0)
    k, c = weight.shape[0] // groups, weight.shape[1]
    axes = ([1, *range(2 + n, 2 + 2 * n)], [1, *range(2, 2 + n)])
    parts = [np.tensordot(windows[:, g * c : (g + 1) * c], weight[g * k : (g + 1) * k], axes) for g in range(groups)]
    y = np.moveaxis(np.concatenate(parts, -1), -1, 1)
    return y if bias is None else y + _by_channel(bias, y.ndim)


def conv_transpose(
    x: np.ndarray, weight: np.ndarray, bias: Any, stride: Sequence[int], padding: Sequence[int],
    output_padding: Sequence[int], groups: int, dilation: Sequence[int],
) -> Any:  # fmt: skip
    n = weight.ndim - 2
    stride, padding, output_padding, dilation = (
        tuple(v) * (n if len(v) == 1 else 1) for v in (stride, padding, output_padding, dilation)
    )
    c, outputs, *kernel = weight.shape
    size = [(length - 1) * s + 1 for length, s in zip(x.shape[2:], stride, strict=True)]
    spread = np.zeros((*x.shape[:2], *size), x.dtype)
    every: tuple[Any, ...] = (..., *(slice(None, None, s) for s in stride))
    spread[every] = x
    around = [
        ((k - 1) * d - p, (k - 1) * d - p + o)
        for k, d, p, o in zip(kernel, dilation, padding, output_padding, strict=True)
    ]
    spread = np.pad(spread, [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in around)])
    inner: tuple[Any, ...] = (..., *(slice(max(-a, 0), min(b, 0) or None) for a, b in around))
    spread = spread[inner]
    turned = np.flip(weight, tuple(range(2, n + 2))).reshape(groups, c // groups, outputs, *kernel).swapaxes(1, 2)
    return conv(spread, turned.reshape(groups * outputs, c // groups, *kernel), bias, (1,), (0,), dilation, groups)


def _windows(
    x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[tuple[int, int]],
    dilation: Sequence[int], fill: float,
) -> Any:  # fmt: skip
    """The windows of an image: (N, C, *output size, *kernel)."""
    n = len(kernel)
    padded = np.pad(x, [(0, 0)] * (x.ndim - n) + list(padding), constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(r > s for r, s in zip(reach, padded.shape[x.ndim - n :], strict=True)):
        raise ValueError(f"the kernel must not be larger than the padded input {padded.shape}; got {tuple(kernel)}")
    view = sliding_window_view(padded, reach, axis=tuple(range(x.ndim - n, x.ndim)))
    picks: tuple[Any, ...] = tuple(slice(None, None, step) for step in (*stride, *dilation))
    return view[(..., *picks)]


def _pool_padding(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    ceil_mode: bool,
) -> list[tuple[int, int]]:  # fmt: skip
    """The padding before and behind each axis; more behind it where `ceil_mode` asks for one more window."""
    found = []
    for length, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        over = length + 2 * p - d * (k - 1) - 1
        count = over // s + 1
        if ceil_mode and over % s and count * s < length + p:
            count += 1
        found.append((p, max((count - 1) * s + d * (k - 1) + 1 - length - p, 0)))
    return found


def max_pool(
    x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    ceil_mode: bool,
) -> Any:  # fmt: skip
    n = len(kernel)
    around = _pool_padding(x.shape[x.ndim - n :], kernel, stride, padding, dilation, ceil_mode)
    return _windows(x, kernel, stride, around, dilation, -np.inf).max(tuple(range(-n, 0)))


def avg_pool(
    x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], ceil_mode: bool,
    count_include_pad: bool, divisor: Any,
) -> Any:  # fmt: skip
    n = len(kernel)
    ones, axes = (1,) * n, tuple(range(-n, 0))
    size = x.shape[x.ndim - n :]
    around = _pool_padding(size, kernel, stride, padding, ones, ceil_mode)
    total = _windows(x.astype(np.float64), kernel, stride, around, ones, 0).sum(axes)
    if divisor is None:
        counted = np.ones(size)
        if count_include_pad:
            inner = [(p, min(p, behind)) for p, behind in around]
            counted = np.pad(counted, inner, constant_values=1)
            around = [(0, behind - seen) for (_, behind), (_, seen) in zip(around, inner, strict=True)]
        divisor = _windows(counted, kernel, stride, around, ones, 0).sum(axes)
    return (total / divisor).astype(x.dtype)


def adaptive_avg_pool(x: np.ndarray, output_size: Sequence[int]) -> Any:
    y = x.astype(np.float64)
    for axis, count in zip(range(x.ndim - len(output_size), x.ndim), output_size, strict=True):
        length = x.shape[axis]
        parts = [
            y.take(range(i * length // count, -(-(i + 1) * length // count)), axis).mean(axis) for i in range(count)
        ]
        y = np.stack(parts, axis)
    return y.astype(x.dtype)


def upsample_nearest(x: np.ndarray, size: Sequence[int], scales: Sequence[float]) -> Any:
    for axis, (count, scale) in enumerate(zip(size, scales, strict=True), x.ndim - len(size)):
        index = np.floor(np.arange(count, dtype=np.float32) * _F32(scale)).astype(np.int64)
        x = x.take(np.minimum(index, x.shape[axis] - 1), axis)
    return x


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: Any, causal: bool, scale: Any) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * _F32(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        mask = np.tril(np.ones(scores.shape[-2:], bool))
    if mask is not None:
        scores = np.where(mask, scores, -np.inf).astype(q.dtype) if mask.dtype == bool else scores + mask
    return softmax(scores, -1) @ v


# Recurrent layers, whose gates are float32 throughout: the nearest to torch's


def _gate(x: np.ndarray) -> Any:
    half = x.dtype.type(0.5)
    return half + half * np.tanh(x * half)


def lstm_cell(x: np.ndarray, h: np.ndarray, c: np.ndarray, weights: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    w_ih, w_hh, b_ih, b_hh = [*weights, None, None][:4]
    i, f, g, o = np.split(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh), 4, -1)
    c = _gate(f) * c + _gate(i) * np.tanh(g)
    return _gate(o) * np.tanh(c), c


def gru_cell(x: np.ndarray, h: np.ndarray, weights: Sequence[Any]) -> Any:
    w_ih, w_hh, b_ih, b_hh = [*weights, None, None][:4]
    r_x, z_x, n_x = np.split(linear(x, w_ih, b_ih), 3, -1)
    r_h, z_h, n_h = np.split(linear(h, w_hh, b_hh), 3, -1)
    z, n = _gate(z_x + z_h), np.tanh(n_x + _gate(r_x + r_h) * n_h)
    return (h - n) * z + n


def recurrent(
    cell: Any, x: np.ndarray, states: Sequence[np.ndarray], weights: Sequence[np.ndarray], has_biases: bool,
    num_layers: int, bidirectional: bool, batch_first: bool,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Layers of `cell`, which takes x, the states and the weights, and gives the new states."""
    per, directions = 4 if has_biases else 2, 2 if bidirectional else 1
    if len(weights) != per * directions * num_layers:
        raise NotImplementedError("recurrent layers with projections are not supported")
    y = x.swapaxes(0, 1) if batch_first else x
    last: list[list[np.ndarray]] = [[] for _ in states]
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            now = [s[k] for s in states]
            out = np.empty((*y.shape[:-1], now[0].shape[-1]), y.dtype)
            for t in range(len(y))[:: -1 if direction else 1]:
                now = cell(y[t], *now, weights[k * per : (k + 1) * per])
                out[t] = now[0]
            outputs.append(out)
            for states_of, state in zip(last, now, strict=True):
                states_of.append(state)
        y = np.concatenate(outputs, -1)
    return (y.swapaxes(0, 1) if batch_first else y, *(np.stack(s) for s in last))
