/*
 * Rank 0's scheduler: runs many sequences through the pipeline at once. Requests wait in a queue
 * until a slot is free. Every step submits micro-batches until as many are under way as the
 * pipeline can use, then collects the results of the oldest. A request's results do not depend on
 * what else is under way: ids and log-probabilities are the same bit for bit.
 */
#ifndef SW_ENGINE_SCHEDULER_H
#define SW_ENGINE_SCHEDULER_H

#include "engine/engine.h"

enum sw_finish {
    SW_FINISH_STOP,     /* the token callback set *stop */
    SW_FINISH_LENGTH,   /* max_new tokens were generated, or all ids were scored */
    SW_FINISH_CONTEXT,  /* the slot has no room for more positions */
    SW_FINISH_UNDEFINED /* some logits were not finite, so results are missing */
};

struct sw_request {
    const int32_t *ids; /* (n_ids) the prompt and the ids to score; copied */
    int n_ids;
    /* ids from this index on are scored: the log-probability of each after the ids before it.
     * At least 1; n_ids: none are scored. */
    int score_from;
    int max_new; /* most tokens to generate; 0: none */
    struct sw_sampling sampling;
    /* Callbacks, called during sw_scheduler_step in order; each may be NULL. A failure of one is
     * returned by the step. `index`: of the scored id in ids. `done` may submit requests. */
    enum sw_status (*scored)(void *owner, int index, float logprob, bool greedy);
    enum sw_status (*token)(void *owner, const struct sw_sampled *token, bool *stop);
    enum sw_status (*done)(void *owner, enum sw_finish finish);
    void *owner;
};

struct sw_scheduler_options {
    struct sw_engine *engine;
    int stages; /* ranks with layers; 0: sw_engine_stages */
    /* Limits of the plan, which the scheduler never exceeds. */
    int slots, context, max_batch_tokens;
    bool unshared; /* no prefix hits: every request computes its whole prompt (tests, measurements)
                    */
};

struct sw_scheduler_stats {
    int64_t rows_sent;    /* rows submitted */
    int64_t generated;    /* tokens passed to callbacks */
    int64_t scored;       /* log-probabilities passed to callbacks */
    int64_t prefix_hits;  /* prompt tokens whose rows another sequence has computed */
    int64_t batches;      /* micro-batches submitted; rows_sent / batches is their mean size */
    int64_t done;         /* requests finished */
    int waiting, running; /* requests in the queue, requests in a slot */
    int under_way;        /* micro-batches submitted and not collected */
};

struct sw_scheduler;
/* SW_ENOMEM. The caller frees by sw_scheduler_close. */
enum sw_status sw_scheduler_open(const struct sw_scheduler_options *options,
                                 struct sw_scheduler **out);
/* Drops requests that are not done; their `done` is not called. */
void sw_scheduler_close(struct sw_scheduler *s);
/*
 * Queues a request. SW_EINPUT when it can never run: an empty prompt, a prompt longer than the
 * context, or ids that the model does not have. SW_EUSAGE when its sampling is out of range. On a
 * failure nothing is queued. A request without outputs is done in the next step. The last id of a
 * request that only scores needs no position.
 */
enum sw_status sw_scheduler_submit(struct sw_scheduler *s, const struct sw_request *request);
/* The number of requests to submit now so that no slot idles; callers read their input by it. */
int sw_scheduler_room(const struct sw_scheduler *s);
/* Submits what can be submitted and collects one micro-batch. Returns at once if there is nothing
 * to do. */
enum sw_status sw_scheduler_step(struct sw_scheduler *s);
bool sw_scheduler_idle(const struct sw_scheduler *s);
void sw_scheduler_stats(const struct sw_scheduler *s, struct sw_scheduler_stats *out);

#endif
