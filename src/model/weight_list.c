/* Owns the list of a model's weights: their shapes, and the tensors they are stacked from. */
#include "model/model.h"

#include <stdlib.h>

static const char *const weight_names[SW_W_COUNT] = {
    [SW_W_EMBED] = "embedding",
    [SW_W_POSITIONS] = "position embedding",
    [SW_W_EMBED_NORM] = "embedding norm",
    [SW_W_EMBED_NORM_BIAS] = "embedding norm bias",
    [SW_W_PROJECT_IN] = "input projection",
    [SW_W_FINAL_NORM] = "final norm",
    [SW_W_FINAL_NORM_BIAS] = "final norm bias",
    [SW_W_PROJECT_OUT] = "output projection",
    [SW_W_HEAD] = "head",
    [SW_W_HEAD_BIAS] = "head bias",
    [SW_W_INPUT_TABLE] = "layer inputs",
    [SW_W_INPUT_PROJECT] = "layer inputs projection",
    [SW_W_INPUT_PROJECT_NORM] = "layer inputs norm",
    [SW_W_ATTN_NORM] = "attention norm",
    [SW_W_ATTN_NORM_BIAS] = "attention norm bias",
    [SW_W_QKV] = "attention qkv",
    [SW_W_QKV_BIAS] = "attention qkv bias",
    [SW_W_Q_NORM] = "query norm",
    [SW_W_K_NORM] = "key norm",
    [SW_W_OUT] = "attention output",
    [SW_W_OUT_BIAS] = "attention output bias",
    [SW_W_ATTN_POST_NORM] = "attention post norm",
    [SW_W_LAYER_SCALE] = "layer scale",
    [SW_W_INPUT_GATE] = "layer input gate",
    [SW_W_INPUT_OUT] = "layer input output",
    [SW_W_INPUT_NORM] = "layer input norm",
    [SW_W_MLP_NORM] = "mlp norm",
    [SW_W_MLP_NORM_BIAS] = "mlp norm bias",
    [SW_W_DENSE_POST_NORM] = "mlp own post norm",
    [SW_W_EXPERT_NORM] = "expert norm",
    [SW_W_EXPERT_POST_NORM] = "expert post norm",
    [SW_W_ROUTER_NORM] = "expert router norm",
    [SW_W_ROUTER_SHARES] = "expert router factors",
    [SW_W_SINKS] = "attention sinks",
    [SW_W_ROUTER] = "expert router",
    [SW_W_ROUTER_BIAS] = "expert router bias",
    [SW_W_ROUTER_CORRECTION] = "expert router correction",
    [SW_W_EXPERT_UP_BIAS] = "expert up bias",
    [SW_W_EXPERT_DOWN_BIAS] = "expert down bias",
    [SW_W_SHARED_ROUTER] = "shared expert router",
    [SW_W_SHARED_UP] = "shared expert up",
    [SW_W_SHARED_DOWN] = "shared expert down",
    [SW_W_UP] = "mlp up",
    [SW_W_UP_BIAS] = "mlp up bias",
    [SW_W_DOWN] = "mlp down",
    [SW_W_DOWN_BIAS] = "mlp down bias",
    [SW_W_MLP_POST_NORM] = "mlp post norm",
    [SW_W_DELTA_GATES] = "delta net gates",
    [SW_W_DELTA_CONV] = "delta net convolution",
    [SW_W_DELTA_DECAY] = "delta net decay",
    [SW_W_DELTA_DT] = "delta net time step",
    [SW_W_DELTA_NORM] = "delta net norm",
    [SW_W_BUCKETS] = "position buckets",
    [SW_W_CROSS_NORM] = "cross-attention norm",
    [SW_W_CROSS_Q] = "cross-attention q",
    [SW_W_CROSS_KV] = "cross-attention kv",
    [SW_W_CROSS_OUT] = "cross-attention output",
    [SW_W_MEMORY_NORM] = "encoder norm",
    [SW_W_Q_UP] = "attention query up",
    [SW_W_K_UP] = "attention key up",
    [SW_W_V_UP] = "attention value up",
};

