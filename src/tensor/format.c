/* Owns the table of weight formats, and the reading of rows of values that formats are made from.
 */
#include "tensor/format.h"

#include <string.h>
#include <strings.h>

static const struct sw_format *const formats[SW_FORMAT_COUNT + 1] = {
#define X(id, name) [SW_FORMAT_##id] = &sw_format_##name,
    SW_FORMATS(X)
#undef X
};

const struct sw_format *sw_format_of(enum sw_format_id format)
{
    return formats[format];
}

enum sw_format_id sw_format_id_of(const struct sw_format *format)
{
    int i = 0;
    while (i < SW_FORMAT_COUNT && formats[i] != format)
        i++;
    return (enum sw_format_id)i;
}

const struct sw_format *sw_format_of_ggml(unsigned type)
{
    static const struct sw_format *const all[] = {
#define X(id, name) &sw_format_##name,
        SW_FORMATS(X)
#undef X
    };
    for (size_t i = 0; type != 0 && i < sizeof all / sizeof all[0]; i++)
        if (all[i]->ggml_type == type)
            return all[i];
    return NULL;
}

enum sw_format_id sw_format_keeping(enum sw_dtype values)
{
    int i = 0;
    while (i < SW_FORMAT_COUNT && (values == SW_OTHER || formats[i]->dtype != values))
        i++;
    return (enum sw_format_id)i;
}

bool sw_format_by_name(const char *name, enum sw_format_id *format)
{
    enum sw_dtype dtype;
    for (int i = 0; i < SW_FORMAT_COUNT; i++)
        if (strcasecmp(name, formats[i]->name) == 0) {
            *format = (enum sw_format_id)i;
            return true;
        }
    if (!sw_dtype_by_name(name, &dtype) || sw_format_keeping(dtype) == SW_FORMAT_NONE)
        return false;
    *format = sw_format_keeping(dtype);
    return true;
}

enum sw_status sw_format_check(enum sw_format_id format, enum sw_dtype values, int64_t cols)
{
    const struct sw_format *f = formats[format];
    if (!f->encode || !sw_dtype_info(values)->is_float)
        return sw_fail(SW_EMODEL, "%s values cannot be made into %s weights",
                       sw_dtype_info(values)->name, f->name);
    if (f->max_cols && cols > f->max_cols)
        return sw_fail(SW_EMODEL,
                       "a matrix of %lld columns cannot be %s: sums of more than %lld products "
                       "could overflow; use --weights f16 or bf16",
                       (long long)cols, f->name, (long long)f->max_cols);
    return SW_OK;
}

int64_t sw_values_step(enum sw_dtype dtype, const struct sw_format *blocks, int64_t stride)
{
    if (!blocks)
        return stride * (int64_t)(sw_dtype_info(dtype)->bits / 8);
    const int64_t n = (stride + blocks->block_len - 1) / blocks->block_len;
    return n * (int64_t)blocks->block_bytes + (blocks->row_scale ? (int64_t)sizeof(float) : 0);
}

/* Blocks from the one that element `first` begins. */
static const char *values_block(const struct sw_values *row, int64_t first)
{
    const struct sw_format *f = row->blocks;
    return (const char *)row->data + first / f->block_len * (int64_t)f->block_bytes;
}

/* Of a row of blocks; 1 where their format has none. */
static float values_scale(const struct sw_values *row)
{
    float scale = 1;
    if (row->blocks->row_scale)
        memcpy(&scale,
               (const char *)row->data + sw_values_step(row->dtype, row->blocks, row->n) -
                   sizeof scale,
               sizeof scale);
    return scale;
}

float sw_format_measure(const struct sw_format *format, const struct sw_values *row, float *scale)
{
    if (row->blocks != format)
        return format->measure ? format->measure(row, scale) : 0;
    if (format->row_scale)
        *scale = values_scale(row);
    return 0;
}

#define MOST_BLOCK 256 /* elements of a block */

/* Whole blocks. */
static void format_decode(const struct sw_format *format, const float *table, const void *blocks,
                          float scale, int64_t n, float *out)
{
    if (table && format->decode_by)
        format->decode_by(table, blocks, scale, n, out);
    else
        format->decode(blocks, scale, n, out);
}

void sw_format_decode_by(const struct sw_format *format, const float *table, const void *blocks,
                         float scale, int64_t n, float *out)
{
    float last[MOST_BLOCK];
    const int64_t rest = n % format->block_len, whole = n - rest;
    format_decode(format, table, blocks, scale, whole, out);
    if (!rest)
        return;
    format_decode(format, table,
                  (const char *)blocks + whole / format->block_len * (int64_t)format->block_bytes,
                  scale, format->block_len, last);
    memcpy(out + whole, last, (size_t)rest * sizeof *out);
}

void sw_format_decode(const struct sw_format *format, const void *blocks, float scale, int64_t n,
                      float *out)
{
    sw_format_decode_by(format, NULL, blocks, scale, n, out);
}

void sw_format_encode(const struct sw_format *format, const struct sw_values *row, float measured,
                      int64_t first, int64_t n, void *blocks)
{
    if (row->blocks == format)
        memcpy(blocks, values_block(row, first),
               (size_t)((n + format->block_len - 1) / format->block_len) * format->block_bytes);
    else
        format->encode(row, measured, first, n, blocks);
}

void sw_format_encode_row(const struct sw_format *format, const struct sw_values *row, void *blocks,
                          float *scale)
{
    const float measured = sw_format_measure(format, row, scale);
    sw_format_encode(format, row, measured, 0, row->n, blocks);
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

/* Where none of the blocks begins at `first`, the beginning of one is decoded in vain. */
static void values_decode(const struct sw_values *row, int64_t first, int64_t n, float *out)
{
    const int64_t len = row->blocks->block_len;
    const float scale = values_scale(row);
    while (n > 0) {
        const int64_t skip = first % len;
        const int64_t part = skip == 0 && n >= len ? n / len * len
                             : n < len - skip      ? n
                                                   : len - skip;
        if (skip == 0 && n >= len) {
            row->blocks->decode(values_block(row, first), scale, part, out);
        } else {
            float block[MOST_BLOCK];
            row->blocks->decode(values_block(row, first - skip), scale, len, block);
            memcpy(out, block + skip, (size_t)part * sizeof *out);
        }
        first += part;
        n -= part;
        out += part;
    }
}

void sw_values_to_f32(const struct sw_values *row, int64_t first, int64_t n, float *out)
{
    if (row->blocks) {
        values_decode(row, first, n, out);
        return;
    }
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
