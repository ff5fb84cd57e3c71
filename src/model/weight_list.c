/*
 * Owns the list of a model's weights: their shapes, the tensors they are stacked from, and the
 * look-up of those tensors in a directory.
 */
#include "model/foreign_layout.h"
#include "model/model.h"
#include "tensor/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const weight_names[SW_W_COUNT] = {
    [SW_W_EMBED] = "embedding",
    [SW_W_POSITIONS] = "position embedding",
    [SW_W_EMBED_NORM] = "embedding norm",
    [SW_W_EMBED_NORM_BIAS] = "embedding norm bias",
    [SW_W_PROJECT_IN] = "input projection",
    [SW_W_FINAL_NORM] = "final norm",
    [SW_W_FINAL_NORM_BIAS] = "final norm bias",
    [SW_W_PROJECT_OUT] = "output projection",
    [SW_W_HEAD] = "head",
    [SW_W_HEAD_BIAS] = "head bias",
    [SW_W_ATTN_NORM] = "attention norm",
    [SW_W_ATTN_NORM_BIAS] = "attention norm bias",
    [SW_W_QKV] = "attention qkv",
    [SW_W_QKV_BIAS] = "attention qkv bias",
    [SW_W_Q_NORM] = "query norm",
    [SW_W_K_NORM] = "key norm",
    [SW_W_OUT] = "attention output",
    [SW_W_OUT_BIAS] = "attention output bias",
    [SW_W_MLP_NORM] = "mlp norm",
    [SW_W_MLP_NORM_BIAS] = "mlp norm bias",
    [SW_W_ROUTER] = "expert router",
    [SW_W_UP] = "mlp up",
    [SW_W_UP_BIAS] = "mlp up bias",
    [SW_W_DOWN] = "mlp down",
    [SW_W_DOWN_BIAS] = "mlp down bias",
};

const char *sw_weight_name(enum sw_weight id)
{
    return id >= 0 && id < SW_W_COUNT ? weight_names[id] : "?";
}

enum sw_dtype sw_weight_format(enum sw_weight id, enum sw_dtype weights, enum sw_dtype unquantized)
{
    const bool linear = id == SW_W_QKV || id == SW_W_OUT || id == SW_W_UP || id == SW_W_DOWN;
    return linear || !sw_format_is_quantized(weights) ? weights : unquantized;
}

/* The list under construction. */
struct list {
    const struct sw_model *model;
    struct sw_weight_spec *specs;
    size_t count, capacity;
    int layer;
    bool failed;
};

static struct sw_weight_spec *append(struct list *l, enum sw_weight id, int expert, int64_t rows,
                                     int64_t cols)
{
    if (l->count == l->capacity) {
        const size_t capacity = l->capacity ? 2 * l->capacity : 32;
        struct sw_weight_spec *specs = realloc(l->specs, capacity * sizeof *specs);
        if (!specs) {
            l->failed = true;
            return NULL;
        }
        l->specs = specs;
        l->capacity = capacity;
    }
    struct sw_weight_spec *spec = &l->specs[l->count++];
    memset(spec, 0, sizeof *spec);
    spec->id = id;
    spec->expert = expert;
    spec->rows = rows;
    spec->cols = cols;
    spec->is_matrix = cols > 0;
    if (cols == 0)
        spec->cols = 1;
    return spec;
}

/* Adds the tensor `pattern` + `suffix`, '#' and '@' filled in, as the next rows of the spec. */
static void source(struct list *l, struct sw_weight_spec *spec, const char *pattern,
                   const char *suffix, int64_t rows)
{
    if (!spec)
        return;
    struct sw_weight_source *s = &spec->sources[spec->n_sources++];
    size_t used = 0;
    for (const char *c = pattern; *c && used + 16 < sizeof s->name; c++) {
        if (*c == '#')
            used += (size_t)snprintf(s->name + used, 12, "%d", l->layer);
        else if (*c == '@')
            used += (size_t)snprintf(s->name + used, 12, "%d", spec->expert);
        else
            s->name[used++] = *c;
    }
    snprintf(s->name + used, sizeof s->name - used, "%s", suffix);
    s->rows = rows;
    s->transposed = l->model->arch->conv1d && spec->is_matrix;
}