const char *sw_weight_name(enum sw_weight id)
{
    return id >= 0 && id < SW_W_COUNT ? weight_names[id] : "?";
}

/* The bias that belongs to a weight; 0 (the embedding, which is none): it has none. */
static const enum sw_weight biases[SW_W_COUNT] = {
    [SW_W_EMBED_NORM] = SW_W_EMBED_NORM_BIAS,
    [SW_W_FINAL_NORM] = SW_W_FINAL_NORM_BIAS,
    [SW_W_HEAD] = SW_W_HEAD_BIAS,
    [SW_W_ATTN_NORM] = SW_W_ATTN_NORM_BIAS,
    [SW_W_QKV] = SW_W_QKV_BIAS,
    [SW_W_OUT] = SW_W_OUT_BIAS,
    [SW_W_MLP_NORM] = SW_W_MLP_NORM_BIAS,
    [SW_W_ROUTER] = SW_W_ROUTER_BIAS,
    [SW_W_UP] = SW_W_UP_BIAS,
    [SW_W_DOWN] = SW_W_DOWN_BIAS,
};

enum sw_weight sw_weight_bias(enum sw_weight id)
{
    return biases[id] ? biases[id] : SW_W_COUNT;
}

/* The list under construction. */
struct list {
    const struct sw_model *model;
    struct sw_weight_spec *specs;
    size_t count, capacity;
    int layer;
    enum sw_weight_part part;
    bool failed;
};

static struct sw_weight_spec *list_append(struct list *l, enum sw_weight id, int expert,
                                          int64_t rows, int64_t cols)
{
    if (l->count == l->capacity) {
        const size_t capacity = l->capacity ? 2 * l->capacity : 64;
        struct sw_weight_spec *specs = realloc(l->specs, capacity * sizeof *specs);
        if (!specs) {
            l->failed = true;
            return NULL;
        }
        l->specs = specs;
        l->capacity = capacity;
    }
    struct sw_weight_spec *spec = &l->specs[l->count++];
    *spec = (struct sw_weight_spec){.id = id,
                                    .part = l->part,
                                    .layer = l->layer,
                                    .named = l->layer,
                                    .expert = expert,
                                    .index = -1,
                                    .is_matrix = cols > 0,
                                    .rows = rows,
                                    .cols = cols > 0 ? cols : 1};
    return spec;
}

/* Adds the tensor as the next rows of the spec. */
static void list_source(const struct list *l, struct sw_weight_spec *spec, const char *pattern,
                        const char *suffix, int64_t rows)
{
    if (spec)
        spec->sources[spec->n_sources++] =
            (struct sw_weight_source){.pattern = pattern,
                                      .suffix = suffix,
                                      .rows = rows,
                                      .transposed = l->model->arch->conv1d && spec->is_matrix};
}

/* A matrix of one tensor. */
static void list_matrix(struct list *l, enum sw_weight id, const char *pattern, int64_t rows,
                        int64_t cols)
{
    list_source(l, list_append(l, id, -1, rows, cols), pattern, ".weight", rows);
}

/* A table with a row for each id, position, …: no family has it transposed. */
static void list_table(struct list *l, enum sw_weight id, const char *pattern, int64_t rows,
                       int64_t cols)
{
    struct sw_weight_spec *spec = list_append(l, id, -1, rows, cols);
    list_source(l, spec, pattern, ".weight", rows);
    if (spec)
        spec->sources[0].transposed = false;
}

static struct sw_weight_spec *list_vector(struct list *l, enum sw_weight id, const char *pattern,
                                          const char *suffix, int64_t rows)
{
    struct sw_weight_spec *spec = list_append(l, id, -1, rows, 0);
    list_source(l, spec, pattern, suffix, rows);
    return spec;
}

