/*
 * Experts that a GPU keeps some of, on the simulated GPU, whose copies are often late, or on a real
 * one: none, one, some or all kept give the bits of layers in its memory, with the others in host
 * memory and on disk, on one rank and two, and take the memory that the store says.
 */
#include "engine/pipeline_job.h"
#include "gpulib_help.h"

#define N_IDS 4 /* the simulated GPU is slow */
#define N_NEW 3

static const int32_t ids[N_IDS] = {3, 14, 15, 9};

static struct job job_of(const char *dir, enum sw_format_id format)
{
    return (struct job){.dir = dir,
                        .weights = format,
                        .kv = sw_format_kv(format, SW_F16),
                        .ranks = 1,
                        .threads = 1,
                        .chunk = 3,
                        .context = N_IDS + N_NEW,
                        .gpus = true,
                        .library = gpu_library(),
                        .ids = ids,
                        .n_ids = N_IDS,
                        .n_new = N_NEW};
}

/* The first layers on the GPU, the last ones on disk. */
static struct sw_engine_slice slice_of(int first, int count, int streamed, int disk, int cached)
{
    return (struct sw_engine_slice){.first = first,
                                    .count = count,
                                    .gpu_memory = UINT64_MAX,
                                    .tiers = {.n_gpu = count - streamed - disk,
                                              .n_streamed = streamed,
                                              .n_disk = disk,
                                              .disk_on_gpu = disk > 0,
                                              .by_expert = streamed + disk > 0,
                                              .cached_experts = cached,
                                              .embed_on_gpu = true,
                                              .head_on_gpu = true}};
}

static void run_on(struct job *job, int ranks, const struct sw_engine_slice *slices)
{
    job->ranks = ranks;
    job->slices = slices;
    const enum sw_status status = job_run(job);
    if (status != SW_OK)
        printf("    %s: %s\n", job->dir, job->error);
    CU_ASSERT_EQUAL_FATAL(status, SW_OK);
    for (int r = 0; r < ranks; r++) {
        CU_ASSERT_EQUAL(job->gpu_reports[r].left, 0);
        CU_ASSERT_EQUAL(job->gpu_reports[r].peak, job->gpu_bytes[r]);
    }
}

static bool same_bits(const struct job *a, const struct job *b)
{
    return memcmp(a->logits, b->logits, (size_t)N_IDS * (size_t)a->vocab * sizeof(float)) == 0 &&
           memcmp(a->new_ids, b->new_ids, N_NEW * sizeof *a->new_ids) == 0;
}

static void path_of(const char *name, char *dir, size_t cap)
{
    const char *root = getenv("SW_SOURCE_DIR"); /* in a bundle it is elsewhere */
    snprintf(dir, cap, "%s/tests/models/tiny/%s", root ? root : SW_SOURCE_DIR, name);
}

/* One slice gives the bits of another; returns what it counted. */
static struct sw_expert_stats alike(const struct job *memory, struct sw_engine_slice slice,
                                    const uint64_t *uses)
{
    struct job job = job_of(memory->dir, memory->weights);
    job.expert_uses = uses;
    run_on(&job, 1, &slice);
    const bool same = same_bits(memory, &job);
    if (!same)
        printf("    %s in %s: %d streamed, %d on disk, %d kept\n", job.dir,
               sw_format_of(job.weights)->name, slice.tiers.n_streamed, slice.tiers.n_disk,
               slice.tiers.cached_experts);
    CU_ASSERT_TRUE(same);
    const struct sw_expert_stats stats = job.experts[0];
    job_free(&job);
    return stats;
}

static void any_cache(void)
{
    enum { LAYERS = 2, EXPERTS = 5 };
    const struct sw_engine_slice all = slice_of(0, LAYERS, 0, 0, 0);
    static const uint64_t uses[LAYERS * EXPERTS] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
    uint64_t hits = 0;
    char dir[4096];
    path_of("mixtral", dir, sizeof dir);
    struct job memory = job_of(dir, SW_FORMAT_F16);
    run_on(&memory, 1, &all);
    for (int cached = 0; cached <= EXPERTS; cached++) {
        const struct sw_expert_stats stats =
            alike(&memory, slice_of(0, LAYERS, LAYERS, 0, cached), NULL);
        CU_ASSERT(stats.uses > 0 && stats.hits >= hits && stats.hits <= stats.uses);
        CU_ASSERT(stats.hits == stats.uses || stats.copied_bytes > 0);
        hits = stats.hits;
        (void)alike(&memory, slice_of(0, LAYERS, cached % 2, LAYERS - cached % 2, cached), uses);
    }
    const struct sw_expert_stats all_there =
        alike(&memory, slice_of(0, LAYERS, LAYERS, 0, EXPERTS), uses);
    CU_ASSERT(all_there.hits == all_there.uses && all_there.copied_bytes == 0);
    job_free(&memory);
}

/* One kept of each, of every format that has kernels of its own. */
static void every_kind_of_format(void)
{
    char dir[4096];
    path_of("mixtral", dir, sizeof dir);
    FOR_EACH_KIND_OF_FORMAT(format)
    {
        const struct sw_engine_slice all = slice_of(0, 2, 0, 0, 0);
        struct job memory = job_of(dir, (enum sw_format_id)format);
        run_on(&memory, 1, &all);
        (void)alike(&memory, slice_of(0, 2, 1, 1, 1), NULL);
        job_free(&memory);
    }
}

/* Some layers have no experts, and pass whole. On two ranks where there are two GPUs. */
static void beside_layers_without(void)
{
    char dir[4096];
    path_of("qwen3_moe_sparse_step", dir, sizeof dir);
    const struct sw_engine_slice all = slice_of(0, 4, 0, 0, 0);
    struct job memory = job_of(dir, SW_FORMAT_BF16);
    run_on(&memory, 1, &all);
    for (int disk = 0; disk <= 4; disk += 2)
        (void)alike(&memory, slice_of(0, 4, 4 - disk, disk, 2), NULL);
    struct sw_gpu_info info[2];
    char why[SW_GPU_WHY_MAX];
    int devices;
    CU_ASSERT_EQUAL(gpu_library()->devices(info, 2, &devices, why), SW_OK);
    if (devices < 2) {
        job_free(&memory);
        return;
    }
    const struct sw_engine_slice halves[] = {slice_of(0, 1, 1, 0, 1), slice_of(1, 3, 2, 1, 1)};
    struct job two = job_of(dir, SW_FORMAT_BF16);
    run_on(&two, 2, halves);
    CU_ASSERT_TRUE(same_bits(&memory, &two));
    job_free(&two);
    job_free(&memory);
}

SW_UNIT_TESTS({"any cache", any_cache}, {"every kind of format", every_kind_of_format},
              {"beside layers without", beside_layers_without})
