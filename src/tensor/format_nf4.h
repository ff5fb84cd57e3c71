/*
 * The blocks of NF4 and FP4: SW_NF4_LEN elements, their largest magnitude as f32, then two halves
 * of 16 bytes; byte j of a half has element j of its 32 in the low nibble, j + 16 in the high one.
 *
 * With nested absmax SW_NESTED_LEN elements are a block: the scale of their four absmax as f32, a
 * byte for each, then eight halves. absmax = map[byte] * scale + offset in f32. The offset is the
 * row's (sw_format's row_scale), the map the matrix's (its table): that of tensor/dynamic_map.h, or
 * its file's own.
 */
#ifndef SW_TENSOR_FORMAT_NF4_H
#define SW_TENSOR_FORMAT_NF4_H

#include <stdint.h>

#define SW_NF4_LEN 64
#define SW_NESTED_LEN 256
#define SW_NESTED_PARTS (SW_NESTED_LEN / SW_NF4_LEN)
#define SW_NESTED_HEAD 8 /* bytes before the halves */
#define SW_NESTED_BYTES (SW_NESTED_HEAD + SW_NESTED_LEN / 2)

/* What the nibbles stand for: fractions of the largest magnitude. Lists, for constants of kernels,
 * too. */
#define SW_NF4_VALUES                                                                              \
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,                      \
        -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,                 \
        0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,    \
        0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f
#define SW_FP4_VALUES                                                                              \
    0.0f, 0.0052083334885537624f, 0.6666666865348816f, 1.0f, 0.3333333432674408f, 0.5f,            \
        0.1666666716337204f, 0.25f, -0.0f, -0.0052083334885537624f, -0.6666666865348816f, -1.0f,   \
        -0.3333333432674408f, -0.5f, -0.1666666716337204f, -0.25f
extern const float sw_nf4_values[16], sw_fp4_values[16];
/* Codes by ascending value. */
extern const uint8_t sw_nf4_order[16], sw_fp4_order[16];

/* The largest magnitude of SW_NF4_LEN values; infinity or NaN if there is one. */
float sw_nf4_absmax(const float *values);
/* The codes of SW_NF4_LEN values as two halves: those of the nearest to value * inverse, the lower
 * of two. */
void sw_nf4_nibbles(const float codes[16], const uint8_t order[16], const float *values,
                    float inverse, uint8_t nibbles[SW_NF4_LEN / 2]);

/*
 * bitsandbytes has neighbours in a byte, the first in the high nibble. Takes 16 bytes of it to half
 * a block, and back.
 */
static inline void sw_nf4_of_pairs(const uint8_t pairs[16], uint8_t nibbles[16])
{
    for (int i = 0; i < 8; i++) {
        nibbles[2 * i] = (uint8_t)(pairs[i] >> 4 | (pairs[8 + i] & 0xf0));
        nibbles[2 * i + 1] = (uint8_t)((pairs[i] & 15) | pairs[8 + i] << 4);
    }
}
static inline void sw_nf4_to_pairs(const uint8_t nibbles[16], uint8_t pairs[16])
{
    for (int i = 0; i < 8; i++) {
        pairs[i] = (uint8_t)(nibbles[2 * i] << 4 | (nibbles[2 * i + 1] & 15));
        pairs[8 + i] = (uint8_t)((nibbles[2 * i] & 0xf0) | nibbles[2 * i + 1] >> 4);
    }
}

#endif
