/*
 * Owns sampling: settings, penalties, log-probabilities and random numbers. Which ids may be drawn
 * is selection.c's.
 */
#include "sample/sampler.h"

#include "sample/selection.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sw_sampler {
    struct sw_selection selection;
    uint64_t *seen;             /* (max_vocab / 64 + 1) bits: ids of the history */
    const struct sw_bias *bias; /* (n_bias) borrowed */
    int n_bias;
    const uint64_t *allowed; /* borrowed; NULL: all */
};

struct sw_sampling sw_sampling_default(void)
{
    return (struct sw_sampling){.top_p = 1, .repetition_penalty = 1, .logprobs = -1};
}

enum sw_status sw_sampling_check(const struct sw_sampling *sampling)
{
    /* Written so that a NaN fails every row. */
    const struct {
        const char *name, *range;
        double value;
        bool good;
    } rows[] = {
        {"temperature", "0 to 100", (double)sampling->temperature,
         sampling->temperature >= 0 && sampling->temperature <= 100},
        {"top_k", "0 (off) or more", sampling->top_k, sampling->top_k >= 0},
        {"top_p", "above 0, up to 1 (off)", (double)sampling->top_p,
         sampling->top_p > 0 && sampling->top_p <= 1},
        {"min_p", "0 (off) to 1", (double)sampling->min_p,
         sampling->min_p >= 0 && sampling->min_p <= 1},
        {"repetition_penalty", "0.01 to 100, 1 is off", (double)sampling->repetition_penalty,
         sampling->repetition_penalty >= 0.01f && sampling->repetition_penalty <= 100},
        {"logprobs", "-1 (off) to 32", sampling->logprobs,
         sampling->logprobs >= -1 && sampling->logprobs <= SW_TOP_LOGPROBS_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!rows[i].good)
            return sw_fail(SW_EUSAGE, "%s is %g; it may be %s", rows[i].name, rows[i].value,
                           rows[i].range);
    return SW_OK;
}

static size_t seen_bytes(size_t max_vocab)
{
    return (max_vocab / 64 + 1) * sizeof(uint64_t);
}

enum sw_status sw_sampler_create(size_t max_vocab, enum sw_isa isa, struct sw_sampler **out)
{
    *out = NULL;
    if (max_vocab == 0 || max_vocab > SW_MASS_IDS)
        return sw_fail(SW_EINPUT, "a vocabulary of %zu ids; 1 to %zu can be sampled from",
                       max_vocab, SW_MASS_IDS);
    struct sw_sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        return sw_fail(SW_ENOMEM, "no memory for a sampler");
    sampler->seen = calloc(1, seen_bytes(max_vocab));
    const enum sw_status status = sampler->seen
                                      ? sw_selection_open(&sampler->selection, max_vocab, isa)
                                      : sw_fail(SW_ENOMEM, "no memory for a sampler");
    if (status == SW_OK)
        *out = sampler;
    else
        sw_sampler_free(sampler);
    return status;
}

uint64_t sw_sampler_bytes(size_t max_vocab)
{
    return sizeof(struct sw_sampler) + seen_bytes(max_vocab) + sw_selection_bytes(max_vocab);
}

void sw_sampler_free(struct sw_sampler *sampler)
{
    if (!sampler)
        return;
    sw_selection_close(&sampler->selection);
    free(sampler->seen);
    free(sampler);
}

void sw_sampler_share(struct sw_sampler *sampler, struct sw_pool *pool)
{
    sampler->selection.pool = pool;
}

void sw_sampler_steer(struct sw_sampler *sampler, const struct sw_bias *bias, int n_bias,
                      const uint64_t *allowed)
{
    sampler->bias = bias;
    sampler->n_bias = n_bias;
    sampler->allowed = allowed;
}

double sw_uniform(uint64_t seed, uint64_t position)
{
    uint32_t c[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                                  (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        memcpy(c, next, sizeof c);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const uint64_t bits = (uint64_t)c[0] << 32 | c[1];
    return (double)(bits >> 11) * 0x1p-53;
}

enum sw_status sw_logits_undefined(void)
{
    return sw_fail(SW_EDEVICE,
                   "the logits hold NaN or infinity, or nothing else than -infinity: a layer "
                   "overflowed or its weights are damaged; try --weights with a wider format");
}

/* log(sum(exp(logits))) of the row that is set. */
static double log_sum(struct sw_selection *row)
{
    const double sum = (double)sw_selection_mass(row) / (double)SW_MASS_ONE;
    return (double)row->scale.best + sw_natural_log(sum);
}

/* The `wanted` greatest logits of the row, greatest first, the lowest id first among equals. */
static int32_t top_alternatives(const struct sw_selection *row, int32_t wanted, double log_total,
                                struct sw_alternative *top)
{
    int32_t have = 0;
    for (size_t i = 0; wanted > 0 && i < row->n; i++) {
        const bool full = have == wanted;
        if (i % SW_LOGIT_BLOCK == 0 && full &&
            row->peaks[i / SW_LOGIT_BLOCK] <= top[have - 1].logprob) {
            i += SW_LOGIT_BLOCK - 1; /* nothing that would count */
            continue;
        }
        const float logit = row->logits[i];
        if (logit == -INFINITY || (full && logit <= top[have - 1].logprob))
            continue;
        int32_t at = full ? have - 1 : have++;
        for (; at > 0 && top[at - 1].logprob < logit; at--)
            top[at] = top[at - 1];
        top[at] = (struct sw_alternative){(int32_t)i, logit};
    }
    for (int32_t i = 0; i < have; i++)
        top[i].logprob = (float)((double)top[i].logprob - log_total);
    return have;
}

enum sw_status sw_score_of(struct sw_sampler *sampler, const float *logits, size_t limit,
                           int32_t id, int32_t wanted, struct sw_sampled *out, bool *greedy)
{
    struct sw_selection *row = &sampler->selection;
    if (id < 0 || (size_t)id >= limit || limit > row->max_ids)
        return sw_fail(SW_EINPUT, "id %d of %zu logits, with room for %zu", id, limit,
                       row->max_ids);
    if (!sw_selection_row(row, logits, limit))
        return sw_logits_undefined();
    const double log_total = log_sum(row);
    out->id = id;
    out->logprob = (float)((double)logits[id] - log_total);
    out->n_top = top_alternatives(row, wanted < SW_TOP_LOGPROBS_MAX ? wanted : SW_TOP_LOGPROBS_MAX,
                                  log_total, out->top);
    *greedy = (size_t)id == sw_selection_best(row);
    return SW_OK;
}

enum sw_status sw_logprob_of(struct sw_sampler *sampler, const float *logits, size_t limit,
                             int32_t id, float *logprob, bool *greedy)
{
    struct sw_sampled score;
    SW_TRY(sw_score_of(sampler, logits, limit, id, 0, &score, greedy));
    *logprob = score.logprob;
    return SW_OK;
}

static float bounded(float logit)
{
    return logit > FLT_MAX ? FLT_MAX : logit < -FLT_MAX ? -FLT_MAX : logit;
}

/* Divides positive logits of the ids in the history, multiplies negative ones; each id once. What
 * is finite stays so. */
static void penalise_history(struct sw_sampler *sampler, float penalty, const int32_t *history,
                             size_t n_history, float *logits, size_t limit)
{
    for (size_t i = 0; i < n_history; i++) {
        const int32_t id = history[i];
        if (id < 0 || (size_t)id >= limit || (sampler->seen[id / 64] >> (id % 64) & 1))
            continue;
        sampler->seen[id / 64] |= (uint64_t)1 << (id % 64);
        const float logit = logits[id];
        if (logit > -INFINITY)
            logits[id] = bounded(logit < 0 ? logit * penalty : logit / penalty);
    }
    for (size_t i = 0; i < n_history; i++)
        if (history[i] >= 0 && (size_t)history[i] < limit)
            sampler->seen[history[i] / 64] = 0;
}

static void add_bias(const struct sw_bias *bias, int n, float *logits, size_t limit)
{
    for (int i = 0; i < n; i++)
        if (bias[i].id >= 0 && (size_t)bias[i].id < limit && logits[bias[i].id] > -INFINITY)
            logits[bias[i].id] = bounded(logits[bias[i].id] + bias[i].value);
}

static void forbid_others(const uint64_t *allowed, float *logits, size_t limit)
{
    for (size_t i = 0; i < limit; i += 64) {
        const uint64_t bits = allowed[i / 64];
        const size_t end = limit - i < 64 ? limit - i : 64;
        for (size_t j = 0; j < end && bits != UINT64_MAX; j++)
            if (!(bits >> j & 1))
                logits[i + j] = -INFINITY;
    }
}

/* Makes the row what the history, the bias and what is allowed leave of it. */
static enum sw_status change_row(struct sw_sampler *sampler, float penalty, const int32_t *history,
                                 size_t n_history)
{
    struct sw_selection *row = &sampler->selection;
    const bool penalised = penalty != 1.0f && n_history > 0;
    if (!penalised && sampler->n_bias == 0 && !sampler->allowed)
        return SW_OK;
    memcpy(row->own, row->logits, row->n * sizeof *row->own);
    if (penalised)
        penalise_history(sampler, penalty, history, n_history, row->own, row->n);
    add_bias(sampler->bias, sampler->n_bias, row->own, row->n);
    if (sampler->allowed)
        forbid_others(sampler->allowed, row->own, row->n);
    return sw_selection_row(row, row->own, row->n)
               ? SW_OK
               : sw_fail(SW_EINPUT, "the model gives no token that is allowed here");
}

static enum sw_status pick_id(struct sw_sampler *sampler, const struct sw_sampling *sampling,
                              const int32_t *history, size_t n_history, uint64_t position,
                              int32_t *id)
{
    struct sw_selection *row = &sampler->selection;
    SW_TRY(change_row(sampler, sampling->repetition_penalty, history, n_history));
    if (sampling->temperature <= 0) {
        *id = (int32_t)sw_selection_best(row);
        return SW_OK;
    }
    sw_selection_scale(row, sampling->temperature);
    sw_selection_top_k(row, sampling->top_k);
    sw_selection_top_p(row, sampling->top_p);
    sw_selection_min_p(row, sampling->min_p);
    *id = sw_selection_draw(row, sw_uniform(sampling->seed, position));
    return SW_OK;
}

enum sw_status sw_sampler_pick(struct sw_sampler *sampler, const struct sw_sampling *sampling,
                               const float *logits, size_t n_vocab, size_t limit,
                               const int32_t *history, size_t n_history, uint64_t position,
                               struct sw_sampled *out)
{
    struct sw_selection *row = &sampler->selection;
    const int32_t wanted =
        sampling->logprobs < SW_TOP_LOGPROBS_MAX ? sampling->logprobs : SW_TOP_LOGPROBS_MAX;
    double log_total = 0;
    if (limit == 0 || limit > n_vocab || limit > row->max_ids)
        return sw_fail(SW_EINPUT, "%zu ids of %zu logits, with room for %zu", limit, n_vocab,
                       row->max_ids);
    if (!sw_selection_row(row, logits, limit))
        return sw_logits_undefined();
    *out = (struct sw_sampled){0};
    if (wanted >= 0) {
        log_total = log_sum(row);
        out->n_top = top_alternatives(row, wanted, log_total, out->top);
    }
    SW_TRY(pick_id(sampler, sampling, history, n_history, position, &out->id));
    if (wanted >= 0)
        out->logprob = (float)((double)logits[out->id] - log_total);
    return SW_OK;
}
