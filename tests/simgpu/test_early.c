/* Kernels that begin before the one before them has ended: what they do until they wait for it. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <pthread.h>

enum { N = 250, ROUNDS = 20 }; /* the last block is not full */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void pass(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
}

/* a, b and c in device memory, and what is in them. */
struct world {
    cudaStream_t s;
    int *a, *b, *c, got[N];
};

static struct world make(void)
{
    struct world w = {.a = to_device(NULL, N * sizeof(int)),
                      .b = to_device(NULL, N * sizeof(int)),
                      .c = to_device(NULL, N * sizeof(int))};
    NEED_CUDA(cudaStreamCreateWithFlags(&w.s, cudaStreamNonBlocking));
    return w;
}

static bool all(struct world *w, const int *d, int value)
{
    NEED_CUDA(cudaStreamSynchronize(w->s));
    from_device(w->got, d, sizeof w->got);
    for (int i = 0; i < N; i++)
        if (w->got[i] != value)
            return false;
    return true;
}

/* b = a + 1, c = b + 1, a = c + 1, by kernels of which the second is of a kind. They are all there
 * before the first runs. */
static void chain(enum test_beginning kind, bool graph)
{
    struct world w = make();
    cudaGraph_t recorded;
    cudaGraphExec_t exec = NULL;
    NEED_CUDA(cudaMemset(w.a, 0, N * sizeof(int)));
    NEED_CUDA(cudaMemset(w.b, 0, N * sizeof(int)));
    NEED_CUDA(cudaDeviceSynchronize());
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&lock);
        NEED_CUDA(cudaLaunchHostFunc(w.s, pass, NULL));
        if (graph && !exec)
            NEED_CUDA(cudaStreamBeginCapture(w.s, cudaStreamCaptureModeGlobal));
        if (!exec) {
            NEED_CUDA(test_next(TEST_AWAITS, false, w.a, w.b, N, w.s));
            NEED_CUDA(test_next(kind, false, w.b, w.c, N, w.s));
            NEED_CUDA(test_next(TEST_AWAITS, false, w.c, w.a, N, w.s));
        }
        if (graph && !exec) {
            NEED_CUDA(cudaStreamEndCapture(w.s, &recorded));
            NEED_CUDA(cudaGraphInstantiate(&exec, recorded, 0));
            NEED_CUDA(cudaGraphDestroy(recorded));
        }
        if (exec)
            NEED_CUDA(cudaGraphLaunch(exec, w.s));
        pthread_mutex_unlock(&lock);
        NEED(all(&w, w.a, 3 * (round + 1)));
    }
    if (exec)
        NEED_CUDA(cudaGraphExecDestroy(exec));
}

static void right_chain(void)
{
    chain(TEST_AWAITS, false);
}
static void right_graph(void)
{
    chain(TEST_AWAITS, true);
}
static void early_read(void)
{
    chain(TEST_READS_BEFORE, false);
}
static void early_read_in_graph(void)
{
    chain(TEST_READS_BEFORE, true);
}
static void leaves(void)
{
    chain(TEST_LEAVES_BEFORE, false);
}

/* What the second one writes is what the first one reads. */
static void early_write(void)
{
    struct world w = make();
    for (int round = 0; round < ROUNDS; round++) {
        NEED_CUDA(cudaMemset(w.a, 0, N * sizeof(int)));
        NEED_CUDA(cudaMemset(w.c, 0, N * sizeof(int)));
        NEED_CUDA(cudaDeviceSynchronize());
        pthread_mutex_lock(&lock);
        NEED_CUDA(cudaLaunchHostFunc(w.s, pass, NULL));
        NEED_CUDA(test_next(TEST_AWAITS, false, w.a, w.b, N, w.s));
        NEED_CUDA(test_next(TEST_WRITES_BEFORE, false, w.c, w.a, N, w.s));
        pthread_mutex_unlock(&lock);
        NEED(all(&w, w.b, 1));
    }
}

