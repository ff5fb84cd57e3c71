/* The result line of a finished continuation, in the form its request came in. */
#ifndef SW_JOBS_ANSWER_H
#define SW_JOBS_ANSWER_H

#include "base/strbuf.h"
#include "jobs/request.h"
#include "session/completion.h"

struct sw_answer {
    const struct sw_line_request *request;
    const struct sw_strbuf *key;            /* the line's id as JSON text (jobs/record.h) */
    const char *model;                      /* the name for a request that does not give one */
    const struct sw_completion *completion; /* finished */
    int64_t created;                        /* Unix time in seconds */
};

/* Appends the line with its newline. Sets out->failed when memory runs out. */
void sw_answer_write(const struct sw_answer *answer, struct sw_strbuf *out);

#endif
