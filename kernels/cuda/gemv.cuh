/*
 * GEMV: bound by reading the weights once. A block has a few rows of W with all their columns.
 * Thread t has the 16-byte vectors t, t + 128, … of each row, so a warp reads 512 contiguous bytes,
 * and every thread loads a vector of each row at once. All tokens use what is read; x comes from
 * the caches. An output is the sum of its threads' sums in the order of lanes and warps, which
 * depends on the number of columns only.
 *
 * A thread starts to load its first vectors of W before it waits for the previous kernel
 * (launch.cuh). For all blocks that a GPU runs at once these are megabytes, which arrive while the
 * small kernels between products run.
 *
 * gemv is for formats whose elements become floats. A class W defines how; an object of it is an
 * argument of the kernel. W has
 *
 *   - per_vector: the number of elements of a vector;
 *   - group: the number of elements that are converted at once, a multiple of 4;
 *   - raw: a vector as it is loaded;
 *   - rows: made of the product and W, the block's rows; its load<whole>(v, cols, raw *out) loads
 *     vector v of each row, all loads before any use;
 *   - unpack(raw, g, float *out): elements [g * group, (g + 1) * group) of a vector.
 */
#ifndef SW_KERNELS_CUDA_GEMV_CUH
#define SW_KERNELS_CUDA_GEMV_CUH

#include "kernels/cuda/act.cuh"
#include "kernels/cuda/gpu_formats.h"

