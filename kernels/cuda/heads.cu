/*
 * The step between the QKV product and attention: norms heads (Qwen3), rotates them, and stores
 * keys and values. A block has one head of a row, a thread one dimension.
 */
#include "kernels/cuda/kv.cuh"

namespace
{

/* The arguments of a call, without padding for the reason in attend.cuh. */
struct heads {
    struct sw::cache cache;
    const struct sw_gpu_span *spans;
    int64_t n_rows; /* of all spans */
    float *q;
    const float *k, *v;
    int64_t ld, q_head, q_skip, kv_head;
    int64_t group;                                   /* query heads per KV head */
    const float *q_norm, *k_norm, *v_norm, *cos_sin; /* NULL: none */
    const float *q_rotary;
    int64_t q_rotary_head, first; /* of the rotated elements */
    float eps;
    int n_spans, n_heads;
    int pairs, step, apart; /* pair i is at i * step and i * step + apart */
    int norm_last;          /* norms come after rope */
    int layer_norm, norm_step;
    int keys_as_values, unused; /* the latter instead of padding */
    struct sw_query_growth growth;
};

struct span_rows {
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return span.n;
    }
};

/* Norm of the x of all threads; squares are summed as in norm.cu. */
template <int threads>
__device__ inline float normed(float x, bool there, int dim, float eps, bool centre,
                               const float *weight, float *scratch)
{
    if (centre) {
        const float mean = sw::block_sum<threads>(x, scratch) / (float)dim;
        x = there ? x - mean : 0;
    }
    const float squares = sw::block_sum<threads>(x * x, scratch);
    const float scale = 1 / sqrtf(squares / (float)dim + eps);
    return there ? x * scale * weight[threadIdx.x] : 0;
}

/* Rotates the x of each thread with the other one of its pair. No thread may use `held` at the
 * call; all may at the return. */
__device__ inline float rotated(float x, const heads &t, int64_t position, float *held)
{
    const int place = (int)threadIdx.x, d = place - (int)t.first;
    held[place] = x;
    __syncthreads();
    if (d >= 0 && d < 2 * t.pairs) {
        const int pair = t.step == 2 ? d / 2 : d % t.pairs;
        const bool is_second = d != pair * t.step;
        const float *const table = t.cos_sin + position * 2 * t.pairs;
        const float c = table[pair], s = table[t.pairs + pair];
        x = is_second ? x * c + held[place - t.apart] * s : x * c - held[place + t.apart] * s;
    }
    __syncthreads();
    return x;
}

/* Stores dimension d of row `row` of a span. */
template <enum sw_dtype format>
__device__ inline void put(const sw::cache &cache, const struct sw_gpu_span &span, int64_t row,
                           int kv_head, int d, float k, float v)
{
    typedef sw::element<format> element;
    typedef typename element::type type;
    const int64_t position = span.position + row;
    const int key = (int)(position % SW_KEY_BLOCK);
    char *const block =
        sw::head_of(cache, span.slot, kv_head) + position / SW_KEY_BLOCK * cache.block_bytes;
    type *const keys = (type *)(void *)block;
    type *const values = (type *)(void *)(block + cache.half_bytes);
    keys[sw::key_at<format>(d, key)] = element::store(k);
    if (!cache.value_dim)
        values[sw::value_at<format>(cache.head_dim, key, d)] = element::store(v);
    if (format != SW_BF16)
        return;
    /* The other half of a pair is set to 0 when nothing else stores it: beside an odd last
     * dimension, and for the next key, when this span has no row for it. */
    if (d == cache.head_dim - 1 && d % 2 == 0)
        keys[sw::key_at<format>(d + 1, key)] = 0;
    if (key % 2 == 0 && row + 1 == span.n && !cache.value_dim)
        values[sw::value_at<format>(cache.head_dim, key + 1, d)] = 0;
}

