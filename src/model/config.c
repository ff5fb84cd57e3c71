/*
 * Owns config.json → dimensions. Keys have had several names over the years and the families; the
 * readers below take a list of them, first match wins, and null counts as absent.
 */
#include "base/file.h"
#include "base/json.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LIMIT (16u << 20)
#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const json_t *first(const json_t *object, const char *const *keys)
{
    for (; *keys; keys++) {
        const json_t *value = json_object_get(object, *keys);
        if (value && !json_is_null(value))
            return value;
    }
    return NULL;
}

/* "'head_dim' is -3, but must be an integer from 1 to 16384" */
static enum sw_status wrong(const char *key, const json_t *value, const char *what, double low,
                            double high)
{
    if (!value)
        return sw_fail(SW_EMODEL, "'%s' is missing", key);
    char text[SW_JSON_SHORT];
    return sw_fail(SW_EMODEL, "'%s' is %s, but must be %s from %.12g to %.12g", key,
                   sw_json_show(value, text, sizeof text), what, low, high);
}

/* An integer in [low, high]; `absent` when no key is there (absent < low: it is required). */
static enum sw_status read_int(const json_t *config, const char *const *keys, int low, int high,
                               int absent, int *out)
{
    const json_t *value = first(config, keys);
    if (!value) {
        if (absent < low)
            return sw_fail(SW_EMODEL, "'%s' is missing", keys[0]);
        *out = absent;
        return SW_OK;
    }
    double number;
    if (!sw_json_number(value, &number) || number != floor(number) || number < low || number > high)
        return wrong(keys[0], value, "an integer", low, high);
    *out = (int)number;
    return SW_OK;
}

static enum sw_status read_float(const json_t *config, const char *const *keys, double low,
                                 double high, double absent, float *out)
{
    const json_t *value = first(config, keys);
    double number = absent;
    if ((value && !sw_json_number(value, &number)) || !(number >= low && number <= high))
        return wrong(keys[0], value, "a number", low, high);
    *out = (float)number;
    return SW_OK;
}

static enum sw_status read_bool(const json_t *config, const char *key, bool absent, bool *out)
{
    const json_t *value = first(config, KEYS(key));
    if (value && !json_is_boolean(value))
        return sw_fail(SW_EMODEL, "'%s' must be true or false", key);
    *out = value ? json_is_true(value) : absent;
    return SW_OK;
}

static enum sw_status read_activation(const json_t *config, enum sw_activation absent,
                                      enum sw_activation *out)
{
    static const struct {
        const char *name;
        enum sw_activation kind;
    } names[] = {{"relu", SW_ACT_RELU},
                 {"gelu", SW_ACT_GELU},
                 {"gelu_new", SW_ACT_GELU_TANH},
                 {"gelu_fast", SW_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", SW_ACT_GELU_TANH},
                 {"silu", SW_ACT_SILU},
                 {"swish", SW_ACT_SILU}};
    const char *name = json_string_value(first(config, KEYS("hidden_act", "activation_function")));
    *out = absent;
    if (!name)
        return SW_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, name) == 0) {
            *out = names[i].kind;
            return SW_OK;
        }
    return sw_fail(SW_EMODEL,
                   "activation '%s' is not one of relu, gelu, gelu_new, gelu_fast, "
                   "gelu_pytorch_tanh, silu",
                   name);
}

