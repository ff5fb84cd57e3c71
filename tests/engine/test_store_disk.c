/*
 * Layers that stay on disk: any number of them, of any family and form of file, gives the bits of
 * layers in memory, on any ranks, threads and chunks; and a file that fails, changes or vanishes
 * while it is read layer by layer ends the run with its name. The linker sends pread to
 * __wrap_pread (tests.cmake).
 */
#include "base/log.h"
#include "tiers.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

ssize_t __real_pread(int fd, void *out, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at);

static atomic_int reads, fails_after; /* reads until EIO; 0: none fails */
static atomic_bool is_slow;

ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at)
{
    const int now = atomic_fetch_add(&reads, 1) + 1, limit = atomic_load(&fails_after);
    if (limit && now > limit) {
        errno = EIO;
        return -1;
    }
    if (is_slow)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    return __real_pread(fd, out, n, at);
}

static int layers_of(const char *dir)
{
    int layers;
    bool tied;
    properties(dir, &layers, &tied);
    return layers;
}

/* Runs with `disk` layers of each rank on disk; true: the bits of `first`. */
static bool same_from_disk(const struct job *first, int ranks, int layers, int disk, int chunk)
{
    struct job job = *first;
    struct sw_engine_slice slices[2] = {{0}};
    for (int r = 0, from = 0; r < ranks; r++) {
        slices[r].first = from;
        slices[r].count = layers / ranks + (r < layers % ranks);
        slices[r].tiers.n_disk = disk < slices[r].count ? disk : slices[r].count;
        from += slices[r].count;
    }
    job.ranks = ranks;
    job.chunk = chunk;
    job.slices = slices;
    const enum sw_status status = job_run(&job);
    bool same = status == SW_OK;
    if (!same)
        printf("    %s: %s\n", job.dir, job.error);
    same = same &&
           memcmp(job.logits, first->logits,
                  (size_t)job.n_ids * (size_t)job.vocab * sizeof(float)) == 0 &&
           memcmp(job.new_ids, first->new_ids, (size_t)job.n_new * sizeof *job.new_ids) == 0;
    if (!same)
        printf("    %s: %d ranks, %d of %d layers on disk, chunks of %d\n", job.dir, ranks, disk,
               layers, chunk);
    job_free(&job);
    return same;
}

static void as_in_memory(const char *dir, enum sw_format_id weights, bool as_stored)
{
    struct job first = job_of(dir, weights);
    const int layers = layers_of(dir);
    first.as_stored = as_stored;
    first.slices = NULL;
    first.gpus = false;
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (int disk = 1; disk <= layers; disk++)
        for (int ranks = 1; ranks <= 2; ranks++)
            CU_ASSERT(same_from_disk(&first, ranks, layers, disk, disk % 2 ? 7 : 80));
    job_free(&first);
}

static void every_family(void)
{
    sw_log_setup(SW_LOG_WARN);
    static const char *const names[] = {"bloom",   "gpt2",    "gpt_neox", "gptj",  "llama31",
                                        "mistral", "mixtral", "opt",      "qwen2", "qwen3_moe"};
    char dir[4096];
    make_ids();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(names[i], dir, sizeof dir);
        as_in_memory(dir, SW_FORMAT_F32, false);
    }
}

/* Behind layers on a GPU and streamed ones, with the memory that the plan counts. */
static void beside_a_gpu(void)
{
    static const char *const names[] = {"llama31", "bloom", "qwen3_moe_sparse_step"};
    char dir[4096];
    make_ids();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(names[i], dir, sizeof dir);
        struct job first = job_of(dir, SW_FORMAT_F32);
        const int layers = layers_of(dir);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        for (int disk = 1; disk <= layers; disk++)
            for (int gpu = 0; gpu + disk <= layers; gpu++)
                for (int streamed = 0; streamed + gpu + disk <= layers; streamed++) {
                    struct sw_engine_slice slice = {.count = layers};
                    slice.tiers =
                        (struct sw_tiers){.n_gpu = gpu, .n_streamed = streamed, .n_disk = disk};
                    struct job job = job_of(dir, SW_FORMAT_F32);
                    job.chunk = disk % 2 ? 7 : 80;
                    if (run(&job, &slice))
                        CU_ASSERT(memcmp(job.logits, first.logits,
                                         (size_t)N_IDS * (size_t)job.vocab * sizeof(float)) == 0);
                    job_free(&job);
                }
        job_free(&first);
    }
}

