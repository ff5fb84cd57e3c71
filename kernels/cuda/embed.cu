/* Rows of the embedding matrix as f32. */
#include "kernels/cuda/device.cuh"

namespace
{

template <enum sw_dtype format>
__global__ void embed(const void *w, const float *scales, int64_t row_elements, int64_t cols,
                      const int32_t *ids, int64_t n, float *y, int64_t ld_y)
{
    sw::await_previous();
    typedef sw::element<format> element;
    const int64_t col = sw::this_column();
    if (col >= cols)
        return;
    for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
        const int64_t row = ids[i];
        const float value =
            element::load(((const typename element::type *)w)[row * row_elements + col]);
        y[i * ld_y + col] = scales ? value * scales[row] : value;
    }
}

void (*const kernels[])(const void *, const float *, int64_t, int64_t, const int32_t *, int64_t,
                        float *,
                        int64_t) = {embed<SW_F32>, embed<SW_F16>, embed<SW_BF16>, embed<SW_I8>};

const sw::listed_kernels all(kernels);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_embed(enum sw_format_id format, const void *w, int64_t rows, int64_t cols,
                         const int32_t *ids, int64_t n, float *y, int64_t ld_y, cudaStream_t stream)
{
    const int kernel = sw::format_row(format);
    if (kernel < 0)
        return cudaErrorInvalidValue;
    if (n == 0)
        return cudaSuccess;
    SW_LAUNCH(kernels[kernel], sw::grid_of_rows(n, cols), sw::column_threads, 0, stream, w,
              sw_matrix_scales(format, w, rows, cols), sw::row_elements(format, cols), cols, ids, n,
              y, ld_y);
    return cudaGetLastError();
}
