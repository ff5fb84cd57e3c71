/*
 * Checkpoints with quantized matrices: each decodes to the values of the library that wrote it, bit
 * for bit, in any pieces; what is missing or has another shape is refused by its name.
 */
#include "pieces.h"

#include "checkpoint/adapter_bitsandbytes.h"
#include "tensor/dynamic_map.h"
#include "tensor/format.h"
#include "tensor/format_nf4.h"

#include <math.h>

#define QUANTIZED SW_SOURCE_DIR "/tests/models/quantized/"

static const char *const names[] = {"nf4",     "nf4_plain", "nf4_odd",     "fp4",
                                    "int8",    "fp8_tile",  "fp8_row",     "fp8_tensor",
                                    "mla_fp8", "mla_nf4",   "mla_nf4_odd", "mla_int8"};
#define N_NAMES (sizeof names / sizeof names[0])

/* A row as the reader gives it, in f32. map: of a twin with a table of its own; else NULL. */
static void decode_row(const struct sw_tensor *t, const float *map, const char *data, float *out)
{
    const int64_t cols = t->shape[1];
    const struct sw_values row = {data, t->dtype, cols, 1, t->blocks};
    float offset;
    if (!map) {
        sw_values_to_f32(&row, 0, cols, out);
        return;
    }
    memcpy(&offset, data + cols / t->blocks->block_len * (int64_t)t->blocks->block_bytes,
           sizeof offset);
    sw_format_decode_by(t->blocks, map, data, offset, cols, out);
}

/* Rows of a matrix, `step` at a time, in f32; the caller frees it. NULL after a failure. */
static float *decoded(const struct sw_tensors *tensors, const struct sw_tensor *t, int64_t step)
{
    const int64_t rows = t->shape[0], cols = t->shape[1];
    const size_t row_bytes = (size_t)sw_reader_row_bytes(t);
    float map[SW_TABLE_LEN];
    const bool mapped = t->behind != 0;
    CU_ASSERT_FATAL(!mapped || sw_nested_map(tensors, t, map) == SW_OK);
    char *data = malloc(row_bytes * (size_t)step);
    float *out = malloc((size_t)(rows * cols) * sizeof *out);
    struct sw_reader *reader;
    CU_ASSERT_FATAL(data && out && sw_reader_open(tensors, &reader) == SW_OK);
    enum sw_status status = SW_OK;
    for (int64_t r = 0; r < rows && status == SW_OK; r += step) {
        const int64_t n = rows - r < step ? rows - r : step;
        status = sw_reader_rows(reader, t, r, n, data);
        for (int64_t i = 0; i < n && status == SW_OK; i++)
            decode_row(t, mapped ? map : NULL, data + (size_t)i * row_bytes, out + (r + i) * cols);
    }
    sw_reader_close(reader);
    free(data);
    if (status == SW_OK)
        return out;
    printf("    %s\n", sw_error_message());
    free(out);
    return NULL;
}

/* As tests/models/make_quantized.py counts it. */
static uint64_t digest_of(const float *values, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        sum += bits * (2 * (uint64_t)i + 1);
    }
    return sum;
}

static void check_digest(const char *model, const struct sw_tensors *tensors, const char *name,
                         uint64_t expected)
{
    const struct sw_tensor *t = sw_tensors_find(tensors, name);
    CU_ASSERT_FATAL(t && t->rank == 2 && t->made);
    for (int64_t step = t->shape[0]; step > 0; step = step == 1 ? 0 : step > 7 ? 7 : 1) {
        float *values = decoded(tensors, t, step);
        CU_ASSERT_FATAL(values != NULL);
        const uint64_t found = digest_of(values, t->shape[0] * t->shape[1]);
        CU_ASSERT_EQUAL(found, expected);
        if (found != expected)
            printf("    %s: %s, %lld rows at once: other values\n", model, name, (long long)step);
        free(values);
    }
}

