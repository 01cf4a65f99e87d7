"""
Transposed convolution in one, two and three dimensions, with groups.

Computes
    acc[o, j] = sum over taps, c, and inputs i with i * stride - padding + tap * dilation = o of
                (x[i, c] - zx) * (w[j, tap, c] - zw[j])
    y[o, j]   = requantize(acc) as in simd.h
An output that no tap reaches is its bias.

The outputs stride apart on each axis, a phase, are reached by the same taps, from inputs that are neighbours as they are:
each phase is a convolution with a stride of one and with those taps only. So there is no product with a zero between the
inputs, and no sum goes to memory. What lies at the same input in all phases is a cell of the output, of stride pixels on
each axis; cells at the border are cut.

Layout: x (N, D, H, W, C) and y (N, D, H, W, K) channels-last and dense; fewer dimensions are D = 1 and H = 1. Weights in
panels (panels.pxi), one Packed for each combination of the taps' classes on the axes: taps that reach the same phase. For a
run of rows of cells a phase has a table of pointers [tap][pixel], as in conv.pyx; outside the image they point to zx.
Images are copied once, row by row, where the tile wants evenly spaced pixels (simd.h: QN_EVEN) and taps fall beside the
image, or where channels of a group do not fill what the tile reads.
Pixels of a phase are evenly spaced in one output row only. Rows that do not fill tiles go through a buffer, from where
their pixels are moved to the output.
Exactness: torch's integers at every level, where torch's are right; taps outside the image add exactly zero.
Parallel: over runs of rows of cells or, where those are few, over panels of columns.
"""
from cython.parallel cimport prange
from libc.stdlib cimport malloc
from arrays cimport allocated
from numerics cimport cut, qn_add, qn_mul

include "pixels.pxi"

cdef extern from "simd.h" nogil:
    void qn_copy_rows(const uint8_t *x, Py_ssize_t x_step, uint8_t *out, Py_ssize_t out_step, Py_ssize_t rows,
                      Py_ssize_t n) noexcept

cdef enum:
    TILE = 16  # pixels of a stretch that a tile takes; it takes two stretches
    BUFFERED = 128  # with fewer groups of four products to an output moving it costs more than half a tile


# The geometry of one axis. Taps of a class have the same (tap * dilation) % stride, their residue.
cdef struct Axis:
    Py_ssize_t kernel, stride, padding, dilation
    Py_ssize_t classes
    Py_ssize_t *taps  # class after class: that of class i are from begin[i] on, before begin[i + 1]
    Py_ssize_t *begin
    Py_ssize_t *residue
    Py_ssize_t low  # the least distance from a cell to an input that reaches it; the largest is 0


# The outputs stride apart on one axis, from `out` on: they lie in the cells from `cell` on.
cdef struct Phase:
    Py_ssize_t out, cell, count
    Py_ssize_t kind  # the class of the taps that reach them; -1: none does
    Py_ssize_t residue, taps
    const Py_ssize_t *tap


cdef Py_ssize_t _phases(const Axis *axis, Py_ssize_t out) noexcept nogil:
    # how many phases `out` outputs have
    return min(axis.stride, out)


cdef Phase _phase(const Axis *axis, Py_ssize_t out, Py_ssize_t first) noexcept nogil:
    # the phase of output `first`, one of the first `stride`
    cdef Phase p
    cdef Py_ssize_t i
    p.out = first
    p.cell = (first + axis.padding) // axis.stride
    p.count = (out - 1 - first) // axis.stride + 1
    p.residue = (first + axis.padding) % axis.stride
    p.kind = -1
    p.taps = 0
    p.tap = NULL
    for i in range(axis.classes):
        if axis.residue[i] == p.residue:
            p.kind = i
            p.taps = axis.begin[i + 1] - axis.begin[i]
            p.tap = axis.taps + axis.begin[i]
    return p


cdef inline Py_ssize_t _shift(const Axis *axis, Py_ssize_t residue, Py_ssize_t tap) noexcept nogil:
    # from a cell to the input that a tap brings there
    return (residue - tap * axis.dilation) // axis.stride


cdef class Constants:
    """The Columns of every part for one set of activation and output parameters, and where they are."""

    cdef list columns
    cdef Memory memory
    cdef void **of


