/* Owns a rank's part of the pipeline: receives messages, runs the stage, sends the output on. */
#include "engine/worker_impl.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static void find_stages(struct sw_worker *w)
{
    const int rank = w->options.transport->rank, size = w->options.transport->size;
    w->next = w->first_rank = w->last_rank = -1;
    for (int r = 0; r < size; r++) {
        if (w->options.slices[r].count == 0)
            continue;
        w->stages++;
        if (w->first_rank < 0)
            w->first_rank = r;
        w->last_rank = r;
        if (r > rank && w->next < 0)
            w->next = r;
    }
}

/* Floats of a row between stages. */
static int row_width(const struct sw_model *model)
{
    return (int)sw_model_aside(model).width;
}

static bool is_last(const struct sw_worker *w)
{
    return w->options.transport->rank == w->last_rank;
}

static enum sw_status keepalive(void *context)
{
    struct sw_worker *w = context;
    return sw_transport_alive(w->options.transport);
}

static enum sw_status open_stage(struct sw_worker *w, struct sw_loader *loader)
{
    const struct sw_worker_options *o = &w->options;
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
                                           .embed = rank == w->first_rank,
                                           .head = rank == w->last_rank,
                                           .expert_uses = o->expert_uses,
                                           .look_ahead = o->look_ahead};
    w->load_start = sw_clock();
    if (o->gpu) {
        const struct sw_gpu_wait_hook hook = {keepalive, w, o->transport->options.stall_s};
        o->gpu->gpu->set_wait_hook(o->gpu, &hook);
    }
    SW_TRY(sw_stage_open(&stage, loader, &w->stage));
    w->load_end = sw_clock();
    sw_recorder_add(&w->recorder, SW_ACTIVITY_LOAD, w->load_start, w->load_end, 0);
    return stage.head ? sw_last_stage_open(w) : SW_OK;
}

enum sw_status sw_worker_open(const struct sw_worker_options *options, struct sw_loader *loader,
                              struct sw_worker **out)
{
    const int rank = options->transport->rank;
    const struct sw_footprint_params *p = &options->params;
    struct sw_worker *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return sw_fail(SW_ENOMEM, "no memory for a worker");
    w->options = *options;
    w->links.from = w->links.to = -1;
    find_stages(w);
    w->limits =
        (struct sw_wire_limits){.rows = p->max_batch_tokens,
                                .slots = p->slots,
                                .snapshots = p->slots > 1 && sw_model_keeps_states(options->model),
                                .context = p->context,
                                .vocab = options->model->dims.vocab,
                                .layers = options->model->dims.n_layers,
                                .hidden = rank == w->first_rank ? 0 : row_width(options->model)};
    const enum sw_status status = open_stage(w, loader);
    if (status != SW_OK) {
        sw_worker_close(w);
        return status;
    }
    *out = w;
    return SW_OK;
}

void sw_worker_close(struct sw_worker *w)
{
    if (!w)
        return;
    sw_recorder_free(&w->recorder);
    if (w->options.gpu) /* the transport may be gone by now */
        w->options.gpu->gpu->set_wait_hook(w->options.gpu, NULL);
    sw_stage_links_close(&w->links);
    sw_last_stage_close(w);
    sw_stage_close(w->stage);
    free(w->in.bytes);
    free(w->out.bytes);
    free(w->routes.bytes);
    free(w->values.bytes);
    free(w->hidden_layers);
    free(w->hidden_rows);
    free(w->hidden_spans);
    free(w);
}

enum sw_status sw_worker_connect(struct sw_worker *w)
{
    const struct sw_stage_links_options options = {.transport = w->options.transport,
                                                   .slices = w->options.slices,
                                                   .gpu = w->options.gpu,
                                                   .bus_id = w->options.bus_id,
                                                   .host_only = w->options.host_only};
    SW_TRY(sw_stage_links_open(&options, &w->links));
    if (w->links.from >= 0) {
        w->limits.hidden = 0; /* messages by MPI carry no rows then */
        w->stage->received = true;
    }
    return SW_OK;
}

const char *sw_worker_link(const struct sw_worker *w, int rank)
{
    const struct sw_stage_link *link = w->links.links ? &w->links.links[rank] : NULL;
    return !link || link->to < 0 ? "" : link->direct ? "NCCL" : "MPI";
}

