/* The packed forms of weights and of keys and values; the choice of the kernel table. */
#include "kernels/cpu/cpu_kernels.h"

#include "base/checked.h"
#include "kernels/cpu/transpose.h"

#include <string.h>

const struct sw_kernels *sw_kernels_for(enum sw_isa isa)
{
    static const struct sw_kernels *const tables[SW_ISA_COUNT] = {
        &sw_kernels_portable, &sw_kernels_avx2,
#ifndef SW_WITHOUT_AVX512
        &sw_kernels_avx512, &sw_kernels_avx512bf16
#endif
    };
    return tables[isa];
}

int sw_attend_rows(int head_dim, int value_dim)
{
    const int padded = head_dim + SW_ROW_PAD;
    const int values = value_dim ? value_dim + SW_ROW_PAD : padded;
    const int block = SW_KEY_BLOCK * (value_dim ? SW_VALUE_SLICE + SW_ROW_PAD : padded);
    const int per_row = SW_KEY_BLOCK + padded + 2 * values + 4;
    const int rows = (SW_THREAD_FLOATS - block) / per_row;
    return rows < 1 ? 1 : rows > 48 ? 48 : rows;
}

size_t sw_panel_offset(enum sw_format_id format, int64_t cols, int64_t panel)
{
    return (size_t)panel * SW_PANEL * sw_matrix_layout_of(format, 1, cols).row_bytes;
}

int sw_panel_width(int64_t rows, int64_t panel)
{
    const int64_t left = rows - panel * SW_PANEL;
    return left >= SW_PANEL ? SW_PANEL : (int)sw_round_up((uint64_t)left, SW_ROW_PAD);
}

static const struct sw_cpu_format *packing_row(enum sw_format_id format)
{
    return &sw_kernels_portable.formats[format];
}

static const struct sw_packing *packing_of(enum sw_format_id format)
{
    return &packing_row(format)->packing;
}

#define PIECE 256 /* elements; whole units of every format */
#define PIECE_BYTES (PIECE * 4)
#define GROUP 8 /* rows that are encoded before their units go to their places */

/* A piece of each row of a group. */
struct packing_pieces {
    _Alignas(float) char rows[GROUP][PIECE_BYTES];
};

/* Lines of a panel are fetched so many units before they are written: the processor does not
 * foresee where stores that go from row to row end up, and waits for each line. */
#define UNITS_AHEAD 3
#define LINE 64

static void packing_fetch(const char *panel, int64_t bytes)
{
    const uintptr_t at = (uintptr_t)panel + (uintptr_t)(UNITS_AHEAD * bytes);
    for (int64_t i = 0; i < bytes; i += LINE)
        __builtin_prefetch((const void *)(at + (uintptr_t)i), 1); /* nothing happens past the end */
}

/* As transpose, with the size known to the compiler: a branch on it in the loops, and what that
 * puts into memory instead of registers, took three times as long. */
__attribute__((flatten)) static void packing_turn(const char *from, int64_t from_step, char *to,
                                                  int64_t to_step, int64_t n_rows, int64_t n_cols,
                                                  int bytes)
{
    if (bytes == 4)
        transpose(from, from_step, to, to_step, n_rows, n_cols, 4);
    else
        transpose(from, from_step, to, to_step, n_rows, n_cols, 2);
}

/* Units of n_rows rows, which are from_step bytes apart, to the panel's lanes from `lane` on. */
static void packing_spread(const struct sw_packing *packing, const char *from, int64_t from_step,
                           char *panel, int width, int64_t lane, int64_t n_rows, int64_t n_units)
{
    const int64_t bytes = sw_packing_bytes(packing), word = packing->words[0].bytes;
    if (!packing->words[1].count) { /* all words alike */
        packing_turn(from, from_step, panel + lane * word, width * word, n_rows,
                     n_units * packing->words[0].count, (int)word);
        return;
    }
    for (int64_t unit = 0; unit < n_units; unit++, from += bytes) {
        packing_fetch(panel, width * bytes);
        for (int64_t k = 0, at = 0; k < 2; k++) {
            const int64_t size = packing->words[k].bytes, count = packing->words[k].count;
            packing_turn(from + at, from_step, panel + lane * size, width * size, n_rows, count,
                         (int)size);
            panel += count * width * size;
            at += count * size;
        }
    }
}

/* Units of a panel's lane, side by side as they are in a row. */
static void packing_collect(const struct sw_packing *packing, const char *panel, int width,
                            int64_t lane, int64_t n_units, char *to)
{
    for (int64_t unit = 0; unit < n_units; unit++)
        for (int k = 0; k < 2; k++) {
            const int64_t size = packing->words[k].bytes, count = packing->words[k].count;
            transpose_row(panel + lane * size, width * size, to, size, count, (int)size);
            panel += count * width * size;
            to += count * size;
        }
}