cdef class ConvTranspose:
    """Packed weights and the geometry of a transposed convolution: what conv_transpose_prepack makes."""

    cdef Axis axes[3]
    cdef Memory axes_memory, parts_memory
    cdef list packed
    cdef void **parts  # a Packed for every combination of classes, the last axis' first; then one without taps
    cdef Py_ssize_t count, most_taps
    cdef dict cache

    def __cinit__(self, w, Py_ssize_t groups, scale, zero_point, bias, bint per_channel, stride, padding, dilation):
        """w: (groups * n, kD, kH, kW, c); stride, padding, dilation: (depth, height, width)."""
        cdef Py_ssize_t shape[5]
        cdef int8_t *whole = <int8_t *>qn_read(w, 1, 5, shape)
        cdef const float *scales = <const float *>qn_read(scale, 4, 0, NULL)
        cdef const int32_t *zero_points = <const int32_t *>qn_read(zero_point, 4, 0, NULL)
        cdef const float *biases = <const float *>qn_read(bias, 4, 0, NULL)
        cdef Py_ssize_t a, i, taps, rows = shape[0], c = shape[4]
        cdef Packed part
        cdef Py_ssize_t *at
        cdef Memory block
        self.cache = {}
        self.axes_memory = Memory((3 * (shape[1] + shape[2] + shape[3]) + 3) * sizeof(Py_ssize_t))
        at = <Py_ssize_t *>self.axes_memory.data
        for a in range(3):
            at = self._set_axis(&self.axes[a], at, shape[1 + a], stride[a], padding[a], dilation[a])
        self.count = self.axes[0].classes * self.axes[1].classes * self.axes[2].classes
        self.packed = []
        self.parts_memory = Memory((self.count + 1) * sizeof(void *))
        self.parts = <void **>self.parts_memory.data
        for i in range(self.count + 1):
            taps = self._taps(i)
            self.most_taps = max(self.most_taps, taps)
            block = Memory(rows * taps * c)
            self._move(i, whole, rows, c, <int8_t *>block.data, True)
            part = Packed.__new__(Packed)
            part.fill(<int8_t *>block.data, groups, rows // groups, taps, c, scales, zero_points, biases, per_channel,
                      QN_NV, taps * c)
            self.packed.append(part)
            self.parts[i] = <void *>part

    cdef Py_ssize_t *_set_axis(self, Axis *axis, Py_ssize_t *memory, Py_ssize_t kernel, Py_ssize_t stride,
                               Py_ssize_t padding, Py_ssize_t dilation):
        # with its tables in `memory`; returns what is behind them
        cdef Py_ssize_t i, tap
        axis.kernel, axis.stride, axis.padding, axis.dilation = kernel, stride, padding, dilation
        classes = {}
        for tap in range(kernel):
            classes.setdefault(tap * dilation % stride, []).append(tap)
        axis.classes = len(classes)
        axis.taps = memory
        axis.begin = axis.taps + kernel
        axis.residue = axis.begin + axis.classes + 1
        axis.begin[0] = axis.low = 0
        for i, (residue, taps) in enumerate(classes.items()):
            axis.residue[i] = residue
            axis.begin[i + 1] = axis.begin[i]
            for tap in taps:
                axis.taps[axis.begin[i + 1]] = tap
                axis.begin[i + 1] += 1
                axis.low = min(axis.low, _shift(axis, residue, tap))
        return axis.residue + axis.classes

    cdef Py_ssize_t _taps(self, Py_ssize_t part):
        # how many taps a part has
        cdef Py_ssize_t a, i, taps = 1
        if part == self.count:
            return 0
        for a in range(2, -1, -1):
            i = part % self.axes[a].classes
            part //= self.axes[a].classes
            taps *= self.axes[a].begin[i + 1] - self.axes[a].begin[i]
        return taps

    cdef void _move(self, Py_ssize_t part, int8_t *w, Py_ssize_t rows, Py_ssize_t c, int8_t *own, bint take) noexcept nogil:
        # between all weights (rows, kD, kH, kW, c) and those of a part (rows, taps, c), in either direction
        cdef Axis *d = &self.axes[0]
        cdef Axis *h = &self.axes[1]
        cdef Axis *v = &self.axes[2]
        cdef Py_ssize_t id = part // v.classes // h.classes, ih = part // v.classes % h.classes, iv = part % v.classes
        cdef Py_ssize_t row, i, j, k
        cdef int8_t *cell
        if part == self.count:
            return
        for row in range(rows):
            for i in range(d.begin[id], d.begin[id + 1]):
                for j in range(h.begin[ih], h.begin[ih + 1]):
                    for k in range(v.begin[iv], v.begin[iv + 1]):
                        cell = w + (((row * d.kernel + d.taps[i]) * h.kernel + h.taps[j]) * v.kernel + v.taps[k]) * c
                        if take:
                            memcpy(own, cell, c)
                        else:
                            memcpy(cell, own, c)
                        own += c

    def unpack(self, w, /):
        """Write the weights back."""
        cdef Py_ssize_t shape[5]
        cdef int8_t *whole = <int8_t *>qn_write(w, 1, 5, shape)
        cdef Py_ssize_t i, rows = shape[0], c = shape[4]
        cdef Memory block
        for i in range(self.count):
            block = Memory(rows * self._taps(i) * c)
            (<Packed>self.packed[i])._move(<int8_t *>block.data, False)
            self._move(i, whole, rows, c, <int8_t *>block.data, False)

    cdef Constants constants(self, double sx, int32_t zx, double so):
        cdef Py_ssize_t i
        cdef Constants found = self.cache.get((sx, zx, so))
        if found is None:
            found = Constants.__new__(Constants)
            found.columns = [(<Packed>part).columns(sx, zx, so) for part in self.packed]
            found.memory = Memory((self.count + 1) * sizeof(void *))
            found.of = <void **>found.memory.data
            for i, columns in enumerate(found.columns):
                found.of[i] = <void *>columns
            if len(self.cache) >= 8:
                self.cache.clear()
            self.cache[sx, zx, so] = found
        return found


