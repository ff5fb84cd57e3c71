/* Owns Q5_1 of GGUF: blocks of 32, f16 scale and minimum, the fifth bits, then nibbles; a weight is
 * q * scale + minimum. */
#include "tensor/block_encode.h"

static void decode_q5_1(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 24, out += 32) {
        const float d = bits_f16(b), m = bits_f16(b + 2);
        const uint32_t high = bits_u32(b + 4);
        for (int i = 0; i < 16; i++) {
            const int low = (b[8 + i] & 15) | (int)(high >> i & 1) << 4;
            const int up = b[8 + i] >> 4 | (int)(high >> (i + 16) & 1) << 4;
            out[i] = d * (float)low + m;
            out[i + 16] = d * (float)up + m;
        }
    }
}

/* As ggml's reference: from the least value to the greatest in 31 steps, halves up. */
static void q5_1_block(const float *values, uint8_t *block)
{
    const struct encode_range range = encode_range_of(values, 32);
    const struct encode_pair pair = encode_pair_of(range, 31);
    uint8_t q[32];
    for (int i = 0; i < 32; i++)
        q[i] =
            pair.inverse == 0 ? 0 : (uint8_t)(int)((values[i] - range.min) * pair.inverse + 0.5f);
    bits_put_u16(block, pair.scale);
    bits_put_u16(block + 2, pair.min);
    encode_fives(q, block + 4);
}
ENCODE_WITH(encode_q5_1, 32, 24, q5_1_block)

const struct sw_format sw_format_q5_1 = {.name = "q5_1",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 24,
                                         .ggml_type = 7,
                                         .col_pad = 32,
                                         .decode = decode_q5_1,
                                         .encode = encode_q5_1};