/* Where the source has its rows side by side: columns [start, start + n) of `n_rows` rows. */
static bool packing_gather(const struct sw_pack *p, const char *src, int64_t start, int64_t n_rows,
                           int64_t n, struct packing_pieces *out)
{
    const int size = (int)sw_dtype_info(p->src_dtype)->bits / 8;
    if (p->row_stride != 1 || p->col_stride == 1 || size > 4)
        return false;
    transpose(src + start * p->col_stride * size, p->col_stride * size, out->rows[0], PIECE_BYTES,
              n, n_rows, size);
    return true;
}

/* Columns [start, cols) of a group of rows, encoded a piece at a time; a unit begins at `start`. */
static void pack_group(const struct sw_pack *p, char *panel, int width, int64_t row, int64_t n_rows,
                       const char *src, int64_t start)
{
    const struct sw_format *format = sw_format_of(p->format);
    const struct sw_packing *packing = packing_of(p->format);
    const int64_t step = sw_values_step(p->src_dtype, p->src_blocks, p->row_stride);
    const int64_t bytes = sw_packing_bytes(packing);
    float *scales = sw_matrix_scales(p->format, p->data, p->rows, p->cols), measured[GROUP] = {0};
    struct sw_values values[GROUP];
    struct packing_pieces gathered, blocks;
    void (*const arrange)(char *units, int64_t n) = packing_row(p->format)->arrange;
    for (int64_t i = 0; i < n_rows; i++) {
        values[i] =
            (struct sw_values){src + i * step, p->src_dtype, p->cols, p->col_stride, p->src_blocks};
        measured[i] = sw_format_measure(format, &values[i], scales ? scales + row + i : NULL);
    }
    panel += start / packing->elements * width * bytes;
    for (; start < p->cols; start += PIECE) {
        const int64_t n = p->cols - start < PIECE ? p->cols - start : PIECE;
        const int64_t n_units = (n + packing->elements - 1) / packing->elements;
        const bool is_gathered = packing_gather(p, src, start, n_rows, n, &gathered);
        for (int64_t i = 0; i < n_rows; i++) {
            const struct sw_values piece = {gathered.rows[i], p->src_dtype, n, 1, NULL};
            char *const out = blocks.rows[i];
            memset(out + (n_units - 1) * bytes, 0, (size_t)bytes); /* padding */
            if (is_gathered)
                sw_format_encode(format, &piece, measured[i], 0, n, out);
            else
                sw_format_encode(format, &values[i], measured[i], start, n, out);
            if (arrange)
                arrange(out, n_units);
        }
        packing_spread(packing, blocks.rows[0], PIECE_BYTES, panel, width, row % SW_PANEL, n_rows,
                       n_units);
        panel += n_units * width * bytes;
    }
}

/*
 * The same type on both sides: units are moved, nothing is converted. A square of 64 rows by 32
 * units at a time stays in the first-level cache.
 */
#define SQUARE_UNITS 32
static void move_units(const struct sw_pack *p, char *panel, int width, int64_t lane,
                       int64_t n_lanes, const char *src, int64_t n_units)
{
    const struct sw_packing *packing = packing_of(p->format);
    const int64_t bytes = sw_packing_bytes(packing), size = bytes / packing->elements;
    const int64_t step = width * bytes;
    if (p->col_stride != 1) { /* rows are side by side there, too */
        for (int64_t i = 0; i < n_units; i++)
            memcpy(panel + i * step + lane * size, src + i * p->col_stride * size,
                   (size_t)(n_lanes * size));
        return;
    }
    for (int64_t start = 0; start < n_units; start += SQUARE_UNITS)
        packing_spread(packing, src + start * bytes, p->row_stride * size, panel + start * step,
                       width, lane, n_lanes,
                       n_units - start < SQUARE_UNITS ? n_units - start : SQUARE_UNITS);
}

/* Whether the source has the format's own blocks, and whole units of them are packed as they are,
 * without a scale of the row. */
static bool packing_keeps_blocks(const struct sw_pack *p)
{
    const struct sw_cpu_format *row = packing_row(p->format);
    const struct sw_format *format = sw_format_of(p->format);
    return p->src_blocks == format && !format->row_scale && !row->arrange &&
           p->cols % row->packing.elements == 0;
}

/* As move_units, of blocks that are `src_step` bytes apart from row to row. */
#define SQUARE_BYTES 256 /* of each row at a time */
static void move_blocks(const struct sw_pack *p, char *panel, int width, int64_t lane,
                        int64_t n_lanes, const char *src, int64_t src_step)
{
    const struct sw_packing *packing = packing_of(p->format);
    const int64_t bytes = sw_packing_bytes(packing), n_units = p->cols / packing->elements;
    const int64_t square = bytes < SQUARE_BYTES ? SQUARE_BYTES / bytes : 1;
    for (int64_t start = 0; start < n_units; start += square)
        packing_spread(packing, src + start * bytes, src_step, panel + start * width * bytes, width,
                       lane, n_lanes, n_units - start < square ? n_units - start : square);
}

