/* The compiled loops of the scanners, as a Python module.

The loops are in the headers of this folder. What they compute, and to which error, is said where NumPy
does the same: every loop has a counterpart in NumPy, which is used where this module is not built. */

#include "module.h"

#if defined(__GNUC__)
#define RESTRICT __restrict__
#else
#define RESTRICT __restrict
#endif

/* Cells that are computed together: a fixed number, so that compilers make vectors of all of them, and
   no cell is computed in another way than its neighbours. */
#define WIDTH 64

#define LOOPS_HEADER "all.h"
#include "processors.h"

#define ROW(set)                                                                                     \
    {lods_of_doubles_##set, lods_of_floats_##set, pair_derivatives_##set, pair_values_##set,         \
     volume_integrals_##set, find_peaks_##set, climb_full_##set, climb_restricted_##set,                \
     grid_of_doubles_##set, grid_of_floats_##set, fit_sums_##set, fit_slopes_##set,                 \
     project_out_##set}

/* The loops of each set of instructions, the plainest first. */
static const struct {
    lods_of_doubles *of_doubles;
    lods_of_floats *of_floats;
    pair_derivatives *derivatives;
    pair_values *values;
    volume_integrals *integrals;
    find_peaks *peaks;
    climb_tile *full, *restricted;
    grid_tile *grid_of_doubles, *grid_of_floats;
    fit_sums *sums;
    fit_slopes *slopes;
    project_out *project;
} LOOPS[] = {EACH_SET(ROW)};

/* Whether an array has the shape of the scores; an exception if not. */
static int same_shape(const Py_buffer *of, const char *name, const Py_buffer *score) {
    if (of->shape[0] == score->shape[0] && of->shape[1] == score->shape[1])
        return 1;
    PyErr_Format(PyExc_ValueError, "%s has the shape (%zd, %zd), score (%zd, %zd)", name,
                 of->shape[0], of->shape[1], score->shape[0], score->shape[1]);
    return 0;
}

PyDoc_STRVAR(lods_doc, "lods(score, inverse, out, again, limit, scale, loops)\n--\n\n"
             "Write LODs of a tile into `out`; count the pairs with r2 > limit, listed in `again`.");

static PyObject *lods(PyObject *self, PyObject *args) {
    PyObject *a[4];
    double limit, scale;
    int loops;
    if (!PyArg_ParseTuple(args, "OOOOddi", &a[0], &a[1], &a[2], &a[3], &limit, &scale, &loops) ||
        !known(loops))
        return NULL;
    const Py_buffer *score, *inverse, *out, *again;
    Py_ssize_t found = 0;
    struct taken taken = {.count = 0};
    if ((score = take_rows(&taken, a[0], "score", 2, "df", 0)) &&
        (inverse = take_rows(&taken, a[1], "inverse", 2, "d", 0)) &&
        same_shape(inverse, "inverse", score) &&
        (out = take_rows(&taken, a[2], "out", 2, "f", 1)) && same_shape(out, "out", score) &&
        (again = take_rows(&taken, a[3], "again", 2, "l", 1))) {
        if (again->shape[0] != 1 || again->shape[1] < score->shape[0] * score->shape[1])
            PyErr_SetString(PyExc_ValueError, "again has to have a row with room for every pair");
        else {
            int is_double = score->itemsize == 8;
            Py_BEGIN_ALLOW_THREADS
            found = (is_double ? LOOPS[loops].of_doubles : LOOPS[loops].of_floats)(
                score->buf, score->strides[0], inverse->buf, inverse->strides[0], out->buf,
                out->strides[0], score->shape[0], score->shape[1], again->buf, (float)limit,
                (float)scale);
            Py_END_ALLOW_THREADS
        }
    }
    release(&taken);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(found);
}

/* Poles, terms and positions of pairs; 0 if they do not fit, with an exception. */
static int pairs_of(struct taken *taken, struct pairs *p, PyObject *poles, PyObject *terms,
                    PyObject *some) {
    Py_ssize_t size = -1;
    p->q = p->count = -1;
    if (!(p->poles = take(taken, poles, "poles", "d", 0, &p->q)) ||
        !(p->terms = take(taken, terms, "terms", "d", 0, &size)) ||
        !(p->some = take(taken, some, "some", "l", 0, &p->count)))
        return 0;
    if (p->q < 1 || size % (3 * p->q)) {
        PyErr_Format(PyExc_ValueError, "%zd terms are not 3 of each of %zd poles", size, p->q);
        return 0;
    }
    p->pairs = size / (3 * p->q);
    for (Py_ssize_t i = 0; i < p->count; i++)
        if (p->some[i] < 0 || p->some[i] >= p->pairs) {
            PyErr_Format(PyExc_IndexError, "some has %lld, but there are %zd pairs",
                         (long long)p->some[i], p->pairs);
            return 0;
        }
    return 1;
}

static int volume_of(struct taken *taken, struct volume *v, PyObject *poles, PyObject *terms) {
    v->q = -1;
    return (v->poles = take(taken, poles, "poles", "d", 0, &v->q)) &&
           (v->terms = take(taken, terms, "terms", "d", 0, &v->q));
}

PyDoc_STRVAR(derivatives_doc,
             "pair_derivatives(poles, terms, some, h2, volume_poles, volume_terms, count, reml, slope,"
             " bend, loops)\n--\n\nWrite two derivatives of the likelihoods of some pairs.");

static PyObject *derivatives(PyObject *self, PyObject *args) {
    PyObject *a[8];
    double count, *slope, *bend;
    const double *h2;
    int reml, loops;
    struct taken taken = {.count = 0};
    struct pairs p;
    struct volume volume;
    if (!PyArg_ParseTuple(args, "OOOOOOdpOOi", &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &count,
                          &reml, &a[6], &a[7], &loops) || !known(loops))
        return NULL;
    if (pairs_of(&taken, &p, a[0], a[1], a[2]) &&
        (h2 = take(&taken, a[3], "h2", "d", 0, &p.count)) &&
        volume_of(&taken, &volume, a[4], a[5]) &&
        (slope = take(&taken, a[6], "slope", "d", 1, &p.count)) &&
        (bend = take(&taken, a[7], "bend", "d", 1, &p.count))) {
        Py_BEGIN_ALLOW_THREADS
        LOOPS[loops].derivatives(&p, h2, volume, count, reml, slope, bend);
        Py_END_ALLOW_THREADS
    }
    return give_back(&taken);
}

PyDoc_STRVAR(values_doc, "pair_values(poles, terms, some, h2, sums, loops)\n--\n\n"
             "Write S_yy, S_xy and S_xx of some pairs, each at its own h.");

static PyObject *values(PyObject *self, PyObject *args) {
    PyObject *a[5];
    const double *h2;
    double *sums;
    int loops;
    struct taken taken = {.count = 0};
    struct pairs p;
    if (!PyArg_ParseTuple(args, "OOOOOi", &a[0], &a[1], &a[2], &a[3], &a[4], &loops) ||
        !known(loops))
        return NULL;
    Py_ssize_t size;
    if (pairs_of(&taken, &p, a[0], a[1], a[2]) &&
        (h2 = take(&taken, a[3], "h2", "d", 0, &p.count)) &&
        (size = 3 * p.count, sums = take(&taken, a[4], "sums", "d", 1, &size))) {
        Py_BEGIN_ALLOW_THREADS
        LOOPS[loops].values(&p, h2, sums);
        Py_END_ALLOW_THREADS
    }
    return give_back(&taken);
}

PyDoc_STRVAR(integrals_doc, "volume_integrals(poles, terms, h2, out, loops)\n--\n\n"
             "Write sums of terms times the integrals of 1/v from 0 to h.");

static PyObject *integrals(PyObject *self, PyObject *args) {
    PyObject *a[4];
    const double *h2;
    double *out;
    int loops;
    Py_ssize_t count = -1;
    struct taken taken = {.count = 0};
    struct volume volume;
    if (!PyArg_ParseTuple(args, "OOOOi", &a[0], &a[1], &a[2], &a[3], &loops) || !known(loops))
        return NULL;
    if (volume_of(&taken, &volume, a[0], a[1]) &&
        (h2 = take(&taken, a[2], "h2", "d", 0, &count)) &&
        (out = take(&taken, a[3], "out", "d", 1, &count))) {
        Py_BEGIN_ALLOW_THREADS
        LOOPS[loops].integrals(volume, h2, count, out);
        Py_END_ALLOW_THREADS
    }
    return give_back(&taken);
}

/* A contiguous array of two axes; numbers of rows and columns below 0 are any, which they then are. */
static const void *table_of(struct taken *taken, PyObject *array, const char *name, const char *kinds,
                            int writable, Py_ssize_t *rows, Py_ssize_t *columns) {
    Py_ssize_t size = -1;
    const void *out = take(taken, array, name, kinds, writable, &size);
    const Py_buffer *of = &taken->of[taken->count - 1];
    if (!out)
        return NULL;
    if (of->ndim == 2 && (*rows < 0 || *rows == of->shape[0]) &&
        (*columns < 0 || *columns == of->shape[1])) {
        *rows = of->shape[0];
        *columns = of->shape[1];
        return out;
    }
    PyErr_Format(PyExc_ValueError, "%s has to have %zd rows of %zd numbers (-1: any)", name, *rows,
                 *columns);
    return NULL;
}

/* Rows of a table, filled up with zeros to whole COLUMNS_AT_ONCE. */
static void fill_up(double *out, Py_ssize_t width, const double *rows, Py_ssize_t count,
                    Py_ssize_t columns) {
    memset(out, 0, count * width * sizeof(double));
    for (Py_ssize_t i = 0; i < count; i++)
        memcpy(out + i * width, rows + i * columns, columns * sizeof(double));
}

static int within(const int64_t *index, Py_ssize_t count, const char *name, Py_ssize_t limit) {
    for (Py_ssize_t k = 0; k < count; k++)
        if (index[k] < 0 || index[k] >= limit) {
            PyErr_Format(PyExc_IndexError, "%s has %lld, but there are %zd", name,
                         (long long)index[k], limit);
            return 0;
        }
    return 1;
}

PyDoc_STRVAR(terms_doc, "pair_terms(x, y, matrix, squares, traits, i, j, terms, wanted, weights, xx,"
             " root, factor, peaks, lost, loops)\n--\n\n"
             "Write the terms of pairs, and list the peaks of their likelihoods on a mesh.");

static PyObject *terms(PyObject *self, PyObject *args) {
    PyObject *o[14];
    int loops;
    struct taken taken = {.count = 0};
    struct peaks p;
    Py_ssize_t markers = -1, traits = -1, one_more, size, root_rows = -1, two = 2, found = 0;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOOdOOi", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6],
                          &o[7], &o[8], &o[9], &o[10], &o[11], &p.factor, &o[12], &o[13], &loops) ||
        !known(loops))
        return NULL;
    p.r = p.q = p.count = p.points = -1;
    const double *matrix, *weights;
    if ((p.x = table_of(&taken, o[0], "x", "d", 0, &markers, &p.r)) &&
        (p.y = table_of(&taken, o[1], "y", "d", 0, &traits, &p.r)) &&
        (matrix = table_of(&taken, o[2], "matrix", "d", 0, &p.r, &p.q)) &&
        (p.squares = table_of(&taken, o[3], "squares", "d", 0, &markers, &p.q)) &&
        (one_more = p.q + 1,
         p.traits = table_of(&taken, o[4], "traits", "d", 0, &one_more, &traits)) &&
        (p.i = take(&taken, o[5], "i", "l", 0, &p.count)) && within(p.i, p.count, "i", markers) &&
        (p.j = take(&taken, o[6], "j", "l", 0, &p.count)) && within(p.j, p.count, "j", traits) &&
        (size = 3 * one_more * p.count, p.terms = take(&taken, o[7], "terms", "d", 1, &size)) &&
        (p.wanted = take(&taken, o[8], "wanted", "?", 0, &p.count)) &&
        (weights = table_of(&taken, o[9], "weights", "d", 0, &one_more, &p.points)) &&
        (p.xx = table_of(&taken, o[10], "xx", "d", 0, &markers, &p.points)) &&
        (p.root = table_of(&taken, o[11], "root", "d", 0, &root_rows, &p.points)) &&
        (size = MOST_PEAKS * p.count,
         p.pair = (int64_t *)table_of(&taken, o[12], "peaks", "l", 1, &two, &size)) &&
        (p.lost = take(&taken, o[13], "lost", "?", 1, &p.count))) {
        p.point = p.pair + size;
        p.all_traits = traits;
        p.root_row = root_rows == 1 ? 0 : p.points;
        p.columns = (p.q + COLUMNS_AT_ONCE - 1) / COLUMNS_AT_ONCE * COLUMNS_AT_ONCE;
        p.width = (p.points + COLUMNS_AT_ONCE - 1) / COLUMNS_AT_ONCE * COLUMNS_AT_ONCE;
        Py_ssize_t of_matrix = p.r * p.columns, of_weights = one_more * p.width;
        size = 2 * p.r + LANES * p.columns + 3 * p.width + one_more;
        double *memory = NULL;
        if (root_rows != 1 && root_rows != markers)
            PyErr_Format(PyExc_ValueError, "root has %zd rows, not 1 or %zd", root_rows, markers);
        else if (!(memory = PyMem_Malloc((of_matrix + of_weights + size) * sizeof(double))))
            PyErr_NoMemory();
        else {
            fill_up(memory, p.columns, matrix, p.r, p.q);
            fill_up(memory + of_matrix, p.width, weights, one_more, p.points);
            p.matrix = memory;
            p.weights = memory + of_matrix;
            p.scratch = memory + of_matrix + of_weights;
            Py_BEGIN_ALLOW_THREADS
            found = LOOPS[loops].peaks(&p);
            Py_END_ALLOW_THREADS
            PyMem_Free(memory);
        }
    }
    release(&taken);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(found);
}

