/* Owns Q4_1 of GGUF: blocks of 32, f16 scale and minimum, then nibbles q; a weight is q * scale +
 * minimum. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

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

const struct sw_format sw_format_q4_1 = {.name = "q4_1",
                                         .dtype = SW_OTHER,
                                         .block_len = 32,
                                         .block_bytes = 20,
                                         .ggml_type = 3,
                                         .col_pad = 32,
                                         .decode = decode_q4_1};
