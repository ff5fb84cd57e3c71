/* Operands of GEMM that are activations, and the last step of its results. */
#include "kernels/cuda/to_half.cuh"

namespace
{

template <bool whole>
__global__ void finish(const float *sums, int64_t n, int64_t rows, const float *x_scale,
                       const float *w_scale, const float *bias, bool add, float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column() * 4, left = rows - col;
    if (left <= 0)
        return;
    float scale[4] = {1, 1, 1, 1}, shift[4] = {0, 0, 0, 0};
    if (w_scale)
        sw::load_four<whole>(w_scale + col, left, scale);
    if (bias)
        sw::load_four<whole>(bias + col, left, shift);
    for (int64_t r = blockIdx.y; r < n; r += gridDim.y) {
        float values[4], old[4] = {0, 0, 0, 0};
        float *const out = y + r * ld_y + col;
        const float factor = x_scale ? x_scale[r] : 1.0f;
        sw::load_four<whole>(sums + r * rows + col, left, values);
        if (add)
            sw::load_four<whole>(out, left, old);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            /* One scale after the other: their product may be out of range. */
            const float value = values[i] * factor * scale[i] + shift[i];
            values[i] = add ? old[i] + value : value;
        }
        sw::store_four<whole>(out, left, values);
    }
}

const sw::listed_kernels all(sw::halves::to_half_kernels<sw::element_rows<SW_F32>>::table,
                             finish<true>, finish<false>);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_to_half(enum sw_dtype to, const float *x, int64_t ld_x, int64_t n, int64_t cols,
                           void *out, float *scale, cudaStream_t stream)
{
    if (n == 0)
        return cudaSuccess;
    return sw::halves::launch_to_half(to, sw::rows_of_elements<SW_F32>(x, nullptr, ld_x, cols),
                                      cols, n, out, scale, stream);
}

cudaError_t sw_gpu_finish(const float *sums, int64_t n, int64_t rows, const float *x_scale,
                          const float *w_scale, const float *bias, bool add, float *y, int64_t ld_y,
                          cudaStream_t stream)
{
    if (n == 0 || rows == 0)
        return cudaSuccess;
    const bool whole = sw::is_in_fours(sums, rows, rows) && sw::is_in_fours(y, rows, ld_y) &&
                       sw::is_aligned(w_scale, 16) && sw::is_aligned(bias, 16);
    SW_LAUNCH((whole ? finish<true> : finish<false>), sw::grid_of_rows(n, sw::divide_up(rows, 4)),
              sw::column_threads, 0, stream, sums, n, rows, x_scale, w_scale, bias, add, y, ld_y);
    return cudaGetLastError();
}
