/*
 * Cancelled requests: whatever they were doing, they are done once, the others' results keep every
 * bit, and no slot, row or wait is left over. And work from another thread: it wakes a scheduler
 * that has nothing to do, and one that waits for results.
 */
#include "engine/scheduler_impl.h"

#include "base/clock.h"
#include "pipeline_job.h"
#include "unit.h"

#include <time.h>
#include <unistd.h>

#define MAX_IDS 64
#define MAX_NEW 12
#define N_TEXTS 40

/* What a request was doing when it was cancelled. */
enum state { QUEUED, WAITS_FOR_PREFIX, IS_SOURCE, PREFILL, UNDER_WAY, READY, DONE, N_STATES };

struct text {
    struct crowd *crowd;
    int32_t ids[MAX_IDS];
    int n_ids, score_from, max_new;
    struct sw_sampling sampling;
    uint64_t handle;
    /* out */
    int32_t new_ids[MAX_NEW];
    float logprobs[MAX_NEW], scores[MAX_IDS];
    int n_new, n_scored, n_done;
    int n_late; /* calls after it was cancelled */
    bool cancelled;
    enum sw_finish finish;
};

struct crowd {
    struct sw_scheduler *scheduler;
    struct text texts[N_TEXTS];
    unsigned noise; /* 0: nothing is cancelled */
    int states[N_STATES];
    struct sw_scheduler_stats stats;
};

static unsigned noise(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static bool is_source(const struct sw_scheduler *s, int slot)
{
    for (int i = 0; i < s->options.slots; i++)
        if (s->slots[i].entry && s->slots[i].source == slot)
            return true;
    return false;
}

static enum state state_of(const struct sw_scheduler *s, const struct text *t)
{
    for (int i = 0; i < s->options.slots; i++) {
        const struct slot *slot = &s->slots[i];
        if (!slot->entry || slot->entry->handle != t->handle)
            continue;
        return slot->source >= 0                      ? WAITS_FOR_PREFIX
               : is_source(s, i)                      ? IS_SOURCE
               : slot->n_sent < slot->entry->n_prompt ? PREFILL
               : slot->n_results > 0                  ? UNDER_WAY
                                                      : READY;
    }
    return t->n_done ? DONE : QUEUED;
}

static void cancel(struct text *t)
{
    struct crowd *c = t->crowd;
    c->states[state_of(c->scheduler, t)]++;
    t->cancelled = t->cancelled || !t->n_done;
    sw_scheduler_cancel(c->scheduler, t->handle);
}

/* One in `odds` times, cancels some request near the oldest one that is not done, or that one whose
 * callback this is. */
static void cancel_some(struct crowd *c, unsigned odds)
{
    int oldest = 0;
    if (!c->noise || noise(&c->noise) % odds != 0)
        return;
    while (oldest < N_TEXTS - 1 && c->texts[oldest].n_done)
        oldest++;
    const int some = oldest + (int)(noise(&c->noise) % 12);
    cancel(&c->texts[some < N_TEXTS ? some : N_TEXTS - 1]);
}

static enum sw_status take_score(void *owner, int index, const struct sw_sampled *score,
                                 bool greedy)
{
    struct text *t = owner;
    (void)greedy;
    t->n_late += t->cancelled;
    t->scores[index] = score->logprob;
    t->n_scored++;
    cancel_some(t->crowd, 200);
    return SW_OK;
}

static enum sw_status take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct text *t = owner;
    (void)stop;
    t->n_late += t->cancelled;
    t->new_ids[t->n_new] = token->id;
    t->logprobs[t->n_new++] = token->logprob;
    cancel_some(t->crowd, 20);
    return SW_OK;
}

static enum sw_status take_end(void *owner, enum sw_finish finish)
{
    struct text *t = owner;
    t->finish = finish;
    t->n_done++;
    cancel_some(t->crowd, 20);
    return SW_OK;
}

static enum sw_status submit(struct sw_scheduler *s, struct text *t)
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
    t->n_new = t->n_scored = t->n_done = t->n_late = 0;
    t->cancelled = false;
    return sw_scheduler_submit(s, &r, &t->handle);
}

