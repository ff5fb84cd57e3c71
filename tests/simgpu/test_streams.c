/* Streams and events: what runs in order, what does not, and that a missing wait shows. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <stdatomic.h>
#include <time.h>

enum { N = 200 };

static atomic_int gate_open;
static void gate(void *unused)
{
    (void)unused;
    while (!atomic_load(&gate_open))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}
static void open_gate(void)
{
    atomic_store(&gate_open, 1);
}

static cudaStream_t stream(unsigned flags)
{
    cudaStream_t s;
    NEED_CUDA(cudaStreamCreateWithFlags(&s, flags));
    return s;
}

static int *pinned_ints(int value)
{
    int *p;
    NEED_CUDA(cudaHostAlloc((void **)&p, N * sizeof(int), 0));
    for (int i = 0; i < N; i++)
        p[i] = value;
    return p;
}

static bool all(const int *x, int value)
{
    for (int i = 0; i < N; i++)
        if (x[i] != value)
            return false;
    return true;
}

static void in_order(void)
{
    cudaStream_t s = stream(cudaStreamNonBlocking);
    int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(1000);
    NEED_CUDA(cudaMemcpyAsync(d, h, N * sizeof(int), cudaMemcpyHostToDevice, s));
    for (int i = 0; i < 50; i++)
        NEED_CUDA(test_add(d, N, i, s));
    NEED_CUDA(cudaMemcpyAsync(h, d, N * sizeof(int), cudaMemcpyDeviceToHost, s));
    NEED_CUDA(cudaStreamSynchronize(s));
    NEED(all(h, 1000 + 49 * 25));
    NEED_CUDA(cudaStreamDestroy(s));
    NEED(cudaStreamSynchronize(s) == cudaErrorInvalidResourceHandle);
}

static void nap(void *unused)
{
    (void)unused;
    nanosleep(&(struct timespec){0, 50000000}, NULL);
}

/* A destroyed stream ends what it has; whoever frees the memory of that waits for it. */
static void destroyed(void)
{
    for (int reset = 0; reset < 2; reset++) {
        cudaStream_t s = stream(cudaStreamNonBlocking);
        int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(7);
        NEED_CUDA(cudaLaunchHostFunc(s, nap, NULL));
        NEED_CUDA(cudaMemcpyAsync(d, h, N * sizeof(int), cudaMemcpyHostToDevice, s));
        NEED_CUDA(cudaStreamDestroy(s));
        NEED_CUDA(reset ? cudaDeviceReset() : cudaFree(d));
        nap(NULL);
        nap(NULL);
    }
}

/* Every one of these is a fault of the program, and seen as one. */
static void not_waited_for(void)
{
    cudaStream_t s = stream(cudaStreamNonBlocking);
    int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(1);
    NEED_CUDA(cudaMemsetAsync(d, 0, N * sizeof(int), s));
    NEED_CUDA(cudaMemcpyAsync(h, d, N * sizeof(int), cudaMemcpyDeviceToHost, s));
    NEED(all(h, 0)); /* no cudaStreamSynchronize before */
}

static void pinned_source_reused(void)
{
    cudaStream_t s = stream(cudaStreamNonBlocking);
    int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(1), got[N];
    NEED_CUDA(cudaLaunchHostFunc(s, gate, NULL));
    NEED_CUDA(cudaMemcpyAsync(d, h, N * sizeof(int), cudaMemcpyHostToDevice, s));
    memset(h, 0, N * sizeof(int)); /* too early */
    open_gate();
    NEED_CUDA(cudaStreamSynchronize(s));
    from_device(got, d, sizeof got);
    NEED(all(got, 1));
}

static void other_stream_not_waited_for(void)
{
    cudaStream_t a = stream(cudaStreamNonBlocking), b = stream(cudaStreamNonBlocking);
    int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(1);
    NEED_CUDA(cudaLaunchHostFunc(a, gate, NULL));
    NEED_CUDA(cudaMemsetAsync(d, 0, N * sizeof(int), a));
    NEED_CUDA(cudaMemcpyAsync(h, d, N * sizeof(int), cudaMemcpyDeviceToHost, b));
    NEED_CUDA(cudaStreamSynchronize(b));
    open_gate();
    NEED(all(h, 0)); /* no event between a and b */
}

/* And these are the right ways. */
static void pageable_is_staged(void)
{
    cudaStream_t s = stream(cudaStreamNonBlocking);
    static int source[N], got[N];
    int *d = to_device(NULL, N * sizeof(int));
    for (int i = 0; i < N; i++)
        source[i] = 5;
    NEED_CUDA(cudaMemcpyAsync(d, source, sizeof source, cudaMemcpyHostToDevice, s));
    memset(source, 0, sizeof source);
    NEED_CUDA(cudaMemcpyAsync(got, d, sizeof got, cudaMemcpyDeviceToHost, s));
    NEED(all(got, 5)); /* a copy to pageable memory is over when the call returns */
}

