/* Rows of the embedding matrix as f32. */
#ifndef SW_KERNELS_CUDA_EMBED_CUH
#define SW_KERNELS_CUDA_EMBED_CUH

#include "kernels/cuda/element_rows.cuh"

namespace sw
{

/* R: a class like element_rows. */
template <class R>
__global__ void embed(R w, int64_t cols, const int32_t *ids, int64_t n, float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = this_column();
    if (col >= cols)
        return;
    for (int64_t i = blockIdx.y; i < n; i += gridDim.y)
        y[i * ld_y + col] = w.value(ids[i], col);
}

template <class R>
static inline cudaError_t launch_embed(const R &w, int64_t cols, const int32_t *ids, int64_t n,
                                       float *y, int64_t ld_y, cudaStream_t stream)
{
    SW_LAUNCH(embed<R>, grid_of_rows(n, cols), column_threads, 0, stream, w, cols, ids, n, y, ld_y);
    return cudaGetLastError();
}

} // namespace sw

#endif
