/* Owns rank 0's part of the pipeline: what is sent on its way, and what comes back. */
#include "engine/engine_impl.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum sw_status sw_engine_queue(struct sw_engine *e, size_t length)
{
    if (e->n_local == e->cap_local) {
        const size_t capacity = e->cap_local ? 2 * e->cap_local : 4;
        struct sw_wire *local = realloc(e->local, capacity * sizeof *local);
        if (local)
            e->local = local;
        size_t *sizes = realloc(e->local_bytes, capacity * sizeof *sizes);
        if (sizes)
            e->local_bytes = sizes;
        if (!local || !sizes)
            return sw_fail(SW_ENOMEM, "no memory for results");
        memset(e->local + e->cap_local, 0, (capacity - e->cap_local) * sizeof *local);
        e->cap_local = capacity;
    }
    const struct sw_wire idle = e->local[e->n_local];
    e->local[e->n_local] = e->results;
    e->local_bytes[e->n_local++] = length;
    e->results = idle;
    return SW_OK;
}

/* From rank 0 into the pipeline: acted on here when rank 0 is the first stage. */
static enum sw_status inject(struct sw_engine *e, struct sw_message *m)
{
    if (e->first_rank == 0)
        return sw_engine_control(e, m);
    return sw_transport_send(e->options.transport, e->first_rank, m, NULL, 0);
}

enum sw_status sw_engine_slot(struct sw_engine *e, int slot, const struct sw_sampling *sampling)
{
    struct sw_message m = {.kind = SW_MSG_SLOT};
    const struct sw_slot_body body = {slot, *sampling};
    memcpy(m.body, &body, sizeof body);
    return inject(e, &m);
}

enum sw_status sw_engine_copy(struct sw_engine *e, int from, int to, int n)
{
    struct sw_message m = {.kind = SW_MSG_COPY};
    const struct sw_copy_body body = {from, to, n};
    memcpy(m.body, &body, sizeof body);
    return inject(e, &m);
}

enum sw_status sw_engine_hooks(struct sw_engine *e, const struct sw_engine_hooks *watch)
{
    struct sw_message m = {.kind = SW_MSG_HOOKS};
    const struct sw_hooks_body body = {watch->hidden != NULL, watch->logits != NULL};
    e->watch = *watch;
    memcpy(m.body, &body, sizeof body);
    return inject(e, &m);
}

enum sw_status sw_engine_submit(struct sw_engine *e, const struct sw_microbatch *batch)
{
    e->under_way++;
    if (e->watch_hidden || e->watch.hidden)
        e->hidden_due += (int64_t)batch->n_spans * (e->options.model->dims.n_layers + 1);
    if (e->first_rank == 0)
        return sw_engine_run_batch(e, batch, NULL);
    const double start = sw_clock();
    const size_t bytes = sw_wire_batch_head(batch->n_rows, batch->n_spans);
    SW_TRY(sw_wire_reserve(&e->out, bytes));
    sw_wire_write_batch(batch, e->out.bytes);
    struct sw_message m = {.kind = SW_MSG_BATCH};
    const struct sw_batch_body body = {batch->n_rows, batch->n_spans, 0};
    memcpy(m.body, &body, sizeof body);
    SW_TRY(sw_transport_send(e->options.transport, e->first_rank, &m, e->out.bytes, bytes));
    sw_recorder_add(&e->recorder, SW_ACTIVITY_SEND, start, sw_clock(), batch->n_rows);
    return sw_engine_report_times(e, false);
}

static enum sw_status take_values(struct sw_engine *e, const struct sw_message *m)
{
    struct sw_values_body body;
    memcpy(&body, m->body, sizeof body);
    const bool hidden = m->kind == SW_MSG_HIDDEN;
    const int64_t width = hidden ? e->options.model->dims.hidden : e->options.model->dims.vocab;
    if (body.n < 0 || m->bytes != (uint64_t)body.n * (uint64_t)width * sizeof(float) ||
        !(hidden ? e->watch.hidden != NULL : e->watch.logits != NULL))
        return sw_fail(SW_EPEER, "rank %d sent values of an unexpected size", m->source);
    return sw_engine_deliver(e, m->kind, body.layer, body.position, body.n,
                             (const float *)(const void *)e->in.bytes, width);
}

