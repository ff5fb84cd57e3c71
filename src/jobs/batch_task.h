/* Lines of prompts become lines of continuations. */
#ifndef SW_JOBS_BATCH_TASK_H
#define SW_JOBS_BATCH_TASK_H

#include "jobs/job.h"
#include "jobs/request.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct sw_batch_item;

/* The owner of a batch job. The caller fills every field but `items`. */
struct sw_batch_job {
    struct sw_line_request defaults; /* prompt, messages and form are not used */
    struct sw_tokenizer *tokenizer;  /* NULL: prompts and answers are ids */
    const struct sw_chat *chat;      /* NULL: lines with messages are refused */
    const char *no_chat;             /* why chat is NULL, for the message */
    const char *model;               /* the name for lines that do not give one */
    int vocab;                       /* ids of prompts must be below it */
    struct sw_batch_item *items;     /* requests under way */
};

extern const struct sw_job_task sw_batch_task;

/*
 * The seed of a line that gives none. It follows from the job's seed and the line's id: two ids
 * with the same prompt get different samples, and a resumed job samples as the first would have.
 */
uint64_t sw_batch_seed(uint64_t seed, const struct sw_strbuf *key);

#endif
