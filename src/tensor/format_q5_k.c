/* Owns Q5_K of GGUF: Q4_K with fifth bits, which lie apart. */
#include "tensor/block_encode.h"
#include "tensor/kquant_fit.h"

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

static void q5_k_block(const float *values, uint8_t *block)
{
    static const struct kquant_shape shape = {
        .len = 32, .high_scale = 63, .share = 1, .range = {0, 31, 11, -1, 0.2f}};
    struct kquant_fit fit;
    kquant_fit_with_min(values, &shape, &fit);
    bits_put_u16(block, fit.scale);
    bits_put_u16(block + 2, fit.min);
    bits_put_pairs(block + 4, fit.scales, fit.mins);
    memset(block + 16, 0, 32);
    for (int i = 0; i < 256; i++)
        block[16 + i % 32] = (uint8_t)(block[16 + i % 32] | fit.elements[i] >> 4 << i / 32);
    for (int i = 0; i < 128; i++) {
        const uint8_t *q = fit.elements + i / 32 * 64 + i % 32;
        block[48 + i] = (uint8_t)((q[0] & 15) | q[32] << 4);
    }
}
ENCODE_WITH(encode_q5_k, 256, 176, q5_k_block)

const struct sw_format sw_format_q5_k = {.name = "q5_k",
                                         .dtype = SW_OTHER,
                                         .block_len = 256,
                                         .block_bytes = 176,
                                         .ggml_type = 13,
                                         .col_pad = 256,
                                         .decode = decode_q5_k,
                                         .encode = encode_q5_k};
