"""
Max, average and adaptive average pooling in one, two or three dimensions.

Computes, over a window's elements inside the image
    max_pool   q = max(q_i); `lowest` where the window has none
    average    acc = sum(q_i) - z*size, then with m = f32(1/divisor) and i = f32(1/f32(1/m))
                   contiguous            clamp(rne(f32(f32(acc*m) + z)))         qint32: i in place of m
                   channels-last         clamp(rne(f32(acc*m)) + z)              channels below `split`
                                         clamp(rne(f32(f32(acc*i) + z)))         the others
    adaptive   contiguous                rne(f32(sum(q_i)*m)), m = 1, divided by each of the window's lengths
               channels-last             clamp(rne(fma(acc, i, z)))              channels below `split`
                                         clamp(rne(f32(f32(acc*i) + z)))         the others

Layout: images are (N, D, H, W, C) with C innermost, `shape` and `sizes` those lengths of input and output. A contiguous
(N, C, D, H, W) tensor comes as (N*C, D, H, W, 1).
A window of one axis covers o*stride - padding + k*dilation for k < kernel; kernel 0 means an adaptive one, from
floor(f32(o*in)/out) to ceil(f32((o+1)*in)/out).
Exactness: torch's integers. Sums are int32 and wrap, except those of contiguous adaptive windows, which are int64.
Parallel: over output rows (n, d, h).
"""
from cython.parallel cimport prange
from libc.math cimport ceilf, floorf, isinf
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy
from arrays cimport QN_INT8, QN_INT32, QN_UINT8, allocated, qn_read, qn_size, qn_type, qn_write
from numerics cimport cut, flip, int8_t, int32_t, qint_t, qn_add, qn_fma, qn_mul, qn_qs32, qn_rne_clamp, qn_sub
from numerics cimport int16_t, uint8_t, uint16_t, uint32_t

cdef extern from "simd.h" nogil:
    enum:
        QN_WINDOWS
        QN_MEAN_AFTER
        QN_MEAN_FUSED
        QN_MEAN_BEFORE
    ctypedef struct qn_windows:
        Py_ssize_t count
        Py_ssize_t planes
        Py_ssize_t rows
        Py_ssize_t taps
        Py_ssize_t step
        Py_ssize_t plane_step
        Py_ssize_t row_step
        Py_ssize_t tap_step
        Py_ssize_t channels
    void qn_max_windows(const qn_windows* w, const uint8_t* x, uint8_t* out, int flip) noexcept
    void qn_mean_windows(int rule, const qn_windows* w, const uint8_t* x, int32_t offset, float m, int32_t z,
                         int32_t lo, uint8_t* out, int flip) noexcept
    void qn_means(int rule, const int32_t* acc, int32_t offset, float m, int32_t z, int32_t lo, uint8_t* out,
                  Py_ssize_t n, int flip) noexcept

ctypedef fused item_t:
    uint8_t
    int8_t
    int32_t
    float

cdef struct Axis:
    int64_t size      # of the input
    int64_t kernel    # 0: adaptive
    int64_t stride
    int64_t padding
    int64_t dilation
    int64_t out       # size of the output


# How many elements lie between one image, plane, row or pixel of the input and the next.
cdef struct Steps:
    Py_ssize_t image
    Py_ssize_t plane
    Py_ssize_t row
    Py_ssize_t pixel


cdef Steps _steps(Axis d, Axis h, Axis w, Py_ssize_t channels) noexcept:
    cdef Steps s
    s.pixel = channels
    s.row = w.size * s.pixel
    s.plane = h.size * s.row
    s.image = d.size * s.plane
    return s


cdef inline Py_ssize_t _at(Steps s, Py_ssize_t n, Py_ssize_t d, Py_ssize_t h, Py_ssize_t w) noexcept nogil:
    return n * s.image + d * s.plane + h * s.row + w * s.pixel


cdef Axis _axis(int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) noexcept:
    cdef Axis a
    a.size = size
    a.out = out
    a.kernel = kernel
    a.stride = stride
    a.padding = padding
    a.dilation = dilation
    return a


