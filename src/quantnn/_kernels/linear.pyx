"""
Linear: y = requantize(x W^T + bias), with an optional relu.

Computes
    acc[m, j] = sum_k (x[m, k] - zx) * (w[j, k] - zw[j])       u8 * s8, exact int32
    y[m, j]   = requantize(acc) as in simd.h

Layout: x (M, K) rows of bytes; weights in panels (panels.pxi) of one tap; y (M, N).
Exactness: torch's integers at every level.
Parallel: over panels of columns times blocks of rows.
"""
from cython.parallel cimport prange
from arrays cimport allocated
from numerics cimport cut, qn_add, qn_mul

include "rows.pxi"


def pack(w, Py_ssize_t n, Py_ssize_t k, scale, zero_point, bias, bint per_channel, /):
    """The packed weights of (N, K); bias may be None."""
    return packed(w, 1, n, 1, k, scale, zero_point, bias, per_channel)


def linear(Packed w, x, out, double sx, int32_t zx, double so, int32_t zo, bint relu, int threads, /):
    """x and out of any shapes with the elements of (M, K) and (M, N)."""
    cdef Py_ssize_t size, k = w.c, stride = k, rows, blocks, tasks, r
    cdef const uint8_t *base = <const uint8_t *>qn_read(x, 1, 0, NULL)
    cdef uint8_t *y = <uint8_t *>qn_write(out, 1, 0, &size)
    cdef uint8_t *copy = NULL
    cdef int t
    if size == 0:
        return
    rows = size // w.n
    cdef Columns c = w.columns(sx, zx, so)
    cdef qn_panel p
    p.zo = zo
    p.lo = zo if relu else 0
    p.x_offset = 0
    blocks = row_blocks(w, rows, threads)
    size = row_bytes(w, rows)
    p.taps = 1
    p.k4 = size // 4
    if size != k:
        # whole groups of bytes are read: give every row its missing ones
        stride = size
        copy = <uint8_t *>allocated("linear", rows * stride)
        with nogil:
            for r in range(rows):
                memcpy(copy + r * stride, base + r * k, k)
                memset(copy + r * stride + k, 0, stride - k)
        base = copy
    p.narrow = QN_NARROW and qn_is_narrow(base, rows * size)
    tasks = blocks * w.panels
    if threads == 1:
        with nogil:
            row_tasks(w, c, p, base, stride, rows, blocks, 0, tasks, y, w.n)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            row_tasks(w, c, p, base, stride, rows, blocks, cut(tasks, t, threads, 1), cut(tasks, t + 1, threads, 1),
                      y, w.n)
    free(copy)
