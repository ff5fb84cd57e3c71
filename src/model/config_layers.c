/* Owns reading in which properties the layers of a model differ: experts, windows, rope. */
#include "model/config_layers.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

/* ---- experts */

/* The layers that "mlp_only_layers" names, as far as there are such. */
static void layers_leave_dense(const struct sw_config *config, struct sw_model *m)
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

/* What "mlp_layer_types" says, layer by layer. */
static enum sw_status layers_read_mlps(const json_t *types, struct sw_model *m)
{
    for (int layer = 0; layer < m->dims.n_layers; layer++) {
        const char *type = json_string_value(json_array_get(types, (size_t)layer));
        const bool dense = type && strcmp(type, "dense") == 0;
        if (json_array_size(types) != (size_t)m->dims.n_layers ||
            (!dense && !(type && strcmp(type, "sparse") == 0)))
            return sw_fail(SW_EMODEL,
                           "'mlp_layer_types' must be a list with \"dense\" or \"sparse\" for each "
                           "of %d layers",
                           m->dims.n_layers);
        m->layer_kinds[layer] &= (unsigned char)~SW_LAYER_ROUTED;
        m->layer_kinds[layer] |= dense ? 0 : SW_LAYER_ROUTED;
    }
    return SW_OK;
}

/* Some models of a family have groups, and some say that they have, but choose from all. */
static enum sw_status layers_read_group_method(const struct sw_config *config, struct sw_dims *d)
{
    const char *name = config->arch->keys[SW_KEY_GROUP_METHOD].name;
    const json_t *value = sw_config_find(config, SW_KEY_GROUP_METHOD);
    const char *method = value ? json_string_value(value) : "greedy";
    if (!name)
        return SW_OK;
    if (method && strcmp(method, "group_limited_greedy") == 0)
        return sw_config_find(config, SW_KEY_GROUPS)
                   ? SW_OK
                   : sw_fail(SW_EMODEL, "'%s' is '%s', but '%s' is missing", name, method,
                             config->arch->keys[SW_KEY_GROUPS].name);
    if (!method || strcmp(method, "greedy") != 0)
        return sw_fail(SW_EMODEL, "'%s' is '%s', but must be greedy or group_limited_greedy", name,
                       method ? method : "(no text)");
    d->n_groups = d->n_groups_used = 1;
    return SW_OK;
}

/* All layers with experts, where a list names them. */
static void layers_leave_routed(const struct sw_config *config, struct sw_model *m)
{
    const json_t *routed = sw_config_find(config, SW_KEY_ROUTED_LAYERS), *item;
    size_t i;
    for (int layer = 0; json_is_array(routed) && layer < m->dims.n_layers; layer++)
        m->layer_kinds[layer] &= (unsigned char)~SW_LAYER_ROUTED;
    json_array_foreach((json_t *)(uintptr_t)routed, i, item)
    {
        int64_t layer;
        if (sw_json_integer(item, 0, m->dims.n_layers - 1, &layer))
            m->layer_kinds[layer] |= SW_LAYER_ROUTED;
    }
}

/* How experts are chosen and weighted, and the MLP beside them. */
static enum sw_status layers_read_routing(struct sw_config *config, struct sw_dims *d)
{
    int shared;
    SW_TRY(sw_config_float(config, SW_KEY_ROUTED_SCALE, 1e-9, 1e9, &d->routed_scale));
    SW_TRY(sw_config_int(config, SW_KEY_GROUPS, 1, d->n_experts, &d->n_groups));
    SW_TRY(sw_config_int(config, SW_KEY_GROUPS_USED, 1, d->n_groups, &d->n_groups_used));
    SW_TRY(layers_read_group_method(config, d));
    SW_TRY(sw_config_int(config, SW_KEY_SHARED, 0, 1 << 10, &shared));
    SW_TRY(sw_config_int(config, SW_KEY_SHARED_FFN, 1, 1 << 24, &d->shared_ffn));
    if (d->n_experts % d->n_groups != 0 || d->n_groups_used > d->n_groups ||
        d->n_experts / d->n_groups * d->n_groups_used < d->n_experts_used)
        return sw_fail(SW_EMODEL, "%d of %d groups of %d experts do not give %d", d->n_groups_used,
                       d->n_groups, d->n_experts, d->n_experts_used);
    if (d->shared_ffn == 0 && (int64_t)shared * d->expert_ffn > 1 << 24)
        return sw_fail(SW_EMODEL, "%d shared experts of %d are not possible", shared,
                       d->expert_ffn);
    if (d->shared_ffn == 0)
        d->shared_ffn = shared * d->expert_ffn;
    return SW_OK;
}

