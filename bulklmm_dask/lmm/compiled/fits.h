/* Likelihoods of single traits from a few terms: sums over q of t_q / v(mu_q, h), v = mu h + 1 - h.

Terms (q, 1 + c, traits) are those of y'Wy and of b = C'Wy for c covariates, and the same for all traits
those of A = C'WC, (q, c * c), and of tr(V^-1 V'). LANES traits are computed together; the last are
filled up with copies of the last trait. Counterparts in NumPy: `bulk.py`. */

#ifndef FITS_TYPES
#define FITS_TYPES
#define MOST_COVARIATES 8
#define FIT_SUMS 9
/* Numbers of all lanes are packs of `peaks.h`: left to themselves, compilers make vectors of terms. */
#define PACKS_OF_LANES (LANES / PACK)
#define EACH_PACK for (int k = 0; k < PACKS_OF_LANES; k++)
typedef pack lanes_of[PACKS_OF_LANES];

#if defined(__GNUC__)
typedef int64_t mask __attribute__((vector_size(PACK * sizeof(double))));
#define SELECT(where, a, b) ((pack)(((where) & (mask)(a)) | (~(where) & (mask)(b))))
#else
#define SELECT(where, a, b) ((where) ? (a) : (b))
#endif

struct fits {
    const double *poles, *terms, *gram, *trace;
    Py_ssize_t q, c, traits;
    double *scratch; /* q * (4 + c) * LANES */
};

struct mesh {
    const double *value, *first;       /* 1/v and its derivative, (points, q) */
    const double *inverse, *gram_slope; /* A^-1 and A', (points, c * c) */
    const double *logdet_slope, *change; /* (points,) */
    Py_ssize_t points;
    double count, flat, left;
};

typedef void project_out(double *columns, Py_ssize_t row, Py_ssize_t n, Py_ssize_t traits,
                         const double *covariates, Py_ssize_t c, double *size, double *left);
typedef void fit_sums(const struct fits *, const int64_t *some, const double *h2, Py_ssize_t count,
                      double *sums);
typedef void fit_slopes(const struct fits *, const struct mesh *, double *slope, unsigned char *sure);
#endif

TARGET static inline void IN(fill_lanes)(lanes_of out, double value) {
    EACH_PACK out[k] = FILL(value);
}

/* Sums over q of numbers of the lanes, (q, LANES), times three weights, (q, 3, LANES). */
TARGET static inline void IN(three_sums)(const double *t, const double *w, Py_ssize_t q,
                                         lanes_of out[3]) {
    lanes_of sum[3];
    for (int s = 0; s < 3; s++)
        IN(fill_lanes)(sum[s], 0.0);
    for (Py_ssize_t i = 0; i < q; i++, t += LANES, w += 3 * LANES)
        EACH_PACK {
            pack x, of;
            memcpy(&x, t + k * PACK, sizeof x);
            for (int s = 0; s < 3; s++) {
                memcpy(&of, w + s * LANES + k * PACK, sizeof of);
                sum[s][k] += x * of;
            }
        }
    memcpy(out, sum, sizeof sum);
}

/* Sums over q of numbers of the lanes, (q, LANES), times four weights that all lanes share. */
TARGET static inline void IN(four_sums)(const double *t, const double *const w[4], Py_ssize_t q,
                                        lanes_of out[4]) {
    lanes_of sum[4];
    for (int s = 0; s < 4; s++)
        IN(fill_lanes)(sum[s], 0.0);
    for (Py_ssize_t i = 0; i < q; i++, t += LANES)
        EACH_PACK {
            pack x;
            memcpy(&x, t + k * PACK, sizeof x);
            for (int s = 0; s < 4; s++)
                sum[s][k] += x * FILL(w[s][i]);
        }
    memcpy(out, sum, sizeof sum);
}

/* 1/v of the lanes and its first two derivatives, (q, 3, LANES); the sums of the first two times
   `trace`. */
