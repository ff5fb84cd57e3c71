/* Owns the element types and the scalar conversions between them. */
#include "tensor/dtype.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const struct sw_dtype_info infos[SW_DTYPE_COUNT] = {
    [SW_F32] = {"f32", "F32", 32, true},
    [SW_F16] = {"f16", "F16", 16, true},
    [SW_BF16] = {"bf16", "BF16", 16, true},
    [SW_F64] = {"f64", "F64", 64, true},
    [SW_I64] = {"i64", "I64", 64, false},
    [SW_U64] = {"u64", "U64", 64, false},
    [SW_I32] = {"i32", "I32", 32, false},
    [SW_U32] = {"u32", "U32", 32, false},
    [SW_I16] = {"i16", "I16", 16, false},
    [SW_U16] = {"u16", "U16", 16, false},
    [SW_I8] = {"i8", "I8", 8, false},
    [SW_U8] = {"u8", "U8", 8, false},
    [SW_BOOL] = {"bool", "BOOL", 8, false},
    [SW_F8_E4M3] = {"f8_e4m3", "F8_E4M3", 8, false},
    [SW_F8_E5M2] = {"f8_e5m2", "F8_E5M2", 8, false},
    [SW_C64] = {"c64", "C64", 64, false},
    [SW_OTHER] = {"other", "?", 8, false},
};

const struct sw_dtype_info *sw_dtype_info(enum sw_dtype dtype)
{
    return &infos[dtype];
}

bool sw_dtype_by_name(const char *name, enum sw_dtype *dtype)
{
    static const struct {
        const char *alias, *name;
    } aliases[] = {{"float32", "f32"}, {"fp32", "f32"},      {"float16", "f16"}, {"fp16", "f16"},
                   {"half", "f16"},    {"bfloat16", "bf16"}, {"float", "f32"}};
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcasecmp(name, aliases[i].alias) == 0)
            name = aliases[i].name;
    for (int i = 0; i < SW_DTYPE_COUNT; i++)
        if (strcasecmp(name, infos[i].name) == 0) {
            *dtype = (enum sw_dtype)i;
            return true;
        }
    return false;
}

static float float_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

float sw_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31,
                   mantissa = h & 1023;
    if (exponent == 31)
        return float_of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0)
        return float_of_bits(sign | bits_of_float((float)mantissa * 0x1p-24f));
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t sw_f32_to_f16(float value)
{
    const uint32_t u = bits_of_float(value), sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* subnormal: let the adder round */
        const float shifted = float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of_float(shifted) - 0x3f000000));
    }
    const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    return (uint16_t)(sign | ((rounded >> 13) - (112 << 10)));
}

float sw_e4m3_to_f32(uint8_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x80) << 24, exponent = (bits >> 3) & 15,
                   mantissa = bits & 7;
    if ((bits & 0x7f) == 0x7f)
        return float_of_bits(sign | 0x7fc00000);
    if (exponent == 0)
        return float_of_bits(sign | bits_of_float((float)mantissa * 0x1p-9f));
    return float_of_bits(sign | (exponent + 120) << 23 | mantissa << 20);
}

uint8_t sw_f32_to_e4m3(float value)
{
    const uint32_t u = bits_of_float(value), sign = (u >> 24) & 0x80, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint8_t)(sign | 0x7f);
    if (magnitude >= 0x43e00000) /* 448 */
        return (uint8_t)(sign | 0x7e);
    if (magnitude < 0x3c800000) { /* subnormal: let the adder round to multiples of 2^-9 */
        const float shifted = float_of_bits(magnitude) + 0x1p14f;
        return (uint8_t)(sign | (bits_of_float(shifted) - 0x46800000));
    }
    const uint32_t rounded = magnitude + 0x7ffff + ((magnitude >> 20) & 1);
    return (uint8_t)(sign | ((rounded >> 20) - (120 << 3)));
}

/* As sw_f16_to_f32, without a branch: loops over it become vector code. */
static inline float widened_f16(uint16_t h)
{
    const uint32_t magnitude = h & 0x7fff, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    const uint32_t subnormal = bits_of_float((float)(int32_t)magnitude * 0x1p-24f);
    const uint32_t above = magnitude << 13 | 0x7f800000;
    return float_of_bits(sign | (magnitude < 0x400    ? subnormal
                                 : magnitude < 0x7c00 ? normal
                                                      : above));
}

void sw_dtype_to_f32(enum sw_dtype dtype, const void *src, int64_t n, float *dst)
{
    const unsigned char *at = src;
    uint16_t h;
    double d;
    switch (dtype) {
    case SW_F32:
        memcpy(dst, src, (size_t)n * sizeof *dst);
        return;
    case SW_F64:
        for (int64_t i = 0; i < n; i++) {
            memcpy(&d, at + 8 * i, sizeof d);
            dst[i] = (float)d;
        }
        return;
    case SW_F16:
        for (int64_t i = 0; i < n; i++) {
            memcpy(&h, at + 2 * i, sizeof h);
            dst[i] = widened_f16(h);
        }
        return;
    default:
        for (int64_t i = 0; i < n; i++) {
            memcpy(&h, at + 2 * i, sizeof h);
            dst[i] = sw_bf16_to_f32(h);
        }
    }
}
