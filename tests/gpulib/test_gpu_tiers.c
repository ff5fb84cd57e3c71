/*
 * The same on the simulated GPU: mixes of tiers over the real GPU backend, its kernels and streams.
 * Logits are those of the CPU but for rounding; memory is what the plan counted.
 */
#include "engine/tiers.h"

#include <math.h>
#include <simgpu.h>

static const struct sw_gpu_library *library(void)
{
    const char *why;
    enum sw_status status;
    const struct sw_gpu_library *found = sw_gpu_library_load(&why, &status);
    if (!found)
        printf("    %s\n", why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

/* Largest difference as a share of the largest logit; infinity where one is not a number. */
static double apart(const struct job *a, const struct job *b)
{
    double most = 0, largest = 0;
    for (int64_t i = 0; i < (int64_t)N_IDS * a->vocab; i++) {
        const double error = fabs((double)a->logits[i] - (double)b->logits[i]);
        if (!(error <= most))
            most = isnan(error) ? INFINITY : error;
        largest = fmax(largest, fabs((double)b->logits[i]));
    }
    return most / largest;
}

/* Every `step`th mix: the simulated GPU is slow. */
static void same_but_for_rounding(const char *name, enum sw_format_id format, double tolerance,
                                  size_t step)
{
    static const struct sw_tiers mixes[] = {
        TIERS(99, 0, 0, true, true),  /* all on the GPU */
        TIERS(1, 0, 0, true, true),   /* some */
        TIERS(1, 1, 0, false, false), /* some streamed, the ends on the CPU */
        TIERS(0, 99, 0, true, true),  /* all streamed */
        TIERS(0, 0, 5, false, false), /* prompts streamed */
        TIERS(0, 1, 9, true, true)};  /* both */
    char dir[4096], text[128];
    int layers;
    bool tied;
    path_of(name, dir, sizeof dir);
    properties(dir, &layers, &tied);
    make_ids();
    struct job first = job_of(dir, format);
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i += step) {
        struct sw_engine_slice slice = {.count = layers, .tiers = mixes[i]};
        if (slice.tiers.n_gpu > layers)
            slice.tiers.n_gpu = layers;
        if (slice.tiers.n_streamed > layers)
            slice.tiers.n_streamed = layers;
        struct job job = job_of(dir, format);
        job.library = library();
        job.chunk = i % 2 ? 30 : 80;
        job.n_new = 3;
        if (run(&job, &slice)) {
            const double error = apart(&job, &first);
            if (!(error <= tolerance))
                printf("    %s in %s: %s: error %.1e\n", name, sw_format_of(format)->name,
                       say(&slice, text, sizeof text), error);
            CU_ASSERT_TRUE(error <= tolerance);
        }
        CU_ASSERT_EQUAL(simgpu_used(0), 0);
        job_free(&job);
    }
    job_free(&first);
}

static void families(void)
{
    static const char *const names[] = {"llama31", "mixtral", "qwen3_next"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        same_but_for_rounding(names[i], SW_FORMAT_F32, 1e-3, i == 0 ? 2 : 5);
}

static void weight_formats(void)
{
    same_but_for_rounding("gpt_neox", SW_FORMAT_INT8, 3e-2, 5);
    same_but_for_rounding("gpt_neox", SW_FORMAT_Q8_0, 3e-2, 5);
}

/* Host and streamed layers in turns, so that some pass over the bus while the CPU computes: the
 * bits of two runs are the same, with one thread and with two. */
static void in_turns(void)
{
    char dir[4096];
    struct job jobs[2], first;
    path_of("qwen3_moe_sparse_step", dir, sizeof dir);
    make_ids();
    first = job_of(dir, SW_FORMAT_F32);
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (int i = 0; i < 2; i++) {
        struct sw_engine_slice slice = {.count = 4, .tiers = TIERS(0, 2, 0, false, false)};
        jobs[i] = job_of(dir, SW_FORMAT_F32);
        jobs[i].library = library();
        jobs[i].threads = 1 + i;
        jobs[i].n_new = 3;
        CU_ASSERT_TRUE_FATAL(run(&jobs[i], &slice));
        CU_ASSERT(apart(&jobs[i], &first) <= 1e-3);
        CU_ASSERT_EQUAL(simgpu_used(0), 0);
    }
    CU_ASSERT_EQUAL(memcmp(jobs[0].logits, jobs[1].logits,
                           (size_t)N_IDS * (size_t)jobs[0].vocab * sizeof(float)),
                    0);
    job_free(&jobs[0]);
    job_free(&jobs[1]);
    job_free(&first);
}

SW_UNIT_TESTS({"families", families}, {"weight formats", weight_formats}, {"in turns", in_turns})
