/* HTTP of a program that was built without libmicrohttpd: there is none. */
#include "serve/http.h"

bool sw_http_is_built_in(void)
{
    return false;
}

enum sw_status sw_http_start(const struct sw_http_options *options, struct sw_http **out)
{
    (void)options;
    *out = NULL;
    return sw_fail(SW_EUSAGE, "this spillway was built without its HTTP server; install "
                              "libmicrohttpd (Debian: libmicrohttpd-dev) and build it again");
}

void sw_http_stop(struct sw_http *http, double seconds)
{
    (void)http;
    (void)seconds;
}

int sw_http_connections(struct sw_http *http)
{
    (void)http;
    return 0;
}
