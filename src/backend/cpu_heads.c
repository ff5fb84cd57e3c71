/* Owns the work on heads before attention: norm, rotation, and storing keys and values. */
#include "backend/cpu_internal.h"

#include <math.h>
#include <string.h>

struct placing {
    const struct sw_kernels *kernels;
    const struct sw_heads *heads;
    const struct sw_span *spans;
    int n_kv_heads, head_dim;
};

static void cpu_heads_norm(const struct placing *p, const float *weight, int n_heads, float *x,
                           int64_t head)
{
    for (int h = 0; weight && h < n_heads; h++)
        p->kernels->norm(p->heads->layer_norm ? SW_NORM_LAYER : SW_NORM_RMS, p->heads->eps,
                         x + h * head, p->head_dim, weight + h * p->heads->norm_step, NULL,
                         x + h * head);
}

static void cpu_heads_rotate(const struct placing *p, const float *weight, int n_heads,
                             int64_t position, float *x, int64_t head)
{
    const struct sw_rope *rope = &p->heads->rope;
    const bool last = p->heads->norm_last;
    if (!last)
        cpu_heads_norm(p, weight, n_heads, x, head);
    if (rope->rotary_dim > 0)
        p->kernels->rope(rope->rotary_dim, rope->interleaved,
                         rope->d_cos_sin + position * rope->rotary_dim, n_heads, x + rope->first,
                         head);
    if (last)
        cpu_heads_norm(p, weight, n_heads, x, head);
}

static void cpu_heads_scale(const struct placing *p, int n_heads, int64_t position, float *q)
{
    const struct sw_heads *heads = p->heads;
    const struct sw_query_growth *g = &heads->growth;
    const float factor = 1 + g->slope * logf(1 + (float)((position + g->from) / g->length));
    for (int h = 0; h < n_heads; h++)
        for (int d = 0; d < p->head_dim; d++)
            q[h * heads->q_head + d] *= factor;
}

/* Brings the rotated parts of a row's queries where they belong. */
static void cpu_heads_bring(const struct sw_heads *h, int64_t at)
{
    for (int i = 0; h->d_q_rotary && i < h->n_heads; i++)
        memcpy(h->d_q + at + i * h->q_head + h->rope.first,
               h->d_q_rotary + at + i * h->q_rotary_head,
               (size_t)h->rope.rotary_dim * sizeof(float));
}

/* Makes a row's values, of keys as they are where these are both. */
static void cpu_heads_values(const struct placing *p, float *v, const float *k)
{
    const struct sw_heads *heads = p->heads;
    for (int h = 0; heads->keys_as_values && h < p->n_kv_heads; h++)
        memcpy(v + h * heads->kv_head, k + h * heads->kv_head, (size_t)p->head_dim * sizeof(float));
    for (int h = 0; heads->d_v_norm && h < p->n_kv_heads; h++)
        p->kernels->norm(SW_NORM_RMS, heads->eps, v + h * heads->kv_head, p->head_dim,
                         heads->d_v_norm, NULL, v + h * heads->kv_head);
}

/* Row i of all spans, counted in order. */
static void cpu_heads_rotate_row(void *ctx, int64_t i, int worker)
{
    const struct placing *p = ctx;
    const struct sw_heads *h = p->heads;
    const struct sw_span *span = p->spans;
    (void)worker;
    for (; i >= span->n; span++)
        i -= span->n;
    const int64_t at = (span->row + i) * h->ld, position = span->position + i;
    cpu_heads_bring(h, at);
    const int groups = h->q_skip ? p->n_kv_heads : 1, n_heads = h->n_heads / groups;
    for (int g = 0; g < groups; g++) {
        float *q = h->d_q + at + g * (n_heads * h->q_head + h->q_skip);
        cpu_heads_rotate(p, h->d_q_norm, n_heads, position, q, h->q_head);
        if (h->growth.slope > 0)
            cpu_heads_scale(p, n_heads, position, q);
    }
    cpu_heads_values(p, h->d_v + at, h->d_k + at);
    cpu_heads_rotate(p, h->d_k_norm, p->n_kv_heads, position, h->d_k + at, h->kv_head);
}

#define SMALL_FLOATS 32768 /* less work than starting other threads takes */

void sw_cpu_place_heads(struct sw_backend *b, const struct sw_heads *heads, const struct sw_kv *kv,
                        const struct sw_span *spans, int n_spans)
{
    struct sw_cpu *cpu = sw_cpu_of(b);
    struct placing p = {cpu->kernels, heads, spans, kv->n_kv_heads, kv->head_dim};
    int64_t n = 0;
    for (int i = 0; i < n_spans; i++)
        n += spans[i].n;
    const bool is_small = n * (heads->n_heads + kv->n_kv_heads) * kv->head_dim < SMALL_FLOATS;
    if (heads->rope.rotary_dim > 0 || heads->d_q_norm || heads->d_k_norm || heads->d_v_norm ||
        heads->keys_as_values || heads->growth.slope > 0)
        sw_pool_run(is_small ? NULL : cpu->pool, cpu_heads_rotate_row, &p, n);
    sw_cpu_kv_store(b, kv, spans, n_spans, heads->d_k, heads->d_v, heads->ld, heads->kv_head);
}
