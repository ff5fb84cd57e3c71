/*
 * Checkpoints of GPTQ, AutoRound, AWQ and compressed-tensors: each matrix decodes to scale * (code
 * - zero), bit for bit, in any pieces and whatever the order of its columns; what is missing or has
 * another shape is refused by its name.
 */
#include "checkpoint/adapter_groups.h"
#include "pieces.h"

#include "tensor/groupwise.h"

#define QUANTIZED SW_SOURCE_DIR "/tests/models/quantized/"

/* The model's folders, what most of their matrices are in and how many, and how many have columns
 * in an order of their own. (Groups of 64 are all columns of most matrices.) */
static const struct {
    const char *name, *format;
    int in_format, ordered;
} models[] = {{"gptq", "int4_g32", 14, 0},       {"gptq_order", "int4_g32", 0, 14},
              {"gptq_3bit", "int3_g128", 12, 0}, {"gptq_v2", "int8_g128", 14, 0},
              {"autoround", "int2_g32", 12, 0},  {"awq", "int4_g128", 12, 0},
              {"awq_gemv", "int4_g32", 14, 0},   {"ct_asym", "int4_g32", 14, 0},
              {"ct_order", "int4_g32", 12, 2},   {"ct_8bit", "int8_g128", 14, 0},
              {"ct_int8", "int8", 14, 0}};
#define N_MODELS (sizeof models / sizeof models[0])

/* All rows, `step` at a time, in f32 with the model's order of columns; the caller frees. */
static float *natural_values(const struct sw_tensors *tensors, const struct sw_tensor *t,
                             int64_t step)
{
    const int64_t rows = t->shape[0], cols = t->shape[1];
    const size_t row_bytes = (size_t)sw_reader_row_bytes(t);
    char *data = malloc(row_bytes * (size_t)step);
    float *out = malloc((size_t)(rows * cols) * sizeof *out);
    struct sw_reader *reader;
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(tensors, &reader), SW_OK);
    for (int64_t r = 0; r < rows; r += step) {
        const int64_t n = rows - r < step ? rows - r : step;
        CU_ASSERT_EQUAL(sw_reader_rows(reader, t, r, n, data), SW_OK);
        for (int64_t i = 0; i < n; i++) {
            const struct sw_values row = {data + (size_t)i * row_bytes, t->dtype, cols, 1,
                                          t->blocks};
            sw_values_to_f32(&row, 0, cols, out + (r + i) * cols);
        }
    }
    sw_reader_close(reader);
    free(data);
    return out;
}

/* As tests/models/make_quantized.py counts it. */
static uint64_t digest_of_values(const float *values, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        sum += bits * (2 * (uint64_t)i + 1);
    }
    return sum;
}

static void check_matrix(const char *model, const struct sw_tensors *tensors,
                         const struct sw_tensor *t, uint64_t expected)
{
    for (int64_t step = t->shape[0]; step > 0; step = step == 1 ? 0 : step > 7 ? 7 : 1) {
        float *values = natural_values(tensors, t, step);
        const uint64_t found = digest_of_values(values, t->shape[0] * t->shape[1]);
        CU_ASSERT_EQUAL(found, expected);
        if (found != expected)
            printf("    %s: %s, %lld rows at once: other values\n", model, t->name,
                   (long long)step);
        free(values);
    }
}

/* Where columns have an order of their own, the matrix is there in blocks, too: with its columns
 * sorted it has the values of the other one. */
static void check_sorted(const struct sw_tensors *tensors, const struct sw_tensor *t,
                         const char *format)
{
    CU_ASSERT_FATAL(t->twin > 0);
    const struct sw_tensor *sorted = &tensors->items[t->twin - 1];
    const int64_t rows = t->shape[0], cols = t->shape[1];
    CU_ASSERT_FATAL(sorted->blocks && sorted->behind && sorted->shape[1] == cols);
    CU_ASSERT_STRING_EQUAL(sorted->blocks->name, format);
    int32_t *order = malloc((size_t)cols * sizeof *order);
    CU_ASSERT_EQUAL_FATAL(sw_groups_order(tensors, sorted, order), SW_OK);
    float *plain = natural_values(tensors, t, rows), *in_order = natural_values(tensors, sorted, 7);
    int64_t wrong = 0, moved = 0;
    for (int64_t i = 0; i < rows * cols; i++)
        wrong += in_order[i] != plain[i / cols * cols + order[i % cols]];
    for (int64_t i = 0; i < cols; i++)
        moved += order[i] != i;
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(moved > 0);
    free(order), free(plain), free(in_order);
}

