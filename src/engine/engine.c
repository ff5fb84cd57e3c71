/* Owns a rank's part of the pipeline: what arrives, the stage's work, what is passed on. */
#include "engine/engine_impl.h"

#include <stdlib.h>
#include <string.h>

static void find_stages(struct sw_engine *e)
{
    const int rank = e->options.transport->rank, size = e->options.transport->size;
    e->next = e->first_rank = e->last_rank = -1;
    for (int r = 0; r < size; r++) {
        if (e->options.slices[r].count == 0)
            continue;
        if (e->first_rank < 0)
            e->first_rank = r;
        e->last_rank = r;
        if (r > rank && e->next < 0)
            e->next = r;
    }
}

static bool is_last(const struct sw_engine *e)
{
    return e->options.transport->rank == e->last_rank;
}

static enum sw_status open_last(struct sw_engine *e)
{
    const struct sw_footprint_params *p = &e->options.params;
    const size_t vocab = (size_t)e->options.model->dims.vocab;
    e->slots = calloc((size_t)p->slots, sizeof *e->slots);
    e->logits = malloc((size_t)SW_LOGIT_ROWS * vocab * sizeof *e->logits);
    if (!e->slots || !e->logits)
        return sw_fail(SW_ENOMEM, "no memory for the logits");
    for (int i = 0; i < p->slots; i++) {
        e->slots[i].sampling = sw_sampling_default();
        e->slots[i].history = calloc((size_t)p->context, sizeof *e->slots[i].history);
        if (!e->slots[i].history)
            return sw_fail(SW_ENOMEM, "no memory for a sequence's ids");
    }
    return sw_sampler_create(vocab, &e->sampler);
}

enum sw_status sw_engine_open(const struct sw_engine_options *options, struct sw_loader *loader,
                              struct sw_engine **out)
{
    const int rank = options->transport->rank;
    struct sw_engine *e = calloc(1, sizeof *e);
    enum sw_status status = SW_OK;
    *out = NULL;
    if (!e)
        return sw_fail(SW_ENOMEM, "no memory for an engine");
    e->options = *options;
    find_stages(e);
    if (options->slices[rank].count > 0) {
        const struct sw_stage_options stage = {.model = options->model,
                                               .backend = options->backend,
                                               .params = options->params,
                                               .first = options->slices[rank].first,
                                               .count = options->slices[rank].count,
                                               .embed = rank == e->first_rank,
                                               .head = rank == e->last_rank};
        status = sw_stage_open(&stage, loader, &e->stage);
        if (status == SW_OK && stage.head)
            status = open_last(e);
    }
    if (status != SW_OK) {
        sw_engine_close(e);
        return status;
    }
    *out = e;
    return SW_OK;
}

void sw_engine_close(struct sw_engine *e)
{
    if (!e)
        return;
    for (int i = 0; e->slots && i < e->options.params.slots; i++)
        free(e->slots[i].history);
    for (size_t i = 0; i < e->cap_local; i++)
        free(e->local[i].bytes);
    free(e->local);
    free(e->local_bytes);
    free(e->slots);
    free(e->logits);
    sw_sampler_free(e->sampler);
    sw_stage_close(e->stage);
    free(e->in.bytes);
    free(e->out.bytes);
    free(e->results.bytes);
    free(e);
}

enum sw_status sw_engine_deliver(struct sw_engine *e, enum sw_engine_kind kind, int layer,
                                 int64_t position, int n, const float *data, int64_t width)
{
    if (e->options.transport->rank == 0 && kind == SW_MSG_HIDDEN)
        e->hidden_due--;
    if (e->options.transport->rank == 0)
        return kind == SW_MSG_HIDDEN ? e->watch.hidden(e->watch.context, layer, position, n, data)
                                     : e->watch.logits(e->watch.context, position, n, data);
    struct sw_message m = {.kind = (uint16_t)kind};
    const struct sw_values_body body = {layer, n, position};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(e->options.transport, 0, &m, data,
                             (size_t)n * (size_t)width * sizeof *data);
}

static enum sw_status tapped(void *context, int layer, const float *hidden, int n_rows)
{
    struct sw_engine *e = context;
    const int64_t width = e->options.model->dims.hidden;
    (void)n_rows;
    for (int i = 0; i < e->current->n_spans; i++) {
        const struct sw_span *s = &e->current->spans[i];
        SW_TRY(sw_engine_deliver(e, SW_MSG_HIDDEN, layer, s->position, (int)s->n,
                                 hidden + s->row * width, width));
    }
    return SW_OK;
}

/* Rows of the batch whose next token is asked for: how many, and which. rows may be NULL. */
static int wanted_rows(const struct sw_batch *batch, int32_t *rows, int *spans)
{
    int n = 0;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        const int64_t from = batch->want[i] == SW_WANT_ALL    ? 0
                             : batch->want[i] == SW_WANT_LAST ? s->n - 1
                                                              : s->n;
        for (int64_t r = from; r < s->n; r++, n++)
            if (rows) {
                rows[n] = (int32_t)(s->row + r);
                spans[n] = i;
            }
    }
    return n;
}

static enum sw_status sample(struct sw_engine *e, const struct sw_span *span, int32_t row,
                             const float *logits, struct sw_result *result)
{
    struct slot *slot = &e->slots[span->slot];
    const int64_t position = span->position + row - span->row;
    result->slot = span->slot;
    result->position = position;
    return sw_sampler_pick(e->sampler, &slot->sampling, logits,
                           (size_t)e->options.model->dims.vocab, (size_t)e->options.vocab_limit,
                           slot->history, (size_t)position + 1, (uint64_t)position + 1,
                           &result->sampled);
}

