/* Likelihoods of single pairs from a few terms: sums over q of t_q / v(mu_q, h), v = mu h + 1 - h.

Terms (q, 3, pairs) are those of S_yy, S_xy and S_xx. LANES pairs are computed together; the last are
filled up with copies of the last pair. Counterparts in NumPy: `alt/sums.py`, `compress.py`. */

#ifndef PAIRS_TYPES
#define PAIRS_TYPES

struct volume {
    const double *poles, *terms;
    Py_ssize_t q;
};

struct pairs {
    const double *poles, *terms;
    Py_ssize_t q, pairs;
    const int64_t *some;
    Py_ssize_t count;
};

typedef void pair_derivatives(const struct pairs *, const double *h2, struct volume, double count,
                              int reml, double *slope, double *bend);
typedef void pair_values(const struct pairs *, const double *h2, double *sums);
typedef void volume_integrals(struct volume, const double *h2, Py_ssize_t count, double *out);
#endif

/* Terms q of the pairs of some lanes, (3, LANES). */
TARGET static inline void IN(terms_of)(const struct pairs *p, Py_ssize_t q, const int64_t *at,
                                       double t[3][LANES]) {
    for (int s = 0; s < 3; s++) {
        const double *row = p->terms + (3 * q + s) * p->pairs;
        for (int k = 0; k < LANES; k++)
            t[s][k] = row[at[k]];
    }
}

TARGET static inline void IN(lanes)(const struct pairs *p, Py_ssize_t start, const double *h2,
                                    int64_t at[LANES], double h[LANES]) {
    for (int k = 0; k < LANES; k++) {
        Py_ssize_t i = start + k < p->count ? start + k : p->count - 1;
        at[k] = p->some[i];
        h[k] = h2[i];
    }
}

/* First two derivatives of -1/2 [count ln R + ln|V| (+ ln S_xx)] of each pair at its own h. */
TARGET static void IN(pair_derivatives)(const struct pairs *p, const double *h2,
                                        struct volume volume, double count, int reml, double *slope,
                                        double *bend) {
    for (Py_ssize_t start = 0; start < p->count; start += LANES) {
        int64_t at[LANES];
        double h[LANES], t[3][LANES], s0[3][LANES] = {{0}}, s1[3][LANES] = {{0}},
            s2[3][LANES] = {{0}}, v1[LANES] = {0}, v2[LANES] = {0}, one[LANES], two[LANES];
        IN(lanes)(p, start, h2, at, h);
        for (Py_ssize_t q = 0; q < p->q; q++) {
            double pole = p->poles[q], change = pole - 1.0;
            double w[LANES], first[LANES], second[LANES];
            for (int k = 0; k < LANES; k++) {
                w[k] = 1.0 / (pole * h[k] + (1.0 - h[k]));
                first[k] = -w[k] * (change * w[k]);
                second[k] = -2.0 * first[k] * (change * w[k]);
            }
            IN(terms_of)(p, q, at, t);
            for (int s = 0; s < 3; s++)
                for (int k = 0; k < LANES; k++) {
                    s0[s][k] += t[s][k] * w[k];
                    s1[s][k] += t[s][k] * first[k];
                    s2[s][k] += t[s][k] * second[k];
                }
        }
        for (Py_ssize_t q = 0; q < volume.q; q++) {
            double pole = volume.poles[q], change = pole - 1.0, term = volume.terms[q];
            for (int k = 0; k < LANES; k++) {
                double w = 1.0 / (pole * h[k] + (1.0 - h[k]));
                v1[k] += term * w;
                v2[k] -= term * w * (change * w);
            }
        }
        for (int k = 0; k < LANES; k++) {
            double b = s0[1][k] / s0[2][k], rest = s0[0][k] - b * s0[1][k];
            double moved = s1[1][k] - b * s1[2][k];
            double d1 = (s1[0][k] - b * (s1[1][k] + moved)) / rest;
            double d2 = s2[0][k] - b * (2.0 * s2[1][k] - b * s2[2][k]) -
                        2.0 * moved * moved / s0[2][k];
            one[k] = count * d1 + v1[k];
            two[k] = count * (d2 / rest - d1 * d1) + v2[k];
        }
        if (reml)
            for (int k = 0; k < LANES; k++) {
                double ratio = s1[2][k] / s0[2][k];
                one[k] += ratio;
                two[k] += s2[2][k] / s0[2][k] - ratio * ratio;
            }
        for (int k = 0; k < LANES && start + k < p->count; k++) {
            slope[start + k] = -0.5 * one[k];
            bend[start + k] = -0.5 * two[k];
        }
    }
}

/* S_yy, S_xy and S_xx of each pair at its own h, (3, count). */
TARGET static void IN(pair_values)(const struct pairs *p, const double *h2, double *sums) {
    for (Py_ssize_t start = 0; start < p->count; start += LANES) {
        int64_t at[LANES];
        double h[LANES], t[3][LANES], s0[3][LANES] = {{0}};
        IN(lanes)(p, start, h2, at, h);
        for (Py_ssize_t q = 0; q < p->q; q++) {
            double pole = p->poles[q], w[LANES];
            for (int k = 0; k < LANES; k++)
                w[k] = 1.0 / (pole * h[k] + (1.0 - h[k]));
            IN(terms_of)(p, q, at, t);
            for (int s = 0; s < 3; s++)
                for (int k = 0; k < LANES; k++)
                    s0[s][k] += t[s][k] * w[k];
        }
        for (int s = 0; s < 3; s++)
            for (int k = 0; k < LANES && start + k < p->count; k++)
                sums[s * p->count + start + k] = s0[s][k];
    }
}

/* Sums of terms times ln(v)/(mu - 1), the integral of 1/v from 0 to h. No digits are lost where v is
   near 1: there v - 1 is (mu - 1) h. */
TARGET static void IN(volume_integrals)(struct volume volume, const double *h2, Py_ssize_t count,
                                        double *out) {
    for (Py_ssize_t start = 0; start < count; start += LANES) {
        double h[LANES], sum[LANES] = {0}, v[LANES], m[LANES], e[LANES];
        for (int k = 0; k < LANES; k++)
            h[k] = h2[start + k < count ? start + k : count - 1];
        for (Py_ssize_t q = 0; q < volume.q; q++) {
            double pole = volume.poles[q], change = pole - 1.0, term = volume.terms[q];
            double inverse = 1.0 / (change == 0.0 ? 1.0 : change);
            for (int k = 0; k < LANES; k++)
                v[k] = pole * h[k] + (1.0 - h[k]);
            IN(split)(v, e, m);
            for (int k = 0; k < LANES; k++) {
                double f = e[k] == 0.0 ? change * h[k] : m[k] - 1.0, root = 1.0 / (2.0 + f);
                double s = f * root, twice = 2.0 * IN(atanh_over)(s * s);
                double near = h[k] * root * twice, far = (e[k] * LN2 + s * twice) * inverse;
                sum[k] += term * (e[k] == 0.0 ? near : far);
            }
        }
        for (int k = 0; k < LANES && start + k < count; k++)
            out[start + k] = sum[k];
    }
}
