/*
 * A row of the table of formats for a class W of few bits (block_planes.cuh): its products
 * (block_gemv.cuh), halves for cuBLAS, and rows of the embedding.
 */
#ifndef SW_KERNELS_CUDA_BLOCK_FORMAT_CUH
#define SW_KERNELS_CUDA_BLOCK_FORMAT_CUH

#include "kernels/cuda/block_gemv.cuh"
#include "kernels/cuda/block_unpack.cuh"
#include "kernels/cuda/to_half.cuh"

namespace sw
{
namespace blocks
{

constexpr int row_threads = 256, row_warps = row_threads / warp_size;

/* Four columns times `factor` as halves. */
template <enum sw_dtype half> static __device__ inline uint2 pack_four(const float *v, float factor)
{
    unsigned words[2];
#pragma unroll
    for (int i = 0; i < 2; i++)
        words[i] = (unsigned)element<half>::store(v[2 * i] * factor) |
                   (unsigned)element<half>::store(v[2 * i + 1] * factor) << 16;
    return make_uint2(words[0], words[1]);
}

/* The lane's weights of a stretch, 0 beyond the row's columns. */
template <class W>
static __device__ inline void row_weights(const matrix<W> &w, int64_t row, unsigned s, float *out)
{
    weights_of(w, row, s, lane(), out);
#pragma unroll
    for (int i = 0; i < lane_columns; i++)
        if ((int64_t)s * stretch + W::column(lane(), i / 4) + i % 4 >= w.cols)
            out[i] = 0;
}

/* A block for each row from `row` on; f16's rows are multiplied by a power of two as in
 * to_half.cuh. padded: columns of out, of which there are a multiple of 8. */
template <enum sw_dtype half, class W>
__global__ void __launch_bounds__(row_threads)
    block_halves(matrix<W> w, int64_t row, int64_t padded, uint16_t *out, float *scale)
{
    sw::await_previous();
    __shared__ float scratch[row_warps];
    const int64_t r = blockIdx.x;
    const unsigned stretches = w.stretches();
    int exponent = 0;
    float values[lane_columns];
    if (half == SW_F16) {
        float largest = 0;
        for (unsigned s = (unsigned)warp(); s < stretches; s += row_warps) {
            row_weights(w, row + r, s, values);
#pragma unroll
            for (int i = 0; i < lane_columns; i++)
                largest = fmaxf(largest, fabsf(values[i]));
        }
        exponent = halves::scale_exponent(block_max<row_threads>(largest, scratch));
    }
    if (threadIdx.x == 0)
        scale[r] = power_of_two(-exponent);
    const float factor = power_of_two(exponent);
    for (unsigned s = (unsigned)warp(); s < stretches; s += row_warps) {
        row_weights(w, row + r, s, values);
#pragma unroll
        for (int f = 0; f < 2; f++) {
            const int64_t col = (int64_t)s * stretch + W::column(lane(), f);
            if (col < padded)
                *(uint2 *)(void *)(out + r * padded + col) =
                    pack_four<half>(values + 4 * f, factor);
        }
    }
}

/* blockIdx: x stretches, a warp each; y rows. */
template <class W>
__global__ void __launch_bounds__(row_threads)
    block_embed(matrix<W> w, const int32_t *ids, int64_t n, float *y, int64_t ld_y)
{
    sw::await_previous();
    const unsigned s = blockIdx.x * row_warps + (unsigned)warp();
    float values[lane_columns];
    if (s >= w.stretches())
        return;
    for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
        weights_of(w, ids[i], s, lane(), values);
#pragma unroll
        for (int k = 0; k < lane_columns; k++) {
            const int64_t col = (int64_t)s * stretch + W::column(lane(), k / 4) + k % 4;
            if (col < w.cols)
                y[i * ld_y + col] = values[k];
        }
    }
}

/* The launchers of a format. */
template <class W> struct functions {
    typedef void (*to_halves)(matrix<W>, int64_t, int64_t, uint16_t *, float *);
    static constexpr to_halves halves_table[2] = {block_halves<SW_F16, W>,
                                                  block_halves<SW_BF16, W>};

    static cudaError_t gemv(const struct sw_gpu_product *p, cudaStream_t stream)
    {
        if (!is_aligned(p->w, 16))
            return cudaErrorInvalidValue;
        const int column = products::column(p, W::block_len);
        const matrix<W> w = matrix_of<W>(p->w, p->rows, p->cols);
        products::for_tokens(*p, column, [&](const sw_gpu_product &some, int64_t) {
            SW_LAUNCH(block_kernels<W>::table[column], products::blocks_of(p), threads, 0, stream,
                      some, w);
        });
        return cudaGetLastError();
    }
    static cudaError_t to_half(enum sw_dtype half, const void *w, int64_t rows, int64_t cols,
                               int64_t row, int64_t n, void *out, float *scale, cudaStream_t stream)
    {
        if ((half != SW_F16 && half != SW_BF16) || !is_aligned(out, 16))
            return cudaErrorInvalidValue;
        SW_LAUNCH(halves_table[half == SW_BF16], (unsigned)n, row_threads, 0, stream,
                  matrix_of<W>(w, rows, cols), row, round_up(cols, 8), (uint16_t *)out, scale);
        return cudaGetLastError();
    }
    static cudaError_t embed(const void *w, int64_t rows, int64_t cols, const int32_t *ids,
                             int64_t n, float *y, int64_t ld_y, cudaStream_t stream)
    {
        const int64_t most = 65535, of_row = divide_up(divide_up(cols, stretch), row_warps);
        SW_LAUNCH(block_embed<W>, dim3((unsigned)of_row, (unsigned)(n < most ? n : most)),
                  row_threads, 0, stream, matrix_of<W>(w, rows, cols), ids, n, y, ld_y);
        return cudaGetLastError();
    }
    static cudaError_t unpack(const void *packed, int64_t rows, int64_t cols, void *out,
                              cudaStream_t stream)
    {
        struct sw_gpu_plane planes[W::n_planes];
        for (int i = 0; i < W::n_planes; i++)
            planes[i] = W::plane(i);
        return unpack_blocks(W::packing, planes, W::n_planes, packed, round_up(rows, SW_ROW_PAD),
                             blocks_of_row<W>(cols), out, stream);
    }
};

template <class W> constexpr struct sw_gpu_format format_of()
{
    struct sw_gpu_format f = {{},
                              SW_F16,
                              SW_F16,
                              functions<W>::gemv,
                              functions<W>::to_half,
                              functions<W>::embed,
                              functions<W>::unpack};
    for (int i = 0; i < W::n_planes && W::plane(i).bytes; i++)
        f.planes[i] = W::plane(i);
    return f;
}

} // namespace blocks
} // namespace sw

/* What a format's file lists of W. */
#define SW_BLOCK_KERNELS(W)                                                                        \
    sw::blocks::block_kernels<W>::table, sw::blocks::functions<W>::halves_table,                   \
        sw::blocks::block_embed<W>

#endif
