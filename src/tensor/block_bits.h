/* Reads the parts of packed blocks, which have any alignment (private to src/tensor). */
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

#endif
