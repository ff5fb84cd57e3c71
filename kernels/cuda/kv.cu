/* Storing keys and values, and copying what one slot has to another. */
#include "kernels/cuda/kv.cuh"

namespace
{

struct span_rows {
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return span.n;
    }
};

/* Dimension d of row `row` of a span. */
template <enum sw_dtype format>
__device__ inline void put(const sw::cache &cache, const struct sw_gpu_span &span, int64_t row,
                           int kv_head, int d, float k, float v)
{
    typedef sw::element<format> element;
    typedef typename element::type type;
    const int64_t position = span.position + row;
    const int key = (int)(position % SW_KEY_BLOCK);
    char *const block =
        sw::head_of(cache, span.slot, kv_head) + position / SW_KEY_BLOCK * 2 * cache.half_bytes;
    type *const keys = (type *)(void *)block;
    type *const values = (type *)(void *)(block + cache.half_bytes);
    keys[sw::key_at<format>(d, key)] = element::store(k);
    values[sw::value_at<format>(cache.head_dim, key, d)] = element::store(v);
    if (format != SW_BF16)
        return;
    /* The other half of a pair is 0 until there is something: beside the odd last dimension, and
     * for the next key, when no row of this span stores it. */
    if (d == cache.head_dim - 1 && d % 2 == 0)
        keys[sw::key_at<format>(d + 1, key)] = 0;
    if (key % 2 == 0 && row + 1 == span.n)
        values[sw::value_at<format>(cache.head_dim, key + 1, d)] = 0;
}

/* Columns are (KV head, dimension); blockIdx.y strides over the rows of all spans. */
template <enum sw_dtype format>
__global__ void store(sw::cache cache, const struct sw_gpu_span *spans, int n_spans, int64_t n_rows,
                      const float *k, const float *v, int64_t ld, int64_t head)
{
    const int64_t column = sw::this_column();
    const int kv_head = (int)(column / cache.head_dim), d = (int)(column % cache.head_dim);
    for (int64_t i = blockIdx.y; i < n_rows; i += gridDim.y) {
        int64_t row = i;
        const int s = sw::find_span(spans, n_spans, &row, span_rows());
        if (s < 0 || kv_head >= cache.n_kv_heads)
            continue;
        const int64_t at = (spans[s].row + row) * ld + kv_head * head + d;
        put<format>(cache, spans[s], row, kv_head, d, k[at], v[at]);
    }
}

constexpr int copy_threads = 256;

/* blockIdx.y: the KV head. */
__global__ void copy(sw::cache cache, int from, int to, int64_t vectors)
{
    const int kv_head = (int)blockIdx.y;
    const uint4 *const in = (const uint4 *)(const void *)sw::head_of(cache, from, kv_head);
    uint4 *const out = (uint4 *)(void *)sw::head_of(cache, to, kv_head);
    for (int64_t i = (int64_t)blockIdx.x * copy_threads + threadIdx.x; i < vectors;
         i += (int64_t)gridDim.x * copy_threads)
        out[i] = in[i];
}

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_kv_store(const struct sw_gpu_kv *kv, const struct sw_gpu_batch *batch,
                            const float *k, const float *v, int64_t ld, int64_t head,
                            cudaStream_t stream)
{
    static void (*const kernels[])(sw::cache, const struct sw_gpu_span *, int, int64_t,
                                   const float *, const float *, int64_t,
                                   int64_t) = {store<SW_F32>, store<SW_F16>, store<SW_BF16>};
    const int format = sw::kv_format_row(kv->format);
    int64_t n = 0;
    for (int i = 0; i < batch->n; i++)
        n += batch->host[i].n;
    if (format < 0)
        return cudaErrorInvalidValue;
    if (n == 0)
        return cudaSuccess;
    SW_LAUNCH(kernels[format], sw::grid_of_rows(n, (int64_t)kv->n_kv_heads * kv->head_dim),
              sw::column_threads, 0, stream, sw::cache_of(kv), batch->spans, batch->n, n, k, v, ld,
              head);
    return cudaGetLastError();
}

cudaError_t sw_gpu_kv_copy(const struct sw_gpu_kv *kv, int from, int to, int64_t n,
                           cudaStream_t stream)
{
    if (n == 0 || from == to)
        return cudaSuccess;
    const int64_t vectors = (int64_t)sw_kv_bytes(kv->format, 1, 1, kv->head_dim, n) / 16;
    const int64_t blocks = sw::divide_up(vectors, copy_threads), most = 256;
    const dim3 grid((unsigned)(blocks < most ? blocks : most), (unsigned)kv->n_kv_heads);
    SW_LAUNCH(copy, grid, copy_threads, 0, stream, sw::cache_of(kv), from, to, vectors);
    return cudaGetLastError();
}
