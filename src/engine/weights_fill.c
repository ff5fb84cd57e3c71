/*
 * Owns what gets into a weight: rows of its tensors, read by one thread at once or put on a list
 * that many threads read later, or made up.
 */
#include "engine/weights_fill.h"

#include "backend/gpu_library.h"
#include "checkpoint/read_list.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

/* One weight being filled; its sources' rows are stacked. */
struct target {
    struct sw_loader *loader;
    const struct sw_weight_spec *spec;
    struct sw_matrix *matrix; /* NULL: a vector at d_vector */
    float *d_vector;
    const struct sw_tensor *tensor; /* the source */
    int64_t row;                    /* of the weight, where the source's first row goes */
    int64_t first;                  /* the first row of the tensor that is read */
};

/* A matrix of the loader's list, which is filled by several threads. */
struct sw_weights_target {
    struct sw_backend *backend, *layout;
    struct sw_matrix matrix;
    const struct sw_tensor *tensor;
    int64_t row;                 /* of the matrix, where the tensor's first row goes */
    atomic_uint_fast64_t *bytes; /* stored, and not yet reported */
    atomic_uint_fast64_t *left;  /* as of the loader */
};

static enum sw_status weights_report(struct sw_loader *l, uint64_t bytes)
{
    l->bytes += bytes;
    return l->progress ? l->progress(l->context, l->bytes) : SW_OK;
}

/* Of `n` rows of a matrix, as they are kept: for the progress bar. */
static uint64_t stored(const struct target *t, int64_t n)
{
    return (uint64_t)n * sw_format_bytes(t->matrix->format, t->spec->cols);
}

/* Stores rows of a matrix in the backend's layout, or a GPU's in its memory. */
static enum sw_status weights_store(struct sw_backend *backend, struct sw_backend *layout,
                                    struct sw_matrix *m, const struct sw_matrix_rows *rows)
{
    return layout ? layout->gpu->host_put(layout, m, rows)
                  : backend->ops->matrix_put(backend, m, rows);
}

/* Rows of a matrix in shares, each stored by the thread that takes it. */
struct put_apart {
    struct sw_backend *backend, *layout;
    struct sw_matrix *matrix;
    const struct sw_matrix_rows *rows;
};
#define APART_ROWS 64

static enum sw_status weights_put_share(const struct put_apart *p, int64_t share)
{
    struct sw_matrix_rows rows = *p->rows;
    struct sw_matrix matrix = *p->matrix;
    const int64_t first = share * APART_ROWS, left = rows.n_rows - first;
    rows.data =
        (const char *)rows.data + first * sw_values_step(rows.dtype, rows.blocks, rows.row_stride);
    rows.row0 += first;
    rows.n_rows = left < APART_ROWS ? left : APART_ROWS;
    rows.alone = true;
    return weights_store(p->backend, p->layout, &matrix, &rows);
}

static void weights_put_later_share(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    (void)weights_put_share(ctx, chunk + 1);
}

/* What one share is refused for, all are. */
static enum sw_status weights_put_apart(struct sw_loader *l, struct sw_matrix *m,
                                        const struct sw_matrix_rows *rows)
{
    struct put_apart p = {l->backend, l->layout, m, rows};
    SW_TRY(weights_put_share(&p, 0));
    sw_pool_run(l->pool, weights_put_later_share, &p, (rows->n_rows - 1) / APART_ROWS);
    return SW_OK;
}

static enum sw_status weights_put_rows(struct sw_loader *l, struct sw_matrix *m,
                                       const struct sw_matrix_rows *rows)
{
    return l->apart ? weights_put_apart(l, m, rows) : weights_store(l->backend, l->layout, m, rows);
}

static enum sw_status weights_put(struct target *t, int64_t row, int64_t n, const void *data,
                                  enum sw_dtype dtype, const struct sw_format *blocks)
{
    struct sw_backend *b = t->loader->backend;
    if (t->matrix) {
        const struct sw_matrix_rows rows = {.data = data,
                                            .dtype = dtype,
                                            .row0 = row,
                                            .n_rows = n,
                                            .row_stride = t->spec->cols,
                                            .col_stride = 1,
                                            .blocks = blocks};
        SW_TRY(weights_put_rows(t->loader, t->matrix, &rows));
        return weights_report(t->loader, stored(t, n));
    }
    if (blocks)
        return sw_fail(SW_EMODEL, "tensor '%s' is a vector of %s blocks, which is not supported",
                       t->tensor->name, blocks->name);
    float *values = malloc((size_t)n * sizeof *values);
    if (!values)
        return sw_fail(SW_ENOMEM, "no memory for %s", sw_weight_name(t->spec->id));
    sw_dtype_to_f32(dtype, data, n, values);
    for (int64_t i = 0; t->spec->change == SW_CHANGE_PLUS_ONE && i < n; i++)
        values[i] += 1;
    for (int64_t i = 0; t->spec->change == SW_CHANGE_MINUS_EXP && i < n; i++)
        values[i] = -expf(values[i]);
    const enum sw_status status =
        b->ops->upload(b, t->d_vector + row, values, (size_t)n * sizeof *values);
    free(values);
    return status;
}