# Where the bytes of prepared images lie, and how the cells are cut into runs.
cdef struct Image:
    const uint8_t *data
    const uint8_t *outside  # a pixel or (if `even`) an image row of zx
    Py_ssize_t size[3]  # of the image, and of the output
    Py_ssize_t out[3]
    Py_ssize_t first[3]  # the first cell, and how many
    Py_ssize_t cells[3]
    Py_ssize_t pixel, group, row  # bytes from pixel to pixel, from group to group, from row to row
    Py_ssize_t left, right  # pixels of padding that each row got
    Py_ssize_t even  # bytes from a pixel to its neighbour, if the tile wants to know and all lie in a row; else 0
    bint copied  # rows are to be copied, with their padding and filling
    Py_ssize_t channels, out_channels
    Py_ssize_t rows, runs, pieces  # of cells: all rows, runs of them, pieces of a row (1 if a run has several rows)
    Py_ssize_t run_rows, run  # at most: rows of a run, its cells
    Py_ssize_t splits  # parts of the panels


# What a task works on, and with.
cdef struct Run:
    Py_ssize_t first, stop  # rows of cells
    Py_ssize_t left, right  # their cells
    Py_ssize_t panel, end  # panels, over all groups
    const uint8_t **table  # [tap][pixel], the pixels of a stretch one behind the other
    uint8_t **outs  # where each stretch begins in the output
    int32_t *sums
    uint8_t *buffer
    qn_work work