static void values_are_those_of_the_library(void)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        char dir[512], path[600];
        struct sw_tensors tensors, expected = {0};
        size_t checked = 0;
        snprintf(dir, sizeof dir, QUANTIZED "%s", names[i]);
        snprintf(path, sizeof path, "%s/expected.safetensors", dir);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(path, &expected), SW_OK);
        for (size_t k = 0; k < expected.count; k++) {
            const struct sw_tensor *t = &expected.items[k];
            if (strncmp(t->name, "digest.", 7) != 0)
                continue;
            uint64_t *value = read_tensor(&expected, t);
            check_digest(names[i], &tensors, t->name + 7, *value);
            free(value);
            checked++;
        }
        CU_ASSERT(checked == 14 || checked >= 26); /* 7 a layer, or more with experts */
        sw_tensors_free(&expected);
        sw_tensors_free(&tensors);
    }
}

/* Model and tensors together are those of one after the other, and headers are read once. */
static void opens_both(void)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        char dir[512];
        struct sw_model *model, *again;
        struct sw_tensors tensors, same;
        snprintf(dir, sizeof dir, QUANTIZED "%s", names[i]);
        const long long begin = bytes_read();
        CU_ASSERT_EQUAL_FATAL(sw_open_model_and_tensors(dir, &model, &tensors), SW_OK);
        const long long once = bytes_read();
        CU_ASSERT_EQUAL_FATAL(sw_open_model(dir, &again), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &same), SW_OK);
        const long long twice = bytes_read();
        CU_ASSERT(begin < 0 || 3 * (once - begin) < 2 * (twice - once));
        CU_ASSERT(tensors.count == same.count &&
                  (model->warnings != NULL) == (again->warnings != NULL));
        CU_ASSERT_EQUAL(memcmp(&model->dims, &again->dims, sizeof model->dims), 0);
        sw_tensors_free(&tensors);
        sw_tensors_free(&same);
        sw_model_close(model);
        sw_model_close(again);
    }
}

/* Which formats the matrices of each are in. */
static void matrices_are_in_blocks(void)
{
    static const struct {
        const char *name, *format; /* NULL: f32, to be rounded */
    } kinds[] = {{"nf4", "nf4"},        {"nf4_plain", "nf4"}, {"fp4", "fp4"},
                 {"int8", "int8"},      {"fp8_tile", "fp8"},  {"fp8_row", "fp8"},
                 {"fp8_tensor", "fp8"}, {"nf4_odd", NULL}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char dir[512];
        struct sw_tensors tensors;
        struct sw_model *model;
        snprintf(dir, sizeof dir, QUANTIZED "%s", kinds[i].name);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_open_model(dir, &model), SW_OK);
        CU_ASSERT_EQUAL(sw_model_check(model, &tensors), SW_OK);
        const struct sw_tensor *t =
            sw_tensors_find(&tensors, "model.layers.1.self_attn.o_proj.weight");
        CU_ASSERT_FATAL(t != NULL);
        /* rows of 96 elements are one block of 64 and a half */
        CU_ASSERT((t->blocks != NULL) == (kinds[i].format != NULL));
        CU_ASSERT(!t->blocks || strcmp(t->blocks->name, kinds[i].format) == 0);
        CU_ASSERT((model->warnings != NULL) == (kinds[i].format == NULL));
        if (model->warnings)
            CU_ASSERT_PTR_NOT_NULL(strstr(model->warnings, "12 quantized matrices have rows"));
        sw_model_close(model);
        sw_tensors_free(&tensors);
    }
}

