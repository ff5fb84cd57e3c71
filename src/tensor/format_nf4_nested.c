/*
 * Owns NF4 and FP4 with nested absmax, bitsandbytes' double quantization (QLoRA, Dettmers et al.,
 * arXiv 2305.14314, section 3): the absmax of 64 elements is a byte, too. tensor/format_nf4.h says
 * what a block is.
 */
#include "tensor/dynamic_code.h"
#include "tensor/format.h"
#include "tensor/format_nf4.h"

#include "tensor/block_encode.h"

#include <math.h>
#include <string.h>

#define BLOCK SW_NESTED_LEN
#define PARTS SW_NESTED_PARTS

struct nested_block {
    float scale;
    uint8_t codes[PARTS];
    uint8_t nibbles[BLOCK / 2];
};

const float sw_dynamic_map[SW_DYNAMIC_MAP_LEN] = {SW_DYNAMIC_MAP};

/* Two roundings, as the library does it. */
static float nested_absmax(const float *map, const struct nested_block *block, int part,
                           float offset)
{
    const float scaled = map[block->codes[part]] * block->scale;
    return scaled + offset;
}

static void nested_decode(const float values[16], const float *map, const void *blocks,
                          float offset, int64_t n, float *out)
{
    const char *from = blocks;
    for (int64_t first = 0; first < n; first += BLOCK, from += sizeof(struct nested_block)) {
        struct nested_block block;
        memcpy(&block, from, sizeof block);
        for (int64_t i = 0; i < BLOCK && first + i < n; i++) {
            const int two = block.nibbles[i / 32 * 16 + i % 16];
            out[first + i] = values[i % 32 < 16 ? two & 15 : two >> 4] *
                             nested_absmax(map, &block, (int)(i / SW_NF4_LEN), offset);
        }
    }
}

/* The offset of a row: the mean of the absmax of its blocks, but for those that are 0. Something
 * that is no number makes it none, so that all products of the row show it. */
static float nested_measure(const struct sw_values *row, float *scale)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t first = 0; first < row->n; first += ENCODE_PIECE) {
        float values[ENCODE_PIECE];
        encode_read(row, first, row->n - first < ENCODE_PIECE ? row->n - first : ENCODE_PIECE,
                    values);
        for (int i = 0; i < ENCODE_PIECE; i += SW_NF4_LEN) {
            const float absmax = sw_nf4_absmax(values + i);
            sum += isfinite(absmax) ? (double)absmax : (double)NAN;
            n += absmax > 0 || isnan(absmax);
        }
    }
    *scale = n ? (float)(sum / (double)n) : 0;
    return *scale;
}

/* Elements are the nearest ones for the absmax that is kept. Where all are 0 any absmax will do. */
static struct nested_block nested_block_of(const float codes[16], const uint8_t order[16],
                                           float offset, const float *values)
{
    struct nested_block block = {0};
    float absmax[PARTS];
    for (int part = 0; part < PARTS; part++) {
        absmax[part] = sw_nf4_absmax(values + part * SW_NF4_LEN);
        if (!isfinite(absmax[part]) || isnan(offset))
            return (struct nested_block){.scale = NAN};
        if (absmax[part] > 0)
            block.scale = fmaxf(block.scale, fabsf(absmax[part] - offset));
    }
    for (int part = 0; part < PARTS; part++) {
        block.codes[part] = absmax[part] > 0 && block.scale > 0
                                ? sw_dynamic_code((absmax[part] - offset) / block.scale)
                                : SW_DYNAMIC_ZERO;
        const float kept = nested_absmax(sw_dynamic_map, &block, part, offset);
        const float inverse = 1.0f / (fabsf(kept) > 1e-38f ? kept : 1e-38f);
        sw_nf4_nibbles(codes, order, values + part * SW_NF4_LEN, inverse,
                       block.nibbles + part * SW_NF4_LEN / 2);
    }
    return block;
}

static void nested_encode(const float codes[16], const uint8_t order[16],
                          const struct sw_values *row, float offset, int64_t first, int64_t n,
                          void *blocks)
{
    char *to = blocks;
    for (int64_t done = 0; done < n; done += BLOCK, to += sizeof(struct nested_block)) {
        float values[ENCODE_PIECE];
        encode_read(row, first + done, n - done < BLOCK ? n - done : BLOCK, values);
        const struct nested_block block = nested_block_of(codes, order, offset, values);
        memcpy(to, &block, sizeof block);
    }
}

/* nf4_nested and fp4_nested: of nf4 and fp4. */
#define NESTED(format, of)                                                                         \
    static void decode_by_##format(const float *map, const void *blocks, float scale, int64_t n,   \
                                   float *out)                                                     \
    {                                                                                              \
        nested_decode(sw_##of##_values, map, blocks, scale, n, out);                               \
    }                                                                                              \
    static void decode_##format(const void *blocks, float scale, int64_t n, float *out)            \
    {                                                                                              \
        decode_by_##format(sw_dynamic_map, blocks, scale, n, out);                                 \
    }                                                                                              \
    static void encode_##format(const struct sw_values *row, float measured, int64_t first,        \
                                int64_t n, void *blocks)                                           \
    {                                                                                              \
        nested_encode(sw_##of##_values, sw_##of##_order, row, measured, first, n, blocks);         \
    }                                                                                              \
    const struct sw_format sw_format_##format = {.name = #format,                                  \
                                                 .block_len = BLOCK,                               \
                                                 .block_bytes = sizeof(struct nested_block),       \
                                                 .row_scale = true,                                \
                                                 .dtype = SW_OTHER,                                \
                                                 .col_pad = BLOCK,                                 \
                                                 .table = sw_dynamic_map,                          \
                                                 .decode = decode_##format,                        \
                                                 .decode_by = decode_by_##format,                  \
                                                 .measure = nested_measure,                        \
                                                 .encode = encode_##format};

NESTED(nf4_nested, nf4)
NESTED(fp4_nested, fp4)

_Static_assert(sizeof(struct nested_block) == SW_NESTED_BYTES, "");
_Static_assert(SW_DYNAMIC_MAP_LEN == SW_TABLE_LEN, "");