/* Eight prompts after one another begin with the same 40 ids; some are scored, some are drawn. */
static void make_texts(struct crowd *c)
{
    unsigned state = 11;
    for (int i = 0; i < N_TEXTS; i++) {
        struct text *t = &c->texts[i];
        const int head = 40;
        *t = (struct text){.crowd = c, .sampling = sw_sampling_default()};
        t->n_ids = head + 4 + (int)(noise(&state) % 16);
        for (int k = 0; k < t->n_ids; k++)
            t->ids[k] = k < head ? (k * 7 + i / 8) % 89 : (int32_t)(noise(&state) % 96);
        t->sampling.logprobs = 0;
        t->sampling.temperature = i % 3 ? 0 : 1;
        t->sampling.seed = (uint64_t)i;
        t->max_new = 1 + (int)(noise(&state) % MAX_NEW);
        if (i % 8 == 4)
            t->score_from = 2;
    }
}

/* A scheduler with nothing to do holds nothing. */
static void check_empty(const struct sw_scheduler *s)
{
    CU_ASSERT(s->stats.under_way == 0 && s->stats.running == 0 && s->stats.waiting == 0);
    CU_ASSERT(!s->first && !s->last && s->n_cancelled == 0);
    CU_ASSERT(s->prompts.n == 0 && s->steps.n == 0 && s->prompt_rows == 0);
    CU_ASSERT(s->n_blocked == 0 && s->n_stepping == 0);
    for (int i = 0; i < s->options.slots; i++) {
        const struct slot *slot = &s->slots[i];
        CU_ASSERT(!slot->entry && slot->source < 0 && slot->n_results == 0 && slot->n_stale == 0);
    }
}

/* All texts at once, with cancellations between the steps and in callbacks. */
static enum sw_status run_crowd(struct crowd *c, struct sw_scheduler *s)
{
    c->scheduler = s;
    for (int i = 0; i < N_TEXTS; i++)
        SW_TRY(submit(s, &c->texts[i]));
    while (!sw_scheduler_idle(s)) {
        cancel_some(c, 3);
        cancel_some(c, 3);
        SW_TRY(sw_scheduler_step(s));
    }
    check_empty(s);
    sw_scheduler_stats(s, &c->stats);
    return SW_OK;
}

/* The results that came are those of the request alone; all of them unless it was cancelled. */
static bool same_results(const struct text *alone, const struct text *t)
{
    const size_t from = (size_t)(alone->score_from ? alone->score_from : alone->n_ids);
    const bool whole = t->n_new == alone->n_new && t->n_scored == alone->n_scored;
    return t->n_done == 1 && t->n_late == 0 && t->n_new <= alone->n_new &&
           t->n_scored <= alone->n_scored &&
           (t->cancelled ? t->finish == SW_FINISH_CANCELLED
                         : whole && t->finish == alone->finish) &&
           memcmp(t->new_ids, alone->new_ids, (size_t)t->n_new * sizeof *t->new_ids) == 0 &&
           memcmp(t->logprobs, alone->logprobs, (size_t)t->n_new * sizeof *t->logprobs) == 0 &&
           memcmp(t->scores + from, alone->scores + from, (size_t)t->n_scored * sizeof(float)) == 0;
}

#ifdef __SANITIZE_THREAD__ /* which looks at each state, and needs no luck */
enum { ROUNDS = 8 };
#else
enum { ROUNDS = 25 };
#endif

struct rounds {
    struct crowd alone, crowd;
    int states[N_STATES];
};

static struct sw_scheduler_options options_of(const struct job *job, struct sw_driver *driver)
{
    return (struct sw_scheduler_options){.driver = driver,
                                         .slots = job->slots,
                                         .context = job->context,
                                         .max_batch_tokens = job->chunk};
}

/* First without cancellations, then with many different ones. The scheduler stays the same, so what
 * one round left in the slots is what the next one finds. */
