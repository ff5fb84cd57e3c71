/*
 * Owns matrix products. Few rows are bound by reading the weights and go through kernels of our own
 * (gemv); many go through cuBLAS, whose operands are made in the workspace where they are not
 * there already: activations rounded to a half format, weights converted a tile at a time. cuBLAS
 * counts columns first, so our row-major y = x · Wᵀ is its yᵀ = (Wᵀ)ᵀ · xᵀ.
 */
#include "gpu/cuda.h"

#include "base/checked.h"

#include <assert.h>

#define TILE ((uint64_t)16 << 20)      /* bytes of weights that are converted at once */
#define MOST_SUMS ((uint64_t)64 << 20) /* bytes of a product's results before they are finished */
#define APART 256 /* what starts in the workspace is aligned to so many bytes */

static int64_t products_padded(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Columns of a half operand. */
static int64_t half_cols(int64_t cols)
{
    return products_padded(cols, 8);
}

/* ---- the workspace: activations, then sums, then a tile of weights */

static uint64_t operand_bytes(int64_t n, int64_t cols)
{
    const uint64_t half = (uint64_t)n * ((uint64_t)half_cols(cols) * 2 + sizeof(float)) + APART;
    return sw_round_up(sw_max_u64(half, sw_gpu_quantized_bytes(n, cols)), APART);
}

static uint64_t sums_bytes(const struct sw_gpu_options *o)
{
    const uint64_t row = (uint64_t)products_padded(o->max_out, SW_ROW_PAD) * sizeof(float);
    const uint64_t all = (uint64_t)o->max_rows * row;
    return sw_round_up(all < MOST_SUMS ? all : sw_max_u64(MOST_SUMS, row), APART);
}

uint64_t sw_cuda_products_bytes(const struct sw_gpu_options *o)
{
    return operand_bytes(o->max_rows, o->max_cols) + sums_bytes(o) + TILE;
}

struct work {
    char *operand, *sums, *tile;
    uint64_t operand_bytes, sums_bytes;
};

static struct work work_of(const struct sw_cuda *cuda)
{
    const struct sw_gpu_options *o = &cuda->options;
    struct work w = {.operand = cuda->work,
                     .operand_bytes = operand_bytes(o->max_rows, o->max_cols),
                     .sums_bytes = sums_bytes(o)};
    w.sums = w.operand + w.operand_bytes;
    w.tile = w.sums + w.sums_bytes;
    return w;
}

/* ---- one product; y (+)= x · Wᵀ + bias, n rows */

struct product {
    const struct sw_matrix *m;
    const float *bias, *x;
    int64_t ld_x, n;
    float *y;
    int64_t ld_y;
    bool add;
};

/* What else it is done with, where there are few rows; zeros: nothing. */
struct epilogue {
    bool quantized; /* the operand has been made of x already */
    int32_t act, gated;
};

static enum sw_status gemv(struct sw_cuda *cuda, const struct product *p,
                           const struct epilogue *epilogue)
{
    const struct work w = work_of(cuda);
    if (p->m->format == SW_FORMAT_INT8 && !epilogue->quantized)
        CUDA_TRY(cuda, sw_gpu_quantize(p->x, p->ld_x, p->n, p->m->cols, w.operand, cuda->compute));
    const struct sw_gpu_product q = {.format = p->m->format,
                                     .w = p->m->d_data,
                                     .rows = p->m->rows,
                                     .cols = p->m->cols,
                                     .x = p->x,
                                     .ld_x = p->ld_x,
                                     .x8 = p->m->format == SW_FORMAT_INT8 ? w.operand : NULL,
                                     .n = p->n,
                                     .bias = p->bias,
                                     .y = p->y,
                                     .ld_y = p->ld_y,
                                     .add = p->add,
                                     .act = epilogue->act,
                                     .gated = epilogue->gated};
    CUDA_TRY(cuda, sw_gpu_gemv(&q, cuda->compute));
    return SW_OK;
}

/* How a weight format meets activations in cuBLAS. */
struct operands {
    enum sw_dtype format; /* of both */
    cudaDataType_t type;
};

/* f16 weights meet f16 activations, which have more digits; bf16 ones bf16, whose range is
 * larger, but on Turing, which cannot multiply it, scaled f16; f32 stays f32. */
static struct operands operands_for(const struct sw_cuda *cuda, enum sw_format_id format)
{
    if (format == SW_FORMAT_F32)
        return (struct operands){SW_F32, CUDA_R_32F};
    if (format == SW_FORMAT_BF16 && cuda->major >= 8)
        return (struct operands){SW_BF16, CUDA_R_16BF};
    return (struct operands){SW_F16, CUDA_R_16F};
}

/* Activations as cuBLAS reads them. */
struct side {
    const void *data;
    int64_t ld;
    const float *scale; /* (n) NULL: 1 */
};

static enum sw_status make_x(struct sw_cuda *cuda, const struct product *p,
                             const struct operands *o, const struct work *w, struct side *x)
{
    if (o->format == SW_F32) {
        *x = (struct side){p->x, p->ld_x, NULL};
        return SW_OK;
    }
    const int64_t cols = half_cols(p->m->cols);
    float *scale = (float *)(void *)(w->operand + sw_round_up((uint64_t)(p->n * cols * 2), APART));
    *x = (struct side){w->operand, cols, o->format == SW_BF16 ? NULL : scale};
    CUDA_TRY(cuda, sw_gpu_to_half(o->format, p->x, p->ld_x, p->n, p->m->cols, w->operand, scale,
                                  cuda->compute));
    return SW_OK;
}

/* Rows [row, row + n) of the weights: where they are, or converted into the tile. */
static enum sw_status make_w(struct sw_cuda *cuda, const struct product *p,
                             const struct operands *o, const struct work *w, int64_t row, int64_t n,
                             struct side *out)
{
    const struct sw_matrix *m = p->m;
    if (o->format == sw_format_of(m->format)->dtype) {
        const size_t row_bytes = sw_cuda_row_bytes(m->format, m->cols);
        *out = (struct side){
            (const char *)m->d_data + (size_t)row * row_bytes,
            (int64_t)(row_bytes / sw_format_of(m->format)->block_bytes),
            NULL,
        };
        return SW_OK;
    }
    const int64_t cols = half_cols(m->cols);
    float *scale = (float *)(void *)(w->tile + sw_round_up((uint64_t)(n * cols * 2), APART));
    *out = (struct side){w->tile, cols, scale};
    CUDA_TRY(cuda, sw_gpu_weights_to_half(o->format, m->format, m->d_data, m->rows, m->cols, row, n,
                                          w->tile, scale, cuda->compute));
    return SW_OK;
}

/* Weight rows at once: what the sums have room for, and the tile if they are converted. */
static int64_t tile_rows(const struct product *p, const struct operands *o, const struct work *w)
{
    int64_t rows = (int64_t)(w->sums_bytes / sizeof(float)) / p->n;
    if (o->format != sw_format_of(p->m->format)->dtype)
        rows = sw_min_i64(rows, ((int64_t)TILE - APART) / (half_cols(p->m->cols) * 2 + 4));
    return rows > SW_ROW_PAD ? rows / SW_ROW_PAD * SW_ROW_PAD : rows;
}

/* y (n, rows) (+)= x · Wᵀ in f32 */
static enum sw_status products_multiply(struct sw_cuda *cuda, const struct operands *o,
                                        const struct side *weights, int64_t rows,
                                        const struct side *x, int64_t n, int64_t cols, bool add,
                                        float *y, int64_t ld_y)
{
    const float one = 1, before = add ? 1 : 0;
    CUBLAS_TRY(cuda, cublasGemmEx(cuda->blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)rows, (int)n,
                                  (int)cols, &one, weights->data, o->type, (int)weights->ld,
                                  x->data, o->type, (int)x->ld, &before, y, CUDA_R_32F, (int)ld_y,
                                  CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    return SW_OK;
}

static enum sw_status gemm(struct sw_cuda *cuda, const struct product *p)
{
    const struct work w = work_of(cuda);
    const struct operands o = operands_for(cuda, p->m->format);
    const int64_t step = tile_rows(p, &o, &w);
    float *sums = (float *)(void *)w.sums;
    struct side x, weights;
    SW_TRY(make_x(cuda, p, &o, &w, &x));
    if (!x.scale && o.format == sw_format_of(p->m->format)->dtype &&
        !p->bias) { /* cuBLAS leaves nothing to finish */
        SW_TRY(make_w(cuda, p, &o, &w, 0, p->m->rows, &weights));
        return products_multiply(cuda, &o, &weights, p->m->rows, &x, p->n, p->m->cols, p->add, p->y,
                                 p->ld_y);
    }
    for (int64_t row = 0; row < p->m->rows; row += step) {
        const int64_t n = sw_min_i64(step, p->m->rows - row);
        SW_TRY(make_w(cuda, p, &o, &w, row, n, &weights));
        SW_TRY(products_multiply(cuda, &o, &weights, n, &x, p->n, p->m->cols, false, sums, n));
        CUDA_TRY(cuda, sw_gpu_finish(sums, p->n, n, x.scale, weights.scale,
                                     p->bias ? p->bias + row : NULL, p->add, p->y + row, p->ld_y,
                                     cuda->compute));
    }
    return SW_OK;
}

/*
 * int8: products of bytes are exact in 32 bits; scales and outliers join when they are finished.
 * cuBLAS wants rows of bytes, and their number, in multiples of 4: padded ones are.
 */
static enum sw_status gemm_int8(struct sw_cuda *cuda, const struct product *p)
{
    const struct work w = work_of(cuda);
    const struct sw_matrix *m = p->m;
    const int64_t ld = (int64_t)sw_cuda_row_bytes(m->format, m->cols);
    const int64_t padded_rows = sw_matrix_layout_of(m->format, m->rows, m->cols).rows;
    const int64_t room = (int64_t)(w.sums_bytes / sizeof(int32_t)) / p->n;
    const int64_t step = room > SW_ROW_PAD ? room / SW_ROW_PAD * SW_ROW_PAD : SW_ROW_PAD;
    const int32_t one = 1, zero = 0;
    int32_t *sums = (int32_t *)(void *)w.sums;
    CUDA_TRY(cuda, sw_gpu_quantize(p->x, p->ld_x, p->n, m->cols, w.operand, cuda->compute));
    const int8_t *x = sw_gpu_quantized_elements(w.operand, p->n, m->cols);
    for (int64_t row = 0; row < m->rows; row += step) {
        const int64_t ld_sums = sw_min_i64(step, padded_rows - row),
                      n = sw_min_i64(step, m->rows - row);
        CUBLAS_TRY(cuda,
                   cublasGemmEx(cuda->blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)ld_sums, (int)p->n,
                                (int)ld, &one, (const int8_t *)m->d_data + row * ld, CUDA_R_8I,
                                (int)ld, x, CUDA_R_8I, (int)ld, &zero, sums, CUDA_R_32I,
                                (int)ld_sums, CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT));
        CUDA_TRY(cuda,
                 sw_gpu_finish_int8(sums, ld_sums, p->x, p->ld_x, w.operand, m->d_data, m->rows,
                                    m->cols, row, n, p->n, p->bias ? p->bias + row : NULL, p->add,
                                    p->y + row, p->ld_y, cuda->compute));
    }
    return SW_OK;
}

static enum sw_status products(struct sw_cuda *cuda, struct product p)
{
    const int64_t n = p.n, most = sw_min_i64(n, cuda->options.max_rows);
    assert(p.m->cols <= cuda->options.max_cols); /* more rows go in more tiles */
    for (int64_t row = 0; row < n; row += most) {
        p.n = sw_min_i64(most, n - row);
        SW_TRY(p.n <= SW_GPU_GEMV_ROWS         ? gemv(cuda, &p, &(struct epilogue){0})
               : p.m->format == SW_FORMAT_INT8 ? gemm_int8(cuda, &p)
                                               : gemm(cuda, &p));
        p.x += most * p.ld_x;
        p.y += most * p.ld_y;
    }
    return SW_OK;
}

void sw_cuda_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                    const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add)
{
    const struct product p = {m, d_bias, d_x, ld_x, n, d_y, ld_y, add};
    if (sw_cuda_enter(sw_cuda_of(b)) == SW_OK)
        (void)products(sw_cuda_of(b), p);
}

