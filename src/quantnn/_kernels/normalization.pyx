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

Layout: batch_norm (pixels, C); layer_norm (rows, n); group_norm (N, C, inner); group_norm_last (N, pixels, C). All
C-contiguous, input and output alike. Instance norm is a group norm with one channel in each group.
Exactness: the sums are exact integers, so the results are the same at every level and for any number of threads.
Parallel: over pixels, rows, groups, and parts of an image.
"""
from cython.parallel cimport prange
from libc.math cimport fabsf, sqrt, sqrtf
from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from numerics cimport (
    aligned,
    cut,
    flip,
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


def batch_norm(const qint_t[::1] x, qint_t[::1] out, const float[::1] weight, const float[::1] bias,
               const float[::1] mean, const float[::1] var, double eps, double scale, double out_scale,
               float[::1] scratch, Py_ssize_t row, int32_t z, int32_t zo, int32_t lo, int32_t hi, int threads):
    """A row of `row` elements is one pixel, or several whole pixels of a few channels.

    `scratch` has room for alpha and beta of a row, and for their alignment: 2 * row + 32.
    """
    cdef Py_ssize_t n = x.shape[0]
    cdef float* alpha = aligned(&scratch[0])
    cdef float* beta = aligned(alpha + row)
    cdef Output o = Output(1, zo, lo, hi)
    cdef bint small
    cdef int t
    _batch_norm_parameters(weight, bias, mean, var, <float>eps, scale, out_scale, alpha, beta, row)
    small = _is_small(512 * _largest(alpha, row) + _largest(beta, row), o)
    if threads == 1:
        with nogil:
            _batch_norm(x, out, alpha, beta, row, 0, n, small, z, o)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _batch_norm(x, out, alpha, beta, row, cut(n, t, threads, row), cut(n, t + 1, threads, row), small, z, o)


cdef void _batch_norm_parameters(const float[::1] weight, const float[::1] bias, const float[::1] mean,
                                 const float[::1] var, float eps, double scale, double out_scale, float* alpha,
                                 float* beta, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t c, channels = weight.shape[0]
    cdef float iv, t
    for c in range(channels):
        t = var[c] + eps
        iv = <float>(1.0 / <double>sqrtf(t))
        t = iv * weight[c]
        alpha[c] = <float>(<double>t * (scale / out_scale))
        t = mean[c] * iv
        t = t * weight[c]
        t = bias[c] - t
        beta[c] = <float>(<double>t / out_scale)
    for c in range(channels, row):
        alpha[c] = alpha[c - channels]
        beta[c] = beta[c - channels]


cdef void _batch_norm(const qint_t[::1] x, qint_t[::1] out, const float* alpha, const float* beta, Py_ssize_t row,
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


def layer_norm(const qint_t[:, ::1] x, qint_t[:, ::1] out, const float[::1] weight, const float[::1] bias,
               float scale, int32_t z, double eps, float inv, int32_t zo, int32_t lo, int32_t hi, int threads):
    cdef Py_ssize_t rows = x.shape[0], n = x.shape[1]
    cdef Output o = Output(inv, zo, lo, hi)
    cdef float largest_weight = _largest(&weight[0], n), largest_bias = _largest(&bias[0], n)
    cdef int t
    if threads == 1:
        with nogil:
            _layer_norms(x, out, 0, rows, &weight[0], &bias[0], largest_weight, largest_bias, scale, z, eps, o)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _layer_norms(x, out, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1), &weight[0], &bias[0],
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
cdef void _layer_norms(const qint_t[:, ::1] x, qint_t[:, ::1] out, Py_ssize_t start, Py_ssize_t stop,
                       const float* weight, const float* bias, float largest_weight, float largest_bias, float scale,
                       int32_t z, double eps, Output o) noexcept nogil:
    cdef Py_ssize_t n = x.shape[1], count, r
    cdef Sums[ROWS] total
    cdef float[ROWS] mean
    cdef float[ROWS] rs
    while start < stop:
        count = stop - start if stop - start < ROWS else ROWS
        for r in range(count):
            total[r] = Sums(0, 0, 0)
            _sums(&x[start + r, 0], n, &total[r])
        for r in range(count):
            _statistics(&total[r], n, scale, z, eps, &mean[r], &rs[r])
        for r in range(count):
            _layer_norm(&x[start + r, 0], &out[start + r, 0], n, weight, bias, largest_weight, largest_bias, z,
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


def group_norm(const qint_t[:, :, ::1] x, qint_t[:, :, ::1] out, const float[::1] weight, const float[::1] bias,
               Py_ssize_t groups, float scale, int32_t z, double eps, float inv, int32_t zo, int32_t lo, int32_t hi,
               int threads):
    cdef Py_ssize_t tasks = x.shape[0] * groups, per_group = x.shape[1] // groups, inner = x.shape[2], r, c
    cdef Output o = Output(inv, zo, lo, hi)
    if threads == 1:
        with nogil:
            for r in range(tasks):
                c = r % groups * per_group
                _group_norm(&x[r // groups, c, 0], &out[r // groups, c, 0], &weight[c], &bias[c], per_group, inner,
                            scale, z, eps, o)
    else:
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            c = r % groups * per_group
            _group_norm(&x[r // groups, c, 0], &out[r // groups, c, 0], &weight[c], &bias[c], per_group, inner,
                        scale, z, eps, o)


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


def group_norm_last(const qint_t[:, :, ::1] x, qint_t[:, :, ::1] out, const float[::1] weight, const float[::1] bias,
                    int64_t[:, :, :, ::1] sums, float[::1] scratch, Py_ssize_t row,
                    bint weighted, Py_ssize_t groups, Py_ssize_t run, Py_ssize_t vectors,
                    float scale, int32_t z, double eps, float inv, int32_t zo, int32_t lo, int32_t hi, int threads):
    """Channels are taken in runs of `run`; of each run the first `vectors` are quantized by QV, the rest by QS.

    Scratch: sums (N, parts, 3, C), where an image is cut in `parts` parts; (2 * N + 1) * (row + 16) floats for factors
    and offsets, which hold the values of all channels row/C times over, so that as many pixels make one row. If there
    is more than one, run is `row` and all of it is quantized alike.
    """
    cdef Py_ssize_t parts = sums.shape[1], pixels = x.shape[1], tasks = x.shape[0] * parts, r, n
    cdef Py_ssize_t step = (row + 15) // 16 * 16
    cdef float* factor = aligned(&scratch[0])
    cdef float* offset = factor + x.shape[0] * step
    cdef Output o = Output(inv, zo, lo, hi)
    if threads == 1:
        with nogil:
            for r in range(tasks):
                _sums_last(x, sums, r // parts, r % parts, cut(pixels, r % parts, parts, 1),
                           cut(pixels, r % parts + 1, parts, 1))
            for n in range(x.shape[0]):
                _factors_last(weight, bias, sums, factor + n * step, offset + n * step, row, n, pixels, weighted,
                              groups, scale, z, eps)
            for r in range(tasks):
                _affine_last(x, out, factor + r // parts * step, offset + r // parts * step, row, r // parts,
                             cut(pixels, r % parts, parts, 1), cut(pixels, r % parts + 1, parts, 1), run, vectors, z, o)
    else:
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            _sums_last(x, sums, r // parts, r % parts, cut(pixels, r % parts, parts, 1),
                       cut(pixels, r % parts + 1, parts, 1))
        with nogil:
            for n in range(x.shape[0]):
                _factors_last(weight, bias, sums, factor + n * step, offset + n * step, row, n, pixels, weighted,
                              groups, scale, z, eps)
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            _affine_last(x, out, factor + r // parts * step, offset + r // parts * step, row, r // parts,
                         cut(pixels, r % parts, parts, 1), cut(pixels, r % parts + 1, parts, 1), run, vectors, z, o)


cdef void _sums_last(const qint_t[:, :, ::1] x, int64_t[:, :, :, ::1] sums, Py_ssize_t n, Py_ssize_t part,
                     Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    # Per channel, over the pixels [start, stop) of image n.
    cdef Py_ssize_t channels = x.shape[2], c, p
    cdef int64_t first, second, shift = flip(<qint_t>0)
    cdef uint64_t square
    for c in range(channels):
        sums[n, part, 0, c] = 0
        sums[n, part, 1, c] = 0
        sums[n, part, 2, c] = 0
    if qint_t is int32_t:
        for p in range(start, stop):
            for c in range(channels):
                square = <uint64_t>(<int64_t>x[n, p, c] * <int64_t>x[n, p, c])
                sums[n, part, 0, c] += x[n, p, c]
                sums[n, part, 1, c] += <int64_t>(square >> 32)
                sums[n, part, 2, c] += <int64_t>(<uint32_t>square)
    else:
        for c in range(0, channels, 64):
            qn_channel_sums(<const uint8_t*>&x[n, 0, c] + start * channels, channels, stop - start,
                            <int>(channels - c if channels - c < 64 else 64), <int>shift,
                            &sums[n, part, 0, c], &sums[n, part, 2, c])
        for c in range(channels):
            first, second = sums[n, part, 0, c], sums[n, part, 2, c]
            sums[n, part, 0, c] = first - shift * (stop - start)
            sums[n, part, 2, c] = second - 2 * shift * first + shift * shift * (stop - start)


cdef void _factors_last(const float[::1] weight, const float[::1] bias, int64_t[:, :, :, ::1] sums,
                        float* factor, float* offset, Py_ssize_t row, Py_ssize_t n, Py_ssize_t pixels,
                        bint weighted, Py_ssize_t groups, float scale, int32_t z, double eps) noexcept nogil:
    cdef Py_ssize_t per_group = weight.shape[0] // groups, group, c, part
    cdef Sums total
    cdef float mean, rs, t
    for group in range(groups):
        total = Sums(0, 0, 0)
        for part in range(sums.shape[1]):
            for c in range(group * per_group, (group + 1) * per_group):
                total.first += sums[n, part, 0, c]
                total.high += sums[n, part, 1, c]
                total.low += sums[n, part, 2, c]
        _statistics(&total, per_group * pixels, scale, z, eps, &mean, &rs)
        for c in range(group * per_group, (group + 1) * per_group):
            factor[c] = rs * weight[c]
            if weighted:
                offset[c] = qn_fma(-factor[c], mean, bias[c])
            else:
                t = factor[c] * mean
                offset[c] = bias[c] - t
    for c in range(weight.shape[0], row):
        factor[c] = factor[c - weight.shape[0]]
        offset[c] = offset[c - weight.shape[0]]


cdef void _affine_last(const qint_t[:, :, ::1] x, qint_t[:, :, ::1] out, const float* factor, const float* offset,
                       Py_ssize_t row, Py_ssize_t n, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t run,
                       Py_ssize_t vectors, int32_t z, Output o) noexcept nogil:
    cdef Py_ssize_t left = (stop - start) * x.shape[2], begin
    cdef bint small = _is_small(512 * _largest(factor, row) + _largest(offset, row), o)
    cdef const qint_t* p = &x[n, 0, 0] + start * x.shape[2]
    cdef qint_t* q = &out[n, 0, 0] + start * x.shape[2]
    while left > 0:
        if left < row:  # the last pixels; all channels are quantized alike then
            row = left
            run = left
            vectors = left if vectors else 0
        begin = 0
        while begin < row:
            _affine_run(p + begin, q + begin, &factor[begin], &offset[begin], run, vectors, small, z, o)
            begin += run
        p += row
        q += row
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
