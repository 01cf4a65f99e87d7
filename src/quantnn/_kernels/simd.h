/* The inner tiles of linear and convolution, and what else a compiler does not vectorize well: the only file with
 * intrinsics, one section per instruction set.
 *
 * What it computes
 *   qn_tiles       rows by a panel of NV vectors of output columns, in tiles of MR rows:
 *                    acc[r][c] = offset[c] + sum over taps, k of x[r][tap][k] * w[tap][k][c]         u8 * s8, exact int32
 *                  requantized on registers and stored as bytes (see below)
 *                  A file that defines QN_FLOAT_RESULTS gets floats instead: fma(float(acc), m[c], b[c]).
 *                  At the level amx a tile has up to 32 rows and goes through tile registers where that pays.
 *   qn_pair        one row by two panels of two vectors
 *   qn_depthwise   the same as qn_tiles for pixels of a depthwise convolution, whose channels do not mix
 *   qn_transpose, qn_transpose_tall   a block of bytes, its rows and columns exchanged
 *   qn_affine_bytes, qn_affine_channel, qn_sums, qn_channel_sums   norms, and the sums they need
 *   qn_max_windows, qn_mean_windows, qn_means   pooling
 *   qn_floats, qn_blend_across, qn_blend_bytes   bilinear resizing
 *   qn_bag         sums of embedding rows
 *   qn_extremes    the least and the greatest of floats
 *   qn_half_tile   rows of floats by a panel of float16 weights
 *   qn_matmul      rows of floats by a panel of float columns
 *   qn_lookup      bytes through a table of 256
 *   qn_copy_rows   rows of bytes
 *   qn_clamp_bytes, qn_add_bytes, qn_mul_bytes, qn_quantize_bytes, qn_dequantize_bytes   element by element
 *
 * Packed layouts (LANES int32 lanes to a vector, QN_LANES)
 *   qn_tiles       weights [tap][k/4][NV * LANES][4]: one vector holds four consecutive k of LANES columns, what a
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
 * 2 * 255 * 128) fit; pmaddubsw, which sums in 16 bits, only gets x up to 127 (qn_dot_narrow). NEON's signed dot
 * product gets x - 128, and the offset takes it back (QN_X_BIAS).
 */
#ifndef QUANTNN_SIMD_H
#define QUANTNN_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "numerics.h"

/* A float result: what the sum of a column stands for. */
QN_INLINE float qn_float_result(float acc, float m, float b, int32_t relu)
{
    float y = qn_fma(acc, m, b);
    return !relu || y > 0.0f ? y : 0.0f;
}

/* Each section defines
 *   QN_LANES, QN_X_BIAS              int32 lanes to a vector; what the dot product subtracts from x
 *   QN_NV, QN_ROWS_1 ...             most vectors in a tile, and the most rows for each count of vectors
 *   qn_vi                            a vector of int32
 *   qn_act, qn_wgt                   activations and weights ready for qn_dot
 *   qn_broadcast(p), qn_weights(p)   load four bytes for every lane; a vector of weights
 *   qn_dot_narrow(acc, p, w), QN_NARROW   the same from memory in fewer instructions, if no byte of x is above 127; optional
 *   qn_dot(acc, a, w)                acc += the four products of each lane
 *   qn_zero, qn_load_i, qn_add_i, qn_mul_sub(acc, row, zw)
 *   qn_requantize(acc, b, inv, m)    to int32, before the zero point
 *   qn_store(out, i0, i1, i2, i3, zo, lo, n)    4 * LANES columns, of which n are stored
 *   qn_store_floats(out, acc, m, b, relu, n)    float results: n columns, at most LANES, of fma(float(acc), m, b)
 *   qn_store_rows(out, stride, nv, rows, i, zo, lo, n)    4 / nv rows of nv vectors, of which `rows` exist; optional
 *   qn_interleave(rows, offset, n, a[4])        depthwise: four rows of bytes to four qn_act
 *   qn_store_channels(out, i, zo, lo, n)        depthwise: 4 * LANES channels in the order of qn_interleave
 */