static void values_are_exact(void)
{
    for (size_t i = 0; i < N_MODELS; i++) {
        char dir[512], path[600];
        struct sw_tensors tensors, expected = {0};
        size_t checked = 0, in_format = 0, ordered = 0;
        snprintf(dir, sizeof dir, QUANTIZED "%s", models[i].name);
        snprintf(path, sizeof path, "%s/expected.safetensors", dir);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(path, &expected), SW_OK);
        for (size_t k = 0; k < expected.count; k++) {
            if (strncmp(expected.items[k].name, "digest.", 7) != 0)
                continue;
            uint64_t *value = read_tensor(&expected, &expected.items[k]);
            const struct sw_tensor *t = sw_tensors_find(&tensors, expected.items[k].name + 7);
            CU_ASSERT_FATAL(t && t->rank == 2 && t->made);
            check_matrix(models[i].name, &tensors, t, *value);
            in_format += t->blocks && strcmp(t->blocks->name, models[i].format) == 0;
            CU_ASSERT_EQUAL(t->twin == 0, t->blocks != NULL);
            if (!t->blocks)
                check_sorted(&tensors, t, "int4_g32");
            ordered += !t->blocks;
            checked++;
            free(value);
        }
        CU_ASSERT_EQUAL(checked, 14); /* 7 a layer */
        CU_ASSERT_EQUAL(in_format, (size_t)models[i].in_format);
        CU_ASSERT_EQUAL(ordered, (size_t)models[i].ordered);
        sw_tensors_free(&expected);
        sw_tensors_free(&tensors);
    }
}

/* ---- files of other programs, with the values that those make of them */

static void vectors_decode_alike(void)
{
    static const struct {
        const char *file, *config;
    } vectors[] = {
#define GPTQ(bits, group, version)                                                                 \
    "{\"quant_method\": \"gptq\", \"bits\": " bits ", \"group_size\": " group                      \
    ", \"checkpoint_format\": \"" version "\"}"
        {"gptq_2bit_g32", GPTQ("2", "32", "gptq")},
        {"gptq_2bit_g32_v2", GPTQ("2", "32", "gptq_v2")},
        {"gptq_3bit_g32_actorder", GPTQ("3", "32", "gptq")},
        {"gptq_4bit_g32", GPTQ("4", "32", "gptq")},
        {"gptq_4bit_g32_actorder", "{\"bits\": 4, \"group_size\": 32}"},
        {"gptq_4bit_g32_v2", GPTQ("4", "32", "gptq_v2")},
        {"gptq_4bit_gm1", GPTQ("4", "-1", "gptq")},
        {"gptq_8bit_g32", GPTQ("8", "32", "gptq")},
        {"gptq_8bit_g32_v2", GPTQ("8", "32", "gptq_v2")},
        {"awq_gemm_4bit_g32", "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32}"},
#define PACKED                                                                                     \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", "                  \
    "\"config_groups\": {\"group_0\": {\"weights\": {\"num_bits\": 4, \"group_size\": 32}}}}"
        {"ct_pack_int4_sym", PACKED},
        {"ct_pack_int4_asym", PACKED},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char name[128], dir[64], config[512];
        struct sw_tensors tensors;
        snprintf(name, sizeof name, "quant-vectors/%s.safetensors", vectors[i].file);
        const char *path = sw_unit_shared(name);
        if (!path)
            return;
        copy_file(path, new_folder(dir), "model.safetensors");
        snprintf(config, sizeof config, "{\"quantization_config\": %s}", vectors[i].config);
        put_text(dir, "config.json", config);
        CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &tensors), SW_OK);
        float *expected = read_tensor(&tensors, sw_tensors_find(&tensors, "expected_f32"));
        const struct sw_tensor *t =
            sw_tensors_find(&tensors, "model.layers.0.self_attn.q_proj.weight");
        CU_ASSERT_FATAL(t && t->made);
        float *values = natural_values(&tensors, t, 10);
        int64_t wrong = 0;
        for (int64_t k = 0; k < t->shape[0] * t->shape[1]; k++)
            wrong += !(values[k] == expected[k]);
        if (wrong)
            printf("    %s: %lld values are wrong\n", vectors[i].file, (long long)wrong);
        CU_ASSERT_EQUAL(wrong, 0);
        free(values);
        free(expected);
        sw_tensors_free(&tensors);
        remove_folder(dir);
    }
}

