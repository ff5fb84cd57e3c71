/* The packed forms of weights and of keys and values; the choice of the kernel table. */
#include "kernels/cpu/cpu_kernels.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

const struct sw_kernels *sw_kernels_for(enum sw_isa isa)
{
    static const struct sw_kernels *const tables[SW_ISA_COUNT] = {
        &sw_kernels_portable, &sw_kernels_avx2, &sw_kernels_avx512, &sw_kernels_avx512bf16};
    return tables[isa];
}

int sw_attend_rows(int head_dim)
{
    const int padded = head_dim + SW_ROW_PAD, block = SW_KEY_BLOCK * padded;
    const int per_row = SW_KEY_BLOCK + 3 * padded + 4;
    const int rows = (SW_THREAD_FLOATS - block) / per_row;
    return rows < 1 ? 1 : rows > 48 ? 48 : rows;
}

size_t sw_panel_offset(enum sw_dtype format, int64_t cols, int64_t panel)
{
    const struct sw_dtype_info *info = sw_dtype_info(format);
    const uint64_t padded = sw_round_up((uint64_t)cols, info->col_pad);
    return (size_t)((uint64_t)panel * SW_PANEL * padded * info->bits / 8);
}

int sw_panel_width(int64_t rows, int64_t panel)
{
    const int64_t left = rows - panel * SW_PANEL;
    return left >= SW_PANEL ? SW_PANEL : (int)sw_round_up((uint64_t)left, SW_ROW_PAD);
}

float *sw_matrix_scales(const void *data, int64_t rows, int64_t cols)
{
    const uint64_t padded = sw_round_up((uint64_t)cols, SW_COL_PAD_INT8);
    return (float *)(uintptr_t)((const char *)data +
                                sw_round_up((uint64_t)rows, SW_ROW_PAD) * padded);
}

/* Where element (lane, col) of a panel lies, in elements. */
static int64_t packing_place(enum sw_dtype format, int width, int lane, int64_t col)
{
    if (format == SW_BF16)
        return (col / 2 * width + lane) * 2 + (col & 1);
    if (format == SW_INT8)
        return (col / 4 * width + lane) * 4 + (col & 3);
    return col * width + lane;
}

static void store(enum sw_dtype format, void *data, int64_t at, float value)
{
    if (format == SW_F32)
        ((float *)data)[at] = value;
    else
        ((uint16_t *)data)[at] = format == SW_F16 ? sw_f32_to_f16(value) : sw_f32_to_bf16(value);
}

static float packing_load(enum sw_dtype format, const void *data, int64_t at)
{
    if (format == SW_F32)
        return ((const float *)data)[at];
    if (format == SW_INT8)
        return ((const int8_t *)data)[at];
    const uint16_t bits = ((const uint16_t *)data)[at];
    return format == SW_F16 ? sw_f16_to_f32(bits) : sw_bf16_to_f32(bits);
}

#define PIECE 256

/* Columns [start, start + n) of a row, n <= PIECE, side by side: where they are, or in `gathered`.
 */
static const char *piece_of(const struct sw_pack *p, const char *src, int64_t start, int64_t n,
                            char *gathered)
{
    const size_t size = sw_dtype_info(p->src_dtype)->bits / 8;
    const char *from = src + start * p->col_stride * (int64_t)size;
    if (p->col_stride == 1)
        return from;
    for (int64_t i = 0; i < n; i++)
        memcpy(gathered + (size_t)i * size, from + i * p->col_stride * (int64_t)size, size);
    return gathered;
}

/* One row, a piece at a time, through f32 when the source holds another type. */
static void put_row(const struct sw_pack *p, char *panel, int width, int lane, const char *src)
{
    for (int64_t start = 0; start < p->cols; start += PIECE) {
        const int64_t n = p->cols - start < PIECE ? p->cols - start : PIECE;
        char gathered[PIECE * 8];
        float values[PIECE];
        sw_dtype_to_f32(p->src_dtype, piece_of(p, src, start, n, gathered), n, values);
        for (int64_t i = 0; i < n; i++)
            store(p->format, panel, packing_place(p->format, width, lane, start + i), values[i]);
    }
}