static void vector(struct list *l, enum sw_weight id, const char *pattern, const char *suffix,
                   int64_t rows)
{
    if (pattern)
        source(l, append(l, id, -1, rows, 0), pattern, suffix, rows);
}

/* A norm's weight and, for LayerNorm, its bias. Their ids are neighbours. */
static void list_norm(struct list *l, enum sw_weight id, const char *pattern)
{
    vector(l, id, pattern, ".weight", l->model->dims.hidden);
    if (l->model->arch->norm == SW_NORM_LAYER)
        vector(l, id + 1, pattern, ".bias", l->model->dims.hidden);
}

static void globals(struct list *l)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_names *n = &l->model->arch->names;
    struct sw_weight_spec *spec = append(l, SW_W_EMBED, -1, d->vocab, d->embed_dim);
    source(l, spec, d->tied_head ? n->head : n->embed, ".weight", d->vocab);
    if (spec)
        spec->sources[0].transposed = false;
    if (n->positions) {
        const int64_t rows = (int64_t)d->context + l->model->arch->position_offset;
        spec = append(l, SW_W_POSITIONS, -1, rows, d->hidden);
        source(l, spec, n->positions, ".weight", rows);
        if (spec)
            spec->sources[0].transposed = false;
    }
    if (n->embed_norm)
        list_norm(l, SW_W_EMBED_NORM, n->embed_norm);
    const bool projected = n->project_in && d->embed_dim != d->hidden;
    if (projected)
        source(l, append(l, SW_W_PROJECT_IN, -1, d->hidden, d->embed_dim), n->project_in, ".weight",
               d->hidden);
    if (d->final_norm)
        list_norm(l, SW_W_FINAL_NORM, n->final_norm);
    if (projected)
        source(l, append(l, SW_W_PROJECT_OUT, -1, d->embed_dim, d->hidden), n->project_out,
               ".weight", d->embed_dim);
    spec = append(l, SW_W_HEAD, -1, d->vocab, d->embed_dim);
    source(l, spec, d->tied && !d->tied_head ? n->embed : n->head, ".weight", d->vocab);
    if (spec)
        spec->sources[0].transposed = false;
    if (d->head_bias)
        vector(l, SW_W_HEAD_BIAS, n->head, ".bias", d->vocab);
}

static void list_attention(struct list *l)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_names *n = &l->model->arch->names;
    const int64_t q_rows = (int64_t)d->n_heads * d->head_dim;
    const int64_t kv_rows = (int64_t)d->n_kv_heads * d->head_dim, all = q_rows + 2 * kv_rows;
    for (int bias = 0; bias < (d->qkv_bias ? 2 : 1); bias++) {
        const char *suffix = bias ? ".bias" : ".weight";
        struct sw_weight_spec *spec =
            append(l, bias ? SW_W_QKV_BIAS : SW_W_QKV, -1, all, bias ? 0 : d->hidden);
        if (l->model->arch->qkv != SW_QKV_SPLIT) {
            source(l, spec, n->qkv, suffix, all);
            continue;
        }
        source(l, spec, n->q, suffix, q_rows);
        source(l, spec, n->k, suffix, kv_rows);
        source(l, spec, n->v, suffix, kv_rows);
    }
    vector(l, SW_W_Q_NORM, n->q_norm, ".weight", d->head_dim);
    vector(l, SW_W_K_NORM, n->k_norm, ".weight", d->head_dim);
    source(l, append(l, SW_W_OUT, -1, d->hidden, q_rows), n->out, ".weight", d->hidden);
    if (d->out_bias)
        vector(l, SW_W_OUT_BIAS, n->out, ".bias", d->hidden);
}

