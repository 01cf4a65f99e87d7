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

Layout: flat arrays in any memory order, the same for input and output. The channel forms take (outer, channels, inner),
the reductions (rows, N).
Exactness: torch's bits, at every level. 1/s is the float32 quotient.
Parallel: over elements, or over (outer, channel) rows; the reductions, pack and unpack are serial.
"""
from cython.parallel cimport prange
from libc.math cimport sqrt
from numerics cimport (
    cut, flip, int32_t, int64_t, qint_t, qn_ds, qn_qs, qn_qs32, qn_qt, qn_qv, qn_rne_clamp, qn_rne_clamp32, uint8_t
)

cdef extern from "simd.h" nogil:
    Py_ssize_t qn_quantize_bytes(const float *x, uint8_t *out, Py_ssize_t n, float inv, float zo, int flip) noexcept
    Py_ssize_t qn_dequantize_bytes(const uint8_t *q, float *out, Py_ssize_t n, float scale, int32_t zero_point,
                                   int flip) noexcept


def quantize(const float[::1] x, qint_t[::1] out, float inv, int32_t zo, int32_t lo, int32_t hi, int threads):
    cdef Py_ssize_t n = x.shape[0]
    cdef int t
    if threads == 1:
        with nogil:
            _quantize(x, out, 0, n, inv, zo, lo, hi)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _quantize(x, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), inv, zo, lo, hi)


cdef void _quantize(const float[::1] x, qint_t[::1] out, Py_ssize_t start, Py_ssize_t stop,
                    float inv, int32_t zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef float z = <float>zo
    if qint_t is not int32_t:
        if start < stop:
            start += qn_quantize_bytes(&x[start], <uint8_t*>&out[start], stop - start, inv, z, flip(<qint_t>0))
    for i in range(start, stop):
        if qint_t is int32_t:
            out[i] = qn_qs32(x[i], inv, z)
        else:
            out[i] = <qint_t>qn_qt(x[i], inv, z, lo, hi)


def quantize_after(const float[::1] x, qint_t[::1] out, float inv, int32_t zo, int32_t lo, int32_t hi):
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            out[i] = <qint_t>qn_qv(x[i], inv, zo, lo, hi)


def quantize_channels(const float[:, :, ::1] x, qint_t[:, :, ::1] out, const float[::1] inv, const float[::1] zo,
                      int32_t lo, int32_t hi, int threads):
    cdef Py_ssize_t outer = x.shape[0], channels = x.shape[1], r
    if threads == 1:
        with nogil:
            for r in range(outer * channels):
                _quantize_row(x, out, r // channels, r % channels, inv, zo, lo, hi)
    else:
        for r in prange(outer * channels, num_threads=threads, nogil=True, schedule="static"):
            _quantize_row(x, out, r // channels, r % channels, inv, zo, lo, hi)


cdef void _quantize_row(const float[:, :, ::1] x, qint_t[:, :, ::1] out, Py_ssize_t o, Py_ssize_t c,
                        const float[::1] inv, const float[::1] zo, int32_t lo, int32_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef float v = inv[c], z = zo[c]
    for i in range(x.shape[2]):
        if qint_t is int32_t:
            out[o, c, i] = qn_qs32(x[o, c, i], v, z)
        else:
            out[o, c, i] = <qint_t>qn_qs(x[o, c, i], v, z, lo, hi)


def dequantize(const qint_t[::1] q, float[::1] out, float scale, int32_t zero_point, int threads):
    cdef Py_ssize_t n = q.shape[0]
    cdef int t
    if threads == 1:
        with nogil:
            _dequantize(q, out, 0, n, scale, zero_point)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _dequantize(q, out, cut(n, t, threads, 64), cut(n, t + 1, threads, 64), scale, zero_point)


cdef void _dequantize(const qint_t[::1] q, float[::1] out, Py_ssize_t start, Py_ssize_t stop,
                      float scale, int32_t zero_point) noexcept nogil:
    cdef Py_ssize_t i
    if qint_t is not int32_t:
        if start < stop:
            start += qn_dequantize_bytes(<const uint8_t*>&q[start], &out[start], stop - start, scale, zero_point,
                                         flip(<qint_t>0))
    for i in range(start, stop):
        out[i] = qn_ds(q[i], scale, zero_point)


def dequantize_channels(const qint_t[:, :, ::1] q, float[:, :, ::1] out, const double[::1] scale,
                        const float[::1] zero_point, bint float_qparams):
    cdef Py_ssize_t o, c, i
    cdef double s
    cdef float z, s32
    with nogil:
        for o in range(q.shape[0]):
            for c in range(q.shape[1]):
                s = scale[c]
                s32 = <float>s
                z = zero_point[c]
                if float_qparams:
                    for i in range(q.shape[2]):
                        out[o, c, i] = (<float>q[o, c, i] - z) * s32
                else:
                    for i in range(q.shape[2]):
                        out[o, c, i] = <float>(<double>(<float>q[o, c, i] - z) * s)


def pack(const uint8_t[::1] q, uint8_t[::1] out, int bits):
    cdef Py_ssize_t i, n = q.shape[0]
    cdef int per = 8 // bits
    with nogil:
        for i in range(out.shape[0]):
            out[i] = 0
        for i in range(n):
            out[i // per] |= <uint8_t>(q[i] << (bits * <int>(i % per)))


def unpack(const uint8_t[::1] packed, uint8_t[::1] out, int bits):
    cdef Py_ssize_t i, n = out.shape[0]
    cdef int per = 8 // bits, mask = (1 << bits) - 1
    with nogil:
        for i in range(n):
            out[i] = <uint8_t>((packed[i // per] >> (bits * <int>(i % per))) & mask)


def mean(const qint_t[:, ::1] q, qint_t[::1] out, int32_t lo, int32_t hi):
    cdef Py_ssize_t r, i, n = q.shape[1]
    cdef int64_t total
    cdef float m
    with nogil:
        for r in range(q.shape[0]):
            total = 0
            for i in range(n):
                total += q[r, i]
            m = <float>total / <float>n
            if qint_t is int32_t:
                out[r] = qn_rne_clamp32(m)
            else:
                out[r] = <qint_t>qn_rne_clamp(m, lo, hi)


def std(const qint_t[:, ::1] q, qint_t[::1] out, double correction, double scale, float inv, int32_t zo,
        int32_t lo, int32_t hi):
    cdef Py_ssize_t r, i
    cdef double n = <double>q.shape[1], d = n - correction, total, squares, m, v, x
    cdef float y, z = <float>zo
    if d < 0.0:
        d = 0.0
    with nogil:
        for r in range(q.shape[0]):
            total = 0.0
            squares = 0.0
            for i in range(q.shape[1]):
                x = <double>q[r, i]
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


def mean_floats(const float[::1] x, float[::1] out, const int64_t[::1] shape, const int64_t[::1] step,
                const int64_t[::1] out_step, float count):
    # Axes from the innermost, reduced ones first, at least two; the steps in elements, out_step 0 where reduced.
    cdef Py_ssize_t n0 = shape[0], n1 = shape[1], s0 = step[0], s1 = step[1], o1 = out_step[1]
    cdef Py_ssize_t blocks = 1, b, left, at, to, i, j, c, whole = 0
    cdef int d
    cdef const float *p
    cdef float total
    cdef float[32] few
    if s1 == 1 and s0 != 1 and n0 < 16:
        whole = n1 // 32 * 32  # neighbours with cascades of one sum: computed together
    with nogil:
        for i in range(out.shape[0]):
            out[i] = 0.0
        for d in range(2, <int>shape.shape[0]):
            blocks *= shape[d]
        if n0 > 0 and n1 > 0:
            for b in range(blocks):
                left, at, to = b, 0, 0
                for d in range(2, <int>shape.shape[0]):
                    at += left % shape[d] * step[d]
                    to += left % shape[d] * out_step[d]
                    left //= shape[d]
                for j in range(0, whole, 32):
                    for c in range(32):
                        few[c] = 0.0
                    for i in range(n0):
                        p = &x[at + i * s0 + j]
                        for c in range(32):
                            few[c] += p[c]
                    for c in range(32):
                        out[to + (j + c) * o1] += few[c]
                for j in range(whole, n1):
                    p = &x[at + j * s1]
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
                    out[to + j * o1] += total
        for i in range(out.shape[0]):
            out[i] = out[i] / count


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


def std_floats(const float[:, ::1] x, float[::1] out, double correction, bint has_mean, float mean):
    # With one result torch takes its float32 mean, which comes from mean_floats.
    cdef Py_ssize_t r, i
    cdef double n = <double>x.shape[1], d = n - correction, m, v, e
    if d < 0.0:
        d = 0.0
    with nogil:
        for r in range(x.shape[0]):
            m = 0.0
            for i in range(x.shape[1]):
                m += <double>x[r, i]
            m = <double>mean if has_mean else m / n
            v = 0.0
            for i in range(x.shape[1]):
                e = <double>x[r, i] - m
                v += e * e
            out[r] = <float>sqrt(v / d)
