/* Forward and backward along a chromosome, for chains of haplotypes that keep their founder with
probability a and else take one by weight: one haplotype a state (haplotypes = 1), or an unordered pair
of them, ordered AA, AB, BB, AC, BC, CC, ... (haplotypes = 2).

Individuals are LANES side by side in vectors of doubles, and BLOCKS of such vectors are at a position
together, so that what is written there lies together too. The first pass keeps what is known before
the call of each position in single precision; the second turns that into the posterior.

With P the symmetric matrix of ordered pairs, m its row sums and t their sum, a step forward gives
a^2 P + a b (m w' + w m') + b^2 t w w', b = 1 - a. One backward gives a^2 B + a b (c 1' + 1 c') + b^2 w'c
for the likelihoods B, with c = B w. */

#ifndef CHAINS_TYPES
#define CHAINS_TYPES
#define LANES 4
#define BLOCKS 16
#define TOLD 6 /* what a call can be expected to be: crosses/emission.py */
#define MOST_FOUNDERS 64
typedef double quad __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef float quad_single __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int quad_order __attribute__((vector_size(4 * LANES)));
#if defined(__clang__)
#define TAKE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define TAKE(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_order){i, j, k, l})
#endif

typedef struct {
    Py_ssize_t positions, individuals, states, founders, kinds, markers, people, labels, often;
    const double *stay;          /* (positions - 1, kinds): a */
    const int64_t *which;        /* (individuals): the kind */
    const double *weights;       /* (founders): w */
    const double *start;         /* (states) */
    const double *table;         /* (calls, TOLD): probability of a call by what is expected */
    const uint8_t *expected;     /* (markers, states) */
    const int64_t *marker;       /* (positions): the row of the marker, -1 for none */
    const uint8_t *calls;        /* (markers, individuals) */
    const int64_t *places;       /* (individuals): where each is in `out` */
    const int64_t *columns;      /* (states): where each is in `out` */
    float *out;                  /* (positions, people, labels) */
    float *before;               /* (positions, BLOCKS, states, LANES) */
    double *scales;              /* (positions, BLOCKS, LANES) */
    double *vectors;             /* (BLOCKS, states, LANES) */
    int haplotypes, in_order;    /* whether `columns` are neighbours */
} chains_arguments;
typedef void chains_function(const chains_arguments *);

static const uint8_t NOTHING_EXPECTED[MOST_FOUNDERS * (MOST_FOUNDERS + 1) / 2];
#endif

#define INLINE static inline TARGET __attribute__((always_inline))
#define SINGLE(x) __builtin_convertvector(x, quad_single)

/* a of the individuals, over the interval before a position. */
INLINE void IN(stay)(const chains_arguments *c, Py_ssize_t position, const int64_t *who, quad *out) {
    const double *a = c->stay + (position - 1) * c->kinds;
    for (int l = 0; l < LANES; l++)
        (*out)[l] = a[c->which[who[l]]];
}

/* Probabilities of the individuals' calls at a position by what is expected; gives what is. */
INLINE const uint8_t *IN(told)(const chains_arguments *c, Py_ssize_t position, const int64_t *who,
                               quad *by) {
    int64_t marker = c->marker[position];
    if (marker < 0) {
        by[0] = (quad){1, 1, 1, 1};
        return NOTHING_EXPECTED;
    }
    const uint8_t *call = c->calls + marker * c->individuals;
    const double *r[LANES];
    for (int l = 0; l < LANES; l++)
        r[l] = c->table + call[who[l]] * TOLD;
    for (int x = 0; x < TOLD; x++)
        by[x] = (quad){r[0][x], r[1][x], r[2][x], r[3][x]};
    return c->expected + marker * c->states;
}

