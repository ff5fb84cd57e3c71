/*
 * Rank 0's scheduler: runs many sequences through the pipeline at once. Requests wait in a queue
 * until a slot is free. Every step submits micro-batches until as many are under way as the
 * pipeline can use, then collects the results of the oldest. A request's results do not depend on
 * what else is under way: ids and log-probabilities are the same bit for bit.
 *
 * One thread, the scheduler's, calls these functions; callbacks run on it. Another thread may only
 * call sw_scheduler_wake: it leaves what it wants (in a queue of its own, under its own lock), then
 * wakes the scheduler, whose `mail` callback submits and cancels. A loop that serves requests is
 *     sw_scheduler_step, and sw_scheduler_wait if sw_scheduler_idle
 */
#ifndef SW_ENGINE_SCHEDULER_H
#define SW_ENGINE_SCHEDULER_H

#include "base/strbuf.h"
#include "engine/driver.h"

enum sw_finish {
    SW_FINISH_STOP,      /* the token callback set *stop */
    SW_FINISH_LENGTH,    /* max_new tokens were generated, or all ids were scored */
    SW_FINISH_CONTEXT,   /* the slot has no room for more positions */
    SW_FINISH_UNDEFINED, /* some logits were not finite, so results are missing */
    SW_FINISH_STUCK,     /* no token goes on as the grammar wants (sw_guide_stuck) */
    SW_FINISH_CANCELLED  /* by sw_scheduler_cancel; results so far were passed to the callbacks */
};

struct sw_request {
    const int32_t *ids; /* (n_ids) the prompt and the ids to score; copied */
    int n_ids;
    /* What an encoder reads, whole; copied. `ids` are the target then, which begins with the
     * model's start id. Other models: none. */
    const int32_t *source; /* (n_source) */
    int n_source;
    /* ids from this index on are scored: the log-probability of each after the ids before it.
     * At least 1; n_ids: none are scored. */
    int score_from;
    int max_new; /* most tokens to generate; 0: none */
    /* Hidden states of the last n_hidden rows of the prompt go to `hidden`. A request that only
     * scores has no row of its last id. */
    int n_hidden;
    struct sw_sampling sampling;
    /* Biases are copied; the grammar must live until the request is done. */
    struct sw_steering steering;
    /* Callbacks, called during sw_scheduler_step in order; each may be NULL. A failure of one is
     * returned by the step. `index`: of the scored id in ids; the score has as many alternatives as
     * `sampling` asks for. `done` may submit requests. */
    enum sw_status (*scored)(void *owner, int index, const struct sw_sampled *score, bool greedy);
    enum sw_status (*token)(void *owner, const struct sw_sampled *token, bool *stop);
    enum sw_status (*done)(void *owner, enum sw_finish finish);
    /* Where the scheduler has `hidden_layers` or `logits`: values of positions [position, position
     * + n), (n, hidden or vocab); layer -1: the embedding. All come before `done`. */
    enum sw_status (*hidden)(void *owner, int layer, int64_t position, int64_t n,
                             const float *data);
    enum sw_status (*logits)(void *owner, int64_t position, int64_t n, const float *data);
    void *owner;
};

/*
 * Makes `prompt` what the model goes on from: the ids; or the source of an encoder-decoder, whose
 * target has its first id alone. start: sw_scheduler_start or sw_driver_start. Nothing is scored.
 */
static inline void sw_request_prompt(struct sw_request *request, const int32_t *start,
                                     const int32_t *prompt, int n)
{
    request->ids = start ? start : prompt;
    request->n_ids = start ? 1 : n;
    request->source = start ? prompt : NULL;
    request->n_source = start ? n : 0;
    request->score_from = request->n_ids > 0 ? request->n_ids : 1;
}

