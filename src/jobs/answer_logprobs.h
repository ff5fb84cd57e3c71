/*
 * The "logprobs" of an answer, written as its tokens come: of a completion
 *   {"tokens": […], "token_logprobs": […], "top_logprobs": [{TOKEN: …}, …], "text_offset": […]}
 * or of a chat
 *   {"content": [{"token", "logprob", "bytes", "top_logprobs": [the same, …]}, …], "refusal": null}
 */
#ifndef SW_JOBS_ANSWER_LOGPROBS_H
#define SW_JOBS_ANSWER_LOGPROBS_H

#include "base/strbuf.h"
#include "jobs/request.h"
#include "sample/sampler.h"
#include "text/tokenizer.h"

struct sw_answer_logprobs {
    const struct sw_tokenizer *tokenizer; /* NULL: tokens have no text */
    bool chat;
    bool exact; /* sums of the numbers are those of `score`: all digits of a double */
    /* private; all zero at first */
    int n;         /* tokens since they were taken */
    size_t offset; /* characters before the next token */
    struct sw_strbuf tokens, logprobs, top, offsets, bytes;
};

/* Adds the next token. unknown: nothing comes before it, so its log-probability is null. */
void sw_answer_logprobs_push(struct sw_answer_logprobs *l, const struct sw_sampled *token,
                             bool unknown);
/* Appends the object of the tokens that were added since the last time. Sets out->failed when
 * memory ran out. */
void sw_answer_logprobs_take(struct sw_answer_logprobs *l, struct sw_strbuf *out);
void sw_answer_logprobs_free(struct sw_answer_logprobs *l);
/* Appends a number as JSON has it: there is no infinity. */
void sw_answer_put_number(struct sw_strbuf *out, double value);

#endif
