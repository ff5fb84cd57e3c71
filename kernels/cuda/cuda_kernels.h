/*
 * The GPU arithmetic on plain device pointers: launchers of the kernels, whose files are named
 * below. Launchers do not allocate or wait; each enqueues on `stream` and returns the launch's
 * error. The same .cu files are compiled by nvcc and, for tests, by the host compiler
 * (tests/simgpu/).
 *
 * Layouts. A weight matrix (rows = out features, cols = in features) is row-major. The number of
 * rows is rounded up to SW_ROW_PAD, the columns to the format's column padding (tensor/format.h);
 * padding is 0. What weight formats there are, and what lies apart from a matrix's elements, is
 * gpu_formats.h's. Keys and values have the CPU's layout (kernels/cpu/cpu_kernels.h: blocks of
 * SW_KEY_BLOCK keys), so whole blocks can be copied between the two. Activations are f32, one token
 * a row, with `ld` floats from row to row.
 *
 * Order. An output element's bits do not depend on pointers, on timing or on the stage; the same
 * batch gives the same bits. There are no floating-point atomics.
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

/* These headers name functions like structs, which is usual in C but a warning in C++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "model/delta.h"
#include "model/op_kinds.h"
#include "tensor/layout.h"
#pragma GCC diagnostic pop

/* Consecutive positions of one slot, as backend.h's sw_span. */
struct sw_gpu_span {
    int32_t slot, n;
    int64_t position, row;
    int64_t keys; /* with sw_gpu_attention.whole: every row sees keys [0, keys) */
};

/*
 * The spans of one call: kernels read `spans`, and launchers size their grids by `host`. Spans in
 * `host` may be at later positions than the real ones: blocks without work then end at once, and
 * the result has the same bits. So a launch captured in a graph can be replayed for many batches.
 */
struct sw_gpu_batch {
    const struct sw_gpu_span *spans; /* (n) device memory */
    const struct sw_gpu_span *host;  /* (n) same rows; not read after the launcher returns */
    int n;                           /* number of spans; at most one for each slot */
};

/* y[i] = row ids[i] of the matrix, as f32. ids: (n) in device memory. embed.cuh */
cudaError_t sw_gpu_embed(enum sw_format_id format, const void *w, int64_t rows, int64_t cols,
                         const int32_t *ids, int64_t n, float *y, int64_t ld_y,
                         cudaStream_t stream);

/* y = norm(x) * weight + bias, for n rows of dim; bias may be NULL, y may be x. x8: receives what
 * sw_gpu_quantize makes of y; NULL: not needed. norm.cu */
cudaError_t sw_gpu_norm(enum sw_norm kind, float eps, const float *x, int64_t ld_x, int64_t n,
                        int64_t dim, const float *weight, const float *bias, float *y, int64_t ld_y,
                        void *x8, cudaStream_t stream);

/* y = act(x); gated: y = act(x[:, :dim]) * x[:, dim:2 dim]. n rows; y may be x. rows.cu */
cudaError_t sw_gpu_activate(enum sw_activation kind, bool gated, const float *x, int64_t ld_x,
                            int64_t n, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream);
/* y += factor * x, for n rows of dim. rows.cu */
cudaError_t sw_gpu_add(float factor, const float *x, int64_t ld_x, int64_t n, int64_t dim, float *y,
                       int64_t ld_y, cudaStream_t stream);
/* y *= factor * *by, where `by` may be NULL: 1. And then, unless cap is 0, y = cap * tanh(y / cap).
 */
cudaError_t sw_gpu_scale(float factor, const float *by, float cap, int64_t n, int64_t dim, float *y,
                         int64_t ld_y, cudaStream_t stream);
/* y[i] = x[order[i]] within each of n rows. order: (dim) */
cudaError_t sw_gpu_permute(const float *x, int64_t ld_x, const int32_t *order, int64_t n,
                           int64_t dim, float *y, int64_t ld_y, cudaStream_t stream);
