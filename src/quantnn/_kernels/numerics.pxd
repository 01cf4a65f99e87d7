# The rounding rules of numerics.h, and the two things that every kernel file needs beside them.
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t

cdef extern from "numerics.h" nogil:
    float qn_fma(float a, float b, float c) noexcept
    float qn_rint(float x) noexcept
    int32_t qn_rne(float x) noexcept
    int32_t qn_rne_small(float x) noexcept
    int32_t qn_clamp(int32_t v, int32_t lo, int32_t hi) noexcept
    int32_t qn_add(int32_t a, int32_t b) noexcept
    int32_t qn_sub(int32_t a, int32_t b) noexcept
    int32_t qn_mul(int32_t a, int32_t b) noexcept
    int32_t qn_rne_clamp(float t, int32_t lo, int32_t hi) noexcept
    int32_t qn_rne_clamp32(float t) noexcept
    int32_t qn_qt(float x, float inv, float zo, int32_t lo, int32_t hi) noexcept
    int32_t qn_qs(float x, float inv, float zo, int32_t lo, int32_t hi) noexcept
    int32_t qn_qs32(float x, float inv, float zo) noexcept
    int32_t qn_qv(float x, float inv, int32_t zo, int32_t lo, int32_t hi) noexcept
    float qn_ds(int32_t q, float scale, int32_t zero_point) noexcept
    float qn_dv_offset(float scale, int32_t zero_point) noexcept
    float qn_dv(int32_t q, float scale, float offset) noexcept
    uint16_t qn_half_of_float(float x) noexcept
    float qn_float_of_half(uint16_t h) noexcept
    double qn_tanh64(double x) noexcept
    void qn_softmax(float *x, double *powers, Py_ssize_t n) noexcept
    void qn_sigmoids(float *x, const float *y, Py_ssize_t n) noexcept
    void qn_tanhs(float *x, const float *y, Py_ssize_t n) noexcept
    void qn_lstm(const float *gates, float *c, float *h, Py_ssize_t n) noexcept
    void qn_gru(const float *gates, const float *hx, const float *x, float *h, Py_ssize_t n) noexcept

# The integers of a QTensor: quint8, qint8, qint32.
ctypedef fused qint_t:
    uint8_t
    int8_t
    int32_t

# 128 for signed bytes, else 0: what simd.h calls flip. Only the type of the argument counts.
cdef inline int flip(qint_t zero) noexcept nogil:
    if qint_t is int8_t:
        return 128
    else:
        return 0

# Where part number `part` of `parts` begins in n elements, cut at multiples of `group`.
cdef inline Py_ssize_t cut(Py_ssize_t n, Py_ssize_t part, Py_ssize_t parts, Py_ssize_t group) noexcept nogil:
    cdef Py_ssize_t groups = (n + group - 1) // group
    cdef Py_ssize_t start = groups * part // parts * group
    return start if start < n else n

# The next address at which a cache line begins: vectors that cross lines cost twice.
cdef inline float* aligned(float* p) noexcept nogil:
    return <float*>((<size_t>p + 63) & ~<size_t>63)
