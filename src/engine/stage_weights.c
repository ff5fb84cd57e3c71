/* Owns getting weights onto a device: one block of memory a layer, in which each weight has its
 * place and is filled (weights_fill.c). */
#include "engine/weights_fill.h"

#include "checkpoint/adapter_bitsandbytes.h"
#include "checkpoint/adapter_groups.h"
#include "checkpoint/reader.h"
#include "model/weight_format.h"

#include <stdlib.h>
#include <string.h>

static bool wanted(const struct sw_loader *l, const struct sw_weight_spec *spec, unsigned parts)
{
    if ((l->only == SW_ONLY_DENSE && spec->expert >= 0) ||
        (l->only == SW_ONLY_EXPERTS && spec->expert < 0) ||
        (l->only > 0 && spec->expert != l->only - 1))
        return false;
    return spec->part == SW_PART_LAYER || (parts & spec->part);
}

static bool shared(const struct sw_loader *l, const struct sw_weight_spec *spec, unsigned parts)
{
    return spec->id == SW_W_HEAD && l->model->dims.tied && (parts & SW_PART_EMBED);
}

static uint64_t bytes_of(const struct sw_loader *l, const struct sw_weight_spec *spec)
{
    return sw_weight_bytes(spec, &l->params);
}

static struct sw_matrix *weights_matrix(struct sw_weights *w, const struct sw_weight_spec *spec,
                                        int piece)
{
    if (piece > 0)
        return &w->qkv_rest[piece - 1];
    if (spec->expert >= 0)
        return spec->id == SW_W_UP ? &w->expert_up[spec->expert] : &w->expert_down[spec->expert];
    return &w->matrix[spec->id];
}

/* The tensor that a piece is kept as the twin of. */
static enum sw_status weights_twin(const struct sw_loader *l, const struct sw_weight_spec *spec,
                                   const struct sw_weight_piece *piece,
                                   const struct sw_tensor **out)
{
    SW_TRY(sw_model_find(l->model, l->tensors, spec, piece->first, out));
    *out = sw_model_twin(l->tensors, *out);
    return SW_OK;
}

/* Puts the file's table behind a piece's matrix, in place of the format's own. */
static enum sw_status weights_table(struct sw_loader *l, const struct sw_weight_spec *spec,
                                    const struct sw_weight_piece *piece,
                                    const struct sw_matrix *matrix)
{
    const struct sw_tensor *tensor;
    float table[SW_TABLE_LEN];
    SW_TRY(weights_twin(l, spec, piece, &tensor));
    SW_TRY(sw_nested_map(l->tensors, tensor, table));
    return l->backend->ops->upload(
        l->backend, sw_matrix_table(matrix->format, matrix->d_data, matrix->rows, matrix->cols),
        table, sizeof table);
}

/* Puts the order of a piece's columns behind its matrix. */
static enum sw_status weights_order(struct sw_loader *l, const struct sw_weight_spec *spec,
                                    const struct sw_weight_piece *piece, void *d_at,
                                    struct sw_matrix *matrix)
{
    const size_t bytes = (size_t)spec->cols * sizeof(int32_t);
    const struct sw_tensor *tensor;
    SW_TRY(weights_twin(l, spec, piece, &tensor));
    int32_t *order = malloc(bytes);
    if (!order)
        return sw_fail(SW_ENOMEM, "no memory for the order of %lld columns", (long long)spec->cols);
    enum sw_status status = sw_groups_order(l->tensors, tensor, order);
    if (status == SW_OK)
        status = l->backend->ops->upload(l->backend, d_at, order, bytes);
    free(order);
    matrix->d_order = d_at;
    return status;
}

