/* Owns the listening socket and the strangers at it. */
#include "transport/door.h"

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

#define HELLO_S 2.0   /* a stranger's time to say who he is */
#define BURST 64      /* newcomers a turn; the others wait in the system's queue */
#define REST_S 0.01   /* between turns in which something came */
#define TROUBLE_S 1.0 /* … and after one in which nobody could be let in */

static int strangers_allowed(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 8 >= SW_STRANGERS_MAX)
        return SW_STRANGERS_MAX;
    return limit.rlim_cur >= 16 ? (int)limit.rlim_cur / 8 : 2;
}

static int door_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum sw_status sw_door_open(bool local, struct sw_door *door, uint16_t *port)
{
    *door = (struct sw_door){.listener = sw_link_listen(local, port), .reserve = -1};
    if (door->listener < 0)
        return sw_fail(SW_EDEVICE, "no socket to listen on for the other ranks: %s",
                       strerror(errno));
    door->reserve = door_reserve();
    door->cap = strangers_allowed();
    door->strangers = calloc((size_t)door->cap, sizeof *door->strangers);
    if (!door->strangers) {
        sw_door_free(door);
        return sw_fail(SW_ENOMEM, "no memory for %d connections", door->cap);
    }
    if (getrandom(door->secret, sizeof door->secret, 0) != (ssize_t)sizeof door->secret)
        door->secret[0] ^= (uint64_t)(sw_clock() * 1e9) ^ (uint64_t)getpid() << 32;
    return SW_OK;
}

static void stranger_drop(struct sw_door *door, int i)
{
    close(door->strangers[i].fd);
    door->n--;
    memmove(&door->strangers[i], &door->strangers[i + 1],
            (size_t)(door->n - i) * sizeof *door->strangers);
}

void sw_door_shut(struct sw_door *door)
{
    if (door->listener >= 0)
        close(door->listener);
    if (door->reserve >= 0)
        close(door->reserve);
    door->listener = door->reserve = -1;
    while (door->n > 0)
        stranger_drop(door, door->n - 1);
}

void sw_door_free(struct sw_door *door)
{
    sw_door_shut(door);
    free(door->strangers);
    door->strangers = NULL;
}

uint64_t sw_door_nonce(struct sw_door *door)
{
    door->n_nonces++;
    return sw_hash_of(door->secret, &door->n_nonces, sizeof door->n_nonces).low | 1;
}

nfds_t sw_door_watch(const struct sw_door *door, double now, struct pollfd *fds)
{
    nfds_t n = 0;
    if (door->listener < 0 || now < door->rests_until)
        return 0;
    fds[n++] = (struct pollfd){.fd = door->listener, .events = POLLIN};
    for (int i = 0; i < door->n; i++)
        fds[n++] = (struct pollfd){.fd = door->strangers[i].fd, .events = POLLIN};
    return n;
}

double sw_door_rested(const struct sw_door *door, double now)
{
    return door->listener >= 0 && now < door->rests_until ? door->rests_until : HUGE_VAL;
}

/* A connection that came in; -1 and errno. */
static int door_accept(struct sw_door *door)
{
    const int fd = accept4(door->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    if (door->n > 0) {
        stranger_drop(door, 0);
    } else if (door->reserve >= 0) {
        close(door->reserve);
        door->reserve = -1;
    } else {
        return -1;
    }
    return accept4(door->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void stranger_ask(struct sw_door *door, int fd, double now)
{
    struct sw_stranger *stranger;
    if (door->n == door->cap)
        stranger_drop(door, 0);
    stranger = &door->strangers[door->n++];
    *stranger = (struct sw_stranger){.fd = fd, .since = now, .nonce = sw_door_nonce(door)};
    const struct sw_frame question = {
        .magic = SW_FRAME_MAGIC, .kind = SW_FRAME_QUESTION, .nonce = stranger->nonce};
    if (send(fd, &question, sizeof question, MSG_NOSIGNAL) != (ssize_t)sizeof question)
        stranger_drop(door, door->n - 1);
}

/* One more of what is in the queue. false: that was all for this turn. */
static bool newcomer(struct sw_door *door, double now)
{
    const int fd = door_accept(door);
    if (fd >= 0)
        stranger_ask(door, fd, now);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        door->rests_until = now + TROUBLE_S;
    return fd >= 0 || errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

enum answer { NOT_YET, ANSWERED, GONE };

static enum answer stranger_hear(struct sw_stranger *stranger, double now)
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

static bool stranger_is_known(const struct sw_stranger *stranger, sw_door_fn *judge, void *context)
{
    struct sw_frame hello;
    memcpy(&hello, stranger->in, sizeof hello);
    return hello.magic == SW_FRAME_MAGIC && hello.kind == SW_FRAME_HELLO && hello.bytes == 0 &&
           judge(context, stranger->fd, stranger->nonce, &hello);
}

void sw_door_tend(struct sw_door *door, double now, sw_door_fn *judge, void *context)
{
    int kept = 0;
    bool busy = false;
    if (door->listener < 0 || now < door->rests_until)
        return;
    for (int i = 0; i < door->n; i++) {
        struct sw_stranger *stranger = &door->strangers[i];
        const size_t before = stranger->n_in;
        const enum answer answer = stranger_hear(stranger, now);
        busy = busy || answer != NOT_YET || stranger->n_in != before;
        if (answer == NOT_YET)
            door->strangers[kept++] = *stranger;
        else if (answer == GONE || !stranger_is_known(stranger, judge, context))
            close(stranger->fd);
    }
    door->n = kept;
    door->rests_until = now; /* whoever is in the queue may have it rest for longer */
    for (int i = 0; i < BURST && newcomer(door, now); i++)
        busy = true;
    if (busy && door->rests_until < now + REST_S)
        door->rests_until = now + REST_S;
    if (door->reserve < 0)
        door->reserve = door_reserve();
}
