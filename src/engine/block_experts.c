/* Owns what a layer does with experts: which rows go to which, what they give, and the MLP that is
 * beside them. */
#include "engine/block_impl.h"
#include "engine/expert_choice.h"

#include <math.h>

#define LOOK_AHEAD_USED 64 /* most experts of a row that are foreseen */

/* The router's product of h and what it corrects by, in the stage's host scratch. */
static enum sw_status block_score(const struct block *k, const float *d_h)
{
    const int64_t experts = k->d->n_experts, n = k->batch->n_rows;
    const float *d_correction = k->w->d_vector[SW_W_ROUTER_CORRECTION];
    SW_TRY(sw_block_product(k, &k->w->matrix[SW_W_ROUTER], k->w->d_vector[SW_W_ROUTER_BIAS], d_h,
                            k->ld, (int)n, k->device->d_router, experts, false));
    if (d_correction)
        SW_TRY(k->b->ops->download(k->b, k->s->correction, d_correction,
                                   (size_t)experts * sizeof(float)));
    SW_TRY(k->b->ops->download(k->b, k->s->scores, k->device->d_router,
                               (size_t)(n * experts) * sizeof(float)));
    if (!k->model->arch->experts_beside)
        return SW_OK;
    const float factor = 1 / sqrtf((float)k->d->hidden);
    for (int64_t i = 0; i < n * experts; i++)
        k->s->scores[i] *= factor;
    return k->b->ops->download(k->b, k->s->correction + 3 * experts,
                               k->w->d_vector[SW_W_ROUTER_SHARES], (size_t)experts * sizeof(float));
}

static struct sw_expert_scores block_row_scores(const struct block *k, int row)
{
    const struct sw_stage *s = k->s;
    return (struct sw_expert_scores){
        .scores = s->scores + (int64_t)row * k->d->n_experts,
        .correction = k->w->d_vector[SW_W_ROUTER_CORRECTION] ? s->correction : NULL,
        .factors = k->w->d_vector[SW_W_ROUTER_SHARES] ? s->correction + 3 * (int64_t)k->d->n_experts
                                                      : NULL,
        .room = s->correction + k->d->n_experts,
        .groups = s->groups};
}

/* Chooses each row's experts: s->chosen (n_rows, n_experts_used), and the shares behind those that
 * an expert's rows are listed with. */
static enum sw_status block_route(const struct block *k, const float *d_h)
{
    struct sw_stage *s = k->s;
    const int n = k->batch->n_rows, used = k->d->n_experts_used;
    SW_TRY(block_score(k, d_h));
    for (int r = 0; r < n; r++)
        sw_choose_experts(k->model, block_row_scores(k, r), s->chosen + r * used,
                          s->shares + n + r * used);
    return s->route_hook ? s->route_hook(s->hook_context, k->layer, s->chosen, n) : SW_OK;
}

/* x += shared(h), the MLP that all rows see; times a sigmoid of its own router's product. */
static enum sw_status block_shared(const struct block *k, const float *d_h)
{
    struct sw_stage *s = k->s;
    const struct sw_device_context *device = k->device;
    const int n = k->batch->n_rows;
    const struct input in = {.d_h = (float *)(uintptr_t)d_h};
    const bool weighted = k->w->matrix[SW_W_SHARED_ROUTER].d_data;
    float *d_out = weighted ? device->d_expert_out : device->d_x, *d_up = device->d_up;
    SW_TRY(sw_block_project(k, &in, k->ld, &k->w->matrix[SW_W_SHARED_UP], NULL, true, n, d_up,
                            s->work.up));
    SW_TRY(sw_block_down(k, &k->w->matrix[SW_W_SHARED_DOWN], NULL, n, d_out,
                         weighted ? k->d->hidden : k->ld, !weighted));
    if (!weighted)
        return SW_OK;
    SW_TRY(sw_block_product(k, &k->w->matrix[SW_W_SHARED_ROUTER], NULL, d_h, k->ld, n,
                            device->d_router, 1, false));
    SW_TRY(k->b->ops->download(k->b, s->scores, device->d_router, (size_t)n * sizeof(float)));
    for (int r = 0; r < n; r++) {
        s->rows[r] = r;
        s->scores[r] = 1 / (1 + expf(-s->scores[r]));
    }
    k->b->ops->scatter_add(k->b, d_out, k->d->hidden, s->rows, s->scores, n, k->d->hidden,
                           device->d_x, k->ld);
    return SW_OK;
}

