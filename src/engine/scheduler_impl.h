/* Shared by scheduler.c (requests and results), slots.c (slots and shared prefixes) and
 * batch_builder.c (rows of the next micro-batch). Internal to src/engine/. */
#ifndef SW_ENGINE_SCHEDULER_IMPL_H
#define SW_ENGINE_SCHEDULER_IMPL_H

#include "engine/in_flight.h"
#include "engine/scheduler.h"

#include <stdint.h>

/* A shared prefix shorter than this is computed again rather than copied or waited for. */
#define SW_SHARE_MIN 16

/* A request, waiting or running. */
struct entry {
    struct entry *next;
    struct sw_request request; /* request.ids points to `ids` below */
    int n_prompt;              /* ids to compute: all, or all but the last when it only scores */
    int n_new;                 /* tokens generated so far */
    bool undefined;            /* some of its logits were not finite */
    bool stuck;                /* it came where no id is allowed */
    bool cancelled;            /* to be dropped by the next step */
    uint64_t handle;
    int32_t ids[]; /* (request.n_ids), then those of the source, then the biases */
};

struct slot {
    struct entry *entry; /* NULL: the slot is free; its rows stay until it is used again */
    int32_t *ids;        /* (context + 1) ids by position */
    int n_due;           /* ids known so far that must be computed */
    int n_sent;          /* ids submitted so far; as many rows can be copied */
    int source;          /* slot whose prefix this one waits for; -1: none */
    int snapshot;        /* positions of the snapshot of its state; 0: there is none */
    int cut;             /* position at which one is to be made; 0: none */
    int shared;          /* rows that `source` must have submitted before they are copied */
    int64_t used;        /* stats.done when the slot became free */
    int64_t n_results;   /* results of this slot's rows that are still to come */
    int64_t n_stale;     /* the first of them that belong to a cancelled request */
};

/* A queue of slots, each in it at most once. */
struct ring {
    int *slots; /* (capacity) */
    int first, n, capacity;
};
static inline void ring_push(struct ring *r, int slot)
{
    r->slots[(r->first + r->n++) % r->capacity] = slot;
}
static inline int ring_head(const struct ring *r)
{
    return r->slots[r->first];
}
static inline void ring_pop(struct ring *r)
{
    r->first = (r->first + 1) % r->capacity;
    r->n--;
}
/* Takes `slot` out wherever it is; false: it is not there. */
static inline bool ring_remove(struct ring *r, int slot)
{
    bool found = false;
    for (int i = 0, n = r->n; i < n; i++) {
        const int at = ring_head(r);
        ring_pop(r);
        if (at == slot)
            found = true;
        else
            ring_push(r, at);
    }
    return found;
}

struct sw_scheduler {
    struct sw_scheduler_options options;
    struct entry *first, *last;    /* the queue */
    struct slot *slots;            /* (slots) */
    int encoder;                   /* sw_driver_encoder */
    bool states;                   /* sw_driver_keeps_states */
    bool snapshots;                /* sw_driver_has_snapshots */
    struct ring sources;           /* slots whose source is still to be encoded, the oldest first */
    struct ring prompts;           /* slots with prompt rows to submit, the oldest first */
    struct ring steps;             /* slots whose newest token is to be computed */
    int n_blocked;                 /* slots that wait for another slot's prefix */
    int n_stepping;                /* sequences past their prompt that generate more tokens */
    int64_t prompt_rows;           /* rows still to submit of the slots in `prompts` */
    int stages;                    /* sw_driver_stages */
    int stream_rows;               /* sw_driver_stream_rows */
    struct sw_in_flight in_flight; /* how many micro-batches should be under way */
    struct sw_microbatch batch;    /* being built; arrays of max_batch_tokens */
    struct sw_scheduler_stats stats;
    uint64_t handles; /* given so far */
    int n_cancelled;  /* requests to be dropped by the next step */
    bool has_results; /* results came in this step */
    int woken;        /* set by any thread; read and cleared with __atomic operations */
};

/* slots.c: assigns free slots to waiting requests. */
enum sw_status sw_scheduler_admit(struct sw_scheduler *s);
/* slots.c: starts the slots whose shared prefix has been submitted meanwhile. */
enum sw_status sw_scheduler_unblock(struct sw_scheduler *s);
/* slots.c: ends requests that are cancelled. */
enum sw_status sw_scheduler_drop_cancelled(struct sw_scheduler *s);
/* slots.c: ends the slot's request: calls `done`, frees the request and the slot. */
enum sw_status sw_scheduler_end(struct sw_scheduler *s, int slot, enum sw_finish finish);

/* slots.c: lets a slot submit the rows of its prompt. */
void sw_scheduler_begin_prompt(struct sw_scheduler *s, int slot);

/* batch_builder.c: fills s->batch; 0 rows when enough is under way or no row is ready. */
void sw_scheduler_build_batch(struct sw_scheduler *s);

#endif
