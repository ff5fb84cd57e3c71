/* Owns the driver, rank 0's part of the pipeline: submits micro-batches and collects results. */
#include "engine/driver_impl.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Calls the hook. */
static enum sw_status driver_take_values(struct sw_driver *d, enum sw_engine_kind kind, int layer,
                                         const struct sw_span *span, const float *data)
{
    return kind == SW_MSG_HIDDEN ? d->hooks.hidden(d->hooks.context, layer, span, data)
                                 : d->hooks.logits(d->hooks.context, span, data);
}

static void driver_take_own(struct sw_driver *d, const struct sw_result *results, int n)
{
    d->own = results;
    d->n_own = n;
}

enum sw_status sw_driver_open(struct sw_worker *worker, struct sw_driver **out)
{
    const size_t size = (size_t)worker->options.transport->size;
    struct sw_driver *d = calloc(1, sizeof *d);
    *out = NULL;
    if (d)
        d->times = calloc(size, sizeof *d->times);
    if (d)
        d->clock_ahead = calloc(size, sizeof *d->clock_ahead);
    if (d)
        d->hidden_taken = calloc(size, sizeof *d->hidden_taken);
    if (d)
        d->hidden_all = calloc(size, sizeof *d->hidden_all);
    if (d)
        d->hidden_layers = calloc((size_t)worker->limits.layers + 1, 1);
    if (!d || !d->times || !d->clock_ahead || !d->hidden_taken || !d->hidden_all ||
        !d->hidden_layers) {
        sw_driver_close(d);
        return sw_fail(SW_ENOMEM, "no memory for a driver of %zu ranks", size);
    }
    d->worker = worker;
    worker->sink = (struct sw_worker_sink){.values = driver_take_values,
                                           .results = driver_take_own,
                                           .times = sw_driver_take_times,
                                           .routes = sw_driver_take_routes,
                                           .driver = d};
    *out = d;
    return SW_OK;
}

void sw_driver_close(struct sw_driver *d)
{
    if (!d)
        return;
    if (d->timeline) /* an interrupted job still has unreported activities */
        sw_timeline_add(d->timeline, 0, 0, d->worker->recorder.activities,
                        (size_t)d->worker->recorder.n);
    sw_timeline_close(d->timeline);
    sw_routes_close(d->routes);
    if (d->worker)
        d->worker->sink = (struct sw_worker_sink){0};
    free(d->decoded);
    free(d->times);
    free(d->clock_ahead);
    free(d->hidden_layers);
    free(d->hidden_taken);
    free(d->hidden_all);
    free(d->hidden_due);
    free(d->in.bytes);
    free(d->out.bytes);
    free(d->results.bytes);
    free(d);
}

int sw_driver_stages(const struct sw_driver *d)
{
    return d->worker->stages;
}

int sw_driver_stream_rows(const struct sw_driver *d)
{
    const struct sw_worker_options *o = &d->worker->options;
    int least = 0;
    for (int r = 0; r < o->transport->size; r++) {
        const struct sw_engine_slice *s = &o->slices[r];
        if (s->count > 0 && s->tiers.stream_rows > 0 &&
            (least == 0 || s->tiers.stream_rows < least))
            least = s->tiers.stream_rows;
    }
    return least;
}

int sw_driver_size(const struct sw_driver *d)
{
    return d->worker->options.transport->size;
}

int sw_driver_vocab(const struct sw_driver *d)
{
    return d->worker->limits.vocab;
}

int sw_driver_encoder(const struct sw_driver *d)
{
    return d->worker->options.model->dims.n_encoder;
}

bool sw_driver_keeps_states(const struct sw_driver *d)
{
    return sw_model_keeps_states(d->worker->options.model);
}

const int32_t *sw_driver_start(const struct sw_driver *d)
{
    const struct sw_dims *dims = &d->worker->options.model->dims;
    return dims->n_encoder > 0 ? &dims->decoder_start : NULL;
}

int sw_driver_under_way(const struct sw_driver *d)
{
    return d->under_way;
}

void sw_driver_results(struct sw_driver *d, sw_driver_take *take, void *context)
{
    d->take = take;
    d->take_context = context;
}

