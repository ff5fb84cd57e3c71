/* Weight formats against their definitions, each written down once more (docs/formats.md). */
#include "hard_values.h"
#include "tensor/dynamic_map.h"
#include "tensor/format_nf4.h"
#include "unit.h"

/* f32, f16 and bf16 by their definition: the nearest value of the type. */
static void plain_formats_round(void)
{
    char *values = hard_values(SW_F32, false);
    for (int row = 0; row < ROWS; row++) {
        const struct sw_values of = values_row(values, SW_F32, false, row);
        const float *from = of.data;
        uint16_t half[COLS], brain[COLS];
        float same[COLS];
        sw_format_encode_row(&sw_format_f32, &of, same, NULL);
        sw_format_encode_row(&sw_format_f16, &of, half, NULL);
        sw_format_encode_row(&sw_format_bf16, &of, brain, NULL);
        CU_ASSERT_FATAL(memcmp(same, from, sizeof same) == 0);
        for (int col = 0; col < COLS; col++) {
            CU_ASSERT_EQUAL_FATAL(half[col], sw_f32_to_f16(from[col]));
            CU_ASSERT_EQUAL_FATAL(brain[col], sw_f32_to_bf16(from[col]));
        }
    }
    free(values);
}

/* int8 by its definition (docs/formats.md). */
static void int8_is_as_defined(void)
{
    char *values = hard_values(SW_F32, false);
    for (int row = 0; row < ROWS; row++) {
        const struct sw_values of = values_row(values, SW_F32, false, row);
        const float *from = of.data;
        int8_t elements[COLS];
        float scale, largest = 0;
        bool finite = true;
        sw_format_encode_row(&sw_format_int8, &of, elements, &scale);
        for (int col = 0; col < COLS; col++) {
            finite = finite && isfinite(from[col]);
            largest = fmaxf(largest, fabsf(from[col]));
        }
        const bool is_zero = !finite || largest < SW_INT8_TINY;
        CU_ASSERT_FATAL(finite ? scale == (is_zero ? 0 : largest / 127) : isnan(scale));
        for (int col = 0; col < COLS; col++)
            CU_ASSERT_EQUAL_FATAL(elements[col],
                                  is_zero ? 0 : (int)rintf(from[col] * (127 / largest)));
    }
    free(values);
}

/* q8_0 by its definition (docs/formats.md): halves are rounded away from 0. */
static void q8_0_is_as_defined(void)
{
    char *values = hard_values(SW_F32, false);
    for (int row = 0; row < ROWS; row++) {
        const struct sw_values of = values_row(values, SW_F32, false, row);
        const float *from = of.data;
        unsigned char blocks[(COLS + 31) / 32 * 34];
        sw_format_encode_row(&sw_format_q8_0, &of, blocks, NULL);
        for (int first = 0; first < COLS; first += 32) {
            const unsigned char *block = blocks + first / 32 * 34;
            float largest = 0;
            bool finite = true;
            for (int i = first; i < first + 32 && i < COLS; i++) {
                largest = fmaxf(largest, fabsf(from[i]));
                finite = finite && isfinite(from[i]);
            }
            const float scale = largest / 127;
            const uint16_t half = sw_f32_to_f16(scale);
            const bool is_zero = !finite || half == 0;
            CU_ASSERT_FATAL(finite ? memcmp(block, &half, 2) == 0
                                   : isnan(sw_f16_to_f32((uint16_t)(block[0] | block[1] << 8))));
            for (int i = 0; i < 32; i++) {
                const float value = first + i < COLS && !is_zero ? from[first + i] : 0;
                CU_ASSERT_EQUAL_FATAL((int8_t)block[2 + i],
                                      is_zero ? 0 : (int)roundf(value * (1 / scale)));
            }
        }
    }
    free(values);
}

/* A block that the gguf package of Python, 0.19, makes of these values. */
static void q8_0_is_gguf_s(void)
{
    static const int8_t elements[32] = {-121, 24,  -83, 65,  -44,  103, -2,  -111, 36,  -69, 75,
                                        -32,  117, 8,   -99, 50,   -60, 87,  -18,  127, 20,  -85,
                                        60,   -48, 101, -8,  -115, 34,  -75, 71,   -34, 111};
    float values[32];
    unsigned char block[34];
    for (int i = 0; i < 32; i++)
        values[i] = (float)(i * 37 % 64 - 31) / 8 + (i % 3 == 0 ? 0.0625f : 0);
    const struct sw_values row = {values, SW_F32, 32, 1, NULL};
    sw_format_encode_row(&sw_format_q8_0, &row, block, NULL);
    CU_ASSERT(block[0] == 8 && block[1] == 40);
    CU_ASSERT_EQUAL(memcmp(block + 2, elements, 32), 0);
}

