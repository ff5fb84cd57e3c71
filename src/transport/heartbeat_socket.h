/*
 * One TCP connection between two ranks, for the heartbeat: small frames out and in, in order,
 * never waiting. Who is at the other end is the caller's to find out (heartbeat.c).
 */
#ifndef SW_TRANSPORT_HEARTBEAT_SOCKET_H
#define SW_TRANSPORT_HEARTBEAT_SOCKET_H

#include "transport/verdict.h"

#include <netinet/in.h>

#define SW_FRAME_MAGIC 0x32776c70u

enum sw_frame_kind {
    SW_FRAME_QUESTION = 1, /* to whoever has connected; nonce */
    SW_FRAME_HELLO,   /* the answer, and the answer to that. rank: the sender's; number: that he
                         knows the receiver's key and its nonce; nonce: the sender's own */
    SW_FRAME_BEAT,    /* number: messages sent to the receiver so far */
    SW_FRAME_VERDICT, /* status, rank, text; flags */
    SW_FRAME_SAID,    /* the verdict's message has been printed */
    SW_FRAME_ENDED,   /* to rank 0: this rank's work is over */
    SW_FRAME_RELEASE, /* from rank 0: leave; status SW_OK: together */
    SW_FRAME_BYE      /* in good order: closing is no loss */
};
#define SW_FRAME_LOST 1u    /* flags of a verdict: its rank is lost … */
#define SW_FRAME_DECIDED 2u /* … and it is rank 0's, which stands */

/* The head of a frame, as it is on the wire; `bytes` of text follow. */
struct sw_frame {
    uint32_t magic; /* set by sw_heart_socket_put */
    uint16_t kind, bytes;
    int32_t status, rank;
    uint32_t flags, unused;
    uint64_t number, nonce;
};

enum sw_heart_socket_state {
    SW_SOCKET_DOWN,       /* no socket */
    SW_SOCKET_CONNECTING, /* begun, not there yet */
    SW_SOCKET_GREETING,   /* connected; the other end has not shown who it is */
    SW_SOCKET_OPEN
};

struct sw_heart_socket {
    int fd, peer;
    enum sw_heart_socket_state state;
    bool ours;        /* this end connects, again and again, until it is open */
    bool reached;     /* ours: it was connected once, though perhaps never greeted */
    bool dead;        /* to be forgotten */
    int way;          /* ours: the next way to try */
    uint64_t nonce;   /* ours: that the other end has to answer; 0: it has not asked yet */
    double since;     /* of the state */
    char trouble[96]; /* ours: why the last way failed */
    double unheard;   /* since when something sent was not acknowledged; 0: nothing is */
    size_t n_in, n_out;
    char in[sizeof(struct sw_frame) + SW_VERDICT_MAX];
    char out[8192];
};

/*
 * A socket that listens at a port of the system's choice, on every interface or (`local`) on
 * loopback only; -1 and errno.
 */
int sw_heart_socket_listen(bool local, uint16_t *port);
/* Takes over a connection that came in; GREETING. */
void sw_heart_socket_adopt(struct sw_heart_socket *link, int fd);
/* Begins to connect; the state says how far that came at once. */
void sw_heart_socket_connect(struct sw_heart_socket *link, const struct sockaddr_in *to);
/* CONNECTING and writable: connected (GREETING) or failed (DOWN). */
void sw_heart_socket_connected(struct sw_heart_socket *link);
/* Queues a frame with its text; false when there is no room (the other end does not read). */
bool sw_heart_socket_put(struct sw_heart_socket *link, const struct sw_frame *frame,
                         const char *text);
/*
 * What was lost is sent again at least every SW_REPEAT_S, where TCP doubles its wait each time: so
 * a gap is over for the other end soon after it is for the network. To be called every SW_BEAT_S.
 */
void sw_heart_socket_hurry(struct sw_heart_socket *link, double now);
/* Sends what is queued, as far as it goes. false: the connection is broken. */
bool sw_heart_socket_flush(struct sw_heart_socket *link);
/* Reads what is there. false: the other end has closed, or the connection is broken. */
bool sw_heart_socket_fill(struct sw_heart_socket *link);
/*
 * The next whole frame read, its text with a NUL in `text` (SW_VERDICT_MAX). false: none yet, or
 * with *broken that what came is no frame.
 */
bool sw_heart_socket_take(struct sw_heart_socket *link, struct sw_frame *frame, char *text,
                          bool *broken);
/* Back to DOWN; nothing queued or read is kept. */
void sw_heart_socket_drop(struct sw_heart_socket *link);

#endif
