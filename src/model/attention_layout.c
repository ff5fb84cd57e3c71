/* Owns how attention and delta nets lie in memory: the rows that their products write, the cache.
 */
#include "base/checked.h"
#include "model/footprint.h"
#include "model/model.h"

int sw_model_lender(const struct sw_model *model, bool slides)
{
    int layer = model->dims.n_layers - model->dims.borrowers - 1;
    while (layer >= 0 && ((model->layer_kinds[layer] & SW_LAYER_SLIDING) != 0) != slides)
        layer--;
    return layer;
}

struct sw_aside_layout sw_model_aside(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    struct sw_aside_layout at = {.width = d->hidden};
    for (int slides = 0; slides < 2 && d->borrowers > 0; slides++) {
        const struct sw_head_dims heads = sw_dims_heads(d, slides);
        at.kv[slides] = at.width;
        at.width += (int64_t)heads.n_kv * heads.dim * (heads.keys_as_values ? 1 : 2);
    }
    at.inputs = at.width;
    at.width += (int64_t)d->input_dim * d->n_layers;
    return at;
}

struct sw_latent_layout sw_model_latent_layout(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    const int64_t n = d->n_heads, heads = n * (d->latent.plain + d->rotary_dim);
    struct sw_latent_layout at = {.kv = d->latent.q ? d->latent.q : heads};
    const int64_t made = at.kv + d->head_dim;
    at.heads = d->latent.q ? made : at.q;
    at.queries = d->latent.q ? made + heads : made;
    at.sums = at.queries + n * d->head_dim;
    at.width = at.sums + n * d->latent.kv;
    return at;
}

struct sw_qkv_layout sw_model_qkv_layout(const struct sw_model *model, int layer)
{
    const struct sw_dims *d = &model->dims;
    const struct sw_head_dims heads = sw_model_heads(model, layer);
    const int64_t dim = heads.dim, q_head = model->arch->output_gate ? 2 * dim : dim;
    const int64_t q = d->n_heads * q_head, kv = heads.n_kv * dim;
    const int64_t group = q / heads.n_kv; /* of the queries that read one KV head */
    const struct sw_latent_layout at = sw_model_latent_layout(model);
    if (d->latent.kv)
        return (struct sw_qkv_layout){at.queries, at.kv, at.kv, dim, dim, 0, at.width};
    if (model->arch->qkv == SW_QKV_PER_GROUP)
        return (struct sw_qkv_layout){0,       group,     group + dim, dim, group + 2 * dim,
                                      2 * dim, q + 2 * kv};
    return (struct sw_qkv_layout){0, q, q + kv, q_head, dim, 0, q + 2 * kv};
}

struct sw_delta_layout sw_model_delta_layout(const struct sw_model *model)
{
    const struct sw_delta_dims *d = &model->dims.delta;
    const int64_t k_dim = d->k_dim, v_dim = d->v_dim, keys = d->k_heads * k_dim;
    const int64_t values = d->v_heads * v_dim, gates = 2 * keys + 2 * values;
    const int64_t shared = d->k_heads ? d->v_heads / d->k_heads : 0, group = shared * v_dim;
    struct sw_delta_layout at = {.k = keys,
                                 .v = 2 * keys,
                                 .z = 2 * keys + values,
                                 .b = gates,
                                 .a = gates + d->v_heads,
                                 .k_head = k_dim,
                                 .v_group = d->turns ? v_dim : group,
                                 .v_head = d->turns ? d->k_heads * v_dim : v_dim,
                                 .gate_group = d->turns ? 1 : shared,
                                 .gate_head = d->turns ? d->k_heads : 1,
                                 .width = gates + 2 * d->v_heads};
    if (model->arch->delta_grouped) {
        at.k = k_dim;
        at.v = 2 * k_dim;
        at.z = 2 * k_dim + group;
        at.k_head = at.v_group = 2 * k_dim + 2 * group;
    }
    if (model->arch->gates_grouped) {
        at.a = gates + shared;
        at.gate_group = 2 * shared;
    }
    return at;
}

int64_t sw_model_qkv_rows(const struct sw_model *model, int layer)
{
    const struct sw_dims *d = &model->dims;
    const struct sw_qkv_layout at = sw_model_qkv_layout(model, layer);
    if (model->layer_kinds[layer] & SW_LAYER_BORROWS)
        return at.k;
    return d->latent.kv ? sw_model_latent_layout(model).kv + d->head_dim
           : sw_model_heads(model, layer).keys_as_values ? at.v
                                                         : at.width;
}

int64_t sw_model_attention_width(const struct sw_model *model, int layer)
{
    const struct sw_dims *d = &model->dims;
    return (int64_t)d->n_heads * (d->latent.kv ? d->latent.out : sw_model_heads(model, layer).dim);
}

struct sw_attention_widths sw_model_attention_widths(const struct sw_model *model)
{
    struct sw_attention_widths most = {0};
    for (int i = 0; i < model->dims.n_layers; i++) {
        most.row = sw_max_i64(most.row, sw_model_qkv_layout(model, i).width);
        most.made = sw_max_i64(most.made, sw_model_qkv_rows(model, i));
        most.attention = sw_max_i64(most.attention, sw_model_attention_width(model, i));
    }
    return most;
}

uint64_t sw_model_kv_bytes(const struct sw_model *model, const struct sw_footprint_params *p,
                           int layer)
{
    const struct sw_dims *d = &model->dims;
    const struct sw_head_dims heads = sw_model_heads(model, layer);
    const uint64_t both = sw_kv_bytes(p->kv, p->slots, heads.n_kv, heads.dim, p->context);
    return d->latent.kv ? both / 2 : both; /* values are a part of the keys */
}