TARGET static inline void IN(weights_of)(const struct fits *f, const double *h2, double *w,
                                         lanes_of volume[2]) {
    const pack one = FILL(1.0);
    lanes_of h;
    memcpy(h, h2, sizeof h);
    IN(fill_lanes)(volume[0], 0.0);
    IN(fill_lanes)(volume[1], 0.0);
    for (Py_ssize_t q = 0; q < f->q; q++, w += 3 * LANES) {
        const pack pole = FILL(f->poles[q]), change = pole - one, trace = FILL(f->trace[q]);
        lanes_of of[3];
        EACH_PACK {
            pack weight = one / (pole * h[k] + (one - h[k])), moved = change * weight;
            of[0][k] = weight;
            of[1][k] = -weight * moved;
            of[2][k] = (weight + weight) * moved * moved;
            volume[0][k] += trace * weight;
            volume[1][k] += trace * of[1][k];
        }
        memcpy(w, of, sizeof of);
    }
}

/* Inverses of symmetric positive definite matrices of c rows, in place, and their determinants. */
TARGET static inline void IN(invert)(lanes_of a[MOST_COVARIATES][MOST_COVARIATES], int c,
                                     lanes_of det) {
    IN(fill_lanes)(det, 1.0);
    for (int p = 0; p < c; p++) {
        lanes_of over, factor;
        EACH_PACK {
            det[k] *= a[p][p][k];
            over[k] = FILL(1.0) / a[p][p][k];
        }
        IN(fill_lanes)(a[p][p], 1.0);
        for (int j = 0; j < c; j++)
            EACH_PACK a[p][j][k] *= over[k];
        for (int i = 0; i < c; i++) {
            if (i == p)
                continue;
            memcpy(factor, a[i][p], sizeof factor);
            IN(fill_lanes)(a[i][p], 0.0);
            for (int j = 0; j < c; j++)
                EACH_PACK a[i][j][k] -= factor[k] * a[p][j][k];
        }
    }
}

/* y'Wy; S, S', S''; log|V|', log|V|''; |A|, log|A|', log|A|'' of some traits, each at its own h:
   (FIT_SUMS, count). */
