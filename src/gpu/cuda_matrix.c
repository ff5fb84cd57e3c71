/*
 * Owns how weights come onto the device: rows of a file's values become rows of the GPU's layout
 * (kernels/cuda/cuda_kernels.h) in pinned memory, a piece of the ring at a time, and are sent.
 * Threads share a piece's rows: one alone quantizes more slowly than disks read.
 */
#include "gpu/cuda.h"

#include "base/checked.h"
#include "base/pool.h"
#include "kernels/cpu/cpu_kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum sw_status sw_cuda_matrix_clear(struct sw_backend *b, struct sw_matrix *m)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaMemsetAsync(m->d_data, 0, sw_matrix_bytes(m->format, m->rows, m->cols),
                                   cuda->compute));
    return SW_OK;
}

/* Rows [row, row + n) of a put, made in `out`, whole rows with their padding. */
struct piece {
    const struct sw_matrix *m;
    const struct sw_matrix_rows *rows;
    int64_t row, n;
    size_t row_bytes; /* of the matrix */
    char *out;        /* (n, row_bytes) */
    float *scales;    /* (n) int8 only */
    char *raw;        /* a row of the source's elements side by side, … */
    float *values;    /* … and as f32; int8: a panel of the CPU's, packed */
};

static const char *source_row(const struct piece *p, int64_t i)
{
    const int64_t size = sw_dtype_info(p->rows->dtype)->bits / 8;
    return (const char *)p->rows->data + (p->row + i) * p->rows->row_stride * size;
}

/* The row's elements side by side. */
static const char *dense_row(const struct piece *p, int64_t i)
{
    const size_t size = sw_dtype_info(p->rows->dtype)->bits / 8;
    const char *from = source_row(p, i);
    if (p->rows->col_stride == 1)
        return from;
    for (int64_t c = 0; c < p->m->cols; c++)
        memcpy(p->raw + (size_t)c * size, from + c * p->rows->col_stride * (int64_t)size, size);
    return p->raw;
}

/* The source holds what the matrix holds. */
static void make_same(const struct piece *p)
{
    const size_t bytes = (size_t)p->m->cols * sw_dtype_info(p->m->format)->bits / 8;
    for (int64_t i = 0; i < p->n; i++) {
        char *to = p->out + (size_t)i * p->row_bytes;
        memcpy(to, dense_row(p, i), bytes);
        memset(to + bytes, 0, p->row_bytes - bytes);
    }
}

static void make_f32(const struct piece *p)
{
    for (int64_t i = 0; i < p->n; i++) {
        float *to = (float *)(void *)(p->out + (size_t)i * p->row_bytes);
        memset(to, 0, p->row_bytes);
        sw_dtype_to_f32(p->rows->dtype, dense_row(p, i), p->m->cols, to);
    }
}

static void make_half(const struct piece *p)
{
    const bool bf16 = p->m->format == SW_BF16;
    for (int64_t i = 0; i < p->n; i++) {
        uint16_t *to = (uint16_t *)(void *)(p->out + (size_t)i * p->row_bytes);
        memset(to, 0, p->row_bytes);
        sw_dtype_to_f32(p->rows->dtype, dense_row(p, i), p->m->cols, p->values);
        for (int64_t c = 0; c < p->m->cols; c++)
            to[c] = bf16 ? sw_f32_to_bf16(p->values[c]) : sw_f32_to_f16(p->values[c]);
    }
}

/* Quantized by the CPU's own packing, so that a layer's weights are the same bits wherever it
 * lies: (cols / 4, width, 4) as kernels/cpu/cpu_kernels.h has it, taken apart again. */
static void make_int8(const struct piece *p)
{
    const int width = sw_panel_width(p->n, 0);
    char *panel = (char *)p->values;
    memset(panel, 0, sw_matrix_bytes(SW_INT8, p->n, p->m->cols));
    const struct sw_pack pack = {.format = SW_INT8,
                                 .rows = p->n,
                                 .cols = p->m->cols,
                                 .data = panel,
                                 .src = source_row(p, 0),
                                 .src_dtype = p->rows->dtype,
                                 .n_rows = p->n,
                                 .row_stride = p->rows->row_stride,
                                 .col_stride = p->rows->col_stride};
    sw_pack_panel(&pack, 0);
    memcpy(p->scales, sw_matrix_scales(panel, p->n, p->m->cols), (size_t)p->n * sizeof *p->scales);
    for (int64_t i = 0; i < p->n; i++)
        for (size_t at = 0; at < p->row_bytes; at += 4)
            memcpy(p->out + (size_t)i * p->row_bytes + at,
                   panel + (at / 4 * (size_t)width + (size_t)i) * 4, 4);
}

/* The scales of the rows lie behind all elements. */
static enum sw_status send_scales(struct sw_cuda *cuda, const struct piece *p)
{
    const uint64_t rows = sw_round_up((uint64_t)p->m->rows, SW_ROW_PAD);
    float *d_scales = (float *)(void *)((char *)p->m->d_data + rows * p->row_bytes);
    return sw_cuda_upload(&cuda->base, d_scales + p->rows->row0 + p->row, p->scales,
                          (size_t)p->n * sizeof *p->scales);
}

struct form {
    enum sw_dtype format;
    int64_t least_rows; /* of a thread's share that is worth it */
    void (*make)(const struct piece *p);
    enum sw_status (*send_more)(struct sw_cuda *cuda, const struct piece *p); /* NULL: nothing */
};
static const struct form forms[] = {{SW_F32, 1, make_f32, NULL},
                                    {SW_F16, 1, make_half, NULL},
                                    {SW_BF16, 1, make_half, NULL},
                                    {SW_INT8, SW_ROW_PAD, make_int8, send_scales}};

