/*
 * Attention whose values are a part of their keys (latent attention): all query heads share a KV
 * head, so a block takes one query and 8 of its heads through keys that it reads once for all of
 * them. A thread has one key of each block of 64 for the scores of two heads, in whole cache lines,
 * and a dimension or two for the sums of values, whose keys lie side by side. Short spans are split
 * into parts of the context, which are joined in order; a row of a long one is one part.
 */
#include "kernels/cuda/attend.cuh"

namespace
{

constexpr int threads = 256, warps = threads / sw::warp_size, heads = 8;
constexpr int sharing = threads / SW_KEY_BLOCK; /* threads with the same key, for other heads */
constexpr int per_thread = heads / sharing;
constexpr int most_parts = 64;
static_assert(warps == heads, "a warp for each head's shares");
static_assert(SW_GPU_LATENT_VALUES == 2 * threads, "a thread has two of them at most");

/* Keys of a part; it depends on the cache's size only. */
int64_t part_keys(int64_t context)
{
    return sw::round_up(sw::divide_up(context, most_parts), 4 * SW_KEY_BLOCK);
}

/* Floats of a part: its sums, the largest score, the sum of shares. */
__host__ __device__ inline int64_t part_floats(int value_dim)
{
    return value_dim + 2;
}

/* Without padding, for the reason in attend.cuh. */
struct latent_attention {
    struct sw::attention t;
    int64_t first, part_keys, n_parts;
    float *work; /* (rows, n_heads, n_parts, part_floats); unused when there is one part */
    int64_t is_short;
};

struct rows_of {
    bool is_short;
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return sw::is_short_span(span) == is_short ? span.n : 0;
    }
};

struct query {
    int64_t row;
    int last, slot; /* the last key that it sees; -1: there is no such row */
};
__device__ inline query find(const latent_attention &f, int64_t index)
{
    const struct sw::attention &t = f.t;
    const int s = sw::find_span(t.spans, t.n_spans, &index, rows_of{f.is_short != 0});
    if (s < 0)
        return {0, -1, 0};
    return {t.spans[s].row + index,
            (int)sw::end_key(t, t.spans[s], t.spans[s].position + index) - 1, t.spans[s].slot};
}

/* Scores of one block's keys: p[h][key] of two heads a thread. */
template <enum sw_dtype format>
__device__ inline void score_block(const latent_attention &f, const char *block, int end,
                                   const float *q, float (*p)[SW_KEY_BLOCK])
{
    typedef sw::element<format> element;
    typedef typename element::type type;
    const type *const keys = (const type *)(const void *)block;
    const int head_dim = f.t.cache.head_dim, key = (int)threadIdx.x % SW_KEY_BLOCK;
    const int first = (int)threadIdx.x / SW_KEY_BLOCK * per_thread;
    float scores[per_thread] = {};
#pragma unroll 8
    for (int d = 0; d < head_dim; d++) {
        const float k = element::load(keys[sw::key_at<format>(d, key)]);
#pragma unroll
        for (int h = 0; h < per_thread; h++)
            scores[h] += q[(first + h) * head_dim + d] * k;
    }
#pragma unroll
    for (int h = 0; h < per_thread; h++)
        p[first + h][key] = key < end ? sw::capped(f.t.a, scores[h] * f.t.a.scale) : -INFINITY;
}

/* The shares of a warp's head, from scores; returns the factor for older sums. */
__device__ inline float soften(float *p, float *top, float *total)
{
    const int key = sw::lane();
    const float a = p[key], b = p[key + sw::warp_size];
    const float most = fmaxf(*top, sw::warp_max(fmaxf(a, b)));
    const float shrink = *top == most ? 1.0f : expf(*top - most);
    const float first = expf(a - most), second = expf(b - most);
    p[key] = first;
    p[key + sw::warp_size] = second;
    *top = most;
    *total = *total * shrink + sw::warp_sum(first + second);
    return shrink;
}