/* nf4 and fp4 by their definition: the nearest value to element / absmax, the lower of two. */
static void nf4_is_as_defined(void)
{
    static const struct {
        const struct sw_format *format;
        float values[16]; /* by ascending value, -0 left out */
        int n;
    } kinds[] = {
        {&sw_format_nf4,
         {-1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
          -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
          0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
          0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1},
         16},
        {&sw_format_fp4,
         {-1, -8.0f / 12, -0.5f, -4.0f / 12, -0.25f, -2.0f / 12, -0.0625f / 12, 0, 0.0625f / 12,
          2.0f / 12, 0.25f, 4.0f / 12, 0.5f, 8.0f / 12, 1},
         15}};
    char *values = hard_values(SW_F32, false);
    for (int k = 0; k < 2; k++)
        for (int row = 0; row < ROWS; row++) {
            const struct sw_values of = values_row(values, SW_F32, false, row);
            char blocks[(COLS + 63) / 64 * 36];
            float decoded[COLS];
            sw_format_encode_row(kinds[k].format, &of, blocks, NULL);
            sw_format_decode(kinds[k].format, blocks, 1, COLS, decoded);
            for (int col = 0; col < COLS; col++) {
                const float *x = (const float *)of.data + col / 64 * 64;
                float absmax = 0;
                bool finite = true;
                for (int i = 0; i < 64 && col / 64 * 64 + i < COLS; i++) {
                    absmax = fmaxf(absmax, fabsf(x[i]));
                    finite = finite && isfinite(x[i]);
                }
                const float share = x[col % 64] * (1 / fmaxf(absmax, 1e-38f));
                int best = 0;
                while (best + 1 < kinds[k].n &&
                       share > (kinds[k].values[best] + kinds[k].values[best + 1]) / 2)
                    best++;
                if (finite)
                    CU_ASSERT(decoded[col] == kinds[k].values[best] * absmax);
                if (!finite)
                    CU_ASSERT(isnan(decoded[col]));
            }
        }
    free(values);
}

/* The map by its definition: the middles of 2^i equal parts of [0.1, 1) * 10^(i - 6), of both
 * signs, with 0 and 1. */
static void dynamic_map_is_as_defined(void)
{
    int n = 0;
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 1 << i; k++, n++) {
            const double middle = pow(10, i - 6) * (0.1 + 0.9 * (k + 0.5) / (1 << i));
            CU_ASSERT(fabs((double)sw_dynamic_map[128 + n] / middle - 1) < 3e-7);
            CU_ASSERT(sw_dynamic_map[126 - n] == -sw_dynamic_map[128 + n]);
        }
    CU_ASSERT(n == 127 && sw_dynamic_map[127] == 0 && sw_dynamic_map[255] == 1);
}

/* Nested blocks written down: absmax = map[byte] * scale + offset in f32, then value * absmax; by
 * the format's own map and by another. */
static void nested_decodes_as_defined(void)
{
    uint8_t block[136];
    float got[256];
    const float scale = 0.37f, offset = 1.625f;
    float another[SW_TABLE_LEN];
    for (int i = 0; i < SW_TABLE_LEN; i++)
        another[i] = another_number(i);
    memcpy(block, &scale, sizeof scale);
    for (int i = 4; i < 136; i++)
        block[i] = (uint8_t)(i * 59 + 7);
    for (int kind = 0; kind < 4; kind++) {
        const float *values = kind % 2 ? sw_fp4_values : sw_nf4_values;
        const float *map = kind < 2 ? sw_dynamic_map : another;
        const struct sw_format *f = kind % 2 ? &sw_format_fp4_nested : &sw_format_nf4_nested;
        if (kind < 2)
            sw_format_decode(f, block, offset, 256, got);
        else
            sw_format_decode_by(f, another, block, offset, 256, got);
        for (int i = 0; i < 256; i++) {
            const volatile float product = map[block[4 + i / 64]] * scale;
            const float absmax = product + offset;
            const int byte = block[8 + i / 32 * 16 + i % 16];
            CU_ASSERT(got[i] == values[i % 32 < 16 ? byte & 15 : byte >> 4] * absmax);
        }
    }
}

