"""
Quantize and dequantize.

Computes
    quantize            q = clamp(rne(fma(x, 1/s, z)))              8-bit (rule QT)
                        q = clamp(rne(f32(z + f32(x * 1/s))))       qint32
    quantize_channels   q = clamp(rne(f32(z_c + f32(x * 1/s_c))))   integer zero points (rule QS)
                        q = clamp(rne(f32(f32(x * 1/s_c) + z_c)))   float zero points: the same sum
    quantize_after      q = clamp(rne(f32(x * 1/s)) + z)            sub-byte dtypes
    dequantize          x = f32(s * f32(q - z))
    dequantize_channels x = f32(f64(f32(q) - f32(z_c)) * s_c)       integer zero points, s_c in float64
                        x = f32(f32(f32(q) - z_c) * s_c)            float zero points
    pack, unpack        elements of 4 or 2 bits to and from bytes, the first in the lowest bits
    mean                q = clamp(rne(f32(f32(sum q) / f32(N))))
    std                 d = max(N - correction, 0), v = max(sum q^2 / d - 2 (sum q / N)(sum q / d) + (sum q / N)^2 N / d, 0)
                        in float64, then rule QS of f32(sqrt(v) * s)
    mean_floats         x = f32(sum x / f32(N)), the float32 sum in torch's order
    std_floats          x = f32(sqrt(sum (x - mean)^2 / d)) in float64

Layout: elements in any memory order, the same for input and output. The channel forms take (outer, channels, inner),
the reductions rows of N elements, one for each of their results.
Exactness: torch's bits, at every level. 1/s is the float32 quotient.
Parallel: over elements, or over (outer, channel) rows; the reductions, pack and unpack are serial.
"""
from cython.parallel cimport prange
from libc.math cimport sqrt
from arrays cimport QN_INT8, QN_UINT8, qn_read, qn_size, qn_type, qn_write
from numerics cimport (
    cut, flip, int8_t, int32_t, int64_t, qint_t, qn_ds, qn_qs, qn_qs32, qn_qt, qn_qv, qn_rne_clamp, qn_rne_clamp32,
    uint8_t,
)

cdef extern from "simd.h" nogil:
    Py_ssize_t qn_quantize_bytes(const float *x, uint8_t *out, Py_ssize_t n, float inv, float zo, int flip) noexcept
    Py_ssize_t qn_dequantize_bytes(const uint8_t *q, float *out, Py_ssize_t n, float scale, int32_t zero_point,
                                   int flip) noexcept


