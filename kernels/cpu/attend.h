/*
 * Attention of a few queries over one KV head, block of keys by block of keys. Blocks lie at fixed
 * positions, and so do lengths of SW_KEY_LENGTH keys: each begins with an empty state, and their
 * states are joined in order. A query's state changes only where it sees a key, so its bits do not
 * depend on which other queries are in the tile, nor on who computes which length. With bf16 keys
 * and values, queries and shares are rounded to bf16 as well, as products round their input.
 * Included per instruction set, after product.h.
 */
#ifndef SW_KERNELS_ATTEND_H
#define SW_KERNELS_ATTEND_H

#include "kernels/cpu/latent_values.h"

#include <math.h>
#include <string.h>

/* Scratch: q (rows, dim_even), p (rows, SW_KEY_BLOCK), of a length out (rows, dim_pad), top, total
 * (rows) and the same of what was joined so far, block (SW_KEY_BLOCK, head_dim; or some dimensions
 * of values that are a part of keys) and what a vector may read past it */
struct softmax {
    const struct sw_attend_tile *t;
    int value_dim, dim_pad; /* width of values, and padded */
    int dim_even;
    float *q, *p, *out, *top, *total, *all_out, *all_top, *all_total, *block;
};

/* Keys of the block at `base` that query i sees: [*lo, *hi), empty when *lo >= *hi. */
ALWAYS_INLINE void visible(const struct sw_attend_tile *t, int i, int64_t base, int *lo, int *hi)
{
    const int64_t query = t->position + i, first = sw_first_key(query, t->window) - base;
    const int64_t end = (t->keys ? t->keys : query + 1) - base;
    *lo = first < 0 ? 0 : first > SW_KEY_BLOCK ? SW_KEY_BLOCK : (int)first;
    *hi = end < 0 ? 0 : end > SW_KEY_BLOCK ? SW_KEY_BLOCK : (int)end;
}

/* cap * tanh(x / cap); tanh(u) = 1 - 2 / (1 + exp(2u)) */
ALWAYS_INLINE vec capped(vec x, float cap)
{
    const vec e = v_exp(v_mul(x, v_set(2 / cap)));
    const vec rest = v_div(v_set(2 * cap), v_add(v_set(1), e));
    return v_sub(v_set(cap), rest);
}

/* The bias of a query's head and the keys from `base` on; out: (SW_KEY_BLOCK) */
static void biases_of(const struct sw_score_bias *bias, int64_t query, int head, int64_t base,
                      float *out)
{
    const int64_t reach = bias->reach;
    for (int k = 0; k < SW_KEY_BLOCK; k++) {
        const int64_t apart = base + k - query;
        const int64_t at = apart < -reach ? -reach : apart > reach ? reach : apart;
        out[k] = bias->table[(int64_t)bias->buckets[at + reach] * bias->step + head];
    }
}

/* p[row] = exp(scores - running maximum) over [lo, hi), 0 elsewhere; rescales the row's state. */
ALWAYS_INLINE void soften(const struct softmax *s, int row, int64_t base, int lo, int hi)
{
    static const float lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const struct sw_attend_tile *t = s->t;
    float *p = s->p + row * SW_KEY_BLOCK;
    const vec lanes = v_load(lane_numbers), hidden = v_set(-INFINITY);
    const vec first = v_set((float)lo), end = v_set((float)hi);
    const float slope = t->slopes ? t->slopes[row % t->group] : 0;
    vec scores[SW_KEY_BLOCK / 16], largest = hidden;
    float biases[SW_KEY_BLOCK];
    if (t->bias.table)
        biases_of(&t->bias, t->position + row / t->group, row % t->group, base, biases);
    EACH (v, SW_KEY_BLOCK / 16) {
        const vec key = v_add(lanes, v_set((float)(v * 16)));
        vec x = v_mul(v_load(p + v * 16), v_set(t->scale));
        if (t->cap > 0)
            x = capped(x, t->cap);
        if (t->bias.table)
            x = v_add(x, v_load(biases + v * 16));
        if (t->slopes)
            x = v_fma(v_add(key, v_set((float)base)), v_set(slope), x);
        x = v_if_less(key, end, x, hidden);
        scores[v] = v_if_less(key, first, hidden, x);
        largest = v_max(largest, scores[v]);
    }
    const float block_top = v_largest(largest);
    if (block_top > s->top[row]) {
        float shrink[16];
        v_store(shrink, v_exp(v_set(s->top[row] - block_top)));
        float *out = s->out + row * s->dim_pad;
        for (int d = 0; d < s->dim_pad; d += 16)
            v_store(out + d, v_mul(v_load(out + d), v_set(shrink[0])));
        s->total[row] *= shrink[0];
        s->top[row] = block_top;
    }
    const vec top = v_set(s->top[row]);
    vec sum = v_set(0);
    EACH (v, SW_KEY_BLOCK / 16) {
        const vec e = v_exp(v_sub(scores[v], top));
        v_store(p + v * 16, e);
        sum = v_add(sum, e);
    }
    s->total[row] += v_sum(sum);
}

