/*
 * Attention of many queries: tiles of 64 query rows (positions times the heads that share a KV
 * head) by blocks of 64 keys, all in f32. 256 threads as 16 x 16 have 4 rows by 4 keys each while
 * scores are made, and 4 rows by 4 dimensions of every 64 while values are summed.
 */
#include "kernels/cuda/attend.cuh"

namespace
{

constexpr int threads = 256, side = 16;
constexpr int tile_rows = 64, tile_keys = SW_KEY_BLOCK, key_dims = 32, value_dims = 64;
constexpr int pad = 4; /* floats: columns written side by side fall on other banks */
static_assert(tile_keys == 4 * side && tile_rows == 4 * side && value_dims == 4 * side, "4 x 4");

/* Shared memory: shares of keys, and in turn pieces of q and keys, or of values. */
struct shared {
    float p[tile_keys][tile_rows + pad];
    union {
        struct {
            float q[key_dims][tile_rows + pad], k[key_dims][tile_keys];
        } s;
        float v[tile_keys][value_dims];
    } u;
};

/* What a block does. */
struct tile {
    struct sw_gpu_span span;
    int first, n;             /* queries of the span */
    int kv_head, head, heads; /* its query heads: [head, head + heads) */
};

__host__ __device__ inline int heads_per_tile(int group)
{
    return group < tile_rows ? group : tile_rows;
}

__host__ __device__ inline int64_t span_tiles(const struct sw_gpu_span &span, int group)
{
    const int64_t per_tile = tile_rows / heads_per_tile(group);
    return sw::is_few(span) ? 0 : sw::divide_up(span.n, per_tile);
}

struct tiles_of {
    int group;
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return (int)span_tiles(span, group);
    }
};

/* The last queries of a span come first: they have most to do. n is 0 where there is no tile. */
__device__ inline tile find(const struct sw::attention &t)
{
    const int heads = heads_per_tile(t.group), shares = (t.group + heads - 1) / heads;
    const int per_tile = tile_rows / heads, first = (int)blockIdx.y % shares * heads;
    tile r;
    int64_t index = blockIdx.x;
    const int s = sw::find_span(t.spans, t.n_spans, &index, tiles_of{t.group});
    r.span = t.spans[s < 0 ? 0 : s];
    r.first = ((int)span_tiles(r.span, t.group) - 1 - (int)index) * per_tile;
    r.n = r.span.n - r.first < per_tile ? r.span.n - r.first : per_tile;
    r.n = s < 0 ? 0 : r.n;
    r.kv_head = (int)blockIdx.y / shares;
    r.head = r.kv_head * t.group + first;
    r.heads = t.group - first < heads ? t.group - first : heads;
    return r;
}

/* Dimensions [d0, d0 + key_dims) of the tile's queries and of a block of keys; 0 beyond the end. */
template <enum sw_dtype format>
__device__ inline void load_keys(const struct sw::attention &t, const tile &r, const char *block,
                                 int d0, shared &m)
{
    typedef sw::element<format> element;
    const int head_dim = t.cache.head_dim;
    for (int i = (int)threadIdx.x; i < tile_rows * key_dims; i += threads) {
        const int row = i / key_dims, d = i % key_dims, query = row / r.heads;
        const bool there = query < r.n && d0 + d < head_dim;
        m.u.s.q[d][row] =
            there ? sw::query_of(t, r.span.row + r.first + query, r.head + row % r.heads)[d0 + d]
                  : 0.0f;
    }
    const typename element::type *const keys = (const typename element::type *)(const void *)block;
    for (int i = (int)threadIdx.x; i < key_dims * tile_keys; i += threads) {
        const int d = i / tile_keys, key = i % tile_keys;
        m.u.s.k[d][key] =
            d0 + d < head_dim ? element::load(keys[sw::key_at<format>(d0 + d, key)]) : 0.0f;
    }
}

/* Dimensions [d0, d0 + value_dims) of a block's values, of keys [lo, hi): others may hold
 * anything. */
template <enum sw_dtype format>
__device__ inline void load_values(const struct sw::attention &t, const char *half, int d0, int lo,
                                   int hi, shared &m)
{
    typedef sw::element<format> element;
    const int head_dim = t.cache.head_dim;
    const typename element::type *const values = (const typename element::type *)(const void *)half;
    for (int i = (int)threadIdx.x; i < tile_keys * value_dims; i += threads) {
        const int key = i / value_dims, d = d0 + i % value_dims;
        m.u.v[key][i % value_dims] =
            d < head_dim && key >= lo && key < hi
                ? element::load(values[sw::value_at<format>(head_dim, key, d)])
                : 0.0f;
    }
}

__device__ inline float4 four(const float *p)
{
    return *(const float4 *)(const void *)p;
}

/* sums[i][j] += a[i] * b[j] */
__device__ inline void multiply(const float4 &a, const float4 &b, float sums[4][4])
{
    const float x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            sums[i][j] += x[i] * y[j];
}

/* Over the 16 threads that share rows. */
__device__ inline float side_max(float x)
{
    for (int apart = side / 2; apart; apart /= 2)
        x = fmaxf(x, __shfl_xor_sync(sw::all_lanes, x, apart));
    return x;
}

__device__ inline float side_sum(float x)
{
    for (int apart = side / 2; apart; apart /= 2)
        x += __shfl_xor_sync(sw::all_lanes, x, apart);
    return x;
}

