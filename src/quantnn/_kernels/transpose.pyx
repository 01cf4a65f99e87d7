"""
Transpose: matrices of bytes, as an image goes from (N, C, H, W) to channels-last memory.

Computes out[n, j, i] = x[n, i, j].
Layout: the bytes of x (N, R, C) and out (N, C, R). Blocks of 16 x 16 bytes are turned in registers, several at once
(simd.h); a strip of 64 rows fills whole cache lines of the result before the next strip comes. What does not fill a block
goes byte by byte.
Exactness: bytes are moved.
Parallel: over columns, for then each thread writes one part of the result and mostly the one that it reads next; over rows
where columns are few.
"""
from cython.parallel cimport prange
from libc.stdint cimport uint8_t
from arrays cimport qn_read, qn_write
from numerics cimport cut

cdef extern from "simd.h" nogil:
    enum:
        QN_TURNS
    void qn_transpose(const uint8_t *x, Py_ssize_t x_stride, uint8_t *out, Py_ssize_t out_stride) noexcept
    void qn_transpose_tall(const uint8_t *x, Py_ssize_t x_stride, uint8_t *out, Py_ssize_t out_stride) noexcept

cdef enum:
    STRIP = 64


def transpose(x, out, Py_ssize_t n, Py_ssize_t rows, Py_ssize_t columns, int threads, /):
    cdef const uint8_t *whole = <const uint8_t *>qn_read(x, 1, 0, NULL)
    cdef uint8_t *result = <uint8_t *>qn_write(out, 1, 0, NULL)
    cdef bint by_columns = columns >= 16 * threads
    cdef Py_ssize_t pieces = n * (columns if by_columns else rows)
    cdef int t
    if n * rows * columns == 0:
        return
    if threads == 1:
        with nogil:
            _pieces(whole, result, rows, columns, by_columns, 0, pieces)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _pieces(whole, result, rows, columns, by_columns, cut(pieces, t, threads, 16),
                    cut(pieces, t + 1, threads, 16))


cdef void _pieces(const uint8_t *x, uint8_t *out, Py_ssize_t rows, Py_ssize_t columns, bint by_columns,
                  Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    # columns or rows of all matrices, counted through
    cdef Py_ssize_t pieces = columns if by_columns else rows, size = rows * columns, i, end
    while start < stop:
        i = start // pieces
        end = min(stop - i * pieces, pieces)
        if by_columns:
            _matrix(x + i * size, out + i * size, rows, columns, 0, rows, start - i * pieces, end)
        else:
            _matrix(x + i * size, out + i * size, rows, columns, start - i * pieces, end, 0, columns)
        start = i * pieces + end


cdef void _matrix(const uint8_t *x, uint8_t *out, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t first_row,
                  Py_ssize_t last_row, Py_ssize_t c0, Py_ssize_t c1) noexcept nogil:
    # a part of its rows and columns
    cdef Py_ssize_t r0 = first_row, r1, r, c, tall, whole = c0 + (c1 - c0) // 16 * 16
    while r0 < last_row:
        r1 = min(r0 + STRIP, last_row)
        for c in range(c0, whole, 16):
            tall = r0
            while tall + 16 * QN_TURNS <= r1:
                qn_transpose_tall(x + tall * columns + c, columns, out + c * rows + tall, rows)
                tall += 16 * QN_TURNS
            for r in range(tall, r1 - 15, 16):
                qn_transpose(x + r * columns + c, columns, out + c * rows + r, rows)
        # the columns that are left, then the rows
        _bytes(x, out, rows, columns, r0, r1, whole, c1)
        _bytes(x, out, rows, columns, r0 + (r1 - r0) // 16 * 16, r1, c0, whole)
        r0 = r1


cdef void _bytes(const uint8_t *x, uint8_t *out, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t r0, Py_ssize_t r1,
                 Py_ssize_t c0, Py_ssize_t c1) noexcept nogil:
    cdef Py_ssize_t r, c
    for c in range(c0, c1):
        for r in range(r0, r1):
            out[c * rows + r] = x[r * columns + c]
