/*
 * Owns config.json → dimensions. Which keys there are, and what counts where one is absent, is the
 * row's (families.c); null mostly counts as absent.
 */
#include "base/checked.h"
#include "base/json.h"
#include "base/log.h"
#include "model/config_keys.h"
#include "model/config_layers.h"
#include "model/config_rope.h"
#include "model/model.h"
#include "model/unknown_family.h"
#include "tensor/format.h"

#include <math.h>
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

/* All heads share one, of a latent and what has rope of a key. */
static enum sw_status read_latent(struct sw_config *config, struct sw_dims *d)
{
    struct sw_latent_dims *latent = &d->latent;
    SW_TRY(sw_config_int(config, SW_KEY_LATENT, 1, 1 << 14, &latent->kv));
    SW_TRY(sw_config_int(config, SW_KEY_LATENT_Q, 1, 1 << 14, &latent->q));
    SW_TRY(sw_config_int(config, SW_KEY_LATENT_PLAIN, 1, 1 << 14, &latent->plain));
    SW_TRY(sw_config_int(config, SW_KEY_LATENT_OUT, 1, 1 << 14, &latent->out));
    SW_TRY(sw_config_int(config, SW_KEY_ROTARY_DIM, 2, 1 << 14, &d->rotary_dim));
    if (d->n_kv_heads != 0 && d->n_kv_heads != d->n_heads)
        return sw_fail(SW_EMODEL, "'%s' is %d, but must be as '%s', %d",
                       config->arch->keys[SW_KEY_KV_HEADS].name, d->n_kv_heads,
                       config->arch->keys[SW_KEY_HEADS].name, d->n_heads);
    d->n_kv_heads = 1;
    d->head_dim = latent->kv + d->rotary_dim;
    const int64_t largest = sw_max_i64(d->head_dim, (int64_t)latent->plain + d->rotary_dim);
    if (d->n_heads * sw_max_i64(largest, latent->out) > 1 << 24)
        return sw_fail(SW_EMODEL, "%d heads of %lld are not possible", d->n_heads,
                       (long long)largest);
    return SW_OK;
}

