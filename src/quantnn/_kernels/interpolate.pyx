"""
Nearest and bilinear resizing.

Computes, with r the step of one axis in input elements per output element
    nearest    the element at min(floor(f32(f32(o)*r)), in-1); exact: min(floor(f32((o+0.5)*r)), in-1), in float64
    bilinear   from the source position src, its floor j, w1 = src - j, w0 = f32(1 - w1) and the neighbours p, p' at j
               and min(j+1, in-1), the same with h for rows:
                   contiguous      t = f32(f32(w0*p) + f32(w1*p')),  v = f32(f32(h0*t) + f32(h1*t'))
                   channels-last   t = fma(w1, p', f32(w0*p)),       v = fma(h1, t', f32(h0*t))     channels below `split`
                                   t = fma(w0, p, f32(w1*p')),       v = fma(h0, t, f32(h1*t'))     the others
               q = clamp(rne(f32(z + f32(v - z))))
               src = f32(r*f32(o)) with align_corners, else max(f32(f32(r*f32(o+0.5)) - 0.5), 0), or the same with one
               fma where the image is channels-last

Layout: input and output are images (N, D, H, W, C) or (N, H, W, C) with C innermost. A contiguous tensor comes with its
channels as images of one channel.
Exactness: torch's integers.
Parallel: over output rows (n, d, h). Bilinear keeps the two input rows that it interpolated last, so a row costs its
horizontal step once; it goes through strips of columns for which they stay in the first-level cache.
"""
from cython.parallel cimport prange
from libc.math cimport floorf
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy
from arrays cimport QN_INT8, QN_UINT8, allocated, qn_read, qn_size, qn_type, qn_write
from numerics cimport aligned, cut, flip, int8_t, int32_t, qint_t, qn_fma, qn_qs32, qn_rne_clamp

cdef extern from "simd.h" nogil:
    void qn_copy_rows(const uint8_t* x, Py_ssize_t x_step, uint8_t* out, Py_ssize_t out_step, Py_ssize_t rows,
                      Py_ssize_t n) noexcept
    void qn_floats(const uint8_t* q, float* x, Py_ssize_t n, int flip) noexcept
    void qn_blend_across(const float* row, Py_ssize_t size, const int64_t* index, const float* weight, float* t,
                         Py_ssize_t width, Py_ssize_t channels, Py_ssize_t split) noexcept
    void qn_blend_bytes(int fused, const float* t0, const float* t1, float h0, float h1, float z, int32_t lo,
                        uint8_t* out, Py_ssize_t n, int flip) noexcept


# The sizes of input and output images; bilinear ones have no depth.
cdef struct Images:
    Py_ssize_t in_depth
    Py_ssize_t in_height
    Py_ssize_t in_width
    Py_ssize_t depth
    Py_ssize_t height
    Py_ssize_t width
    Py_ssize_t channels


# ---- nearest ------------------------------------------------------------------------------------------------------

def nearest(x, out, tuple size, tuple out_size, Py_ssize_t channels, tuple rates, bint exact, int threads, /):
    """Sizes and rates are of (D, H, W)."""
    cdef Py_ssize_t bytes = qn_size(qn_type(out))
    cdef Py_ssize_t n
    cdef void* first = qn_read(x, bytes, 0, NULL)
    cdef void* to = qn_write(out, bytes, 0, &n)
    cdef Images s
    s.in_depth, s.in_height, s.in_width = size
    s.depth, s.height, s.width = out_size
    s.channels = channels
    cdef Py_ssize_t rows = n // (s.width * channels)
    cdef float rd, rh, rw
    rd, rh, rw = rates
    cdef int64_t* index = <int64_t*>allocated("interpolate", (s.depth + s.height + s.width) * sizeof(int64_t))
    with nogil:
        _nearest_index(index, s.depth, s.in_depth, rd, exact)
        _nearest_index(index + s.depth, s.height, s.in_height, rh, exact)
        _nearest_index(index + s.depth + s.height, s.width, s.in_width, rw, exact)
    if bytes == 1:
        _nearest(<const uint8_t*>first, <uint8_t*>to, s, index, rows, threads)
    else:
        _nearest(<const int32_t*>first, <int32_t*>to, s, index, rows, threads)
    free(index)


cdef void _nearest(const qint_t* x, qint_t* out, Images s, const int64_t* index, Py_ssize_t rows,
                   int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _nearest_rows(x, out, s, index, 0, rows)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _nearest_rows(x, out, s, index, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1))


cdef void _nearest_index(int64_t* index, Py_ssize_t n, Py_ssize_t size, float rate, bint exact) noexcept nogil:
    cdef Py_ssize_t o
    cdef float source
    for o in range(n):
        if exact:
            source = floorf(<float>((<double>o + 0.5) * <double>rate))
        else:
            source = floorf(<float>o * rate)
        index[o] = <int64_t>source if source < <float>size else size - 1
        # float32 holds not every size
        index[o] = index[o] if index[o] < size else size - 1


