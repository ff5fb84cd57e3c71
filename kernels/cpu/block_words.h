/*
 * Products of block formats that give their weights word by word: of each four columns a register
 * of bytes, and of each block of 32 columns a scale. One token reads a panel forward, all rows side
 * by side. Several tokens share the work of unpacking: a stretch of a panel is written out as bytes
 * that stay in the first-level cache, and all tiles of tokens go over it before the next. Sums of a
 * block are whole numbers, and they join an output's sum block after block, so that both ways give
 * the same bits. Included after blocks.h.
 */
#ifndef SW_KERNELS_BLOCK_WORDS_H
#define SW_KERNELS_BLOCK_WORDS_H

#include "kernels/cpu/words_block.h"

/* ---- one token */

/* The unit at w of p's panel, which is `width` rows wide: register v of rows. */
ALWAYS_INLINE struct block_unit words_unit(const struct words_format *f,
                                           const struct sw_panel_product *p, const char *w,
                                           int width, int v)
{
    const struct sw_packing *const packing = &f->blocks.packing;
    const ptrdiff_t lane = v * LANES, first = width * (ptrdiff_t)packing->words[0].bytes;
    const char *const others = w + packing->words[0].count * first;
    return (struct block_unit){
        .words = {w + lane * packing->words[0].bytes, others + lane * packing->words[1].bytes},
        .steps = {first, width * (ptrdiff_t)packing->words[1].bytes},
        .scales = p->scales ? p->scales + lane : NULL,
        .table = p->table};
}

/* How far from a block's own share of a unit lies what it fetches: in short units, whose words lie
 * as they are read, close by; in long ones, read with gaps, the same place of the next unit. */
ALWAYS_INLINE ptrdiff_t words_ahead(const struct words_format *f, int of_unit, ptrdiff_t share)
{
    const ptrdiff_t unit = of_unit * share, close = LANES_AHEAD - share;
    if (f->far || of_unit > WORDS_SHORT)
        return unit > LANES_FAR ? unit : LANES_FAR;
    return close > WORDS_CLOSE ? close : WORDS_CLOSE;
}

ALWAYS_INLINE void words_one(const struct words_format *f, const struct sw_panel_product *p)
{
    const int of_unit = f->blocks.packing.elements / SW_X_COLS, groups = of_unit / f->phases;
    const ptrdiff_t w_step = SW_PANEL * (ptrdiff_t)sw_packing_bytes(&f->blocks.packing);
    const ptrdiff_t share = w_step / of_unit, ahead = words_ahead(f, of_unit, share);
    const struct block_x *x = p->x;
    const char *w = p->weights;
    l_vec acc[WORDS_WIDE][TILE_ROWS];
    EACH (v, WORDS_WIDE)
        acc[v][0] = l_set(0);
    for (int64_t k = block_count(&f->blocks, p->cols) / of_unit; k > 0; k--, w += w_step) {
        struct block_unit units[WORDS_WIDE];
        struct words_head heads[WORDS_WIDE];
        EACH (v, WORDS_WIDE) {
            units[v] = words_unit(f, p, w, SW_PANEL, v);
            f->head(&units[v], &heads[v]);
        }
        for (int group = 0; group < groups; group++)
            EACH (phase, f->phases) {
                const char *const next = w + ahead + (group * f->phases + phase) * share;
                const struct words_block b = {.f = f,
                                              .units = units,
                                              .heads = heads,
                                              .group = group,
                                              .phase = phase,
                                              .next = next,
                                              .deep = p->deep};
                words_add(f->kind, 1, WORDS_WIDE, &b, x++, acc);
            }
    }
    EACH (v, WORDS_WIDE)
        l_store(p->scratch + v * LANES, acc[v][0]);
}

/* ---- several tokens */

/*
 * What of a panel comes next is fetched beside the work on what is there, evenly, `step` bytes at a
 * time: a line that is fetched has one of few places until memory answers, and what is read
 * meanwhile waits for one too if many are fetched at once.
 */
