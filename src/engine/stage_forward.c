/* Owns running a micro-batch through a stage: the embedding, the layers in order, the head. */
#include "engine/stage.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ids → d_x: token and position embeddings, input projection, embedding norm. */
static void stage_embed(struct sw_stage *s, const struct sw_microbatch *batch)
{
    const struct sw_model *model = s->options.model;
    const struct sw_weights *w = &s->globals[s->at];
    const struct sw_device_context *device = &s->contexts[s->at];
    struct sw_backend *b = device->backend;
    const int64_t ld = s->work.hidden, n = batch->n_rows, hidden = model->dims.hidden;
    const bool projected = w->matrix[SW_W_PROJECT_IN].d_data != NULL;
    float *d_first = projected ? device->d_h : device->d_x;
    b->ops->embed(b, &w->matrix[SW_W_EMBED], batch->ids, n, d_first, ld);
    if (projected)
        b->ops->matmul(b, &w->matrix[SW_W_PROJECT_IN], NULL, device->d_h, ld, n, device->d_x, ld,
                       false);
    if (model->dims.embed_scale != 1)
        b->ops->scale(b, model->dims.embed_scale, NULL, 0, n, hidden, device->d_x, ld);
    if (w->matrix[SW_W_POSITIONS].d_data) {
        for (int i = 0; i < batch->n_spans; i++)
            for (int64_t r = 0; r < batch->spans[i].n; r++)
                s->rows[batch->spans[i].row + r] =
                    (int32_t)(batch->spans[i].position + r + model->arch->position_offset);
        b->ops->embed(b, &w->matrix[SW_W_POSITIONS], s->rows, n, device->d_h, ld);
        b->ops->add(b, 1, device->d_h, ld, n, hidden, device->d_x, ld);
    }
    if (w->d_vector[SW_W_EMBED_NORM])
        b->ops->norm(b, model->arch->norm, model->dims.norm_eps, device->d_x, ld, n, hidden,
                     w->d_vector[SW_W_EMBED_NORM], w->d_vector[SW_W_EMBED_NORM_BIAS], device->d_x,
                     ld);
    if (model->dims.input_dim > 0)
        sw_stage_embed_inputs(s, batch->ids, n);
}

/* Copies rows from `in` to d_x, rows as of the residual stream, or from it to `out`; both (n_rows,
 * width) in host memory. */
static enum sw_status stage_copy_rows(struct sw_stage *s, const float *in, float *d_x, float *out,
                                      int n_rows, int64_t width)
{
    struct sw_backend *b = s->contexts[s->at].backend;
    const int64_t ld = s->work.hidden;
    const size_t bytes = (size_t)width * sizeof(float), ld_bytes = (size_t)ld * sizeof(float);
    if (s->at == SW_ON_GPU)
        return in ? b->gpu->upload_rows(b, d_x, ld_bytes, in, bytes, n_rows)
                  : b->gpu->download_rows(b, out, d_x, ld_bytes, bytes, n_rows);
    for (int r = 0; r < n_rows; r++)
        if (in)
            SW_TRY(b->ops->upload(b, d_x + r * ld, in + r * width, bytes));
        else
            SW_TRY(b->ops->download(b, out + r * width, d_x + r * ld, bytes));
    return SW_OK;
}

/* Checks the output of `layer`, the last one run: on a GPU sums can overflow that a CPU keeps in
 * range. Warns once. Sequences with such values get undefined logits; the others go on. */
static enum sw_status stage_check(struct sw_stage *s, int layer)
{
    char where[64];
    if (s->at != SW_ON_GPU)
        return SW_OK;
    snprintf(where, sizeof where, "the output of layer %d", s->options.first + layer);
    const enum sw_status status = s->options.gpu->gpu->check_finite(
        s->options.gpu, s->contexts[SW_ON_GPU].d_x, s->work.hidden, s->n_rows,
        s->options.model->dims.hidden, where);
    if (status !=
        SW_EDEVICE) /* a failure of the device itself is kept, and later calls return it */
        return status;
    if (!s->is_warned)
        sw_log(SW_LOG_WARN, "%s", sw_error_message());
    s->is_warned = true;
    sw_error_clear();
    return SW_OK;
}

