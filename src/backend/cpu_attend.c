/* The KV cache on the CPU: stores keys and values; attention, shared out by slot, head and query.
 */
#include "backend/cpu_internal.h"

#include <assert.h>
#include <string.h>

static char *kv_head(const struct sw_kv *kv, int slot, int head)
{
    return (char *)kv->d_data + sw_kv_span_bytes(kv, kv->context) *
                                    ((size_t)slot * (size_t)kv->n_kv_heads + (size_t)head);
}

struct store {
    const struct sw_kv *kv;
    const struct sw_span *spans;
    int n_spans;
    const float *k, *v;
    int64_t ld, head;
};

/* One KV head of every row. */
static void store_head(void *ctx, int64_t h, int worker)
{
    const struct store *s = ctx;
    (void)worker;
    for (int i = 0; i < s->n_spans; i++) {
        const struct sw_span *span = &s->spans[i];
        char *head = kv_head(s->kv, span->slot, (int)h);
        for (int64_t r = 0; r < span->n; r++) {
            const int64_t at = (span->row + r) * s->ld + h * s->head;
            sw_kv_put(s->kv->format, s->kv->head_dim, head, span->position + r, s->k + at,
                      s->kv->value_dim ? NULL : s->v + at);
        }
    }
}

static int64_t span_rows(const struct sw_span *spans, int n_spans)
{
    int64_t n = 0;
    for (int i = 0; i < n_spans; i++)
        n += spans[i].n;
    return n;
}

void sw_cpu_kv_store(struct sw_backend *b, const struct sw_kv *kv, const struct sw_span *spans,
                     int n_spans, const float *d_k, const float *d_v, int64_t ld, int64_t head)
{
    struct store s = {kv, spans, n_spans, d_k, d_v, ld, head};
    const bool is_small = span_rows(spans, n_spans) < 8;
    sw_pool_run(is_small ? NULL : sw_cpu_of(b)->pool, store_head, &s, kv->n_kv_heads);
}

struct copy {
    const struct sw_kv *kv;
    int from, to;
    size_t bytes; /* of a head's blocks */
};

static void copy_head(void *ctx, int64_t h, int worker)
{
    const struct copy *c = ctx;
    (void)worker;
    memcpy(kv_head(c->kv, c->to, (int)h), kv_head(c->kv, c->from, (int)h), c->bytes);
}

/* Copies whole blocks: nothing reads the positions after the first n. */
void sw_cpu_kv_copy(struct sw_backend *b, const struct sw_kv *kv, int from, int to, int64_t n)
{
    struct copy c = {kv, from, to, sw_kv_span_bytes(kv, n)};
    assert(from != to && n <= kv->context);
    const bool is_small = c.bytes * (size_t)kv->n_kv_heads < 65536;
    sw_pool_run(is_small ? NULL : sw_cpu_of(b)->pool, copy_head, &c, kv->n_kv_heads);
}

struct attend {
    struct sw_cpu *cpu;
    const struct sw_attention *a;
    const struct sw_kv *kv;
    const struct sw_span *spans;
    int n_spans;
    int group;         /* query heads per KV head */
    int part, n_parts; /* a group is cut into n_parts of at most `part` heads */
    int tile;          /* query positions of a tile */
    bool split;        /* spans of one row are cut into lengths of keys */
    float *states;     /* with `split`, for each such span (lengths, n_heads, state) */
};

/* Keys that the last row of span i sees. */
static int64_t span_keys(const struct attend *a, int i)
{
    return a->a->keys ? a->a->keys[i] : a->spans[i].position + a->spans[i].n;
}

static bool is_split(const struct attend *a, const struct sw_span *span)
{
    return a->split && span->n == 1;
}

/* Lengths of keys that a span of one row sees. */
static int64_t span_lengths(const struct attend *a, const struct sw_span *span)
{
    return (span_keys(a, (int)(span - a->spans)) - 1) / SW_KEY_LENGTH -
           sw_first_length(span->position, a->a->window) + 1;
}

static int64_t span_chunks(const struct attend *a, const struct sw_span *span)
{
    const int64_t tiles =
        is_split(a, span) ? span_lengths(a, span) : (span->n + a->tile - 1) / a->tile;
    return tiles * a->kv->n_kv_heads * a->n_parts;
}

static int64_t span_states(const struct attend *a, const struct sw_span *span)
{
    const int64_t step = a->a->n_heads * sw_attend_state_floats(sw_kv_value_dim(a->kv));
    return span->n == 1 ? span_lengths(a, span) * step : 0;
}

/* Runs one chunk. Chunks are numbered span by span; in a span by tile of queries, from the last
 * (the longest) to the first, or by length of keys; innermost by head. */
