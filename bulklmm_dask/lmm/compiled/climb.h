/* Maxima of the likelihoods of a tile of pairs near their null estimates (`alt/climb_passes.py`).

Arrays of pairs are (traits, markers), those of coefficients have an axis before; all are contiguous.
The steps are those of NumPy there, with the same names. ln(1 - r2) is good for r2 up to 1/2
(`logs.h`): pairs with an r2 above `large` are marked anyway. */

#ifndef CLIMB_TYPES
#define CLIMB_TYPES
#define POWERS 4
#define TERMS 9 /* coefficients of g, and of what depends on the trait alone */
#define STREAMS (POWERS + TERMS)

/* Columns of the table of traits. */
enum {
    POWER4 = 0,
    POWER5 = POWER4 + POWERS,
    OBJECTIVE = POWER5 + POWERS,
    FULL = OBJECTIVE + TERMS,
    LOW = FULL + TERMS,
    HIGH,
    WIDTH_OF_U,
    CENTRE,
    H0,
    LEAST,
    MOST_T,
    UNUSABLE,
    INWARDS,
    AT_EDGE,
    COLUMNS
};
/* Columns of the table of other places: alpha, that of another score, its bound, and the factor of the
   null likelihood. */
enum { ALPHA_FAR = POWERS, BOUND, FACTOR, PLACE_COLUMNS };

struct climb {
    const float *a, *g, *table, *places, *far, *inverse, *volume;
    const int64_t *node, *heights, *far_row; /* of far; -1 for a trait without another score */
    Py_ssize_t traits, markers, most, first, all_markers;
    float n, count, series, step, large, h2_max;
    float *value, *h2;
    unsigned char *unsure;
};

typedef void climb_tile(const struct climb *);
#endif

struct IN(point) {
    float objective, slope, full, full_slope, square, g;
};

/* Likelihoods at t. */
TARGET static inline __attribute__((always_inline)) struct IN(point)
    IN(at)(const float a[POWERS + 2], const float g[TERMS], const float *trait, float t, float half,
           float other, float n_half, const int reml) {
    float av = a[5] * t + a[4], as = a[5], gv = g[8] * t + g[7], gs = g[8];
    const float *o = trait + OBJECTIVE;
    float ov = o[8] * t + o[7], os = o[8];
    for (int k = 3; k >= 0; k--) {
        as = as * t + av;
        av = av * t + a[k];
    }
    for (int k = 6; k >= 0; k--) {
        gs = gs * t + gv;
        gv = gv * t + g[k];
        os = os * t + ov;
        ov = ov * t + o[k];
    }
    struct IN(point) out;
    float square = av * av, rest = gv - square;
    float of_rest = (gs - 2.0f * as * av) / rest, of_g = gs / gv;
    float logarithm = IN(log_of_rest)(square / gv);
    out.square = square;
    out.g = gv;
    out.objective = ov - half * logarithm;
    out.slope = os - of_rest * half + of_g * other;
    if (reml) {
        const float *f = trait + FULL;
        float fv = f[8] * t + f[7], fs = f[8];
        for (int k = 6; k >= 0; k--) {
            fs = fs * t + fv;
            fv = fv * t + f[k];
        }
        out.full = fv - n_half * logarithm;
        out.full_slope = fs - n_half * of_rest + n_half * of_g;
        out.objective -= 0.5f * IN(logf)(gv);
    } else {
        out.full = out.objective;
        out.full_slope = out.slope;
    }
    return out;
}

TARGET static inline float IN(within)(float t, float low, float high) {
    t = t < low ? low : t;
    return t > high ? high : t;
}