/* A block's keys or values as floats: worth it when several tiles of queries go over them. */
ALWAYS_INLINE const char *widened(enum kind kind, const struct softmax *s, const char *from)
{
    const int64_t n = (int64_t)SW_KEY_BLOCK * s->t->head_dim;
    for (int64_t i = 0; i < n; i += 16)
        v_store(s->block + i, load_kind(kind, from + i * kind_bytes(kind)));
    return (const char *)s->block;
}

/*
 * Adds shares of the block's keys times their values, whose first is at from.w, to vectors of the
 * sums from from.c on. Keys that a query does not see are not even multiplied by 0: they may hold
 * anything. (The second of a pair holds 0 until it is stored.)
 */
ALWAYS_INLINE void add_values(enum kind kind, const struct softmax *s, int64_t base, int first,
                              int end, bool whole, struct tile from, int vectors)
{
    const struct sw_attend_tile *t = s->t;
    const int64_t keys = kind == KIND_PAIRS ? 2 : 1;
    struct tile values = {
        .w_step = from.w_step, .x_ld = SW_KEY_BLOCK * 4, .c_ld = s->dim_pad, .resume = true};
    for (int i = first; i < end; i = whole ? end : i + 1) {
        int lo = 0, hi = SW_KEY_BLOCK;
        if (!whole)
            visible(t, i, base, &lo, &hi);
        const int64_t skip = lo / keys;
        values.w = from.w + skip * values.w_step;
        values.x = (const char *)(s->p + i * t->group * SW_KEY_BLOCK) + skip * x_bytes(kind);
        values.steps = (hi + keys - 1) / keys - skip;
        values.c = from.c + i * t->group * s->dim_pad;
        tall[kind](whole ? (end - first) * t->group : t->group, vectors, values);
    }
}

/* One block for queries [first, end), all of which see some of it. */
ALWAYS_INLINE void attend_block(enum kind stored, const struct softmax *s, int64_t base, int first,
                                int end)
{
    const struct sw_attend_tile *t = s->t;
    const int64_t size = stored == KIND_F32 ? 4 : 2;
    const char *k = t->kv + base * (t->value_dim ? 1 : 2) * s->dim_even * size;
    const char *v = k + SW_KEY_BLOCK * s->dim_even * size;
    const int row = first * t->group, n_rows = (end - first) * t->group;
    const bool widen = stored == KIND_F16 && n_rows > 2 * TILE_ROWS && !t->value_dim;
    const enum kind kind = widen ? KIND_F32 : stored;
    const struct tile scores = {.w = widen ? widened(stored, s, k) : k,
                                .w_step = SW_KEY_BLOCK * kind_bytes(kind),
                                .x = (const char *)(s->q + row * s->dim_even),
                                .x_ld = s->dim_even * 4,
                                .steps = count_steps(kind, t->head_dim),
                                .c = s->p + row * SW_KEY_BLOCK,
                                .c_ld = SW_KEY_BLOCK};
    tall[kind](n_rows, SW_KEY_BLOCK / 16, scores);
    bool whole = true;
    for (int i = first; i < end; i++) {
        int lo, hi;
        visible(t, i, base, &lo, &hi);
        whole = whole && lo == 0 && hi == SW_KEY_BLOCK;
        for (int g = 0; g < t->group; g++) {
            float *p = s->p + (i * t->group + g) * SW_KEY_BLOCK;
            soften(s, i * t->group + g, base, lo, hi);
            if (kind == KIND_PAIRS)
                round_row(p, SW_KEY_BLOCK, p);
        }
    }
    if (t->value_dim) {
        const int64_t stored_keys = (t->keys ? t->keys : t->position + t->n_queries) - base;
        for (int d = 0; d < s->dim_pad; d += SW_VALUE_SLICE) {
            const int width = s->dim_pad - d < SW_VALUE_SLICE ? s->dim_pad - d : SW_VALUE_SLICE;
            const char *slice = latent_values(
                stored, k, d, width, t->value_dim,
                stored_keys < SW_KEY_BLOCK ? (int)stored_keys : SW_KEY_BLOCK, s->block);
            add_values(latent_kind(stored), s, base, first, end, whole,
                       (struct tile){.w = slice, .w_step = width * 4, .c = s->out + d}, width / 16);
        }
        return;
    }
    if (widen)
        v = widened(stored, s, v);
    add_values(kind, s, base, first, end, whole,
               (struct tile){.w = v, .w_step = t->head_dim * kind_bytes(kind), .c = s->out},
               s->dim_pad / 16);
}

