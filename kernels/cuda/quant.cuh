/* The form of quantized activations, which quant.cu makes and products read. */
#ifndef SW_KERNELS_CUDA_QUANT_CUH
#define SW_KERNELS_CUDA_QUANT_CUH

#include "kernels/cuda/device.cuh"

namespace sw
{

/* One after another in memory, each from a multiple of 16 bytes. */
struct quantized {
    int8_t *elements;   /* (n, row_bytes): 0 where there is an outlier */
    unsigned *outliers; /* (n, row_words): a bit a column */
    float *scales;      /* (n) */
    int64_t row_bytes;  /* columns, padded as the weights' are */
    int64_t row_words;
};

static inline size_t quantized_size(int64_t n, int64_t cols, int part)
{
    const int64_t bytes[3] = {n * row_elements(SW_INT8, cols), n * divide_up(cols, 32) * 4, n * 4};
    return (size_t)round_up(bytes[part], 16);
}

static inline struct quantized quantized_of(const void *x8, int64_t n, int64_t cols)
{
    char *const at = (char *)(uintptr_t)x8;
    struct quantized q;
    q.elements = (int8_t *)at;
    q.outliers = (unsigned *)(void *)(at + quantized_size(n, cols, 0));
    q.scales = (float *)(void *)(at + quantized_size(n, cols, 0) + quantized_size(n, cols, 1));
    q.row_bytes = row_elements(SW_INT8, cols);
    q.row_words = divide_up(cols, 32);
    return q;
}

/* Also for NaN: what is not finite stays as it is and shows in the result. */
static __device__ inline bool is_outlier(float x)
{
    return !(fabsf(x) <= SW_INT8_OUTLIER);
}

/*
 * The columns of a row, by a block: thread t has t, t + threads, … up to `cols`, each as f(k, i)
 * for its k-th, i. It has at most `held` of them, and the compiler knows each k, so that values[k]
 * is a register; 0: any number of them, k means nothing.
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

/* One row of `cols` columns, of which this block's threads know value(k, i) as above. A largest
 * magnitude is the same in any order. scratch: as block_max wants it. */
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
    /* Whole warps go on to the end, for the ballot. */
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

/* What an output is before bias, from the exact sum of bytes and the sum of outliers * elements. */
static __device__ inline float int8_value(int sum, float x_scale, float outlier_sum, float w_scale)
{
    return ((float)sum * x_scale + outlier_sum) * w_scale;
}

} // namespace sw

#endif
