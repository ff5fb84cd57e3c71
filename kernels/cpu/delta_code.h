/*
 * A gated delta net: its convolution over a run of channels, and one value head's recurrence, token
 * by token. A state's columns do not depend on each other, so they lie in the lanes and are done
 * some at a time, for all tokens while they are in the nearest cache. Every sum goes along the
 * state's rows or the convolution's window, in order, so no bit depends on how rows were cut into
 * calls. The including file has named the table: TABLE.
 */
#ifndef SW_KERNELS_DELTA_CODE_H
#define SW_KERNELS_DELTA_CODE_H

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/delta_kernels.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* of rows.h, which the other tables use */
#include "kernels/cpu/tile.h"

#include "kernels/cpu/rows.h"

#define DELTA_VECS (LANES == 8 ? 2 : 4) /* vectors of columns at once, whose sums fit registers */

/* y[t] = sum over i of taps[i] * x[t - window + 1 + i], in place, the last row first: it reads rows
 * that are not yet overwritten. At most 16 channels. */
ALWAYS_INLINE void delta_convolve(const struct sw_delta_conv *c, int64_t from, int n)
{
    float taps[SW_DELTA_WINDOW][16] = {{0}};
    vec tap[SW_DELTA_WINDOW], kept[SW_DELTA_WINDOW];
    const int window = c->window, before = window - 1;
    for (int i = 0; i < window; i++) {
        for (int k = 0; k < n; k++)
            taps[i][k] = c->taps[(from + k) * window + i];
        tap[i] = v_load(taps[i]);
    }
    for (int i = 0; i < before; i++) { /* the last rows, for who comes next */
        const int64_t row = c->n - before + i;
        kept[i] = row >= 0   ? v_load_n(c->x + row * c->ld + from, n)
                  : c->fresh ? v_set(0)
                             : v_load_n(c->before + (before + row) * c->before_ld + from, n);
    }
    for (int64_t t = c->n - 1; t >= 0; t--) {
        vec sum = v_set(0);
        for (int i = 0; i < window; i++) {
            const int64_t row = t - before + i;
            if (row < 0 && c->fresh)
                continue;
            const float *x =
                row >= 0 ? c->x + row * c->ld : c->before + (before + row) * c->before_ld;
            sum = v_fma(tap[i], v_load_n(x + from, n), sum);
        }
        v_store_n(c->x + t * c->ld + from, sum, n);
    }
    for (int i = 0; i < before; i++)
        v_store_n(c->before + i * c->before_ld + from, kept[i], n);
}

static void delta_conv(const struct sw_delta_conv *c)
{
    for (int64_t from = 0; from < c->channels; from += 16)
        delta_convolve(c, from, c->channels - from < 16 ? (int)(c->channels - from) : 16);
    for (int64_t t = 0; t < c->n; t++) {
        float *x = c->x + t * c->ld;
        rows_activate(c->activation, x, NULL, c->channels, x);
        if (c->scale == 0)
            continue;
        vec squares = v_set(0); /* to unit length */
        for (int64_t i = 0; i < c->channels; i += 16) {
            const vec v = v_load_n(x + i, c->channels - i < 16 ? (int)(c->channels - i) : 16);
            squares = v_fma(v, v, squares);
        }
        const vec factor = v_set(c->scale / sqrtf(v_sum(squares) + SW_DELTA_EPS));
        for (int64_t i = 0; i < c->channels; i += 16) {
            const int n = c->channels - i < 16 ? (int)(c->channels - i) : 16;
            v_store_n(x + i, v_mul(v_load_n(x + i, n), factor), n);
        }
    }
}

/*
 * Columns [from, from + 16 * vecs) of a head's state; of the last vector `last` count. What the
 * state has of a token's key is summed as soon as the row is there: with the token before, or of
 * the first one in a pass of its own.
 */
ALWAYS_INLINE void delta_columns(const struct sw_delta_head *h, int64_t from, int vecs, int last)
{
    const int64_t step = h->v_dim;
    float *state = h->state + from;
    vec has[4], change[4], out[4];
#define DELTA_LOAD(p, j) ((j) == vecs - 1 ? v_load_n((p) + 16 * (j), last) : v_load((p) + 16 * (j)))
#define DELTA_STORE(p, j, x)                                                                       \
    ((j) == vecs - 1 ? v_store_n((p) + 16 * (j), x, last) : v_store((p) + 16 * (j), x))
    EACH (j, vecs)
        has[j] = v_set(0);
    for (int i = 0; i < h->k_dim; i++)
        EACH (j, vecs)
            has[j] = v_fma(DELTA_LOAD(state + i * step, j), v_set(h->k[i]), has[j]);
    for (int64_t t = 0; t < h->n; t++) {
        const float *k = h->k + t * h->ld, *q = h->q + t * h->ld;
        const float *next = t + 1 < h->n ? k + h->ld : k; /* of the last one nobody reads it */
        const vec decay = v_set(h->decay[t]), beta = v_set(h->beta[t]);
        EACH (j, vecs) {
            if (t + 2 < h->n)
                __builtin_prefetch(h->v + (t + 2) * h->ld + from + 16 * j);
            const vec v = DELTA_LOAD(h->v + t * h->ld + from, j);
            change[j] = v_mul(v_sub(v, v_mul(decay, has[j])), beta);
            has[j] = out[j] = v_set(0);
        }
        for (int i = 0; i < h->k_dim; i++) {
            if (i % 16 == 0 && t + 2 < h->n) { /* rows are pages apart */
                __builtin_prefetch(k + 2 * h->ld + i);
                __builtin_prefetch(q + 2 * h->ld + i);
            }
            const vec key = v_set(k[i]), query = v_set(q[i]), then = v_set(next[i]);
            EACH (j, vecs) {
                const vec was = v_mul(decay, DELTA_LOAD(state + i * step, j));
                const vec now = v_fma(key, change[j], was);
                DELTA_STORE(state + i * step, j, now);
                out[j] = v_fma(now, query, out[j]);
                has[j] = v_fma(now, then, has[j]);
            }
        }
        EACH (j, vecs)
            DELTA_STORE(h->out + t * h->out_ld + from, j, out[j]);
    }
#undef DELTA_LOAD
#undef DELTA_STORE
}

static void delta_gate(const float *x, const float *gate, int64_t dim, float *y)
{
    for (int64_t i = 0; i < dim; i += 16) {
        const int n = dim - i < 16 ? (int)(dim - i) : 16;
        v_store_n(y + i, sigmoid_times(v_load_n(x + i, n), v_load_n(gate + i, n)), n);
    }
}

static void delta_head(const struct sw_delta_head *h)
{
    int64_t from = 0;
    for (; from + 16 * DELTA_VECS <= h->v_dim; from += 16 * DELTA_VECS)
        delta_columns(h, from, DELTA_VECS, 16);
    for (; from < h->v_dim; from += 16)
        delta_columns(h, from, 1, h->v_dim - from < 16 ? (int)(h->v_dim - from) : 16);
}

const struct sw_delta_kernels TABLE = {.conv = delta_conv, .head = delta_head, .gate = delta_gate};

#endif