static const struct form *form_of(enum sw_dtype format)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (forms[i].format == format)
            return &forms[i];
    return NULL;
}

/* How a piece is made: in shares of `rows` rows, each thread with memory of its own. */
struct making {
    struct piece piece;
    void (*make)(const struct piece *p);
    struct sw_pool *pool;
    int64_t rows;
    size_t raw_bytes, values_bytes; /* of a thread's */
};

static void make_share(void *ctx, int64_t chunk, int worker)
{
    const struct making *w = ctx;
    struct piece p = w->piece;
    const int64_t first = chunk * w->rows;
    p.row += first;
    p.n = p.n - first < w->rows ? p.n - first : w->rows;
    p.out += (size_t)first * p.row_bytes;
    p.scales += first;
    p.raw += (size_t)worker * w->raw_bytes;
    p.values = (float *)(void *)((char *)p.values + (size_t)worker * w->values_bytes);
    w->make(&p);
}

static enum sw_status send_piece(struct sw_cuda *cuda, struct making *w, const struct form *form)
{
    struct piece *p = &w->piece;
    const size_t bytes = (size_t)p->n * p->row_bytes;
    char *d_to = (char *)p->m->d_data + (size_t)(p->rows->row0 + p->row) * p->row_bytes;
    void *pinned;
    SW_TRY(sw_cuda_ring_take(cuda, bytes, &pinned, NULL));
    p->out = pinned;
    sw_pool_run(w->pool, make_share, w, (p->n + w->rows - 1) / w->rows);
    CUDA_TRY(cuda, cudaMemcpyAsync(d_to, pinned, bytes, cudaMemcpyHostToDevice, cuda->compute));
    return form->send_more ? form->send_more(cuda, p) : SW_OK;
}

/* Two shares a thread and piece, so that one that is late holds up little; `most`: of a piece. */
static enum sw_status matrix_put_prepare(struct making *w, const struct form *form, int64_t most)
{
    struct piece *p = &w->piece;
    const int64_t threads = w->pool ? sw_pool_threads(w->pool) : 1, cols = p->m->cols;
    const int64_t parts = threads > 1 ? 2 * threads : 1, rows = (most + parts - 1) / parts;
    w->make = p->rows->dtype == p->m->format ? make_same : form->make;
    w->rows = rows > form->least_rows ? rows : form->least_rows;
    if (form->send_more && w->rows > SW_PANEL)
        w->rows = SW_PANEL;
    w->raw_bytes = sw_round_up((uint64_t)cols * sizeof(double), SW_ALIGN);
    w->values_bytes = sw_round_up(form->send_more ? sw_matrix_bytes(p->m->format, w->rows, cols)
                                                  : (uint64_t)cols * sizeof *p->values,
                                  SW_ALIGN);
    p->raw = malloc((size_t)threads * w->raw_bytes);
    p->values = malloc((size_t)threads * w->values_bytes);
    p->scales = malloc((size_t)most * sizeof *p->scales);
    return p->raw && p->values && p->scales
               ? SW_OK
               : sw_fail(SW_ENOMEM, "no memory for rows of %lld weights", (long long)cols);
}

static enum sw_status matrix_put_refuse(const struct sw_cuda *cuda, const struct sw_matrix *m,
                                        const struct sw_matrix_rows *rows)
{
    return sw_fail(SW_EMODEL, "GPU %d: %s values cannot be made into %s weights",
                   cuda->options.device, sw_dtype_info(rows->dtype)->name,
                   sw_dtype_info(m->format)->name);
}

enum sw_status sw_cuda_matrix_put(struct sw_backend *b, struct sw_matrix *m,
                                  const struct sw_matrix_rows *rows)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    const struct form *form = form_of(m->format);
    SW_TRY(sw_cuda_enter(cuda));
    if (!form || !sw_dtype_info(rows->dtype)->is_float)
        return matrix_put_refuse(cuda, m, rows);
    if (m->format == SW_INT8 && m->cols > SW_INT8_COLS)
        return sw_fail(SW_EMODEL,
                       "GPU %d: a matrix of %lld columns cannot be int8: sums of more than %d "
                       "products could overflow; use --weights f16 or bf16",
                       cuda->options.device, (long long)m->cols, SW_INT8_COLS);
    assert(rows->row0 >= 0 && rows->n_rows >= 0 && rows->row0 + rows->n_rows <= m->rows);
    struct making w = {
        .piece = {.m = m, .rows = rows, .row_bytes = sw_cuda_row_bytes(m->format, m->cols)},
        .pool = cuda->options.pool};
    struct piece *p = &w.piece;
    const int64_t most = (int64_t)(SW_CUDA_PIECE / p->row_bytes);
    if (most < 1)
        return sw_fail(SW_EMODEL, "GPU %d: a matrix of %lld columns is wider than is foreseen",
                       cuda->options.device, (long long)m->cols);
    enum sw_status status = matrix_put_prepare(&w, form, most);
    for (; status == SW_OK && p->row < rows->n_rows; p->row += p->n) {
        p->n = rows->n_rows - p->row < most ? rows->n_rows - p->row : most;
        status = send_piece(cuda, &w, form);
    }
    free(p->raw);
    free(p->values);
    free(p->scales);
    return status;
}