static enum sw_status weights_place(struct sw_loader *l, const struct sw_weight_spec *spec,
                                    char *d_at, struct sw_weights *w)
{
    if (!spec->is_matrix) {
        const struct sw_weight_piece all = {.n_sources = spec->n_sources};
        if (spec->expert >= 0)
            return sw_fail(SW_EMODEL, "experts with such biases are not supported");
        if (spec->index <= 0) /* biases of the other experts follow the first one's */
            w->d_vector[spec->id] = (float *)(void *)d_at;
        return sw_weights_fill(l, spec, &all, NULL, (float *)(void *)d_at);
    }
    struct sw_weight_piece pieces[SW_MAX_SOURCES];
    const int n = sw_weight_pieces(spec, &l->params, pieces);
    for (int i = 0; i < n; i++) {
        const struct sw_weight_piece *p = &pieces[i];
        struct sw_matrix behind; /* other heads' follow the first one's */
        struct sw_matrix *matrix = spec->index > 0 ? &behind : weights_matrix(w, spec, i);
        *matrix = (struct sw_matrix){
            .format = p->format, .rows = p->rows, .cols = spec->cols, .d_data = d_at};
        d_at += sw_matrix_bytes(p->format, p->rows, spec->cols);
        const uint64_t order = sw_weight_order_bytes(p, spec->cols);
        if (order && l->tensors)
            SW_TRY(weights_order(l, spec, p, d_at, matrix));
        SW_TRY(sw_weights_fill(l, spec, p, matrix, NULL));
        if (p->behind && l->tensors && sw_format_of(p->format)->table)
            SW_TRY(weights_table(l, spec, p, matrix));
        d_at += order;
    }
    return SW_OK;
}

/* Whether a source is kept as its twin. */
static bool weights_as_twin(const struct sw_loader *l, const struct sw_weight_spec *spec,
                            int source)
{
    struct sw_weight_piece pieces[SW_MAX_SOURCES];
    const int n = spec->is_matrix ? sw_weight_pieces(spec, &l->params, pieces) : 0;
    for (int i = 0; i < n; i++)
        if (source >= pieces[i].first && source < pieces[i].first + pieces[i].n_sources)
            return pieces[i].behind != 0;
    return false;
}

/* The tensors of `specs` that one thread reads, in the order in which it will: (*n), caller frees.
 * None when weights are made up, or when one is missing, which is reported when it is loaded. */
static const struct sw_tensor **sources_of(const struct sw_loader *l,
                                           const struct sw_weight_spec *specs, size_t count,
                                           unsigned parts, size_t *n)
{
    size_t most = 0;
    *n = 0;
    for (size_t i = 0; i < count; i++)
        most += (size_t)specs[i].n_sources;
    const struct sw_tensor **list = l->tensors ? malloc(most * sizeof *list) : NULL;
    for (size_t i = 0; list && i < count; i++) {
        if (!wanted(l, &specs[i], parts) || shared(l, &specs[i], parts))
            continue;
        for (int k = 0; k < specs[i].n_sources; k++)
            if (!specs[i].sources[k].of && /* else it is not read whole */
                sw_model_find(l->model, l->tensors, &specs[i], k, &list[*n]) == SW_OK &&
                !sw_weights_can_wait(l, &specs[i], k, list[*n])) {
                if (weights_as_twin(l, &specs[i], k))
                    list[*n] = sw_model_twin(l->tensors, list[*n]);
                ++*n;
            }
    }
    return list;
}

struct clearing {
    char *block;
    uint64_t bytes;
};

static void clear_share(void *ctx, int64_t chunk, int worker)
{
    const struct clearing *c = ctx;
    const uint64_t from = (uint64_t)chunk * SW_LOAD_CHUNK, left = c->bytes - from;
    (void)worker;
    memset(c->block + from, 0, left < SW_LOAD_CHUNK ? left : SW_LOAD_CHUNK);
}

/* By all threads, because it is the first touch of pages that may be most of the host's memory, and
 * pinning touches them by one. */
static void weights_touch(struct sw_loader *l, const struct sw_weights *w)
{
    struct clearing c = {w->d_block, w->bytes};
    sw_pool_run(l->pool, clear_share, &c,
                (int64_t)((w->bytes + SW_LOAD_CHUNK - 1) / SW_LOAD_CHUNK));
}

