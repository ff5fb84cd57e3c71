/* Owns Q6_K of GGUF: blocks of 256 in 16 parts, each with a scale of a byte; upper bits lie apart.
 */
#include "tensor/block_encode.h"
#include "tensor/kquant_fit.h"

static void decode_q6_k(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 256, b += 210, out += 256) {
        const uint8_t *low = b, *high = b + 128, *scales = b + 192;
        const float d = bits_f16(b + 208);
        for (int part = 0; part < 16; part++) {
            /* Halves of 128: elements 0 to 31 and 32 to 63 in low nibbles, the others in high ones.
             */
            const int half = part / 8, group = part % 8 / 2, at = part % 2 * 16;
            const uint8_t *from = low + half * 64 + group % 2 * 32 + at,
                          *up = high + half * 32 + at;
            const float dl = d * (float)(int8_t)scales[part];
            for (int i = 0; i < 16; i++) {
                const int q = (from[i] >> group / 2 * 4 & 15) | (up[i] >> group * 2 & 3) << 4;
                out[part * 16 + i] = dl * (float)(q - 32);
            }
        }
    }
}

static void q6_k_block(const float *values, uint8_t *block)
{
    static const struct kquant_shape shape = {.len = 16,
                                              .low_scale = -128,
                                              .high_scale = 127,
                                              .share = 1,
                                              .range = {-32, 31, 10, -0.9f, 0.2f}};
    struct kquant_fit fit;
    kquant_fit_symmetric(values, &shape, &fit);
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 32; i++) {
            const uint8_t *q = fit.elements + half * 128 + i;
            uint8_t *const low = block + half * 64 + i;
            low[0] = (uint8_t)((q[0] & 15) | q[64] << 4);
            low[32] = (uint8_t)((q[32] & 15) | q[96] << 4);
            block[128 + half * 32 + i] =
                (uint8_t)(q[0] >> 4 | q[32] >> 4 << 2 | q[64] >> 4 << 4 | q[96] >> 4 << 6);
        }
    memcpy(block + 192, fit.scales, 16);
    bits_put_u16(block + 208, fit.scale);
}
ENCODE_WITH(encode_q6_k, 256, 210, q6_k_block)

const struct sw_format sw_format_q6_k = {.name = "q6_k",
                                         .dtype = SW_OTHER,
                                         .block_len = 256,
                                         .block_bytes = 210,
                                         .ggml_type = 14,
                                         .col_pad = 256,
                                         .decode = decode_q6_k,
                                         .encode = encode_q6_k};
