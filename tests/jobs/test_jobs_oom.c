/*
 * Every allocation of a small job fails once, then there are too few descriptors, one more each
 * time: the job ends with a status and a message or gives what it gives undisturbed, never anything
 * else; nothing leaks (ASan looks on); and a run without failures goes on from what is left. The
 * linker sends our own calls to __wrap_… (tests/CMakeLists.txt); jansson is given its allocator.
 * The scheduler here is a few lines that answer every request at once.
 */
#include "failing.h"
#include "jobs/batch_task.h"
#include "jobs/identity.h"
#include "jobs/input_scan.h"
#include "jobs/score_task.h"
#include "unit.h"

#include <sys/resource.h>
#include <unistd.h>

/* Requests in a row, answered one a step. */
struct sw_scheduler {
    struct sw_request queue[16];
    int n;
};

enum sw_status sw_scheduler_submit(struct sw_scheduler *s, const struct sw_request *request,
                                   uint64_t *handle)
{
    (void)handle;
    s->queue[s->n++] = *request;
    return SW_OK;
}

const int32_t *sw_scheduler_start(const struct sw_scheduler *s)
{
    (void)s;
    return NULL;
}

int sw_scheduler_room(const struct sw_scheduler *s)
{
    return 4 - s->n;
}

bool sw_scheduler_idle(const struct sw_scheduler *s)
{
    return s->n == 0;
}

enum sw_status sw_scheduler_step(struct sw_scheduler *s)
{
    if (s->n == 0)
        return SW_OK;
    const struct sw_request r = s->queue[0];
    memmove(s->queue, s->queue + 1, (size_t)--s->n * sizeof r);
    bool stop = false;
    for (int i = r.score_from; r.scored && i < r.n_ids; i++) {
        const struct sw_sampled score = {.id = r.ids[i], .logprob = -0.5f};
        SW_TRY(r.scored(r.owner, i, &score, i % 2));
    }
    for (int i = 0; r.token && i < r.max_new && !stop; i++) {
        const struct sw_sampled token = {
            .id = 30 + i, .logprob = -1, .n_top = 1, .top = {{30 + i, -1}}};
        SW_TRY(r.token(r.owner, &token, &stop));
    }
    return r.done(r.owner, stop ? SW_FINISH_STOP : SW_FINISH_LENGTH);
}

#define MODEL SW_SOURCE_DIR "/tests/models/shakespeare"

static char folder[] = "/tmp/sw-jobs-oom-XXXXXX";
static struct sw_tokenizer *tokenizer;

static enum sw_status tick(struct sw_job *job)
{
    (void)job;
    return SW_OK;
}

static enum sw_status begin(struct sw_results *results, const char *in, struct sw_input_scan *scan)
{
    const struct sw_tensors none = {0};
    struct sw_identity identity;
    SW_TRY(sw_input_scan_make(in, sw_results_input_bytes(results), NULL, NULL, scan));
    SW_TRY(sw_identity_make(MODEL, &none, &identity));
    json_t *manifest =
        json_pack("{s:s, s:{s:s, s:I, s:s}, s:{s:s, s:i, s:s, s:s}, s:{}}", "verb", "test", "input",
                  "path", in, "bytes", (json_int_t)scan->bytes, "digest", scan->digest, "model",
                  "name", "m", "version", SW_IDENTITY_VERSION, "digest", identity.digest, "hashes",
                  identity.hashes, "options");
    const enum sw_status status = manifest
                                      ? sw_results_begin(results, manifest, scan, SW_RESULTS_RESUME)
                                      : sw_fail(SW_ENOMEM, "no memory to describe the job");
    json_decref(manifest);
    return status;
}

static enum sw_status run(const struct sw_job_task *task, void *owner, const char *in)
{
    struct sw_results *results = NULL;
    struct sw_scheduler scheduler = {.n = 0};
    struct sw_input_scan scan;
    bool some = false;
    struct sw_job job = {
        .task = task, .owner = owner, .in = in, .scheduler = &scheduler, .tick = tick};
    enum sw_status status = sw_input_scan_check(in);
    if (status == SW_OK)
        status = sw_results_open("out.jsonl", &results);
    if (status == SW_OK)
        status = begin(results, in, &scan);
    job.results = results;
    if (status == SW_OK)
        status = sw_job_open(&job, &some);
    if (status == SW_OK && some)
        status = sw_job_run(&job);
    if (status == SW_OK)
        status = sw_results_check(results);
    sw_job_close(&job);
    sw_unknown_report(&job.unknown, "test");
    sw_results_close(results);
    return status;
}

static enum sw_status batch(void)
{
    struct sw_batch_job job = {.defaults = {.max_tokens = 3, .sampling = sw_sampling_default()},
                               .tokenizer = tokenizer,
                               .no_chat = "none",
                               .model = "m",
                               .vocab = 256};
    job.defaults.sampling.logprobs = -1;
    return run(&sw_batch_task, &job, "batch.jsonl");
}

