/*
 * Bytes in memory, on every backend: of weight matrices, of the KV cache, of vectors. Here alone
 * they are computed; sizes come from a checked model, so they cannot overflow.
 */
#ifndef SW_TENSOR_LAYOUT_H
#define SW_TENSOR_LAYOUT_H

#include "tensor/format.h"

#include <stddef.h>
#include <stdint.h>

#define SW_ROW_PAD 16   /* rows of a matrix are padded to a multiple of this */
#define SW_KEY_BLOCK 64 /* positions of a KV cache are padded to a multiple of this */
#define SW_ALIGN 64     /* matrices, vectors and caches start at a multiple of so many bytes */

/*
 * A matrix in a weight format: the blocks of all padded rows, in whatever order the backend's
 * kernels read them, then the scales of all padded rows where the format has row scales, then its
 * table where the format has one.
 */
struct sw_matrix_layout {
    int64_t rows, cols; /* padded */
    size_t row_bytes;   /* of a padded row's blocks */
    size_t scales;      /* bytes from the start to the scales, (rows) f32 */
    size_t table;       /* and to the table, (SW_TABLE_LEN) f32 */
    size_t bytes;       /* of the whole matrix, a multiple of SW_ALIGN */
};
struct sw_matrix_layout sw_matrix_layout_of(enum sw_format_id format, int64_t rows, int64_t cols);
uint64_t sw_matrix_bytes(enum sw_format_id format, int64_t rows, int64_t cols);
/* The scales of a matrix that begins at `data`, in device or host memory: (rows padded) f32. NULL:
 * the format has no row scales. */
float *sw_matrix_scales(enum sw_format_id format, const void *data, int64_t rows, int64_t cols);
/* Its table in the same way: (SW_TABLE_LEN) f32. NULL: the format has none. */
float *sw_matrix_table(enum sw_format_id format, const void *data, int64_t rows, int64_t cols);

uint64_t sw_kv_bytes(enum sw_dtype dtype, int slots, int n_kv_heads, int head_dim, int64_t context);
uint64_t sw_vector_bytes(int64_t n); /* n f32 */

#endif
