/* The inner tiles of linear and convolution, and what else a compiler does not vectorize well: the only file with
 * intrinsics, one section per instruction set.
 *
 * What it computes
 *   qn_tile        a tile of MR rows by NV vectors of output columns:
 *                    acc[r][c] = offset[c] + sum over taps, k of x[r][tap][k] * w[tap][k][c]         u8 * s8, exact int32
 *                  requantized on registers and stored as bytes (see below)
 *                  At the level amx a tile has up to 32 rows and goes through tile registers where that pays.
 *   qn_depthwise   the same for pixels of a depthwise convolution, whose channels do not mix
 *   qn_floats_of_bytes, qn_floats_of_nibbles   64 integers as floats
 *   qn_lookup      bytes through a table of 256
 *
 * Packed layouts (LANES int32 lanes to a vector, QN_LANES)
 *   qn_tile        weights [tap][k/4][NV * LANES][4]: one vector holds four consecutive k of LANES columns, what a
 *                  byte dot product eats. Activations are read through row pointers, four k at a time, broadcast.
 *   qn_depthwise   weights [tap/4][4][LANES][4]: four taps of each of 4 * LANES channels; vector j, 128-bit part i,
 *                  element e belongs to channel 16 * i + 4 * j + e, the order in which unpacking bytes delivers them.
 *                  Per-channel constants lie in the same order.
 *
 * Requantize, in torch's order:
 *   f = fma(b[c], inv, float(acc))          per-tensor weights: b = bias, inv = 1/aw; per-channel: b = bias/aw, inv = 1
 *   i = rne(f * m[c])                       int32, INT32_MIN when outside
 *   q = max(u8(sat16(sat16(i) + zo)), lo)   lo = zo for a fused relu, else 0
 *
 * Exactness: every product and sum is exact in int32; no instruction used here saturates before the requantize.
 * Without a byte dot product, bytes are widened to 16 bits and multiplied by pmaddwd, whose pair sums (at most
 * 2 * 255 * 128) fit. NEON's signed dot product gets x - 128, and the offset takes it back (QN_X_BIAS).
 */
#ifndef QUANTNN_SIMD_H
#define QUANTNN_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "numerics.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define QN_INLINE static __forceinline
#define QN_UNROLL
#else
#define QN_INLINE static inline __attribute__((always_inline))
#define QN_UNROLL _Pragma("GCC unroll 16")
#endif

/* Each section defines
 *   QN_LANES, QN_X_BIAS              int32 lanes to a vector; what the dot product subtracts from x
 *   QN_NV, QN_ROWS_1 ...             most vectors in a tile, and the most rows for each count of vectors
 *   qn_vi                            a vector of int32
 *   qn_act, qn_wgt                   activations and weights ready for qn_dot
 *   qn_broadcast(p), qn_weights(p)   load four bytes for every lane; a vector of weights
 *   qn_dot(acc, a, w)                acc += the four products of each lane
 *   qn_zero, qn_load_i, qn_add_i, qn_mul_sub(acc, row, zw)
 *   qn_requantize(acc, b, inv, m)    to int32, before the zero point
 *   qn_store(out, i0, i1, i2, i3, zo, lo, n)    4 * LANES columns, of which n are stored
 *   qn_store_rows(out, stride, nv, rows, i, zo, lo, n)    4 / nv rows of nv vectors, of which `rows` exist; optional
 *   qn_interleave(rows, offset, n, a[4])        depthwise: four rows of bytes to four qn_act
 *   qn_store_channels(out, i, zo, lo, n)        depthwise: 4 * LANES channels in the order of qn_interleave
 */

#if defined(QUANTNN_LEVEL_avx512vnni) || defined(QUANTNN_LEVEL_amx)
/* ------------------------------------------------------------------------------------------------ AVX-512 VNNI -- */
#include <immintrin.h>
#define QN_LANES 16
#define QN_X_BIAS 0
#define QN_NV 4
#define QN_ROWS_1 12
#define QN_ROWS_2 12
#define QN_ROWS_3 8
#define QN_ROWS_4 6
typedef __m512i qn_vi, qn_act, qn_wgt;

