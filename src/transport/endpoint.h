/*
 * The door of a rank: the socket at which it listens, and whoever has connected and not shown yet
 * that he is a rank of this job. Anybody may connect, say anything or nothing, and do so thousands
 * of times a second; the door's costs stay small, and a rank gets in beside them:
 *
 *   - each newcomer is asked a question of his own (a nonce), and has HELLO_S to answer;
 *   - there are at most SW_STRANGERS_MAX of them, and the oldest makes room for the newest;
 *   - after each turn the door rests for a moment, in which nobody is looked at;
 *   - without descriptors the oldest stranger's is taken, or one that is kept for this.
 */
#ifndef SW_TRANSPORT_ENDPOINT_H
#define SW_TRANSPORT_ENDPOINT_H

#include "transport/heartbeat_socket.h"

#include <poll.h>

#define SW_STRANGERS_MAX 256 /* or an eighth of the descriptors that a process may have */

struct sw_stranger {
    int fd;
    double since;
    uint64_t nonce; /* that he was asked with */
    size_t n_in;
    char in[sizeof(struct sw_frame)];
};

struct sw_endpoint {
    int listener;       /* -1: closed for good */
    int reserve;        /* a descriptor to give up for an accept when there are none; -1: given */
    double rests_until; /* on sw_clock() */
    uint64_t secret[2], n_nonces;
    struct sw_stranger *strangers; /* (n), the oldest first */
    int n, cap;
};

/* `local`: listens on loopback only. The port is the system's choice. */
enum sw_status sw_endpoint_open(bool local, struct sw_endpoint *endpoint, uint16_t *port);
/* Nobody else is expected: new connections are refused by the system, strangers dropped. */
void sw_endpoint_shut(struct sw_endpoint *endpoint);
/* Shuts it and frees what it has. */
void sw_endpoint_free(struct sw_endpoint *endpoint);

/* A number that was never given before, and that nobody can guess; not 0. */
uint64_t sw_endpoint_nonce(struct sw_endpoint *endpoint);

/* What to poll for: at most SW_STRANGERS_MAX + 1 entries; none while the door rests. */
nfds_t sw_endpoint_poll(const struct sw_endpoint *endpoint, double now, struct pollfd *fds);
/* When it will have rested; HUGE_VAL when it does not rest now. */
double sw_endpoint_rested(const struct sw_endpoint *endpoint, double now);

/*
 * Judges the first frame of one who was asked with `nonce`. true: he is of this job, and `fd` is
 * the caller's from now on.
 */
typedef bool sw_endpoint_fn(void *context, int fd, uint64_t nonce, const struct sw_frame *hello);
/* Hears who has answered, drops who is late, lets newcomers in and asks them. Never waits. */
void sw_endpoint_serve(struct sw_endpoint *endpoint, double now, sw_endpoint_fn *judge,
                       void *context);

#endif