/* Keys [base, end), a length. */
ALWAYS_INLINE void attend_kind(enum kind kind, const struct softmax *s, int64_t base, int64_t end)
{
    const struct sw_attend_tile *t = s->t;
    for (; base < end; base += SW_KEY_BLOCK) {
        int first = 0, last = t->n_queries, lo, hi;
        for (; first < last; first++) { /* later queries see later keys */
            visible(t, first, base, &lo, &hi);
            if (lo < hi)
                break;
        }
        for (; last > first; last--) {
            visible(t, last - 1, base, &lo, &hi);
            if (lo < hi)
                break;
        }
        if (first < last)
            attend_block(kind, s, base, first, last);
    }
}

static void attend_length(const struct softmax *s, int64_t length)
{
    const struct sw_attend_tile *t = s->t;
    const int n_rows = t->n_queries * t->group;
    const int64_t base = length * SW_KEY_LENGTH, end = base + SW_KEY_LENGTH;
    const int64_t seen = t->keys ? t->keys : t->position + t->n_queries;
    for (int i = 0; i < n_rows * s->dim_pad; i += 16)
        v_store(s->out + i, v_set(0));
    for (int row = 0; row < n_rows; row++) {
        s->top[row] = -INFINITY;
        s->total[row] = 0;
    }
    if (t->format == SW_F32)
        attend_kind(KIND_F32, s, base, end < seen ? end : seen);
    else if (t->format == SW_F16)
        attend_kind(KIND_F16, s, base, end < seen ? end : seen);
    else
        attend_kind(KIND_PAIRS, s, base, end < seen ? end : seen);
}

/* The state of one row's further length joins what is there. */
static void join_state(int dim_pad, float *out, float *top, float *total, const float *more_out,
                       float more_top, float more_total)
{
    const float both = *top > more_top ? *top : more_top;
    float old[16], more[16];
    v_store(old, v_exp(v_set(*top - both)));
    v_store(more, v_exp(v_set(more_top - both)));
    for (int d = 0; d < dim_pad; d += 16)
        v_store(out + d,
                v_fma(v_load(more_out + d), v_set(more[0]), v_mul(v_load(out + d), v_set(old[0]))));
    v_store(old, v_fma(v_set(more_total), v_set(more[0]), v_mul(v_set(*total), v_set(old[0]))));
    *top = both;
    *total = old[0];
}

/* The sum of shares with a sink's added; where the sink is the largest score, everything is scaled
 * down by what is returned, so that nothing overflows. */
static float add_sink(const float *sink, float top, float *sum)
{
    float e[16];
    v_store(e, v_exp(v_set(*sink > top ? top - *sink : *sink - top)));
    *sum = *sink > top ? *sum * e[0] + 1 : *sum + e[0];
    return *sink > top ? e[0] : 1;
}

static void write_row(int value_dim, const float *state, float top, float sum, const float *sink,
                      float *out)
{
    const vec factor = v_set(sink ? add_sink(sink, top, &sum) : 1), total = v_set(sum);
    for (int d = 0; d < value_dim; d += 16)
        v_store_n(out + d, v_div(v_mul(v_load(state + d), factor), total),
                  value_dim - d < 16 ? value_dim - d : 16);
}

