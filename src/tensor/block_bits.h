/* Reads and writes the parts of packed blocks, which have any alignment (private to src/tensor). */
#ifndef SW_TENSOR_BLOCK_BITS_H
#define SW_TENSOR_BLOCK_BITS_H

#include "tensor/dtype.h"

#include <string.h>

static inline uint16_t bits_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}
static inline uint32_t bits_u32(const uint8_t *at)
{
    return (uint32_t)bits_u16(at) | (uint32_t)bits_u16(at + 2) << 16;
}
static inline float bits_f16(const uint8_t *at)
{
    return sw_f16_to_f32(bits_u16(at));
}

static inline void bits_put_u16(uint8_t *at, uint16_t bits)
{
    at[0] = (uint8_t)bits;
    at[1] = (uint8_t)(bits >> 8);
}

/* A scale of something that is no number: all products of the block show it. */
#define BITS_F16_NAN 0x7e00

/* What the nibbles of IQ4_NL and IQ4_XS stand for. */
static const int8_t bits_iq4[16] __attribute__((unused)) = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* Scale and minimum of part 0 to 7 of a block of Q4_K or Q5_K, six bits each in 12 bytes. */
struct bits_pair {
    int scale, min;
};
static inline struct bits_pair bits_pair_of(const uint8_t *s, int part)
{
    if (part < 4)
        return (struct bits_pair){s[part] & 63, s[part + 4] & 63};
    return (struct bits_pair){(s[part + 4] & 15) | s[part - 4] >> 6 << 4,
                              s[part + 4] >> 4 | s[part] >> 6 << 4};
}
static inline void bits_put_pairs(uint8_t *s, const int8_t *scales, const uint8_t *mins)
{
    for (int part = 0; part < 4; part++) {
        s[part] = (uint8_t)((scales[part] & 63) | scales[part + 4] >> 4 << 6);
        s[part + 4] = (uint8_t)((mins[part] & 63) | mins[part + 4] >> 4 << 6);
        s[part + 8] = (uint8_t)((scales[part + 4] & 15) | mins[part + 4] << 4);
    }
}

#endif