static void every_weight_format(void)
{
    char dir[4096];
    make_ids();
    path_of("llama31", dir, sizeof dir);
    for (int i = 0; i < SW_FORMAT_COUNT; i++)
        as_in_memory(dir, (enum sw_format_id)i, false);
}

static void every_published_form(void)
{
    static const char *const names[] = {"nf4",  "nf4_odd",    "fp4", "int8",    "fp8_tile",
                                        "gptq", "gptq_order", "awq", "ct_asym", "ct_int8"};
    char dir[4096];
    make_ids();
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= 32; /* these models have few */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(dir, sizeof dir, "%s/tests/models/quantized/%s", SW_SOURCE_DIR, names[i]);
        as_in_memory(dir, SW_FORMAT_F16, true);
    }
}

/* A copy of a model whose file a test may spoil. */
static void copy_model(const char *from, char *to, char *weights)
{
    char command[9000];
    snprintf(to, 64, "/tmp/spillway-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(to));
    snprintf(command, sizeof command, "cp %s/* %s/", from, to);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    snprintf(weights, 128, "%s/model.safetensors", to);
}

static void remove_model(const char *dir)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CU_ASSERT_EQUAL(system(command), 0);
}

static enum sw_status run_from_disk(struct job *job, const char *dir)
{
    const struct sw_engine_slice slice = {.count = layers_of(dir),
                                          .tiers = {.n_disk = layers_of(dir)}};
    *job = job_of(dir, SW_FORMAT_F32);
    job->gpus = false;
    job->slices = &slice;
    job->silence_s = 60;
    const enum sw_status status = job_run(job);
    job->slices = NULL;
    job_free(job);
    return status;
}

static void failing_reads_end_with_the_files_name(void)
{
    char from[4096], dir[64], weights[128];
    struct job job;
    make_ids();
    path_of("llama31", from, sizeof from);
    copy_model(from, dir, weights);
    fails_after = 0;
    reads = 0;
    CU_ASSERT_EQUAL(run_from_disk(&job, dir), SW_OK);
    const int all = reads;
    CU_ASSERT(all > 40);
    for (int n = all / 3; n < all - 20; n += all / 7) {
        reads = 0;
        fails_after = n;
        CU_ASSERT_EQUAL(run_from_disk(&job, dir), SW_EIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(job.error, weights));
        CU_ASSERT_PTR_NOT_NULL(strstr(job.error, "tensor '"));
    }
    fails_after = 0;
    remove_model(dir);
}

/* Spoils the file while the job runs. */
struct spoiler {
    const char *path;
    bool removes;
};
static void *spoil(void *argument)
{
    const struct spoiler *s = argument;
    while (reads < 60)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    struct stat st;
    CU_ASSERT_EQUAL(stat(s->path, &st), 0);
    CU_ASSERT_EQUAL(s->removes ? unlink(s->path) : truncate(s->path, st.st_size / 2), 0);
    return NULL;
}

static void a_file_that_changes_is_named(void)
{
    char from[4096], dir[64], weights[128];
    make_ids();
    path_of("llama31", from, sizeof from);
    for (int removes = 0; removes < 2; removes++) {
        pthread_t thread;
        struct job job;
        copy_model(from, dir, weights);
        const struct spoiler s = {weights, removes};
        reads = 0;
        is_slow = true;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, spoil, (void *)&s), 0);
        CU_ASSERT_EQUAL(run_from_disk(&job, dir), SW_EMODEL);
        pthread_join(thread, NULL);
        is_slow = false;
        CU_ASSERT_PTR_NOT_NULL(strstr(job.error, weights));
        remove_model(dir);
    }
}

SW_UNIT_TESTS({"every family", every_family}, {"beside a GPU", beside_a_gpu},
              {"every weight format", every_weight_format},
              {"every published form", every_published_form},
              {"failing reads end with the file's name", failing_reads_end_with_the_files_name},
              {"a file that changes is named", a_file_that_changes_is_named})
