/* Owns base rows of log-probabilities and the Kullback-Leibler divergence from them. */
#include "sample/divergence.h"

#include "sample/sampler.h"
#include "sample/softmax.h"

#include <math.h>
#include <stdlib.h>

#define STEPS 65535
#define RANGE 16.0f /* log-probabilities further below the greatest are not told apart */
#define LANES 8

struct sw_divergence_buffers {
    const struct sw_softmax_code *code;
    float *exps, *logprobs; /* (n) */
    float *peaks;           /* (n / SW_LOGIT_BLOCK, rounded up) */
};

/* What one pass over a row finds. */
struct logit_row {
    float best;
    double log_sum; /* a logit less this is its log-probability */
    int32_t top;
};

enum sw_status sw_divergence_open(size_t n, enum sw_isa isa, struct sw_divergence_buffers **out)
{
    struct sw_divergence_buffers *b = calloc(1, sizeof *b);
    *out = b;
    if (b) {
        b->code = sw_softmax_for(isa);
        b->exps = malloc(n * sizeof *b->exps);
        b->logprobs = malloc(n * sizeof *b->logprobs);
        b->peaks = malloc((n / SW_LOGIT_BLOCK + 1) * sizeof *b->peaks);
    }
    if (b && b->exps && b->logprobs && b->peaks)
        return SW_OK;
    sw_divergence_close(b);
    *out = NULL;
    return sw_fail(SW_ENOMEM, "no memory to compare rows of %zu logits", n);
}

void sw_divergence_close(struct sw_divergence_buffers *b)
{
    if (!b)
        return;
    free(b->exps);
    free(b->logprobs);
    free(b->peaks);
    free(b);
}

static enum sw_status divergence_read_row(struct sw_divergence_buffers *b, const float *logits,
                                          size_t n, struct logit_row *row)
{
    *row = (struct logit_row){.best = -INFINITY};
    const bool bad = b->code->peaks(logits, n, b->peaks);
    size_t block = 0;
    for (size_t i = 0; i * SW_LOGIT_BLOCK < n; i++)
        if (b->peaks[i] > row->best) {
            row->best = b->peaks[i];
            block = i;
        }
    if (bad || row->best == -INFINITY)
        return sw_logits_undefined();
    row->top = (int32_t)(block * SW_LOGIT_BLOCK);
    while (logits[row->top] != row->best)
        row->top++;
    const uint64_t mass =
        b->code->exponentials(logits, n, (struct sw_scale){row->best, 1}, b->exps);
    row->log_sum = (double)row->best + sw_natural_log((double)mass / (double)SW_MASS_ONE);
    return SW_OK;
}

size_t sw_base_row_bytes(size_t n)
{
    return sizeof(struct sw_base_row) + (n + 3) / 4 * 4 * sizeof(uint16_t);
}

enum sw_status sw_base_row_make(struct sw_divergence_buffers *b, const float *logits, size_t n,
                                int32_t next, struct sw_base_row *out)
{
    uint16_t *steps = (uint16_t *)(out + 1);
    struct logit_row row;
    float least = INFINITY;
    SW_TRY(divergence_read_row(b, logits, n, &row));
    for (size_t i = 0; i < n; i++)
        least = logits[i] < least ? logits[i] : least;
    least = least > row.best - RANGE ? least : row.best - RANGE;
    out->step = (row.best - least) / STEPS;
    out->least = (float)((double)least - row.log_sum);
    out->nll = -(float)((double)logits[next] - row.log_sum);
    out->top = row.top;
    const float inverse = out->step > 0 ? 1 / out->step : 0;
    for (size_t i = 0; i < n; i++) {
        const float at = logits[i] > least ? (logits[i] - least) * inverse + 0.5f : 0;
        steps[i] = (uint16_t)(at < STEPS ? (int32_t)at : STEPS);
    }
    for (size_t i = n; i % 4 > 0; i++)
        steps[i] = 0;
    return SW_OK;
}

/* One id's part of the divergence. */
static inline double divergence_term(float base, float p, float logit, double log_sum)
{
    const double term = (double)p * ((double)base - ((double)logit - log_sum));
    return base > -RANGE ? term : 0;
}

/* Lanes in a fixed order: the same bits whatever vectors the compiler makes of them. */
static double divergence_sum(const float *base, const float *exps, float greatest_p,
                             const float *logits, size_t n, double log_sum)
{
    double lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += divergence_term(base[i + lane], exps[i + lane] * greatest_p,
                                           logits[i + lane], log_sum);
    for (; i < n; i++)
        lanes[i % LANES] += divergence_term(base[i], exps[i] * greatest_p, logits[i], log_sum);
    for (size_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

enum sw_status sw_divergence_of(struct sw_divergence_buffers *b, const struct sw_base_row *base,
                                const float *logits, size_t n, int32_t next,
                                struct sw_divergence *out)
{
    const uint16_t *steps = (const uint16_t *)(base + 1);
    struct logit_row row;
    float greatest = -INFINITY;
    SW_TRY(divergence_read_row(b, logits, n, &row));
    for (size_t i = 0; i < n; i++)
        b->logprobs[i] = base->least + base->step * (float)steps[i];
    for (size_t i = 0; i < n; i++)
        greatest = b->logprobs[i] > greatest ? b->logprobs[i] : greatest;
    (void)b->code->exponentials(b->logprobs, n, (struct sw_scale){greatest, 1}, b->exps);
    const float greatest_p = (float)exp((double)greatest);
    out->nll = -(float)((double)logits[next] - row.log_sum);
    out->base_nll = base->nll;
    out->probability_gap = (float)(exp(-(double)out->nll) - exp(-(double)base->nll));
    out->kl = (float)divergence_sum(b->logprobs, b->exps, greatest_p, logits, n, row.log_sum);
    out->same_top = row.top == base->top;
    return SW_OK;
}
