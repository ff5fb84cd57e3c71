/*
 * A pipeline over GPUs: the same bits whatever the cut and whatever way the links take, for the
 * same batches; each link takes the way it should.
 */
#include "engine/encoder_job.h"
#include "gpulib_help.h"

#include <math.h>
#include <simgpu.h>

#define N_IDS 11
#define N_NEW 4

static const int32_t ids[N_IDS] = {3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46};

static struct job job_of(const char *name, int ranks, const struct sw_engine_slice *slices)
{
    static char dir[4096];
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
    return (struct job){.dir = dir,
                        .weights = SW_FORMAT_F16,
                        .kv = SW_F16,
                        .ranks = ranks,
                        .threads = 1,
                        .chunk = 5,
                        .context = N_IDS + N_NEW,
                        .ids = ids,
                        .n_ids = N_IDS,
                        .n_new = N_NEW,
                        .slices = slices,
                        .gpus = true,
                        .library = gpu_library(),
                        .connect = true};
}

/* A slice all on the GPU; with so many layers after those in host memory; or streamed. */
static struct sw_engine_slice slice(int first, int gpu, int host, int streamed)
{
    return (struct sw_engine_slice){.first = first,
                                    .count = gpu + host + streamed,
                                    .tiers = {.n_gpu = gpu,
                                              .n_host = host,
                                              .n_streamed = streamed,
                                              .embed_on_gpu = true,
                                              .head_on_gpu = true},
                                    .gpu_memory = UINT64_MAX};
}

/* links: "NCCL MPI", of rank 0, 1, … */
static void run(struct job *job, const char *links)
{
    char got[64] = "";
    CU_ASSERT_EQUAL_FATAL(job_run(job), SW_OK);
    for (int r = 0; r + 1 < job->ranks; r++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", r ? " " : "", job->links[r]);
    if (strcmp(got, links) != 0)
        printf("    links %s, not %s\n", got, links);
    CU_ASSERT_STRING_EQUAL(got, links);
}

static void same_bits(const struct job *a, const struct job *b)
{
    const size_t n = N_IDS * (size_t)a->vocab;
    CU_ASSERT_EQUAL(memcmp(a->logits, b->logits, n * sizeof *a->logits), 0);
    CU_ASSERT_EQUAL(memcmp(a->new_ids, b->new_ids, N_NEW * sizeof *a->new_ids), 0);
}

static void whatever_the_cut(void)
{
    const struct sw_engine_slice all[] = {slice(0, 3, 0, 0)};
    const struct sw_engine_slice halves[] = {slice(0, 2, 0, 0), slice(2, 1, 0, 0)};
    const struct sw_engine_slice thirds[] = {slice(0, 1, 0, 0), slice(1, 1, 0, 0),
                                             slice(2, 1, 0, 0)};
    const struct sw_engine_slice gap[] = {slice(0, 1, 0, 0), {.count = 0}, slice(1, 2, 0, 0)};
    const struct sw_engine_slice streamed[] = {slice(0, 1, 0, 1), slice(2, 0, 0, 1)};
    const struct {
        int ranks;
        const struct sw_engine_slice *slices;
        const char *links;
    } cuts[] = {
        {2, halves, "NCCL"}, {3, thirds, "NCCL NCCL"}, {3, gap, "NCCL "}, {2, streamed, "NCCL"}};
    struct job one = job_of("llama31", 1, all);
    run(&one, "");
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct job job = job_of("llama31", cuts[i].ranks, cuts[i].slices);
        run(&job, cuts[i].links);
        same_bits(&job, &one);
        job_free(&job);
    }
    struct job host = job_of("llama31", 3, thirds);
    host.host_only = true;
    run(&host, "MPI MPI");
    same_bits(&host, &one);
    job_free(&host);
    job_free(&one);
}

/* Rows that are in host memory at one end go through it; the others still go directly. */
static void where_they_end(void)
{
    const struct sw_engine_slice mixed[] = {slice(0, 1, 0, 0), slice(1, 1, 0, 0),
                                            slice(2, 0, 1, 0)};
    struct job a = job_of("llama31", 3, mixed), b = job_of("llama31", 3, mixed);
    run(&a, "NCCL MPI");
    b.host_only = true;
    run(&b, "MPI MPI");
    same_bits(&a, &b);
    job_free(&a);
    job_free(&b);
}

