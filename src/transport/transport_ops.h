/*
 * Inside src/transport: what one kind of transport must do (the vtable), and what waiting keeps.
 * Everything here is non-blocking; waiting is in transport_wait.c, deadlines and failure in
 * heartbeat.c, once for all kinds.
 */
#ifndef SW_TRANSPORT_TRANSPORT_OPS_H
#define SW_TRANSPORT_TRANSPORT_OPS_H

#include "transport/heartbeat.h"
#include "transport/transport.h"

/* Messages on different channels do not overtake or hide each other. */
enum sw_channel { SW_CHANNEL_DATA, SW_CHANNEL_COLLECTIVE, SW_CHANNELS };

struct sw_transport_ops {
    const char *name;
    /* Copies head and payload (message->bytes) and starts sending. */
    enum sw_status (*send)(struct sw_transport *t, enum sw_channel channel, int peer,
                           const struct sw_message *message, const void *payload);
    /* Bytes started but not yet out of this rank's hands; SW_ANY_RANK: to all. Moves them along. */
    enum sw_status (*pending)(struct sw_transport *t, int peer, uint64_t *bytes);
    /* Takes the next head if one is there. Its payload must be taken next. */
    enum sw_status (*take)(struct sw_transport *t, enum sw_channel channel, int from,
                           struct sw_message *message, bool *found);
    /* Like take, but leaves it there. */
    enum sw_status (*peek)(struct sw_transport *t, enum sw_channel channel, int from, bool *found);
    /* Called again and again with the same arguments until *done. */
    enum sw_status (*payload)(struct sw_transport *t, enum sw_channel channel,
                              const struct sw_message *message, void *payload, bool *done);
    /* Sleeps for about `seconds`, or less when something came. */
    void (*sleep)(struct sw_transport *t, double seconds);
    /* Everybody has agreed on the end: leave in good order; frees the kind's own state. */
    void (*close)(struct sw_transport *t);
};

struct sw_transport_state {
    void *own; /* the kind's */
    struct sw_heartbeat *heartbeat;
    struct sw_peer {
        uint64_t sent, received; /* sequence numbers of the data channel */
    } * peers;                   /* (size) */
    double moved;                /* when sends were last moved along */
    bool process;                /* a rank is a process, which may be ended; else a thread */
    bool ending;                 /* in finish.c: a stop request or a verdict ends no wait */
};

/* The transport's own kind, on the collective channel. */
#define SW_KIND_BLOCK SW_KIND_TRANSPORT

/* One wait: begin, then step until what is waited for has happened. */
struct sw_wait {
    double began;
    bool sleepy; /* the spin is over */
};
void sw_wait_begin(struct sw_wait *wait);
/* Spins or sleeps a little; an error ends the wait. */
enum sw_status sw_wait_step(struct sw_transport *t, struct sw_wait *wait);
/* SW_OK, or the verdict's status with its text in the slot. */
enum sw_status sw_verdict_check(struct sw_transport *t);
/* The signal that asked for a stop, or 0; and how to say so. */
int sw_stop_number(const struct sw_transport *t);
void sw_stop_text(const struct sw_transport *t, int number, char *out, size_t cap);

/* A whole message on a channel, waiting for it; like sw_transport_send and recv_*. */
enum sw_status sw_channel_send(struct sw_transport *t, enum sw_channel channel, int peer,
                               struct sw_message *message, const void *payload, size_t bytes);
enum sw_status sw_channel_head(struct sw_transport *t, enum sw_channel channel, int from,
                               struct sw_message *message);
enum sw_status sw_channel_payload(struct sw_transport *t, enum sw_channel channel,
                                  const struct sw_message *message, void *payload);

/*
 * Fills what is common; `ranks` (size) becomes t's, and the heartbeat too. NULL: memory is short.
 */
struct sw_transport *sw_transport_new(const struct sw_transport_ops *ops, int rank, int size,
                                      struct sw_transport_rank *ranks,
                                      struct sw_heartbeat *heartbeat,
                                      const struct sw_transport_options *options);
/* Also closes the heartbeat. NULL is fine. */
void sw_transport_free(struct sw_transport *t);
/* The MPI kind, whatever started this process (a single process becomes a job of one rank). */
enum sw_status sw_transport_open_mpi(const struct sw_transport_options *options,
                                     struct sw_transport **out);
/* The only rank of this process, which is the job. */
enum sw_status sw_transport_open_alone(const struct sw_transport_options *options,
                                       struct sw_transport **out);

#endif
