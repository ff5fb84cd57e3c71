/*
 * The blocks of NF4 and FP4: SW_NF4_LEN elements, their largest magnitude as f32, then two halves
 * of 16 bytes; byte j of a half has element j of its 32 in the low nibble, j + 16 in the high one.
 */
#ifndef SW_TENSOR_FORMAT_NF4_H
#define SW_TENSOR_FORMAT_NF4_H

#include <stdint.h>

#define SW_NF4_LEN 64

/* What the nibbles stand for: fractions of the largest magnitude. */
extern const float sw_nf4_values[16], sw_fp4_values[16];

/*
 * bitsandbytes has neighbours in a byte, the first in the high nibble. Takes 16 bytes of it to half
 * a block, and back.
 */
static inline void sw_nf4_of_pairs(const uint8_t pairs[16], uint8_t half[16])
{
    for (int i = 0; i < 8; i++) {
        half[2 * i] = (uint8_t)(pairs[i] >> 4 | (pairs[8 + i] & 0xf0));
        half[2 * i + 1] = (uint8_t)((pairs[i] & 15) | pairs[8 + i] << 4);
    }
}
static inline void sw_nf4_to_pairs(const uint8_t half[16], uint8_t pairs[16])
{
    for (int i = 0; i < 8; i++) {
        pairs[i] = (uint8_t)(half[2 * i] << 4 | (half[2 * i + 1] & 15));
        pairs[8 + i] = (uint8_t)((half[2 * i] & 0xf0) | half[2 * i + 1] >> 4);
    }
}

#endif
