/*
 * The server of a model that a session has loaded: requests over HTTP run through one scheduler, as
 * many at once as there are slots. Two threads: the HTTP thread reads and answers what needs no
 * model; the caller's runs the scheduler. Between them is a mailbox.
 */
#ifndef SW_SERVE_SERVER_H
#define SW_SERVE_SERVER_H

#include "base/status.h"
#include "serve/api_keys.h"
#include "session/session.h"
#include "text/chat.h"

#include <signal.h>

struct sw_server_options {
    struct sw_session *session;     /* started; on rank 0 */
    const struct sw_chat *chat;     /* NULL: the model has no template */
    const char *no_chat;            /* why */
    const char *model;              /* its name in answers */
    int socket;                     /* of sw_http_bind */
    const struct sw_api_keys *keys; /* NULL: none are needed */
    const char *allow_origin;       /* NULL: none */
    int max_connections;
    size_t max_body;                   /* bytes */
    int queue;                         /* requests that may wait beside those that run */
    double timeout_s;                  /* most seconds of a request; 0: any */
    double grace_s;                    /* seconds that running requests have after a stop */
    const volatile sig_atomic_t *stop; /* not 0: no new requests, and end in order */
    /* Called once, when requests are answered. */
    void (*ready)(void *context);
    void *context;
};

/*
 * Serves until it is stopped; SW_OK then. A failure of the model or of a rank: requests that run
 * have got an error, and its status is returned.
 */
enum sw_status sw_server_run(const struct sw_server_options *options);

#endif
