/* Terms of single pairs, and peaks of their likelihoods on a mesh (`alt/peaks.py`).

Both are products of a row of numbers with a small matrix, of two pairs at a time: COLUMNS_AT_ONCE of
its columns are summed up in registers. */

#ifndef PEAKS_TYPES
#define PEAKS_TYPES
#define COLUMNS_AT_ONCE 16
#define MOST_PEAKS 6 /* of a pair */

#if defined(__GNUC__)
#define PACK 4
typedef double pack __attribute__((vector_size(PACK * sizeof(double))));
#define FILL(x) ((pack){x, x, x, x})
#define FETCH(address) __builtin_prefetch(address)
#else
#define PACK 1
typedef double pack;
#define FILL(x) (x)
#define FETCH(address) ((void)0)
#endif

struct peaks {
    const double *x, *y, *squares, *traits; /* (markers, r), (traits, r), (markers, q), (q + 1, traits) */
    Py_ssize_t r, q, all_traits;
    const int64_t *i, *j; /* marker and trait of each pair */
    Py_ssize_t count;
    double *terms; /* (q + 1, 3, count) */
    const unsigned char *wanted;
    const double *xx, *root; /* (markers, points), and the same or one row */
    Py_ssize_t points, root_row;
    double factor;
    int64_t *pair, *point; /* of each peak */
    unsigned char *lost;
    /* Rows of whole COLUMNS_AT_ONCE: P and 1/v, (r, columns) and (q + 1, width). */
    const double *matrix, *weights;
    Py_ssize_t columns, width;
    double *scratch; /* 2 r + 8 columns + 3 width + q + 1 */
};
typedef Py_ssize_t find_peaks(const struct peaks *);
#endif

/* Products of two rows (r,) with a matrix (r, columns). */
TARGET static void IN(two_rows)(const double *a, const double *b, const double *matrix,
                                Py_ssize_t columns, Py_ssize_t r, double *of_a, double *of_b) {
    enum { PACKS = COLUMNS_AT_ONCE / PACK };
    for (Py_ssize_t c = 0; c < columns; c += COLUMNS_AT_ONCE) {
        pack sum_a[PACKS], sum_b[PACKS];
        for (int k = 0; k < PACKS; k++)
            sum_a[k] = sum_b[k] = FILL(0.0);
        for (Py_ssize_t i = 0; i < r; i++) {
            const double *row = matrix + i * columns + c;
            pack u = FILL(a[i]), w = FILL(b[i]);
            for (int k = 0; k < PACKS; k++) {
                pack m;
                memcpy(&m, row + k * PACK, sizeof m);
                sum_a[k] += u * m;
                sum_b[k] += w * m;
            }
        }
        memcpy(of_a + c, sum_a, sizeof sum_a);
        memcpy(of_b + c, sum_b, sizeof sum_b);
    }
}

/* Peaks of a pair, from S_xy at the points, which are overwritten; how many there are in all. */
TARGET static Py_ssize_t IN(peaks_of)(const struct peaks *p, Py_ssize_t pair, double *cost,
                                      const double *yy, Py_ssize_t found) {
    const double *xx = p->xx + p->i[pair] * p->points;
    const double *root = p->root + p->i[pair] * p->root_row;
    const Py_ssize_t points = p->points, before = found;
    double least = INFINITY;
    for (Py_ssize_t g = 0; g < points; g++)
        cost[g] = (yy[g] - cost[g] * cost[g] / xx[g]) * root[g];
    for (Py_ssize_t g = 0; g < points; g++)
        least = cost[g] < least ? cost[g] : least;
    double limit = least * p->factor;
    for (Py_ssize_t g = 0; g < points; g++) {
        if (!(cost[g] <= limit))
            continue;
        if ((g && !(cost[g] < cost[g - 1])) || (g < points - 1 && !(cost[g] <= cost[g + 1])))
            continue;
        if (found - before == MOST_PEAKS) {
            p->lost[pair] = 1;
            return before;
        }
        p->pair[found] = pair;
        p->point[found++] = g;
    }
    p->lost[pair] = found == before;
    return found;
}

TARGET static Py_ssize_t IN(find_peaks)(const struct peaks *p) {
    double *z = p->scratch, *sums = z + 2 * p->r, *costs = sums + LANES * p->columns;
    double *yy = costs + 2 * p->width, *of_trait = yy + p->width;
    int64_t trait = -1;
    Py_ssize_t found = 0;
    for (Py_ssize_t start = 0; start < p->count; start += LANES) {
        int lanes = p->count - start < LANES ? (int)(p->count - start) : LANES;
        for (int k = 0; k < lanes; k += 2) {
            for (int s = 0; s < 2; s++) {
                Py_ssize_t pair = start + (k + s < lanes ? k + s : k);
                const double *x = p->x + p->i[pair] * p->r, *y = p->y + p->j[pair] * p->r;
                double *RESTRICT out = z + s * p->r;
                for (Py_ssize_t i = 0; i < p->r; i++)
                    out[i] = x[i] * y[i];
                if (pair + 2 < p->count) {
                    const double *next = p->x + p->i[pair + 2] * p->r;
                    for (Py_ssize_t i = 0; i < p->r; i += 8)
                        FETCH(next + i);
                }
            }
            double *into = sums + k * p->columns;
            IN(two_rows)(z, z + p->r, p->matrix, p->columns, p->r, into, into + p->columns);
        }
        for (Py_ssize_t q = 0; q <= p->q; q++) {
            double *out = p->terms + 3 * q * p->count + start;
            for (int k = 0; k < lanes; k++) {
                int inside = q < p->q;
                out[k] = p->traits[q * p->all_traits + p->j[start + k]];
                out[p->count + k] = inside ? sums[k * p->columns + q] : 0.0;
                out[2 * p->count + k] = inside ? p->squares[p->i[start + k] * p->q + q] : 0.0;
            }
        }
        for (int k = 0; k < lanes; k += 2) {
            int second = k + 1 < lanes;
            Py_ssize_t pair = start + k;
            if (!p->wanted[pair] && !(second && p->wanted[pair + 1]))
                continue;
            const double *of = sums + k * p->columns;
            IN(two_rows)(of, second ? of + p->columns : of, p->weights, p->width, p->q, costs,
                         costs + p->width);
            for (int s = 0; s < 1 + second; s++, pair++) {
                if (!p->wanted[pair])
                    continue;
                if (p->j[pair] != trait) {
                    trait = p->j[pair];
                    for (Py_ssize_t q = 0; q <= p->q; q++)
                        of_trait[q] = p->traits[q * p->all_traits + trait];
                    IN(two_rows)(of_trait, of_trait, p->weights, p->width, p->q + 1, yy, yy);
                }
                found = IN(peaks_of)(p, pair, costs + s * p->width, yy, found);
            }
        }
    }
    return found;
}
