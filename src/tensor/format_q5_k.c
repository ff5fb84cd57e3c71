/* Owns Q5_K of GGUF: Q4_K with fifth bits, which lie apart. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

static void decode_q5_k(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 256, b += 176, out += 256) {
        const float d = bits_f16(b), dmin = bits_f16(b + 2);
        const uint8_t *high = b + 16;
        for (int part = 0; part < 8; part++) {
            const uint8_t *from = b + 48 + part / 2 * 32;
            const int shift = part % 2 * 4;
            const struct bits_pair pair = bits_pair_of(b + 4, part);
            const float dl = d * (float)pair.scale, ml = dmin * (float)pair.min;
            for (int i = 0; i < 32; i++)
                out[part * 32 + i] =
                    dl * (float)((from[i] >> shift & 15) | (high[i] >> part & 1) << 4) - ml;
        }
    }
}

const struct sw_format sw_format_q5_k = {.name = "q5_k",
                                         .dtype = SW_OTHER,
                                         .block_len = 256,
                                         .block_bytes = 176,
                                         .ggml_type = 13,
                                         .col_pad = 256,
                                         .decode = decode_q5_k};
