/* Owns a stage's memory and what happens before the first and after the last of its blocks. */
#include "engine/stage.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>

/* Rope frequencies as the family scales them; (rotary_dim / 2). */
static double frequency(const struct sw_dims *d, int i)
{
    const double f = 1 / pow((double)d->rope_base, 2.0 * i / d->rotary_dim);
    if (d->rope_scaling == SW_ROPE_LINEAR)
        return f / (double)d->rope_factor;
    if (d->rope_scaling == SW_ROPE_LLAMA3) {
        const double pi = 3.14159265358979323846, wavelength = 2 * pi / f;
        const double low = d->rope_original / (double)d->rope_low;
        const double high = d->rope_original / (double)d->rope_high;
        if (wavelength < high)
            return f;
        if (wavelength > low)
            return f / (double)d->rope_factor;
        const double smooth = (d->rope_original / wavelength - (double)d->rope_low) /
                              ((double)d->rope_high - (double)d->rope_low);
        return (1 - smooth) * f / (double)d->rope_factor + smooth * f;
    }
    return f;
}

static enum sw_status make_rope(struct sw_stage_run *s, float *d_table)
{
    const struct sw_dims *d = &s->options.model->dims;
    const int half = d->rotary_dim / 2, context = s->options.params.context;
    s->rope = (struct sw_rope){.rotary_dim = d->rotary_dim,
                               .interleaved = s->options.model->arch->rope_interleaved,
                               .d_cos_sin = d_table};
    float *row = malloc((size_t)d->rotary_dim * sizeof *row);
    float *frequencies = malloc((size_t)half * sizeof *frequencies);
    enum sw_status status = SW_OK;
    if (!row || !frequencies)
        status = sw_fail(SW_ENOMEM, "no memory for the rope table");
    for (int i = 0; i < half && status == SW_OK; i++)
        frequencies[i] = (float)frequency(d, i);
    for (int p = 0; p < context && status == SW_OK; p++) {
        for (int i = 0; i < half; i++) {
            /* The angle is rounded to f32 as transformers does; its cos and sin are exact. */
            const double angle = (double)((float)p * frequencies[i]);
            row[i] = (float)cos(angle);
            row[half + i] = (float)sin(angle);
        }
        status = s->options.backend->ops->upload(s->options.backend,
                                                 d_table + (int64_t)p * d->rotary_dim, row,
                                                 (size_t)d->rotary_dim * sizeof *row);
    }
    free(row);
    free(frequencies);
    return status;
}

/* Press, Smith, Lewis (ALiBi): powers of 2^(-8/P) for the largest power of two P <= heads, then
 * every other power of 2^(-4/P). */
static enum sw_status make_slopes(struct sw_stage_run *s, float *d_slopes)
{
    const int n = s->options.model->dims.n_heads;
    float *slopes = malloc((size_t)n * sizeof *slopes);
    if (!slopes)
        return sw_fail(SW_ENOMEM, "no memory for ALiBi slopes");
    int p = 1;
    while (2 * p <= n)
        p *= 2;
    for (int h = 0; h < n; h++)
        slopes[h] =
            (float)(h < p ? pow(2, -8.0 / p * (h + 1)) : pow(2, -4.0 / p * (2 * (h - p) + 1)));
    const enum sw_status status = s->options.backend->ops->upload(
        s->options.backend, d_slopes, slopes, (size_t)n * sizeof *slopes);
    free(slopes);
    s->d_slopes = d_slopes;
    return status;
}

static float *carve(char **at, uint64_t floats)
{
    float *d_start = (float *)(void *)*at;
    *at += sw_round_up(floats * sizeof(float), SW_ALIGN);
    return d_start;
}

static enum sw_status make_buffers(struct sw_stage_run *s)
{
    const struct sw_model *model = s->options.model;
    const uint64_t rows = (uint64_t)s->work.rows;
    const struct sw_work *w = &s->work;
    struct sw_backend *b = s->options.backend;
    SW_TRY(b->ops->alloc(b, w->bytes, "activations", &s->d_work));
    char *at = s->d_work;
    s->d_x = carve(&at, rows * (uint64_t)w->hidden);
    s->d_h = carve(&at, rows * (uint64_t)w->hidden);
    s->d_h2 = carve(&at, rows * (uint64_t)w->hidden);
    s->d_qkv = carve(&at, rows * (uint64_t)w->qkv);
    s->d_attention = carve(&at, rows * (uint64_t)w->attention);
    s->d_up = carve(&at, rows * (uint64_t)w->up);
    s->d_router = carve(&at, rows * (uint64_t)w->router);
    s->d_expert_in = carve(&at, rows * (uint64_t)w->expert);
    s->d_expert_out = carve(&at, rows * (uint64_t)w->expert);
    if (w->rope > 0)
        SW_TRY(make_rope(s, carve(&at, (uint64_t)w->rope)));
    if (w->slopes > 0)
        SW_TRY(make_slopes(s, carve(&at, (uint64_t)w->slopes)));
    if (s->options.head)
        SW_TRY(b->ops->alloc(b, (size_t)SW_LOGIT_ROWS * (size_t)model->dims.vocab * sizeof(float),
                             "logits", (void **)&s->d_logits));
    const size_t experts = (size_t)model->dims.n_experts, used = (size_t)model->dims.n_experts_used;
    s->rows = malloc(rows * sizeof *s->rows);
    s->shares = malloc(rows * (used + 1) * sizeof *s->shares);
    s->scores = malloc(rows * (experts + 1) * sizeof *s->scores);
    s->chosen = malloc(rows * (used + 1) * sizeof *s->chosen);
    if (!s->rows || !s->shares || !s->scores || !s->chosen)
        return sw_fail(SW_ENOMEM, "no memory for row lists");
    return SW_OK;
}

