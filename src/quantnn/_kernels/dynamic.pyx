"""
Dynamic linear layers: float rows by weights of bytes or of float16.

Computes
    bytes       s, zx = choose(least and greatest of x and 0)                 float64 and float32 as torch has them
                q = rule QT of numerics.h                                     quint8
                acc[m, j] = sum_k (q[m, k] - zx) * (w[j, k] - zw[j])          u8 * s8, exact int32
                y[m, j] = fma(float(acc), f32(s * sw[j]), bias[j])            relu: max(y, 0)
    float16     y[m, j] = f32(chain[m, j] + bias[j]), with w rounded to float16 and a chain of fused multiply-adds over k;
                in columns beyond the last whole 32, the chains of each 512 k are added in order

qparams is the first line alone, for dynamic convolutions.

Layout: x (M, K) and y (M, N) rows of floats; weights in panels (panels.pxi), of float16 as Halves says.
Exactness: torch's floats at every level; torch's float16 product is this one where it was built for AVX-512.
Parallel: over x, then over panels of columns times blocks of rows.
"""
include "dynamic.pxi"


def linear(weights, bint halves, x, out, bint relu, bint reduce_range, int threads, /):
    """False if the least or the greatest of x is needed and it is not finite."""
    cdef Py_ssize_t shape[2]
    cdef const float *floats = <const float *>qn_read(x, 4, 0, NULL)
    cdef float *y = <float *>qn_write(out, 4, 2, shape)
    cdef Product product = Product(weights, halves, shape[0])
    cdef bint finite
    cdef Qparams q
    if shape[0] == 0 or product.n == 0:
        return True
    with nogil:
        finite = product.find(floats, shape[0], reduce_range, &q, threads)
        if finite:
            product.multiply(floats, shape[0], y, shape[1], relu, q, threads)
    return finite


def linear_with(weights, x, out, bint relu, double scale, int32_t zero_point, int threads, /):
    """By weights of bytes, x quantized with given parameters."""
    _with(weights, <const float *>qn_read(x, 4, 0, NULL), NULL, out, relu, scale, zero_point, threads)


def linear_bytes(weights, x, out, double scale, int32_t zero_point, int threads, /):
    """By weights of bytes, x quantized already."""
    _with(weights, NULL, <const uint8_t *>qn_read(x, 1, 0, NULL), out, False, scale, zero_point, threads)


cdef int _with(weights, const float *x, const uint8_t *ints, out, bint relu, double scale, int32_t zero_point,
               int threads) except -1:
    cdef Py_ssize_t shape[2]
    cdef float *y = <float *>qn_write(out, 4, 2, shape)
    cdef Product product = Product(weights, False, shape[0])
    cdef Qparams q
    if shape[0] == 0 or product.n == 0:
        return 0
    q.scale = scale
    q.zero_point = zero_point
    with nogil:
        product.multiply_bytes(x, ints, shape[0], y, shape[1], relu, q, threads)
    return 0


def qparams(x, bint reduce_range, /):
    """The scale and zero point for all of x; None if not all are finite."""
    cdef Py_ssize_t n
    cdef const float *floats = <const float *>qn_read(x, 4, 0, &n)
    cdef float lo = 0, hi = 0
    cdef bint finite = True
    if n > 0:
        with nogil:
            finite = qn_extremes(floats, n, &lo, &hi)
    if not finite:
        return None
    cdef Qparams q = choose(lo, hi, 127 if reduce_range else 255)
    return q.scale, q.zero_point