static enum sw_status sink(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    struct target *t = context;
    const int64_t step = t->spec->is_flat ? t->spec->cols : 1; /* elements that a row is */
    return weights_put(t, t->row + (row0 - t->first) * step, n_rows * step, data, t->tensor->dtype,
                       t->tensor->blocks);
}

/* ---- the list: what many threads read and pack */

bool sw_weights_can_wait(const struct sw_loader *l, const struct sw_weight_spec *spec, int source,
                         const struct sw_tensor *tensor)
{
    return spec->is_matrix && !spec->sources[source].transposed && !l->backend->gpu &&
           sw_reader_row_count(tensor) == spec->sources[source].rows &&
           sw_read_list_takes(l->tensors, tensor);
}

static enum sw_status weights_list_add(struct sw_loader *l, const struct sw_weights_target *target)
{
    struct sw_weights_list *list = &l->list;
    if (list->count == list->capacity) {
        const size_t more = list->capacity ? 2 * list->capacity : 64;
        struct sw_weights_target *targets = realloc(list->targets, more * sizeof *targets);
        if (!targets)
            return sw_fail(SW_ENOMEM, "no memory for a list of %zu matrices", more);
        list->targets = targets;
        list->capacity = more;
    }
    list->targets[list->count++] = *target;
    if (target->left)
        atomic_fetch_add(target->left,
                         (uint64_t)sw_reader_row_count(target->tensor) *
                             sw_format_bytes(target->matrix.format, target->matrix.cols));
    return SW_OK;
}

static enum sw_status weights_list_sink(void *context, int64_t row0, int64_t n_rows,
                                        const void *data)
{
    const struct sw_weights_target *t = context;
    struct sw_matrix matrix = t->matrix;
    const struct sw_matrix_rows rows = {.data = data,
                                        .dtype = t->tensor->dtype,
                                        .row0 = t->row + row0,
                                        .n_rows = n_rows,
                                        .row_stride = matrix.cols,
                                        .col_stride = 1,
                                        .blocks = t->tensor->blocks,
                                        .alone = true};
    SW_TRY(weights_store(t->backend, t->layout, &matrix, &rows));
    const uint64_t bytes = (uint64_t)n_rows * sw_format_bytes(matrix.format, matrix.cols);
    atomic_fetch_add(t->bytes, bytes);
    if (t->left)
        atomic_fetch_sub(t->left, bytes);
    return SW_OK;
}

/* On the calling thread. */
static enum sw_status weights_list_pulse(void *context)
{
    struct sw_loader *l = context;
    return weights_report(l, atomic_exchange(&l->list.bytes, 0));
}

enum sw_status sw_weights_read(struct sw_loader *l)
{
    struct sw_weights_list *list = &l->list;
    const struct sw_read_list_options options = {.threads = l->threads,
                                                 .past_cache = l->past_cache,
                                                 .pulse = weights_list_pulse,
                                                 .context = l};
    if (list->count == 0) /* also when weights are made up, without a reader */
        return SW_OK;
    struct sw_read_item *items = malloc(list->count * sizeof *items);
    if (!items)
        return sw_fail(SW_ENOMEM, "no memory for a list of %zu matrices", list->count);
    for (size_t i = 0; i < list->count; i++)
        items[i] =
            (struct sw_read_item){list->targets[i].tensor, weights_list_sink, &list->targets[i]};
    const enum sw_status status = sw_read_list_run(l->reader, items, list->count, &options);
    free(items);
    list->count = 0;
    return status;
}

void sw_weights_forget(struct sw_loader *l)
{
    free(l->list.targets);
    l->list.targets = NULL;
    l->list.count = l->list.capacity = 0;
}

/* ---- what one thread reads, or makes up */

/* Rows as f32: (n, cols). NULL: no memory. */
static float *weights_decoded(const struct sw_tensor *tensor, const void *rows, int64_t n,
                              int64_t cols)
{
    float *out = malloc((size_t)(n * cols) * sizeof *out);
    for (int64_t r = 0; out && r < n; r++) {
        const struct sw_values row = {.data = (const char *)rows +
                                              (uint64_t)r * sw_reader_row_bytes(tensor),
                                      .dtype = tensor->dtype,
                                      .n = cols,
                                      .stride = 1,
                                      .blocks = tensor->blocks};
        sw_values_to_f32(&row, 0, cols, out + r * cols);
    }
    return out;
}

/* Stored (in, out): rows [first, first + cols) of the tensor are read, all of them at once, and put
 * row by row of the transpose; blocks are decoded. */
