/*
 * The GPU arithmetic over plain device pointers: launchers, one file of kernels each. Nothing here
 * allocates or waits; every launcher enqueues on `stream` and returns the launch's error. The same
 * .cu files are compiled by nvcc and, for tests, by the host compiler (tests/simgpu/).
 *
 * Layouts. A weight matrix (rows = out features, cols = in features) is row-major: rows rounded up
 * to SW_ROW_PAD, a row's columns to the format's column padding (dtype table), padding is 0. An
 * int8 matrix has (rows padded) f32 scales behind its elements: weight = element * scale[row]. Keys
 * and values lie as the CPU has them (kernels/cpu/cpu_kernels.h: blocks of SW_KEY_BLOCK keys), so
 * that whole blocks can be copied between the two. Activations are f32, one token a row, `ld`
 * apart.
 *
 * Order. What is computed for one output element does not depend on pointers, on time or on which
 * stage asks; for the same batch it gives the same bits. There are no floating-point atomics.
 */
#ifndef SW_KERNELS_CUDA_KERNELS_H
#define SW_KERNELS_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function named as a struct is usual in C, and in C++ only for those who have to. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "model/dtype.h"
#include "model/footprint.h"
#include "model/op_kinds.h"
#pragma GCC diagnostic pop

/* Consecutive positions of one slot, as backend.h's sw_span. */
struct sw_gpu_span {
    int32_t slot, n;
    int64_t position, row;
};

/*
 * The spans of one call, twice: kernels read them, and launchers size their grids by them. What the
 * host is told may lie at later positions than it really does: blocks that find nothing to do then
 * end at once, and not a bit changes. So one launch, recorded in a graph, serves for many batches.
 */
struct sw_gpu_batch {
    const struct sw_gpu_span *spans; /* (n) device memory */
    const struct sw_gpu_span *host; /* (n) with as many rows; not read after the launcher returns */
    int n;                          /* a slot has at most one span */
};

/* y[i] = row ids[i] of the matrix, as f32. ids: (n) device memory. embed.cu */
cudaError_t sw_gpu_embed(enum sw_dtype format, const void *w, int64_t rows, int64_t cols,
                         const int32_t *ids, int64_t n, float *y, int64_t ld_y,
                         cudaStream_t stream);

/* y = norm(x) * weight (+ bias), n rows of dim; bias may be NULL, y may be x. norm.cu
 * x8: y once more as sw_gpu_quantize would make it of y; NULL: not needed. */
cudaError_t sw_gpu_norm(enum sw_norm kind, float eps, const float *x, int64_t ld_x, int64_t n,
                        int64_t dim, const float *weight, const float *bias, float *y, int64_t ld_y,
                        void *x8, cudaStream_t stream);

/* Elementwise: gated y = act(x[:, :dim]) * x[:, dim:2 dim], else y = act(x); y may be x. rows.cu */
cudaError_t sw_gpu_activate(enum sw_activation kind, bool gated, const float *x, int64_t ld_x,
                            int64_t n, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream);
/* y += x */
cudaError_t sw_gpu_add(const float *x, int64_t ld_x, int64_t n, int64_t dim, float *y, int64_t ld_y,
                       cudaStream_t stream);
/* y[i] = x[rows[i]]; y[rows[i]] += weights[i] * x[i], in the order of i. rows, weights: device */
cudaError_t sw_gpu_gather(const float *x, int64_t ld_x, const int32_t *rows, int64_t n, int64_t dim,
                          float *y, int64_t ld_y, cudaStream_t stream);
cudaError_t sw_gpu_scatter_add(const float *x, int64_t ld_x, const int32_t *rows,
                               const float *weights, int64_t n, int64_t dim, float *y, int64_t ld_y,
                               cudaStream_t stream);
/* bad[0] = 1 if any of n rows of dim is not finite; bad is left alone otherwise. */
cudaError_t sw_gpu_check_finite(const float *x, int64_t ld_x, int64_t n, int64_t dim, int32_t *bad,
                                cudaStream_t stream);