/* Largest magnitude; infinity or NaN if there is one. Without their sign bit, floats are in order
 * when compared as whole numbers, those two at the end. */
static float largest_of(enum sw_dtype dtype, const char *src, int64_t n)
{
    float value;
    if (sw_dtype_info(dtype)->bits == 16) {
        int16_t most = 0;
        for (int64_t i = 0; i < n; i++) {
            int16_t bits;
            memcpy(&bits, src + 2 * i, sizeof bits);
            bits &= 0x7fff;
            most = bits > most ? bits : most;
        }
        sw_dtype_to_f32(dtype, &most, 1, &value);
        return value;
    }
    float values[PIECE];
    int32_t most = 0;
    sw_dtype_to_f32(dtype, src, n, values);
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    memcpy(&value, &most, sizeof value);
    return value;
}

/* A finite value of magnitude below 2^22, rounded to even: the adder does it. */
static inline int8_t packing_rounded(float value)
{
    const float shifted = value + 0x1.8p23f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (int8_t)(bits - 0x4b400000);
}

/* One row as int8, and its scale. A row with something that is no number makes its products NaN, so
 * that it does not pass unnoticed. */
static void put_int8_row(const struct sw_pack *p, char *panel, int width, int64_t row,
                         const char *src)
{
    char gathered[PIECE * 8];
    float absmax = 0;
    bool finite = true;
    for (int64_t start = 0; start < p->cols; start += PIECE) {
        const int64_t n = p->cols - start < PIECE ? p->cols - start : PIECE;
        const float most = largest_of(p->src_dtype, piece_of(p, src, start, n, gathered), n);
        finite = finite && isfinite(most);
        absmax = most > absmax ? most : absmax;
    }
    const bool is_zero = !finite || absmax < SW_INT8_TINY;
    const float inverse = is_zero ? 0 : 127 / absmax;
    sw_matrix_scales(p->data, p->rows, p->cols)[row] = !finite ? NAN : is_zero ? 0 : absmax / 127;
    for (int64_t start = 0; start < p->cols; start += PIECE) {
        const int64_t n = p->cols - start < PIECE ? p->cols - start : PIECE;
        float values[PIECE] = {0};
        int8_t elements[PIECE];
        if (!is_zero)
            sw_dtype_to_f32(p->src_dtype, piece_of(p, src, start, n, gathered), n, values);
        for (int64_t i = 0; i < PIECE; i++)
            elements[i] = packing_rounded(values[i] * inverse);
        char *to = panel + packing_place(SW_INT8, width, (int)(row % SW_PANEL), start);
        for (int64_t i = 0; i < n; i += 4, to += width * 4)
            memcpy(to, elements + i, 4);
    }
}

/*
 * The same type on both sides: units of 2 or 4 bytes are moved (a pair of bf16 counts as one of 4),
 * nothing is converted. A square of 64 rows by 32 units at a time stays in the first-level cache.
 */
#define MOVE_UNITS(type)                                                                           \
    for (int64_t start = 0; start < n_units; start += 32)                                          \
        for (int64_t lane = 0; lane < n_lanes; lane++) {                                           \
            const int64_t end = n_units - start < 32 ? n_units : start + 32;                       \
            const char *from = src + (lane * row_stride + start * unit_stride);                    \
            char *to = panel + (start * width + lane) * (int64_t)sizeof(type);                     \
            for (int64_t i = start; i < end; i++) {                                                \
                memcpy(to, from, sizeof(type));                                                    \
                to += width * (int64_t)sizeof(type);                                               \
                from += unit_stride;                                                               \
            }                                                                                      \
        }

static void move_rows(const struct sw_pack *p, char *panel, int64_t width, int lane0,
                      int64_t n_lanes, const char *src)
{
    const int64_t size = sw_dtype_info(p->format)->bits / 8;
    const bool pairs = p->format == SW_BF16 && p->col_stride == 1;
    const int64_t row_stride = p->row_stride * size;
    const int64_t unit_stride = pairs ? 4 : p->col_stride * size;
    const int64_t n_units = pairs ? p->cols / 2 : p->cols;
    char *const whole = panel;
    panel += lane0 * (pairs ? 4 : size);
    if (p->format == SW_F32 || pairs) {
        MOVE_UNITS(uint32_t)
    } else if (p->format == SW_F16) {
        MOVE_UNITS(uint16_t)
    }
    if (p->format != SW_BF16)
        return;
    /* bf16: the odd last column, or all of them when columns do not lie side by side */
    for (int64_t lane = 0; lane < n_lanes; lane++)
        for (int64_t col = pairs ? p->cols & ~(int64_t)1 : 0; col < p->cols; col++)
            memcpy(whole + packing_place(SW_BF16, (int)width, lane0 + (int)lane, col) * 2,
                   src + lane * row_stride + col * p->col_stride * 2, 2);
}

