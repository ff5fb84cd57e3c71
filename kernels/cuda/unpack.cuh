/*
 * Converts the CPU's packed matrices to rows. A packed panel is units x width (a unit is one column
 * of f32 or f16, two of bf16, four of int8) and becomes width x units: a transpose, in squares that
 * go through shared memory so that reads and writes are contiguous.
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

/* blockIdx: x units, y rows, in squares. 32 divides a panel, so a square is within one panel. */
template <class unit>
__global__ void __launch_bounds__(square *lines)
    unpack(const unit *packed, int64_t padded_rows, int64_t units, unit *out)
{
    sw::await_previous();
    __shared__ unit tile[square][square + 1];
    const int64_t first_row = (int64_t)blockIdx.y * square, first = (int64_t)blockIdx.x * square;
    const int64_t panel = first_row / panel_rows, left = padded_rows - panel * panel_rows;
    const int64_t width = left < panel_rows ? left : panel_rows;
    const unit *const from = packed + panel * panel_rows * units;
    const int64_t lane = first_row % panel_rows + threadIdx.x;
    for (int i = (int)threadIdx.y; i < square; i += lines)
        if (first + i < units && lane < width)
            tile[i][threadIdx.x] = from[(first + i) * width + lane];
    __syncthreads();
    for (int i = (int)threadIdx.y; i < square; i += lines)
        if (first + threadIdx.x < units && first_row % panel_rows + i < width)
            out[(first_row + i) * units + first + threadIdx.x] = tile[threadIdx.x][i];
}

/* packed: panels of `units` units a row; out: (rows, units). rows: with their padding. */
template <class unit>
static inline cudaError_t launch_unpack(const void *packed, int64_t rows, int64_t units, void *out,
                                        cudaStream_t stream)
{
    const dim3 grid((unsigned)divide_up(units, square), (unsigned)divide_up(rows, square));
    SW_LAUNCH(unpack<unit>, grid, dim3(square, lines), 0, stream, (const unit *)packed, rows, units,
              (unit *)out);
    return cudaGetLastError();
}

} // namespace panels
} // namespace sw

#endif
