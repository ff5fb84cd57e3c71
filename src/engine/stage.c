/* Owns what a stage consists of: the table of its layers, its stores and its other memory. */
#include "engine/stage.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the table */

/* What a tier means at run time. */
struct tier_meaning {
    enum sw_device_kind device, kv_at;
    enum sw_store_kind store;
};
static const struct tier_meaning tier_meanings[SW_TIERS] = {
    [SW_TIER_GPU] = {SW_ON_GPU, SW_ON_GPU, SW_STORE_GPU},
    [SW_TIER_HOST] = {SW_ON_CPU, SW_ON_CPU, SW_STORE_CPU},
    [SW_TIER_STREAMED] = {SW_ON_GPU, SW_ON_GPU, SW_STORE_STREAMED},
    [SW_TIER_DISK] = {SW_ON_CPU, SW_ON_CPU, SW_STORE_DISK}, /* or as follows */
};
/* Disk layers that the GPU runs; those that are read by expert; and all that a GPU runs so. */
static const struct tier_meaning disk_on_gpu = {SW_ON_GPU, SW_ON_GPU, SW_STORE_STREAMED};
static const struct tier_meaning by_expert = {SW_ON_CPU, SW_ON_CPU, SW_STORE_EXPERTS};
static const struct tier_meaning by_expert_on_gpu = {SW_ON_GPU, SW_ON_GPU, SW_STORE_GPU_EXPERTS};

static const struct tier_meaning *stage_meaning(const struct sw_tiers *t, enum sw_tier tier)
{
    const bool on_gpu = tier == SW_TIER_STREAMED || (tier == SW_TIER_DISK && t->disk_on_gpu);
    if (t->by_expert && on_gpu)
        return &by_expert_on_gpu;
    if (tier != SW_TIER_DISK)
        return &tier_meanings[tier];
    return on_gpu ? &disk_on_gpu : t->by_expert ? &by_expert : &tier_meanings[tier];
}

/* Whether host layers run on the GPU for prompts. */
static bool tiers_pass_host(const struct sw_tiers *t)
{
    return t->stream_rows > 0 && t->n_host > 0;
}

static void stage_fill_row(struct sw_stage *s, enum sw_tier tier, int index)
{
    const struct sw_stage_options *o = &s->options;
    const struct tier_meaning *as = stage_meaning(&o->tiers, tier);
    struct sw_layer_row *row = &s->layers[index];
    row->layer = o->first + index;
    row->kv_at = as->kv_at;
    row->ways[SW_DECODE] = (struct sw_layer_way){as->device, s->stores[as->store]};
    row->ways[SW_PROMPT] = row->ways[SW_DECODE];
    if (tier == SW_TIER_HOST && tiers_pass_host(&o->tiers))
        row->ways[SW_PROMPT] = (struct sw_layer_way){SW_ON_GPU, s->stores[SW_STORE_STREAMED]};
    /* A step that attends to a memory is longer than its position says. */
    const int by_host = SW_LAYER_ROUTED | SW_LAYER_ENCODER | SW_LAYER_CROSS;
    row->replayable = tier == SW_TIER_GPU && !(o->model->layer_kinds[row->layer] & by_host);
}

static enum sw_status stage_open_streamed(struct sw_stage *s, const struct sw_staging *sizes,
                                          const struct sw_disk_options *disk)
{
    const struct sw_stage_options *o = &s->options;
    const bool streams = o->tiers.n_streamed > 0 && !o->tiers.by_expert;
    const bool pass = tiers_pass_host(&o->tiers), only_disk = !streams && !pass;
    if (only_disk && !disk)
        return SW_OK;
    const struct sw_streamed_options streamed = {.gpu = o->gpu,
                                                 .cpu = o->cpu,
                                                 .pins = &s->pins,
                                                 .layers = {o->first, o->count},
                                                 .n_experts = o->model->dims.n_experts,
                                                 .n_buffers = only_disk ? SW_DISK_STREAM_BUFFERS
                                                                        : SW_STREAM_BUFFERS,
                                                 .layer_bytes = sizes->layer,
                                                 .matrix_bytes = pass ? sizes->matrix : 0,
                                                 .disk = disk};
    return sw_store_streamed_open(&streamed, &s->stores[SW_STORE_STREAMED]);
}