QN_INLINE qn_act qn_broadcast(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
QN_INLINE qn_wgt qn_weights(const int8_t *p) { return _mm512_loadu_si512(p); }
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w)
{
#if defined(__GNUC__) && !defined(__clang__)
    /* GCC 12 keeps the accumulators of the intrinsic in memory as soon as the loop has two levels. */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
    return acc;
#else
    return _mm512_dpbusd_epi32(acc, a, w);
#endif
}
QN_INLINE qn_vi qn_load_i(const int32_t *p) { return _mm512_loadu_si512(p); }
QN_INLINE qn_vi qn_zero(void) { return _mm512_setzero_si512(); }
QN_INLINE qn_vi qn_add_i(qn_vi a, qn_vi b) { return _mm512_add_epi32(a, b); }
QN_INLINE qn_vi qn_mul_sub(qn_vi acc, int32_t row, const int32_t *zw)
{
    return _mm512_sub_epi32(acc, _mm512_mullo_epi32(_mm512_set1_epi32(row), _mm512_loadu_si512(zw)));
}
QN_INLINE qn_vi qn_requantize(qn_vi acc, const float *b, float inv, const float *m)
{
    __m512 f = _mm512_fmadd_ps(_mm512_loadu_ps(b), _mm512_set1_ps(inv), _mm512_cvtepi32_ps(acc));
    return _mm512_cvtps_epi32(_mm512_mul_ps(f, _mm512_loadu_ps(m)));
}
QN_INLINE __m512i qn_pack(qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo)
{
    __m512i z = _mm512_set1_epi16((short)zo);
    __m512i a = _mm512_adds_epi16(_mm512_packs_epi32(i0, i1), z);
    __m512i b = _mm512_adds_epi16(_mm512_packs_epi32(i2, i3), z);
    return _mm512_max_epu8(_mm512_packus_epi16(a, b), _mm512_set1_epi8((char)lo));
}
QN_INLINE void qn_put(uint8_t *out, __m512i q, ptrdiff_t n)
{
    if (n >= 64)
        _mm512_storeu_si512(out, q);
    else
        _mm512_mask_storeu_epi8(out, ((__mmask64)1 << n) - 1, q);
}
QN_INLINE void qn_store(uint8_t *out, qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo, ptrdiff_t n)
{
    const __m512i linear = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    qn_put(out, _mm512_permutexvar_epi32(linear, qn_pack(i0, i1, i2, i3, zo, lo)), n);
}
#define QN_STORE_ROWS
QN_INLINE void qn_store_rows(uint8_t *out, ptrdiff_t stride, const int nv, int rows, const qn_vi i[4], int32_t zo,
                             int32_t lo, ptrdiff_t n)
{
    const __m512i linear = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i q = _mm512_permutexvar_epi32(linear, qn_pack(i[0], i[1], i[2], i[3], zo, lo));
    if (nv == 2) {
        __mmask32 k = n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
        _mm256_mask_storeu_epi8(out, k, _mm512_castsi512_si256(q));
        if (rows > 1)
            _mm256_mask_storeu_epi8(out + stride, k, _mm512_extracti64x4_epi64(q, 1));
    } else {
        __mmask16 k = (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1);
        _mm_mask_storeu_epi8(out, k, _mm512_castsi512_si128(q));
        if (rows > 1)
            _mm_mask_storeu_epi8(out + stride, k, _mm512_extracti32x4_epi32(q, 1));
        if (rows > 2)
            _mm_mask_storeu_epi8(out + 2 * stride, k, _mm512_extracti32x4_epi32(q, 2));
        if (rows > 3)
            _mm_mask_storeu_epi8(out + 3 * stride, k, _mm512_extracti32x4_epi32(q, 3));
    }
}
QN_INLINE void qn_store_channels(uint8_t *out, const qn_vi i[4], int32_t zo, int32_t lo, ptrdiff_t n)
{
    qn_put(out, qn_pack(i[0], i[1], i[2], i[3], zo, lo), n);
}
QN_INLINE void qn_interleave(const uint8_t *const *rows, ptrdiff_t offset, ptrdiff_t n, qn_act a[4])
{
    __mmask64 k = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
    __m512i r0 = _mm512_maskz_loadu_epi8(k, rows[0] + offset), r1 = _mm512_maskz_loadu_epi8(k, rows[1] + offset);
    __m512i r2 = _mm512_maskz_loadu_epi8(k, rows[2] + offset), r3 = _mm512_maskz_loadu_epi8(k, rows[3] + offset);
    __m512i l01 = _mm512_unpacklo_epi8(r0, r1), h01 = _mm512_unpackhi_epi8(r0, r1);
    __m512i l23 = _mm512_unpacklo_epi8(r2, r3), h23 = _mm512_unpackhi_epi8(r2, r3);
    a[0] = _mm512_unpacklo_epi16(l01, l23);
    a[1] = _mm512_unpackhi_epi16(l01, l23);
    a[2] = _mm512_unpacklo_epi16(h01, h23);
    a[3] = _mm512_unpackhi_epi16(h01, h23);
}

#elif defined(QUANTNN_LEVEL_avxvnni) || defined(QUANTNN_LEVEL_avx2)
/* ---------------------------------------------------------------------------------------------- AVX2, AVX-VNNI -- */
#include <immintrin.h>
#define QN_LANES 8
#define QN_X_BIAS 0
typedef __m256i qn_vi;
QN_INLINE __m256i qn_bytes(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}
#if defined(QUANTNN_LEVEL_avxvnni)
#define QN_NV 2
#define QN_ROWS_1 6
#define QN_ROWS_2 6
typedef __m256i qn_act, qn_wgt;
QN_INLINE qn_act qn_activations(__m256i v) { return v; }
QN_INLINE qn_wgt qn_weights(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w)
{
#if defined(__GNUC__) && !defined(__clang__)
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(w)); /* as at AVX-512 */
    return acc;
#else
    return _mm256_dpbusd_avx_epi32(acc, a, w);
