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
    float *scales;    /* (n); NULL or not written where the format has no row scales */
};

/* How a piece is made: in shares of `rows` rows. */
struct making {
    struct piece piece;
    struct sw_pool *pool;
    int64_t rows;
};

static void make_share(void *ctx, int64_t chunk, int worker)
{
    const struct making *w = ctx;
    const struct piece *p = &w->piece;
    const struct sw_format *format = sw_format_of(p->m->format);
    const int64_t size = sw_dtype_info(p->rows->dtype)->bits / 8, first = chunk * w->rows;
    const int64_t end = sw_min_i64(p->n, first + w->rows);
    const size_t unpadded =
        (size_t)(p->m->cols / format->block_len) * format->block_bytes; /* whole blocks */
    (void)worker;
    for (int64_t i = first; i < end; i++) {
        const struct sw_values row = {(const char *)p->rows->data +
                                          (p->row + i) * p->rows->row_stride * size,
                                      p->rows->dtype, p->m->cols, p->rows->col_stride};
        char *to = p->out + (size_t)i * p->row_bytes;
        memset(to + unpadded, 0, p->row_bytes - unpadded);
        sw_format_encode_row(format, &row, to, p->scales ? p->scales + i : NULL);
    }
}

static void make_piece(struct making *w)
{
    sw_pool_run(w->pool, make_share, w, (w->piece.n + w->rows - 1) / w->rows);
}

static enum sw_status send_piece(struct sw_cuda *cuda, struct making *w)
{
    struct piece *p = &w->piece;
    const struct sw_matrix *m = p->m;
    const size_t bytes = (size_t)p->n * p->row_bytes;
    const int64_t first = p->rows->row0 + p->row;
    float *d_scales = sw_matrix_scales(m->format, m->d_data, m->rows, m->cols);
    void *pinned;
    SW_TRY(sw_cuda_ring_take(cuda, bytes, &pinned, NULL));
    p->out = pinned;
    make_piece(w);
    CUDA_TRY(cuda, cudaMemcpyAsync((char *)m->d_data + (size_t)first * p->row_bytes, pinned, bytes,
                                   cudaMemcpyHostToDevice, cuda->compute));
    return d_scales ? sw_cuda_upload(&cuda->base, d_scales + first, p->scales,
                                     (size_t)p->n * sizeof *p->scales)
                    : SW_OK;
}

/* Two shares a thread and piece, so that one that is late holds up little; `most`: rows of a piece,
 * at least 1. */
static int64_t rows_of_share(const struct sw_pool *pool, int64_t most)
{
    const int64_t threads = pool ? sw_pool_threads(pool) : 1;
    const int64_t parts = threads > 1 ? 2 * threads : 1;
    return (most + parts - 1) / parts;
}

static enum sw_status matrix_put_prepare(struct making *w, int64_t most)
{
    w->rows = rows_of_share(w->pool, most);
    w->piece.scales = malloc((size_t)most * sizeof *w->piece.scales);
    return w->piece.scales ? SW_OK
                           : sw_fail(SW_ENOMEM, "no memory for the scales of %lld rows of weights",
                                     (long long)most);
}

enum sw_status sw_cuda_matrix_put(struct sw_backend *b, struct sw_matrix *m,
                                  const struct sw_matrix_rows *rows)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_format_check(m->format, rows->dtype, m->cols));
    assert(rows->row0 >= 0 && rows->n_rows >= 0 && rows->row0 + rows->n_rows <= m->rows);
    struct making w = {
        .piece = {.m = m, .rows = rows, .row_bytes = sw_cuda_row_bytes(m->format, m->cols)},
        .pool = cuda->options.pool};
    struct piece *p = &w.piece;
    const int64_t most = (int64_t)(SW_CUDA_PIECE / p->row_bytes);
    if (most < 1)
        return sw_fail(SW_EMODEL, "GPU %d: a matrix of %lld columns is wider than is foreseen",
                       cuda->options.device, (long long)m->cols);
    enum sw_status status = matrix_put_prepare(&w, most);
    for (; status == SW_OK && p->row < rows->n_rows; p->row += p->n) {
        p->n = rows->n_rows - p->row < most ? rows->n_rows - p->row : most;
        status = send_piece(cuda, &w);
    }
    free(p->scales);
    return status;
}

/* The whole put is one piece, which is made where it stays. */
enum sw_status sw_cuda_host_put(struct sw_backend *b, struct sw_matrix *m,
                                const struct sw_matrix_rows *rows)
{
    const struct sw_cuda *cuda = sw_cuda_of(b);
    const size_t row_bytes = sw_cuda_row_bytes(m->format, m->cols);
    float *scales = sw_matrix_scales(m->format, m->d_data, m->rows, m->cols);
    SW_TRY(sw_format_check(m->format, rows->dtype, m->cols));
    assert(rows->row0 >= 0 && rows->n_rows >= 0 && rows->row0 + rows->n_rows <= m->rows);
    if (rows->n_rows == 0)
        return SW_OK;
    struct making w = {.piece = {.m = m,
                                 .rows = rows,
                                 .n = rows->n_rows,
                                 .row_bytes = row_bytes,
                                 .out = (char *)m->d_data + (size_t)rows->row0 * row_bytes,
                                 .scales = scales ? scales + rows->row0 : NULL},
                       .pool = cuda->options.pool,
                       .rows = rows_of_share(cuda->options.pool, rows->n_rows)};
    make_piece(&w);
    return SW_OK;
}
