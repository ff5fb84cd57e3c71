/* Shared by the files of the CPU backend. */
#ifndef SW_BACKEND_CPU_INTERNAL_H
#define SW_BACKEND_CPU_INTERNAL_H

#include "backend/backend.h"
#include "base/pool.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/many.h"

#include <pthread.h>

#define SW_TOUCH_LOCKS 16

struct sw_cpu {
    struct sw_backend base; /* must be first: sw_cpu_of converts a pointer to it */
    const struct sw_kernels *kernels;
    const struct sw_cpu_many *many; /* beside them; NULL: none */
    struct sw_pool *pool;
    int threads;
    int64_t max_cols, x_floats;
    ptrdiff_t deep;                           /* of struct sw_panel_product */
    void *x;                                  /* (x_floats) floats of prepared activations */
    float *thread_scratch;                    /* (threads, SW_THREAD_FLOATS) */
    pthread_mutex_t touching[SW_TOUCH_LOCKS]; /* of a huge page, by its number: its first touch */
};

static inline struct sw_cpu *sw_cpu_of(struct sw_backend *b)
{
    return (struct sw_cpu *)(void *)b;
}

void sw_cpu_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                   const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add);
void sw_cpu_activated_matmul(struct sw_backend *b, enum sw_activation kind, bool gated,
                             const struct sw_matrix *m, const float *d_bias, float *d_x,
                             int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add);
void sw_cpu_place_heads(struct sw_backend *b, const struct sw_heads *heads, const struct sw_kv *kv,
                        const struct sw_span *spans, int n_spans);
void sw_cpu_kv_store(struct sw_backend *b, const struct sw_kv *kv, const struct sw_span *spans,
                     int n_spans, const float *d_k, const float *d_v, int64_t ld, int64_t head);
void sw_cpu_kv_copy(struct sw_backend *b, const struct sw_kv *kv, int from, int to, int64_t n);
void sw_cpu_delta(struct sw_backend *b, const struct sw_delta *d,
                  const struct sw_delta_states *states, const struct sw_span *spans, int n_spans);
void sw_cpu_delta_copy(struct sw_backend *b, const struct sw_delta_states *states, int from,
                       int to);
void sw_cpu_gate(struct sw_backend *b, const float *d_gate, int64_t ld_gate, int64_t gate_head,
                 int64_t n, int heads, int64_t dim, float *d_y, int64_t ld_y);
void sw_cpu_attend(struct sw_backend *b, const struct sw_attention *a, const struct sw_kv *kv,
                   const struct sw_span *spans, int n_spans);

#endif