#if defined(QUANTNN_LEVEL_avx512vnni) || defined(QUANTNN_LEVEL_amx)
/* ------------------------------------------------------------------------------------------------ AVX-512 VNNI -- */
#include <immintrin.h>
#define QN_LANES 16
#define QN_X_BIAS 0
#define QN_ROWS_1 12
#define QN_ROWS_2 12
#if defined(QUANTNN_LEVEL_amx)
#define QN_NV 2 /* as many columns as two tile registers have */
#else
#define QN_NV 4
#define QN_ROWS_3 8
#define QN_ROWS_4 6
#endif
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
QN_INLINE qn_vi qn_requantize_with(qn_vi acc, __m512 b, __m512 inv, __m512 m)
{
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_fmadd_ps(b, inv, _mm512_cvtepi32_ps(acc)), m));
}
QN_INLINE qn_vi qn_requantize(qn_vi acc, const float *b, float inv, const float *m)
{
    return qn_requantize_with(acc, _mm512_loadu_ps(b), _mm512_set1_ps(inv), _mm512_loadu_ps(m));
}
QN_INLINE void qn_store_floats(float *out, qn_vi acc, const float *m, const float *b, int32_t relu, ptrdiff_t n)
{
    __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(m), _mm512_loadu_ps(b));
    if (relu)
        y = _mm512_max_ps(y, _mm512_setzero_ps());
    _mm512_mask_storeu_ps(out, (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1), y);
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
#define QN_ROWS_2 6
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
#define QN_NARROW 1
QN_INLINE qn_vi qn_dot_narrow(qn_vi acc, const uint8_t *x, const int8_t *w)
{
    __m256i pairs = _mm256_maddubs_epi16(qn_bytes(x), _mm256_loadu_si256((const __m256i *)w)); /* at most 2 * 127 * 128 */
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
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
QN_INLINE void qn_store_floats(float *out, qn_vi acc, const float *m, const float *b, int32_t relu, ptrdiff_t n)
{
    __m256 y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(m), _mm256_loadu_ps(b));
    if (relu)
        y = _mm256_max_ps(y, _mm256_setzero_ps());
    if (n >= 8)
        _mm256_storeu_ps(out, y);
    else
        _mm256_maskstore_ps(
            out, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)), y);
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
QN_INLINE void qn_store_floats(float *out, qn_vi acc, const float *m, const float *b, int32_t relu, ptrdiff_t n)
{
    float v[4];
    _mm_storeu_ps(v, _mm_cvtepi32_ps(acc));
    for (ptrdiff_t i = 0; i < n && i < 4; i++)
        out[i] = qn_float_result(v[i], m[i], b[i], relu);
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
QN_INLINE void qn_store_floats(float *out, qn_vi acc, const float *m, const float *b, int32_t relu, ptrdiff_t n)
{
    float v[4];
    vst1q_f32(v, vcvtq_f32_s32(acc));
    for (ptrdiff_t i = 0; i < n && i < 4; i++)
        out[i] = qn_float_result(v[i], m[i], b[i], relu);
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
QN_INLINE void qn_store_floats(float *out, qn_vi acc, const float *m, const float *b, int32_t relu, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n && i < 4; i++)
        out[i] = qn_float_result((float)acc.v[i], m[i], b[i], relu);
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

#ifndef QN_NARROW
#define QN_NARROW 0
#define qn_dot_narrow(acc, x, w) qn_dot(acc, qn_broadcast(x), qn_weights(w))
#endif

/* Whether no byte of x is above 127. */
static inline int qn_is_narrow(const uint8_t *x, ptrdiff_t n)
{
    uint8_t all = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        all |= x[i];
    return all < 128;
}

/* What is the same for all tiles of a call, or of a panel of it. */
typedef struct {
    const int8_t *weights;     /* this panel */
    const int32_t *offset;     /* what each column's accumulator starts with: -zx * sum(w) + K * zx * zw, + QN_X_BIAS */
    const int32_t *zw;         /* zero points of the weights, NULL if all are 0 */
    const float *b, *m;        /* see Requantize above */
    float inv;
    int32_t zo, lo;            /* float results: lo is not 0 for a relu */
    ptrdiff_t taps, k4;        /* taps, and groups of four bytes in each */
    ptrdiff_t columns;         /* columns of the panel that exist */
    ptrdiff_t x_offset;        /* added to every row pointer (groups) */
    int narrow;                /* no byte of x is above 127; only where QN_NARROW is set */
} qn_panel;

#ifdef QN_FLOAT_RESULTS
enum { QN_RESULT = 4 }; /* bytes of a result */
#undef QN_STORE_ROWS
/* Store one row of nv vectors as floats. */
QN_INLINE void qn_finish_row(const int nv, const qn_panel *p, const qn_vi *acc, uint8_t *out)
{
    QN_UNROLL for (int v = 0; v < nv; v++)
        qn_store_floats((float *)out + v * QN_LANES, acc[v], p->m + v * QN_LANES, p->b + v * QN_LANES, p->lo,
                        p->columns - v * QN_LANES);
}
#else
enum { QN_RESULT = 1 };
/* Requantize and store one row of nv vectors. */
QN_INLINE void qn_finish_row(const int nv, const qn_panel *p, const qn_vi *acc, uint8_t *out)
{
    qn_vi i[4];
    QN_UNROLL for (int v = 0; v < 4; v++)
        i[v] = v < nv ? qn_requantize(acc[v < nv ? v : 0], p->b + v * QN_LANES, p->inv, p->m + v * QN_LANES) : qn_zero();
    qn_store(out, i[0], i[1], i[2], i[3], p->zo, p->lo, p->columns);
}
#endif

#ifdef QN_STORE_ROWS
/* Requantize and store 4 / nv rows of nv vectors, of which `rows` exist: acc holds them one behind the other. */
QN_INLINE void qn_finish_rows(const int nv, const qn_panel *p, const qn_vi acc[4], int rows, uint8_t *out,
                              ptrdiff_t out_stride)
{
    qn_vi i[4];
    QN_UNROLL for (int v = 0; v < 4; v++)
        i[v] = qn_requantize(acc[v], p->b + v % nv * QN_LANES, p->inv, p->m + v % nv * QN_LANES);
    qn_store_rows(out, out_stride, nv, rows, i, p->zo, p->lo, p->columns);
}
#endif

/* Four k of mr rows by nv vectors. */
QN_INLINE void qn_dots(const int narrow, const int nv, const int mr, qn_vi (*acc)[QN_NV], const uint8_t *const *x,
                       ptrdiff_t at, const int8_t *w)
{
    if (narrow) {
        QN_UNROLL for (int r = 0; r < mr; r++)
            QN_UNROLL for (int v = 0; v < nv; v++)
                acc[r][v] = qn_dot_narrow(acc[r][v], x[r] + at, w + v * QN_LANES * 4);
    } else {
        qn_wgt wv[QN_NV];
        QN_UNROLL for (int v = 0; v < nv; v++) wv[v] = qn_weights(w + v * QN_LANES * 4);
        QN_UNROLL for (int r = 0; r < mr; r++) {
            qn_act a = qn_broadcast(x[r] + at);
            QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_dot(acc[r][v], a, wv[v]);
        }
    }
}

/* rows[tap * stride + r] points to row r's bytes at a tap; sums[r] is the sum of the row's bytes (where zw is used). */
QN_INLINE void qn_tile_body(const int narrow, const int nv, const int mr, const qn_panel *p,
                            const uint8_t *const *rows, ptrdiff_t stride, const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)
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
                qn_dots(narrow, nv, mr, &acc[t * mr], x, (k + t) * 4, w);
                w += step;
            }
        }
        for (; turns > 1 && k < p->k4; k++, w += step)
            qn_dots(narrow, nv, mr, acc, x, k * 4, w);
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
        QN_UNROLL for (int r = 0; r < mr; r += 4 / nv) {
            qn_vi some[4];
            QN_UNROLL for (int v = 0; v < 4; v++) {
                int row = r + v / nv < mr ? r + v / nv : r;
                some[v] = acc[row][v % nv];
            }
            qn_finish_rows(nv, p, some, mr - r, out + r * out_stride, out_stride);
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
        if (QN_NARROW && p->narrow)                                                                                    \
            qn_tile_body(1, NV, MR, p, rows, stride, sums, out, out_stride);                                           \
        else                                                                                                           \
            qn_tile_body(0, NV, MR, p, rows, stride, sums, out, out_stride);                                           \
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
static const int qn_rows[] = {0, QN_ROWS_1
#if QN_NV >= 2
    , QN_ROWS_2
#endif
#if QN_NV >= 4
    , QN_ROWS_3, QN_ROWS_4
#endif
};

static qn_tile_fn *const qn_tiles_of[][12] = {{NULL}, {QN_PASTE(QN_NAMES_, QN_ROWS_1)(1)}
#if QN_NV >= 2
    , {QN_PASTE(QN_NAMES_, QN_ROWS_2)(2)}
#endif
#if QN_NV >= 4
    , {QN_PASTE(QN_NAMES_, QN_ROWS_3)(3)}, {QN_PASTE(QN_NAMES_, QN_ROWS_4)(4)}
#endif
};

/* `count` rows, as qn_tile_body has them, in tiles of about equal height. */
static inline void qn_register_tiles(int nv, ptrdiff_t count, const qn_panel *p, const uint8_t *const *rows,
                                     ptrdiff_t stride, const int32_t *sums, uint8_t *out, ptrdiff_t out_stride)
{
    ptrdiff_t tiles = (count + qn_rows[nv] - 1) / qn_rows[nv];
    for (ptrdiff_t t = 0; t < tiles; t++) {
        ptrdiff_t r = count * t / tiles;
        qn_tiles_of[nv][count * (t + 1) / tiles - r - 1](p, rows + r, stride, sums + r, out + r * out_stride, out_stride);
    }
}

/* One row of one tap by two whole panels, the second `far` bytes of weights behind the first: two streams of weights come
 * faster than one. Not where the narrow dot product is the better way. */
#define QN_PAIRS (QN_NV == 2 && !QN_NARROW)
#if QN_PAIRS
static void qn_pair(const qn_panel *p, const uint8_t *x, ptrdiff_t far, const int32_t *sums, uint8_t *out)
{
    const int8_t *w = p->weights;
    qn_vi acc[2][4];
    QN_UNROLL for (int v = 0; v < 4; v++) acc[0][v] = qn_load_i(p->offset + v * QN_LANES), acc[1][v] = qn_zero();
    for (ptrdiff_t k = 0; k < p->k4; k += 2, x += 8)
        QN_UNROLL for (int t = 0; t < 2; t++, w += 2 * QN_LANES * 4) {
            if (k + t == p->k4)
                break;
            qn_act a = qn_broadcast(x + t * 4);
            QN_UNROLL for (int v = 0; v < 4; v++)
                acc[t][v] = qn_dot(acc[t][v], a, qn_weights(w + v / 2 * far + v % 2 * QN_LANES * 4));
        }
    QN_UNROLL for (int v = 0; v < 4; v++) {
        acc[0][v] = qn_add_i(acc[0][v], acc[1][v]);
        if (p->zw != NULL)
            acc[0][v] = qn_mul_sub(acc[0][v], sums[0], p->zw + v * QN_LANES);
    }
    qn_finish_row(4, p, acc[0], out);
}
#else
static inline void qn_pair(const qn_panel *p, const uint8_t *x, ptrdiff_t far, const int32_t *sums, uint8_t *out)
{
    (void)p, (void)x, (void)far, (void)sums, (void)out;
}
#endif

/* All rows of a run by one panel. A thread keeps a qn_work from tile to tile: qn_begin, any number of qn_tiles, qn_end;
 * sums stay as they are until qn_flush, which ends what is to be stored.
 * even is the distance between the bytes of neighbouring rows at every tap, where there is one: stretches of `width` rows,
 * the first of `lead`, are evenly spaced; else 0.
 * qn_padded(k) is how many bytes of a row are read; the weights of those behind the k-th are 0.
 * qn_part(left) is how many of the rows that are left of a stretch the next tile takes.
 * QN_EVEN is the fewest groups of four k, at all taps, for which a level wants rows evenly spaced; 0 if never. */
#if defined(QUANTNN_LEVEL_amx)
/* ---------------------------------------------------------------------------------------------- AMX: 32-row tiles -- */

/* Two tile registers of up to 16 rows and two of 16 columns make four of accumulators; 64 k at a time. The columns of a
 * panel lie in memory as a tile register wants them; rows must be evenly spaced. While a tile is multiplied, the one
 * before is requantized, a few rows after each 64 k: products and vectors have units of their own. With few k, a few rows
 * also come between the loads and the stores of accumulators, for the processor looks only some 500 instructions ahead. */
enum { QN_EVEN = 8, QN_FEW_ROWS = 4 }; /* with fewer rows of one tap registers are as quick */
enum { QN_TILE_ROW = 2 * QN_LANES };   /* accumulators of a row in memory */

typedef struct {
    int32_t acc[2][32][QN_TILE_ROW] __attribute__((aligned(64)));
    int half;                /* which of them is next */
    int upper, lower, bytes; /* rows of the two tiles and bytes of a row, as the tile registers are configured */
    int nv, mr;              /* what is to be requantized: vectors and rows, 0 if nothing is */
    qn_panel p;
    const int32_t *sums;
    uint8_t *out;
    ptrdiff_t out_stride;
} qn_work;

static inline ptrdiff_t qn_padded(ptrdiff_t k) { return k <= 64 ? (k + 3) / 4 * 4 : (k + 63) / 64 * 64; }

static inline void qn_begin(qn_work *w)
{
    w->half = w->upper = w->lower = w->bytes = w->mr = 0;
    w->nv = 1;
}

/* What is left to requantize of a tile: the next row, and what it takes, in registers. */
typedef struct {
    const int32_t *acc, *sums;
    uint8_t *out;
    ptrdiff_t out_stride;
    int rows;
    qn_panel p;
    __m512 inv, b[2], m[2];
} qn_rest;

QN_INLINE qn_rest qn_rest_of(const int nv, const qn_work *w)
{
    qn_rest t = {.acc = &w->acc[1 - w->half][0][0], .sums = w->sums, .out = w->out, .out_stride = w->out_stride,
                 .rows = w->mr, .p = w->p, .inv = _mm512_set1_ps(w->p.inv)};
    QN_UNROLL for (int v = 0; v < nv; v++) {
        t.b[v] = _mm512_loadu_ps(w->p.b + v * QN_LANES);
        t.m[v] = _mm512_loadu_ps(w->p.m + v * QN_LANES);
    }
    return t;
}

/* Requantize four vectors of it. */
QN_INLINE void qn_finish(const int nv, qn_rest *t)
{
    const int some = 4 / nv;
    qn_vi i[4];
    QN_UNROLL for (int v = 0; v < 4; v++) {
        i[v] = qn_load_i(t->acc + v / nv * QN_TILE_ROW + v % nv * QN_LANES);
        if (t->p.zw != NULL)
            i[v] = qn_mul_sub(i[v], v / nv < t->rows ? t->sums[v / nv] : 0, t->p.zw + v % nv * QN_LANES);
    }
#ifdef QN_FLOAT_RESULTS
    QN_UNROLL for (int r = 0; r < some; r++)
        if (r < t->rows)
            qn_finish_row(nv, &t->p, i + r * nv, t->out + r * t->out_stride);
#else
    QN_UNROLL for (int v = 0; v < 4; v++) i[v] = qn_requantize_with(i[v], t->b[v % nv], t->inv, t->m[v % nv]);
    qn_store_rows(t->out, t->out_stride, nv, t->rows, i, t->p.zo, t->p.lo, t->p.columns);
#endif
    t->acc += some * QN_TILE_ROW;
    t->sums += some;
    t->out += some * t->out_stride;
    t->rows -= some;
}

/* The same n times, at most until all is done. */
QN_INLINE void qn_finish_some(const int nv, qn_rest *t, int n)
{
    for (; n > 0 && t->rows > 0; n--)
        qn_finish(nv, t);
}

QN_INLINE void qn_flush_body(const int nv, qn_work *w)
{
    qn_rest rest = qn_rest_of(nv, w);
    qn_finish_some(nv, &rest, w->mr);
    w->mr = 0;
}

static void qn_flush(qn_work *w)
{
    if (w->mr > 0 && w->nv == 2)
        qn_flush_body(2, w);
    else if (w->mr > 0)
        qn_flush_body(1, w);
}

static inline void qn_end(qn_work *w)
{
    qn_flush(w);
    if (w->bytes != 0)
        _tile_release();
}

static void qn_configure(qn_work *w, int upper, int lower, int bytes)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {1, 0, {0}, {0}, {0}};
    for (int t = 0; t < 4; t++) { /* accumulators: 0 and 1 of the upper rows, 2 and 3 of the lower */
        shape.rows[t] = (uint8_t)(t < 2 ? upper : lower);
        shape.row_bytes[t] = shape.rows[t] ? 64 : 0;
    }
    shape.rows[4] = (uint8_t)upper;
    shape.rows[5] = (uint8_t)lower;
    shape.row_bytes[4] = (uint16_t)bytes;
    shape.row_bytes[5] = (uint16_t)(lower ? bytes : 0);
    shape.rows[6] = shape.rows[7] = (uint8_t)(bytes / 4);
    shape.row_bytes[6] = shape.row_bytes[7] = 64;
    __asm__ volatile("" ::"r"(&shape) : "memory"); /* GCC takes the first eight bytes only as read */
    _tile_loadconfig(&shape);
    w->upper = upper;
    w->lower = lower;
    w->bytes = bytes;
}

/* The rows from `rows` on, `upper` and then (if `two`) `lower` of them: each part is evenly spaced. few: less than eight
 * times 64 k at all taps. */
QN_INLINE void qn_tile_amx_body(const int nv, const int two, const int few, qn_work *w, int upper, int lower,
                                const qn_panel *p, const uint8_t *const *rows, ptrdiff_t stride, ptrdiff_t even)
{
    const ptrdiff_t row = (ptrdiff_t)nv * 64; /* bytes of four k of the panel */
    const ptrdiff_t steps = (p->k4 + 15) / 16;
    const int bytes = p->k4 < 16 ? (int)p->k4 * 4 : 64;
    const int turns = (int)((few ? 7 : 15) / (steps * p->taps) + 1);
    const int8_t *weights = p->weights;
    int32_t *acc = &w->acc[w->half][0][0];
    qn_rest rest;
    if (w->upper != upper || w->lower != lower || w->bytes != bytes)
        qn_configure(w, upper, lower, bytes);
    if (w->nv != nv)
        qn_flush(w);
    if (w->mr == 0)
        w->p = *p; /* nothing is left, but its constants are loaded */
    rest = qn_rest_of(nv, w);
    w->p = *p; /* here, for the stores of tiles hold up what reads fresh fields behind them */
    w->nv = nv;
    _tile_loadd(0, p->offset, 0); /* the same for every row */
    qn_finish_some(nv, &rest, few);
    if (nv == 2)
        _tile_loadd(1, p->offset + QN_LANES, 0);
    qn_finish_some(nv, &rest, few);
    if (two)
        _tile_loadd(2, p->offset, 0);
    qn_finish_some(nv, &rest, few);
    if (two && nv == 2)
        _tile_loadd(3, p->offset + QN_LANES, 0);
    qn_finish_some(nv, &rest, few);
    for (ptrdiff_t tap = 0; tap < p->taps; tap++, rows += stride) {
        const uint8_t *x = rows[0] + p->x_offset, *y = two ? rows[upper] + p->x_offset : x;
        for (ptrdiff_t i = 0; i < steps; i++, weights += bytes / 4 * row, x += 64, y += 64) {
            _tile_loadd(6, weights, row);
            _tile_loadd(4, x, even);
            _tile_dpbusd(0, 4, 6);
            if (two) {
                _tile_loadd(5, y, even);
                _tile_dpbusd(2, 5, 6);
            }
            if (nv == 2) {
                _tile_loadd(7, weights + 64, row);
                _tile_dpbusd(1, 4, 7);
                if (two)
                    _tile_dpbusd(3, 5, 7);
            }
            qn_finish_some(nv, &rest, turns);
        }
    }
    if (!few)
        qn_finish_some(nv, &rest, rest.rows);
    _tile_stored(0, acc, QN_TILE_ROW * 4);
    qn_finish_some(nv, &rest, few);
    if (nv == 2)
        _tile_stored(1, acc + QN_LANES, QN_TILE_ROW * 4);
    qn_finish_some(nv, &rest, few);
    acc += upper * QN_TILE_ROW;
    if (two)
        _tile_stored(2, acc, QN_TILE_ROW * 4);
    qn_finish_some(nv, &rest, few);
    if (two && nv == 2)
        _tile_stored(3, acc + QN_LANES, QN_TILE_ROW * 4);
    if (few)
        qn_finish_some(nv, &rest, rest.rows);
    __asm__ volatile("" ::: "memory"); /* the tile instructions do not tell the compiler what they write */
    w->half = 1 - w->half;
    w->mr = upper + lower;
}

