/*
 * HTTP on one thread of its own: connections, keys, bodies, routes, and answers as they come. What
 * is asked and answered is the routes' business. Every phase of a connection has a deadline, and
 * memory for bodies is bounded; a client that leaves is noticed at once.
 */
#ifndef SW_SERVE_HTTP_H
#define SW_SERVE_HTTP_H

#include "base/status.h"
#include "serve/api_keys.h"
#include "serve/exchange.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_http_route {
    const char *method; /* "POST" */
    const char *path; /* "/v1/completions"; or "/v1/models/", for all paths that go on from there */
    bool is_open;     /* needs no key */
    /*
     * Called on the HTTP thread when the whole request is there. Answers now, or keeps the exchange
     * (sw_exchange_keep) and lets another thread answer.
     */
    void (*handle)(void *context, struct sw_exchange *x);
};

struct sw_http_options {
    int socket;                         /* of sw_http_bind */
    const struct sw_http_route *routes; /* ends with a method NULL */
    const struct sw_api_keys *keys;     /* NULL: none are needed */
    const char *allow_origin;           /* the origin whose pages may ask; NULL: only our own */
    int max_connections;
    size_t max_body;                  /* bytes */
    void (*abandoned)(void *context); /* HTTP thread: a client has left */
    void (*tick)(void *context);      /* HTTP thread: five times a second */
    void *context;                    /* of routes and callbacks */
};

struct sw_http;

/* Whether this program was built with libmicrohttpd. */
bool sw_http_is_built_in(void);
/*
 * Takes a port, before anybody can connect to it: *port 0 becomes the system's choice. The address
 * is a numeric one of IPv4 or IPv6, or "localhost". *loopback: only this host can reach it.
 * SW_EUSAGE: no such address, or the port is taken. The caller closes *out.
 */
enum sw_status sw_http_bind(const char *address, int *port, bool *loopback, int *out);
/* Begins to answer. SW_EDEVICE. The caller ends it by sw_http_stop; the socket is closed then. */
enum sw_status sw_http_start(const struct sw_http_options *options, struct sw_http **out);
/* Waits until answers that are finished are with their clients, `seconds` at most, and ends the
 * thread. Every exchange must be finished. NULL is fine. */
void sw_http_stop(struct sw_http *http, double seconds);
int sw_http_connections(struct sw_http *http); /* open now; from any thread */

#endif