# `index` are the source positions of all D, then H, then W outputs.
cdef void _nearest_rows(const qint_t* x, qint_t* out, Images s, const int64_t* index, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t row, n, d, h, w, bytes = s.channels * <Py_ssize_t>sizeof(qint_t)
    cdef const int64_t* column = index + s.depth + s.height
    cdef const qint_t* source
    cdef const qint_t* last = NULL
    cdef qint_t* to
    for row in range(start, stop):
        h = row % s.height
        d = row // s.height % s.depth
        n = row // s.height // s.depth
        source = x + ((n * s.in_depth + index[d]) * s.in_height + index[s.depth + h]) * s.in_width * s.channels
        to = out + row * s.width * s.channels
        if source == last:
            memcpy(to, to - s.width * s.channels, s.width * bytes)
        elif s.channels == 1:
            for w in range(s.width):
                to[w] = source[column[w]]
        else:
            for w in range(s.width):
                qn_copy_rows(<const uint8_t*>(source + column[w] * s.channels), 0, <uint8_t*>(to + w * s.channels), 0,
                             1, bytes)
        last = source


# ---- bilinear -----------------------------------------------------------------------------------------------------

cdef enum:
    STRIP = 2048  # elements of an output row

# What a loop over output elements has to know.
cdef struct Plan:
    Images size
    const int64_t* index      # source rows of all H outputs, then source columns of all W
    const float* weight       # how far on to the next row or column: h1, then w1
    const uint8_t* rest       # for each element of an output row, whether it uses the other rule; NULL: no row is mixed
    bint channels_last
    Py_ssize_t split
    int32_t zero_point
    int32_t lo
    int32_t hi


def bilinear(x, out, tuple size, tuple out_size, Py_ssize_t channels, tuple rates, bint align_corners,
             bint channels_last, Py_ssize_t split, int32_t zero_point, int32_t lo, int32_t hi, int threads, /):
    """Sizes and rates are of (H, W)."""
    cdef int type = qn_type(out)
    cdef Py_ssize_t bytes = qn_size(type)
    cdef Py_ssize_t n
    cdef void* first = qn_read(x, bytes, 0, NULL)
    cdef void* to = qn_write(out, bytes, 0, &n)
    cdef Images s
    s.in_height, s.in_width = size
    s.height, s.width = out_size
    s.channels = channels
    s.in_depth = s.depth = 1
    cdef Py_ssize_t row = s.width * channels, rows = n // row, i
    cdef float rh, rw
    rh, rw = rates
    # source positions, then weights, then for each thread three rows, the wider of input and output, and room to align
    # them, then `rest`
    cdef Py_ssize_t positions = s.height + s.width, step = 3 * max(s.width, s.in_width) * channels + 48
    cdef int64_t* index = <int64_t*>allocated(
        "interpolate", positions * (sizeof(int64_t) + sizeof(float)) + threads * step * sizeof(float) + row)
    cdef float* weight = <float*>(index + positions)
    cdef float* scratch = weight + positions
    cdef uint8_t* rest = <uint8_t*>(scratch + threads * step)
    cdef Plan plan = Plan(s, index, weight, NULL, channels_last, split, zero_point, lo, hi)
    with nogil:
        if 0 < split < channels:
            for i in range(row):
                rest[i] = i % channels >= split
            plan.rest = rest
        _sources(index, weight, s.height, s.in_height, rh, align_corners, channels_last)
        _sources(index + s.height, weight + s.height, s.width, s.in_width, rw, align_corners, channels_last)
    if type == QN_UINT8:
        _bilinear(<const uint8_t*>first, <uint8_t*>to, scratch, step, plan, rows, threads)
    elif type == QN_INT8:
        _bilinear(<const int8_t*>first, <int8_t*>to, scratch, step, plan, rows, threads)
    else:
        _bilinear(<const int32_t*>first, <int32_t*>to, scratch, step, plan, rows, threads)
    free(index)


# Each thread has `step` floats of the scratch.
cdef void _bilinear(const qint_t* x, qint_t* out, float* scratch, Py_ssize_t step, Plan plan, Py_ssize_t rows,
                    int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _bilinear_rows(x, out, scratch, plan, 0, rows)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _bilinear_rows(x, out, scratch + t * step, plan, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1))


cdef void _sources(int64_t* index, float* weight, Py_ssize_t n, Py_ssize_t size, float rate, bint align_corners,
                   bint fused) noexcept nogil:
    cdef Py_ssize_t o
    cdef float source
    for o in range(n):
        if align_corners:
            source = rate * <float>o
        elif fused:
            source = qn_fma(rate, <float>o + <float>0.5, -0.5)
        else:
            source = rate * (<float>o + <float>0.5)
            source = source - <float>0.5
        source = source if source > 0 else 0
        index[o] = <int64_t>source if source < <float>size else size - 1
        index[o] = index[o] if index[o] < size else size - 1
        weight[o] = source - <float>index[o]


cdef void _bilinear_rows(const qint_t* x, qint_t* out, float* scratch, Plan plan, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t width = plan.size.width, channels = plan.size.channels, w = 0
    cdef Py_ssize_t most = STRIP // channels if channels < STRIP else 1
    while w < width:
        _bilinear_strip(x, out, scratch, plan, start, stop, w, w + most if w + most < width else width)
        w += most


# The columns from `first` to `last` of some output rows.
cdef void _bilinear_strip(const qint_t* x, qint_t* out, float* scratch, Plan plan, Py_ssize_t start, Py_ssize_t stop,
                          Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t size = plan.size.in_height, height = plan.size.height, channels = plan.size.channels
    cdef Py_ssize_t elements = (last - first) * channels, in_row = plan.size.in_width * channels
    cdef Py_ssize_t row, h, upper, lower, held0 = -1, held1 = -1
    cdef float* t0 = aligned(scratch)
    cdef float* t1 = aligned(t0 + elements)
    cdef float* floats = aligned(t1 + elements)
    for row in range(start, stop):
        h = row % height
        upper = row // height * size + plan.index[h]
        lower = upper + 1 if plan.index[h] + 1 < size else upper
        # t0 holds the upper row, t1 the lower one
        if held0 != upper:
            if held1 == upper:
                t0, t1 = t1, t0
                held0, held1 = held1, held0
            else:
                _across(x + upper * in_row, floats, t0, first, last, plan)
                held0 = upper
        if lower != upper and held1 != lower:
            _across(x + lower * in_row, floats, t1, first, last, plan)
            held1 = lower
        _down(t0, t0 if lower == upper else t1, out + (row * plan.size.width + first) * channels, elements,
              1 - plan.weight[h], plan.weight[h], plan.rest + first * channels if plan.rest is not NULL else NULL, plan)


# What the columns need of one input row, as floats, and interpolated across.
cdef void _across(const qint_t* row, float* floats, float* t, Py_ssize_t first, Py_ssize_t last,
                  Plan plan) noexcept nogil:
    cdef const int64_t* index = plan.index + plan.size.height
    cdef const float* weight = plan.weight + plan.size.height
    cdef Py_ssize_t size = plan.size.in_width, channels = plan.size.channels
    cdef Py_ssize_t left = index[first] * channels, w, c
    cdef float w0
    cdef Py_ssize_t right = (index[last - 1] + 2 if index[last - 1] + 2 < size else size) * channels
    if qint_t is int32_t:
        for c in range(left, right):
            floats[c] = <float>row[c]
    else:
        qn_floats(<const uint8_t*>row + left, floats + left, right - left, flip(<qint_t>0))
    if plan.channels_last:
        qn_blend_across(floats, size, index + first, weight + first, t, last - first, channels, plan.split)
    else:
        for w in range(first, last):
            left = index[w]
            right = left + 1 if left + 1 < size else left
            w0 = 1 - weight[w]  # a float32 of its own
            t[w - first] = w0 * floats[left] + weight[w] * floats[right]


cdef inline void _store(qint_t* to, float v, float z, int32_t lo, int32_t hi) noexcept nogil:
    if qint_t is int32_t:
        to[0] = qn_qs32(v - z, 1, z)
    else:
        to[0] = <qint_t>qn_rne_clamp(z + (v - z), lo, hi)


# Two interpolated rows, blended into n output elements.
cdef void _down(const float* t0, const float* t1, qint_t* restrict out, Py_ssize_t n, float h0, float h1,
                const uint8_t* rest, Plan plan) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t lo = plan.lo, hi = plan.hi
    cdef float z = <float>plan.zero_point
    cdef float vector, other
    if rest is not NULL:
        # both, and a choice: far faster than two short loops for every pixel
        for i in range(n):
            vector = qn_fma(h1, t1[i], h0 * t0[i])
            other = qn_fma(h0, t0[i], h1 * t1[i])
            _store(out + i, other if rest[i] else vector, z, lo, hi)
    elif qint_t is int32_t:
        if plan.channels_last:
            for i in range(n):
                _store(out + i, qn_fma(h0, t0[i], h1 * t1[i]), z, lo, hi)
        else:
            for i in range(n):
                _store(out + i, h0 * t0[i] + h1 * t1[i], z, lo, hi)
    elif not plan.channels_last:
        qn_blend_bytes(0, t0, t1, h0, h1, z, lo, <uint8_t*>out, n, flip(<qint_t>0))
    elif plan.split:
        qn_blend_bytes(1, t0, t1, h0, h1, z, lo, <uint8_t*>out, n, flip(<qint_t>0))
    else:
        qn_blend_bytes(1, t1, t0, h1, h0, z, lo, <uint8_t*>out, n, flip(<qint_t>0))
