/* The layout of quantized activations, which quant.cu and norm.cu write and products read. */
#ifndef SW_KERNELS_CUDA_QUANT_CUH
#define SW_KERNELS_CUDA_QUANT_CUH

#include "kernels/cuda/device.cuh"

namespace sw
{

/* The parts are contiguous in this order, each at a multiple of 16 bytes. */
struct quantized {
    int8_t *elements;   /* (n, row_bytes): an outlier is 0 */
    unsigned *outliers; /* (n, row_words): a bit for each column */
    float *scales;      /* (n) */
    int64_t row_bytes;  /* columns, padded like the weights' */
    int64_t row_words;
};

/* Columns as int8's col_pad pads the weights': whole words. */
static inline int64_t bytes_of_row(int64_t cols)
{
    return round_up(cols, 4);
}

static inline size_t quantized_size(int64_t n, int64_t cols, int part)
{
    const int64_t bytes[3] = {n * bytes_of_row(cols), n * divide_up(cols, 32) * 4, n * 4};
    return (size_t)round_up(bytes[part], 16);
}

static inline struct quantized quantized_of(const void *x8, int64_t n, int64_t cols)
{
    char *const at = (char *)(uintptr_t)x8;
    struct quantized q;
    q.elements = (int8_t *)at;
    q.outliers = (unsigned *)(void *)(at + quantized_size(n, cols, 0));
    q.scales = (float *)(void *)(at + quantized_size(n, cols, 0) + quantized_size(n, cols, 1));
    q.row_bytes = bytes_of_row(cols);
    q.row_words = divide_up(cols, 32);
    return q;
}

/* From a row on. */
static inline struct quantized from_row(struct quantized q, int64_t row)
{
    q.elements += row * q.row_bytes;
    q.outliers += row * q.row_words;
    q.scales += row;
    return q;
}

/* True for NaN and infinity, too, so that they stay in the result. */
static __device__ inline bool is_outlier(float x)
{
    return !(fabsf(x) <= SW_INT8_OUTLIER);
}

/*
 * Calls f(k, i) for the columns of a row, shared out to the threads of a block: thread t has
 * columns t, t + threads, … below `cols`, and column i is its k-th. With held > 0 a thread has at
 * most `held` columns, and the compiler knows each k, so values[k] can be a register. With 0 it may
 * have any number, and k is always 0.
 */
template <int threads, int held, class F>
static __device__ inline void for_columns(int64_t cols, F f)
{
    constexpr int64_t step = threads;
#pragma unroll
    for (int k = 0; k < held; k++)
        if (threadIdx.x + k * step < cols)
            f(k, threadIdx.x + k * step);
    if (!held)
#pragma unroll 8
        for (int64_t i = threadIdx.x; i < cols; i += step)
            f(0, i);
}

/* Quantizes one row of `cols` columns; value(k, i) as in for_columns. scratch: as for block_max.
 * The largest magnitude does not depend on the order. */
template <int threads, int held, class Value>
static __device__ inline void quantize_row(const quantized &q, int64_t row, int64_t cols,
                                           float *scratch, Value value)
{
    float largest = 0;
    for_columns<threads, held>(cols, [&](int k, int64_t i) {
        const float x = value(k, i);
        largest = fmaxf(largest, is_outlier(x) ? 0.0f : fabsf(x));
    });
    largest = block_max<threads>(largest, scratch);
    const float scale = largest < SW_INT8_TINY ? 0 : 127 / largest;
    if (threadIdx.x == 0)
        q.scales[row] = largest < SW_INT8_TINY ? 0 : largest / 127;
    /* Rounded up to whole warps, for the ballot. */
    for_columns<threads, held>(round_up(q.row_bytes, warp_size), [&](int k, int64_t i) {
        const float x = i < cols ? value(k, i) : 0;
        const bool out = is_outlier(x);
        const unsigned mask = __ballot_sync(all_lanes, out);
        if (lane() == 0 && i < cols)
            q.outliers[row * q.row_words + i / 32] = mask;
        if (i < q.row_bytes)
            q.elements[row * q.row_bytes + i] = out ? 0 : (int8_t)__float2int_rn(x * scale);
    });
}

/* An output before the bias, from the exact sum of bytes and the sum of outliers * elements. */
static __device__ inline float int8_value(int sum, float x_scale, float outlier_sum, float w_scale)
{
    return ((float)sum * x_scale + outlier_sum) * w_scale;
}

} // namespace sw

#endif
