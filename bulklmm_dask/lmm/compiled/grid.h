/* LODs of a tile of pairs, each at the best of several heritabilities (`alt/grid.py`).

Included for TYPE double and float. The likelihood to maximise is that of the null model plus
-(count/2) ln(1 - r2), so (1 - r2) times a factor of trait and point is to be least: no logarithm but
that of the best point. Scores are (traits, points, markers). */

#ifndef GRID_TYPES
#define GRID_TYPES
struct grid {
    const void *score, *inverse, *volume, *factor, *full; /* all of TYPE */
    Py_ssize_t traits, points, markers, first, all_markers;
    double half_n, to_lod, limit, tied;
    void *lod;                      /* of TYPE */
    int64_t *best;                  /* point of each pair */
    unsigned char *inexact, *ties;  /* a point with r2 > limit; another point that may be better */
};
typedef void grid_tile(const struct grid *);
#endif

TARGET static void GRID(const struct grid *c) {
    const TYPE limit = (TYPE)c->limit, tied = (TYPE)c->tied;
    const TYPE half_n = (TYPE)c->half_n, to_lod = (TYPE)c->to_lod;
    TYPE score_end[WIDTH] = {0}, inverse_end[WIDTH] = {0}, volume_end[WIDTH] = {0};
    for (Py_ssize_t j = 0; j < c->traits; j++) {
        const TYPE *factor = (const TYPE *)c->factor + j * c->points;
        const TYPE *full = (const TYPE *)c->full + j * c->points;
        for (Py_ssize_t i = 0; i < c->markers; i += WIDTH) {
            int count = c->markers - i < WIDTH ? (int)(c->markers - i) : WIDTH;
            TYPE least[WIDTH], second[WIDTH], best[WIDTH], value[WIDTH];
            PLACE place[WIDTH];
            int32_t large[WIDTH] = {0};
            for (int k = 0; k < WIDTH; k++) {
                least[k] = second[k] = (TYPE)INFINITY;
                best[k] = 0;
                place[k] = 0;
            }
            for (Py_ssize_t q = 0; q < c->points; q++) {
                const TYPE *s = (const TYPE *)c->score + (j * c->points + q) * c->markers + i;
                const TYPE *b = (const TYPE *)c->inverse + q * c->all_markers + c->first + i;
                const TYPE *v = (const TYPE *)c->volume + q * c->all_markers + c->first + i;
                if (count < WIDTH) {
                    s = memcpy(score_end, s, count * sizeof(TYPE));
                    b = memcpy(inverse_end, b, count * sizeof(TYPE));
                    v = memcpy(volume_end, v, count * sizeof(TYPE));
                }
                TYPE f = factor[q];
                for (int k = 0; k < WIDTH; k++) {
                    TYPE r2 = s[k] * s[k] * b[k], cost = ((TYPE)1 - r2) * (f * v[k]);
                    large[k] |= r2 > limit;
                    int better = cost < least[k];
                    TYPE other = better ? least[k] : cost;
                    second[k] = other < second[k] ? other : second[k];
                    least[k] = better ? cost : least[k];
                    best[k] = better ? r2 : best[k];
                    place[k] = better ? (PLACE)q : place[k];
                }
            }
            Py_ssize_t start = j * c->markers + i;
            TYPE *lod = (TYPE *)c->lod + start;
            TYPE out[WIDTH];
            for (int k = 0; k < WIDTH; k++)
                value[k] = full[place[k]];
            for (int k = 0; k < WIDTH; k++)
                out[k] = (value[k] - half_n * LOG_OF_LEFT(best[k])) * to_lod;
            memcpy(lod, out, count * sizeof(TYPE));
            for (int k = 0; k < count; k++) {
                c->best[start + k] = place[k];
                c->inexact[start + k] = (unsigned char)large[k];
                c->ties[start + k] = second[k] < least[k] * tied;
            }
        }
    }
}
