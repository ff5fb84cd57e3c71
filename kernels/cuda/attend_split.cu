/*
 * Attention of short spans. The context is split into parts; a block computes one part for one
 * query and up to 8 heads of a KV head, and another kernel joins the parts in order. In a block
 * each warp loops over blocks of 64 keys. A lane has a pair of keys for the scores, and a dimension
 * for the sums of values, so both are read in whole cache lines.
 */
#include "kernels/cuda/attend.cuh"

namespace
{

constexpr int threads = 128, warps = threads / sw::warp_size;
constexpr int most_parts = 64, least_part = warps * SW_KEY_BLOCK;

/* Keys of a part. It depends on the cache's size only, so a query's bits do not depend on the rest
 * of the batch. */
int64_t part_keys(int64_t context)
{
    return sw::round_up(sw::divide_up(context, most_parts), least_part);
}

/* Floats of a part: head_dim sums, the largest score, the sum of shares. */
__host__ __device__ inline int64_t part_floats(int head_dim)
{
    return head_dim + 2;
}

struct split_attention {
    struct sw::attention t;
    int64_t first, part_keys, n_parts;
    float *work; /* (rows, n_heads, n_parts, part_floats); unused when there is one part */
};

struct few_rows {
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return sw::is_short_span(span) ? span.n : 0;
    }
};

/* A row of a short span: its row in the batch, its slot, its position, and the last key that it
 * sees; -1: none. */
struct query {
    int64_t row;
    int position, last, slot;
};
__device__ inline query find(const struct sw::attention &t, int64_t index)
{
    const int s = sw::find_span(t.spans, t.n_spans, &index, few_rows());
    if (s < 0)
        return {0, -1, -1, 0};
    const int position = (int)(t.spans[s].position + index);
    return {t.spans[s].row + index, position, (int)sw::end_key(t, t.spans[s], position) - 1,
            t.spans[s].slot};
}

/* The result of one load: one dimension of keys 2 * lane and 2 * lane + 1, or one dimension of a
 * value; for bf16 two dimensions of the keys, or two values. */
template <enum sw_dtype format> struct piece;

template <> struct piece<SW_F32> {
    typedef float2 keys;
    typedef float values;
    static constexpr int of = 1;
    static __device__ inline float key(const keys &from, int, int key)
    {
        return key ? from.y : from.x;
    }
    static __device__ inline float value(values from, int)
    {
        return from;
    }
};

template <> struct piece<SW_F16> {
    typedef unsigned keys;
    typedef uint16_t values;
    static constexpr int of = 1;
    static __device__ inline float key(keys from, int, int key)
    {
        return sw::f16_to_float(key ? from >> 16 : from & 0xffffu);
    }
    static __device__ inline float value(values from, int)
    {
        return sw::f16_to_float(from);
    }
};

template <> struct piece<SW_BF16> {
    typedef uint2 keys;
    typedef unsigned values;
    static constexpr int of = 2;
    static __device__ inline float value(values from, int key)
    {
        return key ? __uint_as_float(from & 0xffff0000u) : sw::bf16_to_float(from & 0xffffu);
    }
    static __device__ inline float key(const keys &from, int dim, int key)
    {
        return value(key ? from.y : from.x, dim);
    }
};

/* Loads started before any result is used: a wait for memory takes as long as hundreds of
 * operations, and at short contexts there is little other work meanwhile. */
constexpr int dims_at_once = 32, values_at_once = 64;

/* Loads dimensions [d, d + n) of the keys; the last dimension again beyond the end. */
template <enum sw_dtype format, int n, bool all>
__device__ inline void load_keys(const char *block, int head_dim, int d,
                                 typename piece<format>::keys out[n / piece<format>::of])
{
    typedef typename sw::element<format>::type type;
    typedef typename piece<format>::keys word;
    const type *const keys = (const type *)(const void *)block;
    const int last = (head_dim - 1) / piece<format>::of;
#pragma unroll
    for (int i = 0; i < n / piece<format>::of; i++) {
        const int at = d / piece<format>::of + i, row = all || at < last ? at : last;
        out[i] = *(const word *)(const void *)(keys + sw::key_at<format>(row * piece<format>::of,
                                                                         2 * sw::lane()));
    }
}

