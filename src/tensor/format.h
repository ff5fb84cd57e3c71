/*
 * Weight formats: what the matrices of a model can be kept in. A format is a row of a table, which
 * says how values become bytes and what the bytes mean: a line of SW_FORMATS and a file with its
 * struct sw_format. Every row needs kernels on each backend, and the tests loop over the table.
 *
 * A row of a matrix is a sequence of blocks, each of block_len elements in block_bytes bytes. What
 * belongs to one block alone (its scale, its zero point) lies in the block. A format can also have
 * one f32 scale for a whole row (row_scale); these lie behind the blocks of all rows
 * (tensor/layout.h), so that the blocks of int8 are its bare elements. Behind them lies a table of
 * numbers that belongs to the whole matrix, where blocks have places in one (table).
 *
 * Matrices, options and messages between ranks name a format by its id.
 */
#ifndef SW_TENSOR_FORMAT_H
#define SW_TENSOR_FORMAT_H

#include "base/status.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_FORMATS(X)                                                                              \
    X(F32, f32)                                                                                    \
    X(F16, f16)                                                                                    \
    X(BF16, bf16)                                                                                  \
    X(INT8, int8)                                                                                  \
    X(Q8_0, q8_0)                                                                                  \
    X(Q4_0, q4_0)                                                                                  \
    X(Q2_K, q2_k)                                                                                  \
    X(Q3_K, q3_k)                                                                                  \
    X(Q4_K, q4_k)                                                                                  \
    X(Q5_K, q5_k)                                                                                  \
    X(Q6_K, q6_k)                                                                                  \
    X(IQ4_XS, iq4_xs)                                                                              \
    X(NF4, nf4)                                                                                    \
    X(FP4, fp4)                                                                                    \
    X(FP8, fp8)                                                                                    \
    X(Q4_1, q4_1)                                                                                  \
    X(Q5_0, q5_0)                                                                                  \
    X(Q5_1, q5_1)                                                                                  \
    X(IQ4_NL, iq4_nl)                                                                              \
    X(MXFP4, mxfp4)                                                                                \
    X(INT4_G128, int4_g128)                                                                        \
    X(INT4_G32, int4_g32)                                                                          \
    X(INT8_G128, int8_g128)                                                                        \
    X(INT8_G32, int8_g32)                                                                          \
    X(NF4_NESTED, nf4_nested)                                                                      \
    X(FP4_NESTED, fp4_nested)                                                                      \
    X(INT2_G128, int2_g128)                                                                        \
    X(INT2_G32, int2_g32)                                                                          \
    X(INT3_G128, int3_g128)                                                                        \
    X(INT3_G32, int3_g32)

enum sw_format_id {
#define X(id, name) SW_FORMAT_##id,
    SW_FORMATS(X)
#undef X
        SW_FORMAT_COUNT,
    SW_FORMAT_NONE = SW_FORMAT_COUNT /* no format: left open, or there is none */
};

/* int8: elements of an activation of larger magnitude are multiplied in f32 (docs/formats.md). */
#define SW_INT8_OUTLIER 6.0f
/* A row whose absmax is below this counts as 0: 127 / absmax must be finite. */
#define SW_INT8_TINY 0x1p-100f
#define SW_TABLE_LEN 256 /* numbers of a matrix's table */

struct sw_format;

/* One row of values as a file has them. */
struct sw_values {
    const void *data;    /* element 0; any alignment */
    enum sw_dtype dtype; /* one that is_float */
    int64_t n;           /* elements */
    int64_t stride;      /* elements from one to the next */
    /* NULL; else `data` is blocks of this format without gaps, the last filled up, and then the
     * row's scale where the format has one; dtype is SW_F32, which they are decoded to, and stride
     * is 1. */
    const struct sw_format *blocks;
};