static void events_join_streams(void)
{
    cudaStream_t a = stream(cudaStreamNonBlocking), b = stream(cudaStreamNonBlocking);
    cudaEvent_t e;
    NEED_CUDA(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    NEED_CUDA(cudaStreamWaitEvent(b, e, 0)); /* never recorded: nothing to wait for */
    int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(1);
    for (int round = 0; round < 20; round++) {
        NEED_CUDA(cudaMemsetAsync(d, 0, N * sizeof(int), a));
        NEED_CUDA(test_add(d, N, round, a));
        NEED_CUDA(cudaEventRecord(e, a));
        NEED_CUDA(cudaStreamWaitEvent(b, e, 0));
        NEED_CUDA(cudaMemcpyAsync(h, d, N * sizeof(int), cudaMemcpyDeviceToHost, b));
        NEED_CUDA(cudaEventRecord(e, b));
        NEED_CUDA(cudaEventSynchronize(e));
        NEED(all(h, round));
    }
    NEED_CUDA(cudaEventDestroy(e));
    NEED(cudaEventRecord(e, a) == cudaErrorInvalidResourceHandle);
}

static void asked(void)
{
    cudaStream_t s = stream(cudaStreamDefault);
    cudaEvent_t begin, end;
    float ms = -1;
    NEED_CUDA(cudaEventCreate(&begin));
    NEED_CUDA(cudaEventCreate(&end));
    NEED(cudaEventElapsedTime(&ms, begin, end) == cudaErrorInvalidResourceHandle);
    NEED(cudaGetLastError() == cudaErrorInvalidResourceHandle);
    NEED_CUDA(cudaEventRecord(begin, s));
    NEED_CUDA(cudaLaunchHostFunc(s, gate, NULL));
    NEED_CUDA(cudaEventRecord(end, s));
    NEED(cudaStreamQuery(s) == cudaErrorNotReady && cudaEventQuery(end) == cudaErrorNotReady);
    NEED(cudaEventElapsedTime(&ms, begin, end) == cudaErrorNotReady);
    NEED_CUDA(cudaGetLastError()); /* not being ready is no error */
    NEED_CUDA(cudaEventSynchronize(begin));
    nanosleep(&(struct timespec){0, 5000000}, NULL);
    open_gate();
    NEED_CUDA(cudaEventSynchronize(end));
    NEED_CUDA(cudaStreamQuery(s));
    NEED_CUDA(cudaEventQuery(end));
    NEED_CUDA(cudaEventElapsedTime(&ms, begin, end));
    NEED(ms > 4 && ms < 60000);
}

/* The default stream waits for the others of its kind, and they for it. */
static void default_stream(void)
{
    cudaStream_t s = stream(cudaStreamDefault), apart = stream(cudaStreamNonBlocking);
    int *d = to_device(NULL, N * sizeof(int)), *h = pinned_ints(7);
    NEED_CUDA(cudaLaunchHostFunc(s, gate, NULL));
    NEED_CUDA(cudaMemsetAsync(d, 0, N * sizeof(int), s));
    NEED_CUDA(test_add(d, N, 3, NULL)); /* after s */
    NEED(cudaStreamQuery(NULL) == cudaErrorNotReady);
    NEED_CUDA(cudaMemcpyAsync(h, d, N * sizeof(int), cudaMemcpyDeviceToHost, s)); /* after it */
    NEED_CUDA(cudaStreamQuery(apart)); /* has nothing to do with them */
    NEED_CUDA(cudaLaunchHostFunc(apart, gate, NULL));
    open_gate();
    NEED_CUDA(cudaStreamSynchronize(s));
    NEED(all(h, 3));
    NEED_CUDA(cudaDeviceSynchronize());
    NEED_CUDA(cudaStreamQuery(apart));
}

static void of_another_device(void)
{
    cudaStream_t s = stream(cudaStreamDefault);
    NEED_CUDA(cudaSetDevice(1));
    int *d = to_device(NULL, N * sizeof(int)), *e;
    NEED(test_add(d, N, 1, s) == cudaErrorInvalidResourceHandle);
    NEED_CUDA(cudaMemset(d, 1, N * sizeof(int)));
    NEED_CUDA(cudaDeviceSynchronize());
    NEED_CUDA(cudaSetDevice(0));
    e = to_device(NULL, N * sizeof(int));
    NEED_CUDA(cudaMemcpyPeerAsync(e, 0, d, 1, N * sizeof(int), s));
    int got[N];
    from_device(got, e, sizeof got);
    NEED(all(got, 0x01010101));
}

static void right_ways(void)
{
    void (*const bodies[])(void) = {in_order, pageable_is_staged, events_join_streams,
                                    asked,    default_stream,     destroyed};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        expect_right(bodies[i], "SIMGPU_DELAY=0/1");
        expect_right(bodies[i], "SIMGPU_SEED=2 SIMGPU_DELAY=3000/2");
    }
    expect_right(of_another_device, "SIMGPU_DEVICES=2");
}

static void missing_waits_show(void)
{
    const char *late = "SIMGPU_DELAY=100000/1";
    expect_death(not_waited_for, late, "not so: all(h, 0)", NULL);
    expect_death(pinned_source_reused, late, "not so: all(got, 1)", NULL);
    expect_death(other_stream_not_waited_for, "", "not so: all(h, 0)", NULL);
}

SW_UNIT_TESTS({"right ways", right_ways}, {"missing waits show", missing_waits_show})