/* A norm's weight and, for LayerNorm, its bias. */
static void list_norm(struct list *l, enum sw_weight id, const char *pattern, int64_t rows)
{
    struct sw_weight_spec *spec = list_vector(l, id, pattern, ".weight", rows);
    if (spec) {
        spec->is_norm = true;
        spec->change = l->model->arch->norm_plus_one ? SW_CHANGE_PLUS_ONE : SW_CHANGE_NONE;
    }
    if (l->model->arch->norm == SW_NORM_LAYER && biases[id] && !l->model->arch->norm_no_bias)
        list_vector(l, biases[id], pattern, ".bias", rows);
}

/* What comes before the layers. */
static void list_embedding(struct list *l)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_names *n = &l->model->arch->names;
    l->part = SW_PART_EMBED;
    list_table(l, SW_W_EMBED, n->embed, d->vocab, d->embed_dim);
    if (n->positions)
        list_table(l, SW_W_POSITIONS, n->positions,
                   (int64_t)d->context + l->model->arch->position_offset, d->hidden);
    if (n->embed_norm)
        list_norm(l, SW_W_EMBED_NORM, n->embed_norm, d->hidden);
    if (n->project_in && d->embed_dim != d->hidden)
        list_matrix(l, SW_W_PROJECT_IN, n->project_in, d->hidden, d->embed_dim);
    if (d->input_dim == 0)
        return;
    const int64_t inputs = (int64_t)d->n_layers * d->input_dim;
    list_table(l, SW_W_INPUT_TABLE, n->input_table, d->vocab, inputs);
    list_matrix(l, SW_W_INPUT_PROJECT, n->input_project, inputs, d->hidden);
    list_norm(l, SW_W_INPUT_PROJECT_NORM, n->input_project_norm, d->input_dim);
}

/* What comes behind them. */
static void list_head(struct list *l)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_names *n = &l->model->arch->names;
    l->part = SW_PART_HEAD;
    if (d->final_norm)
        list_norm(l, SW_W_FINAL_NORM, n->final_norm, d->hidden);
    if (n->project_in && d->embed_dim != d->hidden)
        list_matrix(l, SW_W_PROJECT_OUT, n->project_out, d->embed_dim, d->hidden);
    list_table(l, SW_W_HEAD, n->head, d->vocab, d->embed_dim);
    if (d->head_bias)
        list_vector(l, SW_W_HEAD_BIAS, n->head, ".bias", d->vocab);
}

/* A linear matrix of a layer, or its bias. */
static struct sw_weight_spec *list_linear(struct list *l, enum sw_weight id, bool bias, int expert,
                                          int64_t rows, int64_t cols)
{
    struct sw_weight_spec *spec =
        list_append(l, bias ? biases[id] : id, expert, rows, bias ? 0 : cols);
    if (spec)
        spec->is_linear = !bias;
    return spec;
}

/* rows: of the norm's weight; all: of all heads, where each has its own. */
static void list_head_norm(struct list *l, enum sw_weight id, const char *pattern, int64_t rows,
                           int64_t all)
{
    const bool each = l->model->arch->qk_norm_each;
    const size_t at = l->count;
    list_norm(l, id, pattern, each ? all : rows);
    if (!each || l->failed)
        return;
    l->specs[at].is_flat = true;
    l->specs[at].cols = rows;
}

