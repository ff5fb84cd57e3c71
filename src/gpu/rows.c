/* Owns the operations on rows, and the table of all operations. */
#include "gpu/cuda.h"

#include "base/checked.h"

/* Elements of a small host array that are sent at once. */
#define PART ((int64_t)(SW_CUDA_PIECE / sizeof(int32_t)))

static enum sw_status embed_rows(struct sw_cuda *cuda, const struct sw_matrix *m,
                                 const int32_t *ids, int64_t n, float *d_y, int64_t ld_y)
{
    SW_TRY(sw_cuda_enter(cuda));
    for (int64_t i = 0, k; i < n; i += k) {
        void *d_ids;
        k = sw_min_i64(PART, n - i);
        SW_TRY(sw_cuda_ring_send(cuda, ids + i, (size_t)k * sizeof *ids, &d_ids));
        CUDA_TRY(cuda, sw_gpu_embed(m->format, m->d_data, m->rows, m->cols, d_ids, k,
                                    d_y + i * ld_y, ld_y, cuda->compute));
    }
    return SW_OK;
}

static void gpu_rows_embed(struct sw_backend *b, const struct sw_matrix *m, const int32_t *ids,
                           int64_t n, float *d_y, int64_t ld_y)
{
    (void)embed_rows(sw_cuda_of(b), m, ids, n, d_y, ld_y);
}

static enum sw_status gather_rows(struct sw_cuda *cuda, const float *d_x, int64_t ld_x,
                                  const int32_t *rows, const float *weights, int64_t n, int64_t dim,
                                  float *d_y, int64_t ld_y)
{
    SW_TRY(sw_cuda_enter(cuda));
    for (int64_t i = 0, k; i < n; i += k) {
        void *d_rows = NULL, *d_weights = NULL;
        k = rows || weights ? sw_min_i64(PART, n - i) : n;
        if (rows)
            SW_TRY(sw_cuda_ring_send(cuda, rows + i, (size_t)k * sizeof *rows, &d_rows));
        if (weights)
            SW_TRY(sw_cuda_ring_send(cuda, weights + i, (size_t)k * sizeof *weights, &d_weights));
        CUDA_TRY(cuda, sw_gpu_gather(rows ? d_x : d_x + i * ld_x, ld_x, d_rows, d_weights, k, dim,
                                     d_y + i * ld_y, ld_y, cuda->compute));
    }
    return SW_OK;
}

static void gpu_rows_gather(struct sw_backend *b, const float *d_x, int64_t ld_x,
                            const int32_t *rows, const float *weights, int64_t n, int64_t dim,
                            float *d_y, int64_t ld_y)
{
    (void)gather_rows(sw_cuda_of(b), d_x, ld_x, rows, weights, n, dim, d_y, ld_y);
}

static enum sw_status scatter_rows(struct sw_cuda *cuda, const float *d_x, int64_t ld_x,
                                   const int32_t *rows, const float *weights, int64_t n,
                                   int64_t dim, float *d_y, int64_t ld_y)
{
    SW_TRY(sw_cuda_enter(cuda));
    for (int64_t i = 0, k; i < n; i += k) {
        void *d_rows, *d_weights;
        k = sw_min_i64(PART, n - i);
        SW_TRY(sw_cuda_ring_send(cuda, rows + i, (size_t)k * sizeof *rows, &d_rows));
        SW_TRY(sw_cuda_ring_send(cuda, weights + i, (size_t)k * sizeof *weights, &d_weights));
        CUDA_TRY(cuda, sw_gpu_scatter_add(d_x + i * ld_x, ld_x, d_rows, d_weights, k, dim, d_y,
                                          ld_y, cuda->compute));
    }
    return SW_OK;
}

static void scatter_add(struct sw_backend *b, const float *d_x, int64_t ld_x, const int32_t *rows,
                        const float *weights, int64_t n, int64_t dim, float *d_y, int64_t ld_y)
{
    (void)scatter_rows(sw_cuda_of(b), d_x, ld_x, rows, weights, n, dim, d_y, ld_y);
}

/* For operations that need no data from the host. */
#define LAUNCH(b, launcher)                                                                        \
    do {                                                                                           \
        struct sw_cuda *cuda = sw_cuda_of(b);                                                      \
        if (sw_cuda_enter(cuda) != SW_OK)                                                          \
            return;                                                                                \
        const cudaError_t cuda_error = (launcher);                                                 \
        if (cuda_error != cudaSuccess)                                                             \
            (void)sw_cuda_failed(cuda, cuda_error, #launcher, __FILE__, __LINE__);                 \
    } while (0)

static void gpu_rows_norm(struct sw_backend *b, enum sw_norm kind, float eps, const float *d_x,
                          int64_t ld_x, int64_t n, int64_t dim, const float *d_weight,
                          const float *d_bias, float *d_y, int64_t ld_y)
{
    LAUNCH(b, sw_gpu_norm(kind, eps, d_x, ld_x, n, dim, d_weight, d_bias, d_y, ld_y, NULL,
                          cuda->compute));
}

static void gpu_rows_activate(struct sw_backend *b, enum sw_activation kind, bool gated,
                              const float *d_x, int64_t ld_x, int64_t n, int64_t dim, float *d_y,
                              int64_t ld_y)
{
    LAUNCH(b, sw_gpu_activate(kind, gated, d_x, ld_x, n, dim, d_y, ld_y, cuda->compute));
}

static void gpu_rows_add(struct sw_backend *b, float factor, const float *d_x, int64_t ld_x,
                         int64_t n, int64_t dim, float *d_y, int64_t ld_y)
{
    LAUNCH(b, sw_gpu_add(factor, d_x, ld_x, n, dim, d_y, ld_y, cuda->compute));
}

static void gpu_rows_scale(struct sw_backend *b, float factor, const float *d_factor, float cap,
                           int64_t n, int64_t dim, float *d_y, int64_t ld_y)
{
    LAUNCH(b, sw_gpu_scale(factor, d_factor, cap, n, dim, d_y, ld_y, cuda->compute));
}

const struct sw_backend_ops sw_cuda_backend_ops = {
    .name = "cuda",
    .close = sw_cuda_close,
    .alloc = sw_cuda_alloc,
    .free = sw_cuda_free,
    .upload = sw_cuda_upload,
    .download = sw_cuda_download,
    .sync = sw_cuda_sync,
    .matrix_clear = sw_cuda_matrix_clear,
    .matrix_put = sw_cuda_matrix_put,
    .embed = gpu_rows_embed,
    .norm = gpu_rows_norm,
    .matmul = sw_cuda_matmul,
    .project = sw_cuda_project,
    .place_heads = sw_cuda_place_heads,
    .kv_copy = sw_cuda_kv_copy,
    .attend = sw_cuda_attend,
    .delta = sw_cuda_delta,
    .delta_copy = sw_cuda_delta_copy,
    .gate = sw_cuda_gate,
    .activate = gpu_rows_activate,
    .add = gpu_rows_add,
    .scale = gpu_rows_scale,
    .gather = gpu_rows_gather,
    .scatter_add = scatter_add,
};
