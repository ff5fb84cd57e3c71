/*
 * THE transformer block, written once over the backend's operations. What sets families apart is
 * in the architecture row and the dimensions (model/arch.h).
 */
#include "engine/stage.h"

#include <math.h>

/* Shorthands of one call. */
struct block {
    struct sw_stage_run *s;
    struct sw_backend *b;
    const struct sw_model *model;
    const struct sw_dims *d;
    const struct sw_weights *w;
    const struct sw_batch *batch;
    int64_t ld; /* of the hidden buffers */
    int kind;   /* set of enum sw_layer_kind */
};

static void norm(const struct block *k, enum sw_weight id, const float *d_x, float *d_y)
{
    k->b->ops->norm(k->b, k->model->arch->norm, k->d->norm_eps, d_x, k->ld, k->batch->n_rows,
                    k->d->hidden, k->w->d_vector[id], k->w->d_vector[id + 1], d_y, k->ld);
}

/* Qwen3: RMS norm of each head's vector, before rope. Heads of a row are neighbours there. */
static void head_norm(const struct block *k, enum sw_weight id, int64_t at, int n_heads)
{
    const float *d_weight = k->w->d_vector[id];
    if (!d_weight)
        return;
    for (int r = 0; r < k->batch->n_rows; r++) {
        float *d_heads = k->s->d_qkv + r * k->s->qkv.width + at;
        k->b->ops->norm(k->b, SW_NORM_RMS, k->d->norm_eps, d_heads, k->d->head_dim, n_heads,
                        k->d->head_dim, d_weight, NULL, d_heads, k->d->head_dim);
    }
}

/* x += attention(h) */
static void attention(const struct block *k, int index, const float *d_h)
{
    struct sw_stage_run *s = k->s;
    const struct sw_dims *d = k->d;
    const struct sw_qkv_layout *at = &s->qkv;
    const struct sw_backend_ops *ops = k->b->ops;
    const struct sw_span *spans = k->batch->spans;
    const int n_spans = k->batch->n_spans;
    ops->matmul(k->b, &k->w->matrix[SW_W_QKV], k->w->d_vector[SW_W_QKV_BIAS], d_h, k->ld,
                k->batch->n_rows, s->d_qkv, at->width, false);
    head_norm(k, SW_W_Q_NORM, at->q, d->n_heads);
    head_norm(k, SW_W_K_NORM, at->k, d->n_kv_heads);
    if (d->rotary_dim > 0) {
        ops->rope(k->b, &s->rope, spans, n_spans, d->n_heads, s->d_qkv + at->q, at->width,
                  at->q_head);
        ops->rope(k->b, &s->rope, spans, n_spans, d->n_kv_heads, s->d_qkv + at->k, at->width,
                  at->kv_head);
    }
    ops->kv_store(k->b, &s->kv[index], spans, n_spans, s->d_qkv + at->k, s->d_qkv + at->v,
                  at->width, at->kv_head);
    const struct sw_attention a = {.n_heads = d->n_heads,
                                   .scale = 1.0f / sqrtf((float)d->head_dim),
                                   .window = k->kind & SW_LAYER_SLIDING ? d->window : 0,
                                   .d_slopes = s->d_slopes,
                                   .d_q = s->d_qkv + at->q,
                                   .q_ld = at->width,
                                   .q_head = at->q_head,
                                   .d_out = s->d_attention,
                                   .out_ld = s->work.attention};
    ops->attend(k->b, &a, &s->kv[index], spans, n_spans);
    ops->matmul(k->b, &k->w->matrix[SW_W_OUT], k->w->d_vector[SW_W_OUT_BIAS], s->d_attention,
                s->work.attention, k->batch->n_rows, s->d_x, k->ld, true);
}

/* y (+)= down(act(d_up)), n rows; act reads what the up (and gate) product left in d_up */
static void down(const struct block *k, const struct sw_matrix *m, const float *d_bias, int n,
                 float *d_y, int64_t ld_y, bool add)
{
    const struct sw_backend_ops *ops = k->b->ops;
    const bool gated = k->model->arch->gated;
    float *d_up = k->s->d_up;
    const int64_t ld = k->s->work.up;
    if (ops->activated_matmul) {
        ops->activated_matmul(k->b, k->d->activation, gated, m, d_bias, d_up, ld, n, d_y, ld_y,
                              add);
        return;
    }
    ops->activate(k->b, k->d->activation, gated, d_up, ld, n, m->cols, d_up, ld);
    ops->matmul(k->b, m, d_bias, d_up, ld, n, d_y, ld_y, add);
}

/* x += down(act(up h)) */
static void dense_mlp(const struct block *k, const float *d_h)
{
    struct sw_stage_run *s = k->s;
    const struct sw_backend_ops *ops = k->b->ops;
    const int n = k->batch->n_rows;
    ops->matmul(k->b, &k->w->matrix[SW_W_UP], k->w->d_vector[SW_W_UP_BIAS], d_h, k->ld, n, s->d_up,
                s->work.up, false);
    down(k, &k->w->matrix[SW_W_DOWN], k->w->d_vector[SW_W_DOWN_BIAS], n, s->d_x, k->ld, true);
}