#endif
}
#else
#define QN_NV 2
#define QN_ROWS_1 6
#define QN_ROWS_2 4
typedef struct { __m256i even, odd; } qn_act, qn_wgt; /* the even and the odd k of each lane, widened to 16 bits */
QN_INLINE qn_act qn_activations(__m256i v)
{
    qn_act a = {_mm256_and_si256(v, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(v, 8)};
    return a;
}
QN_INLINE qn_wgt qn_weights(const int8_t *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    qn_wgt w = {_mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), _mm256_srai_epi16(v, 8)};
    return w;
}
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w)
{
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a.even, w.even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a.odd, w.odd));
}
#endif
QN_INLINE qn_act qn_broadcast(const uint8_t *p) { return qn_activations(qn_bytes(p)); }
QN_INLINE qn_vi qn_load_i(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
QN_INLINE qn_vi qn_zero(void) { return _mm256_setzero_si256(); }
QN_INLINE qn_vi qn_add_i(qn_vi a, qn_vi b) { return _mm256_add_epi32(a, b); }
QN_INLINE qn_vi qn_mul_sub(qn_vi acc, int32_t row, const int32_t *zw)
{
    return _mm256_sub_epi32(acc, _mm256_mullo_epi32(_mm256_set1_epi32(row), qn_load_i(zw)));
}
QN_INLINE qn_vi qn_requantize(qn_vi acc, const float *b, float inv, const float *m)
{
    __m256 f = _mm256_fmadd_ps(_mm256_loadu_ps(b), _mm256_set1_ps(inv), _mm256_cvtepi32_ps(acc));
    return _mm256_cvtps_epi32(_mm256_mul_ps(f, _mm256_loadu_ps(m)));
}
QN_INLINE __m256i qn_pack(qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo)
{
    __m256i z = _mm256_set1_epi16((short)zo);
    __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(i0, i1), z);
    __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(i2, i3), z);
    return _mm256_max_epu8(_mm256_packus_epi16(a, b), _mm256_set1_epi8((char)lo));
}
QN_INLINE void qn_put(uint8_t *out, __m256i q, ptrdiff_t n)
{
    if (n >= 32) {
        _mm256_storeu_si256((__m256i *)out, q);
    } else if (n == 16) {
        _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(q));
    } else {
        uint8_t buffer[32];
        _mm256_storeu_si256((__m256i *)buffer, q);
        memcpy(out, buffer, (size_t)n);
    }
}
QN_INLINE void qn_store(uint8_t *out, qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo, ptrdiff_t n)
{
    const __m256i linear = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    qn_put(out, _mm256_permutevar8x32_epi32(qn_pack(i0, i1, i2, i3, zo, lo), linear), n);
}
QN_INLINE void qn_store_channels(uint8_t *out, const qn_vi i[4], int32_t zo, int32_t lo, ptrdiff_t n)
{
    qn_put(out, qn_pack(i[0], i[1], i[2], i[3], zo, lo), n);
}
QN_INLINE __m256i qn_row(const uint8_t *p, ptrdiff_t n)
{
    uint8_t buffer[32] = {0};
    if (n >= 32)
        return _mm256_loadu_si256((const __m256i *)p);
    memcpy(buffer, p, (size_t)n);
    return _mm256_loadu_si256((const __m256i *)buffer);
}
QN_INLINE void qn_interleave(const uint8_t *const *rows, ptrdiff_t offset, ptrdiff_t n, qn_act a[4])
{
    __m256i r0 = qn_row(rows[0] + offset, n), r1 = qn_row(rows[1] + offset, n);
    __m256i r2 = qn_row(rows[2] + offset, n), r3 = qn_row(rows[3] + offset, n);
    __m256i l01 = _mm256_unpacklo_epi8(r0, r1), h01 = _mm256_unpackhi_epi8(r0, r1);
    __m256i l23 = _mm256_unpacklo_epi8(r2, r3), h23 = _mm256_unpackhi_epi8(r2, r3);
    a[0] = qn_activations(_mm256_unpacklo_epi16(l01, l23));
    a[1] = qn_activations(_mm256_unpackhi_epi16(l01, l23));
    a[2] = qn_activations(_mm256_unpacklo_epi16(h01, h23));
    a[3] = qn_activations(_mm256_unpackhi_epi16(h01, h23));
}

#elif defined(__x86_64__) || defined(_M_X64)
/* -------------------------------------------------------------------------------------------------------- SSE2 -- */
#include <emmintrin.h>
#define QN_LANES 4
#define QN_X_BIAS 0
#define QN_NV 2
#define QN_ROWS_1 6
#define QN_ROWS_2 4
typedef __m128i qn_vi;
typedef struct { __m128i even, odd; } qn_act, qn_wgt; /* the even and the odd k of each lane, widened to 16 bits */
QN_INLINE qn_act qn_activations(__m128i v)
{
    qn_act a = {_mm_and_si128(v, _mm_set1_epi16(0xff)), _mm_srli_epi16(v, 8)};
    return a;
}
QN_INLINE qn_act qn_broadcast(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return qn_activations(_mm_set1_epi32(v));
}
QN_INLINE qn_wgt qn_weights(const int8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    qn_wgt w = {_mm_srai_epi16(_mm_slli_epi16(v, 8), 8), _mm_srai_epi16(v, 8)};
    return w;
}
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w)
{
    acc = _mm_add_epi32(acc, _mm_madd_epi16(a.even, w.even));
    return _mm_add_epi32(acc, _mm_madd_epi16(a.odd, w.odd));
}
QN_INLINE qn_vi qn_load_i(const int32_t *p) { return _mm_loadu_si128((const __m128i *)p); }
QN_INLINE qn_vi qn_zero(void) { return _mm_setzero_si128(); }
QN_INLINE qn_vi qn_add_i(qn_vi a, qn_vi b) { return _mm_add_epi32(a, b); }
QN_INLINE qn_vi qn_mul_sub(qn_vi acc, int32_t row, const int32_t *zw)
{
    int32_t v[4];
    _mm_storeu_si128((__m128i *)v, acc);
    QN_UNROLL for (int i = 0; i < 4; i++) v[i] = qn_sub(v[i], qn_mul(row, zw[i]));
    return _mm_loadu_si128((const __m128i *)v);
}
QN_INLINE qn_vi qn_requantize(qn_vi acc, const float *b, float inv, const float *m)
{
    __m128 f = _mm_cvtepi32_ps(acc);
    if (inv == 1.0f) { /* the product is exact: no fused multiply-add needed */
        f = _mm_add_ps(f, _mm_loadu_ps(b));
    } else {
        float v[4];
        _mm_storeu_ps(v, f);
        for (int i = 0; i < 4; i++)
            v[i] = qn_fma(b[i], inv, v[i]);
        f = _mm_loadu_ps(v);
    }
    return _mm_cvtps_epi32(_mm_mul_ps(f, _mm_loadu_ps(m)));
}
QN_INLINE void qn_store(uint8_t *out, qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo, ptrdiff_t n)
{
    __m128i z = _mm_set1_epi16((short)zo);
    __m128i a = _mm_adds_epi16(_mm_packs_epi32(i0, i1), z);
    __m128i b = _mm_adds_epi16(_mm_packs_epi32(i2, i3), z);
    __m128i q = _mm_max_epu8(_mm_packus_epi16(a, b), _mm_set1_epi8((char)lo));
    if (n >= 16) {
        _mm_storeu_si128((__m128i *)out, q);
    } else if (n == 8) {
        _mm_storel_epi64((__m128i *)out, q);
    } else {
        uint8_t buffer[16];
        _mm_storeu_si128((__m128i *)buffer, q);
        memcpy(out, buffer, (size_t)n);
    }
}
QN_INLINE void qn_store_channels(uint8_t *out, const qn_vi i[4], int32_t zo, int32_t lo, ptrdiff_t n)
{
    qn_store(out, i[0], i[1], i[2], i[3], zo, lo, n);
}
QN_INLINE __m128i qn_row(const uint8_t *p, ptrdiff_t n)
{
    uint8_t buffer[16] = {0};
    if (n >= 16)
        return _mm_loadu_si128((const __m128i *)p);
    memcpy(buffer, p, (size_t)n);
    return _mm_loadu_si128((const __m128i *)buffer);
}
QN_INLINE void qn_interleave(const uint8_t *const *rows, ptrdiff_t offset, ptrdiff_t n, qn_act a[4])
{
    __m128i r0 = qn_row(rows[0] + offset, n), r1 = qn_row(rows[1] + offset, n);
    __m128i r2 = qn_row(rows[2] + offset, n), r3 = qn_row(rows[3] + offset, n);
    __m128i l01 = _mm_unpacklo_epi8(r0, r1), h01 = _mm_unpackhi_epi8(r0, r1);
    __m128i l23 = _mm_unpacklo_epi8(r2, r3), h23 = _mm_unpackhi_epi8(r2, r3);
    a[0] = qn_activations(_mm_unpacklo_epi16(l01, l23));
    a[1] = qn_activations(_mm_unpackhi_epi16(l01, l23));
    a[2] = qn_activations(_mm_unpacklo_epi16(h01, h23));
    a[3] = qn_activations(_mm_unpackhi_epi16(h01, h23));
}