def quantize(x, out, float inv, int32_t zo, int32_t lo, int32_t hi, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef const float *first = <const float*>qn_read(x, 4, 0, &n)
    cdef void *to = qn_write(out, size, 0, NULL)
    if t == QN_UINT8:
        _quantizes(first, <uint8_t*>to, n, inv, zo, lo, hi, threads)
    elif t == QN_INT8:
        _quantizes(first, <int8_t*>to, n, inv, zo, lo, hi, threads)
    else:
        _quantizes(first, <int32_t*>to, n, inv, zo, lo, hi, threads)


cdef void _quantizes(const float *x, qint_t *out, Py_ssize_t n, float inv, int32_t zo, int32_t lo, int32_t hi,
                     int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _quantize(x, out, 0, n, inv, zo, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _quantize(x, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), inv, zo, lo, hi)


cdef void _quantize(const float *x, qint_t *out, Py_ssize_t start, Py_ssize_t stop, float inv, int32_t zo, int32_t lo,
                    int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef float z = <float>zo
    if qint_t is not int32_t:
        start += qn_quantize_bytes(x + start, <uint8_t*>(out + start), stop - start, inv, z, flip(<qint_t>0))
    for i in range(start, stop):
        if qint_t is int32_t:
            out[i] = qn_qs32(x[i], inv, z)
        else:
            out[i] = <qint_t>qn_qt(x[i], inv, z, lo, hi)


def quantize_after(x, out, float inv, int32_t zo, int32_t lo, int32_t hi, /):
    cdef Py_ssize_t i, n
    cdef const float *first = <const float*>qn_read(x, 4, 0, &n)
    cdef uint8_t *to = <uint8_t*>qn_write(out, 1, 0, NULL)
    with nogil:
        for i in range(n):
            to[i] = <uint8_t>qn_qv(first[i], inv, zo, lo, hi)


def quantize_channels(x, out, inv, zo, int32_t lo, int32_t hi, int threads, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t[3] shape
    cdef const float *first = <const float*>qn_read(x, 4, 3, shape)
    cdef void *to = qn_write(out, size, 3, NULL)
    cdef const float *factors = <const float*>qn_read(inv, 4, 1, NULL)
    cdef const float *offsets = <const float*>qn_read(zo, 4, 1, NULL)
    if t == QN_UINT8:
        _quantize_rows(first, <uint8_t*>to, shape, factors, offsets, lo, hi, threads)
    elif t == QN_INT8:
        _quantize_rows(first, <int8_t*>to, shape, factors, offsets, lo, hi, threads)
    else:
        _quantize_rows(first, <int32_t*>to, shape, factors, offsets, lo, hi, threads)


cdef void _quantize_rows(const float *x, qint_t *out, const Py_ssize_t *shape, const float *inv, const float *zo,
                         int32_t lo, int32_t hi, int threads) noexcept:
    cdef Py_ssize_t rows = shape[0] * shape[1], channels = shape[1], n = shape[2], r
    if threads == 1:
        with nogil:
            for r in range(rows):
                _quantize_row(x + r * n, out + r * n, n, inv[r % channels], zo[r % channels], lo, hi)
    else:
        for r in prange(rows, num_threads=threads, nogil=True, schedule="static"):
            _quantize_row(x + r * n, out + r * n, n, inv[r % channels], zo[r % channels], lo, hi)


cdef void _quantize_row(const float *x, qint_t *out, Py_ssize_t n, float inv, float zo, int32_t lo,
                        int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if qint_t is int32_t:
            out[i] = qn_qs32(x[i], inv, zo)
        else:
            out[i] = <qint_t>qn_qs(x[i], inv, zo, lo, hi)


def dequantize(q, out, float scale, int32_t zero_point, int threads, /):
    cdef int t = qn_type(q)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n
    cdef void *first = qn_read(q, size, 0, &n)
    cdef float *to = <float*>qn_write(out, 4, 0, NULL)
    if t == QN_UINT8:
        _dequantizes(<const uint8_t*>first, to, n, scale, zero_point, threads)
    elif t == QN_INT8:
        _dequantizes(<const int8_t*>first, to, n, scale, zero_point, threads)
    else:
        _dequantizes(<const int32_t*>first, to, n, scale, zero_point, threads)


cdef void _dequantizes(const qint_t *q, float *out, Py_ssize_t n, float scale, int32_t zero_point,
                       int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _dequantize(q, out, 0, n, scale, zero_point)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _dequantize(q, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), scale, zero_point)


cdef void _dequantize(const qint_t *q, float *out, Py_ssize_t start, Py_ssize_t stop, float scale,
                      int32_t zero_point) noexcept nogil:
    cdef Py_ssize_t i
    if qint_t is not int32_t:
        start += qn_dequantize_bytes(<const uint8_t*>(q + start), out + start, stop - start, scale, zero_point,
                                     flip(<qint_t>0))
    for i in range(start, stop):
        out[i] = qn_ds(q[i], scale, zero_point)


def dequantize_channels(q, out, scale, zero_point, bint float_qparams, /):
    cdef int t = qn_type(q)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t[3] shape
    cdef void *first = qn_read(q, size, 3, shape)
    cdef float *to = <float*>qn_write(out, 4, 3, NULL)
    cdef const double *scales = <const double*>qn_read(scale, 8, 1, NULL)
    cdef const float *offsets = <const float*>qn_read(zero_point, 4, 1, NULL)
    with nogil:
        if t == QN_UINT8:
            _dequantize_rows(<const uint8_t*>first, to, shape, scales, offsets, float_qparams)
        elif t == QN_INT8:
            _dequantize_rows(<const int8_t*>first, to, shape, scales, offsets, float_qparams)
        else:
            _dequantize_rows(<const int32_t*>first, to, shape, scales, offsets, float_qparams)


cdef void _dequantize_rows(const qint_t *q, float *out, const Py_ssize_t *shape, const double *scale,
                           const float *zero_point, bint float_qparams) noexcept nogil:
    cdef Py_ssize_t n = shape[2], r, i
    cdef double s
    cdef float z, s32
    for r in range(shape[0] * shape[1]):
        s = scale[r % shape[1]]
        s32 = <float>s
        z = zero_point[r % shape[1]]
        if float_qparams:
            for i in range(n):
                out[i] = (<float>q[i] - z) * s32
        else:
            for i in range(n):
                out[i] = <float>(<double>(<float>q[i] - z) * s)
        q += n
        out += n


def pack(q, out, int bits, /):
    cdef Py_ssize_t i, n, size
    cdef const uint8_t *first = <const uint8_t*>qn_read(q, 1, 0, &n)
    cdef uint8_t *to = <uint8_t*>qn_write(out, 1, 0, &size)
    cdef int per = 8 // bits
    with nogil:
        for i in range(size):
            to[i] = 0
        for i in range(n):
            to[i // per] |= <uint8_t>(first[i] << (bits * <int>(i % per)))


def unpack(packed, out, int bits, /):
    cdef Py_ssize_t i, n
    cdef const uint8_t *first = <const uint8_t*>qn_read(packed, 1, 0, NULL)
    cdef uint8_t *to = <uint8_t*>qn_write(out, 1, 0, &n)
    cdef int per = 8 // bits, mask = (1 << bits) - 1
    with nogil:
        for i in range(n):
            to[i] = <uint8_t>((first[i // per] >> (bits * <int>(i % per))) & mask)


def mean(q, out, int32_t lo, int32_t hi, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n, rows
    cdef void *first = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, &rows)
    n //= max(rows, 1)
    with nogil:
        if t == QN_UINT8:
            _mean(<const uint8_t*>first, <uint8_t*>to, rows, n, lo, hi)
        elif t == QN_INT8:
            _mean(<const int8_t*>first, <int8_t*>to, rows, n, lo, hi)
        else:
            _mean(<const int32_t*>first, <int32_t*>to, rows, n, lo, hi)


cdef void _mean(const qint_t *q, qint_t *out, Py_ssize_t rows, Py_ssize_t n, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t r, i
    cdef int64_t total
    cdef float m
    for r in range(rows):
        total = 0
        for i in range(n):
            total += q[r * n + i]
        m = <float>total / <float>n
        if qint_t is int32_t:
            out[r] = qn_rne_clamp32(m)
        else:
            out[r] = <qint_t>qn_rne_clamp(m, lo, hi)


def std(q, out, double correction, double scale, float inv, int32_t zo, int32_t lo, int32_t hi, /):
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef Py_ssize_t n, rows
    cdef void *first = qn_read(q, size, 0, &n)
    cdef void *to = qn_write(out, size, 0, &rows)
    n //= max(rows, 1)
    with nogil:
        if t == QN_UINT8:
            _std(<const uint8_t*>first, <uint8_t*>to, rows, n, correction, scale, inv, zo, lo, hi)
        elif t == QN_INT8:
            _std(<const int8_t*>first, <int8_t*>to, rows, n, correction, scale, inv, zo, lo, hi)
        else:
            _std(<const int32_t*>first, <int32_t*>to, rows, n, correction, scale, inv, zo, lo, hi)


cdef void _std(const qint_t *q, qint_t *out, Py_ssize_t rows, Py_ssize_t size, double correction, double scale,
               float inv, int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t r, i
    cdef double n = <double>size, d = n - correction, total, squares, m, v, x
    cdef float y, z = <float>zo
    if d < 0.0:
        d = 0.0
    for r in range(rows):
        total = 0.0
        squares = 0.0
        for i in range(size):
            x = <double>q[r * size + i]
            total += x
            squares += x * x
        m = total / n
        v = squares / d - 2.0 * m * (total / d) + m * m * n / d
        if v < 0.0:
            v = 0.0
        y = <float>(sqrt(v) * scale)
        if qint_t is int32_t:
            out[r] = qn_qs32(y, inv, z)
        else:
            out[r] = <qint_t>qn_qs(y, inv, z, lo, hi)


def mean_floats(x, out, shape, step, out_step, float count, /):
    # Axes from the innermost, reduced ones first, at least two; the steps in elements, out_step 0 where reduced.
    cdef Py_ssize_t results, axes
    cdef const float *first = <const float*>qn_read(x, 4, 0, NULL)
    cdef float *sums = <float*>qn_write(out, 4, 0, &results)
    cdef const int64_t *lengths = <const int64_t*>qn_read(shape, 8, 1, &axes)
    cdef const int64_t *steps = <const int64_t*>qn_read(step, 8, 1, NULL)
    cdef const int64_t *out_steps = <const int64_t*>qn_read(out_step, 8, 1, NULL)
    cdef Py_ssize_t n0 = lengths[0], n1 = lengths[1], s0 = steps[0], s1 = steps[1], o1 = out_steps[1]
    cdef Py_ssize_t blocks = 1, b, left, at, to, i, j, c, whole = 0
    cdef int d
    cdef const float *p
    cdef float total
    cdef float[32] few
    if s1 == 1 and s0 != 1 and n0 < 16:
        whole = n1 // 32 * 32  # neighbours with cascades of one sum: computed together
    with nogil:
        for i in range(results):
            sums[i] = 0.0
        for d in range(2, <int>axes):
            blocks *= lengths[d]
        if n0 > 0 and n1 > 0:
            for b in range(blocks):
                left, at, to = b, 0, 0
                for d in range(2, <int>axes):
                    at += left % lengths[d] * steps[d]
                    to += left % lengths[d] * out_steps[d]
                    left //= lengths[d]
                for j in range(0, whole, 32):
                    for c in range(32):
                        few[c] = 0.0
                    for i in range(n0):
                        p = first + at + i * s0 + j
                        for c in range(32):
                            few[c] += p[c]
                    for c in range(32):
                        sums[to + (j + c) * o1] += few[c]
                for j in range(whole, n1):
                    p = first + at + j * s1
                    if s0 == 1 and n0 >= 8:
                        total = 0.0
                        for i in range(n0 // 8 * 8, n0):
                            total = total + p[i]
                        for i in range(8):
                            total = total + _four_sums(p + i, 8, n0 // 8)
                    elif s1 == 1 and n1 >= 8:
                        total = _cascade(p, s0, n0) if j < n1 // 32 * 32 else _four_sums(p, s0, n0)
                    elif s0 >= s1 and j < n1 // 4 * 4:
                        total = _cascade(p, s0, n0)
                    else:
                        total = _four_sums(p, s0, n0)
                    sums[to + j * o1] += total
        for i in range(results):
            sums[i] = sums[i] / count


cdef float _four_sums(const float *p, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    # Elements 0, 4, 8... first, then 1, 5, 9...; what is left over goes to the first sum.
    cdef float first = _cascade(p, 4 * step, n // 4)
    cdef Py_ssize_t i
    for i in range(n // 4 * 4, n):
        first = first + p[i * step]
    for i in range(1, 4):
        first = first + _cascade(p + i * step, 4 * step, n // 4)
    return first


cdef float _cascade(const float *p, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    # Four running sums; each takes over the one before it after 2**power of its additions.
    cdef float sums[4]
    cdef Py_ssize_t i = 0, j, size, mask
    cdef int power = 0, level
    while (<Py_ssize_t>1 << power) < n:
        power += 1
    power = power // 4
    if power < 4:
        power = 4
    size = <Py_ssize_t>1 << power
    for level in range(4):
        sums[level] = 0.0
    while i + size <= n:
        for j in range(size):
            sums[0] += p[i * step]
            i += 1
        for level in range(1, 4):
            sums[level] += sums[level - 1]
            sums[level - 1] = 0.0
            mask = (size - 1) << (level * power)
            if i & mask:
                break
    while i < n:
        sums[0] += p[i * step]
        i += 1
    return ((sums[0] + sums[1]) + sums[2]) + sums[3]


def std_floats(x, out, double correction, bint has_mean, float mean, /):
    # With one result torch takes its float32 mean, which comes from mean_floats.
    cdef Py_ssize_t size, rows, r, i
    cdef const float *first = <const float*>qn_read(x, 4, 0, &size)
    cdef float *to = <float*>qn_write(out, 4, 0, &rows)
    size //= max(rows, 1)
    cdef double n = <double>size, d = n - correction, m, v, e
    if d < 0.0:
        d = 0.0
    with nogil:
        for r in range(rows):
            m = 0.0
            for i in range(size):
                m += <double>first[i]
            m = <double>mean if has_mean else m / n
            v = 0.0
            for i in range(size):
                e = <double>first[i] - m
                v += e * e
            to[r] = <float>sqrt(v / d)
            first += size
