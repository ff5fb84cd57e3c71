/*
 * One TCP connection between two ranks, for the heartbeat: small frames are sent and received in
 * order, and no call waits. The caller authenticates the other end (heartbeat_links.c).
 */
#ifndef SW_TRANSPORT_HEARTBEAT_SOCKET_H
#define SW_TRANSPORT_HEARTBEAT_SOCKET_H

#include "transport/verdict.h"

#include <netinet/in.h>

#define SW_FRAME_MAGIC 0x32776c70u

enum sw_frame_kind {
    SW_FRAME_QUESTION = 1, /* to a new connection; nonce: what the answer must prove to know */
    SW_FRAME_HELLO,        /* answers a QUESTION, and a HELLO of the connecting rank. rank: the
                              sender; number: proof that the sender knows the receiver's key and
                              nonce; nonce: the sender's own */
    SW_FRAME_BEAT,         /* number: messages sent to the receiver so far */
    SW_FRAME_VERDICT,      /* status, rank, flags, text: those of the verdict */
    SW_FRAME_PRINTED,      /* the verdict's message has been printed */
    SW_FRAME_ENDED,        /* to rank 0: the sender has ended its work */
    SW_FRAME_RELEASE,      /* from rank 0: leave; status SW_OK: all ranks together */
    SW_FRAME_BYE           /* the sender leaves, and closing the connection is no loss */
};
#define SW_FRAME_LOST 1u    /* flag of a verdict: the rank it names is lost */
#define SW_FRAME_DECIDED 2u /* flag of a verdict: it is that of rank 0, which stands */

/* The head of a frame as sent, in host byte order; `bytes` bytes of text follow. */
struct sw_frame {
    uint32_t magic; /* set by sw_heart_socket_put */
    uint16_t kind, bytes;
    int32_t status, rank;
    uint32_t flags, unused;
    uint64_t number, nonce;
};

enum sw_heart_socket_state {
    SW_SOCKET_DOWN,       /* no socket */
    SW_SOCKET_CONNECTING, /* connect() has begun and not finished */
    SW_SOCKET_GREETING,   /* connected; the other end has not proved which rank it is */
    SW_SOCKET_OPEN        /* both ends have proved which rank they are */
};

struct sw_heart_socket {
    int fd, peer;
    enum sw_heart_socket_state state;
    bool ours;            /* this end connects, and tries again until the link is open */
    bool reached;         /* if ours: it has been connected, though perhaps never open */
    bool dead;            /* the caller must free it */
    int way;              /* if ours: index of the next address to try (sw_rank_address_way) */
    uint64_t nonce;       /* if ours: what the other end must prove to know; 0: not sent yet */
    double since;         /* when the state began, on sw_clock() */
    char last_error[96];  /* if ours: why the last attempt failed */
    double unacked_since; /* since when sent bytes have no acknowledgement; 0: all have */
    size_t n_in, n_out;   /* bytes in `in` and `out` */
    char in[sizeof(struct sw_frame) + SW_VERDICT_MAX];
    char out[8192];
};

/*
 * A socket that listens at a port that the system chooses (*port, host order), on loopback only if
 * `local`, else on every interface. -1 and errno when there is none; the caller closes.
 */
int sw_heart_socket_listen(bool local, uint16_t *port);
/* Takes over the accepted connection `fd`; the state becomes GREETING. */
void sw_heart_socket_adopt(struct sw_heart_socket *link, int fd);
/* Begins to connect; the state becomes CONNECTING, GREETING, or DOWN after an error. */
void sw_heart_socket_connect(struct sw_heart_socket *link, const struct sockaddr_in *to);
/* Call when CONNECTING and writable; the state becomes GREETING, or DOWN after an error. */
void sw_heart_socket_connected(struct sw_heart_socket *link);
/* Queues a frame with its text (may be NULL); false without room: the other end does not read. */
bool sw_heart_socket_put(struct sw_heart_socket *link, const struct sw_frame *frame,
                         const char *text);
/*
 * Makes TCP repeat lost bytes at least every SW_REPEAT_S, where it would double its wait each time,
 * so that frames arrive soon after a gap in the network ends. Call every SW_BEAT_S.
 */
void sw_heart_socket_cap_backoff(struct sw_heart_socket *link, double now);
/* Sends what is queued, as far as the socket takes it. false: the connection is broken. */
bool sw_heart_socket_flush(struct sw_heart_socket *link);
/* Reads what has arrived. false: the other end has closed, or the connection is broken. */
bool sw_heart_socket_fill(struct sw_heart_socket *link);
/*
 * Takes the next whole frame that was read; its text, with a NUL, goes into `text`
 * (SW_VERDICT_MAX). false: there is none yet; *broken: the bytes are not a frame.
 */
bool sw_heart_socket_take(struct sw_heart_socket *link, struct sw_frame *frame, char *text,
                          bool *broken);
/* Closes the socket; the state becomes DOWN, and queued and read bytes are dropped. */
void sw_heart_socket_drop(struct sw_heart_socket *link);

#endif