static enum sw_status layers_read_experts(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    bool on = true;
    int step, first, last;
    if (!sw_config_has(config, SW_KEY_EXPERTS))
        return SW_OK;
    if (sw_config_has(config, SW_KEY_EXPERTS_ON))
        SW_TRY(sw_config_flag(config, SW_KEY_EXPERTS_ON, &on));
    if (!on)
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_EXPERTS, 1, 4096, &d->n_experts));
    if (d->n_experts < 1)
        return sw_fail(SW_EMODEL, "'%s' is missing", config->arch->keys[SW_KEY_EXPERTS].name);
    SW_TRY(sw_config_int(config, SW_KEY_EXPERTS_USED, 1, d->n_experts, &d->n_experts_used));
    if (d->n_experts_used < 1)
        return sw_fail(SW_EMODEL, "'%s' is missing", config->arch->keys[SW_KEY_EXPERTS_USED].name);
    SW_TRY(sw_config_int(config, SW_KEY_EXPERT_FFN, 1, 1 << 24, &d->expert_ffn));
    SW_TRY(sw_config_int(config, SW_KEY_SPARSE_STEP, 1, 1 << 20, &step));
    SW_TRY(sw_config_flag(config, SW_KEY_NORM_TOPK, &d->norm_topk));
    if (d->n_experts_used > d->n_experts)
        return sw_fail(SW_EMODEL, "%d experts are used of %d", d->n_experts_used, d->n_experts);
    if (d->expert_ffn == 0)
        d->expert_ffn = d->ffn;
    config->values[SW_KEY_EXPERT_FFN] = d->expert_ffn;
    SW_TRY(sw_config_int(config, SW_KEY_FIRST_ROUTED, 0, 1 << 30, &first));
    SW_TRY(sw_config_int(config, SW_KEY_LAST_ROUTED, -1, 1 << 30, &last));
    for (int layer = first; layer < d->n_layers; layer++)
        if ((layer + 1) % step == 0 && (last <= 0 || layer <= last))
            m->layer_kinds[layer] |= SW_LAYER_ROUTED;
    layers_leave_dense(config, m);
    if (sw_config_find(config, SW_KEY_MLP_TYPES))
        SW_TRY(layers_read_mlps(sw_config_find(config, SW_KEY_MLP_TYPES), m));
    layers_leave_routed(config, m);
    return layers_read_routing(config, d);
}

/* ---- windows */

/* Whether an element of "layer_types" says that the layer slides; GGUF has true and false there. */
static bool layers_is_type(const json_t *item, const char *type)
{
    const char *text = json_string_value(item);
    const bool slides = strcmp(type, "full_attention") != 0;
    return text ? strcmp(text, type) == 0 : json_is_boolean(item) && json_is_true(item) == slides;
}

