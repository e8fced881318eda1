/* Logarithms and exponentials by polynomials, which compilers make vectors of.

-ln(1 - x) = 2 atanh(u) with u = x/(2 - x), and ln(m) = 2 atanh(s) with s = (m - 1)/(m + 1). */

#ifndef LOGS_TYPES
#define LOGS_TYPES
#define LANES 8 /* doubles that are computed together */
#define LN2 0.69314718055994530942
#endif

/* atanh(u)/u from w = u^2 in [0, 1/9], with an error of 1e-10. */
TARGET static inline float IN(atanh_overf)(float w) {
    float p = 0.12196954f;
    p = p * w + 0.1069928f;
    p = p * w + 0.14310104f;
    p = p * w + 0.19999356f;
    p = p * w + 0.3333334f;
    p = p * w + 1.0f;
    return p;
}

/* ln(1 - r2) for r2 up to 1/2. */
TARGET static inline float IN(log_of_rest)(float r2) {
    float u = r2 / (2.0f - r2);
    return -2.0f * u * IN(atanh_overf)(u * u);
}

/* Logarithm of a normal positive number: v = 2^e m with m in [sqrt(1/2), sqrt(2)). */
TARGET static inline float IN(logf)(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint32_t shift = (bits - 0x3f3504f3u + (200u << 23)) >> 23;
    bits -= (shift - 200u) << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float p = 1.0f / 9.0f;
    p = p * z + 1.0f / 7.0f;
    p = p * z + 1.0f / 5.0f;
    p = p * z + 1.0f / 3.0f;
    p = p * z + 1.0f;
    return (float)((int32_t)shift - 200) * 0.69314718f + 2.0f * s * p;
}

/* ln(1 - r2) for r2 up to 1; that of the rounding of 1 for more. */
TARGET static inline float IN(log_of_leftf)(float r2) {
    float left = 1.0f - r2;
    left = left < 5.9604645e-8f ? 5.9604645e-8f : left;
    return r2 > 0.5f ? IN(logf)(left) : IN(log_of_rest)(r2);
}

/* e^x for |x| up to 1: (e^(x/4))^4. */
TARGET static inline float IN(expf)(float x) {
    float y = 0.25f * x, p = 1.0f / 720.0f;
    p = p * y + 1.0f / 120.0f;
    p = p * y + 1.0f / 24.0f;
    p = p * y + 1.0f / 6.0f;
    p = p * y + 0.5f;
    p = p * y + 1.0f;
    p = p * y + 1.0f;
    p *= p;
    return p * p;
}

/* v = 2^e m with m in [sqrt(1/2), sqrt(2)), of normal positive numbers. */
TARGET static inline void IN(split)(const double v[LANES], double e[LANES], double m[LANES]) {
    uint64_t bits[LANES], shift[LANES], number[LANES];
    memcpy(bits, v, sizeof bits);
    for (int k = 0; k < LANES; k++) {
        /* The bits of sqrt(1/2) are subtracted, and 1,100 added to the exponent. */
        shift[k] = (bits[k] - 0x3fe6a09e667f3bcdu + ((uint64_t)1100 << 52)) >> 52;
        bits[k] -= (shift[k] - 1100) << 52;
        number[k] = shift[k] | 0x4330000000000000u; /* 2^52 and the exponent, as a double */
    }
    memcpy(m, bits, sizeof bits);
    memcpy(e, number, sizeof number);
    for (int k = 0; k < LANES; k++)
        e[k] -= 4503599627370496.0 + 1100.0;
}

/* atanh(s)/s from z = s^2, for m in [sqrt(1/2), sqrt(2)) and s = (m - 1)/(m + 1). */
TARGET static inline double IN(atanh_over)(double z) {
    double p = 1.0 / 19.0;
    p = p * z + 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    return p * z + 1.0;
}

/* Logarithms; those of numbers below 1e-300 are that of 1e-300. */
TARGET static inline void IN(logarithms)(const double x[LANES], double out[LANES]) {
    double v[LANES], e[LANES], m[LANES];
    for (int k = 0; k < LANES; k++)
        v[k] = x[k] > 1e-300 ? x[k] : 1e-300;
    IN(split)(v, e, m);
    for (int k = 0; k < LANES; k++) {
        double s = (m[k] - 1.0) / (m[k] + 1.0);
        out[k] = e[k] * LN2 + 2.0 * s * IN(atanh_over)(s * s);
    }
}

/* ln(1 - r2) for r2 up to 1; that of the rounding of 1 for more. No digits of a small r2 are lost. */
TARGET static inline double IN(log_of_left)(double r2) {
    double left = 1.0 - r2, m, e;
    left = left < 1.1102230246251565e-16 ? 1.1102230246251565e-16 : left;
    uint64_t bits, shift, number;
    memcpy(&bits, &left, sizeof bits);
    shift = (bits - 0x3fe6a09e667f3bcdu + ((uint64_t)1100 << 52)) >> 52;
    bits -= (shift - 1100) << 52;
    number = shift | 0x4330000000000000u;
    memcpy(&m, &bits, sizeof m);
    memcpy(&e, &number, sizeof e);
    e -= 4503599627370496.0 + 1100.0;
    double f = e == 0.0 ? -r2 : m - 1.0, s = f / (2.0 + f);
    return e * LN2 + 2.0 * s * IN(atanh_over)(s * s);
}
