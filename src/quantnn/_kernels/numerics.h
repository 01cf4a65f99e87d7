/* The scalar rounding rules that every kernel shares.
 *
 * Each function is one rule of torch 2.13's arithmetic on one element, written so that a compiler can vectorize a loop
 * around it, into which it always goes (QN_INLINE). They give the same bits at every instruction-set level: the build
 * forbids contraction, and a fused multiply-add is written out as qn_fma.
 *
 *   qn_fma    a*b+c with one float32 rounding
 *   qn_rne    float32 to int32, ties to even; outside int32 and NaN give INT32_MIN (what cvtps2dq gives)
 *   qn_qt     quantize, zero point added before rounding, fused       (quantize_per_tensor)
 *   qn_qs     quantize, zero point added before rounding, not fused   (quantize_per_channel, tails of vector loops)
 *   qn_qv     quantize, zero point added after rounding               (vector loops of element-wise operators)
 *   qn_ds     dequantize by subtracting first                         (dequantize, tails)
 *   qn_dv     dequantize by one fused multiply-add                    (vector loops)
 *   qn_half_of_float, qn_float_of_half    float16, for packed embedding rows and weights
 *   qn_exp, qn_sigmoid, qn_tanh    of recurrent layers; not torch's bits: within 1.2e-7 of the exact values
 *
 * qt, qs and qv return an int32 already clamped to [lo, hi]; "32" marks the forms for qint32.
 */
#ifndef QUANTNN_NUMERICS_H
#define QUANTNN_NUMERICS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define QN_INLINE static __forceinline
#define QN_NOINLINE __declspec(noinline)
#define QN_UNROLL
#else
#define QN_INLINE static inline __attribute__((always_inline))
#define QN_NOINLINE __attribute__((noinline))
#define QN_UNROLL _Pragma("GCC unroll 16")
#endif

#define QN_INT_MAX_F 2147483520.0f /* the largest float32 below 2**31 */

QN_INLINE float qn_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__aarch64__) || defined(_M_ARM64)
    return fmaf(a, b, c);
#elif defined(_MSC_VER) && defined(__AVX2__)
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
#else
    /* The product is exact in float64. The sum is rounded to odd there, so that rounding it once more to float32
     * gives what a single rounding would have given. */
    double p = (double)a * (double)b, s = p + (double)c, t = s - p;
    double e = (p - (s - t)) + ((double)c - t);
    uint64_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (e != 0.0 && (bits & 1) == 0 && s - s == 0.0) {
        bits += ((e > 0.0) == (s > 0.0)) ? 1 : (uint64_t)-1;
        memcpy(&s, &bits, sizeof s);
    }
    return (float)s;
#endif
}

/* Nearest integer, ties to even, as a float. */
QN_INLINE float qn_rint(float x)
{
#if defined(__SSE4_1__) || defined(__AVX__) || defined(__aarch64__) || defined(_M_ARM64)
    return rintf(x);
#else
    /* Adding 2**23 leaves no fraction bits. */
    float a = fabsf(x), r = (a + 8388608.0f) - 8388608.0f;
    return a < 8388608.0f ? copysignf(r, x) : x;
#endif
}

QN_INLINE int32_t qn_rne(float x)
{
#if defined(__GNUC__) && !defined(__clang__) && defined(__SSE2__)
    return __builtin_irintf(x); /* cvtps2dq; vectorized, where the casts below are not always */
#else
    int inside = x >= -2147483648.0f && x < 2147483648.0f;
    int32_t r = (int32_t)qn_rint(inside ? x : 0.0f);
    return inside ? r : INT32_MIN;
#endif
}

/* qn_rne of |x| < 2**22. The sum has no fraction bits, and its mantissa is the integer: no conversion, no branch. */
QN_INLINE int32_t qn_rne_small(float x)
{
    int32_t bits;
    x += 12582912.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits - 0x4B400000;
}

QN_INLINE int32_t qn_clamp(int32_t v, int32_t lo, int32_t hi)
{
    v = v < lo ? lo : v;
    return v > hi ? hi : v;
}

