/* Owns the server's loop: what the scheduler runs, when requests end, and how the server stops. */
#include "serve/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "plan/report.h"
#include "serve/api_error.h"
#include "serve/server_impl.h"
#include "session/token_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATE_S 0.5 /* how old what /metrics tells may be */
#define REST_S 1.0  /* without a request before ranks count as idle: their reports are as old */
#define FLUSH_S 2.0 /* for answers to reach their clients at the end; less than SW_MAIN_S */

/* ---- the HTTP thread's side ---- */

static int server_retry_after(const struct sw_server *s)
{
    const double wait = s->request_s * (s->n_open - s->slots) / s->slots;
    return wait < 1 ? 1 : wait > 60 ? 60 : (int)wait;
}

bool sw_server_admit(struct sw_server *s, struct sw_exchange *x)
{
    pthread_mutex_lock(&s->lock);
    const bool stopping = s->is_stopping;
    const bool full = s->n_open >= s->slots + s->options->queue;
    const int retry = stopping ? 5 : server_retry_after(s);
    if (!stopping && !full)
        s->n_open++;
    else if (!stopping)
        s->state.refused++;
    pthread_mutex_unlock(&s->lock);
    if (!stopping && !full)
        return true;
    x->retry_after = retry;
    sw_api_error_reply(x, stopping ? 503 : 429,
                       stopping ? "the server is stopping"
                                : "too many requests are waiting; try again later",
                       NULL);
    return false;
}

void sw_server_dismiss(struct sw_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->n_open--;
    pthread_mutex_unlock(&s->lock);
}

void sw_server_post(struct sw_server *s, struct sw_generation *g)
{
    pthread_mutex_lock(&s->lock);
    g->next = s->arrived;
    s->arrived = g;
    pthread_mutex_unlock(&s->lock);
    sw_scheduler_wake(s->scheduler);
}

static void server_abandoned(void *context)
{
    struct sw_server *s = context;
    pthread_mutex_lock(&s->lock);
    s->has_left = true;
    pthread_mutex_unlock(&s->lock);
    sw_scheduler_wake(s->scheduler);
}

/* Notices a stop signal, which may come to any thread while the scheduler sleeps. */
static void server_tick(void *context)
{
    struct sw_server *s = context;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = s->is_stopping || *s->options->stop;
    const bool stopping = s->is_stopping;
    pthread_mutex_unlock(&s->lock);
    if (stopping) /* again and again, for the end of the grace */
        sw_scheduler_wake(s->scheduler);
}

/* ---- the scheduler's thread ---- */

static void server_unlink(struct sw_generation *g)
{
    *g->from = g->next;
    if (g->next)
        g->next->from = g->from;
}

static void server_link(struct sw_server *s, struct sw_generation *g)
{
    g->next = s->running;
    g->from = &s->running;
    if (g->next)
        g->next->from = &g->next;
    s->running = g;
}

static void server_count(struct sw_server *s, const struct sw_generation *g)
{
    const double seconds = sw_clock() - g->begun;
    const bool left = sw_exchange_is_abandoned(g->x);
    pthread_mutex_lock(&s->lock);
    s->n_open--;
    s->state.answered += !left && !g->error;
    s->state.failed += !left && g->error;
    s->state.left += left;
    for (int i = 0; i < g->n_prompts; i++)
        s->state.prompt_tokens += (int64_t)g->prompts[i].ids.count;
    s->request_s = s->request_s > 0 ? 0.9 * s->request_s + 0.1 * seconds : seconds;
    pthread_mutex_unlock(&s->lock);
}

/* Counted before it is answered: its client may come again at once, and there is room. */
void sw_server_ended(struct sw_generation *g)
{
    server_unlink(g);
    server_count(g->server, g);
    sw_generation_answer(g);
    sw_generation_free(g);
}

static void server_begin(struct sw_server *s, struct sw_generation *g)
{
    bool over = false;
    g->server = s;
    server_link(s, g);
    sw_generation_begin(g, s->scheduler, &over);
    if (over)
        sw_server_ended(g);
}

static void server_cancel_left(struct sw_server *s)
{
    for (struct sw_generation *g = s->running; g; g = g->next)
        if (sw_exchange_is_abandoned(g->x))
            sw_generation_cancel(g, s->scheduler, 0, "");
}