struct words_next {
    const char *next;
    ptrdiff_t step;
};

ALWAYS_INLINE void words_fetch_next(struct words_next *f)
{
    const char *const end = f->next + f->step, *line = f->next + (-(uintptr_t)f->next & 63);
    for (; line < end; line += 64)
        __builtin_prefetch(line, 0, 2);
    f->next = end;
}

/* Of the weights to come this part is fetched while others are written out: with few tokens that
 * takes as long as the products. */
#define NEXT_AT_FIRST 4

ALWAYS_INLINE void words_unpack(const struct words_format *f, const struct sw_panel_product *p,
                                const char *w, int64_t n_units, struct words_next *fetch,
                                struct words_bytes *to)
{
    const int of_unit = f->blocks.packing.elements / SW_X_COLS, groups = of_unit / f->phases;
    const int width = p->width, wide = width / LANES;
    const ptrdiff_t w_step = width * (ptrdiff_t)sw_packing_bytes(&f->blocks.packing);
    for (; n_units > 0; n_units--, w += w_step) {
        struct words_head heads[WORDS_WIDE];
        for (int v = 0; v < wide; v++) {
            const struct block_unit u = words_unit(f, p, w, width, v);
            f->head(&u, &heads[v]);
        }
        for (int group = 0; group < groups; group++)
            EACH (phase, f->phases) {
                words_fetch_next(fetch);
                for (int i = 0; i < 4; i++)
                    EACH (half, 2)
                        for (int v = 0; v < wide; v++) {
                            const struct block_unit u = words_unit(f, p, w, width, v);
                            const int quad = f->apart ? i + 4 * half : 2 * i + half;
                            to->words[quad][v] = f->word(&u, &heads[v], group, phase, i, half);
                        }
                for (int v = 0; v < wide; v++) {
                    const struct block_unit u = words_unit(f, p, w, width, v);
                    to->scales[v] = f->scale(&heads[v], group, phase);
                    if (f->kind->more)
                        EACH (part, f->kind->parts)
                            to->more[part][v] = f->more(&u, &heads[v], group, phase, part);
                    if (f->kind->parts > 1)
                        EACH (part, f->kind->parts)
                            to->factors[part][v] =
                                l_factor_of(f->factor(&u, &heads[v], group, phase, part));
                }
                to++;
            }
    }
}

/* A tile of tokens times blocks of a panel. */
struct words_tile {
    const struct words_bytes *bytes;
    int wide;                /* registers of rows */
    const struct block_x *x; /* of all tokens of a block side by side */
    int nr;
    int64_t n_blocks;
    float *c; /* the sums of token r are at c + r * SW_PANEL */
    struct words_next fetch;
};

/* Tokens [first, first + nr), registers of rows from `from` on. */
ALWAYS_INLINE void words_fixed(const struct words_kind *kind, int nr, int nv, struct words_tile *t,
                               int first, int from)
{
    const struct block_x *x = t->x + first;
    const struct words_bytes *const end = t->bytes + t->n_blocks;
    struct words_next fetch = t->fetch;
    const int64_t step = t->nr;
    float *const c = t->c + first * SW_PANEL + from * LANES;
    l_vec acc[WORDS_WIDE][TILE_ROWS];
    EACH (v, nv)
        EACH (r, nr)
            acc[v][r] = l_load(c + r * SW_PANEL + v * LANES);
    for (const struct words_bytes *bytes = t->bytes; bytes < end; bytes++, x += step) {
        words_fetch_next(&fetch);
        const struct words_block b = {.bytes = bytes, .from = from};
        words_add(kind, nr, nv, &b, x, acc);
    }
    t->fetch = fetch;
    EACH (v, nv)
        EACH (r, nr)
            l_store(c + r * SW_PANEL + v * LANES, acc[v][r]);
}

