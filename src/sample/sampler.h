/*
 * Chooses the next id from logits.
 *
 * Order and meaning as in transformers: repetition penalty, steering (steering.h), temperature,
 * top-k, top-p, min-p, softmax, draw. A draw depends on (seed, position) and the logits only, so a
 * resumed or batched run draws the same ids. selection.h defines what top-k, top-p and min-p keep,
 * and the draw. Exponentials, exp((logit - best) / temperature), are computed by a polynomial in
 * f32, and all sums are of whole multiples of 2^-40, exact in any order: threads, instruction set
 * and machine change no bit. Ids whose exponential is below 2^-41 are not drawn. Log-probabilities
 * are within 1e-5 of those of the exact softmax, or half a unit of f32's last place where that is
 * more.
 */
#ifndef SW_SAMPLE_SAMPLER_H
#define SW_SAMPLE_SAMPLER_H

#include "base/cpu_info.h"
#include "base/pool.h"
#include "base/status.h"
#include "sample/steering.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_TOP_LOGPROBS_MAX 32

struct sw_sampling {
    float temperature;        /* 0: greedy, the lowest id among equals */
    int32_t top_k;            /* 0: off; values equal to the k-th are all kept */
    float top_p;              /* 1: off; in (0, 1] */
    float min_p;              /* 0: off; a share of the likeliest id's probability */
    float repetition_penalty; /* 1: off */
    uint64_t seed;
    /* -1: no log-probabilities; else those of the drawn id and of so many alternatives, 0 to
     * SW_TOP_LOGPROBS_MAX */
    int32_t logprobs;
};

/* Greedy, all filters and the penalty off, no log-probabilities. */
struct sw_sampling sw_sampling_default(void);
/* SW_EUSAGE: a value is out of range; the message names it and the range. */
enum sw_status sw_sampling_check(const struct sw_sampling *sampling);

struct sw_alternative {
    int32_t id;
    float logprob;
};

struct sw_sampled {
    int32_t id;
    float logprob; /* at temperature 1, without penalty; 0 when sampling.logprobs < 0 */
    int32_t n_top;
    struct sw_alternative top[SW_TOP_LOGPROBS_MAX]; /* (n_top) likeliest first */
};

/*
 * Creates a sampler for vocabularies of up to `max_vocab` ids; one per thread, for any number of
 * texts. isa chooses the code that runs; results have the same bits with any. SW_EINPUT: more than
 * 2^23 ids, or 0. SW_ENOMEM. The caller frees it.
 */
struct sw_sampler;
enum sw_status sw_sampler_create(size_t max_vocab, enum sw_isa isa, struct sw_sampler **out);
void sw_sampler_free(struct sw_sampler *sampler);
/* Bytes that a sampler allocates. */
uint64_t sw_sampler_bytes(size_t max_vocab);
/* From now on the threads of `pool` share each row, with the same bits; NULL: one thread again. The
 * caller must not be one of the pool's threads, unless it is the one that runs the pool. */
void sw_sampler_share(struct sw_sampler *sampler, struct sw_pool *pool);
/*
 * The next picks add `bias` (n_bias; ids that are not picked from are ignored) and draw only ids
 * whose bit of `allowed` is set (a bit for each id, 64 to a word); NULL: all. Both are borrowed
 * until the next call. Without them, picks are as they were, bit for bit.
 */
void sw_sampler_steer(struct sw_sampler *sampler, const struct sw_bias *bias, int n_bias,
                      const uint64_t *allowed);

/*
 * Picks the id at `position` of its text. logits: (n_vocab), not changed; only ids < limit count
 * (limit <= n_vocab <= max_vocab, the tokenizer's size). history: (n_history) ids so far, with the
 * prompt, for the repetition penalty; ids out of range are ignored. Allocates nothing.
 * SW_EDEVICE when a logit is NaN or +inf, or all are -inf. SW_EINPUT when all that are allowed are.
 */
enum sw_status sw_sampler_pick(struct sw_sampler *sampler, const struct sw_sampling *sampling,
                               const float *logits, size_t n_vocab, size_t limit,
                               const int32_t *history, size_t n_history, uint64_t position,
                               struct sw_sampled *out);

/*
 * Writes the log-probability of `id` among logits[0..limit) and whether it is the greedy choice,
 * for scoring. SW_EDEVICE as sw_sampler_pick.
 */
enum sw_status sw_logprob_of(struct sw_sampler *sampler, const float *logits, size_t limit,
                             int32_t id, float *logprob, bool *greedy);
/* The same with the `wanted` likeliest ids (up to SW_TOP_LOGPROBS_MAX); out->id is `id`. */
enum sw_status sw_score_of(struct sw_sampler *sampler, const float *logits, size_t limit,
                           int32_t id, int32_t wanted, struct sw_sampled *out, bool *greedy);
/* Fails with SW_EDEVICE and the message for logits that are not finite. */
enum sw_status sw_logits_undefined(void);
/* A random number, uniform in [0, 1), from (seed, position) by Philox4x32-10 (Salmon et al., SC
 * 2011). */
double sw_uniform(uint64_t seed, uint64_t position);

#endif
