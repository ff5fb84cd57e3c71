/* The layout of keys and values (kernels/cpu/cpu_kernels.h), and the rows of spans. */
#ifndef SW_KERNELS_CUDA_KV_CUH
#define SW_KERNELS_CUDA_KV_CUH

#include "kernels/cuda/device.cuh"

namespace sw
{

/* One layer's KV cache as kernels take it: blocks of SW_KEY_BLOCK positions, keys before values, if
 * these are stored. */
struct cache {
    char *data;
    int64_t head_bytes; /* of one KV head of one slot */
    int64_t half_bytes; /* of a block's keys, the same as of its values */
    int n_kv_heads, head_dim;
    int64_t value_dim;   /* as of struct sw_gpu_kv */
    int64_t block_bytes; /* of a block */
};

static inline struct cache cache_of(const struct sw_gpu_kv *kv)
{
    struct cache c;
    c.data = (char *)kv->data;
    const int parts = kv->value_dim ? 1 : 2;
    c.head_bytes = (int64_t)sw_kv_bytes(kv->format, 1, 1, kv->head_dim, kv->context) / 2 * parts;
    c.half_bytes = (int64_t)sw_kv_bytes(kv->format, 1, 1, kv->head_dim, SW_KEY_BLOCK) / 2;
    c.block_bytes = c.half_bytes * parts;
    c.value_dim = kv->value_dim;
    c.n_kv_heads = kv->n_kv_heads;
    c.head_dim = kv->head_dim;
    return c;
}

static __device__ inline char *head_of(const cache &c, int slot, int kv_head)
{
    return c.data + ((int64_t)slot * c.n_kv_heads + kv_head) * c.head_bytes;
}

/* The index of dimension d of key `key` in the keys of a block, and of value `key` in its values.
 * bf16: keys are stored in pairs of dimensions, values in pairs of keys. */
template <enum sw_dtype format> static __device__ inline int64_t key_at(int d, int key)
{
    if (format == SW_BF16)
        return ((int64_t)(d / 2) * SW_KEY_BLOCK + key) * 2 + d % 2;
    return (int64_t)d * SW_KEY_BLOCK + key;
}

template <enum sw_dtype format>
static __device__ inline int64_t value_at(int head_dim, int key, int d)
{
    if (format == SW_BF16)
        return ((int64_t)(key / 2) * head_dim + d) * 2 + key % 2;
    return (int64_t)key * head_dim + d;
}

/*
 * Every span has count(span) items. Returns the span that contains item *index of all, and changes
 * *index to the item's number in that span; -1: there are fewer items. Called by whole warps, with
 * the same arguments in all lanes.
 */
template <class Count>
static __device__ inline int find_span(const struct sw_gpu_span *spans, int n_spans, int64_t *index,
                                       Count count)
{
    for (int first = 0; first < n_spans; first += warp_size) {
        const int n = first + lane() < n_spans ? count(spans[first + lane()]) : 0;
        int up_to = n;
        for (int apart = 1; apart < warp_size; apart *= 2) {
            const int before = __shfl_up_sync(all_lanes, up_to, (unsigned)apart);
            up_to += lane() >= apart ? before : 0;
        }
        const unsigned past = __ballot_sync(all_lanes, *index < up_to);
        const int at = past ? __ffs((int)past) - 1 : warp_size - 1;
        *index -= __shfl_sync(all_lanes, past ? up_to - n : up_to, at);
        if (past)
            return first + at;
    }
    return -1;
}

/* The row of a KV cache format in tables of kernels; -1: it has none. */
static inline int kv_format_row(enum sw_dtype format)
{
    return format == SW_F32 ? 0 : format == SW_F16 ? 1 : format == SW_BF16 ? 2 : -1;
}

} // namespace sw

#endif