/* All registers of rows, which may be one too many, where it is 0 (words_many). */
ALWAYS_INLINE void words_rows(const struct words_kind *kind, int nr, struct words_tile *t,
                              int first)
{
    const int most = kind->is_signed ? SIGNED_VECS : WORDS_VECS, few = most == 3 ? 2 : most;
    for (int v = 0; v < t->wide;) {
        const int left = t->wide - v;
        if (most == 3 && (left == 3 || left > 4)) {
            words_fixed(kind, nr, most, t, first, v);
            v += most;
        } else {
            words_fixed(kind, nr, few, t, first, v);
            v += few;
        }
    }
}

ALWAYS_INLINE void words_tall(const struct words_kind *kind, struct words_tile *t)
{
    const int most = kind->is_signed ? SIGNED_ROWS : WORDS_ROWS;
    for (int first = 0, nr; first < t->nr; first += nr) {
        const int left = t->nr - first, parts = (left + most - 1) / most;
        nr = (left + parts - 1) / parts;
        switch (nr) {
        case 1:
            words_rows(kind, 1, t, first);
            break;
        case 2:
            words_rows(kind, 2, t, first);
            break;
#if WORDS_ROWS > 3
        case 4:
            words_rows(kind, 4, t, first);
            break;
        case 5:
            words_rows(kind, 5, t, first);
            break;
        case 6:
            words_rows(kind, 6, t, first);
            break;
#endif
        default:
            words_rows(kind, 3, t, first);
            break;
        }
    }
}

/* A kind, and its tiles: one copy for all formats of the kind. */
#define WORDS_KIND(name, ...)                                                                      \
    static const struct words_kind name = __VA_ARGS__;                                             \
    static __attribute__((noinline)) void name##_tall(struct words_tile *t)                        \
    {                                                                                              \
        words_tall(&name, t);                                                                      \
    }
WORDS_KIND(words_plain, {.parts = 1, .starts = true})
WORDS_KIND(words_with_min, {.parts = 1, .more = true})
WORDS_KIND(words_raised, {.parts = 1, .more = true, .starts = true})
WORDS_KIND(words_in_parts, {.parts = 2, .starts = true})
WORDS_KIND(words_in_parts_with_min, {.parts = 2, .more = true})
WORDS_KIND(words_signed, {.is_signed = true, .parts = 1, .starts = true})
WORDS_KIND(words_signed_raised, {.is_signed = true, .parts = 1, .more = true, .starts = true})

/* How often words_tall fetches beside a block of nr tokens, or about so often. */
static inline int64_t words_steps(const struct words_kind *kind, int64_t nr)
{
    const int rows = kind->is_signed ? SIGNED_ROWS : WORDS_ROWS;
    const int vecs = kind->is_signed ? SIGNED_VECS : WORDS_VECS;
    return (nr + rows - 1) / rows * ((WORDS_WIDE + vecs - 1) / vecs);
}