/* If NCCL fails at the start, the job goes on without it. */
static void without_nccl(void)
{
    const struct sw_engine_slice halves[] = {slice(0, 2, 0, 0), slice(2, 1, 0, 0)};
    static const char *const calls[] = {"ncclGetUniqueId", "ncclCommInitRankConfig",
                                        "ncclGroupEnd"};
    struct job first = job_of("llama31", 2, halves);
    run(&first, "NCCL");
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct job job = job_of("llama31", 2, halves);
        job.silence_s = 2; /* the other rank waits four times as long */
        simgpu_fail(calls[i], 1, 2);
        run(&job, "MPI");
        same_bits(&job, &first);
        job_free(&job);
    }
    job_free(&first);
}

#define N_SOURCE 37
#define N_TARGET 23

static void encoder_on_gpus(struct job *job, const struct sw_engine_slice *slices, int ranks)
{
    job->ranks = ranks;
    job->slices = slices;
    job->gpus = job->connect = true;
    job->library = gpu_library();
    const enum sw_status status = job_run(job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK)
        printf("    %s\n", job->error);
}

/* Of an encoder-decoder: a GPU's logits are the CPU's, but for rounding; the target's whole and in
 * short pieces (other kernels) alike; any cut has the same bits. */
static void encoder_decoders(void)
{
    static const struct {
        const char *name;
        enum sw_format_id weights;
        enum sw_dtype kv;
        int layers;
        double most;
    } cases[] = {{"t5", SW_FORMAT_F32, SW_F32, 5, 1e-4},
                 {"t5_v1_1", SW_FORMAT_F16, SW_F16, 4, 0.01},
                 {"t5", SW_FORMAT_BF16, SW_BF16, 5, 0.05},
                 {"t5_large", SW_FORMAT_F16, SW_F16, 5, 0.01}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int n = cases[i].layers;
        const struct sw_engine_slice all[] = {slice(0, n, 0, 0)};
        const struct sw_engine_slice cut[] = {slice(0, 1, 0, 0), slice(1, n - 3, 0, 0),
                                              slice(n - 2, 1, 0, 1)};
        struct job cpu = encoder_job(cases[i].name, cases[i].weights, cases[i].kv, N_SOURCE,
                                     N_TARGET, N_NEW),
                   gpu = cpu, pieces = cpu, cuts = cpu;
        CU_ASSERT_EQUAL_FATAL(job_run(&cpu), SW_OK);
        encoder_on_gpus(&gpu, all, 1);
        pieces.target_chunk = 1;
        encoder_on_gpus(&pieces, all, 1);
        encoder_on_gpus(&cuts, cut, 3);
        const size_t floats = N_TARGET * (size_t)cpu.vocab;
        double most = 0, off[2] = {0, 0};
        for (size_t k = 0; k < floats && gpu.logits && pieces.logits; k++) {
            const double x = (double)cpu.logits[k];
            most = fabs(x) > most ? fabs(x) : most;
            for (int j = 0; j < 2; j++) {
                const double d = fabs((double)(j ? pieces.logits : gpu.logits)[k] - x);
                off[j] = d <= off[j] ? off[j] : d;
            }
        }
        printf("    %s: %.1e, in pieces %.1e\n", cases[i].name, off[0] / most, off[1] / most);
        CU_ASSERT(off[0] / most < cases[i].most && off[1] / most < cases[i].most);
        CU_ASSERT_EQUAL(memcmp(cuts.logits, gpu.logits, floats * sizeof *gpu.logits), 0);
        CU_ASSERT_EQUAL(memcmp(cuts.new_ids, gpu.new_ids, N_NEW * sizeof *gpu.new_ids), 0);
        job_free(&cpu);
        job_free(&gpu);
        job_free(&pieces);
        job_free(&cuts);
    }
}

int main(void)
{
    static const struct sw_unit_test tests[] = {{"whatever the cut", whatever_the_cut},
                                                {"where they end", where_they_end},
                                                {"without NCCL", without_nccl},
                                                {"encoder-decoders", encoder_decoders}};
    setenv("SIMGPU_DEVICES", "3", 1);
    return sw_unit_main(__FILE__, tests, sizeof tests / sizeof tests[0]);
}
