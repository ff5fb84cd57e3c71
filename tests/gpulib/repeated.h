/*
 * A layer of a made-up model, as the operations of a backend, to be repeated for one token after
 * the other; for tests of graphs. Knows nothing of the simulated GPU, so it runs on a real GPU,
 * too.
 */
#ifndef SW_TESTS_GPULIB_REPEATED_H
#define SW_TESTS_GPULIB_REPEATED_H

#include "gpulib_help.h"

enum {
    LAYER_HIDDEN = 32,
    LAYER_HEADS = 4,
    LAYER_KV_HEADS = 2,
    LAYER_HEAD = 8,
    LAYER_Q = LAYER_HEADS * LAYER_HEAD,
    LAYER_KV = LAYER_KV_HEADS * LAYER_HEAD,
    LAYER_QKV = LAYER_Q + 2 * LAYER_KV,
    LAYER_SLOTS = 10,
    LAYER_CONTEXT = 1100,
    LAYER_ROWS = 10
};

struct layer {
    struct sw_backend *b;
    struct sw_matrix qkv, out;
    struct sw_kv kv;
    float *d_x, *d_h, *d_qkv, *d_attention, *d_norm, *d_rope;
    struct sw_span spans[LAYER_ROWS];
    int n;                /* spans, and rows */
    int more;             /* further small sums, each one a launch */
    int enqueued;         /* how many times it was enqueued */
    int bad_upload;       /* this enqueueing sends something, which cannot be captured; 0: none */
    enum sw_status fails; /* status that enqueueing returns */
};

/* Caches are filled with the same finite values other than 0. */
static inline struct layer layer_open(struct sw_backend *b, enum sw_format_id format)
{
    struct layer k = {.b = b};
    const int64_t rope = LAYER_CONTEXT * LAYER_HEAD;
    float *w = floats(LAYER_QKV * LAYER_HIDDEN, 1), *v = floats(LAYER_HIDDEN * LAYER_Q, 2);
    float *norm = floats(LAYER_HIDDEN, 3), *table = floats(rope, 4);
    k.qkv = matrix(b, format, LAYER_QKV, LAYER_HIDDEN, w);
    k.out = matrix(b, format, LAYER_HIDDEN, LAYER_Q, v);
    k.d_norm = copied_floats(b, norm, LAYER_HIDDEN);
    k.d_rope = copied_floats(b, table, rope);
    k.d_x = room(b, LAYER_ROWS * LAYER_HIDDEN * sizeof(float));
    k.d_h = room(b, LAYER_ROWS * LAYER_HIDDEN * sizeof(float));
    k.d_qkv = room(b, LAYER_ROWS * LAYER_QKV * sizeof(float));
    k.d_attention = room(b, LAYER_ROWS * LAYER_Q * sizeof(float));
    k.kv = (struct sw_kv){SW_F32, LAYER_SLOTS, LAYER_KV_HEADS, LAYER_HEAD, LAYER_CONTEXT, NULL, 0};
    const size_t bytes =
        sw_kv_bytes(SW_F32, LAYER_SLOTS, LAYER_KV_HEADS, LAYER_HEAD, LAYER_CONTEXT);
    float *cache = floats((int64_t)(bytes / sizeof(float)), 5);
    k.kv.d_data = copied(b, cache, bytes);
    free(w), free(v), free(norm), free(table), free(cache);
    return k;
}

static inline void layer_close(struct layer *k)
{
    struct sw_backend *b = k->b;
    ok(b->ops->sync(b));
    matrix_free(b, &k->qkv);
    matrix_free(b, &k->out);
    b->ops->free(b, k->d_norm, LAYER_HIDDEN * sizeof(float));
    b->ops->free(b, k->d_rope, LAYER_CONTEXT * LAYER_HEAD * sizeof(float));
    b->ops->free(b, k->d_x, LAYER_ROWS * LAYER_HIDDEN * sizeof(float));
    b->ops->free(b, k->d_h, LAYER_ROWS * LAYER_HIDDEN * sizeof(float));
    b->ops->free(b, k->d_qkv, LAYER_ROWS * LAYER_QKV * sizeof(float));
    b->ops->free(b, k->d_attention, LAYER_ROWS * LAYER_Q * sizeof(float));
    b->ops->free(b, k->kv.d_data,
                 sw_kv_bytes(SW_F32, LAYER_SLOTS, LAYER_KV_HEADS, LAYER_HEAD, LAYER_CONTEXT));
    CU_ASSERT_EQUAL(b->gpu->allocated(b), 0);
}

