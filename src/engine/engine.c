/* Owns a rank's part of the pipeline: receives messages, runs the stage, sends the output on. */
#include "engine/engine_impl.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static void find_stages(struct sw_engine *e)
{
    const int rank = e->options.transport->rank, size = e->options.transport->size;
    e->next = e->first_rank = e->last_rank = -1;
    for (int r = 0; r < size; r++) {
        if (e->options.slices[r].count == 0)
            continue;
        e->stages++;
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

static enum sw_status keepalive(void *context)
{
    struct sw_engine *e = context;
    return sw_transport_alive(e->options.transport);
}

static enum sw_status open_stage(struct sw_engine *e, struct sw_loader *loader)
{
    const struct sw_engine_options *o = &e->options;
    const int rank = o->transport->rank;
    if (o->slices[rank].count == 0)
        return SW_OK;
    const struct sw_stage_options stage = {.model = o->model,
                                           .cpu = o->cpu,
                                           .gpu = o->gpu,
                                           .params = o->params,
                                           .first = o->slices[rank].first,
                                           .count = o->slices[rank].count,
                                           .tiers = o->slices[rank].tiers,
                                           .embed = rank == e->first_rank,
                                           .head = rank == e->last_rank};
    e->load_start = sw_clock();
    if (o->gpu) {
        const struct sw_gpu_wait_hook hook = {keepalive, e, o->transport->options.stall_s};
        o->gpu->gpu->set_wait_hook(o->gpu, &hook);
    }
    SW_TRY(sw_stage_open(&stage, loader, &e->stage));
    e->load_end = sw_clock();
    sw_recorder_add(&e->recorder, SW_ACTIVITY_LOAD, e->load_start, e->load_end, 0);
    return stage.head ? sw_last_stage_open(e) : SW_OK;
}

enum sw_status sw_engine_open(const struct sw_engine_options *options, struct sw_loader *loader,
                              struct sw_engine **out)
{
    const int rank = options->transport->rank;
    const struct sw_footprint_params *p = &options->params;
    struct sw_engine *e = calloc(1, sizeof *e);
    enum sw_status status;
    *out = NULL;
    if (!e)
        return sw_fail(SW_ENOMEM, "no memory for an engine");
    e->options = *options;
    e->links.from = e->links.to = -1;
    find_stages(e);
    e->limits =
        (struct sw_wire_limits){.rows = p->max_batch_tokens,
                                .slots = p->slots,
                                .context = p->context,
                                .vocab = options->model->dims.vocab,
                                .hidden = rank == e->first_rank ? 0 : options->model->dims.hidden};
    e->times = calloc((size_t)options->transport->size, sizeof *e->times);
    e->clock_ahead = calloc((size_t)options->transport->size, sizeof *e->clock_ahead);
    status = e->times && e->clock_ahead ? open_stage(e, loader)
                                        : sw_fail(SW_ENOMEM, "no memory for an engine");
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
    if (e->timeline) /* an interrupted job still has unreported activities */
        sw_timeline_add(e->timeline, 0, 0, e->recorder.activities, (size_t)e->recorder.n);
    sw_timeline_close(e->timeline);
    sw_recorder_free(&e->recorder);
    for (size_t i = 0; i < e->cap_local; i++)
        free(e->local[i].bytes);
    free(e->local);
    free(e->local_bytes);
    free(e->decoded);
    free(e->times);
    free(e->clock_ahead);
    if (e->options.gpu) /* the transport may be gone by now */
        e->options.gpu->gpu->set_wait_hook(e->options.gpu, NULL);
    sw_stage_links_close(&e->links);
    sw_last_stage_close(e);
    sw_stage_close(e->stage);
    free(e->in.bytes);
    free(e->out.bytes);
    free(e->results.bytes);
    free(e);
}

enum sw_status sw_engine_connect(struct sw_engine *e)
{
    const struct sw_stage_links_options options = {.transport = e->options.transport,
                                                   .slices = e->options.slices,
                                                   .gpu = e->options.gpu,
                                                   .bus_id = e->options.bus_id,
                                                   .host_only = e->options.host_only};
    SW_TRY(sw_stage_links_open(&options, &e->links));
    if (e->links.from >= 0) {
        e->limits.hidden = 0; /* messages by MPI carry no rows then */
        e->stage->received = true;
    }
    return SW_OK;
}

const char *sw_engine_link(const struct sw_engine *e, int rank)
{
    const struct sw_stage_link *link = e->links.links ? &e->links.links[rank] : NULL;
    return !link || link->to < 0 ? "" : link->direct ? "NCCL" : "MPI";
}

int sw_engine_stages(const struct sw_engine *e)
{
    return e->stages;
}

int sw_engine_stream_rows(const struct sw_engine *e)
{
    int least = 0;
    for (int r = 0; r < e->options.transport->size; r++) {
        const struct sw_engine_slice *s = &e->options.slices[r];
        if (s->count > 0 && s->tiers.stream_rows > 0 &&
            (least == 0 || s->tiers.stream_rows < least))
            least = s->tiers.stream_rows;
    }
    return least;
}

int sw_engine_size(const struct sw_engine *e)
{
    return e->options.transport->size;
}

int sw_engine_vocab(const struct sw_engine *e)
{
    return e->limits.vocab;
}

uint64_t sw_engine_gpu_bytes(const struct sw_engine *e)
{
    return e->stage ? sw_stage_gpu_bytes(e->stage) : 0;
}

enum sw_status sw_engine_deliver(struct sw_engine *e, enum sw_engine_kind kind, int layer,
                                 int64_t position, int n, const float *data, int64_t width)
{
    if (e->options.transport->rank == 0 && kind == SW_MSG_HIDDEN)
        e->hidden_due--;
    if (e->options.transport->rank == 0)
        return kind == SW_MSG_HIDDEN ? e->hooks.hidden(e->hooks.context, layer, position, n, data)
                                     : e->hooks.logits(e->hooks.context, position, n, data);
    struct sw_message m = {.kind = (uint16_t)kind};
    const struct sw_values_body body = {layer, n, position};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(e->options.transport, 0, &m, data,
                             (size_t)n * (size_t)width * sizeof *data);
}

static enum sw_status deliver_hidden(void *context, int layer, const float *hidden, int n_rows)
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

/* Runs the stage. The payload for the next rank is at *bytes, *length bytes. */
static enum sw_status engine_compute(struct sw_engine *e, const struct sw_microbatch *batch,
                                     const float *hidden, const char **bytes, size_t *length)
{
    e->current = batch;
    e->stage->hidden_hook = e->send_hidden ? deliver_hidden : NULL;
    e->stage->hook_context = e;
    e->stage->keepalive = keepalive;
    if (is_last(e)) {
        SW_TRY(sw_stage_forward(e->stage, batch, hidden, NULL));
        SW_TRY(sw_last_stage_finish(e, batch, length));
        *bytes = e->results.bytes;
        return SW_OK;
    }
    const size_t head = sw_wire_batch_head(batch->n_rows, batch->n_spans);
    const bool direct = e->links.to >= 0;
    *length = direct ? head
                     : head + (size_t)batch->n_rows * (size_t)e->options.model->dims.hidden *
                                  sizeof(float);
    SW_TRY(sw_wire_reserve(&e->out, *length));
    sw_wire_write_batch(batch, e->out.bytes);
    *bytes = e->out.bytes;
    return sw_stage_forward(e->stage, batch, hidden,
                            direct ? NULL : (float *)(void *)(e->out.bytes + head));
}

static enum sw_status engine_send_output(struct sw_engine *e, const struct sw_microbatch *batch,
                                         const char *bytes, size_t length)
{
    struct sw_transport *t = e->options.transport;
    if (is_last(e) && t->rank == 0)
        return sw_engine_queue(e, length);
    struct sw_message m = {.kind = is_last(e) ? SW_MSG_RESULT : SW_MSG_BATCH};
    const struct sw_batch_body body = {batch->n_rows, batch->n_spans,
                                       e->links.to >= 0 ? 0 : e->options.model->dims.hidden};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(t, is_last(e) ? 0 : e->next, &m, bytes, length);
}

enum sw_status sw_engine_run_batch(struct sw_engine *e, const struct sw_microbatch *batch,
                                   const float *hidden)
{
    const char *bytes;
    size_t length;
    int64_t ld;
    const double start = sw_clock();
    if (e->links.from >= 0) {
        float *d_rows = sw_stage_rows(e->stage, &ld);
        SW_TRY(sw_stage_links_receive(&e->links, d_rows, batch->n_rows * ld));
    }
    SW_TRY(engine_compute(e, batch, hidden, &bytes, &length));
    const double computed = sw_clock();
    sw_recorder_add(&e->recorder, SW_ACTIVITY_COMPUTE, start, computed, batch->n_rows);
    SW_TRY(engine_send_output(e, batch, bytes, length));
    /* After the message, on which the next stage enqueues its receive. Only the stream waits for
     * this. */
    if (e->links.to >= 0) {
        const float *d_rows = sw_stage_rows(e->stage, &ld);
        SW_TRY(sw_stage_links_send(&e->links, d_rows, batch->n_rows * ld));
    }
    sw_recorder_add(&e->recorder, SW_ACTIVITY_SEND, computed, sw_clock(), batch->n_rows);
    return sw_engine_report_times(e, false);
}

static enum sw_status apply_slot(struct sw_engine *e, const struct sw_message *m)
{
    struct sw_slot_body body;
    memcpy(&body, m->body, sizeof body);
    if (body.slot < 0 || body.slot >= e->limits.slots)
        return sw_fail(
            SW_EPEER,
            "rank %d sent a message about slot %d, but there are %d slots; start the same program "
            "everywhere",
            m->source, body.slot, e->limits.slots);
    if (e->last_stage)
        sw_last_stage_slot(e, &body);
    return SW_OK;
}

static enum sw_status apply_copy(struct sw_engine *e, const struct sw_message *m)
{
    struct sw_copy_body body;
    memcpy(&body, m->body, sizeof body);
    SW_TRY(sw_wire_check_copy(&body, &e->limits));
    if (e->stage)
        sw_stage_copy(e->stage, body.from, body.to, body.n);
    if (e->last_stage)
        sw_last_stage_copy(e, &body);
    return SW_OK;
}

enum sw_status sw_engine_control(struct sw_engine *e, struct sw_message *m)
{
    if (m->kind == SW_MSG_SLOT) {
        SW_TRY(apply_slot(e, m));
    } else if (m->kind == SW_MSG_COPY) {
        SW_TRY(apply_copy(e, m));
    } else if (m->kind == SW_MSG_HOOKS) {
        struct sw_hooks_body body;
        memcpy(&body, m->body, sizeof body);
        e->send_hidden = body.hidden;
        e->send_logits = body.logits;
    } else {
        return sw_fail(SW_EPEER,
                       "a message of unknown kind %d came from rank %d; start the same "
                       "program everywhere",
                       m->kind, m->source);
    }
    return e->next >= 0 ? sw_transport_send(e->options.transport, e->next, m, NULL, 0) : SW_OK;
}

static enum sw_status engine_receive(struct sw_engine *e, struct sw_message *m)
{
    struct sw_transport *t = e->options.transport;
    const double start = sw_clock();
    SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, m));
    SW_TRY(sw_wire_reserve(&e->in, m->bytes + 1));
    if (m->bytes > 0)
        SW_TRY(sw_transport_recv_payload(t, m, e->in.bytes));
    sw_recorder_add(&e->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    return SW_OK;
}

enum sw_status sw_engine_run_worker(struct sw_engine *e)
{
    for (;;) {
        struct sw_message m;
        SW_TRY(engine_receive(e, &m));
        if (m.kind == SW_MSG_STOP)
            return sw_engine_report_times(e, true);
        if (m.kind == SW_MSG_RECORD) {
            SW_TRY(sw_engine_start_recorder(e));
        } else if (m.kind == SW_MSG_BATCH && e->stage) {
            struct sw_batch_body body;
            struct sw_microbatch batch;
            const float *hidden;
            memcpy(&body, m.body, sizeof body);
            SW_TRY(sw_wire_read_batch(&body, e->in.bytes, m.bytes, &e->limits, &batch, &hidden));
            SW_TRY(sw_engine_run_batch(e, &batch, hidden));
        } else {
            SW_TRY(sw_engine_control(e, &m));
        }
    }
}
