/*
 * Owns config.json → dimensions. Which keys there are, and what counts where one is absent, is the
 * row's (families.c); null mostly counts as absent.
 */
#include "base/json.h"
#include "base/log.h"
#include "model/config_keys.h"
#include "model/model.h"
#include "tensor/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sw_status read_activation(struct sw_config *config, enum sw_activation *out)
{
    const json_t *value = sw_config_find(config, SW_KEY_ACTIVATION);
    const char *name = json_string_value(value);
    *out = config->arch->activation;
    if (!value)
        return SW_OK;
    if (name && config->arch->gate_by_config && strncmp(name, "gated-", 6) == 0) {
        name += 6;
        if (strcmp(name, "gelu") == 0) /* T5's is not the exact one */
            name = "gelu_new";
    }
    if (!name || !sw_config_activation(name, out))
        return sw_fail(SW_EMODEL, "activation '%s' is not one of " SW_ACTIVATION_NAMES,
                       name ? name : "(no text)");
    config->values[SW_KEY_ACTIVATION] = *out;
    return SW_OK;
}

static enum sw_status read_heads(struct sw_config *config, struct sw_dims *d)
{
    SW_TRY(sw_config_int(config, SW_KEY_HEADS, 1, 1 << 14, &d->n_heads));
    SW_TRY(sw_config_int(config, SW_KEY_KV_HEADS, 1, 1 << 14, &d->n_kv_heads));
    if (d->n_kv_heads == 0)
        d->n_kv_heads = d->n_heads;
    if (d->n_heads % d->n_kv_heads != 0)
        return sw_fail(SW_EMODEL, "%d attention heads do not share %d key/value heads evenly",
                       d->n_heads, d->n_kv_heads);
    SW_TRY(sw_config_int(config, SW_KEY_HEAD_DIM, 1, 1 << 14, &d->head_dim));
    if (d->head_dim == 0 && d->hidden % d->n_heads != 0)
        return sw_fail(SW_EMODEL, "hidden size %d is not a multiple of %d heads", d->hidden,
                       d->n_heads);
    if (d->head_dim == 0)
        d->head_dim = d->hidden / d->n_heads;
    if (d->head_dim < 1 || (int64_t)d->n_heads * d->head_dim > 1 << 24)
        return sw_fail(SW_EMODEL, "%d heads of %d are not possible", d->n_heads, d->head_dim);
    config->values[SW_KEY_KV_HEADS] = d->n_kv_heads;
    config->values[SW_KEY_HEAD_DIM] = d->head_dim;
    return SW_OK;
}

/* Encoder and decoder are one list of layers, the encoder's first. */
static enum sw_status read_layers(struct sw_config *config, struct sw_dims *d)
{
    int decoder;
    SW_TRY(sw_config_int(config, SW_KEY_LAYERS, 1, 10000, &d->n_layers));
    if (!config->arch->encoder)
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_DECODER_LAYERS, 1, 10000, &decoder));
    d->n_encoder = d->n_layers;
    d->n_layers += decoder ? decoder : d->n_encoder;
    return SW_OK;
}

static enum sw_status read_sizes(struct sw_config *config, struct sw_dims *d)
{
    SW_TRY(read_layers(config, d));
    SW_TRY(sw_config_int(config, SW_KEY_HIDDEN, 1, 1 << 20, &d->hidden));
    SW_TRY(sw_config_int(config, SW_KEY_VOCAB, 1, 1 << 28, &d->vocab));
    SW_TRY(sw_config_int(config, SW_KEY_CONTEXT, 1, 1 << 30, &d->context));
    SW_TRY(read_heads(config, d));
    SW_TRY(sw_config_int(config, SW_KEY_FFN, 1, 1 << 24, &d->ffn));
    if (d->ffn == 0 && d->hidden > 1 << 22)
        return sw_fail(SW_EMODEL, "hidden size %d has no MLP", d->hidden);
    if (d->ffn == 0)
        d->ffn = 4 * d->hidden;
    SW_TRY(sw_config_int(config, SW_KEY_EMBED_DIM, 1, 1 << 20, &d->embed_dim));
    if (d->embed_dim == 0)
        d->embed_dim = d->hidden;
    config->values[SW_KEY_FFN] = d->ffn;
    config->values[SW_KEY_EMBED_DIM] = d->embed_dim;
    return SW_OK;
}

/*
 * rope_scaling and rope_parameters (transformers 5) are two names of one object, of which the
 * first that is not empty counts. It has a type, the members of that type, and may repeat what keys
 * of config.json itself state.
 */
