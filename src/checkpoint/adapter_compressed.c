/*
 * Owns what compressed-tensors saves (llm-compressor): packed whole numbers of 4 and 8 bits
 * ("pack-quantized"), int8 ("int-quantized") and FP8 ("float-quantized") (docs/formats.md).
 */
#include "checkpoint/adapter_fp8.h"
#include "checkpoint/adapter_groups.h"

#include <string.h>

static const int compressed_bits[] = {4, 8, 0};

/* ---- the config: one or more groups of modules, each with arguments for its weights */

/* The arguments of the weights of group `i`; NULL: there is no such group. */
static const json_t *compressed_weights(const json_t *config, size_t i)
{
    const char *name;
    json_t *group, *groups = json_object_get(config, "config_groups");
    json_object_foreach(groups, name, group)
    {
        if (i-- == 0)
            return json_object_get(group, "weights");
    }
    return NULL;
}

static size_t compressed_count(const json_t *config)
{
    return json_object_size(json_object_get(config, "config_groups"));
}

static enum sw_status compressed_check(const json_t *config)
{
    static const char *const known[] = {"pack-quantized", "int-quantized", "naive-quantized",
                                        "float-quantized", "dense"};
    const char *format = json_string_value(json_object_get(config, "format"));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (format && strcmp(format, known[i]) == 0)
            return SW_OK;
    return sw_fail(SW_EMODEL,
                   "its tensors are in the format '%.60s', supported are pack-quantized, "
                   "int-quantized and float-quantized",
                   format ? format : "(none)");
}

/*
 * Columns of a group, where `cols` columns have `count` scales: what some group of the config says;
 * one scale is for all columns. SW_EMODEL: none of them says so.
 */
static enum sw_status compressed_group(const json_t *config, const struct sw_tensor *scales,
                                       int64_t cols, int64_t *group)
{
    static const char *const names[] = {"group_size", NULL};
    const int64_t count = scales->rank == 2 ? scales->shape[1] : 1;
    int64_t said = 0;
    *group = cols;
    if (count == 1)
        return SW_OK;
    for (size_t i = 0; i < compressed_count(config); i++) {
        SW_TRY(sw_groups_setting(compressed_weights(config, i), names, 0, group));
        if (*group > 0 && (cols + *group - 1) / *group == count)
            return SW_OK;
        said = *group > 0 ? *group : said;
    }
    return sw_fail(SW_EMODEL,
                   "tensor '%s' has %lld scales for %lld columns, but config.json says groups of "
                   "%lld",
                   scales->name, (long long)count, (long long)cols, (long long)said);
}

/* ---- packed */

/* Reads STEM.weight_shape, which alone has the number of columns. */
static enum sw_status compressed_shape(const struct sw_adapting *a, const struct sw_tensor *packed,
                                       const char *stem, int64_t shape[2])
{
    const struct sw_tensor *tensor;
    const int64_t two = 2;
    int32_t narrow[2];
    SW_TRY(sw_adapting_need(a, packed, stem, ".weight_shape", &tensor));
    SW_TRY(sw_adapting_check(a, tensor, tensor->dtype == SW_I32 ? SW_I32 : SW_I64, 1, &two));
    if (tensor->dtype == SW_I64)
        SW_TRY(sw_adapting_read(a, tensor, shape, 2 * sizeof *shape));
    else
        SW_TRY(sw_adapting_read(a, tensor, narrow, sizeof narrow));
    for (int i = 0; i < 2 && tensor->dtype == SW_I32; i++)
        shape[i] = narrow[i];
    if (shape[0] > 0 && shape[1] > 0 && shape[0] <= INT32_MAX && shape[1] <= INT32_MAX)
        return SW_OK;
    return sw_fail(SW_EMODEL, "tensor '%s' says [%lld, %lld], which is no shape of a matrix",
                   tensor->name, (long long)shape[0], (long long)shape[1]);
}

static enum sw_status compressed_packed(struct sw_adapting *a, const struct sw_tensor *packed,
                                        const char *stem)
{
    struct sw_groups g = {.codes_kind = SW_CODES_ROWS,
                          .codes = packed,
                          .zeros = sw_adapting_find(a, stem, ".weight_zero_point"),
                          .group_of = sw_adapting_find(a, stem, ".weight_g_idx")};
    int64_t shape[2];
    SW_TRY(compressed_shape(a, packed, stem, shape));
    SW_TRY(sw_adapting_need(a, packed, stem, ".weight_scale", &g.scales));
    SW_TRY(sw_adapting_check(a, packed, SW_I32, 2, packed->shape));
    g.rows = shape[0];
    g.cols = shape[1];
    for (const int *bits = compressed_bits; *bits && !g.bits; bits++)
        if ((g.cols * *bits + 31) / 32 == packed->shape[1])
            g.bits = *bits;
    if (!g.bits)
        return sw_fail(SW_EMODEL,
                       "tensor '%s' has %lld words for %lld columns, expected codes of 4 or 8 bits",
                       packed->name, (long long)packed->shape[1], (long long)g.cols);
    g.zeros_kind = g.zeros ? SW_ZEROS_DOWN : SW_ZEROS_NONE;
    SW_TRY(compressed_group(a->config, g.scales, g.cols, &g.group));
    return sw_adapting_add_groups(a, stem, &g);
}

