/*
 * Experts that stay on disk: any number of them in memory gives the bits of layers in memory, on
 * any ranks and chunks, with the memory that the plan counts and fewer bytes read than whole layers
 * have; and a file that fails ends the run with its name and the tensor's. The linker sends pread
 * to
 * __wrap_pread (tests.cmake).
 */
#include "base/log.h"
#include "engine/expert_cache.h"
#include "tiers.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

ssize_t __real_pread(int fd, void *out, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at);

static atomic_int reads, fails_after; /* reads until EIO; 0: none fails */
static atomic_size_t bytes_read;

ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at)
{
    const int now = atomic_fetch_add(&reads, 1) + 1, limit = atomic_load(&fails_after);
    if (limit && now > limit) {
        errno = EIO;
        return -1;
    }
    const ssize_t got = __real_pread(fd, out, n, at);
    atomic_fetch_add(&bytes_read, got > 0 ? (size_t)got : 0);
    return got;
}

#ifdef __SANITIZE_THREAD__ /* which is slow, and looks at threads, not at bits */
#define STEP 4
#else
#define STEP 1
#endif

static const char *const families[] = {"mixtral", "qwen3_moe", "qwen3_moe_sparse_step"};

static int experts_of_model(const char *dir, int *layers)
{
    struct sw_model *model = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    const int experts = model->dims.n_experts;
    *layers = model->dims.n_layers;
    sw_model_close(model);
    return experts;
}

static struct sw_tiers from_disk(int layers, int cached)
{
    return (struct sw_tiers){.n_disk = layers, .by_expert = cached >= 0, .cached_experts = cached};
}

static bool same(const struct job *a, const struct job *b)
{
    return memcmp(a->logits, b->logits, (size_t)N_IDS * (size_t)a->vocab * sizeof(float)) == 0 &&
           memcmp(a->new_ids, b->new_ids, (size_t)N_NEW * sizeof *a->new_ids) == 0;
}

/* Runs with `disk` layers of each rank on disk and so many experts kept; true: the bits of `first`,
 * and on one rank the memory that the plan counts. */
static bool same_by_expert(const struct job *first, int ranks, int layers, int disk, int cached)
{
    struct job job = job_of(first->dir, first->weights);
    struct sw_engine_slice slices[2] = {{0}};
    for (int r = 0, from = 0; r < ranks; r++) {
        slices[r].first = from;
        slices[r].count = layers / ranks + (r < layers % ranks);
        slices[r].tiers = from_disk(disk < slices[r].count ? disk : slices[r].count, cached);
        from += slices[r].count;
    }
    job.ranks = ranks;
    job.chunk = (disk + cached) % 3 == 0 ? 7 : (disk + cached) % 3 == 1 ? 30 : 80;
    job.threads = 1 + cached % 2;
    job.look_ahead = (disk + cached) % 4 < 2;
    const bool good = run(&job, slices) && same(&job, first);
    if (!good)
        printf("    %s: %d ranks, %d of %d layers on disk, %d experts kept, chunks of %d: %s\n",
               job.dir, ranks, disk, layers, cached, job.chunk, job.error);
    job_free(&job);
    return good;
}

static void any_cache_gives_the_bits_of_memory(void)
{
    sw_log_setup(SW_LOG_WARN);
    make_ids();
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char dir[4096];
        int layers;
        path_of(families[i], dir, sizeof dir);
        const int experts = experts_of_model(dir, &layers);
        struct job first = job_of(dir, SW_FORMAT_F32);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        for (int disk = 1; disk <= layers; disk++)
            for (int cached = 0; cached <= experts; cached += STEP)
                CU_ASSERT(same_by_expert(&first, 1 + (disk + cached) % 2, layers, disk, cached));
        job_free(&first);
    }
}

static void every_weight_format(void)
{
    char dir[4096];
    int layers;
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    (void)experts_of_model(dir, &layers);
    for (int f = 0; f < SW_FORMAT_COUNT; f += STEP) {
        struct job first = job_of(dir, (enum sw_format_id)f);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        CU_ASSERT(same_by_expert(&first, 1, layers, layers, f % 4));
        job_free(&first);
    }
}

