/* GEMM by cuBLAS, for products with many rows, and the workspace that products share. */
#ifndef SW_GPU_GEMM_H
#define SW_GPU_GEMM_H

#include "gpu/cuda.h"

/* y (n, m->rows) (+)= x (n, m->cols) · Wᵀ + bias. */
struct sw_cuda_product {
    const struct sw_matrix *m;
    const float *bias, *x; /* bias: NULL: none */
    int64_t ld_x, n;
    float *y;
    int64_t ld_y;
    bool add; /* y += instead of y = */
};

/* n <= options.max_rows. Of the workspace (cuda->work) the first part is the activations' operand,
 * as sw_gpu_to_half or sw_gpu_quantize makes it; GEMV has it there, too. */
enum sw_status sw_cuda_gemm(struct sw_cuda *cuda, const struct sw_cuda_product *p);
/* Bytes of the workspace. */
uint64_t sw_cuda_gemm_bytes(const struct sw_gpu_options *options);

#endif