#elif defined(__aarch64__) || defined(_M_ARM64)
/* ---------------------------------------------------------------------------------- NEON, dot product, int8 mm -- */
#include <arm_neon.h>
#define QN_LANES 4
#define QN_NV 4
#define QN_ROWS_1 8
#define QN_ROWS_2 8
#define QN_ROWS_3 8
typedef int32x4_t qn_vi;
typedef int8x16_t qn_wgt;
#if defined(QUANTNN_LEVEL_i8mm)
#define QN_X_BIAS 0
#define QN_ROWS_4 6
typedef uint8x16_t qn_act;
QN_INLINE qn_act qn_activations(uint8x16_t v) { return v; }
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w) { return vusdotq_s32(acc, a, w); }
#else
#define QN_X_BIAS 128
typedef int8x16_t qn_act;
QN_INLINE qn_act qn_activations(uint8x16_t v) { return vreinterpretq_s8_u8(veorq_u8(v, vdupq_n_u8(128))); }
#if defined(QUANTNN_LEVEL_neondot)
#define QN_ROWS_4 6
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w) { return vdotq_s32(acc, a, w); }
#else
#define QN_ROWS_4 4
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w)
{
    /* a product is at most 2**14, so pairs are added in 32 bits */
    int32x4_t lo = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(w)));
    int32x4_t hi = vpaddlq_s16(vmull_s8(vget_high_s8(a), vget_high_s8(w)));
    return vaddq_s32(acc, vpaddq_s32(lo, hi));
}
#endif
#endif
QN_INLINE qn_act qn_broadcast(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return qn_activations(vreinterpretq_u8_u32(vdupq_n_u32(v)));
}
QN_INLINE qn_wgt qn_weights(const int8_t *p) { return vld1q_s8(p); }
QN_INLINE qn_vi qn_load_i(const int32_t *p) { return vld1q_s32(p); }
QN_INLINE qn_vi qn_zero(void) { return vdupq_n_s32(0); }
QN_INLINE qn_vi qn_add_i(qn_vi a, qn_vi b) { return vaddq_s32(a, b); }
QN_INLINE qn_vi qn_mul_sub(qn_vi acc, int32_t row, const int32_t *zw) { return vmlsq_n_s32(acc, vld1q_s32(zw), row); }
QN_INLINE qn_vi qn_requantize(qn_vi acc, const float *b, float inv, const float *m)
{
    float32x4_t f = vfmaq_n_f32(vcvtq_f32_s32(acc), vld1q_f32(b), inv);
    float32x4_t t = vmulq_f32(f, vld1q_f32(m));
    /* x86 gives INT32_MIN for what is too large or not a number; vcvtn saturates */
    uint32x4_t inside = vcltq_f32(t, vdupq_n_f32(2147483648.0f));
    return vbslq_s32(inside, vcvtnq_s32_f32(t), vdupq_n_s32(INT32_MIN));
}
QN_INLINE void qn_store(uint8_t *out, qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo, ptrdiff_t n)
{
    int16x8_t z = vdupq_n_s16((int16_t)zo);
    int16x8_t a = vqaddq_s16(vcombine_s16(vqmovn_s32(i0), vqmovn_s32(i1)), z);
    int16x8_t b = vqaddq_s16(vcombine_s16(vqmovn_s32(i2), vqmovn_s32(i3)), z);
    uint8x16_t q = vmaxq_u8(vcombine_u8(vqmovun_s16(a), vqmovun_s16(b)), vdupq_n_u8((uint8_t)lo));
    if (n >= 16) {
        vst1q_u8(out, q);
    } else {
        uint8_t buffer[16];
        vst1q_u8(buffer, q);
        memcpy(out, buffer, (size_t)n);
    }
}
QN_INLINE void qn_store_channels(uint8_t *out, const qn_vi i[4], int32_t zo, int32_t lo, ptrdiff_t n)
{
    qn_store(out, i[0], i[1], i[2], i[3], zo, lo, n);
}
QN_INLINE uint8x16_t qn_row(const uint8_t *p, ptrdiff_t n)
{
    uint8_t buffer[16] = {0};
    if (n >= 16)
        return vld1q_u8(p);
    memcpy(buffer, p, (size_t)n);
    return vld1q_u8(buffer);
}
QN_INLINE void qn_interleave(const uint8_t *const *rows, ptrdiff_t offset, ptrdiff_t n, qn_act a[4])
{
    uint8x16_t r0 = qn_row(rows[0] + offset, n), r1 = qn_row(rows[1] + offset, n);
    uint8x16_t r2 = qn_row(rows[2] + offset, n), r3 = qn_row(rows[3] + offset, n);
    uint16x8_t l01 = vreinterpretq_u16_u8(vzip1q_u8(r0, r1)), h01 = vreinterpretq_u16_u8(vzip2q_u8(r0, r1));
    uint16x8_t l23 = vreinterpretq_u16_u8(vzip1q_u8(r2, r3)), h23 = vreinterpretq_u16_u8(vzip2q_u8(r2, r3));
    a[0] = qn_activations(vreinterpretq_u8_u16(vzip1q_u16(l01, l23)));
    a[1] = qn_activations(vreinterpretq_u8_u16(vzip2q_u16(l01, l23)));
    a[2] = qn_activations(vreinterpretq_u8_u16(vzip1q_u16(h01, h23)));
    a[3] = qn_activations(vreinterpretq_u8_u16(vzip2q_u16(h01, h23)));
}

