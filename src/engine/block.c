/*
 * The transformer block, written once over the backend's operations. Differences between families
 * are in the architecture row and the dimensions (model/arch.h).
 */
#include "engine/block_impl.h"

void sw_block_norm(const struct block *k, enum sw_weight id, const float *d_x, float *d_y)
{
    const enum sw_weight bias = sw_weight_bias(id);
    k->b->ops->norm(k->b, k->model->arch->norm, k->d->norm_eps, d_x, k->ld, k->batch->n_rows,
                    k->d->hidden, k->w->d_vector[id],
                    bias < SW_W_COUNT ? k->w->d_vector[bias] : NULL, d_y, k->ld);
}

const float *sw_block_input(const struct block *k, const struct input *in)
{
    if (in->d_x)
        sw_block_norm(k, in->norm, in->d_x, in->d_h);
    return in->d_h;
}

/* y (n, m->rows) = x · Wᵀ + bias, or y += that. */
enum sw_status sw_block_product(const struct block *k, const struct sw_matrix *m,
                                const float *d_bias, const float *d_x, int64_t ld_x, int n,
                                float *d_y, int64_t ld_y, bool add)
{
    SW_TRY(k->store->ops->matrix(k->store, &m));
    k->b->ops->matmul(k->b, m, d_bias, d_x, ld_x, n, d_y, ld_y, add);
    return SW_OK;
}

/* y (n, m->rows) = in · Wᵀ + bias. A device with the `project` operation computes the norm in the
 * same call, and with `up` the activation too. */
enum sw_status sw_block_project(const struct block *k, const struct input *in, int64_t ld_h,
                                const struct sw_matrix *m, const float *d_bias, bool up, int n,
                                float *d_y, int64_t ld_y)
{
    const struct sw_backend_ops *ops = k->b->ops;
    if (!ops->project)
        return sw_block_product(k, m, d_bias, sw_block_input(k, in), ld_h, n, d_y, ld_y, false);
    SW_TRY(k->store->ops->matrix(k->store, &m));
    const struct sw_projection p = {.m = m,
                                    .d_bias = d_bias,
                                    .norm = k->model->arch->norm,
                                    .eps = k->d->norm_eps,
                                    .d_norm = in->d_x ? k->w->d_vector[in->norm] : NULL,
                                    .d_norm_bias = in->d_x ? k->w->d_vector[in->norm + 1] : NULL,
                                    .d_h = in->d_h,
                                    .ld_h = ld_h,
                                    .activated = up,
                                    .gated = up && k->model->arch->gated,
                                    .activation = k->d->activation};
    ops->project(k->b, &p, in->d_x ? in->d_x : in->d_h, in->d_x ? k->ld : ld_h, n, d_y, ld_y);
    return SW_OK;
}

/* Queries, keys and values: one product, or one for each of the formats they are kept in. */
enum sw_status sw_block_qkv(const struct block *k, const struct input *in)
{
    const float *d_bias = k->w->d_vector[SW_W_QKV_BIAS];
    const struct sw_matrix *m = &k->w->matrix[SW_W_QKV];
    const int64_t width = k->qkv.width;
    const int n = k->batch->n_rows;
    SW_TRY(sw_block_project(k, in, k->ld, m, d_bias, false, n, k->device->d_qkv, width));
    const struct input normed = {.d_h = in->d_h};
    int64_t row = m->rows;
    for (int i = 0; i < SW_MAX_SOURCES - 1 && k->w->qkv_rest[i].d_data; i++) {
        m = &k->w->qkv_rest[i];
        SW_TRY(sw_block_project(k, &normed, k->ld, m, d_bias ? d_bias + row : NULL, false, n,
                                k->device->d_qkv + row, width));
        row += m->rows;
    }
    return SW_OK;
}

/* Norms all queries of a row together, and all keys. */
static void block_norm_rows(const struct block *k)
{
    const struct sw_qkv_layout *at = &k->qkv;
    const int64_t dim = k->heads.dim;
    float *d_qkv = k->device->d_qkv;
    k->b->ops->norm(k->b, SW_NORM_RMS, k->d->norm_eps, d_qkv + at->q, at->width, k->batch->n_rows,
                    k->d->n_heads * dim, k->w->d_vector[SW_W_Q_NORM], NULL, d_qkv + at->q,
                    at->width);
    k->b->ops->norm(k->b, SW_NORM_RMS, k->d->norm_eps, d_qkv + at->k, at->width, k->batch->n_rows,
                    k->heads.n_kv * dim, k->w->d_vector[SW_W_K_NORM], NULL, d_qkv + at->k,
                    at->width);
}