namespace sw
{
namespace products
{

constexpr int threads = 128, warps = threads / warp_size;
constexpr int block_rows = 4;
static_assert(SW_ROW_PAD % block_rows == 0, "padding rows may be read");
/* Blocks that a multiprocessor is to hold, by its registers; 0: as many as compilers think right.
 * Of eight tokens they would spill some to hold more. */
template <int tokens> constexpr int least_blocks = tokens >= 8 ? 2 : 0;

/* The row of W that is row i of a block. Gated rows come in pairs: the one that is activated, then
 * its factor, half of all rows further on. Rows may be padding. */
__device__ inline int64_t row_of(const struct sw_gpu_product &p, int i)
{
    const int64_t block = blockIdx.x;
    if (!p.gated)
        return block * block_rows + i;
    return (i < block_rows / 2 ? 0 : p.rows / 2) + block * (block_rows / 2) + i % (block_rows / 2);
}

/* The rows of a block in what begins at `first`; those of each half are consecutive. */
template <class T> struct rows_of_w {
    const T *half[2];
    int64_t elements; /* from one row to the next in memory */

    __device__ inline rows_of_w(const struct sw_gpu_product &p, const void *first,
                                int64_t row_elements)
        : half{(const T *)first + row_of(p, 0) * row_elements,
               (const T *)first + row_of(p, block_rows / 2) * row_elements},
          elements(row_elements)
    {
    }
    __device__ inline const T *operator[](int i) const
    {
        return half[i / (block_rows / 2)] + i % (block_rows / 2) * elements;
    }
};

/* whole: rows consist of aligned vectors, which are loaded at once. Otherwise elements are loaded
 * one by one, 0 beyond the row's end. A thread has the same elements in the same order either way.
 */
template <bool whole, int n>
__device__ inline void load_x(const float *x, int64_t v, int64_t cols, float *out)
{
    if (whole) {
        const float4 *from = (const float4 *)(const void *)(x + v * n);
#pragma unroll
        for (int i = 0; i < n / 4; i++) {
            const float4 four = from[i];
            out[4 * i] = four.x, out[4 * i + 1] = four.y;
            out[4 * i + 2] = four.z, out[4 * i + 3] = four.w;
        }
    } else {
#pragma unroll
        for (int i = 0; i < n; i++)
            out[i] = v * n + i < cols ? x[v * n + i] : 0.0f;
    }
}

/*
 * A warp's sums of n numbers, as warp_sum has them: lane i * (32 / n) returns the one of number i.
 * At each step a lane keeps half of the numbers and gives the other half away, so that there are n
 * exchanges and not five times as many.
 */
template <class T, int n> __device__ inline T sums_over_warp(const T *sums)
{
    static_assert(n > 0 && warp_size % n == 0, "numbers are halved");
    T of[n];
#pragma unroll
    for (int i = 0; i < n; i++)
        of[i] = sums[i];
    int apart = warp_size / 2;
#pragma unroll
    for (int left = n / 2; left > 0; left /= 2, apart /= 2) {
        const bool upper = lane() & apart;
#pragma unroll
        for (int i = 0; i < left; i++) {
            const T other = upper ? of[i] : of[i + left];
            of[i] = (upper ? of[i + left] : of[i]) + __shfl_xor_sync(all_lanes, other, apart);
        }
    }
#pragma unroll
    for (; apart; apart /= 2)
        of[0] += __shfl_xor_sync(all_lanes, of[0], apart);
    return of[0];
}

/* The block's sums of every row and token; thread row * tokens + token returns one. */
template <class T, int n> __device__ inline T join(const T *sums, T *scratch)
{
    const T of_warp = sums_over_warp<T, n>(sums);
    if (lane() % (warp_size / n) == 0)
        scratch[warp() * n + lane() / (warp_size / n)] = of_warp;
    __syncthreads();
    T sum = 0;
    if (threadIdx.x < n)
        for (int i = 0; i < warps; i++)
            sum += scratch[i * n + (int)threadIdx.x];
    return sum;
}

/* Writes a block's results to y; called by the first warp. Thread row * tokens + token has one, so
 * results that are multiplied when gated are in the same warp. */
template <int tokens>
__device__ inline void put(const struct sw_gpu_product &p, int64_t row, int token, float value)
{
    static_assert(block_rows * SW_GPU_GEMV_ROWS <= warp_size, "a warp has all results");
    const bool there = row < p.rows && token < p.n;
    if (there && p.bias)
        value += p.bias[row];
    if (p.act)
        value = p.gated && (int)threadIdx.x >= block_rows / 2 * tokens
                    ? gated((enum sw_activation)(p.act - 1), value)
                    : act((enum sw_activation)(p.act - 1), value);
    if (p.gated)
        value *= __shfl_down_sync(all_lanes, value, block_rows / 2 * tokens);
    if (!there || (int)threadIdx.x >= (p.gated ? block_rows / 2 : block_rows) * tokens ||
        (p.gated && row >= p.rows / 2))
        return;
    float *const y = p.y + token * p.ld_y + row;
    *y = p.add ? *y + value : value;
}

/* tokens >= p.n; tokens beyond the last one compute the last one again. The first is always there:
 * with a test compilers make the loop twice. */
__device__ inline int64_t token_row(const struct sw_gpu_product &p, int token)
{
    return token == 0 || token < p.n ? token : p.n - 1;
}

template <class W, bool whole, int tokens>
__global__ void __launch_bounds__(threads, least_blocks<tokens>) gemv(struct sw_gpu_product p, W of)
{
    constexpr int n_sums = block_rows * tokens, groups = W::per_vector / W::group;
    __shared__ float scratch[warps * n_sums];
    const typename W::rows w(p, of);
    float sums[n_sums];
    typename W::raw raw[block_rows];
    const int64_t first = threadIdx.x;
    if (first * W::per_vector < p.cols)
        w.template load<whole>(first, p.cols, raw);
    sw::await_previous();
#pragma unroll
    for (int i = 0; i < n_sums; i++)
        sums[i] = 0;
    const auto add = [&](int64_t v) {
#pragma unroll
        for (int g = 0; g < groups; g++) {
            float x[W::group], weights[block_rows][W::group];
#pragma unroll
            for (int r = 0; r < block_rows; r++)
                W::unpack(raw[r], g, weights[r]);
#pragma unroll
            for (int t = 0; t < tokens; t++) {
                load_x<whole, W::group>(p.x + token_row(p, t) * p.ld_x, v * groups + g, p.cols, x);
#pragma unroll
                for (int r = 0; r < block_rows; r++)
#pragma unroll
                    for (int i = 0; i < W::group; i++)
                        sums[r * tokens + t] += weights[r][i] * x[i];
            }
        }
    };
    if (first * W::per_vector < p.cols)
        add(first);
    for (int64_t v = first + threads; v * W::per_vector < p.cols; v += threads) {
        w.template load<whole>(v, p.cols, raw);
        add(v);
    }
    const float sum = join<float, n_sums>(sums, scratch);
    if (threadIdx.x < warp_size)
        put<tokens>(p, row_of(p, (int)threadIdx.x / tokens % block_rows), (int)threadIdx.x % tokens,
                    sum);
}

/* Columns of a format's table of kernels: 1, 2, 3 to 4, 5 to 8 tokens; and some when vectors are
 * not whole, which is rare in models: more go one after the other. */
constexpr int columns = 5, broken = 4;
static inline int column(const struct sw_gpu_product *p, int64_t per_vector)
{
    const bool whole = p->cols % per_vector == 0 && p->ld_x % 4 == 0 && is_aligned(p->x, 16) &&
                       is_aligned(p->w, 16) && is_aligned(p->x8, 16);
    return !whole ? 4 : p->n <= 1 ? 0 : p->n <= 2 ? 1 : p->n <= 4 ? 2 : 3;
}

static inline unsigned blocks_of(const struct sw_gpu_product *p)
{
    const int64_t halves = p->gated ? 2 : 1;
    return (unsigned)divide_up(p->rows / halves, block_rows / halves);
}

/* Calls launch(product, first token) for all tokens, or for some of them after the other. */
template <class F>
static inline void for_tokens(const struct sw_gpu_product &p, int column, const F &launch)
{
    const int64_t most = column < columns - 1 ? SW_GPU_GEMV_ROWS : broken;
    for (int64_t first = 0; first < p.n; first += most) {
        struct sw_gpu_product some = p;
        some.n = p.n - first < most ? p.n - first : most;
        some.x += first * p.ld_x;
        some.y += first * p.ld_y;
        launch(some, first);
    }
}

/* The table of a format W. */
template <class W> struct gemv_kernels {
    typedef void (*kernel)(struct sw_gpu_product, W);
    static constexpr kernel table[columns] = {gemv<W, true, 1>, gemv<W, true, 2>, gemv<W, true, 4>,
                                              gemv<W, true, 8>, gemv<W, false, broken>};
};

template <class W>
static inline cudaError_t launch_gemv(const struct sw_gpu_product *p, const W &of,
                                      cudaStream_t stream)
{
    const int kernel = column(p, W::per_vector);
    for_tokens(*p, kernel, [&](const struct sw_gpu_product &some, int64_t) {
        SW_LAUNCH(gemv_kernels<W>::table[kernel], blocks_of(p), threads, 0, stream, some, of);
    });
    return cudaGetLastError();
}

} // namespace products
} // namespace sw

#endif
