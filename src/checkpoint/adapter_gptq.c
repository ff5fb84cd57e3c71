/*
 * Owns what GPTQ's programs save (AutoGPTQ, GPTQModel), and AutoRound in the same layout:
 * P.qweight, P.qzeros, P.scales, and P.g_idx, the group of each column (docs/formats.md).
 */
#include "checkpoint/adapter_awq.h"
#include "checkpoint/adapter_groups.h"

#include <string.h>

static const int gptq_bits[] = {2, 3, 4, 8, 0};

static const char *gptq_text(const json_t *config, const char *name)
{
    return json_string_value(json_object_get(config, name));
}

/* How the tensors are packed. */
enum gptq_packing { GPTQ_FIRST, GPTQ_SECOND, GPTQ_AS_AWQ, GPTQ_UNKNOWN };

/* The first of the texts that the config has. */
static const char *gptq_first_text(const json_t *config, const char *name, const char *other)
{
    const char *text = gptq_text(config, name);
    return text ? text : gptq_text(config, other);
}

/* AutoRound says it in texts like "auto_round:auto_gptq" and "auto_round:exllamav2", the last of
 * which means its own way: that of GPTQ's second version. */
static enum gptq_packing gptq_packing_of_autoround(const char *text)
{
    static const struct {
        const char *part;
        enum gptq_packing packing;
    } parts[] = {{"compressor", GPTQ_UNKNOWN}, {"fp", GPTQ_UNKNOWN},
                 {"awq", GPTQ_AS_AWQ},         {"gptq", GPTQ_FIRST},
                 {"auto_round", GPTQ_SECOND},  {"autoround", GPTQ_SECOND},
                 {"auto-round", GPTQ_SECOND}};
    for (size_t i = 0; text && i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text, parts[i].part))
            return parts[i].packing;
    return text ? GPTQ_UNKNOWN : GPTQ_FIRST;
}

static enum gptq_packing gptq_packing_of(const json_t *config, const char **text)
{
    const char *method = gptq_text(config, "quant_method");
    if (method && strstr(method, "auto-round")) {
        *text = gptq_first_text(config, "packing_format", "backend");
        return gptq_packing_of_autoround(*text);
    }
    *text = gptq_first_text(config, "checkpoint_format", "format");
    return !*text || strcmp(*text, "gptq") == 0 ? GPTQ_FIRST
           : strcmp(*text, "gptq_v2") == 0      ? GPTQ_SECOND
                                                : GPTQ_UNKNOWN;
}

/* Whether single matrices may have other settings than the whole model. */
static bool gptq_is_mixed(const json_t *config)
{
    return json_object_size(json_object_get(config, "dynamic")) > 0 ||
           json_object_size(json_object_get(config, "extra_config")) > 0;
}

static enum sw_status gptq_check(const json_t *config)
{
    const char *type = gptq_text(config, "data_type"), *packing;
    int64_t bits, group;
    if (type && strcmp(type, "int") != 0)
        return sw_fail(SW_EMODEL, "its weights have the data type '%.60s', supported is 'int'",
                       type);
    if (gptq_packing_of(config, &packing) == GPTQ_UNKNOWN ||
        json_is_true(json_object_get(config, "is_marlin_format")))
        return sw_fail(SW_EMODEL,
                       "its tensors are packed as '%.60s', which is not supported; supported are "
                       "gptq and gptq_v2, and auto_round's auto_gptq and auto_awq",
                       packing ? packing : "marlin");
    return sw_groups_settings(config, gptq_bits, &bits, &group);
}

/* Old configs have no quant_method, only these. */
static bool gptq_claims(const json_t *config)
{
    return (json_object_get(config, "bits") || json_object_get(config, "wbits")) &&
           (json_object_get(config, "group_size") || json_object_get(config, "groupsize")) &&
           !json_object_get(config, "version");
}

/* The settings of one matrix, by its shapes where the config allows them to differ. */
static void gptq_mixed(const struct sw_tensor *codes, const struct sw_groups *g, int64_t *bits,
                       int64_t *group)
{
    const int64_t words = g->zeros->rank == 2 ? g->zeros->shape[1] : 0, rows = codes->shape[1];
    const int64_t count = g->scales->rank == 2 ? g->scales->shape[0] : 0;
    for (const int *k = gptq_bits; *k; k++)
        if (words * 32 == rows * *k)
            *bits = *k;
    const int64_t cols = codes->shape[0] * 32 / *bits;
    if (count > 0 && (*group == 0 || (cols + *group - 1) / *group != count))
        *group = cols % count == 0 ? cols / count : *group;
}

static enum sw_status gptq_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                                  const char *stem)
{
    const char *packing;
    const enum gptq_packing kind = gptq_packing_of(a->config, &packing);
    int64_t bits, group;
    if (kind == GPTQ_AS_AWQ)
        return sw_awq_matrix(a, tensor, stem);
    struct sw_groups g = {.codes_kind = SW_CODES_DOWN,
                          .zeros_kind = SW_ZEROS_GPTQ,
                          .less_one = kind == GPTQ_FIRST,
                          .codes = tensor,
                          .group_of = sw_adapting_find(a, stem, ".g_idx")};
    SW_TRY(sw_adapting_check(a, tensor, SW_I32, 2, tensor->shape));
    SW_TRY(sw_adapting_need(a, tensor, stem, ".scales", &g.scales));
    SW_TRY(sw_adapting_need(a, tensor, stem, ".qzeros", &g.zeros));
    SW_TRY(sw_groups_settings(a->config, gptq_bits, &bits, &group));
    if (gptq_is_mixed(a->config))
        gptq_mixed(tensor, &g, &bits, &group);
    g.bits = (int)bits;
    g.rows = tensor->shape[1];
    g.cols = tensor->shape[0] * 32 / bits;
    g.group = sw_groups_columns(group, g.cols);
    return sw_adapting_add_groups(a, stem, &g);
}

static const struct sw_format *gptq_format(const json_t *config)
{
    int64_t bits, group;
    return sw_groups_settings(config, gptq_bits, &bits, &group) == SW_OK
               ? sw_groups_format(bits, group)
               : NULL;
}

static const char *const gptq_methods[] = {"gptq", "auto-round", "intel/auto-round", NULL};
static const char *const gptq_suffixes[] = {".qweight", NULL};
const struct sw_adapter sw_adapter_gptq = {.name = "GPTQ",
                                           .methods = gptq_methods,
                                           .suffixes = gptq_suffixes,
                                           .claims = gptq_claims,
                                           .check = gptq_check,
                                           .matrix = gptq_matrix,
                                           .format = gptq_format};
