/* Owns Q4_1 of GGUF: blocks of 32, f16 scale and minimum, then nibbles q; a weight is q * scale +
 * minimum. */
#include "tensor/block_encode.h"

static void decode_q4_1(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 20, out += 32) {
        const float d = bits_f16(b), m = bits_f16(b + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(b[4 + i] & 15) + m;
            out[i + 16] = d * (float)(b[4 + i] >> 4) + m;
        }
    }
}

/* As ggml's reference: from the least value to the greatest in 15 steps, halves up. */
static void q4_1_block(const float *values, uint8_t *block)
{
    const struct encode_range range = encode_range_of(values, 32);
    const struct encode_pair pair = encode_pair_of(range, 15);
    const float inverse = pair.inverse, min = range.min;
    bits_put_u16(block, pair.scale);
    bits_put_u16(block + 2, pair.min);
    if (inverse == 0) {
        memset(block + 4, 0, 16);
        return;
    }
    for (int i = 0; i < 16; i++) {
        const int low = (int)((values[i] - min) * inverse + 0.5f);
        const int up = (int)((values[i + 16] - min) * inverse + 0.5f);
        block[4 + i] = (uint8_t)((low < 15 ? low : 15) | (up < 15 ? up : 15) << 4);
    }
}
ENCODE_WITH(encode_q4_1, 32, 20, q4_1_block)

const struct sw_format sw_format_q4_1 = {.name = "q4_1",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 20,
                                         .ggml_type = 3,
                                         .col_pad = 32,
                                         .decode = decode_q4_1,
                                         .encode = encode_q4_1};
