/* Owns HTTP by libmicrohttpd: one thread polls its connections, and our own watch for clients that
 * leave while they wait, which libmicrohttpd does not see on a suspended connection. */
#include "serve/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_fail.h"
#include "base/thread_start.h"
#include "serve/api_error.h"
#include "serve/bell.h"
#include "serve/http_check.h"

#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 200
#define IDLE_S 60   /* most without a byte either way */
#define BLOCK 16384 /* bytes of a stream sent at once */
#define HEADER_MEMORY 32768u
#define BODIES 16 /* as many of the largest bodies are in memory at most */

/* What a connection is doing, and how long it may. */
enum phase { HEAD, BODY, WORK, SEND };
static const double phase_s[] = {[HEAD] = 75, [BODY] = 120, [WORK] = 0, [SEND] = 300};

/* A connection of a client. */
struct link {
    struct sw_http *http;
    struct link *next, **from;
    struct MHD_Connection *connection;
    int fd;
    enum phase phase;
    double since;          /* sw_clock when the phase began */
    struct sw_exchange *x; /* the request under way; NULL: none */
    bool is_watched, is_answered;
    bool is_hung_up;   /* the client sends nothing more: it is gone, or it soon has to be */
    bool is_large;     /* the body was too large, and is dropped as it comes */
    size_t body_bytes; /* counted in http->bodies */
    const struct sw_http_route *route;
};

struct sw_http {
    struct sw_http_options options;
    struct MHD_Daemon *daemon;
    int watch; /* epoll of the connections whose clients wait */
    struct sw_bell bell;
    pthread_t thread;
    bool is_started;
    struct link *links;
    int n_links;     /* read by other threads */
    int n_exchanges; /* not answered to the end yet */
    size_t bodies;   /* bytes of bodies in memory */
    double ticked;
    int stopping; /* atomic */
    double drain; /* sw_clock until which answers are sent after a stop */
};

bool sw_http_is_built_in(void)
{
    return true;
}

int sw_http_connections(struct sw_http *http)
{
    return __atomic_load_n(&http->n_links, __ATOMIC_RELAXED);
}

static const char *http_header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void link_set_phase(struct link *link, enum phase phase)
{
    link->phase = phase;
    link->since = sw_clock();
}

/* ---- answers ---- */

/* By any thread. libmicrohttpd wakes only threads of its own for that. */
static void http_resume(void *connection)
{
    const struct link *link =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct sw_http *http = link->http; /* the link may be gone once its connection goes on */
    MHD_resume_connection(connection);
    sw_bell_ring(&http->bell);
}

/* The next bytes of a stream; sleeps on the connection when there are none. */
static ssize_t http_read_stream(void *context, uint64_t position, char *out, size_t most)
{
    struct sw_exchange *x = context;
    ssize_t n = 0;
    (void)position;
    pthread_mutex_lock(&x->lock);
    const size_t left = x->out.length - x->taken;
    if (x->is_abandoned) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (left > 0) {
        n = (ssize_t)(left < most ? left : most);
        memcpy(out, x->out.text + x->taken, (size_t)n);
        x->taken += (size_t)n;
    } else if (x->is_finished) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->is_suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    return n;
}

static void http_free_stream(void *context)
{
    sw_exchange_release(context);
}

static void http_add_headers(const struct link *link, const struct sw_exchange *x,
                             struct MHD_Response *response)
{
    const char *origin = http_header(link->connection, "Origin");
    const char *allowed = link->http->options.allow_origin;
    char text[32];
    if (x->type)
        MHD_add_response_header(response, "Content-Type", x->type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy",
                            x->policy ? x->policy : "default-src 'none'; frame-ancestors 'none'");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (x->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (x->status == 405 && link->route)
        MHD_add_response_header(response, "Allow", link->route->method);
    if (x->retry_after > 0) {
        snprintf(text, sizeof text, "%d", x->retry_after);
        MHD_add_response_header(response, "Retry-After", text);
    }
    if (x->status == 504) /* the OpenAI library's clients need not try the same again */
        MHD_add_response_header(response, "X-Should-Retry", "false");
    if (origin && allowed && strcmp(origin, allowed) == 0) {
        MHD_add_response_header(response, "Access-Control-Allow-Origin", allowed);
        MHD_add_response_header(response, "Vary", "Origin");
        MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST");
        MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                "Authorization, Content-Type");
    }
}

