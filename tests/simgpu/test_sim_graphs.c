/* Graphs: what a capture records and a launch runs again. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <pthread.h>

enum { N = 100 };

static cudaStream_t stream(void)
{
    cudaStream_t s;
    NEED_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    return s;
}

static cudaGraphExec_t ready(cudaStream_t s)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    NEED_CUDA(cudaStreamEndCapture(s, &graph));
    NEED_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    NEED_CUDA(cudaGraphDestroy(graph));
    return exec;
}

static void again(void)
{
    cudaStream_t s = stream();
    int *d = to_device(NULL, N * sizeof(int)), *h, got[N];
    NEED_CUDA(cudaHostAlloc((void **)&h, N * sizeof(int), 0));
    NEED_CUDA(cudaMemset(d, 0, N * sizeof(int)));
    NEED_CUDA(cudaDeviceSynchronize());
    NEED_CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    enum cudaStreamCaptureStatus status;
    NEED_CUDA(cudaStreamIsCapturing(s, &status));
    NEED(status == cudaStreamCaptureStatusActive);
    NEED_CUDA(test_add(d, N, 2, s));
    NEED_CUDA(test_add(d, N, 3, s));
    NEED_CUDA(cudaMemcpyAsync(h, d, N * sizeof(int), cudaMemcpyDeviceToHost, s));
    const unsigned long launches = simgpu_calls("launch");
    cudaGraphExec_t exec = ready(s);
    NEED_CUDA(cudaStreamIsCapturing(s, &status));
    NEED(status == cudaStreamCaptureStatusNone);
    NEED_CUDA(cudaStreamSynchronize(s));
    from_device(got, d, sizeof got);
    NEED(got[0] == 0); /* recorded, not run */
    for (int i = 1; i <= 5; i++) {
        NEED_CUDA(cudaGraphLaunch(exec, s));
        NEED_CUDA(cudaStreamSynchronize(s));
        NEED(h[0] == 5 * i && h[N - 1] == 5 * i);
    }
    NEED_CUDA(cudaGraphLaunch(exec, s));
    NEED_CUDA(cudaGraphExecDestroy(exec)); /* what is under way goes on */
    NEED_CUDA(cudaStreamSynchronize(s));
    NEED(h[0] == 30);
    NEED(simgpu_calls("launch") == launches && simgpu_calls("cudaGraphLaunch") == 6);
}

static void counted(void)
{
    cudaStream_t s = stream();
    cudaGraph_t graph;
    size_t n = 99;
    int *d = to_device(NULL, N * sizeof(int));
    NEED_CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 7; i++)
        NEED_CUDA(test_add(d, N, 1, s));
    NEED_CUDA(cudaStreamEndCapture(s, &graph));
    NEED_CUDA(cudaGraphGetNodes(graph, NULL, &n));
    NEED(n == 7);
    NEED_CUDA(cudaGraphDestroy(graph));
}

/* What may wait for something, while another stream is captured: refused where the capture's mode
 * says so, and the capture is of no use any more. */
static cudaStream_t other_stream;
static cudaEvent_t other_event;
static char *d_other, *pinned_other;

static cudaError_t ask_event(void)
{
    return cudaEventQuery(other_event);
}
static cudaError_t await_event(void)
{
    return cudaEventSynchronize(other_event);
}
static cudaError_t ask_stream(void)
{
    return cudaStreamQuery(other_stream);
}
static cudaError_t await_stream(void)
{
    return cudaStreamSynchronize(other_stream);
}
static cudaError_t copy_at_once(void)
{
    return cudaMemcpy(d_other, pinned_other, 8, cudaMemcpyHostToDevice);
}
static cudaError_t pin(void)
{
    static char memory[4096];
    const cudaError_t error = cudaHostRegister(memory, sizeof memory, 0);
    return error ? error : cudaHostUnregister(memory);
}
static cudaError_t (*const unsafe[])(void) = {ask_event,    await_event,  ask_stream,
                                              await_stream, copy_at_once, pin};