/* What queries saw of a length: their first is copied, others are joined to it. */
static void join_length(const struct softmax *s, int64_t length)
{
    const struct sw_attend_tile *t = s->t;
    for (int row = 0; row < t->n_queries * t->group; row++) {
        const int64_t query = t->position + row / t->group;
        const int64_t first = sw_first_length(query, t->window);
        float *out = s->all_out + row * s->dim_pad;
        const float *more = s->out + row * s->dim_pad;
        if (length == first) {
            for (int d = 0; d < s->dim_pad; d += 16)
                v_store(out + d, v_load(more + d));
            s->all_top[row] = s->top[row];
            s->all_total[row] = s->total[row];
        } else if (length > first && length <= (t->keys ? t->keys - 1 : query) / SW_KEY_LENGTH) {
            join_state(s->dim_pad, out, &s->all_top[row], &s->all_total[row], more, s->top[row],
                       s->total[row]);
        }
    }
}

static void save_states(const struct softmax *s)
{
    const struct sw_attend_tile *t = s->t;
    for (int row = 0; row < t->n_queries * t->group; row++) {
        float *to = t->state + row * sw_attend_state_floats(s->value_dim);
        for (int d = 0; d < s->dim_pad; d += 16)
            v_store(to + d, v_load(s->out + row * s->dim_pad + d));
        to[s->dim_pad] = s->top[row];
        to[s->dim_pad + 1] = s->total[row];
    }
}

static void attend(const struct sw_attend_tile *t)
{
    const int value_dim = t->value_dim ? t->value_dim : t->head_dim;
    const int n_rows = t->n_queries * t->group, dim_pad = (value_dim + 15) / 16 * 16;
    struct softmax s = {.t = t, .value_dim = value_dim, .dim_pad = dim_pad, .p = t->scratch};
    s.dim_even = (t->head_dim + 1) & ~1;
    s.out = s.p + n_rows * SW_KEY_BLOCK;
    s.all_out = s.out + n_rows * dim_pad;
    s.q = s.all_out + n_rows * dim_pad;
    s.top = s.q + n_rows * s.dim_even;
    s.total = s.top + n_rows;
    s.all_top = s.total + n_rows;
    s.all_total = s.all_top + n_rows;
    s.block = s.all_total + n_rows;
    for (int row = 0; row < n_rows; row++) {
        const float *q = t->q + row / t->group * t->q_ld + row % t->group * t->q_head;
        if (t->format == SW_BF16)
            round_row(q, t->head_dim, s.q + row * s.dim_even);
        else
            memcpy(s.q + row * s.dim_even, q, (size_t)t->head_dim * sizeof *s.q);
    }
    if (t->state) {
        attend_length(&s, t->length);
        save_states(&s);
        return;
    }
    const int64_t first = sw_first_length(t->position, t->window);
    const int64_t last = (t->keys ? t->keys - 1 : t->position + t->n_queries - 1) / SW_KEY_LENGTH;
    for (int64_t length = first; length <= last; length++) {
        attend_length(&s, length);
        if (first < last)
            join_length(&s, length);
    }
    const float *out = first < last ? s.all_out : s.out;
    const float *total = first < last ? s.all_total : s.total;
    const float *top = first < last ? s.all_top : s.top;
    for (int row = 0; row < n_rows; row++)
        write_row(value_dim, out + row * dim_pad, top[row], total[row],
                  t->sinks ? t->sinks + row % t->group : NULL,
                  t->out + row / t->group * t->out_ld + row % t->group * value_dim);
}

/* As attend joins them; the first state is overwritten. */
static void attend_join(int value_dim, int64_t n_states, int64_t step, float *states,
                        const float *sink, float *out)
{
    const int dim_pad = (value_dim + 15) / 16 * 16;
    for (int64_t i = 1; i < n_states; i++) {
        const float *more = states + i * step;
        join_state(dim_pad, states, &states[dim_pad], &states[dim_pad + 1], more, more[dim_pad],
                   more[dim_pad + 1]);
    }
    write_row(value_dim, states, states[dim_pad], states[dim_pad + 1], sink, out);
}

#endif
