# Packed weights, as linear.pyx, conv.pyx and depthwise.pyx include them.
#
# Packed holds the weights of `groups` independent products, each of n output columns and taps * c inputs. The columns
# of a group are cut into vectors of QN_LANES and the vectors into panels of at most `most` (QN_NV; a depthwise block
# has 4), as equal as possible. In a panel the weights lie as simd.h's tile wants them: [tap][k/4][columns of the
# panel][4], missing k and columns 0. What else belongs to a column (sum of its weights, scale, zero point, bias) lies in
# arrays of the padded length.
#
# Columns holds what the requantize needs for given activation and output parameters; Packed keeps the last few.

from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from arrays cimport qn_read, qn_write

cdef extern from "simd.h" nogil:
    enum:
        QN_LANES
        QN_X_BIAS
        QN_NV
        QN_EVEN
        QN_NARROW
        QN_FEW_ROWS
        QN_RESULT
        QN_PAIRS
    ctypedef struct qn_panel:
        const int8_t *weights
        const int32_t *offset
        const int32_t *zw
        const float *b
        const float *m
        float inv
        int32_t zo, lo
        Py_ssize_t taps, k4, columns, x_offset
        int narrow
    int qn_is_narrow(const uint8_t *x, Py_ssize_t n) noexcept
    ctypedef struct qn_work:
        pass
    Py_ssize_t qn_padded(Py_ssize_t k) noexcept
    Py_ssize_t qn_part(Py_ssize_t left) noexcept
    void qn_begin(qn_work *work) noexcept
    void qn_flush(qn_work *work) noexcept
    void qn_end(qn_work *work) noexcept
    void qn_tiles(qn_work *work, int nv, Py_ssize_t count, const qn_panel *p, const uint8_t *const *rows,
                  Py_ssize_t stride, Py_ssize_t even, Py_ssize_t lead, Py_ssize_t width, const int32_t *sums,
                  uint8_t *out, Py_ssize_t out_stride) noexcept
    void qn_pair(const qn_panel *p, const uint8_t *x, Py_ssize_t far, const int32_t *sums, uint8_t *out) noexcept
    void qn_depthwise(const qn_panel *p, const uint8_t *const *rows, Py_ssize_t step, Py_ssize_t count,
                      const int32_t *sums, uint8_t *out, Py_ssize_t out_step) noexcept