/* Files of the formats' own libraries, where they are at hand: expected_f32, element by element. */
static void vectors_decode_alike(void)
{
    static const struct {
        const char *file, *config;
    } vectors[] = {
        {"bnb_nf4_plain", "{\"quant_method\": \"bitsandbytes\"}"},
        {"bnb_nf4_double_quant", "{\"quant_method\": \"bitsandbytes\"}"},
        {"bnb_fp4_plain", "{\"load_in_4bit\": true}"},
        {"bnb_fp4_double_quant", "{\"quant_method\": \"bitsandbytes\"}"},
        {"fp8_block128_weight_scale_inv",
         "{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128]}"},
        {"fp8_per_channel_weight_scale", "{\"quant_method\": \"fbgemm_fp8\"}"},
        {"fp8_per_tensor_weight_scale", "{\"quant_method\": \"fp8\"}"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char name[128], dir[64], config[256];
        struct sw_tensors tensors;
        size_t made = 0;
        snprintf(name, sizeof name, "quant-vectors/%s.safetensors", vectors[i].file);
        const char *path = sw_unit_shared(name);
        if (!path)
            return;
        copy_file(path, new_folder(dir), "model.safetensors");
        snprintf(config, sizeof config, "{\"quantization_config\": %s}", vectors[i].config);
        put_text(dir, "config.json", config);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        float *expected = read_tensor(&tensors, sw_tensors_find(&tensors, "expected_f32"));
        for (size_t k = 0; k < tensors.count; k++) {
            const struct sw_tensor *t = &tensors.items[k];
            if (!t->made)
                continue;
            float *values = decoded(&tensors, t, t->shape[0]);
            const size_t n = (size_t)(t->shape[0] * t->shape[1]);
            CU_ASSERT_FATAL(values != NULL);
            size_t same = 0; /* a zero of FP4 has a sign, but none in the tables of these files */
            for (size_t e = 0; e < n; e++)
                same += values[e] == expected[e];
            CU_ASSERT_EQUAL(same, n);
            free(values);
            made++;
        }
        CU_ASSERT_EQUAL(made, 1);
        free(expected);
        sw_tensors_free(&tensors);
        remove_folder(dir);
    }
}

/* ---- small files */

#define BNB "{\"quant_method\": \"bitsandbytes\"}"
#define FP8 "{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128]}"
#define STATE "P.weight.quant_state.bitsandbytes__nf4"
#define STATE_BYTES 96
#define NF4(blocksize, shape)                                                                      \
    "{\"quant_type\": \"nf4\", \"blocksize\": " blocksize ", \"shape\": " shape                    \
    ", \"dtype\": \"bfloat16\"} "                                                                  \
    "                                                                                          "
#define WEIGHT                                                                                     \
    {                                                                                              \
        "P.weight", SW_U8, 2, {64, 1}, NULL                                                        \
    }
#define ABSMAX(n)                                                                                  \
    {                                                                                              \
        "P.weight.absmax", SW_F32, 1, {n}, NULL                                                    \
    }
#define MAP(bytes)                                                                                 \
    {                                                                                              \
        "P.weight.quant_map", SW_F32, 1, {16}, bytes                                               \
    }
#define IS(text)                                                                                   \
    {                                                                                              \
        STATE, SW_U8, 1, {STATE_BYTES}, text                                                       \
    }

static const struct refusal refusals[] = {
    {"{\"quant_method\": \"hqq\"}", {WEIGHT}, "quantized by 'hqq', which is not supported"},
    {"{\"bits\": 4}", {WEIGHT}, "quantized by a method that is not named"},
    {BNB,
     {WEIGHT, ABSMAX(2), MAP(NULL)},
     "tensor 'P.weight' is u8 [64, 1], quantized by bitsandbytes, but '" STATE},
    {BNB, {WEIGHT, MAP(NULL), IS(NF4("64", "[2, 64]"))}, "but 'P.weight.absmax', which belongs"},
    {BNB,
     {WEIGHT, ABSMAX(3), MAP(NULL), IS(NF4("64", "[2, 64]"))},
     "'P.weight.absmax' (bitsandbytes) is f32 [3], expected f32 [2]"},
    {BNB,
     {WEIGHT, ABSMAX(2), MAP(NULL), IS(NF4("128", "[2, 64]"))},
     "'P.weight.absmax' (bitsandbytes) is f32 [2], expected f32 [1]"},
    {BNB,
     {WEIGHT, ABSMAX(2), MAP(NULL), IS(NF4("63", "[2, 64]"))},
     "its blocksize is 63, expected a power of two"},
    {BNB,
     {WEIGHT, ABSMAX(2), MAP(NULL), IS(NF4("64", "[2, 65]"))},
     "'P.weight' is u8 [64, 1], expected 65 bytes of 4-bit elements of a matrix [2, 65]"},
    {BNB,
     {WEIGHT, ABSMAX(2), MAP(NULL), IS(NF4("64", "[2147483647, 2147483647]"))},
     "expected 2305843007066210305 bytes of 4-bit"},
    {BNB, {WEIGHT, ABSMAX(2), MAP(NULL), IS(NF4("64", "[2]"))}, "its shape is [2], expected two"},
    {BNB, {WEIGHT, ABSMAX(2), IS(NF4("64", "[2, 64]"))}, "'P.weight.quant_map', which belongs"},
    {BNB, {{"P.weight", SW_I8, 2, {4, 8}, NULL}}, "but 'P.SCB', which belongs to it, is missing"},
    {BNB,
     {{"P.weight", SW_I8, 2, {4, 8}, NULL}, {"P.SCB", SW_F32, 1, {5}, NULL}},
     "'P.SCB' (bitsandbytes) is f32 [5], expected f32 [4]"},
    {BNB,
     {{"P.weight", SW_I8, 2, {4, 8}, NULL},
      {"P.SCB", SW_F32, 1, {4}, NULL},
      {"P.weight_format", SW_U8, 0, {0}, "\1"}},
     "tensor 'P.weight_format' is 1, expected 0"},
    {FP8, {{"P.weight", SW_F8_E4M3, 2, {4, 8}, NULL}}, "but 'P.weight_scale', which belongs"},
    {FP8, {{"P.weight", SW_F8_E5M2, 2, {4, 8}, NULL}}, "expected f8_e4m3"},
    {FP8,
     {{"P.weight", SW_F8_E4M3, 2, {200, 300}, NULL},
      {"P.weight_scale_inv", SW_F32, 2, {2, 2}, NULL}},
     "'P.weight_scale_inv' (fp8) is f32 [2, 2], expected f32 [2, 3]"},
    {FP8,
     {{"P.weight", SW_F8_E4M3, 2, {4, 8}, NULL}, {"P.weight_scale", SW_I32, 1, {1}, NULL}},
     "'P.weight_scale' (fp8) is i32 [1], expected f32"},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": [64, 64]}",
     {{"P.weight", SW_F8_E4M3, 2, {128, 128}, NULL},
      {"P.weight_scale_inv", SW_F32, 2, {2, 2}, NULL}},
     "has a scale for each 64 rows and 64 columns, expected a multiple of 128"},
    {"{\"quant_method\": \"mxfp4\"}",
     {{"P_blocks", SW_U8, 3, {4, 2, 16}, NULL}},
     "but 'P_scales', which belongs"},
    {"{\"quant_method\": \"mxfp4\"}",
     {{"P_blocks", SW_U8, 3, {4, 2, 16}, NULL}, {"P_scales", SW_U8, 2, {4, 3}, NULL}},
     "'P_scales' (mxfp4) is u8 [4, 3], expected u8 [4, 2]"},
    {"{\"quant_method\": \"mxfp4\"}",
     {{"P_blocks", SW_U8, 3, {4, 2, 8}, NULL}, {"P_scales", SW_U8, 2, {4, 2}, NULL}},
     "'P_blocks' (mxfp4) is u8 [4, 2, 8], expected u8"},
};

