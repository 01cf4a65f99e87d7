"""
Batch, layer, group and instance normalization.

Computes, with every f32 one float32 rounding,
    batch_norm   iv = f32(1 / f32(sqrt(f32(var + eps))));  alpha = f32(f32(iv*w) * (s/so))
                 beta = f32(f32(b - f32(f32(mean*iv)*w)) / so)
                 q = clamp(rne(fma(alpha, f32(q - z), beta)) + zo)
                 qint32: of the channels c < C//8*8 the input is f32(q) - f32(z) and the zero point is added before
                 rounding (rule QS); of the others q - z does not overflow
    the others   over a group of n elements, S = sum q, S2 = sum q*q:
                 lm = f32(S/n);  mean = f32(lm - z);  var = max(fma(-lm, lm, f32(S2/n)), 0)
                 rs = f32(s / sqrt(f32(f32(var*s)*s) + eps)), the division and the root in float64
    layer_norm   y = fma(f32(f32(d - mean)*rs), weight, bias)      d = f32(q - z)
    group_norm   y = fma(f32(d - mean), f32(rs*weight), bias)
    group_norm_last (channels-last)
                 g = f32(rs*weight);  o = fma(-g, mean, bias);  y = fma(d, g, o)
                 without weight: g = rs;  o = f32(bias - f32(g*mean))

y is quantized by rule QV, with the zero point after rounding; the elements at the end that torch's vector loop leaves
over by rule QS, with the zero point before rounding. For qint32 both rules are one.

Layout: batch_norm (pixels, C); layer_norm (rows, n); group_norm (N, C, inner); group_norm_last (N, pixels, C). Input and
output are flat arrays of that order. Instance norm is a group norm with one channel in each group.
Exactness: the sums are exact integers, so the results are the same at every level and for any number of threads.
Parallel: over pixels, rows, groups, and parts of an image.
"""
from cython.parallel cimport prange
from libc.math cimport fabsf, sqrt, sqrtf
from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from arrays cimport QN_INT8, QN_UINT8, allocated, qn_read, qn_size, qn_type, qn_write
from numerics cimport (
    aligned,
    cut,
    flip,
    int8_t,
    int32_t,
    int64_t,
    qint_t,
    qn_clamp,
    qn_fma,
    qn_qs,
    qn_qs32,
    qn_qv,
    qn_rint,
    qn_rne_small,
    qn_sub,
    uint8_t,
    uint32_t,
)

cdef extern from "simd.h" nogil:
    enum:
        QN_BATCH_NORM
        QN_LAYER_NORM
        QN_GROUP_NORM
        QN_GROUP_NORM_LAST
    ctypedef struct qn_affine:
        const float* weight
        const float* bias
        float z
        float mean
        float rs
        float inv
        int32_t zo
        int32_t lo
    void qn_affine_bytes(int how, const qn_affine* a, const uint8_t* x, uint8_t* out, Py_ssize_t n, int flip) noexcept
    void qn_affine_channel(const qn_affine* a, const uint8_t* x, uint8_t* out, Py_ssize_t n, int flip) noexcept
    void qn_sums(const uint8_t* x, Py_ssize_t n, int flip, int64_t* first, int64_t* second) noexcept
    void qn_channel_sums(const uint8_t* x, Py_ssize_t step, Py_ssize_t pixels, int channels, int flip,
                         int64_t* first, int64_t* second) noexcept


# qn_affine_bytes, where y is known to be small: rule QV on n bytes.
cdef inline void _affine(int how, const qint_t* x, qint_t* out, Py_ssize_t n, const float* weight, const float* bias,
                         int32_t z, float mean, float rs, Output o) noexcept nogil:
    cdef qn_affine a
    a.weight = weight
    a.bias = bias
    a.z = <float>z
    a.mean = mean
    a.rs = rs
    a.inv = o.inv
    a.zo = o.zo
    a.lo = o.lo
    if how == QN_GROUP_NORM:
        qn_affine_channel(&a, <const uint8_t*>x, <uint8_t*>out, n, flip(<qint_t>0))
    else:
        qn_affine_bytes(how, &a, <const uint8_t*>x, <uint8_t*>out, n, flip(<qint_t>0))


