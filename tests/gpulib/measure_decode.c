/*
 * Decoding on a GPU with steps captured as graphs, with each kernel launched by itself, and with
 * layers streamed from host memory, compared with the GPU's memory and bus: a tool, not a test. The
 * weights are made up. On the simulated GPU the figures mean nothing.
 *
 *     measure_decode CONFIG_FOLDER WEIGHTS [TOKENS]
 */
#include "engine/pipeline_job.h"

#include "base/clock.h"
#include "base/pool.h"

#include <unistd.h>

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

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    static int32_t prompt[PROMPT];
    struct sw_generate g = {.prompt = prompt,
                            .n_prompt = PROMPT,
                            .max_new = job->n_new,
                            .context = job->context,
                            .chunk = job->chunk,
                            .sampling = sw_sampling_default(),
                            .token = note,
                            .context_of_caller = job->drive_context};
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = 10 + i;
    SW_TRY(sw_generate(driver, &g));
    return sw_driver_stop(driver);
}

static int smaller(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of seconds for a token, without the steps that are captured. */
static double median_step(const struct times *times)
{
    double steps[MOST_TOKENS];
    int n = 0;
    for (int i = times->n / 4 + 1; i < times->n; i++)
        steps[n++] = times->at[i] - times->at[i - 1];
    qsort(steps, (size_t)n, sizeof steps[0], smaller);
    return n ? steps[n / 2] : 0;
}

/* Bytes that decoding a token reads. */
struct sizes {
    int layers;
    double layer, head; /* bytes */
};

static enum sw_status look(const char *dir, const struct sw_footprint_params *params,
                           struct sizes *out)
{
    struct sw_model *model = NULL;
    SW_TRY(sw_model_open(dir, &model));
    const struct sw_staging staging = sw_staging_of(model, params);
    out->layers = model->dims.n_layers;
    out->layer = (double)staging.layer;
    out->head = (double)sw_matrix_bytes(params->weights, model->dims.vocab, model->dims.hidden);
    sw_model_close(model);
    return SW_OK;
}

static const struct way {
    const char *name;
    bool no_graphs, streamed;
    int most_tokens;
} ways[] = {{"steps kept as graphs", false, false, MOST_TOKENS},
            {"kernels launched one by one", true, false, MOST_TOKENS},
            {"layers streamed from host memory", false, true, 16}};

static enum sw_status measure(struct job *job, const struct way *way, const struct sizes *sizes,
                              const struct sw_gpu_speeds *speeds)
{
    struct times *times = job->drive_context;
    const int layers = sizes->layers;
    const struct sw_engine_slice all = {.count = layers,
                                        .tiers = {.n_gpu = way->streamed ? 0 : layers,
                                                  .n_streamed = way->streamed ? layers : 0,
                                                  .embed_on_gpu = true,
                                                  .head_on_gpu = true},
                                        .gpu_memory = UINT64_MAX};
    const int tokens = job->n_new;
    times->n = 0;
    job->slices = &all;
    job->no_graphs = way->no_graphs;
    job->n_new = tokens < way->most_tokens ? tokens : way->most_tokens;
    const enum sw_status status = job_run(job);
    job->n_new = tokens;
    if (status != SW_OK)
        return status;
    job_free(job);
    const double step = median_step(times);
    const double bytes = layers * sizes->layer + (way->streamed ? 0 : sizes->head);
    const double rate = step > 0 ? bytes / step : 0;
    const double most = way->streamed ? speeds->to_device : speeds->bandwidth;
    printf("%s, %s, decode, %s: %.3f ms a token (%llu of %d steps repeated), %.1f GB/s of weights, "
           "%.0f %% of the %.1f of %s\n",
           job->dir, sw_format_of(job->weights)->name, way->name, step * 1e3,
           (unsigned long long)job->replays[0], times->n, rate / 1e9,
           most > 0 ? 100 * rate / most : 0, most / 1e9, way->streamed ? "the bus" : "memory");
    fflush(stdout);
    return SW_OK;
}

int main(int argc, char **argv)
{
    static struct times times;
    static const int32_t one = 1;
    const char *why;
    enum sw_status status;
    enum sw_format_id weights;
    const int tokens = argc > 3 ? atoi(argv[3]) : 200;
    if (argc < 3 || !sw_format_by_name(argv[2], &weights) || tokens < 8 || tokens > MOST_TOKENS) {
        fprintf(stderr, "usage: measure_decode CONFIG_FOLDER WEIGHTS [TOKENS]\n");
        return 2;
    }
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int threads = cores > 1 ? (int)cores : 1;
    struct job job = {.dir = argv[1],
                      .weights = weights,
                      .kv = SW_F16,
                      .ranks = 1,
                      .threads = threads,
                      .chunk = PROMPT,
                      .context = PROMPT + tokens,
                      .random = true,
                      .gpus = true,
                      .library = sw_gpu_library_load(&why, &status),
                      .ids = &one,
                      .n_ids = 1,
                      .n_new = tokens,
                      .drive = drive,
                      .drive_context = &times};
    const struct sw_footprint_params params = {.weights = weights,
                                               .unquantized = SW_FORMAT_F16,
                                               .kv = job.kv,
                                               .context = job.context,
                                               .slots = 1,
                                               .max_batch_tokens = job.chunk};
    struct sizes sizes = {0};
    struct sw_gpu_speeds speeds = {0};
    if (!job.library) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    status = look(argv[1], &params, &sizes);
    if (status == SW_OK)
        status = job.library->measure(0, &speeds);
    if (status == SW_OK)
        status = sw_pool_create(threads, NULL, 0, &job.pool);
    snprintf(job.error, sizeof job.error, "%s", status == SW_OK ? "" : sw_error_message());
    for (size_t i = 0; i < sizeof ways / sizeof ways[0] && status == SW_OK; i++)
        status = measure(&job, &ways[i], &sizes, &speeds);
    sw_pool_free(job.pool);
    if (status != SW_OK)
        fprintf(stderr, "%s\n", job.error);
    return status != SW_OK;
}