static enum sw_status find_rope(const struct sw_config *config, const json_t **out)
{
    const struct sw_arch_key *key = &config->arch->keys[SW_KEY_ROPE];
    const char *const names[] = {key->name, key->other};
    const char *inner;
    json_t *member;
    *out = NULL;
    for (size_t i = 0; i < 2 && names[i] && !*out; i++) {
        const json_t *value = json_object_get(config->root, names[i]);
        if (value && !json_is_null(value) && !json_is_false(value) && !json_is_object(value))
            return sw_fail(SW_EMODEL, "'%s' must be an object", names[i]);
        json_object_foreach(
            (json_t *)(uintptr_t)value, inner,
            member) if (json_is_object(member)) return sw_fail(SW_EMODEL,
                                                               "'%s' has members by layer ('%s'), "
                                                               "which is not supported",
                                                               names[i], inner);
        if (json_object_size(value) > 0)
            *out = value;
    }
    return SW_OK;
}

/* A member of the object that replaces a key of config.json itself. */
static enum sw_status read_nested(struct sw_config *config, const json_t *rope, const char *name,
                                  enum sw_key key, double low, double high, double *out)
{
    float beside;
    const json_t *value = json_object_get(rope, name);
    if (value && !json_is_null(value)) {
        SW_TRY(sw_config_member(rope, name, low, high, false, out));
        config->values[key] = *out;
        return SW_OK;
    }
    SW_TRY(sw_config_float(config, key, low, high, &beside));
    *out = config->values[key];
    return SW_OK;
}

/* The context that llama3's scaling starts from: next to the object, in it, or the model's own. */
static enum sw_status read_original(const json_t *root, const json_t *rope, struct sw_dims *d)
{
    static const char name[] = "original_max_position_embeddings";
    const json_t *beside = json_object_get(root, name);
    double original = d->context;
    const json_t *from = beside && !json_is_null(beside) ? root : rope;
    if (json_object_get(from, name) || d->context == 0)
        SW_TRY(sw_config_member(from, name, 1, 1 << 30, true, &original));
    d->rope_original = (int)original;
    return SW_OK;
}

static enum sw_status read_scaling(const json_t *root, const json_t *rope, struct sw_dims *d)
{
    double factor, low, high;
    const json_t *type = json_object_get(rope, "rope_type");
    const char *name = json_string_value(type ? type : json_object_get(rope, "type"));
    d->rope_scaling = SW_ROPE_PLAIN;
    if (!name || strcmp(name, "default") == 0)
        return SW_OK;
    if (strcmp(name, "linear") == 0)
        d->rope_scaling = SW_ROPE_LINEAR;
    else if (strcmp(name, "llama3") == 0)
        d->rope_scaling = SW_ROPE_LLAMA3;
    else
        return sw_fail(SW_EMODEL, "rope scaling '%s' is not one of linear, llama3", name);
    SW_TRY(sw_config_member(rope, "factor", 1e-3, 1e6, false, &factor));
    d->rope_factor = (float)factor;
    if (d->rope_scaling == SW_ROPE_LINEAR)
        return SW_OK;
    SW_TRY(sw_config_member(rope, "low_freq_factor", 1e-3, 1e6, false, &low));
    SW_TRY(sw_config_member(rope, "high_freq_factor", 1e-3, 1e6, false, &high));
    d->rope_low = (float)low;
    d->rope_high = (float)high;
    return read_original(root, rope, d);
}

static enum sw_status read_rope(struct sw_config *config, struct sw_dims *d)
{
    const json_t *rope;
    double base, share = 1;
    SW_TRY(find_rope(config, &rope));
    SW_TRY(read_nested(config, rope, "rope_theta", SW_KEY_ROPE_BASE, 1, 1e12, &base));
    d->rope_base = (float)base;
    if (sw_config_has(config, SW_KEY_ROTARY_SHARE))
        SW_TRY(
            read_nested(config, rope, "partial_rotary_factor", SW_KEY_ROTARY_SHARE, 0, 1, &share));
    SW_TRY(sw_config_int(config, SW_KEY_ROTARY_DIM, 2, d->head_dim, &d->rotary_dim));
    if (d->rotary_dim == 0)
        d->rotary_dim = (int)(d->head_dim * share);
    if (d->rotary_dim < 2 || d->rotary_dim % 2 != 0 || d->rotary_dim > d->head_dim)
        return sw_fail(SW_EMODEL,
                       "%d rotary dimensions of a head of %d: must be even and at least 2",
                       d->rotary_dim, d->head_dim);
    return read_scaling(config->root, rope, d);
}

