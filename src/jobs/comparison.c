/* Owns the statistics of a comparison. */
#include "jobs/comparison.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The values of a sorted list that are reported, as shares of its tokens. */
static const struct percentile_row {
    const char *name, *key;
    double share;
} percentiles[] = {
    {"greatest", "max", 1}, {"99.9%", "p99_9", 0.999}, {"99%", "p99", 0.99},
    {"95%", "p95", 0.95},   {"90%", "p90", 0.9},       {"75%", "p75", 0.75},
    {"median", "p50", 0.5}, {"25%", "p25", 0.25},      {"10%", "p10", 0.1},
    {"5%", "p5", 0.05},     {"1%", "p1", 0.01},        {"0.1%", "p0_1", 0.001},
    {"least", "min", 0},
};
#define N_PERCENTILES (sizeof percentiles / sizeof percentiles[0])

/* A value with its standard error. */
struct estimate {
    double value, error;
};

enum sw_status sw_comparison_open(uint64_t n, struct sw_comparison *out)
{
    *out = (struct sw_comparison){.capacity = n};
    out->kls = calloc(n, sizeof *out->kls);
    out->gaps = calloc(n, sizeof *out->gaps);
    if (out->kls && out->gaps)
        return SW_OK;
    sw_comparison_free(out);
    return sw_fail(SW_ENOMEM, "no memory to compare %llu tokens", (unsigned long long)n);
}

void sw_comparison_free(struct sw_comparison *c)
{
    free(c->kls);
    free(c->gaps);
    c->kls = c->gaps = NULL;
}

