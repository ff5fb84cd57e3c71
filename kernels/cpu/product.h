/* One panel of a matrix product. Included per instruction set, after tile.h. */
#ifndef SW_KERNELS_PRODUCT_H
#define SW_KERNELS_PRODUCT_H

#include <string.h>

/* Steps; 32 KiB of a panel stay close by while the tokens pass. */
#define K_BLOCK 128

ALWAYS_INLINE int64_t count_steps(enum kind kind, int64_t cols)
{
    return kind == KIND_PAIRS ? (cols + 1) / 2 : cols;
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
                           .c_ld = SW_PANEL};
    tile_tall(kind, p->n, p->width / 16, t);
}

/*
 * While n_tiles tiles go over a block of weights, the next block is fetched: four cache lines a
 * step in all, so two for each of two tiles, one for each of four.
 */
static inline void plan_prefetch(struct tile *t, int64_t i, int64_t n_tiles, int64_t block)
{
    const char *next = t->w + block * t->w_step;
    const int64_t every = n_tiles < 4 ? 1 : n_tiles / 4, turn = i / every;
    t->prefetch[0] = t->prefetch[1] = t->w;
    if (n_tiles < 4 && turn < 2) {
        t->prefetch[0] = next + turn * 128;
        t->prefetch[1] = next + turn * 128 + 64;
    } else if (n_tiles >= 4 && i % every == 0 && turn < 4) {
        t->prefetch[0] = t->prefetch[1] = next + turn * 64;
    }
}

/* Many tokens, packed by prepare_tile: block by block along the columns. */
ALWAYS_INLINE void product_many(enum kind kind, const struct sw_panel_product *p)
{
    const int64_t steps = count_steps(kind, p->cols), n_tiles = sw_tile_count(p->n);
    struct tile t = {.w_step = p->width * kind_bytes(kind), .c_ld = SW_PANEL};
    for (int64_t k = 0; k < steps; k += K_BLOCK) {
        const char *x = (const char *)p->x + k * p->n * x_bytes(kind);
        t.w = (const char *)p->weights + k * t.w_step;
        t.steps = steps - k < K_BLOCK ? steps - k : K_BLOCK;
        t.resume = k > 0;
        for (int64_t i = 0; i < n_tiles; i++) {
            const int64_t first = tile_first(p->n, i);
            t.x = x + first * t.steps * x_bytes(kind);
            t.c = p->scratch + first * SW_PANEL;
            plan_prefetch(&t, i, n_tiles, t.steps);
            tile_wide(kind, true, (int)(tile_first(p->n, i + 1) - first), p->width / 16, t);
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

static void panel_product(const struct sw_panel_product *p)
{
    if (p->format == SW_F32)
        product_kind(KIND_F32, p);
    else if (p->format == SW_F16)
        product_kind(KIND_F16, p);
    else
        product_kind(KIND_PAIRS, p);
    for (int64_t r = 0; r < p->n; r++)
        finish_row(p, p->scratch + r * SW_PANEL, p->y + r * p->y_ld);
}

/* ---- activations */

/* Rounds n floats to bf16, as tiles with PAIRS read them; an odd n is padded with a 0. */
#ifdef DOT
static void round_row(const float *x, int64_t n, void *out)
{
    uint16_t *to = out;
    for (int64_t i = 0; i < n; i += 16) {
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

ALWAYS_INLINE void interleave(int nr, int64_t steps, const char *const *rows, ptrdiff_t unit,
                              char *to)
{
    for (int64_t k = 0; k < steps; k++)
        EACH (r, nr) {
            memcpy(to, rows[r] + k * unit, (size_t)unit);
            to += unit;
        }
}

ALWAYS_INLINE void prepare_block(enum kind kind, const float *x, int64_t x_ld, int nr, int64_t cols,
                                 char *to)
{
    char rounded[TILE_ROWS][K_BLOCK * PAIR_BYTES];
    const char *rows[TILE_ROWS];
    for (int r = 0; r < nr; r++) {
        rows[r] = (const char *)(x + r * x_ld);
        if (kind == KIND_PAIRS) {
            round_row(x + r * x_ld, cols, rounded[r]);
            rows[r] = rounded[r];
        }
    }
    const int64_t steps = count_steps(kind, cols);
    switch (nr) {
    case 6:
        interleave(6, steps, rows, x_bytes(kind), to);
        break;
    case 5:
        interleave(5, steps, rows, x_bytes(kind), to);
        break;
    default:
        interleave(nr, steps, rows, x_bytes(kind), to);
        break;
    }
}

ALWAYS_INLINE void prepare_kind(enum kind kind, const float *x, int64_t x_ld, int64_t n,
                                int64_t cols, int64_t i, char *out)
{
    const int64_t first = tile_first(n, i);
    const int nr = (int)(tile_first(n, i + 1) - first);
    const int64_t per_block = kind == KIND_PAIRS ? 2 * K_BLOCK : K_BLOCK;
    for (int64_t col = 0; col < cols; col += per_block) {
        const int64_t take = cols - col < per_block ? cols - col : per_block;
        char *block = out + col / per_block * K_BLOCK * n * x_bytes(kind);
        prepare_block(kind, x + first * x_ld + col, x_ld, nr, take,
                      block + first * count_steps(kind, take) * x_bytes(kind));
    }
}

static void prepare_tile(enum sw_dtype format, const float *x, int64_t x_ld, int64_t n,
                         int64_t cols, int64_t i, void *out)
{
    if (format == SW_BF16)
        prepare_kind(KIND_PAIRS, x, x_ld, n, cols, i, out);
    else
        prepare_kind(KIND_F32, x, x_ld, n, cols, i, out);
}

#endif