struct sw_scheduler;
struct sw_scheduler_options {
    struct sw_driver *driver;
    /* Limits of the plan, which the scheduler never exceeds. */
    int slots, context, max_batch_tokens;
    /* Rows of prompts that a micro-batch may have beside decoded tokens, as they hide behind what
     * these take; where that is less than a quarter of it, a quarter. */
    int beside_rows;
    /* The tokens' bytes, for grammars (session/token_bytes.h); NULL: no grammar is accepted. */
    const struct sw_strbuf *tokens;
    /* Which layers' outputs requests can ask for, as of struct sw_driver_hooks; NULL: none. */
    const char *hidden_layers;
    bool logits;   /* requests get the logits of rows that are sampled or scored */
    bool unshared; /* no prefix hits: every request computes its whole prompt (tests, measurements)
                    */
    /* Called by each step and wait after a sw_scheduler_wake, before anything else; may submit and
     * cancel. Its failure is returned by the step or wait. NULL: not called. */
    enum sw_status (*mail)(void *context, struct sw_scheduler *s);
    void *mail_context;
};

struct sw_scheduler_stats {
    int64_t rows_sent;    /* rows submitted */
    int64_t generated;    /* tokens passed to callbacks */
    int64_t scored;       /* log-probabilities passed to callbacks */
    int64_t prefix_hits;  /* prompt tokens whose rows another sequence has computed */
    int64_t batches;      /* micro-batches submitted; rows_sent / batches is their mean size */
    int64_t done;         /* requests finished, the cancelled ones too */
    int64_t cancelled;    /* requests cancelled */
    int waiting, running; /* requests in the queue, requests in a slot */
    int under_way;        /* micro-batches submitted and not collected */
};

/* SW_ENOMEM. The caller frees by sw_scheduler_close. */
enum sw_status sw_scheduler_open(const struct sw_scheduler_options *options,
                                 struct sw_scheduler **out);
/* Drops requests that are not done; their `done` is not called. */
void sw_scheduler_close(struct sw_scheduler *s);
/*
 * Queues a request. SW_EINPUT when it can never run: an empty prompt, a prompt longer than the
 * context, or ids that the model does not have. SW_EUSAGE when its sampling is out of range. On a
 * failure nothing is queued. A request without outputs is done in the next step. The last id of a
 * request that only scores needs no position. *handle, unless NULL: for sw_scheduler_cancel; never
 * 0, and no other request of this scheduler gets it.
 */
enum sw_status sw_scheduler_submit(struct sw_scheduler *s, const struct sw_request *request,
                                   uint64_t *handle);
/*
 * Cancels a request; nothing happens when it is done already. From now on neither `token` nor
 * `scored` is called for it. `done` is called once, in the next step, with SW_FINISH_CANCELLED;
 * then its slot is free: rows that are still under way are computed, and their results dropped.
 * Others' results stay the same, bit for bit. Callbacks may cancel any request, their own as well.
 */
void sw_scheduler_cancel(struct sw_scheduler *s, uint64_t handle);
/* The id that each target of an encoder-decoder begins with; NULL: the model has no encoder. */
const int32_t *sw_scheduler_start(const struct sw_scheduler *s);
/* The number of requests to submit now so that no slot idles; callers read their input by it. */
int sw_scheduler_room(const struct sw_scheduler *s);
/* Submits what can be submitted and collects one micro-batch. Returns at once if there is nothing
 * to do, and without a micro-batch when it is woken while it waits for one. */
enum sw_status sw_scheduler_step(struct sw_scheduler *s);
/* Whether no request is waiting or running, and nothing is under way. */
bool sw_scheduler_idle(const struct sw_scheduler *s);
/* Waits until the scheduler is woken, then calls `mail`; returns at once unless it is idle. Fails
 * as every wait does: after a stop, or when a rank is lost. */
enum sw_status sw_scheduler_wait(struct sw_scheduler *s);
/*
 * From any thread, also before a wait: ends the wait of a step or of sw_scheduler_wait, now or the
 * next one, at once, and lets `mail` be called after this moment. Cheap; a signal handler may call
 * it. Computing of rank 0's own layers is not interrupted. Not after sw_scheduler_close.
 */
void sw_scheduler_wake(struct sw_scheduler *s);
void sw_scheduler_stats(const struct sw_scheduler *s, struct sw_scheduler_stats *out);
/* Positions that running requests hold in the KV cache now, of slots × context. */
int64_t sw_scheduler_positions(const struct sw_scheduler *s);

#endif
