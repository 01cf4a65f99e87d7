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
from libc.float cimport FLT_MAX
from libc.math cimport INFINITY, fabsf, sqrt, sqrtf
from libc.stdint cimport uint64_t
from numerics cimport (
    cut,
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
    uint32_t,
)

cdef enum:
    BLOCK = 32768  # the sum of this many squares of 8-bit integers fits an int32
    LANES = 64     # elements, or channels, taken at a time


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


cdef inline int32_t _small_qv(float y, Output o) noexcept nogil:
    return qn_rne_small(_between(y * o.inv, <float>(o.lo - o.zo), <float>(o.hi - o.zo))) + o.zo


cdef inline int32_t _small_qs(float y, Output o) noexcept nogil:
    cdef float t = y * o.inv
    return qn_rne_small(_between(<float>o.zo + t, <float>o.lo, <float>o.hi))


cdef inline int32_t _any_qv(float y, Output o) noexcept nogil:
    return qn_qv(y, o.inv, o.zo, o.lo, o.hi)


cdef inline int32_t _any_qs(float y, Output o) noexcept nogil:
    return qn_qs(y, o.inv, <float>o.zo, o.lo, o.hi)


# ---- batch norm -----------------------------------------------------------------------------------------------------


def batch_norm_parameters(const float[::1] weight, const float[::1] bias, const float[::1] mean,
                          const float[::1] var, float eps, double scale, double out_scale,
                          float[::1] alpha, float[::1] beta):
    """`alpha` and `beta` may be longer than the number of channels: they are filled again and again."""
    cdef Py_ssize_t c, channels = weight.shape[0]
    cdef float iv, t
    with nogil:
        for c in range(channels):
            t = var[c] + eps
            iv = <float>(1.0 / <double>sqrtf(t))
            t = iv * weight[c]
            alpha[c] = <float>(<double>t * (scale / out_scale))
            t = mean[c] * iv
            t = t * weight[c]
            t = bias[c] - t
            beta[c] = <float>(<double>t / out_scale)
        for c in range(channels, alpha.shape[0]):
            alpha[c] = alpha[c - channels]
            beta[c] = beta[c - channels]


