/* The lanes of sixteen rows in plain C. The same words as lanes_avx512.h, which explains them. */
#ifndef SW_KERNELS_LANES_H
#define SW_KERNELS_LANES_H

#include "kernels/cpu/vec_portable.h"

#define LANES 16
#define LANES_VECS 1
#define LANES_AHEAD 2688 /* bytes: how far ahead words are fetched (words_block.h) */
#define LANES_FAR 4096
#define WORDS_ROWS 3
#define WORDS_VECS 1
#define SIGNED_ROWS 3
#define SIGNED_VECS 1
#define LANES_IN_LOOPS 1

typedef vec l_vec;

static inline l_vec l_set(float x)
{
    return v_set(x);
}
static inline l_vec l_load(const float *p)
{
    return v_load(p);
}
static inline void l_store(float *p, l_vec a)
{
    v_store(p, a);
}
static inline l_vec l_load_f16(const char *p)
{
    uint16_t halves[16];
    memcpy(halves, p, sizeof halves);
    return v_load_f16(halves);
}
static inline l_vec l_add(l_vec a, l_vec b)
{
    return v_add(a, b);
}
static inline l_vec l_mul(l_vec a, l_vec b)
{
    return v_mul(a, b);
}
static inline l_vec l_fma(l_vec a, l_vec b, l_vec c)
{
    return v_fma(a, b, c);
}

/* ---- whole numbers */

typedef struct l_word {
    uint32_t x[16];
} l_word;

#define EACH_WORD(expression)                                                                      \
    l_word r;                                                                                      \
    for (int i = 0; i < 16; i++)                                                                   \
        r.x[i] = (expression);                                                                     \
    return r
#define EACH_BYTE(expression)                                                                      \
    uint8_t bytes[64], out[64];                                                                    \
    l_word r;                                                                                      \
    memcpy(bytes, a.x, sizeof bytes);                                                              \
    for (int i = 0; i < 64; i++)                                                                   \
        out[i] = (uint8_t)(expression);                                                            \
    memcpy(r.x, out, sizeof out);                                                                  \
    return r

static inline l_word l_load_words(const char *p)
{
    l_word r;
    memcpy(r.x, p, sizeof r.x);
    return r;
}
static inline l_word l_load_halves(const char *p)
{
    uint16_t halves[16];
    memcpy(halves, p, sizeof halves);
    EACH_WORD(halves[i]);
}
static inline l_word l_set_word(uint32_t x)
{
    EACH_WORD(x);
}
static inline l_word l_set_bytes(uint8_t x)
{
    EACH_WORD(x * 0x01010101u);
}
static inline l_word l_and(l_word a, l_word b)
{
    EACH_WORD(a.x[i] & b.x[i]);
}
static inline l_word l_or(l_word a, l_word b)
{
    EACH_WORD(a.x[i] | b.x[i]);
}
static inline l_word l_left(l_word a, int n)
{
    EACH_WORD(a.x[i] << n);
}
static inline l_word l_right(l_word a, int n)
{
    EACH_WORD(a.x[i] >> n);
}
static inline l_word l_right_by(l_word a, int n)
{
    return l_right(a, n);
}
/* At -O3 gcc 12 does not see that words_sum_digits (words_block.h) sets sums before it adds to
 * them. To set them once more, or to write the first digit out, costs prompts of nf4 6 to 20%. */
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
static inline l_word l_plus(l_word a, l_word b)
{
    EACH_WORD(a.x[i] + b.x[i]);
}
#ifndef __clang__
#pragma GCC diagnostic pop
#endif
static inline l_word l_times(l_word a, l_word b)
{
    EACH_WORD(a.x[i] * b.x[i]);
}
static inline l_vec l_float(l_word a)
{
    EACH_LANE((float)(int32_t)a.x[i]);
}
static inline l_vec l_as_float(l_word a)
{
    l_vec r;
    memcpy(r.x, a.x, sizeof r.x);
    return r;
}
static inline l_vec l_gather(const float *table, l_word at)
{
    EACH_LANE(table[at.x[i]]);
}
static inline l_word l_low(l_word a)
{
    EACH_WORD(a.x[i] & 0x0f0f0f0fu);
}
static inline l_word l_high(l_word a)
{
    EACH_WORD(a.x[i] >> 4 & 0x0f0f0f0fu);
}
typedef struct l_table {
    int8_t x[16];
} l_table;
static inline l_table l_table_of(const int8_t *entries)
{
    l_table r;
    memcpy(r.x, entries, sizeof r.x);
    return r;
}
static inline l_word l_look_up(l_table table, l_word a)
{
    EACH_BYTE(table.x[bytes[i]]);
}
static inline l_word l_byte(l_word a, int which)
{
    EACH_WORD(a.x[i] >> 8 * which & 255);
}
static inline l_word l_byte_by(l_word a, int which)
{
    return l_byte(a, which);
}
static inline l_word l_signed_byte(l_word a, int which)
{
    EACH_WORD((uint32_t)((int32_t)(a.x[i] << 8 * (3 - which)) >> 24));
}

/* ---- dot products */

typedef l_word l_dots;
#define DOTS_HALVES 0

static inline l_dots l_dots_zero(void)
{
    return l_set_word(0);
}
static inline l_dots l_dots_from(int32_t start)
{
    return l_set_word((uint32_t)start);
}
typedef struct l_x {
    int8_t x[4];
} l_x;
static inline l_x l_x_of(const int8_t *x)
{
    return (l_x){{x[0], x[1], x[2], x[3]}};
}
static inline l_dots l_dot_x(l_dots sums, l_word w, l_x x)
{
    const int32_t x0 = x.x[0], x1 = x.x[1], x2 = x.x[2], x3 = x.x[3];
    for (int i = 0; i < 16; i++) {
        const uint32_t four = w.x[i];
        sums.x[i] += (uint32_t)((int32_t)(four & 255) * x0 + (int32_t)(four >> 8 & 255) * x1 +
                                (int32_t)(four >> 16 & 255) * x2 + (int32_t)(four >> 24) * x3);
    }
    return sums;
}
static inline l_dots l_dot(l_dots sums, l_word w, const int8_t *x)
{
    return l_dot_x(sums, w, l_x_of(x));
}
static inline l_word l_sum(l_dots sums)
{
    return sums;
}
typedef l_word l_factor;
static inline l_factor l_factor_of(l_word factor)
{
    return factor;
}
static inline l_word l_sum_times(l_dots sums, l_factor factor)
{
    return l_times(sums, factor);
}

static inline l_word l_signed_of(l_word w)
{
    return w;
}
static inline int32_t l_signed_start(const int8_t *x, int32_t sum)
{
    (void)x, (void)sum;
    return 0;
}
typedef l_x l_signed_x;
static inline l_signed_x l_signed_x_of(const int8_t *x)
{
    return l_x_of(x);
}
static inline l_dots l_signed_dot(l_dots sums, l_word w, l_signed_x x)
{
    int8_t bytes[64];
    memcpy(bytes, w.x, sizeof bytes);
    for (int i = 0; i < 16; i++)
        sums.x[i] += (uint32_t)(bytes[4 * i] * x.x[0] + bytes[4 * i + 1] * x.x[1] +
                                bytes[4 * i + 2] * x.x[2] + bytes[4 * i + 3] * x.x[3]);
    return sums;
}

static inline void l_sum_pairs(const int8_t *x, int32_t *even, int32_t *odd)
{
    *even = *odd = 0;
    for (int i = 0; i < 16; i += 4) {
        *even += x[i] + x[i + 1];
        *odd += x[i + 2] + x[i + 3];
    }
}

#endif
