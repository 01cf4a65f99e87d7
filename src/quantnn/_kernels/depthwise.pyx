"""
Depthwise convolution in one, two and three dimensions: as many groups as input and output channels.

Computes
    acc[pixel, c] = sum over taps of (x[pixel * stride - padding + tap * dilation, c] - zx) * (w[c, tap] - zw[c])
    y[pixel, c]   = requantize(acc) as in simd.h

Layout: flat arrays, x and y (N, D, H, W, C), channels-last. Channels go in blocks of 4 * QN_LANES; the bytes of four taps
are interleaved in registers, so that a byte dot product sums four taps of a channel. Weights are packed as
panels.pxi's with a block for a group, four taps for a tap, and a block's channels in the order that the interleaving
gives (simd.h). In an output row the tap pointers are set once for the pixels whose window lies inside, and move on.
With few channels and stride 1 the neighbours of a pixel fill up its block: their bytes follow at every tap.
Exactness: torch's integers, without the int16 saturation of its depthwise kernels.
Parallel: over output rows, or parts of them where they are few.
"""
from cython.parallel cimport prange
from libc.stdlib cimport malloc
from numerics cimport cut, qn_add, qn_mul, qn_sub

include "panels.pxi"


cdef enum:
    BLOCK = 4 * QN_LANES


cdef inline Py_ssize_t place(Py_ssize_t channel) noexcept nogil:
    # where a channel stands among the columns: channel 16 i + 4 j + e of a block is element 4 i + e of vector j
    cdef Py_ssize_t c = channel % BLOCK
    return channel // BLOCK * BLOCK + c % 16 // 4 * QN_LANES + c // 16 * 4 + c % 4


cdef class Depthwise:
    """Packed weights and the geometry of a depthwise convolution."""

    cdef readonly Packed packed
    cdef readonly Py_ssize_t channels
    cdef Py_ssize_t fold  # pixels to a block
    cdef Py_ssize_t taps, kd, kh, kw, sd, sh, sw, pd, ph, pw, dd, dh, dw

    def __cinit__(self, w, Py_ssize_t channels, scale, zero_point, bias, bint per_channel, kernel, stride, padding,
                  dilation):
        """w: (channels, kD, kH, kW); kernel, stride, padding, dilation: (depth, height, width)."""
        cdef const int8_t *weights = <const int8_t *>qn_read(w, 1, 0, NULL)
        cdef const float *scale_of = <const float *>qn_read(scale, 4, 0, NULL)
        cdef const int32_t *zero_point_of = <const int32_t *>qn_read(zero_point, 4, 0, NULL)
        cdef const float *bias_of = <const float *>qn_read(bias, 4, 0, NULL)
        self.kd, self.kh, self.kw = kernel
        self.sd, self.sh, self.sw = stride
        self.pd, self.ph, self.pw = padding
        self.dd, self.dh, self.dw = dilation
        self.channels = channels
        self.taps = self.kd * self.kh * self.kw
        self.fold = BLOCK // channels if self.sw == 1 and 2 * channels <= BLOCK else 1
        cdef Py_ssize_t i, c, t, p, blocks = (channels + BLOCK - 1) // BLOCK, fours = (self.taps + 3) // 4
        cdef Py_ssize_t columns = blocks * BLOCK
        cdef Memory memory = Memory(columns * (fours * 4 + 12) + 1)
        cdef float *scales = <float *>memory.data
        cdef int32_t *zero_points = <int32_t *>(scales + columns)
        cdef float *biases = <float *>(zero_points + columns)
        cdef int8_t *placed = <int8_t *>(biases + columns)
        for i in range(channels * self.fold):
            p = place(i)
            c = i % channels
            scales[p] = scale_of[c]
            zero_points[p] = zero_point_of[c]
            if bias_of != NULL:
                biases[p] = bias_of[c]
            for t in range(self.taps):
                placed[p * fours * 4 + t] = weights[c * self.taps + t]
        self.packed = Packed.__new__(Packed)
        self.packed.fill(placed, blocks, BLOCK, fours, 4, scales, zero_points, biases if bias_of != NULL else NULL,
                         per_channel, 4, self.taps)

    def unpack(self, w, /):
        """Write the weights back as the elements of (channels, kD, kH, kW)."""
        cdef int8_t *plain = <int8_t *>qn_write(w, 1, 0, NULL)
        cdef Py_ssize_t c, t, fours = self.packed.taps
        cdef Memory memory = Memory(self.packed.groups * BLOCK * fours * 4)
        cdef int8_t *placed = <int8_t *>memory.data
        self.packed._move(placed, False)
        for c in range(self.channels):
            for t in range(self.taps):
                plain[c * self.taps + t] = placed[place(c) * fours * 4 + t]


