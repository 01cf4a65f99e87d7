"""Outputs: their memory, and the QTensor around it. Compiled for the lowest level.

Memory is kept for the next output when nothing refers to it any more. The cache is in _kernels/buffers.h. Its memory is
aligned to cache lines, which a vector of that size should not cross.
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

cdef extern from *:
    """
    #include <structmember.h>
    /* A Python class's slot is a pointer in its objects, whose place its descriptor knows. */
    static Py_ssize_t qn_place(PyObject *descriptor)
    {
        return ((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    static PyObject *qn_object(PyObject *type) { return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0); }
    static void qn_set(PyObject *object, Py_ssize_t place, PyObject *value)
    {
        *(PyObject **)((char *)object + place) = Py_NewRef(value);
    }
    """
    Py_ssize_t qn_place(object descriptor)
    object qn_object(object type)
    void qn_set(object object, Py_ssize_t place, object value)

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


cdef object tensor, scheme
cdef Py_ssize_t block_, form_, array_, shape_, dtype_, scale_, zero_point_, qscheme_, axis_


def formed_as(cls, qscheme):
    """Tell `formed` the class to make objects of, and its scheme."""
    global tensor, scheme, block_, form_, array_, shape_, dtype_, scale_, zero_point_, qscheme_, axis_
    tensor, scheme = cls, qscheme
    block_, form_, array_, shape_ = map(qn_place, (cls._block, cls._form, cls._array, cls._shape))
    dtype_, scale_, zero_point_ = map(qn_place, (cls._dtype, cls._scale, cls._zero_point))
    qscheme_, axis_ = map(qn_place, (cls._qscheme, cls._axis))


def formed(block, form, scale, zero_point, /):
    """The QTensor that an operator makes: a block of memory, whose elements have a form, with checked parameters.

    Python's own way of making an object and setting nine slots takes three times as long.
    """
    x = qn_object(tensor)
    qn_set(x, block_, block)
    qn_set(x, form_, form)
    qn_set(x, array_, None)
    qn_set(x, shape_, None)
    qn_set(x, dtype_, form.dtype)
    qn_set(x, scale_, scale)
    qn_set(x, zero_point_, zero_point)
    qn_set(x, qscheme_, scheme)
    qn_set(x, axis_, 0)
    return x
