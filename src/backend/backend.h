/*
 * A backend: the operations of one kind of device. The transformer block (engine/block.c) is
 * written once over them; kernels/cpu/ and kernels/cuda/ do the arithmetic.
 *
 * Pointers named d_… belong to the device: only its operations dereference them, but others may add
 * offsets to them. Compute operations of a GPU only enqueue work, and sync() reports failures;
 * those of the CPU have finished when they return. Activations are f32, row-major, one token a row;
 * `ld` is the number of floats from one row to the next.
 *
 * Order: each output element has ONE accumulation order. It does not depend on the number of rows
 * in the call, on threads, or on how a prompt was cut into calls. Tests compare bits.
 */
#ifndef SW_BACKEND_BACKEND_H
#define SW_BACKEND_BACKEND_H

#include "base/status.h"
#include "model/delta.h"
#include "model/footprint.h"
#include "model/op_kinds.h"
#include "tensor/format.h"
#include "tensor/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A weight matrix W (rows = out features, cols = in features) as the backend keeps it. */
struct sw_matrix {
    enum sw_format_id format;
    int64_t rows, cols;
    void *d_data; /* sw_matrix_bytes(format, rows, cols) bytes */
    /* Column i of d_data is column d_order[i] of W: products take x in that order. Formats whose
     * activations are made in blocks only. (cols), NULL: as they are */
    const int32_t *d_order;
};

/* Rows [row0, row0 + n_rows) of a matrix in host memory, in the layout of a file. */
struct sw_matrix_rows {
    const void *data; /* element (r, c) at data + (r * row_stride + c * col_stride) elements */
    enum sw_dtype dtype;
    int64_t row0, n_rows;
    int64_t row_stride,
        col_stride; /* in elements; col_stride is 1, or row_stride is for GPT-2's (in, out) */
    const struct sw_format *blocks; /* NULL; else rows are packed in its blocks (tensor/format.h) */
    bool alone; /* the calling thread stores them by itself, while others store other rows; in host
                   memory only */
};

/* Consecutive positions of one slot: rows [row, row + n) of the micro-batch. */
struct sw_span {
    int slot;
    int64_t position; /* of the first row, from 0 */
    int64_t row, n;
};

struct sw_rope {
    int rotary_dim;         /* this many elements of each head are rotated; even */
    int first;              /* the first of them */
    bool interleaved;       /* pairs are (2i, 2i+1); else (i, i + rotary_dim/2) */
    const float *d_cos_sin; /* (context, 2, rotary_dim/2): cos, sin of position * frequency i */
};

/* One layer's KV cache. The layout of d_data is the backend's own. */
struct sw_kv {
    enum sw_dtype format; /* f32, f16 or bf16 */
    int slots, n_kv_heads, head_dim;
    int64_t context; /* positions a slot has room for */
    void *d_data;    /* sw_kv_bytes(format, slots, n_kv_heads, head_dim, context) bytes */
    /* Latent attention: a value is the first so many elements of its key, and is not stored; d_data
     * has half of the bytes. 0: values are as wide as keys, and stored. */
    int value_dim;
};
static inline int sw_kv_value_dim(const struct sw_kv *kv)
{
    return kv->value_dim ? kv->value_dim : kv->head_dim;
}
/* Bytes of so many positions of a KV head of a slot. */
static inline uint64_t sw_kv_span_bytes(const struct sw_kv *kv, int64_t positions)
{
    return sw_kv_bytes(kv->format, 1, 1, kv->head_dim, positions) / (kv->value_dim ? 2 : 1);
}

/* One layer's states of gated delta nets: of each slot sw_delta_floats(dims) f32, alike on every
 * backend. */
struct sw_delta_states {
    struct sw_delta_dims dims;
    int slots;
    float *d_data; /* NULL: the layer keeps none */
};

/*
 * A gated delta net, from its products to what its output projection takes. Rows of a span follow
 * on the slot's state, or on none where the span begins at position 0; a slot has at most one span.
 */
struct sw_delta {
    float *d_x; /* row r at d_x + r * ld, as the products left it; lost */
    int64_t ld;
    /* Offsets in a row: as of struct sw_delta_layout. */
    int64_t q, k, v, z, b, a, k_head, v_group, v_head, gate_group, gate_head;
    const float *d_conv;           /* (channels, window) */
    const float *d_decay, *d_dt;   /* (v_heads) */
    const float *d_norm;           /* (v_dim) */
    float eps;                     /* of that norm */
    enum sw_activation activation; /* behind the convolution */
    float *d_out;                  /* (rows, v_heads * v_dim), out_ld apart */
    int64_t out_ld;
};