/* Loads dimension d of values [key, key + n); the last dimension again beyond the end. */
template <enum sw_dtype format, int n>
__device__ inline void load_values(const char *half, int head_dim, int d, int key,
                                   typename piece<format>::values out[n / piece<format>::of])
{
    typedef typename sw::element<format>::type type;
    typedef typename piece<format>::values word;
    const type *const values = (const type *)(const void *)half;
    const int at = d < head_dim ? d : head_dim - 1;
#pragma unroll
    for (int i = 0; i < n / piece<format>::of; i++)
        out[i] =
            *(const word *)(const void *)(values + sw::value_at<format>(
                                                       head_dim, key + i * piece<format>::of, at));
}

/* A warp's state for its keys so far, for each head; sums: of dimensions lane, lane + 32, … */
template <int heads, int per_lane> struct state {
    float top[heads], total[heads]; /* total: of this lane's keys */
    float sums[heads][per_lane];
};

/* Adds one block of keys, of which [lo, hi) are visible. q: (heads, width); p: (heads,
 * SW_KEY_BLOCK). */
template <enum sw_dtype format, int heads, int per_lane>
__device__ inline void attend_block(const split_attention &f, const char *block, int base, int lo,
                                    int hi, int head, int position, const float *slopes,
                                    const float *q, float *p, state<heads, per_lane> &s)
{
    constexpr int width = per_lane * sw::warp_size, keys_at_once = values_at_once / per_lane;
    constexpr int of = piece<format>::of;
    const int head_dim = f.t.cache.head_dim;
    float scores[heads][2];
#pragma unroll
    for (int h = 0; h < heads; h++)
        scores[h][0] = scores[h][1] = 0;
    for (int d = 0; d < head_dim; d += dims_at_once) { /* q is 0 beyond the last dimension */
        typename piece<format>::keys k[dims_at_once / of];
        if (d + dims_at_once <= head_dim)
            load_keys<format, dims_at_once, true>(block, head_dim, d, k);
        else
            load_keys<format, dims_at_once, false>(block, head_dim, d, k);
        __syncwarp(); /* or the compiler makes a dozen waits of this one */
#pragma unroll
        for (int e = 0; e < dims_at_once; e++)
#pragma unroll
            for (int h = 0; h < heads; h++)
#pragma unroll
                for (int i = 0; i < 2; i++)
                    scores[h][i] += q[h * width + d + e] * piece<format>::key(k[e / of], e % of, i);
    }
    const int key = 2 * sw::lane();
#pragma unroll
    for (int h = 0; h < heads; h++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            /* of heads beyond the last one nothing is kept */
            const int last = f.t.a.n_heads - 1, row = head + h < last ? head + h : last;
            const float score = sw::capped(f.t.a, scores[h][i] * f.t.a.scale) +
                                slopes[h] * (float)(base + key + i) +
                                sw::bias_of(f.t, row, position, base + key + i);
            scores[h][i] = key + i >= lo && key + i < hi ? score : -INFINITY;
        }
        const float top = fmaxf(s.top[h], sw::warp_max(fmaxf(scores[h][0], scores[h][1])));
        const float shrink = s.top[h] == top ? 1.0f : expf(s.top[h] - top);
        const float first = expf(scores[h][0] - top), second = expf(scores[h][1] - top);
        s.top[h] = top;
        s.total[h] = s.total[h] * shrink + first + second;
#pragma unroll
        for (int j = 0; j < per_lane; j++)
            s.sums[h][j] *= shrink;
        p[h * SW_KEY_BLOCK + key] = first;
        p[h * SW_KEY_BLOCK + key + 1] = second;
    }
    __syncwarp();
    const char *const values = block + f.t.cache.half_bytes;
    for (int first = lo / keys_at_once * keys_at_once; first < hi; first += keys_at_once) {
        typename piece<format>::values v[per_lane][keys_at_once / of];
#pragma unroll
        for (int j = 0; j < per_lane; j++)
            load_values<format, keys_at_once>(values, head_dim, sw::lane() + j * sw::warp_size,
                                              first, v[j]);
        __syncwarp();
#pragma unroll
        for (int e = 0; e < keys_at_once; e++) {
            const bool seen = first + e >= lo && first + e < hi; /* others are undefined */
#pragma unroll
            for (int j = 0; j < per_lane; j++) {
                const float value = seen ? piece<format>::value(v[j][e / of], e % of) : 0.0f;
#pragma unroll
                for (int h = 0; h < heads; h++)
                    s.sums[h][j] += p[h * SW_KEY_BLOCK + first + e] * value;
            }
        }
    }
    __syncwarp();
}