static void damage_is_refused(void)
{
    expect_refusals(refusals, sizeof refusals / sizeof refusals[0]);
}

/* Another table than that of the format is seen when the matrix is read. */
static void another_table_is_refused(void)
{
    static const struct piece pieces[] = {
        WEIGHT, ABSMAX(2), MAP(NULL), IS(NF4("64", "[2, 64]")), {0}};
    char dir[64], row[64];
    struct sw_tensors tensors;
    struct sw_reader *reader;
    put_folder(dir, BNB, pieces);
    CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&tensors, &reader), SW_OK);
    expect_failure(sw_reader_rows(reader, sw_tensors_find(&tensors, "P.weight"), 0, 1, row),
                   SW_EMODEL, "value 0 of its quant_map is 0, expected -1");
    sw_reader_close(reader);
    sw_tensors_free(&tensors);
    remove_folder(dir);
}

/* ---- nested absmax */

/* A matrix of 70 rows of 768, whose groups of 256 absmax end within rows, or one of as many
 * elements. */
enum { NESTED_N = 70 * 768, NESTED_BLOCKS = NESTED_N / 64 };
static uint8_t nested_nibbles[NESTED_N / 2], nested_codes[NESTED_BLOCKS];
static float nested_scales[(NESTED_BLOCKS + 255) / 256], nested_other[SW_TABLE_LEN];

