/* Owns the ways in which codes, scales and zeros of group-wise integers are packed in files. */
#include "checkpoint/group_blocks.h"

#include <string.h>

#define TILE 64 /* rows that are made at once */
#define HEAD SW_GROUPWISE_HEAD
#define PART SW_GROUPWISE_PART
#define PADDING 0 /* the codes beyond the last column, where activations are 0 */

/* ---- scales and zeros */

/* Field `i` of a run of words: `bits` bits from bit i * bits on. */
static uint32_t group_field(const uint32_t *words, int64_t i, int bits)
{
    const int64_t at = i * bits;
    const int shift = (int)(at % 32);
    uint64_t two = words[at / 32];
    if (shift + bits > 32)
        two |= (uint64_t)words[at / 32 + 1] << 32;
    return (uint32_t)(two >> shift) & ((1u << bits) - 1);
}

/* Of eight neighbouring codes in a word of AWQ, where each is: 0 2 4 6 1 3 5 7 are the codes that
 * the fields hold. */
static const uint8_t awq_field[8] = {0, 4, 1, 5, 2, 6, 3, 7};

/* One in each field of a word. */
static uint32_t group_ones(int bits)
{
    return bits == 2 ? 0x55555555 : bits == 4 ? 0x11111111 : 0x01010101;
}

static int64_t group_count(const struct sw_group_matrix *m)
{
    return (m->cols + m->group - 1) / m->group;
}

static int zero_of_gptq(const struct sw_group_matrix *m, int64_t group, int64_t row)
{
    const int64_t per_word = 32 / m->bits;
    const uint32_t *words = m->zeros + group * (m->rows * m->bits / 32);
    if (!m->less_one)
        return (int)group_field(words, row, m->bits);
    if (m->bits == 3)
        return (int)(group_field(words, row, 3) + 1) & 7;
    const uint32_t word = words[row / per_word] + group_ones(m->bits);
    return (int)group_field(&word, row % per_word, m->bits);
}

static int group_zero(const struct sw_group_matrix *m, int64_t group, int64_t row)
{
    const int64_t per_word = 32 / m->bits;
    switch (m->zeros_kind) {
    case SW_ZEROS_GPTQ:
        return zero_of_gptq(m, group, row);
    case SW_ZEROS_AWQ:
        return (int)group_field(m->zeros + group * (m->rows / 8) + row / 8, awq_field[row % 8], 4);
    case SW_ZEROS_DOWN:
        return (int)group_field(m->zeros + row / per_word * group_count(m) + group, row % per_word,
                                m->bits);
    case SW_ZEROS_GROUPS:
        return (int)group_field(m->zeros + row * m->zeros_step, group, m->bits);
    default:
        return 1 << (m->bits - 1);
    }
}

/* The heads of the blocks of a group, of rows [first, first + n), n at most TILE. */
static void group_heads(const struct sw_group_matrix *m, int64_t group, int64_t first, int64_t n,
                        uint32_t heads[TILE])
{
    const int base = sw_groupwise_bits(m->format) == 8 ? 128 : 0;
    const int64_t size = sw_dtype_info(m->scale_type)->bits / 8;
    const char *at =
        (const char *)m->scales + (first * m->scale_row + group * m->scale_group) * size;
    float scales[TILE];
    if (m->scale_row == 1)
        sw_dtype_to_f32(m->scale_type, at, n, scales);
    for (int64_t r = 0; r < n; r++) {
        if (m->scale_row != 1)
            sw_dtype_to_f32(m->scale_type, at + r * m->scale_row * size, 1, &scales[r]);
        heads[r] = sw_groupwise_head(scales[r], group_zero(m, group, first + r) - base);
    }
}

/* ---- codes, column by column: a line has the codes of one column, a byte a row */

