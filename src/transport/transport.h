/*
 * Communication between the ranks of a job: messages between two ranks, and three collective
 * operations for the start and the end. One thread of each rank (the pipeline's thread) calls
 * these.
 *
 * Every wait first spins for a moment, then sleeps. It ends with SW_EINTERRUPTED after a stop
 * signal, with SW_EPEER (naming rank and host) when a peer is gone or sent no heartbeat for
 * `silence_s`, and with the failing rank's own status when another rank has failed. Heartbeats come
 * from a thread of their own (heartbeat.h), so a rank that computes or loads for minutes is not
 * judged lost; it calls sw_transport_alive from time to time to notice stops and failures.
 */
#ifndef SW_TRANSPORT_TRANSPORT_H
#define SW_TRANSPORT_TRANSPORT_H

#include "base/status.h"
#include "transport/deadlines.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_MESSAGE_BODY 232 /* bytes of a head that the sender fills */
#define SW_ANY_RANK (-1)    /* receive from any rank, in order of arrival */
#define SW_HOST_MAX 64

/* The fixed-size head of a message, 256 bytes; the payload (rows of f32, ids, text) follows it. */
struct sw_message {
    uint16_t kind;     /* chosen by the engine, below SW_KIND_TRANSPORT */
    uint16_t unused;   /* 0 */
    int32_t source;    /* set by the transport: the sender's rank */
    uint64_t sequence; /* set by the transport: counts a sender's messages to one receiver from 0 */
    uint64_t bytes;    /* length of the payload; set by sw_transport_send */
    _Alignas(8) unsigned char body[SW_MESSAGE_BODY];
};
#define SW_KIND_TRANSPORT 0xff00 /* kinds from here on belong to the transport */

struct sw_transport_options {
    double silence_s; /* seconds without a heartbeat after which a peer is lost; 0: SW_TIMEOUT_S */
    double stall_s;   /* seconds without progress after which a rank is lost; 0: SW_STALL_S */
    double spin_s;    /* seconds to spin before sleeping; 0: 50 us; < 0: never spin */
    const volatile sig_atomic_t *stop; /* non-zero ends every wait; may be NULL */
    const char *safe; /* part of a failure's message: which results are kept; may be NULL */
};

struct sw_transport_rank {
    char host[SW_HOST_MAX];
    int node; /* the same for ranks that share memory; numbered from 0 in rank order */
};

struct sw_transport_ops; /* transport_ops.h: the operations of each kind of transport */
struct sw_transport {
    const struct sw_transport_ops *ops;
    int rank, size, n_nodes;
    const struct sw_transport_rank *ranks; /* (size), equal on every rank */
    struct sw_transport_options options;
    struct sw_transport_state *state; /* transport_ops.h: state of waits and of the heartbeat */
};

/*
 * Opens MPI when mpirun or srun started this process as one of several ranks; otherwise one rank
 * without MPI_Init. The caller frees *out with sw_transport_finish.
 */
enum sw_status sw_transport_open(const struct sw_transport_options *options,
                                 struct sw_transport **out);
/* Opens `n` ranks in this process, each for a thread of its own; out (n). Each must be finished. */
enum sw_status sw_transport_open_self(int n, const struct sw_transport_options *options,
                                      struct sw_transport **out);

/*
 * Starts sending and returns; the caller sets kind and body. The payload is copied, so its buffer
 * can be reused at once. Waits only while more than 64 MiB (or one larger message) to this peer are
 * under way. Messages between two ranks arrive in order.
 */
enum sw_status sw_transport_send(struct sw_transport *t, int peer, struct sw_message *message,
                                 const void *payload, size_t bytes);
/* Waits for the head of the next message from rank `from` or SW_ANY_RANK. */
enum sw_status sw_transport_recv_head(struct sw_transport *t, int from, struct sw_message *message);
/*
 * Receives the payload (message->bytes) that belongs to a head. Must be called before the next
 * sw_transport_recv_head unless message->bytes is 0.
 */
enum sw_status sw_transport_recv_payload(struct sw_transport *t, const struct sw_message *message,
                                         void *payload);
/* Receives head and payload. SW_EPEER when the payload is longer than `capacity` bytes. */
enum sw_status sw_transport_recv(struct sw_transport *t, int from, struct sw_message *message,
                                 void *payload, size_t capacity);
/* Progresses sends, and sets *ready when a message from `from` has arrived; never waits. */
enum sw_status sw_transport_poll(struct sw_transport *t, int from, bool *ready);
/*
 * Waits until a message from `from` has arrived (*ready) or *wake is not 0. Another thread may set
 * *wake, with sw_wake_set, at any moment; that ends the wait at once.
 */
enum sw_status sw_transport_wait(struct sw_transport *t, int from, const int *wake, bool *ready);
/* Waits until all messages have left this rank. */
enum sw_status sw_transport_flush(struct sw_transport *t);
/*
 * Records progress of this rank and progresses sends. Returns SW_EINTERRUPTED after a stop signal,
 * and the status of another rank that has failed. Usually costs one read of the clock, so call it
 * freely between layers, files and rows.
 */
enum sw_status sw_transport_alive(struct sw_transport *t);

/* All ranks call these in the same order. Only the sender needs to know the size of a payload. */
enum sw_status sw_transport_barrier(struct sw_transport *t);
/*
 * Sends *bytes (*length) of rank `root` to all. On the other ranks *bytes becomes a new block with
 * a NUL after it, which the caller frees.
 */
enum sw_status sw_transport_broadcast(struct sw_transport *t, int root, void **bytes,
                                      size_t *length);
/*
 * Sends the bytes of every rank to rank 0. There blocks (size) become new blocks, each of which the
 * caller frees, with their lengths (size); on other ranks both are left unchanged.
 */
enum sw_status sw_transport_gather(struct sw_transport *t, const void *bytes, size_t length,
                                   void **blocks, size_t *lengths);
/*
 * Every rank's block of `length` bytes to every rank: *all (size, length) in rank order; the caller
 * frees it. SW_EUSAGE names a rank whose block is of another length: it runs another program.
 */
enum sw_status sw_transport_allgather(struct sw_transport *t, const void *bytes, size_t length,
                                      void **all);

/*
 * Ends a job; every rank calls it once with its own outcome. Frees t. The first failure of any rank
 * becomes that of all ranks: the waits of other ranks end, its message goes to the status file of a
 * launcher that reads it (verdict.h) or is printed once in the whole job with its rank and host,
 * and all ranks return the same status with an empty error slot. Takes some seconds after a
 * failure; when a rank is lost, the process exits here with the exit code of that status.
 */
enum sw_status sw_transport_finish(struct sw_transport *t, enum sw_status status);
/*
 * Reports that this rank has failed with `status` and the message of the error slot, for another
 * thread than the pipeline's: that one hangs in a system call. Once the message is printed the
 * process is ended with its exit code (SW_MAIN_S), where all waits of the rank have not ended by
 * then.
 */
void sw_transport_raise(struct sw_transport *t, enum sw_status status);
/*
 * The rank that the launcher gave this process, 0 without a launcher. Can be called before a
 * transport is open, so that only one rank reports an error in the command line.
 */
int sw_transport_launch_rank(void);
/* Sets what messages about a lost rank state after its host: "layers 4-7". Each rank may set any.
 */
void sw_transport_label(struct sw_transport *t, int rank, const char *text);
/* Writes "rank 3 on h2" into `out` and returns it. */
const char *sw_transport_name(const struct sw_transport *t, int rank, char *out, size_t cap);

#endif
