/* Shared by the two kernels for long spans: tiles of query rows that read the same keys. */
#ifndef SW_KERNELS_CUDA_ATTEND_TILE_CUH
#define SW_KERNELS_CUDA_ATTEND_TILE_CUH

#include "kernels/cuda/attend.cuh"

namespace sw
{

/* A tile's rows are positions times the query heads of one KV head: row i is query i / heads of
 * head + i % heads. */
constexpr int tile_rows = 64, tile_keys = SW_KEY_BLOCK;

struct tile {
    struct sw_gpu_span span;
    int first, n; /* queries [first, first + n) of the span; n 0: there is no tile */
    int kv_head;
    int head, heads; /* query heads [head, head + heads) */
};

static __host__ __device__ inline int heads_per_tile(int group)
{
    return group < tile_rows ? group : tile_rows;
}

static __host__ __device__ inline int64_t span_tiles(const struct sw_gpu_span &span, int group)
{
    const int64_t per_tile = tile_rows / heads_per_tile(group);
    return is_short_span(span) ? 0 : divide_up(span.n, per_tile);
}

struct tiles_of {
    int group;
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return (int)span_tiles(span, group);
    }
};

/* The block's tile. The last queries of a span come first, because they have the most work. */
static __device__ inline tile find_tile(const attention &t)
{
    const int heads = heads_per_tile(t.group), shares = (t.group + heads - 1) / heads;
    const int per_tile = tile_rows / heads, first = (int)blockIdx.y % shares * heads;
    tile r;
    int64_t index = blockIdx.x;
    const int s = find_span(t.spans, t.n_spans, &index, tiles_of{t.group});
    r.span = t.spans[s < 0 ? 0 : s];
    r.first = ((int)span_tiles(r.span, t.group) - 1 - (int)index) * per_tile;
    r.n = r.span.n - r.first < per_tile ? r.span.n - r.first : per_tile;
    r.n = s < 0 ? 0 : r.n;
    r.kv_head = (int)blockIdx.y / shares;
    r.head = r.kv_head * t.group + first;
    r.heads = t.group - first < heads ? t.group - first : heads;
    return r;
}

/* One of a tile's rows. */
struct tile_row {
    int query, head, position;
    int lo, hi; /* it sees keys [lo, hi); none when there is no such query */
    float slope;
    float top;   /* the largest score so far */
    float total; /* the sum of exp(score - top) so far */
};

static __device__ inline tile_row row_of(const attention &t, const tile &r, int i)
{
    tile_row row;
    row.query = i / r.heads;
    row.head = r.head + i % r.heads;
    const bool there = row.query < r.n;
    const int position = (int)r.span.position + r.first + row.query;
    row.position = position;
    row.lo = there ? first_key(position, t.a.window) : 0;
    row.hi = there ? (int)end_key(t, r.span, position) : 0;
    row.slope = there && t.a.slopes ? t.a.slopes[row.head] : 0.0f;
    row.top = -INFINITY;
    row.total = 0;
    return row;
}

static __device__ inline bool sees(const tile_row &row, int key)
{
    return key >= row.lo && key < row.hi;
}

static __device__ inline float *out_of(const attention &t, const tile &r, const tile_row &row)
{
    return t.a.out + (r.span.row + r.first + row.query) * t.a.out_ld +
           (int64_t)row.head * t.cache.head_dim;
}

/* Launches kernel(t) with a block for each tile of the batch and each part of the heads. */
static inline cudaError_t launch_tiles(void (*kernel)(attention), int threads, const attention &t,
                                       const struct sw_gpu_span *host, cudaStream_t stream)
{
    int64_t tiles = 0;
    for (int i = 0; i < t.n_spans; i++)
        tiles += span_tiles(host[i], t.group);
    if (tiles == 0)
        return cudaSuccess;
    const int64_t shares = divide_up(t.group, heads_per_tile(t.group)) * t.cache.n_kv_heads;
    SW_LAUNCH(kernel, dim3((unsigned)tiles, (unsigned)shares), (unsigned)threads, 0, stream, t);
    return cudaGetLastError();
}

} // namespace sw

#endif
