/* Activations in bytes for int8 weights (LLM.int8()). */
#include "kernels/cuda/quant.cuh"

namespace
{

constexpr int threads = 256;

/* A block a row, of more threads where the row is long: at decode there is but one row, and nothing
 * to do beside it. A largest magnitude is the same in any order. */
constexpr int64_t long_row = 4096;
template <int threads>
__global__ void __launch_bounds__(threads)
    quantize(const float *x, int64_t ld_x, int64_t cols, sw::quantized q)
{
    __shared__ float scratch[threads / sw::warp_size];
    const int64_t row = blockIdx.x;
    x += row * ld_x;
    float largest = 0;
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < cols; i += threads) {
        const float value = x[i];
        largest = fmaxf(largest, sw::is_outlier(value) ? 0.0f : fabsf(value));
    }
    largest = sw::block_max<threads>(largest, scratch);
    const float scale = largest < SW_INT8_TINY ? 0 : 127 / largest;
    if (threadIdx.x == 0)
        q.scales[row] = largest < SW_INT8_TINY ? 0 : largest / 127;
    /* Whole warps go on to the end, for the ballot. */
    for (int64_t i = threadIdx.x; i < sw::round_up(q.row_bytes, sw::warp_size); i += threads) {
        const float value = i < cols ? x[i] : 0;
        const bool out = sw::is_outlier(value);
        const unsigned mask = __ballot_sync(sw::all_lanes, out);
        if (sw::lane() == 0 && i < cols)
            q.outliers[row * q.row_words + i / 32] = mask;
        if (i < q.row_bytes)
            q.elements[row * q.row_bytes + i] = out ? 0 : (int8_t)__float2int_rn(value * scale);
    }
}

} // namespace

/* ------------------------------------------------------------------------------------------- */

size_t sw_gpu_quantized_bytes(int64_t n, int64_t cols)
{
    return sw::quantized_size(n, cols, 0) + sw::quantized_size(n, cols, 1) +
           sw::quantized_size(n, cols, 2);
}

const int8_t *sw_gpu_quantized_elements(const void *x8, int64_t n, int64_t cols)
{
    return sw::quantized_of(x8, n, cols).elements;
}

cudaError_t sw_gpu_quantize(const float *x, int64_t ld_x, int64_t n, int64_t cols, void *x8,
                            cudaStream_t stream)
{
    if (n == 0)
        return cudaSuccess;
    const bool is_long = cols > long_row;
    SW_LAUNCH((is_long ? quantize<1024> : quantize<256>), (unsigned)n, is_long ? 1024 : 256, 0,
              stream, x, ld_x, cols, sw::quantized_of(x8, n, cols));
    return cudaGetLastError();
}