static void list_attention(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_head_dims heads = sw_model_heads(l->model, l->layer);
    const int64_t q_rows = (int64_t)d->n_heads * heads.dim;
    const int64_t kv_rows = (int64_t)heads.n_kv * heads.dim;
    const int64_t queries = q_rows * (l->model->arch->output_gate ? 2 : 1);
    const int64_t all = sw_model_qkv_rows(l->model, l->layer);
    const bool borrows = l->model->layer_kinds[l->layer] & SW_LAYER_BORROWS;
    for (int bias = 0; bias < (d->qkv_bias ? 2 : 1); bias++) {
        const char *suffix = bias ? ".bias" : ".weight";
        struct sw_weight_spec *spec = list_linear(l, SW_W_QKV, bias, -1, all, d->hidden);
        if (l->model->arch->qkv != SW_QKV_SPLIT) {
            list_source(l, spec, n->qkv, suffix, all);
            continue;
        }
        list_source(l, spec, n->q, suffix, queries);
        if (!borrows)
            list_source(l, spec, n->k, suffix, kv_rows);
        if (!borrows && !heads.keys_as_values)
            list_source(l, spec, n->v, suffix, kv_rows);
    }
    const bool rows = l->model->arch->qk_norm_rows;
    if (n->q_norm)
        list_head_norm(l, SW_W_Q_NORM, n->q_norm, rows ? q_rows : heads.dim, q_rows);
    if (n->k_norm)
        list_head_norm(l, SW_W_K_NORM, n->k_norm, rows ? kv_rows : heads.dim, kv_rows);
    if (n->k_norm && borrows && !l->failed) { /* it norms what it borrows as the lender does */
        const bool slides = l->model->layer_kinds[l->layer] & SW_LAYER_SLIDING;
        l->specs[l->count - 1].named = sw_model_lender(l->model, slides);
        l->specs[l->count - 1].is_repeated = true;
    }
    for (int bias = 0; bias < (d->out_bias ? 2 : 1); bias++)
        list_source(l, list_linear(l, SW_W_OUT, bias, -1, d->hidden, q_rows), n->out,
                    bias ? ".bias" : ".weight", d->hidden);
}

/* A head's part of what makes keys and values of latents: rows [first, first + n) of it, or a
 * tensor of its own. */
static void list_head_part(struct list *l, enum sw_weight id, int head, const char *own,
                           int64_t rows, int64_t cols)
{
    const struct sw_latent_dims *d = &l->model->dims.latent;
    const bool is_key = id == SW_W_K_UP;
    const int64_t both = (int64_t)d->plain + d->out;
    struct sw_weight_spec *spec = list_append(l, id, -1, rows, cols);
    if (!spec)
        return;
    spec->index = head;
    list_source(l, spec, own ? own : l->model->arch->names.kv_b, ".weight", rows);
    if (own)
        return;
    spec->sources[0].transposed = is_key;
    spec->sources[0].first = head * both + (is_key ? 0 : d->plain);
    spec->sources[0].of = l->model->dims.n_heads * both;
}

static void list_latent_attention(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_latent_dims *latent = &d->latent;
    const int64_t q_rows = (int64_t)d->n_heads * (latent->plain + d->rotary_dim);
    const int64_t first = latent->q ? latent->q : q_rows;
    for (int bias = 0; bias < (d->qkv_bias ? 2 : 1); bias++) {
        const char *suffix = bias ? ".bias" : ".weight";
        struct sw_weight_spec *spec =
            list_linear(l, SW_W_QKV, bias, -1, first + d->head_dim, d->hidden);
        list_source(l, spec, latent->q ? n->q_a : n->q, suffix, first);
        list_source(l, spec, n->kv_a, suffix, d->head_dim);
    }
    if (latent->q) {
        list_norm(l, SW_W_Q_NORM, n->q_a_norm, latent->q);
        list_source(l, list_linear(l, SW_W_Q_UP, false, -1, q_rows, latent->q), n->q_b, ".weight",
                    q_rows);
    }
    list_norm(l, SW_W_K_NORM, n->kv_a_norm, latent->kv);
    for (int h = 0; h < d->n_heads && !l->failed; h++)
        list_head_part(l, SW_W_K_UP, h, n->k_b, latent->kv, latent->plain);
    for (int h = 0; h < d->n_heads && !l->failed; h++)
        list_head_part(l, SW_W_V_UP, h, n->v_b, latent->out, latent->kv);
    for (int bias = 0; bias < (d->out_bias ? 2 : 1); bias++)
        list_source(l,
                    list_linear(l, SW_W_OUT, bias, -1, d->hidden,
                                sw_model_attention_width(l->model, l->layer)),
                    n->out, bias ? ".bias" : ".weight", d->hidden);
}

