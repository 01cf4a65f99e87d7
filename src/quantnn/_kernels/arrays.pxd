# Where the elements of a kernel's arrays lie; see arrays.h.
cdef extern from "arrays.h":
    enum:
        QN_UINT8
        QN_INT8
        QN_INT32
    void *qn_read(object array, Py_ssize_t size, int ndim, Py_ssize_t *shape) except? NULL
    void *qn_write(object array, Py_ssize_t size, int ndim, Py_ssize_t *shape) except? NULL
    void *qn_read_strided(object array, Py_ssize_t size, int ndim, Py_ssize_t *shape, Py_ssize_t *strides) except? NULL
    int qn_type(object array) except -1