static void block_place_heads(const struct block *k)
{
    const struct sw_qkv_layout *at = &k->qkv;
    const struct sw_arch *arch = k->model->arch;
    const bool by_head = !arch->qk_norm_rows, no_rope = k->kind & SW_LAYER_NO_ROPE;
    const float *d_ones = no_rope ? NULL : k->device->d_ones;
    float *d_qkv = k->device->d_qkv;
    struct sw_heads heads = {.d_q = d_qkv + at->q,
                             .d_k = d_qkv + at->k,
                             .d_v = d_qkv + at->v,
                             .ld = at->width,
                             .q_head = at->q_head,
                             .q_skip = at->q_skip,
                             .kv_head = at->kv_head,
                             .n_heads = k->d->n_heads,
                             .d_q_norm = by_head ? k->w->d_vector[SW_W_Q_NORM] : NULL,
                             .d_k_norm = by_head ? k->w->d_vector[SW_W_K_NORM] : NULL,
                             .d_v_norm = arch->v_norm ? k->device->d_ones : NULL,
                             .keys_as_values = k->heads.keys_as_values,
                             .eps = k->d->norm_eps,
                             .norm_last = arch->qk_norm_last,
                             .layer_norm = arch->qk_norm_each && arch->norm == SW_NORM_LAYER,
                             .norm_step = arch->qk_norm_each ? k->heads.dim : 0,
                             .rope = block_rope(k)};
    if (arch->qk_norm_plain)
        heads.d_q_norm = heads.d_k_norm = d_ones;
    if (no_rope || !arch->growth_no_rope)
        heads.growth = k->d->query_growth;
    if (!by_head)
        block_norm_rows(k);
    k->b->ops->place_heads(k->b, &heads, k->kv, k->batch->spans, k->batch->n_spans);
}

/* Where a branch's last product goes: to x, which it is added to; or beside it, to be normed or
 * scaled before. */
static float *block_branch_out(const struct block *k, enum sw_weight post_norm, bool *add)
{
    *add = !k->w->d_vector[post_norm] && k->d->residual_scale == 1;
    return *add ? k->device->d_x : k->device->d_h2;
}

/* Adds what a branch gave to x, unless its product did. */
void sw_block_add_branch(const struct block *k, enum sw_weight post_norm, bool added)
{
    float *d_out = k->device->d_h2;
    if (added)
        return;
    if (k->w->d_vector[post_norm])
        sw_block_norm(k, post_norm, d_out, d_out);
    k->b->ops->add(k->b, k->d->residual_scale, d_out, k->ld, k->batch->n_rows, k->d->hidden,
                   k->device->d_x, k->ld);
}

/* d_attention = what all heads give */
static enum sw_status block_heads(const struct block *k, const struct input *in)
{
    const struct sw_device_context *device = k->device;
    const bool whole = k->kind & SW_LAYER_ENCODER;
    SW_TRY(sw_block_qkv(k, in));
    if (k->d->borrowers > 0)
        sw_block_lend(k);
    block_place_heads(k);
    struct sw_attention a = block_attend(k);
    a.window = sw_model_window(k->model, k->layer);
    a.d_slopes = device->d_slopes;
    a.d_sinks = k->w->d_vector[SW_W_SINKS];
    a.keys = whole ? k->batch->memory : NULL;
    a.d_bias = k->w->d_vector[SW_W_BUCKETS];
    a.d_buckets = device->d_buckets[whole];
    a.bias_reach = k->d->bucket_reach;
    k->b->ops->attend(k->b, &a, k->kv, k->batch->spans, k->batch->n_spans);
    if (k->model->arch->output_gate)
        k->b->ops->gate(k->b, a.d_q + k->heads.dim, a.q_ld, a.q_head, k->batch->n_rows,
                        k->d->n_heads, k->heads.dim, a.d_out, a.out_ld);
    return SW_OK;
}

/* x += attention(in), or what is in its place */
static enum sw_status block_attention(const struct block *k, const struct input *in)
{
    const struct sw_device_context *device = k->device;
    const int n = k->batch->n_rows;
    bool add;
    float *d_out = block_branch_out(k, SW_W_ATTN_POST_NORM, &add);
    SW_TRY(k->kind & SW_LAYER_LATENT  ? sw_block_latent(k, in)
           : k->kind & SW_LAYER_DELTA ? sw_block_delta(k, in)
                                      : block_heads(k, in));
    SW_TRY(sw_block_product(k, &k->w->matrix[SW_W_OUT], k->w->d_vector[SW_W_OUT_BIAS],
                            device->d_attention, k->s->work.attention, n, d_out, k->ld, add));
    sw_block_add_branch(k, SW_W_ATTN_POST_NORM, add);
    return SW_OK;
}

/* d_up = up(in), activated if the device has the `project` operation */
enum sw_status sw_block_up(const struct block *k, const struct input *in)
{
    return sw_block_project(k, in, k->ld, &k->w->matrix[SW_W_UP], k->w->d_vector[SW_W_UP_BIAS],
                            true, k->batch->n_rows, k->device->d_up, k->s->work.up);
}

