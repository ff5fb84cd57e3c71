/* Elementwise operations on rows: activation, sum, gather, scatter, check for NaN. */
#include "kernels/cuda/act.cuh"

namespace
{

template <enum sw_activation kind, bool whole>
__global__ void activate(const float *x, int64_t ld_x, int64_t n, int64_t dim, bool gated, float *y,
                         int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column() * 4, left = dim - col;
    if (left <= 0)
        return;
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y) {
        const float *const from = x + row * ld_x + col;
        float values[4], factors[4] = {1, 1, 1, 1};
        sw::load_four<whole>(from, left, values);
        if (gated)
            sw::load_four<whole>(from + dim, left, factors);
#pragma unroll
        for (int i = 0; i < 4; i++)
            values[i] = gated ? sw::act<kind>(values[i]) * sw::gated(kind, factors[i])
                              : sw::act<kind>(values[i]);
        sw::store_four<whole>(y + row * ld_y + col, left, values);
    }
}

__global__ void add(float factor, const float *x, int64_t ld_x, int64_t n, int64_t dim, float *y,
                    int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= dim)
        return;
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y)
        y[row * ld_y + col] += factor * x[row * ld_x + col];
}

__global__ void scale(float factor, const float *by, float cap, int64_t n, int64_t dim, float *y,
                      int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= dim)
        return;
    const float all = by ? factor * *by : factor;
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y) {
        const float x = all * y[row * ld_y + col];
        y[row * ld_y + col] = cap > 0 ? cap * tanhf(x / cap) : x;
    }
}

__global__ void gather(const float *x, int64_t ld_x, const int32_t *rows, const float *weights,
                       int64_t n, int64_t dim, float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= dim)
        return;
    for (int64_t i = blockIdx.y; i < n; i += gridDim.y)
        y[i * ld_y + col] = x[(rows ? rows[i] : i) * ld_x + col] * (weights ? weights[i] : 1.0f);
}

__global__ void permute(const float *x, int64_t ld_x, const int32_t *order, int64_t n, int64_t dim,
                        float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= dim)
        return;
    const int32_t from = order[col];
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y)
        y[row * ld_y + col] = x[row * ld_x + from];
}

/* A row may occur more than once, so one thread has all of a column. */
__global__ void scatter_add(const float *x, int64_t ld_x, const int32_t *rows, const float *weights,
                            int64_t n, int64_t dim, float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= dim)
        return;
    for (int64_t i = 0; i < n; i++)
        y[rows[i] * ld_y + col] += weights[i] * x[i * ld_x + col];
}

__global__ void check_finite(const float *x, int64_t ld_x, int64_t n, int64_t dim, int32_t *bad)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= dim)
        return;
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y)
        if (!isfinite(x[row * ld_x + col]))
            atomicOr(bad, 1);
}

constexpr int scatter_threads = 64; /* small, so that narrow rows still make many blocks */

void (*const kernels[][2])(const float *, int64_t, int64_t, int64_t, bool, float *, int64_t) = {
    {activate<SW_ACT_RELU, false>, activate<SW_ACT_RELU, true>},
    {activate<SW_ACT_GELU, false>, activate<SW_ACT_GELU, true>},
    {activate<SW_ACT_GELU_TANH, false>, activate<SW_ACT_GELU_TANH, true>},
    {activate<SW_ACT_SILU, false>, activate<SW_ACT_SILU, true>},
    {activate<SW_ACT_RELU_SQUARED, false>, activate<SW_ACT_RELU_SQUARED, true>},
    {activate<SW_ACT_SILU_CLAMPED, false>, activate<SW_ACT_SILU_CLAMPED, true>}};

const sw::listed_kernels all(kernels, add, scale, gather, permute, scatter_add, check_finite);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_activate(enum sw_activation kind, bool gated, const float *x, int64_t ld_x,
                            int64_t n, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream)
{
    static_assert(SW_ACT_RELU == 0 && SW_ACT_GELU == 1 && SW_ACT_GELU_TANH == 2 &&
                      SW_ACT_SILU == 3 && SW_ACT_RELU_SQUARED == 4 && SW_ACT_SILU_CLAMPED == 5,
                  "the table is in the enum's order");
    if (n == 0 || dim == 0)
        return cudaSuccess;
    const bool whole = sw::is_in_fours(x, dim, ld_x) && sw::is_in_fours(y, dim, ld_y);
    SW_LAUNCH(kernels[kind][whole], sw::grid_of_rows(n, sw::divide_up(dim, 4)), sw::column_threads,
              0, stream, x, ld_x, n, dim, gated, y, ld_y);
    return cudaGetLastError();
}

cudaError_t sw_gpu_add(float factor, const float *x, int64_t ld_x, int64_t n, int64_t dim, float *y,
                       int64_t ld_y, cudaStream_t stream)
{
    if (n == 0 || dim == 0)
        return cudaSuccess;
    SW_LAUNCH(add, sw::grid_of_rows(n, dim), sw::column_threads, 0, stream, factor, x, ld_x, n, dim,
              y, ld_y);
    return cudaGetLastError();
}

cudaError_t sw_gpu_scale(float factor, const float *by, float cap, int64_t n, int64_t dim, float *y,
                         int64_t ld_y, cudaStream_t stream)
{
    if (n == 0 || dim == 0)
        return cudaSuccess;
    SW_LAUNCH(scale, sw::grid_of_rows(n, dim), sw::column_threads, 0, stream, factor, by, cap, n,
              dim, y, ld_y);
    return cudaGetLastError();
}

cudaError_t sw_gpu_permute(const float *x, int64_t ld_x, const int32_t *order, int64_t n,
                           int64_t dim, float *y, int64_t ld_y, cudaStream_t stream)
{
    if (n == 0 || dim == 0)
        return cudaSuccess;
    SW_LAUNCH(permute, sw::grid_of_rows(n, dim), sw::column_threads, 0, stream, x, ld_x, order, n,
              dim, y, ld_y);
    return cudaGetLastError();
}

cudaError_t sw_gpu_gather(const float *x, int64_t ld_x, const int32_t *rows, const float *weights,
                          int64_t n, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream)
{
    if (n == 0 || dim == 0)
        return cudaSuccess;
    SW_LAUNCH(gather, sw::grid_of_rows(n, dim), sw::column_threads, 0, stream, x, ld_x, rows,
              weights, n, dim, y, ld_y);
    return cudaGetLastError();
}

cudaError_t sw_gpu_scatter_add(const float *x, int64_t ld_x, const int32_t *rows,
                               const float *weights, int64_t n, int64_t dim, float *y, int64_t ld_y,
                               cudaStream_t stream)
{
    if (n == 0 || dim == 0)
        return cudaSuccess;
    SW_LAUNCH(scatter_add, (unsigned)sw::divide_up(dim, scatter_threads), scatter_threads, 0,
              stream, x, ld_x, rows, weights, n, dim, y, ld_y);
    return cudaGetLastError();
}

cudaError_t sw_gpu_check_finite(const float *x, int64_t ld_x, int64_t n, int64_t dim, int32_t *bad,
                                cudaStream_t stream)
{
    if (n == 0 || dim == 0)
        return cudaSuccess;
    SW_LAUNCH(check_finite, sw::grid_of_rows(n, dim), sw::column_threads, 0, stream, x, ld_x, n,
              dim, bad);
    return cudaGetLastError();
}
