/* The CPU backend: memory, and the operations that go row by row. */
#include "backend/cpu_internal.h"

#include "base/checked.h"
#include "base/huge_pages.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory: large blocks start on a huge page, so that a layer's weights need few TLB entries */

#define SLACK 64 /* vector loads of the last value row may read this far past the end */

static bool is_large(size_t bytes)
{
    return bytes >= 2 * SW_HUGE_PAGE;
}

static enum sw_status cpu_alloc(struct sw_backend *b, size_t bytes, const char *what, void **d_out)
{
    (void)b;
    *d_out = NULL;
    if (bytes < SIZE_MAX - 2 * SW_HUGE_PAGE)
        *d_out = is_large(bytes) ? sw_huge_map(bytes + SLACK)
                                 : aligned_alloc(SW_ALIGN, sw_round_up(bytes + SLACK, SW_ALIGN));
    if (!*d_out)
        return sw_fail(
            SW_ENOMEM,
            "%zu bytes of host memory for %s cannot be allocated; close other programs, or "
            "give this rank fewer layers (--host-memory, --slices)",
            bytes, what);
    return SW_OK;
}

static void cpu_release(struct sw_backend *b, void *d_ptr, size_t bytes)
{
    (void)b;
    if (d_ptr && is_large(bytes))
        sw_huge_unmap(d_ptr, bytes + SLACK);
    else
        free(d_ptr);
}

static enum sw_status cpu_copy(struct sw_backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b;
    if (bytes)
        memcpy(dst, src, bytes);
    return SW_OK;
}

static enum sw_status cpu_sync(struct sw_backend *b)
{
    (void)b;
    return SW_OK;
}

/* ---- weights */

static enum sw_status matrix_clear(struct sw_backend *b, struct sw_matrix *m)
{
    /* Padding, and no more: what is touched here is touched by one thread. A last panel that is not
     * full has some; every panel has when the columns are padded. */
    const unsigned pad = sw_format_of(m->format)->col_pad;
    const int64_t first = m->cols % pad ? 0 : m->rows / SW_PANEL;
    const size_t from = sw_panel_offset(m->format, m->cols, first);
    (void)b;
    memset((char *)m->d_data + from, 0, sw_matrix_bytes(m->format, m->rows, m->cols) - from);
    float *table = sw_matrix_table(m->format, m->d_data, m->rows, m->cols);
    if (table)
        memcpy(table, sw_format_of(m->format)->table, SW_TABLE_LEN * sizeof *table);
    return SW_OK;
}

struct put_job {
    struct sw_pack pack;
    int64_t first_panel;
};

static void matrix_put_panel(void *ctx, int64_t chunk, int worker)
{
    const struct put_job *put = ctx;
    (void)worker;
    sw_pack_panel(&put->pack, put->first_panel + chunk);
}

/*
 * Touches what several threads are about to fill, side by side: where two of them touch a huge page
 * for the first time at once, the system clears one for each, and throws one away. Only whole
 * panels, of which no other thread has a byte.
 */
static void matrix_touch(struct sw_cpu *cpu, const struct sw_matrix *m,
                         const struct sw_matrix_rows *rows)
{
    const int64_t past = rows->row0 + rows->n_rows;
    if (rows->row0 % SW_PANEL || (past % SW_PANEL && past < m->rows))
        return;
    char *const data = m->d_data;
    char *at = data + sw_panel_offset(m->format, m->cols, rows->row0 / SW_PANEL);
    const char *const end = data + sw_panel_offset(m->format, m->cols, past / SW_PANEL);
    while (at < end) {
        pthread_mutex_t *const lock = &cpu->touching[(uintptr_t)at / SW_HUGE_PAGE % SW_TOUCH_LOCKS];
        pthread_mutex_lock(lock);
        *(volatile char *)at = 0;
        pthread_mutex_unlock(lock);
        at += SW_HUGE_PAGE - (uintptr_t)at % SW_HUGE_PAGE;
    }
}