/* A gated delta net in the place of attention. */
static void list_delta(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    const int64_t channels = sw_delta_channels(&d->delta), heads = d->delta.v_heads;
    const int64_t v_rows = heads * d->delta.v_dim, all = channels + v_rows;
    struct sw_weight_spec *spec = list_linear(l, SW_W_QKV, false, -1, all, d->hidden);
    list_source(l, spec, n->delta_in, ".weight", n->delta_z ? channels : all);
    if (n->delta_z)
        list_source(l, spec, n->delta_z, ".weight", v_rows);
    spec = list_append(l, SW_W_DELTA_GATES, -1, 2 * heads, d->hidden);
    list_source(l, spec, n->delta_gates, ".weight", n->delta_a ? heads : 2 * heads);
    if (n->delta_a)
        list_source(l, spec, n->delta_a, ".weight", heads);
    spec = list_vector(l, SW_W_DELTA_CONV, n->delta_conv, ".weight", channels * d->delta.window);
    if (spec) {
        spec->is_flat = true;
        spec->cols = d->delta.window;
    }
    spec = list_vector(l, SW_W_DELTA_DECAY, n->delta_decay, "", heads);
    if (spec && !l->model->arch->delta_decays)
        spec->change = SW_CHANGE_MINUS_EXP;
    list_vector(l, SW_W_DELTA_DT, n->delta_dt, "", heads);
    spec = list_vector(l, SW_W_DELTA_NORM, n->delta_norm, ".weight", d->delta.v_dim);
    if (spec)
        spec->is_norm = true;
    list_source(l, list_linear(l, SW_W_OUT, false, -1, d->hidden, v_rows), n->delta_out, ".weight",
                d->hidden);
}

/* Up (with gate before it, in a tensor of its own or in the same one) and down of one MLP or of one
 * expert. */
static void list_mlp(struct list *l, int expert, int64_t inner, const char *gate, const char *up,
                     const char *down)
{
    const struct sw_dims *d = &l->model->dims;
    const bool gated = l->model->arch->gated;
    for (int bias = 0; bias < (d->mlp_bias ? 2 : 1); bias++) {
        const char *suffix = bias ? ".bias" : ".weight";
        struct sw_weight_spec *spec =
            list_linear(l, SW_W_UP, bias, expert, gated ? 2 * inner : inner, d->hidden);
        if (gated && gate)
            list_source(l, spec, gate, suffix, inner);
        list_source(l, spec, up, suffix, gated && !gate ? 2 * inner : inner);
        list_source(l, list_linear(l, SW_W_DOWN, bias, expert, d->hidden, inner), down, suffix,
                    d->hidden);
    }
}

/* The bias of a stack's buckets, which each of its layers reads, whatever rank that is on. */
static void list_buckets(struct list *l, const char *pattern)
{
    const struct sw_dims *d = &l->model->dims;
    struct sw_weight_spec *spec =
        list_vector(l, SW_W_BUCKETS, pattern, ".weight", (int64_t)d->n_buckets * d->n_heads);
    if (!spec)
        return;
    spec->is_flat = true;
    spec->is_repeated = l->layer != 0 && l->layer != d->n_encoder;
    spec->cols = d->n_heads;
}

static void list_cross(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    const int64_t q_rows = (int64_t)d->n_heads * d->head_dim;
    const int64_t kv_rows = (int64_t)d->n_kv_heads * d->head_dim;
    list_norm(l, SW_W_CROSS_NORM, n->cross_norm, d->hidden);
    list_source(l, list_linear(l, SW_W_CROSS_Q, false, -1, q_rows, d->hidden), n->cross_q,
                ".weight", q_rows);
    struct sw_weight_spec *kv = list_linear(l, SW_W_CROSS_KV, false, -1, 2 * kv_rows, d->hidden);
    list_source(l, kv, n->cross_k, ".weight", kv_rows);
    list_source(l, kv, n->cross_v, ".weight", kv_rows);
    list_source(l, list_linear(l, SW_W_CROSS_OUT, false, -1, d->hidden, q_rows), n->cross_out,
                ".weight", d->hidden);
}

