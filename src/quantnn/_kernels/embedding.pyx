"""
Lookups and sums of rows of quantized embedding tables.

Computes
    pack        a table of integers, scales s_r and float zero points z_r to rows; bias_r = -f32(z_r * s_r)
    pack_floats a table of floats x to rows, by the least and the greatest of each row, or given ones
                q = clamp(rne(f32(f32(x - bias) * inv)))
                8 bits       bias = least, scale = f32(range/255), inv = f32(255/f32(range + 1e-8f))
                4 and 2 bits bias = half(least), scale = half(f32(range/(2^bits-1))), 1 where that or its reciprocal is
                             none, inv = f32(1/scale)
                with `bins`  the range is narrowed first, by 1/bins as often as `ratio` allows: each time at the end where
                             the error grows less; of these ranges the best local optimum is taken
    unpack_floats
                fma(scale, q, bias)
    bag         for each bag, over its indices in order, from out = 0:
                out_d = fma(f32(scale*w), f32(q_d), f32(out_d + f32(bias*w)))      w: the sample's weight, else 1
                A lookup is a bag of one.

Packed layout of a row, in native byte order: 8 bits: D integers, then scale and bias as float32. 4 and 2 bits: bytes
with two or four integers each, the lowest bits first, then scale and bias as float16 (rounded to nearest, ties to even).
Exactness: torch's bits, at every level; the order of the sum is the order of the indices.
Parallel: over bags, over rows.

A mapping, if there is one, takes an index of the unpruned table to a row; -1 is a pruned row that adds nothing. The
functions that check return the first bad position, or -1.
"""
from cython.parallel cimport prange
from libc.math cimport isinf, sqrtf
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy
from arrays cimport qn_read, qn_write
from numerics cimport cut, qn_float_of_half, qn_fma, qn_rne_clamp

cdef extern from "simd.h" nogil:
    ctypedef struct qn_table:
        const uint8_t* rows
        Py_ssize_t stride
        Py_ssize_t dim
        Py_ssize_t count
        const int64_t* indices
        const float* weights
        const int32_t* mapping
    int qn_extremes(const float* x, Py_ssize_t n, float* least, float* greatest) noexcept
    void qn_scale_bytes(const float* x, uint8_t* out, Py_ssize_t n, float bias, float inv, int most) noexcept
    uint16_t qn_half(float x) noexcept
    float qn_through_half(float x) noexcept
    void qn_squeeze(const uint8_t* q, uint8_t* out, Py_ssize_t n, int bits) noexcept
    void qn_bag(int bits, const qn_table* table, Py_ssize_t start, Py_ssize_t stop, float* out) noexcept

cdef enum:
    PART = 256      # integers that are packed together; a multiple of all in a byte


def pack(ints, scale, zero_point, rows, int bits, /):
    cdef Py_ssize_t shape[2]
    cdef const uint8_t *q = <const uint8_t *>qn_read(ints, 1, 2, shape)
    cdef const float *s = <const float *>qn_read(scale, 4, 0, NULL)
    cdef const float *z = <const float *>qn_read(zero_point, 4, 0, NULL)
    cdef uint8_t *out = <uint8_t *>qn_write(rows, 1, 0, NULL)
    cdef Py_ssize_t r, n = shape[1]
    cdef float bias
    cdef uint16_t half
    with nogil:
        for r in range(shape[0]):
            memcpy(out, q, n)
            q += n
            out += n
            bias = z[r] * s[r]
            bias = -bias
            if bits == 8:
                memcpy(out, &s[r], 4)
                memcpy(out + 4, &bias, 4)
            else:
                half = qn_half(s[r])
                memcpy(out, &half, 2)
                half = qn_half(bias)
                memcpy(out + 2, &half, 2)
            out += bits  # the bytes of scale and bias


cdef struct Row:
    float scale, inv, bias
    int most  # the largest integer


cdef inline Row _row(float least, float greatest, int bits) noexcept nogil:
    cdef Row r
    cdef float span
    r.most = (1 << bits) - 1
    if bits == 8:
        r.bias = least
        span = greatest - least
        r.scale = span / <float>255.0
        r.inv = <float>255.0 / (span + <float>1e-8)
        return r
    r.bias = qn_through_half(least)
    span = greatest - r.bias
    r.scale = <float>1.0 if span == 0 else qn_through_half(span / <float>r.most)
    r.inv = <float>1.0 / r.scale
    if r.scale == 0 or isinf(r.inv):
        r.scale = r.inv = <float>1.0
    return r