static enum sw_status read_heads(struct sw_config *config, struct sw_dims *d)
{
    bool one, grouped;
    SW_TRY(sw_config_int(config, SW_KEY_HEADS, 1, 1 << 14, &d->n_heads));
    SW_TRY(sw_config_int(config, SW_KEY_KV_HEADS, 1, 1 << 14, &d->n_kv_heads));
    if (sw_config_has(config, SW_KEY_LATENT))
        return read_latent(config, d);
    SW_TRY(sw_config_flag(config, SW_KEY_MULTI_QUERY, &one));
    SW_TRY(sw_config_flag(config, SW_KEY_GROUPED, &grouped));
    if (one && !grouped)
        d->n_kv_heads = 1;
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

/* What an object says of layers without a window, in the words of transformers 5: for each of them
 * the same, and nothing of others, as check_layer_heads sees to. */
static enum sw_status read_layer_heads(const struct sw_config *config, struct sw_head_dims *whole)
{
    const struct sw_arch_key *keys = config->arch->keys;
    const char *layer;
    json_t *heads, *all = (json_t *)(uintptr_t)sw_config_find(config, SW_KEY_LAYER_HEADS);
    json_object_foreach(all, layer, heads)
    {
        double dim = config->values[SW_KEY_HEAD_DIM], n_kv = config->values[SW_KEY_KV_HEADS];
        if (json_object_get(heads, keys[SW_KEY_HEAD_DIM].name))
            SW_TRY(sw_config_member(heads, keys[SW_KEY_HEAD_DIM].name, 1, 1 << 14, true, &dim));
        if (json_object_get(heads, keys[SW_KEY_KV_HEADS].name))
            SW_TRY(sw_config_member(heads, keys[SW_KEY_KV_HEADS].name, 1, 1 << 14, true, &n_kv));
        whole->dim = (int)dim;
        whole->n_kv = (int)n_kv;
    }
    return SW_OK;
}

/* The heads of layers without a window. */
static enum sw_status read_whole_heads(struct sw_config *config, struct sw_dims *d)
{
    struct sw_head_dims *whole = &d->whole;
    int dim, n_kv;
    *whole = (struct sw_head_dims){.n_kv = d->n_kv_heads, .dim = d->head_dim};
    SW_TRY(sw_config_int(config, SW_KEY_WHOLE_HEAD_DIM, 1, 1 << 14, &dim));
    SW_TRY(sw_config_int(config, SW_KEY_WHOLE_KV_HEADS, 1, 1 << 14, &n_kv));
    SW_TRY(sw_config_flag(config, SW_KEY_KEYS_AS_VALUES, &whole->keys_as_values));
    if (sw_config_find(config, SW_KEY_LAYER_HEADS))
        SW_TRY(read_layer_heads(config, whole));
    else {
        whole->dim = dim ? dim : whole->dim;
        whole->n_kv = n_kv && whole->keys_as_values ? n_kv : whole->n_kv;
    }
    if (d->n_heads % whole->n_kv != 0)
        return sw_fail(SW_EMODEL, "%d attention heads do not share %d key/value heads evenly",
                       d->n_heads, whole->n_kv);
    if ((int64_t)d->n_heads * whole->dim > 1 << 24)
        return sw_fail(SW_EMODEL, "%d heads of %d are not possible", d->n_heads, whole->dim);
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
    SW_TRY(read_whole_heads(config, d));
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

static enum sw_status read_biases(struct sw_config *config, struct sw_dims *d)
{
    bool linear;
    SW_TRY(sw_config_flag(config, SW_KEY_QKV_BIAS, &d->qkv_bias));
    SW_TRY(sw_config_flag(config, SW_KEY_MLP_BIAS, &d->mlp_bias));
    SW_TRY(sw_config_flag(config, SW_KEY_LINEAR_BIAS, &linear));
    d->out_bias = sw_config_has(config, SW_KEY_QKV_BIAS) ? d->qkv_bias : config->arch->out_bias;
    if (sw_config_has(config, SW_KEY_OUT_BIAS))
        SW_TRY(sw_config_flag(config, SW_KEY_OUT_BIAS, &d->out_bias));
    if (config->arch->no_out_bias)
        d->out_bias = false;
    if (d->qkv_bias && d->latent.kv && !d->latent.q) /* of the latents alone, not of queries */
        return sw_fail(SW_EMODEL, "'%s' is true, which is not supported without '%s'",
                       config->arch->keys[SW_KEY_QKV_BIAS].name,
                       config->arch->keys[SW_KEY_LATENT_Q].name);
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

/* Rows see those behind them in no model here; in some only those of an image do. */
static enum sw_status refuse_bidirectional(struct sw_config *config)
{
    const json_t *value = sw_config_find(config, SW_KEY_BIDIRECTIONAL);
    const char *name = config->arch->keys[SW_KEY_BIDIRECTIONAL].name;
    const char *text = json_string_value(value);
    bool both = false;
    if (text && strcmp(text, "vision") == 0)
        return SW_OK;
    if (!text)
        SW_TRY(sw_config_flag(config, SW_KEY_BIDIRECTIONAL, &both));
    return !text && !both ? SW_OK
                          : sw_fail(SW_EMODEL, "'%s' is %s, which is not supported", name,
                                    text ? text : "true");
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
    SW_TRY(refuse_bidirectional(config));
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

/* Some of a family's models have branches side by side, with one norm or two. */
static enum sw_status read_branches(struct sw_config *config, struct sw_model *m)
{
    struct sw_names *names = &m->arch->names;
    bool grouped;
    int norms;
    if (!names->attn_norm_aside)
        return SW_OK;
    SW_TRY(sw_config_flag(config, SW_KEY_GROUPED, &grouped));
    SW_TRY(sw_config_int(config, SW_KEY_BRANCH_NORMS, 1, 2, &norms));
    if (!grouped && m->dims.residual == SW_RES_SEQUENTIAL)
        return SW_OK;
    const bool two = grouped && norms != 1;
    m->dims.residual = two ? SW_RES_PARALLEL : SW_RES_PARALLEL_ONE;
    names->attn_norm = two ? names->attn_norm_aside : names->attn_norm;
    names->mlp_norm = two ? names->mlp_norm_aside : NULL;
    return SW_OK;
}

/* Some have other positions than the row says. */
static enum sw_status read_position(struct sw_config *config, struct sw_model *m)
{
    bool alibi;
    SW_TRY(sw_config_flag(config, SW_KEY_ALIBI, &alibi));
    if (!alibi)
        return SW_OK;
    m->arch->position = SW_POS_ALIBI;
    m->dims.context = 0;
    return SW_OK;
}

/* Some families have the norms of queries and keys in some of their models only. */
static enum sw_status read_qk_norm(struct sw_config *config, struct sw_arch *arch)
{
    bool has;
    if (!sw_config_has(config, SW_KEY_QK_NORM))
        return SW_OK;
    SW_TRY(sw_config_flag(config, SW_KEY_QK_NORM, &has));
    if (has && !arch->names.q_norm && !arch->qk_norm_plain)
        return sw_fail(SW_EMODEL, "'%s' is true, which is not supported of %s",
                       arch->keys[SW_KEY_QK_NORM].name, arch->title);
    if (!has)
        arch->names.q_norm = arch->names.k_norm = NULL;
    arch->qk_norm_plain = has && arch->qk_norm_plain;
    return SW_OK;
}

/* Factors and caps of embeddings, scores, branches and logits. */
static enum sw_status read_scales(struct sw_config *config, struct sw_dims *d)
{
    const double most = 1e9;
    float scalar, divisor;
    SW_TRY(sw_config_float(config, SW_KEY_SCORE_SCALE, 1e-9, most, &d->score_scale));
    SW_TRY(sw_config_float(config, SW_KEY_QUERY_SCALAR, 1e-9, most, &scalar));
    SW_TRY(sw_config_float(config, SW_KEY_SCORE_CAP, 1e-9, most, &d->score_cap));
    SW_TRY(sw_config_float(config, SW_KEY_EMBED_SCALE, 1e-9, most, &d->embed_scale));
    SW_TRY(sw_config_float(config, SW_KEY_RESIDUAL_SCALE, 1e-9, most, &d->residual_scale));
    SW_TRY(sw_config_float(config, SW_KEY_LOGIT_SCALE, 1e-9, most, &d->logit_scale));
    SW_TRY(sw_config_float(config, SW_KEY_LOGIT_DIVISOR, 1e-9, most, &divisor));
    SW_TRY(sw_config_float(config, SW_KEY_LOGIT_CAP, 1e-9, most, &d->logit_cap));
    const int width = d->latent.kv ? d->latent.plain + d->rotary_dim : d->head_dim;
    if (d->score_scale == 0)
        d->score_scale = 1.0f / sqrtf(scalar > 0 ? scalar : (float)width);
    if (d->latent.kv && d->rope[0].sharpness > 0)
        d->score_scale *= d->rope[0].sharpness;
    if (config->arch->plain_scores)
        d->score_scale = 1;
    if (config->arch->root_embedding)
        d->embed_scale = sqrtf((float)d->hidden);
    d->logit_scale /= divisor;
    if (config->arch->tied_scale && d->tied)
        d->logit_scale /= sqrtf((float)d->hidden);
    return SW_OK;
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
    SW_TRY(read_position(&config, m));
    if (sw_config_has(&config, SW_KEY_INTERLEAVED))
        SW_TRY(sw_config_flag(&config, SW_KEY_INTERLEAVED, &m->arch->rope_interleaved));
    if (m->arch->position == SW_POS_ROPE)
        SW_TRY(sw_config_rope(&config, m));
    SW_TRY(read_flags(&config, m));
    SW_TRY(read_branches(&config, m));
    SW_TRY(read_stacks(&config, m));
    read_gate(&config, m->arch);
    SW_TRY(read_scales(&config, &m->dims));
    SW_TRY(read_qk_norm(&config, m->arch));
    SW_TRY(sw_config_layers(&config, m));
    SW_TRY(read_types(root, m));
    SW_TRY(sw_model_list(m));
    return read_foreign(&config, m);
}

/*
 * The object that the keys are in: of a model that also sees or hears, the part for text, with what
 * only the outer object says. A new reference; NULL: no memory, or the root is no object.
 */
static json_t *config_text_part(json_t *root)
{
    static const char *const outer[] = {"torch_dtype", "dtype", "tie_word_embeddings"};
    json_t *inner = json_object_get(root, "text_config");
    const char *type = json_string_value(json_object_get(inner, "model_type"));
    const char *whole = json_string_value(json_object_get(root, "model_type"));
    if (!type || (whole && sw_arch_find(whole)))
        return json_incref(root);
    json_t *part = json_copy(inner);
    for (size_t i = 0; part && i < sizeof outer / sizeof outer[0]; i++) {
        json_t *value = json_object_get(root, outer[i]);
        if (value && !json_object_get(part, outer[i]))
            json_object_set(part, outer[i], value);
    }
    return part;
}

static enum sw_status config_find_arch(const json_t *root, const struct sw_arch **arch)
{
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (!json_is_object(root))
        return sw_fail(SW_EMODEL, "must be a JSON object");
    if (!type)
        return sw_fail(SW_EMODEL, "'model_type' is missing; is this a model's config.json?");
    *arch = sw_arch_find(type);
    return *arch ? SW_OK : sw_family_unknown(root, type);
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
    json_t *config = NULL, *part = NULL;
    const struct sw_arch *arch;
    *out = NULL;
    enum sw_status status = sw_json_read(json, length, SW_JSON_MODEL, &config);
    if (status == SW_OK && !(part = config_text_part(config)))
        status = sw_fail(SW_ENOMEM, "no memory for the part for text");
    if (status == SW_OK)
        status = config_find_arch(part, &arch);
    if (status == SW_OK)
        status = sw_model_make(part, arch, out);
    json_decref(part);
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
    free(m->rope_long_divisors);
    free(m->warnings);
    free(m->arch);
    free(m);
}