static enum sw_status put_transposed(struct target *t, const struct sw_tensor *tensor,
                                     int64_t n_rows)
{
    struct sw_loader *l = t->loader;
    const int64_t cols = t->spec->cols;
    void *data = malloc((size_t)((uint64_t)cols * sw_reader_row_bytes(tensor)));
    if (!data)
        return sw_fail(SW_ENOMEM, "no memory for tensor '%s'", tensor->name);
    enum sw_status status = sw_reader_rows(l->reader, tensor, t->first, cols, data);
    float *decoded = NULL;
    if (status == SW_OK && tensor->blocks &&
        !(decoded = weights_decoded(tensor, data, cols, n_rows)))
        status = sw_fail(SW_ENOMEM, "no memory for tensor '%s'", tensor->name);
    const struct sw_matrix_rows rows = {.data = decoded ? decoded : data,
                                        .dtype = decoded ? SW_F32 : tensor->dtype,
                                        .row0 = t->row,
                                        .n_rows = n_rows,
                                        .row_stride = 1,
                                        .col_stride = n_rows};
    if (status == SW_OK)
        status = weights_put_rows(l, t->matrix, &rows);
    if (status == SW_OK)
        status = weights_report(l, stored(t, n_rows));
    free(decoded);
    free(data);
    return status;
}

/* Elements [first, first + n) of a made-up tensor, in shares. */
struct made_up {
    const struct sw_model *model;
    const struct sw_weight_spec *spec;
    int source;
    int64_t first, n;
    float *values;
};
#define SHARE 65536

static void make_up(void *ctx, int64_t chunk, int worker)
{
    const struct made_up *m = ctx;
    const int64_t at = chunk * SHARE;
    (void)worker;
    sw_weights_random(m->model, m->spec, m->source, m->first + at,
                      m->n - at < SHARE ? m->n - at : SHARE, m->values + at);
}

/* Rows of a made-up tensor that are the weight's columns. */
static enum sw_status put_random_turned(struct target *t, int source)
{
    const struct sw_weight_source *s = &t->spec->sources[source];
    const int64_t cols = t->spec->cols, n = cols * s->rows;
    float *values = malloc((size_t)n * sizeof *values);
    if (!values)
        return sw_fail(SW_ENOMEM, "no memory for made-up weights");
    sw_weights_random(t->loader->model, t->spec, source, s->first * s->rows, n, values);
    const struct sw_matrix_rows rows = {.data = values,
                                        .dtype = SW_F32,
                                        .row0 = t->row,
                                        .n_rows = s->rows,
                                        .row_stride = 1,
                                        .col_stride = s->rows};
    enum sw_status status = weights_put_rows(t->loader, t->matrix, &rows);
    if (status == SW_OK)
        status = weights_report(t->loader, stored(t, s->rows));
    free(values);
    return status;
}

static enum sw_status put_random(struct target *t, int source)
{
    const int64_t first = t->spec->sources[source].first;
    const int64_t rows = t->spec->sources[source].rows;
    const int64_t cols = t->spec->is_flat ? 1 : t->spec->cols;
    int64_t step = (int64_t)(SW_LOAD_CHUNK / sizeof(float)) / cols;
    step = step < 1 ? 1 : step > rows ? rows : step;
    float *values = malloc((size_t)(step * cols) * sizeof *values);
    enum sw_status status = SW_OK;
    if (!values)
        return sw_fail(SW_ENOMEM, "no memory for made-up weights");
    for (int64_t r = 0; r < rows && status == SW_OK; r += step) {
        const int64_t n = rows - r < step ? rows - r : step;
        struct made_up m = {t->loader->model,   t->spec,  source,
                            (first + r) * cols, n * cols, values};
        sw_pool_run(t->loader->pool, make_up, &m, (m.n + SHARE - 1) / SHARE);
        status = weights_put(t, t->row + r, n, values, SW_F32, NULL);
    }
    free(values);
    return status;
}

enum sw_status sw_weights_fill(struct sw_loader *l, const struct sw_weight_spec *spec,
                               const struct sw_weight_piece *piece, struct sw_matrix *matrix,
                               float *d_vector)
{
    struct target t = {.loader = l, .spec = spec, .matrix = matrix, .d_vector = d_vector};
    if (matrix && l->layout)
        l->layout->gpu->host_clear(l->layout, matrix);
    else if (matrix)
        SW_TRY(l->backend->ops->matrix_clear(l->backend, matrix));
    for (int i = piece->first; i < piece->first + piece->n_sources; i++) {
        const struct sw_tensor *tensor;
        const int64_t rows = spec->sources[i].rows;
        t.first = spec->sources[i].first;
        if (!l->tensors) {
            SW_TRY(spec->sources[i].of && spec->sources[i].transposed ? put_random_turned(&t, i)
                                                                      : put_random(&t, i));
        } else {
            SW_TRY(sw_model_find(l->model, l->tensors, spec, i, &tensor));
            if (piece->behind)
                tensor = sw_model_twin(l->tensors, tensor);
            t.tensor = tensor;
            const struct sw_weights_target waiting = {
                l->backend,     l->layout, matrix ? *matrix : (struct sw_matrix){0}, tensor, t.row,
                &l->list.bytes, l->left};
            if (sw_weights_can_wait(l, spec, i, tensor))
                SW_TRY(weights_list_add(l, &waiting));
            else if (spec->sources[i].transposed)
                SW_TRY(put_transposed(&t, tensor, rows));
            else
                SW_TRY(sw_reader_each_chunk(l->reader, tensor, t.first,
                                            spec->is_flat ? rows / spec->cols : rows, SW_LOAD_CHUNK,
                                            sink, &t));
        }
        t.row += rows;
    }
    return SW_OK;
}
