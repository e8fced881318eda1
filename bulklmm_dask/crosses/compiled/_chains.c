/* The compiled loop of crosses (`chains.h`), as a Python module.

crosses/hmm.py has its counterpart in NumPy. It needs the vectors of GCC and Clang. */

#include "module.h"

#ifndef __GNUC__
#error "vectors of C are needed; NumPy does the same without"
#endif

#define LOOPS_HEADER "chains.h"
#include "processors.h"

#define ROW(set) chains_##set

/* The loop of each set of instructions, the plainest first. */
static chains_function *const LOOPS[] = {EACH_SET(ROW)};

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
    static const char *kinds[] = {"d", "l", "d", "d", "d", "B", "l", "B", "l", "l", "f", "f", "d", "d"};
    PyObject *of[ARRAYS];
    struct taken taken = {.count = 0};
    const Py_buffer *b = taken.of;
    chains_arguments c;
    int loops, k = 0;
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
    Py_ssize_t counts[] = {
        (c.positions - 1) * c.kinds, c.individuals, c.founders, c.states, 6 * TOLD,
        c.markers * c.states, c.positions, c.markers * c.individuals, c.individuals, c.states,
        c.positions * c.people * c.labels, c.positions * BLOCKS * c.states * LANES,
        c.positions * BLOCKS * LANES, BLOCKS * c.states * LANES,
    };
    while (k < ARRAYS && take(&taken, of[k], names[k], kinds[k], k >= OUT, &counts[k]))
        k++;
    if (k == ARRAYS && within(&b[WHICH], "which", 0, c.kinds) &&
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
    }
    return give_back(&taken);
}

static PyMethodDef METHODS[] = {
    BEST_METHOD,
    {"chains", chains, METH_VARARGS, chains_doc},
    {NULL, NULL, 0, NULL},
};

DEFINE_MODULE(_chains, "The compiled loop of crosses.", METHODS)