PyDoc_STRVAR(climb_doc,
             "climb(a, g, table, node, heights, places, far, far_row, inverse, volume, first, n, count,"
             " series, step, large, h2_max, reml, value, h2, unsure, loops)\n--\n\n"
             "Write the maxima near the null estimates of a tile.");

static PyObject *climb(PyObject *self, PyObject *args) {
    PyObject *o[13];
    int reml, loops;
    Py_ssize_t traits, places, nodes = -1;
    struct taken taken = {.count = 0};
    struct climb c;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOnffffffpOOOi", &o[0], &o[1], &o[2], &o[3], &o[4],
                          &o[5], &o[11], &o[12], &o[6], &o[7], &c.first, &c.n, &c.count, &c.series,
                          &c.step, &c.large, &c.h2_max, &reml, &o[8], &o[9], &o[10], &loops) ||
        !known(loops))
        return NULL;
    Py_ssize_t pairs = -1, size, all = -1, others = -1;
    c.traits = -1;
    if (!(c.heights = take(&taken, o[4], "heights", "l", 0, &c.traits)) ||
        !(c.value = take(&taken, o[8], "value", "f", 1, &pairs)))
        return give_back(&taken);
    traits = c.traits;
    c.markers = traits ? pairs / traits : 0;
    size = traits * COLUMNS;
    places = -1;
    if ((c.table = take(&taken, o[2], "table", "f", 0, &size)) &&
        (size = traits * c.markers, c.h2 = take(&taken, o[9], "h2", "f", 1, &size)) &&
        (c.unsure = take(&taken, o[10], "unsure", "?", 1, &size)) &&
        (size = POWERS * pairs, c.a = take(&taken, o[0], "a", "f", 0, &size)) &&
        (size = TERMS * pairs, c.g = take(&taken, o[1], "g", "f", 0, &size)) &&
        (c.node = take(&taken, o[3], "node", "l", 0, &places)) &&
        (size = places * PLACE_COLUMNS, c.places = take(&taken, o[5], "places", "f", 0, &size)) &&
        (c.far = take(&taken, o[11], "far", "f", 0, &others)) &&
        (c.far_row = take(&taken, o[12], "far_row", "l", 0, &c.traits)) &&
        (c.inverse = take(&taken, o[6], "inverse", "f", 0, &all)) &&
        (c.volume = take(&taken, o[7], "volume", "f", 0, &all))) {
        Py_buffer *inverse = &taken.of[taken.count - 2];
        int fits = pairs == traits * c.markers && inverse->ndim == 2;
        c.most = traits ? places / traits : 0;
        if (fits) {
            nodes = inverse->shape[0];
            c.all_markers = inverse->shape[1];
            fits = places == traits * c.most && c.first >= 0 && c.first + c.markers <= c.all_markers;
        }
        for (Py_ssize_t j = 0; fits && j < traits; j++) {
            fits = c.heights[j] >= 0 && c.heights[j] <= c.most &&
                   (c.far_row[j] < 0 || (c.far_row[j] + 1) * c.markers <= others);
            for (Py_ssize_t h = 0; fits && h < c.heights[j]; h++)
                fits = c.node[j * c.most + h] >= 0 && c.node[j * c.most + h] < nodes;
        }
        if (fits) {
            Py_BEGIN_ALLOW_THREADS
            (reml ? LOOPS[loops].restricted : LOOPS[loops].full)(&c);
            Py_END_ALLOW_THREADS
        } else
            PyErr_SetString(PyExc_ValueError, "traits, markers and nodes do not fit each other");
    }
    return give_back(&taken);
}