/* WIDTH pairs of one trait. */
TARGET static inline __attribute__((always_inline)) void
IN(climb_pairs)(const struct climb *c, const float *const s[STREAMS], const float *trait,
                float value[WIDTH], float objective[WIDTH], float place[WIDTH],
                int32_t unsure[WIDTH], const int reml) {
    const float half = 0.5f * c->count, other = half - (reml ? 0.5f : 0.0f), n_half = 0.5f * c->n;
    const float low = trait[LOW], high = trait[HIGH], least = trait[LEAST], most = trait[MOST_T];
    const float inwards = trait[INWARDS], slope1 = trait[OBJECTIVE + 1];
    const float bend2 = 2.0f * trait[OBJECTIVE + 2], step_limit = c->step;
    const float large = c->large, series = c->series;
    const int32_t at_end = inwards != 0.0f, at_edge = trait[AT_EDGE] != 0.0f,
                  unusable = trait[UNUSABLE] != 0.0f;
    const float *RESTRICT s0 = s[0], *RESTRICT s1 = s[1], *RESTRICT s2 = s[2], *RESTRICT s3 = s[3];
    for (int k = 0; k < WIDTH; k++) {
        float a[POWERS + 2] = {s0[k], s1[k], s2[k], s3[k], 0.0f, 0.0f}, g[TERMS];
        for (int i = 0; i < TERMS; i++)
            g[i] = s[POWERS + i][k];
        for (int i = 0; i < POWERS; i++) {
            a[4] += trait[POWER4 + i] * a[i];
            a[5] += trait[POWER5 + i] * a[i];
        }
        /* F' and F'' at t = 0. */
        float inverse = 1.0f / (g[0] - a[0] * a[0]);
        float of_rest = (g[1] - 2.0f * a[0] * a[1]) * inverse;
        float bend = 2.0f * (g[2] - (a[1] * a[1] + 2.0f * a[0] * a[2])) * inverse;
        bend = (bend - of_rest * of_rest) * -half;
        float inverse_g = 1.0f / g[0], of_g = g[1] * inverse_g;
        bend += (2.0f * g[2] * inverse_g - of_g * of_g) * other + bend2;
        float slope = of_g * other - of_rest * half + slope1;
        /* Newton's step; at an end of the interval those that would leave it stay. */
        int32_t stay = at_end & (slope * inwards <= 0.0f);
        int32_t doubt = (bend >= 0.0f) & !stay;
        float t = stay ? 0.0f : -slope / bend;
        t = IN(within)(t, low, high);
        struct IN(point) at = IN(at)(a, g, trait, t, half, other, n_half, reml);
        /* By a parabola through F'(0), F''(0) and F'(t). */
        float under = 2.0f * (at.slope - slope) - bend * t;
        float step = -at.slope * t / under;
        doubt |= under * t > 0.0f;
        step = at_end & (t == 0.0f) ? 0.0f : step;
        float moved = t + step;
        doubt |= (moved <= least) | (moved >= most);
        moved = IN(within)(moved, low, high);
        float taken = moved - t, gain = at.slope * taken;
        int32_t over = at_edge & (taken != step);
        gain *= over ? 2.0f - taken / step : 1.0f;
        gain *= 0.5f;
        doubt |= gain > step_limit;
        doubt |= at.square > at.g * large;
        float eighth = moved * moved;
        eighth *= eighth;
        eighth *= eighth;
        doubt |= eighth * at.square * series > at.g;
        doubt |= unusable;
        objective[k] = at.objective + gain;
        value[k] = objective[k];
        if (reml) {
            /* The full likelihood is not stationary there: another step. */
            struct IN(point) last = IN(at)(a, g, trait, moved, half, other, n_half, reml);
            float next = last.slope / (at.slope + 1e-20f) * taken + moved;
            next = IN(within)(next, low, high);
            float change = (next - moved) * last.full_slope;
            doubt |= (change > step_limit) | (change < -step_limit);
            value[k] = last.full + change;
            moved = next;
        }
        place[k] = moved;
        unsure[k] = doubt;
    }
}

