/*
 * Shared by the tests of tiers: stages whose memory is compared with what the planner counts for
 * them, by the cost model itself.
 */
#ifndef SW_TESTS_ENGINE_TIERS_H
#define SW_TESTS_ENGINE_TIERS_H

#include "engine/pipeline_job.h"
#include "plan/cost.h"
#include "unit.h"

#define N_IDS 75 /* more than a block of keys */
#define N_NEW 6
#define CONTEXT (N_IDS + N_NEW)

static int32_t ids[N_IDS];

static inline void make_ids(void)
{
    uint32_t state = 12345;
    for (int i = 0; i < N_IDS; i++) {
        state = state * 1664525u + 1013904223u;
        ids[i] = (int32_t)(3 + (state >> 16) % 240);
    }
}

/* Tiers; the layers that are in none of these two are in host memory. */
#define TIERS(gpu, streamed, rows, embed, head)                                                    \
    {                                                                                              \
        .n_gpu = (gpu), .n_streamed = (streamed), .stream_rows = (rows), .embed_on_gpu = (embed),  \
        .head_on_gpu = (head)                                                                      \
    }

/* What the planner counts for a stage of these layers on one rank of `ranks` with a GPU each. */
struct counted {
    struct sw_plan_stage stage;
    uint64_t gpu, host; /* bytes that the backends should allocate */
};

/* stream: are host layers streamed for a prompt? */
static inline struct counted count(const char *dir, const struct job *job,
                                   const struct sw_engine_slice *slice, int rank, bool stream)
{
    struct counted c = {{0}, 0, 0};
    struct sw_model *model = NULL;
    struct sw_cluster cluster;
    struct sw_footprint fp;
    struct sw_cost cost;
    struct sw_plan_options options;
    char text[128];
    struct sw_footprint_params params = {.weights = job->weights,
                                         .unquantized = SW_FORMAT_F16,
                                         .as_stored = job->as_stored,
                                         .kv = job->kv,
                                         .context = job->context,
                                         .slots = job->slots ? job->slots : 1,
                                         .max_batch_tokens = job->chunk};
    memcpy(params.by_role, job->by_role, sizeof params.by_role);
    snprintf(text, sizeof text, "1x(gpu:%dx24G host:64G)", job->ranks);
    sw_plan_options_init(&options);
    CU_ASSERT_EQUAL_FATAL(job->as_stored ? sw_open_model(dir, &model) : sw_model_open(dir, &model),
                          SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &fp), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), &cluster), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_cost_init(&cost, &fp, &cluster, &options), SW_OK);
    const struct sw_tiers *t = &slice->tiers;
    c.stage = (struct sw_plan_stage){.rank = rank,
                                     .first = slice->first,
                                     .count = slice->count,
                                     .tiers = *t,
                                     .embed = slice->first == 0,
                                     .head = slice->first + slice->count == fp.n_layers};
    c.stage.tiers.n_host += slice->count - sw_tiers_layers(t);
    c.stage.tiers.embed_on_gpu = c.stage.embed && t->embed_on_gpu;
    c.stage.tiers.head_on_gpu = c.stage.head && t->head_on_gpu;
    c.stage.stream_prompt = stream && c.stage.tiers.n_host > 0;
    sw_cost_stage(&cost, &c.stage);
    const struct sw_bytes *g = &c.stage.gpu, *h = &c.stage.host;
    const bool cpu_works = c.stage.tiers.n_host > 0 ||
                           (c.stage.tiers.n_disk > 0 && !t->disk_on_gpu) ||
                           (c.stage.embed && !t->embed_on_gpu) || (c.stage.head && !t->head_on_gpu);
    c.gpu = g->total ? g->total - g->context - fp.gpu_workspace_bytes : 0;
    const uint64_t buffers = h->staging ? h->staging - fp.disk_read_bytes : 0;
    c.host = buffers + h->weights + h->kv + h->embed + h->head +
             (cpu_works ? sw_work_of(model, &params).bytes : 0);
    sw_cost_free(&cost);
    sw_cluster_free(&cluster);
    sw_footprint_free(&fp);
    sw_model_close(model);
    return c;
}