#else
/* ------------------------------------------------------------------------------------ any other processor: C -- */
#define QN_LANES 4
#define QN_X_BIAS 0
#define QN_NV 1
#define QN_ROWS_1 4
typedef struct { int32_t v[4]; } qn_vi;
typedef struct { uint8_t v[16]; } qn_act;
typedef struct { int8_t v[16]; } qn_wgt;
QN_INLINE qn_act qn_broadcast(const uint8_t *p)
{
    qn_act a;
    for (int i = 0; i < 16; i++)
        a.v[i] = p[i % 4];
    return a;
}
QN_INLINE qn_wgt qn_weights(const int8_t *p)
{
    qn_wgt w;
    memcpy(w.v, p, 16);
    return w;
}
QN_INLINE qn_vi qn_dot(qn_vi acc, qn_act a, qn_wgt w)
{
    for (int i = 0; i < 16; i++)
        acc.v[i / 4] += a.v[i] * w.v[i];
    return acc;
}
QN_INLINE qn_vi qn_load_i(const int32_t *p)
{
    qn_vi v;
    memcpy(v.v, p, sizeof v.v);
    return v;
}
QN_INLINE qn_vi qn_zero(void)
{
    qn_vi v = {{0, 0, 0, 0}};
    return v;
}
QN_INLINE qn_vi qn_add_i(qn_vi a, qn_vi b)
{
    for (int i = 0; i < 4; i++)
        a.v[i] = qn_add(a.v[i], b.v[i]);
    return a;
}
QN_INLINE qn_vi qn_mul_sub(qn_vi acc, int32_t row, const int32_t *zw)
{
    for (int i = 0; i < 4; i++)
        acc.v[i] = qn_sub(acc.v[i], qn_mul(row, zw[i]));
    return acc;
}
QN_INLINE qn_vi qn_requantize(qn_vi acc, const float *b, float inv, const float *m)
{
    for (int i = 0; i < 4; i++)
        acc.v[i] = qn_rne(qn_fma(b[i], inv, (float)acc.v[i]) * m[i]);
    return acc;
}
QN_INLINE void qn_store(uint8_t *out, qn_vi i0, qn_vi i1, qn_vi i2, qn_vi i3, int32_t zo, int32_t lo, ptrdiff_t n)
{
    const qn_vi all[4] = {i0, i1, i2, i3};
    for (ptrdiff_t i = 0; i < n && i < 16; i++) {
        int32_t v = qn_clamp(qn_clamp(all[i / 4].v[i % 4], -32768, 32767) + zo, 0, 255);
        out[i] = (uint8_t)(v < lo ? lo : v);
    }
}
QN_INLINE void qn_store_channels(uint8_t *out, const qn_vi i[4], int32_t zo, int32_t lo, ptrdiff_t n)
{
    qn_store(out, i[0], i[1], i[2], i[3], zo, lo, n);
}
QN_INLINE void qn_interleave(const uint8_t *const *rows, ptrdiff_t offset, ptrdiff_t n, qn_act a[4])
{
    for (int c = 0; c < 16; c++)
        for (int t = 0; t < 4; t++)
            a[c / 4].v[c % 4 * 4 + t] = c < n ? rows[t][offset + c] : 0;
}
#endif

/* ------------------------------------------------------------------------------- the tiles, from the words above -- */

/* What is the same for all tiles of a call, or of a panel of it. */
typedef struct {
    const int8_t *weights;     /* this panel */
    const int32_t *offset;     /* what each column's accumulator starts with: -zx * sum(w) + K * zx * zw, + QN_X_BIAS */
    const int32_t *zw;         /* zero points of the weights, NULL if all are 0 */
    const float *b, *m;        /* see Requantize above */
    float inv;
    int32_t zo, lo;
    ptrdiff_t taps, k4;        /* taps, and groups of four bytes in each */
    ptrdiff_t columns;         /* columns of the panel that exist */
    ptrdiff_t x_offset;        /* added to every row pointer (groups) */
} qn_panel;

/* Requantize and store one row of nv vectors. */
QN_INLINE void qn_finish_row(const int nv, const qn_panel *p, const qn_vi *acc, uint8_t *out)
{
    qn_vi i[4];
    QN_UNROLL for (int v = 0; v < 4; v++)
        i[v] = v < nv ? qn_requantize(acc[v < nv ? v : 0], p->b + v * QN_LANES, p->inv, p->m + v * QN_LANES) : qn_zero();
    qn_store(out, i[0], i[1], i[2], i[3], p->zo, p->lo, p->columns);
}

