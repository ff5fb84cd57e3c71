/*
 * What joins the ranks of a job: messages between two ranks, and three collective helpers for the
 * start and the end. One thread a rank calls these (the pipeline's thread).
 *
 * Every wait first spins for a moment, then sleeps; it ends with SW_EINTERRUPTED when a stop was
 * asked for, with SW_EPEER (naming rank and host) when a peer is gone or gave no sign of life for
 * `silence_s`, and with the failing rank's own status when another rank has given up. Signs of life
 * come from a thread of their own (heartbeat.h), so a rank that computes or loads for minutes is
 * not taken for dead; it calls sw_transport_alive now and then to learn of stops and failures.
 */
#ifndef SW_TRANSPORT_TRANSPORT_H
#define SW_TRANSPORT_TRANSPORT_H

#include "base/status.h"
#include "transport/deadlines.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_MESSAGE_BODY 232 /* bytes of a header that are the sender's own */
#define SW_ANY_RANK (-1)    /* receive from whoever comes first */
#define SW_HOST_MAX 64

/* The fixed-size head of a message, 256 bytes; the payload (rows of f32, ids, text) follows it. */
struct sw_message {
    uint16_t kind;     /* the engine's own numbers, below SW_KIND_TRANSPORT */
    uint16_t unused;   /* 0 */
    int32_t source;    /* set by the transport: the sender's rank */
    uint64_t sequence; /* set by the transport: counts a sender's messages to one receiver from 0 */
    uint64_t bytes;    /* of payload; set by sw_transport_send */
    _Alignas(8) unsigned char body[SW_MESSAGE_BODY];
};
#define SW_KIND_TRANSPORT 0xff00 /* kinds from here on are the transport's */

struct sw_transport_options {
    double silence_s; /* a peer silent for so long is lost; 0: SW_TIMEOUT_S */
    double stall_s;   /* a rank that gets nothing done for so long, too; 0: SW_STALL_S */
    double spin_s;    /* spin before sleeping; 0: 50 us; < 0: never */
    const volatile sig_atomic_t *stop; /* non-zero: leave every wait; may be NULL */
    const char *safe; /* what a failure leaves, for its message; NULL: nothing to say */
};

struct sw_transport_rank {
    char host[SW_HOST_MAX];
    int node; /* ranks that share memory have the same; nodes count from 0 in rank order */
};

struct sw_transport_ops; /* src/transport/transport_ops.h: what self, mpi and later transports fill
                            in */
struct sw_transport {
    const struct sw_transport_ops *ops;
    int rank, size, n_nodes;
    const struct sw_transport_rank *ranks; /* (size), the same on every rank */
    struct sw_transport_options options;
    struct sw_transport_state *state; /* the waiting's and the heartbeat's own */
};

/* Started by mpirun or srun as one of several ranks: MPI. Otherwise one rank, and no MPI_Init. */
enum sw_status sw_transport_open(const struct sw_transport_options *options,
                                 struct sw_transport **out);
/* `n` ranks of this process, each for a thread of its own; out (n). All must be finished. */
enum sw_status sw_transport_open_self(int n, const struct sw_transport_options *options,
                                      struct sw_transport **out);

/*
 * Starts sending and returns; kind and body are the caller's. Payload is copied, so the buffer is
 * free at once; waits only while more than 64 MiB (or one message) to this peer are under way.
 * The order between two ranks is kept.
 */
enum sw_status sw_transport_send(struct sw_transport *t, int peer, struct sw_message *message,
                                 const void *payload, size_t bytes);
/* Waits for the next message's head from `from` or SW_ANY_RANK. */
enum sw_status sw_transport_recv_head(struct sw_transport *t, int from, struct sw_message *message);
/* Its payload, message->bytes of it; must follow before the next recv_head unless bytes is 0. */
enum sw_status sw_transport_recv_payload(struct sw_transport *t, const struct sw_message *message,
                                         void *payload);
/* Both; a payload of more than `capacity` bytes is SW_EPEER (the ranks do not agree on shapes). */
enum sw_status sw_transport_recv(struct sw_transport *t, int from, struct sw_message *message,
                                 void *payload, size_t capacity);
/* Moves sends along and says whether a recv from `from` would find something; never waits. */
enum sw_status sw_transport_poll(struct sw_transport *t, int from, bool *ready);
/* Waits until everything sent has left this rank. */
enum sw_status sw_transport_flush(struct sw_transport *t);
/*
 * "I move on": also moves sends along, and returns SW_EINTERRUPTED or the status of another rank
 * that gave up. A clock read most of the time, so call it freely between layers, files and rows.
 */
enum sw_status sw_transport_alive(struct sw_transport *t);

/* All ranks call these in the same order. Payload sizes need be known to the sender only. */
enum sw_status sw_transport_barrier(struct sw_transport *t);
/* Rank `root`'s *bytes to all; elsewhere *bytes is a new block (caller frees, NUL after it). */
enum sw_status sw_transport_broadcast(struct sw_transport *t, int root, void **bytes,
                                      size_t *length);
/* On rank 0 (size) new blocks and their lengths, caller frees each; elsewhere left alone. */
enum sw_status sw_transport_gather(struct sw_transport *t, const void *bytes, size_t length,
                                   void **blocks, size_t *lengths);

/*
 * The end of a job, called once by every rank with its own outcome; frees t. The first failure
 * anywhere becomes everybody's: it goes to the status file of a launcher that reads it (verdict.h),
 * else is printed once in the whole job, with the rank and host it came from; waits elsewhere end,
 * and the same status is returned on all ranks, with the error slot empty because all is said.
 * Takes some seconds once something has failed; when a rank is lost the process ends here with
 * that status's exit code.
 */
enum sw_status sw_transport_finish(struct sw_transport *t, enum sw_status status);
/*
 * Before a transport is open: the rank the launcher gave this process (0 without a launcher), so
 * that one rank complains about the command line they all share.
 */
int sw_transport_launch_rank(void);
/* What messages about a lost rank say of it beside its host: "layers 4-7". Any rank, for any. */
void sw_transport_label(struct sw_transport *t, int rank, const char *text);
/* "rank 3 on h2", into `out`. */
const char *sw_transport_name(const struct sw_transport *t, int rank, char *out, size_t cap);

#endif