/* struct sw_scheduler_options.mail */
static enum sw_status server_mail(void *context, struct sw_scheduler *scheduler)
{
    struct sw_server *s = context;
    struct sw_generation *arrived, *oldest = NULL, *next;
    (void)scheduler;
    pthread_mutex_lock(&s->lock);
    arrived = s->arrived;
    s->arrived = NULL;
    const bool has_left = s->has_left, stopping = s->is_stopping;
    s->has_left = false;
    pthread_mutex_unlock(&s->lock);
    for (; arrived; arrived = next) {
        next = arrived->next;
        arrived->next = oldest;
        oldest = arrived;
    }
    for (; oldest; oldest = next) {
        next = oldest->next;
        server_begin(s, oldest);
    }
    if (has_left)
        server_cancel_left(s);
    if (stopping && !s->is_draining) {
        s->is_draining = true;
        s->drain_end = sw_clock() + s->options->grace_s;
        sw_log(SW_LOG_INFO, "serve: stopping; running requests have %g s", s->options->grace_s);
    }
    return SW_OK;
}

/* Ends what has run too long, and, after the grace, everything. */
static void server_check_deadlines(struct sw_server *s)
{
    const double now = sw_clock(), most = s->options->timeout_s;
    const bool over = s->is_draining && now >= s->drain_end;
    for (struct sw_generation *g = s->running; g; g = g->next) {
        if (over)
            sw_generation_cancel(g, s->scheduler, 503, "the server is stopping");
        else if (most > 0 && now - g->begun > most)
            sw_generation_cancel(g, s->scheduler, 504,
                                 "the request took longer than this server allows "
                                 "(--request-timeout)");
    }
}

/* A rank's share of computing since its last report. */
static void server_measure_busy(struct sw_server *s, const struct sw_times *times)
{
    for (int r = 0; r < s->n_ranks; r++) {
        const double clock = times[r].clock - s->clocks[r];
        const double computed = times[r].seconds[SW_ACTIVITY_COMPUTE] - s->computed[r];
        if (times[r].batches == 0 || clock <= 0)
            continue;
        if (s->clocks[r] > 0)
            s->state.busy[r] = computed < clock ? computed / clock : 1;
        s->clocks[r] = times[r].clock;
        s->computed[r] = times[r].seconds[SW_ACTIVITY_COMPUTE];
    }
}

double sw_server_busy(const struct sw_server *s, int rank)
{
    const struct sw_server_state *state = &s->state;
    const bool rests = state->is_idle && sw_clock() - state->clock > REST_S;
    return state->busy[rank] < 0 || !rests ? state->busy[rank] : 0;
}

static void server_draw_state(struct sw_server *s, bool idle)
{
    const double clock = sw_clock();
    if (!idle && clock - s->drawn < STATE_S)
        return;
    s->drawn = clock;
    pthread_mutex_lock(&s->lock);
    sw_scheduler_stats(s->scheduler, &s->state.stats);
    s->state.seconds = clock - s->begun;
    s->state.clock = clock;
    s->state.is_idle = idle;
    s->state.positions = sw_scheduler_positions(s->scheduler);
    s->state.has_experts = sw_worker_experts(s->options->session->worker, &s->state.experts);
    server_measure_busy(s, sw_driver_times(s->options->session->driver));
    pthread_mutex_unlock(&s->lock);
}

static enum sw_status server_loop(struct sw_server *s)
{
    for (;;) {
        server_check_deadlines(s);
        SW_TRY(sw_scheduler_step(s->scheduler));
        const bool idle = sw_scheduler_idle(s->scheduler);
        server_draw_state(s, idle);
        if (idle && s->is_draining)
            return SW_OK;
        if (idle)
            SW_TRY(sw_scheduler_wait(s->scheduler));
    }
}

/* Requests that nobody will run any more. */
static void server_fail_all(struct sw_server *s, int error, const char *message)
{
    pthread_mutex_lock(&s->lock);
    struct sw_generation *arrived = s->arrived;
    s->arrived = NULL;
    s->is_stopping = true;
    pthread_mutex_unlock(&s->lock);
    for (struct sw_generation *next; arrived; arrived = next) {
        next = arrived->next;
        arrived->server = s;
        server_link(s, arrived);
    }
    while (s->running) {
        struct sw_generation *g = s->running;
        sw_generation_fail(g, error, message);
        sw_server_ended(g);
    }
}

