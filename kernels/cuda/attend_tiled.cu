/*
 * Attention of long spans over f32 caches, and of heads above half_head_dim over any: tiles of 64
 * query rows by blocks of 64 keys, all in f32.
 * The 256 threads form 16 x 16. Each has 4 rows by 4 keys for the scores, and 4 rows by 4
 * dimensions of every 64 for the sums of values.
 */
#include "kernels/cuda/attend_tile.cuh"

namespace
{

constexpr int threads = 256, side = 16;
constexpr int tile_rows = sw::tile_rows, tile_keys = sw::tile_keys;
constexpr int key_dims = 32, value_dims = 64;
constexpr int pad = 4; /* floats, so that columns written together are on different banks */
static_assert(tile_keys == 4 * side && tile_rows == 4 * side && value_dims == 4 * side, "4 x 4");

/* Shared memory: shares of keys; and first pieces of q and keys, then of values. */
struct shared {
    float p[tile_keys][tile_rows + pad];
    union {
        struct {
            float q[key_dims][tile_rows + pad], k[key_dims][tile_keys];
        } s;
        float v[tile_keys][value_dims];
    } u;
};

/* Loads dimensions [d0, d0 + key_dims) of the tile's queries and of a block of keys; 0 beyond the
 * end. */
template <enum sw_dtype format>
__device__ inline void load_keys(const struct sw::attention &t, const sw::tile &r, const char *from,
                                 int d0, shared &m)
{
    typedef sw::element<format> element;
    const typename element::type *const keys = (const typename element::type *)(const void *)from;
    const int head_dim = t.cache.head_dim;
    for (int i = (int)threadIdx.x; i < tile_rows * key_dims; i += threads) {
        const int row = i / key_dims, d = i % key_dims, query = row / r.heads;
        const bool there = query < r.n && d0 + d < head_dim;
        m.u.s.q[d][row] =
            there ? sw::query_of(t, r.span.row + r.first + query, r.head + row % r.heads)[d0 + d]
                  : 0.0f;
    }
    for (int i = (int)threadIdx.x; i < key_dims * tile_keys; i += threads) {
        const int d = i / tile_keys, key = i % tile_keys;
        m.u.s.k[d][key] =
            d0 + d < head_dim ? element::load(keys[sw::key_at<format>(d0 + d, key)]) : 0.0f;
    }
}

/* Loads dimensions [d0, d0 + value_dims) of a block's values, for keys [lo, hi); the other values
 * are undefined and become 0. */
template <enum sw_dtype format>
__device__ inline void load_values(const struct sw::attention &t, const char *from, int d0, int lo,
                                   int hi, shared &m)
{
    typedef sw::element<format> element;
    const typename element::type *const values = (const typename element::type *)(const void *)from;
    const int head_dim = t.cache.head_dim;
    for (int i = (int)threadIdx.x; i < tile_keys * value_dims; i += threads) {
        const int key = i / value_dims, d = d0 + i % value_dims;
        m.u.v[key][i % value_dims] =
            d < head_dim && key >= lo && key < hi
                ? element::load(values[sw::value_at<format>(head_dim, key, d)])
                : 0.0f;
    }
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

/* Turns scores of four keys from `key` on into shares; returns the factor for older sums. */
__device__ inline float soften(const struct sw::attention &t, sw::tile_row &row, int key,
                               float scores[4])
{
    float top = -INFINITY;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float score = sw::capped(t.a, scores[j] * t.a.scale) + row.slope * (float)(key + j) +
                            sw::bias_of(t, row.head, row.position, key + j);
        scores[j] = sw::sees(row, key + j) ? score : -INFINITY;
        top = fmaxf(top, scores[j]);
    }
    top = fmaxf(row.top, sw::max_over<side>(top));
    const float shrink = row.top == top ? 1.0f : expf(row.top - top);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        scores[j] = sw::sees(row, key + j) ? expf(scores[j] - top) : 0.0f;
        sum += scores[j];
    }
    row.top = top;
    row.total = row.total * shrink + sw::sum_over<side>(sum);
    return shrink;
}

/* blockIdx: x tile; y KV head and share of its heads. chunks: number of pieces of value_dims. */
template <enum sw_dtype format, int chunks>
__global__ void __launch_bounds__(threads) attend_tile(struct sw::attention t)
{
    sw::await_previous();
    __shared__ __align__(16) shared m;
    const sw::tile r = sw::find_tile(t);
    if (r.n == 0)
        return;
    const int x = (int)threadIdx.x % side * 4, y = (int)threadIdx.x / side * 4;
    const int position = (int)r.span.position + r.first, head_dim = t.cache.head_dim;
    const int last = (int)sw::end_key(t, r.span, position + r.n - 1) - 1;
    const int from = sw::first_key(position, t.a.window);
    sw::tile_row rows[4];
    float sums[chunks][4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        rows[i] = sw::row_of(t, r, y + i);
#pragma unroll
        for (int c = 0; c < chunks; c++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                sums[c][i][j] = 0;
    }
    const char *const blocks = sw::head_of(t.cache, r.span.slot, r.kv_head);
    for (int base = from / tile_keys * tile_keys; base <= last; base += tile_keys) {
        const char *const block = blocks + base / tile_keys * 2 * t.cache.half_bytes;
        float scores[4][4] = {};
        for (int d0 = 0; d0 < head_dim; d0 += key_dims) {
            __syncthreads();
            load_keys<format>(t, r, block, d0, m);
            __syncthreads();
#pragma unroll 8
            for (int d = 0; d < key_dims; d++)
                multiply(sw::four(&m.u.s.q[d][y]), sw::four(&m.u.s.k[d][x]), scores);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float shrink = soften(t, rows[i], base + x, scores[i]);
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
                multiply(sw::four(&m.p[key][y]), sw::four(&m.u.v[key][x]), sums[c]);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (rows[i].query >= r.n)
            continue;
        float *const out = sw::out_of(t, r, rows[i]);
        const float whole = sw::whole_of(t.a, rows[i].head, rows[i].top, rows[i].total, 1);
#pragma unroll
        for (int c = 0; c < chunks; c++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (c * value_dims + x + j < head_dim)
                    out[c * value_dims + x + j] = sums[c][i][j] / whole;
    }
}

typedef void (*kernel)(struct sw::attention);
const kernel kernels[] = {attend_tile<SW_F32, 1>, attend_tile<SW_F32, 2>, attend_tile<SW_F32, 4>};
const kernel wide_kernels[] = {attend_tile<SW_F32, 8>, attend_tile<SW_F16, 8>,
                               attend_tile<SW_BF16, 8>};

const sw::listed_kernels all(kernels, wide_kernels);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw::attend_tiled(const struct sw::attention &t, enum sw_dtype format,
                             const struct sw_gpu_span *host, cudaStream_t stream)
{
    const int head_dim = t.cache.head_dim;
    if (head_dim > 256)
        return launch_tiles(wide_kernels[kv_format_row(format)], threads, t, host, stream);
    return launch_tiles(kernels[head_dim <= 64    ? 0
                                : head_dim <= 128 ? 1
                                                  : 2],
                        threads, t, host, stream);
}