/* Sends a control message to the first stage; applies it directly when that is rank 0. */
static enum sw_status driver_send_with(struct sw_driver *d, struct sw_message *m,
                                       const void *payload, size_t bytes)
{
    if (d->worker->first_rank == 0)
        return sw_worker_control(d->worker, m, payload, bytes);
    return sw_transport_send(d->worker->options.transport, d->worker->first_rank, m, payload,
                             bytes);
}

static enum sw_status driver_send(struct sw_driver *d, struct sw_message *m)
{
    return driver_send_with(d, m, NULL, 0);
}

enum sw_status sw_driver_slot(struct sw_driver *d, int slot, const struct sw_sampling *sampling)
{
    struct sw_message m = {.kind = SW_MSG_SLOT};
    const struct sw_slot_body body = {slot, *sampling};
    memcpy(m.body, &body, sizeof body);
    return driver_send(d, &m);
}

enum sw_status sw_driver_tokens(struct sw_driver *d, const char *tokens, size_t n)
{
    struct sw_message m = {.kind = SW_MSG_TOKENS};
    if (d->has_tokens)
        return SW_OK;
    d->has_tokens = true;
    return driver_send_with(d, &m, tokens, n);
}

enum sw_status sw_driver_steer(struct sw_driver *d, int slot, const struct sw_steering *steering)
{
    struct sw_message m = {.kind = SW_MSG_STEER};
    const size_t bias = (size_t)steering->n_bias * sizeof *steering->bias;
    const struct sw_steer_body body = {slot, steering->n_bias, (int32_t)steering->n_grammar};
    memcpy(m.body, &body, sizeof body);
    SW_TRY(sw_wire_reserve(&d->out, bias + steering->n_grammar + 1));
    if (bias > 0)
        memcpy(d->out.bytes, steering->bias, bias);
    if (steering->n_grammar > 0)
        memcpy(d->out.bytes + bias, steering->grammar, steering->n_grammar);
    return driver_send_with(d, &m, d->out.bytes, bias + steering->n_grammar);
}

enum sw_status sw_driver_copy(struct sw_driver *d, int from, int to, int n)
{
    struct sw_message m = {.kind = SW_MSG_COPY};
    const struct sw_copy_body body = {from, to, n};
    memcpy(m.body, &body, sizeof body);
    return driver_send(d, &m);
}

bool sw_driver_has_snapshots(const struct sw_driver *d)
{
    return d->worker->limits.snapshots;
}

enum sw_status sw_driver_keep(struct sw_driver *d, int slot, int n)
{
    return sw_driver_copy(d, slot, d->worker->limits.slots + slot, n);
}

enum sw_status sw_driver_restore(struct sw_driver *d, int from, int to, int n)
{
    return sw_driver_copy(d, d->worker->limits.slots + from, to, n);
}

enum sw_status sw_driver_hooks(struct sw_driver *d, const struct sw_driver_hooks *hooks)
{
    struct sw_message m = {.kind = SW_MSG_HOOKS};
    const struct sw_hooks_body body = {hooks->hidden != NULL, hooks->logits != NULL};
    const size_t layers = (size_t)d->worker->limits.layers + 1;
    d->hooks = *hooks;
    d->hooks.layers = d->hidden_layers;
    if (hooks->layers)
        memcpy(d->hidden_layers, hooks->layers, layers);
    else
        memset(d->hidden_layers, 1, layers);
    memcpy(m.body, &body, sizeof body);
    return driver_send_with(d, &m, d->hidden_layers, body.hidden ? layers : 0);
}

/* Passes on the results of the oldest micro-batch. */
static enum sw_status driver_pass(struct sw_driver *d, const struct sw_result *results, int n)
{
    d->under_way--;
    return d->take ? d->take(d->take_context, results, n) : SW_OK;
}

/* Messages with hidden states that a rank sends of a micro-batch which has rows for the hook: one
 * for each layer. */
static int driver_hidden_of(const struct sw_driver *d, const struct sw_microbatch *batch, int rank)
{
    const struct sw_engine_slice *slice = &d->worker->options.slices[rank];
    int n = rank == d->worker->first_rank && d->hidden_layers[0];
    for (int l = slice->first; l < slice->first + slice->count; l++)
        n += sw_microbatch_runs(batch, l) && d->hidden_layers[l + 1];
    return n;
}