/* y (+)= down(act(d_up)), n rows; d_up as sw_block_up or an expert left it */
enum sw_status sw_block_down(const struct block *k, const struct sw_matrix *m, const float *d_bias,
                             int n, float *d_y, int64_t ld_y, bool add)
{
    const struct sw_backend_ops *ops = k->b->ops;
    float *d_up = k->device->d_up;
    const int64_t ld = k->s->work.up;
    if (ops->project)
        return sw_block_product(k, m, d_bias, d_up, ld, n, d_y, ld_y, add);
    SW_TRY(k->store->ops->matrix(k->store, &m));
    ops->activated_matmul(k->b, k->d->activation, k->model->arch->gated, m, d_bias, d_up, ld, n,
                          d_y, ld_y, add);
    return SW_OK;
}

/* x += down(act(d_up)) */
static enum sw_status project_down(const struct block *k)
{
    bool add;
    float *d_out = block_branch_out(k, SW_W_MLP_POST_NORM, &add);
    SW_TRY(sw_block_down(k, &k->w->matrix[SW_W_DOWN], k->w->d_vector[SW_W_DOWN_BIAS],
                         k->batch->n_rows, d_out, k->ld, add));
    sw_block_add_branch(k, SW_W_MLP_POST_NORM, add);
    return SW_OK;
}

static enum sw_status block_mlp(const struct block *k, const struct input *in)
{
    if (k->kind & SW_LAYER_ROUTED && k->model->arch->experts_beside)
        return sw_block_beside(k, in);
    if (k->kind & SW_LAYER_ROUTED)
        return sw_block_routed(k, in);
    SW_TRY(sw_block_up(k, in));
    return project_down(k);
}

/* Both branches read the same x. A dense MLP runs its up projection first, so one h is enough. */
static enum sw_status block_parallel(const struct block *k)
{
    const struct sw_device_context *device = k->device;
    const bool two = k->d->residual == SW_RES_PARALLEL;
    const struct input first = {device->d_x, SW_W_ATTN_NORM, device->d_h},
                       as_first = {.d_h = device->d_h},
                       second = {device->d_x, SW_W_MLP_NORM, device->d_h},
                       aside = {.d_h = device->d_h2};
    if (!(k->kind & SW_LAYER_ROUTED)) {
        SW_TRY(sw_block_up(k, two ? &second : &first));
        SW_TRY(block_attention(k, two ? &first : &as_first));
        return project_down(k);
    }
    if (two)
        sw_block_norm(k, SW_W_MLP_NORM, device->d_x, device->d_h2);
    SW_TRY(block_attention(k, &first));
    return sw_block_routed(k, two ? &aside : &as_first);
}

/* Attention, to a memory, too, where the layer has one, then the MLP. */
static enum sw_status block_sequential(const struct block *k)
{
    const struct sw_device_context *device = k->device;
    const struct sw_names *names = &k->model->arch->names;
    /* With normed_residual the normed value is what the branch is added to; some families norm what
     * a branch gives, and not its input. */
    float *d_h = k->d->normed_residual ? device->d_x : device->d_h;
    const struct input plain = {.d_h = device->d_x};
    const struct input first =
        names->attn_norm ? (struct input){device->d_x, SW_W_ATTN_NORM, d_h} : plain;
    const struct input second =
        names->mlp_norm ? (struct input){device->d_x, SW_W_MLP_NORM, d_h} : plain;
    SW_TRY(block_attention(k, &first));
    if (k->kind & SW_LAYER_CROSS)
        SW_TRY(sw_block_cross(k));
    SW_TRY(block_mlp(k, &second));
    if (k->w->d_vector[SW_W_MEMORY_NORM])
        sw_block_norm(k, SW_W_MEMORY_NORM, device->d_x, device->d_x);
    return SW_OK;
}

static enum sw_status block_post_norm(const struct block *k)
{
    const struct sw_device_context *device = k->device;
    const struct input x = {.d_h = device->d_x},
                       normed_x = {device->d_x, SW_W_ATTN_NORM, device->d_x};
    SW_TRY(block_attention(k, &x));
    SW_TRY(block_mlp(k, &normed_x));
    sw_block_norm(k, SW_W_MLP_NORM, device->d_x, device->d_x);
    return SW_OK;
}

enum sw_status sw_block_run(struct sw_stage *s, const struct sw_block *block,
                            const struct sw_microbatch *batch)
{
    const struct block k = block_of(s, block, batch);
    const float *d_scale = k.w->d_vector[SW_W_LAYER_SCALE];
    SW_TRY(k.d->post_norm                       ? block_post_norm(&k)
           : k.d->residual != SW_RES_SEQUENTIAL ? block_parallel(&k)
                                                : block_sequential(&k));
    if (k.d->input_dim > 0)
        SW_TRY(sw_block_take_input(&k));
    if (d_scale)
        k.b->ops->scale(k.b, 1, d_scale, 0, batch->n_rows, k.d->hidden, k.device->d_x, k.ld);
    return SW_OK;
}