/* Queues the answer, or sleeps until there is one. */
static enum MHD_Result http_answer(struct link *link)
{
    struct sw_exchange *x = link->x;
    struct MHD_Response *response = NULL;
    pthread_mutex_lock(&x->lock);
    if (x->is_abandoned) {
        pthread_mutex_unlock(&x->lock);
        return MHD_NO;
    }
    if (x->status == 0) {
        x->is_suspended = true;
        MHD_suspend_connection(link->connection);
        pthread_mutex_unlock(&x->lock);
        return MHD_YES;
    }
    if (x->is_stream) {
        x->references++;
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, http_read_stream, x,
                                                     http_free_stream);
        if (!response)
            x->references--;
    } else {
        response = MHD_create_response_from_buffer(
            x->out.length, x->out.text ? x->out.text : (void *)(uintptr_t) "",
            MHD_RESPMEM_MUST_COPY);
        sw_strbuf_free(&x->out);
    }
    const int status = x->status;
    if (response)
        http_add_headers(link, x, response);
    pthread_mutex_unlock(&x->lock);
    if (!response)
        return MHD_NO;
    link->is_answered = true;
    link_set_phase(link, x->is_stream ? WORK : SEND);
    const enum MHD_Result result = MHD_queue_response(link->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result http_refuse(struct link *link, int status, const char *message)
{
    sw_api_error_reply(link->x, status, message, NULL);
    return http_answer(link);
}

/* ---- requests ---- */

static enum MHD_Result http_begin(struct link *link, const char *path, const char *method)
{
    int status = 0;
    struct sw_exchange *x = sw_exchange_create();
    if (!x)
        return MHD_NO;
    x->resume = http_resume;
    x->connection = link->connection;
    link->x = x;
    link->is_answered = link->is_large = false;
    link->http->n_exchanges++;
    link_set_phase(link, BODY);
    const struct sw_http_options *const o = &link->http->options;
    const struct sw_http_head head = {
        .method = method,
        .path = path,
        .origin = http_header(link->connection, "Origin"),
        .host = http_header(link->connection, "Host"),
        .length = http_header(link->connection, "Content-Length"),
        .authorization = http_header(link->connection, "Authorization"),
    };
    link->route = NULL;
    if (sw_http_is_preflight(o, &head)) {
        struct sw_strbuf none = {0};
        sw_exchange_reply(x, 204, NULL, &none);
        return http_answer(link);
    }
    const char *why = sw_http_check(o, &head, &link->route, &x->rest, &status);
    return why ? http_refuse(link, status, why) : MHD_YES;
}

static void http_take_body(struct link *link, const char *bytes, size_t n)
{
    struct sw_http *http = link->http;
    const struct sw_http_options *o = &http->options;
    if (link->is_large)
        return;
    if (link->body_bytes + n > o->max_body || http->bodies + n > BODIES * o->max_body) {
        link->is_large = true;
        http->bodies -= link->body_bytes;
        link->body_bytes = 0;
        sw_strbuf_free(&link->x->body);
        return;
    }
    sw_strbuf_append(&link->x->body, bytes, n);
    link->body_bytes += n;
    http->bodies += n;
}

static void http_watch(struct link *link)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = link};
    link->is_watched = epoll_ctl(link->http->watch, EPOLL_CTL_ADD, link->fd, &event) == 0;
}

static void http_unwatch(struct link *link)
{
    if (link->is_watched)
        epoll_ctl(link->http->watch, EPOLL_CTL_DEL, link->fd, NULL);
    link->is_watched = false;
}

