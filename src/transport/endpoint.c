/* Owns the listening socket, and connections that have not proved to come from a rank. */
#include "transport/endpoint.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO_S 2.0      /* time in which a stranger must answer */
#define BURST 64         /* connections accepted in a step; others wait in the system's queue */
#define PAUSE_S 0.01     /* pause after a step with work */
#define FULL_PAUSE_S 1.0 /* pause after a step that could not accept for lack of resources */

static int strangers_allowed(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 8 >= SW_STRANGERS_MAX)
        return SW_STRANGERS_MAX;
    return limit.rlim_cur >= 16 ? (int)limit.rlim_cur / 8 : 2;
}

static int endpoint_open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum sw_status sw_endpoint_open(bool local, struct sw_endpoint *endpoint, uint16_t *port)
{
    *endpoint =
        (struct sw_endpoint){.listener = sw_heart_socket_listen(local, port), .reserve = -1};
    if (endpoint->listener < 0)
        return sw_fail(SW_EDEVICE, "cannot open a socket for the other ranks to connect to: %s",
                       strerror(errno));
    endpoint->reserve = endpoint_open_reserve();
    endpoint->cap = strangers_allowed();
    endpoint->strangers = calloc((size_t)endpoint->cap, sizeof *endpoint->strangers);
    if (!endpoint->strangers) {
        sw_endpoint_free(endpoint);
        return sw_fail(SW_ENOMEM, "no memory for %d connections", endpoint->cap);
    }
    if (getrandom(endpoint->secret, sizeof endpoint->secret, 0) != (ssize_t)sizeof endpoint->secret)
        endpoint->secret[0] ^= (uint64_t)(sw_clock() * 1e9) ^ (uint64_t)getpid() << 32;
    return SW_OK;
}

static void stranger_drop(struct sw_endpoint *endpoint, int i)
{
    close(endpoint->strangers[i].fd);
    endpoint->n--;
    memmove(&endpoint->strangers[i], &endpoint->strangers[i + 1],
            (size_t)(endpoint->n - i) * sizeof *endpoint->strangers);
}

void sw_endpoint_shut(struct sw_endpoint *endpoint)
{
    if (endpoint->listener >= 0)
        close(endpoint->listener);
    if (endpoint->reserve >= 0)
        close(endpoint->reserve);
    endpoint->listener = endpoint->reserve = -1;
    while (endpoint->n > 0)
        stranger_drop(endpoint, endpoint->n - 1);
}

void sw_endpoint_free(struct sw_endpoint *endpoint)
{
    sw_endpoint_shut(endpoint);
    free(endpoint->strangers);
    endpoint->strangers = NULL;
}

uint64_t sw_endpoint_nonce(struct sw_endpoint *endpoint)
{
    endpoint->n_nonces++;
    return sw_hash_of(endpoint->secret, &endpoint->n_nonces, sizeof endpoint->n_nonces).low | 1;
}

nfds_t sw_endpoint_poll(const struct sw_endpoint *endpoint, double now, struct pollfd *fds)
{
    nfds_t n = 0;
    if (endpoint->listener < 0 || now < endpoint->paused_until)
        return 0;
    fds[n++] = (struct pollfd){.fd = endpoint->listener, .events = POLLIN};
    for (int i = 0; i < endpoint->n; i++)
        fds[n++] = (struct pollfd){.fd = endpoint->strangers[i].fd, .events = POLLIN};
    return n;
}

double sw_endpoint_resumes_at(const struct sw_endpoint *endpoint, double now)
{
    return endpoint->listener >= 0 && now < endpoint->paused_until ? endpoint->paused_until
                                                                   : HUGE_VAL;
}

/* Accepts a connection, at the cost of the oldest stranger or the reserve; -1 and errno. */
static int endpoint_accept(struct sw_endpoint *endpoint)
{
    const int fd = accept4(endpoint->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    if (endpoint->n > 0) {
        stranger_drop(endpoint, 0);
    } else if (endpoint->reserve >= 0) {
        close(endpoint->reserve);
        endpoint->reserve = -1;
    } else {
        return -1;
    }
    return accept4(endpoint->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void stranger_admit(struct sw_endpoint *endpoint, int fd, double now)
{
    struct sw_stranger *stranger;
    if (endpoint->n == endpoint->cap)
        stranger_drop(endpoint, 0);
    stranger = &endpoint->strangers[endpoint->n++];
    *stranger = (struct sw_stranger){.fd = fd, .since = now, .nonce = sw_endpoint_nonce(endpoint)};
    const struct sw_frame question = {
        .magic = SW_FRAME_MAGIC, .kind = SW_FRAME_QUESTION, .nonce = stranger->nonce};
    if (send(fd, &question, sizeof question, MSG_NOSIGNAL) != (ssize_t)sizeof question)
        stranger_drop(endpoint, endpoint->n - 1);
}

/* Accepts one connection. false: there are no more for this step. */
static bool endpoint_admit_next(struct sw_endpoint *endpoint, double now)
{
    const int fd = endpoint_accept(endpoint);
    if (fd >= 0)
        stranger_admit(endpoint, fd, now);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        endpoint->paused_until = now + FULL_PAUSE_S;
    return fd >= 0 || errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

enum stranger_answer { NOT_YET, ANSWERED, GONE };

static enum stranger_answer stranger_receive(struct sw_stranger *stranger, double now)
{
    const size_t room = sizeof stranger->in - stranger->n_in;
    const ssize_t n = recv(stranger->fd, stranger->in + stranger->n_in, room, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        return GONE;
    stranger->n_in += n > 0 ? (size_t)n : 0;
    if (stranger->n_in == sizeof stranger->in)
        return ANSWERED;
    return now - stranger->since > HELLO_S ? GONE : NOT_YET;
}

static bool stranger_is_known(const struct sw_stranger *stranger, sw_endpoint_fn *judge,
                              void *context)
{
    struct sw_frame hello;
    memcpy(&hello, stranger->in, sizeof hello);
    return hello.magic == SW_FRAME_MAGIC && hello.kind == SW_FRAME_HELLO && hello.bytes == 0 &&
           judge(context, stranger->fd, stranger->nonce, &hello);
}

void sw_endpoint_step(struct sw_endpoint *endpoint, double now, sw_endpoint_fn *judge,
                      void *context)
{
    int kept = 0;
    bool busy = false;
    if (endpoint->listener < 0 || now < endpoint->paused_until)
        return;
    for (int i = 0; i < endpoint->n; i++) {
        struct sw_stranger *stranger = &endpoint->strangers[i];
        const size_t before = stranger->n_in;
        const enum stranger_answer answer = stranger_receive(stranger, now);
        busy = busy || answer != NOT_YET || stranger->n_in != before;
        if (answer == NOT_YET)
            endpoint->strangers[kept++] = *stranger;
        else if (answer == GONE || !stranger_is_known(stranger, judge, context))
            close(stranger->fd);
    }
    endpoint->n = kept;
    endpoint->paused_until = now; /* accepting may set a longer pause */
    for (int i = 0; i < BURST && endpoint_admit_next(endpoint, now); i++)
        busy = true;
    if (busy && endpoint->paused_until < now + PAUSE_S)
        endpoint->paused_until = now + PAUSE_S;
    if (endpoint->reserve < 0)
        endpoint->reserve = endpoint_open_reserve();
}
