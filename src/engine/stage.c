/* Owns a stage: its memory, embedding and head, and the order in which its layers run. */
#include "engine/stage.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- tiers and devices */

enum tier { TIER_GPU, TIER_HOST, TIER_STREAMED };

static enum tier tier_of(const struct sw_stage *s, int index)
{
    const struct sw_stage_options *o = &s->options;
    return index < o->tiers.n_gpu                   ? TIER_GPU
           : index < o->count - o->tiers.n_streamed ? TIER_HOST
                                                    : TIER_STREAMED;
}

static int n_host(const struct sw_stage_options *o)
{
    return o->count - o->tiers.n_gpu - o->tiers.n_streamed;
}

/* The device whose memory holds a layer's KV cache. */
static int kv_device(const struct sw_stage *s, int index)
{
    return tier_of(s, index) == TIER_HOST ? SW_ON_CPU : SW_ON_GPU;
}

static int embed_device(const struct sw_stage_options *o)
{
    return o->tiers.embed_on_gpu ? SW_ON_GPU : SW_ON_CPU;
}

static int head_device(const struct sw_stage_options *o)
{
    return o->tiers.head_on_gpu ? SW_ON_GPU : SW_ON_CPU;
}

static bool uses_streaming(const struct sw_stage_options *o)
{
    return o->tiers.n_streamed > 0 || (o->tiers.stream_rows > 0 && n_host(o) > 0);
}

static bool has_context(const struct sw_stage_options *o, int device)
{
    const bool embeds = o->embed && embed_device(o) == device,
               heads = o->head && head_device(o) == device;
    const bool runs = device == SW_ON_GPU ? o->tiers.n_gpu > 0 || uses_streaming(o) : n_host(o) > 0;
    return embeds || heads || runs;
}

/* The first layer that is streamed for this micro-batch; all layers after it are, too. */
static int first_streamed(const struct sw_stage *s, const struct sw_microbatch *batch)
{
    const struct sw_stage_options *o = &s->options;
    const bool all = o->tiers.stream_rows > 0 && batch->n_rows >= o->tiers.stream_rows;
    return all ? o->tiers.n_gpu : o->count - o->tiers.n_streamed;
}

/* ---- memory */

static size_t logits_bytes(const struct sw_stage *s)
{
    return (size_t)SW_LOGIT_ROWS * (size_t)s->options.model->dims.vocab * sizeof(float);
}

static enum sw_status make_buffers(struct sw_stage *s)
{
    const struct sw_stage_options *o = &s->options;
    const struct sw_model *model = o->model;
    const size_t rows = (size_t)s->work.rows;
    struct sw_backend *gpu = o->gpu;
    for (int i = 0; i < SW_DEVICE_KINDS; i++)
        if (has_context(o, i))
            SW_TRY(sw_device_context_open(&s->contexts[i], model, &o->params, &s->work));
    if (o->head && head_device(o) == SW_ON_GPU)
        SW_TRY(gpu->ops->alloc(gpu, logits_bytes(s), "logits", (void **)&s->d_logits));
    const size_t experts = (size_t)model->dims.n_experts, used = (size_t)model->dims.n_experts_used;
    s->rows = malloc(rows * sizeof *s->rows);
    s->shares = malloc(rows * (used + 1) * sizeof *s->shares);
    s->scores = malloc(rows * (experts + 1) * sizeof *s->scores);
    s->chosen = malloc(rows * (used + 1) * sizeof *s->chosen);
    if (!s->rows || !s->shares || !s->scores || !s->chosen)
        return sw_fail(SW_ENOMEM, "no memory for row lists");
    return SW_OK;
}

static enum sw_status stage_make_streamed(struct sw_stage *s)
{
    const struct sw_stage_options *o = &s->options;
    s->streamed.sizes = sw_staging_of(o->model, &o->params);
    if (o->tiers.stream_rows == 0 || n_host(o) == 0)
        s->streamed.sizes.kv = 0;
    s->streamed.gpu = o->gpu;
    s->streamed.layers = s->layers;
    return sw_streamed_open(&s->streamed, o->model->dims.n_experts);
}

static uint64_t kv_bytes(const struct sw_stage *s)
{
    const struct sw_footprint_params *p = &s->options.params;
    const struct sw_dims *d = &s->options.model->dims;
    return sw_kv_bytes(p->kv, p->slots, d->n_kv_heads, d->head_dim, p->context);
}

