/*
 * Owns how weights come onto the device: rows of a file's values become rows of the GPU's layout
 * (kernels/cuda/cuda_kernels.h) in pinned memory, a piece of the ring at a time, and are sent; or
 * they stay in host memory, from where a whole layer is copied when it is needed. Threads share a
 * piece's rows: one alone quantizes more slowly than disks read.
 */
#include "gpu/cuda.h"

#include "base/checked.h"
#include "base/pool.h"

#include <assert.h>
#include <string.h>

enum sw_status sw_cuda_matrix_clear(struct sw_backend *b, struct sw_matrix *m)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaMemsetAsync(m->d_data, 0, sw_matrix_bytes(m->format, m->rows, m->cols),
                                   cuda->compute));
    float *d_table = sw_matrix_table(m->format, m->d_data, m->rows, m->cols);
    if (d_table)
        CUDA_TRY(cuda, cudaMemcpyAsync(d_table, sw_format_of(m->format)->table,
                                       SW_TABLE_LEN * sizeof *d_table, cudaMemcpyHostToDevice,
                                       cuda->compute));
    return SW_OK;
}

/* Rows [row, row + n) of a put, in the parts that the layout has (kernels/cuda/gpu_formats.h). */
struct piece {
    const struct sw_matrix *m;
    const struct sw_matrix_rows *rows;
    struct sw_gpu_layout layout; /* of the matrix */
    int64_t row, n;
    char *parts[SW_GPU_PARTS]; /* (n, layout.parts[…].row_bytes) */
};

/* How a piece is made: in shares of `rows` rows. */
struct making {
    struct piece piece;
    struct sw_pool *pool;
    int64_t rows;
};

/* Blocks that are split are made in pieces of at most so many bytes. */
#define MOST_WHOLE 4096

/* Encodes a row whose blocks lie in several parts. */
static void encode_split(enum sw_format_id id, const struct sw_gpu_layout *l,
                         const struct sw_values *row, char *const *parts)
{
    const struct sw_format *format = sw_format_of(id);
    const int64_t most = MOST_WHOLE / (int64_t)format->block_bytes * format->block_len;
    const int64_t all = l->cols / format->block_len;
    float scale = 0; /* of the row, if the format has any */
    const float measured = sw_format_measure(format, row, &scale);
    if (format->row_scale)
        memcpy(parts[l->n_parts - 1], &scale, sizeof scale);
    for (int64_t first = 0; first < row->n; first += most) {
        const int64_t n = sw_min_i64(most, row->n - first), at = first / format->block_len;
        _Alignas(16) char whole[MOST_WHOLE];
        char *to[SW_GPU_PARTS];
        for (int i = 0; i < l->n_blocks; i++)
            to[i] = parts[i] + at * ((int64_t)l->parts[i].row_bytes / all);
        sw_format_encode(format, row, measured, first, n, whole);
        sw_gpu_split(id, whole, (n + format->block_len - 1) / format->block_len, to);
    }
}

static void make_row(const struct piece *p, const struct sw_values *row, char *const *parts)
{
    const struct sw_format *format = sw_format_of(p->m->format);
    const struct sw_gpu_layout *l = &p->layout;
    const size_t all = (size_t)(l->cols / format->block_len),
                 filled = (size_t)((row->n + format->block_len - 1) / format->block_len);
    for (int i = 0; i < l->n_blocks; i++) {
        const size_t of_block = l->parts[i].row_bytes / all;
        memset(parts[i] + filled * of_block, 0, (all - filled) * of_block);
    }
    if (l->n_blocks > 1)
        encode_split(p->m->format, l, row, parts);
    else
        sw_format_encode_row(format, row, parts[0], (float *)(void *)parts[l->n_parts - 1]);
}

static void make_share(void *ctx, int64_t chunk, int worker)
{
    const struct making *w = ctx;
    const struct piece *p = &w->piece;
    const int64_t step = sw_values_step(p->rows->dtype, p->rows->blocks, p->rows->row_stride);
    const int64_t first = chunk * w->rows;
    const int64_t end = sw_min_i64(p->n, first + w->rows);
    (void)worker;
    for (int64_t i = first; i < end; i++) {
        const struct sw_values row = {(const char *)p->rows->data + (p->row + i) * step,
                                      p->rows->dtype, p->m->cols, p->rows->col_stride,
                                      p->rows->blocks};
        char *parts[SW_GPU_PARTS];
        for (int k = 0; k < p->layout.n_parts; k++)
            parts[k] = p->parts[k] + (size_t)i * p->layout.parts[k].row_bytes;
        make_row(p, &row, parts);
    }
}