/* int32 arithmetic that wraps, as torch's does. */
QN_INLINE int32_t qn_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
QN_INLINE int32_t qn_sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
QN_INLINE int32_t qn_mul(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

/* rne and clamp of a float that may be outside int32; the bounds are 8-bit. */
QN_INLINE int32_t qn_rne_clamp(float t, int32_t lo, int32_t hi)
{
    t = t < (float)hi ? t : (float)hi; /* NaN gives hi */
    t = t > (float)lo ? t : (float)lo;
#if defined(__GNUC__) && !defined(__clang__) && defined(__SSE2__)
    return qn_rne(t);
#else
    return (int32_t)qn_rint(t);
#endif
}

QN_INLINE int32_t qn_rne_clamp32(float t) /* clamp in float64; NaN gives INT32_MIN */
{
    return t >= 2147483648.0f ? INT32_MAX : qn_rne(t);
}

QN_INLINE int32_t qn_qt(float x, float inv, float zo, int32_t lo, int32_t hi)
{
    return qn_rne_clamp(qn_fma(x, inv, zo), lo, hi);
}

QN_INLINE int32_t qn_qs(float x, float inv, float zo, int32_t lo, int32_t hi)
{
    float t = x * inv;
    t = zo + t;
    return t == t ? qn_rne_clamp(t, lo, hi) : 0;
}

QN_INLINE int32_t qn_qs32(float x, float inv, float zo) /* also qt and qv of qint32 */
{
    float t = x * inv;
    return qn_rne_clamp32(zo + t);
}

QN_INLINE int32_t qn_qv(float x, float inv, int32_t zo, int32_t lo, int32_t hi)
{
    float t = x * inv;
    t = t < QN_INT_MAX_F ? t : QN_INT_MAX_F;
    return qn_clamp(qn_add(qn_rne(t), zo), lo, hi);
}

QN_INLINE float qn_ds(int32_t q, float scale, int32_t zero_point)
{
    return scale * (float)qn_sub(q, zero_point);
}

/* The constant of qn_dv. */
QN_INLINE float qn_dv_offset(float scale, int32_t zero_point) { return scale * -(float)zero_point; }

QN_INLINE float qn_dv(int32_t q, float scale, float offset) { return qn_fma(scale, (float)q, offset); }

/* float32 to float16, to nearest, ties to even; too large gives infinity. */
QN_INLINE uint16_t qn_half_of_float(float x)
{
    uint32_t bits, sign, magnitude, shift, rest, h;
    memcpy(&bits, &x, sizeof bits);
    sign = bits >> 16 & 0x8000;
    magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return (uint16_t)(sign | 0x7E00); /* NaN */
    if (magnitude >= 0x47800000)
        return (uint16_t)(sign | 0x7C00); /* 2**16 and more */
    if (magnitude >= 0x38800000) {        /* normal: 13 mantissa bits go; a carry moves into the exponent */
        h = (magnitude - 0x38000000) >> 13;
        rest = magnitude & 0x1FFF;
        shift = 13;
    } else { /* subnormal: units of 2**-24 */
        if (magnitude < 0x33000000)
            return (uint16_t)sign; /* below half a unit */
        shift = 126 - (magnitude >> 23);
        magnitude = (magnitude & 0x7FFFFF) | 0x800000;
        h = magnitude >> shift;
        rest = magnitude & ((1u << shift) - 1);
    }
    h += rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (h & 1));
    return (uint16_t)(sign | h);
}

/* float16 to float32, exactly. */
QN_INLINE float qn_float_of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7FFF, bits;
    float x;
    if (magnitude >= 0x7C00)
        bits = 0x7F800000 | magnitude << 13; /* infinity, NaN */
    else if (magnitude >= 0x400)
        bits = (magnitude << 13) + 0x38000000;
    else {
        x = (float)magnitude * 5.9604644775390625e-8f; /* 2**-24 */
        memcpy(&bits, &x, sizeof bits);
    }
    bits |= sign;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e**a for -87 <= a <= 88, to 1 ulp: a = n log(2) + r, and n goes into the exponent. */
QN_INLINE float qn_exp(float a)
{
    float t = qn_fma(a, 1.44269504f, 12582912.0f), n = t - 12582912.0f, r, p, power; /* rounds as qn_rne_small does */
    int32_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (int32_t)((uint32_t)(bits - 0x4B400000 + 127) << 23);
    memcpy(&power, &bits, sizeof power);
    r = qn_fma(n, 2.12194440e-4f, qn_fma(n, -0.693359375f, a)); /* log(2) in two parts */
    p = qn_fma(0.0013814465f, r, 0.008368781f);
    p = qn_fma(p, r, 0.041668393f);
    p = qn_fma(p, r, 0.1666652f);
    p = qn_fma(p, r, 0.49999994f);
    return (qn_fma(p, r * r, r) + 1.0f) * power;
}