static enum sw_status make_kv(struct sw_stage_run *s, int index)
{
    const struct sw_dims *d = &s->options.model->dims;
    const struct sw_footprint_params *p = &s->options.params;
    struct sw_kv *kv = &s->kv[index];
    *kv = (struct sw_kv){.format = p->kv,
                         .slots = p->slots,
                         .n_kv_heads = d->n_kv_heads,
                         .head_dim = d->head_dim,
                         .context = p->context};
    return s->options.backend->ops->alloc(
        s->options.backend, sw_kv_bytes(p->kv, p->slots, d->n_kv_heads, d->head_dim, p->context),
        "the KV cache", &kv->d_data);
}

static enum sw_status fill(struct sw_stage_run *s, struct sw_loader *loader)
{
    const unsigned parts =
        (s->options.embed ? SW_PART_EMBED : 0u) | (s->options.head ? SW_PART_HEAD : 0u);
    SW_TRY(make_buffers(s));
    if (parts)
        SW_TRY(sw_weights_load(loader, SW_GLOBAL, parts, &s->globals));
    for (int i = 0; i < s->options.count; i++) {
        SW_TRY(make_kv(s, i));
        SW_TRY(sw_weights_load(loader, s->options.first + i, 0, &s->layers[i]));
    }
    return SW_OK;
}

enum sw_status sw_stage_open(const struct sw_stage_options *options, struct sw_loader *loader,
                             struct sw_stage_run **out)
{
    struct sw_stage_run *s = calloc(1, sizeof *s);
    const size_t n = options->count > 0 ? (size_t)options->count : 1;
    enum sw_status status;
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a stage");
    s->options = *options;
    s->work = sw_work_of(options->model, &options->params);
    s->qkv = sw_model_qkv_layout(options->model);
    s->layers = calloc(n, sizeof *s->layers);
    s->kv = calloc(n, sizeof *s->kv);
    loader->model = options->model;
    loader->backend = options->backend;
    loader->format = options->params.weights;
    loader->dense = options->params.dense;
    if (!s->layers || !s->kv)
        status = sw_fail(SW_ENOMEM, "no memory for a stage of %d layers", options->count);
    else
        status = fill(s, loader);
    if (status != SW_OK) {
        sw_stage_close(s);
        return status;
    }
    *out = s;
    return SW_OK;
}

void sw_stage_close(struct sw_stage_run *s)
{
    if (!s)
        return;
    struct sw_backend *b = s->options.backend;
    const struct sw_dims *d = &s->options.model->dims;
    const struct sw_footprint_params *p = &s->options.params;
    for (int i = 0; i < s->options.count && s->layers && s->kv; i++) {
        sw_weights_free(b, &s->layers[i]);
        b->ops->free(b, s->kv[i].d_data,
                     sw_kv_bytes(p->kv, p->slots, d->n_kv_heads, d->head_dim, p->context));
    }
    sw_weights_free(b, &s->globals);
    b->ops->free(b, s->d_work, s->work.bytes);
    b->ops->free(b, s->d_logits, (size_t)SW_LOGIT_ROWS * (size_t)d->vocab * sizeof(float));
    free(s->rows);
    free(s->shares);
    free(s->scores);
    free(s->chosen);
    free(s->layers);
    free(s->kv);
    free(s);
}

