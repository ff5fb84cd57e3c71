/*
 * One request of a client and its answer, which two threads share: the HTTP thread has the
 * connection, the pipeline's thread makes the answer. Each holds a reference. The answer is written
 * into a buffer, which takes what comes however slowly the client reads: an answer is bounded
 * because its tokens are.
 */
#ifndef SW_SERVE_EXCHANGE_H
#define SW_SERVE_EXCHANGE_H

#include "base/strbuf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct sw_exchange {
    /* of the HTTP thread until the request is handed over, then of whoever answers */
    struct sw_strbuf body;
    const char *rest; /* of a path that goes on from its route's, while that is handled; else "" */
    /* below: under the lock */
    pthread_mutex_t lock;
    int references;
    int status;           /* of HTTP; 0: not known yet */
    const char *type;     /* Content-Type, a literal */
    const char *policy;   /* Content-Security-Policy, a literal; NULL: nothing may be loaded */
    bool is_stream;       /* the answer comes in parts */
    bool is_finished;     /* all of it is in `out` */
    bool is_abandoned;    /* the client is gone, or there is no memory: nobody reads `out` */
    int retry_after;      /* seconds, for a header of that name; 0: none */
    struct sw_strbuf out; /* the answer, of a stream what was not taken yet */
    size_t taken;         /* bytes at the beginning of `out` that were sent */
    bool is_suspended;    /* the HTTP thread sleeps on the connection until `resume` */
    void (*resume)(void *connection); /* called under the lock */
    void *connection;                 /* NULL: closed */
};

/* One reference. NULL: no memory. */
struct sw_exchange *sw_exchange_create(void);
struct sw_exchange *sw_exchange_keep(struct sw_exchange *x);
/* Frees it with the last reference. */
void sw_exchange_release(struct sw_exchange *x);

/* The whole answer: takes the body's text (free to reuse afterwards). Once, if there is no stream.
 */
void sw_exchange_reply(struct sw_exchange *x, int status, const char *type, struct sw_strbuf *body);
/* Begins a stream with status 200, of events of the server. */
void sw_exchange_begin_stream(struct sw_exchange *x);
/* Adds to a stream. Nothing happens when the client is gone. */
void sw_exchange_write(struct sw_exchange *x, const char *bytes, size_t n);
/* Ends a stream. */
void sw_exchange_finish(struct sw_exchange *x);
bool sw_exchange_is_abandoned(struct sw_exchange *x);
/* Whether the client has been told a status, or soon is. */
bool sw_exchange_is_begun(struct sw_exchange *x);

#endif