/* Bytes that a run reads; cached -1: whole layers. */
static size_t read_by(const char *dir, int layers, int cached, const uint64_t *uses,
                      struct sw_expert_stats *stats)
{
    struct job job = job_of(dir, SW_FORMAT_F32);
    const struct sw_engine_slice slice = {.count = layers, .tiers = from_disk(layers, cached)};
    job.slices = &slice;
    job.expert_uses = uses;
    bytes_read = 0;
    CU_ASSERT_EQUAL_FATAL(job_run(&job), SW_OK);
    *stats = job.experts[0];
    job_free(&job);
    return bytes_read;
}

/* The more are kept the fewer bytes are read, down to each byte once. */
static void fewer_bytes_are_read(void)
{
    char dir[4096];
    int layers;
    struct sw_expert_stats stats;
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    const int experts = experts_of_model(dir, &layers);
    const size_t whole = read_by(dir, layers, -1, NULL, &stats);
    size_t before = SIZE_MAX;
    uint64_t hits = 0;
    for (int cached = 0; cached <= experts; cached++) {
        const size_t now = read_by(dir, layers, cached, NULL, &stats);
        CU_ASSERT(now <= before);
        CU_ASSERT(stats.hits >= hits && stats.hits <= stats.uses);
        /* each new token but the last, whose id nobody asks about */
        CU_ASSERT(stats.decode_rows >= N_NEW - 1 && stats.decode_rows <= N_NEW);
        CU_ASSERT_EQUAL(stats.uses, stats.decode_rows * 2 * (uint64_t)layers);
        before = now;
        hits = stats.hits;
    }
    CU_ASSERT_EQUAL(stats.hits, stats.uses); /* all are kept */
    CU_ASSERT_EQUAL(stats.decode_bytes, 0);
    CU_ASSERT_EQUAL(before, whole); /* both layers fit into the two buffers of whole ones */
}

/* What was chosen most in an earlier run is there from the beginning: so much less is read. */
static void learnt_ones_are_loaded_first(void)
{
    char dir[4096];
    int layers;
    struct sw_expert_stats stats;
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    const int experts = experts_of_model(dir, &layers);
    uint64_t *uses = calloc((size_t)layers * (size_t)experts, sizeof *uses);
    CU_ASSERT_PTR_NOT_NULL_FATAL(uses);
    for (int i = 0; i < layers * experts; i++)
        uses[i] = 1 + (uint64_t)i % 3;
    const size_t lazily = read_by(dir, layers, experts, NULL, &stats);
    const size_t filled = read_by(dir, layers, experts, uses, &stats);
    CU_ASSERT_EQUAL(lazily, filled); /* each once */
    memset(uses, 0, (size_t)layers * (size_t)experts * sizeof *uses);
    CU_ASSERT_EQUAL(read_by(dir, layers, experts, uses, &stats), lazily);
    free(uses);
}

static void failing_reads_end_with_the_files_name(void)
{
    char dir[4096];
    int layers;
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    (void)experts_of_model(dir, &layers);
    struct sw_expert_stats stats;
    fails_after = 0;
    reads = 0;
    (void)read_by(dir, layers, 2, NULL, &stats);
    const int all = reads;
    CU_ASSERT(all > 60);
    for (int n = all / 2; n < all - 4; n += all / 9) {
        struct job job = job_of(dir, SW_FORMAT_F32);
        const struct sw_engine_slice slice = {.count = layers, .tiers = from_disk(layers, 2)};
        job.slices = &slice;
        reads = 0;
        fails_after = n;
        CU_ASSERT_EQUAL(job_run(&job), SW_EIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(job.error, ".safetensors: cannot read"));
        CU_ASSERT_PTR_NOT_NULL(strstr(job.error, "tensor '"));
        job_free(&job);
    }
    fails_after = 0;
}

/* Reading ahead changes no bit; some of what is read so is chosen. The guesses are of models with
 * random weights, whose layers add little to what comes in. */
