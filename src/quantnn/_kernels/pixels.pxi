# Pixels of images by packed weights, as conv.pyx and conv_transpose.pyx include it: what a run of output pixels reads, at
# every tap, stands in a table of pointers [tap][pixel].

include "panels.pxi"

cdef enum:
    RUN = 96  # pixels of a run: a multiple of every tile's rows
    LONG = 1024  # pixels of a run where the weights, not the pixels, have to stay near
    IMAGES = 1 << 20  # at most about this many bytes of images at a time: their copies stay in the cache
    TABLE = 16384  # at most about this many pointers in a run's table


cdef inline void copy_rows(const uint8_t *x, uint8_t *copy, int32_t zx, Py_ssize_t rows, Py_ssize_t width,
                           Py_ssize_t groups, Py_ssize_t channels, Py_ssize_t group, Py_ssize_t left,
                           Py_ssize_t right) noexcept nogil:
    # image rows from x on with `left` and `right` pixels of zx beside them; the channels of each group filled up to
    # `group` (with anything, their weights are 0)
    cdef Py_ssize_t r, i, pixel = groups * group
    for r in range(rows):
        memset(copy, zx, left * pixel)
        copy += left * pixel
        if group == channels:
            memcpy(copy, x, width * pixel)
            copy += width * pixel
            x += width * pixel
        else:
            for i in range(width * groups):
                memcpy(copy, x, channels)
                memset(copy + channels, zx, group - channels)
                x += channels
                copy += group
        memset(copy, zx, right * pixel)
        copy += right * pixel


cdef inline void point_row(const uint8_t **cell, Py_ssize_t count, const uint8_t *row, const uint8_t *outside, Py_ssize_t x,
                           Py_ssize_t stride, Py_ssize_t width, Py_ssize_t pixel, bint sparse) noexcept nogil:
    # `count` neighbouring output pixels at one tap, `stride` pixels of the row apart from x on: where their bytes lie. A
    # row beside the image is NULL; if `sparse`, none lies beside the row, and only those that a tile begins with are set.
    cdef Py_ssize_t i = 0, lo, hi
    if row == NULL:
        for i in range(count):
            cell[i] = outside
    elif sparse:
        while i < count:
            cell[i] = row + (x + i * stride) * pixel
            i += qn_part(count - i)
    else:
        # pixels lo..hi of these lie inside
        lo = 0 if x >= 0 else min((-x + stride - 1) // stride, count)
        hi = 0 if x >= width else min((width - 1 - x) // stride + 1, count)
        for i in range(lo):
            cell[i] = outside
        for i in range(lo, hi):
            cell[i] = row + (x + i * stride) * pixel
        for i in range(max(lo, hi), count):
            cell[i] = outside


cdef inline void sum_pixels(Packed k, Py_ssize_t x_offset, Py_ssize_t count, const uint8_t **table, Py_ssize_t run,
                            int32_t *sums) noexcept nogil:
    # sums[i] = the sum of pixel i's bytes over all taps
    cdef Py_ssize_t i, j, tap
    cdef int32_t s
    for i in range(count):
        s = 0
        for tap in range(k.taps):
            for j in range(k.c):
                s += table[tap * run + i][x_offset + j]
        sums[i] = s