/* What "layer_types" says, layer by layer. */
static enum sw_status layers_read_types(const json_t *types, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    if (json_array_size(types) != (size_t)d->n_layers)
        return sw_fail(SW_EMODEL,
                       "'layer_types' must be a list with one text for each of %d layers",
                       d->n_layers);
    for (int layer = 0; layer < d->n_layers; layer++) {
        const json_t *item = json_array_get(types, (size_t)layer);
        const char *type = json_string_value(item);
        const char *local = d->chunked ? "chunked_attention" : "sliding_attention";
        const bool slides = layers_is_type(item, local);
        if (d->delta.window > 0 && layers_is_type(item, "linear_attention")) {
            m->layer_kinds[layer] |= SW_LAYER_DELTA;
            continue;
        }
        if (!slides && !layers_is_type(item, "full_attention"))
            return sw_fail(SW_EMODEL,
                           "'layer_types' says '%s' of layer %d; full_attention and "
                           "%s are supported",
                           type ? type : "(no text)", layer,
                           d->delta.window > 0 ? "linear_attention" : local);
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

/* A number, or a text with a letter for each layer of a round: "LLLG", the last without a window.
 */
static enum sw_status layers_read_step(struct sw_config *config, int *step)
{
    const char *round = json_string_value(sw_config_find(config, SW_KEY_WINDOW_STEP));
    if (!round)
        return sw_config_int(config, SW_KEY_WINDOW_STEP, 1, 1 << 30, step);
    const size_t n = strlen(round);
    if (n == 0 || n > 1024 || strspn(round, "L") != n - 1 || round[n - 1] != 'G')
        return sw_fail(SW_EMODEL,
                       "'%s' is '%s', but must be a number, or L for each layer with a window and "
                       "then G for the one without",
                       config->arch->keys[SW_KEY_WINDOW_STEP].name, round);
    *step = (int)n;
    config->values[SW_KEY_WINDOW_STEP] = *step;
    return SW_OK;
}

static enum sw_status layers_read_window(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    bool used = true;
    int from, step;
    const json_t *types = sw_config_find(config, SW_KEY_LAYER_TYPES);
    SW_TRY(sw_config_int(config, SW_KEY_WINDOW, 0, 1 << 30, &d->window));
    d->chunked = config->arch->chunked;
    if (sw_config_has(config, SW_KEY_WINDOW_ON))
        SW_TRY(sw_config_flag(config, SW_KEY_WINDOW_ON, &used));
    SW_TRY(sw_config_int(config, SW_KEY_WINDOW_FROM, 0, 1 << 30, &from));
    SW_TRY(layers_read_step(config, &step));
    if (!used)
        d->window = 0;
    config->values[SW_KEY_WINDOW] = d->window;
    config->values[SW_KEY_WINDOW_ON] = d->window > 0;
    if (types)
        return layers_read_types(types, m);
    if (d->window > 0 && config->arch->keys[SW_KEY_WINDOW_ON].name &&
        config->arch->keys[SW_KEY_NO_ROPE_STEP].name) /* only those without rope would slide */
        return sw_fail(SW_EMODEL, "'%s' without 'layer_types' is not supported by %s",
                       config->arch->keys[SW_KEY_WINDOW_ON].name, config->arch->title);
    for (int layer = from; layer < d->n_layers && d->window > 0 && !d->chunked; layer++)
        if (step == 0 || (layer + 1) % step != 0)
            m->layer_kinds[layer] |= SW_LAYER_SLIDING;
    return SW_OK;
}

/* Whether what an object says of single layers' heads is what layers without a window have, and
 * those with one have as all. */
static enum sw_status layers_check_heads(const struct sw_config *config, const struct sw_model *m)
{
    const struct sw_arch_key *keys = config->arch->keys;
    const json_t *all = sw_config_find(config, SW_KEY_LAYER_HEADS);
    for (int layer = 0; all && layer < m->dims.n_layers; layer++) {
        char name[16];
        const struct sw_head_dims here = sw_model_heads(m, layer);
        snprintf(name, sizeof name, "%d", layer);
        const json_t *heads = json_object_get(all, name);
        const json_t *dim = json_object_get(heads, keys[SW_KEY_HEAD_DIM].name);
        const json_t *n_kv = json_object_get(heads, keys[SW_KEY_KV_HEADS].name);
        int64_t is_dim = m->dims.head_dim, is_n_kv = m->dims.n_kv_heads;
        if ((dim && !sw_json_integer(dim, 1, 1 << 14, &is_dim)) ||
            (n_kv && !sw_json_integer(n_kv, 1, 1 << 14, &is_n_kv)) || is_dim != here.dim ||
            is_n_kv != here.n_kv)
            return sw_fail(SW_EMODEL,
                           "'%s' gives layer %d %lld key/value heads of %lld, where %d of %d were "
                           "expected, as others of its kind have",
                           keys[SW_KEY_LAYER_HEADS].name, layer, (long long)is_n_kv,
                           (long long)is_dim, here.n_kv, here.dim);
    }
    return SW_OK;
}

/* ---- what rows have aside */

/* Layers that take keys and values of earlier ones. */
static enum sw_status layers_read_borrowers(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    const char *name = config->arch->keys[SW_KEY_SHARED_KV].name;
    bool wide;
    SW_TRY(sw_config_int(config, SW_KEY_SHARED_KV, 0, d->n_layers, &d->borrowers));
    SW_TRY(sw_config_flag(config, SW_KEY_WIDE_BORROWERS, &wide));
    if (wide && d->ffn > 1 << 23)
        return sw_fail(SW_EMODEL, "an MLP of twice %d is not possible", d->ffn);
    d->borrower_ffn = wide ? 2 * d->ffn : d->ffn;
    for (int layer = d->n_layers - d->borrowers; layer < d->n_layers; layer++) {
        const bool slides = m->layer_kinds[layer] & SW_LAYER_SLIDING;
        if (sw_model_lender(m, slides) < 0)
            return sw_fail(SW_EMODEL,
                           "'%s' is %d, but no layer before these is of the kind of layer %d", name,
                           d->borrowers, layer);
        m->layer_kinds[layer] |= SW_LAYER_BORROWS;
    }
    if (d->borrowers > 0 && d->qkv_bias)
        return sw_fail(SW_EMODEL, "'%s' is %d, which is not supported with biases of keys", name,
                       d->borrowers);
    return SW_OK;
}

static enum sw_status layers_read_inputs(struct sw_config *config, struct sw_dims *d)
{
    int vocab;
    SW_TRY(sw_config_int(config, SW_KEY_LAYER_INPUTS, 0, 1 << 16, &d->input_dim));
    if (d->input_dim == 0 || !sw_config_has(config, SW_KEY_INPUT_VOCAB))
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_INPUT_VOCAB, 1, 1 << 28, &vocab));
    return vocab == d->vocab
               ? SW_OK
               : sw_fail(SW_EMODEL, "'%s' is %d, which is not supported; it must be %d, as '%s'",
                         config->arch->keys[SW_KEY_INPUT_VOCAB].name, vocab, d->vocab,
                         config->arch->keys[SW_KEY_VOCAB].name);
}