/* Joins the warps' states in order: sums to out (heads, width), the rest to tops[0], totals[0]. */
template <int heads, int per_lane>
__device__ inline void join_warps(state<heads, per_lane> &s, float (*tops)[heads],
                                  float (*totals)[heads], float *out)
{
#pragma unroll
    for (int h = 0; h < heads; h++) {
        const float total = sw::warp_sum(s.total[h]);
        if (sw::lane() == 0)
            tops[sw::warp()][h] = s.top[h], totals[sw::warp()][h] = total;
    }
    for (int w = 0; w < warps; w++) {
        __syncthreads();
        if (sw::warp() != w)
            continue;
#pragma unroll
        for (int h = 0; h < heads; h++) {
            float top = tops[0][h];
            for (int i = 1; i < warps; i++)
                top = fmaxf(top, tops[i][h]);
            const float share = s.top[h] == -INFINITY ? 0.0f : expf(s.top[h] - top);
#pragma unroll
            for (int j = 0; j < per_lane; j++) {
                float *const at = out + (h * per_lane + j) * sw::warp_size + sw::lane();
                *at = (w ? *at : 0.0f) + share * s.sums[h][j];
            }
        }
    }
    __syncthreads();
    if (threadIdx.x < heads) {
        const int h = (int)threadIdx.x;
        float top = tops[0][h], total = 0;
        for (int i = 1; i < warps; i++)
            top = fmaxf(top, tops[i][h]);
        for (int i = 0; i < warps; i++)
            total += tops[i][h] == -INFINITY ? 0.0f : expf(tops[i][h] - top) * totals[i][h];
        tops[0][h] = top;
        totals[0][h] = total;
    }
    __syncthreads();
}