static inline struct job job_of(const char *dir, enum sw_format_id format)
{
    return (struct job){.dir = dir,
                        .weights = format,
                        .kv = sw_format_kv(format, SW_F16),
                        .ranks = 1,
                        .threads = 1,
                        .chunk = 80,
                        .context = CONTEXT,
                        .ids = ids,
                        .n_ids = N_IDS,
                        .n_new = N_NEW};
}

static inline const char *say(const struct sw_engine_slice *s, char *text, size_t cap)
{
    const struct sw_tiers *t = &s->tiers;
    snprintf(text, cap, "%d gpu, %d host, %d streamed, embedding on %s, head on %s, from %d rows",
             t->n_gpu, s->count - t->n_gpu - t->n_streamed, t->n_streamed,
             t->embed_on_gpu ? "gpu" : "cpu", t->head_on_gpu ? "gpu" : "cpu", t->stream_rows);
    return text;
}

/* Runs the job on the slices, and compares its memory with the plan. */
static inline bool run(struct job *job, struct sw_engine_slice *slices)
{
    struct counted counted[16];
    char text[128];
    bool good = true;
    for (int r = 0; r < job->ranks; r++) {
        counted[r] = count(job->dir, job, &slices[r], r, slices[r].tiers.stream_rows > 0);
        slices[r].gpu_memory = counted[r].gpu;
    }
    job->slices = slices;
    job->gpus = true;
    const enum sw_status status = job_run(job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK)
        printf("    %s: %s: %s\n", job->dir, say(&slices[0], text, sizeof text), job->error);
    for (int r = 0; r < job->ranks && status == SW_OK; r++) {
        const struct fake_report *g = &job->gpu_reports[r], *h = &job->cpu_reports[r];
        const uint64_t planned = counted[r].gpu;
        good = good && g->peak == planned && job->gpu_bytes[r] == planned &&
               h->peak == counted[r].host && g->left == 0 && h->left == 0 &&
               g->faults + h->faults + g->pins_left == 0;
        if (!good)
            printf("    %s rank %d: %s:\n    gpu %llu of %llu, host %llu of %llu, left %llu and "
                   "%llu, %d faults (%s%s)\n",
                   strrchr(job->dir, '/') + 1, r, say(&slices[r], text, sizeof text),
                   (unsigned long long)g->peak, (unsigned long long)planned,
                   (unsigned long long)h->peak, (unsigned long long)counted[r].host,
                   (unsigned long long)g->left, (unsigned long long)h->left, g->faults + h->faults,
                   g->fault, h->fault);
    }
    CU_ASSERT_TRUE(good);
    /* What leaves a GPU has been looked at: sums may overflow there. (The library tells nobody.) */
    for (int r = 0; r < job->ranks && status == SW_OK; r++) {
        snprintf(text, sizeof text, "the output of layer %d",
                 slices[r].first + slices[r].count - 1);
        if (!job->library && sw_slice_ends_on_gpu(&slices[r]))
            CU_ASSERT_STRING_EQUAL(job->gpu_reports[r].checked, text);
    }
    return good && status == SW_OK;
}

static inline void path_of(const char *name, char *dir, size_t cap)
{
    snprintf(dir, cap, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
}

static inline void properties(const char *dir, int *layers, bool *tied)
{
    struct sw_model *model = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    *layers = model->dims.n_layers;
    *tied = model->dims.tied;
    sw_model_close(model);
}

/* A micro-batch that uses the layers [first, end) of a store. */
static inline enum sw_status begin_range(struct sw_store *store, int first, int end)
{
    int layers[8], n = 0;
    for (int i = first; i < end; i++)
        layers[n++] = i;
    return store->ops->begin(store, layers, n);
}

#endif