# What the rows of a call share.
cdef struct Call:
    const uint8_t *x
    const uint8_t *outside  # zx: a pixel or, if there may be rows outside, as many as are read of a row
    uint8_t *out
    Py_ssize_t depth, height, width, out_depth, out_height, out_width
    Py_ssize_t lo, hi  # the pixels of an output row whose window lies inside the width
    Py_ssize_t blocks, channels
    const qn_panel *panels


def depthwise(Depthwise w, x, out, tuple shape, tuple out_shape, double sx, int32_t zx, double so, int32_t zo,
              bint relu, int threads, /):
    """x and out of any shapes with the elements of (N, D, H, W, C) and (N, D, H, W, C)."""
    cdef Packed k = w.packed
    cdef Columns columns
    cdef Call call
    cdef qn_panel *panels
    cdef char *scratch
    cdef uint8_t *outside
    cdef Py_ssize_t rows, parts, b, size, own
    cdef int t
    call.x = <const uint8_t *>qn_read(x, 1, 0, NULL)
    call.out = <uint8_t *>qn_write(out, 1, 0, &size)
    if size == 0:
        return
    columns = k.columns(sx, zx, so)
    rows, call.depth, call.height, call.width, call.channels = shape
    rows, call.out_depth, call.out_height, call.out_width, call.channels = out_shape
    call.lo = min((w.pw + w.sw - 1) // w.sw, call.out_width)
    call.hi = call.width - 1 + w.pw - (w.kw - 1) * w.dw
    call.hi = max(call.lo, min(call.hi // w.sw + 1, call.out_width) if call.hi >= 0 else 0)
    call.blocks = k.groups
    rows *= call.out_depth * call.out_height
    size = (max(call.hi - call.lo - 1, 0) * w.sw + 1 if w.pd or w.ph else 1) * call.channels
    own = (k.taps * 4 * sizeof(void *) + BLOCK * sizeof(int32_t) + 63) // 64 * 64
    outside = <uint8_t *>malloc(size)
    panels = <qn_panel *>malloc(call.blocks * sizeof(qn_panel))
    scratch = <char *>malloc(own * threads)
    if outside == NULL or panels == NULL or scratch == NULL:
        free(outside)
        free(panels)
        free(scratch)
        raise MemoryError(f"depthwise: cannot allocate {size + own * threads} bytes")
    memset(outside, zx, size)
    call.outside = outside
    call.panels = panels
    for b in range(call.blocks):
        k.panel(columns, b, 0, 4, &panels[b])
        panels[b].zo = zo
        panels[b].lo = zo if relu else 0
        panels[b].taps = k.taps * 4
        panels[b].x_offset = b * BLOCK
        panels[b].columns = min(BLOCK, call.channels - b * BLOCK)
    if threads == 1:
        with nogil:
            _parts(w, &call, 1, 0, rows, <const uint8_t **>scratch)
    else:
        # few rows are cut
        parts = 1 if rows >= 4 * threads else min((4 * threads + rows - 1) // rows, call.out_width)
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _parts(w, &call, parts, cut(rows * parts, t, threads, 1), cut(rows * parts, t + 1, threads, 1),
                   <const uint8_t **>(scratch + t * own))
    free(outside)
    free(panels)
    free(scratch)


cdef void _parts(Depthwise w, const Call *call, Py_ssize_t parts, Py_ssize_t start, Py_ssize_t stop,
                 const uint8_t **taps) noexcept nogil:
    # of rows, each in so many parts
    cdef Py_ssize_t part, r, od, oh, n, x, x0, x1, lo, hi
    cdef uint8_t *out
    for part in range(start, stop):
        r = part // parts
        x0 = call.out_width * (part % parts) // parts
        x1 = call.out_width * (part % parts + 1) // parts
        lo = max(x0, min(call.lo, x1))
        hi = max(lo, min(call.hi, x1))
        oh = r % call.out_height
        od = r // call.out_height % call.out_depth
        n = r // (call.out_height * call.out_depth)
        out = call.out + r * call.out_width * call.channels
        for x in range(x0, lo):
            _pixels(w, call, n, od, oh, x, 1, taps, out)
        if hi > lo:
            _pixels(w, call, n, od, oh, lo, hi - lo, taps, out)
        for x in range(hi, x1):
            _pixels(w, call, n, od, oh, x, 1, taps, out)


cdef void _pixels(Depthwise w, const Call *call, Py_ssize_t n, Py_ssize_t od, Py_ssize_t oh, Py_ssize_t ow,
                  Py_ssize_t count, const uint8_t **taps, uint8_t *out) noexcept nogil:
    # output pixels ow .. ow + count - 1 of a row; more than one only where every tap lies inside the width
    cdef Py_ssize_t a, b, c, d, h, v, tap = 0, block, rest = count % w.fold
    cdef Py_ssize_t step = w.sw * w.fold * call.channels, out_step = w.fold * call.channels
    cdef const uint8_t *row
    cdef qn_panel p
    for a in range(w.kd):
        d = od * w.sd - w.pd + a * w.dd
        for b in range(w.kh):
            h = oh * w.sh - w.ph + b * w.dh
            row = NULL
            if 0 <= d < call.depth and 0 <= h < call.height:
                row = call.x + ((n * call.depth + d) * call.height + h) * call.width * call.channels
            for c in range(w.kw):
                v = ow * w.sw - w.pw + c * w.dw
                if row != NULL and 0 <= v < call.width:
                    taps[tap] = row + v * call.channels
                else:
                    taps[tap] = call.outside
                tap += 1
    for tap in range(w.taps, call.panels[0].taps):
        taps[tap] = taps[0]  # anything, their weights are 0
    out += ow * call.channels
    if w.fold == 1:
        for block in range(call.blocks):
            _block(w, &call.panels[block], taps, step, count, out + block * BLOCK, out_step)
        return
    p = call.panels[0]
    p.columns = out_step
    _block(w, &p, taps, step, count // w.fold, out, out_step)
    if rest:
        p.columns = rest * call.channels
        p.x_offset = count // w.fold * step
        _block(w, &p, taps, 0, 1, out + count // w.fold * out_step, 0)


cdef void _block(Depthwise w, const qn_panel *whole, const uint8_t **taps, Py_ssize_t step, Py_ssize_t count,
                 uint8_t *out, Py_ssize_t out_step) noexcept nogil:
    # `count` blocks of pixels; where weights have zero points, one after the other with zw * (sum of x) for each channel
    cdef Py_ssize_t x, i, tap, c
    cdef int32_t *sums = <int32_t *>(taps + whole.taps)
    cdef int32_t s
    cdef qn_panel p
    if whole.zw == NULL:
        qn_depthwise(whole, taps, step, count, NULL, out, out_step)
        return
    p = whole[0]
    for x in range(count):
        for i in range(p.columns):
            s = 0
            for tap in range(w.taps):
                s += taps[tap][p.x_offset + i]
            c = place(i)
            sums[c] = qn_sub(0, qn_mul(p.zw[c], s))
        qn_depthwise(&p, taps, 0, 1, sums, out + x * out_step, 0)
        p.x_offset += step
