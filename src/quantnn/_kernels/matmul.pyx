"""
Products of matrices.

Computes
    x = DS(a), y = DS(b),  t_ij = the chain fma(x_ik, y_kj, ...) over k, from 0,  q_ij = QT(t_ij)
    More than 384 k are cut into parts, whose chains are summed in order: 384 as long as more than 768 are left, then
    two halves of what is left, or that itself.

Layout: (batch, rows, k) times (batch, k, columns), in any memory order; `which` tells which matrix of a and b makes the
product number i. b becomes panels of float32, [matrix][panel][k][WIDE]; the rows of a become float32, TALL at a time, for
each thread in its own row of `rows`.
Exactness: the same bits at every level, and those of the float32 product that torch gets from MKL on a processor with
AVX2 or AVX-512, unless there is a single row or column.
Parallel: over panels, then over blocks of rows.
"""
from cython.parallel cimport prange
from numerics cimport cut, int8_t, int32_t, qn_ds, qn_qt, uint8_t

cdef extern from "simd.h" nogil:
    enum:
        TALL "QN_MATMUL_ROWS"
        WIDE "QN_MATMUL_COLUMNS"
    void qn_matmul(const float *a, Py_ssize_t step, const float *b, Py_ssize_t n, float *total, int more,
                   int rows) noexcept

cdef enum:
    CHAIN = 384
    TILE = 8 * 32     # the largest tile of all levels

ROWS = TALL
COLUMNS = WIDE

ctypedef fused byte_t:
    uint8_t
    int8_t


def matmul(const byte_t[:, :, :] a, const byte_t[:, :, :] b, byte_t[:, :, ::1] out, const Py_ssize_t[:, ::1] which,
           float[::1] panels, float[:, ::1] rows, double scale_a, int32_t za, double scale_b, int32_t zb,
           double out_scale, int32_t zo, int32_t lo, int32_t hi, int threads):
    cdef Py_ssize_t across = (b.shape[2] + WIDE - 1) // WIDE, down = (a.shape[1] + TALL - 1) // TALL
    cdef Py_ssize_t packs = b.shape[0] * across, blocks = out.shape[0] * down
    cdef float sa = <float>scale_a, sb = <float>scale_b, inv = <float>1.0 / <float>out_scale
    cdef int t
    if threads == 1:
        with nogil:
            _pack(b, &panels[0], across, 0, packs, sb, zb)
            _blocks(a, out, which, &panels[0], &rows[0, 0], down, across, 0, blocks, sa, za, inv, zo, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _pack(b, &panels[0], across, cut(packs, t, threads, 1), cut(packs, t + 1, threads, 1), sb, zb)
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _blocks(a, out, which, &panels[0], &rows[t, 0], down, across, cut(blocks, t, threads, 1),
                    cut(blocks, t + 1, threads, 1), sa, za, inv, zo, lo, hi)


cdef void _pack(const byte_t[:, :, :] b, float* panels, Py_ssize_t across, Py_ssize_t start, Py_ssize_t stop, float s,
                int32_t z) noexcept nogil:
    cdef Py_ssize_t p, k, c, matrix, first, width, n = b.shape[1]
    cdef float* to
    for p in range(start, stop):
        matrix = p // across
        first = p % across * WIDE
        width = b.shape[2] - first if b.shape[2] - first < WIDE else WIDE
        for k in range(n):
            to = panels + (p * n + k) * WIDE
            for c in range(width):
                to[c] = qn_ds(b[matrix, k, first + c], s, z)
            for c in range(width, WIDE):
                to[c] = 0.0


cdef void _blocks(const byte_t[:, :, :] a, byte_t[:, :, ::1] out, const Py_ssize_t[:, ::1] which, const float* panels,
                  float* rows, Py_ssize_t down, Py_ssize_t across, Py_ssize_t start, Py_ssize_t stop, float s, int32_t z,
                  float inv, int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t block, i, p, r, k, c, product, first, width, part, n = a.shape[2]
    cdef int height
    cdef const float* panel
    cdef float[TILE] total
    for block in range(start, stop):
        product = block // down
        first = block % down * TALL
        height = <int>(out.shape[1] - first if out.shape[1] - first < TALL else TALL)
        i = which[0, product]
        for r in range(height):
            for k in range(n):
                rows[r * n + k] = qn_ds(a[i, first + r, k], s, z)
        for p in range(across):
            panel = panels + (which[1, product] * across + p) * n * WIDE
            k = 0
            while True:
                part = n - k
                if part > CHAIN:
                    part = (part + 1) // 2 if part <= 2 * CHAIN else CHAIN
                qn_matmul(rows + k, n, panel + k * WIDE, part, total, k > 0, height)
                k += part
                if k == n:
                    break
            width = out.shape[2] - p * WIDE if out.shape[2] - p * WIDE < WIDE else WIDE
            for r in range(height):
                for c in range(width):
                    out[product, first + r, p * WIDE + c] = <byte_t>qn_qt(total[r * WIDE + c], inv, <float>zo, lo, hi)