/* The stores of layers that are moved by expert. */
static enum sw_status stage_open_experts(struct sw_stage *s, const struct sw_staging *sizes,
                                         const struct sw_loader *loader)
{
    const struct sw_stage_options *o = &s->options;
    const struct sw_tiers *t = &o->tiers;
    const int disk = o->first + o->count - t->n_disk;
    const int on_gpu = t->n_streamed + (t->disk_on_gpu ? t->n_disk : 0);
    const struct sw_experts_options experts = {.cpu = o->cpu,
                                               .gpu = t->disk_on_gpu ? o->gpu : NULL,
                                               .pins = &s->pins,
                                               .loader = loader,
                                               .stage = s,
                                               .layers = {disk, t->n_disk},
                                               .cached = t->disk_on_gpu ? 0 : t->cached_experts,
                                               .spare_bytes = SW_DISK_BUFFERS * sizes->unit,
                                               .uses = o->expert_uses,
                                               .look_ahead = o->look_ahead};
    if (t->n_disk > 0)
        SW_TRY(sw_store_experts_open(&experts, &s->stores[SW_STORE_EXPERTS]));
    const struct sw_gpu_experts_options gpu_experts = {
        .gpu = o->gpu,
        .cpu = o->cpu,
        .pins = &s->pins,
        .model = o->model,
        .params = &o->params,
        .layers = {disk - t->n_streamed, on_gpu},
        .cached = t->cached_experts,
        .spare_bytes = SW_DISK_STREAM_BUFFERS * sizes->unit,
        .uses = o->expert_uses,
        .disk = t->disk_on_gpu ? s->stores[SW_STORE_EXPERTS] : NULL,
        .disk_first = disk};
    if (on_gpu == 0)
        return SW_OK;
    return sw_store_gpu_experts_open(&gpu_experts, &s->stores[SW_STORE_GPU_EXPERTS]);
}

static enum sw_status stage_open_stores(struct sw_stage *s, const struct sw_loader *loader)
{
    const struct sw_stage_options *o = &s->options;
    const struct sw_tiers *t = &o->tiers;
    const struct sw_staging sizes = sw_staging_of(o->model, &o->params);
    const struct sw_store_layers layers = {o->first, o->count};
    const struct sw_disk_options disk = {.cpu = o->cpu,
                                         .gpu = t->disk_on_gpu ? o->gpu : NULL,
                                         .pins = &s->pins,
                                         .loader = loader,
                                         .stage = s,
                                         .first = o->first + o->count - t->n_disk,
                                         .count = t->n_disk,
                                         .layer_bytes = sizes.layer};
    const bool whole = t->n_disk > 0 && !t->by_expert;
    s->pins.gpu = o->gpu;
    if (t->n_host > 0)
        SW_TRY(sw_store_resident_open(o->cpu, &layers, &s->stores[SW_STORE_CPU]));
    if (t->n_gpu > 0)
        SW_TRY(sw_store_resident_open(o->gpu, &layers, &s->stores[SW_STORE_GPU]));
    SW_TRY(stage_open_streamed(s, &sizes, whole && t->disk_on_gpu ? &disk : NULL));
    if (t->by_expert)
        SW_TRY(stage_open_experts(s, &sizes, loader));
    else if (whole && !t->disk_on_gpu)
        SW_TRY(sw_store_disk_open(&disk, &s->stores[SW_STORE_DISK]));
    return tiers_pass_host(t) ? sw_kv_staging_open(&s->kv_staging, o->gpu, sizes.kv) : SW_OK;
}

static enum sw_status stage_make_table(struct sw_stage *s, const struct sw_loader *loader)
{
    const struct sw_tiers *t = &s->options.tiers;
    assert(sw_tiers_layers(t) == s->options.count);
    if (t->n_disk > 0 && !loader->tensors)
        return sw_fail(SW_EUSAGE, "%d layers are to stay on disk, but weights are made up",
                       t->n_disk);
    SW_TRY(stage_open_stores(s, loader));
    for (int i = 0; i < s->options.count; i++)
        stage_fill_row(s, sw_tier_at(t, i), i);
    return SW_OK;
}

