/* Owns the formats that keep values themselves: f32, f16 and bf16, rounded to nearest even. */
#include "tensor/format.h"

#define PIECE 256
#define COL_PAD 2

static void decode_f32(const void *blocks, float scale, int64_t n, float *out)
{
    (void)scale;
    sw_dtype_to_f32(SW_F32, blocks, n, out);
}

static void decode_f16(const void *blocks, float scale, int64_t n, float *out)
{
    (void)scale;
    sw_dtype_to_f32(SW_F16, blocks, n, out);
}

static void decode_bf16(const void *blocks, float scale, int64_t n, float *out)
{
    (void)scale;
    sw_dtype_to_f32(SW_BF16, blocks, n, out);
}

static void encode_f32(const struct sw_values *row, float measured, int64_t first, int64_t n,
                       void *blocks)
{
    (void)measured;
    if (row->dtype == SW_F32 && !row->blocks)
        sw_values_copy(row, first, n, blocks);
    else
        sw_values_to_f32(row, first, n, blocks);
}

/* Values [first, first + n), in pieces: out[done …] is made of `values`. A macro, so that the
 * conversion is a direct call, which is faster than one by a pointer. */
#define ENCODE_HALF(convert)                                                                       \
    for (int64_t done = 0; done < n; done += PIECE) {                                              \
        const int64_t part = n - done < PIECE ? n - done : PIECE;                                  \
        float values[PIECE];                                                                       \
        sw_values_to_f32(row, first + done, part, values);                                         \
        for (int64_t i = 0; i < part; i++)                                                         \
            out[done + i] = convert(values[i]);                                                    \
    }

static void encode_f16(const struct sw_values *row, float measured, int64_t first, int64_t n,
                       void *blocks)
{
    uint16_t *const out = blocks;
    (void)measured;
    if (row->dtype == SW_F16)
        sw_values_copy(row, first, n, blocks);
    else
        ENCODE_HALF(sw_f32_to_f16)
}

static void encode_bf16(const struct sw_values *row, float measured, int64_t first, int64_t n,
                        void *blocks)
{
    uint16_t *const out = blocks;
    (void)measured;
    if (row->dtype == SW_BF16)
        sw_values_copy(row, first, n, blocks);
    else
        ENCODE_HALF(sw_f32_to_bf16)
}

const struct sw_format sw_format_f32 = {.name = "f32",
                                        .dtype = SW_F32,
                                        .block_len = 1,
                                        .block_bytes = 4,
                                        .col_pad = COL_PAD,
                                        .decode = decode_f32,
                                        .encode = encode_f32};
const struct sw_format sw_format_f16 = {.name = "f16",
                                        .dtype = SW_F16,
                                        .block_len = 1,
                                        .block_bytes = 2,
                                        .col_pad = COL_PAD,
                                        .decode = decode_f16,
                                        .encode = encode_f16};
const struct sw_format sw_format_bf16 = {.name = "bf16",
                                         .dtype = SW_BF16,
                                         .block_len = 1,
                                         .block_bytes = 2,
                                         .col_pad = COL_PAD,
                                         .decode = decode_bf16,
                                         .encode = encode_bf16};
