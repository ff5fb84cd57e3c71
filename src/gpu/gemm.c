/*
 * Owns GEMM, products with many rows, by cuBLAS. Operands are made in the workspace where they are
 * not there already: activations rounded to a half format, weights converted a tile at a time.
 * cuBLAS counts columns first, so our row-major y = x · Wᵀ is its yᵀ = (Wᵀ)ᵀ · xᵀ.
 */
#include "gpu/gemm.h"

#include "base/checked.h"

#define TILE ((uint64_t)16 << 20)      /* bytes of weights that are converted at once */
#define MOST_SUMS ((uint64_t)64 << 20) /* bytes of a product's results before they are finished */
#define APART 256 /* what starts in the workspace is aligned to so many bytes */

static int64_t gemm_padded(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Columns of a half operand. */
static int64_t half_cols(int64_t cols)
{
    return gemm_padded(cols, 8);
}

/* ---- the workspace: activations, then sums, then a tile of weights */

static uint64_t operand_bytes(int64_t n, int64_t cols)
{
    const uint64_t half = (uint64_t)n * ((uint64_t)half_cols(cols) * 2 + sizeof(float)) + APART;
    return sw_round_up(sw_max_u64(half, sw_gpu_quantized_bytes(n, cols)), APART);
}

static uint64_t sums_bytes(const struct sw_gpu_options *o)
{
    const uint64_t row = (uint64_t)gemm_padded(o->max_out, SW_ROW_PAD) * sizeof(float);
    const uint64_t all = (uint64_t)o->max_rows * row;
    return sw_round_up(all < MOST_SUMS ? all : sw_max_u64(MOST_SUMS, row), APART);
}

uint64_t sw_cuda_gemm_bytes(const struct sw_gpu_options *o)
{
    return operand_bytes(o->max_rows, o->max_cols) + sums_bytes(o) + TILE;
}

struct work {
    char *operand, *sums, *tile;
    uint64_t operand_bytes, sums_bytes;
};

static struct work gemm_work_of(const struct sw_cuda *cuda)
{
    const struct sw_gpu_options *o = &cuda->options;
    struct work w = {.operand = cuda->work,
                     .operand_bytes = operand_bytes(o->max_rows, o->max_cols),
                     .sums_bytes = sums_bytes(o)};
    w.sums = w.operand + w.operand_bytes;
    w.tile = w.sums + w.sums_bytes;
    return w;
}

/* ---- operands */

typedef enum sw_status multiply(struct sw_cuda *cuda, const struct sw_cuda_product *p,
                                enum sw_dtype operand);
static multiply gemm_floats, gemm_bytes;

/* By the element type of both operands. */
static const struct operand_kind {
    cudaDataType_t type;
    bool to_half; /* activations are converted to it */
    bool scaled;  /* … and each row by a power of two, because the type's range is small */
    multiply *multiply;
} operand_kinds[SW_DTYPE_COUNT] = {
    [SW_F32] = {CUDA_R_32F, false, false, gemm_floats},
    [SW_F16] = {CUDA_R_16F, true, true, gemm_floats},
    [SW_BF16] = {CUDA_R_16BF, true, false, gemm_floats},
    [SW_I8] = {CUDA_R_8I, false, false, gemm_bytes},
};

/* Rows as cuBLAS reads them. */
struct operand {
    const void *data;
    int64_t ld;
    const float *scale; /* (rows) NULL: 1 */
};

/* Rows of x in the order of the matrix's columns, made half: some at a time go through the tile,
 * which is not yet used. */
static enum sw_status gemm_make_ordered(struct sw_cuda *cuda, const struct sw_cuda_product *p,
                                        enum sw_dtype type, const struct work *w, float *scale)
{
    const int64_t cols = p->m->cols, ld = gemm_padded(cols, 4);
    const int64_t most = sw_max_i64(1, (int64_t)(TILE / sizeof(float)) / ld);
    float *const some = (float *)(void *)w->tile;
    for (int64_t row = 0; row < p->n; row += most) {
        const int64_t n = sw_min_i64(most, p->n - row);
        CUDA_TRY(cuda, sw_gpu_permute(p->x + row * p->ld_x, p->ld_x, p->m->d_order, n, cols, some,
                                      ld, cuda->compute));
        CUDA_TRY(cuda,
                 sw_gpu_to_half(type, some, ld, n, cols, w->operand + row * half_cols(cols) * 2,
                                scale + row, cuda->compute));
    }
    return SW_OK;
}

static enum sw_status gemm_make_x(struct sw_cuda *cuda, const struct sw_cuda_product *p,
                                  enum sw_dtype type, const struct work *w, struct operand *x)
{
    if (!operand_kinds[type].to_half) {
        *x = (struct operand){p->x, p->ld_x, NULL};
        return SW_OK;
    }
    const int64_t cols = half_cols(p->m->cols);
    float *scale = (float *)(void *)(w->operand + sw_round_up((uint64_t)(p->n * cols * 2), APART));
    *x = (struct operand){w->operand, cols, operand_kinds[type].scaled ? scale : NULL};
    if (p->m->d_order)
        return gemm_make_ordered(cuda, p, type, w, scale);
    CUDA_TRY(cuda, sw_gpu_to_half(type, p->x, p->ld_x, p->n, p->m->cols, w->operand, scale,
                                  cuda->compute));
    return SW_OK;
}

/* Whether cuBLAS reads the weights where they are. */
static bool gemm_in_place(const struct sw_matrix *m, enum sw_dtype type)
{
    return sw_format_of(m->format)->dtype == type;
}

/* Rows [row, row + n) of the weights: where they are, or converted into the tile. */
static enum sw_status gemm_make_w(struct sw_cuda *cuda, const struct sw_matrix *m,
                                  enum sw_dtype type, const struct work *w, int64_t row, int64_t n,
                                  struct operand *out)
{
    if (gemm_in_place(m, type)) {
        const struct sw_gpu_layout l = sw_gpu_layout_of(m->format, m->rows, m->cols);
        *out = (struct operand){(const char *)m->d_data + (size_t)row * l.parts[0].row_bytes,
                                l.cols, NULL};
        return SW_OK;
    }
    const int64_t cols = half_cols(m->cols);
    float *scale = (float *)(void *)(w->tile + sw_round_up((uint64_t)(n * cols * 2), APART));
    *out = (struct operand){w->tile, cols, scale};
    CUDA_TRY(cuda, sw_gpu_weights_to_half(type, m->format, m->d_data, m->rows, m->cols, row, n,
                                          w->tile, scale, cuda->compute));
    return SW_OK;
}

/* Weight rows at once: what the sums have room for, and the tile if they are converted. */
static int64_t tile_rows(const struct sw_cuda_product *p, enum sw_dtype type, const struct work *w)
{
    int64_t rows = (int64_t)(w->sums_bytes / sizeof(float)) / p->n;
    if (!gemm_in_place(p->m, type))
        rows = sw_min_i64(rows, ((int64_t)TILE - APART) / (half_cols(p->m->cols) * 2 + 4));
    return rows > SW_ROW_PAD ? rows / SW_ROW_PAD * SW_ROW_PAD : rows;
}

/* ---- products */

/* y (n, rows) (+)= x · Wᵀ in f32 */
static enum sw_status gemm_multiply(struct sw_cuda *cuda, enum sw_dtype operand,
                                    const struct operand *weights, int64_t rows,
                                    const struct operand *x, int64_t n, int64_t cols, bool add,
                                    float *y, int64_t ld_y)
{
    const cudaDataType_t type = operand_kinds[operand].type;
    const float one = 1, before = add ? 1 : 0;
    CUBLAS_TRY(cuda, cublasGemmEx(cuda->blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)rows, (int)n,
                                  (int)cols, &one, weights->data, type, (int)weights->ld, x->data,
                                  type, (int)x->ld, &before, y, CUDA_R_32F, (int)ld_y,
                                  CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    return SW_OK;
}

static enum sw_status gemm_floats(struct sw_cuda *cuda, const struct sw_cuda_product *p,
                                  enum sw_dtype type)
{
    const struct work w = gemm_work_of(cuda);
    const int64_t step = tile_rows(p, type, &w);
    float *sums = (float *)(void *)w.sums;
    struct operand x, weights;
    SW_TRY(gemm_make_x(cuda, p, type, &w, &x));
    if (!x.scale && gemm_in_place(p->m, type) && !p->bias) { /* cuBLAS leaves nothing to finish */
        SW_TRY(gemm_make_w(cuda, p->m, type, &w, 0, p->m->rows, &weights));
        return gemm_multiply(cuda, type, &weights, p->m->rows, &x, p->n, p->m->cols, p->add, p->y,
                             p->ld_y);
    }
    for (int64_t row = 0; row < p->m->rows; row += step) {
        const int64_t n = sw_min_i64(step, p->m->rows - row);
        SW_TRY(gemm_make_w(cuda, p->m, type, &w, row, n, &weights));
        SW_TRY(gemm_multiply(cuda, type, &weights, n, &x, p->n, p->m->cols, false, sums, n));
        CUDA_TRY(cuda, sw_gpu_finish(sums, p->n, n, x.scale, weights.scale,
                                     p->bias ? p->bias + row : NULL, p->add, p->y + row, p->ld_y,
                                     cuda->compute));
    }
    return SW_OK;
}

/*
 * Products of bytes are exact in 32 bits; scales and outliers join when they are finished. cuBLAS
 * wants rows of bytes, and their number, in multiples of 4: padded ones are.
 */
static enum sw_status gemm_bytes(struct sw_cuda *cuda, const struct sw_cuda_product *p,
                                 enum sw_dtype type)
{
    const struct work w = gemm_work_of(cuda);
    const struct sw_matrix *m = p->m;
    const struct sw_gpu_layout l = sw_gpu_layout_of(m->format, m->rows, m->cols);
    const int64_t ld = l.cols, padded_rows = l.rows;
    const cudaDataType_t bytes = operand_kinds[type].type;
    const int64_t room = (int64_t)(w.sums_bytes / sizeof(int32_t)) / p->n;
    const int64_t step = room > SW_ROW_PAD ? room / SW_ROW_PAD * SW_ROW_PAD : SW_ROW_PAD;
    const int32_t one = 1, zero = 0;
    int32_t *sums = (int32_t *)(void *)w.sums;
    CUDA_TRY(cuda, sw_gpu_quantize(p->x, p->ld_x, p->n, m->cols, w.operand, cuda->compute));
    const int8_t *x = sw_gpu_quantized_elements(w.operand, p->n, m->cols);
    for (int64_t row = 0; row < m->rows; row += step) {
        const int64_t ld_sums = sw_min_i64(step, padded_rows - row),
                      n = sw_min_i64(step, m->rows - row);
        CUBLAS_TRY(cuda, cublasGemmEx(cuda->blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)ld_sums, (int)p->n,
                                      (int)ld, &one, (const int8_t *)m->d_data + row * ld, bytes,
                                      (int)ld, x, bytes, (int)ld, &zero, sums, CUDA_R_32I,
                                      (int)ld_sums, CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT));
        CUDA_TRY(cuda,
                 sw_gpu_finish_int8(sums, ld_sums, p->x, p->ld_x, w.operand, m->d_data, m->rows,
                                    m->cols, row, n, p->n, p->bias ? p->bias + row : NULL, p->add,
                                    p->y + row, p->ld_y, cuda->compute));
    }
    return SW_OK;
}

enum sw_status sw_cuda_gemm(struct sw_cuda *cuda, const struct sw_cuda_product *p)
{
    const struct sw_gpu_format *f = sw_gpu_format_of(p->m->format);
    const enum sw_dtype operand = cuda->major >= 8 ? f->operand : f->turing_operand;
    return operand_kinds[operand].multiply(cuda, p, operand);
}
