/*
 * The trace of a job: every rank's loading, computing, sending and waiting, once each, on one
 * clock, and the sums that agree with it; also when the job is stopped in the middle.
 */
#include "engine/scheduler.h"

#include "pipeline_job.h"
#include "unit.h"

#include <jansson.h>
#include <math.h>
#include <unistd.h>

#define RANKS 3
#define TEXTS 40

struct traced {
    const char *path;
    int stop_at, n_done;
    struct sw_times times[RANKS];
    int64_t batches;
};

static volatile sig_atomic_t stop_flag;

static enum sw_status take_end(void *owner, enum sw_finish finish)
{
    struct traced *t = owner;
    (void)finish;
    if (++t->n_done == t->stop_at)
        stop_flag = 1;
    return SW_OK;
}

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    struct traced *t = job->drive_context;
    const struct sw_scheduler_options options = {
        .driver = driver, .slots = 4, .context = job->context, .max_batch_tokens = job->chunk};
    static const int32_t ids[5] = {3, 1, 4, 1, 5};
    const struct sw_request request = {.ids = ids,
                                       .n_ids = 5,
                                       .score_from = 5,
                                       .max_new = 6,
                                       .sampling = sw_sampling_default(),
                                       .done = take_end,
                                       .owner = t};
    struct sw_scheduler *s;
    struct sw_scheduler_stats stats;
    SW_TRY(sw_driver_record(driver, t->path));
    SW_TRY(sw_scheduler_open(&options, &s));
    enum sw_status status = SW_OK;
    for (int i = 0; i < TEXTS && status == SW_OK; i++)
        status = sw_scheduler_submit(s, &request, NULL);
    while (status == SW_OK && !sw_scheduler_idle(s))
        status = sw_scheduler_step(s);
    sw_scheduler_stats(s, &stats);
    t->batches = stats.batches;
    sw_scheduler_close(s);
    if (status == SW_OK)
        status = sw_driver_stop(driver);
    memcpy(t->times, sw_driver_times(driver), sizeof t->times);
    return status;
}

static enum sw_status run_traced(struct traced *t)
{
    static const int32_t one = 1;
    struct job job = {.dir = SW_SOURCE_DIR "/tests/models/tiny/llama31",
                      .weights = SW_FORMAT_BF16,
                      .kv = SW_BF16,
                      .ranks = RANKS,
                      .threads = 1,
                      .chunk = 16,
                      .context = 16,
                      .slots = 4,
                      .drive = drive,
                      .drive_context = t,
                      .stop = &stop_flag,
                      .ids = &one,
                      .n_ids = 1};
    stop_flag = 0;
    const enum sw_status status = job_run(&job);
    job_free(&job);
    return status;
}

/* What a lane holds. */
struct lane {
    int n[4]; /* load, wait, compute, send */
    double seconds[4], end;
    bool named, overlaps;
};

static void read_event(const json_t *event, struct lane *lanes)
{
    static const char *const kinds[] = {"load", "wait", "compute", "send"};
    const char *name = json_string_value(json_object_get(event, "name"));
    const int rank = (int)json_integer_value(json_object_get(event, "pid"));
    CU_ASSERT_FATAL(name && rank >= 0 && rank < RANKS);
    struct lane *lane = &lanes[rank];
    if (strcmp(name, "process_name") == 0)
        lane->named = true;
    for (int k = 0; k < 4; k++)
        if (strcmp(name, kinds[k]) == 0) {
            const double ts = json_number_value(json_object_get(event, "ts"));
            const double dur = json_number_value(json_object_get(event, "dur"));
            lane->n[k]++;
            lane->seconds[k] += dur * 1e-6;
            lane->overlaps = lane->overlaps || ts < lane->end - 2 || ts < 0 || dur < 0;
            lane->end = ts + dur;
        }
}

static bool read_trace(const char *path, struct lane *lanes)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        printf("    %s:%d: %s\n", path, error.line, error.text);
    memset(lanes, 0, RANKS * sizeof *lanes);
    for (size_t i = 0; i < json_array_size(root); i++)
        read_event(json_array_get(root, i), lanes);
    const bool ok = root != NULL;
    json_decref(root);
    return ok;
}

