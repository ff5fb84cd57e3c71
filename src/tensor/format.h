/*
 * Weight formats: what the matrices of a model can be kept in. A format is a row of a table, which
 * says how values become bytes and what the bytes mean. Every row needs kernels on each backend,
 * and the tests loop over the table.
 *
 * A row of a matrix is a sequence of blocks, each of block_len elements in block_bytes bytes. What
 * belongs to one block alone (its scale, its zero point) lies in the block. A format can also have
 * one f32 scale for a whole row (row_scale); these lie behind the blocks of all rows
 * (tensor/layout.h), so that the blocks of int8 are its bare elements.
 *
 * Formats are named by values of enum sw_dtype; SW_INT8 is one that no tensor of a file has.
 */
#ifndef SW_TENSOR_FORMAT_H
#define SW_TENSOR_FORMAT_H

#include "base/status.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* int8: elements of an activation of larger magnitude are multiplied in f32 (docs/formats.md). */
#define SW_INT8_OUTLIER 6.0f
/* A row whose absmax is below this counts as 0: 127 / absmax must be finite. */
#define SW_INT8_TINY 0x1p-100f

/* One row of values as a file has them. */
struct sw_values {
    const void *data;    /* element 0; any alignment */
    enum sw_dtype dtype; /* one that is_float */
    int64_t n;           /* elements */
    int64_t stride;      /* elements from one to the next */
};

struct sw_format {
    const char *name;     /* as on the command line: "bf16" */
    int block_len;        /* elements of a block */
    unsigned block_bytes; /* bytes of a block */
    bool row_scale;       /* each row has an f32 scale */
    bool quantized;       /* values are lost: only some weights can be kept in it */
    unsigned col_pad;     /* columns are padded to a multiple of this, which block_len divides */
    int64_t max_cols;     /* most columns of a matrix; 0: any number */
    /*
     * The definition of the format: elements [0, n) of a row as f32, from the block that element 0
     * begins. scale: the row's; not read where there is no row_scale.
     */
    void (*decode)(const void *blocks, float scale, int64_t n, float *out);
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

extern const struct sw_format sw_format_f32, sw_format_f16, sw_format_bf16, sw_format_int8;

/* NULL: this element type is no weight format. */
const struct sw_format *sw_format_of(enum sw_dtype format);
static inline bool sw_format_is_quantized(enum sw_dtype format)
{
    return sw_format_of(format) && sw_format_of(format)->quantized;
}
/* SW_EMODEL when a matrix of `cols` columns in `format` cannot be made of such values. */
enum sw_status sw_format_check(enum sw_dtype format, enum sw_dtype values, int64_t cols);
/* Makes a whole row; scale: its scale, not written where the format has none. */
void sw_format_encode_row(const struct sw_format *format, const struct sw_values *row, void *blocks,
                          float *scale);

/* Values [first, first + n) of a row side by side, as they are, and as f32. */
void sw_values_copy(const struct sw_values *row, int64_t first, int64_t n, void *out);
void sw_values_to_f32(const struct sw_values *row, int64_t first, int64_t n, float *out);

#endif
