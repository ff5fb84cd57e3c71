/*
 * Internal to src/transport: the operations of one kind of transport, none of which blocks, and
 * what all kinds share: waiting (transport_wait.c), deadlines and failure (heartbeat.c).
 */
#ifndef SW_TRANSPORT_TRANSPORT_OPS_H
#define SW_TRANSPORT_TRANSPORT_OPS_H

#include "transport/heartbeat.h"
#include "transport/transport.h"

/* Messages on different channels do not overtake or hide each other. */
enum sw_channel { SW_CHANNEL_DATA, SW_CHANNEL_COLLECTIVE, SW_CHANNELS };

struct sw_transport_ops {
    const char *name;
    /* Copies head and payload (message->bytes) and starts to send them. */
    enum sw_status (*send)(struct sw_transport *t, enum sw_channel channel, int peer,
                           const struct sw_message *message, const void *payload);
    /* Progresses sends; *bytes: not yet sent to `peer`, or with SW_ANY_RANK to all ranks. */
    enum sw_status (*pending)(struct sw_transport *t, int peer, uint64_t *bytes);
    /* Takes the next head if one has arrived. Its payload must be taken next. */
    enum sw_status (*take)(struct sw_transport *t, enum sw_channel channel, int from,
                           struct sw_message *message, bool *found);
    /* Sets *found when a head has arrived, and leaves it there. */
    enum sw_status (*peek)(struct sw_transport *t, enum sw_channel channel, int from, bool *found);
    /* Receives a payload; must be called with the same arguments until *done. */
    enum sw_status (*payload)(struct sw_transport *t, enum sw_channel channel,
                              const struct sw_message *message, void *payload, bool *done);
    /* Sleeps for about `seconds`, or less when a message arrives or *wake (NULL: none) is set. */
    void (*sleep)(struct sw_transport *t, double seconds, const int *wake);
    /* Leaves together with all other ranks; frees the kind's own state. */
    void (*close)(struct sw_transport *t);
};

struct sw_transport_state {
    void *own; /* state of the kind of transport */
    struct sw_heartbeat *heartbeat;
    struct sw_peer {
        uint64_t sent, received; /* sequence numbers of the data channel */
    } * peers;                   /* (size) */
    double progress_at;          /* when sends were last progressed, on sw_clock() */
    bool process;                /* a rank is a process, which may be ended; else a thread */
    bool ending;                 /* in finish.c: neither a stop nor a verdict ends a wait */
};

/* Kind of the messages on the collective channel. */
#define SW_KIND_BLOCK SW_KIND_TRANSPORT

/* One wait: sw_wait_begin, then sw_wait_step until the awaited condition holds. */
struct sw_wait {
    double began;    /* on sw_clock() */
    bool sleeping;   /* the spin is over */
    const int *wake; /* ends its sleeps (base/wake.h); NULL: none */
};
void sw_wait_begin(struct sw_wait *wait);
/* Spins or sleeps for a moment. Any status but SW_OK ends the wait: a stop, a verdict, an error. */
enum sw_status sw_wait_step(struct sw_transport *t, struct sw_wait *wait);
/* SW_OK without a verdict, else its status, with its text in the error slot. */
enum sw_status sw_verdict_check(struct sw_transport *t);
/* The number of the signal that requested a stop, or 0. */
int sw_stop_number(const struct sw_transport *t);
/* The message for a stop by signal `number`, into `out`. */
void sw_stop_text(const struct sw_transport *t, int number, char *out, size_t cap);

/* Like sw_transport_send, _recv_head and _recv_payload, on a given channel. */
enum sw_status sw_channel_send(struct sw_transport *t, enum sw_channel channel, int peer,
                               struct sw_message *message, const void *payload, size_t bytes);
enum sw_status sw_channel_head(struct sw_transport *t, enum sw_channel channel, int from,
                               struct sw_message *message);
enum sw_status sw_channel_payload(struct sw_transport *t, enum sw_channel channel,
                                  const struct sw_message *message, void *payload);

/*
 * A new transport with what all kinds share; it then owns `ranks` (size, from malloc) and
 * `heartbeat`. NULL without memory; then the caller still owns both.
 */
struct sw_transport *sw_transport_new(const struct sw_transport_ops *ops, int rank, int size,
                                      struct sw_transport_rank *ranks,
                                      struct sw_heartbeat *heartbeat,
                                      const struct sw_transport_options *options);
/* Frees t and closes its heartbeat. NULL is fine. */
void sw_transport_free(struct sw_transport *t);
/* Opens MPI, whatever started this process; a single process becomes a job of one rank. */
enum sw_status sw_transport_open_mpi(const struct sw_transport_options *options,
                                     struct sw_transport **out);
/* Opens a job of one rank, without MPI. */
enum sw_status sw_transport_open_alone(const struct sw_transport_options *options,
                                       struct sw_transport **out);

#endif
