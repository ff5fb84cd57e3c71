/*
 * Owns q8_0: blocks of 32 elements that share a scale, as GGUF's block_q8_0 has them: the scale as
 * f16, then the elements as int8 (docs/formats.md).
 */
#include "tensor/format.h"

#include <math.h>
#include <string.h>

#define BLOCK 32
#define PIECE 256 /* values that are read at once: the longest block of other formats */
#define F16_NAN 0x7e00

struct q8_0_block {
    uint16_t scale; /* f16 */
    int8_t elements[BLOCK];
};

static void decode_q8_0(const void *blocks, float scale, int64_t n, float *out)
{
    const char *from = blocks;
    (void)scale;
    for (int64_t first = 0; first < n; first += BLOCK, from += sizeof(struct q8_0_block)) {
        struct q8_0_block block;
        memcpy(&block, from, sizeof block);
        const float of_block = sw_f16_to_f32(block.scale);
        for (int64_t i = 0; i < BLOCK && first + i < n; i++)
            out[first + i] = of_block * (float)block.elements[i];
    }
}

/* Infinity or NaN if there is one: without their signs floats are in order as whole numbers. */
static float q8_0_largest(const float *values)
{
    int32_t most = 0;
    float largest;
    for (int i = 0; i < BLOCK; i++) {
        int32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

/* Of magnitude below 2^31; halves away from 0. */
static inline int8_t q8_0_rounded(float value)
{
    const int32_t whole = (int32_t)value;
    const float rest = value - (float)whole;
    return (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
}

/* ggml's reference: scale = absmax / 127, element = round(value / that). A block with something
 * that is no number, or too large, gets the scale NaN, so that its products show it; where the
 * scale becomes 0, so do the elements. */
static struct q8_0_block q8_0_block_of(const float *values)
{
    const float scale = q8_0_largest(values) / 127;
    struct q8_0_block block = {.scale = sw_f32_to_f16(scale)};
    if (!isfinite(scale) || !isfinite(sw_f16_to_f32(block.scale)))
        block.scale = F16_NAN;
    if (block.scale == F16_NAN || block.scale == 0)
        return block;
    for (int i = 0; i < BLOCK; i++)
        block.elements[i] = q8_0_rounded(values[i] * (1 / scale));
    return block;
}

static void encode_q8_0(const struct sw_values *row, float measured, int64_t first, int64_t n,
                        void *blocks)
{
    char *to = blocks;
    (void)measured;
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t part = n - done < PIECE ? n - done : PIECE;
        float values[PIECE] = {0};
        sw_values_to_f32(row, first + done, part, values);
        for (int64_t i = 0; i < part; i += BLOCK, to += sizeof(struct q8_0_block)) {
            const struct q8_0_block block = q8_0_block_of(values + i);
            memcpy(to, &block, sizeof block);
        }
    }
}

const struct sw_format sw_format_q8_0 = {.name = "q8_0",
                                         .block_len = BLOCK,
                                         .block_bytes = sizeof(struct q8_0_block),
                                         .ggml_type = 8,
                                         .dtype = SW_OTHER,
                                         .col_pad = BLOCK,
                                         .decode = decode_q8_0,
                                         .encode = encode_q8_0};
