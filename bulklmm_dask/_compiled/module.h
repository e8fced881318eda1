/* What the compiled modules share: the interface of Python, views of arrays, and their definition.

Arrays come as buffers: no header of NumPy is needed, and one build serves all versions of Python from
3.11 on. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Arrays of a call: their buffers, and how many were taken. */
#define MOST_ARRAYS 14
struct taken {
    Py_buffer of[MOST_ARRAYS];
    int count;
};

/* Whether the items of a buffer are of one of these kinds: 'f' float, 'd' double, 'i' int32_t,
   'I' uint32_t, 'l' int64_t, '?' bool, 'B' byte. C's int and long have either size, so Python has
   several formats for an integer. */
static inline int has_kind(const Py_buffer *of, const char *kinds) {
    const char *format = of->format ? of->format : "B";
    if (!format[0] || format[1])
        return 0;
    for (; *kinds; kinds++) {
        const char *formats = *kinds == 'l' ? "lq" : *kinds == 'i' ? "il" : *kinds == 'I' ? "IL" : "";
        Py_ssize_t size = *kinds == 'l' || *kinds == 'd' ? 8 : *kinds == '?' || *kinds == 'B' ? 1 : 4;
        if (of->itemsize == size && (format[0] == *kinds || strchr(formats, format[0])))
            return 1;
    }
    return 0;
}

/* Take the buffer of an array; NULL with an exception if it has none, or one that has to be written
   and cannot be. `layout`: PyBUF_STRIDES or PyBUF_C_CONTIGUOUS. */
static inline Py_buffer *take_buffer(struct taken *taken, PyObject *array, int layout, int writable) {
    Py_buffer *of = &taken->of[taken->count];
    if (PyObject_GetBuffer(array, of, layout | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) < 0)
        return NULL;
    taken->count++;
    return of;
}

/* An array of so many axes, the last of them contiguous. */
static inline Py_buffer *take_rows(struct taken *taken, PyObject *array, const char *name, int axes,
                                   const char *kinds, int writable) {
    Py_buffer *of = take_buffer(taken, array, PyBUF_STRIDES, writable);
    if (!of || (of->ndim == axes && has_kind(of, kinds) &&
                (of->shape[axes - 1] < 2 || of->strides[axes - 1] == of->itemsize)))
        return of;
    PyErr_Format(PyExc_TypeError, "%s has to have %d axes, the last one contiguous, and a format in "
                 "'%s'; it has %d and the format '%s'", name, axes, kinds, of->ndim,
                 of->format ? of->format : "B");
    return NULL;
}

/* Contiguous memory of so many numbers; `count` < 0 for any, which it then is. */
static inline void *take(struct taken *taken, PyObject *array, const char *name, const char *kinds,
                         int writable, Py_ssize_t *count) {
    Py_buffer *of = take_buffer(taken, array, PyBUF_C_CONTIGUOUS, writable);
    if (!of)
        return NULL;
    Py_ssize_t size = of->len / of->itemsize;
    if (has_kind(of, kinds) && (*count < 0 || *count == size)) {
        *count = size;
        return of->buf;
    }
    PyErr_Format(PyExc_ValueError, "%s has to be %zd numbers of a format in '%s'; it is %zd of '%s'",
                 name, *count, kinds, size, of->format ? of->format : "B");
    return NULL;
}

static inline void release(struct taken *taken) {
    while (taken->count)
        PyBuffer_Release(&taken->of[--taken->count]);
}

/* Release the arrays; None, or NULL after an exception. */
static inline PyObject *give_back(struct taken *taken) {
    release(taken);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* Define the module of a name, a docstring and methods. */
#define DEFINE_MODULE(name, doc, methods)                                                            \
    static PyModuleDef_Slot SLOTS[] = {{0, NULL}};                                                   \
    static struct PyModuleDef MODULE = {                                                             \
        PyModuleDef_HEAD_INIT, #name, doc, 0, methods, SLOTS, NULL, NULL, NULL,                      \
    };                                                                                               \
    PyMODINIT_FUNC PyInit_##name(void) { return PyModuleDef_Init(&MODULE); }