/* Lists the rows that chose an expert, with its share of each; returns how many. *before: choices
 * of the experts before it. */
static int block_expert_rows(const struct block *k, int expert, int64_t *before)
{
    struct sw_stage *s = k->s;
    const int n = k->batch->n_rows, used = k->d->n_experts_used;
    int m = 0;
    *before = 0;
    for (int i = 0; i < n * used; i++) {
        *before += s->chosen[i] < expert;
        if (s->chosen[i] != expert)
            continue;
        s->rows[m] = i / used;
        s->shares[m++] = s->shares[n + i];
    }
    return m;
}

/* The bias of an expert's matrix; NULL: it has none. */
static const float *block_expert_bias(const struct block *k, enum sw_weight id, int e, int64_t rows)
{
    const float *d_first = k->w->d_vector[id];
    return d_first ? d_first + e * (int64_t)(sw_vector_bytes(rows) / sizeof(float)) : NULL;
}

/* d_out (m, hidden) = expert(h) of the listed rows */
static enum sw_status block_expert(const struct block *k, const float *d_h, int expert, int m,
                                   float *d_out)
{
    const struct sw_device_context *device = k->device;
    const int64_t hidden = k->d->hidden;
    const struct input in = {.d_h = device->d_expert_in};
    k->b->ops->gather(k->b, d_h, k->ld, k->s->rows,
                      k->model->arch->scaled_input ? k->s->shares : NULL, m, hidden,
                      device->d_expert_in, hidden);
    SW_TRY(sw_block_project(k, &in, hidden, &k->w->expert_up[expert],
                            block_expert_bias(k, SW_W_EXPERT_UP_BIAS, expert, 2 * k->d->expert_ffn),
                            true, m, device->d_up, k->s->work.up));
    return sw_block_down(k, &k->w->expert_down[expert],
                         block_expert_bias(k, SW_W_EXPERT_DOWN_BIAS, expert, hidden), m, d_out,
                         hidden, false);
}

/* The sum, mostly x, += share * out, of the listed rows; += out, where shares were factors of the
 * input */
static void block_add_expert(const struct block *k, const float *d_out, int m)
{
    for (int i = 0; i < m && k->model->arch->scaled_input; i++)
        k->s->shares[i] = 1;
    k->b->ops->scatter_add(k->b, d_out, k->d->hidden, k->s->rows, k->s->shares, m, k->d->hidden,
                           k->d_sum, k->ld);
}

/* Routes x, the input of the MLP, by the next layer's router, and tells the store, where it wants
 * to know: what is added until then is little beside x. */
static enum sw_status block_look_ahead(const struct block *k)
{
    struct sw_stage *s = k->s;
    const struct sw_dims *d = k->d;
    const struct sw_device_context *device = k->device;
    const int rows = k->batch->n_rows, used = d->n_experts_used;
    float *shares = s->shares + (int64_t)rows * (used + 1);
    const struct sw_weights *next = NULL;
    int32_t chosen[LOOK_AHEAD_USED];
    int n = 0;
    if (d->post_norm || d->normed_residual || d->residual != SW_RES_SEQUENTIAL ||
        k->d_sum != device->d_x || used > LOOK_AHEAD_USED)
        return SW_OK;
    k->store->ops->look_ahead(k->store, &next);
    if (!next)
        return SW_OK;
    struct block ahead = *k;
    ahead.w = next;
    sw_block_norm(&ahead, SW_W_MLP_NORM, device->d_x, device->d_h2);
    SW_TRY(block_score(&ahead, device->d_h2));
    for (int r = 0; r < rows; r++) {
        sw_choose_experts(k->model, block_row_scores(&ahead, r), chosen, shares);
        for (int i = 0; i < used; i++) {
            int at = 0;
            while (at < n && s->foreseen[at] != chosen[i])
                at++;
            s->foreseen[at] = chosen[i];
            n += at == n;
        }
    }
    k->store->ops->foresee(k->store, s->foreseen, n);
    return SW_OK;
}

/*
 * The experts of a store that may still have to read some: those that are there first, where there
 * is room for what all of them give, which is added in the order of their index as ever.
 */
