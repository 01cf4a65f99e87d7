"""Reference of the operators of one tensor, and the position rule of all element-wise operators.

torch's element-wise kernels treat elements differently (rules DV and QV or rules DS and QS) by where they lie:
see `vector_positions`. Integers `q` are arrays with torch's strides; `order` gives the axes of the result from
the outermost in memory to the innermost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .rounding import (
    dequantize_ds,
    dequantize_dv,
    f32,
    f64,
    inv64,
    maximum,
    minimum,
    name_of,
    qrange,
    quantize_qs,
    quantize_qv,
)


def memory_order(a: np.ndarray) -> tuple[int, ...]:
    """The axes of an array from the outermost in memory to the innermost."""
    return tuple(sorted(range(a.ndim), key=lambda d: (-a.strides[d], d)))


def vector_positions(shape: tuple[int, ...], order: Sequence[int], operands: list[np.ndarray]) -> np.ndarray:
    """Which elements of a result go through torch's vector loop.

    The operands are broadcast to `shape`, so that repeated dimensions have stride 0. In the result's memory
    order, the innermost dimensions in which every operand moves on as if they were one make a run. If each
    operand moves by one element or, one of them only, not at all, the elements of each run but for what is left
    after groups of 64 bytes are vector elements.
    """
    itemsize = operands[0].itemsize
    run = 1
    steps: list[int] = []
    for d in reversed(order):
        if shape[d] == 1:
            continue
        here = [a.strides[d] // itemsize for a in operands]
        if run == 1:
            steps = here
        elif here != [s * run for s in steps]:
            break
        run *= shape[d]
    group = 64 // itemsize
    together = set(steps) <= {0, 1} and steps.count(0) < len(operands) and steps.count(0) < 2
    n_vector = run // group * group if together else 0
    n = int(np.prod(shape))
    mask = np.arange(n) % run < n_vector
    return mask.reshape([shape[d] for d in order]).transpose(np.argsort(order))


def by_position(
    q: np.ndarray,
    order: Sequence[int] | None,
    vector: Callable[[], np.ndarray],
    scalar: Callable[[], np.ndarray],
) -> np.ndarray:
    order = memory_order(q) if order is None else order
    return np.where(vector_positions(q.shape, order, [q]), vector(), scalar())


def relu(q: np.ndarray, scale: float, zero_point: int, dtype: Any) -> np.ndarray:
    return np.maximum(q, q.dtype.type(zero_point))


def relu6(q: np.ndarray, scale: float, zero_point: int, dtype: Any) -> np.ndarray:
    return np.minimum(relu(q, scale, zero_point, dtype), quantize_qs(6.0, scale, zero_point, dtype))


def clamp(
    q: np.ndarray, scale: float, zero_point: int, dtype: Any, least: float | None, most: float | None
) -> np.ndarray:
    lo, hi = qrange(dtype)
    low = lo if least is None else quantize_qs(least, scale, zero_point, dtype)
    high = hi if most is None else quantize_qs(most, scale, zero_point, dtype)
    return np.minimum(np.maximum(q, low), high).astype(q.dtype)


def hardswish(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    out_scale: float,
    out_zero_point: int,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    def value(x: np.ndarray) -> np.ndarray:
        return x * minimum(maximum(x + f32(3), f32(0)), f32(6)) / f32(6)

    # qint32's vector loop divides in float32
    inv = None if name_of(dtype) == "qint32" else inv64(out_scale)
    return by_position(
        q,
        order,
        lambda: quantize_qv(value(dequantize_dv(q, scale, zero_point)), out_scale, out_zero_point, dtype, inv),
        lambda: quantize_qs(value(dequantize_ds(q, scale, zero_point)), out_scale, out_zero_point, dtype),
    )


def elu(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    out_scale: float,
    out_zero_point: int,
    alpha: float = 1.0,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    def negative(x: np.ndarray) -> np.ndarray:
        return np.expm1(np.minimum(x, 0).astype(f64)).astype(f32) * f32(alpha)

    x, y = dequantize_dv(q, scale, zero_point), dequantize_ds(q, scale, zero_point)
    return by_position(
        q,
        order,
        lambda: quantize_qv(np.where(x > 0, x, negative(x)), out_scale, out_zero_point, dtype),
        lambda: quantize_qs(np.where(y >= 0, y, negative(y)), out_scale, out_zero_point, dtype),
    )


def hardtanh(q: np.ndarray, scale: float, zero_point: int, dtype: Any, least: float, most: float) -> np.ndarray:
    return clamp(q, scale, zero_point, dtype, least, most)


def celu(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    out_scale: float,
    out_zero_point: int,
    alpha: float = 1.0,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    def negative(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.expm1((x * f32(1.0 / alpha)).astype(f64)).astype(f32) * f32(alpha)

    x, y = dequantize_dv(q, scale, zero_point), dequantize_ds(q, scale, zero_point)
    return by_position(
        q,
        order,
        lambda: quantize_qv(np.where(x > 0, x, negative(x)), out_scale, out_zero_point, dtype),
        lambda: quantize_qs(np.where(y >= 0, y, negative(y)), out_scale, out_zero_point, dtype),
    )


def _simple(
    value: Callable[[np.ndarray], np.ndarray],
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    out_scale: float,
    out_zero_point: int,
    order: Sequence[int] | None,
) -> np.ndarray:
    """A function with one formula for vector elements and the others."""
    return by_position(
        q,
        order,
        lambda: quantize_qv(value(dequantize_dv(q, scale, zero_point)), out_scale, out_zero_point, dtype),
        lambda: quantize_qs(value(dequantize_ds(q, scale, zero_point)), out_scale, out_zero_point, dtype),
    )


def leaky_relu(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    slope: float,
    out_scale: float,
    out_zero_point: int,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    def value(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, x * f32(slope))

    return _simple(value, q, scale, zero_point, dtype, out_scale, out_zero_point, order)


def threshold(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    threshold: float,
    value: float,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    def replaced(x: np.ndarray) -> np.ndarray:
        return np.where(x > f32(threshold), x, f32(value))

    return _simple(replaced, q, scale, zero_point, dtype, scale, zero_point, order)


def tanh(
    q: np.ndarray, scale: float, zero_point: int, dtype: Any, order: Sequence[int] | None = None
) -> tuple[np.ndarray, float, int]:
    """Integers, and the scale and zero point that go with a dtype."""
    qparams = {"quint8": (1 / 128, 128), "qint8": (1 / 128, 0), "qint32": (2.0**-31, 0)}[name_of(dtype)]

    def value(x: np.ndarray) -> np.ndarray:
        return np.tanh(x.astype(f64)).astype(f32)

    return _simple(value, q, scale, zero_point, dtype, *qparams, order), *qparams


UNIT = {"quint8": (1 / 256, 0), "qint8": (1 / 256, -128), "qint32": (2.0**-32, 0)}


def hardsigmoid(
    q: np.ndarray, scale: float, zero_point: int, dtype: Any, order: Sequence[int] | None = None
) -> tuple[np.ndarray, float, int]:
    """Integers, and the scale and zero point that go with a dtype."""
    qparams = UNIT[name_of(dtype)]

    def value(x: np.ndarray) -> np.ndarray:
        return minimum(maximum(x + f32(3), f32(0)), f32(6)) / f32(6)

    return _simple(value, q, scale, zero_point, dtype, *qparams, order), *qparams


def sigmoid(
    q: np.ndarray,
    scale: float,
    zero_point: int,
    dtype: Any,
    out_scale: float,
    out_zero_point: int,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    def e(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(-x.astype(f64)).astype(f32)

    x = f32(scale) * (q.astype(f32) - f32(zero_point))
    y = dequantize_ds(q, scale, zero_point)
    inv = None if name_of(dtype) == "qint32" else inv64(out_scale)
    return by_position(
        q,
        order,
        lambda: quantize_qv(f32(1) / (f32(1) + e(x)), out_scale, out_zero_point, dtype, inv),
        lambda: quantize_qs((1.0 / (1.0 + e(y).astype(f64))).astype(f32), out_scale, out_zero_point, dtype),
    )
