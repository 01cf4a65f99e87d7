"""
Softmax of the rows of a matrix.

Computes
    8-bit      e_i = table[max(q) - q_i],  table[d] = exp(-f64(f32(s)*f32(d)))
    qint32     e_i = exp(f64(f32(DS(q_i) - max(DS(q)))))
               q'_i = QT(f32(e_i * f64(1 / sum(e))))
    The sum is that of eight sums, of the elements i % 8 = 0, 1, ...

Layout: rows of n, one after the other.
Exactness: float64 up to the quotient, which is rounded to float32, and the same integers at every level. torch computes in
float32; the results agree but where that decides a rounding.
Parallel: over rows.
"""
from cython.parallel cimport prange
from libc.math cimport exp
from libc.string cimport memcpy
from arrays cimport QN_INT8, QN_UINT8, qn_read, qn_size, qn_type, qn_write
from numerics cimport int8_t, int32_t, qint_t, qn_ds, qn_qs32, qn_qt, uint8_t

cdef extern from "simd.h" nogil:
    void qn_lookup(const uint8_t *table, const uint8_t *q, Py_ssize_t q_step, uint8_t *out, Py_ssize_t out_step,
                   Py_ssize_t rows, Py_ssize_t n) noexcept

cdef enum:
    FEW = 256     # elements whose exponentials are kept; for more, a table of results pays


def table(double scale, out, /):
    cdef Py_ssize_t n, d
    cdef double* powers = <double*>qn_write(out, 8, 0, &n)
    for d in range(n):
        powers[d] = exp(-<double>(<float>scale * <float>d))


# `table` is read for 8-bit integers only.
def softmax(q, out, Py_ssize_t n, table, double scale, int32_t zero_point, double out_scale, int32_t out_zero_point,
            int32_t lo, int32_t hi, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t elements
    cdef void* x = qn_read(q, size, 0, &elements)
    cdef void* to = qn_write(out, size, 0, NULL)
    cdef const double* powers = <const double*>qn_read(table, 8, 0, NULL)
    cdef Py_ssize_t rows = elements // n
    cdef float s = <float>scale, inv = <float>1.0 / <float>out_scale
    if t == QN_UINT8:
        _rows(<const uint8_t*>x, <uint8_t*>to, rows, n, powers, s, zero_point, inv, out_zero_point, lo, hi, threads)
    elif t == QN_INT8:
        _rows(<const int8_t*>x, <int8_t*>to, rows, n, powers, s, zero_point, inv, out_zero_point, lo, hi, threads)
    else:
        _rows(<const int32_t*>x, <int32_t*>to, rows, n, powers, s, zero_point, inv, out_zero_point, lo, hi, threads)


cdef void _rows(const qint_t* q, qint_t* out, Py_ssize_t rows, Py_ssize_t n, const double* table, float s, int32_t z,
                float inv, int32_t zo, int32_t lo, int32_t hi, int threads) noexcept:
    cdef Py_ssize_t r
    if threads == 1:
        with nogil:
            for r in range(rows):
                _row(q + r * n, out + r * n, n, table, s, z, inv, zo, lo, hi)
    else:
        for r in prange(rows, num_threads=threads, nogil=True, schedule="static"):
            _row(q + r * n, out + r * n, n, table, s, z, inv, zo, lo, hi)


cdef void _row(const qint_t* q, qint_t* out, Py_ssize_t n, const double* table, float s, int32_t z, float inv,
               int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t i, j, whole = n // 8 * 8
    cdef qint_t most = q[0]
    cdef double[8] sums
    cdef double factor, e
    cdef double[FEW] kept
    cdef uint8_t[512] results  # from the greatest distance on, twice: by the byte, if read from the right place on
    for i in range(n):
        most = q[i] if q[i] > most else most
    for j in range(8):
        sums[j] = 0.0
    for i in range(0, whole, 8):
        for j in range(8):
            e = _exp(q[i + j], most, table, s, z)
            sums[j] += e
            if n <= FEW:
                kept[i + j] = e
    for i in range(whole, n):
        e = _exp(q[i], most, table, s, z)
        sums[i - whole] += e
        if n <= FEW:
            kept[i] = e
    factor = 1.0 / (((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])))
    if n <= FEW:
        for i in range(n):
            out[i] = _quantized[qint_t](<float>(kept[i] * factor), inv, zo, lo, hi, 0)
    elif qint_t is int32_t:
        for i in range(n):
            out[i] = _quantized[qint_t](<float>(_exp(q[i], most, table, s, z) * factor), inv, zo, lo, hi, 0)
    else:
        for i in range(256):
            results[i] = <uint8_t>qn_qt(<float>(table[255 - i] * factor), inv, <float>zo, lo, hi)
        memcpy(results + 256, results, 256)
        qn_lookup(results + 255 - <uint8_t>most, <const uint8_t *>q, 0, <uint8_t *>out, 0, 1, n)


cdef inline qint_t _quantized(float y, float inv, int32_t zo, int32_t lo, int32_t hi, qint_t _) noexcept nogil:
    if qint_t is int32_t:
        return qn_qs32(y, inv, <float>zo)
    else:
        return <qint_t>qn_qt(y, inv, <float>zo, lo, hi)


cdef inline double _exp(qint_t q, qint_t most, const double* table, float s, int32_t z) noexcept nogil:
    cdef float d
    if qint_t is int32_t:
        d = qn_ds(q, s, z) - qn_ds(most, s, z)
        return exp(<double>d)
    else:
        return table[most - q]