# ---- max ----------------------------------------------------------------------------------------------------------
# Small windows of many bytes are taken at once. Otherwise each output row in two steps: the maximum of the input rows
# that it covers, element by element, into scratch memory; then the maximum across each window of that one row.

cdef enum:
    SMALL = 9         # taps


# `lowest` is the least number of the type: -inf for float.
def max_pool(x, out, tuple shape, tuple sizes, tuple kernel, tuple stride, tuple padding, tuple dilation,
             double lowest, int threads, /):
    cdef Axis d = _axis(shape[1], sizes[1], kernel[0], stride[0], padding[0], dilation[0])
    cdef Axis h = _axis(shape[2], sizes[2], kernel[1], stride[1], padding[1], dilation[1])
    cdef Axis w = _axis(shape[3], sizes[3], kernel[2], stride[2], padding[2], dilation[2])
    cdef Steps steps = _steps(d, h, w, shape[4])
    cdef Py_ssize_t rows = shape[0] * d.out * h.out
    cdef bint floats = isinf(lowest) != 0
    cdef int t = QN_INT32 if floats else qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef void *first = qn_read(x, size, 0, NULL)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef void *held = allocated("pooling", threads * steps.row * size)  # a row of the input for each thread
    if floats:
        _max_pool(<const float*>first, <float*>to, <float*>held, steps, d, h, w, <float>lowest, rows, threads)
    elif t == QN_UINT8:
        _max_pool(<const uint8_t*>first, <uint8_t*>to, <uint8_t*>held, steps, d, h, w, <uint8_t>lowest, rows, threads)
    elif t == QN_INT8:
        _max_pool(<const int8_t*>first, <int8_t*>to, <int8_t*>held, steps, d, h, w, <int8_t>lowest, rows, threads)
    else:
        _max_pool(<const int32_t*>first, <int32_t*>to, <int32_t*>held, steps, d, h, w, <int32_t>lowest, rows, threads)
    free(held)