/* Not inlined: among the many variables of a kernel GCC would keep its own in vector registers. */
static QN_NOINLINE void qn_tile_amx(qn_work *w, int nv, int upper, int lower, const qn_panel *p,
                                    const uint8_t *const *rows, ptrdiff_t stride, ptrdiff_t even)
{
    if (nv == 2 && lower && (p->k4 + 15) / 16 * p->taps < 8)
        qn_tile_amx_body(2, 1, 1, w, upper, lower, p, rows, stride, even);
    else if (nv == 2 && lower)
        qn_tile_amx_body(2, 1, 0, w, upper, lower, p, rows, stride, even);
    else if (nv == 2)
        qn_tile_amx_body(2, 0, 0, w, upper, lower, p, rows, stride, even);
    else if (lower)
        qn_tile_amx_body(1, 1, 0, w, upper, lower, p, rows, stride, even);
    else
        qn_tile_amx_body(1, 0, 0, w, upper, lower, p, rows, stride, even);
}

/* Stretches are cut into about equal parts for the tile registers. */
static inline ptrdiff_t qn_part(ptrdiff_t left)
{
    uint32_t n = (uint32_t)left, parts = (n + 15) / 16; /* a run is short, and 64 bits divide slowly */
    return (n + parts - 1) / parts;
}

static inline void qn_tiles(qn_work *w, int nv, ptrdiff_t count, const qn_panel *p, const uint8_t *const *rows,
                            ptrdiff_t stride, ptrdiff_t even, ptrdiff_t lead, ptrdiff_t width, const int32_t *sums,
                            uint8_t *out, ptrdiff_t out_stride)
{
    if (even == 0 || p->taps * p->k4 < QN_EVEN || (p->taps == 1 && count < QN_FEW_ROWS)) {
        qn_register_tiles(nv, count, p, rows, stride, sums, out, out_stride);
        return;
    }
    __asm__ volatile("" ::: "memory"); /* nor what they read */
    for (ptrdiff_t r = 0, left = lead < count ? lead : count; r < count;) {
        ptrdiff_t parts[2] = {0, 0};
        for (int i = 0; i < 2 && r + parts[0] < count; i++) {
            parts[i] = qn_part(left);
            left -= parts[i];
            if (left == 0) {
                ptrdiff_t rest = count - r - parts[0] - parts[1];
                left = width < rest ? width : rest;
            }
        }
        qn_tile_amx(w, nv, (int)parts[0], (int)parts[1], p, rows + r, stride, even);
        w->sums = sums + r;
        w->out = out + r * out_stride;
        w->out_stride = out_stride;
        r += parts[0] + parts[1];
    }
}
#else
enum { QN_EVEN = 0, QN_FEW_ROWS = 1 };
typedef struct { char unused; } qn_work;
static inline ptrdiff_t qn_padded(ptrdiff_t k) { return (k + 3) / 4 * 4; }
static inline ptrdiff_t qn_part(ptrdiff_t left) { return left; }
static inline void qn_begin(qn_work *w) { (void)w; }
static inline void qn_flush(qn_work *w) { (void)w; }
static inline void qn_end(qn_work *w) { (void)w; }
static inline void qn_tiles(qn_work *w, int nv, ptrdiff_t count, const qn_panel *p, const uint8_t *const *rows,
                            ptrdiff_t stride, ptrdiff_t even, ptrdiff_t lead, ptrdiff_t width, const int32_t *sums,
                            uint8_t *out, ptrdiff_t out_stride)
{
    (void)w, (void)even, (void)lead, (void)width;
    qn_register_tiles(nv, count, p, rows, stride, sums, out, out_stride);
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

/* -------------------------------------------------------------------------------------------------------- transpose -- */

/* A block of 16 rows of 16 bytes, its rows and columns exchanged. Four times rows i and i + 8 are interleaved to rows
 * 2 i and 2 i + 1: each time moves one bit of a byte's column number into its row number. qn_transpose_tall does
 * QN_TURNS blocks one below the other, which fill a vector of each row of the result.
 */
static inline void qn_transpose(const uint8_t *x, ptrdiff_t x_stride, uint8_t *out, ptrdiff_t out_stride)
{
#if defined(__x86_64__) || defined(_M_X64)
    __m128i a[16], b[16];
    QN_UNROLL for (int i = 0; i < 16; i++) a[i] = _mm_loadu_si128((const __m128i *)(x + i * x_stride));
    QN_UNROLL for (int turn = 0; turn < 4; turn++) {
        QN_UNROLL for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
        }
        QN_UNROLL for (int i = 0; i < 16; i++) a[i] = b[i];
    }
    QN_UNROLL for (int i = 0; i < 16; i++) _mm_storeu_si128((__m128i *)(out + i * out_stride), a[i]);
#elif defined(__aarch64__) || defined(_M_ARM64)
    uint8x16_t a[16], b[16];
    QN_UNROLL for (int i = 0; i < 16; i++) a[i] = vld1q_u8(x + i * x_stride);
    QN_UNROLL for (int turn = 0; turn < 4; turn++) {
        QN_UNROLL for (int i = 0; i < 8; i++) {
            b[2 * i] = vzip1q_u8(a[i], a[i + 8]);
            b[2 * i + 1] = vzip2q_u8(a[i], a[i + 8]);
        }
        QN_UNROLL for (int i = 0; i < 16; i++) a[i] = b[i];
    }
    QN_UNROLL for (int i = 0; i < 16; i++) vst1q_u8(out + i * out_stride, a[i]);
#else
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            out[j * out_stride + i] = x[i * x_stride + j];
#endif
}

#if defined(__AVX512BW__)
#define QN_TURNS 4
typedef __m512i qn_column;
#define QN_TURN(op) _mm512_##op
QN_INLINE qn_column qn_gather(const uint8_t *x, ptrdiff_t step)
{
    const __m128i *p = (const __m128i *)x, *q = (const __m128i *)(x + step);
    const __m128i *r = (const __m128i *)(x + 2 * step), *s = (const __m128i *)(x + 3 * step);
    __m512i a = _mm512_inserti32x4(_mm512_castsi128_si512(_mm_loadu_si128(p)), _mm_loadu_si128(q), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(a, _mm_loadu_si128(r), 2), _mm_loadu_si128(s), 3);
}
#elif defined(__AVX2__)
#define QN_TURNS 2
typedef __m256i qn_column;
#define QN_TURN(op) _mm256_##op
QN_INLINE qn_column qn_gather(const uint8_t *x, ptrdiff_t step)
{
    __m256i a = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)x));
    return _mm256_inserti128_si256(a, _mm_loadu_si128((const __m128i *)(x + step)), 1);
}
#else
#define QN_TURNS 1
#endif
static inline void qn_transpose_tall(const uint8_t *x, ptrdiff_t x_stride, uint8_t *out, ptrdiff_t out_stride)
{
#if QN_TURNS > 1
    qn_column a[16], b[16];
    QN_UNROLL for (int i = 0; i < 16; i++) a[i] = qn_gather(x + i * x_stride, 16 * x_stride);
    QN_UNROLL for (int turn = 0; turn < 4; turn++) {
        QN_UNROLL for (int i = 0; i < 8; i++) {
            b[2 * i] = QN_TURN(unpacklo_epi8)(a[i], a[i + 8]);
            b[2 * i + 1] = QN_TURN(unpackhi_epi8)(a[i], a[i + 8]);
        }
        QN_UNROLL for (int i = 0; i < 16; i++) a[i] = b[i];
    }
    QN_UNROLL for (int i = 0; i < 16; i++) memcpy(out + i * out_stride, &a[i], sizeof *a);
#else
    qn_transpose(x, x_stride, out, out_stride);
#endif
}

/* ------------------------------------------------------------------------------------------ bytes through floats -- */

/* Loops over rows of bytes that compute in floats: each in blocks of registers, the last block overlapping the one
 * before, and in plain C for what is shorter than a block and for processors without a section here. `flip` is 128 for
 * signed bytes, else 0.
 *
 *   qn_vf, QN_FLOATS                   a vector of floats, and how many
 *   qn_vb, QN_I(op)                    a vector of bytes; its intrinsics that have one name but for the width
 *   qn_b_put16(p, a), qn_b_put32(p, a) the low bytes of int16 or int32 below 256
 *   qn_f_bytes(q, flip)                bytes to floats
 *   qn_f_less(q, z, flip)              bytes less an integer of their range
 *   qn_f_ints(p, offset)               int32 less an offset to floats
 *   qn_f_nibbles(q), qn_f_ordered(x)   the nibbles of QN_FLOATS / 2 bytes, in an order of their own; that of memory,
 *                                      the low one of a byte first
 *   qn_f_halves(p, a, b)               two float16, each as a vector
 *   qn_f_half(p)                       float16 to floats
 *   qn_f_least(a), qn_f_greatest(a)    of the floats of a vector
 *   qn_f_nan(a)                        whether there is a NaN among them
 *   qn_f_put(out, y, zo, lo, flip)     max(sat(rne(y) + zo), lo) of four vectors; |y| < 2**31
 *   qn_f_sat(out, y, flip)             sat(rne(y)) of four vectors; y < 2**31
 */
