/* Owns MXFP4 of the Open Compute Project, in GGUF's order: blocks of 32, a power of two, then
 * floats of four bits. */
#include "tensor/block_encode.h"

/* Twice the value: the scale is half of the power. */
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128); 255 is no number. */
static float mxfp4_scale(uint8_t e)
{
    if (e == 255)
        return NAN;
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

/* As ggml's reference: the power of two of the largest magnitude, so that it comes between 4 and 8;
 * the nearest value, of two the smaller one. */
static void mxfp4_block(const float *values, uint8_t *block)
{
    static const float middles[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10}; /* of mxfp4_values */
    const struct encode_range range = encode_range_of(values, 32);
    const float largest = range.max > -range.min ? range.max : -range.min;
    if (!range.finite) {
        memset(block, 0xff, 17); /* NaN, whatever the elements */
        return;
    }
    /* log2 in f64 and then in f32 is log2f rounded correctly: just below a power of two it is the
     * next whole number. */
    const int power = largest > 0 ? (int)floorf((float)log2((double)largest)) + 125 : 0;
    block[0] = (uint8_t)(power < 0 ? 0 : power);
    const float scale = mxfp4_scale(block[0]);
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        const float magnitude = fabsf(values[i]);
        int place = 0;
        for (int k = 0; k < 7; k++)
            place += magnitude > middles[k] * scale;
        q[i] = (uint8_t)(values[i] < 0 && place > 0 ? place | 8 : place);
    }
    for (int i = 0; i < 16; i++)
        block[1 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
}
ENCODE_WITH(encode_mxfp4, 32, 17, mxfp4_block)

const struct sw_format sw_format_mxfp4 = {.name = "mxfp4",
                                          .dtype = SW_OTHER,
                                          .block_len = 32,
                                          .block_bytes = 17,
                                          .ggml_type = 39,
                                          .col_pad = 64, /* two blocks are a unit of panels */
                                          .decode = decode_mxfp4,
                                          .encode = encode_mxfp4};
