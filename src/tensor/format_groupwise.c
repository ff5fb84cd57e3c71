/* Owns the formats of group-wise integers (tensor/groupwise.h says what a block is). */
#include "tensor/groupwise.h"

#include "tensor/block_bits.h"

#include <math.h>

#define HEAD SW_GROUPWISE_HEAD
#define LONG 128  /* elements of the long blocks, of the short ones SW_GROUPWISE_PART */
#define PIECE 256 /* values that are read at once: the longest block of other formats */

/* Elements [0, n) of one block of nibbles. */
static void groupwise_decode_4(const uint8_t *block, int64_t n, float *out)
{
    const uint32_t head = bits_u32(block);
    const float scale = sw_groupwise_scale(head);
    const int zero = (int)(head & 0xff);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t two = block[HEAD + i / 32 * 16 + i % 16];
        out[i] = scale * (float)((i % 32 < 16 ? two & 15 : two >> 4) - zero);
    }
}

static void groupwise_decode_8(const uint8_t *block, int64_t n, float *out)
{
    const uint32_t head = bits_u32(block);
    const float scale = sw_groupwise_scale(head);
    const int zero = (int8_t)(head & 0xff);
    for (int64_t i = 0; i < n; i++)
        out[i] = scale * (float)((int8_t)block[HEAD + i] - zero);
}

/* Elements [0, n) of one block of `len` codes of two bits, or of three. */
static void groupwise_decode_few(const uint8_t *block, int len, bool third, int64_t n, float *out)
{
    const uint32_t head = bits_u32(block);
    const float scale = sw_groupwise_scale(head);
    const int zero = (int)(head & 0xff);
    const uint8_t *const low = block + HEAD, *const high = low + len / 4;
    for (int64_t i = 0; i < n; i++) {
        int code = low[i / 32 * 8 + i % 8] >> i % 32 / 8 * 2 & 3;
        if (third)
            code |= (high[i / 32 * 4 + i % 4] >> i % 32 / 4 & 1) << 2;
        out[i] = scale * (float)(code - zero);
    }
}

/* The numbers of a block that codes of [low, high] can stand for: 0 is always one of them. */
struct groupwise_range {
    float scale;
    int zero;
};

/* From the smallest to the largest value, 0 among them, in `high` - `low` steps. What is no number
 * makes the scale NaN. */
static struct groupwise_range groupwise_range_of(const float *values, int64_t n, int low, int high)
{
    float least = 0, most = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += values[i] * 0; /* NaN if one is, or infinite */
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    const float exact = most / (float)(high - low) - least / (float)(high - low) + sum;
    const float scale = sw_groupwise_scale(sw_groupwise_head(exact, 0));
    if (!(scale >= 0x1p-120f) || !isfinite(scale)) /* nearly all are 0, or they show */
        return (struct groupwise_range){isfinite(scale) ? 0 : NAN, low < 0 ? 0 : low};
    return (struct groupwise_range){scale, low + (int)nearbyintf(-least / scale)};
}

/* The code of a value; of a block without a scale, of 0. */
static int groupwise_code(float value, const struct groupwise_range *range, int low, int high)
{
    if (!(range->scale > 0))
        return range->zero;
    const float code = nearbyintf(value / range->scale) + (float)range->zero;
    return code < (float)low ? low : code > (float)high ? high : (int)code;
}

static void groupwise_encode_4(const float *values, int64_t n, uint8_t *block)
{
    const struct groupwise_range range = groupwise_range_of(values, n, 0, 15);
    const uint32_t head = sw_groupwise_head(range.scale, range.zero);
    memcpy(block, &head, HEAD);
    for (int64_t i = 0; i < n; i += 32)
        for (int64_t k = i; k < i + 16; k++)
            block[HEAD + i / 2 + k - i] =
                (uint8_t)(groupwise_code(values[k], &range, 0, 15) |
                          groupwise_code(values[k + 16], &range, 0, 15) << 4);
}

static void groupwise_encode_8(const float *values, int64_t n, uint8_t *block)
{
    const struct groupwise_range range = groupwise_range_of(values, n, -128, 127);
    const uint32_t head = sw_groupwise_head(range.scale, range.zero);
    memcpy(block, &head, HEAD);
    for (int64_t i = 0; i < n; i++)
        block[HEAD + i] = (uint8_t)groupwise_code(values[i], &range, -128, 127);
}

