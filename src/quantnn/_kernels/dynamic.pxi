# Products of rows of floats by weights of bytes or of float16, with float results: what dynamic.pyx and rnn.pyx share.
#
# Weights of bytes are a Packed of linear.pyx, weights of float16 a Halves of dynamic.pyx, each of the same level. They
# come as objects of another module whose type has another name but the same layout: it is the same source, compiled with
# the same flags. That is why they are cast without a check.

from cython.parallel cimport prange
from libc.math cimport isinf, rint
from libc.stdint cimport uint16_t
from libc.stdlib cimport malloc
from numerics cimport cut, qn_add, qn_half_of_float, qn_mul, qn_qt

cdef extern from *:
    """
    #define QN_FLOAT_RESULTS
    """

include "rows.pxi"

cdef extern from "simd.h" nogil:
    enum:
        QN_HALF_LANES
        QN_HALF_NV
    ctypedef struct qn_half_panel:
        const uint16_t *w
        const float *bias
        Py_ssize_t k, chain, columns
        int relu
    void qn_half_tiles(int nv, Py_ssize_t rows, const qn_half_panel *p, const float *x, Py_ssize_t x_stride, float *out,
                       Py_ssize_t out_stride) noexcept
    int qn_extremes(const float *x, Py_ssize_t n, float *least, float *greatest) noexcept
    Py_ssize_t qn_quantize_bytes(const float *x, uint8_t *out, Py_ssize_t n, float inv, float zo, int flip) noexcept

cdef enum:
    PARTS = 64          # into which the search for extremes is cut at most
    HALF_ROWS = 48      # rows to a task of a float16 product
    WHOLE = 32          # torch sums columns in groups of so many in one chain, what is left of them in chains of
    CHAIN = 512