/* Makes room to note one more micro-batch. */
static enum sw_status driver_reserve_due(struct sw_driver *d)
{
    const int64_t size = d->worker->options.transport->size, capacity = 2 * d->cap_due + 16;
    if (d->under_way < d->cap_due)
        return SW_OK;
    int64_t *due = calloc((size_t)(capacity * size), sizeof *due);
    if (!due)
        return sw_fail(SW_ENOMEM, "no memory for %lld micro-batches", (long long)capacity);
    for (int64_t i = d->submitted - d->under_way; i < d->submitted; i++)
        memcpy(due + i % capacity * size, d->hidden_due + i % d->cap_due * size,
               (size_t)size * sizeof *due);
    free(d->hidden_due);
    d->hidden_due = due;
    d->cap_due = capacity;
    return SW_OK;
}

/* Notes how many messages with hidden states come of this micro-batch and those before it. */
static enum sw_status driver_note_due(struct sw_driver *d, const struct sw_microbatch *batch)
{
    const int size = d->worker->options.transport->size;
    bool wanted = false;
    SW_TRY(driver_reserve_due(d));
    for (int i = 0; i < batch->n_spans && d->hooks.hidden; i++)
        wanted = wanted || batch->outputs[i].hidden_from < batch->spans[i].n;
    for (int r = 1; r < size && wanted; r++) /* rank 0's own come by no message */
        d->hidden_all[r] += driver_hidden_of(d, batch, r);
    memcpy(d->hidden_due + d->submitted++ % d->cap_due * size, d->hidden_all,
           (size_t)size * sizeof *d->hidden_all);
    return SW_OK;
}

/* Whether the hidden states of the oldest micro-batch under way are here. */
static bool driver_has_hidden(const struct sw_driver *d)
{
    const int size = d->worker->options.transport->size;
    const int64_t *due = d->hidden_due + (d->submitted - d->under_way) % d->cap_due * size;
    for (int r = 1; r < size; r++)
        if (d->hidden_taken[r] < due[r])
            return false;
    return true;
}

enum sw_status sw_driver_submit(struct sw_driver *d, const struct sw_microbatch *batch)
{
    SW_TRY(driver_note_due(d, batch));
    d->under_way++;
    if (d->worker->first_rank == 0) {
        SW_TRY(sw_worker_run_batch(d->worker, batch, NULL));
        return d->worker->last_rank == 0 ? driver_pass(d, d->own, d->n_own) : SW_OK;
    }
    const double start = sw_clock();
    const size_t bytes = sw_wire_batch_head(batch->n_rows, batch->n_spans);
    SW_TRY(sw_wire_reserve(&d->out, bytes));
    sw_wire_write_batch(batch, d->out.bytes);
    struct sw_message m = {.kind = SW_MSG_BATCH};
    const struct sw_batch_body body = {.n_rows = batch->n_rows,
                                       .n_spans = batch->n_spans,
                                       .first = batch->first,
                                       .end = batch->end};
    memcpy(m.body, &body, sizeof body);
    SW_TRY(sw_transport_send(d->worker->options.transport, d->worker->first_rank, &m, d->out.bytes,
                             bytes));
    sw_recorder_add(&d->worker->recorder, SW_ACTIVITY_SEND, start, sw_clock(), batch->n_rows);
    return sw_worker_report_times(d->worker, false);
}

static enum sw_status receive_values(struct sw_driver *d, const struct sw_message *m)
{
    struct sw_values_body body;
    const struct sw_dims *dims = &d->worker->options.model->dims;
    const struct sw_span *spans;
    const float *data;
    memcpy(&body, m->body, sizeof body);
    const bool hidden = m->kind == SW_MSG_HIDDEN;
    const int64_t width = hidden ? dims->hidden : dims->vocab;
    SW_TRY(sw_wire_read_values(&body, d->in.bytes, m->bytes, &d->worker->limits, width, &spans,
                               &data));
    if (!(hidden ? d->hooks.hidden != NULL : d->hooks.logits != NULL))
        return sw_fail(SW_EPEER, "rank %d sent values that were not asked for", m->source);
    d->hidden_taken[m->source] += hidden;
    for (int i = 0; i < body.n_spans; i++) {
        SW_TRY(driver_take_values(d, m->kind, body.layer, &spans[i], data));
        data += spans[i].n * width;
    }
    return SW_OK;
}

