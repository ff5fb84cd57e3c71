/*
 * Internal to the heartbeat: its state, shared by the rank's main thread and the heartbeat thread.
 * What is not atomic is under the lock, which is never held while waiting or writing to disk.
 */
#ifndef SW_TRANSPORT_HEARTBEAT_IMPL_H
#define SW_TRANSPORT_HEARTBEAT_IMPL_H

#include "transport/endpoint.h"
#include "transport/heartbeat.h"
#include "transport/heartbeat_socket.h"
#include "transport/transport_ops.h"

#include <pthread.h>
#include <stdatomic.h>

struct sw_heart_peer {
    atomic_uint_fast64_t sent,
        taken;             /* whole messages to and from it, counted by the main thread */
    bool monitored;        /* a link to it exists or is expected: silence is a loss */
    bool linked;           /* a link to it has been open */
    bool lost, ended;      /* it is judged lost; it has ended its work */
    bool left;             /* it has announced that it leaves: closing is no loss */
    double received_at;    /* when its last frame arrived, on sw_clock() */
    uint64_t announced;    /* messages to this rank that its last beat reports */
    uint64_t taken_before; /* value of `taken` at the last check */
    double progress_at;    /* when none of its messages was overdue, on sw_clock() */
    char label[96];        /* for messages: "layers 4-7" */
};

struct sw_heartbeat {
    const struct sw_transport *t;
    struct sw_rank_info *infos; /* (size) */
    const char *folder;         /* where the status file goes, or NULL */
    char job[SW_JOB_NAME_MAX];
    struct sw_endpoint endpoint;
    int wake;                        /* an eventfd that ends the sleep of the thread */
    double interval, timeout, stall; /* seconds: between beats; until a loss; of no progress */
    pthread_t thread;
    bool started;

    atomic_uint_fast64_t steps, waits; /* progress and waiting of the main thread, counted */
    atomic_bool judged;
    atomic_int release; /* enum sw_release */

    pthread_mutex_t lock;
    struct sw_heart_peer *peers;    /* (size) */
    struct sw_heart_socket **links; /* (n_links) */
    int n_links, cap_links;
    struct pollfd *fds; /* (cap_fds) used by the thread only: what it waits for */
    int cap_fds;
    bool closing, ended;       /* set by the main thread: the thread must end; work has ended */
    struct sw_verdict verdict; /* valid once judged */
    bool decided;              /* the verdict is that of rank 0, which stands */
    bool written;              /* the verdict is in the status file */
    bool printed;              /* a rank has printed the verdict, or a launcher prints it */
    double judged_at;          /* when the verdict came, on sw_clock(); 0: not yet */
    double stopped_at;         /* when a stop signal was noticed, on sw_clock(); 0: not yet */
    uint64_t last_steps, last_waits; /* values of steps + waits and of waits at the last check */
    double step_at;                  /* when last_steps changed, on sw_clock() */
};

/* heartbeat_links.c; all are called under the lock. */
/* Adds a link to `peer` that this rank opens. Without memory there is none: `peer` is judged lost.
 */
void sw_heart_add_link(struct sw_heartbeat *hb, int peer);
/* Accepts and opens connections, reads frames and acts on them, drops broken connections. */
void sw_heart_links(struct sw_heartbeat *hb, double now);
/* Queues a beat on every open link. */
void sw_heart_beat(struct sw_heartbeat *hb, double now);
/* Queues a frame with its text (may be NULL) for one rank, or for all with SW_ANY_RANK. */
void sw_heart_send(struct sw_heartbeat *hb, int peer, const struct sw_frame *frame,
                   const char *text);
/* Queues the verdict for all ranks. */
void sw_heart_send_verdict(struct sw_heartbeat *hb);
/* Sends what is queued, as far as the sockets take it. */
void sw_heart_flush(struct sw_heartbeat *hb);
/* Announces to all that this rank leaves, and waits a moment for it to be sent, without the lock.
 */
void sw_heart_bye(struct sw_heartbeat *hb);

/* heartbeat_judge.c; all are called under the lock. */
/* Adopts a verdict of this or another rank, unless there is one that stands; `decided`: rank 0's.
 */
void sw_heart_adopt(struct sw_heartbeat *hb, const struct sw_verdict *verdict, bool decided);
/* Handles that the connection to `peer` has closed; a loss unless the peer had left. */
void sw_heart_gone(struct sw_heartbeat *hb, int peer);
/* Judges which peers are silent for too long, and whether this rank makes progress. */
void sw_heart_judge(struct sw_heartbeat *hb, double now);
/* Acts on a verdict and on ended ranks: status file, message, release, and as a last resort _exit.
 * Releases the lock while it writes. */
void sw_heart_act(struct sw_heartbeat *hb, double now);

#endif
