/*
 * Inside src/transport: what one kind of transport must do (the vtable), and what the waiting
 * keeps. Everything here is non-blocking; waiting, deadlines and failure are in wait.c, once.
 */
#ifndef SW_TRANSPORT_OPS_H
#define SW_TRANSPORT_OPS_H

#include "transport/transport.h"

/* Messages on different channels do not overtake or hide each other. */
enum sw_channel { SW_CHANNEL_DATA, SW_CHANNEL_COLLECTIVE, SW_CHANNEL_CONTROL, SW_CHANNELS };

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
    /* Is `peer` certainly dead? false: alive, or nobody here can know. */
    bool (*gone)(struct sw_transport *t, int peer);
    /* Everybody has agreed on the end: leave in good order; frees the kind's own state. */
    void (*close)(struct sw_transport *t);
    /* Somebody is lost, so good order is impossible. May end the process. Frees like close. */
    void (*quit)(struct sw_transport *t, int exit_code);
};

#define SW_VERDICT_MAX (SW_ERROR_MAX + 128)

/* One entry a rank. */
struct sw_peer {
    double heard;            /* when the last sign of life came */
    uint64_t sent, received; /* sequence numbers of the data channel */
    bool edge;               /* talks with us: gets heartbeats */
    bool lost;               /* gone, or silent for too long */
    bool ended;              /* has told its outcome (kept by the chief in finish.c) */
};

struct sw_transport_state {
    void *own;                    /* the kind's */
    struct sw_peer *peers;        /* (size) */
    double told, drained, looked; /* when heartbeats went out, control was read, gone was asked */
    bool ending;                  /* in finish.c: a stop request no longer interrupts */
    bool judged;                  /* a verdict is known: what the whole job ends with */
    bool released;                /* the chief says everybody may leave ... */
    bool disorder;                /* ... but some rank is lost, so not in good order */
    enum sw_status verdict;
    int verdict_rank; /* who failed first */
    char verdict_text[SW_VERDICT_MAX];
};

/* The transport's own kinds, all on the control channel. */
enum {
    SW_KIND_ALIVE = SW_KIND_TRANSPORT,
    SW_KIND_OUTCOME, /* to the chief: how this rank ended; body struct sw_outcome, payload its text
                      */
    SW_KIND_VERDICT, /* from the chief: the job ends with this; same form */
    SW_KIND_RELEASE, /* from the chief: leave; status is SW_OK when in good order */
    SW_KIND_BLOCK    /* a collective's payload */
};
struct sw_outcome {
    int32_t status, rank;
};

/* One wait: begin, then step until what is waited for has happened. */
struct sw_wait {
    double began;
    int from;      /* whose silence counts; SW_ANY_RANK: any edge's */
    bool sleepy;   /* the spin is over */
    bool tolerant; /* a lost peer is noted, not an error */
};
void sw_wait_begin(struct sw_wait *wait, int from);
/* Spins or sleeps a little; an error ends the wait. */
enum sw_status sw_wait_step(struct sw_transport *t, struct sw_wait *wait);
/* Reads the control messages that are there. */
enum sw_status sw_control_drain(struct sw_transport *t);
/* Tells the peers with edges (and `also`, if a rank) that this rank lives, once a second. */
enum sw_status sw_control_tell(struct sw_transport *t, int also);
/* Sends an outcome or a verdict. */
enum sw_status sw_control_send(struct sw_transport *t, int peer, uint16_t kind,
                               enum sw_status status, int rank, const char *text);
/* Makes `status` the job's, unless there is a verdict or it is SW_OK. */
void sw_verdict_note(struct sw_transport *t, enum sw_status status, int rank, const char *text);
/* SW_OK, or the verdict's status with its text in the slot. */
enum sw_status sw_verdict_check(struct sw_transport *t);

/* A whole message on a channel, waiting for it; like sw_transport_send and recv_*. */
enum sw_status sw_channel_send(struct sw_transport *t, enum sw_channel channel, int peer,
                               struct sw_message *message, const void *payload, size_t bytes);
enum sw_status sw_channel_head(struct sw_transport *t, enum sw_channel channel, int from,
                               struct sw_message *message);
enum sw_status sw_channel_payload(struct sw_transport *t, enum sw_channel channel,
                                  const struct sw_message *message, void *payload);

/* Fills what is common; `ranks` (size) becomes t's. Returns NULL when memory is short. */
struct sw_transport *sw_transport_new(const struct sw_transport_ops *ops, int rank, int size,
                                      struct sw_transport_rank *ranks,
                                      const struct sw_transport_options *options);
void sw_transport_free(struct sw_transport *t);
/* The MPI kind, whatever started this process (a single process becomes a job of one rank). */
enum sw_status sw_transport_open_mpi(const struct sw_transport_options *options,
                                     struct sw_transport **out);

#endif
