/* Copies keys and values from one slot to another. */
#include "kernels/cuda/kv.cuh"

namespace
{

constexpr int copy_threads = 256;

/* blockIdx.y: the KV head. */
__global__ void copy(sw::cache cache, int from, int to, int64_t vectors)
{
    sw::await_previous();
    const int kv_head = (int)blockIdx.y;
    const uint4 *const in = (const uint4 *)(const void *)sw::head_of(cache, from, kv_head);
    uint4 *const out = (uint4 *)(void *)sw::head_of(cache, to, kv_head);
    for (int64_t i = (int64_t)blockIdx.x * copy_threads + threadIdx.x; i < vectors;
         i += (int64_t)gridDim.x * copy_threads)
        out[i] = in[i];
}

const sw::listed_kernels all(copy);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_kv_copy(const struct sw_gpu_kv *kv, int from, int to, int64_t n,
                           cudaStream_t stream)
{
    if (n == 0 || from == to)
        return cudaSuccess;
    const int64_t both = (int64_t)sw_kv_bytes(kv->format, 1, 1, kv->head_dim, n);
    const int64_t vectors = both / (kv->value_dim ? 32 : 16);
    const int64_t blocks = sw::divide_up(vectors, copy_threads), most = 256;
    const dim3 grid((unsigned)(blocks < most ? blocks : most), (unsigned)kv->n_kv_heads);
    SW_LAUNCH(copy, grid, copy_threads, 0, stream, sw::cache_of(kv), from, to, vectors);
    return cudaGetLastError();
}
