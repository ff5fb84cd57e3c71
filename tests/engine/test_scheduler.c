/*
 * The scheduler: a request gets the results that it would get alone, with any other requests under
 * way, any number of slots, rows and stages, with shared prefixes or without.
 */
#include "engine/scheduler.h"

#include "base/clock.h"
#include "many_texts.h"
#include "unit.h"

#include <malloc.h>
#include <math.h>

static unsigned noise(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* Every third begins with the same 40 ids, every seventh is scored, every fifth is drawn. */
static void make_texts(struct text *texts, int n)
{
    unsigned state = 7;
    memset(texts, 0, (size_t)n * sizeof *texts);
    for (int i = 0; i < n; i++) {
        struct text *t = &texts[i];
        const int head = i % 3 == 0 ? 40 : 0;
        t->n_ids = head + 1 + (int)(noise(&state) % (i % 4 == 0 ? 20 : 7));
        for (int k = 0; k < t->n_ids; k++)
            t->ids[k] = k < head ? 3 + k * 7 % 89 : (int32_t)(noise(&state) % 96);
        t->sampling = sw_sampling_default();
        t->sampling.logprobs = i % 4 == 1 ? 3 : i % 4 == 2 ? 0 : -1;
        if (i % 5 == 4) {
            t->sampling.temperature = 1;
            t->sampling.seed = (uint64_t)i;
            t->sampling.repetition_penalty = 1.3f;
        }
        t->max_new = 1 + (int)(noise(&state) % 9);
        t->stop_after = i % 11 == 3 ? 2 : 0;
        if (i % 7 == 2 && t->n_ids > 1) {
            t->score_from = 1 + (int)(noise(&state) % (unsigned)(t->n_ids - 1));
            t->max_new = i % 2 ? 0 : t->max_new;
        }
    }
}

#define N_TEXTS 60
#define CONTEXT 70

/* states: some layers keep a state, so that only who waits for a prefix gets it. */
static void nobody_notices_the_others(const char *name, bool states)
{
    static const struct {
        int ranks, slots, rows;
        bool unshared;
    } ways[] = {{1, 8, 512, false}, {1, 8, 512, true}, {1, 3, 5, false},   {2, 5, 16, false},
                {2, 16, 64, true},  {3, 7, 7, false},  {3, 60, 70, false}, {3, 1, 4, false}};
    struct text *alone = calloc(N_TEXTS, sizeof *alone), *texts = calloc(N_TEXTS, sizeof *texts);
    struct many one = {.texts = alone, .n = N_TEXTS, .unshared = true};
    make_texts(alone, N_TEXTS);
    memcpy(texts, alone, N_TEXTS * sizeof *texts);
    CU_ASSERT_EQUAL(run_many(&one, name, 1, 1, 512, CONTEXT), SW_OK);
    CU_ASSERT_EQUAL(one.stats.prefix_hits, 0);
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        struct many many = {.texts = texts, .n = N_TEXTS, .unshared = ways[w].unshared};
        CU_ASSERT_EQUAL(run_many(&many, name, ways[w].ranks, ways[w].slots, ways[w].rows, CONTEXT),
                        SW_OK);
        int different = 0;
        for (int i = 0; i < N_TEXTS; i++)
            different += !same_text(&alone[i], &texts[i]);
        if (different)
            printf("    %s, way %zu: %d of %d texts are others\n", name, w, different, N_TEXTS);
        CU_ASSERT_EQUAL(different, 0);
        CU_ASSERT_EQUAL(many.stats.done, N_TEXTS);
        CU_ASSERT_EQUAL(many.stats.rows_sent + many.stats.prefix_hits, one.stats.rows_sent);
        CU_ASSERT_EQUAL(many.stats.generated, one.stats.generated);
        CU_ASSERT_EQUAL(many.stats.scored, one.stats.scored);
        /* Of 20 equal prompts one is computed; a scored one computes more. Few slots are soon
         * reused. */
        CU_ASSERT(ways[w].unshared
                      ? many.stats.prefix_hits == 0
                      : ways[w].slots < 5 || many.stats.prefix_hits > (states ? 10 * 40 : 15 * 40));
        CU_ASSERT(ways[w].slots == 1 || many.most_under_way >= (ways[w].ranks > 1));
    }
    free(alone);
    free(texts);
}

