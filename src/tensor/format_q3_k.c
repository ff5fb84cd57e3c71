/* Owns Q3_K of GGUF: blocks of 256 in 16 parts, each with a scale of six bits; the third bits lie
 * apart. */
#include "tensor/block_encode.h"
#include "tensor/kquant_fit.h"

/* The scale of a part, of six bits: four in bytes 0 to 7, two in bytes 8 to 11. */
static int q3_k_scale(const uint8_t *s, int part)
{
    const int low = part < 8 ? s[part] & 15 : s[part - 8] >> 4;
    return (low | (s[8 + part % 4] >> part / 4 * 2 & 3) << 4) - 32;
}

static void decode_q3_k(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 256, b += 110, out += 256) {
        const uint8_t *high = b, *q = b + 32, *scales = b + 96;
        const float d = bits_f16(b + 108);
        for (int part = 0; part < 16; part++) {
            const uint8_t *from = q + part / 8 * 32 + part % 2 * 16, *up = high + part % 2 * 16;
            const int shift = part % 8 / 2 * 2, bit = part / 2;
            const float dl = d * (float)q3_k_scale(scales, part);
            for (int i = 0; i < 16; i++)
                out[part * 16 + i] =
                    dl * (float)((from[i] >> shift & 3) - (up[i] >> bit & 1 ? 0 : 4));
        }
    }
}

static void q3_k_block(const float *values, uint8_t *block)
{
    static const struct kquant_shape shape = {
        .len = 16,
        .low_scale = -32,
        .high_scale = 31,
        .share = 0, /* large values count most: smaller perplexities */
        .range = {-4, 3, 10, -0.9f, 0.2f}};
    uint8_t *const high = block, *const scales = block + 96;
    uint8_t low[256];
    struct kquant_fit fit;
    kquant_fit_symmetric(values, &shape, &fit);
    memset(block, 0, 110);
    for (int i = 0; i < 256; i++) {
        low[i] = fit.elements[i] & 3;
        high[i % 32] = (uint8_t)(high[i % 32] | fit.elements[i] >> 2 << i / 32);
    }
    encode_pairs_of_bits(low, block + 32);
    for (int part = 0; part < 16; part++) {
        const int scale = fit.scales[part] + 32;
        scales[part % 8] = (uint8_t)(scales[part % 8] | (scale & 15) << part / 8 * 4);
        scales[8 + part % 4] = (uint8_t)(scales[8 + part % 4] | scale >> 4 << part / 4 * 2);
    }
    bits_put_u16(block + 108, fit.scale);
}
ENCODE_WITH(encode_q3_k, 256, 110, q3_k_block)

const struct sw_format sw_format_q3_k = {.name = "q3_k",
                                         .dtype = SW_OTHER,
                                         .block_len = 256,
                                         .block_bytes = 110,
                                         .ggml_type = 11,
                                         .col_pad = 256,
                                         .decode = decode_q3_k,
                                         .encode = encode_q3_k};
