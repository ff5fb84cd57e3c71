/*
 * Prefixes that requests have in common: their rows are computed once, and counted so.
 */
#include "many_texts.h"

#include <time.h>

/* Prompts of 50 with 40 in common, one after another and at once: each row is computed once. */
static void prefix_hits_are_counted(void)
{
    static const struct {
        int ranks, slots, rows;
    } ways[] = {{1, 1, 64}, {1, 4, 64}, {2, 4, 16}, {3, 10, 512}};
    struct text texts[10] = {{0}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        struct many many = {.texts = texts, .n = 10};
        for (int i = 0; i < 10; i++) {
            texts[i] = (struct text){.n_ids = 50, .max_new = 2, .sampling = sw_sampling_default()};
            for (int k = 0; k < 50; k++)
                texts[i].ids[k] = k < 40 ? k : 50 + i;
        }
        /* Scored from 20 on: only the 20 ids before, less the last row, can be prefix hits. */
        texts[7].score_from = 21;
        CU_ASSERT_EQUAL(
            run_many(&many, "tiny/llama31", ways[w].ranks, ways[w].slots, ways[w].rows, 60), SW_OK);
        CU_ASSERT_EQUAL(many.stats.prefix_hits, 8 * 40 + 20);
        CU_ASSERT_EQUAL(many.stats.rows_sent, 10 * 51 - 8 * 40 - 20);
        CU_ASSERT_EQUAL(texts[7].n_scored, 29);
    }
}

/* Where layers keep states, prefixes are shared by their snapshots; one slot has none. What goes on
 * from all rows of a slot needs none. */
static void states_are_shared_by_snapshots(void)
{
    static const struct {
        int ranks, slots, rows;
        int64_t hits;
    } ways[] = {{1, 1, 64, 0}, {1, 2, 64, 320}, {2, 4, 16, 320}, {3, 10, 512, 340}};
    struct text texts[10] = {{0}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        struct many many = {.texts = texts, .n = 10};
        for (int i = 0; i < 10; i++) {
            texts[i] = (struct text){.n_ids = 50, .max_new = 2, .sampling = sw_sampling_default()};
            for (int k = 0; k < 50; k++)
                texts[i].ids[k] = k < 40 ? k : 50 + i;
        }
        texts[7].score_from = 21; /* it needs what is computed from 20 on */
        CU_ASSERT_EQUAL(
            run_many(&many, "tiny/qwen3_5", ways[w].ranks, ways[w].slots, ways[w].rows, 60), SW_OK);
        CU_ASSERT_EQUAL(many.stats.prefix_hits, ways[w].hits);
        CU_ASSERT_EQUAL(many.stats.rows_sent, 10 * 51 - many.stats.prefix_hits);
    }
    memset(texts, 0, sizeof texts);
    struct many chat = {.texts = texts, .n = 2};
    for (int i = 0; i < 2; i++) {
        texts[i] =
            (struct text){.n_ids = 30 + 4 * i, .max_new = 3, .sampling = sw_sampling_default()};
        for (int k = 0; k < texts[i].n_ids; k++)
            texts[i].ids[k] = k * 5 % 90;
    }
    texts[0].max_new = 1;
    CU_ASSERT_EQUAL(run_many(&chat, "tiny/qwen3_5", 2, 1, 16, 60), SW_OK);
    CU_ASSERT_EQUAL(chat.stats.prefix_hits, 30);
}

/* The same prompt again: all but its last row are prefix hits, and the result is the same. */
static void a_repeated_prompt_costs_one_row(void)
{
    struct text texts[6] = {{0}};
    struct many many = {.texts = texts, .n = 6};
    for (int i = 0; i < 6; i++) {
        texts[i] = (struct text){.n_ids = 33, .max_new = 5, .sampling = sw_sampling_default()};
        for (int k = 0; k < 33; k++)
            texts[i].ids[k] = k * 5 % 90;
    }
    CU_ASSERT_EQUAL(run_many(&many, "tiny/gpt2", 2, 2, 8, 40), SW_OK);
    CU_ASSERT_EQUAL(many.stats.prefix_hits, 5 * 32);
    for (int i = 1; i < 6; i++)
        CU_ASSERT(same_text(&texts[0], &texts[i]));
}

/* Seconds of this process, which has all ranks: other work does not count. */
static double cpu_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 100 prompts with 400 tokens in common and 4 of their own cost about one of them. */
static enum sw_status share_or_not(struct job *job, struct sw_driver *driver)
{
    double *seconds = job->drive_context;
    for (int unshared = 0; unshared < 2; unshared++) {
        const struct sw_scheduler_options options = {.driver = driver,
                                                     .slots = job->slots,
                                                     .context = job->context,
                                                     .max_batch_tokens = job->chunk,
                                                     .unshared = unshared};
        int32_t ids[404];
        struct sw_scheduler *s;
        SW_TRY(sw_scheduler_open(&options, &s));
        const double start = cpu_clock();
        for (int i = 0; i < 100; i++) {
            for (int k = 0; k < 404; k++)
                ids[k] = k < 400 ? k * 7 % 96 : (i + k) % 96;
            const struct sw_request r = {.ids = ids,
                                         .n_ids = 404,
                                         .score_from = 404,
                                         .max_new = 1,
                                         .sampling = sw_sampling_default()};
            SW_TRY(sw_scheduler_submit(s, &r, NULL));
        }
        while (!sw_scheduler_idle(s))
            SW_TRY(sw_scheduler_step(s));
        seconds[unshared] = cpu_clock() - start;
        struct sw_scheduler_stats stats;
        sw_scheduler_stats(s, &stats);
        CU_ASSERT_EQUAL(stats.prefix_hits, unshared ? 0 : 99 * 400);
        CU_ASSERT_EQUAL(stats.rows_sent + stats.prefix_hits, 100 * 404);
        sw_scheduler_close(s);
    }
    return sw_driver_stop(driver);
}

static void a_shared_prefix_costs_one_prefill(void)
{
    static const int32_t one = 1;
    for (int ranks = 1; ranks <= 2; ranks++) {
        double seconds[2] = {0};
        struct job job = {.dir = SW_SOURCE_DIR "/tests/models/shakespeare",
                          .weights = SW_FORMAT_BF16,
                          .kv = SW_BF16,
                          .ranks = ranks,
                          .threads = 1,
                          .chunk = 128,
                          .context = 512,
                          .slots = 8,
                          .drive = share_or_not,
                          .drive_context = seconds,
                          .ids = &one,
                          .n_ids = 1};
        CU_ASSERT_EQUAL(job_run(&job), SW_OK);
        printf("    %d ranks: %.3f s shared, %.3f s not: %.0f times\n", ranks, seconds[0],
               seconds[1], seconds[1] / seconds[0]);
        CU_ASSERT(seconds[1] > 5 * seconds[0]); /* 100 where nothing else runs beside */
        job_free(&job);
    }
}

SW_UNIT_TESTS({"prefix hits are counted", prefix_hits_are_counted},
              {"states are shared by snapshots", states_are_shared_by_snapshots},
              {"a repeated prompt costs one row", a_repeated_prompt_costs_one_row},
              {"a shared prefix costs one prefill", a_shared_prefix_costs_one_prefill})
