/* Owns the table of weight formats, and the reading of rows of values that formats are made from.
 */
#include "tensor/format.h"

#include <string.h>

static const struct sw_format *const formats[SW_DTYPE_COUNT] = {
    [SW_F32] = &sw_format_f32,
    [SW_F16] = &sw_format_f16,
    [SW_BF16] = &sw_format_bf16,
    [SW_INT8] = &sw_format_int8,
};

const struct sw_format *sw_format_of(enum sw_dtype format)
{
    return formats[format];
}

enum sw_status sw_format_check(enum sw_dtype format, enum sw_dtype values, int64_t cols)
{
    const struct sw_format *f = formats[format];
    if (!f || !f->encode || !sw_dtype_info(values)->is_float)
        return sw_fail(SW_EMODEL, "%s values cannot be made into %s weights",
                       sw_dtype_info(values)->name, sw_dtype_info(format)->name);
    if (f->max_cols && cols > f->max_cols)
        return sw_fail(SW_EMODEL,
                       "a matrix of %lld columns cannot be %s: sums of more than %lld products "
                       "could overflow; use --weights f16 or bf16",
                       (long long)cols, f->name, (long long)f->max_cols);
    return SW_OK;
}

void sw_format_encode_row(const struct sw_format *format, const struct sw_values *row, void *blocks,
                          float *scale)
{
    const float measured = format->measure ? format->measure(row, scale) : 0;
    format->encode(row, measured, 0, row->n, blocks);
}

void sw_values_copy(const struct sw_values *row, int64_t first, int64_t n, void *out)
{
    const size_t size = sw_dtype_info(row->dtype)->bits / 8;
    const char *from = (const char *)row->data + first * row->stride * (int64_t)size;
    if (row->stride == 1) {
        memcpy(out, from, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out + (size_t)i * size, from + i * row->stride * (int64_t)size, size);
}

#define PIECE 256

void sw_values_to_f32(const struct sw_values *row, int64_t first, int64_t n, float *out)
{
    const size_t size = sw_dtype_info(row->dtype)->bits / 8;
    if (row->stride == 1) {
        sw_dtype_to_f32(row->dtype, (const char *)row->data + (size_t)first * size, n, out);
        return;
    }
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t part = n - done < PIECE ? n - done : PIECE;
        char side_by_side[PIECE * sizeof(double)];
        sw_values_copy(row, first + done, part, side_by_side);
        sw_dtype_to_f32(row->dtype, side_by_side, part, out + done);
    }
}