/* What a layer makes of its input. */
static void list_input(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    list_source(l, list_linear(l, SW_W_INPUT_GATE, false, -1, d->input_dim, d->hidden),
                n->input_gate, ".weight", d->input_dim);
    list_source(l, list_linear(l, SW_W_INPUT_OUT, false, -1, d->hidden, d->input_dim), n->input_out,
                ".weight", d->hidden);
    list_norm(l, SW_W_INPUT_NORM, n->input_norm, d->hidden);
}

static void list_router(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    list_matrix(l, SW_W_ROUTER, n->router, d->n_experts, d->hidden);
    if (l->model->arch->router_bias)
        list_vector(l, SW_W_ROUTER_BIAS, n->router, ".bias", d->n_experts);
    if (n->router_correction)
        list_vector(l, SW_W_ROUTER_CORRECTION, n->router_correction, "", d->n_experts);
}

/* What is there of experts that are beside the MLP. */
static void list_beside(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    list_norm(l, SW_W_DENSE_POST_NORM, n->dense_post_norm, d->hidden);
    list_norm(l, SW_W_EXPERT_NORM, n->expert_norm, d->hidden);
    list_norm(l, SW_W_EXPERT_POST_NORM, n->expert_post_norm, d->hidden);
    struct sw_weight_spec *spec = list_vector(l, SW_W_ROUTER_NORM, n->router_norm, "", d->hidden);
    if (spec)
        spec->is_norm = true;
    spec = list_vector(l, SW_W_ROUTER_SHARES, n->router_shares, "", d->n_experts);
    if (spec)
        spec->is_norm = true;
}

static void list_shared(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    const int64_t inner = d->shared_ffn;
    struct sw_weight_spec *up = list_linear(l, SW_W_SHARED_UP, false, -1, 2 * inner, d->hidden);
    list_source(l, up, n->shared_gate, ".weight", inner);
    list_source(l, up, n->shared_up, ".weight", inner);
    list_source(l, list_linear(l, SW_W_SHARED_DOWN, false, -1, d->hidden, inner), n->shared_down,
                ".weight", d->hidden);
    if (n->shared_router)
        list_matrix(l, SW_W_SHARED_ROUTER, n->shared_router, 1, d->hidden);
}

/* They are no part of what is read of one expert, which is its matrices alone. */
static void list_expert_biases(struct list *l, const struct sw_names *n)
{
    const struct sw_dims *d = &l->model->dims;
    const int64_t inner = d->expert_ffn;
    struct sw_weight_spec *spec = NULL;
    for (int e = 0; e < d->n_experts && !l->failed; e++) {
        spec = list_append(l, SW_W_EXPERT_UP_BIAS, -1, 2 * inner, 0);
        list_source(l, spec, n->expert_gate_bias, "", inner);
        list_source(l, spec, n->expert_up_bias, "", inner);
        if (spec)
            spec->index = e;
    }
    for (int e = 0; e < d->n_experts && !l->failed; e++) {
        spec = list_append(l, SW_W_EXPERT_DOWN_BIAS, -1, d->hidden, 0);
        list_source(l, spec, n->expert_down_bias, "", d->hidden);
        if (spec)
            spec->index = e;
    }
}