/* ---- int8 */

/* In `whole` of a made matrix: whether each row has a scale, and its type. */
enum compressed_whole { WHOLE_BY_ROW, WHOLE_DTYPE };

/* A row's elements, then its scale. */
static void compressed_make_int8(const struct sw_made_rows *rows, void *out)
{
    const int64_t cols = rows->tensor->shape[1];
    const enum sw_dtype dtype = (enum sw_dtype)rows->made->whole[WHOLE_DTYPE];
    const int64_t step = rows->made->whole[WHOLE_BY_ROW] ? sw_dtype_info(dtype)->bits / 8 : 0;
    const char *from = rows->parts[0], *scales = rows->parts[1];
    char *to = out;
    for (int64_t i = 0; i < rows->n_rows; i++, from += cols) {
        float scale;
        sw_dtype_to_f32(dtype, scales + i * step, 1, &scale);
        memcpy(to, from, (size_t)cols);
        memcpy(to + cols, &scale, sizeof scale);
        to += cols + (int64_t)sizeof scale;
    }
}

static const struct sw_made_form compressed_int8 = {NULL, compressed_make_int8};

static enum sw_status compressed_add_int8(struct sw_adapting *a, const struct sw_tensor *weight,
                                          const char *stem, const struct sw_tensor *scales)
{
    struct sw_made made = {.form = &compressed_int8};
    const bool by_row = sw_tensor_elements(scales) != 1;
    const bool is_float = sw_dtype_info(scales->dtype)->is_float;
    SW_TRY(sw_adapting_check(a, weight, SW_I8, 2, weight->shape));
    SW_TRY(sw_adapting_check(a, scales, is_float ? SW_OTHER : SW_F32, by_row, weight->shape));
    if (sw_adapting_find(a, stem, ".weight_zero_point"))
        return sw_fail(SW_EMODEL,
                       "tensor '%s' is int8 with a zero point, which is not supported: only "
                       "symmetric ones are",
                       weight->name);
    sw_made_add(&made, weight, (uint64_t)weight->shape[1]);
    sw_made_add(&made, scales, by_row ? sw_dtype_info(scales->dtype)->bits / 8 : 0);
    made.whole[WHOLE_BY_ROW] = by_row;
    made.whole[WHOLE_DTYPE] = scales->dtype;
    return sw_adapting_add(a, stem, &sw_format_int8, weight->shape[0], weight->shape[1], &made);
}

/* ---- */

/* The tile of an FP8 weight's scales: "block_structure" of some group. */
static void compressed_tile(const json_t *config, int64_t tile[2])
{
    tile[0] = tile[1] = 128;
    for (size_t i = 0; i < compressed_count(config); i++) {
        const json_t *size = json_object_get(compressed_weights(config, i), "block_structure");
        for (size_t k = 0; k < 2 && json_array_size(size) == 2; k++)
            if (!sw_json_integer(json_array_get(size, k), 1, INT32_MAX, &tile[k]))
                tile[k] = 0;
    }
}

static enum sw_status compressed_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                                        const char *stem)
{
    const size_t n = strlen(stem);
    const struct sw_tensor *scales;
    int64_t tile[2];
    if (strcmp(tensor->name + n, ".weight_packed") == 0)
        return compressed_packed(a, tensor, stem);
    if (tensor->dtype != SW_I8 && tensor->dtype != SW_F8_E4M3)
        return SW_OK;
    SW_TRY(sw_adapting_need(a, tensor, stem, ".weight_scale", &scales));
    if (tensor->dtype == SW_I8)
        return compressed_add_int8(a, tensor, stem, scales);
    compressed_tile(a->config, tile);
    return sw_adapting_add_fp8(a, stem, tensor, scales, tile[0], tile[1]);
}

static const struct sw_format *compressed_format(const json_t *config)
{
    static const char *const bit_names[] = {"num_bits", NULL}, *const group_names[] = {"group_size",
                                                                                       NULL};
    const json_t *weights = compressed_weights(config, 0);
    const char *type = json_string_value(json_object_get(weights, "type"));
    const char *format = json_string_value(json_object_get(config, "format"));
    int64_t bits, group;
    if (type && strcmp(type, "float") == 0)
        return &sw_format_fp8;
    if (!format || strcmp(format, "pack-quantized") != 0)
        return &sw_format_int8;
    if (sw_groups_setting(weights, bit_names, 4, &bits) != SW_OK ||
        sw_groups_setting(weights, group_names, 0, &group) != SW_OK)
        return NULL;
    return sw_groups_format(bits, group);
}

static const char *const compressed_methods[] = {"compressed-tensors", NULL};
static const char *const compressed_suffixes[] = {".weight_packed", ".weight", NULL};
const struct sw_adapter sw_adapter_compressed = {.name = "compressed-tensors",
                                                 .methods = compressed_methods,
                                                 .suffixes = compressed_suffixes,
                                                 .check = compressed_check,
                                                 .matrix = compressed_matrix,
                                                 .format = compressed_format};
