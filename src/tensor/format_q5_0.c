/* Owns Q5_0 of GGUF: blocks of 32, an f16 scale, the fifth bits, then nibbles; a weight is (q - 16)
 * * scale. */
#include "tensor/block_encode.h"

static void decode_q5_0(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 22, out += 32) {
        const float d = bits_f16(b);
        const uint32_t high = bits_u32(b + 2);
        for (int i = 0; i < 16; i++) {
            const int low = (b[6 + i] & 15) | (int)(high >> i & 1) << 4;
            const int up = b[6 + i] >> 4 | (int)(high >> (i + 16) & 1) << 4;
            out[i] = d * (float)(low - 16);
            out[i + 16] = d * (float)(up - 16);
        }
    }
}

/* As ggml's reference: the value of largest magnitude becomes -16, the others round to nearest,
 * halves up. */
static void q5_0_block(const float *values, uint8_t *block)
{
    const struct encode_range range = encode_range_of(values, 32);
    const float largest = range.finite ? encode_largest(range, values) : NAN;
    const float scale = largest / -16;
    const uint16_t half = encode_scale(scale);
    const bool is_zero = (half & 0x7fff) == 0 || half == BITS_F16_NAN;
    const float inverse = is_zero ? 0 : 1 / scale;
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        const int rounded = is_zero ? 16 : (int)(values[i] * inverse + 16.5f);
        q[i] = (uint8_t)(rounded < 31 ? rounded : 31);
    }
    bits_put_u16(block, (half & 0x7fff) == 0 ? 0x8000 : half);
    encode_fives(q, block + 2);
}
ENCODE_WITH(encode_q5_0, 32, 22, q5_0_block)

const struct sw_format sw_format_q5_0 = {.name = "q5_0",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 22,
                                         .ggml_type = 6,
                                         .col_pad = 32,
                                         .decode = decode_q5_0,
                                         .encode = encode_q5_0};
