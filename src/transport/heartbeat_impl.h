/*
 * Inside the heartbeat: its state, shared by the rank's main thread and the heartbeat's own. What
 * is not atomic is under the lock, which is never held while waiting or writing to disk.
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
    atomic_uint_fast64_t sent, taken; /* whole messages to and from it; the main thread counts */
    bool watched;                     /* a link is wanted or expected: its silence counts */
    bool linked;                      /* a link was open once */
    bool lost, ended, left;           /* left: said good-bye */
    double heard;
    uint64_t promised; /* what its beats say that it has sent to us */
    uint64_t seen;     /* taken, when last looked at … */
    double moved;      /* … and when there was last nothing overdue */
    char label[96];
};

struct sw_heartbeat {
    const struct sw_transport *t;
    struct sw_rank_info *infos; /* (size) */
    const char *folder;         /* of the status file, or NULL */
    char job[SW_JOB_NAME_MAX];
    struct sw_endpoint endpoint;
    int wake; /* an eventfd that ends the thread's sleep */
    double interval, timeout, stall;
    pthread_t thread;
    bool started;

    atomic_uint_fast64_t steps, waits; /* of the main thread */
    atomic_bool judged;
    atomic_int release; /* enum sw_release */

    pthread_mutex_t lock;
    struct sw_heart_peer *peers;    /* (size) */
    struct sw_heart_socket **links; /* (n_links) */
    int n_links, cap_links;
    struct pollfd *fds; /* (cap_fds), the thread's: what it waits for */
    int cap_fds;
    bool closing, ended;          /* asked for by the main thread */
    struct sw_verdict verdict;    /* once judged */
    bool decided, written, said;  /* of the verdict: rank 0's; in the file; printed by someone */
    double judged_at, stopped_at; /* 0: not yet; when a stop was first seen */
    uint64_t last_steps, last_waits;
    double stepped; /* when last_steps changed */
};

/* heartbeat_links.c, all under the lock. */
/* A link to `peer` that this end makes. Failure (memory) shows as a link that never comes up. */
void sw_heart_want(struct sw_heartbeat *hb, int peer);
/* Lets in, connects, reads and acts on frames, drops what is broken. */
void sw_heart_links(struct sw_heartbeat *hb, double now);
/* A beat on every link. */
void sw_heart_beat(struct sw_heartbeat *hb, double now);
/* A frame to all, or to one rank. */
void sw_heart_send(struct sw_heartbeat *hb, int peer, const struct sw_frame *frame,
                   const char *text);
void sw_heart_send_verdict(struct sw_heartbeat *hb);
void sw_heart_flush(struct sw_heartbeat *hb);
/* Good-bye to all, with a moment for it to leave. Releases the lock meanwhile. */
void sw_heart_bye(struct sw_heartbeat *hb);

/* heartbeat_judge.c, all under the lock. */
/* Takes a verdict, our own or another rank's, unless there is one that stands. */
void sw_heart_adopt(struct sw_heartbeat *hb, const struct sw_verdict *verdict, bool decided);
/* The connection to `peer` has closed without a good-bye. */
void sw_heart_gone(struct sw_heartbeat *hb, int peer);
/* Who is silent for too long, here or elsewhere? */
void sw_heart_judge(struct sw_heartbeat *hb, double now);
/* What follows from a verdict and from ends: the file, the message, the release, the last resort.
 * Releases the lock while it writes. */
void sw_heart_act(struct sw_heartbeat *hb, double now);

#endif
