/* What scheduler.c (requests and results), slots.c (who gets which slot, shared prefixes) and
 * batch_builder.c (what the next micro-batch holds) share. Internal to src/engine/. */
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
    struct sw_request request; /* its ids are the ones below */
    int n_prompt;              /* ids that are fed: all, or all but the last when it only scores */
    int n_new;                 /* tokens so far */
    bool undefined;            /* logits of it were not finite */
    int32_t ids[];             /* (request.n_ids) */
};

struct slot {
    struct entry *entry; /* NULL: free; its rows stay until it is used again */
    int32_t *ids;        /* (context + 1) */
    int n_due;           /* ids to be fed, as far as they are known */
    int n_sent;          /* of these, fed; as many rows can be copied. n_due > n_sent: ready */
    int source, shared;  /* it waits until slot `source` has sent `shared` rows; -1: it does not */
    int64_t used;        /* when it was given back, counted in requests */
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

struct sw_scheduler {
    struct sw_scheduler_options options;
    struct entry *first, *last;    /* the queue */
    struct slot *slots;            /* (slots) */
    struct ring prompts;           /* slots with prompt rows to send, the oldest first */
    struct ring steps;             /* slots whose newest token is to be fed */
    int n_blocked;                 /* slots that wait for another's prefix */
    int n_stepping;                /* sequences whose prompt has been sent and that go on */
    int64_t prompt_rows;           /* to be sent by the slots in `prompts` */
    int stream_rows;               /* sw_engine_stream_rows */
    struct sw_in_flight in_flight; /* micro-batches that should be under way */
    struct sw_microbatch batch;    /* the one being built; arrays for `rows` rows */
    struct sw_scheduler_stats stats;
};

/* slots.c: gives waiting requests the free slots. */
enum sw_status sw_scheduler_admit(struct sw_scheduler *s);
/* Lets those go on whose prefix has been sent meanwhile. */
enum sw_status sw_scheduler_unblock(struct sw_scheduler *s);
/* The slot's request is over: tells its owner and frees it. */
enum sw_status sw_scheduler_end(struct sw_scheduler *s, int slot, enum sw_finish finish);

/* batch_builder.c: fills s->batch, with 0 rows when enough is under way or nothing is ready. */
void sw_scheduler_build_batch(struct sw_scheduler *s);

#endif
