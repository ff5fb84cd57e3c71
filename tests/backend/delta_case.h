/* A gated delta net for tests: sizes, rows, weights, and what they give, in doubles. */
#ifndef SW_TESTS_DELTA_CASE_H
#define SW_TESTS_DELTA_CASE_H

#include "cpu_help.h"

#define DELTA_ROWS_MOST 70

/* Grouped: q k v z of a key head lie together; else all q, all k, …; and so b and a. */
struct delta_case {
    struct sw_delta_dims dims;
    bool grouped, gates;
    int64_t ld, out_ld, n;
    float *x, *conv, *decay, *dt, *norm;
    double *want; /* (n, v_heads * v_dim) of the rows as one sequence from position 0 */
};
static const struct {
    struct sw_delta_dims dims;
    bool grouped, gates;
} delta_cases[] = {
    {{2, 4, 8, 8, 4, 0}, true, true},      {{1, 1, 5, 3, 2, 0}, false, false},
    {{3, 6, 10, 18, 4, 0}, true, true},    {{2, 2, 17, 33, 3, 0}, false, false},
    {{1, 2, 64, 70, 8, 0}, false, false},  {{1, 3, 128, 128, 4, 0}, true, true},
    {{1, 1, 256, 40, 4, 0}, false, false}, {{3, 6, 10, 18, 4, 0}, false, true},
    {{3, 6, 10, 18, 4, 1}, false, false},
};
#define N_DELTA_CASES (sizeof delta_cases / sizeof delta_cases[0])

/* The key head of value head h, and which of its value heads that is. */
static inline int delta_key(const struct sw_delta_dims *d, int h)
{
    return d->turns == 1 ? h % d->k_heads : h * d->k_heads / d->v_heads;
}
static inline int delta_turn(const struct sw_delta_dims *d, int h)
{
    return d->turns == 1 ? h / d->k_heads : h % (d->v_heads / d->k_heads);
}

/* The operation on the case's rows, wherever its vectors and rows lie. */
static inline struct sw_delta delta_of(const struct delta_case *c, float *d_x, const float *d_conv,
                                       const float *d_decay, const float *d_dt, const float *d_norm,
                                       float *d_out)
{
    const struct sw_delta_dims *d = &c->dims;
    const int64_t keys = d->k_heads * d->k_dim, values = d->v_heads * d->v_dim;
    const int64_t shared = d->v_heads / d->k_heads, group = shared * d->v_dim;
    const int64_t both = 2 * keys + 2 * values, pair = 2 * d->k_dim + 2 * group;
    struct sw_delta o = {.d_x = d_x, .ld = c->ld, .b = both};
    o.k = c->grouped ? d->k_dim : keys;
    o.v = c->grouped ? 2 * d->k_dim : 2 * keys;
    o.z = o.v + (c->grouped ? group : values);
    o.a = both + (c->gates ? shared : d->v_heads);
    o.k_head = c->grouped ? pair : d->k_dim;
    o.v_group = c->grouped ? pair : d->turns ? d->v_dim : group;
    o.v_head = d->turns ? d->k_heads * d->v_dim : d->v_dim;
    o.gate_group = c->gates ? 2 * shared : d->turns ? 1 : shared;
    o.gate_head = d->turns ? d->k_heads : 1;
    o.d_conv = d_conv, o.d_decay = d_decay, o.d_dt = d_dt, o.d_norm = d_norm;
    o.eps = 1e-5f;
    o.activation = SW_ACT_SILU;
    o.d_out = d_out;
    o.out_ld = c->out_ld;
    return o;
}

/* Row r's channel c of the convolution; NULL: before the first row. */
static inline const float *delta_channel(const struct delta_case *c, const struct sw_delta *o,
                                         int64_t r, int64_t channel)
{
    const struct sw_delta_dims *d = &c->dims;
    const int64_t keys = d->k_heads * d->k_dim;
    const int64_t in = channel < 2 * keys ? channel % keys : channel - 2 * keys;
    const int64_t head = in / (channel < 2 * keys ? d->k_dim : d->v_dim);
    if (r < 0)
        return NULL;
    if (channel < 2 * keys)
        return c->x + r * c->ld + (channel < keys ? o->q : o->k) + head * o->k_head + in % d->k_dim;
    return c->x + r * c->ld + o->v + delta_key(d, (int)head) * o->v_group +
           delta_turn(d, (int)head) * o->v_head + in % d->v_dim;
}

static inline double delta_silu(double x)
{
    return x / (1 + exp(-x));
}

