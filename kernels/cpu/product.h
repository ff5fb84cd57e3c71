/* One panel of a matrix product. Included per instruction set, after tile.h. */
#ifndef SW_KERNELS_PRODUCT_H
#define SW_KERNELS_PRODUCT_H

#include <string.h>

/*
 * Steps that all tiles of tokens go over before the next. With four bytes a weight 256 KiB of a
 * panel, which a second-level cache holds. Two tiles wait for memory more than they compute: the
 * second then finds 16 KiB of weights in the first-level cache, and memory has no pause.
 */
#define K_BLOCK 1024
#define K_BLOCK_OF_TWO 64

static inline int64_t k_block(int64_t n)
{
    return sw_tile_count(n) == 2 ? K_BLOCK_OF_TWO : K_BLOCK;
}

ALWAYS_INLINE int64_t count_steps(enum kind kind, int64_t cols)
{
    return kind == KIND_PAIRS ? (cols + 1) / 2 : kind == KIND_INT8 ? (cols + 3) / 4 : cols;
}

ALWAYS_INLINE int64_t step_cols(enum kind kind)
{
    return kind == KIND_PAIRS ? 2 : kind == KIND_INT8 ? 4 : 1;
}

/* The last panel has rows that are not real, and int8 sums are not yet y: these reach it by way of
 * scratch. */
ALWAYS_INLINE bool is_whole(enum kind kind, const struct sw_panel_product *p)
{
    return p->n_rows == p->width && kind != KIND_INT8;
}

static void finish_row(const struct sw_panel_product *p, const float *c, float *y)
{
    for (int i = 0; i < p->n_rows; i += 16) {
        const int n = p->n_rows - i < 16 ? p->n_rows - i : 16;
        vec v = v_load(c + i);
        if (p->bias)
            v = v_add(v, v_load_n(p->bias + i, n));
        if (p->add)
            v = v_add(v_load_n(y + i, n), v);
        v_store_n(y + i, v, n);
    }
}

/* Tokens [first, end), the first of which is at c. */
ALWAYS_INLINE void finish_rows(enum kind kind, const struct sw_panel_product *p, int64_t first,
                               int64_t end, const float *c)
{
    const bool whole = p->n_rows == SW_PANEL;
    for (int64_t r = first; r < end; r++, c += SW_PANEL)
        if (kind == KIND_INT8 && whole)
            finish_int8(true, p, r, c, p->y + r * p->y_ld);
        else if (kind == KIND_INT8)
            finish_int8(false, p, r, c, p->y + r * p->y_ld);
        else
            finish_row(p, c, p->y + r * p->y_ld);
}

/* One tile of tokens, which lie as the caller has them: the whole way in registers. */
ALWAYS_INLINE void product_few(enum kind kind, const struct sw_panel_product *p)
{
    const struct tile t = {.w = p->weights,
                           .w_step = p->width * kind_bytes(kind),
                           .x = p->x,
                           .x_ld = p->x_ld,
                           .steps = count_steps(kind, p->cols),
                           .c = p->scratch,
                           .c_ld = SW_PANEL,
                           .y = is_whole(kind, p) ? p->y : NULL,
                           .y_ld = p->y_ld,
                           .bias = is_whole(kind, p) ? p->bias : NULL,
                           .add = p->add,
                           .deep = p->deep};
    tall[kind](p->n, p->width / 16, t);
    if (!is_whole(kind, p))
        finish_rows(kind, p, 0, p->n, p->scratch);
}

/* While n_tiles tiles go over a block of weights, the block after it is fetched in equal shares. */
static inline void plan_prefetch(struct tile *t, int64_t i, int64_t n_tiles, int64_t next_bytes)
{
    const int64_t share = (next_bytes / 64 + n_tiles - 1) / n_tiles, groups = t->steps / GROUP;
    t->next = t->w + t->steps * t->w_step + i * share * 64;
    t->next_end = t->next + share * 64;
    t->lines = groups ? (int)((share + groups - 1) / groups) : 0;
}

