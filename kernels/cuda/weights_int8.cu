/*
 * int8, the weights of LLM.int8() (Dettmers et al.): products of bytes are exact in 32 bits. What
 * activations become for them is quant.cuh's, the end of a GEMM finish_int8.cu's.
 */
#include "kernels/cuda/embed.cuh"
#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/quant.cuh"
#include "kernels/cuda/to_half.cuh"
#include "kernels/cuda/unpack.cuh"

namespace
{

using namespace sw::products;

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
    const rows_of_w<int8_t> w(p, p.w, bytes);
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
    sw::products::put<tokens>(p, out, token,
                              sw::int8_value(sum, x8.scales[token_row(p, token)], outlier_sum,
                                             out < p.rows ? scales[out] : 0));
}

typedef void (*kernel)(struct sw_gpu_product, const float *, sw::quantized);
const kernel kernels[columns] = {gemv_int8<true, 1>, gemv_int8<true, 2>, gemv_int8<true, 4>,
                                 gemv_int8<true, 8>, gemv_int8<false, sw::products::broken>};

cudaError_t int8_gemv(const struct sw_gpu_product *p, cudaStream_t stream)
{
    if (!p->x8)
        return cudaErrorInvalidValue;
    const int of = column(p, sw::element<SW_I8>::per_vector);
    const float *const scales = sw_matrix_scales(SW_FORMAT_INT8, p->w, p->rows, p->cols);
    const sw::quantized x8 = sw::quantized_of(p->x8, p->n, p->cols);
    sw::products::for_tokens(*p, of, [&](const struct sw_gpu_product &some, int64_t first) {
        SW_LAUNCH(kernels[of], blocks_of(p), threads, 0, stream, some, scales,
                  sw::from_row(x8, first));
    });
    return cudaGetLastError();
}

cudaError_t int8_to_half(enum sw_dtype half, const void *w, int64_t rows, int64_t cols, int64_t row,
                         int64_t n, void *out, float *scale, cudaStream_t stream)
{
    return sw::halves::launch_to_half(half,
                                      sw::rows_of_matrix<SW_I8, SW_FORMAT_INT8>(w, rows, cols, row),
                                      cols, n, out, scale, stream);
}

cudaError_t int8_embed(const void *w, int64_t rows, int64_t cols, const int32_t *ids, int64_t n,
                       float *y, int64_t ld_y, cudaStream_t stream)
{
    return sw::launch_embed(sw::rows_of_matrix<SW_I8, SW_FORMAT_INT8>(w, rows, cols, 0), cols, ids,
                            n, y, ld_y, stream);
}

__global__ void copy(const float *from, int64_t n, float *to)
{
    sw::await_previous();
    const int64_t i = sw::this_column();
    if (i < n)
        to[i] = from[i];
}

/* A word of a packed panel is four elements. */
cudaError_t int8_unpack(const void *packed, int64_t rows, int64_t cols, void *out,
                        cudaStream_t stream)
{
    const struct sw_matrix_layout l = sw_matrix_layout_of(SW_FORMAT_INT8, rows, cols);
    const cudaError_t error =
        sw::panels::launch_unpack<unsigned>(packed, l.rows, l.cols / 4, out, stream);
    if (error != cudaSuccess)
        return error;
    SW_LAUNCH(copy, sw::grid_of_rows(1, l.rows), sw::column_threads, 0, stream,
              sw_matrix_scales(SW_FORMAT_INT8, packed, rows, cols), l.rows,
              sw_matrix_scales(SW_FORMAT_INT8, out, rows, cols));
    return cudaGetLastError();
}

const sw::listed_kernels all(kernels, sw::halves::to_half_kernels<sw::element_rows<SW_I8>>::table,
                             sw::embed<sw::element_rows<SW_I8>>, copy);

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_int8 = {{},           SW_I8,      SW_I8,      int8_gemv,
                                                 int8_to_half, int8_embed, int8_unpack};