static enum sw_status matrix_put(struct sw_backend *b, struct sw_matrix *m,
                                 const struct sw_matrix_rows *rows)
{
    SW_TRY(sw_format_check(m->format, rows->dtype, m->cols));
    assert(rows->row0 >= 0 && rows->n_rows >= 0 && rows->row0 + rows->n_rows <= m->rows);
    if (!rows->n_rows)
        return SW_OK;
    struct put_job put = {.pack = {m->format, m->rows, m->cols, m->d_data, rows->data, rows->dtype,
                                   rows->row0, rows->n_rows, rows->row_stride, rows->col_stride,
                                   rows->blocks},
                          .first_panel = rows->row0 / SW_PANEL};
    const int64_t last = (rows->row0 + rows->n_rows - 1) / SW_PANEL;
    if (rows->alone)
        matrix_touch(sw_cpu_of(b), m, rows);
    const bool is_alone = rows->alone || rows->n_rows * m->cols < 65536;
    sw_pool_run(is_alone ? NULL : sw_cpu_of(b)->pool, matrix_put_panel, &put,
                last - put.first_panel + 1);
    return SW_OK;
}

/* ---- operations on rows: one kind of job for all, in chunks large enough for a thread */

struct row_job;
typedef void row_fn(const struct row_job *j, int64_t i);

struct row_job {
    struct sw_cpu *cpu;
    row_fn *row;
    int64_t n, dim, per_chunk;
    const float *x;
    float *y;
    int64_t x_ld, y_ld;
    /* The operands that only some operations have: */
    const float *weight, *bias;
    const int32_t *ids;
    const float *weights;
    const struct sw_matrix *m;
    int kind;
    float eps, factor, cap;
    bool gated;
};

/* `row` on each of n rows, from x (n, dim) to y (n, dim). */
static struct row_job row_job(struct sw_backend *b, row_fn *row, int64_t n, int64_t dim,
                              const float *x, int64_t x_ld, float *y, int64_t y_ld)
{
    return (struct row_job){.cpu = sw_cpu_of(b),
                            .row = row,
                            .n = n,
                            .dim = dim,
                            .x = x,
                            .y = y,
                            .x_ld = x_ld,
                            .y_ld = y_ld};
}

static void rows_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct row_job *j = ctx;
    (void)worker;
    const int64_t end = (chunk + 1) * j->per_chunk;
    for (int64_t i = chunk * j->per_chunk; i < end && i < j->n; i++)
        j->row(j, i);
}

#define CHUNK_FLOATS 16384

static void run_rows(struct row_job *j, int64_t floats_per_row)
{
    j->per_chunk = CHUNK_FLOATS / (floats_per_row ? floats_per_row : 1);
    if (j->per_chunk < 1)
        j->per_chunk = 1;
    const bool is_small = j->n * floats_per_row < 2 * CHUNK_FLOATS;
    sw_pool_run(is_small ? NULL : j->cpu->pool, rows_chunk, j,
                (j->n + j->per_chunk - 1) / j->per_chunk);
}

static void embed_row(const struct row_job *j, int64_t i)
{
    assert(j->ids[i] >= 0 && j->ids[i] < j->m->rows);
    sw_unpack_row(j->m->format, j->m->d_data, j->m->rows, j->m->cols, j->ids[i],
                  j->y + i * j->y_ld);
}

static void cpu_embed(struct sw_backend *b, const struct sw_matrix *m, const int32_t *ids,
                      int64_t n, float *d_y, int64_t ld_y)
{
    struct row_job j = row_job(b, embed_row, n, m->cols, NULL, 0, d_y, ld_y);
    j.m = m;
    j.ids = ids;
    run_rows(&j, 4 * m->cols);
}

static void norm_row(const struct row_job *j, int64_t i)
{
    j->cpu->kernels->norm((enum sw_norm)j->kind, j->eps, j->x + i * j->x_ld, j->dim, j->weight,
                          j->bias, j->y + i * j->y_ld);
}

static void cpu_norm(struct sw_backend *b, enum sw_norm kind, float eps, const float *d_x,
                     int64_t ld_x, int64_t n, int64_t dim, const float *d_weight,
                     const float *d_bias, float *d_y, int64_t ld_y)
{
    struct row_job j = row_job(b, norm_row, n, dim, d_x, ld_x, d_y, ld_y);
    j.weight = d_weight;
    j.bias = d_bias;
    j.kind = (int)kind;
    j.eps = eps;
    run_rows(&j, dim);
}

