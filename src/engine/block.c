/*
 * THE transformer block, written once over the backend's operations. What sets families apart is
 * in the architecture row and the dimensions (model/arch.h).
 */
#include "engine/stage.h"

#include <math.h>

/* Shorthands of one call. */
struct block {
    struct sw_stage_run *s;
    const struct sw_side *side;
    struct sw_backend *b;
    const struct sw_model *model;
    const struct sw_dims *d;
    const struct sw_weights *w;
    const struct sw_kv *kv;
    struct sw_ferry *ferry; /* NULL: matrices are as the backend wants them */
    const struct sw_batch *batch;
    int64_t ld; /* of the hidden buffers */
    int kind;   /* set of enum sw_layer_kind */
};

static void norm(const struct block *k, enum sw_weight id, const float *d_x, float *d_y)
{
    k->b->ops->norm(k->b, k->model->arch->norm, k->d->norm_eps, d_x, k->ld, k->batch->n_rows,
                    k->d->hidden, k->w->d_vector[id], k->w->d_vector[id + 1], d_y, k->ld);
}

/* y (n, m->rows) = x · Wᵀ + bias, or y += that. */
static enum sw_status product(const struct block *k, const struct sw_matrix *m, const float *d_bias,
                              const float *d_x, int64_t ld_x, int n, float *d_y, int64_t ld_y,
                              bool add)
{
    if (k->ferry)
        SW_TRY(sw_ferry_unpack(k->ferry, &m));
    k->b->ops->matmul(k->b, m, d_bias, d_x, ld_x, n, d_y, ld_y, add);
    return SW_OK;
}

/* Qwen3: RMS norm of each head's vector, before rope. Heads of a row are neighbours there, and so
 * are rows of a head; few calls are better, since on a GPU each is a launch. */
static void head_norm(const struct block *k, enum sw_weight id, int64_t at, int n_heads)
{
    const float *d_weight = k->w->d_vector[id];
    if (!d_weight)
        return;
    const bool by_head = n_heads < k->batch->n_rows;
    const int64_t width = k->s->qkv.width, dim = k->d->head_dim;
    const int64_t calls = by_head ? n_heads : k->batch->n_rows;
    const int64_t n = by_head ? k->batch->n_rows : n_heads, ld = by_head ? width : dim;
    for (int64_t i = 0; i < calls; i++) {
        float *d_heads = k->side->d_qkv + at + i * (by_head ? dim : width);
        k->b->ops->norm(k->b, SW_NORM_RMS, k->d->norm_eps, d_heads, ld, n, dim, d_weight, NULL,
                        d_heads, ld);
    }
}

/* Queries and keys; at once where keys follow as if they were more heads of the queries'. */
static void rotate(const struct block *k)
{
    const struct sw_qkv_layout *at = &k->s->qkv;
    const struct sw_backend_ops *ops = k->b->ops;
    const struct sw_batch *batch = k->batch;
    const int n_heads = k->d->n_heads, n_kv_heads = k->d->n_kv_heads;
    const bool in_a_row = at->k == at->q + n_heads * at->q_head && at->kv_head == at->q_head;
    float *d_qkv = k->side->d_qkv;
    if (k->d->rotary_dim == 0)
        return;
    ops->rope(k->b, &k->side->rope, batch->spans, batch->n_spans,
              in_a_row ? n_heads + n_kv_heads : n_heads, d_qkv + at->q, at->width, at->q_head);
    if (!in_a_row)
        ops->rope(k->b, &k->side->rope, batch->spans, batch->n_spans, n_kv_heads, d_qkv + at->k,
                  at->width, at->kv_head);
}

/* x += attention(h) */
static enum sw_status attention(const struct block *k, const float *d_h)
{
    const struct sw_side *side = k->side;
    const struct sw_dims *d = k->d;
    const struct sw_qkv_layout *at = &k->s->qkv;
    const struct sw_backend_ops *ops = k->b->ops;
    const struct sw_span *spans = k->batch->spans;
    const int n_spans = k->batch->n_spans, n = k->batch->n_rows;
    float *d_qkv = side->d_qkv;
    SW_TRY(product(k, &k->w->matrix[SW_W_QKV], k->w->d_vector[SW_W_QKV_BIAS], d_h, k->ld, n, d_qkv,
                   at->width, false));
    head_norm(k, SW_W_Q_NORM, at->q, d->n_heads);
    head_norm(k, SW_W_K_NORM, at->k, d->n_kv_heads);
    rotate(k);
    ops->kv_store(k->b, k->kv, spans, n_spans, d_qkv + at->k, d_qkv + at->v, at->width,
                  at->kv_head);
    const struct sw_attention a = {.n_heads = d->n_heads,
                                   .scale = 1.0f / sqrtf((float)d->head_dim),
                                   .window = k->kind & SW_LAYER_SLIDING ? d->window : 0,
                                   .d_slopes = side->d_slopes,
                                   .d_q = d_qkv + at->q,
                                   .q_ld = at->width,
                                   .q_head = at->q_head,
                                   .d_out = side->d_attention,
                                   .out_ld = k->s->work.attention};
    ops->attend(k->b, &a, k->kv, spans, n_spans);
    return product(k, &k->w->matrix[SW_W_OUT], k->w->d_vector[SW_W_OUT_BIAS], side->d_attention,
                   k->s->work.attention, n, side->d_x, k->ld, true);
}

