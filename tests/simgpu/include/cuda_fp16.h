/* f16 as storage: exact conversions, no arithmetic (Spillway computes in f32). */
#ifndef SIMGPU_CUDA_FP16_H
#define SIMGPU_CUDA_FP16_H

typedef struct {
    unsigned short x;
} __half_raw;

#ifndef __cplusplus
typedef struct {
    unsigned short bits;
} __half;
#else
#include "simgpu_half.h"

struct alignas(2) __half {
    unsigned short bits;
    __half() = default;
    explicit __half(float f) : bits(simgpu::half_bits(f))
    {
    }
    __half(__half_raw raw) : bits(raw.x)
    {
    }
    operator float() const
    {
        return simgpu::half_value(bits);
    }
};
struct alignas(4) __half2 {
    __half x, y;
    __half2() = default;
    __half2(__half x_, __half y_) : x(x_), y(y_)
    {
    }
};
typedef __half half;
typedef __half2 half2;

static inline float __half2float(__half h)
{
    return simgpu::half_value(h.bits);
}
static inline __half __float2half_rn(float f)
{
    return __half(f);
}
static inline __half __float2half(float f)
{
    return __half(f);
}
static inline unsigned short __half_as_ushort(__half h)
{
    return h.bits;
}
static inline __half __ushort_as_half(unsigned short bits)
{
    __half h;
    h.bits = bits;
    return h;
}
static inline __half __short_as_half(short bits)
{
    return __ushort_as_half(static_cast<unsigned short>(bits));
}
static inline __half2 __halves2half2(__half a, __half b)
{
    return __half2(a, b);
}
static inline __half2 __floats2half2_rn(float a, float b)
{
    return __half2(__half(a), __half(b));
}
static inline float2 __half22float2(__half2 h)
{
    return {__half2float(h.x), __half2float(h.y)};
}
static inline __half __low2half(__half2 h)
{
    return h.x;
}
static inline __half __high2half(__half2 h)
{
    return h.y;
}
static inline float __low2float(__half2 h)
{
    return __half2float(h.x);
}
static inline float __high2float(__half2 h)
{
    return __half2float(h.y);
}
#endif
#endif