/* Nothing is early behind a copy, an event's other stream, or a kernel launched in order. */
static void nothing_early(void)
{
    struct world w = make();
    int *h;
    cudaEvent_t done;
    cudaStream_t other;
    NEED_CUDA(cudaMallocHost((void **)&h, N * sizeof(int)));
    NEED_CUDA(cudaEventCreate(&done));
    NEED_CUDA(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++)
            h[i] = 7 * round;
        pthread_mutex_lock(&lock);
        NEED_CUDA(cudaLaunchHostFunc(w.s, pass, NULL));
        NEED_CUDA(cudaMemcpyAsync(w.b, h, N * sizeof(int), cudaMemcpyHostToDevice, w.s));
        NEED_CUDA(test_next(TEST_READS_BEFORE, false, w.b, w.c, N, w.s));
        NEED_CUDA(test_next(TEST_READS_BEFORE, true, w.c, w.a, N, w.s));
        NEED_CUDA(test_next(TEST_READS_BEFORE, false, w.a, w.b, N, w.s));
        NEED_CUDA(cudaEventRecord(done, w.s));
        NEED_CUDA(cudaStreamWaitEvent(other, done, 0));
        NEED_CUDA(test_next(TEST_READS_BEFORE, false, w.b, w.c, N, other));
        NEED_CUDA(cudaEventRecord(done, other));
        NEED_CUDA(cudaStreamWaitEvent(w.s, done, 0));
        NEED_CUDA(test_next(TEST_READS_BEFORE, false, w.c, w.a, N, w.s));
        pthread_mutex_unlock(&lock);
        NEED(all(&w, w.a, 7 * round + 5));
    }
}

/* A kernel after another one's early block finds its own shared memory and its own threads. */
static void beside_others(void)
{
    struct world w = make();
    static float x[1000];
    float sum = 0, got;
    for (int i = 0; i < 1000; i++)
        sum += x[i] = (float)(i % 17);
    const float *d_x = to_device(x, sizeof x);
    float *d_out = to_device(NULL, sizeof got);
    for (int round = 0; round < ROUNDS; round++) {
        NEED_CUDA(cudaMemsetAsync(w.a, 0, N * sizeof(int), w.s));
        for (int i = 0; i < 3; i++) {
            NEED_CUDA(test_next(TEST_AWAITS, false, w.a, w.b, N, w.s));
            NEED_CUDA(test_next(TEST_AWAITS, false, w.b, w.a, N, w.s));
        }
        NEED_CUDA(test_sum_in_order(d_x, 1000, d_out, NULL)); /* in another stream */
        NEED(all(&w, w.a, 6));
        from_device(&got, d_out, sizeof got);
        NEED(got == sum);
    }
}

/* Blocks of all the threads that a block can have, several of them begun at once. */
static void wide(void)
{
    enum { MANY = 3000 };
    struct world w = make();
    static int got[MANY];
    int *x = to_device(NULL, sizeof got), *y = to_device(NULL, sizeof got);
    NEED_CUDA(cudaMemset(x, 0, sizeof got));
    NEED_CUDA(cudaDeviceSynchronize());
    for (int round = 1; round <= ROUNDS; round++) {
        pthread_mutex_lock(&lock);
        NEED_CUDA(cudaLaunchHostFunc(w.s, pass, NULL));
        for (int i = 0; i < 3; i++) {
            NEED_CUDA(test_next(TEST_AWAITS, false, x, y, MANY, w.s));
            NEED_CUDA(test_next(TEST_AWAITS, false, y, x, MANY, w.s));
        }
        pthread_mutex_unlock(&lock);
        NEED_CUDA(cudaStreamSynchronize(w.s));
        from_device(got, x, sizeof got);
        for (int i = 0; i < MANY; i++)
            NEED(got[i] == 6 * round);
    }
}

static void right_ways(void)
{
    for (int seed = 1; seed <= 4; seed++) {
        char settings[64];
        snprintf(settings, sizeof settings, "SIMGPU_ARCH=90 SIMGPU_SEED=%d", seed);
        expect_right(right_chain, settings);
        expect_right(right_graph, settings);
        expect_right(nothing_early, settings);
        expect_right(beside_others, settings);
        expect_right(wide, settings);
    }
}

static void found(void)
{
    static const char *const settings[] = {"SIMGPU_ARCH=90", "SIMGPU_ARCH=120 SIMGPU_SEED=9"};
    const char *race = "data race"; /* the thread sanitizer sees it before the data tell */
    for (int i = 0; i < 2; i++) {
        expect_death(early_read, settings[i], "not so: all(&w, w.a, 3 * (round + 1))", race);
        expect_death(early_read_in_graph, settings[i], "not so: all(&w, w.a, 3 * (round + 1))",
                     race);
        expect_death(early_write, settings[i], "not so: all(&w, w.b, 1)", race);
        expect_death(leaves, settings[i], "kernel leaves_before, block (3,0,0), thread (",
                     "await_previous");
    }
}

/* Where there is no such thing, all that is in order. */
static void older_devices(void)
{
    expect_right(early_read, "SIMGPU_ARCH=89");
    expect_right(early_write, "SIMGPU_ARCH=89");
    expect_right(leaves, "SIMGPU_ARCH=89");
}

SW_UNIT_TESTS({"right ways", right_ways}, {"what is too early is found", found},
              {"older devices", older_devices})
