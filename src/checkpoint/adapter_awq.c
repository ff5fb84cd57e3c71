/* Owns what AutoAWQ saves: P.qweight, P.qzeros and P.scales of 4 bits, packed for its kernels
 * "gemm" or "gemv" (docs/formats.md). */
#include "checkpoint/adapter_awq.h"

#include "checkpoint/adapter_groups.h"

#include <string.h>
#include <strings.h>

static const int awq_bits[] = {4, 0};

/* Which kernels they are packed for; NULL: those that have no other name. */
static const char *awq_version(const json_t *config)
{
    static const char *const names[] = {"version", "checkpoint_format", "format"};
    const char *version = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !version; i++)
        version = json_string_value(json_object_get(config, names[i]));
    return version && strcasecmp(version, "gemm") != 0 ? version : NULL;
}

static bool awq_is_gemv(const json_t *config)
{
    const char *version = awq_version(config);
    return version && strcasecmp(version, "gemv") == 0;
}

static enum sw_status awq_check(const json_t *config)
{
    int64_t bits, group;
    if (awq_version(config) && !awq_is_gemv(config))
        return sw_fail(
            SW_EMODEL,
            "its tensors are packed for the kernels '%.60s', supported are gemm and gemv",
            awq_version(config));
    return sw_groups_settings(config, awq_bits, &bits, &group);
}

/* Old configs have no quant_method, only these. */
static bool awq_claims(const json_t *config)
{
    return json_object_get(config, "w_bit") && json_object_get(config, "q_group_size") &&
           json_object_get(config, "version");
}

enum sw_status sw_awq_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                             const char *stem)
{
    const bool gemv = awq_is_gemv(a->config);
    int64_t bits, group;
    struct sw_groups g = {.bits = 4,
                          .codes_kind = gemv ? SW_CODES_ROWS : SW_CODES_ACROSS,
                          .zeros_kind = gemv ? SW_ZEROS_GROUPS : SW_ZEROS_AWQ,
                          .codes = tensor};
    SW_TRY(sw_adapting_check(a, tensor, SW_I32, 2, tensor->shape));
    SW_TRY(sw_adapting_need(a, tensor, stem, ".scales", &g.scales));
    SW_TRY(sw_adapting_need(a, tensor, stem, ".qzeros", &g.zeros));
    SW_TRY(sw_groups_settings(a->config, awq_bits, &bits, &group));
    g.rows = gemv ? tensor->shape[0] : 8 * tensor->shape[1];
    g.cols = gemv ? 8 * tensor->shape[1] : tensor->shape[0];
    g.group = sw_groups_columns(group, g.cols);
    return sw_adapting_add_groups(a, stem, &g);
}

static const struct sw_format *awq_format(const json_t *config)
{
    int64_t bits, group;
    return sw_groups_settings(config, awq_bits, &bits, &group) == SW_OK
               ? sw_groups_format(bits, group)
               : NULL;
}

static const char *const awq_methods[] = {"awq", NULL};
static const char *const awq_suffixes[] = {".qweight", NULL};
const struct sw_adapter sw_adapter_awq = {.name = "AWQ",
                                          .methods = awq_methods,
                                          .suffixes = awq_suffixes,
                                          .claims = awq_claims,
                                          .check = awq_check,
                                          .matrix = sw_awq_matrix,
                                          .format = awq_format};
