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
 */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/quant.cuh"

namespace
{

constexpr int threads = 128, warps = threads / sw::warp_size;
constexpr int block_rows = 4;
static_assert(SW_ROW_PAD % block_rows == 0, "padding rows may be read");

/* The row of W that is row i of a block. Gated rows come in pairs: the one that is activated, then
 * its factor, half of all rows further on. Rows may be padding. */
__device__ inline int64_t row_of(const struct sw_gpu_product &p, int i)
{
    const int64_t block = blockIdx.x;
    if (!p.gated)
        return block * block_rows + i;
    return (i < block_rows / 2 ? 0 : p.rows / 2) + block * (block_rows / 2) + i % (block_rows / 2);
}

/* The rows of W of a block; those of each half are consecutive. */
template <class T> struct rows_of_w {
    const T *half[2];
    int64_t elements; /* from one row to the next in memory */

    __device__ inline rows_of_w(const struct sw_gpu_product &p, int64_t row_elements)
        : half{(const T *)p.w + row_of(p, 0) * row_elements,
               (const T *)p.w + row_of(p, block_rows / 2) * row_elements},
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

/* The bits of an element in memory. */
__device__ inline unsigned bits_of(float x)
{
    return __float_as_uint(x);
}
__device__ inline unsigned bits_of(uint16_t x)
{
    return x;
}

/* Loads vector v of block_rows rows of weights, unconverted: all loads start before any is used. */
template <bool whole, class T>
__device__ inline void load_w(const rows_of_w<T> &w, int64_t v, int64_t cols, uint4 *out)
{
    constexpr int n = (int)(sizeof(uint4) / sizeof(T)), per_word = n / 4;
#pragma unroll
    for (int r = 0; r < block_rows; r++) {
        if (whole) {
            out[r] = __ldcs((const uint4 *)(const void *)(w[r] + v * n));
            continue;
        }
        unsigned words[4] = {0, 0, 0, 0};
#pragma unroll
        for (int i = 0; i < n; i++)
            if (v * n + i < cols)
                words[i / per_word] |= bits_of(w[r][v * n + i]) << i % per_word * 16;
        out[r] = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

/* The block's sums of every row and token; thread row * tokens + token returns one. */
template <class T, int n> __device__ inline T join(T *sums, T *scratch)
{
#pragma unroll
    for (int i = 0; i < n; i++) {
        const T sum = sw::warp_sum(sums[i]);
        if (sw::lane() == 0)
            scratch[sw::warp() * n + i] = sum;
    }
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
    static_assert(block_rows * SW_GPU_GEMV_ROWS <= sw::warp_size, "a warp has all results");
    const bool there = row < p.rows && token < p.n;
    if (there && p.bias)
        value += p.bias[row];
    if (p.act)
        value = p.gated && (int)threadIdx.x >= block_rows / 2 * tokens
                    ? value
                    : sw::act((enum sw_activation)(p.act - 1), value);
    if (p.gated)
        value *= __shfl_down_sync(sw::all_lanes, value, block_rows / 2 * tokens);
    if (!there || (int)threadIdx.x >= (p.gated ? block_rows / 2 : block_rows) * tokens ||
        (p.gated && row >= p.rows / 2))
        return;
    float *const y = p.y + token * p.ld_y + row;
    *y = p.add ? *y + value : value;
}

/* tokens >= p.n; tokens beyond the last one compute the last one again. */
__device__ inline int64_t token_row(const struct sw_gpu_product &p, int token)
{
    return token < p.n ? token : p.n - 1;
}

template <bool whole, enum sw_dtype format, int tokens>
__global__ void __launch_bounds__(threads) gemv(struct sw_gpu_product p, int64_t row_elements)
{
    typedef typename sw::element<format>::type type;
    constexpr int per_vector = sw::element<format>::per_vector, n_sums = block_rows * tokens;
    __shared__ float scratch[warps * n_sums];
    const rows_of_w<type> w(p, row_elements);
    float sums[n_sums];
    uint4 raw[block_rows];
    const int64_t first = threadIdx.x;
    if (first * per_vector < p.cols)
        load_w<whole>(w, first, p.cols, raw);
    sw::await_previous();
#pragma unroll
    for (int i = 0; i < n_sums; i++)
        sums[i] = 0;
    const auto add = [&](int64_t v) {
        float x[per_vector], weights[block_rows][per_vector];
#pragma unroll
        for (int r = 0; r < block_rows; r++)
            sw::element<format>::unpack(raw[r], weights[r]);
#pragma unroll
        for (int t = 0; t < tokens; t++) {
            load_x<whole, per_vector>(p.x + token_row(p, t) * p.ld_x, v, p.cols, x);
#pragma unroll
            for (int r = 0; r < block_rows; r++)
#pragma unroll
                for (int i = 0; i < per_vector; i++)
                    sums[r * tokens + t] += weights[r][i] * x[i];
        }
    };
    if (first * per_vector < p.cols)
        add(first);
    for (int64_t v = first + threads; v * per_vector < p.cols; v += threads) {
        load_w<whole>(w, v, p.cols, raw);
        add(v);
    }
    const float sum = join<float, n_sums>(sums, scratch);
    if (threadIdx.x < sw::warp_size)
        put<tokens>(p, row_of(p, (int)threadIdx.x / tokens % block_rows), (int)threadIdx.x % tokens,
                    sum);
}

/* Loads vector v of a row of bytes; rows are whole words. once: it will not be read again. */
template <bool whole, bool once>
__device__ inline uint4 load_bytes(const int8_t *row, int64_t v, int64_t bytes)
{
    const uint4 *const vector = (const uint4 *)(const void *)row + v;
    const unsigned *const words = (const unsigned *)(const void *)row + v * 4;
    const int64_t n = bytes / 4 - v * 4;
    if (whole)
        return once ? __ldcs(vector) : *vector;
    return make_uint4(n > 0 ? words[0] : 0, n > 1 ? words[1] : 0, n > 2 ? words[2] : 0,
                      n > 3 ? words[3] : 0);
}

__device__ inline int dot(const uint4 &a, const uint4 &b, int sum)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        sum = __dp4a((int)sw::word(a, i), (int)sw::word(b, i), sum);
    return sum;
}

/* Exact sums of bytes, and sums of the outliers; the bytes of outliers are 0. */
template <bool whole, int tokens>
__global__ void __launch_bounds__(threads)
    gemv_int8(struct sw_gpu_product p, const float *scales, sw::quantized x8)
{
    constexpr int n_sums = block_rows * tokens;
    __shared__ int scratch[warps * n_sums];
    __shared__ float outlier_scratch[warps * n_sums];
    const int64_t bytes = x8.row_bytes;
    const rows_of_w<int8_t> w(p, bytes);
    int sums[n_sums];
    float outliers[n_sums];
    uint4 weights[block_rows];
    const auto load = [&](int64_t v) {
#pragma unroll
        for (int r = 0; r < block_rows; r++)
            weights[r] = load_bytes<whole, true>(w[r], v, bytes);
    };
    const int64_t first = threadIdx.x;
    if (first * 16 < bytes)
        load(first);
    sw::await_previous();
#pragma unroll
    for (int i = 0; i < n_sums; i++)
        sums[i] = 0, outliers[i] = 0;
    const auto add = [&](int64_t v) {
#pragma unroll
        for (int t = 0; t < tokens; t++) {
            const int64_t token = token_row(p, t);
            const uint4 x = load_bytes<whole, false>(x8.elements + token * bytes, v, bytes);
            const unsigned both = x8.outliers[token * x8.row_words + v / 2];
#pragma unroll
            for (int r = 0; r < block_rows; r++)
                sums[r * tokens + t] = dot(weights[r], x, sums[r * tokens + t]);
            for (unsigned rest = both >> v % 2 * 16 & 0xffffu; rest; rest &= rest - 1) {
                const int i = __ffs((int)rest) - 1;
                const float value = p.x[token * p.ld_x + v * 16 + i];
#pragma unroll
                for (int r = 0; r < block_rows; r++)
                    outliers[r * tokens + t] +=
                        value * (float)(int8_t)(sw::word(weights[r], i / 4) >> i % 4 * 8 & 0xffu);
            }
        }
    };
    if (first * 16 < bytes)
        add(first);
    for (int64_t v = first + threads; v * 16 < bytes; v += threads) {
        load(v);
        add(v);
    }
    const int sum = join<int, n_sums>(sums, scratch);
    const float outlier_sum = join<float, n_sums>(outliers, outlier_scratch);
    if (threadIdx.x >= sw::warp_size)
        return;
    const int token = (int)threadIdx.x % tokens;
    const int64_t out = row_of(p, (int)threadIdx.x / tokens % block_rows);
    put<tokens>(p, out, token,
                sw::int8_value(sum, x8.scales[token_row(p, token)], outlier_sum,
                               out < p.rows ? scales[out] : 0));
}

bool has_whole_vectors(const struct sw_gpu_product *p)
{
    const int64_t per_vector = 16 / (int64_t)sw_format_of(p->format)->block_bytes;
    return p->cols % per_vector == 0 && p->ld_x % 4 == 0 && sw::is_aligned(p->x, 16) &&
           sw::is_aligned(p->w, 16) && (!p->x8 || sw::is_aligned(p->x8, 16));
}

/* Columns of the tables: 1, 2, 3 to 4, 5 to 8 tokens; and any number when vectors are not whole,
 * which is rare in models. */
int column(const struct sw_gpu_product *p)
{
    if (!has_whole_vectors(p))
        return 4;
    return p->n <= 1 ? 0 : p->n <= 2 ? 1 : p->n <= 4 ? 2 : 3;
}

typedef void (*kernel)(struct sw_gpu_product, int64_t);
typedef void (*int8_kernel)(struct sw_gpu_product, const float *, sw::quantized);
#define FOR_TOKENS(format)                                                                         \
    {                                                                                              \
        gemv<true, format, 1>, gemv<true, format, 2>, gemv<true, format, 4>,                       \
            gemv<true, format, 8>, gemv<false, format, SW_GPU_GEMV_ROWS>                           \
    }
const kernel kernels[3][5] = {FOR_TOKENS(SW_F32), FOR_TOKENS(SW_F16), FOR_TOKENS(SW_BF16)};
const int8_kernel int8_kernels[5] = {gemv_int8<true, 1>, gemv_int8<true, 2>, gemv_int8<true, 4>,
                                     gemv_int8<true, 8>, gemv_int8<false, SW_GPU_GEMV_ROWS>};

const sw::listed_kernels all(kernels, int8_kernels);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_gemv(const struct sw_gpu_product *p, cudaStream_t stream)
{
    const int format = sw::format_row(p->format);
    if (format < 0 || p->n > SW_GPU_GEMV_ROWS || (p->format == SW_FORMAT_INT8 && !p->x8) ||
        (p->gated && !p->act) || (p->act && p->add))
        return cudaErrorInvalidValue;
    if (p->n == 0 || p->rows == 0)
        return cudaSuccess;
    const int64_t halves = p->gated ? 2 : 1;
    const unsigned blocks = (unsigned)sw::divide_up(p->rows / halves, block_rows / halves);
    if (p->format == SW_FORMAT_INT8)
        SW_LAUNCH(int8_kernels[column(p)], blocks, threads, 0, stream, *p,
                  sw_matrix_scales(p->format, p->w, p->rows, p->cols),
                  sw::quantized_of(p->x8, p->n, p->cols));
    else
        SW_LAUNCH(kernels[format][column(p)], blocks, threads, 0, stream, *p,
                  sw::row_elements(p->format, p->cols));
    return cudaGetLastError();
}
