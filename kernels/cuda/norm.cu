/* Layer norm and RMS norm, a block a row. */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int threads = 512; /* whatever the width: the order of a row's sum depends on it */

/*
 * Every thread reads and writes its own columns, so y may be x. Where it has at most `held` of them
 * it keeps them, and all are read at once: a row of a single token waits for memory once instead of
 * three times, and nothing else is going on meanwhile. 0: any number, read anew each time.
 */
template <int held>
__global__ void __launch_bounds__(threads)
    norm(bool centred, float eps, const float *x, int64_t ld_x, int64_t dim, const float *weight,
         const float *bias, float *y, int64_t ld_y)
{
    __shared__ float scratch[threads / sw::warp_size];
    constexpr int64_t step = threads;
    float values[held ? held : 1];
    x += (int64_t)blockIdx.x * ld_x;
    y += (int64_t)blockIdx.x * ld_y;
#pragma unroll
    for (int k = 0; k < held; k++)
        values[k] = threadIdx.x + k * step < dim ? x[threadIdx.x + k * step] : 0.0f;
    float mean = 0;
    if (centred) {
        float sum = 0;
#pragma unroll
        for (int k = 0; k < held; k++)
            sum += values[k];
        if (!held)
            for (int64_t i = threadIdx.x; i < dim; i += step)
                sum += x[i];
        mean = sw::block_sum<threads>(sum, scratch) / (float)dim;
    }
    float squares = 0;
#pragma unroll
    for (int k = 0; k < held; k++)
        if (threadIdx.x + k * step < dim)
            squares += (values[k] - mean) * (values[k] - mean);
    if (!held)
        for (int64_t i = threadIdx.x; i < dim; i += step)
            squares += (x[i] - mean) * (x[i] - mean);
    squares = sw::block_sum<threads>(squares, scratch);
    const float scale = 1 / sqrtf(squares / (float)dim + eps);
#pragma unroll
    for (int k = 0; k < held; k++) {
        const int64_t i = threadIdx.x + k * step;
        if (i < dim) {
            const float v = (values[k] - mean) * scale * weight[i];
            y[i] = bias ? v + bias[i] : v;
        }
    }
    if (!held)
        for (int64_t i = threadIdx.x; i < dim; i += step) {
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
    SW_LAUNCH((dim <= 4 * threads    ? norm<4>
               : dim <= 16 * threads ? norm<16>
                                     : norm<0>),
              (unsigned)n, threads, 0, stream, kind == SW_NORM_LAYER, eps, x, ld_x, dim, weight,
              bias, y, ld_y);
    return cudaGetLastError();
}
