/*
 * Q8_0: blocks of 32 elements of a byte with one f16 scale; weight = scale * element. On the GPU
 * the scales lie apart, (rows, cols / 32), so that elements are read in vectors of 16.
 *
 * Weights become floats in registers and sums are f32, as for the formats that keep values: what is
 * computed is what the format says, activations lose nothing, and no kernel has to quantize them
 * first, which for a token would be one more launch before each product. For the few tokens of GEMV
 * reading the weights takes longer than some instructions more an element. In a GEMM products of
 * bytes would have to stop after each block for its scale, so weights become halves.
 */
#include "kernels/cuda/embed.cuh"
#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/to_half.cuh"
#include "kernels/cuda/unpack.cuh"

namespace
{

constexpr int block_len = 32, block_bytes = (int)sizeof(uint16_t) + block_len;

/* Element i of a word as a float. Conversions are slower than other instructions, so the element's
 * bits, with 128 added, become the last ones of 2^23, which is then taken off again. */
__device__ inline float element_of(unsigned word, int i)
{
    return __uint_as_float(__byte_perm(word ^ 0x80808080u, 0x4b000000u, 0x7440u + (unsigned)i)) -
           8388736.0f;
}

/* As gemv.cuh wants a format's weights. Padding columns are there and 0, so whole vectors are. */
struct q8_0_weights {
    struct raw {
        uint4 elements;
        unsigned scale;
    };
    static constexpr int per_vector = 16, group = 8;
    const uint16_t *scales;
    int64_t cols; /* padded */

    struct rows {
        const sw::products::rows_of_w<int8_t> elements;
        const sw::products::rows_of_w<uint16_t> scales;
        __device__ inline rows(const struct sw_gpu_product &p, const q8_0_weights &of)
            : elements(p, p.w, of.cols), scales(p, of.scales, of.cols / block_len)
        {
        }
        template <bool> __device__ inline void load(int64_t v, int64_t, raw *out) const
        {
#pragma unroll
            for (int r = 0; r < sw::products::block_rows; r++) {
                out[r].elements = __ldcs((const uint4 *)(const void *)elements[r] + v);
                out[r].scale = scales[r][v / 2];
            }
        }
    };
    static __device__ inline void unpack(const raw &v, int g, float *out)
    {
        const float scale = sw::f16_to_float(v.scale);
#pragma unroll
        for (int i = 0; i < group; i++)
            out[i] = scale * element_of(sw::word(v.elements, 2 * g + i / 4), i % 4);
    }
};

/* As element_rows. */
struct q8_0_rows {
    const int8_t *elements;
    const uint16_t *block_scales;
    int64_t ld; /* padded columns */

    static constexpr const float *scales = nullptr;
    template <enum sw_dtype half> static constexpr bool fits = half == SW_BF16;

    __device__ inline float scale_of(int64_t row, int64_t col) const
    {
        return sw::f16_to_float(block_scales[(row * ld + col) / block_len]);
    }
    __device__ inline float value(int64_t row, int64_t col) const
    {
        return scale_of(row, col) * (float)elements[row * ld + col];
    }
    __device__ inline void load(int64_t row, int64_t col, int64_t, float *out) const
    {
        const uint2 words = *(const uint2 *)(const void *)(elements + row * ld + col);
        const float scale = scale_of(row, col);
#pragma unroll
        for (int i = 0; i < sw::cols_at_once; i++)
            out[i] = scale * element_of(i < 4 ? words.x : words.y, i % 4);
    }
};

int64_t blocks_of_row(int64_t cols)
{
    return sw::divide_up(cols, block_len);
}

/* The scales of all rows: they lie behind the elements. */
uint16_t *scales_of(const void *w, int64_t rows, int64_t cols)
{
    const int64_t elements = sw::round_up(rows, SW_ROW_PAD) * blocks_of_row(cols) * block_len;
    return (uint16_t *)((uintptr_t)w + (size_t)elements);
}

/* Rows from `row` on. */
q8_0_rows rows_of(const void *w, int64_t rows, int64_t cols, int64_t row)
{
    const int64_t blocks = blocks_of_row(cols);
    return {(const int8_t *)w + row * blocks * block_len, scales_of(w, rows, cols) + row * blocks,
            blocks * block_len};
}

cudaError_t q8_0_gemv(const struct sw_gpu_product *p, cudaStream_t stream)
{
    const q8_0_weights w = {scales_of(p->w, p->rows, p->cols), blocks_of_row(p->cols) * block_len};
    if (!sw::is_aligned(p->w, 16))
        return cudaErrorInvalidValue;
    return sw::products::launch_gemv(p, w, stream);
}

cudaError_t q8_0_to_half(enum sw_dtype half, const void *w, int64_t rows, int64_t cols, int64_t row,
                         int64_t n, void *out, float *scale, cudaStream_t stream)
{
    return sw::halves::launch_to_half(half, rows_of(w, rows, cols, row), cols, n, out, scale,
                                      stream);
}

cudaError_t q8_0_embed(const void *w, int64_t rows, int64_t cols, const int32_t *ids, int64_t n,
                       float *y, int64_t ld_y, cudaStream_t stream)
{
    return sw::launch_embed(rows_of(w, rows, cols, 0), cols, ids, n, y, ld_y, stream);
}

/* A unit of a packed panel is a block: its scale, then eight words of four elements. */
constexpr int words = block_len / (int)sizeof(unsigned);
cudaError_t q8_0_unpack(const void *packed, int64_t rows, int64_t cols, void *out,
                        cudaStream_t stream)
{
    const int64_t padded = sw::round_up(rows, SW_ROW_PAD), blocks = blocks_of_row(cols);
    const cudaError_t error = sw::panels::launch_unpack<uint16_t, 1, 0, block_bytes>(
        packed, padded, blocks, scales_of(out, rows, cols), stream);
    if (error != cudaSuccess)
        return error;
    return sw::panels::launch_unpack<unsigned, words, (int)sizeof(uint16_t), block_bytes>(
        packed, padded, blocks * words, out, stream);
}

const sw::listed_kernels all(sw::products::gemv_kernels<q8_0_weights>::table,
                             sw::halves::to_half_kernels<q8_0_rows>::table, sw::embed<q8_0_rows>,
                             sw::panels::unpack<uint16_t, 1, 0, block_bytes>,
                             sw::panels::unpack<unsigned, words, 2, block_bytes>);

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q8_0 = {
    {{2, block_len}, {0, 2}}, SW_F16, SW_F16, q8_0_gemv, q8_0_to_half, q8_0_embed, q8_0_unpack};