def conv_transpose(ConvTranspose w, x, out, tuple shape, tuple out_shape, double sx, int32_t zx, double so, int32_t zo,
                   int threads, /):
    """x and out of any shapes with the elements of (N, D, H, W, C) and (N, D, H, W, K)."""
    cdef Py_ssize_t first, count, n, size, out_size
    cdef const uint8_t *images = <const uint8_t *>qn_read(x, 1, 0, &size)
    cdef uint8_t *y = <uint8_t *>qn_write(out, 1, 0, &out_size)
    cdef Image image
    if out_size == 0:
        return
    n, image.size[0], image.size[1], image.size[2], image.channels = shape
    n, image.out[0], image.out[1], image.out[2], image.out_channels = out_shape
    size //= n
    out_size //= n
    cdef Constants constants = w.constants(sx, zx, so)
    cdef qn_panel p
    p.zo = zo
    p.lo = 0
    count = max(1, IMAGES // max(1, size))
    for first in range(0, n, count):
        image.data = images + first * size
        _images(w, constants, p, image, min(count, n - first), y + first * out_size, zx, threads)


cdef int _images(ConvTranspose w, Constants constants, qn_panel p, Image image, Py_ssize_t n, uint8_t *out, int32_t zx,
                 int threads) except -1:
    # n images, of which `image` has the sizes and the data
    cdef Packed k = w.packed[0]
    cdef Py_ssize_t cg = image.channels // k.groups, a, most, rows_of_run, tasks, size
    cdef uint8_t *outside
    cdef Axis *axis
    cdef int t, failed = 0
    image.rows = n
    for a in range(3):
        axis = &w.axes[a]
        image.first[a] = axis.padding // axis.stride
        image.cells[a] = (axis.padding + image.out[a] - 1) // axis.stride - image.first[a] + 1
        if a < 2:
            image.rows *= image.cells[a]
    image.group = (cg + 3) // 4 * 4
    image.pixel = image.group * k.groups
    image.even = image.left = image.right = 0
    if 0 < QN_EVEN <= w.most_taps * k.k4:
        _pad(&w.axes[2], &image)
    image.row = (image.left + image.size[2] + image.right) * image.pixel
    image.copied = k.k4 * 4 > cg or image.left + image.right > 0
    p.narrow = QN_NARROW and zx < 128 and qn_is_narrow(
        image.data, n * image.size[0] * image.size[1] * image.size[2] * image.channels)

    # runs of whole rows of cells, or of pieces of one; about equally many in each
    most = LONG if image.even else RUN
    most = max(1, min(most, TABLE // w.most_taps))
    image.pieces = (image.cells[2] + most - 1) // most
    rows_of_run = max(most // image.cells[2], 1)
    image.runs = (image.rows + rows_of_run - 1) // rows_of_run
    image.splits = 1
    if threads > 1:
        if image.rows * image.pieces < 4 * threads and k.panels * k.groups > 1:
            # few rows: each thread takes all of them, for its part of the panels
            a = k.panels * k.groups
            image.splits = threads if a % threads == 0 else min(a, 4 * threads)
        elif image.pieces == 1:
            image.runs = min(image.rows, (image.runs + threads - 1) // threads * threads)
    image.run_rows = (image.rows + image.runs - 1) // image.runs
    image.run = image.run_rows * ((image.cells[2] + image.pieces - 1) // image.pieces)
    tasks = image.runs * image.pieces * image.splits

    # every read of whole groups of bytes may end behind what is needed
    size = max(image.pixel, k.k4 * 4, image.row if image.even else 0) + 64
    outside = <uint8_t *>allocated("conv_transpose", size)
    memset(outside, zx, size)
    image.outside = outside
    if threads == 1:
        with nogil:
            failed = _tasks(w, k, constants, p, &image, zx, 0, tasks, out)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            failed += _tasks(w, k, constants, p, &image, zx, cut(tasks, t, threads, 1), cut(tasks, t + 1, threads, 1),
                             out)
    free(outside)
    if failed:
        raise MemoryError(f"conv_transpose: cannot allocate {image.rows} rows of {image.row} bytes")
    return 0


cdef void _pad(const Axis *axis, Image *image) noexcept nogil:
    # how many pixels a row needs beside it, so that the pixels of a phase are evenly spaced at every tap
    cdef Py_ssize_t f, i, shift, left = 0, right = 0
    cdef Phase phase
    for f in range(_phases(axis, image.out[2])):
        phase = _phase(axis, image.out[2], f)
        for i in range(phase.taps):
            shift = phase.cell + _shift(axis, phase.residue, phase.tap[i])
            left = max(left, -shift)
            right = max(right, shift + phase.count - image.size[2])
    if left + right <= image.size[2] + image.cells[2]:  # more would grow without bound
        image.left = left
        image.right = right
        image.even = image.pixel


cdef Py_ssize_t _row_of(ConvTranspose w, const Image *image, Py_ssize_t r, bint last) noexcept nogil:
    # the first image row that row r of cells needs, or the one behind the last
    cdef Py_ssize_t h = image.first[1] + r % image.cells[1]
    cdef Py_ssize_t d = image.first[0] + r // image.cells[1] % image.cells[0]
    cdef Py_ssize_t n = r // (image.cells[1] * image.cells[0])
    h += 1 if last else w.axes[1].low
    d += 1 if last else w.axes[0].low
    if image.size[0] == image.cells[0] == 1:
        return n * image.size[1] + max(0, min(h, image.size[1]))
    return (n * image.size[0] + max(0, min(d, image.size[0]))) * image.size[1]


cdef int _tasks(ConvTranspose w, Packed k, Constants constants, qn_panel p, const Image *given, int32_t zx,
                Py_ssize_t start, Py_ssize_t stop, uint8_t *out) noexcept nogil:
    # task = (split * runs + run) * pieces + piece; 1 if there is no memory
    cdef Image image = given[0]
    cdef Py_ssize_t task, r, piece, split, fd, fh, fv, r0 = 0, r1 = image.rows, row0 = 0, rows = 0
    cdef Py_ssize_t table_size, buffer_size
    cdef Phase phases[3]
    cdef Run run
    if start == stop:
        return 0
    if image.copied:
        if image.splits == 1:
            r0 = image.rows * (start // image.pieces) // image.runs
            r1 = image.rows * ((stop - 1) // image.pieces + 1) // image.runs
        row0 = _row_of(w, &image, r0, False)
        rows = max(0, _row_of(w, &image, r1 - 1, True) - row0)
    table_size = (w.most_taps * image.run + image.run_rows) * sizeof(void *) + image.run * sizeof(int32_t)
    table_size = (table_size + 63) // 64 * 64
    # a phase may lack the first and the last cell
    buffer_size = image.run * image.out_channels if image.run_rows > 1 and image.cells[2] <= 3 * TILE + 2 else 0
    cdef char *block = <char *>malloc(table_size + buffer_size + rows * image.row + 128)
    if block == NULL:
        return 1
    run.table = <const uint8_t **>((<uintptr_t>block + 63) // 64 * 64)
    run.outs = <uint8_t **>(run.table + w.most_taps * image.run)
    run.sums = <int32_t *>(run.outs + image.run_rows)
    run.buffer = <uint8_t *>run.table + table_size
    cdef uint8_t *copy = run.buffer + buffer_size
    if image.copied:
        copy_rows(image.data + row0 * image.size[2] * image.channels, copy, zx, rows, image.size[2], k.groups,
                  image.channels // k.groups, image.group, image.left, image.right)
        image.data = copy - row0 * image.row
    qn_begin(&run.work)
    for task in range(start, stop):
        piece = task % image.pieces
        r = task // image.pieces % image.runs
        split = task // image.pieces // image.runs
        run.first = image.rows * r // image.runs
        run.stop = image.rows * (r + 1) // image.runs
        run.left = image.first[2] + image.cells[2] * piece // image.pieces
        run.right = image.first[2] + image.cells[2] * (piece + 1) // image.pieces
        run.panel = k.groups * k.panels * split // image.splits
        run.end = k.groups * k.panels * (split + 1) // image.splits
        for fd in range(_phases(&w.axes[0], image.out[0])):
            phases[0] = _phase(&w.axes[0], image.out[0], fd)
            for fh in range(_phases(&w.axes[1], image.out[1])):
                phases[1] = _phase(&w.axes[1], image.out[1], fh)
                for fv in range(_phases(&w.axes[2], image.out[2])):
                    phases[2] = _phase(&w.axes[2], image.out[2], fv)
                    _run_phase(w, constants, &p, &image, phases, &run, out)
    qn_end(&run.work)
    free(block)
    return 0


cdef void _run_phase(ConvTranspose w, Constants constants, qn_panel *p, const Image *image, const Phase *phases, Run *run,
                     uint8_t *out) noexcept nogil:
    # the pixels of a phase that lie in the run's cells
    cdef Py_ssize_t part = w.count
    if phases[0].kind >= 0 and phases[1].kind >= 0 and phases[2].kind >= 0:
        part = (phases[0].kind * w.axes[1].classes + phases[1].kind) * w.axes[2].classes + phases[2].kind
    _run_part(w, <Packed>w.parts[part], <Columns>constants.of[part], p, image, phases, run, out)


cdef void _run_part(ConvTranspose w, Packed k, Columns columns, qn_panel *p, const Image *image, const Phase *phases,
                    Run *run, uint8_t *out) noexcept nogil:
    cdef Py_ssize_t left = max(run.left, phases[2].cell), right = min(run.right, phases[2].cell + phases[2].count)
    cdef Py_ssize_t count = right - left, stretches = 0, step = w.axes[2].stride * image.out_channels
    cdef Py_ssize_t r, d, h, i, panel, g, first, nv, summed = -1, column, even = image.even if k.taps * k.k4 >= QN_EVEN else 0
    cdef bint buffered
    if count <= 0:
        return
    for r in range(run.first, run.stop):
        h = image.first[1] + r % image.cells[1] - phases[1].cell
        d = image.first[0] + r // image.cells[1] % image.cells[0] - phases[0].cell
        if not (0 <= h < phases[1].count and 0 <= d < phases[0].count):
            continue
        i = r // (image.cells[1] * image.cells[0]) * image.out[0] + phases[0].out + d * w.axes[0].stride
        i = i * image.out[1] + phases[1].out + h * w.axes[1].stride
        i = i * image.out[2] + phases[2].out + (left - phases[2].cell) * w.axes[2].stride
        run.outs[stretches] = out + i * image.out_channels
        if k.taps > 0:
            _point(w, image, phases, r, left, count, run.table + stretches * count, image.run,
                   even and k.taps > 1 and k.zw == NULL)
        stretches += 1
    # rows that leave half a tile in every stretch, if it has enough to do; and those that are shorter than a tile
    if even:
        buffered = k.taps * k.k4 > BUFFERED and count <= 3 * TILE and (count + TILE - 1) // TILE % 2 == 1
    else:
        buffered = count < TILE
    buffered = buffered and stretches > 1
    p.taps = k.taps
    p.k4 = k.k4
    for panel in range(run.panel, run.end):
        g = panel // k.panels
        p.x_offset = g * image.group
        if k.zw != NULL and g != summed:
            summed = g
            qn_flush(&run.work)
            sum_pixels(k, p.x_offset, stretches * count, run.table, image.run, run.sums)
        first = k.first_vector(panel % k.panels)
        nv = k.first_vector(panel % k.panels + 1) - first
        column = g * k.n + first * QN_LANES
        k.panel(columns, g, first, nv, p)
        if buffered:
            qn_tiles(&run.work, <int>nv, stretches * count, p, run.table, image.run, even, count, count, run.sums,
                     run.buffer + column, image.out_channels)
        else:
            for i in range(stretches):
                qn_tiles(&run.work, <int>nv, count, p, run.table + i * count, image.run, even, count, count,
                         run.sums + i * count, run.outs[i] + column, step)
    if buffered:
        qn_flush(&run.work)
        first = _column(k, run.panel)
        column = _column(k, run.end) - first
        for r in range(stretches):
            qn_copy_rows(run.buffer + r * count * image.out_channels + first, image.out_channels, run.outs[r] + first, step,
                         count, column)


cdef inline Py_ssize_t _column(Packed k, Py_ssize_t panel) noexcept nogil:
    # the first column of a panel, over all groups
    return panel // k.panels * k.n + k.first_vector(panel % k.panels) * QN_LANES


cdef void _point(ConvTranspose w, const Image *image, const Phase *phases, Py_ssize_t r, Py_ssize_t left,
                 Py_ssize_t count, const uint8_t **table, Py_ssize_t run, bint sparse) noexcept nogil:
    # table[tap * run + i] = where tap lies for the pixel in cell left + i of row r; if `sparse`, for those only that a
    # tile begins with
    cdef Py_ssize_t at_h = image.first[1] + r % image.cells[1]
    cdef Py_ssize_t at_d = image.first[0] + r // image.cells[1] % image.cells[0]
    cdef Py_ssize_t n = r // (image.cells[1] * image.cells[0]), width = image.left + image.size[2] + image.right
    cdef Py_ssize_t a, b, c, d, h, x
    cdef const uint8_t *row
    for a in range(phases[0].taps):
        d = at_d + _shift(&w.axes[0], phases[0].residue, phases[0].tap[a])
        for b in range(phases[1].taps):
            h = at_h + _shift(&w.axes[1], phases[1].residue, phases[1].tap[b])
            row = NULL
            if 0 <= d < image.size[0] and 0 <= h < image.size[1]:
                row = image.data + ((n * image.size[0] + d) * image.size[1] + h) * image.row
            for c in range(phases[2].taps):
                x = left + _shift(&w.axes[2], phases[2].residue, phases[2].tap[c]) + image.left
                point_row(table, count, row, image.outside, x, 1, width, image.pixel, sparse)
                table += run
