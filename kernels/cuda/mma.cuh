/* The product of tensor cores in f16 with f32 sums, which all GPUs from Turing on have. */
#ifndef SW_KERNELS_CUDA_MMA_CUH
#define SW_KERNELS_CUDA_MMA_CUH

#include "kernels/cuda/launch.cuh"

#include <cuda_fp16.h>

namespace sw
{

/*
 * A warp computes sums += a·b: (16, 16) times (16, 8). Lane 4 g + t has pairs, the first one in the
 * low half:
 *   a[0..3]     row g, g + 8, g, g + 8; columns 2 t, 2 t, 2 t + 8, 2 t + 8 and the next
 *   b[0..1]     rows 2 t, 2 t + 8 and the next; column g
 *   sums[0..3]  row g, g, g + 8, g + 8; columns 2 t, 2 t + 1, 2 t, 2 t + 1
 * (PTX ISA, mma.m16n8k16. Turing has m16n8k8, whose fragments are the halves of these.)
 */
static __device__ inline void multiply(float sums[4], const unsigned a[4], const unsigned b[2])
{
#ifdef SW_SIMGPU
    simgpu_mma_m16n8k16(sums, a, b);
#elif __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
    for (int i = 0; i < 2; i++)
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
            "{%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
#endif
}

/* Two floats as pairs of f16, the first in the low half: `high` is rounded, `low` is the rest, 22
 * bits together. */
struct split {
    unsigned high, low;
};

static __device__ inline unsigned bits_of(const __half2 &pair)
{
    return (unsigned)__half_as_ushort(__low2half(pair)) |
           (unsigned)__half_as_ushort(__high2half(pair)) << 16;
}

static __device__ inline split split_pair(float x, float y)
{
    const __half2 high = __floats2half2_rn(x, y);
    const float2 kept = __half22float2(high);
    return {bits_of(high), bits_of(__floats2half2_rn(x - kept.x, y - kept.y))};
}

} // namespace sw

#endif
