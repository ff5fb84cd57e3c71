/* Owns the way of blocks from the CPU's panels to planes, for layers that are streamed: plane by
 * plane, in squares that go through shared memory, so that reads go along rows and writes along a
 * row. */
#include "kernels/cuda/block_unpack.cuh"
#include "kernels/cuda/unpack.cuh"

namespace
{

using sw::panels::lines;
using sw::panels::panel_rows;
using sw::panels::square;

/* A plane in a unit of a panel. */
struct plane_of_panel {
    struct sw::blocks::packing packing;
    struct sw_gpu_plane plane;
};

/* Of a unit of `width` rows: where byte `at` of the row `lane` is. */
__device__ inline int64_t place_in_unit(const struct sw::blocks::packing &p, int width, int lane,
                                        int at)
{
    const int first = p.words[0].bytes * p.words[0].count;
    const bool other = at >= first;
    const int bytes = other ? p.words[1].bytes : p.words[0].bytes, in = other ? at - first : at;
    return (other ? first * width : 0) + (in / bytes * width + lane) * bytes + in % bytes;
}

/* granules: of a plane's row. blockIdx: x granules, y rows, in squares. 32 divides a panel, so a
 * square is within one panel. */
template <class granule>
__global__ void __launch_bounds__(square *lines)
    unpack_plane(const char *packed, struct plane_of_panel of, int64_t rows, unsigned granules,
                 granule *out)
{
    sw::await_previous();
    __shared__ granule tile[square][square + 1];
    const int64_t first_row = (int64_t)blockIdx.y * square;
    const unsigned first = blockIdx.x * square, of_block = of.plane.bytes / sizeof(granule);
    const int64_t panel = first_row / panel_rows, left = rows - panel * panel_rows;
    const int width = (int)(left < panel_rows ? left : panel_rows);
    const int unit_bytes = of.packing.words[0].bytes * of.packing.words[0].count +
                           of.packing.words[1].bytes * of.packing.words[1].count;
    const char *const from = packed + panel * panel_rows * unit_bytes *
                                          (granules / of_block / (unsigned)of.packing.blocks);
    const int lane = (int)(first_row % panel_rows) + (int)threadIdx.x;
    for (unsigned i = threadIdx.y; i < square; i += lines)
        if (first + i < granules && lane < width) {
            const unsigned of_unit = of_block * (unsigned)of.packing.blocks;
            const int64_t unit = (first + i) / of_unit;
            const int at =
                of.plane.from * of.packing.blocks + (int)((first + i) % of_unit * sizeof(granule));
            const char *const place =
                from + unit * width * unit_bytes + place_in_unit(of.packing, width, lane, at);
            tile[i][threadIdx.x] = *(const granule *)(const void *)place;
        }
    __syncthreads();
    for (unsigned i = threadIdx.y; i < square; i += lines)
        if (first + threadIdx.x < granules && (int)(first_row % panel_rows + i) < width)
            out[(first_row + i) * granules + first + threadIdx.x] = tile[threadIdx.x][i];
}

template <class granule>
void launch_plane(const void *packed, const struct plane_of_panel &of, int64_t rows, int64_t blocks,
                  char *out, cudaStream_t stream)
{
    const int64_t granules = blocks * of.plane.bytes / (int64_t)sizeof(granule);
    const dim3 grid((unsigned)sw::divide_up(granules, square),
                    (unsigned)sw::divide_up(rows, square));
    SW_LAUNCH(unpack_plane<granule>, grid, dim3(square, lines), 0, stream, (const char *)packed, of,
              rows, (unsigned)granules, (granule *)(void *)out);
}

/* Fifth bits of 32 columns: bit i of byte b of a panel's word is that of column 4 i + b. */
__global__ void __launch_bounds__(square *lines) restore_fives(unsigned *words, int64_t n)
{
    sw::await_previous();
    const int64_t i = sw::this_column();
    if (i >= n)
        return;
    const unsigned from = words[i];
    unsigned to = 0;
#pragma unroll
    for (int bit = 0; bit < 32; bit++)
        to |= (from >> (bit % 4 * 8 + bit / 4) & 1u) << bit;
    words[i] = to;
}

void launch_fives(char *words, int64_t n, cudaStream_t stream)
{
    constexpr int threads = square * lines;
    SW_LAUNCH(restore_fives, (unsigned)sw::divide_up(n, threads), threads, 0, stream,
              (unsigned *)(void *)words, n);
}

/* What lies behind the blocks on both sides. */
__global__ void __launch_bounds__(square *lines)
    copy_behind(const float *from, int64_t n, float *to)
{
    sw::await_previous();
    const int64_t i = sw::this_column();
    if (i < n)
        to[i] = from[i];
}

/* n: floats. */
void launch_behind(const struct sw::blocks::packing &p, const void *packed, int64_t rows,
                   int64_t blocks, int64_t n, char *out, cudaStream_t stream)
{
    constexpr int threads = square * lines;
    const int64_t unit = p.words[0].bytes * p.words[0].count + p.words[1].bytes * p.words[1].count;
    const char *const from = (const char *)packed + rows * (blocks / p.blocks) * unit;
    SW_LAUNCH(copy_behind, (unsigned)sw::divide_up(n, threads), threads, 0, stream,
              (const float *)(const void *)from, n, (float *)(void *)out);
}

const sw::listed_kernels all(unpack_plane<uint16_t>, unpack_plane<uint8_t>, restore_fives,
                             copy_behind);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw::blocks::unpack_blocks(const struct packing &packing,
                                      const struct sw_gpu_plane *planes, int n_planes,
                                      const void *packed, int64_t rows, int64_t blocks, void *out,
                                      cudaStream_t stream)
{
    char *to = (char *)out;
    for (int i = 0; i < n_planes; i++) {
        const struct plane_of_panel of = {packing, planes[i]};
        if (!planes[i].bytes) { /* the rows' f32, and maybe a table */
            const int64_t n = i + 1 < n_planes ? rows + SW_TABLE_LEN : rows;
            launch_behind(packing, packed, rows, blocks, n, to, stream);
            break;
        }
        if (planes[i].bytes % sizeof(uint16_t) == 0 &&
            (size_t)(planes[i].from * packing.blocks) % sizeof(uint16_t) == 0)
            launch_plane<uint16_t>(packed, of, rows, blocks, to, stream);
        else
            launch_plane<uint8_t>(packed, of, rows, blocks, to, stream);
        if (i == packing.fives)
            launch_fives(to, rows * blocks, stream);
        to += rows * blocks * planes[i].bytes;
    }
    return cudaGetLastError();
}
