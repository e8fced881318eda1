/* Loops compiled for several sets of instructions, one of which is taken at run time.

Included after `module.h`, with LOOPS_HEADER, the header of the loops. It is included once for each
set, with TARGET, the attribute of its functions, and IN for their names. Sets have numbers, the
plainest 0. */

#if defined(__x86_64__) && defined(__GNUC__)
#define BY_PROCESSOR 1
#endif

#define IN(name) name##_baseline
#define TARGET
#include LOOPS_HEADER
#undef IN
#undef TARGET

#ifdef BY_PROCESSOR
#define IN(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#include LOOPS_HEADER
#undef IN
#undef TARGET

#define IN(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#include LOOPS_HEADER
#undef IN
#undef TARGET

/* The rows of a table of loops, one for each set. */
#define EACH_SET(ROW) ROW(baseline), ROW(avx2), ROW(avx512)
#else
#define EACH_SET(ROW) ROW(baseline)
#endif

/* Number of the last set of instructions that this processor has. */
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

/* Whether this processor has a set; an exception if not. */
static int known(int loops) {
    if (loops >= 0 && loops <= best())
        return 1;
    PyErr_Format(PyExc_ValueError, "loops %d: this processor has 0 to %d", loops, best());
    return 0;
}

static PyObject *best_of(PyObject *self, PyObject *nothing) { return PyLong_FromLong(best()); }

/* The method of a module that says which sets there are (`_compiled.choices`). */
#define BEST_METHOD                                                                                  \
    {"best", best_of, METH_NOARGS,                                                                   \
     PyDoc_STR("best()\n--\n\nThe last set of loops that this processor can run, from 0.")}