/*
 * Matrix-vector products, for few tokens (n <= SW_GPU_GEMV_ROWS): y (n, rows) = x · Wᵀ + bias, or
 * y += that. Bound by reading W once. An output's sum does not depend on n. int8: `x8` as
 * sw_gpu_quantize made it. The result may be activated as sw_gpu_activate does it, gated: y (n,
 * rows / 2). W may be read before the kernels launched before have ended (launch.cuh), so none of
 * them may write it; what comes from sw_gpu_unpack or was copied to the device is well. gemv.cu
 */
#define SW_GPU_GEMV_ROWS 8
struct sw_gpu_product {
    enum sw_dtype format;
    int32_t add; /* y += instead of y =; whole words, so that the struct has no padding */
    int32_t act; /* 0: none; 1 + enum sw_activation: y = act(that), and then not `add` */
    int32_t gated;
    const void *w;
    int64_t rows, cols;
    const float *x; /* (n, cols), ld_x apart */
    int64_t ld_x;
    const void *x8; /* int8 only */
    int64_t n;
    const float *bias; /* (rows) or NULL */
    float *y;
    int64_t ld_y;
};
cudaError_t sw_gpu_gemv(const struct sw_gpu_product *p, cudaStream_t stream);

/*
 * Activations for int8 weights (Dettmers et al., LLM.int8()): in each row elements of magnitude
 * above SW_INT8_OUTLIER stay f32, the others become round(x * 127 / absmax of the others). quant.cu
 * x8: sw_gpu_quantized_bytes(n, cols) bytes; its form is quant.cu's own business.
 */
size_t sw_gpu_quantized_bytes(int64_t n, int64_t cols);
cudaError_t sw_gpu_quantize(const float *x, int64_t ld_x, int64_t n, int64_t cols, void *x8,
                            cudaStream_t stream);

/*
 * For many tokens products go through cuBLAS; these make its operands and take its results.
 * convert.cu
 *  - sw_gpu_to_half: activations to f16 or bf16, (n, cols padded to 8) dense; for f16 rows are
 *    scaled by a power of two into its range, scale[r] undoes it.
 *  - sw_gpu_weights_to_half: rows [row, row + n) of a matrix of any format as f16 or bf16, dense,
 *    columns padded to 8; scale[i] (a power of two, or an int8 row's scale) undoes what was done.
 *  - sw_gpu_finish: y (+)= sums * x_scale[r] * w_scale[c] + bias; sums (n, rows) f32 dense; scales
 *    may be NULL.
 */
cudaError_t sw_gpu_to_half(enum sw_dtype half, const float *x, int64_t ld_x, int64_t n,
                           int64_t cols, void *out, float *scale, cudaStream_t stream);
cudaError_t sw_gpu_weights_to_half(enum sw_dtype half, enum sw_dtype format, const void *w,
                                   int64_t rows, int64_t cols, int64_t row, int64_t n, void *out,
                                   float *scale, cudaStream_t stream);
cudaError_t sw_gpu_finish(const float *sums, int64_t n, int64_t rows, const float *x_scale,
                          const float *w_scale, const float *bias, bool add, float *y, int64_t ld_y,
                          cudaStream_t stream);
/* int8: y (+)= (sums * x_scale + outliers · Wᵀ) * w_scale + bias for rows [row, row + n_rows) of W;
 * sums (n, n_rows) i32, ld_sums apart; x as sw_gpu_quantize had it; y, bias: of row `row`.
 * finish_int8.cu */
cudaError_t sw_gpu_finish_int8(const int32_t *sums, int64_t ld_sums, const float *x, int64_t ld_x,
                               const void *x8, const void *w, int64_t rows, int64_t cols,
                               int64_t row, int64_t n_rows, int64_t n, const float *bias, bool add,
                               float *y, int64_t ld_y, cudaStream_t stream);
/* Where the int8 elements (n, cols padded as the weights' are) of x8 start. */
const int8_t *sw_gpu_quantized_elements(const void *x8, int64_t n, int64_t cols);