/* blockIdx: x part; y KV head and share of its heads; z row. */
template <enum sw_dtype format, int heads, int per_lane>
__global__ void __launch_bounds__(threads) attend_part(split_attention f)
{
    sw::await_previous();
    constexpr int width = per_lane * sw::warp_size;
    __shared__ __align__(16) float q[heads * width];
    __shared__ __align__(16) float p[warps][heads * SW_KEY_BLOCK];
    __shared__ float out[heads * width], tops[warps][heads], totals[warps][heads];
    const struct sw::attention &t = f.t;
    const int shares = (t.group + heads - 1) / heads, head_dim = t.cache.head_dim;
    const int kv_head = (int)blockIdx.y / shares, first = (int)blockIdx.y % shares * heads;
    const int head = kv_head * t.group + first;
    const int n_heads = t.group - first < heads ? t.group - first : heads;
    const query at = find(t, f.first + blockIdx.z);
    const int from = sw::first_key(at.position, t.a.window);
    const int64_t start = blockIdx.x * f.part_keys, past = start + f.part_keys;
    if (start > at.last || past <= from)
        return;
    for (int i = (int)threadIdx.x; i < heads * width; i += threads) {
        const int h = i / width, d = i % width;
        q[i] = h < n_heads && d < head_dim ? sw::query_of(t, at.row, head + h)[d] : 0.0f;
    }
    float slopes[heads];
    state<heads, per_lane> s;
#pragma unroll
    for (int h = 0; h < heads; h++) {
        slopes[h] = t.a.slopes && h < n_heads ? t.a.slopes[head + h] : 0.0f;
        s.top[h] = -INFINITY;
        s.total[h] = 0;
#pragma unroll
        for (int j = 0; j < per_lane; j++)
            s.sums[h][j] = 0;
    }
    __syncthreads();
    const char *const keys = sw::head_of(t.cache, at.slot, kv_head);
    for (int base = (int)start + sw::warp() * SW_KEY_BLOCK; base < past && base <= at.last;
         base += warps * SW_KEY_BLOCK) {
        const int lo = from > base ? from - base : 0, end = at.last + 1 - base;
        if (lo < SW_KEY_BLOCK)
            attend_block<format, heads, per_lane>(
                f, keys + base / SW_KEY_BLOCK * 2 * t.cache.half_bytes, base, lo,
                end < SW_KEY_BLOCK ? end : SW_KEY_BLOCK, head, at.position, slopes, q,
                p[sw::warp()], s);
    }
    join_warps<heads, per_lane>(s, tops, totals, out);
    for (int i = (int)threadIdx.x; i < n_heads * width; i += threads) {
        const int h = i / width, d = i % width;
        if (d >= head_dim)
            continue;
        if (f.n_parts == 1) {
            t.a.out[at.row * t.a.out_ld + (int64_t)(head + h) * head_dim + d] =
                out[i] / sw::whole_of(t.a, head + h, tops[0][h], totals[0][h], 1);
            continue;
        }
        const int64_t place =
            ((int64_t)blockIdx.z * t.a.n_heads + head + h) * f.n_parts + blockIdx.x;
        float *const part = f.work + place * part_floats(head_dim);
        part[d] = out[i];
        if (d == 0)
            part[head_dim] = tops[0][h], part[head_dim + 1] = totals[0][h];
    }
}

/* Joins the parts of one row (blockIdx.y) and head (blockIdx.x), in order. */
__global__ void __launch_bounds__(threads) join_parts(split_attention f)
{
    sw::await_previous();
    const struct sw::attention &t = f.t;
    const int head_dim = t.cache.head_dim;
    const query at = find(t, f.first + blockIdx.y);
    if (at.last < 0)
        return;
    const int first = (int)(sw::first_key(at.position, t.a.window) / f.part_keys);
    const int last = (int)(at.last / f.part_keys);
    const float *const parts = f.work + ((int64_t)blockIdx.y * t.a.n_heads + blockIdx.x) *
                                            f.n_parts * part_floats(head_dim);
    float top = -INFINITY;
    for (int i = first; i <= last; i++)
        top = fmaxf(top, parts[i * part_floats(head_dim) + head_dim]);
    float total = 0;
    for (int i = first; i <= last; i++) {
        const float *const ends = parts + i * part_floats(head_dim) + head_dim;
        total += expf(ends[0] - top) * ends[1];
    }
    total = sw::whole_of(t.a, (int)blockIdx.x, top, total, 1);
    for (int d = (int)threadIdx.x; d < head_dim; d += threads) {
        float sum = 0;
        for (int i = first; i <= last; i++) {
            const float *const part = parts + i * part_floats(head_dim);
            sum += expf(part[head_dim] - top) * part[d];
        }
        t.a.out[at.row * t.a.out_ld + (int64_t)blockIdx.x * head_dim + d] = sum / total;
    }
}

