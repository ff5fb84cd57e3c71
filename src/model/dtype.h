/*
 * The table of element types: what a tensor in a file may hold, and what weights may be kept in. A
 * weight format is a row whose `is_weight` is set; it needs a kernel on each backend, and the tests
 * loop over the table. One that is `is_float` too keeps the values themselves; the others
 * (quantized ones) are made from them when weights are loaded, with a scale for each row of a
 * matrix, and no tensor of a file has them.
 */
#ifndef SW_MODEL_DTYPE_H
#define SW_MODEL_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_dtype {
    SW_F32,
    SW_F16,
    SW_BF16,
    SW_INT8, /* LLM.int8(): weight = element * scale of its row */
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

/* Columns are padded to multiples of these. */
#define SW_COL_PAD 2      /* f32, f16, bf16 */
#define SW_COL_PAD_INT8 4 /* int8 */

/* int8: elements of an activation of larger magnitude are multiplied in f32 (docs/formats.md). */
#define SW_INT8_OUTLIER 6.0f
/* A row whose absmax is below this counts as 0: 127 / absmax must be finite. */
#define SW_INT8_TINY 0x1p-100f
/* Most columns of an int8 matrix: sums of 127 * 127 stay below 2^31. */
#define SW_INT8_COLS (1 << 17)

struct sw_dtype_info {
    const char *name;        /* as on our command line: "bf16" */
    const char *safetensors; /* "BF16"; NULL: not in files */
    unsigned bits;           /* of one element */
    bool is_float;           /* can be converted to a weight format */
    bool is_weight;          /* can be asked for with --weights and has kernels */
    /* Of a matrix in a weight format: columns are padded to a multiple of col_pad, and behind the
     * elements lie scale_bytes for each (padded) row. */
    unsigned col_pad, scale_bytes;
};

/* Never NULL for a value of the enum. */
const struct sw_dtype_info *sw_dtype_info(enum sw_dtype dtype);
/* Weights in it have scales, and only some of them can be kept in it (sw_weight_format). */
static inline bool sw_dtype_is_quantized(enum sw_dtype dtype)
{
    return sw_dtype_info(dtype)->is_weight && !sw_dtype_info(dtype)->is_float;
}
/* What the others are kept in when the checkpoint holds `stored`: its 16-bit type, else f16. */
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
uint16_t sw_f32_to_bf16(float value);

/* Converts n elements of a float dtype (unaligned source allowed) to f32. */
void sw_dtype_to_f32(enum sw_dtype dtype, const void *src, int64_t n, float *dst);

#endif
