/* Owns requests from submission to their end: the queue, the steps, and their results. */
#include "engine/scheduler_impl.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/wake.h"

#include <stdlib.h>
#include <string.h>

static enum sw_status scheduler_check_ids(const int32_t *ids, int n, int vocab)
{
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return sw_fail(SW_EINPUT, "the prompt has id %d, but the model's are below %d", ids[i],
                           vocab);
    return SW_OK;
}

static enum sw_status scheduler_check_source(const struct sw_scheduler *s,
                                             const struct sw_request *r)
{
    const int most = sw_min_int(s->options.max_batch_tokens, s->options.context);
    if (s->encoder == 0)
        return r->n_source == 0
                   ? SW_OK
                   : sw_fail(SW_EINPUT, "a source is given, but the model has no encoder");
    if (r->n_source < 1)
        return sw_fail(SW_EINPUT, "the model is an encoder-decoder and needs a source; give it at "
                                  "least one token");
    if (r->n_source > most)
        return sw_fail(SW_EINPUT,
                       "the source has %d tokens, but an encoder takes it whole, and there is room "
                       "for %d; shorten it, or raise --context (and --chunk, where it is given)",
                       r->n_source, most);
    return scheduler_check_ids(r->source, r->n_source, sw_driver_vocab(s->options.driver));
}

static enum sw_status scheduler_check_steering(const struct sw_scheduler *s,
                                               const struct sw_steering *steering)
{
    const int vocab = sw_driver_vocab(s->options.driver);
    if (steering->n_bias < 0 || steering->n_bias > SW_BIAS_MAX)
        return sw_fail(SW_EINPUT, "%d ids have a bias; %d may have one", steering->n_bias,
                       SW_BIAS_MAX);
    if (steering->grammar && !s->options.tokens)
        return sw_fail(SW_EINPUT, "a grammar needs the model's tokenizer, and there is none");
    for (int i = 0; i < steering->n_bias; i++)
        if (steering->bias[i].id < 0 || steering->bias[i].id >= vocab)
            return sw_fail(SW_EINPUT, "id %d has a bias, but the model's ids are below %d",
                           steering->bias[i].id, vocab);
    return SW_OK;
}

static enum sw_status scheduler_check(const struct sw_scheduler *s, const struct sw_request *r,
                                      int n_prompt)
{
    const int vocab = sw_driver_vocab(s->options.driver);
    SW_TRY(scheduler_check_source(s, r));
    if (r->n_ids < 1)
        return sw_fail(
            SW_EINPUT,
            "the prompt is empty, and this model has no start token; give it at least one "
            "token");
    if (n_prompt > s->options.context)
        return sw_fail(SW_EINPUT,
                       "the prompt has %d tokens, but there is room for %d; shorten it, or raise "
                       "--context, if the model goes further",
                       r->n_ids, s->options.context);
    if (r->n_hidden < 0 || r->n_hidden > n_prompt)
        return sw_fail(SW_EINPUT, "hidden states of %d rows are asked for, of a prompt of %d",
                       r->n_hidden, n_prompt);
    if (r->score_from < 1 || r->max_new < 0)
        return sw_fail(SW_EINPUT,
                       "scores from id %d on and %d new tokens are not possible; score from 1 "
                       "on, and generate 0 tokens or more",
                       r->score_from, r->max_new);
    SW_TRY(scheduler_check_ids(r->ids, r->n_ids, vocab));
    SW_TRY(scheduler_check_steering(s, &r->steering));
    return sw_sampling_check(&r->sampling);
}

const int32_t *sw_scheduler_start(const struct sw_scheduler *s)
{
    return sw_driver_start(s->options.driver);
}