/* ---- small files */

#define AWQ(version)                                                                               \
    "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, \"version\": \"" version "\"}"
#define CT(format, group)                                                                          \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"" format                             \
    "\", \"config_groups\": {\"group_0\": {\"weights\": {\"num_bits\": 4, \"group_size\": " group  \
    "}}}}"
/* 64 columns, 32 rows, of 4 bits in groups of 32 */
#define QWEIGHT                                                                                    \
    {                                                                                              \
        "P.qweight", SW_I32, 2, {8, 32}, NULL                                                      \
    }
#define QZEROS                                                                                     \
    {                                                                                              \
        "P.qzeros", SW_I32, 2, {2, 4}, NULL                                                        \
    }
#define SCALES                                                                                     \
    {                                                                                              \
        "P.scales", SW_F16, 2, {2, 32}, NULL                                                       \
    }
#define PACKED_WEIGHT                                                                              \
    {                                                                                              \
        "P.weight_packed", SW_I32, 2, {3, 8}, NULL                                                 \
    }
#define PACKED_SCALE                                                                               \
    {                                                                                              \
        "P.weight_scale", SW_BF16, 2, {3, 2}, NULL                                                 \
    }
#define PACKED_SHAPE                                                                               \
    {                                                                                              \
        "P.weight_shape", SW_I64, 1, {2}, shape_3_64                                               \
    }
static const int64_t shape_3_64[2] = {3, 64}, shape_4_64[2] = {4, 64},
                     shape_huge[2] = {3, 1L << 40};
static const int32_t one_group[64] = {0}, no_group[64] = {[7] = 9};