/* The layers that "mlp_only_layers" names, as far as there are such. */
static void leave_dense(const struct sw_config *config, struct sw_model *m)
{
    const json_t *dense = sw_config_find(config, SW_KEY_DENSE_LAYERS), *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)dense, i, item)
    {
        int64_t layer;
        if (sw_json_integer(item, 0, m->dims.n_layers - 1, &layer))
            m->layer_kinds[layer] &= (unsigned char)~SW_LAYER_ROUTED;
    }
}

static enum sw_status read_experts(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    int step;
    if (!sw_config_has(config, SW_KEY_EXPERTS))
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_EXPERTS, 1, 4096, &d->n_experts));
    SW_TRY(sw_config_int(config, SW_KEY_EXPERTS_USED, 1, d->n_experts, &d->n_experts_used));
    SW_TRY(sw_config_int(config, SW_KEY_EXPERT_FFN, 1, 1 << 24, &d->expert_ffn));
    SW_TRY(sw_config_int(config, SW_KEY_SPARSE_STEP, 1, 1 << 20, &step));
    SW_TRY(sw_config_flag(config, SW_KEY_NORM_TOPK, &d->norm_topk));
    if (d->n_experts_used > d->n_experts)
        return sw_fail(SW_EMODEL, "%d experts are used of %d", d->n_experts_used, d->n_experts);
    if (d->expert_ffn == 0)
        d->expert_ffn = d->ffn;
    config->values[SW_KEY_EXPERT_FFN] = d->expert_ffn;
    for (int layer = 0; layer < d->n_layers; layer++)
        if ((layer + 1) % step == 0)
            m->layer_kinds[layer] |= SW_LAYER_ROUTED;
    leave_dense(config, m);
    return SW_OK;
}

/* What "layer_types" says, layer by layer. */
static enum sw_status read_layer_types(const json_t *types, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    if (json_array_size(types) != (size_t)d->n_layers)
        return sw_fail(SW_EMODEL,
                       "'layer_types' must be a list with one text for each of %d layers",
                       d->n_layers);
    for (int layer = 0; layer < d->n_layers; layer++) {
        const char *type = json_string_value(json_array_get(types, (size_t)layer));
        const bool slides = type && strcmp(type, "sliding_attention") == 0;
        if (!slides && !(type && strcmp(type, "full_attention") == 0))
            return sw_fail(SW_EMODEL,
                           "'layer_types' says '%s' of layer %d; full_attention and "
                           "sliding_attention are supported",
                           type ? type : "(no text)", layer);
        if (slides && d->window == 0)
            return sw_fail(SW_EMODEL,
                           "'layer_types' says that layer %d slides, but there is no "
                           "window",
                           layer);
        if (slides)
            m->layer_kinds[layer] |= SW_LAYER_SLIDING;
    }
    return SW_OK;
}

static enum sw_status read_window(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    bool used = true;
    int from;
    const json_t *types = sw_config_find(config, SW_KEY_LAYER_TYPES);
    SW_TRY(sw_config_int(config, SW_KEY_WINDOW, 0, 1 << 30, &d->window));
    if (sw_config_has(config, SW_KEY_WINDOW_ON))
        SW_TRY(sw_config_flag(config, SW_KEY_WINDOW_ON, &used));
    SW_TRY(sw_config_int(config, SW_KEY_WINDOW_FROM, 0, 1 << 30, &from));
    if (!used)
        d->window = 0;
    config->values[SW_KEY_WINDOW] = d->window;
    config->values[SW_KEY_WINDOW_ON] = d->window > 0;
    if (types)
        return read_layer_types(types, m);
    for (int layer = from; layer < d->n_layers && d->window > 0; layer++)
        m->layer_kinds[layer] |= SW_LAYER_SLIDING;
    return SW_OK;
}

static enum sw_status read_biases(struct sw_config *config, struct sw_dims *d)
{
    bool linear;
    SW_TRY(sw_config_flag(config, SW_KEY_QKV_BIAS, &d->qkv_bias));
    SW_TRY(sw_config_flag(config, SW_KEY_MLP_BIAS, &d->mlp_bias));
    SW_TRY(sw_config_flag(config, SW_KEY_LINEAR_BIAS, &linear));
    d->out_bias = sw_config_has(config, SW_KEY_QKV_BIAS) ? d->qkv_bias : config->arch->out_bias;
    d->head_bias = config->arch->head_bias;
    if (!linear)
        d->qkv_bias = d->out_bias = d->mlp_bias = false;
    return SW_OK;
}

