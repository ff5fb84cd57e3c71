/*
 * Links between GPUs as the library has them: rows arrive, and whatever another rank does not do
 * ends in a message within the deadline, after which the device can be given back.
 */
#include "gpulib_help.h"

#include "base/clock.h"

#include <pthread.h>
#include <simgpu.h>

#define ROWS 6
#define HIDDEN 96
#define COUNT (ROWS * HIDDEN)
#define PATIENCE 300.0

struct end {
    struct sw_gpu_link_id id;
    int rank, size, device;
    void (*body)(struct end *e);
    struct sw_backend *b;
    const struct sw_gpu_link_ops *ops;
    float *d_x; /* (ROWS, HIDDEN) */
    enum sw_status status;
    char error[SW_ERROR_MAX];
    double took;
};

static void *run_end(void *context)
{
    struct end *e = context;
    float rows[COUNT];
    e->ops = gpu_library()->links();
    e->b = open_gpu(e->device);
    for (int i = 0; i < COUNT; i++)
        rows[i] = (float)(1000 * e->rank + i);
    e->d_x = copied_floats(e->b, rows, COUNT);
    e->body(e);
    snprintf(e->error, sizeof e->error, "%s", sw_error_message());
    e->ops->leave(e->b);
    e->b->ops->free(e->b, e->d_x, sizeof rows);
    e->b->ops->close(e->b);
    return NULL;
}

static void run_ends(struct end *ends, int n, void (*body)(struct end *e))
{
    pthread_t threads[4];
    struct sw_gpu_link_id id;
    CU_ASSERT_TRUE(gpu_library()->links()->version() > 20000);
    ok(gpu_library()->links()->make_id(&id));
    for (int r = 0; r < n; r++) {
        const int device = ends[r].device;
        ends[r] = (struct end){.id = id, .rank = r, .size = 2, .device = device, .body = body};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[r], NULL, run_end, &ends[r]), 0);
    }
    for (int r = 0; r < n; r++)
        pthread_join(threads[r], NULL);
    for (int r = 0; r < n; r++)
        CU_ASSERT_EQUAL(simgpu_used(ends[r].device), 0);
}

static enum sw_status start(struct end *e, double seconds)
{
    SW_TRY(e->ops->join(e->b, &e->id, e->rank, e->size, seconds));
    return e->ops->warm_up(e->b, e->rank ? 0 : -1, e->rank ? -1 : 1, seconds);
}

static void pass_rows(struct end *e)
{
    e->status = start(e, PATIENCE);
    for (int i = 0; i < 4 && e->status == SW_OK; i++)
        e->status = e->rank ? e->ops->receive(e->b, 0, e->d_x, COUNT)
                            : e->ops->send(e->b, 1, e->d_x, COUNT);
    float *got = taken(e->b, e->d_x, COUNT);
    for (int i = 0; i < COUNT; i++)
        if (got[i] != (float)i)
            e->status = SW_EDEVICE;
    free(got);
    e->d_x = NULL;
}

static void rows_arrive(void)
{
    struct end ends[2] = {{.device = 0}, {.device = 1}};
    run_ends(ends, 2, pass_rows);
    CU_ASSERT_EQUAL(ends[0].status, SW_OK);
    CU_ASSERT_EQUAL(ends[1].status, SW_OK);
}

/* ---- a peer that makes no matching call */

static enum sw_status refuse(void *context)
{
    const double *until = context;
    return sw_clock() < *until ? SW_OK : sw_fail(SW_EINTERRUPTED, "the job has come to its end");
}

static void send_to_nobody(struct end *e)
{
    const struct sw_gpu_wait_hook short_one = {.seconds = 0.7};
    e->status = start(e, PATIENCE);
    if (e->rank || e->status != SW_OK)
        return;
    e->b->ops->sync(e->b);
    e->b->gpu->set_wait_hook(e->b, &short_one);
    const double began = sw_clock();
    e->status = e->ops->send(e->b, 1, e->d_x, COUNT);
    CU_ASSERT_EQUAL(e->status, SW_OK); /* only enqueued */
    e->status = e->b->ops->sync(e->b);
    e->took = sw_clock() - began;
    CU_ASSERT_EQUAL(e->b->ops->sync(e->b), e->status); /* it stays */
}

/* A stage first waits for a download: that wait must not be inside CUDA. */
static void download_behind(struct end *e, size_t bytes)
{
    const struct sw_gpu_wait_hook short_one = {.seconds = 0.7};
    void *d = room(e->b, bytes), *host = malloc(bytes);
    e->status = start(e, PATIENCE);
    if (e->rank == 0 && e->status == SW_OK) {
        ok(e->b->ops->sync(e->b));
        e->b->gpu->set_wait_hook(e->b, &short_one);
        (void)e->ops->send(e->b, 1, e->d_x, COUNT);
        const double began = sw_clock();
        e->status = e->b->ops->download(e->b, host, d, bytes);
        e->took = sw_clock() - began;
    }
    free(host);
    e->b->ops->free(e->b, d, bytes);
}

static void download_little(struct end *e)
{
    download_behind(e, 64);
}

static void download_much(struct end *e)
{
    download_behind(e, (size_t)3 << 20);
}

