/* Many requests through a scheduler on some ranks, and what came of each. */
#ifndef SW_TESTS_MANY_TEXTS_H
#define SW_TESTS_MANY_TEXTS_H

#include "engine/scheduler.h"
#include "pipeline_job.h"
#include "unit.h"

#define MAX_IDS 64
#define MAX_NEW 24

/* One request and what came of it. */
struct text {
    struct many *many;
    int32_t ids[MAX_IDS];
    int n_ids, score_from, max_new;
    struct sw_sampling sampling;
    int stop_after; /* tokens; 0: never */
    /* out */
    int32_t new_ids[MAX_NEW];
    float logprobs[MAX_NEW], scores[MAX_IDS];
    int n_new, n_scored, n_done, n_top;
    int n_wrong; /* alternatives that do not agree with the scored id's log-probability */
    bool greedy[MAX_IDS];
    enum sw_finish finish;
};

struct many {
    struct text *texts;
    int n;
    bool unshared;
    int stop_at; /* done requests after which a stop is requested; 0: never */
    int n_done;
    struct sw_scheduler_stats stats;
    int most_under_way;
    int beside_rows;
};

static volatile sig_atomic_t stop_flag;

static inline enum sw_status take_score(void *owner, int index, const struct sw_sampled *score,
                                        bool greedy)
{
    struct text *t = owner;
    t->n_scored += index == t->score_from + t->n_scored; /* in order */
    t->scores[index] = score->logprob;
    t->greedy[index] = greedy;
    t->n_top += score->n_top;
    t->n_wrong += score->n_top > 0 && (greedy != (score->top[0].id == score->id) ||
                                       greedy != (score->top[0].logprob == score->logprob) ||
                                       score->top[0].logprob < score->logprob);
    return SW_OK;
}

static inline enum sw_status take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct text *t = owner;
    t->new_ids[t->n_new] = token->id;
    t->logprobs[t->n_new++] = token->logprob;
    t->n_top += token->n_top;
    *stop = t->n_new == t->stop_after;
    return SW_OK;
}

static inline enum sw_status take_end(void *owner, enum sw_finish finish)
{
    struct text *t = owner;
    t->finish = finish;
    t->n_done++;
    if (++t->many->n_done == t->many->stop_at)
        stop_flag = 1;
    return SW_OK;
}

static inline enum sw_status submit(struct sw_scheduler *s, struct text *t)
{
    const struct sw_request r = {.ids = t->ids,
                                 .n_ids = t->n_ids,
                                 .score_from = t->score_from ? t->score_from : t->n_ids,
                                 .max_new = t->max_new,
                                 .sampling = t->sampling,
                                 .scored = take_score,
                                 .token = take_token,
                                 .done = take_end,
                                 .owner = t};
    return sw_scheduler_submit(s, &r, NULL);
}

static inline enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    struct many *many = job->drive_context;
    const struct sw_scheduler_options options = {.driver = driver,
                                                 .slots = job->slots,
                                                 .context = job->context,
                                                 .max_batch_tokens = job->chunk,
                                                 .beside_rows = many->beside_rows,
                                                 .unshared = many->unshared};
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    enum sw_status status = SW_OK;
    /* Half at once, the others as there is room. */
    int next = 0;
    while (next < many->n / 2 && status == SW_OK)
        status = submit(s, &many->texts[next++]);
    while (status == SW_OK && (next < many->n || !sw_scheduler_idle(s))) {
        for (int room = sw_scheduler_room(s); room > 0 && next < many->n && status == SW_OK; room--)
            status = submit(s, &many->texts[next++]);
        if (status == SW_OK)
            status = sw_scheduler_step(s);
        sw_scheduler_stats(s, &many->stats);
        if (many->stats.running > job->slots)
            status =
                sw_fail(SW_EINPUT, "%d sequences in %d slots", many->stats.running, job->slots);
        if (many->stats.under_way > many->most_under_way)
            many->most_under_way = many->stats.under_way;
    }
    sw_scheduler_close(s);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

static inline enum sw_status run_many(struct many *many, const char *name, int ranks, int slots,
                                      int rows, int context)
{
    char dir[4096];
    static const int32_t one = 1;
    snprintf(dir, sizeof dir, "%s/tests/models/%s", SW_SOURCE_DIR, name);
    struct job job = {.dir = dir,
                      .weights = SW_FORMAT_BF16,
                      .kv = SW_BF16,
                      .ranks = ranks,
                      .threads = 1,
                      .chunk = rows,
                      .context = context,
                      .slots = slots,
                      .drive = drive,
                      .drive_context = many,
                      .stop = &stop_flag,
                      .ids = &one,
                      .n_ids = 1};
    stop_flag = 0;
    many->n_done = 0;
    for (int i = 0; i < many->n; i++) {
        struct text *t = &many->texts[i];
        t->many = many;
        t->n_new = t->n_scored = t->n_done = t->n_top = t->n_wrong = 0;
    }
    const enum sw_status status = job_run(&job);
    if (status != SW_OK && status != SW_EINTERRUPTED)
        printf("    %s on %d ranks, %d slots, %d rows: %s\n", name, ranks, slots, rows, job.error);
    job_free(&job);
    return status;
}

/* Whether two runs of a text gave the same, b's to the last bit. */
static inline bool same_text(const struct text *a, const struct text *b)
{
    const int from = a->score_from ? a->score_from : a->n_ids;
    const int most = a->sampling.logprobs > 0 ? a->sampling.logprobs : 0;
    return a->n_top == most * (a->n_new + a->n_scored) && a->n_wrong + b->n_wrong == 0 &&
           a->n_new == b->n_new && a->n_scored == b->n_scored && a->n_done == 1 && b->n_done == 1 &&
           a->n_top == b->n_top && a->finish == b->finish &&
           memcmp(a->new_ids, b->new_ids, (size_t)a->n_new * sizeof *a->new_ids) == 0 &&
           memcmp(a->logprobs, b->logprobs, (size_t)a->n_new * sizeof *a->logprobs) == 0 &&
           memcmp(a->scores + from, b->scores + from, (size_t)a->n_scored * sizeof *a->scores) ==
               0 &&
           memcmp(a->greedy + from, b->greedy + from, (size_t)a->n_scored) == 0;
}

#endif
