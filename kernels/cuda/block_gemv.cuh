/*
 * GEMV of formats of few bits (block_planes.cuh), for one to eight tokens: bound by reading weights
 * once, if it takes few enough instructions. As gemv.cuh, but for how a row is shared out: the
 * stretches of the block's rows go round over its warps, and a lane has the same eight columns of
 * every one. It loads several stretches of each row at once, before the first is used, and makes
 * the scales of 32 columns of each row; the warp shares these by shared memory. So a scale is made
 * once, not by each lane that has some of its columns. Products of four or eight columns with one
 * scale are summed up first, then multiplied by it.
 *
 * An output's sum goes over the stretches of a warp in order, then as in gemv.cuh, whatever the
 * number of tokens.
 */
#ifndef SW_KERNELS_CUDA_BLOCK_GEMV_CUH
#define SW_KERNELS_CUDA_BLOCK_GEMV_CUH

#include "kernels/cuda/block_planes.cuh"
#include "kernels/cuda/gemv.cuh"

namespace sw
{
namespace blocks
{

using products::block_rows;
using products::threads;
using products::warps;

/* Stretches of a row that are loaded at once. */
template <int tokens> constexpr int ahead = tokens <= 2 ? 4 : 2;

/* The planes of the block's rows; those of each half are consecutive (products::row_of). */
template <class W> struct places_of_rows {
    place half[2][W::n_planes];
    unsigned step[W::n_planes]; /* bytes from one row to the next */
    unsigned last;              /* stretch */
    int lane_of_last;           /* whose words this lane loads there */

    __device__ inline places_of_rows(const sw_gpu_product &p, const matrix<W> &w)
    {
        w.row(products::row_of(p, 0), half[0]);
        w.row(products::row_of(p, block_rows / 2), half[1]);
#pragma unroll
        for (int i = 0; i < W::n_planes; i++)
            step[i] = (unsigned)plane_step<W>(i, w.blocks);
        last = w.stretches() - 1;
        lane_of_last = w.has(last, W::column(lane(), 0)) ? lane() : w.first_block(lane());
    }
    __device__ inline void row(int r, place *planes) const
    {
#pragma unroll
        for (int i = 0; i < W::n_planes; i++)
            planes[i] = (r < block_rows / 2 ? half[0][i] : half[1][i]) +
                        (unsigned)(r % (block_rows / 2)) * step[i];
    }
};

/* What a lane has loaded: of each row, its eight columns of n stretches, and what the scales of 32
 * columns of one of these are made of. With fewer stretches a warp's lanes have the scales of
 * several rows at once. */
template <class W, int n> struct loaded {
    static constexpr int rows_at_once = warp_size / (n * jobs), rounds = block_rows / rows_at_once;
    typename W::raw raw[block_rows][n];
    typename W::raw_scales scales[rounds];

    static __device__ inline int row_of_scales(int round)
    {
        return round * rows_at_once + lane() / (n * jobs);
    }
    static __device__ inline int stretch_of_scales()
    {
        return lane() / jobs % n;
    }
    /* From stretch `first` on, each `warps` behind the one before; in place of those that are not
     * there, the last one. */
    __device__ inline void load(const places_of_rows<W> &rows, const matrix<W> &w, unsigned first)
    {
        place row[W::n_planes];
#pragma unroll
        for (int r = 0; r < block_rows; r++) {
            rows.row(r, row);
#pragma unroll
            for (int u = 0; u < n; u++) {
                const unsigned s = min(first + (unsigned)u * warps, rows.last);
                raw[r][u] = W::load(row, s, s == rows.last ? rows.lane_of_last : lane());
            }
        }
        const unsigned s = min(first + (unsigned)stretch_of_scales() * warps, rows.last);
        const int i = w.has(s, lane() % jobs * part_columns) ? lane() % jobs : 0;
#pragma unroll
        for (int round = 0; round < rounds; round++) {
            rows.row(row_of_scales(round), row);
            scales[round] = W::load_scales(row, s, i);
        }
    }
};

/* A warp's scales of n stretches, and their offsets. */
template <class W, int n> struct shared_scales {
    static constexpr int parts = jobs * W::parts, numbers = W::has_offset ? 2 : 1;
    float all[block_rows][n][parts * numbers];

    /* By all lanes of the warp, which has used what was there. From stretch `first` on; 0 where
     * there is no block. */
    __device__ inline void make(const loaded<W, n> &in, const matrix<W> &w, unsigned first)
    {
        const int u = in.stretch_of_scales(), i = lane() % jobs;
        const bool there = w.has(first + (unsigned)u * warps, i * part_columns);
        __syncwarp();
#pragma unroll
        for (int round = 0; round < in.rounds; round++) {
            float scales[W::parts], offsets[W::parts];
            float *const out = all[in.row_of_scales(round)][u] + i * W::parts * numbers;
            W::scales(in.scales[round], i, scales, offsets);
#pragma unroll
            for (int k = 0; k < W::parts; k++) {
                const float scale = there ? scales[k] : 0.0f;
                if (W::has_offset)
                    store_two(out + 2 * k, scale,
                              there ? offsets[k] + (float)W::zero * scales[k] : 0.0f);
                else
                    out[k] = scale;
            }
        }
        __syncwarp();
    }
    __device__ inline void get(int r, int u, int part, float *scale, float *offset) const
    {
        const float *const from = all[r][u] + part * numbers;
        *offset = 0;
        if (W::has_offset) {
            const float2 two = *(const float2 *)(const void *)from;
            *scale = two.x, *offset = two.y;
        } else {
            *scale = *from;
        }
    }

  private:
    static __device__ inline void store_two(float *out, float a, float b)
    {
        *(float2 *)(void *)out = make_float2(a, b);
    }
};

/* Four columns of x from `col` on. whole: rows consist of blocks, whose columns are aligned, and
 * where there is no block any columns will do, because the scale is 0; else what is beyond the row
 * is 0. */
template <bool whole>
static __device__ inline void load_columns(const float *x, unsigned col, unsigned cols, float *out)
{
    if (whole) {
        const float4 v = four(x + min(col, cols - 4));
        out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
    } else {
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            out[i] = col + i < cols ? x[col + i] : 0.0f;
    }
}

/* sum += scale * (w · x) + offset * (the sum of x), over n columns. */
template <int n, bool has_offset>
static __device__ inline void add_products(const float *w, const float *x, float sum_of_x,
                                           float scale, float offset, float *sum)
{
    float products = w[0] * x[0];
#pragma unroll
    for (int i = 1; i < n; i++)
        products += w[i] * x[i];
    *sum += scale * products;
    if (has_offset)
        *sum += offset * sum_of_x;
}

/* Adds a stretch, number u of those with scales. */
template <class W, bool whole, int tokens, int n>
static __device__ inline void add_stretch(const sw_gpu_product &p, unsigned s,
                                          const loaded<W, n> &in, const shared_scales<W, n> &shared,
                                          int u, float *sums)
{
    constexpr int columns = W::one_part ? lane_columns : 4, fours = lane_columns / columns;
    float w[block_rows][lane_columns], scale[block_rows][fours], offset[block_rows][fours];
#pragma unroll
    for (int r = 0; r < block_rows; r++) {
        W::values(in.raw[r][u], lane(), w[r]);
#pragma unroll
        for (int f = 0; f < fours; f++)
            shared.get(r, u, W::part(lane(), f), &scale[r][f], &offset[r][f]);
    }
#pragma unroll
    for (int t = 0; t < tokens; t++) {
        const float *const row = p.x + products::token_row(p, t) * p.ld_x;
        float x[lane_columns];
        for (int f = 0; f < 2; f++)
            load_columns<whole>(row, s * stretch + (unsigned)W::column(lane(), f), (unsigned)p.cols,
                                x + 4 * f);
#pragma unroll
        for (int f = 0; f < fours; f++) {
            float sum_of_x = 0;
            if (W::has_offset)
#pragma unroll
                for (int i = 0; i < columns; i++)
                    sum_of_x += x[f * columns + i];
#pragma unroll
            for (int r = 0; r < block_rows; r++)
                add_products<columns, W::has_offset>(w[r] + f * columns, x + f * columns, sum_of_x,
                                                     scale[r][f], offset[r][f],
                                                     sums + r * tokens + t);
        }
    }
}

/* Rows that are not whole take more registers, of which compilers would spill some to hold more
 * blocks. */
template <class W, bool whole, int tokens>
__global__ void __launch_bounds__(threads, whole ? products::least_blocks<tokens> : 2)
    gemv_blocks(struct sw_gpu_product p, matrix<W> w)
{
    constexpr int n_sums = block_rows * tokens, n = ahead<tokens>;
    __shared__ float scratch[warps * n_sums];
    __shared__ __align__(16) shared_scales<W, n> scales_of_warps[warps];
    shared_scales<W, n> &shared = scales_of_warps[warp()];
    const unsigned stretches = w.stretches();
    float sums[n_sums];
    loaded<W, n> in;
    const places_of_rows<W> rows(p, w);
    in.load(rows, w, (unsigned)warp());
    sw::await_previous();
#pragma unroll
    for (int i = 0; i < n_sums; i++)
        sums[i] = 0;
    for (unsigned first = (unsigned)warp(); first < stretches; first += n * warps) {
        if (first >= n * warps)
            in.load(rows, w, first);
        shared.make(in, w, first);
#pragma unroll
        for (int u = 0; u < n; u++)
            if (first + (unsigned)u * warps < stretches)
                add_stretch<W, whole, tokens, n>(p, first + (unsigned)u * warps, in, shared, u,
                                                 sums);
    }
    const float sum = products::join<float, n_sums>(sums, scratch);
    if (threadIdx.x < warp_size)
        products::put<tokens>(p, products::row_of(p, (int)threadIdx.x / tokens % block_rows),
                              (int)threadIdx.x % tokens, sum);
}

/* The table of a format, by products::column. */
template <class W> struct block_kernels {
    typedef void (*kernel)(struct sw_gpu_product, matrix<W>);
    static constexpr kernel table[products::columns] = {
        gemv_blocks<W, true, 1>, gemv_blocks<W, true, 2>, gemv_blocks<W, true, 4>,
        gemv_blocks<W, true, 8>, gemv_blocks<W, false, products::broken>};
};

} // namespace blocks
} // namespace sw

#endif
