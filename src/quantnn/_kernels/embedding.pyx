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
from numerics cimport qn_half_of_float

cdef extern from "simd.h" nogil:
    ctypedef struct qn_table:
        const uint8_t* rows
        Py_ssize_t stride
        Py_ssize_t dim
        Py_ssize_t count
        const int64_t* indices
        const float* weights
        const int32_t* mapping
    void qn_bag(int bits, const qn_table* table, Py_ssize_t start, Py_ssize_t stop, float* out) noexcept


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

    Bag b has the indices offsets[b] to offsets[b + 1], the last one those to the end where there is no such offset; or,
    if `fixed` is not negative, the b-th `fixed` indices, and `offsets` is not read. Empty `weights` and `mapping` are
    none.
    """
    cdef Py_ssize_t bags = out.shape[0], b
    cdef qn_table table
    table.rows = NULL
    table.indices = NULL
    table.weights = NULL
    table.mapping = NULL
    if rows.shape[0]:
        table.rows = &rows[0, 0]
    if indices.shape[0]:
        table.indices = &indices[0]
    if weights.shape[0]:
        table.weights = &weights[0]
    if mapping.shape[0]:
        table.mapping = &mapping[0]
    table.stride = rows.shape[1]
    table.dim = out.shape[1]
    table.count = indices.shape[0]
    if threads == 1:
        with nogil:
            for b in range(bags):
                _bag(&table, offsets, fixed, b, &out[b, 0], bits)
    else:
        for b in prange(bags, num_threads=threads, nogil=True, schedule="static"):
            _bag(&table, offsets, fixed, b, &out[b, 0], bits)


cdef inline void _bag(const qn_table* table, const int64_t[::1] offsets, Py_ssize_t fixed, Py_ssize_t b, float* out,
                      int bits) noexcept nogil:
    if fixed < 0:
        qn_bag(bits, table, offsets[b], offsets[b + 1] if b + 1 < offsets.shape[0] else table.count, out)
    else:
        qn_bag(bits, table, b * fixed, (b + 1) * fixed, out)
