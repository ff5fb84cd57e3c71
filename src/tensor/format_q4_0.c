/* Owns Q4_0 of GGUF: blocks of 32, an f16 scale, then nibbles q; a weight is (q - 8) * scale. */
#include "tensor/block_encode.h"

static void decode_q4_0(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 18, out += 32) {
        const float d = bits_f16(b);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((b[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
        }
    }
}

/* As ggml's reference: the value of largest magnitude becomes -8, the others round to nearest,
 * halves up. */
static void q4_0_block(const float *values, uint8_t *block)
{
    const struct encode_range range = encode_range_of(values, 32);
    const float largest = range.finite ? encode_largest(range, values) : NAN;
    const float scale = largest / -8;
    const uint16_t half = encode_scale(scale);
    const bool is_zero = (half & 0x7fff) == 0 || half == BITS_F16_NAN;
    const float inverse = is_zero ? 0 : 1 / scale;
    bits_put_u16(block, (half & 0x7fff) == 0 ? 0x8000 : half);
    if (is_zero) {
        memset(block + 2, 0x88, 16);
        return;
    }
    for (int i = 0; i < 16; i++) {
        const int low = (int)(values[i] * inverse + 8.5f);
        const int up = (int)(values[i + 16] * inverse + 8.5f);
        block[2 + i] = (uint8_t)((low < 15 ? low : 15) | (up < 15 ? up : 15) << 4);
    }
}
ENCODE_WITH(encode_q4_0, 32, 18, q4_0_block)

const struct sw_format sw_format_q4_0 = {.name = "q4_0",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 18,
                                         .ggml_type = 2,
                                         .col_pad = 32,
                                         .decode = decode_q4_0,
                                         .encode = encode_q4_0};
