/* Owns the arithmetic of bytes in memory. */
#include "tensor/layout.h"

#include "base/checked.h"

struct sw_matrix_layout sw_matrix_layout_of(enum sw_format_id format, int64_t rows, int64_t cols)
{
    const struct sw_format *f = sw_format_of(format);
    const uint64_t padded_rows = sw_round_up((uint64_t)rows, SW_ROW_PAD);
    const uint64_t padded_cols = sw_round_up((uint64_t)cols, f->col_pad);
    const uint64_t row_bytes = padded_cols / (uint64_t)f->block_len * f->block_bytes;
    const uint64_t scales = padded_rows * row_bytes;
    const uint64_t table = scales + (f->row_scale ? padded_rows * sizeof(float) : 0);
    const uint64_t end = table + (f->table ? SW_TABLE_LEN * sizeof(float) : 0);
    return (struct sw_matrix_layout){.rows = (int64_t)padded_rows,
                                     .cols = (int64_t)padded_cols,
                                     .row_bytes = (size_t)row_bytes,
                                     .scales = (size_t)scales,
                                     .table = (size_t)table,
                                     .bytes = (size_t)sw_round_up(end, SW_ALIGN)};
}

uint64_t sw_matrix_bytes(enum sw_format_id format, int64_t rows, int64_t cols)
{
    return sw_matrix_layout_of(format, rows, cols).bytes;
}

float *sw_matrix_scales(enum sw_format_id format, const void *data, int64_t rows, int64_t cols)
{
    if (!sw_format_of(format)->row_scale)
        return NULL;
    return (float *)((uintptr_t)data + sw_matrix_layout_of(format, rows, cols).scales);
}

float *sw_matrix_table(enum sw_format_id format, const void *data, int64_t rows, int64_t cols)
{
    if (!sw_format_of(format)->table)
        return NULL;
    return (float *)((uintptr_t)data + sw_matrix_layout_of(format, rows, cols).table);
}

uint64_t sw_kv_bytes(enum sw_dtype dtype, int slots, int n_kv_heads, int head_dim, int64_t context)
{
    const uint64_t keys = sw_round_up((uint64_t)context, SW_KEY_BLOCK);
    const uint64_t dim = sw_round_up((uint64_t)head_dim, 2);
    const uint64_t n = 2 * (uint64_t)slots * (uint64_t)n_kv_heads * keys * dim;
    return sw_round_up(n * sw_dtype_info(dtype)->bits / 8, SW_ALIGN);
}

uint64_t sw_vector_bytes(int64_t n)
{
    return sw_round_up((uint64_t)n * sizeof(float), SW_ALIGN);
}
