/* Owns IQ4_NL of GGUF: blocks of 32, an f16 scale, then nibbles, which are places in a table. */
#include "tensor/block_encode.h"
#include "tensor/block_search.h"

static void decode_iq4_nl(const void *blocks, float scale, int64_t n, float *out)
{
    const uint8_t *b = blocks;
    (void)scale;
    for (; n > 0; n -= 32, b += 18, out += 32) {
        const float d = bits_f16(b);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)bits_iq4[b[2 + i] & 15];
            out[i + 16] = d * (float)bits_iq4[b[2 + i] >> 4];
        }
    }
}

/* Eight blocks, as ggml makes them for files: of 16 steps the one for which the scale of least
 * squares leaves the smallest error, where errors weigh as much as squares of values. */
static void iq4_nl_blocks(const float *values, uint8_t *blocks)
{
    const struct search_kind *kind = &block_search_here()->table;
    static const struct search_range range = {.tries = 15, .first = -7, .step = 1};
    struct search_group group;
    float scales[SEARCH_PARTS];
    uint8_t elements[SEARCH_PARTS * 32];
    block_search_here()->gather(values, 32, 0, &group);
    for (int i = 0; i < 32; i++)
        for (int part = 0; part < SEARCH_PARTS; part++)
            group.weights[i][part] = group.values[i][part] * group.values[i][part];
    kind->fit(&group, range, scales);
    for (int part = 0; part < SEARCH_PARTS; part++) {
        const bool finite = encode_range_of(values + 32 * part, 32).finite;
        uint16_t half = finite ? encode_scale(scales[part]) : BITS_F16_NAN;
        if ((half & 0x7fff) == 0 || half == BITS_F16_NAN)
            scales[part] = 0;
        bits_put_u16(blocks + 18 * part, (half & 0x7fff) == 0 ? 0 : half);
    }
    kind->elements(&group, range, scales, NULL, elements);
    for (int part = 0; part < SEARCH_PARTS; part++)
        for (int i = 0; i < 16; i++)
            blocks[18 * part + 2 + i] =
                (uint8_t)(elements[32 * part + i] | elements[32 * part + 16 + i] << 4);
}

static void encode_iq4_nl(const struct sw_values *row, float measured, int64_t first, int64_t n,
                          void *blocks)
{
    uint8_t *to = blocks;
    (void)measured;
    for (int64_t done = 0; done < n; done += ENCODE_PIECE) {
        const int64_t part = n - done < ENCODE_PIECE ? n - done : ENCODE_PIECE;
        const int64_t bytes = (part + 31) / 32 * 18;
        float values[ENCODE_PIECE];
        uint8_t made[ENCODE_PIECE / 32 * 18];
        encode_read(row, first + done, part, values);
        iq4_nl_blocks(values, made);
        memcpy(to, made, (size_t)bytes);
        to += bytes;
    }
}

const struct sw_format sw_format_iq4_nl = {.name = "iq4_nl",
                                           .dtype = SW_OTHER,
                                           .block_len = 32,
                                           .block_bytes = 18,
                                           .ggml_type = 20,
                                           .col_pad = 32,
                                           .decode = decode_iq4_nl,
                                           .encode = encode_iq4_nl};
