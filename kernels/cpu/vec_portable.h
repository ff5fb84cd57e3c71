/* Sixteen floats in plain C. The same words as vec_avx512.h, which explains them. */
#ifndef SW_KERNELS_VEC_H
#define SW_KERNELS_VEC_H

#include "tensor/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VEC_TILE 1

typedef struct vec {
    float x[16];
} vec;

#define EACH_LANE(expression)                                                                      \
    vec r;                                                                                         \
    for (int i = 0; i < 16; i++)                                                                   \
        r.x[i] = (expression);                                                                     \
    return r

static inline vec v_set(float x)
{
    EACH_LANE(x);
}
static inline vec v_load(const float *p)
{
    vec r;
    memcpy(r.x, p, sizeof r.x);
    return r;
}
static inline void v_store(float *p, vec a)
{
    memcpy(p, a.x, sizeof a.x);
}
static inline vec v_load_n(const float *p, int n)
{
    vec r = {{0}};
    memcpy(r.x, p, (size_t)n * sizeof *p);
    return r;
}
static inline void v_store_n(float *p, vec a, int n)
{
    memcpy(p, a.x, (size_t)n * sizeof *p);
}
static inline vec v_load_f16(const uint16_t *p)
{
    EACH_LANE(sw_f16_to_f32(p[i]));
}
static inline vec v_load_even(const uint16_t *p)
{
    EACH_LANE(sw_bf16_to_f32(p[2 * i]));
}
static inline vec v_load_odd(const uint16_t *p)
{
    EACH_LANE(sw_bf16_to_f32(p[2 * i + 1]));
}
static inline vec v_add(vec a, vec b)
{
    EACH_LANE(a.x[i] + b.x[i]);
}
static inline vec v_sub(vec a, vec b)
{
    EACH_LANE(a.x[i] - b.x[i]);
}
static inline vec v_mul(vec a, vec b)
{
    EACH_LANE(a.x[i] * b.x[i]);
}
static inline vec v_div(vec a, vec b)
{
    EACH_LANE(a.x[i] / b.x[i]);
}
static inline vec v_max(vec a, vec b)
{
    EACH_LANE(a.x[i] > b.x[i] ? a.x[i] : b.x[i]);
}
static inline vec v_min(vec a, vec b)
{
    EACH_LANE(a.x[i] < b.x[i] ? a.x[i] : b.x[i]);
}
static inline vec v_fma(vec a, vec b, vec c)
{
    EACH_LANE(a.x[i] * b.x[i] + c.x[i]);
}
static inline vec v_round(vec a)
{
    EACH_LANE(nearbyintf(a.x[i]));
}
static inline vec v_scale2(vec a, vec n)
{
    EACH_LANE(ldexpf(a.x[i], (int)n.x[i]));
}
static inline vec v_if_less(vec a, vec b, vec x, vec y)
{
    EACH_LANE(a.x[i] < b.x[i] ? x.x[i] : y.x[i]);
}
static inline float v_sum(vec a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.x[i] += a.x[i + half];
    return a.x[0];
}
static inline float v_largest(vec a)
{
    float r = a.x[0];
    for (int i = 1; i < 16; i++)
        r = a.x[i] > r ? a.x[i] : r;
    return r;
}
static inline vec v_abs(vec a)
{
    EACH_LANE(fabsf(a.x[i]));
}
static inline vec v_within(vec a, float limit, uint16_t *outside)
{
    *outside = 0;
    for (int i = 0; i < 16; i++)
        if (!(fabsf(a.x[i]) <= limit)) {
            *outside |= (uint16_t)(1u << i);
            a.x[i] = 0;
        }
    return a;
}

static inline void v_store_int8(int8_t *p, vec a)
{
    for (int i = 0; i < 16; i++)
        p[i] = (int8_t)nearbyintf(a.x[i]);
}
static inline vec v_load_int8(const char *p, int which)
{
    EACH_LANE((float)(signed char)p[4 * i + which]);
}
#define V_E4M3_ONE 0x1p120f
static inline vec v_load_e4m3(const char *p, int which)
{
    vec r;
    for (int i = 0; i < 16; i++) {
        const uint32_t byte = (unsigned char)p[4 * i + which];
        const uint32_t bits = (byte & 0x80) << 24 | (byte & 0x7f) << 20;
        memcpy(&r.x[i], &bits, sizeof bits);
    }
    return r;
}
static inline bool v_is_small_e4m3(const char *p)
{
    bool is = false;
    for (int i = 0; i < 64; i++)
        is |= !(p[i] & 0x78) && (p[i] & 0x07);
    return is;
}
static inline vec v_load_any_e4m3(const char *p, int which)
{
    vec r = v_load_e4m3(p, which);
    for (int i = 0; i < 16; i++)
        r.x[i] *= V_E4M3_ONE;
    return r;
}
static inline vec v_of_sums(vec sums, int32_t excess)
{
    int32_t whole[16];
    memcpy(whole, sums.x, sizeof whole);
    EACH_LANE((float)(whole[i] - excess));
}
#define INT8_EXCESS 0
typedef struct v_bytes {
    int8_t x[64];
} v_bytes;
static inline v_bytes v_load_bytes(const char *w)
{
    v_bytes r;
    memcpy(r.x, w, sizeof r.x);
    return r;
}
static inline vec v_dot_bytes(vec sums, v_bytes w, const char *x)
{
    int8_t four[4];
    int32_t whole[16];
    memcpy(four, x, sizeof four);
    memcpy(whole, sums.x, sizeof whole);
    for (int i = 0; i < 64; i++)
        whole[i / 4] += w.x[i] * four[i % 4];
    memcpy(sums.x, whole, sizeof whole);
    return sums;
}

#endif