/* ids → d_x: token and position embeddings, input projection, embedding norm. */
static void embed(struct sw_stage_run *s, const struct sw_batch *batch)
{
    const struct sw_model *model = s->options.model;
    const struct sw_weights *w = &s->globals;
    struct sw_backend *b = s->options.backend;
    const int64_t ld = s->work.hidden, n = batch->n_rows, hidden = model->dims.hidden;
    const bool projected = w->matrix[SW_W_PROJECT_IN].d_data != NULL;
    float *d_first = projected ? s->d_h : s->d_x;
    b->ops->embed(b, &w->matrix[SW_W_EMBED], batch->ids, n, d_first, ld);
    if (projected)
        b->ops->matmul(b, &w->matrix[SW_W_PROJECT_IN], NULL, s->d_h, ld, n, s->d_x, ld, false);
    if (w->matrix[SW_W_POSITIONS].d_data) {
        for (int i = 0; i < batch->n_spans; i++)
            for (int64_t r = 0; r < batch->spans[i].n; r++)
                s->rows[batch->spans[i].row + r] =
                    (int32_t)(batch->spans[i].position + r + model->arch->position_offset);
        b->ops->embed(b, &w->matrix[SW_W_POSITIONS], s->rows, n, s->d_h, ld);
        b->ops->add(b, s->d_h, ld, n, hidden, s->d_x, ld);
    }
    if (w->d_vector[SW_W_EMBED_NORM])
        b->ops->norm(b, model->arch->norm, model->dims.norm_eps, s->d_x, ld, n, hidden,
                     w->d_vector[SW_W_EMBED_NORM], w->d_vector[SW_W_EMBED_NORM_BIAS], s->d_x, ld);
}

static enum sw_status tap(struct sw_stage_run *s, int layer, int n_rows)
{
    const int64_t hidden = s->options.model->dims.hidden;
    struct sw_backend *b = s->options.backend;
    if (!s->tap)
        return SW_OK;
    float *values = malloc((size_t)n_rows * (size_t)hidden * sizeof *values);
    if (!values)
        return sw_fail(SW_ENOMEM, "no memory for %d hidden states", n_rows);
    enum sw_status status = SW_OK;
    for (int r = 0; r < n_rows && status == SW_OK; r++)
        status = b->ops->download(b, values + r * hidden, s->d_x + r * s->work.hidden,
                                  (size_t)hidden * sizeof *values);
    if (status == SW_OK)
        status = s->tap(s->tap_context, layer, values, n_rows);
    free(values);
    return status;
}

/* Rows of `hidden` floats between host memory (dense) and d_x. */
static enum sw_status move(struct sw_stage_run *s, const float *in, float *out, int n_rows)
{
    struct sw_backend *b = s->options.backend;
    const int64_t hidden = s->options.model->dims.hidden, ld = s->work.hidden;
    const size_t bytes = (size_t)hidden * sizeof(float);
    for (int r = 0; r < n_rows; r++)
        if (in)
            SW_TRY(b->ops->upload(b, s->d_x + r * ld, in + r * hidden, bytes));
        else
            SW_TRY(b->ops->download(b, out + r * hidden, s->d_x + r * ld, bytes));
    return SW_OK;
}

enum sw_status sw_stage_forward(struct sw_stage_run *s, const struct sw_batch *batch,
                                const float *in, float *out)
{
    if (in) {
        SW_TRY(move(s, in, NULL, batch->n_rows));
    } else {
        embed(s, batch);
        SW_TRY(tap(s, -1, batch->n_rows));
    }
    for (int i = 0; i < s->options.count; i++) {
        SW_TRY(sw_block_run(s, i, batch));
        SW_TRY(tap(s, s->options.first + i, batch->n_rows));
        if (s->breathe)
            SW_TRY(s->breathe(s->tap_context));
    }
    if (out)
        SW_TRY(move(s, NULL, out, batch->n_rows));
    return s->options.backend->ops->sync(s->options.backend);
}

void sw_stage_copy(struct sw_stage_run *s, int from, int to, int n)
{
    for (int i = 0; i < s->options.count; i++)
        s->options.backend->ops->kv_copy(s->options.backend, &s->kv[i], from, to, n);
}

enum sw_status sw_stage_logits(struct sw_stage_run *s, const int32_t *rows, int n, float *logits)
{
    const struct sw_model *model = s->options.model;
    const struct sw_weights *w = &s->globals;
    struct sw_backend *b = s->options.backend;
    const int64_t ld = s->work.hidden, vocab = model->dims.vocab;
    b->ops->gather(b, s->d_x, ld, rows, n, model->dims.hidden, s->d_h, ld);
    if (w->d_vector[SW_W_FINAL_NORM])
        b->ops->norm(b, model->arch->norm, model->dims.norm_eps, s->d_h, ld, n, model->dims.hidden,
                     w->d_vector[SW_W_FINAL_NORM], w->d_vector[SW_W_FINAL_NORM_BIAS], s->d_h, ld);
    const float *d_h = s->d_h;
    if (w->matrix[SW_W_PROJECT_OUT].d_data) {
        b->ops->matmul(b, &w->matrix[SW_W_PROJECT_OUT], NULL, s->d_h, ld, n, s->d_h2, ld, false);
        d_h = s->d_h2;
    }
    b->ops->matmul(b, &w->matrix[SW_W_HEAD], w->d_vector[SW_W_HEAD_BIAS], d_h, ld, n, s->d_logits,
                   vocab, false);
    SW_TRY(b->ops->download(b, logits, s->d_logits, (size_t)(n * vocab) * sizeof *logits));
    return b->ops->sync(b);
}
