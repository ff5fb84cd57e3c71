/*
 * Whole jobs of a few hundred lines over two stages in threads: stopped in the middle and resumed,
 * they give what they give undisturbed. Under AddressSanitizer this is the test for leaks, of
 * finished requests and of ones dropped under way.
 */
#include "engine/pipeline_job.h"
#include "jobs/batch_task.h"
#include "jobs/jsonl_reader.h"
#include "jobs/score_task.h"
#include "unit.h"

#include <unistd.h>

#define LINES 300
#define MODEL SW_SOURCE_DIR "/tests/models/shakespeare"

static char folder[] = "/tmp/sw-job-XXXXXX";

/* One run of a job; stops when `stop_after` results are written (0: never). */
struct run {
    const struct sw_job_task *task;
    void *owner;
    const char *out;
    int64_t stop_after;
    struct sw_results_count count;
    bool left;
};

static const char *path_of(const char *name)
{
    static char paths[4][64];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static enum sw_status tick(struct sw_job *job)
{
    const struct run *run = job->context;
    const int64_t n = sw_results_count(job->results).written;
    return run->stop_after > 0 && n >= run->stop_after ? sw_fail(SW_EINTERRUPTED, "enough") : SW_OK;
}

static enum sw_status run_over(struct run *run, struct job *j, struct sw_driver *driver,
                               struct sw_results *results)
{
    const struct sw_scheduler_options options = {
        .driver = driver, .slots = j->slots, .context = j->context, .max_batch_tokens = j->chunk};
    struct sw_job job = {.task = run->task,
                         .owner = run->owner,
                         .in = path_of("in.jsonl"),
                         .results = results,
                         .tick = tick,
                         .context = run};
    enum sw_status status = sw_scheduler_open(&options, &job.scheduler);
    if (status == SW_OK)
        status = sw_job_open(&job, &run->left);
    if (status == SW_OK && run->left)
        status = sw_job_run(&job);
    sw_job_close(&job);
    sw_scheduler_close(job.scheduler);
    return status;
}

static enum sw_status drive(struct job *j, struct sw_driver *driver)
{
    struct run *run = j->drive_context;
    const struct sw_input_scan scan = {.begin = "x"};
    struct sw_results *results = NULL;
    json_t *manifest =
        json_pack("{s:s, s:{s:s, s:i, s:s}, s:{s:s, s:s}, s:{}}", "verb", "test", "input", "path",
                  "in", "bytes", 1, "digest", "x", "model", "name", "m", "digest", "d", "options");
    enum sw_status status = sw_results_open(run->out, &results);
    if (status == SW_OK)
        status = sw_results_begin(results, manifest, &scan, SW_RESULTS_RESUME);
    json_decref(manifest);
    if (status == SW_OK)
        status = run_over(run, j, driver, results);
    if (status == SW_OK)
        run->count = sw_results_count(results);
    sw_results_close(results);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

static enum sw_status run_job(struct run *run)
{
    struct job job = {.dir = MODEL,
                      .weights = SW_FORMAT_BF16,
                      .kv = SW_BF16,
                      .ranks = 2,
                      .threads = 1,
                      .chunk = 32,
                      .context = 64,
                      .slots = 8,
                      .drive = drive,
                      .drive_context = run};
    const enum sw_status status = job_run(&job);
    if (status != SW_OK && status != SW_EINTERRUPTED)
        puts(job.error);
    job_free(&job);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a file, sorted. */
static char *sorted(const char *path, int *n)
{
    char *bytes, *lines[2 * LINES], *all;
    size_t length, used = 0;
    *n = 0;
    CU_ASSERT_EQUAL_FATAL(sw_file_read(path, 1u << 30, &bytes, &length), SW_OK);
    for (char *at = strtok(bytes, "\n"); at && *n < 2 * LINES; at = strtok(NULL, "\n"))
        lines[(*n)++] = at;
    qsort(lines, (size_t)*n, sizeof *lines, compare);
    all = malloc(length + 1);
    for (int i = 0; i < *n; i++)
        used += (size_t)sprintf(all + used, "%s\n", lines[i]);
    free(bytes);
    return all;
}

static void stopped_and_resumed(const struct sw_job_task *task, void *owner, int64_t failed)
{
    struct run whole = {.task = task, .owner = owner, .out = path_of("whole.jsonl")};
    CU_ASSERT_EQUAL_FATAL(run_job(&whole), SW_OK);
    CU_ASSERT_EQUAL(whole.count.safe, LINES);
    CU_ASSERT_EQUAL(whole.count.written_failed, failed);
    char *torn_path = strdup(path_of("torn.jsonl"));
    struct run torn = {.task = task, .owner = owner, .out = torn_path};
    for (int64_t enough = 40; enough < 160; enough += 80) {
        torn.stop_after = enough;
        CU_ASSERT_EQUAL(run_job(&torn), SW_EINTERRUPTED);
    }
    torn.stop_after = 0;
    CU_ASSERT_EQUAL_FATAL(run_job(&torn), SW_OK);
    CU_ASSERT_EQUAL(torn.count.found + torn.count.safe, LINES);
    CU_ASSERT(torn.count.found >= 160 && torn.count.found < LINES);
    CU_ASSERT_EQUAL(run_job(&torn), SW_OK);
    CU_ASSERT_FALSE(torn.left);
    int n, m;
    char *a = sorted(path_of("whole.jsonl"), &n), *b = sorted(torn_path, &m);
    CU_ASSERT(n == LINES && m == LINES);
    CU_ASSERT_STRING_EQUAL(a, b);
    free(a);
    free(b);
    free(torn_path);
}

static FILE *begin_test(void)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder))
        abort();
    return fopen(path_of("in.jsonl"), "w");
}