/* y (+)= down(act(d_up)), n rows; act reads what the up (and gate) product left in d_up */
static enum sw_status down(const struct block *k, const struct sw_matrix *m, const float *d_bias,
                           int n, float *d_y, int64_t ld_y, bool add)
{
    const struct sw_backend_ops *ops = k->b->ops;
    const bool gated = k->model->arch->gated;
    float *d_up = k->side->d_up;
    const int64_t ld = k->s->work.up;
    if (!ops->activated_matmul) {
        ops->activate(k->b, k->d->activation, gated, d_up, ld, n, m->cols, d_up, ld);
        return product(k, m, d_bias, d_up, ld, n, d_y, ld_y, add);
    }
    if (k->ferry)
        SW_TRY(sw_ferry_unpack(k->ferry, &m));
    ops->activated_matmul(k->b, k->d->activation, gated, m, d_bias, d_up, ld, n, d_y, ld_y, add);
    return SW_OK;
}

/* x += down(act(up h)) */
static enum sw_status dense_mlp(const struct block *k, const float *d_h)
{
    const struct sw_side *side = k->side;
    const int n = k->batch->n_rows;
    SW_TRY(product(k, &k->w->matrix[SW_W_UP], k->w->d_vector[SW_W_UP_BIAS], d_h, k->ld, n,
                   side->d_up, k->s->work.up, false));
    return down(k, &k->w->matrix[SW_W_DOWN], k->w->d_vector[SW_W_DOWN_BIAS], n, side->d_x, k->ld,
                true);
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
    const struct sw_side *side = k->side;
    const struct sw_dims *d = k->d;
    const struct sw_backend_ops *ops = k->b->ops;
    const int n = k->batch->n_rows, used = d->n_experts_used;
    float *shares = s->shares + n;
    SW_TRY(product(k, &k->w->matrix[SW_W_ROUTER], NULL, d_h, k->ld, n, side->d_router, d->n_experts,
                   false));
    SW_TRY(ops->download(k->b, s->scores, side->d_router,
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
        ops->gather(k->b, d_h, k->ld, s->rows, m, d->hidden, side->d_expert_in, d->hidden);
        SW_TRY(product(k, &k->w->expert_up[e], NULL, side->d_expert_in, d->hidden, m, side->d_up,
                       s->work.up, false));
        SW_TRY(down(k, &k->w->expert_down[e], NULL, m, side->d_expert_out, d->hidden, false));
        ops->scatter_add(k->b, side->d_expert_out, d->hidden, s->rows, s->shares, m, d->hidden,
                         side->d_x, k->ld);
    }
    return SW_OK;
}

static enum sw_status mlp(const struct block *k, const float *d_h)
{
    return k->kind & SW_LAYER_ROUTED ? routed_mlp(k, d_h) : dense_mlp(k, d_h);
}

enum sw_status sw_block_run(struct sw_stage_run *s, const struct sw_block *block,
                            const struct sw_batch *batch)
{
    const struct sw_model *model = s->options.model;
    const struct sw_side *side = block->side;
    const struct block k = {.s = s,
                            .side = side,
                            .b = side->backend,
                            .model = model,
                            .d = &model->dims,
                            .w = block->weights,
                            .kv = block->kv,
                            .ferry = block->ferry,
                            .batch = batch,
                            .ld = s->work.hidden,
                            .kind = model->layer_kinds[block->layer]};
    if (k.d->post_norm) {
        SW_TRY(attention(&k, side->d_x));
        norm(&k, SW_W_ATTN_NORM, side->d_x, side->d_x);
        SW_TRY(mlp(&k, side->d_x));
        norm(&k, SW_W_MLP_NORM, side->d_x, side->d_x);
        return SW_OK;
    }
    if (k.d->residual != SW_RES_SEQUENTIAL) {
        const bool two = k.d->residual == SW_RES_PARALLEL;
        norm(&k, SW_W_ATTN_NORM, side->d_x, side->d_h);
        if (two)
            norm(&k, SW_W_MLP_NORM, side->d_x, side->d_h2);
        SW_TRY(attention(&k, side->d_h));
        return mlp(&k, two ? side->d_h2 : side->d_h);
    }
    /* With normed_residual the normed value is what the branch is added to. */
    float *d_h = k.d->normed_residual ? side->d_x : side->d_h;
    norm(&k, SW_W_ATTN_NORM, side->d_x, d_h);
    SW_TRY(attention(&k, d_h));
    norm(&k, SW_W_MLP_NORM, side->d_x, d_h);
    return mlp(&k, d_h);
}