static enum sw_status block_fetched_experts(const struct block *k, const float *d_h)
{
    struct sw_stage *s = k->s;
    const struct sw_dims *d = k->d;
    const int rows = k->batch->n_rows;
    const bool any_order = (int64_t)rows * d->n_experts_used <= s->work.rows;
    float *d_out = k->device->d_expert_out;
    int64_t before;
    int n = 0;
    for (int e = 0; e < d->n_experts; e++)
        if (block_expert_rows(k, e, &before) > 0)
            s->experts[n++] = e;
    SW_TRY(k->store->ops->choose(k->store, rows, s->experts, n, any_order));
    if (k->store->ops->look_ahead)
        SW_TRY(block_look_ahead(k));
    for (int i = 0; i < n; i++) {
        SW_TRY(k->store->ops->expert(k->store, s->experts[i]));
        const int m = block_expert_rows(k, s->experts[i], &before);
        float *d_one = d_out + (any_order ? before * d->hidden : 0);
        SW_TRY(block_expert(k, d_h, s->experts[i], m, d_one));
        if (!any_order)
            block_add_expert(k, d_one, m);
    }
    for (int e = 0; e < d->n_experts && any_order; e++) {
        const int m = block_expert_rows(k, e, &before);
        if (m > 0)
            block_add_expert(k, d_out + before * d->hidden, m);
    }
    return SW_OK;
}

/* The sum += that over a row's experts, in the order of their index, of share * expert(h) */
static enum sw_status block_experts(const struct block *k, const float *d_h)
{
    int64_t before;
    if (k->store->ops->choose)
        return block_fetched_experts(k, d_h);
    for (int e = 0; e < k->d->n_experts; e++) {
        const int m = block_expert_rows(k, e, &before);
        if (m == 0)
            continue;
        SW_TRY(block_expert(k, d_h, e, m, k->device->d_expert_out));
        block_add_expert(k, k->device->d_expert_out, m);
    }
    return SW_OK;
}

/* x += what a row's experts give to the normed input */
enum sw_status sw_block_routed(const struct block *k, const struct input *in)
{
    const float *d_h = sw_block_input(k, in);
    if (k->d->shared_ffn > 0)
        SW_TRY(block_shared(k, d_h));
    SW_TRY(block_route(k, d_h));
    return block_experts(k, d_h);
}

/* h2 = norm(what a row's experts give to norm(x)), where the router has a norm of its own */
static enum sw_status block_experts_beside(const struct block *k)
{
    const struct sw_device_context *device = k->device;
    struct block beside = *k;
    const int n = k->batch->n_rows;
    beside.d_sum = device->d_h2;
    for (int r = 0; r < n; r++) {
        k->s->rows[r] = r;
        k->s->shares[r] = 0;
    }
    k->b->ops->gather(k->b, device->d_x, k->ld, k->s->rows, k->s->shares, n, k->d->hidden,
                      device->d_h2, k->ld); /* all 0 */
    sw_block_norm(k, SW_W_ROUTER_NORM, device->d_x, device->d_h);
    SW_TRY(block_route(k, device->d_h));
    sw_block_norm(k, SW_W_EXPERT_NORM, device->d_x, device->d_h);
    SW_TRY(block_experts(&beside, device->d_h));
    sw_block_norm(k, SW_W_EXPERT_POST_NORM, device->d_h2, device->d_h2);
    return SW_OK;
}

/* x += norm(norm(experts) + norm(mlp(in))) */
enum sw_status sw_block_beside(const struct block *k, const struct input *in)
{
    const int64_t hidden = k->d->hidden;
    float *d_out = k->device->d_expert_out;
    const int n = k->batch->n_rows;
    SW_TRY(block_experts_beside(k));
    SW_TRY(sw_block_up(k, in));
    SW_TRY(sw_block_down(k, &k->w->matrix[SW_W_DOWN], k->w->d_vector[SW_W_DOWN_BIAS], n, d_out,
                         hidden, false));
    k->b->ops->norm(k->b, k->model->arch->norm, k->d->norm_eps, d_out, hidden, n, hidden,
                    k->w->d_vector[SW_W_DENSE_POST_NORM], NULL, d_out, hidden);
    k->b->ops->add(k->b, 1, d_out, hidden, n, hidden, k->device->d_h2, k->ld);
    sw_block_add_branch(k, SW_W_MLP_POST_NORM, false);
    return SW_OK;
}