static void http_tell_abandoned(struct link *link)
{
    struct sw_exchange *x = link->x;
    pthread_mutex_lock(&x->lock);
    const bool left = !x->is_finished;
    x->is_abandoned = x->is_abandoned || left;
    if (x->is_suspended && x->connection) {
        x->is_suspended = false;
        MHD_resume_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    if (left)
        link->http->options.abandoned(link->http->options.context);
}

/* The whole request is there. */
static enum MHD_Result http_handle(struct link *link)
{
    struct sw_exchange *x = link->x;
    if (link->is_large)
        return http_refuse(link, 413, "the body is larger than this server takes (--max-body)");
    if (x->body.failed)
        return http_refuse(link, 503, "no memory for the body");
    link_set_phase(link, WORK);
    link->route->handle(link->http->options.context, x);
    link->http->bodies -= link->body_bytes; /* what is left of it is the handler's to bound */
    link->body_bytes = 0;
    if (link->is_hung_up)
        http_tell_abandoned(link);
    return http_answer(link);
}

/* libmicrohttpd calls this with the headers, with each part of the body, at its end, and whenever
 * the connection is resumed. */
static enum MHD_Result http_access(void *context, struct MHD_Connection *connection,
                                   const char *path, const char *method, const char *version,
                                   const char *upload, size_t *n_upload, void **request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct link *link = info ? info->socket_context : NULL;
    (void)context;
    (void)version;
    if (!link)
        return MHD_NO;
    if (!*request) {
        *request = link;
        return http_begin(link, path, method);
    }
    if (link->is_answered) { /* the rest of a body that was refused */
        *n_upload = 0;
        return MHD_YES;
    }
    if (*n_upload > 0) {
        http_take_body(link, upload, *n_upload);
        *n_upload = 0;
        return MHD_YES;
    }
    return link->phase == BODY ? http_handle(link) : http_answer(link);
}

/* The answer was sent, or cannot be. */
static void http_completed(void *context, struct MHD_Connection *connection, void **request,
                           enum MHD_RequestTerminationCode code)
{
    struct link *link = *request;
    (void)context;
    (void)connection;
    (void)code;
    if (!link || !link->x)
        return;
    struct sw_exchange *x = link->x;
    pthread_mutex_lock(&x->lock);
    x->connection = NULL;
    pthread_mutex_unlock(&x->lock);
    http_tell_abandoned(link);
    link->http->bodies -= link->body_bytes;
    link->body_bytes = 0;
    link->http->n_exchanges--;
    link->x = NULL;
    *request = NULL;
    sw_exchange_release(x);
    link_set_phase(link, HEAD);
}

static void http_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
    struct sw_http *http = context;
    struct link *link = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        link = calloc(1, sizeof *link);
        *socket_context = link;
        if (!link)
            return;
        link->http = http;
        link->connection = connection;
        link->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        link_set_phase(link, HEAD);
        link->next = http->links;
        link->from = &http->links;
        if (link->next)
            link->next->from = &link->next;
        http->links = link;
        http_watch(link);
        __atomic_add_fetch(&http->n_links, 1, __ATOMIC_RELAXED);
    } else if (link) {
        http_unwatch(link);
        *link->from = link->next;
        if (link->next)
            link->next->from = link->from;
        __atomic_sub_fetch(&http->n_links, 1, __ATOMIC_RELAXED);
        *socket_context = NULL;
        free(link);
    }
}

/* ---- the thread ---- */

static void http_take_hangups(struct sw_http *http)
{
    struct epoll_event events[64];
    const int n = epoll_wait(http->watch, events, 64, 0);
    for (int i = 0; i < n; i++) {
        struct link *link = events[i].data.ptr;
        link->is_hung_up = true;
        if (link->phase == WORK)
            http_tell_abandoned(link);
    }
}

/* Whether nobody will end what the connection does. A client that hung up may have sent a whole
 * request before, which is looked at first. */
static bool link_is_due(const struct link *link, double now)
{
    const double age = now - link->since;
    return (phase_s[link->phase] > 0 && age > phase_s[link->phase]) ||
           (link->is_hung_up && link->phase <= BODY && age > 1);
}

/* A stream that is all written has its time to be read, too. */
static void http_check_deadlines(struct sw_http *http)
{
    const double now = sw_clock();
    for (struct link *link = http->links; link; link = link->next) {
        if (link->phase == WORK && link->is_answered) {
            pthread_mutex_lock(&link->x->lock);
            const bool is_finished = link->x->is_finished;
            pthread_mutex_unlock(&link->x->lock);
            if (is_finished)
                link_set_phase(link, SEND);
        }
        if (link_is_due(link, now))
            shutdown(link->fd, SHUT_RDWR);
    }
}