/* Queries, keys and values as the QKV product writes them. */
struct sw_heads {
    /* Query head h of row r at d_q + r * ld + h * q_head + (its KV head) * q_skip. */
    float *d_q;
    float *d_k; /* KV head h of row r at d_k + r * ld + h * kv_head */
    float *d_v; /* KV head h of row r at d_v + r * ld + h * kv_head; unused with value_dim */
    bool keys_as_values; /* d_v is only room: values are keys as they are at the call */
    /* NULL; else the rotated part of query head h of row r is not in place, but at d_q_rotary +
     * r * ld + h * q_rotary_head. */
    const float *d_q_rotary;
    int64_t q_rotary_head;
    int64_t ld, q_head, q_skip, kv_head;
    int n_heads;                      /* query heads; the number of KV heads is in sw_kv */
    const float *d_q_norm, *d_k_norm; /* (head_dim) RMS norm of each head; NULL: none */
    const float *d_v_norm;            /* the same of values, whatever the next lines say */
    float eps;                        /* of all norms */
    bool norm_last;                   /* they come after rope */
    bool layer_norm;                  /* they take the mean off, too */
    int norm_step; /* floats from one head's weights to the next one's; 0: all have the same */
    struct sw_rope rope;           /* rotary_dim 0: nothing is rotated */
    struct sw_query_growth growth; /* last of all, of queries alone */
};

struct sw_attention {
    int n_heads; /* query heads; head h reads KV head h / (n_heads / n_kv_heads) */
    float scale; /* factor of q·k */
    /* Key k is visible to query q iff q - window < k <= q; 0: all k <= q. Negative: those of q's
     * own chunk of so many positions. */
    int64_t window;
    float cap;             /* scores become cap * tanh(score / cap); 0: they stay */
    const float *d_slopes; /* ALiBi: score += slope[head] * k_position; NULL: none. (n_heads) */
    const float *d_sinks;  /* scores of one more key, which has no value; NULL: none. (n_heads) */
    /* Each row of span i sees keys [0, keys[i]), whatever its position. (n_spans), in host memory;
     * NULL: those up to its own. Not together with a window. */
    const int32_t *keys;
    /* Score += d_bias[bucket * n_heads + head], where bucket is d_buckets[key - query +
     * bias_reach], and further apart that of the reach. NULL: none. */
    const float *d_bias;
    const int32_t *d_buckets; /* (2 * bias_reach + 1) */
    int bias_reach;
    /* Query of row r, head h at d_q + r * q_ld + h * q_head + (its KV head) * q_skip. */
    const float *d_q;
    int64_t q_ld, q_head, q_skip;
    float *d_out; /* (rows, n_heads * sw_kv_value_dim), stride out_ld */
    int64_t out_ld;
};

/*
 * A product with the norm of its input as prologue and the activation as epilogue, for devices on
 * which fewer operations are faster: h = norm(x), y = act(h · Wᵀ + bias).
 */
struct sw_projection {
    const struct sw_matrix *m;
    const float *d_bias; /* NULL: none */
    enum sw_norm norm;
    float eps;
    const float *d_norm, *d_norm_bias; /* weight, bias; d_norm NULL: there is no norm, and h is x */
    float *d_h;                        /* (n, m->cols), may be x; unused without a norm */
    int64_t ld_h;
    bool activated,
        gated; /* as `activate`; gated: y is (n, m->rows / 2), with room for (n, m->rows) */
    enum sw_activation activation;
};

struct sw_backend;
struct sw_gpu_ops;
struct sw_gpu_link_ops;

struct sw_backend_ops {
    const char *name;
    void (*close)(struct sw_backend *b);

    /* Memory. `what` names the use in the message of SW_ENOMEM. `free` accepts NULL. */
    enum sw_status (*alloc)(struct sw_backend *b, size_t bytes, const char *what, void **d_out);
    void (*free)(struct sw_backend *b, void *d_ptr, size_t bytes);
    enum sw_status (*upload)(struct sw_backend *b, void *d_dst, const void *src, size_t bytes);
    enum sw_status (*download)(struct sw_backend *b, void *dst, const void *d_src, size_t bytes);
    enum sw_status (*sync)(struct sw_backend *b);

    /* Weights. matrix_clear, called first, zeroes the padding and puts the format's own table, if
     * it has one, behind the matrix (sw_matrix_table); another can be uploaded there. Then any
     * number of matrix_put calls store rows in any order. */
    enum sw_status (*matrix_clear)(struct sw_backend *b, struct sw_matrix *m);
    enum sw_status (*matrix_put)(struct sw_backend *b, struct sw_matrix *m,
                                 const struct sw_matrix_rows *rows);

