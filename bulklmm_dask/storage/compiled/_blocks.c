/* Blocks of values of pairs on their way into a file: their summary (here), and chunks with copies of
rows (`packed.h`). */

#include "module.h"

#include "packed.h"

/* The summary of a block of LODs in one pass: highest LODs, where they are, and counts by cell.

It is what `summaries/slabs.py` and `summaries/cells.py` find in NumPy. Rows that are copies of the row
before, as those of markers without a recombination between them are, are known or recognised, and not
looked at again. */

/* Columns that are looked at together: a multiple of the lanes of any vector. */
#define WIDTH 256

/* Cells as `summaries/cells.py` numbers them: the leading bits of a LOD, less the number of the first cell. */
typedef struct {
    uint32_t *counts; /* one more than there are cells: NaN counts there */
    int64_t last, first;
    int shift;
} Cells;

/* Raise the highest LODs of a row's group to those of the row, which comes after all rows before. */
#define RAISE(name, real)                                                                          \
    static void name(const real *lod, Py_ssize_t n, int32_t row, real *highest, int32_t *place) {  \
        for (Py_ssize_t j = 0; j < n; j++) {                                                       \
            int higher = (lod[j] > highest[j]) | ((highest[j] != highest[j]) & (lod[j] == lod[j])); \
            highest[j] = higher ? lod[j] : highest[j];                                             \
            place[j] = higher ? row : place[j];                                                    \
        }                                                                                          \
    }

/* Count the LODs of a row, so many times. */
#define COUNT(name, whole, bits_of_infinity)                                                       \
    static void name(const void *lod, Py_ssize_t n, uint32_t times, const Cells *cells) {          \
        const char *start = lod;                                                                   \
        const whole last = (whole)cells->last, first = (whole)cells->first;                        \
        const whole sign = (whole)(((whole)1 << (8 * sizeof(whole) - 2)) - 1) * 2 + 1;             \
        whole bits[WIDTH];                                                                         \
        int32_t cell[WIDTH];                                                                       \
        for (Py_ssize_t at = 0; at < n; at += WIDTH) {                                             \
            int size = n - at < WIDTH ? (int)(n - at) : WIDTH;                                     \
            memcpy(bits, start + at * (Py_ssize_t)sizeof(whole), (size_t)size * sizeof(whole));    \
            for (int k = 0; k < size; k++) {                                                       \
                whole found = (bits[k] >> cells->shift) - first;                                   \
                found = found < 0 ? 0 : found;                                                     \
                found = found > last ? last : found;                                               \
                cell[k] = (int32_t)((bits[k] & sign) > bits_of_infinity ? last + 1 : found);       \
            }                                                                                      \
            for (int k = 0; k < size; k++)                                                         \
                cells->counts[cell[k]] += times;                                                   \
        }                                                                                          \
    }

RAISE(raise_floats, float)
RAISE(raise_doubles, double)
COUNT(count_floats, int32_t, INT32_C(0x7f800000))
COUNT(count_doubles, int64_t, INT64_C(0x7ff0000000000000))

/* Highest LODs of one group of markers, NaN where there are none; count them too if there are cells.
   Marker m has row `where[m]` of the LODs. */
static void summarise_group(const Py_buffer *lod, const int64_t *where, const int64_t *markers,
                            Py_ssize_t n_markers, char *highest, int32_t *place,
                            const Cells *cells) {
    const Py_ssize_t n = lod->shape[1], stride = lod->strides[0];
    const int is_double = lod->itemsize == 8;
    for (Py_ssize_t j = 0; j < n; j++) {
        if (is_double)
            ((double *)highest)[j] = NAN;
        else
            ((float *)highest)[j] = NAN;
        place[j] = (int32_t)markers[0];
    }
    for (Py_ssize_t at = 0; at < n_markers;) {
        const int64_t own = where[markers[at]];
        const char *row = (const char *)lod->buf + own * stride;
        Py_ssize_t next = at + 1;
        while (next < n_markers &&
               (where[markers[next]] == own ||
                !memcmp(row, (const char *)lod->buf + where[markers[next]] * stride,
                        (size_t)(n * lod->itemsize))))
            next++;
        if (is_double)
            raise_doubles((const double *)row, n, (int32_t)markers[at], (double *)highest, place);
        else
            raise_floats((const float *)row, n, (int32_t)markers[at], (float *)highest, place);
        if (cells->last >= 0)
            (is_double ? count_doubles : count_floats)(row, n, (uint32_t)(next - at), cells);
        at = next;
    }
}

/* Whether all of these are at least 0 and below `end`. */
static int below(const Py_buffer *places, Py_ssize_t end) {
    const int64_t *place = places->buf;
    for (Py_ssize_t k = 0; k < places->shape[0]; k++)
        if (place[k] < 0 || place[k] >= end)
            return 0;
    return 1;
}

