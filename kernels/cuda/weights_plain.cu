/* The formats that keep values as they are: f32, f16, bf16. */
#include "kernels/cuda/embed.cuh"
#include "kernels/cuda/gemv.cuh"
#include "kernels/cuda/to_half.cuh"
#include "kernels/cuda/unpack.cuh"

namespace
{

using sw::products::block_rows;
using sw::products::rows_of_w;

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

/* As gemv.cuh wants a format's weights. */
template <enum sw_dtype type> struct plain_weights {
    typedef sw::element<type> element;
    typedef uint4 raw;
    static constexpr int per_vector = element::per_vector, group = per_vector;
    int64_t row_elements;

    struct rows {
        const rows_of_w<typename element::type> w;
        __device__ inline rows(const struct sw_gpu_product &p, const plain_weights &of)
            : w(p, p.w, of.row_elements)
        {
        }
        template <bool whole> __device__ inline void load(int64_t v, int64_t cols, raw *out) const
        {
            load_w<whole>(w, v, cols, out);
        }
    };
    static __device__ inline void unpack(const raw &v, int, float *out)
    {
        element::unpack(v, out);
    }
};

/* One format's functions. word: of a packed panel, which holds per_word elements. */
template <enum sw_format_id format, enum sw_dtype type, class word, int per_word>
struct plain {
    static cudaError_t gemv(const struct sw_gpu_product *p, cudaStream_t stream){
        const plain_weights<type> w = {sw_matrix_layout_of(format, 1, p->cols).cols};
        return sw::products::launch_gemv(p, w, stream);}
static cudaError_t to_half(enum sw_dtype half, const void *w, int64_t rows, int64_t cols,
                           int64_t row, int64_t n, void *out, float *scale, cudaStream_t stream)
{
    return sw::halves::launch_to_half(half, sw::rows_of_matrix<type, format>(w, rows, cols, row),
                                      cols, n, out, scale, stream);
}
static cudaError_t embed(const void *w, int64_t rows, int64_t cols, const int32_t *ids, int64_t n,
                         float *y, int64_t ld_y, cudaStream_t stream)
{
    return sw::launch_embed(sw::rows_of_matrix<type, format>(w, rows, cols, 0), cols, ids, n, y,
                            ld_y, stream);
}
static cudaError_t unpack(const void *packed, int64_t rows, int64_t cols, void *out,
                          cudaStream_t stream)
{
    const struct sw_matrix_layout l = sw_matrix_layout_of(format, rows, cols);
    return sw::panels::launch_unpack<word>(packed, l.rows, l.cols / per_word, out, stream);
}
}; // namespace

typedef plain<SW_FORMAT_F32, SW_F32, unsigned, 1> f32;
typedef plain<SW_FORMAT_F16, SW_F16, uint16_t, 1> f16;
typedef plain<SW_FORMAT_BF16, SW_BF16, unsigned, 2> bf16;

#define KERNELS_OF(type)                                                                           \
    sw::products::gemv_kernels<plain_weights<type>>::table,                                        \
        sw::halves::to_half_kernels<sw::element_rows<type>>::table,                                \
        sw::embed<sw::element_rows<type>>
const sw::listed_kernels all(KERNELS_OF(SW_F32), KERNELS_OF(SW_F16), KERNELS_OF(SW_BF16),
                             sw::panels::unpack<uint16_t, 1, 0, 2>,
                             sw::panels::unpack<unsigned, 1, 0, 4>);

} // namespace

/* ------------------------------------------------------------------------------------------- */

#define FUNCTIONS_OF(format) format::gemv, format::to_half, format::embed, format::unpack
const struct sw_gpu_format sw_gpu_format_f32 = {{}, SW_F32, SW_F32, FUNCTIONS_OF(f32)};
/* f16 weights meet f16 activations, which have more digits than bf16. */
const struct sw_gpu_format sw_gpu_format_f16 = {{}, SW_F16, SW_F16, FUNCTIONS_OF(f16)};
/* bf16 weights meet bf16, whose range is larger, but on Turing, which cannot multiply it, f16. */
const struct sw_gpu_format sw_gpu_format_bf16 = {{}, SW_BF16, SW_F16, FUNCTIONS_OF(bf16)};
