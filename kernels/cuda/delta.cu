/*
 * Gated delta nets: the convolution, queries and keys of unit length, the recurrence token by
 * token, and the gated norm. A state's columns do not depend on each other: a block has 32 of a
 * head's, which it keeps in shared memory for all rows of a span, and a warp has a part of the
 * state's rows, whose sums are joined in order. So no bit depends on how rows were cut into calls.
 */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/kv.cuh"

namespace
{

/* The arguments of a call, without padding for the reason in attend.cuh. */
struct delta {
    struct sw_gpu_delta d;
    const struct sw_gpu_span *spans;
    int64_t n_rows;      /* of all spans */
    int64_t floats;      /* of a slot's state */
    int64_t channels;    /* of the convolution */
    int n_spans, of_key; /* value heads of a key head */
};

struct span_rows {
    __device__ inline int operator()(const struct sw_gpu_span &span) const
    {
        return span.n;
    }
};

/* As sw_delta_key_head and sw_delta_turn. */
__device__ inline int key_head(const delta &t, int head)
{
    return t.d.dims.turns ? head % t.d.dims.k_heads : head / t.of_key;
}
__device__ inline int turn(const delta &t, int head)
{
    return t.d.dims.turns ? head / t.d.dims.k_heads : head % t.of_key;
}

/* Where channel c of the convolution lies in a row. */
__device__ inline int64_t channel_at(const delta &t, int64_t c)
{
    const struct sw_delta_dims &dims = t.d.dims;
    const int64_t keys = (int64_t)dims.k_heads * dims.k_dim;
    if (c < 2 * keys) {
        const int64_t in = c % keys;
        return (c < keys ? t.d.q : t.d.k) + in / dims.k_dim * t.d.k_head + in % dims.k_dim;
    }
    const int64_t in = c - 2 * keys, head = in / dims.v_dim;
    return t.d.v + key_head(t, (int)head) * t.d.v_group + turn(t, (int)head) * t.d.v_head +
           in % dims.v_dim;
}

/* A thread has a channel of a span: from its last row to its first, in place. */
template <enum sw_activation kind> __global__ void convolve(delta t)
{
    sw::await_previous();
    const int64_t c = sw::this_column();
    if (c >= t.channels)
        return;
    const struct sw_gpu_span span = t.spans[blockIdx.y];
    const int window = t.d.dims.window, before = window - 1;
    float *const x = t.d.x + span.row * t.d.ld + channel_at(t, c);
    float *const kept = t.d.states + span.slot * t.floats + c;
    float taps[SW_DELTA_WINDOW], seen[SW_DELTA_WINDOW], last[SW_DELTA_WINDOW];
    const bool fresh = span.position == 0;
#define ROW(t_) ((t_) >= 0 ? x[(t_)*t.d.ld] : fresh ? 0.0f : kept[(before + (t_)) * t.channels])
#pragma unroll
    for (int i = 0; i < SW_DELTA_WINDOW; i++) {
        taps[i] = i < window ? t.d.conv[c * window + i] : 0;
        last[i] = seen[i] = i < before ? ROW((int64_t)span.n - before + i) : 0;
    }
    for (int64_t row = (int64_t)span.n - 1; row >= 0; row--) { /* seen: the rows up to `row` */
        float sum = 0;
#pragma unroll
        for (int i = SW_DELTA_WINDOW - 1; i > 0; i--)
            seen[i] = seen[i - 1];
        seen[0] = ROW(row - before);
#pragma unroll
        for (int i = 0; i < SW_DELTA_WINDOW; i++)
            sum += i < window ? taps[i] * seen[i] : 0;
        x[row * t.d.ld] = sw::act<kind>(sum);
    }
#undef ROW
#pragma unroll
    for (int i = 0; i < SW_DELTA_WINDOW; i++)
        if (i < before)
            kept[i * t.channels] = last[i];
}

/* A warp brings a query or a key to its length. blockIdx.x: query heads, then key heads. */
__global__ void unit(delta t)
{
    sw::await_previous();
    const struct sw_delta_dims &dims = t.d.dims;
    const bool is_key = (int)blockIdx.x >= dims.k_heads;
    const int head = (int)blockIdx.x - (is_key ? dims.k_heads : 0);
    for (int64_t i = blockIdx.y; i < t.n_rows; i += gridDim.y) {
        int64_t row = i;
        const int s = sw::find_span(t.spans, t.n_spans, &row, span_rows());
        if (s < 0)
            return; /* all threads */
        float *const x =
            t.d.x + (t.spans[s].row + row) * t.d.ld + (is_key ? t.d.k : t.d.q) + head * t.d.k_head;
        float squares = 0;
        for (int d = (int)threadIdx.x; d < dims.k_dim; d += sw::warp_size)
            squares += x[d] * x[d];
        squares = sw::warp_sum(squares);
        const float factor =
            1 / sqrtf(squares + SW_DELTA_EPS) * (is_key ? 1 : 1 / sqrtf((float)dims.k_dim));
        for (int d = (int)threadIdx.x; d < dims.k_dim; d += sw::warp_size)
            x[d] *= factor;
    }
}

constexpr int warps = 8, threads = warps * sw::warp_size, most_k = SW_DELTA_DIM;

/* The sum of what all warps have of each column, in order; `sums` may be used at once afterwards
 * by a call with another array only. */
__device__ inline float joined(float part, float (*sums)[sw::warp_size])
{
    float sum = 0;
    sums[sw::warp()][sw::lane()] = part;
    __syncthreads();
    for (int i = 0; i < warps; i++)
        sum += sums[i][sw::lane()];
    return sum;
}

/* blockIdx.x: value heads, of each its groups of 32 columns; blockIdx.y: spans. */
__global__ void __launch_bounds__(threads) recur(delta t)
{
    sw::await_previous();
    SW_SHARED_DYNAMIC(float, state); /* (k_dim, 32) */
    __shared__ float key[most_k], query[most_k];
    __shared__ float has[warps][sw::warp_size], gives[warps][sw::warp_size];
    const struct sw_delta_dims &dims = t.d.dims;
    const int groups = (int)sw::divide_up(dims.v_dim, sw::warp_size);
    const int head = (int)blockIdx.x / groups, group = key_head(t, head), in = turn(t, head);
    const int lane = sw::lane(), column = (int)blockIdx.x % groups * sw::warp_size + lane;
    const bool there = column < dims.v_dim;
    const struct sw_gpu_span span = t.spans[blockIdx.y];
    const int share = (int)sw::divide_up(dims.k_dim, warps), first = sw::warp() * share;
    const int end = first + share < dims.k_dim ? first + share : dims.k_dim;
    float *const kept = t.d.states + span.slot * t.floats + (dims.window - 1) * t.channels +
                        (int64_t)head * dims.k_dim * dims.v_dim + column;
    for (int i = first; i < end; i++) /* only this thread uses them */
        state[i * sw::warp_size + lane] =
            there && span.position > 0 ? kept[(int64_t)i * dims.v_dim] : 0;
    for (int64_t row = 0; row < span.n; row++) {
        const float *const x = t.d.x + (span.row + row) * t.d.ld;
        for (int i = (int)threadIdx.x; i < dims.k_dim; i += threads) {
            key[i] = x[t.d.k + group * t.d.k_head + i];
            query[i] = x[t.d.q + group * t.d.k_head + i];
        }
        const float a = x[t.d.a + group * t.d.gate_group + in * t.d.gate_head] + t.d.dt[head];
        const float decay = expf(t.d.decay[head] * (a > 20 ? a : log1pf(expf(a))));
        const float beta = 1 / (1 + expf(-x[t.d.b + group * t.d.gate_group + in * t.d.gate_head]));
        const float value = there ? x[t.d.v + group * t.d.v_group + in * t.d.v_head + column] : 0;
        float part = 0;
        __syncthreads();
        for (int i = first; i < end; i++)
            part += state[i * sw::warp_size + lane] * key[i];
        const float change = (value - decay * joined(part, has)) * beta;
        part = 0;
        for (int i = first; i < end; i++) {
            const float now = decay * state[i * sw::warp_size + lane] + key[i] * change;
            state[i * sw::warp_size + lane] = now;
            part += now * query[i];
        }
        const float out = joined(part, gives); /* and nobody needs key and query any more */
        if (there && sw::warp() == 0)
            t.d.out[(span.row + row) * t.d.out_ld + (int64_t)head * dims.v_dim + column] = out;
    }
    for (int i = first; i < end && there; i++)
        kept[(int64_t)i * dims.v_dim] = state[i * sw::warp_size + lane];
}

/* A block has a value head of a row: out = norm(out) * silu(z). */
constexpr int norm_threads = 128;
__global__ void __launch_bounds__(norm_threads) gated_norm(delta t)
{
    sw::await_previous();
    __shared__ float scratch[norm_threads / sw::warp_size];
    const int dim = t.d.dims.v_dim, head = (int)blockIdx.x;
    for (int64_t i = blockIdx.y; i < t.n_rows; i += gridDim.y) {
        int64_t row = i;
        const int s = sw::find_span(t.spans, t.n_spans, &row, span_rows());
        if (s < 0)
            return; /* all threads */
        const int64_t at = t.spans[s].row + row;
        float *const out = t.d.out + at * t.d.out_ld + (int64_t)head * dim;
        const float *const z = t.d.x + at * t.d.ld + t.d.z + key_head(t, head) * t.d.v_group +
                               turn(t, head) * t.d.v_head;
        float squares = 0;
        for (int d = (int)threadIdx.x; d < dim; d += norm_threads)
            squares += out[d] * out[d];
        const float scale =
            1 / sqrtf(sw::block_sum<norm_threads>(squares, scratch) / (float)dim + t.d.eps);
        for (int d = (int)threadIdx.x; d < dim; d += norm_threads)
            out[d] = out[d] * scale * t.d.norm[d] * sw::act<SW_ACT_SILU>(z[d]);
    }
}

__global__ void copy(const float *from, int64_t n, float *to)
{
    sw::await_previous();
    const int64_t i = sw::this_column();
    if (i < n)
        to[i] = from[i];
}

__global__ void gate(const float *gates, int64_t ld_gate, int64_t gate_head, int64_t n, int64_t all,
                     int64_t dim, float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column();
    if (col >= all)
        return;
    for (int64_t row = blockIdx.y; row < n; row += gridDim.y) {
        const float by = gates[row * ld_gate + col / dim * gate_head + col % dim];
        y[row * ld_y + col] = y[row * ld_y + col] / (1 + expf(-by));
    }
}

void (*const convolutions[])(delta) = {
    convolve<SW_ACT_RELU>, convolve<SW_ACT_GELU>,         convolve<SW_ACT_GELU_TANH>,
    convolve<SW_ACT_SILU>, convolve<SW_ACT_RELU_SQUARED>, convolve<SW_ACT_SILU_CLAMPED>};

const sw::listed_kernels all(convolutions, unit, recur, gated_norm, copy, gate);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_delta_run(const struct sw_gpu_delta *d, const struct sw_gpu_batch *batch,
                             cudaStream_t stream)
{
    const struct sw_delta_dims *dims = &d->dims;
    if (dims->k_dim > most_k || dims->window < 2 || dims->window > SW_DELTA_WINDOW)
        return cudaErrorInvalidValue;
    struct delta t = {};
    t.d = *d;
    t.spans = batch->spans;
    t.n_spans = batch->n;
    for (int i = 0; i < batch->n; i++)
        t.n_rows += batch->host[i].n;
    t.floats = sw_delta_floats(dims);
    t.channels = sw_delta_channels(dims);
    t.of_key = dims->v_heads / dims->k_heads;
    if (t.n_rows == 0)
        return cudaSuccess;
    const int64_t most = 65535;
    const unsigned rows = (unsigned)(t.n_rows < most ? t.n_rows : most), spans = (unsigned)batch->n;
    const unsigned groups = (unsigned)sw::divide_up(dims->v_dim, sw::warp_size);
    SW_LAUNCH(convolutions[d->activation],
              dim3((unsigned)sw::divide_up(t.channels, sw::column_threads), spans),
              sw::column_threads, 0, stream, t);
    SW_LAUNCH(unit, dim3(2 * (unsigned)dims->k_heads, rows), sw::warp_size, 0, stream, t);
    SW_LAUNCH(recur, dim3((unsigned)dims->v_heads * groups, spans), threads,
              (size_t)dims->k_dim * sw::warp_size * sizeof(float), stream, t);
    SW_LAUNCH(gated_norm, dim3((unsigned)dims->v_heads, rows), norm_threads, 0, stream, t);
    return cudaGetLastError();
}

cudaError_t sw_gpu_copy(const float *from, int64_t n, float *to, cudaStream_t stream)
{
    if (n == 0)
        return cudaSuccess;
    SW_LAUNCH(copy, sw::grid_of_rows(1, n), sw::column_threads, 0, stream, from, n, to);
    return cudaGetLastError();
}

cudaError_t sw_gpu_gate(const float *gates, int64_t ld_gate, int64_t gate_head, int64_t n,
                        int heads, int64_t dim, float *y, int64_t ld_y, cudaStream_t stream)
{
    if (n == 0)
        return cudaSuccess;
    SW_LAUNCH(gate, sw::grid_of_rows(n, heads * dim), sw::column_threads, 0, stream, gates, ld_gate,
              gate_head, n, heads * dim, dim, y, ld_y);
    return cudaGetLastError();
}
