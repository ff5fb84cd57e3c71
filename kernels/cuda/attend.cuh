/* Shared by the kernels of attention, and their launchers, of which attend.cu chooses. */
#ifndef SW_KERNELS_CUDA_ATTEND_CUH
#define SW_KERNELS_CUDA_ATTEND_CUH

#include "kernels/cuda/kv.cuh"

namespace sw
{

/* The arguments of a call. The struct has no padding: kernels take it by value, and the simulated
 * GPU checks every word of their arguments. Short spans go to attend_split.cu, long ones to
 * attend_tiled.cu, or to attend_half.cu for f16 and bf16 caches; values that are a part of their
 * keys to attend_latent.cu. */
struct attention {
    struct sw_gpu_attention a;
    struct cache cache;
    const struct sw_gpu_span *spans;
    int group; /* query heads per KV head */
    int n_spans;
};

static __host__ __device__ inline bool is_short_span(const struct sw_gpu_span &span)
{
    return span.n <= SW_GPU_SPLIT_QUERIES;
}

/* Keys that a query sees: [first_key, position]. */
static __host__ __device__ inline int first_key(int position, int64_t window)
{
    return window < 0                         ? (int)(position - position % -window)
           : window > 0 && position >= window ? (int)(position - window + 1)
                                              : 0;
}

/* The key behind the last one that the query at `position` of a span sees. */
static __host__ __device__ inline int64_t end_key(const attention &t, const sw_gpu_span &span,
                                                  int64_t position)
{
    return t.a.whole ? span.keys : position + 1;
}

/* What is added to the score of a key for how far it is from the query. */
static __device__ inline float bias_of(const attention &t, int head, int query, int key)
{
    if (!t.a.bias)
        return 0.0f;
    const int apart = key - query, reach = t.a.reach;
    const int at = apart < -reach ? -reach : apart > reach ? reach : apart;
    return t.a.bias[(int64_t)t.a.buckets[at + reach] * t.a.n_heads + head];
}

static __device__ inline const float *query_of(const attention &t, int64_t row, int head)
{
    return t.a.q + row * t.a.q_ld + head * t.a.q_head + head / t.group * t.a.q_skip;
}

static __device__ inline float capped(const struct sw_gpu_attention &a, float score)
{
    return a.cap > 0 ? a.cap * tanhf(score / a.cap) : score;
}

/* What a row's sums are divided by: the sum of its keys' shares, `unit` times exp(score - top), and
 * of its head's sink. A sink far above all scores leaves nothing. */
static __device__ inline float whole_of(const struct sw_gpu_attention &a, int head, float top,
                                        float total, float unit)
{
    return a.sinks ? total + unit * expf(a.sinks[head] - top) : total;
}

cudaError_t attend_split(const struct attention &t, enum sw_dtype format, int64_t context,
                         const struct sw_gpu_span *host, void *work, size_t work_bytes,
                         cudaStream_t stream);
cudaError_t attend_tiled(const struct attention &t, enum sw_dtype format,
                         const struct sw_gpu_span *host, cudaStream_t stream);
cudaError_t attend_latent(const struct attention &t, enum sw_dtype format, int64_t context,
                          const struct sw_gpu_span *host, void *work, size_t work_bytes,
                          cudaStream_t stream);
/* head_dim is at most half_head_dim: above it blocks' words and sums have no place. */
constexpr int half_head_dim = 256;
cudaError_t attend_half(const struct attention &t, enum sw_dtype format,
                        const struct sw_gpu_span *host, cudaStream_t stream);

} // namespace sw

#endif