static enum sw_status read_sizes(const json_t *config, struct sw_dims *d)
{
    SW_TRY(read_int(config, KEYS("num_hidden_layers", "n_layer"), 1, 10000, 0, &d->n_layers));
    SW_TRY(read_int(config, KEYS("hidden_size", "n_embd", "n_embed"), 1, 1 << 20, 0, &d->hidden));
    SW_TRY(read_int(config, KEYS("num_attention_heads", "n_head"), 1, 1 << 14, 0, &d->n_heads));
    SW_TRY(read_int(config, KEYS("num_key_value_heads"), 1, 1 << 14, d->n_heads, &d->n_kv_heads));
    SW_TRY(read_int(config, KEYS("vocab_size"), 1, 1 << 28, 0, &d->vocab));
    SW_TRY(read_int(config, KEYS("max_position_embeddings", "n_positions", "n_ctx"), 1, 1 << 30,
                    INT32_MAX, &d->context));
    if (d->context == INT32_MAX)
        d->context = 0;
    if (d->n_heads % d->n_kv_heads != 0)
        return sw_fail(SW_EMODEL, "%d attention heads do not share %d key/value heads evenly",
                       d->n_heads, d->n_kv_heads);
    SW_TRY(read_int(config, KEYS("head_dim"), 1, 1 << 14, d->hidden / d->n_heads, &d->head_dim));
    if (!first(config, KEYS("head_dim")) && d->hidden % d->n_heads != 0)
        return sw_fail(SW_EMODEL, "hidden size %d is not a multiple of %d heads", d->hidden,
                       d->n_heads);
    if (d->head_dim < 1 || (int64_t)d->n_heads * d->head_dim > 1 << 24)
        return sw_fail(SW_EMODEL, "%d heads of %d are not possible", d->n_heads, d->head_dim);
    const int four = d->hidden <= 1 << 22 ? 4 * d->hidden : 0;
    SW_TRY(read_int(config, KEYS("intermediate_size", "ffn_dim", "n_inner"), 1, 1 << 24, four,
                    &d->ffn));
    return read_int(config, KEYS("word_embed_proj_dim"), 1, 1 << 20, d->hidden, &d->embed_dim);
}

static enum sw_status read_rope(const json_t *config, float usual_share, struct sw_dims *d)
{
    /* rope_parameters (transformers 5) holds what rope_theta and rope_scaling held before. */
    const json_t *nested = first(config, KEYS("rope_parameters"));
    const json_t *base_from = nested && first(nested, KEYS("rope_theta")) ? nested : config;
    const json_t *pct_from =
        nested && first(nested, KEYS("partial_rotary_factor")) ? nested : config;
    const json_t *scaling = nested ? nested : first(config, KEYS("rope_scaling"));
    float share = 1;
    SW_TRY(read_float(base_from, KEYS("rope_theta", "rotary_emb_base"), 1, 1e12, 10000,
                      &d->rope_base));
    SW_TRY(read_float(pct_from, KEYS("rotary_pct", "partial_rotary_factor"), 0, 1,
                      usual_share > 0 ? (double)usual_share : 1, &share));
    SW_TRY(read_int(config, KEYS("rotary_dim"), 2, d->head_dim, (int)((float)d->head_dim * share),
                    &d->rotary_dim));
    if (d->rotary_dim < 2 || d->rotary_dim % 2 != 0)
        return sw_fail(SW_EMODEL,
                       "%d rotary dimensions of a head of %d: must be even and at least 2",
                       d->rotary_dim, d->head_dim);
    d->rope_scaling = SW_ROPE_PLAIN;
    if (!scaling)
        return SW_OK;
    const char *type = json_string_value(first(scaling, KEYS("rope_type", "type")));
    if (!type || strcmp(type, "default") == 0)
        return SW_OK;
    if (strcmp(type, "linear") == 0)
        d->rope_scaling = SW_ROPE_LINEAR;
    else if (strcmp(type, "llama3") == 0)
        d->rope_scaling = SW_ROPE_LLAMA3;
    else
        return sw_fail(SW_EMODEL, "rope scaling '%s' is not one of linear, llama3", type);
    SW_TRY(read_float(scaling, KEYS("factor"), 1e-3, 1e6, 0, &d->rope_factor));
    if (d->rope_scaling == SW_ROPE_LINEAR)
        return SW_OK;
    SW_TRY(read_float(scaling, KEYS("low_freq_factor"), 1e-3, 1e6, 0, &d->rope_low));
    SW_TRY(read_float(scaling, KEYS("high_freq_factor"), 1e-3, 1e6, 0, &d->rope_high));
    return read_int(scaling, KEYS("original_max_position_embeddings"), 1, 1 << 30, 0,
                    &d->rope_original);
}

