/* Owns which requests are welcome: by their origin, host, key, path, method and length. */
#include "serve/http_check.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Pages of other origins may not ask, unless theirs is named: a browser sends them our address. */
static bool http_is_foreign(const struct sw_http_options *o, const struct sw_http_head *head)
{
    if (!head->origin || (o->allow_origin && strcmp(head->origin, o->allow_origin) == 0))
        return false;
    return strncmp(head->origin, "http://", 7) != 0 || !head->host ||
           strcasecmp(head->origin + 7, head->host) != 0;
}

/* A name that somebody else's DNS can point here: without keys it opens the door to any page. */
static bool http_is_strange_name(const char *host)
{
    const bool is_local =
        host && strncasecmp(host, "localhost", 9) == 0 && (host[9] == ':' || host[9] == '\0');
    return host && !is_local && host[0] != '[' && strspn(host, "0123456789.:") != strlen(host);
}

/* Whether a path is a route's, or goes on from there; then *rest is what comes. */
static bool http_matches(const struct sw_http_route *r, const char *path, const char **rest)
{
    const size_t n = strlen(r->path);
    const bool goes_on = n > 1 && r->path[n - 1] == '/';
    *rest = goes_on && strncmp(r->path, path, n) == 0 ? path + n : "";
    return goes_on ? **rest != '\0' : strcmp(r->path, path) == 0;
}

/* Whether there is a route for path and method. */
static bool http_find_route(const struct sw_http_options *o, const struct sw_http_head *head,
                            const struct sw_http_route **route, const char **rest)
{
    const char *const method = strcmp(head->method, "HEAD") == 0 ? "GET" : head->method;
    *route = NULL;
    for (const struct sw_http_route *r = o->routes; r->method; r++) {
        if (!http_matches(r, head->path, rest))
            continue;
        *route = r;
        if (strcmp(r->method, method) == 0)
            return true;
    }
    return false;
}

bool sw_http_is_preflight(const struct sw_http_options *o, const struct sw_http_head *head)
{
    return strcmp(head->method, "OPTIONS") == 0 && o->allow_origin && head->origin &&
           !http_is_foreign(o, head);
}

const char *sw_http_check(const struct sw_http_options *o, const struct sw_http_head *head,
                          const struct sw_http_route **route, const char **rest, int *status)
{
    const char *const length = head->length;
    const bool found = http_find_route(o, head, route, rest);
    const bool is_open = *route && (*route)->is_open;
    *status = 403;
    if (http_is_foreign(o, head))
        return "pages of other origins may not ask; start the server with --allow-origin";
    if (!o->keys && http_is_strange_name(head->host))
        return "call this server by localhost or its address, or start it with --api-key-file";
    *status = 401;
    if (o->keys && !is_open && !sw_api_keys_accept(o->keys, head->authorization))
        return "no such API key: send one of the server's as 'Authorization: Bearer KEY'";
    *status = *route ? 405 : 404;
    if (!found)
        return *route ? "this path takes another method" : "there is no such path";
    *status = 413;
    if (length && (strlen(length) > 15 || strtoull(length, NULL, 10) > o->max_body))
        return "the body is larger than this server takes (--max-body)";
    *status = 0;
    return NULL;
}