static void every_activity_is_there(void)
{
    char path[] = "/tmp/spillway-timeline-XXXXXX";
    struct traced t = {.path = path};
    struct lane lanes[RANKS];
    const int file = mkstemp(path);
    CU_ASSERT_FATAL(file >= 0);
    close(file);
    CU_ASSERT_EQUAL(run_traced(&t), SW_OK);
    CU_ASSERT(read_trace(path, lanes));
    for (int r = 0; r < RANKS; r++) {
        CU_ASSERT(lanes[r].named && !lanes[r].overlaps);
        CU_ASSERT_EQUAL(lanes[r].n[SW_ACTIVITY_LOAD], 1);
        CU_ASSERT_EQUAL(lanes[r].n[SW_ACTIVITY_COMPUTE], t.batches);
        CU_ASSERT_EQUAL(lanes[r].n[SW_ACTIVITY_SEND], t.batches);
        CU_ASSERT(lanes[r].n[SW_ACTIVITY_WAIT] >= t.batches);
        CU_ASSERT_EQUAL(t.times[r].batches, t.batches);
        CU_ASSERT(t.times[r].is_final);
        for (int k = 0; k < 4; k++) /* a wait before the recording is in the sums only */
            CU_ASSERT(k == SW_ACTIVITY_WAIT
                          ? lanes[r].seconds[k] < t.times[r].seconds[k] + 1e-3
                          : fabs(lanes[r].seconds[k] - t.times[r].seconds[k]) < 1e-3);
    }
    const struct sw_times none = {0};
    const double busy = sw_times_busy(&none, &t.times[1]);
    CU_ASSERT(busy > 0 && busy < 1);
    remove(path);
}

static void a_stopped_job_leaves_a_trace(void)
{
    char path[] = "/tmp/spillway-timeline-XXXXXX";
    struct traced t = {.path = path, .stop_at = 8};
    struct lane lanes[RANKS];
    const int file = mkstemp(path);
    CU_ASSERT_FATAL(file >= 0);
    close(file);
    CU_ASSERT_EQUAL(run_traced(&t), SW_EINTERRUPTED);
    CU_ASSERT(read_trace(path, lanes));
    CU_ASSERT(lanes[0].n[SW_ACTIVITY_COMPUTE] > 0);
    remove(path);
}

static void stats_are_sent_before_they_are_full(void)
{
    struct sw_recorder r = {0};
    CU_ASSERT_EQUAL(sw_recorder_start(&r), SW_OK);
    r.reported = 100;
    int n = 0;
    while (!sw_recorder_is_due(&r, 100.5))
        sw_recorder_add(&r, SW_ACTIVITY_COMPUTE, n, n + 0.5, 2), n++;
    CU_ASSERT(n > SW_ACTIVITIES_MAX / 2 && n < SW_ACTIVITIES_MAX);
    for (int i = 0; i < 100; i++)
        sw_recorder_add(&r, SW_ACTIVITY_SEND, i, i + 1, 2);
    CU_ASSERT_EQUAL(r.n, SW_ACTIVITIES_MAX);
    CU_ASSERT_EQUAL(r.times.batches, n);
    CU_ASSERT_EQUAL(r.times.rows, 2 * n);
    CU_ASSERT_EQUAL(r.times.seconds[SW_ACTIVITY_SEND], 100);
    CU_ASSERT(sw_recorder_is_due(&r, 100.5));
    r.n = 0;
    CU_ASSERT(sw_recorder_is_due(&r, 101.5));
    sw_recorder_free(&r);
}

static void a_file_that_cannot_be_written(void)
{
    struct traced t = {.path = "/nonexistent/trace.json"};
    CU_ASSERT_EQUAL(run_traced(&t), SW_EIO);
    CU_ASSERT_EQUAL(t.n_done, 0);
    t.path = "/dev/full"; /* a warning, the work goes on */
    CU_ASSERT_EQUAL(run_traced(&t), SW_OK);
    CU_ASSERT_EQUAL(t.n_done, TEXTS);
}

SW_UNIT_TESTS({"every activity is there", every_activity_is_there},
              {"a stopped job leaves a trace", a_stopped_job_leaves_a_trace},
              {"stats are sent before they are full", stats_are_sent_before_they_are_full},
              {"a file that cannot be written", a_file_that_cannot_be_written})
