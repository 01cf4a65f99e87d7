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

include "panels.pxi"

# Rows that go through all panels before the next rows do: their bytes stay in the second-level cache.
cdef enum:
    ROWS = 192


def linear(Packed w, const uint8_t[:, ::1] x, uint8_t[:, ::1] out, double sx, int32_t zx, double so, int32_t zo,
           bint relu, int threads):
    cdef Py_ssize_t rows = x.shape[0], k = w.c, stride = x.strides[0], size, blocks, panels, tasks, r
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
    panels = w.panels
    blocks = (rows + ROWS - 1) // ROWS
    if threads > 1 and blocks * panels < 4 * threads:
        blocks = min((rows + 23) // 24, (4 * threads + panels - 1) // panels)
    size = qn_padded(k) if rows >= QN_FEW_ROWS else (k + 3) // 4 * 4
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
    tasks = blocks * panels
    if threads == 1:
        with nogil:
            _tasks(w, c, p, base, stride, rows, blocks, 0, tasks, &out[0, 0], out.strides[0])
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _tasks(w, c, p, base, stride, rows, blocks, cut(tasks, t, threads, 1), cut(tasks, t + 1, threads, 1),
                   &out[0, 0], out.strides[0])
    free(copy)


cdef void _tasks(Packed w, Columns c, qn_panel p, const uint8_t *x, Py_ssize_t stride, Py_ssize_t rows,
                 Py_ssize_t blocks, Py_ssize_t start, Py_ssize_t stop, uint8_t *out,
                 Py_ssize_t out_stride) noexcept nogil:
    # task = block of rows * panels + panel
    cdef Py_ssize_t panels = w.panels, task, panel, block, first, nv, m0, m1, r, j, ready = -1
    cdef const uint8_t *pointers[ROWS]
    cdef int32_t sums[ROWS]
    cdef qn_work work
    qn_begin(&work)
    for task in range(start, stop):
        block = task // panels
        panel = task % panels
        first = w.first_vector(panel)
        nv = w.first_vector(panel + 1) - first
        w.panel(c, 0, first, nv, &p)
        m0 = rows * block // blocks
        m1 = rows * (block + 1) // blocks
        if block != ready:
            ready = block
            qn_flush(&work)
            for r in range(m1 - m0):
                pointers[r] = x + (m0 + r) * stride
                if p.zw != NULL:
                    sums[r] = 0
                    for j in range(w.c):
                        sums[r] += pointers[r][j]
        qn_tiles(&work, <int>nv, m1 - m0, &p, pointers, 0, stride, m1 - m0, 0, sums,
                 out + m0 * out_stride + first * QN_LANES, out_stride)
    qn_end(&work)