static void never_received_before(void (*download)(struct end *e))
{
    struct end ends[2] = {{.device = 0}, {.device = 1}};
    run_ends(ends, 2, download);
    CU_ASSERT_EQUAL(ends[0].status, SW_EPEER);
    CU_ASSERT_TRUE(ends[0].took > 0.6 && ends[0].took < 100);
    CU_ASSERT_PTR_NOT_NULL(strstr(ends[0].error, "another rank's GPU does not take part"));
    CU_ASSERT_EQUAL(ends[1].status, SW_OK);
}

static void never_received_before_little(void)
{
    never_received_before(download_little);
}

static void never_received_before_much(void)
{
    never_received_before(download_much);
}

static void never_received(void)
{
    struct end ends[2] = {{.device = 0}, {.device = 1}};
    run_ends(ends, 2, send_to_nobody);
    CU_ASSERT_EQUAL(ends[0].status, SW_EPEER);
    CU_ASSERT_TRUE(ends[0].took > 0.6 && ends[0].took < 100);
    CU_ASSERT_PTR_NOT_NULL(strstr(ends[0].error, "another rank's GPU does not take part"));
    CU_ASSERT_EQUAL(ends[1].status, SW_OK);
}

static void send_until_stopped(struct end *e)
{
    double until = sw_clock() + 600;
    const struct sw_gpu_wait_hook hook = {.step = refuse, .context = &until};
    e->status = start(e, PATIENCE);
    if (e->rank || e->status != SW_OK)
        return;
    e->b->gpu->set_wait_hook(e->b, &hook);
    (void)e->ops->send(e->b, 1, e->d_x, COUNT);
    const double began = sw_clock();
    until = began + 0.5;
    e->status = e->b->ops->sync(e->b);
    e->took = sw_clock() - began;
}

static void the_job_ends(void)
{
    struct end ends[2] = {{.device = 0}, {.device = 1}};
    run_ends(ends, 2, send_until_stopped);
    CU_ASSERT_EQUAL(ends[0].status, SW_EINTERRUPTED);
    CU_ASSERT_STRING_EQUAL(ends[0].error, "the job has come to its end");
    CU_ASSERT_TRUE(ends[0].took >= 0.5 && ends[0].took < 100);
}

/* The next call of any rank gets the fault: the other rank makes none before it was noticed. */
static pthread_barrier_t both;

static void send_and_fail(struct end *e)
{
    e->status = start(e, PATIENCE);
    pthread_barrier_wait(&both);
    if (e->rank == 0 && e->status == SW_OK) {
        (void)e->ops->send(e->b, 1, e->d_x, COUNT);
        simgpu_fail("ncclCommGetAsyncError", 1, 6);
        e->status = e->b->ops->sync(e->b);
    }
    pthread_barrier_wait(&both);
}

static void nccl_reports_it(void)
{
    struct end ends[2] = {{.device = 0}, {.device = 1}};
    pthread_barrier_init(&both, NULL, 2);
    run_ends(ends, 2, send_and_fail);
    pthread_barrier_destroy(&both);
    CU_ASSERT_EQUAL(ends[0].status, SW_EPEER);
    CU_ASSERT_PTR_NOT_NULL(strstr(ends[0].error, "remote process exited"));
}

/* ---- at the start, after which the device goes on without links */

static void join_for(struct end *e, double seconds)
{
    const double began = sw_clock();
    e->status = start(e, seconds);
    snprintf(e->error, sizeof e->error, "%s", sw_error_message());
    e->took = sw_clock() - began;
    ok(e->b->ops->sync(e->b));
    float *got = taken(e->b, e->d_x, COUNT);
    CU_ASSERT_EQUAL(got[1], (float)(1000 * e->rank + 1));
    free(got);
    e->d_x = NULL;
}

static void join_alone(struct end *e)
{
    join_for(e, 0.7);
}

static void join_twice(struct end *e)
{
    join_for(e, PATIENCE); /* the other may come late */
}

static void nobody_joins(void)
{
    struct end end = {.device = 0};
    run_ends(&end, 1, join_alone);
    CU_ASSERT_EQUAL(end.status, SW_EPEER);
    CU_ASSERT_TRUE(end.took > 0.6 && end.took < 100);
}

static void one_gpu_twice(void)
{
    struct end ends[2] = {{.device = 1}, {.device = 1}};
    run_ends(ends, 2, join_twice);
    CU_ASSERT_EQUAL(ends[0].status, SW_EDEVICE);
    CU_ASSERT_EQUAL(ends[1].status, SW_EDEVICE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ends[0].error, "Duplicate GPU detected"));
}

static void warm_up_alone(struct end *e)
{
    e->status = e->ops->join(e->b, &e->id, e->rank, e->size, PATIENCE);
    if (e->status == SW_OK && e->rank == 0)
        e->status = e->ops->warm_up(e->b, -1, 1, 0.7);
    ok(e->b->ops->sync(e->b));
}

static void nobody_warms_up(void)
{
    struct end ends[2] = {{.device = 0}, {.device = 1}};
    run_ends(ends, 2, warm_up_alone);
    CU_ASSERT_EQUAL(ends[0].status, SW_EPEER);
    CU_ASSERT_EQUAL(ends[1].status, SW_OK);
}

SW_UNIT_TESTS({"rows arrive", rows_arrive}, {"never received", never_received},
              {"never received, before a small download", never_received_before_little},
              {"never received, before a large download", never_received_before_much},
              {"the job ends", the_job_ends}, {"NCCL reports it", nccl_reports_it},
              {"nobody joins", nobody_joins}, {"one GPU twice", one_gpu_twice},
              {"nobody warms up", nobody_warms_up})