/* A step forward of pairs; `f` is what it gives, `v` that and the call. */
INLINE void IN(pairs_forward)(const chains_arguments *c, const quad *stay, quad *v, quad_single *f,
                              const quad *by, const uint8_t *expected, int founders,
                              double *scale) {
    quad u[MOST_FOUNDERS], t = {0}, a = *stay, b = 1 - a, kept = a * a, mixed = a * b, both = b * b;
    const double *w = c->weights;
    const quad *q = v;
    for (int j = 0; j < founders; j++) { /* u = 2 m */
        quad sum = q[j] + q[j];
        for (int i = 0; i < j; i++) {
            sum += q[i];
            u[i] += q[i];
        }
        u[j] = sum;
        q += j + 1;
    }
    for (int i = 0; i < founders; i++)
        t += u[i];
    if (scale) {
        quad r = 2 / t;
        *(quad *)scale = r;
        kept *= r;
        mixed *= r;
        both *= r;
    }
    t *= 0.5 * both;
    for (int i = 0; i < founders; i++)
        u[i] = mixed * u[i] + t * w[i];
    for (int j = 0, s = 0; j < founders; j++)
        for (int i = 0; i <= j; i++, s++) {
            quad x = kept * v[s] + (i < j ? u[i] * w[j] + u[j] * w[i] : u[j] * w[j]);
            f[s] = SINGLE(x);
            v[s] = x * by[expected[s]];
        }
}

/* The posterior of pairs at a position, into `f`, and a step backward where `step` is set. */
INLINE void IN(pairs_backward)(const chains_arguments *c, const quad *stay, quad *v, quad_single *f,
                               const quad *by, const uint8_t *expected, int founders,
                               const double *scale, int step) {
    quad u[MOST_FOUNDERS], t = {0}; /* u = c */
    const double *w = c->weights;
    for (int j = 0, s = 0; j < founders; j++) {
        quad sum = {0};
        for (int i = 0; i <= j; i++, s++) {
            quad x = v[s] * by[expected[s]];
            v[s] = x;
            f[s] *= SINGLE(x);
            sum += x * w[i];
            if (i < j)
                u[i] += x * w[j];
        }
        u[j] = sum;
    }
    if (!step)
        return;
    quad a = *stay, b = 1 - a, kept = a * a, mixed = a * b, both = b * b;
    if (scale) {
        quad r = *(const quad *)scale;
        kept *= r;
        mixed *= r;
        both *= r;
    }
    for (int i = 0; i < founders; i++)
        t += u[i] * w[i];
    t *= 0.5 * both;
    for (int i = 0; i < founders; i++)
        u[i] = mixed * u[i] + t;
    for (int j = 0, s = 0; j < founders; j++)
        for (int i = 0; i <= j; i++, s++)
            v[s] = kept * v[s] + (u[i] + u[j]);
}

/* The same of single haplotypes: a v + (1 - a) t w. */
INLINE void IN(haplotypes_forward)(const chains_arguments *c, const quad *stay, quad *v, quad_single *f,
                                   const quad *by, const uint8_t *expected, double *scale) {
    quad t = {0}, a = *stay, moved = 1 - a;
    for (Py_ssize_t s = 0; s < c->states; s++)
        t += v[s];
    if (scale) {
        quad r = 1 / t;
        *(quad *)scale = r;
        a *= r;
        moved *= r;
    }
    t *= moved;
    for (Py_ssize_t s = 0; s < c->states; s++) {
        quad x = a * v[s] + t * c->weights[s];
        f[s] = SINGLE(x);
        v[s] = x * by[expected[s]];
    }
}

INLINE void IN(haplotypes_backward)(const chains_arguments *c, const quad *stay, quad *v, quad_single *f,
                                    const quad *by, const uint8_t *expected, const double *scale,
                                    int step) {
    quad t = {0}, a = *stay, moved = 1 - a;
    for (Py_ssize_t s = 0; s < c->states; s++) {
        quad x = v[s] * by[expected[s]];
        v[s] = x;
        f[s] *= SINGLE(x);
        t += x * c->weights[s];
    }
    if (!step)
        return;
    if (scale) {
        quad r = *(const quad *)scale;
        a *= r;
        moved *= r;
    }
    t *= moved;
    for (Py_ssize_t s = 0; s < c->states; s++)
        v[s] = a * v[s] + t;
}

