/* Compiled loops of the scanners, as a Python module: checks of arrays, and the choice of a processor.

The loops are in the headers of this folder. They are compiled once for each set of instructions, and
one of these is taken at run time. What they compute, and to which error, is said where NumPy does the
same: every loop has a counterpart in NumPy, which is used where this module is not built.

Arrays come as buffers: no header of NumPy is needed, and one build serves all versions of Python from
3.11 on. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define RESTRICT __restrict__
#else
#define RESTRICT __restrict
#endif

/* Cells that are computed together: a fixed number, so that compilers make vectors of all of them, and
   no cell is computed in another way than its neighbours. */
#define WIDTH 64

#if defined(__x86_64__) && defined(__GNUC__)
#define BY_PROCESSOR 1
#endif

#define IN(name) name##_baseline
#define TARGET
#include "lods.h"
#undef IN
#undef TARGET

#ifdef BY_PROCESSOR
#define IN(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "lods.h"
#undef IN
#undef TARGET

#define IN(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#include "lods.h"
#undef IN
#undef TARGET
#endif

/* The loops of each set of instructions, the plainest first. */
static const struct {
    lods_of_doubles *of_doubles;
    lods_of_floats *of_floats;
} LOOPS[] = {
    {lods_of_doubles_baseline, lods_of_floats_baseline},
#ifdef BY_PROCESSOR
    {lods_of_doubles_avx2, lods_of_floats_avx2},
    {lods_of_doubles_avx512, lods_of_floats_avx512},
#endif
};

/* Position in LOOPS of the last set of instructions that this processor has. */
static int best(void) {
#ifdef BY_PROCESSOR
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
            return 2;
        return 1;
    }
#endif
    return 0;
}

/* An array of two axes of a dtype ('f', 'd' or 'l' of 64 bits), whose rows are contiguous. */
static int view(PyObject *array, Py_buffer *out, const char *name, const char *kinds, int writable) {
    int flags = PyBUF_STRIDES | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array, out, flags) < 0)
        return -1;
    char kind = out->format ? out->format[0] : 'B';
    Py_ssize_t size = kind == 'f' ? 4 : 8;
    if (strchr(kinds, kind) && (!out->format || !out->format[1]) && out->itemsize == size &&
        out->ndim == 2 && (out->shape[1] < 2 || out->strides[1] == size))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s has to have 2 axes, contiguous rows and a format in '%s'; it "
                 "has %d axes and the format '%s'", name, kinds, out->ndim,
                 out->format ? out->format : "B");
    PyBuffer_Release(out);
    return -1;
}

/* Views of several arrays, all of one shape. */
static int views(int count, PyObject **arrays, Py_buffer *out, const char **names,
                 const char **kinds, const int *writable) {
    for (int i = 0; i < count; i++) {
        int failed = view(arrays[i], &out[i], names[i], kinds[i], writable[i]);
        if (!failed && (out[i].shape[0] != out[0].shape[0] || out[i].shape[1] != out[0].shape[1])) {
            PyErr_Format(PyExc_ValueError, "%s has the shape (%zd, %zd), %s (%zd, %zd)", names[i],
                         out[i].shape[0], out[i].shape[1], names[0], out[0].shape[0],
                         out[0].shape[1]);
            PyBuffer_Release(&out[i]);
            failed = 1;
        }
        if (failed) {
            while (i--)
                PyBuffer_Release(&out[i]);
            return -1;
        }
    }
    return 0;
}

static int known(int loops) {
    if (loops >= 0 && loops <= best())
        return 1;
    PyErr_Format(PyExc_ValueError, "loops %d: this processor has 0 to %d", loops, best());
    return 0;
}

PyDoc_STRVAR(lods_doc, "lods(score, inverse, out, again, limit, scale, loops)\n--\n\n"
             "Write LODs of a tile into `out`; count the pairs with r2 > limit, listed in `again`.");

static PyObject *lods(PyObject *self, PyObject *args) {
    PyObject *arrays[4];
    double limit, scale;
    int loops;
    if (!PyArg_ParseTuple(args, "OOOOddi", &arrays[0], &arrays[1], &arrays[2], &arrays[3], &limit,
                          &scale, &loops) || !known(loops))
        return NULL;
    static const char *names[] = {"score", "inverse", "out"};
    static const char *kinds[] = {"df", "d", "f"};
    static const int writable[] = {0, 0, 1};
    Py_buffer of[3], again;
    if (views(3, arrays, of, names, kinds, writable) < 0)
        return NULL;
    Py_ssize_t found = -1;
    if (view(arrays[3], &again, "again", "lq", 1) == 0) {
        if (again.shape[0] != 1 || again.shape[1] < of[0].shape[0] * of[0].shape[1])
            PyErr_SetString(PyExc_ValueError, "again has to have a row with room for every pair");
        else {
            int is_double = of[0].format[0] == 'd';
            Py_BEGIN_ALLOW_THREADS
            found = (is_double ? LOOPS[loops].of_doubles : LOOPS[loops].of_floats)(
                of[0].buf, of[0].strides[0], of[1].buf, of[1].strides[0], of[2].buf,
                of[2].strides[0], of[0].shape[0], of[0].shape[1], again.buf, (float)limit,
                (float)scale);
            Py_END_ALLOW_THREADS
        }
        PyBuffer_Release(&again);
    }
    for (int i = 0; i < 3; i++)
        PyBuffer_Release(&of[i]);
    return found < 0 ? NULL : PyLong_FromSsize_t(found);
}

PyDoc_STRVAR(best_doc, "best()\n--\n\nThe last set of loops that this processor can run, from 0.");

static PyObject *best_of(PyObject *self, PyObject *nothing) { return PyLong_FromLong(best()); }

static PyMethodDef METHODS[] = {
    {"best", best_of, METH_NOARGS, best_doc},
    {"lods", lods, METH_VARARGS, lods_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_kernels", "Compiled loops of the scanners.", 0, METHODS, SLOTS,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&MODULE); }
