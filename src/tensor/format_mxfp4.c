/* Owns MXFP4 of the Open Compute Project, in GGUF's order: blocks of 32, a power of two, then
 * floats of four bits. */
#include "tensor/block_bits.h"
#include "tensor/format.h"

/* Twice the value: the scale is half of the power. */
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128) */
static float mxfp4_scale(uint8_t e)
{
    const uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

static void decode_mxfp4(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 17, out += 32) {
        const float d = mxfp4_scale(b[0]);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)mxfp4_values[b[1 + i] & 15];
            out[i + 16] = d * (float)mxfp4_values[b[1 + i] >> 4];
        }
    }
}

const struct sw_format sw_format_mxfp4 = {.name = "mxfp4",
                                          .dtype = SW_OTHER,
                                          .block_len = 32,
                                          .block_bytes = 17,
                                          .ggml_type = 39,
                                          .col_pad = 32,
                                          .decode = decode_mxfp4};