uint64_t sw_worker_gpu_bytes(const struct sw_worker *w)
{
    return w->stage ? sw_stage_gpu_bytes(w->stage) : 0;
}

/* Adds what the CPU counted to what the GPU did, of the same tokens. */
static void worker_add_experts(struct sw_expert_stats *to, const struct sw_expert_stats *s)
{
    to->uses += s->uses;
    to->hits += s->hits;
    to->decode_rows = s->decode_rows > to->decode_rows ? s->decode_rows : to->decode_rows;
    to->decode_bytes += s->decode_bytes;
    to->ahead += s->ahead;
}

bool sw_worker_experts(const struct sw_worker *w, struct sw_expert_stats *out)
{
    struct sw_store *const *stores = w->stage ? w->stage->stores : NULL;
    struct sw_expert_stats cpu = {0};
    if (!stores || (!stores[SW_STORE_EXPERTS] && !stores[SW_STORE_GPU_EXPERTS]))
        return false;
    *out = (struct sw_expert_stats){0};
    if (stores[SW_STORE_GPU_EXPERTS])
        sw_store_gpu_experts_stats(stores[SW_STORE_GPU_EXPERTS], out);
    if (stores[SW_STORE_EXPERTS] && !w->stage->options.tiers.disk_on_gpu) {
        sw_store_experts_stats(stores[SW_STORE_EXPERTS], &cpu);
        worker_add_experts(out, &cpu);
    }
    return true;
}

enum sw_status sw_worker_deliver(struct sw_worker *w, enum sw_engine_kind kind, int layer,
                                 const struct sw_span *spans, int n_spans, const float *data,
                                 int64_t width)
{
    const size_t head = (size_t)n_spans * sizeof *spans;
    struct sw_message m = {.kind = (uint16_t)kind};
    int64_t n = 0;
    for (int i = 0; i < n_spans; i++) {
        if (w->sink.values)
            SW_TRY(w->sink.values(w->sink.driver, kind, layer, &spans[i], data + n * width));
        n += spans[i].n;
    }
    if (w->sink.values)
        return SW_OK;
    const size_t bytes = (size_t)n * (size_t)width * sizeof *data;
    const struct sw_values_body body = {layer, (int32_t)n, n_spans};
    memcpy(m.body, &body, sizeof body);
    SW_TRY(sw_wire_reserve(&w->values, head + bytes));
    memcpy(w->values.bytes, spans, head);
    memcpy(w->values.bytes + head, data, bytes);
    return sw_transport_send(w->options.transport, 0, &m, w->values.bytes, head + bytes);
}

static enum sw_status deliver_hidden(void *context, int layer, const float *hidden, int n_rows)
{
    struct sw_worker *w = context;
    (void)n_rows;
    return sw_worker_deliver(w, SW_MSG_HIDDEN, layer, w->hidden_spans, w->n_hidden_spans, hidden,
                             w->options.model->dims.hidden);
}

/* Lists the rows whose hidden states rank 0 wants, and tells the stage. */
static void worker_list_hidden(struct sw_worker *w, const struct sw_microbatch *batch)
{
    w->n_hidden_rows = w->n_hidden_spans = 0;
    for (int i = 0; i < batch->n_spans && w->send_hidden; i++) {
        const struct sw_span *s = &batch->spans[i];
        const int64_t from = batch->outputs[i].hidden_from;
        if (from == s->n)
            continue;
        w->hidden_spans[w->n_hidden_spans++] =
            (struct sw_span){.slot = s->slot, .position = s->position + from, .n = s->n - from};
        for (int64_t r = from; r < s->n; r++)
            w->hidden_rows[w->n_hidden_rows++] = (int32_t)(s->row + r);
    }
    w->stage->hidden_hook = w->send_hidden ? deliver_hidden : NULL;
    w->stage->hidden_layers = w->hidden_layers;
    w->stage->hidden_rows = w->hidden_rows;
    w->stage->n_hidden_rows = w->n_hidden_rows;
}

/* What a stage has computed. */
struct output {
    size_t length;                   /* bytes of w->out for the next stage */
    const struct sw_result *results; /* (n_results) of the last stage */
    int n_results;
};

