/* Activations in bytes for int8 weights (LLM.int8()), and what becomes of the bytes' sums. */
#include "kernels/cuda/quant.cuh"

namespace
{

constexpr int threads = 256;

/* A block a row, of more threads where the row is long: at decode there is but one row, and nothing
 * to do beside it. */
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

constexpr int many_tokens = 128, tokens_at_once = 8; /* fewer are too few blocks by eights */
constexpr int list_words = threads; /* of outlier bits, made into a list at a time */

/*
 * A block has `threads` outputs of one token after another, of many where there are many: they have
 * most of their outliers in the same columns, whose weights are in the cache then. Outliers are
 * listed in order, a piece of the row at a time, so that no thread goes through all of the bits.
 */
__global__ void __launch_bounds__(threads)
    finish_int8(const int32_t *sums, int64_t ld_sums, const float *x, int64_t ld_x, sw::quantized q,
                const int8_t *w, const float *scales, int64_t rows, int64_t n, int at_once,
                const float *bias, bool add, float *y, int64_t ld_y)
{
    sw::await_previous();
    __shared__ uint16_t list[list_words * 32];
    __shared__ int before[threads / sw::warp_size + 1];
    const int64_t row = (int64_t)blockIdx.x * threads + threadIdx.x;
    const int64_t first_token = (int64_t)blockIdx.y * at_once;
    const int64_t past = first_token + at_once < n ? first_token + at_once : n;
    w += row * q.row_bytes;
    for (int64_t token = first_token; token < past; token++) {
        const unsigned *const bits = q.outliers + token * q.row_words;
        const float *const from = x + token * ld_x;
        float outliers = 0;
        for (int64_t first = 0; first < q.row_words; first += list_words) {
            unsigned rest = first + threadIdx.x < q.row_words ? bits[first + threadIdx.x] : 0;
            /* Where this thread's outliers go: those of earlier lanes and warps come first. */
            int at = __popc(rest);
            for (int apart = 1; apart < sw::warp_size; apart *= 2) {
                const int other = __shfl_up_sync(sw::all_lanes, at, (unsigned)apart);
                at += sw::lane() >= apart ? other : 0;
            }
            if (sw::lane() == sw::warp_size - 1)
                before[sw::warp() + 1] = at;
            __syncthreads();
            if (threadIdx.x == 0) {
                before[0] = 0;
                for (int i = 1; i <= threads / sw::warp_size; i++)
                    before[i] += before[i - 1];
            }
            __syncthreads();
            at += before[sw::warp()] - __popc(rest);
            for (; rest; rest &= rest - 1)
                list[at++] = (uint16_t)(threadIdx.x * 32 + (unsigned)__ffs((int)rest) - 1);
            __syncthreads();
            const int n_listed = before[threads / sw::warp_size];
            if (row < rows)
                for (int i = 0; i < n_listed; i++) {
                    const int64_t col = first * 32 + list[i];
                    outliers += from[col] * (float)w[col];
                }
            __syncthreads();
        }
        if (row >= rows)
            continue;
        const int sum = sums[token * ld_sums + row];
        float value = sw::int8_value(sum, q.scales[token], outliers, scales[row]);
        if (bias)
            value += bias[row];
        float *const out = y + token * ld_y + row;
        *out = add ? *out + value : value;
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

cudaError_t sw_gpu_finish_int8(const int32_t *sums, int64_t ld_sums, const float *x, int64_t ld_x,
                               const void *x8, const void *w, int64_t rows, int64_t cols,
                               int64_t row, int64_t n_rows, int64_t n, const float *bias, bool add,
                               float *y, int64_t ld_y, cudaStream_t stream)
{
    if (n == 0 || n_rows == 0)
        return cudaSuccess;
    const struct sw::quantized q = sw::quantized_of(x8, n, cols);
    const int at_once = n < many_tokens ? 1 : tokens_at_once;
    const dim3 grid((unsigned)sw::divide_up(n_rows, threads), (unsigned)sw::divide_up(n, at_once));
    SW_LAUNCH(finish_int8, grid, threads, 0, stream, sums, ld_sums, x, ld_x, q,
              (const int8_t *)w + row * q.row_bytes, sw::int8_scales(SW_INT8, w, rows, cols) + row,
              n_rows, n, at_once, bias, add, y, ld_y);
    return cudaGetLastError();
}