PyDoc_STRVAR(grid_doc, "grid(score, inverse, volume, factor, full, first, half_n, to_lod, limit,"
             " tied, lod, best, inexact, ties, loops)\n--\n\n"
             "Write the LODs of a tile, each pair at the best of its points.");

static PyObject *grid(PyObject *self, PyObject *args) {
    PyObject *o[9];
    int loops;
    struct taken taken = {.count = 0};
    struct grid c;
    if (!PyArg_ParseTuple(args, "OOOOOnddddOOOOi", &o[0], &o[1], &o[2], &o[3], &o[4], &c.first,
                          &c.half_n, &c.to_lod, &c.limit, &c.tied, &o[5], &o[6], &o[7], &o[8],
                          &loops) || !known(loops))
        return NULL;
    Py_ssize_t scores = -1, all = -1, pairs, size;
    if (!(c.score = take(&taken, o[0], "score", "df", 0, &scores)))
        return give_back(&taken);
    Py_buffer *score = &taken.of[0];
    if (score->ndim != 3) {
        PyErr_Format(PyExc_ValueError, "score has %d axes, not 3", score->ndim);
        return give_back(&taken);
    }
    const char *kind = score->itemsize == 8 ? "d" : "f";
    c.traits = score->shape[0];
    c.points = score->shape[1];
    c.markers = score->shape[2];
    pairs = c.traits * c.markers;
    size = c.traits * c.points;
    if ((c.inverse = take(&taken, o[1], "inverse", kind, 0, &all)) &&
        (c.volume = take(&taken, o[2], "volume", kind, 0, &all)) &&
        (c.factor = take(&taken, o[3], "factor", kind, 0, &size)) &&
        (c.full = take(&taken, o[4], "full", kind, 0, &size)) &&
        (c.lod = take(&taken, o[5], "lod", kind, 1, &pairs)) &&
        (c.best = take(&taken, o[6], "best", "l", 1, &pairs)) &&
        (c.inexact = take(&taken, o[7], "inexact", "?", 1, &pairs)) &&
        (c.ties = take(&taken, o[8], "ties", "?", 1, &pairs))) {
        c.all_markers = c.points ? all / c.points : 0;
        if (c.points < 1 || all != c.points * c.all_markers || c.first < 0 ||
            c.first + c.markers > c.all_markers)
            PyErr_SetString(PyExc_ValueError, "points and markers do not fit each other");
        else {
            Py_BEGIN_ALLOW_THREADS
            (*kind == 'd' ? LOOPS[loops].grid_of_doubles : LOOPS[loops].grid_of_floats)(&c);
            Py_END_ALLOW_THREADS
        }
    }
    return give_back(&taken);
}

