/* Rotary position embedding, a thread a pair. */
#include "kernels/cuda/device.cuh"

namespace
{

/* Columns are (head, pair) here. */
__global__ void rope(int half, bool interleaved, const float *cos_sin, const int32_t *positions,
                     int64_t n, int n_heads, float *x, int64_t ld, int64_t head)
{
    const int64_t column = sw::this_column();
    const int64_t h = column / half, pair = column % half;
    if (h >= n_heads)
        return;
    const int64_t apart = interleaved ? 1 : half, at = h * head + (interleaved ? 2 * pair : pair);
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y) {
        const float *table = cos_sin + (int64_t)positions[row] * 2 * half;
        const float c = table[pair], s = table[half + pair];
        float *const a = x + row * ld + at, *const b = a + apart;
        const float first = *a, second = *b;
        *a = first * c - second * s;
        *b = second * c + first * s;
    }
}

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_rope(int rotary_dim, bool interleaved, const float *cos_sin,
                        const int32_t *positions, int64_t n, int n_heads, float *x, int64_t ld,
                        int64_t head, cudaStream_t stream)
{
    const int pairs = rotary_dim / 2;
    if (n == 0 || pairs == 0)
        return cudaSuccess;
    SW_LAUNCH(rope, sw::grid_of_rows(n, (int64_t)n_heads * pairs), sw::column_threads, 0, stream,
              pairs, interleaved, cos_sin, positions, n, n_heads, x, ld, head);
    return cudaGetLastError();
}