/* Moves the residual stream to a device, where layer `next` is to run. */
static enum sw_status stage_move_to(struct sw_stage *s, enum sw_device_kind device, int next)
{
    struct sw_backend *gpu = s->options.gpu;
    float *d_cpu = s->contexts[SW_ON_CPU].d_x, *d_gpu = s->contexts[SW_ON_GPU].d_x;
    const size_t bytes = (size_t)s->n_rows * (size_t)s->work.hidden * sizeof(float);
    if (device == s->at)
        return SW_OK;
    if (next > 0)
        SW_TRY(stage_check(s, next - 1));
    s->at = device;
    return device == SW_ON_GPU ? gpu->ops->upload(gpu, d_gpu, d_cpu, bytes)
                               : gpu->ops->download(gpu, d_cpu, d_gpu, bytes);
}

static enum sw_status stage_call_hook(struct sw_stage *s, int layer)
{
    const struct sw_device_context *device = &s->contexts[s->at];
    const int n = s->n_hidden_rows, hidden = s->options.model->dims.hidden;
    if (!s->hidden_hook || !s->hidden_layers[layer + 1] || n == 0)
        return SW_OK;
    float *values = malloc((size_t)n * (size_t)hidden * sizeof *values);
    if (!values)
        return sw_fail(SW_ENOMEM, "no memory for %d hidden states", n);
    float *d_rows = device->d_x;
    if (n < s->n_rows) {
        d_rows = device->d_h;
        device->backend->ops->gather(device->backend, device->d_x, s->work.hidden, s->hidden_rows,
                                     NULL, n, hidden, d_rows, s->work.hidden);
    }
    enum sw_status status = stage_copy_rows(s, NULL, d_rows, values, n, hidden);
    if (status == SW_OK)
        status = s->hidden_hook(s->hook_context, layer, values, n);
    free(values);
    return status;
}

/* What a layer keeps of its slots, from host memory to the GPU and back. */
static enum sw_status stage_keep_in(struct sw_stage *s, const struct sw_layer_row *row,
                                    const struct sw_microbatch *batch, struct sw_block *block)
{
    const struct sw_model *model = s->options.model;
    if (row->delta.d_data)
        return sw_state_staging_in(&s->kv_staging, &row->delta, batch->spans, batch->n_spans,
                                   &block->delta);
    return sw_kv_staging_in(&s->kv_staging, &row->kv, batch->spans, batch->n_spans,
                            sw_model_window(model, row->layer), &block->kv);
}

static enum sw_status stage_keep_out(struct sw_stage *s, const struct sw_layer_row *row,
                                     const struct sw_microbatch *batch)
{
    if (row->delta.d_data)
        return sw_state_staging_out(&s->kv_staging, &row->delta, batch->spans, batch->n_spans);
    return sw_kv_staging_out(&s->kv_staging, &row->kv, batch->spans, batch->n_spans);
}

static enum sw_status run_layer(struct sw_stage *s, int index, const struct sw_microbatch *batch)
{
    const struct sw_layer_row *row = &s->layers[index];
    const struct sw_layer_way *way = &row->ways[s->phase];
    const bool kv_elsewhere = row->kv_at != way->device;
    struct sw_store *store = way->store;
    struct sw_device_context *device = &s->contexts[way->device];
    const bool keeps = row->kv.d_data != NULL, runs = sw_microbatch_runs(batch, row->layer);
    struct sw_block block = {.layer = row->layer,
                             .device = device,
                             .store = store,
                             .kv = keeps ? &row->kv : &device->encoder_kv,
                             .memory_kv = &row->memory_kv,
                             .delta = &row->delta};
    SW_TRY(stage_move_to(s, way->device, index));
    if (row->layer < batch->first)
        return SW_OK; /* the rows pass */
    SW_TRY(store->ops->acquire(store, row->layer, &block.weights));
    if (kv_elsewhere)
        SW_TRY(stage_keep_in(s, row, batch, &block));
    SW_TRY(runs ? sw_block_run(s, &block, batch) : sw_block_remember(s, &block, batch));
    SW_TRY(store->ops->release(store, row->layer));
    return kv_elsewhere ? stage_keep_out(s, row, batch) : SW_OK;
}

