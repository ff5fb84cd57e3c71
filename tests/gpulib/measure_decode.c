/*
 * Decoding on a GPU with steps kept as graphs, and with each kernel launched by itself: a tool, not
 * a test. The model, with made-up weights, lies on the GPU whole. On the simulated GPU the figures
 * mean nothing.
 *
 *     measure_decode CONFIG_FOLDER WEIGHTS [TOKENS]
 */
#include "engine/job.h"

#include "base/clock.h"

#define MOST_TOKENS 1024
#define PROMPT 16

struct times {
    double at[MOST_TOKENS];
    int n;
};

static enum sw_status note(void *context, const struct sw_sampled *token, bool *stop)
{
    struct times *times = context;
    (void)token;
    *stop = false;
    times->at[times->n++] = sw_clock();
    return SW_OK;
}

static enum sw_status lead(struct job *job, struct sw_engine *engine)
{
    static int32_t prompt[PROMPT];
    struct sw_generate g = {.prompt = prompt,
                            .n_prompt = PROMPT,
                            .max_new = job->n_new,
                            .context = job->context,
                            .chunk = job->chunk,
                            .sampling = sw_sampling_default(),
                            .token = note,
                            .context_of_caller = job->lead_context};
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = 10 + i;
    SW_TRY(sw_generate(engine, &g));
    return sw_engine_stop(engine);
}

static int smaller(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds a token, the median; what is recorded first does not count. */
static double median_step(const struct times *times)
{
    double steps[MOST_TOKENS];
    int n = 0;
    for (int i = times->n / 4 + 1; i < times->n; i++)
        steps[n++] = times->at[i] - times->at[i - 1];
    qsort(steps, (size_t)n, sizeof steps[0], smaller);
    return n ? steps[n / 2] : 0;
}

static int layers_of(const char *dir)
{
    struct sw_model *model = NULL;
    if (sw_model_open(dir, &model) != SW_OK)
        return 0;
    const int n = model->dims.n_layers;
    sw_model_close(model);
    return n;
}

int main(int argc, char **argv)
{
    static struct times times;
    static const int32_t one = 1;
    const char *why;
    enum sw_status status;
    enum sw_dtype weights;
    const int tokens = argc > 3 ? atoi(argv[3]) : 200;
    if (argc < 3 || !sw_dtype_by_name(argv[2], &weights) || tokens < 8 || tokens > MOST_TOKENS) {
        fprintf(stderr, "usage: measure_decode CONFIG_FOLDER WEIGHTS [TOKENS]\n");
        return 2;
    }
    const int layers = layers_of(argv[1]);
    const struct sw_engine_slice all = {
        .count = layers,
        .tiers = {.n_gpu = layers, .embed_on_gpu = true, .head_on_gpu = true},
        .gpu_memory = UINT64_MAX};
    struct job job = {.dir = argv[1],
                      .weights = weights,
                      .kv = SW_F16,
                      .ranks = 1,
                      .threads = 1,
                      .chunk = PROMPT,
                      .context = PROMPT + tokens,
                      .random = true,
                      .slices = &all,
                      .gpus = true,
                      .library = sw_gpu_library_load(&why, &status),
                      .ids = &one,
                      .n_ids = 1,
                      .n_new = tokens,
                      .lead = lead,
                      .lead_context = &times};
    if (layers == 0 || !job.library) {
        fprintf(stderr, "%s\n", layers == 0 ? sw_error_message() : why);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        times.n = 0;
        job.no_graphs = i == 1;
        if (job_run(&job) != SW_OK) {
            fprintf(stderr, "%s\n", job.error);
            return 1;
        }
        job_free(&job);
        printf("%s, %s, decode, %s: %.3f ms a token (%llu of %d steps repeated)\n", argv[1],
               argv[2], i ? "kernels launched one by one" : "steps kept as graphs",
               median_step(&times) * 1e3, (unsigned long long)job.replays[0], times.n);
    }
    return 0;
}
