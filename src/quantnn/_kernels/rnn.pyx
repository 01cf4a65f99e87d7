"""
Recurrent layers with dynamically quantized or float16 weights: one direction of a layer, or one cell, in a call.

Computes, with the products of dynamic.pyx, step by step over the rows that are still in the sequence,
    ih = x W_ih^T + b_ih                        all steps share one scale; as many at once as have room in the cache
    hh = h W_hh^T + b_hh                        at each step, over its rows
    LSTM     i, f, o = sigmoid(ih + hh), g = tanh(ih + hh);  c = f c + i g;  h = o tanh(c)
    GRU      r, z = sigmoid(ih + hh), n = tanh(ih + r hh);  h = (h - n) z + n
    RNN      h = tanh(ih + hh) or relu(ih + hh)
each operation rounded to float32.

Layout: the rows of a step lie together, the steps one behind the other: `sizes` are their numbers of rows, which never
grow. x (rows, I), h and c (rows of the first step, H), out (rows, D H) from column `first` on.
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


def layer(int kind, w_ih, w_hh, bint halves, x, sizes, ih, h, c, out, Py_ssize_t first, bint reverse,
          bint reduce_range, int ih_threads, int hh_threads, /):
    """Leaves the last h and c in their arrays (c only of an LSTM). False if x or h is not finite, weights being bytes.

    ih is room for the products of some steps, at least of one.
    """
    cdef Py_ssize_t x_shape[2]
    cdef Py_ssize_t h_shape[2]
    cdef Py_ssize_t ih_shape[2]
    cdef Py_ssize_t out_shape[2]
    cdef const float *inputs = <const float *>qn_read(x, 4, 2, x_shape)
    cdef float *products = <float *>qn_write(ih, 4, 2, ih_shape)
    cdef float *hidden = <float *>qn_write(h, 4, 2, h_shape)
    cdef float *cells = <float *>qn_write(c, 4, 0, NULL)
    cdef float *outputs = <float *>qn_write(out, 4, 2, out_shape)
    cdef Py_ssize_t steps
    cdef const int64_t *count_of = <const int64_t *>qn_read(sizes, 8, 1, &steps)
    cdef Py_ssize_t rows = x_shape[0], n = h_shape[1], room = ih_shape[0], done = 0, ready = 0
    cdef Py_ssize_t count, start, ih_start = 0, r, t
    cdef Product of_x = Product(w_ih, halves, room), of_h = Product(w_hh, halves, h_shape[0])
    cdef bint finite
    cdef Qparams qx, qh
    cdef float *gates = NULL
    if rows == 0 or n == 0:
        return True
    gates = <float *>malloc(h_shape[0] * of_h.n * sizeof(float))
    if gates == NULL:
        raise MemoryError(f"cannot allocate the gates of {h_shape[0]} rows")
    with nogil:
        finite = of_x.find(inputs, rows, reduce_range, &qx, ih_threads)
        for t in range(steps if finite else 0):
            # rows of x that are done, and those whose products are ready; in reverse they are counted from the end
            count = count_of[steps - 1 - t if reverse else t]
            if done == ready:
                r = t
                while r < steps and ready + count_of[steps - 1 - r if reverse else r] <= done + room:
                    ready += count_of[steps - 1 - r if reverse else r]
                    r += 1
                ih_start = rows - ready if reverse else done
                of_x.multiply(inputs + ih_start * of_x.k, ready - done, products, of_x.n, False, qx, ih_threads)
            finite = of_h.find(hidden, count, reduce_range, &qh, hh_threads)
            if not finite:
                break
            of_h.multiply(hidden, count, gates, of_h.n, False, qh, hh_threads)
            start = rows - done - count if reverse else done
            for r in range(count):
                cell(kind, gates + r * of_h.n, products + (start - ih_start + r) * of_x.n, hidden + r * n,
                     cells + r * n, n)
                memcpy(outputs + (start + r) * out_shape[1] + first, hidden + r * n, n * sizeof(float))
            done += count
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
