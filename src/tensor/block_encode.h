/*
 * What encoders of blocks of 32 and 256 share: reading a row piece by piece, the range of a block's
 * values, scales as f16 (private to src/tensor).
 */
#ifndef SW_TENSOR_BLOCK_ENCODE_H
#define SW_TENSOR_BLOCK_ENCODE_H

#include "tensor/block_bits.h"
#include "tensor/format.h"

#include <math.h>

#define ENCODE_PIECE 256 /* values that are read at once: the longest block */

/* Values [first, first + n) of a row, n <= ENCODE_PIECE, and zeros behind them. */
static inline void encode_read(const struct sw_values *row, int64_t first, int64_t n, float *values)
{
    sw_values_to_f32(row, first, n, values);
    for (int64_t i = n; i < ENCODE_PIECE; i++)
        values[i] = 0;
}

/* Elements [first, first + n) of a row as blocks of `len` elements in `bytes` bytes, which `make`
 * makes of len values each. The last block is filled up with zeros. */
static inline void encode_blocks(const struct sw_values *row, int64_t first, int64_t n,
                                 uint8_t *blocks, int len, int bytes,
                                 void (*make)(const float *values, uint8_t *block))
{
    for (int64_t done = 0; done < n; done += ENCODE_PIECE) {
        const int64_t part = n - done < ENCODE_PIECE ? n - done : ENCODE_PIECE;
        float values[ENCODE_PIECE];
        encode_read(row, first + done, part, values);
        for (int64_t i = 0; i < part; i += len, blocks += bytes)
            make(values + i, blocks);
    }
}

/* The field `.encode` of a format, of what makes one of its blocks. */
#define ENCODE_WITH(name, len, bytes, make)                                                        \
    static void name(const struct sw_values *row, float measured, int64_t first, int64_t n,        \
                     void *blocks)                                                                 \
    {                                                                                              \
        (void)measured;                                                                            \
        encode_blocks(row, first, n, blocks, len, bytes, make);                                    \
    }

/* Least and greatest value; of zeros of both signs the one that comes first. */
struct encode_range {
    float min, max;
    bool finite; /* all values are numbers */
};

/* Floats in order as whole numbers: below zero all bits but the sign are turned over. */
static inline int32_t encode_key(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ (bits >> 31 & 0x7fffffff);
}
static inline float encode_of_key(int32_t key)
{
    const int32_t bits = key ^ (key >> 31 & 0x7fffffff);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The first zero of n values, one of which is a zero. */
static inline float encode_zero(const float *values, int n)
{
    int i = 0;
    while (i + 1 < n && values[i] != 0)
        i++;
    return values[i];
}

static inline struct encode_range encode_range_of(const float *values, int n)
{
    int32_t least = INT32_MAX, most = INT32_MIN;
    for (int i = 0; i < n; i++) {
        const int32_t key = encode_key(values[i]);
        least = key < least ? key : least;
        most = key > most ? key : most;
    }
    struct encode_range range = {encode_of_key(least), encode_of_key(most),
                                 most < encode_key(INFINITY) && least > encode_key(-INFINITY)};
    if (range.finite && range.min == 0)
        range.min = encode_zero(values, n);
    if (range.finite && range.max == 0)
        range.max = encode_zero(values, n);
    return range;
}

/* The value of largest magnitude, with its sign, of a range that is finite; the first of two. */
static inline float encode_largest(struct encode_range range, const float *values)
{
    int i = 0;
    if (range.max != -range.min)
        return range.max > -range.min ? range.max : range.min;
    while (fabsf(values[i]) != range.max)
        i++;
    return values[i];
}

/* f16; infinite ones become NaN, so that they show. */
static inline uint16_t encode_scale(float scale)
{
    const uint16_t half = sw_f32_to_f16(scale);
    return (half & 0x7c00) == 0x7c00 ? BITS_F16_NAN : half;
}

/* Scale and minimum as f16, and what steps of the scale a value is above the minimum. */
struct encode_pair {
    uint16_t scale, min;
    float inverse; /* 0: all elements are 0 */
};

/* From the least value to the greatest in so many steps. What is no number, or too large for f16,
 * makes the scale NaN; a scale that is 0 in f16 has elements 0. */
static inline struct encode_pair encode_pair_of(struct encode_range range, int steps)
{
    const float scale = (range.max - range.min) / (float)steps;
    struct encode_pair pair = {encode_scale(scale), encode_scale(range.min), 0};
    if (!range.finite || pair.scale == BITS_F16_NAN || pair.min == BITS_F16_NAN)
        return (struct encode_pair){BITS_F16_NAN, 0, 0};
    if (pair.scale != 0)
        pair.inverse = 1 / scale;
    else if (pair.min == 0x8000 && range.min != 0)
        pair.min = 0;
    return pair;
}

/* Elements of five bits: the fifth bits of all, then nibbles, to 20 bytes. */
static inline void encode_fives(const uint8_t *q, uint8_t *to)
{
    uint32_t high = 0;
    for (int i = 0; i < 32; i++)
        high |= (uint32_t)(q[i] >> 4) << i;
    bits_put_u16(to, (uint16_t)high);
    bits_put_u16(to + 2, (uint16_t)(high >> 16));
    for (int i = 0; i < 16; i++)
        to[4 + i] = (uint8_t)((q[i] & 15) | q[i + 16] << 4);
}

/* 256 elements of two bits to 64 bytes, in the order of Q2_K and Q3_K. */
static inline void encode_pairs_of_bits(const uint8_t *q, uint8_t *to)
{
    for (int i = 0; i < 64; i++, to++) {
        const uint8_t *of = q + i / 32 * 128 + i % 32;
        *to = (uint8_t)(of[0] | of[32] << 2 | of[64] << 4 | of[96] << 6);
    }
}

#endif