#if defined(__AVX512F__)
#define QN_FLOATS 16
typedef __m512 qn_vf;
typedef __m512i qn_vb;
#define QN_I(op) _mm512_##op
QN_INLINE qn_vb qn_b_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
QN_INLINE void qn_b_store(uint8_t *p, qn_vb a) { _mm512_storeu_si512(p, a); }
QN_INLINE qn_vb qn_b_zero(void) { return _mm512_setzero_si512(); }
QN_INLINE void qn_b_put16(uint8_t *p, qn_vb a) { _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi16_epi8(a)); }
QN_INLINE void qn_b_put32(uint8_t *p, qn_vb a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }
QN_INLINE qn_vb qn_b_flip(qn_vb a, int flip)
{
    return _mm512_xor_si512(a, _mm512_set1_epi8((char)flip));
}
QN_INLINE qn_vf qn_f_set(float a) { return _mm512_set1_ps(a); }
QN_INLINE qn_vf qn_f_load(const float *p) { return _mm512_loadu_ps(p); }
QN_INLINE void qn_f_store(float *p, qn_vf a) { _mm512_storeu_ps(p, a); }
QN_INLINE qn_vf qn_f_add(qn_vf a, qn_vf b) { return _mm512_add_ps(a, b); }
QN_INLINE qn_vf qn_f_sub(qn_vf a, qn_vf b) { return _mm512_sub_ps(a, b); }
QN_INLINE qn_vf qn_f_mul(qn_vf a, qn_vf b) { return _mm512_mul_ps(a, b); }
QN_INLINE qn_vf qn_f_min(qn_vf a, qn_vf b) { return _mm512_min_ps(a, b); }
QN_INLINE qn_vf qn_f_max(qn_vf a, qn_vf b) { return _mm512_max_ps(a, b); }
QN_INLINE qn_vf qn_f_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
QN_INLINE float qn_f_least(qn_vf a) { return _mm512_reduce_min_ps(a); }
QN_INLINE float qn_f_greatest(qn_vf a) { return _mm512_reduce_max_ps(a); }
QN_INLINE int qn_f_nan(qn_vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0; }
QN_INLINE qn_vf qn_f_fma(qn_vf a, qn_vf b, qn_vf c) { return _mm512_fmadd_ps(a, b, c); }
QN_INLINE qn_vf qn_f_bytes(const uint8_t *q, const int flip)
{
    __m128i v = _mm_loadu_si128((const __m128i *)q);
    return _mm512_cvtepi32_ps(flip ? _mm512_cvtepi8_epi32(v) : _mm512_cvtepu8_epi32(v));
}
QN_INLINE qn_vf qn_f_less(const uint8_t *q, float z, const int flip)
{
    /* a byte below the exponent of 2**23 is 2**23 + q: no conversion */
    const __m512i spread = _mm512_add_epi8(
        _mm512_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3),
        _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    if (flip)
        return _mm512_sub_ps(qn_f_bytes(q, flip), _mm512_set1_ps(z));
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)q));
    v = _mm512_mask_shuffle_epi8(_mm512_set1_epi32(0x4B000000), 0x1111111111111111, v, spread);
    return _mm512_sub_ps(_mm512_castsi512_ps(v), _mm512_set1_ps(8388608.0f + z));
}
QN_INLINE qn_vf qn_f_nibbles(const uint8_t *q)
{
    /* Pairs of lanes shift nibbles i and i + 8 of an int64 down; the table does not look at what is above. */
    const __m512 table = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i down = _mm512_setr_epi64(0, 4, 8, 12, 16, 20, 24, 28);
    int64_t all;
    memcpy(&all, q, 8);
    return _mm512_permutexvar_ps(_mm512_srlv_epi64(_mm512_set1_epi64(all), down), table);
}
QN_INLINE qn_vf qn_f_ordered(qn_vf x)
{
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), x);
}
QN_INLINE void qn_f_halves(const uint8_t *p, qn_vf *a, qn_vf *b)
{
    int32_t both;
    memcpy(&both, p, 4);
    __m512 v = _mm512_cvtph_ps(_mm256_set1_epi32(both));
    *a = _mm512_moveldup_ps(v);
    *b = _mm512_movehdup_ps(v);
}
QN_INLINE qn_vf qn_f_ints(const int32_t *p, int32_t offset)
{
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(p), _mm512_set1_epi32(offset)));
}
QN_INLINE void qn_f_put(uint8_t *out, const qn_vf y[4], int32_t zo, int32_t lo, const int flip)
{
    const __m512i linear = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i q = qn_pack(_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1]), _mm512_cvtps_epi32(y[2]),
                        _mm512_cvtps_epi32(y[3]), zo + flip, lo + flip);
    q = _mm512_permutexvar_epi32(linear, q);
    qn_b_store(out, qn_b_flip(q, flip));
}
QN_INLINE void qn_f_sat(uint8_t *out, const qn_vf y[4], const int flip)
{
    const __m512i linear = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i a = _mm512_packs_epi32(_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1]));
    __m512i b = _mm512_packs_epi32(_mm512_cvtps_epi32(y[2]), _mm512_cvtps_epi32(y[3]));
    __m512i q = flip ? _mm512_packs_epi16(a, b) : _mm512_packus_epi16(a, b);
    qn_b_store(out, _mm512_permutexvar_epi32(linear, q));
}
#elif defined(__AVX2__)
#define QN_FLOATS 8
typedef __m256 qn_vf;
typedef __m256i qn_vb;
#define QN_I(op) _mm256_##op
QN_INLINE qn_vb qn_b_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
QN_INLINE void qn_b_store(uint8_t *p, qn_vb a) { _mm256_storeu_si256((__m256i *)p, a); }
QN_INLINE qn_vb qn_b_zero(void) { return _mm256_setzero_si256(); }
QN_INLINE void qn_b_put16(uint8_t *p, qn_vb a)
{
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}
QN_INLINE void qn_b_put32(uint8_t *p, qn_vb a)
{
    __m128i v = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(v, v));
}
QN_INLINE qn_vb qn_b_flip(qn_vb a, int flip)
{
    return _mm256_xor_si256(a, _mm256_set1_epi8((char)flip));
}
QN_INLINE qn_vf qn_f_set(float a) { return _mm256_set1_ps(a); }
QN_INLINE qn_vf qn_f_load(const float *p) { return _mm256_loadu_ps(p); }
QN_INLINE void qn_f_store(float *p, qn_vf a) { _mm256_storeu_ps(p, a); }
QN_INLINE qn_vf qn_f_add(qn_vf a, qn_vf b) { return _mm256_add_ps(a, b); }
QN_INLINE qn_vf qn_f_sub(qn_vf a, qn_vf b) { return _mm256_sub_ps(a, b); }
QN_INLINE qn_vf qn_f_mul(qn_vf a, qn_vf b) { return _mm256_mul_ps(a, b); }
QN_INLINE qn_vf qn_f_min(qn_vf a, qn_vf b) { return _mm256_min_ps(a, b); }
QN_INLINE qn_vf qn_f_max(qn_vf a, qn_vf b) { return _mm256_max_ps(a, b); }
QN_INLINE qn_vf qn_f_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
QN_INLINE float qn_f_least(qn_vf a)
{
    __m128 v = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    v = _mm_min_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_min_ps(v, _mm_movehdup_ps(v)));
}
QN_INLINE float qn_f_greatest(qn_vf a)
{
    __m128 v = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ps(v, _mm_movehdup_ps(v)));
}
QN_INLINE int qn_f_nan(qn_vf a) { return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0; }
QN_INLINE qn_vf qn_f_fma(qn_vf a, qn_vf b, qn_vf c) { return _mm256_fmadd_ps(a, b, c); }
QN_INLINE qn_vf qn_f_bytes(const uint8_t *q, const int flip)
{
    __m128i v = _mm_loadl_epi64((const __m128i *)q);
    return _mm256_cvtepi32_ps(flip ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v));
}
QN_INLINE qn_vf qn_f_less(const uint8_t *q, float z, const int flip)
{
    return _mm256_sub_ps(qn_f_bytes(q, flip), _mm256_set1_ps(z));
}
QN_INLINE qn_vf qn_f_nibbles(const uint8_t *q)
{
    int32_t all;
    memcpy(&all, q, 4);
    __m256i v = _mm256_srlv_epi32(_mm256_set1_epi32(all), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    return _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(15)));
}
QN_INLINE qn_vf qn_f_ordered(qn_vf x) { return x; }
QN_INLINE void qn_f_halves(const uint8_t *p, qn_vf *a, qn_vf *b)
{
    int32_t both;
    memcpy(&both, p, 4);
    __m256 v = _mm256_cvtph_ps(_mm_set1_epi32(both));
    *a = _mm256_moveldup_ps(v);
    *b = _mm256_movehdup_ps(v);
}
QN_INLINE qn_vf qn_f_ints(const int32_t *p, int32_t offset)
{
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi32(offset)));
}
QN_INLINE void qn_f_put(uint8_t *out, const qn_vf y[4], int32_t zo, int32_t lo, const int flip)
{
    const __m256i linear = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i q = qn_pack(_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1]), _mm256_cvtps_epi32(y[2]),
                        _mm256_cvtps_epi32(y[3]), zo + flip, lo + flip);
    q = _mm256_permutevar8x32_epi32(q, linear);
    qn_b_store(out, qn_b_flip(q, flip));
}
QN_INLINE void qn_f_sat(uint8_t *out, const qn_vf y[4], const int flip)
{
    const __m256i linear = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a = _mm256_packs_epi32(_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1]));
    __m256i b = _mm256_packs_epi32(_mm256_cvtps_epi32(y[2]), _mm256_cvtps_epi32(y[3]));
    __m256i q = flip ? _mm256_packs_epi16(a, b) : _mm256_packus_epi16(a, b);
    qn_b_store(out, _mm256_permutevar8x32_epi32(q, linear));
}
#endif

/* max(sat(rne(y) + zo), lo). */
QN_INLINE uint8_t qn_put_one(float y, int32_t zo, int32_t lo, const int flip)
{
    float least = (float)(lo - zo), most = (float)((flip ? 127 : 255) - zo);
    y = y < most ? y : most;
    y = y > least ? y : least;
    return (uint8_t)(qn_rne_small(y) + zo);
}
QN_INLINE float qn_float_one(const uint8_t *q, const int flip) { return (float)(flip ? (int8_t)*q : *q); }

#ifdef QN_FLOATS
/* For each block of n elements, its first in `i`; nothing if there is less than one. */
#define QN_BLOCK (4 * QN_FLOATS)
#define QN_FOR_BLOCKS(i, n) \
    for (ptrdiff_t end_ = (n) - QN_BLOCK, i = 0; end_ >= 0 && i < end_ + QN_BLOCK; \
         i = i < end_ && i + QN_BLOCK > end_ ? end_ : i + QN_BLOCK)
#define QN_REST(n) ((n) >= QN_BLOCK ? (n) : 0) /* where the plain loop begins */
#else
#define QN_REST(n) 0
#endif

/* Norms: out = rne(y) + zo, clamped, with d = float(q) - z; QN_CENTRED: d -= mean; QN_SCALED: d *= rs;
 * y = fma(d, weight, bias), for QN_EACH of arrays, else of one number; QN_TIMES: y *= inv. |y| must be below 2**31. */
enum {
    QN_CENTRED = 1,
    QN_SCALED = 2,
    QN_EACH = 4,
    QN_TIMES = 8,
    QN_BATCH_NORM = QN_EACH,
    QN_LAYER_NORM = QN_CENTRED | QN_SCALED | QN_EACH | QN_TIMES,
    QN_GROUP_NORM = QN_CENTRED | QN_TIMES,
    QN_GROUP_NORM_LAST = QN_EACH | QN_TIMES
};

typedef struct {
    const float *weight, *bias;
    float z, mean, rs, inv;
    int32_t zo, lo;
} qn_affine;

QN_INLINE void qn_affine_body(const int how, const qn_affine *norm, const uint8_t *x, uint8_t *out, ptrdiff_t n,
                              const int flip)
{
    const qn_affine a = *norm; /* what out cannot change stays in registers */
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n) {
        qn_vf y[4];
        QN_UNROLL for (int v = 0; v < 4; v++) {
            ptrdiff_t at = i + v * QN_FLOATS;
            qn_vf d = qn_f_less(x + at, a.z, flip);
            if (how & QN_CENTRED)
                d = qn_f_sub(d, qn_f_set(a.mean));
            if (how & QN_SCALED)
                d = qn_f_mul(d, qn_f_set(a.rs));
            if (how & QN_EACH)
                y[v] = qn_f_fma(d, qn_f_load(a.weight + at), qn_f_load(a.bias + at));
            else
                y[v] = qn_f_fma(d, qn_f_set(*a.weight), qn_f_set(*a.bias));
            if (how & QN_TIMES)
                y[v] = qn_f_mul(y[v], qn_f_set(a.inv));
        }
        qn_f_put(out + i, y, a.zo, a.lo, flip);
    }
#endif
    for (ptrdiff_t i = QN_REST(n); i < n; i++) {
        float y, d = qn_float_one(x + i, flip) - a.z;
        if (how & QN_CENTRED)
            d -= a.mean;
        if (how & QN_SCALED)
            d *= a.rs;
        y = qn_fma(d, a.weight[how & QN_EACH ? i : 0], a.bias[how & QN_EACH ? i : 0]);
        out[i] = qn_put_one(how & QN_TIMES ? y * a.inv : y, a.zo, a.lo, flip);
    }
}

static inline void qn_affine_bytes(int how, const qn_affine *a, const uint8_t *x, uint8_t *out, ptrdiff_t n, int flip)
{
#define QN_AFFINE(norm) \
    if (how == norm && flip) \
        qn_affine_body(norm, a, x, out, n, 128); \
    else if (how == norm) \
        qn_affine_body(norm, a, x, out, n, 0)
    QN_AFFINE(QN_BATCH_NORM);
    QN_AFFINE(QN_LAYER_NORM);
    QN_AFFINE(QN_GROUP_NORM);
    QN_AFFINE(QN_GROUP_NORM_LAST);
}

/* out = rne(z + (v - z)), clamped, with v = h0*t0 + h1*t1, `fused`: fma(h1, t1, h0*t0). |v - z| < 2**22. */
QN_INLINE void qn_blend_bytes(const int fused, const float *t0, const float *t1, float h0, float h1, float z,
                              int32_t lo, uint8_t *out, ptrdiff_t n, const int flip)
{
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n) {
        qn_vf y[4];
        QN_UNROLL for (int u = 0; u < 4; u++) {
            qn_vf a = qn_f_mul(qn_f_set(h0), qn_f_load(t0 + i + u * QN_FLOATS)), b = qn_f_load(t1 + i + u * QN_FLOATS);
            qn_vf v = fused ? qn_f_fma(qn_f_set(h1), b, a) : qn_f_add(a, qn_f_mul(qn_f_set(h1), b));
            y[u] = qn_f_add(qn_f_set(z), qn_f_sub(v, qn_f_set(z)));
        }
        qn_f_put(out + i, y, 0, lo, flip);
    }
#endif
    for (ptrdiff_t i = QN_REST(n); i < n; i++) {
        float a = h0 * t0[i], v = fused ? qn_fma(h1, t1[i], a) : a + h1 * t1[i];
        out[i] = qn_put_one(z + (v - z), 0, lo, flip);
    }
}

/* Means of sums: out = y, rounded and clamped, with s = float(acc - offset), by one of torch's rules. */
enum { QN_MEAN_AFTER, QN_MEAN_FUSED, QN_MEAN_BEFORE }; /* rne(s*m) + z; rne(fma(s, m, z)); rne(z + s*m) */

#ifdef QN_FLOATS
QN_INLINE qn_vf qn_mean(const int rule, qn_vf s, float m, int32_t z)
{
    s = rule == QN_MEAN_FUSED ? qn_f_fma(s, qn_f_set(m), qn_f_set((float)z)) : qn_f_mul(s, qn_f_set(m));
    return rule == QN_MEAN_BEFORE ? qn_f_add(qn_f_set((float)z), s) : s;
}
#endif