/* Write the vectors of a position into the rows of their individuals. */
INLINE void IN(put)(const chains_arguments *c, Py_ssize_t position, Py_ssize_t first, int count,
                    const quad_single *f) {
    float *row[LANES];
    for (int l = 0; l < LANES; l++)
        row[l] = c->out +
                 (position * c->people + c->places[first + (l < count ? l : 0)]) * c->labels;
    Py_ssize_t s = 0;
    if (c->in_order && count == LANES) {
        for (; s + LANES <= c->states; s += LANES) { /* transpose four by four */
            quad_single ab = TAKE(f[s], f[s + 1], 0, 4, 1, 5),
                        cd = TAKE(f[s + 2], f[s + 3], 0, 4, 1, 5),
                        ef = TAKE(f[s], f[s + 1], 2, 6, 3, 7),
                        gh = TAKE(f[s + 2], f[s + 3], 2, 6, 3, 7);
            Py_ssize_t at = c->columns[0] + s;
            *(quad_single *)(row[0] + at) = TAKE(ab, cd, 0, 1, 4, 5);
            *(quad_single *)(row[1] + at) = TAKE(ab, cd, 2, 3, 6, 7);
            *(quad_single *)(row[2] + at) = TAKE(ef, gh, 0, 1, 4, 5);
            *(quad_single *)(row[3] + at) = TAKE(ef, gh, 2, 3, 6, 7);
        }
    }
    for (; s < c->states; s++)
        for (int l = 0; l < count; l++)
            row[l][c->columns[s]] = f[s][l];
}

/* All positions of up to BLOCKS x LANES individuals. */
INLINE void IN(some)(const chains_arguments *c, Py_ssize_t first, Py_ssize_t count, int haplotypes,
                     int founders) {
    int blocks = (int)((count + LANES - 1) / LANES);
    int64_t who[BLOCKS][LANES] = {{0}};
    quad by[TOLD], *vectors = (quad *)c->vectors;
    for (int g = 0; g < blocks; g++)
        for (int l = 0; l < LANES; l++) /* lanes without an individual repeat the first */
            who[g][l] = first + (g * LANES + l < count ? g * LANES + l : 0);
    for (Py_ssize_t p = 0; p < c->positions; p++)
        for (int g = 0; g < blocks; g++) {
            const uint8_t *expected = IN(told)(c, p, who[g], by);
            quad *v = vectors + g * c->states;
            quad_single *f = (quad_single *)c->before + (p * BLOCKS + g) * c->states;
            double *scale = p % c->often ? NULL : c->scales + (p * BLOCKS + g) * LANES;
            quad a;
            if (p)
                IN(stay)(c, p, who[g], &a);
            if (!p)
                for (Py_ssize_t s = 0; s < c->states; s++) {
                    quad x = (quad){0} + c->start[s];
                    f[s] = SINGLE(x);
                    v[s] = x * by[expected[s]];
                }
            else if (haplotypes == 2)
                IN(pairs_forward)(c, &a, v, f, by, expected, founders, scale);
            else
                IN(haplotypes_forward)(c, &a, v, f, by, expected, scale);
        }
    for (int g = 0; g < blocks; g++) {
        quad *v = vectors + g * c->states, t = {0};
        for (Py_ssize_t s = 0; s < c->states; s++)
            t += v[s];
        for (Py_ssize_t s = 0; s < c->states; s++)
            v[s] = 1 / t;
    }
    for (Py_ssize_t p = c->positions - 1; p >= 0; p--)
        for (int g = 0; g < blocks; g++) {
            const uint8_t *expected = IN(told)(c, p, who[g], by);
            quad *v = vectors + g * c->states, a = {0};
            quad_single *f = (quad_single *)c->before + (p * BLOCKS + g) * c->states;
            const double *scale = p % c->often ? NULL : c->scales + (p * BLOCKS + g) * LANES;
            if (p)
                IN(stay)(c, p, who[g], &a);
            if (haplotypes == 2)
                IN(pairs_backward)(c, &a, v, f, by, expected, founders, scale, p > 0);
            else
                IN(haplotypes_backward)(c, &a, v, f, by, expected, scale, p > 0);
            Py_ssize_t left = count - g * LANES;
            IN(put)(c, p, first + g * LANES, left < LANES ? (int)left : LANES, f);
        }
}

TARGET static void IN(chains)(const chains_arguments *c) {
    for (Py_ssize_t first = 0; first < c->individuals; first += BLOCKS * LANES) {
        Py_ssize_t left = c->individuals - first;
        Py_ssize_t count = left < BLOCKS * LANES ? left : BLOCKS * LANES;
        if (c->haplotypes == 1)
            IN(some)(c, first, count, 1, 0);
        else if (c->founders == 8) /* the usual number: its loops are unrolled */
            IN(some)(c, first, count, 2, 8);
        else
            IN(some)(c, first, count, 2, (int)c->founders);
    }
}

#undef INLINE
#undef SINGLE