TARGET static void IN(fit_sums)(const struct fits *f, const int64_t *some, const double *h2,
                                Py_ssize_t count, double *sums) {
    const int c = (int)f->c;
    double *w = f->scratch, *t = w + 3 * LANES * f->q;
    for (Py_ssize_t start = 0; start < count; start += LANES) {
        int lanes = count - start < LANES ? (int)(count - start) : LANES;
        int64_t at[LANES];
        double h[LANES];
        for (int k = 0; k < LANES; k++) {
            at[k] = some[start + (k < lanes ? k : lanes - 1)];
            h[k] = h2[start + (k < lanes ? k : lanes - 1)];
        }
        /* Of y'Wy, b and A and their derivatives; rows of `out` are those of `sums`. */
        lanes_of three[3], b[3][1 + MOST_COVARIATES], a[3][MOST_COVARIATES][MOST_COVARIATES];
        lanes_of out[FIT_SUMS], x[MOST_COVARIATES], rest[MOST_COVARIATES];
        IN(weights_of)(f, h, w, out + 4);
        for (int s = 0; s <= c; s++) {
            for (Py_ssize_t q = 0; q < f->q; q++) {
                const double *row = f->terms + (q * (1 + c) + s) * f->traits;
                for (int k = 0; k < LANES; k++)
                    t[q * LANES + k] = row[at[k]];
            }
            IN(three_sums)(t, w, f->q, three);
            for (int d = 0; d < 3; d++)
                memcpy(b[d][s], three[d], sizeof three[d]);
        }
        for (int i = 0; i < c; i++)
            for (int j = 0; j <= i; j++) {
                for (Py_ssize_t q = 0; q < f->q; q++)
                    for (int k = 0; k < LANES; k++)
                        t[q * LANES + k] = f->gram[(q * c + i) * c + j];
                IN(three_sums)(t, w, f->q, three);
                for (int d = 0; d < 3; d++) {
                    memcpy(a[d][i][j], three[d], sizeof three[d]);
                    memcpy(a[d][j][i], three[d], sizeof three[d]);
                }
            }
        memcpy(out[0], b[0][0], sizeof out[0]);
        for (int d = 0; d < 3; d++)
            memcpy(out[1 + d], b[d][0], sizeof out[0]);
        IN(invert)(a[0], c, out[6]);
        IN(fill_lanes)(out[7], 0.0);
        IN(fill_lanes)(out[8], 0.0);
        for (int i = 0; i < c; i++) {
            IN(fill_lanes)(x[i], 0.0);
            for (int j = 0; j < c; j++)
                EACH_PACK x[i][k] += a[0][i][j][k] * b[0][1 + j][k];
        }
        for (int i = 0; i < c; i++) {
            memcpy(rest[i], b[1][1 + i], sizeof rest[i]);
            for (int j = 0; j < c; j++)
                EACH_PACK rest[i][k] -= a[1][i][j][k] * x[j][k];
            EACH_PACK {
                out[1][k] -= b[0][1 + i][k] * x[i][k];
                out[2][k] -= x[i][k] * (b[1][1 + i][k] + rest[i][k]);
                out[3][k] -= FILL(2.0) * x[i][k] * b[2][1 + i][k];
            }
        }
        for (int i = 0; i < c; i++)
            for (int j = 0; j < c; j++)
                EACH_PACK {
                    out[3][k] += x[i][k] * a[2][i][j][k] * x[j][k] -
                                 FILL(2.0) * rest[i][k] * a[0][i][j][k] * rest[j][k];
                    out[7][k] += a[0][i][j][k] * a[1][i][j][k];
                    out[8][k] += a[0][i][j][k] * a[2][i][j][k];
                }
        /* tr(A^-1 A' A^-1 A'); A^-1 A' takes the place of A''. */
        for (int i = 0; i < c; i++)
            for (int j = 0; j < c; j++) {
                IN(fill_lanes)(a[2][i][j], 0.0);
                for (int l = 0; l < c; l++)
                    EACH_PACK a[2][i][j][k] += a[0][i][l][k] * a[1][l][j][k];
            }
        for (int i = 0; i < c; i++)
            for (int j = 0; j < c; j++)
                EACH_PACK out[8][k] -= a[2][i][j][k] * a[2][j][i][k];
        for (int s = 0; s < FIT_SUMS; s++)
            memcpy(sums + s * count + start, out[s], lanes * sizeof(double));
    }
}

/* S and S' of some traits at point g of a mesh. Of y'Wy and each row of b there are four sums, those of
   the point from `row` on: itself and its derivative. */
TARGET static inline void IN(forms_at)(const struct mesh *m, int c, Py_ssize_t g, lanes_of b[][4],
                                       int row, lanes_of s, lanes_of slope) {
    const double *inverse = m->inverse + g * c * c, *gram_slope = m->gram_slope + g * c * c;
    lanes_of x[MOST_COVARIATES], moved;
    memcpy(s, b[0][row], sizeof moved);
    memcpy(slope, b[0][row + 1], sizeof moved);
    for (int i = 0; i < c; i++) {
        IN(fill_lanes)(x[i], 0.0);
        for (int j = 0; j < c; j++)
            EACH_PACK x[i][k] += FILL(inverse[i * c + j]) * b[1 + j][row][k];
        EACH_PACK s[k] -= b[1 + i][row][k] * x[i][k];
    }
    for (int i = 0; i < c; i++) {
        EACH_PACK moved[k] = FILL(-2.0) * b[1 + i][row + 1][k];
        for (int j = 0; j < c; j++)
            EACH_PACK moved[k] += FILL(gram_slope[i * c + j]) * x[j][k];
        EACH_PACK slope[k] += x[i][k] * moved[k];
    }
}

/* S times the slope of the likelihood of every trait at every point, (points, traits), and whether it
   is exact: enough of y'Wy is left everywhere, and the slope is more than rounding somewhere. */