QN_INLINE void qn_means(const int rule, const int32_t *acc, int32_t offset, float m, int32_t z, int32_t lo,
                        uint8_t *out, ptrdiff_t n, const int flip)
{
    const int32_t zo = rule == QN_MEAN_AFTER ? z : 0;
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n) {
        qn_vf y[4];
        QN_UNROLL for (int v = 0; v < 4; v++) {
            y[v] = qn_mean(rule, qn_f_ints(acc + i + v * QN_FLOATS, offset), m, z);
            y[v] = qn_f_min(y[v], qn_f_set(1024.0f)); /* a sum of very many may be 2**31 */
        }
        qn_f_put(out + i, y, zo, lo, flip);
    }
#endif
    for (ptrdiff_t i = QN_REST(n); i < n; i++) {
        float s = (float)qn_sub(acc[i], offset);
        if (rule == QN_MEAN_FUSED)
            s = qn_fma(s, m, (float)z);
        else
            s *= m;
        out[i] = qn_put_one(rule == QN_MEAN_BEFORE ? (float)z + s : s, zo, lo, flip);
    }
}

/* Windows of a channels-last image, `count` side by side: the bytes of number i at x + i*step + p*plane_step +
 * r*row_step + t*tap_step for each of the channels. Their results lie one behind the other. */
typedef struct {
    ptrdiff_t count, planes, rows, taps, step, plane_step, row_step, tap_step, channels;
} qn_windows;

#ifdef QN_FLOATS
enum { QN_WINDOWS = QN_BLOCK }; /* the fewest channels of qn_max_windows and qn_mean_windows; 0: they don't exist */

/* Loops over a window. Clang unrolls those of constant length of its own accord; told to, it would unroll all the others
 * too, one inside the other: thousands of copies, minutes of compiling. */
#if defined(__clang__)
#define QN_UNROLL_WINDOW
#else
#define QN_UNROLL_WINDOW QN_UNROLL
#endif

QN_INLINE void qn_max_body(const ptrdiff_t rows, const ptrdiff_t taps, const qn_windows *windows, const uint8_t *x,
                           uint8_t *out, const int flip)
{
    const qn_windows w = *windows;
    for (ptrdiff_t i = 0; i < w.count; i++, x += w.step, out += w.channels)
        QN_FOR_BLOCKS(c, w.channels) {
            qn_vb q = qn_b_load(x + c);
            for (ptrdiff_t p = 0; p < w.planes; p++)
                QN_UNROLL_WINDOW for (ptrdiff_t r = 0; r < rows; r++)
                    QN_UNROLL_WINDOW for (ptrdiff_t t = 0; t < taps; t++) {
                        qn_vb v = qn_b_load(x + c + p * w.plane_step + r * w.row_step + t * w.tap_step);
                        q = flip ? QN_I(max_epi8)(q, v) : QN_I(max_epu8)(q, v);
                    }
            qn_b_store(out + c, q);
        }
}

/* The maximum of each window. */
static inline void qn_max_windows(const qn_windows *w, const uint8_t *x, uint8_t *out, const int flip)
{
    if (w->rows == 3 && w->taps == 3 && !flip)
        qn_max_body(3, 3, w, x, out, 0);
    else if (w->rows == 2 && w->taps == 2 && !flip)
        qn_max_body(2, 2, w, x, out, 0);
    else if (flip)
        qn_max_body(w->rows, w->taps, w, x, out, 128);
    else
        qn_max_body(w->rows, w->taps, w, x, out, 0);
}

/* Sums of even and of odd bytes, in 16 bits: `both` has the even ones and 256 times the odd ones, modulo 65536. They are
 * added to four vectors of int32 in the order that packing them restores. */
QN_INLINE void qn_add_wide(qn_vb acc[4], qn_vb both, qn_vb odd)
{
    qn_vb even = QN_I(sub_epi16)(both, QN_I(slli_epi16)(odd, 8)), zero = qn_b_zero();
    qn_vb low = QN_I(unpacklo_epi16)(even, odd), high = QN_I(unpackhi_epi16)(even, odd);
    acc[0] = QN_I(add_epi32)(acc[0], QN_I(unpacklo_epi16)(low, zero));
    acc[1] = QN_I(add_epi32)(acc[1], QN_I(unpackhi_epi16)(low, zero));
    acc[2] = QN_I(add_epi32)(acc[2], QN_I(unpacklo_epi16)(high, zero));
    acc[3] = QN_I(add_epi32)(acc[3], QN_I(unpackhi_epi16)(high, zero));
}

QN_INLINE void qn_mean_body(const int rule, const ptrdiff_t planes, const ptrdiff_t rows, const ptrdiff_t taps,
                            const qn_windows *windows, const uint8_t *x, int32_t offset, float m, int32_t z, int32_t lo,
                            uint8_t *out, const int flip)
{
    const qn_windows w = *windows;
    for (ptrdiff_t i = 0; i < w.count; i++, x += w.step, out += w.channels)
        QN_FOR_BLOCKS(c, w.channels) {
            qn_vb acc[4], both = qn_b_zero(), odd = both;
            ptrdiff_t most = 256; /* bytes whose sum fits 16 bits */
            QN_UNROLL for (int v = 0; v < 4; v++)
                acc[v] = QN_I(set1_epi32)(-offset);
            QN_UNROLL_WINDOW for (ptrdiff_t p = 0; p < planes; p++)
                QN_UNROLL_WINDOW for (ptrdiff_t r = 0; r < rows; r++)
                    QN_UNROLL_WINDOW for (ptrdiff_t t = 0; t < taps; t++) {
                        qn_vb v = qn_b_load(x + c + p * w.plane_step + r * w.row_step + t * w.tap_step);
                        v = flip ? qn_b_flip(v, flip) : v;
                        both = QN_I(add_epi16)(both, v);
                        odd = QN_I(add_epi16)(odd, QN_I(srli_epi16)(v, 8));
                        if (--most == 0) {
                            qn_add_wide(acc, both, odd);
                            both = odd = qn_b_zero();
                            most = 256;
                        }
                    }
            qn_add_wide(acc, both, odd);
            QN_UNROLL for (int v = 0; v < 4; v++)
                acc[v] = QN_I(cvtps_epi32)(qn_mean(rule, QN_I(cvtepi32_ps)(acc[v]), m, z));
            both = qn_pack(acc[0], acc[1], acc[2], acc[3], (rule == QN_MEAN_AFTER ? z : 0) + flip, lo + flip);
            qn_b_store(out + c, qn_b_flip(both, flip));
        }
}

/* The mean of each window by a rule of qn_means; `offset` is the sum of a window's zero points. A window has less than
 * 2**22 bytes of a channel. */
static inline void qn_mean_windows(int rule, const qn_windows *w, const uint8_t *x, int32_t offset, float m, int32_t z,
                                   int32_t lo, uint8_t *out, int flip)
{
    const int small = w->planes == 1 && w->rows == 2 && w->taps == 2 && !flip;
    offset += flip * (int32_t)(w->planes * w->rows * w->taps); /* of bytes as unsigned */
#define QN_MEAN(the_rule) \
    if (rule == the_rule && small) \
        qn_mean_body(the_rule, 1, 2, 2, w, x, offset, m, z, lo, out, 0); \
    else if (rule == the_rule) \
        qn_mean_body(the_rule, w->planes, w->rows, w->taps, w, x, offset, m, z, lo, out, flip)
    QN_MEAN(QN_MEAN_AFTER);
    QN_MEAN(QN_MEAN_FUSED);
    QN_MEAN(QN_MEAN_BEFORE);
}
#else
enum { QN_WINDOWS = 0 };
static inline void qn_max_windows(const qn_windows *w, const uint8_t *x, uint8_t *out, int flip) {}
static inline void qn_mean_windows(int rule, const qn_windows *w, const uint8_t *x, int32_t offset, float m, int32_t z,
                                   int32_t lo, uint8_t *out, int flip) {}
#endif

/* Bytes to floats. */
QN_INLINE void qn_floats(const uint8_t *q, float *x, ptrdiff_t n, const int flip)
{
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n) {
        QN_UNROLL for (int v = 0; v < QN_BLOCK; v += QN_FLOATS)
            qn_f_store(x + i + v, qn_f_bytes(q + i + v, flip));
    }
#endif
    for (ptrdiff_t i = QN_REST(n); i < n; i++)
        x[i] = qn_float_one(q + i, flip);
}

/* t = fma(wb, b, wa*a) */
QN_INLINE void qn_blend(const float *a, const float *b, float wa, float wb, float *t, ptrdiff_t n)
{
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n) {
        QN_UNROLL for (int v = 0; v < QN_BLOCK; v += QN_FLOATS) {
            qn_vf first = qn_f_mul(qn_f_set(wa), qn_f_load(a + i + v));
            qn_f_store(t + i + v, qn_f_fma(qn_f_set(wb), qn_f_load(b + i + v), first));
        }
    }
#endif
    for (ptrdiff_t i = QN_REST(n); i < n; i++)
        t[i] = qn_fma(wb, b[i], wa * a[i]);
}

/* A row of pixels, resized to `width` pixels t: the pixels at index[w] and behind it, the last of `size` at most, with
 * weights 1 - weight[w] and weight[w]. The first `split` channels multiply the left pixel first, the others last. */
static inline void qn_blend_across(const float *row, ptrdiff_t size, const int64_t *index, const float *weight,
                                   float *t, ptrdiff_t width, ptrdiff_t channels, ptrdiff_t split)
{
    for (ptrdiff_t w = 0; w < width; w++, t += channels) {
        const float *left = row + index[w] * channels, *right = index[w] + 1 < size ? left + channels : left;
        const float w1 = weight[w], w0 = 1 - w1;
        qn_blend(left, right, w0, w1, t, split);
        if (split < channels)
            qn_blend(right + split, left + split, w1, w0, t + split, channels - split);
    }
}

/* ------------------------------------------------------------------------------------------------ embedding rows -- */

/* Packed tables and what is summed of them, as _kernels/embedding.pyx has it. */
typedef struct {
    const uint8_t *rows;
    ptrdiff_t stride, dim, count; /* bytes of a row; elements; indices in all */
    const int64_t *indices;
    const float *weights;   /* NULL: none */
    const int32_t *mapping; /* NULL: none */
} qn_table;

QN_INLINE float qn_float_at(const uint8_t *p)
{
    float x;
    memcpy(&x, p, 4);
    return x;
}
QN_INLINE float qn_half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return qn_float_of_half(h);
}

QN_INLINE void qn_bag_body(const int bits, const qn_table *table, ptrdiff_t start, ptrdiff_t stop, float *out)
{
    enum { AHEAD = 12 }; /* rows on their way from memory */
    const qn_table t = *table;
    const ptrdiff_t width = t.dim * bits / 8;
    ptrdiff_t done = 0;
#ifdef QN_FLOATS
    const ptrdiff_t whole = bits == 2 ? 0 : t.dim; /* 2 bits are rare, and left to the compiler */
    QN_FOR_BLOCKS(d, whole) {
        qn_vf total[4];
        QN_UNROLL for (int v = 0; v < 4; v++)
            total[v] = qn_f_set(0);
        for (ptrdiff_t i = start; i < stop; i++) {
            int64_t r = t.mapping ? t.mapping[t.indices[i]] : t.indices[i];
            const uint8_t *q = t.rows + r * t.stride;
            qn_vf scale, bias;
            if (!t.mapping && i + AHEAD < t.count) {
                const char *next = (const char *)(t.rows + t.indices[i + AHEAD] * t.stride);
                _mm_prefetch(next + d * bits / 8, _MM_HINT_T0);
                _mm_prefetch(next + t.stride - 1, _MM_HINT_T0);
            }
            if (r < 0)
                continue;
            if (bits == 8) {
                scale = qn_f_set(qn_float_at(q + width));
                bias = qn_f_set(qn_float_at(q + width + 4));
            } else {
                qn_f_halves(q + width, &scale, &bias);
            }
            if (t.weights) {
                scale = qn_f_mul(scale, qn_f_set(t.weights[i]));
                bias = qn_f_mul(bias, qn_f_set(t.weights[i]));
            }
            QN_UNROLL for (int v = 0; v < 4; v++) {
                const uint8_t *at = q + (d + v * QN_FLOATS) * bits / 8;
                qn_vf x = bits == 8 ? qn_f_bytes(at, 0) : qn_f_nibbles(at);
                total[v] = qn_f_fma(scale, x, qn_f_add(total[v], bias));
            }
        }
        QN_UNROLL for (int v = 0; v < 4; v++)
            qn_f_store(out + d + v * QN_FLOATS, bits == 8 ? total[v] : qn_f_ordered(total[v]));
    }
    done = QN_REST(whole);
#endif
    if (done == t.dim)
        return;
    for (ptrdiff_t d = 0; d < t.dim; d++)
        out[d] = 0;
    for (ptrdiff_t i = start; i < stop; i++) {
        int64_t r = t.mapping ? t.mapping[t.indices[i]] : t.indices[i];
        const uint8_t *q = t.rows + r * t.stride;
        float scale, bias;
        if (r < 0)
            continue;
        scale = bits == 8 ? qn_float_at(q + width) : qn_half_at(q + width);
        bias = bits == 8 ? qn_float_at(q + width + 4) : qn_half_at(q + width + 2);
        if (t.weights) {
            scale *= t.weights[i];
            bias *= t.weights[i];
        }
        if (bits == 8) {
            for (ptrdiff_t d = 0; d < t.dim; d++)
                out[d] = qn_fma(scale, (float)q[d], out[d] + bias);
        } else {
            const int per = 8 / bits, mask = (1 << bits) - 1;
            for (ptrdiff_t d = 0; d < width; d++)
                QN_UNROLL for (int e = 0; e < per; e++)
                    out[per * d + e] = qn_fma(scale, (float)(q[d] >> e * bits & mask), out[per * d + e] + bias);
        }
    }
}

