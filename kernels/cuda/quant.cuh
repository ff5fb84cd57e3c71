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

/* What an output is before bias, from the exact sum of bytes and the sum of outliers * elements. */
static __device__ inline float int8_value(int sum, float x_scale, float outlier_sum, float w_scale)
{
    return ((float)sum * x_scale + outlier_sum) * w_scale;
}

} // namespace sw

#endif