TARGET static void IN(fit_slopes)(const struct fits *f, const struct mesh *m, double *slope,
                                  unsigned char *sure) {
    const int c = (int)f->c;
    double *t = f->scratch; /* (1 + c, q, LANES) */
    for (Py_ssize_t start = 0; start < f->traits; start += LANES) {
        int lanes = f->traits - start < LANES ? (int)(f->traits - start) : LANES;
        const pack zero = FILL(0.0), one = FILL(1.0);
        lanes_of exact, steep; /* 1 or 0 */
        IN(fill_lanes)(exact, 1.0);
        IN(fill_lanes)(steep, 0.0);
        for (int s = 0; s <= c; s++)
            for (Py_ssize_t q = 0; q < f->q; q++) {
                const double *row = f->terms + (q * (1 + c) + s) * f->traits + start;
                double *out = t + (s * f->q + q) * LANES;
                for (int k = 0; k < LANES; k++)
                    out[k] = row[k < lanes ? k : lanes - 1];
            }
        for (Py_ssize_t g = 0; g < m->points; g += 2) {
            int two = g + 1 < m->points;
            const double *value = m->value + g * f->q, *first = m->first + g * f->q;
            const double *const w[4] = {value, first, value + two * f->q, first + two * f->q};
            lanes_of b[1 + MOST_COVARIATES][4];
            for (int s = 0; s <= c; s++)
                IN(four_sums)(t + s * f->q * LANES, w, f->q, b[s]);
            for (int p = 0; p <= two; p++) {
                lanes_of form, change;
                IN(forms_at)(m, c, g + p, b, 2 * p, form, change);
                const pack factor = FILL(-0.5 * m->count), volume = FILL(-0.5 * m->logdet_slope[g + p]);
                const pack limit = FILL(m->flat * m->count * m->change[g + p]), left = FILL(m->left);
                EACH_PACK {
                    pack x = factor * change[k] + volume * form[k], most = limit * form[k];
                    exact[k] = SELECT(form[k] > left * b[0][2 * p][k], exact[k], zero);
                    steep[k] = SELECT((x <= most) & (-x <= most), steep[k], one);
                    change[k] = x;
                }
                memcpy(slope + (g + p) * f->traits + start, change, lanes * sizeof(double));
            }
        }
        double both[LANES];
        EACH_PACK exact[k] *= steep[k];
        memcpy(both, exact, sizeof both);
        for (int k = 0; k < lanes; k++)
            sure[start + k] = both[k] > 0.0;
    }
}

/* Project columns (n, traits), of rows `row` numbers apart, off orthonormal covariates (n, c), twice;
   their squared lengths before and after. WIDTH columns at a time stay in cache. */
TARGET static void IN(project_out)(double *columns, Py_ssize_t row, Py_ssize_t n, Py_ssize_t traits,
                                   const double *covariates, Py_ssize_t c, double *size,
                                   double *left) {
    for (Py_ssize_t start = 0; start < traits; start += WIDTH) {
        int width = traits - start < WIDTH ? (int)(traits - start) : WIDTH;
        double sum[WIDTH], inside[2][MOST_COVARIATES][WIDTH];
        for (int step = 0; step < 3; step++) {
            memset(sum, 0, sizeof sum);
            if (step < 2)
                memset(inside[step], 0, c * sizeof inside[step][0]);
            for (Py_ssize_t r = 0; r < n; r++) {
                const double *fixed = covariates + r * c;
                double *x = columns + r * row + start;
                for (int i = 0; i < c && step; i++)
                    for (int k = 0; k < width; k++)
                        x[k] -= fixed[i] * inside[step - 1][i][k];
                for (int i = 0; i < c && step < 2; i++)
                    for (int k = 0; k < width; k++)
                        inside[step][i][k] += fixed[i] * x[k];
                for (int k = 0; k < width && step != 1; k++)
                    sum[k] += x[k] * x[k];
            }
            if (step != 1)
                memcpy((step ? left : size) + start, sum, width * sizeof(double));
        }
    }
}
