/*
 * Encoder-decoders: the same bits however the layers are cut (inside the encoder, between the
 * stacks, inside the decoder), however the target is cut, on any number of threads, on both
 * devices, and with any other sequences under way; the buckets of positions are the reference's.
 */
#include "engine/encoder_job.h"
#include "engine/scheduler.h"
#include "unit.h"

#include <math.h>

#define N_SOURCE 29
#define N_IDS 17
#define N_NEW 12

static struct job job_of(const char *name, enum sw_format_id weights, enum sw_dtype kv)
{
    return encoder_job(name, weights, kv, N_SOURCE, N_IDS, N_NEW);
}

static void encoder_same(struct job *job, const struct job *one, const char *what)
{
    const enum sw_status status = job_run(job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK) {
        printf("    %s: %s\n", what, job->error);
        job_free(job);
        return;
    }
    const size_t n = N_IDS * (size_t)one->vocab;
    const bool same = memcmp(job->logits, one->logits, n * sizeof *one->logits) == 0 &&
                      memcmp(job->new_ids, one->new_ids, N_NEW * sizeof *one->new_ids) == 0;
    CU_ASSERT(same);
    if (!same)
        printf("    %s: other bits\n", what);
    job_free(job);
}

#define CUTS 7
/* t5 has 2 + 3 layers, t5_v1_1 2 + 2; a cut is the layers of each rank, the last one has the rest.
 */
static const struct {
    int ranks, counts[5];
    const char *what;
} cuts[CUTS] = {{2, {1}, "cut inside the encoder"},    {2, {2}, "cut between the stacks"},
                {2, {3}, "cut inside the decoder"},    {3, {1, 2}, "three ranks"},
                {4, {1, 1, 1}, "four ranks"},          {3, {2, 0}, "a rank without layers"},
                {3, {1, 1}, "an encoder on two ranks"}};

static void encoder_slices(int cut, int layers, struct sw_engine_slice slices[5])
{
    for (int r = 0, first = 0; r < cuts[cut].ranks; r++) {
        const int count = r + 1 < cuts[cut].ranks ? cuts[cut].counts[r] : layers - first;
        slices[r] = (struct sw_engine_slice){.first = first, .count = count};
        first += count;
    }
}

static void whatever_the_cut(void)
{
    static const struct {
        const char *name;
        int layers;
        enum sw_format_id weights;
        enum sw_dtype kv;
    } models[] = {{"t5", 5, SW_FORMAT_F32, SW_F32},
                  {"t5", 5, SW_FORMAT_BF16, SW_BF16},
                  {"t5_v1_1", 4, SW_FORMAT_F16, SW_F16},
                  {"t5_v1_1", 4, SW_FORMAT_Q8_0, SW_F16}};
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        struct job one = job_of(models[m].name, models[m].weights, models[m].kv);
        CU_ASSERT_EQUAL_FATAL(job_run(&one), SW_OK);
        for (int c = 0; c < CUTS; c++) {
            struct sw_engine_slice slices[5];
            struct job job = job_of(models[m].name, models[m].weights, models[m].kv);
            encoder_slices(c, models[m].layers, slices);
            job.ranks = cuts[c].ranks;
            job.slices = slices;
            encoder_same(&job, &one, cuts[c].what);
        }
        for (int chunk = 1; chunk < N_IDS; chunk += 5) {
            struct job job = job_of(models[m].name, models[m].weights, models[m].kv);
            job.target_chunk = chunk;
            job.threads = 1 + chunk % 3;
            encoder_same(&job, &one, "a target in pieces, on some threads");
        }
        job_free(&one);
    }
}

/* Layers on a GPU (here the CPU's arithmetic behind a GPU's operations), in host memory and
 * streamed, in one stage and in several: rows pass layers that they do not run. */
static void whatever_the_tier(void)
{
    static const struct {
        int ranks;
        struct sw_engine_slice slices[2];
    } cases[] = {
        {1, {{.count = 5, .tiers = {.n_gpu = 5}, .gpu_memory = UINT64_MAX}}},
        {1, {{.count = 5, .tiers = {.n_gpu = 1, .n_host = 4}, .gpu_memory = UINT64_MAX}}},
        {1, {{.count = 5, .tiers = {.n_gpu = 3, .n_host = 2}, .gpu_memory = UINT64_MAX}}},
        {1, {{.count = 5, .tiers = {.n_gpu = 2, .n_streamed = 3}, .gpu_memory = UINT64_MAX}}},
        {1, {{.count = 5, .tiers = {.n_host = 1, .n_streamed = 4}, .gpu_memory = UINT64_MAX}}},
        {2,
         {{.count = 2, .tiers = {.n_gpu = 2}, .gpu_memory = UINT64_MAX},
          {.first = 2,
           .count = 3,
           .tiers = {.n_streamed = 2, .n_host = 1},
           .gpu_memory = UINT64_MAX}}},
        {1, {{.count = 5, .tiers = {.n_host = 2, .n_disk = 3}}}},
    };
    struct job one = job_of("t5", SW_FORMAT_F32, SW_F32);
    CU_ASSERT_EQUAL_FATAL(job_run(&one), SW_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct job job = job_of("t5", SW_FORMAT_F32, SW_F32);
        char what[32];
        snprintf(what, sizeof what, "tiers, case %zu", i);
        job.ranks = cases[i].ranks;
        job.slices = cases[i].slices;
        job.gpus = true;
        encoder_same(&job, &one, what);
    }
    job_free(&one);
}