/* The sum of the rows of the indices from start to stop. */
static inline void qn_bag(int bits, const qn_table *table, ptrdiff_t start, ptrdiff_t stop, float *out)
{
    if (bits == 8)
        qn_bag_body(8, table, start, stop, out);
    else if (bits == 4)
        qn_bag_body(4, table, start, stop, out);
    else
        qn_bag_body(2, table, start, stop, out);
}

/* ------------------------------------------------------------------------------------- sums of bytes and squares -- */

/* At most QN_SQUARES bytes have a sum of squares that fits 32 bits; partial sums may wrap. Dot products are u8 * s8:
 * u*u is u*(u - 128) + 128*u. */
enum { QN_SQUARES = 65536 };

static inline void qn_sums_of_few(const uint8_t *x, ptrdiff_t n, int flip, int64_t *first, int64_t *second)
{
    uint32_t s = 0, s2 = 0;
    ptrdiff_t i = 0;
#if defined(__AVX512VNNI__)
    __m512i a[4], b[4], high = _mm512_set1_epi8((char)128), f = _mm512_set1_epi8((char)flip);
    QN_UNROLL for (int v = 0; v < 4; v++)
        a[v] = b[v] = _mm512_setzero_si512();
    for (; i + 256 <= n; i += 256) {
        QN_UNROLL for (int v = 0; v < 4; v++) {
            __m512i u = _mm512_xor_si512(_mm512_loadu_si512(x + i + 64 * v), f);
            a[v] = qn_dot(a[v], u, _mm512_set1_epi8(1));
            b[v] = qn_dot(b[v], u, _mm512_xor_si512(u, high));
        }
    }
    for (; i + 64 <= n; i += 64) {
        __m512i u = _mm512_xor_si512(_mm512_loadu_si512(x + i), f);
        a[0] = qn_dot(a[0], u, _mm512_set1_epi8(1));
        b[0] = qn_dot(b[0], u, _mm512_xor_si512(u, high));
    }
    QN_UNROLL for (int v = 1; v < 4; v++) {
        a[0] = _mm512_add_epi32(a[0], a[v]);
        b[0] = _mm512_add_epi32(b[0], b[v]);
    }
    s = (uint32_t)_mm512_reduce_add_epi32(a[0]);
    s2 = (uint32_t)_mm512_reduce_add_epi32(b[0]) + 128 * s;
#elif defined(__AVX2__)
    __m256i a = _mm256_setzero_si256(), b = a, zero = a, f = _mm256_set1_epi8((char)flip);
    uint32_t lanes[8];
    for (; i + 32 <= n; i += 32) {
        __m256i u = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(x + i)), f);
        __m256i low = _mm256_unpacklo_epi8(u, zero), high = _mm256_unpackhi_epi8(u, zero);
        a = _mm256_add_epi32(a, _mm256_sad_epu8(u, zero));
        b = _mm256_add_epi32(b, _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high)));
    }
    _mm256_storeu_si256((__m256i *)lanes, a);
    s = lanes[0] + lanes[2] + lanes[4] + lanes[6];
    _mm256_storeu_si256((__m256i *)lanes, b);
    for (int v = 0; v < 8; v++)
        s2 += lanes[v];
#endif
    for (; i < n; i++) {
        uint32_t u = (uint8_t)(x[i] ^ flip);
        s += u;
        s2 += u * u;
    }
    *first += s;
    *second += s2;
}

/* Adds the sums of u and of u*u over x[:n], with u = x ^ flip. */
static inline void qn_sums(const uint8_t *x, ptrdiff_t n, int flip, int64_t *first, int64_t *second)
{
    for (; n > 0; x += QN_SQUARES, n -= QN_SQUARES)
        qn_sums_of_few(x, n < QN_SQUARES ? n : QN_SQUARES, flip, first, second);
}

static inline void qn_channel_sums_of_few(const uint8_t *x, ptrdiff_t step, ptrdiff_t pixels, int channels, int flip,
                                          int64_t *first, int64_t *second)
{
    uint32_t s[64] = {0}, s2[64] = {0};
    ptrdiff_t p = 0;
#if defined(__AVX512VNNI__)
    /* four pixels at a time, interleaved as for a depthwise convolution */
    __m512i a[4], b[4], high = _mm512_set1_epi8((char)128), f = _mm512_set1_epi8((char)flip);
    uint32_t lanes[2][4][16];
    QN_UNROLL for (int v = 0; v < 4; v++)
        a[v] = b[v] = _mm512_setzero_si512();
    for (; p + 4 <= pixels; p += 4) {
        const uint8_t *rows[4] = {x + p * step, x + (p + 1) * step, x + (p + 2) * step, x + (p + 3) * step};
        __m512i u[4];
        qn_interleave(rows, 0, channels, u);
        QN_UNROLL for (int v = 0; v < 4; v++) {
            u[v] = _mm512_xor_si512(u[v], f);
            a[v] = qn_dot(a[v], u[v], _mm512_set1_epi8(1));
            b[v] = qn_dot(b[v], u[v], _mm512_xor_si512(u[v], high));
        }
    }
    QN_UNROLL for (int v = 0; v < 4; v++) {
        _mm512_storeu_si512(lanes[0][v], a[v]);
        _mm512_storeu_si512(lanes[1][v], b[v]);
    }
    for (int c = 0; c < 64; c++) {
        s[c] = lanes[0][c / 4 % 4][c / 16 * 4 + c % 4];
        s2[c] = lanes[1][c / 4 % 4][c / 16 * 4 + c % 4] + 128 * s[c];
    }
#endif
    for (; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            uint32_t u = (uint8_t)(x[p * step + c] ^ flip);
            s[c] += u;
            s2[c] += u * u;
        }
    for (int c = 0; c < channels; c++) {
        first[c] += s[c];
        second[c] += s2[c];
    }
}

/* The same for each of up to 64 channels; the bytes of a channel are `step` apart. */
static inline void qn_channel_sums(const uint8_t *x, ptrdiff_t step, ptrdiff_t pixels, int channels, int flip,
                                   int64_t *first, int64_t *second)
{
    for (; pixels > 0; x += QN_SQUARES * step, pixels -= QN_SQUARES)
        qn_channel_sums_of_few(x, step, pixels < QN_SQUARES ? pixels : QN_SQUARES, channels, flip, first, second);
}

/* Ask for the cache line that a loop will write soon: where a loop only moves bytes, waiting for it is most of the time. */
static inline void qn_fetch(const void *out)
{
#if defined(__GNUC__)
    __builtin_prefetch((const char *)out + 512, 1);
#endif
}

/* The same for floats that a loop will read: they are four times as many as the bytes that it makes of them. */
static inline void qn_fetch_floats(const float *x)
{
#if defined(__GNUC__)
    __builtin_prefetch(x + 1024);
#endif
}

/* --------------------------------------------------------------------------------------------------- table lookup -- */

/* VBMI looks up 64 bytes in two instructions, at the speed of memory, but not every processor with AVX-512 VNNI has it. */
#if defined(__AVX512BW__) && defined(__GNUC__)
#define QN_VBMI
__attribute__((target("avx512vbmi"))) static void qn_lookup_vbmi(const uint8_t *table, const uint8_t *q,
                                                                 ptrdiff_t q_step, uint8_t *out, ptrdiff_t out_step,
                                                                 ptrdiff_t rows, ptrdiff_t n)
{
    __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
    for (ptrdiff_t r = 0; r < rows; r++, q += q_step, out += out_step) {
        ptrdiff_t i = 0;
        for (; i + 64 <= n; i += 64) {
            __m512i x = _mm512_loadu_si512(q + i);
            __m512i low = _mm512_permutex2var_epi8(t0, x, t1), high = _mm512_permutex2var_epi8(t2, x, t3);
            qn_fetch(out + i);
            _mm512_storeu_si512(out + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high));
        }
        if (i < n) {
            __mmask64 k = ((__mmask64)1 << (n - i)) - 1;
            __m512i x = _mm512_maskz_loadu_epi8(k, q + i);
            __m512i low = _mm512_permutex2var_epi8(t0, x, t1), high = _mm512_permutex2var_epi8(t2, x, t3);
            _mm512_mask_storeu_epi8(out + i, k, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high));
        }
    }
}
#endif

/* out[i] = table[q[i]], 256 entries, in rows of n bytes. With AVX-512 the table lies as 128 words in four registers: bits 1
 * to 7 of q choose a word, bit 0 its half. On ARM it lies in sixteen registers, 64 bytes to an instruction. */
static inline void qn_lookup(const uint8_t *table, const uint8_t *q, ptrdiff_t q_step, uint8_t *out, ptrdiff_t out_step,
                             ptrdiff_t rows, ptrdiff_t n)
{
#if defined(QN_VBMI)
    if (__builtin_cpu_supports("avx512vbmi")) {
        qn_lookup_vbmi(table, q, q_step, out, out_step, rows, n);
        return;
    }
#endif
#if defined(__AVX512BW__)
    __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
#elif defined(__aarch64__)
    uint8x16x4_t t0 = vld1q_u8_x4(table), t1 = vld1q_u8_x4(table + 64);
    uint8x16x4_t t2 = vld1q_u8_x4(table + 128), t3 = vld1q_u8_x4(table + 192);
#endif
    for (ptrdiff_t r = 0; r < rows; r++, q += q_step, out += out_step) {
        ptrdiff_t i = 0;
#if defined(__AVX512BW__)
        for (; i + 32 <= n; i += 32) {
            __m512i x = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(q + i)));
            __m512i word = _mm512_srli_epi16(x, 1);
            __m512i low = _mm512_permutex2var_epi16(t0, word, t1), high = _mm512_permutex2var_epi16(t2, word, t3);
            __m512i both = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(x, _mm512_set1_epi16(128)), low, high);
            __m512i odd = _mm512_slli_epi16(_mm512_and_si512(x, _mm512_set1_epi16(1)), 3);
            _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtepi16_epi8(_mm512_srlv_epi16(both, odd)));
        }
#elif defined(__aarch64__)
        for (; i + 16 <= n; i += 16) {
            uint8x16_t x = vld1q_u8(q + i);
            uint8x16_t y = vqtbl4q_u8(t0, x); /* 0 where x is outside; vqtbx4q leaves y there */
            y = vqtbx4q_u8(y, t1, vsubq_u8(x, vdupq_n_u8(64)));
            y = vqtbx4q_u8(y, t2, vsubq_u8(x, vdupq_n_u8(128)));
            y = vqtbx4q_u8(y, t3, vsubq_u8(x, vdupq_n_u8(192)));
            vst1q_u8(out + i, y);
        }
#endif
        for (; i + 8 <= n; i += 8)
            QN_UNROLL for (int v = 0; v < 8; v++) out[i + v] = table[q[i + v]];
        for (; i < n; i++)
            out[i] = table[q[i]];
    }
}

/* QN_GROUP_NORM of one channel: where it is long and lookups are fast, by a table of its 256 results. */
static inline void qn_affine_channel(const qn_affine *a, const uint8_t *x, uint8_t *out, ptrdiff_t n, int flip)
{
#if defined(QN_VBMI)
    const int fast = __builtin_cpu_supports("avx512vbmi");
#elif defined(__aarch64__)
    const int fast = 1;
#else
    const int fast = 0;
#endif
    uint8_t every[256], table[256];
    if (!fast || n < 1024) {
        qn_affine_bytes(QN_GROUP_NORM, a, x, out, n, flip);
        return;
    }
    for (int i = 0; i < 256; i++)
        every[i] = (uint8_t)i;
    qn_affine_bytes(QN_GROUP_NORM, a, every, table, 256, flip);
    qn_lookup(table, x, 0, out, 0, 1, n);
}

/* ------------------------------------------------------------------------------------------------------------ copy -- */