/* e**a for a <= 0, to 1e-14; what lies below -700 is e**-700, which is 0 as float32. NaN stays. */
QN_INLINE double qn_exp64(double a)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2**52: rounds as in qn_rne_small */
    double t, n, r, p, power;
    uint64_t bits;
    a = a < -700.0 ? -700.0 : a;
    t = a * 1.4426950408889634 + magic;
    n = t - magic;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    r = (a - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10; /* log(2) in two parts */
    p = 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return p * power;
}

/* tanh x, with (1 - e**-2|x|) / (1 + e**-2|x|) where that loses no digits. */
QN_INLINE double qn_tanh64(double x)
{
    double a = fabs(x), u = a * a, e = qn_exp64(-2.0 * a);
    double small = a * (1.0 - u * (1.0 / 3 - u * (2.0 / 15 - u * (17.0 / 315)))), large = (1.0 - e) / (1.0 + e);
    return copysign(a < 0.01 ? small : large, x);
}

/* x[i] = e**x[i] / the sum of these, computed in float64 and rounded once; `powers` has room for them. The sum is that
 * of eight sums, of the elements i % 8 = 0, 1, ... n > 0. */
static inline void qn_softmax(float *restrict x, double *restrict powers, ptrdiff_t n)
{
    double sums[8] = {0}, most, factor;
    float greatest[8];
    for (int j = 0; j < 8; j++)
        greatest[j] = x[0];
    for (ptrdiff_t i = 0; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            greatest[j] = x[i + j] > greatest[j] ? x[i + j] : greatest[j];
    for (ptrdiff_t i = n / 8 * 8; i < n; i++)
        greatest[0] = x[i] > greatest[0] ? x[i] : greatest[0];
    for (int j = 1; j < 8; j++)
        greatest[0] = greatest[j] > greatest[0] ? greatest[j] : greatest[0];
    most = greatest[0];
    for (ptrdiff_t i = 0; i < n; i++)
        powers[i] = qn_exp64(x[i] - most);
    for (ptrdiff_t i = 0; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            sums[j] += powers[i + j];
    for (ptrdiff_t i = n / 8 * 8; i < n; i++)
        sums[i % 8] += powers[i];
    factor = 1.0 / (((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])));
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = (float)(powers[i] * factor);
}

QN_INLINE float qn_sigmoid(float x)
{
    float a = -x;
    a = a > 88.0f ? 88.0f : a; /* NaN stays */
    a = a < -87.0f ? -87.0f : a;
    return 1.0f / (1.0f + qn_exp(a));
}

/* Odd polynomial where |x| is small, else 1 - 2 / (e**2|x| + 1). */
QN_INLINE float qn_tanh(float x)
{
    float a = fabsf(x), u = a * a, p, twice = a + a, y;
    p = qn_fma(-0.0057049785f, u, 0.020639079f);
    p = qn_fma(p, u, -0.05373971f);
    p = qn_fma(p, u, 0.13331442f);
    p = qn_fma(p, u, -0.3333328f);
    p = qn_fma(p * u, a, a);
    twice = twice > 20.0f ? 20.0f : twice;
    y = 1.0f - 2.0f / (qn_exp(twice) + 1.0f);
    y = a < 0.625f ? p : y;
    return copysignf(y, x);
}

/* x[i] = f(x[i] + y[i]): the gates of a recurrent cell. */
static inline void qn_sigmoids(float *restrict x, const float *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = qn_sigmoid(x[i] + y[i]);
}

static inline void qn_tanhs(float *restrict x, const float *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = qn_tanh(x[i] + y[i]);
}

/* The rest of an LSTM cell, from the values of its gates i, f, g, o: c = f c + i g, h = o tanh(c). */
static inline void qn_lstm(const float *restrict gates, float *restrict c, float *restrict h, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float kept = gates[n + i] * c[i], added = gates[i] * gates[2 * n + i];
        c[i] = kept + added;
        h[i] = gates[3 * n + i] * qn_tanh(c[i]);
    }
}

/* The rest of a GRU cell: n = tanh(in + hn r), h = (h - n) z + n; hx is W_hn h, x is W_in x. */
static inline void qn_gru(const float *restrict gates, const float *restrict hx, const float *restrict x,
                          float *restrict h, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float product = hx[i] * gates[i], fresh = qn_tanh(x[i] + product), rest = h[i] - fresh;
        rest = rest * gates[n + i];
        h[i] = rest + fresh;
    }
}

#endif
