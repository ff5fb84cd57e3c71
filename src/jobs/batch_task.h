/* Lines of prompts become lines of continuations. */
#ifndef SW_JOBS_BATCH_TASK_H
#define SW_JOBS_BATCH_TASK_H

#include "jobs/job.h"
#include "jobs/request.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct sw_batch_item;

/* The owner of a batch job; fields up to `items` are the caller's to fill. */
struct sw_batch_job {
    struct sw_line_request defaults; /* prompt, messages and form are of no meaning */
    struct sw_tokenizer *tokenizer;  /* NULL: prompts are ids, and so are the answers */
    const struct sw_chat *chat;      /* NULL: no conversations, and … */
    const char *no_chat;             /* … why */
    const char *model;               /* name for lines that do not give one */
    int vocab;                       /* ids of prompts are below */
    struct sw_batch_item *items;     /* under way */
};

extern const struct sw_job_task sw_batch_task;

/*
 * The seed of a line that has none of its own: from the job's seed and the line's id, so that the
 * same prompt under two ids is drawn twice, and a resumed job draws what it would have drawn.
 */
uint64_t sw_batch_seed(uint64_t seed, const struct sw_strbuf *key);

#endif
