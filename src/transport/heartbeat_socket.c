/* Owns one TCP connection of the heartbeat: its socket, and frames in and out of it. */
#include "transport/heartbeat_socket.h"

#include "transport/deadlines.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int sw_heart_socket_listen(bool local, uint16_t *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(local ? INADDR_LOOPBACK : INADDR_ANY)};
    socklen_t length = sizeof here;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&here, &length) != 0) {
        const int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    *port = ntohs(here.sin_port);
    return fd;
}

static void link_take_over(struct sw_heart_socket *link, int fd, enum sw_heart_socket_state state)
{
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* lost beats are repeated soon; sw_heart_socket_cap_backoff keeps that after many losses */
    setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &one, sizeof one);
    link->fd = fd;
    link->state = state;
    link->reached = link->reached || state == SW_SOCKET_GREETING;
    link->n_in = link->n_out = 0;
}

void sw_heart_socket_adopt(struct sw_heart_socket *link, int fd)
{
    link_take_over(link, fd, SW_SOCKET_GREETING);
}

static void heart_socket_fail(struct sw_heart_socket *link, int error)
{
    snprintf(link->last_error, sizeof link->last_error, "%.90s", strerror(error));
    sw_heart_socket_drop(link);
}

void sw_heart_socket_connect(struct sw_heart_socket *link, const struct sockaddr_in *to)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        heart_socket_fail(link, errno);
        return;
    }
    link_take_over(link, fd, SW_SOCKET_CONNECTING);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        link_take_over(link, fd, SW_SOCKET_GREETING);
    else if (errno != EINPROGRESS)
        heart_socket_fail(link, errno);
}

void sw_heart_socket_connected(struct sw_heart_socket *link)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    if (error)
        heart_socket_fail(link, error);
    else
        link_take_over(link, link->fd, SW_SOCKET_GREETING);
}

bool sw_heart_socket_put(struct sw_heart_socket *link, const struct sw_frame *frame,
                         const char *text)
{
    struct sw_frame head = *frame;
    head.magic = SW_FRAME_MAGIC;
    head.bytes = (uint16_t)(text ? strnlen(text, SW_VERDICT_MAX - 1) : 0);
    if (link->n_out + sizeof head + head.bytes > sizeof link->out)
        return false;
    memcpy(link->out + link->n_out, &head, sizeof head);
    if (head.bytes)
        memcpy(link->out + link->n_out + sizeof head, text, head.bytes);
    link->n_out += sizeof head + head.bytes;
    return true;
}

void sw_heart_socket_cap_backoff(struct sw_heart_socket *link, double now)
{
    int unacknowledged = 0;
    unsigned milliseconds = 0;
    if (ioctl(link->fd, SIOCOUTQ, &unacknowledged) != 0 || unacknowledged <= 0) {
        if (link->unacked_since > 0)
            setsockopt(link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
        link->unacked_since = 0;
        return;
    }
    if (link->unacked_since <= 0)
        link->unacked_since = now;
    /* Linux repeats no later than at this limit, where it would give up; so the limit moves on. */
    milliseconds = (unsigned)((now - link->unacked_since + SW_REPEAT_S) * 1e3);
    setsockopt(link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

bool sw_heart_socket_flush(struct sw_heart_socket *link)
{
    while (link->n_out > 0) {
        const ssize_t n = send(link->fd, link->out, link->n_out, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        link->n_out -= (size_t)n;
        memmove(link->out, link->out + n, link->n_out);
    }
    return true;
}

bool sw_heart_socket_fill(struct sw_heart_socket *link)
{
    if (link->n_in == sizeof link->in)
        return true;
    const ssize_t n = recv(link->fd, link->in + link->n_in, sizeof link->in - link->n_in, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    link->n_in += (size_t)n;
    return n > 0;
}

bool sw_heart_socket_take(struct sw_heart_socket *link, struct sw_frame *frame, char *text,
                          bool *broken)
{
    *broken = false;
    if (link->n_in < sizeof *frame)
        return false;
    memcpy(frame, link->in, sizeof *frame);
    *broken = frame->magic != SW_FRAME_MAGIC || frame->bytes >= SW_VERDICT_MAX;
    const size_t length = sizeof *frame + frame->bytes;
    if (*broken || link->n_in < length)
        return false;
    memcpy(text, link->in + sizeof *frame, frame->bytes);
    text[frame->bytes] = 0;
    link->n_in -= length;
    memmove(link->in, link->in + length, link->n_in);
    return true;
}

void sw_heart_socket_drop(struct sw_heart_socket *link)
{
    if (link->state != SW_SOCKET_DOWN)
        close(link->fd);
    link->state = SW_SOCKET_DOWN;
    link->fd = -1;
    link->nonce = 0;
    link->unacked_since = 0;
    link->n_in = link->n_out = 0;
}
