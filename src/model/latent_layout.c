/* Owns how latent attention lies in memory: the row that its products write, and its cache. */
#include "model/footprint.h"
#include "model/model.h"

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

int64_t sw_model_qkv_rows(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    return d->latent.kv ? sw_model_latent_layout(model).kv + d->head_dim
                        : sw_model_qkv_layout(model).width;
}

int64_t sw_model_attention_width(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    return (int64_t)d->n_heads * (d->latent.kv ? d->latent.out : d->head_dim);
}

uint64_t sw_model_kv_bytes(const struct sw_model *model, const struct sw_footprint_params *p)
{
    const struct sw_dims *d = &model->dims;
    const uint64_t both = sw_kv_bytes(p->kv, p->slots, d->n_kv_heads, d->head_dim, p->context);
    return d->latent.kv ? both / 2 : both; /* values are a part of the keys */
}