cdef inline int _quantized(Row r, float x) noexcept nogil:
    return qn_rne_clamp((x - r.bias) * r.inv, 0, r.most)


cdef float _loss(const float *x, Py_ssize_t n, float least, float greatest, int bits) noexcept nogil:
    cdef Row r = _row(least, greatest, bits)
    cdef float total = 0, e
    cdef Py_ssize_t i
    for i in range(n):
        e = x[i] - qn_fma(<float>_quantized(r, x[i]), r.scale, r.bias)
        total += e * e
    return sqrtf(total)


cdef void _narrow(const float *x, Py_ssize_t n, float *least, float *greatest, int bits, int bins,
                  double ratio) noexcept nogil:
    cdef float lo = least[0], hi = greatest[0], step = (hi - lo) / <float>bins
    cdef float stop = <float>(bins * (1.0 - ratio)) * step  # the width of the last range
    cdef float here = _loss(x, n, lo, hi, bits), best = here, from_below, from_above
    cdef int i
    for i in range(2 * bins):  # the ends meet before that
        if not lo + stop < hi:
            break
        from_below = _loss(x, n, lo + step, hi, bits)
        from_above = _loss(x, n, lo, hi - step, bits)
        if here < from_below and here < from_above and here < best:
            best = here
            least[0] = lo
            greatest[0] = hi
        if from_below < from_above:
            lo = lo + step
            here = from_below
        else:
            hi = hi - step
            here = from_above


def pack_floats(w, limits, rows, int bits, int bins, double ratio, int threads, /):
    """False if not all of w is finite.

    `limits`: the least and the greatest of each row. Without it, None, or with bins > 0, those are looked for.
    """
    cdef Py_ssize_t shape[2]
    cdef Py_ssize_t packed[2]
    cdef const float *x = <const float *>qn_read(w, 4, 2, shape)
    cdef const float *ends = <const float *>qn_read(limits, 4, 0, NULL)
    cdef uint8_t *out = <uint8_t *>qn_write(rows, 1, 2, packed)
    cdef Py_ssize_t count = shape[0], n = shape[1], step = packed[1]
    cdef int bad = 0, t
    if threads == 1:
        with nogil:
            bad = not _pack_rows(x, ends, out, 0, count, n, step, bits, bins, ratio)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            bad += not _pack_rows(x, ends, out, cut(count, t, threads, 1), cut(count, t + 1, threads, 1), n, step, bits,
                                  bins, ratio)
    return bad == 0