/* Up (with gate before it) and down of one MLP or of one expert. */
static void list_mlp(struct list *l, int expert, int64_t inner, const char *gate, const char *up,
                     const char *down)
{
    const struct sw_dims *d = &l->model->dims;
    const bool gated = l->model->arch->gated;
    for (int bias = 0; bias < (d->mlp_bias ? 2 : 1); bias++) {
        const char *suffix = bias ? ".bias" : ".weight";
        struct sw_weight_spec *spec = append(l, bias ? SW_W_UP_BIAS : SW_W_UP, expert,
                                             gated ? 2 * inner : inner, bias ? 0 : d->hidden);
        if (gated)
            source(l, spec, gate, suffix, inner);
        source(l, spec, up, suffix, inner);
        spec = append(l, bias ? SW_W_DOWN_BIAS : SW_W_DOWN, expert, d->hidden, bias ? 0 : inner);
        source(l, spec, down, suffix, d->hidden);
    }
}

static void layer(struct list *l)
{
    const struct sw_dims *d = &l->model->dims;
    const struct sw_names *n = &l->model->arch->names;
    list_norm(l, SW_W_ATTN_NORM, n->attn_norm);
    list_attention(l);
    if (n->mlp_norm)
        list_norm(l, SW_W_MLP_NORM, n->mlp_norm);
    if (!(l->model->layer_kinds[l->layer] & SW_LAYER_ROUTED)) {
        list_mlp(l, -1, d->ffn, n->gate, n->up, n->down);
        return;
    }
    source(l, append(l, SW_W_ROUTER, -1, d->n_experts, d->hidden), n->router, ".weight",
           d->n_experts);
    for (int e = 0; e < d->n_experts; e++)
        list_mlp(l, e, d->expert_ffn, n->expert_gate, n->expert_up, n->expert_down);
}

enum sw_status sw_model_weights(const struct sw_model *model, int index,
                                struct sw_weight_spec **specs, size_t *count)
{
    struct list l = {.model = model, .layer = index};
    if (index == SW_GLOBAL)
        globals(&l);
    else
        layer(&l);
    if (l.failed) {
        free(l.specs);
        return sw_fail(SW_ENOMEM, "no memory for the list of weights");
    }
    *specs = l.specs;
    *count = l.count;
    return SW_OK;
}

/* By the name, else with the prefix taken off or put before it. */
static const struct sw_tensor *find_plain(const struct sw_tensors *tensors, const char *prefix,
                                          const char *wrapper, const char *name)
{
    char longer[SW_TENSOR_NAME_MAX + 64];
    const size_t n = strlen(prefix);
    snprintf(longer, sizeof longer, "%s%s", wrapper, name);
    const struct sw_tensor *tensor = sw_tensors_find(tensors, longer);
    if (!tensor && strncmp(name, prefix, n) == 0) {
        snprintf(longer, sizeof longer, "%s%s", wrapper, name + n);
        tensor = sw_tensors_find(tensors, longer);
    }
    if (!tensor) {
        snprintf(longer, sizeof longer, "%s%s%s", wrapper, prefix, name);
        tensor = sw_tensors_find(tensors, longer);
    }
    return tensor;
}

/* The same under what torch.compile and data-parallel training put before every name. */
static const struct sw_tensor *list_find(const struct sw_tensors *tensors, const char *prefix,
                                         const char *name)
{
    static const char *const wrappers[] = {"", "_orig_mod.", "module.", "module._orig_mod.",
                                           "_orig_mod.module."};
    const struct sw_tensor *tensor = NULL;
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0] && !tensor; i++)
        tensor = find_plain(tensors, prefix, wrappers[i], name);
    return tensor;
}