#define N_UNSAFE (sizeof unsafe / sizeof unsafe[0])

static void *call(void *which)
{
    static cudaError_t error;
    error = unsafe[*(size_t *)which]();
    return &error;
}

static cudaError_t in_another_thread(size_t which)
{
    pthread_t thread;
    void *error;
    NEED(pthread_create(&thread, NULL, call, &which) == 0);
    NEED(pthread_join(thread, &error) == 0);
    return *(cudaError_t *)error;
}

static void refused_by_mode(void)
{
    static const enum cudaStreamCaptureMode modes[] = {cudaStreamCaptureModeGlobal,
                                                       cudaStreamCaptureModeThreadLocal,
                                                       cudaStreamCaptureModeRelaxed};
    cudaStream_t s = stream();
    cudaGraph_t graph;
    other_stream = stream();
    NEED_CUDA(cudaEventCreate(&other_event));
    NEED_CUDA(cudaEventRecord(other_event, other_stream));
    NEED_CUDA(cudaStreamSynchronize(other_stream)); /* or asking it gets "not ready", at times */
    d_other = to_device(NULL, 8);
    NEED_CUDA(cudaHostAlloc((void **)&pinned_other, 8, 0));
    for (int m = 0; m < 3; m++)
        for (size_t i = 0; i < 2 * N_UNSAFE; i++) {
            const bool another = i >= N_UNSAFE, refuses = m == 0 || (m == 1 && !another);
            NEED_CUDA(cudaStreamBeginCapture(s, modes[m]));
            const cudaError_t got = another ? in_another_thread(i % N_UNSAFE) : unsafe[i]();
            NEED(got == (refuses ? cudaErrorStreamCaptureUnsupported : cudaSuccess));
            NEED(cudaStreamEndCapture(s, &graph) ==
                 (refuses ? cudaErrorStreamCaptureInvalidated : cudaSuccess));
            if (!refuses)
                NEED_CUDA(cudaGraphDestroy(graph));
        }
    /* the captured stream and its device, in any mode */
    NEED_CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed));
    NEED(cudaStreamQuery(s) == cudaErrorStreamCaptureUnsupported);
    NEED(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated);
    NEED_CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed));
    NEED(cudaDeviceSynchronize() == cudaErrorStreamCaptureUnsupported);
    NEED(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated);
}

static void *end_capture(void *s)
{
    static cudaError_t error;
    cudaGraph_t graph;
    error = cudaStreamEndCapture(s, &graph);
    return &error;
}

static void ended_in_another_thread(void)
{
    pthread_t thread;
    cudaStream_t s = stream();
    cudaGraph_t graph;
    void *error;
    NEED_CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    NEED(pthread_create(&thread, NULL, end_capture, s) == 0);
    NEED(pthread_join(thread, &error) == 0);
    NEED(*(cudaError_t *)error == cudaErrorStreamCaptureWrongThread);
    NEED_CUDA(cudaStreamEndCapture(s, &graph));
    NEED_CUDA(cudaGraphDestroy(graph));
}

/* a: +1, fork, b: copy to e, join, +1; the copy is of after the first and before the second. */
static void fork_and_join(bool join)
{
    cudaStream_t a = stream(), b = stream();
    cudaEvent_t forked, joined;
    int *d = to_device(NULL, N * sizeof(int)), *e = to_device(NULL, N * sizeof(int)), got[N];
    NEED_CUDA(cudaEventCreate(&forked));
    NEED_CUDA(cudaEventCreate(&joined));
    NEED_CUDA(cudaMemset(d, 0, N * sizeof(int)));
    NEED_CUDA(cudaDeviceSynchronize());
    NEED_CUDA(cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed));
    NEED_CUDA(test_add(d, N, 1, a));
    NEED_CUDA(cudaEventRecord(forked, a));
    NEED_CUDA(cudaStreamWaitEvent(b, forked, 0));
    NEED_CUDA(test_copy(d, e, N, b));
    NEED_CUDA(cudaEventRecord(joined, b));
    if (join)
        NEED_CUDA(cudaStreamWaitEvent(a, joined, 0));
    NEED_CUDA(test_add(d, N, 1, a));
    if (!join) /* only the end waits */
        NEED_CUDA(cudaStreamWaitEvent(a, joined, 0));
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    NEED_CUDA(cudaStreamEndCapture(a, &graph));
    NEED_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    NEED(cudaEventQuery(joined) == cudaErrorCapturedEvent);
    for (int i = 0; i < 8; i++) {
        NEED_CUDA(cudaGraphLaunch(exec, b));
        NEED_CUDA(cudaStreamSynchronize(b));
        from_device(got, e, sizeof got);
        NEED(got[0] == 2 * i + 1);
    }
    NEED_CUDA(cudaGraphExecDestroy(exec));
    NEED_CUDA(cudaGraphDestroy(graph));
}

