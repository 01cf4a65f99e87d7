"""
Linear: y = requantize(x W^T + bias), with an optional relu.

Computes
    acc[m, j] = sum_k (x[m, k] - zx) * (w[j, k] - zw[j])       u8 * s8, exact int32
    y[m, j]   = requantize(acc) as in simd.h

Layout: x (M, K) rows of bytes with any distance between rows; weights in panels (panels.pxi) of one tap; y (M, N).
Exactness: torch's integers at every level.
Parallel: over panels of columns times blocks of rows.
"""
from cython.parallel cimport prange
from libc.stdlib cimport malloc
from numerics cimport cut, qn_add, qn_mul

include "rows.pxi"


def linear(Packed w, const uint8_t[:, ::1] x, uint8_t[:, ::1] out, double sx, int32_t zx, double so, int32_t zo,
           bint relu, int threads):
    cdef Py_ssize_t rows = x.shape[0], k = w.c, stride = x.strides[0], size, blocks, tasks, r
    cdef const uint8_t *base = NULL
    cdef uint8_t *copy = NULL
    cdef int t
    if rows == 0 or w.n == 0:
        return
    cdef Columns c = w.columns(sx, zx, so)
    cdef qn_panel p
    p.zo = zo
    p.lo = zo if relu else 0
    p.x_offset = 0
    if k > 0:
        base = &x[0, 0]
    blocks = row_blocks(w, rows, threads)
    size = row_bytes(w, rows)
    p.taps = 1
    p.k4 = size // 4
    if size != k or stride < 0:
        # whole groups of bytes are read: give every row its missing ones
        stride = size
        copy = <uint8_t *>malloc(max(rows * stride, 1))
        if copy == NULL:
            raise MemoryError(f"linear: cannot allocate {rows * stride} bytes")
        with nogil:
            for r in range(rows):
                if k > 0:
                    memcpy(copy + r * stride, &x[r, 0], k)
                memset(copy + r * stride + k, 0, stride - k)
        base = copy
    p.narrow = QN_NARROW and stride == size and qn_is_narrow(base, rows * size)
    tasks = blocks * w.panels
    if threads == 1:
        with nogil:
            row_tasks(w, c, p, base, stride, rows, blocks, 0, tasks, &out[0, 0], out.strides[0])
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            row_tasks(w, c, p, base, stride, rows, blocks, cut(tasks, t, threads, 1), cut(tasks, t + 1, threads, 1),
                      &out[0, 0], out.strides[0])
    free(copy)
