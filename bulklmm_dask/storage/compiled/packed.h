/* Rows of bytes, some of them copies of others, as a chunk of Blosc with one block of LZ4.

A search for repetitions would find the copies of rows, which are known. So a row is written as it is,
or as the place of the row before that it copies. The chunk is one that any version 1 of Blosc decodes:
16 bytes of header, the offset of the block, its length, and the block, which has neither a shuffle nor
parts. A block of LZ4 is a sequence of literals and of matches: a token (length of both, 15 for more, in
further bytes), the literals, and the distance of the match, at most 65,535. The last match begins at
least 12 bytes before the end, and the last 5 bytes are literals. */

#include <stddef.h>

#define LEAST_WIDTH 16        /* bytes of a row: a match, and the 12 bytes that end the block */
#define MOST_PACKED (1 << 29) /* bytes of all rows: Blosc decodes no block above 683 MiB */
#define FARTHEST 65535
#define SHORTEST 4 /* bytes of a match, and what its length is less by in its token */
#define TAIL 12
#define HEADER 24 /* bytes before the block */

static inline void put_32(unsigned char *at, uint32_t value) {
    for (int k = 0; k < 4; k++)
        at[k] = (unsigned char)(value >> (8 * k));
}

/* Write what a length has beyond 15. */
static inline unsigned char *put_rest(unsigned char *at, Py_ssize_t length) {
    if (length < 15)
        return at;
    for (length -= 15; length >= 255; length -= 255)
        *at++ = 255;
    *at++ = (unsigned char)length;
    return at;
}

static inline unsigned char half_token(Py_ssize_t length) {
    return (unsigned char)(length < 15 ? length : 15);
}

/* Bytes that a length takes beyond its half of the token, or fewer. */
static inline Py_ssize_t rest_of(Py_ssize_t length) { return length / 255 + 1; }

/* Rows of bytes, and where each of the source stands last in what is written; -1 for nowhere. */
struct rows {
    const char *source;
    Py_ssize_t stride, width;
    const int64_t *of;
    int32_t *last;
};

static inline const char *row(const struct rows *r, Py_ssize_t i) {
    return r->source + r->of[i] * r->stride;
}

/* How many rows before row i there is one that it copies; 0 for none near enough. */
static inline Py_ssize_t rows_back(const struct rows *r, Py_ssize_t i) {
    int32_t last = r->last[r->of[i]];
    if (last >= 0 && (i - last) * r->width <= FARTHEST)
        return i - last;
    return i > 0 && r->width <= FARTHEST && !memcmp(row(r, i), row(r, i - 1), (size_t)r->width);
}

/* Write `n` rows; give the length of the chunk, 0 if it is not shorter than they are. `out` has room for
   them. */
static Py_ssize_t pack_rows(const struct rows *r, Py_ssize_t n, int itemsize, unsigned char *out) {
    const Py_ssize_t width = r->width;
    const unsigned char *end = out + n * width;
    unsigned char *at = out + HEADER;
    for (Py_ssize_t i = 0; i < n;) {
        Py_ssize_t first = i, back = 0; /* literals are rows first to i, a match rows i to next */
        for (; i < n && !(back = rows_back(r, i)); i++)
            r->last[r->of[i]] = (int32_t)i;
        Py_ssize_t next = i;
        for (; next < n && rows_back(r, next) == back; next++)
            r->last[r->of[next]] = (int32_t)next;
        Py_ssize_t literals = (i - first) * width, match = (next - i) * width;
        Py_ssize_t tail = match && next == n ? TAIL : 0;
        match -= tail;
        if (end - at < literals + rest_of(literals) + rest_of(match) + 2 * TAIL)
            return 0;
        unsigned char *token = at++;
        *token = (unsigned char)(half_token(literals) << 4);
        at = put_rest(at, literals);
        for (Py_ssize_t k = first; k < i; k++, at += width)
            memcpy(at, row(r, k), (size_t)width);
        if (match) {
            *token |= half_token(match - SHORTEST);
            *at++ = (unsigned char)(back * width);
            *at++ = (unsigned char)((back * width) >> 8);
            at = put_rest(at, match - SHORTEST);
        }
        if (tail) {
            *at++ = TAIL << 4;
            memcpy(at, row(r, n - 1) + width - TAIL, TAIL);
            at += TAIL;
        }
        i = next;
    }
    Py_ssize_t length = at - out;
    out[0] = 2;                        /* version of the format */
    out[1] = 1;                        /* version of LZ4's */
    out[2] = 0x10 | (1 << 5);          /* blocks have no parts; LZ4 */
    out[3] = (unsigned char)itemsize;
    put_32(out + 4, (uint32_t)(n * width));
    put_32(out + 8, (uint32_t)(n * width)); /* of a block */
    put_32(out + 12, (uint32_t)length);
    put_32(out + 16, 20); /* offset of the block */
    put_32(out + 20, (uint32_t)(length - HEADER));
    return length;
}
