/*
 * The table of element types: what a tensor in a file may hold, and the conversions of those that
 * weights are made from. KV caches have element types, too; what weights are kept in is another
 * table (tensor/format.h).
 */
#ifndef SW_TENSOR_DTYPE_H
#define SW_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_dtype {
    SW_F32,
    SW_F16,
    SW_BF16,
    SW_F64,
    SW_I64,
    SW_U64,
    SW_I32,
    SW_U32,
    SW_I16,
    SW_U16,
    SW_I8,
    SW_U8,
    SW_BOOL,
    SW_F8_E4M3,
    SW_F8_E5M2,
    SW_C64,
    SW_OTHER, /* legal in a file, of no use as a weight; only its size in bits is known */
    SW_DTYPE_COUNT
};

struct sw_dtype_info {
    const char *name;        /* as on our command line: "bf16" */
    const char *safetensors; /* "BF16" */
    unsigned bits;           /* of one element */
    bool is_float;           /* weights can be made from it */
};

/* Never NULL for a value of the enum. */
const struct sw_dtype_info *sw_dtype_info(enum sw_dtype dtype);
/* Of what a quantized format leaves alone, when the checkpoint holds `stored`: its 16-bit type,
 * else f16. */
static inline enum sw_dtype sw_dtype_unquantized(enum sw_dtype stored)
{
    return stored == SW_BF16 ? SW_BF16 : SW_F16;
}
/* By our name, any case. False: no such row. */
bool sw_dtype_by_name(const char *name, enum sw_dtype *dtype);

/* Exact conversions; rounding to nearest even, NaN stays NaN, overflow to infinity. */
float sw_f16_to_f32(uint16_t bits);
uint16_t sw_f32_to_f16(float value);
static inline float sw_bf16_to_f32(uint16_t bits)
{
    const union {
        uint32_t u;
        float f;
    } v = {(uint32_t)bits << 16}; /* u; C++17 has no names here */
    return v.f;
}
/* Of E4M3, which has no infinities: 0x7f and 0xff are NaN. */
float sw_e4m3_to_f32(uint8_t bits);
/* Rounds to nearest even; magnitudes above 448, the largest, become that; NaN stays NaN. */
uint8_t sw_f32_to_e4m3(float value);
/* Inline, without a branch: compilers make vector code of loops over it. */
static inline uint16_t sw_f32_to_bf16(float value)
{
    union {
        float f;
        uint32_t u;
    } v; /* C++17 has no names for members here */
    v.f = value;
    const uint32_t nan = (v.u >> 16) | 0x40, rounded = (v.u + 0x7fff + ((v.u >> 16) & 1)) >> 16;
    return (uint16_t)((v.u & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

/* Converts n elements of a float dtype (unaligned source allowed) to f32. */
void sw_dtype_to_f32(enum sw_dtype dtype, const void *src, int64_t n, float *dst);

#endif
