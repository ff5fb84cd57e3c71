/* Activations in bytes for int8 weights (LLM.int8()). */
#include "kernels/cuda/quant.cuh"

namespace
{

/* A block for each row, with more threads for long rows: a decode step has only one row and no
 * other work at that time. */
constexpr int64_t long_row = 4096;
template <int threads>
__global__ void __launch_bounds__(threads)
    quantize(const float *x, int64_t ld_x, int64_t cols, sw::quantized q)
{
    sw::await_previous();
    __shared__ float scratch[threads / sw::warp_size];
    x += blockIdx.x * ld_x;
    sw::quantize_row<threads, 0>(q, blockIdx.x, cols, scratch,
                                 [&](int, int64_t i) { return x[i]; });
}

const sw::listed_kernels all(quantize<1024>, quantize<256>);

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