/* blockIdx: x part; y KV head and share of its heads; z row. dims: of values, a thread. */
template <enum sw_dtype format, int dims>
__global__ void __launch_bounds__(threads) attend_latents(latent_attention f)
{
    sw::await_previous();
    typedef sw::element<format> element;
    typedef typename element::type type;
    __shared__ float q[heads * SW_GPU_LATENT_DIM], p[heads][SW_KEY_BLOCK];
    __shared__ float shrinks[heads], tops[heads], totals[heads];
    const struct sw::attention &t = f.t;
    const int shares = (t.group + heads - 1) / heads, head_dim = t.cache.head_dim;
    const int value_dim = (int)t.cache.value_dim;
    const int kv_head = (int)blockIdx.y / shares, first = (int)blockIdx.y % shares * heads;
    const int head = kv_head * t.group + first;
    const int n_heads = t.group - first < heads ? t.group - first : heads;
    const query at = find(f, f.first + blockIdx.z);
    const int64_t start = blockIdx.x * f.part_keys, past = start + f.part_keys;
    if (start > at.last)
        return;
    for (int i = (int)threadIdx.x; i < heads * head_dim; i += threads) {
        const int h = i / head_dim, d = i % head_dim;
        q[i] = h < n_heads ? sw::query_of(t, at.row, head + h)[d] : 0.0f;
    }
    float sums[dims][heads] = {}, top = -INFINITY, total = 0; /* these two: of the warp's head */
    const char *const blocks = sw::head_of(t.cache, at.slot, kv_head);
    for (int64_t base = start; base < past && base <= at.last; base += SW_KEY_BLOCK) {
        const char *const block = blocks + base / SW_KEY_BLOCK * t.cache.block_bytes;
        const int64_t left = at.last + 1 - base;
        const int end = left < SW_KEY_BLOCK ? (int)left : SW_KEY_BLOCK;
        __syncthreads();
        score_block<format>(f, block, end, q, p);
        __syncthreads();
        const float shrink = soften(p[sw::warp()], &top, &total);
        if (sw::lane() == 0)
            shrinks[sw::warp()] = shrink;
        __syncthreads();
#pragma unroll
        for (int j = 0; j < dims; j++) {
            const int d = (int)threadIdx.x + j * threads;
            if (d >= value_dim)
                break;
#pragma unroll
            for (int h = 0; h < heads; h++)
                sums[j][h] *= shrinks[h];
            const type *const values = (const type *)(const void *)block;
#pragma unroll 8
            for (int key = 0; key < end; key++) {
                const float v = element::load(values[sw::key_at<format>(d, key)]);
#pragma unroll
                for (int h = 0; h < heads; h++)
                    sums[j][h] += p[h][key] * v;
            }
        }
    }
    if (sw::lane() == 0)
        tops[sw::warp()] = top, totals[sw::warp()] = total;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < dims; j++) {
        const int d = (int)threadIdx.x + j * threads;
        if (d >= value_dim)
            break;
#pragma unroll
        for (int h = 0; h < heads; h++) {
            if (h >= n_heads)
                break;
            if (f.n_parts == 1) {
                t.a.out[at.row * t.a.out_ld + (int64_t)(head + h) * value_dim + d] =
                    sums[j][h] / sw::whole_of(t.a, head + h, tops[h], totals[h], 1);
                continue;
            }
            const int64_t place =
                ((int64_t)blockIdx.z * t.a.n_heads + head + h) * f.n_parts + blockIdx.x;
            float *const part = f.work + place * part_floats(value_dim);
            part[d] = sums[j][h];
            if (d == 0)
                part[value_dim] = tops[h], part[value_dim + 1] = totals[h];
        }
    }
}