cdef void _max_pool(const item_t* x, item_t* out, item_t* scratch, Steps steps, Axis d, Axis h, Axis w, item_t lowest,
                    Py_ssize_t rows, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _max_rows(x, out, scratch, steps, d, h, w, lowest, 0, rows)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _max_rows(x, out, scratch + t * steps.row, steps, d, h, w, lowest, cut(rows, t, threads, 1),
                      cut(rows, t + 1, threads, 1))


# The taps of the window at `o` that lie inside the image, as first and last + 1.
cdef inline int64_t _first_tap(Axis a, int64_t o) noexcept nogil:
    cdef int64_t outside = a.padding - o * a.stride
    return (outside + a.dilation - 1) // a.dilation if outside > 0 else 0


cdef inline int64_t _last_tap(Axis a, int64_t o) noexcept nogil:
    cdef int64_t room = a.size - 1 + a.padding - o * a.stride
    cdef int64_t last = room // a.dilation + 1 if room >= 0 else 0
    return last if last < a.kernel else a.kernel


cdef inline item_t _larger(item_t a, item_t b) noexcept nogil:
    if item_t is float:
        return b if b > a or b != b else a
    else:
        return b if b > a else a


cdef void _fill(item_t* to, item_t value, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = value


cdef void _max_with(item_t* restrict to, const item_t* restrict a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = _larger(to[i], a[i])


cdef void _max_of_2(item_t* restrict to, const item_t* restrict a, const item_t* restrict b,
                    Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = _larger(a[i], b[i])


cdef void _max_of_3(item_t* restrict to, const item_t* restrict a, const item_t* restrict b,
                    const item_t* restrict c, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = _larger(_larger(a[i], b[i]), c[i])


cdef void _max_rows(const item_t* x, item_t* out, item_t* column, Steps steps, Axis d, Axis h, Axis w, item_t lowest,
                    Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t row, n, channels = steps.pixel, length = steps.row
    cdef int64_t od, oh, i, j, found, i0, i1, j0, j1
    cdef bint at_once = QN_WINDOWS and channels >= QN_WINDOWS and d.kernel * h.kernel * w.kernel <= SMALL
    cdef qn_windows windows
    cdef const item_t* source
    cdef const item_t* held
    cdef item_t* to
    for row in range(start, stop):
        oh = row % h.out
        od = row // h.out % d.out
        n = row // h.out // d.out
        i0, i1 = _first_tap(d, od), _last_tap(d, od)
        j0, j1 = _first_tap(h, oh), _last_tap(h, oh)
        to = out + row * w.out * channels
        if item_t is uint8_t or item_t is int8_t:
            if at_once and i0 < i1 and j0 < j1:
                windows.planes, windows.rows = i1 - i0, j1 - j0
                windows.step = w.stride * channels
                windows.plane_step = d.dilation * steps.plane
                windows.row_step = h.dilation * length
                windows.tap_step = w.dilation * channels
                windows.channels = channels
                source = x + _at(steps, n, od * d.stride - d.padding + i0 * d.dilation,
                                 oh * h.stride - h.padding + j0 * h.dilation, 0)
                _max_windows(&windows, source, to, w, lowest)
                continue
        found = 0
        held = NULL
        for i in range(i0, i1):
            for j in range(j0, j1):
                source = x + _at(steps, n, od * d.stride - d.padding + i * d.dilation,
                                 oh * h.stride - h.padding + j * h.dilation, 0)
                if found == 0:
                    held = source
                elif found == 1:
                    _max_of_2(column, held, source, length)
                else:
                    _max_with(column, source, length)
                found += 1
        if found == 0:
            _fill(to, lowest, w.out * channels)
        else:
            # a single row needs no copy
            _max_across(held if found == 1 else <const item_t*>column, to, w, channels, lowest)


cdef inline void _max_windows(qn_windows* windows, const item_t* row, item_t* out, Axis w,
                              item_t lowest) noexcept nogil:
    cdef int64_t o = 0, k0, k1
    cdef Py_ssize_t channels = windows.channels
    while o < w.out:
        k0, k1 = _first_tap(w, o), _last_tap(w, o)
        windows.count = 1
        windows.taps = k1 - k0
        if k1 <= k0:
            _fill(out, lowest, channels)
        else:
            if windows.taps == w.kernel:
                windows.count = _whole(w, o)
            qn_max_windows(windows, <const uint8_t*>(row + (o * w.stride - w.padding + k0 * w.dilation) * channels),
                           <uint8_t*>out, 128 if item_t is int8_t else 0)
        out += windows.count * channels
        o += windows.count


# How many windows from `o` on lie inside the image as a whole, if that at `o` does.
cdef inline int64_t _whole(Axis w, int64_t o) noexcept nogil:
    cdef int64_t stop = (w.size + w.padding - (w.kernel - 1) * w.dilation - 1) // w.stride + 1
    return (stop if stop < w.out else w.out) - o


cdef void _max_across(const item_t* row, item_t* out, Axis w, Py_ssize_t channels, item_t lowest) noexcept nogil:
    cdef int64_t k, o, k0, k1, o0, o1, shift
    cdef const item_t* first
    cdef item_t* to
    if w.stride == 1 or channels == 1:
        # tap by tap, each over all outputs for which it is inside
        _fill(out, lowest, w.out * channels)
        k0, k1 = _first_tap(w, w.out - 1), _last_tap(w, 0)
        for k in range(k0, k1):
            shift = k * w.dilation - w.padding
            o0 = (-shift + w.stride - 1) // w.stride if shift < 0 else 0
            o1 = (w.size - 1 - shift) // w.stride + 1 if shift < w.size else 0
            if o1 > w.out:
                o1 = w.out
            if o1 <= o0:
                continue
            if w.stride == 1:
                _max_with(out + o0 * channels, row + (o0 + shift) * channels, (o1 - o0) * channels)
            else:
                for o in range(o0, o1):
                    out[o] = _larger(out[o], row[o * w.stride + shift])
        return
    shift = w.dilation * channels
    for o in range(w.out):
        to = out + o * channels
        k0, k1 = _first_tap(w, o), _last_tap(w, o)
        if k1 <= k0:
            _fill(to, lowest, channels)
            continue
        first = row + (o * w.stride - w.padding + k0 * w.dilation) * channels
        k = k1 - k0
        if k == 1:
            memcpy(to, first, channels * sizeof(item_t))
        elif k == 2:
            _max_of_2(to, first, first + shift, channels)
        else:
            _max_of_3(to, first, first + shift, first + 2 * shift, channels)
            for k in range(3, k1 - k0):
                _max_with(to, first + k * shift, channels)


# ---- average ------------------------------------------------------------------------------------------------------
# Few channels: each output row in two steps, as the maximum, with the sums of the columns in scratch memory. More
# channels: window by window, bytes in registers where one rule holds for all channels.

cdef enum:
    BLOCK = 512       # sums held at a time
    FEW = 64          # channels
    FITS = 1 << 22    # this many 8-bit integers have a sum that fits into an int32

cdef struct Mean:
    bint adaptive
    bint channels_last
    bint count_include_pad
    int64_t divisor    # 0: the window's size
    Py_ssize_t split   # channels below it use the vector rule
    int32_t zero_point
    int32_t lo
    int32_t hi

cdef struct Window:
    int64_t start      # inside the image
    int64_t stop
    int64_t length     # with padding

cdef struct Factor:
    int64_t size
    float m
    float inv


def average(x, out, tuple shape, tuple sizes, tuple kernel, tuple stride, tuple padding, bint channels_last,
            bint count_include_pad, int64_t divisor, Py_ssize_t split, int32_t zero_point, int32_t lo, int32_t hi,
            int threads, /):
    cdef Axis d = _axis(shape[1], sizes[1], kernel[0], stride[0], padding[0], 1)
    cdef Axis h = _axis(shape[2], sizes[2], kernel[1], stride[1], padding[1], 1)
    cdef Axis w = _axis(shape[3], sizes[3], kernel[2], stride[2], padding[2], 1)
    cdef Steps steps = _steps(d, h, w, shape[4])
    cdef Mean mean
    mean.adaptive = w.kernel == 0
    mean.channels_last = channels_last
    mean.count_include_pad = count_include_pad
    mean.divisor = divisor
    mean.split = split
    mean.zero_point = zero_point
    mean.lo = lo
    mean.hi = hi
    cdef Py_ssize_t rows = shape[0] * d.out * h.out, held = steps.row if steps.pixel < FEW else 0
    cdef int t = qn_type(out)
    cdef Py_ssize_t size = qn_size(t)
    cdef void *first = qn_read(x, size, 0, NULL)
    cdef void *to = qn_write(out, size, 0, NULL)
    cdef int32_t *sums = <int32_t*>allocated("pooling", threads * held * sizeof(int32_t))  # a row for each thread
    if t == QN_UINT8:
        _average(<const uint8_t*>first, <uint8_t*>to, sums, held, steps, d, h, w, mean, rows, threads)
    elif t == QN_INT8:
        _average(<const int8_t*>first, <int8_t*>to, sums, held, steps, d, h, w, mean, rows, threads)
    else:
        _average(<const int32_t*>first, <int32_t*>to, sums, held, steps, d, h, w, mean, rows, threads)
    free(sums)


cdef void _average(const qint_t* x, qint_t* out, int32_t* sums, Py_ssize_t held, Steps steps, Axis d, Axis h, Axis w,
                   Mean mean, Py_ssize_t rows, int threads) noexcept:
    cdef int t
    if threads == 1:
        with nogil:
            _average_rows(x, out, sums, steps, d, h, w, mean, 0, rows)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _average_rows(x, out, sums + t * held, steps, d, h, w, mean, cut(rows, t, threads, 1),
                          cut(rows, t + 1, threads, 1))


# Padding is at most half of the kernel, so no window is empty.
cdef inline Window _window(Axis a, int64_t o) noexcept nogil:
    cdef Window v
    if a.kernel == 0:
        v.start = <int64_t>floorf(<float>(o * a.size) / <float>a.out)
        v.stop = <int64_t>ceilf(<float>((o + 1) * a.size) / <float>a.out)
        # float32 may round out of the image where sizes pass 2**24
        v.start = v.start if v.start < a.size else a.size - 1
        v.stop = v.stop if v.stop < a.size else a.size
        v.stop = v.stop if v.stop > v.start else v.start + 1
        v.length = v.stop - v.start
        return v
    v.start = o * a.stride - a.padding
    v.stop = v.start + a.kernel
    v.stop = v.stop if v.stop < a.size + a.padding else a.size + a.padding
    v.length = v.stop - v.start
    v.start = v.start if v.start > 0 else 0
    v.stop = v.stop if v.stop < a.size else a.size
    return v


cdef inline Factor _factor(Window i, Window j, Window k, Mean mean) noexcept nogil:
    cdef Factor f
    cdef float m
    f.size = (i.stop - i.start) * (j.stop - j.start) * (k.stop - k.start)
    if mean.divisor != 0:
        m = <float>1 / <float>mean.divisor
    elif mean.adaptive and not mean.channels_last:
        m = <float>1 / <float>i.length
        m = m / <float>j.length
        m = m / <float>k.length
    elif mean.count_include_pad:
        m = <float>1 / <float>(i.length * j.length * k.length)
    else:
        m = <float>1 / <float>f.size
    f.m = m
    f.inv = <float>1 / m
    f.inv = <float>1 / f.inv
    return f


cdef void _average_rows(const qint_t* x, qint_t* out, int32_t* column, Steps steps, Axis d, Axis h, Axis w, Mean mean,
                        Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t row, n, ow, block, c, width, channels = steps.pixel
    cdef int64_t od, oh, count, size = -1, length = -1
    cdef Window i, j, k
    cdef Factor f
    cdef int32_t[BLOCK] acc
    cdef bint at_once = QN_WINDOWS and channels >= QN_WINDOWS and (mean.split == 0 or mean.split == channels)
    cdef qn_windows windows
    cdef qint_t* to
    for row in range(start, stop):
        oh = row % h.out
        od = row // h.out % d.out
        n = row // h.out // d.out
        i = _window(d, od)
        j = _window(h, oh)
        to = out + row * w.out * channels
        if channels == 1 or (channels < FEW and w.out > 1):
            _average_row(x, to, column, steps, n, i, j, w, mean)
            continue
        size = -1
        ow = 0
        while ow < w.out:
            k = _window(w, ow)
            count = 1
            if k.stop - k.start != size or k.length != length:
                f = _factor(i, j, k, mean)
                size, length = k.stop - k.start, k.length
            if qint_t is not int32_t:
                if at_once and f.size < FITS:
                    if size == w.kernel:
                        count = _whole(w, ow)
                    elif mean.adaptive and w.size % w.out == 0 and w.size < FITS:
                        count = w.out
                    windows = qn_windows(
                        count, i.stop - i.start, j.stop - j.start, size,
                        (w.size // w.out if mean.adaptive else w.stride) * channels,
                        steps.plane, steps.row, channels, channels)
                    qn_mean_windows(_rule(mean, mean.split > 0), &windows,
                                    <const uint8_t*>(x + _at(steps, n, i.start, j.start, k.start)),
                                    qn_mul(mean.zero_point, <int32_t>f.size), _multiplier(mean, mean.split > 0, f),
                                    mean.zero_point, mean.lo, <uint8_t*>(to + ow * channels), flip(<qint_t>0))
                    ow += count
                    continue
            for block in range((channels + BLOCK - 1) // BLOCK):
                c = block * BLOCK
                width = channels - c if channels - c < BLOCK else BLOCK
                _sum_windows(x + c, steps, n, i, j, k, acc, width)
                _requantize(acc, to + ow * channels + c, width, mean.split - c, f, mean)
            ow += 1


# The sums of a window for `width` channels. Four pixels at a time, so that acc is seldom touched.
cdef void _sum_windows(const qint_t* x, Steps steps, Py_ssize_t n, Window i, Window j, Window k, int32_t* acc,
                       Py_ssize_t width) noexcept nogil:
    cdef int64_t a, b, e
    cdef int held = 0
    cdef bint begun = False
    cdef const qint_t* tap[4]
    cdef const qint_t* pixel
    for a in range(i.start, i.stop):
        for b in range(j.start, j.stop):
            pixel = x + _at(steps, n, a, b, k.start)
            for e in range(k.start, k.stop):
                tap[held] = pixel
                pixel += steps.pixel
                held += 1
                if held == 4:
                    _add_4(acc, tap[0], tap[1], tap[2], tap[3], width, begun)
                    begun = True
                    held = 0
    _add_rest(acc, tap, held, width, begun)


# The sums of the columns of a window's rows.
cdef void _sum_columns(const qint_t* x, Steps steps, Py_ssize_t n, Window i, Window j,
                       int32_t* column) noexcept nogil:
    cdef int64_t a, b
    cdef int held = 0
    cdef bint begun = False
    cdef const qint_t* tap[4]
    for a in range(i.start, i.stop):
        for b in range(j.start, j.stop):
            tap[held] = x + _at(steps, n, a, b, 0)
            held += 1
            if held == 4:
                _add_4(column, tap[0], tap[1], tap[2], tap[3], steps.row, begun)
                begun = True
                held = 0
    _add_rest(column, tap, held, steps.row, begun)


# The sum of four: in 16 bits, if they are bytes.
cdef inline int32_t _sum_4(qint_t a, qint_t b, qint_t c, qint_t d) noexcept nogil:
    if qint_t is int32_t:
        return qn_add(qn_add(a, b), qn_add(c, d))
    elif qint_t is int8_t:
        return <int16_t>(<int16_t>(a + b) + <int16_t>(c + d))
    else:
        return <uint16_t>(<uint16_t>(a + b) + <uint16_t>(c + d))


cdef void _add_4(int32_t* restrict acc, const qint_t* restrict a, const qint_t* restrict b, const qint_t* restrict c,
                 const qint_t* restrict d, Py_ssize_t n, bint begun) noexcept nogil:
    cdef Py_ssize_t i
    if begun:
        for i in range(n):
            acc[i] = qn_add(acc[i], _sum_4(a[i], b[i], c[i], d[i]))
    else:
        for i in range(n):
            acc[i] = _sum_4(a[i], b[i], c[i], d[i])


cdef void _add_rest(int32_t* restrict acc, const qint_t** tap, int held, Py_ssize_t n, bint begun) noexcept nogil:
    cdef Py_ssize_t i
    cdef int t
    cdef const qint_t* a
    cdef const qint_t* b
    if held == 0:
        return
    a = tap[0]
    b = tap[1] if held > 1 else a
    if held == 1:
        for i in range(n):
            acc[i] = qn_add(acc[i] if begun else 0, a[i])
    else:
        for i in range(n):
            acc[i] = qn_add(acc[i] if begun else 0, qn_add(a[i], b[i]))
    if held == 3:
        a = tap[2]
        for i in range(n):
            acc[i] = qn_add(acc[i], a[i])


cdef void _average_row(const qint_t* x, qint_t* out, int32_t* column, Steps steps, Py_ssize_t n, Window i, Window j,
                       Axis w, Mean mean) noexcept nogil:
    cdef int64_t o = 0, e, count, inside, tap, step, channels = steps.pixel
    cdef Window k
    cdef Factor f
    cdef int32_t[BLOCK] acc
    cdef int64_t total
    cdef bint wide = mean.adaptive and not mean.channels_last
    if channels == 1 and (w.out == 1 or (wide and (qint_t is int32_t or i.length * j.length * w.size > FITS))):
        for o in range(w.out):
            k = _window(w, o)
            f = _factor(i, j, k, mean)
            total = _sum_window(x, steps, n, i, j, k)
            if wide:
                _requantize_wide(total, out + o, f.m, mean)
            else:
                acc[0] = <int32_t><uint32_t>total
                _requantize(acc, out + o, 1, mean.split, f, mean)
        return
    _sum_columns(x, steps, n, i, j, column)
    # the windows from `o` to `inside` have one length and one step
    inside = 0
    step = w.stride
    if not mean.adaptive:
        inside = (w.size + w.padding - w.kernel) // w.stride + 1 if w.size + w.padding >= w.kernel else 0
        inside = inside if inside < w.out else w.out
    elif w.size % w.out == 0 and w.size < FITS:
        inside = w.out
        step = w.size // w.out
    while o < w.out:
        k = _window(w, o)
        f = _factor(i, j, k, mean)
        count = 1
        if inside - o > 1 and o * step >= w.padding:
            count = inside - o if (inside - o) * channels < BLOCK else BLOCK // channels
        for tap in range(k.stop - k.start):
            _gather(acc, column + (k.start + tap) * channels, count, channels, step, tap > 0)
        if mean.split == 0 or mean.split == channels:
            _requantize(acc, out + o * channels, count * channels, count * mean.split, f, mean)
        else:
            for e in range(count):
                _requantize(acc + e * channels, out + (o + e) * channels, channels, mean.split, f, mean)
        o += count


cdef void _gather(int32_t* restrict acc, const int32_t* restrict column, int64_t count, int64_t channels, int64_t step,
                  bint begun) noexcept nogil:
    cdef int64_t o, c
    if step == 1:
        for o in range(count * channels):
            acc[o] = qn_add(acc[o] if begun else 0, column[o])
    elif channels > 1:
        for o in range(count):
            for c in range(channels):
                acc[o * channels + c] = qn_add(acc[o * channels + c] if begun else 0, column[o * step * channels + c])
    elif step == 2:
        for o in range(count):
            acc[o] = qn_add(acc[o] if begun else 0, column[2 * o])
    else:
        for o in range(count):
            acc[o] = qn_add(acc[o] if begun else 0, column[o * step])


# The sum of a window of an image with one channel; the rows of a window are runs of memory.
cdef int64_t _sum_window(const qint_t* x, Steps steps, Py_ssize_t n, Window i, Window j, Window k) noexcept nogil:
    cdef int64_t a, b, c, first, rows = j.stop - j.start, length = k.stop - k.start, total = 0
    cdef uint32_t part
    cdef const qint_t* run
    if length == steps.row:
        length *= rows
        rows = 1
    for a in range(i.start, i.stop):
        for b in range(rows):
            run = x + _at(steps, n, a, j.start + b, k.start)
            if qint_t is int32_t:
                for c in range(length):
                    total += run[c]
            else:
                for first in range((length + FITS - 1) // FITS):
                    part = 0
                    for c in range(first * FITS, length if length < (first + 1) * FITS else (first + 1) * FITS):
                        part += <uint32_t>run[c]
                    total += <int32_t>part
    return total


# Contiguous adaptive pooling, of one sum: torch adds up in 64 bits.
cdef void _requantize_wide(int64_t total, qint_t* out, float m, Mean mean) noexcept nogil:
    if qint_t is int32_t:
        out[0] = qn_qs32(<float>total, m, 0)
    else:
        out[0] = <qint_t>qn_rne_clamp(<float>total * m, mean.lo, mean.hi)


# The rule of simd.h, and its factor, for the channels that use torch's vector rule, or for the others.
cdef inline int _rule(Mean mean, bint vector) noexcept nogil:
    if not vector:
        return QN_MEAN_BEFORE
    return QN_MEAN_FUSED if mean.adaptive else QN_MEAN_AFTER


cdef inline float _multiplier(Mean mean, bint vector, Factor f) noexcept nogil:
    if mean.channels_last and (mean.adaptive or not vector):
        return f.inv
    return f.m


# The first `split` of `width` sums use the vector rule.
cdef void _requantize(const int32_t* acc, qint_t* out, Py_ssize_t width, Py_ssize_t split, Factor f,
                      Mean mean) noexcept nogil:
    cdef Py_ssize_t c
    cdef int32_t z = mean.zero_point, offset = qn_mul(z, <int32_t><uint32_t>f.size)
    if mean.adaptive and not mean.channels_last:
        z = 0
        offset = 0
    if qint_t is int32_t:
        for c in range(width):
            out[c] = qn_qs32(<float>qn_sub(acc[c], offset), f.m if mean.adaptive and not mean.channels_last else f.inv,
                             <float>z)
    else:
        split = split if split > 0 else 0
        split = split if split < width else width
        if mean.adaptive:
            qn_means(QN_MEAN_FUSED, acc, offset, f.inv, z, mean.lo, <uint8_t*>out, split, flip(<qint_t>0))
        else:
            qn_means(QN_MEAN_AFTER, acc, offset, f.m, z, mean.lo, <uint8_t*>out, split, flip(<qint_t>0))
        qn_means(QN_MEAN_BEFORE, acc + split, offset, _multiplier(mean, False, f), z, mean.lo, <uint8_t*>(out + split),
                 width - split, flip(<qint_t>0))