static enum sw_status score(void)
{
    struct sw_score_job job = {.tokenizer = tokenizer, .context = 64, .vocab = 100000};
    return run(&sw_score_task, &job, "score.jsonl");
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

/* One that is longer than what is read at once. */
static void append_long_line(const char *name)
{
    FILE *f = fopen(name, "a");
    if (!f || fprintf(f, "{\"id\":\"w\",\"mine\":\"%0*d\",\"prompt\":[5]}\n", 300000, 0) < 0 ||
        fclose(f) != 0)
        abort();
}

static void set_up(void)
{
    if (!mkdtemp(folder) || chdir(folder) != 0)
        abort();
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(MODEL, &tokenizer), SW_OK);
    write_text("batch.jsonl",
               "{\"id\":\"a\",\"prompt\":\"ROMEO: and\",\"stop\":[\"x\",\"y\"],\"mine\":1}\n"
               "not JSON\n"
               "{\"id\":18446744073709551616,\"prompt\":[5, 6],\"logprobs\":1,\"max_tokens\":40}\n"
               "{\"custom_id\":\"c\",\"url\":\"/v1/"
               "completions\",\"body\":{\"prompt\":\"a\",\"min_p\":5}}\n"
               "{\"prompt\":\"b\",\"seed\":18446744073709551615,\"metadata\":{\"a\":[1]}}\n"
               "{\"id\":\"a\",\"prompt\":\"again\"}\n");
    append_long_line("batch.jsonl");
    write_text(
        "score.jsonl",
        "{\"id\":1,\"context\":\"ROMEO:\",\"continuation\":\" and\",\"mine\":1}\n"
        "{\"id\":2,\"context\":\"ROMEO:\",\"choices\":[\" a\",\" b c\"],\"delimiter\":\" \"}\n"
        "{\"id\":3,\"text\":\"ROMEO:\\nand JULIET\"}\n"
        "{\"id\":4,\"prompt\":\"ROMEO:\",\"continuation\":\"x\"}\n");
}

static void tear_down(void)
{
    char command[64];
    sw_tokenizer_close(tokenizer);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT(chdir("/") == 0 && system(command) == 0);
}

static bool is_as_expected(void)
{
    return system("sort out.jsonl | cmp -s - expected") == 0;
}

static void begin_anew(void)
{
    unlink("out.jsonl");
    unlink("out.jsonl.job");
}

/* What a run without failures gives. */
static void expect(enum sw_status (*work)(void))
{
    begin_anew();
    CU_ASSERT_EQUAL_FATAL(work(), SW_OK);
    CU_ASSERT_EQUAL_FATAL(system("sort out.jsonl >expected"), 0);
}

/* After a run in which something failed. */
static void check(enum sw_status status, enum sw_status (*work)(void), const char *what, long n)
{
    const bool said = status == SW_OK || *sw_error_message();
    const bool right = status != SW_OK || is_as_expected();
    CU_ASSERT(said && right);
    if (!said || !right)
        printf("    %s %ld: status %d, \"%s\"\n", what, n, status, sw_error_message());
    if (status == SW_OK)
        return;
    CU_ASSERT_EQUAL(work(), SW_OK); /* goes on from what is there */
    CU_ASSERT(is_as_expected());
}

static void fail_allocations(enum sw_status (*work)(void))
{
    long n = 0;
    expect(work);
    for (;; n++) {
        begin_anew();
        sw_error_clear();
        failing_done = 0;
        failing_left = n;
        const enum sw_status status = work();
        failing_left = -1;
        if (failing_done == 0) {
            CU_ASSERT_EQUAL(status, SW_OK);
            break;
        }
        CU_ASSERT(status == SW_OK || status == SW_ENOMEM);
        if (status != SW_OK && status != SW_ENOMEM)
            printf("    allocation %ld: %s, \"%s\"\n", n, sw_status_name(status),
                   sw_error_message());
        check(status, work, "allocation", n);
    }
    printf("    %ld allocations\n", n);
    CU_ASSERT(n > 100);
}

static void fail_descriptors(enum sw_status (*work)(void))
{
    struct rlimit before, limit;
    int n = 0, refused = 0;
    expect(work);
    getrlimit(RLIMIT_NOFILE, &before);
    const int next = dup(0);
    close(next);
    for (;; n++) {
        begin_anew();
        sw_error_clear();
        limit = before;
        limit.rlim_cur = (rlim_t)(next + n);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
        const enum sw_status status = work();
        setrlimit(RLIMIT_NOFILE, &before);
        check(status, work, "descriptor", n);
        if (status == SW_OK)
            break;
        CU_ASSERT_EQUAL(sw_status_exit_code(status), 5);
        refused++;
    }
    printf("    %d descriptors\n", n);
    CU_ASSERT(refused >= 2);
}

static void allocations_of_batch(void)
{
    fail_allocations(batch);
}

static void allocations_of_score(void)
{
    fail_allocations(score);
}

static void descriptors(void)
{
    fail_descriptors(batch);
    fail_descriptors(score);
}

/* jansson's allocator before anything is built. */
static void take_over(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
}

SW_UNIT_TESTS({"take over", take_over}, {"set up", set_up},
              {"allocations of batch", allocations_of_batch},
              {"allocations of score", allocations_of_score}, {"descriptors", descriptors},
              {"tear down", tear_down})