/* Softmax over all experts in f32, the n_experts_used likeliest (lower index on ties), renormalised
 * when the model says so. chosen, shares: (n_experts_used). */
static void route(const struct sw_dims *d, const float *scores, int32_t *chosen, float *shares)
{
    float max = scores[0], sum = 0, kept = 0;
    for (int e = 1; e < d->n_experts; e++)
        max = scores[e] > max ? scores[e] : max;
    for (int e = 0; e < d->n_experts; e++)
        sum += expf(scores[e] - max);
    for (int i = 0; i < d->n_experts_used; i++) {
        int best = -1;
        for (int e = 0; e < d->n_experts; e++) {
            bool taken = false;
            for (int j = 0; j < i; j++)
                taken = taken || chosen[j] == e;
            if (!taken && (best < 0 || scores[e] > scores[best]))
                best = e;
        }
        chosen[i] = best;
        shares[i] = expf(scores[best] - max) / sum;
        kept += shares[i];
    }
    for (int i = 0; i < d->n_experts_used && d->norm_topk; i++)
        shares[i] /= kept;
}

/* x += sum over a row's experts, in the order of their index, of share * expert(h) */
static enum sw_status routed_mlp(const struct block *k, const float *d_h)
{
    struct sw_stage_run *s = k->s;
    const struct sw_dims *d = k->d;
    const struct sw_backend_ops *ops = k->b->ops;
    const int n = k->batch->n_rows, used = d->n_experts_used;
    float *shares = s->shares + n;
    ops->matmul(k->b, &k->w->matrix[SW_W_ROUTER], NULL, d_h, k->ld, n, s->d_router, d->n_experts,
                false);
    SW_TRY(ops->download(k->b, s->scores, s->d_router,
                         (size_t)n * (size_t)d->n_experts * sizeof(float)));
    for (int r = 0; r < n; r++)
        route(d, s->scores + (int64_t)r * d->n_experts, s->chosen + r * used, shares + r * used);
    for (int e = 0; e < d->n_experts; e++) {
        int m = 0;
        for (int i = 0; i < n * used; i++)
            if (s->chosen[i] == e) {
                s->rows[m] = i / used;
                s->shares[m++] = shares[i];
            }
        if (m == 0)
            continue;
        ops->gather(k->b, d_h, k->ld, s->rows, m, d->hidden, s->d_expert_in, d->hidden);
        ops->matmul(k->b, &k->w->expert_up[e], NULL, s->d_expert_in, d->hidden, m, s->d_up,
                    s->work.up, false);
        down(k, &k->w->expert_down[e], NULL, m, s->d_expert_out, d->hidden, false);
        ops->scatter_add(k->b, s->d_expert_out, d->hidden, s->rows, s->shares, m, d->hidden, s->d_x,
                         k->ld);
    }
    return SW_OK;
}

static enum sw_status mlp(const struct block *k, const float *d_h)
{
    if (k->kind & SW_LAYER_ROUTED)
        return routed_mlp(k, d_h);
    dense_mlp(k, d_h);
    return SW_OK;
}

enum sw_status sw_block_run(struct sw_stage_run *s, int index, const struct sw_batch *batch)
{
    const struct sw_model *model = s->options.model;
    const struct block k = {.s = s,
                            .b = s->options.backend,
                            .model = model,
                            .d = &model->dims,
                            .w = &s->layers[index],
                            .batch = batch,
                            .ld = s->work.hidden,
                            .kind = model->layer_kinds[s->options.first + index]};
    if (k.d->post_norm) {
        attention(&k, index, s->d_x);
        norm(&k, SW_W_ATTN_NORM, s->d_x, s->d_x);
        SW_TRY(mlp(&k, s->d_x));
        norm(&k, SW_W_MLP_NORM, s->d_x, s->d_x);
        return SW_OK;
    }
    if (k.d->residual != SW_RES_SEQUENTIAL) {
        const bool two = k.d->residual == SW_RES_PARALLEL;
        norm(&k, SW_W_ATTN_NORM, s->d_x, s->d_h);
        if (two)
            norm(&k, SW_W_MLP_NORM, s->d_x, s->d_h2);
        attention(&k, index, s->d_h);
        return mlp(&k, two ? s->d_h2 : s->d_h);
    }
    /* With normed_residual the normed value is what the branch is added to. */
    float *d_h = k.d->normed_residual ? s->d_x : s->d_h;
    norm(&k, SW_W_ATTN_NORM, s->d_x, d_h);
    attention(&k, index, d_h);
    norm(&k, SW_W_MLP_NORM, s->d_x, d_h);
    return mlp(&k, d_h);
}