/* Called after each layer. */
static enum sw_status stage_after_layer(struct sw_stage *s, const struct sw_microbatch *batch,
                                        int index)
{
    const int layer = s->options.first + index;
    if (sw_microbatch_runs(batch, layer))
        SW_TRY(stage_call_hook(s, layer));
    return s->keepalive ? s->keepalive(s->hook_context) : SW_OK;
}

/* Consecutive layers [from, end). */
struct layers {
    struct sw_stage *s;
    const struct sw_microbatch *batch;
    int from, end;
};

static enum sw_status run_layers(void *context)
{
    const struct layers *k = context;
    for (int i = k->from; i < k->end; i++) {
        SW_TRY(run_layer(k->s, i, k->batch));
        SW_TRY(stage_after_layer(k->s, k->batch, i));
    }
    return SW_OK;
}

/* The end of the layers from `from` on that can be replayed together. A hook is the host's. */
static int end_of_replayable(const struct sw_stage *s, int from)
{
    int end = from;
    while (!s->hidden_hook && end < s->options.count && s->layers[end].replayable)
        end++;
    return end;
}

/* Runs the layers from `from` on that go together; sets *end. */
static enum sw_status run_next_layers(struct sw_stage *s, const struct sw_microbatch *batch,
                                      int from, int *end)
{
    const struct sw_stage_options *o = &s->options;
    struct layers k = {s, batch, from, end_of_replayable(s, from)};
    if (k.end == from) {
        *end = k.end = from + 1;
        return run_layers(&k);
    }
    *end = k.end;
    SW_TRY(stage_move_to(s, SW_ON_GPU, from));
    const struct sw_gpu_sequence sequence = {.id = from,
                                             .spans = batch->spans,
                                             .n_spans = batch->n_spans,
                                             .enqueue = run_layers,
                                             .context = &k};
    return o->gpu->gpu->replay(o->gpu, &sequence);
}

/* Tells each store which layers this micro-batch takes from it. */
static enum sw_status stage_begin(struct sw_stage *s, const struct sw_microbatch *batch)
{
    const struct sw_stage_options *o = &s->options;
    const int stream_rows = o->tiers.stream_rows;
    s->n_rows = batch->n_rows;
    s->phase = stream_rows > 0 && batch->n_rows >= stream_rows ? SW_PROMPT : SW_DECODE;
    for (int kind = 0; kind < SW_STORE_KINDS; kind++) {
        struct sw_store *store = s->stores[kind];
        int n = 0;
        for (int i = 0; i < o->count && store; i++)
            if (s->layers[i].ways[s->phase].store == store && s->layers[i].layer >= batch->first)
                s->uses[n++] = s->layers[i].layer;
        if (n > 0)
            SW_TRY(store->ops->begin(store, s->uses, n));
    }
    return SW_OK;
}