/* gather: y[i] = x[rows[i]]. scatter_add: y[rows[i]] += weights[i] * x[i], in the order of i. rows,
 * weights: (n) in device memory. rows.cu */
cudaError_t sw_gpu_gather(const float *x, int64_t ld_x, const int32_t *rows, const float *weights,
                          int64_t n, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream);
cudaError_t sw_gpu_scatter_add(const float *x, int64_t ld_x, const int32_t *rows,
                               const float *weights, int64_t n, int64_t dim, float *y, int64_t ld_y,
                               cudaStream_t stream);
/* Sets bad[0] = 1 if a value of the n rows is not finite; otherwise leaves it unchanged. rows.cu */
cudaError_t sw_gpu_check_finite(const float *x, int64_t ld_x, int64_t n, int64_t dim, int32_t *bad,
                                cudaStream_t stream);

/*
 * GEMV, for n <= SW_GPU_GEMV_ROWS tokens: y (n, rows) = x · Wᵀ + bias, or y += the same. Bound by
 * reading W once. An output's sum does not depend on n. int8 needs x8 of sw_gpu_quantize. The
 * epilogue may activate the result as sw_gpu_activate does; gated: y is (n, rows / 2).
 *
 * W may be read while earlier kernels still run (launch.cuh), so they must not write it. A matrix
 * from sw_gpu_unpack or from a copy to the device is allowed. gemv.cuh
 */
#define SW_GPU_GEMV_ROWS 8
struct sw_gpu_product {
    enum sw_format_id format;
    int32_t add; /* boolean: y += instead of y =; int32_t so that the struct has no padding */
    int32_t act; /* 0: none; else 1 + enum sw_activation, and `add` is 0 */
    int32_t gated;
    const void *w;
    int64_t rows, cols;
    const float *x; /* (n, cols), ld_x floats from row to row */
    int64_t ld_x;
    const void *x8; /* of sw_gpu_quantize; int8 only */
    int64_t n;
    const float *bias; /* (rows) or NULL */
    float *y;
    int64_t ld_y;
};
cudaError_t sw_gpu_gemv(const struct sw_gpu_product *p, cudaStream_t stream);

/*
 * Activations for int8 weights (Dettmers et al., LLM.int8()): in each row, elements of magnitude
 * above SW_INT8_OUTLIER stay f32; the others become round(x * 127 / absmax of the others). x8 has
 * sw_gpu_quantized_bytes(n, cols) bytes, in the layout of quant.cuh. quant.cu
 */
size_t sw_gpu_quantized_bytes(int64_t n, int64_t cols);
cudaError_t sw_gpu_quantize(const float *x, int64_t ld_x, int64_t n, int64_t cols, void *x8,
                            cudaStream_t stream);

/*
 * GEMM is done by cuBLAS; these convert its operands (to_half.cuh) and finish its results
 * (convert.cu).
 *  - sw_gpu_to_half: activations to f16 or bf16, (n, cols padded to 8) contiguous. For f16 each row
 *    is scaled by a power of two into the range; scale[r] is the factor that undoes it.
 *  - sw_gpu_weights_to_half: rows [row, row + n) of a matrix of any format to f16 or bf16,
 *    contiguous with columns padded to 8. scale[i], a power of two or the row's own scale, undoes
 *    the scaling.
 *  - sw_gpu_finish: y (+)= sums * x_scale[r] * w_scale[c] + bias; sums: (n, rows) f32, contiguous.
 *    Each scale may be NULL.
 */
cudaError_t sw_gpu_to_half(enum sw_dtype half, const float *x, int64_t ld_x, int64_t n,
                           int64_t cols, void *out, float *scale, cudaStream_t stream);
cudaError_t sw_gpu_weights_to_half(enum sw_dtype half, enum sw_format_id format, const void *w,
                                   int64_t rows, int64_t cols, int64_t row, int64_t n, void *out,
                                   float *scale, cudaStream_t stream);