static enum sw_status read_experts(const json_t *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    int step;
    if (!m->arch->names.router)
        return SW_OK;
    SW_TRY(read_int(config, KEYS("num_local_experts", "num_experts"), 1, 4096, 0, &d->n_experts));
    SW_TRY(read_int(config, KEYS("num_experts_per_tok"), 1, d->n_experts, 0, &d->n_experts_used));
    SW_TRY(read_int(config, KEYS("moe_intermediate_size"), 1, 1 << 24, d->ffn, &d->expert_ffn));
    SW_TRY(read_int(config, KEYS("decoder_sparse_step"), 1, 1 << 20, 1, &step));
    /* Mixtral always renormalises and has no key for it. */
    SW_TRY(read_bool(config, "norm_topk_prob", !m->arch->names.gate, &d->norm_topk));
    for (int layer = 0; layer < d->n_layers; layer++)
        if ((layer + 1) % step == 0)
            m->layer_kinds[layer] |= SW_LAYER_ROUTED;
    const json_t *dense = first(config, KEYS("mlp_only_layers")), *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)dense, i, item)
    {
        int64_t layer;
        if (sw_json_integer(item, 0, d->n_layers - 1, &layer))
            m->layer_kinds[layer] &= (unsigned char)~SW_LAYER_ROUTED;
    }
    for (int layer = 0; layer < d->n_layers; layer++)
        if (!m->arch->names.up && !(m->layer_kinds[layer] & SW_LAYER_ROUTED))
            return sw_fail(SW_EMODEL, "layer %d would have no experts; %s has them in every layer",
                           layer, m->arch->title);
    return SW_OK;
}

static enum sw_status read_window(const json_t *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    bool used = false;
    int from;
    /* Qwen configs carry a window that is switched off; Mistral's has no switch. */
    SW_TRY(read_bool(config, "use_sliding_window", strncmp(m->arch->model_type, "qwen", 4) != 0,
                     &used));
    SW_TRY(read_int(config, KEYS("sliding_window"), 0, 1 << 30, 0, &d->window));
    if (!used || d->window == 0) {
        d->window = 0;
        return SW_OK;
    }
    SW_TRY(read_int(config, KEYS("max_window_layers"), 0, 1 << 30, 0, &from));
    const json_t *types = first(config, KEYS("layer_types"));
    for (int layer = 0; layer < d->n_layers; layer++) {
        const char *type = json_string_value(json_array_get(types, (size_t)layer));
        if (type ? strcmp(type, "sliding_attention") == 0 : layer >= from)
            m->layer_kinds[layer] |= SW_LAYER_SLIDING;
    }
    return SW_OK;
}

static enum sw_status read_flags(const json_t *config, struct sw_model *m)
{
    const struct sw_arch *arch = m->arch;
    struct sw_dims *d = &m->dims;
    bool flag = false, removed = false;
    SW_TRY(read_activation(config, arch->activation, &d->activation));
    SW_TRY(read_float(config, KEYS("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"), 0, 1,
                      (double)arch->norm_eps, &d->norm_eps));
    SW_TRY(read_bool(config, "tie_word_embeddings", arch->tied, &d->tied));
    d->qkv_bias = arch->qkv_bias;
    d->out_bias = arch->out_bias;
    d->mlp_bias = arch->mlp_bias;
    if (arch->bias_keys) {
        SW_TRY(read_bool(config, "attention_bias", arch->qkv_bias, &d->qkv_bias));
        d->out_bias = d->qkv_bias;
        SW_TRY(read_bool(config, "mlp_bias", arch->mlp_bias, &d->mlp_bias));
    }
    d->head_bias = arch->head_bias;
    SW_TRY(read_bool(config, "enable_bias", true, &flag));
    if (!flag)
        d->qkv_bias = d->out_bias = d->mlp_bias = false;
    SW_TRY(read_bool(config, "layer_norm_elementwise_affine", true, &flag));
    if (!flag)
        return sw_fail(SW_EMODEL, "norms without weights are not supported");
    SW_TRY(read_bool(config, "do_layer_norm_before", true, &flag));
    SW_TRY(read_bool(config, "_remove_final_layer_norm", false, &removed));
    d->post_norm = !flag;
    d->final_norm = flag && !removed;
    SW_TRY(read_bool(config, "use_parallel_residual", true, &flag));
    d->residual = arch->residual == SW_RES_PARALLEL && !flag ? SW_RES_SEQUENTIAL : arch->residual;
    SW_TRY(read_bool(config, "scale_attn_by_inverse_layer_idx", false, &flag));
    if (flag)
        return sw_fail(SW_EMODEL, "'scale_attn_by_inverse_layer_idx' is not supported");
    return read_bool(config, "apply_residual_connection_post_layernorm", false,
                     &d->normed_residual);
}

static enum sw_status unknown_family(const char *type)
{
    char known[512] = "";
    size_t used = 0;
    const struct sw_arch *row;
    for (int i = 0; (row = sw_arch_row(i)) && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 row->model_type);
    return sw_fail(SW_EMODEL, "model family '%s' is not supported; known families: %s", type,
                   known);
}

