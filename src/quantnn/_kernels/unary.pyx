"""
Operators of one tensor, element by element.

Computes
    clamp     q' = min(max(q, lo), hi), integers                     relu, relu6, clamp
    compute   q' = quantize(value(dequantize(q)))                    those of `Function`
              vector elements: rule DV, then QV; the others: rule DS, then QS
    lookup    q' = table[q], tables made by `compute`                the same, for 8-bit dtypes; any other function
    bound     QS of one number                                       the ends of clamp

Layout: flat arrays in the same memory order. They are made of runs of `run` elements; the first `n_vector` of each run
are vector elements (for dense tensors the run is the whole tensor).
Exactness: torch's bits, at every level. Transcendental functions are computed in float64 and rounded once.
Parallel: over elements.

To add a function: a name in `Function`, a constant below it, a line in `value`.
"""
from cython.parallel cimport prange
from libc.math cimport exp, expm1, tanh
from arrays cimport QN_INT8, QN_UINT8, qn_read, qn_size, qn_type, qn_write
from numerics cimport (
    cut, flip, int8_t, int32_t, qint_t, qn_ds, qn_dv, qn_dv_offset, qn_qs, qn_qs32, qn_qv, uint8_t,
)

cdef extern from "simd.h" nogil:
    Py_ssize_t qn_clamp_bytes(const uint8_t *q, uint8_t *out, Py_ssize_t n, int32_t lo, int32_t hi, int flip) noexcept
    void qn_lookup(const uint8_t *table, const uint8_t *q, Py_ssize_t q_step, uint8_t *out, Py_ssize_t out_step,
                   Py_ssize_t rows, Py_ssize_t n) noexcept

cdef enum Function:
    F_HARDSWISH
    F_HARDSIGMOID
    F_ELU           # celu, too
    F_LEAKY_RELU
    F_THRESHOLD
    F_SIGMOID
    F_TANH

HARDSWISH = F_HARDSWISH
HARDSIGMOID = F_HARDSIGMOID
ELU = F_ELU
LEAKY_RELU = F_LEAKY_RELU
THRESHOLD = F_THRESHOLD
SIGMOID = F_SIGMOID
TANH = F_TANH


cdef inline float value(int function, float x, float a, float b, bint vector) noexcept nogil:
    cdef float r
    if function == F_HARDSWISH or function == F_HARDSIGMOID:
        r = x + <float>3.0
        r = r if r > 0.0 else 0.0
        r = r if r < 6.0 else 6.0
        return (x * r if function == F_HARDSWISH else r) / <float>6.0
    if function == F_LEAKY_RELU:
        return x if x > 0.0 else x * a
    if function == F_THRESHOLD:
        return x if x > a else b
    if function == F_SIGMOID:
        r = <float>exp(-<double>x)
        return <float>1.0 / (<float>1.0 + r) if vector else <float>(1.0 / (1.0 + <double>r))
    if function == F_TANH:
        return <float>tanh(x)
    # elu; only a negative alpha tells > from >=
    return x if x > 0.0 or (x == 0.0 and not vector) else <float>expm1(x * b) * a


def compute(int function, q, out, double scale, int32_t zero_point, double out_scale, int32_t out_zero_point,
            int32_t lo, int32_t hi, double a, double b, Py_ssize_t run, Py_ssize_t n_vector, int threads, /):
    cdef int type = qn_type(out)
    cdef Py_ssize_t size = qn_size(type)
    cdef Py_ssize_t n
    cdef void *x = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef float s = <float>scale, inv = <float>1.0 / <float>out_scale, inv_vector = inv
    if function == F_HARDSWISH or function == F_SIGMOID:
        inv_vector = <float>(1.0 / out_scale)
    if type == QN_UINT8:
        _computes(function, <const uint8_t*>x, <uint8_t*>to, n, s, zero_point, inv_vector, inv, out_zero_point, lo, hi,
                  <float>a, <float>b, run, n_vector, threads)
    elif type == QN_INT8:
        _computes(function, <const int8_t*>x, <int8_t*>to, n, s, zero_point, inv_vector, inv, out_zero_point, lo, hi,
                  <float>a, <float>b, run, n_vector, threads)
    else:
        _computes(function, <const int32_t*>x, <int32_t*>to, n, s, zero_point, inv_vector, inv, out_zero_point, lo, hi,
                  <float>a, <float>b, run, n_vector, threads)


