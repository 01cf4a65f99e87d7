"""
The float middle of quantized attention, for each head of each sequence.

Computes
    x = DS(q), y = DS(k), z = DS(v)
    s_ij = (the chain fma(x_ic, y_jc, .) over c, from 0) + mask_ij + padding_j
    w_ij = exp(s_ij - max_j s) / sum_j of these                              float64, rounded once
    o_ic = the chain fma(w_ij, z_jc, .) over j, from 0
    Where a chain has more than 384 links it is cut into the fewest equal parts; the sums of the parts, in order.

Layout: q (L, heads, D), k and v (S, heads, D) as bytes, where `heads` counts those of all sequences; mask (1 or heads,
L, S) and padding (sequences, S) or empty; w (heads, L, S); o (L, heads, D).
Exactness: the same bits at every level. torch's float32 sums and exponentials may differ in the last bits.
Parallel: over heads.
"""
from cython.parallel cimport prange
from libc.math cimport exp
from numerics cimport cut, int32_t, qn_ds, qn_fma, uint8_t

cdef enum:
    CHAIN = 384


def scratch(Py_ssize_t s, Py_ssize_t d):
    """The floats that each thread needs for S positions of D channels."""
    return 2 * s * d + 2 * (s if s > d else d) + d + 2 * s + 1


def attention(const uint8_t[:, :, :] q, const uint8_t[:, :, :] k, const uint8_t[:, :, :] v, double sq, int32_t zq,
              double sk, int32_t zk, double sv, int32_t zv, const float[:, :, ::1] mask, const float[:, ::1] padding,
              float[:, :, ::1] w, float[:, :, ::1] out, float[:, ::1] scratch, int threads):
    cdef Py_ssize_t heads = q.shape[1]
    cdef int t
    if threads == 1:
        with nogil:
            _heads(q, k, v, <float>sq, zq, <float>sk, zk, <float>sv, zv, mask, padding, w, out, &scratch[0, 0], 0, heads)
    else:
        for t in prange(threads, num_threads=threads, nogil=True, schedule="static"):
            _heads(q, k, v, <float>sq, zq, <float>sk, zk, <float>sv, zv, mask, padding, w, out, &scratch[t, 0],
                   cut(heads, t, threads, 1), cut(heads, t + 1, threads, 1))


cdef void _heads(const uint8_t[:, :, :] q, const uint8_t[:, :, :] k, const uint8_t[:, :, :] v, float sq, int32_t zq,
                 float sk, int32_t zk, float sv, int32_t zv, const float[:, :, ::1] mask, const float[:, ::1] padding,
                 float[:, :, ::1] w, float[:, :, ::1] out, float *scratch, Py_ssize_t start,
                 Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t size = q.shape[0], s = k.shape[0], d = q.shape[2], h, i, j, c, per
    cdef float *y = scratch  # (D, S)
    cdef float *z = y + s * d  # (S, D)
    cdef float *sums = z + s * d
    cdef float *part = sums + (s if s > d else d)
    cdef float *x = part + (s if s > d else d)
    cdef double *powers = <double *>((<size_t>(x + d) + 7) & ~<size_t>7)
    cdef const float *more
    if padding.shape[0]:
        per = q.shape[1] // padding.shape[0]
    for h in range(start, stop):
        for j in range(s):
            for c in range(d):
                y[c * s + j] = qn_ds(k[j, h, c], sk, zk)
                z[j * d + c] = qn_ds(v[j, h, c], sv, zv)
        for i in range(size):
            for c in range(d):
                x[c] = qn_ds(q[i, h, c], sq, zq)
            _product(x, d, y, s, sums, part)
            if mask.shape[0]:
                more = &mask[h if mask.shape[0] > 1 else 0, i, 0]
                for j in range(s):
                    sums[j] = sums[j] + more[j]
            if padding.shape[0]:
                more = &padding[h // per, 0]
                for j in range(s):
                    sums[j] = sums[j] + more[j]
            _softmax(sums, s, powers, &w[h, i, 0])
            _product(&w[h, i, 0], s, z, d, sums, part)
            for c in range(d):
                out[i, h, c] = sums[c]


cdef void _product(const float *x, Py_ssize_t n, const float *y, Py_ssize_t m, float *total,
                   float *part) noexcept nogil:
    # total (m) = x (n) times y (n, m)
    cdef Py_ssize_t parts = (n + CHAIN - 1) // CHAIN, size, i, j, p
    cdef const float *row
    size = (n + parts - 1) // parts
    for p in range(parts):
        for j in range(m):
            part[j] = 0
        for i in range(p * size, min((p + 1) * size, n)):
            row = y + i * m
            for j in range(m):
                part[j] = qn_fma(x[i], row[j], part[j])
        for j in range(m):
            total[j] = part[j] if p == 0 else total[j] + part[j]


cdef void _softmax(const float *x, Py_ssize_t n, double *powers, float *out) noexcept nogil:
    cdef Py_ssize_t j
    cdef float most = x[0]
    cdef double total = 0
    for j in range(1, n):
        most = x[j] if x[j] > most else most
    for j in range(n):
        powers[j] = exp(<double>x[j] - <double>most)
        total += powers[j]
    for j in range(n):
        out[j] = <float>(powers[j] / total)
