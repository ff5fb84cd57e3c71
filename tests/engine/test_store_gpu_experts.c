/*
 * Experts that a GPU keeps some of: any number of them in its memory gives the bits of layers in
 * memory, wherever the others lie, on any ranks and chunks, with the memory that the plan counts;
 * fewer bytes go over the bus the more are kept. The GPU is tests/fake_gpu.h.
 */
#include "base/log.h"
#include "tiers.h"

static const char *const families[] = {"mixtral", "qwen3_moe", "qwen3_moe_sparse_step",
                                       "gpt_oss", "glm4_moe",  "ernie4_5_moe"};

static int experts_of_model(const char *dir, int *layers)
{
    struct sw_model *model = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    const int experts = model->dims.n_experts;
    *layers = model->dims.n_layers;
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= model->dims.vocab;
    sw_model_close(model);
    return experts;
}

/* The first layers on the GPU, then in host memory, the last ones streamed and on disk. */
static struct sw_tiers tiers_of(int count, int host, int streamed, int disk, int cached)
{
    return (struct sw_tiers){.n_gpu = count - host - streamed - disk,
                             .n_host = host,
                             .n_streamed = streamed,
                             .n_disk = disk,
                             .disk_on_gpu = disk > 0,
                             .by_expert = streamed + disk > 0,
                             .cached_experts = cached,
                             .embed_on_gpu = true,
                             .head_on_gpu = true};
}

static bool same(const struct job *a, const struct job *b)
{
    return memcmp(a->logits, b->logits, (size_t)N_IDS * (size_t)a->vocab * sizeof(float)) == 0 &&
           memcmp(a->new_ids, b->new_ids, (size_t)N_NEW * sizeof *a->new_ids) == 0;
}

/* Runs with so many streamed and disk layers of each rank; true: the bits of `first`, and the
 * memory that the plan counts. */
static bool same_by_expert(const struct job *first, int ranks, int layers, int streamed, int disk,
                           int cached)
{
    struct job job = job_of(first->dir, first->weights);
    struct sw_engine_slice slices[2] = {{0}};
    for (int r = 0, from = 0; r < ranks; r++) {
        const int count = layers / ranks + (r < layers % ranks);
        const int by_bus = streamed < count ? streamed : count;
        const int from_disk = disk < count - by_bus ? disk : count - by_bus;
        slices[r] = (struct sw_engine_slice){
            .first = from, .count = count, .tiers = tiers_of(count, 0, by_bus, from_disk, cached)};
        slices[r].tiers.embed_on_gpu = r == 0;
        slices[r].tiers.head_on_gpu = r == ranks - 1;
        from += count;
    }
    job.ranks = ranks;
    job.chunk = (disk + cached) % 3 == 0 ? 7 : (disk + cached) % 3 == 1 ? 30 : 80;
    job.look_ahead = (disk + cached) % 4 < 2;
    const bool good = run(&job, slices) && same(&job, first);
    if (!good)
        printf("    %s: %d ranks, %d layers streamed, %d on disk, %d experts kept, chunks of %d: "
               "%s\n",
               job.dir, ranks, streamed, disk, cached, job.chunk, job.error);
    job_free(&job);
    return good;
}

static void any_cache_gives_the_bits_of_memory(void)
{
    sw_log_setup(SW_LOG_WARN);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char dir[4096];
        int layers;
        make_ids();
        path_of(families[i], dir, sizeof dir);
        const int experts = experts_of_model(dir, &layers);
        struct job first = job_of(dir, SW_FORMAT_F32);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        for (int streamed = 0; streamed <= layers; streamed++)
            for (int disk = streamed == 0; streamed + disk <= layers; disk++)
                for (int cached = 0; cached <= experts; cached += cached < 3 ? 1 : experts - 3)
                    CU_ASSERT(same_by_expert(&first, 1 + (disk + cached) % 2, layers, streamed,
                                             disk, cached));
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
    for (int f = 0; f < SW_FORMAT_COUNT; f++) {
        struct job first = job_of(dir, (enum sw_format_id)f);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        CU_ASSERT(same_by_expert(&first, 1, layers, 1, 1, f % 4));
        job_free(&first);
    }
}

/* Host layers pass for prompts through buffers of their own. */
static void beside_host_layers_that_pass(void)
{
    char dir[4096];
    int layers;
    make_ids();
    path_of("qwen3_moe_sparse_step", dir, sizeof dir);
    (void)experts_of_model(dir, &layers);
    struct job first = job_of(dir, SW_FORMAT_F32);
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (int disk = 0; disk < 2; disk++)
        for (int chunk = 3; chunk <= 80; chunk += 7) {
            struct job job = job_of(dir, SW_FORMAT_F32);
            struct sw_engine_slice slice = {.count = layers,
                                            .tiers = tiers_of(layers, 1, 2 - disk, disk, 1)};
            slice.tiers.stream_rows = 5;
            job.chunk = chunk;
            CU_ASSERT(run(&job, &slice) && same(&job, &first));
            job_free(&job);
        }
    job_free(&first);
}

/* ---- what is copied */

struct copied {
    uint64_t fetched; /* bytes that went over the bus, in all */
    struct sw_expert_stats stats;
};

static struct copied copied_by(const char *dir, int layers, int cached, const uint64_t *uses)
{
    struct job job = job_of(dir, SW_FORMAT_F32);
    struct sw_engine_slice slice = {.count = layers,
                                    .tiers = tiers_of(layers, 0, layers, 0, cached)};
    job.expert_uses = uses;
    CU_ASSERT_TRUE(run(&job, &slice));
    const struct copied c = {job.gpu_reports[0].fetched, job.experts[0]};
    job_free(&job);
    return c;
}

