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
from arrays cimport QN_UINT8, qn_read, qn_read_strided, qn_type, qn_write
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


# Matrices of bytes, as they lie: how many of how many rows and columns, and the distances between these.
cdef struct Stack:
    Py_ssize_t[3] shape
    Py_ssize_t[3] step


cdef struct Sizes:
    Py_ssize_t products
    Py_ssize_t down     # blocks of rows of a product
    Py_ssize_t across   # panels of a matrix


# How one operand becomes floats, or floats the result.
cdef struct Scaling:
    float by
    int32_t zero_point
    int32_t lo
    int32_t hi


def matmul(a, b, out, which, panels, rows, double scale_a, int32_t za, double scale_b, int32_t zb, double out_scale,
           int32_t zo, int32_t lo, int32_t hi, int threads, /):
    cdef Stack x, y
    cdef Py_ssize_t[2] pairs
    cdef Sizes n
    cdef int t = qn_type(out)
    cdef void *first = qn_read_strided(a, 1, 3, x.shape, x.step)
    cdef void *second = qn_read_strided(b, 1, 3, y.shape, y.step)
    cdef void *to = qn_write(out, 1, 0, NULL)
    cdef const Py_ssize_t *chosen = <const Py_ssize_t *>qn_read(which, sizeof(Py_ssize_t), 2, pairs)
    cdef float *packed = <float *>qn_write(panels, 4, 0, NULL)
    cdef float *floats = <float *>qn_write(rows, 4, 0, NULL)
    cdef Scaling sa = Scaling(<float>scale_a, za, 0, 0), sb = Scaling(<float>scale_b, zb, 0, 0)
    cdef Scaling so = Scaling(<float>1.0 / <float>out_scale, zo, lo, hi)
    n.products = pairs[1]
    n.down = (x.shape[1] + TALL - 1) // TALL
    n.across = (y.shape[2] + WIDE - 1) // WIDE
    if t == QN_UINT8:
        _matmul(<const uint8_t *>first, x, <const uint8_t *>second, y, <uint8_t *>to, chosen, n, packed, floats, sa, sb,
                so, threads)
    else:
        _matmul(<const int8_t *>first, x, <const int8_t *>second, y, <int8_t *>to, chosen, n, packed, floats, sa, sb,
                so, threads)


cdef void _matmul(const byte_t *a, Stack x, const byte_t *b, Stack y, byte_t *out, const Py_ssize_t *which, Sizes n,
                  float *panels, float *rows, Scaling sa, Scaling sb, Scaling so, int threads) noexcept:
    cdef Py_ssize_t packs = y.shape[0] * n.across, blocks = n.products * n.down
    cdef int t
    if threads == 1:
        with nogil:
            _pack(b, y, panels, n.across, 0, packs, sb)
            _blocks(a, x, y.shape[2], out, which, panels, rows, n, 0, blocks, sa, so)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _pack(b, y, panels, n.across, cut(packs, t, threads, 1), cut(packs, t + 1, threads, 1), sb)
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _blocks(a, x, y.shape[2], out, which, panels, rows + t * TALL * x.shape[2], n, cut(blocks, t, threads, 1),
                    cut(blocks, t + 1, threads, 1), sa, so)


cdef void _pack(const byte_t *b, Stack y, float *panels, Py_ssize_t across, Py_ssize_t start, Py_ssize_t stop,
                Scaling s) noexcept nogil:
    cdef Py_ssize_t p, k, c, first, width, n = y.shape[1]
    cdef const byte_t *row
    cdef float *to
    for p in range(start, stop):
        first = p % across * WIDE
        width = y.shape[2] - first if y.shape[2] - first < WIDE else WIDE
        for k in range(n):
            row = b + p // across * y.step[0] + k * y.step[1] + first * y.step[2]
            to = panels + (p * n + k) * WIDE
            for c in range(width):
                to[c] = qn_ds(row[c * y.step[2]], s.by, s.zero_point)
            for c in range(width, WIDE):
                to[c] = 0.0


cdef void _blocks(const byte_t *a, Stack x, Py_ssize_t columns, byte_t *out, const Py_ssize_t *which,
                  const float *panels, float *rows, Sizes sizes, Py_ssize_t start, Py_ssize_t stop, Scaling sa,
                  Scaling so) noexcept nogil:
    cdef Py_ssize_t block, p, r, k, c, product, first, width, part, n = x.shape[2]
    cdef int height
    cdef const byte_t *row
    cdef const float *panel
    cdef byte_t *to
    cdef float[TILE] total
    for block in range(start, stop):
        product = block // sizes.down
        first = block % sizes.down * TALL
        height = <int>(x.shape[1] - first if x.shape[1] - first < TALL else TALL)
        for r in range(height):
            row = a + which[product] * x.step[0] + (first + r) * x.step[1]
            for k in range(n):
                rows[r * n + k] = qn_ds(row[k * x.step[2]], sa.by, sa.zero_point)
        for p in range(sizes.across):
            panel = panels + (which[sizes.products + product] * sizes.across + p) * n * WIDE
            k = 0
            while True:
                part = n - k
                if part > CHAIN:
                    part = (part + 1) // 2 if part <= 2 * CHAIN else CHAIN
                qn_matmul(rows + k, n, panel + k * WIDE, part, total, k > 0, height)
                k += part
                if k == n:
                    break
            width = columns - p * WIDE if columns - p * WIDE < WIDE else WIDE
            for r in range(height):
                to = out + (product * x.shape[1] + first + r) * columns + p * WIDE
                for c in range(width):
                    to[c] = <byte_t>qn_qt(total[r * WIDE + c], so.by, <float>so.zero_point, so.lo, so.hi)