static enum sw_status make_kv(struct sw_stage *s, int index)
{
    const struct sw_dims *d = &s->options.model->dims;
    const struct sw_footprint_params *p = &s->options.params;
    struct sw_backend *b = s->contexts[kv_device(s, index)].backend;
    struct sw_kv *kv = &s->layers[index].kv;
    *kv = (struct sw_kv){.format = p->kv,
                         .slots = p->slots,
                         .n_kv_heads = d->n_kv_heads,
                         .head_dim = d->head_dim,
                         .context = p->context};
    return b->ops->alloc(b, kv_bytes(s), "the KV cache", &kv->d_data);
}

static enum sw_status make_layer(struct sw_stage *s, struct sw_loader *loader, int index)
{
    const struct sw_stage_options *o = &s->options;
    const enum tier tier = tier_of(s, index);
    SW_TRY(make_kv(s, index));
    loader->backend = tier == TIER_GPU ? o->gpu : o->cpu;
    SW_TRY(sw_weights_load(loader, o->first + index, 0, &s->layers[index].weights));
    if (tier == TIER_STREAMED || (tier == TIER_HOST && o->tiers.stream_rows > 0))
        sw_streamed_pin(&s->streamed, &s->layers[index], tier == TIER_HOST);
    return SW_OK;
}

static enum sw_status stage_fill(struct sw_stage *s, struct sw_loader *loader)
{
    const struct sw_stage_options *o = &s->options;
    SW_TRY(make_buffers(s));
    if (uses_streaming(o))
        SW_TRY(stage_make_streamed(s));
    for (int i = 0; i < SW_DEVICE_KINDS; i++) {
        const unsigned parts = (o->embed && embed_device(o) == i ? SW_PART_EMBED : 0u) |
                               (o->head && head_device(o) == i ? SW_PART_HEAD : 0u);
        loader->backend = s->contexts[i].backend;
        if (parts)
            SW_TRY(sw_weights_load(loader, SW_GLOBAL, parts, &s->globals[i]));
    }
    for (int i = 0; i < o->count; i++)
        SW_TRY(make_layer(s, loader, i));
    return SW_OK;
}

enum sw_status sw_stage_open(const struct sw_stage_options *options, struct sw_loader *loader,
                             struct sw_stage **out)
{
    struct sw_stage *s = calloc(1, sizeof *s);
    const size_t n = options->count > 0 ? (size_t)options->count : 1;
    enum sw_status status;
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a stage");
    s->options = *options;
    s->contexts[SW_ON_CPU].backend = options->cpu;
    s->contexts[SW_ON_GPU].backend = options->gpu;
    s->work = sw_work_of(options->model, &options->params);
    s->qkv = sw_model_qkv_layout(options->model);
    s->layers = calloc(n, sizeof *s->layers);
    loader->model = options->model;
    loader->format = options->params.weights;
    loader->unquantized = options->params.unquantized;
    if (!s->layers)
        status = sw_fail(SW_ENOMEM, "no memory for a stage of %d layers", options->count);
    else
        status = stage_fill(s, loader);
    if (status != SW_OK) {
        sw_stage_close(s);
        return status;
    }
    *out = s;
    return SW_OK;
}

static void free_layer(struct sw_stage *s, int index)
{
    const struct sw_stage_options *o = &s->options;
    struct sw_backend *b = s->contexts[kv_device(s, index)].backend;
    struct sw_layer *layer = &s->layers[index];
    sw_streamed_unpin(&s->streamed, layer);
    if (b)
        b->ops->free(b, layer->kv.d_data, kv_bytes(s));
    sw_weights_free(tier_of(s, index) == TIER_GPU ? o->gpu : o->cpu, &layer->weights);
}

void sw_stage_close(struct sw_stage *s)
{
    if (!s)
        return;
    struct sw_backend *gpu = s->options.gpu;
    if (gpu)
        (void)gpu->ops->sync(gpu);
    sw_streamed_close(&s->streamed);
    for (int i = 0; i < s->options.count && s->layers; i++)
        free_layer(s, i);
    for (int i = 0; i < SW_DEVICE_KINDS; i++) {
        sw_weights_free(s->contexts[i].backend, &s->globals[i]);
        sw_device_context_close(&s->contexts[i]);
    }
    if (gpu)
        gpu->ops->free(gpu, s->d_logits, logits_bytes(s));
    free(s->rows);
    free(s->shares);
    free(s->scores);
    free(s->chosen);
    free(s->layers);
    free(s);
}

