/* The compiled loop of crosses, as a Python module: checks of arrays, and the choice of a processor.

It is built as the loops of the scanners are (lmm/compiled/_kernels.c); crosses/hmm.py has its counterpart
in NumPy. It needs the vectors of GCC and Clang. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#ifndef __GNUC__
#error "vectors of C are needed; NumPy does the same without"
#endif

#if defined(__x86_64__)
#define BY_PROCESSOR 1
#endif

#define IN(name) name##_baseline
#define TARGET
#include "chains.h"
#undef IN
#undef TARGET

#ifdef BY_PROCESSOR
#define IN(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "chains.h"
#undef IN
#undef TARGET

#define IN(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#include "chains.h"
#undef IN
#undef TARGET
#endif

/* The loop of each set of instructions, the plainest first. */
static chains_function *const LOOPS[] = {
    chains_baseline,
#ifdef BY_PROCESSOR
    chains_avx2,
    chains_avx512,
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

static int known(int loops) {
    if (loops >= 0 && loops <= best())
        return 1;
    PyErr_Format(PyExc_ValueError, "loops %d: this processor has 0 to %d", loops, best());
    return 0;
}

/* A contiguous array of a dtype ('f', 'd', 'l' of 64 bits, 'B') and a number of elements. */
static int flat(PyObject *array, Py_buffer *out, const char *name, char kind, Py_ssize_t count,
                int writable) {
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array, out, flags) < 0)
        return -1;
    char found = out->format ? out->format[0] : 'B';
    Py_ssize_t size = kind == 'B' ? 1 : kind == 'f' ? 4 : 8;
    int same = found == kind || (kind == 'l' && found == 'q');
    if (same && out->itemsize == size && out->len == count * size)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has to have %zd elements of the format '%c'; it has %zd "
                 "bytes of '%s'", name, count, kind, out->len, out->format ? out->format : "B");
    PyBuffer_Release(out);
    return -1;
}

/* Whether all elements are at least `least` and below `end`. */
static int within(const Py_buffer *of, const char *name, int64_t least, int64_t end) {
    int is_byte = of->itemsize == 1;
    for (Py_ssize_t i = 0; i < of->len / of->itemsize; i++) {
        int64_t value = is_byte ? ((const uint8_t *)of->buf)[i] : ((const int64_t *)of->buf)[i];
        if (value < least || value >= end) {
            PyErr_Format(PyExc_ValueError, "%s[%zd] is %lld; it has to be below %lld", name, i,
                         (long long)value, (long long)end);
            return 0;
        }
    }
    return 1;
}

PyDoc_STRVAR(chains_doc,
             "chains(arrays, sizes, loops)\n--\n\n"
             "Write the posterior of chains along a chromosome into the last but three of `arrays`.");

static PyObject *chains(PyObject *self, PyObject *args) {
    enum { STAY, WHICH, WEIGHTS, START, TABLE, EXPECTED, MARKER, CALLS, PLACES, COLUMNS, OUT, BEFORE,
           SCALES, VECTORS_OF, ARRAYS };
    static const char *names[] = {"stay", "which", "weights", "start", "table", "expected", "marker",
                                  "calls", "places", "columns", "out", "before", "scales",
                                  "vectors"};
    static const char kinds[] = "dldddBlBllffdd";
    PyObject *of[ARRAYS];
    Py_buffer b[ARRAYS];
    chains_arguments c;
    int loops, count = 0, fine = 0;
    if (!PyArg_ParseTuple(args, "(OOOOOOOOOOOOOO)(nnnnnnnnni)i", &of[0], &of[1], &of[2], &of[3],
                          &of[4], &of[5], &of[6], &of[7], &of[8], &of[9], &of[10], &of[11], &of[12],
                          &of[13], &c.positions, &c.individuals, &c.states, &c.founders, &c.kinds,
                          &c.markers, &c.people, &c.labels, &c.often, &c.haplotypes, &loops) ||
        !known(loops))
        return NULL;
    Py_ssize_t pairs = c.founders * (c.founders + 1) / 2;
    if (c.positions < 1 || c.individuals < 0 || c.kinds < 1 || c.often < 1 || c.founders < 1 ||
        c.founders > MOST_FOUNDERS || c.haplotypes < 1 || c.haplotypes > 2 ||
        c.states != (c.haplotypes == 2 ? pairs : c.founders)) {
        PyErr_SetString(PyExc_ValueError, "the sizes of chains do not belong together");
        return NULL;
    }
    const Py_ssize_t counts[] = {
        (c.positions - 1) * c.kinds, c.individuals, c.founders, c.states, 6 * TOLD,
        c.markers * c.states, c.positions, c.markers * c.individuals, c.individuals, c.states,
        c.positions * c.people * c.labels, c.positions * BLOCKS * c.states * LANES,
        c.positions * BLOCKS * LANES, BLOCKS * c.states * LANES,
    };
    while (count < ARRAYS &&
           flat(of[count], &b[count], names[count], kinds[count], counts[count], count >= OUT) == 0)
        count++;
    if (count == ARRAYS && within(&b[WHICH], "which", 0, c.kinds) &&
        within(&b[EXPECTED], "expected", 0, TOLD) && within(&b[MARKER], "marker", -1, c.markers) &&
        within(&b[CALLS], "calls", 0, 6) && within(&b[PLACES], "places", 0, c.people) &&
        within(&b[COLUMNS], "columns", 0, c.labels)) {
        c.stay = b[STAY].buf;
        c.which = b[WHICH].buf;
        c.weights = b[WEIGHTS].buf;
        c.start = b[START].buf;
        c.table = b[TABLE].buf;
        c.expected = b[EXPECTED].buf;
        c.marker = b[MARKER].buf;
        c.calls = b[CALLS].buf;
        c.places = b[PLACES].buf;
        c.columns = b[COLUMNS].buf;
        c.out = b[OUT].buf;
        c.before = b[BEFORE].buf;
        c.scales = b[SCALES].buf;
        c.vectors = b[VECTORS_OF].buf;
        c.in_order = 1;
        for (Py_ssize_t s = 1; s < c.states; s++)
            c.in_order &= c.columns[s] == c.columns[0] + s;
        Py_BEGIN_ALLOW_THREADS
        LOOPS[loops](&c);
        Py_END_ALLOW_THREADS
        fine = 1;
    }
    while (count--)
        PyBuffer_Release(&b[count]);
    if (!fine)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(best_doc, "best()\n--\n\nThe last set of loops that this processor can run, from 0.");

static PyObject *best_of(PyObject *self, PyObject *nothing) { return PyLong_FromLong(best()); }

static PyMethodDef METHODS[] = {
    {"best", best_of, METH_NOARGS, best_doc},
    {"chains", chains, METH_VARARGS, chains_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_chains", "The compiled loop of crosses.", 0, METHODS, SLOTS,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__chains(void) { return PyModuleDef_Init(&MODULE); }