static void activate_row(const struct row_job *j, int64_t i)
{
    const float *x = j->x + i * j->x_ld;
    j->cpu->kernels->activate((enum sw_activation)j->kind, x, j->gated ? x + j->dim : NULL, j->dim,
                              j->y + i * j->y_ld);
}

static void cpu_activate(struct sw_backend *b, enum sw_activation kind, bool gated,
                         const float *d_x, int64_t ld_x, int64_t n, int64_t dim, float *d_y,
                         int64_t ld_y)
{
    struct row_job j = row_job(b, activate_row, n, dim, d_x, ld_x, d_y, ld_y);
    j.kind = (int)kind;
    j.gated = gated;
    run_rows(&j, dim);
}

static void add_row(const struct row_job *j, int64_t i)
{
    j->cpu->kernels->add_scaled(j->x + i * j->x_ld, j->factor, j->dim, j->y + i * j->y_ld);
}

static void cpu_add(struct sw_backend *b, float factor, const float *d_x, int64_t ld_x, int64_t n,
                    int64_t dim, float *d_y, int64_t ld_y)
{
    struct row_job j = row_job(b, add_row, n, dim, d_x, ld_x, d_y, ld_y);
    j.factor = factor;
    run_rows(&j, dim);
}

static void scale_row(const struct row_job *j, int64_t i)
{
    float *y = j->y + i * j->y_ld;
    for (int64_t k = 0; k < j->dim; k++)
        y[k] *= j->factor;
    for (int64_t k = 0; j->cap > 0 && k < j->dim; k++)
        y[k] = j->cap * tanhf(y[k] / j->cap);
}

static void cpu_scale(struct sw_backend *b, float factor, const float *d_factor, float cap,
                      int64_t n, int64_t dim, float *d_y, int64_t ld_y)
{
    struct row_job j = row_job(b, scale_row, n, dim, NULL, 0, d_y, ld_y);
    j.factor = d_factor ? factor * *d_factor : factor;
    j.cap = cap;
    run_rows(&j, cap > 0 ? 16 * dim : dim);
}

static void gather_row(const struct row_job *j, int64_t i)
{
    float *y = j->y + i * j->y_ld;
    memcpy(y, j->x + (j->ids ? j->ids[i] : i) * j->x_ld, (size_t)j->dim * sizeof(float));
    for (int64_t d = 0; j->weights && d < j->dim; d++)
        y[d] *= j->weights[i];
}

static void cpu_gather(struct sw_backend *b, const float *d_x, int64_t ld_x, const int32_t *rows,
                       const float *weights, int64_t n, int64_t dim, float *d_y, int64_t ld_y)
{
    struct row_job j = row_job(b, gather_row, n, dim, d_x, ld_x, d_y, ld_y);
    j.ids = rows;
    j.weights = weights;
    run_rows(&j, dim);
}

/* In order and on one thread: a row may be named more than once. */
static void cpu_scatter_add(struct sw_backend *b, const float *d_x, int64_t ld_x,
                            const int32_t *rows, const float *weights, int64_t n, int64_t dim,
                            float *d_y, int64_t ld_y)
{
    for (int64_t i = 0; i < n; i++)
        sw_cpu_of(b)->kernels->add_scaled(d_x + i * ld_x, weights[i], dim, d_y + rows[i] * ld_y);
}

/* ---- opening and closing */

static size_t thread_scratch_bytes(int threads)
{
    return (size_t)threads * SW_THREAD_FLOATS * sizeof(float);
}

/* A row has whole units of every format. */
static int64_t x_floats(const struct sw_cpu_options *o)
{
    const int64_t rows = o->max_rows > 0 ? o->max_rows : 1,
                  cols = o->max_cols > 0 ? o->max_cols : 1;
    int unit = SW_X_COLS;
    for (int i = 0; i < SW_FORMAT_COUNT; i++)
        if (sw_kernels_portable.formats[i].packing.elements > unit)
            unit = sw_kernels_portable.formats[i].packing.elements;
    return (rows > SW_PRODUCT_ROWS ? SW_PRODUCT_ROWS : rows) *
           (int64_t)sw_round_up((uint64_t)cols, (uint64_t)unit);
}

static int count_threads(const struct sw_cpu_options *o, int n_cores)
{
    return o->threads > 0 ? o->threads : n_cores;
}