enum sw_status sw_stage_forward(struct sw_stage *s, const struct sw_microbatch *batch,
                                const float *in, float *out)
{
    const struct sw_stage_options *o = &s->options;
    const int64_t width = sw_model_aside(o->model).width;
    SW_TRY(stage_begin(s, batch));
    s->at = in || s->received ? s->layers[0].ways[s->phase].device : s->embed_at;
    if (s->received) {
        assert(s->at == SW_ON_GPU);
    } else if (in) {
        SW_TRY(stage_copy_rows(s, in, s->contexts[s->at].d_x, NULL, batch->n_rows, width));
    } else {
        stage_embed(s, batch);
        SW_TRY(stage_call_hook(s, -1));
    }
    for (int i = 0; i < o->count;)
        SW_TRY(run_next_layers(s, batch, i, &i));
    SW_TRY(stage_check(s, o->count - 1));
    if (out)
        SW_TRY(stage_copy_rows(s, NULL, s->contexts[s->at].d_x, out, batch->n_rows, width));
    return s->contexts[s->at].backend->ops->sync(s->contexts[s->at].backend);
}

void sw_stage_copy(struct sw_stage *s, int from, int to, int n)
{
    const int slots = s->options.params.slots;
    for (int i = 0; i < s->options.count; i++) {
        const struct sw_layer_row *row = &s->layers[i];
        struct sw_backend *b = s->contexts[row->kv_at].backend;
        if (row->kv.d_data && to < slots && from % slots != to)
            b->ops->kv_copy(b, &row->kv, from % slots, to, n);
        if (row->delta.d_data)
            b->ops->delta_copy(b, &row->delta, from, to);
    }
}

/* Copies rows[0..n) of the residual stream to d_h of the head's device. */
static enum sw_status stage_gather(struct sw_stage *s, const int32_t *rows, int n,
                                   enum sw_device_kind to)
{
    const struct sw_device_context *from = &s->contexts[s->at];
    const int64_t ld = s->work.hidden;
    const size_t bytes = (size_t)n * (size_t)ld * sizeof(float);
    struct sw_backend *b = from->backend, *gpu = s->options.gpu;
    b->ops->gather(b, from->d_x, ld, rows, NULL, n, s->options.model->dims.hidden, from->d_h, ld);
    if (s->at == to)
        return SW_OK;
    return to == SW_ON_GPU ? gpu->ops->upload(gpu, s->contexts[to].d_h, from->d_h, bytes)
                           : gpu->ops->download(gpu, s->contexts[to].d_h, from->d_h, bytes);
}

enum sw_status sw_stage_logits(struct sw_stage *s, const int32_t *rows, int n, float *logits)
{
    const struct sw_model *model = s->options.model;
    const enum sw_device_kind at = s->head_at;
    const struct sw_weights *w = &s->globals[at];
    const struct sw_device_context *device = &s->contexts[at];
    struct sw_backend *b = device->backend;
    const int64_t ld = s->work.hidden, vocab = model->dims.vocab;
    float *d_logits = at == SW_ON_GPU ? s->d_logits : logits; /* the CPU computes in place */
    SW_TRY(stage_gather(s, rows, n, at));
    if (w->d_vector[SW_W_FINAL_NORM])
        b->ops->norm(b, model->arch->norm, model->dims.norm_eps, device->d_h, ld, n,
                     model->dims.hidden, w->d_vector[SW_W_FINAL_NORM],
                     w->d_vector[SW_W_FINAL_NORM_BIAS], device->d_h, ld);
    const float *d_h = device->d_h;
    if (w->matrix[SW_W_PROJECT_OUT].d_data) {
        b->ops->matmul(b, &w->matrix[SW_W_PROJECT_OUT], NULL, device->d_h, ld, n, device->d_h2, ld,
                       false);
        d_h = device->d_h2;
    }
    b->ops->matmul(b, &w->matrix[SW_W_HEAD], w->d_vector[SW_W_HEAD_BIAS], d_h, ld, n, d_logits,
                   vocab, false);
    if (model->dims.logit_scale != 1 || model->dims.logit_cap > 0)
        b->ops->scale(b, model->dims.logit_scale, NULL, model->dims.logit_cap, n, vocab, d_logits,
                      vocab);
    if (at == SW_ON_GPU)
        SW_TRY(b->ops->download(b, logits, d_logits, (size_t)(n * vocab) * sizeof *logits));
    return b->ops->sync(b);
}
