/*
 * The endpoint of a rank: the socket at which it listens, and the strangers: connections that have
 * not proved yet that they come from a rank of this job. Any program may connect, send anything or
 * nothing, and do so thousands of times a second; the cost stays bounded, and ranks still get in:
 *
 *   - each stranger is sent a nonce of its own, and has HELLO_S to answer;
 *   - there are at most SW_STRANGERS_MAX strangers; the newest replaces the oldest;
 *   - after each step with work the endpoint pauses for a moment, and polls nothing;
 *   - without free descriptors the oldest stranger is closed, or a reserved descriptor is used.
 */
#ifndef SW_TRANSPORT_ENDPOINT_H
#define SW_TRANSPORT_ENDPOINT_H

#include "transport/heartbeat_socket.h"

#include <poll.h>

#define SW_STRANGERS_MAX 256 /* lower when that is over an eighth of the descriptors allowed */

struct sw_stranger {
    int fd;
    double since;   /* when it connected, on sw_clock() */
    uint64_t nonce; /* the nonce it was sent */
    size_t n_in;    /* bytes read into `in` */
    char in[sizeof(struct sw_frame)];
};

struct sw_endpoint {
    int listener;                  /* descriptor; -1: closed for good */
    int reserve;                   /* descriptor to close when accept finds none; -1: used up */
    double paused_until;           /* on sw_clock() */
    uint64_t secret[2], n_nonces;  /* nonces are hashes of n_nonces under the secret */
    struct sw_stranger *strangers; /* (n), the oldest first */
    int n, cap;                    /* strangers now, and the most there may be */
};

/*
 * Listens at a port that the system chooses, on loopback only if `local`. SW_EDEVICE: no socket.
 * After SW_OK the caller frees with sw_endpoint_free.
 */
enum sw_status sw_endpoint_open(bool local, struct sw_endpoint *endpoint, uint16_t *port);
/* Stops listening and closes all strangers; the system refuses new connections. */
void sw_endpoint_shut(struct sw_endpoint *endpoint);
/* Shuts the endpoint and frees its memory. */
void sw_endpoint_free(struct sw_endpoint *endpoint);

/* A number that was not given before and that no other program can guess; never 0. */
uint64_t sw_endpoint_nonce(struct sw_endpoint *endpoint);

/* Fills the descriptors to poll, at most SW_STRANGERS_MAX + 1; returns 0 during a pause. */
nfds_t sw_endpoint_poll(const struct sw_endpoint *endpoint, double now, struct pollfd *fds);
/* When the present pause ends, on sw_clock(); HUGE_VAL without a pause. */
double sw_endpoint_resumes_at(const struct sw_endpoint *endpoint, double now);

/*
 * Judges the first frame of a stranger that was sent `nonce`. true: it is a rank of this job, and
 * the callback now owns `fd`.
 */
typedef bool sw_endpoint_fn(void *context, int fd, uint64_t nonce, const struct sw_frame *hello);
/* Reads answers, closes strangers that are late, accepts new ones and sends nonces; never waits. */
void sw_endpoint_step(struct sw_endpoint *endpoint, double now, sw_endpoint_fn *judge,
                      void *context);

#endif