static void forked(void)
{
    fork_and_join(true);
}

static void forked_without_join(void)
{
    fork_and_join(false);
}

static void refused(void)
{
    cudaStream_t a = stream(), b = stream(), blocking;
    cudaEvent_t e;
    cudaGraph_t graph;
    int *d = to_device(NULL, N * sizeof(int));
    NEED_CUDA(cudaEventCreate(&e));
    NEED(cudaStreamEndCapture(a, &graph) == cudaErrorIllegalState);
    NEED(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal) ==
         cudaErrorStreamCaptureUnsupported);
    /* a stream that was forked and not joined */
    NEED_CUDA(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    NEED_CUDA(cudaEventRecord(e, a));
    NEED_CUDA(cudaStreamWaitEvent(b, e, 0));
    NEED(cudaGetLastError() == cudaErrorStreamCaptureUnsupported);
    NEED_CUDA(test_add(d, N, 1, b));
    NEED(cudaStreamEndCapture(b, &graph) == cudaErrorStreamCaptureUnmatched);
    NEED(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureUnjoined && !graph);
    /* waiting for what is not run */
    NEED_CUDA(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    NEED(cudaStreamSynchronize(a) == cudaErrorStreamCaptureUnsupported);
    NEED(test_add(d, N, 1, a) == cudaErrorStreamCaptureInvalidated);
    NEED(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureInvalidated);
    /* memory, unless the capture does not mind */
    void *p;
    NEED_CUDA(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    NEED(cudaMalloc(&p, 10) == cudaErrorStreamCaptureUnsupported);
    NEED(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureInvalidated);
    NEED_CUDA(cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed));
    NEED_CUDA(cudaMalloc(&p, 10));
    NEED_CUDA(cudaStreamEndCapture(a, &graph));
    NEED_CUDA(cudaGraphDestroy(graph));
    /* the default stream, while a stream that it waits for is captured */
    NEED_CUDA(cudaStreamCreate(&blocking));
    NEED_CUDA(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeGlobal));
    NEED(cudaMemset(d, 0, 4) == cudaErrorStreamCaptureImplicit);
    NEED(cudaStreamEndCapture(blocking, &graph) == cudaErrorStreamCaptureInvalidated);
    /* all is well again */
    NEED(cudaGetLastError() == cudaErrorStreamCaptureInvalidated);
    NEED_CUDA(test_add(d, N, 1, a));
    NEED_CUDA(cudaStreamSynchronize(a));
}

static void recorded_and_run(void)
{
    for (int seed = 1; seed <= 3; seed++) {
        char settings[64];
        snprintf(settings, sizeof settings, "SIMGPU_SEED=%d", seed);
        expect_right(again, settings);
        expect_right(forked, settings);
    }
    expect_right(refused, "");
    expect_right(refused_by_mode, "");
    expect_right(ended_in_another_thread, "");
    expect_right(counted, "");
}

static void a_missing_dependency_shows(void)
{
    expect_death(forked_without_join, "", "not so: got[0] == 2 * i + 1", NULL);
}

SW_UNIT_TESTS({"recorded and run", recorded_and_run},
              {"a missing dependency shows", a_missing_dependency_shows})
