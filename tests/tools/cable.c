/*
 * A network cable with a length and a rate: two TAP devices in two network namespaces, and what
 * goes into one comes out of the other later. For tests/hosts.sh, on kernels that have no netem.
 *
 *     wire PID-A DEVICE-A PID-B DEVICE-B DELAY_US MBIT
 *
 * makes DEVICE-A in the network namespace of process PID-A, DEVICE-B in PID-B's, says "ready", and
 * carries frames until it is killed. DELAY_US: one way; MBIT: million bits a second each way. Needs
 * root and /dev/net/tun.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 66000 /* unsegmented, with the kernel's header before it */
#define FRAMES 512      /* under way; more wait in the sender's own queue */

struct frame {
    int64_t due; /* ns */
    size_t bytes;
    char data[FRAME_MAX];
};

/* One way. Frames come out in order, so the oldest is the next. */
struct lane {
    int from, to;
    struct frame *frames; /* (FRAMES) */
    unsigned head, tail;
    int64_t free; /* ns: when the last bit of the newest frame has gone in */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Large frames stay whole: both ends let the kernel put off cutting them and their checksums. */
static int open_tap(const char *pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    const int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0)
        die(path);
    close(space);
    const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) != 0)
        die(name);
    if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0)
        die("offload");
    return fd;
}

/* Takes what has come in, as far as there is room. */
static void take(struct lane *l, int64_t delay, double ns_per_byte)
{
    while (l->tail - l->head < FRAMES) {
        struct frame *f = &l->frames[l->tail % FRAMES];
        const ssize_t got = read(l->from, f->data, sizeof f->data);
        if (got <= 0)
            return;
        const int64_t now = now_ns();
        l->free = (l->free > now ? l->free : now) + (int64_t)((double)got * ns_per_byte);
        f->bytes = (size_t)got;
        f->due = l->free + delay;
        l->tail++;
    }
}

/* Gives what is due; one that the other end has no room for is lost, as on a real cable. */
static void give(struct lane *l)
{
    while (l->head != l->tail && l->frames[l->head % FRAMES].due <= now_ns()) {
        const struct frame *f = &l->frames[l->head++ % FRAMES];
        if (write(l->to, f->data, f->bytes) < 0 && errno != EAGAIN && errno != EIO)
            die("write");
    }
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: wire PID-A DEVICE-A PID-B DEVICE-B DELAY_US MBIT\n");
        return 2;
    }
    const int a = open_tap(argv[1], argv[2]), b = open_tap(argv[3], argv[4]);
    const int64_t delay = atoll(argv[5]) * 1000;
    const double ns_per_byte = 8000 / atof(argv[6]);
    struct lane lanes[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    for (int i = 0; i < 2; i++)
        if (!(lanes[i].frames = calloc(FRAMES, sizeof *lanes[i].frames)))
            die("memory");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int64_t next = INT64_MAX;
        struct pollfd polled[2];
        for (int i = 0; i < 2; i++) {
            struct lane *l = &lanes[i];
            give(l);
            take(l, delay, ns_per_byte);
            if (l->head != l->tail && l->frames[l->head % FRAMES].due < next)
                next = l->frames[l->head % FRAMES].due;
            polled[i] = (struct pollfd){l->from, l->tail - l->head < FRAMES ? POLLIN : 0, 0};
        }
        const int64_t left = next - now_ns();
        const struct timespec wait = {left > 0 ? left / 1000000000 : 0,
                                      left > 0 ? left % 1000000000 : 0};
        ppoll(polled, 2, next == INT64_MAX ? NULL : &wait, NULL);
    }
}