static void identity(void)
{
    static const char *const names[] = {"tiny/llama31",      "tiny/mixtral", "tiny/bloom",
                                        "tiny/qwen2_window", "tiny/opt",     "shakespeare"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        nobody_notices_the_others(names[i], false);
    nobody_notices_the_others("tiny/qwen3_next", true);
    nobody_notices_the_others("tiny/qwen3_5", true);
}

static void requests_end_as_they_should(void)
{
    struct text texts[5] = {{0}};
    struct many many = {.texts = texts, .n = 5};
    for (int i = 0; i < 5; i++) {
        texts[i] = (struct text){.n_ids = 8, .max_new = 20, .sampling = sw_sampling_default()};
        for (int k = 0; k < 8; k++)
            texts[i].ids[k] = 10 + i;
    }
    texts[0].stop_after = 3;
    texts[1].max_new = 4;
    texts[2].max_new = 0;    /* no outputs */
    texts[3].n_ids = 16;     /* fills the context; 9 ids more than alone, all known */
    texts[4].stop_after = 9; /* with the last token there is room for */
    for (int k = 0; k < 16; k++)
        texts[3].ids[k] = k;
    CU_ASSERT_EQUAL(run_many(&many, "tiny/mistral", 2, 2, 16, 16), SW_OK);
    CU_ASSERT(texts[0].finish == SW_FINISH_STOP && texts[0].n_new == 3);
    CU_ASSERT(texts[1].finish == SW_FINISH_LENGTH && texts[1].n_new == 4);
    CU_ASSERT(texts[2].finish == SW_FINISH_LENGTH && texts[2].n_new == 0 && texts[2].n_done == 1);
    CU_ASSERT(texts[3].finish == SW_FINISH_CONTEXT && texts[3].n_new == 1);
    CU_ASSERT(texts[4].finish == SW_FINISH_STOP && texts[4].n_new == 9);
}

/* Scores are those of the logits, whether a chunk ends between an id and what precedes it or not;
 * the last id needs no room. */
static enum sw_status check_scores(struct job *job, struct sw_driver *driver)
{
    struct many *many = job->drive_context;
    const struct sw_driver_hooks hooks = {.logits = job_logits, .context = job};
    const struct sw_driver_hooks none = {0};
    SW_TRY(sw_driver_hooks(driver, &hooks));
    SW_TRY(sw_prefill(driver, 0, job->ids, job->n_ids, job->chunk));
    SW_TRY(sw_driver_hooks(driver, &none));
    return drive(job, driver) == SW_OK && many->n_done == many->n ? SW_OK : SW_EINPUT;
}

static void scores_are_the_logits(void)
{
    struct sw_sampler *sampler = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_sampler_create(1024, sw_cpu_isa(), &sampler), SW_OK);
    static const char *const names[] = {"tiny/llama", "tiny/gptj", "tiny/qwen3_moe"};
    char dir[4096];
    for (int i = 0; i < 9; i++) {
        struct text text = {.n_ids = 31, .score_from = 1 + i, .sampling = sw_sampling_default()};
        struct many many = {.texts = &text, .n = 1};
        for (int k = 0; k < 31; k++)
            text.ids[k] = (k * k + 3) % 96;
        text.many = &many;
        snprintf(dir, sizeof dir, "%s/tests/models/%s", SW_SOURCE_DIR, names[i % 3]);
        struct job job = {.dir = dir,
                          .weights = SW_FORMAT_F32,
                          .kv = SW_F32,
                          .ranks = 1 + i / 3,
                          .threads = 1,
                          .chunk = 4 + 13 * (i % 2),
                          .context = 30,
                          .slots = 1,
                          .drive = check_scores,
                          .drive_context = &many,
                          .ids = text.ids,
                          .n_ids = 30};
        const enum sw_status status = job_run(&job);
        CU_ASSERT_EQUAL(status, SW_OK);
        CU_ASSERT_EQUAL(text.n_scored, 30 - i);
        for (int k = text.score_from; k < 31 && status == SW_OK; k++) {
            const float *logits = job.logits + (int64_t)(k - 1) * job.vocab;
            float logprob;
            bool greedy;
            CU_ASSERT_EQUAL(
                sw_logprob_of(sampler, logits, (size_t)job.vocab, text.ids[k], &logprob, &greedy),
                SW_OK);
            CU_ASSERT(logprob == text.scores[k] && greedy == text.greedy[k]);
            double sum = 0; /* and by the definition */
            for (int v = 0; v < job.vocab; v++)
                sum += exp((double)logits[v]);
            CU_ASSERT(fabs((double)logits[text.ids[k]] - log(sum) - (double)logprob) < 1e-5);
        }
        job_free(&job);
    }
    sw_sampler_free(sampler);
}