static void looking_ahead_changes_no_bit(void)
{
    char dir[4096];
    int layers;
    uint64_t ahead = 0;
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    const int experts = experts_of_model(dir, &layers);
    struct job first = job_of(dir, SW_FORMAT_F32);
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (int cached = 0; cached < experts - 2; cached++)
        for (int chunk = 1; chunk <= 5; chunk++) { /* of 1: as decoding is */
            struct job job = job_of(dir, SW_FORMAT_F32);
            const struct sw_engine_slice slice = {.count = layers,
                                                  .tiers = from_disk(layers, cached)};
            job.slices = &slice;
            job.slots = chunk;
            job.chunk = chunk;
            job.look_ahead = true;
            CU_ASSERT_EQUAL_FATAL(job_run(&job), SW_OK);
            CU_ASSERT(same(&job, &first));
            ahead += job.experts[0].ahead;
            job_free(&job);
        }
    CU_ASSERT(ahead > 0);
    job_free(&first);
}

/* ---- the cache's bookkeeping */

static bool may_even(const void *context, int place)
{
    (void)context;
    return place % 2 == 0;
}

static void counts_decide_who_leaves(void)
{
    struct sw_expert_cache c;
    int keys[4];
    CU_ASSERT_EQUAL_FATAL(sw_expert_cache_open(4, 3, &c), SW_OK);
    for (int k = 0; k < 3; k++) {
        CU_ASSERT_EQUAL(sw_expert_cache_use(&c, k), -1);
        const int place = sw_expert_cache_victim(&c, NULL, NULL);
        CU_ASSERT_EQUAL(place, k);
        sw_expert_cache_put(&c, place, k);
    }
    CU_ASSERT_EQUAL(sw_expert_cache_use(&c, 0), 0);
    CU_ASSERT_EQUAL(sw_expert_cache_use(&c, 2), 2);
    CU_ASSERT_EQUAL(sw_expert_cache_victim(&c, NULL, NULL), 1);
    CU_ASSERT_EQUAL(sw_expert_cache_victim(&c, may_even, NULL), 0); /* 2 was used later */
    CU_ASSERT_EQUAL_FATAL(sw_expert_cache_rank(&c, keys), SW_OK);
    CU_ASSERT(keys[0] == 2 && keys[1] == 0 && keys[2] == 1 && keys[3] == 3);
    sw_expert_cache_put(&c, 1, 3);
    CU_ASSERT(c.place_of[1] == -1 && c.place_of[3] == 1);
    sw_expert_cache_put(&c, 1, -1);
    CU_ASSERT_EQUAL(sw_expert_cache_victim(&c, NULL, NULL), 1);
    sw_expert_cache_close(&c);
}

/* A run that goes on from another's counts ranks experts as that one does at its end. */
static void learnt_counts_are_those_of_a_long_run(void)
{
    enum { KEYS = 8, USES = 40000 };
    struct sw_expert_cache ran, learnt;
    uint64_t uses[KEYS] = {0}, state = 5;
    CU_ASSERT_EQUAL_FATAL(sw_expert_cache_open(KEYS, 1, &ran), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_expert_cache_open(KEYS, 1, &learnt), SW_OK);
    for (int i = 0; i < USES; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const int a = (int)(state >> 33) % KEYS, b = (int)(state >> 48) % KEYS;
        const int key = a < b ? a : b; /* low keys are popular */
        (void)sw_expert_cache_use(&ran, key);
        uses[key]++;
    }
    sw_expert_cache_learn(&learnt, uses);
    const double now = (double)USES / (SW_EXPERT_HALF * KEYS);
    for (int k = 0; k < KEYS - 1; k++)
        CU_ASSERT_DOUBLE_EQUAL(ran.priority[k] - now, learnt.priority[k], 1.2);
    sw_expert_cache_close(&ran);
    sw_expert_cache_close(&learnt);
}

SW_UNIT_TESTS({"counts decide who leaves", counts_decide_who_leaves},
              {"learnt counts are those of a long run", learnt_counts_are_those_of_a_long_run},
              {"any cache gives the bits of memory", any_cache_gives_the_bits_of_memory},
              {"every weight format", every_weight_format},
              {"fewer bytes are read", fewer_bytes_are_read},
              {"learnt ones are loaded first", learnt_ones_are_loaded_first},
              {"looking ahead changes no bit", looking_ahead_changes_no_bit},
              {"failing reads end with the file's name", failing_reads_end_with_the_files_name})