static enum sw_status cancel_at_random(struct job *job, struct sw_driver *driver)
{
    struct rounds *r = job->drive_context;
    struct crowd *c = &r->crowd;
    const struct sw_scheduler_options options = options_of(job, driver);
    struct sw_scheduler *s;
    int different = 0;
    SW_TRY(sw_scheduler_open(&options, &s));
    make_texts(&r->alone);
    enum sw_status status = run_crowd(&r->alone, s);
    for (unsigned round = 1; round <= ROUNDS && status == SW_OK; round++) {
        make_texts(c);
        c->noise = round * 7919;
        const int64_t before = c->stats.cancelled;
        int64_t cancelled = 0;
        status = run_crowd(c, s);
        for (int i = 0; i < N_TEXTS; i++) {
            different += !same_results(&r->alone.texts[i], &c->texts[i]);
            cancelled += c->texts[i].cancelled;
        }
        CU_ASSERT_EQUAL(c->stats.cancelled - before, cancelled);
    }
    CU_ASSERT_EQUAL(different, 0);
    CU_ASSERT_EQUAL(c->stats.done, (ROUNDS + 1) * N_TEXTS);
    for (int i = 0; i < N_STATES; i++)
        r->states[i] += c->states[i];
    sw_scheduler_close(s);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

static enum sw_status run_job(int ranks, int slots, int rows, void *context,
                              enum sw_status (*drive)(struct job *, struct sw_driver *))
{
    static const int32_t one = 1;
    struct job job = {.dir = SW_SOURCE_DIR "/tests/models/tiny/llama31",
                      .weights = SW_FORMAT_BF16,
                      .kv = SW_BF16,
                      .ranks = ranks,
                      .threads = 1,
                      .chunk = rows,
                      .context = 80,
                      .slots = slots,
                      .drive = drive,
                      .drive_context = context,
                      .ids = &one,
                      .n_ids = 1};
    const enum sw_status status = job_run(&job);
    if (status != SW_OK)
        printf("    %d ranks, %d slots, %d rows: %s\n", ranks, slots, rows, job.error);
    job_free(&job);
    return status;
}

static void in_every_state(void)
{
    static const struct {
        int ranks, slots, rows;
    } ways[] = {{1, 4, 8}, {2, 6, 8}, {3, 12, 16}, {3, 3, 64}};
    struct rounds *r = calloc(1, sizeof *r);
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        memset(&r->crowd, 0, sizeof r->crowd);
        CU_ASSERT_EQUAL(run_job(ways[w].ranks, ways[w].slots, ways[w].rows, r, cancel_at_random),
                        SW_OK);
    }
    for (int i = 0; i < N_STATES; i++)
        CU_ASSERT(r->states[i] > 5);
    printf("    cancelled: %d queued, %d waiting for a prefix, %d being waited for, %d in their "
           "prompt, %d under way, %d ready, %d done before\n",
           r->states[QUEUED], r->states[WAITS_FOR_PREFIX], r->states[IS_SOURCE], r->states[PREFILL],
           r->states[UNDER_WAY], r->states[READY], r->states[DONE]);
    free(r);
}

/* Two requests wait for the prefix of a third one, which is cancelled in the middle of it: the
 * first goes on from what there is, the second waits for the first. */
static enum sw_status cancel_the_source(struct job *job, struct sw_driver *driver)
{
    struct crowd *c = job->drive_context;
    const struct sw_scheduler_options options = options_of(job, driver);
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    c->scheduler = s;
    for (int i = 0; i < 3; i++) {
        struct text *t = &c->texts[i];
        *t =
            (struct text){.crowd = c, .n_ids = 60, .max_new = 3, .sampling = sw_sampling_default()};
        for (int k = 0; k < 60; k++)
            t->ids[k] = k < 56 ? k * 5 % 90 : 90 + i;
        SW_TRY(submit(s, t));
    }
    do
        SW_TRY(sw_scheduler_step(s));
    while (s->slots[0].n_sent < 24);
    const int sent = s->slots[0].n_sent;
    CU_ASSERT(sent < 56 && s->slots[1].source == 0 && s->slots[2].source == 0);
    cancel(&c->texts[0]);
    while (!sw_scheduler_idle(s))
        SW_TRY(sw_scheduler_step(s));
    check_empty(s);
    sw_scheduler_stats(s, &c->stats);
    CU_ASSERT(c->texts[0].finish == SW_FINISH_CANCELLED && c->texts[0].n_new == 0);
    CU_ASSERT(c->texts[1].n_new == 3 && c->texts[2].n_new == 3);
    CU_ASSERT_EQUAL(c->stats.prefix_hits, sent + 56);
    sw_scheduler_close(s);
    return sw_driver_stop(driver);
}