static void line_down(const struct sw_group_matrix *m, int64_t col, int64_t first, int64_t n,
                      uint8_t *line)
{
    const int64_t at = col * m->bits;
    const int shift = (int)(at % 32), bits = m->bits;
    const uint32_t mask = (1u << bits) - 1;
    const uint32_t *words = (const uint32_t *)m->codes + at / 32 * m->rows + first;
    if (shift + bits <= 32) {
        for (int64_t r = 0; r < n; r++)
            line[r] = (uint8_t)(words[r] >> shift & mask);
        return;
    }
    for (int64_t r = 0; r < n; r++)
        line[r] = (uint8_t)((words[r] >> shift | words[r + m->rows] << (32 - shift)) & mask);
}

/* Four fields of four bits, a byte each, with a byte between two. */
static uint64_t across_spread(uint32_t four)
{
    const uint64_t pairs = (four | (uint64_t)four << 24) & 0x000000ff000000ff;
    return (pairs | pairs << 12) & 0x000f000f000f000f;
}

static void line_across(const struct sw_group_matrix *m, int64_t col, int64_t first, int64_t n,
                        uint8_t *line)
{
    const int64_t skip = first % 8; /* rows of the first word that are not wanted */
    const uint32_t *words = (const uint32_t *)m->codes + col * (m->rows / 8) + first / 8;
    uint8_t all[TILE + 8], *to = skip ? all : line;
    for (int64_t i = 0; i < (skip + n + 7) / 8; i++) {
        const uint64_t eight = across_spread(words[i] & 0xffff) | across_spread(words[i] >> 16)
                                                                      << 8;
        memcpy(to + 8 * i, &eight, sizeof eight);
    }
    if (skip)
        memcpy(line, all + skip, (size_t)n);
}

/* Column `i` of the blocks. */
static void group_line(const struct sw_group_matrix *m, int64_t i, int64_t first, int64_t n,
                       uint8_t *line)
{
    if (i >= m->cols)
        memset(line, PADDING, TILE);
    else if (m->codes_kind == SW_CODES_DOWN)
        line_down(m, m->order ? m->order[i] : i, first, n, line);
    else
        line_across(m, m->order ? m->order[i] : i, first, n, line);
}

/* Columns [col, col + PART) of a tile of rows to their places in the blocks, `step` bytes apart. */
static void tile_nibbles(const struct sw_group_matrix *m, int64_t col, int64_t first, int64_t n,
                         uint8_t *to, size_t step)
{
    uint8_t lines[PART][TILE];
    uint32_t words[TILE];
    if (n < TILE)
        memset(lines, 0, sizeof lines);
    for (int64_t i = 0; i < PART; i++)
        group_line(m, col + i, first, n, lines[i]);
    for (int i = 0; i < 16; i += 4) {
        for (int r = 0; r < TILE; r++)
            words[r] = (uint32_t)(lines[i][r] | lines[i + 16][r] << 4) |
                       (uint32_t)(lines[i + 1][r] | lines[i + 17][r] << 4) << 8 |
                       (uint32_t)(lines[i + 2][r] | lines[i + 18][r] << 4) << 16 |
                       (uint32_t)(lines[i + 3][r] | lines[i + 19][r] << 4) << 24;
        for (int64_t r = 0; r < n; r++)
            memcpy(to + (size_t)r * step + i, &words[r], sizeof words[r]);
    }
}

/* The same of two and three bits, of part `part` of blocks whose codes begin at `to`. */
static void tile_few(const struct sw_group_matrix *m, int64_t col, int64_t first, int64_t n,
                     int part, uint8_t *to, size_t step)
{
    uint8_t lines[PART][TILE], codes[PART];
    for (int64_t i = 0; i < PART; i++)
        group_line(m, col + i, first, n, lines[i]);
    for (int64_t r = 0; r < n; r++) {
        for (int i = 0; i < PART; i++)
            codes[i] = lines[i][r];
        sw_groupwise_put(m->format, part, codes, to + (size_t)r * step);
    }
}

