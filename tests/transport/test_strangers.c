/*
 * Whoever connects to the heartbeat's ports and is no rank: crowds that send nothing, port scans,
 * nonsense, slow talkers, a recorded greeting, a flood, no descriptors left. Four ranks in this
 * process, because two of them go on accepting connections: ranks 1 and 3 have no link to each
 * other.
 */
#include "base/clock.h"
#include "transport/heartbeat_impl.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RANKS 4
#define TIMEOUT_S 3.0 /* on a busy machine a thread may not run for a second or two */
/* For what must happen, however slowly; time in which this process is stopped does not count. */
#define PATIENCE_S 60.0
#define CROWD 300     /* strangers at a port */
#define CPU_SHARE 0.1 /* of a core for four ranks that are let alone by comparison: 0.001 */
#define FLOOD_MIN 1000

static void pause_s(double seconds)
{
    poll(NULL, 0, (int)(seconds * 1e3));
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Connects a socket that is there already. */
static bool reach(int fd, uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0;
}

static int dial(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && reach(fd, port))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

struct job {
    struct sw_heartbeat *hearts[RANKS];
    struct sw_transport ranks[RANKS];
    struct sw_transport_state states[RANKS];
    struct sw_transport_rank hosts[RANKS];
    struct sw_rank_info infos[RANKS];
};

/* The ranks listen; strangers may come. */
static void prepare(struct job *job)
{
    memset(job, 0, sizeof *job);
    for (int i = 0; i < RANKS; i++) {
        snprintf(job->hosts[i].host, SW_HOST_MAX, "h%d", i + 1);
        CU_ASSERT_EQUAL_FATAL(sw_heartbeat_open(true, &job->infos[i], &job->hearts[i]), SW_OK);
    }
}

/* The ranks connect to each other; rank 2 finds rank 1 at `port`, if that is not 0. */
static void start(struct job *job, uint16_t port)
{
    for (int i = 0; i < RANKS; i++) {
        struct sw_rank_info infos[RANKS];
        memcpy(infos, job->infos, sizeof infos);
        if (i == 2 && port)
            infos[1].address.port = port;
        job->states[i].heartbeat = job->hearts[i];
        job->ranks[i] = (struct sw_transport){.rank = i,
                                              .size = RANKS,
                                              .ranks = job->hosts,
                                              .state = &job->states[i],
                                              .options = {.silence_s = TIMEOUT_S, .stall_s = 60}};
        CU_ASSERT_EQUAL_FATAL(sw_heartbeat_start(job->hearts[i], &job->ranks[i], infos), SW_OK);
    }
}

/* Waits until something is so; false after PATIENCE_S. */
static bool within(bool (*is_so)(void *context), void *context)
{
    bool is = is_so(context);
    for (int k = 0; !is && k < PATIENCE_S / 0.02; k++) {
        pause_s(0.02);
        is = is_so(context);
    }
    return is;
}

static bool all_are_linked(void *context)
{
    static const int n_links[RANKS] = {3, 2, 3, 2}; /* none between ranks 1 and 3 */
    const struct job *job = context;
    int linked = 0;
    for (int i = 0; i < RANKS; i++) {
        struct sw_heartbeat *hb = job->hearts[i];
        int n = 0;
        pthread_mutex_lock(&hb->lock);
        for (int k = 0; k < hb->n_links; k++)
            n += hb->links[k]->state == SW_SOCKET_OPEN;
        pthread_mutex_unlock(&hb->lock);
        linked += n == n_links[i];
    }
    return linked == RANKS;
}

static void begin(struct job *job)
{
    prepare(job);
    start(job, 0);
    CU_ASSERT(within(all_are_linked, job));
}

static bool judged(const struct job *job)
{
    for (int i = 0; i < RANKS; i++)
        if (sw_heartbeat_judged(job->hearts[i]))
            return true;
    return false;
}

/* Is there no verdict for so long? */
static bool peace(const struct job *job, double seconds)
{
    const double until = sw_clock() + seconds;
    while (sw_clock() < until && !judged(job))
        pause_s(0.02);
    return !judged(job);
}

static bool is_judged(void *heart)
{
    return sw_heartbeat_judged(heart);
}

/* Rank 3 fails; all receive that verdict and no other. */
static void verdict_arrives(struct job *job)
{
    const struct sw_verdict failed = {.status = SW_EMODEL, .rank = 3, .text = "no weights"};
    struct sw_verdict received;
    sw_heartbeat_raise(job->hearts[3], &failed);
    for (int i = 0; i < RANKS; i++) {
        CU_ASSERT(within(is_judged, job->hearts[i]));
        sw_heartbeat_verdict(job->hearts[i], &received);
        CU_ASSERT_EQUAL(received.status, SW_EMODEL);
        CU_ASSERT_STRING_EQUAL(received.text, "no weights");
    }
}

static void end(struct job *job)
{
    for (int i = 0; i < RANKS; i++)
        sw_heartbeat_close(job->hearts[i]);
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

struct strangers {
    const int *fds; /* (n) */
    int n, most_open;
};

/* Has the other end closed all but most_open of the connections? */
static bool are_closed(void *context)
{
    const struct strangers *s = context;
    int closed = 0;
    char bytes[256];
    for (int i = 0; i < s->n; i++) {
        ssize_t got = 1;
        while (s->fds[i] >= 0 && got > 0)
            got = recv(s->fds[i], bytes, sizeof bytes, MSG_DONTWAIT);
        closed += s->fds[i] < 0 || got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
    return closed >= s->n - s->most_open;
}

static bool get_closed(const int *fds, int n, int most_open)
{
    struct strangers strangers = {fds, n, most_open};
    return within(are_closed, &strangers);
}

static void a_silent_crowd_costs_nothing(void)
{
    struct job job;
    int fds[2 * CROWD];
    begin(&job);
    for (int i = 0; i < 2 * CROWD; i++)
        fds[i] = dial(job.infos[i % 2 ? 1 : 3].address.port);
    CU_ASSERT(fds[0] >= 0 && fds[1] >= 0); /* these two ranks still accept connections */
    pause_s(0.2);
    const double before = cpu_seconds();
    CU_ASSERT(peace(&job, 1.0));
    CU_ASSERT(cpu_seconds() - before < CPU_SHARE);
    CU_ASSERT(get_closed(fds, 2 * CROWD, 0));
    CU_ASSERT(!judged(&job));
    verdict_arrives(&job);
    close_all(fds, 2 * CROWD);
    end(&job);
}

static void ranks_get_in_past_a_crowd(void)
{
    struct job job;
    int fds[RANKS * CROWD];
    prepare(&job);
    for (int i = 0; i < RANKS * CROWD; i++)
        fds[i] = dial(job.infos[i % RANKS].address.port);
    start(&job, 0);
    CU_ASSERT(peace(&job, 2.5 * TIMEOUT_S)); /* else some rank would not have been reached */
    verdict_arrives(&job);
    close_all(fds, RANKS * CROWD);
    end(&job);
}

static bool lets_nobody_in(void *port)
{
    const int fd = dial(*(const uint16_t *)port);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

/* When all that can come has come, the port is closed. */
static void nobody_else_is_let_in(void)
{
    struct job job;
    begin(&job);
    for (int i = 0; i < RANKS; i += 2)
        CU_ASSERT(within(lets_nobody_in, &job.infos[i].address.port));
    for (int i = 1; i < RANKS; i += 2)
        CU_ASSERT(!lets_nobody_in(&job.infos[i].address.port));
    sw_heartbeat_sent(job.hearts[3], 1); /* now they have a link, too */
    CU_ASSERT(within(lets_nobody_in, &job.infos[1].address.port));
    CU_ASSERT(peace(&job, 1.5 * TIMEOUT_S));
    end(&job);
}

static void nonsense_and_slow_talkers_are_dropped(void)
{
    enum { TALKERS = 64 };
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    const uint32_t magic = SW_FRAME_MAGIC;
    struct job job;
    int fds[TALKERS];
    begin(&job);
    for (int i = 0; i < TALKERS; i++) {
        fds[i] = dial(job.infos[1].address.port);
        CU_ASSERT_FATAL(fds[i] >= 0);
        if (i % 4 == 0)
            CU_ASSERT(send(fds[i], request, sizeof request, MSG_NOSIGNAL) > 0);
        if (i % 4 == 1)
            CU_ASSERT(send(fds[i], &magic, sizeof magic, MSG_NOSIGNAL) > 0);
        if (i % 4 == 2)
            shutdown(fds[i], SHUT_WR);
    }
    for (int k = 0; k < 30; k++) { /* a byte every tenth of a second */
        for (int i = 3; i < TALKERS; i += 4)
            (void)!send(fds[i], k < 4 ? (const char *)&magic + k : "\1", 1, MSG_NOSIGNAL);
        CU_ASSERT(peace(&job, 0.1));
    }
    CU_ASSERT(get_closed(fds, TALKERS, 0));
    verdict_arrives(&job);
    close_all(fds, TALKERS);
    end(&job);
}

/* Passes on what ranks 2 and 1 send each other, and keeps what rank 2 sent. */
struct recorder {
    pthread_t thread;
    int listener;
    uint16_t port, to;
    atomic_bool over;
    atomic_int n;
    char bytes[4096];
};

static void *record(void *argument)
{
    struct recorder *r = argument;
    const int near = accept(r->listener, NULL, NULL), far = dial(r->to);
    struct pollfd ends[2] = {{.fd = near, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    char bytes[512];
    while (!r->over) {
        poll(ends, 2, 20);
        for (int i = 0; i < 2; i++) {
            const ssize_t n = ends[i].revents ? recv(ends[i].fd, bytes, sizeof bytes, 0) : 0;
            if (n <= 0)
                continue;
            if (i == 0 && r->n + n <= (ssize_t)sizeof r->bytes) {
                memcpy(r->bytes + r->n, bytes, (size_t)n);
                r->n += (int)n;
            }
            (void)!send(ends[1 - i].fd, bytes, (size_t)n, MSG_NOSIGNAL);
        }
    }
    close(near);
    close(far);
    return NULL;
}

static void a_recorded_greeting_opens_nothing(void)
{
    struct job job;
    struct recorder recorder = {0};
    prepare(&job);
    recorder.listener = sw_heart_socket_listen(true, &recorder.port);
    recorder.to = job.infos[1].address.port;
    CU_ASSERT_FATAL(recorder.listener >= 0);
    fcntl(recorder.listener, F_SETFL, 0);
    pthread_create(&recorder.thread, NULL, record, &recorder);
    start(&job, recorder.port);
    CU_ASSERT(within(all_are_linked, &job));
    CU_ASSERT(recorder.n >= (int)sizeof(struct sw_frame));
    for (int i = 0; i < 3; i++) { /* all of it, then closed, as if rank 2 had died */
        const int fd = dial(job.infos[1].address.port);
        CU_ASSERT_FATAL(fd >= 0);
        CU_ASSERT(send(fd, recorder.bytes, (size_t)recorder.n, MSG_NOSIGNAL) > 0);
        CU_ASSERT(peace(&job, 0.2));
        close(fd);
        CU_ASSERT(peace(&job, 0.2));
    }
    verdict_arrives(&job);
    end(&job);
    recorder.over = true;
    pthread_join(recorder.thread, NULL);
    close(recorder.listener);
}

struct flood {
    pthread_t thread;
    const uint16_t *ports; /* (RANKS) */
    atomic_bool over;
    atomic_int n;
};

static void *pour(void *argument)
{
    struct flood *flood = argument;
    for (int i = 0; !flood->over; i++) {
        const int fd = dial(flood->ports[i % RANKS]);
        if (fd < 0)
            continue;
        flood->n++;
        close(fd);
    }
    return NULL;
}

static bool is_flooded(void *context)
{
    const struct flood *flood = context;
    return flood->n > FLOOD_MIN;
}

/* From before the ranks connect to each other until after a verdict. */
static void a_flood_changes_nothing(void)
{
    struct job job;
    uint16_t ports[RANKS];
    struct flood flood = {.ports = ports};
    prepare(&job);
    for (int i = 0; i < RANKS; i++)
        ports[i] = job.infos[i].address.port;
    pthread_create(&flood.thread, NULL, pour, &flood);
    pause_s(0.2);
    start(&job, 0);
    CU_ASSERT(peace(&job, 2 * TIMEOUT_S));
    verdict_arrives(&job);
    CU_ASSERT(within(is_flooded, &flood));
    flood.over = true;
    pthread_join(flood.thread, NULL);
    printf("(%d connections) ", flood.n);
    end(&job);
}

/* The lowest number that a new descriptor would not have. */
static rlim_t descriptors_in_use(void)
{
    const int fd = dup(STDERR_FILENO);
    close(fd);
    return (rlim_t)fd;
}

static void without_descriptors_nothing_spins(void)
{
    enum { WAITING = 20 };
    struct job job;
    struct rlimit before, few;
    int fds[WAITING];
    begin(&job);
    for (int i = 0; i < WAITING; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CU_ASSERT_FATAL(fds[i] >= 0);
    }
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){descriptors_in_use(), before.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < WAITING; i++)
        CU_ASSERT(reach(fds[i], job.infos[1].address.port));
    const double used = cpu_seconds();
    CU_ASSERT(peace(&job, 1.5 * TIMEOUT_S));
    CU_ASSERT(cpu_seconds() - used < CPU_SHARE);
    CU_ASSERT(get_closed(fds, WAITING, 2)); /* the others still have time to answer */
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    verdict_arrives(&job);
    close_all(fds, WAITING);
    end(&job);
}

static uint32_t address_of(bool local)
{
    uint16_t port;
    struct sockaddr_in here;
    socklen_t length = sizeof here;
    const int fd = sw_heart_socket_listen(local, &port);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&here, &length), 0);
    CU_ASSERT_EQUAL(here.sin_port, htons(port));
    close(fd);
    return ntohl(here.sin_addr.s_addr);
}

static void ranks_of_one_host_listen_on_loopback(void)
{
    CU_ASSERT_EQUAL(address_of(true), INADDR_LOOPBACK);
    CU_ASSERT_EQUAL(address_of(false), INADDR_ANY);
}

SW_UNIT_TESTS({"a silent crowd costs nothing", a_silent_crowd_costs_nothing},
              {"ranks get in past a crowd", ranks_get_in_past_a_crowd},
              {"nobody else is let in", nobody_else_is_let_in},
              {"nonsense and slow talkers are dropped", nonsense_and_slow_talkers_are_dropped},
              {"a recorded greeting opens nothing", a_recorded_greeting_opens_nothing},
              {"a flood changes nothing", a_flood_changes_nothing},
              {"without descriptors nothing spins", without_descriptors_nothing_spins},
              {"ranks of one host listen on loopback", ranks_of_one_host_listen_on_loopback})
