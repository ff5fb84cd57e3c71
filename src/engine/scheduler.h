/*
 * Rank 0: many sequences through the pipeline at once. Requests wait in a queue; each gets a slot
 * when one is free; every step sends micro-batches until as many are under way as the pipeline can
 * use, then takes the results of the oldest. What a request gives does not depend on what else is
 * under way: the same ids, the same log-probabilities, bit for bit.
 */
#ifndef SW_ENGINE_SCHEDULER_H
#define SW_ENGINE_SCHEDULER_H

#include "engine/engine.h"

enum sw_finish {
    SW_FINISH_STOP,     /* the caller said stop */
    SW_FINISH_LENGTH,   /* max_new tokens, or all that was to be scored */
    SW_FINISH_CONTEXT,  /* no room for more */
    SW_FINISH_UNDEFINED /* logits that are not finite: what was handed out is not all */
};

struct sw_request {
    const int32_t *ids; /* (n_ids) the prompt, and what is scored; copied */
    int n_ids;
    /* ids[score_from], … are asked for: their log-probability after what precedes them; >= 1;
     * n_ids: none */
    int score_from;
    int max_new; /* tokens to generate; 0: none */
    struct sw_sampling sampling;
    /* Called during sw_scheduler_step, in order; any may be NULL. A failure ends the step with it.
     * index: of the id in ids. A request may be submitted from within done. */
    enum sw_status (*scored)(void *owner, int index, float logprob, bool greedy);
    enum sw_status (*token)(void *owner, const struct sw_sampled *token, bool *stop);
    enum sw_status (*done)(void *owner, enum sw_finish finish);
    void *owner;
};

struct sw_scheduler_options {
    struct sw_engine *engine;
    int stages; /* stages with layers; 0: as the engine has */
    int slots, context,
        max_batch_tokens; /* as the plan counted them: the scheduler never goes beyond */
    bool unshared;        /* every request computes its whole prompt: to measure and to test */
};

struct sw_scheduler_stats {
    int64_t rows_sent;   /* rows sent through the pipeline */
    int64_t generated;   /* tokens sampled and handed out */
    int64_t scored;      /* log-probabilities handed out */
    int64_t prefix_hits; /* prompt tokens whose rows another sequence gave */
    int64_t batches;     /* micro-batches sent: fed / batches is the mean of their rows */
    int64_t done;        /* requests */
    int waiting, running;
    int under_way; /* micro-batches */
};

struct sw_scheduler;
enum sw_status sw_scheduler_open(const struct sw_scheduler_options *options,
                                 struct sw_scheduler **out);
/* Requests that are not done are dropped without a word. */
void sw_scheduler_close(struct sw_scheduler *s);
/*
 * SW_EINPUT when the request can never run (empty prompt, longer than the context, ids that the
 * model does not have): nothing is queued. SW_EUSAGE: its sampling is out of range. One that
 * outputs for nothing is done in the next step. The last id of one that only scores needs no room.
 */
enum sw_status sw_scheduler_submit(struct sw_scheduler *s, const struct sw_request *request);
/* How many more requests would help now (so that callers read their input as it is needed). */
int sw_scheduler_room(const struct sw_scheduler *s);
/* Sends what can be sent and takes the results of one batch. Nothing to do: returns at once. */
enum sw_status sw_scheduler_step(struct sw_scheduler *s);
bool sw_scheduler_idle(const struct sw_scheduler *s);
void sw_scheduler_stats(const struct sw_scheduler *s, struct sw_scheduler_stats *out);

#endif
