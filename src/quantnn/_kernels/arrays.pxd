# Where the elements of a kernel's arrays lie (see arrays.h), and memory of its own.
from libc.stdlib cimport malloc

cdef extern from "arrays.h":
    enum:
        QN_UINT8
        QN_INT8
        QN_INT32
    void *qn_read(object array, Py_ssize_t size, int ndim, Py_ssize_t *shape) except? NULL
    void *qn_write(object array, Py_ssize_t size, int ndim, Py_ssize_t *shape) except? NULL
    void *qn_read_strided(object array, Py_ssize_t size, int ndim, Py_ssize_t *shape, Py_ssize_t *strides) except? NULL
    int qn_type(object array) except -1
    Py_ssize_t qn_size(int type) noexcept

# `size` bytes for an operator, to be freed.
cdef inline void *allocated(str op, size_t size) except NULL:
    cdef void *block = malloc(size if size else 1)
    if block == NULL:
        raise MemoryError(f"{op}: cannot allocate {size} bytes")
    return block