static void make_piece(struct making *w)
{
    sw_pool_run(w->pool, make_share, w, (w->piece.n + w->rows - 1) / w->rows);
}

static enum sw_status send_piece(struct sw_cuda *cuda, struct making *w)
{
    struct piece *p = &w->piece;
    const struct sw_gpu_layout *l = &p->layout;
    const size_t first = (size_t)(p->rows->row0 + p->row), n = (size_t)p->n;
    char *const d_data = p->m->d_data;
    void *pinned;
    SW_TRY(sw_cuda_ring_take(cuda, n * l->row_bytes, &pinned, NULL));
    p->parts[0] = pinned;
    for (int i = 1; i < l->n_parts; i++)
        p->parts[i] = p->parts[i - 1] + n * l->parts[i - 1].row_bytes;
    make_piece(w);
    for (int i = 0; i < l->n_parts; i++) {
        const size_t row_bytes = l->parts[i].row_bytes;
        CUDA_TRY(cuda, cudaMemcpyAsync(d_data + l->parts[i].at + first * row_bytes, p->parts[i],
                                       n * row_bytes, cudaMemcpyHostToDevice, cuda->compute));
    }
    return SW_OK;
}

/* Two shares a thread and piece, so that one that is late holds up little; `most`: rows of a piece,
 * at least 1. */
static int64_t rows_of_share(const struct sw_pool *pool, int64_t most)
{
    const int64_t threads = pool ? sw_pool_threads(pool) : 1;
    const int64_t parts = threads > 1 ? 2 * threads : 1;
    return (most + parts - 1) / parts;
}

static struct making making_of(const struct sw_cuda *cuda, const struct sw_matrix *m,
                               const struct sw_matrix_rows *rows)
{
    assert(rows->row0 >= 0 && rows->n_rows >= 0 && rows->row0 + rows->n_rows <= m->rows);
    return (struct making){
        .piece = {.m = m, .rows = rows, .layout = sw_gpu_layout_of(m->format, m->rows, m->cols)},
        .pool = cuda->options.pool};
}

enum sw_status sw_cuda_matrix_put(struct sw_backend *b, struct sw_matrix *m,
                                  const struct sw_matrix_rows *rows)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_format_check(m->format, rows->dtype, m->cols));
    struct making w = making_of(cuda, m, rows);
    struct piece *p = &w.piece;
    const int64_t most = (int64_t)(SW_CUDA_PIECE / p->layout.row_bytes);
    if (most < 1)
        return sw_fail(SW_EMODEL, "GPU %d: a matrix of %lld columns is wider than is foreseen",
                       cuda->options.device, (long long)m->cols);
    w.rows = rows_of_share(w.pool, most);
    for (; p->row < rows->n_rows; p->row += p->n) {
        p->n = sw_min_i64(most, rows->n_rows - p->row);
        SW_TRY(send_piece(cuda, &w));
    }
    return SW_OK;
}

/* Of rows that are put every byte is written. */
void sw_cuda_host_clear(struct sw_backend *b, struct sw_matrix *m)
{
    const struct sw_gpu_layout l = sw_gpu_layout_of(m->format, m->rows, m->cols);
    char *const data = m->d_data;
    size_t end = 0;
    (void)b;
    for (int i = 0; i < l.n_parts; i++) {
        const size_t row_bytes = l.parts[i].row_bytes;
        memset(data + l.parts[i].at + (size_t)m->rows * row_bytes, 0,
               (size_t)(l.rows - m->rows) * row_bytes);
        end = l.parts[i].at + (size_t)l.rows * row_bytes;
    }
    memset(data + end, 0, sw_matrix_bytes(m->format, m->rows, m->cols) - end);
    float *table = sw_matrix_table(m->format, data, m->rows, m->cols);
    if (table)
        memcpy(table, sw_format_of(m->format)->table, SW_TABLE_LEN * sizeof *table);
}

/* The whole put is one piece, which is made where it stays. */
enum sw_status sw_cuda_host_put(struct sw_backend *b, struct sw_matrix *m,
                                const struct sw_matrix_rows *rows)
{
    const struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_format_check(m->format, rows->dtype, m->cols));
    struct making w = making_of(cuda, m, rows);
    struct piece *p = &w.piece;
    const struct sw_gpu_layout *l = &p->layout;
    if (rows->n_rows == 0)
        return SW_OK;
    p->n = rows->n_rows;
    for (int i = 0; i < l->n_parts; i++)
        p->parts[i] =
            (char *)m->d_data + l->parts[i].at + (size_t)rows->row0 * l->parts[i].row_bytes;
    if (rows->alone)
        w.pool = NULL;
    w.rows = rows_of_share(w.pool, rows->n_rows);
    make_piece(&w);
    return SW_OK;
}