/* blockIdx.x: query heads, then KV heads; blockIdx.y strides over the rows of all spans. */
template <enum sw_dtype format, int threads>
__global__ void __launch_bounds__(threads) place(heads t)
{
    sw::await_previous();
    __shared__ float held[threads], scratch[threads / sw::warp_size];
    const int d = (int)threadIdx.x, head_dim = t.cache.head_dim;
    const bool there = d < head_dim, is_key = (int)blockIdx.x >= t.n_heads;
    const int head = (int)blockIdx.x - (is_key ? t.n_heads : 0);
    const float *const weights = is_key ? t.k_norm : t.q_norm;
    const float *const weight = weights ? weights + head * t.norm_step : weights;
    for (int64_t i = blockIdx.y; i < t.n_rows; i += gridDim.y) {
        int64_t row = i;
        const int s = sw::find_span(t.spans, t.n_spans, &row, span_rows());
        if (s < 0)
            return; /* all threads */
        const struct sw_gpu_span span = t.spans[s];
        const int64_t from = (span.row + row) * t.ld;
        const int64_t q_at = from + head * t.q_head + head / t.group * t.q_skip;
        const float *const at = is_key ? t.k + from + head * t.kv_head : t.q + q_at;
        const bool apart = t.q_rotary && !is_key && d >= t.first && d < t.first + 2 * t.pairs;
        float x = apart   ? t.q_rotary[from + head * t.q_rotary_head + d - t.first]
                  : there ? at[d]
                          : 0;
        float v = 0;
        if (is_key && there && !t.cache.value_dim)
            v = t.keys_as_values ? x : t.v[from + head * t.kv_head + d];
        if (is_key && t.v_norm)
            v = normed<threads>(v, there, head_dim, t.eps, false, t.v_norm, scratch);
        if (weight && !t.norm_last)
            x = normed<threads>(x, there, head_dim, t.eps, t.layer_norm, weight, scratch);
        if (t.pairs)
            x = rotated(x, t, span.position + row, held);
        if (weight && t.norm_last)
            x = normed<threads>(x, there, head_dim, t.eps, t.layer_norm, weight, scratch);
        if (!is_key && t.growth.slope > 0)
            x *= 1 + t.growth.slope *
                         logf(1 + (float)((span.position + row + t.growth.from) / t.growth.length));
        if (there && is_key)
            put<format>(t.cache, span, row, head, d, x, v);
        else if (there)
            t.q[q_at + d] = x;
    }
}

typedef void (*kernel)(heads);
#define FOR_WIDTHS(format)                                                                         \
    {                                                                                              \
        place<format, 64>, place<format, 128>, place<format, 256>, place<format, 1024>             \
    }
const kernel kernels[3][4] = {FOR_WIDTHS(SW_F32), FOR_WIDTHS(SW_F16), FOR_WIDTHS(SW_BF16)};

const sw::listed_kernels all(kernels);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_place_heads(const struct sw_gpu_heads *h, const struct sw_gpu_kv *kv,
                               const struct sw_gpu_batch *batch, cudaStream_t stream)
{
    const int format = sw::kv_format_row(kv->format);
    const int widths[] = {64, 128, 256, 1024};
    const int width = kv->head_dim <= 64    ? 0
                      : kv->head_dim <= 128 ? 1
                      : kv->head_dim <= 256 ? 2
                                            : 3;
    const int threads = widths[width];
    if (format < 0 || kv->head_dim > threads || h->rotary_first + h->rotary_dim > kv->head_dim)
        return cudaErrorInvalidValue;
    struct heads t = {};
    t.cache = sw::cache_of(kv);
    t.spans = batch->spans;
    t.n_spans = batch->n;
    for (int i = 0; i < batch->n; i++)
        t.n_rows += batch->host[i].n;
    t.q = h->q, t.k = h->k, t.v = h->v;
    t.ld = h->ld, t.q_head = h->q_head, t.q_skip = h->q_skip, t.kv_head = h->kv_head;
    t.group = h->n_heads > kv->n_kv_heads ? h->n_heads / kv->n_kv_heads : 1;
    t.q_norm = h->q_norm, t.k_norm = h->k_norm, t.v_norm = h->v_norm, t.eps = h->eps;
    t.cos_sin = h->cos_sin;
    t.q_rotary = h->q_rotary, t.q_rotary_head = h->q_rotary_head, t.first = h->rotary_first;
    t.pairs = h->rotary_dim / 2;
    t.step = h->interleaved ? 2 : 1;
    t.apart = h->interleaved ? 1 : t.pairs;
    t.norm_last = h->norm_last, t.layer_norm = h->layer_norm, t.norm_step = h->norm_step;
    t.keys_as_values = h->keys_as_values;
    t.growth = h->growth;
    t.n_heads =
        t.q_norm || t.pairs || t.growth.slope > 0 ? h->n_heads : 0; /* else queries do not change */
    if (t.n_rows == 0)
        return cudaSuccess;
    const int64_t most = 65535;
    SW_LAUNCH(
        kernels[format][width],
        dim3((unsigned)(t.n_heads + kv->n_kv_heads), (unsigned)(t.n_rows < most ? t.n_rows : most)),
        (unsigned)threads, 0, stream, t);
    return cudaGetLastError();
}