#define NESTED_STATE(shape)                                                                        \
    "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": " shape                               \
    ", \"nested_blocksize\": 256, \"nested_offset\": 0.0625}"

static void nested_fill(void)
{
    for (int i = 0; i < NESTED_N / 2; i++)
        nested_nibbles[i] = (uint8_t)(i * 131 + i / 97);
    for (int i = 0; i < NESTED_BLOCKS; i++)
        nested_codes[i] = (uint8_t)(i * 89 + 3);
    for (size_t i = 0; i < sizeof nested_scales / sizeof *nested_scales; i++)
        nested_scales[i] = 0.01f * (float)(i + 1);
}

static void nested_folder(char *dir, const char *state, const float *map)
{
    const struct piece pieces[] = {
        {"P.weight", SW_U8, 2, {NESTED_N / 2, 1}, nested_nibbles},
        {"P.weight.absmax", SW_U8, 1, {NESTED_BLOCKS}, nested_codes},
        MAP(sw_nf4_values),
        {"P.weight.nested_absmax", SW_F32, 1, {(NESTED_BLOCKS + 255) / 256}, nested_scales},
        {"P.weight.nested_quant_map", SW_F32, 1, {SW_TABLE_LEN}, map},
        {STATE, SW_U8, 1, {(int64_t)strlen(state)}, state},
        {0}};
    put_folder(dir, BNB, pieces);
}

/* Read in any steps, the tensor has bitsandbytes' values. */
static void nested_values_are_right(const struct sw_tensors *tensors, const struct sw_tensor *t,
                                    const float *map)
{
    for (int64_t step = t->shape[0]; step > 0; step = step == 1 ? 0 : step > 7 ? 7 : 1) {
        float *values = decoded(tensors, t, step);
        int wrong = 0;
        CU_ASSERT_FATAL(values != NULL);
        for (int i = 0; i < NESTED_N; i++) {
            const volatile float product = map[nested_codes[i / 64]] * nested_scales[i / 64 / 256];
            const float absmax = product + 0.0625f;
            const int nibble = nested_nibbles[i / 2] >> (i % 2 ? 0 : 4) & 15;
            wrong += values[i] != sw_nf4_values[nibble] * absmax;
        }
        CU_ASSERT_EQUAL(wrong, 0);
        free(values);
    }
}

/* They stay nested where blocks fit in, by whatever map the file has: one that differs in last
 * places, as other builds of torch have it, and one that is not like a dynamic map at all. */
