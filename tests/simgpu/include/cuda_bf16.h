/* bf16 as storage. Turing has no bf16 arithmetic, so kernels shift bits; these are for hosts. */
#ifndef SIMGPU_CUDA_BF16_H
#define SIMGPU_CUDA_BF16_H

#ifndef __cplusplus
typedef struct {
    unsigned short bits;
} __nv_bfloat16;
#else
#include <cstdint>
#include <cstring>

struct alignas(2) __nv_bfloat16 {
    unsigned short bits;
};
static inline float __bfloat162float(__nv_bfloat16 b)
{
    const uint32_t bits = static_cast<uint32_t>(b.bits) << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return {0x7fff};
    bits += 0x7fff + (bits >> 16 & 1);
    return {static_cast<unsigned short>(bits >> 16)};
}
static inline __nv_bfloat16 __float2bfloat16(float f)
{
    return __float2bfloat16_rn(f);
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b)
{
    return b.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return {bits};
}
#endif
#endif