/* The picture is drawn once: a plan does not change. */
static void server_draw_plan(struct sw_server *s)
{
    const struct sw_session *session = s->options->session;
    const struct sw_report report = {.model = s->rules.model,
                                     .footprint = &session->footprint,
                                     .cluster = &session->probe.cluster,
                                     .plan = &session->plan,
                                     .options = &session->plan_options};
    sw_report_svg(&report, &s->plan);
}

static enum sw_status server_open(struct sw_server *s)
{
    const struct sw_server_options *o = s->options;
    const struct sw_session *session = o->session;
    if (session->tokenizer)
        SW_TRY(sw_token_bytes(session->tokenizer, session->vocab_limit, &s->tokens));
    const struct sw_scheduler_options scheduler = {.driver = session->driver,
                                                   .slots = session->params.slots,
                                                   .context = session->params.context,
                                                   .max_batch_tokens =
                                                       session->params.max_batch_tokens,
                                                   .beside_rows = session->plan.hidden_rows,
                                                   .tokens = s->tokens.length ? &s->tokens : NULL,
                                                   .mail = server_mail,
                                                   .mail_context = s};
    const struct sw_http_options http = {.socket = o->socket,
                                         .routes = sw_server_routes,
                                         .keys = o->keys,
                                         .allow_origin = o->allow_origin,
                                         .max_connections = o->max_connections,
                                         .max_body = o->max_body,
                                         .abandoned = server_abandoned,
                                         .tick = server_tick,
                                         .context = s};
    s->n_ranks = session->transport->size;
    s->computed = calloc((size_t)s->n_ranks, sizeof *s->computed);
    s->clocks = calloc((size_t)s->n_ranks, sizeof *s->clocks);
    s->state.busy = calloc((size_t)s->n_ranks, sizeof *s->state.busy);
    if (!s->computed || !s->clocks || !s->state.busy)
        return sw_fail(SW_ENOMEM, "no memory for a server of %d ranks", s->n_ranks);
    for (int r = 0; r < s->n_ranks; r++)
        s->state.busy[r] = -1;
    server_draw_plan(s);
    if (s->plan.failed)
        return sw_fail(SW_ENOMEM, "no memory for the picture of the plan");
    SW_TRY(sw_scheduler_open(&scheduler, &s->scheduler));
    server_draw_state(s, true);
    return sw_http_start(&http, &s->http);
}

enum sw_status sw_server_run(const struct sw_server_options *o)
{
    const struct sw_session *session = o->session;
    struct sw_server s = {.options = o,
                          .rules = {.tokenizer = session->tokenizer,
                                    .chat = o->chat,
                                    .no_chat = o->no_chat,
                                    .model = o->model,
                                    .vocab = session->model->dims.vocab,
                                    .context = session->params.context,
                                    .has_encoder = session->model->dims.n_encoder > 0},
                          .slots = session->params.slots,
                          .context = session->params.context,
                          .begun = sw_clock(),
                          .created = (int64_t)time(NULL),
                          .lock = PTHREAD_MUTEX_INITIALIZER};
    char message[SW_ERROR_MAX];
    enum sw_status status = server_open(&s);
    if (status == SW_OK) {
        o->ready(o->context);
        status = server_loop(&s);
    }
    snprintf(message, sizeof message, "%s", sw_error_message());
    if (s.scheduler)
        server_fail_all(&s, 503,
                        status == SW_OK ? "the server is stopping"
                                        : "the server has lost a part of the model and is ending");
    sw_http_stop(s.http, FLUSH_S);
    sw_scheduler_close(s.scheduler);
    for (struct sw_generation *next; s.arrived; s.arrived = next) { /* came after the end */
        next = s.arrived->next;
        sw_generation_free(s.arrived);
    }
    pthread_mutex_destroy(&s.lock);
    sw_strbuf_free(&s.plan);
    sw_strbuf_free(&s.tokens);
    free(s.computed);
    free(s.clocks);
    free(s.state.busy);
    return status == SW_OK ? SW_OK : sw_fail(status, "%s", message);
}