/* Rows of n bytes. Calling memcpy costs more than moving a short row in whole vectors, the last over the one before. */
static inline void qn_copy_rows(const uint8_t *x, ptrdiff_t x_step, uint8_t *out, ptrdiff_t out_step, ptrdiff_t rows,
                                ptrdiff_t n)
{
    for (ptrdiff_t r = 0; r < rows; r++, x += x_step, out += out_step) {
        if (n >= 64 && n < 2048) {
            for (ptrdiff_t i = 0; i < n - 64; i += 64) {
                qn_fetch(out + i);
                memcpy(out + i, x + i, 64);
            }
            qn_fetch(out + n - 64);
            memcpy(out + n - 64, x + n - 64, 64);
        } else if (n >= 16 && n < 64) {
            for (ptrdiff_t i = 0; i < n - 16; i += 16)
                memcpy(out + i, x + i, 16);
            memcpy(out + n - 16, x + n - 16, 16);
        } else {
            memcpy(out, x, (size_t)n);
        }
    }
}

/* --------------------------------------------------------------------------------------- element-wise arithmetic -- */

/* Each function does the first elements and returns how many: 0 where there are no intrinsics, where n is less than a
 * block, or where the numbers are so absurd that an int32 might overflow. The loop of the caller, which says what is
 * computed, does the rest. GCC's vectors widen and narrow bytes in twice as many steps. */
#ifdef QN_FLOATS
QN_INLINE void qn_add_body(const uint8_t *a, const uint8_t *b, const int step_b, uint8_t *out, ptrdiff_t n, float sa,
                           float ca, float sb, float cb, float inv, int32_t zo, int32_t lo, const int flip)
{
    const float one = qn_dv((int32_t)qn_float_one(b, flip), sb, cb);
    QN_FOR_BLOCKS(i, n) {
        qn_vf y[4];
        QN_UNROLL for (int v = 0; v < 4; v++) {
            const ptrdiff_t at = i + v * QN_FLOATS;
            qn_vf x = qn_f_fma(qn_f_set(sa), qn_f_bytes(a + at, flip), qn_f_set(ca));
            qn_vf t = step_b ? qn_f_fma(qn_f_set(sb), qn_f_bytes(b + at, flip), qn_f_set(cb)) : qn_f_set(one);
            y[v] = qn_f_mul(qn_f_add(x, t), qn_f_set(inv));
        }
        qn_f_put(out + i, y, zo, lo, flip);
    }
}

QN_INLINE void qn_mul_body(const uint8_t *a, const uint8_t *b, const int step_b, uint8_t *out, ptrdiff_t n, int32_t za,
                           int32_t zb, float m, int32_t zo, int32_t lo, const int flip)
{
    const float one = qn_float_one(b, flip) - (float)zb;
    QN_FOR_BLOCKS(i, n) {
        qn_vf y[4];
        QN_UNROLL for (int v = 0; v < 4; v++) {
            const ptrdiff_t at = i + v * QN_FLOATS;
            qn_vf x = qn_f_less(a + at, (float)za, flip);
            qn_vf t = step_b ? qn_f_less(b + at, (float)zb, flip) : qn_f_set(one);
            y[v] = qn_f_mul(qn_f_mul(x, t), qn_f_set(m));
        }
        qn_f_put(out + i, y, zo, lo, flip);
    }
}
#endif

/* clamp: min(max(q, lo), hi). Compilers vectorize it as well, but without qn_fetch. */
static inline ptrdiff_t qn_clamp_bytes(const uint8_t *q, uint8_t *out, ptrdiff_t n, int32_t lo, int32_t hi, int flip)
{
    ptrdiff_t i = 0;
#if defined(__AVX512BW__)
    const __m512i least = _mm512_set1_epi8((char)lo), most = _mm512_set1_epi8((char)hi);
    for (; i + 64 <= n; i += 64) {
        __m512i x = _mm512_loadu_si512(q + i);
        qn_fetch(out + i);
        x = flip ? _mm512_min_epi8(_mm512_max_epi8(x, least), most) : _mm512_min_epu8(_mm512_max_epu8(x, least), most);
        _mm512_storeu_si512(out + i, x);
    }
#elif defined(__AVX2__)
    const __m256i least = _mm256_set1_epi8((char)lo), most = _mm256_set1_epi8((char)hi);
    for (; i + 32 <= n; i += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(q + i));
        qn_fetch(out + i);
        x = flip ? _mm256_min_epi8(_mm256_max_epi8(x, least), most) : _mm256_min_epu8(_mm256_max_epu8(x, least), most);
        _mm256_storeu_si256((__m256i *)(out + i), x);
    }
#endif
    return i;
}

/* add by the rules DV and QV; b may be one element (step_b 0). lo is zo for a fused relu. */
static inline ptrdiff_t qn_add_bytes(const uint8_t *a, const uint8_t *b, ptrdiff_t step_b, uint8_t *out, ptrdiff_t n,
                                     float sa, int32_t za, float sb, int32_t zb, float inv, int32_t zo, int32_t lo,
                                     int flip)
{
#ifdef QN_FLOATS
    const float ca = qn_dv_offset(sa, za), cb = qn_dv_offset(sb, zb);
    if (!((sa + sb) * 512.0f * inv < 1e9f))
        return 0;
    if (step_b && !flip)
        qn_add_body(a, b, 1, out, n, sa, ca, sb, cb, inv, zo, lo, 0);
    else if (step_b)
        qn_add_body(a, b, 1, out, n, sa, ca, sb, cb, inv, zo, lo, 128);
    else
        qn_add_body(a, b, 0, out, n, sa, ca, sb, cb, inv, zo, lo, flip);
#endif
    return QN_REST(n);
}

/* mul; b may be one element. */
static inline ptrdiff_t qn_mul_bytes(const uint8_t *a, const uint8_t *b, ptrdiff_t step_b, uint8_t *out, ptrdiff_t n,
                                     int32_t za, int32_t zb, float m, int32_t zo, int32_t lo, int flip)
{
#ifdef QN_FLOATS
    if (!(m < 16384.0f))
        return 0;
    if (step_b && !flip)
        qn_mul_body(a, b, 1, out, n, za, zb, m, zo, lo, 0);
    else if (step_b)
        qn_mul_body(a, b, 1, out, n, za, zb, m, zo, lo, 128);
    else
        qn_mul_body(a, b, 0, out, n, za, zb, m, zo, lo, flip);
#endif
    return QN_REST(n);
}

/* quantize by the rule QT: the zero point is added before rounding; too small a float becomes INT32_MIN, which saturates. */
#ifdef QN_FLOATS
QN_INLINE void qn_quantize_block(const float *x, uint8_t *out, float inv, float zo, int flip)
{
    const qn_vf most = qn_f_set(flip ? 127.0f : 255.0f);
    qn_vf y[4];
    QN_UNROLL for (int v = 0; v < 4; v++) /* the second operand is the minimum of NaN */
        y[v] = qn_f_min(qn_f_fma(qn_f_load(x + v * QN_FLOATS), qn_f_set(inv), qn_f_set(zo)), most);
    qn_f_sat(out, y, flip);
}
QN_INLINE ptrdiff_t qn_quantize_body(const float *x, uint8_t *out, ptrdiff_t n, float inv, float zo, const int flip)
{
    qn_quantize_block(x, out, inv, zo, flip);
    /* from here on no load of floats crosses two cache lines */
    ptrdiff_t i = QN_BLOCK - (ptrdiff_t)((uintptr_t)x / sizeof *x % QN_FLOATS);
    for (; i + QN_BLOCK <= n; i += QN_BLOCK) {
        QN_UNROLL for (int v = 0; v < 4; v++) qn_fetch_floats(x + i + v * QN_FLOATS);
        qn_quantize_block(x + i, out + i, inv, zo, flip);
    }
    return i;
}
#endif
static inline ptrdiff_t qn_quantize_bytes(const float *x, uint8_t *out, ptrdiff_t n, float inv, float zo, int flip)
{
#ifdef QN_FLOATS
    if (n >= QN_BLOCK)
        return flip ? qn_quantize_body(x, out, n, inv, zo, 128) : qn_quantize_body(x, out, n, inv, zo, 0);
#endif
    return 0;
}

/* *least and *greatest become those of themselves and x[:n]; returns whether x is finite. */
static inline int qn_extremes(const float *x, ptrdiff_t n, float *least, float *greatest)
{
    float lo = *least, hi = *greatest, zero = 0.0f; /* zero: the sum of x * 0 */
    ptrdiff_t i = 0;
#ifdef QN_FLOATS
    if (n >= QN_FLOATS) {
        qn_vf a[4], b[4], s[4];
        QN_UNROLL for (int v = 0; v < 4; v++) a[v] = qn_f_set(lo), b[v] = qn_f_set(hi), s[v] = qn_f_set(0.0f);
#define QN_TAKE(v, at) \
    { \
        qn_vf t = qn_f_load(x + (at)); \
        a[v] = qn_f_min(t, a[v]); \
        b[v] = qn_f_max(t, b[v]); \
        s[v] = qn_f_fma(t, qn_f_set(0.0f), s[v]); \
    }
        for (; i + QN_BLOCK <= n; i += QN_BLOCK)
            QN_UNROLL for (int v = 0; v < 4; v++) QN_TAKE(v, i + v * QN_FLOATS)
        for (; i + QN_FLOATS <= n; i += QN_FLOATS)
            QN_TAKE(0, i)
        if (i < n)
            QN_TAKE(1, n - QN_FLOATS)
#undef QN_TAKE
        *least = qn_f_least(qn_f_min(qn_f_min(a[0], a[1]), qn_f_min(a[2], a[3])));
        *greatest = qn_f_greatest(qn_f_max(qn_f_max(b[0], b[1]), qn_f_max(b[2], b[3])));
        return !qn_f_nan(qn_f_add(qn_f_add(s[0], s[1]), qn_f_add(s[2], s[3])));
    }
#endif
    for (; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        zero += x[i] * 0.0f;
    }
    *least = lo;
    *greatest = hi;
    return zero == 0.0f;
}

/* out[i] = clamp(rne((x[i] - bias) * inv), 0, most); NaN gives most. */
#ifdef QN_FLOATS
QN_INLINE void qn_scale_block(const float *x, uint8_t *out, float bias, float inv, float most)
{
    qn_vf y[4];
    QN_UNROLL for (int v = 0; v < 4; v++)
        y[v] = qn_f_min(qn_f_mul(qn_f_sub(qn_f_load(x + v * QN_FLOATS), qn_f_set(bias)), qn_f_set(inv)),
                        qn_f_set(most));
    qn_f_put(out, y, 0, 0, 0);
}
#endif
static inline void qn_scale_bytes(const float *x, uint8_t *out, ptrdiff_t n, float bias, float inv, int most)
{
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n)
        qn_scale_block(x + i, out + i, bias, inv, (float)most);
    if (n < QN_BLOCK) {
        float some[QN_BLOCK] = {0};
        uint8_t bytes[QN_BLOCK];
        memcpy(some, x, (size_t)n * sizeof *x);
        qn_scale_block(some, bytes, bias, inv, (float)most);
        memcpy(out, bytes, (size_t)n);
    }
#else
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = (uint8_t)qn_rne_clamp((x[i] - bias) * inv, 0, most);
#endif
}

/* Rounded to float16, ties to even. */
QN_INLINE uint16_t qn_half(float x)
{
#ifdef QN_FLOATS
    return (uint16_t)_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT));
#else
    return qn_half_of_float(x);
#endif
}
QN_INLINE float qn_through_half(float x)
{
#ifdef QN_FLOATS
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
#else
    return qn_float_of_half(qn_half_of_float(x));
#endif
}

/* Integers of 4 or 2 bits, a byte each, to bytes full of them, the first in the lowest bits. */
static inline void qn_squeeze(const uint8_t *q, uint8_t *out, ptrdiff_t n, int bits)
{
    const ptrdiff_t per = 8 / bits;
    ptrdiff_t i = 0;
#ifdef QN_FLOATS
    const qn_vb pairs = QN_I(set1_epi16)(bits == 4 ? 0x1001 : 0x0401), fours = QN_I(set1_epi32)(0x00100001);
    for (; i + QN_BLOCK <= n; i += QN_BLOCK) { /* a byte and 16 or 4 times the next; then such two */
        qn_vb v = QN_I(maddubs_epi16)(qn_b_load(q + i), pairs);
        if (bits == 4)
            qn_b_put16(out + i / 2, v);
        else
            qn_b_put32(out + i / 4, QN_I(madd_epi16)(v, fours));
    }
#endif
    for (i /= per; i < n / per; i++) {
        int v = 0;
        for (ptrdiff_t j = 0; j < per; j++)
            v |= q[i * per + j] << (j * bits);
        out[i] = (uint8_t)v;
    }
}