cudaError_t sw_gpu_finish(const float *sums, int64_t n, int64_t rows, const float *x_scale,
                          const float *w_scale, const float *bias, bool add, float *y, int64_t ld_y,
                          cudaStream_t stream);
/* int8: y (+)= (sums * x_scale + outliers · Wᵀ) * w_scale + bias for rows [row, row + n_rows) of W.
 * sums: (n, n_rows) i32, ld_sums from row to row; x: the input of sw_gpu_quantize; y and bias start
 * at row `row`. finish_int8.cu */
cudaError_t sw_gpu_finish_int8(const int32_t *sums, int64_t ld_sums, const float *x, int64_t ld_x,
                               const void *x8, const void *w, int64_t rows, int64_t cols,
                               int64_t row, int64_t n_rows, int64_t n, const float *bias, bool add,
                               float *y, int64_t ld_y, cudaStream_t stream);
/* The int8 elements of x8, (n, cols padded like the weights'). */
const int8_t *sw_gpu_quantized_elements(const void *x8, int64_t n, int64_t cols);

/*
 * Converts a matrix from the CPU's packing to the layout above. The packing (kernels/cpu/
 * cpu_kernels.h) has panels of interleaved rows. Both have sw_matrix_bytes and must not overlap.
 * unpack.cuh
 */
cudaError_t sw_gpu_unpack(enum sw_format_id format, const void *packed, int64_t rows, int64_t cols,
                          void *out, cudaStream_t stream);

/* One layer's KV cache, as sw_kv of backend.h. */
struct sw_gpu_kv {
    enum sw_dtype format; /* f32, f16 or bf16 */
    int slots, n_kv_heads, head_dim;
    int64_t context;
    void *data;
    int value_dim; /* values are the first so many elements of keys, and not stored; 0: they are */
};
/*
 * For the batch's rows: norms each head of queries and keys (RMS) if there are norms, rotates them
 * if there is a rotation, and stores keys and values in the cache. Queries are changed in place.
 * heads.cu
 */
struct sw_gpu_heads {
    float *q; /* query head h of row r at q + r * ld + h * q_head + (its KV head) * q_skip */
    const float *k, *v; /* KV head h of row r at k + r * ld + h * kv_head; v likewise */
    int64_t ld, q_head, q_skip, kv_head;
    const float *q_norm, *k_norm; /* (head_dim) weights; NULL: no norm */
    const float *cos_sin;         /* (context, 2, rotary_dim / 2) */
    const float *v_norm;          /* the same of values, whatever norm_last and layer_norm say */
    float eps;                    /* of all norms */
    int n_heads;                  /* query heads; 0: queries are not changed */
    int rotary_dim;               /* 0: nothing is rotated; at most head_dim */
    bool interleaved;
    int rotary_first;      /* the first element that is rotated */
    const float *q_rotary; /* NULL; else what of queries is rotated is not in place, but there, */
    int64_t q_rotary_head; /* of row r, head h at q_rotary + r * ld + h * q_rotary_head */
    bool keys_as_values;   /* values are keys before norm and rope, and v is not read */
    bool norm_last;        /* norms come after rope */
    bool layer_norm;       /* they take the mean off, too */
    int norm_step; /* floats from one head's weights to the next one's; 0: all have the same */
    struct sw_query_growth growth; /* last of all, of queries alone */
};
cudaError_t sw_gpu_place_heads(const struct sw_gpu_heads *h, const struct sw_gpu_kv *kv,
                               const struct sw_gpu_batch *batch, cudaStream_t stream);
/* Copies the first n positions of slot `from` to slot `to`, in whole blocks. kv.cu */
cudaError_t sw_gpu_kv_copy(const struct sw_gpu_kv *kv, int from, int to, int64_t n,
                           cudaStream_t stream);

