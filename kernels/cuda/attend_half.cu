/*
 * Attention of long spans over f16 and bf16 caches, on tensor cores: tiles of 64 query rows by
 * blocks of 64 keys. A warp has 16 rows with all their keys and dimensions. Each query value and
 * each share of a key is two f16 (22 bits); keys and values are f16, or converted to it exactly
 * (kv_pairs.cuh). So results are as exact as with f32.
 */
#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/kv_pairs.cuh"

namespace
{

constexpr int threads = sw::pair_threads;
constexpr int tile_keys = sw::tile_keys, key_columns = tile_keys / 8;
static_assert(sw::tile_rows == 16 * sw::pair_warps, "16 rows a warp");

/* A query with exponent bits `exponent` times 2^(query_shift - exponent) is below 2^15, also after
 * rounding. */
constexpr int query_shift = 141;

/* A thread's two rows: their queries, the factor 2^(query_shift - exponent) of these, and the
 * factor that undoes it and scales the scores. */
struct queries {
    const float *q[2]; /* NULL: no such row */
    float factor[2], scale[2];
    int head_dim;
};

__device__ inline float element(const queries &from, int row, int d)
{
    return from.q[row] && d < from.head_dim ? from.q[row][d] * from.factor[row] : 0.0f;
}

/* The thread's part of dimensions [d0, d0 + 16), which starts at d. */
__device__ inline void load_queries(const queries &from, int d, sw::split out[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = i % 2, at = d + i / 2 * 8;
        out[i] = sw::split_pair(element(from, row, at), element(from, row, at + 1));
    }
}

__device__ inline queries queries_of(const struct sw::attention &t, const sw::tile &r,
                                     const sw::tile_row rows[2])
{
    queries from;
    from.head_dim = t.cache.head_dim;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        from.q[i] = rows[i].query < r.n
                        ? sw::query_of(t, r.span.row + r.first + rows[i].query, rows[i].head)
                        : nullptr;
        from.factor[i] = 1;
        float top = 0;
        for (int d = sw::lane() % 4; d < from.head_dim; d += 4)
            top = fmaxf(top, fabsf(element(from, i, d)));
        const int exponent = sw::exponent_of(__float_as_uint(sw::max_over<4>(top)));
        from.factor[i] = sw::power_of_two(query_shift - exponent);
        from.scale[i] = t.a.scale * sw::power_of_two(exponent - query_shift);
    }
    return from;
}

/* sums += (high + low)·(16 rows of the words at `from`) */
__device__ inline void multiply(float sums[4], const sw::split a[4], const unsigned *from, int ld)
{
    const unsigned high[4] = {a[0].high, a[1].high, a[2].high, a[3].high};
    const unsigned low[4] = {a[0].low, a[1].low, a[2].low, a[3].low};
    const unsigned b[2] = {from[0], from[4 * ld]};
    sw::multiply(sums, low, b);
    sw::multiply(sums, high, b);
}

/* Turns a thread's scores of one row (a pair of every eight keys from `key` on) into shares times
 * 2^15; returns the factor for older sums. all: the row sees all of these keys. */
template <int half, bool all>
__device__ inline float soften(const struct sw::attention &t, sw::tile_row &row, float unit,
                               float scale, int key, float scores[key_columns][4])
{
    float top = row.top;
#pragma unroll
    for (int i = 0; i < 2 * key_columns; i++) {
        float &score = scores[i / 2][2 * half + i % 2];
        const int at = key + i / 2 * 8 + i % 2;
        score = sw::capped(t.a, score * unit * scale) + row.slope * (float)at +
                sw::bias_of(t, row.head, row.position, at);
        score = all || sw::sees(row, at) ? score : -INFINITY;
        top = fmaxf(top, score);
    }
    top = sw::max_over<4>(top);
    const float shrink = row.top == top ? 1.0f : expf(row.top - top);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 2 * key_columns; i++) {
        float &score = scores[i / 2][2 * half + i % 2];
        const bool seen = all || sw::sees(row, key + i / 2 * 8 + i % 2);
        score = seen ? expf(score - top) * 32768.0f : 0.0f;
        sum += score;
    }
    row.top = top;
    row.total = row.total * shrink + sw::sum_over<4>(sum);
    return shrink;
}

__device__ inline bool sees_all(const sw::tile_row &row, int base)
{
    return sw::sees(row, base) && sw::sees(row, base + tile_keys - 1);
}

/* blockIdx: x tile; y KV head and share of its heads. width: at least the head's dimensions; above
 * 128 there are not enough registers to hold all of the queries. */
