"""
Lookups and sums of rows of quantized embedding tables.

Computes
    pack        a table of integers, scales s_r and float zero points z_r to rows; bias_r = -f32(z_r * s_r)
    bag         for each bag, over its indices in order, from out = 0:
                out_d = fma(f32(scale*w), f32(q_d), f32(out_d + f32(bias*w)))      w: the sample's weight, else 1
                A lookup is a bag of one.

Packed layout of a row, in native byte order: 8 bits: D integers, then scale and bias as float32. 4 bits: D/2 bytes with
two integers each, the low nibble first, then scale and bias as float16 (rounded to nearest, ties to even).
Exactness: torch's bits, at every level; the order of the sum is the order of the indices.
Parallel: over bags.

A mapping, if there is one, takes an index of the unpruned table to a row; -1 is a pruned row that adds nothing. The
functions that check return the first bad position, or -1.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy
from numerics cimport qn_fma, qn_half_of_float

cdef extern from "simd.h" nogil:
    void qn_floats_of_bytes(const uint8_t* q, float* x) noexcept
    void qn_floats_of_nibbles(const uint8_t* q, float* x) noexcept
    float qn_float_of_half_fast(uint16_t h) noexcept

cdef enum:
    LANES = 64  # elements summed in registers
    ROWS = 32   # rows summed at a time


def pack(const uint8_t[:, ::1] ints, const float[::1] scale, const float[::1] zero_point, uint8_t[:, ::1] rows,
         int bits):
    cdef Py_ssize_t r, i, n = ints.shape[1]
    cdef float bias
    cdef uint16_t half
    with nogil:
        for r in range(ints.shape[0]):
            for i in range(n):
                rows[r, i] = ints[r, i]
            bias = zero_point[r] * scale[r]
            bias = -bias
            if bits == 8:
                memcpy(&rows[r, n], &scale[r], 4)
                memcpy(&rows[r, n + 4], &bias, 4)
            else:
                half = qn_half_of_float(scale[r])
                memcpy(&rows[r, n], &half, 2)
                half = qn_half_of_float(bias)
                memcpy(&rows[r, n + 2], &half, 2)


def check_indices(const int64_t[::1] indices, int64_t rows):
    """The first index that is not in [0, rows)."""
    cdef Py_ssize_t i, n = indices.shape[0], found = -1
    cdef bint bad = False
    with nogil:
        for i in range(n):
            bad |= <uint64_t>indices[i] >= <uint64_t>rows
        if bad:
            for i in range(n):
                if not 0 <= indices[i] < rows:
                    found = i
                    break
    return found


def check_mapping(const int32_t[::1] mapping, int64_t rows):
    """The first entry that is neither -1 nor in [0, rows)."""
    cdef Py_ssize_t i, found = -1
    with nogil:
        for i in range(mapping.shape[0]):
            if not -1 <= mapping[i] < rows:
                found = i
                break
    return found


def check_offsets(const int64_t[::1] offsets, int64_t n):
    """The first offset that breaks 0 = offsets[0] <= offsets[1] <= ... <= n."""
    cdef Py_ssize_t i, found = -1
    cdef int64_t before = 0
    with nogil:
        for i in range(offsets.shape[0]):
            if offsets[i] < before or offsets[i] > n or (i == 0 and offsets[i] != 0):
                found = i
                break
            before = offsets[i]
    return found


def bag(const uint8_t[:, ::1] rows, const int64_t[::1] indices, const int64_t[::1] offsets, Py_ssize_t fixed,
        const float[::1] weights, const int32_t[::1] mapping, float[:, ::1] out, int bits, int threads):
    """One bag for each row of `out`.

    Bag b has the indices offsets[b] to offsets[b + 1]; or, if `fixed` is not negative, the b-th `fixed` indices, and
    `offsets` is not read. Empty `weights` and `mapping` are none.
    """
    cdef Py_ssize_t bags = out.shape[0], b
    if threads == 1:
        with nogil:
            for b in range(bags):
                _bag(rows, indices, offsets[b] if fixed < 0 else b * fixed,
                     offsets[b + 1] if fixed < 0 else (b + 1) * fixed, weights, mapping, &out[b, 0], out.shape[1], bits)
    else:
        for b in prange(bags, num_threads=threads, nogil=True, schedule="static"):
            _bag(rows, indices, offsets[b] if fixed < 0 else b * fixed,
                 offsets[b + 1] if fixed < 0 else (b + 1) * fixed, weights, mapping, &out[b, 0], out.shape[1], bits)


# What the sum needs of one packed row.
ctypedef struct Row:
    const uint8_t* q
    float scale
    float bias


cdef void _bag(const uint8_t[:, ::1] rows, const int64_t[::1] indices, Py_ssize_t start, Py_ssize_t stop,
               const float[::1] weights, const int32_t[::1] mapping, float* out, Py_ssize_t dim,
               int bits) noexcept nogil:
    # A few rows at a time: first their scales and biases, then block by block their sum, added to out. Most 8-bit sums
    # do without that detour.
    cdef Py_ssize_t i, d, n, width = dim * bits // 8
    cdef Row found[ROWS]
    cdef int64_t r
    if bits == 8 and mapping.shape[0] == 0 and dim % LANES == 0 and start < stop:
        for d in range(dim // LANES):
            _sum8(&rows[0, 0], rows.shape[1], &indices[0], start, stop, &weights[0] if weights.shape[0] else NULL,
                  d * LANES, out)
        return
    for d in range(dim):
        out[d] = 0
    i = start
    while i < stop:
        n = 0
        while i < stop and n < ROWS:
            r = indices[i]
            if mapping.shape[0]:
                r = mapping[r]
            if r >= 0:
                found[n].q = &rows[r, 0]
                _read(&found[n], width, bits, weights[i] if weights.shape[0] else 1)
                n += 1
            i += 1
        d = 0
        while d + LANES <= dim:
            _add(found, n, d, bits, out + d)
            d += LANES
        _add_rest(found, n, d, dim, bits, out)


cdef void _sum8(const uint8_t* rows, Py_ssize_t stride, const int64_t* indices, Py_ssize_t start, Py_ssize_t stop,
                const float* weights, Py_ssize_t begin, float* out) noexcept nogil:
    cdef Py_ssize_t i, d
    cdef float total[LANES]
    cdef float x[LANES]
    cdef const uint8_t* q
    cdef float scale, bias
    for d in range(LANES):
        total[d] = 0
    for i in range(start, stop):
        q = rows + indices[i] * stride
        memcpy(&scale, q + stride - 8, 4)
        memcpy(&bias, q + stride - 4, 4)
        if weights != NULL:
            scale = scale * weights[i]
            bias = bias * weights[i]
        qn_floats_of_bytes(q + begin, x)
        for d in range(LANES):
            total[d] = qn_fma(scale, x[d], total[d] + bias)
    for d in range(LANES):
        out[begin + d] = total[d]


cdef inline void _read(Row* row, Py_ssize_t width, int bits, float weight) noexcept nogil:
    cdef uint16_t half
    cdef float scale, bias
    if bits == 8:
        memcpy(&scale, row.q + width, 4)
        memcpy(&bias, row.q + width + 4, 4)
    else:
        memcpy(&half, row.q + width, 2)
        scale = qn_float_of_half_fast(half)
        memcpy(&half, row.q + width + 2, 2)
        bias = qn_float_of_half_fast(half)
    row.scale = scale * weight
    row.bias = bias * weight


cdef void _add(const Row* rows, Py_ssize_t n, Py_ssize_t start, int bits, float* out) noexcept nogil:
    cdef Py_ssize_t i, d
    cdef float total[LANES]
    cdef float x[LANES]
    cdef float scale, bias
    for d in range(LANES):
        total[d] = out[d]
    for i in range(n):
        scale = rows[i].scale
        bias = rows[i].bias
        if bits == 8:
            qn_floats_of_bytes(rows[i].q + start, x)
        else:
            qn_floats_of_nibbles(rows[i].q + start // 2, x)
        for d in range(LANES):
            total[d] = qn_fma(scale, x[d], total[d] + bias)
    for d in range(LANES):
        out[d] = total[d]


cdef void _add_rest(const Row* rows, Py_ssize_t n, Py_ssize_t start, Py_ssize_t dim, int bits,
                    float* out) noexcept nogil:
    cdef Py_ssize_t i, d
    cdef uint8_t q
    for i in range(n):
        for d in range(start, dim):
            q = rows[i].q[d] if bits == 8 else rows[i].q[d // 2] >> (d % 2 * 4) & 15
            out[d] = qn_fma(rows[i].scale, <float>q, out[d] + rows[i].bias)