/*
 * Attention. For spans of at most SW_GPU_SPLIT_QUERIES rows the context is split over blocks, in
 * parts that depend on the cache's size only, and the parts are joined in order (attend_split.cu).
 * Longer spans go in tiles of queries that share the keys they read (flash attention: Dao et al.):
 * attend_tiled.cu for f32 caches and heads above 256, attend_half.cu on tensor cores for the
 * others. Queries, scores and sums have the precision of f32. head_dim is at most SW_GPU_HEAD_DIM.
 * Values that are a part of keys have a kernel of their own for all spans (attend_latent.cu),
 * without window, slopes and bias; head_dim is at most SW_GPU_LATENT_DIM there, and value_dim
 * SW_GPU_LATENT_VALUES (model/op_kinds.h).
 */
#define SW_GPU_SPLIT_QUERIES 4
struct sw_gpu_attention {
    int n_heads; /* a multiple of n_kv_heads */
    float scale;
    int64_t window;      /* as in struct sw_attention */
    const float *slopes; /* (n_heads) or NULL */
    const float *sinks;  /* (n_heads) scores of one more key without a value, or NULL */
    float cap;           /* scores become cap * tanh(score / cap); 0: they stay */
    int unused;          /* instead of padding */
    const float
        *q; /* query of row r, head h at q + r * q_ld + h * q_head + (its KV head) * q_skip */
    int64_t q_ld, q_head, q_skip;
    float *out; /* (rows, n_heads * head_dim), out_ld floats from row to row */
    int64_t out_ld;
    /* score += bias[buckets[key - query + reach] * n_heads + head]; further apart as at reach */
    const float *bias; /* NULL: none */
    const int32_t *buckets;
    int reach;
    int whole; /* boolean: rows see keys [0, span.keys), whatever their position; without window */
};
/* Bytes of `work` for n_rows rows of short spans. With fewer bytes the rows go in several launches;
 * with less than one row needs, sw_gpu_attend fails with cudaErrorInvalidValue. */
size_t sw_gpu_attend_work(const struct sw_gpu_kv *kv, int n_heads, int64_t n_rows);
cudaError_t sw_gpu_attend(const struct sw_gpu_attention *a, const struct sw_gpu_kv *kv,
                          const struct sw_gpu_batch *batch, void *work, size_t work_bytes,
                          cudaStream_t stream);

/* As sw_delta and sw_delta_states of backend.h: from a layer's products to the input of its output
 * projection. delta.cu */
struct sw_gpu_delta {
    struct sw_delta_dims dims; /* k_dim at most SW_DELTA_DIM */
    enum sw_activation activation;
    float eps;
    int32_t padding;
    float *x; /* row r at x + r * ld; lost */
    int64_t ld;
    int64_t q, k, v, z, b, a, k_head, v_group, v_head, gate_group, gate_head;
    const float *conv, *decay, *dt, *norm;
    float *states; /* (slots, sw_delta_floats(dims)) */
    float *out;
    int64_t out_ld;
};
cudaError_t sw_gpu_delta_run(const struct sw_gpu_delta *d, const struct sw_gpu_batch *batch,
                             cudaStream_t stream);
cudaError_t sw_gpu_copy(const float *from, int64_t n, float *to, cudaStream_t stream);
/* y *= sigmoid(gate), as the operation of backend.h. */
cudaError_t sw_gpu_gate(const float *gates, int64_t ld_gate, int64_t gate_head, int64_t n,
                        int heads, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream);

/*
 * Loads all kernels on the current device. By default the driver loads a kernel at its first use,
 * and that may wait for all work under way, which may wait for a link. Fails if this build has no
 * code for the device. launch.cu
 */
cudaError_t sw_gpu_load_kernels(void);

/* For probe and bench: reads `bytes` of memory once. out: (1) in device memory. measure.cu */
cudaError_t sw_gpu_read_memory(const void *p, size_t bytes, float *out, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