static enum sw_status submit_bad(struct job *job, struct sw_driver *driver)
{
    const struct sw_scheduler_options options = {
        .driver = driver, .slots = 1, .context = 8, .max_batch_tokens = job->chunk};
    static const int32_t ids[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, wrong[2] = {1, 100000};
    const struct sw_sampling fine = sw_sampling_default();
    struct sw_sampling odd = fine;
    odd.top_p = 7;
    const struct sw_request bad[] = {
        {.ids = ids, .n_ids = 0, .score_from = 1, .max_new = 1, .sampling = fine},
        {.ids = ids, .n_ids = 9, .score_from = 9, .max_new = 1, .sampling = fine},
        {.ids = ids, .n_ids = 10, .score_from = 1, .sampling = fine},
        {.ids = ids, .n_ids = 4, .score_from = 0, .sampling = fine},
        {.ids = ids, .n_ids = 4, .score_from = 4, .max_new = -1, .sampling = fine},
        {.ids = wrong, .n_ids = 2, .score_from = 2, .max_new = 1, .sampling = fine},
        {.ids = ids, .n_ids = 4, .score_from = 4, .max_new = 1, .sampling = odd}};
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const enum sw_status status = sw_scheduler_submit(s, &bad[i], NULL);
        CU_ASSERT(status == SW_EINPUT || status == SW_EUSAGE);
    }
    CU_ASSERT(sw_scheduler_idle(s));
    CU_ASSERT_EQUAL(sw_scheduler_step(s), SW_OK);
    sw_scheduler_close(s);
    return sw_driver_stop(driver);
}

static void bad_requests_are_refused(void)
{
    static const int32_t one = 1;
    struct job job = {.dir = SW_SOURCE_DIR "/tests/models/tiny/llama",
                      .weights = SW_FORMAT_F32,
                      .kv = SW_F32,
                      .ranks = 1,
                      .threads = 1,
                      .chunk = 8,
                      .context = 8,
                      .drive = submit_bad,
                      .ids = &one,
                      .n_ids = 1};
    CU_ASSERT_EQUAL(job_run(&job), SW_OK);
    job_free(&job);
}

/* A queue far longer than the slots; what a request costs besides its rows is little. */
static void thousands_wait_their_turn(void)
{
    const int n = 5000;
    for (int ranks = 1; ranks <= 2; ranks++) {
        struct text *texts = calloc((size_t)n, sizeof *texts);
        struct many many = {.texts = texts, .n = n};
        for (int i = 0; i < n; i++) {
            texts[i] = (struct text){
                .n_ids = 3 + i % 5, .max_new = 1 + i % 3, .sampling = sw_sampling_default()};
            for (int k = 0; k < texts[i].n_ids; k++)
                texts[i].ids[k] = (i * 31 + k * 7) % 96;
        }
        const double start = sw_clock();
        CU_ASSERT_EQUAL(run_many(&many, "tiny/llama31", ranks, 32, 128, 32), SW_OK);
        printf("    %d ranks: %.1f us a request, %.1f rows a batch\n", ranks,
               1e6 * (sw_clock() - start) / n,
               (double)many.stats.rows_sent / (double)many.stats.batches);
        CU_ASSERT_EQUAL(many.stats.done, n);
        for (int i = 0; i < n; i++)
            CU_ASSERT_FATAL(texts[i].n_done == 1 && texts[i].n_new == texts[i].max_new);
        free(texts);
    }
}

