/* Owns IQ4_NL of GGUF: blocks of 32, an f16 scale, then nibbles, which are places in a table. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

static void decode_iq4_nl(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 18, out += 32) {
        const float d = bits_f16(b);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)bits_iq4[b[2 + i] & 15];
            out[i + 16] = d * (float)bits_iq4[b[2 + i] >> 4];
        }
    }
}

const struct sw_format sw_format_iq4_nl = {.name = "iq4_nl",
                                           .dtype = SW_OTHER,
                                           .block_len = 32,
                                           .block_bytes = 18,
                                           .ggml_type = 20,
                                           .col_pad = 32,
                                           .decode = decode_iq4_nl};