/* Whether rows, markers, edges and what is written belong to the LODs. */
static int fits(const Py_buffer *lod, const Py_buffer *where, const Py_buffer *markers,
                const Py_buffer *edges, const Py_buffer *highest, const Py_buffer *place) {
    const Py_ssize_t groups = edges->shape[0] - 1, n = lod->shape[1];
    const int64_t *edge = edges->buf;
    if (groups < 0 || edge[0] != 0 || edge[groups] != markers->shape[0])
        return 0;
    for (Py_ssize_t k = 0; k < groups; k++)
        if (edge[k] >= edge[k + 1])
            return 0;
    return below(markers, where->shape[0]) && below(where, lod->shape[0]) &&
           highest->itemsize == lod->itemsize && highest->shape[0] == groups &&
           highest->shape[1] == n && place->shape[0] == groups && place->shape[1] == n &&
           where->shape[0] <= INT32_MAX;
}

PyDoc_STRVAR(summarise_doc,
             "summarise(lod, where, markers, edges, highest, place, counts, shift, first)\n--\n\n"
             "Write highest LODs of groups of markers and the first that has each, and count LODs.");

static PyObject *summarise(PyObject *self, PyObject *args) {
    PyObject *arrays[7];
    struct taken taken = {.count = 0};
    const Py_buffer *of = taken.of;
    Cells cells;
    long long first;
    static const char *names[] = {"lod", "where", "markers", "edges", "highest", "place", "counts"};
    static const char *kinds[] = {"fd", "l", "l", "l", "fd", "i", "I"};
    static const int axes[] = {2, 1, 1, 1, 2, 2, 1};
    int count = 0;
    if (!PyArg_ParseTuple(args, "OOOOOOOiL", &arrays[0], &arrays[1], &arrays[2], &arrays[3],
                          &arrays[4], &arrays[5], &arrays[6], &cells.shift, &first))
        return NULL;
    while (count < 7 && take_rows(&taken, arrays[count], names[count], axes[count], kinds[count],
                                  count > 3))
        count++;
    if (count == 7) {
        if (!fits(&of[0], &of[1], &of[2], &of[3], &of[4], &of[5]))
            PyErr_SetString(PyExc_ValueError, "where, markers or edges are not those of lod, or highest "
                            "or place have not a row for each group");
        else {
            cells.counts = of[6].buf;
            cells.last = (int64_t)of[6].shape[0] - 2;
            cells.first = first;
            Py_BEGIN_ALLOW_THREADS
            const int64_t *markers = of[2].buf, *edges = of[3].buf;
            for (Py_ssize_t k = 0; k + 1 < of[3].shape[0]; k++)
                summarise_group(&of[0], of[1].buf, markers + edges[k],
                                (Py_ssize_t)(edges[k + 1] - edges[k]),
                                (char *)of[4].buf + k * of[4].strides[0],
                                (int32_t *)((char *)of[5].buf + k * of[5].strides[0]), &cells);
            Py_END_ALLOW_THREADS
        }
    }
    return give_back(&taken);
}

PyDoc_STRVAR(pack_doc, "pack(source, rows, itemsize, out)\n--\n\n"
             "Write rows of bytes, some of them copies, as a Blosc chunk; give its length, 0 if it is "
             "not shorter.");

static PyObject *pack(PyObject *self, PyObject *args) {
    PyObject *arrays[3];
    int itemsize;
    struct taken taken = {.count = 0};
    const Py_buffer *source, *rows, *out;
    Py_ssize_t length = 0;
    if (!PyArg_ParseTuple(args, "OOiO", &arrays[0], &arrays[1], &itemsize, &arrays[2]))
        return NULL;
    if ((source = take_rows(&taken, arrays[0], "source", 2, "B", 0)) &&
        (rows = take_rows(&taken, arrays[1], "rows", 1, "l", 0)) &&
        (out = take_rows(&taken, arrays[2], "out", 1, "B", 1))) {
        const Py_ssize_t width = source->shape[1], n = rows->shape[0];
        if (!below(rows, source->shape[0]))
            PyErr_SetString(PyExc_ValueError, "rows are not those of source");
        else if (width < LEAST_WIDTH || n < 1 || width > MOST_PACKED / n)
            PyErr_Format(PyExc_ValueError, "%zd rows of %zd bytes: rows have to have at least %d, all "
                         "together at most %d", n, width, LEAST_WIDTH, MOST_PACKED);
        else if (itemsize < 1 || itemsize > 255 || out->shape[0] < n * width)
            PyErr_Format(PyExc_ValueError, "items of %d bytes, room for %zd bytes of %zd", itemsize,
                         out->shape[0], n * width);
        else {
            int32_t *last = PyMem_Malloc((size_t)source->shape[0] * sizeof *last);
            if (!last)
                PyErr_NoMemory();
            else {
                const struct rows packed = {source->buf, source->strides[0], width, rows->buf, last};
                Py_BEGIN_ALLOW_THREADS
                for (Py_ssize_t k = 0; k < source->shape[0]; k++)
                    last[k] = -1;
                length = pack_rows(&packed, n, itemsize, out->buf);
                Py_END_ALLOW_THREADS
                PyMem_Free(last);
            }
        }
    }
    release(&taken);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(length);
}

static PyMethodDef METHODS[] = {
    {"pack", pack, METH_VARARGS, pack_doc},
    {"summarise", summarise, METH_VARARGS, summarise_doc},
    {NULL, NULL, 0, NULL},
};

DEFINE_MODULE(_blocks, "Blocks of values of pairs: their summary, and chunks of them.", METHODS)
