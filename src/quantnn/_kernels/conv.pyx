"""
Convolution in one, two and three dimensions, with groups and an optional relu.

Computes
    acc[pixel, j] = sum over taps, c of (x[pixel * stride - padding + tap * dilation, c] - zx) * (w[j, tap, c] - zw[j])
    y[pixel, j]   = requantize(acc) as in simd.h
What lies outside the image counts as zx, that is as nothing.

Layout: flat arrays, x (N, D, H, W, C) and y (N, D, H, W, K), channels-last; fewer dimensions are D = 1 and H = 1. No matrix
of the whole image is built: for a run of output pixels a table of pointers [tap][pixel] says where the C bytes of each
tap lie; outside the image it points to a row of zx. Images are copied once where they do not lie as the tile wants them:
    rows    few channels, one group: the image gets its left and right padding, and the kernel's whole row of
            kW * C bytes becomes one tap
    pixels  each group's channels are filled up to a multiple of four
Where the tile wants evenly spaced pixels (simd.h: QN_EVEN), each row of the image gets its left and right padding, so that
neighbouring output pixels read neighbouring bytes at every tap; short rows, which do not fill a tile, have the bytes of a
run's pixels put one behind the other instead (dense). A 1x1 convolution needs neither (flat).
Weights in panels (panels.pxi), one tap per kernel position or, in the form rows, per kernel row.
Exactness: torch's integers at every level; the taps outside the image add exactly zero.
Parallel: over groups and runs of pixels or, where those are few, over panels of columns.
"""
from cython.parallel cimport prange
from libc.stdlib cimport malloc
from arrays cimport allocated
from numerics cimport cut, qn_add, qn_mul

include "pixels.pxi"

cdef enum:
    NARROW = 14  # rows of output pixels that are shorter do not fill a tile:
    DENSE = 1 << 18  # their bytes are gathered, if those of a run fit in the second-level cache beside the weights
    OUT = 24576  # at most about this many bytes of outputs of a run: they stay near until all panels have filled them
    SHORT = 32  # pixels of a run that is one tile: its bytes and outputs stay next to the core, the weights pass in order
    WEIGHTS = 1 << 20  # with more bytes of weights than this a run has LONG pixels, for they come from far


def merged(Py_ssize_t groups, Py_ssize_t n, Py_ssize_t c):
    """How many groups of n output and c input channels to make one: with few channels they cost the same together.

    The weights between a group's channels and another's are then their zero point, which counts as nothing.
    """
    cdef Py_ssize_t m = 64 // c if QN_EVEN else QN_LANES // n
    m = min(max(m, 1), groups)
    while groups % m:
        m -= 1
    return m


cdef class Conv:
    """Packed weights and the geometry of a convolution: what conv_prepack makes."""

    cdef readonly Packed packed
    cdef Py_ssize_t kd, kh, kw, sd, sh, sw, pd, ph, pw, dd, dh, dw
    cdef readonly bint rows  # the form rows: one tap per kernel row
    cdef bint even  # the tile reads evenly spaced pixels

    def __cinit__(self, w, Py_ssize_t groups, Py_ssize_t n, Py_ssize_t c, scale, zero_point, bias, bint per_channel,
                  kernel, stride, padding, dilation):
        """w: (groups * n, kD, kH, kW, c); kernel, stride, padding, dilation: (depth, height, width)."""
        self.kd, self.kh, self.kw = kernel
        self.sd, self.sh, self.sw = stride
        self.pd, self.ph, self.pw = padding
        self.dd, self.dh, self.dw = dilation
        # padding as wide as the kernel is left to the other form: the image would grow without bound
        self.rows = groups == 1 and self.kw > 1 and self.dw == 1 and c < 16 and self.pw < self.kw
        self.packed = packed(w, groups, n, self.kd * self.kh * (1 if self.rows else self.kw),
                             c * (self.kw if self.rows else 1), scale, zero_point, bias, per_channel)
        self.even = 0 < QN_EVEN <= self.packed.taps * self.packed.k4 and (
            self.packed.k4 <= 16 if self.rows else self.pw <= (self.kw - 1) * self.dw)


