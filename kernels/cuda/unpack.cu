/*
 * Converts the CPU's packed matrices to rows. A packed panel is units x width (a unit is one column
 * of f32 or f16, two of bf16, four of int8) and becomes width x units: a transpose, in squares that
 * go through shared memory so that reads and writes are contiguous.
 */
#include "kernels/cuda/device.cuh"

namespace
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

__global__ void copy(const float *from, int64_t n, float *to)
{
    sw::await_previous();
    const int64_t i = sw::this_column();
    if (i < n)
        to[i] = from[i];
}

template <class unit>
cudaError_t launch(const void *packed, int64_t rows, int64_t units, void *out, cudaStream_t stream)
{
    const dim3 grid((unsigned)sw::divide_up(units, square), (unsigned)sw::divide_up(rows, square));
    SW_LAUNCH(unpack<unit>, grid, dim3(square, lines), 0, stream, (const unit *)packed, rows, units,
              (unit *)out);
    return cudaGetLastError();
}

const sw::listed_kernels all(unpack<uint16_t>, unpack<unsigned>, copy);

} // namespace

/* ------------------------------------------------------------------------------------------- */

/* Copies the scales of the rows, too, where the format has some. */
static cudaError_t unpack_all(enum sw_format_id format, const void *packed, int64_t rows,
                              int64_t cols, void *out, cudaStream_t stream)
{
    const int64_t padded = sw_matrix_layout_of(format, rows, cols).rows;
    const int64_t elements = sw::row_elements(format, cols);
    if (format == SW_FORMAT_F16)
        return launch<uint16_t>(packed, padded, elements, out, stream);
    const int64_t per_unit = 4 / (int64_t)sw_format_of(format)->block_bytes;
    const cudaError_t error = launch<unsigned>(packed, padded, elements / per_unit, out, stream);
    float *const scales = sw_matrix_scales(format, out, rows, cols);
    if (error != cudaSuccess || !scales)
        return error;
    SW_LAUNCH(copy, sw::grid_of_rows(1, padded), sw::column_threads, 0, stream,
              sw_matrix_scales(format, packed, rows, cols), padded, scales);
    return cudaGetLastError();
}

/* A fence, because products read weights before they wait for earlier kernels. */
cudaError_t sw_gpu_unpack(enum sw_format_id format, const void *packed, int64_t rows, int64_t cols,
                          void *out, cudaStream_t stream)
{
    if (sw::format_row(format) < 0)
        return cudaErrorInvalidValue;
    const cudaError_t error = unpack_all(format, packed, rows, cols, out, stream);
    return error == cudaSuccess ? sw::launch_fence(stream) : error;
}