/* ---- several sequences */

#define TEXTS 9
struct encoder_text {
    int32_t source[N_SOURCE], new_ids[N_NEW];
    float scores[N_IDS];
    int n_source, n_new, n_scored, max_new;
};
struct encoder_texts {
    struct encoder_text texts[TEXTS];
    int from, n; /* those that are run */
};

static enum sw_status encoder_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct encoder_text *t = owner;
    (void)stop;
    t->new_ids[t->n_new++] = token->id;
    return SW_OK;
}

static enum sw_status encoder_scored(void *owner, int index, const struct sw_sampled *score,
                                     bool greedy)
{
    struct encoder_text *t = owner;
    (void)greedy;
    t->scores[index] = score->logprob;
    t->n_scored++;
    return SW_OK;
}

static enum sw_status encoder_drive(struct job *job, struct sw_driver *driver)
{
    struct encoder_texts *all = job->drive_context;
    const struct sw_scheduler_options options = {.driver = driver,
                                                 .slots = job->slots,
                                                 .context = job->context,
                                                 .max_batch_tokens = job->chunk};
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    enum sw_status status = SW_OK;
    for (int i = all->from; i < all->from + all->n && status == SW_OK; i++) {
        struct encoder_text *t = &all->texts[i];
        struct sw_request r = {.max_new = t->max_new,
                               .sampling = sw_sampling_default(),
                               .scored = encoder_scored,
                               .token = encoder_token,
                               .owner = t};
        sw_request_prompt(&r, sw_scheduler_start(s), t->source, t->n_source);
        if (t->max_new == 0) { /* the log-probabilities of the target instead */
            r.ids = job->ids;
            r.n_ids = N_IDS;
            r.score_from = 1;
        }
        status = sw_scheduler_submit(s, &r, NULL);
    }
    while (status == SW_OK && !sw_scheduler_idle(s))
        status = sw_scheduler_step(s);
    const struct sw_request wrong = {.ids = job->ids,
                                     .n_ids = 1,
                                     .score_from = 1,
                                     .max_new = 1,
                                     .sampling = sw_sampling_default()};
    if (status == SW_OK && sw_scheduler_submit(s, &wrong, NULL) != SW_EINPUT)
        status = sw_fail(SW_EINPUT, "a request without a source was taken");
    sw_scheduler_close(s);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

static void encoder_make_texts(struct encoder_texts *all)
{
    memset(all, 0, sizeof *all);
    for (int i = 0; i < TEXTS; i++) {
        struct encoder_text *t = &all->texts[i];
        t->n_source = 1 + i * 7 % N_SOURCE;
        t->max_new = i % 3 == 1 ? 0 : 1 + i * 5 % N_NEW;
        for (int k = 0; k < t->n_source; k++)
            t->source[k] = 2 + (i / 2 * 11 + k * 13) % 90; /* some begin alike */
    }
}

static void encoder_run_texts(struct encoder_texts *all, int ranks, int slots, int chunk)
{
    struct job job = job_of("t5", SW_FORMAT_F32, SW_F32);
    job.ranks = ranks;
    job.slots = slots;
    job.chunk = chunk;
    job.drive = encoder_drive;
    job.drive_context = all;
    const enum sw_status status = job_run(&job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK)
        printf("    %s\n", job.error);
    job_free(&job);
}

static void whatever_else_is_under_way(void)
{
    static const int forms[][3] = {{1, 1, 29}, {1, 4, 29}, {2, 3, 31}, {3, 9, 64}, {5, 9, 30}};
    struct encoder_texts alone, all;
    encoder_make_texts(&alone);
    for (alone.n = 1; alone.from < TEXTS; alone.from++)
        encoder_run_texts(&alone, 1, 1, N_SOURCE);
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        encoder_make_texts(&all);
        all.n = TEXTS;
        encoder_run_texts(&all, forms[f][0], forms[f][1], forms[f][2]);
        for (int i = 0; i < TEXTS; i++) {
            const struct encoder_text *a = &all.texts[i], *b = &alone.texts[i];
            CU_ASSERT_EQUAL(a->n_new, a->max_new);
            CU_ASSERT_EQUAL(a->n_scored, a->max_new ? 0 : N_IDS - 1);
            CU_ASSERT_EQUAL(memcmp(a->new_ids, b->new_ids, sizeof a->new_ids), 0);
            CU_ASSERT_EQUAL(memcmp(a->scores, b->scores, sizeof a->scores), 0);
        }
    }
}