/* The more are kept the fewer bytes are copied, down to each expert once. */
static void fewer_bytes_are_copied(void)
{
    char dir[4096];
    int layers;
    uint64_t before = UINT64_MAX, hits = 0;
    struct copied c = {0, {0}};
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    const int experts = experts_of_model(dir, &layers);
    struct job job = job_of(dir, SW_FORMAT_F32);
    const struct sw_engine_slice all = {.count = layers,
                                        .tiers = tiers_of(layers, 0, layers, 0, experts)};
    const uint64_t bytes = count(dir, &job, &all, 0, false).stage.host.weights;
    for (int cached = 0; cached <= experts; cached++) {
        c = copied_by(dir, layers, cached, NULL);
        CU_ASSERT(c.fetched <= before);
        CU_ASSERT(c.stats.hits >= hits && c.stats.hits <= c.stats.uses);
        CU_ASSERT(c.stats.decode_rows >= N_NEW - 1 && c.stats.decode_rows <= N_NEW);
        CU_ASSERT_EQUAL(c.stats.uses, c.stats.decode_rows * 2 * (uint64_t)layers);
        CU_ASSERT_EQUAL(c.stats.copied_bytes,
                        (c.stats.uses - c.stats.hits) * bytes / (uint64_t)(layers * experts));
        CU_ASSERT_EQUAL(c.stats.decode_bytes, 0); /* no file is read */
        before = c.fetched;
        hits = c.stats.hits;
    }
    CU_ASSERT_EQUAL(c.stats.hits, c.stats.uses); /* all are kept */
    CU_ASSERT_EQUAL(c.fetched, bytes);
}

/* What was chosen most in an earlier run is there from the beginning. */
static void learnt_ones_are_there_first(void)
{
    char dir[4096];
    int layers;
    make_ids();
    path_of("mixtral", dir, sizeof dir);
    const int experts = experts_of_model(dir, &layers);
    uint64_t *uses = calloc((size_t)layers * (size_t)experts, sizeof *uses);
    CU_ASSERT_PTR_NOT_NULL_FATAL(uses);
    for (int i = 0; i < layers * experts; i++)
        uses[i] = 1 + (uint64_t)i % 3;
    CU_ASSERT_EQUAL(copied_by(dir, layers, experts, uses).fetched, 0);
    const uint64_t lazily = copied_by(dir, layers, 2, NULL).fetched;
    CU_ASSERT(copied_by(dir, layers, 2, uses).fetched < lazily);
    memset(uses, 0, (size_t)layers * (size_t)experts * sizeof *uses);
    CU_ASSERT_EQUAL(copied_by(dir, layers, 2, uses).fetched, lazily);
    free(uses);
}

/* Reading ahead from disk changes no bit; some of what is read so is chosen. */
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
            struct sw_engine_slice slice = {.count = layers,
                                            .tiers = tiers_of(layers, 0, 0, layers, cached)};
            job.slots = chunk;
            job.chunk = chunk;
            job.look_ahead = true;
            CU_ASSERT_TRUE(run(&job, &slice));
            CU_ASSERT(same(&job, &first));
            CU_ASSERT(job.experts[0].decode_bytes > 0);
            ahead += job.experts[0].ahead;
            job_free(&job);
        }
    CU_ASSERT(ahead > 0);
    job_free(&first);
}

/* Short by a byte, and with every allocation failing in turn: an error, and nothing is left. */
static void memory_that_is_not_there(void)
{
    char dir[4096];
    path_of("mixtral", dir, sizeof dir);
    make_ids();
    struct sw_engine_slice slice = {.count = 2, .tiers = tiers_of(2, 0, 1, 1, 1)};
    int at = 0;
    for (enum sw_status status = SW_ENOMEM; status == SW_ENOMEM && at < 100; at++) {
        struct job job = job_of(dir, SW_FORMAT_F32);
        const uint64_t memory = count(dir, &job, &slice, 0, false).gpu;
        job.slices = &slice;
        job.gpus = true;
        slice.gpu_memory = at ? memory : memory - 1;
        job.fail_at = at;
        status = job_run(&job);
        const struct fake_report *g = &job.gpu_reports[0], *h = &job.cpu_reports[0];
        CU_ASSERT(status == SW_OK || status == SW_ENOMEM);
        CU_ASSERT(status == SW_OK || strstr(job.error, "of GPU memory for") != NULL);
        CU_ASSERT_EQUAL(g->left + h->left, 0);
        CU_ASSERT_EQUAL(g->faults + h->faults + g->pins_left, 0);
        if (g->faults + h->faults)
            printf("    at %d: %s%s\n", at, g->fault, h->fault);
        job_free(&job);
    }
    CU_ASSERT(at > 6 && at < 100);
}

SW_UNIT_TESTS({"any cache gives the bits of memory", any_cache_gives_the_bits_of_memory},
              {"every weight format", every_weight_format},
              {"beside host layers that pass", beside_host_layers_that_pass},
              {"fewer bytes are copied", fewer_bytes_are_copied},
              {"learnt ones are there first", learnt_ones_are_there_first},
              {"looking ahead changes no bit", looking_ahead_changes_no_bit},
              {"memory that is not there", memory_that_is_not_there})