float *sw_stage_rows(const struct sw_stage *s, int64_t *ld)
{
    *ld = s->work.hidden;
    return s->contexts[SW_ON_GPU].d_x;
}

uint64_t sw_stage_gpu_bytes(const struct sw_stage *s)
{
    uint64_t bytes = s->contexts[SW_ON_GPU].bytes + s->globals[SW_ON_GPU].bytes +
                     sw_streamed_bytes(&s->streamed) + (s->d_logits ? logits_bytes(s) : 0);
    for (int i = 0; i < s->options.count; i++)
        bytes += (tier_of(s, i) == TIER_GPU ? s->layers[i].weights.bytes : 0) +
                 (kv_device(s, i) == SW_ON_GPU ? kv_bytes(s) : 0);
    return bytes;
}

/* ---- running a micro-batch */

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
    if (w->matrix[SW_W_POSITIONS].d_data) {
        for (int i = 0; i < batch->n_spans; i++)
            for (int64_t r = 0; r < batch->spans[i].n; r++)
                s->rows[batch->spans[i].row + r] =
                    (int32_t)(batch->spans[i].position + r + model->arch->position_offset);
        b->ops->embed(b, &w->matrix[SW_W_POSITIONS], s->rows, n, device->d_h, ld);
        b->ops->add(b, device->d_h, ld, n, hidden, device->d_x, ld);
    }
    if (w->d_vector[SW_W_EMBED_NORM])
        b->ops->norm(b, model->arch->norm, model->dims.norm_eps, device->d_x, ld, n, hidden,
                     w->d_vector[SW_W_EMBED_NORM], w->d_vector[SW_W_EMBED_NORM_BIAS], device->d_x,
                     ld);
}

/* Copies rows from `in` to the residual stream, or from it to `out`; both (n_rows, hidden) in host
 * memory. */
static enum sw_status stage_copy_rows(struct sw_stage *s, const float *in, float *out, int n_rows)
{
    const struct sw_device_context *device = &s->contexts[s->at];
    struct sw_backend *b = device->backend;
    const int64_t hidden = s->options.model->dims.hidden, ld = s->work.hidden;
    const size_t bytes = (size_t)hidden * sizeof(float), ld_bytes = (size_t)ld * sizeof(float);
    if (s->at == SW_ON_GPU)
        return in ? b->gpu->upload_rows(b, device->d_x, ld_bytes, in, bytes, n_rows)
                  : b->gpu->download_rows(b, out, device->d_x, ld_bytes, bytes, n_rows);
    for (int r = 0; r < n_rows; r++)
        if (in)
            SW_TRY(b->ops->upload(b, device->d_x + r * ld, in + r * hidden, bytes));
        else
            SW_TRY(b->ops->download(b, out + r * hidden, device->d_x + r * ld, bytes));
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
static enum sw_status stage_move_to(struct sw_stage *s, int device, int next)
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
    const size_t hidden = (size_t)s->options.model->dims.hidden;
    if (!s->hidden_hook)
        return SW_OK;
    float *values = malloc((size_t)s->n_rows * hidden * sizeof *values);
    if (!values)
        return sw_fail(SW_ENOMEM, "no memory for %d hidden states", s->n_rows);
    enum sw_status status = stage_copy_rows(s, NULL, values, s->n_rows);
    if (status == SW_OK)
        status = s->hidden_hook(s->hook_context, layer, values, s->n_rows);
    free(values);
    return status;
}

/* Runs a layer in host memory on the GPU. */
static enum sw_status run_streamed(struct sw_stage *s, struct sw_block *block, int index,
                                   const struct sw_microbatch *batch)
{
    const struct sw_stage_options *o = &s->options;
    const struct sw_kv *kv = &s->layers[index].kv;
    const bool kv_in_host = kv_device(s, index) == SW_ON_CPU;
    const bool sliding = o->model->layer_kinds[block->layer] & SW_LAYER_SLIDING;
    SW_TRY(sw_streamed_acquire(&s->streamed, index));
    block->streamed = &s->streamed;
    block->weights = &s->streamed.view;
    if (kv_in_host) {
        SW_TRY(sw_streamed_kv_in(&s->streamed, kv, batch->spans, batch->n_spans,
                                 sliding ? o->model->dims.window : 0));
        block->kv = &s->streamed.kv;
    }
    SW_TRY(sw_block_run(s, block, batch));
    SW_TRY(sw_streamed_release(&s->streamed, index));
    return kv_in_host ? sw_streamed_kv_out(&s->streamed, kv, batch->spans, batch->n_spans) : SW_OK;
}

