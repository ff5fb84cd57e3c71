/* Owns Q4_0 of GGUF: blocks of 32, an f16 scale, then nibbles q; a weight is (q - 8) * scale. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

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

const struct sw_format sw_format_q4_0 = {.name = "q4_0",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 18,
                                         .ggml_type = 2,
                                         .col_pad = 32,
                                         .decode = decode_q4_0};
