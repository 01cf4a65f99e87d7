"""
The float middle of quantized attention, for each head of each sequence.

Computes, from floats x, y, z of queries, keys and values,
    s_ij = (the chain fma(x_ic, y_jc, .) over c, from 0) + mask_ij + padding_j
    w_ij = exp(s_ij - max_j s) / sum_j of these                              float64, rounded once
    o_ic = the chain fma(w_ij, z_jc, .) over j, from 0
    Where a chain has more than 384 links it is cut into the fewest equal parts; the sums of the parts, in order.

Layout: x (L, heads, D), y and z (S, heads, D), where `heads` counts those of all sequences; mask (1 or heads, L, S) and
padding (sequences, S) or empty; w (heads, L, S); o (L, heads, D). y and z of a head become panels as in matmul.pyx.
Exactness: the same bits at every level. torch's float32 sums and exponentials may differ in the last bits.
Parallel: over heads.
"""
from cython.parallel cimport prange
from libc.string cimport memset
from numerics cimport aligned, cut, qn_softmax

cdef extern from "simd.h" nogil:
    enum:
        TALL "QN_MATMUL_ROWS"
        WIDE "QN_MATMUL_COLUMNS"
    void qn_matmul(const float *a, Py_ssize_t step, const float *b, Py_ssize_t n, float *total, int more,
                   int rows) noexcept

cdef enum:
    CHAIN = 384
    TILE = 8 * 32     # the largest tile of all levels


cdef inline Py_ssize_t _room(Py_ssize_t columns, Py_ssize_t n) noexcept nogil:
    # the floats of the panels of n rows
    return (columns + WIDE - 1) // WIDE * WIDE * n


def scratch(Py_ssize_t s, Py_ssize_t d):
    """The floats that each thread needs for S positions of D channels."""
    return 2 * s + _room(s, d) + _room(d, s) + 16


def attention(const float[:, :, ::1] x, const float[:, :, ::1] y, const float[:, :, ::1] z,
              const float[:, :, ::1] mask, const float[:, ::1] padding, float[:, :, ::1] w, float[:, :, ::1] out,
              float[:, ::1] scratch, int threads):
    cdef Py_ssize_t heads = x.shape[1]
    cdef int t
    if threads == 1:
        with nogil:
            _heads(x, y, z, mask, padding, w, out, &scratch[0, 0], 0, heads)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _heads(x, y, z, mask, padding, w, out, &scratch[t, 0], cut(heads, t, threads, 1),
                   cut(heads, t + 1, threads, 1))


cdef void _heads(const float[:, :, ::1] x, const float[:, :, ::1] y, const float[:, :, ::1] z,
                 const float[:, :, ::1] mask, const float[:, ::1] padding, float[:, :, ::1] w, float[:, :, ::1] out,
                 float *scratch, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t size = x.shape[0], s = y.shape[0], d = x.shape[2], all = x.shape[1] * d, h, i, j, c, per = 0
    cdef float *panels_z = aligned(scratch)
    cdef float *panels_y = panels_z + _room(d, s)
    cdef double *powers = <double *>(panels_y + _room(s, d))
    cdef float *row
    cdef const float *more
    cdef const float *from_y
    cdef int rows
    memset(panels_z, 0, (_room(d, s) + _room(s, d)) * sizeof(float))
    if padding.shape[0]:
        per = x.shape[1] // padding.shape[0]
    for h in range(start, stop):
        for j in range(s):
            from_y = &y[j, h, 0]
            row = panels_y + j // WIDE * WIDE * d + j % WIDE
            for c in range(d):
                row[c * WIDE] = from_y[c]
            for c in range(d):
                panels_z[c // WIDE * WIDE * s + j * WIDE + c % WIDE] = z[j, h, c]
        i = 0
        while i < size:
            rows = <int>min(size - i, <Py_ssize_t>TALL)
            _product(&x[i, h, 0], all, d, panels_y, s, rows, &w[h, i, 0], s)
            for j in range(i, i + rows):
                row = &w[h, j, 0]
                if mask.shape[0]:
                    more = &mask[h if mask.shape[0] > 1 else 0, j, 0]
                    for c in range(s):
                        row[c] = row[c] + more[c]
                if padding.shape[0]:
                    more = &padding[h // per, 0]
                    for c in range(s):
                        row[c] = row[c] + more[c]
                qn_softmax(row, powers, s)
            _product(&w[h, i, 0], s, s, panels_z, d, rows, &out[i, h, 0], all)
            i += rows


cdef void _product(const float *a, Py_ssize_t step, Py_ssize_t n, const float *panels, Py_ssize_t columns, int rows,
                   float *out, Py_ssize_t out_step) noexcept nogil:
    # out (rows, columns) = a (rows, n) times the panels' matrix
    cdef Py_ssize_t size, k, first = 0, width, c
    cdef int r
    cdef float[TILE] total
    size = (n + CHAIN - 1) // CHAIN
    size = (n + size - 1) // size
    while first < columns:
        k = 0
        while k < n:
            qn_matmul(a + k, step, panels + first * n + k * WIDE, min(size, n - k), total, k > 0,
                      rows)
            k += size
        width = min(columns - first, <Py_ssize_t>WIDE)
        for r in range(rows):
            for c in range(width):
                out[r * out_step + first + c] = total[r * WIDE + c]
        first += WIDE
