/*
 * Owns matrix products. A few rows are bound by reading the weights and go through kernels of our
 * own (GEMV); more go through cuBLAS (GEMM, gemm.c).
 */
#include "gpu/gemm.h"

#include "base/checked.h"

#include <assert.h>

/* Whether GEMV reads activations in bytes. */
static bool reads_bytes(const struct sw_matrix *m)
{
    return sw_gpu_format_of(m->format)->operand == SW_I8;
}

/* What GEMV does besides; zeros: nothing. */
struct epilogue {
    bool quantized; /* the operand has been made of x already */
    int32_t act, gated;
};

/* x in the order of the matrix's columns, in the workspace, which GEMV of blocks has no other use
 * for. */
static enum sw_status products_order(struct sw_cuda *cuda, struct sw_cuda_product *p)
{
    float *const to = (float *)(void *)cuda->work;
    const int64_t ld = (p->m->cols + 3) / 4 * 4;
    CUDA_TRY(cuda,
             sw_gpu_permute(p->x, p->ld_x, p->m->d_order, p->n, p->m->cols, to, ld, cuda->compute));
    p->x = to;
    p->ld_x = ld;
    return SW_OK;
}

static enum sw_status gemv(struct sw_cuda *cuda, const struct sw_cuda_product *product,
                           const struct epilogue *epilogue)
{
    struct sw_cuda_product ordered = *product;
    const struct sw_cuda_product *const p = &ordered;
    if (p->m->d_order)
        SW_TRY(products_order(cuda, &ordered));
    void *x8 = reads_bytes(p->m) ? cuda->work : NULL;
    if (x8 && !epilogue->quantized)
        CUDA_TRY(cuda, sw_gpu_quantize(p->x, p->ld_x, p->n, p->m->cols, x8, cuda->compute));
    const struct sw_gpu_product q = {.format = p->m->format,
                                     .w = p->m->d_data,
                                     .rows = p->m->rows,
                                     .cols = p->m->cols,
                                     .x = p->x,
                                     .ld_x = p->ld_x,
                                     .x8 = x8,
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

static enum sw_status products(struct sw_cuda *cuda, struct sw_cuda_product p)
{
    const int64_t n = p.n, most = sw_min_i64(n, cuda->options.max_rows);
    assert(p.m->cols <= cuda->options.max_cols); /* more rows go in more tiles */
    for (int64_t row = 0; row < n; row += most) {
        p.n = sw_min_i64(most, n - row);
        SW_TRY(p.n <= SW_GPU_GEMV_ROWS ? gemv(cuda, &p, &(struct epilogue){0})
                                       : sw_cuda_gemm(cuda, &p));
        p.x += most * p.ld_x;
        p.y += most * p.ld_y;
    }
    return SW_OK;
}

void sw_cuda_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                    const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add)
{
    const struct sw_cuda_product p = {m, d_bias, d_x, ld_x, n, d_y, ld_y, add};
    if (sw_cuda_enter(sw_cuda_of(b)) == SW_OK)
        (void)products(sw_cuda_of(b), p);
}

/* ---- with the norm before it and the activation behind it */

/* The activation, and the quantizing of activations, are in kernels that are there anyway. */
static enum sw_status project_gemv(struct sw_cuda *cuda, const struct sw_projection *p,
                                   const struct sw_cuda_product *product, bool quantized)
{
    const struct epilogue epilogue = {
        .quantized = quantized,
        .act = p->activated ? 1 + (int32_t)p->activation : 0,
        .gated = p->activated && p->gated,
    };
    return gemv(cuda, product, &epilogue);
}

static enum sw_status project_gemm(struct sw_cuda *cuda, const struct sw_projection *p,
                                   const struct sw_cuda_product *product)
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
                                       struct sw_cuda_product product)
{
    const bool normed = p->d_norm != NULL;
    const bool is_gemv = product.n <= SW_GPU_GEMV_ROWS && product.n <= cuda->options.max_rows;
    void *x8 = is_gemv && reads_bytes(p->m) ? cuda->work : NULL;
    SW_TRY(sw_cuda_enter(cuda));
    if (normed) {
        CUDA_TRY(cuda, sw_gpu_norm(p->norm, p->eps, product.x, product.ld_x, product.n, p->m->cols,
                                   p->d_norm, p->d_norm_bias, p->d_h, p->ld_h, x8, cuda->compute));
        product.x = p->d_h;
        product.ld_x = p->ld_h;
    }
    return is_gemv ? project_gemv(cuda, p, &product, normed && x8)
                   : project_gemm(cuda, p, &product);
}

void sw_cuda_project(struct sw_backend *b, const struct sw_projection *p, const float *d_x,
                     int64_t ld_x, int64_t n, float *d_y, int64_t ld_y)
{
    const struct sw_cuda_product product = {p->m, p->d_bias, d_x, ld_x, n, d_y, ld_y, false};
    (void)products_project(sw_cuda_of(b), p, product);
}