static const struct refusal refusals[] = {
    {GPTQ("5", "32", "gptq"),
     {QWEIGHT, QZEROS, SCALES},
     "its weights have 5 bits, supported are 2, 3, 4, 8"},
    {GPTQ("4", "32", "marlin"),
     {QWEIGHT, QZEROS, SCALES},
     "packed as 'marlin', which is not supported"},
    {GPTQ("4", "1.5", "gptq"), {QWEIGHT}, "its 'group_size' is 1.5, expected a whole number"},
    {"{\"quant_method\": \"auto-round\", \"bits\": 4, \"data_type\": \"mx_fp\"}",
     {QWEIGHT},
     "the data type 'mx_fp', supported is 'int'"},
    {"{\"quant_method\": \"auto-round\", \"packing_format\": \"auto_round:fp8\"}",
     {QWEIGHT},
     "packed as 'auto_round:fp8', which"},
    {GPTQ("4", "32", "gptq"),
     {QWEIGHT, QZEROS},
     "'P.qweight' is i32 [8, 32], quantized by GPTQ, but 'P.scales', which"},
    {GPTQ("4", "32", "gptq"), {QWEIGHT, SCALES}, "but 'P.qzeros', which belongs to it, is missing"},
    {GPTQ("4", "64", "gptq"),
     {QWEIGHT, QZEROS, SCALES},
     "'P.scales' (GPTQ) is f16 [2, 32], expected f16 [1, 32]"},
    {GPTQ("4", "16", "gptq"),
     {QWEIGHT, QZEROS, {"P.scales", SW_F16, 2, {4, 32}, NULL}},
     "has groups of 16 columns; those of a multiple of 32"},
    {GPTQ("8", "32", "gptq"),
     {QWEIGHT, QZEROS, SCALES},
     "'P.scales' (GPTQ) is f16 [2, 32], expected f16 [1, 32]"},
    {GPTQ("4", "32", "gptq"),
     {QWEIGHT, {"P.qzeros", SW_I32, 2, {2, 5}, NULL}, SCALES},
     "'P.qzeros' (GPTQ) is i32 [2, 5], expected i32 [2, 4]"},
    {GPTQ("4", "32", "gptq"),
     {QWEIGHT, QZEROS, {"P.scales", SW_I32, 2, {2, 32}, NULL}},
     "'P.scales' (GPTQ) is i32 [2, 32], expected f16"},
    {GPTQ("4", "32", "gptq"),
     {{"P.qweight", SW_F32, 2, {8, 32}, NULL}, QZEROS, SCALES},
     "'P.qweight' (GPTQ) is f32 [8, 32], expected i32 [8, 32]"},
    {GPTQ("4", "32", "gptq"),
     {{"P.qweight", SW_I32, 1, {8}, NULL}, QZEROS, SCALES},
     "'P.qweight' (GPTQ) is i32 [8], expected i32"},
    {GPTQ("4", "32", "gptq"),
     {{"P.qweight", SW_I32, 2, {0, 32}, NULL}, QZEROS, SCALES},
     "'P.qweight' has groups of 0 columns"},
    {GPTQ("4", "32", "gptq"),
     {QWEIGHT, QZEROS, SCALES, {"P.g_idx", SW_I32, 1, {63}, NULL}},
     "'P.g_idx' (GPTQ) is i32 [63], expected i32 [64]"},
    {GPTQ("4", "32", "gptq"),
     {QWEIGHT, QZEROS, SCALES, {"P.g_idx", SW_I32, 1, {64}, one_group}},
     "'P.g_idx' does not put 64 columns into groups of 32 each"},
    {GPTQ("4", "32", "gptq"),
     {QWEIGHT, QZEROS, SCALES, {"P.g_idx", SW_I32, 1, {64}, no_group}},
     "'P.g_idx' does not put 64 columns into groups of 32 each"},
    {AWQ("gemv_fast"),
     {QWEIGHT},
     "packed for the kernels 'gemv_fast', supported are gemm and gemv"},
    {AWQ("marlin"), {QWEIGHT}, "packed for the kernels 'marlin', supported"},
    {"{\"quant_method\": \"awq\", \"bits\": 3}",
     {QWEIGHT},
     "its weights have 3 bits, supported are 4"},
    {AWQ("gemm"),
     {{"P.qweight", SW_I32, 2, {64, 4}, NULL}, QZEROS},
     "quantized by AWQ, but 'P.scales', which"},
    {AWQ("gemm"),
     {{"P.qweight", SW_I32, 2, {64, 4}, NULL}, QZEROS, {"P.scales", SW_F16, 2, {2, 31}, NULL}},
     "'P.scales' (AWQ) is f16 [2, 31], expected f16 [2, 32]"},
    {AWQ("gemv"),
     {{"P.qweight", SW_I32, 2, {32, 8}, NULL},
      {"P.qzeros", SW_I32, 2, {32, 1}, NULL},
      {"P.scales", SW_F16, 2, {32, 32}, NULL}},
     "'P.qzeros' (AWQ) is i32 [32, 1], expected i32 [32, 4]"},
    {CT("marlin-24", "32"),
     {PACKED_WEIGHT},
     "in the format 'marlin-24', supported are pack-quantized"},
    {CT("pack-quantized", "32"),
     {PACKED_WEIGHT, PACKED_SCALE},
     "but 'P.weight_shape', which belongs"},
    {CT("pack-quantized", "32"),
     {PACKED_WEIGHT, PACKED_SHAPE},
     "but 'P.weight_scale', which belongs"},
    {CT("pack-quantized", "16"),
     {PACKED_WEIGHT, PACKED_SCALE, PACKED_SHAPE},
     "has 2 scales for 64 columns, but config.json says groups of 16"},
    {CT("pack-quantized", "32"),
     {PACKED_WEIGHT, PACKED_SCALE, {"P.weight_shape", SW_I64, 1, {2}, shape_4_64}},
     "'P.weight_packed' (compressed-tensors) is i32 [3, 8], expected i32 [4, 8]"},
    {CT("pack-quantized", "32"),
     {PACKED_WEIGHT, PACKED_SCALE, {"P.weight_shape", SW_I64, 1, {2}, shape_huge}},
     "[3, 1099511627776], which is no shape of a matrix"},
    {CT("pack-quantized", "32"),
     {{"P.weight_packed", SW_I32, 2, {3, 6}, NULL}, PACKED_SCALE, PACKED_SHAPE},
     "has 6 words for 64 columns, expected codes of 4 or 8 bits"},
    {CT("pack-quantized", "32"),
     {PACKED_WEIGHT, PACKED_SCALE, PACKED_SHAPE, {"P.weight_zero_point", SW_I32, 2, {3, 2}, NULL}},
     "'P.weight_zero_point' (compressed-tensors) is i32 [3, 2], expected i32 [1, 2]"},
    {CT("int-quantized", "null"),
     {{"P.weight", SW_I8, 2, {3, 64}, NULL}},
     "but 'P.weight_scale', which belongs"},
    {CT("int-quantized", "null"),
     {{"P.weight", SW_I8, 2, {3, 64}, NULL}, PACKED_SCALE},
     "'P.weight_scale' (compressed-tensors) is bf16 [3, 2], expected bf16 [3]"},
    {CT("int-quantized", "null"),
     {{"P.weight", SW_I8, 2, {3, 64}, NULL},
      {"P.weight_scale", SW_BF16, 2, {3, 1}, NULL},
      {"P.weight_zero_point", SW_I8, 2, {3, 1}, NULL}},
     "is int8 with a zero point"},
};

