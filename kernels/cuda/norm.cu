/* Layer norm and RMS norm, a block a row. */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int threads = 512; /* whatever the width: the order of a row's sum depends on it */

/* Every thread reads and writes its own columns, so y may be x. */
__global__ void __launch_bounds__(threads)
    norm(bool centred, float eps, const float *x, int64_t ld_x, int64_t dim, const float *weight,
         const float *bias, float *y, int64_t ld_y)
{
    __shared__ float scratch[threads / sw::warp_size];
    x += (int64_t)blockIdx.x * ld_x;
    y += (int64_t)blockIdx.x * ld_y;
    float mean = 0;
    if (centred) {
        float sum = 0;
        for (int64_t i = threadIdx.x; i < dim; i += threads)
            sum += x[i];
        mean = sw::block_sum<threads>(sum, scratch) / (float)dim;
    }
    float squares = 0;
    for (int64_t i = threadIdx.x; i < dim; i += threads)
        squares += (x[i] - mean) * (x[i] - mean);
    squares = sw::block_sum<threads>(squares, scratch);
    const float scale = 1 / sqrtf(squares / (float)dim + eps);
    for (int64_t i = threadIdx.x; i < dim; i += threads) {
        const float v = (x[i] - mean) * scale * weight[i];
        y[i] = bias ? v + bias[i] : v;
    }
}

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_norm(enum sw_norm kind, float eps, const float *x, int64_t ld_x, int64_t n,
                        int64_t dim, const float *weight, const float *bias, float *y, int64_t ld_y,
                        cudaStream_t stream)
{
    if (n == 0)
        return cudaSuccess;
    SW_LAUNCH(norm, (unsigned)n, threads, 0, stream, kind == SW_NORM_LAYER, eps, x, ld_x, dim,
              weight, bias, y, ld_y);
    return cudaGetLastError();
}
