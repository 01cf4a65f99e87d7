"""
The ends of fused operators whose middle is float.

Computes
    finish      y' = y + s * f32(q - z)          if there is an addend q (quint8)
                y" = y' | max(y', 0) | y' > 0 ? y' : y' * slope | tanh(y')
                out = rule QT of y" in numerics.h, quint8

Layout: arrays in the same order.
Exactness: every step in float32 with one rounding; tanh in float64, rounded once. Integers of torch's onednn engine.
Parallel: over elements.
"""
from cython.parallel cimport prange
from arrays cimport qn_read, qn_write
from numerics cimport cut, int32_t, qn_ds, qn_qt, qn_tanh64, uint8_t

cdef extern from "simd.h" nogil:
    Py_ssize_t qn_quantize_bytes(const float *x, uint8_t *out, Py_ssize_t n, float inv, float zo, int flip) noexcept

cdef enum:
    PART = 512      # elements that go through all steps together

cdef enum Function:
    F_NONE
    F_RELU
    F_LEAKY_RELU
    F_TANH

NONE = F_NONE
RELU = F_RELU
LEAKY_RELU = F_LEAKY_RELU
TANH = F_TANH


def finish(int function, y, q, out, double scale, int32_t zero_point, double slope, double out_scale,
           int32_t out_zero_point, int threads, /):
    """`q` is the addend with its scale and zero point, or None."""
    cdef Py_ssize_t n
    cdef const float *x = <const float *>qn_read(y, 4, 0, &n)
    cdef const uint8_t *addend = <const uint8_t *>qn_read(q, 1, 0, NULL)
    cdef uint8_t *to = <uint8_t *>qn_write(out, 1, 0, NULL)
    cdef int t
    if threads == 1:
        with nogil:
            _finish(function, x, addend, to, 0, n, <float>scale, zero_point, <float>slope, <float>out_scale,
                    out_zero_point)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _finish(function, x, addend, to, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), <float>scale,
                    zero_point, <float>slope, <float>out_scale, out_zero_point)


cdef void _finish(int function, const float *y, const uint8_t *q, uint8_t *out, Py_ssize_t start, Py_ssize_t stop,
                  float s, int32_t z, float slope, float out_scale, int32_t zo) noexcept nogil:
    cdef float inv = <float>1.0 / out_scale
    cdef float v[PART]
    cdef const float *x
    cdef Py_ssize_t i, n
    while start < stop:
        n = min(stop - start, <Py_ssize_t>PART)
        x = y + start
        if q != NULL:
            for i in range(n):
                v[i] = x[i] + qn_ds(q[start + i], s, z)
            x = v
        if function == F_RELU:
            for i in range(n):
                v[i] = x[i] if x[i] > 0.0 else 0.0
        elif function == F_LEAKY_RELU:
            for i in range(n):
                v[i] = x[i] if x[i] > 0.0 else x[i] * slope
        elif function == F_TANH:
            for i in range(n):
                v[i] = <float>qn_tanh64(x[i])
        if function != F_NONE:
            x = v
        for i in range(qn_quantize_bytes(x, out + start, n, inv, <float>zo, 0), n):
            out[start + i] = <uint8_t>qn_qt(x[i], inv, <float>zo, 0, 255)
        start += n