/* ---- gated delta nets */

static enum sw_status layers_read_delta(struct sw_config *config, struct sw_model *m)
{
    struct sw_delta_dims *d = &m->dims.delta;
    int step, window;
    if (!sw_config_has(config, SW_KEY_DELTA_WINDOW))
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_DELTA_K_HEADS, 1, 1 << 12, &d->k_heads));
    SW_TRY(sw_config_int(config, SW_KEY_DELTA_V_HEADS, 1, 1 << 12, &d->v_heads));
    SW_TRY(sw_config_int(config, SW_KEY_DELTA_K_DIM, 1, SW_DELTA_DIM, &d->k_dim));
    SW_TRY(sw_config_int(config, SW_KEY_DELTA_V_DIM, 1, SW_DELTA_DIM, &d->v_dim));
    SW_TRY(sw_config_int(config, SW_KEY_DELTA_WINDOW, 2, SW_DELTA_WINDOW, &window));
    d->window = (int16_t)window;
    SW_TRY(sw_config_int(config, SW_KEY_FULL_STEP, 1, 1 << 30, &step));
    d->turns = m->arch->delta_turns;
    if (d->v_heads % d->k_heads != 0)
        return sw_fail(SW_EMODEL, "%d value heads do not share %d key heads evenly", d->v_heads,
                       d->k_heads);
    for (int layer = 0; layer < m->dims.n_layers; layer++)
        if (!sw_config_find(config, SW_KEY_LAYER_TYPES) && (layer + 1) % step != 0)
            m->layer_kinds[layer] |= SW_LAYER_DELTA;
    return SW_OK;
}

