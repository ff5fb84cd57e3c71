/* Gated delta nets on the CPU, shared out by span and head; and the gate of attention's output. */
#include "backend/cpu_internal.h"
#include "kernels/cpu/delta_kernels.h"

#include <math.h>
#include <string.h>

struct delta {
    const struct sw_kernels *kernels;
    const struct sw_delta_kernels *own;
    const struct sw_delta *d;
    const struct sw_delta_states *states;
    const struct sw_span *spans;
};

static float *delta_state(const struct sw_delta_states *states, int slot)
{
    return states->d_data + slot * sw_delta_floats(&states->dims);
}

/* Chunks of a span: a query or a key head each, then a value head each. */
static int delta_runs(const struct sw_delta_dims *dims)
{
    return 2 * dims->k_heads + dims->v_heads;
}

/* Convolves one head of q, k or v of a span. */
static void delta_conv_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct delta *c = ctx;
    const struct sw_delta *d = c->d;
    const struct sw_delta_dims *dims = &c->states->dims;
    const struct sw_span *span = &c->spans[chunk / delta_runs(dims)];
    const int run = (int)(chunk % delta_runs(dims)), n_k = dims->k_heads;
    const int head = run < n_k ? run : run < 2 * n_k ? run - n_k : run - 2 * n_k;
    const bool is_v = run >= 2 * n_k;
    const int64_t keys = (int64_t)n_k * dims->k_dim, channels = sw_delta_channels(dims);
    const int64_t at = run < n_k ? d->q + head * d->k_head
                       : !is_v   ? d->k + head * d->k_head
                                 : d->v + sw_delta_key_head(dims, head) * d->v_group +
                                     sw_delta_turn(dims, head) * d->v_head;
    const int64_t channel = is_v ? 2 * keys + (int64_t)head * dims->v_dim
                                 : (run < n_k ? 0 : keys) + (int64_t)head * dims->k_dim;
    (void)worker;
    const struct sw_delta_conv conv = {
        .x = d->d_x + span->row * d->ld + at,
        .ld = d->ld,
        .n = span->n,
        .channels = is_v ? dims->v_dim : dims->k_dim,
        .taps = d->d_conv + channel * dims->window,
        .window = dims->window,
        .before = delta_state(c->states, span->slot) + channel,
        .before_ld = channels,
        .fresh = span->position == 0,
        .activation = d->activation,
        .scale = is_v        ? 0
                 : run < n_k ? 1 / sqrtf((float)dims->k_dim)
                             : 1,
    };
    c->own->conv(&conv);
}

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

#define DELTA_ROWS 64 /* at once; decays of so many lie on the stack */

/* Rows [first, first + n) of a span, one value head. */
static void delta_rows(const struct delta *c, const struct sw_span *span, int head, int64_t first,
                       int64_t n)
{
    const struct sw_delta *d = c->d;
    const struct sw_delta_dims *dims = &c->states->dims;
    const int group = sw_delta_key_head(dims, head), in = sw_delta_turn(dims, head);
    const int64_t square = (int64_t)dims->k_dim * dims->v_dim;
    float decay[DELTA_ROWS], beta[DELTA_ROWS];
    const float *x = d->d_x + (span->row + first) * d->ld;
    float *out = d->d_out + (span->row + first) * d->out_ld + (int64_t)head * dims->v_dim;
    const int64_t gate = group * d->gate_group + in * d->gate_head;
    const int64_t value = group * d->v_group + in * d->v_head;
    for (int64_t t = 0; t < n; t++) {
        const float *row = x + t * d->ld;
        decay[t] = expf(d->d_decay[head] * softplus(row[d->a + gate] + d->d_dt[head]));
        beta[t] = 1 / (1 + expf(-row[d->b + gate]));
    }
    const struct sw_delta_head h = {.state = delta_state(c->states, span->slot) +
                                             sw_delta_window_floats(dims) + head * square,
                                    .k_dim = dims->k_dim,
                                    .v_dim = dims->v_dim,
                                    .q = x + d->q + group * d->k_head,
                                    .k = x + d->k + group * d->k_head,
                                    .v = x + d->v + value,
                                    .ld = d->ld,
                                    .n = n,
                                    .decay = decay,
                                    .beta = beta,
                                    .out = out,
                                    .out_ld = d->out_ld};
    if (span->position + first == 0)
        memset(h.state, 0, (size_t)square * sizeof *h.state);
    c->own->head(&h);
    for (int64_t t = 0; t < n; t++) {
        float *y = out + t * d->out_ld;
        c->kernels->norm(SW_NORM_RMS, d->eps, y, dims->v_dim, d->d_norm, NULL, y);
        c->kernels->activate(SW_ACT_SILU, x + t * d->ld + d->z + value, y, dims->v_dim, y);
    }
}

static void delta_head_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct delta *c = ctx;
    const int heads = c->states->dims.v_heads;
    const struct sw_span *span = &c->spans[chunk / heads];
    (void)worker;
    for (int64_t first = 0; first < span->n; first += DELTA_ROWS)
        delta_rows(c, span, (int)(chunk % heads), first,
                   span->n - first < DELTA_ROWS ? span->n - first : DELTA_ROWS);
}

void sw_cpu_delta(struct sw_backend *b, const struct sw_delta *d,
                  const struct sw_delta_states *states, const struct sw_span *spans, int n_spans)
{
    struct sw_cpu *cpu = sw_cpu_of(b);
    const struct sw_delta_dims *dims = &states->dims;
    struct delta c = {cpu->kernels, sw_delta_kernels_for(cpu->kernels->isa), d, states, spans};
    int64_t rows = 0;
    for (int i = 0; i < n_spans; i++)
        rows += spans[i].n;
    const int64_t work = rows * dims->v_heads * dims->k_dim * dims->v_dim;
    struct sw_pool *pool = work < 65536 ? NULL : cpu->pool;
    sw_pool_run(pool, delta_conv_chunk, &c, (int64_t)n_spans * delta_runs(dims));
    sw_pool_run(pool, delta_head_chunk, &c, (int64_t)n_spans * dims->v_heads);
}

void sw_cpu_delta_copy(struct sw_backend *b, const struct sw_delta_states *states, int from, int to)
{
    (void)b;
    memcpy(delta_state(states, to), delta_state(states, from),
           (size_t)sw_delta_floats(&states->dims) * sizeof(float));
}

struct gate {
    const struct sw_delta_kernels *kernels;
    const float *gate;
    int64_t ld_gate, gate_head, dim, ld_y;
    int heads;
    float *y;
};

static void gate_row(void *ctx, int64_t row, int worker)
{
    const struct gate *g = ctx;
    (void)worker;
    for (int h = 0; h < g->heads; h++) {
        float *y = g->y + row * g->ld_y + h * g->dim;
        g->kernels->gate(y, g->gate + row * g->ld_gate + h * g->gate_head, g->dim, y);
    }
}

void sw_cpu_gate(struct sw_backend *b, const float *d_gate, int64_t ld_gate, int64_t gate_head,
                 int64_t n, int heads, int64_t dim, float *d_y, int64_t ld_y)
{
    struct sw_cpu *cpu = sw_cpu_of(b);
    struct gate g = {
        sw_delta_kernels_for(cpu->kernels->isa), d_gate, ld_gate, gate_head, dim, ld_y, heads, d_y};
    sw_pool_run(n * heads * dim < 16384 ? NULL : cpu->pool, gate_row, &g, n);
}