/* Receives the next message to rank 0. Results go to d->results and set d->has_result. */
static enum sw_status driver_receive(struct sw_driver *d)
{
    struct sw_transport *t = d->worker->options.transport;
    struct sw_message m;
    SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, &m));
    SW_TRY(sw_wire_reserve(&d->in, m.bytes + 1));
    if (m.bytes > 0)
        SW_TRY(sw_transport_recv_payload(t, &m, d->in.bytes));
    if (m.kind == SW_MSG_RESULT && m.source == d->worker->last_rank && !d->has_result) {
        const struct sw_wire swap = d->results;
        d->results = d->in;
        d->in = swap;
        d->result_bytes = m.bytes;
        d->has_result = true;
        return SW_OK;
    }
    if (m.kind == SW_MSG_TIMES)
        return sw_driver_receive_times(d, &m);
    if (m.kind == SW_MSG_ROUTES)
        return sw_driver_receive_routes(d, &m);
    if (m.kind == SW_MSG_HIDDEN || m.kind == SW_MSG_LOGITS)
        return receive_values(d, &m);
    return sw_fail(SW_EPEER, "a message of unexpected kind %d came from rank %d", m.kind, m.source);
}

static enum sw_status driver_decode(struct sw_driver *d, size_t length, int *n)
{
    *n = 0;
    for (size_t at = 0; at < length; (*n)++) {
        if ((size_t)*n == d->cap_decoded) {
            const size_t capacity = d->cap_decoded ? 2 * d->cap_decoded : 64;
            struct sw_result *grown = realloc(d->decoded, capacity * sizeof *grown);
            if (!grown)
                return sw_fail(SW_ENOMEM, "no memory for %zu results", capacity);
            d->decoded = grown;
            d->cap_decoded = capacity;
        }
        SW_TRY(sw_wire_read_result(d->results.bytes, length, &d->worker->limits, &at,
                                   &d->decoded[*n]));
    }
    return SW_OK;
}

enum sw_status sw_driver_wait(struct sw_driver *d, const int *wake, bool *ready)
{
    const double start = sw_clock();
    *ready = d->has_result;
    if (*ready)
        return SW_OK;
    while (!d->has_result && !__atomic_load_n(wake, __ATOMIC_ACQUIRE)) {
        bool arrived;
        SW_TRY(sw_transport_wait(d->worker->options.transport, SW_ANY_RANK, wake, &arrived));
        if (arrived)
            SW_TRY(driver_receive(d));
    }
    *ready = d->has_result;
    sw_recorder_add(&d->worker->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    return SW_OK;
}

enum sw_status sw_driver_collect(struct sw_driver *d)
{
    const double start = sw_clock();
    int n;
    while (!d->has_result || !driver_has_hidden(d)) /* these come from other ranks */
        SW_TRY(driver_receive(d));
    d->has_result = false;
    sw_recorder_add(&d->worker->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    SW_TRY(driver_decode(d, d->result_bytes, &n));
    return driver_pass(d, d->decoded, n);
}

enum sw_status sw_driver_drain(struct sw_driver *d)
{
    while (d->under_way > 0)
        SW_TRY(sw_driver_collect(d));
    return SW_OK;
}

static bool all_final(const struct sw_driver *d)
{
    for (int r = 1; r < d->worker->options.transport->size; r++)
        if (!d->times[r].is_final)
            return false;
    return true;
}

enum sw_status sw_driver_stop(struct sw_driver *d)
{
    struct sw_transport *t = d->worker->options.transport;
    for (int r = 1; r < t->size; r++) {
        struct sw_message m = {.kind = SW_MSG_STOP};
        SW_TRY(sw_transport_send(t, r, &m, NULL, 0));
    }
    while (!all_final(d))
        SW_TRY(driver_receive(d));
    SW_TRY(sw_worker_report_times(d->worker, true));
    return sw_transport_flush(t);
}