static void attend_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct attend *a = ctx;
    const struct sw_span *span = a->spans;
    float *states = a->states;
    for (int64_t n; chunk >= (n = span_chunks(a, span)); span++) {
        chunk -= n;
        states += is_split(a, span) ? span_states(a, span) : 0;
    }
    const bool split = is_split(a, span);
    const int64_t per_tile = (int64_t)a->kv->n_kv_heads * a->n_parts, length = chunk / per_tile;
    const int64_t tile = split ? 0 : (span->n + a->tile - 1) / a->tile - 1 - length;
    const int kv_index = (int)(chunk % per_tile) / a->n_parts;
    const int part = (int)(chunk % per_tile) % a->n_parts;
    const int first_head = kv_index * a->group + part * a->part, left = a->group - part * a->part;
    const int64_t first = tile * a->tile, row = span->row + first;
    const struct sw_attention *at = a->a;
    const struct sw_attend_tile t = {
        .format = a->kv->format,
        .head_dim = a->kv->head_dim,
        .value_dim = a->kv->value_dim,
        .group = left < a->part ? left : a->part,
        .n_queries = span->n - first < a->tile ? (int)(span->n - first) : a->tile,
        .kv = kv_head(a->kv, span->slot, kv_index),
        .position = span->position + first,
        .window = at->window,
        .scale = at->scale,
        .cap = at->cap,
        .slopes = at->d_slopes ? at->d_slopes + first_head : NULL,
        .sinks = at->d_sinks ? at->d_sinks + first_head : NULL,
        .keys = at->keys ? at->keys[span - a->spans] : 0,
        .bias = {.table = at->d_bias ? at->d_bias + first_head : NULL,
                 .buckets = at->d_buckets,
                 .reach = at->bias_reach,
                 .step = at->n_heads},
        .q = at->d_q + row * at->q_ld + first_head * at->q_head + kv_index * at->q_skip,
        .q_ld = at->q_ld,
        .q_head = at->q_head,
        .out = at->d_out + row * at->out_ld + (int64_t)first_head * sw_kv_value_dim(a->kv),
        .out_ld = at->out_ld,
        .scratch = a->cpu->thread_scratch + (int64_t)worker * SW_THREAD_FLOATS,
        .state = split ? states + (length * at->n_heads + first_head) *
                                      sw_attend_state_floats(sw_kv_value_dim(a->kv))
                       : NULL,
        .length = split ? sw_first_length(span->position, at->window) + length : 0,
    };
    a->cpu->kernels->attend(&t);
}

/* Joins the states of one head, for every span that was split. */
static void join_head(void *ctx, int64_t head, int worker)
{
    const struct attend *a = ctx;
    const int value_dim = sw_kv_value_dim(a->kv);
    const int64_t floats = sw_attend_state_floats(value_dim);
    float *states = a->states;
    (void)worker;
    for (int i = 0; i < a->n_spans; i++) {
        const struct sw_span *span = &a->spans[i];
        if (!is_split(a, span))
            continue;
        a->cpu->kernels->attend_join(value_dim, span_lengths(a, span), a->a->n_heads * floats,
                                     states + head * floats,
                                     a->a->d_sinks ? a->a->d_sinks + head : NULL,
                                     a->a->d_out + span->row * a->a->out_ld + head * value_dim);
        states += span_states(a, span);
    }
}

/* A batch of one or two long sequences with few KV heads has fewer chunks than threads, or chunks
 * of uneven size; then keys are split, too. The result has the same bits. */
#define CHUNKS_A_THREAD 4
static void choose_split(struct attend *a)
{
    int64_t n_chunks = 0, states = 0;
    bool is_long = false;
    for (int i = 0; i < a->n_spans; i++) {
        n_chunks += span_chunks(a, &a->spans[i]);
        states += span_states(a, &a->spans[i]);
        is_long |= a->spans[i].n == 1 && span_lengths(a, &a->spans[i]) > 1;
    }
    a->states = a->cpu->x; /* the products' buffer; no product is under way */
    a->split = is_long && a->cpu->threads > 1 && n_chunks < CHUNKS_A_THREAD * a->cpu->threads &&
               states <= a->cpu->x_floats;
}

void sw_cpu_attend(struct sw_backend *b, const struct sw_attention *at, const struct sw_kv *kv,
                   const struct sw_span *spans, int n_spans)
{
    struct attend a = {.cpu = sw_cpu_of(b), .a = at, .kv = kv, .spans = spans, .n_spans = n_spans};
    const int most = sw_attend_rows(kv->head_dim, kv->value_dim);
    a.group = at->n_heads / kv->n_kv_heads;
    a.part = a.group < most ? a.group : most;
    a.n_parts = (a.group + a.part - 1) / a.part;
    a.tile = most / a.part;
    choose_split(&a);
    int64_t n_chunks = 0, work = 0;
    for (int i = 0; i < n_spans; i++) {
        n_chunks += span_chunks(&a, &spans[i]);
        work += spans[i].n * span_keys(&a, i) * at->n_heads * kv->head_dim;
    }
    struct sw_pool *pool = work < 65536 ? NULL : a.cpu->pool;
    sw_pool_run(pool, attend_chunk, &a, n_chunks);
    if (a.split)
        sw_pool_run(pool, join_head, &a, at->n_heads);
}
