/*
 * Graphs that cannot be made: then kernels are launched one by one, a warning says why, and
 * nothing is lost; and graphs take no more than their room. On the simulated GPU, which counts.
 */
#include "gpulib_help.h"
#include "repeated.h"

#include "base/log.h"

#include <fcntl.h>
#include <simgpu.h>
#include <unistd.h>

static const int slot = 3;
static const int64_t position = 40;

/* Messages logged from here on go to a file, which is read back. */
static int log_file = -1, real_stderr = -1;

static void begin_log(void)
{
    char name[] = "/tmp/spillway_graphs_XXXXXX";
    log_file = mkstemp(name);
    (void)unlink(name);
    real_stderr = dup(STDERR_FILENO);
    (void)dup2(log_file, STDERR_FILENO);
}

static const char *end_log(void)
{
    static char text[4096];
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    const ssize_t n = pread(log_file, text, sizeof text - 1, 0);
    (void)close(log_file);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static struct layer one_row(struct sw_backend *b)
{
    struct layer k = layer_open(b, SW_FORMAT_F16);
    layer_rows(&k, &slot, &position, 1);
    return k;
}

/* A step of one row gives these bits. */
static void expect(float want[LAYER_HIDDEN])
{
    struct sw_backend *b = open_repeating(false);
    struct layer k = one_row(b);
    ok(layer_step(&k, 1, 5, want));
    layer_close(&k);
    b->ops->close(b);
}

/* The first step is launched, the second captured and run, later ones are a single call. */
static void one_call_a_step(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    float want[LAYER_HIDDEN], got[LAYER_HIDDEN];
    ok(layer_step(&k, 1, 5, want));
    ok(layer_step(&k, 1, 5, got));
    const unsigned long launches = simgpu_calls("launch"), graphs = simgpu_calls("cudaGraphLaunch");
    for (int i = 0; i < 10; i++) {
        ok(layer_step(&k, 1, 5, got));
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    }
    CU_ASSERT_EQUAL(simgpu_calls("launch"), launches);
    CU_ASSERT_EQUAL(simgpu_calls("cudaGraphLaunch"), graphs + 10);
    CU_ASSERT_EQUAL(k.enqueued, 2);
    CU_ASSERT_EQUAL(replays_of(&k), 10);
    layer_close(&k);
    b->ops->close(b);
}

/* Steps go on, one by one, after a failure of `function` in its call number `nth` from the second
 * step on; `bad_upload` as in struct layer. */
static void goes_on(const char *function, int nth, int bad_upload, const char *why)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    float want[LAYER_HIDDEN], got[LAYER_HIDDEN];
    expect(want);
    ok(layer_step(&k, 1, 5, got));
    k.bad_upload = bad_upload;
    if (function)
        simgpu_fail(function, nth, 2);
    begin_log();
    for (int i = 0; i < 6; i++) {
        ok(layer_step(&k, 1, 5, got));
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    }
    const char *text = end_log(), *first = strstr(text, "cannot be repeated as CUDA graphs");
    if (!first || !strstr(first, why))
        printf("    %s: %s\n", function ? function : "an upload", text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT(strstr(first, why) != NULL);
    CU_ASSERT(strstr(text, "GPU 0") != NULL);
    CU_ASSERT(strstr(first + 1, "cannot be repeated") == NULL); /* logged once */
    CU_ASSERT(replays_of(&k) <= 2);
    layer_close(&k);
    b->ops->close(b);
}

static void failures_of_graphs(void)
{
    goes_on("cudaStreamBeginCapture", 1, 0, "at cudaStreamBeginCapture");
    goes_on("launch", 1, 0, "out of memory");
    goes_on("launch", 5, 0, "out of memory");
    goes_on("cudaGraphGetNodes", 1, 0, "at cudaGraphGetNodes");
    goes_on("cudaGraphInstantiate", 1, 0, "at cudaGraphInstantiate");
    goes_on("cudaGraphLaunch", 1, 0, "at cudaGraphLaunch");
    goes_on("cudaGraphLaunch", 3, 0, "at cudaGraphLaunch");
    /* Enqueueing number 2 captures, and this cannot be captured. */
    goes_on(NULL, 0, 2, "something from host memory cannot be captured in a CUDA graph");
}

/* Of the device, while a graph runs. */
static void failures_of_the_device(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    float out[LAYER_HIDDEN];
    for (int i = 0; i < 3; i++)
        ok(layer_step(&k, 1, 5, out));
    simgpu_fail("operation", 2, 719); /* the upload is the first */
    CU_ASSERT_EQUAL(layer_step(&k, 1, 5, out), SW_EDEVICE);
    CU_ASSERT(strstr(sw_error_message(), "cudaErrorLaunchFailure") != NULL);
    CU_ASSERT_EQUAL(b->gpu->replay(b, &(struct sw_gpu_sequence){0}), SW_EDEVICE);
    b->ops->close(b);
    CU_ASSERT_EQUAL(cudaDeviceReset(), cudaSuccess);
}

/* A capture that does not end would take all that follows. The device is lost with it. */
static void a_recording_that_does_not_end(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    float out[LAYER_HIDDEN];
    ok(layer_step(&k, 1, 5, out));
    simgpu_fail("cudaStreamEndCapture", 1, 2);
    CU_ASSERT_NOT_EQUAL(layer_step(&k, 1, 5, out), SW_OK);
    CU_ASSERT(strstr(sw_error_message(), "at cudaStreamEndCapture") != NULL);
    CU_ASSERT_NOT_EQUAL(b->ops->sync(b), SW_OK);
    b->ops->close(b);
}

/* A failure of the caller is returned, and the caller can go on. */
static void failures_of_the_caller(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    float want[LAYER_HIDDEN], got[LAYER_HIDDEN];
    ok(layer_step(&k, 1, 5, want));
    for (int i = 0; i < 3; i++) {
        const int enqueued = k.enqueued;
        k.fails = SW_EPEER;
        CU_ASSERT_EQUAL(layer_step(&k, 1, 5, got), SW_EPEER);
        CU_ASSERT_EQUAL(k.enqueued, enqueued + 1);
    }
    k.fails = SW_OK;
    for (int i = 0; i < 4; i++) {
        ok(layer_step(&k, 1, 5, got));
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    }
    CU_ASSERT_EQUAL(replays_of(&k), 3);
    layer_close(&k);
    b->ops->close(b);
}

/* ---- room: 2048 nodes */

static unsigned long kept(void)
{
    return simgpu_calls("cudaGraphInstantiate") - simgpu_calls("cudaGraphExecDestroy");
}

/* More graphs in turn than there is room for: those that were there first stay, until they have not
 * been used for a while. */
static void no_more_than_its_room(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    const unsigned long before = kept(), made = simgpu_calls("cudaGraphInstantiate");
    float want[LAYER_HIDDEN], got[LAYER_HIDDEN];
    k.more = 300;
    ok(layer_step(&k, -1, 5, want));
    for (int i = 0; i < 60; i++) {
        ok(layer_step(&k, i % 10, 5, got));
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    }
    CU_ASSERT_EQUAL(kept() - before, 6);
    CU_ASSERT_EQUAL(simgpu_calls("cudaGraphInstantiate") - made, 6);
    CU_ASSERT_EQUAL(replays_of(&k), 6 * 4);
    for (int i = 0; i < 70; i++)
        ok(layer_step(&k, 9, 5, got));
    CU_ASSERT_EQUAL(kept() - before, 6); /* its own, and another's is gone */
    CU_ASSERT_EQUAL(simgpu_calls("cudaGraphInstantiate") - made, 7);
    k.more = 3000; /* never */
    for (int i = 0; i < 4; i++)
        ok(layer_step(&k, 20, 5, got));
    CU_ASSERT_EQUAL(simgpu_calls("cudaGraphInstantiate") - made, 7);
    layer_close(&k);
    CU_ASSERT_EQUAL(kept(), before);
    b->ops->close(b);
}

/* More kinds of steps than there are places. */
static void many_kinds(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = one_row(b);
    float want[LAYER_HIDDEN], got[LAYER_HIDDEN];
    ok(layer_step(&k, -1, 5, want));
    for (int i = 0; i < 160; i++) {
        ok(layer_step(&k, i % 40, 5, got));
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    }
    /* One place is the first's, until it has not been used for long. */
    CU_ASSERT_EQUAL(replays_of(&k), 31 * 2 + 1);
    layer_close(&k);
    b->ops->close(b);
}

SW_UNIT_TESTS({"one call a step", one_call_a_step}, {"failures of graphs", failures_of_graphs},
              {"failures of the device", failures_of_the_device},
              {"failures of the caller", failures_of_the_caller},
              {"no more than its room", no_more_than_its_room}, {"many kinds", many_kinds},
              {"a recording that does not end", a_recording_that_does_not_end})