cdef void _computes(int function, const qint_t* q, qint_t* out, Py_ssize_t n, float s, int32_t z, float inv_vector,
                    float inv, int32_t zo, int32_t lo, int32_t hi, float a, float b, Py_ssize_t run,
                    Py_ssize_t n_vector, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _compute(function, q, out, 0, n, s, z, inv_vector, inv, zo, lo, hi, a, b, run, n_vector)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _compute(function, q, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), s, z, inv_vector, inv, zo,
                     lo, hi, a, b, run, n_vector)


cdef void _compute(int function, const qint_t* q, qint_t* out, Py_ssize_t start, Py_ssize_t stop, float s, int32_t z,
                   float inv_vector, float inv, int32_t zo, int32_t lo, int32_t hi, float a, float b, Py_ssize_t run,
                   Py_ssize_t n_vector) noexcept nogil:
    cdef Py_ssize_t i
    cdef float offset = qn_dv_offset(s, z), y
    for i in range(start, stop):
        if i % run < n_vector:
            # torch's sigmoid subtracts first in its vectors, too
            y = s * (<float>q[i] - <float>z) if function == F_SIGMOID else qn_dv(q[i], s, offset)
            y = value(function, y, a, b, True)
            if qint_t is int32_t:
                out[i] = qn_qs32(y, inv, <float>zo)
            else:
                out[i] = <qint_t>qn_qv(y, inv_vector, zo, lo, hi)
        else:
            y = value(function, qn_ds(q[i], s, z), a, b, False)
            if qint_t is int32_t:
                out[i] = qn_qs32(y, inv, <float>zo)
            else:
                out[i] = <qint_t>qn_qs(y, inv, <float>zo, lo, hi)


def lookup(q, out, table_vector, table_scalar, Py_ssize_t run, Py_ssize_t n_vector, int threads, /):
    cdef Py_ssize_t n
    cdef const uint8_t *x = <const uint8_t*>qn_read(q, 1, 0, &n)
    cdef uint8_t *to = <uint8_t*>qn_write(out, 1, 0, NULL)
    cdef const uint8_t *vector = <const uint8_t*>qn_read(table_vector, 1, 0, NULL)
    cdef const uint8_t *scalar = <const uint8_t*>qn_read(table_scalar, 1, 0, NULL)
    cdef int t
    if threads == 1:
        with nogil:
            _lookup(x, to, vector, scalar, 0, n, run, n_vector)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _lookup(x, to, vector, scalar, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), run, n_vector)


cdef void _lookup(const uint8_t* q, uint8_t* out, const uint8_t* table_vector, const uint8_t* table_scalar,
                  Py_ssize_t start, Py_ssize_t stop, Py_ssize_t run, Py_ssize_t n_vector) noexcept nogil:
    cdef Py_ssize_t i = start, here, end
    while i < stop:
        here = i % run
        if here < n_vector:
            end = i - here + n_vector
            end = end if end < stop else stop
            qn_lookup(table_vector, q + i, 0, out + i, 0, 1, end - i)
        else:
            end = i - here + run
            end = end if end < stop else stop
            qn_lookup(table_scalar, q + i, 0, out + i, 0, 1, end - i)
        i = end


def clamp(q, out, int32_t lo, int32_t hi, int threads, /):
    cdef int type = qn_type(out)
    cdef Py_ssize_t size = qn_size(type)
    cdef Py_ssize_t n
    cdef void *x = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    if type == QN_UINT8:
        _clamps(<const uint8_t*>x, <uint8_t*>to, n, lo, hi, threads)
    elif type == QN_INT8:
        _clamps(<const int8_t*>x, <int8_t*>to, n, lo, hi, threads)
    else:
        _clamps(<const int32_t*>x, <int32_t*>to, n, lo, hi, threads)


cdef void _clamps(const qint_t* q, qint_t* out, Py_ssize_t n, int32_t lo, int32_t hi, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _clamp(q, out, 0, n, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _clamp(q, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), lo, hi)


cdef void _clamp(const qint_t* q, qint_t* out, Py_ssize_t start, Py_ssize_t stop, int32_t lo,
                 int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef qint_t least = <qint_t>lo, most = <qint_t>hi, v
    if qint_t is not int32_t:
        start += qn_clamp_bytes(<const uint8_t*>(q + start), <uint8_t*>(out + start), stop - start, lo, hi,
                                flip(<qint_t>0))
    for i in range(start, stop):
        v = q[i]
        v = v if v > least else least
        out[i] = v if v < most else most  # so if lo > hi, all are hi


def bound(double x, double scale, int32_t zero_point, int32_t lo, int32_t hi, /):
    cdef float inv = <float>1.0 / <float>scale
    if hi > 255:  # qint32
        return qn_qs32(<float>x, inv, <float>zero_point)
    return qn_qs(<float>x, inv, <float>zero_point, lo, hi)
