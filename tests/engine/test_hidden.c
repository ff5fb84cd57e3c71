/*
 * Hidden states and logits of many requests at once: each request gets those of its own rows, of
 * the layers and positions that were asked for, bit for bit as of the text alone, and all of them
 * before it is done.
 */
#include "engine/scheduler.h"
#include "pipeline_job.h"

#include "unit.h"

#define TEXTS 12
#define LONGEST 60
#define LAYERS_MAX 16

struct text {
    struct kept *kept;
    int32_t ids[LONGEST + 1]; /* an id follows that is scored */
    int n, n_hidden;
    float *states[LAYERS_MAX + 1]; /* (n, hidden) of the text alone; [0] the embedding */
    float *logits;                 /* (n, vocab) */
    int64_t got, got_logits;       /* rows of all layers; rows */
    bool done;
};

struct kept {
    struct text texts[TEXTS];
    int hidden, layers, vocab;
    int alone; /* the text that is computed alone */
    int wrong;
};

/* What is asked for of the models' layers. */
static const char wanted[LAYERS_MAX + 1] = {1, 0, 1, 1};

static enum sw_status keep_hidden(void *context, int layer, const struct sw_span *span,
                                  const float *data)
{
    struct kept *k = context;
    memcpy(k->texts[k->alone].states[layer + 1] + span->position * k->hidden, data,
           (size_t)(span->n * k->hidden) * sizeof *data);
    return SW_OK;
}

static enum sw_status keep_logits(void *context, const struct sw_span *span, const float *data)
{
    struct kept *k = context;
    memcpy(k->texts[k->alone].logits + span->position * k->vocab, data,
           (size_t)(span->n * k->vocab) * sizeof *data);
    return SW_OK;
}

static enum sw_status take_hidden(void *owner, int layer, int64_t position, int64_t n,
                                  const float *data)
{
    struct text *t = owner;
    const size_t hidden = (size_t)t->kept->hidden;
    t->kept->wrong += t->done || !wanted[layer + 1] || position < t->n - t->n_hidden ||
                      memcmp(data, t->states[layer + 1] + (size_t)position * hidden,
                             (size_t)n * hidden * sizeof *data) != 0;
    t->got += n;
    return SW_OK;
}

static enum sw_status take_logits(void *owner, int64_t position, int64_t n, const float *data)
{
    struct text *t = owner;
    const int vocab = t->kept->vocab;
    t->kept->wrong += t->done || position != t->n - 1 || n != 1 ||
                      memcmp(data, t->logits + position * vocab, (size_t)vocab * sizeof *data) != 0;
    t->got_logits += n;
    return SW_OK;
}

static enum sw_status take_done(void *owner, enum sw_finish finish)
{
    struct text *t = owner;
    int layers = 0;
    for (int i = 0; i <= t->kept->layers; i++)
        layers += wanted[i];
    t->kept->wrong += t->done || finish != SW_FINISH_LENGTH || t->got != layers * t->n_hidden ||
                      t->got_logits != 1;
    t->done = true;
    return SW_OK;
}

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    struct kept *k = job->drive_context;
    const struct sw_sampling greedy = sw_sampling_default();
    const struct sw_driver_hooks all = {.hidden = keep_hidden, .logits = keep_logits, .context = k};
    k->vocab = job->vocab;
    for (int i = 0; i < TEXTS; i++)
        k->texts[i].logits = calloc((size_t)(LONGEST * k->vocab), sizeof(float));
    SW_TRY(sw_driver_hooks(driver, &all));
    for (k->alone = 0; k->alone < TEXTS; k->alone++) {
        const struct text *t = &k->texts[k->alone];
        SW_TRY(sw_driver_slot(driver, 0, &greedy));
        SW_TRY(sw_prefill(driver, 0, t->ids, t->n, job->chunk));
    }
    const struct sw_scheduler_options options = {.driver = driver,
                                                 .slots = job->slots,
                                                 .context = job->context,
                                                 .max_batch_tokens = job->chunk,
                                                 .hidden_layers = wanted,
                                                 .logits = true};
    struct sw_scheduler *scheduler;
    SW_TRY(sw_scheduler_open(&options, &scheduler));
    enum sw_status status = SW_OK;
    for (int i = 0; i < TEXTS && status == SW_OK; i++) {
        struct text *t = &k->texts[i];
        const struct sw_request request = {.ids = t->ids,
                                           .n_ids = t->n + 1,
                                           .score_from = t->n,
                                           .n_hidden = t->n_hidden,
                                           .sampling = greedy,
                                           .hidden = take_hidden,
                                           .logits = take_logits,
                                           .done = take_done,
                                           .owner = t};
        status = sw_scheduler_submit(scheduler, &request, NULL);
    }
    while (status == SW_OK && !sw_scheduler_idle(scheduler))
        status = sw_scheduler_step(scheduler);
    sw_scheduler_close(scheduler);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

/* Every other text begins as the first one does; some ask for all rows, some for the last, some for
 * none. */
static void check(const char *name, int hidden, int layers, int ranks, int rows)
{
    static struct kept k;
    char dir[4096];
    k = (struct kept){.hidden = hidden, .layers = layers};
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
    for (int i = 0; i < TEXTS; i++) {
        struct text *t = &k.texts[i];
        t->kept = &k;
        t->n = 1 + (i * 17 + 40) % LONGEST;
        t->n_hidden = i % 3 == 0 ? t->n : i % 3 == 1 ? 1 : 0;
        for (int p = 0; p <= t->n; p++)
            t->ids[p] = (p * 7 + (i % 2 ? 0 : i)) % 90;
        for (int l = 0; l <= layers; l++)
            t->states[l] = calloc((size_t)(t->n * hidden), sizeof *t->states[l]);
    }
    struct job job = {.dir = dir,
                      .weights = SW_FORMAT_BF16,
                      .kv = SW_BF16,
                      .ranks = ranks,
                      .threads = 1,
                      .chunk = rows,
                      .context = LONGEST,
                      .slots = 4,
                      .drive = drive,
                      .drive_context = &k};
    CU_ASSERT_EQUAL(job_run(&job), SW_OK);
    if (k.wrong)
        printf("    %s on %d ranks, %d rows: %d times wrong\n", name, ranks, rows, k.wrong);
    CU_ASSERT_EQUAL(k.wrong, 0);
    for (int i = 0; i < TEXTS; i++) {
        CU_ASSERT(k.texts[i].done);
        free(k.texts[i].logits);
        for (int l = 0; l <= layers; l++)
            free(k.texts[i].states[l]);
    }
    job_free(&job);
}

static void each_gets_its_own(void)
{
    for (int ranks = 1; ranks <= 3; ranks++) {
        check("mistral", 48, 3, ranks, 512);
        check("mistral", 48, 3, ranks, 16);
    }
    check("qwen3_5", 36, 5, 2, 16); /* layers that keep a state */
}

SW_UNIT_TESTS({"each request gets its own", each_gets_its_own})