cdef class Halves:
    """Weights (N, K) in float16 with a bias. Panels of vectors, each [k][columns of the panel].

    The columns of torch's whole groups and the rest have panels of their own.
    """

    cdef readonly Py_ssize_t n, k
    cdef readonly bint has_bias
    cdef Py_ssize_t whole, whole_panels, panels
    cdef Memory memory, constants
    cdef uint16_t *weights
    cdef float *bias

    def __cinit__(self, w, bias):
        """Floats beyond float16 become its greatest, NaN its least; bias may be None."""
        cdef Py_ssize_t width = QN_HALF_NV * QN_HALF_LANES, j, i
        cdef Py_ssize_t shape[2]
        cdef const float *floats = <const float *>qn_read(w, 4, 2, shape)
        cdef const float *biases = <const float *>qn_read(bias, 4, 0, NULL)
        cdef float v
        self.n = shape[0]
        self.k = shape[1]
        self.has_bias = biases != NULL
        self.whole = self.n // WHOLE * WHOLE
        self.whole_panels = (self.whole + width - 1) // width
        self.panels = self.whole_panels + (self.n - self.whole + width - 1) // width
        self.memory = Memory((self.n + QN_HALF_LANES) * self.k * 2)
        self.weights = <uint16_t *>self.memory.data
        self.constants = Memory((self.n + width) * 4)
        self.bias = <float *>self.constants.data
        with nogil:
            for j in range(self.n):
                if biases != NULL:
                    self.bias[j] = biases[j]
                for i in range(self.k):
                    v = floats[j * self.k + i]
                    v = v if v > <float>-65504.0 else <float>-65504.0
                    self.cell(j, i)[0] = qn_half_of_float(v if v < <float>65504.0 else <float>65504.0)

    def unpack(self, w, /):
        """Write the float16 weights as they were, (N, K)."""
        cdef uint16_t *plain = <uint16_t *>qn_write(w, 2, 0, NULL)
        cdef Py_ssize_t j, i
        with nogil:
            for j in range(self.n):
                for i in range(self.k):
                    plain[j * self.k + i] = self.cell(j, i)[0]

    cpdef Py_ssize_t bytes(self):
        """Size of the packed weights."""
        return (self.n + QN_HALF_LANES - 1) // QN_HALF_LANES * QN_HALF_LANES * self.k * 2

    cdef inline Py_ssize_t first(self, Py_ssize_t panel) noexcept nogil:
        # its first column
        cdef Py_ssize_t width = QN_HALF_NV * QN_HALF_LANES
        if panel < self.whole_panels:
            return panel * width
        return min(self.whole + (panel - self.whole_panels) * width, self.n)

    cdef inline uint16_t *cell(self, Py_ssize_t column, Py_ssize_t k) noexcept nogil:
        cdef Py_ssize_t width = QN_HALF_NV * QN_HALF_LANES, panel, first, lanes
        if column < self.whole:
            panel = column // width
        else:
            panel = self.whole_panels + (column - self.whole) // width
        first = self.first(panel)
        lanes = (self.first(panel + 1) - first + QN_HALF_LANES - 1) // QN_HALF_LANES * QN_HALF_LANES
        return self.weights + first * self.k + k * lanes + column - first

    cdef void tasks(self, const float *x, Py_ssize_t rows, Py_ssize_t start, Py_ssize_t stop, float *out,
                    Py_ssize_t out_stride, bint relu) noexcept nogil:
        # task = block of rows * panels + panel
        cdef Py_ssize_t task, row, panel, first
        cdef qn_half_panel p
        p.k = self.k
        p.relu = relu
        for task in range(start, stop):
            row = task // self.panels * HALF_ROWS
            panel = task % self.panels
            first = self.first(panel)
            p.columns = self.first(panel + 1) - first
            p.chain = self.k if panel < self.whole_panels else CHAIN
            p.w = self.weights + first * self.k
            p.bias = self.bias + first if self.has_bias else NULL
            qn_half_tiles(<int>((p.columns + QN_HALF_LANES - 1) // QN_HALF_LANES), min(rows - row, HALF_ROWS), &p,
                          x + row * self.k, self.k, out + row * out_stride + first, out_stride)


cdef struct Qparams:
    double scale
    int32_t zero_point


cdef Qparams choose(float lo, float hi, int top) noexcept nogil:
    # the qparams of quint8 for floats from lo <= 0 to hi >= 0; top: its greatest integer
    cdef double scale = (<double>hi - <double>lo) / top, at_lo, at_hi, z
    cdef float small = <float>6.1e-5, ratio
    cdef Qparams q
    if <float>scale == 0 or isinf(<float>1.0 / <float>scale):
        scale = 0.1
    if scale < small:  # widen the range
        ratio = small / <float>scale
        scale = small
        if lo == 0:
            hi = small * <float>top
        elif hi == 0:
            lo = -small * <float>top
        else:
            lo = lo * ratio
            hi = hi * ratio
    at_lo = lo / scale
    at_hi = hi / scale
    z = -at_lo if -abs(at_lo) < top - abs(at_hi) else top - at_hi
    z = rint(z)
    q.scale = scale
    q.zero_point = 0 if z < 0 else top if z > top else <int32_t>z
    return q


cdef inline void quantize_row(const float *x, uint8_t *out, Py_ssize_t n, float scale,
                              int32_t zero_point) noexcept nogil:
    cdef float inv = <float>1.0 / scale, zo = <float>zero_point
    cdef Py_ssize_t i
    for i in range(qn_quantize_bytes(x, out, n, inv, zo, 0), n):
        out[i] = <uint8_t>qn_qt(x[i], inv, zo, 0, 255)


cdef class Product:
    """x W^T + bias of float rows, at most `rows` at a time."""

    cdef Packed w
    cdef Halves halves
    cdef Columns columns
    cdef uint8_t *x
    cdef readonly Py_ssize_t n, k

    def __cinit__(self, weights, bint halves, Py_ssize_t rows):
        cdef Py_ssize_t total
        if halves:
            self.halves = <Halves>weights
            self.n, self.k = self.halves.n, self.halves.k
            return
        self.w = <Packed>weights
        self.n, self.k = self.w.n, self.w.c
        total = self.w.width
        self.columns = Columns.__new__(Columns)
        self.columns.memory = Memory(4 * (total * 2 + 64))
        self.columns.offset = <int32_t *>self.columns.memory.data
        self.columns.m = <float *>(self.columns.offset + total)
        self.columns.b = self.w.bias
        self.columns.inv = 1.0
        self.x = <uint8_t *>malloc(max(rows * max(row_bytes(self.w, rows), row_bytes(self.w, 1)), 1))
        if self.x == NULL:
            raise MemoryError(f"cannot allocate a byte for each of {rows} rows of {self.k} floats")

    def __dealloc__(self):
        free(self.x)

    cdef bint find(self, const float *x, Py_ssize_t rows, bint reduce_range, Qparams *q, int threads) noexcept nogil:
        # the qparams for x, if the weights are bytes; False if a float is not finite
        cdef float least[PARTS]
        cdef float greatest[PARTS]
        cdef bint finite[PARTS]
        cdef Py_ssize_t n = rows * self.k
        cdef int parts = min(threads, PARTS), t
        if self.halves is not None:
            return True
        memset(least, 0, sizeof(least))
        memset(greatest, 0, sizeof(greatest))
        if threads == 1:
            finite[0] = qn_extremes(x, n, least, greatest)
        else:
            for t in prange(parts, num_threads=parts, schedule="static"):
                finite[t] = qn_extremes(x + cut(n, t, parts, 64), cut(n, t + 1, parts, 64) - cut(n, t, parts, 64),
                                        &least[t], &greatest[t])
            for t in range(1, parts):
                finite[0] = finite[0] and finite[t]
                least[0] = min(least[0], least[t])
                greatest[0] = max(greatest[0], greatest[t])
        if finite[0]:
            q[0] = choose(least[0], greatest[0], 127 if reduce_range else 255)
        return finite[0]

    cdef void multiply(self, const float *x, Py_ssize_t rows, float *out, Py_ssize_t out_stride, bint relu, Qparams q,
                       int threads) noexcept nogil:
        # x is quantized with q, if the weights are bytes; out_stride in floats
        cdef Py_ssize_t tasks
        cdef int t
        if self.halves is None:
            self.multiply_bytes(x, NULL, rows, out, out_stride, relu, q, threads)
            return
        tasks = (rows + HALF_ROWS - 1) // HALF_ROWS * self.halves.panels
        if threads == 1:
            self.halves.tasks(x, rows, 0, tasks, out, out_stride, relu)
        else:
            for t in prange(threads, num_threads=threads, schedule="static"):
                self.halves.tasks(x, rows, cut(tasks, t, threads, 1), cut(tasks, t + 1, threads, 1), out, out_stride, relu)

    cdef void multiply_bytes(self, const float *x, const uint8_t *ints, Py_ssize_t rows, float *out,
                             Py_ssize_t out_stride, bint relu, Qparams q, int threads) noexcept nogil:
        # by `ints` in place of x, unless NULL
        cdef Py_ssize_t stride = row_bytes(self.w, rows), blocks = row_blocks(self.w, rows, threads)
        cdef Py_ssize_t tasks = blocks * self.w.panels, i
        cdef int32_t *offset = self.columns.offset
        cdef const int32_t *sums = self.w.sums
        cdef const int32_t *zw = self.w.zw
        cdef float s = <float>q.scale
        cdef int32_t of_sum = QN_X_BIAS - q.zero_point, of_zero = qn_mul(<int32_t>self.w.k, q.zero_point)
        cdef qn_panel p
        cdef int t
        for i in range(self.w.width):
            offset[i] = qn_mul(of_sum, sums[i])
        for i in range(self.w.width):
            self.columns.m[i] = s * self.w.scale[i]
        if zw != NULL:
            for i in range(self.w.width):
                offset[i] = qn_add(offset[i], qn_mul(of_zero, zw[i]))
        p.zo = 0
        p.lo = relu
        p.x_offset = 0
        p.taps = 1
        p.k4 = stride // 4
        p.narrow = False
        if ints != NULL and stride != self.k:
            for i in range(rows):
                memcpy(self.x + i * stride, ints + i * self.k, self.k)
                memset(self.x + i * stride + self.k, 0, stride - self.k)
            ints = self.x
        elif ints == NULL:
            if threads == 1:
                self.quantize(x, 0, rows, stride, s, q.zero_point)
            else:
                for t in prange(threads, num_threads=threads, schedule="static"):
                    self.quantize(x, cut(rows, t, threads, 1), cut(rows, t + 1, threads, 1), stride, s, q.zero_point)
            ints = self.x
        if QN_NARROW:
            p.narrow = qn_is_narrow(ints, rows * stride)
        if threads == 1:
            row_tasks(self.w, self.columns, p, ints, stride, rows, blocks, 0, tasks, <uint8_t *>out, out_stride * 4)
        else:
            for t in prange(threads, num_threads=threads, schedule="static"):
                row_tasks(self.w, self.columns, p, ints, stride, rows, blocks, cut(tasks, t, threads, 1),
                          cut(tasks, t + 1, threads, 1), <uint8_t *>out, out_stride * 4)

    cdef void quantize(self, const float *x, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t stride, float scale,
                       int32_t zero_point) noexcept nogil:
        # the rule QT; rows get their missing bytes
        cdef Py_ssize_t k = self.k, r
        if stride == k:
            quantize_row(x + start * k, self.x + start * k, (stop - start) * k, scale, zero_point)
            return
        for r in range(start, stop):
            quantize_row(x + r * k, self.x + r * stride, k, scale, zero_point)
            memset(self.x + r * stride + k, 0, stride - k)