cdef enum:
    ROWS = 8  # of a layer norm, taken together


cdef class Vectors:
    """The arrays of a layer, one element for each channel or place in a row; what they hold may change.

    Only a batch norm has statistics.
    """

    cdef Py_ssize_t size
    cdef const float* weight
    cdef const float* bias
    cdef const float* mean
    cdef const float* var
    cdef tuple arrays  # to which these point

    def __cinit__(self, weight, bias, mean=None, var=None, /):
        self.arrays = weight, bias, mean, var
        self.weight = <const float*>qn_read(weight, 4, 0, &self.size)
        self.bias = <const float*>qn_read(bias, 4, 0, NULL)
        self.mean = <const float*>qn_read(mean, 4, 0, NULL)
        self.var = <const float*>qn_read(var, 4, 0, NULL)


# Sums of a group: of q, and of q*q as high * 2**32 + low, which qint32 needs.
ctypedef struct Sums:
    int64_t first
    int64_t high
    int64_t low


# How y is quantized.
ctypedef struct Output:
    float inv
    int32_t zo
    int32_t lo
    int32_t hi


# ---- quantize -------------------------------------------------------------------------------------------------------
# Where y*inv is known to be small, which is nearly always, rules QV and QS need no care for what int32 cannot hold.


cdef inline bint _is_small(float bound, Output o) noexcept nogil:
    # Whether |y| <= bound makes |y*inv| < 2**30; false for NaN.
    return bound * o.inv < 1073741824.0


cdef inline float _between(float t, float lo, float hi) noexcept nogil:
    t = t if t < hi else hi
    return t if t > lo else lo


cdef inline int32_t _small_qs(float y, Output o) noexcept nogil:
    cdef float t = y * o.inv
    return qn_rne_small(_between(<float>o.zo + t, <float>o.lo, <float>o.hi))


cdef inline int32_t _any_qv(float y, Output o) noexcept nogil:
    return qn_qv(y, o.inv, o.zo, o.lo, o.hi)


cdef inline int32_t _any_qs(float y, Output o) noexcept nogil:
    return qn_qs(y, o.inv, <float>o.zo, o.lo, o.hi)


# ---- batch norm -----------------------------------------------------------------------------------------------------


