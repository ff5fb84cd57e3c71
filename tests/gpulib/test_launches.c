/*
 * How many kernels a layer of a token takes: on a fast card each costs about as much as reading
 * some hundredth of a layer, whatever it does, so one more is a loss that nothing else would show.
 */
#include "engine/job.h"
#include "gpulib_help.h"

#include <simgpu.h>

enum { N_IDS = 6, LEAST_NEW = 2 };
static const int32_t ids[N_IDS] = {3, 14, 15, 92, 65, 35};

/* Launches of a whole run that generates n_new tokens. */
static unsigned long launches(const char *name, enum sw_dtype weights, int n_new, int *n_layers)
{
    char dir[4096];
    struct sw_model *model = NULL;
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    *n_layers = model->dims.n_layers;
    sw_model_close(model);
    const struct sw_engine_slice all = {
        .count = *n_layers,
        .tiers = {.n_gpu = *n_layers, .embed_on_gpu = true, .head_on_gpu = true},
        .gpu_memory = (uint64_t)64 << 20};
    struct job job = {.dir = dir,
                      .weights = weights,
                      .kv = SW_F16,
                      .ranks = 1,
                      .threads = 1,
                      .chunk = N_IDS,
                      .context = N_IDS + LEAST_NEW + 1,
                      .ids = ids,
                      .n_ids = N_IDS,
                      .n_new = n_new,
                      .gpus = true,
                      .library = gpu_library(),
                      .slices = &all,
                      .no_graphs = true};
    const unsigned long before = simgpu_calls("launch");
    CU_ASSERT_EQUAL_FATAL(job_run(&job), SW_OK);
    job_free(&job);
    return simgpu_calls("launch") - before;
}

static void of_a_token(void)
{
    static const struct {
        const char *name;
        enum sw_dtype weights;
        unsigned long layer, besides; /* besides: before and after layers */
    } cases[] = {
        {"llama31", SW_F16, 8, 5},    {"llama31", SW_INT8, 10, 5}, {"gpt_neox", SW_F16, 8, 5},
        {"gpt_neox", SW_INT8, 10, 5}, {"qwen3", SW_F16, 8, 5},     {"gptj", SW_F16, 7, 5},
        {"opt_350m", SW_INT8, 11, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int layers;
        const unsigned long some = launches(cases[i].name, cases[i].weights, LEAST_NEW, &layers);
        const unsigned long token =
            launches(cases[i].name, cases[i].weights, LEAST_NEW + 1, &layers) - some;
        const unsigned long want = (unsigned long)layers * cases[i].layer + cases[i].besides;
        if (token != want)
            printf("    %s in %s, %d layers: %lu launches a token instead of %lu\n", cases[i].name,
                   sw_dtype_info(cases[i].weights)->name, layers, token, want);
        CU_ASSERT_EQUAL(token, want);
    }
}

SW_UNIT_TESTS({"of a token", of_a_token})