/* Flags that only one value of is supported. */
static enum sw_status refuse_flags(struct sw_config *config)
{
    static const struct {
        enum sw_key key;
        bool supported;
    } rows[] = {{SW_KEY_NORM_WEIGHTS, true},
                {SW_KEY_SCALED_SCORES, true},
                {SW_KEY_SCORES_BY_LAYER, false},
                {SW_KEY_CROSS_ATTENTION, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool flag;
        SW_TRY(sw_config_flag(config, rows[i].key, &flag));
        if (flag != rows[i].supported)
            return sw_fail(SW_EMODEL, "'%s' is %s, which is not supported",
                           config->arch->keys[rows[i].key].name, flag ? "true" : "false");
    }
    return SW_OK;
}

static enum sw_status read_flags(struct sw_config *config, struct sw_model *m)
{
    const struct sw_arch *arch = m->arch;
    struct sw_dims *d = &m->dims;
    bool pre = true, removed = false, parallel = true;
    SW_TRY(read_activation(config, &d->activation));
    SW_TRY(sw_config_float(config, SW_KEY_NORM_EPS, 0, 1, &d->norm_eps));
    SW_TRY(sw_config_flag(config, SW_KEY_TIED, &d->tied));
    SW_TRY(read_biases(config, d));
    SW_TRY(refuse_flags(config));
    SW_TRY(sw_config_flag(config, SW_KEY_PRE_NORM, &pre));
    SW_TRY(sw_config_flag(config, SW_KEY_NO_FINAL_NORM, &removed));
    d->post_norm = !pre;
    d->final_norm = pre && !removed;
    d->residual = arch->residual;
    if (sw_config_has(config, SW_KEY_PARALLEL)) {
        SW_TRY(sw_config_flag(config, SW_KEY_PARALLEL, &parallel));
        d->residual = parallel ? SW_RES_PARALLEL : SW_RES_SEQUENTIAL;
    }
    return sw_config_flag(config, SW_KEY_NORMED_RESIDUAL, &d->normed_residual);
}

enum sw_status sw_model_quantized(const char *method)
{
    return sw_fail(SW_EMODEL,
                   "quantized checkpoints (%s) are not supported yet; use the 16-bit one",
                   method ? method : "unknown method");
}

static enum sw_status read_types(const json_t *root, struct sw_model *m)
{
    static const char *const types[] = {"torch_dtype", "dtype"};
    m->dtype = SW_F32;
    for (size_t i = 0; i < 2 && !m->dtype_stated; i++) {
        const char *name = json_string_value(json_object_get(root, types[i]));
        enum sw_dtype dtype;
        if (name && strncmp(name, "torch.", 6) == 0)
            name += 6;
        if (name && sw_dtype_by_name(name, &dtype) && sw_dtype_info(dtype)->is_float &&
            sw_format_keeping(dtype) != SW_FORMAT_NONE) {
            m->dtype = dtype;
            m->dtype_stated = true;
        }
    }
    return SW_OK;
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

static enum sw_status check_layers(const struct sw_model *m)
{
    for (int layer = 0; layer < m->dims.n_layers; layer++)
        if (!m->arch->names.up && !(m->layer_kinds[layer] & SW_LAYER_ROUTED))
            return sw_fail(SW_EMODEL, "layer %d would have no experts; %s has them in every layer",
                           layer, m->arch->title);
    return SW_OK;
}

/* The lines of warnings, as one text; NULL where there are none. */
static enum sw_status read_foreign(const struct sw_config *config, struct sw_model *m)
{
    struct sw_strbuf warnings = {0};
    bool *slides = calloc((size_t)m->dims.n_layers, sizeof *slides);
    for (int layer = 0; slides && layer < m->dims.n_layers; layer++)
        slides[layer] = m->layer_kinds[layer] & SW_LAYER_SLIDING;
    if (slides)
        sw_config_foreign(config, slides, &warnings);
    const bool failed = !slides || warnings.failed;
    free(slides);
    m->warnings = warnings.text;
    return failed ? sw_fail(SW_ENOMEM, "no memory for warnings") : SW_OK;
}

/* What T5's kind of model has beside: buckets of positions, and a target's first id. */
static enum sw_status read_stacks(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    for (int layer = 0; layer < d->n_layers && d->n_encoder > 0; layer++)
        m->layer_kinds[layer] |= layer < d->n_encoder ? SW_LAYER_ENCODER : SW_LAYER_CROSS;
    SW_TRY(sw_config_int(config, SW_KEY_DECODER_START, 0, d->vocab - 1, &d->decoder_start));
    if (m->arch->position != SW_POS_BUCKETS)
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_BUCKETS, 4, 1 << 16, &d->n_buckets));
    SW_TRY(sw_config_int(config, SW_KEY_BUCKET_REACH, 2, 1 << 20, &d->bucket_reach));
    if (d->n_buckets % 4 != 0 || d->bucket_reach <= d->n_buckets / 2)
        return sw_fail(SW_EMODEL,
                       "%d position buckets that reach %d positions: the number must be a multiple "
                       "of 4, and less than twice the reach",
                       d->n_buckets, d->bucket_reach);
    return SW_OK;
}