/* rows[tap * stride + r] points to row r's bytes at a tap; sums[r] is the sum of the row's bytes (where zw is used). */
QN_INLINE void qn_tile_body(const int nv, const int mr, const qn_panel *p, const uint8_t *const *rows,
                            ptrdiff_t stride, const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)
{
    /* With few accumulators the dot product's latency shows: let independent ones take turns over k. */
    const int turns = nv * mr <= 4 ? 4 : nv * mr <= 8 ? 2 : 1;
    const ptrdiff_t step = (ptrdiff_t)nv * QN_LANES * 4;
    const int8_t *w = p->weights;
    qn_vi acc[16][QN_NV];
    QN_UNROLL for (int r = 0; r < mr; r++)
        QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_load_i(p->offset + v * QN_LANES);
    QN_UNROLL for (int r = mr; r < mr * turns; r++)
        QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_zero();
    for (ptrdiff_t tap = 0; tap < p->taps; tap++) {
        const uint8_t *x[16];
        QN_UNROLL for (int r = 0; r < mr; r++) x[r] = rows[tap * stride + r] + p->x_offset;
        ptrdiff_t k = 0;
        for (; k + turns <= p->k4; k += turns) {
            QN_UNROLL for (int t = 0; t < turns; t++) {
                qn_wgt wv[QN_NV];
                QN_UNROLL for (int v = 0; v < nv; v++) wv[v] = qn_weights(w + v * QN_LANES * 4);
                QN_UNROLL for (int r = 0; r < mr; r++) {
                    qn_act a = qn_broadcast(x[r] + (k + t) * 4);
                    QN_UNROLL for (int v = 0; v < nv; v++)
                        acc[t * mr + r][v] = qn_dot(acc[t * mr + r][v], a, wv[v]);
                }
                w += step;
            }
        }
        for (; turns > 1 && k < p->k4; k++) {
            QN_UNROLL for (int r = 0; r < mr; r++) {
                qn_act a = qn_broadcast(x[r] + k * 4);
                QN_UNROLL for (int v = 0; v < nv; v++)
                    acc[r][v] = qn_dot(acc[r][v], a, qn_weights(w + v * QN_LANES * 4));
            }
            w += step;
        }
    }
    QN_UNROLL for (int t = 1; t < turns; t++)
        QN_UNROLL for (int r = 0; r < mr; r++)
            QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_add_i(acc[r][v], acc[t * mr + r][v]);
    if (p->zw != NULL)
        QN_UNROLL for (int r = 0; r < mr; r++)
            QN_UNROLL for (int v = 0; v < nv; v++)
                acc[r][v] = qn_mul_sub(acc[r][v], sums[r], p->zw + v * QN_LANES);
#ifdef QN_STORE_ROWS
    if (nv <= 2) {
        const int some = 4 / nv;
        QN_UNROLL for (int r = 0; r < mr; r += some) {
            qn_vi i[4];
            QN_UNROLL for (int v = 0; v < 4; v++)
                i[v] = r + v / nv < mr ? qn_requantize(acc[r + v / nv < mr ? r + v / nv : 0][v % nv],
                                                       p->b + v % nv * QN_LANES, p->inv, p->m + v % nv * QN_LANES)
                                       : qn_zero();
            qn_store_rows(out + r * out_stride, out_stride, nv, mr - r, i, p->zo, p->lo, p->columns);
        }
        return;
    }
#endif
    QN_UNROLL for (int r = 0; r < mr; r++) qn_finish_row(nv, p, acc[r], out + r * out_stride);
}

typedef void qn_tile_fn(const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride, const int32_t *sums,
                        uint8_t *out, ptrdiff_t out_stride);
#define QN_TILE(NV, MR)                                                                                                \
    static void qn_tile_##NV##_##MR(const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride,                   \
                                    const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)                           \
    {                                                                                                                  \
        qn_tile_body(NV, MR, p, rows, stride, sums, out, out_stride);                                                  \
    }
#define QN_TILES_4(NV) QN_TILE(NV, 1) QN_TILE(NV, 2) QN_TILE(NV, 3) QN_TILE(NV, 4)
#define QN_TILES_6(NV) QN_TILES_4(NV) QN_TILE(NV, 5) QN_TILE(NV, 6)
#define QN_TILES_8(NV) QN_TILES_6(NV) QN_TILE(NV, 7) QN_TILE(NV, 8)
#define QN_TILES_12(NV) QN_TILES_8(NV) QN_TILE(NV, 9) QN_TILE(NV, 10) QN_TILE(NV, 11) QN_TILE(NV, 12)
#define QN_NAMES_4(NV) qn_tile_##NV##_1, qn_tile_##NV##_2, qn_tile_##NV##_3, qn_tile_##NV##_4
#define QN_NAMES_6(NV) QN_NAMES_4(NV), qn_tile_##NV##_5, qn_tile_##NV##_6
#define QN_NAMES_8(NV) QN_NAMES_6(NV), qn_tile_##NV##_7, qn_tile_##NV##_8
#define QN_NAMES_12(NV) QN_NAMES_8(NV), qn_tile_##NV##_9, qn_tile_##NV##_10, qn_tile_##NV##_11, qn_tile_##NV##_12
#define QN_PASTE_(a, b) a##b
#define QN_PASTE(a, b) QN_PASTE_(a, b)

QN_PASTE(QN_TILES_, QN_ROWS_1)(1)
#if QN_NV >= 2
QN_PASTE(QN_TILES_, QN_ROWS_2)(2)
#endif
#if QN_NV >= 4
QN_PASTE(QN_TILES_, QN_ROWS_3)(3)
QN_PASTE(QN_TILES_, QN_ROWS_4)(4)
#endif

/* The most rows of a register tile of nv vectors. */
static const int qn_register_rows[] = {0, QN_ROWS_1
#if QN_NV >= 2
    , QN_ROWS_2
#endif
#if QN_NV >= 4
    , QN_ROWS_3, QN_ROWS_4
#endif
};

static qn_tile_fn *const qn_tiles[][12] = {{NULL}, {QN_PASTE(QN_NAMES_, QN_ROWS_1)(1)}
#if QN_NV >= 2
    , {QN_PASTE(QN_NAMES_, QN_ROWS_2)(2)}
#endif
#if QN_NV >= 4
    , {QN_PASTE(QN_NAMES_, QN_ROWS_3)(3)}, {QN_PASTE(QN_NAMES_, QN_ROWS_4)(4)}
#endif
};

#if defined(QUANTNN_LEVEL_amx)
/* ---------------------------------------------------------------------------------------------- AMX: 32-row tiles -- */

/* Two tile registers of 16 rows and two of 16 columns make four of accumulators; 64 k at a time. The columns of a panel
 * lie in memory as a tile register wants them. The rows do not: their bytes at all taps are first put one behind the
 * other, a chunk of k at a time, with zeros behind the last. */