static bool has_context(const struct sw_stage *s, enum sw_device_kind device)
{
    const struct sw_stage_options *o = &s->options;
    if ((o->embed && s->embed_at == device) || (o->head && s->head_at == device))
        return true;
    for (int i = 0; i < o->count; i++)
        for (int phase = 0; phase < SW_PHASES; phase++)
            if (s->layers[i].ways[phase].device == device)
                return true;
    return false;
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
        if (has_context(s, (enum sw_device_kind)i))
            SW_TRY(sw_device_context_open(&s->contexts[i], model, &o->params, &s->work));
    if (o->head && s->head_at == SW_ON_GPU)
        SW_TRY(gpu->ops->alloc(gpu, logits_bytes(s), "logits", (void **)&s->d_logits));
    const size_t experts = (size_t)model->dims.n_experts, used = (size_t)model->dims.n_experts_used;
    s->rows = malloc(rows * sizeof *s->rows);
    s->shares = malloc((rows * (used + 1) + used) * sizeof *s->shares);
    s->scores = malloc(rows * (experts + 1) * sizeof *s->scores);
    s->correction = calloc(4 * experts + 1, sizeof *s->correction);
    s->groups = calloc(experts + 1, sizeof *s->groups);
    s->chosen = malloc(rows * (used + 1) * sizeof *s->chosen);
    s->experts = malloc((experts + 1) * sizeof *s->experts);
    s->foreseen = malloc((experts + 1) * sizeof *s->foreseen);
    s->uses = malloc((size_t)o->count * sizeof *s->uses);
    if (!s->rows || !s->shares || !s->scores || !s->correction || !s->groups || !s->chosen ||
        !s->experts || !s->foreseen || !s->uses)
        return sw_fail(SW_ENOMEM, "no memory for row lists");
    return SW_OK;
}

/* Of one cache of a layer. */
static uint64_t kv_bytes(const struct sw_stage *s, const struct sw_layer_row *row)
{
    return sw_model_kv_bytes(s->options.model, &s->options.params, row->layer);
}

/* Of all caches of a layer, which lie one behind the other, or of its states. */
static uint64_t layer_kv_bytes(const struct sw_stage *s, const struct sw_layer_row *row)
{
    return sw_model_layer_bytes(s->options.model, &s->options.params, row->layer);
}

static bool row_is_delta(const struct sw_stage *s, const struct sw_layer_row *row)
{
    return s->options.model->layer_kinds[row->layer] & SW_LAYER_DELTA;
}

/* What a layer keeps of its slots. */
static void *row_kept(const struct sw_layer_row *row)
{
    return row->delta.d_data ? (void *)row->delta.d_data : row->kv.d_data;
}

static enum sw_status make_kv(struct sw_stage *s, struct sw_layer_row *row)
{
    const uint64_t bytes = layer_kv_bytes(s, row);
    const struct sw_dims *d = &s->options.model->dims;
    const struct sw_head_dims heads = sw_model_heads(s->options.model, row->layer);
    const struct sw_footprint_params *p = &s->options.params;
    struct sw_backend *b = s->contexts[row->kv_at].backend;
    row->kv = (struct sw_kv){.format = p->kv,
                             .slots = p->slots,
                             .n_kv_heads = heads.n_kv,
                             .head_dim = heads.dim,
                             .context = p->context,
                             .value_dim = d->latent.kv};
    if (bytes == 0)
        return SW_OK;
    if (row_is_delta(s, row)) {
        row->delta = (struct sw_delta_states){.dims = d->delta, .slots = p->slots};
        return b->ops->alloc(b, bytes, "the states of sequences", (void **)&row->delta.d_data);
    }
    SW_TRY(b->ops->alloc(b, bytes, "the KV cache", &row->kv.d_data));
    if (bytes > kv_bytes(s, row)) {
        row->memory_kv = row->kv;
        row->memory_kv.d_data = (char *)row->kv.d_data + kv_bytes(s, row);
    }
    return SW_OK;
}

