/* Bytes of a packed weight matrix and of a KV cache. */
#include "base/checked.h"
#include "model/footprint.h"

uint64_t sw_matrix_bytes(enum sw_dtype format, int64_t rows, int64_t cols)
{
    const uint64_t n =
        sw_round_up((uint64_t)rows, SW_ROW_PAD) * sw_round_up((uint64_t)cols, SW_COL_PAD);
    return sw_round_up(n * sw_dtype_info(format)->bits / 8, SW_ALIGN);
}

/* Per head and block of keys: K as (head_dim, SW_KEY_BLOCK), V as (SW_KEY_BLOCK, padded dim). */
uint64_t sw_kv_bytes(enum sw_dtype format, int slots, int n_kv_heads, int head_dim, int64_t context)
{
    const uint64_t dims = (uint64_t)head_dim + sw_round_up((uint64_t)head_dim, SW_ROW_PAD);
    const uint64_t keys = sw_round_up((uint64_t)context, SW_KEY_BLOCK);
    const uint64_t n = (uint64_t)slots * (uint64_t)n_kv_heads * keys * dims;
    return sw_round_up(n * sw_dtype_info(format)->bits / 8, SW_ALIGN);
}
