/*
 * The simulated NCCL: data arrives, between threads and between processes; what would hang the real
 * one hangs the stream here, and ends when the communicator is aborted.
 */
#include "child.h"

#include <nccl.h>
#include <pthread.h>
#include <time.h>

enum { N = 5000, MANY = 3 << 20 };

static void nap(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* A rank and what it has. */
struct end {
    int rank, size;
    ncclUniqueId id;
    void (*body)(struct end *e);
    ncclComm_t comm;
    cudaStream_t stream;
    float *d, *d2; /* (N) rank + 1, zeros */
};

static ncclResult_t settled(ncclComm_t comm, ncclResult_t result)
{
    while (result == ncclInProgress) {
        nap(1);
        NEED(ncclCommGetAsyncError(comm, &result) == ncclSuccess);
    }
    return result;
}
#define NEED_NCCL(e, call) NEED(settled((e)->comm, (call)) == ncclSuccess)

static void *run_end(void *context)
{
    struct end *e = context;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    float ones[N], zeros[N] = {0};
    config.blocking = 0;
    NEED_CUDA(cudaSetDevice(e->rank));
    NEED_CUDA(cudaStreamCreateWithFlags(&e->stream, cudaStreamNonBlocking));
    for (int i = 0; i < N; i++)
        ones[i] = (float)(e->rank + 1);
    e->d = to_device(ones, sizeof ones);
    e->d2 = to_device(zeros, sizeof zeros);
    NEED(ncclCommInitRankConfig(&e->comm, e->size, e->id, e->rank, &config) == ncclInProgress);
    NEED_NCCL(e, ncclInProgress);
    e->body(e);
    return NULL;
}

/* So that none aborts, or goes on, while another still looks. */
static pthread_barrier_t looked;

static void run_ends(int size, void (*body)(struct end *e))
{
    pthread_t threads[4];
    struct end ends[4];
    ncclUniqueId id;
    NEED(ncclGetUniqueId(&id) == ncclSuccess);
    NEED(pthread_barrier_init(&looked, NULL, (unsigned)size) == 0);
    for (int r = 0; r < size; r++) {
        ends[r] = (struct end){.rank = r, .size = size, .id = id, .body = body};
        NEED(pthread_create(&threads[r], NULL, run_end, &ends[r]) == 0);
    }
    for (int r = 0; r < size; r++)
        pthread_join(threads[r], NULL);
}

static void leave(struct end *e)
{
    NEED_CUDA(cudaStreamSynchronize(e->stream));
    NEED_NCCL(e, ncclCommFinalize(e->comm));
    NEED(ncclCommDestroy(e->comm) == ncclSuccess);
}

static bool has(struct end *e, const float *d, float value)
{
    float got[N];
    NEED_CUDA(cudaStreamSynchronize(e->stream));
    from_device(got, d, sizeof got);
    for (int i = 0; i < N; i++)
        if (got[i] != value)
            return false;
    return true;
}

/* ---- right ways */

static void down_the_line(struct end *e)
{
    for (int round = 0; round < 5; round++) {
        if (e->rank > 0)
            NEED_NCCL(e, ncclRecv(e->d2, N, ncclFloat, e->rank - 1, e->comm, e->stream));
        if (e->rank + 1 < e->size)
            NEED_NCCL(
                e, ncclSend(e->rank ? e->d2 : e->d, N, ncclFloat, e->rank + 1, e->comm, e->stream));
    }
    NEED(has(e, e->d2, e->rank ? 1 : 0));
    leave(e);
}

static void both_ways(struct end *e)
{
    NEED(ncclGroupStart() == ncclSuccess);
    NEED(ncclSend(e->d, N, ncclFloat, 1 - e->rank, e->comm, e->stream) == ncclSuccess);
    NEED(ncclRecv(e->d2, N, ncclFloat, 1 - e->rank, e->comm, e->stream) == ncclSuccess);
    NEED_NCCL(e, ncclGroupEnd());
    NEED(has(e, e->d2, (float)(2 - e->rank)));
    leave(e);
}

static void much(struct end *e)
{
    float *host = malloc(MANY * sizeof *host);
    for (int i = 0; i < MANY; i++)
        host[i] = e->rank ? 0 : (float)i;
    float *d = to_device(host, MANY * sizeof *host);
    NEED_NCCL(e, e->rank ? ncclRecv(d, MANY, ncclFloat, 0, e->comm, e->stream)
                         : ncclSend(d, MANY, ncclFloat, 1, e->comm, e->stream));
    NEED_CUDA(cudaStreamSynchronize(e->stream));
    from_device(host, d, MANY * sizeof *host);
    for (int i = 0; i < MANY; i++)
        NEED(host[i] == (float)i);
    leave(e);
    free(host);
}

static void three(void)
{
    run_ends(3, down_the_line);
}
static void two_both_ways(void)
{
    run_ends(2, both_ways);
}
static void two_much(void)
{
    run_ends(2, much);
}

/* Each rank a process, as under mpirun. */
static void processes(void)
{
    struct end e = {.size = 2, .body = down_the_line};
    int ends[2];
    NEED(pipe(ends) == 0);
    const pid_t pid = fork();
    if (pid == 0) {
        e.rank = 1;
        NEED(read(ends[0], &e.id, sizeof e.id) == (ssize_t)sizeof e.id);
        run_end(&e);
        exit(0);
    }
    NEED(ncclGetUniqueId(&e.id) == ncclSuccess);
    NEED(write(ends[1], &e.id, sizeof e.id) == (ssize_t)sizeof e.id);
    run_end(&e);
    int status;
    NEED(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- faults */

static bool hangs(struct end *e)
{
    for (int i = 0; i < 30; i++, nap(10))
        if (cudaStreamQuery(e->stream) != cudaErrorNotReady)
            return false;
    return true;
}

/* What hangs ends when the communicator is aborted. */
static void aborted(struct end *e)
{
    pthread_barrier_wait(&looked);
    NEED(ncclCommAbort(e->comm) == ncclSuccess);
    NEED_CUDA(cudaStreamSynchronize(e->stream));
}

static void warm(struct end *e)
{
    NEED_NCCL(e, e->rank ? ncclRecv(e->d2, 4, ncclFloat, 0, e->comm, e->stream)
                         : ncclSend(e->d, 4, ncclFloat, 1, e->comm, e->stream));
    NEED_CUDA(cudaStreamSynchronize(e->stream));
}

static void never_received(struct end *e)
{
    warm(e);
    if (e->rank == 0) {
        NEED_NCCL(e, ncclSend(e->d, N, ncclFloat, 1, e->comm, e->stream));
        NEED(hangs(e));
    } else {
        NEED(has(e, e->d2, 0) == false); /* the four that warmed it up */
    }
    aborted(e);
}

/* Even the first send waits: for the connection. */
static void never_connected(struct end *e)
{
    ncclResult_t result = ncclInProgress;
    if (e->rank == 0)
        NEED(ncclSend(e->d, N, ncclFloat, 1, e->comm, e->stream) == ncclInProgress);
    nap(300);
    NEED(ncclCommGetAsyncError(e->comm, &result) == ncclSuccess);
    NEED(result == (e->rank ? ncclSuccess : ncclInProgress));
    if (e->rank == 0) /* not to be used meanwhile */
        NEED(ncclSend(e->d, N, ncclFloat, 1, e->comm, e->stream) == ncclInvalidArgument);
    aborted(e);
}

static void late(struct end *e)
{
    warm(e);
    if (e->rank == 0) {
        NEED_NCCL(e, ncclSend(e->d, N, ncclFloat, 1, e->comm, e->stream));
        nap(50);
        NEED(cudaStreamQuery(e->stream) == cudaErrorNotReady);
        pthread_barrier_wait(&looked);
    } else {
        pthread_barrier_wait(&looked);
        NEED_NCCL(e, ncclRecv(e->d2, N, ncclFloat, 0, e->comm, e->stream));
        NEED(has(e, e->d2, 1));
    }
    leave(e);
}

/* Without a group each waits for the other's receive. */
static void both_send_first(struct end *e)
{
    const int peer = 1 - e->rank;
    NEED(ncclGroupStart() == ncclSuccess);
    NEED(ncclSend(e->d, 4, ncclFloat, peer, e->comm, e->stream) == ncclSuccess);
    NEED(ncclRecv(e->d2, 4, ncclFloat, peer, e->comm, e->stream) == ncclSuccess);
    NEED_NCCL(e, ncclGroupEnd());
    NEED_NCCL(e, ncclSend(e->d, N, ncclFloat, peer, e->comm, e->stream));
    NEED_NCCL(e, ncclRecv(e->d2, N, ncclFloat, peer, e->comm, e->stream));
    NEED(hangs(e));
    aborted(e);
}

static void other_sizes(struct end *e)
{
    NEED_NCCL(e, e->rank ? ncclRecv(e->d2, N - 1, ncclFloat, 0, e->comm, e->stream)
                         : ncclSend(e->d, N, ncclFloat, 1, e->comm, e->stream));
    leave(e);
}

static void other_order(struct end *e)
{
    for (int i = 0; i < 2; i++) {
        const size_t n = (i == 0) == (e->rank == 0) ? 100 : 200;
        NEED_NCCL(e, e->rank ? ncclRecv(e->d2, n, ncclFloat, 0, e->comm, e->stream)
                             : ncclSend(e->d, n, ncclFloat, 1, e->comm, e->stream));
    }
    leave(e);
}

static void two_never_received(void)
{
    run_ends(2, never_received);
}
static void two_never_connected(void)
{
    run_ends(2, never_connected);
}
static void two_late(void)
{
    run_ends(2, late);
}
static void two_both_send_first(void)
{
    run_ends(2, both_send_first);
}
static void two_other_sizes(void)
{
    run_ends(2, other_sizes);
}
static void two_other_orders(void)
{
    run_ends(2, other_order);
}

static void beyond_memory(void)
{
    struct end e = {.size = 1};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    NEED(ncclGetUniqueId(&e.id) == ncclSuccess);
    config.blocking = 1;
    NEED(ncclCommInitRankConfig(&e.comm, 2, e.id, 2, &config) == ncclInvalidArgument);
    NEED(ncclCommInitRankConfig(&e.comm, 1, e.id, 0, &config) == ncclSuccess);
    e.d = to_device(NULL, 400);
    NEED(ncclSend(e.d, 100, ncclFloat, 0, e.comm, NULL) == ncclInvalidArgument); /* to itself */
    NEED(ncclCommDestroy(e.comm) == ncclSuccess);
    config.blocking = 0;
    NEED(ncclCommInitRankConfig(&e.comm, 1, e.id, 0, &config) == ncclInProgress);
    nap(100); /* its root has served once: nobody is there */
    ncclResult_t result;
    NEED(ncclCommGetAsyncError(e.comm, &result) == ncclSuccess && result == ncclInProgress);
    NEED(ncclCommAbort(e.comm) == ncclSuccess);
}

struct twin {
    ncclUniqueId id;
    int rank;
};
static void *join_twin(void *context)
{
    const struct twin *t = context;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclComm_t comm;
    config.blocking = 0;
    NEED_CUDA(cudaSetDevice(0));
    NEED(ncclCommInitRankConfig(&comm, 2, t->id, t->rank, &config) == ncclInProgress);
    NEED(settled(comm, ncclInProgress) == ncclInvalidUsage);
    NEED(strstr(ncclGetLastError(comm), "Duplicate GPU detected : rank 0 and rank 1"));
    NEED(ncclCommAbort(comm) == ncclSuccess);
    return NULL;
}
static void one_device_twice(void)
{
    struct twin twins[2] = {{.rank = 0}, {.rank = 1}};
    pthread_t other;
    NEED(ncclGetUniqueId(&twins[0].id) == ncclSuccess);
    twins[1].id = twins[0].id;
    NEED(pthread_create(&other, NULL, join_twin, &twins[1]) == 0);
    join_twin(&twins[0]);
    pthread_join(other, NULL);
}

static void planted(void)
{
    ncclUniqueId id;
    NEED(ncclGetUniqueId(&id) == ncclSystemError);
    NEED(ncclGetUniqueId(&id) == ncclSuccess);
}

static void right_ways(void)
{
    void (*const bodies[])(void) = {three, two_both_ways, two_much, processes, two_late};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        expect_right(bodies[i], "SIMGPU_DEVICES=3 SIMGPU_DELAY=0/1");
        expect_right(bodies[i], "SIMGPU_DEVICES=3 SIMGPU_SEED=2 SIMGPU_DELAY=3000/2");
    }
}

static void hanging(void)
{
    expect_right(two_never_received, "SIMGPU_DEVICES=2");
    expect_right(two_never_connected, "SIMGPU_DEVICES=2");
    expect_right(two_both_send_first, "SIMGPU_DEVICES=2");
}

static void refused(void)
{
    expect_right(one_device_twice, "SIMGPU_DEVICES=2");
    expect_right(beyond_memory, "");
    expect_right(planted, "SIMGPU_FAIL=ncclGetUniqueId:1:2");
    expect_death(two_other_sizes, "SIMGPU_DEVICES=2", "ncclSend of 20000 bytes from rank 0 to 1",
                 NULL);
    expect_death(two_other_orders, "SIMGPU_DEVICES=2", "sizes or orders differ", NULL);
}

SW_UNIT_TESTS({"right ways", right_ways}, {"what hangs", hanging}, {"what is refused", refused})