static void read_gate(const struct sw_config *config, struct sw_arch *arch)
{
    const char *name = json_string_value(sw_config_find(config, SW_KEY_ACTIVATION));
    if (arch->gate_by_config)
        arch->gated = name && strncmp(name, "gated-", 6) == 0;
}

/* m->arch is set */
static enum sw_status config_read_config(const json_t *root, struct sw_model *m)
{
    struct sw_config config;
    sw_config_begin(&config, root, m->arch);
    SW_TRY(read_sizes(&config, &m->dims));
    m->layer_kinds = calloc((size_t)m->dims.n_layers, 1);
    if (!m->layer_kinds)
        return sw_fail(SW_ENOMEM, "no memory for %d layers", m->dims.n_layers);
    if (m->arch->position == SW_POS_ROPE)
        SW_TRY(read_rope(&config, &m->dims));
    SW_TRY(read_flags(&config, m));
    SW_TRY(read_stacks(&config, m));
    read_gate(&config, m->arch);
    SW_TRY(read_experts(&config, m));
    SW_TRY(check_layers(m));
    SW_TRY(read_window(&config, m));
    SW_TRY(read_types(root, m));
    SW_TRY(sw_model_list(m));
    return read_foreign(&config, m);
}

static enum sw_status config_find_arch(const json_t *root, const struct sw_arch **arch)
{
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (!json_is_object(root))
        return sw_fail(SW_EMODEL, "must be a JSON object");
    if (!type)
        return sw_fail(SW_EMODEL, "'model_type' is missing; is this a model's config.json?");
    *arch = sw_arch_find(type);
    return *arch ? SW_OK : unknown_family(type);
}

enum sw_status sw_model_make(const struct json_t *root, const struct sw_arch *arch,
                             struct sw_model **out)
{
    struct sw_model *m = calloc(1, sizeof *m);
    struct sw_arch *copy = malloc(sizeof *copy);
    *out = NULL;
    if (!m || !copy) {
        free(m);
        free(copy);
        return sw_fail(SW_ENOMEM, "no memory for a model");
    }
    *copy = *arch;
    m->arch = copy;
    const enum sw_status status = config_read_config(root, m);
    if (status != SW_OK) {
        sw_model_close(m);
        return status;
    }
    *out = m;
    return SW_OK;
}

enum sw_status sw_model_parse(const char *json, size_t length, const char *name,
                              struct sw_model **out)
{
    json_t *config = NULL;
    const struct sw_arch *arch;
    *out = NULL;
    enum sw_status status = sw_json_read(json, length, SW_JSON_MODEL, &config);
    if (status == SW_OK)
        status = config_find_arch(config, &arch);
    if (status == SW_OK)
        status = sw_model_make(config, arch, out);
    json_decref(config);
    if (status != SW_OK)
        sw_error_context("%s", name);
    return status;
}

enum sw_status sw_model_warn(struct sw_model *m, const char *format, ...)
{
    char line[1024], *all;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (asprintf(&all, "%s%s\n", m->warnings ? m->warnings : "", line) < 0)
        return sw_fail(SW_ENOMEM, "no memory for a warning");
    free(m->warnings);
    m->warnings = all;
    return SW_OK;
}

void sw_model_log_warnings(const struct sw_model *m)
{
    for (const char *line = m->warnings; line && *line;) {
        const size_t n = strcspn(line, "\n");
        sw_log(SW_LOG_WARN, "%.*s", (int)n, line);
        line += n + 1;
    }
}

void sw_model_close(struct sw_model *m)
{
    if (!m)
        return;
    free(m->layer_kinds);
    free(m->weights);
    free(m->first_weight);
    free(m->rope_divisors);
    free(m->warnings);
    free(m->arch);
    free(m);
}