static void damage_is_refused(void)
{
    expect_refusals(refusals, sizeof refusals / sizeof refusals[0]);
}

/* Without weights the config alone tells what matrices are in. */
static void configs_tell_formats(void)
{
    static const struct {
        const char *config, *format;
    } cases[] = {{GPTQ("4", "128", "gptq"), "int4_g128"},
                 {GPTQ("3", "64", "gptq"), "int3_g32"},
                 {GPTQ("2", "128", "gptq"), "int2_g128"},
                 {GPTQ("8", "-1", "gptq_v2"), "int8_g128"},
                 {GPTQ("4", "16", "gptq"), NULL},
                 {AWQ("GEMM"), "int4_g32"},
                 {CT("pack-quantized", "128"), "int4_g128"},
                 {CT("int-quantized", "null"), "int8"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sw_adapter *adapter = NULL;
        json_t *config = json_loads(cases[i].config, 0, NULL);
        CU_ASSERT_FATAL(config && sw_adapter_of(config, &adapter) == SW_OK && adapter->format);
        const struct sw_format *f = adapter->format(config);
        CU_ASSERT_EQUAL(!f, !cases[i].format);
        if (f && cases[i].format)
            CU_ASSERT_STRING_EQUAL(f->name, cases[i].format);
        json_decref(config);
    }
}

/* One old name is found, after the others; an index goes before a file; two are ambiguous. */
static void old_names_are_found(void)
{
    char dir[64];
    struct sw_tensors tensors;
    bool there = true;
    const char *model =
        SW_SOURCE_DIR "/tests/models/quantized/gptq/gptq_model-4bit-32g.safetensors";
    CU_ASSERT_EQUAL(sw_checkpoint_find(new_folder(dir), &there), SW_OK);
    CU_ASSERT_FALSE(there);
    copy_file(model, dir, "gptq_model-4bit-32g-00001-of-00001.safetensors");
    CU_ASSERT_EQUAL(sw_checkpoint_find(dir, &there), SW_OK);
    CU_ASSERT_FALSE(there);
    copy_file(model, dir, "gptq_model-4bit-32g.safetensors");
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &tensors), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(tensors.files[0].path, "/gptq_model-4bit-32g.safetensors"));
    sw_tensors_free(&tensors);
    copy_file(model, dir, "gptq_model-8bit.safetensors");
    expect_failure(sw_checkpoint_open(dir, &tensors), SW_EINPUT,
                   "has gptq_model-4bit-32g.safetensors and gptq_model-8bit.safetensors, the same");
    put_text(dir, "gptq_model-4bit-32g.safetensors.index.json",
             "{\"weight_map\": {\"model.embed_tokens.weight\": "
             "\"gptq_model-4bit-32g-00001-of-00001.safetensors\"}}");
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &tensors), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(tensors.files[0].path, "-of-00001"));
    sw_tensors_free(&tensors);
    copy_file(model, dir, "model.safetensors");
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &tensors), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(tensors.files[0].path, "/model.safetensors"));
    sw_tensors_free(&tensors);
    remove_folder(dir);
}

SW_UNIT_TESTS({"values are exact", values_are_exact},
              {"vectors decode alike", vectors_decode_alike},
              {"damage is refused", damage_is_refused},
              {"configs tell formats", configs_tell_formats},
              {"old names are found", old_names_are_found})