cdef class Memory:
    """A zeroed block that begins at a multiple of 64 bytes."""

    cdef void *block
    cdef char *data

    def __cinit__(self, size_t size):
        self.block = calloc(size + 64, 1)
        if self.block == NULL:
            raise MemoryError(f"cannot allocate {size} bytes")
        self.data = <char *>((<uintptr_t>self.block + 63) // 64 * 64)

    def __dealloc__(self):
        free(self.block)


cdef class Columns:
    """Per-column constants of the requantize for one set of activation and output parameters."""

    cdef Memory memory
    cdef int32_t *offset
    cdef float *b
    cdef float *m
    cdef float inv


cdef class Packed:
    """Weights packed for the tiles of simd.h, with their scales, zero points and bias."""

    cdef readonly Py_ssize_t groups, n, taps, c
    cdef readonly bint per_channel
    cdef readonly bint has_bias
    cdef Py_ssize_t k4, vectors, width  # groups of four k to a tap, vectors and padded columns to a group
    cdef Py_ssize_t panels  # to a group
    cdef Py_ssize_t k  # inputs of a column that count
    cdef Memory memory, constants
    cdef int8_t *weights
    cdef int32_t *sums
    cdef int32_t *zw  # NULL if every zero point is 0
    cdef float *scale
    cdef float *bias
    cdef dict cache

    cdef int fill(self, const int8_t *w, Py_ssize_t groups, Py_ssize_t n, Py_ssize_t taps, Py_ssize_t c,
                  const float *scale, const int32_t *zero_point, const float *bias, bint per_channel, Py_ssize_t most,
                  Py_ssize_t k) except -1:
        # w: the elements of (groups * n, taps, c); scale, zero_point: one per column; bias may be NULL
        cdef Py_ssize_t g, j, i, p
        cdef int32_t s
        self.groups = groups
        self.n = n
        self.taps = taps
        self.c = c
        self.per_channel = per_channel
        self.has_bias = bias != NULL
        self.cache = {}
        self.k4 = qn_padded(self.c) // 4
        self.vectors = (self.n + QN_LANES - 1) // QN_LANES
        self.panels = (self.vectors + most - 1) // most
        self.width = self.vectors * QN_LANES
        self.k = k
        p = groups * self.width
        self.memory = Memory(p * self.taps * self.k4 * 4)
        self.weights = <int8_t *>self.memory.data
        # rows of constants are read in vectors of up to 64 bytes: leave room behind the last
        self.constants = Memory(4 * (p * 4 + 64))
        self.sums = <int32_t *>self.constants.data
        self.scale = <float *>(self.sums + p)
        self.bias = self.scale + p
        self.zw = <int32_t *>(self.bias + p)
        cdef int32_t any_zero_point = 0
        with nogil:
            for g in range(groups):
                for j in range(self.n):
                    p = g * self.width + j
                    self.scale[p] = scale[g * self.n + j]
                    self.zw[p] = zero_point[g * self.n + j]
                    any_zero_point |= self.zw[p]
                    if bias != NULL:
                        self.bias[p] = bias[g * self.n + j]
                    s = 0
                    for i in range(taps * c):
                        s = qn_add(s, w[(g * n + j) * taps * c + i])
                    self.sums[p] = s
            self._move(<int8_t *>w, True)
        if not any_zero_point:
            self.zw = NULL
        return 0

    cdef void _move(self, int8_t *plain, bint pack) noexcept nogil:
        # between (groups * n, taps, c) and the packed block, in either direction
        cdef Py_ssize_t g, j, t, i, v, panel, first, nv
        cdef int8_t *cell
        for g in range(self.groups):
            for panel in range(self.panels):
                first = self.first_vector(panel)
                nv = self.first_vector(panel + 1) - first
                for t in range(self.taps):
                    for j in range(first * QN_LANES, min((first + nv) * QN_LANES, self.n)):
                        for i in range(self.c):
                            cell = self.weights + self._panel_start(g, first) + (
                                ((t * self.k4 + i // 4) * nv * QN_LANES + j - first * QN_LANES) * 4 + i % 4)
                            if pack:
                                cell[0] = plain[((g * self.n + j) * self.taps + t) * self.c + i]
                            else:
                                plain[((g * self.n + j) * self.taps + t) * self.c + i] = cell[0]

    cdef inline Py_ssize_t first_vector(self, Py_ssize_t panel) noexcept nogil:
        return self.vectors * panel // self.panels

    cdef inline Py_ssize_t bytes_of(self, Py_ssize_t vectors) noexcept nogil:
        return vectors * QN_LANES * 4 * self.taps * self.k4

    cdef inline Py_ssize_t _panel_start(self, Py_ssize_t g, Py_ssize_t first_vector) noexcept nogil:
        return self.bytes_of(g * self.vectors + first_vector)

    def unpack(self, w, /):
        """Write the weights back as the elements of (groups * n, taps, c)."""
        cdef int8_t *plain = <int8_t *>qn_write(w, 1, 0, NULL)
        with nogil:
            self._move(plain, False)

    cpdef Py_ssize_t bytes(self):
        """Size of the packed weights."""
        return self.groups * self.width * self.taps * self.k4 * 4

    cdef Columns columns(self, double sx, int32_t zx, double so):
        key = (sx, zx, so)
        found = self.cache.get(key)
        if found is not None:
            return found
        cdef Columns c = Columns.__new__(Columns)
        cdef Py_ssize_t i, total = self.groups * self.width
        c.memory = Memory(4 * (total * 3 + 64))
        c.offset = <int32_t *>c.memory.data
        c.b = <float *>(c.offset + total)
        c.m = c.b + total
        requantize_columns(total, self.k, self.sums, self.zw, self.scale,
                           self.bias if self.has_bias else NULL, self.per_channel, <float>sx, zx, <float>so, c)
        if len(self.cache) >= 8:
            self.cache.clear()
        self.cache[key] = c
        return c

    cdef inline void panel(self, Columns c, Py_ssize_t g, Py_ssize_t first, Py_ssize_t nv, qn_panel *p) noexcept nogil:
        # the panel of `nv` vectors from vector `first` of group g on; its taps and k4 are the caller's
        cdef Py_ssize_t column = g * self.width + first * QN_LANES
        p.weights = self.weights + self._panel_start(g, first)
        p.offset = c.offset + column
        p.zw = self.zw + column if self.zw != NULL else NULL
        p.b = c.b + column
        p.m = c.m + column
        p.inv = c.inv
        p.columns = min(nv * QN_LANES, self.n - first * QN_LANES)


cdef Packed packed(w, Py_ssize_t groups, Py_ssize_t n, Py_ssize_t taps, Py_ssize_t c, scale, zero_point, bias,
                   bint per_channel):
    # of arrays; bias may be None
    cdef Packed made = Packed.__new__(Packed)
    made.fill(<const int8_t *>qn_read(w, 1, 0, NULL), groups, n, taps, c, <const float *>qn_read(scale, 4, 0, NULL),
              <const int32_t *>qn_read(zero_point, 4, 0, NULL), <const float *>qn_read(bias, 4, 0, NULL), per_channel,
              QN_NV, taps * c)
    return made


cdef inline void requantize_columns(Py_ssize_t total, Py_ssize_t k, const int32_t *sums, const int32_t *zw,
                                    const float *scale, const float *bias, bint per_channel, float sx, int32_t zx,
                                    float so, Columns c) noexcept:
    # offset = -zx * sum(w) + k * zx * zw (+ what the dot product took from x); b, m and inv as in simd.h
    cdef Py_ssize_t i
    cdef float aw
    cdef int32_t z
    c.inv = 1.0
    for i in range(total):
        z = zw[i] if zw != NULL else 0
        c.offset[i] = qn_add(qn_mul(QN_X_BIAS - zx, sums[i]), qn_mul(qn_mul(<int32_t>k, zx), z))
        if scale[i] == 0:  # a column that only fills up a vector
            continue
        aw = sx * scale[i]
        c.m[i] = aw / so
        if bias != NULL:
            if per_channel:
                c.b[i] = bias[i] / aw
            else:
                c.b[i] = bias[i]
                c.inv = <float>1.0 / aw
