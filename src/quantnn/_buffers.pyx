"""Memory for outputs, kept for the next one when nothing refers to it any more. Compiled for the lowest level.

The cache is in _kernels/buffers.h. Its memory is aligned to cache lines, which a vector of that size should not cross.
"""
cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.long cimport PyLong_AsDouble
from libc.stdint cimport int64_t

import numpy as np

cdef extern from "buffers.h" nogil:
    enum:
        QN_LEAST
        QN_MOST
        QN_ALIGN
    int64_t qn_cached
    int64_t qn_peek(int64_t *p) noexcept
    void *qn_take(size_t n) noexcept
    void qn_give(void *block, size_t n) noexcept

cdef object new = np.empty, array = np.ndarray
cdef dict sizes = {t: np.dtype(t).itemsize for t in (np.uint8, np.int8, np.int32, np.int64, np.float32)}
sizes |= {np.dtype(t): size for t, size in sizes.items()}


@cython.final
@cython.no_gc
cdef class Buffer:
    """A block that goes back to the cache with the last array that shows it."""
    cdef void *block
    cdef size_t size

    def __cinit__(self, size_t size):
        self.block = qn_take(size)
        if self.block == NULL:
            raise MemoryError
        self.size = size

    def __dealloc__(self):
        if self.block != NULL:
            qn_give(self.block, self.size)

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef size_t start = (<size_t>self.block + QN_ALIGN - 1) // QN_ALIGN * QN_ALIGN
        PyBuffer_FillInfo(view, self, <void *>start, <Py_ssize_t>self.size, 0, flags)


def empty(shape, dtype):
    """A new C-contiguous array with any values: `numpy.empty`, for outputs, of a dtype in `sizes`.

    From 32 KB to 32 MB its memory is aligned to 64 bytes and comes from the cache.
    """
    cdef double size = 1.0  # large shapes don't overflow it
    for n in shape:
        size *= PyLong_AsDouble(n)
    size *= <Py_ssize_t>sizes[dtype]
    if QN_LEAST <= size <= QN_MOST:
        return array(shape, dtype, Buffer(<size_t>size))
    return new(shape, dtype)


def cached():
    """The bytes that wait in the cache: at most 64 MB."""
    return qn_peek(&qn_cached)