enum sw_status sw_scheduler_submit(struct sw_scheduler *s, const struct sw_request *r,
                                   uint64_t *handle)
{
    const int n_prompt = r->max_new > 0 ? r->n_ids : r->n_ids - 1;
    SW_TRY(scheduler_check(s, r, n_prompt));
    const size_t bytes = (size_t)r->n_ids * sizeof *r->ids;
    const size_t source_bytes = (size_t)r->n_source * sizeof *r->source;
    const size_t bias_bytes = (size_t)r->steering.n_bias * sizeof *r->steering.bias;
    struct entry *e = malloc(sizeof *e + bytes + source_bytes + bias_bytes);
    if (!e)
        return sw_fail(SW_ENOMEM, "no memory for a prompt of %d tokens", r->n_ids);
    *e = (struct entry){.request = *r, .n_prompt = n_prompt, .handle = ++s->handles};
    if (handle)
        *handle = e->handle;
    memcpy(e->ids, r->ids, bytes);
    e->request.ids = e->ids;
    e->request.source = e->ids + r->n_ids;
    if (source_bytes)
        memcpy(e->ids + r->n_ids, r->source, source_bytes);
    if (bias_bytes)
        e->request.steering.bias =
            memcpy(e->ids + r->n_ids + r->n_source, r->steering.bias, bias_bytes);
    if (e->request.score_from > r->n_ids)
        e->request.score_from = r->n_ids;
    if (s->last)
        s->last->next = e;
    else
        s->first = e;
    s->last = e;
    s->stats.waiting++;
    return SW_OK;
}

static struct entry *scheduler_find(const struct sw_scheduler *s, uint64_t handle)
{
    for (int i = 0; i < s->options.slots; i++)
        if (s->slots[i].entry && s->slots[i].entry->handle == handle)
            return s->slots[i].entry;
    for (struct entry *e = s->first; e; e = e->next)
        if (e->handle == handle)
            return e;
    return NULL;
}

void sw_scheduler_cancel(struct sw_scheduler *s, uint64_t handle)
{
    struct entry *e = scheduler_find(s, handle);
    if (!e || e->cancelled)
        return;
    e->cancelled = true;
    s->n_cancelled++;
}

void sw_scheduler_wake(struct sw_scheduler *s)
{
    sw_wake_set(&s->woken);
}

/* Calls `mail` if another thread has woken the scheduler. What comes after this wakes it again. */
static enum sw_status scheduler_take_mail(struct sw_scheduler *s)
{
    if (!__atomic_exchange_n(&s->woken, 0, __ATOMIC_ACQ_REL) || !s->options.mail)
        return SW_OK;
    return s->options.mail(s->options.mail_context, s);
}

enum sw_status sw_scheduler_wait(struct sw_scheduler *s)
{
    bool ready;
    if (sw_scheduler_idle(s))
        SW_TRY(sw_driver_wait(s->options.driver, &s->woken, &ready));
    return scheduler_take_mail(s);
}

int sw_scheduler_room(const struct sw_scheduler *s)
{
    /* A free slot should find its next request waiting. */
    const int room = 2 * s->options.slots - s->stats.running - s->stats.waiting;
    return room > 0 ? room : 0;
}

bool sw_scheduler_idle(const struct sw_scheduler *s)
{
    return s->stats.waiting == 0 && s->stats.running == 0 && s->stats.under_way == 0;
}

void sw_scheduler_stats(const struct sw_scheduler *s, struct sw_scheduler_stats *out)
{
    *out = s->stats;
}

int64_t sw_scheduler_positions(const struct sw_scheduler *s)
{
    int64_t n = 0;
    for (int i = 0; i < s->options.slots; i++)
        n += s->slots[i].entry ? s->slots[i].n_sent : 0;
    return n;
}

static struct sw_sampled scheduler_sampled(const struct sw_result *r)
{
    struct sw_sampled sampled;
    sampled.id = r->id;
    sampled.logprob = r->logprob;
    sampled.n_top = r->n_top;
    if (r->n_top > 0)
        memcpy(sampled.top, r->top, (size_t)r->n_top * sizeof *r->top);
    return sampled;
}

static enum sw_status scheduler_on_score(struct sw_scheduler *s, const struct sw_result *r)
{
    struct entry *e = s->slots[r->slot].entry;
    const struct sw_request *request = &e->request;
    s->stats.scored++;
    e->undefined = e->undefined || r->undefined;
    if (request->scored && !r->undefined) {
        const struct sw_sampled score = scheduler_sampled(r);
        SW_TRY(request->scored(request->owner, r->position + 1, &score, r->greedy));
    }
    if (r->position + 2 < request->n_ids || request->max_new > 0)
        return SW_OK;
    return sw_scheduler_end(s, r->slot, SW_FINISH_LENGTH);
}

