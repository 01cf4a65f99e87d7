# Rows of bytes by packed weights of one tap, as linear.pyx and dynamic.pxi include it.

include "panels.pxi"

# Rows that go through all panels before the next rows do: their bytes stay in the second-level cache.
cdef enum:
    ROWS = 192


cdef inline Py_ssize_t row_blocks(Packed w, Py_ssize_t rows, int threads) noexcept nogil:
    # into how many blocks the rows are cut
    cdef Py_ssize_t blocks = (rows + ROWS - 1) // ROWS
    if threads > 1 and blocks * w.panels < 4 * threads:
        blocks = min((rows + 23) // 24, (4 * threads + w.panels - 1) // w.panels)
    return blocks


cdef inline Py_ssize_t row_bytes(Packed w, Py_ssize_t rows) noexcept nogil:
    # how many bytes of each row are read
    return qn_padded(w.c) if rows >= QN_FEW_ROWS else (w.c + 3) // 4 * 4


cdef void row_tasks(Packed w, Columns c, qn_panel p, const uint8_t *x, Py_ssize_t stride, Py_ssize_t rows,
                    Py_ssize_t blocks, Py_ssize_t start, Py_ssize_t stop, uint8_t *out,
                    Py_ssize_t out_stride) noexcept nogil:
    # task = block of rows * panels + panel
    cdef Py_ssize_t panels = w.panels, task = start, panel, block, first, nv, m0, m1, r, j, ready = -1
    cdef uint8_t *to
    cdef const uint8_t *pointers[ROWS]
    cdef int32_t sums[ROWS]
    cdef qn_work work
    qn_begin(&work)
    while task < stop:
        block = task // panels
        panel = task % panels
        first = w.first_vector(panel)
        nv = w.first_vector(panel + 1) - first
        w.panel(c, 0, first, nv, &p)
        m0 = rows * block // blocks
        m1 = rows * (block + 1) // blocks
        if block != ready:
            ready = block
            if p.zw != NULL:
                qn_flush(&work)
            for r in range(m1 - m0):
                pointers[r] = x + (m0 + r) * stride
                if p.zw != NULL:
                    sums[r] = 0
                    for j in range(w.c):
                        sums[r] += pointers[r][j]
        to = out + m0 * out_stride + first * QN_LANES * QN_RESULT
        task += 1
        if (QN_PAIRS and m1 - m0 == 1 and nv == QN_NV and panel + 1 < panels and task < stop
                and w.first_vector(panel + 2) == first + 2 * nv):
            w.panel(c, 0, first, 2 * nv, &p)
            qn_pair(&p, pointers[0], w.bytes_of(nv), sums, to)
            task += 1
        else:
            qn_tiles(&work, <int>nv, m1 - m0, &p, pointers, 0, stride, m1 - m0, 0, sums, to, out_stride)
    qn_end(&work)