/* Runs the stage. */
static enum sw_status worker_compute(struct sw_worker *w, const struct sw_microbatch *batch,
                                     const float *hidden, struct output *out)
{
    *out = (struct output){0};
    worker_list_hidden(w, batch);
    w->stage->hook_context = w;
    w->stage->keepalive = keepalive;
    w->stage->stall_s = w->options.transport->options.stall_s;
    sw_worker_note_routes(w);
    if (is_last(w)) {
        SW_TRY(sw_stage_forward(w->stage, batch, hidden, NULL));
        return sw_last_stage_finish(w, batch, &out->results, &out->n_results);
    }
    const size_t head = sw_wire_batch_head(batch->n_rows, batch->n_spans);
    const bool direct = w->links.to >= 0;
    out->length =
        direct ? head
               : head + (size_t)batch->n_rows * (size_t)row_width(w->options.model) * sizeof(float);
    SW_TRY(sw_wire_reserve(&w->out, out->length));
    sw_wire_write_batch(batch, w->out.bytes);
    return sw_stage_forward(w->stage, batch, hidden,
                            direct ? NULL : (float *)(void *)(w->out.bytes + head));
}

/* To rank 0, which is another one. */
static enum sw_status worker_send_results(struct sw_worker *w, const struct output *out)
{
    struct sw_message m = {.kind = SW_MSG_RESULT};
    size_t length = 0;
    for (int i = 0; i < out->n_results; i++)
        SW_TRY(sw_wire_write_result(&out->results[i], &w->out, &length));
    return sw_transport_send(w->options.transport, 0, &m, w->out.bytes, length);
}

static enum sw_status worker_send_output(struct sw_worker *w, const struct sw_microbatch *batch,
                                         const struct output *out)
{
    if (is_last(w) && !w->sink.results)
        return worker_send_results(w, out);
    if (is_last(w)) {
        w->sink.results(w->sink.driver, out->results, out->n_results);
        return SW_OK;
    }
    struct sw_message m = {.kind = SW_MSG_BATCH};
    const struct sw_batch_body body = {.n_rows = batch->n_rows,
                                       .n_spans = batch->n_spans,
                                       .hidden = w->links.to >= 0 ? 0 : row_width(w->options.model),
                                       .first = batch->first,
                                       .end = batch->end};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(w->options.transport, w->next, &m, w->out.bytes, out->length);
}

enum sw_status sw_worker_run_batch(struct sw_worker *w, const struct sw_microbatch *batch,
                                   const float *hidden)
{
    struct output out;
    int64_t ld;
    const double start = sw_clock();
    if (w->links.from >= 0) {
        float *d_rows = sw_stage_rows(w->stage, &ld);
        SW_TRY(sw_stage_links_receive(&w->links, d_rows, batch->n_rows * ld));
    }
    SW_TRY(worker_compute(w, batch, hidden, &out));
    const double computed = sw_clock();
    SW_TRY(sw_worker_report_routes(w, batch->n_rows));
    sw_recorder_add(&w->recorder, SW_ACTIVITY_COMPUTE, start, computed, batch->n_rows);
    SW_TRY(worker_send_output(w, batch, &out));
    /* After the message, on which the next stage enqueues its receive. Only the stream waits for
     * this. */
    if (w->links.to >= 0) {
        const float *d_rows = sw_stage_rows(w->stage, &ld);
        SW_TRY(sw_stage_links_send(&w->links, d_rows, batch->n_rows * ld));
    }
    sw_recorder_add(&w->recorder, SW_ACTIVITY_SEND, computed, sw_clock(), batch->n_rows);
    return sw_worker_report_times(w, false);
}

static enum sw_status apply_slot(struct sw_worker *w, const struct sw_message *m)
{
    struct sw_slot_body body;
    memcpy(&body, m->body, sizeof body);
    if (body.slot < 0 || body.slot >= w->limits.slots)
        return sw_fail(
            SW_EPEER,
            "rank %d sent a message about slot %d, but there are %d slots; start the same program "
            "everywhere",
            m->source, body.slot, w->limits.slots);
    if (w->last_stage)
        sw_last_stage_slot(w, &body);
    return SW_OK;
}

static enum sw_status apply_steer(struct sw_worker *w, const struct sw_message *m,
                                  const char *payload, size_t bytes)
{
    struct sw_steer_body body;
    struct sw_steering steering;
    memcpy(&body, m->body, sizeof body);
    SW_TRY(sw_wire_read_steering(&body, payload, bytes, &w->limits, &steering));
    return w->last_stage ? sw_last_stage_steer(w, body.slot, &steering) : SW_OK;
}

