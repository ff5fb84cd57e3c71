/* Owns Q5_0 of GGUF: blocks of 32, an f16 scale, the fifth bits, then nibbles; a weight is (q - 16)
 * * scale. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

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

const struct sw_format sw_format_q5_0 = {.name = "q5_0",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 22,
                                         .ggml_type = 6,
                                         .col_pad = 32,
                                         .decode = decode_q5_0};
