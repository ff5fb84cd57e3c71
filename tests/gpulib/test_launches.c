/*
 * How many kernels a layer of a token takes: on a fast GPU each costs about as much as reading
 * some hundredth of a layer, whatever it does, so one more is a loss that nothing else would show.
 */
#include "engine/pipeline_job.h"
#include "gpulib_help.h"

#include <simgpu.h>

enum { N_NEW = 3 };

/* How many there were when each token was known. */
struct counts {
    unsigned long at[N_NEW];
    int n;
};

static enum sw_status note(void *context, const struct sw_sampled *token, bool *stop)
{
    struct counts *counts = context;
    (void)token;
    *stop = false;
    counts->at[counts->n++] = simgpu_calls("launch");
    return SW_OK;
}

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    static const int32_t prompt = 3;
    struct sw_generate g = {.prompt = &prompt,
                            .n_prompt = 1,
                            .max_new = N_NEW,
                            .context = job->context,
                            .chunk = job->chunk,
                            .sampling = sw_sampling_default(),
                            .token = note,
                            .context_of_caller = job->drive_context};
    SW_TRY(sw_generate(driver, &g));
    return sw_driver_stop(driver);
}

/* Launches of the last of a few tokens, with all layers on the GPU or streamed. */
static unsigned long launches(const char *name, enum sw_format_id weights, bool streamed,
                              int *n_layers)
{
    char dir[4096];
    struct sw_model *model = NULL;
    struct counts counts = {.n = 0};
    static const int32_t one = 1;
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    *n_layers = model->dims.n_layers;
    sw_model_close(model);
    const struct sw_engine_slice all = {.count = *n_layers,
                                        .tiers = {.n_gpu = streamed ? 0 : *n_layers,
                                                  .n_streamed = streamed ? *n_layers : 0,
                                                  .embed_on_gpu = true,
                                                  .head_on_gpu = true},
                                        .gpu_memory = (uint64_t)64 << 20};
    struct job job = {.dir = dir,
                      .weights = weights,
                      .kv = SW_F16,
                      .ranks = 1,
                      .threads = 1,
                      .chunk = 1,
                      .context = N_NEW + 1,
                      .ids = &one,
                      .n_ids = 1,
                      .n_new = N_NEW,
                      .gpus = true,
                      .library = gpu_library(),
                      .slices = &all,
                      .no_graphs = true,
                      .drive = drive,
                      .drive_context = &counts};
    const enum sw_status status = job_run(&job);
    if (status != SW_OK)
        printf("    %s: %s\n", name, job.error);
    CU_ASSERT_EQUAL_FATAL(status, SW_OK);
    CU_ASSERT_EQUAL_FATAL(counts.n, N_NEW);
    job_free(&job);
    return counts.at[N_NEW - 1] - counts.at[N_NEW - 2];
}

static void of_a_token(void)
{
    static const struct {
        const char *name;
        enum sw_format_id weights;
        unsigned long layer, besides; /* besides: before and after layers */
        bool streamed; /* no launch more: the layers lie in host memory in the GPU's layout */
    } cases[] = {
        {"llama31", SW_FORMAT_F16, 8, 5, false},    {"llama31", SW_FORMAT_INT8, 10, 5, false},
        {"gpt_neox", SW_FORMAT_F16, 8, 5, false},   {"gpt_neox", SW_FORMAT_INT8, 10, 5, false},
        {"qwen3", SW_FORMAT_F16, 8, 5, false},      {"gptj", SW_FORMAT_F16, 7, 5, false},
        {"opt_350m", SW_FORMAT_INT8, 11, 8, false}, {"llama31", SW_FORMAT_F16, 8, 5, true},
        {"llama31", SW_FORMAT_INT8, 10, 5, true},   {"llama31", SW_FORMAT_Q8_0, 8, 5, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int layers;
        const unsigned long token =
            launches(cases[i].name, cases[i].weights, cases[i].streamed, &layers);
        const unsigned long want = (unsigned long)layers * cases[i].layer + cases[i].besides;
        if (token != want)
            printf("    %s in %s, %d layers%s: %lu launches a token instead of %lu\n",
                   cases[i].name, sw_format_of(cases[i].weights)->name, layers,
                   cases[i].streamed ? ", streamed" : "", token, want);
        CU_ASSERT_EQUAL(token, want);
    }
}

SW_UNIT_TESTS({"of a token", of_a_token})