/* ---- buckets, as transformers' T5Attention._relative_position_bucket has them (32 and 128, 8 and
 * 12): the first key - query of each bucket */
static void buckets_are_the_references(void)
{
    static const struct {
        int n, reach;
        bool both;
        int apart[9], bucket[9];
    } cases[] = {
        {32,
         128,
         true,
         {-200, -91, -90, -16, -8, 0, 8, 16, 128},
         {15, 15, 14, 10, 8, 0, 24, 26, 31}},
        {32,
         128,
         false,
         {-200, -113, -112, -32, -16, -1, 0, 1, 9},
         {31, 31, 30, 21, 16, 1, 0, 0, 0}},
        {8, 12, true, {-12, -5, -4, -2, -1, 1, 2, 5, 12}, {3, 3, 2, 2, 1, 5, 6, 7, 7}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int k = 0; k < 9; k++)
            CU_ASSERT_EQUAL(
                sw_position_bucket(cases[i].apart[k], cases[i].both, cases[i].n, cases[i].reach),
                cases[i].bucket[k]);
    /* The sum of (i + 1) * bucket over the distances i - 300 for i from 0 to 600. */
    static const struct {
        int n, reach;
        bool both;
        int64_t sum;
    } sums[] = {{32, 128, true, 4692590}, {32, 128, false, 1155805}, {8, 12, true, 1080590},
                {12, 40, true, 1700048},  {12, 40, false, 467774},   {64, 256, true, 9111270}};
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        int64_t sum = 0;
        for (int k = 0; k <= 600; k++)
            sum += (k + 1) * sw_position_bucket(k - 300, sums[i].both, sums[i].n, sums[i].reach);
        CU_ASSERT_EQUAL(sum, sums[i].sum);
    }
}

/* The residual stream, and what is added to it, is too large for f16: with weights and KV of f16
 * the logits are still those of f32, but for the rounding of weights. */
static void nothing_overflows_f16(void)
{
    char expected[4200];
    int64_t n_ids = 0, n_target = 0, n_logits = 0, one = 0;
    struct job job = job_of("t5_large", SW_FORMAT_F16, SW_F16);
    snprintf(expected, sizeof expected, "%s/expected.safetensors", job.dir);
    float *largest = job_read(expected, "largest", SW_F32, &one);
    float *logits = job_read(expected, "logits", SW_F32, &n_logits);
    int64_t *ids64 = job_read(expected, "input_ids", SW_I64, &n_ids);
    int64_t *target64 = job_read(expected, "decoder_input_ids", SW_I64, &n_target);
    CU_ASSERT_FATAL(largest && logits && ids64 && target64 && n_ids <= 64 && n_target <= 64);
    int32_t from[64], to[64];
    for (int64_t i = 0; i < n_ids; i++)
        from[i] = (int32_t)ids64[i];
    for (int64_t i = 0; i < n_target; i++)
        to[i] = (int32_t)target64[i];
    job.source = from;
    job.n_source = (int)n_ids;
    job.ids = to;
    job.n_ids = (int)n_target;
    job.chunk = job.context = 64;
    CU_ASSERT(*largest > 65504);
    CU_ASSERT_EQUAL(job_run(&job), SW_OK);
    double worst = 0, most = 0;
    for (int64_t i = 0; i < n_logits && job.logits; i++) {
        const double off = fabs((double)job.logits[i] - (double)logits[i]);
        worst = off <= worst ? worst : off; /* NaN counts */
        most = fabs((double)logits[i]) > most ? fabs((double)logits[i]) : most;
    }
    printf("    error %.1e ", worst / most);
    CU_ASSERT(worst / most < 0.005);
    job_free(&job);
    free(largest);
    free(logits);
    free(ids64);
    free(target64);
}

SW_UNIT_TESTS({"buckets are the reference's", buckets_are_the_references},
              {"whatever the cut", whatever_the_cut}, {"whatever the tier", whatever_the_tier},
              {"whatever else is under way", whatever_else_is_under_way},
              {"nothing overflows f16", nothing_overflows_f16})