/* The oldest results of rank 0's own last stage, into e->results. */
static size_t take_local(struct sw_engine *e)
{
    const struct sw_wire oldest = e->local[0];
    const size_t length = e->local_bytes[0];
    e->n_local--;
    memmove(e->local, e->local + 1, e->n_local * sizeof *e->local);
    memmove(e->local_bytes, e->local_bytes + 1, e->n_local * sizeof *e->local_bytes);
    e->local[e->n_local] = e->results;
    e->results = oldest;
    return length;
}

/* The next message to rank 0; results land in e->results and set *result. */
static enum sw_status take_message(struct sw_engine *e, bool *result, size_t *length)
{
    struct sw_transport *t = e->options.transport;
    struct sw_message m;
    SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, &m));
    SW_TRY(sw_wire_reserve(&e->in, m.bytes + 1));
    if (m.bytes > 0)
        SW_TRY(sw_transport_recv_payload(t, &m, e->in.bytes));
    *result = m.kind == SW_MSG_RESULT && m.source == e->last_rank;
    if (*result) {
        const struct sw_wire swap = e->results;
        e->results = e->in;
        e->in = swap;
        *length = m.bytes;
        return SW_OK;
    }
    if (m.kind == SW_MSG_TIMES)
        return sw_engine_take_times(e, &m);
    if (m.kind == SW_MSG_HIDDEN || m.kind == SW_MSG_LOGITS)
        return take_values(e, &m);
    return sw_fail(SW_EPEER, "a message of unexpected kind %d came from rank %d", m.kind, m.source);
}

static enum sw_status driver_decode(struct sw_engine *e, size_t length, int *n)
{
    *n = 0;
    for (size_t at = 0; at < length; (*n)++) {
        if ((size_t)*n == e->cap_decoded) {
            const size_t capacity = e->cap_decoded ? 2 * e->cap_decoded : 64;
            struct sw_result *grown = realloc(e->decoded, capacity * sizeof *grown);
            if (!grown)
                return sw_fail(SW_ENOMEM, "no memory for %zu results", capacity);
            e->decoded = grown;
            e->cap_decoded = capacity;
        }
        SW_TRY(sw_wire_read_result(e->results.bytes, length, &e->limits, &at, &e->decoded[*n]));
    }
    return SW_OK;
}

enum sw_status sw_engine_collect(struct sw_engine *e, const struct sw_result **results, int *n)
{
    const double start = sw_clock();
    bool have = e->last_rank == 0, result;
    size_t length = 0;
    e->under_way--;
    if (have)
        length = take_local(e);
    /* Hidden states come by other ways than the results: before the end, all must be here. */
    while (!have || (e->under_way == 0 && e->hidden_due > 0)) {
        SW_TRY(take_message(e, &result, &length));
        have = have || result;
    }
    sw_recorder_add(&e->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    SW_TRY(driver_decode(e, length, n));
    *results = e->decoded;
    return SW_OK;
}

static bool all_final(const struct sw_engine *e)
{
    for (int r = 1; r < e->options.transport->size; r++)
        if (!e->times[r].is_final)
            return false;
    return true;
}

enum sw_status sw_engine_stop(struct sw_engine *e)
{
    struct sw_transport *t = e->options.transport;
    bool result;
    size_t length;
    for (int r = 1; r < t->size; r++) {
        struct sw_message m = {.kind = SW_MSG_STOP};
        SW_TRY(sw_transport_send(t, r, &m, NULL, 0));
    }
    while (!all_final(e))
        SW_TRY(take_message(e, &result, &length));
    SW_TRY(sw_engine_report_times(e, true));
    return sw_transport_flush(t);
}