/* Rows of floats by a panel of float16 weights, w[k][vectors of QN_HALF_LANES columns], of which `columns` exist:
 * out = x w + bias in float32. A sum is a chain of fused multiply-adds over `chain` k; the sums of chains are added in
 * order. bias may be NULL. */
typedef struct {
    const uint16_t *w;
    const float *bias;
    ptrdiff_t k, chain, columns;
    int relu;
} qn_half_panel;

#ifdef QN_FLOATS
enum { QN_HALF_LANES = QN_FLOATS, QN_HALF_NV = 4 };
QN_INLINE void qn_half_body(const int nv, const int mr, const qn_half_panel *p, const float *x, ptrdiff_t x_stride,
                            float *out, ptrdiff_t out_stride)
{
    qn_vf total[6][4], acc[6][4];
    const uint16_t *w = p->w;
    ptrdiff_t i = 0;
    do {
        const ptrdiff_t start = i, stop = p->k - i < p->chain ? p->k : i + p->chain;
        QN_UNROLL for (int r = 0; r < mr; r++)
            QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_f_set(0.0f);
        for (; i < stop; i++, w += nv * QN_FLOATS) {
            qn_vf wide[4];
            QN_UNROLL for (int v = 0; v < nv; v++) wide[v] = qn_f_half(w + v * QN_FLOATS);
            QN_UNROLL for (int r = 0; r < mr; r++) {
                qn_vf a = qn_f_set(x[r * x_stride + i]);
                QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_f_fma(a, wide[v], acc[r][v]);
            }
        }
        QN_UNROLL for (int r = 0; r < mr; r++)
            QN_UNROLL for (int v = 0; v < nv; v++)
                total[r][v] = start == 0 ? acc[r][v] : qn_f_add(total[r][v], acc[r][v]);
    } while (i < p->k);
    QN_UNROLL for (int r = 0; r < mr; r++) {
        float y[4 * QN_FLOATS];
        QN_UNROLL for (int v = 0; v < nv; v++) {
            qn_vf t = total[r][v];
            if (p->bias != NULL)
                t = qn_f_add(t, qn_f_load(p->bias + v * QN_FLOATS));
            qn_f_store(y + v * QN_FLOATS, p->relu ? qn_f_max(t, qn_f_set(0.0f)) : t);
        }
        memcpy(out + r * out_stride, y, (size_t)p->columns * sizeof *y);
    }
}
#else
enum { QN_HALF_LANES = 16, QN_HALF_NV = 1 };
QN_INLINE void qn_half_body(const int nv, const int mr, const qn_half_panel *p, const float *x, ptrdiff_t x_stride,
                            float *out, ptrdiff_t out_stride)
{
    (void)nv;
    for (int r = 0; r < mr; r++) {
        float total[QN_HALF_LANES] = {0};
        for (ptrdiff_t i = 0; i < p->k;) {
            const ptrdiff_t start = i, stop = p->k - i < p->chain ? p->k : i + p->chain;
            float acc[QN_HALF_LANES] = {0};
            for (; i < stop; i++)
                for (int c = 0; c < QN_HALF_LANES; c++)
                    acc[c] = qn_fma(x[r * x_stride + i], qn_float_of_half(p->w[i * QN_HALF_LANES + c]), acc[c]);
            for (int c = 0; c < QN_HALF_LANES; c++)
                total[c] = start == 0 ? acc[c] : total[c] + acc[c];
        }
        for (ptrdiff_t c = 0; c < p->columns; c++) {
            float y = p->bias != NULL ? total[c] + p->bias[c] : total[c];
            out[r * out_stride + c] = !p->relu || y > 0.0f ? y : 0.0f;
        }
    }
}
#endif

#ifdef QN_FLOATS
enum { QN_HALF_PART = 128, QN_HALF_MANY = 12 };
/* Some k of a chain, whose weights have become floats: `out` holds what the chain came to until its end. */
QN_INLINE void qn_half_part(const int nv, const int mr, const qn_half_panel *p, const float *wide, ptrdiff_t k,
                            ptrdiff_t n, const float *x, ptrdiff_t x_stride, float *out, ptrdiff_t out_stride)
{
    qn_vf acc[6][4];
    QN_UNROLL for (int r = 0; r < mr; r++)
        QN_UNROLL for (int v = 0; v < nv; v++)
            acc[r][v] = k == 0 ? qn_f_set(0.0f) : qn_f_load(out + r * out_stride + v * QN_FLOATS);
    for (ptrdiff_t i = 0; i < n; i++, wide += nv * QN_FLOATS) {
        qn_vf w[4];
        QN_UNROLL for (int v = 0; v < nv; v++) w[v] = qn_f_load(wide + v * QN_FLOATS);
        QN_UNROLL for (int r = 0; r < mr; r++) {
            qn_vf a = qn_f_set(x[r * x_stride + k + i]);
            QN_UNROLL for (int v = 0; v < nv; v++) acc[r][v] = qn_f_fma(a, w[v], acc[r][v]);
        }
    }
    QN_UNROLL for (int r = 0; r < mr; r++)
        QN_UNROLL for (int v = 0; v < nv; v++) {
            qn_vf t = acc[r][v];
            if (k + n == p->k && p->bias != NULL)
                t = qn_f_add(t, qn_f_load(p->bias + v * QN_FLOATS));
            if (k + n == p->k && p->relu)
                t = qn_f_max(t, qn_f_set(0.0f));
            qn_f_store(out + r * out_stride + v * QN_FLOATS, t);
        }
}
#endif

/* BODY(nv, rows of a tile), for all rows in tiles as equal as possible; x and out go on with them. */
#if defined(__AVX512F__)
#define QN_HALF_CASES(NV, BODY) QN_HALF_CASE(NV, 6, BODY) QN_HALF_CASE(NV, 5, BODY) QN_HALF_CASE(NV, 4, BODY) \
    QN_HALF_CASE(NV, 3, BODY) QN_HALF_CASE(NV, 2, BODY) QN_HALF_CASE(NV, 1, BODY)
enum { QN_HALF_MR = 6 };
#else
#define QN_HALF_CASES(NV, BODY) QN_HALF_CASE(NV, 2, BODY) QN_HALF_CASE(NV, 1, BODY)
enum { QN_HALF_MR = 2 };
#endif
#define QN_HALF_CASE(NV, MR, BODY) case 8 * NV + MR: BODY(NV, MR); break;
#define QN_HALF_EACH(CASES) \
    for (ptrdiff_t tiles = (rows + QN_HALF_MR - 1) / QN_HALF_MR, left = rows; tiles > 0; tiles--) { \
        const int mr = (int)((left + tiles - 1) / tiles); \
        switch (8 * nv + mr) { CASES } \
        left -= mr; \
        x_row += mr * x_stride; \
        out_row += mr * out_stride; \
    }

/* x_stride and out_stride in floats. */
static inline void qn_half_tiles(int nv, ptrdiff_t rows, const qn_half_panel *p, const float *x, ptrdiff_t x_stride,
                                 float *out, ptrdiff_t out_stride)
{
    const float *x_row = x;
    float *out_row = out;
#ifdef QN_FLOATS
    if (rows >= QN_HALF_MANY && p->k > 0 && p->k <= p->chain && nv % 2 == 0 &&
        p->columns == nv * QN_FLOATS) {
        float wide[QN_HALF_PART * QN_HALF_NV * QN_FLOATS];
        for (ptrdiff_t k = 0; k < p->k; k += QN_HALF_PART) {
            const ptrdiff_t n = p->k - k < QN_HALF_PART ? p->k - k : QN_HALF_PART;
            for (ptrdiff_t i = 0; i < n * nv * QN_FLOATS; i += QN_FLOATS)
                qn_f_store(wide + i, qn_f_half(p->w + k * nv * QN_FLOATS + i));
            x_row = x;
            out_row = out;
#define QN_HALF_PARTS(NV, MR) qn_half_part(NV, MR, p, wide, k, n, x_row, x_stride, out_row, out_stride)
            QN_HALF_EACH(QN_HALF_CASES(4, QN_HALF_PARTS) QN_HALF_CASES(2, QN_HALF_PARTS))
        }
        return;
    }
#endif
#define QN_HALF_WHOLE(NV, MR) qn_half_body(NV, MR, p, x_row, x_stride, out_row, out_stride)
    QN_HALF_EACH(QN_HALF_CASES(1, QN_HALF_WHOLE) QN_HALF_CASES(2, QN_HALF_WHOLE) QN_HALF_CASES(3, QN_HALF_WHOLE)
                     QN_HALF_CASES(4, QN_HALF_WHOLE))
}

/* total[r][c] = the chain of fma(a[r * step + k], b[k][c], .) over n k, from 0, which is added to what was there if `more`:
 * at most QN_MATMUL_ROWS rows by QN_MATMUL_COLUMNS columns. */
#if defined(__AVX512F__)
enum { QN_MATMUL_ROWS = 8, QN_MATMUL_COLUMNS = 2 * QN_FLOATS };
#elif defined(QN_FLOATS)
enum { QN_MATMUL_ROWS = 6, QN_MATMUL_COLUMNS = 2 * QN_FLOATS };
#else
enum { QN_MATMUL_ROWS = 6, QN_MATMUL_COLUMNS = 16 };
#endif

QN_INLINE void qn_matmul_rows(const float *a, ptrdiff_t step, const float *b, ptrdiff_t n, float *total, int more,
                              const int rows)
{
#ifdef QN_FLOATS
    enum { NV = QN_MATMUL_COLUMNS / QN_FLOATS };
    qn_vf acc[QN_MATMUL_ROWS][NV], w[NV];
    QN_UNROLL for (int r = 0; r < rows; r++)
        QN_UNROLL for (int v = 0; v < NV; v++) acc[r][v] = qn_f_set(0.0f);
    for (ptrdiff_t k = 0; k < n; k++) {
        QN_UNROLL for (int v = 0; v < NV; v++) w[v] = qn_f_load(b + k * QN_MATMUL_COLUMNS + v * QN_FLOATS);
        QN_UNROLL for (int r = 0; r < rows; r++)
            QN_UNROLL for (int v = 0; v < NV; v++) acc[r][v] = qn_f_fma(qn_f_set(a[r * step + k]), w[v], acc[r][v]);
    }
    QN_UNROLL for (int r = 0; r < rows; r++)
        QN_UNROLL for (int v = 0; v < NV; v++) {
            float *to = total + r * QN_MATMUL_COLUMNS + v * QN_FLOATS;
            qn_f_store(to, more ? qn_f_add(qn_f_load(to), acc[r][v]) : acc[r][v]);
        }
#else
    for (int r = 0; r < rows; r++) {
        float acc[QN_MATMUL_COLUMNS] = {0};
        for (ptrdiff_t k = 0; k < n; k++)
            for (int c = 0; c < QN_MATMUL_COLUMNS; c++)
                acc[c] = qn_fma(a[r * step + k], b[k * QN_MATMUL_COLUMNS + c], acc[c]);
        for (int c = 0; c < QN_MATMUL_COLUMNS; c++)
            total[r * QN_MATMUL_COLUMNS + c] = more ? total[r * QN_MATMUL_COLUMNS + c] + acc[c] : acc[c];
    }
#endif
}

static inline void qn_matmul(const float *a, ptrdiff_t step, const float *b, ptrdiff_t n, float *total, int more, int rows)
{
#define QN_MATMUL_CASE(ROWS) case ROWS: qn_matmul_rows(a, step, b, n, total, more, ROWS); break;
    switch (rows) {
        QN_MATMUL_CASE(1)
        QN_MATMUL_CASE(2)
        QN_MATMUL_CASE(3)
        QN_MATMUL_CASE(4)
        QN_MATMUL_CASE(5)
        QN_MATMUL_CASE(6)
#if defined(__AVX512F__)
        QN_MATMUL_CASE(7)
        QN_MATMUL_CASE(8)
#endif
    }
}

/* dequantize: scale * (q - zero_point) */
static inline ptrdiff_t qn_dequantize_bytes(const uint8_t *q, float *out, ptrdiff_t n, float scale, int32_t zero_point,
                                            int flip)
{
#ifdef QN_FLOATS
    QN_FOR_BLOCKS(i, n) {
        QN_UNROLL for (int v = 0; v < QN_BLOCK; v += QN_FLOATS) {
            qn_fetch(out + i + v);
            qn_f_store(out + i + v, qn_f_mul(qn_f_set(scale), qn_f_less(q + i + v, (float)zero_point, flip)));
        }
    }
#endif
    return QN_REST(n);
}

#endif
