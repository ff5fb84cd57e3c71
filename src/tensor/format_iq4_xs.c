/* Owns IQ4_XS of GGUF: blocks of 256 in 8 parts, each with a scale of six bits; nibbles as in
 * IQ4_NL. */
#include "tensor/block_encode.h"
#include "tensor/kquant_fit.h"

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

static void iq4_xs_block(const float *values, uint8_t *block)
{
    static const struct kquant_shape shape = {.len = 32,
                                              .low_scale = -32,
                                              .high_scale = 31,
                                              .share = 1,
                                              .is_table = true,
                                              .range = {.tries = 8, .first = -7, .step = 2}};
    struct kquant_fit fit;
    unsigned high = 0;
    kquant_fit_symmetric(values, &shape, &fit);
    memset(block + 4, 0, 4);
    for (int part = 0; part < 8; part++) {
        const unsigned scale = (unsigned)(fit.scales[part] + 32);
        block[4 + part / 2] = (uint8_t)(block[4 + part / 2] | (scale & 15) << part % 2 * 4);
        high |= scale >> 4 << 2 * part;
        for (int i = 0; i < 16; i++) {
            const uint8_t *q = fit.elements + 32 * part + i;
            block[8 + 16 * part + i] = (uint8_t)(q[0] | q[16] << 4);
        }
    }
    bits_put_u16(block, fit.scale);
    bits_put_u16(block + 2, (uint16_t)high);
}
ENCODE_WITH(encode_iq4_xs, 256, 136, iq4_xs_block)

const struct sw_format sw_format_iq4_xs = {.name = "iq4_xs",
                                           .dtype = SW_OTHER,
                                           .block_len = 256,
                                           .block_bytes = 136,
                                           .ggml_type = 23,
                                           .col_pad = 256,
                                           .decode = decode_iq4_xs,
                                           .encode = encode_iq4_xs};