typedef void (*kernel)(split_attention);
#define FOR_WIDTHS(format, heads)                                                                  \
    {                                                                                              \
        attend_part<format, heads, 2>, attend_part<format, heads, 4>,                              \
            attend_part<format, heads, 8>                                                          \
    }
#define FOR_HEADS(format)                                                                          \
    {                                                                                              \
        FOR_WIDTHS(format, 1), FOR_WIDTHS(format, 4), FOR_WIDTHS(format, 8)                        \
    }
const kernel kernels[3][3][3] = {FOR_HEADS(SW_F32), FOR_HEADS(SW_F16), FOR_HEADS(SW_BF16)};
const int heads_of[3] = {1, 4, 8};
/* Above 256 dimensions sums of 8 heads would have no place. */
#define FOR_WIDE(format)                                                                           \
    {                                                                                              \
        attend_part<format, 1, 16>, attend_part<format, 4, 16>                                     \
    }
const kernel wide_kernels[3][2] = {FOR_WIDE(SW_F32), FOR_WIDE(SW_F16), FOR_WIDE(SW_BF16)};

size_t row_bytes(int n_heads, int head_dim, int64_t context)
{
    const int64_t n_parts = sw::divide_up(context, part_keys(context));
    return (size_t)(n_heads * n_parts * part_floats(head_dim)) * sizeof(float);
}

const sw::listed_kernels all(kernels, wide_kernels, join_parts);

} // namespace

/* ------------------------------------------------------------------------------------------- */

size_t sw_gpu_attend_work(const struct sw_gpu_kv *kv, int n_heads, int64_t n_rows)
{
    const int width = kv->value_dim ? kv->value_dim : kv->head_dim;
    return row_bytes(n_heads, width, kv->context) * (size_t)n_rows;
}

cudaError_t sw::attend_split(const struct sw::attention &t, enum sw_dtype format, int64_t context,
                             const struct sw_gpu_span *host, void *work, size_t work_bytes,
                             cudaStream_t stream)
{
    int64_t n = 0, longest = 0;
    for (int i = 0; i < t.n_spans; i++)
        if (is_short_span(host[i]) && host[i].n > 0) {
            n += host[i].n;
            const int64_t keys = end_key(t, host[i], host[i].position + host[i].n - 1);
            longest = keys > longest ? keys : longest;
        }
    longest = longest < context ? longest : context; /* `work` has room for so many */
    const bool is_wide = t.cache.head_dim > 256;
    const int heads = t.group == 1 ? 0 : t.group <= 4 || is_wide ? 1 : 2;
    const int width = t.cache.head_dim <= 64 ? 0 : t.cache.head_dim <= 128 ? 1 : 2;
    struct split_attention f;
    f.t = t;
    f.part_keys = part_keys(context);
    f.n_parts = divide_up(longest, f.part_keys);
    f.work = (float *)work;
    int64_t most = f.n_parts > 1
                       ? (int64_t)(work_bytes / row_bytes(t.a.n_heads, t.cache.head_dim, context))
                       : 65535;
    most = most > 65535 ? 65535 : most;
    if (n > 0 && most < 1)
        return cudaErrorInvalidValue;
    const int row = kv_format_row(format);
    const kernel part = is_wide ? wide_kernels[row][heads] : kernels[row][heads][width];
    const int64_t shares = divide_up(t.group, heads_of[heads]) * t.cache.n_kv_heads;
    for (f.first = 0; f.first < n; f.first += most) {
        const unsigned rows = (unsigned)(n - f.first < most ? n - f.first : most);
        SW_LAUNCH(part, dim3((unsigned)f.n_parts, (unsigned)shares, rows), threads, 0, stream, f);
        if (f.n_parts > 1)
            SW_LAUNCH(join_parts, dim3((unsigned)t.a.n_heads, rows), threads, 0, stream, f);
        const cudaError_t error = cudaGetLastError();
        if (error != cudaSuccess)
            return error;
    }
    return cudaSuccess;
}
