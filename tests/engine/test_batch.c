/*
 * A sequence's answer does not depend on what else is under way: sequences of several slots in one
 * micro-batch give the bits that each gives alone, on one rank and on three.
 */
#include "pipeline_job.h"
#include "unit.h"

#define SLOTS 3
#define STEPS 6
#define LONGEST 9

static const int lengths[SLOTS] = {4, 9, 1};
static const int32_t prompts[SLOTS][LONGEST] = {
    {5, 17, 80, 3}, {2, 90, 41, 7, 7, 64, 12, 33, 8}, {77}};

/* Logits of each slot's prompt and steps by position, as the hook delivers them. */
struct kept {
    int vocab;
    float *logits[SLOTS]; /* (LONGEST + STEPS, vocab) */
    int64_t n_rows;       /* delivered since the batch was submitted */
    const struct sw_microbatch *batch;
};

static enum sw_status keep(void *context, const struct sw_span *at, const float *data)
{
    struct kept *k = context;
    int64_t row = k->n_rows;
    int span = 0;
    while (row >= k->batch->spans[span].n)
        row -= k->batch->spans[span++].n;
    k->n_rows += at->n;
    memcpy(k->logits[k->batch->spans[span].slot] + at->position * k->vocab, data,
           (size_t)k->vocab * sizeof *data);
    return at->n == 1 && at->slot == k->batch->spans[span].slot ? SW_OK : SW_EINPUT;
}

/* As sw_driver_take: each slot's greedy token into next[]. */
static enum sw_status take_next(void *context, const struct sw_result *results, int n)
{
    int32_t *next = context;
    for (int i = 0; i < n; i++)
        next[results[i].slot] = results[i].id;
    return SW_OK;
}

/* Submits one batch, waits, and takes each slot's greedy token into next[]. */
static enum sw_status step(struct sw_driver *driver, struct kept *k,
                           const struct sw_microbatch *batch, int32_t *next)
{
    k->batch = batch;
    k->n_rows = 0;
    sw_driver_results(driver, take_next, next);
    SW_TRY(sw_driver_submit(driver, batch));
    return sw_driver_drain(driver);
}

/* Runs the slots listed, prompts and STEPS tokens, all of them in each batch. */
static enum sw_status run_slots(struct sw_driver *driver, struct kept *k, const int *slots, int n)
{
    const struct sw_sampling greedy = sw_sampling_default();
    int32_t next[SLOTS] = {0};
    for (int i = 0; i < n; i++)
        SW_TRY(sw_driver_slot(driver, slots[i], &greedy));
    for (int s = 0; s <= STEPS; s++) {
        struct sw_span spans[SLOTS];
        struct sw_row_outputs outputs[SLOTS];
        int32_t ids[SLOTS * LONGEST];
        int rows = 0;
        for (int i = 0; i < n; i++) {
            const int slot = slots[i], count = s == 0 ? lengths[slot] : 1;
            spans[i] = (struct sw_span){slot, s == 0 ? 0 : lengths[slot] + s - 1, rows, count};
            outputs[i] = (struct sw_row_outputs){0, 0, 0, 0}; /* samples after every row */
            for (int j = 0; j < count; j++)
                ids[rows++] = s == 0 ? prompts[slot][j] : next[slot];
        }
        const struct sw_microbatch batch = {
            .n_rows = rows, .n_spans = n, .spans = spans, .outputs = outputs, .ids = ids};
        SW_TRY(step(driver, k, &batch, next));
    }
    return SW_OK;
}

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    struct kept *kept = job->drive_context; /* [0] together, [1] alone */
    static const int all[SLOTS] = {2, 0, 1};
    for (int way = 0; way < 2; way++) {
        struct kept *k = &kept[way];
        const struct sw_driver_hooks hooks = {.logits = keep, .context = k};
        k->vocab = job->vocab;
        for (int s = 0; s < SLOTS; s++)
            k->logits[s] = calloc((size_t)(LONGEST + STEPS) * (size_t)k->vocab, sizeof(float));
        SW_TRY(sw_driver_hooks(driver, &hooks));
        if (way == 0)
            SW_TRY(run_slots(driver, k, all, SLOTS));
        for (int s = 0; s < SLOTS && way == 1; s++)
            SW_TRY(run_slots(driver, k, &s, 1));
    }
    return sw_driver_stop(driver);
}

static void alone_or_together(const char *name, int ranks)
{
    struct kept kept[2] = {{0}};
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
    struct job job = {.dir = dir,
                      .weights = SW_FORMAT_BF16,
                      .kv = SW_BF16,
                      .ranks = ranks,
                      .threads = 2,
                      .chunk = SLOTS * LONGEST,
                      .context = LONGEST + STEPS,
                      .slots = SLOTS,
                      .drive = drive,
                      .drive_context = kept,
                      .ids = prompts[0],
                      .n_ids = 1};
    const enum sw_status status = job_run(&job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK)
        printf("    %s: %s\n", name, job.error);
    for (int s = 0; s < SLOTS && status == SW_OK; s++)
        CU_ASSERT_EQUAL(memcmp(kept[0].logits[s], kept[1].logits[s],
                               (size_t)(lengths[s] + STEPS) * (size_t)job.vocab * sizeof(float)),
                        0);
    for (int way = 0; way < 2; way++)
        for (int s = 0; s < SLOTS; s++)
            free(kept[way].logits[s]);
    job_free(&job);
}

static void one_rank(void)
{
    static const char *const names[] = {
        "llama31",  "mixtral",         "bloom",       "gpt2",      "falcon",       "falcon_40b",
        "llama4",   "llama4_maverick", "cohere_plus", "gemma4",    "gemma4_moe",   "gemma4_e",
        "gemma2",   "gemma3",          "olmo3",       "granite",   "cohere",       "cohere2",
        "glm4",     "smollm3",         "phi3",        "seed_oss",  "ministral3",   "starcoder2",
        "exaone4",  "nemotron",        "hunyuan",     "ernie4_5",  "gpt_oss",      "gpt_oss_mxfp4",
        "glm4_moe", "minimax_m2",      "granitemoe",  "qwen2_moe", "ernie4_5_moe", "olmoe"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        alone_or_together(names[i], 1);
}

static void three_ranks(void)
{
    alone_or_together("mistral", 3);
    alone_or_together("qwen3_moe", 3);
    alone_or_together("falcon_rw", 3);
    alone_or_together("gpt_oss", 3);
}

SW_UNIT_TESTS({"one rank", one_rank}, {"three ranks", three_ranks})