TARGET static inline __attribute__((always_inline)) void IN(climb_all)(const struct climb *c,
                                                                       const int reml) {
    float pads[STREAMS][WIDTH], inverse_end[WIDTH] = {0}, volume_end[WIDTH] = {0};
    float far_end[WIDTH] = {0}, nothing[WIDTH] = {0};
    float value[WIDTH], objective[WIDTH], place[WIDTH], rest[WIDTH], root[WIDTH];
    int32_t unsure[WIDTH];
    const Py_ssize_t size = c->traits * c->markers;
    const float scale = -2.0f / c->count;
    for (int i = 0; i < STREAMS; i++)
        for (int k = 0; k < WIDTH; k++)
            pads[i][k] = i == POWERS;
    for (Py_ssize_t j = 0; j < c->traits; j++) {
        const float *trait = c->table + j * COLUMNS;
        for (Py_ssize_t i = 0; i < c->markers; i += WIDTH) {
            int count = c->markers - i < WIDTH ? (int)(c->markers - i) : WIDTH;
            Py_ssize_t start = j * c->markers + i;
            const float *s[STREAMS];
            for (int k = 0; k < STREAMS; k++) {
                s[k] = k < POWERS ? c->a + k * size + start : c->g + (k - POWERS) * size + start;
                if (count < WIDTH)
                    s[k] = memcpy(pads[k], s[k], count * sizeof(float));
            }
            IN(climb_pairs)(c, s, trait, value, objective, place, unsure, reml);
            /* Whether there may be a higher maximum elsewhere. */
            for (int k = 0; k < WIDTH; k++) {
                float x = objective[k] * scale;
                unsure[k] |= (x > 1.0f) | (x < -1.0f);
                rest[k] = IN(expf)(x);
                root[k] = sqrtf(s[POWERS][k]);
            }
            const float *far = nothing;
            if (c->far_row[j] >= 0) {
                far = c->far + c->far_row[j] * c->markers + i;
                if (count < WIDTH)
                    far = memcpy(far_end, far, count * sizeof(float));
            }
            for (Py_ssize_t h = 0; h < c->heights[j]; h++) {
                const float *alpha = c->places + (j * c->most + h) * PLACE_COLUMNS;
                const float bound = alpha[BOUND], factor = alpha[FACTOR];
                Py_ssize_t row = c->node[j * c->most + h] * c->all_markers + c->first + i;
                const float *inverse = c->inverse + row, *volume = c->volume + row;
                if (count < WIDTH) {
                    inverse = memcpy(inverse_end, inverse, count * sizeof(float));
                    volume = memcpy(volume_end, volume, count * sizeof(float));
                }
                for (int k = 0; k < WIDTH; k++) {
                    float score = alpha[0] * s[0][k] + alpha[1] * s[1][k] + alpha[2] * s[2][k] +
                                  alpha[3] * s[3][k] + alpha[ALPHA_FAR] * far[k];
                    score = fabsf(score) + bound * root[k];
                    float share = rest[k] * factor * (reml ? volume[k] : 1.0f);
                    unsure[k] |= score * score * inverse[k] + share > 1.0f;
                }
            }
            for (int k = 0; k < WIDTH; k++) {
                float t = place[k];
                float h2 = t / (trait[WIDTH_OF_U] - trait[CENTRE] * t) + trait[H0];
                place[k] = IN(within)(h2, 0.0f, c->h2_max);
                unsure[k] |= !(value[k] - value[k] == 0.0f); /* not finite */
            }
            memcpy(c->value + start, value, count * sizeof(float));
            memcpy(c->h2 + start, place, count * sizeof(float));
            for (int k = 0; k < count; k++)
                c->unsure[start + k] = (unsigned char)unsure[k];
        }
    }
}

TARGET static void IN(climb_full)(const struct climb *c) { IN(climb_all)(c, 0); }
TARGET static void IN(climb_restricted)(const struct climb *c) { IN(climb_all)(c, 1); }