#define QN_MOST_ROWS 32
static const int qn_rows[] = {0, 32, 32, 32, 32};

/* Bytes of a row that are gathered at a time: all, if they are few enough, so that both passes over the columns use them;
 * else what leaves room in the first-level cache for the weights. An odd number of cache lines spreads the rows. */
enum { QN_CHUNK = 21 * 64, QN_PART = 8 * 64 };

/* The next bytes of all rows, up to `most`, from *tap and *offset on; the count, a multiple of 64, is returned. */
static inline ptrdiff_t qn_gather(int mr, const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride,
                                  ptrdiff_t most, ptrdiff_t *tap, ptrdiff_t *offset, uint8_t (*x)[QN_CHUNK])
{
    ptrdiff_t at = 0, length = p->k4 * 4;
    while (at < most && *tap < p->taps) {
        ptrdiff_t n = length - *offset < most - at ? length - *offset : most - at;
        for (int r = 0; r < mr; r++) {
            const uint8_t *from = rows[*tap * stride + r] + p->x_offset + *offset;
            ptrdiff_t i = 0;
            for (; i + 64 <= n; i += 64)
                _mm512_storeu_si512(x[r] + at + i, _mm512_loadu_si512(from + i));
            if (i < n) {
                __mmask64 k = ((__mmask64)1 << (n - i)) - 1;
                _mm512_mask_storeu_epi8(x[r] + at + i, k, _mm512_maskz_loadu_epi8(k, from + i));
            }
        }
        at += n;
        *offset += n;
        if (*offset == length) {
            *offset = 0;
            ++*tap;
        }
    }
    if (at % 64 != 0) {
        __mmask64 k = ((__mmask64)1 << (64 - at % 64)) - 1;
        for (int r = 0; r < mr; r++)
            _mm512_mask_storeu_epi8(x[r] + at, k, _mm512_setzero_si512());
    }
    return (at + 63) / 64 * 64;
}

static void qn_tile_amx(int nv, int mr, const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride,
                        const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)
{
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    uint8_t x[32][QN_CHUNK] __attribute__((aligned(64)));
    int32_t acc[32][4 * QN_LANES] __attribute__((aligned(64)));
    const ptrdiff_t row = (ptrdiff_t)nv * 64, step = 16 * row; /* bytes of four k, and of 64 k, of the panel */
    const int one = p->taps * p->k4 * 4 <= QN_CHUNK;           /* gathered once for both passes */
    ptrdiff_t n = 0;
    _tile_loadconfig(&shape);
    for (int v = 0; v < nv; v += 2) {
        const int8_t *w = p->weights + v * 64;
        const int two = v + 1 < nv;
        ptrdiff_t tap = 0, offset = 0;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        do {
            if (v == 0 || !one)
                n = qn_gather(mr, p, rows, stride, one ? QN_CHUNK : QN_PART, &tap, &offset, x);
            else
                tap = p->taps;
            __asm__ volatile("" ::: "memory"); /* the tile instructions do not tell the compiler what they read */
            for (ptrdiff_t k = 0; k < n; k += 64, w += step) {
                _tile_loadd(6, w, row);
                _tile_loadd(4, &x[0][k], QN_CHUNK);
                _tile_dpbusd(0, 4, 6);
                if (mr > 16) {
                    _tile_loadd(5, &x[16][k], QN_CHUNK);
                    _tile_dpbusd(2, 5, 6);
                }
                if (two) {
                    _tile_loadd(7, w + 64, row);
                    _tile_dpbusd(1, 4, 7);
                    if (mr > 16)
                        _tile_dpbusd(3, 5, 7);
                }
            }
            __asm__ volatile("" ::: "memory");
        } while (tap < p->taps);
        _tile_stored(0, &acc[0][v * 16], sizeof acc[0]);
        if (two)
            _tile_stored(1, &acc[0][v * 16 + 16], sizeof acc[0]);
        if (mr > 16) {
            _tile_stored(2, &acc[16][v * 16], sizeof acc[0]);
            if (two)
                _tile_stored(3, &acc[16][v * 16 + 16], sizeof acc[0]);
        }
    }
    _tile_release();
    __asm__ volatile("" ::: "memory");
    for (int r = 0; r < mr; r++) {
        qn_vi whole[QN_NV];
        QN_UNROLL for (int v = 0; v < QN_NV; v++) {
            if (v < nv) {
                whole[v] = qn_add_i(qn_load_i(&acc[r][v * 16]), qn_load_i(p->offset + v * 16));
                if (p->zw != NULL)
                    whole[v] = qn_mul_sub(whole[v], sums[r], p->zw + v * 16);
            }
        }
        qn_finish_row(nv, p, whole, out + r * out_stride);
    }
}

static inline void qn_tile(int nv, int mr, const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride,
                           const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)
{
    if (mr >= 8 && p->taps * p->k4 >= 16) {
        qn_tile_amx(nv, mr, p, rows, stride, sums, out, out_stride);
    } else { /* few rows, or few products to each output: registers are quicker */
        int tiles = (mr + qn_register_rows[nv] - 1) / qn_register_rows[nv];
        for (int t = 0; t < tiles; t++) {
            int r = mr * t / tiles;
            qn_tiles[nv][mr * (t + 1) / tiles - r - 1](p, rows + r, stride, sums + r, out + r * out_stride, out_stride);
        }
    }
}
#else
/* The most rows of a tile of nv vectors, and of any. */
#define qn_rows qn_register_rows
#define QN_MOST_ROWS 16

static inline void qn_tile(int nv, int mr, const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride,
                           const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)
{
    qn_tiles[nv][mr - 1](p, rows, stride, sums, out, out_stride);
}
#endif

/* `count` pixels of an output row, up to 4 * LANES channels. rows: p->taps pointers, a multiple of four, to the first
 * pixel's bytes at each tap; the weights of taps that only fill up are 0. From pixel to pixel x moves by `step` bytes,
 * out by `out_step`. p is the block of channels: x_offset its first, columns how many exist. sums, NULL if all zero
 * points are 0, is added to the accumulators. */