static void groupwise_encode_few(const struct sw_format *format, const float *values, int64_t n,
                                 uint8_t *block)
{
    const int high = (1 << sw_groupwise_bits(format)) - 1;
    const struct groupwise_range range = groupwise_range_of(values, n, 0, high);
    const uint32_t head = sw_groupwise_head(range.scale, range.zero);
    uint8_t codes[SW_GROUPWISE_PART];
    memcpy(block, &head, HEAD);
    for (int64_t i = 0; i < n; i += SW_GROUPWISE_PART) {
        for (int64_t k = 0; k < SW_GROUPWISE_PART; k++)
            codes[k] = (uint8_t)groupwise_code(values[i + k], &range, 0, high);
        sw_groupwise_put(format, (int)(i / SW_GROUPWISE_PART), codes, block + HEAD);
    }
}

/* Rows of blocks of `len` elements in `bytes` bytes, by what decodes and encodes one. */
static void groupwise_decode(void (*one)(const uint8_t *, int64_t, float *), int64_t len,
                             size_t bytes, const void *blocks, int64_t n, float *out)
{
    const uint8_t *at = blocks;
    for (int64_t first = 0; first < n; first += len, at += bytes)
        one(at, n - first < len ? n - first : len, out + first);
}

static void groupwise_encode(void (*one)(const float *, int64_t, uint8_t *), int64_t len,
                             size_t bytes, const struct sw_values *row, int64_t first, int64_t n,
                             void *blocks)
{
    uint8_t *to = blocks;
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t part = n - done < PIECE ? n - done : PIECE;
        float values[PIECE] = {0};
        sw_values_to_f32(row, first + done, part, values);
        for (int64_t i = 0; i < part; i += len, to += bytes)
            one(values + i, len, to);
    }
}

/* int4_g128 and so on: bits of a code, what decodes and encodes a block, elements of it. */
#define GROUPWISE(format, bits, decode_one, encode_one, len)                                       \
    static void decode_##format(const void *blocks, float scale, int64_t n, float *out)            \
    {                                                                                              \
        (void)scale;                                                                               \
        groupwise_decode(decode_one, len, HEAD + (len) * (bits) / 8, blocks, n, out);              \
    }                                                                                              \
    static void encode_##format(const struct sw_values *row, float measured, int64_t first,        \
                                int64_t n, void *blocks)                                           \
    {                                                                                              \
        (void)measured;                                                                            \
        groupwise_encode(encode_one, len, HEAD + (len) * (bits) / 8, row, first, n, blocks);       \
    }                                                                                              \
    const struct sw_format sw_format_##format = {.name = #format,                                  \
                                                 .block_len = (len),                               \
                                                 .block_bytes = HEAD + (len) * (bits) / 8,         \
                                                 .dtype = SW_OTHER,                                \
                                                 .col_pad = (len),                                 \
                                                 .decode = decode_##format,                        \
                                                 .encode = encode_##format};

/* The same of two and three bits. */
#define FEW(format, bits, len)                                                                     \
    static void decode_one_##format(const uint8_t *block, int64_t n, float *out)                   \
    {                                                                                              \
        groupwise_decode_few(block, len, (bits) == 3, n, out);                                     \
    }                                                                                              \
    static void encode_one_##format(const float *values, int64_t n, uint8_t *block)                \
    {                                                                                              \
        groupwise_encode_few(&sw_format_##format, values, n, block);                               \
    }                                                                                              \
    GROUPWISE(format, bits, decode_one_##format, encode_one_##format, len)

FEW(int2_g128, 2, LONG)
FEW(int2_g32, 2, SW_GROUPWISE_PART)
FEW(int3_g128, 3, LONG)
FEW(int3_g32, 3, SW_GROUPWISE_PART)
GROUPWISE(int4_g128, 4, groupwise_decode_4, groupwise_encode_4, LONG)
GROUPWISE(int4_g32, 4, groupwise_decode_4, groupwise_encode_4, SW_GROUPWISE_PART)
GROUPWISE(int8_g128, 8, groupwise_decode_8, groupwise_encode_8, LONG)
GROUPWISE(int8_g32, 8, groupwise_decode_8, groupwise_encode_8, SW_GROUPWISE_PART)

const struct sw_format *sw_groupwise_format(int bits, int64_t group, int64_t cols)
{
    static const struct sw_format *const formats[] = {
        &sw_format_int2_g128, &sw_format_int2_g32, &sw_format_int3_g128, &sw_format_int3_g32,
        &sw_format_int4_g128, &sw_format_int4_g32, &sw_format_int8_g128, &sw_format_int8_g32};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (sw_groupwise_bits(formats[i]) == bits &&
            (group >= cols || group % formats[i]->block_len == 0))
            return formats[i];
    return NULL;
}
