/*
 * Lines of texts become lines that say where their values are in the shards (jobs/shards.h):
 *   {"id", "prompt" | "messages"} -> {"id", "tokens", "shard", "first", "count"}
 * Results come in the order of the input, and one is appended when its values are on disk.
 */
#ifndef SW_JOBS_TRACE_TASK_H
#define SW_JOBS_TRACE_TASK_H

#include "jobs/job.h"
#include "jobs/shards.h"
#include "jobs/trace_choice.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct sw_trace_item;

/* The owner of a trace job. The caller fills the first part and zeros the rest. */
struct sw_trace_job {
    const char *folder;  /* OUT */
    const char *results; /* OUT/results.jsonl */
    struct sw_trace_choice choice;
    uint64_t shard_bytes;
    json_t *metadata;               /* of index.json */
    struct sw_tokenizer *tokenizer; /* NULL: prompts are ids */
    const struct sw_chat *chat;     /* NULL: lines with messages are refused */
    const char *no_chat;            /* why chat is NULL, for the message */
    int hidden, vocab;              /* widths; ids of prompts are below the second */

    struct sw_shards_options options; /* by sw_trace_describe */
    struct sw_shards *shards;
    struct sw_trace_item *first, *last; /* lines under way, in the order of the input */
    struct sw_trace_item *unwritten;    /* the first of them whose values are not in the shards */
    struct sw_trace_item *ending;       /* the one that fails */
    uint64_t bytes;                     /* of values in memory */
    int64_t n_items, n_written; /* lines under way; those whose values were written to the shards */
};

/* The tensors that the choice gives, for a model of this width. */
void sw_trace_describe(struct sw_trace_job *trace);
/* Opens the shards where the results end, after sw_results_begin; nothing when they are open. */
enum sw_status sw_trace_open(struct sw_trace_job *trace);
/* Frees everything but what the caller filled. */
void sw_trace_close(struct sw_trace_job *trace);

extern const struct sw_job_task sw_trace_task;

#endif