size_t sw_backend_cpu_scratch(const struct sw_cpu_options *options)
{
    int *cores = NULL, n = 1;
    if (options->threads <= 0 && sw_cpu_cores(options->cores, &cores, &n) != SW_OK)
        n = 1;
    free(cores);
    return thread_scratch_bytes(count_threads(options, n)) +
           (size_t)x_floats(options) * sizeof(float);
}

static void cpu_close(struct sw_backend *b)
{
    if (!b)
        return;
    struct sw_cpu *cpu = sw_cpu_of(b);
    sw_pool_free(cpu->pool);
    cpu_release(b, cpu->x, (size_t)cpu->x_floats * sizeof(float));
    cpu_release(b, cpu->thread_scratch, thread_scratch_bytes(cpu->threads));
    for (int i = 0; i < SW_TOUCH_LOCKS; i++)
        pthread_mutex_destroy(&cpu->touching[i]);
    free(cpu);
}

static const struct sw_backend_ops ops = {
    .name = "cpu",
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_release,
    .upload = cpu_copy,
    .download = cpu_copy,
    .sync = cpu_sync,
    .matrix_clear = matrix_clear,
    .matrix_put = matrix_put,
    .embed = cpu_embed,
    .norm = cpu_norm,
    .matmul = sw_cpu_matmul,
    .activated_matmul = sw_cpu_activated_matmul,
    .place_heads = sw_cpu_place_heads,
    .kv_copy = sw_cpu_kv_copy,
    .attend = sw_cpu_attend,
    .delta = sw_cpu_delta,
    .delta_copy = sw_cpu_delta_copy,
    .gate = sw_cpu_gate,
    .activate = cpu_activate,
    .add = cpu_add,
    .scale = cpu_scale,
    .gather = cpu_gather,
    .scatter_add = cpu_scatter_add,
};

struct sw_pool *sw_backend_cpu_pool(struct sw_backend *backend)
{
    return backend && backend->ops == &ops ? sw_cpu_of(backend)->pool : NULL;
}

static enum sw_status cpu_choose_isa(const char *name, const struct sw_kernels **kernels)
{
    enum sw_isa isa;
    SW_TRY(sw_isa_by_name(name, &isa));
    if (isa > sw_cpu_isa())
        return sw_fail(SW_EUSAGE, "this CPU has no %s; the best it has is %s", sw_isa_name(isa),
                       sw_isa_name(sw_cpu_isa()));
    *kernels = sw_kernels_for(isa);
    return SW_OK;
}

static enum sw_status cpu_start_pool(struct sw_cpu *cpu, const struct sw_cpu_options *options)
{
    int *cores, n;
    SW_TRY(sw_cpu_cores(options->cores, &cores, &n));
    cpu->threads = count_threads(options, n);
    const enum sw_status status = sw_pool_create(cpu->threads, cores, n, &cpu->pool);
    free(cores);
    return status;
}

enum sw_status sw_backend_cpu_open(const struct sw_cpu_options *options, struct sw_backend **out)
{
    *out = NULL;
    struct sw_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return sw_fail(SW_ENOMEM, "no memory for the CPU backend");
    for (int i = 0; i < SW_TOUCH_LOCKS; i++)
        pthread_mutex_init(&cpu->touching[i], NULL);
    cpu->base.ops = &ops;
    cpu->max_cols = options->max_cols;
    cpu->x_floats = x_floats(options);
    enum sw_status status = cpu_choose_isa(options->isa, &cpu->kernels);
    if (status == SW_OK)
        cpu->many = sw_many_for(cpu->kernels->isa);
    cpu->deep = sw_cpu_is_intel() ? SW_DEEP : 0;
    if (status == SW_OK)
        status = cpu_start_pool(cpu, options);
    if (status == SW_OK)
        status = cpu_alloc(&cpu->base, (size_t)cpu->x_floats * sizeof(float),
                           "prepared activations", &cpu->x);
    void *scratch = NULL;
    if (status == SW_OK)
        status =
            cpu_alloc(&cpu->base, thread_scratch_bytes(cpu->threads), "thread scratch", &scratch);
    cpu->thread_scratch = scratch;
    if (status != SW_OK) {
        cpu_close(&cpu->base);
        return status;
    }
    *out = &cpu->base;
    return SW_OK;
}