static enum sw_status load_specs(struct sw_loader *l, const struct sw_weight_spec *specs,
                                 size_t count, int layer, unsigned parts, struct sw_weights *w)
{
    for (size_t i = 0; i < count; i++)
        if (wanted(l, &specs[i], parts) && !shared(l, &specs[i], parts))
            w->bytes += bytes_of(l, &specs[i]);
    if (w->bytes == 0)
        return SW_OK;
    if (!w->d_block) {
        SW_TRY(l->backend->ops->alloc(l->backend, w->bytes, "weights", &w->d_block));
        if (l->layout)
            weights_touch(l, w);
    }
    if (layer != SW_GLOBAL && (l->model->layer_kinds[layer] & SW_LAYER_ROUTED)) {
        const size_t n = (size_t)l->model->dims.n_experts;
        w->expert_up = calloc(n, sizeof *w->expert_up);
        w->expert_down = calloc(n, sizeof *w->expert_down);
        if (!w->expert_up || !w->expert_down)
            return sw_fail(SW_ENOMEM, "no memory for %zu experts", n);
        w->n_experts = (int)n;
    }
    char *d_at = w->d_block;
    for (size_t i = 0; i < count; i++) {
        if (!wanted(l, &specs[i], parts))
            continue;
        if (shared(l, &specs[i], parts)) {
            w->matrix[SW_W_HEAD] = w->matrix[SW_W_EMBED];
            continue;
        }
        SW_TRY(weights_place(l, &specs[i], d_at, w));
        d_at += bytes_of(l, &specs[i]);
    }
    return SW_OK;
}

/* *out has the block, or none. */
static enum sw_status weights_load(struct sw_loader *l, int layer, unsigned parts,
                                   struct sw_weights *out)
{
    const struct sw_weight_spec *specs;
    const size_t count = sw_model_weights(l->model, layer, &specs);
    size_t n;
    const struct sw_tensor **sources = sources_of(l, specs, count, parts, &n);
    if (sources)
        sw_reader_expect(l->reader, sources, n);
    const enum sw_status status = load_specs(l, specs, count, layer, parts, out);
    if (sources)
        sw_reader_expect(l->reader, NULL, 0);
    free(sources);
    return status;
}

struct sw_loader sw_loader_apart(const struct sw_loader *from, struct sw_backend *cpu,
                                 struct sw_backend *gpu,
                                 enum sw_status (*progress)(void *context, uint64_t bytes),
                                 void *context)
{
    return (struct sw_loader){.model = from->model,
                              .tensors = from->tensors,
                              .reader = from->reader,
                              .backend = cpu,
                              .layout = gpu,
                              .threads = from->threads,
                              .past_cache = true,
                              .apart = true,
                              .params = from->params,
                              .progress = progress,
                              .context = context};
}

enum sw_status sw_weights_load(struct sw_loader *l, int layer, unsigned parts,
                               struct sw_weights *out)
{
    *out = (struct sw_weights){0};
    const enum sw_status status = weights_load(l, layer, parts, out);
    if (status != SW_OK)
        sw_weights_free(l->backend, out);
    return status;
}

enum sw_status sw_weights_load_into(struct sw_loader *l, int layer, void *d_block,
                                    struct sw_weights *out)
{
    *out = (struct sw_weights){.d_block = d_block};
    const enum sw_status status = weights_load(l, layer, 0, out);
    if (status != SW_OK)
        sw_weights_forget_block(out);
    return status;
}

void sw_weights_forget_block(struct sw_weights *w)
{
    free(w->expert_up);
    free(w->expert_down);
    *w = (struct sw_weights){0};
}

void sw_weights_free(struct sw_backend *b, struct sw_weights *w)
{
    if (w->d_block)
        b->ops->free(b, w->d_block, w->bytes);
    sw_weights_forget_block(w);
}
