"""
Operators of two tensors, of a tensor and a number, and concatenation.

Computes
    add        q = quantize(max(f32(x + y), floor)), x and y dequantized
               vector elements: rule DV, then QV; the others: rule DS, then QS
    mul        q = clamp(rne(f32(f32((qa - za) * (qb - zb)) * m)) + zo),  m = f32(f32(f32(sa) * f32(sb)) * 1/f32(so))
    prelu      c = (max(q, z) - z) * one + (min(q, z) - z) * w,  q' = clamp(rne(f32(f32(c) * m)) + zo),  m as for mul
    shift      q = clamp(rne(f32(f32(q - z + c) * m)) + zo),  m = f32(f32(s) * 1/f32(so))       add_scalar
    reflect    q = max(qmin + qmax - q, lo)                                                     mul_scalar
    cat_rows   q = clamp(QT(DS(q)))                                                             cat
    cat_nhwc   q = quantize(max(dequantize(q), floor)), by position in the row of channels      cat, channels-last
    cat_lookup q = table[q], tables made by the two before                                      cat of 8-bit dtypes
    cat_copy   q                                                                                cat
relu is `floor` 0 in place of minus infinity, or `lo` the zero point.

Layout: `add` and `mul` go through the output in memory order, in runs of `run` elements. Within a run operand a moves
by `step_a` elements (0: broadcast), from run to run by the dimensions in `outer`: rows (size, step of a, step of b),
the innermost dimension first (None: there is one run). The first `n_vector` elements of each run are vector elements.
`cat_*` copy the rows of x, of `columns` elements, into columns start, start + 1, ... of out, whose rows have `width`.
The others take elements in one memory order; `prelu` has a weight for all, or one for every `inner` elements in turn.
Exactness: torch's bits, at every level; where torch's int32 conversion overflows, the result saturates.
Parallel: over blocks of runs, elements or rows.
"""
from cython.parallel cimport prange
from libc.math cimport INFINITY
from arrays cimport QN_INT8, QN_UINT8, qn_read, qn_size, qn_type, qn_write
from numerics cimport (
    cut, flip, int8_t, int32_t, qint_t, qn_add, qn_ds, qn_dv, qn_dv_offset, qn_mul, qn_qs, qn_qs32, qn_qt, qn_qv,
    qn_rint, qn_rne_clamp, qn_sub, uint8_t,
)

cdef extern from "simd.h" nogil:
    Py_ssize_t qn_add_bytes(const uint8_t *a, const uint8_t *b, Py_ssize_t step_b, uint8_t *out, Py_ssize_t n, float sa,
                            int32_t za, float sb, int32_t zb, float inv, int32_t zo, int32_t lo, int flip) noexcept
    Py_ssize_t qn_mul_bytes(const uint8_t *a, const uint8_t *b, Py_ssize_t step_b, uint8_t *out, Py_ssize_t n,
                            int32_t za, int32_t zb, float m, int32_t zo, int32_t lo, int flip) noexcept
    void qn_copy_rows(const uint8_t *x, Py_ssize_t x_step, uint8_t *out, Py_ssize_t out_step, Py_ssize_t rows,
                      Py_ssize_t n) noexcept
    void qn_lookup(const uint8_t *table, const uint8_t *q, Py_ssize_t q_step, uint8_t *out, Py_ssize_t out_step,
                   Py_ssize_t rows, Py_ssize_t n) noexcept

cdef enum:
    BLOCK = 8192  # elements of a run that one thread takes at a time; a multiple of the vector group


# How `add` and `mul` go through memory.
cdef struct Runs:
    const Py_ssize_t* outer
    Py_ssize_t dimensions  # rows of `outer`
    Py_ssize_t step_a
    Py_ssize_t step_b
    Py_ssize_t run
    Py_ssize_t n_vector
    Py_ssize_t count       # of runs


