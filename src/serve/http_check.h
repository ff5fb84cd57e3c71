/* What of a request is decided by its head alone. Internal to src/serve/. */
#ifndef SW_SERVE_HTTP_CHECK_H
#define SW_SERVE_HTTP_CHECK_H

#include "serve/http.h"

/* Headers that are not there are NULL. */
struct sw_http_head {
    const char *method, *path;
    const char *origin, *host, *length, *authorization; /* length: Content-Length */
};

/* Whether a browser asks in advance for a page of the origin that --allow-origin names. */
bool sw_http_is_preflight(const struct sw_http_options *o, const struct sw_http_head *head);

/*
 * NULL: the request is welcome. Else why not, with *status of HTTP. *route: what the path belongs
 * to, also if it takes another method; NULL: nothing. *rest: as of struct sw_exchange, a part of
 * the path.
 */
const char *sw_http_check(const struct sw_http_options *o, const struct sw_http_head *head,
                          const struct sw_http_route **route, const char **rest, int *status);

#endif