static void list_layer(struct list *l)
{
    const struct sw_dims *d = &l->model->dims;
    const int kinds = l->model->layer_kinds[l->layer];
    const struct sw_names *n =
        kinds & SW_LAYER_ENCODER ? l->model->arch->encoder : &l->model->arch->names;
    l->part = SW_PART_LAYER;
    if (n->attn_norm)
        list_norm(l, SW_W_ATTN_NORM, n->attn_norm, d->hidden);
    if (kinds & SW_LAYER_LATENT)
        list_latent_attention(l, n);
    else if (kinds & SW_LAYER_DELTA)
        list_delta(l, n);
    else
        list_attention(l, n);
    if (n->sinks)
        list_vector(l, SW_W_SINKS, n->sinks, "", d->n_heads);
    if (n->attn_post_norm)
        list_norm(l, SW_W_ATTN_POST_NORM, n->attn_post_norm, d->hidden);
    if (n->layer_scale)
        list_vector(l, SW_W_LAYER_SCALE, n->layer_scale, "", 1);
    if (d->input_dim > 0)
        list_input(l, n);
    if (n->bias)
        list_buckets(l, n->bias);
    if (kinds & SW_LAYER_CROSS)
        list_cross(l, n);
    if (n->memory_norm && l->layer == d->n_encoder - 1)
        list_norm(l, SW_W_MEMORY_NORM, n->memory_norm, d->hidden);
    if (n->mlp_norm)
        list_norm(l, SW_W_MLP_NORM, n->mlp_norm, d->hidden);
    if (n->mlp_post_norm)
        list_norm(l, SW_W_MLP_POST_NORM, n->mlp_post_norm, d->hidden);
    const bool plain = n->plain_up && !l->model->arch->gated;
    if (sw_model_has_mlp(l->model, l->layer))
        list_mlp(l, -1, sw_model_ffn(l->model, l->layer), n->gate, plain ? n->plain_up : n->up,
                 n->down);
    if (!(kinds & SW_LAYER_ROUTED))
        return;
    list_router(l, n);
    if (l->model->arch->experts_beside)
        list_beside(l, n);
    if (d->shared_ffn > 0)
        list_shared(l, n);
    if (n->expert_up_bias)
        list_expert_biases(l, n);
    for (int e = 0; e < d->n_experts && !l->failed; e++)
        list_mlp(l, e, d->expert_ffn, n->expert_gate, n->expert_up, n->expert_down);
}

#define MAX_WEIGHTS ((size_t)1 << 18) /* the largest models have some 50,000 */

enum sw_status sw_model_list(struct sw_model *m)
{
    struct list l = {.model = m, .layer = SW_GLOBAL};
    m->first_weight = calloc((size_t)m->dims.n_layers + 2, sizeof *m->first_weight);
    if (!m->first_weight)
        return sw_fail(SW_ENOMEM, "no memory for the list of weights");
    list_embedding(&l);
    list_head(&l);
    for (l.layer = 0; l.layer < m->dims.n_layers && !l.failed && l.count <= MAX_WEIGHTS;
         l.layer++) {
        m->first_weight[l.layer + 1] = l.count;
        list_layer(&l);
    }
    m->first_weight[m->dims.n_layers + 1] = l.count;
    m->weights = l.specs;
    if (l.failed)
        return sw_fail(SW_ENOMEM, "no memory for the list of weights");
    if (l.count > MAX_WEIGHTS)
        return sw_fail(SW_EMODEL,
                       "%d layers with %d experts have more than %zu weights, which is more than "
                       "any model has",
                       m->dims.n_layers, m->dims.n_experts, MAX_WEIGHTS);
    return SW_OK;
}

size_t sw_model_weights(const struct sw_model *model, int layer,
                        const struct sw_weight_spec **specs)
{
    const size_t *first = &model->first_weight[layer + 1];
    *specs = model->weights + first[0];
    return first[1] - first[0];
}

uint64_t sw_model_parameters(const struct sw_model *model)
{
    const size_t count = model->first_weight[model->dims.n_layers + 1];
    uint64_t n = 0;
    for (size_t w = 0; w < count; w++)
        if (!(model->weights[w].id == SW_W_HEAD && model->dims.tied) &&
            !model->weights[w].is_repeated)
            n += (uint64_t)model->weights[w].rows *
                 (uint64_t)(model->weights[w].is_flat ? 1 : model->weights[w].cols);
    return n;
}
