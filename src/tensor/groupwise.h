/*
 * Group-wise integers: w = scale * (q - zero), where a group of columns shares scale and zero. They
 * are what GPTQ, AWQ and compressed-tensors files hold; the formats are in format_groupwise.c.
 *
 * A block is one 32-bit word (its head: the scale and the zero of the group it lies in), then its
 * codes q. Of 8 bits they are bytes, as int8. Of 4 bits, each 32 columns are 16 bytes: byte i has
 * column i in its low nibble and column i + 16 in its high one. Of 2 bits they are 8 bytes: byte i
 * has columns i, i + 8, i + 16 and i + 24, from its lowest bits up. Of 3 bits the lower two lie
 * like that; behind those of the whole block are the third bits, 4 bytes for each 32 columns: byte
 * i has columns i, i + 4, … i + 28. Words are little-endian.
 *
 * The head is the scale as f32, whose last 8 bits are the zero instead: of 8 bits a number from
 * -128 to 127, else one from 0 to 255. What a scale of f16 or bf16 has is kept exactly; one of
 * f32 is rounded to 15 bits behind the point.
 */
#ifndef SW_TENSOR_GROUPWISE_H
#define SW_TENSOR_GROUPWISE_H

#include "tensor/format.h"

#define SW_GROUPWISE_PART 32 /* columns whose codes lie together */
#define SW_GROUPWISE_HEAD 4  /* bytes before the codes of a block */

/* Scale and zero as the head of a block. */
static inline uint32_t sw_groupwise_head(float scale, int zero)
{
    union {
        float f;
        uint32_t u;
    } v; /* C++17 has no names for members here */
    v.f = scale;
    /* A carry of NaN's bits would make another number of it. */
    const uint32_t bits = (v.u & 0x7f800000) == 0x7f800000 ? v.u : v.u + 0x80;
    return (bits & 0xffffff00) | ((uint32_t)zero & 0xff);
}
static inline float sw_groupwise_scale(uint32_t head)
{
    const union {
        uint32_t u;
        float f;
    } v = {head & 0xffffff00};
    return v.f;
}

/*
 * The format that keeps codes of `bits` bits (2, 3, 4 or 8) in groups of `group` columns, a whole
 * row where `group` is at least `cols`. NULL: there is none, since no block length divides it.
 */
const struct sw_format *sw_groupwise_format(int bits, int64_t group, int64_t cols);
/* Bits of a code of one of these formats. */
static inline int sw_groupwise_bits(const struct sw_format *format)
{
    return (int)(format->block_bytes - SW_GROUPWISE_HEAD) * 8 / format->block_len;
}
/* Puts the codes of part `part` of a block, of two or three bits. `codes` of the block, which are
 * behind its head. */
static inline void sw_groupwise_put(const struct sw_format *format, int part,
                                    const uint8_t from[SW_GROUPWISE_PART], uint8_t *codes)
{
    uint8_t *const low = codes + part * 8, *const high = codes + format->block_len / 4 + part * 4;
    for (int i = 0; i < 8; i++)
        low[i] = (uint8_t)((from[i] & 3) | (from[i + 8] & 3) << 2 | (from[i + 16] & 3) << 4 |
                           (from[i + 24] & 3) << 6);
    for (int i = 0; i < 4 && sw_groupwise_bits(format) == 3; i++) {
        high[i] = 0;
        for (int bit = 0; bit < 8; bit++)
            high[i] = (uint8_t)(high[i] | (from[4 * bit + i] >> 2 & 1) << bit);
    }
}

#endif