static enum sw_status scheduler_on_token(struct sw_scheduler *s, const struct sw_result *r)
{
    struct slot *slot = &s->slots[r->slot];
    struct entry *e = slot->entry;
    const struct sw_sampled sampled = scheduler_sampled(r);
    const bool is_bad = r->undefined || r->stuck;
    bool stop = is_bad;
    e->undefined = e->undefined || r->undefined;
    e->stuck = e->stuck || r->stuck;
    e->n_new++;
    s->stats.generated += !is_bad;
    if (e->request.token && !is_bad)
        SW_TRY(e->request.token(e->request.owner, &sampled, &stop));
    const bool is_full = slot->n_sent >= s->options.context;
    if (stop || e->n_new >= e->request.max_new || is_full) {
        s->n_stepping -= e->request.max_new > 1;
        return sw_scheduler_end(s, r->slot,
                                stop                             ? SW_FINISH_STOP
                                : e->n_new >= e->request.max_new ? SW_FINISH_LENGTH
                                                                 : SW_FINISH_CONTEXT);
    }
    slot->ids[slot->n_due++] = r->id;
    ring_push(&s->steps, r->slot);
    return SW_OK;
}

static enum sw_status scheduler_on_result(struct sw_scheduler *s, const struct sw_result *r)
{
    struct slot *slot = r->slot < s->options.slots ? &s->slots[r->slot] : NULL;
    const bool is_due = slot && slot->n_results > 0;
    const bool is_stale = is_due && slot->n_stale > 0;
    if (!is_due || (!is_stale && (!slot->entry || r->position >= slot->n_sent)))
        return sw_fail(SW_EPEER,
                       "a result came for slot %d, position %d, where none is due; start the "
                       "same program everywhere",
                       r->slot, r->position);
    slot->n_results--;
    if (is_stale)
        slot->n_stale--;
    if (is_stale || slot->entry->cancelled)
        return SW_OK;
    return r->scored ? scheduler_on_score(s, r) : scheduler_on_token(s, r);
}

/* As sw_driver_take: the results of the oldest micro-batch. */
static enum sw_status scheduler_take_results(void *context, const struct sw_result *results, int n)
{
    struct sw_scheduler *s = context;
    sw_in_flight_returned(&s->in_flight, sw_clock());
    s->stats.under_way--;
    s->has_results = true;
    for (int i = 0; i < n; i++)
        SW_TRY(scheduler_on_result(s, &results[i]));
    return SW_OK;
}

static enum sw_status scheduler_submit_batch(struct sw_scheduler *s)
{
    sw_in_flight_sent(&s->in_flight, sw_clock(), s->batch.n_rows);
    s->stats.under_way++;
    s->stats.batches++;
    s->stats.rows_sent += s->batch.n_rows;
    SW_TRY(sw_driver_submit(s->options.driver, &s->batch));
    return sw_scheduler_unblock(s);
}

enum sw_status sw_scheduler_step(struct sw_scheduler *s)
{
    SW_TRY(scheduler_take_mail(s));
    SW_TRY(sw_scheduler_drop_cancelled(s));
    SW_TRY(sw_scheduler_admit(s));
    sw_in_flight_adapt(&s->in_flight, s->n_stepping, sw_driver_times(s->options.driver));
    bool ready = false;
    for (s->has_results = false; !s->has_results;) {
        sw_scheduler_build_batch(s);
        if (s->batch.n_rows == 0)
            break;
        SW_TRY(scheduler_submit_batch(s));
    }
    if (!s->has_results && s->stats.under_way > 0)
        SW_TRY(sw_driver_wait(s->options.driver, &s->woken, &ready));
    return ready ? sw_driver_collect(s->options.driver) : SW_OK;
}

/* The request whose values these are; NULL: it was cancelled. */
static enum sw_status scheduler_of_values(struct sw_scheduler *s, const struct sw_span *span,
                                          const struct sw_request **out)
{
    const struct slot *slot = span->slot < s->options.slots ? &s->slots[span->slot] : NULL;
    if (!slot || (slot->n_stale == 0 && (!slot->entry || span->position + span->n > slot->n_sent)))
        return sw_fail(SW_EPEER,
                       "values came for slot %d, position %lld, where none are due; start the "
                       "same program everywhere",
                       span->slot, (long long)span->position);
    *out = slot->n_stale > 0 || slot->entry->cancelled ? NULL : &slot->entry->request;
    return SW_OK;
}