/* A layer with another way for prompts has its weights once, for the CPU, and lends them. */
static enum sw_status stage_load_layer(struct sw_stage *s, struct sw_loader *loader,
                                       struct sw_layer_row *row)
{
    struct sw_store *store = row->ways[SW_DECODE].store, *other = row->ways[SW_PROMPT].store;
    const struct sw_weights *weights;
    SW_TRY(make_kv(s, row));
    SW_TRY(store->ops->load(store, loader, row->layer));
    if (other == store)
        return SW_OK;
    SW_TRY(store->ops->acquire(store, row->layer, &weights));
    sw_store_streamed_share(other, row->layer, weights);
    row->kv_pinned = sw_pins_add(&s->pins, row_kept(row), layer_kv_bytes(s, row));
    return SW_OK;
}

static enum sw_status stage_fill(struct sw_stage *s, struct sw_loader *loader)
{
    const struct sw_stage_options *o = &s->options;
    SW_TRY(stage_make_table(s, loader));
    SW_TRY(make_buffers(s));
    for (int i = 0; i < SW_DEVICE_KINDS; i++) {
        const unsigned parts = (o->embed && (int)s->embed_at == i ? SW_PART_EMBED : 0u) |
                               (o->head && (int)s->head_at == i ? SW_PART_HEAD : 0u);
        loader->backend = s->contexts[i].backend;
        loader->layout = NULL;
        if (parts)
            SW_TRY(sw_weights_load(loader, SW_GLOBAL, parts, &s->globals[i]));
    }
    for (int i = 0; i < o->count; i++)
        SW_TRY(stage_load_layer(s, loader, &s->layers[i]));
    return sw_weights_read(loader);
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
    s->embed_at = options->tiers.embed_on_gpu ? SW_ON_GPU : SW_ON_CPU;
    s->head_at = options->tiers.head_on_gpu ? SW_ON_GPU : SW_ON_CPU;
    s->work = sw_work_of(options->model, &options->params);
    s->layers = calloc(n, sizeof *s->layers);
    loader->model = options->model;
    loader->params = options->params;
    if (!s->layers)
        status = sw_fail(SW_ENOMEM, "no memory for a stage of %d layers", options->count);
    else
        status = stage_fill(s, loader);
    sw_weights_forget(loader);
    if (status != SW_OK) {
        sw_stage_close(s);
        return status;
    }
    *out = s;
    return SW_OK;
}

static void free_kv(struct sw_stage *s, struct sw_layer_row *row)
{
    struct sw_backend *b = s->contexts[row->kv_at].backend;
    if (row->kv_pinned)
        sw_pins_remove(&s->pins, row_kept(row));
    if (b)
        b->ops->free(b, row_kept(row), layer_kv_bytes(s, row));
}

/* The streamed store may read from another, and that of a GPU's experts does: they are closed
 * first.
 */
static void close_stores(struct sw_stage *s)
{
    for (int i = SW_STORE_KINDS - 1; i >= 0; i--)
        if (s->stores[i])
            s->stores[i]->ops->close(s->stores[i]);
}

void sw_stage_close(struct sw_stage *s)
{
    if (!s)
        return;
    struct sw_backend *gpu = s->options.gpu;
    if (gpu)
        (void)gpu->ops->sync(gpu);
    close_stores(s);
    sw_kv_staging_close(&s->kv_staging);
    for (int i = 0; i < s->options.count && s->layers; i++)
        free_kv(s, &s->layers[i]);
    for (int i = 0; i < SW_DEVICE_KINDS; i++) {
        sw_weights_free(s->contexts[i].backend, &s->globals[i]);
        sw_device_context_close(&s->contexts[i]);
    }
    if (gpu)
        gpu->ops->free(gpu, s->d_logits, logits_bytes(s));
    free(s->rows);
    free(s->shares);
    free(s->scores);
    free(s->correction);
    free(s->groups);
    free(s->chosen);
    free(s->experts);
    free(s->foreseen);
    free(s->uses);
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
                     s->kv_staging.bytes + (s->d_logits ? logits_bytes(s) : 0);
    for (int i = 0; i < SW_STORE_KINDS; i++)
        bytes += s->stores[i] ? s->stores[i]->ops->bytes(s->stores[i]) : 0;
    for (int i = 0; i < s->options.count; i++)
        bytes += s->layers[i].kv_at == SW_ON_GPU ? layer_kv_bytes(s, &s->layers[i]) : 0;
    return bytes;
}