def batch_norm(x, out, Vectors v, double eps, double scale, double out_scale, Py_ssize_t row, int32_t z, int32_t zo,
               int32_t lo, int32_t hi, int threads, /):
    """A row of `row` elements is one pixel, or several whole pixels of a few channels."""
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n, step = (row + 15) // 16 * 16
    cdef void *first = qn_read(x, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef void *block = allocated("normalization", 2 * step * sizeof(float) + 64)
    cdef float* alpha = aligned(<float*>block)
    cdef float* beta = alpha + step
    cdef Output o = Output(1, zo, lo, hi)
    cdef bint small
    _batch_norm_parameters(v, <float>eps, scale, out_scale, alpha, beta, row)
    small = _is_small(512 * _largest(alpha, row) + _largest(beta, row), o)
    if t == QN_UINT8:
        _batch_norms(<const uint8_t*>first, <uint8_t*>to, alpha, beta, row, n, small, z, o, threads)
    elif t == QN_INT8:
        _batch_norms(<const int8_t*>first, <int8_t*>to, alpha, beta, row, n, small, z, o, threads)
    else:
        _batch_norms(<const int32_t*>first, <int32_t*>to, alpha, beta, row, n, small, z, o, threads)
    free(block)


cdef void _batch_norms(const qint_t* x, qint_t* out, const float* alpha, const float* beta, Py_ssize_t row,
                       Py_ssize_t n, bint small, int32_t z, Output o, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _batch_norm(x, out, alpha, beta, row, 0, n, small, z, o)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _batch_norm(x, out, alpha, beta, row, cut(n, t, threads, row), cut(n, t + 1, threads, row), small, z, o)


cdef void _batch_norm_parameters(Vectors v, float eps, double scale, double out_scale, float* alpha, float* beta,
                                 Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t c, channels = v.size
    cdef float iv, t
    for c in range(channels):
        t = v.var[c] + eps
        iv = <float>(1.0 / <double>sqrtf(t))
        t = iv * v.weight[c]
        alpha[c] = <float>(<double>t * (scale / out_scale))
        t = v.mean[c] * iv
        t = t * v.weight[c]
        t = v.bias[c] - t
        beta[c] = <float>(<double>t / out_scale)
    for c in range(channels, row):
        alpha[c] = alpha[c - channels]
        beta[c] = beta[c - channels]


cdef void _batch_norm(const qint_t* x, qint_t* out, const float* alpha, const float* beta, Py_ssize_t row,
                      Py_ssize_t start, Py_ssize_t stop, bint small, int32_t z, Output o) noexcept nogil:
    cdef Py_ssize_t c, vectors = row // 8 * 8
    cdef int32_t zo = o.zo, lo = o.lo, hi = o.hi
    cdef float low = <float>(lo - zo), high = <float>(hi - zo)
    cdef double v
    while start < stop:
        row = stop - start if stop - start < row else row
        if qint_t is int32_t:
            for c in range(vectors):
                out[start + c] = qn_clamp(
                    qn_qs32(qn_fma(alpha[c], <float>x[start + c] - <float>z, beta[c]), 1.0, <float>zo), lo, hi)
            for c in range(vectors, row):
                v = <double>qn_rint(qn_fma(alpha[c], <float>(<int64_t>x[start + c] - z), beta[c])) + <double>zo
                v = v if v < <double>hi else <double>hi
                out[start + c] = <int32_t>(v if v > <double>lo else <double>lo)
        elif small:
            _affine(QN_BATCH_NORM, &x[start], &out[start], row, alpha, beta, z, 0, 1, o)
        else:
            # clamped before the zero point is added, so that absurd values saturate instead of wrapping
            for c in range(row):
                out[start + c] = <qint_t>(
                    qn_rne_small(_between(qn_fma(alpha[c], <float>(<int32_t>x[start + c] - z), beta[c]), low, high))
                    + zo)
        start += row


# ---- statistics -----------------------------------------------------------------------------------------------------


cdef void _sums(const qint_t* x, Py_ssize_t n, Sums* total) noexcept nogil:
    # Adds the sums over x[:n] to `total`.
    cdef Py_ssize_t i
    cdef int64_t first = 0, second = 0, shift = flip(<qint_t>0)
    cdef uint64_t square
    if qint_t is int32_t:
        for i in range(n):
            square = <uint64_t>(<int64_t>x[i] * <int64_t>x[i])
            total.first += x[i]
            total.high += <int64_t>(square >> 32)
            total.low += <int64_t>(<uint32_t>square)
    else:
        qn_sums(<const uint8_t*>x, n, <int>shift, &first, &second)
        total.first += first - shift * n
        total.low += second - 2 * shift * first + shift * shift * n


cdef void _statistics(Sums* total, Py_ssize_t n, float scale, int32_t z, double eps,
                      float* mean, float* rs) noexcept nogil:
    cdef float lm, var, square
    cdef int64_t high = total.high + (total.low >> 32), low = total.low & <int64_t>0xFFFFFFFFu
    if high < 0x7FFFFFFF:
        square = <float>((high << 32) | low)
    else:  # more than 63 bits: float32 keeps 24 of them, the rest is sticky
        square = <float>(high | (low != 0)) * 4294967296.0
    lm = <float>total.first / <float>n
    mean[0] = lm - <float>z
    square = square / <float>n
    var = qn_fma(-lm, lm, square)
    var = var if var > 0 else 0
    var = var * scale
    var = var * scale
    rs[0] = <float>(<double>scale / sqrt(<double>var + eps))


# ---- layer norm -----------------------------------------------------------------------------------------------------


def layer_norm(x, out, Vectors v, float scale, int32_t z, double eps, float inv, int32_t zo, int32_t lo, int32_t hi,
               int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *first = qn_read(x, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef Py_ssize_t rows = n // v.size
    cdef Output o = Output(inv, zo, lo, hi)
    if t == QN_UINT8:
        _rows(<const uint8_t*>first, <uint8_t*>to, rows, v, scale, z, eps, o, threads)
    elif t == QN_INT8:
        _rows(<const int8_t*>first, <int8_t*>to, rows, v, scale, z, eps, o, threads)
    else:
        _rows(<const int32_t*>first, <int32_t*>to, rows, v, scale, z, eps, o, threads)


cdef void _rows(const qint_t* x, qint_t* out, Py_ssize_t rows, Vectors v, float scale, int32_t z, double eps,
                Output o, int threads) noexcept:
    cdef Py_ssize_t n = v.size
    cdef const float* weight = v.weight
    cdef const float* bias = v.bias
    cdef float largest_weight = _largest(weight, n), largest_bias = _largest(bias, n)
    cdef int t
    if threads == 1:
        with nogil:
            _layer_norms(x, out, 0, rows, n, weight, bias, largest_weight, largest_bias, scale, z, eps, o)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _layer_norms(x, out, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1), n, weight, bias,
                         largest_weight, largest_bias, scale, z, eps, o)


cdef float _largest(const float* x, Py_ssize_t n) noexcept nogil:
    # The largest magnitude; NaN if there is one. The bits of magnitudes are in the same order, and compare faster.
    cdef Py_ssize_t i
    cdef const uint32_t* bits = <const uint32_t*>x
    cdef uint32_t largest = 0, v
    cdef float result
    for i in range(n):
        v = bits[i] & 0x7FFFFFFF
        largest = v if v > largest else largest
    memcpy(&result, &largest, 4)
    return result


# The statistics of a few rows at once: their roots and divisions take long, but not one after the other.
cdef void _layer_norms(const qint_t* x, qint_t* out, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t n,
                       const float* weight, const float* bias, float largest_weight, float largest_bias, float scale,
                       int32_t z, double eps, Output o) noexcept nogil:
    cdef Py_ssize_t count, r
    cdef Sums[ROWS] total
    cdef float[ROWS] mean
    cdef float[ROWS] rs
    while start < stop:
        count = stop - start if stop - start < ROWS else ROWS
        for r in range(count):
            total[r] = Sums(0, 0, 0)
            _sums(x + (start + r) * n, n, &total[r])
        for r in range(count):
            _statistics(&total[r], n, scale, z, eps, &mean[r], &rs[r])
        for r in range(count):
            _layer_norm(x + (start + r) * n, out + (start + r) * n, n, weight, bias, largest_weight, largest_bias, z,
                        mean[r], rs[r], o)
        start += count


cdef void _layer_norm(const qint_t* x, qint_t* out, Py_ssize_t n, const float* weight, const float* bias,
                      float largest_weight, float largest_bias, int32_t z, float mean, float rs,
                      Output o) noexcept nogil:
    cdef Py_ssize_t i, vectors = n // 32 * 32
    cdef float t
    if qint_t is int32_t:
        for i in range(n):
            t = (<float>qn_sub(x[i], z) - mean) * rs
            out[i] = qn_qs32(qn_fma(t, weight[i], bias[i]), o.inv, <float>o.zo)
    elif _is_small(512 * rs * largest_weight + largest_bias, o):
        _affine(QN_LAYER_NORM, x, out, vectors, weight, bias, z, mean, rs, o)
        for i in range(vectors, n):
            t = (<float>(<int32_t>x[i] - z) - mean) * rs
            out[i] = <qint_t>_small_qs(qn_fma(t, weight[i], bias[i]), o)
    else:
        for i in range(vectors):
            t = (<float>(<int32_t>x[i] - z) - mean) * rs
            out[i] = <qint_t>_any_qv(qn_fma(t, weight[i], bias[i]), o)
        for i in range(vectors, n):
            t = (<float>(<int32_t>x[i] - z) - mean) * rs
            out[i] = <qint_t>_any_qs(qn_fma(t, weight[i], bias[i]), o)


# ---- group norm, contiguous -----------------------------------------------------------------------------------------


def group_norm(x, out, Vectors v, Py_ssize_t inner, Py_ssize_t groups, float scale, int32_t z, double eps, float inv,
               int32_t zo, int32_t lo, int32_t hi, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *first = qn_read(x, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef Py_ssize_t channels = v.size // groups, tasks = n // (channels * inner)
    cdef Output o = Output(inv, zo, lo, hi)
    if t == QN_UINT8:
        _groups(<const uint8_t*>first, <uint8_t*>to, tasks, v.weight, v.bias, groups, channels, inner, scale, z, eps, o,
                threads)
    elif t == QN_INT8:
        _groups(<const int8_t*>first, <int8_t*>to, tasks, v.weight, v.bias, groups, channels, inner, scale, z, eps, o,
                threads)
    else:
        _groups(<const int32_t*>first, <int32_t*>to, tasks, v.weight, v.bias, groups, channels, inner, scale, z, eps, o,
                threads)


cdef void _groups(const qint_t* x, qint_t* out, Py_ssize_t tasks, const float* weight, const float* bias,
                  Py_ssize_t groups, Py_ssize_t channels, Py_ssize_t inner, float scale, int32_t z, double eps,
                  Output o, int threads) noexcept:
    cdef Py_ssize_t size = channels * inner, r, c
    if threads == 1:
        with nogil:
            for r in range(tasks):
                c = r % groups * channels
                _group_norm(x + r * size, out + r * size, weight + c, bias + c, channels, inner, scale, z, eps, o)
    else:
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            c = r % groups * channels
            _group_norm(x + r * size, out + r * size, weight + c, bias + c, channels, inner, scale, z, eps, o)


cdef void _group_norm(const qint_t* x, qint_t* out, const float* weight, const float* bias, Py_ssize_t channels,
                      Py_ssize_t inner, float scale, int32_t z, double eps, Output o) noexcept nogil:
    cdef Py_ssize_t c, i
    cdef Sums total = Sums(0, 0, 0)
    cdef float mean, rs, g, b, d
    _sums(x, channels * inner, &total)
    _statistics(&total, channels * inner, scale, z, eps, &mean, &rs)
    for c in range(channels):
        g = rs * weight[c]
        b = bias[c]
        if qint_t is int32_t:
            for i in range(inner):
                d = <float>qn_sub(x[i], z) - mean
                out[i] = qn_qs32(qn_fma(d, g, b), o.inv, <float>o.zo)
        elif not _is_small(512 * fabsf(g) + fabsf(b), o):
            for i in range(inner):
                d = <float>(<int32_t>x[i] - z) - mean
                out[i] = <qint_t>_any_qv(qn_fma(d, g, b), o)
        else:
            _affine(QN_GROUP_NORM, x, out, inner, &g, &b, z, mean, 1, o)
        x += inner
        out += inner


# ---- group norm, channels-last --------------------------------------------------------------------------------------


# Images of `pixels` times `channels`, each cut in `parts` parts; `groups` of channels; sums (N, parts, 3, C).
cdef struct Images:
    Py_ssize_t pixels
    Py_ssize_t channels
    Py_ssize_t groups
    Py_ssize_t parts
    int64_t* sums


def group_norm_last(x, out, Vectors v, Py_ssize_t pixels, Py_ssize_t groups, Py_ssize_t row, bint weighted,
                    Py_ssize_t run, Py_ssize_t vectors, float scale, int32_t z, double eps, float inv, int32_t zo,
                    int32_t lo, int32_t hi, int threads, /):
    """Channels are taken in runs of `run`; of each run the first `vectors` are quantized by QV, the rest by QS.

    The factors and offsets of all channels are held row/C times over, so that as many pixels make one row. If there is
    more than one, run is `row` and all of it is quantized alike.
    """
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *first = qn_read(x, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef Py_ssize_t channels = v.size, count = n // (pixels * channels), parts = (threads + count - 1) // count
    cdef Py_ssize_t step = (row + 15) // 16 * 16
    cdef void *block = allocated("normalization", 2 * count * step * sizeof(float)
                                 + 3 * count * parts * channels * sizeof(int64_t) + 64)
    cdef float* factor = aligned(<float*>block)
    cdef float* offset = factor + count * step
    cdef Images images = Images(pixels, channels, groups, parts, <int64_t*>(offset + count * step))
    cdef Output o = Output(inv, zo, lo, hi)
    if t == QN_UINT8:
        _images(<const uint8_t*>first, <uint8_t*>to, count, v, images, factor, offset, step, row, weighted, run,
                vectors, scale, z, eps, o, threads)
    elif t == QN_INT8:
        _images(<const int8_t*>first, <int8_t*>to, count, v, images, factor, offset, step, row, weighted, run, vectors,
                scale, z, eps, o, threads)
    else:
        _images(<const int32_t*>first, <int32_t*>to, count, v, images, factor, offset, step, row, weighted, run,
                vectors, scale, z, eps, o, threads)
    free(block)


cdef void _images(const qint_t* x, qint_t* out, Py_ssize_t count, Vectors v, Images images, float* factor,
                  float* offset, Py_ssize_t step, Py_ssize_t row, bint weighted, Py_ssize_t run, Py_ssize_t vectors,
                  float scale, int32_t z, double eps, Output o, int threads) noexcept:
    cdef Py_ssize_t parts = images.parts, tasks = count * parts, r
    if threads == 1:
        with nogil:
            for r in range(tasks):
                _sums_last(x, images, r // parts, r % parts)
            for r in range(count):
                _factors_last(v, images, r, factor + r * step, offset + r * step, row, weighted, scale, z, eps)
            for r in range(tasks):
                _affine_last(x, out, images, r // parts, r % parts, factor + r // parts * step,
                             offset + r // parts * step, row, run, vectors, z, o)
    else:
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            _sums_last(x, images, r // parts, r % parts)
        with nogil:
            for r in range(count):
                _factors_last(v, images, r, factor + r * step, offset + r * step, row, weighted, scale, z, eps)
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            _affine_last(x, out, images, r // parts, r % parts, factor + r // parts * step,
                         offset + r // parts * step, row, run, vectors, z, o)


# Where a part of an image begins, and the part before it ends.
cdef inline Py_ssize_t _edge(Images images, Py_ssize_t n, Py_ssize_t part) noexcept nogil:
    return (n * images.pixels + cut(images.pixels, part, images.parts, 1)) * images.channels


cdef void _sums_last(const qint_t* x, Images images, Py_ssize_t n, Py_ssize_t part) noexcept nogil:
    # Per channel, over the pixels of a part.
    cdef Py_ssize_t channels = images.channels, start = _edge(images, n, part), c, p
    cdef Py_ssize_t pixels = (_edge(images, n, part + 1) - start) // channels
    cdef int64_t first, second, shift = flip(<qint_t>0)
    cdef int64_t* sum = images.sums + 3 * (n * images.parts + part) * channels
    cdef int64_t* high = sum + channels
    cdef int64_t* low = high + channels
    cdef uint64_t square
    memset(sum, 0, 3 * channels * sizeof(int64_t))
    x += start
    if qint_t is int32_t:
        for p in range(pixels):
            for c in range(channels):
                square = <uint64_t>(<int64_t>x[c] * <int64_t>x[c])
                sum[c] += x[c]
                high[c] += <int64_t>(square >> 32)
                low[c] += <int64_t>(<uint32_t>square)
            x += channels
    else:
        for c in range(0, channels, 64):
            qn_channel_sums(<const uint8_t*>x + c, channels, pixels, <int>(channels - c if channels - c < 64 else 64),
                            <int>shift, sum + c, low + c)
        for c in range(channels):
            first, second = sum[c], low[c]
            sum[c] = first - shift * pixels
            low[c] = second - 2 * shift * first + shift * shift * pixels


cdef void _factors_last(Vectors v, Images images, Py_ssize_t n, float* factor, float* offset, Py_ssize_t row,
                        bint weighted, float scale, int32_t z, double eps) noexcept nogil:
    cdef Py_ssize_t channels = images.channels, per_group = channels // images.groups, group, c, part
    cdef const int64_t* sum
    cdef Sums total
    cdef float mean, rs, t
    for group in range(images.groups):
        total = Sums(0, 0, 0)
        for part in range(n * images.parts, (n + 1) * images.parts):
            sum = images.sums + 3 * part * channels
            for c in range(group * per_group, (group + 1) * per_group):
                total.first += sum[c]
                total.high += sum[channels + c]
                total.low += sum[2 * channels + c]
        _statistics(&total, per_group * images.pixels, scale, z, eps, &mean, &rs)
        for c in range(group * per_group, (group + 1) * per_group):
            factor[c] = rs * v.weight[c]
            if weighted:
                offset[c] = qn_fma(-factor[c], mean, v.bias[c])
            else:
                t = factor[c] * mean
                offset[c] = v.bias[c] - t
    for c in range(channels, row):
        factor[c] = factor[c - channels]
        offset[c] = offset[c - channels]


cdef void _affine_last(const qint_t* x, qint_t* out, Images images, Py_ssize_t n, Py_ssize_t part, const float* factor,
                       const float* offset, Py_ssize_t row, Py_ssize_t run, Py_ssize_t vectors, int32_t z,
                       Output o) noexcept nogil:
    cdef Py_ssize_t start = _edge(images, n, part), left = _edge(images, n, part + 1) - start, begin
    cdef bint small = _is_small(512 * _largest(factor, row) + _largest(offset, row), o)
    x += start
    out += start
    while left > 0:
        if left < row:  # the last pixels; all channels are quantized alike then
            row = left
            run = left
            vectors = left if vectors else 0
        begin = 0
        while begin < row:
            _affine_run(x + begin, out + begin, factor + begin, offset + begin, run, vectors, small, z, o)
            begin += run
        x += row
        out += row
        left -= row


cdef void _affine_run(const qint_t* x, qint_t* out, const float* factor, const float* offset, Py_ssize_t run,
                      Py_ssize_t vectors, bint small, int32_t z, Output o) noexcept nogil:
    cdef Py_ssize_t c
    if qint_t is int32_t:
        for c in range(run):
            out[c] = qn_qs32(qn_fma(<float>qn_sub(x[c], z), factor[c], offset[c]), o.inv, <float>o.zo)
    elif small:
        _affine(QN_GROUP_NORM_LAST, x, out, vectors, factor, offset, z, 0, 1, o)
        for c in range(vectors, run):
            out[c] = <qint_t>_small_qs(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
    else:
        for c in range(vectors):
            out[c] = <qint_t>_any_qv(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
        for c in range(vectors, run):
            out[c] = <qint_t>_any_qs(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