static inline double delta_convolved(const struct delta_case *c, const struct sw_delta *o,
                                     int64_t r, int64_t channel)
{
    double sum = 0;
    for (int i = 0; i < c->dims.window; i++) {
        const float *x = delta_channel(c, o, r - c->dims.window + 1 + i, channel);
        sum += x ? (double)c->conv[channel * c->dims.window + i] * (double)*x : 0;
    }
    return delta_silu(sum);
}

/* One value head over all rows. */
static inline void delta_want_head(struct delta_case *c, const struct sw_delta *o, int h)
{
    const struct sw_delta_dims *d = &c->dims;
    const int k_dim = d->k_dim, v_dim = d->v_dim;
    const int group = delta_key(d, h), in = delta_turn(d, h);
    const int64_t keys = d->k_heads * k_dim;
    double *s = calloc((size_t)(k_dim * v_dim), sizeof *s);
    for (int64_t r = 0; r < c->n; r++) {
        const float *row = c->x + r * c->ld;
        double q[SW_DELTA_DIM], k[SW_DELTA_DIM], qq = 1e-6, kk = 1e-6, squares = 0;
        double *out = c->want + (r * d->v_heads + h) * v_dim;
        for (int i = 0; i < k_dim; i++) {
            q[i] = delta_convolved(c, o, r, group * k_dim + i);
            k[i] = delta_convolved(c, o, r, keys + group * k_dim + i);
            qq += q[i] * q[i];
            kk += k[i] * k[i];
        }
        const double a =
            (double)row[o->a + group * o->gate_group + in * o->gate_head] + (double)c->dt[h];
        const double decay = exp((double)c->decay[h] * log1p(exp(a)));
        const double beta =
            1 / (1 + exp(-(double)row[o->b + group * o->gate_group + in * o->gate_head]));
        for (int j = 0; j < v_dim; j++) {
            double has = 0;
            for (int i = 0; i < k_dim; i++)
                has += decay * s[i * v_dim + j] * k[i] / sqrt(kk);
            const double v = delta_convolved(c, o, r, 2 * keys + h * v_dim + j);
            out[j] = 0;
            for (int i = 0; i < k_dim; i++) {
                s[i * v_dim + j] = decay * s[i * v_dim + j] + k[i] / sqrt(kk) * (v - has) * beta;
                out[j] += s[i * v_dim + j] * q[i] / sqrt(qq * k_dim);
            }
            squares += out[j] * out[j] / v_dim;
        }
        for (int j = 0; j < v_dim; j++)
            out[j] *= (double)c->norm[j] / sqrt(squares + (double)o->eps) *
                      delta_silu((double)row[o->z + group * o->v_group + in * o->v_head + j]);
    }
    free(s);
}

static inline struct delta_case delta_case_of(size_t index, int64_t n)
{
    struct delta_case c = {.dims = delta_cases[index].dims,
                           .grouped = delta_cases[index].grouped,
                           .gates = delta_cases[index].gates,
                           .n = n};
    const struct sw_delta_dims *d = &c.dims;
    const int64_t values = d->v_heads * d->v_dim;
    c.ld = sw_delta_channels(d) + values + 2 * d->v_heads + 3;
    c.out_ld = values + 2;
    c.x = floats(n * c.ld, 1);
    c.conv = floats(sw_delta_channels(d) * d->window, 2);
    c.decay = floats(d->v_heads, 3);
    for (int h = 0; h < d->v_heads; h++)
        c.decay[h] = -0.6f + 0.5f * c.decay[h];
    c.dt = floats(d->v_heads, 4);
    c.norm = floats(d->v_dim, 5);
    c.want = calloc((size_t)(n * values), sizeof *c.want);
    const struct sw_delta o = delta_of(&c, NULL, NULL, NULL, NULL, NULL, NULL);
    for (int h = 0; h < d->v_heads; h++)
        delta_want_head(&c, &o, h);
    return c;
}

static inline void delta_case_free(struct delta_case *c)
{
    free(c->x), free(c->conv), free(c->decay), free(c->dt), free(c->norm), free(c->want);
}

/* The largest difference of rows [first, first + n) of `out` from what they should be. */
static inline double delta_error(const struct delta_case *c, const float *out, int64_t first,
                                 int64_t n)
{
    const int64_t values = c->dims.v_heads * c->dims.v_dim;
    double worst = 0;
    for (int64_t r = 0; r < n; r++)
        worst =
            fmax(worst, largest_error(out + r * c->out_ld, c->want + (first + r) * values, values));
    return worst;
}

#endif