    /* y[i] = row ids[i] of m, as f32. ids: (n) in host memory. */
    void (*embed)(struct sw_backend *b, const struct sw_matrix *m, const int32_t *ids, int64_t n,
                  float *d_y, int64_t ld_y);
    /* y = norm(x) * weight + bias, for n rows of dim. d_bias may be NULL; y may be x. */
    void (*norm)(struct sw_backend *b, enum sw_norm kind, float eps, const float *d_x, int64_t ld_x,
                 int64_t n, int64_t dim, const float *d_weight, const float *d_bias, float *d_y,
                 int64_t ld_y);
    /* y (n, m->rows) = x (n, m->cols) · Wᵀ + bias; y += the same with `add`. d_bias may be NULL. */
    void (*matmul)(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                   const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add);
    /* As sw_projection. NULL: this backend does not have the operation. */
    void (*project)(struct sw_backend *b, const struct sw_projection *p, const float *d_x,
                    int64_t ld_x, int64_t n, float *d_y, int64_t ld_y);
    /* For the spans' rows: norms, rotates and scales queries in place, norms and rotates keys,
     * norms values, and stores keys and values in the cache. The contents of d_k and d_v are
     * undefined afterwards. */
    void (*place_heads)(struct sw_backend *b, const struct sw_heads *heads, const struct sw_kv *kv,
                        const struct sw_span *spans, int n_spans);
    /* Copies the first n positions of slot `from` to slot `to`, whose own contents are lost. */
    void (*kv_copy)(struct sw_backend *b, const struct sw_kv *kv, int from, int to, int64_t n);
    /* softmax(cap(scale · q·kᵀ) + alibi) · v over the visible keys, all of them stored before. */
    void (*attend)(struct sw_backend *b, const struct sw_attention *a, const struct sw_kv *kv,
                   const struct sw_span *spans, int n_spans);
    /* With decay = exp(d_decay * softplus(a + d_dt)) and beta = sigmoid(b) of a value head, q and k
     * of unit length, q / sqrt(k_dim): S *= decay; S += k (beta (v - Sᵀk))ᵀ; and
     * out = norm(Sᵀq) * silu(z). */
    void (*delta)(struct sw_backend *b, const struct sw_delta *d,
                  const struct sw_delta_states *states, const struct sw_span *spans, int n_spans);
    /* Copies state `from` to state `to`. */
    void (*delta_copy)(struct sw_backend *b, const struct sw_delta_states *states, int from,
                       int to);
    /* y *= sigmoid(gate): n rows of `heads` heads of dim, those of y one behind the other, those of
     * gate `gate_head` apart. */
    void (*gate)(struct sw_backend *b, const float *d_gate, int64_t ld_gate, int64_t gate_head,
                 int64_t n, int heads, int64_t dim, float *d_y, int64_t ld_y);
    /* gated: y (n, dim) = act(x[:, :dim]) * x[:, dim:2*dim]; else y = act(x). y may be x. */
    void (*activate)(struct sw_backend *b, enum sw_activation kind, bool gated, const float *d_x,
                     int64_t ld_x, int64_t n, int64_t dim, float *d_y, int64_t ld_y);
    /* Both in one, x being what activate reads; x is lost. NULL where there is `project`. */
    void (*activated_matmul)(struct sw_backend *b, enum sw_activation kind, bool gated,
                             const struct sw_matrix *m, const float *d_bias, float *d_x,
                             int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add);
    /* y += factor * x, for n rows of dim. */
    void (*add)(struct sw_backend *b, float factor, const float *d_x, int64_t ld_x, int64_t n,
                int64_t dim, float *d_y, int64_t ld_y);
    /* y *= factor * *d_factor, where d_factor may be NULL: 1. And then, unless cap is 0, y = cap *
     * tanh(y / cap). For n rows of dim. */
    void (*scale)(struct sw_backend *b, float factor, const float *d_factor, float cap, int64_t n,
                  int64_t dim, float *d_y, int64_t ld_y);
    /* gather: y[i] = weights[i] * x[rows[i]], where weights may be NULL: 1, and rows, too: i.
     * scatter_add: y[rows[i]] += weights[i] * x[i]. rows, weights: (n) in host memory. */
    void (*gather)(struct sw_backend *b, const float *d_x, int64_t ld_x, const int32_t *rows,
                   const float *weights, int64_t n, int64_t dim, float *d_y, int64_t ld_y);
    void (*scatter_add)(struct sw_backend *b, const float *d_x, int64_t ld_x, const int32_t *rows,
                        const float *weights, int64_t n, int64_t dim, float *d_y, int64_t ld_y);
};

struct sw_backend {
    const struct sw_backend_ops *ops;
    const struct sw_gpu_ops *gpu;        /* backend/gpu_library.h; NULL: this is not a GPU */
    const struct sw_gpu_link_ops *links; /* links to other GPUs; NULL: it cannot have any */
};

struct sw_cpu_options {
    int threads;       /* 0: one for each core that this rank may use */
    const char *cores; /* hwloc list like "0-3,8"; NULL: all that the process may use */
    const char *isa;   /* "portable", "avx2", "avx512" or "avx512bf16"; NULL: the best one */
    int64_t max_rows;  /* most rows of a call; sizes the scratch memory */
    int64_t max_cols;  /* most in-features of a matrix; sizes the scratch memory */
};

/* Scratch bytes that sw_backend_cpu_open allocates with these options; the planner counts them. */
size_t sw_backend_cpu_scratch(const struct sw_cpu_options *options);
/* SW_EUSAGE: no such cores or isa; SW_ENOMEM. The caller closes the backend by ops->close. */
enum sw_status sw_backend_cpu_open(const struct sw_cpu_options *options, struct sw_backend **out);
/* The backend's threads, for work between its operations; NULL when it is not a CPU backend. */
struct sw_pool *sw_backend_cpu_pool(struct sw_backend *backend);

#endif