static enum sw_status apply_copy(struct sw_worker *w, const struct sw_message *m)
{
    struct sw_copy_body body;
    memcpy(&body, m->body, sizeof body);
    SW_TRY(sw_wire_check_copy(&body, &w->limits));
    if (w->stage)
        sw_stage_copy(w->stage, body.from, body.to, body.n);
    if (w->last_stage)
        sw_last_stage_copy(w, &body);
    return SW_OK;
}

/* What rank 0 wants from now on. */
static enum sw_status apply_hooks(struct sw_worker *w, const struct sw_message *m,
                                  const char *payload, size_t bytes)
{
    const size_t layers = (size_t)w->limits.layers + 1, rows = (size_t)w->limits.rows;
    struct sw_hooks_body body;
    memcpy(&body, m->body, sizeof body);
    if (bytes != (body.hidden ? layers : 0))
        return sw_fail(SW_EPEER,
                       "a list of %zu layers came, but there are %zu; start the same "
                       "program everywhere",
                       bytes, layers);
    if (body.hidden && !w->hidden_layers) {
        w->hidden_layers = malloc(layers);
        w->hidden_rows = malloc(rows * sizeof *w->hidden_rows);
        w->hidden_spans = malloc(rows * sizeof *w->hidden_spans);
    }
    if (body.hidden && (!w->hidden_layers || !w->hidden_rows || !w->hidden_spans))
        return sw_fail(SW_ENOMEM, "no memory to list rows of hidden states");
    if (body.hidden)
        memcpy(w->hidden_layers, payload, layers);
    w->send_hidden = body.hidden;
    w->send_logits = body.logits;
    return SW_OK;
}

enum sw_status sw_worker_control(struct sw_worker *w, struct sw_message *m, const void *payload,
                                 size_t bytes)
{
    if (m->kind == SW_MSG_SLOT) {
        SW_TRY(apply_slot(w, m));
    } else if (m->kind == SW_MSG_TOKENS) {
        if (w->last_stage)
            SW_TRY(sw_last_stage_tokens(w, payload, bytes));
    } else if (m->kind == SW_MSG_STEER) {
        SW_TRY(apply_steer(w, m, payload, bytes));
    } else if (m->kind == SW_MSG_COPY) {
        SW_TRY(apply_copy(w, m));
    } else if (m->kind == SW_MSG_HOOKS) {
        SW_TRY(apply_hooks(w, m, payload, bytes));
    } else {
        return sw_fail(SW_EPEER,
                       "a message of unknown kind %d came from rank %d; start the same "
                       "program everywhere",
                       m->kind, m->source);
    }
    return w->next >= 0 ? sw_transport_send(w->options.transport, w->next, m, payload, bytes)
                        : SW_OK;
}

static enum sw_status worker_receive(struct sw_worker *w, struct sw_message *m)
{
    struct sw_transport *t = w->options.transport;
    const double start = sw_clock();
    SW_TRY(sw_transport_recv_head(t, SW_ANY_RANK, m));
    SW_TRY(sw_wire_reserve(&w->in, m->bytes + 1));
    if (m->bytes > 0)
        SW_TRY(sw_transport_recv_payload(t, m, w->in.bytes));
    sw_recorder_add(&w->recorder, SW_ACTIVITY_WAIT, start, sw_clock(), 0);
    return SW_OK;
}

enum sw_status sw_worker_run(struct sw_worker *w)
{
    for (;;) {
        struct sw_message m;
        SW_TRY(worker_receive(w, &m));
        if (m.kind == SW_MSG_STOP)
            return sw_worker_report_times(w, true);
        if (m.kind == SW_MSG_RECORD) {
            SW_TRY(sw_worker_start_recorder(w));
        } else if (m.kind == SW_MSG_BATCH && w->stage) {
            struct sw_batch_body body;
            struct sw_microbatch batch;
            const float *hidden;
            memcpy(&body, m.body, sizeof body);
            SW_TRY(sw_wire_read_batch(&body, w->in.bytes, m.bytes, &w->limits, &batch, &hidden));
            SW_TRY(sw_worker_run_batch(w, &batch, hidden));
        } else {
            SW_TRY(sw_worker_control(w, &m, w->in.bytes, m.bytes));
        }
    }
}
