/* LODs of a tile of pairs: r2 = s^2 / S_xx, LOD = -(n/2) log10(1 - r2), for r2 up to 1/2.

With u = r2/(2 - r2), -ln(1 - r2) = 2 atanh(u): no logarithm, and no digits lost by 1 - r2 (`logs.h`).
Pairs with r2 above `limit` are listed in `again`, as the number of pairs before them in their tile; their
LOD is 0. */

#ifndef LODS_TYPES
#define LODS_TYPES
#define LODS_ARGUMENTS                                                                              \
    const char *score, Py_ssize_t score_row, const char *inverse, Py_ssize_t inverse_row,           \
        char *out, Py_ssize_t out_row, Py_ssize_t rows, Py_ssize_t columns, int64_t *again,         \
        float limit, float scale
typedef Py_ssize_t lods_of_doubles(LODS_ARGUMENTS);
typedef Py_ssize_t lods_of_floats(LODS_ARGUMENTS);
#endif

#define LODS_OF_ROWS(NAME, TYPE)                                                                    \
    TARGET static Py_ssize_t NAME(LODS_ARGUMENTS) {                                                 \
        Py_ssize_t found = 0;                                                                       \
        TYPE score_end[WIDTH] = {0}; /* what a row has beyond whole blocks, and zeros */            \
        double inverse_end[WIDTH] = {0};                                                            \
        float r2[WIDTH], lod[WIDTH];                                                                \
        for (Py_ssize_t i = 0; i < rows; i++) {                                                     \
            const TYPE *s_row = (const TYPE *)(score + i * score_row);                              \
            const double *b_row = (const double *)(inverse + i * inverse_row);                      \
            float *lod_row = (float *)(out + i * out_row);                                          \
            for (Py_ssize_t j = 0; j < columns; j += WIDTH) {                                       \
                int count = columns - j < WIDTH ? (int)(columns - j) : WIDTH;                       \
                const TYPE *RESTRICT s = s_row + j;                                                 \
                const double *RESTRICT b = b_row + j;                                               \
                if (count < WIDTH) {                                                                \
                    memcpy(score_end, s, count * sizeof(TYPE));                                     \
                    memcpy(inverse_end, b, count * sizeof(double));                                 \
                    s = score_end;                                                                  \
                    b = inverse_end;                                                                \
                }                                                                                   \
                int large = 0;                                                                      \
                for (int k = 0; k < WIDTH; k++)                                                     \
                    r2[k] = (float)(s[k] * s[k] * (TYPE)b[k]);                                      \
                for (int k = 0; k < WIDTH; k++)                                                     \
                    large |= r2[k] > limit;                                                         \
                if (large)                                                                          \
                    for (int k = 0; k < count; k++)                                                 \
                        if (r2[k] > limit) {                                                        \
                            again[found++] = (int64_t)(i * columns + j + k);                        \
                            r2[k] = 0.0f;                                                           \
                        }                                                                           \
                for (int k = 0; k < WIDTH; k++) {                                                   \
                    float u = r2[k] / (2.0f - r2[k]);                                               \
                    lod[k] = scale * u * IN(atanh_overf)(u * u);                                    \
                }                                                                                   \
                memcpy(lod_row + j, lod, count * sizeof(float));                                    \
            }                                                                                       \
        }                                                                                           \
        return found;                                                                               \
    }

LODS_OF_ROWS(IN(lods_of_doubles), double)
LODS_OF_ROWS(IN(lods_of_floats), float)
#undef LODS_OF_ROWS
