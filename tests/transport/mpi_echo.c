/*
 * Ranks that talk, wait, fail and die, for test_mpi.sh: mpi_echo MODE [ARGUMENT [FILE]].
 * Prints what it measured as "name value" lines on stdout.
 */
#include "base/log.h"
#include "transport/transport.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static double cpu(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* Sleeps without a sign of life. */
static void sleep_for(double seconds)
{
    const double until = now() + seconds;
    while (now() < until)
        usleep(10000);
}

static char *pattern(size_t bytes, unsigned seed)
{
    char *data = malloc(bytes ? bytes : 1);
    for (size_t i = 0; data && i < bytes; i++)
        data[i] = (char)(i * 31 + seed);
    return data;
}

/* A token of growing size goes round; every rank checks it. */
static enum sw_status ring(struct sw_transport *t, int argument)
{
    (void)argument;
    static const size_t sizes[] = {0, 1, 8192, 65536, 65537, 3 << 20, 100000000};
    const int next = (t->rank + 1) % t->size, before = (t->rank + t->size - 1) % t->size;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *want = pattern(sizes[i], i), *got = malloc(sizes[i] + 1);
        struct sw_message message = {.kind = 7};
        enum sw_status status = want && got ? SW_OK : sw_fail(SW_ENOMEM, "no memory");
        if (status == SW_OK && t->rank == 0)
            status = sw_transport_send(t, next, &message, want, sizes[i]);
        if (status == SW_OK)
            status = sw_transport_recv(t, before, &message, got, sizes[i]);
        if (status == SW_OK && (message.bytes != sizes[i] || memcmp(want, got, sizes[i]) != 0))
            status = sw_fail(SW_EINPUT, "%zu bytes came out wrong", sizes[i]);
        if (status == SW_OK && t->rank != 0)
            status = sw_transport_send(t, next, &message, got, sizes[i]);
        free(want);
        free(got);
        SW_TRY(status);
    }
    SW_TRY(sw_transport_flush(t));
    SW_TRY(sw_transport_barrier(t));
    if (t->rank == 0)
        printf("ring %d\n", t->size);
    return SW_OK;
}

