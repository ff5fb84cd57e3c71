/* The result line of a finished continuation, in the form its request came in. */
#ifndef SW_JOBS_ANSWER_H
#define SW_JOBS_ANSWER_H

#include "base/strbuf.h"
#include "jobs/request.h"
#include "text/ids.h"
#include "text/tokenizer.h"

struct sw_answer {
    const struct sw_line_request *request;
    const struct sw_strbuf *key;    /* the line's id as JSON text (jobs/record.h) */
    const char *model;              /* the name for a request that does not give one */
    const struct sw_tokenizer *tok; /* NULL: tokens have no text */
    const char *text;               /* (n_text), valid UTF-8 */
    size_t n_text;
    const struct sw_ids *ids;         /* generated tokens */
    const struct sw_sampled *sampled; /* (ids->count); NULL: without log-probabilities */
    int n_prompt;                     /* tokens of the prompt */
    bool stopped;    /* by a stop text or an end token; false: by max_tokens or the context */
    int64_t created; /* Unix time in seconds */
};

/* Appends the line with its newline. Sets out->failed when memory runs out. */
void sw_answer_write(const struct sw_answer *answer, struct sw_strbuf *out);

#endif
