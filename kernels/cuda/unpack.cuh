/*
 * Converts the CPU's packed matrices to rows. A row of a packed panel is units, and a unit is words
 * (kernels/cpu/cpu_kernels.h, struct sw_packing); of each word lie those of all rows side by side.
 * Of words of one kind, (words, width) becomes (width, words): a transpose, in squares that go
 * through shared memory so that reads and writes are contiguous.
 */
#ifndef SW_KERNELS_CUDA_UNPACK_CUH
#define SW_KERNELS_CUDA_UNPACK_CUH

#include "kernels/cuda/device.cuh"

namespace sw
{
namespace panels
{

constexpr int square = 32, lines = 8; /* threads: square x lines */
constexpr int panel_rows = 64;        /* SW_PANEL (kernels/cpu/cpu_kernels.h) */

/*
 * Words of one kind: `count` in a unit of unit_bytes, behind `before` bytes of others. words: of a
 * row. blockIdx: x words, y rows, in squares. 32 divides a panel, so a square is within one panel.
 */
template <class word, int count, int before, int unit_bytes>
__global__ void __launch_bounds__(square *lines)
    unpack(const char *packed, int64_t padded_rows, int64_t words, word *out)
{
    sw::await_previous();
    __shared__ word tile[square][square + 1];
    const int64_t first_row = (int64_t)blockIdx.y * square, first = (int64_t)blockIdx.x * square;
    const int64_t panel = first_row / panel_rows, left = padded_rows - panel * panel_rows;
    const int64_t width = left < panel_rows ? left : panel_rows;
    const char *const from = packed + panel * panel_rows * (words / count) * unit_bytes;
    const int64_t lane = first_row % panel_rows + threadIdx.x;
    for (int i = (int)threadIdx.y; i < square; i += lines)
        if (first + i < words && lane < width) {
            const char *const unit = from + (first + i) / count * (width * unit_bytes);
            const word *const all = (const word *)(const void *)(unit + width * before);
            tile[i][threadIdx.x] = all[(first + i) % count * width + lane];
        }
    __syncthreads();
    for (int i = (int)threadIdx.y; i < square; i += lines)
        if (first + threadIdx.x < words && first_row % panel_rows + i < width)
            out[(first_row + i) * words + first + threadIdx.x] = tile[threadIdx.x][i];
}

/* rows: with their padding; out: (rows, words). */
template <class word, int count = 1, int before = 0, int unit_bytes = (int)sizeof(word)>
static inline cudaError_t launch_unpack(const void *packed, int64_t rows, int64_t words, void *out,
                                        cudaStream_t stream)
{
    const dim3 grid((unsigned)divide_up(words, square), (unsigned)divide_up(rows, square));
    SW_LAUNCH((unpack<word, count, before, unit_bytes>), grid, dim3(square, lines), 0, stream,
              (const char *)packed, rows, words, (word *)out);
    return cudaGetLastError();
}

} // namespace panels
} // namespace sw

#endif