/* Joins the parts of one row (blockIdx.y) and head (blockIdx.x), in order. */
__global__ void __launch_bounds__(threads) join_latents(latent_attention f)
{
    sw::await_previous();
    const struct sw::attention &t = f.t;
    const int value_dim = (int)t.cache.value_dim;
    const query at = find(f, f.first + blockIdx.y);
    if (at.last < 0)
        return;
    const int last = (int)(at.last / f.part_keys);
    const float *const parts = f.work + ((int64_t)blockIdx.y * t.a.n_heads + blockIdx.x) *
                                            f.n_parts * part_floats(value_dim);
    float top = -INFINITY, total = 0;
    for (int i = 0; i <= last; i++)
        top = fmaxf(top, parts[i * part_floats(value_dim) + value_dim]);
    for (int i = 0; i <= last; i++) {
        const float *const ends = parts + i * part_floats(value_dim) + value_dim;
        total += expf(ends[0] - top) * ends[1];
    }
    total = sw::whole_of(t.a, (int)blockIdx.x, top, total, 1);
    for (int d = (int)threadIdx.x; d < value_dim; d += threads) {
        float sum = 0;
        for (int i = 0; i <= last; i++) {
            const float *const part = parts + i * part_floats(value_dim);
            sum += expf(part[value_dim] - top) * part[d];
        }
        t.a.out[at.row * t.a.out_ld + (int64_t)blockIdx.x * value_dim + d] = sum / total;
    }
}

typedef void (*kernel)(latent_attention);
#define FOR_DIMS(format)                                                                           \
    {                                                                                              \
        attend_latents<format, 1>, attend_latents<format, 2>                                       \
    }
const kernel kernels[3][2] = {FOR_DIMS(SW_F32), FOR_DIMS(SW_F16), FOR_DIMS(SW_BF16)};

const sw::listed_kernels all(kernels, join_latents);

/* All rows of short spans, or of long ones. */
cudaError_t attend_rows(latent_attention f, bool is_short, enum sw_dtype format, int64_t context,
                        const struct sw_gpu_span *host, size_t work_bytes, cudaStream_t stream)
{
    const struct sw::attention &t = f.t;
    int64_t n = 0, longest = 0;
    for (int i = 0; i < t.n_spans; i++)
        if (sw::is_short_span(host[i]) == is_short && host[i].n > 0) {
            n += host[i].n;
            const int64_t keys = sw::end_key(t, host[i], host[i].position + host[i].n - 1);
            longest = keys > longest ? keys : longest;
        }
    longest = longest < context ? longest : context; /* `work` has room for so many */
    f.is_short = is_short;
    f.part_keys = is_short ? part_keys(context) : sw::round_up(context, SW_KEY_BLOCK);
    f.n_parts = sw::divide_up(longest, f.part_keys);
    const size_t row =
        (size_t)(t.a.n_heads * f.n_parts * part_floats((int)t.cache.value_dim)) * sizeof(float);
    int64_t most = f.n_parts > 1 ? (int64_t)(work_bytes / row) : 65535;
    most = most > 65535 ? 65535 : most;
    if (n > 0 && most < 1)
        return cudaErrorInvalidValue;
    const kernel part = kernels[sw::kv_format_row(format)][t.cache.value_dim > threads];
    const int64_t shares = sw::divide_up(t.group, heads) * t.cache.n_kv_heads;
    for (f.first = 0; f.first < n; f.first += most) {
        const unsigned rows = (unsigned)(n - f.first < most ? n - f.first : most);
        SW_LAUNCH(part, dim3((unsigned)f.n_parts, (unsigned)shares, rows), threads, 0, stream, f);
        if (f.n_parts > 1)
            SW_LAUNCH(join_latents, dim3((unsigned)t.a.n_heads, rows), threads, 0, stream, f);
        const cudaError_t error = cudaGetLastError();
        if (error != cudaSuccess)
            return error;
    }
    return cudaSuccess;
}

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw::attend_latent(const struct sw::attention &t, enum sw_dtype format, int64_t context,
                              const struct sw_gpu_span *host, void *work, size_t work_bytes,
                              cudaStream_t stream)
{
    latent_attention f;
    if (t.cache.head_dim > SW_GPU_LATENT_DIM || t.cache.value_dim > SW_GPU_LATENT_VALUES ||
        t.a.window || t.a.slopes || t.a.bias)
        return cudaErrorInvalidValue;
    f.t = t;
    f.work = (float *)work;
    const cudaError_t error = attend_rows(f, true, format, context, host, work_bytes, stream);
    return error == cudaSuccess ? attend_rows(f, false, format, context, host, work_bytes, stream)
                                : error;
}