static void end_test(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void batch(void)
{
    FILE *in = begin_test();
    struct sw_batch_job owner = {.defaults = {.max_tokens = 4, .sampling = sw_sampling_default()},
                                 .no_chat = "no template",
                                 .model = "m",
                                 .vocab = 1024};
    int64_t failed = 0;
    for (int i = 0; i < LINES; i++)
        if (i % 10 == 9)
            failed += fprintf(in, "{\"id\":%d,\"prompt\":%d}\n", i, i) > 0;
        else
            fprintf(in, "{\"id\":%d,\"prompt\":\"KING HENRY %d:\",\"max_tokens\":%d%s}\n", i, i % 7,
                    1 + i % 9,
                    i % 4 == 1   ? ",\"temperature\":1,\"logprobs\":2"
                    : i % 4 == 2 ? ",\"stop\":[\"e\",\"\\n\"]"
                                 : "");
    fclose(in);
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(MODEL, &owner.tokenizer), SW_OK);
    stopped_and_resumed(&sw_batch_task, &owner, failed);
    CU_ASSERT_PTR_NULL(owner.items);
    sw_tokenizer_close(owner.tokenizer);
    end_test();
}

static void score(void)
{
    FILE *in = begin_test();
    struct sw_score_job owner = {.context = 64, .vocab = 1024};
    int64_t failed = 0;
    for (int i = 0; i < LINES; i++)
        if (i % 10 == 9)
            failed += fprintf(in, "{\"id\":%d,\"context\":\"\"}\n", i) > 0;
        else if (i % 3 == 0)
            fprintf(in, "{\"id\":%d,\"text\":\"Now is the winter %*d of\"}\n", i, i, i);
        else
            fprintf(in, "{\"id\":%d,\"context\":\"To be %d\",%s}\n", i, i % 5,
                    i % 3 == 1 ? "\"continuation\":\" or not to be\""
                               : "\"choices\":[\" or\",\" and then\",\"!\"]");
    fclose(in);
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(MODEL, &owner.tokenizer), SW_OK);
    stopped_and_resumed(&sw_score_task, &owner, failed);
    CU_ASSERT_PTR_NULL(owner.items);
    sw_tokenizer_close(owner.tokenizer);
    end_test();
}

SW_UNIT_TESTS({"batch", batch}, {"score", score})
