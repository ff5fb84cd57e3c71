/*
 * Layers from disk on the simulated GPU, whose copies are often late: any of them give the bits of
 * layers in its memory, in every kind of weight format and as published, alone, behind layers on
 * the GPU, in host memory and streamed ones, on one rank and two.
 */
#include "engine/pipeline_job.h"
#include "gpulib_help.h"

#include <simgpu.h>

#define N_IDS 4 /* the simulated GPU is slow */
#define N_NEW 2
#define LAYERS 3 /* of the models here that have three */

static const int32_t ids[N_IDS] = {3, 14, 15, 9};

static struct job job_of(const char *dir, enum sw_format_id format, bool as_stored)
{
    return (struct job){.dir = dir,
                        .weights = format,
                        .as_stored = as_stored,
                        .kv = sw_format_kv(format, SW_F16),
                        .ranks = 1,
                        .threads = 1,
                        .chunk = 2,
                        .context = N_IDS + N_NEW,
                        .gpus = true,
                        .library = gpu_library(),
                        .ids = ids,
                        .n_ids = N_IDS,
                        .n_new = N_NEW};
}

/* A slice of so many layers in each tier, disk layers on the GPU. */
static struct sw_engine_slice slice_of(int first, int gpu, int host, int streamed, int disk)
{
    return (struct sw_engine_slice){.first = first,
                                    .count = gpu + host + streamed + disk,
                                    .gpu_memory = UINT64_MAX,
                                    .tiers = {.n_gpu = gpu,
                                              .n_host = host,
                                              .n_streamed = streamed,
                                              .n_disk = disk,
                                              .disk_on_gpu = disk > 0,
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
    CU_ASSERT_EQUAL(simgpu_used(0) + simgpu_used(1), 0);
}

static bool same_bits(const struct job *a, const struct job *b)
{
    return memcmp(a->logits, b->logits, (size_t)N_IDS * (size_t)a->vocab * sizeof(float)) == 0 &&
           memcmp(a->new_ids, b->new_ids, N_NEW * sizeof *a->new_ids) == 0;
}

/* The first way to hold the layers and each of n others give the same bits. */
static void alike(const struct job *job, const struct sw_engine_slice *first, int n,
                  const struct sw_engine_slice *others)
{
    struct job in_memory = *job;
    run_on(&in_memory, 1, first);
    for (int i = 0; i < n; i++) {
        struct job other = *job;
        run_on(&other, 1, &others[i]);
        const bool same = same_bits(&in_memory, &other);
        if (!same)
            printf("    %s in %s, way %d\n", job->dir, sw_format_of(job->weights)->name, i);
        CU_ASSERT_TRUE(same);
        job_free(&other);
    }
    job_free(&in_memory);
}

static void path_of(const char *folder, const char *name, char *dir, size_t cap)
{
    snprintf(dir, cap, "%s/tests/models/%s/%s", SW_SOURCE_DIR, folder, name);
}

static void every_kind_of_format(void)
{
    const struct sw_engine_slice memory = slice_of(0, LAYERS, 0, 0, 0);
    const struct sw_engine_slice disk = slice_of(0, 0, 0, 0, LAYERS);
    char dir[4096];
    path_of("tiny", "llama31", dir, sizeof dir);
    FOR_EACH_KIND_OF_FORMAT(format)
    {
        const struct job job = job_of(dir, (enum sw_format_id)format, false);
        alike(&job, &memory, 1, &disk);
    }
}

static void as_published(void)
{
    static const char *const names[] = {"nf4", "gptq_order"};
    char dir[4096];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct sw_model *model = NULL;
        path_of("quantized", names[i], dir, sizeof dir);
        CU_ASSERT_EQUAL_FATAL(sw_open_model(dir, &model), SW_OK);
        const int layers = model->dims.n_layers;
        sw_model_close(model);
        const struct sw_engine_slice memory = slice_of(0, layers, 0, 0, 0);
        const struct sw_engine_slice disk = slice_of(0, 0, 0, 0, layers);
        const struct job job = job_of(dir, SW_FORMAT_F16, true);
        alike(&job, &memory, 1, &disk);
    }
}

static void beside_other_tiers(void)
{
    const struct sw_engine_slice memory = slice_of(0, LAYERS, 0, 0, 0);
    const struct sw_engine_slice on_cpu = slice_of(0, 1, 1, 1, 0);
    const struct sw_engine_slice behind[] = {slice_of(0, 1, 0, 0, 2), slice_of(0, 0, 0, 1, 2)};
    const struct sw_engine_slice behind_host = slice_of(0, 1, 1, 0, 1);
    char dir[4096];
    path_of("tiny", "llama31", dir, sizeof dir);
    const struct job job = job_of(dir, SW_FORMAT_Q8_0, false);
    alike(&job, &memory, 2, behind);
    alike(&job, &on_cpu, 1, &behind_host);
}

/* Host layers pass through the same buffers for prompts, and not when single tokens follow. */
static void behind_host_layers_that_pass(void)
{
    struct sw_engine_slice memory = slice_of(0, 0, 1, 3, 0), disk = slice_of(0, 0, 1, 0, 3);
    char dir[4096];
    memory.tiers.stream_rows = disk.tiers.stream_rows = 2;
    path_of("tiny", "qwen3_moe_sparse_step", dir, sizeof dir);
    const struct job job = job_of(dir, SW_FORMAT_F16, false);
    alike(&job, &memory, 1, &disk);
}

/* Whose links go from GPU to GPU, too, as both ends are on one. */
static void on_two_ranks(void)
{
    const struct sw_engine_slice memory = slice_of(0, 4, 0, 0, 0);
    const struct sw_engine_slice disk[] = {slice_of(0, 0, 0, 0, 1), slice_of(1, 0, 0, 0, 3)};
    char dir[4096];
    path_of("tiny", "qwen3_moe_sparse_step", dir, sizeof dir);
    struct job one = job_of(dir, SW_FORMAT_BF16, false);
    run_on(&one, 1, &memory);
    for (int connect = 0; connect < 2; connect++) {
        struct job two = job_of(dir, SW_FORMAT_BF16, false);
        two.connect = connect;
        run_on(&two, 2, disk);
        CU_ASSERT_TRUE(same_bits(&one, &two));
        CU_ASSERT_EQUAL(strcmp(two.links[0], "NCCL") == 0, connect);
        job_free(&two);
    }
    job_free(&one);
}

SW_UNIT_TESTS({"every kind of format", every_kind_of_format}, {"as published", as_published},
              {"beside other tiers", beside_other_tiers},
              {"behind host layers that pass", behind_host_layers_that_pass},
              {"on two ranks", on_two_ranks})