cdef Runs _runs(outer, Py_ssize_t step_a, Py_ssize_t step_b, Py_ssize_t run, Py_ssize_t n_vector,
                Py_ssize_t n) except *:
    cdef Py_ssize_t[2] shape
    shape[0] = 0
    cdef const Py_ssize_t* rows = <const Py_ssize_t*>qn_read(outer, sizeof(Py_ssize_t), 2, shape)
    return Runs(rows, shape[0], step_a, step_b, run, n_vector, n // run)


cdef inline Py_ssize_t _offset(Runs r, int operand, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t k, offset = 0
    for k in range(r.dimensions):
        offset += row % r.outer[3 * k] * r.outer[3 * k + operand]
        row //= r.outer[3 * k]
    return offset


cdef inline qint_t _requantize(float c, float m, int32_t zo, int32_t lo, int32_t hi, qint_t _) noexcept nogil:
    """clamp(rne(c * m) + zo), saturating"""
    cdef double r
    if qint_t is int32_t:
        r = <double>qn_rint(c * m) + zo
        r = r if r > lo else lo
        return <int32_t>(r if r < hi else hi)
    else:
        return <qint_t>(qn_rne_clamp(c * m, lo - zo, hi - zo) + zo)


# ---- add ----------------------------------------------------------------------------------------------------------

def add(a, b, out, outer, Py_ssize_t step_a, Py_ssize_t step_b, Py_ssize_t run, Py_ssize_t n_vector, double scale_a,
        int32_t za, double scale_b, int32_t zb, double out_scale, int32_t zo, int32_t lo, int32_t hi, bint relu,
        int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *x = qn_read(a, size, 0, NULL)
    cdef void *y = qn_read(b, size, 0, NULL)
    cdef void *to = qn_write(out, size, 0, &n)
    cdef Runs r = _runs(outer, step_a, step_b, run, n_vector, n)
    cdef float sa = <float>scale_a, sb = <float>scale_b, inv = <float>1.0 / <float>out_scale
    cdef float floor = 0.0 if relu else -INFINITY
    if t == QN_UINT8:
        _add_runs(<const uint8_t*>x, <const uint8_t*>y, <uint8_t*>to, r, sa, za, sb, zb, inv, zo, lo, hi, floor,
                  threads)
    elif t == QN_INT8:
        _add_runs(<const int8_t*>x, <const int8_t*>y, <int8_t*>to, r, sa, za, sb, zb, inv, zo, lo, hi, floor,
                  threads)
    else:
        _add_runs(<const int32_t*>x, <const int32_t*>y, <int32_t*>to, r, sa, za, sb, zb, inv, zo, lo, hi, floor,
                  threads)


cdef void _add_runs(const qint_t* a, const qint_t* b, qint_t* out, Runs r, float sa, int32_t za, float sb, int32_t zb,
                    float inv, int32_t zo, int32_t lo, int32_t hi, float floor, int threads) noexcept:
    cdef Py_ssize_t blocks = (r.run + BLOCK - 1) // BLOCK, parts = r.count * blocks, i
    if threads == 1:
        with nogil:
            for i in range(parts):
                _add_block(a, b, out, r, i // blocks, i % blocks * BLOCK, sa, za, sb, zb, inv, zo, lo, hi, floor)
    else:
        for i in prange(parts, num_threads=threads, nogil=True, schedule="static"):
            _add_block(a, b, out, r, i // blocks, i % blocks * BLOCK, sa, za, sb, zb, inv, zo, lo, hi, floor)


cdef void _add_block(const qint_t* a, const qint_t* b, qint_t* out, Runs r, Py_ssize_t row, Py_ssize_t start, float sa,
                     int32_t za, float sb, int32_t zb, float inv, int32_t zo, int32_t lo, int32_t hi,
                     float floor) noexcept nogil:
    cdef Py_ssize_t step_a = r.step_a, step_b = r.step_b
    cdef Py_ssize_t stop = start + BLOCK if start + BLOCK < r.run else r.run
    cdef Py_ssize_t middle = r.n_vector if r.n_vector < stop else stop
    cdef const qint_t* x = a + _offset(r, 1, row) + start * step_a
    cdef const qint_t* y = b + _offset(r, 2, row) + start * step_b
    cdef qint_t* o = out + row * r.run + start
    middle = middle - start if middle > start else 0
    stop -= start
    # the constant steps and rule give loops that compilers vectorize
    if step_a == 1 and step_b == 1:
        _add(x, 1, y, 1, o, 0, middle, True, sa, za, sb, zb, inv, zo, lo, hi, floor)
        _add(x, 1, y, 1, o, middle, stop, False, sa, za, sb, zb, inv, zo, lo, hi, floor)
    elif step_a == 1 and step_b == 0:
        _add(x, 1, y, 0, o, 0, middle, True, sa, za, sb, zb, inv, zo, lo, hi, floor)
        _add(x, 1, y, 0, o, middle, stop, False, sa, za, sb, zb, inv, zo, lo, hi, floor)
    else:
        _add(x, step_a, y, step_b, o, 0, middle, True, sa, za, sb, zb, inv, zo, lo, hi, floor)
        _add(x, step_a, y, step_b, o, middle, stop, False, sa, za, sb, zb, inv, zo, lo, hi, floor)


cdef inline void _add(const qint_t* a, Py_ssize_t step_a, const qint_t* b, Py_ssize_t step_b, qint_t* out,
                      Py_ssize_t start, Py_ssize_t stop, bint vector, float sa, int32_t za, float sb, int32_t zb,
                      float inv, int32_t zo, int32_t lo, int32_t hi, float floor) noexcept nogil:
    cdef float ca = qn_dv_offset(sa, za), cb = qn_dv_offset(sb, zb), t
    cdef Py_ssize_t i
    if qint_t is not int32_t:
        if vector and step_a == 1 and step_b <= 1:
            start = qn_add_bytes(<const uint8_t*>a, <const uint8_t*>b, step_b, <uint8_t*>out, stop, sa, za, sb, zb, inv,
                                 zo, zo if floor == 0.0 else lo, flip(<qint_t>0))
    for i in range(start, stop):
        if vector:
            t = qn_dv(a[i * step_a], sa, ca) + qn_dv(b[i * step_b], sb, cb)
        else:
            t = qn_ds(a[i * step_a], sa, za) + qn_ds(b[i * step_b], sb, zb)
        t = t if t > floor else floor
        if qint_t is int32_t:
            out[i] = qn_qs32(t, inv, <float>zo)
        elif vector:
            out[i] = <qint_t>qn_qv(t, inv, zo, lo, hi)
        else:
            out[i] = <qint_t>qn_qs(t, inv, <float>zo, lo, hi)


# ---- mul ----------------------------------------------------------------------------------------------------------

def mul(a, b, out, outer, Py_ssize_t step_a, Py_ssize_t step_b, Py_ssize_t run, double scale_a, int32_t za,
        double scale_b, int32_t zb, double out_scale, int32_t zo, int32_t lo, int32_t hi, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *x = qn_read(a, size, 0, NULL)
    cdef void *y = qn_read(b, size, 0, NULL)
    cdef void *to = qn_write(out, size, 0, &n)
    cdef Runs r = _runs(outer, step_a, step_b, run, 0, n)
    cdef float m = <float>scale_a * <float>scale_b
    m = m * (<float>1.0 / <float>out_scale)
    if t == QN_UINT8:
        _mul_runs(<const uint8_t*>x, <const uint8_t*>y, <uint8_t*>to, r, za, zb, m, zo, lo, hi, threads)
    elif t == QN_INT8:
        _mul_runs(<const int8_t*>x, <const int8_t*>y, <int8_t*>to, r, za, zb, m, zo, lo, hi, threads)
    else:
        _mul_runs(<const int32_t*>x, <const int32_t*>y, <int32_t*>to, r, za, zb, m, zo, lo, hi, threads)


cdef void _mul_runs(const qint_t* a, const qint_t* b, qint_t* out, Runs r, int32_t za, int32_t zb, float m, int32_t zo,
                    int32_t lo, int32_t hi, int threads) noexcept:
    cdef Py_ssize_t blocks = (r.run + BLOCK - 1) // BLOCK, parts = r.count * blocks, i
    if threads == 1:
        with nogil:
            for i in range(parts):
                _mul_block(a, b, out, r, i // blocks, i % blocks * BLOCK, za, zb, m, zo, lo, hi)
    else:
        for i in prange(parts, num_threads=threads, nogil=True, schedule="static"):
            _mul_block(a, b, out, r, i // blocks, i % blocks * BLOCK, za, zb, m, zo, lo, hi)


cdef void _mul_block(const qint_t* a, const qint_t* b, qint_t* out, Runs r, Py_ssize_t row, Py_ssize_t start,
                     int32_t za, int32_t zb, float m, int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t step_a = r.step_a, step_b = r.step_b, n = BLOCK if start + BLOCK < r.run else r.run - start
    cdef const qint_t* x = a + _offset(r, 1, row) + start * step_a
    cdef const qint_t* y = b + _offset(r, 2, row) + start * step_b
    cdef qint_t* o = out + row * r.run + start
    if step_a == 1 and step_b == 1:
        _mul(x, 1, y, 1, o, n, za, zb, m, zo, lo, hi)
    elif step_a == 1 and step_b == 0:
        _mul(x, 1, y, 0, o, n, za, zb, m, zo, lo, hi)
    else:
        _mul(x, step_a, y, step_b, o, n, za, zb, m, zo, lo, hi)


cdef inline void _mul(const qint_t* a, Py_ssize_t step_a, const qint_t* b, Py_ssize_t step_b, qint_t* out,
                      Py_ssize_t n, int32_t za, int32_t zb, float m, int32_t zo, int32_t lo,
                      int32_t hi) noexcept nogil:
    cdef Py_ssize_t i, start = 0
    cdef float c
    if qint_t is not int32_t:
        if step_a == 1 and step_b <= 1:
            start = qn_mul_bytes(<const uint8_t*>a, <const uint8_t*>b, step_b, <uint8_t*>out, n, za, zb, m, zo, lo,
                                 flip(<qint_t>0))
    for i in range(start, n):
        if qint_t is int32_t:
            c = <float>qn_mul(qn_sub(a[i * step_a], za), qn_sub(b[i * step_b], zb))
        else:  # 8-bit differences multiply exactly in float32
            c = <float>(<int32_t>a[i * step_a] - za) * <float>(<int32_t>b[i * step_b] - zb)
        out[i] = _requantize[qint_t](c, m, zo, lo, hi, 0)


# ---- prelu --------------------------------------------------------------------------------------------------------

# `weight` holds qw - zw, `one` is what the weight 1.0 has in its place.
def prelu(q, out, weight, Py_ssize_t inner, int32_t one, double scale, int32_t zero_point, double weight_scale,
          double out_scale, int32_t zo, int32_t lo, int32_t hi, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n, channels
    cdef void *x = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef const int32_t* w = <const int32_t*>qn_read(weight, 4, 0, &channels)
    cdef float m = <float>scale * <float>weight_scale
    m = m * (<float>1.0 / <float>out_scale)
    if t == QN_UINT8:
        _prelus(<const uint8_t*>x, <uint8_t*>to, n, w, channels, inner, one, zero_point, m, zo, lo, hi, threads)
    elif t == QN_INT8:
        _prelus(<const int8_t*>x, <int8_t*>to, n, w, channels, inner, one, zero_point, m, zo, lo, hi, threads)
    else:
        _prelus(<const int32_t*>x, <int32_t*>to, n, w, channels, inner, one, zero_point, m, zo, lo, hi, threads)


cdef void _prelus(const qint_t* q, qint_t* out, Py_ssize_t n, const int32_t* weight, Py_ssize_t channels,
                  Py_ssize_t inner, int32_t one, int32_t z, float m, int32_t zo, int32_t lo, int32_t hi,
                  int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _prelu(q, out, weight, channels, inner, 0, n, one, z, m, zo, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _prelu(q, out, weight, channels, inner, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), one, z, m, zo,
                   lo, hi)


cdef void _prelu(const qint_t* q, qint_t* out, const int32_t* weight, Py_ssize_t channels, Py_ssize_t inner,
                 Py_ssize_t start, Py_ssize_t stop, int32_t one, int32_t z, float m, int32_t zo, int32_t lo,
                 int32_t hi) noexcept nogil:
    cdef Py_ssize_t i = start, c, end
    while i < stop:
        c = i // inner % channels
        if inner == 1:  # the channels lie side by side
            end = i + channels - c
            end = end if end < stop else stop
            _prelu_run(q + i, out + i, end - i, weight + c, 1, one, z, m, zo, lo, hi)
        else:
            end = i + inner - i % inner
            end = end if end < stop else stop
            _prelu_run(q + i, out + i, end - i, weight + c, 0, one, z, m, zo, lo, hi)
        i = end


cdef inline void _prelu_run(const qint_t* q, qint_t* out, Py_ssize_t n, const int32_t* weight, Py_ssize_t step,
                            int32_t one, int32_t z, float m, int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t x, w = weight[0]
    for i in range(n):
        x = qn_sub(q[i], z)
        if step == 1:
            w = weight[i]
        if qint_t is int32_t:  # the difference may wrap
            x = qn_mul(x, one if q[i] > z else w)
        else:
            x = x * (one if x > 0 else w)
        out[i] = _requantize[qint_t](<float>x, m, zo, lo, hi, 0)


# ---- with a number ------------------------------------------------------------------------------------------------

def shift(q, out, double scale, int32_t zero_point, int32_t c, double out_scale, int32_t zo, int32_t lo, int32_t hi,
          int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *x = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef float m = <float>scale * (<float>1.0 / <float>out_scale)
    if t == QN_UINT8:
        _shifts(<const uint8_t*>x, <uint8_t*>to, n, zero_point, c, m, zo, lo, hi, threads)
    elif t == QN_INT8:
        _shifts(<const int8_t*>x, <int8_t*>to, n, zero_point, c, m, zo, lo, hi, threads)
    else:
        _shifts(<const int32_t*>x, <int32_t*>to, n, zero_point, c, m, zo, lo, hi, threads)


cdef void _shifts(const qint_t* q, qint_t* out, Py_ssize_t n, int32_t z, int32_t c, float m, int32_t zo, int32_t lo,
                  int32_t hi, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _shift(q, out, 0, n, z, c, m, zo, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _shift(q, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), z, c, m, zo, lo, hi)


cdef void _shift(const qint_t* q, qint_t* out, Py_ssize_t start, Py_ssize_t stop, int32_t z, int32_t c, float m,
                 int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(start, stop):
        out[i] = _requantize[qint_t](<float>qn_add(qn_sub(q[i], z), c), m, zo, lo, hi, 0)


def reflect(q, out, int32_t lo, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *x = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    if t == QN_UINT8:
        _reflects(<const uint8_t*>x, <uint8_t*>to, n, lo, threads)
    elif t == QN_INT8:
        _reflects(<const int8_t*>x, <int8_t*>to, n, lo, threads)
    else:
        _reflects(<const int32_t*>x, <int32_t*>to, n, lo, threads)


cdef void _reflects(const qint_t* q, qint_t* out, Py_ssize_t n, int32_t lo, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _reflect(q, out, 0, n, lo)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _reflect(q, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), lo)


cdef void _reflect(const qint_t* q, qint_t* out, Py_ssize_t start, Py_ssize_t stop, int32_t lo) noexcept nogil:
    cdef Py_ssize_t i
    cdef qint_t least = <qint_t>lo, v
    for i in range(start, stop):
        v = <qint_t>~q[i]  # for every dtype, qmin + qmax - q
        out[i] = v if v > least else least


# ---- cat ----------------------------------------------------------------------------------------------------------

def cat_rows(x, out, Py_ssize_t columns, Py_ssize_t start, Py_ssize_t width, double scale, int32_t zero_point,
             double out_scale, int32_t zo, int32_t lo, int32_t hi, bint relu, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *first = qn_read(x, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef Py_ssize_t rows = n // columns
    cdef float s = <float>scale, inv = <float>1.0 / <float>out_scale
    lo = zo if relu else lo
    if t == QN_UINT8:
        _cat_rows(<const uint8_t*>first, <uint8_t*>to + start, rows, columns, width, s, zero_point, inv, zo, lo, hi,
                  threads)
    elif t == QN_INT8:
        _cat_rows(<const int8_t*>first, <int8_t*>to + start, rows, columns, width, s, zero_point, inv, zo, lo, hi,
                  threads)
    else:
        _cat_rows(<const int32_t*>first, <int32_t*>to + start, rows, columns, width, s, zero_point, inv, zo, lo, hi,
                  threads)


cdef void _cat_rows(const qint_t* x, qint_t* out, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t width, float s,
                    int32_t z, float inv, int32_t zo, int32_t lo, int32_t hi, int threads) noexcept:
    cdef Py_ssize_t r
    if threads == 1:
        with nogil:
            for r in range(rows):
                _cat_row(x + r * columns, out + r * width, columns, s, z, inv, zo, lo, hi)
    else:
        for r in prange(rows, num_threads=threads, nogil=True, schedule="static"):
            _cat_row(x + r * columns, out + r * width, columns, s, z, inv, zo, lo, hi)


cdef void _cat_row(const qint_t* x, qint_t* out, Py_ssize_t n, float s, int32_t z, float inv, int32_t zo, int32_t lo,
                   int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t v
    for i in range(n):
        if qint_t is int32_t:
            v = qn_qs32(qn_ds(x[i], s, z), inv, <float>zo)
            out[i] = v if v > lo else lo
        else:
            out[i] = <qint_t>qn_qt(qn_ds(x[i], s, z), inv, <float>zo, lo, hi)


def cat_nhwc(x, out, Py_ssize_t columns, Py_ssize_t start, Py_ssize_t width, double scale, int32_t zero_point,
             double out_scale, int32_t zo, int32_t lo, int32_t hi, bint relu, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *first = qn_read(x, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef Py_ssize_t rows = n // columns
    cdef float s = <float>scale, inv = <float>1.0 / <float>out_scale, inv_vector = <float>(1.0 / out_scale)
    cdef float floor = 0.0 if relu else -INFINITY
    if t == QN_UINT8:
        _cat_pixels(<const uint8_t*>first, <uint8_t*>to + start, rows, columns, width, s, zero_point, inv_vector, inv,
                    zo, lo, hi, floor, threads)
    elif t == QN_INT8:
        _cat_pixels(<const int8_t*>first, <int8_t*>to + start, rows, columns, width, s, zero_point, inv_vector, inv, zo,
                    lo, hi, floor, threads)
    else:
        _cat_pixels(<const int32_t*>first, <int32_t*>to + start, rows, columns, width, s, zero_point, inv_vector, inv,
                    zo, lo, hi, floor, threads)


cdef void _cat_pixels(const qint_t* x, qint_t* out, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t width, float s,
                      int32_t z, float inv_vector, float inv, int32_t zo, int32_t lo, int32_t hi, float floor,
                      int threads) noexcept:
    cdef Py_ssize_t r
    if threads == 1:
        with nogil:
            for r in range(rows):
                _cat_pixel(x + r * columns, out + r * width, columns, s, z, inv_vector, inv, zo, lo, hi, floor)
    else:
        for r in prange(rows, num_threads=threads, nogil=True, schedule="static"):
            _cat_pixel(x + r * columns, out + r * width, columns, s, z, inv_vector, inv, zo, lo, hi, floor)


cdef void _cat_pixel(const qint_t* x, qint_t* out, Py_ssize_t n, float s, int32_t z, float inv_vector, float inv,
                     int32_t zo, int32_t lo, int32_t hi, float floor) noexcept nogil:
    cdef float offset = qn_dv_offset(s, z), y
    # torch's vectors are 8 elements of float32: four at a time for 8-bit dtypes, then one at a time
    cdef Py_ssize_t i, n_vector = n // 8 * 8
    for i in range(n_vector):
        y = qn_dv(x[i], s, offset)
        y = y if y > floor else floor
        if qint_t is int32_t:
            out[i] = qn_qs32(y, inv, <float>zo)
        else:
            out[i] = <qint_t>qn_qv(y, inv_vector, zo, lo, hi)
    for i in range(n_vector, n):
        y = qn_ds(x[i], s, z)
        y = y if y > floor else floor
        if qint_t is int32_t:
            out[i] = qn_qs32(y, inv, <float>zo)
        else:
            out[i] = <qint_t>qn_qs(y, inv, <float>zo, lo, hi)


def cat_lookup(x, out, Py_ssize_t columns, Py_ssize_t start, Py_ssize_t width, tables, int threads, /):
    """Two tables, one behind the other: of vector elements, as in `cat_nhwc`, and of the others."""
    cdef Py_ssize_t n
    cdef const uint8_t* first = <const uint8_t*>qn_read(x, 1, 0, &n)
    cdef uint8_t* to = <uint8_t*>qn_write(out, 1, 0, NULL) + start
    cdef const uint8_t* both = <const uint8_t*>qn_read(tables, 1, 0, NULL)
    cdef Py_ssize_t rows = n // columns
    cdef int t
    if threads == 1:
        with nogil:
            _cat_lookup(first, to, columns, width, both, 0, rows)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _cat_lookup(first, to, columns, width, both, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1))


cdef void _cat_lookup(const uint8_t* x, uint8_t* out, Py_ssize_t n, Py_ssize_t width, const uint8_t* tables,
                      Py_ssize_t r, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t n_vector = n // 8 * 8
    x += r * n
    out += r * width
    if n_vector > 0:
        qn_lookup(tables, x, n, out, width, stop - r, n_vector)
    if n > n_vector:
        qn_lookup(tables + 256, x + n_vector, n, out + n_vector, width, stop - r, n - n_vector)


def cat_copy(x, out, Py_ssize_t columns, Py_ssize_t start, Py_ssize_t width, int threads, /):
    cdef Py_ssize_t size = qn_size(qn_type(out))
    cdef Py_ssize_t n
    cdef const uint8_t* first = <const uint8_t*>qn_read(x, size, 0, &n)
    cdef uint8_t* to = <uint8_t*>qn_write(out, size, 0, NULL) + start * size
    cdef Py_ssize_t rows = n // columns
    cdef int t
    columns *= size  # bytes from here on
    width *= size
    if threads == 1:
        with nogil:
            _cat_copy(first, to, columns, width, 0, rows)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _cat_copy(first, to, columns, width, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1))


cdef void _cat_copy(const uint8_t* x, uint8_t* out, Py_ssize_t n, Py_ssize_t width, Py_ssize_t r,
                    Py_ssize_t stop) noexcept nogil:
    qn_copy_rows(x + r * n, n, out + r * width, width, stop - r, n)