static void nested_absmax_stay(void)
{
    static const struct {
        const char *state;
        bool stays;
    } cases[] = {{NESTED_STATE("[70, 768]"), true}, {NESTED_STATE("[280, 192]"), false}};
    nested_fill();
    for (int kind = 0; kind < 6; kind++) {
        char dir[64];
        struct sw_tensors tensors;
        memcpy(nested_other, sw_dynamic_map, sizeof nested_other);
        for (int i = 0; i < SW_TABLE_LEN && kind / 2 > 0; i++)
            nested_other[i] = kind / 2 == 1 ? nextafterf(sw_dynamic_map[i], i % 6 ? 1 : -1)
                                            : (float)((i * 193 + 71) % 256 - 100) * 0.37f;
        nested_folder(dir, cases[kind % 2].state, nested_other);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        const struct sw_tensor *t = sw_tensors_find(&tensors, "P.weight");
        CU_ASSERT_FATAL(t && t->blocks);
        CU_ASSERT_STRING_EQUAL(t->blocks->name, "nf4");
        nested_values_are_right(&tensors, t, nested_other);
        CU_ASSERT_EQUAL(t->twin != 0, cases[kind % 2].stays);
        if (t->twin) {
            const struct sw_tensor *twin = &tensors.items[t->twin - 1];
            CU_ASSERT_FATAL(twin->blocks && twin->behind);
            CU_ASSERT_STRING_EQUAL(twin->blocks->name, "nf4_nested");
            nested_values_are_right(&tensors, twin, nested_other);
        }
        sw_tensors_free(&tensors);
        remove_folder(dir);
    }
}

/* A file of bitsandbytes, whose map is that of its torch: as rows of 256 elements, in place of 192,
 * it has the same values in blocks. */
static void published_maps_stay(void)
{
    static const char *const files[] = {"bnb_nf4_double_quant", "bnb_fp4_double_quant"};
    for (size_t i = 0; i < 2; i++) {
        static const char shape[] = "[96, 192]", other[] = "[72, 256]";
        char name[128], dir[64];
        struct sw_tensors tensors;
        size_t n;
        snprintf(name, sizeof name, "quant-vectors/%s.safetensors", files[i]);
        const char *path = sw_unit_shared(name);
        if (!path)
            return;
        char *bytes = get_file(path, &n), *at = memmem(bytes, n, shape, sizeof shape - 1);
        CU_ASSERT_FATAL(at != NULL);
        memcpy(at, other, sizeof other - 1);
        put_file(new_folder(dir), "model.safetensors", bytes, n);
        free(bytes);
        put_text(dir, "config.json", "{\"quantization_config\": " BNB "}");
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        float *expected = read_tensor(&tensors, sw_tensors_find(&tensors, "expected_f32"));
        const struct sw_tensor *t = sw_tensors_find(&tensors, "model.layers.0.mlp.up_proj.weight");
        CU_ASSERT_FATAL(t && t->twin);
        for (int k = 0; k < 2; k++, t = &tensors.items[t->twin - 1]) {
            float *values = decoded(&tensors, t, 7);
            int same = 0;
            CU_ASSERT_FATAL(values != NULL);
            for (int e = 0; e < 72 * 256; e++)
                same += values[e] == expected[e];
            CU_ASSERT_EQUAL(same, 72 * 256);
            free(values);
            if (!t->twin)
                break;
        }
        float map[SW_TABLE_LEN];
        CU_ASSERT_EQUAL(sw_nested_map(&tensors, t, map), SW_OK);
        CU_ASSERT_NOT_EQUAL(memcmp(map, sw_dynamic_map, sizeof map), 0);
        free(expected);
        sw_tensors_free(&tensors);
        remove_folder(dir);
    }
}

static void maps_without_numbers_are_refused(void)
{
    static const float none[] = {NAN, INFINITY, -INFINITY};
    static const char *const messages[] = {
        "number 17 of tensor 'P.weight.nested_quant_map' is nan, expected 256 finite numbers",
        "number 0 of tensor 'P.weight.nested_quant_map' is inf",
        "number 255 of tensor 'P.weight.nested_quant_map' is -inf"};
    static const int places[] = {17, 0, 255};
    nested_fill();
    for (int kind = 0; kind < 3; kind++)
        for (int stays = 0; stays < 2; stays++) {
            char dir[64];
            struct sw_tensors tensors;
            memcpy(nested_other, sw_dynamic_map, sizeof nested_other);
            nested_other[places[kind]] = none[kind];
            nested_folder(dir, stays ? NESTED_STATE("[70, 768]") : NESTED_STATE("[280, 192]"),
                          nested_other);
            expect_failure(sw_open_tensors(dir, &tensors), SW_EMODEL, messages[kind]);
            remove_folder(dir);
        }
}