static enum sw_status run_layer(struct sw_stage *s, int index, const struct sw_microbatch *batch)
{
    const bool streamed = index >= s->streamed.from && index < s->streamed.end;
    const int device = streamed ? SW_ON_GPU : kv_device(s, index);
    struct sw_block block = {.layer = s->options.first + index,
                             .device = &s->contexts[device],
                             .weights = &s->layers[index].weights,
                             .kv = &s->layers[index].kv};
    SW_TRY(stage_move_to(s, device, index));
    return streamed ? run_streamed(s, &block, index, batch) : sw_block_run(s, &block, batch);
}

/* Called after each layer. */
static enum sw_status stage_after_layer(struct sw_stage *s, int index)
{
    SW_TRY(stage_call_hook(s, s->options.first + index));
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
        SW_TRY(stage_after_layer(k->s, i));
    }
    return SW_OK;
}

/* The end of the layers from `from` on that can be replayed, because they need nothing from the
 * host: layers in GPU memory without experts (the host does the routing) and without a hook. */
static int end_of_replayable(const struct sw_stage *s, int from)
{
    const struct sw_stage_options *o = &s->options;
    int end = from;
    while (!s->hidden_hook && end < o->tiers.n_gpu &&
           !(o->model->layer_kinds[o->first + end] & SW_LAYER_ROUTED))
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

/* The device of the stage's first layer for this micro-batch. */
static int first_layer_device(const struct sw_stage *s)
{
    return s->streamed.from == 0 && s->streamed.end > 0 ? SW_ON_GPU : kv_device(s, 0);
}

enum sw_status sw_stage_forward(struct sw_stage *s, const struct sw_microbatch *batch,
                                const float *in, float *out)
{
    const struct sw_stage_options *o = &s->options;
    s->n_rows = batch->n_rows;
    if (s->streamed.gpu)
        SW_TRY(sw_streamed_begin(&s->streamed, first_streamed(s, batch), o->count));
    s->at = in || s->received ? first_layer_device(s) : embed_device(o);
    if (s->received) {
        assert(s->at == SW_ON_GPU);
    } else if (in) {
        SW_TRY(stage_copy_rows(s, in, NULL, batch->n_rows));
    } else {
        stage_embed(s, batch);
        SW_TRY(stage_call_hook(s, -1));
    }
    for (int i = 0; i < o->count;)
        SW_TRY(run_next_layers(s, batch, i, &i));
    SW_TRY(stage_check(s, o->count - 1));
    if (out)
        SW_TRY(stage_copy_rows(s, NULL, out, batch->n_rows));
    return s->contexts[s->at].backend->ops->sync(s->contexts[s->at].backend);
}

void sw_stage_copy(struct sw_stage *s, int from, int to, int n)
{
    for (int i = 0; i < s->options.count; i++) {
        struct sw_backend *b = s->contexts[kv_device(s, i)].backend;
        b->ops->kv_copy(b, &s->layers[i].kv, from, to, n);
    }
}

/* Copies rows[0..n) of the residual stream to d_h of the head's device. */
static enum sw_status stage_gather(struct sw_stage *s, const int32_t *rows, int n, int to)
{
    const struct sw_device_context *from = &s->contexts[s->at];
    const int64_t ld = s->work.hidden;
    const size_t bytes = (size_t)n * (size_t)ld * sizeof(float);
    struct sw_backend *b = from->backend, *gpu = s->options.gpu;
    b->ops->gather(b, from->d_x, ld, rows, n, s->options.model->dims.hidden, from->d_h, ld);
    if (s->at == to)
        return SW_OK;
    return to == SW_ON_GPU ? gpu->ops->upload(gpu, s->contexts[to].d_h, from->d_h, bytes)
                           : gpu->ops->download(gpu, s->contexts[to].d_h, from->d_h, bytes);
}

enum sw_status sw_stage_logits(struct sw_stage *s, const int32_t *rows, int n, float *logits)
{
    const struct sw_model *model = s->options.model;
    const int at = head_device(&s->options);
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
    if (at == SW_ON_GPU)
        SW_TRY(b->ops->download(b, logits, d_logits, (size_t)(n * vocab) * sizeof *logits));
    return b->ops->sync(b);
}
