/*
 * The quantized types of GGUF: blocks decode to the values of llama.cpp's own gguf package
 * (make_ggml.py), bit for bit, and weights are made of blocks as of the values.
 */
#include "fixture_part.h"
#include "kernels/cpu/cpu_kernels.h"

#define ELEMENTS 512
#define ROWS 2
#define COLS (ELEMENTS / ROWS)

static const struct {
    unsigned type; /* of ggml */
    const char *name;
} types[] = {{2, "q4_0"},    {3, "q4_1"},    {6, "q5_0"},  {7, "q5_1"},  {8, "q8_0"},
             {10, "q2_k"},   {11, "q3_k"},   {12, "q4_k"}, {13, "q5_k"}, {14, "q6_k"},
             {20, "iq4_nl"}, {23, "iq4_xs"}, {39, "mxfp4"}};
#define N_TYPES (sizeof types / sizeof types[0])

/* A tensor of the file, "NAME.WHAT"; the caller frees. */
static void *read_part(const char *name, const char *what)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, what);
    return fixture_part("ggml.safetensors", full);
}

static void decodes(void)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        const struct sw_format *format = sw_format_of_ggml(types[i].type);
        CU_ASSERT_PTR_NOT_NULL_FATAL(format);
        CU_ASSERT_STRING_EQUAL(format->name, types[i].name);
        uint8_t *blocks = read_part(types[i].name, "blocks");
        float *values = read_part(types[i].name, "values"), decoded[ELEMENTS];
        format->decode(blocks, 1, ELEMENTS, decoded);
        CU_ASSERT_EQUAL(memcmp(decoded, values, sizeof decoded), 0);
        /* from the middle of blocks, as rows of other formats are made in pieces */
        const struct sw_values row = {blocks, SW_F32, ELEMENTS, 1, format};
        for (int64_t first = 0; first < ELEMENTS; first += 31) {
            const int64_t n = ELEMENTS - first < 77 ? ELEMENTS - first : 77;
            float part[77];
            sw_values_to_f32(&row, first, n, part);
            CU_ASSERT_EQUAL(memcmp(part, values + first, (size_t)n * sizeof *part), 0);
        }
        free(blocks);
        free(values);
    }
    CU_ASSERT_PTR_NULL(sw_format_of_ggml(0));
    CU_ASSERT_PTR_NULL(sw_format_of_ggml(16));
}

/* Rows of values, or of blocks, packed as the CPU's kernels read them; the caller frees. */
static char *packed(enum sw_format_id format, const void *src, const struct sw_format *blocks)
{
    char *data = calloc(1, sw_matrix_bytes(format, ROWS, COLS));
    const struct sw_pack pack = {.format = format,
                                 .rows = ROWS,
                                 .cols = COLS,
                                 .data = data,
                                 .src = src,
                                 .src_dtype = SW_F32,
                                 .n_rows = ROWS,
                                 .row_stride = COLS,
                                 .col_stride = 1,
                                 .src_blocks = blocks};
    sw_pack_panel(&pack, 0);
    return data;
}

static void makes_weights(void)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        const struct sw_format *from = sw_format_of_ggml(types[i].type);
        uint8_t *blocks = read_part(types[i].name, "blocks");
        float *values = read_part(types[i].name, "values");
        for (int k = 0; k < SW_FORMAT_COUNT; k++) {
            const enum sw_format_id to = (enum sw_format_id)k;
            char *a = packed(to, blocks, from), *b = packed(to, values, NULL);
            if (sw_format_of(to) != from) {
                CU_ASSERT_EQUAL(memcmp(a, b, sw_matrix_bytes(to, ROWS, COLS)), 0);
            } else { /* kept as it is: what comes out is what the file has */
                float out[COLS];
                for (int row = 0; row < ROWS; row++) {
                    sw_unpack_row(to, a, ROWS, COLS, row, out);
                    CU_ASSERT_EQUAL(memcmp(out, values + row * COLS, sizeof out), 0);
                }
            }
            free(a);
            free(b);
        }
        free(blocks);
        free(values);
    }
}

SW_UNIT_TESTS({"decodes as llama.cpp", decodes}, {"makes weights of blocks", makes_weights})