/* ---- with the norm before it and the activation behind it */

/* Few rows: the activation, and for int8 the making of bytes, are in kernels that are there anyway.
 */
static enum sw_status project_few(struct sw_cuda *cuda, const struct sw_projection *p,
                                  const struct product *product, bool normed)
{
    const struct epilogue epilogue = {
        .quantized = normed && p->m->format == SW_FORMAT_INT8,
        .act = p->activated ? 1 + (int32_t)p->activation : 0,
        .gated = p->activated && p->gated,
    };
    return gemv(cuda, product, &epilogue);
}

static enum sw_status project_many(struct sw_cuda *cuda, const struct sw_projection *p,
                                   const struct product *product)
{
    const int64_t halves = p->gated ? 2 : 1;
    SW_TRY(products(cuda, *product));
    if (p->activated)
        CUDA_TRY(cuda,
                 sw_gpu_activate(p->activation, p->gated, product->y, product->ld_y, product->n,
                                 p->m->rows / halves, product->y, product->ld_y, cuda->compute));
    return SW_OK;
}

static enum sw_status products_project(struct sw_cuda *cuda, const struct sw_projection *p,
                                       struct product product)
{
    const bool normed = p->d_norm != NULL;
    const bool is_gemv = product.n <= SW_GPU_GEMV_ROWS && product.n <= cuda->options.max_rows;
    void *x8 = is_gemv && p->m->format == SW_FORMAT_INT8 ? work_of(cuda).operand : NULL;
    SW_TRY(sw_cuda_enter(cuda));
    if (normed) {
        CUDA_TRY(cuda, sw_gpu_norm(p->norm, p->eps, product.x, product.ld_x, product.n, p->m->cols,
                                   p->d_norm, p->d_norm_bias, p->d_h, p->ld_h, x8, cuda->compute));
        product.x = p->d_h;
        product.ld_x = p->ld_h;
    }
    return is_gemv ? project_few(cuda, p, &product, normed) : project_many(cuda, p, &product);
}

void sw_cuda_project(struct sw_backend *b, const struct sw_projection *p, const float *d_x,
                     int64_t ld_x, int64_t n, float *d_y, int64_t ld_y)
{
    const struct product product = {p->m, p->d_bias, d_x, ld_x, n, d_y, ld_y, false};
    (void)products_project(sw_cuda_of(b), p, product);
}
