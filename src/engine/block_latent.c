/* Owns latent attention: queries go to the latents' space, and sums of latents come from there. */
#include "engine/block_impl.h"

/* y_h = W_h x_h for each head: x and y are offsets in rows of `from` and `to`, `step` floats from
 * one head to the next; the heads' matrices lie one behind the other. */
struct heads_product {
    const struct sw_matrix *first;
    const float *d_x;
    int64_t ld_x, x_step;
    float *d_y;
    int64_t ld_y, y_step;
};

static enum sw_status latent_each_head(const struct block *k, const struct heads_product *p)
{
    const uint64_t bytes = sw_matrix_bytes(p->first->format, p->first->rows, p->first->cols);
    for (int h = 0; h < k->d->n_heads; h++) {
        struct sw_matrix m = *p->first;
        m.d_data = (char *)m.d_data + (uint64_t)h * bytes;
        SW_TRY(sw_block_product(k, &m, NULL, p->d_x + h * p->x_step, p->ld_x, k->batch->n_rows,
                                p->d_y + h * p->y_step, p->ld_y, false));
    }
    return SW_OK;
}

/* Norms a latent in place. */
static void latent_norm(const struct block *k, enum sw_weight id, int64_t at, int width)
{
    float *d_row = k->device->d_qkv + at;
    const int64_t ld = k->qkv.width;
    k->b->ops->norm(k->b, SW_NORM_RMS, SW_LATENT_EPS, d_row, ld, k->batch->n_rows, width,
                    k->w->d_vector[id], NULL, d_row, ld);
}

enum sw_status sw_block_latent(const struct block *k, const struct input *in)
{
    const struct sw_device_context *device = k->device;
    const struct sw_latent_layout at = sw_model_latent_layout(k->model);
    const struct sw_latent_dims *latent = &k->d->latent;
    const int64_t ld = at.width, query = latent->plain + k->d->rotary_dim;
    float *d_row = device->d_qkv;
    SW_TRY(sw_block_qkv(k, in));
    latent_norm(k, SW_W_K_NORM, at.kv, latent->kv);
    if (latent->q) {
        latent_norm(k, SW_W_Q_NORM, at.q, latent->q);
        SW_TRY(sw_block_product(k, &k->w->matrix[SW_W_Q_UP], NULL, d_row + at.q, ld,
                                k->batch->n_rows, d_row + at.heads, ld, false));
    }
    const struct heads_product to_latents = {&k->w->matrix[SW_W_K_UP],
                                             d_row + at.heads,
                                             ld,
                                             query,
                                             d_row + at.queries,
                                             ld,
                                             k->d->head_dim};
    SW_TRY(latent_each_head(k, &to_latents));
    struct sw_heads heads = {.d_q = d_row + at.queries,
                             .d_k = d_row + at.kv,
                             .ld = ld,
                             .q_head = k->d->head_dim,
                             .kv_head = k->d->head_dim,
                             .d_q_rotary = d_row + at.heads + latent->plain,
                             .q_rotary_head = query,
                             .n_heads = k->d->n_heads,
                             .rope = block_rope(k),
                             .growth = k->d->query_growth};
    heads.rope.first = latent->kv;
    k->b->ops->place_heads(k->b, &heads, k->kv, k->batch->spans, k->batch->n_spans);
    struct sw_attention a = block_attend(k);
    a.d_out = d_row + at.sums;
    a.out_ld = ld;
    k->b->ops->attend(k->b, &a, k->kv, k->batch->spans, k->batch->n_spans);
    const struct heads_product from_latents = {
        &k->w->matrix[SW_W_V_UP], d_row + at.sums,      ld,         latent->kv,
        device->d_attention,      k->s->work.attention, latent->out};
    return latent_each_head(k, &from_latents);
}