static void tile_bytes(const struct sw_group_matrix *m, int64_t col, int64_t first, int64_t n,
                       uint8_t *to, size_t step)
{
    uint8_t lines[4][TILE];
    uint32_t words[TILE];
    if (n < TILE)
        memset(lines, 0, sizeof lines);
    for (int64_t i = 0; i < PART; i += 4) {
        for (int64_t k = 0; k < 4; k++)
            group_line(m, col + i + k, first, n, lines[k]);
        for (int r = 0; r < TILE; r++)
            words[r] = ((uint32_t)lines[0][r] | (uint32_t)lines[1][r] << 8 |
                        (uint32_t)lines[2][r] << 16 | (uint32_t)lines[3][r] << 24) ^
                       0x80808080;
        for (int64_t r = 0; r < n; r++)
            memcpy(to + (size_t)r * step + i, &words[r], sizeof words[r]);
    }
}

/* ---- codes, row by row */

/* Eight fields of four bits, a byte each. */
static uint64_t row_spread(uint32_t word)
{
    uint64_t x = word;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    return (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
}

/* Code `i` of a row, of 4 or 8 bits. */
static uint8_t row_code(const uint8_t *row, int64_t i, int bits)
{
    return bits == 8 ? row[i] : (uint8_t)(row[i / 2] >> i % 2 * 4 & 15);
}

/* Codes [col, col + PART) of a row. */
static void row_codes(const struct sw_group_matrix *m, const uint8_t *row, int64_t col,
                      uint8_t codes[PART])
{
    const int64_t left = m->cols - col < 0 ? 0 : m->cols - col < PART ? m->cols - col : PART;
    if (left < PART)
        memset(codes, PADDING, PART);
    if (m->bits == 8 && !m->order)
        memcpy(codes, row + col, (size_t)left);
    else
        for (int64_t i = 0; i < left; i++)
            codes[i] = row_code(row, m->order ? m->order[col + i] : col + i, m->bits);
}

/* PART codes that lie as in the file: without a detour by single ones. */
static void row_nibbles(const uint8_t *codes, uint8_t *to)
{
    uint32_t words[4];
    memcpy(words, codes, sizeof words);
    for (int i = 0; i < 2; i++) {
        const uint64_t eight = row_spread(words[i]) | row_spread(words[i + 2]) << 4;
        memcpy(to + 8 * i, &eight, sizeof eight);
    }
}

static void row_part(const struct sw_group_matrix *m, const uint8_t *row, int64_t col, bool bytes,
                     uint8_t *to)
{
    uint8_t codes[PART];
    if (!bytes && !m->order && m->cols - col >= PART) {
        row_nibbles(row + col / 2, to);
        return;
    }
    row_codes(m, row, col, codes);
    if (bytes)
        for (int i = 0; i < PART; i++)
            to[i] = codes[i] ^ 0x80;
    else
        for (int i = 0; i < 16; i++)
            to[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
}

/* ---- blocks */

/* Block `b` of a tile of rows. */
static void tile_block(const struct sw_group_matrix *m, int64_t b, int64_t first, int64_t n,
                       uint8_t *to, size_t step)
{
    const int64_t len = m->format->block_len, col = b * len;
    const int64_t row_bytes = (m->cols * m->bits + 31) / 32 * 4; /* of SW_CODES_ROWS */
    const uint8_t *rows = (const uint8_t *)m->codes + (first - m->first_code) * row_bytes;
    const bool bytes = sw_groupwise_bits(m->format) == 8;
    uint32_t heads[TILE];
    group_heads(m, col / m->group, first, n, heads);
    for (int64_t r = 0; r < n; r++)
        memcpy(to + (size_t)r * step, &heads[r], HEAD);
    to += HEAD;
    if (sw_groupwise_bits(m->format) < 4) {
        for (int64_t part = 0; part < len; part += PART)
            tile_few(m, col + part, first, n, (int)(part / PART), to, step);
        return;
    }
    for (int64_t part = 0; part < len; part += PART, to += bytes ? PART : PART / 2) {
        if (m->codes_kind == SW_CODES_ROWS)
            for (int64_t r = 0; r < n; r++)
                row_part(m, rows + r * row_bytes, col + part, bytes, to + (size_t)r * step);
        else if (bytes)
            tile_bytes(m, col + part, first, n, to, step);
        else
            tile_nibbles(m, col + part, first, n, to, step);
    }
}

void sw_group_blocks(const struct sw_group_matrix *m, int64_t first, int64_t n, void *blocks)
{
    const int64_t count = (m->cols + m->format->block_len - 1) / m->format->block_len;
    const size_t step = (size_t)count * m->format->block_bytes;
    for (int64_t done = 0; done < n; done += TILE) {
        const int64_t rows = n - done < TILE ? n - done : TILE;
        uint8_t *to = (uint8_t *)blocks + (size_t)done * step;
        for (int64_t b = 0; b < count; b++)
            tile_block(m, b, first + done, rows, to + (size_t)b * m->format->block_bytes, step);
    }
}

/* Column `col` of the file: its codes of a tile of rows. */
static void tile_codes(const struct sw_group_matrix *m, int64_t col, int64_t first, int64_t n,
                       uint8_t codes[TILE])
{
    const int64_t row_bytes = (m->cols * m->bits + 31) / 32 * 4;
    const uint8_t *rows = (const uint8_t *)m->codes + (first - m->first_code) * row_bytes;
    if (m->codes_kind == SW_CODES_DOWN)
        line_down(m, col, first, n, codes);
    else if (m->codes_kind == SW_CODES_ACROSS)
        line_across(m, col, first, n, codes);
    else
        for (int64_t r = 0; r < n; r++)
            codes[r] = row_code(rows + r * row_bytes, col, m->bits);
}

void sw_group_floats(const struct sw_group_matrix *m, int64_t first, int64_t n, float *out)
{
    const bool bytes = sw_groupwise_bits(m->format) == 8;
    for (int64_t done = 0; done < n; done += TILE, out += TILE * m->cols) {
        const int64_t rows = n - done < TILE ? n - done : TILE;
        uint32_t heads[TILE];
        for (int64_t i = 0; i < m->cols; i++) {
            uint8_t codes[TILE];
            if (i % m->group == 0)
                group_heads(m, i / m->group, first + done, rows, heads);
            tile_codes(m, m->order[i], first + done, rows, codes);
            for (int64_t r = 0; r < rows; r++) {
                const int zero = bytes ? (int8_t)(heads[r] & 0xff) + 128 : (int)(heads[r] & 0xff);
                out[r * m->cols + m->order[i]] =
                    sw_groupwise_scale(heads[r]) * (float)(codes[r] - zero);
            }
        }
    }
}

/* Group g has the places [g * group, end) in the order. */
static int64_t group_end(int64_t g, int64_t cols, int64_t group)
{
    return cols - g * group < group ? cols : (g + 1) * group;
}

/* The last place of each group counts its columns, until the last one comes there. */
bool sw_group_order(const int32_t *group_of, int64_t cols, int64_t group, int32_t *order,
                    bool *sorted)
{
    const int64_t groups = (cols + group - 1) / group;
    *sorted = true;
    memset(order, 0, (size_t)cols * sizeof *order);
    for (int64_t i = 0; i < cols; i++) {
        const int64_t g = group_of[i];
        if (g < 0 || g >= groups)
            return false;
        order[group_end(g, cols, group) - 1]++;
        *sorted = *sorted && g == i / group;
    }
    for (int64_t g = 0; g < groups; g++) {
        const int64_t end = group_end(g, cols, group);
        if (order[end - 1] != end - g * group)
            return false;
        order[end - 1] = 0;
    }
    for (int64_t i = 0; i < cols; i++) {
        const int64_t first = group_of[i] * group, last = group_end(group_of[i], cols, group) - 1;
        const int64_t at = first + order[last];
        order[last]++;
        order[at] = (int32_t)i;
    }
    return true;
}
