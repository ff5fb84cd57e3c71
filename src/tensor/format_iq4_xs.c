/* Owns IQ4_XS of GGUF: blocks of 256 in 8 parts, each with a scale of six bits; nibbles as in
 * IQ4_NL. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

static void decode_iq4_xs(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 256, b += 136, out += 256) {
        const float d = bits_f16(b);
        const unsigned high = bits_u16(b + 2);
        for (int part = 0; part < 8; part++, out += 32) {
            const int low = b[4 + part / 2] >> part % 2 * 4 & 15;
            const int scale_of_part = (low | (int)(high >> 2 * part & 3) << 4) - 32;
            const float dl = d * (float)scale_of_part;
            const uint8_t *from = b + 8 + part * 16;
            for (int i = 0; i < 16; i++) {
                out[i] = dl * (float)bits_iq4[from[i] & 15];
                out[i + 16] = dl * (float)bits_iq4[from[i] >> 4];
            }
        }
        out -= 256;
    }
}

const struct sw_format sw_format_iq4_xs = {.name = "iq4_xs",
                                           .dtype = SW_OTHER,
                                           .block_len = 256,
                                           .block_bytes = 136,
                                           .ggml_type = 23,
                                           .col_pad = 256,
                                           .decode = decode_iq4_xs};