void sw_pack_panel(const struct sw_pack *p, int64_t panel)
{
    const int64_t elements = packing_of(p->format)->elements; /* of a unit */
    const int64_t first = panel * SW_PANEL;
    const int64_t lo = first > p->row0 ? first : p->row0, past = p->row0 + p->n_rows;
    const int64_t hi = first + SW_PANEL < past ? first + SW_PANEL : past;
    char *data = (char *)p->data + sw_panel_offset(p->format, p->cols, panel);
    const int width = sw_panel_width(p->rows, panel);
    const int64_t step = sw_values_step(p->src_dtype, p->src_blocks, p->row_stride);
    const char *src = p->src + (lo - p->row0) * step;
    int64_t done = 0; /* columns */
    if (lo >= hi)
        return;
    if (sw_format_of(p->format)->dtype == p->src_dtype && !p->src_blocks &&
        (p->col_stride == 1 || (elements == 1 && p->row_stride == 1))) {
        const int64_t n_units = p->cols / elements;
        move_units(p, data, width, lo - first, hi - lo, src, n_units);
        done = n_units * elements;
    } else if (packing_keeps_blocks(p)) {
        move_blocks(p, data, width, lo - first, hi - lo, src, step);
        done = p->cols;
    }
    for (int64_t row = lo; row < hi && done < p->cols; row += GROUP) {
        const int64_t n = hi - row < GROUP ? hi - row : GROUP;
        pack_group(p, data, width, row, n, src + (row - lo) * step, done);
    }
}

void sw_unpack_row(enum sw_format_id format, const void *data, int64_t rows, int64_t cols,
                   int64_t row, float *out)
{
    const struct sw_packing *packing = packing_of(format);
    const int64_t panel = row / SW_PANEL;
    const int width = sw_panel_width(rows, panel);
    void (*const restore)(char *units, int64_t n) = packing_row(format)->restore;
    const float *scales = sw_matrix_scales(format, data, rows, cols);
    const float *table = sw_matrix_table(format, data, rows, cols);
    const char *from = (const char *)data + sw_panel_offset(format, cols, panel);
    for (int64_t start = 0; start < cols; start += PIECE) {
        const int64_t n = cols - start < PIECE ? cols - start : PIECE;
        const int64_t n_units = (n + packing->elements - 1) / packing->elements;
        _Alignas(float) char blocks[PIECE_BYTES];
        packing_collect(packing, from, width, row % SW_PANEL, n_units, blocks);
        if (restore)
            restore(blocks, n_units);
        sw_format_decode_by(sw_format_of(format), table, blocks, scales ? scales[row] : 1, n,
                            out + start);
        from += n_units * width * sw_packing_bytes(packing);
    }
}

/* bf16: pairs of neighbouring dimensions in K, of neighbouring keys in V. */
static void put_pairs(int head_dim, uint16_t *k_block, uint16_t *v_block, int64_t key,
                      const float *k, const float *v)
{
    for (int64_t d = 0; d < head_dim; d++)
        k_block[(d / 2 * SW_KEY_BLOCK + key) * 2 + (d & 1)] = sw_f32_to_bf16(k[d]);
    if (head_dim & 1)
        k_block[(head_dim / 2 * SW_KEY_BLOCK + key) * 2 + 1] = 0;
    if (!v)
        return;
    uint16_t *const pair = v_block + key / 2 * head_dim * 2;
    for (int64_t d = 0; d < head_dim; d++) {
        pair[d * 2 + (key & 1)] = sw_f32_to_bf16(v[d]);
        if (!(key & 1))
            pair[d * 2 + 1] = 0; /* until that key is stored */
    }
}

/* f32 and f16 */
static void kv_store(enum sw_dtype format, void *data, int64_t at, float value)
{
    if (format == SW_F32)
        ((float *)data)[at] = value;
    else
        ((uint16_t *)data)[at] = sw_f32_to_f16(value);
}

void sw_kv_put(enum sw_dtype format, int head_dim, char *head, int64_t position, const float *k,
               const float *v)
{
    const int64_t dim_even = (head_dim + 1) & ~1;
    const int64_t k_block = position / SW_KEY_BLOCK * SW_KEY_BLOCK * (v ? 2 : 1) * dim_even;
    const int64_t v_block = k_block + SW_KEY_BLOCK * dim_even, key = position % SW_KEY_BLOCK;
    if (format == SW_BF16) {
        uint16_t *data = (uint16_t *)(void *)head;
        put_pairs(head_dim, data + k_block, data + v_block, key, k, v);
        return;
    }
    for (int64_t d = 0; d < head_dim; d++)
        kv_store(format, head, k_block + d * SW_KEY_BLOCK + key, k[d]);
    for (int64_t d = 0; v && d < head_dim; d++)
        kv_store(format, head, v_block + key * head_dim + d, v[d]);
}
