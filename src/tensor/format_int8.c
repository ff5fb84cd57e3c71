/*
 * Owns int8, the weights of LLM.int8(): element * scale of its row, where the scale is the row's
 * absmax / 127 (docs/formats.md). Loops go over whole pieces where they can, so that compilers make
 * vector code of them.
 */
#include "tensor/format.h"

#include <math.h>
#include <string.h>

#define PIECE 256

static void decode_int8(const void *blocks, float scale, int64_t n, float *out)
{
    const int8_t *elements = blocks;
    for (int64_t i = 0; i < n; i++)
        out[i] = scale * (float)elements[i];
}

/* Largest magnitude; infinity or NaN if there is one. Without their sign bit, floats are in order
 * when compared as whole numbers, those two at the end. */
static float int8_largest(enum sw_dtype dtype, const char *src, int64_t n)
{
    float value;
    if (sw_dtype_info(dtype)->bits == 16) {
        int16_t most = 0;
        for (int64_t i = 0; i < n; i++) {
            int16_t bits;
            memcpy(&bits, src + 2 * i, sizeof bits);
            bits &= 0x7fff;
            most = bits > most ? bits : most;
        }
        sw_dtype_to_f32(dtype, &most, 1, &value);
        return value;
    }
    float values[PIECE];
    int32_t most = 0;
    sw_dtype_to_f32(dtype, src, n, values);
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    memcpy(&value, &most, sizeof value);
    return value;
}

/* Values [first, first + n), n <= PIECE, side by side: where they are, or in `copy`. */
static const char *int8_piece(const struct sw_values *row, int64_t first, int64_t n, char *copy)
{
    if (row->blocks) {
        sw_values_to_f32(row, first, n, (float *)(void *)copy);
        return copy;
    }
    if (row->stride == 1)
        return (const char *)row->data + first * (int64_t)(sw_dtype_info(row->dtype)->bits / 8);
    sw_values_copy(row, first, n, copy);
    return copy;
}

/* Returns 127 / absmax; 0 where all elements are to be 0. A row with something that is no number
 * gets the scale NaN, so that its products show it. */
static float measure_int8(const struct sw_values *row, float *scale)
{
    _Alignas(double) char copy[PIECE * sizeof(double)];
    float absmax = 0;
    bool finite = true;
    for (int64_t start = 0; start < row->n; start += PIECE) {
        const int64_t n = row->n - start < PIECE ? row->n - start : PIECE;
        const float most = int8_largest(row->dtype, int8_piece(row, start, n, copy), n);
        finite = finite && isfinite(most);
        absmax = most > absmax ? most : absmax;
    }
    const bool is_zero = !finite || absmax < SW_INT8_TINY;
    *scale = !finite ? NAN : is_zero ? 0 : absmax / 127;
    return is_zero ? 0 : 127 / absmax;
}

/* A finite value of magnitude below 2^22, rounded to even: the adder does it. */
static inline int8_t int8_rounded(float value)
{
    const float shifted = value + 0x1.8p23f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (int8_t)(bits - 0x4b400000);
}

static void encode_int8(const struct sw_values *row, float inverse, int64_t first, int64_t n,
                        void *blocks)
{
    if (inverse == 0) {
        memset(blocks, 0, (size_t)n);
        return;
    }
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t part = n - done < PIECE ? n - done : PIECE;
        float values[PIECE] = {0};
        int8_t elements[PIECE];
        sw_values_to_f32(row, first + done, part, values);
        for (int64_t i = 0; i < PIECE; i++)
            elements[i] = int8_rounded(values[i] * inverse);
        memcpy((char *)blocks + done, elements, (size_t)part);
    }
}

const struct sw_format sw_format_int8 = {.name = "int8",
                                         .block_len = 1,
                                         .block_bytes = 1,
                                         .row_scale = true,
                                         .dtype = SW_OTHER,
                                         .col_pad = 4,
                                         /* sums of 127 * 127 stay below 2^31 */
                                         .max_cols = 1 << 17,
                                         .decode = decode_int8,
                                         .measure = measure_int8,
                                         .encode = encode_int8};
