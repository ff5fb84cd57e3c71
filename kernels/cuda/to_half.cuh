/*
 * Operands of GEMM in f16 or bf16. f16 has few exponents, so each row is multiplied by a power of
 * two that brings its largest magnitude into [2^14, 2^15). That is exact, nothing overflows, and
 * small elements keep as many digits as f16 has for them.
 */
#ifndef SW_KERNELS_CUDA_TO_HALF_CUH
#define SW_KERNELS_CUDA_TO_HALF_CUH

#include "kernels/cuda/element_rows.cuh"

namespace sw
{
namespace halves
{

constexpr int threads = 256;
constexpr int per_vector = cols_at_once; /* columns that a thread converts at a time: 16 bytes */

/* The exponent of the power of two to multiply by; 0 for zeros and values that are not finite. */
__device__ inline int scale_exponent(float largest)
{
    const int exponent = (int)(__float_as_uint(largest) >> 23 & 0xffu);
    if (largest == 0 || exponent == 255)
        return 0;
    const int wanted = 14 - (exponent - 127); /* subnormals count as 2^-127 */
    return wanted > 126 ? 126 : wanted;
}

template <enum sw_dtype half> __device__ inline uint4 pack(const float *values, float factor)
{
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        words[i] = (unsigned)element<half>::store(values[2 * i] * factor) |
                   (unsigned)element<half>::store(values[2 * i + 1] * factor) << 16;
    return make_uint4(words[0], words[1], words[2], words[3]);
}

/* A block for each row of R, a class like element_rows. If the range of f16 may be too small, the
 * row is read twice. A row that has a scale of its own keeps it, and needs no other. */
template <enum sw_dtype half, class R>
__global__ void __launch_bounds__(threads) to_half(R in, int64_t cols, uint4 *out, float *scale)
{
    sw::await_previous();
    __shared__ float scratch[threads / warp_size];
    const int64_t r = blockIdx.x, vectors = divide_up(cols, per_vector);
    int exponent = 0;
    float values[per_vector];
    if (!R::template fits<half>) {
        float largest = 0;
        for (int64_t v = threadIdx.x; v < vectors; v += threads) {
            in.load(r, v * per_vector, cols, values);
#pragma unroll
            for (int i = 0; i < per_vector; i++)
                largest = fmaxf(largest, fabsf(values[i]));
        }
        exponent = scale_exponent(block_max<threads>(largest, scratch));
    }
    if (threadIdx.x == 0)
        scale[r] = in.scales ? in.scales[r] : power_of_two(-exponent);
    const float factor = power_of_two(exponent);
    for (int64_t v = threadIdx.x; v < vectors; v += threads) {
        in.load(r, v * per_vector, cols, values);
        out[r * vectors + v] = pack<half>(values, factor);
    }
}

/* The table of a class of rows: to f16, to bf16. */
template <class R> struct to_half_kernels {
    typedef void (*kernel)(R, int64_t, uint4 *, float *);
    static constexpr kernel table[2] = {to_half<SW_F16, R>, to_half<SW_BF16, R>};
};

template <class R>
static inline cudaError_t launch_to_half(enum sw_dtype to, const R &in, int64_t cols, int64_t n,
                                         void *out, float *scale, cudaStream_t stream)
{
    if ((to != SW_F16 && to != SW_BF16) || !is_aligned(out, 16))
        return cudaErrorInvalidValue;
    SW_LAUNCH(to_half_kernels<R>::table[to == SW_BF16], (unsigned)n, threads, 0, stream, in, cols,
              (uint4 *)out, scale);
    return cudaGetLastError();
}

} // namespace halves
} // namespace sw

#endif