# Where the bytes of prepared images lie, and how their output pixels are cut into runs.
cdef struct Image:
    const uint8_t *data
    const uint8_t *outside  # a pixel, a kernel row (in the form rows) or an image row (if `even`, for rows outside) of zx
    Py_ssize_t depth, height, width, pixel, group  # bytes from pixel to pixel and from group to group
    Py_ssize_t out_depth, out_height, out_width
    Py_ssize_t pad  # pixels of padding that each row got
    Py_ssize_t even  # bytes from an output pixel's bytes to its neighbour's, where the tile wants to know; else 0
    bint flat  # all output pixels are such neighbours, not only those of a row ...
    Py_ssize_t dense  # bytes of a pixel at all taps, which are put one behind the other; 0 if they are not
    Py_ssize_t safe  # ... of those before this one; the others' bytes, with room behind them, lie in `outside`
    Py_ssize_t pixels, unit, units, runs, run  # units of pixels fill tiles; runs are units in turn, of at most run pixels
    Py_ssize_t splits  # parts of the panels
    Py_ssize_t row  # bytes of an image row
    bint copied  # rows are to be copied, with their padding and filling
    Py_ssize_t channels, out_channels


def conv(Conv w, x, out, tuple shape, tuple out_shape, double sx, int32_t zx, double so, int32_t zo, bint relu,
         int threads, /):
    """x and out of any shapes with the elements of (N, D, H, W, C) and (N, D, H, W, K)."""
    cdef Py_ssize_t first, count, n, size, out_size
    cdef const uint8_t *images = <const uint8_t *>qn_read(x, 1, 0, &size)
    cdef uint8_t *y = <uint8_t *>qn_write(out, 1, 0, &out_size)
    cdef Image image
    if out_size == 0:
        return
    n, image.depth, image.height, image.width, image.channels = shape
    n, image.out_depth, image.out_height, image.out_width, image.out_channels = out_shape
    size //= n
    out_size //= n
    cdef Columns columns = w.packed.columns(sx, zx, so)
    cdef qn_panel p
    p.zo = zo
    p.lo = zo if relu else 0
    count = max(1, IMAGES // max(1, size))
    for first in range(0, n, count):
        image.data = images + first * size
        _images(w, columns, p, image, min(count, n - first), y + first * out_size, zx, threads)


cdef int _images(Conv w, Columns columns, qn_panel p, Image image, Py_ssize_t n, uint8_t *out, int32_t zx,
                 int threads) except -1:
    # n images, of which `image` has the sizes and the data
    cdef Packed k = w.packed
    cdef Py_ssize_t c = image.channels, cg, most, tasks, size
    cdef uint8_t *outside
    cdef int t, failed = 0
    image.pixels = n * image.out_depth * image.out_height * image.out_width
    cg = c // k.groups
    image.group = cg if w.rows else (cg + 3) // 4 * 4
    image.pixel = image.group * k.groups
    image.even = w.sw * image.pixel if w.even else 0
    image.flat = w.even and not w.rows and k.taps == w.sd == w.sh == w.sw == 1 and w.pd == w.ph == w.pw == 0
    image.safe = image.pixels
    if image.flat and k.k4 * 4 > cg and cg % 4 == 0:
        image.safe = max(image.pixels - 16, 0)
    image.dense = 0
    if (w.even and not image.flat and not w.rows and image.out_width < NARROW and k.k4 % 16 == 0 and k.k4 * 4 == cg
            and k.taps * cg * RUN <= DENSE):
        image.dense = image.even = k.taps * cg
    p.narrow = QN_NARROW and zx < 128 and qn_is_narrow(image.data, n * image.depth * image.height * image.width * c)
    image.pad = w.pw if w.rows or w.even and not image.dense else 0
    image.width += 2 * image.pad
    image.row = image.width * image.pixel
    image.copied = w.rows or cg % 4 or (not image.flat and (image.pad or k.k4 * 4 > cg))

    # runs of whole units, about equally many in each
    image.unit = 12
    if w.even:
        image.unit = 16 if image.flat or image.dense or image.out_width > RUN else image.out_width
    image.units = (image.pixels + image.unit - 1) // image.unit
    most = RUN
    if w.even and not image.dense:
        most = SHORT if image.unit <= 16 and k.panels > 1 else min(max(OUT // image.out_channels, RUN), 2 * RUN)
    if w.even and k.bytes() > WEIGHTS:
        most = LONG // 4 if image.dense else LONG
    most = max(min(most, TABLE // k.taps) // image.unit, 1)
    image.runs = (image.units + most - 1) // most
    image.splits = 1
    if threads > 1:
        if k.groups * image.units < 8 * threads and k.panels > 1:
            # few pixels: each thread takes all of them, for its part of the panels
            image.splits = threads if k.panels % threads == 0 else min(k.panels, 4 * threads)
        else:
            image.runs = min(image.units, (image.runs + threads - 1) // threads * threads)
    image.run = (image.units + image.runs - 1) // image.runs * image.unit
    tasks = k.groups * image.runs * image.splits

    # every read of whole groups of bytes may end behind what is needed
    size = max(image.pixel, k.k4 * 4, image.row if w.even and (w.pd or w.ph) else 0,
               (image.pixels - image.safe) * image.pixel) + 64
    outside = <uint8_t *>allocated("conv", size)
    memset(outside, zx, size)
    if image.safe < image.pixels:
        memcpy(outside, image.data + image.safe * image.pixel, (image.pixels - image.safe) * image.pixel)
    image.outside = outside
    if threads == 1:
        with nogil:
            failed = _tasks(w, k, columns, p, image, zx, 0, tasks, out)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            failed += _tasks(w, k, columns, p, image, zx, cut(tasks, t, threads, 1), cut(tasks, t + 1, threads, 1),
                             out)
    free(outside)
    if failed:
        raise MemoryError(f"conv: cannot allocate the rows of images of {image.depth * image.height * image.row} bytes")
    return 0


cdef Py_ssize_t _row_of(Conv w, const Image *image, Py_ssize_t q, bint last) noexcept nogil:
    # the first image row that output pixel q needs, or the one behind the last
    cdef Py_ssize_t h = q // image.out_width % image.out_height * w.sh - w.ph
    cdef Py_ssize_t d = q // (image.out_width * image.out_height) % image.out_depth * w.sd - w.pd
    cdef Py_ssize_t n = q // (image.out_width * image.out_height * image.out_depth)
    if last:
        h += (w.kh - 1) * w.dh + 1
        d += (w.kd - 1) * w.dd + 1
    if image.depth == 1 and w.kd == 1:
        return n * image.height + max(0, min(h, image.height))
    return (n * image.depth + max(0, min(d, image.depth))) * image.height


cdef int _tasks(Conv w, Packed k, Columns columns, qn_panel p, Image image, int32_t zx, Py_ssize_t start,
                Py_ssize_t stop, uint8_t *out) noexcept nogil:
    # task = (split * groups + group) * runs + run; 1 if there is no memory
    cdef Py_ssize_t panels = k.panels, task, g, r, split, panel, first, nv, q0 = 0, q1 = image.pixels, i, ready = -1
    cdef Py_ssize_t lead = 0, width = image.out_width, row0, rows = 0, x0 = 0, x1 = image.width, left, right
    cdef Py_ssize_t table_size = ((k.taps * sizeof(void *) + sizeof(int32_t)) * image.run + 63) // 64 * 64
    cdef Py_ssize_t dense_size = (image.dense * image.run + 63) // 64 * 64
    cdef qn_work work
    if start == stop:
        return 0
    if image.copied:
        if k.groups * image.splits == 1:
            q0 = image.units * start // image.runs * image.unit
            q1 = min(image.units * stop // image.runs * image.unit, image.pixels)
        row0 = _row_of(w, &image, q0, False)
        rows = _row_of(w, &image, q1 - 1, True) - row0
        if rows == 1 and q0 // width == (q1 - 1) // width:  # a part of one row
            x0 = q0 % width * w.sw
            x1 = min((q1 - 1) % width * w.sw + (w.kw - 1) * w.dw + 1, x1)
    cdef char *block = <char *>malloc(table_size + dense_size + rows * (x1 - x0) * image.pixel + 128)
    if block == NULL:
        return 1
    cdef char *scratch = <char *>((<uintptr_t>block + 63) // 64 * 64)
    cdef const uint8_t **table = <const uint8_t **>scratch
    cdef int32_t *sums = <int32_t *>(table + k.taps * image.run)
    cdef uint8_t *dense = <uint8_t *>scratch + table_size
    cdef uint8_t *copy = dense + dense_size
    if image.copied:
        left = min(max(image.pad - x0, 0), x1 - x0)
        right = min(max(x1 - image.width + image.pad, 0), x1 - x0 - left)
        i = row0 * (image.width - 2 * image.pad) + x0 + left - image.pad
        copy_rows(image.data + i * image.channels, copy, zx, rows, x1 - x0 - left - right, k.groups,
                  image.channels // k.groups, image.group, left, right)
        image.data = copy - row0 * image.row - x0 * image.pixel
    p.taps = 1 if image.dense else k.taps
    p.k4 = image.dense // 4 if image.dense else k.k4
    qn_begin(&work)
    for task in range(start, stop):
        g = task // image.runs % k.groups
        r = task % image.runs
        split = task // image.runs // k.groups
        p.x_offset = 0 if image.dense else g * image.group
        if g * image.runs + r != ready:
            ready = g * image.runs + r
            q0 = image.units * r // image.runs * image.unit
            q1 = min(image.units * (r + 1) // image.runs * image.unit, image.pixels)
            _point(w, &image, q0, q1, table, image.run)
            if image.flat:
                lead = image.safe - q0 if q0 < image.safe else q1 - q0
                width = q1 - q0
                for i in range(max(q0, image.safe), q1):
                    table[i - q0] = image.outside + (i - image.safe) * image.pixel
            else:
                lead = width - q0 % width
            if k.zw != NULL:
                qn_flush(&work)
                sum_pixels(k, g * image.group, q1 - q0, table, image.run, sums)
            if image.dense:
                lead = q1 - q0
                _gather(k, g * image.group, q1 - q0, table, image.run, dense)
        for panel in range(panels * split // image.splits, panels * (split + 1) // image.splits):
            first = k.first_vector(panel)
            nv = k.first_vector(panel + 1) - first
            k.panel(columns, g, first, nv, &p)
            qn_tiles(&work, <int>nv, q1 - q0, &p, table, image.run, image.even, lead, width, sums,
                     out + q0 * image.out_channels + g * k.n + first * QN_LANES, image.out_channels)
    qn_end(&work)
    free(block)
    return 0


cdef void _point(Conv w, const Image *image, Py_ssize_t q0, Py_ssize_t q1, const uint8_t **table,
                 Py_ssize_t run) noexcept nogil:
    # table[tap * run + i] = where tap lies for output pixel q0 + i, one output row's part of q0..q1 after the other;
    # of evenly spaced pixels only for those that a tile begins with, if nothing else needs them
    cdef bint sparse = image.even and not image.dense and w.packed.taps > 1 and w.packed.zw == NULL
    cdef Py_ssize_t q = q0, n, od, oh, ow, count, a, b, c, d, h, tap, taps_w = 1 if w.rows else w.kw
    cdef const uint8_t *row
    while q < q1:
        ow = q % image.out_width
        oh = q // image.out_width % image.out_height
        od = q // (image.out_width * image.out_height) % image.out_depth
        n = q // (image.out_width * image.out_height * image.out_depth)
        count = min(image.out_width - ow, q1 - q)
        tap = 0
        for a in range(w.kd):
            d = od * w.sd - w.pd + a * w.dd
            for b in range(w.kh):
                h = oh * w.sh - w.ph + b * w.dh
                row = NULL
                if 0 <= d < image.depth and 0 <= h < image.height:
                    row = image.data + ((n * image.depth + d) * image.height + h) * image.row
                for c in range(taps_w):
                    point_row(table + tap * run + (q - q0), count, row, image.outside,
                              ow * w.sw + image.pad - w.pw + c * w.dw, w.sw, image.width, image.pixel, sparse)
                    tap += 1
        q += count


cdef void _gather(Packed k, Py_ssize_t x_offset, Py_ssize_t count, const uint8_t **table, Py_ssize_t run,
                  uint8_t *dense) noexcept nogil:
    # each pixel's bytes at all taps, one behind the other; the table then points there
    cdef Py_ssize_t i, j, tap
    for i in range(count):
        for tap in range(k.taps):
            for j in range(0, k.c, 64):  # a multiple
                memcpy(dense + tap * k.c + j, table[tap * run + i] + x_offset + j, 64)
        table[i] = dense
        dense += k.taps * k.c