static const struct sw_tensor *find_head(const struct sw_names *names,
                                         const struct sw_tensors *tensors)
{
    char name[SW_TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s.weight", names->head);
    const struct sw_tensor *tensor = list_find(tensors, names->prefix, name);
    if (tensor || !names->head_alias)
        return tensor;
    snprintf(name, sizeof name, "%s.weight", names->head_alias);
    return list_find(tensors, names->prefix, name);
}

const struct sw_tensor *sw_model_tensor(const struct sw_model *model,
                                        const struct sw_tensors *tensors, enum sw_weight id)
{
    char name[SW_TENSOR_NAME_MAX];
    if (id == SW_W_HEAD)
        return find_head(&model->arch->names, tensors);
    snprintf(name, sizeof name, "%s.weight", model->arch->names.embed);
    return id == SW_W_EMBED ? list_find(tensors, model->arch->names.prefix, name) : NULL;
}

enum sw_status sw_model_find(const struct sw_model *model, const struct sw_tensors *tensors,
                             const struct sw_weight_spec *spec, int source_index,
                             const struct sw_tensor **out)
{
    const struct sw_weight_source *s = &spec->sources[source_index];
    const struct sw_names *names = &model->arch->names;
    const bool of_head = spec->id == SW_W_HEAD ? !model->dims.tied || model->dims.tied_head
                                               : spec->id == SW_W_EMBED && model->dims.tied_head;
    const struct sw_tensor *tensor =
        of_head ? find_head(names, tensors) : list_find(tensors, names->prefix, s->name);
    char actual[160], expected[64];
    if (spec->is_matrix)
        snprintf(expected, sizeof expected, "[%lld, %lld]",
                 (long long)(s->transposed ? spec->cols : s->rows),
                 (long long)(s->transposed ? s->rows : spec->cols));
    else
        snprintf(expected, sizeof expected, "[%lld]", (long long)s->rows);
    if (!tensor) {
        char what[SW_TENSOR_NAME_MAX + 128];
        snprintf(what, sizeof what, "tensor '%s' %s (%s)", s->name, expected,
                 sw_weight_name(spec->id));
        return sw_layout_fail(tensors, s->name, what);
    }
    const int64_t rows = s->transposed ? spec->cols : s->rows;
    const int64_t cols = s->transposed ? s->rows : spec->cols;
    const bool shape_fits =
        spec->is_matrix ? tensor->rank == 2 && tensor->shape[0] == rows && tensor->shape[1] == cols
                        : tensor->rank == 1 && tensor->shape[0] == s->rows;
    sw_tensor_describe(tensor, actual, sizeof actual);
    if (!shape_fits)
        return sw_fail(SW_EMODEL, "%s: tensor '%s' is %s, but config.json asks for %s",
                       tensors->files[tensor->file].path, tensor->name, actual, expected);
    if (!sw_dtype_info(tensor->dtype)->is_float)
        return sw_fail(SW_EMODEL, "%s: tensor '%s' is %s; weights of this type are not read",
                       tensors->files[tensor->file].path, tensor->name, actual);
    *out = tensor;
    return SW_OK;
}

enum sw_status sw_model_check(const struct sw_model *model, const struct sw_tensors *tensors)
{
    for (int i = SW_GLOBAL; i < model->dims.n_layers; i++) {
        struct sw_weight_spec *specs;
        size_t count;
        enum sw_status status = sw_model_weights(model, i, &specs, &count);
        if (status != SW_OK)
            return status;
        for (size_t w = 0; w < count && status == SW_OK; w++)
            for (int s = 0; s < specs[w].n_sources && status == SW_OK; s++) {
                const struct sw_tensor *tensor;
                status = sw_model_find(model, tensors, &specs[w], s, &tensor);
            }
        free(specs);
        SW_TRY(status);
    }
    return SW_OK;
}

uint64_t sw_model_parameters(const struct sw_model *model)
{
    uint64_t n = 0;
    for (int i = SW_GLOBAL; i < model->dims.n_layers; i++) {
        struct sw_weight_spec *specs;
        size_t count;
        if (sw_model_weights(model, i, &specs, &count) != SW_OK)
            return 0;
        for (size_t w = 0; w < count; w++)
            if (!(specs[w].id == SW_W_HEAD && model->dims.tied))
                n += (uint64_t)specs[w].rows * (uint64_t)specs[w].cols;
        free(specs);
    }
    return n;
}

struct sw_qkv_layout sw_model_qkv_layout(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    const int64_t dim = d->head_dim, q = (int64_t)d->n_heads * dim;
    const int64_t kv = (int64_t)d->n_kv_heads * dim;
    if (model->arch->qkv == SW_QKV_PER_HEAD)
        return (struct sw_qkv_layout){0, dim, 2 * dim, 3 * dim, 3 * dim, q + 2 * kv};
    return (struct sw_qkv_layout){0, q, q + kv, dim, dim, q + 2 * kv};
}
