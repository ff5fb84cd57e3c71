/*
 * Two models over one text, the base and another: sums over all tokens that are scored, as
 * llama.cpp's perplexity tool reports them with --kl-divergence.
 */
#ifndef SW_JOBS_COMPARISON_H
#define SW_JOBS_COMPARISON_H

#include "base/status.h"
#include "base/strbuf.h"
#include "jobs/perplexity.h"
#include "sample/divergence.h"

#include <jansson.h>

struct sw_comparison {
    struct sw_mean base, other; /* negative log-probabilities */
    double products;            /* sum of the products of both */
    struct sw_mean kl;          /* divergences */
    struct sw_mean gap;         /* probability gaps */
    struct sw_mean gap_squares; /* their squares */
    uint64_t same_top;          /* tokens whose likeliest id is the same in both */
    float *kls, *gaps;          /* (capacity) one a token */
    uint64_t capacity;
};

/* Makes room for n tokens. SW_ENOMEM. The caller frees by sw_comparison_free. */
enum sw_status sw_comparison_open(uint64_t n, struct sw_comparison *out);
void sw_comparison_free(struct sw_comparison *comparison);
/* Adds a token, of which there are at most n. */
void sw_comparison_add(struct sw_comparison *comparison, const struct sw_divergence *token);
/*
 * To be called once, when all tokens are added: orders the list of values. Then the report, for
 * people and as JSON (NULL: no memory; the caller frees it).
 */
void sw_comparison_finish(struct sw_comparison *comparison);
void sw_comparison_describe(const struct sw_comparison *comparison, struct sw_strbuf *out);
json_t *sw_comparison_json(const struct sw_comparison *comparison);

#endif