static void sharers_find_another_source(void)
{
    struct crowd *c = calloc(1, sizeof *c);
    for (int ranks = 1; ranks <= 3; ranks++)
        CU_ASSERT_EQUAL(run_job(ranks, 3, 8, c, cancel_the_source), SW_OK);
    free(c);
}

/* ---- another thread */

#define POSTS 20

/* Texts that another thread hands over, one at a time. */
struct post {
    pthread_mutex_t lock;
    struct sw_scheduler *scheduler;
    struct crowd *crowd;
    int n_posted, n_taken; /* under the lock */
    int n_rested;          /* texts taken when the scheduler last went to sleep; atomic */
    double posted_at;      /* under the lock */
    double delays[POSTS];  /* from sw_scheduler_wake to the callback */
    int pause_us;
    int n_mail, n_mail_under_way;
    int n_early; /* steps that a wake ended before there was a result */
    int is_over; /* set when no wake is needed any more */
};

static enum sw_status take_mail(void *context, struct sw_scheduler *s)
{
    struct post *p = context;
    struct sw_scheduler_stats stats;
    enum sw_status status = SW_OK;
    sw_scheduler_stats(s, &stats);
    p->n_mail++;
    p->n_mail_under_way += stats.under_way > 0;
    pthread_mutex_lock(&p->lock);
    while (p->n_taken < p->n_posted && status == SW_OK) {
        p->delays[p->n_taken] = sw_clock() - p->posted_at;
        status = submit(s, &p->crowd->texts[p->n_taken++]);
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* Each when the one before is done, so that a delay is that of waking and of no step. */
static void *post_texts(void *context)
{
    struct post *p = context;
    for (int i = 0; i < POSTS; i++) {
        const struct timespec pause = {0, p->pause_us * 1000L};
        do
            nanosleep(&pause, NULL);
        while (__atomic_load_n(&p->n_rested, __ATOMIC_ACQUIRE) < i);
        pthread_mutex_lock(&p->lock);
        p->n_posted++;
        p->posted_at = sw_clock();
        pthread_mutex_unlock(&p->lock);
        sw_scheduler_wake(p->scheduler);
    }
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum sw_status serve_posts(struct job *job, struct sw_driver *driver)
{
    struct post *p = job->drive_context;
    struct sw_scheduler_options options = options_of(job, driver);
    pthread_t thread;
    enum sw_status status;
    options.mail = take_mail;
    options.mail_context = p;
    SW_TRY(sw_scheduler_open(&options, &p->scheduler));
    p->crowd->scheduler = p->scheduler;
    make_texts(p->crowd);
    p->n_posted = p->n_taken = p->n_rested = p->n_mail = p->n_mail_under_way = 0;
    if (pthread_create(&thread, NULL, post_texts, p) != 0)
        return SW_EDEVICE;
    do {
        const bool idle = sw_scheduler_idle(p->scheduler);
        if (idle)
            __atomic_store_n(&p->n_rested, p->n_taken, __ATOMIC_RELEASE);
        status = idle ? sw_scheduler_wait(p->scheduler) : sw_scheduler_step(p->scheduler);
    } while (status == SW_OK && (p->n_taken < POSTS || !sw_scheduler_idle(p->scheduler)));
    __atomic_store_n(&p->n_rested, POSTS, __ATOMIC_RELEASE); /* after an error it waits no more */
    pthread_join(thread, NULL);
    sw_scheduler_close(p->scheduler);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

#define TRIES 10 /* others on the machine may delay most of the posts, but not of each try */

/* The scheduler sleeps between the posts, which come 15 ms or more apart. */
static void a_thread_wakes_an_idle_scheduler(void)
{
    struct post p = {.crowd = calloc(1, sizeof(struct crowd)), .pause_us = 15000};
    pthread_mutex_init(&p.lock, NULL);
    alarm(800); /* a wake that is lost hangs */
    int tries = 1;
    for (int ranks = 1; ranks <= 3; ranks++) {
        CU_ASSERT_EQUAL(run_job(ranks, 4, 64, &p, serve_posts), SW_OK);
        for (int i = 0; i < POSTS; i++)
            CU_ASSERT_EQUAL(p.crowd->texts[i].n_done, 1);
        qsort(p.delays, POSTS, sizeof *p.delays, ascending);
        printf("    %d ranks: a quarter taken within %.1f ms, half %.1f, all %.1f\n", ranks,
               1e3 * p.delays[POSTS / 4], 1e3 * p.delays[POSTS / 2], 1e3 * p.delays[POSTS - 1]);
        const bool soon = p.delays[POSTS / 4] < 0.05;
        CU_ASSERT(soon || tries < TRIES);
        ranks -= !soon && tries++ < TRIES; /* once more */
    }
    alarm(0);
    pthread_mutex_destroy(&p.lock);
    free(p.crowd);
}

static void *keep_waking(void *context)
{
    struct post *p = context;
    while (!__atomic_load_n(&p->is_over, __ATOMIC_ACQUIRE)) {
        const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        sw_scheduler_wake(p->scheduler);
    }
    return NULL;
}

/* While the last rank computes a long prompt, rank 0 waits for its results. */
static enum sw_status wake_a_step(struct job *job, struct sw_driver *driver)
{
    struct post *p = job->drive_context;
    struct sw_scheduler_options options = options_of(job, driver);
    int32_t ids[400];
    pthread_t thread;
    for (int k = 0; k < 400; k++)
        ids[k] = k * 7 % 900;
    const struct sw_request r = {.ids = ids,
                                 .n_ids = 400,
                                 .score_from = 400,
                                 .max_new = 2,
                                 .sampling = sw_sampling_default()};
    options.mail = take_mail;
    options.mail_context = p;
    SW_TRY(sw_scheduler_open(&options, &p->scheduler));
    SW_TRY(sw_scheduler_submit(p->scheduler, &r, NULL));
    if (pthread_create(&thread, NULL, keep_waking, p) != 0)
        return SW_EDEVICE;
    enum sw_status status = SW_OK;
    while (status == SW_OK && !sw_scheduler_idle(p->scheduler)) {
        struct sw_scheduler_stats before, after;
        sw_scheduler_stats(p->scheduler, &before);
        status = sw_scheduler_step(p->scheduler);
        sw_scheduler_stats(p->scheduler, &after);
        p->n_early += after.under_way > 0 && after.under_way == before.under_way &&
                      after.batches == before.batches;
    }
    __atomic_store_n(&p->is_over, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    printf("    mail %d times, %d of them with results due\n", p->n_mail, p->n_mail_under_way);
    sw_scheduler_close(p->scheduler);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

static void a_thread_wakes_a_step_that_waits(void)
{
    static const int32_t one = 1;
    static const struct sw_engine_slice slices[2] = {{.first = 0, .count = 1},
                                                     {.first = 1, .count = 5}};
    struct post p = {.crowd = NULL};
    struct job job = {.dir = SW_SOURCE_DIR "/tests/models/shakespeare",
                      .weights = SW_FORMAT_F32,
                      .kv = SW_F32,
                      .ranks = 2,
                      .threads = 1,
                      .chunk = 400,
                      .context = 512,
                      .slots = 1,
                      .slices = slices,
                      .drive = wake_a_step,
                      .drive_context = &p,
                      .ids = &one,
                      .n_ids = 1};
    pthread_mutex_init(&p.lock, NULL);
    alarm(800);
    for (int tries = 0; tries < TRIES && !(p.n_early > 3 && p.n_mail_under_way > 3); tries++) {
        p.is_over = p.n_early = p.n_mail = p.n_mail_under_way = 0;
        CU_ASSERT_EQUAL(job_run(&job), SW_OK);
        if (*job.error)
            printf("    %s\n", job.error);
        job_free(&job);
        job.logits = NULL;
        job.new_ids = NULL;
    }
    CU_ASSERT(p.n_early > 3 && p.n_mail_under_way > 3);
    alarm(0);
    pthread_mutex_destroy(&p.lock);
}

SW_UNIT_TESTS({"in every state", in_every_state},
              {"sharers find another source", sharers_find_another_source},
              {"a thread wakes an idle scheduler", a_thread_wakes_an_idle_scheduler},
              {"a thread wakes a step that waits", a_thread_wakes_a_step_that_waits})
