"""
The float middle of quantized attention, for each head of each sequence.

Computes, from floats x, y, z of queries, keys and values,
    s_ij = (the chain fma(x_ic, y_jc, .) over c, from 0) + mask_ij + padding_j
    w_ij = exp(s_ij - max_j s) / sum_j of these                              float64, rounded once
    o_ic = the chain fma(w_ij, z_jc, .) over j, from 0
    Where a chain has more than 384 links it is cut into the fewest equal parts; the sums of the parts, in order.

Layout: x (L, heads, D), y and z (S, heads, D), where `heads` counts those of all sequences; mask (1 or heads, L, S) and
padding (sequences, S) or None; w (heads, L, S); o (L, heads, D). y and z of a head become panels as in matmul.pyx.
Exactness: the same bits at every level. torch's float32 sums and exponentials may differ in the last bits.
Parallel: over heads.
"""
from cython.parallel cimport prange
from libc.string cimport memset
from arrays cimport qn_read, qn_write
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


cdef struct Sizes:
    Py_ssize_t queries    # L
    Py_ssize_t heads
    Py_ssize_t channels   # D
    Py_ssize_t keys       # S
    Py_ssize_t masks
    Py_ssize_t sequences  # of the padding


def attention(x, y, z, mask, padding, w, out, scratch, int threads, /):
    cdef Py_ssize_t[3] shape
    cdef Sizes n
    cdef Py_ssize_t room
    cdef int t
    cdef const float *queries = <const float *>qn_read(x, 4, 3, shape)
    n.queries, n.heads, n.channels = shape[0], shape[1], shape[2]
    cdef const float *keys = <const float *>qn_read(y, 4, 3, shape)
    n.keys, n.masks, n.sequences = shape[0], 0, 0
    cdef const float *values = <const float *>qn_read(z, 4, 0, NULL)
    cdef const float *masks = <const float *>qn_read(mask, 4, 3, shape)
    if masks != NULL:
        n.masks = shape[0]
    cdef const float *paddings = <const float *>qn_read(padding, 4, 2, shape)
    if paddings != NULL:
        n.sequences = shape[0]
    cdef float *weights = <float *>qn_write(w, 4, 0, NULL)
    cdef float *to = <float *>qn_write(out, 4, 0, NULL)
    cdef float *floats = <float *>qn_write(scratch, 4, 0, &room)
    room //= threads
    if threads == 1:
        with nogil:
            _heads(queries, keys, values, masks, paddings, weights, to, floats, n, 0, n.heads)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _heads(queries, keys, values, masks, paddings, weights, to, floats + t * room, n,
                   cut(n.heads, t, threads, 1), cut(n.heads, t + 1, threads, 1))


cdef void _heads(const float *x, const float *y, const float *z, const float *mask, const float *padding, float *w,
                 float *out, float *scratch, Sizes n, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t size = n.queries, s = n.keys, d = n.channels, all = n.heads * d, h, i, j, c
    cdef float *panels_z = aligned(scratch)
    cdef float *panels_y = panels_z + _room(d, s)
    cdef double *powers = <double *>(panels_y + _room(s, d))
    cdef float *row
    cdef const float *more
    cdef const float *from_y
    cdef const float *from_z
    cdef int rows
    memset(panels_z, 0, (_room(d, s) + _room(s, d)) * sizeof(float))
    for h in range(start, stop):
        for j in range(s):
            from_y = y + j * all + h * d
            from_z = z + j * all + h * d
            row = panels_y + j // WIDE * WIDE * d + j % WIDE
            for c in range(d):
                row[c * WIDE] = from_y[c]
            for c in range(d):
                panels_z[c // WIDE * WIDE * s + j * WIDE + c % WIDE] = from_z[c]
        i = 0
        while i < size:
            rows = <int>min(size - i, <Py_ssize_t>TALL)
            _product(x + i * all + h * d, all, d, panels_y, s, rows, w + (h * size + i) * s, s)
            for j in range(i, i + rows):
                row = w + (h * size + j) * s
                if n.masks:
                    more = mask + ((h if n.masks > 1 else 0) * size + j) * s
                    for c in range(s):
                        row[c] = row[c] + more[c]
                if n.sequences:
                    more = padding + h // (n.heads // n.sequences) * s
                    for c in range(s):
                        row[c] = row[c] + more[c]
                qn_softmax(row, powers, s)
            _product(w + (h * size + i) * s, s, s, panels_z, d, rows, out + i * all + h * d, all)
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