/* A matrix and two stacked experts, against the definition written down once more. */
static void mxfp4_of_transformers(void)
{
    static const float values[16] = {0,    .5f,  1,  1.5f,  2,  3,  4,  6,
                                     -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
    static uint8_t blocks[2 * 3 * 2 * 16], scales[2 * 3 * 2];
    struct piece pieces[] = {{"m.down_blocks", SW_U8, 4, {2, 3, 2, 16}, blocks},
                             {"m.down_scales", SW_U8, 3, {2, 3, 2}, scales},
                             {"P.weight_blocks", SW_U8, 3, {6, 2, 16}, blocks},
                             {"P.weight_scales", SW_U8, 2, {6, 2}, scales},
                             {0}};
    static const char *const made[] = {"m.down.0.weight", "m.down.1.weight", "P.weight"};
    char dir[64];
    struct sw_tensors tensors;
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (uint8_t)(i * 37 + i / 16);
    for (size_t i = 0; i < sizeof scales; i++)
        scales[i] = (uint8_t)(121 + i);
    put_folder(dir, "{\"quant_method\": \"mxfp4\"}", pieces);
    CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
    for (int k = 0; k < 3; k++) {
        const struct sw_tensor *t = sw_tensors_find(&tensors, made[k]);
        CU_ASSERT_FATAL(t && t->shape[0] == (k < 2 ? 3 : 6) && t->shape[1] == 64);
        float *found = decoded(&tensors, t, 2);
        for (int64_t i = 0; found && i < t->shape[0] * 64; i++) {
            const int64_t at = i + (k == 1 ? 3 * 64 : 0);
            const int nibble = blocks[at / 2] >> (at % 2 ? 4 : 0) & 15;
            float power = 1;
            for (int e = scales[at / 32]; e != 127; e += e < 127 ? 1 : -1)
                power *= e < 127 ? .5f : 2;
            CU_ASSERT(found[i] == values[nibble] * power);
        }
        CU_ASSERT_PTR_NOT_NULL(found);
        free(found);
    }
    sw_tensors_free(&tensors);
    remove_folder(dir);
}

/* A NaN among the elements shows: its block has no number left. */
static void nan_of_fp8_shows(void)
{
    static const uint8_t elements[] = {0x38, 0xff, 0x38, 0x38};
    static const float scale = 2;
    const struct piece pieces[] = {{"P.weight", SW_F8_E4M3, 2, {2, 2}, elements},
                                   {"P.weight_scale", SW_F32, 0, {0}, &scale},
                                   {0}};
    char dir[64];
    struct sw_tensors tensors;
    put_folder(dir, FP8, pieces);
    CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
    float *found = decoded(&tensors, sw_tensors_find(&tensors, "P.weight"), 1);
    CU_ASSERT_FATAL(found != NULL);
    CU_ASSERT(found[0] != found[0] && found[1] != found[1] && found[2] == 2 && found[3] == 2);
    free(found);
    sw_tensors_free(&tensors);
    remove_folder(dir);
}

SW_UNIT_TESTS({"values are those of the library", values_are_those_of_the_library},
              {"matrices are in blocks", matrices_are_in_blocks}, {"opens both", opens_both},
              {"vectors decode alike", vectors_decode_alike},
              {"damage is refused", damage_is_refused},
              {"another table is refused", another_table_is_refused},
              {"nested absmax stay", nested_absmax_stay},
              {"published maps stay", published_maps_stay},
              {"maps without numbers are refused", maps_without_numbers_are_refused},
              {"mxfp4 of transformers", mxfp4_of_transformers},
              {"nan of fp8 shows", nan_of_fp8_shows})