/* Terms (q, 1 + c, traits), the same number of terms of A, and memory for them; 0 if they do not fit,
   with an exception. The memory is to be freed. */
static int fits_of(struct taken *taken, struct fits *f, PyObject *terms) {
    Py_ssize_t size = -1;
    f->scratch = NULL;
    if (!(f->terms = take(taken, terms, "terms", "d", 0, &size)))
        return 0;
    const Py_buffer *of = &taken->of[taken->count - 1];
    if (of->ndim != 3 || of->shape[0] < 1 || of->shape[1] < 1 || of->shape[1] > 1 + MOST_COVARIATES) {
        PyErr_Format(PyExc_ValueError, "terms have to have 3 axes, the second of 1 to %d numbers",
                     1 + MOST_COVARIATES);
        return 0;
    }
    f->q = of->shape[0];
    f->c = of->shape[1] - 1;
    f->traits = of->shape[2];
    f->scratch = PyMem_Malloc(f->q * (4 + f->c) * LANES * sizeof(double));
    if (!f->scratch)
        PyErr_NoMemory();
    return f->scratch != NULL;
}

PyDoc_STRVAR(fit_sums_doc, "fit_sums(poles, terms, gram, trace, some, h2, sums, loops)\n--\n\n"
             "Write sums of some traits, each at its own h.");