cdef bint _pack_rows(const float *w, const float *limits, uint8_t *rows, Py_ssize_t start, Py_ssize_t stop,
                     Py_ssize_t n, Py_ssize_t step, int bits, int bins, double ratio) noexcept nogil:
    cdef Py_ssize_t per = 8 // bits, r, i, part
    cdef uint8_t q[PART]
    cdef uint8_t *out
    cdef const float *x
    cdef float least, greatest
    cdef uint16_t half
    cdef bint finite = True
    cdef Row row
    for r in range(start, stop):
        x, out = w + r * n, rows + r * step
        least = greatest = x[0]
        finite &= qn_extremes(x, n, &least, &greatest) != 0
        if bins:
            if finite:
                _narrow(x, n, &least, &greatest, bits, bins, ratio)
        elif limits != NULL:
            least, greatest = limits[2 * r], limits[2 * r + 1]
        row = _row(least, greatest, bits)
        if bits == 8:
            qn_scale_bytes(x, out, n, row.bias, row.inv, row.most)
            memcpy(out + n, &row.scale, 4)
            memcpy(out + n + 4, &row.bias, 4)
            continue
        i = 0
        while i < n:
            part = min(n - i, <Py_ssize_t>PART)
            qn_scale_bytes(x + i, q, part, row.bias, row.inv, row.most)
            qn_squeeze(q, out + i // per, part, bits)
            i += part
        half = qn_half(row.scale)
        memcpy(out + n // per, &half, 2)
        half = qn_half(row.bias)
        memcpy(out + n // per + 2, &half, 2)
    return finite


def unpack_floats(rows, out, int bits, /):
    cdef Py_ssize_t packed[2]
    cdef Py_ssize_t shape[2]
    cdef const uint8_t *row = <const uint8_t *>qn_read(rows, 1, 2, packed)
    cdef float *floats = <float *>qn_write(out, 4, 2, shape)
    cdef Py_ssize_t r, i, n = shape[1], per = 8 // bits
    cdef const uint8_t *q
    cdef float scale, bias
    cdef uint16_t half
    with nogil:
        for r in range(packed[0]):
            q = row + r * packed[1]
            if bits == 8:
                memcpy(&scale, q + n, 4)
                memcpy(&bias, q + n + 4, 4)
            else:
                memcpy(&half, q + n // per, 2)
                scale = qn_float_of_half(half)
                memcpy(&half, q + n // per + 2, 2)
                bias = qn_float_of_half(half)
            for i in range(n):
                floats[r * n + i] = qn_fma(<float>(q[i // per] >> (i % per * bits) & ((1 << bits) - 1)), scale, bias)


def check_indices(indices, int64_t rows, /):
    """The first index that is not in [0, rows)."""
    cdef Py_ssize_t i, n, found = -1
    cdef const int64_t *index = <const int64_t *>qn_read(indices, 8, 0, &n)
    cdef bint bad = False
    with nogil:
        for i in range(n):
            bad |= <uint64_t>index[i] >= <uint64_t>rows
        if bad:
            for i in range(n):
                if not 0 <= index[i] < rows:
                    found = i
                    break
    return found


def check_mapping(mapping, int64_t rows, /):
    """The first entry that is neither -1 nor in [0, rows)."""
    cdef Py_ssize_t i, n, found = -1
    cdef const int32_t *row = <const int32_t *>qn_read(mapping, 4, 0, &n)
    with nogil:
        for i in range(n):
            if not -1 <= row[i] < rows:
                found = i
                break
    return found


def check_offsets(offsets, int64_t count, /):
    """The first offset that breaks 0 = offsets[0] <= offsets[1] <= ... <= count."""
    cdef Py_ssize_t i, n, found = -1
    cdef const int64_t *offset = <const int64_t *>qn_read(offsets, 8, 0, &n)
    cdef int64_t before = 0
    with nogil:
        for i in range(n):
            if offset[i] < before or offset[i] > count or (i == 0 and offset[i] != 0):
                found = i
                break
            before = offset[i]
    return found


def bag(rows, indices, offsets, Py_ssize_t fixed, weights, mapping, out, int bits, int threads, /):
    """One bag for each row of `out`.

    Bag b has the indices offsets[b] to offsets[b + 1], the last one those to the end where there is no such offset; or,
    if `fixed` is not negative, the b-th `fixed` indices, and `offsets` is None. `weights` and `mapping` may be None.
    """
    cdef Py_ssize_t packed[2]
    cdef Py_ssize_t shape[2]
    cdef Py_ssize_t ends = 0, b
    cdef qn_table table
    table.rows = <const uint8_t *>qn_read(rows, 1, 2, packed)
    table.indices = <const int64_t *>qn_read(indices, 8, 0, &table.count)
    table.weights = <const float *>qn_read(weights, 4, 0, NULL)
    table.mapping = <const int32_t *>qn_read(mapping, 4, 0, NULL)
    cdef const int64_t *offset = <const int64_t *>qn_read(offsets, 8, 0, &ends)
    cdef float *to = <float *>qn_write(out, 4, 2, shape)
    table.stride = packed[1]
    table.dim = shape[1]
    if threads == 1:
        with nogil:
            for b in range(shape[0]):
                _bag(&table, offset, ends, fixed, b, to + b * table.dim, bits)
    else:
        for b in prange(shape[0], num_threads=threads, nogil=True, schedule="static"):
            _bag(&table, offset, ends, fixed, b, to + b * table.dim, bits)


cdef inline void _bag(const qn_table* table, const int64_t *offsets, Py_ssize_t ends, Py_ssize_t fixed, Py_ssize_t b,
                      float* out, int bits) noexcept nogil:
    if fixed < 0:
        qn_bag(bits, table, offsets[b], offsets[b + 1] if b + 1 < ends else table.count, out)
    else:
        qn_bag(bits, table, b * fixed, (b + 1) * fixed, out)
