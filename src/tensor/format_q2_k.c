/* Owns Q2_K of GGUF: blocks of 256 in 16 parts, each with a scale and a minimum of four bits. */
#include "tensor/block_encode.h"
#include "tensor/kquant_fit.h"

static void decode_q2_k(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 256, b += 84, out += 256) {
        const uint8_t *q = b + 16;
        const float d = bits_f16(b + 80), dmin = bits_f16(b + 82);
        for (int part = 0; part < 16; part++) {
            /* Halves of 128; in each, bits 0 and 1 of 32 bytes, then 2 and 3, …: two parts a time.
             */
            const uint8_t *from = q + part / 8 * 32 + part % 2 * 16;
            const int shift = part % 8 / 2 * 2;
            const float dl = d * (float)(b[part] & 15), ml = dmin * (float)(b[part] >> 4);
            for (int i = 0; i < 16; i++)
                out[part * 16 + i] = dl * (float)(from[i] >> shift & 3) - ml;
        }
    }
}

static void q2_k_block(const float *values, uint8_t *block)
{
    static const struct kquant_shape shape = {
        .len = 16, .high_scale = 15, .share = 1, .range = {0, 3, 10, -0.9f, 0.2f}};
    struct kquant_fit fit;
    kquant_fit_with_min(values, &shape, &fit);
    for (int part = 0; part < 16; part++)
        block[part] = (uint8_t)(fit.scales[part] | fit.mins[part] << 4);
    encode_pairs_of_bits(fit.elements, block + 16);
    bits_put_u16(block + 80, fit.scale);
    bits_put_u16(block + 82, fit.min);
}
ENCODE_WITH(encode_q2_k, 256, 84, q2_k_block)

const struct sw_format sw_format_q2_k = {.name = "q2_k",
                                         .dtype = SW_OTHER,
                                         .block_len = 256,
                                         .block_bytes = 84,
                                         .ggml_type = 10,
                                         .col_pad = 256,
                                         .decode = decode_q2_k,
                                         .encode = encode_q2_k};