/* Half a round trip of `bytes` between ranks 0 and 1, in microseconds; best of five rounds. */
static enum sw_status latency(struct sw_transport *t, int bytes)
{
    enum { ROUNDS = 5, TIMES = 400 };
    char *data = pattern((size_t)bytes, 1);
    double ours = 1e9, plain = 1e9;
    enum sw_status status = SW_OK;
    for (int round = 0; round < ROUNDS && t->rank < 2 && status == SW_OK; round++) {
        double begin = now();
        for (int i = 0; i < TIMES && status == SW_OK; i++) {
            struct sw_message m = {.kind = 1};
            if (t->rank == 0)
                status = sw_transport_send(t, 1, &m, data, (size_t)bytes);
            if (status == SW_OK)
                status = sw_transport_recv(t, 1 - t->rank, &m, data, (size_t)bytes);
            if (status == SW_OK && t->rank == 1)
                status = sw_transport_send(t, 0, &m, data, (size_t)bytes);
        }
        double took = (now() - begin) / TIMES / 2 * 1e6;
        ours = took < ours ? took : ours;
        begin = now();
        for (int i = 0; i < TIMES; i++) {
            if (t->rank == 0)
                MPI_Send(data, bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
            MPI_Recv(data, bytes, MPI_BYTE, 1 - t->rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            if (t->rank == 1)
                MPI_Send(data, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
        }
        took = (now() - begin) / TIMES / 2 * 1e6;
        plain = took < plain ? took : plain;
    }
    free(data);
    SW_TRY(status);
    if (t->rank == 0)
        printf("latency_us %.2f\nplain_mpi_us %.2f\n", ours, plain);
    return sw_transport_barrier(t);
}

/* Everybody waits for rank 0, which is busy for `seconds`; prints the worst use of a core in %. */
static enum sw_status idle(struct sw_transport *t, int seconds)
{
    struct sw_message m = {0};
    const double began = now(), used = cpu();
    if (t->rank == 0) {
        while (now() < began + seconds) {
            usleep(50000);
            SW_TRY(sw_transport_alive(t));
        }
        for (int i = 1; i < t->size; i++)
            SW_TRY(sw_transport_send(t, i, &m, NULL, 0));
    } else {
        SW_TRY(sw_transport_recv(t, 0, &m, NULL, 0));
    }
    const double share = 100 * (cpu() - used) / (now() - began);
    void **blocks = calloc((size_t)t->size, sizeof *blocks);
    size_t *lengths = calloc((size_t)t->size, sizeof *lengths);
    double worst = 0;
    enum sw_status status = sw_transport_gather(t, &share, sizeof share, blocks, lengths);
    for (int i = 0; i < t->size && status == SW_OK && t->rank == 0; i++) {
        double theirs;
        memcpy(&theirs, blocks[i], sizeof theirs);
        worst = i > 0 && theirs > worst ? theirs : worst;
        free(blocks[i]);
    }
    free(blocks);
    free(lengths);
    if (t->rank == 0)
        printf("idle_percent %.2f\n", worst);
    return status;
}

/* All wait for each other for ever; `victim` is killed, or `victim` - 100 fails by itself. */
static enum sw_status loss(struct sw_transport *t, int victim)
{
    struct sw_message m = {0};
    SW_TRY(sw_transport_barrier(t));
    if (t->rank == victim) {
        sleep_for(0.3);
        raise(SIGKILL);
    }
    if (t->rank == victim - 100)
        return sw_fail(SW_EMODEL, "the weights are missing");
    return sw_transport_recv(t, SW_ANY_RANK, &m, NULL, 0);
}

/* Rank 1 is stopped for `seconds`, as by a debugger or a machine that is moved. */
static enum sw_status stopped_for(struct sw_transport *t, int seconds)
{
    struct sw_message m = {0};
    SW_TRY(sw_transport_barrier(t));
    if (t->rank != 1)
        return sw_transport_recv(t, 1, &m, NULL, 0);
    sleep_for(0.5); /* the heartbeats are there by then */
    const pid_t self = getpid();
    if (fork() == 0) {
        sleep_for(seconds);
        kill(self, SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
    for (int i = 0; i < t->size; i++)
        if (i != 1)
            SW_TRY(sw_transport_send(t, i, &m, NULL, 0));
    return SW_OK;
}

/* Rank 1 lives, but its main thread hangs. */
static enum sw_status stuck(struct sw_transport *t, int seconds)
{
    struct sw_message m = {0};
    SW_TRY(sw_transport_barrier(t));
    if (t->rank == 1)
        sleep_for(seconds);
    return sw_transport_recv(t, 1, &m, NULL, 0);
}

/* Waits for a signal; prints once it is ready for it. */
static enum sw_status stopped(struct sw_transport *t, int argument)
{
    (void)argument;
    struct sw_message m = {0};
    SW_TRY(sw_transport_barrier(t));
    if (t->rank == 0) {
        printf("ready\n");
        fflush(stdout);
    }
    return sw_transport_recv(t, SW_ANY_RANK, &m, NULL, 0);
}

static const struct mode {
    const char *name;
    enum sw_status (*run)(struct sw_transport *t, int argument);
    double silence_s, stall_s;
} modes[] = {
    {"ring", ring, 60, 0},           {"latency", latency, 60, 0},
    {"idle", idle, 60, 0},           {"loss", loss, 60, 0},
    {"stopped", stopped_for, 10, 0}, {"stuck", stuck, 60, 8},
    {"stop", stopped, 60, 0},        {"late", ring, 2, 0},
    {"crash", ring, 60, 0},
};

/* Rank 1 crashes in so many starts, of which the file COUNT keeps the number, as Open MPI does now
 * and then in MPI_Init; rank 0 is in there by then. */
static void crash(const char *argument, const char *count)
{
    FILE *file = fopen(count, "a+");
    long starts = 0;
    if (!file || sw_transport_launch_rank() != 1)
        return;
    fputc('.', file);
    fflush(file);
    starts = ftell(file);
    fclose(file);
    sleep_for(0.7);
    if (starts <= atoi(argument))
        raise(SIGSEGV);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        signal(SIGTERM, on_signal);
        signal(SIGUSR1, on_signal);
        signal(SIGHUP, on_signal);
        const struct sw_transport_options options = {
            .silence_s = modes[i].silence_s, .stall_s = modes[i].stall_s, .stop = &stop};
        struct sw_transport *t;
        if (strcmp(argv[1], "late") == 0 && sw_transport_launch_rank() == 1)
            sleep_for(300); /* the others are in MPI_Init */
        if (strcmp(argv[1], "crash") == 0 && argc > 3)
            crash(argv[2], argv[3]);
        const enum sw_status opened = sw_transport_open(&options, &t);
        if (opened != SW_OK) {
            sw_log(SW_LOG_ERROR, "%s", sw_error_message());
            return sw_status_exit_code(opened);
        }
        const enum sw_status status = modes[i].run(t, argc > 2 ? atoi(argv[2]) : 0);
        return sw_status_exit_code(sw_transport_finish(t, status));
    }
    fprintf(stderr, "usage: mpi_echo ring|latency|idle|loss|stopped|stuck|stop|late|crash "
                    "[ARGUMENT [FILE]]\n");
    return 2;
}
