/*
 * Weight formats on the GPU: a row each, which is the last thing in the file of the format's
 * kernels (weights_*.cu). Nothing else of the GPU's code knows which formats there are.
 *
 * The bytes of a block lie together, or in planes: of each part of it, those of all rows, with
 * their padding, then the next part's. So each part is read in aligned words, whatever a block
 * looks like. Behind that are the rows' scales (sw_format's row_scale), then the matrix's table.
 * The bytes are sw_matrix_bytes, and scales and table are where sw_matrix_scales and
 * sw_matrix_table say.
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

/* Bytes [from, from + bytes) of each block. */
struct sw_gpu_plane {
    uint16_t from, bytes;
};
#define SW_GPU_PLANES 4

struct sw_gpu_format {
    /* The planes of a block, which have each of its bytes once; those that are not there have no
     * bytes. None: blocks stay as they are. */
    struct sw_gpu_plane planes[SW_GPU_PLANES];
    /* What cuBLAS multiplies in a GEMM, weights and activations: from compute capability 8.0 on,
     * and on Turing. Weights of another type are converted by to_half. SW_I8: products of bytes,
     * exact in 32 bits, which sw_gpu_finish_int8 finishes; GEMV reads bytes then, too. */
    enum sw_dtype operand, turing_operand;
    /* As the functions sw_gpu_… of cuda_kernels.h; n > 0 where there is one. to_half is
     * sw_gpu_weights_to_half. All are NULL where the format is cpu_only (weights_none.cu): then
     * sw_gpu_… return cudaErrorNotSupported, and plans ask for none of it. */
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

/* A matrix in the GPU's memory: its blocks, or their planes, then the rows' scales. */
#define SW_GPU_PARTS (SW_GPU_PLANES + 1)
struct sw_gpu_layout {
    int64_t rows, cols;    /* padded */
    size_t row_bytes;      /* of a row, in all parts */
    int n_blocks, n_parts; /* parts that have blocks, and all: at most one more */
    struct {
        size_t at, row_bytes; /* from the matrix's start; of a row */
    } parts[SW_GPU_PARTS];
};
struct sw_gpu_layout sw_gpu_layout_of(enum sw_format_id format, int64_t rows, int64_t cols);
/* Takes n blocks of a row to their places in each part of the layout. */
void sw_gpu_split(enum sw_format_id format, const void *blocks, int64_t n, char *const *parts);

#ifdef __cplusplus
}
#endif
#endif