/* Many tokens, packed by prepare_tile, of which some tiles: block by block along the columns. */
ALWAYS_INLINE void product_many(enum kind kind, const struct sw_panel_product *p)
{
    const int64_t steps = count_steps(kind, p->cols), n_tiles = sw_tile_count(p->n);
    const int64_t base = tile_first(p->n, p->first_tile), block = k_block(p->n);
    struct tile t = {
        .w_step = p->width * kind_bytes(kind), .c_ld = SW_PANEL, .y_ld = p->y_ld, .add = p->add};
    for (int64_t k = 0; k < steps; k += block) {
        const char *x = (const char *)p->x + k * p->n * x_bytes(kind);
        const int64_t left = steps - k - block, after = left > 0 ? left : steps;
        t.w = (const char *)p->weights + k * t.w_step;
        t.steps = left < 0 ? left + block : block;
        t.resume = k > 0;
        const bool finish = left <= 0 && is_whole(kind, p);
        t.bias = finish ? p->bias : NULL;
        for (int64_t i = p->first_tile; i < p->end_tile; i++) {
            const int64_t first = tile_first(p->n, i), end = tile_first(p->n, i + 1);
            t.x = x + first * t.steps * x_bytes(kind);
            t.c = p->scratch + (steps > block ? (first - base) * SW_PANEL : 0);
            t.y = finish ? p->y + first * p->y_ld : NULL;
            plan_prefetch(&t, i, n_tiles, (after < block ? after : block) * t.w_step);
            tile_wide(kind, true, (int)(end - first), p->width / 16, t);
            if (left <= 0 && !finish)
                finish_rows(kind, p, first, end, t.c);
        }
    }
}

ALWAYS_INLINE void product_kind(enum kind kind, const struct sw_panel_product *p)
{
    if (p->x_ld)
        product_few(kind, p);
    else
        product_many(kind, p);
}

static void product_f32(const struct sw_panel_product *p)
{
    product_kind(KIND_F32, p);
}

static void product_f16(const struct sw_panel_product *p)
{
    product_kind(KIND_F16, p);
}

static void product_pairs(const struct sw_panel_product *p)
{
    product_kind(KIND_PAIRS, p);
}

static void product_int8(const struct sw_panel_product *p)
{
    product_kind(KIND_INT8, p);
}

/* ---- activations */

/* Rounds n floats to bf16, as tiles with PAIRS read them; an odd n is padded with a 0. */
#ifdef DOT
static void round_row(const float *x, int64_t n, void *out)
{
    uint16_t *to = out;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __builtin_prefetch(x + i + 512);
        __builtin_prefetch(x + i + 528);
        _mm512_storeu_si512(to + i,
                            (__m512i)_mm512_cvtne2ps_pbh(v_load(x + i + 16), v_load(x + i)));
    }
    for (; i < n; i += 16) {
        const int take = n - i < 16 ? (int)(n - i) : 16;
        const __m256i h = (__m256i)_mm512_cvtneps_pbh(v_load_n(x + i, take));
        _mm256_mask_storeu_epi16(to + i, (__mmask16)((1u << ((take + 1) & ~1)) - 1), h);
    }
}
#else
static void round_row(const float *x, int64_t n, void *out)
{
    float *to = out;
    for (int64_t i = 0; i < n; i++)
        to[i] = sw_bf16_to_f32(sw_f32_to_bf16(x[i]));
    if (n & 1)
        to[n] = 0;
}
#endif

/* Vector j of nr interleaved rows of sixteen words holds words from[j], of row r at lanes[j][r]. */
struct interleaving {
    int nr;
    int from[TILE_ROWS][16];
    uint16_t lanes[TILE_ROWS][TILE_ROWS];
};

static inline struct interleaving interleaving_of(int nr)
{
    struct interleaving in = {.nr = nr};
    for (int i = 0; i < 16 * nr; i++) {
        in.from[i / 16][i % 16] = i / nr;
        in.lanes[i / 16][i % nr] |= (uint16_t)(1u << i % 16);
    }
    return in;
}

#ifdef VEC_WORDS
ALWAYS_INLINE void interleave_words(int nr, const struct interleaving *in, const char *const *rows,
                                    int64_t at, char *to)
{
    EACH (j, nr) {
        __m512i out = _mm512_setzero_si512();
        EACH (r, nr)
            out = v_take_words(out, in->lanes[j][r], in->from[j], rows[r] + at);
        _mm512_storeu_si512(to + j * 64, out);
    }
}
#endif

