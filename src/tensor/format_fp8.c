/*
 * Owns fp8: blocks of one f32 scale and 128 elements in E4M3 (four bits of exponent, three of
 * mantissa, no infinities; docs/formats.md).
 */
#include "tensor/format.h"

#include <math.h>
#include <string.h>

#define BLOCK 128
#define PIECE 256 /* values that are read at once: the longest block of other formats */

struct fp8_block {
    float scale;
    uint8_t elements[BLOCK];
};

static void decode_fp8(const void *blocks, float scale, int64_t n, float *out)
{
    const char *from = blocks;
    (void)scale;
    for (int64_t first = 0; first < n; first += BLOCK, from += sizeof(struct fp8_block)) {
        const int64_t left = n - first < BLOCK ? n - first : BLOCK;
        struct fp8_block block;
        memcpy(&block, from, sizeof block);
        for (int64_t i = 0; i < left; i++)
            out[first + i] = sw_e4m3_to_f32(block.elements[i]) * block.scale;
    }
}

/* The scale is the least power of two that lets all elements be at most 448: these have an exponent
 * of their own, so a finer one would gain nothing. A block with something that is no number gets
 * the scale NaN, so that its products show it; one too small for a scale becomes 0. */
static struct fp8_block fp8_block_of(const float *values)
{
    struct fp8_block block = {.scale = NAN};
    bool finite = true;
    float most = 0;
    for (int i = 0; i < BLOCK; i++) {
        const float magnitude = fabsf(values[i]);
        finite = finite && isfinite(magnitude);
        most = magnitude > most ? magnitude : most;
    }
    if (!finite)
        return block;
    int exponent;
    const float fraction = frexpf(most, &exponent);
    block.scale = most < 0x1p-100f ? 0 : ldexpf(1, exponent - (fraction <= 0.875f ? 9 : 8));
    if (block.scale == 0)
        return block;
    for (int i = 0; i < BLOCK; i++)
        block.elements[i] = sw_f32_to_e4m3(values[i] * (1 / block.scale));
    return block;
}

static void encode_fp8(const struct sw_values *row, float measured, int64_t first, int64_t n,
                       void *blocks)
{
    char *to = blocks;
    (void)measured;
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t part = n - done < PIECE ? n - done : PIECE;
        float values[PIECE] = {0};
        sw_values_to_f32(row, first + done, part, values);
        for (int64_t i = 0; i < part; i += BLOCK, to += sizeof(struct fp8_block)) {
            const struct fp8_block block = fp8_block_of(values + i);
            memcpy(to, &block, sizeof block);
        }
    }
}

const struct sw_format sw_format_fp8 = {.name = "fp8",
                                        .block_len = BLOCK,
                                        .block_bytes = sizeof(struct fp8_block),
                                        .dtype = SW_OTHER,
                                        .col_pad = BLOCK,
                                        .decode = decode_fp8,
                                        .encode = encode_fp8};