/* ---- rope */

static enum sw_status layers_read_rope_list(const json_t *list, struct sw_model *m)
{
    if (json_array_size(list) != (size_t)m->dims.n_layers)
        return sw_fail(SW_EMODEL,
                       "'no_rope_layers' must be a list with 0 or 1 for each of %d layers",
                       m->dims.n_layers);
    for (int layer = 0; layer < m->dims.n_layers; layer++) {
        int64_t has = 1;
        if (!sw_json_integer(json_array_get(list, (size_t)layer), 0, 1, &has))
            return sw_fail(SW_EMODEL, "'no_rope_layers' has no 0 or 1 for layer %d", layer);
        m->layer_kinds[layer] |= has ? 0 : SW_LAYER_NO_ROPE;
    }
    return SW_OK;
}

static enum sw_status layers_read_rope(struct sw_config *config, struct sw_model *m)
{
    const struct sw_dims *d = &m->dims;
    const json_t *list = sw_config_find(config, SW_KEY_ROPE_LAYERS);
    int step;
    SW_TRY(sw_config_int(config, SW_KEY_NO_ROPE_STEP, 1, 1 << 30, &step));
    if (json_array_size(list) > 0)
        return layers_read_rope_list(list, m);
    for (int layer = 0; layer < d->n_layers; layer++) {
        const bool slides = m->layer_kinds[layer] & SW_LAYER_SLIDING;
        if ((step > 0 && (layer + 1) % step == 0) ||
            (config->arch->window_rope && d->window > 0 && !slides))
            m->layer_kinds[layer] |= SW_LAYER_NO_ROPE;
    }
    return SW_OK;
}

enum sw_status sw_config_layers(struct sw_config *config, struct sw_model *m)
{
    SW_TRY(layers_read_experts(config, m));
    for (int layer = 0; layer < m->dims.n_layers; layer++)
        if (!m->arch->names.up && !(m->layer_kinds[layer] & SW_LAYER_ROUTED))
            return sw_fail(SW_EMODEL, "layer %d would have no experts; %s has them in every layer",
                           layer, m->arch->title);
    for (int layer = 0; layer < m->dims.n_layers && m->dims.latent.kv; layer++)
        m->layer_kinds[layer] |= SW_LAYER_LATENT;
    SW_TRY(layers_read_delta(config, m));
    SW_TRY(layers_read_window(config, m));
    if (m->arch->last_whole)
        m->layer_kinds[m->dims.n_layers - 1] &= (unsigned char)~SW_LAYER_SLIDING;
    SW_TRY(layers_check_heads(config, m));
    SW_TRY(layers_read_borrowers(config, m));
    SW_TRY(layers_read_inputs(config, &m->dims));
    SW_TRY(layers_read_rope(config, m));
    if (sw_config_find(config, SW_KEY_LAYER_TYPES))
        return SW_OK;
    for (int layer = 0; layer < m->dims.n_layers && m->dims.chunked && m->dims.window > 0; layer++)
        if (!(m->layer_kinds[layer] & SW_LAYER_NO_ROPE))
            m->layer_kinds[layer] |= SW_LAYER_SLIDING;
    return SW_OK;
}