/* One scheduler, many requests: what it holds on the heap does not grow. */
static enum sw_status submit_many(struct job *job, struct sw_driver *driver)
{
    const struct sw_scheduler_options options = {.driver = driver,
                                                 .slots = job->slots,
                                                 .context = job->context,
                                                 .max_batch_tokens = job->chunk};
    size_t held[2] = {0};
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    for (int i = 0; i < 20000; i++) {
        const int32_t ids[4] = {i % 96, i / 96 % 96, 5, 6};
        const struct sw_request r = {.ids = ids,
                                     .n_ids = 2 + i % 3,
                                     .score_from = i % 7 ? 2 + i % 3 : 1,
                                     .max_new = i % 4,
                                     .sampling = sw_sampling_default()};
        SW_TRY(sw_scheduler_submit(s, &r, NULL));
        while (sw_scheduler_room(s) == 0)
            SW_TRY(sw_scheduler_step(s));
        if (i == 5000 || i == 19999)
            held[i > 5000] = mallinfo2().uordblks;
    }
    while (!sw_scheduler_idle(s))
        SW_TRY(sw_scheduler_step(s));
    CU_ASSERT(held[1] < held[0] + 65536);
    if (held[1] >= held[0] + 65536)
        printf("    %zu bytes held after 5000 requests, %zu after 20000\n", held[0], held[1]);
    sw_scheduler_close(s);
    return sw_driver_stop(driver);
}

static void memory_stays_flat(void)
{
    static const int32_t one = 1;
    for (int ranks = 1; ranks <= 2; ranks++) {
        struct job job = {.dir = SW_SOURCE_DIR "/tests/models/tiny/gpt_neox",
                          .weights = SW_FORMAT_BF16,
                          .kv = SW_BF16,
                          .ranks = ranks,
                          .threads = 1,
                          .chunk = 64,
                          .context = 16,
                          .slots = 16,
                          .drive = submit_many,
                          .ids = &one,
                          .n_ids = 1};
        CU_ASSERT_EQUAL(job_run(&job), SW_OK);
        job_free(&job);
    }
}

static void a_stop_ends_it(void)
{
    for (int ranks = 1; ranks <= 3; ranks++) {
        struct text *texts = calloc(500, sizeof *texts);
        struct many many = {.texts = texts, .n = 500, .stop_at = 20};
        make_texts(texts, 500);
        CU_ASSERT_EQUAL(run_many(&many, "tiny/llama31", ranks, 8, 64, CONTEXT), SW_EINTERRUPTED);
        CU_ASSERT(many.n_done >= 20 && many.n_done < 500);
        int ended = 0;
        for (int i = 0; i < 500; i++)
            ended += texts[i].n_done;
        CU_ASSERT_EQUAL(ended, many.n_done);
        free(texts);
    }
}

/* Where prompts hide behind decoding, whole micro-batches of them come beside it: the same texts in
 * fewer passes. */
static void prompts_hide_behind_decoding(void)
{
    enum { TEXTS = 24 };
    struct text *alone = calloc(TEXTS, sizeof *alone), *texts = calloc(TEXTS, sizeof *texts);
    for (int i = 0; i < TEXTS; i++) {
        alone[i] =
            (struct text){.n_ids = 50, .max_new = 1 + i % 12, .sampling = sw_sampling_default()};
        for (int k = 0; k < alone[i].n_ids; k++)
            alone[i].ids[k] = (i * 31 + k * 7) % 96;
    }
    memcpy(texts, alone, TEXTS * sizeof *texts);
    struct many few = {.texts = alone, .n = TEXTS, .unshared = true};
    struct many whole = {.texts = texts, .n = TEXTS, .unshared = true, .beside_rows = 40};
    CU_ASSERT_EQUAL(run_many(&few, "tiny/llama31", 1, 6, 40, CONTEXT), SW_OK);
    CU_ASSERT_EQUAL(run_many(&whole, "tiny/llama31", 1, 6, 40, CONTEXT), SW_OK);
    for (int i = 0; i < TEXTS; i++)
        CU_ASSERT(same_text(&alone[i], &texts[i]));
    CU_ASSERT_EQUAL(few.stats.rows_sent, whole.stats.rows_sent);
    CU_ASSERT(whole.stats.batches * 3 < few.stats.batches * 2);
    free(alone);
    free(texts);
}

SW_UNIT_TESTS({"nobody notices the others", identity},
              {"prompts hide behind decoding", prompts_hide_behind_decoding},
              {"requests end as they should", requests_end_as_they_should},
              {"scores are the logits'", scores_are_the_logits},
              {"bad requests are refused", bad_requests_are_refused},
              {"thousands wait their turn", thousands_wait_their_turn},
              {"memory stays flat", memory_stays_flat}, {"a stop ends it", a_stop_ends_it})