void sw_comparison_add(struct sw_comparison *c, const struct sw_divergence *token)
{
    const double gap = (double)token->probability_gap;
    c->kls[c->kl.count] = token->kl;
    c->gaps[c->kl.count] = token->probability_gap;
    sw_mean_add(&c->base, (double)token->base_nll);
    sw_mean_add(&c->other, (double)token->nll);
    c->products += (double)token->base_nll * (double)token->nll;
    sw_mean_add(&c->kl, (double)token->kl);
    sw_mean_add(&c->gap, gap);
    sw_mean_add(&c->gap_squares, gap * gap);
    c->same_top += token->same_top;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void sw_comparison_finish(struct sw_comparison *c)
{
    qsort(c->kls, c->kl.count, sizeof *c->kls, compare_floats);
    qsort(c->gaps, c->kl.count, sizeof *c->gaps, compare_floats);
}

/* Between two values of the list in proportion. */
static double percentile_of(const float *sorted, uint64_t n, double share)
{
    if (n == 0)
        return 0;
    const double at = share * (double)(n - 1);
    const uint64_t low = (uint64_t)at, high = low + 1 < n ? low + 1 : low;
    const double part = at - (double)low;
    return (1 - part) * (double)sorted[low] + part * (double)sorted[high];
}

static struct estimate estimate_of(const struct sw_mean *mean)
{
    return (struct estimate){sw_mean_value(mean), sw_mean_error(mean)};
}

/* exp of an estimate. */
static struct estimate estimate_exp(struct estimate e)
{
    return (struct estimate){exp(e.value), exp(e.value) * e.error};
}

/* The covariance of the means of both models' negative log-probabilities. */
static double comparison_covariance(const struct sw_comparison *c)
{
    const double n = (double)c->base.count;
    return n > 1 ? (c->products / n - sw_mean_value(&c->base) * sw_mean_value(&c->other)) / (n - 1)
                 : 0;
}

/* The error of a difference of two values, given their errors and covariance. */
static double difference_error(double a, double b, double covariance)
{
    const double variance = a * a + b * b - 2 * covariance;
    return variance > 0 ? sqrt(variance) : 0;
}

/* Everything that is reported but the percentiles, in the order of the report. */
struct comparison_values {
    struct estimate base, other; /* perplexities */
    double correlation;          /* of both models' negative log-probabilities */
    struct estimate log_ratio, ratio, difference;
    struct estimate kl, gap, gap_rms, same_top;
};

static struct comparison_values comparison_values_of(const struct sw_comparison *c)
{
    const struct estimate base = estimate_of(&c->base), other = estimate_of(&c->other);
    const double covariance = comparison_covariance(c), n = (double)c->kl.count;
    const double squares = sw_mean_value(&c->gap_squares),
                 same = n > 0 ? (double)c->same_top / n : 0;
    struct comparison_values v = {
        .base = estimate_exp(base),
        .other = estimate_exp(other),
        .log_ratio = {other.value - base.value,
                      difference_error(other.error, base.error, covariance)},
        .kl = estimate_of(&c->kl),
        .gap = estimate_of(&c->gap),
        .gap_rms = {sqrt(squares),
                    squares > 0 ? 0.5 / sqrt(squares) * sw_mean_error(&c->gap_squares) : 0},
        .same_top = {same, n > 1 ? sqrt(same * (1 - same) / (n - 1)) : 0}};
    v.correlation = base.error > 0 && other.error > 0 ? covariance / (base.error * other.error) : 0;
    v.ratio = estimate_exp(v.log_ratio);
    v.difference = (struct estimate){
        v.other.value - v.base.value,
        difference_error(v.other.error, v.base.error, v.base.value * v.other.value * covariance)};
    return v;
}

static void describe_estimate(struct sw_strbuf *out, const char *name, struct estimate e)
{
    sw_strbuf_printf(out, "%-24s %11.6f ± %.6f\n", name, e.value, e.error);
}

static void describe_share(struct sw_strbuf *out, const char *name, struct estimate e)
{
    const int width = strchr(name, '\xce') ? 25 : 24; /* a Greek letter has two bytes */
    sw_strbuf_printf(out, "%-*s %9.3f%%  ± %.3f%%\n", width, name, 100 * e.value, 100 * e.error);
}

void sw_comparison_describe(const struct sw_comparison *c, struct sw_strbuf *out)
{
    const struct comparison_values v = comparison_values_of(c);
    describe_estimate(out, "perplexity of A", v.base);
    describe_estimate(out, "perplexity of B", v.other);
    sw_strbuf_printf(out, "%-24s %9.3f%%\n", "correlation of ln(PPL)", 100 * v.correlation);
    describe_estimate(out, "ln(PPL(B)/PPL(A))", v.log_ratio);
    describe_estimate(out, "PPL(B)/PPL(A)", v.ratio);
    describe_estimate(out, "PPL(B)-PPL(A)", v.difference);
    describe_estimate(out, "KL divergence", v.kl);
    describe_share(out, "mean \xce\x94p", v.gap);
    describe_share(out, "RMS \xce\x94p", v.gap_rms);
    describe_share(out, "same top token", v.same_top);
    sw_strbuf_printf(out, "\n%-10s %13s %10s\n", "tokens", "KL divergence", "\xce\x94p");
    for (size_t i = 0; i < N_PERCENTILES; i++)
        sw_strbuf_printf(out, "%-10s %13.6f %8.3f%%\n", percentiles[i].name,
                         percentile_of(c->kls, c->kl.count, percentiles[i].share),
                         100 * percentile_of(c->gaps, c->kl.count, percentiles[i].share));
}

/* JSON has no infinities: null stands for what is not finite. */
static json_t *json_finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *json_estimate(struct estimate e)
{
    return json_pack("{s:o, s:o}", "value", json_finite(e.value), "error", json_finite(e.error));
}

static json_t *json_percentiles(json_t *object, const float *sorted, uint64_t n)
{
    for (size_t i = 0; i < N_PERCENTILES; i++)
        json_object_set_new(object, percentiles[i].key,
                            json_finite(percentile_of(sorted, n, percentiles[i].share)));
    return object;
}

json_t *sw_comparison_json(const struct sw_comparison *c)
{
    const struct comparison_values v = comparison_values_of(c);
    json_t *root = json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "scored",
        (json_int_t)c->kl.count, "perplexity_a", json_estimate(v.base), "perplexity_b",
        json_estimate(v.other), "correlation", json_finite(v.correlation), "log_ratio",
        json_estimate(v.log_ratio), "ratio", json_estimate(v.ratio), "difference",
        json_estimate(v.difference), "kl_divergence",
        json_percentiles(json_estimate(v.kl), c->kls, c->kl.count), "probability_gap",
        json_percentiles(json_estimate(v.gap), c->gaps, c->kl.count), "probability_gap_rms",
        json_estimate(v.gap_rms), "same_top", json_estimate(v.same_top));
    return root;
}
