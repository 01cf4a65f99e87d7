"""matmul."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _layout, _threads
from .._dispatch import kernels, planned
from .._form import Form, laid
from ..tensor import QTensor, formed, qint8, quint8

_DTYPES = (quint8, qint8)
_GRAIN = 1 << 18  # products


def matmul(qa: QTensor, qb: QTensor, scale: Any, zero_point: Any) -> QTensor:
    """Multiply matrices, or stacks of them.

    Parameters
    ----------
    qa : QTensor
        Shape (*, M, K) or (K,); quint8 or qint8, quantized per tensor.
    qb : QTensor
        Of the same dtype, shape (*, K, N) or (K,). The other dimensions broadcast as NumPy's do.
    scale : float
        Of the result.
    zero_point : int
        Of the result.

    Returns
    -------
    QTensor
        With the dtype of the operands, shape (*, M, N), without M or N where that operand has one dimension;
        contiguous.

    Raises
    ------
    TypeError, ValueError
        If the operands are not such tensors or the quantization parameters are out of range.

    Notes
    -----
    ``quantize(dequantize(qa) @ dequantize(qb))`` in float32, with fused multiply-adds in the order in which MKL does
    them. torch's ``torch.ops.quantized.matmul``; exact where torch multiplies with MKL on AVX2 or AVX-512 and neither
    M nor N is 1 (stacks of matrices with ``M * N * K < 400`` it multiplies otherwise), else an integer may differ by 1
    where the sum lies between two of them.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([[0, 1, 4], [2, 2, 3]], np.uint8), 0.5, 2)
    >>> b = quantnn.make_per_tensor_quantized_tensor(np.array([[3, 4], [1, 2], [2, 9]], np.uint8), 0.5, 2)
    >>> quantnn.ops.matmul(a, b, 0.25, 100).int_repr()
    array([[ 99, 110],
           [100, 107]], dtype=uint8)
    """
    op = "matmul"
    dtype = _checks.qtensor(op, "qa", qa, _DTYPES)._dtype
    if _checks.qtensor(op, "qb", qb, _DTYPES)._dtype is not dtype:
        raise TypeError(f"{op}: qb must have qa's dtype, {dtype.name}; got {qb._dtype.name}")
    scale, zero_point = _checks.qparams(op, scale, zero_point, dtype)
    p = _plan(qa._form or qa._formed(), qb._form or qb._formed())
    out = _layout.empty((p.form.size,), p.form.numpy)
    if p.threads:
        threads = _threads.at_most(p.threads)
        qparams = (qa._scale, qa._zero_point, qb._scale, qb._zero_point, scale, zero_point, dtype.qmin, dtype.qmax)
        kernels.matmul.matmul(
            qa._ints.reshape(p.a), qb._ints.reshape(p.b), out, p.which, np.empty(p.panels, np.float32),
            np.empty(threads * p.rows, np.float32), *qparams, threads,
        )  # fmt: skip
    return formed(out, p.form, scale, zero_point)


class _Plan(NamedTuple):
    a: tuple[int, int, int]  # the operands as stacks of matrices
    b: tuple[int, int, int]
    which: np.ndarray  # which matrices of a and b make each of the result's
    panels: int  # floats that the kernel needs, in all and for each thread
    rows: int
    form: Form  # of the result
    threads: int  # at most; 0 without elements


@planned
def _plan(a: Form, b: Form) -> _Plan:
    shape_a, shape_b = a.shape, b.shape
    if not shape_a or not shape_b:
        raise ValueError(f"matmul: qa and qb must have at least one dimension; got shapes {shape_a} and {shape_b}")
    flat_a, flat_b = len(shape_a) == 1, len(shape_b) == 1
    *lead_a, m, k = (1, *shape_a) if flat_a else shape_a
    *lead_b, k_b, n = (*shape_b, 1) if flat_b else shape_b
    try:
        lead = np.broadcast_shapes(tuple(lead_a), tuple(lead_b))
    except ValueError:
        lead = None
    if k != k_b or lead is None:
        raise ValueError(
            f"matmul: qa and qb must have shapes (*, M, K) and (*, K, N) that fit; got {shape_a} and {shape_b}"
        )
    stacks = [math.prod(x) for x in (lead_a, lead_b, lead)]
    _checks.fits_memory("matmul", (*lead, m, n))
    which = np.empty((2, stacks[2]), np.intp)
    for i, own in enumerate((lead_a, lead_b)):
        which[i] = np.broadcast_to(np.arange(stacks[i], dtype=np.intp).reshape(own), lead).reshape(-1)
    shape = (*lead, *(() if flat_a else (m,)), *(() if flat_b else (n,)))
    columns, size = kernels.matmul.COLUMNS, stacks[2] * m * n
    return _Plan(
        (stacks[0], m, k),
        (stacks[1], k, n),
        which,
        max(1, stacks[1] * -(-n // columns) * columns * k),
        max(1, kernels.matmul.ROWS * k),
        laid(a.dtype, shape),
        max(1, size * k // _GRAIN) if size else 0,
    )