void sw_pack_panel(const struct sw_pack *p, int64_t panel)
{
    const int64_t first = panel * SW_PANEL;
    const int64_t lo = first > p->row0 ? first : p->row0, past = p->row0 + p->n_rows;
    const int64_t hi = first + SW_PANEL < past ? first + SW_PANEL : past;
    char *data = (char *)p->data + sw_panel_offset(p->format, p->cols, panel);
    const int width = sw_panel_width(p->rows, panel);
    const int64_t size = sw_dtype_info(p->src_dtype)->bits / 8;
    const char *src = p->src + (lo - p->row0) * p->row_stride * size;
    if (lo >= hi)
        return;
    if (p->format == p->src_dtype) {
        move_rows(p, data, width, (int)(lo - first), (int)(hi - lo), src);
        return;
    }
    for (int64_t row = lo; row < hi; row++, src += p->row_stride * size)
        if (p->format == SW_INT8)
            put_int8_row(p, data, width, row, src);
        else
            put_row(p, data, width, (int)(row - first), src);
}

void sw_unpack_row(enum sw_dtype format, const void *data, int64_t rows, int64_t cols, int64_t row,
                   float *out)
{
    const int64_t panel = row / SW_PANEL;
    const char *from = (const char *)data + sw_panel_offset(format, cols, panel);
    const int width = sw_panel_width(rows, panel);
    const float scale = format == SW_INT8 ? sw_matrix_scales(data, rows, cols)[row] : 1;
    for (int64_t col = 0; col < cols; col++)
        out[col] = scale * packing_load(format, from,
                                        packing_place(format, width, (int)(row % SW_PANEL), col));
}

size_t sw_kv_head_bytes(enum sw_dtype format, int head_dim, int64_t context)
{
    return (size_t)sw_kv_bytes(format, 1, 1, head_dim, context);
}

/* bf16: pairs of neighbouring dimensions in K, of neighbouring keys in V. */
static void put_pairs(int head_dim, uint16_t *k_block, uint16_t *v_block, int64_t key,
                      const float *k, const float *v)
{
    for (int64_t d = 0; d < head_dim; d++)
        k_block[(d / 2 * SW_KEY_BLOCK + key) * 2 + (d & 1)] = sw_f32_to_bf16(k[d]);
    if (head_dim & 1)
        k_block[(head_dim / 2 * SW_KEY_BLOCK + key) * 2 + 1] = 0;
    uint16_t *const pair = v_block + key / 2 * head_dim * 2;
    for (int64_t d = 0; d < head_dim; d++) {
        pair[d * 2 + (key & 1)] = sw_f32_to_bf16(v[d]);
        if (!(key & 1))
            pair[d * 2 + 1] = 0; /* until that key is stored */
    }
}

void sw_kv_put(enum sw_dtype format, int head_dim, char *head, int64_t position, const float *k,
               const float *v)
{
    const int64_t dim_even = (head_dim + 1) & ~1;
    const int64_t k_block = position / SW_KEY_BLOCK * SW_KEY_BLOCK * 2 * dim_even;
    const int64_t v_block = k_block + SW_KEY_BLOCK * dim_even, key = position % SW_KEY_BLOCK;
    if (format == SW_BF16) {
        uint16_t *data = (uint16_t *)(void *)head;
        put_pairs(head_dim, data + k_block, data + v_block, key, k, v);
        return;
    }
    for (int64_t d = 0; d < head_dim; d++)
        store(format, head, k_block + d * SW_KEY_BLOCK + key, k[d]);
    for (int64_t d = 0; d < head_dim; d++)
        store(format, head, v_block + key * head_dim + d, v[d]);
}