template <enum sw_dtype format, int width>
__global__ void __launch_bounds__(threads) attend_tile(struct sw::attention t)
{
    sw::await_previous();
    constexpr bool keeps_queries = width <= 128;
    constexpr int query_steps = width / 16, columns = width / 8;
    constexpr int key_ld = tile_keys + sw::pair_pad, value_ld = width + sw::pair_pad;
    constexpr int key_words = sw::pair_words(width, tile_keys);
    constexpr int value_words = sw::pair_words(tile_keys, width);
    __shared__ __align__(16) unsigned words[key_words > value_words ? key_words : value_words];
    __shared__ unsigned tops[sw::pair_warps];
    const sw::tile r = sw::find_tile(t);
    if (r.n == 0)
        return;
    const int head_dim = t.cache.head_dim, x = sw::lane() % 4 * 2;
    const int at_keys = sw::lane() % 4 * key_ld + sw::lane() / 4;
    const int at_values = sw::lane() % 4 * value_ld + sw::lane() / 4;
    const int position = (int)r.span.position + r.first, first_row = sw::warp() * 16;
    const int last = (int)sw::end_key(t, r.span, position + r.n - 1) - 1;
    const int from = sw::first_key(position, t.a.window);
    const bool works = first_row < r.n * r.heads; /* else the warp only copies words */
    sw::tile_row rows[2] = {sw::row_of(t, r, first_row + sw::lane() / 4),
                            sw::row_of(t, r, first_row + sw::lane() / 4 + 8)};
    const queries q = queries_of(t, r, rows);
    sw::split kept[keeps_queries ? query_steps : 1][4];
    if (keeps_queries)
#pragma unroll
        for (int i = 0; i < query_steps; i++)
            load_queries(q, 16 * i + x, kept[i]);
    float sums[columns][4] = {};
    int key_exponent = 30, value_exponent = 30;
    const char *const blocks = sw::head_of(t.cache, r.span.slot, r.kv_head);
    for (int base = from / tile_keys * tile_keys; base <= last; base += tile_keys) {
        const char *const block = blocks + base / tile_keys * 2 * t.cache.half_bytes;
        const int lo = from - base, hi = last + 1 - base;
        const sw::cached keys = {block, (head_dim + 15) / 16 * 16, 0, head_dim, tile_keys, lo, hi};
        const sw::cached values = {
            block + t.cache.half_bytes, tile_keys, lo, hi, head_dim, 0, head_dim};
        float scores[key_columns][4] = {};
        __syncthreads();
        sw::copy_pairs<format, tile_keys>(keys, key_exponent, words, tops);
        if (works) {
#pragma unroll
            for (int i = 0; i < query_steps; i++) {
                if (16 * i >= head_dim) /* no break: loops have to unroll */
                    continue;
                sw::split *const a = kept[keeps_queries ? i : 0];
                if (!keeps_queries)
                    load_queries(q, 16 * i + x, a);
#pragma unroll
                for (int j = 0; j < key_columns; j++)
                    multiply(scores[j], a, words + at_keys + 8 * i * key_ld + 8 * j, key_ld);
            }
            const float unit =
                format == SW_BF16 ? sw::power_of_two(key_exponent - sw::cache_shift) : 1.0f;
            float shrink[2];
            if (__all_sync(sw::all_lanes, sees_all(rows[0], base) && sees_all(rows[1], base))) {
                shrink[0] = soften<0, true>(t, rows[0], unit, q.scale[0], base + x, scores);
                shrink[1] = soften<1, true>(t, rows[1], unit, q.scale[1], base + x, scores);
            } else {
                shrink[0] = soften<0, false>(t, rows[0], unit, q.scale[0], base + x, scores);
                shrink[1] = soften<1, false>(t, rows[1], unit, q.scale[1], base + x, scores);
            }
#pragma unroll
            for (int j = 0; j < columns; j++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[j][i] *= shrink[i / 2];
        }
        const int before = value_exponent;
        __syncthreads();
        sw::copy_pairs<format, width>(values, value_exponent, words, tops);
        if (format == SW_BF16 && value_exponent != before) {
            const int less = value_exponent - before;
            const float shrink = sw::power_of_two(less < 126 ? -less : -126);
#pragma unroll
            for (int j = 0; j < columns; j++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[j][i] *= shrink;
        }
        if (works) {
#pragma unroll
            for (int i = 0; i < tile_keys / 16; i++) {
                const float(&s)[key_columns][4] = scores;
                const sw::split a[4] = {sw::split_pair(s[2 * i][0], s[2 * i][1]),
                                        sw::split_pair(s[2 * i][2], s[2 * i][3]),
                                        sw::split_pair(s[2 * i + 1][0], s[2 * i + 1][1]),
                                        sw::split_pair(s[2 * i + 1][2], s[2 * i + 1][3])};
#pragma unroll
                for (int j = 0; j < columns; j++)
                    if (8 * j < head_dim)
                        multiply(sums[j], a, words + at_values + 8 * i * value_ld + 8 * j,
                                 value_ld);
            }
        }
    }
    const float unit =
        format == SW_BF16 ? sw::power_of_two(value_exponent - sw::cache_shift) : 1.0f;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (rows[i].query >= r.n)
            continue;
        float *const out = sw::out_of(t, r, rows[i]);
        const float share =
            unit / sw::whole_of(t.a, rows[i].head, rows[i].top, rows[i].total, 32768.0f);
#pragma unroll
        for (int j = 0; j < 2 * columns; j++) {
            const int d = j / 2 * 8 + x + j % 2;
            if (d < head_dim)
                out[d] = sums[j / 2][2 * i + j % 2] * share;
        }
    }
}

typedef void (*kernel)(struct sw::attention);
#define FOR_WIDTHS(format)                                                                         \
    {                                                                                              \
        attend_tile<format, 64>, attend_tile<format, 128>, attend_tile<format, 256>                \
    }
const kernel kernels[2][3] = {FOR_WIDTHS(SW_F16), FOR_WIDTHS(SW_BF16)};

const sw::listed_kernels all(kernels);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw::attend_half(const struct sw::attention &t, enum sw_dtype format,
                            const struct sw_gpu_span *host, cudaStream_t stream)
{
    const int width = t.cache.head_dim <= 64 ? 0 : t.cache.head_dim <= 128 ? 1 : 2;
    return launch_tiles(kernels[format == SW_BF16][width], threads, t, host, stream);
}
