/* The result line of a finished continuation, in the form its request came in. */
#ifndef SW_JOBS_ANSWER_H
#define SW_JOBS_ANSWER_H

#include "base/strbuf.h"
#include "jobs/request.h"
#include "text/ids.h"
#include "text/tokenizer.h"

struct sw_answer {
    const struct sw_line_request *asked;
    const struct sw_strbuf *key;    /* jobs/record.h */
    const char *model;              /* for those that do not name one */
    const struct sw_tokenizer *tok; /* NULL: tokens have no text */
    const char *text;               /* (n_text), valid UTF-8 */
    size_t n_text;
    const struct sw_ids *ids;         /* generated */
    const struct sw_sampled *sampled; /* (ids->count); NULL: no log-probabilities asked for */
    int n_prompt;
    bool stopped;    /* by a stop text or an end token; else there was no room for more */
    int64_t created; /* Unix time */
};

/* Appends the line with its newline; memory that runs out shows in out->failed. */
void sw_answer_write(const struct sw_answer *answer, struct sw_strbuf *out);

#endif