/* Absmax of a byte cost little: the error grows by less than 0.5%, over rows of all sizes. */
static void nested_errs_little_more(void)
{
    static const struct {
        const struct sw_format *plain, *nested;
    } kinds[] = {{&sw_format_nf4, &sw_format_nf4_nested}, {&sw_format_fp4, &sw_format_fp4_nested}};
    enum { N = 4096 };
    static float values[N], once[N], twice[N];
    static char blocks[N];
    uint32_t state = 1;
    for (int k = 0; k < 2; k++)
        for (int size = -60; size <= 60; size += 30) {
            double plain = 0, nested = 0;
            float offset = 0;
            for (int i = 0; i < N; i++) { /* the sum of four is nearly normal */
                float sum = 0;
                for (int j = 0; j < 4; j++)
                    sum += (float)((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f;
                values[i] = ldexpf(sum - 2, size) * (i / 64 % 7 == 3 ? 3 : 1);
            }
            const struct sw_values row = {values, SW_F32, N, 1, NULL};
            sw_format_encode_row(kinds[k].plain, &row, blocks, NULL);
            sw_format_decode(kinds[k].plain, blocks, 1, N, once);
            sw_format_encode_row(kinds[k].nested, &row, blocks, &offset);
            sw_format_decode(kinds[k].nested, blocks, offset, N, twice);
            for (int i = 0; i < N; i++) {
                plain += pow((double)once[i] - (double)values[i], 2);
                nested += pow((double)twice[i] - (double)values[i], 2);
            }
            CU_ASSERT(sqrt(nested) < 1.005 * sqrt(plain));
            if (size == 0)
                printf("    %s: %.4f of %s's error\n", kinds[k].nested->name, sqrt(nested / plain),
                       kinds[k].plain->name);
        }
}

/* fp8 by its definition: no element of E4M3 is nearer, and the largest is used. */
static void fp8_is_as_defined(void)
{
    char *values = hard_values(SW_F32, false);
    for (int row = 0; row < ROWS; row++) {
        const struct sw_values of = values_row(values, SW_F32, false, row);
        char blocks[(COLS + 127) / 128 * 132];
        float decoded[COLS], scale;
        sw_format_encode_row(&sw_format_fp8, &of, blocks, NULL);
        sw_format_decode(&sw_format_fp8, blocks, 1, COLS, decoded);
        for (int col = 0; col < COLS; col++) {
            const float x = ((const float *)of.data)[col];
            memcpy(&scale, blocks + col / 128 * 132, sizeof scale);
            double nearest = INFINITY;
            for (int b = 0; b < 256 && scale > 0; b++)
                if ((b & 127) != 127)
                    nearest =
                        fmin(nearest,
                             fabs((double)sw_e4m3_to_f32((uint8_t)b) * (double)scale - (double)x));
            if (scale > 0)
                CU_ASSERT(fabs((double)decoded[col] - (double)x) == nearest);
        }
    }
    free(values);
}

/* Heads and codes written down: 0.5 * (q - zero). */
static void groups_are_as_defined(void)
{
    float nibbles[32], bytes[32];
    uint8_t want[36] = {3, 0, 0, 0x3f}, got[36];
    for (int i = 0; i < 32; i++) {
        nibbles[i] = 0.5f * (float)(i % 16 - 3);
        bytes[i] = i == 1 ? 63.5f : 0.5f * (float)(i * 37 % 256 - 128);
        if (i < 16)
            want[4 + i] = (uint8_t)(i | i << 4);
    }
    const struct sw_values four = {nibbles, SW_F32, 32, 1, NULL};
    const struct sw_values eight = {bytes, SW_F32, 32, 1, NULL};
    sw_format_encode_row(sw_format_of(SW_FORMAT_INT4_G32), &four, got, NULL);
    CU_ASSERT_EQUAL(memcmp(got, want, 20), 0);
    want[0] = 0;
    for (int i = 0; i < 32; i++)
        want[4 + i] = (uint8_t)(i == 1 ? 127 : i * 37 % 256 - 128);
    sw_format_encode_row(sw_format_of(SW_FORMAT_INT8_G32), &eight, got, NULL);
    CU_ASSERT_EQUAL(memcmp(got, want, 36), 0);
}

/* The same of two and three bits: column c of a block has the code c % 4, or c % 8. */
static void few_bits_are_as_defined(void)
{
    for (int bits = 2; bits <= 3; bits++) {
        const enum sw_format_id format = bits == 2 ? SW_FORMAT_INT2_G32 : SW_FORMAT_INT3_G32;
        const int codes = 1 << bits;
        float values[32];
        uint8_t want[16] = {1, 0, 0, 0x3f}, got[16]; /* 0.5, and the zero 1 */
        for (int c = 0; c < 32; c++) {
            values[c] = 0.5f * (float)(c % codes - 1);
            want[4 + c % 8] = (uint8_t)(want[4 + c % 8] | (c % codes & 3) << c / 8 * 2);
            if (bits == 3)
                want[12 + c % 4] = (uint8_t)(want[12 + c % 4] | (c % codes >> 2) << c / 4);
        }
        const struct sw_values row = {values, SW_F32, 32, 1, NULL};
        sw_format_encode_row(sw_format_of(format), &row, got, NULL);
        CU_ASSERT_EQUAL(memcmp(got, want, bits == 2 ? 12 : 16), 0);
    }
}

SW_UNIT_TESTS({"plain formats round", plain_formats_round},
              {"int8 is as defined", int8_is_as_defined},
              {"q8_0 is as defined", q8_0_is_as_defined}, {"nf4 is as defined", nf4_is_as_defined},
              {"dynamic map is as defined", dynamic_map_is_as_defined},
              {"nested decodes as defined", nested_decodes_as_defined},
              {"nested errs little more", nested_errs_little_more},
              {"few bits are as defined", few_bits_are_as_defined},
              {"fp8 is as defined", fp8_is_as_defined}, {"q8_0 is gguf's", q8_0_is_gguf_s},
              {"groups are as defined", groups_are_as_defined})
