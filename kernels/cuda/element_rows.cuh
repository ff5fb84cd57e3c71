/*
 * Rows of elements of one type, as matrices of most formats and activations are: what kernels that
 * take any rows (to_half.cuh, embed.cuh) read by. Other formats have a class with the same members.
 */
#ifndef SW_KERNELS_CUDA_ELEMENT_ROWS_CUH
#define SW_KERNELS_CUDA_ELEMENT_ROWS_CUH

#include "kernels/cuda/device.cuh"

namespace sw
{

constexpr int cols_at_once = 8;

template <enum sw_dtype type> struct element_rows {
    typedef element<type> of;
    const typename of::type *first;
    const float *scales; /* of the rows; NULL: none */
    int64_t ld;          /* elements from one row to the next */
    bool whole;          /* rows consist of aligned vectors, or of halves of those that are longer
                          * than eight elements */

    /* Whether what `load` gives has the range and the precision of the half type, unscaled. */
    template <enum sw_dtype half>
    static constexpr bool fits = half == SW_BF16 || type == SW_F16 || type == SW_I8;

    /* An element's value. */
    __device__ inline float value(int64_t row, int64_t col) const
    {
        const float element = of::load(first[row * ld + col]);
        return scales ? element * scales[row] : element;
    }

    /* Eight columns from `col` on, without the row's scale; 0 beyond the end. */
    __device__ inline void load(int64_t row, int64_t col, int64_t cols, float *out) const
    {
        constexpr int n = of::per_vector;
        const typename of::type *const from = first + row * ld;
        if (whole && n > cols_at_once) {
            const uint2 half = *(const uint2 *)(const void *)(from + col);
            float all[n];
            of::unpack(make_uint4(half.x, half.y, 0, 0), all);
#pragma unroll
            for (int i = 0; i < cols_at_once; i++)
                out[i] = all[i];
        } else if (whole) {
#pragma unroll
            for (int i = 0; i + n <= cols_at_once; i += n)
                of::unpack(*(const uint4 *)(const void *)(from + col + i), out + i);
        } else {
#pragma unroll
            for (int i = 0; i < cols_at_once; i++)
                out[i] = col + i < cols ? of::load(from[col + i]) : 0.0f;
        }
    }
};

/* Rows of `cols` columns, ld apart. */
template <enum sw_dtype type>
static inline struct element_rows<type> rows_of_elements(const void *first, const float *scales,
                                                         int64_t ld, int64_t cols) {
    typedef typename element<type>::type T;
    const int64_t most = 16 / (int64_t)sizeof(T), once = most < cols_at_once ? most : cols_at_once;
    const int64_t vector = once * (int64_t)sizeof(T);
    struct element_rows<type> r = {
        (const T *)first, scales, ld,
            cols % cols_at_once == 0 && ld *(int64_t)sizeof(T) % vector == 0 &&
                is_aligned(first, (size_t)vector)
    };
    return r;
}

/* Rows [row, …) of a matrix of such elements, with the rows' scales where its format has them. */
template <enum sw_dtype type, enum sw_format_id format>
static inline struct element_rows<type> rows_of_matrix(const void *w, int64_t rows, int64_t cols,
                                                       int64_t row)
{
    const struct sw_matrix_layout l = sw_matrix_layout_of(format, rows, cols);
    const float *const scales = sw_matrix_scales(format, w, rows, cols);
    return rows_of_elements<type>((const char *)w + (size_t)row * l.row_bytes,
                                  scales ? scales + row : nullptr, l.cols, cols);
}

} // namespace sw

#endif