/* The last stage: ids into the histories, logits, samples into e->results. */
static enum sw_status finish_batch(struct sw_engine *e, const struct sw_batch *batch, int *n_out)
{
    const int64_t vocab = e->options.model->dims.vocab;
    const int n = wanted_rows(batch, NULL, NULL);
    enum sw_status status = SW_OK;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        memcpy(e->slots[s->slot].history + s->position, batch->ids + s->row,
               (size_t)s->n * sizeof *batch->ids);
    }
    *n_out = n;
    SW_TRY(sw_wire_reserve(&e->results, (size_t)n * sizeof(struct sw_result) + 1));
    struct sw_result *results = (struct sw_result *)(void *)e->results.bytes;
    memset(e->results.bytes, 0, (size_t)n * sizeof *results);
    int32_t *rows = malloc(((size_t)n + 1) * sizeof *rows);
    int *spans = malloc(((size_t)n + 1) * sizeof *spans);
    if (!rows || !spans)
        status = sw_fail(SW_ENOMEM, "no memory for %d rows", n);
    else
        wanted_rows(batch, rows, spans);
    for (int i = 0; i < n && status == SW_OK; i += SW_LOGIT_ROWS) {
        const int m = n - i < SW_LOGIT_ROWS ? n - i : SW_LOGIT_ROWS;
        status = sw_stage_logits(e->stage, rows + i, m, e->logits);
        for (int j = 0; j < m && status == SW_OK; j++) {
            const struct sw_span *span = &batch->spans[spans[i + j]];
            status = sample(e, span, rows[i + j], e->logits + j * vocab, &results[i + j]);
            if (status == SW_OK && e->watch_logits)
                status = sw_engine_deliver(e, SW_MSG_LOGITS, 0, results[i + j].position, 1,
                                           e->logits + j * vocab, vocab);
        }
    }
    free(rows);
    free(spans);
    return status;
}

static enum sw_status breathe(void *context)
{
    struct sw_engine *e = context;
    return sw_transport_alive(e->options.transport);
}

enum sw_status sw_engine_run_batch(struct sw_engine *e, const struct sw_batch *batch,
                                   const float *hidden)
{
    struct sw_transport *t = e->options.transport;
    const int width = e->options.model->dims.hidden;
    e->current = batch;
    e->stage->tap = e->watch_hidden ? tapped : NULL;
    e->stage->tap_context = e;
    e->stage->breathe = breathe;
    if (is_last(e)) {
        int n;
        SW_TRY(sw_stage_forward(e->stage, batch, hidden, NULL));
        SW_TRY(finish_batch(e, batch, &n));
        const size_t bytes = (size_t)n * sizeof(struct sw_result);
        if (t->rank == 0)
            return sw_engine_queue(e, e->results.bytes, bytes);
        struct sw_message m = {.kind = SW_MSG_RESULT};
        return sw_transport_send(t, 0, &m, e->results.bytes, bytes);
    }
    const size_t head = sw_wire_batch_head(batch->n_rows, batch->n_spans);
    const size_t bytes = head + (size_t)batch->n_rows * (size_t)width * sizeof(float);
    SW_TRY(sw_wire_reserve(&e->out, bytes));
    sw_wire_write_batch(batch, e->out.bytes);
    SW_TRY(sw_stage_forward(e->stage, batch, hidden, (float *)(void *)(e->out.bytes + head)));
    struct sw_message m = {.kind = SW_MSG_BATCH};
    const struct sw_batch_body body = {batch->n_rows, batch->n_spans, width};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(t, e->next, &m, e->out.bytes, bytes);
}

static void take_slot(struct sw_engine *e, const struct sw_slot_body *body)
{
    if (!e->slots || body->slot < 0 || body->slot >= e->options.params.slots)
        return;
    e->slots[body->slot].sampling = body->sampling;
}

enum sw_status sw_engine_control(struct sw_engine *e, struct sw_message *m)
{
    if (m->kind == SW_MSG_SLOT) {
        struct sw_slot_body body;
        memcpy(&body, m->body, sizeof body);
        take_slot(e, &body);
    } else if (m->kind == SW_MSG_WATCH) {
        struct sw_watch_body body;
        memcpy(&body, m->body, sizeof body);
        e->watch_hidden = body.hidden;
        e->watch_logits = body.logits;
    } else {
        return sw_fail(SW_EPEER,
                       "a message of unknown kind %d came from rank %d; start the same "
                       "program everywhere",
                       m->kind, m->source);
    }
    return e->next >= 0 ? sw_transport_send(e->options.transport, e->next, m, NULL, 0) : SW_OK;
}

enum sw_status sw_engine_serve(struct sw_engine *e)
{
    struct sw_transport *t = e->options.transport;
    const struct sw_footprint_params *p = &e->options.params;
    for (;;) {
        struct sw_message m;
        SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, &m));
        SW_TRY(sw_wire_reserve(&e->in, m.bytes + 1));
        if (m.bytes > 0)
            SW_TRY(sw_transport_recv_payload(t, &m, e->in.bytes));
        if (m.kind == SW_MSG_STOP)
            return SW_OK;
        if (m.kind == SW_MSG_BATCH && e->stage) {
            struct sw_batch_body body;
            struct sw_batch batch;
            const float *hidden;
            memcpy(&body, m.body, sizeof body);
            SW_TRY(sw_wire_read_batch(&body, e->in.bytes, m.bytes, p->rows, p->slots, p->context,
                                      &batch, &hidden));
            SW_TRY(sw_engine_run_batch(e, &batch, hidden));
        } else {
            SW_TRY(sw_engine_control(e, &m));
        }
    }
}
