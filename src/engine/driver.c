/* Owns the driver, rank 0's part of the pipeline: submits micro-batches and collects results. */
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

/* Sends a control message to the first stage; applies it directly when that is rank 0. */
static enum sw_status driver_send(struct sw_engine *e, struct sw_message *m)
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
    return driver_send(e, &m);
}

enum sw_status sw_engine_copy(struct sw_engine *e, int from, int to, int n)
{
    struct sw_message m = {.kind = SW_MSG_COPY};
    const struct sw_copy_body body = {from, to, n};
    memcpy(m.body, &body, sizeof body);
    return driver_send(e, &m);
}

enum sw_status sw_engine_hooks(struct sw_engine *e, const struct sw_engine_hooks *hooks)
{
    struct sw_message m = {.kind = SW_MSG_HOOKS};
    const struct sw_hooks_body body = {hooks->hidden != NULL, hooks->logits != NULL};
    e->hooks = *hooks;
    memcpy(m.body, &body, sizeof body);
    return driver_send(e, &m);
}

enum sw_status sw_engine_submit(struct sw_engine *e, const struct sw_microbatch *batch)
{
    e->under_way++;
    if (e->send_hidden || e->hooks.hidden)
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

static enum sw_status receive_values(struct sw_engine *e, const struct sw_message *m)
{
    struct sw_values_body body;
    memcpy(&body, m->body, sizeof body);
    const bool hidden = m->kind == SW_MSG_HIDDEN;
    const int64_t width = hidden ? e->options.model->dims.hidden : e->options.model->dims.vocab;
    if (body.n < 0 || m->bytes != (uint64_t)body.n * (uint64_t)width * sizeof(float) ||
        !(hidden ? e->hooks.hidden != NULL : e->hooks.logits != NULL))
        return sw_fail(SW_EPEER, "rank %d sent values of an unexpected size", m->source);
    return sw_engine_deliver(e, m->kind, body.layer, body.position, body.n,
                             (const float *)(const void *)e->in.bytes, width);
}

/* Moves the oldest results of rank 0's own last stage to e->results; returns their length. */
static size_t pop_local(struct sw_engine *e)
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

/* Receives the next message to rank 0. Results go to e->results and set e->has_result. */
static enum sw_status driver_receive(struct sw_engine *e)
{
    struct sw_transport *t = e->options.transport;
    struct sw_message m;
    SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, &m));
    SW_TRY(sw_wire_reserve(&e->in, m.bytes + 1));
    if (m.bytes > 0)
        SW_TRY(sw_transport_recv_payload(t, &m, e->in.bytes));
    if (m.kind == SW_MSG_RESULT && m.source == e->last_rank && !e->has_result) {
        const struct sw_wire swap = e->results;
        e->results = e->in;
        e->in = swap;
        e->result_bytes = m.bytes;
        e->has_result = true;
        return SW_OK;
    }
    if (m.kind == SW_MSG_TIMES)
        return sw_engine_receive_times(e, &m);
    if (m.kind == SW_MSG_HIDDEN || m.kind == SW_MSG_LOGITS)
        return receive_values(e, &m);
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

enum sw_status sw_engine_wait(struct sw_engine *e, const int *wake, bool *ready)
{
    const double start = sw_clock();
    *ready = e->has_result || e->n_local > 0;
    if (*ready)
        return SW_OK;
    while (!e->has_result && !__atomic_load_n(wake, __ATOMIC_ACQUIRE)) {
        bool arrived;
        SW_TRY(sw_transport_wait(e->options.transport, SW_ANY_RANK, wake, &arrived));
        if (arrived)
            SW_TRY(driver_receive(e));
    }
    *ready = e->has_result;
    sw_recorder_add(&e->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    return SW_OK;
}

enum sw_status sw_engine_collect(struct sw_engine *e, const struct sw_result **results, int *n)
{
    const double start = sw_clock();
    e->under_way--;
    if (e->last_rank == 0) {
        e->result_bytes = pop_local(e);
        e->has_result = true;
    }
    /* Hidden states come from other ranks than the results, so the last collect waits for all. */
    while (!e->has_result || (e->under_way == 0 && e->hidden_due > 0))
        SW_TRY(driver_receive(e));
    e->has_result = false;
    sw_recorder_add(&e->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    SW_TRY(driver_decode(e, e->result_bytes, n));
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
    for (int r = 1; r < t->size; r++) {
        struct sw_message m = {.kind = SW_MSG_STOP};
        SW_TRY(sw_transport_send(t, r, &m, NULL, 0));
    }
    while (!all_final(e))
        SW_TRY(driver_receive(e));
    SW_TRY(sw_engine_report_times(e, true));
    return sw_transport_flush(t);
}