/* One of a thread's rows: the keys [lo, hi) that it sees, and how far it is. */
struct row_state {
    int lo, hi;
    float slope, top, total;
};

/* Scores of four keys from `key` on become shares; returns what older sums are multiplied with. */
__device__ inline float soften(row_state &row, float scale, int key, float scores[4])
{
    float top = -INFINITY;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float score = scores[j] * scale + row.slope * (float)(key + j);
        scores[j] = key + j >= row.lo && key + j < row.hi ? score : -INFINITY;
        top = fmaxf(top, scores[j]);
    }
    top = fmaxf(row.top, side_max(top));
    const float shrink = row.top == top ? 1.0f : expf(row.top - top);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        scores[j] = key + j >= row.lo && key + j < row.hi ? expf(scores[j] - top) : 0.0f;
        sum += scores[j];
    }
    row.top = top;
    row.total = row.total * shrink + side_sum(sum);
    return shrink;
}

/* blockIdx: tile; KV head and share of its heads. chunks: of value_dims dimensions. */
template <enum sw_dtype format, int chunks>
__global__ void __launch_bounds__(threads) attend_tile(struct sw::attention t)
{
    __shared__ __align__(16) shared m;
    const tile r = find(t);
    if (r.n == 0)
        return;
    const int x = (int)threadIdx.x % side * 4, y = (int)threadIdx.x / side * 4;
    const int position = (int)r.span.position + r.first, head_dim = t.cache.head_dim;
    const int last = position + r.n - 1, from = sw::first_key(position, t.a.window);
    row_state rows[4];
    float sums[chunks][4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int query = (y + i) / r.heads, head = r.head + (y + i) % r.heads;
        const bool there = query < r.n;
        rows[i].lo = there ? sw::first_key(position + query, t.a.window) : 0;
        rows[i].hi = there ? position + query + 1 : 0;
        rows[i].slope = there && t.a.slopes ? t.a.slopes[head] : 0.0f;
        rows[i].top = -INFINITY;
        rows[i].total = 0;
#pragma unroll
        for (int c = 0; c < chunks; c++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                sums[c][i][j] = 0;
    }
    const char *const keys = sw::head_of(t.cache, r.span.slot, r.kv_head);
    for (int base = from / tile_keys * tile_keys; base <= last; base += tile_keys) {
        const char *const block = keys + base / tile_keys * 2 * t.cache.half_bytes;
        float scores[4][4] = {};
        for (int d0 = 0; d0 < head_dim; d0 += key_dims) {
            __syncthreads();
            load_keys<format>(t, r, block, d0, m);
            __syncthreads();
#pragma unroll 8
            for (int d = 0; d < key_dims; d++)
                multiply(four(&m.u.s.q[d][y]), four(&m.u.s.k[d][x]), scores);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float shrink = soften(rows[i], t.a.scale, base + x, scores[i]);
#pragma unroll
            for (int c = 0; c < chunks; c++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sums[c][i][j] *= shrink;
        }
#pragma unroll
        for (int j = 0; j < 4; j++)
            *(float4 *)(void *)&m.p[x + j][y] =
                make_float4(scores[0][j], scores[1][j], scores[2][j], scores[3][j]);
#pragma unroll
        for (int c = 0; c < chunks; c++) {
            __syncthreads();
            load_values<format>(t, block + t.cache.half_bytes, c * value_dims, from - base,
                                last + 1 - base, m);
            __syncthreads();
#pragma unroll 8
            for (int key = 0; key < tile_keys; key++)
                multiply(four(&m.p[key][y]), four(&m.u.v[key][x]), sums[c]);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int query = (y + i) / r.heads, head = r.head + (y + i) % r.heads;
        if (query >= r.n)
            continue;
        float *const out =
            t.a.out + (r.span.row + r.first + query) * t.a.out_ld + (int64_t)head * head_dim;
#pragma unroll
        for (int c = 0; c < chunks; c++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (c * value_dims + x + j < head_dim)
                    out[c * value_dims + x + j] = sums[c][i][j] / rows[i].total;
    }
}

typedef void (*kernel)(struct sw::attention);
#define FOR_CHUNKS(format)                                                                         \
    {                                                                                              \
        attend_tile<format, 1>, attend_tile<format, 2>, attend_tile<format, 4>                     \
    }
const kernel kernels[3][3] = {FOR_CHUNKS(SW_F32), FOR_CHUNKS(SW_F16), FOR_CHUNKS(SW_BF16)};

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw::attend_many(const struct sw::attention &t, enum sw_dtype format,
                            const struct sw_gpu_span *host, cudaStream_t stream)
{
    int64_t tiles = 0;
    for (int i = 0; i < t.n_spans; i++)
        tiles += span_tiles(host[i], t.group);
    if (tiles == 0)
        return cudaSuccess;
    const int width = t.cache.head_dim <= 64 ? 0 : t.cache.head_dim <= 128 ? 1 : 2;
    const int64_t shares = divide_up(t.group, heads_per_tile(t.group)) * t.cache.n_kv_heads;
    SW_LAUNCH(kernels[kv_format_row(format)][width], dim3((unsigned)tiles, (unsigned)shares),
              threads, 0, stream, t);
    return cudaGetLastError();
}