/* Units of `unit` bytes; returns where they end. */
ALWAYS_INLINE char *interleave(const struct interleaving *in, int64_t steps,
                               const char *const *rows, ptrdiff_t unit, char *to)
{
    const int nr = in->nr;
    int64_t k = 0;
#ifdef VEC_WORDS
    for (; unit == 4 && nr == 6 && k + 16 <= steps; k += 16, to += 6 * 64)
        interleave_words(6, in, rows, k * 4, to);
    for (; unit == 4 && nr == 5 && k + 16 <= steps; k += 16, to += 5 * 64)
        interleave_words(5, in, rows, k * 4, to);
#endif
    for (; k < steps; k++)
        for (int r = 0; r < nr; r++, to += unit)
            memcpy(to, rows[r] + k * unit, (size_t)unit);
    return to;
}

/* Columns at a time: what is activated and rounded stays in the first-level cache. */
#define PREPARE_COLS 512

/* Columns [col, col + n) of one row, as the tiles want them; at `activated` or `rounded`, if not
 * where they are. */
ALWAYS_INLINE const char *prepare_row(enum kind kind, const struct sw_prepare *p, int64_t row,
                                      int64_t col, int64_t n, float *activated, char *rounded)
{
    if (kind == KIND_INT8) {
        quantize(p, row, col, n, (int8_t *)rounded);
        return rounded;
    }
    const float *x = p->x + row * p->x_ld + col;
    if (p->activate) {
        const float *up = p->gated ? x + p->cols : NULL;
        /* The next columns, whose turn comes after those of the other rows. */
        for (int64_t i = 0; i < n; i += 16) {
            __builtin_prefetch(x + PREPARE_COLS + i, 0, 2);
            if (up)
                __builtin_prefetch(up + PREPARE_COLS + i, 0, 2);
        }
        rows_activate(p->activation, x, up, n, activated);
        x = activated;
    }
    if (kind != KIND_PAIRS)
        return (const char *)x;
    round_row(x, n, rounded);
    return rounded;
}

ALWAYS_INLINE void prepare_kind(enum kind kind, const struct sw_prepare *p, int64_t i)
{
    const int64_t first = tile_first(p->n, i);
    const int nr = (int)(tile_first(p->n, i + 1) - first);
    const struct interleaving in = interleaving_of(nr);
    const int64_t block = k_block(p->n), per_block = step_cols(kind) * block;
    const int64_t piece = PREPARE_COLS < per_block ? PREPARE_COLS : per_block;
    float activated[TILE_ROWS][PREPARE_COLS];
    char rounded[TILE_ROWS][PREPARE_COLS / 2 * PAIR_BYTES];
    const char *rows[TILE_ROWS];
    char *to = NULL;
    for (int64_t row = first; kind == KIND_INT8 && row < first + nr; row++) {
        const float *x = p->x + row * p->x_ld;
        if (p->activate)
            rows_activate(p->activation, x, p->gated ? x + p->cols : NULL, p->cols,
                          p->activated + row * p->x_ld);
        scan_row(p, row);
    }
    for (int64_t col = 0; col < p->cols; col += piece) {
        if (col % per_block == 0) {
            const int64_t left = p->cols - col;
            const int64_t steps = count_steps(kind, left < per_block ? left : per_block);
            to = (char *)p->out + (col / per_block * block * p->n + first * steps) * x_bytes(kind);
        }
        const int64_t take = p->cols - col < piece ? p->cols - col : piece;
        for (int r = 0; r < nr; r++)
            rows[r] = prepare_row(kind, p, first + r, col, take, activated[r], rounded[r]);
        to = interleave(&in, count_steps(kind, take), rows, x_bytes(kind), to);
    }
}

static void prepare_tile_f32(const struct sw_prepare *p, int64_t i)
{
    prepare_kind(KIND_F32, p, i);
}

static void prepare_tile_pairs(const struct sw_prepare *p, int64_t i)
{
    prepare_kind(KIND_PAIRS, p, i);
}

static void prepare_tile_int8(const struct sw_prepare *p, int64_t i)
{
    prepare_kind(KIND_INT8, p, i);
}

static void prepare_row_pairs(const struct sw_prepare *p, int64_t row, void *out)
{
    round_row(p->x + row * p->x_ld, p->cols, out);
}

#endif