struct sw_format {
    const char *name;     /* as on the command line: "bf16" */
    int block_len;        /* elements of a block */
    unsigned block_bytes; /* bytes of a block */
    unsigned ggml_type;   /* its number in GGUF files; 0: they do not have it */
    bool row_scale;       /* each row has an f32 of its own: its scale, or offset of scales */
    enum sw_dtype dtype;  /* of values that are kept as they are; SW_OTHER: it is quantized, and
                           * only some weights can be kept in it */
    bool cpu_only;    /* GPUs have no kernels for it: plans leave them out where a weight has it */
    unsigned col_pad; /* columns are padded to a multiple of this, which block_len divides */
    int64_t max_cols; /* most columns of a matrix; 0: any number */
    /* (SW_TABLE_LEN) the numbers that bytes of blocks stand for, unless a file brings others; NULL:
     * blocks need none. */
    const float *table;
    /*
     * The definition of the format: n elements of a row as f32, whole blocks from the one at
     * `blocks` on. scale: the row's; not read where there is no row_scale.
     */
    void (*decode)(const void *blocks, float scale, int64_t n, float *out);
    /* The same by other numbers than `table`; NULL where there is none. */
    void (*decode_by)(const float *table, const void *blocks, float scale, int64_t n, float *out);
    /*
     * Encoding, in two steps, so that a row can be made in pieces. `measure` reads a whole row,
     * sets its scale and returns what `encode` wants to know of it; NULL: nothing, give 0. `encode`
     * makes elements [first, first + n), where a block begins at `first`; it writes the whole
     * blocks that they touch. Values that the format has already are copied bit for bit. encode is
     * NULL where weights can only come from a file that has this format.
     */
    float (*measure)(const struct sw_values *row, float *scale);
    void (*encode)(const struct sw_values *row, float measured, int64_t first, int64_t n,
                   void *blocks);
};

#define X(id, name) extern const struct sw_format sw_format_##name;
SW_FORMATS(X)
#undef X

/* The format of this number in GGUF files; NULL: none here. */
const struct sw_format *sw_format_of_ggml(unsigned type);

/* NULL for SW_FORMAT_NONE alone. */
const struct sw_format *sw_format_of(enum sw_format_id format);
/* SW_FORMAT_NONE for NULL, and for a format of files alone. */
enum sw_format_id sw_format_id_of(const struct sw_format *format);
/* By its name or one that its element type has, any case. False: there is none. */
bool sw_format_by_name(const char *name, enum sw_format_id *format);
/* The format that keeps such values as they are; SW_FORMAT_NONE: none does. */
enum sw_format_id sw_format_keeping(enum sw_dtype values);
static inline bool sw_format_is_quantized(enum sw_format_id format)
{
    return sw_format_of(format)->dtype == SW_OTHER;
}
/* What a quantized format leaves alone, as a format, when the checkpoint holds `stored`. */
static inline enum sw_format_id sw_format_unquantized(enum sw_dtype stored)
{
    return sw_format_keeping(sw_dtype_unquantized(stored));
}
/* The element type of a KV cache beside such weights, where nobody chose. */
static inline enum sw_dtype sw_format_kv(enum sw_format_id weights, enum sw_dtype stored)
{
    return sw_format_is_quantized(weights) ? sw_dtype_unquantized(stored)
                                           : sw_format_of(weights)->dtype;
}
/* Bits of an element, its block's other bytes shared out. */
static inline double sw_format_bits(enum sw_format_id format)
{
    const struct sw_format *f = sw_format_of(format);
    return 8.0 * f->block_bytes / f->block_len;
}
/* Bytes of n elements, of whole blocks. */
static inline size_t sw_format_bytes(enum sw_format_id format, int64_t n)
{
    const struct sw_format *f = sw_format_of(format);
    return (size_t)((n + f->block_len - 1) / f->block_len) * f->block_bytes;
}
/* SW_EMODEL when a matrix of `cols` columns in `format` cannot be made of such values. */
enum sw_status sw_format_check(enum sw_format_id format, enum sw_dtype values, int64_t cols);
/* As format->measure; a row that is of this format already keeps its scale. */
float sw_format_measure(const struct sw_format *format, const struct sw_values *row, float *scale);
/* As format->decode, of any number of elements. */
void sw_format_decode(const struct sw_format *format, const void *blocks, float scale, int64_t n,
                      float *out);
/* The same of a matrix with this table; NULL: the format's, if it has one. */
void sw_format_decode_by(const struct sw_format *format, const float *table, const void *blocks,
                         float scale, int64_t n, float *out);
/* As format->encode; blocks that are of this format already are copied. */
void sw_format_encode(const struct sw_format *format, const struct sw_values *row, float measured,
                      int64_t first, int64_t n, void *blocks);
/* Makes a whole row; scale: its scale, not written where the format has none. */
void sw_format_encode_row(const struct sw_format *format, const struct sw_values *row, void *blocks,
                          float *scale);

/* Bytes from a row of values to the next, where they are `stride` elements apart (those of a row of
 * blocks). */
int64_t sw_values_step(enum sw_dtype dtype, const struct sw_format *blocks, int64_t stride);
/* Copies values [first, first + n) of a row, which are no blocks, to `out`, contiguous, in their
 * own type. */
void sw_values_copy(const struct sw_values *row, int64_t first, int64_t n, void *out);
/* Converts values [first, first + n) of a row to f32. */
void sw_values_to_f32(const struct sw_values *row, int64_t first, int64_t n, float *out);

#endif