/*
 * A matrix as the CPU packs it (kernels/cpu/cpu_kernels.h: panels of interleaved rows; int8: (cols
 * / 4, width, 4), the scales of all rows behind the last panel) into the layout above. Both have
 * sw_matrix_bytes; they may not overlap. unpack.cu
 */
cudaError_t sw_gpu_unpack(enum sw_dtype format, const void *packed, int64_t rows, int64_t cols,
                          void *out, cudaStream_t stream);

/* Keys and values: one layer's cache. */
struct sw_gpu_kv {
    enum sw_dtype format; /* f32, f16 or bf16 */
    int slots, n_kv_heads, head_dim;
    int64_t context;
    void *data;
};
/*
 * Queries and keys of the batch's rows are normed (RMS, each head by itself) and rotated, where
 * there is something to do that by; then keys and values are stored. Queries stay in place.
 * heads.cu
 */
struct sw_gpu_heads {
    float *q;           /* query head h of row r at q + r * ld + h * q_head */
    const float *k, *v; /* KV head h of row r at k + r * ld + h * kv_head, v alike */
    int64_t ld, q_head, kv_head;
    const float *q_norm, *k_norm; /* (head_dim) NULL: none */
    const float *cos_sin;         /* (context, 2, rotary_dim / 2) */
    float eps;                    /* of the norms */
    int n_heads;                  /* of queries; 0: they are left alone */
    int rotary_dim;               /* 0: nothing is rotated; at most head_dim */
    bool interleaved;
};
cudaError_t sw_gpu_place_heads(const struct sw_gpu_heads *h, const struct sw_gpu_kv *kv,
                               const struct sw_gpu_batch *batch, cudaStream_t stream);
/* The first n positions, in whole blocks. kv.cu */
cudaError_t sw_gpu_kv_copy(const struct sw_gpu_kv *kv, int from, int to, int64_t n,
                           cudaStream_t stream);

/*
 * Attention. Spans of at most SW_GPU_SPLIT_QUERIES rows split the context over blocks, in parts
 * that depend on the cache's size only, and join them in order (attend_split.cu); longer ones go in
 * tiles that share the keys they read (flash attention: Dao et al.; attend_tiled.cu for f32 caches,
 * attend_half.cu on tensor cores for others). Queries, scores and sums are f32, or as good as that.
 * head_dim is at most SW_GPU_HEAD_DIM.
 */
#define SW_GPU_SPLIT_QUERIES 4
#define SW_GPU_HEAD_DIM 256
struct sw_gpu_attention {
    int n_heads; /* a multiple of n_kv_heads */
    float scale;
    int64_t window;      /* 0: none */
    const float *slopes; /* (n_heads) or NULL */
    const float *q;      /* row r, head h at q + r * q_ld + h * q_head */
    int64_t q_ld, q_head;
    float *out; /* (rows, n_heads * head_dim), out_ld apart */
    int64_t out_ld;
};
/* Bytes of `work` for n_rows rows of short spans; with fewer they go in several launches, with less
 * than one row's sw_gpu_attend fails (cudaErrorInvalidValue). */
size_t sw_gpu_attend_work(const struct sw_gpu_kv *kv, int n_heads, int64_t n_rows);
cudaError_t sw_gpu_attend(const struct sw_gpu_attention *a, const struct sw_gpu_kv *kv,
                          const struct sw_gpu_batch *batch, void *work, size_t work_bytes,
                          cudaStream_t stream);

/*
 * Has the driver load all kernels for the current device now. By default it would load each when it
 * is first used, and loading may wait for all that is under way, which may be an edge's turn. Tells
 * at once whether this build has code for the device, too. launch.cu
 */
cudaError_t sw_gpu_load_kernels(void);

/* For probe and bench: reads `bytes` of memory once. out: 1 float. measure.cu */
cudaError_t sw_gpu_read_memory(const void *p, size_t bytes, float *out, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