ALWAYS_INLINE void words_many(const struct words_format *f, void (*multiply)(struct words_tile *t),
                              const struct sw_panel_product *p)
{
    const int64_t blocks = block_count(&f->blocks, p->cols);
    const int64_t base = tile_first(p->n, p->first_tile), end = tile_first(p->n, p->end_tile);
    const int of_unit = f->blocks.packing.elements / SW_X_COLS;
    const ptrdiff_t unit = p->width * (ptrdiff_t)sw_packing_bytes(&f->blocks.packing);
    const int64_t steps = words_steps(f->kind, tile_first(p->n, 1));
    struct words_bytes bytes[BLOCKS_FEW];
    if (p->width < SW_PANEL)
        memset(bytes, 0, sizeof bytes);
    memset(p->scratch, 0, (size_t)((end - base) * SW_PANEL) * sizeof *p->scratch);
    for (int64_t k = 0; k < blocks; k += BLOCKS_FEW) {
        const int64_t n_blocks = blocks - k < BLOCKS_FEW ? blocks - k : BLOCKS_FEW;
        const int64_t size = n_blocks / of_unit * unit, tiles = p->end_tile - p->first_tile;
        const char *const w = (const char *)p->weights + k / of_unit * unit;
        struct words_tile t = {.bytes = bytes,
                               .wide = p->width / LANES,
                               .n_blocks = n_blocks,
                               .fetch = {w + size, size / NEXT_AT_FIRST / n_blocks}};
        words_unpack(f, p, w, n_blocks / of_unit, &t.fetch, bytes);
        t.fetch.step = (size - size / NEXT_AT_FIRST) / (tiles * n_blocks * steps);
        for (int64_t i = p->first_tile; i < p->end_tile; i++) {
            const int64_t first = tile_first(p->n, i);
            t.nr = (int)(tile_first(p->n, i + 1) - first);
            t.x = blocks_at((void *)(uintptr_t)p->x, p->n, i, k, n_blocks);
            t.c = p->scratch + (first - base) * SW_PANEL;
            multiply(&t);
        }
    }
    for (int64_t r = base; r < end; r++)
        finish_row(p, p->scratch + (r - base) * SW_PANEL, p->y + r * p->y_ld);
}

ALWAYS_INLINE void words_product(const struct words_format *f,
                                 void (*multiply)(struct words_tile *t),
                                 const struct sw_panel_product *p)
{
    if (p->n > 1 || p->width < SW_PANEL) {
        words_many(f, multiply, p);
        return;
    }
    words_one(f, p);
    finish_row(p, p->scratch, p->y);
}

/* ---- what formats share */

/* Words from `first` on of the second kind, four with the nibbles of 32 columns. */
ALWAYS_INLINE l_word words_nibbles(const struct block_unit *u, int first, int i, int half)
{
    const l_word w = l_load_words(unit_word(u, 1, first + i));
    return half ? l_high(w) : l_low(w);
}

/* The same with a fifth bit: bit i of each byte of `fives` is that of low nibble i, and bit 4 + i
 * of high nibble i. */
ALWAYS_INLINE l_word words_fives(const struct block_unit *u, l_word fives, int i, int half)
{
    const l_word bits = half ? l_right_by(fives, i) : l_left(fives, 4 - i);
    return l_or(words_nibbles(u, 1, i, half), l_and(bits, l_set_bytes(16)));
}

/* Scales and minima in f16, words 0 and 1 of the first kind. */
ALWAYS_INLINE void words_head_scale(const struct block_unit *u, struct words_head *head)
{
    head->of[0] = l_load_f16(unit_word(u, 0, 0));
}
ALWAYS_INLINE void words_head_min(const struct block_unit *u, struct words_head *head)
{
    words_head_scale(u, head);
    head->of[1] = l_load_f16(unit_word(u, 0, 1));
}
ALWAYS_INLINE l_vec words_first(const struct words_head *head, int group, int phase)
{
    (void)group, (void)phase;
    return head->of[0];
}
ALWAYS_INLINE l_vec words_second(const struct block_unit *u, const struct words_head *head,
                                 int group, int phase, int part)
{
    (void)u, (void)group, (void)phase, (void)part;
    return head->of[1];
}
ALWAYS_INLINE l_word words_nibble(const struct block_unit *u, const struct words_head *head,
                                  int group, int phase, int i, int half)
{
    (void)head, (void)phase;
    return words_nibbles(u, 4 * group, i, half);
}

/* The functions of a format in the table of formats. */
#define WORDS_FUNCTIONS(name, kind)                                                                \
    static void prepare_tile_##name(const struct sw_prepare *p, int64_t i)                         \
    {                                                                                              \
        blocks_prepare(&name##_format.blocks, p, i);                                               \
    }                                                                                              \
    static void product_##name(const struct sw_panel_product *p)                                   \
    {                                                                                              \
        words_product(&name##_format, kind##_tall, p);                                             \
    }

#endif