static inline enum sw_status layer_enqueue(void *context)
{
    struct layer *k = context;
    struct sw_backend *b = k->b;
    float *d_k = k->d_qkv + LAYER_Q;
    const struct sw_attention a = {.n_heads = LAYER_HEADS,
                                   .scale = 0.5f,
                                   .d_q = k->d_qkv,
                                   .q_ld = LAYER_QKV,
                                   .q_head = LAYER_HEAD,
                                   .d_out = k->d_attention,
                                   .out_ld = LAYER_Q};
    b->ops->norm(b, SW_NORM_RMS, 1e-5f, k->d_x, LAYER_HIDDEN, k->n, LAYER_HIDDEN, k->d_norm, NULL,
                 k->d_h, LAYER_HIDDEN);
    b->ops->matmul(b, &k->qkv, NULL, k->d_h, LAYER_HIDDEN, k->n, k->d_qkv, LAYER_QKV, false);
    const struct sw_heads heads = {.d_q = k->d_qkv,
                                   .d_k = d_k,
                                   .d_v = d_k + LAYER_KV,
                                   .ld = LAYER_QKV,
                                   .q_head = LAYER_HEAD,
                                   .kv_head = LAYER_HEAD,
                                   .n_heads = LAYER_HEADS,
                                   .rope = {.rotary_dim = LAYER_HEAD, .d_cos_sin = k->d_rope}};
    b->ops->place_heads(b, &heads, &k->kv, k->spans, k->n);
    b->ops->attend(b, &a, &k->kv, k->spans, k->n);
    b->ops->matmul(b, &k->out, NULL, k->d_attention, LAYER_Q, k->n, k->d_x, LAYER_HIDDEN, true);
    for (int i = 0; i < k->more; i++)
        b->ops->add(b, 1, k->d_h, LAYER_HIDDEN, k->n, LAYER_HIDDEN, k->d_x, LAYER_HIDDEN);
    if (++k->enqueued == k->bad_upload) {
        const float one = 1;
        (void)b->ops->upload(b, k->d_h, &one, sizeof one);
    }
    return k->fails;
}

/* One token more in each of n sequences: row i in a slot and at a position of its own. */
static inline void layer_rows(struct layer *k, const int *slots, const int64_t *positions, int n)
{
    k->n = n;
    for (int i = 0; i < n; i++)
        k->spans[i] = (struct sw_span){slots[i], positions[i], i, 1};
}

/* The layer over made-up rows; its results are added to `out`, (LAYER_ROWS, LAYER_HIDDEN). */
static inline enum sw_status layer_step(struct layer *k, int64_t id, uint64_t seed, float *out)
{
    const size_t bytes = (size_t)k->n * LAYER_HIDDEN * sizeof(float);
    const struct sw_gpu_sequence sequence = {id, k->spans, k->n, layer_enqueue, k};
    float *x = floats((int64_t)k->n * LAYER_HIDDEN, seed);
    ok(k->b->ops->upload(k->b, k->d_x, x, bytes));
    enum sw_status status = k->b->gpu->replay(k->b, &sequence);
    if (status == SW_OK)
        status = k->b->ops->download(k->b, out, k->d_x, bytes);
    free(x);
    return status;
}

static inline uint64_t replays_of(const struct layer *k)
{
    return k->b->gpu->replays(k->b);
}

/* A backend that captures graphs, and one that does not. */
static inline struct sw_backend *open_repeating(bool graphs)
{
    const struct sw_gpu_options o = {
        .max_rows = LAYER_ROWS, .max_cols = 64, .max_out = 64, .no_graphs = !graphs};
    return open_gpu_as(&o);
}

#endif
