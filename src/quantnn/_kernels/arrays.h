/* The arrays that a kernel is given: where their elements lie.
 *
 * A kernel asks for a pointer, by the size of an element in bytes, and for the shape where it needs it. Every array is
 * C-contiguous but where strides are asked for. The buffer is given back at once: an array neither moves nor goes while
 * it is an argument of a call. A typed memoryview would cost a tenth of a microsecond for each array, which is half of a
 * small operator's time, and a third of the module's size.
 */
#ifndef QN_ARRAYS_H
#define QN_ARRAYS_H

#include <Python.h>
#include <string.h>

enum { QN_UINT8, QN_INT8, QN_INT32 };

static void *qn_array(PyObject *array, Py_ssize_t size, int ndim, Py_ssize_t *shape, Py_ssize_t *strides, int flags) {
    Py_buffer view;
    if (array == Py_None) return NULL; /* an operand that may be missing; no error is set */
    if (PyObject_GetBuffer(array, &view, flags) < 0) return NULL;
    void *data = view.buf;
    if (view.itemsize != size || (ndim && view.ndim != ndim)) {
        PyErr_Format(PyExc_ValueError, "a kernel takes %d dimensions (0: any) of %zd bytes; got %d of %zd", ndim, size,
                     view.ndim, view.itemsize);
        data = NULL;
    } else if (shape) {
        if (!ndim) *shape = view.len / size;
        for (int i = 0; i < ndim; i++) {
            shape[i] = view.shape[i];
            if (strides) strides[i] = view.strides[i];
        }
    }
    PyBuffer_Release(&view);
    return data;
}

/* The elements of an array, NULL for None. shape, if not NULL, gets the ndim lengths, or with ndim = 0, which takes every
   shape, their product. */
static void *qn_read(PyObject *array, Py_ssize_t size, int ndim, Py_ssize_t *shape) {
    return qn_array(array, size, ndim, shape, NULL, PyBUF_ND);
}

/* The same, of an array that is written to. */
static void *qn_write(PyObject *array, Py_ssize_t size, int ndim, Py_ssize_t *shape) {
    return qn_array(array, size, ndim, shape, NULL, PyBUF_ND | PyBUF_WRITABLE);
}

/* The same, of an array with any distances between elements: strides gets them, in bytes. */
static void *qn_read_strided(PyObject *array, Py_ssize_t size, int ndim, Py_ssize_t *shape, Py_ssize_t *strides) {
    return qn_array(array, size, ndim, shape, strides, PyBUF_STRIDES);
}

/* Which integers of a QTensor an array holds; -1 with an error set if others. */
static int qn_type(PyObject *array) {
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, PyBUF_ND | PyBUF_FORMAT) < 0) return -1;
    char format = view.itemsize == 4 && strchr("il", view.format[0]) ? 'i' : view.format[0];
    PyBuffer_Release(&view);
    if (format == 'B') return QN_UINT8;
    if (format == 'b') return QN_INT8;
    if (format == 'i') return QN_INT32;
    PyErr_Format(PyExc_TypeError, "a kernel takes uint8, int8 or int32; got the format %c", format);
    return -1;
}

/* The bytes of an element of such a type. */
static inline Py_ssize_t qn_size(int type) { return type == QN_INT32 ? 4 : 1; }
#endif