static enum sw_status scheduler_take_hidden(void *context, int layer, const struct sw_span *span,
                                            const float *data)
{
    const struct sw_request *r;
    SW_TRY(scheduler_of_values(context, span, &r));
    return r && r->hidden ? r->hidden(r->owner, layer, span->position, span->n, data) : SW_OK;
}

static enum sw_status scheduler_take_logits(void *context, const struct sw_span *span,
                                            const float *data)
{
    const struct sw_request *r;
    SW_TRY(scheduler_of_values(context, span, &r));
    return r && r->logits ? r->logits(r->owner, span->position, span->n, data) : SW_OK;
}

static enum sw_status scheduler_hook(struct sw_scheduler *s)
{
    const struct sw_driver_hooks hooks = {
        .hidden = s->options.hidden_layers ? scheduler_take_hidden : NULL,
        .layers = s->options.hidden_layers,
        .logits = s->options.logits ? scheduler_take_logits : NULL,
        .context = s};
    return hooks.hidden || hooks.logits ? sw_driver_hooks(s->options.driver, &hooks) : SW_OK;
}

static enum sw_status scheduler_make_slots(struct sw_scheduler *s)
{
    const size_t slots = (size_t)s->options.slots, rows = (size_t)s->options.max_batch_tokens;
    const size_t ids = (size_t)s->options.context + 1;
    s->slots = calloc(slots, sizeof *s->slots);
    s->prompts = (struct ring){.slots = calloc(slots, sizeof(int)), .capacity = (int)slots};
    s->steps = (struct ring){.slots = calloc(slots, sizeof(int)), .capacity = (int)slots};
    s->batch.spans = calloc(rows, sizeof *s->batch.spans);
    s->batch.outputs = calloc(rows, sizeof *s->batch.outputs);
    s->batch.ids = calloc(rows, sizeof *s->batch.ids);
    s->batch.memory = calloc(rows, sizeof *s->batch.memory);
    s->sources = (struct ring){.slots = calloc(slots, sizeof(int)), .capacity = (int)slots};
    bool ok = s->slots && s->prompts.slots && s->steps.slots && s->sources.slots &&
              s->batch.memory && s->batch.spans && s->batch.outputs && s->batch.ids;
    for (size_t i = 0; i < slots && ok; i++) {
        s->slots[i].source = -1;
        s->slots[i].ids = calloc(ids, sizeof *s->slots[i].ids);
        ok = s->slots[i].ids != NULL;
    }
    return ok ? SW_OK : sw_fail(SW_ENOMEM, "no memory for %zu slots of %zu ids", slots, ids);
}

enum sw_status sw_scheduler_open(const struct sw_scheduler_options *options,
                                 struct sw_scheduler **out)
{
    struct sw_scheduler *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a scheduler");
    s->options = *options;
    s->stages = sw_driver_stages(options->driver);
    s->stream_rows = sw_driver_stream_rows(options->driver);
    s->encoder = sw_driver_encoder(options->driver);
    s->states = sw_driver_keeps_states(options->driver);
    s->snapshots = sw_driver_has_snapshots(options->driver);
    if (s->encoder > 0) /* rows of a target depend on its source */
        s->options.unshared = true;
    enum sw_status status = scheduler_make_slots(s);
    if (status == SW_OK)
        status = sw_in_flight_open(&s->in_flight, s->stages, sw_driver_size(options->driver));
    if (status == SW_OK)
        status = scheduler_hook(s);
    if (status != SW_OK) {
        sw_scheduler_close(s);
        return status;
    }
    sw_driver_results(options->driver, scheduler_take_results, s);
    *out = s;
    return SW_OK;
}

void sw_scheduler_close(struct sw_scheduler *s)
{
    if (!s)
        return;
    sw_driver_results(s->options.driver, NULL, NULL);
    for (struct entry *next, *e = s->first; e; e = next) {
        next = e->next;
        free(e);
    }
    for (int i = 0; i < s->options.slots && s->slots; i++) {
        free(s->slots[i].entry);
        free(s->slots[i].ids);
    }
    sw_in_flight_close(&s->in_flight);
    free(s->slots);
    free(s->prompts.slots);
    free(s->steps.slots);
    free(s->batch.spans);
    free(s->batch.outputs);
    free(s->batch.ids);
    free(s->batch.memory);
    free(s->sources.slots);
    free(s);
}