QN_INLINE void qn_depthwise_body(const ptrdiff_t taps, const qn_panel *p, const uint8_t *const *rows, ptrdiff_t step,
                                 ptrdiff_t count, const int32_t *sums, uint8_t *out, ptrdiff_t out_step)
{
    for (ptrdiff_t x = 0; x < count; x++) {
        qn_vi acc[4], i[4];
        const int8_t *w = p->weights;
        QN_UNROLL for (int v = 0; v < 4; v++) acc[v] = qn_load_i(p->offset + v * QN_LANES);
        QN_UNROLL for (ptrdiff_t tap = 0; tap < taps; tap += 4) {
            qn_act a[4];
            qn_interleave(rows + tap, p->x_offset + x * step, p->columns, a);
            QN_UNROLL for (int v = 0; v < 4; v++)
                acc[v] = qn_dot(acc[v], a[v], qn_weights(w + (tap + v) * QN_LANES * 4));
        }
        if (sums != NULL)
            QN_UNROLL for (int v = 0; v < 4; v++) acc[v] = qn_add_i(acc[v], qn_load_i(sums + v * QN_LANES));
        QN_UNROLL for (int v = 0; v < 4; v++)
            i[v] = qn_requantize(acc[v], p->b + v * QN_LANES, p->inv, p->m + v * QN_LANES);
        qn_store_channels(out + x * out_step, i, p->zo, p->lo, p->columns);
    }
}

static inline void qn_depthwise(const qn_panel *p, const uint8_t *const *rows, ptrdiff_t step, ptrdiff_t count,
                                const int32_t *sums, uint8_t *out, ptrdiff_t out_step)
{
    if (p->taps == 12 && sums == NULL) /* 3x3 */
        qn_depthwise_body(12, p, rows, step, count, NULL, out, out_step);
    else
        qn_depthwise_body(p->taps, p, rows, step, count, sums, out, out_step);
}

/* -------------------------------------------------------------------------------------------- integers to floats -- */

/* 64 integers as floats, of bytes or of nibbles (the low one of a byte first), for sums of embedding rows. GCC widens
 * bytes in twice as many steps as a processor needs; where a vector is narrower the plain loop is as good. */
static inline void qn_floats_of_bytes(const uint8_t *q, float *x)
{
#if defined(__AVX512F__)
    for (int i = 0; i < 64; i += 16) {
        __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(q + i)));
        _mm512_storeu_ps(x + i, _mm512_cvtepi32_ps(v));
    }
#elif defined(__AVX2__)
    for (int i = 0; i < 64; i += 8) {
        __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(q + i)));
        _mm256_storeu_ps(x + i, _mm256_cvtepi32_ps(v));
    }
#else
    for (int i = 0; i < 64; i++)
        x[i] = (float)q[i];
#endif
}

static inline void qn_floats_of_nibbles(const uint8_t *q, float *x)
{
    uint8_t bytes[64];
#if defined(__AVX2__)
    const __m128i four = _mm_set1_epi8(15);
    for (int i = 0; i < 32; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(q + i));
        __m128i low = _mm_and_si128(v, four), high = _mm_and_si128(_mm_srli_epi16(v, 4), four);
        _mm_storeu_si128((__m128i *)(bytes + 2 * i), _mm_unpacklo_epi8(low, high));
        _mm_storeu_si128((__m128i *)(bytes + 2 * i + 16), _mm_unpackhi_epi8(low, high));
    }
#else
    for (int i = 0; i < 32; i++) {
        bytes[2 * i] = q[i] & 15;
        bytes[2 * i + 1] = q[i] >> 4;
    }
#endif
    qn_floats_of_bytes(bytes, x);
}

/* A float16; the same as qn_float_of_half, in one instruction where there is one. */
static inline float qn_float_of_half_fast(uint16_t h)
{
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    return qn_float_of_half(h);
#endif
}

/* --------------------------------------------------------------------------------------------------- table lookup -- */

/* out[i] = table[q[i]], 256 entries. With AVX-512 the table lies as 128 words in four registers: bits 1 to 7 of q choose a
 * word, bit 0 its half. On ARM it lies in sixteen registers, 64 bytes to an instruction. */
static inline void qn_lookup(const uint8_t *table, const uint8_t *q, uint8_t *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
#if defined(__AVX512BW__)
    __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
    for (; i + 32 <= n; i += 32) {
        __m512i x = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(q + i)));
        __m512i word = _mm512_srli_epi16(x, 1);
        __m512i low = _mm512_permutex2var_epi16(t0, word, t1), high = _mm512_permutex2var_epi16(t2, word, t3);
        __m512i both = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(x, _mm512_set1_epi16(128)), low, high);
        __m512i odd = _mm512_slli_epi16(_mm512_and_si512(x, _mm512_set1_epi16(1)), 3);
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtepi16_epi8(_mm512_srlv_epi16(both, odd)));
    }
#elif defined(__aarch64__)
    uint8x16x4_t t0 = vld1q_u8_x4(table), t1 = vld1q_u8_x4(table + 64);
    uint8x16x4_t t2 = vld1q_u8_x4(table + 128), t3 = vld1q_u8_x4(table + 192);
    for (; i + 16 <= n; i += 16) {
        uint8x16_t x = vld1q_u8(q + i);
        uint8x16_t y = vqtbl4q_u8(t0, x); /* 0 where x is outside; vqtbx4q leaves y there */
        y = vqtbx4q_u8(y, t1, vsubq_u8(x, vdupq_n_u8(64)));
        y = vqtbx4q_u8(y, t2, vsubq_u8(x, vdupq_n_u8(128)));
        y = vqtbx4q_u8(y, t3, vsubq_u8(x, vdupq_n_u8(192)));
        vst1q_u8(out + i, y);
    }
#endif
    for (; i < n; i++)
        out[i] = table[q[i]];
}

#endif
