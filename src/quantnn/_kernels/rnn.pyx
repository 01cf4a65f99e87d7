"""
Recurrent layers with dynamically quantized or float16 weights: one direction of a layer, or one cell, in a call.

Computes, with the products of dynamic.pyx, step by step over the rows that are still in the sequence,
    ih = x W_ih^T + b_ih                        once for all steps: their rows share one scale
    hh = h W_hh^T + b_hh                        at each step, over its rows
    LSTM     i, f, o = sigmoid(ih + hh), g = tanh(ih + hh);  c = f c + i g;  h = o tanh(c)
    GRU      r, z = sigmoid(ih + hh), n = tanh(ih + r hh);  h = (h - n) z + n
    RNN      h = tanh(ih + hh) or relu(ih + hh)
each operation rounded to float32.

Layout: the rows of a step lie together, the steps one behind the other: `sizes` are their numbers of rows, which never
grow. x (rows, I), ih (rows, G H), h and c (rows of the first step, H), out (rows, D H) from column `first` on.
Exactness: products as in dynamic.pyx; sigmoid and tanh of numerics.h are within 1.2e-7, and the same bits at every level.
Parallel: inside the products.
"""
from libc.stdint cimport int64_t
from numerics cimport qn_gru, qn_lstm, qn_sigmoids, qn_tanhs

include "dynamic.pxi"

cdef enum:
    LSTM = 0
    GRU = 1
    TANH = 2
    RELU = 3


def layer(int kind, w_ih, w_hh, bint halves, const float[:, ::1] x, const int64_t[::1] sizes, float[:, ::1] ih,
          float[:, ::1] h, float[:, ::1] c, float[:, ::1] out, Py_ssize_t first, bint reverse, bint reduce_range,
          int ih_threads, int hh_threads):
    """Leaves the last h and c in their arrays (c only of an LSTM). False if x or h is not finite, weights being bytes."""
    cdef Py_ssize_t rows = x.shape[0], steps = sizes.shape[0], n = h.shape[1], start, step, t, count, r
    cdef Product of_x = Product(w_ih, halves, rows), of_h = Product(w_hh, halves, h.shape[0])
    cdef bint finite = True
    cdef float *gates = NULL
    if rows == 0 or n == 0:
        return True
    gates = <float *>malloc(max(h.shape[0] * of_h.n, 1) * sizeof(float))
    if gates == NULL:
        raise MemoryError(f"cannot allocate the gates of {h.shape[0]} rows")
    with nogil:
        finite = of_x.run(&x[0, 0] if x.shape[1] > 0 else NULL, rows, &ih[0, 0], of_x.n, False, reduce_range, ih_threads)
        start = rows if reverse else 0
        for step in range(steps if finite else 0):
            t = steps - 1 - step if reverse else step
            count = sizes[t]
            if reverse:
                start -= count
            finite = of_h.run(&h[0, 0], count, gates, of_h.n, False, reduce_range, hh_threads)
            if not finite:
                break
            for r in range(count):
                cell(kind, gates + r * of_h.n, &ih[start + r, 0], &h[r, 0], &c[r, 0] if kind == LSTM else NULL, n)
                memcpy(&out[start + r, first], &h[r, 0], n * sizeof(float))
            if not reverse:
                start += count
    free(gates)
    return finite


cdef inline void cell(int kind, float *gates, const float *ih, float *h, float *c, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef float v
    if kind == LSTM:
        qn_sigmoids(gates, ih, 2 * n)
        qn_tanhs(gates + 2 * n, ih + 2 * n, n)
        qn_sigmoids(gates + 3 * n, ih + 3 * n, n)
        qn_lstm(gates, c, h, n)
    elif kind == GRU:
        qn_sigmoids(gates, ih, 2 * n)
        qn_gru(gates, gates + 2 * n, ih + 2 * n, h, n)
    elif kind == TANH:
        qn_tanhs(gates, ih, n)
        memcpy(h, gates, n * sizeof(float))
    else:
        for i in range(n):
            v = gates[i] + ih[i]
            h[i] = v if v > 0 else 0