static enum sw_status read_config(const json_t *config, struct sw_model *m)
{
    const char *type = json_string_value(first(config, KEYS("model_type")));
    if (!type)
        return sw_fail(SW_EMODEL, "'model_type' is missing; is this a model's config.json?");
    m->arch = sw_arch_find(type);
    if (!m->arch)
        return unknown_family(type);
    SW_TRY(read_sizes(config, &m->dims));
    m->layer_kinds = calloc((size_t)m->dims.n_layers, 1);
    if (!m->layer_kinds)
        return sw_fail(SW_ENOMEM, "no memory for %d layers", m->dims.n_layers);
    if (m->arch->position == SW_POS_ROPE)
        SW_TRY(read_rope(config, m->arch->rotary_share, &m->dims));
    if (m->arch->position == SW_POS_LEARNED && m->dims.context == 0)
        return sw_fail(SW_EMODEL, "'max_position_embeddings' is missing");
    if (m->arch->position == SW_POS_ALIBI)
        m->dims.context = 0;
    SW_TRY(read_flags(config, m));
    SW_TRY(read_experts(config, m));
    SW_TRY(read_window(config, m));
    const json_t *quantized = first(config, KEYS("quantization_config"));
    if (quantized)
        return sw_fail(SW_EMODEL,
                       "quantized checkpoints (%s) are not supported yet; use the 16-bit one",
                       json_string_value(json_object_get(quantized, "quant_method"))
                           ? json_string_value(json_object_get(quantized, "quant_method"))
                           : "unknown method");
    const char *dtype = json_string_value(first(config, KEYS("torch_dtype", "dtype")));
    m->dtype = SW_F32;
    if (dtype && (!sw_dtype_by_name(dtype, &m->dtype) || !sw_dtype_info(m->dtype)->is_float ||
                  !sw_dtype_info(m->dtype)->is_weight))
        m->dtype = SW_F32;
    return SW_OK;
}

enum sw_status sw_model_parse(const char *json, size_t length, const char *name,
                              struct sw_model **out)
{
    json_t *config;
    *out = NULL;
    enum sw_status status = sw_json_read(json, length, SW_JSON_MODEL, &config);
    if (status != SW_OK) {
        sw_error_context("%s", name);
        return status;
    }
    struct sw_model *m = calloc(1, sizeof *m);
    if (!m)
        status = sw_fail(SW_ENOMEM, "no memory for a model");
    else if (!json_is_object(config))
        status = sw_fail(SW_EMODEL, "%s: must be a JSON object", name);
    else {
        status = read_config(config, m);
        if (status != SW_OK)
            sw_error_context("%s", name);
    }
    json_decref(config);
    if (status != SW_OK) {
        sw_model_close(m);
        return status;
    }
    *out = m;
    return SW_OK;
}

enum sw_status sw_model_open(const char *dir, struct sw_model **out)
{
    char *bytes = NULL;
    size_t length = 0;
    *out = NULL;
    enum sw_file_kind kind;
    SW_TRY(sw_file_find(dir, &kind));
    if (kind == SW_FILE_ABSENT)
        return sw_fail(SW_EINPUT,
                       "%s: no such model directory; MODEL is a directory as the hub publishes it",
                       dir);
    const size_t n = strlen(dir);
    const bool is_folder = kind == SW_FILE_DIRECTORY;
    if (!is_folder && (n < 5 || strcmp(dir + n - 5, ".json") != 0))
        return sw_fail(SW_EINPUT,
                       "%s: is not a directory; MODEL is a directory as the hub publishes it (GGUF "
                       "files are not read yet)",
                       dir);
    char *path = is_folder ? sw_path_join(dir, "config.json") : strdup(dir);
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    enum sw_status status = sw_file_read_optional(path, CONFIG_LIMIT, &bytes, &length);
    if (status == SW_OK && !bytes)
        status = sw_fail(SW_EINPUT,
                         "%s: there is no config.json; MODEL is a directory as the hub "
                         "publishes it",
                         dir);
    if (status == SW_OK)
        status = sw_model_parse(bytes, length, path, out);
    free(bytes);
    free(path);
    return status;
}

void sw_model_close(struct sw_model *m)
{
    if (!m)
        return;
    free(m->layer_kinds);
    free(m);
}
