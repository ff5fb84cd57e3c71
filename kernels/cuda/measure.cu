/* Reads memory once, to measure the bandwidth of a GPU's own memory. */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int threads = 256, ahead = 4;

/* Every thread has `ahead` loads under way. It stores only for one rare value, so that the compiler
 * keeps the reads and hardly any write happens. */
__global__ void __launch_bounds__(threads) read_memory(const uint4 *from, int64_t n, float *out)
{
    sw::await_previous();
    const int64_t step = (int64_t)gridDim.x * threads;
    unsigned sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x; i < n; i += step * ahead)
#pragma unroll
        for (int k = 0; k < ahead; k++)
            if (i + k * step < n) {
                const uint4 v = __ldcs(from + i + k * step);
                sum += v.x ^ v.y ^ v.z ^ v.w;
            }
    if (sum == 0x5f3c6a91u)
        *out = 1;
}

const sw::listed_kernels all(read_memory);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_read_memory(const void *p, size_t bytes, float *out, cudaStream_t stream)
{
    const int64_t n = (int64_t)(bytes / 16), most = 16384;
    const int64_t blocks = sw::divide_up(n, threads * ahead);
    if (n == 0)
        return cudaSuccess;
    if (!sw::is_aligned(p, 16))
        return cudaErrorInvalidValue;
    SW_LAUNCH(read_memory, (unsigned)(blocks < most ? blocks : most), threads, 0, stream,
              (const uint4 *)p, n, out);
    return cudaGetLastError();
}
