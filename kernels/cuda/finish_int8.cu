/*
 * The last step of an int8 GEMM: applies scales, outliers and bias to the sums of bytes. Tokens
 * have most of their outliers in the same few columns. A tile of 128 tokens by 64 rows of weights
 * lists these columns, copies them to shared memory, 16 at a time, with 0 for elements that are no
 * outlier, and multiplies there. So each byte of weights is fetched once for a tile, together with
 * 31 unused ones of its row.
 */
#include "kernels/cuda/quant.cuh"

namespace
{

constexpr int threads = 256;
constexpr int tile_tokens = 128, tile_rows = 64, tile_cols = 16;
/* A thread's outputs: 8 tokens by 4 rows. */
constexpr int own_tokens = 8, own_rows = 4, row_threads = tile_rows / own_rows;
static_assert(threads == row_threads * (tile_tokens / own_tokens), "all outputs are somebody's");
constexpr int pad = 4;
constexpr int list_words = threads; /* words of outlier bits that are listed at a time */

struct finishing {
    const int32_t *sums;
    int64_t ld_sums;
    const float *x;
    int64_t ld_x;
    struct sw::quantized q;
    const int8_t *w;
    const float *scales;
    int64_t rows, n;
    const float *bias;
    int64_t add; /* boolean: y += instead of y = */
    float *y;
    int64_t ld_y;
};

struct shared {
    /* first, with rows of whole vectors, because fours are read */
    float x[tile_cols][tile_tokens + pad], w[tile_cols][tile_rows + pad];
    unsigned either[list_words]; /* a bit for each column: some token has an outlier there */
    int before[threads / sw::warp_size + 1];
    uint16_t list[list_words * 32]; /* listed columns, in order */
};

/* Loads words [first, first + words) of the outliers of tokens [token, past), joined by OR. */
__device__ inline void find_either(const finishing &f, int64_t token, int64_t past, int64_t first,
                                   int words, shared &m)
{
    const int shares = threads / words, word = (int)threadIdx.x % words;
    m.either[threadIdx.x] = 0;
    __syncthreads();
    if ((int)threadIdx.x < shares * words) {
        unsigned found = 0;
#pragma unroll 16
        for (int64_t t = token + (int)threadIdx.x / words; t < past; t += shares)
            found |= f.q.outliers[t * f.q.row_words + first + word];
        if (found)
            atomicOr(&m.either[word], found);
    }
    __syncthreads();
}

/* Makes m.list from m.either; returns its length. */
__device__ inline int make_list(shared &m)
{
    constexpr int warps = threads / sw::warp_size;
    unsigned rest = m.either[threadIdx.x];
    /* The position of this thread's columns, after those of earlier lanes and warps. */
    int at = __popc(rest);
    for (int apart = 1; apart < sw::warp_size; apart *= 2) {
        const int other = __shfl_up_sync(sw::all_lanes, at, (unsigned)apart);
        at += sw::lane() >= apart ? other : 0;
    }
    if (sw::lane() == sw::warp_size - 1)
        m.before[sw::warp() + 1] = at;
    __syncthreads();
    if (threadIdx.x == 0) {
        m.before[0] = 0;
        for (int i = 1; i <= warps; i++)
            m.before[i] += m.before[i - 1];
    }
    __syncthreads();
    at += m.before[sw::warp()] - __popc(rest);
    for (; rest; rest &= rest - 1)
        m.list[at++] = (uint16_t)(threadIdx.x * 32 + (unsigned)__ffs((int)rest) - 1);
    __syncthreads();
    return m.before[warps];
}

__device__ inline int64_t at_most(int64_t i, int64_t last)
{
    return i < last ? i : last;
}

/* Loads columns list[0, n) + from: outliers of the activations, and weights; 0 beyond the end. No
 * branch makes one load wait for another. */
__device__ inline void bring(const finishing &f, int64_t token, int64_t row, int64_t from,
                             const uint16_t *list, int n, shared &m)
{
    constexpr int x_loads = tile_cols * tile_tokens / threads, x_apart = threads / tile_tokens;
    constexpr int w_loads = tile_cols * tile_rows / threads, w_apart = threads / tile_rows;
    const int own_token = (int)threadIdx.x % tile_tokens, own_row = (int)threadIdx.x % tile_rows;
    const int first_x = (int)threadIdx.x / tile_tokens, first_w = (int)threadIdx.x / tile_rows;
    const float *const x = f.x + at_most(token + own_token, f.n - 1) * f.ld_x + from;
    const int8_t *const w = f.w + at_most(row + own_row, f.rows - 1) * f.q.row_bytes + from;
    float x_values[x_loads];
    int8_t w_values[w_loads];
#pragma unroll
    for (int i = 0; i < x_loads; i++)
        x_values[i] = x[list[at_most(first_x + i * x_apart, n - 1)]];
#pragma unroll
    for (int i = 0; i < w_loads; i++)
        w_values[i] = w[list[at_most(first_w + i * w_apart, n - 1)]];
#pragma unroll
    for (int i = 0; i < x_loads; i++) {
        const bool there = first_x + i * x_apart < n && sw::is_outlier(x_values[i]);
        m.x[first_x + i * x_apart][own_token] = there ? x_values[i] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < w_loads; i++)
        m.w[first_w + i * w_apart][own_row] = (float)w_values[i];
}

__device__ inline void multiply(const shared &m, int n, int at_token, int at_row,
                                float sums[own_tokens][own_rows])
{
    for (int k = 0; k < n; k++) {
        const float4 w = sw::four(&m.w[k][at_row]);
        const float4 x[2] = {sw::four(&m.x[k][at_token]), sw::four(&m.x[k][at_token + 4])};
#pragma unroll
        for (int i = 0; i < own_tokens; i++) {
            const float value = i % 4 == 0   ? x[i / 4].x
                                : i % 4 == 1 ? x[i / 4].y
                                : i % 4 == 2 ? x[i / 4].z
                                             : x[i / 4].w;
            sums[i][0] += value * w.x;
            sums[i][1] += value * w.y;
            sums[i][2] += value * w.z;
            sums[i][3] += value * w.w;
        }
    }
}

/* Writes `left` rows from `row` on, for tokens [token, past); a thread has own_tokens of these. */
template <bool whole>
__device__ inline void put(const finishing &f, int64_t token, int64_t past, int64_t row,
                           int64_t left, const float outliers[own_tokens][own_rows])
{
    constexpr int at_once = 4; /* tokens loaded before one is computed */
    float scales[own_rows], bias[own_rows] = {};
    sw::load_four<whole>(f.scales + row, left, scales);
    if (f.bias)
        sw::load_four<whole>(f.bias + row, left, bias);
#pragma unroll
    for (int first = 0; first < own_tokens; first += at_once) {
        float sums[at_once][own_rows], old[at_once][own_rows] = {}, x_scales[at_once];
#pragma unroll
        for (int i = 0; i < at_once; i++) {
            const int64_t t = at_most(token + first + i, past - 1);
            const float *const from = (const float *)(const void *)f.sums + t * f.ld_sums + row;
            sw::load_four<whole>(from, left, sums[i]);
            x_scales[i] = f.q.scales[t];
        }
        if (f.add)
#pragma unroll
            for (int i = 0; i < at_once; i++)
                sw::load_four<whole>(f.y + at_most(token + first + i, past - 1) * f.ld_y + row,
                                     left, old[i]);
#pragma unroll
        for (int i = 0; i < at_once; i++) {
            float values[own_rows];
#pragma unroll
            for (int r = 0; r < own_rows; r++) {
                const float value = sw::int8_value(__float_as_int(sums[i][r]), x_scales[i],
                                                   outliers[first + i][r], scales[r]) +
                                    bias[r];
                values[r] = f.add ? old[i][r] + value : value;
            }
            if (token + first + i < past)
                sw::store_four<whole>(f.y + (token + first + i) * f.ld_y + row, left, values);
        }
    }
}

/* blockIdx: x tile of rows; y tile of tokens. */
template <bool whole> __global__ void __launch_bounds__(threads) finish(finishing f)
{
    sw::await_previous();
    __shared__ __align__(16) shared m;
    const int at_row = (int)threadIdx.x % row_threads * own_rows;
    const int at_token = (int)threadIdx.x / row_threads * own_tokens;
    const int64_t row = (int64_t)blockIdx.x * tile_rows, token = (int64_t)blockIdx.y * tile_tokens;
    const int64_t past = token + tile_tokens < f.n ? token + tile_tokens : f.n;
    float outliers[own_tokens][own_rows] = {};
    for (int64_t first = 0; first < f.q.row_words; first += list_words) {
        const int64_t words = f.q.row_words - first;
        find_either(f, token, past, first, (int)(words < list_words ? words : list_words), m);
        const int n = make_list(m);
        for (int at = 0; at < n; at += tile_cols) {
            const int some = n - at < tile_cols ? n - at : tile_cols;
            bring(f, token, row, first * 32, m.list + at, some, m);
            __syncthreads();
            multiply(m, some, at_token, at_row, outliers);
            __syncthreads();
        }
    }
    const int64_t left = f.rows - row - at_row;
    if (left > 0 && token + at_token < past)
        put<whole>(f, token + at_token, past, row + at_row, left, outliers);
}

const sw::listed_kernels all(finish<true>, finish<false>);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_finish_int8(const int32_t *sums, int64_t ld_sums, const float *x, int64_t ld_x,
                               const void *x8, const void *w, int64_t rows, int64_t cols,
                               int64_t row, int64_t n_rows, int64_t n, const float *bias, bool add,
                               float *y, int64_t ld_y, cudaStream_t stream)
{
    if (n == 0 || n_rows == 0)
        return cudaSuccess;
    const struct sw::quantized q = sw::quantized_of(x8, n, cols);
    const struct finishing f = {sums,
                                ld_sums,
                                x,
                                ld_x,
                                q,
                                (const int8_t *)w + row * q.row_bytes,
                                sw_matrix_scales(SW_FORMAT_INT8, w, rows, cols) + row,
                                n_rows,
                                n,
                                bias,
                                add,
                                y,
                                ld_y};
    const bool whole = sw::is_in_fours((const float *)(const void *)sums, n_rows, ld_sums) &&
                       sw::is_in_fours(y, n_rows, ld_y) && sw::is_aligned(f.scales, 16) &&
                       sw::is_aligned(bias, 16);
    const dim3 grid((unsigned)sw::divide_up(n_rows, tile_rows),
                    (unsigned)sw::divide_up(n, tile_tokens));
    SW_LAUNCH((whole ? finish<true> : finish<false>), grid, threads, 0, stream, f);
    return cudaGetLastError();
}