static PyObject *sums_of_fits(PyObject *self, PyObject *args) {
    PyObject *a[7];
    const int64_t *some;
    const double *h2;
    double *sums;
    int loops;
    Py_ssize_t size, count = -1;
    struct taken taken = {.count = 0};
    struct fits f = {.scratch = NULL};
    if (!PyArg_ParseTuple(args, "OOOOOOOi", &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &a[6], &loops) ||
        !known(loops))
        return NULL;
    if (fits_of(&taken, &f, a[1]) && (f.poles = take(&taken, a[0], "poles", "d", 0, &f.q)) &&
        (size = f.q * f.c * f.c, f.gram = take(&taken, a[2], "gram", "d", 0, &size)) &&
        (f.trace = take(&taken, a[3], "trace", "d", 0, &f.q)) &&
        (some = take(&taken, a[4], "some", "l", 0, &count)) &&
        within(some, count, "some", f.traits) && (h2 = take(&taken, a[5], "h2", "d", 0, &count)) &&
        (size = FIT_SUMS * count, sums = take(&taken, a[6], "sums", "d", 1, &size))) {
        Py_BEGIN_ALLOW_THREADS
        LOOPS[loops].sums(&f, some, h2, count, sums);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(f.scratch);
    return give_back(&taken);
}

PyDoc_STRVAR(fit_slopes_doc,
             "fit_slopes(terms, value, first, inverse, gram_slope, logdet_slope, change, count, flat,"
             " left, slope, sure, loops)\n--\n\nWrite slopes of the likelihoods of all traits on a mesh.");

static PyObject *slopes_of_fits(PyObject *self, PyObject *args) {
    PyObject *o[9];
    double *slope;
    unsigned char *sure;
    int loops;
    Py_ssize_t size;
    struct taken taken = {.count = 0};
    struct fits f = {.scratch = NULL};
    struct mesh m = {.points = -1};
    if (!PyArg_ParseTuple(args, "OOOOOOOdddOOi", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6],
                          &m.count, &m.flat, &m.left, &o[7], &o[8], &loops) ||
        !known(loops))
        return NULL;
    if (fits_of(&taken, &f, o[0]) &&
        (m.value = table_of(&taken, o[1], "value", "d", 0, &m.points, &f.q)) &&
        (m.first = table_of(&taken, o[2], "first", "d", 0, &m.points, &f.q)) &&
        (size = m.points * f.c * f.c, m.inverse = take(&taken, o[3], "inverse", "d", 0, &size)) &&
        (m.gram_slope = take(&taken, o[4], "gram_slope", "d", 0, &size)) &&
        (m.logdet_slope = take(&taken, o[5], "logdet_slope", "d", 0, &m.points)) &&
        (m.change = take(&taken, o[6], "change", "d", 0, &m.points)) &&
        (size = m.points * f.traits, slope = take(&taken, o[7], "slope", "d", 1, &size)) &&
        (sure = take(&taken, o[8], "sure", "?", 1, &f.traits))) {
        Py_BEGIN_ALLOW_THREADS
        LOOPS[loops].slopes(&f, &m, slope, sure);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(f.scratch);
    return give_back(&taken);
}

PyDoc_STRVAR(project_doc, "project_out(columns, covariates, size, left, loops)\n--\n\n"
             "Project columns off orthonormal covariates; write their squared lengths before and after.");

static PyObject *project(PyObject *self, PyObject *args) {
    PyObject *a[4];
    double *size, *left;
    const double *covariates;
    int loops;
    Py_ssize_t rows, c = -1, traits;
    struct taken taken = {.count = 0};
    if (!PyArg_ParseTuple(args, "OOOOi", &a[0], &a[1], &a[2], &a[3], &loops) || !known(loops))
        return NULL;
    const Py_buffer *columns = take_rows(&taken, a[0], "columns", 2, "d", 1);
    if (columns && (rows = columns->shape[0], traits = columns->shape[1],
                    covariates = table_of(&taken, a[1], "covariates", "d", 0, &rows, &c)) &&
        (size = take(&taken, a[2], "size", "d", 1, &traits)) &&
        (left = take(&taken, a[3], "left", "d", 1, &traits))) {
        if (c > MOST_COVARIATES)
            PyErr_Format(PyExc_ValueError, "covariates has %zd columns, not up to %d", c,
                         MOST_COVARIATES);
        else {
            Py_BEGIN_ALLOW_THREADS
            LOOPS[loops].project(columns->buf, columns->strides[0] / (Py_ssize_t)sizeof(double), rows,
                                 traits, covariates, c, size, left);
            Py_END_ALLOW_THREADS
        }
    }
    return give_back(&taken);
}

static PyMethodDef METHODS[] = {
    BEST_METHOD,
    {"climb", climb, METH_VARARGS, climb_doc},
    {"fit_slopes", slopes_of_fits, METH_VARARGS, fit_slopes_doc},
    {"fit_sums", sums_of_fits, METH_VARARGS, fit_sums_doc},
    {"grid", grid, METH_VARARGS, grid_doc},
    {"lods", lods, METH_VARARGS, lods_doc},
    {"pair_derivatives", derivatives, METH_VARARGS, derivatives_doc},
    {"pair_terms", terms, METH_VARARGS, terms_doc},
    {"pair_values", values, METH_VARARGS, values_doc},
    {"project_out", project, METH_VARARGS, project_doc},
    {"volume_integrals", integrals, METH_VARARGS, integrals_doc},
    {NULL, NULL, 0, NULL},
};

DEFINE_MODULE(_kernels, "Compiled loops of the scanners.", METHODS)
