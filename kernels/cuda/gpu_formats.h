/*
 * Weight formats on the GPU: a row each, which is the last thing in the file of the format's
 * kernels (weights_*.cu). Nothing else of the GPU's code knows which formats there are.
 *
 * A matrix is the elements of all rows, with their padding, then what lies apart, again of all
 * rows: the scale of a row (sw_format's row_scale), or the scales of its blocks. So elements are
 * read in aligned vectors, whatever a block looks like. The bytes are sw_matrix_bytes.
 */
#ifndef SW_KERNELS_GPU_FORMATS_H
#define SW_KERNELS_GPU_FORMATS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "tensor/layout.h"
#pragma GCC diagnostic pop

struct sw_gpu_product;

struct sw_gpu_format {
    /* Bytes of each block that lie apart, and what takes n blocks of a row to their two places.
     * 0 and NULL: blocks stay as they are. */
    unsigned block_apart;
    void (*split)(const void *blocks, int64_t n, void *elements, void *apart);
    /* What cuBLAS multiplies in a GEMM, weights and activations: from compute capability 8.0 on,
     * and on Turing. Weights of another type are converted by to_half. SW_I8: products of bytes,
     * exact in 32 bits, which sw_gpu_finish_int8 finishes; GEMV reads bytes then, too. */
    enum sw_dtype operand, turing_operand;
    /* As the functions sw_gpu_… of cuda_kernels.h; n > 0 where there is one. to_half is
     * sw_gpu_weights_to_half. */
    cudaError_t (*gemv)(const struct sw_gpu_product *p, cudaStream_t stream);
    cudaError_t (*to_half)(enum sw_dtype half, const void *w, int64_t rows, int64_t cols,
                           int64_t row, int64_t n, void *out, float *scale, cudaStream_t stream);
    cudaError_t (*embed)(const void *w, int64_t rows, int64_t cols, const int32_t *ids, int64_t n,
                         float *y, int64_t ld_y, cudaStream_t stream);
    cudaError_t (*unpack)(const void *packed, int64_t rows, int64_t cols, void *out,
                          cudaStream_t stream);
};

#define X(id, name) extern const struct sw_gpu_format sw_gpu_format_##name;
SW_FORMATS(X)
#undef X

/* gpu_formats.cu. Never NULL for a format. */
const struct sw_gpu_format *sw_gpu_format_of(enum sw_format_id format);

struct sw_gpu_layout {
    int64_t rows, cols; /* padded */
    size_t row_bytes;   /* of a row's elements */
    size_t apart_bytes; /* of what lies apart for a row; 0: nothing does */
    size_t apart;       /* bytes from the matrix's start to it */
};
struct sw_gpu_layout sw_gpu_layout_of(enum sw_format_id format, int64_t rows, int64_t cols);

#ifdef __cplusplus
}
#endif
#endif
