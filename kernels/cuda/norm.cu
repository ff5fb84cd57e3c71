/* Layer norm and RMS norm, a block for each row. For int8 weights it also writes the quantized
 * result. */
#include "kernels/cuda/quant.cuh"

namespace
{

constexpr int threads =
    512; /* the same for every width, because the order of a row's sum depends on it */

/*
 * Every thread reads and writes its own columns, so y may be x. With at most `held` columns it
 * keeps them in registers, so the row of a single token waits for memory once instead of three
 * times. held 0: any number of columns, read again each time.
 */
template <int held, bool in_bytes>
__global__ void __launch_bounds__(threads)
    norm(bool centred, float eps, const float *x, int64_t ld_x, int64_t dim, const float *weight,
         const float *bias, float *y, int64_t ld_y, sw::quantized q)
{
    sw::await_previous();
    __shared__ float scratch[threads / sw::warp_size];
    constexpr int64_t step = threads;
    float values[held ? held : 1];
    x += (int64_t)blockIdx.x * ld_x;
    y += (int64_t)blockIdx.x * ld_y;
#pragma unroll
    for (int k = 0; k < held; k++)
        values[k] = threadIdx.x + k * step < dim ? x[threadIdx.x + k * step] : 0.0f;
    const auto value = [&](int k, int64_t i) { return held ? values[k] : x[i]; };
    float mean = 0;
    if (centred) {
        float sum = 0;
        sw::for_columns<threads, held>(dim, [&](int k, int64_t i) { sum += value(k, i); });
        mean = sw::block_sum<threads>(sum, scratch) / (float)dim;
    }
    float squares = 0;
    sw::for_columns<threads, held>(
        dim, [&](int k, int64_t i) { squares += (value(k, i) - mean) * (value(k, i) - mean); });
    squares = sw::block_sum<threads>(squares, scratch);
    const float scale = 1 / sqrtf(squares / (float)dim + eps);
    sw::for_columns<threads, held>(dim, [&](int k, int64_t i) {
        const float v = (value(k, i) - mean) * scale * weight[i];
        y[i] = values[k] = bias ? v + bias[i] : v;
    });
    if (in_bytes) /* with held 0, this thread reads its own results again */
        sw::quantize_row<threads, held>(q, blockIdx.x, dim, scratch,
                                        [&](int k, int64_t i) { return held ? values[k] : y[i]; });
}

typedef void (*kernel)(bool, float, const float *, int64_t, int64_t, const float *, const float *,
                       float *, int64_t, sw::quantized);
const kernel kernels[3][2] = {{norm<4, false>, norm<4, true>},
                              {norm<16, false>, norm<16, true>},
                              {norm<0, false>, norm<0, true>}};

const sw::listed_kernels all(kernels);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_norm(enum sw_norm kind, float eps, const float *x, int64_t ld_x, int64_t n,
                        int64_t dim, const float *weight, const float *bias, float *y, int64_t ld_y,
                        void *x8, cudaStream_t stream)
{
    const int width = dim <= 4 * threads ? 0 : dim <= 16 * threads ? 1 : 2;
    struct sw::quantized q = {};
    if (n == 0)
        return cudaSuccess;
    if (x8)
        q = sw::quantized_of(x8, n, dim);
    SW_LAUNCH(kernels[width][x8 != nullptr], (unsigned)n, threads, 0, stream, kind == SW_NORM_LAYER,
              eps, x, ld_x, dim, weight, bias, y, ld_y, q);
    return cudaGetLastError();
}