static void http_tick(struct sw_http *http)
{
    const double now = sw_clock();
    if (now - http->ticked < 1e-3 * TICK_MS)
        return;
    http->ticked = now;
    http_check_deadlines(http);
    http->options.tick(http->options.context);
}

static bool http_is_over(struct sw_http *http)
{
    return __atomic_load_n(&http->stopping, __ATOMIC_ACQUIRE) &&
           (http->n_exchanges == 0 || sw_clock() > http->drain);
}

static void *http_run(void *context)
{
    struct sw_http *http = context;
    struct pollfd fds[] = {
        {MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, POLLIN, 0},
        {http->watch, POLLIN, 0},
        {http->bell.fd, POLLIN, 0}};
    while (!http_is_over(http)) {
        MHD_UNSIGNED_LONG_LONG most = TICK_MS;
        if (MHD_get_timeout(http->daemon, &most) != MHD_YES || most > TICK_MS)
            most = TICK_MS;
        (void)poll(fds, sizeof fds / sizeof fds[0], (int)most);
        if (fds[1].revents)
            http_take_hangups(http);
        if (fds[2].revents)
            sw_bell_answer(&http->bell);
        MHD_run(http->daemon);
        http_tick(http);
    }
    for (struct link *link = http->links; link; link = link->next) /* none may sleep at the end */
        if (link->x)
            http_tell_abandoned(link);
    MHD_run(http->daemon);
    return NULL;
}

static void http_log(void *context, const char *format, va_list arguments)
{
    char text[512];
    (void)context;
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    sw_log_urgent(SW_LOG_DEBUG, "http: %s", text);
}

static enum sw_status http_open(struct sw_http *http)
{
    const struct sw_http_options *o = &http->options;
    http->watch = epoll_create1(EPOLL_CLOEXEC);
    if (http->watch < 0 || sw_bell_open(&http->bell) != 0 || listen(o->socket, 1024) != 0)
        return sw_fail(SW_EDEVICE, "the HTTP server cannot start; raise the limit of open files "
                                   "(ulimit -n)");
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_access,
        http, MHD_OPTION_EXTERNAL_LOGGER, http_log, http, MHD_OPTION_LISTEN_SOCKET, o->socket,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, http_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        http_connection, http, MHD_OPTION_END);
    return http->daemon ? SW_OK
                        : sw_fail(SW_EDEVICE, "the HTTP server cannot start: libmicrohttpd "
                                              "refuses; --verbose says why");
}

/* Signals are the main thread's. */
static enum sw_status http_start_thread(struct sw_http *http)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = sw_thread_start(&http->thread, NULL, http_run, http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    http->is_started = error == 0;
    return error ? sw_thread_fail("the HTTP server's thread", error, "") : SW_OK;
}

enum sw_status sw_http_start(const struct sw_http_options *options, struct sw_http **out)
{
    struct sw_http *http = calloc(1, sizeof *http);
    *out = NULL;
    if (!http)
        return sw_fail(SW_ENOMEM, "no memory for the HTTP server");
    http->options = *options;
    http->watch = http->bell.fd = -1;
    enum sw_status status = http_open(http);
    *out = http; /* before the thread, whose routes may ask */
    if (status == SW_OK)
        status = http_start_thread(http);
    if (status == SW_OK)
        return SW_OK;
    *out = NULL;
    sw_http_stop(http, 0);
    return status;
}

void sw_http_stop(struct sw_http *http, double seconds)
{
    if (!http)
        return;
    http->drain = sw_clock() + seconds;
    __atomic_store_n(&http->stopping, 1, __ATOMIC_RELEASE);
    if (http->is_started)
        pthread_join(http->thread, NULL);
    if (http->daemon)
        MHD_stop_daemon(http->daemon); /* closes the socket, too */
    if (http->watch >= 0)
        close(http->watch);
    sw_bell_close(&http->bell);
    free(http);
}
