/*
 * Arithmetic that CUDA has and C++ has not. The fast forms (__expf, …) are the exact ones here: a
 * real GPU differs in the last bits. Some are macros because the C library owns these names.
 */
#ifndef SIMGPU_MATH_H
#define SIMGPU_MATH_H

#include "vector_types.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <math.h>

#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __powf(x, y) powf(x, y)
#define __fdividef(a, b) ((a) / (b))
#define __frcp_rn(x) (1.0f / (x))
#define __fsqrt_rn(x) sqrtf(x)
#define __fadd_rn(a, b) ((a) + (b))
#define __fsub_rn(a, b) ((a) - (b))
#define __fmul_rn(a, b) ((a) * (b))
#define __fdiv_rn(a, b) ((a) / (b))
#define __fmaf_rn(a, b, c) fmaf(a, b, c)

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
static inline float __saturatef(float x)
{
    return x >= 0 ? (x > 1 ? 1.0f : x) : 0.0f; /* NaN gives 0 */
}
static inline int __float_as_int(float x)
{
    int i;
    memcpy(&i, &x, sizeof i);
    return i;
}
static inline unsigned __float_as_uint(float x)
{
    return static_cast<unsigned>(__float_as_int(x));
}
static inline float __int_as_float(int i)
{
    float x;
    memcpy(&x, &i, sizeof x);
    return x;
}
static inline float __uint_as_float(unsigned i)
{
    return __int_as_float(static_cast<int>(i));
}
/* Out of range saturates and NaN gives 0 on the device; a host cast would be undefined. */
static inline int simgpu_to_int(float x)
{
    return x >= 2147483648.0f    ? INT32_MAX
           : x > -2147483648.0f  ? static_cast<int>(x)
           : x <= -2147483648.0f ? INT32_MIN
                                 : 0;
}
static inline int __float2int_rn(float x)
{
    return simgpu_to_int(rintf(x));
}
static inline int __float2int_rz(float x)
{
    return simgpu_to_int(truncf(x));
}
static inline int __float2int_rd(float x)
{
    return simgpu_to_int(floorf(x));
}
static inline int __float2int_ru(float x)
{
    return simgpu_to_int(ceilf(x));
}
static inline float __int2float_rn(int x)
{
    return static_cast<float>(x);
}
static inline float __uint2float_rn(unsigned x)
{
    return static_cast<float>(x);
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
/* Bytes of the 8-byte value y:x, picked by the nibbles of `pick`; a nibble's bit 3 spreads the
 * sign. */
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned pick)
{
    const uint64_t both = static_cast<uint64_t>(y) << 32 | x;
    unsigned out = 0;
    for (unsigned i = 0; i < 4; i++) {
        const unsigned nibble = pick >> (4 * i);
        unsigned byte = static_cast<unsigned>(both >> (8 * (nibble & 7))) & 255;
        if (nibble & 8)
            byte = byte & 128 ? 255 : 0;
        out |= byte << (8 * i);
    }
    return out;
}
static inline int __dp4a(int a, int b, int c)
{
    unsigned sum = static_cast<unsigned>(c);
    for (int i = 0; i < 4; i++) {
        const int x = static_cast<int8_t>(a >> 8 * i), y = static_cast<int8_t>(b >> 8 * i);
        sum += static_cast<unsigned>(x * y);
    }
    return static_cast<int>(sum);
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 4; i++)
        c += (a >> 8 * i & 255) * (b >> 8 * i & 255);
    return c;
}

template <class T> T __ldg(const T *p)
{
    return *p;
}
template <class T> T __ldcs(const T *p)
{
    return *p;
}
template <class T> T __ldcg(const T *p)
{
    return *p;
}
template <class T> void __stcs(T *p, T v)
{
    *p = v;
}
template <class T> void __stcg(T *p, T v)
{
    *p = v;
}

#define SIMGPU_MIN_MAX(T)                                                                          \
    static inline T min(T a, T b)                                                                  \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline T max(T a, T b)                                                                  \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
SIMGPU_MIN_MAX(int)
SIMGPU_MIN_MAX(unsigned)
SIMGPU_MIN_MAX(long)
SIMGPU_MIN_MAX(unsigned long)
SIMGPU_MIN_MAX(long long)
SIMGPU_MIN_MAX(unsigned long long)
#undef SIMGPU_MIN_MAX
static inline float min(float a, float b)
{
    return fminf(a, b);
}
static inline float max(float a, float b)
{
    return fmaxf(a, b);
}

#endif
