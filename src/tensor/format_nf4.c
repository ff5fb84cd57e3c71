/*
 * Owns the 4-bit formats of bitsandbytes, NF4 and FP4: blocks of 64 elements that share the largest
 * magnitude among them, as f32, then nibbles, which stand for 16 fractions of it (docs/formats.md).
 * They lie as in blocks of GGUF, so that four neighbours are in the low nibbles of four bytes.
 */
#include "tensor/format_nf4.h"

#include "tensor/block_search.h"
#include "tensor/format.h"

#include <math.h>
#include <string.h>

#define BLOCK SW_NF4_LEN
#define PIECE 256 /* values that are read at once: the longest block of other formats */

struct nf4_block {
    float absmax;
    uint8_t nibbles[BLOCK / 2];
};

/* Where element i is: the byte, and the nibble's shift. */
static inline int nf4_byte(int64_t i)
{
    return (int)(i / 32 * 16 + i % 16);
}
static inline int nf4_shift(int64_t i)
{
    return i / 16 % 2 ? 4 : 0;
}

const float sw_nf4_values[16] = {SW_NF4_VALUES};
const float sw_fp4_values[16] = {SW_FP4_VALUES};

static void nf4_decode_blocks(const float values[16], const void *blocks, int64_t n, float *out)
{
    const char *from = blocks;
    for (int64_t first = 0; first < n; first += BLOCK, from += sizeof(struct nf4_block)) {
        struct nf4_block block;
        memcpy(&block, from, sizeof block);
        for (int64_t i = 0; i < BLOCK && first + i < n; i++) {
            const int nibble = block.nibbles[nf4_byte(i)] >> nf4_shift(i) & 15;
            out[first + i] = values[nibble] * block.absmax;
        }
    }
}

static void decode_nf4(const void *blocks, float scale, int64_t n, float *out)
{
    (void)scale;
    nf4_decode_blocks(sw_nf4_values, blocks, n, out);
}

static void decode_fp4(const void *blocks, float scale, int64_t n, float *out)
{
    (void)scale;
    nf4_decode_blocks(sw_fp4_values, blocks, n, out);
}

const uint8_t sw_nf4_order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
const uint8_t sw_fp4_order[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

/* Without their signs floats are in order as whole numbers. */
float sw_nf4_absmax(const float *values)
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

void sw_nf4_nibbles(const float codes[16], const uint8_t order[16], const float *values,
                    float inverse, uint8_t nibbles[BLOCK / 2])
{
    uint8_t ranks[BLOCK];
    float middles[15];
    for (int k = 0; k < 15; k++)
        middles[k] = (codes[order[k]] + codes[order[k + 1]]) / 2;
    block_search_here()->places(values, BLOCK, inverse, middles, ranks);
    for (int i = 0; i < BLOCK / 2; i++) {
        const uint8_t *rank = ranks + i / 16 * 32 + i % 16;
        nibbles[i] = (uint8_t)(order[rank[0]] | order[rank[16]] << 4);
    }
}

/* bitsandbytes' rule: the nearest value to element / absmax, the lower of two. A block with
 * something that is no number gets the absmax NaN, so that its products show it. */
static struct nf4_block nf4_block_of(const float codes[16], const uint8_t order[16],
                                     const float *values)
{
    struct nf4_block block = {.absmax = sw_nf4_absmax(values)};
    if (!isfinite(block.absmax))
        return (struct nf4_block){.absmax = NAN};
    sw_nf4_nibbles(codes, order, values, 1.0f / (block.absmax > 1e-38f ? block.absmax : 1e-38f),
                   block.nibbles);
    return block;
}

static void nf4_encode_blocks(const float codes[16], const uint8_t order[16],
                              const struct sw_values *row, int64_t first, int64_t n, void *blocks)
{
    char *to = blocks;
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t part = n - done < PIECE ? n - done : PIECE;
        float values[PIECE] = {0};
        sw_values_to_f32(row, first + done, part, values);
        for (int64_t i = 0; i < part; i += BLOCK, to += sizeof(struct nf4_block)) {
            const struct nf4_block block = nf4_block_of(codes, order, values + i);
            memcpy(to, &block, sizeof block);
        }
    }
}

static void encode_nf4(const struct sw_values *row, float measured, int64_t first, int64_t n,
                       void *blocks)
{
    (void)measured;
    nf4_encode_blocks(sw_nf4_values, sw_nf4_order, row, first, n, blocks);
}

static void encode_fp4(const struct sw_values *row, float measured, int64_t first, int64_t n,
                       void *blocks)
{
    (void)measured;
    nf4_encode_blocks(sw_fp4_values, sw_fp4_order, row, first, n, blocks);
}

const struct sw_format sw_format_nf4 = {.name = "nf4",
                                        .block_len = BLOCK,
                                        .block_bytes = sizeof(struct nf4_block),
                                        .dtype = SW_OTHER,
                                        .col_pad = BLOCK,
                                        .decode = decode_nf4,
                                        .encode = encode_nf4};

const struct sw_format sw_format_fp4 = {.name = "fp4",
                                        .block_len = BLOCK,
                                        .block_bytes = sizeof(struct nf4_block),
                                        .dtype = SW_OTHER,
                                        .col_pad = BLOCK,
                                        .decode = decode_fp4,
                                        .encode = encode_fp4};
