/* Shared by all kernels: element types as floats, sums over warps and blocks, grids. */
#ifndef SW_KERNELS_CUDA_DEVICE_CUH
#define SW_KERNELS_CUDA_DEVICE_CUH

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/launch.cuh"

#include <cuda_fp16.h>
#include <math.h>

namespace sw
{

constexpr int warp_size = 32;
constexpr unsigned all_lanes = 0xffffffffu;

static __host__ __device__ inline int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static __host__ __device__ inline int64_t divide_up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static __device__ inline int lane()
{
    return (int)(threadIdx.x % warp_size);
}

static __device__ inline int warp()
{
    return (int)(threadIdx.x / warp_size);
}

/* ---- elements. bf16 is converted by its bits, because Turing has no arithmetic for it. */

static __device__ inline float bf16_to_float(unsigned bits)
{
    return __uint_as_float(bits << 16);
}

/* Rounds to nearest even; NaN stays NaN. The same as sw_f32_to_bf16. */
static __device__ inline uint16_t float_to_bf16(float value)
{
    const unsigned u = __float_as_uint(value);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static __device__ inline float f16_to_float(unsigned bits)
{
    return __half2float(__ushort_as_half((unsigned short)bits));
}

static __device__ inline uint16_t float_to_f16(float value)
{
    return __half_as_ushort(__float2half_rn(value));
}

/* 2^n, for n from -126 to 127. */
static __device__ inline float power_of_two(int n)
{
    return __uint_as_float((unsigned)(n + 127) << 23);
}

static __device__ inline float4 four(const float *p) /* p is aligned to 16 bytes */
{
    return *(const float4 *)(const void *)p;
}

/* Word i of a vector, which has 16 bytes. */
static __device__ inline unsigned word(const uint4 &v, int i)
{
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/*
 * An element type: its type in memory, the number of elements of a vector, and their conversion
 * to floats. The caller applies the scale of int8.
 */
template <enum sw_dtype format> struct element;

template <> struct element<SW_F32> {
    typedef float type;
    static constexpr int per_vector = 4;
    static __device__ inline float load(type bits)
    {
        return bits;
    }
    static __device__ inline type store(float value)
    {
        return value;
    }
    static __device__ inline void unpack(const uint4 &v, float *out)
    {
        for (int i = 0; i < 4; i++)
            out[i] = __uint_as_float(word(v, i));
    }
};

/* f16 and bf16: a word has two, the first in its low half. */
template <enum sw_dtype format> struct element_of_16_bits {
    typedef uint16_t type;
    static constexpr int per_vector = 8;
    static __device__ inline float load(unsigned bits)
    {
        return format == SW_F16 ? f16_to_float(bits) : bf16_to_float(bits);
    }
    static __device__ inline type store(float value)
    {
        return format == SW_F16 ? float_to_f16(value) : float_to_bf16(value);
    }
    static __device__ inline void unpack(const uint4 &v, float *out)
    {
        for (int i = 0; i < 4; i++) {
            out[2 * i] = load(word(v, i) & 0xffffu);
            out[2 * i + 1] = load(word(v, i) >> 16);
        }
    }
};
template <> struct element<SW_F16> : element_of_16_bits<SW_F16> {
};
template <> struct element<SW_BF16> : element_of_16_bits<SW_BF16> {
};

template <> struct element<SW_I8> {
    typedef int8_t type;
    static constexpr int per_vector = 16;
    static __device__ inline float load(type bits)
    {
        return (float)bits;
    }
    static __device__ inline void unpack(const uint4 &v, float *out)
    {
        for (int i = 0; i < 16; i++)
            out[i] = (float)(int8_t)(word(v, i / 4) >> i % 4 * 8 & 0xffu);
    }
};

/* ---- sums in a fixed order: lanes 16 apart first; every lane gets the result */

template <int of>
static __device__ inline float sum_over(float x) /* of so many neighbouring threads */
{
    for (int apart = of / 2; apart; apart /= 2)
        x += __shfl_xor_sync(all_lanes, x, apart);
    return x;
}

template <int of> static __device__ inline float max_over(float x)
{
    for (int apart = of / 2; apart; apart /= 2)
        x = fmaxf(x, __shfl_xor_sync(all_lanes, x, apart));
    return x;
}

static __device__ inline float warp_sum(float x)
{
    return sum_over<warp_size>(x);
}

static __device__ inline int warp_sum(int x)
{
    for (int apart = warp_size / 2; apart; apart /= 2)
        x += __shfl_xor_sync(all_lanes, x, apart);
    return x;
}

static __device__ inline float warp_max(float x)
{
    return max_over<warp_size>(x);
}

/* Over a block of `threads`. scratch: (threads / 32) in shared memory; no thread may use it at the
 * call, and all may at the return. */
template <int threads> static __device__ inline float block_sum(float x, float *scratch)
{
    x = warp_sum(x);
    if (lane() == 0)
        scratch[warp()] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < threads / warp_size; i++)
        x += scratch[i];
    __syncthreads();
    return x;
}

template <int threads> static __device__ inline float block_max(float x, float *scratch)
{
    x = warp_max(x);
    if (lane() == 0)
        scratch[warp()] = x;
    __syncthreads();
    x = scratch[0];
    for (int i = 1; i < threads / warp_size; i++)
        x = fmaxf(x, scratch[i]);
    __syncthreads();
    return x;
}

/* ---- grids */

/* Columns over blocks in x, rows over y. Kernels stride over rows, because y is limited. */
constexpr int column_threads = 256;
static inline dim3 grid_of_rows(int64_t n, int64_t dim)
{
    const int64_t most = 65535;
    return dim3((unsigned)divide_up(dim, column_threads), (unsigned)(n < most ? n : most));
}

static __device__ inline int64_t this_column()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static inline bool is_aligned(const void *p, size_t bytes)
{
    return (uintptr_t)p % bytes == 0;
}

/* ---- four columns a thread: with one column, large inputs have so many blocks that starting them
 * takes longer than memory */

/* Whether every four columns of the rows are an aligned vector. */
static inline bool is_in_fours(const float *p, int64_t dim, int64_t ld)
{
    return dim % 4 == 0 && ld % 4 == 0 && is_aligned(p, 16);
}

/* Loads four columns; only the first n exist, and the others become 0. */
template <bool whole> static __device__ inline void load_four(const float *p, int64_t n, float *out)
{
    if (whole) {
        const float4 v = four(p);
        out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            out[i] = i < n ? p[i] : 0.0f;
    }
}

template <bool whole>
static __device__ inline void store_four(float *p, int64_t n, const float *values)
{
    if (whole) {
        *(float4 *)(void *)p = make_float4(values[0], values[1], values[2], values[3]);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < n)
                p[i] = values[i];
    }
}

} // namespace sw

#endif
