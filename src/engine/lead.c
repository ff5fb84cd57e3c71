/* Owns rank 0's part of the pipeline: what is sent on its way, and what comes back. */
#include "engine/engine_impl.h"

#include <stdlib.h>
#include <string.h>

enum sw_status sw_engine_queue(struct sw_engine *e, const void *bytes, size_t length)
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
    SW_TRY(sw_wire_reserve(&e->local[e->n_local], length + 1));
    memcpy(e->local[e->n_local].bytes, bytes, length);
    e->local_bytes[e->n_local++] = length;
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

enum sw_status sw_engine_watch(struct sw_engine *e, const struct sw_engine_watch *watch)
{
    struct sw_message m = {.kind = SW_MSG_WATCH};
    const struct sw_watch_body body = {watch->hidden != NULL, watch->logits != NULL};
    e->watch = *watch;
    memcpy(m.body, &body, sizeof body);
    return inject(e, &m);
}

enum sw_status sw_engine_submit(struct sw_engine *e, const struct sw_batch *batch)
{
    e->under_way++;
    if (e->watch_hidden || e->watch.hidden)
        e->hidden_due += (int64_t)batch->n_spans * (e->options.model->dims.n_layers + 1);
    if (e->first_rank == 0)
        return sw_engine_run_batch(e, batch, NULL);
    const size_t bytes = sw_wire_batch_head(batch->n_rows, batch->n_spans);
    SW_TRY(sw_wire_reserve(&e->out, bytes));
    sw_wire_write_batch(batch, e->out.bytes);
    struct sw_message m = {.kind = SW_MSG_BATCH};
    const struct sw_batch_body body = {batch->n_rows, batch->n_spans, 0};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(e->options.transport, e->first_rank, &m, e->out.bytes, bytes);
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

/* Results of rank 0's own last stage, oldest first. */
static void take_local(struct sw_engine *e, const struct sw_result **results, int *n)
{
    const struct sw_wire oldest = e->local[0];
    *n = (int)(e->local_bytes[0] / sizeof(struct sw_result));
    e->n_local--;
    memmove(e->local, e->local + 1, e->n_local * sizeof *e->local);
    memmove(e->local_bytes, e->local_bytes + 1, e->n_local * sizeof *e->local_bytes);
    e->local[e->n_local] = e->results;
    e->results = oldest;
    *results = (const struct sw_result *)(const void *)e->results.bytes;
}

/* The next message to rank 0, into e->in; values are handed on. Sets *result when it was results.
 */
static enum sw_status take_message(struct sw_engine *e, bool *result, size_t *bytes)
{
    struct sw_transport *t = e->options.transport;
    struct sw_message m;
    SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, &m));
    SW_TRY(sw_wire_reserve(&e->in, m.bytes + 1));
    if (m.bytes > 0)
        SW_TRY(sw_transport_recv_payload(t, &m, e->in.bytes));
    *result = m.kind == SW_MSG_RESULT && m.source == e->last_rank;
    *bytes = m.bytes;
    if (*result)
        return SW_OK;
    if (m.kind != SW_MSG_HIDDEN && m.kind != SW_MSG_LOGITS)
        return sw_fail(SW_EPEER, "a message of unexpected kind %d came from rank %d", m.kind,
                       m.source);
    return take_values(e, &m);
}

enum sw_status sw_engine_collect(struct sw_engine *e, const struct sw_result **results, int *n)
{
    bool have = e->last_rank == 0, result;
    size_t bytes;
    e->under_way--;
    if (have)
        take_local(e, results, n);
    /* Hidden states come by other ways than the results: before the end, all must be here. */
    while (!have || (e->under_way == 0 && e->hidden_due > 0)) {
        SW_TRY(take_message(e, &result, &bytes));
        if (!result)
            continue;
        have = true;
        const struct sw_wire swap = e->results;
        e->results = e->in;
        e->in = swap;
        *results = (const struct sw_result *)(const void *)e->results.bytes;
        *n = (int)(bytes / sizeof **results);
    }
    return SW_OK;
}

enum sw_status sw_engine_stop(struct sw_engine *e)
{
    struct sw_transport *t = e->options.transport;
    for (int r = 1; r < t->size; r++) {
        struct sw_message m = {.kind = SW_MSG_STOP};
        SW_TRY(sw_transport_send(t, r, &m, NULL, 0));
    }
    return sw_transport_flush(t);
}
