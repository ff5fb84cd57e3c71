/*
 * Lines of texts become lines of log-probabilities:
 *   {"id", "context", "continuation"} -> {"id", "logprob", "greedy", "tokens": [{"id", "logprob",
 *                                         "greedy"}, …]}
 *   {"id", "context", "choices": […], "delimiter"} -> {"id", "choices": [{"logprob", "greedy",
 *                     "tokens", "chars", "bytes", "logprob_per_char", "logprob_per_byte"}, …],
 *                     "best", "best_per_char", "best_per_byte"}
 *   {"id", "source", "target"} -> as of a continuation, with what the tokenizer puts behind a text;
 *                     for an encoder-decoder, of which "context" is the source, too
 *   {"id", "text"} -> {"id", "logprob", "tokens", "bytes", "words", "perplexity",
 *                      "byte_perplexity", "word_perplexity", "bits_per_byte"}
 */
#ifndef SW_JOBS_SCORE_TASK_H
#define SW_JOBS_SCORE_TASK_H

#include "jobs/job.h"
#include "text/tokenizer.h"

struct sw_score_item;

struct sw_score_job {
    struct sw_tokenizer *tokenizer;
    int context;                 /* positions of a pass */
    int vocab;                   /* ids must be below it */
    struct sw_score_item *items; /* lines under way; NULL at first */
};

extern const struct sw_job_task sw_score_task;

#endif