def batch_norm(const qint_t[::1] x, qint_t[::1] out, const float[::1] alpha, const float[::1] beta,
               int32_t z, int32_t zo, int32_t lo, int32_t hi, int threads):
    """One row is as long as `alpha` and `beta`: one pixel, or several whole pixels of a few channels."""
    cdef Py_ssize_t n = x.shape[0], row = alpha.shape[0]
    cdef int t
    if threads == 1:
        with nogil:
            _batch_norm(x, out, alpha, beta, 0, n, z, zo, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _batch_norm(x, out, alpha, beta, cut(n, t, threads, row), cut(n, t + 1, threads, row), z, zo, lo, hi)


cdef void _batch_norm(const qint_t[::1] x, qint_t[::1] out, const float[::1] alpha, const float[::1] beta,
                      Py_ssize_t start, Py_ssize_t stop, int32_t z, int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t c, row = alpha.shape[0], vectors = row // 8 * 8
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
    cdef Py_ssize_t i = 0, stop
    cdef int32_t q, s, s2
    cdef uint64_t square
    if qint_t is int32_t:
        for i in range(n):
            square = <uint64_t>(<int64_t>x[i] * <int64_t>x[i])
            total.first += x[i]
            total.high += <int64_t>(square >> 32)
            total.low += <int64_t>(<uint32_t>square)
    else:
        while i < n:
            stop = i + BLOCK if i + BLOCK < n else n
            s = 0
            s2 = 0
            for i in range(i, stop):
                q = x[i]
                s += q
                s2 += q * q
            i = stop
            total.first += s
            total.low += s2


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
    cdef Py_ssize_t rows = x.shape[0], n = x.shape[1], r
    cdef Output o = Output(inv, zo, lo, hi)
    cdef float largest_weight = _largest(&weight[0], n), largest_bias = _largest(&bias[0], n)
    if threads == 1:
        with nogil:
            for r in range(rows):
                _layer_norm(&x[r, 0], &out[r, 0], n, &weight[0], &bias[0], largest_weight, largest_bias,
                            scale, z, eps, o)
    else:
        for r in prange(rows, num_threads=threads, nogil=True, schedule="static"):
            _layer_norm(&x[r, 0], &out[r, 0], n, &weight[0], &bias[0], largest_weight, largest_bias,
                        scale, z, eps, o)


cdef float _largest(const float* x, Py_ssize_t n) noexcept nogil:
    # The largest magnitude; infinity if there is a NaN.
    cdef Py_ssize_t i
    cdef float largest = 0, v
    for i in range(n):
        v = fabsf(x[i])
        v = v if v <= FLT_MAX else INFINITY
        largest = v if v > largest else largest
    return largest


cdef void _layer_norm(const qint_t* x, qint_t* out, Py_ssize_t n, const float* weight, const float* bias,
                      float largest_weight, float largest_bias, float scale, int32_t z, double eps,
                      Output o) noexcept nogil:
    cdef Py_ssize_t i, vectors = n // 32 * 32
    cdef Sums total = Sums(0, 0, 0)
    cdef float mean, rs, t
    _sums(x, n, &total)
    _statistics(&total, n, scale, z, eps, &mean, &rs)
    if qint_t is int32_t:
        for i in range(n):
            t = (<float>qn_sub(x[i], z) - mean) * rs
            out[i] = qn_qs32(qn_fma(t, weight[i], bias[i]), o.inv, <float>o.zo)
    elif _is_small(512 * rs * largest_weight + largest_bias, o):
        for i in range(vectors):
            t = (<float>(<int32_t>x[i] - z) - mean) * rs
            out[i] = <qint_t>_small_qv(qn_fma(t, weight[i], bias[i]), o)
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
        elif inner < LANES:
            for i in range(inner):
                d = <float>(<int32_t>x[i] - z) - mean
                out[i] = <qint_t>_small_qv(qn_fma(d, g, b), o)
        else:
            # whole blocks; the last one overlaps the one before
            for i in range(inner // LANES):
                _lanes(x + i * LANES, out + i * LANES, z, mean, g, b, o)
            if inner % LANES:
                _lanes(x + inner - LANES, out + inner - LANES, z, mean, g, b, o)
        x += inner
        out += inner


cdef inline void _lanes(const qint_t* x, qint_t* out, int32_t z, float mean, float g, float b, Output o) noexcept nogil:
    cdef Py_ssize_t i
    cdef float d
    for i in range(LANES):
        d = <float>(<int32_t>x[i] - z) - mean
        out[i] = <qint_t>_small_qv(qn_fma(d, g, b), o)


# ---- group norm, channels-last --------------------------------------------------------------------------------------


def group_norm_last(const qint_t[:, :, ::1] x, qint_t[:, :, ::1] out, const float[::1] weight, const float[::1] bias,
                    int64_t[:, :, :, ::1] sums, float[:, ::1] factor, float[:, ::1] offset,
                    bint weighted, Py_ssize_t groups, Py_ssize_t run, Py_ssize_t vectors,
                    float scale, int32_t z, double eps, float inv, int32_t zo, int32_t lo, int32_t hi, int threads):
    """Channels are taken in runs of `run`; of each run the first `vectors` are quantized by QV, the rest by QS.

    Scratch: sums (N, parts, 3, C), where an image is cut in `parts` parts; factor and offset (N, rep*C), which hold the
    values of all channels `rep` times over, so that `rep` pixels make one row. If rep > 1, run is rep*C and all of it is
    quantized alike.
    """
    cdef Py_ssize_t parts = sums.shape[1], pixels = x.shape[1], tasks = x.shape[0] * parts, r, n
    cdef Output o = Output(inv, zo, lo, hi)
    if threads == 1:
        with nogil:
            for r in range(tasks):
                _sums_last(x, sums, r // parts, r % parts, cut(pixels, r % parts, parts, 1),
                           cut(pixels, r % parts + 1, parts, 1))
            for n in range(x.shape[0]):
                _factors_last(weight, bias, sums, factor, offset, n, pixels, weighted, groups, scale, z, eps)
            for r in range(tasks):
                _affine_last(x, out, factor, offset, r // parts, cut(pixels, r % parts, parts, 1),
                             cut(pixels, r % parts + 1, parts, 1), run, vectors, z, o)
    else:
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            _sums_last(x, sums, r // parts, r % parts, cut(pixels, r % parts, parts, 1),
                       cut(pixels, r % parts + 1, parts, 1))
        with nogil:
            for n in range(x.shape[0]):
                _factors_last(weight, bias, sums, factor, offset, n, pixels, weighted, groups, scale, z, eps)
        for r in prange(tasks, num_threads=threads, nogil=True, schedule="static"):
            _affine_last(x, out, factor, offset, r // parts, cut(pixels, r % parts, parts, 1),
                         cut(pixels, r % parts + 1, parts, 1), run, vectors, z, o)


cdef void _sums_last(const qint_t[:, :, ::1] x, int64_t[:, :, :, ::1] sums, Py_ssize_t n, Py_ssize_t part,
                     Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    # Per channel, over the pixels [start, stop) of image n.
    cdef Py_ssize_t channels = x.shape[2], c, p, i, block, width, end
    cdef int32_t first[LANES]
    cdef int32_t second[LANES]
    cdef int32_t q
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
        while start < stop:
            end = start + BLOCK if start + BLOCK < stop else stop
            for block in range((channels + LANES - 1) // LANES):
                c = block * LANES
                width = channels - c if channels - c < LANES else LANES
                for i in range(LANES):
                    first[i] = 0
                    second[i] = 0
                for p in range(start, end):
                    if width == LANES:
                        for i in range(LANES):
                            q = x[n, p, c + i]
                            first[i] += q
                            second[i] += q * q
                    else:
                        for i in range(width):
                            q = x[n, p, c + i]
                            first[i] += q
                            second[i] += q * q
                for i in range(width):
                    sums[n, part, 0, c + i] += first[i]
                    sums[n, part, 2, c + i] += second[i]
            start = end


cdef void _factors_last(const float[::1] weight, const float[::1] bias, int64_t[:, :, :, ::1] sums,
                        float[:, ::1] factor, float[:, ::1] offset, Py_ssize_t n, Py_ssize_t pixels,
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
            factor[n, c] = rs * weight[c]
            if weighted:
                offset[n, c] = qn_fma(-factor[n, c], mean, bias[c])
            else:
                t = factor[n, c] * mean
                offset[n, c] = bias[c] - t
    for c in range(weight.shape[0], factor.shape[1]):
        factor[n, c] = factor[n, c - weight.shape[0]]
        offset[n, c] = offset[n, c - weight.shape[0]]


cdef void _affine_last(const qint_t[:, :, ::1] x, qint_t[:, :, ::1] out, float[:, ::1] factor, float[:, ::1] offset,
                       Py_ssize_t n, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t run, Py_ssize_t vectors,
                       int32_t z, Output o) noexcept nogil:
    cdef Py_ssize_t left = (stop - start) * x.shape[2], row = factor.shape[1], begin
    cdef bint small = _is_small(512 * _largest(&factor[n, 0], row) + _largest(&offset[n, 0], row), o)
    cdef const qint_t* p = &x[n, 0, 0] + start * x.shape[2]
    cdef qint_t* q = &out[n, 0, 0] + start * x.shape[2]
    while left > 0:
        if left < row:  # the last pixels; all channels are quantized alike then
            row = left
            run = left
            vectors = left if vectors else 0
        begin = 0
        while begin < row:
            _affine_run(p + begin, q + begin, &factor[n, begin], &offset[n, begin], run, vectors, small, z, o)
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
        for c in range(vectors):
            out[c] = <qint_t>_small_qv(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
        for c in range(vectors, run):
            out[c] = <qint_t>_small_qs(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
    else:
        for c in range(vectors):
            out[c] = <qint_t>_any_qv(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
        for c in range(vectors, run):
            out[c] = <qint_t>_any_qs(qn_fma(<float>(<int32_t>x[c] - z), factor[c], offset[c]), o)
